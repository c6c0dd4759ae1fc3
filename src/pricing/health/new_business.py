"""New business that joins the book each year: how many, in which group, at what premium."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from pricing.errors import InputError, nearest
from pricing.estimate.design import Floats

__all__ = ["NewBusiness"]


@dataclass(frozen=True, kw_only=True)
class NewBusiness:
    """New members by year.

    Parameters
    ----------
    share : float
        New members of the first year, as a share of the book at the start, zero or more.
    growth : float
        Growth of their number a year, above −1.
    groups : mapping of str to float
        Group of entry by share, adding to 1; all in the standard group where left out.
    premium : float
        Their mean standard premium beside the mean of the book at the start (they are younger),
        above zero.
    claims : float
        Their claims per standard premium beside the book's, above zero.

    Examples
    --------
    >>> NewBusiness(share=0.1, growth=0.5).members(1000.0, 3).round(6).tolist()
    [100.0, 150.0, 225.0]
    """

    share: float = 0.0
    growth: float = 0.0
    groups: Mapping[str, float] = field(default_factory=dict)
    premium: float = 1.0
    claims: float = 1.0

    def __post_init__(self) -> None:
        faults = []
        for name, low, strict in (
            ("share", 0.0, False),
            ("growth", -1.0, True),
            ("premium", 0.0, True),
            ("claims", 0.0, True),
        ):
            x = getattr(self, name)
            number = not isinstance(x, bool) and isinstance(x, (int, float)) and np.isfinite(x)
            if not number or x < low or (strict and x == low):
                said = "above" if strict else "at least"
                faults.append(f"{name} must be a number {said} {low:g}, got {x!r}")
        shares = np.array([float(v) for v in self.groups.values()] or [1.0])
        if not (shares >= 0).all() or abs(shares.sum() - 1) > 1e-9:
            faults.append(f"shares of the groups of entry must add to 1, got {dict(self.groups)}")
        if faults:
            raise InputError("new business cannot be so", faults=faults)

    def members(self, start: float, years: int) -> Floats:
        """New members by year, given the members at the start."""
        return np.asarray(start * self.share * (1 + self.growth) ** np.arange(years))

    def entry(self, groups: tuple[str, ...]) -> Floats:
        """Share of new members by group."""
        for name in self.groups:
            if name not in groups:
                raise InputError(f"{name!r} is no group{nearest(str(name), groups)}")
        if not self.groups:
            return np.asarray(np.eye(len(groups))[0])
        return np.array([float(self.groups.get(g, 0.0)) for g in groups])
