"""How many rows and columns a table has, from its files' heads: nothing of it is read into memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from pricing.data.files import files_named
from pricing.data.parquet_footer import unpacked_bytes

__all__ = ["Size", "size_of"]

_LOOK = 1 << 16  # bytes of a text file from which the length of its lines is taken
SHORT = 16  # bytes of a value that a row's estimate holds already
_IPC = (".arrow", ".ipc", ".feather")


@dataclass(frozen=True)
class Size:
    """Rows and columns of a table.

    Attributes
    ----------
    rows, columns : int
        Of text files the rows are an estimate, from the length of the first lines.
    unpacked : int
        Bytes of Parquet files unpacked, as they say themselves.
    """

    rows: int
    columns: int
    unpacked: int = field(default=0, repr=False, compare=False)

    @property
    def values(self) -> int:
        """Rows times columns."""
        return self.rows * self.columns

    @property
    def long_text(self) -> int:
        """Bytes beyond those of numbers and short words: a small file may hold very long texts."""
        return max(0, self.unpacked - SHORT * self.values)


def size_of(files: str | Path, folder: str | Path, *, separator: str = ",") -> Size:
    """Measure the files a name or pattern stands for.

    Parameters
    ----------
    files : str or path
        One file or a pattern, relative to ``folder``.
    folder : path
        Where relative paths start.
    separator : str
        Of CSV files.

    Raises
    ------
    InputError
        Where no file is there.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> pl.DataFrame({"a": [1, 2, 3], "b": [4, 5, 6]}).write_parquet(folder / "a-1.parquet")
    >>> size_of("a-*.parquet", folder)
    Size(rows=3, columns=2)
    """
    sizes = [_size(path, separator) for path in files_named(files, folder)]
    rows, columns = sum(s.rows for s in sizes), max(s.columns for s in sizes)
    return Size(rows, columns, sum(s.unpacked for s in sizes))


def _size(path: Path, separator: str) -> Size:
    kind = path.suffix.lower()
    if kind == ".parquet" or kind in _IPC:
        try:
            scan = pl.scan_parquet(path, glob=False) if kind == ".parquet" else pl.scan_ipc(path)
            rows = scan.select(pl.len()).collect().item()
            size = unpacked_bytes(path) if kind == ".parquet" else 0
            return Size(int(rows), len(scan.collect_schema()), size)
        except (OSError, pl.exceptions.PolarsError):
            return Size(0, 1)  # the reader says what is wrong with it
    with path.open("rb") as opened:
        head = opened.read(_LOOK)
    whole, lines = path.stat().st_size, max(1, head.count(b"\n"))
    length = len(head) / lines
    columns = head.split(b"\n", 1)[0].count(separator.encode()) + 1 if kind == ".csv" else 2
    return Size(round(whole / max(1.0, length)), columns)
