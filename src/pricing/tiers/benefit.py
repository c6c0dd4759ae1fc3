"""One benefit of an elder medical plan: how often it is used, what a claim costs, what is paid of it.

The gate sends people to a community institution first: it changes how many claims there are and what
they cost, and it is no deductible. Use that cover induces follows the arc elasticity of the RAND
health insurance experiment, −0.2 (Manning et al. 1987): (Q₁ − Q₀)/(Q₁ + Q₀) = η·(c₁ − c₀)/(c₁ + c₀) for
coinsurance c₀ where the frequency Q₀ was measured and c₁ of the plan. By that convention free care
(c₁ = 0) takes (1 − η)/(1 + η), 1.5 times, whatever c₀ was.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pricing.errors import InputError
from pricing.losses.count_law import CountLaw, negative_binomial, poisson
from pricing.losses.severity_law import SeverityLaw, mixed_severity, severity_law
from pricing.losses.terms import Terms

__all__ = ["Benefit", "Gate", "Response", "induced_use"]

RAND = -0.2
TERM = 365


@dataclass(frozen=True, kw_only=True)
class Gate:
    """Community first: who is sent there, and what becomes of their claims.

    Attributes
    ----------
    sent : float
        Share of claims sent to the community institution first, 0 to 1.
    frequency, severity : float
        Factors on the number and on the bill of the claims that went through the gate, above zero.
    emergency : float
        Share of those sent that go round the gate as emergencies, 0 to 1.

    Examples
    --------
    >>> round(Gate(sent=0.8, frequency=0.7, severity=0.6, emergency=0.1).through, 12)
    0.72
    """

    sent: float
    frequency: float = 1.0
    severity: float = 1.0
    emergency: float = 0.0

    def __post_init__(self) -> None:
        faults = [
            f"{name} is a share from 0 to 1, got {getattr(self, name)!r}"
            for name in ("sent", "emergency")
            if not (_number(getattr(self, name)) and 0 <= getattr(self, name) <= 1)
        ]
        faults += [
            f"the factor on {name} must be above zero, got {getattr(self, name)!r}"
            for name in ("frequency", "severity")
            if not (_number(getattr(self, name)) and getattr(self, name) > 0)
        ]
        if faults:
            raise InputError("a gate that cannot be", faults=faults)

    @property
    def through(self) -> float:
        """Share of all claims that goes through the gate."""
        return self.sent * (1 - self.emergency)


@dataclass(frozen=True, kw_only=True)
class Response:
    """How soon somebody has to come, and what the insured gets where nobody does.

    Attributes
    ----------
    hours : float
        The standard, hours, above zero.
    missed : float
        Share of claims served later, 0 to 1.
    credit : float
        What the insured gets for each of these, currency; a cost of service, no claim.

    Examples
    --------
    >>> Response(hours=2.0, missed=0.4, credit=50.0).cost
    20.0
    """

    hours: float
    missed: float = 0.0
    credit: float = 0.0

    def __post_init__(self) -> None:
        faults = []
        if not (_number(self.hours) and self.hours > 0):
            faults.append(f"hours must be above zero, got {self.hours!r}")
        if not (_number(self.missed) and 0 <= self.missed <= 1):
            faults.append(f"missed is a share from 0 to 1, got {self.missed!r}")
        if not (_number(self.credit) and self.credit >= 0):
            faults.append(f"credit must be zero or more, got {self.credit!r}")
        if faults:
            raise InputError("a response standard that cannot be", faults=faults)

    @property
    def cost(self) -> float:
        """Credit per claim, currency."""
        return self.missed * self.credit


@dataclass(frozen=True, kw_only=True)
class Benefit:
    """One benefit: use, bill, terms.

    Attributes
    ----------
    name : str
        Its name, such as ``"outpatient"`` or ``"home_nursing"``.
    frequency : float
        Claims per insured-year without gate and waiting period, above zero.
    severity : SeverityLaw or frozen scipy distribution
        Bill of one claim, currency, before any terms.
    deductible, coinsurance, limit : float
        Of one claim: what the insured pays first, share of the rest that the *insured* pays
        (80 % reimbursement is 0.2), most the plan pays.
    year_limit : float
        Most the plan pays of this benefit in a person's year (sub-limit).
    waiting_days : int
        Days at the start of the first term without cover; renewals have none.
    gate : Gate, optional
        Community first.
    response : Response, optional
        Standard of response.
    dispersion : float
        Variance over mean of a person's number of claims; 1 is Poisson. A factor on the frequency
        leaves the spread between persons (r of the negative binomial) as it is.
    measured_coinsurance : float, optional
        Coinsurance at which ``frequency`` was measured; left out, no use is induced.
    elasticity : float
        Arc elasticity of use in the coinsurance, −1 to 0.

    Raises
    ------
    InputError
        With every rule that contradicts, under the benefit's name.

    Examples
    --------
    >>> from scipy import stats
    >>> visits = Benefit(name="outpatient", frequency=1.5, severity=stats.expon(scale=300.0),
    ...                  coinsurance=0.2, gate=Gate(sent=1.0, frequency=0.8, severity=0.5))
    >>> round(visits.bill(), 9), round(visits.expected(), 9)
    (180.0, 144.0)
    """

    name: str
    frequency: float
    severity: Any
    deductible: float = 0.0
    coinsurance: float = 0.0
    limit: float = math.inf
    year_limit: float = math.inf
    waiting_days: int = 0
    gate: Gate | None = None
    response: Response | None = None
    dispersion: float = 1.0
    measured_coinsurance: float | None = None
    elasticity: float = RAND
    law: SeverityLaw = field(init=False, repr=False)
    terms: Terms = field(init=False, repr=False)

    def __post_init__(self) -> None:
        faults = [
            fault
            for good, fault in (
                (isinstance(self.name, str) and bool(self.name), "a benefit needs a name"),
                _above(self.frequency, "frequency"),
                (
                    isinstance(self.waiting_days, int)
                    and not isinstance(self.waiting_days, bool)
                    and self.waiting_days >= 0,
                    f"waiting_days are whole days of zero or more, got {self.waiting_days!r}",
                ),
                (
                    _number(self.dispersion) and self.dispersion >= 1,
                    f"dispersion is 1 or more, got {self.dispersion!r}",
                ),
                (
                    self.gate is None or isinstance(self.gate, Gate),
                    f"gate is a Gate or None, got {self.gate!r}",
                ),
                (
                    self.response is None or isinstance(self.response, Response),
                    f"response is a Response or None, got {self.response!r}",
                ),
                (
                    _number(self.elasticity) and -1 < self.elasticity <= 0,
                    f"the elasticity of use lies above −1 and at most at 0, got {self.elasticity!r}",
                ),
                (
                    self.measured_coinsurance is None
                    or (_number(self.measured_coinsurance) and 0 <= self.measured_coinsurance <= 1),
                    "the coinsurance the frequency was measured at is a share from 0 to 1, got "
                    f"{self.measured_coinsurance!r}",
                ),
                *(
                    (_amount(getattr(self, n)), f"{n} is an amount, got {getattr(self, n)!r}")
                    for n in ("deductible", "coinsurance", "limit", "year_limit")
                ),
            )
            if not good
        ]
        try:
            object.__setattr__(self, "law", severity_law(self.severity))
        except InputError as error:
            faults.append(error.problem)
        if not faults:
            faults += self._contradictions()
        if faults:
            raise InputError("a benefit that cannot be", where=str(self.name), faults=faults)
        terms = Terms(deductible=self.deductible, coinsurance=self.coinsurance, limit=self.limit)
        object.__setattr__(self, "terms", terms)

    def _contradictions(self) -> list[str]:
        faults = []
        if not self.year_limit > 0:
            faults.append(f"year_limit must be above zero, got {self.year_limit:g}")
        elif self.limit < math.inf and self.year_limit < self.limit:
            faults.append(
                f"the cap of the year, {self.year_limit:g}, lies below the limit of one claim, "
                f"{self.limit:g}"
            )
        if self.coinsurance == 1:
            faults.append("a coinsurance of 1 leaves nothing to pay")
        try:
            Terms(deductible=self.deductible, coinsurance=self.coinsurance, limit=self.limit)
        except InputError as error:
            faults += error.faults or [error.problem]
        return faults

    @property
    def use(self) -> float:
        """Factor on use from the coinsurance."""
        if self.measured_coinsurance is None:
            return 1.0
        return induced_use(self.coinsurance, self.measured_coinsurance, elasticity=self.elasticity)

    def covered(self, *, first_term: bool, term_days: int = TERM) -> float:
        """Share of a term's exposure that counts."""
        return 1 - self.waiting_days / term_days if first_term else 1.0

    @property
    def kept(self) -> float:
        """Factor of the gate on the number of claims."""
        if self.gate is None:
            return 1.0
        return 1 - self.gate.through + self.gate.through * self.gate.frequency

    def claims(self, *, first_term: bool = False, term_days: int = TERM) -> float:
        """Claims in cover per insured-year."""
        share = self.covered(first_term=first_term, term_days=term_days)
        return self.frequency * self.use * self.kept * share

    def count(self, *, first_term: bool = False, term_days: int = TERM) -> CountLaw:
        """Law of a person's number of claims in cover; at least one day must be covered."""
        mean = self.claims(first_term=first_term, term_days=term_days)
        if self.dispersion == 1:
            return poisson(mean)
        r = self.frequency / (self.dispersion - 1)
        return negative_binomial(r=r, beta=mean / r)

    def bills(self, laid: Callable[[SeverityLaw], SeverityLaw] = lambda law: law) -> SeverityLaw:
        """Law of the bill of one claim, behind the gate where there is one."""
        if self.gate is None or self.gate.through == 0 or self.gate.severity == 1:
            return laid(self.law)
        behind = self.gate.through * self.gate.frequency
        if self.gate.through == 1:
            return laid(self.law.scaled(self.gate.severity))
        laws = [laid(self.law), laid(self.law.scaled(self.gate.severity))]
        return mixed_severity(laws, [1 - self.gate.through, behind])

    def bill(self) -> float:
        """Expected bills of a full insured-year, those in a waiting period among them."""
        return self.claims() * self.bills().mean

    def expected(self, *, first_term: bool = False, term_days: int = TERM) -> float:
        """Expected payment per insured-year from the terms of a claim, before any yearly limit."""
        one = self.bills().under(self.terms).mean
        return self.claims(first_term=first_term, term_days=term_days) * one


def induced_use(coinsurance: float, measured: float, *, elasticity: float = RAND) -> float:
    """Give the factor on use of another coinsurance than that it was measured at.

    (1 + ηd)/(1 − ηd) with d = (c₁ − c₀)/(c₁ + c₀), so that the arc elasticity is η.

    Parameters
    ----------
    coinsurance, measured : float
        c₁ of the plan and c₀ of the measurement, 0 to 1.
    elasticity : float
        η, above −1 and at most 0.

    References
    ----------
    Manning, W. G. et al. (1987). Health insurance and the demand for medical care: evidence from a
    randomized experiment. American Economic Review 77(3), 251-277.

    Examples
    --------
    >>> induced_use(0.2, 0.2), round(induced_use(0.5, 0.2), 6), round(induced_use(0.0, 0.2), 6)
    (1.0, 0.842105, 1.5)
    """
    if not (_number(coinsurance) and _number(measured) and _number(elasticity)):
        raise InputError(
            f"coinsurance is a number, and the elasticity: got {coinsurance!r}, {measured!r} and "
            f"{elasticity!r}"
        )
    if not (0 <= coinsurance <= 1 and 0 <= measured <= 1 and -1 < elasticity <= 0):
        raise InputError(
            "coinsurance is a share from 0 to 1 and the elasticity above −1 and at most 0, got "
            f"{coinsurance}, {measured} and {elasticity}"
        )
    if coinsurance == measured:
        return 1.0
    d = (coinsurance - measured) / (coinsurance + measured)
    return (1 + elasticity * d) / (1 - elasticity * d)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _amount(value: object) -> bool:
    return _number(value) or value == math.inf


def _above(value: object, name: str) -> tuple[bool, str]:
    good = _number(value) and value > 0  # type: ignore[operator]
    return good, f"{name} must be above zero, got {value!r}"
