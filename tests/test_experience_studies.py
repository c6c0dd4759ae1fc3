"""Studies: by count and by amount, against hand, rows, bootstrap and brute force."""

import math

import numpy as np
import polars as pl
import pytest
from scipy.stats import chi2

from pricing.claims.models import fit_frequency
from pricing.errors import InputError
from pricing.estimate.credibility import credibility_of_cells
from pricing.estimate.credible import credible_experience
from pricing.estimate.graduation import graduate
from pricing.estimate.limited import full_credibility, limited_fluctuation
from pricing.estimate.whittaker import GRID, penalised_poisson, whittaker
from pricing.experience.cells import Experience
from pricing.experience.views import actual_to_expected, one_way, two_way
from pricing.result.shape import Result
from pricing.result.words import catalogue

Z = 1.959963984540054
TIERS = ["basic", "premium", "standard"]


def book(rows=20_000, seed=4):
    rng = np.random.default_rng(seed)
    sex, tier, age = rng.integers(0, 2, rows), rng.integers(0, 3, rows), rng.integers(0, 40, rows)
    exposure = rng.uniform(0.05, 1.0, rows)
    mean = exposure * np.exp(-1.2 + 0.3 * sex + 0.2 * tier + 0.03 * age)
    claims = rng.poisson(rng.gamma(mean / 1.5, 1.5))
    return pl.DataFrame(
        {
            "sex": np.array(["female", "male"])[sex],
            "tier": np.array(TIERS)[tier],
            "age": age + 20,
            "exposure": exposure,
            "claims": claims,
            "amount": claims * rng.lognormal(6, 0.7, rows),
            "hoped": 0.4 * exposure * (1 + sex),
            "hoped_amount": 300 * exposure,
        }
    )


def collected(rows, keys=("sex", "tier", "age")):
    return Experience.collect(rows, keys, amount="amount", sums=["hoped", "hoped_amount"])


@pytest.fixture(scope="module")
def rows():
    return book()


@pytest.fixture(scope="module")
def seen(rows):
    return collected(rows)


# -- one-way by amount ---------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["claims", "amount"])
def test_robust_and_normal_are_the_ratio_estimators_of_the_rows(rows, seen, by):
    name = {"claims": "frequency", "amount": "pure_premium"}[by]
    robust, normal = (one_way(seen, "tier", by=by, interval=i).table for i in ("robust", "normal"))
    for one, two in zip(robust.iter_rows(named=True), normal.iter_rows(named=True), strict=True):
        part = rows.filter(tier=one["tier"])
        a, e = part[by].to_numpy().astype(float), part["exposure"].to_numpy()
        ratio = a.sum() / e.sum()
        error = math.sqrt(((a - ratio * e) ** 2).sum())
        assert one[name] == pytest.approx(ratio, rel=1e-12)
        assert (one["lower"], one["upper"]) == pytest.approx(
            (ratio * math.exp(-Z * error / a.sum()), ratio * math.exp(Z * error / a.sum())),
            rel=1e-9,
        )
        assert (two["lower"], two["upper"]) == pytest.approx(
            (ratio - Z * error / e.sum(), ratio + Z * error / e.sum()), rel=1e-9
        )


def test_the_interval_by_amount_is_what_the_bootstrap_of_rows_says():
    rows = book(4_000)
    table = one_way(collected(rows), "tier", by="amount").table
    rng = np.random.default_rng(9)
    for row in table.iter_rows(named=True):
        part = rows.filter(tier=row["tier"])
        a, e = part["amount"].to_numpy(), part["exposure"].to_numpy()
        draws = rng.integers(0, len(a), (3_000, len(a)))
        low, high = np.quantile(a[draws].sum(axis=1) / e[draws].sum(axis=1), [0.025, 0.975])
        assert (row["lower"], row["upper"]) == pytest.approx((low, high), rel=0.03)
        assert math.log(row["upper"] / row["lower"]) == pytest.approx(
            math.log(high / low), rel=0.08
        )


def test_a_single_row_is_not_taken_for_certain_by_amount():
    rows = pl.DataFrame(
        {"t": ["a", "b"], "exposure": [1.0, 2.0], "claims": [4, 1], "amount": [80.0, 5.0]}
    )
    seen = Experience.collect(rows, ["t"], amount="amount")
    row = one_way(seen, "t", by="amount").table.row(0, named=True)
    assert row["upper"] / row["pure_premium"] == pytest.approx(math.exp(Z / 2), rel=1e-12)
    row = one_way(seen, "t", by="amount", interval="normal").table.row(0, named=True)
    assert row["upper"] - row["pure_premium"] == pytest.approx(Z * 80 / 2, rel=1e-12)
    row = one_way(seen, "t", by="amount", interval="normal").table.row(1, named=True)
    assert row["lower"] == 0.0  # cut off, not negative


def test_a_level_without_an_amount_takes_the_exact_count_at_the_mean_amount():
    rows = pl.DataFrame(
        {
            "t": ["a", "b", "b"],
            "exposure": [10.0, 1.0, 1.0],
            "claims": [0, 1, 1],
            "amount": [0.0, 30.0, 50.0],
        }
    )
    for interval in ("robust", "normal"):
        table = one_way(
            Experience.collect(rows, ["t"], amount="amount"), "t", by="amount", interval=interval
        ).table
        assert table["lower"][0] == 0.0
        assert table["upper"][0] == pytest.approx(chi2.ppf(0.975, 2) / 2 * 40 / 10, rel=1e-12)


def test_amounts_follow_their_units_and_neither_order_nor_level_names_matter(rows, seen):
    plain = one_way(seen, "tier", by="amount").table
    cents = rows.with_columns(pl.col("amount") * 100, pl.col("exposure") * 12)
    monthly = one_way(collected(cents), "tier", by="amount").table
    for name in ("pure_premium", "lower", "upper"):
        np.testing.assert_allclose(monthly[name], plain[name] * 100 / 12, rtol=1e-10)
    shuffled = collected(rows.sample(fraction=1, shuffle=True, seed=1))
    again = one_way(shuffled, "tier", by="amount").table
    for name in ("pure_premium", "lower", "upper"):
        np.testing.assert_allclose(again[name], plain[name], rtol=1e-10)


def test_the_basis_says_which_interval(seen):
    notes = {
        i: one_way(seen, "sex", interval=i).basis.notes[-1] for i in ("robust", "normal", "poisson")
    }
    assert "spread of the rows" in notes["robust"]
    assert "symmetric normal" in notes["normal"]
    assert "Garwood" in notes["poisson"]


def test_by_amount_refuses_what_it_cannot_give(rows, seen):
    bare = Experience.collect(rows, ["sex"])
    with pytest.raises(InputError, match=r"carries no amounts.*\n.*collect it with amount="):
        one_way(bare, "sex", by="amount")
    with pytest.raises(InputError, match="one of counts, not of amounts"):
        one_way(seen, "sex", by="amount", interval="poisson")
    with pytest.raises(InputError, match="'amounts'; did you mean 'amount'"):
        one_way(seen, "sex", by="amounts")
    with pytest.raises(InputError, match="'robst'; did you mean 'robust'"):
        one_way(seen, "sex", interval="robst")
    with pytest.raises(InputError, match="'tyer'; did you mean 'tier'"):
        one_way(seen, "tyer", by="amount")
    nothing = collected(rows.with_columns(amount=0.0))
    with pytest.raises(InputError, match="no amount above zero"):
        one_way(nothing, "sex", by="amount")
    named = Experience.collect(rows.rename({"sex": "frequency"}), ["frequency"])
    with pytest.raises(InputError, match="'frequency' is the name of a result's column"):
        one_way(named, "frequency")


# -- two-way -------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["claims", "amount"])
def test_two_way_is_the_one_way_of_the_crossed_factor(rows, seen, by):
    name = {"claims": "frequency", "amount": "pure_premium"}[by]
    crossed = rows.with_columns(both=pl.col("sex") + " × " + pl.col("tier"))
    one = one_way(Experience.collect(crossed, ["both"], amount="amount"), "both", by=by).table
    two = two_way(seen, "sex", "tier", by=by).table
    assert two.height == 6
    for column in ("rows", "exposure", "claims", name, "lower", "upper"):
        np.testing.assert_allclose(two[column], one[column], rtol=1e-10)
    np.testing.assert_allclose(two["departure"] * two["main_effects"], two[name], rtol=1e-12)
    np.testing.assert_allclose(
        two["departure_upper"] * two["main_effects"], two["upper"], rtol=1e-12
    )
    turned = two_way(seen, "tier", "sex", by=by).table.sort("sex", "tier")
    np.testing.assert_allclose(turned["main_effects"], two["main_effects"], rtol=1e-9)


def test_main_effects_are_the_multiplicative_poisson_fit(seen):
    table = two_way(seen, "sex", "tier").table
    model = fit_frequency(seen, "sex + tier")
    rate = table.select(rate=model.rate())["rate"]
    np.testing.assert_allclose(table["main_effects"], rate, rtol=1e-8)


def test_where_exposures_are_independent_they_are_the_product_of_the_one_ways():
    rng = np.random.default_rng(3)
    rows = pl.DataFrame(
        {"a": np.repeat(["x", "y", "z"], 4), "b": ["k", "l", "m", "n"] * 3,
         "exposure": np.outer([1.0, 5.0, 2.0], [3.0, 1.0, 4.0, 2.0]).ravel() * 10,
         "claims": rng.poisson(20, 12)}
    )  # fmt: skip
    seen = Experience.collect(rows, ["a", "b"])
    first, second = one_way(seen, "a").table["frequency"], one_way(seen, "b").table["frequency"]
    whole = seen.basis.claims / seen.basis.exposure
    np.testing.assert_allclose(
        two_way(seen, "a", "b").table["main_effects"],
        np.outer(first, second).ravel() / whole,
        rtol=1e-10,
    )


def test_correlated_factors_are_not_taken_for_an_interaction_and_a_planted_one_is_named():
    exposure = np.array([[9e3, 3e3], [3e3, 9e3]])
    rate = np.outer([0.1, 0.3], [1.0, 2.0])

    def found(rate):
        rows = pl.DataFrame(
            {"a": ["x", "x", "y", "y"], "b": ["k", "l", "k", "l"],
             "exposure": exposure.ravel(), "claims": (exposure * rate).ravel()}
        )  # fmt: skip
        return two_way(Experience.collect(rows, ["a", "b"]), "a", "b")

    np.testing.assert_allclose(found(rate).table["departure"], 1.0, rtol=1e-9)
    assert found(rate).facts["outside"] == 0
    planted = found(rate * [[1, 1], [1, 2.0]])
    assert planted.facts["outside"] > 0
    for name in ("departure", "departure_lower", "departure_upper"):
        row = planted.table.filter(
            pl.concat_str(pl.col("a", "b").cast(pl.String), separator=" × ")
            == planted.facts["cell"]
        )
        assert row[name][0] == planted.facts[name]
        assert f"{row[name][0]:.2f}" in planted.finding("en")


def test_two_way_leaves_out_combinations_without_exposure_and_survives_zeros():
    rows = pl.DataFrame(
        {
            "a": ["x", "y", "y"],
            "b": ["k", "k", "l"],
            "exposure": [1.0, 2.0, 3.0],
            "claims": [0, 4, 6],
        }
    )
    found = two_way(Experience.collect(rows, ["a", "b"]), "a", "b")
    assert found.table.height == 3
    assert found.table["main_effects"].to_list() == pytest.approx([0.0, 2.0, 2.0])
    assert found.table["departure"].to_list() == [None, pytest.approx(1.0), pytest.approx(1.0)]
    nothing = two_way(Experience.collect(rows.with_columns(claims=0), ["a", "b"]), "a", "b")
    assert nothing.facts["cell"] is None
    assert "departure" not in nothing.finding("en")
    assert len(found.figure().data) == len(nothing.figure().data) == 4


def test_two_way_refuses_one_factor_twice_and_unknown_ones(seen):
    with pytest.raises(InputError, match="given as both factors"):
        two_way(seen, "sex", "sex")
    with pytest.raises(InputError, match="'tyer'; did you mean 'tier'"):
        two_way(seen, "sex", "tyer")
    with pytest.raises(InputError, match="'tyer'; did you mean 'tier'"):
        two_way(seen, "tyer", "sex")


def test_few_levels_are_drawn_as_intervals_many_as_a_heat_map(seen):
    few = two_way(seen, "tier", "sex")
    bars = [t for t in few.figure().data if t.type == "bar"]
    points = [t for t in few.figure("zh").data if t.type == "scatter"]
    assert [t.name for t in points] == ["女", "男"]
    assert [v for t in bars for v in t.y] == few.table.sort("sex", "tier")["exposure"].to_list()
    assert list(bars[1].base) == list(bars[0].y)
    assert [v for t in points for v in t.y] == few.table.sort("sex", "tier")["frequency"].to_list()
    many = two_way(seen, "age", "tier", by="amount").figure()
    assert many.data[0].type == "heatmap"
    assert np.array(many.data[0].z).shape == (40, 3)


# -- actual to expected --------------------------------------------------------------------------


def test_expected_columns_are_added_up_and_their_interval_is_the_counts(rows, seen):
    table = actual_to_expected(seen, "hoped", "tier").table
    plain = rows.group_by("tier").agg(pl.col("claims", "hoped").sum()).sort("tier")
    np.testing.assert_allclose(table["expected"], plain["hoped"], rtol=1e-12)
    np.testing.assert_allclose(
        table["upper"], chi2.ppf(0.975, 2 * plain["claims"] + 2) / 2 / plain["hoped"], rtol=1e-10
    )
    np.testing.assert_allclose(
        table["lower"], chi2.ppf(0.025, 2 * plain["claims"]) / 2 / plain["hoped"], rtol=1e-10
    )
    normal = actual_to_expected(seen, "hoped", "tier", interval="normal")
    np.testing.assert_allclose(
        normal.table["upper"] - normal.table["actual_to_expected"],
        Z * np.sqrt(plain["claims"]) / plain["hoped"], rtol=1e-10,
    )  # fmt: skip
    assert "Poisson variance" in normal.basis.notes[-1]
    with pytest.raises(InputError, match="do not tell how the rows spread"):
        actual_to_expected(seen, "hoped", "tier", interval="robust")


def test_expected_amounts_from_a_column_and_from_a_rate(rows, seen):
    column = actual_to_expected(seen, "hoped_amount", "sex", by="amount")
    plain = rows.group_by("sex").agg(
        pl.col("amount", "hoped_amount").sum(), square=pl.col("amount").pow(2).sum()
    ).sort("sex")  # fmt: skip
    np.testing.assert_allclose(column.table["expected_amount"], plain["hoped_amount"], rtol=1e-12)
    np.testing.assert_allclose(
        column.table["upper"] - column.table["actual_to_expected"],
        Z * plain["square"].sqrt() / plain["hoped_amount"], rtol=1e-10,
    )  # fmt: skip
    assert "compound-Poisson" in column.basis.notes[-1]
    rate = actual_to_expected(seen, pl.lit(300.0), "sex", by="amount")
    own = one_way(seen, "sex", by="amount").table
    np.testing.assert_allclose(rate.table["upper"] * 300, own["upper"], rtol=1e-11)
    assert "amounts" in rate.finding("en")
    vary = actual_to_expected(seen, 5.0 * pl.col("age"), "sex", by="amount").table
    for row in vary.iter_rows(named=True):
        part = rows.filter(sex=row["sex"])
        mu = (5.0 * part["age"] * part["exposure"]).to_numpy()
        a = part["amount"].to_numpy()
        error = math.sqrt(((a - a.sum() / mu.sum() * mu) ** 2).sum()) / a.sum()
        assert row["upper"] == pytest.approx(a.sum() / mu.sum() * math.exp(Z * error), rel=1e-9)


def test_a_columns_cell_rate_gives_the_rows_spread_where_it_is_one(seen):
    rate = actual_to_expected(seen, pl.col("hoped") / pl.col("exposure"), "tier").table
    column = actual_to_expected(seen, "hoped", "tier").table
    np.testing.assert_allclose(rate["actual_to_expected"], column["actual_to_expected"], rtol=1e-12)
    assert (rate["upper"] > column["upper"]).all()  # the book is over-dispersed


def test_expected_columns_that_cannot_serve_are_refused(rows, seen):
    with pytest.raises(InputError, match=r"'hopped' is not a sum.*did you mean 'hoped'"):
        actual_to_expected(seen, "hopped", "sex")
    with pytest.raises(InputError, match="'age' is not a sum"):
        actual_to_expected(seen, "age", "sex")
    for bad in (-1.0, float("nan"), float("inf"), None):
        hoped = pl.when(pl.col("sex") == "male").then(pl.lit(bad, pl.Float64)).otherwise(1.0)
        with pytest.raises(InputError, match=r"null(,| or) not finite.* in 120 of 240 cells"):
            actual_to_expected(seen.with_sums(hoped=hoped), "hoped", "tier")
    empty = seen.with_sums(hoped=pl.when(pl.col("sex") == "male").then(0.0).otherwise(1.0))
    with pytest.raises(InputError, match=r"adds up to zero for 1 level.*\n  - male"):
        actual_to_expected(empty, "hoped", "sex")
    assert actual_to_expected(empty, "hoped", "tier").table.height == 3
    with pytest.raises(InputError, match="'sx'; did you mean 'sex'"):
        actual_to_expected(seen, "hoped", "sx")
    with pytest.raises(InputError, match="carries no amounts"):
        actual_to_expected(Experience.collect(rows, ["sex"]), pl.lit(1.0), "sex", by="amount")


# -- credibility ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("p", "k", "claims"), [(0.90, 0.05, 1082), (0.95, 0.05, 1537), (0.99, 0.05, 2654)]
)
def test_published_standards_for_full_credibility(p, k, claims):
    assert round(full_credibility(probability=p, tolerance=k)) == claims


def test_the_standard_adds_frequency_and_severity():
    poisson = full_credibility()
    assert full_credibility(severity_cv=1.5) == pytest.approx(poisson * (1 + 2.25), rel=1e-14)
    assert full_credibility(dispersion=0, severity_cv=1.5) == pytest.approx(
        poisson * 2.25, rel=1e-14
    )
    assert full_credibility(tolerance=0.1) == pytest.approx(poisson / 4, rel=1e-14)
    for bad in ({"probability": 1.0}, {"tolerance": 0.0}, {"dispersion": -1.0}, {"dispersion": 0.0},
                {"severity_cv": -1.0}, {"severity_cv": math.nan}, {"tolerance": math.nan}):  # fmt: skip
        with pytest.raises(InputError):
            full_credibility(**bad)


def test_the_square_root_rule_by_hand(seen):
    found = limited_fluctuation(seen, "tier", probability=0.99, tolerance=0.02)
    full = (2.5758293035489004 / 0.02) ** 2
    z = np.minimum(1, np.sqrt(found.table["claims"].to_numpy() / full))
    np.testing.assert_allclose(found.table["credibility_limited"], z, rtol=1e-12)
    whole = seen.basis.claims / seen.basis.exposure
    np.testing.assert_allclose(
        found.table["credible_limited"],
        z * found.table["frequency"].to_numpy() + (1 - z) * whole,
        rtol=1e-12,
    )
    assert found.facts["complement_name"] == "whole experience"
    given = limited_fluctuation(seen, "tier", expected=pl.lit(0.5), complement=1.0)
    assert given.facts["full"] == 3
    np.testing.assert_allclose(given.table["credible_limited"], given.table["actual_to_expected"])


def test_variability_from_the_rows_is_that_of_the_compound_count():
    rng = np.random.default_rng(1)
    claims = rng.poisson(0.5, 200_000)  # one exposure each: Poisson, severity CV 1
    amount = np.where(claims > 0, rng.gamma(claims.clip(1), 100.0), 0.0)
    rows = pl.DataFrame(
        {
            "g": rng.choice(["a", "b"], len(claims)),
            "exposure": 1.0,
            "claims": claims,
            "amount": amount,
        }
    )
    seen = Experience.collect(rows, ["g"], amount="amount")
    found = limited_fluctuation(seen, "g", by="amount")
    assert found.facts["variability"] == pytest.approx(1 + 1, rel=0.02)
    given = limited_fluctuation(seen, "g", by="amount", severity_cv=1.0)
    assert given.facts["full_claims"] == pytest.approx(2 * full_credibility(), rel=1e-12)
    assert "rows' amounts" in found.basis.notes[-1]
    with pytest.raises(InputError, match="a count has no severity"):
        limited_fluctuation(seen, "g", severity_cv=1.0)
    with pytest.raises(InputError, match="complement must be zero or more"):
        limited_fluctuation(seen, "g", complement=math.nan)
    with pytest.raises(InputError, match="no claims to believe"):
        limited_fluctuation(Experience.collect(rows.with_columns(claims=0), ["g"]), "g")


def test_both_credibilities_stand_beside_actual_to_expected(seen):
    model = fit_frequency(seen, "sex + tier")
    rate = model.rate(without="tier")
    found = credible_experience(seen, rate, "tier", tolerance=0.01)
    raw, buhlmann = actual_to_expected(seen, rate, "tier"), credibility_of_cells(seen, rate, "tier")
    limited = limited_fluctuation(seen, "tier", expected=rate, tolerance=0.01)
    assert found.table.select(raw.table.columns).equals(raw.table)
    assert found.table["credibility_limited"].equals(limited.table["credibility_limited"])
    assert found.table["credible_limited"].equals(limited.table["credible_limited"])
    assert found.table["credibility_buhlmann"].equals(
        buhlmann.table["credibility"], check_names=False
    )
    assert found.table["credible_buhlmann"].equals(buhlmann.table["premium"], check_names=False)
    one = Experience.collect(book(50).with_columns(g=pl.lit("only")), ["g"])
    with pytest.raises(InputError, match="two groups or more"):
        credible_experience(one, pl.lit(1.0), "g")


# -- graduation ----------------------------------------------------------------------------------


def dense(y, w, order, smoothing):
    d = np.diff(np.eye(len(y)), order, axis=0)
    return np.linalg.inv(np.diag(w) + smoothing * d.T @ d)


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("smoothing", [0.01, 10.0, 1e4])
def test_the_banded_solution_is_the_dense_one(order, smoothing):
    rng = np.random.default_rng(2)
    y, w = rng.normal(size=30), rng.uniform(0, 5, 30) * (rng.uniform(size=30) > 0.2)
    smooth, inverse = (
        whittaker(y, w, order=order, smoothing=smoothing),
        dense(y, w, order, smoothing),
    )
    np.testing.assert_allclose(smooth.fitted, inverse @ (w * y), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(smooth.variance, inverse.diagonal(), rtol=1e-6)
    assert smooth.effective == pytest.approx(np.trace(inverse @ np.diag(w)), rel=1e-7)
    for k in range(order):  # the moments are kept
        assert (w * (y - smooth.fitted) * np.arange(30.0) ** k).sum() == pytest.approx(0, abs=1e-5)


def test_first_differences_of_a_peer():
    """Printed in the README of Whittaker.jl: whittaker1 of these values, lambda 1e-4 (cut, not rounded)."""
    y = w = np.array([1.0, 1.2, 0.0, 1.6, 1.8])
    assert whittaker(y, w, order=1, smoothing=1e-4).fitted == pytest.approx(
        [1.00002, 1.2, 1.4, 1.6, 1.79998], abs=1e-5
    )


@pytest.mark.parametrize("by", ["claims", "amount"])
def test_no_smoothing_returns_the_crude_rates_and_endless_smoothing_the_polynomial(seen, by):
    name = {"claims": "frequency", "amount": "pure_premium"}[by]
    crude = one_way(seen, "age", by=by).table
    for scale in ("rate", "log"):
        rough = graduate(seen, "age", by=by, smoothing=0.0, scale=scale).table
        np.testing.assert_allclose(rough["graduated"], crude[name], rtol=1e-8)
        np.testing.assert_allclose(rough[name], crude[name], rtol=1e-12)
    for order in (1, 2, 3):
        x, w = crude["age"].to_numpy() - 40.0, crude["exposure"].to_numpy()
        line = np.polyval(np.polyfit(x, crude[name].to_numpy(), order - 1, w=np.sqrt(w)), x)
        for smoothing, close in ((math.inf, 1e-9), (1e11, 1e-3)):
            found = graduate(seen, "age", by=by, order=order, smoothing=smoothing, scale="rate")
            np.testing.assert_allclose(found.table["graduated"], line, rtol=close)
            assert found.facts["effective"] == pytest.approx(order, abs=1e-2)


def test_the_log_scale_at_endless_smoothing_is_the_poisson_regression(seen):
    found = graduate(seen, "age", scale="log", smoothing=math.inf)
    model = fit_frequency(seen.by("age"), "age")
    rate = found.table.select(rate=model.rate())["rate"]
    np.testing.assert_allclose(found.table["graduated"], rate, rtol=1e-7)


@pytest.mark.parametrize("scale", ["rate", "log"])
@pytest.mark.parametrize("by", ["claims", "amount"])
def test_totals_and_mean_age_are_preserved(seen, scale, by):
    table = graduate(seen, "age", by=by, scale=scale).table
    for k in (0, 1):
        actual = (table[by] * table["age"] ** k).sum()
        assert (table["graduated"] * table["exposure"] * table["age"] ** k).sum() == pytest.approx(
            actual, rel=1e-8
        )


def test_the_chosen_smoothing_beats_every_other(seen):
    crude = one_way(seen, "age").table
    y, w = crude["frequency"].to_numpy(), crude["exposure"].to_numpy()

    def score(smoothing):
        inverse = dense(y, w, 2, smoothing)
        g = inverse @ (w * y)
        left = len(y) - 1.4 * np.trace(inverse @ np.diag(w))
        return len(y) * (w * (y - g) ** 2).sum() / left**2 if left > 0 else math.inf

    found = graduate(seen, "age", scale="rate")
    chosen = found.facts["smoothing"]
    assert chosen is not None
    assert score(chosen) <= min(score(w.mean() * 10.0**p) for p in GRID) + 1e-12
    assert score(chosen) <= min(score(chosen * f) for f in (0.9, 0.99, 1.01, 1.1)) + 1e-12
    assert f"{chosen:.4g}" in found.finding("en")


def test_the_band_is_the_posterior_one_and_widens_where_exposure_is_thin(rows, seen):
    found = graduate(seen, "age", smoothing=2000.0, scale="rate")
    t = found.table
    spread = 0.0
    for (_,), part in rows.group_by("age"):
        n, e = part["claims"].to_numpy(), part["exposure"].to_numpy()
        spread += ((n - n.sum() / e.sum() * e) ** 2).sum()
    sigma = spread / rows["exposure"].sum()
    variance = dense(t["graduated"], t["exposure"].to_numpy(), 2, 2000.0).diagonal()
    np.testing.assert_allclose(t["std_error"], np.sqrt(sigma * variance), rtol=1e-7)
    np.testing.assert_allclose(t["upper"] - t["graduated"], Z * t["std_error"], rtol=1e-9)
    fewer = pl.concat([rows.filter(pl.col("age") < 45), rows.filter(pl.col("age") >= 45)[::20]])
    thin = graduate(collected(fewer), "age", smoothing=2000.0, scale="rate").table
    wider = (thin["upper"] - thin["lower"]) / (t["upper"] - t["lower"])
    assert wider[:15].max() < 1.1
    assert wider[-10:].min() > 1.4


@pytest.mark.parametrize("scale", ["rate", "log"])
def test_the_band_holds_the_truth_about_as_often_as_it_says(scale):
    rng = np.random.default_rng(6)
    ages = np.arange(30, 70)
    exposure = 400 * np.exp(-(((ages - 45) / 15.0) ** 2)) + 5
    truth = 0.25 + 0.05 * np.sin((ages - 30) / 9)
    held = []
    for _ in range(60):
        rows = pl.DataFrame(
            {"age": ages, "exposure": exposure, "claims": rng.poisson(exposure * truth)}
        )
        t = graduate(Experience.collect(rows, ["age"]), "age", scale=scale).table
        held.append(((t["lower"].to_numpy() <= truth) & (truth <= t["upper"].to_numpy())).mean())
    assert 0.88 < np.mean(held) < 0.99


def test_over_the_whole_of_life_the_default_band_holds_at_the_old_ages():
    rng = np.random.default_rng(3)
    ages = np.arange(20, 91)
    exposure, truth = (
        600 * np.exp(-(((ages - 45) / 15) ** 2)) + 3,
        0.02 * np.exp(0.05 * (ages - 20)),
    )
    held = []
    for _ in range(30):
        claims = rng.poisson(exposure * truth)
        rows = pl.DataFrame({"age": ages, "exposure": exposure, "claims": claims})
        found = graduate(Experience.collect(rows, ["age"]), "age")
        assert found.facts["scale"] == "log"
        old = found.table[-20:]
        held.append(((old["lower"] <= truth[-20:]) & (old["upper"] >= truth[-20:])).mean())
    assert np.mean(held) > 0.88


def test_gaps_are_bridged_and_units_do_not_matter():
    rows = book(6_000).filter(~pl.col("age").is_between(35, 38))
    found = graduate(collected(rows), "age")
    gap = found.table.filter(pl.col("age").is_between(35, 38))
    assert found.table["age"].to_list() == list(range(20, 60))
    assert gap["exposure"].to_list() == [0.0] * 4
    assert gap["frequency"].to_list() == [None] * 4
    assert gap["graduated"].is_finite().all()
    assert (gap["std_error"] > 0).all()
    months = graduate(collected(rows.with_columns(pl.col("exposure") * 12)), "age")
    for name in ("graduated", "lower", "upper"):
        np.testing.assert_allclose(months.table[name] * 12, found.table[name], rtol=1e-4)
    shards = collected(rows[:2_000]) + collected(rows[2_000:])
    np.testing.assert_allclose(
        graduate(shards, "age").table["upper"], found.table["upper"], rtol=1e-6
    )


def test_actual_to_expected_is_graduated_against_a_rate_or_a_column(seen):
    rate = graduate(seen, "age", expected=pl.lit(0.6), smoothing=500.0)
    plain = graduate(seen, "age", smoothing=500.0 / 0.6, scale="rate")
    np.testing.assert_allclose(rate.table["graduated"] * 0.6, plain.table["graduated"], rtol=1e-9)
    np.testing.assert_allclose(rate.table["upper"] * 0.6, plain.table["upper"], rtol=1e-9)
    column = graduate(seen, "age", expected="hoped", smoothing=500.0)
    assert "Poisson count" in column.basis.notes[-1]
    assert column.figure().layout.shapes[0].y0 == 1.0
    assert (
        "expected_amount"
        in graduate(seen, "age", by="amount", expected="hoped_amount").table.columns
    )


def test_graduation_refuses_what_has_no_order_or_too_little(rows, seen):
    with pytest.raises(InputError, match="'agee'; did you mean 'age'"):
        graduate(seen, "agee")
    with pytest.raises(InputError, match=r"'sex' has 2 level\(s\) with exposure; order 2 needs 3"):
        graduate(seen, "sex")
    one = Experience.collect(rows.with_columns(g=pl.lit("only")), ["g"])
    with pytest.raises(InputError, match=r"has 1 level\(s\)"):
        graduate(one, "g")
    words = Experience.collect(
        rows.with_columns(pl.col("age").cast(pl.String) + pl.lit("")), ["age"]
    )
    assert graduate(words, "age").table.height == 40
    mixed = Experience.collect(rows.with_columns(age=(pl.col("age") * 3).cast(pl.String)), ["age"])
    with pytest.raises(InputError, match="not in order: 102, 105"):
        graduate(mixed, "age")
    halves = Experience.collect(rows.with_columns(pl.col("age") / 2), ["age"])
    with pytest.raises(InputError, match="no whole numbers"):
        graduate(halves, "age")
    none = Experience.collect(rows.with_columns(claims=0), ["age"])
    with pytest.raises(InputError, match="nothing to graduate"):
        graduate(none, "age")
    for bad in (
        {"order": 0},
        {"order": 4},
        {"smoothing": -1.0},
        {"smoothing": math.nan},
        {"scale": "logg"},
        {"level": 1.0},
    ):
        with pytest.raises(InputError):
            graduate(seen, "age", **bad)
    gaps = seen.where(pl.col("age") != 30)
    with pytest.raises(InputError, match="39 of 40 levels have weight"):
        graduate(gaps, "age", smoothing=0.0, scale="rate")
    with pytest.raises(InputError, match="did not settle"):
        penalised_poisson(np.array([5.0, 0.0, 0.0, 5.0]), np.ones(4), smoothing=0.0)
    steep = pl.DataFrame({"age": [1, 2, 3, 4], "exposure": [1e3] * 4, "claims": [0, 0, 0, 900]})
    with pytest.raises(InputError, match="falls below zero at 1 of 4"):
        graduate(Experience.collect(steep, ["age"]), "age", smoothing=1e9, scale="rate")


def test_levels_of_an_enum_stand_in_their_order_and_gaps_inside_are_kept():
    kind = pl.Enum(["zero", "first", "second", "third", "fourth", "fifth", "sixth"])
    rows = pl.DataFrame({"duration": ["first", "second", "fourth", "fifth"], "exposure": [50.0] * 4,
                         "claims": [5, 7, 11, 12]}, schema_overrides={"duration": kind})  # fmt: skip
    found = graduate(Experience.collect(rows, ["duration"]), "duration", smoothing=100.0)
    assert found.table["duration"].cast(pl.String).to_list() == [
        "first",
        "second",
        "third",
        "fourth",
        "fifth",
    ]
    assert found.table["claims"].to_list() == [5, 7, 0, 11, 12]
    assert list(found.figure().data[-1].x) == ["first", "second", "third", "fourth", "fifth"]


# -- shape ---------------------------------------------------------------------------------------


def every(seen):
    rate = pl.lit(0.5)
    return [
        one_way(seen, "tier", by="amount"),
        two_way(seen, "tier", "sex"),
        two_way(seen, "age", "tier", by="amount"),
        actual_to_expected(seen, "hoped", "sex"),
        actual_to_expected(seen, rate * 900, "sex", by="amount"),
        limited_fluctuation(seen, "tier", by="amount"),
        credible_experience(seen, rate, "tier"),
        graduate(seen, "age"),
        graduate(seen, "age", smoothing=math.inf, scale="rate"),
        graduate(seen, "age", by="amount", expected="hoped_amount"),
    ]


def test_every_study_is_saved_loaded_drawn_said_and_labelled_in_both_languages(tmp_path, seen):
    for place, result in enumerate(every(seen)):
        result.save(tmp_path / str(place))
        back = Result.load(tmp_path / str(place))
        assert type(back) is type(result)
        assert back.table.equals(result.table)
        assert back.basis == result.basis
        for lang in ("en", "zh"):
            assert back.finding(lang) == result.finding(lang)
            assert back.figure(lang).to_json() == result.figure(lang).to_json()
        assert any("\u4e00" <= c <= "\u9fff" for c in result.finding("zh"))
        for name in result.table.columns:
            assert f"term.{name}" in catalogue(), name
        assert result.basis.notes
        assert result.basis.claims == seen.basis.claims


def test_money_is_drawn_and_said_in_its_currency(rows):
    from pricing.result.shape import Basis

    euro = Experience.collect(rows, ["sex", "tier"], amount="amount", basis=Basis(currency="EUR"))
    for result in (one_way(euro, "sex", by="amount"), two_way(euro, "sex", "tier", by="amount")):
        assert "EUR" in result.finding("zh")
        assert "(EUR)" in result.figure().layout.yaxis.title.text
        assert "EUR" not in result.figure().layout.yaxis2.title.text


def test_a_heat_map_of_money_names_its_currency(seen):
    heat = two_way(seen, "age", "tier", by="amount").figure("en").data[0]
    assert heat.type == "heatmap"
    assert heat.colorbar.title.text == "Pure premium (CNY)"
    assert two_way(seen, "age", "tier").figure("en").data[0].colorbar.title.text == (
        "Claims per policy-year"
    )


def test_the_finding_does_not_call_any_expectation_in_sample(seen):
    found = actual_to_expected(seen, pl.lit(0.5), "tier")
    assert found.finding("en").startswith("By Tier, ")
    assert found.finding("zh").startswith("按保障档次看，")
