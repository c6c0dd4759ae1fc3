"""Relativities of segments pooled towards one, the variance between them integrated out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pricing.errors import InputError

__all__ = ["PooledRelativities", "pooled_relativities"]

Floats = NDArray[np.float64]
GRID = 400


class PooledRelativities(NamedTuple):
    """Posterior of segments' relativities: mean, credibility of the own figure, draws × segments."""

    mean: Floats
    credibility: Floats
    draws: Floats


def pooled_relativities(
    observed: Floats,
    variance: Floats,
    *,
    draws: int,
    rng: np.random.Generator,
    spread: float = 0.25,
) -> PooledRelativities:
    """Give each segment's relativity the credibility its own experience earns, with all of the error.

    Bühlmann–Straub with the complement 1 (the book's figure), except that the variance between
    segments is not put in at one estimate: with three tiers or five regions it is hardly known, so
    it is averaged over what the segments allow. The draws carry the chance in the own figure, the
    pull towards 1, and the doubt about how much segments differ.

    Parameters
    ----------
    observed : array, segments
        Own figure over the book's.
    variance : array, segments
        Variance of the own figure by chance alone, above zero.
    draws : int
        Draws of the posterior.
    rng : numpy.random.Generator
        Where they come from.
    spread : float
        Scale of the half-normal prior of the standard deviation between segments: with 0.25, nearly
        all segments lie within a factor of two of the book.

    Returns
    -------
    PooledRelativities

    Raises
    ------
    InputError
        For values that are not finite, variances not above zero.

    Notes
    -----
    x_s | r_s ~ N(r_s, v_s), r_s ~ N(1, a²), a ~ half-normal(spread). Given a, the posterior of r_s has
    mean Z x_s + (1 − Z) and variance Z v_s, Z = a² / (a² + v_s); a is drawn from its own posterior on
    a grid. Source: Gelman et al. (2013), Bayesian Data Analysis, 3rd ed., section 5.4; Gelman (2006)
    on the prior of a.

    Examples
    --------
    >>> found = pooled_relativities(np.array([0.8, 1.2]), np.array([0.0001, 0.0001]), draws=500,
    ...                             rng=np.random.default_rng(1))
    >>> found.mean.round(2).tolist(), bool(found.credibility.min() > 0.99)
    ([0.8, 1.2], True)
    """
    x, v = np.asarray(observed, float), np.asarray(variance, float)
    if not (np.isfinite(x).all() and np.isfinite(v).all() and (v > 0).all() and spread > 0):
        raise InputError(
            "relativities that cannot be pooled",
            do="give finite figures and variances above zero",
        )
    scale = np.linspace(0.0, 4 * spread, GRID)
    total = v[None, :] + scale[:, None] ** 2
    log = -0.5 * (np.log(total) + (x - 1) ** 2 / total).sum(axis=1) - scale**2 / (2 * spread**2)
    weight = np.exp(log - log.max())
    weight /= weight.sum()
    z = scale[:, None] ** 2 / total
    credibility = weight @ z
    mean = weight @ (z * x + (1 - z))
    at = rng.choice(GRID, size=draws, p=weight)
    centre = z[at] * x + (1 - z[at])
    drawn = centre + np.sqrt(z[at] * v) * rng.standard_normal((draws, x.size))
    return PooledRelativities(mean, credibility, np.maximum(drawn, 1e-6))
