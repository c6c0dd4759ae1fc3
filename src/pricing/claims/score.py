"""Scoring: a fitted model as one expression, and the refusal of rows it cannot price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Literal

import numpy as np
import polars as pl

from pricing.errors import InputError, nearest
from pricing.estimate.design import Column, Floats
from pricing.estimate.splines import combine

__all__ = [
    "Unknown",
    "column_value",
    "level_text",
    "mean_effects",
    "rate_expression",
    "require_known",
]

Unknown = Literal["error", "base", "mean"]

JOIN = "\x1f"  # between the levels of an interaction: in no level of a real table
Levels = Mapping[str, Sequence[str]]


def rate_expression(
    columns: Sequence[Column],
    coefficients: Floats,
    levels: Levels,
    *,
    without: str | None = None,
    schema: pl.Schema | None = None,
    offset: str | None = None,
    link: str = "log",
    correction: float = 0.0,
    unknown: Mapping[str, float] | None = None,
) -> pl.Expr:
    """Write exp(Xβ) as a polars expression: one lookup per factor, times the covariates.

    Parameters
    ----------
    columns, coefficients : sequence of Column, array
        The design's columns and their coefficients; an aliased one (NaN) counts as zero.
    levels : mapping of str to sequence of str
        Levels of each factor.
    without : str, optional
        Leave out every term with this variable: its factor at the base level.
    schema : polars.Schema, optional
        Types of the frame to score. With it a factor of type Enum is looked up by its code, which
        is faster and gives the same rate.
    offset : str, optional
        Column added to Xβ.
    link : {"log", "logit"}
        exp(Xβ), or 1/(1 + exp(−Xβ)).
    correction : float
        Added to Xβ: what a log-normal mean has beyond the median.
    unknown : mapping of str to float, optional
        Effect of a level that is not known, by factor, zero where none is named; left out, such a
        row has no rate.

    Examples
    --------
    >>> columns = [Column("(intercept)", (), ()), Column("sex", ("sex",), ("m",))]
    >>> rate = rate_expression(columns, np.log([0.5, 2.0]), {"sex": ["f", "m"]})
    >>> pl.DataFrame({"sex": ["f", "m", "x"]}).select(rate).to_series().round(9).to_list()
    [0.5, 1.0, None]
    """
    terms: dict[str, list[tuple[Column, float]]] = {}
    for column, value in zip(columns, np.nan_to_num(coefficients), strict=True):
        if without is None or without not in column.variables:
            terms.setdefault(column.term, []).append((column, float(value)))
    total = pl.lit(0.0)
    for pairs in terms.values():
        total = total + _term(pairs, levels, schema, unknown)
    if offset is not None and offset != without:
        total = total + pl.col(offset).cast(pl.Float64)
    if correction:
        total = total + correction
    rate = total.exp() if link == "log" else 1 / (1 + (-total).exp())
    return rate.alias("rate")


def column_value(column: Column) -> pl.Expr:
    """Write the design's value in one column: 1 at its levels, times its covariates.

    Examples
    --------
    >>> at = column_value(Column("sex:age", ("sex", "age"), ("m", None)))
    >>> pl.DataFrame({"sex": ["f", "m"], "age": [30, 40]}).select(at).to_series().to_list()
    [0.0, 40.0]
    """
    return column.value()


def mean_effects(table: pl.DataFrame, levels: Levels) -> dict[str, float]:
    """Give the log of each factor's mean relativity by exposure: that of a level without experience.

    Examples
    --------
    >>> table = pl.DataFrame({"term": ["sex"] * 2, "level": ["f", "m"], "relativity": [1.0, 3.0],
    ...                       "exposure": [1.0, 1.0]})
    >>> round(mean_effects(table, {"sex": ["f", "m"]})["sex"], 6)
    0.693147
    """
    seen = table.filter(pl.col("term").is_in(list(levels)), pl.col("relativity").is_not_null())
    means = seen.group_by("term", maintain_order=True).agg(
        (pl.col("relativity") * pl.col("exposure")).sum() / pl.col("exposure").sum()
    )
    return {term: float(np.log(mean)) for term, mean in means.iter_rows()}


def require_known(
    frame: pl.LazyFrame,
    variables: Sequence[str],
    levels: Levels,
    exposure: str | None,
    *,
    unseen: bool = False,
    ranges: Mapping[str, tuple[float, float]] | None = None,
) -> None:
    """Refuse a frame with rows the model cannot price, with counts and examples.

    Parameters
    ----------
    frame : polars.LazyFrame
        Rows to score.
    variables, levels, exposure
        What the model reads.
    unseen : bool
        Let levels pass that the model has not seen; nulls never do.
    ranges : mapping of str to (low, high), optional
        Covariates that the model does not know beyond.

    Raises
    ------
    InputError
        For missing columns, unknown levels, nulls, covariates that are not finite, and exposure
        that is null, not finite or not above zero.

    Examples
    --------
    >>> require_known(pl.LazyFrame({"sex": ["f", "x"]}), ["sex"], {"sex": ["f", "m"]}, None)
    Traceback (most recent call last):
        ...
    pricing.errors.InputError: rows that the model cannot score (unknown level, null, ...)
      - sex: 1 rows, such as 'x'
      do: map the levels to those the model knows, or refit with them
    """
    schema = frame.collect_schema()
    wanted = [*variables, *([exposure] if exposure else [])]
    missing = [name for name in wanted if name not in schema]
    if missing:
        raise InputError(
            f"cannot score: {len(missing)} column(s) are missing",
            faults=[f"{name!r}{nearest(name, schema.names())}" for name in missing],
        )
    tests = {
        name: _unknown(name, levels[name], schema[name]) if name in levels else ~_finite(name)
        for name in variables
    }
    if unseen:
        tests |= {name: pl.col(name).is_null() for name in variables if name in levels}
    for name, (low, high) in (ranges or {}).items():
        tests[name] = tests[name] | ~_number(name).is_between(low, high).fill_null(False)
    if exposure:
        tests[exposure] = ~(_finite(exposure) & (_number(exposure) > 0)).fill_null(False)
    if not tests:
        return
    counts = frame.select(**{name: test.sum() for name, test in tests.items()})
    found = counts.collect(engine="streaming").row(0, named=True)
    faults = [
        f"{name}: {count:,} rows, such as {_examples(frame, name, tests[name])}"
        for name, count in found.items()
        if count
    ]
    if faults:
        raise InputError(
            "rows that the model cannot score (unknown level, null, or exposure not above zero)",
            faults=faults,
            do="map the levels to those the model knows, or refit with them",
        )


def _term(
    pairs: list[tuple[Column, float]],
    levels: Levels,
    schema: pl.Schema | None,
    unknown: Mapping[str, float] | None,
) -> pl.Expr:
    first = pairs[0][0]
    if first.spline is None or first.variables == (first.smooth,):
        return _effects(pairs, levels, schema, unknown)
    # a spline in an interaction: one curve per function, its coefficients by level
    parts: dict[int, list[tuple[Column, float]]] = {}
    for column, value in pairs:
        parts.setdefault(column.spline.part if column.spline else 0, []).append((column, value))
    return reduce(
        lambda a, b: a + b, [_effects(p, levels, schema, unknown) for p in parts.values()]
    )


def _effects(
    pairs: list[tuple[Column, float]],
    levels: Levels,
    schema: pl.Schema | None,
    unknown: Mapping[str, float] | None,
) -> pl.Expr:
    first, value = pairs[0]
    factors = [v for v in first.variables if v in levels]
    effects = {JOIN.join(x for x in c.levels if x is not None): v for c, v in pairs}
    if first.spline is not None and first.variables == (first.smooth,):
        parts = [c.spline for c, _ in pairs if c.spline is not None]
        return combine(parts, [v for _, v in pairs]).value(pl.col(first.smooth))
    if not factors:
        total = pl.lit(value)
    elif len(factors) == 1:
        name = factors[0]
        other = None if unknown is None else 0.0
        if unknown is not None and len(first.variables) == 1:
            other = unknown.get(name, 0.0)
        total = _lookup(name, {x: effects.get(x, 0.0) for x in levels[name]}, schema, other)
    else:
        text = pl.concat_str([level_text(f, levels[f]) for f in factors], separator=JOIN)
        total = text.replace_strict(effects, default=0.0, return_dtype=pl.Float64)
    for name in first.variables:
        if name not in levels:
            total = total * first.covariate(name)
    return total


def _lookup(
    name: str, effects: Mapping[str, float], schema: pl.Schema | None, other: float | None
) -> pl.Expr:
    kind = schema.get(name) if schema else None
    if isinstance(kind, pl.Enum):
        by_code = pl.Series([effects.get(x, other) for x in kind.categories], dtype=pl.Float64)
        return pl.lit(by_code).gather(pl.col(name).to_physical())
    found = level_text(name, list(effects))
    return found.replace_strict(effects, default=other, return_dtype=pl.Float64)


def level_text(name: str, levels: Sequence[str]) -> pl.Expr:
    """Read a factor as text; a Boolean column as the yes and no it was collected as.

    Examples
    --------
    >>> rows = pl.DataFrame({"chronic": [True, False]})
    >>> rows.select(level_text("chronic", ["no", "yes"])).to_series().to_list()
    ['yes', 'no']
    """
    text = pl.col(name).cast(pl.String)
    if {"true", "false"} & set(levels):
        return text
    return text.replace({"true": "yes", "false": "no"})


def _unknown(name: str, levels: Sequence[str], kind: pl.DataType) -> pl.Expr:
    if isinstance(kind, pl.Enum) and set(kind.categories) <= set(levels):
        return pl.col(name).is_null()
    return ~level_text(name, levels).is_in(levels).fill_null(False)


def _finite(name: str) -> pl.Expr:
    return _number(name).is_finite().fill_null(False)


def _number(name: str) -> pl.Expr:
    """A column as a number; words become null, and are then counted and shown."""
    return pl.col(name).cast(pl.Float64, strict=False)


def _examples(frame: pl.LazyFrame, name: str, test: pl.Expr) -> str:
    few = frame.filter(test).select(pl.col(name).cast(pl.String).unique()).collect()[name]
    return ", ".join(repr(value) for value in sorted(few.to_list(), key=str)[:3])
