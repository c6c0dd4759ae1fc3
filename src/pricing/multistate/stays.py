"""What a fitted panel says: chances of each state, how long stays last, what comes next.

Errors go from the log intensities to every figure by the delta method, intervals on the logit scale for
probabilities and on the log scale for years.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl
from scipy.special import expit, logit, ndtri

from pricing.errors import InputError
from pricing.estimate.design import Floats
from pricing.multistate.exponential import exponentials
from pricing.multistate.graph import StateGraph, named
from pricing.multistate.occupancy_figure import occupancy_areas
from pricing.multistate.panel import PanelModel
from pricing.result.figure import interval_figure
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, say

__all__ = ["Stays", "TransitionProbabilities", "stays", "transition_probabilities"]

STEP = 1e-5


class TransitionProbabilities(Result):
    """P(t): chances of being in each state after some years, by the state now."""

    kind = "transition_probabilities"

    def finding(self, lang: Language = "en") -> str:
        """Say the result in one sentence, states in the language."""
        return say(f"finding.{self.kind}", lang, **named(self.facts, lang))

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the chances over time as areas, from the first state of the graph."""
        first = self.facts["from_state"]
        return occupancy_areas(
            self.table.filter(from_state=first), self.details["states"], lang, state="to_state"
        )


class Stays(Result):
    """How long lives stay: at a time, in all, and where they go next."""

    kind = "stays"

    def finding(self, lang: Language = "en") -> str:
        """Say the result in one sentence, states in the language."""
        return say(f"finding.{self.kind}", lang, **named(self.facts, lang))

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw mean years per stay with their intervals."""
        t = self.table.drop_nulls("sojourn")
        return interval_figure(
            t["in_state"].to_list(), t["sojourn"].to_list(), t["lower"].to_list(),
            t["upper"].to_list(), name="sojourn", factor="in_state", lang=lang,
        )  # fmt: skip


def transition_probabilities(
    model: PanelModel,
    years: Sequence[float],
    *,
    at: Mapping[str, Any] | None = None,
    since: float = 0.0,
) -> TransitionProbabilities:
    """Chances of being in each state some years on, with intervals.

    Parameters
    ----------
    model : PanelModel
        Fitted intensities.
    years : sequence of float
        Years from ``since``, zero or more.
    at : mapping of str to level or number, optional
        Covariates, held over the years; the rest at base and mean.
    since : float
        Time the years are counted from; it matters where the model has breaks.

    Returns
    -------
    TransitionProbabilities
        ``.table``: years, from_state, to_state, probability, lower, upper.

    Raises
    ------
    InputError
        For years that are negative or not finite, and covariates the model has not.

    Notes
    -----
    P(t) = exp(Qt), a product over stretches between breaks; the delta method (Jackson 2011, section
    3.1).

    Examples
    --------
    >>> from pricing.multistate.graph import state_graph
    >>> from pricing.multistate.panel import fit_panel
    >>> rows = pl.DataFrame({"person": [1, 1, 2, 2], "time": [0.0, 1.0] * 2, "state": ["a", "b", "a", "a"]})
    >>> found = transition_probabilities(fit_panel(rows, state_graph([("a", "b")])), [2.0])
    >>> found.table["probability"].round(6).to_list()
    [0.25, 0.75, 0.0, 1.0]
    """
    times = np.array([float(t) for t in years])
    if not len(times) or not np.isfinite(times).all() or (times < 0).any():
        raise InputError("years must be finite and zero or more, at least one")
    if not np.isfinite(since):
        raise InputError(f"since must be finite, got {since}")
    graph, size = model.graph, len(model.graph.states)
    row = model.covariates(_without_period(model, at))

    def value(beta: Floats) -> Floats:
        wide = np.repeat(row[None], len(times), axis=0)
        begin = np.full(len(times), since)
        return between(model, beta, wide, begin, begin + times).ravel()

    p, error = _delta(value, model)
    p = np.clip(p, 0.0, 1.0)
    lower, upper = _on_logit(p, error, _reach(model))
    states = graph.states
    table = pl.DataFrame(
        {
            "years": np.repeat(times, size * size),
            "from_state": [a for _ in times for a in states for _ in states],
            "to_state": [b for _ in times for _ in states for b in states],
            "probability": p,
            "lower": lower,
            "upper": upper,
        }
    )
    last = table.filter(pl.col("years") == times.max(), from_state=states[0]).unique(
        "to_state", maintain_order=True
    )
    top = last.sort("probability", descending=True).row(0, named=True)
    return TransitionProbabilities(
        table=table,
        basis=_basis(model, at),
        facts=top | {"level": model.details["level"]},
        details={"states": list(states)},
    )


def stays(
    model: PanelModel,
    *,
    at: Mapping[str, Any] | None = None,
    start: str | None = None,
    horizon: float | None = None,
) -> Stays:
    """Mean years of a stay, total years in each state, and the next state's chances.

    Parameters
    ----------
    model : PanelModel
        Fitted intensities.
    at : mapping of str to level or number, optional
        Covariates, the rest at base and mean; ``time_period`` names the stretch where the model
        has breaks, whose intensities are then taken to hold on.
    start : str, optional
        State in which the total years begin; the first of the graph where left out.
    horizon : float, optional
        Years over which the total is taken; for ever where left out, which needs an absorbing state
        that every life reaches.

    Returns
    -------
    Stays
        ``.table``: in_state, sojourn (mean years of one stay), lower, upper, length_of_stay (total
        years), length_lower, length_upper; null for an absorbing state without horizon.
        ``.frames["next_states"]``: from_state, to_state, probability, lower, upper.

    Raises
    ------
    InputError
        For a state or covariates the model has not, a horizon that is not above zero, total years that
        are infinite, and a model with breaks where no stretch is named.

    Notes
    -----
    Sojourn −1/q_rr; next state −q_rs/q_rr; total ∫₀ᵀ P_rs(u)du from the exponential of the matrix
    [[Q, I], [0, 0]]T (Van Loan 1978), and −Q⁻¹ over the transient states for ever.

    Examples
    --------
    >>> from pricing.multistate.graph import state_graph
    >>> from pricing.multistate.panel import fit_panel
    >>> rows = pl.DataFrame({"person": [1, 1, 2, 2], "time": [0.0, 1.0] * 2, "state": ["a", "b", "a", "a"]})
    >>> found = stays(fit_panel(rows, state_graph([("a", "b")])))
    >>> found.table.select("in_state", pl.col("sojourn", "length_of_stay").round(4)).row(0)
    ('a', 1.4427, 1.4427)
    """
    graph = model.graph
    begin = graph.states[0] if start is None else start
    graph.require(begin, where="start")
    if horizon is not None and not (np.isfinite(horizon) and horizon > 0):
        raise InputError(f"horizon must be finite and above zero, got {horizon}")
    _require_ends(graph, begin, horizon)
    if model.details["breaks"] and "time_period" not in (at or {}):
        raise InputError(
            "the intensities change with time, so no one length of a stay holds",
            do=f"name a stretch: at={{'time_period': {model.details['levels']['time_period'][0]!r}}}",
        )
    row, states = model.covariates(at), graph.states
    a = graph.ends[0]
    transient = [i for i, s in enumerate(states) if s not in graph.absorbing]
    shape = model.coefficients.shape

    def sojourn(beta: Floats) -> Floats:
        q = graph.matrix(np.exp(beta.reshape(shape) @ row))
        return np.asarray(-1 / q[transient, transient])

    def following(beta: Floats) -> Floats:
        rates = np.exp(beta.reshape(shape) @ row)
        return np.asarray(rates / -graph.matrix(rates)[a, a])

    def total(beta: Floats) -> Floats:
        return _years_in(graph, np.exp(beta.reshape(shape) @ row), states.index(begin), horizon)

    reach = _reach(model)
    mean, error = _delta(sojourn, model)
    mean_lower, mean_upper = _on_log(mean, error, reach)
    whole, whole_error = _delta(total, model)
    whole_lower, whole_upper = _on_log(whole, whole_error, reach)
    share, share_error = _delta(following, model)
    share_lower, share_upper = _on_logit(share, share_error, reach)
    place = {i: k for k, i in enumerate(transient)}

    def of(values: Floats) -> list[float | None]:
        return [float(values[place[i]]) if i in place else None for i in range(len(states))]

    def ever(values: Floats) -> list[float | None]:
        return [float(v) if np.isfinite(v) else None for v in values]

    table = pl.DataFrame(
        {
            "in_state": list(states),
            "sojourn": of(mean),
            "lower": of(mean_lower),
            "upper": of(mean_upper),
            "length_of_stay": ever(whole),
            "length_lower": ever(whole_lower),
            "length_upper": ever(whole_upper),
        }
    )
    following_table = pl.DataFrame(
        {
            "from_state": [m[0] for m in graph.moves],
            "to_state": [m[1] for m in graph.moves],
            "probability": share,
            "lower": share_lower,
            "upper": share_upper,
        }
    )
    longest = table.drop_nulls("sojourn").sort("sojourn", descending=True).row(0, named=True)
    return Stays(
        table=table,
        basis=_basis(model, at),
        facts={k: longest[k] for k in ("in_state", "sojourn", "lower", "upper")}
        | {"level": model.details["level"], "start": begin, "horizon": horizon},
        frames={"next_states": following_table},
    )


def between(model: PanelModel, beta: Floats, wide: Floats, begin: Floats, end: Floats) -> Floats:
    """P between two times for rows of covariates, through the breaks of the model.

    Examples
    --------
    >>> from pricing.multistate.graph import state_graph
    >>> from pricing.multistate.panel import fit_panel
    >>> rows = pl.DataFrame({"person": [1, 1, 2, 2], "time": [0.0, 1.0] * 2, "state": ["a", "b", "a", "a"]})
    >>> m = fit_panel(rows, state_graph([("a", "b")]))
    >>> between(m, m.coefficients.ravel(), np.ones((1, 1)), np.zeros(1), np.ones(1)).round(6).tolist()
    [[[0.5, 0.5], [0.0, 1.0]]]
    """
    graph, shape = model.graph, model.coefficients.shape
    cuts = model.details["breaks"]
    edges = [-np.inf, *cuts, np.inf]
    found = np.broadcast_to(np.eye(len(graph.states)), (len(wide), *[len(graph.states)] * 2))
    for k in range(len(edges) - 1):
        years = np.minimum(end, edges[k + 1]) - np.maximum(begin, edges[k])
        some = years > 0
        if not some.any():
            continue
        x = wide.copy()
        if cuts:
            x[:, -len(cuts) :] = 0.0
            if k:
                x[:, -len(cuts) - 1 + k] = 1.0
        rates = np.exp(x @ beta.reshape(shape).T)
        rows, at = np.unique(rates, axis=0, return_inverse=True)
        p = exponentials(graph.matrix(rows), np.maximum(years, 0.0), at.ravel())
        found = found @ p
    return np.asarray(found)


def _years_in(graph: StateGraph, rates: Floats, begin: int, horizon: float | None) -> Floats:
    q, size = graph.matrix(rates), len(graph.states)
    if horizon is not None:
        block = np.zeros((1, 2 * size, 2 * size))
        block[0, :size, :size], block[0, :size, size:] = q, np.eye(size)
        return np.asarray(exponentials(block, np.array([horizon]))[0, begin, size:])
    visited = np.flatnonzero(graph.reachable[begin] & ~np.isin(graph.states, graph.absorbing))
    found = np.zeros(size)
    if begin in visited:
        inverse = np.linalg.inv(-q[np.ix_(visited, visited)])
        found[visited] = inverse[visited.tolist().index(begin)]
    found[
        [
            i
            for i, s in enumerate(graph.states)
            if s in graph.absorbing and graph.reachable[begin, i]
        ]
    ] = np.inf
    return found


def _require_ends(graph: StateGraph, begin: str, horizon: float | None) -> None:
    if horizon is not None:
        return
    at = graph.states.index(begin)
    gone = [graph.states.index(s) for s in graph.absorbing]
    for i in np.flatnonzero(graph.reachable[at]):
        if not graph.reachable[i, gone].any():
            raise InputError(
                f"lives stay for ever among states from {graph.states[i]!r} on: the years are infinite",
                do="give a horizon",
            )


def _without_period(model: PanelModel, at: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    if at and model.details["breaks"] and "time_period" in at:
        raise InputError("time_period follows from the years", do="give since= instead")
    return at


def _delta(value: Callable[[Floats], Floats], model: PanelModel) -> tuple[Floats, Floats]:
    """Value at the estimate, and its standard error by the delta method."""
    beta = model.coefficients.ravel()
    slopes = []
    for j in range(len(beta)):
        move = np.zeros_like(beta)
        move[j] = STEP
        with np.errstate(invalid="ignore"):  # years that never end stay so
            slopes.append((value(beta + move) - value(beta - move)) / (2 * STEP))
    slope = np.nan_to_num(np.column_stack(slopes))
    variance = np.einsum("ij,jk,ik->i", slope, model.covariance, slope)
    return value(beta), np.sqrt(np.maximum(variance, 0.0))


def _on_log(value: Floats, error: Floats, reach: float) -> tuple[Floats, Floats]:
    with np.errstate(all="ignore"):
        factor = np.exp(np.where(value > 0, reach * error / value, 0.0))
    return value / factor, value * factor


def _on_logit(value: Floats, error: Floats, reach: float) -> tuple[Floats, Floats]:
    inside = (value > 1e-12) & (value < 1 - 1e-12) & (error > 0)
    p = np.where(inside, value, 0.5)
    width = reach * error / (p * (1 - p))
    return (
        np.where(inside, expit(logit(p) - width), value),
        np.where(inside, expit(logit(p) + width), value),
    )


def _reach(model: PanelModel) -> float:
    return float(ndtri(0.5 + model.details["level"] / 2))


def _basis(model: PanelModel, at: Mapping[str, Any] | None) -> Basis:
    said = ", ".join(f"{k} = {v}" for k, v in (at or {}).items())
    notes = (f"covariates: {said or 'base levels and means'}", "intervals by the delta method")
    return replace(model.basis, notes=(*model.basis.notes, *notes))
