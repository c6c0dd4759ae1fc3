"""Earned premium: the share of an annual premium that a stretch of its policy year earns."""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum, isfinite

import polars as pl

from pricing.errors import InputError
from pricing.experience.lexis import Segment, leap, new_year, place

__all__ = ["earned_share", "require_pattern"]


def require_pattern(pattern: Sequence[float]) -> None:
    """Refuse an earning pattern that is not made of shares adding to 1.

    Examples
    --------
    >>> require_pattern([0.5, 0.5])
    """
    try:
        weights = [float(w) for w in pattern]
    except (TypeError, ValueError):
        weights = []
    if (
        not weights
        or not all(isfinite(w) and w >= 0 for w in weights)
        or abs(fsum(weights) - 1) > 1e-9
    ):
        raise InputError(
            f"an earning pattern is shares of the premium, zero or more and adding to 1, got {list(pattern)}",
            do="give the share earned in each equal part of the policy year, such as [0.4, 0.3, 0.2, 0.1]",
        )


def earned_share(
    low: pl.Expr, high: pl.Expr, segment: Segment, dims: Sequence[str], pattern: Sequence[float]
) -> pl.Expr:
    """Share of the annual premium earned from day ``low`` to day ``high`` of one policy year.

    With x the part of the policy year gone by, in days ÷ days of that policy year, and w the shares
    of k equal parts, W(x) = Σ wᵢ min(max(kx − i, 0), 1) is earned by x, and a stretch earns
    W(high) − W(low). The stretches of a policy year add to 1, however it is cut.

    Parameters
    ----------
    low, high : polars expressions
        Day numbers within the stretch.
    segment : Segment
        The stretch, which says in which policy year it lies.
    dims : sequence of str
        Dimensions of the split, ``policy_year`` among them.
    pattern : sequence of float
        The weights w.

    Examples
    --------
    >>> from datetime import date
    >>> from pricing.experience.lexis import Lexis, lines, segments
    >>> lexis = Lexis(start=date(2023, 1, 1), end=date(2024, 1, 1), dims=["policy_year"])
    >>> cover = pl.LazyFrame({"start": [date(2023, 1, 1)], "end": [date(2023, 3, 15)]})
    >>> cover = lines(cover, lexis, ("start", "end"), age=False, policy=True, thirty=False)
    >>> year = segments(lexis, lexis.start, date(2023, 3, 14))[-1]
    >>> share = earned_share(pl.col("_s"), pl.col("_e"), year, lexis.dims, [1.0])
    >>> cover.select(share * 365).collect().item()
    73.0
    """
    began = pl.col("_sy") + place(dims, segment)["policy_year"]
    length = 365 + leap(began + pl.col("_p1"))
    first = new_year(began) + pl.col("_p") + pl.col("_p1") * leap(began)
    if len(pattern) == 1:
        return (high - low) / length
    return _by_now((high - first) / length, pattern) - _by_now((low - first) / length, pattern)


def _by_now(x: pl.Expr, pattern: Sequence[float]) -> pl.Expr:
    k, total = len(pattern), fsum(pattern)
    done = pl.lit(0.0)
    for i, weight in enumerate(pattern):
        done = done + (x * k - i).clip(0.0, 1.0) * (weight / total)
    return done
