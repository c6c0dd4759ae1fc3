"""The time axis of a trend: periods, years around a centre, seasonality and breaks as columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from pricing.errors import InputError
from pricing.estimate.design import Floats

__all__ = [
    "BreakKind",
    "Period",
    "Seasonality",
    "TimeAxis",
    "next_period",
    "read_breaks",
    "require_columns",
]

Period = Literal["month", "quarter", "year"]
Seasonality = Literal["none", "month", "quarter", "harmonic"]
BreakKind = Literal["level", "slope", "both"]
MONTHS: Mapping[str, int] = {"month": 1, "quarter": 3, "year": 12}
YEAR = 365.25
EPOCH = date(2000, 1, 1)


def next_period(first: date, period: Period) -> date:
    """Give the first day of the period that follows.

    Examples
    --------
    >>> next_period(date(2024, 11, 1), "month"), next_period(date(2024, 10, 1), "quarter")
    (datetime.date(2024, 12, 1), datetime.date(2025, 1, 1))
    """
    months = first.year * 12 + first.month - 1 + MONTHS[period]
    return date(months // 12, months % 12 + 1, 1)


def read_breaks(
    breaks: Sequence[date] | Mapping[date, BreakKind],
) -> tuple[tuple[date, BreakKind], ...]:
    """Read breaks in order of time: a bare date breaks both level and slope.

    Examples
    --------
    >>> read_breaks({date(2024, 1, 1): "level"})
    ((datetime.date(2024, 1, 1), 'level'),)
    """
    pairs = dict(breaks) if isinstance(breaks, Mapping) else dict.fromkeys(breaks, "both")
    if len(pairs) < len(breaks):
        raise InputError("a break is named twice", where="breaks")
    faults = [f"{day!r} is not a date" for day in pairs if type(day) is not date]
    faults += [
        f"{day}: {kind!r} is none of {', '.join(get_args(BreakKind))}"
        for day, kind in pairs.items()
        if kind not in get_args(BreakKind)
    ]
    if faults:
        raise InputError("breaks that cannot be read", faults=faults)
    found: list[tuple[date, BreakKind]] = [(day, pairs[day]) for day in sorted(pairs)]  # type: ignore[misc]
    return tuple(found)


@dataclass(frozen=True)
class TimeAxis:
    """What the columns of a trend are at any day.

    A day's time is in years of 365.25 days, less the centre; a period stands at its midpoint. The
    columns are the intercept, the trend, then for every break its step (0 before, 1 from its first
    day) and its bend (years since), then the season.

    Attributes
    ----------
    period : {"month", "quarter", "year"}
        Length of a period.
    centre : float
        Years since 2000-01-01 at which the trend's column is zero.
    seasonality : {"none", "month", "quarter", "harmonic"}
        An indicator for each month or quarter but the first, less its mean over a year, or sines and
        cosines of the year: without its season a day stands at the year's (geometric) mean.
    breaks : tuple of (date, kind)
        In order of time.
    harmonics : int
        Pairs of sine and cosine.
    """

    period: Period
    centre: float
    seasonality: Seasonality = "none"
    breaks: tuple[tuple[date, BreakKind], ...] = ()
    harmonics: int = 1

    @property
    def names(self) -> tuple[str, ...]:
        """Name the columns."""
        found = ["level", "trend"]
        for day, kind in self.breaks:
            found += [f"level_break {day}"] if kind != "slope" else []
            found += [f"trend_break {day}"] if kind != "level" else []
        if self.seasonality == "harmonic":
            for k in range(1, self.harmonics + 1):
                found += [f"sine {k}", f"cosine {k}"]
        elif self.seasonality != "none":
            found += [f"season {k}" for k in range(2, self._seasons + 1)]
        return tuple(found)

    @property
    def _seasons(self) -> int:
        return 12 if self.seasonality == "month" else 4

    @property
    def seasonal(self) -> npt.NDArray[np.bool_]:
        """Mark the columns of the season."""
        return np.array([n.split()[0] in ("sine", "cosine", "season") for n in self.names])

    def years(self, day: date) -> float:
        """Years from the centre to a day.

        Examples
        --------
        >>> round(TimeAxis("month", 10.0).years(date(2010, 1, 1)), 3)
        0.001
        """
        return float((day - EPOCH).days / YEAR - self.centre)

    def middle(self, first: date) -> float:
        """Years from the centre to the middle of the period that begins on a day."""
        last = next_period(first, self.period)
        return self.years(first) + (last - first).days / YEAR / 2

    def point(self, day: date) -> Floats:
        """Columns at a day, without its season."""
        at = self.years(day)
        return np.array([1.0, at, *self._broken(day, at), *np.zeros(int(self.seasonal.sum()))])

    def columns(self, firsts: Sequence[date]) -> Floats:
        """Columns of whole periods, periods × columns.

        Examples
        --------
        >>> axis = TimeAxis("quarter", 24.0, "none", ((date(2024, 4, 1), "level"),))
        >>> axis.columns([date(2024, 1, 1), date(2024, 4, 1)]).round(3).tolist()
        [[1.0, 0.125, 0.0], [1.0, 0.374, 1.0]]
        """
        return np.array([self._row(first) for first in firsts])

    def _row(self, first: date) -> list[float]:
        at = self.middle(first)
        return [1.0, at, *self._broken(first, at), *self._season(first)]

    def _broken(self, day: date, at: float) -> list[float]:
        found: list[float] = []
        for when, kind in self.breaks:
            found += [float(day >= when)] if kind != "slope" else []
            found += [max(at - self.years(when), 0.0)] if kind != "level" else []
        return found

    def _season(self, first: date) -> list[float]:
        if self.seasonality == "none":
            return []
        if self.seasonality == "harmonic":
            last = next_period(first, self.period)
            middle = first + timedelta(days=(last - first).days / 2)
            start = date(first.year, 1, 1)
            length = (date(first.year + 1, 1, 1) - start).days
            share = ((middle - start).days + (last - first).days % 2 / 2) / length
            waves = 2 * np.pi * share * np.arange(1, self.harmonics + 1)
            return [float(f(w)) for w in waves for f in (np.sin, np.cos)]
        month = first.month if self.seasonality == "month" else (first.month + 2) // 3
        n = self._seasons
        return [float(month == k) - 1 / n for k in range(2, n + 1)]

    def written(self) -> dict[str, Any]:
        """Write the axis as JSON values, which :meth:`read` reads."""
        return {
            "period": self.period,
            "centre": self.centre,
            "seasonality": self.seasonality,
            "breaks": [[day.isoformat(), kind] for day, kind in self.breaks],
            "harmonics": self.harmonics,
        }

    @classmethod
    def read(cls, written: Mapping[str, Any]) -> TimeAxis:
        """Read what :meth:`written` wrote."""
        breaks = tuple((date.fromisoformat(day), kind) for day, kind in written["breaks"])
        return cls(**{**written, "breaks": breaks})


def require_columns(axis: TimeAxis, z: Floats, firsts: Sequence[date]) -> None:
    """Refuse periods too few for their columns, and columns that cannot be told apart.

    Examples
    --------
    >>> axis, years = TimeAxis("year", 20.0), [date(2019, 1, 1), date(2020, 1, 1), date(2021, 1, 1)]
    >>> require_columns(axis, axis.columns(years), years)
    """
    n, k = z.shape
    if n <= k:
        raise InputError(
            f"{n} {axis.period}{'s' if n > 1 else ''} cannot carry {k} coefficients "
            f"({', '.join(axis.names)}) and their error",
            do=f"give {k + 1} or more, or leave out breaks and seasons",
        )
    scaled = z / np.linalg.norm(z, axis=0).clip(1e-300)
    ranks = [np.linalg.matrix_rank(scaled[:, : j + 1], tol=1e-9) for j in range(k)]
    alike = [axis.names[j] for j in range(1, k) if ranks[j] == ranks[j - 1]]
    if alike:
        raise InputError(
            f"columns that cannot be told apart from those before them in {n} {axis.period}s "
            f"from {firsts[0]}",
            faults=alike,
            do="leave out breaks near either end or near one another, or seasons not seen twice",
        )
