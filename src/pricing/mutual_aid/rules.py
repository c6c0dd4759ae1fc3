"""The rules of a mutual-aid plan as data: benefit by age, fee, caps, waiting period, classes of member.

Xiang Hu Bao (相互宝, 2018-2022) paid 300,000 yuan to those under 40 and 100,000 to those of 40 to 59, charged
8 % on the aid, capped the share of a case at 0.1 yuan and made members wait 90 days. What a class pays and
whether it is covered is data too: an honorary member pays and is not covered, a poor one is covered and pays
nothing.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from pricing.data.tables import bundled
from pricing.errors import InputError, nearest
from pricing.inputs import toml_tree
from pricing.sharing.settlement import AlikeRounding

__all__ = ["AidBenefit", "AidClass", "AidRules", "Shortfall", "aid_rules"]

Shortfall = Literal["platform", "payout"]
OLDEST = 120
_NEEDED = ("name", "benefit", "fee", "waiting_days", "exit_age", "classes")


@dataclass(frozen=True)
class AidBenefit:
    """What a case is helped with at ages ``age_from`` to ``age_to``, both included, in currency."""

    age_from: int
    age_to: int
    amount: float


@dataclass(frozen=True)
class AidClass:
    """Whether a class of members pays shares (1 or 0) and whether it is covered (1 or 0)."""

    pays: int
    covered: int


@dataclass(frozen=True, kw_only=True)
class AidRules:
    """The rules of a plan; every contradiction is refused when they are made, all of them at once.

    Attributes
    ----------
    name : str
        What to call the plan.
    benefit : tuple of AidBenefit
        By age at diagnosis, without gaps or overlaps.
    fee : float
        What the platform takes, as a share of the aid, 0 to 1.
    classes : mapping of str to AidClass
        At least one that pays and one that is covered.
    waiting_days : int
        Days after joining during which a diagnosis is not helped.
    exit_age : int
        Age last birthday at which membership ends.
    entry_ages : (int, int)
        Youngest and oldest age at joining, both included.
    term_days : int
        Length of a term of membership; a waiting period must end within it.
    cap_per_case, cap_per_year : float, optional
        Most a payer gives for one case, and in a calendar year; currency, none where left out.
    most_per_case : float, optional
        Most a case is helped with, where reimbursement comes on top of the benefit; currency.
    least_members : int, optional
        Payers below which the plan ends; the cap a case must pay the largest benefit with so many.
    pays_while_waiting : bool
        Whether members share the bill before they are covered.
    published_days, settlement_days : tuple of int
        Days of the month on which cases are published and shares taken.
    rounding : {"round_nearest", "round_up", "round_down"}
        How a payer's share is rounded to the fen, as :mod:`pricing.sharing.settlement` names it; the difference is the platform's rounding account.
    shortfall : {"platform", "payout"}
        Who bears what the caps leave unpaid: the platform, or the cases, whose aid is cut.
    title : mapping
        The plan's name by language.
    source, currency : str
        Where the rules were read, and of which currency the amounts are.
    known : mapping of str to str
        How each rule is known: read, recalled, assumed.

    Examples
    --------
    >>> rules = aid_rules("xiang_hu_bao")
    >>> rules.fee, [band.amount for band in rules.benefit], rules.classes["honorary"].covered
    (0.08, [300000.0, 100000.0], 0)
    """

    name: str
    benefit: tuple[AidBenefit, ...]
    fee: float
    classes: Mapping[str, AidClass]
    waiting_days: int
    exit_age: int
    entry_ages: tuple[int, int] = (0, OLDEST)
    term_days: int = 365
    cap_per_case: float | None = None
    cap_per_year: float | None = None
    most_per_case: float | None = None
    least_members: int | None = None
    pays_while_waiting: bool = False
    published_days: tuple[int, ...] = (7, 21)
    settlement_days: tuple[int, ...] = (14, 28)
    rounding: AlikeRounding = "round_nearest"
    shortfall: Shortfall = "platform"
    title: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    currency: str = "CNY"
    known: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        faults = list(_wrong(self)) or list(_contradictions(self))
        if faults:
            raise InputError(
                f"{len(faults)} rules that are wrong or contradict each other",
                where=f"mutual aid, {self.name}",
                faults=faults,
                do="correct the rules; nothing is settled on them",
            )

    @property
    def periods(self) -> int:
        """Settlements a year: one for each settlement day, twelve months."""
        return 12 * len(self.settlement_days)

    def benefit_at(self, ages: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Benefit at ages in whole years; NaN where the rules have none."""
        age = np.asarray(ages, dtype=float)
        start = np.array([band.age_from for band in self.benefit], dtype=float)
        amount = np.array([band.amount for band in self.benefit])
        at = np.searchsorted(start, age, side="right") - 1
        inside = (at >= 0) & (age < self.benefit[-1].age_to + 1)
        return np.where(inside, amount[at.clip(0)], np.nan)

    def but(self, **changes: Any) -> AidRules:
        """The same rules with some changed, checked anew."""
        known = {f.name for f in fields(self)}
        for name in changes:
            if name not in known:
                raise InputError(f"no rule {name!r}{nearest(name, known)}", where=self.name)
        return replace(self, **changes)


def aid_rules(source: str | Path | Mapping[str, Any]) -> AidRules:
    """Read the rules of a plan: one that ships, a TOML file, or a mapping.

    Parameters
    ----------
    source : str, Path or mapping
        ``"xiang_hu_bao"``, ``"xiang_hu_bao_senior"``, ``"meituan"``, ``"generic"``; a path to a file
        in the form of ``data/mutual_aid/generic.toml``; or its contents.

    Raises
    ------
    InputError
        For a file that cannot be read, an unknown or missing key, a value of the wrong kind, and
        rules that contradict each other; every fault at once.

    Examples
    --------
    >>> aid_rules("generic").but(fee=0.08).fee
    0.08
    """
    if isinstance(source, Mapping):
        said, where = source, "mutual aid"
    else:
        path = Path(source)
        file = (
            path
            if isinstance(source, Path) or path.suffix == ".toml"
            else bundled(f"mutual_aid/{source}.toml")
        )
        where = str(file)
        said = toml_tree(file, said="not a file of rules")
    allowed = {f.name for f in fields(AidRules)}
    faults = [f"lacks {key!r}" for key in _NEEDED if key not in said]
    faults += [f"unknown rule {key!r}{nearest(key, allowed)}" for key in said if key not in allowed]
    if faults:
        raise InputError("rules that cannot serve", where=where, faults=faults)
    given: dict[str, Any] = dict(said)
    try:
        given["benefit"] = tuple(
            AidBenefit(band["age_from"], band["age_to"], float(band["amount"]))
            for band in given["benefit"]
        )
        given["classes"] = {
            name: AidClass(each["pays"], each["covered"]) for name, each in given["classes"].items()
        }
        for key in ("entry_ages", "published_days", "settlement_days"):
            if key in given:
                given[key] = tuple(given[key])
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise InputError(
            f"a benefit or a class is not written as it should be: {error!r}",
            where=where,
            do="benefit = [{ age_from, age_to, amount }], [classes] NAME = { pays, covered }",
        ) from error
    return AidRules(**given)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _wrong(rules: AidRules) -> Iterator[str]:
    """Name the single values outside their domain."""
    if not _number(rules.fee) or rules.fee < 0:
        yield f"negative fee: {rules.fee!r}" if _number(rules.fee) else f"fee is {rules.fee!r}"
    elif rules.fee >= 1:
        yield f"a fee of {rules.fee!r} times the aid; write 8 % as 0.08"
    for name in ("cap_per_case", "cap_per_year", "most_per_case"):
        value = getattr(rules, name)
        if value is not None and (not _number(value) or value <= 0):
            yield f"{name} is {value!r}; an amount above zero, or left out for none"
    for name, low, high in (
        ("waiting_days", 0, 36_500), ("exit_age", 1, OLDEST + 1), ("term_days", 1, 36_500),
    ):  # fmt: skip
        if not _whole(getattr(rules, name), low, high):
            yield f"{name} is {getattr(rules, name)!r}; a whole number from {low} to {high}"
    if rules.least_members is not None and not _whole(rules.least_members, 1, 10**10):
        yield f"least_members is {rules.least_members!r}; a whole number above zero"
    if len(rules.entry_ages) != 2 or not all(_whole(a, 0, OLDEST) for a in rules.entry_ages):
        yield f"entry_ages are {rules.entry_ages!r}; youngest and oldest age in whole years"
    for name in ("published_days", "settlement_days"):
        days = getattr(rules, name)
        if not days or not all(_whole(day, 1, 31) for day in days):
            yield f"{name} are {days!r}; days of the month, 1 to 31"
    at_once: Any = rules.pays_while_waiting
    if not isinstance(at_once, bool):
        yield f"pays_while_waiting is {at_once!r}; true or false"
    for name, choices in (
        ("rounding", get_args(AlikeRounding)),
        ("shortfall", get_args(Shortfall)),
    ):
        value = getattr(rules, name)
        if value not in choices:
            yield f"{name} is {value!r}{nearest(str(value), choices)}"
    for band in rules.benefit:
        if not _whole(band.age_from, 0, OLDEST) or not _whole(band.age_to, 0, OLDEST):
            yield f"benefit at ages {band.age_from!r} to {band.age_to!r}: ages are whole, 0 to 120"
        if not _number(band.amount) or band.amount <= 0:
            yield f"benefit of {band.amount!r} at ages {band.age_from} to {band.age_to}"
    for name, each in rules.classes.items():
        if not _whole(each.pays, 0, 1) or not _whole(each.covered, 0, 1):
            yield f"class {name!r} pays {each.pays!r}, covered {each.covered!r}; each is 1 or 0"


def _contradictions(rules: AidRules) -> Iterator[str]:
    """Name what cannot be true together."""
    bands = sorted(rules.benefit, key=lambda band: band.age_from)
    if not bands:
        yield "no benefit at any age"
        return
    if tuple(bands) != rules.benefit:
        yield "the benefit's age bands are not in order of age"
    for band in bands:
        if band.age_to < band.age_from:
            yield f"a benefit from age {band.age_from} to {band.age_to}: ends before it starts"
    for one, other in itertools.pairwise(bands):
        if other.age_from > one.age_to + 1:
            yield f"a gap in the benefit's age bands: nothing at {one.age_to + 1} to {other.age_from - 1}"
        if other.age_from <= one.age_to:
            yield f"the benefit's age bands overlap at {other.age_from} to {min(one.age_to, other.age_to)}"
    youngest, oldest = rules.entry_ages
    if youngest > oldest:
        yield f"entry from age {youngest} to {oldest}: ends before it starts"
    elif bands[0].age_from > youngest:
        yield f"members join at {youngest} and no benefit before {bands[0].age_from}"
    if oldest >= rules.exit_age and oldest != OLDEST:
        yield f"members may join at {oldest} and must leave at {rules.exit_age}"
    if bands[-1].age_to < rules.exit_age - 1:
        yield f"members stay to age {rules.exit_age - 1} and no benefit after {bands[-1].age_to}"
    largest = max(band.amount for band in bands)
    if rules.most_per_case is not None and rules.most_per_case < largest:
        yield f"cap below benefit: {rules.most_per_case:,.0f} a case at most, a benefit of {largest:,.0f}"
    if rules.cap_per_case is not None and rules.least_members is not None:
        raised = rules.cap_per_case * rules.least_members / (1 + rules.fee)
        if raised < largest:
            yield (
                f"cap below benefit: {rules.least_members:,} members at {rules.cap_per_case:g} "
                f"each pay {raised:,.0f} a case, a benefit of {largest:,.0f}"
            )
    if None not in (rules.cap_per_case, rules.cap_per_year) and (
        (rules.cap_per_year or 0.0) < (rules.cap_per_case or 0.0)
    ):
        yield f"the cap a year, {rules.cap_per_year:g}, is below the cap a case, {rules.cap_per_case:g}"
    if rules.waiting_days >= rules.term_days:
        yield f"waiting longer than the term: {rules.waiting_days} days of {rules.term_days}"
    if not any(each.pays for each in rules.classes.values()):
        yield "no class that pays"
    if not any(each.covered for each in rules.classes.values()):
        yield "no class that is covered"
