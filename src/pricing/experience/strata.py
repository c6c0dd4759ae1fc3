"""Strata: one whole number for what tells policies apart, and the cells read back from it."""

from __future__ import annotations

from calendar import isleap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import polars as pl

from pricing.experience.cells import MEASURES, Experience
from pricing.experience.cover import Book
from pricing.experience.lexis import Lexis, Segment, leap
from pricing.result.shape import Basis

__all__ = ["Coded"]

_MOST_CODES = 2**62
_MOST_CELLS_OF_TIME = 2**24


@dataclass(frozen=True)
class Coded:
    """One part of a code: values from ``low`` in ``radix`` steps, or the levels of a factor."""

    name: str
    low: int
    radix: int
    levels: list[str] | None


def strata(
    schema: pl.Schema, book: Book, by: list[str], lexis: Lexis
) -> tuple[pl.Expr, list[Coded], list[str]]:
    """One whole number for what tells policies apart, how to read it, and what did not go in."""
    parts: list[tuple[Coded, pl.Expr]] = []
    for dim, line, years in (("policy_year", "_sy", book.starts), ("age", "_by", book.births)):
        if dim in lexis.dims:
            parts.append((Coded(line, years[0], years[1] - years[0] + 1, None), pl.col(line)))
    if "policy_year" in lexis.dims:
        parts.append((Coded("_p1", 0, 2, None), pl.col("_p1")))
        if "age" in lexis.dims:
            parts.append((Coded("_order", 0, 2, None), pl.col("_order")))
    size, loose = prod(part.radix for part, _ in parts) * _MOST_CELLS_OF_TIME, []
    for k in by:
        levels = _levels(schema[k], book, k)
        if levels is None or size * len(levels) >= _MOST_CODES:
            loose.append(k)
            continue
        size *= len(levels)
        parts.append((Coded(k, 0, len(levels), levels), _physical(schema[k], k, levels)))
    code = pl.lit(0, dtype=pl.Int64)
    for part, value in parts:
        code = code * part.radix + (value.cast(pl.Int64) - part.low)
    return code, [part for part, _ in parts], loose


def read_groups(grouped: pl.DataFrame, coded: list[Coded]) -> pl.DataFrame:
    """Read ``_code``: what the cells of time need, and ``_factors``, the factors' part of it."""
    timed = [part for part in coded if part.levels is None]
    size = prod(part.radix for part in coded if part.levels is not None)
    code = pl.col("_code")
    return grouped.with_columns(_factors=code % size, **_read(timed, code // size))


def long_year(lexis: Lexis, segment: Segment) -> pl.Expr:
    """1 where the year that divides the days has 366 of them."""
    if lexis.unit == "policy":
        return leap(pl.col("_sy") + pl.col("policy_year") + pl.col("_p1"))
    long = lexis.unit == "calendar" and isleap(segment.year)
    return pl.lit(int(long), dtype=pl.Int32)


def cells_of(
    rows: pl.DataFrame,
    coded: list[Coded],
    loose: list[str],
    by: list[str],
    lexis: Lexis,
    premiums: Sequence[str],
) -> pl.DataFrame:
    """Add up the stretches of every cell, and divide whole days by whole years."""
    keys = [part for part in coded if part.levels is not None]
    code = pl.col("_factors")
    for dim in lexis.dims:
        low, high = (int(v) for v in rows.select(a=pl.col(dim).min(), b=pl.col(dim).max()).row(0))
        keys.append(Coded(dim, low, high - low + 1, None))
        code = code * (high - low + 1) + (pl.col(dim).cast(pl.Int64) - low)
    clock = "3" if lexis.unit == "30/360" else ""
    long = pl.col("_long") == 1
    sums = {"rows": pl.col("rows").sum(), "days": pl.col("days").sum()}
    for name, stem in (("_d", f"days{clock}"), ("_q", f"square{clock}")):
        sums |= {name: pl.col(stem).sum(), f"{name}_long": pl.col(stem).filter(long).sum()}
    money = {column: pl.col(f"money{n}").sum() for n, column in enumerate(premiums)}
    short = {"365.25": 365.25, "30/360": 360.0}.get(lexis.unit, 365.0)
    grouped = rows.with_columns(_cell=code).group_by(
        ["_cell", *loose], maintain_order=bool(premiums)
    )
    cells = (
        grouped.agg(**sums, **money)
        .sort("_cell", *loose)
        .with_columns(
            exposure=(pl.col("_d") - pl.col("_d_long")) / short + pl.col("_d_long") / 366.0,
            exposure_squared=(pl.col("_q") - pl.col("_q_long")) / short**2
            + pl.col("_q_long") / 366.0**2,
            **_read(keys, pl.col("_cell")),
        )
    )
    return cells.with_columns(
        pl.Series(k.name, k.levels, dtype=pl.Enum(k.levels)).gather(cells[k.name])
        for k in keys
        if k.levels is not None
    ).select(*by, *lexis.dims, "rows", "exposure", "exposure_squared", "days", *premiums)


def experience_of(
    cells: pl.DataFrame, keys: Sequence[str], lexis: Lexis, basis: Basis | None
) -> Experience:
    """Give cells of exposure every measure of an experience, those of claims being zero."""
    missing = [
        name
        for name in ("claims", "claims_exposure", "claims_squared", "claims_squared_per_exposure",
                     "claims_log_rate", "log_likelihood_saturated")
        if name not in cells.columns
    ]  # fmt: skip
    whole = ("claims", "claims_squared")
    cells = cells.with_columns(
        pl.lit(0, dtype=pl.Int64 if n in whole else pl.Float64).alias(n) for n in missing
    )
    order = [*keys, *(m for m in MEASURES if m in cells.columns)]
    rest = [n for n in cells.columns if n not in order]
    start = basis or Basis()
    note = (
        f"exposure {'full for ' + lexis.target if lexis.target else 'central'}, year: {lexis.unit}"
    )
    basis = replace(start, period=start.period or lexis.period, notes=(*start.notes, note))
    return Experience._of(cells.select(*order, *rest), tuple(keys), basis)


def _read(coded: list[Coded], code: pl.Expr) -> dict[str, pl.Expr]:
    """Take a code apart, the last part first."""
    found = {}
    for part in reversed(coded):
        found[part.name] = (code % part.radix + part.low).cast(pl.Int32)
        code = code // part.radix
    return found


def _levels(kind: pl.DataType, book: Book, name: str) -> list[str] | None:
    if isinstance(kind, pl.Enum):
        return list(kind.categories)
    if kind == pl.Boolean:
        return ["no", "yes"]
    return book.levels.get(name)


def _physical(kind: pl.DataType, name: str, levels: list[str]) -> pl.Expr:
    column = pl.col(name)
    if kind == pl.Boolean:
        return column.cast(pl.Int64)
    return (
        column if isinstance(kind, pl.Enum) else column.cast(pl.String).cast(pl.Enum(levels))
    ).to_physical()
