"""Where the tail begins: mean excess, Hill's estimator, and the tail fitted at many thresholds.

Above the right threshold the mean excess is a straight line (slope ξ/(1 − ξ)), Hill's estimate and the
fitted shape are level, and so is the modified scale σ − ξu. Sources: Hill (1975); Davison and Smith
(1990); Embrechts, Klüppelberg and Mikosch, Modelling Extremal Events (1997), section 6.2; Coles (2001),
section 4.3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import polars as pl
from scipy.special import ndtri

from pricing.errors import InputError
from pricing.losses.tail import FEWEST, amounts_of, claims_basis, fit_tail
from pricing.result.series import band_figure
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, say

__all__ = ["Hill", "MeanExcess", "TailStability", "hill", "mean_excess", "tail_stability"]

Array = npt.NDArray[np.float64]


class MeanExcess(Result):
    """Mean excess by threshold."""

    kind = "mean_excess"

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the mean excess in its interval over the number of claims above."""
        return _band(self.table, "mean_excess", lang)


class Hill(Result):
    """Hill's estimate of the tail's shape by threshold."""

    kind = "hill"

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the shape in its interval over the number of claims above."""
        return _band(self.table, "hill_shape", lang)


class TailStability(Result):
    """Shape and modified scale of the fitted tail by threshold."""

    kind = "tail_stability"

    def finding(self, lang: Language = "en") -> str:
        """Say from where on the fitted shape stays inside every later interval."""
        level = self.facts["threshold"] is not None
        key = "finding.tail_stability" if level else "sentence.tail_unstable"
        return say(key, lang, **self.facts)

    def figure(
        self,
        lang: Language = "en",
        *,
        parameter: Literal["tail_shape", "modified_scale"] = "tail_shape",
    ) -> go.Figure:
        """Draw the shape, or the modified scale, in its interval."""
        table = self.table.drop_nulls()
        if parameter == "modified_scale":
            reach = float(ndtri((1 + self.facts["level"]) / 2)) * pl.col("modified_scale_error")
            value = pl.col("modified_scale")
            table = table.with_columns(lower=value - reach, upper=value + reach)
        return _band(table, parameter, lang)


def _band(table: pl.DataFrame, name: str, lang: Language) -> go.Figure:
    return band_figure(
        table["threshold"].to_list(),
        table[name].to_list(),
        table["lower"].to_list(),
        table["upper"].to_list(),
        points=None,
        points_name=name,
        name=name,
        factor="threshold",
        lang=lang,
        bars=table["exceedances"].cast(pl.Float64).to_list(),
        bars_name="exceedances",
    )


def mean_excess(
    amounts: Any,
    thresholds: Sequence[float] | None = None,
    *,
    level: float = 0.95,
    basis: Basis | None = None,
) -> MeanExcess:
    """Give the mean of what claims exceed each threshold by, with normal intervals.

    Parameters
    ----------
    amounts : sequence, array or polars Series
        Claim amounts, currency, zero or more.
    thresholds : sequence of float, optional
        Left out, up to 40 amounts seen, from the median to the tenth largest.
    level : float
        Confidence level.
    basis : Basis, optional
        Source, period and currency.

    Returns
    -------
    MeanExcess
        ``.table``: threshold, exceedances, mean_excess, std_error, lower, upper. ``.facts``:
        slope of the line through them, weighted by their precision, and the shape it stands for.

    Raises
    ------
    InputError
        For amounts that cannot be claims, and thresholds that fewer than 10 claims exceed.

    Examples
    --------
    >>> found = mean_excess(list(range(1, 101)), [0.0, 50.0])
    >>> found.table["mean_excess"].to_list()
    [50.5, 25.5]
    """
    x, u, count = _prepared(amounts, thresholds, level)
    excess = [x[-k:] - at for at, k in zip(u, count, strict=True)]
    mean = np.array([e.mean() for e in excess])
    error = np.array([e.std(ddof=1) for e in excess]) / np.sqrt(count)
    slope = _slope(u, mean, error)
    z = float(ndtri((1 + level) / 2))
    table = _table(u, count, "mean_excess", mean, error, mean - z * error, mean + z * error)
    facts = {
        "level": level,
        "lowest": float(u[0]),
        "highest": float(u[-1]),
        "first": float(mean[0]),
        "last": float(mean[-1]),
        "slope": slope,
        "shape": slope / (1 + slope),
        "currency": (basis or Basis()).currency,
    }
    return MeanExcess(table=table, basis=claims_basis(basis, x.size), facts=facts)


def hill(
    amounts: Any,
    thresholds: Sequence[float] | None = None,
    *,
    level: float = 0.95,
    basis: Basis | None = None,
) -> Hill:
    """Give Hill's estimate of the shape: the mean of ln(X/u) over claims above each threshold u.

    Its error is γ/√k with k claims above; it is right for tails of shape above zero only. Parameters,
    errors and columns are those of :func:`mean_excess`, with ``hill_shape`` for the estimate.

    Examples
    --------
    >>> draw = 100.0 * (1 - (np.arange(1000) + 0.5) / 1000) ** -0.5
    >>> round(hill(draw, [200.0]).table["hill_shape"][0], 2)
    0.5
    """
    x, u, count = _prepared(amounts, thresholds, level)
    if not u[0] > 0:
        raise InputError("Hill's estimate takes thresholds above zero")
    shape = np.array([np.log(x[-k:] / at).mean() for at, k in zip(u, count, strict=True)])
    error = shape / np.sqrt(count)
    z = float(ndtri((1 + level) / 2))
    table = _table(u, count, "hill_shape", shape, error, shape - z * error, shape + z * error)
    facts = {
        "level": level,
        "lowest": float(shape.min()),
        "highest": float(shape.max()),
        "threshold": float(u[len(u) // 2]),
        "shape": float(shape[len(u) // 2]),
        "exceedances": int(count[len(u) // 2]),
    }
    return Hill(table=table, basis=claims_basis(basis, x.size), facts=facts)


def tail_stability(
    amounts: Any,
    thresholds: Sequence[float] | None = None,
    *,
    level: float = 0.95,
    basis: Basis | None = None,
) -> TailStability:
    """Fit the tail at every threshold and show whether shape and modified scale stay level.

    Parameters are those of :func:`mean_excess`; intervals are symmetric, by the observed information
    (the modified scale's by the delta method).

    Returns
    -------
    TailStability
        ``.table``: threshold, exceedances, tail_shape, std_error, lower, upper, modified_scale and
        its std_error. A threshold whose tail cannot be fitted has nulls. ``.facts``: threshold, the
        lowest whose shape lies inside the interval at every higher one (None where there is none).

    Examples
    --------
    >>> draw = 100.0 * (1 - (np.arange(2000) + 0.5) / 2000) ** -0.5
    >>> found = tail_stability(draw, [150.0, 300.0])
    >>> found.table["tail_shape"].round(2).to_list(), found.facts["threshold"]
    ([0.5, 0.49], 150.0)
    """
    x, u, count = _prepared(amounts, thresholds, level)
    z = float(ndtri((1 + level) / 2))
    rows: list[tuple[float | None, ...]] = []
    for at in u:
        try:
            fit = fit_tail(x, float(at), level=level)
        except InputError:
            rows.append((None,) * 6)
            continue
        covariance = np.array(fit.details["covariance"])
        gradient = np.array([-at, 1.0])
        error, scale_error = (
            math.sqrt(covariance[0, 0]),
            math.sqrt(float(gradient @ covariance @ gradient)),
        )
        xi = fit.shape
        rows.append((xi, error, xi - z * error, xi + z * error, fit.scale - xi * at, scale_error))
    names = ["tail_shape", "std_error", "lower", "upper", "modified_scale", "modified_scale_error"]
    table = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.Float64), orient="row")
    table = pl.DataFrame({"threshold": u, "exceedances": count}).hstack(table)
    good = table.drop_nulls()
    if good.is_empty():
        raise InputError("the tail can be fitted at none of the thresholds")
    level_from = _level_from(good)
    facts = {"level": level, "currency": (basis or Basis()).currency, **level_from}
    return TailStability(table=table, basis=claims_basis(basis, x.size), facts=facts)


def _level_from(good: pl.DataFrame) -> dict[str, float | int | None]:
    shape, low, high = (good[name].to_numpy() for name in ("tail_shape", "lower", "upper"))
    inside = [
        bool(np.all((shape[k] >= low[k + 1 :]) & (shape[k] <= high[k + 1 :])))
        for k in range(shape.size)
    ]
    # the last threshold has nothing above it to disagree with
    k = next((i for i, ok in enumerate(inside[:-1] or inside) if ok), None)
    return {
        "threshold": None if k is None else float(good["threshold"][k]),
        "exceedances": None if k is None else int(good["exceedances"][k]),
        "shape": None if k is None else float(shape[k]),
        "lower": None if k is None else float(low[k]),
        "upper": None if k is None else float(high[k]),
    }


def _prepared(
    amounts: Any, thresholds: Sequence[float] | None, level: float
) -> tuple[Array, Array, npt.NDArray[np.int64]]:
    """Sorted amounts, rising thresholds, and how many claims lie above each."""
    if not 0 < level < 1:
        raise InputError(f"the confidence level must lie between 0 and 1, got {level}")
    x = np.sort(amounts_of(amounts))
    if thresholds is None:
        most = max(x.size // 2, 1)
        ranks = np.unique(np.rint(np.geomspace(min(FEWEST, most), most, 40)).astype(np.int64))
        u = np.unique(x[(x.size - 1 - ranks).clip(0)])
    else:
        u = np.unique(np.asarray(thresholds, dtype=float))
    if not u.size or not np.isfinite(u).all() or u[0] < 0:
        raise InputError("thresholds must be finite and zero or more")
    count = x.size - np.searchsorted(x, u, side="right")
    few = u[count < FEWEST]
    if few.size and thresholds is not None:
        raise InputError(
            f"{few.size} thresholds are exceeded by fewer than {FEWEST} claims, the lowest of them "
            f"{few[0]:,.6g}",
            do="leave them out",
        )
    u, count = u[count >= FEWEST], count[count >= FEWEST]
    if not u.size:
        raise InputError(f"{x.size:,} claims are too few to choose a threshold by")
    return x, u, count


def _slope(u: Array, mean: Array, error: Array) -> float:
    """Slope of the weighted line; 0 for one threshold."""
    if u.size < 2 or not np.all(error > 0):
        return 0.0
    w = 1 / error**2
    centre = (w @ u) / w.sum()
    return float((w * (u - centre)) @ mean / (w @ (u - centre) ** 2))


def _table(
    u: Array,
    count: npt.NDArray[np.int64],
    name: str,
    value: Array,
    error: Array,
    lower: Array,
    upper: Array,
) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "threshold": u,
            "exceedances": count,
            name: value,
            "std_error": error,
            "lower": lower,
            "upper": upper,
        }
    )
