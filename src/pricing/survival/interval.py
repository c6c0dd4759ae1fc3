"""Interval: bounds of a probability from its standard error, plain, on the log or the log-log scale.

For an estimate p with standard error s and normal quantile z: plain p ± zs; log p·exp(±zs/p); log-log
p^exp(±zs/(p·ln p)). The last keeps to (0, 1) and covers best in small samples (Kalbfleisch and
Prentice, The Statistical Analysis of Failure Time Data, 2nd ed. 2002, section 1.4).
"""

from __future__ import annotations

from typing import Literal, get_args

import polars as pl
from scipy.special import ndtri

from pricing.errors import InputError, nearest

__all__ = ["Scale", "bounds", "normal_quantile", "require_scale"]

Scale = Literal["log-log", "log", "plain"]


def require_scale(scale: str) -> None:
    """Refuse an interval that is none of ours.

    Examples
    --------
    >>> require_scale("plane")
    Traceback (most recent call last):
    pricing.errors.InputError: no interval 'plane'; did you mean 'plain'?
    """
    if scale not in get_args(Scale):
        raise InputError(f"no interval {scale!r}{nearest(str(scale), get_args(Scale))}")


def normal_quantile(level: float) -> float:
    """Give z of a two-sided confidence level.

    Examples
    --------
    >>> round(normal_quantile(0.95), 4)
    1.96
    """
    try:
        wrong = not 0 < level < 1
    except TypeError:
        wrong = True
    if wrong:
        raise InputError(f"a confidence level lies between 0 and 1, got {level!r}")
    return float(ndtri((1 + level) / 2))


def bounds(estimate: pl.Expr, std_error: pl.Expr, scale: Scale, z: float) -> list[pl.Expr]:
    """Give the expressions ``lower`` and ``upper`` of a probability; null where the error is null.

    Examples
    --------
    >>> frame = pl.DataFrame({"p": [0.5, 1.0], "s": [0.1, 0.0]})
    >>> frame.select(bounds(pl.col("p"), pl.col("s"), "plain", 2.0)).rows()
    [(0.3, 0.7), (1.0, 1.0)]
    """
    sure = std_error == 0
    if scale == "plain":
        low, high = estimate - z * std_error, estimate + z * std_error
    elif scale == "log":
        reach = (z * std_error / estimate).exp()
        low, high = estimate / reach, estimate * reach
    else:
        power = (z * std_error / (estimate * estimate.log().abs())).exp()
        low, high = estimate.pow(power), estimate.pow(1 / power)
    return [
        pl.when(sure).then(estimate).otherwise(low.clip(0.0, 1.0)).alias("lower"),
        pl.when(sure).then(estimate).otherwise(high.clip(0.0, 1.0)).alias("upper"),
    ]
