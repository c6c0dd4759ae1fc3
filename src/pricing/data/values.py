"""Values read to the contract's types: text, numbers, days and flags, however they came."""

from __future__ import annotations

from collections.abc import Callable

import dataframely as dy
import polars as pl

__all__ = ["as_written", "text", "typed_columns"]

_NO_WORDS = (pl.Binary, pl.Object, pl.Duration, pl.Time)  # no value of a contract is of these


def typed_columns(
    read: pl.DataFrame, schema: type[dy.Schema]
) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
    """Give the contract's columns in its types, and the values that could not be read.

    Parameters
    ----------
    read : polars.DataFrame
        A table as read, of one row at least; optional columns may lack.
    schema : type of dataframely.Schema
        From :func:`pricing.data.contracts.contract`.

    Returns
    -------
    tuple of polars.DataFrame and list of polars.DataFrame
        ``_index`` (the row from 0) and the contract's columns, null where a value cannot be
        read; and ``_index`` and ``rule`` of those values, column by column.

    Examples
    --------
    >>> from pricing.data.contracts import contract
    >>> seen, unread = typed_columns(
    ...     pl.DataFrame({"exposure": ["1", "x"], "claims": [0, 2]}), contract("person_years"))
    >>> seen["exposure"].to_list(), pl.concat(unread).rows()
    ([1.0, None], [(1, 'exposure|type')])
    """
    index = pl.Series("_index", range(read.height), dtype=pl.Int64)
    columns, unread = [index], []
    for name, column in schema.columns().items():
        if name not in read.columns:
            key = (index + 1).cast(pl.String) if column.primary_key else None
            empty = pl.Series([None], dtype=column.dtype).extend_constant(None, read.height - 1)
            columns.append((empty if key is None else key).alias(name))
            continue
        values, given = _as_type(read[name], column)
        columns.append(values.alias(name))
        rule = f"{name}|{'level' if isinstance(column, dy.Enum) else 'type'}"
        lost = index.filter(given & values.is_null())
        unread.append(pl.DataFrame({"_index": lost}).with_columns(rule=pl.lit(rule)))
    return pl.DataFrame(columns), unread


def _as_type(series: pl.Series, column: dy.Column) -> tuple[pl.Series, pl.Series]:
    """Read a column to a contract's type; null where it cannot be, beside what was given."""
    kinds: list[tuple[type[dy.Column], Callable[[pl.Series], pl.Series]]] = [
        (dy.Enum, lambda s: text(s).cast(column.dtype, strict=False)),
        (dy.String, text),
        (dy.Date, _days),
        (dy.Bool, _flags),
        (dy.Int64, _whole),
        (dy.Float64, _numbers),
    ]
    reader = next(reader for kind, reader in kinds if isinstance(column, kind))
    texts = series.dtype in (pl.String, pl.Categorical) or isinstance(series.dtype, pl.Enum)
    given = (text(series) if texts else series).is_not_null()
    if series.dtype.is_nested() or series.dtype in _NO_WORDS:
        return pl.Series([None], dtype=column.dtype).extend_constant(None, len(series) - 1), given
    return reader(series), given


def text(series: pl.Series) -> pl.Series:
    """Read text, without spaces around it; what is empty is null.

    Whole numbers are read without a point, Booleans as ``yes`` and ``no``.

    Examples
    --------
    >>> text(pl.Series([" 007 ", ""])).to_list(), text(pl.Series([1.0, 2.0])).to_list()
    (['007', None], ['1', '2'])
    >>> text(pl.Series([True, False])).to_list()
    ['yes', 'no']
    """
    if series.dtype == pl.Boolean:
        return series.replace_strict({True: "yes", False: "no"}, return_dtype=pl.String)
    if series.dtype.is_float():
        whole = _whole(series)
        if whole.null_count() == (series.is_null() | series.is_nan()).sum():
            return whole.cast(pl.String)
        series = series.fill_nan(None)
    words = series.cast(pl.String).str.strip_chars()
    return words.set(words == "", None)


def as_written(series: pl.Series) -> pl.Series:
    """Give the values as text, of whatever kind they are, for the one who has to mend them.

    Examples
    --------
    >>> as_written(pl.Series([[1, 2], None])).to_list(), as_written(pl.Series([b"a"])).to_list()
    (['[1, 2]', None], ["b'a'"])
    """
    if not series.dtype.is_nested() and series.dtype not in _NO_WORDS:
        return series.cast(pl.String)
    told = [None if value is None else _told(value) for value in series]
    return pl.Series(series.name, told, dtype=pl.String)


def _told(value: object) -> str:
    return str(value.to_list() if isinstance(value, pl.Series) else value)


def _numbers(series: pl.Series) -> pl.Series:
    if series.dtype.is_temporal():
        return pl.Series([None], dtype=pl.Float64).extend_constant(None, len(series) - 1)
    plain = series.dtype.is_numeric() or series.dtype == pl.Boolean
    return (series if plain else text(series)).cast(pl.Float64, strict=False)


def _whole(series: pl.Series) -> pl.Series:
    if series.dtype.is_integer():
        return series.cast(pl.Int64, strict=False)
    number = _numbers(series)
    # NaN equals its own floor here, and infinity too; the cast makes nulls of both.
    return number.set(number != number.floor(), None).cast(pl.Int64, strict=False)


def _flags(series: pl.Series) -> pl.Series:
    if series.dtype == pl.Boolean:
        return series
    words = {"true": True, "yes": True, "y": True, "t": True, "1": True, "是": True}
    words |= {"false": False, "no": False, "n": False, "f": False, "0": False, "否": False}
    written = text(series).str.to_lowercase()
    return written.replace_strict(words, default=None, return_dtype=pl.Boolean)


def _days(series: pl.Series) -> pl.Series:
    if series.dtype == pl.Date or isinstance(series.dtype, pl.Datetime):
        return series.cast(pl.Date)
    written = text(series)
    days = written.str.to_date("%Y-%m-%d", strict=False)
    if days.null_count() == written.null_count():
        return days
    # Rarer forms, tried only where the first does not read: a time of day is cut off.
    written = written.str.replace(r"[T ]\d{2}:\d{2}.*$", "")
    eight = written.set(written.str.len_chars() != 8, None).str.to_date("%Y%m%d", strict=False)
    for form in ("%Y-%m-%d", "%Y/%m/%d"):
        days = days.zip_with(days.is_not_null(), written.str.to_date(form, strict=False))
    return days.zip_with(days.is_not_null(), eight)
