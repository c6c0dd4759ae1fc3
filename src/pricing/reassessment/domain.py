"""Domain: what the numbers of this room may be; every fault is said with its count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from pricing.errors import InputError
from pricing.experience.domain import require_columns

__all__ = ["Floats", "numbers", "require_keys_once", "require_rows_there", "require_settings"]

Floats = npt.NDArray[np.float64]
Range = tuple[float, float]


def require_rows_there(frame: pl.DataFrame, what: str, columns: Sequence[str]) -> None:
    """Refuse what is no frame, has no rows, or lacks columns.

    Examples
    --------
    >>> require_rows_there(pl.DataFrame({"a": [1]}), "cases", ["a"])
    """
    if not isinstance(frame, pl.DataFrame):
        raise InputError(f"{what} are a polars DataFrame, got {type(frame).__name__}")
    require_columns(columns, frame.columns)
    if frame.is_empty():
        raise InputError("there are no rows", where=what, do="check the source and the filters")


def require_keys_once(frame: pl.DataFrame, key: str, what: str) -> None:
    """Refuse a key that is empty or stands twice.

    Examples
    --------
    >>> require_keys_once(pl.DataFrame({"case_id": ["甲", "乙"]}), "case_id", "cases")
    """
    empty = frame[key].null_count()
    twice = frame.filter(pl.col(key).is_duplicated() & pl.col(key).is_not_null())[key].unique().sort()  # fmt: skip
    faults = [f"{key} is empty in {empty:,} of {frame.height:,} rows"] if empty else []
    if len(twice):
        few = ", ".join(map(str, twice.head(3)))
        faults.append(f"{len(twice):,} values of {key} stand more than once: {few}")
    if faults:
        raise InputError("rows that are not one each", where=what, faults=faults, do=f"keep one row for each {key}")  # fmt: skip


def numbers(
    frame: pl.DataFrame, what: str, ranges: Mapping[str, Range], *, open_low: Sequence[str] = ()
) -> dict[str, Floats]:
    """Read numeric columns as arrays, and refuse what is null, not finite or out of its range.

    Parameters
    ----------
    frame : polars.DataFrame
        Rows.
    what : str
        What they are, for the message.
    ranges : mapping of str to (low, high)
        Closed ranges; infinity where there is no end.
    open_low : sequence of str
        Columns whose low end does not belong to the range.

    Examples
    --------
    >>> numbers(pl.DataFrame({"p": [0.5, 2.0]}), "cases", {"p": (0.0, 1.0)})
    Traceback (most recent call last):
    pricing.errors.InputError: cases: numbers out of their domain
      - p must be from 0 to 1; it is not in 1 of 2 rows, such as 2.0
      do: hold the table against its contract (pricing check) and use the accepted rows
    """
    require_rows_there(frame, what, list(ranges))
    found: dict[str, Floats] = {}
    faults = []
    for name, (low, high) in ranges.items():
        kind = frame.schema[name]
        if not (kind.is_numeric() or kind == pl.Boolean):
            faults.append(f"{name} is {kind}, not a number")
            continue
        values = frame[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
        at_low = values > low if name in open_low else values >= low
        good = np.isfinite(values) & at_low & (values <= high)
        found[name] = values
        if not good.all():
            wrong = frame[name].filter(pl.Series(~good))
            faults.append(
                f"{name} must be {_range(low, high, name in open_low)}; it is not in "
                f"{len(wrong):,} of {frame.height:,} rows, such as {wrong[0]}"
            )
    if faults:
        raise InputError(
            "numbers out of their domain",
            where=what,
            faults=faults,
            do="hold the table against its contract (pricing check) and use the accepted rows",
        )
    return found


def require_settings(
    ranges: Mapping[str, Range], open_low: Sequence[str] = (), **values: float
) -> None:
    """Refuse settings that are no finite number or out of their range, all at once.

    Examples
    --------
    >>> require_settings({"share": (0.0, 1.0)}, share=1.5)
    Traceback (most recent call last):
    pricing.errors.InputError: settings out of their domain
      - share must be from 0 to 1, got 1.5
    """
    faults = []
    for name, value in values.items():
        low, high = ranges[name]
        number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
        opened = name in open_low
        if not (number and np.isfinite(value) and (value > low if opened else value >= low) and value <= high):  # fmt: skip
            faults.append(f"{name} must be {_range(low, high, opened)}, got {value!r}")
    if faults:
        raise InputError("settings out of their domain", faults=faults)


def _range(low: float, high: float, opened: bool) -> str:
    if np.isinf(high):
        if np.isinf(low):
            return "finite"
        return f"above {low:g} and finite" if opened else f"{low:g} or more and finite"
    return f"above {low:g} and at most {high:g}" if opened else f"from {low:g} to {high:g}"
