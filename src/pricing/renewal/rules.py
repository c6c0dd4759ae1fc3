"""The rules of a renewal: discount by health group, change of the filed rates, limits, rounding."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from pricing.errors import InputError, nearest
from pricing.regulation.rate_adjustment import RateAdjustmentCheck

__all__ = ["ALL", "RenewalRules"]

ALL = "all"  # the ledger's total


@dataclass(frozen=True, kw_only=True)
class RenewalRules:
    """What is charged at a renewal, given the standard premium at present rates and the group.

    Parameters
    ----------
    discounts : mapping of str to float
        Discount by health group, a fraction of the standard premium in [0, ``cap``]; the first group
        is the standard one and has none.
    cap : float
        Largest discount a policy may end up with, a fraction in (0, 1); 0.20 in the programmes priced
        here. It stands above the limits on the change from last year.
    adjustment : float or mapping of str to float
        Change of the filed rates, a fraction above −1; by filed class where a mapping.
    adjusted_by : str, optional
        Column of the filed class, where ``adjustment`` is a mapping.
    gate : RateAdjustmentCheck, optional
        The regulator's check of this adjustment: one that failed is refused. Without it a rise is not
        taken for checked, and the ledger says so.
    most_rise, most_fall : float, optional
        Limits of the change from the premium of the year before, fractions of it.
    decimals : int
        Places the premium is rounded to, half up: 2 for fen, 0 for whole yuan.

    Raises
    ------
    InputError
        With every fault: discounts out of range, a standard group that is discounted, an adjustment
        the gate refused, limits below zero, decimals other than 0, 1 or 2.

    Examples
    --------
    >>> rules = RenewalRules(discounts={"G0": 0.0, "G1": 0.05, "G2": 0.10})
    >>> rules.standard_group, rules.needs
    ('G0', ('policy_id', 'health_group', 'standard_premium'))
    >>> RenewalRules(discounts={"G0": 0.0, "G1": 0.25})
    Traceback (most recent call last):
        ...
    pricing.errors.InputError: rules that no renewal can be priced by
      - discounts: G1 = 0.25 lies outside 0 to 0.2
    """

    discounts: Mapping[str, float]
    cap: float = 0.20
    adjustment: float | Mapping[str, float] = 0.0
    adjusted_by: str | None = None
    gate: RateAdjustmentCheck | None = field(default=None, compare=False)
    most_rise: float | None = None
    most_fall: float | None = None
    decimals: int = 2

    def __post_init__(self) -> None:
        faults = self._of_names()
        if faults:
            raise InputError("rules that no renewal can be priced by", faults=faults)
        faults = [*self._of_discounts(), *self._of_adjustment()]
        for name in ("most_rise", "most_fall"):
            limit = getattr(self, name)
            if limit is not None and not (_number(limit) and limit >= 0):
                faults.append(f"{name}: {limit!r} is no fraction of zero or more")
        if isinstance(self.decimals, bool) or self.decimals not in (0, 1, 2):
            faults.append(f"decimals: {self.decimals!r} is not 0, 1 or 2")
        if faults:
            raise InputError("rules that no renewal can be priced by", faults=faults)

    @property
    def standard_group(self) -> str:
        """The group without a discount: where members without consent stand."""
        return next(iter(self.discounts))

    @property
    def changes(self) -> dict[str, float]:
        """Change of the filed rates by class; of ``""`` where there are no classes."""
        given = self.adjustment
        return dict(given) if isinstance(given, Mapping) else {"": float(given)}

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns the renewals due must have."""
        filed = (self.adjusted_by,) if self.adjusted_by else ()
        limits = (self.most_rise, self.most_fall)
        before = ("premium_before",) if any(v is not None for v in limits) else ()
        return ("policy_id", "health_group", "standard_premium", *filed, *before)

    @property
    def checked(self) -> bool:
        """Whether every rise of the filed rates passed the regulator's gate."""
        return self.gate is not None or max(self.changes.values()) <= 0

    def _of_names(self) -> list[str]:
        given, column = cast("object", self.discounts), cast("object", self.adjusted_by)
        if not isinstance(given, Mapping):
            return [f"discounts: {given!r} is no mapping of group to discount"]
        faults = [
            f"discounts: {name!r} is no text; name the groups as in health_group"
            for name in given
            if not isinstance(name, str)
        ]
        if ALL in given:
            faults.append(f"discounts: {ALL!r} is the ledger's own total; rename the group")
        if column is not None and not isinstance(column, str):
            faults.append(f"adjusted_by: {column!r} is no column's name")
        return faults

    def _of_discounts(self) -> list[str]:
        if not (_number(self.cap) and 0 < self.cap < 1):
            return [f"cap: {self.cap!r} does not lie between 0 and 1"]
        if not self.discounts:
            return ["discounts: there is no group"]
        faults = [
            f"discounts: {name} = {value!r} lies outside 0 to {self.cap:.6g}"
            for name, value in self.discounts.items()
            if not (_number(value) and 0 <= value <= self.cap + 1e-12)
        ]
        if self.discounts[self.standard_group] != 0:
            faults.append(
                f"discounts: {self.standard_group} comes first, so it is the standard group: it has none"
            )
        return faults

    def _of_adjustment(self) -> list[str]:
        if isinstance(self.adjustment, Mapping) != (self.adjusted_by is not None):
            return ["adjustment: a change by filed class and adjusted_by go together"]
        changes = (
            dict(self.adjustment) if isinstance(self.adjustment, Mapping) else {"": self.adjustment}
        )
        if not changes:
            return ["adjustment: there is no filed class"]
        faults = [
            f"adjustment: {name or 'all'}: {value!r} is no fraction above −1"
            for name, value in changes.items()
            if not (_number(value) and value > -1)
        ]
        if self.gate is None or faults:
            return faults
        if self.gate.verdict == "fail":
            said = self.gate.table.filter(verdict="fail")["condition"].to_list()
            faults.append(f"adjustment: the regulator's gate refuses it ({', '.join(said)})")
        tested = self.gate.table.filter(condition="clause_cap")["value"].item()
        if tested is not None and max(changes.values()) > tested + 1e-9:
            faults.append(
                f"adjustment: the gate was asked about {tested:+.4%}, not {max(changes.values()):+.4%}"
            )
        return faults

    def unknown(self, group: str) -> str:
        """Say that a group has no discount, with the nearest that has."""
        return f"{group!r} has no discount{nearest(group, self.discounts)}"


def _number(value: Any) -> bool:
    whole = isinstance(value, int | float) and not isinstance(value, bool)
    return whole and math.isfinite(value)
