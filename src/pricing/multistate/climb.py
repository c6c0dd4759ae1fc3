"""The way to the maximum of a panel's likelihood, and what it says when there is none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pricing.errors import InputError
from pricing.estimate.design import Floats
from pricing.multistate.likelihood import PanelLikelihood, Value

__all__ = ["climb"]

MOST_STEPS = 100
SETTLED = 1e-11  # Newton's decrement: twice what the log-likelihood may still gain
LONGEST = 2.0  # change of a log intensity in one step
NONE = 1e-5  # moves expected in all the years seen: the intensity runs to zero
FAST = 30.0  # moves expected in the shortest step: the intensity runs to infinity
FLAT = 1e-9  # smallest eigenvalue of the information scaled to a unit diagonal


def climb(
    likelihood: PanelLikelihood, start: Floats, names: Sequence[str]
) -> tuple[Floats, Floats, float]:
    """Maximise; give the parameters, their covariance and the log-likelihood.

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
    >>> np.exp(found[0]).round(6).tolist()  # ln 2
    [0.693147]
    """
    at, now = start, likelihood.at(start)
    if not np.isfinite(now.value):
        raise InputError(
            "the likelihood is zero at the values to begin with",
            do="give start= intensities nearer to the truth",
        )
    for _ in range(MOST_STEPS):
        step, gain, firm = _newton(now)
        if firm and gain < SETTLED:
            break
        at, now, moved = _search(likelihood, at, now, step)
        _require_between(likelihood, at, names)
        if not moved:
            break
    step, gain, firm = _newton(now)
    information = -now.hessian
    scale = np.sqrt(np.maximum(np.diag(information), 1e-300))
    values, vectors = np.linalg.eigh(information / np.outer(scale, scale))
    if values[0] < FLAT or (np.diag(information) <= 0).any():
        heavy = np.flatnonzero(np.abs(vectors[:, 0]) > 0.3 * np.abs(vectors[:, 0]).max())
        raise InputError(
            "the visits do not tell these apart: the information is singular",
            faults=[names[j] for j in heavy],
            do="leave out a move or an effect, or let moves share the effect",
        )
    if not gain < 1e-6:
        raise InputError(
            f"the fit did not converge: the log-likelihood may still gain {gain / 2:.1e}",
            do="give start= intensities, or a smaller model",
        )
    covariance = (vectors / values) @ vectors.T / np.outer(scale, scale)
    return at, np.asarray((covariance + covariance.T) / 2), now.value


def _newton(now: Value) -> tuple[Floats, float, bool]:
    """Step, decrement, and whether the information is positive definite."""
    information = -now.hessian
    diagonal = np.abs(np.diag(information))
    scale = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    values, vectors = np.linalg.eigh(information / np.outer(scale, scale))
    firm = bool(values[0] > 0)
    values = np.maximum(np.abs(values), 1e-8)
    step = vectors @ ((vectors.T @ (now.score / scale)) / values) / scale
    return np.asarray(step), float(step @ now.score), firm


def _search(
    likelihood: PanelLikelihood, at: Floats, now: Value, step: Floats
) -> tuple[Floats, Value, bool]:
    change = np.abs(likelihood.log_rates(step)).max()
    size = min(1.0, LONGEST / change) if change > 0 else 1.0
    while size > 1e-10:
        trial = at + size * step
        if likelihood.at(trial, second=False).value >= now.value - 1e-12 * abs(now.value):
            return trial, likelihood.at(trial), True
        size /= 2
    return at, now, False


def _require_between(likelihood: PanelLikelihood, at: Floats, names: Sequence[str]) -> None:
    """Refuse intensities that run to zero or infinity, where they do so for a column's groups."""
    rates = np.exp(likelihood.log_rates(at))
    groups = len(rates)
    years = np.bincount(likelihood.group, weights=likelihood.years, minlength=groups)
    least = np.full(groups, np.inf)
    np.minimum.at(least, likelihood.group, likelihood.years)
    x, moves = likelihood.design, likelihood.graph.moves
    zero, infinite = [], []
    for k in range(x.shape[1]):
        held = x[:, k] != 0
        gone = (years[held] @ rates[held]) < NONE
        wild = (least[held, None] * rates[held]).min(axis=0) > FAST
        said = "" if k == 0 else " (a level's own)"
        zero += [f"{a} to {b}{said}" for (a, b), bad in zip(moves, gone, strict=True) if bad]
        infinite += [f"{a} to {b}{said}" for (a, b), bad in zip(moves, wild, strict=True) if bad]
    if zero:
        raise InputError(
            "the likelihood rises as these intensities go to zero: no visit needs the move",
            faults=dict.fromkeys(zero),
            do="leave the move out of the graph, or let it share its effect",
        )
    if infinite:
        raise InputError(
            "the likelihood rises as these intensities go to infinity: visits are too far apart",
            faults=dict.fromkeys(infinite),
            do="merge states that lives change between faster than they are seen",
        )
