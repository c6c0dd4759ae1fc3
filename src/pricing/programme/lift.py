"""What would lift my discount: the cheapest tasks to the next group, or how far one gets."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.programme.cheapest import PlanModel
from pricing.programme.explain import threshold
from pricing.programme.members import Frame, lazy, member_windows, same_person
from pricing.programme.movement import next_place, target_place
from pricing.programme.offers import Pace, outlook
from pricing.programme.points import earned_points
from pricing.programme.programme import Programme
from pricing.result.figure import COLOURS
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["DiscountLift", "lift", "lifts"]


class DiscountLift(Result):
    """The cheapest plan to the next group; empty where there is none to reach."""

    kind = "discount_lift"

    @property
    def programme(self) -> Programme:
        """The version of the programme."""
        return Programme.model_validate(self.details["programme"])

    @property
    def reachable(self) -> bool:
        """Whether the next group can be reached in this window."""
        return bool(self.facts["outcome"] == "plan")

    def finding(self, lang: Language = "en") -> str:
        """Say the plan, or why there is none and how far one gets."""
        facts = {
            **self.facts,
            "group": level_label(str(self.facts["group"]), lang),
            "goal": level_label(str(self.facts["goal"]), lang),
            "plan": self._plan(lang),
        }
        if self.reachable:
            return say(f"finding.{self.kind}", lang, **facts)
        return say(f"sentence.lift_{facts['outcome']}", lang, **facts)

    def _plan(self, lang: Language) -> str:
        titles = self.programme.titles(lang)
        parts = []
        for row in self.table.iter_rows(named=True):
            key = "lift_step_level" if row["level"] is not None else "lift_step"
            cycle = label(f"cycle_{row['cycle']}", lang)
            parts.append(
                say(
                    f"sentence.{key}",
                    lang,
                    **{**row, "title": titles[f"task.{row['task']}"], "cycle": cycle},
                )
            )
        return ("；" if lang == "zh" else "; ").join(parts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw from the value expected to the value reached, against what the next group needs."""
        titles = self.programme.titles(lang)
        rows = self.table.group_by("task", maintain_order=True).agg(pl.col("contribution").sum())
        names = [titles[f"task.{name}"] for name in rows["task"]]
        start = self.facts["expected_value"]
        figure = go.Figure(
            go.Waterfall(
                x=[label("expected_value", lang), *names, label("value_reached", lang)],
                y=[start, *rows["contribution"], 0.0],
                measure=["absolute", *["relative"] * rows.height, "total"],
                text=[
                    f"{start:,.0f}",
                    *[f"{v:+,.0f}" for v in rows["contribution"]],
                    f"{start + rows['contribution'].sum():,.0f}",
                ],
                increasing={"marker": {"color": COLOURS["third"]}},
                totals={"marker": {"color": COLOURS["estimate"]}},
                connector={"line": {"color": COLOURS["line"], "width": 1}},
            ),
            layout={"template": "pricing"},
        )
        if self.facts["needed"] is not None:
            figure.add_hline(
                y=self.facts["needed"],
                line={"dash": "dash", "color": COLOURS["second"]},
                annotation_text=level_label(str(self.facts["goal"]), lang),
                annotation_position="top left",
            )
        return figure.update_layout(
            yaxis={"title": {"text": label("health_value", lang)}}, showlegend=False
        )


def lift(
    programme: Programme,
    members: Frame,
    activity: Frame | None = None,
    events: Frame | None = None,
    *,
    person: Any,
    on: date,
    pace: Pace = "as_before",
) -> DiscountLift:
    """Find the cheapest set of tasks that lifts one member's group at the coming renewal.

    Parameters
    ----------
    programme : Programme
        The version in force at the renewal.
    members, activity, events : polars.DataFrame or LazyFrame
        As :func:`pricing.programme.value.health_values` takes them; what lies on or after ``on``
        is not looked at.
    person : as in members
        Whose discount.
    on : date
        Today; the plan is for the days from today to the window's end.
    pace : {"as_before", "nothing"}
        What the member is taken to do anyway: go on at the mean so far, or nothing more.

    Returns
    -------
    DiscountLift
        ``.table``: task, cycle, level (what to measure in a cycle; empty for a range or an item),
        times, task_points (above the pace), contribution (to the value) and effort. ``.facts``: group
        and rate expected without change, goal and its rate, needed, expected_value, best_value
        (all tasks to the full), effort, valid_days (those of Z: expected, the minimum at least),
        days_lacking (to the minimum, as of today), outcome: plan, or why there is none: top, ratchet, value
        or days.

    Raises
    ------
    InputError
        For a person not among the members, without consent or frozen, and a day outside the window.

    Notes
    -----
    Minimise Σ effort_i·x_i over whole numbers of cycles x_i, subject to Σ_{i∈k} x_i ≤ cycles left,
    y_k ≤ cap_k, y_k ≤ base_k + Σ gain_i·x_i and Z·scale·Σ_k ω_c·y_k/cap_c + (1 − Z)·prior ≥ needed
    (tasks within their caps fill no category beyond its own), solved by branch and bound (HiGHS;
    Huangfu and Hall, 2018). ``needed`` is the cut-off with its hysteresis; a group beyond the movement rule is no
    goal. Z is that of the valid days expected.

    Examples
    --------
    >>> from pricing.programme.programme_file import read_programme
    >>> days = pl.DataFrame({"day": pl.date_range(date(2024, 1, 2), date(2024, 6, 30), eager=True)})
    >>> days = days.with_columns(person=pl.lit("a"), steps=4000)
    >>> members = pl.DataFrame({"person": ["a"], "renewal": [date(2025, 1, 1)]})
    >>> plan = lift(read_programme("manulife_move"), members, days, person="a", on=date(2024, 7, 1))
    >>> plan.facts["goal"], plan.table["times"].sum() <= plan.facts["days_left"]
    ('5,000', True)
    """
    own = _own(lazy(members, "members").collect(), person)
    return _lifts(programme, own, activity, events, on, pace)[0]


def lifts(
    programme: Programme,
    members: Frame,
    activity: Frame | None = None,
    events: Frame | None = None,
    *,
    on: date,
    pace: Pace = "as_before",
) -> list[DiscountLift]:
    """Find the cheapest lift of every member given: one pass over the days, one program each.

    Parameters are those of :func:`lift`; ``members`` are the ones who ask, all with consent.

    Examples
    --------
    >>> from pricing.programme.programme_file import read_programme
    >>> members = pl.DataFrame({"person": ["a", "b"], "renewal": [date(2025, 1, 1)] * 2})
    >>> found = lifts(read_programme("aia_new_zealand"), members, on=date(2024, 7, 1))
    >>> [plan.facts["goal"] for plan in found]
    ['Silver', 'Silver']
    """
    return _lifts(programme, lazy(members, "members").collect(), activity, events, on, pace)


def _own(members: pl.DataFrame, person: Any) -> pl.DataFrame:
    if "person" not in members.columns:
        raise InputError("lacks person", where="members", do="give person and renewal (date)")
    own = members.filter(same_person(members["person"].dtype, person))
    if own.height != 1:
        raise InputError(
            f"person {person!r} stands {own.height} times",
            where="members",
            do="give exactly one row, of the coming renewal",
        )
    return own


def _lifts(
    programme: Programme,
    members: pl.DataFrame,
    activity: Frame | None,
    events: Frame | None,
    on: date,
    pace: Pace,
) -> list[DiscountLift]:
    if not isinstance(on, date) or isinstance(on, datetime):
        raise InputError(f"on is no date: {on!r}", do="give datetime.date(y, m, d)")
    if pace not in ("as_before", "nothing"):
        raise InputError(f"pace {pace!r} is unknown", do="use as_before or nothing")
    windows = member_windows(programme, members)
    _can_ask(programme, windows, on)
    today = windows.with_columns(
        window_end=pl.min_horizontal("window_end", pl.lit(on)), closes="window_end"
    )
    wanted = pl.DataFrame({"person": windows["person"].unique()}).lazy()
    days = None if activity is None else lazy(activity, "activity").join(
        wanted, on="person", how="semi"
    )  # fmt: skip
    earned, missing = earned_points(programme, today, days, events)
    rows = windows.join(earned.select("row", "valid_days"), on="row", maintain_order="left")
    points = earned.drop("row", "valid_days")
    return [
        _plan(programme, row, own, on, pace, missing)
        for row, own in zip(rows.iter_rows(named=True), points.iter_rows(named=True), strict=True)
    ]


def _can_ask(programme: Programme, windows: pl.DataFrame, on: date) -> None:
    freeze = programme.movement.freeze_days
    frozen = pl.col("frozen_days").fill_null(0) >= (freeze if freeze is not None else 10**6)
    for what, wrong, do in (
        ("have not consented", ~pl.col("consent"), "ask for members with consent"),
        ("are frozen: their group is held", frozen, "ask for members who are not"),
        (
            f"have a window that does not hold {on}",
            (pl.col("window_start") >= on) | (pl.col("window_end") <= on),
            "give a day after the window's first and before its end",
        ),
    ):
        if n := windows.filter(wrong).height:
            first = windows.filter(wrong).row(0, named=True)
            raise InputError(
                f"{n} members {what}, the first {first['person']!r} "
                f"({first['window_start']} to {first['window_end']})",
                where="members",
                do=do,
            )


def _plan(
    programme: Programme,
    row: dict[str, Any],
    points: dict[str, float],
    on: date,
    pace: Pace,
    missing: Sequence[str],
) -> DiscountLift:
    seen = outlook(
        programme,
        points,
        start=row["window_start"],
        on=on,
        end=row["window_end"],
        valid_days=row["valid_days"],
        age=row["age"],
        pace=pace,
    )
    least = min(programme.window.min_valid_days, programme.window.days)
    possible = row["valid_days"] + seen.left["day"]
    enough = possible >= least and row["member_days"] >= least
    valid = max(seen.valid_days, float(least)) if enough else seen.valid_days
    model = PlanModel(programme, seen, row, valid)
    expected = model.value(np.zeros(len(seen.offers)))
    held = programme.groups.index(row["group_held"]) if row["group_held"] else programme.entry
    now = _next(programme, expected, held) if enough else held
    goal, outcome = _goal(programme, now, held, enough=enough)
    needed = threshold(programme, goal, held) if goal is not None else None
    times = model.best()
    best = model.value(times)
    if outcome == "plan" and needed is not None:
        plan = model.cheapest(needed)
        if plan is None:
            outcome = "value"
        else:
            times = plan
    table = model.table(times) if outcome in ("plan", "value") else model.table(times * 0)
    reached = model.value(times) if outcome in ("plan", "value") else expected
    gives = _rates(programme)
    return DiscountLift(
        table=table,
        basis=Basis(
            source=f"{programme.name}, effective {programme.effective}",
            period=f"{on} – {row['window_end']}",
            rows=row["valid_days"],
            fingerprint=fingerprint(programme.fingerprint, repr(row), repr(points), str(on), pace),
            notes=tuple(f"{name}: in no source; counts as nothing so far" for name in missing),
        ),
        facts={
            "person": str(row["person"]),
            "end": str(row["window_end"]),
            "days_left": seen.left["day"],
            "group": programme.groups[now],
            "rate": gives[now],
            "goal": programme.groups[goal] if goal is not None else programme.groups[now],
            "goal_rate": gives[goal] if goal is not None else gives[now],
            "needed": needed,
            "expected_value": expected,
            "best_value": best,
            "value_reached": reached,
            "effort": float(table["effort"].sum()),
            "valid_days": valid,
            "days_lacking": max(0, int(np.ceil(least - row["valid_days"]))),
            "outcome": outcome,
        },
        details={"programme": programme.model_dump(mode="json", exclude_none=True)},
    )


def _rates(programme: Programme) -> tuple[float, ...]:
    walk = programme.movement.kind == "walk"
    return programme.movement.deltas if walk else programme.rates


def _next(programme: Programme, value: float, held: int) -> int:
    walk = programme.movement.kind == "walk"
    frame = pl.DataFrame({"value": [value], "held": [held]}, schema_overrides={"held": pl.Int32})
    target = target_place(programme, pl.col("value"), None if walk else pl.col("held"))
    seen = frame.with_columns(target.alias("target"))
    place = next_place(programme, pl.col("target"), pl.col("held"))
    return int(seen.select(place.alias("next")).item())


def _goal(programme: Programme, now: int, held: int, *, enough: bool) -> tuple[int | None, str]:
    if not enough:
        return None, "days"
    gives = _rates(programme)
    higher = [g for g in range(now + 1, len(gives)) if gives[g] > gives[now]]
    if not higher:
        return None, "top"
    goal, most = higher[0], programme.movement.max_move
    if programme.movement.kind == "level" and most is not None and goal > held + most:
        return None, "ratchet"
    return goal, "plan"
