"""The premium from its parts: pure premium, risk margin, expense, commission, service, profit.

gross = (pure + risk margin + fixed expense + service) / (1 − expense − commission − profit).
Rounding: the gross premium goes up to the next fen, every part to the nearest fen (half to even), and
the fen that is left over belongs to the profit, so that the parts add up exactly.
"""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal
from typing import Any

import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError
from pricing.result.figure import COLOURS
from pricing.result.shape import Result
from pricing.result.words import Language, label, level_label, say
from pricing.tiers.cost import TierCost
from pricing.tiers.tier import Loadings, Tier

__all__ = [
    "PremiumBuildUp",
    "build_up",
    "gross_of",
    "loading_of",
    "risk_margin",
    "to_the_fen",
]

FEN = Decimal("0.01")
PARTS = (
    "pure_premium",
    "risk_margin",
    "fixed_expense",
    "service",
    "variable_expense",
    "commission",
    "profit",
)


class PremiumBuildUp(Result):
    """Parts of the premium.

    ``.table``: part_of_premium, required_amount and required_share (of the premium the loadings
    ask), charged_amount and charged_share (of the premium charged, profit being what is left). The
    last row is the gross premium.
    """

    kind = "premium_build_up"

    def finding(self, lang: Language = "en") -> str:
        """Say what premium the parts ask, and what the premium charged leaves."""
        facts = {**self.facts, "tier": level_label(self.facts["tier"], lang)}
        return say("finding.premium_build_up", lang, **facts, currency=self.basis.currency)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw both premiums as a waterfall, part by part."""
        figure = go.Figure(layout={"template": "pricing"})
        parts = self.table["part_of_premium"].to_list()
        for column, colour, shift in (
            ("required_amount", "estimate", 0),
            ("charged_amount", "second", 1),
        ):
            amounts = self.table[column].to_list()
            base = [math.fsum(amounts[:i]) for i in range(len(parts) - 1)] + [0.0]
            figure.add_bar(
                x=[level_label(p, lang) for p in parts],
                y=amounts,
                base=base,
                width=0.4,
                offset=-0.4 + 0.4 * shift,
                name=label(column, lang),
                marker={"color": COLOURS[colour]},
                hovertemplate="%{y:,.2f}",
            )
        return figure.update_layout(
            xaxis={"title": {"text": label("part_of_premium", lang)}, "type": "category"},
            yaxis={"title": {"text": f"{label('amount_of_money', lang)} ({self.basis.currency})"}},
        )


def build_up(tier: Tier, cost: TierCost) -> PremiumBuildUp:
    """Build the premium of a tier from its cost, and take the premium charged apart.

    Parameters
    ----------
    tier : Tier
        Loadings and premium charged.
    cost : TierCost
        From :func:`pricing.tiers.cost.cost_tier` on the same tier.

    Returns
    -------
    PremiumBuildUp
        Where a subsidy is paid to the plan, the premium charged is taken with it (income).

    Raises
    ------
    InputError
        For the cost of another tier.

    Examples
    --------
    >>> from scipy import stats
    >>> from pricing.tiers.benefit import Benefit
    >>> from pricing.tiers.cost import cost_tier
    >>> visits = Benefit(name="outpatient", frequency=1.0, severity=stats.expon(scale=437.5),
    ...                  coinsurance=0.2)
    >>> loadings = Loadings(expense=0.15, commission=0.12, profit=0.08)
    >>> basic = Tier(name="basic", benefits=(visits,), premium=500.0, loadings=loadings)
    >>> parts = build_up(basic, cost_tier(basic, 1000))
    >>> parts.facts["required_premium"], parts.facts["left"]
    (538.47, 15.0)
    """
    if cost.facts["tier"] != tier.name or cost.facts["premium"] != tier.premium:
        raise InputError(f"this is the cost of {cost.facts['tier']!r}, not of {tier.name!r}")
    margin = risk_margin(
        tier.loadings,
        cost.facts["pure_premium"],
        cost.facts["portfolio_sd"] / cost.facts["persons"],
        cost.facts["capital"],
    )
    amounts = {
        "pure_premium": cost.facts["pure_premium"],
        "risk_margin": margin,
        "fixed_expense": tier.loadings.fixed_expense,
        "service": cost.facts["service"],
    }
    net = math.fsum(amounts.values())
    gross = to_the_fen(net / (1 - tier.loadings.shares), up=True)
    required = _parts(amounts, tier.loadings, gross)
    charged = _parts(amounts, tier.loadings, cost.facts["income"])
    table = pl.DataFrame(
        {
            "part_of_premium": [*PARTS, "gross_premium"],
            "required_amount": [*required, gross],
            "required_share": [x / gross for x in [*required, gross]],
            "charged_amount": [*charged, to_the_fen(cost.facts["income"])],
            "charged_share": [
                x / cost.facts["income"] for x in [*charged, to_the_fen(cost.facts["income"])]
            ],
        }
    )
    notes = (
        "gross premium up to the next fen, parts to the nearest fen, what is left over to the profit",
        f"risk margin by {tier.loadings.principle}",
    )
    return PremiumBuildUp(
        table=table,
        basis=replace(cost.basis, notes=(*cost.basis.notes, *notes)),
        facts={
            "tier": tier.name,
            "pure_premium": cost.facts["pure_premium"],
            "required_premium": gross,
            "premium": tier.premium,
            "income": cost.facts["income"],
            "left": charged[-1],
            "left_share": charged[-1] / cost.facts["income"],
            "wanted_share": tier.loadings.profit,
            "loading": loading_of(tier.loadings, cost.facts["service"], cost.facts["income"]),
        },
    )


def risk_margin(loadings: Loadings, pure: float, deviation: float, capital: float) -> float:
    """Give the risk margin per insured-year by the loadings' principle.

    Parameters
    ----------
    loadings : Loadings
        ``risk`` and ``principle``.
    pure, deviation, capital : float
        Pure premium; standard deviation of the portfolio's mean cost per insured; VaR − mean of the
        portfolio per insured, currency.

    Examples
    --------
    >>> risk_margin(Loadings(risk=0.05, principle="pure"), 350.0, 14.0, 40.0)
    17.5
    >>> risk_margin(Loadings(risk=0.5), 350.0, 14.0, 40.0)
    7.0
    """
    of = {"deviation": deviation, "pure": pure, "value_at_risk": max(capital, 0.0)}
    return loadings.risk * of[loadings.principle]


def gross_of(
    tier: Tier, pure: float, deviation: float, capital: float, new_share: float = 1.0
) -> float:
    """Give the premium that the loadings of a tier ask, before rounding.

    Examples
    --------
    >>> from scipy import stats
    >>> from pricing.tiers.benefit import Benefit
    >>> visits = Benefit(name="outpatient", frequency=1.0, severity=stats.expon(scale=100.0))
    >>> tier = Tier(name="basic", benefits=(visits,), premium=500.0, loadings=Loadings(expense=0.3))
    >>> round(gross_of(tier, 350.0, 0.0, 0.0), 9)
    500.0
    """
    claims = {
        b.name: new_share * b.claims(first_term=True, term_days=tier.term_days)
        + (1 - new_share) * b.claims()
        for b in tier.benefits
        if b.response
    }
    margin = risk_margin(tier.loadings, pure, deviation, capital)
    net = math.fsum([pure, margin, tier.loadings.fixed_expense, tier.service(claims)])
    return net / (1 - tier.loadings.shares)


def loading_of(loadings: Loadings, service: float, income: float) -> float:
    """Give the share of an income that is there for something else than claims and risk.

    Examples
    --------
    >>> loading_of(Loadings(expense=0.25, fixed_expense=20.0), 30.0, 500.0)
    0.35
    """
    return loadings.shares + (loadings.fixed_expense + service) / income


def to_the_fen(amount: float, *, up: bool = False) -> float:
    """Round an amount to the fen: half to even, or up to the next one.

    Up, a millionth of a fen above a whole one counts as on it.

    Examples
    --------
    >>> to_the_fen(1.125), to_the_fen(1.121, up=True), to_the_fen(350.00000000001, up=True)
    (1.12, 1.13, 350.0)
    """
    exact = Decimal(repr(round(float(amount), 8)))
    return float(exact.quantize(FEN, rounding=ROUND_CEILING if up else ROUND_HALF_EVEN))


def _parts(amounts: dict[str, Any], loadings: Loadings, gross: float) -> list[float]:
    """Parts of a premium to the fen; the profit is what is left of it."""
    taken = amounts | {
        "variable_expense": loadings.expense * gross,
        "commission": loadings.commission * gross,
    }
    exact = [Decimal(repr(to_the_fen(taken[name]))) for name in PARTS[:-1]]
    left = Decimal(repr(to_the_fen(gross))) - sum(exact, Decimal(0))
    return [*map(float, exact), float(left)]
