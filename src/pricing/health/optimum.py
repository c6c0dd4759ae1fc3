"""The best discounts within the limits: by least squares or by margin, with shadow prices."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import LinearConstraint, minimize, nnls

from pricing.errors import InputError
from pricing.estimate.design import Floats
from pricing.health.limits import Line

__all__ = ["Optimum", "admissible", "closest", "most_of"]

MOST = 2_000_000  # schedules looked at one by one
NEAR = 1e-9


class Optimum(NamedTuple):
    """Discounts (without the standard group's zero) and the shadow price of every line, 0 or more."""

    discounts: Floats
    prices: Floats


def closest(wanted: Floats, weights: Floats, lines: Sequence[Line]) -> Optimum:
    """Find the discounts closest to the wanted ones: min ½ Σ w (d − f)² with every line held, exactly.

    Parameters
    ----------
    wanted, weights : array of float
        Fair discounts f and their weights above zero.
    lines : sequence of Line
        What must hold.

    Returns
    -------
    Optimum
        A shadow price is the fall of ½ Σ w (d − f)² per unit by which the line's bound is eased.

    Raises
    ------
    InputError
        Where the lines contradict each other: those that do, by name.

    Notes
    -----
    The least-distance problem of Lawson and Hanson, Solving Least Squares Problems (1974), chapter 23:
    with x = √w (d − f), G = −A/√w and h = A f − b, min ‖x‖ with G x ≥ h is solved by the non-negative
    least squares [Gᵀ; hᵀ] u ≈ (0, …, 0, 1); x = −r/r_last for its residual r, and u/(−r_last) are the
    multipliers. No residual: no solution, and the u above zero name the lines that contradict.

    Examples
    --------
    >>> lines = [Line("budget", "", np.array([0.5, 0.5]), 0.1)]
    >>> found = closest(np.array([0.1, 0.2]), np.array([1.0, 1.0]), lines)
    >>> found.discounts.round(6).tolist(), found.prices.round(6).tolist()
    ([0.05, 0.15], [0.1])
    """
    a, b = np.array([line.weights for line in lines]), np.array([line.bound for line in lines])
    root = np.sqrt(weights / weights.mean())
    g, h = -a / root, a @ wanted - b
    stacked = np.vstack([g.T, h])
    u, _ = nnls(stacked, np.r_[np.zeros(len(wanted)), 1.0])
    r = stacked @ u - np.r_[np.zeros(len(wanted)), 1.0]
    if -r[-1] <= 1e-10:
        _contradiction([line for line, own in zip(lines, u, strict=True) if own > 1e-12])
    return Optimum(wanted - r[:-1] / r[-1] / root, u / -r[-1] * weights.mean())


def most_of(value: Callable[[Floats], float], start: Floats, lines: Sequence[Line]) -> Optimum:
    """Find the discounts of most value with every line held, from a start that holds them.

    Parameters
    ----------
    value : callable
        Of the discounts; smooth, such as the margin in currency.
    start : array of float
        Discounts that hold every line, as of :func:`closest`.
    lines : sequence of Line
        What must hold.

    Returns
    -------
    Optimum
        A shadow price is the rise of the value per unit by which the line's bound is eased.

    Raises
    ------
    InputError
        Where the search does not converge.

    Notes
    -----
    Sequential least squares programming (Kraft 1988), as scipy has it; the value is scaled to one at the
    start. A local optimum where the value is not concave.

    Examples
    --------
    >>> lines = [Line("cap", "", np.array([1.0]), 0.2), Line("order", "", np.array([-1.0]), 0.0)]
    >>> found = most_of(lambda d: float(10 * d[0]), np.array([0.1]), lines)
    >>> found.discounts.round(6).tolist(), found.prices.round(4).tolist()
    ([0.2], [10.0, 0.0])
    """
    a, b = np.array([line.weights for line in lines]), np.array([line.bound for line in lines])
    scale = max(abs(value(start)), 1e-300)
    found = minimize(
        lambda d: -value(d) / scale,
        start,
        method="SLSQP",
        constraints=[LinearConstraint(a, -np.inf, b)],
        options={"ftol": 1e-12, "maxiter": 500},
    )
    if not found.success:
        raise InputError(f"no best schedule was found: {found.message}", do="ease the limits")
    return Optimum(np.asarray(found.x), np.abs(np.asarray(found.multipliers)) * scale)


def admissible(groups: int, step: float, cap: float, lines: Sequence[Line]) -> Floats:
    """Give every schedule in whole steps that rises with health and holds every line.

    Parameters
    ----------
    groups : int
        Groups without the standard one.
    step, cap : float
        Discounts are 0, step, 2 step … up to the cap.
    lines : sequence of Line
        What must hold.

    Returns
    -------
    numpy.ndarray
        A row per schedule, a column per group.

    Raises
    ------
    InputError
        For more than 2,000,000 rising schedules; where none holds every line.

    Examples
    --------
    >>> lines = [Line("budget", "", np.array([0.5, 0.5]), 0.06)]
    >>> admissible(2, 0.05, 0.2, lines).tolist()
    [[0.0, 0.0], [0.0, 0.05], [0.0, 0.1], [0.05, 0.05]]
    """
    levels = math.floor(cap / step + NEAR) + 1
    number = math.comb(levels + groups - 1, groups)
    if number > MOST:
        raise InputError(
            f"{number:,} schedules rise in steps of {step:.4g}, too many to look at",
            do=f"take a larger step: {MOST:,} at most",
        )
    rising = np.arange(levels)[:, None]
    for _ in range(groups - 1):  # each schedule goes on at its last level or above
        last = rising[:, -1]
        more = levels - last
        ahead = np.repeat(rising, more, axis=0)
        start = np.repeat(np.cumsum(more) - more, more)
        rising = np.c_[ahead, np.repeat(last, more) + np.arange(len(ahead)) - start]
    schedules = np.round(rising * step, 12)
    a, b = np.array([line.weights for line in lines]), np.array([line.bound for line in lines])
    held = schedules @ a.T <= b + NEAR
    kept: Floats = schedules[held.all(axis=1)]
    if not len(kept):
        worst = np.argsort(held.mean(axis=0))[:3]
        raise InputError(
            f"none of {number:,} schedules in steps of {step:.4g} holds every limit",
            faults=[f"{_name(lines[i])} holds in {held[:, i].sum():,} of them" for i in worst],
            do="ease a limit, or take a smaller step",
        )
    return kept


def _contradiction(lines: Sequence[Line]) -> None:
    raise InputError(
        "no schedule holds every limit: these contradict each other",
        faults=[f"{_name(line)}, bound {line.bound:+.4f}" for line in lines],
        do="ease one of them",
    )


def _name(line: Line) -> str:
    return f"{line.limit} ({line.at})" if line.at else line.limit
