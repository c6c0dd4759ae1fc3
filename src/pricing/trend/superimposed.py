"""Superimposed inflation: what claims rise beyond a general index."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import polars as pl
from scipy.special import stdtrit

from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.result.figure import interval_figure
from pricing.result.shape import Result
from pricing.result.words import Language, label, say
from pricing.trend.trend import Trend

__all__ = ["Superimposed", "superimposed_inflation"]


class Superimposed(Result):
    """A claims trend, an index' trend and what is left between them.

    ``.table``: measure (claims_trend, index_trend, superimposed), estimate (annual change),
    std_error (of ln(1 + estimate)), lower, upper. ``.frames["index"]``: first, index at the middle
    of every period.
    """

    kind = "superimposed"

    def finding(self, lang: Language = "en") -> str:
        """Say superimposed inflation, and the index it is beyond."""
        f = self.facts
        said = {**f, "response": label(f["response"], lang), "index": label(f["index"], lang)}
        return say("finding.superimposed", lang, **said)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the three annual changes with their intervals."""
        t = self.table
        figure = interval_figure(
            t["measure"].to_list(),
            t["estimate"].to_list(),
            t["lower"].to_list(),
            t["upper"].to_list(),
            name="annual_change",
            factor="measure",
            lang=lang,
            reference=0.0,
        )
        return figure.update_layout(yaxis={"tickformat": ".1%"})


def superimposed_inflation(
    trend: Trend, index: pl.DataFrame, *, name: str, level: float | None = None
) -> Superimposed:
    """Take a general index out of a claims trend.

    Parameters
    ----------
    trend : Trend
        Of severity or pure premium, as a rule.
    index : polars.DataFrame
        ``date`` (the day an index value stands for: the middle of the year for a yearly mean),
        ``index`` (any base, above zero) and, if it has one, ``std_error`` of ln(index), independent
        between dates. Its dates must reach from the first period's middle to the last's; between
        two dates its log is straight.
    name : str
        What the index is, with its source; the result names it.
    level : float, optional
        Confidence level; the trend's own where left out.

    Returns
    -------
    Superimposed

    Raises
    ------
    InputError
        For an index that does not cover the periods (none is extrapolated), dates twice, values
        that are null, not finite or not above zero, and no name.

    Notes
    -----
    The index' trend is the slope of ln(index) on the trend's own columns with its own weights μ, so
    that the difference is the trend of deflated claims: g = (Z'MZ)⁻¹Z'M ln(index), and superimposed
    inflation is exp(β − g) − 1, for the last stretch of the trend. Its variance is that of β and
    that of g, which is zero where the index has no error. Taylor (2000), Loss reserving, section
    2.3; Friedland (2010).

    Examples
    --------
    >>> from datetime import date
    >>> from pricing.trend.trend import fit_trend
    >>> rows = pl.DataFrame({"year": [date(y, 1, 1) for y in range(2020, 2025)], "claims": 100,
    ...                      "amount": [1000.0 * 1.08**i for i in range(5)]})
    >>> cpi = pl.DataFrame({"date": [date(y, 7, 1) for y in range(2019, 2026)],
    ...                     "index": [1.02**i for i in range(7)]})
    >>> found = superimposed_inflation(fit_trend(rows, period="year", response="severity"), cpi, name="CPI")
    >>> found.table["estimate"].round(3).to_list()
    [0.08, 0.02, 0.059]
    """
    if not name.strip():
        raise InputError("the index has no name", do='say what it is: name="CPI, health (NBS)"')
    chosen = trend.facts["level"] if level is None else level
    if not 0 < chosen < 1:
        raise InputError(f"the confidence level must lie between 0 and 1, got {chosen}")
    known = _read(index)
    axis, seen = trend.axis, trend.frames["periods"]
    days = np.array([axis.years(day) for day in known["date"].to_list()])
    middle = np.array([axis.middle(day) for day in seen["first"].to_list()])
    if days[0] > middle[0] + 1e-9 or days[-1] < middle[-1] - 1e-9:
        raise InputError(
            f"the index {name!r} runs from {known['date'][0]} to {known['date'][-1]}, the periods' "
            f"midpoints from {seen['first'][0]} to {trend.facts['end']} are not all within",
            do="give an index that covers them, or fit the trend to the periods it covers",
        )
    share = np.array([np.interp(middle, days, row) for row in np.eye(len(days))]).T
    log = share @ np.log(known["index"].to_numpy())
    z = trend.columns
    m = seen["weight"].to_numpy() * np.exp(z @ trend.coefficients)
    ends = np.linalg.solve(z.T @ (m[:, None] * z), (m[:, None] * z).T)
    own = np.array([float(n == "trend" or n.startswith("trend_break")) for n in axis.names])
    slope = own @ ends
    g = float(slope @ log)
    wrong = float((((slope @ share) * known["std_error"].to_numpy()) ** 2).sum())
    beta, v = float(own @ trend.coefficients), float(own @ trend.covariance @ own)
    degrees = trend.facts["degrees_of_freedom"]
    reach = float(stdtrit(degrees, 0.5 + chosen / 2))
    rows = []
    for what, value, variance in (
        ("claims_trend", beta, v),
        ("index_trend", g, wrong),
        ("superimposed", beta - g, v + wrong),
    ):
        error = math.sqrt(max(variance, 0.0))
        bounds = (math.expm1(value + side * reach * error) for side in (-1, 1))
        rows.append((what, math.expm1(value), error, *bounds))
    table = pl.DataFrame(
        rows, schema=["measure", "estimate", "std_error", "lower", "upper"], orient="row"
    )
    last = table.row(-1, named=True)
    facts = {
        "response": trend.facts["response"],
        "index": name,
        "claims_trend": math.expm1(beta),
        "index_trend": math.expm1(g),
        "superimposed": last["estimate"],
        "lower": last["lower"],
        "upper": last["upper"],
        "level": chosen,
        "since": trend.facts["since"],
    }
    exact = "" if wrong > 0 else ", taken as exact"
    basis = replace(
        trend.basis,
        fingerprint=fingerprint(trend.basis.fingerprint, known.write_json(), name, str(chosen)),
        notes=(*trend.basis.notes, f"index: {name}{exact}"),
    )
    frames = {"index": seen.select("first").with_columns(index=pl.Series(np.exp(log)))}
    return Superimposed(table=table, basis=basis, facts=facts, frames=frames)


def _read(index: pl.DataFrame) -> pl.DataFrame:
    missing = [n for n in ("date", "index") if n not in index.columns]
    if missing:
        raise InputError(f"the index has no column {', '.join(map(repr, missing))}")
    wide = index if "std_error" in index.columns else index.with_columns(std_error=pl.lit(0.0))
    if wide.schema["date"] != pl.Date:
        raise InputError(f"'date' of the index is {wide.schema['date']}, not Date")
    if not (wide.schema["index"].is_numeric() and wide.schema["std_error"].is_numeric()):
        raise InputError("'index' and 'std_error' of the index must be numbers")
    wide = wide.select("date", pl.col("index", "std_error").cast(pl.Float64)).sort("date")
    value, error = pl.col("index"), pl.col("std_error")
    faults = [
        f"{count:,} {what}"
        for count, what in (
            (wide["date"].null_count(), "dates are null"),
            (wide.height - wide["date"].n_unique(), "dates are there twice or more"),
            (
                wide.filter((value.is_finite() & (value > 0)).fill_null(False).not_()).height,
                "values are null, not finite or not above zero",
            ),
            (
                wide.filter((error.is_finite() & (error >= 0)).fill_null(False).not_()).height,
                "standard errors are null, not finite or negative",
            ),
        )
        if count
    ]
    if faults or wide.height < 2:
        raise InputError(
            "an index that cannot be used", faults=faults or [f"{wide.height} values make no trend"]
        )
    return wide
