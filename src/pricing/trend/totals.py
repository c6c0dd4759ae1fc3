"""What a trend is fitted to: totals and weights by period and cell, in order, without a gap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal, get_args

import numpy as np
import polars as pl

from pricing.errors import InputError, nearest
from pricing.estimate.design import Floats
from pricing.estimate.response import RESPONSES
from pricing.estimate.time_axis import (
    MONTHS,
    BreakKind,
    Period,
    Seasonality,
    TimeAxis,
    next_period,
)
from pricing.experience.cells import Experience
from pricing.result.shape import Basis

__all__ = [
    "MOMENTS",
    "SUMS",
    "Totals",
    "TrendResponse",
    "place_axis",
    "read_completion",
    "read_totals",
]

TrendResponse = Literal["frequency", "severity", "pure_premium", "loss_ratio"]
SUMS: Mapping[str, tuple[str, str]] = {
    "frequency": ("exposure", "claims"),
    "severity": ("claims", "amount"),
    "pure_premium": ("exposure", "amount"),
    "loss_ratio": ("premium", "amount"),
}

MOMENTS = ("total_squared", "total_weight", "weight_squared")
TRUNCATE = {"month": "1mo", "quarter": "1q", "year": "1y"}


@dataclass(frozen=True)
class Totals:
    """Sums by period and cell.

    Attributes
    ----------
    firsts : list of date
        First day of every period, in order, without a gap.
    cells : polars.DataFrame
        first (text of the date), the factors adjusted for, weight, total and, where the data are an
        experience that has them, the second moments of its rows: :data:`MOMENTS`.
    basis : Basis
        Of the data.
    """

    firsts: list[date]
    cells: pl.DataFrame
    basis: Basis


def read_totals(
    data: Experience | pl.DataFrame,
    *,
    when: str,
    period: Period,
    response: TrendResponse,
    by: Sequence[str],
    names: Mapping[str, str],
) -> Totals:
    """Add up weight and total by period and factor, and refuse what has no trend.

    Parameters
    ----------
    data : Experience or polars.DataFrame
        ``when`` is a Date column, or text of ISO dates (as a key of an experience is).
    when, period, response, by
        As in :func:`pricing.trend.trend.fit_trend`.
    names : mapping of str to str
        The columns that hold exposure, claims, amount, premium.

    Raises
    ------
    InputError
        For columns that are missing, dates that are null or no first day of a period, sums that are
        null, not finite or negative, periods that are missing or weigh nothing, and no claims: with
        their number and the first of them.

    Examples
    --------
    >>> rows = pl.DataFrame({"month": [date(2024, 1, 1), date(2024, 2, 1)], "exposure": [9.0, 8.0],
    ...                      "claims": [1, 2]})
    >>> names = {"exposure": "exposure", "claims": "claims"}
    >>> read_totals(rows, when="month", period="month", response="frequency", by=(),
    ...             names=names).cells["total"].to_list()
    [1.0, 2.0]
    """
    if period not in get_args(Period):
        raise InputError(f"period {period!r} is not offered: {', '.join(get_args(Period))}")
    if response not in SUMS:
        raise InputError(f"response {response!r} is not offered: {', '.join(SUMS)}")
    weight, total = (names[n] for n in SUMS[response])
    frame = data.cells if isinstance(data, Experience) else data
    if not isinstance(frame, pl.DataFrame):
        raise InputError(f"data of type {type(data).__name__} is no experience and no frame")
    wanted = [when, *by, weight, total]
    missing = [n for n in wanted if n not in frame.columns]
    if missing:
        raise InputError(
            f"a trend of {response} needs columns that are not there",
            faults=[f"{n!r}{nearest(n, frame.columns)}" for n in missing],
            do="name them with when=, exposure=, claims=, amount=, premium=",
        )
    if len(set(wanted)) < len(wanted):
        raise InputError(f"a column is used twice: {', '.join(wanted)}")
    if frame.is_empty():
        raise InputError("there are no rows")
    dates = _dates(frame[when], period)
    _require_sums(frame, (weight, total))
    moments = _moments(data, response, weight, total)
    wide = frame.select(
        pl.Series("first", dates),
        *(pl.col(n) for n in by),
        weight=pl.col(weight).cast(pl.Float64),
        total=pl.col(total).cast(pl.Float64),
        **{ours: pl.col(theirs).cast(pl.Float64) for ours, theirs in moments.items()},
    )
    sums = pl.col("weight", "total", *moments).sum()
    cells = wide.group_by("first", *by).agg(sums).sort("first", *by)
    _require_periods(cells, period, weight, total)
    basis = data.basis if isinstance(data, Experience) else Basis(rows=frame.height)
    firsts = cells["first"].unique().sort().to_list()
    kept = cells.filter(pl.col("weight") > 0).with_columns(pl.col("first").cast(pl.String))
    return Totals(firsts, kept, basis)


def read_completion(
    completion: pl.DataFrame | None, firsts: Sequence[date], when: str
) -> tuple[Floats, Floats]:
    """Give the completion factor of every period and the standard error of its log.

    Parameters
    ----------
    completion : polars.DataFrame or None
        ``when`` (Date), ``completion`` (share of the ultimate that is in the data, above zero) and,
        if known, ``std_error`` of it. Periods it does not name are complete.
    firsts : sequence of date
        The periods.
    when : str
        Column of the periods.

    Examples
    --------
    >>> frame = pl.DataFrame({"month": [date(2024, 2, 1)], "completion": [0.8], "std_error": [0.04]})
    >>> share, error = read_completion(frame, [date(2024, 1, 1), date(2024, 2, 1)], "month")
    >>> share.tolist(), error.round(6).tolist()
    ([1.0, 0.8], [0.0, 0.05])
    """
    share, error = np.ones(len(firsts)), np.zeros(len(firsts))
    if completion is None:
        return share, error
    missing = [n for n in (when, "completion") if n not in completion.columns]
    if missing:
        raise InputError(
            f"completion has no column {', '.join(map(repr, missing))}",
            do=f"give {when} (date), completion (above zero) and std_error",
        )
    wide = completion if "std_error" in completion.columns else completion.with_columns(std_error=0)
    if wide.schema[when] != pl.Date:
        raise InputError(f"{when!r} of completion is {wide.schema[when]}, not Date")
    numbers = [n for n in ("completion", "std_error") if not wide.schema[n].is_numeric()]
    if numbers:
        raise InputError(f"completion: {', '.join(map(repr, numbers))} is no number")
    wide = wide.select(when, pl.col("completion", "std_error").cast(pl.Float64))
    given, spread = pl.col("completion"), pl.col("std_error")
    faults = [
        f"{count:,} {what}"
        for count, what in (
            (wide.height - wide[when].n_unique(), "periods are named twice or more"),
            (wide[when].null_count(), "periods are null"),
            (
                wide.filter((given.is_finite() & (given > 0)).fill_null(False).not_()).height,
                "factors are null, not finite or not above zero",
            ),
            (
                wide.filter((spread.is_finite() & (spread >= 0)).fill_null(False).not_()).height,
                "standard errors are null, not finite or negative",
            ),
            (
                wide.filter(~pl.col(when).is_in(list(firsts))).height,
                f"periods are not among the {len(firsts)} of the data",
            ),
        )
        if count
    ]
    if faults:
        raise InputError("completion that cannot be used", faults=faults)
    place = {first: i for i, first in enumerate(firsts)}
    at = [place[first] for first in wide[when].to_list()]
    share[at] = wide["completion"].to_numpy()
    error[at] = wide["std_error"].to_numpy() / share[at]
    return share, error


def place_axis(
    totals: Totals,
    share: Floats,
    period: Period,
    seasonality: Seasonality,
    harmonics: int,
    breaks: tuple[tuple[date, BreakKind], ...],
) -> TimeAxis:
    """Centre the time axis on the weight of the periods, and refuse seasons and breaks it lacks.

    Examples
    --------
    >>> days = [date(2023, 1, 1), date(2024, 1, 1), date(2025, 1, 1)]
    >>> cells = pl.DataFrame({"first": [str(d) for d in days], "weight": 1.0, "total": 1.0})
    >>> axis = place_axis(Totals(days, cells, Basis()), np.ones(3), "year", "none", 1, ())
    >>> round(axis.years(date(2024, 7, 1)), 2)
    -0.0
    """
    offered = {"month": ("month", "quarter", "harmonic"), "quarter": ("quarter", "harmonic")}
    if seasonality != "none" and seasonality not in offered.get(period, ()):
        raise InputError(
            f"seasonality {seasonality!r} is not offered for periods of a {period}",
            do=f"one of: {', '.join(['none', *offered.get(period, ())])}",
        )
    most = 3 if period == "month" else 1
    if seasonality == "harmonic" and harmonics not in range(1, most + 1):
        raise InputError(f"harmonics of a {period} go from 1 to {most}, got {harmonics!r}")
    off = [day for day, _ in breaks if day not in totals.firsts[1:]]
    if off:
        raise InputError(
            f"breaks that are no first day of a {period} after the first, up to the last",
            faults=[str(day) for day in off],
            do=f"give days such as {totals.firsts[min(1, len(totals.firsts) - 1)]}",
        )
    weight = totals.cells.group_by("first").agg(pl.col("weight").sum()).sort("first")["weight"]
    heavy = weight.to_numpy() * share
    plain = TimeAxis(period, 0.0)
    middle = np.array([plain.middle(first) for first in totals.firsts])
    return TimeAxis(
        period, float(heavy @ middle / heavy.sum()), seasonality, breaks, int(harmonics)
    )


def _moments(
    data: Experience | pl.DataFrame, response: TrendResponse, weight: str, total: str
) -> dict[str, str]:
    """Name the second moments of the rows, where the cells carry those of this response."""
    if not isinstance(data, Experience) or response not in RESPONSES:
        return {}
    known = RESPONSES[response]
    names = {name: str(getattr(known, name)) for name in MOMENTS}
    alike = (known.weight, known.total) == (weight, total)
    return names if alike and set(names.values()) <= set(data.cells.columns) else {}


def _dates(column: pl.Series, period: Period) -> pl.Series:
    if isinstance(column.dtype, (pl.String, pl.Enum)):
        text = column.cast(pl.String)
        parsed = text.str.to_date("%Y-%m-%d", strict=False)
        if parsed.null_count() > text.null_count():
            odd = text.filter(parsed.is_null() & text.is_not_null()).unique().sort()
            raise InputError(
                f"{len(odd):,} values are no ISO date, such as {odd[0]!r}",
                where=column.name,
                do="write the first day of the period as 2024-01-01",
            )
        column = parsed
    if column.dtype != pl.Date:
        raise InputError(
            f"is {column.dtype}, not a date",
            where=column.name,
            do="give the first day of every period as a Date",
        )
    faults = [f"{column.null_count():,} are null"] if column.null_count() else []
    months = MONTHS[period]
    off = column.drop_nulls().filter(
        (column.drop_nulls().dt.day() != 1)
        | ((column.drop_nulls().dt.month().cast(pl.Int32) - 1) % months != 0)
    )
    if len(off):
        faults.append(f"{len(off):,} are no first day of a {period}, such as {off.sort()[0]}")
    if faults:
        raise InputError(
            "dates that name no period",
            where=column.name,
            faults=faults,
            do=f'give the first day: .dt.truncate("{TRUNCATE[period]}")',
        )
    return column


def _require_sums(frame: pl.DataFrame, names: Sequence[str]) -> None:
    faults = []
    for name in names:
        if not frame.schema[name].is_numeric():
            faults.append(f"{name!r} is {frame.schema[name]}, not a number")
            continue
        value = pl.col(name).cast(pl.Float64)
        none = frame.filter(value.is_finite().fill_null(False).not_()).height
        below = frame.filter(value < 0).height
        faults += [f"{name!r} is null or not finite in {none:,} rows"] if none else []
        faults += [f"{name!r} is negative in {below:,} rows"] if below else []
    if faults:
        raise InputError(
            "sums that have no trend",
            faults=faults,
            do="net recoveries against their claims; fill what is missing",
        )


def _require_periods(cells: pl.DataFrame, period: Period, weight: str, total: str) -> None:
    sums = cells.group_by("first").agg(pl.col("weight", "total").sum()).sort("first")
    firsts = sums["first"].to_list()
    day, gaps, seen = firsts[0], [], set(firsts)
    while day < firsts[-1]:
        gaps += [day] if day not in seen else []
        day = next_period(day, period)
    if gaps:
        raise InputError(
            f"{len(gaps):,} {period}s are missing between {firsts[0]} and {firsts[-1]}, the first {gaps[0]}",
            do="give every period, with its exposure where there were no claims; "
            "or keep the stretch after the gap",
        )
    empty = sums.filter(pl.col("weight") <= 0)["first"]
    if len(empty):
        raise InputError(
            f"{weight} is zero in {len(empty):,} {period}s, such as {empty[0]}",
            do="leave them out at either end, or take longer periods",
        )
    odd = cells.filter((pl.col("weight") <= 0) & (pl.col("total") > 0))
    if odd.height:
        raise InputError(
            f"{odd.height:,} cells have {total} {odd['total'].sum():,.2f} but no {weight}",
            do="correct them, or leave them out",
        )
    if not sums["total"].sum() > 0:
        raise InputError(f"{total} is zero in all {sums.height:,} {period}s: there is no trend")
