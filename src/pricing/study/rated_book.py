"""The terms and claims of a study's book as known on a day: what a rate review is made from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property, reduce
from operator import add

import polars as pl

from pricing.errors import InputError
from pricing.experience.person_years import PersonYears
from pricing.loss_ratio.large_charge import LargeCharge, large_charge
from pricing.premium.on_level import OnLevel, on_level
from pricing.reserving.completion import Completion, complete
from pricing.reserving.periods import Grain
from pricing.reserving.transactions import cap_transactions, claim_transactions
from pricing.reserving.triangle import Triangle, claim_triangle
from pricing.result.shape import Basis
from pricing.study.sections import RateReview

__all__ = ["Book", "book_of"]


@dataclass(frozen=True)
class Book:
    """The terms and claims of a study as known on a day, and what follows from them.

    Attributes
    ----------
    wanted : RateReview
        The section of the study file.
    terms : sequence of polars DataFrame or LazyFrame
        One row per policy year: start, end, policy_start, the segments, premiums a year. One frame,
        or one for each part of a book that is not held as a whole.
    transactions : polars.DataFrame
        From :func:`pricing.reserving.transactions.claim_transactions`, with the segments.
    group : str
        Column of the health group.
    present : mapping, optional
        Discounts in force, by group.
    basis : Basis
        Source and currency.

    Examples
    --------
    Made by :func:`book_of`.
    """

    wanted: RateReview
    terms: Sequence[pl.DataFrame | pl.LazyFrame]
    transactions: pl.DataFrame
    group: str
    present: Mapping[str, float] | None
    basis: Basis

    @property
    def keys(self) -> list[str]:
        """Segments told apart: the one asked for, and the health group."""
        return list(dict.fromkeys([*([self.wanted.by] if self.wanted.by else []), self.group]))

    @property
    def cap(self) -> float:
        """Where a claim is cut, currency; infinite where none is."""
        return self.wanted.large or math.inf

    @cached_property
    def premium(self) -> OnLevel:
        """Premium by month and every segment, as charged and at current level."""
        return self._on_level("month", self.keys)

    @cached_property
    def premium_by_year(self) -> OnLevel:
        """Premium by year and the segment asked for, to be read."""
        return self._on_level("year", [self.wanted.by] if self.wanted.by else [])

    def _on_level(self, grain: Grain, by: list[str]) -> OnLevel:
        w = self.wanted
        changes = pl.DataFrame(
            [{"day": c.day, "change": c.change, "applies_to": c.applies_to, **c.where}
             for c in w.rate_changes]
            or {"day": [], "change": [], "applies_to": []},
            schema_overrides={"day": pl.Date, "change": pl.Float64, "applies_to": pl.String},
        )  # fmt: skip
        parts = (
            on_level(
                terms,
                changes,
                valuation=w.valuation,
                grain=grain,
                by=by,
                premium=w.premium,
                anniversary="policy_start",
                present=self.present if w.premium == "premium" else None,
                group=self.group,
                basis=self.basis,
            )
            for terms in self._begun()
        )
        return reduce(add, parts)

    def _begun(self) -> Sequence[pl.DataFrame | pl.LazyFrame]:
        """The parts with a term begun by the valuation, each with all levels that rate changes may name."""
        if len(self.terms) == 1:
            return self.terms
        begun = (pl.col("start") <= self.wanted.valuation).any()
        there = [t for t in self.terms if t.lazy().select(begun).collect().item()]
        schema = self.terms[0].lazy().collect_schema()
        named = dict.fromkeys(k for change in self.wanted.rate_changes for k in change.where)
        kinds = {}
        for key in (k for k in named if schema.get(k) == pl.String):
            seen = [
                t.lazy().select(pl.col(key).drop_nulls().unique()).collect() for t in self.terms
            ]
            kinds[key] = pl.Enum(pl.concat(seen).to_series().unique().sort())
        told = [pl.col(key).cast(kind) for key, kind in kinds.items()]
        return [t.lazy().with_columns(told) for t in there] or self.terms

    @cached_property
    def known(self) -> pl.DataFrame:
        """Movements up to the valuation, with the part of each payment under the cap."""
        seen = self.transactions.filter(pl.col("day") <= self.wanted.valuation)
        return cap_transactions(seen, self.cap)

    @cached_property
    def claims(self) -> pl.DataFrame:
        """One row per claim as known: incurred, segments, paid, paid_capped, settled."""
        first = [pl.col(n).first() for n in ("incurred", *self.keys)]
        sums = [pl.col(n).sum() for n in ("paid", "settled")]
        claims = self.known.group_by("claim_id", maintain_order=True).agg(*first, *sums)
        return claims.with_columns(paid_capped=pl.col("paid").clip(upper_bound=self.cap))

    @cached_property
    def large(self) -> LargeCharge:
        """The charge for large claims, and the dispersion of claims."""
        paid = self.claims.filter(pl.col("paid") > 0)["paid"]
        return large_charge(paid, cap=self.cap)

    @cached_property
    def months(self) -> pl.DataFrame:
        """Premium by month: period, exposure, earned, premium_at_current_level."""
        sums = pl.col("exposure", "earned", "premium_at_current_level").sum()
        return self.premium.table.group_by("period", maintain_order=True).agg(sums)

    def triangle(
        self, amount: str, grain: Grain = "month", valuation: date | None = None
    ) -> Triangle:
        """Triangle of a column of the movements."""
        return claim_triangle(
            self.known,
            valuation=valuation or self.wanted.valuation,
            day="day",
            amount=amount,
            grain=grain,
            by=self.keys,
            start=self.months["period"][0],
            basis=self.basis,
        )

    @cached_property
    def completion(self) -> Completion:
        """Ultimate capped claims by month, against premium at current level."""
        w = self.wanted
        exposure = self.months.select(origin="period", exposure="premium_at_current_level")
        return complete(
            self.triangle("paid_capped"),
            exposure,
            lags=w.lags,
            seasonality=w.seasonality,
            breaks=w.breaks,
            dispersion=self.large.capped_dispersion,
            draws=w.draws,
            seed=w.seed,
        )

    @cached_property
    def reported(self) -> Completion:
        """Ultimate numbers of claims by month, from their reports, against exposure."""
        exposure = self.months.select(origin="period", exposure="exposure")
        return complete(
            self.triangle("reported"),
            exposure,
            lags=self.wanted.lags,
            dispersion=1.0,
            draws=200,
            seed=self.wanted.seed,
        )

    def by_month(self, completion: Completion) -> pl.DataFrame:
        """Months with premium, exposure, what is paid, the share complete and its error."""
        pattern = completion.frames["pattern"].select("lag", "std_error")
        height = completion.table.height
        lag = (pl.lit(height - 1) - pl.int_range(height)).clip(upper_bound=pattern.height - 1)
        table = completion.table.select(month="origin", paid="paid", completion="complete")
        aged = table.with_columns(lag=lag).join(
            pattern, on="lag", how="left", maintain_order="left"
        )
        months = self.months.rename({"period": "month"})
        return (
            aged.drop("lag")
            .join(months, on="month", how="left", maintain_order="left")
            .with_columns(pl.col("completion").clip(upper_bound=1.0))
            .filter(pl.col("completion") > 0)
        )

    @property
    def in_force(self) -> float:
        """Annual premium in force at the valuation, at the terms' own rates."""
        at = self.wanted.valuation
        covered = (pl.col("start") <= at) & (pl.col("end") > at)
        sums = pl.col(self.wanted.premium).sum()
        parts = (terms.lazy().filter(covered).select(sums).collect() for terms in self.terms)
        return sum(float(part.item()) for part in parts)


def book_of(
    wanted: RateReview,
    found: PersonYears,
    tables: Mapping[str, pl.DataFrame],
    *,
    group: str,
    present: Mapping[str, float] | None,
    basis: Basis,
) -> Book:
    """Put the terms and claims of a study's accepted tables together.

    Parameters
    ----------
    wanted : RateReview
        The section of the study file.
    found : PersonYears
        Person-years with the segments, and the claims placed in them.
    tables : mapping of str to polars.DataFrame
        Accepted policies, renewals and, where there are any, payments.
    group : str
        Column of the health group.
    present : mapping, optional
        Discounts in force, by group.
    basis : Basis
        Source and currency.

    Returns
    -------
    Book

    Raises
    ------
    InputError
        Where the renewals lack the premium, and as ``claim_transactions``.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from pricing.data.book import simulate
    >>> from pricing.experience.person_years import person_years
    >>> folder = simulate(Path(tempfile.mkdtemp()) / "book", policies=3_000, seed=1)
    >>> tables = {n: pl.read_parquet(folder / n) for n in ("policies", "renewals", "claims", "payments")}
    >>> window = (date(2018, 1, 1), date(2026, 1, 1))
    >>> found = person_years(*(tables[n] for n in ("policies", "renewals", "claims")), observed=window)
    >>> wanted = RateReview(valuation=date(2024, 12, 31), effective=date(2025, 7, 1), by="tier", draws=200)
    >>> book = book_of(wanted, found, tables, group="health_group", present=None, basis=Basis())
    >>> book.keys, book.months.height
    (['tier', 'health_group'], 84)
    """
    keys = list(dict.fromkeys([*([wanted.by] if wanted.by else []), group]))
    rows = found.rows.select("policy_id", "policy_year", *keys)
    policies = tables["policies"].select("policy_id", policy_start="start", _left="end")
    money = [n for n in ("standard_premium", "premium") if n in tables["renewals"].columns]
    if wanted.premium not in money:
        raise InputError(
            f"the renewals hold no {wanted.premium!r}",
            where="loss_ratio.premium",
            do="map it, or name the one they hold",
        )
    terms = (
        tables["renewals"]
        .select("policy_id", "policy_year", "start", "end", *money)
        .join(rows, on=["policy_id", "policy_year"], maintain_order="left")
        .join(policies, on="policy_id", maintain_order="left")
        .with_columns(end=pl.min_horizontal("end", "_left"))
        .filter(pl.col("end") > pl.col("start"))
    )
    claims = found.claims.join(rows, on=["policy_id", "policy_year"], maintain_order="left")
    columns = ["claim_id", "policy_id", *keys, "incurred", "paid", "amount"]
    reported = ["reported"] if "reported" in claims.columns else []
    claims = claims.select(*columns, *reported)
    payments = tables.get("payments")
    if payments is not None:
        payments = payments.join(claims, on="claim_id", how="semi", maintain_order="left")
    return Book(wanted, [terms], claim_transactions(claims, payments), group, present, basis)
