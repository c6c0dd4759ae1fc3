"""Segments of a book: their own level against the book's, and how far it is to be believed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pricing.errors import InputError, nearest
from pricing.estimate.pooled_relativities import PooledRelativities, pooled_relativities
from pricing.loss_ratio.projection import Projection
from pricing.reserving.triangle import Triangle

__all__ = ["Segments", "premium_cells", "segments_of"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Segments:
    """What each segment brought in the experience period, and its relativity to the book.

    Attributes
    ----------
    names : list of str
    premium : array
        Earned at current level, currency.
    paid, unpaid : array
        Paid, and still to come at the segment's own level, currency.
    level : array
        Own level over the trend line.
    own : array
        Own level over the book's.
    pooled : PooledRelativities
        Relativities with their credibility, scaled so that they add to the book.
    """

    names: list[str]
    premium: Floats
    paid: Floats
    unpaid: Floats
    level: Floats
    own: Floats
    pooled: PooledRelativities


def premium_cells(premium: pl.DataFrame, by: str | None) -> pl.DataFrame:
    """Read premium at current level by period and segment as ``origin``, ``segment``, ``exposure``.

    Examples
    --------
    >>> from datetime import date
    >>> frame = pl.DataFrame({"period": [date(2024, 1, 1)] * 2, "tier": ["a", "b"],
    ...                       "premium_at_current_level": [10.0, 5.0]})
    >>> premium_cells(frame, "tier")["exposure"].to_list(), premium_cells(frame, None)["exposure"].to_list()
    ([10.0, 5.0], [15.0])
    """
    if not isinstance(premium, pl.DataFrame):
        raise InputError(f"the premium is a {type(premium).__name__}, not a DataFrame",
                         do="collect it")  # fmt: skip
    wanted = ["period", "premium_at_current_level", *([by] if by else [])]
    lacking = [n for n in wanted if n not in premium.columns]
    if lacking:
        said = "; ".join(f"{n!r}{nearest(n, premium.columns)}" for n in lacking)
        raise InputError(f"the premium lacks {said}", do="take .table of an on-level result")
    if premium.schema["period"] != pl.Date or not premium.schema[wanted[1]].is_numeric():
        raise InputError(f"period must be a date and {wanted[1]} a number", where="premium")
    value = pl.col("premium_at_current_level")
    counts = premium.select(
        none=pl.any_horizontal(pl.col(n).is_null() for n in wanted).sum(),
        bad=(~(value.cast(pl.Float64).is_finite() & (value >= 0))).sum(),
    ).row(0, named=True)
    if counts["none"] or counts["bad"]:
        raise InputError(
            f"premium that cannot be used: {counts['none']:,} rows with an empty value, "
            f"{counts['bad']:,} negative or not finite, of {premium.height:,}"
        )
    segment = pl.col(by).cast(pl.String) if by else pl.lit("")
    if by and premium.schema[by] == pl.Boolean:  # as a triangle names them
        segment = pl.when(pl.col(by)).then(pl.lit("yes")).otherwise(pl.lit("no"))
    return (
        premium.select(origin=pl.col("period"), segment=segment, exposure=value.cast(pl.Float64))
        .group_by("origin", "segment", maintain_order=True)
        .agg(pl.col("exposure").sum())
    )


def segments_of(
    triangle: Triangle,
    premium: pl.DataFrame,
    projection: Projection,
    by: str | None,
    *,
    draws: int,
    rng: np.random.Generator,
) -> Segments:
    """Measure each segment on the book's pattern and trend, and pool its level towards the book's.

    Parameters
    ----------
    triangle : Triangle
        With the key ``by``.
    premium : polars.DataFrame
        From :func:`premium_cells`.
    projection : Projection
        Of the book.
    by : str, optional
        Segment; without it the book is its only segment.
    draws, rng
        Of the simulation.

    Returns
    -------
    Segments

    Raises
    ------
    InputError
        For a key the triangle lacks, claims of segments without premium, segments without premium in
        the experience period.

    Examples
    --------
    >>> import math
    >>> from datetime import date
    >>> from pricing.loss_ratio.large_charge import LargeCharge
    >>> from pricing.loss_ratio.rating_period import rating_period
    >>> from pricing.reserving.completion import history
    >>> from pricing.reserving.triangle import claim_triangle
    >>> days = [date(2023, m, 3) for m in range(1, 13) for _ in range(20)]
    >>> paid = pl.DataFrame({"incurred": days, "paid": days, "tier": ["a", "b"] * 120, "amount": [9.0, 3.0] * 120})
    >>> triangle = claim_triangle(paid, valuation=date(2023, 12, 31), by=["tier"])
    >>> premium = pl.DataFrame({"origin": triangle.origins * 2, "segment": ["a"] * 12 + ["b"] * 12,
    ...                         "exposure": 100.0})
    >>> seen = history(triangle, premium.group_by("origin").agg(pl.col("exposure").sum()))
    >>> projection = Projection(seen, np.ones(12, dtype=bool), rating_period(date(2024, 1, 1)),
    ...                         LargeCharge(math.inf, 1.0, 0.0, 8.0, 8.0, 240, 0))
    >>> found = segments_of(triangle, premium, projection, "tier", draws=100, rng=np.random.default_rng(1))
    >>> found.names, found.own.round(6).tolist()
    (['a', 'b'], [1.5, 0.5])
    """
    history = projection.history
    model, kept = history.model, projection.kept
    rate, share = model.rate(), model.share()
    book = float(
        projection.level(model.paid[None], model.complete[None], model.coefficients[None])[0]
    )
    if by is None:
        held, paid = (np.array([x[kept].sum()]) for x in (model.exposure, model.paid))
        unpaid = np.array([(book * (1 - share) * model.exposure * rate)[kept].sum()])
        one = np.ones(1)
        pooled = PooledRelativities(one, np.full(1, np.nan), np.ones((draws, 1)))
        return Segments([""], held, paid, unpaid, book * one, one, pooled)
    if by not in triangle.keys:
        raise InputError(f"the triangle has no key {by!r}{nearest(by, triangle.keys)}")
    names = _ordered(triangle, premium, by)
    exposure = _grid(premium, "exposure", history.origins, names)
    cells = triangle.table.group_by(by, "origin").agg(exposure=pl.col("amount").sum())
    cells = cells.select("origin", "exposure", segment=pl.col(by).cast(pl.String))
    claims = _grid(cells, "exposure", history.origins, names)
    stray = (exposure == 0) & (claims != 0)
    if stray.any():
        row, column = np.argwhere(stray)[0]
        raise InputError(
            f"{int(stray.sum()):,} periods of segments have claims and no premium, such as "
            f"{names[column]!r} from {history.origins[row]}",
            where=by,
            do="give claims and premium of the same segment and period",
        )
    due = (exposure * share[:, None])[kept].sum(axis=0)
    if not (due > 0).all():
        none = [n for n, d in zip(names, due, strict=True) if not d > 0]
        raise InputError(
            f"no premium of the experience period in {len(none)} of {len(names)} segments: {none[:3]}",
            do="merge them with others, or lengthen the experience period",
        )
    level = (claims / rate[:, None])[kept].sum(axis=0) / due
    chance = (model.dispersion * model.money() * share / rate)[:, None] * exposure
    variance = chance[kept].sum(axis=0) / (book * due**2)
    pooled = pooled_relativities(level / book, variance, draws=draws, rng=rng)
    held = exposure[kept].sum(axis=0)
    weight = held / held.sum()
    scaled = PooledRelativities(
        pooled.mean / (pooled.mean @ weight),
        pooled.credibility,
        pooled.draws / (pooled.draws @ weight)[:, None],
    )
    return Segments(
        names=names,
        premium=held,
        paid=claims[kept].sum(axis=0),
        unpaid=(((1 - share) * rate)[:, None] * exposure)[kept].sum(axis=0) * level,
        level=level,
        own=level / book,
        pooled=scaled,
    )


def _ordered(triangle: Triangle, premium: pl.DataFrame, by: str) -> list[str]:
    """Segments in the order of their levels; claims of a segment without premium are refused."""
    kind = triangle.table.schema[by]
    with_premium = premium["segment"].unique().to_list()
    names = list(kind.categories) if isinstance(kind, pl.Enum) else sorted(with_premium)
    if kind.is_integer():  # 2 before 10
        names = sorted(
            names, key=lambda n: (0, int(n), n) if n.lstrip("-").isdecimal() else (1, 0, n)
        )
    claimed = triangle.table[by].cast(pl.String).unique().to_list()
    strays = sorted(set(claimed) - set(with_premium))
    if strays:
        raise InputError(
            f"claims of segments without premium: {strays[:3]}",
            where=by,
            do="give claims and premium of the same book",
        )
    return [n for n in names if n in with_premium] + sorted(set(with_premium) - set(names))


def _grid(cells: pl.DataFrame, value: str, origins: object, names: list[str]) -> Floats:
    """Periods × segments, zero where there is nothing."""
    grid = pl.DataFrame({"origin": origins}, schema={"origin": pl.Date}).join(
        pl.DataFrame({"segment": names}), how="cross", maintain_order="left_right"
    )
    both = grid.join(cells, on=["origin", "segment"], how="left", maintain_order="left")
    found: Floats = both[value].fill_null(0.0).to_numpy().reshape(-1, len(names))
    return found
