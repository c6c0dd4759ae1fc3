"""Concordance: against pairs counted one by one, lifelines, and itself."""

from __future__ import annotations

import warnings

import numpy as np
import polars as pl
import pytest

from pricing.errors import InputError
from pricing.result.shape import Result
from pricing.survival.concordance import concordance, dominance

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from lifelines.utils import concordance_index


def drawn(n=120, seed=1, ties=True):
    draw = np.random.default_rng(seed)
    entry = draw.integers(0, 4, n).astype(float)
    spent = draw.integers(1, 8, n) if ties else draw.exponential(4.0, n) + 0.01
    return pl.DataFrame({
        "entry": entry, "exit": entry + spent, "event": draw.random(n) < 0.6,
        "risk": draw.integers(0, 12, n) * 0.7 if ties else draw.normal(size=n),
        "other": draw.normal(size=n).round(1), "w": draw.integers(1, 4, n).astype(float),
    })  # fmt: skip


def counted(rows, name="risk", late=True, weighed=True):
    """Every pair, one by one."""
    t, d, x = (rows[n].to_numpy() for n in ("exit", "event", name))
    a = rows["entry"].to_numpy() if late else np.zeros(len(t))
    w = rows["w"].to_numpy() if weighed else np.ones(len(t))
    side, told = np.zeros(len(t)), np.zeros(len(t))
    parts = {1: 0.0, -1: 0.0, 0: 0.0}
    for i in np.flatnonzero(d):
        for j in range(len(t)):
            if (t[j] > t[i] or (t[j] == t[i] and not d[j])) and a[j] < t[i]:
                sign = int(np.sign(x[i] - x[j]))
                parts[sign] += w[i] * w[j]
                side[i] += w[j] * sign
                side[j] += w[i] * sign
                told[i] += w[j]
                told[j] += w[i]
    pairs = sum(parts.values())
    gap = (parts[1] - parts[-1]) / pairs
    moved = (side - gap * told) / pairs / 2
    return parts, (gap + 1) / 2, moved, w


@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize("late", [True, False])
@pytest.mark.parametrize("weighed", [True, False])
def test_every_pair_and_the_jackknife(ties, late, weighed):
    rows = drawn(ties=ties)
    options = {"entry": "entry"} if late else {}
    options |= {"weight": "w"} if weighed else {}
    found = concordance(rows, ["risk", "other"], **options).table
    first = None
    for row in found.iter_rows(named=True):
        parts, c, moved, w = counted(rows, row["prediction"], late, weighed)
        first = moved if first is None else first
        assert row["concordance"] == pytest.approx(c, rel=1e-12)
        assert row["std_error"] == pytest.approx(np.sqrt(w @ moved**2), rel=1e-9)
        assert row["concordant"] == pytest.approx(parts[1])
        assert row["discordant"] == pytest.approx(parts[-1])
        assert row["tied_pairs"] == pytest.approx(parts[0], abs=1e-6)
        assert row["gain_std_error"] == pytest.approx(np.sqrt(w @ (moved - first) ** 2), abs=1e-12)
    gap = found["concordance"][1] - found["concordance"][0]
    assert found["concordance_gain"].to_list() == pytest.approx([0.0, gap])


@pytest.mark.parametrize("ties", [True, False])
def test_lifelines_counts_alike(ties):
    rows = drawn(500, ties=ties)
    ours = concordance(rows, "risk").table["concordance"].item()
    assert ours == pytest.approx(concordance_index(rows["exit"], -rows["risk"], rows["event"]))
    late = concordance(rows, "risk", high="late").table["concordance"].item()
    assert late == pytest.approx(1 - ours)


def test_order_cells_scale_and_pieces_make_no_difference():
    rows = drawn(300)
    one = concordance(rows, "risk", entry="entry", weight="w").table
    cells = rows.group_by("entry", "exit", "event", "risk").agg(pl.col("w").sum())
    for frame in (
        rows.sample(fraction=1.0, shuffle=True, seed=4), cells, rows.lazy(),
        rows.with_columns(pl.col("risk").exp()), rows.with_columns(pl.col("entry", "exit") / 12),
    ):  # fmt: skip
        other = concordance(frame, "risk", entry="entry", weight="w").table
        for name in ("concordance", "std_error", "concordant", "all_pairs"):
            assert other[name].item() == pytest.approx(one[name].item(), rel=1e-9)
    half = (pl.col("entry") + pl.col("exit")) / 2
    pieces = pl.concat(
        [rows.with_columns(exit=half, event=pl.lit(False)), rows.with_columns(entry=half)]
    )
    split = concordance(pieces, "risk", entry="entry", weight="w").table
    for name in ("concordance", "concordant", "discordant", "all_pairs"):
        assert split[name].item() == pytest.approx(one[name].item())


def test_the_interval_of_a_useless_and_of_a_true_prediction():
    draw = np.random.default_rng(7)
    x = draw.normal(size=4000)
    time, seen = draw.exponential(np.exp(-x)), draw.exponential(2.0, 4000)
    rows = pl.DataFrame({"exit": np.minimum(time, seen), "event": time <= seen, "x": x, "noise": draw.normal(size=4000)})  # fmt: skip
    found = concordance(rows, ["x", "noise"])
    useless = found.table.row(1, named=True)
    assert useless["lower"] < 0.5 < useless["upper"]
    assert found.facts["best"] == "x"
    assert found.table["lower"][0] > 0.65
    known = concordance(rows.with_columns(known="exit"), "known", high="late")
    assert known.table["concordance"].item() == 1.0
    with pytest.raises(InputError, match="'exit' has the name of a column of ours"):
        concordance(rows, "exit", high="late")


@pytest.mark.slow
def test_the_error_is_that_of_repeated_books():
    found = [concordance(drawn(150, seed=s, ties=False), "risk").table.row(0, named=True) for s in range(400)]  # fmt: skip
    told = np.mean([row["std_error"] for row in found])
    assert told == pytest.approx(np.std([row["concordance"] for row in found]), rel=0.12)


def test_dominance_by_brute_force():
    draw = np.random.default_rng(2)
    place, rank = draw.integers(0, 9, 60), draw.integers(0, 6, 60)
    others, ranks, weight = draw.integers(0, 9, 80), draw.integers(0, 6, 80), draw.random(80)
    found = dominance(place, rank, others, ranks, weight)
    earlier = others[None, :] < place[:, None]
    below = earlier & (ranks[None, :] < rank[:, None])
    above = earlier & (ranks[None, :] > rank[:, None])
    for ours, mask in zip(found, (below, above, earlier), strict=True):
        np.testing.assert_allclose(ours, mask @ weight, atol=1e-12)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"risk": pl.lit(None, pl.Float64)}, "'risk' is null, NaN or infinite in 120 of 120"),
        ({"risk": pl.lit(float("nan"))}, "'risk' is null, NaN or infinite"),
        ({"risk": pl.lit("high")}, "prediction 'risk' is Enum"),
        ({"event": pl.lit(False)}, "of no two lives can be told"),
        ({"exit": pl.lit(9.0), "event": pl.lit(True)}, "of no two lives can be told"),
        ({"exit": pl.col("entry")}, "'exit' is not after 'entry'"),
        ({"w": pl.lit(-1.0)}, "'w' is null, not finite or negative"),
        ({"w": pl.lit(0.0)}, "there are no lives"),
    ],
)
def test_what_cannot_be_ranked(change, said):
    with pytest.raises(InputError, match=said):
        concordance(drawn().with_columns(**change), "risk", entry="entry", weight="w")


def test_other_requests_are_refused():
    rows = drawn()
    with pytest.raises(InputError, match="of no two lives"):
        concordance(rows.head(1).with_columns(event=True), "risk")
    with pytest.raises(InputError, match="no prediction is given"):
        concordance(rows, [])
    with pytest.raises(InputError, match="'risky'; did you mean 'risk'"):
        concordance(rows, "risky")
    with pytest.raises(InputError, match="high='up' is not offered"):
        concordance(rows, "risk", high="up")


def test_the_result_is_kept_and_drawn_in_both_languages(tmp_path):
    found = concordance(drawn(), ["risk", "other"])
    found.save(tmp_path / "c")
    back = Result.load(tmp_path / "c")
    assert back.finding("zh") == found.finding("zh") != found.finding("en")
    assert back.figure("zh").layout.yaxis.title.text == "一致性指数"
    assert list(back.figure().data[0].y) == found.table["concordance"].to_list()
