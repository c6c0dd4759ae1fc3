"""State graphs: the states of a life, the moves between them, and their picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import atan2, cos, hypot, pi, sin
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from pricing.errors import InputError, nearest
from pricing.estimate.design import Floats
from pricing.result.figure import COLOURS
from pricing.result.words import Language, level_label

__all__ = ["StateGraph", "named", "state_graph"]

Move = tuple[str, str]
NODE = 0.16  # radius of a node on a circle of one


@dataclass(frozen=True)
class StateGraph:
    """The states a life can be in and the moves it can make at once.

    Attributes
    ----------
    states : tuple of str
        In their order: rows and columns of every matrix.
    moves : tuple of (from, to)
        Moves that can happen in an instant, by from and to in the order of the states.

    Examples
    --------
    >>> graph = state_graph({"well": ["ill", "dead"], "ill": ["well", "dead"]})
    >>> graph.states, graph.absorbing
    (('well', 'ill', 'dead'), ('dead',))
    >>> graph.reversible
    True
    """

    states: tuple[str, ...]
    moves: tuple[Move, ...]

    @property
    def absorbing(self) -> tuple[str, ...]:
        """States that are never left."""
        left = {a for a, _ in self.moves}
        return tuple(s for s in self.states if s not in left)

    @property
    def reversible(self) -> bool:
        """Whether a life can come back to a state it left, such as by recovery."""
        reach = self.reachable
        return bool((reach & reach.T & ~np.eye(len(self.states), dtype=bool)).any())

    @property
    def reachable(self) -> npt.NDArray[np.bool_]:
        """Whether the column's state can follow the row's at any later time; a state follows itself."""
        size = len(self.states)
        found = np.eye(size, dtype=bool)
        found[self.ends[0], self.ends[1]] = True
        for k in range(size):
            found |= found[:, [k]] & found[[k], :]
        return found

    @property
    def circles(self) -> tuple[tuple[Move, ...], ...]:
        """Moves within each set of states that lives can go round in, set by set."""
        reach = self.reachable
        both = reach & reach.T
        a, b = self.ends
        sets: dict[bytes, list[Move]] = {}
        for move, i, j in zip(self.moves, a, b, strict=True):
            if both[i, j]:
                sets.setdefault(both[i].tobytes(), []).append(move)
        return tuple(tuple(moves) for moves in sets.values())

    @property
    def ends(self) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Number of the state each move leaves, and of the state it enters."""
        at = {s: i for i, s in enumerate(self.states)}
        a = np.array([at[x] for x, _ in self.moves], dtype=np.intp)
        return a, np.array([at[y] for _, y in self.moves], dtype=np.intp)

    def matrix(self, rates: Floats) -> Floats:
        """Write rates by move as intensity matrices, each row adding to nothing.

        Parameters
        ----------
        rates : array, (..., moves)
            Intensities per year, zero or more.

        Examples
        --------
        >>> state_graph([("well", "dead")]).matrix(np.array([0.25])).tolist()
        [[-0.25, 0.25], [0.0, 0.0]]
        """
        a, b = self.ends
        size = len(self.states)
        found = np.zeros((*rates.shape[:-1], size, size))
        found[..., a, b] = rates
        found[..., np.arange(size), np.arange(size)] = 0.0 - found.sum(axis=-1)
        return found

    def require(self, *names: str, where: str = "") -> None:
        """Refuse names that are no states of the graph.

        Examples
        --------
        >>> state_graph([("well", "dead")]).require("dad")
        Traceback (most recent call last):
        pricing.errors.InputError: 1 name(s) are no states of the graph
          - 'dad'; did you mean 'dead'?
        """
        faults = [f"{n!r}{nearest(n, self.states)}" for n in names if n not in self.states]
        if faults:
            raise InputError(
                f"{len(faults)} name(s) are no states of the graph", where=where, faults=faults
            )

    def figure(
        self, lang: Language = "en", *, rates: Mapping[Move, str] | None = None
    ) -> go.Figure:
        """Draw the graph: a node per state, an arrow per move, the rate beside the arrow.

        Parameters
        ----------
        lang : {"en", "zh"}
            Language of the states' names.
        rates : mapping of (from, to) to str, optional
            What stands beside an arrow, such as ``"0.128"``.

        Examples
        --------
        >>> graph = state_graph([("well", "ill"), ("ill", "well")])
        >>> len(graph.figure(rates={("well", "ill"): "0.1"}).layout.annotations)
        3
        """
        return _drawn(self, lang, rates or {})


def state_graph(
    moves: Mapping[str, Sequence[str]] | Iterable[Move], states: Sequence[str] | None = None
) -> StateGraph:
    """Set up a state graph from the moves it allows.

    Parameters
    ----------
    moves : mapping of from to sequence of to, or iterable of (from, to)
        Moves in an instant: a way from well to dead through ill needs well → ill and ill → dead.
    states : sequence of str, optional
        All states in order; else as the moves name them, those that are never left at the end.

    Raises
    ------
    InputError
        For no moves, a move to itself or given twice, names that are empty, given twice or not
        among the states, and states that no move touches: all said at once.

    Examples
    --------
    >>> state_graph({"well": ["ill"], "ill": ["dead"]}, ["ill", "well", "dead"]).moves
    (('ill', 'dead'), ('well', 'ill'))
    """
    given = _moves(moves)
    if not given:
        raise InputError("a state graph needs at least one move", do='give {"well": ["ill"]}')
    faults = [f"a name is {n!r}" for m in given for n in m if not isinstance(n, str) or not n]
    if faults:
        raise InputError("states need names of text", faults=faults)
    seen = list(dict.fromkeys([a for a, _ in given] + [b for _, b in given]))
    order = list(seen if states is None else states)
    faults += [f"{a!r} moves to itself" for a, b in dict.fromkeys(given) if a == b]
    faults += [f"{m[0]!r} to {m[1]!r} is given twice" for m in _twice(given)]
    faults += [f"state {s!r} is given twice" for s in _twice(order)]
    faults += [f"{s!r} is not among the states{nearest(s, order)}" for s in seen if s not in order]
    faults += [f"no move leaves or enters {s!r}" for s in dict.fromkeys(order) if s not in seen]
    if faults:
        raise InputError("this is no state graph", faults=faults)
    at = {s: i for i, s in enumerate(order)}
    return StateGraph(tuple(order), tuple(sorted(given, key=lambda m: (at[m[0]], at[m[1]]))))


def named(facts: Mapping[str, Any], lang: Language) -> dict[str, Any]:
    """Say the states among the facts of a finding in a language.

    Examples
    --------
    >>> named({"in_state": "ill", "years": 2.0}, "zh")
    {'in_state': '患病', 'years': 2.0}
    """
    states = ("from_state", "to_state", "in_state", "longest")
    return {k: level_label(v, lang) if k in states else v for k, v in facts.items()}


def _moves(moves: Mapping[str, Sequence[str]] | Iterable[Move]) -> list[Move]:
    if isinstance(moves, Mapping):
        words = [f"{a!r}: give its moves as a list" for a, b in moves.items() if isinstance(b, str)]
        if words:
            raise InputError("this is no state graph", faults=words)
        return [(a, b) for a, ends in moves.items() for b in ends]
    found = [tuple(m) if not isinstance(m, str) else (m,) for m in moves]
    bad = [f"{m!r}" for m in found if len(m) != 2]
    if bad:
        raise InputError(f"{len(bad)} move(s) are no pair of states", faults=bad)
    return [(m[0], m[1]) for m in found]


def _twice(names: Sequence[Any]) -> list[Any]:
    return [n for n in dict.fromkeys(names) if names.count(n) > 1]


def _places(graph: StateGraph) -> dict[str, tuple[float, float]]:
    """States that are left on a line, those that are not below it; more than five on a circle."""
    alive = [s for s in graph.states if s not in graph.absorbing]
    if len(alive) > 5 or not graph.absorbing:
        turn = 2 * pi / len(graph.states)
        return {s: (1.4 * sin(i * turn), 1.4 * cos(i * turn)) for i, s in enumerate(graph.states)}
    places = {s: (1.3 * (i - (len(alive) - 1) / 2), 0.6) for i, s in enumerate(alive)}
    gone = graph.absorbing
    return places | {s: (1.3 * (i - (len(gone) - 1) / 2), -0.7) for i, s in enumerate(gone)}


def _drawn(graph: StateGraph, lang: Language, rates: Mapping[Move, str]) -> go.Figure:
    places = _places(graph)
    figure = go.Figure(layout={"template": "pricing", "height": 440})
    for a, b in graph.moves:
        (x0, y0), (x1, y1) = places[a], places[b]
        angle, far = atan2(y1 - y0, x1 - x0), hypot(x1 - x0, y1 - y0)
        # a line past a node in between bends around it; one of two opposite lines keeps aside
        passes = any(
            _beside(places[s], (x0, y0), (x1, y1)) < 1.5 * NODE
            for s in graph.states
            if s not in (a, b)
        )
        bend = 0.5 if passes else (0.12 if (b, a) in graph.moves else 0.0)
        nx, ny = -sin(angle), cos(angle)
        t = np.linspace(NODE / far, 1 - NODE / far, 24)
        lift = bend * 4 * t * (1 - t)
        x, y = x0 + t * (x1 - x0) + lift * nx, y0 + t * (y1 - y0) + lift * ny
        figure.add_scatter(
            x=x,
            y=y,
            mode="lines",
            line={"color": COLOURS["line"], "width": 2},
            hoverinfo="skip",
            showlegend=False,
        )
        figure.add_annotation(
            x=x[-1], y=y[-1], ax=x[-3], ay=y[-3], axref="x", ayref="y", showarrow=True,
            arrowhead=2, arrowsize=1.2, arrowwidth=2, arrowcolor=COLOURS["line"], text="",
        )  # fmt: skip
        if (a, b) in rates:
            at = 8  # nearer the start, so that two opposite rates do not meet
            figure.add_annotation(
                x=x[at], y=y[at], text=rates[a, b], showarrow=False,
                bgcolor="rgba(255,255,255,0.9)", font={"size": 13},
            )  # fmt: skip
    figure.add_scatter(
        x=[places[s][0] for s in graph.states],
        y=[places[s][1] for s in graph.states],
        mode="markers+text",
        text=[level_label(s, lang) for s in graph.states],
        textposition="middle center",
        marker={
            "size": 62,
            "color": [COLOURS["bars"] if s in graph.absorbing else "#DCEBF7" for s in graph.states],
            "line": {"width": 2, "color": COLOURS["estimate"]},
        },
        hoverinfo="skip",
        showlegend=False,
    )
    off: dict[str, Any] = {"visible": False, "fixedrange": True}
    figure.update_layout(
        xaxis=off | {"scaleanchor": "y"}, yaxis=off, hovermode=False, margin={"t": 24, "b": 24}
    )
    return figure


def _beside(at: tuple[float, float], a: tuple[float, float], b: tuple[float, float]) -> float:
    """Distance of a point from the stretch between two others."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    t = ((at[0] - a[0]) * dx + (at[1] - a[1]) * dy) / (dx * dx + dy * dy)
    t = min(max(t, 0.0), 1.0)
    return hypot(at[0] - a[0] - t * dx, at[1] - a[1] - t * dy)
