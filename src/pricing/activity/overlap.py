"""Sources that measure the same minutes: at every moment the best source counts, and only it.

Apple merges sources so (HealthKit, ``HKStatisticsQuery``): in order of priority, per interval. A sample
spreads evenly over its interval: what a better source covers is taken off, and where one source
measures a moment more than once its samples there are averaged. No minute is written out: the weight
of each moment is a step function of the samples' ends, and a sample keeps its rate times the integral.
"""

from __future__ import annotations

import polars as pl

from pricing.errors import InputError

__all__ = ["merged", "source_levels"]

_KEYS = ["person", "metric"]
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
        ``person``, ``metric``, ``day``, ``start``, ``end`` (µs as integers, half-open), ``value``,
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
    numbered = pieces.with_row_index("_at").with_columns(kept=pl.col("value"))
    fine, coarse = _by_level(numbered.filter(~long)), numbered.filter(long)
    if coarse.is_empty():
        return fine.sort("_at").drop("_at")
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
    reach = pl.col("end").cum_max().shift(1).over(_KEYS)
    meets = (
        pieces.lazy()
        .select(*_KEYS, "start", "end")
        .sort(*_KEYS, "start", "end")
        .filter(pl.col("start") < reach)
        .select(_KEYS)
        .unique()
        .collect()
    )
    if meets.is_empty():
        return pieces
    done = [pieces.join(meets, on=_KEYS, how="anti")]
    cover: pl.DataFrame | None = None
    meeting = pieces.join(meets, on=_KEYS, how="semi").sort("level")
    for one in meeting.partition_by("level", maintain_order=True):
        done.append(_weighed(one, cover))
        told = one.select(*_KEYS, "start", "end")
        cover = told if cover is None else pl.concat([cover, told])
    return pl.concat(done)


def _weighed(pieces: pl.DataFrame, cover: pl.DataFrame | None) -> pl.DataFrame:
    """Pieces of one level: ``kept`` is the rate times ∫ 1/n(t) dt where no better source covers.

    n(t) is the number of pieces of the level at t. Ends are integers, so counts are exact.
    """
    steps = [_ends(pieces, "n"), _ends(pieces.clear() if cover is None else cover, "better")]
    moments = (
        pl.concat(steps, how="diagonal")
        .group_by(*_KEYS, "time")
        .agg(pl.col("n", "better").sum())
        .sort(*_KEYS, "time")
        .with_columns(pl.col("n", "better").cum_sum().over(_KEYS))
    )
    open_to = (pl.col("n") > 0) & (pl.col("better") == 0)
    length = (pl.col("time").shift(-1).over(_KEYS) - pl.col("time")).fill_null(0)
    moments = moments.with_columns(
        area=pl.when(open_to).then(length / pl.col("n")).otherwise(0.0),
        busy=(pl.col("n") > 0) | (pl.col("better") > 0),
    ).with_columns(area=(pl.col("area").cum_sum() - pl.col("area")).over(_KEYS))
    found = pieces.join(
        moments.select(*_KEYS, start="time", since="area", busy="busy"), on=[*_KEYS, "start"], how="left"
    ).join(moments.select(*_KEYS, end="time", until="area"), on=[*_KEYS, "end"], how="left")
    share = (pl.col("until") - pl.col("since")) / (pl.col("end") - pl.col("start"))
    moment = pl.when("busy").then(0.0).otherwise("value")  # a count at one moment, inside an interval
    kept = pl.when(pl.col("end") > pl.col("start")).then(pl.col("value") * share).otherwise(moment)
    return found.with_columns(kept=kept).select(pieces.columns)


def _ends(pieces: pl.DataFrame, name: str) -> pl.DataFrame:
    """One more at each start, one less at each end."""
    return pl.concat([
        pieces.select(*_KEYS, pl.lit(1).alias(name), time="start"),
        pieces.select(*_KEYS, pl.lit(-1).alias(name), time="end"),
    ])  # fmt: skip
