"""Balance: how unlike those who join are, before and after weighting, and where they overlap."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import polars as pl

from pricing.causal.nuisance import Nuisance
from pricing.causal.people import Flags, People, added
from pricing.causal.weighting import Target, balancing_weights
from pricing.errors import InputError
from pricing.estimate.design import Floats
from pricing.files import fingerprint
from pricing.result.figure import COLOURS
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, level_label

__all__ = ["Balance", "Overlap", "balance", "overlap"]

GOOD = 0.1  # standardised difference below which a factor counts as balanced


class Balance(Result):
    """Standardised mean differences.

    ``.table``: known_factor (column of the comparison), its mean_inside and mean_outside, smd_before and
    smd_after (differences of means in standard deviations), balanced (|after| below 0.1).
    """

    kind = "covariate_balance"

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the differences before and after, the largest on top."""
        t = self.table.sort(pl.col("smd_before").abs())
        places = [_said(name, lang) for name in t["known_factor"]]
        figure = go.Figure(layout={"template": "pricing", "height": max(320, 130 + 26 * t.height)})
        for name, colour, symbol in (
            ("smd_before", COLOURS["second"], "circle-open"),
            ("smd_after", COLOURS["estimate"], "circle"),
        ):
            figure.add_scatter(
                x=t[name].to_list(), y=places, mode="markers", name=label(name, lang),
                marker={"size": 10, "color": colour, "symbol": symbol, "line": {"width": 2}},
            )  # fmt: skip
        for edge in (-GOOD, GOOD):
            figure.add_vline(x=edge, line={"dash": "dot", "color": COLOURS["line"]})
        figure.update_layout(
            xaxis={"title": {"text": label("smd", lang)}, "zeroline": True},
            yaxis={"type": "category"},
            hovermode="closest",
        )
        return figure


class Overlap(Result):
    """Propensities of both sides.

    ``.table``: propensity (middle of its band), share_inside and share_outside of each side's
    exposure.
    """

    kind = "overlap"

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw both sides' propensities as bars."""
        figure = go.Figure(layout={"template": "pricing"})
        for name, colour in (
            ("share_inside", COLOURS["estimate"]),
            ("share_outside", COLOURS["second"]),
        ):
            figure.add_bar(
                x=self.table["propensity"].to_list(), y=self.table[name].to_list(),
                name=label(name, lang), marker={"color": colour, "opacity": 0.55},
            )  # fmt: skip
        figure.update_layout(
            barmode="overlay",
            bargap=0.02,
            xaxis={"title": {"text": label("propensity", lang)}, "range": [0, 1]},
            yaxis={"title": {"text": label("share_of_side", lang)}, "tickformat": ".0%"},
        )
        return figure


def balance(people: People, nuisance: Nuisance, target: Target = "ate") -> Balance:
    """Compare the means of what is known on both sides, as they stand and weighted.

    SMD = (mean inside − mean outside) / √((s²_inside + s²_outside)/2), the same denominator before
    and after (Austin 2009, Statistics in Medicine 28).

    Examples
    --------
    >>> rows = pl.DataFrame({"in": [1, 1, 0, 0], "n": [1, 0, 0, 0], "claims": [1, 0, 2, 0],
    ...                      "exposure": [1.0] * 4})
    >>> half = np.full(4, 0.5)
    >>> found = balance(People.collect(rows, treated="in", factors=["n"]), Nuisance(half, half, half))
    >>> found.table["balanced"].to_list()
    [False]
    """
    known = [j for j, name in enumerate(people.columns) if j and not name.endswith("²")]
    if not known:
        raise InputError("there is no factor to balance", do="adjust for what is known beforehand")
    x, e, a = people.design[:, known], people.exposure, people.treated
    weight = balancing_weights(a, nuisance.propensity, target) * e

    def moments(side: Flags, weight: Floats) -> tuple[Floats, Floats]:
        return _moments(x, added(side * weight, people.cell, len(x)))

    inside, outside = moments(a, e), moments(~a, e)
    scale = np.sqrt((inside[1] + outside[1]) / 2)
    scale[scale == 0] = np.inf
    after = moments(a, weight)[0] - moments(~a, weight)[0]
    table = pl.DataFrame({
        "known_factor": [people.columns[j] for j in known], "mean_inside": inside[0],
        "mean_outside": outside[0], "smd_before": (inside[0] - outside[0]) / scale,
        "smd_after": after / scale,
    }).with_columns(balanced=pl.col("smd_after").abs() < GOOD)  # fmt: skip
    worst = table.sort(pl.col("smd_before").abs(), descending=True).row(0, named=True)
    effective = [float(w.sum() ** 2 / (w @ w)) for w in (weight[a], weight[~a])]
    facts = {
        "largest_before": float(table["smd_before"].abs().max()),  # type: ignore[arg-type]
        "largest_after": float(table["smd_after"].abs().max()),  # type: ignore[arg-type]
        "worst": worst["known_factor"], "unbalanced": int((~table["balanced"]).sum()),
        "effective_inside": effective[0], "effective_outside": effective[1], "target": target,
    }  # fmt: skip
    notes = (
        f"weights: {target}; means weighted by exposure, numbers standardised",
        f"effective rows after weighting: {effective[0]:,.0f} inside, {effective[1]:,.0f} outside",
    )
    return Balance(table=table, basis=_noted(people, notes, "balance", target), facts=facts)


def overlap(people: People, nuisance: Nuisance, *, trim: float = 0.01, bands: int = 20) -> Overlap:
    """Lay the propensities of both sides beside each other: no overlap, no comparison.

    Examples
    --------
    >>> rows = pl.DataFrame({"in": [1, 1, 0, 0], "claims": [1, 0, 2, 0], "exposure": [1.0] * 4})
    >>> half = np.full(4, 0.5)
    >>> overlap(People.collect(rows, treated="in"), Nuisance(half, half, half)).facts["outside"]
    0.0
    """
    pi, e, a = nuisance.propensity, people.exposure, people.treated
    edges = np.linspace(0, 1, bands + 1)
    shares = [np.histogram(pi[s], edges, weights=e[s])[0] / e[s].sum() for s in (a, ~a)]
    table = pl.DataFrame({
        "propensity": (edges[:-1] + edges[1:]) / 2, "share_inside": shares[0],
        "share_outside": shares[1],
    })  # fmt: skip
    beyond = (pi < trim) | (pi > 1 - trim)
    facts = {
        "trim": trim, "most": 1 - trim, "outside": float(e[beyond].sum() / e.sum()),
        "common": float(np.minimum(*shares).sum()),
        "lowest": float(pi.min()), "highest": float(pi.max()),
    }  # fmt: skip
    notes = (f"rows with a propensity outside [{trim:g}, {1 - trim:g}] are left out of weighting",)
    return Overlap(table=table, basis=_noted(people, notes, "overlap", str(trim)), facts=facts)


def _moments(x: Floats, weight: Floats) -> tuple[Floats, Floats]:
    share = weight / weight.sum()
    mean = share @ x
    return mean, share @ (x - mean) ** 2


def _noted(people: People, notes: tuple[str, ...], *more: str) -> Basis:
    return replace(
        people.basis, notes=(*people.basis.notes, *notes),
        fingerprint=fingerprint(people.basis.fingerprint, *more),
    )  # fmt: skip


def _said(name: str, lang: Language) -> str:
    """Name a column of the matrix: a factor, or a factor's level in brackets."""
    factor, _, level = name.partition("[")
    if not level:
        return label(factor, lang)
    return f"{label(factor, lang)}: {level_label(level.removesuffix(']'), lang)}"
