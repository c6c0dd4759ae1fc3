"""The elder medical plan by tier: use from the book, price, loss ratio, adequacy, effects, designs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from pricing.data.elder_book import simulate_elder_book
from pricing.errors import InputError
from pricing.experience.lexis import Lexis
from pricing.losses.terms import Terms
from pricing.plans.tiers_file import EffectKeys, SubsidyKeys, TiersSection
from pricing.result.shape import Basis, Result
from pricing.tiers.adequacy import break_even, check_adequacy
from pricing.tiers.benefit import Response
from pricing.tiers.benefit_experience import BenefitExperience, benefit_experience
from pricing.tiers.build_up import build_up
from pricing.tiers.cost import TierCost, cost_tier
from pricing.tiers.effects import tier_effects
from pricing.tiers.grid import tier_grid
from pricing.tiers.tier import Loadings, Subsidy, Tier

__all__ = [
    "JUDGED",
    "TiersSection",
    "headline",
    "judged_tier",
    "prepare",
    "results",
    "simulate",
    "tiers_of",
]

TABLES = ("policies", "renewals", "claims")
SIMULATED: dict[str, dict[str, Any]] = {  # what simulated tables have beside their contracts
    "policies": {"factors": {"tier": ["basic", "premium"]}},
    "claims": {"covariates": ["bill"]},
}
JUDGED = (
    *("bill", "pure_premium", "actuarial_value", "required_premium"),
    *("member_price", "loss_ratio", "passes"),
)


@dataclass(frozen=True)
class Prepared:
    """What the book says of each benefit."""

    experience: BenefitExperience


def simulate(folder: Path, *, members: int, seed: int) -> None:
    """Write a simulated book of the elder plan.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> simulate(folder, members=5, seed=1)
    >>> sorted(path.name for path in folder.iterdir())
    ['claims', 'policies', 'renewals', 'truth.json']
    """
    simulate_elder_book(folder / "book", members=members, seed=seed)
    for name in TABLES:
        (folder / "book" / name).rename(folder / name)
    (folder / "book" / "truth.json").rename(folder / "truth.json")
    (folder / "book").rmdir()


def prepare(section: TiersSection, tables: Mapping[str, pl.DataFrame], basis: Basis) -> Prepared:
    """Estimate use and bill of each benefit from the accepted rows.

    Examples
    --------
    >>> from datetime import date
    >>> window = (date(2023, 1, 1), date(2024, 1, 1))
    >>> tables = {"policies": pl.DataFrame({"policy_id": ["AJ1"], "tier": ["basic"],
    ...                                     "start": [window[0]], "end": [window[1]]}),
    ...           "claims": pl.DataFrame({"policy_id": ["AJ1"] * 2, "benefit": ["outpatient"] * 2,
    ...                                   "incurred": [date(2023, 5, 1)] * 2, "amount": [100.0, 200.0]})}
    >>> tier = {"name": "basic", "premium": 500, "benefit": [{"name": "outpatient"}]}
    >>> section = TiersSection(persons=100, observed=window, on=window[1], tier=[tier])
    >>> prepare(section, tables, Basis()).experience.table["severity"].to_list()
    [150.0]
    """
    policies, claims = tables["policies"], tables["claims"]
    for name, column, table in (
        ("policies", "tier", policies),
        ("claims", section.amount, claims),
        ("claims", "benefit", claims),
    ):
        if column not in table.columns:
            raise InputError(f"no column {column!r}", where=name, do="deliver it, or name another")
    wanted: dict[str, list[str]] = {}
    waits: dict[str, int] = {}
    for tier in section.tier:
        for b in tier.benefit:
            wanted.setdefault(b.name, []).append(tier.name)
            waits[b.name] = max(waits.get(b.name, 0), b.waiting_days)
    known = claims["benefit"].cast(pl.String).unique().to_list()
    missing = [name for name in wanted if name not in known]
    if missing:
        raise InputError(
            f"the book has no claims of {', '.join(missing)}; it has {', '.join(sorted(known))}",
            where="tiers.tier.benefit",
        )
    found = benefit_experience(
        policies,
        claims.filter(pl.col("benefit").cast(pl.String).is_in(list(wanted))),
        Lexis(start=section.observed[0], end=section.observed[1]),
        covers=wanted,
        waiting=waits,
        amount=section.amount,
        ages=section.ages,
        basis=basis,
    )
    return Prepared(found)


def tiers_of(section: TiersSection, experience: BenefitExperience) -> dict[str, Tier]:
    """Give the tiers of a section with use and bill from the book.

    Examples
    --------
    >>> from datetime import date
    >>> from pricing.tiers.benefit_experience import benefit_experience
    >>> policies = pl.DataFrame({"policy_id": ["AJ1"], "start": [date(2023, 1, 1)],
    ...                          "end": [date(2024, 1, 1)]})
    >>> claims = pl.DataFrame({"policy_id": ["AJ1"] * 2, "incurred": [date(2023, 5, k) for k in (1, 2)],
    ...                        "benefit": ["outpatient"] * 2, "amount": [100.0, 200.0]})
    >>> window = (date(2023, 1, 1), date(2024, 1, 1))
    >>> seen = benefit_experience(policies, claims, Lexis(start=window[0], end=window[1]))
    >>> tier = {"name": "basic", "premium": 500, "benefit": [{"name": "outpatient"}]}
    >>> section = TiersSection(persons=1, observed=window, on=window[1], tier=[tier])
    >>> round(tiers_of(section, seen)["basic"].bill(), 1)
    300.2
    """
    return {
        one.name: Tier(
            name=one.name,
            premium=one.premium,
            benefits=tuple(
                experience.benefit(
                    b.name,
                    measured_gate=b.measured_gate.gate if b.measured_gate else None,
                    deductible=b.deductible,
                    coinsurance=b.coinsurance,
                    limit=b.limit or math.inf,
                    year_limit=b.year_limit or math.inf,
                    waiting_days=b.waiting_days,
                    gate=b.gate.gate if b.gate else None,
                    response=Response(**b.response.model_dump()) if b.response else None,
                    measured_coinsurance=b.measured_coinsurance,
                    elasticity=b.elasticity,
                )
                for b in one.benefit
            ),
            terms=Terms(
                deductible=one.deductible,
                coinsurance=one.coinsurance,
                out_of_pocket=math.inf if one.out_of_pocket is None else one.out_of_pocket,
                limit=one.limit or math.inf,
            ),
            loadings=Loadings(**section.loadings.model_dump()),
        )
        for one in section.tier
    }


def results(section: TiersSection, prepared: Prepared, basis: Basis) -> dict[str, Result]:
    """Give use and bill of each benefit, then per tier its cost, premium, adequacy and effects.

    Examples
    --------
    >>> from datetime import date
    >>> window = (date(2023, 1, 1), date(2024, 1, 1))
    >>> tables = {"policies": pl.DataFrame({"policy_id": ["AJ1"], "tier": ["basic"],
    ...                                     "start": [window[0]], "end": [window[1]]}),
    ...           "claims": pl.DataFrame({"policy_id": ["AJ1"] * 2, "benefit": ["outpatient"] * 2,
    ...                                   "incurred": [date(2023, 5, 1)] * 2, "amount": [100.0, 200.0]})}
    >>> tier = {"name": "basic", "premium": 500, "benefit": [{"name": "outpatient"}]}
    >>> section = TiersSection(persons=100, observed=window, on=window[1], tier=[tier])
    >>> list(results(section, prepare(section, tables, Basis()), Basis()))[:2]
    ['benefit_experience', 'tier_cost:basic']
    """
    found: dict[str, Result] = {"benefit_experience": prepared.experience}
    aid = _subsidy(section)
    for name, tier in tiers_of(section, prepared.experience).items():
        cost = _cost(section, tier, basis)
        found[f"tier_cost:{name}"] = cost
        found[f"premium_build_up:{name}"] = build_up(tier, cost)
        found[f"tier_adequacy:{name}"] = check_adequacy(
            tier,
            cost,
            on=section.on,
            promised=section.promised,
            least_value=section.least_value,
        )
        found[f"tier_break_even:{name}"] = break_even(tier, cost, subsidy=aid)
        changes = {e.name: _change(e) for e in section.effects if _applies(e, tier)}
        if changes:
            found[f"tier_effects:{name}"] = tier_effects(
                tier,
                section.persons,
                changes,
                new_share=section.new_share,
                subsidy=aid,
                line=section.line,
                basis=basis,
            )
        if section.grid and section.grid.tier == name:
            found[f"tier_grid:{name}"] = tier_grid(
                tier,
                section.persons,
                section.grid.axes,
                new_share=section.new_share,
                subsidy=aid,
                line=section.line,
                basis=basis,
            )
    return found


def headline(section: TiersSection, prepared: Prepared) -> dict[str, float]:
    """Give the figures of the tier that is compared: cost, price, loss ratio, passing of the line.

    Examples
    --------
    >>> from datetime import date
    >>> window = (date(2023, 1, 1), date(2024, 1, 1))
    >>> tables = {"policies": pl.DataFrame({"policy_id": ["AJ1"], "tier": ["basic"],
    ...                                     "start": [window[0]], "end": [window[1]]}),
    ...           "claims": pl.DataFrame({"policy_id": ["AJ1"] * 2, "benefit": ["outpatient"] * 2,
    ...                                   "incurred": [date(2023, 5, 1)] * 2, "amount": [100.0, 200.0]})}
    >>> tier = {"name": "basic", "premium": 500, "benefit": [{"name": "outpatient"}]}
    >>> section = TiersSection(persons=100, observed=window, on=window[1], tier=[tier])
    >>> round(headline(section, prepare(section, tables, Basis()))["loss_ratio"], 2)
    0.6
    """
    tier = _compared(section, prepared)
    row = tier_grid(
        tier,
        section.persons,
        {"premium": [tier.premium]},
        new_share=section.new_share,
        subsidy=_subsidy(section),
        line=section.line,
        levels=(0.5,),
    ).table.row(0, named=True)
    return {name: row[name] for name in JUDGED}


def judged_tier(section: TiersSection) -> str:
    """Name the tier of which :func:`headline` speaks; nothing where there is but one.

    Examples
    --------
    >>> from datetime import date
    >>> tiers = [{"name": name, "premium": 500, "benefit": [{"name": "outpatient"}]} for name in ("a", "b")]
    >>> window = (date(2023, 1, 1), date(2024, 1, 1))
    >>> judged_tier(TiersSection(persons=100, observed=window, on=window[1], tier=tiers))
    'a'
    """
    return (section.compared or section.tier[0].name) if len(section.tier) > 1 else ""


def at_once(section: TiersSection, prepared: Prepared, basis: Basis) -> dict[str, Result]:
    """Give what a page shows while a rule is dragged: of the tier compared its cost, premium, adequacy."""
    tier = _compared(section, prepared)
    name, cost = tier.name, _cost(section, tier, basis)
    return {
        f"tier_cost:{name}": cost,
        f"premium_build_up:{name}": build_up(tier, cost),
        f"tier_adequacy:{name}": check_adequacy(
            tier, cost, on=section.on, promised=section.promised, least_value=section.least_value
        ),
    }


def _compared(section: TiersSection, prepared: Prepared) -> Tier:
    name = judged_tier(section) or section.tier[0].name
    alone = section.model_copy(update={"tier": [t for t in section.tier if t.name == name]})
    return tiers_of(alone, prepared.experience)[name]


def _subsidy(section: TiersSection) -> Subsidy | None:
    return Subsidy(**section.subsidy.model_dump()) if section.subsidy else None


def _cost(section: TiersSection, tier: Tier, basis: Basis) -> TierCost:
    return cost_tier(
        tier,
        section.persons,
        new_share=section.new_share,
        subsidy=_subsidy(section),
        line=section.line,
        basis=basis,
    )


def _change(effect: EffectKeys) -> dict[str, Any]:
    found: dict[str, Any] = dict(effect.change)
    if effect.benefits is not None:
        found["benefits"] = effect.benefits
    if effect.subsidy is not None:
        found["subsidy"] = (
            Subsidy(**effect.subsidy.model_dump())
            if isinstance(effect.subsidy, SubsidyKeys)
            else False
        )
    return found


def _applies(effect: EffectKeys, tier: Tier) -> bool:
    names = {b.name for b in tier.benefits}
    return effect.benefits is None or set(effect.benefits) <= names
