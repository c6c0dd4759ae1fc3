"""A tier: benefits, terms of a person's year, premium, loadings; and the subsidy beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from pricing.errors import InputError, nearest
from pricing.losses.terms import Terms
from pricing.tiers.benefit import TERM, Benefit

__all__ = ["CHANGES", "Loadings", "Subsidy", "Tier", "change_tier", "read_subsidy"]

Principle = Literal["deviation", "pure", "value_at_risk"]
OF_A_CLAIM = ("deductible", "coinsurance", "limit", "year_limit", "waiting_days", "gate")
OF_A_YEAR = ("year_deductible", "year_coinsurance", "year_out_of_pocket", "year_most")
CHANGES = (*OF_A_CLAIM, *OF_A_YEAR, "premium")


@dataclass(frozen=True, kw_only=True)
class Loadings:
    """What the premium carries beside expected claims.

    Attributes
    ----------
    expense, commission, profit : float
        Shares of the gross premium, together below 1.
    fixed_expense, service : float
        Amounts per insured-year, currency.
    risk : float
        Risk margin by ``principle``, zero or more: a multiple of the standard deviation of the
        portfolio's mean cost per insured; a share of the pure premium; or a share of the capital
        VaR − mean of the portfolio per insured (cost of capital).
    principle : {"deviation", "pure", "value_at_risk"}
        See ``risk``.
    level : float
        Probability of the value at risk.

    Examples
    --------
    >>> Loadings(expense=0.15, commission=0.12, profit=0.08).shares
    0.35
    """

    expense: float = 0.0
    commission: float = 0.0
    profit: float = 0.0
    fixed_expense: float = 0.0
    service: float = 0.0
    risk: float = 0.0
    principle: Principle = "deviation"
    level: float = 0.995

    def __post_init__(self) -> None:
        faults = [
            f"{name} must be zero or more, got {getattr(self, name)!r}"
            for name in ("expense", "commission", "profit", "fixed_expense", "service", "risk")
            if not _finite(getattr(self, name)) or getattr(self, name) < 0
        ]
        if not faults and self.shares >= 1:
            faults.append(f"expense, commission and profit take {self.shares:.0%} of the premium")
        if self.principle not in get_args(Principle):
            near = nearest(str(self.principle), get_args(Principle))
            faults.append(f"no principle {self.principle!r}{near}")
        if not (_finite(self.level) and 0 < self.level < 1):
            faults.append(f"the level lies between 0 and 1, got {self.level!r}")
        if faults:
            raise InputError("loadings that cannot be", faults=faults)

    @property
    def shares(self) -> float:
        """Share of the gross premium that is no claim."""
        return math.fsum((self.expense, self.commission, self.profit))


@dataclass(frozen=True, kw_only=True)
class Subsidy:
    """What somebody else pays per insured-year.

    Attributes
    ----------
    amount : float
        Currency, zero or more.
    to : {"person", "plan"}
        To the person it takes off the price; to the plan it adds to the income, and the price stays.

    Examples
    --------
    >>> Subsidy(amount=200.0).price(500.0), Subsidy(amount=200.0, to="plan").income(500.0)
    (300.0, 700.0)
    """

    amount: float = 0.0
    to: Literal["person", "plan"] = "person"

    def __post_init__(self) -> None:
        if not _finite(self.amount) or self.amount < 0:
            raise InputError(f"a subsidy is an amount of zero or more, got {self.amount!r}")
        if self.to not in ("person", "plan"):
            raise InputError(f"a subsidy goes to 'person' or 'plan', got {self.to!r}")

    def price(self, premium: float) -> float:
        """What the member pays of a premium."""
        if self.to == "plan":
            return premium
        if self.amount > premium:
            raise InputError(
                f"a subsidy of {self.amount:g} a person lies above the premium of {premium:g}",
                do="pay what is above it to the plan, or lower the subsidy",
            )
        return premium - self.amount

    def income(self, premium: float) -> float:
        """What the plan takes per insured-year."""
        return premium + (self.amount if self.to == "plan" else 0.0)


def read_subsidy(given: Subsidy | None) -> Subsidy:
    """Give the subsidy, or one of nothing; anything else is refused.

    Examples
    --------
    >>> read_subsidy(None).amount
    0.0
    """
    if given is not None and not isinstance(given, Subsidy):
        raise InputError(f"a subsidy is a Subsidy or None, got {given!r}")
    return given or Subsidy()


@dataclass(frozen=True, kw_only=True)
class Tier:
    """One level of the plan.

    Attributes
    ----------
    name : str
        Its name.
    benefits : tuple of Benefit
        Each with a name of its own.
    premium : float
        Gross premium charged per insured-year, above zero.
    terms : Terms
        Of a person's year, on what the benefits pay together: annual deductible, coinsurance,
        out-of-pocket maximum and limit. They count what the benefits leave to them, not what the
        terms of a claim left to the insured.
    loadings : Loadings
        What the premium carries beside claims.
    term_days : int
        Days of a term.

    Raises
    ------
    InputError
        For rules that contradict: a waiting period as long as the term, a sub-limit above the
        annual limit, benefits of one name.

    Examples
    --------
    >>> from scipy import stats
    >>> visits = Benefit(name="outpatient", frequency=1.0, severity=stats.expon(scale=437.5),
    ...                  coinsurance=0.2)
    >>> Tier(name="basic", benefits=(visits,), premium=500.0).benefit("outpatient").expected()
    350.0
    """

    name: str
    benefits: tuple[Benefit, ...]
    premium: float
    terms: Terms = field(default_factory=Terms)
    loadings: Loadings = field(default_factory=Loadings)
    term_days: int = TERM

    def __post_init__(self) -> None:
        given = isinstance(self.benefits, list | tuple)
        object.__setattr__(self, "benefits", tuple(self.benefits) if given else ())
        faults = []
        for name, kind in (("terms", Terms), ("loadings", Loadings)):
            if not isinstance(getattr(self, name), kind):
                faults.append(f"{name} are {kind.__name__}, got {getattr(self, name)!r}")
        if not self.benefits or not all(isinstance(b, Benefit) for b in self.benefits):
            faults.append("a tier takes one Benefit or more")
        names = [b.name for b in self.benefits if isinstance(b, Benefit)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            faults.append(f"benefits named twice: {', '.join(twice)}")
        if not _finite(self.premium) or not self.premium > 0:
            faults.append(f"the premium must be above zero, got {self.premium!r}")
        if type(self.term_days) is not int or not 0 < self.term_days <= 366:
            faults.append(f"a term has 1 to 366 days, got {self.term_days!r}")
        else:
            faults += [
                f"{b.name}: a waiting period of {b.waiting_days} days leaves nothing of a term of "
                f"{self.term_days}"
                for b in self.benefits
                if isinstance(b, Benefit) and b.waiting_days >= self.term_days
            ]
        faults += [
            f"{b.name}: its limit of the year, {b.year_limit:g}, lies above the tier's, "
            f"{self.terms.limit:g}"
            for b in self.benefits
            if isinstance(b, Benefit)
            and isinstance(self.terms, Terms)
            and math.inf > b.year_limit > self.terms.limit
        ]
        if faults:
            raise InputError("a tier whose rules contradict", where=str(self.name), faults=faults)

    def benefit(self, name: str) -> Benefit:
        """Give a benefit by its name."""
        for one in self.benefits:
            if one.name == name:
                return one
        names = [b.name for b in self.benefits]
        raise InputError(f"{self.name} has no benefit {name!r}{nearest(name, names)}")

    def bill(self) -> float:
        """Expected bills of a full insured-year over all benefits."""
        return math.fsum(b.bill() for b in self.benefits)

    def service(self, claims: Mapping[str, float]) -> float:
        """Service per insured-year: the loading, and credits for responses that came late."""
        late = [b.response.cost * claims[b.name] for b in self.benefits if b.response]
        return math.fsum([self.loadings.service, *late])

    @property
    def waits(self) -> bool:
        """Whether a first term differs from a renewal."""
        return any(b.waiting_days for b in self.benefits)


def change_tier(tier: Tier, *, benefits: Sequence[str] | None = None, **changes: Any) -> Tier:
    """Give the tier with other rules, everything else as it was.

    Parameters
    ----------
    tier : Tier
        What is changed.
    benefits : sequence of str, optional
        Benefits that change; all where left out.
    **changes
        Of benefits: ``deductible``, ``coinsurance``, ``limit``, ``year_limit``, ``waiting_days``,
        ``gate`` (a Gate, or False for none; True leaves it). Of the person's year:
        ``year_deductible``, ``year_coinsurance``, ``year_out_of_pocket``, ``year_most`` (the annual
        limit). And ``premium``.

    Raises
    ------
    InputError
        For an unknown rule or benefit, and for rules that then contradict.

    Examples
    --------
    >>> from scipy import stats
    >>> visits = Benefit(name="outpatient", frequency=1.0, severity=stats.expon(scale=100.0))
    >>> tier = Tier(name="basic", benefits=(visits,), premium=500.0)
    >>> change_tier(tier, deductible=50.0, year_most=2000.0).terms.limit
    2000.0
    """
    wrong = [name for name in changes if name not in CHANGES]
    if wrong:
        raise InputError(
            "rules that a tier does not have",
            faults=[f"{name!r}{nearest(name, CHANGES)}" for name in wrong],
        )
    benefits = [benefits] if isinstance(benefits, str) else benefits
    for name in benefits or ():
        tier.benefit(name)
    odd = [
        f"{name} is a number, got {changes[name]!r}"
        for name in (*OF_A_YEAR, "premium")
        if name in changes and not _amount(changes[name])
    ]
    if odd:
        raise InputError("rules that cannot be", where=tier.name, faults=odd)
    own = {name: changes[name] for name in OF_A_CLAIM if name in changes}
    days = own.get("waiting_days")
    if isinstance(days, float) and days.is_integer():
        own["waiting_days"] = int(days)
    if own.get("gate") is False:
        own["gate"] = None
    elif own.get("gate") is True:
        del own["gate"]
    year = {
        kept: changes[name]
        for name, kept in zip(
            OF_A_YEAR, ("deductible", "coinsurance", "out_of_pocket", "limit"), strict=True
        )
        if name in changes
    }
    return replace(
        tier,
        benefits=tuple(
            replace(b, **own) if own and (benefits is None or b.name in benefits) else b
            for b in tier.benefits
        ),
        terms=replace(tier.terms, **year) if year else tier.terms,
        premium=changes.get("premium", tier.premium),
    )


def _amount(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
