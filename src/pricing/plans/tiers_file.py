"""The keys of an elder plan's file: tiers, their benefits, loadings, what is tried."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Literal

from pydantic import Field, model_validator

from pricing.study.sections import Strict
from pricing.tiers.benefit import Gate
from pricing.tiers.tier import CHANGES

__all__ = ["EffectKeys", "GridKeys", "SubsidyKeys", "TiersSection", "rule_faults"]


class GateKeys(Strict):
    """Community first: shares, and factors on those who went through it."""

    sent: float = Field(ge=0, le=1, description="Share of first visits sent to the community first")
    frequency: float = Field(default=1.0, gt=0, description="Factor on the use of those sent")
    severity: float = Field(default=1.0, gt=0, description="Factor on the bill of those sent")
    emergency: float = Field(
        default=0.0, ge=0, le=1, description="Share exempt from the gate: emergencies"
    )

    @property
    def gate(self) -> Gate:
        """As the room takes it."""
        return Gate(**self.model_dump())


class ResponseKeys(Strict):
    """Standard of response in hours, share missed, credit for each, currency."""

    hours: float = Field(gt=0, description="Response promised, hours")
    missed: float = Field(default=0.0, ge=0, le=1, description="Share of calls answered later")
    credit: float = Field(default=0.0, ge=0, description="Paid for each late response, currency")


class BenefitKeys(Strict):
    """``[[tiers.tier.benefit]]``: the terms of one benefit; its use and bill come from the book."""

    name: str = Field(min_length=1, description="The benefit, as the claims name it")
    deductible: float = Field(
        default=0.0, ge=0, description="Paid by the member of each claim first, currency"
    )
    coinsurance: float = Field(
        default=0.0, ge=0, lt=1, description="Share of the rest of a claim that the member pays"
    )
    limit: float | None = Field(default=None, gt=0, description="Most paid of one claim, currency")
    year_limit: float | None = Field(
        default=None, gt=0, description="Most paid of this benefit a person and year, currency"
    )
    waiting_days: int = Field(
        default=0, ge=0, description="Days at the start of a first term without this benefit"
    )
    gate: GateKeys | None = Field(default=None, description="Community first; the table below")
    measured_gate: GateKeys | None = Field(
        default=None, description="The gate under which use and bills were observed"
    )
    measured_coinsurance: float | None = Field(
        default=None, ge=0, le=1, description="Coinsurance under which use was observed"
    )
    elasticity: float = Field(
        default=-0.2, gt=-1, le=0, description="Elasticity of use to what the member pays"
    )
    response: ResponseKeys | None = Field(
        default=None, description="Standard of response; the table below"
    )

    @model_validator(mode="after")
    def _cap(self) -> BenefitKeys:
        if self.limit and self.year_limit and self.year_limit < self.limit:
            raise ValueError(
                f"{self.name}: the cap of the year, {self.year_limit:g}, lies below the limit of one "
                f"claim, {self.limit:g}"
            )
        return self


class LoadingKeys(Strict):
    """Shares of the gross premium, amounts per insured-year, and the risk margin."""

    expense: float = Field(
        default=0.0, ge=0, lt=1, description="Share of the gross premium for expenses"
    )
    commission: float = Field(
        default=0.0, ge=0, lt=1, description="Share of the gross premium for commission"
    )
    profit: float = Field(
        default=0.0, ge=0, lt=1, description="Share of the gross premium for profit"
    )
    fixed_expense: float = Field(default=0.0, ge=0, description="Expense an insured-year, currency")
    service: float = Field(default=0.0, ge=0, description="Service cost an insured-year, currency")
    risk: float = Field(default=0.0, ge=0, description="Risk margin in units of its principle")
    principle: Literal["deviation", "pure", "value_at_risk"] = Field(
        default="deviation",
        description="What the margin is a share of: standard deviation, pure premium, or value at risk above it",
    )
    level: float = Field(default=0.995, gt=0, lt=1, description="Level of the value at risk")

    @model_validator(mode="after")
    def _room(self) -> LoadingKeys:
        taken = self.expense + self.commission + self.profit
        if taken >= 1:
            raise ValueError(f"expense, commission and profit take {taken:.0%} of the premium")
        return self


class SubsidyKeys(Strict):
    """What somebody else pays per insured-year, and to whom."""

    amount: float = Field(ge=0, description="Paid by somebody else an insured-year, currency")
    to: Literal["person", "plan"] = Field(
        default="person",
        description="Who receives it: the person (lowers what the member pays) or the plan (adds to its income)",
    )


class TierKeys(Strict):
    """``[[tiers.tier]]``: one level of the plan."""

    name: str = Field(min_length=1, description="The tier")
    premium: float = Field(gt=0, description="Premium a year, currency")
    deductible: float = Field(
        default=0.0, ge=0, description="Of all benefits together, a person and year, currency"
    )
    coinsurance: float = Field(
        default=0.0, ge=0, lt=1, description="Share of the rest of the year that the member pays"
    )
    out_of_pocket: float | None = Field(
        default=None,
        ge=0,
        description="Most the member pays of what the benefits leave to the year, currency",
    )
    limit: float | None = Field(
        default=None, gt=0, description="Most paid a person and year, currency"
    )
    benefit: list[BenefitKeys] = Field(min_length=1, description="Its benefits; the table below")

    @model_validator(mode="after")
    def _agree(self) -> TierKeys:
        if self.out_of_pocket is not None and self.out_of_pocket < self.deductible:
            raise ValueError(
                f"{self.name}: the out-of-pocket maximum {self.out_of_pocket:g} lies below the "
                f"deductible {self.deductible:g}"
            )
        faults = [
            f"{b.name}: its limit of the year, {b.year_limit:g}, lies above the tier's, {self.limit:g}"
            for b in self.benefit
            if self.limit and b.year_limit and b.year_limit > self.limit
        ]
        faults += [
            f"{b.name}: a waiting period of {b.waiting_days} days leaves nothing of a term of 365"
            for b in self.benefit
            if b.waiting_days >= 365
        ]
        names = [b.name for b in self.benefit]
        faults += [f"benefit {n!r} stands twice" for n in {*names} if names.count(n) > 1]
        if faults:
            raise ValueError("; ".join(faults))
        return self


class EffectKeys(Strict):
    """``[[tiers.effects]]``: one change to look at by itself, on every tier that has its benefits."""

    name: str = Field(pattern=r"^[a-z0-9_-]+$", description="Short name of the change")
    benefits: list[str] | None = Field(
        default=None, description="Benefits it is made to; all where left out"
    )
    change: dict[str, float | bool] = Field(
        default_factory=dict, description="Rule and its new value"
    )
    subsidy: SubsidyKeys | Literal[False] | None = Field(
        default=None, description="Another subsidy, or false for none"
    )

    @model_validator(mode="after")
    def _something(self) -> EffectKeys:
        unknown = [key for key in self.change if key not in CHANGES]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is no rule; there are {', '.join(CHANGES)}")
        faults = rule_faults(self.change.items())
        if faults:
            raise ValueError("; ".join(faults))
        if self.benefits is not None and not self.benefits:
            raise ValueError("benefits: name one or more, or leave it out for all")
        if not self.change and self.subsidy is None:
            raise ValueError("nothing changes; give change or subsidy")
        return self


class GridKeys(Strict):
    """``[tiers.grid]``: values of each rule, priced in every combination."""

    tier: str = Field(description="The tier to vary")
    axes: dict[str, list[float | bool]] = Field(
        min_length=1, description="Rule and the values to try, in every combination"
    )

    @model_validator(mode="after")
    def _known(self) -> GridKeys:
        unknown = [key for key in self.axes if key not in CHANGES]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is no rule; there are {', '.join(CHANGES)}")
        faults = rule_faults((rule, v) for rule, values in self.axes.items() for v in values)
        if faults:
            raise ValueError("; ".join(faults))
        return self


def rule_faults(rules: Iterable[tuple[str, float | bool]]) -> list[str]:
    """Find a gate that is not on or off, and a switch where a number is wanted.

    Examples
    --------
    >>> rule_faults([("gate", 0.5), ("deductible", 30.0)])
    ['gate is true or false, got 0.5']
    """
    return [
        f"{rule} is {'true or false' if rule == 'gate' else 'a number'}, got {value!r}"
        for rule, value in rules
        if isinstance(value, bool) != (rule == "gate")
    ]


class TiersSection(Strict):
    """``[tiers]``: who is insured, what the tiers are, what is asked of them."""

    persons: int = Field(ge=1, description="How many are insured in the year priced")
    new_share: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Share of them in their first term, which has the waiting periods",
    )
    observed: tuple[date, date] = Field(
        description="First day of the experience, and the day after its last"
    )
    on: date = Field(description="Day on which the rules of adequacy are asked")
    amount: str = Field(
        default="amount",
        description="Column of the claims that holds the bill before the plan pays",
    )
    line: float = Field(default=0.7, gt=0, description="Loss ratio whose passing is looked at")
    promised: float = Field(default=0.7, gt=0, description="Loss ratio the plan has promised")
    least_value: float | None = Field(
        default=None, ge=0, le=1, description="Least share of the bills the plan must pay"
    )
    compared: str | None = Field(
        default=None,
        description="Tier whose figures the scenarios are judged by; the first where left out",
    )
    subsidy: SubsidyKeys | None = Field(
        default=None, description="Paid by somebody else; the table below"
    )
    loadings: LoadingKeys = Field(default=LoadingKeys(), description="Loadings; the table below")
    tier: list[TierKeys] = Field(min_length=1, description="The tiers; the table below")
    ages: list[int] = Field(
        default_factory=list, description="Lower edges of age bands for the experience by benefit"
    )
    effects: list[EffectKeys] = Field(
        default_factory=list, description="Changes looked at one by one; the table below"
    )
    grid: GridKeys | None = Field(
        default=None, description="Designs tried in every combination; the table below"
    )

    @model_validator(mode="after")
    def _agree(self) -> TiersSection:
        names = [t.name for t in self.tier]
        faults = [f"tier {n!r} stands twice" for n in {*names} if names.count(n) > 1]
        for key, name in (("compared", self.compared), ("grid.tier", self.grid and self.grid.tier)):
            if name and name not in names:
                faults.append(f"{key}: no tier {name!r}; there are {', '.join(names)}")
        changes = [e.name for e in self.effects]
        faults += [f"effects: {n!r} stands twice" for n in {*changes} if changes.count(n) > 1]
        held = [{b.name for b in t.benefit} for t in self.tier]
        faults += [
            f"effects.{e.name}: no tier has {' and '.join(e.benefits)} together; there are "
            + ", ".join(sorted(set().union(*held)))
            for e in self.effects
            if e.benefits is not None and not any(set(e.benefits) <= own for own in held)
        ]
        if self.observed[0] >= self.observed[1]:
            faults.append("observed: the window must end after it starts")
        lowest = min(t.premium for t in self.tier)
        if self.subsidy and self.subsidy.to == "person" and self.subsidy.amount > lowest:
            faults.append(
                f"a subsidy of {self.subsidy.amount:g} lies above a premium of {lowest:g}"
            )
        if faults:
            raise ValueError("; ".join(faults))
        return self
