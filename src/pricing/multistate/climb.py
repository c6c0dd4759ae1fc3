"""The way to the maximum of a panel's likelihood, and what it says when there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pricing.errors import InputError
from pricing.estimate.design import Floats
from pricing.multistate.likelihood import PanelLikelihood, Value

__all__ = ["Summit", "climb"]

MOST_STEPS = 100
SETTLED = 1e-11  # Newton's decrement: twice what the log-likelihood may still gain
LONGEST = 2.0  # change of a log intensity in one step
NONE = 1e-4  # moves expected in all the years seen: the intensity runs to zero
NOTHING = 1e-10  # moves expected where an effect that runs to zero is held
FAST = 30.0  # moves expected in the shortest step: the intensity runs to infinity
WIDE = 20.0  # standard error of a log intensity: an interval over 34 powers of ten
FLAT = 1e-9  # smallest eigenvalue of the information scaled to a unit diagonal


@dataclass(frozen=True)
class Summit:
    """The maximum: parameters, their covariance (zero where held), log-likelihood, and which are held.

    A parameter is held where the likelihood rises as the effect goes to minus infinity: a level whose
    lives were never seen to need a move.
    """

    parameters: Floats
    covariance: Floats
    value: float
    held: npt.NDArray[np.bool_]


def climb(likelihood: PanelLikelihood, start: Floats, names: Sequence[str]) -> Summit:
    """Maximise the likelihood of a panel.

    Parameters
    ----------
    likelihood : PanelLikelihood
    start : array
        Parameters to begin with.
    names : sequence of str
        What each is, for the refusals.

    Raises
    ------
    InputError
        Where an intensity runs to zero or infinity, where the information is singular, where the fit
        does not converge.

    Notes
    -----
    Newton with the observed information, its eigenvalues turned positive; steps are halved until the
    likelihood does not fall (Nocedal and Wright 2006, section 3.4).

    Examples
    --------
    >>> import polars as pl
    >>> from pricing.multistate.effects import panel_effects
    >>> from pricing.multistate.graph import state_graph
    >>> from pricing.multistate.visits import read_visits
    >>> rows = pl.DataFrame({"person": [1, 1, 2, 2], "time": [0.0, 1.0] * 2, "state": ["a", "b", "a", "a"]})
    >>> v = read_visits(rows, state_graph([("a", "b")]))
    >>> e = panel_effects(v)
    >>> found = climb(PanelLikelihood(v.graph, e.group, v.years, v.start, v.allowed, v.exact, v.first,
    ...                               v.length, e.design, e.free), np.zeros(1), e.names)
    >>> np.exp(found.parameters).round(6).tolist()  # ln 2
    [0.693147]
    """
    at, now = start.copy(), likelihood.at(start)
    if not np.isfinite(now.value):
        raise InputError(
            "the likelihood is zero at the values to begin with",
            do="give start= intensities nearer to the truth",
        )
    held = np.zeros(len(at), dtype=bool)
    gain = np.inf
    for _ in range(MOST_STEPS):
        step, gain, firm = _newton(now, held)
        if firm and gain < SETTLED:
            at = at + step  # the last digits
            now = likelihood.at(at)
            break
        at, now, moved = _search(likelihood, at, now, step)
        fresh = _running(likelihood, at, held)
        if fresh.any():
            held, at = held | (fresh != 0), at + fresh
            now = likelihood.at(at)
        elif not moved:
            break
    _, gain, _ = _newton(now, held)
    free = np.flatnonzero(~held)
    information = -now.hessian[np.ix_(free, free)]
    scale = np.sqrt(np.maximum(np.diag(information), 1e-300))
    values, vectors = np.linalg.eigh(information / np.outer(scale, scale))
    if values[0] < FLAT or (np.diag(information) <= 0).any():
        heavy = np.flatnonzero(np.abs(vectors[:, 0]) > 0.3 * np.abs(vectors[:, 0]).max())
        raise InputError(
            "the visits do not tell these apart: the information is singular",
            faults=[names[free[j]] for j in heavy],
            do="leave out a move or an effect, take another base level, or let moves share the effect",
        )
    if not gain < 1e-6 or (now.score[held] > 0).any():
        raise InputError(
            f"the fit did not converge: the log-likelihood may still gain {gain / 2:.1e}",
            do="give start= intensities, or a smaller model",
        )
    inverse = (vectors / values) @ vectors.T / np.outer(scale, scale)
    wide = np.flatnonzero(np.sqrt(np.diag(inverse)) > WIDE)
    if len(wide):
        raise InputError(
            "the visits hardly tell these apart: their intervals have no end to speak of",
            faults=[names[free[j]] for j in wide],
            do="leave out a move or an effect, or merge states that are seldom told apart",
        )
    covariance = np.zeros((len(at), len(at)))
    covariance[np.ix_(free, free)] = (inverse + inverse.T) / 2
    return Summit(at, covariance, now.value, held)


def _newton(now: Value, held: npt.NDArray[np.bool_]) -> tuple[Floats, float, bool]:
    """Step, decrement, and whether the information is positive definite."""
    free = np.flatnonzero(~held)
    information, score = -now.hessian[np.ix_(free, free)], now.score[free]
    diagonal = np.abs(np.diag(information))
    scale = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    values, vectors = np.linalg.eigh(information / np.outer(scale, scale))
    firm = bool(values[0] > 0)
    values = np.maximum(np.abs(values), 1e-8)
    step = np.zeros(len(held))
    step[free] = vectors @ ((vectors.T @ (score / scale)) / values) / scale
    return step, float(step @ now.score), firm


def _search(
    likelihood: PanelLikelihood, at: Floats, now: Value, step: Floats
) -> tuple[Floats, Value, bool]:
    change = np.abs(likelihood.log_rates(step)).max()
    size = min(1.0, LONGEST / change) if change > 0 else 1.0
    while size > 1e-10:
        trial = likelihood.at(at + size * step)
        if trial.value >= now.value - 1e-12 * abs(now.value):
            return at + size * step, trial, True
        size /= 2
    return at, now, False


def _running(likelihood: PanelLikelihood, at: Floats, held: npt.NDArray[np.bool_]) -> Floats:
    """How far to push effects that run to zero; refuse intensities that run to zero or infinity."""
    rates = np.exp(likelihood.log_rates(at))
    x, moves = likelihood.design, likelihood.graph.moves
    years = np.bincount(likelihood.group, weights=likelihood.years, minlength=len(rates))
    least = np.full(len(rates), np.inf)
    np.minimum.at(least, likelihood.group, likelihood.years)
    fast = (least[:, None] * rates).min(axis=0) > FAST
    if fast.any():
        raise InputError(
            "the likelihood rises as these intensities go to infinity: visits are too far apart",
            faults=[f"{a} to {b}" for (a, b), bad in zip(moves, fast, strict=True) if bad],
            do="merge states that lives change between faster than they are seen",
        )
    expected = years @ rates
    if (expected < NONE).any():
        none = expected < 100 * NONE
        raise InputError(
            "the likelihood rises as these intensities go to zero: no visit needs the move",
            faults=[f"{a} to {b}" for (a, b), bad in zip(moves, none, strict=True) if bad],
            do="leave the move out of the graph",
        )
    push = np.zeros(len(at))
    width = x.shape[1]
    for k in range(1, width):
        here = x[:, k] != 0
        if not (x[here, k] == 1).all() or here.all():
            continue
        for m in np.flatnonzero(years[here] @ rates[here] < NONE):
            for j in np.flatnonzero(likelihood.free[m * width + k]):
                alone = (likelihood.free[:, j] != 0).sum() == 1
                if alone and not held[j]:
                    push[j] = np.log(NOTHING / float(years[here] @ rates[here, m]))
    return push
