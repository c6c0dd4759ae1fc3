"""Trend of frequency, severity, pure premium or loss ratio, fitted with its error."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any, Literal, get_args

import numpy as np
import plotly.graph_objects as go
import polars as pl
from scipy.special import stdtrit

from pricing.errors import InputError
from pricing.estimate.design import Floats
from pricing.estimate.period_fit import fit_periods
from pricing.estimate.time_axis import (
    BreakKind,
    Period,
    Seasonality,
    TimeAxis,
    next_period,
    read_breaks,
    require_columns,
)
from pricing.experience.cells import Experience
from pricing.files import fingerprint
from pricing.result.shape import Result
from pricing.result.words import Language, label, say
from pricing.trend.autocorrelation import FEWEST, Noise, measure_noise, newey_west
from pricing.trend.mix import Fitted, fit_mix, inverse_information
from pricing.trend.totals import (
    SUMS,
    Totals,
    TrendResponse,
    place_axis,
    read_completion,
    read_totals,
)
from pricing.trend.trend_figure import trend_figure
from pricing.trend.trend_table import (
    LESS,
    TOO_LITTLE,
    Projected,
    require_sense,
    season_table,
    trend_line,
    trend_table,
)

__all__ = ["Trend", "TrendErrors", "When", "fit_trend"]

TrendErrors = Literal["auto", "autocorrelated", "independent", "newey_west", "rows"]
When = date | Mapping[date, float]
AHEAD = 2.0  # years of projection that are drawn


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
            As :func:`pricing.estimate.period_fit.fit_periods`: no draw is left out in silence.

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
        text += say(f"sentence.trend_{f['errors']}", lang, **f)
        return (
            text if f["scatter_rows"] is None else text + say("sentence.trend_scatter", lang, **f)
        )

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
    errors : {"auto", "autocorrelated", "independent", "newey_west", "rows"}
        How the noise of the periods is taken: see
        :func:`pricing.trend.autocorrelation.measure_noise`. ``auto`` allows for
        autocorrelation where there are 12 periods more than coefficients, else not. ``rows`` is
        the sandwich of the rows from the second moments of an experience: for three or four years,
        whose periods cannot tell their own noise; nothing may then move a whole period.
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
    axis = place_axis(totals, share, period, seasonality, harmonics, read_breaks(breaks))
    z = axis.columns(totals.firsts)
    require_columns(axis, z, totals.firsts)
    fitted = fit_mix(totals, z, share, tuple(by))
    nu = len(z) - z.shape[1]
    chosen = errors
    if errors == "auto":
        chosen = "autocorrelated" if nu >= FEWEST else "independent"
    y, mean = fitted.total, fitted.mean
    root = np.sqrt(mean)
    noise = measure_noise(z, (y - mean) / root, mean, correlated=chosen == "autocorrelated")
    bread = inverse_information(z.T @ (mean[:, None] * z))
    if bread is None:
        raise InputError(TOO_LITTLE, do=LESS)
    k = z.shape[1]
    lag = int(4 * (len(z) / 100) ** (2 / 9)) if lags is None else lags
    if not (isinstance(lag, int) and 0 <= lag < len(z)):
        raise InputError(f"lags must be a whole number from 0 to {len(z) - 1}, got {lags!r}")
    degrees = nu
    if chosen == "rows":
        if fitted.meat is None:
            raise InputError(
                "errors of the rows need the second moments of an experience",
                do="give an Experience with the period as a key (text of its first day), not of a "
                "loss ratio",
            )
        covariance = (fitted.bread @ fitted.meat @ fitted.bread)[:k, :k]
        degrees = max(totals.basis.rows - len(fitted.bread), 1)
    elif chosen == "newey_west":
        covariance = newey_west(fitted.scores, fitted.bread, lag, k)[:k, :k]
    else:
        ends = bread @ (z * root[:, None]).T
        covariance = ends @ noise.covariance @ ends.T
        if by:
            covariance = covariance + noise.dispersion * (fitted.bread[:k, :k] - bread)
    more = bread @ (z * (mean * spread)[:, None]).T
    covariance = covariance + more @ more.T
    require_sense(axis, fitted.coefficients, covariance, _reach(level, degrees))
    return _result(
        totals, axis, fitted, covariance, noise, share, degrees,
        response=response, errors=chosen, level=level, by=tuple(by), lags=lag,
        completed=completion is not None, uncertain=bool((spread > 0).any()),
    )  # fmt: skip


def _result(
    totals: Totals,
    axis: TimeAxis,
    fitted: Fitted,
    covariance: Floats,
    noise: Noise,
    share: Floats,
    degrees: int,
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
    reach = _reach(level, degrees)
    table = trend_table(axis, firsts[0], beta, covariance, reach, degrees)
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
        "degrees_of_freedom": degrees,
        "dispersion": noise.dispersion,
        "scatter": math.sqrt(noise.dispersion * len(firsts) / float(fitted.mean.sum())),
        "scatter_rows": None
        if fitted.squares is None
        else math.sqrt(fitted.squares * len(firsts)) / float(fitted.mean.sum()),
        "autocorrelation": noise.correlation,
        "autocorrelation_p_value": noise.p_value,
    }
    ahead, day = [], end
    while (day - end).days < AHEAD * 365:
        ahead.append(day)
        day = next_period(day, axis.period)
    drawn = trend_line(axis, [*firsts, *ahead], beta, covariance, reach)
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
        frames["seasonality"] = season_table(axis, beta, covariance, reach)
    unit, event = SUMS[response]
    notes = [
        f"{event} per {unit}: variance proportional to the mean, errors of the "
        f"{'rows' if errors == 'rows' else 'periods'}"
    ]
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


def _reach(level: float, degrees: float) -> float:
    return float(stdtrit(degrees, 0.5 + level / 2))


def _day(day: object) -> date:
    if type(day) is not date:
        raise InputError(f"{day!r} is not a date", do="give a datetime.date")
    return day
