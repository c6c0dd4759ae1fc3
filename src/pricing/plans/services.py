"""``[services]``: a plan of services from its study file: cost, staff, price, levels, engagement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl

from pricing.data.service_book import simulate_services
from pricing.errors import InputError, nearest
from pricing.experience.bands import band
from pricing.experience.cells import Experience
from pricing.experience.events import place_claims
from pricing.experience.lexis import Lexis
from pricing.experience.split import split_exposure
from pricing.plans.lately import Lately
from pricing.plans.services_file import ChannelSection, Price, ServicesSection, Standard
from pricing.result.shape import Basis, Result
from pricing.services.activation import activation_rates
from pricing.services.break_even import service_break_even
from pricing.services.capacity import service_capacity
from pricing.services.cost import ServiceCost, service_cost
from pricing.services.engagement import engagement_claims
from pricing.services.green_channel import Channel, ChannelStep, GreenChannel, green_channel
from pricing.services.levels import LevelPrices, ServiceLevel, price_levels
from pricing.services.price import ServicePrice, service_price
from pricing.services.service import Service, ServicePlan
from pricing.services.staffing import ResponseStandard, Staffing, staff_for, waiting_by_staff
from pricing.services.uptake import ChannelUptake, channel_uptake
from pricing.services.use import ServiceUse, service_use

__all__ = [
    "OPTIONAL", "TABLES", "Prepared", "ServicesSection", "headline", "prepare", "results", "simulate",
]  # fmt: skip

TABLES: tuple[str, ...] = ("service_members", "service_uses")
OPTIONAL: tuple[str, ...] = ("claims",)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What the rows say: use counted, people by age and sex, claims by engagement."""

    use: ServiceUse | None
    members: pl.DataFrame
    seen: Experience | None
    activated: ServiceUse | None
    lately: Lately[Any] = field(default_factory=Lately, repr=False, compare=False)


def simulate(folder: Path, *, members: int, seed: int) -> None:
    """Write members, uses and claims with known truth.

    Examples
    --------
    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp())
    >>> simulate(place, members=5, seed=1)
    >>> (place / "truth.json").is_file()
    True
    """
    whole = simulate_services(folder / "book", members=members, seed=seed)
    for part in sorted(whole.iterdir()):
        part.rename(folder / part.name)
    whole.rmdir()


def prepare(section: ServicesSection, tables: Mapping[str, pl.DataFrame], basis: Basis) -> Prepared:
    """Count uses and exposure from the rows, once.

    Examples
    --------
    >>> prepare.__annotations__["return"]
    'Prepared'
    """
    members, uses = tables["service_members"], tables["service_uses"]
    start, end = section.observed
    counted = [item.name for item in section.items if item.counted]
    called = section.channel.activations if section.channel else None
    aside = [*(item.name for item in section.items if not item.counted), *section.elsewhere]
    named = pl.col("service").cast(pl.String)
    mine = uses.filter(~named.is_in([n for n in aside if n != called]))

    def count(services: list[str], rows: pl.DataFrame) -> ServiceUse:
        return service_use(
            members, rows, services=services, start=start, end=end, edges=section.edges,
            source=basis.source, currency=basis.currency,
        )  # fmt: skip

    use, activated = None, None
    if called is not None:
        activated = count([called], mine.filter(named == called))
        mine = mine if called in counted else mine.filter(named != called)
    if counted or mine.height:
        use = count(counted, mine)
    lexis = Lexis(start=start, end=end, dims=["age"])
    people = split_exposure(members, ["sex"], lexis).cells.select(
        pl.col("sex").cast(pl.String), pl.col("age").cast(pl.Int64), insured="exposure"
    )
    seen = _engaged(section, tables, lexis, basis)
    return Prepared(use=use, members=people, seen=seen, activated=activated)


def results(section: ServicesSection, prepared: Prepared, basis: Basis) -> dict[str, Result]:
    """Give every result of the section, in reading order.

    Examples
    --------
    >>> results.__annotations__["return"]
    'dict[str, Result]'
    """
    found: dict[str, Result] = {}
    priced = _priced(section, prepared)
    found["service_cost"] = priced.cost
    if priced.channel is not None:
        found["green_channel"] = priced.channel
    if prepared.activated is not None and section.channel is not None:
        found["channel_uptake"] = _uptake(section.channel, prepared)
    if priced.price is not None:
        found["service_price"] = priced.price
    if priced.staffing is not None and section.standard is not None:
        found["staffing"] = priced.staffing
        busiest = max(priced.staffing.table["arrivals"].to_list())
        found["waiting"] = waiting_by_staff(
            busiest, _standard(section.standard), source=section.name
        )
    if section.capacity is not None:
        found["service_capacity"] = service_capacity(
            **section.capacity.model_dump(), source=section.name
        )
    if priced.levels is not None:
        found["level_prices"] = priced.levels
    if section.break_even is not None:
        claims = _by_band(section.break_even.claims_cost, "claims_cost")
        found["service_break_even"] = service_break_even(
            priced.cost, claims, income=section.break_even.income
        )
    if section.engagement is not None and prepared.seen is not None:
        found["engagement_claims"] = engagement_claims(
            prepared.seen,
            confounders=section.engagement.confounders,
            base=section.engagement.base,
        )
    if prepared.use is not None:
        found["service_use"] = prepared.use
    return {
        name: replace(one, basis=replace(one.basis, currency=basis.currency))
        for name, one in found.items()
    }


def headline(section: ServicesSection, prepared: Prepared) -> dict[str, float]:
    """Give the figures a scenario is judged by.

    Examples
    --------
    >>> headline.__annotations__["return"]
    'dict[str, float]'
    """
    priced = _priced(section, prepared)
    said: dict[str, float] = {}
    if priced.levels is not None:
        levels = priced.levels.facts
        said |= {
            "levels_margin": levels["margin_total"],
            "levels_losing": float(levels["losing"]),
            "mean_price_needed": levels["mean_price"],
        }
    said["cost_per_insured"] = float(priced.cost.facts["cost_per_insured"])
    if priced.price is not None:
        facts = priced.price.facts
        said |= {
            "rider_price": facts["rider_price"],
            "worst_share_of_net": facts["worst_share"],
            "failing_bands": float(facts["failing"]),
            "content_limit": facts["content_limit"] or 0.0,
        }
    if priced.staffing is not None:
        said |= {
            "full_time_staff": float(priced.staffing.facts["full_time"]),
            "staff_cost": priced.staffing.facts["cost"],
        }
    if priced.channel is not None:
        said |= {
            "cost_per_case": priced.channel.facts["cost_per_case"],
            "activation_rate": priced.channel.facts["cases"] / priced.channel.facts["insured"],
            "cost_ratio_us": priced.channel.facts["us_share"],
        }
    return said


def at_once(section: ServicesSection, prepared: Prepared, basis: Basis) -> dict[str, Result]:
    """Give what a page shows while a cost is dragged: cost, the cap by age band, levels, staff, channel."""
    priced = _priced(section, prepared)
    found: dict[str, Result | None] = {
        "service_cost": priced.cost,
        "service_price": priced.price,
        "level_prices": priced.levels,
        "staffing": priced.staffing,
        "green_channel": priced.channel,
    }
    return {
        name: replace(one, basis=replace(one.basis, currency=basis.currency))
        for name, one in found.items()
        if one is not None
    }


@dataclass(frozen=True, kw_only=True)
class _Priced:
    cost: ServiceCost
    staffing: Staffing | None
    price: ServicePrice | None
    channel: GreenChannel | None
    levels: LevelPrices | None


def _priced(section: ServicesSection, prepared: Prepared) -> _Priced:
    key = section.model_dump_json()
    found: _Priced = prepared.lately.of(key, lambda: _price_all(section, prepared))
    return found


def _price_all(section: ServicesSection, prepared: Prepared) -> _Priced:
    people = _population(section, prepared)
    currency = "CNY"
    plan, staffing = _plan(section), None
    channel = _channel(section.channel)
    if not section.items and channel is not None:
        plan = channel.plan(section.name)
    cost = service_cost(plan, people, use=prepared.use, edges=section.edges, currency=currency)
    if section.standard is not None:
        uses = cost.frames["services"].filter(service=section.standard.service)
        staffing = staff_for(
            float(uses["uses_expected"].item()), _standard(section.standard),
            pattern=section.standard.pattern, users=cost.facts["insured"], source=section.name,
        )  # fmt: skip
        if section.standard.in_price and staffing.facts["cost"]:
            plan = _with_staff(plan, section.standard.service, staffing.facts["cost_per_use"])
            cost = service_cost(plan, people, use=prepared.use, edges=section.edges)
    return _Priced(
        cost=cost,
        staffing=staffing,
        price=_price(section.price, cost),
        channel=None
        if channel is None or section.channel is None
        else green_channel(
            channel, people, exchange_rate=section.channel.exchange_rate, edges=section.edges,
        ),
        levels=_levels(section, prepared, plan, people),
    )  # fmt: skip


def _plan(section: ServicesSection) -> ServicePlan:
    made = []
    for item in section.items:
        use: Any = item.use if item.use is not None else 0.0  # counted: replaced by the rows' own
        if item.struck is not None:
            use = activation_rates(**item.struck.model_dump())
        made.append(
            Service(
                name=item.name, use=use, unit_cost=item.unit_cost, uptake=item.uptake,
                scope=item.scope, user_share=item.user_share, fixed_cost=item.fixed_cost,
            )
        )  # fmt: skip
    if not made:  # a channel alone: the plan is the channel's
        channel = _channel(section.channel)
        assert channel is not None
        return channel.plan(section.name)
    return ServicePlan(name=section.name, services=made)


def _with_staff(plan: ServicePlan, name: str, cost: float) -> ServicePlan:
    """Let the cost of the staff go with the use: net of the user's share, so none of it is theirs."""
    services = [
        replace(one, unit_cost=one.unit_cost + cost / (1 - one.user_share))
        if one.name == name
        else one
        for one in plan.services
    ]
    return ServicePlan(name=plan.name, services=services)


def _channel(section: ChannelSection | None) -> Channel | None:
    if section is None:
        return None
    return Channel(
        steps=[ChannelStep(**step.model_dump()) for step in section.steps],
        uptake=section.uptake,
        severe_scope=section.severe_scope,
        mild_scope=section.mild_scope,
        mild_beyond=section.mild_beyond,
        fixed_cost=section.fixed_cost,
    )


def _uptake(section: ChannelSection, prepared: Prepared) -> ChannelUptake:
    channel = _channel(section)
    assert channel is not None
    assert prepared.activated is not None
    return channel_uptake(
        channel, prepared.members, prepared.activated, service=str(section.activations)
    )


def _standard(section: Standard) -> ResponseStandard:
    return ResponseStandard(**section.model_dump(exclude={"service", "pattern", "in_price"}))


def _price(section: Price | None, cost: ServiceCost) -> ServicePrice | None:
    if section is None:
        return None
    return service_price(
        cost,
        _by_band(section.premiums, "gross_premium"),
        loading=section.loading,
        on=section.on,
        terms=section.terms(),
        pilot_cap=section.pilot_cap,
    )


def _levels(
    section: ServicesSection, prepared: Prepared, plan: ServicePlan, people: pl.DataFrame
) -> LevelPrices | None:
    if not section.levels:
        return None
    entitled = {
        one.name: sum(level.customers for level in section.levels if one.name in level.services)
        for one in plan.services
    }
    levels = []
    for level in section.levels:  # what stands ready is borne by the levels that may use it
        own = plan.only(level.services).scaled(level.content)
        shared = [
            replace(one, fixed_cost=one.fixed_cost * level.customers / entitled[one.name])
            for one in own.services
        ]
        levels.append(
            ServiceLevel(
                name=level.name,
                plan=ServicePlan(name=level.name, services=shared),
                customers=level.customers,
                charged=level.charged,
            )
        )
    return price_levels(
        levels,
        people,
        terms=section.price.terms() if section.price else None,
        platform_cost=section.platform_cost,
        use=prepared.use,
        edges=section.edges,
        source=section.name,
    )


def _population(section: ServicesSection, prepared: Prepared) -> pl.DataFrame:
    people = prepared.members
    if section.population:
        bands = pl.DataFrame([one.model_dump() for one in section.population])
        ages = bands.with_columns(
            age=pl.int_ranges("age_from", pl.col("age_to") + 1),
            each=pl.col("insured") / (pl.col("age_to") - pl.col("age_from") + 1),
        ).explode("age")
        people = pl.concat(
            ages.select(pl.lit(sex).alias("sex"), "age", insured=pl.col("each") * share)
            for sex, share in (
                ("female", 1 - pl.col("male_share")),
                ("male", pl.col("male_share")),
            )
        ).filter(pl.col("insured") > 0)
        people = people.group_by("sex", "age", maintain_order=True).agg(pl.col("insured").sum())
    if section.insured is not None:
        whole = float(people["insured"].sum())
        people = people.with_columns(insured=pl.col("insured") * (section.insured / whole))
    return people


def _engaged(
    section: ServicesSection, tables: Mapping[str, pl.DataFrame], lexis: Lexis, basis: Basis
) -> Experience | None:
    if section.engagement is None:
        return None
    members = tables["service_members"]
    if "claims" not in tables:
        raise InputError(
            "claims by engagement are asked and no claims were delivered",
            where="services.engagement",
            do="give [tables.claims], or leave services.engagement out",
        )
    wanted = ["engagement", *(n for n in section.engagement.confounders if n != "age_band")]
    missing = [name for name in wanted if name not in members.columns]
    if missing:
        raise InputError(
            f"members lack {', '.join(missing)}{nearest(missing[0], members.columns)}",
            where="services.engagement",
        )
    without = members.filter(pl.any_horizontal(pl.col(wanted).is_null())).height
    if without:
        raise InputError(
            f"{without:,} of {members.height:,} members have no level of {' or '.join(wanted)}",
            where="service_members",
            do="give it for every member, or leave them out of the study",
        )
    text = members.with_columns(pl.col(wanted).cast(pl.String))
    exposed = split_exposure(text, wanted, lexis, basis=basis)
    seen = place_claims(tables["claims"], text, wanted, lexis, basis=basis).onto(exposed)
    seen = seen.with_keys(age_band=band("age", section.edges)).by(*wanted, "age_band")
    levels = section.engagement.levels
    return seen.with_levels(engagement=levels) if levels else seen


def _by_band(values: Mapping[str, float], name: str) -> pl.DataFrame:
    return pl.DataFrame({"age_band": list(values), name: [float(v) for v in values.values()]})
