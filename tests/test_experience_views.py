"""First looks: the intervals against tables and the bootstrap, actual-to-expected against the model."""

import numpy as np
import polars as pl
import pytest
from scipy.stats import chi2

from pricing.claims.models import fit_frequency
from pricing.errors import InputError
from pricing.experience.cells import Experience
from pricing.experience.views import actual_to_expected, one_way

# Exact 95 % limits of a Poisson mean: Garwood (1936), as printed in Ulm (1990) and every handbook.
GARWOOD = {0: (0.0, 3.689), 1: (0.0253, 5.572), 2: (0.242, 7.225), 5: (1.623, 11.668),
           10: (4.795, 18.390), 20: (12.217, 30.888), 100: (81.364, 121.627)}  # fmt: skip


def book(rows=20_000, seed=4, dispersion=3.0):
    rng = np.random.default_rng(seed)
    sex, tier, age = rng.integers(0, 2, rows), rng.integers(0, 3, rows), rng.integers(0, 5, rows)
    exposure = rng.uniform(0.05, 1.0, rows)
    mean = exposure * np.exp(-0.5 + 0.3 * sex + 0.2 * tier - 0.1 * age)
    shape = mean / (dispersion - 1)
    return pl.DataFrame(
        {
            "sex": np.array(["female", "male"])[sex],
            "tier": np.array(["basic", "premium", "standard"])[tier],
            "age": age.astype(float),
            "other": rng.choice(["a", "b", "c"], rows),
            "exposure": exposure,
            "claims": rng.poisson(rng.gamma(shape, mean / shape)),
            "amount": rng.lognormal(4, 1, rows),
        }
    )


@pytest.mark.parametrize("claims", GARWOOD)
@pytest.mark.parametrize("exposure", [1.0, 250.0])
def test_exact_poisson_interval_is_garwoods(claims, exposure):
    rows = pl.DataFrame({"tier": ["a", "b"], "exposure": [exposure, 1.0], "claims": [claims, 1]})
    row = one_way(Experience.collect(rows, ["tier"]), "tier", interval="poisson").table.row(
        0, named=True
    )
    lower, upper = GARWOOD[claims]
    assert row["lower"] * exposure == pytest.approx(lower, abs=6e-4)
    assert row["upper"] * exposure == pytest.approx(upper, abs=6e-4)
    assert row["upper"] * exposure == pytest.approx(chi2.ppf(0.975, 2 * claims + 2) / 2, rel=1e-10)
    below = chi2.ppf(0.025, 2 * claims) / 2 if claims else 0.0
    assert row["lower"] * exposure == pytest.approx(below, rel=1e-10)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
def test_other_confidence_levels(level):
    rows = pl.DataFrame({"tier": ["a"], "exposure": [1.0], "claims": [7]})
    row = one_way(
        Experience.collect(rows, ["tier"]), "tier", interval="poisson", level=level
    ).table.row(0, named=True)
    assert row["lower"] == pytest.approx(chi2.ppf((1 - level) / 2, 14) / 2, rel=1e-10)
    assert row["upper"] == pytest.approx(chi2.ppf((1 + level) / 2, 16) / 2, rel=1e-10)


@pytest.mark.parametrize("level", [0, 1, -0.1, 95])
def test_a_level_outside_zero_and_one_is_refused(level):
    with pytest.raises(InputError, match="between 0 and 1"):
        one_way(Experience.collect(book(50), ["sex"]), "sex", level=level)


def test_one_way_is_a_plain_group_by():
    rows = book()
    table = one_way(Experience.collect(rows, ["tier", "sex", "age"], amount="amount"), "tier").table
    plain = (
        rows.group_by("tier")
        .agg(pl.len(), pl.col("exposure", "claims", "amount").sum())
        .sort("tier")
    )
    assert table["tier"].cast(pl.String).to_list() == plain["tier"].to_list()
    for ours, theirs in (
        (table["rows"], plain["len"]),
        (table["exposure"], plain["exposure"]),
        (table["claims"], plain["claims"]),
        (table["frequency"], plain["claims"] / plain["exposure"]),
        (table["severity"], plain["amount"] / plain["claims"]),
        (table["pure_premium"], plain["amount"] / plain["exposure"]),
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def bootstrap(part, repeats=3_000):
    rng = np.random.default_rng(9)
    n, e = part["claims"].to_numpy(), part["exposure"].to_numpy()
    draws = rng.integers(0, len(n), (repeats, len(n)))
    return np.quantile(n[draws].sum(axis=1) / e[draws].sum(axis=1), [0.025, 0.975])


def test_robust_interval_is_what_the_bootstrap_of_rows_says():
    rows = book(4_000)
    seen = Experience.collect(rows, ["tier"])
    robust, poisson = (one_way(seen, "tier", interval=i).table for i in ("robust", "poisson"))
    for row, exact in zip(robust.iter_rows(named=True), poisson.iter_rows(named=True), strict=True):
        low, high = bootstrap(rows.filter(tier=row["tier"]))
        width = np.log(row["upper"] / row["lower"])
        assert width == pytest.approx(np.log(high / low), rel=0.06)
        assert (row["lower"], row["upper"]) == pytest.approx((low, high), rel=0.02)
        assert width > 1.3 * np.log(exact["upper"] / exact["lower"])  # dispersion 3


def test_robust_interval_is_the_regression_one_and_never_narrower_than_poisson():
    rows = book()
    seen = Experience.collect(rows, ["tier"])
    table = one_way(seen, "tier").table
    model = fit_frequency(seen, "tier", base={"tier": "basic"})
    at_base = model.table.filter(role="intercept").row(0, named=True)
    assert table.filter(tier="basic").select("lower", "upper").row(0) == pytest.approx(
        (at_base["lower"], at_base["upper"]), rel=1e-9
    )
    alone = pl.DataFrame({"tier": ["a"], "exposure": [1.0], "claims": [4]})
    row = one_way(Experience.collect(alone, ["tier"]), "tier").table.row(0, named=True)
    assert row["upper"] / 4 == pytest.approx(np.exp(1.959963984540054 / 2), rel=1e-12)


def test_a_level_without_a_claim_takes_the_exact_interval():
    rows = pl.DataFrame({"tier": ["a", "a", "b"], "exposure": [5.0, 5.0, 1.0], "claims": [0, 0, 1]})
    for view in (
        one_way(Experience.collect(rows, ["tier"]), "tier"),
        actual_to_expected(Experience.collect(rows, ["tier"]), pl.lit(1.0), "tier"),
    ):
        lower, upper = view.table.select("lower", "upper").row(0)
        assert lower == 0.0
        assert upper == pytest.approx(3.6888794541139363 / 10, rel=1e-12)


# -- actual to expected ------------------------------------------------------------------------


def test_actual_to_expected_is_one_for_every_level_of_the_models_factors():
    rows = book()
    seen = Experience.collect(rows, ["sex", "tier", "age", "other"])
    model = fit_frequency(seen, "sex * tier + age")
    for factor in ("sex", "tier"):
        found = actual_to_expected(seen, model.rate(), factor)
        np.testing.assert_allclose(found.table["actual_to_expected"], 1.0, rtol=1e-9)
        np.testing.assert_allclose(found.table["expected"], found.table["claims"], rtol=1e-9)
        assert found.facts["outside"] == 0
    assert found.facts["ratio"] == pytest.approx(1.0, rel=1e-10)
    away = actual_to_expected(seen, model.rate(), "other").table["actual_to_expected"]
    assert 1e-4 < (away - 1).abs().max() < 0.1


def test_actual_to_expected_equals_the_rows():
    rows = book()
    seen = Experience.collect(rows, ["sex", "tier", "age", "other"])
    model = fit_frequency(seen, "sex + age")
    scored = model.score(rows, exposure="exposure")
    for row in actual_to_expected(seen, model.rate(), "tier").table.iter_rows(named=True):
        part = scored.filter(tier=row["tier"])
        n, mu = part["claims"].to_numpy(), part["expected"].to_numpy()
        ratio = n.sum() / mu.sum()
        error = np.sqrt(((n - ratio * mu) ** 2).sum()) / n.sum()
        assert row["actual_to_expected"] == pytest.approx(ratio, rel=1e-12)
        assert row["lower"] == pytest.approx(ratio * np.exp(-1.959963984540054 * error), rel=1e-9)
        assert row["upper"] == pytest.approx(ratio * np.exp(1.959963984540054 * error), rel=1e-9)
    flat = actual_to_expected(seen, pl.lit(2.0), "tier").table
    plain = one_way(seen, "tier").table
    for name, ours in (("actual_to_expected", "frequency"), ("lower", "lower"), ("upper", "upper")):
        np.testing.assert_allclose(2 * flat[name], plain[ours], rtol=1e-12)


@pytest.mark.parametrize("rate", [None, float("nan"), float("inf"), 0.0, -1.0])
def test_cells_without_an_expected_rate_are_counted_not_dropped(rate):
    seen = Experience.collect(book(200), ["sex", "tier"])
    broken = pl.when(pl.col("sex") == "male").then(pl.lit(rate, pl.Float64)).otherwise(1.0)
    exposure = seen.by("sex").cells.filter(sex="male")["exposure"][0]
    with pytest.raises(InputError, match="have no expected rate above zero") as refused:
        actual_to_expected(seen, broken, "tier")
    assert f"3 cells ({exposure:,.1f} policy-years)" in str(refused.value)


def test_unknown_factors_are_refused_with_a_suggestion():
    seen = Experience.collect(book(200), ["sex", "tier"])
    with pytest.raises(InputError, match="'tyer'; did you mean 'tier'"):
        one_way(seen, "tyer")
    with pytest.raises(InputError, match="'tyer'; did you mean 'tier'"):
        actual_to_expected(seen, pl.lit(1.0), "tyer")
    with pytest.raises(InputError, match="'agee'"):
        actual_to_expected(seen, pl.col("agee"), "tier")


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_findings_and_figures_say_what_the_table_says(lang):
    seen = Experience.collect(book(), ["sex", "tier"])
    first = one_way(seen, "sex")
    low, high = first.table["frequency"].sort().to_list()
    assert f"{low:.4f}" in first.finding(lang)
    assert f"{high:.4f}" in first.finding(lang)
    ratio = actual_to_expected(seen, pl.lit(1.0), "sex")
    for result, name in ((first, "frequency"), (ratio, "actual_to_expected")):
        figure = result.figure(lang)
        assert list(figure.data[1].y) == result.table[name].to_list()
        assert list(figure.data[0].y) == result.table["exposure"].to_list()
        top = [y + up for y, up in zip(figure.data[1].y, figure.data[1].error_y.array, strict=True)]
        assert top == pytest.approx(result.table["upper"].to_list())
        assert list(figure.data[1].x) == {"en": ["female", "male"], "zh": ["女", "男"]}[lang]
