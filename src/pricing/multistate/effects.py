"""Covariates on intensities: which columns act on which moves, and which moves share an effect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from pricing.errors import InputError, nearest
from pricing.estimate.design import Column, Floats, design, variables
from pricing.experience.cells import Experience
from pricing.multistate.graph import Move, StateGraph
from pricing.multistate.visits import Visits

__all__ = ["Effects", "Sharing", "column_values", "level_text", "panel_effects", "period_labels"]

Sharing = Literal["equal"] | Sequence[Sequence[Move]]
PERIOD = "time_period"


@dataclass(frozen=True)
class Effects:
    """Columns of the log intensities, their values by group and the parameters behind them.

    Attributes
    ----------
    columns : tuple of Column
        The first is the intercept.
    design : array, groups × columns
    group : integer array, one per step
    free : array, (moves · columns) × parameters
        Moves that share an effect share a parameter; a move without an effect has a row of zeros.
    names : tuple of str
        What each parameter is.
    base : mapping of str to str
        Base level by factor.
    means : mapping of str to float
        Mean of each covariate over the years seen.
    levels : mapping of str to sequence of str
        Levels of each factor.
    """

    columns: tuple[Column, ...]
    design: Floats
    group: npt.NDArray[np.intp]
    free: Floats
    names: tuple[str, ...]
    base: Mapping[str, str]
    means: Mapping[str, float]
    levels: Mapping[str, Sequence[str]]


def panel_effects(
    visits: Visits,
    formula: str = "",
    *,
    share: Mapping[str, Sharing] | None = None,
    base: Mapping[str, str] | None = None,
) -> Effects:
    """Read a formula on the covariates of visits; breaks in time add the factor ``time_period``.

    Parameters
    ----------
    visits : Visits
        Steps and the visits they begin with.
    formula : str
        As :func:`pricing.estimate.design.parse` reads it, ``"sex + age"``; empty for none.
    share : mapping of str to "equal" or groups of moves, optional
        By term: ``"equal"`` gives all moves one effect; ``[[("well", "ill")], [("well", "dead"),
        ("ill", "dead")]]`` gives the moves of a group one, and those in no group none.
    base : mapping of str to str, optional
        Base level by factor; else the level with the most years.

    Raises
    ------
    InputError
        For terms, moves and levels that are not there, moves in two groups, and columns that go
        together.

    Examples
    --------
    >>> from pricing.multistate.graph import state_graph
    >>> from pricing.multistate.visits import read_visits
    >>> rows = pl.DataFrame({"person": [1, 1, 2, 2], "time": [0.0, 1.0] * 2, "state": ["a", "b"] * 2,
    ...                      "sex": ["f", "f", "m", "m"]})
    >>> visits = read_visits(rows, state_graph([("a", "b")]), covariates=["sex"])
    >>> panel_effects(visits, "sex").names
    ('a to b', 'a to b, sex[m]')
    """
    names = list(variables(formula)) if formula.strip() else []
    if PERIOD in names:
        raise InputError(f"a covariate is called {PERIOD!r}, as the stretches between breaks are")
    used = visits.rows[visits.row]
    if names:
        columns, wide, cell, bases, means, levels = _covariates(
            used.select(names), visits.years, names, formula, base
        )
    else:
        if base:
            raise InputError(f"a base is given for {sorted(base)}, but there is no formula")
        columns, wide = [Column("(intercept)", (), ())], np.ones((1, 1))
        cell, bases, means, levels = np.zeros(len(used), dtype=np.intp), {}, {}, {}
    pairs, group = np.unique(np.column_stack([cell, visits.piece]), axis=0, return_inverse=True)
    matrix = wide[pairs[:, 0]]
    if visits.breaks:
        labels = period_labels(visits.breaks)
        empty = [labels[k] for k in range(len(labels)) if not (visits.piece == k).any()]
        if empty:
            raise InputError(f"no time is seen in {empty}", do="take the break out")
        columns += [Column(PERIOD, (PERIOD,), (one,)) for one in labels[1:]]
        matrix = np.column_stack(
            [matrix, *[(pairs[:, 1] == k).astype(float) for k in range(1, len(labels))]]
        )
        bases, levels = {**bases, PERIOD: labels[0]}, {**levels, PERIOD: labels}
    size = np.sqrt((matrix**2).sum(axis=0))
    if np.linalg.matrix_rank(matrix / np.where(size > 0, size, 1.0)) < matrix.shape[1]:
        raise InputError(
            "covariates go together: some column is a combination of the others",
            where=formula,
            do="leave one of them out",
        )
    free, said = _free(visits.graph, columns, share or {}, formula)
    return Effects(
        tuple(columns), matrix, np.asarray(group.ravel(), dtype=np.intp), free, said, bases, means,
        levels,
    )  # fmt: skip


def period_labels(breaks: Sequence[float]) -> list[str]:
    """Name the stretches between breaks.

    Examples
    --------
    >>> period_labels([2.0, 5.5])
    ['<2', '2-5.5', '5.5+']
    """
    middle = [f"{a:g}-{b:g}" for a, b in pairwise(breaks)]
    return [f"<{breaks[0]:g}", *middle, f"{breaks[-1]:g}+"]


def column_values(
    columns: Sequence[tuple[Sequence[str], Sequence[str | None]]],
    base: Mapping[str, str],
    means: Mapping[str, float],
    at: Mapping[str, Any],
) -> Floats:
    """Values of a model's columns at levels and numbers; the rest at base and mean.

    Examples
    --------
    >>> column_values([((), ()), (("sex",), ("m",)), (("age",), (None,))], {"sex": "f"}, {"age": 50.0},
    ...               {"sex": "m"}).tolist()
    [1.0, 1.0, 50.0]
    """
    named = {**base, **{n: level_text(v) for n, v in at.items() if n in base}}
    numbers = {**means, **{n: float(v) for n, v in at.items() if n in means}}
    return np.array(
        [
            np.prod(
                [
                    numbers[v] if level is None else float(named[v] == level)
                    for v, level in zip(variables_of, levels, strict=True)
                ]
            )
            for variables_of, levels in columns
        ]
    )


def level_text(value: Any) -> str:
    """Name a level as the cells do: yes and no for what is true or false.

    Examples
    --------
    >>> level_text(True), level_text("m"), level_text(3)
    ('yes', 'm', '3')
    """
    return ("no", "yes")[value] if isinstance(value, bool) else str(value)


def _covariates(
    used: pl.DataFrame,
    years: Floats,
    names: list[str],
    formula: str,
    base: Mapping[str, str] | None,
) -> tuple[
    list[Column], Floats, npt.NDArray[np.intp], dict[str, str], dict[str, float], dict[str, Any]
]:
    cells = used.unique(maintain_order=True).with_row_index("panel_cell")
    cell = used.join(cells, on=names, how="left", maintain_order="left", nulls_equal=True)
    at = cell["panel_cell"].to_numpy().astype(np.intp)
    held = np.bincount(at, weights=years, minlength=cells.height)
    seen = Experience.collect(
        cells.with_columns(exposure=pl.Series(held), claims=pl.lit(0)), [*names, "panel_cell"]
    )
    read = design(formula, seen, base=base)
    smooth = sorted({c.smooth for c in read.columns if c.spline is not None})
    if smooth:
        raise InputError(
            f"splines of {smooth} are not offered on visits", where=formula, do="use bands"
        )
    order = seen.values("panel_cell").astype(int)
    wide = np.empty((cells.height, len(read.columns)))
    wide[order] = np.asarray(read.matrix.toarray())
    weight = seen.values("exposure")
    means = {
        n: float(seen.values(n) @ weight / weight.sum()) for n in names if n not in seen.factors
    }
    levels = {n: list(read.levels.get(n, ())) for n in names if n in seen.factors}
    return list(read.columns), wide, at, dict(read.base), means, levels


def _free(
    graph: StateGraph, columns: Sequence[Column], share: Mapping[str, Sharing], where: str
) -> tuple[Floats, tuple[str, ...]]:
    moves = graph.moves
    terms = list(dict.fromkeys(c.term for c in columns[1:]))
    faults = [
        f"share: {t!r} is no term of the model{nearest(t, terms)}" for t in share if t not in terms
    ]
    groups: dict[str, list[list[int]]] = {}
    for term in terms:
        asked: Any = share.get(term)
        if asked is None:
            groups[term] = [[m] for m in range(len(moves))]
            continue
        if isinstance(asked, str):
            if asked != "equal":
                faults.append(f"share: {term!r} is {asked!r}, not 'equal' or groups of moves")
            groups[term] = [list(range(len(moves)))]
            continue
        flat = [tuple(m) for one in asked for m in one]
        faults += [f"share: {term!r} names {m}, which is no move" for m in flat if m not in moves]
        faults += [
            f"share: {term!r} names {m} twice" for m in dict.fromkeys(flat) if flat.count(m) > 1
        ]
        faults += [f"share: {term!r} has an empty group"] if not all(asked) or not asked else []
        groups[term] = [
            [moves.index((m[0], m[1])) for m in one if tuple(m) in moves] for one in asked
        ]
    if faults:
        raise InputError("effects that cannot be fitted", where=where, faults=faults)
    width = len(columns)
    rows: list[npt.NDArray[np.float64]] = []
    said: list[str] = []
    for k, column in enumerate(columns):
        for one in [[m] for m in range(len(moves))] if k == 0 else groups[column.term]:
            row = np.zeros(len(moves) * width)
            row[[m * width + k for m in one]] = 1.0
            rows.append(row)
            who = " and ".join(f"{moves[m][0]} to {moves[m][1]}" for m in one)
            said.append(who if k == 0 else f"{who}, {column.name}")
    return np.column_stack(rows), tuple(said)
