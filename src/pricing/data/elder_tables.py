"""The tables of an elder medical plan: offers of tiers and who took which, alarms of watches."""

from __future__ import annotations

import dataframely as dy
import polars as pl

from pricing.data.columns import about, day, key, text

__all__ = ["TABLES", "Aftercare", "Alarms", "ClaimMessages", "Watches"]

ALARMS = ("fall", "heart_rate", "oxygen", "blood_pressure", "inactivity", "sos")


class Alarms(dy.Schema):
    """One row per alarm a watch raised; no sample goes on."""

    alarm_id = key("The alarm's number")
    policy_id = text("The policy whose insured wears the watch")
    raised = day("Day the alarm was raised, where the insured lives")
    kind = dy.Enum(ALARMS, **about("What raised it; sos is a call for help by the wearer"))
    confirmed = dy.Bool(
        nullable=True,
        **about("Whether somebody found it right; empty where nobody looked", optional=True),
    )


class Watches(dy.Schema):
    """One row per stretch of days on which the insured wore a watch."""

    watch_id = key("The number of the stretch")
    policy_id = text("The policy whose insured wears it")
    worn_from = day("First day worn")
    worn_until = day(
        "Day after the last day worn (half-open); empty while it is worn", optional=True
    )

    @dy.rule()
    def until_after_from(cls) -> pl.Expr:
        """`worn_until` must be after `worn_from` (it is the day after the last day worn)."""
        return pl.col("worn_until") > pl.col("worn_from")


class ClaimMessages(dy.Schema):
    """One row per line a claims interface sent, as it came; what it says is read later."""

    message_line = key("Number of the line; counted from 1 where absent", optional=True)
    received = day("Day the line came in", optional=True)
    body = text("The line: one JSON object")

    @dy.rule()
    def body_at_most_20000(cls) -> pl.Expr:
        """`body` must have 20,000 letters at most."""
        return pl.col("body").str.len_chars() <= 20_000


class Aftercare(dy.Schema):
    """One row per claimant told of the service after a claim: when the claim closed, whether it joined."""

    claim_id = key("The claim after which the service was offered: the index claim")
    policy_id = text("The policy the claim was made on")
    closed = day("Day the index claim closed")
    joined = day("Day the claimant joined the service; empty for who did not", optional=True)
    chronic = dy.Bool(
        nullable=True, **about("Whether the claimant has a chronic disease", optional=True)
    )

    @dy.rule()
    def joined_not_before_closed(cls) -> pl.Expr:
        """`joined` must not be before `closed`: the service is offered after the claim."""
        return pl.col("joined") >= pl.col("closed")


TABLES: dict[str, type[dy.Schema]] = {
    "alarms": Alarms,
    "watches": Watches,
    "claim_messages": ClaimMessages,
    "aftercare": Aftercare,
}
