"""The green channel of a critical illness: who is struck, who calls, what a case costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError
from pricing.experience.bands import band
from pricing.files import fingerprint
from pricing.regulation.check import is_number
from pricing.result.series import SERIES
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, level_label
from pricing.services.activation import SCOPE_NOTE, UNIT_COST_NOTE, Beyond, activation_rates
from pricing.services.service import Service, ServicePlan, require_population
from pricing.services.use import AGE_EDGES

__all__ = ["Channel", "ChannelStep", "GreenChannel", "green_channel"]

# Second opinions in the United States: Business Insurance (2011, 2016), USD per enrollee-month.
US_MEMBER_MONTH = (1.5, 8.0)


@dataclass(frozen=True, kw_only=True)
class ChannelStep:
    """One service of the channel: the share of cases that need it and what it costs.

    Examples
    --------
    >>> ChannelStep(name="陪诊", share=0.6, unit_cost=400.0).share
    0.6
    """

    name: str
    share: float
    unit_cost: float
    user_share: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Channel:
    """A green channel: its steps, its scope and who calls.

    Attributes
    ----------
    steps : sequence of ChannelStep
        Services of a case.
    uptake : float
        Share of those struck who call, 0 to 1.
    severe_scope, mild_scope, mild_beyond
        As :func:`pricing.services.activation.activation_rates` takes them.
    fixed_cost : float
        Currency a year for the desk and its contracts with hospitals.

    Examples
    --------
    >>> channel = Channel(steps=[ChannelStep(name="陪诊", share=0.5, unit_cost=400.0)], uptake=0.5)
    >>> channel.cost_per_case
    200.0
    """

    steps: Sequence[ChannelStep]
    uptake: float
    severe_scope: float = 1.0
    mild_scope: float = 1.0
    mild_beyond: Beyond = "last"
    fixed_cost: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", tuple(self.steps))
        if not is_number(self.uptake) or not 0 <= self.uptake <= 1:
            raise InputError(f"the uptake of a channel must lie in 0 to 1, got {self.uptake!r}")
        self.plan()

    @property
    def cost_per_case(self) -> float:
        """What the plan bears for one case that calls, in currency.

        Examples
        --------
        >>> Channel(steps=[ChannelStep(name="a", share=1.0, unit_cost=9.0)], uptake=1.0).cost_per_case
        9.0
        """
        return sum(s.share * s.unit_cost * (1 - s.user_share) for s in self.steps)

    def plan(self, name: str = "green channel") -> ServicePlan:
        """Give the channel as a plan of services that first diagnoses set off.

        Examples
        --------
        >>> channel = Channel(steps=[ChannelStep(name="a", share=1.0, unit_cost=9.0)], uptake=0.5)
        >>> channel.plan().services[0].uptake
        0.5
        """
        rates = activation_rates(
            severe_scope=self.severe_scope, mild_scope=self.mild_scope, mild_beyond=self.mild_beyond
        )
        wrong = [s.name for s in self.steps if not is_number(s.share) or not 0 <= s.share <= 1]
        if wrong:
            raise InputError(f"shares of cases must lie in 0 to 1: {', '.join(map(str, wrong))}")
        return ServicePlan(
            name=name,
            services=[
                Service(
                    name=step.name,
                    use=rates,
                    unit_cost=step.unit_cost,
                    uptake=self.uptake * step.share,
                    user_share=step.user_share,
                    fixed_cost=self.fixed_cost if i == 0 else 0.0,
                )
                for i, step in enumerate(self.steps)
            ],
        )


class GreenChannel(Result):
    """First diagnoses, activated cases and cost per insured by age band and sex."""

    kind = "green_channel"

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the cost per insured by single age, a line per sex."""
        figure = go.Figure(layout={"template": "pricing"})
        every = self.frames["ages"]
        for sex, (colour, _) in zip(("female", "male"), SERIES, strict=False):
            part = every.filter(pl.col("sex") == sex)
            figure.add_scatter(
                x=part["age"].to_list(), y=part["cost_per_insured"].to_list(), mode="lines",
                name=level_label(sex, lang), line={"width": 3, "color": colour},
            )  # fmt: skip
        return figure.update_layout(
            xaxis={"title": {"text": label("age", lang)}},
            yaxis={
                "title": {"text": f"{label('cost_per_insured', lang)}, {self.basis.currency}"},
                "rangemode": "tozero",
            },
        )


def green_channel(
    channel: Channel,
    population: pl.DataFrame,
    *,
    exchange_rate: float,
    edges: Sequence[int] = AGE_EDGES,
    currency: str = "CNY",
    source: str = "",
) -> GreenChannel:
    """Price a green channel: first diagnoses × uptake × cost of a case, by age and sex.

    Parameters
    ----------
    channel : Channel
        Steps, uptake, scope, fixed cost.
    population : polars.DataFrame
        ``sex``, ``age``, ``insured``.
    exchange_rate : float
        Currency units per US dollar, for the American comparison; above zero.

    Returns
    -------
    GreenChannel
        ``.table`` by age_band and sex: insured, struck_rate (first diagnoses in scope per insured-year),
        activation_rate, channel_cases, cost_per_insured (without the fixed cost). ``.facts``: cost per insured
        and month with the fixed cost, per case with and without it, the range an American member pays,
        and ``ceiling``, the cost per insured were every one struck to call.

    Notes
    -----
    Cost per insured = i(x)·uptake·Σ share·unit cost·(1 − user's share) + fixed/insured. The American
    second opinion costs 1.50 to 8 USD per enrollee-month (Business Insurance 2011, 2016): another
    service in another country, so a check of magnitude and no more.

    Examples
    --------
    >>> channel = Channel(steps=[ChannelStep(name="陪诊", share=1.0, unit_cost=1000.0)], uptake=0.5,
    ...                   mild_scope=0.0)
    >>> people = pl.DataFrame({"sex": ["male"], "age": [40], "insured": [1000]})
    >>> found = green_channel(channel, people, exchange_rate=7.0)
    >>> round(found.facts["cost_per_insured"], 6), round(found.facts["cases"], 4)
    (1.1495, 1.1495)
    """
    if not is_number(exchange_rate) or exchange_rate <= 0:
        raise InputError(f"the exchange rate must be above zero, got {exchange_rate!r}")
    people = require_population(population)
    rates = activation_rates(
        severe_scope=channel.severe_scope,
        mild_scope=channel.mild_scope,
        mild_beyond=channel.mild_beyond,
    )
    per_case, uptake = channel.cost_per_case, float(channel.uptake)
    cells = (
        people.group_by("sex", "age", maintain_order=True)
        .agg(pl.col("insured").sum())
        .sort("sex", "age")
        .with_columns(struck_rate=rates.rate(), age_band=band("age", edges))
    )
    lacking = cells.filter(pl.col("struck_rate").is_null() | pl.col("age_band").is_null())
    if lacking.height:
        raise InputError(
            f"{lacking.height:,} of {cells.height:,} cells have an age without incidence or band, "
            f"such as {lacking['age'][0]}",
            do="the table runs from age 0 to 105; begin the edges at the youngest age",
        )
    ages = cells.with_columns(
        activation_rate=pl.col("struck_rate") * uptake,
        cost_per_insured=pl.col("struck_rate") * uptake * per_case,
    )
    table = (
        ages.group_by("age_band", "sex", maintain_order=True)
        .agg(
            insured=pl.col("insured").sum(),
            _struck=(pl.col("insured") * pl.col("struck_rate")).sum(),
        )
        .sort("age_band", "sex")
        .select(
            "age_band",
            "sex",
            "insured",
            struck_rate=pl.col("_struck") / pl.col("insured"),
            activation_rate=pl.col("_struck") * uptake / pl.col("insured"),
            channel_cases=pl.col("_struck") * uptake,
            cost_per_insured=pl.col("_struck") * uptake * per_case / pl.col("insured"),
        )
    )
    insured = float(ages["insured"].sum())
    cases = float(table["channel_cases"].sum())
    cost = cases * per_case + channel.fixed_cost
    struck = float((ages["insured"] * ages["struck_rate"]).sum())
    us = [12 * rate * exchange_rate for rate in US_MEMBER_MONTH]
    facts: dict[str, Any] = {
        "insured": insured,
        "incidence": struck / insured,
        "cases": cases,
        "uptake": uptake,
        "cost_per_case": per_case,
        "cost_per_case_all_in": cost / cases if cases else None,
        "cost_per_insured": cost / insured,
        "cost_per_month": cost / insured / 12,
        "ceiling": (struck * per_case + channel.fixed_cost) / insured,
        "us_lower": us[0],
        "us_upper": us[1],
        "us_share": cost / insured / us[0],
    }
    basis = Basis(
        source=source or rates.source,
        rows=population.height,
        exposure=insured,
        currency=currency,
        fingerprint=fingerprint(
            channel.plan().fingerprint(), ages.write_json(), repr((exchange_rate, uptake))
        ),
        notes=(SCOPE_NOTE, UNIT_COST_NOTE, rates.source),
    )
    detail = ages.select(
        "sex", "age", "insured", "struck_rate", "activation_rate", "cost_per_insured"
    )
    return GreenChannel(table=table, basis=basis, facts=facts, frames={"ages": detail})
