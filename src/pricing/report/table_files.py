"""Every table beside the page: CSV in the reader's words, Parquet with the data's names."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import polars as pl

from pricing.report.tables import worded
from pricing.result.words import LANGUAGES, Language, label

__all__ = ["TableFiles", "names_of", "write_csv", "write_files"]

STARTS = (
    "=+-@\t\r\n＝＋－＠"  # what a spreadsheet may take for a formula (OWASP, CSV injection, 2023)
)


class TableFiles(NamedTuple):
    """Where a table's files stand, relative to the page."""

    csv: Mapping[Language, str]
    parquet: str


def names_of(name: str) -> TableFiles:
    """Name the files of a table.

    Examples
    --------
    >>> names_of("schedule").csv["zh"], names_of("schedule").parquet
    ('tables/schedule.zh.csv', 'tables/schedule.parquet')
    """
    folder = f"tables/{name}"
    return TableFiles({lang: f"{folder}.{lang}.csv" for lang in LANGUAGES}, f"{folder}.parquet")


def write_files(table: Mapping[Language, pl.DataFrame], name: str, folder: Path) -> None:
    """Write a table beside the page: a CSV file per language, and one Parquet file.

    Parameters
    ----------
    table : mapping of language to polars.DataFrame
        Titles of the user's own may differ by language; Parquet holds the English one.
    name : str
        Name of the table in the page.
    folder : path
        The report's folder; ``tables/`` is made in it.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> table = pl.DataFrame({"sex": ["male"], "relativity": [1.25]})
    >>> write_files({"en": table, "zh": table}, "t", folder)
    >>> sorted(file.name for file in (folder / "tables").iterdir())
    ['t.en.csv', 't.parquet', 't.zh.csv']
    """
    files = names_of(name)
    (folder / "tables").mkdir(exist_ok=True)
    for lang in LANGUAGES:
        write_csv(table[lang], folder / files.csv[lang], lang=lang)
    table["en"].write_parquet(folder / files.parquet)


def write_csv(table: pl.DataFrame, path: str | Path, *, lang: Language) -> None:
    r"""Write a table as CSV that Excel opens as it is meant: UTF-8 with a mark, no cell a formula.

    Parameters
    ----------
    table : polars.DataFrame
        Any result's table; figures keep all their digits.
    path : path
        File to write.
    lang : {"en", "zh"}
        Language of headings and levels.

    Notes
    -----
    A text or a heading that starts with ``= + - @``, their full-width forms, a tab or a line end gets
    an apostrophe in front: a spreadsheet would take it for a formula. Figures are left as they are,
    those below zero too. Lists are written with ``; `` between their parts.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "t.csv"
    >>> write_csv(pl.DataFrame({"sex": ["male", "=1+1"], "change": [-0.1, 0.2]}), file, lang="zh")
    >>> file.read_text(encoding="utf-8-sig").splitlines()[1:]
    ['"男",-0.1', '"\'=1+1",0.2']
    """
    flat = table.with_columns(
        pl.Series(name, [None if row is None else _told(row) for row in table[name]], pl.String)
        for name, kind in table.schema.items()
        if kind.is_nested() or kind == pl.Object
    )
    told = worded(flat, lang).with_columns(
        pl.when(pl.col(name).str.slice(0, 1).is_in(list(STARTS)))
        .then("'" + pl.col(name))
        .otherwise(pl.col(name))
        .alias(name)
        for name in flat.columns
        if flat.schema[name] in (pl.String, pl.Enum, pl.Boolean)
    )
    headings = StringIO()
    row = [label(name, lang) for name in table.columns]
    csv.writer(headings, quoting=csv.QUOTE_ALL, lineterminator="\n").writerow(
        f"'{text}" if text[:1] in STARTS and text else text for text in row
    )
    body = told.write_csv(include_header=False, quote_style="non_numeric")
    Path(path).write_text("\ufeff" + headings.getvalue() + body, encoding="utf-8", newline="")


def _told(parts: object) -> str:
    if isinstance(parts, pl.Series | list | tuple):
        return "; ".join(str(part) for part in parts)
    return str(parts)
