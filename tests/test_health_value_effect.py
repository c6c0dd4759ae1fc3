"""Claims along the health value: known curves found, intervals that hold, real data."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from pricing.errors import InputError
from pricing.experience.bands import band
from pricing.experience.cells import Experience
from pricing.health.effect import group_effect
from pricing.health.groups_later import groups_later
from pricing.health.schedule import design_schedule
from pricing.health.value_effect import value_effect


def rows(n, seed, bend=600.0):
    rng = np.random.default_rng(seed)
    value, sex = rng.integers(0, 101, n) * 10.0, rng.integers(0, 2, n)
    rate = 0.5 * np.exp(0.3 * sex - np.minimum(value, bend) / 1_000)
    return pl.DataFrame(
        {
            "health_value": value, "sex": np.array(["female", "male"])[sex],
            "exposure": 1.0, "claims": rng.poisson(rate),
        }
    )  # fmt: skip


def test_the_true_discount_lies_in_the_interval_as_often_as_it_says():
    truth, held = 1 - np.exp(-0.5), 0  # from the 10th percentile, 100, to 600 and flat above
    for seed in range(60):
        seen = Experience.collect(rows(6_000, seed), ["health_value", "sex"])
        facts = value_effect(seen, "sex", reference=100.0)[0].facts
        held += facts["best_lower"] <= truth <= facts["best_upper"]
    assert 51 <= held <= 60


def test_it_sees_where_a_curve_turns_flat_and_that_a_line_is_one():
    bent = value_effect(Experience.collect(rows(80_000, 1), ["health_value", "sex"]), "sex")[0]
    assert bent.facts["linear_p"] < 1e-6
    assert 500 <= bent.facts["flat_above"] <= 800
    straight = value_effect(
        Experience.collect(rows(80_000, 2, bend=1e9), ["health_value", "sex"]), "sex"
    )[0]
    assert straight.facts["linear_p"] > 0.001
    assert straight.facts["flat_above"] is None
    assert straight.table["monotone"].is_sorted(descending=True)
    for lang in ("en", "zh"):
        assert bent.finding(lang) != straight.finding(lang)
        assert bent.figure(lang).data


def test_order_of_rows_and_splitting_them_change_nothing():
    whole = rows(5_000, 3)
    halves = pl.concat(
        [
            whole.with_columns(exposure=0.25, claims="claims"),
            whole.with_columns(exposure=0.75, claims=pl.lit(0, pl.Int64)),
        ]
    ).sample(fraction=1.0, shuffle=True, seed=1)
    one, two = (
        value_effect(Experience.collect(part, ["health_value", "sex"]), "sex", errors="model")[
            0
        ].table
        for part in (whole, halves)
    )
    for name in ("relativity", "lower", "upper", "exposure"):
        np.testing.assert_allclose(one[name], two[name], rtol=1e-7)


def test_what_cannot_be_is_refused():
    seen = Experience.collect(
        rows(500, 1).with_columns(b=band("health_value", [0, 500])), ["health_value", "b"]
    )
    with pytest.raises(InputError, match="not a number"):
        value_effect(seen, "1", value="b")
    with pytest.raises(InputError):
        value_effect(seen, "1", value="healthvalue")
    few = Experience.collect(
        rows(500, 1).with_columns((pl.col("health_value") / 1_000).round()), ["health_value"]
    )
    with pytest.raises(InputError, match="bear no curve"):
        value_effect(few, "1")


def test_groups_that_hold_and_groups_that_turn():
    def book(seed, relativities):
        rng = np.random.default_rng(seed)
        g = rng.integers(0, 3, 30_000)
        claims = rng.poisson(np.array(relativities)[g] * 0.5)
        table = pl.DataFrame(
            {"health_group": np.array(["G0", "G1", "G2"])[g], "exposure": 1.0, "claims": claims}
        )
        return Experience.collect(table, ["health_group"])

    before = book(1, [1.0, 0.9, 0.8])
    same = groups_later(before, book(2, [1.0, 0.9, 0.8]), "1")
    assert same.facts["violations"] == 0
    assert same.table.filter(pl.col("expected_lower") > 1).is_empty()
    turned = groups_later(before, book(3, [1.0, 0.7, 1.2]), "1")
    assert turned.facts["violations"] == 1
    assert turned.table["actual_to_expected"][2] > 1.1
    for lang in ("en", "zh"):
        assert turned.finding(lang) != same.finding(lang)
        assert turned.figure(lang).data


@pytest.fixture(scope="module")
def rand(dataset):
    read = dataset("RANDHIE_camerondata.parquet").collect()
    read = read.filter(pl.col("ghindx").is_not_null(), pl.col("time") > 0)
    return read.select(
        health_value=pl.col("ghindx").round() * 10.0,
        health_group=("G" + band("ghindx", [0, 55, 65, 75, 85]).to_physical().cast(pl.String)),
        age=band("xage", [0, 18, 35, 50]), sex=pl.col("female").cast(pl.Int64).cast(pl.String),
        plan=pl.col("coins").cast(pl.Int64).cast(pl.String), person=pl.col("zper"), year="year",
        exposure=pl.col("time").cast(pl.Float64), claims=pl.col("mdvis").cast(pl.Int64),
        amount=pl.col("meddol").cast(pl.Float64), standard_premium=pl.lit(400.0) * pl.col("time"),
    )  # fmt: skip


def test_rand_experiment_health_index_at_the_start_and_later_claims(rand):
    """Groups by the index of the first questionnaire; claims are visits to a doctor."""
    rated, order = ["health_group", "age", "sex", "plan"], ["G0", "G1", "G2", "G3", "G4"]
    later = rand.filter(pl.col("year") >= 2)
    seen = Experience.collect(
        later, ["health_value", *rated], amount="amount", sums=["standard_premium"]
    )
    found, _ = value_effect(seen, "age + sex + plan", cluster=(later, "person"))
    assert 0.10 < found.facts["best_lower"] < found.facts["best_discount"] < 0.25
    assert found.facts["linear_p"] < 1e-6
    effect, _ = group_effect(
        seen.by(*rated), "age + sex + plan", order=order, cluster=(later, "person")
    )
    assert (effect.table["adjusted_lower"][1:] > 0.20).all()
    assert not effect.table["relativity"].is_sorted(descending=True)  # a cliff below 55, flat above
    schedule = design_schedule(effect, seen)
    assert list(schedule.discounts.values()) == [0.0, 0.20, 0.20, 0.20, 0.20]
    last = rand.filter(pl.col("year") >= 3)
    years = [Experience.collect(part, rated) for part in (rand.filter(pl.col("year") <= 2), last)]
    held = groups_later(*years, "age + sex + plan", order=order, cluster=(last, "person"))
    assert held.facts["violations"] == 0
    assert (held.table["upper"][1:] < 0.85).all()


def test_nhanes_steps_and_death(dataset):
    """Adjusted hazard of death by daily steps: concave, beside the published range."""
    factors = [
        "bin_mobilityproblem",
        "cat_smoke",
        "general_health_condition",
        "bin_diabetes",
        "cancer",
        "chf",
    ]
    read = dataset("nhanes_2011_2014_steps_mortality.parquet").collect()
    adults = read.filter(
        pl.col("age_in_years_at_screening").is_between(50, 79), pl.col("mortstat").is_not_null(),
        pl.col("permth_exm") > 0, pl.col("total_vssteps").is_not_null(), pl.col("num_valid_days") >= 3,
    ).drop_nulls(factors).select(
        *(pl.col(name).cast(pl.String) for name in factors),
        steps=((pl.col("total_vssteps") / 100).round() * 100.0).clip(0, 20_000),
        age=pl.col("age_in_years_at_screening").cast(pl.Int64), sex=pl.col("gender").cast(pl.String),
        exposure=pl.col("permth_exm").cast(pl.Float64) / 12, claims=pl.col("mortstat").cast(pl.Int64),
    )  # fmt: skip
    assert (adults.height, adults["claims"].sum()) == (3_689, 434)
    seen = Experience.collect(adults, ["steps", "age", "sex", *factors])
    _, model = value_effect(seen, " + ".join(["age", "sex", *factors]), value="steps", freedom=3)
    curve = model.curve("steps", [4_000.0, 7_000.0, 12_000.0], base=2_000.0)
    first, second, third = np.log(curve["relativity"].to_numpy())
    assert first / 2 < (third - second) / 5 < 0  # of a thousand steps: more at first than later
    seven = curve.row(1, named=True)  # published: 0.53 (0.46 to 0.60), Ding et al. (2025)
    assert seven["lower"] < 0.60
    assert seven["upper"] > 0.46
