"""Rules between the tables of a book: claims and renewals against policies, payments against claims."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import polars as pl

from pricing.data.checked import Checked, part

__all__ = ["check_book"]

_APART = 10_000_000  # days


def check_book(tables: Mapping[str, Checked]) -> dict[str, Checked]:
    """Hold the tables of a book against each other: claims and renewals against policies.

    A claim or renewal must be of an accepted policy and start within its cover, a payment must be
    of an accepted claim and not before it, and the terms of a policy must not overlap. Rows that break this go from accepted to rejected, with the
    rule, and the totals still add up. A term that runs past the end of its policy, as terms of
    policies that left within the year do, is kept with a warning: exposure ends with the policy.

    Parameters
    ----------
    tables : mapping of str to Checked
        By table name; tables that are not there are not asked for.

    Returns
    -------
    dict of str to Checked

    Examples
    --------
    >>> from pricing.data.check import check
    >>> policies = check(pl.DataFrame({
    ...     "policy_id": ["A"], "birth_date": ["1980-05-01"], "sex": ["female"],
    ...     "start": ["2024-01-01"], "end": ["2025-01-01"]}), "policies")
    >>> claims = check(pl.DataFrame({
    ...     "claim_id": ["1", "2"], "policy_id": ["A", "B"], "incurred": ["2024-02-29"] * 2,
    ...     "amount": [80.0, 20.0]}), "claims")
    >>> book = check_book({"policies": policies, "claims": claims})
    >>> book["claims"].rejected["_rules"].to_list()
    ['policy_id|unknown_policy']
    """
    book = dict(tables)
    if (claims := book.get("claims")) and "policies" in book:
        book["claims"] = _moved(claims, _outside(claims, book["policies"], "incurred"))
    if (renewals := book.get("renewals")) and "policies" in book:
        book["renewals"] = _moved(renewals, _outside(renewals, book["policies"], "start"))
    if (payments := book.get("payments")) and "claims" in book:
        book["payments"] = _moved(payments, _of_no_claim(payments, book["claims"]))
    if (visits := book.get("care_visits")) and "care_cases" in book:
        book["care_visits"] = _moved(visits, _of_no_case(visits, book["care_cases"]))
    if (cases := book.get("aid_cases")) and "aid_members" in book:
        book["aid_cases"] = _moved(cases, _of_no_member(cases, book["aid_members"]))
    if renewals := book.get("renewals"):
        book["renewals"] = _moved(renewals, _overlaps(renewals))
    if (renewals := book.get("renewals")) and "policies" in book:
        warnings = (*renewals.warnings, *_past_the_end(renewals, book["policies"]))
        book["renewals"] = replace(renewals, warnings=warnings)
    return book


def _past_the_end(renewals: Checked, policies: Checked) -> tuple[str, ...]:
    stops = policies.accepted.select("policy_id", stop="end")
    late = renewals.accepted.join(stops, on="policy_id").filter(pl.col("end") > pl.col("stop"))
    if late.is_empty():
        return ()
    few = ", ".join(late["policy_id"].head(3))
    return (
        f"renewals: {late.height:,} terms run past the end of their policy, such as {few}; "
        "their exposure ends with the policy",
    )


def _moved(checked: Checked, faults: pl.DataFrame) -> Checked:
    if faults.height == 0:
        return checked
    held = checked.held
    joined = pl.concat([held.faults, faults.select("_index", "rule")])
    return part(checked.table, replace(held, faults=joined))


def _standing(checked: Checked) -> pl.DataFrame:
    held = checked.held
    return held.typed.join(held.faults, on="_index", how="anti", maintain_order="left")


def _outside(checked: Checked, policies: Checked, day: str) -> pl.DataFrame:
    """Rows of no policy, of a rejected policy, or outside the policy's cover."""
    cover = policies.accepted.select("policy_id", first="start", stop="end")
    seen = policies.held.typed["policy_id"].drop_nulls().unique().implode()
    within = (pl.col(day) >= pl.col("first")) & (pl.col(day) < pl.col("stop"))
    rule = (
        pl.when(pl.col("first").is_null() & ~pl.col("policy_id").is_in(seen))
        .then(pl.lit("policy_id|unknown_policy"))
        .when(pl.col("first").is_null())
        .then(pl.lit("policy_id|rejected_policy"))
        .when(~within)
        .then(pl.lit(f"{day}|outside_cover"))
    )
    held = _standing(checked).join(cover, on="policy_id", how="left", maintain_order="left")
    return held.select("_index", rule=rule).drop_nulls("rule")


def _of_no_claim(payments: Checked, claims: Checked) -> pl.DataFrame:
    """Payments of no claim, of a rejected claim, or before the claim was incurred."""
    known = claims.accepted.select("claim_id", "incurred")
    seen = claims.held.typed["claim_id"].drop_nulls().unique().implode()
    rule = (
        pl.when(pl.col("incurred").is_null() & ~pl.col("claim_id").is_in(seen))
        .then(pl.lit("claim_id|unknown_claim"))
        .when(pl.col("incurred").is_null())
        .then(pl.lit("claim_id|rejected_claim"))
        .when(pl.col("paid") < pl.col("incurred"))
        .then(pl.lit("paid|before_incurred"))
    )
    held = _standing(payments).join(known, on="claim_id", how="left", maintain_order="left")
    return held.select("_index", rule=rule).drop_nulls("rule")


def _of_no_case(visits: Checked, cases: Checked) -> pl.DataFrame:
    """Visits to no case, to a rejected case, or before the case's benefit began."""
    known = cases.accepted.select("case_id", "since")
    seen = cases.held.typed["case_id"].drop_nulls().unique().implode()
    rule = (
        pl.when(pl.col("since").is_null() & ~pl.col("case_id").is_in(seen))
        .then(pl.lit("case_id|unknown_case"))
        .when(pl.col("since").is_null())
        .then(pl.lit("case_id|rejected_case"))
        .when(pl.col("day") < pl.col("since"))
        .then(pl.lit("day|before_benefit"))
    )
    held = _standing(visits).join(known, on="case_id", how="left", maintain_order="left")
    return held.select("_index", rule=rule).drop_nulls("rule")


def _of_no_member(cases: Checked, members: Checked) -> pl.DataFrame:
    """Cases of no member, or of a rejected member."""
    accepted = members.accepted["member_id"].implode()
    seen = members.held.typed["member_id"].drop_nulls().unique().implode()
    rule = (
        pl.when(~pl.col("member_id").is_in(seen))
        .then(pl.lit("member_id|unknown_member"))
        .when(~pl.col("member_id").is_in(accepted))
        .then(pl.lit("member_id|rejected_member"))
    )
    return _standing(cases).select("_index", rule=rule).drop_nulls("rule")


def _overlaps(renewals: Checked) -> pl.DataFrame:
    """Both terms of each overlapping pair: no one can say which of them is the right one."""
    terms = (
        _standing(renewals)
        .select("_index", "policy_id", first=_day_number("start"), stop=_day_number("end"))
        .sort("policy_id", "first", "stop")
        .with_columns(policy=pl.col("policy_id").rle_id().cast(pl.Int64) * _APART)
    )
    # Policies are set so far apart on one line of days that none can reach into the next.
    begins, ends = pl.col("policy") + pl.col("first"), pl.col("policy") + pl.col("stop")
    earlier, later = ends.cum_max().shift(1) > begins, begins.shift(-1) < ends
    overlapping = terms.filter(earlier.fill_null(value=False) | later.fill_null(value=False))
    return overlapping.select(pl.col("_index").sort(), rule=pl.lit("start|overlap"))


def _day_number(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.Int32).cast(pl.Int64)
