"""The cells of a trend brought to periods: the mix of factors held at its average."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import polars as pl

from pricing.claims.models import fit_frequency
from pricing.errors import InputError
from pricing.estimate.design import Floats
from pricing.experience.cells import Experience
from pricing.trend.totals import MOMENTS, Totals

__all__ = ["Fitted", "fit_mix", "inverse_information"]


class Fitted(NamedTuple):
    """A fit brought to periods.

    Attributes
    ----------
    coefficients : array
        Of the time columns, the level at the average mix.
    exposure, weight, total, mean : array
        By period: what the data hold; the weight at the average mix, times completion; claims or
        amounts; fitted ones.
    scores, bread : array
        Periods × columns, and inverse information: time columns, then those of the mix.
    rows : int
        Cells fitted.
    meat : array or None
        Σxx'(y − wμ)² over the rows behind the cells, from their second moments; its sum over rows
        without x is ``squares``.
    """

    coefficients: Floats
    exposure: Floats
    weight: Floats
    total: Floats
    mean: Floats
    scores: Floats
    bread: Floats
    rows: int
    meat: Floats | None
    squares: float | None


def fit_mix(totals: Totals, z: Floats, share: Floats, by: tuple[str, ...]) -> Fitted:
    """Fit time and mix on cells, and bring them to period totals at the average mix.

    Parameters
    ----------
    totals : Totals
        Cells of periods and factors.
    z : array, periods × columns
        The time axis.
    share : array
        Completion by period.
    by : tuple of str
        Factors of the mix.

    Raises
    ------
    InputError
        Where time and mix cannot be told apart, and as the fit.

    Notes
    -----
    log E[y_c] = ln(e_c·completion_t) + z_t'β + (x_c − x̄)'γ, x̄ the mean under the fitted weights
    W_c = e_c·completion_t·exp(x_c'γ), which are scaled to Σe·completion. Given γ the sums of W and
    y by period have the same β: the likelihood is Poisson's.

    Examples
    --------
    >>> from datetime import date
    >>> from pricing.result.shape import Basis
    >>> days = [date(2023, 1, 1), date(2024, 1, 1), date(2025, 1, 1)]
    >>> cells = pl.DataFrame({"first": [str(d) for d in days], "weight": 1.0, "total": [1.0, 2.0, 4.0]})
    >>> z = np.column_stack([np.ones(3), [-1.0, 0.0, 1.0]])
    >>> fit_mix(Totals(days, cells, Basis()), z, np.ones(3), ()).coefficients.round(6).tolist()
    [0.693147, 0.693147]
    """
    k = z.shape[1]
    place = {first.isoformat(): i for i, first in enumerate(totals.firsts)}
    at = pl.col("first").cast(pl.String)
    cells = totals.cells.with_columns(
        _effective=pl.col("weight")
        * at.replace_strict(list(place), share.tolist(), return_dtype=pl.Float64)
    )
    moments = [n for n in MOMENTS if n in cells.columns]
    seen = Experience.collect(
        cells, ["first", *by], exposure="_effective", claims="total", sums=["weight", *moments]
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
    meat, squares = None, None
    if moments:
        squared, crossed, wide = (seen.values(n) for n in MOMENTS)
        rate = mixed * np.exp(z @ beta)[period] / seen.values("weight")  # per what the data hold
        own = np.maximum(squared - 2 * rate * crossed + rate**2 * wide, 0)
        meat, squares = other.T @ (own[:, None] * other), float(own.sum())
    return Fitted(
        beta, exposure, w, by_period(total), mean, scores, bread, seen.basis.rows, meat, squares
    )


def inverse_information(information: Floats) -> Floats | None:
    """Invert an information matrix; None where it is singular to rounding.

    Examples
    --------
    >>> inverse_information(np.diag([4.0, 1e8])).tolist(), inverse_information(np.ones((2, 2)))
    ([[0.25, 0.0], [0.0, 1e-08]], None)
    """
    scale = 1 / np.sqrt(np.diag(information))
    scaled = information * np.outer(scale, scale)
    if not np.isfinite(scaled).all() or np.linalg.cond(scaled) > 1e13:
        return None
    return np.asarray(np.linalg.inv(scaled) * np.outer(scale, scale))
