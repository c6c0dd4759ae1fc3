"""The tables of a book of policies: each column's type, unit, domain and meaning."""

from __future__ import annotations

import dataframely as dy
import polars as pl

from pricing.data.columns import OPEN_END, about, day, key, money, text

__all__ = ["BOOK", "Claims", "Offers", "Payments", "PersonYears", "Policies", "Renewals"]

EXITS = ("lapse", "death", "cancelled", "expired")


class Policies(dy.Schema):
    """One row per policy: who is covered and from when to when."""

    policy_id = key("The policy's number")
    person_id = text("The insured person, where one person holds several policies", optional=True)
    birth_date = day("Date of birth of the insured")
    sex = dy.Enum(["female", "male"], **about("Sex of the insured"))
    start = day("First day of cover")
    end = day(
        "Day after the last day of cover (half-open); 9999-12-31 for cover without an end",
        last=OPEN_END,
    )
    exit_cause = dy.Enum(
        EXITS,
        nullable=True,
        **about("Why cover ended; empty while it is in force", optional=True),
    )

    @dy.rule()
    def end_after_start(cls) -> pl.Expr:
        """`end` must be after `start` (it is the day after the last day of cover)."""
        return pl.col("end") > pl.col("start")

    @dy.rule()
    def birth_before_start(cls) -> pl.Expr:
        """`birth_date` must not be after `start`."""
        return pl.col("birth_date") <= pl.col("start")

    @dy.rule()
    def age_at_most_120(cls) -> pl.Expr:
        """`birth_date` must make the age at `start` 120 years at most."""
        return _age(pl.col("birth_date"), pl.col("start")) <= 120


class Renewals(dy.Schema):
    """One row per policy and policy year: the terms offered for that year."""

    policy_id = key("The policy's number")
    policy_year = dy.Int64(
        primary_key=True,
        min=0,
        max=150,
        **about("Policy years completed at the start of the term; 0 is the first", "policy years"),
    )
    start = day("First day of the term")
    end = day("Day after the last day of the term (half-open)")
    in_programme = dy.Bool(
        nullable=True,
        **about("Whether the insured took part in the health programme", optional=True),
    )
    health_value = dy.Float64(
        min=0.0,
        max=1000.0,
        nullable=True,
        **about("Health value measured before the term", "points", optional=True),
    )
    health_group = text("Health group the term was priced in")
    standard_premium = money(
        "Annual premium in force during the term before the health discount: for a full policy "
        "year, earned in proportion to the days covered",
        above_zero=True,
    )
    premium = money(
        "Annual premium in force during the term after the discount, for a full policy year",
        optional=True,
        above_zero=True,
    )

    @dy.rule()
    def end_after_start(cls) -> pl.Expr:
        """`end` must be after `start` (it is the day after the last day of the term)."""
        return pl.col("end") > pl.col("start")

    @dy.rule()
    def term_at_most_a_year(cls) -> pl.Expr:
        """`end` must be at most 366 days after `start`."""
        return (pl.col("end") - pl.col("start")).dt.total_days() <= 366

    @dy.rule()
    def premium_at_most_standard(cls) -> pl.Expr:
        """`premium` must be at most `standard_premium` (discounts only)."""
        return pl.col("premium") <= pl.col("standard_premium") * (1 + 1e-9)


class Offers(dy.Schema):
    """One row per renewal offered: the terms offered at an anniversary, and whether it was kept."""

    policy_id = key("The policy's number")
    policy_year = dy.Int64(
        primary_key=True,
        min=1,
        max=150,
        **about("The policy year offered; 1 is the first renewal", "policy years"),
    )
    start = day("First day of the term offered: the anniversary")
    in_programme = dy.Bool(
        nullable=True,
        **about("Whether the insured takes part in the health programme then", optional=True),
    )
    health_value = dy.Float64(
        min=0.0,
        max=1000.0,
        nullable=True,
        **about("Health value measured before the offer", "points", optional=True),
    )
    health_group = text("Health group the offer was priced in")
    standard_premium = money(
        "Annual premium offered before the health discount, for a full policy year",
        above_zero=True,
    )
    premium = money(
        "Annual premium offered after the discount, for a full policy year",
        optional=True,
        above_zero=True,
    )
    renewed = dy.Bool(**about("Whether the policyholder took the offer up"))

    @dy.rule()
    def premium_at_most_standard(cls) -> pl.Expr:
        """`premium` must be at most `standard_premium` (discounts only)."""
        return pl.col("premium") <= pl.col("standard_premium") * (1 + 1e-9)


class Claims(dy.Schema):
    """One row per claim: what was incurred when, and what was paid."""

    claim_id = key("The claim's number")
    policy_id = text("The policy the claim was made on")
    incurred = day("Day the claim was incurred")
    reported = day("Day the claim was reported", optional=True)
    paid = day("Day the claim was paid; empty while it is open", optional=True)
    amount = money("Amount paid or reserved")
    benefit = text("Benefit the claim falls under", optional=True)

    @dy.rule()
    def paid_not_before_incurred(cls) -> pl.Expr:
        """`paid` must not be before `incurred`."""
        return pl.col("paid") >= pl.col("incurred")

    @dy.rule()
    def reported_not_before_incurred(cls) -> pl.Expr:
        """`reported` must not be before `incurred`."""
        return pl.col("reported") >= pl.col("incurred")


class Payments(dy.Schema):
    """One row per movement of a claim: what was paid or taken back, how the reserve changed."""

    payment_id = key("The movement's number")
    claim_id = text("The claim it belongs to")
    paid = day("Day of the payment, or of the change in the reserve")
    amount = dy.Float64(
        **about("Amount paid; below zero where money came back, zero where only the reserve moved",
                "currency units")
    )  # fmt: skip
    outstanding_change = dy.Float64(
        nullable=True,
        **about("Change of the claim's outstanding reserve", "currency units", optional=True),
    )


class PersonYears(dy.Schema):
    """One row per person and period: exposure, claims and amount already counted."""

    person_year_id = key("The row's number; counted from 1 where absent", optional=True)
    person_id = text("The insured person", optional=True)
    period = dy.Int64(
        min=0,
        max=2199,
        nullable=True,
        **about("Calendar year or year of the study", optional=True),
    )
    exposure = dy.Float64(min_exclusive=0.0, **about("Time exposed to risk", "policy-years"))
    claims = dy.Int64(min=0, **about("Number of claims", "claims"))
    amount = money("Claims amount", optional=True)
    standard_premium = money("Earned premium before the discount", optional=True, above_zero=True)
    premium = money("Earned premium as charged", optional=True)


BOOK: dict[str, type[dy.Schema]] = {
    "policies": Policies,
    "renewals": Renewals,
    "offers": Offers,
    "claims": Claims,
    "payments": Payments,
    "person_years": PersonYears,
}


def _age(birth: pl.Expr, day: pl.Expr) -> pl.Expr:
    """Age last birthday; a birthday on 29 February falls on 1 March in other years."""

    def in_year(date: pl.Expr) -> pl.Expr:
        return date.dt.month().cast(pl.Int32) * 100 + date.dt.day()

    return day.dt.year() - birth.dt.year() - (in_year(day) < in_year(birth)).cast(pl.Int32)
