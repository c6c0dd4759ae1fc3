"""Visit plans where many cases are worth the same, or a provider's cap meets two settings."""

import numpy as np
import polars as pl
import pytest

from pricing.reassessment.calibration import ranked
from pricing.reassessment.leakage import estimate_leakage
from pricing.reassessment.visit_plan import plan_visits

GRADES = np.random.default_rng(0).integers(0, 4, 400)
CHANCE = np.array([0.05, 0.1, 0.2, 0.3])[GRADES]
TRUE = pl.DataFrame({
    "case_id": [f"C{i}" for i in range(400)],
    "monthly_benefit": 600.0,
    "ineligible": (np.random.default_rng(1).random(400) < CHANCE).astype(int),
})  # fmt: skip
ALIKE = pl.DataFrame({
    "case_id": TRUE["case_id"], "setting": "home", "provider": [f"p{i % 20}" for i in range(400)],
    "probability": CHANCE, "net_value": CHANCE * 5000 - 230, "hours": 2.0,
})  # fmt: skip


@pytest.mark.parametrize("draw", ["stratified", "poisson"])
def test_equal_values_do_not_let_the_lot_into_the_order(draw):
    # four values among 400 cases: the drawn must not stand first among those of one value
    found, truth = [], float(TRUE["ineligible"].sum())
    for seed in range(200):
        plan = plan_visits(ALIKE, {"home": 280.0}, random_share=0.15, seed=seed, draw=draw)
        cases = plan.cases.join(TRUE, on="case_id", maintain_order="left")
        told = estimate_leakage(cases, draw=draw, visited="planned").table
        found.append(told["estimate"][0])
    error = np.std(found, ddof=1) / np.sqrt(len(found))
    assert abs(np.mean(found) - truth) < 2.6 * error
    # whether a case stands before another of its value says nothing of whether it was drawn
    cases = plan.cases.with_columns(value=pl.Series(CHANCE)).sort("rank")
    first = cases.group_by("value").agg(pl.col("random").head(15).mean())["random"]
    assert first.max() < 1.0


def by_hand(cases, room, cap):
    """The greedy plan without a random share, one case after the other."""
    left, made, ended, chosen = dict(room), {}, set(), set()
    ranked = cases.with_columns(density=pl.col("net_value") / pl.col("hours")).sort("density", descending=True)  # fmt: skip
    for row in ranked.iter_rows(named=True):
        setting, provider = row["setting"], row["provider"]
        if row["net_value"] <= 0 or setting in ended or made.get(provider, 0) >= cap:
            continue
        if row["hours"] > left[setting] + 1e-9:
            ended.add(setting)
            continue
        left[setting] -= row["hours"]
        made[provider] = made.get(provider, 0) + 1
        chosen.add(row["case_id"])
    return chosen


@pytest.mark.parametrize("seed", range(8))
def test_a_cap_counts_visits_that_are_made(seed):
    rng = np.random.default_rng(seed)
    cases = pl.DataFrame({
        "case_id": [f"C{i}" for i in range(120)],
        "setting": rng.choice(["home", "institution"], 120),
        "provider": rng.choice(list("abcdef"), 120), "probability": 0.1,
        "net_value": rng.normal(100, 80, 120), "hours": rng.uniform(0.5, 3.0, 120).round(1),
    })  # fmt: skip
    room = {"home": 8.0, "institution": 60.0}
    plan = plan_visits(cases, room, random_share=0.0, cap_per_provider=9)
    assert set(plan.cases.filter("planned")["case_id"]) == by_hand(cases, room, 9)


def test_one_hour_more_goes_to_no_provider_that_is_full():
    cases = pl.DataFrame({
        "case_id": list("abcd"), "setting": "home", "provider": ["x", "x", "x", "y"],
        "probability": 0.1, "net_value": [900.0, 800.0, 700.0, 50.0], "hours": 1.0,
    })  # fmt: skip
    plan = plan_visits(cases, {"home": 1.0}, random_share=0.0, cap_per_provider=1)
    assert plan.facts["next_hour"] == 50.0
    assert plan_visits(cases, {"home": 1.0}, random_share=0.0).facts["next_hour"] == 800.0


def test_two_found_of_four_are_no_proof_of_perfect_ranking():
    found = ranked(np.array([0.9, 0.8, 0.2, 0.1]), np.array([1.0, 1.0, 0.0, 0.0]))
    assert (found.area, found.upper) == (1.0, 1.0)
    assert found.lower == pytest.approx(0.025 ** (1 / 2))
