"""Take-up of a plan's tiers from offers: who chooses what, what a subsidy does, whether the plan lasts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import polars as pl
from pydantic import Field, model_validator

from pricing.choice.calibrate import calibrate
from pricing.choice.choice_model import ChoiceModel, fit_choice
from pricing.choice.demand import demand
from pricing.choice.equilibrium import break_even_rule, equilibrium
from pricing.choice.market import Market, choice_market
from pricing.choice.offers import collect_offers
from pricing.choice.price_response import choice_elasticities, take_up_curve, willingness_to_pay
from pricing.choice.spiral import spiral
from pricing.choice.subsidy import subsidy_effect
from pricing.data.offers_book import simulate_offers
from pricing.errors import InputError, nearest
from pricing.experience.bands import band
from pricing.result.shape import Basis, Result
from pricing.study.sections import Strict

__all__ = ["ChoiceSection", "PreparedChoice", "PublishedClaim"]

TABLES = ("tier_offers",)
ATTRIBUTES = ("risk_band", "age_band", "sex")


class PublishedClaim(Strict):
    """``[take_up.claim]``: take-up published with and without a subsidy, carried to other prices."""

    tier: str = Field(description="The tier the claim is of")
    price: float = Field(gt=0, description="Premium a year")
    subsidy: float = Field(gt=0, description="Subsidy a member and year")
    without: float = Field(gt=0, lt=1, description="Take-up without the subsidy")
    subsidised: float = Field(gt=0, lt=1, description="Take-up with it")
    awareness: float = Field(default=1.0, gt=0, le=1, description="Share who know of the plan")
    source: str = Field(default="", description="Where it was published")

    @model_validator(mode="after")
    def _fits(self) -> PublishedClaim:
        if self.subsidy >= self.price:
            raise ValueError(f"subsidy {self.subsidy:g} is not below the price {self.price:g}")
        if self.without >= self.subsidised:
            raise ValueError("take-up with the subsidy must be above that without it")
        if self.subsidised >= self.awareness:
            raise ValueError(
                f"{self.subsidised:.0%} cannot take it where {self.awareness:.0%} know of the plan"
            )
        return self


class ChoiceSection(Strict):
    """``[take_up]``: prices and subsidies to look at, what tiers pay, how persons are banded."""

    prices: dict[str, float] = Field(min_length=1, description="Premium a year by tier")
    subsidies: dict[str, float] = Field(
        default_factory=dict,
        description="Subsidy to the person a year by tier; none where left out",
    )
    loss_ratio: float = Field(default=0.70, gt=0, le=1, description="Permissible loss ratio")
    cost_share: dict[str, float] = Field(
        default_factory=dict, description="Share of a person's expected cost (risk) the tier pays"
    )
    risk_edges: list[float] = Field(
        default=[0.0, 600.0, 1200.0, 2400.0],
        min_length=2,
        description="Edges of bands of expected cost",
    )
    age_edges: list[float] = Field(
        default=[0.0, 70.0, 80.0], min_length=2, description="Edges of age bands"
    )
    aware: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="Share who know of the plan, tried instead of the one seen",
    )
    start: dict[str, float] = Field(
        default_factory=dict, description="Premiums the spiral begins with; else prices"
    )
    years: int = Field(default=30, ge=1, le=1000, description="Years of the spiral at most")
    floor: float = Field(
        default=0.01, ge=0, lt=1, description="Share of persons below which a tier is empty"
    )
    claim: PublishedClaim | None = Field(
        default=None, description="A published take-up, calibrated"
    )

    @model_validator(mode="after")
    def _fits(self) -> ChoiceSection:
        for name in ("prices", "subsidies", "cost_share", "start"):
            for tier, amount in getattr(self, name).items():
                if tier not in self.prices:
                    raise ValueError(f"{name}: {tier!r} has no price{nearest(tier, self.prices)}")
                if amount < 0:
                    raise ValueError(f"{name}: {amount:g} for {tier!r} is below zero")
        for tier, amount in self.subsidies.items():
            if amount > self.prices[tier]:
                raise ValueError(f"subsidies: {amount:g} for {tier!r} is above its price")
        if self.start and set(self.start) != set(self.prices):
            raise ValueError("start: give a premium for every tier, or none at all")
        for name in ("risk_edges", "age_edges"):
            edges = getattr(self, name)
            if edges[0] != 0 or any(b <= a for a, b in pairwise(edges)):
                raise ValueError(f"{name}: edges begin at 0 and rise")
        return self


@dataclass(frozen=True)
class PreparedChoice:
    """The model fitted on the offers, and the persons offered, by type."""

    model: ChoiceModel
    types: pl.DataFrame


def simulate(folder: Path, *, members: int, seed: int) -> None:
    """Write simulated offers with known truth."""
    simulate_offers(folder, persons=members, seed=seed)


def prepare(
    section: ChoiceSection, tables: Mapping[str, pl.DataFrame], basis: Basis
) -> PreparedChoice:
    """Fit who takes which tier, by band of risk and of age, and sex; count the persons of each type."""
    rows = tables["tier_offers"]
    lacking = [c for c in ("risk", "age", "sex") if c not in rows.columns]
    if lacking:
        raise InputError(
            f"take-up needs {', '.join(lacking)} of every person",
            where="tier_offers",
            do="deliver it",
        )
    rows = rows.with_columns(
        risk_band=band("risk", section.risk_edges), age_band=band("age", section.age_edges)
    )
    options = {n: n if n in rows.columns else None for n in ("community", "aware")}
    varied = [c for c in ATTRIBUTES if rows[c].n_unique() > 1]
    offers = collect_offers(
        rows, varied, cost="risk", cluster=options["community"], aware=options["aware"], basis=basis
    )
    model = fit_choice(offers, " + ".join(varied))
    persons = rows.unique("person_id", keep="first", maintain_order=True)
    types = persons.group_by(ATTRIBUTES, maintain_order=True).agg(
        persons=pl.len().cast(pl.Float64), risk=pl.col("risk").mean()
    )
    return PreparedChoice(model, types.sort(ATTRIBUTES))


def results(section: ChoiceSection, prepared: PreparedChoice, basis: Basis) -> dict[str, Result]:
    """Give the model, demand, price response, subsidy, equilibrium, spiral and the published claim."""
    market = _market(section, prepared)
    first = min(section.prices, key=lambda tier: section.prices[tier])
    paid = _paid(section)
    others = {tier: price for tier, price in paid.items() if tier != first}
    top = 2 * section.prices[first]
    rule = break_even_rule(market, section.loss_ratio, to_person=_subsidies(section))
    found: dict[str, Result] = {
        "choice_model": prepared.model,
        "tier_demand": demand(market, section.prices, _subsidies(section)),
        "choice_elasticities": choice_elasticities(market, section.prices, _subsidies(section)),
        "take_up_curve": take_up_curve(
            market, first, [top * k / 10 for k in range(11)], others=others
        ),
        "willingness_to_pay": willingness_to_pay(market),
    }
    if any(section.subsidies.values()):
        found["subsidy_effect"] = subsidy_effect(
            market, section.prices, _subsidies(section), loss_ratio=section.loss_ratio
        )
    found["tier_equilibrium"] = equilibrium(rule, floor=section.floor)
    found["tier_spiral"] = spiral(
        rule, section.start or section.prices, years=section.years, floor=section.floor
    )
    if section.claim is not None:
        found |= _claim(section, section.claim, prepared, basis)
    return found


def headline(section: ChoiceSection, prepared: PreparedChoice) -> dict[str, float]:
    """Give take-up, loss ratio, cost a member, public cost, worth to persons, take-up at break-even."""
    market = _market(section, prepared)
    now = demand(market, section.prices, _subsidies(section))
    rule = break_even_rule(market, section.loss_ratio, to_person=_subsidies(section))
    even = equilibrium(rule, floor=section.floor)
    insured = now.table[1:]
    share = insured["share"]
    many = float(share.sum())
    return {
        "take_up": float(now.facts["take_up"]),
        "choosers_loss_ratio": float(now.facts["loss_ratio"] or 0.0),
        "cost_per_member": float((share * insured["cost_per_member"]).sum()) / many
        if many
        else 0.0,
        "public_cost": float(now.facts["public_cost"]) / float(now.facts["persons"]),
        "consumer_surplus": float(now.facts["consumer_surplus"]),
        "break_even_take_up": float(even.facts["take_up"]),
    }


def at_once(section: ChoiceSection, prepared: PreparedChoice, basis: Basis) -> dict[str, Result]:
    """Give what a page shows while a price is dragged: who takes which tier, by band of cost."""
    del basis
    market = _market(section, prepared)
    return {
        "tier_demand": demand(market, section.prices, _subsidies(section), by="risk_band"),
    }


def _market(section: ChoiceSection, prepared: PreparedChoice) -> Market:
    unknown = [t for t in section.prices if t not in prepared.model.tiers]
    if unknown:
        raise InputError(
            f"{unknown[0]!r} is no tier of the offers{nearest(unknown[0], prepared.model.tiers)}",
            where="take_up.prices",
        )
    costs: dict[str, str | float] = {
        t: section.cost_share.get(t, 1.0) for t in prepared.model.tiers
    }
    return choice_market(
        prepared.model, prepared.types, costs, persons="persons", aware=section.aware
    )


def _subsidies(section: ChoiceSection) -> dict[str, float]:
    return {tier: section.subsidies.get(tier, 0.0) for tier in section.prices}


def _paid(section: ChoiceSection) -> dict[str, float]:
    subsidies = _subsidies(section)
    return {tier: price - subsidies[tier] for tier, price in section.prices.items()}


def _claim(
    section: ChoiceSection, claim: PublishedClaim, prepared: PreparedChoice, basis: Basis
) -> dict[str, Result]:
    model = calibrate(
        {claim.tier: claim.price},
        take_up=claim.without,
        at={claim.tier: claim.price - claim.subsidy},
        then=claim.subsidised,
        awareness=claim.awareness,
        source=claim.source or basis.source,
    )
    cost = section.cost_share.get(claim.tier, 1.0)
    market = choice_market(model, prepared.types, {claim.tier: cost}, persons="persons")
    grid = [claim.price * k / 10 for k in range(1, 16)]
    return {
        "choice_model:claim": model,
        "take_up_curve:claim": take_up_curve(market, claim.tier, grid),
        "subsidy_effect:claim": subsidy_effect(
            market, {claim.tier: claim.price}, claim.subsidy, loss_ratio=section.loss_ratio
        ),
    }
