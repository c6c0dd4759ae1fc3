"""Scores at a horizon: Brier with censoring weights and calibration, by hand, by truth and in themselves."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from statsmodels.stats.proportion import proportion_confint

from pricing.errors import InputError
from pricing.result.shape import Result
from pricing.survival.curve import survival_curve
from pricing.survival.horizon import brier, calibrate_at
from pricing.survival.lives import Lives


def drawn(n=2000, seed=1, months=False, censored=3.0):
    """Exponential lives with the hazard e^x; s1 and s2 are the true survival to 1 and 2."""
    draw = np.random.default_rng(seed)
    x = draw.integers(-8, 9, n) / 8
    time, seen = draw.exponential(np.exp(-x)), draw.exponential(censored, n)
    exit = np.minimum(time, seen)
    return pl.DataFrame({
        "exit": np.ceil(exit * 6) / 6 if months else exit, "event": time <= seen,
        "s1": np.exp(-np.exp(x)), "s2": np.exp(-2 * np.exp(x)),
        "off": np.exp(-1.6 * np.exp(x)), "half": np.full(n, 0.5),
    })  # fmt: skip


def by_hand(rows, horizon, name):
    """Life by life, the censoring curve by a loop over its times."""
    t, d, s = (rows[n].to_numpy() for n in ("exit", "event", name))

    def free(time, before):
        value = 1.0
        for u in np.unique(t[~d]):
            if u < time or (u == time and not before):
                gone = ((t == u) & ~d).sum()
                value *= 1 - gone / ((t > u).sum() + gone)  # events of that time are gone
        return value

    total = 0.0
    for ti, di, si in zip(t, d, s, strict=True):
        if ti <= horizon and di:
            total += si**2 / free(ti, True)
        elif ti > horizon:
            total += (1 - si) ** 2 / free(horizon, False)
    return total / len(t)


@pytest.mark.parametrize("months", [True, False])
def test_brier_by_hand(months):
    rows = drawn(150, months=months)
    found = brier(rows, {1.0: "s1", 2.0: "s2"})
    for horizon, value in found.table.select("horizon", "brier").iter_rows():
        assert value == pytest.approx(by_hand(rows, horizon, f"s{horizon:.0f}"), rel=1e-12)
    whole = found.table["brier"].mean()  # two horizons: the trapezium's mean
    assert found.facts["brier"] == pytest.approx(whole)
    assert "integrated" in found.finding()


def test_without_censoring_it_is_the_mean_square():
    rows = drawn(500).with_columns(event=pl.lit(True))
    there = (rows["exit"] > 1.0).cast(pl.Float64)
    for name in ("s1", "half"):
        found = brier(rows, {1.0: name}).table.row(0, named=True)
        squares = (there - rows[name]) ** 2
        assert found["brier"] == pytest.approx(squares.mean())
        assert found["std_error"] == pytest.approx(squares.std(ddof=0) / np.sqrt(500), abs=1e-12)
    assert found["brier"] == pytest.approx(0.25)
    share = there.mean()
    assert found["brier_curve"] == pytest.approx(share * (1 - share))
    assert found["lives_left"] + found["lives_there"] == 500


def test_censoring_is_made_up_for():
    full = drawn(30_000, seed=3, censored=1e9)
    cut = drawn(30_000, seed=4, censored=1.5)
    a, b = (brier(rows, {1.0: "s1"}).table.row(0, named=True) for rows in (full, cut))
    assert b["lives_unknown"] > 5000
    assert abs(a["brier"] - b["brier"]) < 3 * np.hypot(a["std_error"], b["std_error"])
    assert b["brier_gain"] > 0.05
    wrong = brier(cut, {1.0: "off"}).table["brier"].item()
    assert wrong > b["brier"]


def test_calibration_is_kaplan_and_meier_by_group():
    rows = drawn(900)
    found = calibrate_at(rows, 1.0, "s1", groups=5)
    assert found.table["prediction_group"].to_list() == [1, 2, 3, 4, 5]
    assert found.table["lives"].sum() == 900
    assert found.table["predicted_survival"].is_sorted()
    edges = rows.sort("s1")["s1"]
    first = found.table["lives"][0]
    own = rows.filter(pl.col("s1") <= edges[int(first) - 1])
    assert own.height == first
    curve = survival_curve(Lives.collect(own)).survival_at(1.0).row(0, named=True)
    for name in ("survival", "std_error", "lower", "upper"):
        assert found.table[name][0] == pytest.approx(curve[name])
    assert found.table["predicted_survival"][0] == pytest.approx(own["s1"].mean())
    gaps = (found.table["survival"] - found.table["predicted_survival"]) / found.table["std_error"]
    assert found.facts["chi_squared"] == pytest.approx((gaps**2).sum())


def test_the_truth_is_calibrated_and_what_is_off_is_not():
    rows = drawn(6000, seed=8)
    right, wrong = (calibrate_at(rows, 1.0, name) for name in ("s1", "off"))
    assert right.facts["p_value"] > 0.01
    assert wrong.facts["p_value"] < 1e-6
    assert "no larger than chance" in right.finding()
    assert "larger than chance" in wrong.finding()
    assert wrong.facts["predicted"] < wrong.facts["lower"]


@pytest.mark.slow
def test_intervals_and_the_test_hold_the_truth_about_as_often_as_they_say():
    """Over 2,500 books of 400 lives a group: intervals 95 %, the test refuses 6.3 % where 5 % is said."""
    books = [calibrate_at(drawn(2000, seed=s), 1.0, "s1", groups=5) for s in range(1000)]
    inside = [pl.col("predicted_survival").is_between("lower", "upper").mean()]
    assert 0.94 <= np.mean([b.table.select(inside).item() for b in books]) <= 0.96
    assert 0.04 <= np.mean([b.facts["p_value"] < 0.05 for b in books]) <= 0.085


def test_groups_that_nobody_leaves_are_held_against_their_prediction():
    """Greenwood's error is zero there: the interval was [1, 1], and the test left the group out."""
    rare = np.random.default_rng(8)
    outside, refused, many = 0, 0, 100
    for _ in range(many):
        s = np.repeat(1 - np.linspace(0.001, 0.02, 10), 60).round(4)
        t = np.where(rare.random(600) < 1 - s, 0.5, 1.0)
        rows = pl.DataFrame({"exit": t, "event": t < 1, "s": s})
        found = calibrate_at(rows, 1.0, "s")
        outside += found.facts["outside"]
        refused += found.facts["p_value"] < 0.05
    assert outside < 0.08 * 10 * many
    assert refused < 0.10 * many
    stay = pl.DataFrame({"exit": [2.0] * 50, "event": False, "s": 0.5})
    off = calibrate_at(stay, 1.0, "s")
    assert off.facts["outside"] == 1
    assert off.facts["p_value"] < 1e-6
    low, high = proportion_confint(50, 50, method="wilson")
    assert off.table.select("lower", "upper").row(0) == pytest.approx((low, high))
    gone = calibrate_at(stay.with_columns(exit=0.5, event=True).vstack(stay.head(1).with_columns(s=0.9)), 1.0, "s", groups=2)  # fmt: skip
    low, high = proportion_confint(0, 50, method="wilson")
    assert gone.table.select("lower", "upper").row(0) == pytest.approx((0.0, high))


def test_order_cells_and_units_make_no_difference():
    rows = drawn(400, months=True)
    cells = rows.group_by(rows.columns).agg(w=pl.len())
    assert cells.height < rows.height
    score, held = brier(rows, {1.0: "s1"}), calibrate_at(rows, 1.0, "s1", groups=4)
    for frame, weight, unit in (
        (rows.sample(fraction=1.0, shuffle=True, seed=1), None, 1.0),
        (cells, "w", 1.0),
        (rows.lazy(), None, 1.0),
        (rows.with_columns(pl.col("exit") * 12), None, 12.0),
    ):
        one = brier(frame, {unit: "s1"}, weight=weight).table
        two = calibrate_at(frame, unit, "s1", groups=4, weight=weight).table
        np.testing.assert_allclose(one.drop("horizon"), score.table.drop("horizon"), rtol=1e-9)
        np.testing.assert_allclose(two, held.table, rtol=1e-9)
    again = brier(rows.sample(fraction=1.0, shuffle=True, seed=1), {1.0: "s1"})
    assert again.basis.fingerprint == score.basis.fingerprint


def test_a_horizon_by_which_all_have_left():
    rows = pl.DataFrame({"exit": [1.0, 2.0], "event": [True, True], "s": [0.1, 0.2]})
    found = calibrate_at(rows, 2.0, "s", groups=1)
    assert found.table["survival"].item() == 0.0
    assert "0.0% are still there" in found.finding()
    with pytest.raises(InputError, match="nobody is observed after 2"):
        brier(rows, {2.0: "s"})


def test_groups_of_equal_predictions_stay_together():
    rows = drawn(300)
    found = calibrate_at(rows, 1.0, "half", groups=10)
    assert found.table.height == 1
    curve = survival_curve(Lives.collect(rows)).survival_at(1.0)
    assert found.table["survival"].item() == pytest.approx(curve["survival"].item())
    many = calibrate_at(rows, 1.0, "s1", groups=500)
    assert many.table.height == rows["s1"].n_unique()


def test_groups_without_anybody_at_the_horizon_have_no_figure():
    rows = pl.DataFrame({"exit": [1.0, 1.0, 5.0, 2.0], "event": [0, 0, 0, 1], "s": [0.1, 0.1, 0.9, 0.9]})  # fmt: skip
    found = calibrate_at(rows, 3.0, "s", groups=2)
    assert found.table["survival"].to_list() == [None, 0.5]
    assert found.basis.notes[-1] == "1 groups have nobody observed to 3"
    assert len(found.figure().data[1].x) == 1
    sure = calibrate_at(rows.with_columns(event=pl.lit(0)), 3.0, "s", groups=2)
    assert sure.facts["p_value"] > 0.5  # one life known, as predicted
    assert sure.finding().endswith(".")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"s1": pl.lit(None, pl.Float64)}, "'s1' is null, NaN or infinite in 50 of 50"),
        ({"s1": pl.lit(float("nan"))}, "'s1' is null, NaN or infinite"),
        ({"s1": pl.lit(1.5)}, "'s1' is not between 0 and 1 in 50 rows"),
        ({"s1": pl.lit(-0.1)}, "'s1' is not between 0 and 1"),
        ({"s1": pl.lit("x")}, "not a number"),
        ({"exit": pl.lit(0.0)}, "'exit' is not above 0 in 50"),
        ({"exit": pl.lit(0.5)}, "nobody is observed"),
        ({"w": pl.lit(-1.0)}, "'w' is null, not finite or negative"),
        ({"w": pl.lit(0.0)}, "there are no lives"),
        ({"event": pl.lit(None, pl.Boolean)}, "'event' is null"),
    ],
)
def test_what_cannot_be_scored(change, said):
    rows = drawn(50).with_columns(w=pl.lit(1.0)).with_columns(**change)
    with pytest.raises(InputError, match=said):
        brier(rows, {1.0: "s1"}, weight="w")
    with pytest.raises(InputError, match=said):
        calibrate_at(rows, 1.0, "s1", weight="w")


def test_other_requests_are_refused():
    rows = drawn(50)
    for horizon in (0.0, -1.0, float("nan"), "1"):
        with pytest.raises(InputError, match="a horizon is a time above 0"):
            brier(rows, {horizon: "s1"})
        with pytest.raises(InputError, match="a horizon is a time above 0"):
            calibrate_at(rows, horizon, "s1")
    for none in ({}, "s1", None):
        with pytest.raises(InputError, match="a mapping of horizon to column"):
            brier(rows, none)
    with pytest.raises(InputError, match="groups are 1 or more"):
        calibrate_at(rows, 1.0, "s1", groups=0)
    with pytest.raises(InputError, match="'s3'; there are"):
        calibrate_at(rows, 1.0, "s3")
    with pytest.raises(InputError, match="confidence level"):
        brier(rows, {1.0: "s1"}, level=95)


def test_results_are_kept_and_drawn_in_both_languages(tmp_path):
    rows = drawn(300)
    results = [
        brier(rows, {1.0: "s1"}), brier(rows, {1.0: "s1", 2.0: "s2"}), calibrate_at(rows, 1.0, "s1")
    ]  # fmt: skip
    for i, result in enumerate(results):
        result.save(tmp_path / str(i))
        back = Result.load(tmp_path / str(i))
        assert back.finding("zh") == result.finding("zh") != result.finding("en")
        assert back.figure("zh").layout.yaxis.title.text != back.figure().layout.yaxis.title.text
    assert list(results[2].figure().data[1].y) == results[2].table["survival"].to_list()
