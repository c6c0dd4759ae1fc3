"""Figures of several series: intervals side by side, a heat map, a smooth curve in its band."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
import polars as pl

from pricing.result.figure import COLOURS, GRID, bar_axis, error_bars
from pricing.result.words import Language, label, level_label

__all__ = ["SERIES", "band_figure", "flow_figure", "grouped_figure", "heat_figure", "lying"]

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


def lying(figure: go.Figure) -> go.Figure:
    """Lay an interval figure on its side, first level on top: for many levels with long names.

    Parameters
    ----------
    figure : plotly.graph_objects.Figure
        What :func:`pricing.result.figure.interval_figure` drew, points and lines added; it is not
        changed.

    Examples
    --------
    >>> from pricing.result.figure import interval_figure
    >>> figure = interval_figure(["a"], [1.0], [0.9], [1.1], name="relativity", factor="sex", lang="en")
    >>> lying(figure).data[0].error_x.type, lying(figure).layout.xaxis.title.text
    ('data', 'Relativity')
    """
    drawn = figure.to_plotly_json()
    layout = drawn["layout"]
    levels = {place: None for trace in drawn["data"] for place in trace["x"]}
    for trace in drawn["data"]:
        trace["x"], trace["y"] = trace["y"], trace["x"]
        if "error_y" in trace:
            trace["error_x"] = trace.pop("error_y")
        if trace["type"] == "bar":
            trace["orientation"] = "h"
        if trace.get("yaxis") == "y2":
            trace["xaxis"] = f"x{trace.pop('yaxis')[1:]}"
    for shape in layout.get("shapes", ()):
        for end in ("0", "1"):
            shape[f"x{end}"], shape[f"y{end}"] = shape[f"y{end}"], shape[f"x{end}"]
        shape["xref"], shape["yref"] = "x", "y domain"
    across, along = layout["yaxis"], layout["xaxis"]
    if across.get("overlaying"):
        across["overlaying"] = "x2"
    layout["xaxis"] = across | {"showgrid": True, "gridcolor": GRID}
    along.pop("range", None)
    layout["yaxis"] = along | {"autorange": "reversed", "showgrid": False}
    if "yaxis2" in layout:
        layout["xaxis2"] = layout.pop("yaxis2") | {"side": "top"}
    layout |= {"height": 190 + 34 * len(levels), "hovermode": "y unified"}
    if "xaxis2" in layout:
        layout["legend"] = {"y": 1.0, "yref": "container", "yanchor": "top"}
        layout["margin"] = {"t": 110}
    return go.Figure(drawn)


def flow_figure(flows: pl.DataFrame, groups: Sequence[str], lang: Language) -> go.Figure:
    """Draw members flowing between groups as a Sankey figure; other ends stand below the groups.

    Parameters
    ----------
    flows : polars.DataFrame
        from_group, to_group, members.
    groups : sequence of str
        From the standard one to the healthiest, drawn with the healthiest on top.
    lang : {"en", "zh"}
        Language of every label.

    Examples
    --------
    >>> flows = pl.DataFrame({"from_group": ["G0", "new_business"], "to_group": ["G1", "G0"],
    ...                       "members": [2.0, 1.0]})
    >>> flow_figure(flows, ["G0", "G1"], "en").data[0].type
    'sankey'
    """
    seen = flows.filter(pl.col("members") > 0)
    order = list(reversed(groups))
    ends = [seen["from_group"].unique().to_list(), seen["to_group"].unique().to_list()]
    sides = [
        [*(g for g in order if g in end), *sorted(e for e in end if e not in order)] for end in ends
    ]
    place = [{name: i for i, name in enumerate(side)} for side in sides]
    colours = {g: SERIES[i % len(SERIES)][0] for i, g in enumerate(groups)}
    names = [*sides[0], *sides[1]]
    sums = [
        dict(seen.group_by(column).agg(pl.col("members").sum()).iter_rows())
        for column in ("from_group", "to_group")
    ]
    total = max(sum(s.values()) for s in sums) or 1.0
    heights = [
        _heights([s[name] / total for name in side]) for s, side in zip(sums, sides, strict=True)
    ]
    figure = go.Figure(
        go.Sankey(
            arrangement="fixed",
            node={
                "label": [level_label(name, lang) for name in names],
                "color": [colours.get(name, COLOURS["line"]) for name in names],
                "x": [0.001] * len(sides[0]) + [0.999] * len(sides[1]),
                "y": [*heights[0], *heights[1]],
                "pad": 20,
                "thickness": 18,
            },
            link={
                "source": [place[0][name] for name in seen["from_group"]],
                "target": [len(sides[0]) + place[1][name] for name in seen["to_group"]],
                "value": seen["members"].to_list(),
                "color": [
                    _faint(colours.get(name, COLOURS["line"])) for name in seen["from_group"]
                ],
            },
        ),
        layout={"template": "pricing", "height": 460},
    )
    for x, anchor, name in ((0.0, "left", "from_group"), (1.0, "right", "to_group")):
        figure.add_annotation(
            x=x, y=1, xref="paper", yref="paper", showarrow=False, xanchor=anchor,
            yanchor="bottom", yshift=4, text=label(name, lang),
        )  # fmt: skip
    return figure


def _heights(shares: list[float]) -> list[float]:
    """Middle of each node, from the top, with a little room between."""
    gap = 0.05
    room = 1 - gap * (len(shares) - 1)
    found, below = [], 0.0
    for share in shares:
        found.append(min(max(below + share * room / 2, 0.001), 0.999))
        below += share * room + gap
    return found


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.35)"
