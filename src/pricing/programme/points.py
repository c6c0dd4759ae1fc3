"""From daily features and events to points per task and member, in one streaming pass."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations

import polars as pl

from pricing.errors import InputError, nearest
from pricing.programme.event_points import event_points
from pricing.programme.members import Frame, lazy
from pricing.programme.programme import Programme
from pricing.programme.task import Task, Way, schedule_points

__all__ = ["activity_points", "earned_points"]

BATCH = 50_000  # members of one pass
# A week's number of days and the sum of their fifth powers (Monday 0) tell seven days that stand
# once from any in which one stands twice; fourth powers would not.
_SCALE = 100_000
_MONTHS = 64  # more than a window has
_ONCE = [
    n * _SCALE + sum(day**5 for day in days)
    for n in range(1, 8)
    for days in combinations(range(7), n)
]


def earned_points(
    programme: Programme,
    windows: pl.DataFrame,
    activity: Frame | None,
    events: Frame | None,
    *,
    batch: int = BATCH,
) -> tuple[pl.DataFrame, list[str]]:
    """Give every member's points per task before caps of the year, and what was not measured.

    Parameters
    ----------
    programme : Programme
        Tasks and evidence weights.
    windows : polars.DataFrame
        From :func:`pricing.programme.members.member_windows`.
    activity : polars.DataFrame or LazyFrame, optional
        Daily features: person, day (date), a column per measure (steps, active_minutes,
        sleep_hours …); optionally valid (bool) and evidence: its kind, or the share of the day that
        counts, 0 to 1. A day stands once.
    events : polars.DataFrame or LazyFrame, optional
        person, day, measure, evidence; optionally value and item.
    batch : int
        Members of one pass over the activity; memory grows with it. A file sorted by person is
        read once whatever the batch.

    Returns
    -------
    tuple of polars.DataFrame and list of str
        ``row``, valid_days and a column per task; and the measures no source holds.

    Raises
    ------
    InputError
        For columns that are missing or not of their kind, evidence that the programme does not
        weigh, and days that stand twice.

    Examples
    --------
    >>> from datetime import date
    >>> from pricing.programme.members import member_windows
    >>> from pricing.programme.programme_file import read_programme
    >>> programme = read_programme("manulife_move")
    >>> windows = member_windows(programme, pl.DataFrame({"person": ["a"], "renewal": [date(2025, 1, 1)]}))
    >>> days = pl.DataFrame({"person": ["a", "a"], "day": [date(2024, 5, 1), date(2024, 5, 2)],
    ...                      "steps": [4000, 8000]})
    >>> earned_points(programme, windows, days, None)[0].row(0)
    (0, 2, 6000.0)
    """
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
        raise InputError(f"batch = {batch!r} is no number of members", do="give 1 or more")
    found, missing = windows.select("row"), []
    if activity is None:
        missing += _measures(programme, "activity")
        found = found.with_columns(valid_days=pl.lit(0, pl.Int32))
    else:
        rows = lazy(activity, "activity")
        if isinstance(activity, pl.DataFrame):
            _whole(activity)
        missing += _check(programme, rows, windows)
        parts = [
            activity_points(programme, part, rows, alone=windows.height <= batch)
            for part in windows.iter_slices(batch)
        ] or [pl.DataFrame(schema={"row": windows.schema["row"], "valid_days": pl.Int32})]
        found = found.join(pl.concat(parts), on="row", how="left", maintain_order="left")
    if events is None:
        missing += _measures(programme, "events")
    else:
        points, unknown = event_points(programme, windows, events)
        missing += unknown
        found = found.join(points, on="row", how="left", maintain_order="left")
    names = [task.name for task in programme.task]
    return (
        found.select(
            "row",
            pl.col("valid_days").fill_null(0),
            *(
                pl.col(n).fill_null(0.0) if n in found.columns else pl.lit(0.0).alias(n)
                for n in names
            ),
        ),
        missing,
    )


def activity_points(
    programme: Programme, windows: pl.DataFrame, activity: pl.LazyFrame, *, alone: bool = True
) -> pl.DataFrame:
    """Sum the days of some members by week, and the weeks by member.

    Days are grouped once, by member and week (and month, where a task is monthly); sums of what
    weekly tasks measure are carried, points of daily tasks are already points. What is
    self-reported counts by its evidence weight: points of a day, the quantity of a longer cycle.

    Parameters
    ----------
    programme : Programme
        Tasks and evidence weights.
    windows : polars.DataFrame
        Members of one pass.
    activity : polars.LazyFrame
        Daily features.
    alone : bool
        No other pass follows, so that persons need not be told apart before the join.

    Examples
    --------
    >>> from datetime import date
    >>> from pricing.programme.members import member_windows
    >>> from pricing.programme.programme_file import read_programme
    >>> programme = read_programme("huoli")
    >>> windows = member_windows(programme, pl.DataFrame({"person": [1], "renewal": [date(2025, 1, 1)], "age": [45], "consent": [True]}))
    >>> days = pl.LazyFrame({"person": [1], "day": [date(2024, 5, 1)], "steps": [7200]})
    >>> activity_points(programme, windows, days).select("valid_days", "steps").row(0)
    (1, 7.2)
    """
    held = set(activity.collect_schema())
    tasks = [t for t in programme.task if t.source == "activity"]
    months = any(t.cycle == "month" for t in tasks)
    rows = activity if alone else _part(activity, windows)
    if "valid" in held:
        rows = rows.filter(pl.col("valid"))
    if "evidence" in held:  # of no weight is as no day; of none that is known stays, to be refused
        rows = rows.with_columns(_weight=_weighed(programme, rows.collect_schema())).filter(
            pl.col("_weight").is_null() | (pl.col("_weight") != 0)
        )
    day = pl.col("day")  # a row without one stays, to be refused below
    rows = rows.join(_keys(windows, tasks).lazy(), on="person", how="inner").filter(
        day.is_null() | ((day >= pl.col("window_start")) & (day < pl.col("window_end")))
    )
    monday = pl.col("day").to_physical() + 3
    week = monday // 7
    piece = pl.col("row").cast(pl.Int64) * 100_000 + week
    if months:  # a window of two years holds a month's name twice
        month = pl.col("day").dt.year() * 12 + pl.col("day").dt.month().cast(pl.Int32)
        piece = piece * _MONTHS + (month % _MONTHS).cast(pl.Int64)
    weekday = monday % 7
    sums = {"_mark": weekday * weekday * weekday * weekday * weekday, "_odd": pl.lit(0)}
    if "evidence" in held:
        sums["_odd"] = pl.col("_weight").is_null().cast(pl.Int64)
    kinds = "evidence" in held and not rows.collect_schema()["evidence"].is_numeric()
    for task in tasks:
        weight = _weight(programme, task, "evidence" in held, kinds=kinds)
        ways = [(i, way) for i, way in enumerate(task.ways) if way.measure in held]
        if task.cycle == "day":
            each = [schedule_points(way, _measured(task, way)) for _, way in ways]
            if each and (len(ways) == len(task.ways) or task.combine == "best"):
                points = _combined(task, each)
                sums[task.name] = points if weight is None else points * weight
            continue
        for i, way in ways:
            sums |= _sums(task, way, i, weight)
    carried = [name for name in sums if name not in ("_mark", "_odd")]
    pieces = (
        rows.select(piece.alias("_piece"), *(e.alias(name) for name, e in sums.items()))
        .group_by("_piece")
        .agg(pl.len().alias("valid_days"), pl.col("_mark", "_odd", *carried).sum())
        .collect(engine="streaming")
    )
    _readable(programme, pieces)
    if not (pieces["valid_days"] * _SCALE + pieces["_mark"]).is_in(_ONCE).all():
        raise InputError(
            "days of a person stand twice",
            where="activity",
            do="merge overlapping sources to one row per person and day first",
        )
    pieces = pieces.sort("_piece").with_columns(pl.selectors.float().round(9))
    if months:
        pieces = pieces.with_columns(
            _month=pl.col("_piece") % _MONTHS, _piece=pl.col("_piece") // _MONTHS
        )
    pieces = pieces.with_columns(row=(pl.col("_piece") // 100_000).cast(windows.schema["row"]))
    found = pieces.group_by("row", maintain_order=True).agg(
        pl.col("valid_days").sum().cast(pl.Int32)
    )
    for cycles, by in (
        (("day", "week"), ["row", "_piece"]),
        (("month",), ["row", "_month"]),
        (("year",), ["row"]),
    ):
        if here := [t for t in tasks if t.cycle in cycles]:
            whole = not months and "_piece" in by
            earned = _by_cycle(here, pieces, by, carried, whole=whole)
            found = found.join(earned, on="row", how="left", maintain_order="left")
    return found


def _readable(programme: Programme, pieces: pl.DataFrame) -> None:
    if holes := int(pieces.filter(pl.col("_piece").is_null())["valid_days"].sum()):
        raise InputError(f"{holes:,} rows lack the day", where="activity", do="fill it")
    if odd := int(pieces["_odd"].sum()):
        raise InputError(
            f"{odd:,} days have evidence that has no weight in the programme",
            where="activity, evidence",
            do=f"use {', '.join(programme.evidence)}, or name theirs under [evidence]",
        )


def _by_cycle(
    tasks: list[Task], pieces: pl.DataFrame, by: list[str], carried: list[str], *, whole: bool
) -> pl.DataFrame:
    """Points of tasks whose cycle is ``by``, summed by member; ``whole``: a piece is a cycle."""
    frame = pieces.lazy()
    if not whole:
        frame = frame.group_by(by, maintain_order=True).agg(pl.col(carried).sum())
    points = []
    for task in tasks:
        if task.cycle == "day":
            if task.name in carried:
                own = pl.col(task.name)
                points.append(own if task.cap_week is None else own.clip(upper_bound=task.cap_week))
            continue
        known = [(i, way) for i, way in enumerate(task.ways) if f"{task.name}:{i}" in carried]
        if known and (len(known) == len(task.ways) or task.combine == "best"):
            each = [schedule_points(way, _quantity(task, way, i)) for i, way in known]
            points.append(_combined(task, each).alias(task.name))
    names = [p.meta.output_name() for p in points]
    return (
        frame.select("row", *points)
        .group_by("row", maintain_order=True)
        .agg(pl.col(names).sum().round(9))
        .collect()
    )


def _sums(task: Task, way: Way, place: int, weight: pl.Expr | None) -> dict[str, pl.Expr]:
    measured, name = _measured(task, way), f"{task.name}:{place}"
    if way.of == "days":
        inside = pl.col(way.measure).is_not_null()
        if way.at_least is not None:
            inside &= pl.col(way.measure) >= way.at_least
        if way.up_to is not None:
            inside &= pl.col(way.measure) <= way.up_to
        measured = inside.cast(pl.Float64)
    taken = measured if weight is None else measured * weight
    sums = {name: taken}
    if way.of == "mean":
        counted = measured.is_not_null()
        sums[f"{name}:n"] = (counted if weight is None else counted & (weight > 0)).cast(pl.Float64)
    return sums


def _quantity(task: Task, way: Way, place: int) -> pl.Expr:
    name = f"{task.name}:{place}"
    if way.of != "mean":
        return pl.col(name)
    count = pl.col(f"{name}:n")
    return pl.when(count > 0).then(pl.col(name) / count)


def _measured(task: Task, way: Way) -> pl.Expr:
    measured = pl.col(way.measure).cast(pl.Float64).fill_nan(None)
    if task.targets and way.of != "days":
        return measured / pl.col(f"_target_{task.name}")
    return measured


def _combined(task: Task, points: list[pl.Expr]) -> pl.Expr:
    if len(points) == 1:
        return points[0]
    return (pl.max_horizontal if task.combine == "best" else pl.min_horizontal)(points)


def _weighed(programme: Programme, schema: pl.Schema) -> pl.Expr:
    """Weight of a day: of its kind of evidence, or the share of it that counts, 0 to 1."""
    evidence = pl.col("evidence")
    if schema["evidence"].is_numeric():
        share = evidence.cast(pl.Float64)
        return pl.when(share.is_between(0, 1)).then(share)
    return evidence.cast(pl.String).replace_strict(
        dict(programme.evidence), default=None, return_dtype=pl.Float64
    )


def _weight(programme: Programme, task: Task, held: bool, *, kinds: bool) -> pl.Expr | None:
    if not held:
        return None
    if task.evidence is None or not kinds:
        return pl.col("_weight")
    taken = task.evidence
    weights = {kind: w if kind in taken else 0.0 for kind, w in programme.evidence.items()}
    return pl.col("evidence").cast(pl.String).replace_strict(
        weights, default=0.0, return_dtype=pl.Float64
    )  # fmt: skip


def _keys(windows: pl.DataFrame, tasks: Iterable[Task]) -> pl.DataFrame:
    factors = []
    for task in tasks:
        if task.targets:
            factor: pl.Expr = pl.lit(1.0)
            for target in task.targets:
                over = pl.col("age") >= target.from_age
                factor = pl.when(over).then(target.factor).otherwise(factor)
            factors.append(factor.alias(f"_target_{task.name}"))
    return windows.select("person", "row", "window_start", "window_end", *factors)


def _part(activity: pl.LazyFrame, windows: pl.DataFrame) -> pl.LazyFrame:
    persons = windows["person"]
    return activity.filter(pl.col("person").is_between(persons[0], persons[-1]))


def _check(programme: Programme, rows: pl.LazyFrame, windows: pl.DataFrame) -> list[str]:
    schema = rows.collect_schema()
    lacks = [name for name in ("person", "day") if name not in schema]
    if lacks:
        raise InputError(f"lacks {', '.join(lacks)}", where="activity", do="give person and day")
    faults = []
    if schema["person"] != windows.schema["person"]:
        faults.append(f"person: is {schema['person']}, in members {windows.schema['person']}")
    if schema["day"] != pl.Date:
        faults.append(f"day: is {schema['day']}, not a date")
    if schema.get("valid", pl.Boolean()) != pl.Boolean:
        faults.append(f"valid: is {schema['valid']}, not true or false")
    said = schema.get("evidence", pl.String())
    if not (isinstance(said, pl.String | pl.Enum) or said.is_numeric()):
        faults.append(f"evidence: is {said}, neither text nor a share of the day")
    wanted = _measures(programme, "activity")
    faults += [
        f"{name}: is {schema[name]}, not a number"
        for name in wanted
        if name in schema and not schema[name].is_numeric()
    ]
    if faults:
        raise InputError(
            "columns that cannot be read", where="activity", faults=faults, do="cast them"
        )
    missing = [name for name in wanted if name not in schema]
    if wanted and missing == wanted:
        raise InputError(
            f"holds none of the programme's measures ({', '.join(wanted)})",
            where="activity",
            do=f"name the columns so{nearest(wanted[0], schema.names())}",
        )
    return missing


def _whole(days: pl.DataFrame) -> None:
    """Refuse days of nobody; in a file that is streamed they join no member."""
    named = [name for name in ("person", "valid") if name in days.columns]
    holes = {name: n for name in named if (n := days[name].null_count())}
    if holes:
        raise InputError(
            "rows that count for nobody",
            where="activity",
            faults=[f"{n:,} lack {name}" for name, n in holes.items()],
            do="fill them or leave the rows out",
        )


def _measures(programme: Programme, source: str) -> list[str]:
    return list(
        dict.fromkeys(w.measure for t in programme.task if t.source == source for w in t.ways)
    )
