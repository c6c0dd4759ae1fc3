"""The discount schedule: what each health group may be given, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import numpy as np
import plotly.graph_objects as go
import polars as pl
from scipy.optimize import isotonic_regression

from pricing.errors import InputError
from pricing.estimate.design import Floats
from pricing.experience.cells import Experience
from pricing.health.effect import GroupEffect
from pricing.result.figure import COLOURS, interval_figure, with_points
from pricing.result.shape import Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["Schedule", "design_schedule"]

Rounding = Literal["down", "nearest"]
Evidence = Literal["estimate", "lower"]


class Schedule(Result):
    """Discount by health group with its budget; ``.frames["budget"]`` holds the totals."""

    kind = "schedule"

    @property
    def discounts(self) -> dict[str, float]:
        """Discount by group, as a fraction of the standard premium."""
        return dict(self.table.select("health_group", "discount").iter_rows())

    @property
    def budget(self) -> pl.DataFrame:
        """The budget line: premiums, mean discount, base premium factor, loss ratios."""
        return self.frames["budget"]

    def finding(self, lang: Language = "en") -> str:
        """Say the schedule, its mean cost and the base premium that keeps the loss ratio."""
        facts = {
            **self.facts,
            "steps": self._in_words("discount", lang),
            "prudent": self._in_words("prudent_discount", lang),
            "reference": say(f"sentence.{self.facts['reference']}", lang),
        }
        if not self.facts["discounted"]:
            return say("sentence.no_schedule", lang, **facts)
        return say("finding.schedule", lang, **facts)

    def _in_words(self, column: str, lang: Language) -> str:
        given = self.table.select("health_group", column).slice(1)
        if not (given[column] > 0).any():
            return say("sentence.none_given", lang)
        return ("、" if lang == "zh" else ", ").join(
            f"{level_label(name, lang)} {100 * value:.4g}%" for name, value in given.iter_rows()
        )

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the adjusted discount with its interval, the schedule as steps, and the cap."""
        t = self.table
        groups = t["health_group"].to_list()
        figure = interval_figure(
            groups,
            t["adjusted_discount"].to_list(),
            t["adjusted_lower"].to_list(),
            t["adjusted_upper"].to_list(),
            name="adjusted_discount",
            factor="health_group",
            lang=lang,
            bars=t["standard_premium"].to_list(),
            bars_name="standard_premium",
            percent=True,
        )
        for name, symbol, colour in (
            ("fair_discount", "circle-open", "estimate"),
            ("present_discount", "x-thin-open", "line"),
            ("prudent_discount", "triangle-up", "third"),
            ("discount", "square", "second"),
        ):
            if name in t.columns:
                with_points(
                    figure,
                    groups,
                    t[name].to_list(),
                    name=name,
                    lang=lang,
                    symbol=symbol,
                    colour=colour,
                    line=name == "discount",
                )
        return figure.add_hline(
            y=self.facts["cap"],
            line={"dash": "dash", "color": COLOURS["line"]},
            annotation_text=f"{label('cap', lang)} {self.facts['cap']:.0%}",
            annotation_position="top left",
        )


def design_schedule(
    effect: GroupEffect,
    experience: Experience,
    *,
    group: str = "health_group",
    cap: float = 0.20,
    step: float = 0.05,
    rounding: Rounding = "down",
    evidence: Evidence = "estimate",
    present: Mapping[str, float] | None = None,
) -> Schedule:
    """Design the discount by health group that the claims can pay for.

    Discounts are measured from the standard group, which gets none. The other groups' fair
    discounts are made to rise with health by isotonic regression (pool adjacent violators, weighted by standard premium), held within
    0 and the cap, and brought to whole steps. With ``rounding="nearest"`` the result is the
    least-squares optimum on the grid; with ``"down"`` no group is given more than its (pooled)
    claims pay for.

    Parameters
    ----------
    effect : GroupEffect
        Fair discount by group.
    experience : Experience
        Cells with ``group`` and the sums ``standard_premium`` and ``amount`` (currency): the book
        the budget is drawn for.
    cap : float
        Largest discount, a fraction in (0, 1); 0.20 in the programmes priced here.
    step : float
        Discounts are whole multiples of it; a fraction in (0, cap].
    rounding : {"down", "nearest"}
        How a fair discount becomes a step.
    evidence : {"estimate", "lower"}
        Rest the schedule on the estimate, or on the lower end of its interval (prudent).
    present : mapping of str to float, optional
        The schedule in force, drawn beside.

    Returns
    -------
    Schedule
        ``.table``: health_group, exposure, adjusted_discount and its interval, fair_discount,
        standard_premium (earned), amount, monotone (after pooling), discount, prudent_discount
        (whole steps within the lower end of the group's interval, or of a less healthy group's,
        and within the discount), rests_on_order (the prudent discount exceeds the group's own lower
        end: it rests on the order of health alone), supported (the discount is below the whole
        interval), discounted_premium, loss_ratio_before (no discount), loss_ratio_after.
        ``.budget``: one row: standard premium S = ΣP, discount = Σ d·P, mean discount d̄ = Σ d·P/S,
        base premium factor 1/(1 − d̄) that keeps the total premium, loss ratios without and with
        the schedule. ``.frames["states"]``: the same for no discount, the present schedule, the
        proposed and the prudent one. Loss ratios here are claims incurred over earned premium,
        without reserves.

    Raises
    ------
    InputError
        For a cap or step outside its domain, missing sums, groups that differ, or a standard
        premium that is not above zero.

    Notes
    -----
    Isotonic regression: Barlow, Bartholomew, Bremner and Brunk (1972); the bounded solution is the
    unbounded one cut to the bounds.

    Examples
    --------
    >>> from pricing.health.effect import group_effect
    >>> rows = pl.DataFrame({"health_group": ["G0"] * 40 + ["G1"] * 40, "exposure": [1.0] * 80,
    ...     "claims": [1, 3] * 20 + [2, 1] * 20, "amount": [1.0] * 80, "standard_premium": [2.0] * 80})
    >>> seen = Experience.collect(rows, ["health_group"], amount="amount", sums=["standard_premium"])
    >>> schedule = design_schedule(group_effect(seen, "1")[0], seen)
    >>> schedule.discounts, schedule.budget["mean_discount"].to_list()
    ({'G0': 0.0, 'G1': 0.2}, [0.1])
    """
    _require(cap, step, rounding, evidence)
    table = _with_money(effect, experience, group)
    fair, lower = (table[c].to_numpy() for c in ("fair_discount", "adjusted_lower"))
    monotone = _monotone(fair, table["standard_premium"].to_numpy())
    best = _to_steps(np.clip(monotone, 0, cap), cap, step, rounding)
    proven = np.maximum.accumulate(np.clip(lower, 0, cap))  # at least what the less healthy show
    prudent = np.minimum(_to_steps(proven, cap, step, "down"), best)
    discount = best if evidence == "estimate" else prudent
    premium = pl.col("standard_premium")
    table = table.with_columns(
        monotone=pl.Series(monotone),
        discount=pl.Series(discount),
        prudent_discount=pl.Series(prudent),
        rests_on_order=pl.Series((prudent > 0) & (prudent > lower)),
        supported=pl.Series(discount) <= pl.col("adjusted_lower").clip(0),
        discounted_premium=premium * (1 - pl.Series(discount)),
        loss_ratio_before=pl.col("amount") / premium,
        loss_ratio_after=pl.col("amount") / (premium * (1 - pl.Series(discount))),
    )
    if present is not None:
        table = table.with_columns(present_discount=_present(table, present))
    budget, states = _budget(table), _states(table)
    reference = states.row(1 if present is not None else 0, named=True)
    proposed = budget.row(0, named=True)
    after = proposed["standard_premium"] - proposed["discount_given"]
    facts = {
        "cap": cap,
        "step": step,
        "rounding": rounding,
        "evidence": evidence,
        "highest": float(discount.max()),
        "level": effect.facts["level"],
        "discounted": int((table["discount"] > 0).sum()),
        "supported": int((table["supported"] & (table["discount"] > 0)).sum()),
        "currency": experience.basis.currency,
        **proposed,
        "reference": reference["state"],
        "reference_loss_ratio": reference["loss_ratio"],
        "base_change": reference["premium_charged"] / after - 1,
    }
    frames = {"budget": budget, "states": states}
    return Schedule(table=table, basis=effect.basis, facts=facts, frames=frames)


def _require(cap: float, step: float, rounding: str, evidence: str) -> None:
    faults = []
    if not 0 < cap < 1:
        faults.append(f"cap must lie between 0 and 1, got {cap}")
    if not 0 < step <= cap:
        faults.append(f"step must be above 0 and at most the cap, got {step}")
    if rounding not in ("down", "nearest"):
        faults.append(f"rounding is 'down' or 'nearest', got {rounding!r}")
    if evidence not in ("estimate", "lower"):
        faults.append(f"evidence is 'estimate' or 'lower', got {evidence!r}")
    if faults:
        raise InputError("the schedule cannot be designed", faults=faults)


def _with_money(effect: GroupEffect, experience: Experience, group: str) -> pl.DataFrame:
    lacking = [n for n in ("standard_premium", "amount") if n not in experience.cells.columns]
    if lacking:
        raise InputError(
            f"the budget needs the sums {lacking}",
            do="collect them with the experience, or add them with .with_sums(...)",
        )
    money = experience.by(group).cells.select(
        pl.col(group).cast(pl.String).alias("health_group"),
        pl.col("standard_premium", "amount").cast(pl.Float64),
    )
    columns = ["health_group", "exposure", "adjusted_discount", "adjusted_lower", "adjusted_upper"]
    columns.append("fair_discount")
    table = effect.table.select(columns).join(money, on="health_group", how="left")
    broken = table.filter(~(pl.col("standard_premium") > 0).fill_null(False))
    if not broken.is_empty():
        raise InputError(
            f"no standard premium above zero in {broken['health_group'].to_list()}",
            do="use the experience the effect was estimated on, with its premiums",
        )
    return table


def _monotone(fair: Floats, weights: Floats) -> Floats:
    """Rise with health from the standard group's zero: pool adjacent violators."""
    monotone = np.zeros(len(fair))
    monotone[1:] = isotonic_regression(fair[1:], weights=weights[1:]).x
    return monotone


def _to_steps(values: Floats, cap: float, step: float, rounding: str) -> Floats:
    most = math.floor(cap / step + 1e-9)
    whole = np.floor(values / step + (1e-9 if rounding == "down" else 0.5))
    return np.round(np.minimum(whole, most) * step, 12)


def _present(table: pl.DataFrame, present: Mapping[str, float]) -> pl.Series:
    groups = table["health_group"].to_list()
    if set(present) != set(groups):
        raise InputError(f"the present schedule names {sorted(present)}, the groups are {groups}")
    return pl.Series([float(present[name]) for name in groups])


def _states(table: pl.DataFrame) -> pl.DataFrame:
    """The book without discounts, as it is charged now where known, as proposed, and prudently."""
    kept = {
        "no_discount": pl.lit(0.0),
        "present": pl.col("present_discount") if "present_discount" in table.columns else None,
        "proposed": pl.col("discount"),
        "prudent": pl.col("prudent_discount"),
    }
    rows = [
        table.select(
            state=pl.lit(name),
            premium_charged=(pl.col("standard_premium") * (1 - d)).sum(),
            claims_cost=pl.col("amount").sum(),
        )
        for name, d in kept.items()
        if d is not None
    ]
    states = pl.concat(rows)
    whole = pl.col("premium_charged").first()
    return states.with_columns(
        mean_discount=1 - pl.col("premium_charged") / whole,
        loss_ratio=pl.col("claims_cost") / pl.col("premium_charged"),
        base_premium_factor=whole / pl.col("premium_charged"),
    )


def _budget(table: pl.DataFrame) -> pl.DataFrame:
    standard, amount = pl.col("standard_premium").sum(), pl.col("amount").sum()
    given = (pl.col("standard_premium") * pl.col("discount")).sum()
    return table.select(
        standard_premium=standard,
        discount_given=given,
        mean_discount=given / standard,
        base_premium_factor=standard / (standard - given),
        claims_cost=amount,
        loss_ratio_before=amount / standard,
        loss_ratio_after=amount / (standard - given),
    )
