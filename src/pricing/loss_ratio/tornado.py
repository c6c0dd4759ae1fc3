"""Tornado: which uncertainty matters, one source at a time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
import polars as pl
from numpy.typing import NDArray

from pricing.reserving.completion import interval_columns
from pricing.result.figure import COLOURS
from pricing.result.shape import Result
from pricing.result.words import Language, label, say

__all__ = ["Tornado", "tornado_table"]


class Tornado(Result):
    """How far each source of error alone moves the indicated change."""

    kind = "tornado"

    def finding(self, lang: Language = "en") -> str:
        """Name the widest source and its share."""
        name = label(str(self.facts["largest"]), lang)
        return say(
            "finding.tornado", lang, **{**self.facts, "largest": name[:1].lower() + name[1:]}
        )

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the 80 % range of each source around the indicated change, the widest on top."""
        rows, middle = self.table.reverse(), self.facts["indicated_change"]
        names = [label(source, lang) for source in rows["source"]]
        figure = go.Figure(layout={"template": "pricing", "barmode": "overlay"})
        for side, colour in (("lower_80", COLOURS["estimate"]), ("upper_80", COLOURS["second"])):
            figure.add_bar(
                y=names,
                x=(rows[side] - middle).to_list(),
                base=middle,
                orientation="h",
                name=label(side, lang),
                marker={"color": colour, "opacity": 0.8},
                text=[f"{v:+.1%}" for v in rows[side]],
                textposition="outside",
                cliponaxis=False,
            )
        ends = [v for side in ("lower_80", "upper_80") for v in rows[side]]
        room = 0.22 * (max(ends) - min(ends)) or 0.01
        figure.add_vline(x=middle, line={"color": COLOURS["text"], "width": 1})
        return figure.update_layout(
            hovermode="y unified",
            xaxis={
                "title": {"text": label("indicated_change", lang)},
                "tickformat": "+.0%",
                "range": [min(ends) - room, max(ends) + room],
            },
            yaxis={"type": "category"},
        )


def tornado_table(draws: Mapping[str, NDArray[np.float64]], level: float) -> pl.DataFrame:
    """Spread of the outcome by each source alone, the widest first, all together last.

    Parameters
    ----------
    draws : mapping of str to array
        Source to the outcome in every draw with this source's error only; ``all`` with every error.
    level : float
        Confidence of ``lower`` and ``upper``.

    Returns
    -------
    polars.DataFrame
        source, std_error, lower_80, upper_80, lower, upper, share: the source's variance over the sum
        of theirs. The sources act together, so their variances need not add to that of ``all``.

    Examples
    --------
    >>> found = tornado_table({"trend": np.arange(5.0), "process": np.arange(5.0) * 2,
    ...                        "all": np.arange(5.0) * 3}, 0.95)
    >>> found.select("source", "share").rows()
    [('process', 0.8), ('trend', 0.2), ('all', None)]
    """
    found = interval_columns(np.column_stack(list(draws.values())), level)
    table = pl.DataFrame({"source": list(draws), **found})
    alone = table.filter(pl.col("source") != "all").sort(
        "std_error", descending=True, maintain_order=True
    )
    square = pl.col("std_error") ** 2
    share = pl.when(square.sum() > 0).then(square / square.sum()).otherwise(0.0)
    return pl.concat(
        [
            alone.with_columns(share=share),
            table.filter(pl.col("source") == "all").with_columns(share=pl.lit(None, pl.Float64)),
        ]
    )
