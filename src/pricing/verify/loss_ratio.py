"""Published on-level factors: the parallelogram by days and by months."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import polars as pl

from pricing.premium.parallelogram import parallelogram_factors

__all__ = ["one_change", "terms_of_two_years", "user_guide"]

Found = tuple[str, Mapping[str, str], Mapping[str, float]]


def user_guide() -> Found:
    """Four rate changes, five calendar years: days, 29 February left out, factors averaged.

    Examples
    --------
    >>> [round(factor, 6) for factor in user_guide()[2].values()]
    [1.140327, 1.104799, 1.084197, 1.098557, 1.034456]
    """
    days = [date(2016, 7, 15), date(2017, 3, 1), date(2018, 1, 1), date(2019, 10, 31)]
    changes = pl.DataFrame({"day": days, "change": [0.02, 0.05, -0.03, 0.10]})
    printed = ["1.140327", "1.104799", "1.084197", "1.098557", "1.034456"]
    years = range(2016, 2021)
    ours = _factors(changes, years, grain="day_365", uniform="premium")
    names = [f"on-level factor {year}, four changes" for year in years]
    return (
        "chainladder (Python), user guide, adjustments: ParallelogramOLF",
        dict(zip(names, printed, strict=True)),
        dict(zip(names, ours, strict=True)),
    )


def one_change() -> Found:
    """One change in mid-year, by days: 1.2 / (1 + 0.2 × ½ × (184/365)²).

    Examples
    --------
    >>> [round(factor, 8) for factor in one_change()[2].values()]
    [1.17026058]
    """
    changes = pl.DataFrame({"day": [date(2017, 7, 1)], "change": [0.2]})
    name = "on-level factor 2017, +20 % on 1 July"
    return (
        "chainladder (Python), test_parallelogram.py: daily grain",
        {name: "1.17026058"},
        {name: _factors(changes, [2017])[0]},
    )


def terms_of_two_years() -> Found:
    """One change in mid-year, months of equal length, terms of 12 and of 24 months.

    Examples
    --------
    >>> [round(factor, 6) for factor in terms_of_two_years()[2].values()]
    [1.170732, 1.021277, 1.185185, 1.090909, 1.010526]
    """
    changes = pl.DataFrame({"day": [date(2010, 7, 1)], "change": [0.2]})
    printed, ours = {}, {}
    for months, figures in (
        (12, {2010: "1.170732", 2011: "1.021277"}),
        (24, {2010: "1.185185", 2011: "1.090909", 2012: "1.010526"}),
    ):
        found = _factors(changes, list(figures), grain="month", term_months=months)
        for (year, text), factor in zip(figures.items(), found, strict=True):
            name = f"on-level factor {year}, terms of {months} months"
            printed[name], ours[name] = text, factor
    return "chainladder (Python) 0.10.1, ParallelogramOLF: monthly grain", printed, ours


def _factors(changes: pl.DataFrame, years: Any, **options: Any) -> list[float]:
    table = parallelogram_factors(changes, list(years), **options).table
    factors: list[float] = table["on_level_factor"].to_list()
    return factors
