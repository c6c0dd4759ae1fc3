"""The sections of ``[services]``: each key, its type, its domain, and what would contradict."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field, model_validator

from pricing.errors import nearest
from pricing.experience.bands import band_labels
from pricing.services.price import RiderTerms
from pricing.services.staffing import DAY_PATTERN
from pricing.study.sections import Strict

__all__ = ["ChannelSection", "Price", "ServicesSection", "Standard"]


class Struck(Strict):
    """``struck``: a first diagnosis sets the service off; scopes beyond the table's illnesses."""

    severe_scope: float = Field(default=1.0, ge=0)
    mild_scope: float = Field(default=1.0, ge=0)
    mild_beyond: Literal["last", "none"] = "last"


class Item(Strict):
    """``[[services.items]]``: a service; its use a number, counted from rows, or set off."""

    name: str = Field(min_length=1)
    use: float | None = Field(default=None, ge=0)
    counted: bool = False
    struck: Struck | None = None
    unit_cost: float = Field(ge=0)
    uptake: float = Field(default=1.0, ge=0, le=1)
    scope: float = Field(default=1.0, ge=0)
    user_share: float = Field(default=0.0, ge=0, le=1)
    fixed_cost: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _one_use(self) -> Item:
        if (self.use is not None) + self.counted + (self.struck is not None) != 1:
            raise ValueError(f"{self.name}: give exactly one of use, counted = true or struck")
        return self


class Step(Strict):
    """``[[services.channel.steps]]``: one service of a case."""

    name: str = Field(min_length=1)
    share: float = Field(ge=0, le=1)
    unit_cost: float = Field(ge=0)
    user_share: float = Field(default=0.0, ge=0, le=1)


class ChannelSection(Struck):
    """``[services.channel]``: a green channel, its steps and who calls."""

    uptake: float = Field(ge=0, le=1)
    fixed_cost: float = Field(default=0.0, ge=0)
    exchange_rate: float = Field(gt=0)
    activations: str | None = None  # the service of the rows that counts its activations
    steps: list[Step] = Field(min_length=1)


class People(Strict):
    """``[[services.population]]``: insured of a range of ages, spread evenly over it."""

    age_from: int = Field(ge=0, le=105)
    age_to: int = Field(ge=0, le=105)
    insured: float = Field(gt=0)
    male_share: float = Field(default=0.5, ge=0, le=1)

    @model_validator(mode="after")
    def _in_order(self) -> People:
        if self.age_to < self.age_from:
            raise ValueError(f"ages run from {self.age_from} to {self.age_to}")
        return self


class Standard(Strict):
    """``[services.standard]``: the response promised for one service, and its staff."""

    service: str
    within: float = Field(ge=0)
    share: float = Field(gt=0, lt=1)
    handling: float = Field(gt=0)
    shrinkage: float = Field(default=0.3, ge=0, lt=1)
    hours_a_year: float = Field(default=2000.0, gt=0, le=8784)
    cost_a_year: float = Field(default=0.0, ge=0)
    day_cv: float = Field(default=0.0, ge=0)
    day_quantile: float = Field(default=0.9, gt=0, lt=1)
    peak: float = Field(default=1.0, gt=0)
    pattern: list[float] = Field(default_factory=lambda: list(DAY_PATTERN))
    in_price: bool = True


class Capacity(Strict):
    """``[services.capacity]``: doctors and users, as the plan has them."""

    doctors: float = Field(gt=0)
    registered: float = Field(gt=0)
    active_share: float = Field(gt=0, le=1)
    uses_per_active: float = Field(gt=0)
    per_doctor_day: float = Field(gt=0)
    days_a_year: float = Field(default=250.0, gt=0, le=366)


class Price(Strict):
    """``[services.price]``: the rider's loadings, and the premium the services may sit in."""

    on: date
    loading: float = Field(ge=0, lt=1)
    premiums: dict[str, float] = Field(min_length=1)
    expense: float = Field(default=0.0, ge=0, lt=1)
    commission: float = Field(default=0.0, ge=0, lt=1)
    tax: float = Field(default=0.0, ge=0, lt=1)
    profit: float = Field(default=0.0, ge=0, lt=1)
    fixed_expense: float = Field(default=0.0, ge=0)
    pilot_cap: float | None = Field(default=None, gt=0, lt=1)

    @model_validator(mode="after")
    def _something_is_left(self) -> Price:
        self.terms()
        return self

    def terms(self) -> RiderTerms:
        """Give the loadings of the rider."""
        return RiderTerms(
            expense=self.expense, commission=self.commission, tax=self.tax, profit=self.profit,
            fixed_expense=self.fixed_expense,
        )  # fmt: skip


class Level(Strict):
    """``[[services.levels]]``: a level of service for a level of customer."""

    name: str = Field(min_length=1)
    services: list[str] = Field(min_length=1)
    content: float = Field(default=1.0, gt=0)
    customers: float = Field(gt=0)
    charged: float | None = Field(default=None, ge=0)


class Engagement(Strict):
    """``[services.engagement]``: claims by engagement, adjusted for these."""

    confounders: list[str] = Field(min_length=1)
    levels: list[str] = Field(default_factory=list)  # in rising order; as they sort where left out
    base: str | None = None


class BreakEvenSection(Strict):
    """``[services.break_even]``: claims by age band, and what the services bring in."""

    claims_cost: dict[str, float] = Field(min_length=1)
    income: float = Field(default=0.0, ge=0)


class ServicesSection(Strict):
    """``[services]``: what is offered to whom, at what cost, under which promise and price."""

    name: str = Field(min_length=1)
    observed: tuple[date, date]
    edges: list[int] = Field(default_factory=lambda: [18, 30, 40, 50, 60, 70], min_length=1)
    items: list[Item] = Field(default_factory=list)
    elsewhere: list[str] = Field(default_factory=list)
    population: list[People] = Field(default_factory=list)
    insured: float | None = Field(default=None, gt=0)
    channel: ChannelSection | None = None
    standard: Standard | None = None
    capacity: Capacity | None = None
    price: Price | None = None
    levels: list[Level] = Field(default_factory=list)
    platform_cost: float = Field(default=0.0, ge=0)
    engagement: Engagement | None = None
    break_even: BreakEvenSection | None = None

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> ServicesSection:
        band_labels(self.edges)
        names = [item.name for item in self.items]
        faults = [
            f"items: {n!r} is named twice" for n in dict.fromkeys(names) if names.count(n) > 1
        ]
        if not self.items and self.channel is None:
            faults.append("give items or a channel: there is nothing to price")
        if self.observed[1] <= self.observed[0]:
            faults.append(f"observed ends on {self.observed[1]}, not after {self.observed[0]}")
        faults += [f"elsewhere: {n!r} is an item too" for n in self.elsewhere if n in names]
        if self.channel and self.channel.activations in self.elsewhere:
            faults.append(f"elsewhere: {self.channel.activations!r} is counted as the channel's")
        if self.standard and self.standard.service not in names:
            faults.append(
                f"standard: no item {self.standard.service!r}{nearest(self.standard.service, names)}"
            )
        paid = [i.name for i in self.items if i.user_share == 1]
        if self.standard and self.standard.in_price and self.standard.service in paid:
            faults.append(
                f"standard: users pay all of {self.standard.service!r}; set in_price = false"
            )
        if self.standard and len(self.standard.pattern) != 24:
            faults.append(f"standard: pattern has {len(self.standard.pattern)} hours, not 24")
        faults += [
            f"levels.{level.name}: no item {n!r}{nearest(n, names)}"
            for level in self.levels
            for n in level.services
            if n not in names
        ]
        levels = [level.name for level in self.levels]
        faults += [f"levels: {n!r} is named twice" for n in set(levels) if levels.count(n) > 1]
        known = band_labels(self.edges)
        for what, asked in (
            ("price.premiums", self.price.premiums if self.price else {}),
            ("break_even.claims_cost", self.break_even.claims_cost if self.break_even else {}),
        ):
            faults += [
                f"{what}: no age band {n!r}{nearest(n, known)}" for n in asked if n not in known
            ]
            faults += [
                f"{what}: {n!r} must be above zero, got {v}" for n, v in asked.items() if v <= 0
            ]
        if faults:
            raise ValueError("; ".join(faults))
        return self
