"""Concordance: how often, of two lives, the one predicted to leave earlier does, with its error.

Harrell's C on cells of lives (Harrell, Califf, Pryor, Lee and Rosati 1982, JAMA 247). A pair is told when one
life leaves at t and the other is at risk at t and still there after it: later exits, and those censored at
t, but not those who leave at t too. Equal predictions count a half. The error is the infinitesimal
jackknife: with s the concordant less the discordant pairs of a life and p all of them, D = 2C − 1 = Σs/Σp and
Var D = Σ((s − Dp)/P)², P the pairs (Therneau and Atkinson 2024, R's survival, vignette Concordance).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError
from pricing.estimate.design import Floats
from pricing.experience.domain import listed
from pricing.experience.engines import AnyFrame
from pricing.files import fingerprint
from pricing.result.figure import interval_figure
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, say
from pricing.survival.follow_up import follow_up
from pricing.survival.interval import normal_quantile

__all__ = ["Concordance", "concordance", "dominance"]

Whole = npt.NDArray[np.int64]
COLUMNS = (
    "prediction", "concordance", "std_error", "lower", "upper", "concordant", "discordant",
    "tied_pairs", "all_pairs", "concordance_gain", "gain_std_error",
)  # fmt: skip
DIGITS = 12  # predictions that agree to so many are equal


class Concordance(Result):
    """Harrell's C of one prediction or more on the same lives.

    ``.table``: prediction, concordance, std_error, lower, upper, concordant, discordant, tied_pairs, all_pairs,
    and against the first prediction concordance_gain with gain_std_error.
    """

    kind = "concordance"

    def finding(self, lang: Language = "en") -> str:
        """Say how well the best prediction ranks the lives."""
        return say("finding.concordance", lang, **self.facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw C with its interval by prediction; at one half a prediction says nothing."""
        table = self.table
        return interval_figure(
            table["prediction"].to_list(),
            table["concordance"].to_list(),
            table["lower"].to_list(),
            table["upper"].to_list(),
            name="concordance",
            factor="prediction",
            lang=lang,
            reference=0.5,
        )


def concordance(
    frame: AnyFrame,
    predictions: str | Sequence[str],
    *,
    high: str = "early",
    exit: str = "exit",
    event: str = "event",
    entry: str | None = None,
    weight: str | None = None,
    level: float = 0.95,
    source: str = "",
) -> Concordance:
    """Measure how well predictions rank lives by when they leave: Harrell's C.

    One half is no better than chance, one is a perfect order. Of 10⁶ lives it takes seconds.

    Parameters
    ----------
    frame : frame of any engine
        One row per life or spell, or cells of lives, with the predictions.
    predictions : str or sequence of str
        Columns of predictions on any rising scale: linear predictors, hazards, expected lives.
    high : {"early", "late"}
        What a high prediction says: a hazard or risk, or a life or survival.
    exit, event, entry, weight : str
        As :func:`pricing.survival.follow_up.follow_up` takes them. With an entry only lives at risk
        when the other leaves make a pair.
    level : float
        Of the intervals.
    source : str
        For the basis.

    Returns
    -------
    Concordance

    Raises
    ------
    InputError
        For lives that cannot be followed, predictions that are null, NaN or no numbers, and lives
        of which no pair can be told.

    Notes
    -----
    A life in several spells makes the same pairs as in one; its error takes spells as independent.

    Examples
    --------
    >>> rows = pl.DataFrame({"exit": [1, 2, 3, 4], "event": [1, 1, 0, 1], "risk": [9.0, 3.0, 5.0, 1.0]})
    >>> concordance(rows, "risk").table["concordance"].item()  # 4 of the 5 pairs that can be told
    0.8
    """
    names = list(dict.fromkeys(listed(predictions)))
    if not names:
        raise InputError("no prediction is given")
    if high not in ("early", "late"):
        raise InputError(f"high={high!r} is not offered: early or late")
    z = normal_quantile(level)
    lives = follow_up(frame, names, exit=exit, event=event, entry=entry, weight=weight)
    text = [n for n in names if not lives.schema[n].is_numeric()]
    if text:
        raise InputError(f"prediction {text[0]!r} is {lives.schema[text[0]]}, not a number")
    sums = [_pairs(lives, lives[name]) for name in names]
    weights, rows = lives["lives"].to_numpy(), []
    first: Floats | None = None
    for name, (good, bad, told) in zip(names, sums, strict=True):
        right, wrong = (good, bad) if high == "early" else (bad, good)
        score = right - wrong
        # every pair is seen from both its lives
        pairs = float(weights @ told) / 2
        if pairs <= 0:
            raise InputError(
                "of no two lives can be told who leaves first",
                do="check the event column; all may be censored, or leave at one time",
            )
        d = float(weights @ score) / 2 / pairs
        # of one life more or less: dD/dw
        moved = (score - d * told) / pairs / 2
        first = moved if first is None else first
        error, gap = (float(np.sqrt(weights @ v**2)) for v in (moved, moved - first))
        c = (1 + d) / 2
        rows.append({
            "prediction": name, "concordance": c, "std_error": error,
            "lower": max(c - z * error, 0.0), "upper": min(c + z * error, 1.0),
            "concordant": float(weights @ right) / 2, "discordant": float(weights @ wrong) / 2,
            "tied_pairs": max(float(weights @ (told - right - wrong)) / 2, 0.0), "all_pairs": pairs,
            "gain_std_error": gap,
        })  # fmt: skip
    gain = pl.col("concordance") - pl.col("concordance").first()
    table = pl.DataFrame(rows).with_columns(concordance_gain=gain).select(*COLUMNS)
    best = table.sort("concordance", descending=True, maintain_order=True).row(0, named=True)
    facts: dict[str, Any] = {
        "best": best["prediction"], "concordance": best["concordance"], "lower": best["lower"],
        "upper": best["upper"], "level": level, "lives": float(weights.sum()),
        "events": float(lives.filter("event")["lives"].sum()), "pairs": best["all_pairs"],
        "predictions": len(names),
    }  # fmt: skip
    spent = lives.select((pl.col("lives") * (pl.col("exit") - pl.col("entry"))).sum()).item()
    columns = [lives[n].cast(pl.Float64).round_sig_figs(9).to_numpy().tobytes() for n in lives.columns]  # fmt: skip
    basis = Basis(
        source=source, rows=int(lives["rows"].sum()), exposure=float(spent), claims=facts["events"],
        currency="", fingerprint=fingerprint(*names, high, str(level), *columns),
        notes=("Harrell's C; infinitesimal jackknife error; equal predictions count a half; two who leave at one time make no pair",),
    )  # fmt: skip
    return Concordance(table=table, basis=basis, facts=facts)


def _pairs(lives: pl.DataFrame, prediction: pl.Series) -> tuple[Floats, Floats, Floats]:
    """Pairs of one life of each cell: the higher prediction left earlier, the lower did, and all."""
    rank = prediction.cast(pl.Float64).round_sig_figs(DIGITS).rank("dense").to_numpy().astype(np.int64) - 1  # fmt: skip
    time = lives.select(exit=pl.col("exit").rank("dense")).to_series().to_numpy().astype(np.int64)
    w, d = lives["lives"].to_numpy(), lives["event"].to_numpy()
    every = np.arange(len(w))
    dead = np.flatnonzero(d)
    good, bad, total = (np.zeros(len(w)) for _ in range(3))
    # who leaves looks forward at those who are there after it, and everybody back at those who left
    # before; within one time the order is: looks back while leaving, leaves, looks forward, is censored
    own = 4 * time + np.where(d, 1, 3)
    for looks, place, sees, way in (
        (dead, 4 * time[dead] + 2, every, -1),
        (every, 4 * time + np.where(d, 0, 3), dead, 1),
    ):
        low, top, number = dominance(way * place, rank[looks], way * own[sees], rank[sees], w[sees])
        right, wrong = (low, top) if way == -1 else (top, low)
        np.add.at(good, looks, right)
        np.add.at(bad, looks, wrong)
        np.add.at(total, looks, number)
    entry = lives["entry"].to_numpy()
    late = np.flatnonzero(entry > 0)
    if len(late):
        # take out the pairs with who had not yet come in
        merged = np.unique(np.concatenate([entry, lives["exit"].to_numpy()]), return_inverse=True)[1]  # fmt: skip
        came, left = merged[: len(w)].astype(np.int64), merged[len(w) :].astype(np.int64)
        for looks, where, sees, others, way in (
            (dead, left[dead], late, came[late], -1),
            (late, came[late], dead, left[dead], 1),
        ):
            low, top, number = dominance(2 * way * where + 1, rank[looks], 2 * way * others, rank[sees], w[sees])  # fmt: skip
            right, wrong = (low, top) if way == -1 else (top, low)
            good[looks] -= right
            bad[looks] -= wrong
            total[looks] -= number
    return good, bad, total


def dominance(
    place: Whole, rank: Whole, other_place: Whole, other_rank: Whole, weight: Floats
) -> tuple[Floats, Floats, Floats]:
    """Add up the weight of others at an earlier place, of a lower rank, of a higher, and of any.

    Bit by bit of the rank, as a wavelet tree: two ranks differ first at one bit, and there the lower
    has 0; so one stable partition a bit counts all. n log n, without a loop over lives.

    Parameters
    ----------
    place, rank : integer array
        Of those who look.
    other_place, other_rank : integer array
        Of those who are seen, at places below the looker's.
    weight : array
        Of those who are seen.

    Returns
    -------
    tuple of array
        Below in rank, above in rank, all; one value per looker.

    Examples
    --------
    >>> at = np.array([5]), np.array([1])
    >>> dominance(*at, np.array([1, 2, 3, 9]), np.array([0, 1, 2, 0]), np.ones(4))
    (array([1.]), array([1.]), array([3.]))
    """
    many = len(place)
    where = np.concatenate([place, other_place])
    # at one place who looks comes first, and so does not see who stands there
    order = np.argsort(where, kind="stable")
    ranks = np.concatenate([rank, other_rank])[order]
    held = np.concatenate([np.zeros(many), weight])[order]
    number = order
    total = np.empty(len(where))
    total[order] = np.cumsum(held) - held
    below, above = np.zeros(len(where)), np.zeros(len(where))
    bits = int(ranks.max(initial=0)).bit_length()
    for bit in range(bits - 1, -1, -1):
        group = ranks >> (bit + 1)
        one = ((ranks >> bit) & 1).astype(bool)
        start = np.flatnonzero(np.append(True, group[1:] != group[:-1]))
        size = np.diff(np.append(start, len(group)))
        zeros, ones = np.cumsum(np.where(one, 0.0, held)), np.cumsum(np.where(one, held, 0.0))
        for sums, found, whose in ((zeros, below, one), (ones, above, ~one)):
            before = np.append(0.0, sums)[start]
            found[number[whose]] += (sums - np.repeat(before, size))[whose]
        # stable partition within the group: those of bit 0 first
        none = ~one
        count = np.cumsum(none)
        first = np.append(0, count)[start]
        own = count - np.repeat(first, size)
        nothing = np.repeat(np.append(first[1:], count[-1]) - first, size)
        start_of = np.repeat(start, size)
        within = np.arange(len(group)) - start_of
        goal = start_of + np.where(none, own - 1, nothing + within - own)
        for old in (ranks, held, number):
            old[goal] = old.copy()
    return below[:many], above[:many], total[:many]
