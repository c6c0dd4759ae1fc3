"""Sums of a table that must add up: rows, exposure, claims and money."""

from __future__ import annotations

import polars as pl

__all__ = ["sums", "unreadable"]

_MONEY = ("amount", "standard_premium", "premium")
_COVER_DAYS = 365.25


def _quantities(typed: pl.DataFrame) -> dict[str, pl.Expr]:
    """The sums that must add up; a value that is not a finite number is null in them."""
    found = {name: pl.col(name).cast(pl.Float64) for name in ("exposure", "claims")}
    found = {name: value for name, value in found.items() if name in typed.columns}
    if {"start", "end"} <= set(typed.columns):
        found["exposure"] = (pl.col("end") - pl.col("start")).dt.total_days() / _COVER_DAYS
    found |= {name: pl.col(name) for name in _MONEY if name in typed.columns}
    return {n: pl.when(value.is_finite()).then(value) for n, value in found.items()}


def sums(typed: pl.DataFrame, name: str) -> pl.DataFrame:
    """Sum a typed table: ``quantity`` and its sum, under the name given.

    Examples
    --------
    >>> sums(pl.DataFrame({"exposure": [0.5, 1.0], "claims": [0, 2]}), "input").rows()
    [('rows', 2.0), ('exposure', 1.5), ('claims', 2.0)]
    """
    quantities = {n: value.sum() for n, value in _quantities(typed).items()}
    sums = typed.select(rows=pl.len().cast(pl.Float64), **quantities)
    return sums.transpose(include_header=True, header_name="quantity", column_names=[name])


def unreadable(read: pl.DataFrame, typed: pl.DataFrame) -> pl.Series:
    """Count, for each sum, the values that were given and are not in it.

    Parameters
    ----------
    read, typed : polars.DataFrame
        The table as read and in the contract's types, row by row alike.

    Examples
    --------
    >>> read = pl.DataFrame({"exposure": ["1", "x"]})
    >>> unreadable(read, pl.DataFrame({"exposure": [1.0, None]})).to_list()
    [0, 1]
    """
    counts = [0]
    for name, value in _quantities(typed).items():
        dates = name == "exposure" and {"start", "end"} <= set(typed.columns)
        columns = [c for c in (("start", "end") if dates else (name,)) if c in read.columns]
        given = pl.all_horizontal(pl.lit(True), *[_given(read[c]) for c in columns])
        lost = typed.select((given & value.is_null() & bool(columns)).sum()).item()
        counts.append(int(lost))
    return pl.Series("unreadable", counts, dtype=pl.Int64)


def _given(series: pl.Series) -> pl.Series:
    if series.dtype == pl.String:
        return series.is_not_null() & (series.str.strip_chars() != "")
    return series.is_not_null()
