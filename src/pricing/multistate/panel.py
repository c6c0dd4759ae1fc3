"""Markov models of lives seen at visits only: intensities from a panel, by maximum likelihood.

Between two visits a life may have moved there and back unseen; the likelihood counts every way by the
matrix exponential, so visits need no regular spacing. Sources: Kalbfleisch and Lawless (1985), The
Analysis of Panel Data under a Markov Assumption, JASA 80(392); Jackson (2011), Multi-State Models for
Panel Data, Journal of Statistical Software 38(8), whose model (R's msm) this is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import polars as pl
from scipy.special import chdtri, ndtri

from pricing.errors import InputError
from pricing.estimate.design import Column, Floats, variables
from pricing.files import fingerprint
from pricing.multistate.climb import Summit, climb
from pricing.multistate.effects import Effects, Sharing, column_values, level_text, panel_effects
from pricing.multistate.graph import Move, StateGraph, named
from pricing.multistate.likelihood import PanelLikelihood
from pricing.multistate.visits import Visits, read_visits
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, say

__all__ = ["PanelModel", "fit_panel", "panel_log_likelihood"]


class PanelModel(Result):
    """Intensities of moving between states, fitted to visits.

    ``.table`` has one row per move: from_state, to_state, intensity (a year, at the base levels and
    the mean of each covariate), lower, upper, coefficient (its log), std_error, visit_pairs (visits at
    the one state followed by one at the other). ``.frames["effects"]`` is the hazard ratio per
    covariate and move, ``.frames["visit_pairs"]`` counts successive visits by state.

    :mod:`pricing.multistate.stays` reads P(t), sojourn times, next states, length of stay and
    prevalence from it.
    """

    kind = "panel_model"

    def finding(self, lang: Language = "en") -> str:
        """Say the result in one sentence, states in the language."""
        said = say(f"finding.{self.kind}", lang, **named(self.facts, lang))
        if self.facts.get("endless"):
            said += say("sentence.panel_endless", lang, many=len(self.facts["endless"]))
        return said

    @property
    def graph(self) -> StateGraph:
        """The states and moves."""
        said = self.details
        return StateGraph(tuple(said["states"]), tuple((a, b) for a, b in said["moves"]))

    @property
    def coefficients(self) -> Floats:
        """Coefficients of the log intensities, moves × columns."""
        return np.array(self.details["coefficients"], dtype=float)

    @property
    def covariance(self) -> Floats:
        """Covariance of the coefficients, laid out move by move."""
        return np.array(self.details["covariance"], dtype=float)

    @property
    def columns(self) -> tuple[Column, ...]:
        """What each column of the coefficients is."""
        return tuple(
            Column(c["term"], tuple(c["variables"]), tuple(c["levels"]))
            for c in self.details["columns"]
        )

    def covariates(self, at: Mapping[str, Any] | None = None) -> Floats:
        """Give the values of the columns for levels and numbers, the rest at base and mean.

        Examples
        --------
        >>> rows = pl.DataFrame({"person": [1, 1, 2, 2, 3, 3], "time": [0.0, 1.0] * 3, "state":
        ...     ["a", "b", "a", "a", "a", "b"], "age": [60.0, 60.0, 50.0, 50.0, 40.0, 40.0]})
        >>> from pricing.multistate.graph import state_graph
        >>> fit_panel(rows, state_graph([("a", "b")]), formula="age").covariates({"age": 70}).tolist()
        [1.0, 70.0]
        """
        base, means = self.details["base"], self.details["means"]
        levels, asked = self.details["levels"], dict(at or {})
        faults = [f"{n!r} is not in the model" for n in asked if n not in base and n not in means]
        faults += [
            f"{n!r} has no level {asked[n]!r}; there are {', '.join(levels[n])}"
            for n in asked
            if n in base and level_text(asked[n]) not in levels[n]
        ]
        faults += [
            f"{n!r} must be a finite number, got {asked[n]!r}"
            for n in asked
            if n in means and not _finite(asked[n])
        ]
        if faults:
            raise InputError("no intensities can be given there", faults=faults)
        columns = [(c.variables, c.levels) for c in self.columns]
        return column_values(columns, base, means, asked)

    def intensities(self, at: Mapping[str, Any] | None = None) -> Floats:
        """Give the intensity matrix Q per year.

        Examples
        --------
        >>> rows = pl.DataFrame({"person": [1, 1, 2, 2], "time": [0.0, 1.0] * 2, "state": ["a", "b", "a", "a"]})
        >>> from pricing.multistate.graph import state_graph
        >>> fit_panel(rows, state_graph([("a", "b")])).intensities().round(6).tolist()
        [[-0.693147, 0.693147], [0.0, 0.0]]
        """
        return self.graph.matrix(np.exp(self.coefficients @ self.covariates(at)))

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the graph with its intensities and their intervals."""
        endless = self.facts.get("endless", ())
        rates = {
            (a, b): f"{q:.3g}<br>({lo:.3g}–{'∞' if f'{a} to {b}' in endless else f'{up:.3g}'})"
            for a, b, q, lo, up in self.table.select(
                "from_state", "to_state", "intensity", "lower", "upper"
            ).iter_rows()
        }
        return self.graph.figure(lang, rates=rates)


def fit_panel(
    frame: pl.DataFrame | pl.LazyFrame,
    graph: StateGraph,
    *,
    person: str = "person",
    time: str = "time",
    state: str = "state",
    formula: str = "",
    base: Mapping[str, str] | None = None,
    share: Mapping[str, Sharing] | None = None,
    exact: Sequence[str] = (),
    censored: Mapping[str, Sequence[str]] | None = None,
    breaks: Sequence[float] = (),
    start: Mapping[Move, float] | None = None,
    level: float = 0.95,
    source: str = "",
) -> PanelModel:
    """Fit the intensities of a Markov process in continuous time to visits.

    Parameters
    ----------
    frame : polars.DataFrame or LazyFrame
        One row per visit: person, time in years, state found, covariates.
    graph : StateGraph
        Moves that can happen in an instant.
    person, time, state : str
        Columns.
    formula : str
        Covariates of the log intensities, ``"sex + age"``; the value of a visit holds until the next.
    base : mapping of str to str, optional
        Base level by factor; else that with the most years.
    share : mapping, optional
        Moves that share an effect, or have none: see
        :func:`pricing.multistate.effects.panel_effects`.
    exact : sequence of str
        Absorbing states whose time of entry is known exactly, such as death; the state just before
        is not known. Where left out, a death's time counts as a visit.
    censored : mapping of str to sequence of str, optional
        Codes of ``state`` that stand for one of several states: ``{"alive": ["well", "ill"]}``.
    breaks : sequence of float
        Times (in ``time``'s scale) at which all intensities change by a factor of their own.
    start : mapping of (from, to) to float, optional
        Intensities to begin with; else successive visits by years in the state.
    level : float
        Of the intervals.
    source : str
        Where the visits come from, for the basis.

    Returns
    -------
    PanelModel

    Raises
    ------
    InputError
        For visits and options that cannot be used; where the maximum lies at an intensity of zero or
        infinity, or the information is singular (the visits do not tell some moves or effects apart):
        named, and no figure is given; where the fit does not converge.

    Notes
    -----
    Newton's method with the exact score and Hessian (:mod:`pricing.multistate.likelihood`); errors
    from the inverse observed information, intervals on the log scale.

    Examples
    --------
    >>> from pricing.multistate.graph import state_graph
    >>> rows = pl.DataFrame({"person": [1, 1, 1, 2, 2, 2, 3, 3, 3], "time": [0.0, 1.0, 2.0] * 3,
    ...     "state": ["well", "ill", "ill", "well", "well", "well", "ill", "ill", "well"]})
    >>> model = fit_panel(rows, state_graph([("well", "ill"), ("ill", "well")]))
    >>> model.table.select("from_state", pl.col("intensity").round(4)).rows()
    [('well', 0.5493), ('ill', 0.5493)]
    """
    if not 0 < level < 1:
        raise InputError(f"level must lie between 0 and 1, got {level}")
    names = list(variables(formula)) if formula.strip() else []
    visits = read_visits(
        frame, graph, person=person, time=time, state=state, covariates=names, exact=exact,
        censored=censored, breaks=breaks,
    )  # fmt: skip
    effects = panel_effects(visits, formula, share=share, base=base)
    likelihood = _likelihood(visits, effects)
    first = np.zeros(effects.free.shape[1])
    first[: len(graph.moves)] = np.log(_begin(visits, start))
    found = climb(likelihood, first, effects.names)
    endless = _endless(likelihood, found, level)
    return _result(visits, effects, found, exact, censored, level, source, endless)


def panel_log_likelihood(
    frame: pl.DataFrame | pl.LazyFrame,
    graph: StateGraph,
    intensities: Mapping[Move, float],
    *,
    person: str = "person",
    time: str = "time",
    state: str = "state",
    exact: Sequence[str] = (),
    censored: Mapping[str, Sequence[str]] | None = None,
) -> float:
    """Log-likelihood of visits at given intensities, nothing fitted.

    Parameters
    ----------
    frame, graph, person, time, state, exact, censored
        As for :func:`fit_panel`.
    intensities : mapping of (from, to) to float
        Per year, one for each move of the graph.

    Raises
    ------
    InputError
        As :func:`fit_panel`; for intensities that lack or are not above zero.

    Examples
    --------
    >>> from pricing.multistate.graph import state_graph
    >>> rows = pl.DataFrame({"person": [1, 1], "time": [0.0, 2.0], "state": ["well", "well"]})
    >>> round(panel_log_likelihood(rows, state_graph([("well", "ill")]), {("well", "ill"): 0.1}), 9)
    -0.2
    """
    visits = read_visits(
        frame, graph, person=person, time=time, state=state, exact=exact, censored=censored
    )
    rates = _given(graph, intensities)
    likelihood = _likelihood(visits, panel_effects(visits))
    return likelihood.at(np.log(rates), second=False).value


def _endless(likelihood: PanelLikelihood, found: Summit, level: float) -> list[str]:
    """Moves there and back that the visits cannot tell from moves a hundred times as fast."""
    graph = likelihood.graph
    said: list[str] = []
    for moves in graph.circles:
        faster = found.parameters.copy()
        faster[[graph.moves.index(m) for m in moves]] += np.log(100.0)
        lost = found.value - likelihood.at(faster, second=False).value
        said += [f"{a} to {b}" for a, b in moves] if 2 * lost < chdtri(1, 1 - level) else []
    return said


def _likelihood(visits: Visits, effects: Effects) -> PanelLikelihood:
    return PanelLikelihood(
        visits.graph, effects.group, visits.years, visits.start, visits.allowed, visits.exact,
        visits.first, visits.length, effects.design, effects.free,
    )  # fmt: skip


def _given(graph: StateGraph, rates: Mapping[Move, float]) -> Floats:
    faults = [f"{a!r} to {b!r} lacks" for a, b in graph.moves if (a, b) not in rates]
    faults += [f"{m} is no move of the graph" for m in rates if m not in graph.moves]
    faults += [
        f"{m} is {q!r}" for m, q in rates.items() if m in graph.moves and not (_finite(q) and q > 0)
    ]
    if faults:
        raise InputError("every move needs an intensity above zero", faults=faults)
    return np.array([float(rates[m]) for m in graph.moves])


def _begin(visits: Visits, start: Mapping[Move, float] | None) -> Floats:
    """Successive visits by the years in the state; half a move where there is none."""
    graph = visits.graph
    if start is not None:
        return _given(graph, start)
    counts, years = _seen(visits)
    at = {s: i for i, s in enumerate(graph.states)}
    moved = np.array([max(counts[at[a], at[b]], 0.5) for a, b in graph.moves])
    mean = max(float(years.mean()), 1e-9)
    return np.asarray(
        moved / np.array([years[at[a]] if years[at[a]] > 0 else mean for a, _ in graph.moves])
    )


def _seen(visits: Visits) -> tuple[Floats, Floats]:
    """Successive visits by state, and years that follow a visit in a state."""
    graph, rows = visits.graph, visits.rows
    size = len(graph.states)
    at = {s: i for i, s in enumerate(graph.states)}
    pairs = rows.with_columns(
        to=pl.col("state").shift(-1).over("person"),
        years=pl.col("time").shift(-1).over("person") - pl.col("time"),
    ).drop_nulls("to")
    found = pairs.group_by("state", "to").agg(pl.len().alias("n"), pl.col("years").sum())
    counts, years = np.zeros((size, size)), np.zeros(size)
    for a, b, n, t in found.iter_rows():
        if a in at:
            years[at[a]] += t
            if b in at:
                counts[at[a], at[b]] = n
    return counts, years


def _result(
    visits: Visits,
    effects: Effects,
    found: Summit,
    exact: Sequence[str],
    censored: Mapping[str, Sequence[str]] | None,
    level: float,
    source: str,
    endless: Sequence[str],
) -> PanelModel:
    parameters, covariance, value = found.parameters, found.covariance, found.value
    graph, width = visits.graph, len(effects.columns)
    beta = (effects.free @ parameters).reshape(len(graph.moves), width)
    spread = effects.free @ covariance @ effects.free.T
    counts, years = _seen(visits)
    reach = float(ndtri(0.5 + level / 2))
    at = {s: i for i, s in enumerate(graph.states)}
    details = {
        "states": list(graph.states),
        "moves": [list(m) for m in graph.moves],
        "coefficients": beta.tolist(),
        "covariance": spread.tolist(),
        "columns": [
            {"term": c.term, "variables": list(c.variables), "levels": list(c.levels)}
            for c in effects.columns
        ],
        "base": dict(effects.base),
        "means": dict(effects.means),
        "levels": {n: list(v) for n, v in effects.levels.items()},
        "breaks": list(visits.breaks),
        "censored": {k: list(v) for k, v in (censored or {}).items()},
        "level": level,
    }
    row = PanelModel(table=pl.DataFrame(), details=details).covariates()
    log = beta @ row
    error = np.sqrt(np.einsum("k,mkml,l->m", row, spread.reshape(*beta.shape, *beta.shape), row))
    table = pl.DataFrame(
        {
            "from_state": [a for a, _ in graph.moves],
            "to_state": [b for _, b in graph.moves],
            "intensity": np.exp(log),
            "lower": np.exp(log - reach * error),
            "upper": np.exp(log + reach * error),
            "coefficient": log,
            "std_error": error,
            "visit_pairs": [int(counts[at[a], at[b]]) for a, b in graph.moves],
        }
    )
    persons = visits.rows["person"].n_unique()
    weak = [
        f"{a} to {b}"
        for a, b in table.filter(pl.col("std_error") > 1.5)
        .select("from_state", "to_state")
        .iter_rows()
    ]
    rates = graph.matrix(np.exp(log))
    stays = {s: -1 / rates[at[s], at[s]] for s in graph.states if s not in graph.absorbing}
    fastest = table.sort("intensity", descending=True).row(0, named=True)
    longest = max(stays, key=lambda s: stays[s])
    facts: dict[str, Any] = {
        "persons": persons,
        "visits": visits.rows.height,
        "intervals": visits.rows.height - persons,
        "parameters": len(parameters),
        "log_likelihood": value,
        "minus_two_log_likelihood": -2 * value,
        "aic": -2 * value + 2 * len(parameters),
        "level": level,
        "longest": longest,
        "longest_years": float(stays[longest]),
        **{k: fastest[k] for k in ("from_state", "to_state", "intensity", "lower", "upper")},
        "weak": weak,
        "endless": list(endless),
    }
    notes = [
        "intervals: inverse observed information, on the log scale",
        f"exact times of entry: {', '.join(exact) if exact else 'none'}",
    ]
    gone = [n for n, held in zip(effects.names, found.held, strict=True) if held]
    if gone:
        notes.append(f"run to zero, no figure is given: {'; '.join(gone)}")
    facts |= {"without_estimate": gone, "parameters": len(parameters)}
    notes += (
        [f"{visits.alone:,} persons seen once only say nothing of moves"] if visits.alone else []
    )
    notes += (
        [f"hardly identified (the interval spans a factor of 300 or more): {', '.join(weak)}"]
        if weak
        else []
    )
    notes += (
        [
            "visits too far apart: intensities a hundred times as high fit as well, the upper limits "
            f"of these have no end: {', '.join(endless)}"
        ]
        if endless
        else []
    )
    basis = Basis(
        source=source, rows=visits.rows.height, exposure=float(years.sum()), notes=tuple(notes),
        fingerprint=fingerprint(
            visits.rows.hash_rows(seed=7).to_numpy().tobytes(), repr(sorted(details.items()))
        ),
    )  # fmt: skip
    pairs = pl.DataFrame(
        [
            {"from_state": a, "to_state": b, "visit_pairs": int(counts[at[a], at[b]])}
            for a in graph.states
            for b in graph.states
            if counts[at[a], at[b]]
        ]
    )
    frames = {"visit_pairs": pairs}
    if width > 1:
        frames["effects"] = _effect_table(graph, effects, beta, spread, reach, found.held)
    return PanelModel(table=table, basis=basis, facts=facts, frames=frames, details=details)


def _effect_table(
    graph: StateGraph,
    effects: Effects,
    beta: Floats,
    spread: Floats,
    reach: float,
    gone: npt.NDArray[np.bool_],
) -> pl.DataFrame:
    width = len(effects.columns)
    held = np.abs(effects.free) @ np.ones(effects.free.shape[1])
    lost = np.abs(effects.free) @ gone.astype(float) > 0
    rows = [
        {
            "term": c.term,
            "level": c.level,
            "from_state": a,
            "to_state": b,
            "coefficient": None if lost[m * width + k] else float(beta[m, k]),
            "std_error": None
            if lost[m * width + k]
            else float(np.sqrt(spread[m * width + k, m * width + k])),
        }
        for k, c in enumerate(effects.columns)
        for m, (a, b) in enumerate(graph.moves)
        if k and held[m * width + k] > 0
    ]
    b, se = pl.col("coefficient"), pl.col("std_error")
    schema = {"coefficient": pl.Float64, "std_error": pl.Float64}
    return pl.DataFrame(rows, schema_overrides=schema).select(
        "term", "level", "from_state", "to_state",
        hazard_ratio=b.exp(), lower=(b - reach * se).exp(), upper=(b + reach * se).exp(),
        coefficient=b, std_error=se,
    )  # fmt: skip


def _finite(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and bool(np.isfinite(value))
