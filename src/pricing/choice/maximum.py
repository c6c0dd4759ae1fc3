"""The maximum of a likelihood of choices, and what is said when there is none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from pricing.errors import InputError
from pricing.estimate.design import Floats

__all__ = ["Maximum", "maximise", "slopes_of"]

MOST_STEPS = 60
SETTLED = 1e-10  # Newton's decrement: twice what the log-likelihood may still gain
FLAT = 1e-9  # smallest eigenvalue of the information scaled to a unit diagonal
WIDE = 20.0  # standard error of a coefficient on its own scale: no interval to speak of


@dataclass(frozen=True)
class Maximum:
    """Parameters at the maximum, their inverse observed information, the log-likelihood."""

    parameters: Floats
    inverse: Floats
    value: float


def maximise(
    function: Callable[[Floats], tuple[float, Floats]],
    start: Floats,
    scale: Floats,
    names: Sequence[str],
) -> Maximum:
    """Find the maximum of a log-likelihood by L-BFGS, then Newton's method to the last digits.

    Parameters
    ----------
    function : callable
        Parameters to log-likelihood and score.
    start : array
        Parameters to begin with.
    scale : array
        Size of what each parameter multiplies, so that steps are alike.
    names : sequence of str
        What each is, for the refusals.

    Raises
    ------
    InputError
        Where the information is singular, intervals would have no end, or no maximum is found.

    Notes
    -----
    The information is the central difference of the score. Source: Nocedal and Wright (2006), Numerical
    Optimization, chapters 3 and 7.

    Examples
    --------
    >>> def one(t):  # 30 of 100 take it
    ...     share = 1 / (1 + np.exp(-t[0]))
    ...     return 30 * np.log(share) + 70 * np.log(1 - share), np.array([30 - 100 * share])
    >>> found = maximise(one, np.zeros(1), np.ones(1), ["constant"])
    >>> round(float(found.parameters[0]), 6), round(float(found.inverse[0, 0]), 6)
    (-0.847298, 0.047619)
    """

    def scaled(at: Floats) -> tuple[float, Floats]:
        value, score = function(at / scale)
        return value, score / scale

    size = max(abs(function(start)[0]), 1.0)
    first = minimize(
        lambda at: tuple(-v / size for v in scaled(at)),
        start * scale,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 500, "gtol": 1e-7},
    )
    at = np.asarray(first.x, dtype=np.float64)
    value, score = scaled(at)
    gain = np.inf
    for _ in range(MOST_STEPS):
        if not np.isfinite(value):
            break
        information = -slopes_of(lambda t: scaled(t)[1], at)
        step, gain = _newton(information, score)
        fresh, now, score_now = at + step, *scaled(at + step)
        short = 1.0
        while (not np.isfinite(now) or now < value - 1e-12 * abs(value)) and short > 1e-6:
            short /= 2
            fresh = at + short * step
            now, score_now = scaled(fresh)
        if not np.isfinite(now) or now < value - 1e-12 * abs(value):
            break
        at, value, score = fresh, now, score_now
        if gain < SETTLED:
            break
    information = -slopes_of(lambda t: scaled(t)[1], at)
    inverse = _inverse(information, names)
    gain = float(score @ inverse @ score)
    if not 0 <= gain < 1e-6:
        raise InputError(
            f"the fit did not converge: the log-likelihood may still gain {gain / 2:.1e}",
            do="fit a smaller model, or fix the dissimilarity",
        )
    wide = np.flatnonzero(np.sqrt(np.diag(inverse)) > WIDE)
    if len(wide):
        raise InputError(
            "the choices hardly tell these apart: their intervals have no end to speak of",
            faults=[names[int(j)] for j in wide],
            do="leave out the term, group its levels, or fix the dissimilarity",
        )
    return Maximum(at / scale, inverse / np.outer(scale, scale), value)


def slopes_of(function: Callable[[Floats], Floats], at: Floats) -> Floats:
    """Give the matrix of derivatives of a vector function by central differences, outputs × inputs.

    Examples
    --------
    >>> slopes_of(lambda t: np.array([t[0] * t[1], t[1]]), np.array([2.0, 3.0])).round(6).tolist()
    [[3.0, 2.0], [0.0, 1.0]]
    """
    columns = []
    for j in range(len(at)):
        step = np.zeros_like(at)
        step[j] = 1e-5 * max(1.0, abs(at[j]))
        columns.append((function(at + step) - function(at - step)) / (2 * step[j]))
    return np.stack(columns, axis=-1)


def _newton(information: Floats, score: Floats) -> tuple[Floats, float]:
    values, vectors = np.linalg.eigh((information + information.T) / 2)
    firm = np.maximum(np.abs(values), 1e-10 * max(np.abs(values).max(), 1e-300))
    step = vectors @ ((vectors.T @ score) / firm)
    longest = np.abs(step).max()
    gain = float(score @ step) if values[0] > 0 else np.inf
    return step * min(1.0, 5.0 / max(longest, 1e-300)), gain


def _inverse(information: Floats, names: Sequence[str]) -> Floats:
    information = (information + information.T) / 2
    diagonal = np.diag(information)
    scale = np.sqrt(np.maximum(diagonal, 1e-300))
    if not np.isfinite(information).all():
        raise InputError("the fit did not converge: the likelihood is not finite")
    values, vectors = np.linalg.eigh(information / np.outer(scale, scale))
    if values[0] < FLAT or (diagonal <= 0).any():
        heavy = np.abs(vectors[:, 0])
        raise InputError(
            "the choices do not tell these apart: the information is singular",
            faults=[names[int(j)] for j in np.flatnonzero(heavy > 0.3 * heavy.max())],
            do="leave out a term, or fix the dissimilarity; where prices follow an attribute, such as "
            "age, the effects of the two cannot be told apart",
        )
    return np.asarray((vectors / values) @ vectors.T / np.outer(scale, scale))
