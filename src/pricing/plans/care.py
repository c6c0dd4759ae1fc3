"""Long-term care: what a benefit is worth, what a change of it costs, whether the fund lasts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import polars as pl
from pydantic import Field, model_validator

from pricing.care.assessed import assessed_cost
from pricing.care.cost import Range, cost_of_change
from pricing.care.definition import DEFINITIONS, DefinitionRisk, definition_risk
from pricing.care.grading import grade, grading_standard
from pricing.care.intensity import matrix_gaps
from pricing.care.morbidity import Morbidity, morbidity
from pricing.care.population import Insured, banded_population, insured_of, stable_population
from pricing.care.projected import CareProjection
from pricing.care.projection import Course, course, project_care
from pricing.care.scheme import Fund, Scheme
from pricing.care.stacks import care_occupancy, care_settings
from pricing.care.stress import definition_weights, stress_care
from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.plans.lately import Lately
from pricing.result.shape import Basis, Result
from pricing.study.sections import Strict

__all__ = ["OPTIONAL", "TABLES", "CareSection", "headline", "prepare", "results", "simulate"]

TABLES: tuple[str, ...] = ()
OPTIONAL = ("insured_population", "care_rates", "assessments")
SEVERE = "severe"
PEOPLE = ("insured", "age_bands", "aged_share")
RATES = (
    *("study", "deaths", "trend", "calendar_year", "duration_months"),
    *("recovery_by_duration", "mortality_by_duration"),
)
LIVES = (*PEOPLE, *RATES, "years", "waiting_months", "entrants_growth")  # all that lives rest on


class RangeKeys(Strict):
    """A figure with its 90 % interval."""

    central: float = Field(ge=0, description="Central value")
    low: float | None = Field(
        default=None,
        gt=0,
        description="Lower end of the 90 % interval; the central value where left out",
    )
    high: float | None = Field(default=None, gt=0, description="Upper end")

    @model_validator(mode="after")
    def _in_order(self) -> RangeKeys:
        self.range()
        return self

    def range(self) -> Range:
        """As the room takes it."""
        return Range(self.central, self.low, self.high)


class GradeKeys(Strict):
    """``[care.grades.NAME]``: a further grade that is paid, per one severe case."""

    per_severe: RangeKeys = Field(description="Cases per one severe case")
    factor: float = Field(default=1.0, ge=0, description="Amount over that of the severe")
    from_year: int = Field(
        default=0,
        ge=0,
        le=100,
        description="First year of the projection, from 0, in which the grade is paid",
    )
    admitted: bool = Field(
        default=True, description="Whether it is paid; if not, moderate is a stress"
    )


class FundKeys(Strict):
    """``[care.fund]``: how the scheme is paid for."""

    contribution: float = Field(ge=0, description="Per insured and year, in the first year")
    growth: float = Field(default=0.0, ge=-0.5, le=0.5, description="Of the contribution, a year")
    subsidy: float = Field(default=0.0, ge=0, description="A year, from outside, level")
    reserve: float = Field(default=0.0, ge=0, description="At the start")
    interest: float = Field(default=0.025, ge=-0.5, le=0.5, description="On the reserve, a year")


class AssessedKeys(Strict):
    """``[care.assessed]``: assessments made and amounts paid since the start."""

    assessments: int = Field(ge=1, description="Assessments made since the start")
    paid: float = Field(ge=0, description="Amount paid since the start")
    admitted: float = Field(
        default=1.0, gt=0, le=1, description="Share of assessments that led to a benefit"
    )
    age: int = Field(
        default=80,
        ge=65,
        le=100,
        description="Age at which the expected months disabled are compared",
    )
    benefits: dict[str, float] = Field(
        min_length=1, description="Benefit a month, by name: each a reading of what a case is paid"
    )


class CareSection(Strict):
    """``[care]``: the insured, who becomes disabled, what is promised, how it is paid for."""

    insured: float = Field(
        gt=0, description="Number insured; the table insured_population takes its place"
    )
    age_bands: dict[str, float] | None = Field(
        default=None,
        description="Share of the insured by band of age, such as 0-9 and 80+; every age once",
    )
    aged_share: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Share aged 65 and over of a stable population, in the place of age_bands",
    )
    entrants_growth: float = Field(
        default=0.0, gt=-0.5, lt=0.5, description="Growth of births, a year"
    )
    years: int = Field(default=50, ge=2, le=100, description="Years projected")

    study: Literal["clhls", "hrs"] = Field(
        default="clhls", description="Published intensities; the table care_rates takes their place"
    )
    deaths: Literal["study", "table"] = Field(
        default="table",
        description="Deaths as in the study, or as in the life table with the ratio of the study",
    )
    calendar_year: int = Field(
        default=2026,
        ge=1998,
        le=2100,
        description="First calendar year of the projection and of the trend",
    )
    trend: Literal["off", "held", "on"] = Field(
        default="off",
        description="Trend of the intensities: off, held at the calendar year, or going on",
    )
    duration_months: list[int] = Field(
        default=[0],
        min_length=1,
        description="Months since onset at which recovery and mortality of the disabled change, from 0",
    )
    recovery_by_duration: list[float] = Field(
        default=[1.0], min_length=1, description="Multiple of recovery from each of them on"
    )
    mortality_by_duration: list[float] = Field(
        default=[1.0],
        min_length=1,
        description="Multiple of the mortality of the disabled from each of them on",
    )

    monthly: float = Field(gt=0, description="Benefit a month")
    monthly_before: float | None = Field(
        default=None,
        gt=0,
        description="Benefit a month before the rise; asks for the cost of the change",
    )
    response: RangeKeys | None = Field(
        default=None,
        description="Further severe cases that the rise brings, as a share of those before",
    )
    settings: dict[str, float] = Field(
        default={"home": 1.0},
        min_length=1,
        description="Share of those in payment by setting; they add to 1",
    )
    prices: dict[str, float] = Field(
        default={},
        description="Cost a month by setting, in the first year; the benefit where left out",
    )
    price_growth: float = Field(default=0.0, gt=-0.5, lt=0.5, description="Of the prices, a year")
    waiting_months: int = Field(
        default=6,
        ge=0,
        le=60,
        description="Months of disability before payment, anew for each stay",
    )
    uptake: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Share of those entitled who are in payment, where observed_share is not given",
    )
    observed_share: RangeKeys | None = Field(
        default=None,
        description="Severe cases in payment as a share of the insured, which sets the uptake",
    )
    grades: dict[str, GradeKeys] = Field(default={}, description="Further grades that are paid")
    fund: FundKeys = Field(description="How the scheme is paid for")
    assessed: AssessedKeys | None = Field(
        default=None, description="Assessments and payments so far"
    )

    interest: float = Field(
        default=0.025, ge=0, le=0.5, description="For the value of the benefit, a year"
    )
    definitions: list[str] = Field(
        default=list(DEFINITIONS),
        min_length=1,
        description="Definitions of disability side by side; the first is the one the others are held against",
    )
    wider: list[str] = Field(
        default=["cui_severe"], description="Definitions that the fund is stressed by"
    )

    @model_validator(mode="after")
    def _rules(self) -> CareSection:
        if self.age_bands is not None and self.aged_share is not None:
            raise ValueError("give age_bands or aged_share, one of the two")
        if self.trend != "off" and self.study != "clhls":
            raise ValueError("a trend is known for study = 'clhls' only")
        unknown = [d for d in [*self.definitions, *self.wider] if d not in DEFINITIONS]
        if unknown:
            raise ValueError(f"no definition {unknown[0]!r}; there are {', '.join(DEFINITIONS)}")
        if SEVERE in self.grades:
            raise ValueError("the severe are paid in any case; grades names the others")
        if self.monthly_before is not None and self.observed_share is None:
            raise ValueError("the cost of a change needs observed_share, those in payment before")
        late = [name for name, g in self.grades.items() if g.from_year >= self.years]
        if late:
            raise ValueError(f"{late[0]} is admitted in a year after the last one projected")
        self.scheme()
        self.money()
        if self.age_bands is not None:
            banded_population(self.insured, self.age_bands)
        return self

    def scheme(self) -> Scheme:
        """What is promised, as the room takes it."""
        paid = {name: g for name, g in self.grades.items() if g.admitted}
        return Scheme(
            prices=self.prices or dict.fromkeys(self.settings, self.monthly),
            settings=self.settings,
            price_growth=self.price_growth,
            waiting_months=self.waiting_months,
            uptake=self.uptake,
            observed_share=None if self.observed_share is None else self.observed_share.central,
            grades={SEVERE: 1.0, **{n: g.per_severe.central for n, g in paid.items()}},
            grade_factors={n: g.factor for n, g in paid.items()},
            admitted={n: g.from_year for n, g in paid.items()},
        )

    def money(self) -> Fund:
        """How it is paid for, as the room takes it."""
        return Fund(**self.fund.model_dump())


@dataclass(frozen=True)
class Prepared:
    """The tables delivered, where there are any."""

    insured: pl.DataFrame | None
    rates: pl.DataFrame | None
    assessments: pl.DataFrame | None
    projected: Lately[CareProjection] = field(default_factory=Lately, repr=False, compare=False)
    courses: Lately[Course] = field(default_factory=Lately, repr=False, compare=False)
    people: Lately[Insured] = field(default_factory=Lately, repr=False, compare=False)
    morbidities: Lately[Morbidity] = field(default_factory=Lately, repr=False, compare=False)


def simulate(folder: object, *, members: int, seed: int) -> None:
    """Refuse: the plan is priced from published intensities and its section.

    Examples
    --------
    >>> simulate("folder", members=1, seed=1)
    Traceback (most recent call last):
    pricing.errors.InputError: a care plan reads no simulated tables
      do: take [simulate] out of the file
    """
    del folder, members, seed
    raise InputError("a care plan reads no simulated tables", do="take [simulate] out of the file")


def prepare(section: CareSection, tables: Mapping[str, pl.DataFrame], basis: Basis) -> Prepared:
    """Keep the tables as the rooms take them; rates with gaps are refused here.

    Examples
    --------
    >>> from pricing.data.tables import bundled
    >>> from pricing.study.toml_file import read_toml
    >>> section = CareSection(**read_toml(bundled("studies/home_care.toml"))["care"])
    >>> prepare(section, {}, Basis()).insured is None
    True
    """
    del basis
    origin = pl.selectors.starts_with("_")
    held = {name: tables[name].drop(origin) if name in tables else None for name in OPTIONAL}
    prepared = Prepared(held["insured_population"], held["care_rates"], held["assessments"])
    _rates(section, prepared)
    return prepared


def results(section: CareSection, prepared: Prepared, basis: Basis) -> dict[str, Result]:
    """Give definition risk first, then the cost of changes, the fund and its stresses.

    Examples
    --------
    >>> from pricing.data.tables import bundled
    >>> from pricing.study.toml_file import read_toml
    >>> section = CareSection(**read_toml(bundled("studies/home_care.toml"))["care"])
    >>> short = section.model_copy(update={"years": 2, "definitions": ["clhls"], "wider": []})
    >>> list(results(short, prepare(short, {}, Basis()), Basis()))
    ['definition_risk', 'care_projection', 'care_settings', 'care_occupancy', 'care_stress']
    """
    insured, rates = _insured(section, prepared), _rates(section, prepared)
    scheme, fund = section.scheme(), section.money()
    wanted = list(dict.fromkeys([*section.definitions, "clhls", *section.wider]))
    risk = definition_risk(
        section.monthly, interest=section.interest, year=section.calendar_year,
        definitions=section.definitions, currency=basis.currency,
    )  # fmt: skip
    found: dict[str, Result] = {"definition_risk": risk}
    if any(d.startswith("cui") for d in wanted):
        found["matrix_gaps"] = matrix_gaps()
    if prepared.assessments is not None:
        scored = prepared.assessments.drop_nulls(list(grading_standard().items))
        if not scored.is_empty():
            graded = grade(scored.drop("care_level", strict=False))
            empty = prepared.assessments.height - scored.height
            note = f"{empty:,} of {prepared.assessments.height:,} assessments lack a score of some item and are not graded"
            notes = (*graded.basis.notes, note) if empty else graded.basis.notes
            found["care_grades"] = replace(graded, basis=replace(graded.basis, notes=notes))
    if section.monthly_before is not None and section.observed_share is not None:
        found["cost_of_change"] = cost_of_change(
            insured=insured.total, share=section.observed_share.range(),
            before=section.monthly_before, after=section.monthly,
            admitted={n: g.per_severe.range() for n, g in section.grades.items() if g.admitted},
            factors={n: g.factor for n, g in section.grades.items() if g.admitted},
            response=None if section.response is None else section.response.range(),
            source=basis.source, currency=basis.currency,
        )  # fmt: skip
    base = _project(section, prepared, basis.currency)
    found["care_projection"] = base
    if len(section.settings) > 1:
        found["care_settings"] = care_settings(base)
    found["care_occupancy"] = care_occupancy(base)
    moderate = section.grades.get("moderate")
    found["care_stress"] = stress_care(
        insured, rates, scheme, fund, years=section.years,
        entrants_growth=section.entrants_growth, base=base,
        moderate=None if moderate is None or moderate.admitted else moderate.per_severe.central,
        moderate_factor=1.0 if moderate is None else moderate.factor,
        wider={name: definition_weights(_wide(section, name), name) for name in section.wider},
    )  # fmt: skip
    if section.assessed is not None:
        found["assessed_cost"] = assessed_cost(
            **section.assessed.model_dump(), source=basis.source, currency=basis.currency
        )
    return {name: _of_the_study(result, basis, name) for name, result in found.items()}


def headline(section: CareSection, prepared: Prepared) -> dict[str, float]:
    """Give benefits, those in payment, the pay-as-you-go contribution and the reserve, first and last.

    Examples
    --------
    >>> from pricing.data.tables import bundled
    >>> from pricing.study.toml_file import read_toml
    >>> section = CareSection(**read_toml(bundled("studies/home_care.toml"))["care"])
    >>> list(headline(section, prepare(section, {}, Basis())))[:2]
    ['outgo_first', 'in_payment_first']
    """
    facts = _project(section, prepared, "CNY").facts
    names = (
        "outgo_first",
        "in_payment_first",
        "outgo_last",
        "payg_first",
        "payg_last",
        "reserve_last",
    )
    found = {name: float(facts[name]) for name in names}
    growth = facts[f"closing_growth_{section.years}"]
    return found if growth is None else {**found, "closing_growth": float(growth)}


def at_once(section: CareSection, prepared: Prepared, basis: Basis) -> dict[str, Result]:
    """Give what a page shows while a benefit is dragged: the fund year by year, and who is in payment."""
    base = _project(section, prepared, basis.currency)
    found = {"care_projection": base, "care_occupancy": care_occupancy(base)}
    return {name: _of_the_study(one, basis, name) for name, one in found.items()}


def _project(section: CareSection, prepared: Prepared, currency: str) -> CareProjection:
    key = (section.model_dump_json(), currency)
    return prepared.projected.of(key, lambda: _projected(section, prepared, currency))


def _projected(section: CareSection, prepared: Prepared, currency: str) -> CareProjection:
    people, rates = _insured(section, prepared), _rates(section, prepared)
    told = section.model_dump_json(include=set(LIVES))
    lives = prepared.courses.of(
        told,
        lambda: course(
            people, rates, years=section.years, waiting_months=section.waiting_months,
            entrants_growth=section.entrants_growth,
        ),
    )  # fmt: skip
    return project_care(
        people, rates, section.scheme(), section.money(),
        years=section.years, entrants_growth=section.entrants_growth, first_year=section.calendar_year,
        currency=currency, lives=lives,
    )  # fmt: skip


def _insured(section: CareSection, prepared: Prepared) -> Insured:
    told = section.model_dump_json(include=set(PEOPLE))
    return prepared.people.of(told, lambda: _people(section, prepared))


def _people(section: CareSection, prepared: Prepared) -> Insured:
    if prepared.insured is not None:
        return insured_of(prepared.insured)
    if section.age_bands is not None:
        return banded_population(section.insured, section.age_bands)
    return stable_population(section.insured, aged_share=section.aged_share)


def _rates(section: CareSection, prepared: Prepared) -> Morbidity:
    told = section.model_dump_json(include=set(RATES))
    return prepared.morbidities.of(told, lambda: _morbidity(section, prepared))


def _morbidity(section: CareSection, prepared: Prepared) -> Morbidity:
    own = prepared.rates is not None
    return morbidity(
        prepared.rates if prepared.rates is not None else section.study,
        deaths=section.deaths,
        year=None if own or section.trend == "off" else section.calendar_year,
        trend=not own and section.trend == "on",
        duration_months=tuple(section.duration_months),
        recovery_by_duration=tuple(section.recovery_by_duration),
        mortality_by_duration=tuple(section.mortality_by_duration),
    )


def _wide(section: CareSection, name: str) -> DefinitionRisk:
    """Hold a wider definition against the one the projection is made by."""
    own = {"off": section.study, "held": "clhls_now", "on": "clhls_trend"}[section.trend]
    names = [own, name] if name != own else [own]
    return definition_risk(section.monthly, year=section.calendar_year, definitions=names)


def _of_the_study(result: Result, basis: Basis, name: str) -> Result:
    own = result.basis
    source = (
        f"{basis.source}: {own.source}" if own.source not in ("", basis.source) else basis.source
    )
    return replace(
        result,
        basis=replace(
            own, source=source, currency=basis.currency, period=own.period or basis.period,
            fingerprint=fingerprint(basis.fingerprint, own.fingerprint, name),
        ),
    )  # fmt: skip
