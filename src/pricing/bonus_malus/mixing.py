"""Latent risk: a distribution of risk factors over the book, as points with weights.

Points and weights are those of Gauss quadrature, so that integrals of the smooth shares of a
bonus-malus scale are exact to many digits. Source: Denuit, Maréchal, Pitrebois and Walhin (2007),
section 2.7; Abramowitz and Stegun (1964), 25.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh_tridiagonal
from scipy.special import roots_genlaguerre, roots_hermitenorm

from pricing.errors import InputError
from pricing.estimate.design import Floats

__all__ = ["Mixing", "discrete_mixing", "gamma_mixing", "normal_mixing"]


LARGE = 100.0  # shape above which the library's rule overflows


@dataclass(frozen=True)
class Mixing:
    """Points of the latent variable with their weights, which add to 1.

    Parameters
    ----------
    points, weights : tuple of float
        As many of each; weights zero or more.

    Examples
    --------
    >>> Mixing((0.5, 1.5), (0.5, 0.5)).mean
    1.0
    """

    points: tuple[float, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        x, w = np.array(self.points, dtype=float), np.array(self.weights, dtype=float)
        if not len(x) or len(x) != len(w) or not np.isfinite(x).all() or not np.isfinite(w).all():
            raise InputError(f"{len(x)} points and {len(w)} weights, all finite, are no mixing")
        if (w < 0).any() or abs(w.sum() - 1) > 1e-9:
            raise InputError(f"weights must be zero or more and add to 1, not {w.sum():.6g}")

    @property
    def mean(self) -> float:
        """Mean of the latent variable."""
        return float(np.dot(self.points, self.weights))

    @property
    def variance(self) -> float:
        """Variance of the latent variable."""
        return float(np.dot((np.array(self.points) - self.mean) ** 2, self.weights))


def gamma_mixing(shape: float, *, points: int = 64) -> Mixing:
    """Risk factors Gamma(a, a): mean 1, variance 1/a, as of a negative binomial book.

    Parameters
    ----------
    shape : float
        a, above zero; 1/a is the variance of the risk factor.
    points : int
        Points of the Gauss–Laguerre rule, from 1; exact for polynomials up to degree 2·points − 1.

    Returns
    -------
    Mixing

    Examples
    --------
    >>> mixing = gamma_mixing(0.8888)
    >>> round(mixing.mean, 12), round(mixing.variance * 0.8888, 12)
    (1.0, 1.0)
    """
    if isinstance(shape, bool) or not isinstance(shape, (int, float)) or not 0 < shape < np.inf:
        raise InputError(f"the shape must be a number above zero, got {shape!r}")
    _require_points(points)
    if shape <= LARGE:
        x, w = roots_genlaguerre(points, shape - 1.0)
    else:  # the same rule by its recurrence, whose weights do not overflow (Golub and Welsch 1969)
        k = np.arange(points, dtype=float)
        x, vectors = eigh_tridiagonal(2 * k + shape, np.sqrt(k[1:] * (k[1:] + shape - 1)))
        w = vectors[0] ** 2
    return _mixing(x / shape, w)


def normal_mixing(*, mean: float = 0.0, sd: float = 1.0, points: int = 64) -> Mixing:
    """Latent health, normal.

    Parameters
    ----------
    mean, sd : float
        sd zero or more.
    points : int
        Points of the Gauss–Hermite rule, from 1.

    Returns
    -------
    Mixing

    Examples
    --------
    >>> mixing = normal_mixing()
    >>> round(mixing.variance, 12)
    1.0
    """
    right = all(isinstance(v, int | float | np.number) for v in (mean, sd))
    if not right or not np.isfinite(mean) or not 0 <= sd < np.inf:
        raise InputError(f"mean {mean!r} and sd {sd!r} must be finite, sd zero or more")
    _require_points(points)
    x, w = roots_hermitenorm(points)
    return _mixing(mean + sd * x, w)


def discrete_mixing(points: Sequence[float], weights: Sequence[float] | None = None) -> Mixing:
    """Any other distribution, by its points; equal weights where none are given.

    Examples
    --------
    >>> discrete_mixing([0.6, 1.4]).mean
    1.0
    """
    x = np.array([float(p) for p in points])
    w = np.ones(len(x)) if weights is None else np.array([float(v) for v in weights])
    if not len(x) or len(w) != len(x) or not (w >= 0).all() or not 0 < w.sum() < np.inf:
        raise InputError("there must be points, each with a weight of zero or more")
    return _mixing(x, w)


def _mixing(points: Floats, weights: Floats) -> Mixing:
    kept = weights > 0  # far points of a long rule weigh less than the smallest number
    w = weights[kept] / weights[kept].sum()
    return Mixing(tuple(points[kept].tolist()), tuple(w.tolist()))


def _require_points(points: int) -> None:
    if isinstance(points, bool) or not isinstance(points, int) or not 1 <= points <= 150:
        raise InputError(f"points must be a whole number from 1 to 150, got {points!r}")
