"""A mutual-aid plan on its members and cases: a period settled, who carries whom, whether it lasts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import polars as pl
from pydantic import Field, model_validator

from pricing.data.aid_book import simulate_aid
from pricing.data.rates import RateTable, rate_table
from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.mutual_aid.against_insurance import against_insurance
from pricing.mutual_aid.age_pool import aid_pool
from pricing.mutual_aid.aid_cases import judged_cases, with_members
from pricing.mutual_aid.back_test import share_back_test
from pricing.mutual_aid.case_cap import break_even_members, capped_share
from pricing.mutual_aid.cells import MemberCells, member_cells
from pricing.mutual_aid.cross_subsidy import cross_subsidy, unisex
from pricing.mutual_aid.incidence import aid_experience, incidence_to_table
from pricing.mutual_aid.membership import Behaviour, project_membership
from pricing.mutual_aid.rules import AidBenefit, AidRules, aid_rules
from pricing.mutual_aid.settlement import settle_cells
from pricing.mutual_aid.share_risk import share_risk
from pricing.mutual_aid.unravelling import unravelling
from pricing.plans.lately import Lately
from pricing.result.shape import Basis, Result
from pricing.sharing.cap import cap_shares
from pricing.sharing.fairness import compare_rules
from pricing.sharing.rule import RULES, share_rule
from pricing.sharing.settlement import AlikeRounding
from pricing.study.sections import NamesFile, Strict

__all__ = ["AidBehaviour", "MutualAidSection", "Prepared"]

TABLES = ("aid_members", "aid_cases")


class AidBehaviour(Strict):
    """``[mutual_aid.behaviour]``: how members join, leave and differ in risk."""

    years: int = Field(default=5, ge=1, le=60, description="Years to project")
    leave_base: float = Field(
        default=0.05,
        gt=0,
        lt=1,
        description="Yearly chance of leaving when the share is the own cost",
    )
    leave_response: float = Field(
        default=1.0, ge=0, le=50, description="Log-odds of leaving per log of share over own cost"
    )
    joiners: float = Field(
        default=0.1, ge=0, le=10, description="Joiners a year, as a share of the members in cover"
    )
    joiner_growth: float = Field(default=0.0, ge=-1, le=10, description="Yearly growth of joiners")
    joiner_response: float = Field(
        default=0.0, ge=0, le=50, description="Elasticity of joiners to the share"
    )
    high_share: float = Field(default=0.2, ge=0, le=1, description="Share of joiners of high risk")
    high_risk: float = Field(
        default=4.0, gt=0, lt=1000, description="Their incidence over the low risks'"
    )
    lag_periods: int = Field(
        default=3, ge=0, le=500, description="Periods from diagnosis to publication"
    )


class MutualAidSection(NamesFile):
    """``[mutual_aid]``: which rules, what of them is tried otherwise, which period is settled."""

    rules: str = Field(description="A bundled plan's name, or the path of a file of rules")
    published: date = Field(description="The day of publication of the period to settle")
    observed_to: date = Field(description="Day after the last diagnosis that is fully published")
    observed_from: date = Field(
        default=date(2018, 1, 1), description="First day of the plan's incidence"
    )
    each_stands_for: int = Field(
        default=1,
        ge=1,
        le=1_000_000,
        description="Members one row stands for, where rows are a sample",
    )
    incidence: Literal["ci3", "ci4"] = Field(default="ci4", description="Table of cn_ci_2020")
    fee: float | None = Field(default=None, ge=0, lt=1, description="Platform's fee, tried instead")
    cap_per_case: float | None = Field(
        default=None, gt=0, description="Most a payer gives for a case, tried instead"
    )
    cap_per_year: float | None = Field(
        default=None, gt=0, description="Most a payer gives a year, tried instead"
    )
    flat_benefit: float | None = Field(
        default=None, gt=0, description="One benefit at every age, tried instead"
    )
    waiting_days: int | None = Field(
        default=None, ge=0, description="Waiting period, tried instead"
    )
    shortfall: Literal["platform", "payout"] | None = Field(
        default=None, description="Who bears what the caps leave, tried instead"
    )
    rounding: AlikeRounding | None = Field(default=None, description="Rounding, tried instead")
    leave_above: float = Field(
        default=1.5,
        ge=1,
        description="Share over own cost above which members leave, round by round",
    )
    lines: list[float] = Field(
        default_factory=list, description="Shares a year whose passing is looked at"
    )
    loading: float = Field(
        default=0.35, ge=0, lt=1, description="Loading of the insurer compared with"
    )
    interest: float = Field(default=0.02, gt=-1, lt=1, description="The insurer's yearly interest")
    back_test: bool = Field(default=True, description="Hold the share formula against Xiang Hu Bao")
    behaviour: AidBehaviour = Field(
        default_factory=AidBehaviour, description="Who leaves and who joins; the table below"
    )

    @model_validator(mode="after")
    def _serves(self) -> Self:
        if self.observed_to <= self.observed_from:
            raise ValueError(
                f"observed_to {self.observed_to} is not after observed_from {self.observed_from}"
            )
        try:
            self.plan()
        except InputError as error:
            said = "; ".join((error.problem, *error.faults))
            raise ValueError(said) from error
        return self

    def plan(self) -> AidRules:
        """The rules with what is tried instead."""
        rules = aid_rules(self.place(self.rules))
        named = ("fee", "cap_per_case", "cap_per_year", "waiting_days", "shortfall", "rounding")
        given = {name: getattr(self, name) for name in named if getattr(self, name) is not None}
        if self.flat_benefit is not None:
            ends = rules.benefit[0].age_from, rules.benefit[-1].age_to
            given["benefit"] = (AidBenefit(*ends, self.flat_benefit),)
        return rules.but(**given)


@dataclass(frozen=True)
class Prepared:
    """What does not change with the rules tried: members, cases and the plan's own incidence."""

    members: pl.DataFrame
    cases: pl.DataFrame
    incidence: RateTable
    observed: Result
    by_sex: Result
    factor: float
    lately: Lately[Any] = field(default_factory=Lately, repr=False, compare=False)


def simulate(folder: Path, *, members: int, seed: int) -> None:
    """Write simulated members and cases."""
    simulate_aid(folder, members=members, seed=seed)


def prepare(
    section: MutualAidSection, tables: Mapping[str, pl.DataFrame], basis: Basis
) -> Prepared:
    """Match cases with members and estimate the plan's incidence against the table."""
    rules = aid_rules(section.place(section.rules))
    members, cases = tables["aid_members"], tables["aid_cases"]
    if "sex" not in members.columns:
        raise InputError("the plan's incidence is by sex", where="aid_members", do="deliver sex")
    incidence = rate_table("cn_ci_2020", section.incidence)
    seen = aid_experience(
        rules, members, cases, start=section.observed_from, end=section.observed_to, basis=basis
    )
    observed = incidence_to_table(seen, incidence)
    by_sex = incidence_to_table(seen, incidence, "sex")
    factor = float(observed.facts["ratio"])
    if factor <= 0:
        raise InputError("no case of a member in cover was published; there is nothing to settle")
    matched = with_members(cases, members)
    return Prepared(members, matched, incidence, observed, by_sex, factor)


def results(section: MutualAidSection, prepared: Prepared, basis: Basis) -> dict[str, Result]:
    """Give the period settled, incidence, cross-subsidy, caps, spread, unravelling, course, insurance."""
    rules = section.plan()
    cells = _cells(section, rules, prepared)
    settled = settle_cells(
        rules, cells, _scaled(section, rules, prepared), published=section.published, basis=basis
    )
    payers, pool = cells.payers, _pool(prepared, cells)
    found: dict[str, Result] = {
        "aid_settlement": settled,
        "actual_to_expected:calendar_year": prepared.observed,
        "actual_to_expected:sex": prepared.by_sex,
    }
    if settled.facts["contributed"] > 0:
        found["cross_subsidy"] = cross_subsidy(settled, rules, prepared.incidence)
    steps = np.unique(np.round(np.geomspace(max(payers / 30, 1), payers * 30, 25)).astype(int))
    found["capped_share"] = capped_share(rules, [int(n) for n in steps])
    found["share_risk"] = share_risk(rules, pool, payers=payers, lines=section.lines, basis=basis)
    found |= _share_rules(rules, cells, prepared, basis)
    found["unravelling"] = _unravelling(section, rules, prepared)
    found["aid_membership"] = _membership(section, rules, cells, prepared)
    found["aid_against_insurance"] = against_insurance(
        rules,
        _year_share(rules, pool, payers),
        prepared.incidence,
        rate_table("cn_ci_2020_k", "k2"),
        rate_table("cn_life_2025", "cl2"),
        ages=[a for a in (20, 25, 30, 35, 39, 40, 45, 50, 55, 59) if _within(rules, a)],
        interest=section.interest,
        loading=section.loading,
        incidence_factor=prepared.factor,
        owed=_owed(rules, pool, payers),
    )
    if section.back_test:
        found["share_back_test"] = share_back_test()
    return {name: _on(basis, name, result) for name, result in found.items()}


def headline(section: MutualAidSection, prepared: Prepared) -> dict[str, float]:
    """Give the share of a year, its spread, the aid raised under the cap, who stays, who is left."""
    rules = section.plan()
    cells = _cells(section, rules, prepared)
    payers, pool = cells.payers, _pool(prepared, cells)
    free = _year_share(rules.but(cap_per_case=None, cap_per_year=None), pool, payers)
    share = _year_share(rules, pool, payers)
    spiral = _unravelling(section, rules, prepared).frames["designs"].row(0, named=True)
    largest = max(band.amount for band in rules.benefit)
    needed = 0.0
    if rules.cap_per_case is not None:
        needed = break_even_members(largest, fee=rules.fee, cap=rules.cap_per_case)
    course = _membership(section, rules, cells, prepared)
    return {
        "year_share": share,
        "share_cv": _share_cv(rules, pool, payers),
        "aid_paid_share": share / free,
        "members_needed": needed,
        "stable_share": float(spiral["last_share"]),
        "stable_members": float(spiral["members_share"]),
        "members_at_end": float(course.facts["last_members"]),
    }


def at_once(section: MutualAidSection, prepared: Prepared, basis: Basis) -> dict[str, Result]:
    """Give what a page shows while a rule is dragged: spread of the share, who is left, who unravels."""
    rules = section.plan()
    cells = _cells(section, rules, prepared)
    pool = _pool(prepared, cells)
    found: dict[str, Result] = {
        "share_risk": share_risk(
            rules, pool, payers=cells.payers, lines=section.lines, basis=basis
        ),
        "aid_membership": _membership(section, rules, cells, prepared),
        "unravelling": _unravelling(section, rules, prepared),
    }
    return {name: _on(basis, name, one) for name, one in found.items()}


def present(section: MutualAidSection) -> dict[str, Any]:
    """Give what the plan's own rules say where the section leaves a key to them."""
    rules = section.plan()
    named = ("fee", "cap_per_case", "cap_per_year", "waiting_days")
    return {name: getattr(rules, name) for name in named}


def _within(rules: AidRules, age: int) -> bool:
    return age < rules.exit_age and bool(np.isfinite(rules.benefit_at([age])[0]))


def _cells(section: MutualAidSection, rules: AidRules, prepared: Prepared) -> MemberCells:
    key = ("cells", section.model_dump_json())
    found: MemberCells = prepared.lately.of(key, lambda: _counted(section, rules, prepared))
    return found


def _counted(section: MutualAidSection, rules: AidRules, prepared: Prepared) -> MemberCells:
    seen = member_cells(rules, prepared.members, section.published)
    if not seen.payers or not seen.in_cover:
        raise InputError(
            f"no payers or nobody in cover on {section.published}",
            where="mutual_aid.published",
            do="take a day the members were there",
        )
    return replace(seen, cells=seen.cells.with_columns(pl.col("members") * section.each_stands_for))


def _scaled(section: MutualAidSection, rules: AidRules, prepared: Prepared) -> pl.DataFrame:
    """The period's cases, each as often as a row stands for members; a benefit tried is paid."""
    cases = prepared.cases
    if section.flat_benefit is not None:
        cases = cases.with_columns(amount=pl.lit(section.flat_benefit))
    good, bad = judged_cases(rules, cases, published=section.published)
    copies = pl.DataFrame({"_copy": range(section.each_stands_for)})
    many = good.join(copies, how="cross").with_columns(
        case_id=pl.format("{}-{}", "case_id", "_copy"),
        member_id=pl.format("{}-{}", "member_id", "_copy"),
    )
    # the other days stay, so that who was helped before is seen again
    others = cases.filter(pl.col("published") != section.published)
    parts = (many.drop("_copy"), bad, others)
    return pl.concat([part.select(good.columns) for part in parts])


def _pool(prepared: Prepared, cells: MemberCells) -> pl.DataFrame:
    """Members in cover by sex and age, with the plan's own incidence."""
    rate = prepared.incidence.rate()
    held = cells.cells.filter(pl.col("covered") == 1).group_by("sex", "age")
    return (
        held.agg(pl.col("members").sum())
        .sort("sex", "age")
        .with_columns(incidence=rate * prepared.factor)
    )


def _share_rules(
    rules: AidRules, cells: MemberCells, prepared: Prepared, basis: Basis
) -> dict[str, Result]:
    """Every rule of sharing on the year's loss of the members: fairness by age, own shares, the cap."""
    rate = prepared.incidence.rate() * prepared.factor
    ill = pl.when(pl.col("covered") == 1).then(rate)
    notes = ("a year's aid before fee and caps; members by age, the others by class",)
    pool = aid_pool(
        rules, cells.cells.with_columns(incidence=ill), basis=replace(basis, notes=notes)
    )
    found: dict[str, Result] = {"share_fairness": compare_rules(pool)}
    found |= {f"shared_loss:{rule}": share_rule(pool, rule) for rule in RULES}
    if rules.cap_per_year is not None:
        cap = {"cap": rules.cap_per_year, "fee": rules.fee}
        for rule in ("uniform", "conditional_mean"):
            found[f"capped_shares:{rule}"] = cap_shares(pool, rule, bearer=rules.shortfall, **cap)
    return found


def _year_share(rules: AidRules, pool: pl.DataFrame, payers: int) -> float:
    """Expected share of a year, each case and the year under its cap."""
    each = (1 + rules.fee) * rules.benefit_at(pool["age"].to_numpy()) / payers
    if rules.cap_per_case is not None:
        each = np.minimum(each, rules.cap_per_case)
    share = float((pool["members"].to_numpy() * pool["incidence"].to_numpy() * each).sum())
    return min(share, rules.cap_per_year) if rules.cap_per_year is not None else share


def _owed(rules: AidRules, pool: pl.DataFrame, payers: int) -> float:
    """What a year's aid and fee come to for each payer, before any cap."""
    each = (1 + rules.fee) * rules.benefit_at(pool["age"].to_numpy()) / payers
    return float((pool["members"].to_numpy() * pool["incidence"].to_numpy() * each).sum())


def _share_cv(rules: AidRules, pool: pl.DataFrame, payers: int) -> float:
    """Coefficient of variation of a year's share before the cap of the year: independent members."""
    amount = rules.benefit_at(pool["age"].to_numpy())
    if rules.cap_per_case is not None:
        amount = np.minimum(amount, rules.cap_per_case * payers / (1 + rules.fee))
    n, q = pool["members"].to_numpy(), pool["incidence"].to_numpy()
    return float((n * q * (1 - q) * amount**2).sum() ** 0.5 / (n * q * amount).sum())


def _unravelling(section: MutualAidSection, rules: AidRules, prepared: Prepared) -> Result:
    key = ("unravelling", section.model_dump_json())
    found: Result = prepared.lately.of(key, lambda: _spiral(section, rules, prepared))
    return found


def _spiral(section: MutualAidSection, rules: AidRules, prepared: Prepared) -> Result:
    """The rules tried, and beside them one benefit at every age (or the rules as they are)."""
    youngest = max(20, rules.benefit[0].age_from)
    designs = {rules.name: rules}
    if section.flat_benefit is None:
        largest = max(band.amount for band in rules.benefit)
        ends = rules.benefit[0].age_from, rules.benefit[-1].age_to
        designs["flat_benefit"] = rules.but(benefit=(AidBenefit(*ends, largest),))
    else:
        plain = aid_rules(section.place(section.rules))
        designs = {"flat_benefit": rules, rules.name: plain}
    ages = (youngest, rules.exit_age - 1)
    return unravelling(designs, prepared.incidence, ages=ages, leave_above=section.leave_above)


def _membership(
    section: MutualAidSection, rules: AidRules, cells: MemberCells, prepared: Prepared
) -> Result:
    key = ("membership", section.model_dump_json())
    found: Result = prepared.lately.of(key, lambda: _course(section, rules, cells, prepared))
    return found


def _course(
    section: MutualAidSection, rules: AidRules, cells: MemberCells, prepared: Prepared
) -> Result:
    act = section.behaviour
    held = cells.cells.filter((pl.col("covered") == 1) & (pl.col("age") < rules.exit_age))
    by_age = held.group_by("age").agg(pl.col("members").sum()).sort("age")
    covered = float(by_age["members"].sum())
    mean = 1 - act.high_share + act.high_share * act.high_risk
    paying = float(held.filter(pl.col("pays") == 1)["members"].sum())
    only = cells.cells.filter((pl.col("pays") == 1) & (pl.col("aid_standing") == "paying_only"))
    honorary = float(only["members"].sum())  # who pays while waiting is not among them
    return project_membership(
        rules,
        {int(age): float(n) for age, n in by_age.rows()},
        RateTable(name=prepared.incidence.name, rates=unisex(prepared.incidence)),
        years=act.years,
        waiting_at_start=False,
        behaviour=Behaviour(
            leave_base=act.leave_base,
            leave_response=act.leave_response,
            joiners=act.joiners * covered,
            joiner_growth=act.joiner_growth,
            joiner_response=act.joiner_response,
            risks=((1 - act.high_share, 1 / mean), (act.high_share, act.high_risk / mean)),
            lag_periods=act.lag_periods,
            honorary_share=max(honorary / covered, 0.0),
            assisted_share=max(1 - paying / covered, 0.0),
            incidence_factor=prepared.factor,
        ),
    )


def _on(basis: Basis, name: str, result: Result) -> Result:
    own = result.basis
    held = replace(
        own,
        source=f"{basis.source}: {own.source}",
        currency=basis.currency,
        fingerprint=fingerprint(basis.fingerprint, own.fingerprint, name),
    )
    return replace(result, basis=held)
