"""Told to stop, by Ctrl-C or by the system: halves removed, one clear message, the trade's exit code."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from pricing.files import abandon

__all__ = ["Stopped", "stoppable"]

PATIENCE = 5.0  # seconds that a calculation outside Python may take to come back
_WATCHED = {"SIGINT": "Ctrl-C", "SIGTERM": "a request to end", "SIGHUP": "a closed terminal"}


class Stopped(BaseException):
    """A signal asked the run to end.

    Examples
    --------
    >>> Stopped(signal.SIGTERM).code
    143
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.code = 128 + number
        name = signal.Signals(number).name
        self.message = (
            f"pricing: stopped by {_WATCHED.get(name, name)} ({name}); "
            "the last good output stands, nothing half-written is left"
        )


@contextmanager
def stoppable() -> Iterator[None]:
    """Raise :class:`Stopped` where the process is asked to end, so that what is half-written is removed.

    A calculation outside Python cannot be stopped between two of its steps. Where it does not come
    back within five seconds, the halves are removed all the same and the process ends.

    Examples
    --------
    >>> try:
    ...     with stoppable():
    ...         signal.raise_signal(signal.SIGTERM)
    ... except Stopped as stopped:
    ...     print(stopped.code, stopped.message)
    143 pricing: stopped by a request to end (SIGTERM); the last good output stands, nothing half-written is left
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    hears, says = os.pipe()
    os.set_blocking(says, False)
    numbers = [getattr(signal, name) for name in _WATCHED if hasattr(signal, name)]
    numbers = [n for n in numbers if signal.getsignal(n) is not signal.SIG_IGN]  # as nohup asks
    before = {number: signal.signal(number, _raise) for number in numbers}
    woken = signal.set_wakeup_fd(says, warn_on_full_buffer=False)
    ended = threading.Event()
    watch = threading.Thread(target=_watch, args=(hears, numbers, ended), daemon=True)
    watch.start()
    try:
        yield
    finally:
        ended.set()
        signal.set_wakeup_fd(woken)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.write(says, b"\0")
        watch.join()
        os.close(says)
        os.close(hears)


def _raise(number: int, _: FrameType | None) -> None:
    for other in (getattr(signal, name) for name in _WATCHED if hasattr(signal, name)):
        signal.signal(other, signal.SIG_IGN)  # a second one does not disturb the tidying
    raise Stopped(number)


def _watch(hears: int, numbers: list[int], ended: threading.Event) -> None:
    """Wait for a signal, then for the run to end; end it where it does not."""
    while (number := os.read(hears, 1)[0]) not in numbers:
        if ended.is_set():
            return
    if not ended.wait(PATIENCE):
        abandon()
        with suppress(OSError):
            print(f"\n{Stopped(number).message}", file=sys.stderr, flush=True)
        os._exit(128 + number)
