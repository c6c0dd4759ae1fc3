"""Demand: who takes which tier at given prices and subsidies, and what that does to its cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import polars as pl

from pricing.choice.market import Market, money_by_tier
from pricing.errors import InputError
from pricing.estimate.design import Floats
from pricing.files import fingerprint
from pricing.result.series import SERIES
from pricing.result.shape import Result
from pricing.result.words import Language, label, level_label, say
from pricing.survival.interval import normal_quantile

__all__ = ["Demand", "demand", "paid_prices", "surplus"]


class Demand(Result):
    """Shares, cost of those who choose, and loss ratio by tier.

    ``.table``: alternative, premium, subsidy, price_paid, headcount, share with lower and upper,
    cost_per_member, cost_selection (that cost over the cost were everybody in the tier), loss_ratio with
    loss_ratio_lower and loss_ratio_upper.
    ``.frames["types"]``: the band (fifth of cost, or the factor asked for), alternative, headcount, share.
    """

    kind = "tier_demand"

    def finding(self, lang: Language = "en") -> str:
        """Say take-up, loss ratio, who is drawn, and what the plan is worth."""
        none = say("sentence.choice_no_figure", lang)
        texts = {
            f"{n}_text": none if self.facts[n] is None else f"{self.facts[n]:.1%}"
            for n in ("loss_ratio", "selection")
        }
        return say("finding.tier_demand", lang, **{**self.facts, **texts})

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw who chooses what: shares of the alternatives by band of risk."""
        t = self.frames["types"]
        by = t.columns[0]
        figure = go.Figure(layout={"template": "pricing", "barmode": "stack"})
        names = self.table["alternative"].to_list()
        colours = ["#D9DEE4", *(c for c, _ in SERIES)]
        for name, colour in zip(names, colours, strict=False):
            own = t.filter(pl.col("alternative") == name)
            figure.add_bar(
                x=[level_label(v, lang) for v in own[by].to_list()],
                y=own["share"].to_list(),
                name=level_label(name, lang),
                marker_color=colour,
            )
        return figure.update_layout(
            xaxis={"title": {"text": label(by, lang)}, "type": "category"},
            yaxis={"title": {"text": label("share", lang)}, "tickformat": ".0%", "range": [0, 1]},
            legend={"traceorder": "normal"},
        )


def demand(
    market: Market,
    prices: Mapping[str, float],
    subsidies: Mapping[str, float] | float | None = None,
    *,
    by: str | None = None,
    level: float = 0.95,
) -> Demand:
    """Say who takes which tier, what they cost, and what a person gains.

    Parameters
    ----------
    market : Market
    prices : mapping of tier to float
        Premium a year.
    subsidies : mapping of tier to float, or float, optional
        Paid to the person a year, at most the premium.
    by : str, optional
        Column of the types to show; else fifths of persons by cost.
    level : float
        Of the intervals (delta method); none where the model was calibrated.

    Raises
    ------
    InputError
        For prices or subsidies that do not fit the tiers or are out of their domain, a price effect that
        is not below zero.

    Notes
    -----
    Consumer surplus a person: a [ln(exp V₀ + exp λI) − V₀]/(−b), what the plan at these prices is worth
    against no plan (Small and Rosen 1981, Econometrica 49). Cost of those who choose tier j:
    Σ w P_j c_j / Σ w P_j over types.

    Examples
    --------
    >>> from pricing.choice.calibrate import calibrate
    >>> from pricing.choice.market import choice_market
    >>> model = calibrate({"basic": 500.0}, take_up=0.1, at={"basic": 300.0}, then=0.8)
    >>> market = choice_market(model, pl.DataFrame({"risk": [200.0, 600.0]}))
    >>> seen = demand(market, {"basic": 500.0}, 200.0)
    >>> seen.table.select("alternative", pl.col("share", "cost_per_member", "loss_ratio").round(6)).rows()[1]
    ('basic', 0.8, 400.0, 0.8)
    """
    z = normal_quantile(level)
    premium, subsidy = paid_prices(market, prices, subsidies)
    paid = premium - subsidy
    size = len(market.tiers)

    def figures(m: Market, at: Floats) -> Floats:
        share, cost = m.demand(paid, at)
        out = 1 - share.sum()
        return np.concatenate([[out], share, cost, [_worth(m, paid, at)]])

    found = figures(market, market.model.parameters)
    error = market.spread(figures)
    share, cost = found[: size + 1], found[size + 1 : -1]
    reach = z * error
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(premium > 0, cost / premium, np.nan)
        by_ratio = np.where(premium > 0, reach[size + 1 : -1] / premium, np.nan)
        selection = np.where(market.cost_if_all > 0, cost / market.cost_if_all, np.nan)
    none = [None]
    everybody = float(market.persons.sum())
    table = pl.DataFrame({
        "alternative": market.model.alternatives,
        "premium": none + premium.tolist(), "subsidy": none + subsidy.tolist(), "price_paid": none + paid.tolist(),
        "headcount": share * everybody, "share": share,
        "lower": np.maximum(share - reach[: size + 1], 0.0), "upper": np.minimum(share + reach[: size + 1], 1.0),
        "cost_per_member": none + cost.tolist(), "cost_selection": none + selection.tolist(),
        "loss_ratio": none + ratio.tolist(), "loss_ratio_lower": none + (ratio - by_ratio).tolist(),
        "loss_ratio_upper": none + (ratio + by_ratio).tolist(),
    }, strict=False).with_columns(pl.selectors.float().fill_nan(None))  # fmt: skip
    insured = float(share[1:].sum())
    claims, income = float(share[1:] @ cost), float(share[1:] @ premium)
    facts = {
        "take_up": insured, "take_up_lower": _null(1 - share[0] - reach[0]), "take_up_upper": _null(1 - share[0] + reach[0]),
        "persons": everybody, "members": insured * everybody, "loss_ratio": claims / income if income else None,
        "selection": claims / float(share[1:] @ market.cost_if_all) if claims else None,
        "consumer_surplus": float(found[-1]), "consumer_surplus_error": _null(error[-1]),
        "public_cost": float(share[1:] @ subsidy) * everybody, "aware": market.aware,
        "currency": market.basis.currency, "level": level,
    }  # fmt: skip
    told = fingerprint(
        market.basis.fingerprint,
        repr(premium.tolist()),
        repr(subsidy.tolist()),
        str(by),
        str(level),
    )
    basis = replace(market.basis, fingerprint=told)
    frames = {"types": _by_type(market, paid, by)}
    return Demand(table=table, basis=basis, facts=facts, frames=frames)


def paid_prices(
    market: Market, prices: Mapping[str, float], subsidies: Mapping[str, float] | float | None
) -> tuple[Floats, Floats]:
    """Read premiums and subsidies by tier; a subsidy above its premium is refused.

    Examples
    --------
    >>> from pricing.choice.calibrate import calibrate
    >>> from pricing.choice.market import choice_market
    >>> model = calibrate({"basic": 500.0}, take_up=0.1, at={"basic": 300.0}, then=0.8)
    >>> market = choice_market(model, pl.DataFrame({"risk": [200.0]}))
    >>> [v.tolist() for v in paid_prices(market, {"basic": 500.0}, 200.0)]
    [[500.0], [200.0]]
    """
    premium = money_by_tier(market.tiers, prices, "prices")
    subsidy = money_by_tier(market.tiers, subsidies, "subsidies")
    above = [t for t, p, s in zip(market.tiers, premium, subsidy, strict=True) if s > p]
    if above:
        raise InputError(
            "a subsidy is above its premium",
            where="subsidies",
            faults=above,
            do="lower the subsidy",
        )
    return premium, subsidy


def surplus(market: Market, paid: Floats) -> float:
    """Consumer surplus of the plan, currency a person and year, over all persons.

    Examples
    --------
    >>> from pricing.choice.calibrate import calibrate
    >>> from pricing.choice.market import choice_market
    >>> model = calibrate({"basic": 500.0}, take_up=0.1, at={"basic": 300.0}, then=0.8)
    >>> market = choice_market(model, pl.DataFrame({"risk": [200.0]}))
    >>> round(surplus(market, np.array([300.0])), 4)  # -ln(1 - 0.8) / 0.017918
    89.8244
    """
    return _worth(market, paid, market.model.parameters)


def _worth(market: Market, paid: Floats, at: Floats) -> float:
    each = market.shares(paid, at).logsum / -market.price_effect(at)
    return float(market.aware * (market.weights @ each))


def _by_type(market: Market, paid: Floats, by: str | None) -> pl.DataFrame:
    name, levels, member = market.bands(by)
    persons = member @ market.shares(paid).every
    share = persons / member.sum(axis=1, keepdims=True)
    return pl.concat([
        pl.DataFrame({name: levels, "alternative": [a] * len(levels), "headcount": persons[:, j], "share": share[:, j]})
        for j, a in enumerate(market.model.alternatives)
    ])  # fmt: skip


def _null(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
