"""Trend of frequency, severity, pure premium or loss ratio, fitted with its error."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import plotly.graph_objects as go
import polars as pl
from scipy.special import stdtr, stdtrit

from pricing.claims.models import fit_frequency
from pricing.errors import InputError
from pricing.estimate.design import Floats
from pricing.experience.cells import Experience
from pricing.files import fingerprint
from pricing.loss_ratio.autocorrelation import FEWEST, Noise, measure_noise, newey_west
from pricing.loss_ratio.period_fit import fit_periods
from pricing.loss_ratio.time_axis import (
    BreakKind,
    Period,
    Seasonality,
    TimeAxis,
    next_period,
    read_breaks,
)
from pricing.loss_ratio.totals import (
    SUMS,
    Totals,
    TrendResponse,
    read_completion,
    read_totals,
)
from pricing.loss_ratio.trend_figure import trend_figure
from pricing.result.shape import Result
from pricing.result.words import Language, label, say

__all__ = ["Projected", "Trend", "TrendErrors", "When", "fit_trend"]

TrendErrors = Literal["auto", "autocorrelated", "independent", "newey_west"]
When = date | Mapping[date, float]
AHEAD = 2.0  # years of projection that are drawn


class Projected(NamedTuple):
    """A factor or a level: ``std_error`` is that of its log, the interval rests on it."""

    estimate: float
    std_error: float
    lower: float
    upper: float


class Trend(Result):
    """A log-linear trend of period totals, with its error.

    ``.table``: term (trend, level_break), start and end (first day it holds, last day excluded;
    none where it goes on), estimate (annual change of a trend, change at a break), std_error (of
    ln(1 + estimate)), lower, upper, p_value. ``.frames``: ``periods`` (exposure, completion, weight,
    total, observed, fitted, lower, upper, residual), ``projection``, ``coefficients`` and, where
    fitted, ``seasonality``.
    """

    kind = "trend"

    @property
    def axis(self) -> TimeAxis:
        """The time axis."""
        return TimeAxis.read(self.details["axis"])

    @property
    def coefficients(self) -> Floats:
        """Coefficients of the time axis' columns, on the log scale."""
        return np.array(self.details["coefficients"])

    @property
    def covariance(self) -> Floats:
        """Their covariance, completion error in it."""
        return np.array(self.details["covariance"])

    @property
    def noise(self) -> Noise:
        """Dispersion and autocorrelation of the periods."""
        n = self.details["noise"]
        return Noise(np.array(n[0]), n[1], n[2], int(n[3]))

    @property
    def columns(self) -> Floats:
        """The time axis at the fitted periods, periods × coefficients."""
        return self.axis.columns(self.frames["periods"]["first"].to_list())

    @property
    def annual(self) -> Projected:
        """The annual trend now, after the last break: as a fraction."""
        row = self.table.filter(pl.col("term") == "trend").row(-1, named=True)
        return Projected(*(row[n] for n in Projected._fields))

    def factor(self, start: When, end: When) -> Projected:
        """Give the trend factor from ``start`` to ``end``, with the standard error of its log.

        Parameters
        ----------
        start, end : date or mapping of date to float
            A day, without its season; or periods by their first day with their weights (earned
            exposure, say), at their midpoints and with their season. Years are calendar days over
            365.25. The level steps at breaks that lie between are in.

        Examples
        --------
        >>> rows = pl.DataFrame({"year": [date(y, 1, 1) for y in range(2020, 2025)],
        ...                      "exposure": 1000.0, "claims": [100, 112, 119, 135, 144]})
        >>> fit_trend(rows, period="year").factor(date(2024, 7, 1), date(2026, 7, 1)).estimate
        1.200...
        """
        (a, za), (b, zb) = self._at(start), self._at(end)
        return self._interval(float(zb - za), b - a)

    def at(self, day: date) -> Projected:
        """Give the fitted level at a day, at the average mix and without its season."""
        z = self.axis.point(_day(day))
        return self._interval(float(z @ self.coefficients), z)

    def refit(self, responses: Floats, exposures: Floats | None = None) -> Floats:
        """Fit the same trend to other period totals, thousands at once.

        Parameters
        ----------
        responses : array, draws × periods
            Claims or amounts by fitted period, zero or more.
        exposures : array, periods or draws × periods, optional
            The weights: exposure × completion at the average mix; the fitted ones where left out.

        Returns
        -------
        array, draws × coefficients
            Those of ``.frames["coefficients"]``; :meth:`project` reads them.

        Raises
        ------
        InputError
            As :func:`pricing.loss_ratio.period_fit.fit_periods`: no draw is left out in silence.

        Examples
        --------
        >>> rows = pl.DataFrame({"year": [date(y, 1, 1) for y in range(2020, 2025)],
        ...                      "exposure": 1000.0, "claims": [100, 112, 119, 135, 144]})
        >>> trend = fit_trend(rows, period="year")
        >>> draws = trend.refit(np.array([[100, 112, 119, 135, 144], [90, 90, 99, 0, 90]]))
        >>> bool(np.allclose(draws[0], trend.coefficients, atol=1e-10)), draws.shape
        (True, (2, 2))
        """
        own = self.frames["periods"]["weight"].to_numpy()
        return fit_periods(self.columns, responses, own if exposures is None else exposures)

    def project(self, coefficients: Floats, start: When, end: When) -> Floats:
        """Give the trend factor of every draw of coefficients, as :meth:`factor` defines it."""
        beta = np.atleast_2d(np.asarray(coefficients, dtype=np.float64))
        if beta.shape[1] != len(self.axis.names):
            raise InputError(
                f"{beta.shape[1]} coefficients a draw are not the {len(self.axis.names)} of the "
                f"trend: {', '.join(self.axis.names)}",
                do="give what .refit returned",
            )
        sides = []
        for side in (start, end):
            z, w = self._rows(side)
            sides.append(np.exp(beta @ z.T) @ w)
        return np.asarray(sides[1] / sides[0])

    def _rows(self, when: When) -> tuple[Floats, Floats]:
        if not isinstance(when, Mapping):
            return self.axis.point(_day(when))[None], np.ones(1)
        weight = np.array(list(when.values()), dtype=np.float64)
        bad = [d for d in when if type(d) is not date or d.day != 1]
        if not len(weight) or bad or not (np.isfinite(weight).all() and (weight >= 0).all()):
            raise InputError(
                "periods to project to need their first day and a weight of zero or more",
                do="give {date(2025, 1, 1): exposure, …}",
            )
        if not weight.sum() > 0:
            raise InputError("the weights of the periods to project to add up to zero")
        return self.axis.columns(list(when)), weight / weight.sum()

    def _at(self, when: When) -> tuple[Floats, Floats]:
        """Gradient and value of the log of a weighted mean."""
        z, w = self._rows(when)
        part = w * np.exp(z @ self.coefficients)
        return part @ z / part.sum(), np.log(part.sum())

    def _interval(self, value: float, gradient: Floats) -> Projected:
        error = math.sqrt(max(float(gradient @ self.covariance @ gradient), 0.0))
        reach = _reach(self.facts["level"], self.facts["degrees_of_freedom"]) * error
        return Projected(*(math.exp(v) if i != 1 else error for i, v in enumerate(
            (value, 0.0, value - reach, value + reach)
        )))  # fmt: skip

    def finding(self, lang: Language = "en") -> str:
        """Say the annual trend, what it rests on and how its error was found."""
        f = self.facts
        text = say("finding.trend", lang, **{**f, "response": label(f["response"], lang)})
        if f["breaks"]:
            text += say("sentence.trend_since", lang, **f)
        return text + say(f"sentence.trend_{f['errors']}", lang, **f)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw observed points sized by weight, the fitted line, and its projection with its band."""
        days = [day.isoformat() for day, _ in self.axis.breaks]
        return trend_figure(
            self.frames["periods"],
            self.frames["projection"],
            days,
            name=self.facts["response"],
            lang=lang,
        )


def fit_trend(
    data: Experience | pl.DataFrame,
    *,
    period: Period = "month",
    response: TrendResponse = "frequency",
    when: str | None = None,
    by: Sequence[str] = (),
    seasonality: Seasonality = "none",
    harmonics: int = 1,
    breaks: Sequence[date] | Mapping[date, BreakKind] = (),
    completion: pl.DataFrame | None = None,
    exposure: str = "exposure",
    claims: str = "claims",
    amount: str = "amount",
    premium: str = "premium",
    errors: TrendErrors = "auto",
    lags: int | None = None,
    level: float = 0.95,
) -> Trend:
    """Fit how claims move a year, weighted by exposure, the mix held as it is on average.

    Parameters
    ----------
    data : Experience or polars.DataFrame
        Rows or cells with the first day of their period; rows of one period and factor add up.
    period : {"month", "quarter", "year"}
        Length of a period.
    response : {"frequency", "severity", "pure_premium", "loss_ratio"}
        Claims per policy-year, amount per claim, amount per policy-year, or amount per premium
        (give premium at current level, or the trend is net of rate changes).
    when : str, optional
        Column of the period's first day (Date, or text such as 2024-01-01); that of the period's
        name where left out.
    by : sequence of str
        Factors and covariates whose mix is adjusted for, as main effects.
    seasonality : {"none", "month", "quarter", "harmonic"}
        Twelve months, four quarters, or ``harmonics`` waves of a year.
    harmonics : int
        1 to 3.
    breaks : sequence of date, or mapping of date to {"level", "slope", "both"}
        First day of a period from which the level, the slope or both are others.
    completion : polars.DataFrame, optional
        ``when``, ``completion`` (share of the period's ultimate that is in the data) and
        ``std_error`` of it. The weight is exposure × completion, so that an incomplete period is
        grossed up and weighs less; the error of completion goes into the trend's.
    exposure, claims, amount, premium : str
        Columns, as far as the response needs them.
    errors : {"auto", "autocorrelated", "independent", "newey_west"}
        How the noise of the periods is taken: see
        :func:`pricing.loss_ratio.autocorrelation.measure_noise`. ``auto`` allows for
        autocorrelation where there are 12 periods more than coefficients, else not.
    lags : int, optional
        Of Newey–West; 4(n/100)^(2/9) where left out.
    level : float
        Confidence level.

    Returns
    -------
    Trend

    Raises
    ------
    InputError
        For periods that are missing, named by another day than their first, or as few as the
        coefficients; sums that are null, negative or all zero; columns that cannot be told apart,
        such as a break before the first period; a factor that goes with time alone.

    Notes
    -----
    Quasi-likelihood with variance proportional to the mean: log E[y_c] = ln(e_c·completion_t) +
    z_t'β + x_c'γ, fitted on cells by :func:`pricing.claims.models.fit_frequency`; given γ it is the
    fit of period totals to the weights W_t = Σ e_c·completion_t·exp(x_c'γ), scaled to Σe·completion.
    z has the time in years (days/365.25) from the weighted mean of the periods' midpoints, so that
    level and trend are not correlated. The annual trend is exp(β) − 1.

    Errors are those of the periods, not of the rows: whatever makes the claims of a month move
    together (an epidemic, a change of practice) is in φ and in the autocovariance Γ of the Pearson
    residuals. V = B Z'M^½ Γ M^½ Z B, B = (Z'MZ)⁻¹, M = diag(μ), with what estimating γ adds
    (times φ) and B Z' diag(μ·se/completion)² Z B for completion, whose errors are taken as
    independent between periods: where they are not, simulate with :meth:`Trend.refit`. Intervals
    take t on periods − coefficients degrees of freedom. McCullagh and Nelder (1989), chapter 9;
    Friedland (2010), Estimating unpaid claims using basic techniques, chapter on trend; Newey and
    West (1987).

    Examples
    --------
    >>> rows = pl.DataFrame({"year": [date(y, 1, 1) for y in range(2020, 2025)],
    ...                      "exposure": 1000.0, "claims": [100, 112, 119, 135, 144]})
    >>> trend = fit_trend(rows, period="year")
    >>> trend.table.select(pl.col("estimate", "lower", "upper").round(3)).row(0)
    (0.096, 0.076, 0.116)
    """
    if not 0 < level < 1:
        raise InputError(f"the confidence level must lie between 0 and 1, got {level}")
    if errors not in get_args(TrendErrors):
        raise InputError(f"errors={errors!r} is not offered: {', '.join(get_args(TrendErrors))}")
    column = when or period
    names = {"exposure": exposure, "claims": claims, "amount": amount, "premium": premium}
    totals = read_totals(
        data, when=column, period=period, response=response, by=tuple(by), names=names
    )
    share, spread = read_completion(completion, totals.firsts, column)
    axis = _axis(totals, share, period, seasonality, harmonics, read_breaks(breaks))
    z = axis.columns(totals.firsts)
    _require_columns(axis, z, totals.firsts)
    fitted = _fit(totals, z, share, tuple(by))
    nu = len(z) - z.shape[1]
    chosen = errors
    if errors == "auto":
        chosen = "autocorrelated" if nu >= FEWEST else "independent"
    y, mean = fitted.total, fitted.mean
    root = np.sqrt(mean)
    noise = measure_noise(z, (y - mean) / root, mean, correlated=chosen == "autocorrelated")
    bread = _inverse(z.T @ (mean[:, None] * z))
    k = z.shape[1]
    lag = int(4 * (len(z) / 100) ** (2 / 9)) if lags is None else lags
    if not (isinstance(lag, int) and 0 <= lag < len(z)):
        raise InputError(f"lags must be a whole number from 0 to {len(z) - 1}, got {lags!r}")
    if chosen == "newey_west":
        covariance = newey_west(fitted.scores, fitted.bread, lag, k)[:k, :k]
    else:
        ends = bread @ (z * root[:, None]).T
        covariance = ends @ noise.covariance @ ends.T
        if by:
            covariance = covariance + noise.dispersion * (fitted.bread[:k, :k] - bread)
    more = bread @ (z * (mean * spread)[:, None]).T
    covariance = covariance + more @ more.T
    return _result(
        totals, axis, z, fitted, covariance, noise, share,
        response=response, errors=chosen, level=level, by=tuple(by), lags=lag,
        completed=completion is not None, uncertain=bool((spread > 0).any()),
    )  # fmt: skip


class _Fitted(NamedTuple):
    """A fit brought to periods; scores and bread are over time columns, then the mix."""

    coefficients: Floats
    exposure: Floats
    weight: Floats
    total: Floats
    mean: Floats
    scores: Floats
    bread: Floats
    rows: int


def _axis(
    totals: Totals,
    share: Floats,
    period: Period,
    seasonality: Seasonality,
    harmonics: int,
    breaks: tuple[tuple[date, BreakKind], ...],
) -> TimeAxis:
    offered = {"month": ("month", "quarter", "harmonic"), "quarter": ("quarter", "harmonic")}
    if seasonality != "none" and seasonality not in offered.get(period, ()):
        raise InputError(
            f"seasonality {seasonality!r} is not offered for periods of a {period}",
            do=f"one of: {', '.join(['none', *offered.get(period, ())])}",
        )
    most = 3 if period == "month" else 1
    if seasonality == "harmonic" and harmonics not in range(1, most + 1):
        raise InputError(f"harmonics of a {period} go from 1 to {most}, got {harmonics!r}")
    off = [day for day, _ in breaks if day not in totals.firsts[1:]]
    if off:
        raise InputError(
            f"breaks that are no first day of a {period} after the first, up to the last",
            faults=[str(day) for day in off],
            do=f"give days such as {totals.firsts[min(1, len(totals.firsts) - 1)]}",
        )
    weight = totals.cells.group_by("first").agg(pl.col("weight").sum()).sort("first")["weight"]
    heavy = weight.to_numpy() * share
    plain = TimeAxis(period, 0.0)
    middle = np.array([plain.middle(first) for first in totals.firsts])
    return TimeAxis(
        period, float(heavy @ middle / heavy.sum()), seasonality, breaks, int(harmonics)
    )


def _require_columns(axis: TimeAxis, z: Floats, firsts: Sequence[date]) -> None:
    n, k = z.shape
    if n <= k:
        raise InputError(
            f"{n} {axis.period}{'s' if n > 1 else ''} cannot carry {k} coefficients "
            f"({', '.join(axis.names)}) and their error",
            do=f"give {k + 1} or more, or leave out breaks and seasons",
        )
    scaled = z / np.linalg.norm(z, axis=0).clip(1e-300)
    ranks = [np.linalg.matrix_rank(scaled[:, : j + 1], tol=1e-9) for j in range(k)]
    alike = [axis.names[j] for j in range(1, k) if ranks[j] == ranks[j - 1]]
    if alike:
        raise InputError(
            f"columns that cannot be told apart from those before them in {n} {axis.period}s "
            f"from {firsts[0]}",
            faults=alike,
            do="leave out breaks near either end or near one another, or seasons not seen twice",
        )


def _fit(totals: Totals, z: Floats, share: Floats, by: tuple[str, ...]) -> _Fitted:
    """Fit on cells, and bring the mix to its average."""
    k = z.shape[1]
    place = {first.isoformat(): i for i, first in enumerate(totals.firsts)}
    at = pl.col("first").cast(pl.String)
    cells = totals.cells.with_columns(
        _effective=pl.col("weight")
        * at.replace_strict(list(place), share.tolist(), return_dtype=pl.Float64)
    )
    seen = Experience.collect(
        cells, ["first", *by], exposure="_effective", claims="total", sums=["weight"]
    )
    time = {
        f"_z{j}": at.replace_strict(list(place), z[:, j].tolist(), return_dtype=pl.Float64)
        for j in range(1, k)
    }
    seen = seen.with_keys(**time)
    model = fit_frequency(seen, " + ".join([*time, *by]), errors="model")
    aliased = [c.name for c, b in zip(model.columns, model.coefficients, strict=True) if b != b]
    if aliased:
        raise InputError(
            "the mix goes with time or with itself: trend and mix cannot be told apart",
            faults=aliased,
            do="leave the factor out of by=, or group its levels",
        )
    x = model.values(seen.cells)
    beta, gamma = model.coefficients[:k], model.coefficients[k:]
    weight, total = seen.values("exposure"), seen.values("claims")
    mixed = weight * np.exp(x[:, k:] @ gamma)
    scale = float(weight.sum() / mixed.sum())
    mixed = mixed * scale
    turn = np.eye(x.shape[1])
    turn[0, k:] = mixed @ x[:, k:] / mixed.sum()
    beta = np.array([beta[0] - math.log(scale), *beta[1:]])
    period = np.array([place[day] for day in seen.cells["first"].cast(pl.String).to_list()])

    def by_period(values: Floats) -> Floats:
        return np.bincount(period, weights=values, minlength=len(z)).astype(np.float64)

    w = by_period(mixed)
    mean = w * np.exp(z @ beta)
    other = x.copy()
    other[:, k:] -= turn[0, k:]
    left = total - mixed * np.exp(z @ beta)[period]
    scores = np.column_stack([by_period(other[:, j] * left) for j in range(x.shape[1])])
    bread = turn @ model.bread @ turn.T
    exposure = by_period(seen.values("weight"))
    return _Fitted(beta, exposure, w, by_period(total), mean, scores, bread, seen.basis.rows)


def _result(
    totals: Totals,
    axis: TimeAxis,
    z: Floats,
    fitted: _Fitted,
    covariance: Floats,
    noise: Noise,
    share: Floats,
    *,
    response: TrendResponse,
    errors: str,
    level: float,
    by: tuple[str, ...],
    lags: int,
    completed: bool,
    uncertain: bool,
) -> Trend:
    firsts, beta = totals.firsts, fitted.coefficients
    end = next_period(firsts[-1], axis.period)
    reach = _reach(level, noise.degrees_of_freedom)
    table = _table(axis, firsts[0], beta, covariance, reach, noise.degrees_of_freedom)
    now = table.filter(pl.col("term") == "trend").row(-1, named=True)
    facts = {
        "response": response,
        "annual": now["estimate"],
        "std_error": now["std_error"],
        "lower": now["lower"],
        "upper": now["upper"],
        "since": str(now["start"]),
        "level": level,
        "start": str(firsts[0]),
        "end": str(end),
        "periods": len(firsts),
        "period": axis.period,
        "breaks": len(axis.breaks),
        "seasonality": axis.seasonality,
        "errors": errors,
        "lags": lags,
        "degrees_of_freedom": noise.degrees_of_freedom,
        "dispersion": noise.dispersion,
        "scatter": math.sqrt(noise.dispersion * len(firsts) / float(fitted.mean.sum())),
        "autocorrelation": noise.correlation,
        "autocorrelation_p_value": noise.p_value,
    }
    ahead, day = [], end
    while (day - end).days < AHEAD * 365:
        ahead.append(day)
        day = next_period(day, axis.period)
    drawn = _line(axis, [*firsts, *ahead], beta, covariance, reach)
    n = len(firsts)
    periods = drawn[:n].with_columns(
        exposure=fitted.exposure,
        completion=share,
        weight=fitted.weight,
        total=fitted.total,
        observed=fitted.total / fitted.weight,
        residual=(fitted.total - fitted.mean)
        / np.sqrt(fitted.mean * max(noise.dispersion, 1e-300)),
    )
    frames = {
        "periods": periods.select(
            "first", "exposure", "completion", "weight", "total", "observed",
            "fitted", "lower", "upper", "residual",
        ),
        "projection": drawn[n:],
        "coefficients": pl.DataFrame(
            {
                "coefficient": list(axis.names),
                "estimate": beta,
                "std_error": np.sqrt(np.diag(covariance)),
            }
        ),
    }  # fmt: skip
    if axis.seasonality != "none":
        frames["seasonality"] = _seasons(axis, beta, covariance, reach)
    unit, event = SUMS[response]
    notes = [f"{event} per {unit}: variance proportional to the mean, errors of the periods"]
    notes += [f"mix adjusted for: {', '.join(by)}"] if by else []
    if completed:
        known = "with their errors, independent between periods" if uncertain else "taken as exact"
        notes.append(f"incomplete periods grossed up by completion factors, {known}")
    basis = replace(
        totals.basis,
        period=f"{firsts[0]}/{end}",
        rows=totals.basis.rows or fitted.rows,
        exposure=totals.basis.exposure or (float(fitted.exposure.sum()) if unit == "exposure" else 0.0),
        claims=totals.basis.claims
        or float((fitted.total if event == "claims" else fitted.exposure).sum())
        * (response in ("frequency", "severity")),
        fingerprint=fingerprint(
            totals.cells.with_columns(pl.selectors.float().round_sig_figs(9)).write_json(), repr(axis.written()), response, errors, str(lags), str(level),
            repr(by), share.tobytes(),
        ),
        notes=(*totals.basis.notes, *notes),
    )  # fmt: skip
    details: dict[str, Any] = {
        "axis": axis.written(),
        "coefficients": beta.tolist(),
        "covariance": covariance.tolist(),
        "noise": [
            noise.autocovariance.tolist(),
            noise.correlation,
            noise.p_value,
            noise.degrees_of_freedom,
        ],
    }
    return Trend(table=table, basis=basis, facts=facts, frames=frames, details=details)


def _table(
    axis: TimeAxis, first: date, beta: Floats, covariance: Floats, reach: float, degrees: int
) -> pl.DataFrame:
    """A row for every stretch of trend and every step of the level, in order of time."""
    names = list(axis.names)
    bends = [day for day, kind in axis.breaks if kind != "level"]
    starts: list[date] = [first, *bends]
    rows: list[tuple[Any, ...]] = []
    for i, start in enumerate(starts):
        own = np.zeros(len(names))
        own[1] = 1.0
        for day in bends[:i]:
            own[names.index(f"trend_break {day}")] = 1.0
        rows.append(("trend", start, starts[i + 1] if i < len(bends) else None, own))
    for day, kind in axis.breaks:
        if kind != "slope":
            own = np.zeros(len(names))
            own[names.index(f"level_break {day}")] = 1.0
            rows.append(("level_break", day, None, own))
    found = []
    for term, start, stop, own in sorted(rows, key=lambda r: (r[1], r[0])):
        b, se = float(own @ beta), math.sqrt(max(float(own @ covariance @ own), 0.0))
        p = float(2 * stdtr(degrees, -abs(b) / se)) if se > 0 else None
        ends = (math.expm1(v) for v in (b - reach * se, b + reach * se))
        found.append((term, start, stop, math.expm1(b), se, *ends, p))
    schema = {"term": pl.String, "start": pl.Date, "end": pl.Date} | dict.fromkeys(
        ("estimate", "std_error", "lower", "upper", "p_value"), pl.Float64
    )
    return pl.DataFrame(found, schema=schema, orient="row")


def _line(
    axis: TimeAxis, firsts: Sequence[date], beta: Floats, covariance: Floats, reach: float
) -> pl.DataFrame:
    z = axis.columns(firsts)
    eta = z @ beta
    error = reach * np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", z, covariance, z), 0))
    return pl.DataFrame(
        {
            "first": list(firsts),
            "fitted": np.exp(eta),
            "lower": np.exp(eta - error),
            "upper": np.exp(eta + error),
        }
    )


def _seasons(axis: TimeAxis, beta: Floats, covariance: Floats, reach: float) -> pl.DataFrame:
    """The index of every season to the year's geometric mean."""
    step = 1 if axis.period == "month" and axis.seasonality != "quarter" else 3
    days = [date(2001, month, 1) for month in range(1, 13, step)]
    z = axis.columns(days)[:, axis.seasonal]
    z = z - z.mean(axis=0)
    own = np.flatnonzero(axis.seasonal)
    eta, v = z @ beta[own], covariance[np.ix_(own, own)]
    error = np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", z, v, z), 0))
    return pl.DataFrame(
        {
            "season": [(day.month - 1) // step + 1 for day in days],
            "estimate": np.exp(eta),
            "std_error": error,
            "lower": np.exp(eta - reach * error),
            "upper": np.exp(eta + reach * error),
        }
    )


def _reach(level: float, degrees: float) -> float:
    return float(stdtrit(degrees, 0.5 + level / 2))


def _inverse(information: Floats) -> Floats:
    scale = 1 / np.sqrt(np.diag(information))
    both = np.outer(scale, scale)
    return np.asarray(np.linalg.inv(information * both) * both)


def _day(day: object) -> date:
    if type(day) is not date:
        raise InputError(f"{day!r} is not a date", do="give a datetime.date")
    return day
