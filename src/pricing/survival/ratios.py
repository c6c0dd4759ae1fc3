"""Ratios: the rows, the picture and the patterns that regressions of lives share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError
from pricing.estimate.design import Column, Design, Floats
from pricing.experience.cells import Experience
from pricing.result.figure import interval_figure
from pricing.result.series import lying
from pricing.result.words import Language, label, level_label

__all__ = [
    "factor_levels",
    "life_patterns",
    "ratio_figure",
    "ratio_rows",
    "require_free",
    "widest",
]


WIDE = 6.0  # ratios further apart than this are drawn on a log scale
STANDING = 6  # more names than this stand one under the other


def factor_levels(matrix: Design) -> dict[str, list[str]]:
    """Give the levels of each factor as lists.

    Examples
    --------
    >>> rows = pl.DataFrame({"sex": ["f", "m"], "exposure": [2.0, 1.0], "claims": [1, 1]})
    >>> from pricing.estimate.design import design
    >>> factor_levels(design("sex", Experience.collect(rows, ["sex"])))
    {'sex': ['f', 'm']}
    """
    return {name: list(levels) for name, levels in matrix.levels.items()}


def life_patterns(
    base: Mapping[str, str], levels: Mapping[str, Sequence[str]], means: Mapping[str, float]
) -> pl.DataFrame:
    """List the base pattern, then each other level of each factor with the rest at base and mean.

    Examples
    --------
    >>> life_patterns({"sex": "f"}, {"sex": ["f", "m"]}, {"age": 40.0}).rows()
    [('f', 40.0), ('m', 40.0)]
    """
    start: dict[str, Any] = {**base, **means}
    rows = [start, *(start | {n: v} for n in levels for v in levels[n] if v != base[n])]
    return pl.DataFrame(rows) if start else pl.DataFrame({"pattern": ["all"]})


def require_free(names: Sequence[str], ours: Sequence[str]) -> None:
    """Refuse factors that have the name of a column of ours.

    Examples
    --------
    >>> require_free(["time"], ["time", "survival"])
    Traceback (most recent call last):
    pricing.errors.InputError: 'time' has the name of a column of ours; rename the column
    """
    taken = [n for n in names if n in ours]
    if taken:
        raise InputError(f"{taken[0]!r} has the name of a column of ours; rename the column")


def ratio_rows(
    name: str,
    matrix: Design,
    beta: Floats,
    covariance: Floats,
    z: float,
    sums: Mapping[str, Floats],
    seen: Experience,
) -> pl.DataFrame:
    """Lay out coefficients as exp(β) with intervals, base levels among them, and what is behind each.

    Parameters
    ----------
    name : str
        Column of exp(β).
    matrix : Design
        On the cells of ``seen``.
    beta, covariance : array
        NaN where aliased; a covariance of NaN gives no intervals.
    z : float
        Normal quantile of the interval.
    sums : mapping of str to array
        By cell of ``seen``; added up by level, null for what is no single factor.
    seen : Experience
        Cells.

    Examples
    --------
    >>> rows = pl.DataFrame({"sex": ["f", "m"], "exposure": [2.0, 1.0], "claims": [1, 1]})
    >>> from pricing.estimate.design import design
    >>> seen = Experience.collect(rows, ["sex"])
    >>> found = ratio_rows("hazard_ratio", design("sex", seen), np.log([0.5, 2.0]), np.eye(2), 2.0,
    ...                    {"exposure": seen.values("exposure")}, seen)
    >>> found.select("level", "role", pl.col("hazard_ratio").round(6), "exposure").rows()
    [('', 'intercept', 0.5, 3.0), ('f', 'base', 1.0, 2.0), ('m', 'estimate', 2.0, 1.0)]
    """
    error = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    behind = {
        (n, at): [float(v[seen.cells[n].to_physical().to_numpy() == k].sum()) for v in sums.values()]
        for n in matrix.levels
        for k, at in enumerate(seen.levels(n))
    }  # fmt: skip
    nothing: list[float | None] = [None] * len(sums)
    whole = [float(v.sum()) for v in sums.values()]
    rows: list[dict[str, Any]] = []
    for j, c in enumerate(matrix.columns):
        first = c.variables and c.term == c.variables[0] and c.term in matrix.base
        if first and (j == 0 or matrix.columns[j - 1].term != c.term):
            rows.append({"term": c.term, "level": matrix.base[c.term], "role": "base", name: 1.0, "lower": 1.0, "upper": 1.0})  # fmt: skip
        with np.errstate(over="ignore"):
            ends = np.exp([beta[j], beta[j] - z * error[j], beta[j] + z * error[j]])
        rows.append({
            "term": c.term, "level": c.level, "role": _role(c, beta[j]),
            **dict(zip((name, "lower", "upper"), ends.tolist(), strict=True)),
            "coefficient": float(beta[j]), "std_error": float(error[j]),
        })  # fmt: skip
    for row in rows:
        own = whole if row["role"] == "intercept" else behind.get((row["term"], row["level"]))
        row |= dict(zip(sums, own or nothing, strict=True))
    order = {(n, at): k for n, known in matrix.levels.items() for k, at in enumerate(known)}
    terms = list(dict.fromkeys(c.term for c in matrix.columns))
    rows.sort(key=lambda r: (terms.index(r["term"]), order.get((r["term"], r["level"]), 0)))
    kinds: dict[str, Any] = dict.fromkeys((name, "lower", "upper", "coefficient", "std_error", *sums), pl.Float64)  # fmt: skip
    schema = {"term": pl.String, "level": pl.String, "role": pl.String} | kinds
    return pl.DataFrame(rows, schema=schema).with_columns(pl.selectors.float().fill_nan(None))


def widest(table: pl.DataFrame, name: str) -> dict[str, Any]:
    """Say which level lies furthest from its base, with its interval; empty where there is none.

    Examples
    --------
    >>> table = pl.DataFrame({"term": ["sex"], "level": ["m"], "role": ["estimate"], "hazard_ratio": [2.0],
    ...                       "lower": [1.0], "upper": [4.0]})
    >>> widest(table, "hazard_ratio")["widest"]
    'sex: m'
    """
    own = table.filter(pl.col("role") == "estimate", pl.col(name).is_not_null())
    if own.is_empty():
        return {"widest": "", "ratio": None, "ratio_lower": None, "ratio_upper": None}
    row = own.sort(pl.col(name).log().abs(), descending=True, maintain_order=True).row(0, named=True)  # fmt: skip
    return {"widest": f"{row['term']}: {row['level']}", "ratio": row[name], "ratio_lower": row["lower"], "ratio_upper": row["upper"]}  # fmt: skip


def ratio_figure(table: pl.DataFrame, name: str, bars: str, lang: Language) -> go.Figure:
    """Draw ratios with their intervals, base levels at one, over what stands behind each.

    Examples
    --------
    >>> table = pl.DataFrame({"term": ["sex"] * 2, "level": ["f", "m"], "role": ["base", "estimate"],
    ...     "hazard_ratio": [1.0, 2.0], "lower": [1.0, 1.5], "upper": [1.0, 3.0], "exposure": [5.0, 4.0]})
    >>> list(ratio_figure(table, "hazard_ratio", "exposure", "en").data[1].x)
    ['Sex: f', 'Sex: m']
    """
    own = table.filter(~pl.col("role").is_in(["intercept", "scale", "aliased"]))
    own = own if own.height else table.filter(pl.col("role") == "intercept")
    places = [
        label(term, lang) + (f": {level_label(level, lang)}" if level else "")
        for term, level in own.select("term", "level").iter_rows()
    ]
    held = own[bars].to_list()
    figure = interval_figure(
        places,
        own[name].to_list(),
        own["lower"].to_list(),
        own["upper"].to_list(),
        name=name,
        factor="term",
        lang=lang,
        bars=[h or 0.0 for h in held] if any(h is not None for h in held) else None,
        bars_name=bars,
        reference=1.0,
    )
    ends = own.select(pl.col(name, "lower", "upper")).unpivot()["value"].drop_nulls().to_numpy()
    if len(ends) and ends.min() > 0 and ends.max() > WIDE * ends.min():
        marks = [m * 10.0**k for k in range(-6, 7) for m in (1, 2, 5)]
        figure.update_layout(
            yaxis={"type": "log", "tickmode": "array", "tickvals": marks, "ticktext": [f"{m:g}" for m in marks]}
        )  # fmt: skip
    return lying(figure) if len(places) > STANDING else figure


def _role(column: Column, coefficient: float) -> str:
    if not np.isfinite(coefficient):
        return "aliased"
    if not column.variables:
        return "intercept"
    if column.spline is not None:
        return "spline"
    return "covariate" if None in column.levels else "estimate"
