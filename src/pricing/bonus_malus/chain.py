"""The chain that a scale makes: stationary shares, shares by year, and how they answer to the risk.

Source: Norris (1997), Markov Chains, chapter 1; Denuit, Maréchal, Pitrebois and Walhin (2007), chapter 4.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse.csgraph import connected_components

from pricing.errors import InputError
from pricing.estimate.design import Floats

__all__ = ["shares_by_year", "stationary_derivative", "stationary_shares", "total_variation"]


def stationary_shares(matrices: Floats) -> Floats:
    """Shares of the states that a year leaves as they are, π = πP with Σπ = 1.

    Parameters
    ----------
    matrices : array, (..., states, states)
        Transition matrices; rows add to 1.

    Returns
    -------
    array, (..., states)

    Raises
    ------
    InputError
        Where they are no transition matrices, or where the long run depends on the start.

    Examples
    --------
    >>> stationary_shares(np.array([[0.9, 0.1], [0.3, 0.7]])).round(6).tolist()
    [0.75, 0.25]
    """
    p = _require(matrices)
    system, right = _system(p), np.zeros(p.shape[:-1])
    right[..., -1] = 1.0
    found = _solve(system, right)
    if (
        _closed_sets(p) > 1
        or not np.isfinite(found).all()
        or (found < -1e-7).any()
        or _gap(found, p) > 1e-7
    ):
        raise InputError(
            "the long run depends on the start: there is more than one closed set of levels",
            do="look at shares_by_year from the start you mean",
        )
    found = np.maximum(found, 0.0)
    return np.asarray(found / found.sum(axis=-1, keepdims=True))


def stationary_derivative(shares: Floats, matrices: Floats, change: Floats) -> Floats:
    """Derivative of the stationary shares, given the derivative of the matrices: π′(I − P) = πP′.

    Examples
    --------
    >>> p = np.array([[0.9, 0.1], [0.3, 0.7]])
    >>> stationary_derivative(stationary_shares(p), p, np.array([[-1.0, 1.0], [0.0, 0.0]])).round(6).tolist()
    [-1.875, 1.875]
    """
    system = _system(_require(matrices))
    right = -np.einsum("...s,...st->...t", shares, change)
    right[..., -1] = 0.0
    return _solve(system, right)


def shares_by_year(start: Floats, matrices: Floats, years: int) -> Floats:
    """Shares of the states at the start and after each year.

    Parameters
    ----------
    start : array, (..., states)
    matrices : array, (..., states, states)
    years : int
        From 0.

    Returns
    -------
    array, (years + 1, ..., states)

    Examples
    --------
    >>> shares_by_year(np.array([1.0, 0.0]), np.array([[0.9, 0.1], [0.3, 0.7]]), 2).round(6).tolist()
    [[1.0, 0.0], [0.9, 0.1], [0.84, 0.16]]
    """
    if isinstance(years, bool) or not isinstance(years, int) or years < 0:
        raise InputError(f"years must be a whole number from 0, got {years!r}")
    p, start = _require(matrices), _numbers(start)
    if not start.ndim or start.shape[-1] != p.shape[-1]:
        raise InputError(f"{p.shape[-1]} shares at the start are wanted, got {start.shape}")
    if not np.isfinite(start).all() or (start < 0).any():
        raise InputError("shares at the start must be zero or more")
    found = np.empty((years + 1, *np.broadcast_shapes(start.shape, p.shape[:-1])))
    found[0] = start
    for t in range(years):  # each year rests on the one before
        found[t + 1] = np.einsum("...s,...st->...t", found[t], p)
    return found


def total_variation(one: Floats, other: Floats) -> Floats:
    """Distance of two sets of shares, ½ Σ|p − q|: 0 the same, 1 nothing in common.

    Examples
    --------
    >>> float(total_variation(np.array([1.0, 0.0]), np.array([0.5, 0.5])))
    0.5
    """
    return np.asarray(np.abs(one - other).sum(axis=-1) / 2)


def _require(matrices: Floats) -> Floats:
    p = _numbers(matrices)
    if p.ndim < 2 or p.shape[-1] != p.shape[-2]:
        raise InputError(f"transition matrices must be square, got an array of shape {p.shape}")
    if not np.isfinite(p).all() or (p < 0).any() or (abs(p.sum(axis=-1) - 1) > 1e-9).any():
        raise InputError("rows of a transition matrix must be zero or more and add to 1")
    return p


def _numbers(given: Floats) -> Floats:
    try:
        return np.asarray(given, dtype=float)
    except (TypeError, ValueError) as error:
        raise InputError(f"shares must be numbers: {error}") from error


def _closed_sets(p: Floats) -> int:
    """Largest number of sets of states that nobody leaves, over the matrices.

    With two of them the equations have many answers, and rounding may pick one.
    """
    n = p.shape[-1]
    most = 0
    for moves in np.unique((p > 0).reshape(-1, n * n), axis=0):  # few patterns, many matrices
        sets, of = connected_components(moves.reshape(n, n), connection="strong")
        leaves = moves.reshape(n, n) & (of[:, None] != of[None, :])
        most = max(most, sets - len(np.unique(of[leaves.any(axis=1)])))
    return most


def _system(p: Floats) -> Floats:
    system = np.swapaxes(p, -1, -2) - np.eye(p.shape[-1])
    system[..., -1, :] = 1.0  # one equation follows from the others; the shares add to 1 instead
    return system


def _solve(system: Floats, right: Floats) -> Floats:
    try:
        return np.asarray(np.linalg.solve(system, right[..., None])[..., 0])
    except np.linalg.LinAlgError:
        return np.full(right.shape, np.nan)


def _gap(found: Floats, p: Floats) -> float:
    return float(np.abs(np.einsum("...s,...st->...t", found, p) - found).max())
