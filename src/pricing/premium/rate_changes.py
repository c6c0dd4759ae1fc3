"""The history of rate changes as data, and the rate level it leads to by day and segment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from itertools import product
from typing import Any

import polars as pl

from pricing.errors import InputError, nearest
from pricing.experience.domain import listed

__all__ = ["APPLIES_TO", "checked_changes", "rate_index", "require_levels", "with_level"]

APPLIES_TO = ("new_and_renewal", "in_force")
_OURS = ("day", "change", "applies_to")


def checked_changes(changes: pl.DataFrame, by: Sequence[str] | None = None) -> pl.DataFrame:
    """Hold a history of rate changes against its contract; the same frame in its plain types.

    Parameters
    ----------
    changes : polars.DataFrame
        One row per change: ``day`` (first day it applies), ``change`` (fraction, above −1; +0.05
        is five per cent more), ``applies_to`` where some apply to cover in force, and any segment
        columns, where null stands for every level. A change applies to a row of the book that has
        its levels; those that apply together multiply. ``new_and_renewal`` (taken where
        ``applies_to`` is left out or null): to terms that begin on that day or later; ``in_force``:
        the premium of every policy changes on that day, mid-term.
    by : sequence of str, optional
        Segment columns; all further columns where left out.

    Returns
    -------
    polars.DataFrame
        ``by``, ``day``, ``change`` as Float64, ``applies_to``, in order of days.

    Raises
    ------
    InputError
        For missing columns, days that are no dates or null, changes that are no finite number or
        −100 % and below, unknown words in ``applies_to``, two changes of one segment on one day.

    Examples
    --------
    >>> changes = pl.DataFrame({"day": [date(2024, 7, 1)], "change": [0.05], "tier": ["basic"]})
    >>> checked_changes(changes).row(0)
    ('basic', datetime.date(2024, 7, 1), 0.05, 'new_and_renewal')
    """
    names = changes.columns
    keys = [n for n in names if n not in _OURS] if by is None else listed(by)
    faults = [
        f"column {n!r} is missing{nearest(n, names)}"
        for n in ("day", "change", *keys)
        if n not in names
    ]
    if not faults and changes.height and changes.schema["day"] != pl.Date:
        faults.append(f"'day' is {changes.schema['day']}, not a date")
    if not faults and changes.height and not changes.schema["change"].is_numeric():
        faults.append(f"'change' is {changes.schema['change']}, not a number")
    if faults:
        raise InputError("a history of rate changes lacks columns", faults=faults)
    applies = pl.col("applies_to") if "applies_to" in names else pl.lit(None, dtype=pl.String)
    found = changes.select(
        *keys,
        pl.col("day").cast(pl.Date),
        pl.col("change").cast(pl.Float64),
        applies_to=applies.cast(pl.String).fill_null(APPLIES_TO[0]),
    ).sort("day", *keys, "applies_to", nulls_last=False)
    _require(found, keys)
    return found


def rate_index(
    changes: pl.DataFrame, *, by: Sequence[str] | None = None, base: str = "current"
) -> pl.DataFrame:
    """Give the rate level that new terms are charged, from day to day and by segment.

    The index of a segment on a day is Π (1 + change) over its changes up to that day, those to
    cover in force among them.

    Parameters
    ----------
    changes : polars.DataFrame
        As :func:`checked_changes` takes them.
    by : sequence of str, optional
        Segment columns; all further columns where left out.
    base : {"current", "start"}
        Where the index is 1: after the last change, or before the first.

    Returns
    -------
    polars.DataFrame
        Per segment (null: every level that no change names) and day of a change: ``change``, what
        the day's changes come to together, and ``rate_level`` from that day on. The first row of a
        segment has no day: the level before its first change.

    Raises
    ------
    InputError
        As :func:`checked_changes`, and for an unknown ``base``.

    Examples
    --------
    >>> changes = pl.DataFrame({"day": [date(2023, 7, 1), date(2024, 7, 1)], "change": [0.25, -0.2]})
    >>> rate_index(changes, base="start")["rate_level"].to_list()
    [1.0, 1.25, 1.0]
    """
    if base not in ("current", "start"):
        raise InputError(f"no base {base!r}{nearest(base, ['current', 'start'])}")
    found = checked_changes(changes, by)
    keys = found.columns[:-3]
    levels = [found[k].unique().drop_nulls().sort().to_list() for k in keys]
    columns = {k: found.schema[k] for k in keys}
    segments = pl.DataFrame(list(product(*([*x, None] for x in levels))), columns, orient="row")
    if not keys:
        segments = pl.DataFrame({"_all": [0]})
    steps = segments.join(found.rename({k: f"_{k}" for k in keys}), how="cross").filter(
        *(
            (pl.col(f"_{k}").is_null() | (pl.col(f"_{k}") == pl.col(k)).fill_null(False))
            for k in keys
        )
    )
    whole = keys or ["_all"]
    days = steps.group_by(*whole, "day").agg(change=(1 + pl.col("change")).product() - 1)
    first = segments.with_columns(day=pl.lit(None, dtype=pl.Date), change=pl.lit(0.0))
    table = pl.concat([first, days], how="vertical").sort(*whole, "day", nulls_last=False)
    index = (1 + pl.col("change")).cum_prod().over(whole)
    if base == "current":
        index = index / (1 + pl.col("change")).product().over(whole)
    return table.with_columns(rate_level=index).select(*keys, "day", "change", "rate_level")


def with_level(
    rows: pl.DataFrame,
    changes: pl.DataFrame,
    day: str | date | None,
    *,
    applies_to: Sequence[str] = APPLIES_TO,
    name: str = "rate_level",
) -> pl.DataFrame:
    """Put the rate level of each row on a day beside it: Π (1 + change) of what applies to it.

    Parameters
    ----------
    rows : polars.DataFrame
        With the segment columns of the changes.
    changes : polars.DataFrame
        From :func:`checked_changes`.
    day : str, date or None
        Column of the day, one day for all, or None for after the last change.
    applies_to : sequence of str
        Which changes count.
    name : str
        Column of the level.

    Examples
    --------
    >>> changes = checked_changes(pl.DataFrame({"day": [date(2024, 7, 1)], "change": [0.05]}))
    >>> rows = pl.DataFrame({"start": [date(2024, 6, 30), date(2024, 7, 1)]})
    >>> with_level(rows, changes, "start")["rate_level"].to_list()
    [1.0, 1.05]
    """
    keys = changes.columns[:-3]
    on = pl.col(day) if isinstance(day, str) else pl.lit(day or date.max, dtype=pl.Date)
    whose = rows.with_columns(_day=on).select(pl.col(keys).cast(pl.String), "_day")
    found = whose.unique().sort("_day").with_columns(_level=pl.lit(1.0))
    counted = changes.filter(pl.col("applies_to").is_in(list(applies_to)))
    for pattern, part in counted.group_by(pl.col(keys).is_null() if keys else pl.lit(False)):
        own = [k for k, every in zip(keys, pattern, strict=False) if not every]
        steps = (
            part.select(pl.col(own).cast(pl.String), _day="day", change="change")
            .sort("_day")
            .group_by(*own, "_day", maintain_order=True)
            .agg(_step=(1 + pl.col("change")).product())
            .with_columns(
                pl.col("_step").cum_prod().over(own) if own else pl.col("_step").cum_prod()
            )
        )
        found = found.join_asof(
            steps, on="_day", by=own or None, strategy="backward", check_sortedness=False
        ).select(*keys, "_day", _level=pl.col("_level") * pl.col("_step").fill_null(1.0))
    beside = whose.join(
        found, on=[*keys, "_day"], how="left", nulls_equal=True, maintain_order="left"
    )
    return rows.with_columns(beside["_level"].alias(name))


def require_levels(rows: pl.DataFrame, changes: pl.DataFrame) -> None:
    """Refuse changes that meet no row: segment columns the rows lack, levels that none has.

    A misspelt level would otherwise change no premium, in silence.

    Parameters
    ----------
    rows : polars.DataFrame
        The terms. A level that occurs in none of them passes where its column is an Enum with it.
    changes : polars.DataFrame
        From :func:`checked_changes`.

    Examples
    --------
    >>> one = {"day": [date(2024, 7, 1)], "change": [0.05], "tier": ["plsu"]}
    >>> require_levels(pl.DataFrame({"tier": ["basic", "plus"]}), checked_changes(pl.DataFrame(one)))
    Traceback (most recent call last):
    pricing.errors.InputError: rate changes that meet no term
      - no term has tier 'plsu'; did you mean 'plus'?
      do: mend the history, or make the column a pl.Enum of all levels there can be
    """
    keys = changes.columns[:-3]
    faults = [
        f"column {k!r} of the changes is not in the terms{nearest(k, rows.columns)}"
        for k in keys
        if k not in rows.columns
    ]
    for k in keys if not faults else []:
        kind = rows.schema[k]
        values = kind.categories if isinstance(kind, pl.Enum) else rows[k].unique()
        there = values.cast(pl.String).drop_nulls().to_list()
        named = changes[k].drop_nulls().unique().sort().cast(pl.String).to_list()
        faults += [f"no term has {k} {v!r}{nearest(v, there)}" for v in named if v not in there]
        missing = rows[k].null_count()
        faults += [f"{k!r} is null in {missing:,} of {rows.height:,} terms"] if missing else []
    if faults:
        raise InputError(
            "rate changes that meet no term",
            faults=faults,
            do="mend the history, or make the column a pl.Enum of all levels there can be",
        )


def _require(found: pl.DataFrame, keys: list[str]) -> None:
    change, words = pl.col("change"), found["applies_to"].unique().sort().to_list()
    wrong = {
        "'day' is null": pl.col("day").is_null(),
        "'change' is null, NaN or infinite": ~change.is_finite().fill_null(False),
        "'change' takes away 100 % or more": change.is_finite() & (change <= -1),
    }
    counts: dict[str, Any] = found.select(
        **{what: bad.fill_null(False).sum() for what, bad in wrong.items()}
    ).row(0, named=True)
    faults = [f"{what} in {n:,} of {found.height:,} rows" for what, n in counts.items() if n]
    faults += [
        f"no 'applies_to' {w!r}{nearest(w, APPLIES_TO)}" for w in words if w not in APPLIES_TO
    ]
    twice = found.select(*keys, "day", "applies_to").is_duplicated()
    if twice.any():
        few = found.filter(twice)["day"].unique().sort().head(3).to_list()
        faults.append(
            f"{int(twice.sum()):,} changes of one segment fall on one day, such as "
            + ", ".join(str(d) for d in few)
        )
    if faults:
        raise InputError(
            "rate changes that cannot be applied",
            faults=faults,
            do="give one change per day and segment; several at once multiply: (1 + a)(1 + b) − 1",
        )
