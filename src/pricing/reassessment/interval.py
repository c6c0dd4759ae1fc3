"""Interval: how long to wait between visits, where a visit costs money and waiting lets benefits leak."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl
from scipy.special import gammaincinv

from pricing.files import fingerprint
from pricing.reassessment.domain import (
    Floats,
    numbers,
    require_keys_once,
    require_rows_there,
    require_settings,
)
from pricing.result.figure import COLOURS
from pricing.result.series import SERIES
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["VisitInterval", "best_interval", "interval_cost", "leaking_share"]

INF = float("inf")


class VisitInterval(Result):
    """The best time between visits by grade, against the present one.

    ``.table``: grade, cases, hazard_rate (a year), monthly_benefit, cost (of a visit), best_months,
    taken_months (at most the validity), cost_best, cost_present (leakage and visits, a case and year),
    saving, leaking_best, leaking_present (shares of the benefit). ``.frames["curve"]``: cost by months.
    """

    kind = "visit_interval"

    def finding(self, lang: Language = "en") -> str:
        """Say the shortest and the longest interval and what they save."""
        facts = dict(self.facts)
        for name in ("shortest_grade", "longest_grade"):
            facts[name] = level_label(facts[name], lang)
        return say(f"finding.{self.kind}", lang, **facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the yearly cost of a case by interval, one line a grade, its lowest point marked."""
        figure = go.Figure(layout={"template": "pricing"})
        curve = self.frames["curve"]
        for row, (colour, symbol) in zip(self.table.iter_rows(named=True), SERIES, strict=False):
            own = curve.filter(pl.col("grade") == row["grade"])
            name = level_label(row["grade"], lang)
            figure.add_scatter(x=own["interval_months"].to_list(), y=own["cost_a_year"].to_list(), mode="lines", name=name, line={"color": colour, "width": 2})  # fmt: skip
            figure.add_scatter(x=[row["taken_months"]], y=[row["cost_best"]], mode="markers", showlegend=False, name=name, marker={"color": colour, "symbol": symbol, "size": 12})  # fmt: skip
        figure.add_vline(x=self.facts["present_months"], line={"dash": "dot", "color": COLOURS["line"]})  # fmt: skip
        return figure.update_layout(
            xaxis={"title": {"text": label("interval_months", lang)}},
            yaxis={"title": {"text": label("cost_a_year", lang)}, "rangemode": "tozero"},
        )


def leaking_share(hazard: float | Floats, years: float | Floats) -> Floats:
    """Give the mean share of the benefit that leaks between visits ``years`` apart.

    Parameters
    ----------
    hazard : float or array
        Rate of losing eligibility, a year, 0 or more.
    years : float or array
        Between visits, 0 or more.

    Notes
    -----
    1 − (1 − e^{−hT}) ÷ (hT): the mean over the interval of 1 − e^{−ht}; hT/2 for small hT.

    Examples
    --------
    >>> leaking_share(0.12, [0.5, 2.0]).round(6).tolist()
    [0.029409, 0.110949]
    """
    x = np.asarray(hazard, dtype=np.float64) * np.asarray(years, dtype=np.float64)
    small = x < 1e-5
    safe = np.where(small, 1.0, x)
    return np.asarray(np.where(small, x / 2 - x**2 / 6, 1 + np.expm1(-safe) / safe))


def interval_cost(
    hazard: float | Floats, years: float | Floats, benefit: float | Floats, cost: float | Floats
) -> Floats:
    """Give leakage and visits, a case and year: B·leak(T) + c/T.

    Parameters
    ----------
    hazard, years
        As :func:`leaking_share`; years above 0.
    benefit : float or array
        A year.
    cost : float or array
        Of a visit.

    Examples
    --------
    >>> interval_cost(0.12, [0.5, 2.0], 7200.0, 230.0).round(2).tolist()
    [671.74, 913.84]
    """
    own = np.asarray(benefit, float) * leaking_share(hazard, years)
    return np.asarray(own + np.asarray(cost, float) / np.asarray(years, float))


def best_interval(
    grades: pl.DataFrame,
    *,
    validity_months: float = 24.0,
    present_months: float = 24.0,
    months: Sequence[float] = tuple(range(1, 37)),
    currency: str = "CNY",
    source: str = "",
) -> VisitInterval:
    """Find the interval between visits at which leakage and visits cost least, by grade.

    Parameters
    ----------
    grades : polars.DataFrame
        grade, hazard_rate (a year, 0 or more), monthly_benefit, cost of a visit (all told, with the
        appeals it brings), and cases where known.
    validity_months : float
        No interval is longer: a grade must be re-assessed by then.
    present_months : float
        The interval now, for comparison.
    months : sequence of float
        Where the curve is drawn.
    currency, source : str
        For the basis.

    Returns
    -------
    VisitInterval

    Raises
    ------
    InputError
        For rates, benefits, costs and months out of their domain, or a grade twice.

    Notes
    -----
    B·d leak/dT = c/T² is 1 − e^{−x}(1 + x) = c·h/B with x = hT: the distribution function of a gamma
    law with shape 2, so T = F⁻¹(c·h/B) ÷ h exactly. Where c·h ≥ B no visit pays for itself, and the
    validity is taken; likewise where nobody loses eligibility. Eligibility found lost stops the
    leakage until the next entry, so a case and year here is one of a case that stays in payment.

    Examples
    --------
    >>> grades = pl.DataFrame({"grade": ["moderate"], "hazard_rate": [0.12], "monthly_benefit": [600.0],
    ...                        "cost": [230.0]})
    >>> found = best_interval(grades)
    >>> round(found.table["best_months"].item(), 4), round(found.table["saving"].item(), 2)
    (9.0223, 292.68)
    """
    require_rows_there(grades, "grades", ["grade", "hazard_rate", "monthly_benefit", "cost"])
    require_keys_once(grades, "grade", "grades")
    read = numbers(grades, "grades", {"hazard_rate": (0.0, INF), "monthly_benefit": (0.0, INF), "cost": (0.0, INF)}, open_low=["monthly_benefit"])  # fmt: skip
    open_ = ["validity_months", "present_months"]
    require_settings(dict.fromkeys(open_, (0.0, INF)), open_, validity_months=validity_months, present_months=present_months)  # fmt: skip
    h, benefit, cost = read["hazard_rate"], read["monthly_benefit"] * 12, read["cost"]
    ratio = cost * h / benefit
    pays = (ratio < 1) & (h > 0) & (cost > 0)
    x = gammaincinv(2.0, np.where(pays, ratio, 0.5))
    best = np.where(pays, x / np.where(h > 0, h, 1.0), np.where((h > 0) & (cost == 0), 0.0, np.inf))
    least = min(1.0, validity_months) / 12  # visits more often than monthly are none
    taken = np.clip(best, least, validity_months / 12)
    now = present_months / 12
    at_best, at_now = (interval_cost(h, v, benefit, cost) for v in (taken, now))
    cases = grades["cases"] if "cases" in grades.columns else pl.Series("cases", [None] * grades.height, dtype=pl.Int64)  # fmt: skip
    table = pl.DataFrame(
        {
            "grade": grades["grade"].cast(pl.String), "cases": cases, "hazard_rate": h,
            "monthly_benefit": benefit / 12, "cost": cost,
            "best_months": pl.Series(np.where(np.isfinite(best), best * 12, np.nan)).fill_nan(None),
            "taken_months": taken * 12, "cost_best": at_best, "cost_present": at_now,
            "saving": at_now - at_best, "leaking_best": leaking_share(h, taken),
            "leaking_present": leaking_share(h, np.full(len(h), now)),
        }
    )  # fmt: skip
    grid = np.asarray(list(months), dtype=np.float64)
    numbers(pl.DataFrame({"months": grid}), "months", {"months": (0.0, INF)}, open_low=["months"])
    curve = pl.DataFrame(
        {
            "grade": np.repeat(table["grade"].to_numpy(), len(grid)),
            "interval_months": np.tile(grid, len(h)),
            "cost_a_year": interval_cost(h[:, None], grid / 12, benefit[:, None], cost[:, None]).ravel(),
        }
    )  # fmt: skip
    ranked = table.sort("taken_months", maintain_order=True)
    weight = table["cases"].cast(pl.Float64).fill_null(1.0).to_numpy() if "cases" in grades.columns else np.ones(len(h))  # fmt: skip
    facts: dict[str, Any] = {
        "shortest_grade": ranked["grade"][0], "shortest": ranked["taken_months"][0],
        "longest_grade": ranked["grade"][-1], "longest": ranked["taken_months"][-1],
        "present_months": float(present_months), "validity_months": float(validity_months),
        "saving": float(weight @ table["saving"].to_numpy() / max(weight.sum(), 1e-300)), "currency": currency,
    }  # fmt: skip
    stamp = fingerprint(h.tobytes(), benefit.tobytes(), cost.tobytes(), str((validity_months, present_months)))  # fmt: skip
    return VisitInterval(
        table=table,
        basis=Basis(source=source, rows=grades.height, currency=currency, fingerprint=stamp, notes=(f"constant hazard by grade; at most {validity_months:g} months",)),
        facts=facts,
        frames={"curve": curve},
    )  # fmt: skip
