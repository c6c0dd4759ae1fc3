"""Is there a break in the trend? At a known date (Chow), or at the likeliest (Andrews)."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date
from typing import Any, get_args

import numpy as np
import plotly.graph_objects as go
import polars as pl
from scipy.special import fdtrc

from pricing.errors import InputError
from pricing.estimate.design import Floats
from pricing.estimate.period_fit import fit_periods
from pricing.estimate.time_axis import BreakKind, TimeAxis
from pricing.files import fingerprint
from pricing.result.figure import COLOURS
from pricing.result.shape import Result
from pricing.result.words import Language, label, level_label, say
from pricing.trend.autocorrelation import measure_noise, simulate_totals
from pricing.trend.trend import Trend

__all__ = ["TrendBreak", "find_break"]


class TrendBreak(Result):
    """A test for a break of a trend.

    ``.table``: candidate (first day of the new trend), statistic (F of the break there), in_set
    (whether the confidence set of the date holds it). ``.facts``: date, statistic, p_value,
    critical_value (of the largest statistic, at 1 − level), earliest and latest of the set.
    """

    kind = "trend_break"

    def finding(self, lang: Language = "en") -> str:
        """Say whether there is a break, and where."""
        f = self.facts
        found = f["p_value"] < 1 - f["level"]
        key = "break_not_found"
        if found:
            key = "break_known_found" if f["known"] else "break_found"
        said = {
            **f,
            "response": label(f["response"], lang),
            "break_kind": level_label(f"break_{f['break_kind']}", lang),
            "verdict": say(f"sentence.{key}", lang, **f),
        }
        return say("finding.trend_break", lang, **said)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the statistic over the candidates, its critical value and the confidence set."""
        t = self.table
        figure = go.Figure(layout={"template": "pricing"})
        for part, colour, said in (
            (t, "line", "statistic"),
            (t.filter("in_set"), "estimate", "in_set"),
        ):
            figure.add_scatter(
                x=part["candidate"].to_list(),
                y=part["statistic"].to_list(),
                mode="lines+markers" if said == "statistic" else "markers",
                name=label(said, lang),
                marker={"color": COLOURS[colour], "size": 6 if said == "statistic" else 10},
            )
        figure.add_hline(
            y=self.facts["critical_value"],
            line={"dash": "dot", "color": COLOURS["second"]},
            annotation={"text": label("critical_value", lang)},
        )
        figure.update_layout(
            xaxis={"title": {"text": label("candidate", lang)}, "type": "date"},
            yaxis={"title": {"text": label("statistic", lang)}, "rangemode": "tozero"},
        )
        return figure


def find_break(
    trend: Trend,
    *,
    at: date | None = None,
    kind: BreakKind = "both",
    trim: float = 0.15,
    draws: int = 1999,
    seed: int = 1,
    level: float = 0.95,
) -> TrendBreak:
    """Test a fitted trend for one more break, at a known or an unknown date.

    Parameters
    ----------
    trend : Trend
        Under the null: with the breaks and the season it has.
    at : date, optional
        First day of a fitted period, chosen **before** the data were seen (a change of benefits, a
        new hospital contract); else every date is tried and the p-value pays for the search.
    kind : {"level", "slope", "both"}
        What may break.
    trim : float
        Share of the periods at either end that are not tried, from 0.05 to 0.4.
    draws : int
        Series simulated under the null, 199 or more.
    seed : int
        Of the simulation; the same seed gives the same p-value.
    level : float
        Confidence level of the finding and of the date's set.

    Returns
    -------
    TrendBreak

    Raises
    ------
    InputError
        For a date that is no fitted period or cannot be told apart from a break the trend has, too
        few periods, settings out of their range.

    Notes
    -----
    At a candidate τ with q columns B, from the fit without it (working weights M = diag(μ),
    X² = Σ(y − μ)²/μ, n periods, k coefficients):

        S = u'(B'MB − B'MZ(Z'MZ)⁻¹Z'MB)⁻¹u,  u = B'(y − μ),  F = (S/q)/((X² − S)/(n − k − q)),

    the score form of Chow's (1960) F. The supremum over τ (Andrews 1993, Econometrica 61) has no
    table that holds for weights, seasons, few periods and autocorrelation, so its law is simulated:
    gamma responses with the fitted means, the dispersion and the autocorrelation of the fit with
    the likeliest break in it, refitted (:func:`pricing.estimate.period_fit.fit_periods`) and
    searched alike; p = (1 + draws at least as large)/(1 + draws) (Davison and Hinkley 1997, 4.2.3).
    At a known date with independent periods p is that of F. The mix is held as fitted. Over 300
    series of 48 months without a break, 5 % was exceeded by 3 % (periods independent and taken
    so), 6 % (autocorrelation allowed for, none there) and 9 % (autocorrelation of 0.4): where
    periods are plainly autocorrelated, ask for a p-value well below 0.05.

    The set of dates: all τ with (X²_τ − X²_min)/φ ≤ −2 ln(1 − √level), φ the long-run dispersion
    (Hansen 2000; Eo and Morley 2015, Quantitative Economics 6).

    Examples
    --------
    >>> from pricing.trend.trend import fit_trend
    >>> n = [100, 108, 101, 112, 105, 110, 161, 158, 170, 166, 169, 175, 171, 180, 176, 182]
    >>> rows = pl.DataFrame({"quarter": [date(2020 + i // 4, 1 + 3 * (i % 4), 1) for i in range(16)],
    ...                      "exposure": 1000.0, "claims": n})
    >>> found = find_break(fit_trend(rows, period="quarter"), kind="level", draws=199)
    >>> found.facts["date"], found.facts["p_value"]
    ('2021-07-01', 0.005)
    """
    if kind not in get_args(BreakKind):
        raise InputError(f"kind {kind!r} is not offered: {', '.join(get_args(BreakKind))}")
    if not 0.05 <= trim <= 0.4 or not 0 < level < 1:
        raise InputError(f"trim {trim} must lie from 0.05 to 0.4, level {level} between 0 and 1")
    if not (isinstance(draws, int) and draws >= 199):
        raise InputError(f"draws must be a whole number of 199 or more, got {draws!r}")
    seen = trend.frames["periods"]
    firsts: list[date] = seen["first"].to_list()
    z, weight = trend.columns, seen["weight"].to_numpy()
    y, mean = seen["total"].to_numpy(), weight * np.exp(z @ trend.coefficients)
    candidates = _candidates(trend, firsts, at, trim)
    extra = np.array([_broken(trend.axis, firsts, day, kind) for day in candidates])
    n, (k, q) = len(firsts), (z.shape[1], extra.shape[2])
    if n - k - q < 2:
        raise InputError(
            f"{n} periods cannot carry {k} coefficients, {q} more for a break, and their error",
            do=f"give {k + q + 2} periods or more",
        )
    known = _apart(z, extra, mean)
    if not known.any():
        raise InputError(
            "a break there cannot be told apart from the trend's own columns",
            where=str(at) if at else "",
            do="leave out the break the trend already has, or test another kind",
        )
    candidates, extra = [d for d, ok in zip(candidates, known, strict=True) if ok], extra[known]
    path, fall = _statistics(z, extra, y[None], mean[None])
    best = int(np.argmax(path[0]))
    wide = np.column_stack([z, extra[best]])
    beta = _fitted(wide, y[None], weight)[0]
    there = weight * np.exp(wide @ beta)
    correlated = trend.facts["errors"] in ("autocorrelated", "newey_west")
    noise = measure_noise(wide, (y - there) / np.sqrt(there), there, correlated=correlated)
    simulated = simulate_totals(mean, noise.autocovariance, draws, seed)
    refitted = weight * np.exp(_fitted(z, simulated, weight) @ z.T)
    largest = _statistics(z, extra, simulated, refitted)[0].max(axis=1)
    statistic = float(path[0, best])
    p_value = float((1 + (largest >= statistic).sum()) / (1 + draws))
    if at is not None and not correlated:
        p_value = float(fdtrc(q, n - k - q, statistic))
    long_run = noise.autocovariance[0] + 2 * float(noise.autocovariance[1:].sum())
    gap = (fall[0, best] - fall[0]) / max(long_run, 1e-300)
    inside = gap <= -2 * math.log(1 - math.sqrt(level))
    table = pl.DataFrame({"candidate": candidates, "statistic": path[0], "in_set": inside})
    kept = table.filter("in_set")["candidate"]
    facts: dict[str, Any] = {
        "response": trend.facts["response"],
        "break_kind": kind,
        "known": at is not None,
        "date": str(candidates[best]),
        "statistic": statistic,
        "p_value": p_value,
        "critical_value": float(np.quantile(largest, level)),
        "level": level,
        "earliest": str(kept.min()),
        "latest": str(kept.max()),
        "candidates": len(candidates),
        "draws": draws,
        "seed": seed,
    }
    said = f"{draws} series simulated without the break, seed {seed}"
    mark = fingerprint(trend.basis.fingerprint, repr(facts))
    basis = replace(trend.basis, fingerprint=mark, notes=(*trend.basis.notes, said))
    return TrendBreak(table=table, basis=basis, facts=facts)


def _fitted(columns: Floats, responses: Floats, weight: Floats) -> Floats:
    try:
        return fit_periods(columns, responses, weight)
    except InputError as error:
        raise InputError(
            f"the claims are too few for a test of a break: {error.problem}",
            do="take longer periods, or a trend with fewer seasons and breaks",
        ) from error


def _candidates(trend: Trend, firsts: list[date], at: date | None, trim: float) -> list[date]:
    if at is not None:
        if at not in firsts[1:]:
            raise InputError(
                f"{at} is no first day of a fitted {trend.axis.period} after the first",
                do=f"give a day such as {firsts[len(firsts) // 2]}",
            )
        return [at]
    edge = max(math.ceil(trim * len(firsts)), 2)
    if len(firsts) <= 2 * edge:
        raise InputError(
            f"{len(firsts)} periods leave none to try with {edge} kept at either end",
            do="give more periods, or a date",
        )
    return firsts[edge : len(firsts) - edge + 1]


def _broken(axis: TimeAxis, firsts: list[date], day: date, kind: BreakKind) -> Floats:
    """The columns of one break."""
    alone = TimeAxis(axis.period, axis.centre, breaks=((day, kind),))
    return alone.columns(firsts)[:, 2:]


def _apart(z: Floats, extra: Floats, mean: Floats) -> np.ndarray:
    """Which candidates are not spanned by the columns that are there."""
    root = np.sqrt(mean)[:, None]
    q = np.linalg.qr(z * root)[0]
    own = extra * root
    left = own - q @ (q.T @ own)
    size = np.linalg.norm(own, axis=1).clip(1e-300)
    least = np.linalg.svd(left / size[:, None, :], compute_uv=False)[:, -1]
    return np.asarray(least > 1e-6)


def _statistics(z: Floats, extra: Floats, y: Floats, mean: Floats) -> tuple[Floats, Floats]:
    """F and S of every draw at every candidate."""
    c, n, q = extra.shape
    k = z.shape[1]
    flat = extra.transpose(1, 0, 2).reshape(n, c * q)
    left = y - mean
    information = (mean @ (z[:, :, None] * z[:, None, :]).reshape(n, k * k)).reshape(-1, k, k)
    cross = (mean @ (z[:, :, None] * flat[:, None, :]).reshape(n, -1)).reshape(-1, k, c * q)
    own = (extra[:, :, :, None] * extra[:, :, None, :]).transpose(1, 0, 2, 3).reshape(n, -1)
    square = (mean @ own).reshape(-1, c, q, q)
    solved = _solved(information, cross).reshape(-1, k, c, q)
    crossed = cross.reshape(-1, k, c, q)
    inner = square - np.einsum("dkcq,dkcr->dcqr", crossed, solved)
    u = (left @ flat).reshape(-1, c, q)
    fall = (u * _solved(inner, u[..., None])[..., 0]).sum(axis=2)
    rest = (left**2 / mean).sum(axis=1)[:, None] - fall
    return (fall / q) / (np.maximum(rest, 1e-300) / (n - k - q)), fall


def _solved(left: Floats, right: Floats) -> Floats:
    try:
        return np.asarray(np.linalg.solve(left, right))
    except np.linalg.LinAlgError as error:
        raise InputError(
            "the claims are too few for a test of a break: a simulated series carries no trend",
            do="take longer periods, or a trend with fewer seasons and breaks",
        ) from error
