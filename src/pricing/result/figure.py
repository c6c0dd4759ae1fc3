"""One style for every figure, and the one picture of the trade: intervals over exposure bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
import plotly.io as pio

from pricing.result.words import Language, label, level_label

__all__ = [
    "COLOURS",
    "DARKER",
    "FONTS",
    "GRID",
    "PAGES",
    "bar_axis",
    "error_bars",
    "interval_figure",
    "on_dark",
    "theme",
    "with_points",
]

# Okabe and Ito (2008): told apart by the colour-blind and in grey print.
COLOURS = {
    "estimate": "#0072B2",
    "second": "#D55E00",
    "third": "#009E73",
    "bars": "#D9DEE4",
    "line": "#6B7280",
    "text": "#1F2937",
}
GRID = "#E5E7EB"
FONTS = (
    "system-ui, Segoe UI, Noto Sans SC, Noto Sans CJK SC, Source Han Sans SC, PingFang SC, "
    "Microsoft YaHei, sans-serif"
)

PAGES = {False: "#ffffff", True: "#14181f"}  # behind the figures, which are transparent
DARKER = {  # of each colour of a figure on white, the one that takes its place on a dark page
    "#0072b2": "#3f9be0",
    "#d55e00": "#f0803c",
    "#009e73": "#2fc59a",
    "#cc79a7": "#e3a1c6",
    "#e69f00": "#f5c542",
    "#56b4e9": "#a9def9",
    "#d9dee4": "#3a4452",
    "#6b7280": "#9aa4b2",
    "#9ca3af": "#7b8594",
    "#1f2937": "#e5e7eb",
    "#222222": "#f3f4f6",
    "#e5e7eb": "#2d3542",
    "#dcebf7": "#1f3b52",
    "#ffffff": PAGES[True],
    "white": PAGES[True],
    "black": "#e5e7eb",
}


def theme(dark: bool) -> dict[str, Any]:
    """Colours of the layout on a light or dark page, for ``figure.update_layout`` or a template.

    What is drawn keeps its colours, save those of :data:`DARKER`; :func:`on_dark` changes both.

    Parameters
    ----------
    dark : bool
        For a dark page.

    Returns
    -------
    dict
        paper_bgcolor, plot_bgcolor, font, colorway, hoverlabel, xaxis and yaxis: colours only.

    Notes
    -----
    Text stands out from its page by 7 : 1 or more, lines and marks by 3 : 1 (WCAG 2.2, 1.4.6 and
    1.4.11; the light palette's orange and sky blue come as fifth and sixth series only).

    Examples
    --------
    >>> theme(True)["font"]["color"], theme(False)["font"]["color"]
    ('#e5e7eb', '#1F2937')
    """

    def tone(colour: str) -> str:
        return DARKER.get(colour.lower(), colour) if dark else colour

    series = [tone(COLOURS[name]) for name in ("estimate", "second", "third", "line")]
    axis = {name: tone(COLOURS["line"]) for name in ("linecolor", "tickcolor", "zerolinecolor")}
    axis["gridcolor"] = tone(GRID)
    return {
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": tone(COLOURS["text"])},
        "colorway": series,
        "hoverlabel": {"bgcolor": PAGES[dark], "font": {"color": tone(COLOURS["text"])}},
        "xaxis": dict(axis),
        "yaxis": dict(axis),
    }


def on_dark(figure: go.Figure) -> go.Figure:
    """Copy a figure for a dark page: its template, and the colours of what it drew.

    Examples
    --------
    >>> on_dark(go.Figure(go.Bar(marker_color=COLOURS["bars"]))).data[0].marker.color
    '#3a4452'
    """

    def recoloured(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: recoloured(value) for key, value in part.items() if key != "template"}
        if isinstance(part, list | tuple):
            return [recoloured(value) for value in part]
        if not isinstance(part, str):
            return part
        return DARKER.get(part.lower(), part).replace("rgba(0,114,178,", "rgba(63,155,224,")

    return go.Figure(recoloured(figure.to_plotly_json())).update_layout(template="pricing_dark")


pio.templates["pricing"] = go.layout.Template(
    layout={
        "font": {"family": FONTS, "size": 14},
        "margin": {"l": 64, "r": 24, "t": 64, "b": 56},
        "height": 400,
        "hovermode": "x unified",
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "xaxis": {
            "showgrid": False,
            "ticks": "outside",
            "tickmode": "auto",
            "automargin": True,
            "title": {"standoff": 12, "font": {"size": 14}},
        },
        "yaxis": {
            "zeroline": False,
            "automargin": True,
            "tickmode": "auto",
            "title": {"standoff": 12, "font": {"size": 14}},
        },
    }
)
pio.templates["pricing_dark"] = go.layout.Template(pio.templates["pricing"])
for _name, _dark in (("pricing", False), ("pricing_dark", True)):
    pio.templates[_name].layout.update(theme(_dark))


def interval_figure(
    levels: Sequence[str],
    estimate: Sequence[float | None],
    lower: Sequence[float | None],
    upper: Sequence[float | None],
    *,
    name: str,
    factor: str,
    lang: Language,
    bars: Sequence[float] | None = None,
    bars_name: str = "exposure",
    reference: float | None = None,
    percent: bool = False,
) -> go.Figure:
    """Draw estimates with their intervals over bars of exposure, one place per level.

    Parameters
    ----------
    levels : sequence of str
        Levels in their order.
    estimate, lower, upper : sequence of float or None
        Point and interval per level; None draws nothing.
    name, factor, bars_name : str
        Catalogue names of the estimate (y), the factor (x) and the bars (second y).
    lang : {"en", "zh"}
        Language of every label.
    bars : sequence of float, optional
        Exposure behind each level, drawn in grey against the right axis.
    reference : float, optional
        A dotted line, such as 1 for a relativity.
    percent : bool
        Print the y axis in percent.

    Examples
    --------
    >>> figure = interval_figure(["a", "b"], [1.0, 0.8], [1.0, 0.7], [1.0, 0.9],
    ...                          name="relativity", factor="health_group", lang="en")
    >>> figure.layout.yaxis.title.text
    'Relativity'
    """
    places = [level_label(level, lang) for level in levels]
    figure = go.Figure(layout={"template": "pricing"})
    if bars is not None:
        figure.add_bar(
            x=places,
            y=list(bars),
            name=label(bars_name, lang),
            marker_color=COLOURS["bars"],
            yaxis="y2",
        )
    figure.add_scatter(
        x=places,
        y=list(estimate),
        error_y=error_bars(estimate, lower, upper),
        mode="markers",
        name=label(name, lang),
        marker={"size": 10, "color": COLOURS["estimate"]},
    )
    figure.update_layout(
        xaxis={
            "title": {"text": label(factor, lang)},
            "type": "category",
            "range": [-0.5, len(places) - 0.5],
        },
        yaxis={
            "title": {"text": label(name, lang)},
            "tickformat": ".0%" if percent else None,
            "overlaying": "y2" if bars is not None else None,
            "rangemode": "normal",
        },
    )
    if bars is not None:
        most = max([*bars, 1e-12])
        figure.update_layout(yaxis2=bar_axis(most, label(bars_name, lang)))
    if reference is not None:
        figure.add_hline(y=reference, line={"dash": "dot", "color": COLOURS["line"]})
    return figure


def with_points(
    figure: go.Figure,
    levels: Sequence[str],
    values: Sequence[float | None],
    *,
    name: str,
    lang: Language,
    symbol: str = "diamond-open",
    line: bool = False,
    colour: str = "second",
) -> go.Figure:
    """Add a second series, such as the truth or the schedule, to an interval figure.

    Examples
    --------
    >>> figure = interval_figure(["a"], [1.0], [0.9], [1.1], name="relativity", factor="sex", lang="en")
    >>> len(with_points(figure, ["a"], [1.05], name="truth", lang="en").data)
    2
    """
    style: dict[str, Any] = {"shape": "hvh", "width": 3, "color": COLOURS[colour]}
    return figure.add_scatter(
        x=[level_label(level, lang) for level in levels],
        y=list(values),
        mode="lines+markers" if line else "markers",
        name=label(name, lang),
        marker={"symbol": symbol, "size": 11, "color": COLOURS[colour], "line": {"width": 2}},
        line=style if line else None,
    )


def bar_axis(most: float, title: str) -> dict[str, Any]:
    """Lay out the right axis so that bars up to ``most`` keep to the lower third.

    Examples
    --------
    >>> bar_axis(1234.5, "Exposure")["ticktext"]
    ['0', '1,234']
    """
    return {
        "title": {"text": title},
        "side": "right",
        "showgrid": False,
        "range": [0, 3 * most],
        "tickmode": "array",
        "tickvals": [0, most],
        "ticktext": ["0", f"{most:,.0f}"],
    }


def error_bars(
    estimate: Sequence[float | None],
    lower: Sequence[float | None],
    upper: Sequence[float | None],
) -> dict[str, Any]:
    """Turn intervals into plotly's error bars; None draws nothing.

    Examples
    --------
    >>> error_bars([2.0, None], [1.0, None], [4.0, None])["array"]
    [2.0, None]
    """

    def gap(a: float | None, b: float | None) -> float | None:
        return None if a is None or b is None else a - b

    return {
        "type": "data",
        "symmetric": False,
        "array": [gap(u, e) for u, e in zip(upper, estimate, strict=True)],
        "arrayminus": [gap(e, lo) for e, lo in zip(estimate, lower, strict=True)],
        "thickness": 2,
        "width": 5,
    }
