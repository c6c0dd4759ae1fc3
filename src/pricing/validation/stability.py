"""Population stability: is the book still the one the model was made on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import polars as pl
from scipy.special import chdtri

from pricing.errors import InputError, nearest
from pricing.experience.cells import Experience
from pricing.result.figure import COLOURS, interval_figure
from pricing.result.shape import Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["Stability", "stability"]

FLOOR = 1e-4  # share a level counts with where one side has none of it
SHIFTED, MOVED = 0.25, 0.10


class Stability(Result):
    """Population stability index by factor; ``.frames["levels"]`` has every level's share."""

    kind = "stability"

    def finding(self, lang: Language = "en") -> str:
        """Name the factor that moved most, and where."""
        facts = {**self.facts, "factor": label(self.facts["factor"], lang)}
        facts["at"] = level_label(facts["at"], lang)
        facts["verdict"] = level_label(facts["verdict"], lang)
        return say("finding.stability", lang, **facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the index of every factor, with the lines of the trade at 0.10 and 0.25."""
        table = self.table
        none: list[float | None] = [None] * table.height
        figure = interval_figure(
            [label(term, lang) for term in table["term"]],
            table["index"].to_list(),
            none,
            none,
            name="index",
            factor="term",
            lang=lang,
            reference=MOVED,
        )
        figure.add_hline(y=SHIFTED, line={"dash": "dash", "color": COLOURS["second"]})
        figure.update_layout(
            yaxis_range=[0, 1.15 * max([SHIFTED, *table["index"].to_list()])], hovermode="closest"
        )
        return figure


def stability(
    before: Experience,
    after: Experience,
    *,
    factors: Sequence[str] | None = None,
    level: float = 0.95,
) -> Stability:
    """Compare the mix of two books, factor by factor.

    Parameters
    ----------
    before, after : Experience
        The book a model was fitted on, and the one it is used on.
    factors : sequence of str, optional
        Factors both have; all of them where left out. Bring covariates into bands first.
    level : float
        Confidence level of ``critical``.

    Returns
    -------
    Stability
        ``.table``: term, levels, index, critical, verdict (``stable``; ``moved`` from 0.10;
        ``shifted`` from 0.25), sorted by index. ``.frames["levels"]``: term, level, share_before,
        share_after (of exposure), index.

    Raises
    ------
    InputError
        For factors one side lacks or that are covariates, and two experiences without any factor
        in common.

    Notes
    -----
    PSI = Σ(q − p) ln(q/p), Jeffreys' divergence (Siddiqi 2006, Credit Risk Scorecards, chapter 8;
    0.10 and 0.25 are conventions of the trade). Where one side lacks a level its share counts as
    0.0001, which the basis says. Two samples of one book with n and m rows have
    PSI ≈ (1/n + 1/m)·χ²(levels − 1) (Yurdakul and Naranjo 2020): ``critical`` is its quantile at
    ``level``, by rows; an index above it is no chance, though it may be small.

    Examples
    --------
    >>> one = pl.DataFrame({"sex": ["f", "m"], "exposure": [5.0, 5.0], "claims": [1, 1]})
    >>> two = pl.DataFrame({"sex": ["f", "m"], "exposure": [8.0, 2.0], "claims": [1, 1]})
    >>> found = stability(Experience.collect(one, ["sex"]), Experience.collect(two, ["sex"]))
    >>> found.table.select("term", pl.col("index").round(4), "verdict").rows()
    [('sex', 0.4159, 'shifted')]
    """
    if not 0 < level < 1:
        raise InputError(f"the confidence level must lie between 0 and 1, got {level}")
    common = [name for name in before.factors if name in after.factors]
    wanted = common if factors is None else list(factors)
    faults = [f"{name!r}{nearest(name, common)}" for name in wanted if name not in common]
    if faults or not wanted:
        raise InputError(
            "not a factor of both experiences" if faults else "there is no factor in common",
            faults=faults,
            do="collect both by the same factors, covariates cut into bands",
        )
    rows = 1 / before.basis.rows + 1 / after.basis.rows
    parts = pl.concat([_levels(before, after, name) for name in wanted])
    table = (
        parts.group_by("term", maintain_order=True)
        .agg(levels=pl.len().cast(pl.Int64), index=pl.col("index").sum())
        .with_columns(
            critical=pl.col("levels").map_batches(
                lambda k: pl.Series(
                    np.where(k.to_numpy() > 1, chdtri(k.to_numpy() - 1.0, 1 - level), 0.0) * rows
                ),
                return_dtype=pl.Float64,
            ),
            verdict=pl.when(pl.col("index") >= SHIFTED)
            .then(pl.lit("shifted"))
            .when(pl.col("index") >= MOVED)
            .then(pl.lit("moved"))
            .otherwise(pl.lit("stable")),
        )
        .sort("index", descending=True, maintain_order=True)
    )
    top = table.row(0, named=True)
    of_top = parts.filter(pl.col("term") == top["term"]).sort("index", descending=True)
    at = of_top.row(0, named=True)
    empty = parts.filter((pl.col("share_before") == 0) | (pl.col("share_after") == 0)).height
    notes = [f"{empty} level(s) that one side lacks count with a share of {FLOOR}"] if empty else []
    facts = {
        "factor": top["term"],
        "index": top["index"],
        "critical": top["critical"],
        "verdict": top["verdict"],
        "at": at["level"],
        "share_before": at["share_before"],
        "share_after": at["share_after"],
        "factors": table.height,
        "stable": table.filter(pl.col("verdict") == "stable").height,
        "absent": empty,
        "level": level,
    }
    basis = replace(after.basis, notes=tuple(dict.fromkeys([*after.basis.notes, *notes])))
    return Stability(table=table, basis=basis, facts=facts, frames={"levels": parts})


def _levels(before: Experience, after: Experience, factor: str) -> pl.DataFrame:
    """Shares of exposure by level on both sides, and what each adds to the index."""
    sides = [
        side.by(factor).cells.select(
            pl.col(factor).cast(pl.String).alias("level"),
            (pl.col("exposure") / pl.col("exposure").sum()).alias(name),
        )
        for side, name in ((before, "share_before"), (after, "share_after"))
    ]
    both = sides[0].join(
        sides[1], on="level", how="full", coalesce=True, maintain_order="left_right"
    )
    p, q = (pl.col(n).clip(FLOOR) for n in ("share_before", "share_after"))
    return both.with_columns(pl.col("share_before", "share_after").fill_null(0.0)).select(
        pl.lit(factor).alias("term"),
        "level",
        "share_before",
        "share_after",
        index=(q - p) * (q / p).log(),
    )
