"""A subsidy for members: paid to the person or to the plan, who gains, what a further member costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import polars as pl

from pricing.choice.demand import paid_prices, surplus
from pricing.choice.equilibrium import break_even_rule, equilibrium
from pricing.choice.market import EMPTY, Market, money_by_tier
from pricing.errors import InputError
from pricing.estimate.design import Floats
from pricing.files import fingerprint
from pricing.result.figure import COLOURS
from pricing.result.shape import Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["SubsidyEffect", "subsidy_effect"]

PER_MEMBER = ("cost_per_added", "premium", "price_paid", "cost_per_member")


class SubsidyEffect(Result):
    """The ways a subsidy can go, side by side.

    ``.table``: route, pricing (premium_held, break_even), take_up, added (share of persons more than
    without), premium and price_paid (mean of members), cost_per_member, public_cost (a person of the
    population), cost_per_added (public cost per further member), consumer_gain and plan_gain (a person of
    the population, against no subsidy), total_gain (of both, less the public cost).
    ``.frames["tiers"]``: route, pricing, alternative, premium, price_paid, share, cost_per_member.
    """

    kind = "subsidy_effect"

    def finding(self, lang: Language = "en") -> str:
        """Say what the subsidy adds and what that costs the public."""
        f = self.facts
        if f["cost_per_added"] is None:
            return say("sentence.subsidy_adds_none", lang, **f)
        return say("finding.subsidy_effect", lang, **f)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw take-up by route, its premium held and at break-even."""
        figure = go.Figure(layout={"template": "pricing", "barmode": "group"})
        for pricing, colour in (
            ("premium_held", COLOURS["estimate"]),
            ("break_even", COLOURS["second"]),
        ):
            own = self.table.filter(pl.col("pricing") == pricing)
            if own.height:
                figure.add_bar(
                    x=[level_label(r, lang) for r in own["route"]],
                    y=own["take_up"].to_list(),
                    text=[f"{v:.0%}" for v in own["take_up"]],
                    textposition="outside",
                    cliponaxis=False,
                    name=level_label(pricing, lang),
                    marker_color=colour,
                )
        return figure.update_layout(
            xaxis={"title": {"text": label("route", lang)}, "type": "category"},
            yaxis={"title": {"text": label("take_up", lang)}, "tickformat": ".0%"},
        )


def subsidy_effect(
    market: Market,
    prices: Mapping[str, float],
    subsidies: Mapping[str, float] | float,
    *,
    loss_ratio: Mapping[str, float] | float = 1.0,
) -> SubsidyEffect:
    """Pay a subsidy to the person or to the plan, with premiums held and at break-even.

    Premiums held: paid to the person, the price falls and people come; paid to the plan, nothing a
    person sees changes and the plan keeps it. At break-even both come to the same price paid, so who is
    paid does not matter: that is the incidence of a subsidy where premiums follow cost.

    Parameters
    ----------
    market : Market
    prices : mapping of tier to float
        Premium a year as it stands.
    subsidies : mapping of tier to float, or float
        A member and year, at most the premium; above zero for one tier at least.
    loss_ratio : mapping of tier to float, or float
        Permissible loss ratio at break-even.

    Raises
    ------
    InputError
        As :func:`pricing.choice.demand.demand`; for no subsidy at all.

    Notes
    -----
    Gains a person of the population: of consumers the change of the logsum over −b, of the plan that of
    Σ share (premium + subsidy to the plan − cost), with expenses counted as cost by neither. Break-even
    takes the stable equilibrium of largest take-up.

    Examples
    --------
    >>> from pricing.choice.calibrate import calibrate
    >>> from pricing.choice.market import choice_market
    >>> model = calibrate({"basic": 500.0}, take_up=0.1, at={"basic": 300.0}, then=0.8)
    >>> market = choice_market(model, pl.DataFrame({"risk": [350.0]}))
    >>> seen = subsidy_effect(market, {"basic": 500.0}, 200.0, loss_ratio=0.7)
    >>> seen.table.select("route", "pricing", pl.col("take_up").round(6), pl.col("cost_per_added").round(2)).rows()[:3]
    [('no_subsidy', 'premium_held', 0.1, None), ('to_person', 'premium_held', 0.8, 228.57), ('to_plan', 'premium_held', 0.1, None)]
    """
    premium, subsidy = paid_prices(market, prices, subsidies)
    if not subsidy.any():
        raise InputError("there is no subsidy", where="subsidies", do="give one above zero")
    ratio = money_by_tier(market.tiers, loss_ratio, "loss ratio", above_zero=True)
    by_tier = {
        n: dict(zip(market.tiers, v.tolist(), strict=True))
        for n, v in (("s", subsidy), ("r", ratio))
    }
    none = np.zeros(len(premium))
    routes = {"no_subsidy": (none, none), "to_person": (subsidy, none), "to_plan": (none, subsidy)}
    rows, tiers = [], []
    for pricing in ("premium_held", "break_even"):
        before: tuple[float, float, float] | None = None
        for route, (person, plan) in routes.items():
            charged = premium
            if pricing == "break_even":
                given = {
                    "to_person": by_tier["s"] if person.any() else None,
                    "to_plan": by_tier["s"] if plan.any() else None,
                }
                charged = _lasting(market, by_tier["r"], given)
            row, own, before = _row(market, charged, person, plan, before)
            rows.append({"route": route, "pricing": pricing, **row})
            tiers.append(
                own.select(pl.lit(route).alias("route"), pl.lit(pricing).alias("pricing"), pl.all())
            )
    table = pl.DataFrame(rows, schema_overrides=dict.fromkeys(PER_MEMBER, pl.Float64))
    held = {r["route"]: r for r in rows if r["pricing"] == "premium_held"}
    even = {r["route"]: r for r in rows if r["pricing"] == "break_even"}
    facts = {
        "subsidy": float(subsidy.max()), "take_up": held["no_subsidy"]["take_up"], "take_up_then": held["to_person"]["take_up"],
        "cost_per_added": held["to_person"]["cost_per_added"], "consumer_gain": held["to_person"]["consumer_gain"],
        "public_cost": held["to_person"]["public_cost"], "even": even["no_subsidy"]["take_up"], "even_then": even["to_person"]["take_up"],
        "currency": market.basis.currency,
    }  # fmt: skip
    told = fingerprint(
        market.basis.fingerprint, *(repr(v.tolist()) for v in (premium, subsidy, ratio))
    )
    note = "break-even: premiums follow the cost of members, over the permissible loss ratio"
    basis = replace(market.basis, fingerprint=told, notes=(*market.basis.notes, note))
    return SubsidyEffect(table=table, basis=basis, facts=facts, frames={"tiers": pl.concat(tiers)})


def _lasting(
    market: Market, ratio: Mapping[str, float], given: Mapping[str, Mapping[str, float] | None]
) -> Floats:
    found = equilibrium(
        break_even_rule(market, ratio, to_person=given["to_person"], to_plan=given["to_plan"])
    )
    best = found.table.filter(pl.col("point") == found.facts["best"])
    return best["premium"].to_numpy()


def _row(
    market: Market,
    premium: Floats,
    person: Floats,
    plan: Floats,
    before: tuple[float, float, float] | None,
) -> tuple[dict[str, float | None], pl.DataFrame, tuple[float, float, float]]:
    paid = np.maximum(premium - person, 0.0)
    share, cost = market.demand(paid)
    take_up = float(share.sum())
    worth, gain = surplus(market, paid), float(share @ (premium + plan - cost))
    at = before or (take_up, worth, gain)
    public = float(share @ (premium - paid + plan))
    added = take_up - at[0]

    def mean(each: Floats) -> float | None:
        return float(share @ each) / take_up if take_up > EMPTY else None

    row = {
        "take_up": take_up, "added": added, "premium": mean(premium), "price_paid": mean(paid),
        "cost_per_member": mean(cost), "public_cost": public,
        "cost_per_added": public / added if added > 1e-9 else None, "consumer_gain": worth - at[1], "plan_gain": gain - at[2],
        "total_gain": worth - at[1] + gain - at[2] - public,
    }  # fmt: skip
    own = pl.DataFrame({
        "alternative": market.tiers, "premium": premium, "price_paid": paid, "share": share, "cost_per_member": cost,
    })  # fmt: skip
    return row, own, at
