"""Whether a premium is enough, and at which price it would be.

Checks: the actuarial value against its least; the loading against its cap; the net premium against
expected claims, and against a loss ratio that is promised. A loading of 35 % leaves 65 % of the premium
for claims: a promised loss ratio of 70 % cannot be paid from it, whatever the premium.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError
from pricing.losses.aggregate import aggregate_portfolio
from pricing.losses.count_law import persons as persons_law
from pricing.regulation.check import Check, Condition, at_least, checked, require_share
from pricing.regulation.loading import check_loading, check_net_premium
from pricing.regulation.product import Product
from pricing.regulation.rule import Rule
from pricing.result.figure import COLOURS
from pricing.result.shape import Result
from pricing.result.words import Language, label, level_label, say
from pricing.tiers.build_up import gross_of, loading_of, to_the_fen
from pricing.tiers.cost import TierCost, person_year, split_persons
from pricing.tiers.tier import Subsidy, Tier

__all__ = ["BreakEven", "TierAdequacy", "break_even", "check_adequacy"]

_VALUE = Rule(
    id="actuarial_value",
    document="pricing",
    document_en="pricing",
    article="",
    title_en="Adequacy of the tier",
    title_zh="档次充足性",
    scope_en="every tier",
    scope_zh="所有档次",
    start=date(1, 1, 1),
    certainty="arithmetic",
    source="share of all bills that the plan pays; no article",
)


class TierAdequacy(Check):
    """Checks of a tier: actuarial value, loading, net premium against expected and promised claims.

    ``.facts`` has highest_loading: the most the loading may be at the promised loss ratio.
    """

    kind = "tier_adequacy"


class BreakEven(Result):
    """Prices that break even. ``.table``: target, probability (of passing the line), price."""

    kind = "tier_break_even"

    def finding(self, lang: Language = "en") -> str:
        """Say which price pays claims and loadings, and which loss ratio breaks even."""
        facts = {**self.facts, "tier": level_label(self.facts["tier"], lang)}
        return say("finding.tier_break_even", lang, **facts, currency=self.basis.currency)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the prices beside the premium charged."""
        figure = go.Figure(layout={"template": "pricing"})
        names = [
            level_label(row["target"], lang)
            + (f" {row['probability']:.0%}" if row["probability"] is not None else "")
            for row in self.table.iter_rows(named=True)
        ]
        figure.add_bar(
            x=names,
            y=self.table["price"].to_list(),
            name=label("price", lang),
            marker={"color": COLOURS["estimate"]},
            width=0.5,
        )
        figure.add_hline(
            y=self.facts["premium"],
            line={"dash": "dot", "color": COLOURS["second"]},
        )
        figure.add_annotation(  # above the bars, which the line crosses
            text=f"┄ {label('premium', lang)}: {self.facts['premium']:,.2f}",
            x=1.0, xref="paper", xanchor="right", y=1.08, yref="paper", showarrow=False,
            font={"color": COLOURS["second"]},
        )  # fmt: skip
        return figure.update_layout(
            xaxis={"type": "category", "title": {"text": label("target", lang)}},
            yaxis={"title": {"text": f"{label('price', lang)} ({self.basis.currency})"}},
        )


def check_adequacy(
    tier: Tier,
    cost: TierCost,
    *,
    on: date,
    product: Product | None = None,
    promised: float = 0.7,
    least_value: float | None = None,
) -> TierAdequacy:
    """Hold a tier against its least actuarial value, its loading and the claims it has to pay.

    Parameters
    ----------
    tier : Tier
        Premium and loadings.
    cost : TierCost
        Of the same tier.
    on : date
        Day checked.
    product : Product, optional
        Chooses the cap on the loading; a one-year individual medical product where left out.
    promised : float
        Loss ratio that is promised, such as 0.7.
    least_value : float, optional
        Least share of all bills that the plan has to pay.

    Returns
    -------
    TierAdequacy
        A subsidy paid to the plan counts as means for claims.

    Examples
    --------
    >>> from scipy import stats
    >>> from pricing.tiers.benefit import Benefit
    >>> from pricing.tiers.cost import cost_tier
    >>> from pricing.tiers.tier import Loadings
    >>> visits = Benefit(name="outpatient", frequency=1.0, severity=stats.expon(scale=437.5),
    ...                  coinsurance=0.2)
    >>> basic = Tier(name="basic", benefits=(visits,), premium=500.0,
    ...              loadings=Loadings(expense=0.15, commission=0.12, profit=0.08))
    >>> found = check_adequacy(basic, cost_tier(basic, 1000), on=date(2024, 1, 1), least_value=0.6)
    >>> found.table.select("condition", "verdict").rows()
    [('actuarial_value', 'pass'), ('average_loading', 'pass'), ('net_premium_expected', 'fail'), ('net_premium_promised', 'fail')]
    """
    _same(tier, cost)
    value = cost.facts["actuarial_value"]
    own = checked(
        Check,
        [_VALUE],
        True,
        [
            Condition(
                name="actuarial_value",
                holds=None
                if least_value is None
                else at_least(value, require_share("the least actuarial value", least_value)),
                value=value,
                threshold=least_value,
            )
        ],
        on,
    )
    premium, service = tier.premium, cost.facts["service"]
    aid = cost.facts["income"] - premium
    loading = loading_of(tier.loadings, service, premium)
    if loading >= 1:
        raise InputError(f"the loadings of {tier.name} take {loading:.0%} of the premium")
    found = [own.table]
    product = product or Product(kind="medical", term_years=1)
    found.append(check_loading(product, loading=loading, payment="regular", on=on).table)
    expected = cost.facts["pure_premium"] / premium
    names = ("net_premium_expected", "net_premium_promised")
    for name, ratio in zip(names, (expected, promised), strict=True):
        one = check_net_premium(premium, loading=loading, loss_ratio=ratio, on=on, subsidy=aid)
        found.append(one.table.with_columns(condition=pl.lit(name)))
    table = pl.concat(found)
    verdicts = table["verdict"].to_list()
    return TierAdequacy(
        table=table,
        basis=replace(own.basis, notes=(*own.basis.notes, *cost.basis.notes)),
        facts=dict(own.facts)
        | {
            "verdict": "fail" if "fail" in verdicts else "pass",
            "reason": "",
            "tier": tier.name,
            "loading": loading,
            "highest_loading": max(0.0, 1 - promised + aid / premium),
            "promised": promised,
        },
    )


def break_even(
    tier: Tier,
    cost: TierCost,
    *,
    subsidy: Subsidy | None = None,
    probabilities: Sequence[float] = (0.5, 0.25, 0.1, 0.05),
) -> BreakEven:
    """Give the price that pays claims and loadings, and the prices that keep below the line.

    Parameters
    ----------
    tier : Tier
        Loadings.
    cost : TierCost
        Of the same tier: persons, line, share of first terms.
    subsidy : Subsidy, optional
        As given to the cost; paid to the plan it lowers every price.
    probabilities : sequence of float
        Wanted probabilities that the loss ratio passes the cost's line; the price is
        VaR_{1−p}(S)/(line × persons).

    Returns
    -------
    BreakEven
        ``.facts``: break_even_price (no profit, no risk margin), required_premium (with both),
        break_even_loss_ratio at the premium charged = 1 − expense − commission − (fixed expense +
        service)/income.

    Examples
    --------
    >>> from scipy import stats
    >>> from pricing.tiers.benefit import Benefit
    >>> from pricing.tiers.cost import cost_tier
    >>> from pricing.tiers.tier import Loadings
    >>> visits = Benefit(name="outpatient", frequency=1.0, severity=stats.expon(scale=437.5),
    ...                  coinsurance=0.2)
    >>> basic = Tier(name="basic", benefits=(visits,), premium=500.0,
    ...              loadings=Loadings(expense=0.15, commission=0.15))
    >>> prices = break_even(basic, cost_tier(basic, 1000))
    >>> round(prices.facts["break_even_price"], 2), round(prices.facts["break_even_loss_ratio"], 9)
    (500.0, 0.7)
    """
    _same(tier, cost)
    bad = [p for p in probabilities if not 0 < p < 1]
    if bad:
        raise InputError(f"a probability lies between 0 and 1, got {bad}")
    n, line = cost.facts["persons"], cost.facts["line"]
    aid = (subsidy.income(tier.premium) if subsidy else tier.premium) - tier.premium
    parts = [
        (persons_law(float(m)), person_year(tier, first_term=new))
        for m, new in split_persons(tier, n, cost.facts["new_share"])
    ]
    whole = aggregate_portfolio(parts)
    plain = replace(tier, loadings=replace(tier.loadings, profit=0.0, risk=0.0))
    share = cost.facts["new_share"]
    pure = cost.facts["pure_premium"]
    bare = gross_of(plain, pure, 0.0, 0.0, share) - aid
    deviation = cost.facts["portfolio_sd"] / n
    full = gross_of(tier, pure, deviation, cost.facts["capital"], share) - aid
    safe = [whole.value_at_risk(1 - p) / (line * n) - aid for p in probabilities]
    income, loads = cost.facts["income"], tier.loadings
    ratio = (
        1
        - loads.expense
        - loads.commission
        - (loads.fixed_expense + cost.facts["service"]) / income
    )
    table = pl.DataFrame(
        {
            "target": ["break_even", "with_margins", *["below_the_line"] * len(safe)],
            "probability": [None, None, *probabilities],
            "price": [to_the_fen(max(p, 0.0), up=True) for p in (bare, full, *safe)],
        },
        schema_overrides={"probability": pl.Float64},
    )
    return BreakEven(
        table=table,
        basis=cost.basis,
        facts={
            "tier": tier.name,
            "premium": tier.premium,
            "break_even_price": max(bare, 0.0),
            "required_premium": max(full, 0.0),
            "break_even_loss_ratio": ratio,
            "loss_ratio": cost.facts["loss_ratio"],
            "line": line,
            "loading": math.fsum((loads.expense, loads.commission)),
        },
    )


def _same(tier: Tier, cost: TierCost) -> None:
    if cost.facts["tier"] != tier.name or cost.facts["premium"] != tier.premium:
        raise InputError(
            f"this is the cost of {cost.facts['tier']!r} at {cost.facts['premium']:g}, not of "
            f"{tier.name!r} at {tier.premium:g}",
            do="price the tier first, with cost_tier",
        )
