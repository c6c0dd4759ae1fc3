"""One rule at a time: what the gate, the deductible, the coinsurance or the subsidy changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError
from pricing.result.figure import COLOURS
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, level_label, say
from pricing.tiers.build_up import gross_of, to_the_fen
from pricing.tiers.cost import TierCost, cost_tier
from pricing.tiers.tier import Subsidy, Tier, change_tier, read_subsidy

__all__ = ["TierEffects", "tier_effects"]

BASE = "as_it_is"


class TierEffects(Result):
    """Effects of rules, each against the tier as it is.

    ``.table``: rule_change, bill, pure_premium, actuarial_value, required_premium, premium,
    member_price, loss_ratio, passes, pure_premium_effect (pure premium less that of the tier as it
    is). ``member_price`` is the premium charged less a subsidy to the person.
    """

    kind = "tier_effects"

    def finding(self, lang: Language = "en") -> str:
        """Say which rule changes the pure premium most."""
        facts = {**self.facts, "tier": level_label(self.facts["tier"], lang)}
        for name in ("most", "dearest"):
            facts[name] = level_label(self.facts[name], lang)
        return say("finding.tier_effects", lang, **facts, currency=self.basis.currency)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw pure premium and required premium under each rule."""
        figure = go.Figure(layout={"template": "pricing"})
        names = [level_label(n, lang) for n in self.table["rule_change"]]
        for column, colour in (("pure_premium", "estimate"), ("required_premium", "second")):
            figure.add_bar(
                y=names[::-1],
                x=self.table[column].to_list()[::-1],
                orientation="h",
                name=label(column, lang),
                marker={"color": COLOURS[colour]},
            )
        return figure.update_layout(
            hovermode="y unified",
            height=max(400, 120 + 46 * len(names)),
            xaxis={"title": {"text": f"{label('amount_of_money', lang)} ({self.basis.currency})"}},
            yaxis={"type": "category", "title": {"text": ""}},
        )


def tier_effects(
    tier: Tier,
    persons: int,
    changes: Mapping[str, Mapping[str, Any]],
    *,
    new_share: float = 1.0,
    subsidy: Subsidy | None = None,
    line: float = 0.7,
    basis: Basis | None = None,
) -> TierEffects:
    """Price a tier as it is and with one change at a time.

    Parameters
    ----------
    tier : Tier
        As it is.
    persons : int
        Insured for the year.
    changes : mapping of str to mapping
        Name of each change → rules as for :func:`pricing.tiers.tier.change_tier` (``benefits``
        among them), and ``subsidy`` (a Subsidy, or False for none).
    new_share, subsidy, line, basis
        As for :func:`pricing.tiers.cost.cost_tier`.

    Raises
    ------
    InputError
        For rules a tier does not have or that contradict.

    Examples
    --------
    >>> from scipy import stats
    >>> from pricing.tiers.benefit import Benefit
    >>> visits = Benefit(name="outpatient", frequency=1.0, severity=stats.expon(scale=437.5),
    ...                  coinsurance=0.2)
    >>> basic = Tier(name="basic", benefits=(visits,), premium=500.0)
    >>> found = tier_effects(basic, 1000, {"no_subsidy": {"subsidy": False}},
    ...                      subsidy=Subsidy(amount=200.0))
    >>> found.table.select("rule_change", "member_price").rows()
    [('as_it_is', 300.0), ('no_subsidy', 500.0)]
    """
    if not changes:
        raise InputError("no change to look at", do="name one rule or more")
    if BASE in changes:
        raise InputError(f"{BASE!r} is the tier itself", do="give the change another name")
    rows, costs = [], []
    odd = [f"{n}: {rules!r}" for n, rules in changes.items() if not isinstance(rules, Mapping)]
    if odd:
        raise InputError("a change is a mapping of rules to their values", faults=odd)
    for name, rules in {BASE: {}, **changes}.items():
        given = dict(rules)
        aid = given.pop("subsidy", None)
        own = read_subsidy(subsidy if aid is None else None if aid is False else aid)
        try:
            other = change_tier(tier, **given)
            cost = cost_tier(
                other, persons, new_share=new_share, subsidy=own, line=line, basis=basis
            )
        except InputError as error:
            raise InputError(
                error.problem,
                where=f"{name}: {error.where or tier.name}",
                faults=error.faults,
                do="mend the change",
            ) from error
        costs.append(cost)
        rows.append(_row(name, other, cost, own))
    table = pl.DataFrame(rows).with_columns(
        pure_premium_effect=pl.col("pure_premium") - pl.col("pure_premium").first()
    )
    moved = table.slice(1)
    most = moved.sort(pl.col("pure_premium_effect").abs(), descending=True).row(0, named=True)
    dearest = moved.sort("member_price", descending=True).row(0, named=True)
    first = costs[0]
    return TierEffects(
        table=table,
        basis=replace(
            first.basis, notes=(*first.basis.notes, "one change at a time, the others as they are")
        ),
        facts={
            "tier": tier.name,
            "changes": len(changes),
            "pure_premium": first.facts["pure_premium"],
            "most": most["rule_change"],
            "most_effect": most["pure_premium_effect"],
            "dearest": dearest["rule_change"],
            "dearest_price": dearest["member_price"],
            "member_price": first.facts["member_price"],
        },
    )


def _row(name: str, tier: Tier, cost: TierCost, subsidy: Subsidy) -> dict[str, Any]:
    facts = cost.facts
    asked = gross_of(
        tier,
        facts["pure_premium"],
        facts["portfolio_sd"] / facts["persons"],
        facts["capital"],
        facts["new_share"],
    )
    aid = subsidy.income(tier.premium) - tier.premium
    return {
        "rule_change": name,
        **{k: facts[k] for k in ("bill", "pure_premium", "actuarial_value")},
        "required_premium": to_the_fen(max(asked - aid, 0.0), up=True),
        **{k: facts[k] for k in ("premium", "member_price", "loss_ratio", "passes")},
    }
