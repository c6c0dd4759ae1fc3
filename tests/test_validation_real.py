"""Validation on real books, where they are present."""

import numpy as np
import polars as pl
import pytest
from scipy.special import xlogy

from pricing.claims.models import fit_frequency
from pricing.experience.bands import band
from pricing.experience.cells import Experience
from pricing.validation.calibration import balance, calibration
from pricing.validation.holdout import hold_out, out_of_sample, person_fold
from pricing.validation.lift import double_lift, lift
from pricing.validation.lorenz import lorenz
from pricing.validation.murphy import murphy
from pricing.validation.stability import stability

BENEFITS = ["analysis", "dentistry", "diagnostics", "endoscopy", "hospitalizations", "mammography",
            "operations", "visits"]  # fmt: skip


@pytest.fixture(scope="module")
def health(dataset):
    """The health fund: one insured a row, its own split into train, valid and test."""
    return (
        dataset("cas_euhealthinsurance.parquet")
        .filter(pl.col("policy_years") > 0)
        .with_columns(
            claims=pl.sum_horizontal(f"num_{b}" for b in BENEFITS),
            amount=pl.sum_horizontal(f"amt_{b}" for b in BENEFITS),
            age=band("age_at_inception", [0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0]),
        )
        .drop_nulls(["age", "relation", "gender", "group", "claims", "amount"])
        .with_columns(person_fold("id_anon", 5))
        .collect()
    )


@pytest.fixture(scope="module")
def parts(health):
    seen = Experience.collect(
        health,
        ["age", "relation", "gender", "group", "fold"],
        exposure="policy_years",
        amount="amount",
    )
    return hold_out(seen, "group", ["test"])


def fit(part):
    return fit_frequency(part, "age + relation + gender")


def test_the_health_fund_is_balanced_in_sample_and_close_out_of_it(parts, health):
    train, test = parts
    model = fit(train)
    inside = balance(train, model.rate(), factors=["age", "relation", "gender"])
    np.testing.assert_allclose(inside.table["actual_to_expected"], 1.0, rtol=1e-7)
    outside = calibration(test, model.rate())
    # the fund's own test part claims 3 % more a year than the rest, beyond its interval by a hair
    assert outside.facts["ratio"] == pytest.approx(1.03, abs=0.005)
    assert outside.facts["ratio_lower"] == pytest.approx(1.0034, abs=5e-4)
    assert outside.facts["dispersion"] > 2  # the rows are far from Poisson, and the test knows
    # what relation and age do differs by gender: the test finds it, and finds less once it is in
    richer = fit_frequency(train, "age + relation + gender + age:gender + relation:gender")
    better = calibration(test, richer.rate())
    assert better.facts["statistic"] < outside.facts["statistic"] / 2
    assert outside.facts["p_value"] < 0.01 < better.facts["p_value"]
    assert outside.table["claims"].sum() == health.filter(group="test")["claims"].sum()
    assert (
        lift(test, model.rate()).facts["highest"] > 1.5 * lift(test, model.rate()).facts["lowest"]
    )
    told = lorenz(test, model.rate()).facts
    assert told["lower"] > 0
    by_money = lorenz(test, model.rate(), by="amount").facts
    assert by_money["lower"] > 0
    assert stability(train, test, factors=["age", "relation", "gender"]).facts["stable"] == 3
    # decomposition against the rows
    rows = model.score(health.filter(group="test"), exposure="policy_years")
    n, mu = (rows[c].cast(pl.Float64).to_numpy() for c in ("claims", "expected"))
    deviance = 2 * (xlogy(n, n / mu) - n + mu).sum() / rows["policy_years"].sum()
    assert murphy(test, model.rate()).table["value"][0] == pytest.approx(deviance, rel=1e-9)


def test_persons_of_the_fund_held_out_in_turn(parts):
    train, _ = parts
    found = out_of_sample(train, fit, "fold")
    assert found.table.height == 5
    assert found.table["claims"].sum() == train.basis.claims
    assert found.facts["ratio"] == pytest.approx(1.0, abs=0.01)
    assert 0 < found.facts["d_squared"] < found.facts["d_squared_train"]


def test_french_motor_a_richer_model_wins_the_double_lift(dataset):
    rows = (
        dataset("freMTPL2freq.parquet")
        .select(
            claims=pl.col("ClaimNb").clip(0, 4),
            exposure=pl.col("Exposure").clip(0, 1),
            age=band("DrivAge", [18.0, 21.0, 26.0, 31.0, 41.0, 51.0, 71.0]),
            bonus=band("BonusMalus", [50.0, 51.0, 60.0, 80.0, 100.0, 120.0]),
            car=band("VehAge", [0.0, 1.0, 11.0]),
            area="Area",
            fold=person_fold("IDpol", 5),
        )
        .collect()
    )
    train, test = hold_out(
        Experience.collect(rows, ["age", "bonus", "car", "area", "fold"]), "fold", ["5"]
    )
    rich = fit_frequency(train, "age + bonus + car + area").rate()
    poor = fit_frequency(train, "age + area").rate()
    both = double_lift(test, rich, poor, names=("rich", "poor"))
    assert both.facts["closer"] == "rich"
    assert lorenz(test, rich).facts["lower"] > lorenz(test, poor).facts["gini"]
    # what the poor tariff misses, the rich one finds: the ordered curve is away from equality
    assert lorenz(test, rich, premium=poor).facts["lower"] > 0.05
    one, two = murphy(test, rich), murphy(test, poor)
    assert one.table["discrimination"][0] > 2 * two.table["discrimination"][0]
    np.testing.assert_allclose(one.table["uncertainty"], two.table["uncertainty"], rtol=1e-12)
    held = calibration(test, rich)
    assert held.facts["ratio_lower"] < 1 < held.facts["ratio_upper"]
