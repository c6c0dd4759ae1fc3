"""What a tariff says beside its factor tables: currency, date, rounding, limits, loadings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from pricing.tariff.factor import above_zero

__all__ = ["Limits", "Loading", "Terms", "is_date"]

Limits = tuple[float | None, float | None]


@dataclass(frozen=True)
class Loading:
    """A named step after the relativities.

    Attributes
    ----------
    name : str
        What it is for, such as ``"expenses"``.
    kind : {"times", "plus"}
        Multiply by the value, or add it (currency per policy-year).
    value : float
        Above zero where it multiplies.
    """

    name: str
    kind: Literal["times", "plus"]
    value: float


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a tariff says beside its base premium and factor tables.

    Attributes
    ----------
    currency : str
        Of the base premium and of every premium.
    valid_from : str
        ISO date; empty where not set.
    decimals : int, optional
        Places the premium is rounded to, half up; None leaves it as computed.
    relativity_limits : (least, most)
        Bounds of the product of the relativities; None where there is none.
    premium_limits : (least, most)
        Bounds of the premium, currency per policy-year.
    loadings : tuple of Loading
        In the order they are applied.
    """

    currency: str = "CNY"
    valid_from: str = ""
    decimals: int | None = 2
    relativity_limits: Limits = (None, None)
    premium_limits: Limits = (None, None)
    loadings: tuple[Loading, ...] = ()

    def faults(self) -> list[str]:
        """Say what is wrong with them."""
        said = []
        if not (isinstance(self.currency, str) and self.currency.strip()):
            said.append(f"currency is {self.currency!r}, not a text")
        if self.valid_from != "" and not is_date(self.valid_from):
            said.append(f"valid_from is {self.valid_from!r}, not a date such as '2026-01-01'")
        whole = isinstance(self.decimals, int) and not isinstance(self.decimals, bool)
        if self.decimals is not None and not (whole and 0 <= self.decimals <= 6):
            said.append(f"decimals is {self.decimals!r}, not 0 to 6 or None")
        for name in ("relativity_limits", "premium_limits"):
            pair = getattr(self, name)
            if not (isinstance(pair, tuple | list) and len(pair) == 2):
                said.append(f"{name} is {pair!r}, not (least, most)")
                continue
            said += [f"{name}: {v!r} is not above zero" for v in pair if not _none_or_positive(v)]
            numbers = [v for v in pair if above_zero(v)]
            if len(numbers) == 2 and not numbers[0] < numbers[1]:
                said.append(f"{name}: least {numbers[0]} is not below most {numbers[1]}")
        names = [loading.name for loading in self.loadings]
        for loading in self.loadings:
            said += _faults_of_loading(loading, names)
        return said


def _faults_of_loading(loading: Loading, names: Sequence[str]) -> list[str]:
    said = []
    if not loading.name or names.count(loading.name) > 1:
        said.append(f"loading {loading.name!r} has no name or stands twice")
    if loading.kind not in ("times", "plus"):
        said.append(f"loading {loading.name!r} is {loading.kind!r}, not times or plus")
    number = isinstance(loading.value, int | float) and math.isfinite(loading.value)
    if not number or (loading.kind == "times" and not above_zero(loading.value)):
        said.append(f"loading {loading.name!r} has the value {loading.value!r}")
    return said


def _none_or_positive(value: Any) -> bool:
    return value is None or above_zero(value)


def is_date(text: Any) -> bool:
    """Whether a text is an ISO date.

    Examples
    --------
    >>> is_date("2026-02-28"), is_date("2026-02-30"), is_date("28.2.2026"), is_date(None)
    (True, False, False, False)
    """
    try:
        return isinstance(text, str) and date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
