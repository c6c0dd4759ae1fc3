"""Re-assessment of long-term care cases: from past visits to the next round's plan and what leaks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Literal

import polars as pl
from pydantic import Field, model_validator

from pricing.data.care_book import simulate_care_cases
from pricing.errors import InputError
from pricing.estimate.design import variables
from pricing.files import fingerprint
from pricing.reassessment.calibration import VisitCalibration, calibrate_visits
from pricing.reassessment.eligibility import (
    IneligibleOdds,
    LossOfEligibility,
    fit_ineligible,
    fit_loss_of_eligibility,
)
from pricing.reassessment.funnel import funnel
from pricing.reassessment.interval import best_interval
from pricing.reassessment.leakage import Leakage, estimate_leakage
from pricing.reassessment.outcomes import cases_in_payment, visit_outcomes
from pricing.reassessment.random_share import even_numbers
from pricing.reassessment.same_scores import same_scores
from pricing.reassessment.screening import Mailer, screen_cases
from pricing.reassessment.targeting import Targeting, target_visits
from pricing.reassessment.visit_plan import VisitPlan, plan_visits
from pricing.reassessment.visit_value import VisitTerms, VisitValues, value_visits
from pricing.result.shape import Basis, Result
from pricing.study.sections import Strict

__all__ = ["MailerSection", "Prepared", "ReassessmentSection", "VisitSection"]

TABLES = ("care_cases", "care_visits")
SETTINGS = ("home", "institution")
FEWEST = 10  # rows of a provider or assessor below which nobody is judged


class BySetting(Strict):
    """A figure for care at home and in an institution."""

    home: float = Field(ge=0, description="For care at home")
    institution: float = Field(ge=0, description="For care in an institution")

    def of(self) -> dict[str, float]:
        """Give it by setting."""
        return {"home": self.home, "institution": self.institution}


class VisitSection(Strict):
    """``[reassessment.visit]``: what a visit does and what becomes of it."""

    sensitivity: float = Field(default=0.95, gt=0, le=1, description="Share of ineligible cases that a visit finds out")  # fmt: skip
    false_stop: float = Field(default=0.01, ge=0, le=1, description="Share of eligible cases that it stops")  # fmt: skip
    appeal_cost: float = Field(default=800.0, ge=0, description="Cost of the appeal of a wrong stop")  # fmt: skip
    lookback_months: float = Field(default=6.0, ge=0, description="Months paid in error that can be claimed back")  # fmt: skip
    collect: float = Field(default=0.35, ge=0, le=1, description="Share of what is claimed back that is collected")  # fmt: skip
    return_rate: float = Field(default=0.25, ge=0, le=1, description="Share of those stopped who come back")  # fmt: skip
    exit_rate: float = Field(default=0.01, ge=0, le=1, description="Monthly probability that payment ends by itself")  # fmt: skip
    interest: float = Field(default=0.025, gt=-0.99, le=10, description="Interest a year")

    def terms(self) -> VisitTerms:
        """Give them as the room takes them."""
        return VisitTerms(**self.model_dump())


class MailerSection(Strict):
    """``[reassessment.mailer]``: a questionnaire or call before a visit."""

    cost: float = Field(default=12.0, ge=0, description="Cost of one")
    sensitivity: float = Field(default=0.7, ge=0, le=1, description="Share of ineligible cases it points at")  # fmt: skip
    specificity: float = Field(default=0.85, ge=0, le=1, description="Share of eligible cases it does not point at")  # fmt: skip


class ReassessmentSection(Strict):
    """``[reassessment]``: the day, the model of past visits, the next round's capacity and rules."""

    as_of: date = Field(description="Day on which cases in payment are looked at")
    form: Literal["hazard", "odds"] = Field(default="hazard", description="Yearly rate of losing eligibility, or log-odds")  # fmt: skip
    formula: str = Field(description="Factors and covariates of a case: grade, setting, age, diagnosis, service_gap, out_of_bed, years_since_review")  # fmt: skip
    hold_out: float = Field(default=0.4, gt=0, lt=1, description="Share of past visits the calibration is judged on")  # fmt: skip
    validity_months: float = Field(default=24.0, gt=0, le=120, description="Months after which every case is re-assessed anyway")  # fmt: skip
    visits: BySetting = Field(description="Visits the teams can make in the next round")
    hours: BySetting = Field(description="Hours of one visit")
    cost: BySetting = Field(description="Cost of one visit")
    visit: VisitSection = Field(default_factory=VisitSection, description="What a visit does")
    mailer: MailerSection | None = Field(default=None, description="A cheap first stage")
    random_share: float = Field(default=0.10, ge=0, le=1, description="Share of all cases visited by lot")  # fmt: skip
    seed: int = Field(default=1, ge=0, description="Of the lot")
    cap_per_provider: int | None = Field(default=None, ge=0, description="Visits by value to one provider at most")  # fmt: skip
    method: Literal["greedy", "exact"] = Field(default="greedy", description="By value per hour, or the exact optimum")  # fmt: skip
    spread: Literal["additive", "multiplicative", "none"] = Field(default="additive", description="How over-dispersion between providers is taken")  # fmt: skip

    @model_validator(mode="after")
    def _rules(self) -> ReassessmentSection:
        if self.hours.home == 0 or self.hours.institution == 0:
            raise ValueError("hours of a visit must be above 0")
        room = self.visits.home + self.visits.institution
        if self.random_share > 0 and room == 0:
            raise ValueError("a random share needs visits: visits are 0")
        if self.form == "hazard" and "years_since_review" in variables(self.formula):
            raise ValueError(
                "the hazard form counts years_since_review as exposure; leave it out of the formula"
            )
        return self


@dataclass(frozen=True)
class Prepared:
    """Past visits with their outcomes, all cases, and the models fitted so far by form and formula."""

    cases: pl.DataFrame
    outcomes: pl.DataFrame
    models: dict[tuple[str, str], IneligibleOdds] = field(default_factory=dict)


def simulate(folder: Path, *, members: int, seed: int) -> None:
    """Write simulated cases and past visits with their truth."""
    simulate_care_cases(folder, members=members, seed=seed)


def prepare(section: ReassessmentSection, tables: Mapping[str, pl.DataFrame], basis: Basis) -> Prepared:  # fmt: skip
    """Put past visits beside their cases and fit the model once."""
    del basis
    origin = pl.selectors.starts_with("_")
    cases, visits = (tables[name].drop(origin) for name in TABLES)
    prepared = Prepared(cases, visit_outcomes(cases, visits))
    _model(section, prepared)
    return prepared


def results(section: ReassessmentSection, prepared: Prepared, basis: Basis) -> dict[str, Result]:
    """Give the plan first, then what it rests on: value, model, calibration, leakage, funnels."""
    model = _model(section, prepared)
    values = _values(section, prepared, basis)
    found: dict[str, Result] = {
        "visit_plan": _plan(section, values, basis),
        "visit_values": values,
        model.kind: model,
        **_judged(section, prepared),
    }
    if section.mailer is not None:
        found["two_stage"] = screen_cases(values, Mailer(**section.mailer.model_dump()))
    found["visit_interval"] = best_interval(
        _grades(section, prepared),
        validity_months=section.validity_months,
        present_months=section.validity_months,
        currency=basis.currency,
    )
    leak = _leakage(prepared, basis)
    if leak is not None:
        found["leakage"] = leak
    found |= _standing_out(section, prepared)
    return {
        name: replace(
            one,
            basis=replace(
                one.basis,
                source=basis.source,
                currency=basis.currency,
                fingerprint=fingerprint(basis.fingerprint, one.basis.fingerprint, name),
            ),
        )
        for name, one in found.items()
    }


def headline(section: ReassessmentSection, prepared: Prepared) -> dict[str, float]:
    """Give visits, what they should find and bring, and what one hour more would bring."""
    values = _values(section, prepared, Basis())
    plan = _plan(section, values, Basis())
    made = plan.cases.filter("planned").select("case_id").join(values.cases, on="case_id")
    visits = max(made.height, 1)
    return {
        "visits": float(made.height),
        "expected_found": float(plan.facts["expected_found"]),
        "precision": float(plan.facts["precision"]),
        "past_recovered": float(made["past_recovered"].sum()),
        "future_saved": float(made["future_saved"].sum()),
        "net_value": float(plan.facts["net_value"]),
        "recovered_per_visit": float(made["past_recovered"].sum()) / visits,
    }


def at_once(section: ReassessmentSection, prepared: Prepared, basis: Basis) -> dict[str, Result]:
    """Give what a page shows while a cost is dragged: whom to visit, and what it should bring."""
    values = _values(section, prepared, basis)
    return {"visit_plan": _plan(section, values, basis)}


def _model(section: ReassessmentSection, prepared: Prepared) -> IneligibleOdds:
    key = (section.form, section.formula)
    if key not in prepared.models:
        prepared.models[key] = _fit(section, prepared.outcomes)
    return prepared.models[key]


def _fit(section: ReassessmentSection, outcomes: pl.DataFrame) -> IneligibleOdds:
    fit = fit_loss_of_eligibility if section.form == "hazard" else fit_ineligible
    return fit(outcomes, section.formula)


def _judged(section: ReassessmentSection, prepared: Prepared) -> dict[str, Result]:
    """Calibration and targeting on visits that the model judged has not seen."""
    seen = prepared.outcomes
    apart = pl.Series(even_numbers(seen["case_id"], section.seed) < section.hold_out)
    kept, judged = seen.filter(~apart), seen.filter(apart)
    if kept.is_empty() or judged.is_empty():
        raise InputError(f"{seen.height:,} past visits cannot be parted for a calibration", where="reassessment.hold_out")  # fmt: skip
    said = _fit(section, kept).probability(judged)
    calibrated: VisitCalibration = calibrate_visits(said)
    targeted: Targeting = target_visits(said)
    return {calibrated.kind: calibrated, targeted.kind: targeted}


def _now(section: ReassessmentSection, prepared: Prepared) -> pl.DataFrame:
    """Cases in payment with probability, hours and cost of a visit."""
    now = cases_in_payment(prepared.cases, section.as_of, validity_months=section.validity_months)
    place = pl.col("setting").cast(pl.String)
    said = _model(section, prepared).probability(now)
    return said.with_columns(
        hours=place.replace_strict(section.hours.of(), return_dtype=pl.Float64),
        cost=place.replace_strict(section.cost.of(), return_dtype=pl.Float64),
    )


def _values(section: ReassessmentSection, prepared: Prepared, basis: Basis) -> VisitValues:
    return value_visits(_now(section, prepared), section.visit.terms(), currency=basis.currency)


def _plan(section: ReassessmentSection, values: VisitValues, basis: Basis) -> VisitPlan:
    hours = section.hours.of()
    return plan_visits(
        values.cases,
        {name: visits * hours[name] for name, visits in section.visits.of().items()},
        random_share=section.random_share,
        seed=section.seed,
        cap_per_provider=section.cap_per_provider,
        method=section.method,
        currency=basis.currency,
    )


def _grades(section: ReassessmentSection, prepared: Prepared) -> pl.DataFrame:
    """Mean hazard, benefit and cost of a visit by grade; a wrong stop is part of what a visit costs."""
    now, model = _now(section, prepared), _model(section, prepared)
    if isinstance(model, LossOfEligibility):
        now = now.with_columns(hazard_rate=pl.Series(model.yearly_rate(now)))
    else:
        years = pl.col("years_since_review").clip(1 / 24)
        now = now.with_columns(hazard_rate=-(-pl.col("probability")).log1p() / years)
    wrong = section.visit.false_stop * section.visit.appeal_cost
    return (
        now.group_by(pl.col("grade").cast(pl.String), maintain_order=True)
        .agg(
            cases=pl.len().cast(pl.Int64),
            hazard_rate=pl.col("hazard_rate").mean(),
            monthly_benefit=pl.col("monthly_benefit").mean(),
            cost=pl.col("cost").mean() + wrong,
        )
        .sort("grade")
    )


def _leakage(prepared: Prepared, basis: Basis) -> Leakage | None:
    """Leakage of the past round from its random share: each case drawn on its own."""
    seen = prepared.outcomes
    if "random_inclusion" not in seen.columns:
        return None
    lot = seen.filter(
        pl.col("chosen").cast(pl.String) == "random", pl.col("random_inclusion").is_not_null()
    )
    if lot["ineligible"].sum() == 0 or lot["case_id"].is_duplicated().any():
        return None
    first = lot["day"].min()
    there = prepared.cases.filter(
        (pl.col("since") <= pl.lit(lot["day"].max())) & (pl.col("until").is_null() | (pl.col("until") >= first))
    )  # fmt: skip
    found = there.select("case_id", "monthly_benefit").join(
        lot.select("case_id", "ineligible", "random_inclusion"), on="case_id", how="left"
    )
    return estimate_leakage(
        found.with_columns(visited=pl.col("ineligible").is_not_null()),
        draw="poisson",
        inclusion="random_inclusion",
        currency=basis.currency,
    )


def _standing_out(section: ReassessmentSection, prepared: Prepared) -> dict[str, Result]:
    """Funnels of providers and assessors, and assessors who repeat themselves."""
    planned = prepared.outcomes.filter(pl.col("weight").is_not_null())
    said = _model(section, prepared).probability(planned)
    found: dict[str, Result] = {}
    if _many(said, "provider"):
        found["funnel:provider"] = funnel(said, expected="probability", spread=section.spread, least=FEWEST)  # fmt: skip
    cases = prepared.cases
    if "assessor" in cases.columns and cases["assessor"].null_count() == 0:
        if _many(said, "assessor"):
            found["funnel:assessor"] = funnel(said, by="assessor", expected="probability", spread=section.spread, least=FEWEST)  # fmt: skip
        scored = "item_scores" in cases.columns and cases["item_scores"].null_count() == 0
        if scored and _many(cases, "assessor"):
            found["same_scores"] = same_scores(cases, least=FEWEST)
    return found


def _many(rows: pl.DataFrame, by: str) -> bool:
    return bool((rows.group_by(by).len()["len"] >= FEWEST).sum() >= 2)
