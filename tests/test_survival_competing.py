"""Competing causes: against lifelines without ties, exact with them, and Fine and Gray's rows."""

from __future__ import annotations

import warnings

import numpy as np
import polars as pl
import pytest

from pricing.errors import InputError
from pricing.result.shape import Result
from pricing.survival.competing import cumulative_incidence
from pricing.survival.curve import survival_curve
from pricing.survival.fine_gray import fine_gray_rows
from pricing.survival.lives import Lives
from pricing.verify.figures import figures

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from lifelines import AalenJohansenFitter

TOY = pl.DataFrame({
    "exit": [1, 2, 3, 4, 4, 4, 5, 5, 6, 8, 8, 9, 10, 12],
    "event": [1, 2, 0, 1, 0, 0, 2, 1, 0, 0, 2, 0, 1, 0],
})  # fmt: skip


def drawn(n=400, seed=1, months=True):
    draw = np.random.default_rng(seed)
    entry = draw.integers(0, 4, n).astype(float)
    gone = entry + 0.001 + draw.exponential(8.0, n)
    seen = entry + 0.001 + draw.exponential(14.0, n)
    cause = draw.choice(["lapse", "death", "claim"], n, p=[0.6, 0.1, 0.3])
    exit = np.minimum(gone, seen)
    return pl.DataFrame(
        {
            "tier": draw.integers(0, 2, n),
            "entry": entry,
            "exit": np.ceil(exit) if months else exit,
            "event": pl.Series(cause).set(pl.Series(gone > seen), None),
        }
    )


def incidence(rows, by=(), **given):
    return cumulative_incidence(Lives.collect(rows, by, **given))


@pytest.mark.parametrize("cause", ["claim", "death", "lapse"])
def test_without_ties_it_is_lifelines(cause):
    rows = drawn(months=False)
    number = rows["event"].replace_strict(
        {"claim": 1, "death": 2, "lapse": 3}, default=0, return_dtype=pl.Int64
    )
    which = ["claim", "death", "lapse"].index(cause) + 1
    theirs = AalenJohansenFitter().fit(rows["exit"].to_numpy(), number.to_numpy(), which)
    found = incidence(rows).table.filter(pl.col("cause") == cause)
    at = theirs.cumulative_density_.loc[found["time"].to_numpy()].to_numpy().ravel()
    np.testing.assert_allclose(found["incidence"], at, rtol=1e-10, atol=1e-14)
    variance = np.asarray(theirs.variance_)[1:]
    open_ = found["survival"].to_numpy() > 0
    np.testing.assert_allclose(
        found["std_error"].to_numpy()[open_] ** 2, variance[open_], rtol=1e-7, atol=1e-15
    )


@pytest.mark.parametrize("late", [True, False])
def test_shares_and_survival_are_one(late):
    rows = drawn()
    lives = Lives.collect(rows, ["tier"], entry="entry" if late else None)
    table = cumulative_incidence(lives).table
    total = table.group_by("tier", "time").agg(
        pl.col("incidence").sum() + pl.col("survival").first()
    )
    np.testing.assert_allclose(total["incidence"], 1.0, rtol=1e-13)
    curve = survival_curve(lives).table
    hazard = table.group_by("tier", "time").agg(pl.col("hazard").sum()).sort("tier", "time")
    np.testing.assert_allclose(hazard["hazard"], curve["hazard"], rtol=1e-12)


def test_survival_is_the_product_of_the_causes_pieces():
    """Without ties of several causes 1 − Σ F is the product of the Kaplan–Meier curves by cause."""
    rows = drawn(months=False)
    found = incidence(rows).table
    product = np.ones(found["time"].n_unique())
    for cause in ("claim", "death", "lapse"):
        alone = rows.with_columns(event=pl.col("event") == cause).with_columns(
            pl.col("event").fill_null(False)
        )
        product *= survival_curve(Lives.collect(alone)).table["survival"].to_numpy()
    left = found.group_by("time").agg(pl.col("incidence").sum()).sort("time")["incidence"]
    np.testing.assert_allclose(1 - left.to_numpy(), product, rtol=1e-10, atol=1e-12)


def test_ties_are_exact_and_in_no_order():
    """Half of ten leave at once, 3 by one cause and 2 by another: shares .3 and .2, whoever is first."""
    rows = pl.DataFrame({"exit": [1] * 10, "event": ["a"] * 3 + ["b"] * 2 + [None] * 5})
    found = incidence(rows).table
    np.testing.assert_allclose(found["incidence"], [0.3, 0.2])
    np.testing.assert_allclose(found["std_error"] ** 2, [0.3 * 0.7 / 10, 0.2 * 0.8 / 10])
    assert found["survival"].to_list() == [0.5, 0.5]


def test_one_cause_has_greenwoods_error():
    rows = drawn().with_columns(event=pl.col("event").is_not_null())
    found, curve = incidence(rows).table, survival_curve(Lives.collect(rows)).table
    np.testing.assert_allclose(found["incidence"], 1 - curve["survival"], rtol=1e-12, atol=1e-13)
    known = curve["std_error"].is_not_null().to_numpy()
    np.testing.assert_allclose(
        found["std_error"].to_numpy()[known], curve["std_error"].to_numpy()[known], rtol=1e-6
    )


def test_without_censoring_errors_are_binomial():
    rows = drawn(2000, seed=4).with_columns(pl.col("event").fill_null("claim"))
    table = incidence(rows).table.filter(pl.col("survival") > 0.01)
    f = table["incidence"].to_numpy()
    np.testing.assert_allclose(table["std_error"], np.sqrt(f * (1 - f) / 2000), rtol=1e-6)


def test_aalens_error_is_close_without_ties_and_larger_with():
    for months, least, most in ((False, 0.999, 1.02), (True, 1.0, 1.2)):
        lives = Lives.collect(drawn(2000, seed=4, months=months))
        delta, aalen = (cumulative_incidence(lives, variance=v).table for v in ("delta", "aalen"))
        some = (delta["at_risk"] > 50).to_numpy() & (delta["incidence"] > 0.01).to_numpy()
        ratio = aalen["std_error"].to_numpy()[some] / delta["std_error"].to_numpy()[some]
        assert least < ratio.min() <= ratio.max() < most
    one = Lives.collect(drawn().with_columns(pl.col("event").is_not_null()))
    table = cumulative_incidence(one, variance="aalen").table
    d, y, s = (table[n].to_numpy() for n in ("events", "at_risk", "survival"))
    some = s > 0
    expected = s[some] * np.sqrt(np.cumsum(d[some] / (y[some] - d[some]) ** 2))
    np.testing.assert_allclose(table["std_error"].to_numpy()[some], expected, rtol=1e-6)


def test_intervals_hold_the_truth():
    draw = np.random.default_rng(6)
    truth = 0.75 * (1 - np.exp(-4 * 0.3))
    inside = 0
    for _ in range(200):
        t, c = draw.exponential(0.25, 100), draw.exponential(1.0, 100)
        event = np.where(t > c, 0, np.where(draw.random(100) < 0.75, 1, 2))
        rows = pl.DataFrame({"exit": np.minimum(t, c), "event": event})
        one = incidence(rows, causes=["a", "b"]).incidence_at(0.3).filter(pl.col("cause") == "a")
        inside += one["lower"].item() <= truth <= one["upper"].item()
    assert 180 <= inside <= 199


def test_order_cells_weights_and_sums_make_no_difference():
    rows = drawn()
    cells = rows.group_by(pl.all()).agg(weight=pl.len())
    first = incidence(rows, ["tier"], entry="entry").table
    others = [
        incidence(rows.reverse(), ["tier"], entry="entry").table,
        incidence(cells, ["tier"], entry="entry", weight="weight").table,
    ]
    for other in others:
        for name in ("at_risk", "events", "incidence", "hazard"):
            np.testing.assert_allclose(first[name], other[name], rtol=1e-10, atol=1e-13)
    half = rows.with_columns(weight=pl.lit(0.5))
    split = incidence(pl.concat([half, half]), ["tier"], entry="entry", weight="weight").table
    np.testing.assert_allclose(first["std_error"], split["std_error"], rtol=1e-9)


def test_numbers_text_and_levels_name_the_same_causes():
    rows = drawn()
    levels = pl.Enum(["lapse", "death", "claim", "never"])
    number = pl.col("event").replace_strict({"lapse": 1, "death": 2, "claim": 3}, default=0)
    text = incidence(rows)
    enum = incidence(rows.with_columns(pl.col("event").cast(levels)))
    numbers = incidence(rows.with_columns(number), causes=["lapse", "death", "claim"])
    assert text.details["causes"] == ["claim", "death", "lapse"]
    assert enum.details["causes"] == numbers.details["causes"] == ["lapse", "death", "claim"]
    for cause in ("lapse", "death", "claim"):
        one, two, three = (
            r.table.filter(pl.col("cause").cast(pl.String) == cause)["incidence"].to_numpy()
            for r in (text, enum, numbers)
        )
        np.testing.assert_allclose(one, two, rtol=1e-12)
        np.testing.assert_allclose(one, three, rtol=1e-12)


def test_a_cause_that_never_comes_and_nobody_leaving():
    rows = pl.DataFrame({"exit": [1, 2], "event": ["a", None]})
    found = incidence(rows, causes=["a", "b"])
    assert found.incidence_at(2)["incidence"].to_list() == [0.5, 0.0]
    none = incidence(pl.DataFrame({"exit": [1, 2], "event": [0, 0]}))
    assert none.table["incidence"].to_list() == [0.0, 0.0]
    assert none.table["upper"].to_list() == [0.0, 0.0]
    assert found.incidence_at(0.5, 3)["incidence"].to_list() == [0.0, None, 0.0, None]


@pytest.mark.parametrize("event", [["a", "c"], [1, 3]])
def test_unknown_causes_are_refused(event):
    rows = pl.DataFrame({"exit": [1, 2], "event": event})
    with pytest.raises(InputError, match="causes that are not named in 1 rows"):
        incidence(rows, causes=["a", "b"])


def test_other_requests_are_refused_and_gaps_said():
    lives = Lives.collect(TOY)
    with pytest.raises(InputError, match="no variance"):
        cumulative_incidence(lives, variance="greenwood")
    with pytest.raises(InputError, match="times lie at or after 0"):
        cumulative_incidence(lives).incidence_at(-1.0)
    rows = pl.DataFrame({"entry": [0, 5], "exit": [2, 7], "event": ["a", "b"]})
    found = incidence(rows, entry="entry")
    assert found.table["incidence"].is_finite().all()
    assert "take a later start" in found.finding()


def test_it_is_kept_and_drawn_in_both_languages(tmp_path):
    for by in ((), ("tier",)):
        found = incidence(drawn(), by, unit="month")
        found.save(tmp_path / str(len(by)))
        back = Result.load(tmp_path / str(len(by)))
        assert back.finding("zh") == found.finding("zh")
        assert len(back.figure("zh").data) == (3 * 3 + 1 if not by else 6 + 2)


# -- Fine and Gray ----------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [TOY, drawn(300).drop("entry", "tier")])
def test_kaplan_meier_of_the_weighted_rows_is_aalen_johansen(rows):
    found = incidence(rows)
    for cause in found.details["causes"]:
        split = fine_gray_rows(rows, cause)
        lives = Lives.collect(split, entry="entry", weight="weight")
        curve = survival_curve(lives).table.filter(pl.col("events") > 0)
        told = found.table.filter((pl.col("cause") == cause) & (pl.col("events") > 0))
        assert curve["time"].to_list() == told["time"].to_list()
        np.testing.assert_allclose(1 - curve["survival"].to_numpy(), told["incidence"], rtol=1e-9)


def test_weighted_rows_on_cells_and_their_refusals():
    rows = drawn(300).drop("entry")
    cells = rows.group_by("tier", "exit", "event").agg(weight=pl.len())
    totals = [
        fine_gray_rows(f, "claim", weight=w)
        .group_by("tier", "entry", "exit", "event")
        .agg(pl.col("weight").sum())
        .sort("tier", "entry", "exit", "event")
        for f, w in ((rows, None), (cells, "weight"))
    ]
    np.testing.assert_allclose(totals[0]["weight"], totals[1]["weight"], rtol=1e-10)
    assert fine_gray_rows(rows, "claim")["row"].n_unique() == 300
    with pytest.raises(InputError, match="nobody leaves by 'clam'; did you mean 'claim'"):
        fine_gray_rows(rows, "clam")
    with pytest.raises(InputError, match="a name of ours: entry"):
        fine_gray_rows(drawn(), "claim")


def test_published_figures():
    found = figures("survival")
    assert len(found) > 40
    assert not [f.name for f in found if not f.ok]
