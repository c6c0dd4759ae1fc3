"""Leakage from the random share: no bias and the coverage it says, over two thousand draws."""

import numpy as np
import polars as pl
import pytest

from pricing.reassessment.leakage import estimate_leakage
from pricing.reassessment.random_share import draw_random_share

DRAWS = 2_000


@pytest.fixture(scope="module")
def book():
    """600 cases whose eligibility is known, with a model that is wrong but knows something."""
    rng = np.random.default_rng(11)
    p = rng.beta(1.2, 6, 600)
    return pl.DataFrame({
        "case_id": [f"c{i}" for i in range(600)],
        "setting": np.where(rng.random(600) < 0.8, "home", "institution"),
        "provider": rng.choice(["甲", "乙"], 600),
        "monthly_benefit": rng.choice([450.0, 600.0], 600),
        "ineligible": (rng.random(600) < p).astype(int),
        "probability": 0.5 * p + 0.02,
        "net_value": 3000 * p - 200 + rng.normal(0, 50, 600),
        "hours": 2.0,
    })  # fmt: skip


def truth_of(book):
    return {
        "ineligible_cases": float(book["ineligible"].sum()),
        "monthly_leakage": float((book["ineligible"] * book["monthly_benefit"]).sum()),
    }


@pytest.mark.parametrize("draw", ["stratified", "poisson"])
def test_estimates_are_unbiased_and_cover_over_two_thousand_draws(book, draw):
    total = truth_of(book)["monthly_leakage"]
    names = ("horvitz_thompson", "hajek", "difference")
    found = {n: np.zeros((DRAWS, 4)) for n in names}
    for seed in range(DRAWS):
        drawn = draw_random_share(book, 0.15, seed=seed, draw=draw)
        table = estimate_leakage(
            drawn, draw=draw, visited="random", stratum="setting", inclusion="random_inclusion",
            probability="probability",
        ).table  # fmt: skip
        rows = table.tail(3).select("estimate", "std_error", "lower", "upper").to_numpy()
        for name, row in zip(names, rows, strict=True):
            found[name][seed] = row
    for name, sample in found.items():
        estimate, error, lower, upper = sample.T
        bias = (estimate.mean() - total) / (estimate.std(ddof=1) / np.sqrt(DRAWS))
        assert abs(bias) < 3.0, name
        assert np.sqrt((error**2).mean()) == pytest.approx(estimate.std(ddof=1), rel=0.05), name
        assert 0.925 < ((lower <= total) & (total <= upper)).mean() < 0.97, name
    assert found["difference"][:, 0].std() < found["horvitz_thompson"][:, 0].std()
