"""Slow proof: over 200 simulated books, intervals of every family hold the truth as often as they say."""

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from pricing.claims.models import fit_frequency
from pricing.claims.occurrence import fit_occurrence
from pricing.claims.pure_premium import fit_pure_premium
from pricing.claims.rating import RatingModel
from pricing.claims.severity import fit_severity
from pricing.claims.two_part import fit_two_part
from pricing.experience.cells import Experience

BOOKS, ROWS = 200, 4_000
KEYS = ["tier", "sex", "x"]
BASE = {"tier": "a", "sex": "f"}
TIER, SEX, X = np.array([0.0, 0.3, -0.3]), 0.2, 0.15
Rows = Callable[[np.random.Generator, np.ndarray, np.ndarray], dict[str, np.ndarray]]


def counts(dispersion: float) -> Rows:
    """Claims, Poisson or with gamma heterogeneity that multiplies the variance."""

    def made(rng, eta, e):
        mean = e * np.exp(eta - 0.5)
        if dispersion > 1:
            mean = rng.gamma(mean / (dispersion - 1), dispersion - 1)
        return {"claims": rng.poisson(mean), "amount": np.zeros(len(e))}

    return made


def heterogeneous(alpha: float) -> Rows:
    """NB2: one frailty a row, exposures in quarters."""

    def made(rng, eta, e):
        mean = e * np.exp(eta - 0.5) * rng.gamma(1 / alpha, alpha, len(e))
        return {"claims": rng.poisson(mean), "amount": np.zeros(len(e))}

    return made


def severities(true: bool) -> Rows:
    """Gamma claims, or amounts with a spread that grows with the factor as well."""

    def made(rng, eta, e):
        n = rng.poisson(0.9, len(e))
        shape = 1.5 if true else np.where(eta > 0.1, 0.4, 3.0)
        a = rng.gamma(shape * np.maximum(n, 1), 500 * np.exp(eta) / shape)
        return {"claims": n, "amount": a * (n > 0)}

    return made


def compound(true: bool) -> Rows:
    """Tweedie of power 1.5, or the same mean with frailty."""

    def made(rng, eta, e):
        mean, phi, p = 80 * np.exp(eta), 25.0, 1.5
        frail = rng.gamma(0.7, 1 / 0.7, len(e)) if not true else np.ones(len(e))
        n = rng.poisson(frail * e * mean ** (2 - p) / (phi * (2 - p)))
        a = rng.gamma(np.maximum(n, 1) * (2 - p) / (p - 1), phi * (p - 1) * mean ** (p - 1))
        return {"claims": n, "amount": a * (n > 0)}

    return made


def anyone(rng, eta, e):
    some = rng.random(len(e)) < 1 / (1 + np.exp(0.8 - eta))
    return {"claims": some * 1, "amount": some * rng.gamma(2.0, 100 * np.exp(eta), len(e))}


def log_normal(rng, eta, e):
    return {"claims": np.ones(len(e), dtype=int), "amount": rng.lognormal(5 + eta, 0.8)}


CASES: dict[str, tuple[Rows, Callable[..., RatingModel], dict, float, str]] = {
    "poisson, model": (counts(1.0), fit_frequency, {}, -0.5, "model"),
    "over-dispersed, robust": (counts(3.0), fit_frequency, {}, -0.5, "robust"),
    "negative binomial, model": (
        heterogeneous(0.8),
        fit_frequency,
        {"family": "negative_binomial"},
        -0.5,
        "model",
    ),
    "gamma, model": (severities(True), fit_severity, {}, np.log(500), "model"),
    "gamma with uneven spread, robust": (
        severities(False),
        fit_severity,
        {},
        np.log(500),
        "robust",
    ),
    "tweedie, model": (compound(True), fit_pure_premium, {}, np.log(80), "model"),
    "tweedie with frailty, robust": (compound(False), fit_pure_premium, {}, np.log(80), "robust"),
    "logit, model": (anyone, fit_occurrence, {}, -0.8, "model"),
    "log-normal, model": (
        log_normal,
        fit_severity,
        {"family": "log_normal"},
        5.0,
        "model",
    ),
}


def one_book(rng, made: Rows) -> tuple[pl.DataFrame, np.ndarray]:
    tier, sex, x = rng.integers(0, 3, ROWS), rng.integers(0, 2, ROWS), rng.integers(0, 4, ROWS) / 2
    eta = TIER[tier] + SEX * sex + X * x
    e = rng.integers(1, 5, ROWS) / 4
    rows = pl.DataFrame(
        {
            "tier": np.array(["a", "b", "c"])[tier],
            "sex": np.array(["f", "m"])[sex],
            "x": x,
            "exposure": e,
            "quarters": e,
            **made(rng, eta, e),
        }
    )
    return rows, eta


def covered(name: str, books: int = BOOKS) -> tuple[float, float]:
    """Shares of intervals that hold the truth: of coefficients, of cell means."""
    made, fit, options, intercept, errors = CASES[name]
    truth = np.array([intercept, 0.3, -0.3, SEX, X])
    rng = np.random.default_rng(sum(map(ord, name)))
    cells = pl.DataFrame(
        {"tier": ["a", "b", "c", "a", "c"], "sex": [*"ffmmm"], "x": [0.0, 0.5, 1.0, 1.5, 0.0]}
    )
    place = cells["tier"].replace_strict({"a": 0, "b": 1, "c": 2}, return_dtype=pl.Int64)
    at = (
        intercept
        + TIER[place.to_numpy()]
        + SEX * (cells["sex"] == "m").to_numpy()
        + X * cells["x"].to_numpy()
    )
    mean = 1 / (1 + np.exp(-at)) if fit is fit_occurrence else np.exp(at)
    if "log-normal" in name:
        mean = mean * np.exp(0.8**2 / 2)
    held = [0, 0]
    for _ in range(books):
        rows, _ = one_book(rng, made)
        keys = [*KEYS, "quarters"] if "family" in options else KEYS
        seen = Experience.collect(rows, keys, amount="amount")
        model = fit(seen, "tier + sex + x", base=BASE, errors=errors, **options)
        se = np.sqrt(np.diag(model.covariance(errors)))
        held[0] += int((np.abs(model.coefficients - truth) < 1.959964 * se).sum())
        found = model.interval(cells)
        low, high = found["lower"].to_numpy(), found["upper"].to_numpy()
        held[1] += int(((low < mean) & (mean < high)).sum())
    return held[0] / (books * len(truth)), held[1] / (books * cells.height)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_intervals_hold_the_truth_as_often_as_they_say(name, capsys):
    coefficients, means = covered(name)
    with capsys.disabled():
        print(f"\n{name}: {coefficients:.1%} of coefficients, {means:.1%} of cell means")
    assert 0.93 <= coefficients <= 0.97
    assert 0.93 <= means <= 0.97


@pytest.mark.slow
def test_two_part_intervals_hold_the_truth(capsys):
    rng = np.random.default_rng(77)
    cells = pl.DataFrame({"tier": ["a", "b", "c"], "sex": [*"fmm"], "x": [0.0, 1.0, 1.5]})
    at = TIER + SEX * np.array([0, 1, 1]) + X * cells["x"].to_numpy()
    mean = 200 * np.exp(at) / (1 + np.exp(0.8 - at))
    held = 0
    for _ in range(BOOKS):
        rows, _ = one_book(rng, anyone)
        model = fit_two_part(
            Experience.collect(rows, KEYS, amount="amount"), "tier + sex + x", base=BASE
        )
        found = model.interval(cells)
        held += int(((found["lower"].to_numpy() < mean) & (mean < found["upper"].to_numpy())).sum())
    share = held / (3 * BOOKS)
    with capsys.disabled():
        print(f"\ntwo-part: {share:.1%} of cell means")
    assert 0.93 <= share <= 0.97


def test_a_few_books_of_every_family_cover_about_as_they_say():
    for name in ("over-dispersed, robust", "gamma, model", "tweedie with frailty, robust"):
        coefficients, means = covered(name, books=25)
        assert coefficients > 0.87, name
        assert means > 0.85, name
