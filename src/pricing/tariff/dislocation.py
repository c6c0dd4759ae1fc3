"""Dislocation: what a new tariff does to the premiums of a book, policy by policy and by segment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go
import polars as pl

from pricing.claims.score import require_known
from pricing.errors import InputError, nearest
from pricing.experience.cells import Experience
from pricing.files import fingerprint
from pricing.result.figure import COLOURS, interval_figure
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, say
from pricing.tariff.rates import Tariff

__all__ = ["EDGES", "Dislocation", "dislocation"]

EDGES = (-0.20, -0.10, -0.05, -0.01, 0.01, 0.05, 0.10, 0.20)


class Dislocation(Result):
    """Old against new premium.

    ``.table``: one row per band of change: change_band, rows, exposure, share_exposure,
    premium_old, premium_new (exposure × premium per policy-year, currency) and their change.
    ``.frames["segments"]``: the same by term and level; ``.frames["extremes"]``: the risks whose
    premium rises and falls most, with their factors.
    """

    kind = "dislocation"

    def figure(self, lang: Language = "en", factor: str | None = None) -> go.Figure:
        """Draw the share of exposure by band of change, or the change by level of one factor."""
        if factor is not None:
            return self._by_level(lang, factor)
        table = self.table
        middle = [band.startswith("−") and "+" in band for band in table["change_band"]]
        falls = [band.startswith(("−", "< −")) for band in table["change_band"]]
        colours = [
            COLOURS["line"] if m else COLOURS["estimate"] if f else COLOURS["second"]
            for m, f in zip(middle, falls, strict=True)
        ]
        figure = go.Figure(layout={"template": "pricing"})
        figure.add_bar(
            x=table["change_band"].to_list(),
            y=table["share_exposure"].to_list(),
            name=label("share_exposure", lang),
            marker_color=colours,
            text=[f"{share:.1%}" for share in table["share_exposure"]],
            textposition="outside",
            cliponaxis=False,
        )
        return figure.update_layout(
            bargap=0.05,
            showlegend=False,
            xaxis={
                "title": {"text": label("change", lang)},
                "type": "category",
                "tickmode": "array",
                "tickvals": table["change_band"].to_list(),
                "ticktext": [band.replace(" … ", "<br>") for band in table["change_band"]],
            },
            yaxis={
                "title": {"text": label("share_exposure", lang)},
                "tickformat": ".0%",
                "rangemode": "tozero",
            },
        )

    def _by_level(self, lang: Language, factor: str) -> go.Figure:
        segments = self.frames["segments"]
        rows = segments.filter(pl.col("term") == factor)
        if rows.is_empty():
            terms = segments["term"].unique().to_list()
            raise InputError(f"{factor!r} is no segment{nearest(factor, terms)}")
        return interval_figure(
            rows["level"].to_list(),
            rows["change"].to_list(),
            [None] * rows.height,
            [None] * rows.height,
            name="change",
            factor=factor,
            lang=lang,
            bars=rows["exposure"].to_list(),
            reference=0.0,
            percent=True,
        )

    def finding(self, lang: Language = "en") -> str:
        """Say what changes in total, for how many, and for whom most."""
        return say("finding.dislocation", lang, **self.facts)


def dislocation(
    old: Tariff,
    new: Tariff,
    book: Experience | pl.DataFrame | pl.LazyFrame,
    *,
    by: Sequence[str] | None = None,
    exposure: str = "exposure",
    edges: Sequence[float] = EDGES,
    limit: float = 0.10,
    most: int = 5,
    unknown: Literal["error", "base"] = "error",
) -> Dislocation:
    """Compare the premiums of two tariffs over a book.

    Parameters
    ----------
    old, new : Tariff
        In one currency; each may read columns the other does not.
    book : Experience or polars frame
        Policies, or cells of them: premiums depend on the factors alone, so cells are exact.
    by : sequence of str, optional
        Segments; left out, the columns either tariff reads.
    exposure : str
        Column of policy-years, which weighs; above zero.
    edges : sequence of float
        Rising edges of the bands of change, fractions; a band holds its lower edge.
    limit : float
        A change beyond it, up or down, is counted in the finding.
    most : int
        How many of the largest rises and falls are listed.
    unknown : {"error", "base"}
        As in :meth:`pricing.tariff.rates.Tariff.price`.

    Raises
    ------
    InputError
        For currencies that differ, missing columns, unknown levels (with their rows), exposure that
        is not above zero, no rows, and edges that do not rise.

    Examples
    --------
    >>> from pricing.tariff.rates import tariff_from
    >>> old = tariff_from(100.0, {"sex": {"f": 1.0, "m": 1.0}})
    >>> new = tariff_from(95.0, {"sex": {"f": 1.0, "m": 1.2}})
    >>> book = pl.DataFrame({"sex": ["f", "f", "m"], "exposure": [1.0, 1.0, 1.0]})
    >>> found = dislocation(old, new, book)
    >>> found.table.filter(pl.col("rows") > 0).select("change_band", "rows", "premium_new").rows()
    [('−5% … −1%', 2, 190.0), ('+10% … +20%', 1, 114.0)]
    """
    _require(old, new, edges, limit, most)
    frame = book.cells.lazy() if isinstance(book, Experience) else book.lazy()
    weight = "exposure" if isinstance(book, Experience) else exposure
    schema = frame.collect_schema()
    read = list(dict.fromkeys([*old.keys, *new.keys]))
    segments = list(dict.fromkeys(read if by is None else by))
    missing = [name for name in [*read, *segments, weight] if name not in schema]
    if missing:
        raise InputError(
            "the book lacks columns",
            faults=[f"{n!r}{nearest(n, schema.names())}" for n in dict.fromkeys(missing)],
        )
    for tariff in (old, new):
        tariff.require_known(frame, unknown=unknown)
    require_known(frame, [], {}, weight)
    risks = _risks(frame, list(dict.fromkeys([*read, *segments])), weight, "rows" in schema)
    if risks.is_empty():
        raise InputError("the book has no rows")
    risks = _priced(risks, old, new, unknown)
    table, total = _bands(risks, edges), _sums(risks).row(0, named=True)
    frames = {"segments": _segments(risks, segments), "extremes": _extremes(risks, read, most)}
    said = " ".join(
        f"{value:.9g}" for value in total.values()
    )  # sums of shards differ in the last place
    basis = book.basis if isinstance(book, Experience) else Basis()
    basis = replace(
        basis,
        rows=total["rows"],
        exposure=total["exposure"],
        currency=new.terms.currency,
        fingerprint=fingerprint(
            basis.fingerprint, old.basis.fingerprint, new.basis.fingerprint, said, str(edges)
        ),
    )
    change = pl.col("change")
    shares = risks.select(
        up=(pl.col("exposure").filter(change > 0)).sum() / pl.col("exposure").sum(),
        down=(pl.col("exposure").filter(change < 0)).sum() / pl.col("exposure").sum(),
        beyond=(pl.col("exposure").filter(change.abs() > limit)).sum() / pl.col("exposure").sum(),
        most=change.max(),
        least=change.min(),
    ).row(0, named=True)
    facts: dict[str, Any] = {
        "old": total["premium_old"],
        "new": total["premium_new"],
        "total_change": total["change"],
        "currency": new.terms.currency,
        "limit": limit,
        **shares,
    }
    return Dislocation(table=table, basis=basis, facts=facts, frames=frames)


def _require(old: Tariff, new: Tariff, edges: Sequence[float], limit: float, most: int) -> None:
    faults = []
    if old.terms.currency != new.terms.currency:
        faults.append(f"currencies differ: {old.terms.currency} and {new.terms.currency}")
    numbers = [float(e) for e in edges]
    if not numbers or not np.isfinite(numbers).all() or (np.diff(numbers) <= 0).any():
        faults.append(f"edges do not rise: {list(edges)}")
    if not limit >= 0:
        faults.append(f"limit is {limit}, not a fraction")
    if not most >= 1:
        faults.append(f"most is {most}, not one or more")
    if faults:
        raise InputError("the tariffs cannot be compared", faults=faults)


def _risks(frame: pl.LazyFrame, keys: list[str], exposure: str, counted: bool) -> pl.DataFrame:
    """Policies that no factor tells apart, added up: one row each."""
    rows = pl.col("rows").sum() if counted else pl.len()
    sums = [rows.cast(pl.Int64).alias("_rows"), pl.col(exposure).cast(pl.Float64).sum().alias("_e")]
    grouped = frame.group_by(keys, maintain_order=True).agg(*sums) if keys else frame.select(*sums)
    found = grouped.collect(engine="streaming").filter(pl.col("_rows") > 0)
    return found.sort(keys) if keys else found


def _priced(
    risks: pl.DataFrame, old: Tariff, new: Tariff, unknown: Literal["error", "base"]
) -> pl.DataFrame:
    schema = risks.schema
    return risks.with_columns(
        _old=old.premium(schema, unknown=unknown), _new=new.premium(schema, unknown=unknown)
    ).select(
        pl.exclude("_rows", "_e", "_old", "_new"),
        rows="_rows",
        exposure="_e",
        premium_old="_old",
        premium_new="_new",
        change=(pl.col("_new") / pl.col("_old") - 1).round(9),
    )


def _sums(risks: pl.DataFrame, *keys: str) -> pl.DataFrame:
    paid = {n: (pl.col(n) * pl.col("exposure")).sum() for n in ("premium_old", "premium_new")}
    sums = [pl.col("rows").sum(), pl.col("exposure").sum()]
    grouped = (
        risks.group_by(keys, maintain_order=True).agg(*sums, **paid)
        if keys
        else risks.select(*sums, **paid)
    )
    return grouped.with_columns(change=pl.col("premium_new") / pl.col("premium_old") - 1)


def _bands(risks: pl.DataFrame, edges: Sequence[float]) -> pl.DataFrame:
    said = [f"{'−' if e < 0 else '+' if e > 0 else ''}{abs(100 * e):.6g}%" for e in edges]
    names = [f"< {said[0]}"]
    names += [f"{a} … {b}" for a, b in pairwise(said)]
    names.append(f"≥ {said[-1]}")
    code = pl.lit(pl.Series(list(edges), dtype=pl.Float64)).search_sorted(pl.col("change"), "right")
    by = _sums(risks.with_columns(_band=code.cast(pl.Int64)), "_band")
    every = pl.DataFrame({"_band": range(len(names)), "change_band": names})
    none = pl.col("rows", "exposure", "premium_old", "premium_new").fill_null(0)
    table = every.join(by, on="_band", how="left", maintain_order="left").with_columns(none)
    share = pl.col("exposure") / pl.col("exposure").sum()
    return table.select(
        "change_band", "rows", "exposure", share.alias("share_exposure"),
        "premium_old", "premium_new", "change",
    )  # fmt: skip


def _segments(risks: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    parts = [
        _sums(risks, name)
        .sort(name)
        .select(
            pl.lit(name).alias("term"),
            pl.col(name).cast(pl.String).alias("level"),
            pl.exclude(name),
        )
        for name in by
    ]
    return (
        pl.concat(parts)
        if parts
        else _sums(risks).select(pl.lit("").alias("term"), pl.lit("").alias("level"), pl.all())
    )


def _extremes(risks: pl.DataFrame, read: Sequence[str], most: int) -> pl.DataFrame:
    """The largest rises, then the largest falls; one row per risk the tariffs tell apart."""
    own = ["rows", "exposure", "premium_old", "premium_new", "change"]
    first = [
        pl.col("rows", "exposure").sum(),
        pl.col("premium_old", "premium_new", "change").first(),
    ]
    each = risks.group_by(read, maintain_order=True).agg(*first) if read else risks
    each = each.with_columns(pl.col(read).cast(pl.String)).select(*read, *own)
    order = {"nulls_last": True, "maintain_order": True}
    up = each.filter(pl.col("change") > 0).sort("change", descending=True, **order).head(most)
    down = each.filter(pl.col("change") < 0).sort("change", **order).head(most)
    return pl.concat([up, down.reverse()])
