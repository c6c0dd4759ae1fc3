"""Writing so that a killed run leaves the last good output whole: write beside, then rename."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import re
import shutil
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pricing.errors import InputError
from pricing.held import alone

__all__ = ["abandon", "fingerprint", "replacing", "require_replaceable", "restore"]

_OPEN: dict[Path, int] = {}  # what is being written beside its target, and by which thread
_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


@contextmanager
def replacing(target: str | Path, *, wait: bool = True) -> Iterator[Path]:
    """Give a path beside ``target`` to write a file or folder to, and rename it when done.

    If the block raises, what was written is removed and ``target`` is as it was. If it is killed,
    ``target`` is as it was too, and the next writer removes what lies beside it. What is written is
    flushed to the disk, files before folders, before it takes its name, so that a power cut finds the
    old or the new. Another writer of the same ``target`` waits.

    Parameters
    ----------
    target : path
        The file or folder that is to be there afterwards; its parents are made.
    wait : bool
        Wait where another run is writing it; or refuse at once.

    Raises
    ------
    InputError
        Where the folder cannot be written, a file would take the place of a folder, or the disk is
        full: then it is said which, and what was there stands.

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
    if _is_inner(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with _removed(beside):
            yield beside
            _swap(beside, target)
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(target.parent, os.W_OK):
            raise PermissionError(13, "the folder is not writable", str(target.parent))
        with alone(target, wait=wait) as held:
            restore(target, held=held)
            with _removed(beside):
                yield beside
                _settle(beside)
                _swap(beside, target)
                _sync(target.parent)
    except Exception as error:
        said = _refusal(error, target)
        if said is None:
            raise
        raise said from error


def restore(target: str | Path, *, held: bool | None = None) -> None:
    """Tidy up after a writer that was killed: put back what it had moved aside, remove its halves.

    Nothing is done while another run writes there, whose halves they are.

    Parameters
    ----------
    target : path
        The file or folder that is to be written or read.
    held : bool, optional
        Whether we hold it, as :func:`pricing.held.alone` says; tried where left out.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / ".a.txt.17.0a1b2c3d").write_text("half", encoding="utf-8")
    >>> restore(folder / "a.txt")
    >>> list(folder.iterdir())
    []
    """
    target = Path(target)
    if not target.name:  # the folder it runs in: none of our targets
        return
    if held is None:
        left = target.parent.is_dir() and (
            _left(target) or target.with_name(f".{target.name}.lock").exists()
        )
        if left and os.access(target.parent, os.W_OK):
            with suppress(InputError), alone(target, wait=False) as held:
                restore(target, held=held)
    elif held:
        found = _left(target)
        olds = [path for path in found if path.name.endswith(".old")]
        if olds and not os.path.lexists(target):
            max(olds, key=lambda path: path.stat().st_mtime_ns).replace(target)
        for path in found:
            with suppress(OSError):
                _remove(path)


def abandon() -> None:
    """Remove everything that is being written beside its target, at the last moment before an exit.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with replacing(folder / "a.txt") as beside:
    ...     _ = beside.write_text("half", encoding="utf-8")
    ...     abandon()
    ...     _ = [path for path in folder.iterdir() if path.suffix != ".lock"] or beside.write_text("x")
    """
    for path in list(_OPEN):
        with suppress(OSError):
            _remove(path)
        with suppress(OSError):
            _remove(path)  # a writer that was still at it may have added to the folder


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
    restore(folder)
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


@contextmanager
def _removed(beside: Path) -> Iterator[None]:
    """Remove what is left of a path at the end, and know of it until then."""
    _OPEN[beside] = threading.get_ident()
    try:
        yield
    finally:
        _remove(beside)
        del _OPEN[beside]


def _is_inner(target: Path) -> bool:
    """Whether this thread writes it into something that itself is not in its place yet."""
    me, parents = threading.get_ident(), target.parents
    return any(path in parents for path, thread in list(_OPEN.items()) if thread == me)


def _left(target: Path) -> list[Path]:
    """What earlier writers of a target left beside it."""
    ours = re.compile(rf"\.{re.escape(target.name)}\.\d+(\.[0-9a-f]{{8}}(\.old)?|\.old)")
    return [path for path in target.parent.iterdir() if ours.fullmatch(path.name)]


def _refusal(error: Exception, target: Path) -> InputError | None:
    """Say a fault of the disk as a refusal; None where it is another fault."""
    if isinstance(error, InputError):
        return None
    number = error.errno if isinstance(error, OSError) else None
    if number is None and (told := re.search(r"\(os error (\d+)\)", str(error))):
        number = int(told[1])  # polars says the system's error in words only
    if number in _FULL:
        what = "the disk's limit for a file or an account" if number != errno.ENOSPC else "space"
        return InputError(
            f"no {what} left on the disk {_disk(target)}: the output was not written",
            where=str(target),
            do="free space, or give another output folder with --out; the last good output stands",
        )
    if not isinstance(error, OSError):
        return None
    return InputError(
        f"cannot write: {error.strerror or error}",
        where=str(target),
        do="give another output folder with --out, or free space and permissions; "
        "what was there before is untouched",
    )


def _disk(target: Path) -> Path:
    """Where the disk of a file is mounted."""
    place = target.parent.resolve()
    return next((p for p in (place, *place.parents) if p.is_mount()), place)


def _settle(written: Path) -> None:
    """Flush a file, or a folder with all that is in it, to the disk: what is inside first."""
    if written.is_dir():
        for folder, _, names in os.walk(written, topdown=False):
            for name in names:
                _sync(Path(folder) / name)
            _sync(Path(folder))
    elif written.exists():
        _sync(written)


def _sync(path: Path) -> None:
    if sys.platform == "win32":
        return
    opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):  # a disk without fsync
            raise
    finally:
        os.close(opened)


def _swap(beside: Path, target: Path) -> None:
    if not target.is_dir():
        beside.replace(target)
        return
    if not beside.is_dir():
        raise IsADirectoryError(21, "a folder is there; a file does not take its place")
    if _exchange(beside, target):
        return  # what was there is now beside, and is removed with it
    old = target.with_name(f"{beside.name}.old")  # a kill from here on is mended by restore()
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
