"""The tail of claim amounts: a generalised Pareto law above a threshold.

For an excess y over the threshold u, P(X − u > y | X > u) = (1 + ξy/σ)^(−1/ξ): shape ξ, scale σ. The
likelihood is maximised along τ = ξ/σ, where ξ(τ) is the mean of ln(1 + τy) (Grimshaw 1993), over
shapes above −½, where errors from the observed information hold (Smith 1985). The shape's interval is
that of the profile likelihood. Sources: Pickands (1975); Coles, An Introduction to Statistical
Modeling of Extreme Values (2001), chapter 4; Klugman, Panjer and Willmot, Loss Models (5th ed. 2019).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import polars as pl
from scipy import stats
from scipy.optimize import brentq, minimize_scalar
from scipy.special import chdtri, ndtri

from pricing.errors import InputError
from pricing.losses.severity_law import SeverityLaw, mixed_severity, sample_severity, severity_law
from pricing.result.figure import COLOURS
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, say

__all__ = ["Estimate", "TailFit", "amounts_of", "claims_basis", "fit_tail", "spliced_severity"]

Array = npt.NDArray[np.float64]
FEWEST = 10
LOWEST = -0.5


@dataclass(frozen=True)
class Estimate:
    """An estimate with its standard error and interval.

    Examples
    --------
    >>> Estimate(2.0, 0.5, 1.0, 3.0).value
    2.0
    """

    value: float
    std_error: float
    lower: float
    upper: float


class TailFit(Result):
    """Generalised Pareto tail above a threshold."""

    kind = "tail_fit"

    @property
    def shape(self) -> float:
        """ξ: above zero a heavy tail, from ½ on without variance, from 1 on without mean."""
        return float(self.facts["shape"])

    @property
    def scale(self) -> float:
        """σ, currency."""
        return float(self.facts["scale"])

    def exceeds(self, amount: float) -> float:
        """Give P(X > amount) of a claim, for an amount at or above the threshold."""
        self._above(amount)
        law = stats.genpareto(self.shape, scale=self.scale)
        return float(self.facts["share"] * law.sf(amount - self.facts["threshold"]))

    def mean_above(self, cap: float) -> float:
        """E[X − c | X > c] = (σ + ξ(c − u))/(1 − ξ): what a claim above the cap costs beyond it.

        Raises
        ------
        InputError
            For a shape of 1 or more: the mean is infinite, no charge can be computed from it.
        """
        self._above(cap)
        if self.shape >= 1:
            raise InputError(
                f"a tail of shape {self.shape:.3g} has no finite mean",
                do="limit the cover: spliced_severity(amounts, tail).under(Terms(limit=...)).mean",
            )
        over = self.scale + self.shape * (cap - self.facts["threshold"])
        return float(max(over, 0.0) / (1 - self.shape))

    def excess_per_claim(self, cap: float) -> float:
        """E[(X − c)₊] of a claim: the pure charge for what lies above the cap."""
        return self.exceeds(cap) * self.mean_above(cap)

    def return_level(self, claims: float, *, level: float = 0.95) -> Estimate:
        """Give the amount that is passed once in so many claims on average, with its interval.

        x = u + σ/ξ·((mζ)^ξ − 1), ζ the share of claims above the threshold; its error by the delta
        method from those of ζ, σ and ξ (Coles 2001, section 4.3.3).

        Parameters
        ----------
        claims : float
            m; more than 1/ζ.
        level : float
            Confidence level.
        """
        share, u, (xi, sigma) = (
            self.facts["share"],
            self.facts["threshold"],
            (self.shape, self.scale),
        )
        if not claims * share > 1:
            raise InputError(
                f"one in {claims:g} claims lies below the threshold, which one in {1 / share:.4g} "
                "claims passes",
                do="ask for a rarer claim",
            )
        grown = math.log(claims * share)
        power = math.exp(xi * grown)
        if abs(xi) > 1e-6:
            reach = (power - 1) / xi
            by_shape = sigma * (grown * power / xi - (power - 1) / xi**2)
        else:
            reach, by_shape = grown, sigma * grown**2 / 2
        gradient = np.array([sigma * power / share, by_shape, reach])
        covariance = np.zeros((3, 3))
        covariance[0, 0] = share * (1 - share) / self.facts["claims"]
        covariance[1:, 1:] = np.array(self.details["covariance"])
        error = float(np.sqrt(gradient @ covariance @ gradient))
        z, value = float(ndtri((1 + level) / 2)), u + sigma * reach
        return Estimate(value, error, value - z * error, value + z * error)

    def finding(self, lang: Language = "en") -> str:
        """Say how heavy the tail is and what lies beyond it."""
        facts = dict(self.facts)
        for end, none in (("lower", f"< {LOWEST:g}"), ("upper", "∞")):
            value = facts[f"shape_{end}"]
            facts[f"shape_{end}_text"] = none if value is None else f"{value:.2f}"
        said = say("finding.tail_fit", lang, **facts)
        if facts["mean_excess"] is None:
            return said + say("sentence.tail_without_mean", lang)
        return said + say("sentence.tail_mean", lang, **facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the share of claims above each amount, seen and fitted, on logarithmic axes."""
        table = self.frames["exceedances"]
        figure = go.Figure(layout={"template": "pricing"})
        figure.add_scatter(
            x=table["amount"].to_list(),
            y=table["observed"].to_list(),
            mode="markers",
            name=label("observed", lang),
            marker={"size": 6, "color": COLOURS["line"]},
        )
        figure.add_scatter(
            x=table["amount"].to_list(),
            y=table["fitted"].to_list(),
            mode="lines",
            name=label("fitted_tail", lang),
            line={"width": 3, "color": COLOURS["estimate"]},
        )
        money = f"{label('claim_amount', lang)} ({self.basis.currency})"
        figure.update_layout(
            xaxis={"title": {"text": money}, "type": "log", **_ticks(table["amount"])},
            yaxis={"title": {"text": label("share_above", lang)}, "type": "log"},
        )
        figure.update_yaxes(_ticks(table["observed"], percent=True))
        return figure

    def _above(self, amount: float) -> None:
        if not amount >= self.facts["threshold"]:
            raise InputError(
                f"{amount:,.6g} lies below the threshold {self.facts['threshold']:,.6g}, where this "
                "tail says nothing"
            )


def fit_tail(
    amounts: Any, threshold: float, *, level: float = 0.95, basis: Basis | None = None
) -> TailFit:
    """Fit a generalised Pareto law to what claims exceed a threshold by.

    Parameters
    ----------
    amounts : sequence, array or polars Series
        Amounts of all claims, those below the threshold too, currency.
    threshold : float
        u; at least 10 claims must lie above it.
    level : float
        Confidence level.
    basis : Basis, optional
        Source, period and currency.

    Returns
    -------
    TailFit
        ``.table``: parameter, estimate, std_error, lower, upper (the shape's by profile likelihood,
        the scale's on the log scale). ``.facts``: shape, scale, share of claims above, mean_excess
        (None without a finite mean). ``.frames["exceedances"]``: amount, observed, fitted.

    Raises
    ------
    InputError
        For amounts that are not finite or negative, fewer than 10 claims above the threshold, all
        of one size, or a shape at −½ or below, where the likelihood gives no errors.

    Examples
    --------
    >>> draw = stats.genpareto(0.3, scale=100.0).ppf((np.arange(500) + 0.5) / 500)
    >>> tail = fit_tail(draw, 0.0)
    >>> round(tail.shape, 2), round(tail.scale)
    (0.3, 100)
    """
    x = amounts_of(amounts)
    if not 0 <= threshold < math.inf or not 0 < level < 1:
        raise InputError(
            f"a threshold is zero or more, a level between 0 and 1, got {threshold}, {level}"
        )
    y = np.sort(x[x > threshold]) - threshold
    if y.size < FEWEST or y[0] == y[-1]:
        raise InputError(
            f"{y.size:,} of {x.size:,} claims lie above {threshold:,.6g}: at least {FEWEST} of "
            "different size are needed",
            do="lower the threshold",
        )
    xi, sigma, best = _fitted(y)
    covariance = np.linalg.inv(_information(y, xi, sigma))
    if not (np.all(np.diag(covariance) > 0) and np.isfinite(covariance).all()):
        raise InputError("the likelihood of the tail has no maximum", do="lower the threshold")
    errors = np.sqrt(np.diag(covariance))
    lower, upper = _profile(y, xi, best, errors[0], level)
    reach = math.exp(float(ndtri((1 + level) / 2)) * errors[1] / sigma)
    table = pl.DataFrame(
        {
            "parameter": ["shape", "scale"],
            "estimate": [xi, sigma],
            "std_error": errors.tolist(),
            "lower": [lower, sigma / reach],
            "upper": [upper, sigma * reach],
        }
    )
    share = y.size / x.size
    given = basis or Basis()
    return TailFit(
        table=table,
        basis=claims_basis(basis, x.size),
        facts={
            "threshold": float(threshold),
            "exceedances": int(y.size),
            "claims": int(x.size),
            "share": share,
            "shape": xi,
            "scale": sigma,
            "shape_lower": lower,
            "shape_upper": upper,
            "level": level,
            "currency": given.currency,
            "log_likelihood": best,
            "mean_excess": sigma / (1 - xi) if xi < 1 else None,
        },
        frames={"exceedances": _seen(y, threshold, share, xi, sigma)},
        details={"covariance": covariance.tolist()},
    )


def spliced_severity(amounts: Any, tail: TailFit) -> SeverityLaw:
    """Join the claims seen below the threshold and the fitted tail above it into one severity.

    Examples
    --------
    >>> draw = stats.genpareto(0.3, scale=100.0).ppf((np.arange(500) + 0.5) / 500)
    >>> law = spliced_severity(draw, fit_tail(draw, 200.0))
    >>> round(law.exceeds(200.0), 3)
    0.208
    """
    x = amounts_of(amounts)
    u = tail.facts["threshold"]
    above = severity_law(stats.genpareto(tail.shape, loc=u, scale=tail.scale))
    low = x[x <= u]
    if not low.size or not low.max() > 0:
        return above
    return mixed_severity([sample_severity(low), above], [low.size, x.size - low.size])


def amounts_of(amounts: Any) -> Array:
    """Take claim amounts as doubles, and refuse those that cannot be claims, with counts.

    Examples
    --------
    >>> amounts_of(pl.Series([1, 2])).tolist()
    [1.0, 2.0]
    """
    try:
        x = (
            amounts.cast(pl.Float64).fill_null(math.nan).to_numpy()
            if isinstance(amounts, pl.Series)
            else np.asarray(amounts, dtype=float)
        )
    except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise InputError(f"claim amounts are not numbers: {error}") from error
    if x.ndim != 1 or not x.size:
        raise InputError("there are no claim amounts", do="check the source and the filters")
    faults = [
        f"{what} in {int(bad.sum()):,} of {x.size:,} claims"
        for what, bad in (("not finite", ~np.isfinite(x)), ("negative", x < 0))
        if bad.any()
    ]
    if faults:
        raise InputError(
            "amounts that cannot be claims",
            faults=faults,
            do="take recoveries off the claim they belong to before looking at its size",
        )
    return np.asarray(x, dtype=np.float64)


def claims_basis(basis: Basis | None, claims: int) -> Basis:
    """Give the basis of a result on claims: as given, with the number of claims where it has none.

    Examples
    --------
    >>> claims_basis(None, 7).claims
    7.0
    """
    given = basis or Basis()
    return given if given.rows else replace(given, rows=claims, claims=float(claims))


def _at(y: Array, tau: float) -> tuple[float, float, float]:
    """Shape, scale and log-likelihood along τ = ξ/σ."""
    mean = float(y.mean())
    if abs(tau * mean) < 1e-7:
        return 0.0, mean, -y.size * (math.log(mean) + 1)
    xi = float(np.log1p(tau * y).mean())
    sigma = xi / tau
    return xi, sigma, -y.size * (math.log(sigma) + xi + 1)


def _fitted(y: Array) -> tuple[float, float, float]:
    near = -(1 - 10.0 ** -np.linspace(0.05, 6, 40)) / y[-1]
    far = np.concatenate([[0.0], 10.0 ** np.linspace(-6, 6, 100)]) / y.mean()
    grid = np.sort(np.concatenate([near, far]))
    found = [_at(y, tau) for tau in grid]
    inside = [k for k, (xi, _, _) in enumerate(found) if xi > LOWEST]
    k = max(inside, key=lambda i: found[i][2])
    if k == inside[0] and inside[0] > 0:
        raise InputError(
            f"the tail ends: its shape lies at {LOWEST} or below, where the likelihood gives no errors",
            do="take the largest amount there can be as a limit, or lower the threshold",
        )
    low, high = grid[max(k - 1, 0)], grid[min(k + 1, grid.size - 1)]
    best = minimize_scalar(
        lambda tau: -_at(y, tau)[2], bounds=(low, high), method="bounded",
        options={"xatol": 1e-12 * max(abs(low), abs(high))},
    )  # fmt: skip
    xi, sigma, value = max(_at(y, float(best.x)), found[k], key=lambda at: at[2])
    return _polished(y, xi, sigma, value)


def _polished(y: Array, xi: float, sigma: float, value: float) -> tuple[float, float, float]:
    """Two Newton steps, so that the score vanishes to rounding."""
    for _ in range(2):
        if abs(xi) < 1e-5:
            break
        z = y / sigma
        w = 1 + xi * z
        score = np.array(
            [
                (np.log(w) / xi**2 - (1 + 1 / xi) * z / w).sum(),
                ((1 + xi) * z / w - 1).sum() / sigma,
            ]
        )
        step = np.linalg.solve(_information(y, xi, sigma), score)
        if not (abs(step[0]) < 0.01 and abs(step[1]) < 0.01 * sigma):
            break
        xi, sigma = xi + float(step[0]), sigma + float(step[1])
    return xi, sigma, max(value, _log_likelihood(y, xi, sigma))


def _log_likelihood(y: Array, xi: float, sigma: float) -> float:
    z = y / sigma
    if abs(xi) < 1e-7:
        return float(-y.size * math.log(sigma) - z.sum())
    return float(-y.size * math.log(sigma) - (1 + 1 / xi) * np.log1p(xi * z).sum())


def _information(y: Array, xi: float, sigma: float) -> Array:
    """Minus the second derivatives of the log-likelihood in (ξ, σ)."""
    z = y / sigma
    w = 1 + xi * z
    if abs(xi) < 1e-5:
        shape = (z**2 - 2 * z**3 / 3).sum()
    else:
        shape = (-2 * np.log(w) / xi**3 + 2 * z / (xi**2 * w) + (1 + 1 / xi) * z**2 / w**2).sum()
    cross = ((z / w - (1 + xi) * z**2 / w**2) / sigma).sum()
    scale = ((1 + (1 + xi) * (xi * z**2 / w**2 - 2 * z / w)) / sigma**2).sum()
    return -np.array([[shape, cross], [cross, scale]])


def _profile(
    y: Array, xi: float, best: float, error: float, level: float
) -> tuple[float | None, float | None]:
    """Shapes whose best likelihood falls short of the best by half the χ² quantile."""
    short = float(chdtri(1, 1 - level)) / 2

    def gap(shape: float) -> float:
        least = max(0.0, -shape * y[-1])
        high = 2 * (least + y[-1]) * (1 + abs(shape)) + y.mean()

        def score(s: float) -> float:
            return float(((1 + shape) * y / (s + shape * y)).mean() - 1)

        low = least * (1 + 1e-12) + 1e-12 * y.mean()
        sigma = brentq(score, low, high, xtol=1e-14 * high, rtol=1e-14)
        return best - _log_likelihood(y, shape, sigma) - short

    def end(direction: int) -> float | None:
        near, far = xi, xi + direction * 2 * error
        for _ in range(60):
            far = max(far, LOWEST)
            if gap(far) > 0:
                return float(brentq(gap, min(near, far), max(near, far), xtol=1e-10))
            if far == LOWEST:
                return None
            near, far = far, far + direction * error
        return None

    return end(-1), end(1)


def _seen(y: Array, threshold: float, share: float, xi: float, sigma: float) -> pl.DataFrame:
    """At most 200 amounts above the threshold, crowding at the top, with shares above them."""
    ranks = np.unique(np.rint(np.geomspace(1, y.size, 200)).astype(np.int64))[::-1]
    at = y[y.size - ranks]
    fitted = share * stats.genpareto(xi, scale=sigma).sf(at)
    return pl.DataFrame(
        {
            "amount": at + threshold,
            "observed": share * (ranks - 0.5) / y.size,
            "fitted": fitted,
        }
    )


def _ticks(values: pl.Series, *, percent: bool = False) -> dict[str, Any]:
    """Whole labels at 1, 2 and 5 of each decade seen, at 1 alone where the decades are many."""
    low, high = (math.log10(float(v)) for v in (values.min(), values.max()))  # type: ignore[arg-type]
    steps = (1, 2, 5) if high - low < 2 else (1,)
    marks = [k * 10.0**d for d in range(math.floor(low), math.ceil(high) + 1) for k in steps]
    text = [f"{100 * m:.6g}%" if percent else f"{m:,.6g}" for m in marks]
    return {"tickmode": "array", "tickvals": marks, "ticktext": text}
