"""The picture of a trend: points sized by weight, the fitted line, and where it leads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl

from pricing.result.figure import COLOURS
from pricing.result.words import Language, label

__all__ = ["trend_figure"]


def trend_figure(
    periods: pl.DataFrame,
    projection: pl.DataFrame,
    breaks: Sequence[str],
    *,
    name: str,
    lang: Language,
) -> go.Figure:
    """Draw a trend over its periods, and its projection dashed in a widening band.

    Parameters
    ----------
    periods : polars.DataFrame
        first, weight, observed, fitted, lower, upper.
    projection : polars.DataFrame
        first, fitted, lower, upper of the periods that follow.
    breaks : sequence of str
        ISO dates to mark.
    name : str
        Catalogue name of the response.
    lang : {"en", "zh"}
        Language of every label.

    Examples
    --------
    >>> from datetime import date
    >>> seen = pl.DataFrame({"first": [date(2024, 1, 1)], "weight": [1.0], "observed": [2.0],
    ...                      "fitted": [2.1], "lower": [2.0], "upper": [2.2]})
    >>> figure = trend_figure(seen, seen, ["2024-01-01"], name="frequency", lang="en")
    >>> [trace.name for trace in figure.data if trace.showlegend is not False]
    ['Claims per policy-year', 'Fitted', 'Projected']
    """
    figure = go.Figure(layout={"template": "pricing"})
    ahead = pl.concat([periods.tail(1).select(projection.columns), projection])
    edge: dict[str, Any] = {"mode": "lines", "line": {"width": 0}, "showlegend": False}
    for part, shade in ((periods, 0.22), (ahead, 0.12)):
        x = part["first"].to_list()
        figure.add_scatter(
            x=x, y=part["upper"].to_list(), name=label("upper", lang), hoverinfo="skip", **edge
        )
        figure.add_scatter(
            x=x,
            y=part["lower"].to_list(),
            name=label("lower", lang),
            fill="tonexty",
            fillcolor=f"rgba(0,114,178,{shade})",
            hoverinfo="skip",
            **edge,
        )
    size = 4 + 8 * np.sqrt(periods["weight"].to_numpy() / float(periods["weight"].max()))  # type: ignore[arg-type]
    figure.add_scatter(
        x=periods["first"].to_list(),
        y=periods["observed"].to_list(),
        mode="markers",
        name=label(name, lang),
        marker={"size": size.tolist(), "color": COLOURS["line"], "opacity": 0.8},
    )
    for part, dash, said in ((periods, "solid", "fitted"), (ahead, "dash", "projected")):
        figure.add_scatter(
            x=part["first"].to_list(),
            y=part["fitted"].to_list(),
            mode="lines",
            name=label(said, lang),
            line={"width": 3, "color": COLOURS["estimate"], "dash": dash},
        )
    for day in breaks:
        figure.add_vline(x=day, line={"dash": "dot", "color": COLOURS["second"], "width": 2})
    figure.update_layout(
        xaxis={"title": {"text": label("first", lang)}, "type": "date"},
        yaxis={
            "title": {"text": label(name, lang)},
            "tickformat": ".0%" if name == "loss_ratio" else None,
        },
        legend={"itemsizing": "constant", "traceorder": "normal"},
    )
    return figure
