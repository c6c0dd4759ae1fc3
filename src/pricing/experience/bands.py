"""Bands: a numeric column cut into ordered levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import isfinite
from typing import Any

import narwhals.stable.v2 as nw
import polars as pl

from pricing.errors import InputError
from pricing.experience.domain import require_columns, require_numbers
from pricing.experience.engines import AnyFrame, on_spark, opened

__all__ = ["band", "band_labels", "with_bands"]


def band_labels(edges: Sequence[float]) -> list[str]:
    """Name the bands that ``edges`` cut: half-open, closed on the left.

    Parameters
    ----------
    edges : sequence of float
        Strictly increasing; each band runs from one edge to below the next, the last is open.

    Returns
    -------
    list of str
        ``"18-29"`` where both edges are whole numbers (ages last birthday), ``"60+"`` for the last.

    Raises
    ------
    InputError
        Where edges are empty, not finite or not increasing.

    Examples
    --------
    >>> band_labels([18, 30, 60])
    ['18-29', '30-59', '60+']
    >>> band_labels([0, 0.5, 1])
    ['[0,0.5)', '[0.5,1)', '1+']
    """
    try:
        cuts = [float(edge) for edge in edges]
    except (TypeError, ValueError):
        cuts = []
    if not cuts or any(not b > a for a, b in pairwise(cuts)) or not all(map(isfinite, cuts)):
        raise InputError(
            f"band edges must be finite and increasing numbers, got {list(edges)}",
            do="give the lower edge of each band, such as [18, 30, 40]",
        )
    whole = all(cut.is_integer() for cut in cuts)
    names = [
        (_plain(a) if b - a == 1 else f"{_plain(a)}-{_plain(b - 1)}")
        if whole
        else f"[{_plain(a)},{_plain(b)})"
        for a, b in pairwise(cuts)
    ]
    return [*names, f"{_plain(cuts[-1])}+"]


def band(column: str | pl.Expr, edges: Sequence[float]) -> pl.Expr:
    """Cut a numeric column into bands, as an expression any frame can take.

    A value below the first edge, a null or a NaN gives null: the experience then refuses it
    with a count, so nothing falls out in silence.

    Parameters
    ----------
    column : str or polars expression
        Numeric column, such as attained age in years.
    edges : sequence of float
        Lower edges, strictly increasing.

    Returns
    -------
    polars.Expr
        Enum with the bands of :func:`band_labels`, in order.

    Examples
    --------
    >>> pl.DataFrame({"age": [18, 29, 30, 75]}).select(band("age", [18, 30, 60])).to_series().to_list()
    ['18-29', '18-29', '30-59', '60+']
    """
    labels = band_labels(edges)
    value = pl.col(column) if isinstance(column, str) else column
    banded: pl.Expr = _chain(pl, value, list(map(pl.lit, edges)), labels).cast(pl.Enum(labels))
    return banded


def with_bands(frame: AnyFrame, bands: Mapping[str, tuple[str, Sequence[float]]]) -> AnyFrame:
    """Add bands to a frame of any engine, where it is: the same bands as :func:`band`.

    Parameters
    ----------
    frame : frame of any engine
        polars, DuckDB or PySpark (what the collection of cells takes).
    bands : mapping of str to (str, sequence of float)
        New column = the column to cut and its lower edges.

    Returns
    -------
    frame
        Of the same engine (polars for pandas and pyarrow), with the bands as Enum. Spark has no
        Enum: there they are text, and :func:`band_labels` gives the order to collect them in.

    Raises
    ------
    InputError
        For columns that are missing or no numbers, and edges that cut nothing.

    Examples
    --------
    >>> with_bands(pl.DataFrame({"age": [29, 75]}), {"age_band": ("age", [18, 30, 60])}).rows()
    [(29, '18-29'), (75, '60+')]
    """
    columns = list(dict.fromkeys(column for column, _ in bands.values()))
    lazy = opened(frame, columns)
    schema = lazy.collect_schema()
    require_columns(columns, schema.names())
    require_numbers(schema, columns)
    made = {}
    for name, (column, edges) in bands.items():
        labels = band_labels(edges)
        # a 32-bit column is held against 32-bit edges, so that 0.7 lies in the band from 0.7
        kind = nw.Float32 if schema[column] == nw.Float32 else nw.Float64
        cuts = [nw.lit(float(edge), kind) for edge in edges]
        made[name] = _chain(nw, nw.col(column), cuts, labels)
        if not on_spark(lazy):
            made[name] = made[name].cast(nw.Enum(labels))
    banded = lazy.with_columns(**made).to_native()
    return banded.collect() if isinstance(frame, pl.DataFrame) else banded


def _chain(engine: Any, value: Any, edges: Sequence[Any], labels: Sequence[str]) -> Any:
    """Cut a value by the expressions of polars or narwhals.

    NaN is looked for by itself: DuckDB answers ``x < 60`` from a file's statistics, which NaN is
    not in.
    """
    none = engine.lit(None, dtype=engine.String)
    chain = engine.lit(labels[-1])
    for upper, name in reversed(list(zip(edges[1:], labels, strict=False))):
        chain = engine.when(value < upper).then(engine.lit(name)).otherwise(chain)
    inside = value.cast(engine.Float64).is_finite() & (value >= edges[0])
    return engine.when(inside).then(chain).otherwise(none)


def _plain(edge: float) -> str:
    """Write an edge in full: two edges never share a name, and none reads 1e+06."""
    return f"{edge:.0f}" if edge.is_integer() else f"{edge:.15g}"
