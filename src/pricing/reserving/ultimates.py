"""Ultimates: the shape of an answer, by origin and in total, with its error where there is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl
from scipy.special import ndtri

from pricing.errors import InputError
from pricing.reserving.triangle import Floats, Triangle, period_name
from pricing.result.figure import COLOURS, error_bars
from pricing.result.shape import Result
from pricing.result.words import Language, label, say

__all__ = ["Ultimates", "reserve_interval", "ultimates"]


class Ultimates(Result):
    """Ultimate by origin; ``.table``: origin, latest, development_factor, completion, ultimate, ibnr.

    With an expected loss also exposure and expected_ultimate, with an error also std_error, lower and upper
    (of the ultimate). ``.facts`` hold the totals and the method.
    """

    kind = "ultimates"

    @property
    def ibnr(self) -> float:
        """What is to come over all origins, currency."""
        return float(self.facts["ibnr"])

    @property
    def std_error(self) -> float | None:
        """Standard error of the total, where the method has one."""
        error: float | None = self.facts["std_error"]
        return error

    def finding(self, lang: Language = "en") -> str:
        """Say what is to come in total, with its error where there is one."""
        facts = {**self.facts, "method_name": label(self.facts["method"], lang)}
        facts["unit_name"] = label(facts["unit"], lang)
        said = say("finding.ultimates", lang, **facts)
        if facts["std_error"] is None:
            return said
        facts["error_name"] = label(f"error_{facts['error_kind']}", lang)
        facts["sigma_name"] = label(f"sigma_{facts['sigma']}", lang) if facts["sigma"] else ""
        joined = say("sentence.ultimates_error", lang, **facts)
        return said + joined + (say("sentence.sigma_rule", lang, **facts) if facts["sigma"] else "")

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw what is known and what is to come, stacked, with the interval of the ultimate."""
        table, grain = self.table, self.facts["grain"]
        unit = label(self.facts["unit"], lang)
        places = [period_name(day, grain) for day in table["origin"]]
        figure = go.Figure(layout={"template": "pricing"})
        for name, colour in (("latest", "bars"), ("ibnr", "estimate")):
            figure.add_bar(
                x=places,
                y=table[name].to_list(),
                name=label(name, lang),
                marker={"color": COLOURS[colour]},
            )
        if "std_error" in table.columns:
            ends = [table[name].to_list() for name in ("ultimate", "lower", "upper")]
            figure.add_scatter(
                x=places,
                y=ends[0],
                error_y=error_bars(*ends),
                mode="markers",
                name=label("ultimate", lang),
                marker={"size": 6, "color": COLOURS["text"]},
            )
        if "expected_ultimate" in table.columns:
            figure.add_scatter(
                x=places,
                y=table["expected_ultimate"].to_list(),
                mode="markers",
                name=label("expected_ultimate", lang),
                marker={
                    "symbol": "diamond-open",
                    "size": 9,
                    "color": COLOURS["second"],
                    "line": {"width": 2},
                },
            )
        return figure.update_layout(
            barmode="relative",
            xaxis={"title": {"text": label("origin", lang)}, "type": "category"},
            yaxis={"title": {"text": f"{label('ultimate', lang)} ({unit})"}},
        )


def reserve_interval(
    latest: Floats, ibnr: Floats, error: Floats, level: float
) -> tuple[Floats, Floats]:
    """Give the interval of the ultimate: lognormal on what is to come, normal where that is not above 0.

    A reserve cannot be negative where nothing is recovered, hence the lognormal law with the same mean
    and variance (Mack 1993, section 5).

    Examples
    --------
    >>> lower, upper = reserve_interval(np.array([100.0]), np.array([50.0]), np.array([10.0]), 0.95)
    >>> lower.round(1).tolist(), upper.round(1).tolist()
    ([133.3], [172.3])
    """
    if not 0 < level < 1:
        raise InputError(f"the confidence level must lie between 0 and 1, got {level}")
    z = float(ndtri((1 + level) / 2))
    above = ibnr > 0
    safe = np.where(above, ibnr, 1.0)
    spread = np.sqrt(np.log1p((error / safe) ** 2))
    middle = np.log(safe) - spread**2 / 2
    lower = np.where(above, np.exp(middle - z * spread), ibnr - z * error)
    upper = np.where(above, np.exp(middle + z * spread), ibnr + z * error)
    return latest + lower, latest + upper


def ultimates(
    triangle: Triangle,
    method: str,
    latest: Floats,
    grown: Floats | None,
    ultimate: Floats,
    *,
    measure: str = "amount",
    exposure: Floats | None = None,
    expected: Floats | None = None,
    error: Mapping[str, Any] | None = None,
    frames: Mapping[str, pl.DataFrame] | None = None,
    notes: Sequence[str] = (),
) -> Ultimates:
    """Put a method's answer into its shape.

    Parameters
    ----------
    triangle : Triangle
        What it was made of.
    method : str
        Catalogue name of the method.
    latest, grown, ultimate, exposure, expected : numpy.ndarray, shape (n,)
        By origin, the first first; ``grown`` is the growth to ultimate.
    measure : {"amount", "payments"}
        What was projected.
    error : mapping, optional
        ``kind``, ``level``, ``sigma`` (rule or None), ``std_error``, ``lower``, ``upper`` (arrays by
        origin), ``total`` (standard error), ``total_lower``, ``total_upper`` (of the ultimate).
    frames : mapping of str to polars.DataFrame, optional
        Further tables.
    notes : sequence of str
        For the basis.

    Examples
    --------
    >>> from datetime import date
    >>> from pricing.reserving.triangle import claim_triangle
    >>> rows = pl.DataFrame({"incurred": [date(2023, 1, 1)], "paid": [date(2023, 6, 1)], "amount": [60.0]})
    >>> seen = claim_triangle(rows, valuation=date(2023, 12, 31), grain="year")
    >>> ultimates(seen, "expected_loss", np.array([60.0]), None, np.array([90.0])).ibnr
    30.0
    """
    columns: dict[str, Any] = {"origin": triangle.origins, "latest": latest}
    if grown is not None:
        columns |= {"development_factor": grown, "completion": 1.0 / grown}
    if exposure is not None:
        columns |= {"exposure": exposure, "expected_ultimate": expected}
    columns |= {"ultimate": ultimate, "ibnr": ultimate - latest}
    if error is not None:
        columns |= {name: error[name] for name in ("std_error", "lower", "upper")}
    table = pl.DataFrame(columns)
    broken = [
        name for name in table.columns[1:] if not table[name].is_finite().fill_null(False).all()
    ]
    if broken:
        raise InputError(
            f"{method} gives no finite {', '.join(broken)}",
            do="take a coarser grain or another method; look at the triangle's latest diagonal",
        )
    total, known = float(ultimate.sum()), float(latest.sum())
    facts = {
        "method": method, "grain": triangle.grain, "valuation": triangle.details["valuation"],
        "origins": len(triangle.origins), "latest": known, "ultimate": total, "ibnr": total - known,
        "std_error": None if error is None else float(error["total"]),
        "lower": None if error is None else float(error["total_lower"]) - known,
        "upper": None if error is None else float(error["total_upper"]) - known,
        "level": None if error is None else error["level"],
        "sigma": None if error is None else error["sigma"],
        "error_kind": None if error is None else error["kind"],
        "scale": None if error is None else error.get("scale"),
        "measure": measure, "currency": triangle.basis.currency,
        "unit": "unit_payments" if measure == "payments" else triangle.facts["unit"],
    }  # fmt: skip
    basis = replace(triangle.basis, notes=(*triangle.basis.notes, *notes))
    return Ultimates(
        table=table, basis=basis, facts=facts, frames=dict(frames or {}),
        details=dict(triangle.details),
    )  # fmt: skip
