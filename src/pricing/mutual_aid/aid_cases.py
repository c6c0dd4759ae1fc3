"""Cases published for help: which are in order, which are set aside and why."""

from __future__ import annotations

from datetime import date

import polars as pl

from pricing.errors import InputError, nearest
from pricing.mutual_aid.rules import OLDEST, AidRules

__all__ = ["judged_cases", "with_members"]

REASONS = (
    "no_case_number", "case_twice", "helped_before", "no_publication_day", "no_amount", "amount_not_above_zero",
    "amount_not_in_fen", "amount_above_the_most", "diagnosed_after_publication", "not_a_member",
    "class_not_covered", "diagnosed_in_waiting", "diagnosed_after_leaving", "no_benefit_at_age",
    "amount_above_benefit",
)  # fmt: skip
_MEMBER = ("birth_date", "joined", "left", "member_class")


def with_members(
    cases: pl.DataFrame | pl.LazyFrame, members: pl.DataFrame | pl.LazyFrame
) -> pl.DataFrame:
    """Add to each case what is known of its member, by one streamed pass over the members.

    Parameters
    ----------
    cases : frame
        With member_id.
    members : frame
        The contract ``aid_members``; a lazy scan is streamed.

    Returns
    -------
    polars.DataFrame
        The cases with birth_date, joined, left and member_class; all empty where there is no member.

    Examples
    --------
    >>> from datetime import date
    >>> members = pl.DataFrame({"member_id": ["a"], "birth_date": [date(1980, 1, 1)], "left": [None],
    ...     "joined": [date(2019, 1, 1)], "member_class": ["member"]}, schema_overrides={"left": pl.Date})
    >>> with_members(pl.DataFrame({"case_id": ["1", "2"], "member_id": ["a", "b"]}), members)["joined"].to_list()
    [datetime.date(2019, 1, 1), None]
    """
    asked, every = cases.lazy().collect(), members.lazy()
    schema = every.collect_schema()
    lacking = [name for name in ("member_id", *_MEMBER) if name not in schema]
    if "member_id" not in asked.columns or lacking:
        raise InputError(
            "cases and members are matched by member_id",
            where="aid_cases, aid_members",
            faults=[f"members lack {name!r}{nearest(name, schema)}" for name in lacking],
        )
    wanted = asked.lazy().select("member_id").unique()
    found = (
        every.select("member_id", *_MEMBER)
        .join(wanted, on="member_id", how="semi")
        .collect(engine="streaming")
        .unique("member_id", keep="first")
        .with_columns(pl.col("member_class").cast(pl.String))
    )
    return asked.drop(_MEMBER, strict=False).join(
        found, on="member_id", how="left", maintain_order="left"
    )


def judged_cases(
    rules: AidRules, cases: pl.DataFrame | pl.LazyFrame, *, published: date | None = None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Part cases into those a period can be settled on and those set aside, each with its reason.

    Parameters
    ----------
    rules : AidRules
        Benefit by age, waiting period, ages.
    cases : frame
        The contract ``aid_cases``. With the columns of :func:`with_members` the member is judged
        too: known, covered, past the waiting period, not above the benefit of the age. Who is
        helped leaves: of several cases of a member the first published one in order stands.
    published : date, optional
        Only the cases of that day (and those without a day, which are set aside); give all cases,
        for one published before is not paid again.

    Returns
    -------
    (polars.DataFrame, polars.DataFrame)
        Those in order, and the others with ``reason``.

    Examples
    --------
    >>> from pricing.mutual_aid.rules import aid_rules
    >>> rows = pl.DataFrame({"case_id": ["1", "2"], "amount": [300_000.0, -1.0],
    ...                      "published": [date(2020, 12, 7)] * 2})
    >>> good, aside = judged_cases(aid_rules("xiang_hu_bao"), rows)
    >>> good.height, aside["reason"].to_list()
    (1, ['amount_not_above_zero'])
    """
    frame = cases.lazy().collect()
    faults = [
        f"column {name!r} is missing{nearest(name, frame.columns)}"
        for name in ("case_id", "published", "amount")
        if name not in frame.columns
    ]
    if not faults:
        if frame.schema["published"] not in (pl.Date, pl.Null):
            faults.append(f"column 'published' is {frame.schema['published']}, not a date")
        if not (frame.schema["amount"].is_numeric() or frame.schema["amount"] == pl.Null):
            faults.append(f"column 'amount' is {frame.schema['amount']}, not a number")
        faults += [
            f"column {name!r} is {frame.schema[name]}, not a date"
            for name in ("diagnosed", "birth_date", "joined", "left")
            if name in frame.columns and frame.schema[name] not in (pl.Date, pl.Null)
        ]
    if faults:
        raise InputError("cases that cannot be settled", where="aid_cases", faults=faults)
    amount = pl.col("amount").cast(pl.Float64)
    fen = amount * 100
    checks: dict[str, pl.Expr] = {
        "no_case_number": pl.col("case_id").is_null(),
        "case_twice": pl.col("case_id").is_duplicated(),
        "no_publication_day": pl.col("published").is_null(),
        "no_amount": amount.is_null() | ~amount.is_finite(),
        "amount_not_above_zero": amount <= 0,
        "amount_not_in_fen": (fen - fen.round()).abs() > 1e-4,
    }
    if rules.most_per_case is not None:
        checks["amount_above_the_most"] = amount > rules.most_per_case
    elif not {"diagnosed", *_MEMBER} <= set(frame.columns):
        checks["amount_above_the_most"] = amount > max(b.amount for b in rules.benefit)
    if "diagnosed" in frame.columns:
        checks["diagnosed_after_publication"] = pl.col("diagnosed") > pl.col("published")
    if {"diagnosed", *_MEMBER} <= set(frame.columns):
        frame, more = _of_members(rules, frame)
        checks |= more
    reason = pl.lit(None, dtype=pl.String)
    for name in reversed(checks):
        reason = pl.when(checks[name]).then(pl.lit(name)).otherwise(reason)
    frame = frame.with_columns(reason=reason).drop("_benefit", "_age", strict=False)
    if "member_id" in frame.columns:
        frame = _once(frame)
    if published is not None:
        day = pl.col("published").cast(pl.Date)
        frame = frame.filter(day.is_null() | (day == published))
    aside = pl.col("reason").is_not_null()
    return frame.filter(~aside).drop("reason"), frame.filter(aside)


def _once(frame: pl.DataFrame) -> pl.DataFrame:
    """Set aside every case of a member but the first in order: the help ends membership."""
    order = pl.struct(*(n for n in ("published", "diagnosed", "case_id") if n in frame.columns))
    good = pl.col("reason").is_null() & pl.col("member_id").is_not_null()
    again = good & (order.rank("ordinal").over("member_id", good) > 1)
    return frame.with_columns(
        reason=pl.when(again).then(pl.lit("helped_before")).otherwise(pl.col("reason"))
    )


def _of_members(rules: AidRules, frame: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, pl.Expr]]:
    born, ill = pl.col("birth_date"), pl.col("diagnosed")

    def in_year(day: pl.Expr) -> pl.Expr:
        return day.dt.month().cast(pl.Int32) * 100 + day.dt.day()

    age = ill.dt.year() - born.dt.year() - (in_year(ill) < in_year(born)).cast(pl.Int32)
    frame = frame.with_columns(_age=age)
    benefit = rules.benefit_at(frame["_age"].fill_null(OLDEST + 1).to_numpy())
    frame = frame.with_columns(_benefit=pl.Series(benefit).fill_nan(None))
    covered = [name for name, each in rules.classes.items() if each.covered]
    checks = {
        "not_a_member": pl.col("joined").is_null() | born.is_null(),
        "class_not_covered": ~pl.col("member_class")
        .cast(pl.String)
        .is_in(covered)
        .fill_null(False),
        "diagnosed_in_waiting": ill < pl.col("joined") + pl.duration(days=rules.waiting_days),
        "diagnosed_after_leaving": ill >= pl.col("left"),
        "no_benefit_at_age": pl.col("_benefit").is_null() | (pl.col("_age") >= rules.exit_age),
    }
    if rules.most_per_case is None:
        checks["amount_above_benefit"] = pl.col("amount") > pl.col("_benefit")
    return frame, checks
