"""Intensities of fully observed histories: occurrences by exposure, a Poisson model for each move.

A life's moves out of a state over its years there have the likelihood of a Poisson count with those years
as exposure, so each move is a model on cells (Holford 1980, Biometrics 36; Haberman and Pitacco 1999,
Actuarial Models for Disability Insurance, chapter 3). Factors, splines and interactions are those of every
model on cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl
from scipy.special import ndtri
from threadpoolctl import threadpool_limits

from pricing.errors import InputError
from pricing.estimate.design import Column, Floats, design, variables
from pricing.estimate.glm import fit_poisson
from pricing.estimate.inference import infer
from pricing.experience.cells import Experience
from pricing.files import fingerprint
from pricing.multistate.effects import column_values, level_text
from pricing.multistate.graph import Move, StateGraph, named
from pricing.multistate.spells import read_spells
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, say

__all__ = ["Intensities", "fit_intensities", "move_experience"]


class Intensities(Result):
    """Intensities by move from occurrences and exposure.

    ``.table`` has one row per move: from_state, to_state, moved (occurrences), exposure (years in the
    state), crude (their ratio), intensity at the base levels and at the mean of each covariate, lower,
    upper. ``.frames["effects"]`` holds hazard ratios.
    """

    kind = "intensities"

    def finding(self, lang: Language = "en") -> str:
        """Say the result in one sentence, states in the language."""
        return say(f"finding.{self.kind}", lang, **named(self.facts, lang))

    @property
    def graph(self) -> StateGraph:
        """The states and moves."""
        return StateGraph(
            tuple(self.details["states"]), tuple((a, b) for a, b in self.details["moves"])
        )

    def rates(self, at: Mapping[str, Any] | None = None) -> dict[Move, float]:
        """Give the intensity of each move, the rest of the factors at base and mean.

        Examples
        --------
        >>> from pricing.multistate.graph import state_graph
        >>> rows = pl.DataFrame({"from_state": ["a"] * 4, "to_state": ["b", "b", "b", None], "exit": [1.0, 1.0, 2.0, 4.0]})
        >>> fit_intensities(rows, state_graph([("a", "b")])).rates()[("a", "b")].__round__(6)
        0.375
        """
        asked = dict(at or {})
        known = {n for m in self.details["models"] for n in (*m["base"], *m["means"])}
        faults = [f"{n!r} is in none of the models" for n in asked if n not in known]
        for n, v in asked.items():
            levels = self.details["levels"].get(n)
            if levels is not None and level_text(v) not in levels:
                faults.append(f"{n!r} has no level {v!r}; there are {', '.join(levels)}")
            elif levels is None and n in known:
                number = isinstance(v, int | float | np.number) and bool(np.isfinite(v))
                faults += [] if number else [f"{n!r} must be a finite number, got {v!r}"]
        for (a, b), said in zip(self.graph.moves, self.details["models"], strict=True):
            faults += [
                f"{a} to {b}: nobody was seen in {a} with {n!r} {v!r}"
                for n, v in asked.items()
                if n in said["base"] and level_text(v) not in said["levels"][n]
                and level_text(v) in self.details["levels"][n]
            ]  # fmt: skip
        if faults:
            raise InputError("no intensities can be given there", faults=faults)
        return {
            move: float(np.exp(_row(said, asked) @ np.array(said["coefficients"])))
            for move, said in zip(self.graph.moves, self.details["models"], strict=True)
        }

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the graph with its intensities and their intervals."""
        rates = {
            (a, b): f"{q:.3g}<br>({lo:.3g}–{up:.3g})"
            for a, b, q, lo, up in self.table.select(
                "from_state", "to_state", "intensity", "lower", "upper"
            ).iter_rows()
        }
        return self.graph.figure(lang, rates=rates)


def move_experience(
    frame: pl.DataFrame | pl.LazyFrame, graph: StateGraph, move: Move, keys: Sequence[str] = ()
) -> Experience:
    """Cells of one move: years in the state as exposure, moves as claims.

    Any model of claim frequency fits them: splines, monotone effects, penalties.

    Parameters
    ----------
    frame : polars.DataFrame or LazyFrame
        Spells; see :func:`pricing.multistate.spells.read_spells`.
    graph : StateGraph
        The moves that can be.
    move : (from, to)
    keys : sequence of str
        Factors and covariates.

    Raises
    ------
    InputError
        For spells that cannot be used, a move the graph has not, a state nobody is in.

    Examples
    --------
    >>> from pricing.multistate.graph import state_graph
    >>> rows = pl.DataFrame({"from_state": ["a", "a"], "to_state": ["b", None], "exit": [1.0, 2.0]})
    >>> seen = move_experience(rows, state_graph([("a", "b")]), ("a", "b"))
    >>> seen.basis.exposure, seen.basis.claims
    (3.0, 1.0)
    """
    return _cells(read_spells(frame, graph, keys=keys), graph, move, list(keys))


def fit_intensities(
    frame: pl.DataFrame | pl.LazyFrame,
    graph: StateGraph,
    formula: str | Mapping[Move, str] = "",
    *,
    base: Mapping[str, str] | None = None,
    level: float = 0.95,
    source: str = "",
) -> Intensities:
    """Fit the intensity of every move by occurrences and exposure.

    Parameters
    ----------
    frame : polars.DataFrame or LazyFrame
        Spells; see :func:`pricing.multistate.spells.read_spells`. What changes within a stay, such
        as the age band, splits it: the earlier part ends without a move.
    graph : StateGraph
        The moves that can be.
    formula : str or mapping of (from, to) to str
        Of every move, or move by move; a move without one has a single rate.
    base : mapping of str to str, optional
        Base level by factor; else that with the most years, move by move.
    level : float
        Of the intervals.

    Returns
    -------
    Intensities

    Raises
    ------
    InputError
        For spells that cannot be used, moves that were never seen, and levels without a move.

    Notes
    -----
    ln μ = Xβ, D ~ Poisson(E·μ); errors from the information.

    Examples
    --------
    >>> from pricing.multistate.graph import state_graph
    >>> rows = pl.DataFrame({"from_state": ["a"] * 4, "to_state": ["b", "b", "b", None],
    ...                      "exit": [1.0, 1.0, 2.0, 4.0], "sex": ["f", "m", "m", "f"]})
    >>> found = fit_intensities(rows, state_graph([("a", "b")]), "sex")
    >>> found.frames["effects"].select("level", pl.col("hazard_ratio").round(4)).rows()
    [('m', 3.3333)]
    """
    if not 0 < level < 1:
        raise InputError(f"level must lie between 0 and 1, got {level}")
    formulas = {m: formula if isinstance(formula, str) else formula.get(m, "") for m in graph.moves}
    if not isinstance(formula, str):
        strange = [f"{m}" for m in formula if m not in graph.moves]
        if strange:
            raise InputError("formulas for moves the graph has not", faults=strange)
    names = {m: list(variables(f)) if f.strip() else [] for m, f in formulas.items()}
    keys = list(dict.fromkeys(n for own in names.values() for n in own))
    rows = read_spells(frame, graph, keys=keys)
    seen = set(rows.filter(pl.col("weight") > 0).select("from_state", "to_state").iter_rows())
    never = [f"{a} to {b}" for a, b in graph.moves if (a, b) not in seen]
    if never:
        raise InputError(
            f"{len(never)} move(s) were never seen: their intensity cannot be told",
            faults=never,
            do="leave them out of the graph, or bring rates of another source",
        )
    reach = float(ndtri(0.5 + level / 2))
    models, table, effects = [], [], []
    levels: dict[str, list[str]] = {}
    for move in graph.moves:
        cells = _cells(rows, graph, move, names[move])
        own = {n: b for n, b in (base or {}).items() if n in names[move]}
        matrix = design(formulas[move] if names[move] else "1", cells, base=own)
        if any(c.spline is not None for c in matrix.columns):
            raise InputError(
                "splines are for models of claim frequency on move_experience", do="use bands here"
            )
        with threadpool_limits(1):  # small matrices: threads wait more than they work
            fit = fit_poisson(matrix, cells)
            covariance = (
                infer(matrix, fit, cells).covariance_model if fit.aliased.sum() == 0 else None
            )
        if covariance is None:
            raise InputError(
                "covariates go together: some column is a combination of the others",
                where=f"{move[0]} to {move[1]}, {formulas[move]}",
                do="leave one of them out",
            )
        weight = cells.values("exposure")
        said = {
            "columns": [[list(c.variables), list(c.levels)] for c in matrix.columns],
            "coefficients": fit.coefficients.tolist(),
            "covariance": covariance.tolist(),
            "base": dict(matrix.base),
            "levels": {n: list(there) for n, there in matrix.levels.items()},
            "means": {
                n: float(cells.values(n) @ weight / weight.sum())
                for n in names[move]
                if n not in cells.factors
            },
        }
        models.append(said)
        for n, there in matrix.levels.items():
            levels[n] = list(dict.fromkeys([*levels.get(n, []), *there]))
        table.append(_move_row(move, cells, said, reach))
        effects += _effect_rows(move, matrix.columns, fit.coefficients, covariance, reach)
    found = pl.DataFrame(table)
    top = found.sort("intensity", descending=True).row(0, named=True)
    facts = {k: top[k] for k in ("from_state", "to_state", "intensity", "lower", "upper")}
    years = float(rows.select((pl.col("weight") * (pl.col("exit") - pl.col("entry"))).sum()).item())
    moved = float(found["moved"].sum())
    basis = Basis(
        source=source, rows=rows.height, exposure=years, claims=moved,
        fingerprint=fingerprint(rows.hash_rows(seed=7).sort().to_numpy().tobytes(), repr(formulas)),
        notes=("Poisson on occurrences and exposure; errors from the information",),
    )  # fmt: skip
    return Intensities(
        table=found,
        basis=replace(basis, currency=""),
        facts=facts | {"level": level, "moved": moved, "years": years},
        frames={"effects": pl.DataFrame(effects)} if effects else {},
        details={
            "states": list(graph.states),
            "moves": [list(m) for m in graph.moves],
            "models": models,
            "levels": levels,
        },
    )


def _cells(rows: pl.DataFrame, graph: StateGraph, move: Move, keys: Sequence[str]) -> Experience:
    if tuple(move) not in graph.moves:
        raise InputError(f"{move} is no move of the graph")
    own = rows.filter((pl.col("from_state") == move[0]) & (pl.col("weight") > 0))
    if own.is_empty():
        raise InputError(f"no spell is in {move[0]!r}: nothing is known of {move[0]} to {move[1]}")
    years = pl.col("weight") * (pl.col("exit") - pl.col("entry"))
    moved = pl.when(pl.col("to_state") == move[1]).then("weight").otherwise(0.0)
    counted = own.select(*keys, exposure=years, claims=moved.fill_null(0.0))
    if not keys:
        counted = counted.with_columns(all=pl.lit("all"))
    return Experience.collect(counted, list(keys) or ["all"])


def _move_row(
    move: Move, cells: Experience, said: Mapping[str, Any], reach: float
) -> dict[str, Any]:
    x = _row(said, {})
    log = float(x @ np.array(said["coefficients"]))
    error = float(np.sqrt(x @ np.array(said["covariance"]) @ x))
    moved, years = cells.basis.claims, cells.basis.exposure
    return {
        "from_state": move[0], "to_state": move[1], "moved": moved, "exposure": years,
        "crude": moved / years, "intensity": float(np.exp(log)),
        "lower": float(np.exp(log - reach * error)), "upper": float(np.exp(log + reach * error)),
    }  # fmt: skip


def _effect_rows(
    move: Move, columns: Sequence[Column], beta: Floats, covariance: Floats, reach: float
) -> list[dict[str, Any]]:
    error = np.sqrt(np.diag(covariance))
    return [
        {
            "term": c.term, "level": c.level, "from_state": move[0], "to_state": move[1],
            "hazard_ratio": float(np.exp(beta[k])),
            "lower": float(np.exp(beta[k] - reach * error[k])),
            "upper": float(np.exp(beta[k] + reach * error[k])),
            "coefficient": float(beta[k]), "std_error": float(error[k]),
        }
        for k, c in enumerate(columns)
        if k
    ]  # fmt: skip


def _row(said: Mapping[str, Any], asked: Mapping[str, Any]) -> Floats:
    return column_values(said["columns"], said["base"], said["means"], asked)
