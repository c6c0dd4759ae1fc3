"""Charge for large claims: what the capped claims must be multiplied by, with its error."""

from __future__ import annotations

import math
from dataclasses import dataclass

import polars as pl

from pricing.errors import InputError

__all__ = ["LargeCharge", "large_charge"]


@dataclass(frozen=True)
class LargeCharge:
    """Whole over capped claims, pooled over the book.

    Attributes
    ----------
    cap : float
        Where a claim is cut, currency; infinite where none is.
    factor : float
        Whole over capped amount, 1 or more.
    std_error : float
        Standard error of its log.
    dispersion, capped_dispersion : float
        Σx² / Σx of whole and of capped claims, currency.
    claims, large : int
        Claims, and those above the cap.

    Examples
    --------
    >>> LargeCharge(math.inf, 1.0, 0.0, 5.0, 5.0, 10, 0).factor
    1.0
    """

    cap: float
    factor: float
    std_error: float
    dispersion: float
    capped_dispersion: float
    claims: int
    large: int


def large_charge(amounts: pl.Series, *, cap: float = math.inf) -> LargeCharge:
    """Pool what claims cost above a cap over the whole book.

    Parameters
    ----------
    amounts : polars.Series
        One whole claim each (payments of a claim added up), at one price level, zero or more.
    cap : float
        Currency, above zero; no claim is cut where left out, and only the dispersion is taken.

    Returns
    -------
    LargeCharge

    Raises
    ------
    InputError
        For amounts that are null, negative or not finite, or none above zero.

    Notes
    -----
    With x a claim, y = min(x, cap), X and Y their sums, ln(X/Y) has by the delta method the variance
    Σ(x/X − y/Y)² of a compound Poisson sum. Claims still open pull the factor down: take settled
    claims, or allow for their development.

    Examples
    --------
    >>> found = large_charge(pl.Series([50.0, 150.0, 400.0]), cap=200.0)
    >>> found.factor, found.large, round(found.std_error, 4), found.dispersion
    (1.5, 1, 0.2125, 308.33...)
    """
    if not cap > 0:
        raise InputError(f"a cap must be above zero, got {cap}")
    x = amounts.cast(pl.Float64)
    bad = x.null_count() + int((~(x.drop_nulls().is_finite() & (x.drop_nulls() >= 0))).sum())
    if bad:
        raise InputError(f"{bad:,} of {x.len():,} amounts are null, negative or not finite")
    total = float(x.sum())
    if not total > 0:
        raise InputError("no claim has an amount above zero")
    y = x.clip(upper_bound=cap)
    capped = float(y.sum())
    return LargeCharge(
        cap=cap,
        factor=total / capped,
        std_error=math.sqrt(float(((x / total - y / capped) ** 2).sum())),
        dispersion=float((x**2).sum()) / total,
        capped_dispersion=float((y**2).sum()) / capped,
        claims=int((x > 0).sum()),
        large=int((x > cap).sum()),
    )
