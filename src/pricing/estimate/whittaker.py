"""Whittaker–Henderson smoothing of equally spaced values, on arrays.

The smooth g minimises Σ w(y − g)² + λ Σ (Δᵈg)², so (W + λP)g = Wy with P = DᵀD of differences of
order d: a symmetric system of bandwidth d. Its moments Σ w(y − g)xᵏ vanish for k < d; λ → 0 gives
back y, λ → ∞ the weighted polynomial of degree d − 1. Read as a prior λP on g, the posterior
variance of g is σ²(W + λP)⁻¹ where Var y = σ²/w.

Sources: Whittaker (1923); Henderson (1924); Wahba (1983) and Nychka (1988) for the band; Craven and
Wahba (1979) and Kim and Gu (2004) for the choice of λ; Biessy (2023) for the penalised likelihood.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from math import comb

import numpy as np
import numpy.typing as npt
from scipy.linalg import solveh_banded
from scipy.optimize import minimize_scalar

from pricing.errors import InputError

__all__ = ["Smooth", "choose_smoothing", "penalised_poisson", "whittaker"]

Floats = npt.NDArray[np.float64]
GRID = np.arange(-4.0, 9.01, 0.25)


@dataclass(frozen=True)
class Smooth:
    """A smooth curve with what its band and the choice of λ need.

    Attributes
    ----------
    fitted : array
        g, on the scale that was smoothed.
    variance : array
        Diagonal of (W + λP)⁻¹; times σ² it is the posterior variance of g.
    effective : float
        Effective parameters: the trace of (W + λP)⁻¹W.
    criterion : float
        Generalised cross-validation, m·Σw(y − g)²/(m − 1.4·effective)², m the values with weight;
        the 1.4 keeps it from taking chance for shape (Kim and Gu 2004). Infinite where nothing is
        left to judge by.
    """

    fitted: Floats
    variance: Floats
    effective: float
    criterion: float


def whittaker(values: Floats, weights: Floats, *, order: int = 2, smoothing: float) -> Smooth:
    """Smooth values by penalised weighted least squares, exactly.

    Parameters
    ----------
    values : array of shape (n,)
        Crude values at equal steps; read only where the weight is above zero.
    weights : array of shape (n,)
        Inverse variances up to a factor, such as exposure; zero where nothing was seen, at least
        ``order`` of them above zero.
    order : int
        d, the order of the differences penalised: 1, 2 or 3.
    smoothing : float
        λ ≥ 0 in the units of the weights; infinite for the polynomial.

    Raises
    ------
    InputError
        For an order or a λ outside its domain, and too few values with weight.

    Examples
    --------
    >>> smooth = whittaker(np.array([1.0, 1.2, 0.0, 1.6, 1.8]), np.array([1.0, 1.0, 0.0, 1.0, 1.0]),
    ...                    smoothing=10.0)
    >>> smooth.fitted.round(6).tolist()
    [1.0, 1.2, 1.4, 1.6, 1.8]
    """
    some = weights > 0
    if order not in (1, 2, 3):
        raise InputError(f"the order of the differences must be 1, 2 or 3, got {order}")
    if not smoothing >= 0:
        raise InputError(f"smoothing must be zero or more, got {smoothing}")
    if some.sum() < max(order, 1) or (smoothing == 0 and not some.all()):
        raise InputError(
            f"{int(some.sum())} of {len(weights)} levels have weight, too few to smooth with "
            f"order {order} and smoothing {smoothing:g}"
        )
    y = np.where(some, values, 0.0)
    fitted = _solve(weights, order, smoothing, weights * y)
    variance = _solve(weights, order, smoothing, np.eye(len(y))).diagonal().copy()
    effective = float((variance * weights).sum())
    loss = float((weights * (y - fitted) ** 2).sum())
    return Smooth(fitted, variance, effective, _criterion(loss, int(some.sum()), effective))


def penalised_poisson(claims: Floats, base: Floats, *, order: int = 2, smoothing: float) -> Smooth:
    """Smooth the log of a rate by penalised Poisson likelihood.

    Maximises Σ(n ln μ − μ) − λ/2·Σ(Δᵈη)², μ = b·exp(η), by iterated :func:`whittaker` with
    weights μ; ``fitted`` is η, the criterion takes the deviance for the loss.

    Parameters
    ----------
    claims, base : array of shape (n,)
        Claims (or amounts) and exposure (or expected), zero where nothing was seen.
    order, smoothing
        As in :func:`whittaker`.

    Raises
    ------
    InputError
        As :func:`whittaker`; where the iteration does not settle.

    Examples
    --------
    >>> smooth = penalised_poisson(np.array([2.0, 4.0, 8.0]), np.ones(3), smoothing=100.0)
    >>> np.exp(smooth.fitted).round(6).tolist()
    [2.0, 4.0, 8.0]
    """
    eta = np.full(len(claims), math.log(claims.sum() / base.sum()))
    smooth = whittaker(eta, base, order=order, smoothing=smoothing)  # refuses what it refuses
    for _ in range(100):
        mean = base * np.exp(eta)
        target = _solve(mean, order, smoothing, mean * eta + claims - mean)
        step = np.clip(target - eta, -2, 2)  # a first step can overshoot by far
        eta = eta + step
        if eta[base > 0].min() < -700:  # a rate of zero
            break
        if np.abs(step).max() < 1e-9:
            some, mean = base > 0, base * np.exp(eta)
            smooth = whittaker(eta, mean, order=order, smoothing=smoothing)
            ratio = np.where(claims > 0, claims, 1.0) / np.where(some, mean, 1.0)
            terms = np.where(claims > 0, claims * np.log(ratio), 0.0) - claims + mean
            loss = 2 * float(terms[some].sum())
            criterion = _criterion(loss, int(some.sum()), smooth.effective)
            return Smooth(eta, smooth.variance, smooth.effective, criterion)
    raise InputError(
        "the penalised Poisson fit did not settle", do="smooth more, or take scale='rate'"
    )


def choose_smoothing(fit: Callable[[float], Smooth], unit: float) -> float:
    """Find the λ of least generalised cross-validation; infinite where more is always better.

    Parameters
    ----------
    fit : callable
        λ to :class:`Smooth`.
    unit : float
        Mean weight: λ is sought from 1e-4 to 1e9 times it.

    Examples
    --------
    >>> straight = np.arange(9.0) + np.tile([0.1, -0.1, 0.1], 3)
    >>> choose_smoothing(lambda s: whittaker(straight, np.ones(9), smoothing=s), 1.0)
    inf
    """

    def score(power: float) -> float:
        try:
            return fit(unit * 10.0**power).criterion
        except InputError:  # too rough to have a fit: no candidate
            return math.inf

    scores = [score(power) for power in GRID]
    best = int(np.argmin(scores))
    if best == len(GRID) - 1 or fit(math.inf).criterion <= scores[best]:
        return math.inf
    around = GRID[max(best - 1, 0)], GRID[best + 1]
    found = minimize_scalar(score, bounds=around, method="bounded", options={"xatol": 1e-6})
    return float(unit * 10.0 ** (found.x if found.fun <= scores[best] else GRID[best]))


def _criterion(loss: float, seen: int, effective: float) -> float:
    left = seen - 1.4 * effective
    return seen * loss / left**2 if left > 0 else math.inf


def _solve(weights: Floats, order: int, smoothing: float, right: Floats) -> Floats:
    """Solve (W + λP)x = right; for infinite λ, project on the polynomials."""
    if math.isinf(smoothing):
        x = np.vander(np.linspace(-1, 1, len(weights)), order)
        solved = np.linalg.pinv(x * np.sqrt(weights)[:, None])
        projected: Floats = x @ (solved @ (solved.T @ (x.T @ right)))
        return projected
    matrix = smoothing * _penalty(len(weights), order)
    matrix[0] += weights
    found: Floats = solveh_banded(matrix, right, lower=True)
    return found


def _penalty(n: int, order: int) -> Floats:
    """Give DᵀD of differences as the lower band that scipy's solver reads."""
    signs = [(-1) ** k * comb(order, k) for k in range(order + 1)]
    band = np.zeros((order + 1, n))
    for t, a in enumerate(signs):
        for s, b in enumerate(signs[: t + 1]):
            band[t - s, s : s + n - order] += a * b
    return band
