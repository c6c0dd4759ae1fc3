"""A market of tiers: persons of several types, what each would cost in each tier, how they choose."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from pricing.choice.choice_model import ChoiceModel
from pricing.choice.maximum import slopes_of
from pricing.choice.nested import Menus, Shares
from pricing.errors import InputError, nearest
from pricing.estimate.design import Floats
from pricing.files import fingerprint
from pricing.result.shape import Basis

__all__ = ["Market", "choice_market", "money_by_tier"]

EMPTY = 1e-250  # shares this small are no longer divided by
FIFTHS = ("1", "2", "3", "4", "5")


@dataclass(frozen=True, kw_only=True)
class Market:
    """Types of persons before a plan: how many, what each would cost in each tier, how they choose.

    Attributes
    ----------
    model : ChoiceModel
    types : polars.DataFrame
        One row per type, with the attributes of the model.
    persons : array, types
    cost : array, types × tiers
        Expected cost a year of one person of the type in the tier, in currency.
    aware : float
        Share who know of the plan.
    basis : Basis
    blank : Menus
        Menus of the types, their prices not yet filled in.
    """

    model: ChoiceModel
    types: pl.DataFrame
    persons: Floats
    cost: Floats
    aware: float
    basis: Basis
    blank: Menus

    @property
    def tiers(self) -> tuple[str, ...]:
        """The tiers of the plan."""
        return self.model.tiers

    @property
    def weights(self) -> Floats:
        """Share of each type among all persons."""
        return np.asarray(self.persons / self.persons.sum())

    @property
    def cost_if_all(self) -> Floats:
        """Mean cost of each tier were everybody in it."""
        return np.asarray(self.weights @ self.cost)

    def menus(self, paid: Floats) -> Menus:
        """Menus of the types at prices paid for the tiers (one per tier, or types × tiers)."""
        every = np.concatenate([np.zeros((*np.shape(paid)[:-1], 1)), paid], axis=-1)
        every = np.broadcast_to(every, self.blank.paid.shape)
        return replace(self.blank, paid=every, aware=self.aware)

    def shares(self, paid: Floats, parameters: Floats | None = None) -> Shares:
        """Shares of every type at prices paid for the tiers."""
        at = self.model.parameters if parameters is None else parameters
        return self.menus(paid).shares(at)

    def demand(self, paid: Floats, parameters: Floats | None = None) -> tuple[Floats, Floats]:
        """Give the share of all persons in each tier, and the mean cost of those in it.

        Of a tier that empties beyond what numbers hold, the cost is that of those who would be last.
        """
        seen = self.shares(paid, parameters)
        chosen = seen.every[:, 1:] * self.weights[:, None]
        share = chosen.sum(axis=0)
        if (share < EMPTY).any():
            at = self.model.parameters if parameters is None else parameters
            lam = seen.dissimilarity
            log = self.menus(paid).utility(at)[:, 1:] / lam + np.log(self.weights)[:, None]
            log += ((lam - 1) * seen.inclusive - seen.logsum)[:, None]
            chosen = np.exp(log - log.max(axis=0))
        return share, (chosen * self.cost).sum(axis=0) / chosen.sum(axis=0)

    def spread(self, function: Callable[[Market, Floats], Floats]) -> Floats:
        """Give standard errors of figures of market and parameters by the delta method.

        NaN where the model was calibrated. The share aware adds its own error where it was counted.
        """
        at = self.model.parameters
        errors = np.sqrt(np.diag(self.model.covariance))
        if not errors.any():
            return np.full(np.shape(function(self, at)), np.nan)
        safe = np.where(errors > 0, errors, 1.0)
        slopes = slopes_of(lambda u: function(self, at + u * safe), np.zeros(len(at)))
        correlation = self.model.covariance / np.outer(safe, safe)
        variance = np.einsum("...i,ij,...j->...", slopes, correlation, slopes)
        asked = float(self.model.facts.get("asked", 0.0))
        if asked and self.aware == self.model.aware:
            up, down = (replace(self, aware=self.aware * (1 + h)) for h in (1e-5, -1e-5))
            slope = (function(up, at) - function(down, at)) / (2e-5 * self.aware)
            variance = variance + slope**2 * self.aware * (1 - self.aware) / asked
        return np.asarray(np.sqrt(np.maximum(variance, 0.0)))

    def price_effect(self, parameters: Floats | None = None) -> Floats:
        """Effect on utility of one unit of currency more, by type; refused unless below zero."""
        at = self.model.parameters if parameters is None else parameters
        menus = self.menus(np.zeros(len(self.tiers)))
        found = menus.z @ menus.parts(at)[1]
        if (found >= 0).any():
            raise InputError(
                f"a dearer price does not lower the demand of {self.persons[found >= 0].sum():,.0f} of "
                f"{self.persons.sum():,.0f} persons: money has no worth to measure by",
                where="price effect",
                do="fit on prices that varied for reasons of their own",
            )
        return np.asarray(found)

    def bands(self, by: str | None) -> tuple[str, list[str], Floats]:
        """Give the name and the levels of bands, and who of the persons is in which (bands × types).

        Fifths of persons by cost where no factor is named.
        """
        if by is None:
            mean = self.cost.mean(axis=1)
            order = np.argsort(mean, kind="stable")
            middle = np.empty(len(mean))
            middle[order] = np.cumsum(self.weights[order]) - self.weights[order] / 2
            own = pl.Series([FIFTHS[i] for i in np.minimum((middle * 5).astype(int), 4)])
            every = list(FIFTHS)
        elif by in self.types.columns:
            own, kind = self.types[by].cast(pl.String), self.types.schema[by]
            every = (
                kind.categories.to_list()
                if isinstance(kind, pl.Enum)
                else own.unique().sort().to_list()
            )
        else:
            raise InputError(f"{by!r} is no column of the types{nearest(by, self.types.columns)}")
        there = set(own)
        levels = [v for v in every if v in there]
        codes = own.cast(pl.Enum(levels)).to_physical().to_numpy()
        return by or "risk_fifth", levels, np.eye(len(levels))[codes].T * self.persons


def choice_market(
    model: ChoiceModel,
    population: pl.DataFrame,
    costs: Mapping[str, str | float] | str | None = None,
    *,
    persons: str | None = None,
    aware: float | None = None,
    basis: Basis | None = None,
) -> Market:
    """Set a choice model before a population whose cost is known or assumed.

    Parameters
    ----------
    model : ChoiceModel
        Fitted or calibrated.
    population : polars.DataFrame
        One row per person or type: the attributes of the model, and expected cost a year.
    costs : mapping of tier to str or float, or str
        Column of expected cost in the tier; or a number times the column ``risk``. One column name
        serves for every tier; ``risk`` where nothing is said.
    persons : str, optional
        Column of how many persons a row stands for; else one each.
    aware : float, optional
        Share who know of the plan; else the model's.

    Raises
    ------
    InputError
        For columns that are missing, costs that are negative or not finite, a tier without a cost.

    Examples
    --------
    >>> from pricing.choice.calibrate import calibrate
    >>> model = calibrate({"basic": 500.0}, take_up=0.1, at={"basic": 300.0}, then=0.8)
    >>> types = pl.DataFrame({"risk": [200.0, 600.0], "persons": [600.0, 400.0]})
    >>> market = choice_market(model, types, persons="persons")
    >>> share, cost = market.demand(np.array([300.0]))
    >>> share.round(6).tolist(), cost.round(6).tolist()
    ([0.8], [360.0])
    """
    if not isinstance(model, ChoiceModel):
        raise InputError(f"a market needs a choice model, got {type(model).__name__}")
    if not isinstance(population, pl.DataFrame) or population.is_empty():
        raise InputError("the population has no rows", do="give a polars frame, one row per type")
    if isinstance(costs, str) or costs is None:
        costs = dict.fromkeys(model.tiers, costs or "risk")
    unknown = [t for t in costs if t not in model.tiers]
    missing = [t for t in model.tiers if t not in costs]
    faults = [f"{t!r} is no tier{nearest(str(t), model.tiers)}" for t in unknown]
    faults += [f"tier {t!r} has no cost" for t in missing]
    if faults:
        raise InputError("costs do not match the tiers", where="costs", faults=faults)
    cost = np.column_stack([_cost(population, t, costs[t]) for t in model.tiers])
    many = np.ones(population.height)
    if persons is not None:
        many = _amounts(population, persons)
        if not many.sum() > 0:
            raise InputError("the population holds nobody", where=persons)
    if aware is not None and (
        isinstance(aware, bool) or not isinstance(aware, int | float) or not 0 < aware <= 1
    ):
        raise InputError(f"a share aware lies above 0, up to 1, got {aware!r}", where="aware")
    kept = many > 0
    types = population.filter(pl.Series(kept))
    told = fingerprint(
        model.basis.fingerprint, types.write_csv(), repr(cost[kept].tolist()), repr(aware)
    )
    basis = replace(basis or model.basis, fingerprint=told, exposure=float(many.sum()))
    known = model.aware if aware is None else float(aware)
    blank = model.menus(types, np.zeros(len(model.tiers) + 1), aware=known)
    return Market(
        model=model, types=types, persons=many[kept], cost=cost[kept], aware=known, basis=basis, blank=blank
    )  # fmt: skip


def money_by_tier(
    tiers: Sequence[str],
    given: Mapping[str, float] | float | None,
    what: str,
    *,
    above_zero: bool = False,
) -> Floats:
    """Read an amount for each tier, in the order of the tiers; zero where nothing is given.

    Parameters
    ----------
    tiers : sequence of str
    given : mapping of tier to float, or float
        Currency a year, zero or more; one number serves every tier.
    what : str
        What it is, for the refusals.
    above_zero : bool
        Whether zero is refused.

    Examples
    --------
    >>> money_by_tier(["basic", "premium"], {"premium": 2000.0, "basic": 500.0}, "prices").tolist()
    [500.0, 2000.0]
    >>> money_by_tier(["basic"], {"basic": -1.0}, "prices")
    Traceback (most recent call last):
    pricing.errors.InputError: prices: amounts that cannot be used
      - 'basic': -1.0 is not a finite amount of zero or more
    """
    if given is None:
        given = 0.0
    if not isinstance(given, Mapping):
        given = dict.fromkeys(tiers, given)
    faults = [f"{t!r} is no tier{nearest(str(t), tiers)}" for t in given if t not in tiers]
    faults += [f"{t!r} has none" for t in tiers if t not in given]
    for tier in (t for t in tiers if t in given):
        value = given[tier]
        good = isinstance(value, int | float | np.number) and not isinstance(value, bool)
        if not good or not np.isfinite(value) or value < 0 or (above_zero and value == 0):
            least = "above zero" if above_zero else "of zero or more"
            faults.append(f"{tier!r}: {value!r} is not a finite amount {least}")
    if faults:
        raise InputError("amounts that cannot be used", where=what, faults=faults)
    return np.array([float(given[t]) for t in tiers])


def _cost(population: pl.DataFrame, tier: str, given: str | float) -> Floats:
    if isinstance(given, str):
        return _amounts(population, given)
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given < np.inf:
        raise InputError(f"a cost is a column or a multiple of 'risk', got {given!r}", where=tier)
    return _amounts(population, "risk") * given


def _amounts(population: pl.DataFrame, column: str) -> Floats:
    if column not in population.columns:
        raise InputError(
            f"{column!r} is missing{nearest(column, population.columns)}", where="population"
        )
    if not population.schema[column].is_numeric():
        raise InputError(f"is {population.schema[column]}, not a number", where=column)
    values = population[column].cast(pl.Float64)
    wrong = ~(values.is_finite() & (values >= 0)).fill_null(False)
    if wrong.any():
        raise InputError(
            f"null, not finite or below zero in {int(wrong.sum()):,} of {len(wrong):,} rows",
            where=column,
            do="correct the rows or set them aside",
        )
    return values.to_numpy()
