"""The kinds of column an insurer's tables are made of: keys, texts, days and money."""

from __future__ import annotations

import datetime as dt
from typing import Any

import dataframely as dy

__all__ = ["OPEN_END", "about", "day", "key", "money", "text"]

_FIRST, _LAST = dt.date(1900, 1, 1), dt.date(2199, 12, 31)
OPEN_END = dt.date(9999, 12, 31)


def about(description: str, unit: str = "", *, optional: bool = False) -> dict[str, Any]:
    """Describe a column: its meaning, its unit, and whether the whole column may lack.

    Examples
    --------
    >>> about("Time exposed to risk", "policy-years")["metadata"]
    {'unit': 'policy-years', 'optional': False}
    """
    return {"description": description, "metadata": {"unit": unit, "optional": optional}}


def key(description: str, *, optional: bool = False) -> dy.String:
    """Make a column whose values name the row, each once.

    Examples
    --------
    >>> key("The visit's number").primary_key
    True
    """
    return dy.String(primary_key=True, **about(description, optional=optional))


def text(description: str, *, optional: bool = False) -> dy.String:
    """Make a column of text, never empty unless the whole column may lack.

    Examples
    --------
    >>> text("City").nullable
    False
    """
    return dy.String(nullable=optional, **about(description, optional=optional))


def day(description: str, *, last: dt.date = _LAST, optional: bool = False) -> dy.Date:
    """Make a column of calendar days, from 1900 on.

    Examples
    --------
    >>> day("Day of the visit").min
    datetime.date(1900, 1, 1)
    """
    said = about(description, "day", optional=optional)
    return dy.Date(min=_FIRST, max=last, nullable=optional, **said)


def money(description: str, *, optional: bool = False, above_zero: bool = False) -> dy.Float64:
    """Make a column of amounts, zero or more.

    Examples
    --------
    >>> money("Amount paid").min
    0.0
    """
    bound: dict[str, Any] = {"min_exclusive" if above_zero else "min": 0.0}
    said = about(description, "currency units", optional=optional)
    return dy.Float64(nullable=optional, **bound, **said)
