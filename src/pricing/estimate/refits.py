"""Log-linear fits of many resampled responses at once: what simulation of an estimate needs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pricing.errors import InputError

__all__ = ["refit_loglinear"]

Floats = NDArray[np.float64]
STEPS = 50


def refit_loglinear(responses: Floats, offsets: Floats, design: Floats) -> Floats:
    """Fit E[y] = offset · exp(Xβ) by quasi-Poisson to many responses over the same design.

    One Newton iteration moves every fit at once, so thousands of resampled histories cost some
    matrix products. Each equals the fit on its own, dispersion has no part in it.

    Parameters
    ----------
    responses : array, draws × periods
        Claims or amounts, with a sum above zero in each draw; a period may be below zero, where
        recoveries outweigh payments.
    offsets : array, periods or draws × periods
        Exposure (times completion) behind each response; a period of offset zero has no weight.
    design : array, periods × coefficients
        The same for all draws, with an intercept in its span.

    Returns
    -------
    array, draws × coefficients

    Raises
    ------
    InputError
        For offsets that are negative or not finite, responses not finite or adding to nothing, a
        design whose columns are not independent, draws that do not converge (with their number).

    Notes
    -----
    Score X'(y − m) = 0 with m = offset · exp(Xβ): McCullagh and Nelder (1989), chapter 9. Newton's
    step is halved where the deviance of a draw would rise.

    Examples
    --------
    >>> design = np.column_stack([np.ones(3), [-1.0, 0.0, 1.0]])
    >>> found = refit_loglinear(np.array([[1.0, 2.0, 4.0], [3.0, 3.0, 3.0]]), np.ones(3), design)
    >>> np.exp(found).round(6).tolist()
    [[2.0, 2.0], [3.0, 1.0]]
    """
    y = np.atleast_2d(np.asarray(responses, dtype=np.float64))
    x = np.asarray(design, dtype=np.float64)
    e = np.broadcast_to(np.asarray(offsets, dtype=np.float64), y.shape)
    _require(y, e, x)
    y = np.where(e > 0, y, 0.0)
    level = np.log(y.sum(axis=1) / e.sum(axis=1))
    one = np.linalg.lstsq(x, np.ones(x.shape[0]), rcond=None)[0]  # the intercept, however coded
    beta: Floats = one[None, :] * level[:, None]
    value = _objective(y, e, x, beta)
    running = np.ones(y.shape[0], dtype=np.bool_)
    for _ in range(STEPS):
        rows = np.flatnonzero(running)
        if rows.size == 0:
            return beta
        mean = e[rows] * np.exp(beta[rows] @ x.T)
        score = (y[rows] - mean) @ x
        information = np.einsum("dt,ti,tj->dij", mean, x, x, optimize=True)
        try:
            move = np.linalg.solve(information, score[..., None])[..., 0]
        except np.linalg.LinAlgError:
            break
        tried, share = beta[rows] + move, np.ones(rows.size)
        reached = _objective(y[rows], e[rows], x, tried)
        scale = np.abs(value[rows]) + y[rows].sum(axis=1)
        for _ in range(30):
            worse = ~(reached <= value[rows] + 1e-13 * scale)
            if not worse.any():
                break
            share[worse] /= 2
            tried[worse] = beta[rows[worse]] + share[worse, None] * move[worse]
            reached[worse] = _objective(y[rows[worse]], e[rows[worse]], x, tried[worse])
        beta[rows], value[rows] = tried, reached
        running[rows] = np.abs(move).max(axis=1) > 1e-10 * (1 + np.abs(tried).max(axis=1))
    raise InputError(
        f"{int(running.sum()):,} of {y.shape[0]:,} refits did not converge",
        do="leave out terms of the design that some draws hold no claim for, such as single months",
    )


def _objective(y: Floats, e: Floats, x: Floats, beta: Floats) -> Floats:
    """Half the deviance up to what does not depend on β; infinite where it overflows."""
    linear = beta @ x.T
    with np.errstate(over="ignore", invalid="ignore"):
        value = (np.where(e > 0, e * np.exp(linear), 0.0) - y * linear).sum(axis=1)
    found: Floats = np.where(np.isfinite(value), value, np.inf)
    return found


def _require(y: Floats, e: Floats, x: Floats) -> None:
    faults = []
    if not np.isfinite(e).all() or (e < 0).any():
        faults.append("offsets that are negative or not finite")
    if not np.isfinite(y).all():
        faults.append("responses that are not finite")
    elif ((y * (e > 0)).sum(axis=1) <= 0).any():
        none = int(((y * (e > 0)).sum(axis=1) <= 0).sum())
        faults.append(f"{none:,} of {y.shape[0]:,} responses add to nothing above zero")
    if not faults and np.linalg.matrix_rank(x * (e.max(axis=0) > 0)[:, None]) < x.shape[1]:
        faults.append("a design whose columns are not independent over the periods with exposure")
    if faults:
        raise InputError("histories that no trend can be fitted to", faults=faults)
