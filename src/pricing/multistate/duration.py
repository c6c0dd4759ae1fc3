"""Semi-Markov intensities: rates by time spent in the state, and by attained age at once.

Spells are cut where the stay, or the life, passes from one band to the next, so that within a part both
are in one band: the parts are occurrences and exposure like any others, and the models of
:mod:`pricing.multistate.intensities` fit them (Hoem 1972, Inhomogeneous semi-Markov processes, select
actuarial tables, and duration-dependence in demography; Haberman and Pitacco 1999, Actuarial Models for
Disability Insurance, sections 2.4 and 3.3). Their rates come back as plain functions of age and duration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from pricing.errors import InputError
from pricing.estimate.design import Floats
from pricing.experience.domain import require_columns
from pricing.multistate.effects import level_text, period_labels
from pricing.multistate.graph import Move, StateGraph
from pricing.multistate.intensities import Intensities
from pricing.multistate.spells import OURS, read_spells

__all__ = ["cut_spells", "duration_rates"]

BANDS = ("duration_band", "age_band")
MIDDLES = ("duration", "attained_age")


def cut_spells(
    frame: pl.DataFrame | pl.LazyFrame,
    graph: StateGraph,
    durations: Sequence[float],
    *,
    ages: Sequence[float] = (),
    began: str | None = None,
    age: str | None = None,
    keys: Sequence[str] = (),
    person: str | None = None,
) -> pl.DataFrame:
    """Cut spells where the time in the state, or the attained age, passes into another band.

    Parameters
    ----------
    frame : polars.DataFrame or LazyFrame
        Spells; see :func:`pricing.multistate.spells.read_spells`.
    graph : StateGraph
        The moves that can be.
    durations : sequence of float
        Years in the state at which bands change, above zero and rising: 0.5, 1, 2.
    ages : sequence of float
        Attained ages at which bands change; none where left out.
    began : str, optional
        Column of the time at which the stay began, on the clock of ``entry`` and not after it: for
        lives first seen within a stay, and parts of stays. Where left out every spell is a whole stay
        from its ``entry`` on.
    age : str, optional
        Column of the attained age at ``entry``; where left out the clock itself is attained age.
    keys : sequence of str
        Factors and covariates to keep.
    person : str, optional
        Column that names the life, to refuse overlaps; without ``began`` also spells that go on with
        the same state, whose stays began earlier.

    Returns
    -------
    polars.DataFrame
        Spells again, ready for :func:`pricing.multistate.intensities.fit_intensities` and
        :func:`pricing.multistate.intensities.move_experience`: the earlier parts end without a move;
        with ``duration_band``, ``duration`` (middle of the part) and, where there are ages,
        ``age_band`` and ``attained_age`` (of the middle).

    Raises
    ------
    InputError
        For spells that cannot be used, cuts that do not rise, stays that began after the spell, and
        keys with a name of ours.

    Examples
    --------
    >>> from pricing.multistate.graph import state_graph
    >>> rows = pl.DataFrame({"from_state": ["ill"], "to_state": ["well"], "entry": [59.5], "exit": [61.0]})
    >>> parts = cut_spells(rows, state_graph([("ill", "well")]), [1.0], ages=[60.0])
    >>> parts.select("entry", "exit", "to_state", "duration_band", "age_band").rows()
    [(59.5, 60.0, None, '<1', '<60'), (60.0, 60.5, None, '<1', '60+'), (60.5, 61.0, 'well', '1+', '60+')]
    """
    cuts, years = _cuts(durations, "durations", least=0.0), _cuts(ages, "ages")
    if not len(cuts):
        raise InputError("no durations to cut at", do="give durations=[1.0, 2.0]")
    taken = [n for n in keys if n in (*BANDS, *MIDDLES)]
    if taken:
        raise InputError(f"keys with a name of ours: {', '.join(taken)}", do="rename the columns")
    given = [n for n in dict.fromkeys([began, age]) if n is not None]
    whole = frame.lazy().collect()
    require_columns(given, whole.columns)
    words = [n for n in given if not whole.schema[n].is_numeric()]
    if words:
        raise InputError("not a number: " + ", ".join(f"{n!r} is {whole.schema[n]}" for n in words))
    rows = read_spells(whole, graph, keys=[*keys, *given], person=person)
    start = pl.col(began) if began else pl.col("entry")
    rows = rows.with_columns(
        _begin=start.cast(pl.Float64), _born=(pl.col("entry") - pl.col(age)) if age else pl.lit(0.0)
    )
    _require_begin(rows, began, age, person)
    rows = _cut(rows, pl.col("_begin"), cuts, BANDS[0])
    if len(years):
        rows = _cut(rows, pl.col("_born"), years, BANDS[1])
    middle = (pl.col("entry") + pl.col("exit")) / 2
    shown = [
        (BANDS[0], MIDDLES[0], "_begin"),
        *([(BANDS[1], MIDDLES[1], "_born")] if len(years) else []),
    ]
    rows = rows.with_columns((middle - pl.col(zero)).alias(name) for _, name, zero in shown)
    ours = [n for pair in shown for n in pair[:2]]
    kept = [n for n in dict.fromkeys([*keys, *([person] if person else [])]) if n not in OURS]
    return rows.select(*OURS, *kept, *ours)


def duration_rates(
    model: Intensities,
    durations: Sequence[float],
    *,
    ages: Sequence[float] = (),
    at: Mapping[str, Any] | None = None,
) -> dict[Move, Callable[[float, Floats], Floats]]:
    """Give the fitted intensities as functions of attained age and years in the state.

    They are what :func:`pricing.annuities.semi_markov.semi_markov` takes for its moves.

    Parameters
    ----------
    model : Intensities
        Fitted to spells of :func:`cut_spells` by ``duration_band``, ``age_band``, ``duration`` or
        ``attained_age`` and any other factors.
    durations, ages : sequence of float
        The cuts those spells were made with; rates jump there where the model is by bands.
    at : mapping of str to level or number, optional
        The other factors; the rest at base and mean.

    Returns
    -------
    dict of (from, to) to callable
        Of an age (a number) and durations (an array), giving an array of rates a year. The first and
        last bands hold below and beyond what was seen.

    Raises
    ------
    InputError
        For cuts that are not those of the model, bands in which nobody was seen, and factors the
        model has not.

    Examples
    --------
    >>> from pricing.multistate.graph import state_graph
    >>> from pricing.multistate.intensities import fit_intensities
    >>> graph = state_graph([("ill", "well")])
    >>> rows = pl.DataFrame({"from_state": ["ill"] * 3, "to_state": ["well", "well", None], "exit": [0.5, 1.5, 4.0]})
    >>> found = fit_intensities(cut_spells(rows, graph, [1.0]), graph, "duration_band")
    >>> duration_rates(found, [1.0])[("ill", "well")](60.0, np.array([0.2, 1.2])).round(6).tolist()
    [0.4, 0.285714]
    """
    cuts, years = _cuts(durations, "durations", least=0.0), _cuts(ages, "ages")
    asked = dict(at or {})
    ours = [n for n in asked if n in (*BANDS, *MIDDLES)]
    if ours:
        raise InputError(
            f"{ours[0]!r} follows from the age and the duration", do="leave it out of at"
        )
    model.rates(asked)  # refuses what is not in the model
    bands = dict(zip(BANDS, ((cuts, "durations"), (years, "ages")), strict=True))
    faults: list[str] = []
    for move, said in zip(model.graph.moves, model.details["models"], strict=True):
        for name, (edges, option) in bands.items():
            seen = said["levels"].get(name)
            if seen is None:
                continue
            labels = period_labels(edges.tolist()) if len(edges) else []
            where = f"{move[0]} to {move[1]}: "
            faults += [
                f"{where}{name} {v!r} is none of {option}={edges.tolist()}"
                for v in seen
                if v not in labels
            ]
            faults += [f"{where}nobody was seen in {name} {v!r}" for v in labels if v not in seen]
    if faults:
        raise InputError(
            "rates by duration cannot be given",
            faults=faults,
            do="give the cuts the spells were cut with; join bands in which nobody was seen",
        )
    return {
        move: _rate(said, cuts, years, asked)
        for move, said in zip(model.graph.moves, model.details["models"], strict=True)
    }


def _rate(
    said: Mapping[str, Any], cuts: Floats, years: Floats, asked: Mapping[str, Any]
) -> Callable[[float, Floats], Floats]:
    columns, beta = said["columns"], np.array(said["coefficients"], dtype=float)
    levels = {**said["base"], **{n: level_text(v) for n, v in asked.items() if n in said["base"]}}
    numbers = {**said["means"], **{n: float(v) for n, v in asked.items() if n in said["means"]}}
    labels = {
        name: np.array(period_labels(edges.tolist()))
        for name, edges in zip(BANDS, (cuts, years), strict=True)
        if len(edges)
    }

    def rate(age: float, durations: Floats) -> Floats:
        """Intensity a year at an attained age and years spent in the state."""
        spent = np.asarray(durations, dtype=float)
        ages = np.full(spent.shape, float(age))
        told = {
            name: of[np.searchsorted(edges, clock, side="right")]
            for (name, of), edges, clock in (
                ((n, labels[n]), e, c)
                for n, e, c in ((BANDS[0], cuts, spent), (BANDS[1], years, ages))
                if n in labels
            )
        }
        clocks = dict(zip(MIDDLES, (spent, ages), strict=True))
        eta = np.zeros(spent.shape)
        for (variables, wanted), b in zip(columns, beta, strict=True):
            value = np.full(spent.shape, b)
            for v, level in zip(variables, wanted, strict=True):
                if level is None:
                    value = value * clocks.get(v, numbers.get(v, 0.0))
                else:
                    value = value * (told[v] == level if v in told else levels[v] == level)
            eta += value
        return np.asarray(np.exp(eta))

    return rate


def _cuts(given: Sequence[float], name: str, least: float | None = None) -> Floats:
    cuts = np.array([float(c) for c in given])
    rise = all(a < b for a, b in pairwise(cuts))
    if not np.isfinite(cuts).all() or not rise or (least is not None and (cuts <= least).any()):
        above = "" if least is None else f", above {least:g}"
        raise InputError(f"{name} must be finite and rise{above}, got {cuts.tolist()}")
    return cuts


def _require_begin(
    rows: pl.DataFrame, began: str | None, age: str | None, person: str | None
) -> None:
    """Refuse stays that cannot have begun then."""
    n, begin = rows.height, pl.col("_begin")
    faults = []
    for name, column in ((began, begin), (age, pl.col("_born"))):
        none = rows.filter(~column.is_finite().fill_null(False)).height if name else 0
        faults += [f"{name!r} is null or not finite in {none:,} of {n:,} rows"] if none else []
    late = rows.filter(begin > pl.col("entry")).height
    faults += [f"{began!r} is after 'entry' in {late:,} of {n:,} rows"] if late else []
    if person and began is None:
        before = [pl.col(c).shift(1).over(person, order_by="entry") for c in ("exit", "from_state")]
        goes_on = (before[0] == pl.col("entry")) & (before[1] == pl.col("from_state"))
        parts = rows.filter(goes_on.fill_null(False)).height
        faults += [f"{parts:,} spells go on with the state of the last one"] if parts else []
    if faults:
        raise InputError(
            "the time in the state is not known",
            faults=faults,
            do="give began=, the time at which each stay began, on the clock of 'entry'",
        )


def _cut(rows: pl.DataFrame, zero: pl.Expr, cuts: Floats, name: str) -> pl.DataFrame:
    """Cut rows where the time since ``zero`` passes a cut, and name the band of each part."""
    at = rows.select(zero.alias("zero"), "entry", "exit").to_numpy()
    edges = at[:, [0]] + cuts
    low = (edges <= at[:, [1]]).sum(axis=1)
    high = np.maximum((edges < at[:, [2]]).sum(axis=1), low)
    parts = high - low + 1
    row = np.repeat(np.arange(len(parts)), parts)
    inside = np.arange(len(row)) - np.repeat(np.cumsum(parts) - parts, parts)
    band = low[row] + inside
    padded = np.column_stack([np.full(len(edges), -np.inf), edges, np.full(len(edges), np.inf)])
    labels = period_labels(cuts.tolist())
    return rows[row].with_columns(
        pl.Series("entry", np.maximum(at[row, 1], padded[row, band])),
        pl.Series("exit", np.minimum(at[row, 2], padded[row, band + 1])),
        to_state=pl.when(pl.Series(band == high[row])).then("to_state"),
        **{name: pl.Series(np.array(labels, dtype=object)[band].tolist(), dtype=pl.Enum(labels))},
    )
