"""Proof: on simulated books with measured confounders the doubly robust intervals cover the truth.

Run in full by ``make prove``; the default run takes fewer books and a wider allowance.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from pricing.causal.adjusted import naive
from pricing.causal.differences import staggered
from pricing.causal.nuisance import fit_nuisance
from pricing.causal.people import People
from pricing.causal.weighting import aipw, inverse_probability

TRUTH = 0.85
LIVES = 3_000


def book(seed, lives=LIVES, *, starts=(1,)):
    """Person-years 0, 1, …: health index and age drive joining and claims, and both are measured."""
    rng = np.random.default_rng(seed)
    index, age = rng.standard_normal(lives), rng.uniform(-1, 1, lives)
    male = rng.random(lives) < 0.5
    joins = rng.random(lives) < 1 / (1 + np.exp(-(-0.2 + 0.8 * index - 0.3 * age)))
    start = np.where(joins, rng.choice(starts, lives), 99)
    frames = []
    for year in range(max(starts) + 1):
        inside = start <= year
        exposure = np.where(rng.random(lives) < 0.2, rng.uniform(0.3, 1, lives), 1.0)
        # the trend depends on the index only, so changes are parallel given it
        rate = np.exp(-0.9 - 0.35 * index + 0.3 * age + 0.1 * male) + 0.02 * year
        frail = rng.gamma(4, 1 / 4, lives)  # over-dispersed
        frames.append(pl.DataFrame({
            "id": np.arange(lives), "year": year, "in": inside, "index": index, "age": age,
            "sex": np.where(male, "m", "f"), "exposure": exposure,
            "claims": rng.poisson(rate * frail * exposure * np.where(inside, TRUTH, 1.0)),
            "rate": rate,
        }))  # fmt: skip
    return pl.concat(frames)


def covered(contrast, truth):
    return abs(np.log(contrast.ratio) - np.log(truth)) <= 1.959964 * contrast.ratio_error


def run(seeds):
    hits = {name: [] for name in ("naive", "ipw", "aipw", "aipw att", "did", "did staggered")}
    for seed in seeds:
        rows = book(seed)
        last = rows.filter(pl.col("year") == 1)
        people = People.collect(last, treated="in", factors=["index", "age", "sex"], person="id")
        hits["naive"].append(covered(naive(people), TRUTH))
        hits["ipw"].append(
            covered(inverse_probability(people, fit_nuisance(people, folds=1)), TRUTH)
        )
        crossed = fit_nuisance(people, folds=5)
        hits["aipw"].append(covered(aipw(people, crossed), TRUTH))
        hits["aipw att"].append(covered(aipw(people, crossed, "att"), TRUTH))
        known = {
            "treated": "in",
            "person": "id",
            "period": "year",
            "factors": ["index", "age", "sex"],
        }
        hits["did"].append(covered(staggered(rows, **known).effect, TRUTH))
        spread = book(10_000 + seed, starts=(1, 2, 3))
        hits["did staggered"].append(covered(staggered(spread, **known).effect, TRUTH))
    return {name: float(np.mean(found)) for name, found in hits.items()}


@pytest.mark.slow
def test_intervals_of_300_books_cover_the_truth_and_the_naive_one_does_not():
    share = run(range(300))
    print(share)
    for name in ("aipw", "aipw att", "ipw", "did", "did staggered"):
        assert 0.92 <= share[name] <= 0.98, share
    assert share["naive"] < 0.10, share


def test_intervals_of_a_few_books_cover_the_truth_and_the_naive_one_does_not():
    share = run(range(20))
    for name in ("aipw", "aipw att", "ipw", "did", "did staggered"):
        assert share[name] >= 0.75, share  # 14 or fewer of 20 at 95 %: one in 3,000
    assert share["naive"] <= 0.1, share
