"""Sources that measure the same minutes: at every moment the best source counts, and only it.

Apple merges sources so (HealthKit, ``HKStatisticsQuery``): in order of priority, per interval. A sample
spreads evenly over its interval: what a better source covers is taken off, and where one source
measures a moment more than once its samples there are averaged. No minute is written out: the weight
of each moment is a step function of the samples' ends, and a sample keeps its rate times the integral.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from pricing.activity.metrics import METRICS
from pricing.errors import InputError

__all__ = ["merged", "source_levels"]

_KEYS = ["person", "metric"]
_CODES = {name: i for i, name in enumerate(METRICS)}
_COARSE = 3 * 3_600_000_000  # microseconds: longer sums are day totals, with no place in the day


def source_levels(
    samples: pl.DataFrame, priority: list[str] | tuple[str, ...] = ()
) -> pl.DataFrame:
    """Rank the sources of each person and metric: 0 is the best.

    Parameters
    ----------
    samples : polars.DataFrame
        ``person``, ``metric``, ``source``, ``method``, ``value``.
    priority : sequence of str
        Names of sources, best first; others follow, automatic ones first, then by how much each
        measured in all, then by name.

    Returns
    -------
    polars.DataFrame
        ``person``, ``metric``, ``source``, ``level``.

    Examples
    --------
    >>> rows = pl.DataFrame({"person": [1, 1], "metric": ["steps"] * 2, "source": ["phone", "watch"],
    ...                      "method": ["automatic"] * 2, "value": [10.0, 20.0]})
    >>> source_levels(rows).sort("level")["source"].to_list()
    ['watch', 'phone']
    >>> source_levels(rows, ["phone"]).sort("level")["source"].to_list()
    ['phone', 'watch']
    """
    if len(set(priority)) != len(priority):
        raise InputError("a source stands twice in the priority", where="priority")
    place = {name: i for i, name in enumerate(priority)}
    place_of = pl.lit(len(place), pl.Int64)
    if place:
        place_of = pl.col("source").replace_strict(place, default=len(place), return_dtype=pl.Int64)
    return (
        samples.group_by(*_KEYS, "source")
        .agg(
            automatic=(pl.col("method") == "automatic").any(),
            total=pl.col("value").sum().round(6),
        )
        .with_columns(place=place_of)
        .sort("place", "automatic", "total", "source", descending=[False, True, True, False])
        .select(
            *_KEYS, "source", level=pl.int_range(pl.len()).over(_KEYS).cast(pl.Int32)
        )
    )  # fmt: skip


def merged(pieces: pl.DataFrame) -> pl.DataFrame:
    """Take off each piece what a better source covers, and average what one source measures twice.

    Parameters
    ----------
    pieces : polars.DataFrame
        ``person`` (a number), ``metric``, ``day``, ``start``, ``end`` (µs as integers, half-open), ``value``,
        ``level`` (0 best). Sums longer than three hours are day totals: they have no place in the
        day, so a day takes the larger of its best day total and what finer samples come to, not both.

    Returns
    -------
    polars.DataFrame
        The pieces with ``kept``, the value that counts, in the order they came.

    Examples
    --------
    >>> rows = pl.DataFrame({"person": [1, 1], "metric": ["steps"] * 2, "day": [0, 0],
    ...     "start": [0, 30], "end": [60, 90], "value": [60.0, 30.0], "level": [0, 1]})
    >>> merged(rows)["kept"].to_list()
    [60.0, 15.0]
    """
    long = (pl.col("metric") != "sleep") & (pl.col("end") - pl.col("start") > _COARSE)
    code = pl.col("metric").cast(pl.String).replace_strict(_CODES, return_dtype=pl.Int64)
    key = pl.col("person").cast(pl.Int64) * len(_CODES) + code
    numbered = pieces.with_row_index("_at").with_columns(kept=pl.col("value"), _key=key)
    fine, coarse = _by_level(numbered.filter(~long)), numbered.filter(long)
    if coarse.is_empty():
        return fine.sort("_at").drop("_at", "_key")
    # of day totals the best source's counts; two halves of a day by one source are one total
    where = [*_KEYS, "day"]
    coarse = pl.concat([_weighed(one, None) for one in coarse.partition_by("level")])
    totals = coarse.group_by(*where, "level").agg(total=pl.col("kept").sum()).sort("level")
    top = totals.group_by(where, maintain_order=True).first()
    sums = fine.group_by(where).agg(fine=pl.col("kept").sum())
    takes = pl.col("total") >= pl.col("fine").fill_null(0.0)
    choice = top.join(sums, on=where, how="left").select(*where, takes=takes, top="level")
    told = pl.concat([fine.with_columns(fine=True), coarse.with_columns(fine=False)])
    told = told.join(choice, on=where, how="left")
    taken = pl.col("takes").fill_null(False)
    counts = pl.when("fine").then(~taken).otherwise(taken & (pl.col("level") == pl.col("top")))
    told = told.with_columns(kept=pl.when(counts).then("kept").otherwise(0.0))
    return told.sort("_at").select(*pieces.columns, "kept")


def _by_level(pieces: pl.DataFrame) -> pl.DataFrame:
    """Best source first; only persons and metrics with overlapping pieces are looked at."""
    reach = pl.col("end").cum_max().shift(1).over("_key")
    ordered = pieces.select("_key", "start", "end").sort("_key", "start", "end")
    meets = ordered.filter(pl.col("start") < reach).select("_key").unique()
    if meets.is_empty():
        return pieces
    done = [pieces.join(meets, on="_key", how="anti")]
    cover: pl.DataFrame | None = None
    meeting = pieces.join(meets, on="_key", how="semi").sort("level", "_key", "start")
    for one in meeting.partition_by("level", maintain_order=True):
        done.append(_weighed(one, cover))
        told = one.select("_key", "start", "end")
        cover = told if cover is None else pl.concat([cover, told])
    return pl.concat(done)


def _weighed(pieces: pl.DataFrame, cover: pl.DataFrame | None) -> pl.DataFrame:
    """Pieces of one level: ``kept`` is the rate times ∫ 1/n(t) dt where no better source covers.

    n(t) is the number of pieces of the level at t. All ends are put in order once; counts return to
    zero at the end of each person and metric, so one running sum serves all.
    """
    parts = [pieces] if cover is None else [pieces, cover]
    many = [len(one) for one in parts for _ in ("start", "end")]
    key = np.concatenate([one["_key"].to_numpy() for one in parts for _ in ("start", "end")])
    time = np.concatenate([one[end].to_numpy() for one in parts for end in ("start", "end")])
    own = np.repeat([1, -1, 0, 0][: len(many)], many)
    better = np.repeat([0, 0, 1, -1][: len(many)], many)
    order = np.lexsort((time, key))
    key, time = key[order], time[order]
    n, above = np.cumsum(own[order]), np.cumsum(better[order])
    # what holds at a moment is what holds after the last end at it
    last = np.append((key[1:] != key[:-1]) | (time[1:] != time[:-1]), True)
    at = np.cumsum(last) - last
    n, above, key, time = n[last], above[last], key[last], time[last]
    length = np.append(np.where(key[1:] == key[:-1], np.diff(time), 0), 0)
    open_to = (n > 0) & (above == 0)
    alone = np.where(open_to & (n == 1), length, 0)  # whole µs, so that sums stay exact
    shared = np.where(open_to & (n > 1), length / np.maximum(n, 1), 0.0)
    until_here = [np.concatenate([[0], np.cumsum(one)[:-1]]) for one in (alone, shared)]
    place = np.empty_like(at)
    place[order] = at
    since, until = place[: len(pieces)], place[len(pieces) : 2 * len(pieces)]
    free = sum(one[until] - one[since] for one in until_here)
    whole = (pieces["end"] - pieces["start"]).to_numpy()
    busy = (n > 0) | (above > 0)  # a count at one moment, inside an interval
    share = np.where(whole > 0, free / np.maximum(whole, 1), np.where(busy[since], 0.0, 1.0))
    return pieces.with_columns(kept=pieces["value"] * pl.Series(share))
