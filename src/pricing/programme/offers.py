"""What a member can still do in a window: remaining cycles, pace so far, and what each step adds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Literal

import numpy as np

from pricing.programme.programme import Programme
from pricing.programme.task import Task, Way

__all__ = ["Offer", "Outlook", "outlook"]

Pace = Literal["as_before", "nothing"]


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A step of a task: done ``most`` times at most, each time for ``gain`` more points.

    Attributes
    ----------
    task : str
        Its name.
    level : float or None
        What to measure in a cycle; None for a range to be in.
    gain : float
        Points above the pace so far, per cycle, item or unit.
    most : float
        Cycles or items that are left.
    whole : bool
        In whole numbers only.
    effort : float
        Effort units per unit.
    """

    task: str
    level: float | None
    gain: float
    most: float
    whole: bool
    effort: float


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """Where a member stands: expected points without change, valid days, and the offers.

    Attributes
    ----------
    base : mapping of task to float
        Points at the window's end at the pace so far, before caps.
    left : mapping of cycle to int
        Whole cycles from ``on`` to the window's end.
    valid_days : float
        Expected at the window's end.
    offers : tuple of Offer
        What can be done more.
    room : mapping of task to float
        Most points that a cap of the week leaves above ``base``, of tasks that have one.
    """

    base: Mapping[str, float]
    left: Mapping[str, int]
    valid_days: float
    offers: tuple[Offer, ...]
    room: Mapping[str, float] = field(default_factory=dict)


def outlook(
    programme: Programme,
    points: Mapping[str, float],
    *,
    start: date,
    on: date,
    end: date,
    valid_days: float,
    age: int | None = None,
    pace: Pace = "as_before",
) -> Outlook:
    """Lay out what is left of a window.

    Parameters
    ----------
    programme : Programme
        Tasks and their schedules.
    points : mapping of task to float
        Points before caps so far, from ``start`` to ``on``.
    start, on, end : date
        The window (half-open) and today.
    valid_days : float
        Valid days so far.
    age : int, optional
        For thresholds of age.
    pace : {"as_before", "nothing"}
        Whether cyclic tasks go on at the mean of the cycles so far, or stop.

    Notes
    -----
    Weeks and months count where they lie wholly between ``on`` and ``end``. A certified
    alternative is offered to no one.

    Examples
    --------
    >>> from pricing.programme.programme_file import read_programme
    >>> seen = outlook(read_programme("huoli"), {"steps": 600.0}, start=date(2024, 1, 1),
    ...                on=date(2024, 10, 1), end=date(2024, 12, 31), valid_days=200)
    >>> seen.left["day"], round(seen.base["steps"])
    (91, 799)
    """
    left = {
        "day": max((end - on).days, 0),
        "week": _weeks(on, end),
        "month": _months(on, end),
        "year": int(end > on),
    }
    gone = max((on - start).days, 1)
    cycles = {"day": float(gone), "week": gone / 7, "month": gone / (365.25 / 12)}
    share = min(valid_days / gone, 1.0)
    base, offers, room = {}, list[Offer](), dict[str, float]()
    for task in programme.accounts:
        have = sum(points.get(t.name, 0.0) for t in programme.task if t.account == task.name)
        mean = have / cycles[task.cycle] if task.cycle in cycles and pace == "as_before" else 0.0
        mean = min(mean, task.most)
        base[task.name] = have + mean * left.get(task.cycle, 0) * (task.cycle in cycles)
        factor = _factor(task, age)
        if task.cycle in cycles:
            offers += _cyclic(task, mean, left[task.cycle], factor)
            if task.cap_week is not None:
                room[task.name] = max(task.cap_week - 7 * mean, 0.0) * (left["day"] // 7)
                offers = _in_weeks(offers, task.name, task.cap_week - 7 * mean, left["day"] // 7)
        else:
            # days measured if every day left is: fewer make each weigh more, never less
            offers += _yearly(task, have, left, max(valid_days + left["day"], 1.0), factor)
    return Outlook(
        base=base,
        left=left,
        valid_days=valid_days + share * left["day"],
        offers=tuple(o for o in offers if o.gain > 1e-9 and o.most > 0),
        room=room,
    )


def _cyclic(task: Task, mean: float, left: int, factor: float) -> list[Offer]:
    found: list[Offer] = []
    for points in sorted({p for way in task.ways for _, p in way.offers if p <= task.most}):
        way, level = _first(task, points)
        scale = 1.0 if way.of in ("days", "count") or level is None else factor
        found.append(
            Offer(
                task=task.name,
                level=None if level is None or way.of == "count" else level * scale,
                gain=points - mean,
                most=left,
                whole=True,
                effort=task.effort * (points - mean),
            )
        )
    return found


def _in_weeks(offers: list[Offer], task: str, free: float, weeks: int) -> list[Offer]:
    """Hold the offers of a task within what its cap leaves free in a week."""
    return [
        o
        if o.task != task or o.gain <= 0
        else replace(
            o,
            gain=min(o.gain, max(free, 0.0)),
            most=min(o.most, weeks * max(int(free / o.gain + 1e-9), 1)),
        )
        for o in offers
    ]


def _yearly(
    task: Task, have: float, left: Mapping[str, int], days: float, factor: float
) -> list[Offer]:
    way = task.ways[0]
    if not left["year"]:
        return []

    def offer(level: float | None, gain: float, most: float, *, whole: bool = True) -> Offer:
        return Offer(
            task=task.name,
            level=level,
            gain=gain,
            most=most,
            whole=whole,
            effort=task.effort * gain,
        )

    if way.of == "mean" and way.line is not None:
        return [offer(x * factor, (p - have) / days, left["day"]) for x, p in way.line if p > have]
    if way.of in ("count", "sum") and way.line is not None:
        whole, found = way.of == "count", []
        for (x, p), (x2, p2) in zip(way.line, way.line[1:], strict=False):
            if p2 > max(p, have):
                slope = (p2 - p) / (x2 - x)
                units = (p2 - max(p, have)) / slope
                most = float(np.ceil(units - 1e-9)) if whole else units
                found.append(offer(None, slope, most, whole=whole))
        return found
    levels = sorted({p for w in task.ways for _, p in w.offers if p <= task.most})
    return [offer(None, p - have, 1) for p in levels if p > have]


def _first(task: Task, points: float) -> tuple[Way, float | None]:
    return next((w, x) for w in task.ways for x, p in w.offers if p == points)


def _factor(task: Task, age: int | None) -> float:
    if age is None:
        return 1.0
    return next((t.factor for t in reversed(task.targets) if age >= t.from_age), 1.0)


def _weeks(on: date, end: date) -> int:
    monday = on + timedelta(days=-on.weekday() % 7)
    return max((end - monday).days // 7, 0)


def _months(on: date, end: date) -> int:
    first = on.year * 12 + on.month - (on.day == 1)
    return max(end.year * 12 + end.month - 1 - first, 0)
