"""Periods: months, quarters and years of the calendar as whole numbers, so that a lag is a difference."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Literal, get_args

import polars as pl

from pricing.errors import InputError, nearest

__all__ = ["MONTHS", "Grain", "first_day", "period_number", "period_of", "require_grain", "whole"]

Grain = Literal["month", "quarter", "year"]
MONTHS: dict[str, int] = {"month": 1, "quarter": 3, "year": 12}


def require_grain(grain: str) -> None:
    """Refuse a grain that is none.

    Examples
    --------
    >>> require_grain("monthly")
    Traceback (most recent call last):
    pricing.errors.InputError: no grain 'monthly'; did you mean 'month'?
    """
    if grain not in get_args(Grain):
        raise InputError(f"no grain {grain!r}{nearest(str(grain), get_args(Grain))}")


def period_number(day: pl.Expr, grain: Grain) -> pl.Expr:
    """Number the period a date falls in: months, quarters or years since year 0.

    Examples
    --------
    >>> days = pl.DataFrame({"day": [date(2023, 12, 31), date(2024, 2, 29)]})
    >>> days.select(period_number(pl.col("day"), "month").diff().last()).item()
    2
    """
    year = day.dt.year()
    if grain == "year":
        return year
    if grain == "quarter":
        return year * 4 + (day.dt.quarter().cast(pl.Int32) - 1)
    return year * 12 + (day.dt.month().cast(pl.Int32) - 1)


def period_of(day: date, grain: Grain) -> int:
    """Number the period of one date, as :func:`period_number` does.

    Examples
    --------
    >>> period_of(date(2024, 2, 29), "month") - period_of(date(2023, 12, 1), "month")
    2
    """
    return (day.year * 12 + day.month - 1) // MONTHS[grain]


def first_day(number: int, grain: Grain) -> date:
    """Give the first day of a numbered period.

    Examples
    --------
    >>> first_day(period_of(date(2024, 5, 17), "quarter"), "quarter")
    datetime.date(2024, 4, 1)
    """
    month = number * MONTHS[grain]
    return date(month // 12, month % 12 + 1, 1)


def whole(valuation: date, grain: Grain) -> int:
    """Number the last period that is whole on a valuation date, its last day.

    A period seen in part would pull every latest figure down and stretch every factor, so a
    valuation inside a period is refused.

    Examples
    --------
    >>> whole(date(2024, 2, 29), "month") == period_of(date(2024, 2, 1), "month")
    True
    >>> whole(date(2024, 2, 28), "month")
    Traceback (most recent call last):
    pricing.errors.InputError: 2024-02-28 lies inside a month: its last days are not seen
      do: value at the last day of a month, 2024-01-31, or of the next one, 2024-02-29
    """
    if not isinstance(valuation, date):
        raise InputError(
            f"the valuation is a {type(valuation).__name__}, not a date",
            do="give the last day whose payments are known as datetime.date(...)",
        )
    valuation = date(valuation.year, valuation.month, valuation.day)
    number = period_of(valuation, grain)
    end = first_day(number + 1, grain) - timedelta(days=1)
    if valuation != end:
        before = first_day(number, grain) - timedelta(days=1)
        raise InputError(
            f"{valuation} lies inside a {grain}: its last days are not seen",
            do=f"value at the last day of a {grain}, {before}, or of the next one, {end}",
        )
    return number
