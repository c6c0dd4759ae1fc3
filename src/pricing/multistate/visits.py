"""Visits of a panel: what was seen of each life and when, checked and cut into steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import polars as pl

from pricing.errors import InputError, nearest
from pricing.estimate.design import Floats
from pricing.experience.domain import require_columns
from pricing.multistate.graph import StateGraph

__all__ = ["Visits", "read_visits"]

Ints = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Visits:
    """Steps between visits, in order of person and time.

    Attributes
    ----------
    graph : StateGraph
        The states.
    rows : polars.DataFrame
        Visits as read: ``person``, ``time``, ``state`` (text) and the covariates, sorted.
    row : integer array, one per step
        The visit a step begins with; its covariates hold until the next visit.
    piece : integer array
        Which stretch of time between breaks the step lies in.
    years : array
        Its length.
    start : integer array
        Number of the state at the start of the step's chain.
    allowed : array, steps × states
        1 for the states the life may be in at the end of the step.
    exact : integer array
        State entered at the end at exactly this time, −1 where the end is a visit.
    first, length : integer arrays, one per chain
        First step and number of steps: a chain goes from one known state to the next.
    breaks : tuple of float
        Times at which intensities change.
    alone : int
        Persons seen once only, who say nothing of moves.
    """

    graph: StateGraph
    rows: pl.DataFrame
    row: Ints
    piece: Ints
    years: Floats
    start: Ints
    allowed: Floats
    exact: Ints
    first: Ints
    length: Ints
    breaks: tuple[float, ...]
    alone: int


def read_visits(
    frame: pl.DataFrame | pl.LazyFrame,
    graph: StateGraph,
    *,
    person: str = "person",
    time: str = "time",
    state: str = "state",
    covariates: Sequence[str] = (),
    exact: Sequence[str] = (),
    censored: Mapping[str, Sequence[str]] | None = None,
    breaks: Sequence[float] = (),
) -> Visits:
    """Check visits and cut the time between them into steps.

    Parameters
    ----------
    frame : polars.DataFrame or LazyFrame
        One row per visit: the person, the time in years, the state found. Numbers serve as names
        of states: 1 is "1".
    graph : StateGraph
        Its states.
    person, time, state : str
        Columns.
    covariates : sequence of str
        Further columns to keep; the value of a visit holds until the next.
    exact : sequence of str
        Absorbing states whose time of entry is known to the day, such as death.
    censored : mapping of str to sequence of str, optional
        Codes that only say in which of several states a life is: ``{"alive": ["well", "ill"]}``.
    breaks : sequence of float
        Times at which intensities change; steps are cut there.

    Raises
    ------
    InputError
        For everything wrong with the rows and the options, said at once with counts.

    Examples
    --------
    >>> from pricing.multistate.graph import state_graph
    >>> rows = pl.DataFrame({"person": [1, 1, 1], "time": [0.0, 1.0, 3.0], "state": ["a", "a", "b"]})
    >>> read_visits(rows, state_graph([("a", "b")]), breaks=[2.0]).years.tolist()
    [1.0, 1.0, 1.0]
    """
    codes = {k: list(v) for k, v in (censored or {}).items()}
    cuts = _options(graph, exact, codes, breaks)
    rows = frame.lazy().collect()
    require_columns([person, time, state, *covariates], rows.columns)
    kept = list(dict.fromkeys(covariates))
    taken = [n for n in kept if n in ("person", "time", "state") and n not in (person, time, state)]
    if taken:
        raise InputError(f"covariate {taken[0]!r} has the name of one of ours; rename the column")
    if rows.is_empty():
        raise InputError("there are no visits", do="check the source and the filters")
    if not rows.schema[time].is_numeric():
        raise InputError(
            f"{time!r} is {rows.schema[time]}, not a number of years", do="give years since entry"
        )
    rows = rows.select(
        pl.col(person).alias("person"),
        pl.col(time).cast(pl.Float64).alias("time"),
        _named(rows, state).alias("state"),
        *[pl.col(n) for n in kept if n not in ("person", "time", "state")],
    )
    _require_values(rows, graph, codes, [n for n in kept if n in rows.columns])
    rows = rows.sort("person", "time")
    _require_histories(rows, graph, codes, exact)
    visits = _steps(rows, graph, exact, codes, cuts)
    if not len(visits.row):
        raise InputError(
            f"all {visits.alone:,} persons were seen once only: nothing is known of their moves"
        )
    return visits


def _options(
    graph: StateGraph,
    exact: Sequence[str],
    codes: Mapping[str, Sequence[str]],
    breaks: Sequence[float],
) -> tuple[float, ...]:
    faults = [] if not isinstance(exact, str) else [f"exact={exact!r}: give a list of states"]
    names = [] if faults else list(exact)
    faults += [
        f"exact: {n!r} is no state{nearest(n, graph.states)}"
        for n in names
        if n not in graph.states
    ]
    faults += [
        f"exact: {n!r} can be left again; only an absorbing state's entry is taken as exact"
        for n in names
        if n in graph.states and n not in graph.absorbing
    ]
    for code, states in codes.items():
        faults += [f"censored: {code!r} is a state itself"] if code in graph.states else []
        faults += [f"censored: {code!r} names no state"] if not states else []
        faults += [
            f"censored: {code!r} names {s!r}, which is no state{nearest(s, graph.states)}"
            for s in states
            if s not in graph.states
        ]
    cuts = [float(b) for b in breaks]
    if not np.isfinite(cuts).all() or any(b >= c for b, c in pairwise(cuts)):
        faults.append(f"breaks must be finite and rise, got {cuts}")
    if faults:
        raise InputError("options that cannot serve", faults=faults)
    return tuple(cuts)


def _named(rows: pl.DataFrame, state: str) -> pl.Expr:
    kind = rows.schema[state]
    if kind.is_float():
        whole = pl.col(state).cast(pl.Int64, strict=False)
        text = pl.when(whole == pl.col(state)).then(whole.cast(pl.String))
        return text.otherwise(pl.col(state).cast(pl.String))
    return pl.col(state).cast(pl.String)


def _require_values(
    rows: pl.DataFrame, graph: StateGraph, codes: Mapping[str, Sequence[str]], kept: Sequence[str]
) -> None:
    n = rows.height
    bad: dict[str, pl.Series] = {
        "'person' is null": rows["person"].is_null(),
        "'time' is null or not finite": ~rows["time"].is_finite().fill_null(False),
        "'state' is null": rows["state"].is_null(),
        "'person' and 'time' stand twice": rows.select("person", "time").is_duplicated(),
    }
    for name in kept:
        series = rows[name]
        wrong = series.is_null()
        if series.dtype.is_float():
            wrong = wrong | ~series.is_finite().fill_null(False)
        bad[f"covariate {name!r} is null or not finite"] = wrong
    faults = [f"{what} in {int(w.sum()):,} of {n:,} rows" for what, w in bad.items() if w.any()]
    known = [*graph.states, *codes]
    strange = rows.filter(pl.col("state").is_not_null() & ~pl.col("state").is_in(known))
    for name, count in strange["state"].value_counts(sort=True).head(5).iter_rows():
        faults.append(f"state {name!r} in {count:,} of {n:,} rows{nearest(name, known)}")
    if faults:
        raise InputError(
            "visits that cannot be used", faults=faults, do="mend or leave out these rows"
        )


def _require_histories(
    rows: pl.DataFrame,
    graph: StateGraph,
    codes: Mapping[str, Sequence[str]],
    exact: Sequence[str],
) -> None:
    """Refuse histories the graph cannot have made."""
    firsts = rows.group_by("person", maintain_order=True).first()
    unknown = firsts.filter(pl.col("state").is_in(list(codes)))
    pairs = (
        rows.filter(~pl.col("state").is_in(list(codes)))
        .with_columns(to=pl.col("state").shift(-1).over("person"))
        .drop_nulls("to")
    )
    counts = pairs.group_by("state", "to").agg(pl.len(), pl.col("person").first())
    at = {s: i for i, s in enumerate(graph.states)}
    reach = graph.reachable
    faults = [
        f"{a!r} followed by {b!r} {count:,} times (first: person {who}), which no way of moves allows"
        for a, b, count, who in counts.sort("state", "to").iter_rows()
        if not reach[at[a], at[b]]
    ]
    gone = rows.with_columns(before=pl.col("state").shift(1).over("person")).filter(
        pl.col("before").is_in(list(graph.absorbing)) & pl.col("state").is_in(list(codes))
    )
    if gone.height:
        faults.append(f"{gone.height:,} censored visits after an absorbing state")
    faults += [
        f"{a!r}, entered at an exact time, is entered again {count:,} times (first: person {who})"
        for a, b, count, who in counts.sort("state", "to").iter_rows()
        if a == b and a in exact
    ]
    if unknown.height:
        faults.append(
            f"the first state of {unknown.height:,} persons is censored (first: person "
            f"{unknown['person'][0]}); a history starts from a known state"
        )
    if faults:
        raise InputError(
            "histories that the graph cannot have made",
            faults=faults,
            do="add the move to the graph, or correct the rows",
        )


def _steps(
    rows: pl.DataFrame,
    graph: StateGraph,
    exact: Sequence[str],
    codes: Mapping[str, Sequence[str]],
    breaks: tuple[float, ...],
) -> Visits:
    size, n = len(graph.states), rows.height
    names = [*graph.states, *codes]
    state = rows["state"].cast(pl.Enum(names)).to_physical().to_numpy().astype(np.intp)
    who = rows["person"].rle_id().to_numpy()
    time = rows["time"].to_numpy()
    begin = np.flatnonzero(who[1:] == who[:-1])  # a visit that another follows
    low = np.searchsorted(breaks, time[begin], side="right")
    high = np.searchsorted(breaks, time[begin + 1], side="left")
    parts = np.maximum(high - low, 0) + 1
    row = np.repeat(begin, parts)
    inside = np.arange(len(row)) - np.repeat(np.cumsum(parts) - parts, parts)
    last = inside == np.repeat(parts - 1, parts)
    piece = np.repeat(low, parts) + inside
    edges = np.array([-np.inf, *breaks, np.inf])
    years = np.minimum(time[row + 1], edges[piece + 1]) - np.maximum(time[row], edges[piece])
    table = np.zeros((len(names), size))
    table[np.arange(size), np.arange(size)] = 1.0
    for k, states in enumerate(codes.values()):
        table[size + k, [graph.states.index(s) for s in states]] = 1.0
    end = state[row + 1]
    allowed = np.where(last[:, None], table[end], 1.0)
    known = last & (end < size)
    fresh = np.ones(len(row), dtype=bool)
    fresh[1:] = known[:-1] | (who[row[1:]] != who[row[:-1]])
    first = np.flatnonzero(fresh)
    length = np.diff(np.append(first, len(row)))
    entered = np.isin(end, [graph.states.index(s) for s in exact]) & last
    chains = np.repeat(np.arange(len(first)), length)
    counts = np.bincount(who, minlength=int(who[-1]) + 1 if n else 0)
    return Visits(
        graph=graph,
        rows=rows,
        row=row,
        piece=piece,
        years=years,
        start=state[row[first]][chains] if len(row) else state[:0],
        allowed=allowed,
        exact=np.where(entered, end, -1),
        first=first,
        length=length,
        breaks=breaks,
        alone=int((counts == 1).sum()),
    )
