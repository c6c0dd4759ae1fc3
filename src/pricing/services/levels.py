"""Levels of service for levels of customer: what each costs, needs and earns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.regulation.check import is_number
from pricing.result.figure import COLOURS
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, level_label, say
from pricing.services.cost import service_cost
from pricing.services.price import RiderTerms
from pricing.services.service import ServicePlan
from pricing.services.use import AGE_EDGES, ServiceUse

__all__ = ["LevelPrices", "ServiceLevel", "price_levels"]


@dataclass(frozen=True, kw_only=True)
class ServiceLevel:
    """One level: its services, its customers and what they are charged.

    Attributes
    ----------
    name : str
        Of the level.
    plan : ServicePlan
        Its services.
    customers : float
        Insured-years of the level, above zero.
    charged : float, optional
        Price a year; 0 where the payer carries it; the price needed where left out.

    Examples
    --------
    >>> from pricing.services.service import Service
    >>> plan = ServicePlan(name="p", services=[Service(name="a", use=1.0, unit_cost=8.0)])
    >>> ServiceLevel(name="金卡", plan=plan, customers=100, charged=10.0).charged
    10.0
    """

    name: str
    plan: ServicePlan
    customers: float
    charged: float | None = None

    def __post_init__(self) -> None:
        faults = []
        if not self.name.strip():
            faults.append("a level needs a name")
        if not (is_number(self.customers) and self.customers > 0):
            faults.append(f"customers must be above zero, got {self.customers}")
        if self.charged is not None and not (is_number(self.charged) and self.charged >= 0):
            faults.append(f"the price charged must be zero or more, got {self.charged}")
        if faults:
            raise InputError(
                "a level that cannot be priced", where=f"level {self.name!r}", faults=faults
            )


class LevelPrices(Result):
    """Cost, price needed, price charged and margin by level of service."""

    kind = "level_prices"

    def finding(self, lang: Language = "en") -> str:
        """Say it in one sentence, levels by their names in the language."""
        named = {"worst": level_label(self.facts["worst"], lang)}
        return say(f"finding.{self.kind}", lang, **{**self.facts, **named})

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw what makes up the price needed by level, and the price charged."""
        levels = [level_label(one, lang) for one in self.table["service_level"]]
        figure = go.Figure(layout={"template": "pricing"})
        loaded = (
            self.table["price_needed"]
            - self.table["cost_per_insured"]
            - self.table["platform_cost"]
        )
        for name, values, colour in (
            ("cost_per_insured", self.table["cost_per_insured"], COLOURS["estimate"]),
            ("platform_cost", self.table["platform_cost"], COLOURS["third"]),
            ("loadings_of_price", loaded, COLOURS["bars"]),
        ):
            figure.add_bar(
                x=levels, y=values.to_list(), name=label(name, lang), marker_color=colour
            )
        figure.add_scatter(
            x=levels, y=self.table["price_charged"].to_list(), mode="markers",
            name=label("price_charged", lang),
            marker={"size": 12, "symbol": "diamond", "color": COLOURS["second"]},
        )  # fmt: skip
        return figure.update_layout(
            barmode="stack",
            xaxis={"title": {"text": label("service_level", lang)}, "type": "category"},
            yaxis={"title": {"text": f"{label('price_needed', lang)}, {self.basis.currency}"}},
        )


def price_levels(
    levels: Sequence[ServiceLevel],
    population: pl.DataFrame,
    *,
    terms: RiderTerms | None = None,
    platform_cost: float = 0.0,
    use: ServiceUse | None = None,
    edges: Sequence[int] = AGE_EDGES,
    currency: str = "CNY",
    source: str = "",
) -> LevelPrices:
    """Price levels of service as riders, and say which of them earn.

    Parameters
    ----------
    levels : sequence of ServiceLevel
        In rising order; each name once.
    population : polars.DataFrame
        ``sex``, ``age``, ``insured`` of one level or of all; with a column ``service_level`` each
        level has its own mix. The mix is scaled to the customers of the level.
    terms : RiderTerms, optional
        Loadings of the price.
    platform_cost : float
        Platform and technology, currency a year, spread over all customers alike.
    use : ServiceUse, optional
        Use counted from rows.

    Returns
    -------
    LevelPrices
        ``.table`` by service_level: customers, uses_expected, cost_per_insured, platform_cost,
        price_needed, price_charged, margin_per_customer, level_margin.

    Raises
    ------
    InputError
        For no levels, a level named twice, a level without population, a platform below zero.

    Notes
    -----
    Margin per customer = price × (1 − expense − commission − tax) − fixed expense − cost − platform;
    at the price needed it is the profit loading.

    Examples
    --------
    >>> from pricing.services.service import Service
    >>> plan = ServicePlan(name="p", services=[Service(name="a", use=1.0, unit_cost=60.0)])
    >>> people = pl.DataFrame({"sex": ["male"], "age": [40], "insured": [1]})
    >>> found = price_levels([ServiceLevel(name="金卡", plan=plan, customers=10, charged=90.0)], people,
    ...                      terms=RiderTerms(expense=0.1, profit=0.1), platform_cost=120.0)
    >>> found.table.select("price_needed", "level_margin").row(0)
    (90.0, 90.0)
    """
    rider = terms or RiderTerms()
    names = [one.name for one in levels]
    faults = [] if names else ["there are no levels"]
    faults += [f"level {n!r} is named twice" for n in dict.fromkeys(names) if names.count(n) > 1]
    if not (is_number(platform_cost) and platform_cost >= 0):
        faults.append(f"the platform's cost must be zero or more, got {platform_cost!r}")
    own = "service_level" in population.columns
    if own:
        there = population["service_level"].cast(pl.String).unique().to_list()
        faults += [f"level {n!r} has no population" for n in names if n not in there]
    if faults:
        raise InputError("levels that cannot be priced", faults=faults)
    everyone = sum(one.customers for one in levels)
    platform = platform_cost / everyone
    rows: list[dict[str, Any]] = []
    for one in levels:  # a handful
        people = population
        if own:
            people = people.filter(pl.col("service_level").cast(pl.String) == one.name)
        whole = float(people["insured"].cast(pl.Float64).sum()) if people.height else 0.0
        if whole > 0:
            people = people.with_columns(
                insured=pl.col("insured").cast(pl.Float64) * (one.customers / whole)
            )
        cost = service_cost(one.plan, people, use=use, edges=edges, currency=currency)
        spent = cost.facts["cost_per_insured"]
        needed = rider.price(spent + platform)
        charged = needed if one.charged is None else float(one.charged)
        kept = charged * (1 - rider.loading + rider.profit) - rider.fixed_expense
        margin = kept - spent - platform
        rows.append(
            {
                "service_level": one.name,
                "customers": float(one.customers),
                "services_held": len(one.plan.services),
                "uses_expected": cost.facts["uses"],
                "cost_per_insured": spent,
                "platform_cost": platform,
                "price_needed": needed,
                "price_charged": charged,
                "margin_per_customer": margin,
                "level_margin": margin * one.customers,
                "_print": cost.basis.fingerprint,
            }
        )
    table = pl.DataFrame(rows)
    total = float(table["level_margin"].sum())
    worst = table.sort("level_margin", maintain_order=True).row(0, named=True)
    facts: dict[str, Any] = {
        "levels": table.height,
        "customers": float(everyone),
        "cost_total": float((table["cost_per_insured"] * table["customers"]).sum()) + platform_cost,
        "income_total": float((table["price_charged"] * table["customers"]).sum()),
        "mean_price": float((table["price_needed"] * table["customers"]).sum()) / everyone,
        "margin_total": total,
        "losing": int((table["level_margin"] < -1e-9).sum()),
        "worst": worst["service_level"],
        "worst_margin": worst["margin_per_customer"],
        "lowest_price": float(table["price_needed"].min()),  # type: ignore[arg-type]
        "highest_price": float(table["price_needed"].max()),  # type: ignore[arg-type]
    }
    basis = Basis(
        source=source,
        rows=population.height,
        exposure=float(everyone),
        currency=currency,
        fingerprint=fingerprint(
            *table["_print"].to_list(), repr((rider, platform_cost, table.drop("_print").rows()))
        ),
        notes=("use by level is that of the plan's terms; who chooses a level may use more of it",),
    )
    return LevelPrices(table=table.drop("_print"), basis=basis, facts=facts)
