"""The last few answers by what was asked: figures and results of one change share one computation."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

__all__ = ["Lately"]

Found = TypeVar("Found")


class Lately(Generic[Found]):
    """Answers kept by what they were asked; who asks the same meanwhile waits for the one answer.

    Parameters
    ----------
    most : int
        How many are kept, the latest asked for; the oldest goes.

    Examples
    --------
    >>> asked = []
    >>> kept = Lately(most=2)
    >>> [kept.of(key, lambda: asked.append(key) or key.upper()) for key in ("a", "b", "a")]
    ['A', 'B', 'A']
    >>> asked
    ['a', 'b']
    """

    def __init__(self, most: int = 8) -> None:
        self._most = most
        self._found: OrderedDict[object, Found] = OrderedDict()
        self._under_way: dict[object, Lock] = {}
        self._lock = Lock()

    def of(self, key: object, make: Callable[[], Found]) -> Found:
        """Give the answer to a key, made where it is not at hand; what fails is not kept.

        Parameters
        ----------
        key : hashable
            All that the answer rests on.
        make : callable
            Makes the answer.
        """
        with self._lock:
            own = self._under_way.setdefault(key, Lock())
        with own:
            with self._lock:
                if key in self._found:
                    self._found.move_to_end(key)
                    return self._found[key]
            try:
                found = make()
                with self._lock:
                    self._found[key] = found
                    while len(self._found) > self._most:
                        self._found.popitem(last=False)
                return found
            finally:
                with self._lock:
                    self._under_way.pop(key, None)
