"""Occupancy as areas: the share of lives in each state over time."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
import polars as pl

from pricing.result.series import SERIES
from pricing.result.words import Language, label, level_label

__all__ = ["occupancy_areas"]


def occupancy_areas(
    table: pl.DataFrame,
    states: Sequence[str],
    lang: Language,
    *,
    state: str = "in_state",
    share: str = "probability",
    years: str = "years",
    steps: bool = False,
) -> go.Figure:
    """Stack the shares of the states over time, the first state at the bottom.

    Parameters
    ----------
    table : polars.DataFrame
        Long: years, state, share.
    states : sequence of str
        In their order.
    lang : {"en", "zh"}
        Language of every label.
    state, share, years : str
        Columns.
    steps : bool
        Draw steps, as an estimate that jumps is.

    Examples
    --------
    >>> table = pl.DataFrame({"years": [0.0, 0.0], "in_state": ["a", "b"], "probability": [0.4, 0.6]})
    >>> [trace.name for trace in occupancy_areas(table, ["a", "b"], "en").data]
    ['a', 'b']
    """
    figure = go.Figure(layout={"template": "pricing"})
    for i, one in enumerate(states):
        part = table.filter(pl.col(state) == one).sort(years)
        colour = SERIES[i % len(SERIES)][0]
        figure.add_scatter(
            x=part[years].to_list(),
            y=part[share].to_list(),
            name=level_label(one, lang),
            mode="lines",
            stackgroup="one",
            line={"width": 1, "color": colour, "shape": "hv" if steps else "linear"},
        )
    figure.update_layout(
        xaxis={"title": {"text": label(years, lang)}},
        yaxis={"title": {"text": label(share, lang)}, "tickformat": ".0%", "range": [0, 1]},
        legend={"traceorder": "normal"},
    )
    return figure
