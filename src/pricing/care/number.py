"""Numbers of a care scheme: what counts as one, how large amounts and years are said and drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeGuard

import numpy as np

from pricing.result.words import Language, label, say

__all__ = ["is_number", "money_label", "one_zero", "said_amount", "unit_of", "year_label"]

UNITS = {"zh": ((1e8, "yi"), (1e4, "wan")), "en": ((1e9, "billion"), (1e6, "million"))}


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a finite number, and no text, empty value or truth value.

    Examples
    --------
    >>> is_number(600.0), is_number("600"), is_number(float("nan"))
    (True, False, False)
    """
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        return False
    return math.isfinite(value)


def unit_of(most: float, lang: Language = "en") -> tuple[float, str]:
    """Give the unit that amounts up to ``most`` are read in, and its name; 1 and none for small ones.

    Examples
    --------
    >>> unit_of(14_116_953_078.0, "zh"), unit_of(14_116_953_078.0), unit_of(912.5)
    ((100000000.0, '亿'), (1000000000.0, 'billion'), (1.0, ''))
    """
    for size, name in UNITS[lang]:
        if abs(most) >= size:
            return size, say(f"sentence.unit_{name}", lang)
    return 1.0, ""


def said_amount(amount: float, lang: Language = "en") -> str:
    """Say an amount as it is read: 1.93 billion, 19.26 亿; small ones in full.

    Examples
    --------
    >>> said_amount(1_925_666_273.0), said_amount(1_925_666_273.0, "zh"), said_amount(691.5)
    ('1.93 billion', '19.26 亿', '692')
    """
    size, name = unit_of(amount, lang)
    return f"{amount / size:,.2f} {name}" if name else f"{amount:,.0f}"


def year_label(first_year: int, lang: Language = "en") -> str:
    """Name an axis of years: calendar years, or years of the projection where the first is 0.

    Examples
    --------
    >>> year_label(2026)
    'Year'
    """
    return label("year" if first_year else "projection_year_from_0", lang)


def money_label(name: str, unit: str, currency: str, lang: Language = "en") -> str:
    """Name an axis with the unit and the currency of its amounts, where there are any.

    Examples
    --------
    >>> money_label("fund_reserve", "billion", "CNY")
    'Reserve of the fund (billion CNY)'
    """
    said = " ".join(part for part in (unit, currency) if part)
    return f"{label(name, lang)} ({said})" if said else label(name, lang)


def one_zero(first: Sequence[float], second: Sequence[float]) -> tuple[list[float], list[float]]:
    """Give ranges of two axes on which 0 stands at one height.

    Examples
    --------
    >>> one_zero([1.0, 4.0], [10.0, -20.0])
    ([-4.2, 4.2], [-21.0, 21.0])
    """
    tops = [max(*values, 0.0) for values in (first, second)]
    lows = [-min(*values, 0.0) for values in (first, second)]
    reach = [max(t, b) or 1.0 for t, b in zip(tops, lows, strict=True)]
    up = 1.05 * max(t / r for t, r in zip(tops, reach, strict=True))
    down = 1.05 * max(b / r for b, r in zip(lows, reach, strict=True))
    one, two = ([-down * r, up * r] for r in reach)
    return one, two
