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

    severe_scope: float = Field(
        default=1.0, ge=0, description="Factor for severe illnesses beyond the table's 28"
    )
    mild_scope: float = Field(
        default=1.0, ge=0, description="Factor on the minor illnesses; 0 leaves them out"
    )
    mild_beyond: Literal["last", "none"] = Field(
        default="last", description="Minor illnesses beyond age 60: the last ratio holds, or none"
    )


class Item(Strict):
    """``[[services.items]]``: a service; its use a number, counted from rows, or set off."""

    name: str = Field(min_length=1, description="What the rows call the service")
    use: float | None = Field(
        default=None, ge=0, description="Uses per insured-year at full uptake"
    )
    counted: bool = Field(default=False, description="Whether the use is counted from the rows")
    struck: Struck | None = Field(
        default=None, description="A first diagnosis sets the service off"
    )
    unit_cost: float = Field(ge=0, description="Cost of a use, currency")
    uptake: float = Field(
        default=1.0, ge=0, le=1, description="Share of those entitled or struck who use it"
    )
    scope: float = Field(default=1.0, ge=0, description="Factor on the use")
    user_share: float = Field(
        default=0.0, ge=0, le=1, description="Share of the unit cost that users pay"
    )
    fixed_cost: float = Field(default=0.0, ge=0, description="What stands ready, currency a year")

    @model_validator(mode="after")
    def _one_use(self) -> Item:
        if (self.use is not None) + self.counted + (self.struck is not None) != 1:
            raise ValueError(f"{self.name}: give exactly one of use, counted = true or struck")
        return self


class Step(Strict):
    """``[[services.channel.steps]]``: one service of a case."""

    name: str = Field(min_length=1, description="Of the service")
    share: float = Field(ge=0, le=1, description="Share of cases that need it")
    unit_cost: float = Field(ge=0, description="Cost of it, currency")
    user_share: float = Field(default=0.0, ge=0, le=1, description="Share of it that users pay")


class ChannelSection(Struck):
    """``[services.channel]``: a green channel, its steps and who calls."""

    uptake: float = Field(ge=0, le=1, description="Share of those struck who call")
    fixed_cost: float = Field(default=0.0, ge=0, description="Of the desk, currency a year")
    exchange_rate: float = Field(
        gt=0, description="Currency units per US dollar, for the American comparison"
    )
    activations: str | None = Field(
        default=None, description="The service of the rows that counts its activations"
    )
    steps: list[Step] = Field(min_length=1, description="Services of a case")


class People(Strict):
    """``[[services.population]]``: insured of a range of ages, spread evenly over it."""

    age_from: int = Field(ge=0, le=105, description="Youngest age")
    age_to: int = Field(ge=0, le=105, description="Oldest age")
    insured: float = Field(gt=0, description="Insured-years over the range")
    male_share: float = Field(default=0.5, ge=0, le=1, description="Share of men")

    @model_validator(mode="after")
    def _in_order(self) -> People:
        if self.age_to < self.age_from:
            raise ValueError(f"ages run from {self.age_from} to {self.age_to}")
        return self


class Standard(Strict):
    """``[services.standard]``: the response promised for one service, and its staff."""

    service: str = Field(description="The item the promise is about")
    within: float = Field(ge=0, description="Minutes within which callers are answered")
    share: float = Field(gt=0, lt=1, description="Share of callers answered so")
    handling: float = Field(gt=0, description="Mean minutes of work per use")
    shrinkage: float = Field(
        default=0.3, ge=0, lt=1, description="Share of paid time not on the line"
    )
    hours_a_year: float = Field(
        default=2000.0,
        gt=0,
        le=8784,
        description="Paid hours of a full-time member of staff a year",
    )
    cost_a_year: float = Field(
        default=0.0, ge=0, description="Cost of a full-time member of staff a year, currency"
    )
    day_cv: float = Field(
        default=0.0, ge=0, description="Coefficient of variation of the day's arrival rate"
    )
    day_quantile: float = Field(
        default=0.9, gt=0, lt=1, description="Share of days on which the promise is kept"
    )
    peak: float = Field(default=1.0, gt=0, description="Factor on the mean day")
    pattern: list[float] = Field(
        default_factory=lambda: list(DAY_PATTERN),
        description="Weight of each hour of the day, from 0 to 23",
    )
    in_price: bool = Field(
        default=True,
        description="Whether the cost of the staff goes into the service's cost per use",
    )


class Capacity(Strict):
    """``[services.capacity]``: doctors and users, as the plan has them."""

    doctors: float = Field(gt=0, description="Full-time doctors")
    registered: float = Field(gt=0, description="Registered users")
    active_share: float = Field(gt=0, le=1, description="Share of them active in a year")
    uses_per_active: float = Field(gt=0, description="Consultations of an active user a year")
    per_doctor_day: float = Field(
        gt=0, description="Consultations a doctor carries on a working day"
    )
    days_a_year: float = Field(default=250.0, gt=0, le=366, description="Working days of a doctor")


class Price(Strict):
    """``[services.price]``: the rider's loadings, and the premium the services may sit in."""

    on: date = Field(description="Day whose rules are checked")
    loading: float = Field(
        ge=0, lt=1, description="Loading of the main cover, share of its gross premium"
    )
    premiums: dict[str, float] = Field(
        min_length=1, description="Gross premium of the main cover by age band"
    )
    expense: float = Field(
        default=0.0, ge=0, lt=1, description="Expenses of the rider, share of its price"
    )
    commission: float = Field(default=0.0, ge=0, lt=1, description="Commission, share of the price")
    tax: float = Field(default=0.0, ge=0, lt=1, description="Taxes, share of the price")
    profit: float = Field(default=0.0, ge=0, lt=1, description="Profit, share of the price")
    fixed_expense: float = Field(
        default=0.0, ge=0, description="Expense per insured-year, currency"
    )
    pilot_cap: float | None = Field(
        default=None, gt=0, lt=1, description="A higher cap granted to a well-rated health insurer"
    )

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

    name: str = Field(min_length=1, description="Of the level")
    services: list[str] = Field(min_length=1, description="Items it has")
    content: float = Field(default=1.0, gt=0, description="Factor on their use")
    customers: float = Field(gt=0, description="Insured-years of the level")
    charged: float | None = Field(
        default=None, ge=0, description="Price charged a year; the price needed where left out"
    )


class Engagement(Strict):
    """``[services.engagement]``: claims by engagement, adjusted for these."""

    confounders: list[str] = Field(
        min_length=1, description="Factors to adjust for: age_band and columns of the members"
    )
    levels: list[str] = Field(
        default_factory=list,
        description="Levels of engagement, rising; as they sort where left out",
    )
    base: str | None = Field(default=None, description="Level the others are compared with")


class BreakEvenSection(Strict):
    """``[services.break_even]``: claims by age band, and what the services bring in."""

    claims_cost: dict[str, float] = Field(
        min_length=1, description="Expected claims per insured-year by age band"
    )
    income: float = Field(
        default=0.0,
        ge=0,
        description="What the services bring in per insured-year, net of loadings",
    )


class ServicesSection(Strict):
    """``[services]``: what is offered to whom, at what cost, under which promise and price."""

    name: str = Field(min_length=1, description="Of the plan")
    observed: tuple[date, date] = Field(
        description="First day of the rows counted, and the day after the last"
    )
    edges: list[int] = Field(
        default_factory=lambda: [18, 30, 40, 50, 60, 70],
        min_length=1,
        description="Lower ages of the bands",
    )
    items: list[Item] = Field(default_factory=list, description="The services")
    elsewhere: list[str] = Field(
        default_factory=list, description="Services of the rows that belong to other plans"
    )
    population: list[People] = Field(
        default_factory=list, description="The insured; those of the members where left out"
    )
    insured: float | None = Field(
        default=None, gt=0, description="Insured-years the population is scaled to"
    )
    channel: ChannelSection | None = Field(default=None, description="A green channel")
    standard: Standard | None = Field(default=None, description="A promise of response")
    capacity: Capacity | None = Field(default=None, description="Doctors and users")
    price: Price | None = Field(
        default=None, description="Rider, and the premium the services may sit in"
    )
    levels: list[Level] = Field(default_factory=list, description="Levels of service")
    platform_cost: float = Field(
        default=0.0, ge=0, description="Platform and technology, currency a year"
    )
    engagement: Engagement | None = Field(default=None, description="Claims by engagement")
    break_even: BreakEvenSection | None = Field(
        default=None, description="When the services pay for themselves"
    )

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
