"""Occupancy: the share of lives in each state over time, as observed and from intensities.

As observed it is Aalen and Johansen's estimate, the product over times of I + dN/Y; from intensities the
solution of Kolmogorov's forward equation, a product of matrix exponentials over stretches of constant
rates. Sources: Aalen and Johansen (1978), Scandinavian Journal of Statistics 5; Andersen, Borgan, Gill and
Keiding (1993), Statistical Models Based on Counting Processes, section IV.4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import polars as pl
from scipy.special import ndtri

from pricing.errors import InputError
from pricing.estimate.design import Floats
from pricing.files import fingerprint
from pricing.multistate.exponential import exponentials
from pricing.multistate.graph import Move, StateGraph, named
from pricing.multistate.occupancy_figure import occupancy_areas
from pricing.multistate.spells import read_spells
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, say

__all__ = ["Occupancy", "aalen_johansen", "forward_occupancy"]


class Occupancy(Result):
    """Share of lives in each state over time.

    ``.table``: years, in_state, probability and, where it was estimated from spells, std_error, lower,
    upper and at_risk (lives in the state just before).
    """

    kind = "occupancy"

    def finding(self, lang: Language = "en") -> str:
        """Say the result in one sentence, states in the language."""
        return say(f"finding.{self.kind}", lang, **named(self.facts, lang))

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the shares as areas."""
        return occupancy_areas(
            self.table, self.details["states"], lang, steps=self.details["steps"]
        )


def aalen_johansen(
    frame: pl.DataFrame | pl.LazyFrame,
    graph: StateGraph,
    *,
    start: str | Mapping[str, float] | None = None,
    since: float = 0.0,
    times: Sequence[float] | None = None,
    person: str | None = None,
    level: float = 0.95,
    source: str = "",
) -> Occupancy:
    """Estimate occupancy from spells, without a model of the intensities.

    Parameters
    ----------
    frame : polars.DataFrame or LazyFrame
        Spells; see :func:`pricing.multistate.spells.read_spells`. Lives may enter late.
    graph : StateGraph
        The states and moves.
    start : str or mapping of state to share, optional
        Where lives begin; as the lives under observation just after ``since`` where left out.
    since : float
        Time to begin at.
    times : sequence of float, optional
        Times to report; every time of a move where left out.
    person : str, optional
        Column that names the life, to refuse overlaps.
    level : float
        Of the intervals, p ± z·se cut at 0 and 1.

    Returns
    -------
    Occupancy
        The basis says where lives are expected in a state in which none is observed.

    Raises
    ------
    InputError
        For spells and options that cannot be used.

    Notes
    -----
    p(t) = p(t−)(I + dN(t)/Y(t)): all moves of one time in one matrix, Y the lives that entered before t
    and had not left before t. Variance: V(t) = (I + dA)ᵀV(t−)(I + dA) + Σᵣ pᵣ² (diag π − ππᵀ)/Yᵣ with π
    the row r of I + dA, Greenwood's form (Andersen et al. 1993, 4.4.20), given the start.

    Examples
    --------
    >>> from pricing.multistate.graph import state_graph
    >>> rows = pl.DataFrame({"from_state": ["well"] * 4 + ["ill"], "to_state": ["ill", "dead", None, None, "dead"],
    ...     "entry": [0.0, 0.0, 0.0, 0.0, 1.0], "exit": [1.0, 2.0, 3.0, 3.0, 4.0]})
    >>> found = aalen_johansen(rows, state_graph({"well": ["ill", "dead"], "ill": ["dead"]}))
    >>> found.table.filter(years=2.0).select("in_state", pl.col("probability").round(4)).rows()
    [('well', 0.5), ('ill', 0.25), ('dead', 0.25)]
    """
    if not 0 < level < 1:
        raise InputError(f"level must lie between 0 and 1, got {level}")
    if not np.isfinite(since):
        raise InputError(f"since must be finite, got {since}")
    rows = read_spells(frame, graph, person=person)
    after = rows.filter(pl.col("exit") > since)
    if after.is_empty():
        raise InputError(f"no life is under observation after {since:g}")
    jumps, counts = _jumps(after, graph)
    risk = _at_risk(rows, graph, jumps)
    begin = _start(graph, start, _at_risk(rows, graph, np.array([np.nextafter(since, np.inf)]))[0])
    left = ~np.isin(graph.states, graph.absorbing)
    p, variance, stuck = _product(begin, counts, risk, left)
    shown = _shown(times, jumps, since)
    at = np.searchsorted(jumps, shown, side="right")  # 0 is the start
    size, reach = len(graph.states), float(ndtri(0.5 + level / 2))
    share = np.clip(p[at].ravel(), 0.0, 1.0)
    error = np.sqrt(np.maximum(np.diagonal(variance, axis1=1, axis2=2)[at].ravel(), 0.0))
    lives = _at_risk(rows, graph, shown)
    absorbing = np.isin(graph.states, graph.absorbing)
    table = pl.DataFrame(
        {
            "years": np.repeat(shown, size),
            "in_state": list(graph.states) * len(shown),
            "probability": share,
            "std_error": error,
            "lower": np.clip(share - reach * error, 0.0, 1.0),
            "upper": np.clip(share + reach * error, 0.0, 1.0),
            "at_risk": np.where(absorbing, np.nan, lives).ravel(),
        }
    ).with_columns(pl.col("at_risk").fill_nan(None))
    notes = [f"intervals: Greenwood's form, {level:.0%}, given the start"]
    notes += [
        f"{graph.states[i]}: none of the lives expected there is observed at {count:,} times of moves"
        for i, count in enumerate(stuck)
        if count
    ]
    years = float(rows.select((pl.col("weight") * (pl.col("exit") - pl.col("entry"))).sum()).item())
    basis = Basis(
        source=source, rows=rows.height, exposure=years, claims=float(counts.sum()),
        notes=tuple(notes),
        fingerprint=fingerprint(rows.hash_rows(seed=7).sort().to_numpy().tobytes(), repr((start, since))),
    )  # fmt: skip
    return _occupancy(table, graph, basis, steps=True)


def forward_occupancy(
    graph: StateGraph,
    rates: Mapping[Move, float | Sequence[float]],
    times: Sequence[float],
    *,
    start: str | Mapping[str, float] | None = None,
    breaks: Sequence[float] = (),
    source: str = "",
) -> Occupancy:
    """Occupancy that intensities imply: Kolmogorov's forward equation, solved exactly.

    Parameters
    ----------
    graph : StateGraph
        The states and moves.
    rates : mapping of (from, to) to float or sequence of float
        Per year, zero or more; one for each stretch where there are breaks.
    times : sequence of float
        Years from the start, zero or more.
    start : str or mapping of state to share, optional
        Where lives begin; in the first state where left out.
    breaks : sequence of float
        Years, above zero and rising, at which the rates change.

    Returns
    -------
    Occupancy

    Raises
    ------
    InputError
        For rates, times, breaks and starts that cannot be used.

    Notes
    -----
    p(t) = p(0) Π exp(Q_k Δ_k), constant rates on each stretch.

    Examples
    --------
    >>> from pricing.multistate.graph import state_graph
    >>> found = forward_occupancy(state_graph([("well", "dead")]), {("well", "dead"): [0.1, 0.2]}, [3.0],
    ...                           breaks=[1.0])
    >>> found.table["probability"].round(6).to_list()  # exp(−0.5)
    [0.606531, 0.393469]
    """
    shown, cuts = np.array([float(t) for t in times]), np.array([float(b) for b in breaks])
    faults = []
    if not len(shown) or not np.isfinite(shown).all() or (shown < 0).any():
        faults.append("times must be finite and zero or more, at least one")
    if not np.isfinite(cuts).all() or (np.diff(np.append(0.0, cuts)) <= 0).any():
        faults.append(f"breaks must be above zero and rise, got {cuts.tolist()}")
    faults += [f"{a!r} to {b!r} lacks" for a, b in graph.moves if (a, b) not in rates]
    faults += [f"{m} is no move of the graph" for m in rates if m not in graph.moves]
    table: list[Floats] = []
    for m in graph.moves:
        own = np.atleast_1d(np.asarray(rates.get(m, 0.0), dtype=float))
        if len(own) not in (1, len(cuts) + 1):
            faults.append(f"{m} has {len(own)} rates for {len(cuts) + 1} stretches")
            continue
        if not np.isfinite(own).all() or (own < 0).any():
            faults.append(f"{m} has a rate that is not finite or negative")
        table.append(np.broadcast_to(own, len(cuts) + 1))
    if faults:
        raise InputError("no occupancy follows from these", faults=faults)
    begin = _start(graph, start, np.eye(len(graph.states))[0])
    matrices = graph.matrix(np.column_stack(table))
    edges = np.concatenate([[0.0], cuts, [np.inf]])
    p = np.repeat(begin[None], len(shown), axis=0)
    for k in range(len(matrices)):
        years = np.clip(shown, edges[k], edges[k + 1]) - edges[k]
        p = (p[:, None, :] @ exponentials(matrices[[k]], years))[:, 0]
    found = pl.DataFrame(
        {
            "years": np.repeat(shown, len(graph.states)),
            "in_state": list(graph.states) * len(shown),
            "probability": np.clip(p.ravel(), 0.0, 1.0),
        }
    )
    basis = Basis(
        source=source, notes=("Kolmogorov's forward equation, constant rates between breaks",)
    )
    return _occupancy(found, graph, basis, steps=False)


def _occupancy(table: pl.DataFrame, graph: StateGraph, basis: Basis, *, steps: bool) -> Occupancy:
    last = table.filter(pl.col("years") == pl.col("years").max())
    top = last.sort("probability", descending=True).row(0, named=True)
    facts: dict[str, Any] = {k: top[k] for k in ("years", "in_state", "probability")}
    return Occupancy(
        table=table,
        basis=basis,
        facts=facts,
        details={"states": list(graph.states), "steps": steps},
    )


def _jumps(rows: pl.DataFrame, graph: StateGraph) -> tuple[Floats, Floats]:
    """Times of moves, and the moves at each: times × states × states."""
    moved = (
        rows.drop_nulls("to_state")
        .filter(pl.col("weight") > 0)
        .group_by("exit", "from_state", "to_state")
        .agg(pl.col("weight").sum())
    )
    jumps = np.unique(moved["exit"].to_numpy())
    names = pl.Enum(graph.states)
    counts = np.zeros((len(jumps), len(graph.states), len(graph.states)))
    a = moved["from_state"].cast(names).to_physical().to_numpy()
    b = moved["to_state"].cast(names).to_physical().to_numpy()
    counts[np.searchsorted(jumps, moved["exit"].to_numpy()), a, b] = moved["weight"].to_numpy()
    return jumps, counts


def _at_risk(rows: pl.DataFrame, graph: StateGraph, times: Floats) -> Floats:
    """Lives in each state just before each time: entered before it, not left before it."""
    found = np.zeros((len(times), len(graph.states)))
    for i, state in enumerate(graph.states):
        own = rows.filter(from_state=state)
        for column, sign in (("entry", 1.0), ("exit", -1.0)):
            sums = own.group_by(column).agg(pl.col("weight").sum()).sort(column)
            total = np.append(0.0, np.cumsum(sums["weight"].to_numpy()))
            found[:, i] += (
                sign * total[np.searchsorted(sums[column].to_numpy(), times, side="left")]
            )
    return np.where(found > 1e-9, found, 0.0)


def _start(graph: StateGraph, start: str | Mapping[str, float] | None, seen: Floats) -> Floats:
    if start is None:
        if not seen.sum() > 0:
            raise InputError("no life is under observation at the start", do="give start=")
        return np.asarray(seen / seen.sum())
    shares = {start: 1.0} if isinstance(start, str) else dict(start)
    graph.require(*shares, where="start")
    values = np.array([float(shares.get(s, 0.0)) for s in graph.states])
    if not np.isfinite(values).all() or (values < 0).any() or abs(values.sum() - 1) > 1e-9:
        raise InputError(
            f"the shares to start from must be zero or more and add to 1, got {shares}"
        )
    return np.asarray(values / values.sum())


def _product(
    begin: Floats, counts: Floats, risk: Floats, leaves: npt.NDArray[np.bool_]
) -> tuple[Floats, Floats, list[int]]:
    """The product integral, its variance, and how often a state had lives expected and none seen."""
    size = len(begin)
    with np.errstate(all="ignore"):
        steps = np.where(risk[:, :, None] > 0, counts / risk[:, :, None], 0.0)
    steps[:, np.arange(size), np.arange(size)] = 1.0 - steps.sum(axis=2)
    p, v = np.zeros((len(counts) + 1, size)), np.zeros((len(counts) + 1, size, size))
    p[0] = begin
    stuck = np.zeros(size, dtype=int)
    spread = steps[:, :, :, None] * (np.eye(size) - steps[:, :, None, :])
    spread = np.where(
        risk[:, :, None, None] > 0, spread / np.maximum(risk, 1e-300)[:, :, None, None], 0.0
    )
    for k in range(len(counts)):  # each time rests on the one before
        p[k + 1] = p[k] @ steps[k]
        v[k + 1] = steps[k].T @ v[k] @ steps[k] + np.einsum("r,rij->ij", p[k] ** 2, spread[k])
        stuck += (p[k] > 1e-9) & (risk[k] == 0) & leaves
    return p, v, [int(c) for c in stuck]


def _shown(times: Sequence[float] | None, jumps: Floats, since: float) -> Floats:
    if times is None:
        return np.append(since, jumps)
    shown = np.array(sorted({float(t) for t in times}))
    if not len(shown) or not np.isfinite(shown).all() or (shown < since).any():
        raise InputError(f"times must be finite and {since:g} or more, at least one")
    return shown
