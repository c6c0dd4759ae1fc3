"""The spiral: premiums follow last year's cost, members follow premiums, and who leaves first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import polars as pl

from pricing.choice.equilibrium import BreakEvenRule
from pricing.choice.market import money_by_tier
from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.result.series import SERIES
from pricing.result.shape import Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["Spiral", "spiral"]


class Spiral(Result):
    """Premium, members and cost of each tier, year after year.

    ``.table``: plan_year (1, 2, …), alternative, premium, price_paid, share, cost_per_member, loss_ratio.
    ``.frames["leavers"]``: band, take_up_first_year, take_up_last_year (in any tier), take_up_change.
    """

    kind = "tier_spiral"

    def finding(self, lang: Language = "en") -> str:
        """Say where the path goes and who leaves."""
        key = (
            "unravels"
            if self.facts["unravels"]
            else "settles"
            if self.facts["settled"]
            else "moves"
        )
        names = ("、" if lang == "zh" else ", ").join(
            level_label(t, lang) for t in self.facts["emptied"]
        )
        end = say(f"sentence.spiral_{key}", lang, **{**self.facts, "emptied": names})
        f = {**self.facts, "left_most": level_label(self.facts["left_most"], lang)}
        f["band_name"] = label(self.frames["leavers"].columns[0], lang)
        left = say("sentence.spiral_leavers", lang, **f) if f["left_last"] < f["left_first"] else ""
        return say("finding.tier_spiral", lang, **{**f, "end": end, "left_text": left})

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw premiums by year, and the shares of persons in each tier against the right axis."""
        figure = go.Figure(layout={"template": "pricing"})
        for name, (colour, symbol) in zip(
            self.table["alternative"].unique(maintain_order=True), SERIES, strict=False
        ):
            own = self.table.filter(pl.col("alternative") == name)
            x = own["plan_year"].to_list()
            said = level_label(name, lang)
            figure.add_scatter(
                x=x, y=own["premium"].to_list(), mode="lines+markers", name=f"{said} · {label('premium', lang)}",
                line={"color": colour}, marker={"symbol": symbol, "size": 8},
            )  # fmt: skip
            figure.add_scatter(
                x=x, y=own["share"].to_list(), mode="lines", yaxis="y2", name=f"{said} · {label('share', lang)}",
                line={"color": colour, "dash": "dot"},
            )  # fmt: skip
        return figure.update_layout(
            margin={"t": 110},
            xaxis={"title": {"text": label("plan_year", lang)}},
            yaxis={"title": {"text": label("premium", lang)}, "rangemode": "tozero"},
            yaxis2={"title": {"text": label("share", lang)}, "overlaying": "y", "side": "right",
                    "rangemode": "tozero", "tickformat": ".0%", "showgrid": False},
        )  # fmt: skip


def spiral(
    rule: BreakEvenRule,
    start: Mapping[str, float],
    *,
    years: int = 30,
    floor: float = 0.01,
    by: str | None = None,
) -> Spiral:
    """Follow a plan whose premium each year is what last year's members cost.

    Parameters
    ----------
    rule : BreakEvenRule
    start : mapping of tier to float
        Premium of the first year.
    years : int
        1 to 1,000; the path stops early where premiums move by less than a millionth.
    floor : float
        Share of persons below which a tier counts as empty.
    by : str, optional
        Column of the types by which leavers are shown; else fifths by cost.

    Raises
    ------
    InputError
        For premiums that do not fit the tiers, years or a floor out of their domain.

    Notes
    -----
    p(t+1) = mean cost of those who choose at p(t), over the loss ratio, less the subsidy to the plan. Where
    the slope of that map stays below 1 the path ends in the equilibrium (Cutler and Reber 1998, QJE 113,
    for an observed one).

    Examples
    --------
    >>> from pricing.choice.calibrate import calibrate
    >>> from pricing.choice.equilibrium import break_even_rule
    >>> from pricing.choice.market import choice_market
    >>> types = pl.DataFrame({"risk": [100.0, 300.0, 900.0], "persons": [50.0, 30.0, 20.0]})
    >>> model = calibrate({"basic": 500.0}, take_up=0.2, at={"basic": 300.0}, then=0.5,
    ...                   risk_effect=0.004, risks=types)
    >>> path = spiral(break_even_rule(choice_market(model, types, persons="persons")), {"basic": 200.0})
    >>> path.table.head(3).select(pl.col("premium").round(1), pl.col("share").round(3)).rows()
    [(200.0, 0.691), (388.0, 0.346), (540.1, 0.16)]
    """
    if isinstance(years, bool) or not isinstance(years, int) or not 1 <= years <= 1000:
        raise InputError(f"years is a whole number from 1 to 1,000, got {years!r}", where="years")
    if isinstance(floor, bool) or not isinstance(floor, int | float) or not 0 <= floor < 1:
        raise InputError(f"a floor is a share from 0, below 1, got {floor!r}", where="floor")
    market = rule.market
    premium = money_by_tier(market.tiers, start, "start")
    rows, settled = [], False
    first = premium
    for year in range(1, years + 1):
        share, cost = market.demand(rule.paid(premium))
        rows.append((year, premium, rule.paid(premium), share, cost))
        following = rule.next(premium)
        settled = bool(np.abs(following - premium).max() <= 1e-6 * max(float(premium.max()), 1.0))
        if settled or year == years:
            break
        premium = following
    many = len(rows)
    table = pl.DataFrame({
        "plan_year": np.repeat([r[0] for r in rows], len(market.tiers)),
        "alternative": list(market.tiers) * many,
        **{name: np.concatenate([r[i] for r in rows])
           for i, name in ((1, "premium"), (2, "price_paid"), (3, "share"), (4, "cost_per_member"))},
    }).with_columns(loss_ratio=pl.when(pl.col("premium") > 0).then(pl.col("cost_per_member") / pl.col("premium")))  # fmt: skip
    band, levels, member = market.bands(by)
    within = member / member.sum(axis=1, keepdims=True)
    ends = [within @ (1 - market.shares(rule.paid(p)).every[:, 0]) for p in (first, premium)]
    leavers = pl.DataFrame({
        band: levels, "take_up_first_year": ends[0], "take_up_last_year": ends[1], "take_up_change": ends[1] - ends[0],
    })  # fmt: skip
    last = rows[-1][3]
    gone = np.argmin((ends[1] - ends[0]) / np.maximum(ends[0], 1e-300))
    facts = {
        "years": many, "settled": settled, "unravels": bool((last < floor).any()),
        "emptied": [t for t, s in zip(market.tiers, last, strict=True) if s < floor],
        "take_up_first": float(rows[0][3].sum()), "take_up_last": float(last.sum()),
        "left_most": levels[int(gone)], "left_first": float(ends[0][gone]), "left_last": float(ends[1][gone]),
        "floor": floor, "currency": market.basis.currency,
    }  # fmt: skip
    told = fingerprint(
        market.basis.fingerprint,
        repr(first.tolist()),
        repr([v.tolist() for v in (rule.loss_ratio, rule.to_person, rule.to_plan)]),
        str(years),
        str(by),
    )
    basis = replace(market.basis, fingerprint=told)
    return Spiral(table=table, basis=basis, facts=facts, frames={"leavers": leavers})
