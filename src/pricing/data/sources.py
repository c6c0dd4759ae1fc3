"""Reading an insurer's tables from files, a DuckDB database, a frame or a bundled loader."""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pricing.errors import InputError, nearest

__all__ = ["ORIGIN", "Source", "read_table"]

ORIGIN = ("_file", "_row", "_rules")
_FORMATS = (".parquet", ".csv", ".arrow", ".ipc", ".feather")
_BLOCK = 1 << 24  # bytes
_UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError)


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """Where one table of a study comes from: exactly one of files, duckdb, frame, loader.

    Parameters
    ----------
    files : path or str, optional
        One file, or a pattern such as ``claims-*.csv``; relative to ``folder``. The ending
        decides the format: parquet, csv, arrow, ipc or feather.
    duckdb : path or str, optional
        A DuckDB database file, relative to ``folder``; ``table`` names the table or view.
    frame : polars.DataFrame or polars.LazyFrame, optional
        A table at hand.
    loader : str, optional
        A bundled data set: ``randhie``.
    table : str, optional
        Table of the database, ``name`` or ``schema.name``.
    folder : path
        Folder that relative paths start from, as a rule that of the study file.
    encoding : str
        Of CSV files: ``utf-8`` or, from older Chinese systems, ``gb18030``. A UTF-8 byte order
        mark is believed before it.
    separator : str
        Of CSV files: one character.
    columns : mapping of str to str
        Our column name to theirs, where they differ.

    Raises
    ------
    InputError
        Where not exactly one of the four is given, or the options do not fit it.

    Examples
    --------
    >>> Source(files="policies.csv", columns={"policy_id": "保单号"}).files
    'policies.csv'
    """

    files: str | Path | None = None
    duckdb: str | Path | None = None
    frame: pl.DataFrame | pl.LazyFrame | None = None
    loader: str | None = None
    table: str | None = None
    folder: str | Path = "."
    encoding: str = "utf-8"
    separator: str = ","
    columns: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        ways = ("files", "duckdb", "frame", "loader")
        given = [way for way in ways if getattr(self, way) is not None]
        if len(given) != 1:
            raise InputError(
                f"{len(given)} of {', '.join(ways)} are given{': ' * bool(given)}"
                f"{', '.join(given)}",
                where="source of a table",
                do="give exactly one",
            )
        if (self.table is None) is (self.duckdb is not None):
            raise InputError(
                "duckdb and table go together",
                where="source of a table",
                do="name the database file as duckdb and the table in it as table",
            )
        if len(self.separator.encode()) != 1 or self.separator in '"\r\n':
            raise InputError(
                f"separator {self.separator!r} is not one plain character",
                where="source of a table",
            )
        try:
            codecs.lookup(self.encoding)
        except LookupError:
            raise InputError(
                f"there is no encoding {self.encoding!r}",
                where="source of a table",
                do='use "utf-8" or "gb18030"',
            ) from None


def read_table(source: Source) -> pl.DataFrame:
    """Read one table as it stands, each row with the file and row it came from.

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
    if source.files is not None:
        return _renamed(_read_files(source), source)
    if source.duckdb is not None:
        frame, name = _read_duckdb(source)
    elif source.frame is not None:
        frame, name = source.frame.lazy().collect(), "frame"
    else:
        frame, name = _read_loader(str(source.loader)), str(source.loader)
    return _renamed(_with_origin(frame, name), source)


def _with_origin(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    rows = pl.int_range(1, pl.len() + 1, dtype=pl.Int64)
    return frame.select(pl.exclude(ORIGIN)).with_columns(
        pl.lit(name).alias("_file"), rows.alias("_row")
    )


def _renamed(frame: pl.DataFrame, source: Source) -> pl.DataFrame:
    theirs = [name for name in frame.columns if name not in ORIGIN]
    missing = {our: name for our, name in source.columns.items() if name not in theirs}
    if missing:
        raise InputError(
            f"{len(missing)} mapped columns are not there",
            where=", ".join(frame["_file"].unique().sort().head(3)) or "table",
            faults=[f"{our} = {name!r}{nearest(name, theirs)}" for our, name in missing.items()],
            do="correct columns in the study, ours = theirs",
        )
    taken = {*source.columns.values(), *source.columns}
    kept = [name for name in frame.columns if name not in taken]
    return frame.select(*[pl.col(name).alias(our) for our, name in source.columns.items()], *kept)


def _read_files(source: Source) -> pl.DataFrame:
    paths = _paths(source)
    frames = {path: _read_file(path, source) for path in paths}
    columns = list(dict.fromkeys(name for frame in frames.values() for name in frame.columns))
    lacking = {path: [c for c in columns if c not in f.columns] for path, f in frames.items()}
    faults = [f"{path.name} lacks {', '.join(names)}" for path, names in lacking.items() if names]
    if faults:
        raise InputError(
            f"{len(faults)} of {len(paths)} files lack columns the others have",
            where=str(source.files),
            faults=faults,
            do="add the columns to those files, or read them as another table",
        )
    try:
        return pl.concat([f.select(columns) for f in frames.values()], how="vertical_relaxed")
    except pl.exceptions.PolarsError as error:
        raise InputError(
            f"the files' columns are of different types: {_first_line(error)}",
            where=str(source.files),
            do="write the files with the same column types",
        ) from error


def _paths(source: Source) -> list[Path]:
    files, folder = Path(str(source.files)).expanduser(), Path(source.folder)
    path = folder / files
    if path.is_dir():
        raise InputError("is a folder", where=str(path), do=f'name its files: "{files}/*.parquet"')
    if path.exists():
        return [path]
    if not any(sign in str(files) for sign in "*?["):
        near = get_close_matches(path.name, _names(path.parent), n=3)
        raise InputError(
            "there is no such file" + (f"; near it: {', '.join(near)}" if near else ""),
            where=str(path),
            do="correct the path; it starts from the study file's folder",
        )
    start = Path(files.anchor) if files.is_absolute() else folder
    pattern = str(files.relative_to(files.anchor)) if files.is_absolute() else str(files)
    # Names with a leading dot are half-written files, with ~$ locks of an open workbook.
    found = [p for p in start.glob(pattern) if p.is_file() and not p.name.startswith((".", "~$"))]
    if not found:
        there = ", ".join(_names(path.parent)[:5])
        raise InputError(
            "no file matches" + (f"; in that folder: {there}" if there else ""), where=str(path)
        )
    return sorted(found)


def _names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []


def _read_file(path: Path, source: Source) -> pl.DataFrame:
    kind = path.suffix.lower()
    name = str(path.relative_to(source.folder) if path.is_relative_to(source.folder) else path)
    if kind not in _FORMATS:
        raise InputError(
            f"files ending in {kind!r} are not read",
            where=str(path),
            do=f"give one of {', '.join(_FORMATS)}",
        )
    try:
        if path.stat().st_size == 0:
            raise InputError("the file is empty", where=str(path), do="deliver it again")
        if kind == ".csv":
            return _read_csv(path, name, source)
        frame = _read_arrow(path) if kind != ".parquet" else _read_parquet(path)
    except InputError:
        raise
    except _UNREADABLE as error:
        raise InputError(
            f"the file cannot be read: {_first_line(error)}",
            where=str(path),
            do="deliver it again; it is damaged or not what its ending says",
        ) from error
    # Categories of two files need not agree; the contract gives the levels.
    frame = frame.with_columns(pl.col(pl.Enum, pl.Categorical).cast(pl.String))
    return _with_origin(frame, name)


def _read_parquet(path: Path) -> pl.DataFrame:
    return pl.read_parquet(path, glob=False, hive_partitioning=False)


def _read_arrow(path: Path) -> pl.DataFrame:
    data = io.BytesIO(path.read_bytes())
    return pl.read_ipc(data) if data.getvalue()[:6] == b"ARROW1" else pl.read_ipc_stream(data)


def _read_csv(path: Path, name: str, source: Source) -> pl.DataFrame:
    data = _utf8(path, source.encoding)
    widths = _widths(data, source.separator)
    data_rows, header = widths[1:], int(widths[0]) if len(widths) else 0
    if not header:
        raise InputError("the file is empty", where=str(path), do="deliver it again")
    wrong = np.flatnonzero((data_rows != header) & (data_rows != 0)) + 1
    if len(wrong):
        raise InputError(
            f"{len(wrong)} rows do not have the header's {header} fields",
            where=str(path),
            faults=[f"row {row} has {data_rows[row - 1]}" for row in wrong[:5]],
            do=f"correct the rows, quote fields that hold {source.separator!r}, or set separator",
        )
    options: dict[str, Any] = {"infer_schema": False, "separator": source.separator}
    names = pl.read_csv(data, has_header=False, n_rows=1, **options).row(0)
    twice = sorted({text for text in names if text is not None and names.count(text) > 1})
    if twice:
        raise InputError(f"columns are named twice: {', '.join(twice)}", where=str(path))
    if len(data_rows) == 0:
        schema = dict.fromkeys([text or "" for text in names], pl.String)
        return _with_origin(pl.DataFrame(schema=schema), name)
    frame = pl.read_csv(data, **options)
    if frame.height != len(data_rows):
        raise InputError(
            f"{len(data_rows)} lines were read as {frame.height} rows",
            where=str(path),
            do="correct the quotation marks",
        )
    return _with_origin(frame, name).filter(pl.Series(data_rows != 0))


def _utf8(path: Path, encoding: str) -> bytes:
    """Give the file's text in UTF-8, without byte order mark and with line feeds."""
    data = path.read_bytes()
    marked = data.startswith(codecs.BOM_UTF8)
    try:
        if marked or codecs.lookup(encoding).name == "utf-8":
            data = data.removeprefix(codecs.BOM_UTF8)
            data.decode("utf-8")
        else:
            data = data.decode(encoding).removeprefix("\ufeff").encode()
    except UnicodeError as error:
        wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        other = "utf-16" if wide else "utf-8" if encoding.lower() == "gb18030" else "gb18030"
        at = getattr(error, "start", 0) + len(codecs.BOM_UTF8) * marked
        raise InputError(
            f"byte {at + 1} is not {'utf-8' if marked else encoding}",
            where=str(path),
            do=f'set encoding = "{other}" for this table, or deliver the file in UTF-8',
        ) from error
    return data if b"\n" in data else data.replace(b"\r", b"\n")


def _widths(data: bytes, separator: str) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Count the fields of each record, header first; a blank line has 0.

    The reader of CSV files fills short rows with empty fields without a word, so widths
    are counted apart: separators between line ends, both outside quotation marks.
    """
    raw = np.frombuffer(data.lstrip(b"\r\n"), np.uint8)
    quoted, inside, before = b'"' in data, False, 0
    ends, counts = [], []
    for at in range(0, len(raw), _BLOCK):  # by blocks, to keep the masks small
        part = raw[at : at + _BLOCK]
        breaks, marks = part == 0x0A, part == ord(separator)
        if quoted:
            within = np.logical_xor.accumulate(part == ord('"')) ^ inside
            inside = bool(within[-1])
            breaks, marks = breaks & ~within, marks & ~within
        end, mark = np.flatnonzero(breaks), np.flatnonzero(marks)
        ends.append(end + at)
        counts.append(np.searchsorted(mark, end) + before)
        before += len(mark)
    if len(raw) and (inside or raw[-1] != 0x0A):  # the last record has no line end
        ends.append(np.array([len(raw)]))
        counts.append(np.array([before]))
    if not ends:
        return np.zeros(0, np.int64)
    stops = np.concatenate(ends)
    widths = np.diff(np.concatenate(counts), prepend=0) + 1
    lengths = np.diff(stops, prepend=-1) - 1
    lengths -= (lengths > 0) & (raw[np.maximum(stops, 1) - 1] == 0x0D)
    return np.where(lengths == 0, 0, widths)


def _read_duckdb(source: Source) -> tuple[pl.DataFrame, str]:
    path = Path(source.folder) / str(source.duckdb)
    try:
        import duckdb
        import pyarrow  # type: ignore[import-untyped]  # noqa: F401
    except ImportError as error:
        raise InputError(
            "DuckDB is not installed", where=str(path), do='pip install "pricing[engines]"'
        ) from error
    if not path.is_file():
        near = get_close_matches(path.name, _names(path.parent), n=3)
        raise InputError(
            "there is no such database" + (f"; near it: {', '.join(near)}" if near else ""),
            where=str(path),
        )
    try:
        with duckdb.connect(str(path), read_only=True) as base:
            listed = base.sql("SELECT table_schema, table_name FROM information_schema.tables")
            found = {f"{s}.{t}": (s, t) for s, t in listed.fetchall()}
            found |= {t: (s, t) for s, t in found.values() if s == "main"}
            if source.table not in found:
                names = [name.removeprefix("main.") for name in found]
                raise InputError(
                    f"there is no table {source.table!r}; there are: "
                    + ", ".join(sorted(set(names))),
                    where=str(path),
                )
            schema, table = (part.replace('"', '""') for part in found[source.table])
            arrow = base.sql(f'SELECT * FROM "{schema}"."{table}"').to_arrow_table()
    except duckdb.Error as error:
        raise InputError(
            f"the database cannot be read: {_first_line(error)}",
            where=str(path),
            do="close other programs that write to it, or check that it is a DuckDB file",
        ) from error
    frame = pl.from_arrow(arrow)
    assert isinstance(frame, pl.DataFrame)
    return frame, f"{path.name}:{source.table}"


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _read_loader(name: str) -> pl.DataFrame:
    if name not in _LOADERS:
        raise InputError(f"there is no loader {name!r}{nearest(name, _LOADERS)}")
    return _LOADERS[name]()


def _randhie() -> pl.DataFrame:
    """Person-years of the RAND Health Insurance Experiment, 1974 to 1982 (20,190 rows).

    ``claims`` are outpatient visits. The published covariates stay as they are; four rating
    factors are read from them. ``physlm`` is 0 or 1 for 19,138 rows and a fraction between
    0.02 and 0.20 for 1,052 rows whose answer was imputed; ``limitation`` is "yes" from 0.5,
    so an imputed answer counts as none, which it most probably is. ``coinsurance`` is
    exp(``lncoins``) - 1, to the whole percent.

    Source: RAND Health Insurance Experiment, as used in Cameron and Trivedi (2005),
    "Microeconometrics: Methods and Applications"; public domain, bundled with statsmodels.
    """
    from statsmodels.datasets import randhie

    table = randhie.load_pandas().data
    raw = pl.DataFrame({name: table[name].to_numpy() for name in table.columns})
    covariates = [name for name in raw.columns if name != "mdvis"]

    def yes(flag: pl.Expr) -> pl.Expr:
        return pl.when(flag).then(pl.lit("yes")).otherwise(pl.lit("no"))

    group = pl.lit("excellent")
    for column, level in (("hlthg", "good"), ("hlthf", "fair"), ("hlthp", "poor")):
        group = pl.when(pl.col(column) == 1).then(pl.lit(level)).otherwise(group)
    percent = pl.col("lncoins").exp().sub(1).round().cast(pl.Int64)
    return raw.select(
        pl.int_range(1, pl.len() + 1, dtype=pl.Int64).cast(pl.String).alias("person_year_id"),
        pl.lit(1.0).alias("exposure"),
        pl.col("mdvis").cast(pl.Int64).alias("claims"),
        group.alias("health_group"),
        pl.format("{}%", percent).alias("coinsurance"),
        yes(pl.col("idp") == 1).alias("deductible"),
        yes(pl.col("physlm") >= 0.5).alias("limitation"),
        pl.col("disea").cast(pl.Float64).alias("chronic_diseases"),
        *[pl.col(name).cast(pl.Float64) for name in covariates],
    )


_LOADERS: dict[str, Callable[[], pl.DataFrame]] = {"randhie": _randhie}
