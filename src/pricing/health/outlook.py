"""What a projection of the book rests on: discounts, relativities, moves, renewal, trend, expenses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from scipy.special import ndtri

from pricing.errors import InputError
from pricing.estimate.design import Floats
from pricing.health.effect import GroupEffect
from pricing.health.latent_health import LatentHealth
from pricing.health.moves import GroupMoves
from pricing.health.new_business import NewBusiness
from pricing.health.price_response import PriceResponse
from pricing.health.rate_plan import RatePlan

__all__ = ["Outlook", "relativities_of"]


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """Assumptions of a projection, each with what it leaves uncertain.

    Parameters
    ----------
    discounts : mapping of str to float
        Discount by group, from the standard group to the healthiest, fractions of the standard premium.
    relativities : mapping of str to float
        Claims per standard premium by group, beside the standard group.
    relativity_errors : mapping of str to float
        Standard errors of their logarithms; zero where not named.
    moves : GroupMoves or array
        Moves between groups from year to year: as observed, or probabilities by group before and after,
        (groups, groups), or by class of health as well, (classes, groups, groups).
    response : PriceResponse
        Who renews at what premium.
    latent : LatentHealth
        Health behind both claims and moves; ``LatentHealth(classes=1)`` for none.
    new_business : NewBusiness
        Who joins.
    rates : RatePlan
        Rate changes wanted and let through.
    trend, trend_error : float
        Growth of claims a year beyond age, and its standard error.
    level_error : float
        Standard error of the logarithm of the book's level of claims.
    claims_ageing, premium_ageing : float
        Growth of claims and of the filed premium with one more year of age.
    effect, effect_error : float
        Share by which being in a group with a discount lowers claims (causal; part of the relativities).
    effect_lasting : float
        Share of the effect that lasts from the second year on; 1 for all of it.
    exits : float
        Share that leaves each year for other reasons than price (death, cancellation).
    expense_share, expense_member : float
        Expenses as a share of the premium charged, and per member and year in currency, the latter
        growing with the trend.

    Examples
    --------
    >>> outlook = Outlook(discounts={"G0": 0.0, "G1": 0.1}, relativities={"G0": 1.0, "G1": 0.9},
    ...                   moves=np.eye(2), response=PriceResponse.elastic(retention=0.9, elasticity=-0.5))
    >>> outlook.groups
    ('G0', 'G1')
    """

    discounts: Mapping[str, float]
    relativities: Mapping[str, float]
    moves: GroupMoves | Floats
    response: PriceResponse
    relativity_errors: Mapping[str, float] = field(default_factory=dict)
    latent: LatentHealth = field(default_factory=LatentHealth)
    new_business: NewBusiness = field(default_factory=NewBusiness)
    rates: RatePlan = field(default_factory=RatePlan)
    trend: float = 0.0
    trend_error: float = 0.0
    level_error: float = 0.0
    claims_ageing: float = 0.0
    premium_ageing: float = 0.0
    effect: float = 0.0
    effect_error: float = 0.0
    effect_lasting: float = 1.0
    exits: float = 0.0
    expense_share: float = 0.0
    expense_member: float = 0.0

    def __post_init__(self) -> None:
        faults = list(self._faults())
        if faults:
            raise InputError("the outlook cannot be so", faults=faults)

    @property
    def groups(self) -> tuple[str, ...]:
        """Groups, from the standard one to the healthiest."""
        return tuple(self.discounts)

    @property
    def discount(self) -> Floats:
        """Discount by group."""
        return np.array([float(d) for d in self.discounts.values()])

    def draw_relativities(self, rng: np.random.Generator, draws: int) -> Floats:
        """Relativities (draws, groups); the first as estimated."""
        r = np.log([float(self.relativities[g]) for g in self.groups])
        errors = np.array([float(self.relativity_errors.get(g, 0.0)) for g in self.groups])
        found = np.repeat(r[None], draws, axis=0)
        found[1:] += errors * rng.standard_normal((draws - 1, len(r)))
        return np.asarray(np.exp(found))

    def draw_moves(
        self, rng: np.random.Generator, draws: int, shares: Floats, years: int
    ) -> Floats:
        """Moves by class of health (draws or 1, classes, groups, groups); the first as estimated."""
        if isinstance(self.moves, GroupMoves):
            matrices = np.concatenate([self.moves.matrix[None], self.moves.draw(rng, draws - 1)])
            return self.latent.moves(matrices, shares, years)
        given = np.asarray(self.moves, dtype=float)
        return (self.latent.moves(given, shares, years) if given.ndim == 2 else given)[None]

    def _faults(self) -> list[str]:
        faults = []
        for name, given in (("discounts", self.discounts), ("relativities", self.relativities)):
            wrong = {g: x for g, x in given.items() if not _number(x)}
            faults += [f"{name}: {g} must be a finite number, got {x!r}" for g, x in wrong.items()]
        if set(self.relativities) != set(self.discounts) or not self.discounts:
            faults.append(
                f"relativities name {sorted(self.relativities)}, discounts {sorted(self.discounts)}"
            )
        if not faults:
            if not all(0 <= d < 1 for d in self.discounts.values()):
                faults.append(f"discounts must lie in 0 to below 1, got {dict(self.discounts)}")
            if not all(r > 0 for r in self.relativities.values()):
                faults.append(f"relativities must be above zero, got {dict(self.relativities)}")
        for g, x in self.relativity_errors.items():
            if g not in self.discounts or not _number(x) or x < 0:
                faults.append(f"relativity_errors: {g} = {x!r} is no error of a group")
        for name in ("trend_error", "level_error", "effect_error", "expense_member"):
            if not _number(getattr(self, name)) or getattr(self, name) < 0:
                faults.append(f"{name} must be zero or more, got {getattr(self, name)!r}")
        if not _number(self.effect_lasting) or not 0 <= self.effect_lasting <= 1:
            faults.append(f"effect_lasting must lie in 0 to 1, got {self.effect_lasting!r}")
        for name in ("trend", "claims_ageing", "premium_ageing"):
            if not _number(getattr(self, name)) or getattr(self, name) <= -1:
                faults.append(f"{name} must be a number above -1, got {getattr(self, name)!r}")
        for name in ("exits", "expense_share", "effect"):
            x = getattr(self, name)
            if not _number(x) or not (-1 if name == "effect" else 0) <= x < 1:
                faults.append(f"{name} must be a fraction below 1, got {x!r}")
        return [*faults, *self._moves_faults()]

    def _moves_faults(self) -> list[str]:
        n = len(self.discounts)
        if isinstance(self.moves, GroupMoves):
            if self.moves.groups != self.groups:
                return [f"moves are of {self.moves.groups}, the groups are {self.groups}"]
            return []
        try:
            m = np.asarray(self.moves, dtype=float)
        except (TypeError, ValueError):
            return ["moves must be numbers"]
        if m.shape not in ((n, n), (self.latent.classes, n, n)):
            return [f"moves have shape {m.shape}, not {(n, n)} or {(self.latent.classes, n, n)}"]
        if not np.isfinite(m).all() or (m < 0).any() or (abs(m.sum(axis=-1) - 1) > 1e-9).any():
            return ["moves must be zero or more, and add to 1 from every group"]
        return []


def relativities_of(
    effect: GroupEffect, *, credible: bool = True
) -> tuple[dict[str, float], dict[str, float]]:
    """Relativities and the errors of their logarithms, from what the claims say.

    Parameters
    ----------
    effect : GroupEffect
        See :func:`pricing.health.effect.group_effect`.
    credible : bool
        The credible relativities rather than the adjusted ones; the errors are those of the latter.

    Examples
    --------
    >>> table = pl.DataFrame({"health_group": ["G0", "G1"], "relativity": [1.0, 0.8], "lower": [1.0, 0.6],
    ...                       "upper": [1.0, 1.0], "credible_relativity": [1.0, 0.9]})
    >>> relativities, errors = relativities_of(GroupEffect(table=table, facts={"level": 0.95}))
    >>> relativities, round(errors["G1"], 4)
    ({'G0': 1.0, 'G1': 0.9}, 0.1303)
    """
    column = "credible_relativity" if credible else "relativity"
    reach = 2 * float(ndtri(0.5 + effect.facts["level"] / 2))
    table = effect.table.select(
        "health_group",
        value=pl.col(column),
        error=(pl.col("upper") / pl.col("lower")).log() / reach,
    )
    return (
        dict(table.select("health_group", "value").iter_rows()),
        dict(table.select("health_group", "error").iter_rows()),
    )


def _number(value: Any) -> bool:
    real = isinstance(value, (int, float, np.floating)) and not isinstance(value, bool)
    return real and bool(np.isfinite(value))
