"""Figures of several series: intervals side by side, a heat map, a smooth curve in its band."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
import polars as pl

from pricing.result.figure import COLOURS, bar_axis, error_bars
from pricing.result.words import Language, label, level_label

__all__ = ["SERIES", "band_figure", "grouped_figure", "heat_figure"]

# Their order for several series, each with a symbol of its own.
SERIES = (
    ("#0072B2", "circle"),
    ("#D55E00", "square"),
    ("#009E73", "diamond"),
    ("#CC79A7", "triangle-up"),
    ("#E69F00", "cross"),
    ("#56B4E9", "star"),
)


def grouped_figure(
    table: pl.DataFrame,
    rows: str,
    columns: str,
    places: Sequence[str],
    series: Sequence[str],
    *,
    name: str,
    lang: Language,
) -> go.Figure:
    """Draw one series of intervals per level of ``columns`` over its share of the exposure.

    Parameters
    ----------
    table : polars.DataFrame
        Long: both factors as text, ``name``, lower, upper, exposure.
    rows, columns : str
        Factor along the x axis, and factor of the series (at most as many as :data:`SERIES`).
    places, series : sequence of str
        Their levels, in order.
    name : str
        Column of the estimate.
    lang : {"en", "zh"}
        Language of every label.

    Examples
    --------
    >>> table = pl.DataFrame({"sex": ["f", "m"], "tier": ["a", "a"], "frequency": [1.0, 2.0],
    ...                       "lower": [0.5, 1.0], "upper": [2.0, 3.0], "exposure": [5.0, 6.0]})
    >>> figure = grouped_figure(table, "sex", "tier", ["f", "m"], ["a"], name="frequency", lang="en")
    >>> [trace.type for trace in figure.data]
    ['bar', 'scatter']
    """
    figure = go.Figure(layout={"template": "pricing"})
    most = max([*table.group_by(rows).agg(pl.col("exposure").sum())["exposure"].to_list(), 1e-12])
    below = [0.0] * len(places)
    for one, (colour, symbol) in zip(series, SERIES, strict=False):
        part = pl.DataFrame({rows: places}).join(
            table.filter(pl.col(columns) == one), on=rows, how="left", maintain_order="left"
        )
        x = [level_label(place, lang) for place in places]
        held = part["exposure"].fill_null(0.0).to_list()
        figure.add_bar(
            x=x,
            y=held,
            base=below,
            width=0.8,
            offset=-0.4,  # said outright, else a bar makes room for the points' groups
            name=label("exposure", lang),
            marker={"color": colour, "opacity": 0.25},
            yaxis="y2",
            showlegend=False,
        )
        below = [a + b for a, b in zip(below, held, strict=True)]
        figure.add_scatter(
            x=x,
            y=part[name].to_list(),
            error_y=error_bars(
                part[name].to_list(), part["lower"].to_list(), part["upper"].to_list()
            ),
            mode="markers+lines",
            name=level_label(one, lang),
            offsetgroup=one,
            marker={"size": 9, "color": colour, "symbol": symbol},
            line={"width": 1, "dash": "dot"},
        )
    figure.update_layout(
        barmode="overlay",
        scattermode="group",
        scattergap=0.6,
        xaxis={"title": {"text": label(rows, lang)}, "type": "category"},
        yaxis={"title": {"text": label(name, lang)}, "overlaying": "y2"},
        yaxis2=bar_axis(most, label("exposure", lang)),
        legend={"title": {"text": label(columns, lang)}, "traceorder": "normal"},
    )
    return figure


def heat_figure(
    table: pl.DataFrame,
    rows: str,
    columns: str,
    places: Sequence[str],
    series: Sequence[str],
    *,
    name: str,
    lang: Language,
) -> go.Figure:
    """Draw a heat map of the estimate, its figures written in, empty where there is no exposure.

    Parameters are those of :func:`grouped_figure`; levels may be many.

    Examples
    --------
    >>> table = pl.DataFrame({"sex": ["f", "m"], "tier": ["a", "b"], "frequency": [1.0, 2.0],
    ...                       "lower": [0.5, 1.0], "upper": [2.0, 3.0], "exposure": [5.0, 6.0]})
    >>> figure = heat_figure(table, "sex", "tier", ["f", "m"], ["a", "b"], name="frequency", lang="en")
    >>> [list(line) for line in figure.data[0].z]
    [[1.0, None], [None, 2.0]]
    """
    found = {(r, c): value for r, c, value in table.select(rows, columns, name).iter_rows()}
    high = max((abs(value) for value in found.values()), default=1.0)
    digits = 3 if high < 10 else 0
    z = [[found.get((place, one)) for one in series] for place in places]
    written = len(places) * len(series) <= 300
    figure = go.Figure(
        go.Heatmap(
            x=[level_label(one, lang) for one in series],
            y=[level_label(place, lang) for place in places],
            z=z,
            texttemplate=f"%{{z:,.{digits}f}}" if written else None,
            colorscale="Cividis_r",
            colorbar={"title": {"text": label(name, lang)}},
            xgap=1,
            ygap=1,
            hoverongaps=False,
        ),
        layout={"template": "pricing", "height": min(max(380, 110 + 26 * len(places)), 1200)},
    )
    figure.update_layout(
        xaxis={"title": {"text": label(columns, lang)}, "type": "category"},
        yaxis={
            "title": {"text": label(rows, lang)},
            "type": "category",
            "autorange": "reversed",
            "showgrid": False,
        },
        hovermode="closest",
    )
    return figure


def band_figure(
    places: Sequence[str] | Sequence[float],
    estimate: Sequence[float],
    lower: Sequence[float],
    upper: Sequence[float],
    *,
    points: Sequence[float | None] | None,
    points_name: str,
    name: str,
    factor: str,
    lang: Language,
    bars: Sequence[float],
    bars_name: str = "exposure",
    reference: float | None = None,
) -> go.Figure:
    """Draw a smooth curve in its band, the crude points it came from, and the exposure behind.

    Parameters
    ----------
    places : sequence of str or float
        Levels in order, or values of a covariate such as age in years.
    estimate, lower, upper : sequence of float
        The curve and its pointwise band.
    points : sequence of float or None, or None
        The crude estimate; None where there is no exposure, or for no points at all.
    points_name, name, factor : str
        Catalogue names of the points (and the y axis), the curve and the x axis.
    lang : {"en", "zh"}
        Language of every label.
    bars : sequence of float
        Exposure in policy-years, or what ``bars_name`` names.
    reference : float, optional
        A dotted line, such as 1 for actual-to-expected.

    Examples
    --------
    >>> figure = band_figure([20, 21], [0.1, 0.2], [0.0, 0.1], [0.2, 0.3], points=[0.1, None],
    ...     points_name="frequency", name="graduated", factor="age", lang="en", bars=[5.0, 0.0])
    >>> [trace.name for trace in figure.data][-2:]
    ['Claims per policy-year', 'Graduated']
    """
    x = [level_label(p, lang) if isinstance(p, str) else p for p in places]
    figure = go.Figure(layout={"template": "pricing"})
    figure.add_bar(
        x=x,
        y=list(bars),
        name=label(bars_name, lang),
        marker_color=COLOURS["bars"],
        yaxis="y2",
    )
    edge: dict[str, Any] = {"mode": "lines", "line": {"width": 0}, "showlegend": False}
    figure.add_scatter(x=x, y=list(upper), name=label("upper", lang), **edge)
    figure.add_scatter(
        x=x,
        y=list(lower),
        name=label("lower", lang),
        fill="tonexty",
        fillcolor="rgba(0,114,178,0.22)",
        **edge,
    )
    if points is not None:
        figure.add_scatter(
            x=x,
            y=list(points),
            mode="markers",
            name=label(points_name, lang),
            marker={"size": 5, "color": COLOURS["line"]},
        )
    figure.add_scatter(
        x=x,
        y=list(estimate),
        mode="lines",
        name=label(name, lang),
        line={"width": 3, "color": COLOURS["estimate"]},
    )
    figure.update_layout(
        xaxis={
            "title": {"text": label(factor, lang)},
            "type": "category" if any(isinstance(p, str) for p in places) else "linear",
        },
        yaxis={"title": {"text": label(points_name, lang)}, "overlaying": "y2"},
        yaxis2=bar_axis(max([*bars, 1e-12]), label(bars_name, lang)),
    )
    if reference is not None:
        figure.add_hline(y=reference, line={"dash": "dot", "color": COLOURS["line"]})
    return figure
