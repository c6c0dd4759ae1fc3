"""The tables of a service plan: its members and what they use."""

from __future__ import annotations

import dataframely as dy
import polars as pl

from pricing.data.columns import OPEN_END, about, day, key, money, text

__all__ = ["TABLES", "ServiceMembers", "ServiceUses"]


class ServiceMembers(dy.Schema):
    """One row per member of a service plan: who may use it, and from when to when."""

    policy_id = key("The policy's number")
    birth_date = day("Date of birth of the member")
    sex = dy.Enum(["female", "male"], **about("Sex of the member"))
    start = day("First day the services may be used")
    end = day(
        "Day after the last day they may be used (half-open); 9999-12-31 for no end", last=OPEN_END
    )
    service_level = text("Level of service the member has", optional=True)
    engagement = text("Level of engagement before the period observed", optional=True)

    @dy.rule()
    def end_after_start(cls) -> pl.Expr:
        """`end` must be after `start` (it is the day after the last day of use)."""
        return pl.col("end") > pl.col("start")

    @dy.rule()
    def birth_before_start(cls) -> pl.Expr:
        """`birth_date` must not be after `start`."""
        return pl.col("birth_date") <= pl.col("start")

    @dy.rule()
    def age_at_most_120(cls) -> pl.Expr:
        """`birth_date` must make the age at `start` 120 years at most."""
        return pl.col("start") < pl.col("birth_date").dt.offset_by("121y")


class ServiceUses(dy.Schema):
    """One row per use of a service: who, which, when, and what it cost the plan."""

    use_id = key("The use's number")
    policy_id = text("The policy of the member")
    service = text("The service used, as the plan names it")
    day = day("Day of the use")
    cost = money("What the use cost the plan, the member's own share apart")


TABLES: dict[str, type[dy.Schema]] = {
    "service_members": ServiceMembers,
    "service_uses": ServiceUses,
}
