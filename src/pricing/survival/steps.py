"""Steps: the picture of a survival or incidence curve with its bands, and the lives at risk below."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl
from plotly.colors import sample_colorscale

from pricing.result.figure import COLOURS
from pricing.result.series import SERIES
from pricing.result.words import Language, label, level_label, say

__all__ = ["steps_figure"]

BANDS = 4  # series that still can be told apart in their bands
NAMED = 12  # series that fit a legend
MOST = 1_500  # steps drawn of a series


def steps_figure(
    table: pl.DataFrame,
    *,
    start: float,
    origin: float,
    name: str,
    unit: str,
    lang: Language,
    at_risk: pl.DataFrame | None = None,
) -> go.Figure:
    """Draw step functions with their bands over time, and how many lives are at risk below.

    Parameters
    ----------
    table : polars.DataFrame
        stratum, time, ``name``, lower, upper, at_risk.
    start, origin : float
        Where the curves start, and at what height (1 for survival, 0 for incidence).
    name : str
        Catalogue name of the curve.
    unit : {"day", "month", "year"}
        Unit of time.
    lang : {"en", "zh"}
        Language of every label.
    at_risk : polars.DataFrame, optional
        stratum, time, at_risk of the figures below, where they are not the table's.

    Examples
    --------
    >>> table = pl.DataFrame({"stratum": ["all"] * 2, "time": [1.0, 2.0], "survival": [0.5, 0.25],
    ...     "lower": [0.2, 0.1], "upper": [0.8, 0.6], "at_risk": [4.0, 2.0]})
    >>> figure = steps_figure(table, start=0, origin=1, name="survival", unit="year", lang="en")
    >>> list(figure.data[2].y)
    [1, 0.5, 0.25]
    """
    strata = table["stratum"].unique(maintain_order=True).to_list()
    below = (table if at_risk is None else at_risk).select("stratum", "time", "at_risk")
    rows = below["stratum"].unique(maintain_order=True).to_list()
    counted = len(rows) <= len(SERIES)
    colours = (
        [colour for colour, _ in SERIES[: len(strata)]]
        if len(strata) <= len(SERIES)
        else sample_colorscale("Cividis", np.linspace(0.0, 1.0, len(strata)).tolist())
    )
    figure = go.Figure(
        layout={"template": "pricing", "height": 400 + (22 * len(rows) if counted else 0)}
    )
    for stratum, colour in zip(strata, colours, strict=True):
        part = table.filter(pl.col("stratum") == stratum)
        _steps(figure, part, stratum, colour, start, origin, name, lang, len(strata))
    last = float(table["time"].max())  # type: ignore[arg-type]
    figure.update_layout(
        hovermode="x unified" if len(strata) <= BANDS else "closest",
        showlegend=len(strata) <= NAMED,  # hovering names the others
        xaxis={
            "title": {"text": say(f"level.time_in_{unit}", lang)},
            "range": [start - 0.02 * (last - start), last + 0.02 * (last - start)],
        },
        yaxis={"title": {"text": label(name, lang)}, "tickformat": ".0%", "rangemode": "tozero"},
    )
    if origin == 1.0:
        figure.update_layout(yaxis={"range": [0, 1.02]})
    if counted:
        _counts(figure, below, rows, colours, start, last, lang)
    return figure


def _steps(
    figure: go.Figure,
    part: pl.DataFrame,
    stratum: str,
    colour: str,
    start: float,
    origin: float,
    name: str,
    lang: Language,
    many: int,
) -> None:
    if part.height > MOST:
        part = pl.concat([part.gather_every(part.height // MOST + 1), part.tail(1)]).unique(
            "time", maintain_order=True
        )
    x = [start, *part["time"].to_list()]
    named = label(name, lang) if stratum == "all" else level_label(stratum, lang)
    if many <= BANDS:
        edge: dict[str, Any] = {
            "mode": "lines", "line": {"width": 0, "shape": "hv"}, "showlegend": False,
            "legendgroup": stratum, "hoverinfo": "skip",
        }  # fmt: skip
        for side in ("upper", "lower"):
            ends = part[side].fill_null(strategy="forward").fill_null(part[name])
            figure.add_scatter(
                x=x,
                y=[origin, *ends.to_list()],
                name=label(side, lang),
                fill="tonexty" if side == "lower" else None,
                fillcolor=_pale(colour),
                **edge,
            )
    figure.add_scatter(
        x=x,
        y=[origin, *part[name].to_list()],
        mode="lines",
        name=named,
        legendgroup=stratum,
        line={"shape": "hv", "width": 2.5, "color": colour},
    )


def _counts(
    figure: go.Figure,
    below: pl.DataFrame,
    rows: list[str],
    colours: list[str],
    start: float,
    last: float,
    lang: Language,
) -> None:
    """Write the lives at risk under the axis, a line per stratum."""
    least = (last - start) / 7
    power = 10.0 ** np.floor(np.log10(least))
    step = power * next(many for many in (1, 2, 2.5, 5, 10) if many * power >= least)
    ticks = np.arange(np.ceil(start / step) * step, last + step / 2, step)
    asked = pl.DataFrame({"time": ticks[ticks <= last]})
    for place, stratum in enumerate(rows):
        part = below.filter(pl.col("stratum") == stratum)
        seen = asked.join_asof(part.sort("time"), on="time", strategy="forward")
        figure.add_scatter(
            x=seen["time"].to_list(),
            y=[-place] * seen.height,
            text=[f"{n:,.0f}" for n in seen["at_risk"].fill_null(0.0)],
            mode="text",
            textfont={"color": colours[place] if len(rows) > 1 else COLOURS["text"], "size": 12},
            yaxis="y2",
            showlegend=False,
            hoverinfo="skip",
            cliponaxis=False,
        )
    share = 0.07 * len(rows) + 0.05
    figure.update_layout(
        yaxis={"domain": [share + 0.2, 1.0]},
        yaxis2={
            "domain": [0.0, share],
            "range": [0.6 - len(rows), 0.6],
            "showgrid": False,
            "showticklabels": False,
            "ticks": "",
            "showline": False,
            "linewidth": 0,
            "zeroline": False,
        },
        annotations=[
            {
                "text": f"<b>{label('at_risk', lang)}</b>",
                "font": {"size": 12},
                "showarrow": False,
                "xref": "paper",
                "yref": "paper",
                "x": 0,
                "y": share,
                "xanchor": "left",
                "yanchor": "bottom",
            }
        ],
        xaxis={
            "anchor": "y",
            "zeroline": False,
            "tickmode": "array",
            "tickvals": asked["time"].to_list(),
        },
    )


def _pale(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.15)"
