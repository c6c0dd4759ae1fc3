"""Rate changes over the years of a projection, each through the regulator's gate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from pricing.errors import InputError
from pricing.estimate.design import Floats
from pricing.regulation.check import TOLERANCE
from pricing.regulation.rule import Rulebook, read_rules

__all__ = ["RatePlan"]


@dataclass(frozen=True, kw_only=True)
class RatePlan:
    """What rate change is wanted from year to year, and what the gate lets through.

    Parameters
    ----------
    changes : float or sequence of float
        Wanted at the start of the second, third, … year, as fractions; one number is each year's.
    target_loss_ratio : float, optional
        Where given, the change wanted is the one that brings the last year's loss ratio, with the
        trend, to it; an increase is never wanted below it.
    clause_cap : float
        Largest increase of one adjustment that the clause allows.
    industry_loss_ratio : float, optional
        Average of rate-adjustable long-term medical; where left out, a loss ratio below the gate's
        level bars every increase (the careful side).
    years_since_launch : float
        At the start of the first year.
    gate : bool
        False: products outside the rule (short-term), only the cap applies.

    Notes
    -----
    银保监办发〔2020〕27号 (2020): no increase in a year where the loss ratio of the year before is below
    85 % and at least 10 points below the industry's; first adjustment three years after launch. One adjustment a year keeps the rule's
    interval of a year.

    Examples
    --------
    >>> plan = RatePlan(changes=0.10, industry_loss_ratio=0.95, years_since_launch=5)
    >>> plan.allowed(np.array([0.80, 0.90]), year=2, trend=np.zeros(2)).tolist()
    [0.0, 0.1]
    """

    changes: float | Sequence[float] = 0.0
    target_loss_ratio: float | None = None
    clause_cap: float = 0.30
    industry_loss_ratio: float | None = None
    years_since_launch: float = 3.0
    gate: bool = True

    def __post_init__(self) -> None:
        faults = []
        wanted = self._wanted()
        if not np.isfinite(wanted).all() or (wanted <= -1).any():
            faults.append(f"changes must be finite and above -1, got {self.changes!r}")
        for name in ("target_loss_ratio", "industry_loss_ratio"):
            x = getattr(self, name)
            if x is not None and not (_number(x) and 0 < x < 10):
                faults.append(f"{name} must be a fraction above 0, got {x!r}")
        numbers = _number(self.clause_cap) and _number(self.years_since_launch)
        if not numbers or not 0 <= self.clause_cap < 10 or not self.years_since_launch >= 0:
            faults.append("clause_cap and years_since_launch must be zero or more")
        if faults:
            raise InputError("the plan of rate changes cannot be so", faults=faults)

    def allowed(
        self,
        loss_ratio: Floats,
        *,
        year: int,
        trend: Floats,
        on: date | None = None,
        rules: Rulebook | None = None,
    ) -> Floats:
        """Rate change at the start of a year, after cap and gate.

        Parameters
        ----------
        loss_ratio : array, (draws,)
            Of the year before.
        year : int
            2 for the first change.
        trend : array, (draws,)
            Growth of claims a year.
        on : date, optional
            For the version of the rule; today's rule of 2020 where left out.
        rules : Rulebook, optional
            The bundled rules where left out.
        """
        wanted = self._wanted()
        change = np.full(len(loss_ratio), wanted[min(year - 2, len(wanted) - 1)])
        if self.target_loss_ratio is not None:
            change = loss_ratio * (1 + trend) / self.target_loss_ratio - 1
            change = np.maximum(change, 0.0)
        change = np.minimum(change, self.clause_cap)
        if not self.gate:
            return np.asarray(change)
        numbers = (
            (rules or read_rules()).cited("rate_adjustment", on or date(2024, 1, 1))[0].numbers
        )
        if self.years_since_launch + year - 1 < numbers["first_years"] - TOLERANCE:
            return np.zeros(len(loss_ratio))
        barred = loss_ratio < numbers["loss_ratio"] - TOLERANCE
        if self.industry_loss_ratio is not None:
            line = self.industry_loss_ratio - numbers["industry_gap"]
            barred = barred & (loss_ratio <= line + TOLERANCE)
        return np.asarray(np.where(barred, np.minimum(change, 0.0), change))

    def _wanted(self) -> Floats:
        try:
            found = np.atleast_1d(np.asarray(self.changes, dtype=float))
        except (TypeError, ValueError) as error:
            raise InputError(f"changes must be numbers: {error}") from error
        if found.ndim != 1 or not len(found):
            raise InputError(f"changes must be one number or a list of them, got {self.changes!r}")
        return found


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
