"""What a discount is made of: who is in the group, what the programme did, who stays, what is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.health.design import renewed_share
from pricing.health.price_response import PriceResponse
from pricing.health.schedule import Schedule
from pricing.result.series import SERIES
from pricing.result.shape import Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["PARTS", "DiscountSplit", "split_discount"]

PARTS = ("from_selection", "from_effect", "from_retention", "from_subsidy")


class DiscountSplit(Result):
    """Each group's discount in four parts that add up to it.

    ``.table``: health_group, standard_premium, from_selection, from_effect, from_retention,
    from_subsidy (below zero: kept back), discount; ``all`` last, weighted by standard premium.
    """

    kind = "discount_split"

    def finding(self, lang: Language = "en") -> str:
        """Say what part of the mean discount the claims pay for, and what is given away or kept."""
        kept = "kept_back" if self.facts["subsidy"] < 0 else "given_away"
        booked = "booked" if self.facts["effect_booked"] else "not_booked"
        return say("finding.discount_split", lang, **self.facts) + "".join(
            say(f"sentence.{key}", lang, **{**self.facts, "kept": -self.facts["subsidy"]})
            for key in (kept, booked)
        )

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the parts of each group's discount, stacked, and the discount they add up to."""
        t = self.table
        groups = [level_label(g, lang) for g in t["health_group"].to_list()]
        figure = go.Figure(layout={"template": "pricing", "barmode": "relative"})
        for name, (colour, _) in zip(PARTS, SERIES, strict=False):
            figure.add_bar(
                x=groups, y=t[name].to_list(), name=label(name, lang), marker_color=colour
            )
        figure.add_scatter(
            x=groups, y=t["discount"].to_list(), mode="markers", name=label("discount_given_rate", lang),
            marker={"symbol": "line-ew-open", "size": 26, "color": "#1F2937", "line": {"width": 3}},
        )  # fmt: skip
        return figure.update_layout(
            xaxis={"title": {"text": label("health_group", lang)}, "type": "category"},
            yaxis={"tickformat": ".0%", "title": {"text": label("discount_given_rate", lang)}},
        )


def split_discount(
    schedule: Schedule,
    *,
    effect: float,
    effect_lower: float,
    response: PriceResponse | None = None,
    present: Mapping[str, float] | None = None,
    expenses: float = 0.0,
) -> DiscountSplit:
    """Split each group's discount into selection, effect, retention and subsidy.

    Parameters
    ----------
    schedule : Schedule
        Discounts with the fair discount of each group.
    effect : float
        What the programme takes off the claims of a member, a fraction (0.03 for a rate ratio of 0.97),
        from the estimator to be believed most.
    effect_lower : float
        Lower end of its 80 % interval. Nothing is booked as an effect unless it is above zero.
    response : PriceResponse, optional
        How renewal answers to price; no retention is counted where left out.
    present : mapping of str to float, optional
        The schedule in force, as in :func:`pricing.health.design.design_within`.
    expenses : float
        Share of the premium that goes to expenses, in [0, 1).

    Returns
    -------
    DiscountSplit

    Raises
    ------
    InputError
        For an effect of 1 or more, ends that are out of order, expenses outside [0, 1).

    Notes
    -----
    Per unit of standard premium, for a group with discount d, fair discount f and claims ratio c:
    effect = min(max(τ, 0), max(f, 0)) where it may be booked; selection = f − effect: members are healthier
    than the standard group, whatever the programme does; retention = (p(d) − p(0))/p(d) × ((1 − d)(1 −
    expenses) − c): the margin of those who renew for the discount, per policy renewed; subsidy = what is
    left: given without a ground where above zero, kept back where below.

    Examples
    --------
    >>> from pricing.health.effect import group_effect
    >>> from pricing.health.schedule import design_schedule
    >>> from pricing.experience.cells import Experience
    >>> rows = pl.DataFrame({"health_group": ["G0"] * 40 + ["G1"] * 40, "exposure": [1.0] * 80,
    ...     "claims": [1, 3] * 20 + [2, 1] * 20, "amount": [1.0] * 80, "standard_premium": [2.0] * 80})
    >>> seen = Experience.collect(rows, ["health_group"], amount="amount", sums=["standard_premium"])
    >>> schedule = design_schedule(group_effect(seen, "1")[0], seen)
    >>> split = split_discount(schedule, effect=0.03, effect_lower=0.01)
    >>> split.table.filter(health_group="G1").select(*PARTS, "discount").row(0)
    (0.19149..., 0.03, 0.0, -0.02149..., 0.2)
    """
    faults = []
    given = {"effect": effect, "effect_lower": effect_lower, "expenses": expenses}
    odd = [n for n, v in given.items() if not isinstance(v, int | float | np.number)]
    if odd or not np.isfinite([effect, effect_lower, expenses]).all():
        raise InputError("effect, effect_lower and expenses are numbers", faults=odd)
    if not effect < 1 or not effect_lower <= effect:
        faults.append(f"effect {effect} with lower end {effect_lower}")
    if not 0 <= expenses < 1:
        faults.append(f"expenses {expenses}")
    if faults:
        raise InputError("the discount cannot be split", faults=faults)
    t = schedule.table
    d, fair = t["discount"].to_numpy(), t["fair_discount"].to_numpy()
    premium, ratio = t["standard_premium"].to_numpy(), t["loss_ratio_before"].to_numpy()
    booked = effect_lower > 0
    causal = np.minimum(max(effect, 0.0) * booked, np.maximum(fair, 0.0))
    causal[0] = 0.0
    kept = np.zeros(len(d))
    if response is not None:
        order = t["health_group"].to_list()
        renewed = renewed_share(np.array([d, np.zeros(len(d))]), order, response, present)
        kept = (1 - renewed[1] / renewed[0]) * ((1 - d) * (1 - expenses) - ratio)
    parts = {
        "from_selection": fair - causal,
        "from_effect": causal,
        "from_retention": kept,
        "from_subsidy": d - fair - kept,
    }
    table = t.select("health_group", "standard_premium").with_columns(
        **{name: pl.Series(values) for name, values in parts.items()}, discount=pl.Series(d)
    )
    mean = {n: float(premium @ table[n].to_numpy() / premium.sum()) for n in (*PARTS, "discount")}
    whole = pl.DataFrame(
        {
            "health_group": ["all"],
            "standard_premium": [float(premium.sum())],
            **{n: [v] for n, v in mean.items()},
        }
    )
    facts = {
        **{name.removeprefix("from_"): value for name, value in mean.items()},
        "effect_booked": bool(booked),
        "effect_estimate": effect,
        "effect_lower": effect_lower,
    }
    hashed = fingerprint(
        schedule.basis.fingerprint,
        str(effect),
        str(effect_lower),
        repr(response),
        repr(present),
        str(expenses),
    )
    basis = replace(schedule.basis, fingerprint=hashed)
    return DiscountSplit(table=pl.concat([table, whole]), basis=basis, facts=facts)
