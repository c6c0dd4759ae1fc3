"""Bands: a numeric column cut into ordered levels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import isfinite
from typing import Any

import polars as pl

from pricing.errors import InputError

__all__ = ["band", "band_labels"]


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
    chain: Any = pl.when(value.is_null() | (value < edges[0])).then(pl.lit(None, dtype=pl.String))
    for upper, name in zip(edges[1:], labels, strict=False):
        chain = chain.when(value < upper).then(pl.lit(name))
    last = chain.when(value.cast(pl.Float64).is_finite()).then(pl.lit(labels[-1]))
    banded: pl.Expr = last.otherwise(None).cast(pl.Enum(labels))
    return banded


def _plain(edge: float) -> str:
    """Write an edge in full: two edges never share a name, and none reads 1e+06."""
    return f"{edge:.0f}" if edge.is_integer() else f"{edge:.15g}"
