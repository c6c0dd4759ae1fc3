"""Numbers at the edge of float64, held against 50 digits: drift, cancellation, extreme weights, large books."""

from __future__ import annotations

import math
from datetime import date

import mpmath as mp
import numpy as np
import polars as pl
import pytest
from scipy import stats

from pricing.annuities.interest import force_of_interest
from pricing.annuities.life_law import STANDARD_ULTIMATE
from pricing.annuities.life_values import life_values
from pricing.annuities.payments import OnMove, WhileIn
from pricing.annuities.state_model import state_model
from pricing.annuities.thiele import thiele
from pricing.bonus_malus.chain import stationary_shares
from pricing.claims.models import fit_frequency
from pricing.claims.severity import fit_severity
from pricing.errors import InputError
from pricing.estimate.credibility import buhlmann_straub
from pricing.experience.cells import Experience
from pricing.experience.one_way import one_way
from pricing.losses.aggregate import aggregate_loss
from pricing.losses.count_law import poisson
from pricing.losses.severity_law import severity_law
from pricing.losses.terms import Terms
from pricing.reserving.mack import mack
from pricing.reserving.triangle import claim_triangle
from pricing.services.queue import erlang_b, erlang_c
from pricing.sharing.few_claims import poisson_binomial
from pricing.survival.curve import survival_curve
from pricing.survival.lives import Lives
from pricing.validation.lorenz import lorenz

EPS = np.finfo(float).eps


@pytest.fixture(autouse=True)
def fifty_digits():
    with mp.workdps(50):
        yield


def off(ours: float, exact: mp.mpf) -> float:
    """Relative error of a float."""
    return float(abs(mp.mpf(float(ours)) - exact) / abs(exact))


def exact_poisson(
    columns: np.ndarray, exposure: np.ndarray, claims: np.ndarray
) -> tuple[list[mp.mpf], mp.matrix, mp.matrix]:
    """Coefficients, model covariance and robust covariance of a Poisson model with a log link."""
    x = [[mp.mpf(float(v)) for v in row] for row in columns]
    e, n = ([mp.mpf(float(v)) for v in values] for values in (exposure, claims))
    size = len(x[0])
    beta = mp.matrix(size, 1)
    beta[0] = mp.log(mp.fsum(n) / mp.fsum(e))
    for _ in range(200):
        mean = [ei * mp.exp(mp.fdot(row, beta)) for row, ei in zip(x, e, strict=True)]
        score = mp.matrix([
            mp.fsum(r[j] * (ni - mi) for r, ni, mi in zip(x, n, mean, strict=True))
            for j in range(size)
        ])  # fmt: skip
        information = mp.matrix(size, size)
        meat = mp.matrix(size, size)
        for j in range(size):
            for k in range(size):
                cross = [r[j] * r[k] for r in x]
                information[j, k] = mp.fdot(cross, mean)
                meat[j, k] = mp.fsum(
                    c * (ni - mi) ** 2 for c, ni, mi in zip(cross, n, mean, strict=True)
                )
        step = mp.lu_solve(information, score)
        largest = max(abs(v) for v in step)
        beta += step / max(largest, 1)
        if largest < mp.mpf(10) ** -40:
            break
    bread = information**-1
    return list(beta), bread, bread * meat * bread


def fitted(rows: pl.DataFrame, formula: str, base: dict[str, str]) -> dict[str, dict[str, float]]:
    keys = [c for c in rows.columns if c not in ("exposure", "claims")]
    table = fit_frequency(Experience.collect(rows, keys), formula, base=base).table
    return {f"{r['term']}:{r['level']}": r for r in table.iter_rows(named=True)}


# ---------------------------------------------------------------- sums of very many rows


def test_ten_million_equal_exposures_do_not_drift():
    """A plain loop is off by 1.6e-10 here, an ungrouped one by 1e-9 at a hundred times the rows."""
    n = 10_000_000
    rows = pl.select(
        g=pl.repeat("a", n), exposure=pl.repeat(0.1, n), claims=pl.repeat(1, n, dtype=pl.Int64)
    )
    cell = Experience.collect(rows, ["g"]).cells.row(0, named=True)
    assert off(cell["exposure"], mp.mpf(0.1) * n) < 1e-13
    assert off(cell["exposure_squared"], mp.mpf(0.1) ** 2 * n) < 1e-13
    assert cell["claims"] == cell["rows"] == n


def test_a_book_of_a_billion_exposures_is_a_thousand_books_of_a_million():
    rng = np.random.default_rng(5)
    n = 100_000
    rows = pl.DataFrame({
        "tier": rng.choice(["a", "b"], n), "exposure": rng.integers(1, 366, n) / 365,
        "claims": rng.poisson(0.2, n), "amount": rng.lognormal(7, 2, n).round(2),
    })  # fmt: skip
    once = Experience.collect(rows, ["tier"], amount="amount")
    many = once
    for _ in range(14):  # 16,384 books: 1.6 thousand million rows
        many = many + many
    assert many.basis.rows == n << 14
    for tier in ("a", "b"):
        own = rows.filter(tier=tier)
        seen = many.cells.filter(tier=tier).row(0, named=True)
        assert seen["claims"] == int(own["claims"].sum()) << 14
        assert off(seen["exposure"], mp.fsum(map(mp.mpf, own["exposure"])) * 2**14) < 1e-13
        assert off(seen["amount"], mp.fsum(map(mp.mpf, own["amount"])) * 2**14) < 1e-13
    small, large = (fit_frequency(e, "tier").table for e in (once, many))
    assert np.allclose(
        large["coefficient"], small["coefficient"], rtol=0, atol=1e-12, equal_nan=True
    )
    for name in ("std_error_model", "std_error_robust"):
        ratio = (small[name] / large[name]).drop_nulls().drop_nans()
        assert np.allclose(ratio, 128.0, rtol=1e-11, atol=0)


def test_counts_past_the_last_whole_float_are_refused():
    rows = pl.DataFrame({"g": ["a"] * 3, "exposure": [1.0] * 3, "claims": [2**52] * 3})
    with pytest.raises(InputError):
        Experience.collect(rows, ["g"])


# ---------------------------------------------------------------- extreme weights, near-singular designs


@pytest.mark.parametrize("decades", [0, 9, 18])
def test_a_fit_holds_whatever_the_exposures(decades):
    rng = np.random.default_rng(decades)
    a, s = rng.integers(0, 3, 80), rng.integers(0, 2, 80)
    exposure = 10.0 ** rng.uniform(-decades / 2, decades / 2, 80)
    claims = rng.poisson(2.0, 80) + (np.arange(80) % 4 == 0)
    rows = pl.DataFrame({
        "a": [f"a{v}" for v in a], "s": [f"s{v}" for v in s], "exposure": exposure, "claims": claims
    })  # fmt: skip
    columns = np.c_[np.ones(80), a == 1, a == 2, s == 1]
    beta, model, robust = exact_poisson(columns, exposure, claims)
    found = fitted(rows, "a + s", {"a": "a0", "s": "s0"})
    for j, name in enumerate(("a:a1", "a:a2", "s:s1"), start=1):
        assert abs(found[name]["coefficient"] - float(beta[j])) < 1e-13
        assert off(found[name]["std_error_model"], mp.sqrt(model[j, j])) < 1e-12
        # the rows' squared scores come from sums: what cancels is at most the largest of them
        assert off(found[name]["std_error_robust"], mp.sqrt(robust[j, j])) < 1e-9


@pytest.mark.parametrize("apart", [1e-1, 1e-2, 2e-3])
def test_covariates_that_almost_go_together_lose_no_more_than_their_condition(apart):
    rng = np.random.default_rng(8)
    x = rng.uniform(20, 60, 60).round(3)
    z = x + apart * rng.normal(size=60)
    exposure, claims = rng.uniform(0.5, 2, 60), rng.poisson(np.exp(0.02 * x - 0.5))
    rows = pl.DataFrame({"x": x, "z": z, "exposure": exposure, "claims": claims})
    beta, model, _ = exact_poisson(np.c_[np.ones(60), x, z], exposure, claims)
    found = fitted(rows, "x + z", {})
    condition = 60 / apart
    for j, name in ((1, "x"), (2, "z")):
        own = next(v for k, v in found.items() if k.startswith(f"{name}:"))
        error = mp.sqrt(model[j, j])
        assert abs(own["coefficient"] - float(beta[j])) < 1e-7 * float(error)  # of its own error
        assert off(own["std_error_model"], error) < 50 * EPS * condition**2


@pytest.mark.parametrize("apart", [1e-4, 1e-13])
def test_covariates_told_apart_by_almost_nothing_are_one(apart):
    rng = np.random.default_rng(9)
    x = rng.uniform(20, 60, 60)
    z = x + apart * rng.normal(size=60)
    rows = pl.DataFrame({"x": x, "z": z, "exposure": 1.0, "claims": rng.poisson(1.0, 60)})
    found = fitted(rows, "x + z", {})
    one = next(v for k, v in found.items() if k.startswith("z:"))
    assert one["coefficient"] is None or math.isnan(one["coefficient"])
    alone = next(v for k, v in fitted(rows, "x", {}).items() if k.startswith("x:"))
    both = next(v for k, v in found.items() if k.startswith("x:"))
    assert both["coefficient"] == pytest.approx(alone["coefficient"], rel=1e-10)


def test_a_covariate_far_from_zero_is_as_good_as_one_near():
    """Calendar years and days since 1970, uncentred: the slope is that of the centred ones."""
    rng = np.random.default_rng(10)
    year = rng.integers(0, 6, 60)
    claims = rng.poisson(3.0 * 1.04**year)
    rows = pl.DataFrame({"exposure": 1.0, "claims": claims, "near": year - 2.5, "far": year + 2019.0,
                         "days": 365.25 * (year + 49.0)})  # fmt: skip
    beta, model, _ = exact_poisson(np.c_[np.ones(60), year - 2.5], np.ones(60), claims)
    for name, unit in (("near", 1.0), ("far", 1.0), ("days", 365.25)):
        found = fitted(rows.select("exposure", "claims", name), name, {})
        own = next(v for k, v in found.items() if k.startswith(name))
        assert abs(own["coefficient"] * unit - float(beta[1])) < 1e-11
        assert off(own["std_error_model"] * unit, mp.sqrt(model[1, 1])) < 1e-9


# ---------------------------------------------------------------- cancellation in second moments


@pytest.mark.parametrize("relative", [1.0, 1e-3, 1e-6])
def test_the_robust_error_of_almost_equal_amounts(relative):
    """Σ(y − ȳ)² from Σy and Σy² loses what the mean is larger than the spread, squared, and no more."""
    rng = np.random.default_rng(11)
    amounts = 50_000 * (1 + relative * rng.uniform(-0.5, 0.5, 400))
    rows = pl.DataFrame({"g": "a", "exposure": 1.0, "claims": 1, "amount": amounts})
    table = fit_severity(Experience.collect(rows, ["g"], amount="amount"), "1").table
    exact = [mp.mpf(float(v)) for v in amounts]
    mean = mp.fsum(exact) / 400
    error = mp.sqrt(mp.fsum((v - mean) ** 2 for v in exact)) / (400 * mean)
    own = table.row(0, named=True)
    assert off(np.exp(own["coefficient"]), mean) < 1e-14
    assert abs(own["std_error_robust"] ** 2 - float(error**2)) < 50 * EPS / 400
    assert off(own["std_error_robust"], error) < 200 * EPS / relative**2


def test_a_cash_benefit_has_no_spread_and_no_nan():
    rows = pl.DataFrame({"g": ["a", "b"] * 50, "exposure": 1.0, "claims": 1, "amount": 123_456.78})
    table = fit_severity(Experience.collect(rows, ["g"], amount="amount"), "g").table
    errors = table["std_error_robust"].drop_nulls().to_numpy()
    assert np.isfinite(errors).all()
    assert (errors < 1e-7).all()


def test_the_unit_of_money_moves_nothing_but_the_unit():
    rng = np.random.default_rng(12)
    n = 2000
    rows = pl.DataFrame({
        "g": rng.choice(["a", "b", "c"], n), "exposure": rng.uniform(0.01, 1, n),
        "claims": rng.poisson(0.8, n),
    }).with_columns(amount=pl.Series(rng.lognormal(6, 2, n)) * (pl.col("claims") > 0))  # fmt: skip
    found = {}
    for unit in (1.0, 2.0**-40, 2.0**40):  # powers of two: not a bit may change
        scaled = rows.with_columns(amount=pl.col("amount") * unit)
        seen = Experience.collect(scaled, ["g"], amount="amount")
        found[unit] = one_way(seen, "g", by="amount").table, fit_severity(seen, "g").table
    for unit in (2.0**-40, 2.0**40):
        for column in ("pure_premium", "lower", "upper"):
            ours = found[unit][0][column] / unit
            assert np.allclose(ours, found[1.0][0][column], rtol=1e-12, atol=0)
        for column in ("relativity", "std_error_robust"):
            one, other = (found[u][1][column][1:] for u in (1.0, unit))
            assert np.allclose(one, other, rtol=1e-9, atol=0, equal_nan=True)


# ---------------------------------------------------------------- tiny and huge, room by room


def test_credibility_with_weights_of_twenty_decades():
    rng = np.random.default_rng(13)
    group = np.repeat([f"g{i}" for i in range(6)], 5)
    weight = 10.0 ** rng.uniform(-10, 10, 30)
    value = 1 + 0.1 * np.repeat(rng.normal(size=6), 5) + rng.normal(size=30) / np.sqrt(weight)
    frame = pl.DataFrame({"g": group, "x": value, "w": weight})
    found = buhlmann_straub(frame, group="g", value="x", weight="w")
    w, x = ([mp.mpf(float(v)) for v in values] for values in (weight, value))
    parts = [range(5 * i, 5 * i + 5) for i in range(6)]
    sums = [mp.fsum(w[k] for k in part) for part in parts]
    means = [mp.fdot((w[k] for k in p), (x[k] for k in p)) / s for p, s in zip(parts, sums, strict=True)]  # fmt: skip
    within = mp.fsum(w[k] * (x[k] - m) ** 2 for p, m in zip(parts, means, strict=True) for k in p) / 24  # fmt: skip
    whole = mp.fsum(sums)
    grand = mp.fdot(sums, means) / whole
    between = (mp.fsum(s * (m - grand) ** 2 for s, m in zip(sums, means, strict=True)) - 5 * within) / (whole - mp.fsum(s**2 for s in sums) / whole)  # fmt: skip
    for s, own in zip(sums, found.table["credibility"], strict=True):
        z = s / (s + within / between) if between > 0 else mp.mpf(0)
        assert abs(own - float(z)) < 1e-10 * max(float(z), 1e-12) + 1e-15


def test_survival_of_a_thousand_million_lives():
    days = 365
    exits = pl.DataFrame({"exit": np.arange(1.0, days + 1)}).with_columns(
        event=pl.lit(True), weight=1.0
    )
    lives = Lives.collect(exits)
    many = lives
    for _ in range(21):  # 365 × 2²¹ = 765 million
        many = many + many
    table = survival_curve(many).table.filter(pl.col("survival") > 0)
    exact, green = mp.mpf(1), mp.mpf(0)
    for k, row in enumerate(table.filter(pl.col("time") > 0).iter_rows(named=True)):
        at_risk = mp.mpf(days - k) * 2**21
        exact *= 1 - mp.mpf(2**21) / at_risk
        green += mp.mpf(2**21) / (at_risk * (at_risk - 2**21))
        assert off(row["survival"], exact) < 1e-12
        if "std_error" in row:
            assert off(row["std_error"], exact * mp.sqrt(green)) < 1e-10


@pytest.mark.parametrize("interest", [1e-15, 1e-9, 0.025])
def test_annuities_as_interest_goes_to_nothing(interest):
    """(1 − v)/d and its like cancel there; values go to those without interest, smoothly."""
    none = life_values(STANDARD_ULTIMATE, age=60, interest=0.0).facts
    some = life_values(STANDARD_ULTIMATE, age=60, interest=interest).facts
    assert 0 < none["annuity_due"] - some["annuity_due"] + 1e-11 < 1000 * interest + 1e-10
    d = mp.mpf(interest) / (1 + mp.mpf(interest))
    assert off(some["assurance"], 1 - d * mp.mpf(some["annuity_due"])) < 1e-12


@pytest.mark.parametrize("force", [1e-12, 0.1, 50.0])
def test_a_reserve_of_level_intensities_is_the_closed_form(force):
    model = state_model({("alive", "dead"): force})
    found = thiele(
        model, [WhileIn("alive", 1.0), OnMove("alive", "dead", 2.0)], age=60, years=30,
        interest=force_of_interest(1e-9),
    )  # fmt: skip
    rate = mp.mpf(force) + mp.mpf(1e-9)
    exact = -mp.expm1(-30 * rate) / rate * (1 + 2 * mp.mpf(force))
    assert off(found.reserve("alive"), exact) < 1e-9


@pytest.mark.parametrize(("load", "servers"), [(1e-9, 5), (100.0, 150), (1e4, 10_300), (1e5, 100_200)])  # fmt: skip
def test_erlang_at_every_scale(load, servers):
    blocked = mp.mpf(1)
    for k in range(1, servers + 1):
        blocked = load * blocked / (k + load * blocked)
    waits = blocked / (1 - mp.mpf(load) / servers * (1 - blocked))
    assert off(erlang_b(load, servers).item(), blocked) < 1e-13
    assert off(erlang_c(load, servers).item(), waits) < 1e-12


@pytest.mark.parametrize("attachment", [1e4, 3e4, 1e5, 6e5])
def test_a_layer_far_out_keeps_its_digits(attachment):
    """E[X∧(a + w)] − E[X∧a] has no digit left where the layer is a 10⁻²⁰ of the mean."""
    layer = severity_law(stats.expon(scale=1000.0)).under(Terms(attachment=attachment, width=5e3))
    one, two = (mp.exp(-mp.mpf(v) / 1000) for v in (attachment, attachment + 5e3))
    assert off(layer.mean, 1000 * (one - two)) < 1e-12


@pytest.mark.parametrize("attachment", [1e5, 1e9, 1e14])
def test_a_thin_layer_of_a_heavy_tail_keeps_its_digits(attachment):
    alpha, width = mp.mpf(1.05), attachment * 1e-4
    layer = severity_law(stats.pareto(1.05, scale=100.0)).under(
        Terms(attachment=attachment, width=width)
    )
    ends = [mp.mpf(v) ** (1 - alpha) for v in (attachment, attachment + width)]
    assert off(layer.mean, mp.mpf(100) ** alpha / (alpha - 1) * (ends[0] - ends[1])) < 1e-11


@pytest.mark.parametrize(("claims", "allowed"), [(1e-3, 1e-6), (1e3, 1e-5), (1e7, 1e-4), (1e9, 1e-3)])  # fmt: skip
def test_the_total_of_books_of_every_size(claims, allowed):
    year = aggregate_loss(poisson(claims), stats.gamma(2, scale=500.0))
    assert year.mean == pytest.approx(claims * 1000, rel=1e-9)
    assert year.facts["sd"] == pytest.approx(math.sqrt(claims * 1.5e6), rel=allowed)
    if claims >= 1e7:  # normal by now
        far = (year.facts["value_at_risk"] - claims * 1000) / math.sqrt(claims * 1.5e6)
        assert far == pytest.approx(stats.norm.ppf(0.995), abs=2e-3)


@pytest.mark.parametrize("unit", [2.0**-30, 2.0**40])
def test_macks_error_scales_with_the_money(unit):
    rng = np.random.default_rng(14)
    rows = pl.DataFrame([
        {"incurred": date(2018 + i, 1, 1), "paid": date(2018 + i + j, 1, 1), "amount": float(rng.gamma(5, 1000 / (1 + j * j)))}
        for i in range(6) for j in range(6 - i)
    ])  # fmt: skip
    scaled = rows.with_columns(amount=pl.col("amount") * unit)
    one, other = (
        mack(claim_triangle(r, valuation=date(2023, 12, 31), grain="year")).table
        for r in (rows, scaled)
    )
    for name in ("ultimate", "std_error"):
        assert np.allclose(other[name] / unit, one[name], rtol=1e-11, atol=0)


def test_shares_of_a_chain_that_hardly_moves():
    """Moves of 1e-12 a year: 1 − a has four digits of a left, and so has the answer."""
    a, b = 3e-12, 1e-12
    shares = stationary_shares(np.array([[1 - a, a], [b, 1 - b]]))
    exact = mp.mpf(b) / (mp.mpf(a) + mp.mpf(b))
    assert off(shares[0], exact) < 2 * EPS / (a + b)


@pytest.mark.parametrize("unit", [1e-9, 1e9])
def test_ginis_do_not_see_the_size_of_the_book(unit):
    rng = np.random.default_rng(15)
    rows = pl.DataFrame({
        "age": [f"{i}" for i in range(20)], "exposure": rng.uniform(1, 9, 20),
        "claims": rng.poisson(5.0, 20),
    })  # fmt: skip
    model = pl.col("age").cast(pl.String).cast(pl.Float64) + 1
    one = lorenz(Experience.collect(rows, ["age"]), model).facts["gini"]
    other = lorenz(
        Experience.collect(rows.with_columns(exposure=pl.col("exposure") * unit), ["age"]), model
    ).facts["gini"]
    assert other == pytest.approx(one, rel=1e-12)


def test_the_number_of_the_ill_among_many_classes():
    """Rare chances by power sums, others by logarithms: both to rounding, wherever z lies."""
    rng = np.random.default_rng(16)
    members = rng.integers(1, 3_000_000, 40)
    chances = np.r_[10.0 ** rng.uniform(-9, -1.4, 34), rng.uniform(0.05, 1, 6)]
    members[34:] = 3
    z = np.exp(1j * np.array([0.0, 1e-7, 1e-4, 2e-3, 0.1, 3.0])) * np.array([1, 1, 1, 1, 0.99, 1])
    law = poisson_binomial(members, chances)
    for at, ours in zip(z, law.pgf(z), strict=True):
        log = mp.fsum(
            int(n) * mp.log(1 + mp.mpf(float(q)) * (mp.mpc(at) - 1))
            for n, q in zip(members, chances, strict=True)
        )
        assert abs(complex(mp.mpc(complex(ours)) - mp.exp(log))) < 1e-15 * law.mean + 1e-14
