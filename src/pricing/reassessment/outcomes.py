"""Outcomes: what past visits found, case by case, and the cases in payment as they stand today."""

from __future__ import annotations

import datetime as dt

import polars as pl

from pricing.errors import InputError
from pricing.reassessment.domain import numbers, require_keys_once, require_rows_there

__all__ = ["cases_in_payment", "visit_outcomes"]

DAYS = 365.25
MONTH = DAYS / 12
CASE = ("case_id", "birth_date", "grade", "setting", "provider", "since", "last_review", "monthly_benefit")  # fmt: skip
VISIT = ("case_id", "day", "last_review", "chosen", "inclusion", "eligible", "recovered", "hours", "cost", "stopped")  # fmt: skip


def visit_outcomes(cases: pl.DataFrame, visits: pl.DataFrame) -> pl.DataFrame:
    """Put past visits beside their cases: one row per visit, its outcome and its weight.

    Parameters
    ----------
    cases : polars.DataFrame
        Contract ``care_cases``: all cases, those whose benefit has ended too.
    visits : polars.DataFrame
        Contract ``care_visits``. A case visited on two days is two rows, the later one counted from
        the review that the earlier one was.

    Returns
    -------
    polars.DataFrame
        The columns of the case, then day, chosen, inclusion, weight (1/inclusion; null for
        complaints, whose probability nobody knows), age (whole years at the visit),
        years_since_review, ineligible (0 or 1), recovered, hours, cost, stopped.

    Raises
    ------
    InputError
        For no visits, visits of unknown cases, a case twice among the cases or twice on one day,
        dates the wrong way round, probabilities outside (0, 1], negative amounts.

    Examples
    --------
    >>> from pricing.data.care_book import draw_care_cases
    >>> cases, visits, _ = draw_care_cases(200, seed=1)
    >>> seen = visit_outcomes(cases, visits)
    >>> seen.height == visits.height, seen["ineligible"].unique().sort().to_list()
    (True, [0, 1])
    """
    require_rows_there(cases, "cases", CASE)
    require_rows_there(visits, "visits", VISIT)
    require_keys_once(cases, "case_id", "cases")
    strange = visits.filter(~pl.col("case_id").is_in(cases["case_id"].implode()))
    faults = []
    if strange.height:
        few = ", ".join(map(str, strange["case_id"].unique(maintain_order=True).head(3)))
        faults.append(f"{strange.height:,} of {visits.height:,} visits are to cases that are not there: {few}")  # fmt: skip
    twice = visits.filter(pl.struct("case_id", "day").is_duplicated())
    if twice.height:
        faults.append(f"{twice.height:,} visits are to a case visited twice on one day: {twice['case_id'][0]}")  # fmt: skip
    early = visits.filter(~(pl.col("last_review") < pl.col("day")).fill_null(False))
    if early.height:
        faults.append(f"{early.height:,} visits are not after the review before them: {early['case_id'][0]}")  # fmt: skip
    planned = visits.filter(pl.col("chosen").cast(pl.String) != "complaint")
    lacking = planned["inclusion"].null_count()
    if lacking:
        faults.append(f"{lacking:,} visits by score or at random have no probability of inclusion")
    if faults:
        raise InputError("visits that cannot be counted", faults=faults, do="hold the tables against their contracts (pricing check) and use the accepted rows")  # fmt: skip
    known = visits.with_columns(inclusion=pl.col("inclusion").fill_null(1.0))
    inf = float("inf")
    numbers(known, "visits", {"inclusion": (0.0, 1.0), "recovered": (0.0, inf), "hours": (0.0, inf), "cost": (0.0, inf)}, open_low=["inclusion", "hours"])  # fmt: skip
    own = cases.drop("last_review", "until", "since", strict=False)
    extra = [n for n in ("random_inclusion", "appealed") if n in visits.columns]
    weight = pl.when(pl.col("chosen").cast(pl.String) != "complaint").then(1 / pl.col("inclusion"))
    return (
        visits.select(*VISIT, *extra)
        .join(own, on="case_id", how="left", maintain_order="left")
        .with_columns(
            weight=weight,
            age=age(pl.col("birth_date"), pl.col("day")),
            years_since_review=(pl.col("day") - pl.col("last_review")).dt.total_days() / DAYS,
            ineligible=(~pl.col("eligible")).cast(pl.Int64),
        )
    )


def cases_in_payment(
    cases: pl.DataFrame, as_of: dt.date, *, validity_months: float = 24.0
) -> pl.DataFrame:
    """Keep the cases in payment on a day, with their age and the time since and until a review.

    Parameters
    ----------
    cases : polars.DataFrame
        Contract ``care_cases``.
    as_of : datetime.date
        The day. A case whose ``until`` is later is still in payment.
    validity_months : float
        Months after which every case is re-assessed anyway: 24 for severe grades in China
        (national rules of 2021 to 2024).

    Returns
    -------
    polars.DataFrame
        The case's columns, then age (whole years), years_since_review and months_to_review
        (0 where overdue).

    Raises
    ------
    InputError
        For no cases in payment, a case twice, a last review after the day or long before the
        benefit began, a benefit that is no amount above 0.

    Examples
    --------
    >>> from pricing.data.care_book import draw_care_cases
    >>> cases, _, _ = draw_care_cases(200, seed=1)
    >>> now = cases_in_payment(cases, dt.date(2025, 1, 1))
    >>> now.height == cases["until"].null_count(), now["months_to_review"].max() <= 24.0
    (True, True)
    """
    require_rows_there(cases, "cases", CASE)
    require_keys_once(cases, "case_id", "cases")
    if not isinstance(as_of, dt.date):
        raise InputError(f"as_of is a day, got {as_of!r}")
    numbers(pl.DataFrame({"validity_months": [validity_months]}), "settings", {"validity_months": (0.0, float("inf"))}, open_low=["validity_months"])  # fmt: skip
    paid = cases
    if "until" in cases.columns:
        paid = paid.filter(pl.col("until").is_null() | (pl.col("until") > as_of))
    paid = paid.filter(pl.col("since") <= as_of)
    if paid.is_empty():
        raise InputError(f"no case is in payment on {as_of}", do="check the day and the column until")  # fmt: skip
    late = paid.filter((pl.col("last_review") > as_of).fill_null(True))
    early = paid.filter(pl.col("last_review") < pl.col("since") - pl.duration(days=62))
    young = paid.filter((pl.col("birth_date") > pl.col("since")).fill_null(True))
    said = {
        f"reviewed after {as_of} or never": late,
        "reviewed long before the benefit began": early,
        "born after the benefit began": young,
    }
    faults = [f"{f.height:,} cases {why}: {f['case_id'][0]}" for why, f in said.items() if f.height]
    if faults:
        raise InputError("dates the wrong way round", where="cases", faults=faults, do="correct the dates, or give a later day")  # fmt: skip
    numbers(paid, "cases", {"monthly_benefit": (0.0, float("inf"))}, open_low=["monthly_benefit"])
    day = pl.lit(as_of)
    years = (day - pl.col("last_review")).dt.total_days() / DAYS
    return paid.drop("until", strict=False).with_columns(
        age=age(pl.col("birth_date"), day),
        years_since_review=years,
        months_to_review=(validity_months - years * 12).clip(0.0),
    )


def age(birth: pl.Expr, day: pl.Expr) -> pl.Expr:
    """Give the age last birthday as a whole number.

    Examples
    --------
    >>> frame = pl.DataFrame({"b": [dt.date(1950, 6, 1)], "d": [dt.date(2020, 5, 31)]})
    >>> frame.select(age(pl.col("b"), pl.col("d"))).item()
    69
    """
    months = (day.dt.year() - birth.dt.year()).cast(pl.Int64) * 12 + (day.dt.month().cast(pl.Int64) - birth.dt.month().cast(pl.Int64))  # fmt: skip
    short = (day.dt.day() < birth.dt.day()).cast(pl.Int64)
    return (months - short) // 12
