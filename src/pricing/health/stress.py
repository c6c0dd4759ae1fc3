"""Stresses of the projected book, each against the base: gaming, no effect, trend, elasticity."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl
from scipy.special import expit

from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.health.course import Course, follow
from pricing.health.gaming import Gaming
from pricing.health.outlook import Outlook
from pricing.health.projection import banded, project_book, require_run
from pricing.result.series import SERIES
from pricing.result.shape import Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["Stress", "stress_book"]


class Stress(Result):
    """The base and each stress: loss ratio of the last year, what it adds, members and margin."""

    kind = "stress"

    def finding(self, lang: Language = "en") -> str:
        """Say the base and the worst of the single stresses."""
        facts = {**self.facts, "worst": level_label(self.facts["worst"], lang)}
        return say(f"finding.{self.kind}", lang, **facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the loss ratio by year, a line for the base and each stress."""
        t = self.frames["scenario_years"]
        figure = go.Figure(layout={"template": "pricing", "height": 460})
        for i, name in enumerate(self.table["scenario"].to_list()):
            part = t.filter(pl.col("scenario") == name)
            colour, symbol = SERIES[i % len(SERIES)]
            figure.add_scatter(
                x=part["projection_year"].to_list(),
                y=part["loss_ratio"].to_list(),
                mode="lines+markers",
                name=level_label(name, lang),
                line={
                    "width": 4 if i == 0 else 2,
                    "color": colour,
                    "dash": "solid" if i == 0 else "dot",
                },
                marker={"symbol": symbol, "size": 8},
            )
        figure.update_layout(
            xaxis={"title": {"text": label("projection_year", lang)}, "dtick": 1},
            yaxis={"title": {"text": label("loss_ratio", lang)}, "tickformat": ".0%"},
            legend={"y": 1.04},
            margin={"t": 96},
        )
        return figure


def stress_book(
    book: pl.DataFrame,
    outlook: Outlook,
    *,
    years: int = 10,
    segment: str | None = None,
    top_share: float = 0.70,
    top: int = 2,
    gaming_years: int = 3,
    trend_plus: float = 0.02,
    elasticity: float = -1.0,
    draws: int = 500,
    seed: int = 1,
    level: float = 0.90,
    source: str = "",
    currency: str = "CNY",
) -> Stress:
    """Stress the projection of the book, each stress on the same draws as the base.

    Parameters
    ----------
    book, outlook, years, segment, draws, seed, level, source, currency
        As in :func:`pricing.health.projection.project_book`.
    top_share, top, gaming_years : float, int, int
        Gaming: the share of members that the top groups come to show, without any effect on claims,
        and in how many years (habit formed by 45.5 % of members, tasks met by 70 %).
    trend_plus : float
        Added to the trend of claims.
    elasticity : float
        Strong elasticity of renewal to price at an unchanged premium, zero or below.

    Returns
    -------
    Stress
        ``.table``: scenario (base, gaming, effect_zero, trend_plus, elastic, combined: the first three
        at once), loss_ratio of the last year with its band, loss_ratio_change against the base with its
        band over the same draws, top_share, mean_discount, members (last year), margin_total over the
        years and margin_change. ``.frames["scenario_years"]``: loss ratio, premium and members by year.

    Examples
    --------
    >>> from pricing.health.price_response import PriceResponse
    >>> book = pl.DataFrame({"health_group": ["G0", "G1"], "members": [60, 40],
    ...     "standard_premium": [60.0, 40.0], "claims_cost": [42.0, 28.0]})
    >>> outlook = Outlook(discounts={"G0": 0.0, "G1": 0.2}, relativities={"G0": 1.0, "G1": 1.0},
    ...     moves=np.eye(2), response=PriceResponse.elastic(retention=0.9, elasticity=0.0))
    >>> found = stress_book(book, outlook, years=4, top=1, draws=0)
    >>> found.table.filter(scenario="gaming")["loss_ratio"].round(4).item()  # 0.7 / (1 - 0.7 × 0.2)
    0.814
    """
    start = require_run(
        book, outlook, years=years, segment=segment, draws=draws, seed=seed, level=level
    )
    base = project_book(
        book, outlook, years=years, segment=segment, draws=0, seed=seed, level=level,
        source=source, currency=currency,
    )  # fmt: skip
    numbers = all(isinstance(v, int | float) for v in (trend_plus, elasticity))
    if not numbers or not np.isfinite(trend_plus) or not -50 < elasticity <= 0:
        raise InputError(
            f"trend_plus must be finite and elasticity zero or below, got {trend_plus!r}, {elasticity!r}"
        )
    gaming = Gaming(share=top_share, top=top, years=gaming_years)
    if top >= len(outlook.groups):
        raise InputError(f"top = {top} leaves no group below of {len(outlook.groups)}")
    renewing = float(expit(outlook.response.intercept))
    strong = max(-elasticity / (1 - renewing), outlook.response.sensitivity)
    faded = replace(outlook, effect_lasting=0.0)
    dearer = replace(outlook, trend=outlook.trend + trend_plus)
    scenarios: dict[str, tuple[Outlook, Gaming | None]] = {
        "base": (outlook, None),
        "gaming": (outlook, gaming),
        "effect_zero": (faded, None),
        "trend_plus": (dearer, None),
        "elastic": (
            replace(outlook, response=replace(outlook.response, sensitivity=strong)),
            None,
        ),
        "combined": (replace(dearer, effect_lasting=0.0), gaming),
    }
    courses = {
        name: follow(start, one, years=years, draws=draws + 1, seed=seed, top=top, gaming=play)
        for name, (one, play) in scenarios.items()
    }
    table = pl.concat(
        [_row(name, course, courses["base"], level, draws) for name, course in courses.items()]
    )
    by_year = pl.concat([_years(name, course) for name, course in courses.items()])
    single = table.filter(~pl.col("scenario").is_in(["base", "combined"]))
    worst = single.sort("loss_ratio", descending=True, maintain_order=True).row(0, named=True)
    rows = {row["scenario"]: row for row in table.iter_rows(named=True)}
    facts: dict[str, Any] = {
        "years": years,
        "base": rows["base"]["loss_ratio"],
        "worst": worst["scenario"],
        "worst_loss_ratio": worst["loss_ratio"],
        "worst_change": 100 * worst["loss_ratio_change"],
        "top_share": rows["base"]["top_share"],
        "gaming_top_share": rows["gaming"]["top_share"],
        "gaming_change": 100 * rows["gaming"]["loss_ratio_change"],
        "combined": rows["combined"]["loss_ratio"],
        "trend_plus": trend_plus,
    }
    basis = replace(
        base.basis,
        fingerprint=fingerprint(
            base.basis.fingerprint, repr((top_share, top, gaming_years, trend_plus, strong, draws))
        ),
        notes=(
            *(n for n in base.basis.notes if "bands" not in n),
            "bands: errors of the parameters only, the same draws in each scenario",
            f"gaming: {top_share:.0%} of members in the top {top} groups within {gaming_years} years",
            f"elastic: sensitivity {strong:.3g} against {outlook.response.sensitivity:.3g}",
            "effect_zero: the effect is gone from the second year on",
        ),
    )
    return Stress(table=table, basis=basis, facts=facts, frames={"scenario_years": by_year})


def _row(name: str, course: Course, base: Course, level: float, draws: int) -> pl.DataFrame:
    ratio, own = course.claims / course.premium, base.claims / base.premium
    total, before = course.margin.sum(axis=0)[0], base.margin.sum(axis=0)[0]
    row: dict[str, Any] = {"scenario": name}
    row |= banded("loss_ratio", ratio[-1:], level, draws)
    row |= banded("loss_ratio_change", (ratio - own)[-1:], level, draws)
    row |= {
        "top_share": course.top_share[-1, :1],
        "mean_discount": 1 - course.premium[-1, :1] / course.standard[-1, :1],
        "members": course.members[-1, :1],
        "margin_total": [total],
        "margin_change": [total - before],
    }
    return pl.DataFrame(row)


def _years(name: str, course: Course) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "scenario": [name] * course.years,
            "projection_year": np.arange(1, course.years + 1),
            "loss_ratio": course.claims[:, 0] / course.premium[:, 0],
            "premium_charged": course.premium[:, 0],
            "members": course.members[:, 0],
        }
    )
