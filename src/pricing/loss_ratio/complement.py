"""Complement of credibility: the figure that fills in where the own experience is thin."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date
from typing import Literal

from pricing.errors import InputError
from pricing.estimate.limited import full_credibility

__all__ = ["Complement", "Credibility", "credibility_of", "trended_present_rates"]

Credibility = Literal["least_error", "limited_fluctuation"]


@dataclass(frozen=True)
class Complement:
    """A loss ratio at current level from elsewhere, with its name and its own error.

    Attributes
    ----------
    name : str
        What it is, as it will be filed: "industry 2024", "trended present rates".
    loss_ratio : float
        At current rates and the prices of the rating period, above zero.
    std_error : float
        How far it may miss this book's true loss ratio, above zero.

    Examples
    --------
    >>> Complement("industry 2024", 0.72, 0.05).loss_ratio
    0.72
    """

    name: str
    loss_ratio: float
    std_error: float

    def __post_init__(self) -> None:
        faults = [
            f"{name} = {value!r} is not above zero"
            for name, value in (("loss_ratio", self.loss_ratio), ("std_error", self.std_error))
            if isinstance(value, bool)
            or not (isinstance(value, int | float) and math.isfinite(value) and value > 0)
        ]
        faults += [] if str(self.name).strip() else ["it has no name"]
        if faults:
            raise InputError("a complement that cannot be used", faults=faults)


def trended_present_rates(
    permissible: float,
    *,
    trend: float,
    trend_error: float,
    since: date,
    to: date,
    indicated: float = 0.0,
    taken: float = 0.0,
    std_error: float = 0.0,
) -> Complement:
    """Take the present rates as right when they were set, but for what has changed since.

    Parameters
    ----------
    permissible : float
        Loss ratio the rates were set for.
    trend : float
        Loss-ratio trend a year (claims over premium at current level), as a fraction.
    trend_error : float
        Standard error of its log.
    since : date
        Day the present rates were made for: the middle of the period they were to hold.
    to : date
        Middle of the new rating period.
    indicated, taken : float
        Change indicated when the rates were set, and the change that was made; the rest is still owed.
    std_error : float
        Error of the rates when they were set, relative.

    Returns
    -------
    Complement
        permissible · (1 + trend)^years · (1 + indicated) / (1 + taken): Boor (1996), "The complement
        of credibility".

    Examples
    --------
    >>> found = trended_present_rates(0.70, trend=0.03, trend_error=0.01, since=date(2023, 7, 1),
    ...                               to=date(2025, 7, 1))
    >>> round(found.loss_ratio, 4), round(found.std_error, 4)
    (0.7427, 0.0149)
    """
    years = (to - since).days / 365.25
    if years < 0:
        raise InputError(f"the new rating period ({to}) is before the one of the rates ({since})")
    if not (trend > -1 and indicated > -1 and taken > -1 and trend_error >= 0 and std_error >= 0):
        raise InputError("changes must be above -1 and errors not below zero")
    ratio = permissible * (1 + trend) ** years * (1 + indicated) / (1 + taken)
    error = math.hypot(years * trend_error, std_error)
    return Complement("trended present rates", ratio, max(ratio * error, 1e-12))


def credibility_of(
    way: Credibility | float,
    complement: Complement,
    *,
    own_error: float,
    claims: float,
    spread: float,
) -> float:
    """Weigh the own loss ratio against the complement.

    Parameters
    ----------
    way : {"least_error", "limited_fluctuation"} or float
        Inverse to the squared errors of the two; by the number of claims against the standard for
        full credibility (90 %, 5 %); or a weight of your own between 0 and 1.
    complement : Complement
        With its error.
    own_error : float
        Standard error of the own loss ratio.
    claims : float
        Claims in the experience.
    spread : float
        E[X²] / E[X]² of a claim.

    Examples
    --------
    >>> credibility_of("least_error", Complement("industry", 0.7, 0.06), own_error=0.03, claims=100, spread=2)
    0.8
    """
    if way == "least_error":
        square = complement.std_error**2
        return square / (square + own_error**2)
    if way == "limited_fluctuation":
        return min(1.0, math.sqrt(claims / full_credibility(dispersion=spread)))
    if isinstance(way, bool) or not isinstance(way, int | float) or not 0 <= way <= 1:
        raise InputError(
            f"credibility = {way!r}",
            do='give "least_error", "limited_fluctuation" or a weight between 0 and 1',
        )
    return float(way)
