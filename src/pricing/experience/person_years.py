"""Person-years of a renewable book: one row per policy and policy year, with its claims."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

import polars as pl

from pricing.errors import InputError

__all__ = ["PersonYears", "person_years"]


@dataclass(frozen=True)
class PersonYears:
    """Person-years and what could not be placed in them.

    Attributes
    ----------
    rows : polars.DataFrame
        One row per policy and policy year.
    unmatched_claims : polars.DataFrame
        Claims kept aside, with their ``reason``: incurred outside the observation window, or in
        no policy year of their policy.
    counts : mapping of str to int
        ``cut_at_exit`` and ``cut_at_window``: terms shortened to the policy's end and to the
        window; ``outside_window``: terms without a day in it.
    claims : polars.DataFrame
        The claims that count, one a row, each with the ``policy_year`` it fell in; empty where the
        book came as person-years.
    """

    rows: pl.DataFrame
    unmatched_claims: pl.DataFrame
    counts: Mapping[str, int] = field(default_factory=dict)
    claims: pl.DataFrame = field(default_factory=pl.DataFrame)


def person_years(
    policies: pl.DataFrame,
    renewals: pl.DataFrame,
    claims: pl.DataFrame,
    *,
    observed: tuple[date, date] | None = None,
) -> PersonYears:
    """Turn policies, their policy years and their claims into person-years.

    A policy year keeps one attained age, one health group and one premium, so this is the exact
    exposure by policy year. Exposure is the share of the policy year that was covered: days
    covered over days from this anniversary to the next, hence exactly 1 for a full year, leap or
    not. Premiums are earned pro rata to exposure. A claim belongs to the policy year in force on
    the day it was incurred (start inclusive, end exclusive).

    Parameters
    ----------
    policies : polars.DataFrame
        ``policy_id``, ``birth_date``, ``start`` and any factors.
    renewals : polars.DataFrame
        ``policy_id``, ``policy_year`` (0, 1, …), ``start``, ``end``, and what changes at renewal:
        ``health_group``, ``in_programme``, ``standard_premium``, ``premium`` (per full year).
    claims : polars.DataFrame
        ``policy_id``, ``incurred``, ``amount``.
    observed : (date, date), optional
        The observation window, first day and the day after the last. Terms still running when the
        data were taken count only the days seen, and claims outside the window count nowhere; left
        out, every term is taken as seen to its end. End it early enough for claims to be reported:
        nothing is added here for those that are not.

    Returns
    -------
    PersonYears
        Rows with ``exposure``, ``claims``, ``amount``, ``age`` (last birthday at the start of
        the policy year), ``year`` (calendar year of that start), ``prior_claims`` (claims in the
        policy year before; null in the first), ``ever_joined`` where ``in_programme`` is given,
        premiums earned in currency, and the factors of the policy.

    Raises
    ------
    InputError
        Where two policy years of a policy have the same number, a policy appears twice, or policy
        years have no policy.

    Examples
    --------
    >>> from datetime import date
    >>> policies = pl.DataFrame({"policy_id": ["p"], "birth_date": [date(1980, 3, 1)],
    ...                          "start": [date(2023, 3, 1)], "sex": ["female"]})
    >>> renewals = pl.DataFrame({"policy_id": ["p", "p"], "policy_year": [0, 1],
    ...     "start": [date(2023, 3, 1), date(2024, 3, 1)], "end": [date(2024, 3, 1), date(2024, 8, 31)],
    ...     "health_group": ["G0", "G1"], "standard_premium": [1000.0, 1100.0]})
    >>> claims = pl.DataFrame({"policy_id": ["p"], "incurred": [date(2024, 3, 1)], "amount": [9.0]})
    >>> person_years(policies, renewals, claims).rows.select("age", "exposure", "claims").rows()
    [(43, 1.0, 0), (44, 0.5013698630136987, 1)]
    """
    twice = renewals.select("policy_id", "policy_year").is_duplicated().sum()
    if twice:
        raise InputError(f"{twice:,} policy years appear twice", where="renewals")
    twice = policies["policy_id"].is_duplicated().sum()
    if twice:
        raise InputError(f"{twice:,} rows share their policy_id with another", where="policies")
    alone = renewals.join(policies, on="policy_id", how="anti")
    if not alone.is_empty():
        raise InputError(
            f"{alone.height:,} policy years have no policy, such as "
            + ", ".join(repr(v) for v in alone["policy_id"].unique().sort().head(3)),
            where="renewals",
            do="hold the tables against their contracts (pricing check) first",
        )
    terms, counts = _seen(policies, renewals, observed)
    within = (
        pl.lit(True)
        if observed is None
        else pl.col("incurred").is_between(pl.lit(observed[0]), pl.lit(observed[1]), closed="left")
    )
    placed = _place(terms, claims.filter(within))
    aside = [
        claims.filter(~within).with_columns(reason=pl.lit("incurred outside the window")),
        placed.filter(pl.col("end").is_null()).with_columns(reason=pl.lit("in no policy year")),
    ]
    inside = placed.drop_nulls("end").drop("end")
    unmatched = pl.concat(aside, how="diagonal")
    return PersonYears(_rows(policies, terms, placed), unmatched, counts, inside)


def _seen(
    policies: pl.DataFrame, renewals: pl.DataFrame, observed: tuple[date, date] | None
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Cut every term to the cover of its policy and to the observation window."""
    first, stop = observed or (date.min, date.max)
    leaves = (
        policies.select("policy_id", _leaves="end")
        if "end" in policies.columns
        else policies.select("policy_id", _leaves=pl.lit(date.max))
    )
    cover = pl.min_horizontal("end", "_leaves")
    terms = renewals.join(leaves, on="policy_id", how="left", maintain_order="left").with_columns(
        term_start=pl.col("start"), _cover=cover
    )
    cut = terms.with_columns(
        start=pl.max_horizontal("start", pl.lit(first)),
        end=pl.min_horizontal("_cover", pl.lit(stop)),
    )
    kept = cut.filter(pl.col("start") < pl.col("end"))
    shortened = (pl.col("term_start") < first) | (pl.col("_cover") > stop)
    counts = {
        "cut_at_exit": terms.filter(pl.col("end") > pl.col("_leaves")).height,
        "cut_at_window": kept.filter(shortened).height,
        "outside_window": cut.height - kept.height,
    }
    return kept.drop("_leaves", "_cover"), counts


def _place(renewals: pl.DataFrame, claims: pl.DataFrame) -> pl.DataFrame:
    terms = renewals.select("policy_id", "policy_year", "end", incurred="start").sort("incurred")
    own = claims.drop("policy_year", "end", strict=False)  # the terms' are the ones that count
    found = own.sort("incurred", maintain_order=True).join_asof(
        terms, on="incurred", by="policy_id", strategy="backward", check_sortedness=False
    )
    outside = (pl.col("incurred") >= pl.col("end")).fill_null(True)
    return found.with_columns(pl.when(~outside).then(pl.col("policy_year", "end")).name.keep())


def _rows(policies: pl.DataFrame, renewals: pl.DataFrame, placed: pl.DataFrame) -> pl.DataFrame:
    totals = (
        placed.drop_nulls("end")
        .group_by("policy_id", "policy_year", maintain_order=True)
        .agg(claims=pl.len().cast(pl.Int64), amount=pl.col("amount").sum())
    )
    facts = policies.rename({"start": "policy_start"}).drop("end", strict=False)
    years = pl.col("policy_year").cast(pl.String) + "y"
    following = (pl.col("policy_year") + 1).cast(pl.String) + "y"
    anniversary = pl.col("policy_start").dt.offset_by(years)
    length = (pl.col("policy_start").dt.offset_by(following) - anniversary).dt.total_days()
    money = [n for n in ("standard_premium", "premium") if n in renewals.columns]
    rows = (
        renewals.join(facts, on="policy_id", how="inner", validate="m:1")
        .join(totals, on=["policy_id", "policy_year"], how="left")
        .with_columns(
            pl.col("claims", "amount").fill_null(0),
            exposure=(pl.col("end") - pl.col("start")).dt.total_days() / length,
            age=_age_last_birthday(pl.col("birth_date"), pl.col("term_start")),
            year=pl.col("start").dt.year(),
        )
        .with_columns(pl.col(money) * pl.col("exposure"))
        .drop("term_start")
        .sort("policy_id", "policy_year")
    )
    before = pl.col("policy_year").shift(1).over("policy_id") == pl.col("policy_year") - 1
    prior = pl.when(before).then(pl.col("claims").shift(1).over("policy_id"))
    rows = rows.with_columns(prior_claims=prior)
    if "in_programme" in rows.columns:
        rows = rows.with_columns(ever_joined=pl.col("in_programme").any().over("policy_id"))
    return rows


def _age_last_birthday(birth: pl.Expr, on: pl.Expr) -> pl.Expr:
    def day_of_year(date: pl.Expr) -> pl.Expr:
        return date.dt.month().cast(pl.Int32) * 100 + date.dt.day().cast(pl.Int32)

    reached = day_of_year(on) >= day_of_year(birth)
    return on.dt.year() - birth.dt.year() - 1 + reached.cast(pl.Int32)
