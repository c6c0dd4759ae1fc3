"""Spells: fully observed histories, a row per stay in a state, checked."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from pricing.errors import InputError, nearest
from pricing.experience.domain import require_columns
from pricing.multistate.graph import StateGraph

__all__ = ["read_spells"]


def read_spells(
    frame: pl.DataFrame | pl.LazyFrame,
    graph: StateGraph,
    *,
    keys: Sequence[str] = (),
    person: str | None = None,
) -> pl.DataFrame:
    """Check spells and give them as ``from_state``, ``to_state``, ``entry``, ``exit``, ``weight``, keys.

    Parameters
    ----------
    frame : polars.DataFrame or LazyFrame
        One row per stay or part of one: ``from_state``, ``to_state`` (null where it is cut off
        without a move), ``exit``, and ``entry`` (0 where absent) in years of one clock, such as time
        since issue; ``weight`` (1 where absent) is the number of lives a row stands for.
    graph : StateGraph
        The moves that can be.
    keys : sequence of str
        Factors and covariates to keep.
    person : str, optional
        Column that names the life: spells of one that overlap are then refused.

    Raises
    ------
    InputError
        For columns that lack, values out of their domain, moves the graph has not, overlaps: all at
        once, with counts.

    Examples
    --------
    >>> from pricing.multistate.graph import state_graph
    >>> rows = pl.DataFrame({"from_state": ["a", "a"], "to_state": ["b", None], "exit": [1.0, 2.0]})
    >>> read_spells(rows, state_graph([("a", "b")])).row(0)
    ('a', 'b', 0.0, 1.0, 1.0)
    """
    rows = frame.lazy().collect()
    named = [person] if person else []
    require_columns(["from_state", "to_state", "exit", *keys, *named], rows.columns)
    if rows.is_empty():
        raise InputError("there are no spells", do="check the source and the filters")
    there = [n for n in ("entry", "exit", "weight") if n in rows.columns]
    words = [n for n in there if not rows.schema[n].is_numeric()]
    if words:
        raise InputError("not a number: " + ", ".join(f"{n!r} is {rows.schema[n]}" for n in words))
    absent = [
        pl.lit(value).alias(n) for n, value in (("entry", 0.0), ("weight", 1.0)) if n not in there
    ]
    extra = [n for n in dict.fromkeys([*keys, *named]) if n not in OURS]
    read = rows.with_columns(
        pl.col("from_state", "to_state").cast(pl.String), pl.col(there).cast(pl.Float64), *absent
    ).select(*OURS, *extra)
    _require(read, graph, person)
    return read


OURS = ("from_state", "to_state", "entry", "exit", "weight")


def _require(rows: pl.DataFrame, graph: StateGraph, person: str | None) -> None:
    n, a = rows.height, pl.col("from_state")
    entry, leave, weight = pl.col("entry"), pl.col("exit"), pl.col("weight")
    finite = (entry.is_finite() & leave.is_finite()).fill_null(False)
    known = a.is_in(list(graph.states)).fill_null(False)
    wrong = {
        "'from_state' is null": a.is_null(),
        "'entry' or 'exit' is null or not finite": ~finite,
        "'exit' is not after 'entry'": finite & (leave <= entry),
        "'weight' is null, not finite or negative": ~(weight.is_finite() & (weight >= 0)).fill_null(
            False
        ),
        "'from_state' is never left in the graph": known & a.is_in(list(graph.absorbing)),
    }
    counts = rows.select(**{f"c{i}": bad.sum() for i, bad in enumerate(wrong.values())}).row(0)
    faults = [f"{what} in {c:,} of {n:,} rows" for what, c in zip(wrong, counts, strict=True) if c]
    for column in ("from_state", "to_state"):
        strange = rows.filter(~pl.col(column).is_in(list(graph.states)))[column].drop_nulls()
        faults += [
            f"{column} {name!r} in {count:,} of {n:,} rows{nearest(name, graph.states)}"
            for name, count in strange.value_counts(sort=True).head(5).iter_rows()
        ]
    moves = rows.drop_nulls(["from_state", "to_state"]).group_by("from_state", "to_state").len()
    faults += [
        f"{x!r} to {y!r} in {count:,} of {n:,} rows, which the graph has not"
        for x, y, count in moves.sort("from_state", "to_state").iter_rows()
        if (x, y) not in graph.moves and x in graph.states and y in graph.states
        if x not in graph.absorbing
    ]
    if person and not faults:
        before = pl.col("exit").shift(1).over(person, order_by="entry")
        over = rows.filter(pl.col("entry") < before)
        if over.height:
            faults.append(f"{over.height:,} spells begin before the life's last one ends")
    if faults:
        raise InputError("spells that cannot be used", faults=faults, do="mend these rows")
