"""The tables of long-term care: the insured, assessments, cases in payment, visits to them."""

from __future__ import annotations

import dataframely as dy
import polars as pl

from pricing.data.columns import about, day, key, money, text

__all__ = ["TABLES", "Assessments", "CareCases", "CareRates", "CareVisits", "InsuredPopulation"]

CHOSEN = ("score", "random", "complaint")


def _item(what: str, highest: int) -> dy.Int64:
    said = about(f"Score of the item {what}; more is better", "points", optional=True)
    return dy.Int64(min=0, max=highest, nullable=True, **said)


class Assessments(dy.Schema):
    """One row per assessment of disability: the scores of its items, and the level concluded."""

    assessment_id = key("The assessment's number")
    person_id = text("The person assessed")
    assessed = day("Day of the assessment on site")
    occasion = dy.Enum(
        ["first", "expiry", "change", "audit"],
        nullable=True,
        **about("Why it was made", optional=True),
    )
    care_level = dy.Int64(
        min=0,
        max=5,
        nullable=True,
        **about("Level concluded: 0 normal to 5 severe III", optional=True),
    )
    feeding = _item("feeding", 10)
    bathing = _item("bathing", 5)
    grooming = _item("grooming", 5)
    dressing = _item("dressing", 10)
    bowel = _item("control of the bowel", 10)
    bladder = _item("control of the bladder", 10)
    toilet = _item("use of the toilet", 10)
    transfer = _item("transfer between bed and chair", 15)
    walking = _item("walking on the level", 15)
    stairs = _item("climbing stairs", 10)
    time_orientation = _item("orientation in time", 4)
    person_orientation = _item("knowing persons", 4)
    space_orientation = _item("orientation in space", 4)
    memory = _item("memory", 4)
    vision = _item("vision", 4)
    hearing = _item("hearing", 4)
    communication = _item("communication", 4)


class InsuredPopulation(dy.Schema):
    """One row per sex and age: how many are insured."""

    sex = dy.Enum(["female", "male"], primary_key=True, **about("Sex of the insured"))
    age = dy.Int64(primary_key=True, min=0, max=120, **about("Age in whole years", "years"))
    insured = dy.Float64(min=0.0, **about("Number insured", "persons"))


class CareRates(dy.Schema):
    """One row per sex, age and move between healthy, disabled and dead: how often it happens a year."""

    sex = dy.Enum(["female", "male"], primary_key=True, **about("Sex of the insured"))
    age = dy.Int64(primary_key=True, min=1, max=120, **about("Age in whole years", "years"))
    from_state = dy.Enum(
        ["healthy", "disabled"], primary_key=True, **about("State before the move")
    )
    to_state = dy.Enum(
        ["healthy", "disabled", "dead"], primary_key=True, **about("State after the move")
    )
    rate = dy.Float64(min=0.0, **about("Moves per life-year in the state before", "per year"))

    @dy.rule()
    def to_state_differs(cls) -> pl.Expr:
        """`to_state` must not be the state before; who stays is what the moves leave."""
        return pl.col("from_state").cast(pl.String) != pl.col("to_state").cast(pl.String)


class CareCases(dy.Schema):
    """One row per long-term care case: on which grade, where and by whom it is cared for."""

    case_id = key("The case's number")
    person_id = text("The person in care", optional=True)
    birth_date = day("Date of birth of the person in care")
    sex = dy.Enum(["female", "male"], **about("Sex of the person in care"))
    grade = text("Grade the benefit is paid on, as last assessed")
    setting = dy.Enum(["home", "institution"], **about("Where the care is given"))
    provider = text("Institution or care service that provides the care and is paid for it")
    assessor = text("Assessor who signed the last assessment", optional=True)
    since = day("First day of benefit")
    last_review = day("Day of the last assessment or re-assessment")
    until = day("Day the benefit ended; empty while it is paid", optional=True)
    monthly_benefit = money("Benefit of a full month", above_zero=True)
    diagnosis = text("Main diagnosis behind the disability", optional=True)
    service_gap = dy.Bool(
        nullable=True,
        **about("Evidence: logged services fall short of the care plan", optional=True),
    )
    out_of_bed = dy.Bool(
        nullable=True,
        **about("Evidence: a device or camera contradicts care in bed", optional=True),
    )
    item_scores = text("Item scores of the last assessment, as one text", optional=True)

    @dy.rule()
    def birth_before_since(cls) -> pl.Expr:
        """`birth_date` must not be after `since`."""
        return pl.col("birth_date") <= pl.col("since")

    @dy.rule()
    def age_of_case_at_most_120(cls) -> pl.Expr:
        """`birth_date` must make the age at `since` 120 years at most."""
        return (pl.col("since") - pl.col("birth_date")).dt.total_days() <= 120 * 366

    @dy.rule()
    def review_from_since_on(cls) -> pl.Expr:
        """`last_review` must not be more than 62 days before `since` (benefit follows the conclusion)."""
        return pl.col("last_review") >= pl.col("since") - pl.duration(days=62)

    @dy.rule()
    def until_after_since(cls) -> pl.Expr:
        """`until` must not be before `since`."""
        return pl.col("until") >= pl.col("since")


class CareVisits(dy.Schema):
    """One row per re-assessment visit to a case: how it was chosen, what was found and recovered."""

    visit_id = key("The visit's number")
    case_id = text("The case visited")
    last_review = day("Day of the last assessment before the visit")
    day = day("Day of the visit")
    chosen = dy.Enum(
        CHOSEN, **about("How the case was chosen: by score, at random, on a complaint")
    )
    inclusion = dy.Float64(
        min_exclusive=0.0,
        max=1.0,
        nullable=True,
        **about(
            "Probability, known when visits were planned, that the case would be visited in that "
            "round by score or at random; empty for complaints"
        ),
    )
    random_inclusion = dy.Float64(
        min_exclusive=0.0,
        max=1.0,
        nullable=True,
        **about(
            "Probability that the case would be in the random share of that round", optional=True
        ),
    )
    eligible = dy.Bool(**about("Whether the case was found still eligible for its benefit"))
    recovered = money("Benefit paid in error and recovered")
    hours = dy.Float64(min_exclusive=0.0, max=24.0, **about("Time of the visit, travel included", "hours"))  # fmt: skip
    cost = money("Cost of the visit")
    appealed = dy.Bool(nullable=True, **about("Whether the finding was appealed", optional=True))
    stopped = dy.Bool(**about("Whether the benefit was stopped for good, after any appeal"))

    @dy.rule()
    def review_before_visit(cls) -> pl.Expr:
        """`last_review` must be before `day`."""
        return pl.col("last_review") < pl.col("day")

    @dy.rule()
    def stopped_only_if_not_eligible(cls) -> pl.Expr:
        """`stopped` must be false where `eligible` is true."""
        return ~(pl.col("stopped") & pl.col("eligible"))

    @dy.rule()
    def recovered_only_if_not_eligible(cls) -> pl.Expr:
        """`recovered` must be 0 where `eligible` is true."""
        return ~pl.col("eligible") | (pl.col("recovered") == 0.0)

    @dy.rule()
    def inclusion_unless_complaint(cls) -> pl.Expr:
        """`inclusion` must be given unless `chosen` is complaint, and only then."""
        return (pl.col("chosen") == "complaint") == pl.col("inclusion").is_null()

    @dy.rule()
    def once_a_day(cls) -> pl.Expr:
        """`case_id` must be visited once a day at most; all visits of such a day go."""
        return pl.len().over("case_id", "day") == 1


TABLES: dict[str, type[dy.Schema]] = {
    "assessments": Assessments,
    "care_cases": CareCases,
    "care_visits": CareVisits,
    "insured_population": InsuredPopulation,
    "care_rates": CareRates,
}
