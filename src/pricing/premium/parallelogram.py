"""On-level factors without a book: the parallelogram method, by days or by months."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError, nearest
from pricing.premium.earned import GRAINS, Grain, period_of
from pricing.premium.rate_changes import checked_changes
from pricing.result.figure import COLOURS
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, say

__all__ = ["Parallelogram", "parallelogram_factors"]

_CHOICES: dict[str, tuple[str, ...]] = {
    "every": tuple(GRAINS),
    "grain": ("day", "month", "day_365"),
    "year": ("calendar", "policy"),
    "uniform": ("exposure", "premium"),
}
_BEFORE = np.array([0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334])  # days, common year


class Parallelogram(Result):
    """On-level factors of periods whose business was written evenly over time."""

    kind = "parallelogram"

    def finding(self, lang: Language = "en") -> str:
        """Name the period that lies furthest from the current level."""
        facts = dict(self.facts)
        facts["method"] = say(f"sentence.parallelogram_{facts.pop('grain')}", lang)
        return say("finding.parallelogram", lang, **facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the factor of each period."""
        figure = go.Figure(layout={"template": "pricing"})
        figure.add_scatter(
            x=self.table["period"].to_list(),
            y=self.table["on_level_factor"].to_list(),
            mode="lines+markers",
            name=label("on_level_factor", lang),
            marker={"size": 9, "color": COLOURS["estimate"]},
        )
        figure.add_hline(y=1.0, line={"dash": "dot", "color": COLOURS["line"]})
        return figure.update_layout(
            xaxis={"title": {"text": label("period", lang)}},
            yaxis={"title": {"text": label("on_level_factor", lang)}},
        )


def parallelogram_factors(
    changes: pl.DataFrame,
    periods: Sequence[int | date],
    *,
    every: Grain = "year",
    term_months: int = 12,
    grain: Literal["day", "month", "day_365"] = "day",
    year: Literal["calendar", "policy"] = "calendar",
    uniform: Literal["exposure", "premium"] = "exposure",
) -> Parallelogram:
    """On-level factor of each period where business is written evenly: current ÷ average rate level.

    With N(w) the level of terms written at w and E(t) that of the changes to cover in force, the
    level of a calendar period is the mean over its instants t of E(t) × mean of N(w) over the
    writing dates w in force at t, which are those after t less the term; of a policy period, the
    mean over its writing dates w of N(w) × mean of E over the term from w. Within a day (or month)
    both w and t run evenly, so the integrals are exact sums: a change cuts the diagram along the
    sides of parallelograms. Where there are the terms of the company, take
    :func:`pricing.premium.on_level.on_level`, which assumes nothing about when they were written.

    Parameters
    ----------
    changes : polars.DataFrame
        Rate changes of one segment (:func:`pricing.premium.rate_changes.checked_changes`).
    periods : sequence of int or date
        Calendar years, or first days of the periods.
    every : {"year", "quarter", "month"}
        Length of a period.
    term_months : int
        Length of a policy term, 1 to 600 months.
    grain : {"day", "month", "day_365"}
        ``day``: the calendar as it is; a term of 12 months has 365 or 366 days. ``month``: the
        textbook's months of equal length, a change counted from the nearest first of a month.
        ``day_365``: days, 29 February left out, so that all years are alike.
    year : {"calendar", "policy"}
        Periods of earning, or of writing.
    uniform : {"exposure", "premium"}
        What is written evenly. ``exposure``: factor = current ÷ mean level. ``premium``: factor =
        mean of current ÷ level, for premium written at each level is then in proportion to time.

    Returns
    -------
    Parallelogram
        ``.table``: period, rate_level (the average, 1 before the first change), current_level,
        on_level_factor.

    Raises
    ------
    InputError
        For changes with segments, unknown words, no periods, days that begin no period, terms of
        no whole months.

    Notes
    -----
    ``grain="day_365", uniform="premium"`` is what the user guide of chainladder prints;
    ``grain="month"`` agrees with chainladder 0.10's for changes on the first of a month (those on
    other days it leaves out).

    References
    ----------
    Werner, G. and Modlin, C. (2016). Basic Ratemaking, 5th ed., chapter 5. Casualty Actuarial Society.

    Examples
    --------
    >>> changes = pl.DataFrame({"day": [date(2017, 7, 1)], "change": [0.2]})
    >>> found = parallelogram_factors(changes, [2016, 2017, 2018])
    >>> found.table["on_level_factor"].round(8).to_list()
    [1.2, 1.17026058, 1.02092099]
    """
    said = {"every": every, "grain": grain, "year": year, "uniform": uniform}
    steps = checked_changes(changes)
    firsts = _require(steps, periods, said, term_months)
    ends = pl.Series(firsts).dt.offset_by(GRAINS[every])
    begin = _place(pl.Series(firsts), grain)
    stop = _place(ends, grain)
    margin = pl.Series([min(firsts)]).dt.offset_by(f"-{term_months + 1}mo")
    after = pl.Series([max(ends)]).dt.offset_by(f"{term_months + 1}mo")
    low, high = int(_place(margin, grain)[0]), int(_place(after, grain)[0])
    back, ahead = _terms(low, high, term_months, grain)
    power = -1.0 if uniform == "premium" else 1.0  # the mean of 1 ÷ level, or of the level
    written = _levels(steps, "new_and_renewal", low, high, grain) ** power
    in_force = _levels(steps, "in_force", low, high, grain) ** power
    here = np.arange(high - low)
    if year == "calendar":
        mean = in_force * _mean(written, np.clip(back - low, 0, None), here)
    else:
        mean = written * _mean(in_force, here, np.minimum(ahead - low, high - low - 1))
    total = np.concatenate([[0.0], np.cumsum(mean)])
    average = (total[stop - low] - total[begin - low]) / (stop - begin)
    current = float(np.prod(1 + steps["change"].to_numpy()))
    level = average**power
    factor = current / level
    table = pl.DataFrame(
        {
            "period": firsts,
            "rate_level": level,
            "current_level": np.full(len(firsts), current),
            "on_level_factor": factor,
        }
    )
    far = int(np.argmax(np.abs(factor - 1)))
    facts = {
        "periods": len(firsts), "changes": steps.height, "term_months": term_months, "grain": grain,
        "furthest": firsts[far].isoformat(), "factor": float(factor[far]), "current": current,
    }  # fmt: skip
    basis = Basis(
        period=f"{min(firsts)} to {max(ends)} (exclusive)",
        notes=tuple(f"{k}: {v}" for k, v in {**said, "term_months": term_months}.items()),
    )
    return Parallelogram(table=table, basis=basis, facts=facts, details={**said})


def _mean(level: Any, low: Any, high: Any) -> Any:
    """Mean level over a stretch from somewhere in cell ``low`` to the same place in cell ``high``.

    Averaged over that place: half of both end cells, and all between.
    """
    total = np.concatenate([[0.0], np.cumsum(level)])
    whole = (total[high] - total[low] + total[high + 1] - total[low + 1]) / 2
    return whole / np.maximum(high - low, 1)


def _place(days: pl.Series, grain: str) -> Any:
    """Number the cell that begins with a day."""
    year = days.dt.year().cast(pl.Int64).to_numpy()
    month = days.dt.month().cast(pl.Int64).to_numpy()
    if grain == "month":
        return year * 12 + month - 1
    if grain == "day":
        return days.to_physical().cast(pl.Int64).to_numpy()
    return year * 365 + _BEFORE[month - 1] + days.dt.day().cast(pl.Int64).to_numpy() - 1


def _terms(low: int, high: int, months: int, grain: str) -> tuple[Any, Any]:
    """Number the cells one term before and one term after every cell."""
    cells = np.arange(low, high)
    if grain == "month":
        return cells - months, cells + months
    if grain == "day":
        days = pl.Series(cells).cast(pl.Int32).cast(pl.Date)
        back, ahead = (days.dt.offset_by(f"{sign}{months}mo") for sign in ("-", ""))
        return _place(back, grain), _place(ahead, grain)
    year, day = cells // 365, cells % 365
    month = np.searchsorted(_BEFORE, day, side="right") - 1
    turns = []
    for sign in (-months, months):
        whole = year * 12 + month + sign
        then = whole % 12
        last = np.diff([*_BEFORE, 365])[then] - 1
        turns.append(whole // 12 * 365 + _BEFORE[then] + np.minimum(day - _BEFORE[month], last))
    return turns[0], turns[1]


def _levels(steps: pl.DataFrame, applies_to: str, low: int, high: int, grain: str) -> Any:
    """The level in every cell: each change counts from the cell it falls in (months: the nearest)."""
    own = steps.filter(pl.col("applies_to") == applies_to)
    factor = np.ones(high - low)
    if own.height:
        days = own["day"]
        if grain == "month":
            late = (days.dt.day() - 1).cast(pl.Float64) / days.dt.month_end().dt.day() >= 0.5
            first = days.dt.month_start()
            days = pl.select(
                pl.when(late).then(first.dt.offset_by("1mo")).otherwise(first).alias("day")
            )["day"]
        at = _place(days, grain) - low
        inside = at < high - low
        np.multiply.at(factor, np.maximum(at[inside], 0), 1 + own["change"].to_numpy()[inside])
    return np.cumprod(factor)


def _require(
    steps: pl.DataFrame, periods: Sequence[int | date], said: Mapping[str, str], months: int
) -> list[date]:
    faults = [
        f"no {what} {word!r}{nearest(str(word), _CHOICES[what])}"
        for what, word in said.items()
        if word not in _CHOICES[what]
    ]
    if isinstance(months, bool) or not isinstance(months, int) or not 1 <= months <= 600:
        faults.append(f"term_months is {months!r}, not a whole number of months from 1 to 600")
    if len(steps.columns) > 3:
        faults.append(
            f"the changes have segments {steps.columns[:-3]}: keep the rows of one, by=[]"
        )
    if not len(periods):
        faults.append("there are no periods")
    if faults:
        raise InputError("the parallelograms cannot be drawn", faults=faults)
    try:
        firsts = [date(p, 1, 1) if isinstance(p, int) else p for p in periods]
        if any(not isinstance(p, date) or isinstance(p, datetime) for p in firsts):
            raise TypeError("one is neither")
        named = pl.Series(firsts, dtype=pl.Date)
        if (named.dt.year() < 1600).any() or (named.dt.year() > 3000).any():
            raise ValueError("years from 1600 to 3000 are taken")
    except (TypeError, ValueError) as error:
        raise InputError(f"periods are calendar years or first days: {error}") from error
    grain: Any = said["every"]
    wrong = named.filter(named != pl.select(period_of(pl.lit(named), grain)).to_series())
    if len(wrong):
        raise InputError(f"{wrong[0]} is not the first day of a {grain}", where="periods")
    return firsts
