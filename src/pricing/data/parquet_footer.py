"""How large a Parquet file is unpacked, as its footer says: nothing of its data is read.

The footer is Thrift's compact protocol (Apache Parquet format 2.10, 2023): of its file metadata, field 4 is
the list of row groups, and field 2 of each the bytes of its columns unpacked.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

__all__ = ["unpacked_bytes"]

MAGIC = b"PAR1"
LARGEST = 64_000_000  # bytes of a footer
DEEPEST = 30
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12
ROW_GROUPS, TOTAL = 4, 2  # fields


def unpacked_bytes(path: str | Path) -> int:
    """Add up the bytes of all row groups, unpacked; 0 where the footer cannot be read.

    Values that a dictionary repeats are counted once, as they lie in the file.

    Examples
    --------
    >>> import tempfile
    >>> import polars as pl
    >>> file = Path(tempfile.mkdtemp()) / "a.parquet"
    >>> pl.DataFrame({"name": ["x" * 1_000_000 + c for c in "ab"]}).write_parquet(file)
    >>> file.stat().st_size < 10_000, unpacked_bytes(file) > 2_000_000
    (True, True)
    """
    try:
        with Path(path).open("rb") as opened:
            size = opened.seek(0, 2)
            opened.seek(max(0, size - 8))
            tail = opened.read(8)
            length = int.from_bytes(tail[:4], "little")
            if tail[4:] != MAGIC or length > min(LARGEST, size - 8):
                return 0
            opened.seek(size - 8 - length)
            return _Footer(opened.read(length)).total()
    except (OSError, IndexError, ValueError, RecursionError):
        return 0  # the reader says what is wrong with it


class _Footer:
    """The bytes of a footer, read from front to back."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def total(self) -> int:
        """The sum of field 2 of every element of field 4."""
        found = 0
        for field, kind in self._fields():
            if (field, kind) == (ROW_GROUPS, _LIST):
                count, inner = self._list()
                if inner != _STRUCT:
                    raise ValueError("row groups are structures")
                for _ in range(count):
                    for own, of in self._fields():
                        if own == TOTAL and of not in (_BINARY, _LIST, _STRUCT):
                            found += max(0, self._signed())
                        else:
                            self._skip(of, 0)
            else:
                self._skip(kind, 0)
        return found

    def _fields(self) -> Iterator[tuple[int, int]]:
        field = 0
        while (head := self._byte()) & 15:
            field = field + (head >> 4) if head >> 4 else self._signed()
            yield field, head & 15

    def _byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def _number(self) -> int:
        found = shift = 0
        while (byte := self._byte()) & 128:
            found |= (byte & 127) << shift
            shift += 7
            if shift > 63:
                raise ValueError("a number beyond 64 bits")
        return found | byte << shift

    def _signed(self) -> int:
        found = self._number()
        return (found >> 1) ^ -(found & 1)

    def _list(self) -> tuple[int, int]:
        head = self._byte()
        count = head >> 4 if head >> 4 < 15 else self._number()
        if count > len(self.data) - self.at:
            raise ValueError("more elements than bytes")
        return count, head & 15

    def _skip(self, kind: int, depth: int, *, element: bool = False) -> None:
        if depth > DEEPEST:
            raise ValueError("nested too deep")
        if kind in (_TRUE, _FALSE):
            self.at += element
        elif kind == _BYTE:
            self.at += 1
        elif kind == _DOUBLE:
            self.at += 8
        elif kind == _BINARY:
            length = self._number()
            self.at += length
        elif kind in (_LIST, _SET):
            count, inner = self._list()
            for _ in range(count):
                self._skip(inner, depth + 1, element=True)
        elif kind == _MAP:
            count = self._number()
            kinds = self._byte() if count else 0
            if count > len(self.data) - self.at:
                raise ValueError("more elements than bytes")
            for _ in range(count):
                self._skip(kinds >> 4, depth + 1, element=True)
                self._skip(kinds & 15, depth + 1, element=True)
        elif kind == _STRUCT:
            for _, of in self._fields():
                self._skip(of, depth + 1)
        else:
            self._number()
