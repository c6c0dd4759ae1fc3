"""Reading an insurer's tables from files, a database, a frame or a bundled loader."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from pricing.data.database import read_duckdb
from pricing.data.files import read_files
from pricing.data.loaders import read_loader
from pricing.data.origin import columns_of, files_of, with_origin, with_text
from pricing.data.postgres import read_postgres
from pricing.data.values import text
from pricing.errors import InputError, nearest
from pricing.inputs import require_inside

__all__ = ["Source", "place_fault", "read_table"]


ODD = ("idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape", "utf-7")


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """Where one table of a study comes from: one of files, duckdb, database_env, frame, loader.

    Parameters
    ----------
    files : path or str, optional
        One file, or a pattern such as ``claims-*.csv``; relative to ``folder``. The ending
        decides the format: parquet, csv, arrow, ipc, feather, or jsonl
        (lines of messages, for ``claim_messages``).
    duckdb : path or str, optional
        A DuckDB database file, relative to ``folder``; ``table`` names the table or view.
    database_env : str, optional
        The environment variable that holds the address of a PostgreSQL server; ``table`` names
        the table or view, or ``query`` selects. See :func:`pricing.data.postgres.read_postgres`.
    frame : polars.DataFrame or polars.LazyFrame, optional
        A table at hand.
    loader : str, optional
        A bundled data set: ``randhie``.
    table : str, optional
        Table of the database, ``name`` or ``schema.name``.
    query : str, optional
        A SELECT of the PostgreSQL server, instead of a table.
    folder : path
        Folder that relative paths start from, as a rule that of the study file.
    encoding : str
        Of CSV files: ``utf-8`` or, from older Chinese systems, ``gb18030``. A UTF-8 byte order
        mark is believed before it.
    separator : str
        Of CSV files: one character.
    columns : mapping of str to str
        Our column name to theirs, where they differ.
    levels : mapping of str to mapping of str to str
        Our column name to their words for its values and ours: ``{"sex": {"男": "male", "女":
        "female"}}``. Numbers and Booleans are given as text, ``"1"`` and ``"true"``. Words that
        are not named stay as they are.
    inside : bool
        Whether a file outside ``folder``, links followed, is refused.

    Raises
    ------
    InputError
        Where not exactly one of them is given, or the options do not fit it.

    Examples
    --------
    >>> Source(files="policies.csv", columns={"policy_id": "保单号"}).files
    'policies.csv'
    """

    files: str | Path | None = None
    duckdb: str | Path | None = None
    database_env: str | None = None
    frame: pl.DataFrame | pl.LazyFrame | None = None
    loader: str | None = None
    table: str | None = None
    query: str | None = None
    folder: str | Path = "."
    encoding: str = "utf-8"
    separator: str = ","
    columns: Mapping[str, str] = field(default_factory=dict)
    levels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    inside: bool = False

    def __post_init__(self) -> None:
        ways = ("files", "duckdb", "database_env", "frame", "loader")
        given = [way for way in ways if getattr(self, way) is not None]
        if len(given) != 1:
            raise InputError(
                f"{len(given)} of {', '.join(ways)} are given{': ' * bool(given)}"
                f"{', '.join(given)}",
                where="source of a table",
                do="give exactly one",
            )
        if fault := place_fault(self.duckdb, self.database_env, self.table, self.query):
            raise InputError(
                fault,
                where="source of a table",
                do="name the database as duckdb or database_env, and the table in it as table",
            )
        if len(self.separator.encode()) != 1 or self.separator in '"\r\n':
            raise InputError(
                f"separator {self.separator!r} is not one plain character",
                where="source of a table",
            )
        try:
            known = codecs.lookup(self.encoding)
            "".encode(known.name)  # zip, base64, rot13 and their like are no encodings of text
        except (LookupError, UnicodeError, ValueError):
            known = None
        if known is None or known.name in ODD:
            raise InputError(
                f"there is no encoding {self.encoding!r} of a table",
                where="source of a table",
                do='use "utf-8" or "gb18030"',
            ) from None
        for column, words in self.levels.items():
            if not isinstance(words, Mapping) or not all(
                isinstance(word, str) for pair in words.items() for word in pair
            ):
                raise InputError(
                    "levels must name texts by texts",
                    where=f"source of a table, levels of {column!r}",
                    do='write theirs = ours, numbers too in quotation marks: "1" = "male"',
                )


def place_fault(
    duckdb: object | None, database_env: str | None, table: str | None, query: str | None
) -> str:
    """Say what is wrong with the place of a table in its database, if anything.

    Examples
    --------
    >>> place_fault(None, "PRICING_DB", "claims", None), place_fault("a.duckdb", None, None, None)
    ('', 'duckdb and table go together')
    """
    if database_env is not None:
        one = (table is None) != (query is None)
        return "" if one else "database_env goes with either table or query"
    if query is not None:
        return "query goes with database_env"
    return "" if (table is None) is (duckdb is None) else "duckdb and table go together"


def read_table(source: Source) -> pl.DataFrame:
    """Read one table under our names, each row with the file and row it came from.

    Nothing is judged here: CSV columns come as text, and the table's contract gives them
    their types (:func:`pricing.data.check.check`). What cannot be read whole is refused whole.

    Parameters
    ----------
    source : Source
        Where the table is.

    Returns
    -------
    polars.DataFrame
        The columns under our names, then ``_file`` (the file's name) and ``_row`` (the data
        row in that file from 1; in a CSV file the header is not counted, blank lines are).
        A column with levels holds our words, and ``_read:<column>`` beside it what the file
        said; :func:`pricing.data.check.check` shows that in the rejected rows.
        Where the input has columns ``_file``, ``_row`` or ``_rules`` already (rejected rows,
        mended and read again), they are replaced.

    Raises
    ------
    InputError
        Where a file, table or column is missing, or a file cannot be read whole.

    Examples
    --------
    >>> import polars as pl
    >>> read_table(Source(frame=pl.DataFrame({"id": ["a", "b"]}), columns={"policy_id": "id"}))
    shape: (2, 3)
    ┌───────────┬───────┬──────┐
    │ policy_id ┆ _file ┆ _row │
    │ ---       ┆ ---   ┆ ---  │
    │ str       ┆ str   ┆ i64  │
    ╞═══════════╪═══════╪══════╡
    │ a         ┆ frame ┆ 1    │
    │ b         ┆ frame ┆ 2    │
    └───────────┴───────┴──────┘
    """
    return _in_our_words(_renamed(_read(source), source), source)


def _read(source: Source) -> pl.DataFrame:
    if source.files is not None:
        return read_files(
            source.files,
            folder=source.folder,
            encoding=source.encoding,
            separator=source.separator,
            inside=source.inside,
        )
    if source.duckdb is not None:
        if source.inside:
            place = Path(source.folder)
            require_inside(place / source.duckdb, place, said=str(source.duckdb))
        return read_duckdb(Path(source.folder) / source.duckdb, str(source.table))
    if source.database_env is not None:
        return read_postgres(source.database_env, table=source.table, query=source.query)
    if source.frame is not None:
        return with_origin(source.frame.lazy().collect(), "frame")
    return with_origin(read_loader(str(source.loader)), str(source.loader))


def _renamed(frame: pl.DataFrame, source: Source) -> pl.DataFrame:
    theirs = columns_of(frame)
    missing = {our: name for our, name in source.columns.items() if name not in theirs}
    if missing:
        raise InputError(
            f"{len(missing)} mapped columns are not there",
            where=files_of(frame) or "table",
            faults=[f"{our} = {name!r}{nearest(name, theirs)}" for our, name in missing.items()],
            do="correct columns in the study, ours = theirs",
        )
    taken = {*source.columns.values(), *source.columns}
    kept = [name for name in frame.columns if name not in taken]
    return frame.select(*[pl.col(name).alias(our) for our, name in source.columns.items()], *kept)


def _in_our_words(frame: pl.DataFrame, source: Source) -> pl.DataFrame:
    missing = [name for name in source.levels if name not in columns_of(frame)]
    if missing:
        raise InputError(
            f"{len(missing)} columns with levels are not there",
            where=files_of(frame) or "table",
            faults=[f"{name!r}{nearest(name, columns_of(frame))}" for name in missing],
            do="correct levels in the study; they are named by our columns, each theirs = ours",
        )
    for name, words in source.levels.items():
        series = frame[name]
        if series.dtype.is_nested() or series.dtype in (pl.Binary, pl.Object):
            continue  # no words in it; its contract will say so
        if series.dtype == pl.Boolean:  # read as yes and no, but files write true and false
            written = {"yes": words.get("true", "yes"), "no": words.get("false", "no")}
            words = {**written, **words}
        frame = with_text(frame, name, text(series).replace(dict(words)))
    return frame
