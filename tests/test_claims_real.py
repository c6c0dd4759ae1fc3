"""Tariffs on real books, where they are present: eight benefits of a fund, the RAND experiment."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from pricing.claims.benefits import collect_benefits, fit_benefits
from pricing.claims.clusters import cluster_errors
from pricing.claims.elasticity import arc_elasticity
from pricing.claims.pure_premium import fit_pure_premium
from pricing.claims.two_part import fit_two_part
from pricing.experience.bands import band
from pricing.experience.cells import Experience
from pricing.validation.calibration import balance, calibration

BENEFITS = ["analysis", "dentistry", "diagnostics", "endoscopy", "hospitalizations", "mammography",
            "operations", "visits"]  # fmt: skip
FACTORS = ["age", "relation", "gender"]


def by_benefit(rows):
    return collect_benefits(
        rows,
        FACTORS,
        {b: f"amt_{b}" for b in BENEFITS},
        exposure="policy_years",
        claims={b: f"num_{b}" for b in BENEFITS},
    )


@pytest.fixture(scope="module")
def fund(dataset):
    """The health fund by its own split: what the tariff is fitted to, and its test part."""
    rows = (
        dataset("cas_euhealthinsurance.parquet")
        .filter(pl.col("policy_years") > 0)
        .with_columns(
            age=band("age_at_inception", [0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0]),
            claims=pl.sum_horizontal(f"num_{b}" for b in BENEFITS),
            amount=pl.sum_horizontal(f"amt_{b}" for b in BENEFITS),
        )
        .collect()
    )
    assert rows.height == 176_032
    return rows.filter(group="train"), rows.filter(group="test")


@pytest.fixture(scope="module")
def tariff(fund):
    seen = by_benefit(fund[0])
    return seen, fit_benefits(seen, " + ".join(FACTORS), power=1.0)


def test_a_tariff_of_eight_benefits_keeps_every_level_of_every_benefit(tariff, fund):
    seen, model = tariff
    for name, part in model.parts.items():
        held = balance(seen[name], part.rate(), factors=FACTORS, by="amount").table
        assert held.height == 1 + 7 + 3 + 2
        np.testing.assert_allclose(held["actual_to_expected"], 1.0, rtol=0, atol=1e-8)
    levels = model.frames["levels"]
    np.testing.assert_allclose(levels["expected_amount"], levels["amount"], rtol=1e-8)
    rows = fund[0]
    total = model.table.row(-1, named=True)
    assert total["amount"] == pytest.approx(rows["amount"].sum(), rel=1e-12)
    assert total["expected_amount"] == pytest.approx(rows["amount"].sum(), rel=1e-8)
    # the total has its own interval: wider than independent benefits would give, narrower than
    # benefits that err together, and that of a fit to the sum of the amounts but for its mix
    alone = model.table[:-1].select(width=(pl.col("upper") - pl.col("lower")) / 2)["width"]
    width = (total["upper"] - total["lower"]) / 2
    assert np.sqrt((alone**2).sum()) < width < alone.sum()
    # rows against cells: the premium of every insured, added up by person
    scored = model.score(rows, exposure="policy_years")
    assert scored["expected"].sum() == pytest.approx(rows["amount"].sum(), rel=1e-8)


def test_the_tariff_on_the_funds_own_test_part(tariff, fund):
    """In total inside its interval; by benefit five of eight: three claim 5 to 7 % more there."""
    _, model = tariff
    test = fund[1]
    whole = Experience.collect(test, FACTORS, exposure="policy_years", amount="amount")
    total = calibration(whole, model.rate(), by="amount").facts
    assert total["ratio_lower"] < 1 < total["ratio_upper"]
    assert total["ratio"] == pytest.approx(1.0219, abs=5e-4)
    unseen = by_benefit(test)
    found = {
        name: calibration(unseen[name], part.rate(), by="amount").facts
        for name, part in model.parts.items()
    }
    ratios = {name: facts["ratio"] for name, facts in found.items()}
    assert ratios == pytest.approx(
        {"analysis": 1.067, "dentistry": 0.969, "diagnostics": 1.047, "endoscopy": 1.121,
         "hospitalizations": 0.920, "mammography": 1.053, "operations": 1.474, "visits": 1.050},
        abs=1e-3,
    )  # fmt: skip
    outside = {n for n, f in found.items() if not f["ratio_lower"] < 1 < f["ratio_upper"]}
    assert outside == {"analysis", "mammography", "visits"}
    # no tariff by these factors mends it: the test part has the same mix and claims more
    flat = {
        n: (unseen[n].cells["amount"].sum() / unseen[n].basis.exposure)
        / (tariff[0][n].cells["amount"].sum() / tariff[0][n].basis.exposure)
        for n in outside
    }
    assert all(abs(flat[n] / ratios[n] - 1) < 0.01 for n in outside)


@pytest.fixture(scope="module")
def rand(dataset):
    """Person-years of the RAND experiment; the individual-deductible plan is a plan of its own."""
    coins = pl.col("coins")
    plan = (
        pl.when(pl.col("idp") == 1)
        .then(pl.lit("individual deductible"))
        .otherwise(pl.format("{}%", coins))
    )
    text = [pl.col(n).cast(pl.String) for n in ("site", "year", "female", "child")]
    return (
        dataset("RANDHIE_camerondata.parquet")
        .with_columns(*text, plan=plan, exposure=pl.lit(1.0))
        .with_columns(amount="meddol", claims=(pl.col("meddol") > 0).cast(pl.Int64))
        .collect()
    )


PRICES = {"0%": 0.0, "25%": 0.25, "50%": 0.5, "95%": 0.95}


def spending(rows, formula, amount):
    rows = rows.with_columns(amount=pl.col(amount), claims=(pl.col(amount) > 0).cast(pl.Int64))
    seen = Experience.collect(rows, ["plan", "site", "year", "female", "child"], amount="amount")
    model = fit_pure_premium(seen, formula, power=1.0, base={"plan": "0%"})
    return cluster_errors(model, rows, by="zper")


def test_the_plans_of_the_rand_experiment_and_what_people_spend(rand):
    assert rand["zper"].n_unique() == 5912
    plain = spending(rand, "plan", "meddol")
    mean = dict(rand.group_by("plan").agg(pl.col("meddol").mean()).iter_rows())
    free = {r["level"]: r for r in plain.relativities("plan").iter_rows(named=True)}
    for name, row in free.items():
        assert row["relativity"] == pytest.approx(mean[name] / mean["0%"], rel=1e-8)
    # a plan of 95 % coinsurance costs a third less than free care; the interval is that of persons
    assert free["95%"]["relativity"] == pytest.approx(0.656, abs=1e-3)
    assert free["95%"]["upper"] < 0.85
    # the two parts: fewer people spend at all, and those who do spend less
    seen = Experience.collect(rand, ["plan"], amount="amount")
    two = fit_two_part(seen, "plan", base={"plan": "0%"}).relativities("plan")
    parts = {r["level"]: r for r in two.iter_rows(named=True)}
    any_use = dict(rand.group_by("plan").agg((pl.col("meddol") > 0).mean()).iter_rows())
    odds = {n: p / (1 - p) for n, p in any_use.items()}
    for name, row in parts.items():
        assert row["odds_ratio"] == pytest.approx(odds[name] / odds["0%"], rel=1e-6)
        assert row["relativity"] == pytest.approx(free[name]["relativity"], rel=1e-6)
    ordered = [parts[n]["odds_ratio"] for n in PRICES]
    assert ordered == sorted(ordered, reverse=True)


@pytest.mark.parametrize("formula", ["plan", "plan + site + year + female + child"])
def test_the_arc_elasticity_of_the_rand_experiment_is_the_published_fifth(rand, formula):
    """About −0.2 (Keeler and Rolph 1988; Newhouse 1993), between the coinsurance plans."""
    everything = arc_elasticity(spending(rand, formula, "meddol"), "plan", PRICES)
    whole = everything.table.row(-1, named=True)
    assert whole["arc"] == "0% → 95%"
    assert whole["elasticity"] == pytest.approx(-0.2, abs=0.015)
    assert whole["lower"] < -0.2 < whole["upper"] < 0
    ends = {"25%": 0.25, "95%": 0.95}
    paid = arc_elasticity(spending(rand, formula, "meddol"), "plan", ends).table.row(-1, named=True)
    assert paid["elasticity"] == pytest.approx(-0.2, abs=0.025)
    assert paid["lower"] < -0.2 < paid["upper"]
    outpatient = arc_elasticity(spending(rand, formula, "outpdol"), "plan", ends).table.row(
        -1, named=True
    )
    assert outpatient["lower"] < -0.2 < outpatient["upper"] < 0
