"""The schedule within limits: the best one, what each limit costs, and what could be had instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal, get_args

import numpy as np
import plotly.graph_objects as go
import polars as pl
from scipy.special import expit

from pricing.errors import InputError, nearest
from pricing.estimate.design import Floats
from pricing.experience.cells import Experience
from pricing.files import fingerprint
from pricing.health.effect import GroupEffect
from pricing.health.limits import Line, ScheduleLimits, lines_of
from pricing.health.optimum import NEAR, Optimum, admissible, closest, most_of
from pricing.health.price_response import PriceResponse
from pricing.result.figure import COLOURS
from pricing.result.shape import Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["ScheduleDesign", "design_within", "renewed_share"]

Objective = Literal["fit", "margin"]


class ScheduleDesign(Result):
    """The best schedule within limits; ``.table``: health_group, standard_premium, amount,
    fair_discount, unrounded_discount (optimum without steps),
    discount_within_limits, loss_ratio_after, renewed_share.

    ``.frames["limits"]``: limit, at, value, bound, slack, binding, shadow_price (of a point, 0.01, of the
    bound). ``.frames["frontier"]``: schedule, mean_discount, margin, margin_share, renewed_share, fairness_gap,
    lack_of_fit, chosen: of all schedules that hold the limits, the most margin at each mean discount.
    """

    kind = "schedule_design"

    @property
    def discounts(self) -> dict[str, float]:
        """Discount by group, as a fraction of the standard premium."""
        return dict(self.table.select("health_group", "discount_within_limits").iter_rows())

    def finding(self, lang: Language = "en") -> str:
        """Say the schedule, what it costs, and the limit that costs most."""
        named = ("、" if lang == "zh" else ", ").join(
            f"{level_label(g, lang)} {100 * d:.4g}%" for g, d in self.discounts.items() if d > 0
        )
        facts = {**self.facts, "steps": named or say("sentence.none_given", lang)}
        tight = ""
        if self.facts["tightest"]:
            at = self.facts["tightest_at"]
            name = level_label(self.facts["tightest"], lang) + (
                f" ({level_label(at, lang)})" if at else ""
            )
            tight = say(
                f"sentence.tightest_{self.facts['objective']}", lang, **{**facts, "limit": name}
            )
        return say("finding.schedule_design", lang, **facts) + tight

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the margin that is left at each mean discount, and the schedule chosen."""
        t = self.frames["frontier"].sort("mean_discount")
        figure = go.Figure(layout={"template": "pricing"})
        figure.add_scatter(
            x=t["mean_discount"].to_list(),
            y=t["margin_share"].to_list(),
            mode="lines+markers",
            name=label("frontier", lang),
            text=t["schedule"].to_list(),
            hovertemplate="%{text}<br>%{x:.1%}, %{y:.1%}<extra></extra>",
            line={"color": COLOURS["estimate"]},
            marker={"size": 5},
        )
        own = self.facts
        figure.add_scatter(
            x=[own["mean_discount"]],
            y=[own["margin_share"]],
            mode="markers",
            name=label("chosen", lang),
            marker={"size": 13, "symbol": "square", "color": COLOURS["second"]},
        )
        return figure.update_layout(
            xaxis={"title": {"text": label("mean_discount", lang)}, "tickformat": ".1%"},
            yaxis={"title": {"text": label("margin_share", lang)}, "tickformat": ".1%"},
            hovermode="closest",
        )


def design_within(
    effect: GroupEffect,
    experience: Experience,
    limits: ScheduleLimits | None = None,
    *,
    group: str = "health_group",
    objective: Objective = "fit",
    response: PriceResponse | None = None,
    present: Mapping[str, float] | None = None,
    expenses: float = 0.0,
) -> ScheduleDesign:
    """Choose the discount by health group within limits, and show what could be had instead.

    Every schedule in whole steps that rises with health is looked at; of those that hold all limits
    the best is taken. Beside it stand the optimum without steps, the shadow price of every limit
    there, and the frontier of margin against mean discount.

    Parameters
    ----------
    effect : GroupEffect
        Fair discount by group.
    experience : Experience
        Cells with ``group``, the factors of the limits, and the sums standard_premium and amount.
    limits : ScheduleLimits, optional
        What must hold; the cap and steps of the programmes priced here where left out.
    group : str
        Key of the health group.
    objective : {"fit", "margin"}
        Least squares of discount less fair discount, weighted by standard premium; or the most
        expected margin: what renews × (premium after discount and expenses − claims).
    response : PriceResponse, optional
        How renewal answers to price; everybody renews where left out.
    present : mapping of str to float, optional
        The schedule in force: a group's price changes from (1 − present) to (1 − discount). None in force
        where left out.
    expenses : float
        Share of the premium that goes to expenses, in [0, 1).

    Returns
    -------
    ScheduleDesign

    Raises
    ------
    InputError
        For sums or factors that are missing; limits that contradict each other, by name.

    Notes
    -----
    Least squares exactly by :func:`pricing.health.optimum.closest`; with no other limits than cap and
    order its answer is isotonic regression held within 0 and the cap. Claims are those of the
    experience, whatever the schedule: who comes for the discount is not in it.

    Examples
    --------
    >>> from pricing.health.effect import group_effect
    >>> rows = pl.DataFrame({"health_group": ["G0"] * 40 + ["G1"] * 40, "exposure": [1.0] * 80,
    ...     "claims": [1, 3] * 20 + [2, 1] * 20, "amount": [1.0] * 80, "standard_premium": [2.0] * 80})
    >>> seen = Experience.collect(rows, ["health_group"], amount="amount", sums=["standard_premium"])
    >>> design = design_within(group_effect(seen, "1")[0], seen, ScheduleLimits(mean_discount=0.06))
    >>> design.discounts, round(design.table["unrounded_discount"][1], 4)
    ({'G0': 0.0, 'G1': 0.1}, 0.12)
    """
    limits = limits or ScheduleLimits()
    if objective not in get_args(Objective):
        raise InputError(
            f"no objective {objective!r}{nearest(str(objective), get_args(Objective))}"
        )
    if not _number(expenses) or not 0 <= expenses < 1:
        raise InputError(f"expenses: {expenses!r} is no share in [0, 1)")
    if not isinstance(effect, GroupEffect):
        raise InputError(
            f"the effect is a {type(effect).__name__}", do="give what group_effect gives"
        )
    order = effect.table["health_group"].to_list()
    lacking = [n for n in ("standard_premium", "amount") if n not in experience.cells.columns]
    if lacking:
        raise InputError(
            f"the design needs the sums {lacking}", do="collect them with the experience"
        )
    money = experience.by(group).cells.with_columns(pl.col(group).cast(pl.String))
    money = pl.DataFrame({group: order}).join(money, on=group, how="left", maintain_order="left")
    premium, amount = (money[n].cast(pl.Float64).to_numpy() for n in ("standard_premium", "amount"))
    if not (premium > 0).all():
        raise InputError(
            f"no standard premium above zero in {[g for g, p in zip(order, premium, strict=True) if not p > 0]}"
        )
    fair = effect.table["fair_discount"].to_numpy()
    lines = lines_of(limits, experience, group, order)
    best = closest(fair[1:], premium[1:], lines)

    def worth(schedules: Floats) -> dict[str, Floats]:
        d = np.c_[np.zeros(len(schedules)), schedules]
        return _worth(
            d, renewed_share(d, order, response, present), premium, amount, fair, expenses
        )

    if objective == "margin":
        best = most_of(lambda d: float(worth(d[None, :])["margin"][0]), best.discounts, lines)
    schedules = admissible(len(order) - 1, limits.step, limits.cap, lines)
    values = worth(schedules)
    score = -values["lack_of_fit"] if objective == "fit" else values["margin"]
    chosen = int(np.argmax(score))
    table = effect.table.select("health_group", "fair_discount").with_columns(
        standard_premium=pl.Series(premium),
        amount=pl.Series(amount),
        unrounded_discount=pl.Series(np.r_[0.0, best.discounts]),
        discount_within_limits=pl.Series(np.r_[0.0, schedules[chosen]]),
        renewed_share=pl.Series(
            renewed_share(np.r_[0.0, schedules[chosen]][None, :], order, response, present)[0]
        ),
    ).with_columns(loss_ratio_after=pl.col("amount") / (pl.col("standard_premium") * (1 - pl.col("discount_within_limits"))))  # fmt: skip
    held = _held(
        lines, schedules[chosen], best, 1.0 if objective == "margin" else 1 / premium.sum()
    )
    gap = _fairness(lines, schedules)
    frames = {"limits": held, "frontier": _frontier(schedules, values, gap, chosen)}
    tight = held.filter(pl.col("shadow_price") > 1e-12).sort("shadow_price", descending=True)
    facts = {
        "objective": objective, "schedules": len(schedules), "currency": experience.basis.currency,
        **{n: float(v[chosen]) for n, v in values.items()},
        "tightest": tight["limit"][0] if tight.height else "",
        "tightest_at": tight["at"][0] if tight.height else "",
        "shadow_price": tight["shadow_price"][0] if tight.height else 0.0,
    }  # fmt: skip
    hashed = fingerprint(
        effect.basis.fingerprint,
        repr(limits),
        objective,
        repr(response),
        repr(present),
        str(expenses),
    )
    basis = replace(effect.basis, fingerprint=hashed)
    return ScheduleDesign(table=table, basis=basis, facts=facts, frames=frames)


def renewed_share(
    discounts: Floats,
    groups: Sequence[str],
    response: PriceResponse | None,
    present: Mapping[str, float] | None,
) -> Floats:
    """Give the share that renews by group (columns) under each schedule (rows).

    Raises
    ------
    InputError
        For a group of which the present schedule says nothing.

    Examples
    --------
    >>> response = PriceResponse.elastic(retention=0.85, elasticity=-0.75)
    >>> renewed_share(np.array([[0.0, 0.1]]), ["G0", "G1"], response, None).round(4).tolist()
    [[0.85, 0.9056]]
    """
    if response is None:
        return np.ones_like(discounts)
    now = dict.fromkeys(groups, 0.0) if present is None else present
    odd = [f"{g} = {v!r}" for g, v in now.items() if not (_number(v) and 0 <= v < 1)]
    if odd:
        raise InputError("no discounts in [0, 1)", where="the present schedule", faults=odd)
    lacking = [g for g in groups if g not in now]
    if lacking:
        raise InputError(
            f"the present schedule says nothing of {lacking[0]!r}{nearest(lacking[0], now)}"
        )
    change = np.log1p(-discounts) - np.log1p(-np.array([now[g] for g in groups]))
    own = np.array([response.groups.get(g, 0.0) for g in groups])
    found: Floats = expit(response.intercept + own - response.sensitivity * change)
    return found


def _number(value: object) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _worth(
    d: Floats, renewed: Floats, premium: Floats, amount: Floats, fair: Floats, expenses: float
) -> dict[str, Floats]:
    """What each schedule costs and earns, a row each."""
    charged = renewed * premium * (1 - d)
    margin = (charged * (1 - expenses) - renewed * amount).sum(axis=1)
    return {
        "mean_discount": d @ premium / premium.sum(),
        "margin": margin,
        "margin_share": margin / charged.sum(axis=1),
        "renewed_share": renewed @ premium / premium.sum(),
        "lack_of_fit": np.sqrt((d - fair) ** 2 @ premium / premium.sum()),
    }


def _held(lines: list[Line], discounts: Floats, best: Optimum, scale: float) -> pl.DataFrame:
    """Each line at the schedule chosen, and its price at the optimum without steps."""
    value = np.array([line.weights @ discounts for line in lines])
    bound = np.array([line.bound for line in lines])
    return pl.DataFrame(
        {
            "limit": [line.limit for line in lines],
            "at": [line.at for line in lines],
            "value": value,
            "bound": bound,
            "slack": bound - value,
            "binding": best.prices > 1e-9 * max(float(best.prices.max(initial=0.0)), 1e-300),
            "shadow_price": best.prices * scale * 0.01,
        }
    )


def _fairness(lines: list[Line], schedules: Floats) -> Floats:
    """Largest gap of any level's mean discount from that of all."""
    far = [line.weights for line in lines if line.limit == "fairness"]
    if not far:
        return np.zeros(len(schedules))
    largest: Floats = (schedules @ np.array(far).T).max(axis=1)
    return largest


def _frontier(
    schedules: Floats, values: Mapping[str, Floats], gap: Floats, chosen: int
) -> pl.DataFrame:
    """Of the schedules of about the same mean discount (a tenth of a point) the one of most margin."""
    frame = pl.DataFrame({**values, "fairness_gap": gap}).with_row_index("_i").with_columns(
        chosen=pl.col("_i") == chosen
    )  # fmt: skip
    cost = (pl.col("mean_discount") * 1000).round()
    kept = frame.filter((pl.col("margin") == pl.col("margin").max().over(cost)) | pl.col("chosen"))
    kept = kept.sort("mean_discount", descending=True)
    dearer = pl.col("margin").cum_max().shift(1).fill_null(-np.inf)  # as much for more discount
    kept = kept.filter((pl.col("margin") > dearer + NEAR) | pl.col("chosen")).reverse()
    names = [" / ".join(f"{100 * d:.4g}%" for d in [0.0, *schedules[i]]) for i in kept["_i"]]
    return kept.select(pl.Series("schedule", names), pl.exclude("_i"))
