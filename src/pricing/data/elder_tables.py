"""The tables of an elder medical plan: offers of tiers and who took which, alarms of watches."""

from __future__ import annotations

import dataframely as dy
import polars as pl

from pricing.data.columns import about, day, key, money, text

__all__ = ["TABLES", "Aftercare", "Alarms", "ClaimMessages", "TierOffers", "Watches"]

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


class TierOffers(dy.Schema):
    """One row per person and alternative offered: the tiers of a plan, and `none` for taking none."""

    person_id = key("The person's number")
    alternative = dy.String(
        primary_key=True, **about("The tier offered, or `none`, which every person has")
    )
    price = money("Premium of the alternative a year, before any subsidy; 0 for `none`")
    subsidy = money("Subsidy to the person if this is taken, a year", optional=True)
    chosen = dy.Bool(**about("Whether the person took this alternative"))
    aware = dy.Bool(nullable=True, **about("Whether the person knew of the plan", optional=True))
    community = text("Community in which the price was set", optional=True)
    sex = text("Sex", optional=True)
    age = dy.Float64(
        min=0.0, max=120.0, nullable=True, **about("Age at the offer", "years", optional=True)
    )
    risk = money("Expected cost of the person a year under the plan's benefits", optional=True)

    @dy.rule()
    def whole_person(cls) -> pl.Expr:
        """`price` and alternative must read in every row of a person, each alternative once."""
        good = (pl.col("price") >= 0) & pl.col("price").is_finite() & pl.col("chosen").is_not_null()
        whole = good.fill_null(False).all() & pl.col("alternative").is_not_null().all()
        return (whole & (pl.col("alternative").n_unique() == pl.len())).over("person_id")

    @dy.rule()
    def subsidy_at_most_price(cls) -> pl.Expr:
        """`subsidy` must be at most the price, in every row of a person."""
        return (pl.col("subsidy") <= pl.col("price")).all().over("person_id")

    @dy.rule()
    def none_is_free(cls) -> pl.Expr:
        """`price` must be 0 for the alternative none; else every row of the person goes."""
        return ((pl.col("alternative") != "none") | (pl.col("price") == 0)).all().over("person_id")

    @dy.rule()
    def one_choice(cls) -> pl.Expr:
        """`chosen` must be true for exactly one alternative of a person."""
        return pl.col("chosen").sum().over("person_id") == 1

    @dy.rule()
    def none_is_offered(cls) -> pl.Expr:
        """`alternative` must hold none and a tier for each person."""
        none = pl.col("alternative") == "none"
        return none.any().over("person_id") & (~none).any().over("person_id")

    @dy.rule()
    def unaware_takes_none(cls) -> pl.Expr:
        """`chosen` must not be a tier for a person who did not know of the plan."""
        tier = pl.col("chosen") & (pl.col("alternative") != "none")
        return (pl.col("aware") | ~tier).all().over("person_id")


TABLES: dict[str, type[dy.Schema]] = {
    "tier_offers": TierOffers,
    "alarms": Alarms,
    "watches": Watches,
    "claim_messages": ClaimMessages,
    "aftercare": Aftercare,
}
