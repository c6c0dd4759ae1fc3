"""Where a row came from: its file, its place in it, and what stood there."""

from __future__ import annotations

import polars as pl

__all__ = ["as_read", "columns_of", "files_of", "with_origin", "with_text"]

_ORIGIN = ("_file", "_row", "_rules")
_AS_READ = "_read:"


def columns_of(frame: pl.DataFrame) -> list[str]:
    """Name the columns the insurer gave, without those that tell of the row's origin.

    Examples
    --------
    >>> columns_of(with_origin(pl.DataFrame({"a": [1], "_rules": ["x"]}), "a.csv"))
    ['a']
    """
    return [n for n in frame.columns if n not in _ORIGIN and not n.startswith(_AS_READ)]


def with_origin(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    """Number the rows of a file from 1; what told of an older origin is replaced.

    Examples
    --------
    >>> with_origin(pl.DataFrame({"a": [7, 8]}), "a.csv").rows()
    [(7, 'a.csv', 1), (8, 'a.csv', 2)]
    """
    rows = pl.int_range(1, pl.len() + 1, dtype=pl.Int64)
    return frame.select(columns_of(frame)).with_columns(
        pl.lit(name).alias("_file"), rows.alias("_row")
    )


def files_of(frame: pl.DataFrame) -> str:
    """Name the first three files of a table, for a message.

    Examples
    --------
    >>> files_of(with_origin(pl.DataFrame({"a": [1]}), "a.csv"))
    'a.csv'
    """
    return ", ".join(frame["_file"].unique().sort().head(3))


def with_text(frame: pl.DataFrame, column: str, text: pl.Series) -> pl.DataFrame:
    """Put other words in a column and keep what the file said beside it.

    Examples
    --------
    >>> seen = with_text(pl.DataFrame({"sex": ["F"]}), "sex", pl.Series(["female"]))
    >>> seen.to_dicts(), as_read(seen).to_dicts()
    ([{'sex': 'female', '_read:sex': 'F'}], [{'sex': 'F'}])
    """
    return frame.with_columns(text.alias(column), frame[column].alias(_AS_READ + column))


def as_read(frame: pl.DataFrame) -> pl.DataFrame:
    """Give a table as its files said it, before its words were made ours.

    Examples
    --------
    >>> frame = pl.DataFrame({"sex": ["male"], f"{_AS_READ}sex": ["男"]})
    >>> as_read(frame)["sex"].to_list()
    ['男']
    """
    kept = [name for name in frame.columns if name.startswith(_AS_READ)]
    said = [frame[name].alias(name.removeprefix(_AS_READ)) for name in kept]
    return frame.drop(kept).with_columns(s for s in said if s.name in frame.columns)
