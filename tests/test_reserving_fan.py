"""The development fan: it starts from what is paid and ends in the ultimate, and is the law it says."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest

from pricing.reserving.completion import complete
from pricing.reserving.emergence import Drawn, Emergence
from pricing.reserving.fan import fan_ages, fan_table
from pricing.reserving.triangle import claim_triangle
from pricing.result.shape import Result
from pricing.result.words import LANGUAGES


def shifted(month: int) -> date:
    return date(2022 + month // 12, month % 12 + 1, 3)


def completed(share=(0.4, 0.35, 0.15, 0.1), months=24, **options):
    rng = np.random.default_rng(3)
    rows = [
        (shifted(t), shifted(t + lag), round(1000 * part * rng.uniform(0.7, 1.3), 2))
        for t in range(months)
        for lag, part in enumerate(share)
        if t + lag < months and part
    ]
    paid = pl.DataFrame(rows, schema=["incurred", "paid", "amount"], orient="row")
    triangle = claim_triangle(paid, valuation=date(2023, 12, 31))
    exposure = pl.DataFrame({"origin": triangle.origins, "exposure": 100.0})
    return complete(triangle, exposure, lags=6, draws=400, **options)


@pytest.mark.parametrize("tail", [1.0, 1.05])
def test_the_fan_leads_from_what_is_paid_to_the_interval_of_the_ultimate(tail):
    found = completed(tail=tail)
    fan = found.fan.table.filter(pl.col("grown_expected").is_not_null())
    assert fan["origin"].n_unique() == 3
    for (origin,), part in fan.group_by("origin"):
        ultimate = found.table.row(by_predicate=pl.col("origin") == origin, named=True)
        first, last = part.row(0, named=True), part.row(-1, named=True)
        for end in ("grown_to", "grown_expected", "lower", "lower_80", "upper_80", "upper"):
            assert first[end] == pytest.approx(ultimate["paid"])
        assert last["grown_expected"] == pytest.approx(ultimate["ultimate"])
        for end in ("lower", "lower_80", "upper_80", "upper"):
            assert last[end] == pytest.approx(ultimate[end])
        inside = part.select(
            (pl.col("lower") <= pl.col("lower_80")) & (pl.col("upper_80") <= pl.col("upper"))
        )
        assert inside.to_series().all()
        assert (part["upper"].diff().drop_nulls() >= -1e-9).all()  # nothing comes back
        assert last["lag"] == 5 + (tail > 1)


def test_claims_to_come_are_gamma_by_lag_and_independent():
    complete_by = np.array([0.2, 0.5, 0.8, 1.0])
    model = Emergence(
        increments=np.array([[20.0, 30, 30, 20]] * 3 + [[20, 0, 0, 0]]), exposure=np.ones(4),
        design=np.ones((4, 1)), complete=complete_by, coefficients=np.log([100.0]),
        dispersion=8.0, between=0.0,
    )  # fmt: skip
    draws = 60_000
    drawn = Drawn(np.ones((draws, 4)), np.tile(complete_by, (draws, 1)), np.zeros((draws, 1)))
    due = np.tile([0.0, 0.0, 0.0, 80.0], (draws, 1))
    rng = np.random.default_rng(1)
    unpaid = model.claimed(due, rng)
    grown = model.by_lag(drawn, due, unpaid, 3, rng)
    parts = np.diff(grown, axis=1, prepend=0.0)
    np.testing.assert_allclose(grown[:, -1], unpaid[:, 3])
    np.testing.assert_allclose(parts.mean(axis=0), [30, 30, 20], rtol=0.01)
    np.testing.assert_allclose(parts.var(axis=0), 8.0 * np.array([30, 30, 20]), rtol=0.03)
    assert np.abs(np.corrcoef(parts.T) - np.eye(3)).max() < 0.02


def test_money_that_comes_back_still_leads_to_the_ultimate():
    found = completed(share=(0.6, 0.5, -0.1))
    last = found.fan.table.filter(pl.col("origin") == found.table["origin"][-1]).row(-1, named=True)
    assert last["upper"] == pytest.approx(found.table["upper"][-1])
    assert np.isfinite(found.fan.table["grown_expected"].drop_nulls().to_numpy()).all()


def test_the_same_seed_gives_the_same_fan_and_it_is_kept(tmp_path):
    fan = completed(seed=5).fan
    assert fan.table.equals(completed(seed=5).fan.table)
    fan.save(tmp_path / "fan")
    back = Result.load(tmp_path / "fan")
    assert back.table.equals(fan.table)
    assert back.finding("en") == fan.finding("en")
    for lang in LANGUAGES:
        names = [t.name for t in back.figure(lang).data if t.showlegend is not False]
        assert names[1:] == ["2023-12", "2023-11", "2023-09"]


def test_a_history_of_one_period_has_no_more_than_its_point():
    paid = pl.DataFrame(
        {"incurred": [date(2023, 12, 3)], "paid": [date(2023, 12, 9)], "amount": 5.0}
    )
    triangle = claim_triangle(paid, valuation=date(2023, 12, 31))
    exposure = pl.DataFrame({"origin": triangle.origins, "exposure": [1.0]})
    fan = complete(triangle, exposure, draws=100).fan
    assert fan.table.height == 1
    assert len(fan.figure("en").data) == 4
    assert fan_ages([2, 2, 1, 0], 3) == [2, 3]
    seen = np.array([[1.0, 2.0], [1.0, np.nan]])
    ends = {"grown_expected": np.array([1.0, 2.0])}
    for name in ("lower_80", "upper_80", "lower", "upper"):
        ends[name] = np.array([1.0, 2.0])
    days = [date(2023, 1, 1), date(2023, 2, 1)]
    assert fan_table(days, seen, {1: ends})["lag"].to_list() == [0, 1, 0, 1]
