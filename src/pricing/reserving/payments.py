"""Payments: what rows must hold before they become a triangle, all faults said at once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import polars as pl

from pricing.errors import InputError
from pricing.experience.domain import require_columns
from pricing.reserving.periods import Grain, first_day, period_of

__all__ = ["MEASURES", "first_origin", "require_domain", "require_kinds"]

MEASURES = ("payments", "amount", "amount_squared")
MOST = 500  # periods; more are wrong dates


def require_kinds(schema: pl.Schema, origin: str, day: str, amount: str, by: Sequence[str]) -> None:
    """Refuse columns of the wrong type, and keys with a name of ours.

    Examples
    --------
    >>> schema = pl.Schema({"incurred": pl.Date(), "paid": pl.String(), "amount": pl.Int64()})
    >>> require_kinds(schema, "incurred", "paid", "amount", [])
    Traceback (most recent call last):
    pricing.errors.InputError: columns a triangle cannot be made of
      - 'paid' is String, not a date
      do: make dates of text with .str.to_date(), rename keys
    """
    require_columns([origin, day, amount, *by], schema.names())
    faults = [
        f"{name!r} is {schema[name]}, not a date"
        for name in (origin, day)
        if schema[name] not in (pl.Date, pl.Datetime)
    ]
    kind = schema[amount]
    if not (kind.is_numeric() or kind == pl.Boolean):
        faults.append(f"{amount!r} is {kind}, not a number")
    text = {"String", "Enum", "Categorical", "Boolean"}
    faults += [
        f"key {k!r} is {schema[k]}: neither text, yes or no, nor a whole number"
        for k in by
        if not (schema[k].base_type().__name__ in text or schema[k].is_integer())
    ]
    taken = {"origin", "lag", *MEASURES, "o", "d", "known", "early"}
    faults += [f"key {k!r} has the name of a column of triangles" for k in by if k in taken]
    if len(set(by)) < len(by):
        faults.append(f"a key is given twice: {list(by)}")
    if faults:
        raise InputError(
            "columns a triangle cannot be made of",
            faults=faults,
            do="make dates of text with .str.to_date(), rename keys",
        )


def require_domain(
    cells: pl.DataFrame, by: Sequence[str], origin: str, day: str, amount: str
) -> None:
    """Refuse rows out of their domain, seen in the sums of their cells.

    Examples
    --------
    >>> cells = pl.DataFrame({"o": [24_288], "d": [24_288], "rows": [3], "known": [3], "early": [1],
    ...     "amount": [5.0], "amount_squared": [9.0]})
    >>> require_domain(cells, [], "incurred", "paid", "amount")
    Traceback (most recent call last):
    pricing.errors.InputError: payments a triangle cannot hold
      - 'paid' is before 'incurred' in 1 of 3 rows
      do: hold the table against its contract; ...
    """
    rows = int(cells["rows"].sum())
    if not rows:
        raise InputError("there are no rows", do="check the source and the filters")

    def count(of: pl.Expr) -> int:
        return int(cells.filter(of)["rows"].sum())

    broken = count(~pl.col("amount").is_finite())
    faults = [
        f"{what} in {many:,} of {rows:,} rows"
        for what, many in (
            *((f"{key!r} is null", count(pl.col(key).is_null())) for key in by),
            (f"{origin!r} is null", count(pl.col("o").is_null())),
            (f"{day!r} is null", count(pl.col("d").is_null())),
            (f"{amount!r} is null", rows - int(cells["known"].sum())),
            (f"{day!r} is before {origin!r}", int(cells["early"].sum())),
        )
        if many
    ]
    if broken:
        faults.append(f"{amount!r} is NaN or infinite in cells of {broken:,} of {rows:,} rows")
    if not faults and not cells["amount_squared"].is_finite().all():
        faults.append(f"{amount!r} is too large to be squared")
    if faults:
        raise InputError(
            "payments a triangle cannot hold",
            faults=faults,
            do="hold the table against its contract; an open claim has no payment yet "
            "(claim_transactions keeps it as outstanding)",
        )


def first_origin(cells: pl.DataFrame, last: int, start: date | None, grain: Grain) -> int:
    """Find the first origin among what is known at the valuation, or hold ``start`` against it.

    Examples
    --------
    >>> cells = pl.DataFrame({"o": [24_288, 24_290], "d": [24_289, 24_290], "rows": [1, 1]})
    >>> first_origin(cells, 24_290, None, "month")
    24288
    """
    kept = cells.filter(pl.col("d") <= last)
    if start is not None:
        first = period_of(start, grain)
        if first_day(first, grain) != date(start.year, start.month, start.day):
            raise InputError(
                f"{start} is not the first day of a {grain}",
                do=f"start at {first_day(first, grain)}",
            )
        if first > last:
            raise InputError(f"the start, {start}, is after the valuation")
        kept = kept.filter(pl.col("o") >= first)
    if kept.is_empty():
        rows, of = int(cells["rows"].sum()), first_day(last + 1, grain)
        raise InputError(
            f"none of {rows:,} payments was made before {of}, the day after the valuation",
            do="check the valuation date and the start",
        )
    if start is None:
        first = int(kept["o"].min())  # type: ignore[arg-type]
    if last - first >= MOST:
        few = int(kept.filter(pl.col("o") <= last - MOST)["rows"].sum())
        raise InputError(
            f"{last - first + 1:,} origins, from {first_day(first, grain)} on; at most {MOST} are "
            f"taken, and {few:,} payments lie before",
            do="look for wrong dates, give start=..., or take a coarser grain",
        )
    return first
