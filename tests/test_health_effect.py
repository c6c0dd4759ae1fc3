"""Effect of the health group and of the programme, against a truth that is known."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from scipy.special import expit

from pricing.errors import InputError
from pricing.experience.cells import Experience
from pricing.health.effect import group_effect, programme_effect

TRUE = {"G0": 1.0, "G1": 0.9, "G2": 0.75}
AGE = {"18-39": 0.10, "40-59": 0.25, "60+": 0.60}
# the young are healthy: share of each group by age
MIX = {"18-39": (0.1, 0.2, 0.7), "40-59": (0.3, 0.4, 0.3), "60+": (0.7, 0.2, 0.1)}


def confounded(rows, seed, dispersion=0.0):
    """Claims that depend on age and on the group, and groups that depend on age."""
    rng = np.random.default_rng(seed)
    ages = np.array(list(AGE))[rng.integers(0, 3, rows)]
    u = rng.random(rows)
    edges = np.array([np.cumsum(MIX[a]) for a in AGE])[np.searchsorted(list(AGE), ages)]
    group = (u[:, None] > edges[:, :2]).sum(axis=1)
    exposure = rng.uniform(0.2, 1.0, rows)
    mean = exposure * np.array(list(AGE.values()))[np.searchsorted(list(AGE), ages)]
    mean = mean * np.array(list(TRUE.values()))[group]
    if dispersion:
        mean = mean * rng.gamma(1 / dispersion, dispersion, rows)
    frame = pl.DataFrame(
        {
            "health_group": np.array(list(TRUE))[group],
            "age_band": ages,
            "exposure": exposure,
            "claims": rng.poisson(mean),
        }
    )
    return Experience.collect(frame, ["health_group", "age_band"])


@pytest.fixture(scope="module")
def large():
    return group_effect(confounded(400_000, 11), "age_band")


def column(effect, name):
    return dict(effect.table.select("health_group", name).iter_rows())


def test_adjustment_recovers_the_truth_that_the_one_way_table_misses(large):
    effect, _ = large
    for row in effect.table.slice(1).iter_rows(named=True):
        true = TRUE[row["health_group"]]
        error = math.log(row["upper"] / row["lower"]) / (2 * 1.959964)
        assert abs(math.log(row["relativity"] / true)) < 4 * error
        assert error < 0.012
        assert abs(math.log(row["unadjusted"] / true)) > 20 * error
    assert column(effect, "unadjusted")["G2"] < 0.45 < 0.70 < column(effect, "relativity")["G2"]


def test_the_standard_group_is_one_without_an_interval(large):
    first = large[0].table.row(0, named=True)
    assert first["health_group"] == "G0"
    assert [first[n] for n in ("unadjusted", "relativity", "lower", "upper")] == [1.0] * 4
    assert [first[n] for n in ("fair_discount", "adjusted_lower", "adjusted_upper")] == [0.0] * 3


def test_exposure_and_claims_of_the_groups_are_those_of_the_experience(large):
    effect, model = large
    assert effect.table["exposure"].sum() == pytest.approx(model.basis.exposure, rel=1e-12)
    assert effect.table["claims"].sum() == model.basis.claims


@pytest.mark.parametrize("dispersion", [0.0, 2.0])
def test_credibility_pulls_towards_the_mean_and_grows_with_exposure(dispersion):
    found = [
        group_effect(confounded(n, 5, dispersion), "age_band")[0] for n in (4_000, 40_000, 400_000)
    ]
    lowest = [effect.facts["lowest_credibility"] for effect in found]
    assert lowest == sorted(lowest)
    assert lowest[-1] > 0.97
    for effect in found:
        m = effect.facts["collective"]
        for row in effect.frames["credibility"].iter_rows(named=True):
            assert 0 <= row["credibility"] <= 1
            assert abs(row["premium"] - m) <= abs(row["mean"] - m) + 1e-12
            assert row["premium"] == pytest.approx(
                row["credibility"] * row["mean"] + (1 - row["credibility"]) * m, rel=1e-12
            )
        t = effect.table
        fair = 1 - t["credible_relativity"]
        assert t["fair_discount"].to_list() == pytest.approx(fair.to_list(), abs=1e-12)
    last = found[-1].table
    near = last["credible_relativity"] / last["relativity"] - 1
    assert near.abs().max() < 0.01


def test_over_dispersion_earns_less_credibility():
    plain, dispersed = (
        group_effect(confounded(20_000, 8, d), "age_band")[0].facts for d in (0.0, 3.0)
    )
    assert dispersed["within"] > 1.3 * plain["within"]


@pytest.mark.parametrize("rows", [2_000, 40_000])
def test_the_interval_of_the_fair_discount_keeps_the_width_of_the_models(rows):
    effect, model = group_effect(confounded(rows, 3), "age_band", level=0.9)
    table = model.relativities("health_group")
    for row in effect.table.slice(1).iter_rows(named=True):
        glm = table.row(by_predicate=pl.col("level") == row["health_group"], named=True)
        width = math.log((1 - row["adjusted_lower"]) / (1 - row["adjusted_upper"]))
        assert width >= math.log(glm["upper"] / glm["lower"]) * (1 - 1e-12)
        assert row["adjusted_lower"] < row["fair_discount"] < row["adjusted_upper"]
    wider, _ = group_effect(confounded(rows, 3), "age_band", level=0.99)
    assert (wider.table["adjusted_lower"] <= effect.table["adjusted_lower"]).all()


def test_the_order_is_the_readers(large):
    seen = confounded(5_000, 2)
    effect, model = group_effect(seen, "age_band", order=["G2", "G1", "G0"])
    assert effect.table["health_group"].to_list() == ["G2", "G1", "G0"]
    assert (effect.facts["standard"], effect.facts["best"]) == ("G2", "G0")
    assert model.details["base"]["health_group"] == "G2"
    assert effect.facts["best_fair"] < 0
    for lang in ("en", "zh"):
        assert "G0" in effect.finding(lang)


@pytest.mark.parametrize(
    "order",
    [["G0", "G1"], ["G0", "G1", "G2", "G3"], ["G0", "G1", "G1"], ["G0", "G1", "G2", "G2"], []],
)
def test_an_order_that_is_not_the_groups_is_refused(order):
    with pytest.raises(InputError, match="order of groups") as caught:
        group_effect(confounded(500, 1), "age_band", order=order)
    assert "list each group once" in str(caught.value)


def test_a_group_that_is_another_factor_is_refused():
    rows = pl.DataFrame(
        {
            "health_group": ["G0", "G1"] * 20,
            "sex": ["female", "male"] * 20,
            "exposure": [1.0] * 40,
            "claims": [1, 3] * 10 + [2, 3] * 10,
        }
    )
    seen = Experience.collect(rows, ["health_group", "sex"])
    with pytest.raises(InputError, match="G1 cannot be told apart"):
        group_effect(seen, "sex")
    rows = rows.rename({"health_group": "in_programme"}).with_columns(
        pl.col("in_programme").replace({"G0": "no", "G1": "yes"})
    )
    seen = Experience.collect(rows, ["in_programme", "sex"])
    with pytest.raises(InputError, match="cannot be told apart from 'sex'"):
        programme_effect(seen, "in_programme", {"naive": "", "sex": "sex"})


def test_a_group_whose_rows_show_no_spread_keeps_the_width_of_a_poisson():
    rows = pl.DataFrame(
        {"health_group": ["G0", "G1"] * 2, "exposure": [1.0] * 4, "claims": [1, 3] * 2}
    )
    best = group_effect(Experience.collect(rows, ["health_group"]), "1")[0].table.row(
        -1, named=True
    )
    width = np.log(best["upper"] / best["relativity"])
    assert width == pytest.approx(1.959964 * np.sqrt(1 / 2 + 1 / 6), rel=1e-6)


def test_a_group_without_a_claim_is_refused():
    rows = pl.DataFrame(
        {"health_group": ["G0", "G1"] * 4, "exposure": [1.0] * 8, "claims": [1, 0, 3, 0] * 2}
    )
    with pytest.raises(InputError, match=r"health_group\[G1\]: no claim"):
        group_effect(Experience.collect(rows, ["health_group"]), "1")


def test_order_of_rows_and_splitting_do_not_matter():
    seen = confounded(3_000, 9)
    effect, _ = group_effect(seen, "age_band")
    halves = [confounded(3_000, 9).where(pl.col("age_band") == a) for a in AGE]
    again, _ = group_effect(halves[2] + halves[0] + halves[1], "age_band")
    for name in ("relativity", "lower", "upper", "credibility", "fair_discount", "adjusted_lower"):
        assert again.table[name].to_list() == pytest.approx(effect.table[name].to_list(), rel=1e-9)


# The programme's own effect: health-value selection fixture


def selection_fixture(lives):
    """The health-value selection fixture: the healthy join, and the true effect is -3 %.

    U ~ N(0, 1) latent health; age U(30, 65); sex; join logit -0.2 + 0.7 U - 0.01 (age - 45);
    Poisson admissions exp(-2.4 + 0.045 (age - 45) + 0.05 sex - 0.30 U); trend x 1.03 in the
    programme's year. Stated for n = 1,000,000 and default_rng(20250101).
    """
    rng = np.random.default_rng(20250101)
    u = rng.standard_normal(lives)
    age = rng.uniform(30, 65, lives)
    sex = rng.integers(0, 2, lives)
    joins = rng.random(lives) < expit(-0.2 + 0.7 * u - 0.01 * (age - 45))
    mean = np.exp(-2.4 + 0.045 * (age - 45) + 0.05 * sex - 0.30 * u)
    before = rng.poisson(mean)
    claims = rng.poisson(mean * 1.03 * np.where(joins, 0.97, 1.0))
    return pl.DataFrame(
        {
            "in_programme": joins,
            "age": age,
            "sex": np.where(sex == 1, "male", "female"),
            "u": u,
            "prior_claims": np.minimum(before, 3).astype(str),
            "proxy": u + rng.standard_normal(lives),
            "exposure": np.ones(lives),
            "claims": claims,
        }
    )


def gap(estimate, printed):
    """How far two effects are apart on the log scale."""
    return abs(math.log((1 + estimate) / (1 + printed)))


def effects_of(lives, *, ladder, oracle):
    rows = selection_fixture(lives)
    keys = ["in_programme", "age", "sex", "u", "prior_claims", "proxy"]
    found = programme_effect(
        Experience.collect(rows, keys), "in_programme", ladder, truth=-0.03, oracle=oracle
    )
    return rows, found, dict(found.table.select("estimator", "effect").iter_rows())


def test_the_selection_fixture_at_two_hundred_thousand_lives():
    """A fifth of the fixture's lives, hence standard errors larger by √5."""
    ladder = {"naive": "", "age and sex": "age + sex"}
    rows, found, effect = effects_of(200_000, ladder=ladder, oracle="age + sex + u")
    assert rows["in_programme"].mean() == pytest.approx(0.449, abs=0.005)
    wider = math.sqrt(5)
    assert gap(effect["naive"], -0.228) < 4 * 0.0062 * wider
    assert gap(effect["age and sex"], -0.197) < 4 * 0.0059 * wider
    assert gap(effect["oracle"], -0.03) < 4 * 0.0062 * wider
    # the adjusted interval misses the truth: adjustment by age and sex is not enough
    upper = dict(found.table.select("estimator", "upper").iter_rows())
    assert upper["age and sex"] < -0.15
    # the finding names the naive and the most adjusted, never the oracle
    assert found.facts["adjusted"] == effect["age and sex"]
    assert f"{found.facts['naive']:+.1%}" in found.finding("en")
    assert "-3.0%" in found.finding("zh")
    drawn = {trace.name for trace in found.figure("en").data}
    assert "Truth" in drawn


@pytest.mark.slow
def test_the_selection_fixture_in_full():
    """All 1,000,000 lives, within 4 standard errors of the printed estimates."""
    ladder = {
        "naive": "",
        "prior claims": "age + sex + prior_claims",
        "proxy": "age + sex + proxy",
        "age and sex": "age + sex",
    }
    _, found, effect = effects_of(1_000_000, ladder=ladder, oracle="age + sex + u")
    printed = {
        "naive": (-0.228, 0.0059),
        "age and sex": (-0.197, 0.0059),
        "prior claims": (-0.195, 0.0059),
        "proxy": (-0.122, 0.0060),
        "oracle": (-0.029, 0.0062),
    }
    for name, (value, error) in printed.items():
        assert gap(effect[name], value) < 4 * error, name
    for row in found.table.iter_rows(named=True):
        error = math.log((1 + row["upper"]) / (1 + row["lower"])) / (2 * 1.959964)
        assert error == pytest.approx(printed[row["estimator"]][1], abs=0.0003)


def test_without_a_truth_the_finding_names_none():
    rows = pl.DataFrame(
        {
            "in_programme": ["no", "no", "yes", "yes"],
            "exposure": [1.0] * 4,
            "claims": [4, 6, 3, 1],
        }
    )
    seen = Experience.collect(rows, ["in_programme"])
    found = programme_effect(seen, "in_programme", {"naive": ""})
    assert "truth" not in found.facts
    assert "truth" not in found.finding("en").lower()
    with pytest.raises(InputError, match="ladder of adjustments is empty"):
        programme_effect(seen, "in_programme", {})
    with pytest.raises(InputError, match="rung named 'oracle'"):
        programme_effect(seen, "in_programme", {"naive": "", "oracle": ""}, oracle="1")


def test_an_indicator_that_is_not_yes_or_no_is_refused():
    rows = pl.DataFrame({"joined": ["a", "b"], "exposure": [1.0, 1.0], "claims": [1, 2]})
    with pytest.raises(InputError, match="must have the levels 'no' and 'yes'"):
        programme_effect(Experience.collect(rows, ["joined"]), "joined", {"naive": ""})
