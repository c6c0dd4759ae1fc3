"""The Lexis diagram: along which lines of time cover is cut, and the whole-day arithmetic of it.

A policy is a line through calendar time, policy time and age. Every line of cut is a day number, and
within one calendar year a policy has one anniversary and one birthday, each at a fixed distance from
1 January that depends only on whether the year is a leap year. So the cells of all policies follow
from a handful of small integers per policy, and no policy is ever written out once per cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise

import polars as pl

from pricing.errors import InputError, nearest

__all__ = ["DIMENSIONS", "YEARS", "Lexis"]

DIMENSIONS = ("calendar_year", "calendar_month", "policy_year", "age")
YEARS = ("policy", "calendar", "365.25", "30/360")


@dataclass(frozen=True, kw_only=True)
class Lexis:
    """The study window, the dimensions of time that cover is split by, and what a year is.

    Cover is half-open, [start, end), in whole days. The policy year turns on the anniversary of
    ``start``; that of 29 February falls on 28 February in common years, as renewals of this
    package do. Age is age last birthday; a birthday on 29 February falls on 1 March in common
    years, as :func:`pricing.experience.person_years.person_years` has it.

    Parameters
    ----------
    start, end : date
        First day of the study and the day after its last.
    dims : sequence of str
        Any of ``calendar_year``, ``calendar_month`` (202403 is March 2024; not with
        ``calendar_year``), ``policy_year`` (0, 1, …) and ``age`` (single years; band it later).
    year : {"policy", "calendar", "365.25", "30/360"}, optional
        What one unit of exposure is: the days of that policy year (a full year is exactly 1, leap
        or not; needs ``policy_year``), the 365 or 366 days of the calendar year (needs a calendar
        dimension), 365.25 days, or 360 days of 30-day months (30E/360: the 31st counts as the
        30th). The first of these that the dimensions allow, where left out.
    target : str, optional
        Exit cause under study. Then exposure is *full* (initial, exposed to risk for q): a policy
        that leaves by it counts to the end of the year it leaves in, so that exits ÷ exposure
        estimates the yearly probability q under Balducci's hypothesis. Left out, exposure is
        *central*: exits ÷ exposure estimates the force μ, which is what claim frequencies and
        Poisson models need. Full exposure goes with one of ``policy_year`` and ``calendar_year``
        alone: cut once more, the pieces of a leaver would add to more than its year.

    Raises
    ------
    InputError
        For unknown dimensions or years, a window that is no pair of dates, empty or reversed, a
        year that the dimensions do not fix, and full exposure over more than one dimension.

    References
    ----------
    Atkinson, D. B. and McGarry, J. K. (2016). Experience Study Calculations. Society of Actuaries.

    Examples
    --------
    >>> Lexis(start=date(2023, 1, 1), end=date(2024, 1, 1), dims=["calendar_year", "age"]).unit
    'calendar'
    """

    start: date
    end: date
    dims: Sequence[str] = ()
    year: str | None = None
    target: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "dims", (self.dims,) if isinstance(self.dims, str) else tuple(self.dims)
        )
        for name, day in (("start", self.start), ("end", self.end)):
            if not isinstance(day, date) or isinstance(day, datetime):
                raise InputError(
                    f"the {name} of the study is a {type(day).__name__}, not a date: {day!r}",
                    do="give it as date(2023, 1, 1)",
                )
        faults = [
            f"no dimension {d!r}{nearest(d, DIMENSIONS)}" for d in self.dims if d not in DIMENSIONS
        ]
        faults += [f"dimension {d!r} is given twice" for d in DIMENSIONS if self.dims.count(d) > 1]
        if {"calendar_year", "calendar_month"} <= set(self.dims):
            faults.append("calendar_month has the year in it; leave calendar_year out")
        if self.end <= self.start:
            faults.append(f"the study ends on {self.end}, not after its start {self.start}")
        if self.year is not None and self.year not in YEARS:
            faults.append(f"no year {self.year!r}{nearest(self.year, YEARS)}")
        if self.year == "policy" and "policy_year" not in self.dims:
            faults.append(
                "a year of 'policy' needs 'policy_year' in dims: it fixes the denominator"
            )
        if self.year == "calendar" and not self.calendar:
            faults.append(
                "a year of 'calendar' needs a calendar dimension: it fixes the denominator"
            )
        if self.target is not None and self.dims not in (("policy_year",), ("calendar_year",)):
            faults.append(
                f"full exposure for {self.target!r} goes with 'policy_year' or 'calendar_year' alone, "
                "not with split exposures: the pieces of a leaver would add to more than its year"
            )
        if faults:
            raise InputError("the exposure cannot be split so", faults=faults)

    @property
    def calendar(self) -> bool:
        """Whether calendar time is one of the dimensions."""
        return "calendar_year" in self.dims or "calendar_month" in self.dims

    @property
    def unit(self) -> str:
        """What one unit of exposure is, one of :data:`YEARS`."""
        if self.year:
            return self.year
        return "policy" if "policy_year" in self.dims else "calendar" if self.calendar else "365.25"

    @property
    def period(self) -> str:
        """The study window as the basis of a result prints it."""
        return f"{self.start.isoformat()} to {self.end.isoformat()} (exclusive)"


@dataclass(frozen=True)
class Segment:
    """A stretch between two neighbouring edges: the same for all policies but for their offsets."""

    year: int
    month: int
    part: int
    edges: tuple[Edge, Edge]


@dataclass(frozen=True)
class Edge:
    """A line of cut: the first of a calendar month, an anniversary, a birthday, or one of both."""

    kind: str
    year: int = 0
    month: int = 1
    monthly: bool = False

    def at(self, clock: str = "") -> pl.Expr:
        """The day number of the edge, on the clock of days ("") or of 30-day months ("3")."""
        if self.kind == "calendar":
            return pl.lit(moment(self.year, self.month, clock), dtype=pl.Int32)
        found = {
            "policy": lambda: turn("p", self.year, clock),
            "age": lambda: turn("q", self.year, clock),
            "earlier": lambda: pl.min_horizontal(
                turn("p", self.year, clock), turn("q", self.year, clock)
            ),
            "later": lambda: pl.max_horizontal(
                turn("p", self.year, clock), turn("q", self.year, clock)
            ),
            "inner": lambda: (
                pl.when(pl.col("_order") == 1)
                .then(turn("q", self.year, clock))
                .otherwise(turn("q", self.year + 1, clock))
            ),
            "from": lambda: pl.col(f"_s{clock}"),
            "until": lambda: pl.col(f"_e{clock}"),
        }[self.kind]()
        if not self.monthly:
            return found
        first = pl.lit(moment(self.year, self.month, clock), dtype=pl.Int32)
        last = pl.lit(moment(self.year, self.month + 1, clock), dtype=pl.Int32)
        return pl.min_horizontal(pl.max_horizontal(found, first), last)


def segments(lexis: Lexis, first: date, last: date) -> list[Segment]:
    """List every stretch that cover from ``first`` to ``last`` (inclusive) can fall in, in order."""
    dims = set(lexis.dims)
    if lexis.calendar:
        monthly = "calendar_month" in dims
        inner = {
            2: ("earlier", "later"),
            1: ("policy",) if "policy_year" in dims else ("age",),
            0: (),
        }[len(dims & {"policy_year", "age"})]
        found = []
        for y, m in (
            _months(first, last) if monthly else [(y, 1) for y in range(first.year, last.year + 1)]
        ):
            after = Edge("calendar", y, m + 1) if monthly else Edge("calendar", y + 1)
            edges = [Edge("calendar", y, m), *(Edge(kind, y, m, monthly) for kind in inner), after]
            found += [Segment(y, m, i, (a, b)) for i, (a, b) in enumerate(pairwise(edges))]
        return found
    if not dims:
        return [Segment(0, 1, 0, (Edge("from"), Edge("until")))]
    line = "policy" if "policy_year" in dims else "age"
    found = []
    for y in range(first.year - 1, last.year + 1):
        edges = [Edge(line, y), *([Edge("inner", y)] if len(dims) == 2 else []), Edge(line, y + 1)]
        found += [Segment(y, 1, i, (a, b)) for i, (a, b) in enumerate(pairwise(edges))]
    return found


def place(dims: Sequence[str], segment: Segment) -> dict[str, pl.Expr]:
    """Say in which cell of time a stretch lies.

    Reads ``_sy`` and ``_by``, the years of start and birth, and ``_order``, which says whether the
    middle one of three stretches lies after the anniversary or after the birthday.
    """
    y, part, order, asked = segment.year, segment.part, pl.col("_order"), set(dims)
    if not asked & {"calendar_year", "calendar_month"}:
        policy_year = y - pl.col("_sy")
        age = y - pl.col("_by") - (order - part if "policy_year" in asked else 0)
    elif {"policy_year", "age"} <= asked and part == 1:
        policy_year, age = y - pl.col("_sy") - (1 - order), y - pl.col("_by") - order
    else:
        before = int(part == 0)
        policy_year, age = y - pl.col("_sy") - before, y - pl.col("_by") - before
    every = {
        "calendar_year": pl.lit(y),
        "calendar_month": pl.lit(y * 100 + segment.month),
        "policy_year": policy_year,
        "age": age,
    }
    return {name: every[name].cast(pl.Int32) for name in dims}


def lines(
    frame: pl.LazyFrame,
    lexis: Lexis,
    cover: tuple[str, str],
    *,
    age: bool,
    policy: bool,
    thirty: bool,
) -> pl.LazyFrame:
    """Add the small integers of every policy: clipped cover, offsets of anniversary and birthday.

    ``_s``, ``_e``: day numbers of cover within the window. ``_p``: days from 1 January to the
    anniversary in a common year, ``_p1`` what a leap year adds; ``_q``, ``_q1`` of the birthday;
    ``_sy``, ``_by`` their years; ``_order``: 1 where the anniversary comes first in the year.
    """
    new: dict[str, pl.Expr] = {}
    if policy:
        new |= _turning("start", "p", thirty=thirty)
    if age:
        new |= _turning("birth_date", "q", thirty=thirty)
    frame = frame.with_columns(**new)
    begin, until = (pl.col(name) for name in cover)
    ends = until.to_physical()
    if lexis.target is not None:
        leaves = (
            (pl.col("exit_cause").cast(pl.String) == lexis.target)
            & (until == pl.col("end"))
            & until.is_between(lexis.start, lexis.end, closed="right")
        )
        leaves = leaves.fill_null(False)
        full = following(
            until.to_physical() - 1, until.dt.offset_by("-1d").dt.year(), lexis.dims[0]
        )
        ends = pl.when(leaves).then(full).otherwise(pl.min_horizontal(ends, _day(lexis.end)))
    else:
        ends = pl.min_horizontal(ends, _day(lexis.end))
    ranges = {"_s": pl.max_horizontal(begin.to_physical(), _day(lexis.start)), "_e": ends}
    if policy and age:
        ranges["_order"] = (pl.col("_p") + pl.col("_p1") <= pl.col("_q") + pl.col("_q1")).cast(
            pl.Int32
        )
    frame = frame.with_columns(**ranges)
    if thirty:
        frame = frame.with_columns(
            _s3=thirties(pl.col("_s").cast(pl.Date)), _e3=thirties(pl.col("_e").cast(pl.Date))
        )
    return frame


def following(day: pl.Expr, year: pl.Expr, dim: str) -> pl.Expr:
    """The next turn of a year of ``dim`` after a day number that lies in calendar year ``year``."""
    if dim == "calendar_year":
        return new_year(year + 1)
    here = anniversary("_p", year)
    return pl.when(here > day).then(here).otherwise(anniversary("_p", year + 1))


def current(day: pl.Expr, year: pl.Expr, line: str) -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    """The turns of ``line`` at or before a day and after it, and 1 where it is before this year's."""
    here = anniversary(line, year)
    before = here > day
    last = pl.when(before).then(anniversary(line, year - 1)).otherwise(here)
    then = pl.when(before).then(here).otherwise(anniversary(line, year + 1))
    return last, then, before.cast(pl.Int32)


def anniversary(line: str, year: pl.Expr) -> pl.Expr:
    """The day number of an anniversary or birthday in a year that is a column."""
    return new_year(year) + pl.col(line) + pl.col(f"{line}1") * leap(year)


def new_year(year: pl.Expr) -> pl.Expr:
    """The day number of 1 January, days from 1970 (proleptic Gregorian calendar)."""
    before = year.cast(pl.Int32) - 1
    return (before * 365 + before // 4 - before // 100 + before // 400 - 719162).cast(pl.Int32)


def leap(year: pl.Expr) -> pl.Expr:
    """1 in a leap year, else 0."""
    return (((year % 4 == 0) & (year % 100 != 0)) | (year % 400 == 0)).cast(pl.Int32)


def turn(line: str, year: int, clock: str = "") -> pl.Expr:
    """The day number of an anniversary (p) or birthday (q) in a year that is known."""
    extra = pl.col(f"_{line}{clock}1") if _leap(year) else 0
    return pl.col(f"_{line}{clock}") + extra + pl.lit(moment(year, 1, clock), dtype=pl.Int32)


def moment(year: int, month: int = 1, clock: str = "") -> int:
    """The number of the first of a month (13 is January of the next year) on a clock."""
    year, month = year + (month - 1) // 12, (month - 1) % 12 + 1
    if clock:
        return 360 * year + 30 * (month - 1)
    cycles = (year > 9999) - (year < 1)  # beyond what a date can hold, one Gregorian cycle away
    return date(year - 400 * cycles, month, 1).toordinal() - 719163 + 146097 * cycles


def thirties(day: pl.Expr) -> pl.Expr:
    """The number of a date where every month has 30 days (30E/360)."""
    of_month = pl.min_horizontal(day.dt.day().cast(pl.Int32), pl.lit(30, dtype=pl.Int32))
    return (day.dt.year() * 360 + (day.dt.month().cast(pl.Int32) - 1) * 30 + of_month - 1).cast(
        pl.Int32
    )


def _turning(column: str, line: str, *, thirty: bool) -> dict[str, pl.Expr]:
    """Year and offsets of a date's anniversaries, in years that begin on 1 March.

    Within such a year 29 February is the last day, so month and day need no table: the day count
    n from 1 March 0000 gives the year and the day of it by division alone (the proleptic
    Gregorian cycle of 146,097 days, within it that of 1,461).
    """
    n = pl.col(column).to_physical() + 719468
    century = (n * 4 + 3) // 146097
    cycle = (n + century - century // 4) * 4 + 3
    year = cycle // 1461
    day = (cycle - year * 1461) // 4  # 0 is 1 March, 305 is 31 December, 365 is 29 February
    later = day >= 306
    back = (day == 365).cast(pl.Int32) if line == "p" else 0
    found = {
        f"_{'sy' if line == 'p' else 'by'}": year + later.cast(pl.Int32),
        f"_{line}": pl.when(later).then(day - 306 - back).otherwise(day + 59),
        f"_{line}1": ((day < 306) | (day == 365)).cast(pl.Int32)
        if line == "p"
        else (day < 306).cast(pl.Int32),
    }
    if thirty:
        date_ = pl.col(column)
        leap_day = (date_.dt.month() == 2) & (date_.dt.day() == 29)
        offset = thirties(date_) - date_.dt.year() * 360
        moved = -1 if line == "p" else 2  # to 28 February, to 1 March
        found |= {
            f"_{line}3": (offset + moved * leap_day.cast(pl.Int32)).cast(pl.Int32),
            f"_{line}31": (-moved * leap_day.cast(pl.Int32)).cast(pl.Int32),
        }
    return found


def _day(day: date) -> pl.Expr:
    return pl.lit(day.toordinal() - 719163, dtype=pl.Int32)


def _leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _months(first: date, last: date) -> list[tuple[int, int]]:
    ends = range(first.year * 12 + first.month - 1, last.year * 12 + last.month)
    return [(n // 12, n % 12 + 1) for n in ends]
