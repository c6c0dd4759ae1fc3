"""A task of a health programme: what is measured, in which cycle, and the points it earns."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Band", "Bilingual", "Category", "Target", "Task", "Way", "schedule_points"]

Cycle = Literal["day", "week", "month", "year"]
Knots = tuple[tuple[float, float], ...]


class Strict(BaseModel):
    """A table of a programme file; a key it does not know is a fault."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Bilingual(Strict):
    """A text in both languages."""

    en: str = Field(min_length=1)
    zh: str = Field(min_length=1)


class Band(Strict):
    """A range of a measure and its points; a bound left out is open."""

    at_least: float | None = None
    above: float | None = None
    below: float | None = None
    up_to: float | None = None
    points: float = Field(ge=0)


class Way(Strict):
    """One way to earn a task's points: a measure, how a cycle sums it, and a schedule.

    Attributes
    ----------
    measure : str
        Column of the daily features, or ``measure`` of the events.
    of : {"sum", "mean", "days", "count", "latest"}
        What a cycle takes of it: sum or mean over valid days, number of valid days within
        ``at_least`` and ``up_to``; of events the number (a day or an item once), the sum, the latest.
    line, steps, bands
        Exactly one schedule: points on a line through knots and flat beyond, points from each
        threshold on, or points by range (the first that holds).
    """

    measure: str = Field(min_length=1)
    of: Literal["sum", "mean", "days", "count", "latest"] = "sum"
    at_least: float | None = None
    up_to: float | None = None
    line: Knots | None = None
    steps: Knots | None = None
    bands: tuple[Band, ...] | None = None

    @property
    def offers(self) -> list[tuple[float | None, float]]:
        """The distinct points above zero that the schedule offers, each with its threshold."""
        if self.bands is not None:
            return [(None, p) for p in sorted({b.points for b in self.bands if b.points > 0})]
        return [(x, p) for x, p in (self.line or self.steps or ()) if p > 0]

    @property
    def most(self) -> float:
        """The most points of one cycle."""
        return max((p for _, p in self.offers), default=0.0)


class Target(Strict):
    """From an age on, thresholds are multiplied by a factor, so that the old can earn as much."""

    from_age: int = Field(ge=0, le=120)
    factor: float = Field(gt=0, le=1)


class Task(Strict):
    """One ``[[task]]``: its category, cycle, ways to earn, caps and effort.

    Attributes
    ----------
    combine : {"best", "all"}
        The best way counts, or the worst of all ways (systolic and diastolic).
    replaces : str, optional
        The task whose account a certified alternative is credited to, under the same cap.
    evidence : tuple of str, optional
        Evidence that is taken; all that the programme weighs, where left out.
    cap_week, cap_year : float
        Most points in a week (of a daily task) and in a year.
    within_days : int, optional
        Events count only this close to the window's end.
    targets : tuple of Target
        Age-banded thresholds.
    effort : float
        Effort units per point, for the cheapest way up.
    """

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    title: Bilingual
    category: str
    cycle: Cycle
    source: Literal["activity", "events"] = "activity"
    ways: tuple[Way, ...] = Field(min_length=1)
    combine: Literal["best", "all"] = "best"
    cap_week: float | None = Field(default=None, gt=0)
    cap_year: float = Field(gt=0)
    evidence: tuple[str, ...] | None = None
    replaces: str | None = None
    within_days: int | None = Field(default=None, gt=0)
    targets: tuple[Target, ...] = ()
    effort: float = Field(default=1.0, gt=0)

    @property
    def account(self) -> str:
        """The task whose cap the points count against."""
        return self.replaces or self.name

    @property
    def most(self) -> float:
        """The most points of one cycle, before caps of the year."""
        each = [way.most for way in self.ways]
        return max(each) if self.combine == "best" else min(each)


class Category(Strict):
    """One ``[[category]]`` of tasks and its weight in the value."""

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    title: Bilingual
    weight: float = Field(gt=0, le=1)


def schedule_points(way: Way, measured: pl.Expr) -> pl.Expr:
    """Write a way's schedule as an expression: points of one cycle from what was measured in it.

    A line through knots (x₀, p₀), …, (x_m, p_m) is p₀ + Σ s_i·(clip(x, x_i, x_{i+1}) − x_i) with
    slopes s_i: ``numpy.interp`` in sums, so that it streams. Nothing measured earns nothing.

    Parameters
    ----------
    way : Way
        Measure and schedule.
    measured : polars.Expr
        What the cycle holds of the measure, in its unit; thresholds of age are already in it.

    Examples
    --------
    >>> way = Way(measure="steps", line=((3000, 0), (6000, 6), (8000, 8)))
    >>> frame = pl.DataFrame({"steps": [2000.0, 5500.0, 7200.0, 10500.0, None]})
    >>> frame.select(schedule_points(way, pl.col("steps")).round(9))["steps"].to_list()
    [0.0, 5.0, 7.2, 8.0, 0.0]
    """
    if way.bands is not None:
        return _in_bands(way.bands, measured)
    if way.steps is not None:
        points: pl.Expr | None = None
        for (_, before), (x, p) in pairwise(((0.0, 0.0), *way.steps)):
            jump = (measured >= x).cast(pl.Float64) * (p - before)
            points = jump if points is None else points + jump
        return (points if points is not None else pl.lit(0.0)).fill_null(0.0)
    knots = way.line or ((0.0, 0.0),)
    points = None
    for (x, p), (x2, p2) in pairwise(knots):
        if p2 != p:
            part = (measured.clip(x, x2) - x) * ((p2 - p) / (x2 - x))
            points = part if points is None else points + part
    if points is None:
        points = measured * 0.0
    if knots[0][1]:
        points = points + knots[0][1]
    return points.fill_null(0.0)


def _in_bands(bands: tuple[Band, ...], measured: pl.Expr) -> pl.Expr:
    points: pl.Expr = pl.lit(0.0)
    for band in reversed(bands):
        inside = measured.is_not_null()
        if band.at_least is not None:
            inside &= measured >= band.at_least
        if band.above is not None:
            inside &= measured > band.above
        if band.below is not None:
            inside &= measured < band.below
        if band.up_to is not None:
            inside &= measured <= band.up_to
        points = pl.when(inside).then(band.points).otherwise(points)
    return points
