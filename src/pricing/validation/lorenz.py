"""Lorenz curve and Gini index of a prediction, its definition named and its interval from the rows.

Cells are ranked by a score; x is the share of a base up to there, y the share of claims (or money).

* By exposure: score = predicted rate, base = policy-years. The curve is the concentration curve
  (Denuit, Sznajder and Trufin 2019), in fraud and lending also called Lorenz.
* Ordered Lorenz (Frees, Meyers and Cummings 2011): score = relativity = predicted over charged,
  base = premium charged. It asks whether the prediction finds who is over- and undercharged.

Gini = 1 − 2·area under y(x) = 1 − Σ (x_k − x_{k−1})(y_k + y_{k−1}), 0 for a score that tells
nothing. Cells of equal score form one straight piece, so their order does not matter.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError, nearest
from pricing.experience.cells import Experience
from pricing.experience.ratio import By
from pricing.result.figure import COLOURS
from pricing.result.shape import Result
from pricing.result.words import Language, label, say
from pricing.validation.prediction import Codes, Floats, Prediction, predict, told_apart

__all__ = ["Lorenz", "Unit", "lorenz"]

Unit = Literal["rows", "cells"]
SEGMENTS = 500  # of the ranked cells, redrawn as one; a segment's own inequality is 1/500 at most
NOTES = {
    "rows": "bootstrap of the rows, drawn from the cells' first and second moments: rows are taken "
    "as independent",
    "cells": "bootstrap of whole cells: right where a cell is what is sampled (a person, a firm)",
}


class Lorenz(Result):
    """Share of claims against share of exposure or premium, cells ranked by a prediction."""

    kind = "lorenz"

    def finding(self, lang: Language = "en") -> str:
        """Say the Gini index with its interval and which definition it is."""
        ordered = self.facts["definition"] == "premium"
        return say("sentence.lorenz_premium" if ordered else "finding.lorenz", lang, **self.facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the curve seen, the one the model expects, and the line of equality."""
        table, base = self.table, self.facts["base"]
        figure = go.Figure(layout={"template": "pricing", "height": 480})
        for name, colour, dash in (
            ("share_actual", "estimate", "solid"),
            ("share_expected", "second", "dash"),
        ):
            figure.add_scatter(
                x=table[base].to_list(),
                y=table[name].to_list(),
                mode="lines",
                name=label(name, lang),
                line={"color": COLOURS[colour], "dash": dash, "width": 3},
            )
        figure.add_scatter(
            x=[0, 1],
            y=[0, 1],
            mode="lines",
            name=label("equality", lang),
            line={"color": COLOURS["line"], "dash": "dot"},
            hoverinfo="skip",
        )
        axis = {"range": [0, 1], "tickformat": ".0%"}
        figure.update_layout(
            xaxis={"title": {"text": label(base, lang)}, **axis},
            yaxis={"title": {"text": label("share_actual", lang)}, **axis},
        )
        return figure


def lorenz(
    experience: Experience,
    expected: pl.Expr | str,
    *,
    premium: pl.Expr | str | None = None,
    by: By = "claims",
    unit: Unit = "rows",
    draws: int = 400,
    seed: int = 0,
    level: float = 0.95,
    points: int = 101,
) -> Lorenz:
    """Compute the Gini index of a prediction, by exposure or (with a premium) as ordered Lorenz.

    Parameters
    ----------
    experience : Experience
        Cells, best unseen by the model.
    expected : polars.Expr or str
        Prediction per policy-year, or a sum of expected claims.
    premium : polars.Expr or str, optional
        Premium charged per policy-year, or a sum of premium (currency or any unit: only shares
        count). Given, the ordered Lorenz curve of Frees, Meyers and Cummings; left out, the curve
        by exposure.
    by : {"claims", "amount"}
        Share of claims, or of money.
    unit : {"rows", "cells"}
        What the bootstrap draws again. ``"rows"``: every cell's sums vary as if its rows had been
        drawn, which their squares tell. ``"cells"``: each cell whole, Poisson(1) times; wide where
        cells are few and large.
    draws : int
        Bootstrap draws, 100 or more.
    seed : int
        The same seed gives the same interval.
    level : float
        Confidence level.
    points : int
        Points of the curve kept in the table, 11 or more.

    Returns
    -------
    Lorenz
        ``.table``: share_exposure (or share_premium), share_actual, share_expected. ``.facts``:
        gini, std_error, lower, upper, gini_expected (what it would be were the model right),
        definition.

    Raises
    ------
    InputError
        As :func:`pricing.validation.prediction.predict`, for the premium too; for options outside
        these domains.

    Notes
    -----
    Frees, Meyers and Cummings (2011), Summarizing insurance scores using a Gini index, JASA 106.
    Interval: percentiles of the draws about the exact index (Efron 1979); more than 500 ranked
    segments are drawn as 500, normal with the moments of their draws.

    Examples
    --------
    >>> rows = pl.DataFrame({"age": ["20", "60"], "exposure": [10.0, 10.0], "claims": [1, 3]})
    >>> seen = Experience.collect(rows, ["age"])
    >>> model = pl.col("age").cast(pl.String).cast(pl.Float64)
    >>> lorenz(seen, model).facts["gini"], lorenz(seen, pl.lit(1.0)).facts["gini"]
    (0.25, 0.0)
    """
    _require(unit, draws, level, points)
    seen = predict(experience, expected, by=by)
    priced = None if premium is None else predict(experience, premium, by=by).rate
    score = seen.score if priced is None else told_apart(seen.rate / priced)
    base = seen.exposure if priced is None else priced * seen.exposure
    order, ranked = np.argsort(score), np.sort(score)
    starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
    ties = len(starts) < len(order)

    def ranked_sums(values: Floats) -> Floats:
        values = values[order]
        return np.add.reduceat(values, starts) if ties else values

    b, a = ranked_sums(base), ranked_sums(seen.actual)
    e = ranked[starts] * b if priced is None else ranked_sums(seen.expected)
    x, y, z = np.cumsum(b), np.cumsum(a), np.cumsum(e)
    gini, own = _gini(b, a, y), _gini(b, e, z)
    ends = _segments(x)
    moments = None
    if unit == "rows" or len(ends) < len(order):
        lasts = starts[1:][ends[:-1]] if ties else ends[:-1] + 1  # cells before the next segment
        moments = _moments(seen, priced, order, lasts, unit)
    sums = (np.diff(y[ends], prepend=0.0), np.diff(x[ends], prepend=0.0))
    spread = _draws(*sums, moments, draws, seed)
    tail = (1 - level) / 2
    lower, upper = np.quantile(spread, [tail, 1 - tail])
    grid = np.linspace(0, 1, points)
    name = "share_exposure" if priced is None else "share_premium"
    curves = {"share_actual": _curve(grid, x, y), "share_expected": _curve(grid, x, z)}
    table = pl.DataFrame({name: grid, **curves})
    facts = {
        "by": by,
        "level": level,
        "definition": "exposure" if priced is None else "premium",
        "base": name,
        "gini": gini,
        "std_error": float(spread.std(ddof=1)),
        "lower": gini + float(lower),
        "upper": gini + float(upper),
        "gini_expected": own,
        "groups": len(starts),
        "half": float(1 - np.interp(0.5, grid, curves["share_actual"])),
        "draws": draws,
        "seed": seed,
        "unit": unit,
    }
    return Lorenz(table=table, basis=seen.basis(NOTES[unit]), facts=facts)


def _require(unit: str, draws: int, level: float, points: int) -> None:
    if unit not in get_args(Unit):
        raise InputError(f"no such choice: {unit!r}{nearest(unit, get_args(Unit))}")
    if draws < 100 or points < 11 or not 0 < level < 1:
        raise InputError(
            f"draws={draws}, points={points}, level={level}: give 100 draws and 11 points or more, "
            "and a level between 0 and 1"
        )


def _gini(base: Floats, actual: Floats, up_to: Floats) -> float:
    """1 − Σ b_k (Y_k + Y_{k−1}) / (ΣbΣa), Y the running sum of a."""
    # not @, which wakes the threads of a linear-algebra library for a plain sum
    area = np.einsum("i,i", base, 2.0 * up_to - actual)
    return float(1.0 - area / (base.sum() * up_to[-1]))


def _curve(grid: Floats, x: Floats, y: Floats) -> Floats:
    """Height of the curve at shares of the base, straight between groups."""
    at = grid * x[-1]
    place = np.minimum(np.searchsorted(x, at), len(x) - 1)
    before = np.maximum(place - 1, 0)
    left = np.where(place > 0, x[before], 0.0)
    low = np.where(place > 0, y[before], 0.0)
    share = (at - left) / (x[place] - left)
    found: Floats = np.clip((low + share * (y[place] - low)) / y[-1], 0.0, 1.0)
    return found


def _segments(x: Floats) -> Codes:
    """Last group of each segment: of every group where they are few."""
    if len(x) <= SEGMENTS:
        return np.arange(len(x))
    ends = np.searchsorted(x, x[-1] * np.arange(1, SEGMENTS) / SEGMENTS)
    return np.unique(np.concatenate([ends, [len(x) - 1]]))


def _draws(
    a: Floats, b: Floats, moments: tuple[Floats, ...] | None, draws: int, seed: int
) -> Floats:
    """Gini of every bootstrap draw less that of the segments drawn."""
    draw, count = np.random.default_rng(seed), len(a)
    if moments is None:
        weights = draw.poisson(1.0, (draws, count))
        many_a, many_b = weights * a, weights * b
    else:
        aa, ab, bb = moments
        noise, other = draw.standard_normal((2, draws, count))
        deep = np.sqrt(bb)
        along = ab / deep
        many_b = b + noise * deep
        many_a = a + noise * along + other * np.sqrt(np.maximum(aa - along**2, 0.0))
    y = many_a.cumsum(axis=1)
    area = (many_b * (2.0 * y - many_a)).sum(axis=1)
    drawn: Floats = 1.0 - area / (many_b.sum(axis=1) * y[:, -1])
    return drawn - _gini(b, a, np.cumsum(a))


def _moments(
    seen: Prediction, priced: Floats | None, order: Codes, lasts: Codes, unit: Unit
) -> tuple[Floats, ...]:
    """Σa², Σab and Σb² of the units drawn, by segment."""
    aa, ab, bb = seen.squares
    if unit == "cells":
        aa, ab, bb = seen.actual**2, seen.actual * seen.exposure, seen.exposure**2
    if priced is not None:
        ab, bb = ab * priced, bb * priced**2
    marks = np.zeros(len(order), dtype=np.int64)
    marks[lasts] = 1
    codes = np.empty(len(order), dtype=np.int64)
    codes[order] = np.cumsum(marks)
    count = len(lasts) + 1
    return tuple(
        np.bincount(codes, weights=v, minlength=count).astype(np.float64, copy=False)
        for v in (aa, ab, bb)
    )
