"""Patterns: rows of the design for any frame of factors, and how its columns are kept.

A fitted linear predictor x'β and its error need the row x of a pattern, not only of the cells it was
fitted on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import reduce
from typing import Any

import numpy as np
import polars as pl

from pricing.errors import InputError, nearest
from pricing.estimate.design import Column, Floats
from pricing.estimate.splines import Spline
from pricing.experience.domain import require_columns

__all__ = ["columns_kept", "columns_read", "pattern_rows"]

SPELT = {"yes": ["yes", "true"], "no": ["no", "false"]}
Levels = Mapping[str, Sequence[str]]


def columns_kept(columns: Sequence[Column]) -> list[dict[str, Any]]:
    """Write the columns of a design as JSON keeps them.

    Examples
    --------
    >>> columns_kept([Column("sex", ("sex",), ("m",))])
    [{'term': 'sex', 'variables': ['sex'], 'levels': ['m']}]
    """
    kept = []
    for column in columns:
        said: dict[str, Any] = {
            "term": column.term,
            "variables": list(column.variables),
            "levels": list(column.levels),
        }
        if column.spline is not None:
            spline = asdict(column.spline)
            said["spline"] = spline | {name: list(spline[name]) for name in ("knots", "weights")}
            said["smooth"] = column.smooth
        kept.append(said)
    return kept


def columns_read(kept: Sequence[Mapping[str, Any]]) -> tuple[Column, ...]:
    """Read back what :func:`columns_kept` wrote.

    Examples
    --------
    >>> columns_read(columns_kept([Column("sex", ("sex",), ("m",))]))[0].name
    'sex[m]'
    """

    def spline(said: Mapping[str, Any] | None) -> Spline | None:
        if said is None:
            return None
        return Spline(**{**said, **{n: tuple(said[n]) for n in ("knots", "weights")}})

    return tuple(
        Column(c["term"], tuple(c["variables"]), tuple(c["levels"]), spline(c.get("spline")), c.get("smooth", ""))
        for c in kept
    )  # fmt: skip


def pattern_rows(columns: Sequence[Column], levels: Levels, frame: pl.DataFrame) -> Floats:
    """Build the design's rows for patterns of factors and covariates.

    Parameters
    ----------
    columns : sequence of Column
        Of the design.
    levels : mapping of str to sequence of str
        Levels of each factor that the fit knows.
    frame : polars.DataFrame
        One row per pattern, with every factor and covariate of the columns.

    Returns
    -------
    array, patterns × columns

    Raises
    ------
    InputError
        For columns that are missing, levels the fit has not seen, and covariates that are null,
        NaN, infinite or no number: with counts.

    Examples
    --------
    >>> columns = [Column("(intercept)", (), ()), Column("sex", ("sex",), ("m",))]
    >>> pattern_rows(columns, {"sex": ["f", "m"]}, pl.DataFrame({"sex": ["f", "m"]})).tolist()
    [[1.0, 0.0], [1.0, 1.0]]
    """
    names = list(dict.fromkeys(v for c in columns for v in c.variables))
    require_columns(names, frame.columns)
    faults = [f for name in names for f in _faults(frame, name, levels.get(name))]
    faults = faults or [
        f for c in columns if c.spline and c.spline.part == 1 for f in _beyond(frame, c)
    ]
    if faults:
        raise InputError("patterns the model cannot tell of", faults=faults)
    wide = frame.with_columns(pl.Series("_one", np.ones(frame.height)))
    values = wide.select(
        reduce(lambda a, b: a * b, _parts(column), pl.col("_one")).alias(str(i))
        for i, column in enumerate(columns)
    )
    return values.to_numpy().astype(np.float64).reshape(frame.height, len(columns))


def _parts(column: Column) -> list[pl.Expr]:
    parts = []
    for name, level in zip(column.variables, column.levels, strict=True):
        if level is not None:
            parts.append(pl.col(name).cast(pl.String).is_in(SPELT.get(level, [level])).cast(pl.Float64))  # fmt: skip
        elif column.spline is not None and name == column.smooth:
            parts.append(column.spline.value(pl.col(name)))
        else:
            parts.append(pl.col(name).cast(pl.Float64))
    return parts


def _beyond(frame: pl.DataFrame, column: Column) -> list[str]:
    """A B-spline is not defined outside its boundary knots; a natural one goes on straight."""
    spline = column.spline
    if spline is None or spline.natural:
        return []
    outside = ~pl.col(column.smooth).is_between(spline.low, spline.high)
    many = frame.filter(outside).height
    reach = f"{spline.low:g} to {spline.high:g}"
    return [f"{column.smooth!r} lies outside {reach}, where its spline is known, in {many:,} rows"] if many else []  # fmt: skip


def _faults(frame: pl.DataFrame, name: str, known: Sequence[str] | None) -> list[str]:
    kind = frame.schema[name]
    if known is None:
        if not kind.is_numeric():
            return [f"{name!r} is {kind}, not a number"]
        bad = int((~frame[name].cast(pl.Float64).is_finite()).fill_null(True).sum())
        return [f"{name!r} is null, NaN or infinite in {bad:,} rows"] if bad else []
    spelt = [text for level in known for text in SPELT.get(level, [level])]
    text = frame[name].cast(pl.String)
    bad_rows = frame.filter(~text.is_in(spelt).fill_null(False))
    if bad_rows.is_empty():
        return []
    first = bad_rows[name].cast(pl.String)[0]
    if first is None:
        return [f"{name!r} is null or unknown in {bad_rows.height:,} rows"]
    return [
        f"{name!r} has a level the model has not seen in {bad_rows.height:,} rows: {first!r}"
        f"{nearest(first, known)}"
    ]
