"""The tables of long-term care: the insured, assessments, cases in payment, visits to them."""

from __future__ import annotations

import dataframely as dy
import polars as pl

from pricing.data.columns import about, day, key, text

__all__ = ["TABLES", "Assessments", "CareRates", "InsuredPopulation"]


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


TABLES: dict[str, type[dy.Schema]] = {
    "assessments": Assessments,
    "insured_population": InsuredPopulation,
    "care_rates": CareRates,
}
