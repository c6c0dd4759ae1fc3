"""What a scheme of long-term care promises and how it is paid for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pricing.care.number import is_number
from pricing.errors import InputError

__all__ = ["SETTINGS", "Fund", "Scheme", "setting_mix"]

SETTINGS: Mapping[str, float] = {"home": 0.90, "community": 0.07, "institution": 0.03}


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """Who is paid, where they are cared for, and what a month costs.

    Attributes
    ----------
    prices : mapping of str to float
        CNY a month in payment, by setting, in the first year.
    settings : mapping of str to float
        Share of those in payment by setting; they add to 1.
    price_growth : float
        Of the prices, a year.
    waiting_months : int
        Months of disability before payment, anew for each stay.
    uptake : float
        Share of those entitled who are in payment; read where ``observed_share`` is not given.
    observed_share : float, optional
        Those in payment of a severe grade, as a share of the insured, at the start: uptake is set so
        that the projection starts there.
    grades : mapping of str to float
        Grades paid, as a number per one of those severe; ``severe`` is 1.
    grade_factors : mapping of str to float
        Amount of a grade over that of the severe; 1 where left out.
    admitted : mapping of str to int
        First year of the projection, from 0, that a grade is paid; 0 where left out.

    Raises
    ------
    InputError
        For shares that do not add to 1, settings without a price, amounts below zero, growth of -1 or
        less: all said at once.

    Examples
    --------
    >>> Scheme(prices={"home": 600.0}, settings={"home": 1.0}).monthly_cost(0)
    600.0
    """

    prices: Mapping[str, float]
    settings: Mapping[str, float] = field(default_factory=lambda: {"home": 1.0})
    price_growth: float = 0.0
    waiting_months: int = 0
    uptake: float = 1.0
    observed_share: float | None = None
    grades: Mapping[str, float] = field(default_factory=lambda: {"severe": 1.0})
    grade_factors: Mapping[str, float] = field(default_factory=dict)
    admitted: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        faults = [
            f"{what} of {name} must be finite and 0 or more, got {value!r}"
            for what, values in (
                ("the price", self.prices), ("the share", self.settings),
                ("the number", self.grades), ("the factor", self.grade_factors),
                ("the first year", self.admitted),
            )
            for name, value in values.items()
            if not (is_number(value) and value >= 0)
        ]  # fmt: skip
        faults += [f"{name} has no price" for name in self.settings if name not in self.prices]
        unused = [n for n in self.prices if n not in self.settings]
        faults += [f"{name} has a price and no share" for name in unused if self.settings]
        if not faults and abs(sum(self.settings.values()) - 1) > 1e-9:
            faults.append(f"the shares of settings add to {sum(self.settings.values()):g}, not 1")
        faults += [
            f"{name!r} has a {what} and is no grade that is paid"
            for what, values in (("factor", self.grade_factors), ("first year", self.admitted))
            for name in values
            if name not in self.grades
        ]
        if self.grades.get("severe") != 1 or self.admitted.get("severe", 0) != 0:
            faults.append(
                "the grade severe must be paid from the start and count 1, the others per one of it"
            )
        if not (is_number(self.price_growth) and self.price_growth > -1):
            faults.append(f"growth of prices must be above -1, got {self.price_growth!r}")
        waiting = self.waiting_months
        if not (is_number(waiting) and waiting == int(waiting) and 0 <= waiting <= 60):
            faults.append(
                f"the waiting months must be whole and 0 to 60, got {self.waiting_months!r}"
            )
        if not (is_number(self.uptake) and 0 <= self.uptake <= 1):
            faults.append(f"uptake is a share, 0 to 1, got {self.uptake!r}")
        share = self.observed_share
        if share is not None and not (is_number(share) and 0 < share < 1):
            faults.append(f"the share observed in payment must lie in 0 to 1, got {share!r}")
        if faults:
            raise InputError("a scheme that contradicts itself", faults=faults)

    def per_severe(self, year: int) -> dict[str, float]:
        """Number in payment by grade, per one severe, in a year."""
        return {g: n for g, n in self.grades.items() if year >= self.admitted.get(g, 0)}

    def by_setting(self, year: int) -> dict[str, float]:
        """Cost a month of one severe case, with the other grades it brings, by setting."""
        weight = sum(n * self.grade_factors.get(g, 1.0) for g, n in self.per_severe(year).items())
        grown = float((1 + self.price_growth) ** year)
        return {s: share * self.prices[s] * grown * weight for s, share in self.settings.items()}

    def monthly_cost(self, year: int) -> float:
        """Cost a month of one severe case, with the other grades it brings."""
        return sum(self.by_setting(year).values())


@dataclass(frozen=True, kw_only=True)
class Fund:
    """How the scheme is paid for.

    Attributes
    ----------
    contribution : float
        CNY per insured and year, in the first year.
    growth : float
        Of the contribution, a year (h).
    subsidy : float
        CNY a year from outside, level.
    reserve : float
        At the start.
    interest : float
        On the reserve, a year.

    Examples
    --------
    >>> Fund(contribution=90.0).growth
    0.0
    """

    contribution: float
    growth: float = 0.0
    subsidy: float = 0.0
    reserve: float = 0.0
    interest: float = 0.025

    def __post_init__(self) -> None:
        faults = [
            f"{name} must be finite and 0 or more, got {getattr(self, name)!r}"
            for name in ("contribution", "subsidy", "reserve")
            if not (is_number(getattr(self, name)) and getattr(self, name) >= 0)
        ]
        faults += [
            f"{name} must lie in -0.5 to 0.5, got {getattr(self, name)!r}: give 0.03 for 3 %"
            for name in ("growth", "interest")
            if not (is_number(getattr(self, name)) and abs(getattr(self, name)) <= 0.5)
        ]
        if faults:
            raise InputError("a fund that cannot be projected", faults=faults)


def setting_mix(prices: Mapping[str, float], mix: Mapping[str, float] = SETTINGS) -> float:
    """Mean cost a month over the settings, 90 % at home, 7 % in the community, 3 % in institutions.

    Examples
    --------
    >>> setting_mix({"home": 912.5, "community": 1368.75, "institution": 1825.0})
    971.8125
    """
    return Scheme(prices=prices, settings=mix).monthly_cost(0)
