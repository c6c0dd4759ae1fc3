"""The tables of a mutual-aid plan: its members and the cases it helps."""

from __future__ import annotations

import dataframely as dy
import polars as pl

from pricing.data.columns import about, day, key, money, text

__all__ = ["AID_CLASSES", "TABLES"]

AID_CLASSES = ("member", "honorary", "assisted")


class AidMembers(dy.Schema):
    """One row per member: born, joined, left, and what kind of member."""

    member_id = key("The member's number")
    birth_date = day("Date of birth of the member")
    sex = dy.Enum(["female", "male"], nullable=True, **about("Sex of the member", optional=True))
    joined = day("First day of membership; the waiting period starts")
    left = dy.Date(
        nullable=True,
        **about("First day no longer a member; empty while membership lasts", "day"),
    )
    member_class = dy.Enum(
        AID_CLASSES,
        **about(
            "Kind of member: member, honorary (pays, as a rule not covered), assisted (covered, pays nothing)"
        ),
    )

    @dy.rule()
    def birth_not_after_joining(cls) -> pl.Expr:
        """`birth_date` must not be after `joined`."""
        return pl.col("birth_date") <= pl.col("joined")

    @dy.rule()
    def left_not_before_joining(cls) -> pl.Expr:
        """`left` must not be before `joined`."""
        return pl.col("left") >= pl.col("joined")


class AidCases(dy.Schema):
    """One row per case helped: whose, diagnosed and published when, with how much."""

    case_id = key("The case's number")
    member_id = text("The member helped")
    diagnosed = day("Day of the diagnosis")
    published = day("Day the case was published; those in cover then share it")
    amount = money("Aid of the case before the platform's fee", above_zero=True)

    @dy.rule()
    def published_after_diagnosis(cls) -> pl.Expr:
        """`published` must not be before `diagnosed`."""
        return pl.col("published") >= pl.col("diagnosed")


TABLES: dict[str, type[dy.Schema]] = {"aid_members": AidMembers, "aid_cases": AidCases}
"""The tables of a mutual-aid plan by name."""
