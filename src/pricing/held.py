"""One writer at a time: a lock beside the output, which the system lets go of however the writer ends."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pricing.errors import InputError

__all__ = ["alone"]

_MINE = threading.local()  # what this thread holds already


@contextmanager
def alone(target: str | Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold an output while it is written, so that two runs never write it at once.

    The lock is a file ``.NAME.lock`` beside the output, gone when the block ends. A killed writer
    leaves that file, but not the lock: the system lets go of it. A thread may hold what it holds.

    Parameters
    ----------
    target : path
        File or folder about to be written; its folder is there.
    wait : bool
        Wait for another writer to end; or refuse at once.

    Yields
    ------
    bool
        Whether it is held for certain; False on Windows and on file systems without locks.

    Raises
    ------
    InputError
        Where another writer holds it and we are not to wait.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with alone(folder / "report") as held:
    ...     print(held, [p.name for p in folder.iterdir()])
    True ['.report.lock']
    >>> list(folder.iterdir())
    []
    """
    target = Path(target)
    path = target.parent.resolve() / f".{target.name}.lock"
    mine: set[Path] = _MINE.__dict__.setdefault("paths", set())
    if path in mine or sys.platform == "win32":
        yield path in mine
        return
    held = _locked(path, wait)
    mine.add(path)
    try:
        yield held is not None
    finally:
        mine.discard(path)
        if held is not None:
            with suppress(OSError):
                path.unlink()
            os.close(held)


def _locked(path: Path, wait: bool) -> int | None:
    """Open and lock the file; None where the file system knows no locks."""
    if sys.platform == "win32":
        return None
    import fcntl

    while True:
        try:
            held = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        except OSError as error:
            if path.is_symlink():  # what it leads to would be emptied
                raise InputError(
                    "the lock beside the output is a link", where=str(path), do="remove it"
                ) from None
            raise error from None
        try:
            fcntl.flock(held, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            with suppress(FileNotFoundError):  # who held it before may have removed it meanwhile
                if os.path.samestat(os.fstat(held), path.stat()):
                    _sign(held)
                    return held
            os.close(held)
        except BlockingIOError:
            who = os.read(held, 20).decode("ascii", "replace").strip()
            os.close(held)
            raise InputError(
                "another run is writing here now" + (f" (process {who})" if who else ""),
                where=str(path.with_name(path.name[1:].removesuffix(".lock"))),
                do="wait until it has ended, or give another output with --out",
            ) from None
        except OSError:
            os.close(held)
            return None
        except BaseException:  # told to stop while waiting
            os.close(held)
            raise


def _sign(held: int) -> None:
    """Leave word of who writes, for the other's message."""
    with suppress(OSError):
        os.ftruncate(held, 0)
        os.pwrite(held, f"{os.getpid()}\n".encode(), 0)
