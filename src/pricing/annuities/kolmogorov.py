"""Where lives are: Kolmogorov's forward equation, exactly or by the book's Euler steps.

P'(t) = P(t) M(x + t), M the matrix of intensities with rows that add to 0. Exact: where intensities
are level in pieces the product of matrix exponentials, else Dormand and Prince's method of order 8
with relative tolerance 1e-12. By the book: p(t + h) = p(t) + h p(t) M(x + t), h a month (Dickson,
Hardy and Waters 2013, Actuarial Mathematics for Life Contingent Risks, 2nd ed., chapter 8); its
error is of the order of h, some units of the third digit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Literal, cast, get_args

import numpy as np
import plotly.graph_objects as go
import polars as pl
from numpy.typing import ArrayLike, NDArray

from pricing.annuities.state_model import StateModel
from pricing.errors import InputError, nearest
from pricing.files import fingerprint
from pricing.multistate.exponential import series
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, level_label, say

__all__ = [
    "METHODS",
    "Kolmogorov",
    "Method",
    "flow",
    "grid_of",
    "hold_method",
    "knots_of",
    "kolmogorov",
    "pieces",
]

Floats = NDArray[np.float64]
Method = Literal["exact", "euler"]
METHODS: tuple[Method, ...] = get_args(Method)
HAIR = 2e-10  # years: more than times that are one may differ by
TIGHT = {"method": "DOP853", "rtol": 1e-12, "atol": 1e-14}

# Okabe and Ito (2008), the last state in the grey of the bars
_AREAS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


class Kolmogorov(Result):
    """Chances of states over time; ``.table``: years_since_start, age, in_state, state_share, years_in_state.

    ``years_in_state`` are the years expected in the state from the start until then.
    """

    kind = "kolmogorov"

    def share(self, state: str, time: float) -> float:
        """Chance of being in a state at a time of the table."""
        return self._at(state, time, "state_share")

    def years(self, state: str, time: float | None = None) -> float:
        """Years expected in a state until a time of the table, or until its end."""
        return self._at(state, self.facts["years"] if time is None else time, "years_in_state")

    def _at(self, state: str, time: float, column: str) -> float:
        near = (pl.col("years_since_start") - time).abs() < 1e-9
        row = self.table.filter(near, pl.col("in_state") == state)
        if row.is_empty():
            raise InputError(f"no state {state!r} at {time} years in the table")
        return float(row[column][0])

    def finding(self, lang: Language = "en") -> str:
        """Say how long each state is held and where lives end."""
        facts = {**self.facts, "scheme": say(f"sentence.scheme_{self.facts['method']}", lang)}
        held = say("sentence.list_separator", lang).join(
            say(
                "sentence.state_held",
                lang,
                state=level_label(state, lang),
                years=years,
                share=share,
            )
            for state, years, share in self.facts["held"]
        )
        return say("finding.kolmogorov", lang, **{**facts, "held": held})

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the states as areas that fill up to 1, by age."""
        figure = go.Figure(layout={"template": "pricing"})
        names = self.table["in_state"].unique(maintain_order=True).to_list()
        for n, state in enumerate(names):
            part = self.table.filter(pl.col("in_state") == state)
            gone = n == len(names) - 1
            figure.add_scatter(
                x=part["age"].to_list(),
                y=part["state_share"].to_list(),
                name=level_label(state, lang),
                mode="lines",
                line={"width": 0.5, "color": "#6B7280" if gone else _AREAS[n % len(_AREAS)]},
                fillcolor="#D9DEE4" if gone else _AREAS[n % len(_AREAS)],
                stackgroup="states",
            )
        return figure.update_layout(
            xaxis={"title": {"text": label("age", lang)}},
            yaxis={
                "title": {"text": label("state_share", lang)},
                "tickformat": ".0%",
                "range": [0, 1],
            },
        )


def kolmogorov(
    model: StateModel,
    *,
    age: float,
    years: float,
    start: str | Mapping[str, float],
    method: Method = "exact",
    step: float = 1 / 12,
) -> Kolmogorov:
    """Follow lives through the states of a graph.

    Parameters
    ----------
    model : StateModel
        States and intensities by age.
    age : float
        Attained age at the start, years.
    years : float
        Term.
    start : str or mapping of str to float
        State at the start, or the share of lives in each.
    method : {"exact", "euler"}
        Exact, or the textbook's steps.
    step : float
        Years between the rows of the table; the Euler step too.

    Returns
    -------
    Kolmogorov
        Chance of each state and years expected in it, by time.

    Raises
    ------
    InputError
        For unknown states, intensities that are negative or not finite, ages the model does not
        know and a term that is no whole number of steps.

    Examples
    --------
    >>> from pricing.annuities.state_model import state_model
    >>> found = kolmogorov(state_model({("alive", "dead"): 0.1}), age=60, years=10, start="alive")
    >>> round(found.share("alive", 10), 6), round(found.years("alive"), 6)
    (0.367879, 6.321206)
    """
    hold_method(method)
    times = grid_of(years, step)
    model.hold(age, years)
    begin = model.start(start)
    shares, spent = (
        flow(model, age, times, begin)[:2]
        if method == "exact"
        else _euler(model, age, times, begin)
    )
    states = model.states
    table = pl.DataFrame(
        {
            "years_since_start": np.repeat(times, len(states)),
            "age": np.repeat(age + times, len(states)),
            "in_state": np.tile(states, len(times)),
            "state_share": shares.ravel(),
            "years_in_state": spent.ravel(),
        }
    )
    facts = {
        "age": float(age), "years": float(times[-1]), "method": method, "step": float(step),
        "held": [[s, float(y), float(p)] for s, y, p in zip(states, spent[-1], shares[-1], strict=True)],
    }  # fmt: skip
    note = "matrix exponentials" if model.constant else "Dormand-Prince of order 8"
    basis = Basis(
        source="state graph: " + ", ".join(states),
        fingerprint=fingerprint(str(facts), shares.tobytes()),
        notes=(f"exact: {note}" if method == "exact" else f"Euler steps of {step:.6g} years",),
    )
    return Kolmogorov(table=table, basis=basis, facts=facts)


def flow(
    model: StateModel, age: float, times: Floats, begin: Floats
) -> tuple[Floats, Floats, Floats]:
    """Solve the forward equation exactly at rising times, the first of them 0.

    Returns
    -------
    tuple of numpy.ndarray, each (n, k)
        Chances, years spent, and the intensity of leaving each state summed up since the start.

    Examples
    --------
    >>> from pricing.annuities.state_model import state_model
    >>> shares, years, left = flow(state_model({("a", "b"): 0.5}), 0.0, np.array([0.0, 2.0]), np.array([1.0, 0.0]))
    >>> shares[-1].round(4).tolist(), float(left[-1, 0])
    ([0.3679, 0.6321], 1.0)
    """
    k = len(begin)
    knots = pieces(times, [b - age for b in model.breaks])
    found = np.zeros((len(knots), 3 * k))
    found[0, :k] = begin
    if model.constant:
        widths = np.diff(knots)
        middles = knots[:-1] + widths / 2
        rates = np.array([model.generator(age + m) for m in middles])
        block = np.zeros((len(widths), 2 * k, 2 * k))
        block[:, :k, :k] = rates * widths[:, None, None]
        block[:, :k, k:] = np.eye(k) * widths[:, None, None]
        moved = series(block)[0]  # scipy's expm loses digits where two states are left alike
        for n in range(len(widths)):  # a product in time has an order
            found[n + 1, : 2 * k] = found[n, : 2 * k] @ moved[n]
        leaving = -np.diagonal(rates, axis1=1, axis2=2) * widths[:, None]
        found[1:, 2 * k :] = np.cumsum(leaving, axis=0)
    else:
        from scipy.integrate import solve_ivp

        def slope(t: float, y: Floats) -> Floats:
            rate = model.generator(age + t)
            return np.concatenate([y[:k] @ rate, y[:k], -np.diagonal(rate)])

        for m, n in pairwise(knots_of(knots, [b - age for b in model.breaks])):
            a, b = knots[m], knots[n]
            safe = _inside(slope, a, b) if model.breaks else slope
            solved = solve_ivp(safe, (a, b), found[m], t_eval=knots[m : n + 1], **TIGHT)
            if not solved.success:
                raise InputError(f"the forward equation has no solution: {solved.message}")
            found[m : n + 1] = solved.y.T
    # a time within 1e-10 years after a knot is that knot
    kept = found[np.searchsorted(knots, times, side="right") - 1]
    return kept[:, :k], kept[:, k : 2 * k], kept[:, 2 * k :]


def pieces(times: ArrayLike, breaks: Sequence[float]) -> Floats:
    """Put breaks that fall inside among times; what lies within 1e-10 years of another is one.

    Examples
    --------
    >>> pieces([0.0, 2.0], [1.0, 2.0, 5.0]).tolist()
    [0.0, 1.0, 2.0]
    """
    given = np.asarray(times, dtype=float)
    extra = np.array([b for b in breaks if given[0] < b < given[-1]])
    merged = np.sort(np.concatenate([given, extra]))
    return cast(Floats, merged[np.concatenate([[True], np.diff(merged) > 1e-10])])


def knots_of(knots: Floats, breaks: Sequence[float]) -> NDArray[np.intp]:
    """Number of the first knot, of those at breaks inside, as :func:`pieces` merged them, and of the last.

    Examples
    --------
    >>> knots_of(np.array([0.0, 1.0, 2.0, 3.0]), [1.0, 2.0 + 5e-11, 7.0]).tolist()
    [0, 1, 2, 3]
    """
    inside = [b for b in breaks if knots[0] < b < knots[-1]]
    at = np.searchsorted(knots, inside, side="right") - 1
    return np.unique(np.concatenate([[0], at, [len(knots) - 1]])).astype(np.intp)


def grid_of(years: float, step: float) -> Floats:
    """Times from 0 to a term in equal steps; refused where the term is no whole number of them.

    Examples
    --------
    >>> grid_of(1.0, 0.25).tolist()
    [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    if not (np.isfinite(step) and step > 0 and np.isfinite(years) and years > 0):
        raise InputError(f"a term of {years} years in steps of {step}")
    n = round(years / step)
    if n < 1 or abs(n * step - years) > 1e-9:
        raise InputError(
            f"a term of {years:g} years is no whole number of steps of {step:g}",
            do="take a step that divides the term, such as 1/12",
        )
    return np.linspace(0.0, float(years), n + 1)


def hold_method(method: str) -> None:
    """Refuse a method that is not offered.

    Examples
    --------
    >>> hold_method("euler")
    """
    if method not in METHODS:
        raise InputError(f"no method {method!r}{nearest(str(method), METHODS)}")


def _inside(slope, a: float, b: float):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Ask for a slope just inside a piece, so that a jump at its end is not seen."""
    hair = min(HAIR, (b - a) / 4)
    return lambda t, y: slope(min(max(t, a + hair), b - hair), y)


def _euler(model: StateModel, age: float, times: Floats, begin: Floats) -> tuple[Floats, Floats]:
    h = times[1] - times[0]
    found = np.empty((len(times), len(begin)))
    found[0] = begin
    for n, t in enumerate(times[:-1]):
        found[n + 1] = found[n] + h * (found[n] @ model.generator(age + t))
    if (found < 0).any():
        raise InputError(
            f"Euler steps of {h:g} years make chances negative", do="take a shorter step, or exact"
        )
    spent = np.zeros_like(found)
    spent[1:] = np.cumsum((found[1:] + found[:-1]) * h / 2, axis=0)
    return found, spent
