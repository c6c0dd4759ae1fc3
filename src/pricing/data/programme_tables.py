"""The tables of a health programme: its members, their days of activity, what they did and had measured."""

from __future__ import annotations

import dataframely as dy
import polars as pl

from pricing.data.columns import about, day, key, money, text

__all__ = ["TABLES", "ActivityDays", "ProgrammeEvents", "ProgrammeMembers"]

EVIDENCE = ("device", "lab", "provider", "self_report", "manual")


class ProgrammeMembers(dy.Schema):
    """One row per member and renewal to be priced."""

    person = key("The member, under a keyed name")
    renewal = dy.Date(primary_key=True, **about("Day of the coming renewal", "day"))
    birth_date = day("Date of birth of the member")
    joined = day("Day the member joined the programme", optional=True)
    consent = dy.Bool(**about("Whether the member agreed to be measured"))
    group_held = text("Health group held until now; empty for a newcomer", optional=True)
    standard_premium = money("Annual premium before the discount", above_zero=True)

    @dy.rule()
    def birth_before_renewal(cls) -> pl.Expr:
        """`birth_date` must be before `renewal`."""
        return pl.col("birth_date") < pl.col("renewal")

    @dy.rule()
    def joined_before_renewal(cls) -> pl.Expr:
        """`joined` must be before `renewal`."""
        return pl.col("joined") < pl.col("renewal")


class ActivityDays(dy.Schema):
    """One row per member and day, as counted from a device; no sample goes on."""

    person = key("The member, under a keyed name")
    day = dy.Date(primary_key=True, **about("Day measured", "day"))
    steps = dy.Int64(min=0, max=200_000, nullable=True, **about("Steps", "steps"))
    active_minutes = dy.Float64(
        min=0.0, max=1440.0, nullable=True,
        **about("Minutes of moderate activity", "minutes", optional=True),
    )  # fmt: skip
    sleep_hours = dy.Float64(
        min=0.0, max=24.0, nullable=True, **about("Hours asleep", "hours", optional=True)
    )
    evidence = dy.Enum(EVIDENCE, **about("Who says so"))


class ProgrammeEvents(dy.Schema):
    """One row per thing done or measured: a check-up, a lesson, a blood pressure."""

    event_id = key("The event's number")
    person = text("The member, under a keyed name")
    day = dy.Date(**about("Day it was done or measured", "day"))
    measure = text("What was done or measured, by the name the programme's tasks use")
    value = dy.Float64(
        nullable=True, **about("What was measured; empty where it only counts", optional=True)
    )
    item = text("Which of several things of one measure, such as the vaccine", optional=True)
    evidence = dy.Enum(EVIDENCE, **about("Who says so"))


TABLES: dict[str, type[dy.Schema]] = {
    "programme_members": ProgrammeMembers,
    "activity_days": ActivityDays,
    "programme_events": ProgrammeEvents,
}
