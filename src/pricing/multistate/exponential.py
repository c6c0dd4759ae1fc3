"""Transition probabilities exp(Qt) of many intensity matrices at once, with their derivatives.

With Q = VΛV⁻¹, P(t) = V e^{Λt} V⁻¹ and its derivative in the direction E is V(G ∘ Φ)V⁻¹, G = V⁻¹EV and
Φ(i,j) the divided difference of e^{λt} at λᵢ and λⱼ (Kalbfleisch and Lawless 1985, JASA 80, section 3;
Daleckii and Krein 1965). The second derivative takes the second divided differences. A matrix whose
eigenvectors are nearly dependent (equal rates in a row of states) goes by scaling and squaring of
Taylor's series instead, its derivative carried along (Al-Mohy and Higham 2009); and so do times over
which some state is hardly ever reached, whose small chances the eigenvectors leave few digits of.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations_with_replacement, permutations
from typing import Any

import numpy as np
import numpy.typing as npt

from pricing.estimate.design import Floats

__all__ = [
    "SMALL",
    "Spectrum",
    "differences",
    "exponentials",
    "second_differences",
    "series",
    "spectrum",
    "unsure",
]

WORST_CONDITION = 1e4  # of the eigenvectors: leaves twelve digits in P
SMALL = 1e-6  # chances below it, of states that can be reached, go by the series
NEAR = 0.2  # below this spread, the second differences go by their series


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues λ, eigenvectors V and V⁻¹ of matrices, and which of them can be trusted."""

    values: Any
    vectors: Any
    inverse: Any
    sound: npt.NDArray[np.bool_]


def spectrum(matrices: Floats) -> Spectrum:
    """Decompose intensity matrices.

    Parameters
    ----------
    matrices : array, groups × states × states

    Examples
    --------
    >>> found = spectrum(np.array([[[-0.5, 0.5], [0.0, 0.0]], [[-1.0, 1.0], [0.0, -1.0]]]))
    >>> found.sound.tolist()
    [True, False]
    """
    values, vectors = np.linalg.eig(matrices)
    with np.errstate(all="ignore"):
        sound = np.asarray(np.linalg.cond(vectors) < WORST_CONDITION)
    vectors = np.where(sound[:, None, None], vectors, np.eye(matrices.shape[-1]))
    return Spectrum(values, vectors, np.linalg.inv(vectors), sound)


def differences(values: Any) -> Any:
    """First divided differences of exp at every pair of values in the last axis.

    e^{(a+b)/2} sinh(h)/h with h = (a − b)/2, which stands at equal values too.

    Examples
    --------
    >>> differences(np.array([0.0, 1.0])).round(6).tolist()
    [[1.0, 1.718282], [1.718282, 2.718282]]
    """
    a, b = values[..., :, None], values[..., None, :]
    half = (a - b) / 2
    small = np.abs(half) < 1e-4
    safe = np.where(small, 1.0, half)
    # e^{mean} sinh(h)/h as (e^a − e^b)/(a − b) does not overflow where h is large
    ratio = (np.exp(a) - np.exp(b)) / (2 * safe)
    return np.where(small, np.exp((a + b) / 2) * (1 + half * half / 6), _sinh(a, b, half, ratio))


def _sinh(a: Any, b: Any, half: Any, ratio: Any) -> Any:
    middling = np.abs(half) < 1.0
    inner = np.where(middling, half, 1.0)
    safe = np.where(inner == 0, 1.0, inner)
    return np.where(middling, np.exp((a + b) / 2) * np.sinh(safe) / safe, ratio)


def second_differences(values: Any) -> Any:
    """Second divided differences of exp at every triple of values in the last axis.

    Across the widest of the three gaps from the first ones; by the series Σ hₖ/(k+2)! of complete
    symmetric polynomials where all three are close.

    Examples
    --------
    >>> second_differences(np.zeros(1)).tolist()  # half the second derivative
    [[[0.5]]]
    """
    size = values.shape[-1]
    first = differences(values)
    # they do not change with the order of the three: each combination once
    i, j, k = np.array(list(combinations_with_replacement(range(size), 3))).T
    a, b, c = values[..., i], values[..., j], values[..., k]
    ab, bc, ac = first[..., i, j], first[..., j, k], first[..., i, k]
    wide_ac, wide_ab, wide_bc = np.abs(a - c), np.abs(a - b), np.abs(b - c)
    widest = np.maximum(np.maximum(wide_ac, wide_ab), wide_bc)
    top = np.where(wide_ac == widest, ab - bc, np.where(wide_ab == widest, ac - bc, ab - ac))
    gap = np.where(wide_ac == widest, a - c, np.where(wide_ab == widest, a - b, b - c))
    close = widest < NEAR
    found = top / np.where(close, 1.0, gap)
    x, y, z = a[close], b[close], c[close]
    mean = (x + y + z) / 3
    found[close] = np.exp(mean) * _symmetric(x - mean, y - mean, z - mean)
    place = np.empty((size, size, size), dtype=np.intp)
    for order in permutations((i, j, k)):
        place[order] = np.arange(len(i))
    return found[..., place]


def _symmetric(x: Any, y: Any, z: Any) -> Any:
    """Σ hₖ(x, y, z)/(k + 2)!, by hₖ = e₁hₖ₋₁ − e₂hₖ₋₂ + e₃hₖ₋₃ with e₁ = 0."""
    e2, e3 = x * y + y * z + x * z, x * y * z
    h = [np.ones_like(e2), np.zeros_like(e2), -e2]
    total, factorial = 0.5 * h[0] - e2 / 24, 24.0
    for k in range(3, 11):
        h.append(-e2 * h[k - 2] + e3 * h[k - 3])
        factorial *= k + 2
        total = total + h[k] / factorial
    return total


def exponentials(matrices: Floats, times: Floats, at: npt.NDArray[np.intp] | None = None) -> Floats:
    """Transition probabilities over times: exp(Q·t), one matrix for each.

    Parameters
    ----------
    matrices : array, groups × states × states
        Intensities per year.
    times : array
        Years.
    at : integer array, optional
        Which matrix each time takes; the only one, or one each, where left out.

    Examples
    --------
    >>> exponentials(np.array([[[-0.5, 0.5], [0.0, 0.0]]]), np.array([2.0])).round(6).tolist()
    [[[0.367879, 0.632121], [0.0, 1.0]]]
    """
    if at is None:
        at = np.zeros(len(times), int) if len(matrices) == 1 else np.arange(len(times))
    parts = spectrum(matrices)
    return _exponentials(parts, matrices, times, at)


def _exponentials(
    parts: Spectrum, matrices: Floats, times: Floats, at: npt.NDArray[np.intp]
) -> Floats:
    grown = np.exp(parts.values[at] * times[:, None])
    found = np.asarray(((parts.vectors[at] * grown[:, None, :]) @ parts.inverse[at]).real)
    poor = np.flatnonzero(~parts.sound[at] | unsure(found, matrices, at))
    if len(poor):
        found[poor] = series(matrices[at[poor]] * times[poor, None, None])[0]
    return found


def unsure(found: Floats, matrices: Floats, at: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
    """Which probabilities have a chance, of a state that can be reached, too small for eigenvectors.

    Examples
    --------
    >>> q = np.array([[[-0.5, 0.5], [0.0, 0.0]]])
    >>> unsure(np.array([[[0.9, 0.1], [0.0, 1.0]], [[1.0, 1e-9], [0.0, 1.0]]]), q, np.zeros(2, int)).tolist()
    [False, True]
    """
    size = matrices.shape[-1]
    reach = (matrices != 0) | np.eye(size, dtype=bool)
    for k in range(size):
        reach |= reach[:, :, [k]] & reach[:, [k], :]
    return np.asarray(((found < SMALL) & reach[at]).any(axis=(1, 2)))


def series(matrices: Floats, directions: Floats | None = None) -> tuple[Floats, Floats]:
    """Exponentials by scaling and squaring, and their derivatives in the directions given.

    Parameters
    ----------
    matrices : array, n × states × states
    directions : array, n × directions × states × states, optional

    Examples
    --------
    >>> value, slope = series(np.zeros((1, 1, 1)), np.ones((1, 1, 1, 1)))
    >>> value.item(), slope.item()
    (1.0, 1.0)
    """
    size = matrices.shape[-1]
    norm = float(np.abs(matrices).sum(axis=-1).max(initial=0.0))
    squarings = max(0, int(np.ceil(np.log2(norm / 0.5)))) if norm > 0 else 0
    a = (matrices / 2.0**squarings)[:, None]
    e = np.zeros((len(a), 0, size, size)) if directions is None else directions / 2.0**squarings
    value = term = np.broadcast_to(np.eye(size), a.shape).copy()
    slope = slant = np.zeros_like(e)
    for k in range(1, 16):
        slant = (slant @ a + term @ e) / k
        term = term @ a / k
        value, slope = value + term, slope + slant
    for _ in range(squarings):
        slope = slope @ value + value @ slope
        value = value @ value
    return value[:, 0], slope
