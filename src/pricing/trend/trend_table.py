"""What a trend's coefficients say: annual changes, steps, the fitted line, the season's index."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from scipy.special import stdtr

from pricing.errors import InputError
from pricing.estimate.design import Floats
from pricing.estimate.time_axis import TimeAxis

__all__ = [
    "LESS",
    "TOO_LITTLE",
    "Projected",
    "require_sense",
    "season_table",
    "trend_line",
    "trend_table",
]


MOST_WIDE = 20.0  # of a log: a factor of 5·10⁸
TOO_LITTLE = "the periods hold too little to carry this trend"
LESS = "leave out seasons, breaks or factors, take longer periods, or more of them"


class Projected(NamedTuple):
    """A factor or a level: ``std_error`` is that of its log, the interval rests on it."""

    estimate: float
    std_error: float
    lower: float
    upper: float


def trend_table(
    axis: TimeAxis, first: date, beta: Floats, covariance: Floats, reach: float, degrees: int
) -> pl.DataFrame:
    """Give a row for every stretch of trend and every step of the level, in order of time.

    Examples
    --------
    >>> axis = TimeAxis("year", 20.0)
    >>> found = trend_table(axis, date(2020, 1, 1), np.array([0.0, 0.05]), np.eye(2) * 1e-4, 2.0, 9)
    >>> found.select("term", pl.col("estimate", "lower", "upper").round(4)).row(0)
    ('trend', 0.0513, 0.0305, 0.0725)
    """
    names = list(axis.names)
    bends = [day for day, kind in axis.breaks if kind != "level"]
    starts: list[date] = [first, *bends]
    rows: list[tuple[Any, ...]] = []
    for i, start in enumerate(starts):
        own = np.zeros(len(names))
        own[1] = 1.0
        for day in bends[:i]:
            own[names.index(f"trend_break {day}")] = 1.0
        rows.append(("trend", start, starts[i + 1] if i < len(bends) else None, own))
    for day, kind in axis.breaks:
        if kind != "slope":
            own = np.zeros(len(names))
            own[names.index(f"level_break {day}")] = 1.0
            rows.append(("level_break", day, None, own))
    found = []
    for term, start, stop, own in sorted(rows, key=lambda r: (r[1], r[0])):
        b, se = float(own @ beta), math.sqrt(max(float(own @ covariance @ own), 0.0))
        p = float(2 * stdtr(degrees, -abs(b) / se)) if se > 0 else None
        ends = (math.expm1(v) for v in (b - reach * se, b + reach * se))
        found.append((term, start, stop, math.expm1(b), se, *ends, p))
    schema = {"term": pl.String, "start": pl.Date, "end": pl.Date} | dict.fromkeys(
        ("estimate", "std_error", "lower", "upper", "p_value"), pl.Float64
    )
    return pl.DataFrame(found, schema=schema, orient="row")


def trend_line(
    axis: TimeAxis, firsts: Sequence[date], beta: Floats, covariance: Floats, reach: float
) -> pl.DataFrame:
    """Give the fitted mean of periods, and its interval.

    Examples
    --------
    >>> axis = TimeAxis("year", 20.5)
    >>> trend_line(axis, [date(2020, 1, 1)], np.array([0.0, 0.05]), np.eye(2) * 1e-4, 2.0).shape
    (1, 4)
    """
    z = axis.columns(firsts)
    eta = z @ beta
    error = reach * np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", z, covariance, z), 0))
    return pl.DataFrame(
        {
            "first": list(firsts),
            "fitted": np.exp(eta),
            "lower": np.exp(eta - error),
            "upper": np.exp(eta + error),
        }
    )


def season_table(axis: TimeAxis, beta: Floats, covariance: Floats, reach: float) -> pl.DataFrame:
    """Give the index of every season to the year's geometric mean.

    Examples
    --------
    >>> axis = TimeAxis("quarter", 20.0, "harmonic")
    >>> found = season_table(axis, np.array([0.0, 0.0, 0.1, 0.0]), np.eye(4) * 1e-4, 2.0)
    >>> found["estimate"].round(3).to_list()
    [1.072, 1.075, 0.933, 0.931]
    """
    step = 1 if axis.period == "month" and axis.seasonality != "quarter" else 3
    days = [date(2001, month, 1) for month in range(1, 13, step)]
    z = axis.columns(days)[:, axis.seasonal]
    z = z - z.mean(axis=0)
    own = np.flatnonzero(axis.seasonal)
    eta, v = z @ beta[own], covariance[np.ix_(own, own)]
    error = np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", z, v, z), 0))
    return pl.DataFrame(
        {
            "season": [(day.month - 1) // step + 1 for day in days],
            "estimate": np.exp(eta),
            "std_error": error,
            "lower": np.exp(eta - reach * error),
            "upper": np.exp(eta + reach * error),
        }
    )


def require_sense(axis: TimeAxis, beta: Floats, covariance: Floats, reach: float) -> None:
    """Refuse coefficients of which the interval says nothing, before they overflow.

    Examples
    --------
    >>> require_sense(TimeAxis("year", 20.0), np.zeros(2), np.eye(2), 2.0)
    """
    error = reach * np.sqrt(np.maximum(np.diag(covariance), 0))
    error[1:] += np.abs(beta[1:])
    wide = [n for n, e in zip(axis.names, error, strict=True) if not e < MOST_WIDE]
    if wide:
        raise InputError(
            TOO_LITTLE,
            faults=[f"{name}: its interval reaches a factor beyond 10⁸" for name in wide],
            do=LESS,
        )
