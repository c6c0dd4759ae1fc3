"""Points from events: check-ups, screenings, markers, learning, each with its evidence."""

from __future__ import annotations

import polars as pl

from pricing.errors import InputError, nearest
from pricing.programme.members import Frame, lazy
from pricing.programme.programme import Programme
from pricing.programme.task import Task, Way, schedule_points

__all__ = ["event_points"]

_CYCLES = {
    "day": pl.col("day").to_physical(),
    "week": (pl.col("day").to_physical() + 3) // 7,
    "month": pl.col("day").dt.year() * 12 + pl.col("day").dt.month().cast(pl.Int32),
    "year": pl.lit(0, pl.Int32),
}


def event_points(
    programme: Programme, windows: pl.DataFrame, events: Frame
) -> tuple[pl.DataFrame, list[str]]:
    """Give every member's points of the tasks that events fulfil, and the measures not found.

    A count takes each item (or day, where there is no item) once in a cycle, by the best evidence
    for it; a sum and a count are weighted by evidence before the schedule, the latest marker after
    it: of each kind of evidence the latest counts, and the best of them, so that telling of oneself
    what a laboratory found takes nothing away. Evidence of weight 0 is as no event.

    Parameters
    ----------
    programme : Programme
        Tasks and evidence weights.
    windows : polars.DataFrame
        From :func:`pricing.programme.members.member_windows`.
    events : polars.DataFrame or LazyFrame
        person, day (date), measure, evidence; optionally value (number) and item.

    Returns
    -------
    tuple of polars.DataFrame and list of str
        ``row`` and a column per task fulfilled by events; measures that no event has.

    Raises
    ------
    InputError
        For columns that are missing or not of their kind, evidence or measures not in the programme.

    Examples
    --------
    >>> from datetime import date
    >>> from pricing.programme.members import member_windows
    >>> from pricing.programme.programme_file import read_programme
    >>> programme = read_programme("huoli")
    >>> windows = member_windows(programme, pl.DataFrame({"person": [1], "renewal": [date(2025, 1, 1)], "age": [45], "consent": [True]}))
    >>> events = pl.DataFrame({"person": [1], "day": [date(2024, 5, 1)], "measure": ["bmi"],
    ...                        "value": [25.1], "evidence": ["lab"]})
    >>> event_points(programme, windows, events)[0].select("bmi", "check_up").row(0)
    (60.0, 0.0)
    """
    rows = lazy(events, "events").collect()
    _check(programme, rows, windows)
    known = {w.measure for t in programme.task if t.source == "events" for w in t.ways}
    found = rows["measure"].cast(pl.String).unique().to_list()
    if unknown := sorted(set(found) - known):
        raise InputError(
            f"{len(unknown)} measures no task takes, the first {unknown[0]!r}"
            f"{nearest(unknown[0], known)}",
            where="events, measure",
            do="rename them as in the programme file, or leave these events out",
        )
    weights = pl.col("evidence").cast(pl.String).replace_strict(
        dict(programme.evidence), return_dtype=pl.Float64
    )  # fmt: skip
    # today's window may end before the one whose last days count
    closes = "closes" if "closes" in windows.columns else "window_end"
    days = windows.select("person", "row", "window_start", "window_end", closes=closes)
    item = pl.col("item").cast(pl.String) if "item" in rows.columns else pl.lit(None, pl.String)
    value = pl.col("value") if "value" in rows.columns else pl.lit(None)
    rows = (
        rows.with_columns(
            weight=weights,
            value=value.cast(pl.Float64).fill_nan(None),
            item=pl.coalesce(item, pl.col("day").cast(pl.String)),
            evidence=pl.col("evidence").cast(pl.String),
            measure=pl.col("measure").cast(pl.String),
        )
        .filter(pl.col("weight") > 0)
        .join(days, on="person", how="inner")
        .filter(pl.col("day") >= pl.col("window_start"), pl.col("day") < pl.col("window_end"))
    )
    points = windows.select("row")
    for task in programme.task:
        if task.source == "events":
            earned = _task_points(task, rows)
            points = points.join(earned, on="row", how="left", maintain_order="left")
    return points.with_columns(pl.exclude("row").fill_null(0.0)), sorted(known - set(found))


def _task_points(task: Task, rows: pl.DataFrame) -> pl.DataFrame:
    if task.evidence is not None:
        rows = rows.filter(pl.col("evidence").is_in(list(task.evidence)))
    if task.within_days is not None:
        rows = rows.filter(pl.col("day") >= pl.col("closes") - pl.duration(days=task.within_days))
    rows = rows.with_columns(_CYCLES[task.cycle].alias("cycle"))
    ways = pl.concat([_way_points(way, rows) for way in task.ways])
    taken = pl.col("points").max() if task.combine == "best" else pl.col("points").min()
    cycles = ways.group_by("row", "cycle").agg(taken, pl.len().alias("ways"))
    if task.combine == "all":
        cycles = cycles.filter(pl.col("ways") == len(task.ways))
    return cycles.sort("row", "cycle").group_by("row", maintain_order=True).agg(
        pl.col("points").sum().alias(task.name)
    )  # fmt: skip


def _way_points(way: Way, rows: pl.DataFrame) -> pl.DataFrame:
    own = rows.filter(pl.col("measure") == way.measure)
    if way.of == "latest":
        latest = own.drop_nulls("value").sort("row", "cycle", "weight", "day", "value")
        last = latest.group_by("row", "cycle", "weight", maintain_order=True).last()
        points = schedule_points(way, pl.col("value")) * pl.col("weight")
        best = last.select("row", "cycle", points=points).group_by("row", "cycle")
        return best.agg(pl.col("points").max()).sort("row", "cycle")
    if way.of == "sum":
        sums = own.sort("row", "day", "value").group_by("row", "cycle", maintain_order=True)
        quantities = sums.agg(measured=(pl.col("value") * pl.col("weight")).sum())
    else:
        items = own.group_by("row", "cycle", "item").agg(pl.col("weight").max())
        sums = items.sort("row", "cycle", "weight").group_by("row", "cycle", maintain_order=True)
        quantities = sums.agg(measured=pl.col("weight").sum())
    return quantities.select("row", "cycle", points=schedule_points(way, pl.col("measured")))


def _check(programme: Programme, rows: pl.DataFrame, windows: pl.DataFrame) -> None:
    lacks = [n for n in ("person", "day", "measure", "evidence") if n not in rows.columns]
    if lacks:
        raise InputError(
            f"lacks {', '.join(lacks)}", where="events", do="give person, day, measure, evidence"
        )
    schema = rows.schema
    faults = []
    if schema["person"] != windows.schema["person"]:
        faults.append(f"person: is {schema['person']}, in members {windows.schema['person']}")
    if schema["day"] != pl.Date:
        faults.append(f"day: is {schema['day']}, not a date")
    if "value" in schema and not (schema["value"].is_numeric() or schema["value"] == pl.Null):
        faults.append(f"value: is {schema['value']}, not a number")
    if faults:
        raise InputError(
            "columns that cannot be read", where="events", faults=faults, do="cast them"
        )
    holes = rows.filter(pl.any_horizontal(pl.col("person", "day", "measure", "evidence").is_null()))
    if holes.height:
        raise InputError(
            f"{holes.height} events lack person, day, measure or evidence",
            where="events",
            do="fill them or leave the events out",
        )
    kinds = sorted(set(rows["evidence"].cast(pl.String).unique()) - set(programme.evidence))
    if kinds:
        raise InputError(
            f"evidence {kinds[0]!r} has no weight in the programme"
            f"{nearest(kinds[0], programme.evidence)}",
            where="events, evidence",
            do="name it under [evidence] or correct it",
        )
