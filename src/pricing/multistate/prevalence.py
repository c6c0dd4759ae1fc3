"""Prevalence: how many lives stand in each state, as seen and as the model expects."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError
from pricing.estimate.design import Floats
from pricing.multistate.graph import named
from pricing.multistate.panel import PanelModel
from pricing.multistate.stays import between
from pricing.multistate.visits import read_visits
from pricing.result.series import SERIES
from pricing.result.shape import Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["Prevalence", "prevalence"]


class Prevalence(Result):
    """Observed and expected share of lives by state over time."""

    kind = "prevalence"

    def finding(self, lang: Language = "en") -> str:
        """Say the result in one sentence, states in the language."""
        return say(f"finding.{self.kind}", lang, **named(self.facts, lang))

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the shares seen as points, those expected as lines."""
        figure = go.Figure(layout={"template": "pricing"})
        for i, state in enumerate(self.details["states"]):
            part = self.table.filter(in_state=state)
            colour, symbol = SERIES[i % len(SERIES)]
            figure.add_scatter(
                x=part["years"].to_list(), y=part["expected_share"].to_list(), mode="lines",
                line={"color": colour}, name=f"{level_label(state, lang)} ({label('expected_share', lang)})",
            )  # fmt: skip
            figure.add_scatter(
                x=part["years"].to_list(), y=part["observed_share"].to_list(), mode="markers",
                marker={"color": colour, "symbol": symbol, "size": 9},
                name=f"{level_label(state, lang)} ({label('observed_share', lang)})",
            )  # fmt: skip
        figure.update_layout(
            xaxis={"title": {"text": label("years", lang)}},
            yaxis={"title": {"text": label("share", lang)}, "tickformat": ".0%", "rangemode": "tozero"},
            height=480, legend={"y": -0.2, "yanchor": "top"},
        )  # fmt: skip
        return figure


def prevalence(
    model: PanelModel,
    frame: pl.DataFrame | pl.LazyFrame,
    times: Sequence[float],
    *,
    person: str = "person",
    time: str = "time",
    state: str = "state",
) -> Prevalence:
    """Hold the lives seen in each state against those the model expects.

    Parameters
    ----------
    model : PanelModel
        Fitted to these visits or to others of the same states and covariates.
    frame : polars.DataFrame or LazyFrame
        Visits.
    times : sequence of float
        Times to look at, in the scale of ``time``.
    person, time, state : str
        Columns.

    Returns
    -------
    Prevalence
        ``.table``: years, in_state, at_risk (lives under observation), observed, expected_lives,
        observed_share, expected_share; censored visits are left out of both.

    Raises
    ------
    InputError
        For visits that cannot be used, and no life under observation at any of the times.

    Notes
    -----
    A life is under observation from its first visit to its last, and after it where the last state is
    absorbing; it is taken to be in the state of its latest visit. Expected is Σ P(first visit, t) from
    the first state at the first visit's covariates (Gentleman et al. 1994, Statistics in Medicine 13;
    Jackson 2011, section 3.3). A rough check of fit: lives that are no longer seen leave both counts,
    those that died do not, so late shares of the dead stand high where follow-up ends early.

    Examples
    --------
    >>> from pricing.multistate.graph import state_graph
    >>> from pricing.multistate.panel import fit_panel
    >>> rows = pl.DataFrame({"person": [1, 1, 2, 2], "time": [0.0, 1.0] * 2, "state": ["a", "b", "a", "a"]})
    >>> m = fit_panel(rows, state_graph([("a", "b")]))
    >>> prevalence(m, rows, [1.0]).table.select("in_state", "observed", pl.col("expected_lives").round(6)).rows()
    [('a', 1, 1.0), ('b', 1, 1.0)]
    """
    graph, codes = model.graph, model.details["censored"]
    names = [n for n in [*model.details["base"], *model.details["means"]] if n != "time_period"]
    rows = read_visits(
        frame, graph, person=person, time=time, state=state, covariates=names, censored=codes
    ).rows
    looked = np.array(sorted({float(t) for t in times}))
    if not len(looked) or not np.isfinite(looked).all():
        raise InputError("times must be finite, at least one")
    lives = rows.group_by("person", maintain_order=True).agg(
        pl.col("time").first().alias("begin"),
        pl.col("time").last().alias("end"),
        pl.col("state").first().alias("origin"),
        pl.col("state").last().alias("last"),
        *[pl.col(n).first().alias(n) for n in names],
    )
    wide = _wide(model, lives)
    number = {s: i for i, s in enumerate(graph.states)}
    begin, end = lives["begin"].to_numpy(), lives["end"].to_numpy()
    end = np.where(lives["last"].is_in(list(graph.absorbing)).to_numpy(), np.inf, end)
    origin = np.array([number[s] for s in lives["origin"].to_list()])
    found = []
    beta = model.coefficients.ravel()
    for t in looked:
        seen = (
            rows.filter(pl.col("time") <= t)
            .group_by("person", maintain_order=True)
            .agg(pl.col("state").last())
        )
        now = lives.select("person").join(seen, on="person", how="left", maintain_order="left")
        known = now["state"].is_in(list(graph.states)).fill_null(False).to_numpy()
        at = np.flatnonzero((begin <= t) & (t <= end) & known)
        if not len(at):
            continue
        p = between(model, beta, wide[at], begin[at], np.full(len(at), t))
        expected = p[np.arange(len(at)), origin[at]].sum(axis=0)
        counts = now[at]["state"].value_counts()
        observed = dict(counts.iter_rows())
        found += [
            {
                "years": float(t), "in_state": s, "at_risk": len(at),
                "observed": int(observed.get(s, 0)), "expected_lives": float(expected[i]),
                "observed_share": observed.get(s, 0) / len(at),
                "expected_share": float(expected[i]) / len(at),
            }
            for i, s in enumerate(graph.states)
        ]  # fmt: skip
    if not found:
        raise InputError("no life is under observation at any of these times")
    table = pl.DataFrame(found)
    gap = table.with_columns(gap=(pl.col("observed_share") - pl.col("expected_share")).abs())
    worst = gap.sort("gap", descending=True).row(0, named=True)
    facts = {
        k: worst[k] for k in ("years", "in_state", "at_risk", "observed_share", "expected_share")
    }
    return Prevalence(
        table=table, basis=model.basis, facts=facts, details={"states": list(graph.states)}
    )


def _wide(model: PanelModel, lives: pl.DataFrame) -> Floats:
    """Columns of the model for every life; a level the model has not is refused."""
    levels = model.details["levels"]
    faults = []
    texts: dict[str, pl.Series] = {}
    for n, known in levels.items():
        if n == "time_period":
            continue
        series = lives[n]
        named = (
            series.replace_strict({True: "yes", False: "no"}, return_dtype=pl.String)
            if series.dtype == pl.Boolean
            else series.cast(pl.String)
        )
        texts[n] = named
        strange = named.filter(~named.is_in(known)).unique().sort().to_list()
        faults += [f"{n!r}: the model has no level {v!r}" for v in strange[:5]]
    if faults:
        raise InputError("lives the model knows nothing of", faults=faults)
    found = np.ones((lives.height, len(model.columns)))
    for k, column in enumerate(model.columns):
        for v, level in zip(column.variables, column.levels, strict=True):
            if v == "time_period":
                found[:, k] = 0.0
            elif level is None:
                found[:, k] *= lives[v].cast(pl.Float64).to_numpy()
            else:
                found[:, k] *= (texts[v] == level).to_numpy()
    return found
