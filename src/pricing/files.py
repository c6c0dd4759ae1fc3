"""Writing so that a killed run leaves the last good output whole: write beside, then rename."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pricing.errors import InputError

__all__ = ["fingerprint", "replacing", "require_replaceable"]


@contextmanager
def replacing(target: str | Path) -> Iterator[Path]:
    """Give a path beside ``target`` to write a file or folder to, and rename it when done.

    If the block raises, what was written is removed and ``target`` is as it was.

    Parameters
    ----------
    target : path
        The file or folder that is to be there afterwards; its parents are made.

    Raises
    ------
    InputError
        Where the folder cannot be written, or a file would take the place of a folder.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with replacing(folder / "a.txt") as beside:
    ...     _ = beside.write_text("whole", encoding="utf-8")
    >>> (folder / "a.txt").read_text(encoding="utf-8")
    'whole'
    """
    target = Path(target)
    if not target.name:
        raise InputError(
            "is no name to write to", where=str(target), do="give a new folder or file, by name"
        )
    beside = target.with_name(f".{target.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(target.parent, os.W_OK):
            raise PermissionError(13, "the folder is not writable", str(target.parent))
        yield beside
        _swap(beside, target)
    except OSError as error:
        raise InputError(
            f"cannot write: {error.strerror or error}",
            where=str(target),
            do="give another output folder with --out, or free space and permissions; "
            "what was there before is untouched",
        ) from error
    finally:
        _remove(beside)


def require_replaceable(folder: str | Path, *, mark: str, what: str) -> None:
    """Refuse a folder that is not ours to replace, before any work is done for it.

    Parameters
    ----------
    folder : path
        What is about to be replaced; it may be absent or empty.
    mark : str
        File that only our own output holds, such as ``run.json``.
    what : str
        The output in words, such as ``"a report"``.

    Raises
    ------
    InputError
        Where ``folder`` is a file, or holds files but not the mark.

    Examples
    --------
    >>> import tempfile
    >>> require_replaceable(tempfile.mkdtemp(), mark="run.json", what="a report")
    """
    folder = Path(folder)
    foreign = folder.is_dir() and any(folder.iterdir()) and not (folder / mark).is_file()
    if foreign or folder.is_file():
        raise InputError(
            f"what is here is not {what} of this package",
            where=str(folder),
            do="give a new or an empty folder; nothing was touched",
        )


def fingerprint(*parts: bytes | str) -> str:
    """Hash what made a result (data, settings) to 16 hexadecimal digits (SHA-256).

    Examples
    --------
    >>> fingerprint("a", b"b") == fingerprint("a", "b") != fingerprint("ab")
    True
    """
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:16]


def _swap(beside: Path, target: Path) -> None:
    if not target.is_dir():
        beside.replace(target)
        return
    if not beside.is_dir():
        raise IsADirectoryError(21, "a folder is there; a file does not take its place")
    if _exchange(beside, target):
        return  # what was there is now beside, and is removed with it
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    target.replace(old)
    try:
        beside.replace(target)
    except OSError:
        old.replace(target)
        raise
    _remove(old)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two paths in one step, so that a kill finds one or the other; False where Linux lacks."""
    try:
        swap = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(swap(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        with suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()
