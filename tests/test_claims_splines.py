"""Splines in the formula: the spaces of R's bs and ns, their fit, their score as an expression."""

from functools import cache

import numpy as np
import pandas as pd
import polars as pl
import pytest
import statsmodels.api as sm
from formulaic import model_matrix

from pricing.claims.models import Frequency, fit_frequency
from pricing.claims.severity import fit_severity
from pricing.errors import InputError
from pricing.estimate.splines import combine, read_spline, spline_basis
from pricing.experience.cells import Experience

KEYS = ["sex", "age", "tier"]


@cache
def book(rows: int = 5_000, seed: int = 31) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    age, sex, tier = rng.integers(20, 71, rows), rng.integers(0, 2, rows), rng.integers(0, 3, rows)
    e = rng.uniform(0.2, 1.0, rows)
    n = rng.poisson(e * np.exp(-1 + 0.8 * np.sin(age / 12) + 0.2 * sex))
    return pl.DataFrame(
        {
            "sex": np.array(["f", "m"])[sex],
            "age": age,
            "tier": np.array(["a", "b", "c"])[tier],
            "exposure": e,
            "claims": n,
            "amount": rng.gamma(2.0 * np.maximum(n, 1), 40.0 + age) * (n > 0),
        }
    )


@cache
def seen() -> Experience:
    return Experience.collect(book(), KEYS, amount="amount")


def values(parts, x) -> np.ndarray:
    frame = pl.DataFrame({"x": np.asarray(x, dtype=float)})
    return frame.select(**{str(p.part): p.value(pl.col("x")) for p in parts}).to_numpy()


def same_span(a, b) -> float:
    """The largest part of one space outside the other."""
    left = b - a @ np.linalg.lstsq(a, b, rcond=None)[0]
    return float(np.max(np.abs(left)) / np.max(np.abs(b)))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("bs(x, knots=[30, 45])", "bs(x, knots=[30, 45], degree=3)"),
        ("bs(x, 3)", "bs(x, df=3, degree=3)"),
        ("ns(x, knots=[30, 45, 60])", "cr(x, knots=[30, 45, 60])"),
    ],
)
def test_the_functions_span_what_formulaic_spans(ours, theirs):
    x = np.linspace(20, 70, 201)
    parts = spline_basis(ours, x, np.ones(201))
    mine = np.c_[np.ones(201), values(parts, x)]
    other = model_matrix(theirs, pd.DataFrame({"x": x})).to_numpy()
    other = np.c_[np.ones(201), other]
    assert np.linalg.matrix_rank(mine) == mine.shape[1]
    assert same_span(mine, other) < 1e-9
    assert same_span(other, mine) < 1e-9


def test_a_natural_spline_is_linear_outside_and_smooth_inside():
    x = np.linspace(20, 70, 101)
    parts = spline_basis("ns(x, 4)", x, np.ones(101))
    assert len(parts) == 4
    for p in parts:
        out = values([p], [70, 75, 80, 85])[:, 0]
        np.testing.assert_allclose(np.diff(out, 2), 0, atol=1e-12)
        below = values([p], [5, 10, 15, 20])[:, 0]
        np.testing.assert_allclose(np.diff(below, 2), 0, atol=1e-12)
        for edge in (20.0, 70.0):  # value, slope and curvature meet at the boundary
            h = 1e-3
            v = values([p], [edge - 2 * h, edge - h, edge, edge + h, edge + 2 * h])[:, 0]
            assert np.max(np.abs(np.diff(v, 2))) < 1e-7
    whole = combine(parts, [0.3, -1.0, 2.0, 0.5])
    np.testing.assert_allclose(
        values([whole], x)[:, 0], values(parts, x) @ [0.3, -1.0, 2.0, 0.5], atol=1e-12
    )


@pytest.mark.parametrize("term", ["ns(age, 4)", "bs(age, 6)", "ns(age, knots=[30, 45, 60])"])
def test_the_fit_equals_statsmodels_on_rows_and_scores_as_an_expression(term):
    model = fit_frequency(seen(), f"sex + {term}")
    x = model.values(book())
    e, n = (book()[c].to_numpy() for c in ("exposure", "claims"))
    plain = sm.GLM(n, x, family=sm.families.Poisson(), exposure=e).fit(tol=1e-13)
    np.testing.assert_allclose(model.coefficients, plain.params, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(np.sqrt(np.diag(model.covariance("model"))), plain.bse, rtol=1e-7)
    scored = model.score(book(), exposure="exposure")
    np.testing.assert_allclose(scored["expected"], plain.mu, rtol=1e-9)
    lazy = model.score(book().lazy(), exposure="exposure").collect()
    assert lazy["rate"].equals(scored["rate"])
    tested = model.frames["tests"].filter(term=term).row(0, named=True)
    assert tested["degrees_of_freedom"] == sum(c.term == term for c in model.columns)
    assert tested["p_value"] < 1e-8


def test_a_spline_may_interact_and_differ_by_level():
    model = fit_frequency(seen(), "sex * ns(age, 3) + tier")
    x = model.values(book())
    e, n = (book()[c].to_numpy() for c in ("exposure", "claims"))
    plain = sm.GLM(n, x, family=sm.families.Poisson(), exposure=e).fit(tol=1e-13)
    np.testing.assert_allclose(
        model.score(book(), exposure="exposure")["expected"], plain.mu, rtol=1e-9
    )
    # the same as each sex alone, but for the tier
    model = fit_frequency(seen(), "sex * ns(age, knots=[35, 50])")
    for sex in "fm":
        rows = book().filter(sex=sex)
        own = fit_frequency(Experience.collect(rows, KEYS), "ns(age, knots=[35, 50])")
        np.testing.assert_allclose(model.score(rows)["rate"], own.score(rows)["rate"], rtol=1e-8)


def test_a_curve_has_its_interval_and_one_at_its_base(tmp_path):
    model = fit_frequency(seen(), "sex + ns(age, 4)")
    ages = [20.0, 35.0, 50.0, 70.0]
    curve = model.curve("age", ages, base=35.0)
    rate = model.score(pl.DataFrame({"sex": ["f"] * 4, "age": ages}))["rate"]
    np.testing.assert_allclose(curve["relativity"], rate / rate[1], rtol=1e-12)
    assert curve.row(1)[1:] == (1.0, 1.0, 1.0)
    assert (curve["lower"] <= curve["relativity"]).all()
    true = np.exp(0.8 * np.sin(np.array(ages) / 12) - 0.8 * np.sin(35 / 12))
    assert (np.abs(np.log(curve["relativity"].to_numpy() / true)) < 0.25).all()
    model.save(tmp_path / "m")
    back = Frequency.load(tmp_path / "m")
    assert back.columns == model.columns
    assert back.score(book())["rate"].equals(model.score(book())["rate"])
    assert back.curve("age", ages, base=35.0).equals(curve)
    assert model.table.filter(role="spline").height == 4
    with pytest.raises(InputError, match="'sex' is no covariate"):
        model.curve("sex", [1.0], base=0.0)


def test_the_unit_of_age_changes_nothing():
    rows = book().with_columns(pl.col("age") * 12)
    months = fit_severity(Experience.collect(rows, KEYS, amount="amount"), "ns(age, 4)")
    years = fit_severity(seen(), "ns(age, 4)")
    np.testing.assert_allclose(months.score(rows)["rate"], years.score(book())["rate"], rtol=1e-9)


def test_outside_its_boundaries_a_natural_spline_goes_on_and_a_b_spline_refuses():
    old = pl.DataFrame({"age": [19, 40, 85]})
    natural = fit_frequency(seen(), "ns(age, 3)")
    assert natural.score(old)["rate"].is_finite().all()
    with pytest.raises(InputError, match="age: 2 rows, such as '19', '85'"):
        fit_frequency(seen(), "bs(age, 5)").score(old)


@pytest.mark.parametrize(
    ("formula", "says"),
    [
        ("ns(agee, 4)", "'agee' is not a key of the experience; did you mean 'age'"),
        ("ns(sex, 4)", "smooths a factor"),
        ("ns(age)", "cannot be read"),
        ("ns(age, 0)", "at least 1 degrees"),
        ("bs(age, 2)", "at least 3 degrees"),
        ("ns(age, knots=[10, 30])", "do not lie inside 20 to 70"),
        ("ns(age, knots=[x])", "not numbers"),
        ("ns(age, 60)", "51 values, too few"),
        ("sex:ns(age, 3)", "needs 'sex' as a main effect"),
        ("log(age)", "'log(age)' is not a key"),
    ],
)
def test_splines_that_cannot_be_fitted_are_refused(formula, says):
    with pytest.raises(InputError) as refused:
        fit_frequency(seen(), formula)
    assert says in str(refused.value)


def test_splines_are_read_as_written():
    assert read_spline("ns(age, df=4)") == ("ns", "age", 4, ())
    assert read_spline("bs(age, knots=[60, 30])") == ("bs", "age", None, (30.0, 60.0))
    assert read_spline("age") is None
