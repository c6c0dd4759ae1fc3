"""The plan's own incidence against a table: exposure past the waiting period, cases by day of diagnosis.

Exposure of a covered member runs from the end of the waiting period to leaving, the birthday of exit or the
diagnosis, to the day, split by age and calendar year. Cases diagnosed near the end of the study are not all
published yet, so the study ends some months before the last publication.
"""

from __future__ import annotations

from datetime import date

import polars as pl

from pricing.data.rates import RateTable
from pricing.errors import InputError, nearest
from pricing.experience.cells import Experience
from pricing.experience.events import place_claims
from pricing.experience.expected import ActualToExpected, actual_to_expected
from pricing.experience.expected_rates import expected_rate
from pricing.experience.lexis import Lexis
from pricing.experience.split import split_exposure
from pricing.mutual_aid.rules import AidRules
from pricing.result.shape import Basis

__all__ = ["aid_experience", "incidence_to_table"]


def aid_experience(
    rules: AidRules,
    members: pl.DataFrame,
    cases: pl.DataFrame,
    *,
    start: date,
    end: date,
    basis: Basis | None = None,
) -> Experience:
    """Collect person-years in cover and cases by sex, age and calendar year.

    Parameters
    ----------
    rules : AidRules
        Waiting period, age of exit, which classes are covered.
    members, cases : polars.DataFrame
        Rows the contracts ``aid_members`` and ``aid_cases`` accepted, with ``sex``.
    start, end : date
        First day of the study and the day after its last.
    basis : Basis, optional
        Source and currency.

    Raises
    ------
    InputError
        For columns that lack, members in cover without a sex, and a study nobody is in cover in.

    Examples
    --------
    >>> from pricing.mutual_aid.rules import aid_rules
    >>> members = pl.DataFrame({"member_id": ["a"], "birth_date": [date(1980, 1, 1)], "sex": ["male"],
    ...     "joined": [date(2019, 1, 1)], "left": [None], "member_class": ["member"]},
    ...     schema_overrides={"left": pl.Date})
    >>> cases = pl.DataFrame({"case_id": ["1"], "member_id": ["a"], "diagnosed": [date(2020, 3, 1)]})
    >>> seen = aid_experience(aid_rules("xiang_hu_bao"), members, cases,
    ...     start=date(2019, 1, 1), end=date(2021, 1, 1))
    >>> int(seen.cells["claims"].sum()), seen.cells["days"].to_list()
    (1, [275, 61])
    """
    wanted = {"member_id", "birth_date", "sex", "joined", "left", "member_class"}
    faults = [f"members lack {c!r}{nearest(c, members.columns)}" for c in sorted(wanted - set(members.columns))]  # fmt: skip
    faults += [f"cases lack {c!r}" for c in ("member_id", "diagnosed") if c not in cases.columns]
    if faults:
        raise InputError("the plan's incidence cannot be seen", faults=faults)
    covered = [name for name, one in rules.classes.items() if one.covered]
    ill = cases.group_by("member_id").agg(pl.col("diagnosed").min())
    exit_day = _birthday(pl.col("birth_date"), rules.exit_age)
    lives = (
        members.filter(pl.col("member_class").cast(pl.String).is_in(covered))
        .join(ill, on="member_id", how="left")
        .with_columns(
            start=pl.col("joined") + pl.duration(days=rules.waiting_days),
            end=pl.min_horizontal(
                "left", exit_day, pl.col("diagnosed") + pl.duration(days=1), pl.lit(end)
            ),
        )
        .filter(pl.col("end") > pl.col("start"))
        .select("birth_date", "sex", "start", "end", policy_id="member_id")
    )
    if lives.is_empty():
        raise InputError(f"nobody is in cover before {end}", do="take a longer study")
    if lives["sex"].null_count():
        raise InputError(f"{lives['sex'].null_count():,} members in cover have no sex")
    lives = lives.with_columns(pl.col("sex").cast(pl.String))
    lexis = Lexis(start=start, end=end, dims=["calendar_year", "age"], year="365.25")
    claims = cases.select(policy_id="member_id", incurred="diagnosed")
    placed = place_claims(claims, lives, ["sex"], lexis, basis=basis)
    return placed.onto(split_exposure(lives, ["sex"], lexis, basis=basis))


def _birthday(born: pl.Expr, age: int) -> pl.Expr:
    """Day an age is reached; a birthday on 29 February falls on 1 March in other years."""
    on = born.dt.offset_by(f"{age}y")
    moved = (born.dt.day() == 29) & (on.dt.day() == 28)
    return pl.when(moved).then(on + pl.duration(days=1)).otherwise(on)


def incidence_to_table(
    experience: Experience, incidence: RateTable, factor: str = "calendar_year"
) -> ActualToExpected:
    """Set the cases seen against those of a table, by one key.

    A ratio that rises from year to year is selection: the healthy leave, or the sick wait to join.

    Parameters
    ----------
    experience : Experience
        From :func:`aid_experience`.
    incidence : RateTable
        By sex and age, or by age.
    factor : str
        Key to look at.

    Examples
    --------
    >>> from pricing.data.rates import rate_table
    >>> rows = pl.DataFrame({"sex": ["male"], "age": [40], "calendar_year": [2020],
    ...                      "exposure": [1000.0], "claims": [1]})
    >>> seen = Experience.collect(rows, ["sex", "age", "calendar_year"])
    >>> round(incidence_to_table(seen, rate_table("cn_ci_2020", "ci4")).facts["ratio"], 3)
    0.434
    """
    rate = expected_rate(experience, incidence, exposed="central")
    held = experience.with_sums(table_cases=rate * pl.col("exposure"))
    return actual_to_expected(held, "table_cases", factor)
