"""CSV files read whole or refused: encoding, width of every row, quotation marks, header."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pricing.data.origin import with_origin
from pricing.errors import InputError

__all__ = ["read_delimited"]

_BLOCK = 1 << 24  # bytes


def read_delimited(path: Path, name: str, *, encoding: str, separator: str) -> pl.DataFrame:
    r"""Read a CSV file as text, each row with its origin; blank lines are left out but counted.

    Parameters
    ----------
    path : path
        The file.
    name : str
        Its name for ``_file``.
    encoding : str
        A UTF-8 byte order mark is believed before it.
    separator : str
        One character.

    Raises
    ------
    InputError
        Where the file is empty, a row does not have the header's fields, a column is named
        twice, a quotation mark is left open, or a byte does not fit the encoding.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "a.csv")
    >>> _ = path.write_text("id,sex\n007,F\n", encoding="utf-8")
    >>> read_delimited(path, path.name, encoding="utf-8", separator=",").rows()
    [('007', 'F', 'a.csv', 1)]
    """
    data = _utf8(path, encoding)
    widths = _widths(data, separator)
    data_rows, header = widths[1:], int(widths[0]) if len(widths) else 0
    if not header:
        raise InputError("the file is empty", where=str(path), do="deliver it again")
    wrong = np.flatnonzero((data_rows != header) & (data_rows != 0)) + 1
    if len(wrong):
        raise InputError(
            f"{len(wrong)} rows do not have the header's {header} fields",
            where=str(path),
            faults=[f"row {row} has {data_rows[row - 1]}" for row in wrong[:5]],
            do=f"correct the rows, quote fields that hold {separator!r}, or set separator",
        )
    options: dict[str, Any] = {"infer_schema": False, "separator": separator}
    names = pl.read_csv(data, has_header=False, n_rows=1, **options).row(0)
    twice = sorted({text for text in names if text is not None and names.count(text) > 1})
    if twice:
        raise InputError(f"columns are named twice: {', '.join(twice)}", where=str(path))
    if len(data_rows) == 0:
        schema = dict.fromkeys([text or "" for text in names], pl.String)
        return with_origin(pl.DataFrame(schema=schema), name)
    frame = pl.read_csv(data, **options)
    if frame.height != len(data_rows):
        raise InputError(
            f"{len(data_rows)} lines were read as {frame.height} rows",
            where=str(path),
            do="correct the quotation marks",
        )
    return with_origin(frame, name).filter(pl.Series(data_rows != 0))


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
