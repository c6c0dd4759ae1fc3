"""The one way this package says no: what was wrong, where, how many, what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["InputError", "nearest", "plain"]

_STEERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class InputError(ValueError):
    """Input that cannot be priced, said so that its owner can mend it.

    Every refusal of this package is an ``InputError``; the command line prints it and
    leaves with exit code 2. Anything else that escapes is a fault of ours.

    Parameters
    ----------
    problem : str
        What is wrong, with the figures that show it.
    where : str, optional
        File, table, column or key it was found in.
    do : str, optional
        What the reader can do about it.
    faults : iterable of str, optional
        The single faults, where there are several; all are printed.

    Examples
    --------
    >>> print(InputError("3 exposures are not above zero", where="book.csv, exposure",
    ...                  do="remove the rows or correct the dates"))
    book.csv, exposure: 3 exposures are not above zero
      do: remove the rows or correct the dates
    """

    def __init__(
        self, problem: str, *, where: str = "", do: str = "", faults: Iterable[str] = ()
    ) -> None:
        self.problem, self.where, self.do = problem, where, do
        self.faults = tuple(faults)
        lines = [f"{where}: {problem}" if where else problem]
        lines += [f"  - {fault}" for fault in self.faults]
        if do:
            lines.append(f"  do: {do}")
        super().__init__(plain("\n".join(lines)))


def plain(text: str) -> str:
    r"""Write the characters that steer a terminal, or turn text around, as their codes.

    A message shows what a file says, and the file may be hostile. Line ends and tabs stay.

    Examples
    --------
    >>> plain("red: \x1b[31m")
    'red: \\x1b[31m'
    """
    return _STEERS.sub(lambda found: ascii(found[0])[1:-1], text)


def nearest(name: str, choices: Iterable[str]) -> str:
    """Name the choice nearest to a misspelt word, as the tail of a message.

    Examples
    --------
    >>> nearest("expsure", ["exposure", "claims"])
    "; did you mean 'exposure'?"
    >>> nearest("zzz", ["exposure", "claims"])
    '; there are: claims, exposure'
    """
    names = sorted(set(choices))
    close = get_close_matches(name, names, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return "; there are: " + ", ".join(names) if names else ""
