"""Thousands of log-linear fits to period totals at once: what a simulation of a trend asks for."""

from __future__ import annotations

import numpy as np

from pricing.errors import InputError
from pricing.estimate.design import Floats

__all__ = ["fit_periods"]

MOST_STEPS = 60
SETTLED = 1e-13
RAN_AWAY = 1e-8  # as in estimate.glm: a fitted rate below this share of the mean, without a claim


def fit_periods(columns: Floats, responses: Floats, exposures: Floats) -> Floats:
    """Fit log(E[y]/e) = Zβ by quasi-Poisson likelihood to every row of ``responses`` at once.

    Parameters
    ----------
    columns : array, periods × coefficients
        The time axis, the first column the intercept.
    responses : array, draws × periods
        Claims or amounts; below zero in a period where recoveries outweigh payments.
    exposures : array, periods or draws × periods
        What they are per; a period of zero has no part in the fit.

    Returns
    -------
    array, draws × coefficients

    Raises
    ------
    InputError
        For shapes that do not fit, values that are null, negative or not finite, and draws whose
        fit does not converge or runs away: with their number and the first of them. None is left
        out, none is filled.

    Notes
    -----
    Newton's method from the overall mean, steps halved draw by draw until the deviance does not
    rise; the score must vanish against the size of its column (McCullagh and Nelder 1989, section
    2.5). The same maximum as :func:`pricing.estimate.glm.fit_glm`.

    Examples
    --------
    >>> z = np.column_stack([np.ones(3), [-1.0, 0.0, 1.0]])
    >>> fit_periods(z, np.array([[1.0, 2.0, 4.0], [8.0, 4.0, 2.0]]), np.ones(3)).round(6).tolist()
    [[0.693147, 0.693147], [1.386294, -0.693147]]
    """
    z, y, e = _checked(columns, responses, exposures)
    draws, k = len(y), z.shape[1]
    beta = np.zeros((draws, k))
    beta[:, 0] = np.log(y.sum(axis=1) / e.sum(axis=1))
    mean = e * np.exp(beta @ z.T)
    loss = _loss(y, e, mean)
    pairs = (z[:, :, None] * z[:, None, :]).reshape(len(z), k * k)
    left, polish = np.arange(draws), np.zeros(draws, dtype=bool)
    for _ in range(MOST_STEPS):
        now, seen = mean[left], y[left]
        score = (seen - now) @ z
        size = (np.abs(seen) + now) @ np.abs(z)
        small = (np.abs(score) <= SETTLED * size).all(axis=1)
        go = ~(small & polish[left])  # one step more than the score asks for: full precision
        polish[left] |= small
        left, score, now = left[go], score[go], now[go]
        if not len(left):
            break
        step = _solve((now @ pairs).reshape(-1, k, k), score)
        left, stuck = _search(z, y, e, beta, mean, loss, left, step)
        polish[stuck] = True  # no step lowers the deviance: settled or lost, the score says which
    score = np.abs((y - mean) @ z) / ((np.abs(y) + mean) @ np.abs(z))
    lost = np.flatnonzero(~(score.max(axis=1) < 1e-9))
    overall = (y.sum(axis=1) / e.sum(axis=1))[:, None]
    gone = np.flatnonzero(((y == 0) & (mean < RAN_AWAY * overall * e)).any(axis=1))
    _refuse(lost, draws, "do not converge")
    _refuse(gone, draws, "run away to a rate of zero: some coefficient has no finite estimate")
    return beta


def _search(
    z: Floats, y: Floats, e: Floats, beta: Floats, mean: Floats, loss: Floats,
    left: np.ndarray, step: Floats,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Take the step of every draw, or its half, and so on; give all draws and those that stuck."""
    waiting, size = np.arange(len(left)), 1.0
    while len(waiting) and size > 1e-9:
        at = left[waiting]
        trial = beta[at] + size * step[waiting]
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            new = e[at] * np.exp(trial @ z.T)
            value = _loss(y[at], e[at], new)
            good = value <= loss[at] + 1e-11 * np.abs(loss[at])
        good &= np.isfinite(new).all(axis=1) & ((new > 0) | (e[at] == 0)).all(axis=1)
        done = at[good]
        beta[done], mean[done], loss[done] = trial[good], new[good], value[good]
        waiting, size = waiting[~good], size / 2
    return left, left[waiting]


def _loss(y: Floats, e: Floats, mean: Floats) -> Floats:
    """Half the deviance, up to what the fit does not move; no exposure has no part in it."""
    log = np.log(np.where(e > 0, mean, 1.0))
    return np.asarray(mean.sum(axis=1) - (y * log).sum(axis=1))


def _solve(information: Floats, score: Floats) -> Floats:
    scale = 1 / np.sqrt(np.maximum(np.diagonal(information, axis1=1, axis2=2), 1e-300))
    scaled = information * scale[:, :, None] * scale[:, None, :]
    try:
        found = np.linalg.solve(scaled, (score * scale)[:, :, None])[:, :, 0]
    except np.linalg.LinAlgError:
        found = (np.linalg.pinv(scaled, hermitian=True) @ (score * scale)[:, :, None])[:, :, 0]
    return np.asarray(found * scale)


def _checked(
    columns: Floats, responses: Floats, exposures: Floats
) -> tuple[Floats, Floats, Floats]:
    z, y = np.asarray(columns, dtype=np.float64), np.asarray(responses, dtype=np.float64)
    e = np.asarray(exposures, dtype=np.float64)
    if z.ndim != 2 or y.ndim != 2 or y.shape[1] != len(z):
        raise InputError(
            f"responses of shape {y.shape} are not draws × {len(z)} periods",
            do="give one row per draw and one column per period, in order of time",
        )
    if e.shape not in ((len(z),), y.shape):
        raise InputError(
            f"exposures of shape {e.shape} are neither ({len(z)},) nor {y.shape}",
            do="give them by period, or by draw and period",
        )
    faults = []
    bad = ~np.isfinite(y)
    if bad.any():
        faults.append(f"{int(bad.sum()):,} responses are not finite")
    wrong = ~(np.isfinite(e) & (e >= 0))
    if wrong.any():
        faults.append(f"{int(wrong.sum()):,} exposures are negative or not finite")
    stray = (np.broadcast_to(e, y.shape) == 0) & (y != 0)
    if stray.any():
        faults.append(f"{int(stray.sum()):,} responses without exposure")
    nothing = np.flatnonzero(~(y.sum(axis=1) > 0)) if not bad.any() else np.zeros(0)
    if len(nothing):
        faults.append(
            f"{len(nothing):,} draws have no claim at all, or recoveries above the payments, such as number {int(nothing[0])}"
        )
    if faults:
        raise InputError("draws that cannot be fitted", faults=faults)
    return z, y, np.broadcast_to(e, y.shape)


def _refuse(which: np.ndarray, draws: int, what: str) -> None:
    if len(which):
        few = ", ".join(str(int(i)) for i in which[:5])
        raise InputError(
            f"{len(which):,} of {draws:,} fits {what} (numbers {few})",
            do="leave out breaks or seasons that rest on periods without claims",
        )
