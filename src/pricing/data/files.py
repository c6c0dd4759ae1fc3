"""Files of a table, one or many by a pattern, read to one frame with each row's origin."""

from __future__ import annotations

import io
import re
from difflib import get_close_matches
from pathlib import Path

import polars as pl

from pricing.data.claim_messages import read_messages
from pricing.data.delimited import read_delimited
from pricing.data.origin import with_origin
from pricing.errors import InputError
from pricing.inputs import require_file, require_inside

__all__ = ["files_named", "first_line", "near", "read_files"]

_FORMATS = (".parquet", ".csv", ".arrow", ".ipc", ".feather", ".jsonl")
_UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError)


def read_files(
    files: str | Path,
    *,
    folder: str | Path,
    encoding: str,
    separator: str,
    inside: bool = False,
) -> pl.DataFrame:
    """Read the files a name or pattern stands for, in the order of their names.

    Parameters
    ----------
    files : path or str
        One file or a pattern, relative to ``folder``.
    folder : path
        Where relative paths start.
    inside : bool
        Whether what lies outside ``folder``, links followed, is refused.
    encoding, separator : str
        Of CSV files; a ``.jsonl`` file has the encoding and gives message_line and body, line by line.

    Raises
    ------
    InputError
        Where no file is there, one cannot be read whole, or their columns do not agree.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> pl.DataFrame({"a": [1]}).write_parquet(folder / "a-1.parquet")
    >>> read_files("a-*.parquet", folder=folder, encoding="utf-8", separator=",").rows()
    [(1, 'a-1.parquet', 1)]
    """
    folder = Path(folder)
    wanted = Path(files).expanduser() if not inside else Path(files)
    if inside:
        fixed = re.split(r"[*?\[]", str(wanted), maxsplit=1)[0]  # before any sign of a pattern
        place = (folder / wanted) if fixed == str(wanted) else (folder / fixed).parent
        require_inside(place, folder, said=str(files))
        if fixed != str(wanted) and ".." in wanted.parts:
            require_inside(folder / ".." / "x", folder, said=str(files))
    paths = files_named(wanted, folder)
    for path in paths if inside else ():
        require_inside(path, folder, said=str(files))
    frames = {
        path: _read_file(path, folder, encoding=encoding, separator=separator) for path in paths
    }
    columns = list(dict.fromkeys(name for frame in frames.values() for name in frame.columns))
    lacking = {path: [c for c in columns if c not in f.columns] for path, f in frames.items()}
    faults = [f"{path.name} lacks {', '.join(names)}" for path, names in lacking.items() if names]
    if faults:
        raise InputError(
            f"{len(faults)} of {len(paths)} files lack columns the others have",
            where=str(files),
            faults=faults,
            do="add the columns to those files, or read them as another table",
        )
    try:
        return pl.concat([f.select(columns) for f in frames.values()], how="vertical_relaxed")
    except pl.exceptions.PolarsError as error:
        raise InputError(
            f"the files' columns are of different types: {first_line(error)}",
            where=str(files),
            do="write the files with the same column types",
        ) from error


def files_named(files: str | Path, folder: str | Path) -> list[Path]:
    """Find the files a name or pattern stands for, in the order of their names.

    Raises
    ------
    InputError
        Where there is none.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "b.csv").touch(), (folder / "a.csv").touch()
    (None, None)
    >>> [path.name for path in files_named("*.csv", folder)]
    ['a.csv', 'b.csv']
    """
    files, folder = Path(files).expanduser(), Path(folder)
    path = folder / files
    if path.is_dir():
        raise InputError("is a folder", where=str(path), do=f'name its files: "{files}/*.parquet"')
    if path.exists():
        return [path]
    if not any(sign in str(files) for sign in "*?["):
        raise InputError(
            f"there is no such file{near(path)}",
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


def _read_file(path: Path, folder: Path, *, encoding: str, separator: str) -> pl.DataFrame:
    kind = path.suffix.lower()
    name = str(path.relative_to(folder) if path.is_relative_to(folder) else path)
    if kind not in _FORMATS:
        raise InputError(
            f"files ending in {kind!r} are not read",
            where=str(path),
            do=f"give one of {', '.join(_FORMATS)}",
        )
    try:
        if require_file(path) == 0:
            raise InputError("the file is empty", where=str(path), do="deliver it again")
        if kind == ".csv":
            return read_delimited(path, name, encoding=encoding, separator=separator)
        if kind == ".jsonl":
            return _read_lines(path, name, encoding)
        frame = _read_arrow(path) if kind != ".parquet" else _read_parquet(path)
    except InputError:
        raise
    except _UNREADABLE as error:
        raise InputError(
            f"the file cannot be read: {first_line(error)}",
            where=str(path),
            do="deliver it again; it is damaged or not what its ending says",
        ) from error
    # Categories of two files need not agree; the contract gives the levels.
    frame = frame.with_columns(pl.col(pl.Enum, pl.Categorical).cast(pl.String))
    return with_origin(frame, name)


def _read_parquet(path: Path) -> pl.DataFrame:
    return pl.read_parquet(path, glob=False, hive_partitioning=False)


def _read_lines(path: Path, name: str, encoding: str) -> pl.DataFrame:
    """Messages, a line each, as they came: what they say is read where they are wanted."""
    lines = with_origin(read_messages(path, encoding=encoding), name)
    number = pl.col("message_line")
    return lines.with_columns(pl.format("{}:{}", pl.lit(path.name), number).alias("message_line"),
                              number.cast(pl.Int64).alias("_row"))  # fmt: skip


def _read_arrow(path: Path) -> pl.DataFrame:
    data = io.BytesIO(path.read_bytes())
    return pl.read_ipc(data) if data.getvalue()[:6] == b"ARROW1" else pl.read_ipc_stream(data)


def near(path: Path) -> str:
    """Name the files beside a path that are spelt like it, as the tail of a message.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> (folder / "claims.csv").touch()
    >>> near(folder / "claim.csv")
    '; near it: claims.csv'
    """
    found = get_close_matches(path.name, _names(path.parent), n=3)
    return f"; near it: {', '.join(found)}" if found else ""


def first_line(error: BaseException) -> str:
    r"""Give the first line of an error, or its kind where it says nothing.

    Examples
    --------
    >>> first_line(ValueError("broken\nat byte 7")), first_line(ValueError())
    ('broken', 'ValueError')
    """
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
