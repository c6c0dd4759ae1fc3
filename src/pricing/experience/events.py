"""Claims and exits put where they fell: in the cell of exposure in force on their day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from pricing.errors import InputError, nearest
from pricing.experience.cells import Experience
from pricing.experience.cover import survey
from pricing.experience.domain import listed
from pricing.experience.lexis import Lexis, current, leap, lines, new_year, thirties
from pricing.experience.measures import COUNTS_OF_CLAIMS, MEASURES_OF_AMOUNTS
from pricing.experience.shards import Shards
from pricing.experience.strata import experience_of
from pricing.result.shape import Basis

__all__ = ["PlacedClaims", "count_exits", "place_claims"]

UNMATCHED = ("no date", "unknown policy", "outside the study", "outside cover")


@dataclass(frozen=True)
class PlacedClaims:
    """Claims by cell of exposure, and those that no exposure answers for.

    Attributes
    ----------
    experience : Experience
        Claims and their second moments by cell, with no rows and no exposure of its own.
    unmatched : polars.DataFrame
        The claims kept aside, with ``reason``: no date, unknown policy, outside the study (its
        window), outside cover.
    """

    experience: Experience
    unmatched: pl.DataFrame

    def onto(self, exposure: Experience) -> Experience:
        """Add these claims to the exposure they were placed in.

        Examples
        --------
        >>> from datetime import date
        >>> from pricing.experience.split import split_exposure
        >>> policies = pl.DataFrame({"policy_id": ["p"], "start": [date(2023, 7, 1)],
        ...                          "end": [date(2024, 7, 1)], "sex": ["f"]})
        >>> claims = pl.DataFrame({"policy_id": ["p"], "incurred": [date(2024, 1, 1)]})
        >>> lexis = Lexis(start=date(2023, 1, 1), end=date(2025, 1, 1), dims=["calendar_year"])
        >>> placed = place_claims(claims, policies, ["sex"], lexis)
        >>> seen = placed.onto(split_exposure(policies, ["sex"], lexis))
        >>> seen.cells.select("calendar_year", "days", "claims").rows()
        [(2023, 184, 0), (2024, 182, 1)]
        """
        a, b = exposure.cells, self.experience.cells
        left, right = (_filled(x, y) for x, y in ((a, b), (b, a)))
        basis = exposure.basis
        seen = Experience._of(left, exposure.keys, basis)
        return seen + Experience._of(right.select(left.columns), self.experience.keys, basis)


def place_claims(
    claims: pl.DataFrame | pl.LazyFrame,
    policies: pl.DataFrame | pl.LazyFrame,
    by: Sequence[str],
    lexis: Lexis,
    *,
    amount: str | None = None,
    cover: tuple[str, str] = ("start", "end"),
    basis: Basis | None = None,
) -> PlacedClaims:
    """Put every claim in the cell of exposure in force on the day it was incurred.

    Only the policies that have claims are looked at, so this is a small job beside the split. The
    second moments are over (policy, cell): n claims of a policy in a cell, over its exposure e
    there. Claims and amounts placed and kept aside add up to those that came in.

    Parameters
    ----------
    claims : polars DataFrame or LazyFrame
        ``policy_id``, ``incurred`` (date), and the amount where asked.
    policies, by, lexis, cover, basis
        As for :func:`pricing.experience.split.split_exposure`, with ``policy_id``.
    amount : str, optional
        Column of claim amounts in currency, zero or more.

    Returns
    -------
    PlacedClaims
        The experience to add with :meth:`PlacedClaims.onto`, and the claims kept aside.

    Raises
    ------
    InputError
        For frames of another engine, columns or policies that cannot serve, amounts that are null
        or negative, claims that more than one row of cover would answer for, and claims in cover
        that 30/360 counts as no days.

    Examples
    --------
    >>> from datetime import date
    >>> policies = pl.DataFrame({"policy_id": ["p"], "start": [date(2023, 7, 1)],
    ...                          "end": [date(2024, 7, 1)]})
    >>> claims = pl.DataFrame({"policy_id": ["p", "q"], "incurred": [date(2024, 1, 1)] * 2})
    >>> lexis = Lexis(start=date(2023, 1, 1), end=date(2025, 1, 1), dims=["policy_year"])
    >>> placed = place_claims(claims, policies, [], lexis)
    >>> placed.experience.basis.claims, placed.unmatched["reason"].to_list()
    (1.0, ['unknown policy'])
    """
    by = list(dict.fromkeys(listed(by)))
    _require_polars(claims=claims, policies=policies)
    lazy = policies.lazy()
    survey(Shards.of(policies), by, lexis, cover)
    _require(claims, lazy, amount, [*dict.fromkeys(["start", *cover, *by, *_more(lexis)])])
    own = claims.lazy().select("policy_id", "incurred", *([amount] if amount else []))
    own = own.with_row_index("_claim").collect().lazy()
    facts = list(dict.fromkeys(["policy_id", "start", *cover, *by, *_more(lexis)]))
    met = own.join(lazy.select(facts), on="policy_id", how="inner").collect(engine="streaming")
    begin, until = (pl.col(name) for name in cover)
    hit = met.filter((pl.col("incurred") >= begin) & (pl.col("incurred") < until)).sort("_claim")
    twice = hit.height - hit["_claim"].n_unique()
    if twice:
        raise InputError(
            f"{twice:,} claims fall in more than one row of cover of their policy",
            where="policies",
            do="policies must be unique, and the parts of their cover must not overlap",
        )
    inside = pl.col("incurred").is_between(lexis.start, lexis.end, closed="left")
    rows = _located(hit.lazy().filter(inside), lexis, cover, "incurred")
    unmatched = _unmatched(own, hit, met, inside)
    keys = [*by, *lexis.dims]
    n = {"claims": pl.len().cast(pl.Int64)}
    if amount:
        n["amount"] = pl.col(amount).cast(pl.Float64).sum()
    one = dict.fromkeys(["policy_id", "_from", *keys, "exposure"])
    each = rows.group_by(list(one), maintain_order=True).agg(**n).collect()
    none = each.filter(pl.col("exposure") <= 0)["claims"].sum()
    if none:
        raise InputError(
            f"{none:,} claims fall in cover that {lexis.unit} counts as no days, from the 30th to "
            "the 31st of a month",
            where="claims",
            do="take a year of 'policy', 'calendar' or '365.25'",
        )
    return PlacedClaims(
        _experience(each, keys, lexis, basis, amount="amount" if amount else None),
        unmatched,
    )


def count_exits(
    lazy: pl.LazyFrame,
    by: Sequence[str],
    lexis: Lexis,
    cover: tuple[str, str],
    causes: Sequence[str],
) -> pl.DataFrame:
    """Count the exits of each cause by cell of the last day of cover, as ``exits_<cause>``.

    Examples
    --------
    >>> from datetime import date
    >>> policies = pl.LazyFrame({"start": [date(2023, 7, 1)], "end": [date(2024, 3, 1)],
    ...                          "exit_cause": ["lapse"]})
    >>> lexis = Lexis(start=date(2023, 1, 1), end=date(2025, 1, 1), dims=["calendar_year"])
    >>> count_exits(policies, [], lexis, ("start", "end"), ["lapse"]).rows()
    [(2024, 1)]
    """
    leaves = (
        pl.col("exit_cause").cast(pl.String).is_in(list(causes))
        & (pl.col(cover[1]) == pl.col("end"))
        & pl.col("end").is_between(lexis.start, lexis.end, closed="right")
    )
    rows = lazy.filter(leaves).with_columns(_last=pl.col("end").dt.offset_by("-1d"))
    keys = [*by, *lexis.dims]
    cause = pl.col("exit_cause").cast(pl.String)
    sums = {f"exits_{c}": (cause == c).sum().cast(pl.Int64) for c in causes}
    located = _located(rows, lexis, cover, "_last")
    found = (
        located.group_by(keys, maintain_order=True).agg(**sums) if keys else located.select(**sums)
    ).collect()
    yes = {
        k: pl.when(k).then(pl.lit("yes")).otherwise(pl.lit("no"))
        for k in by
        if found.schema[k] == pl.Boolean
    }
    return found.with_columns(**yes)


def _located(rows: pl.LazyFrame, lexis: Lexis, cover: tuple[str, str], day: str) -> pl.LazyFrame:
    """Add the cell of a day and the exposure of the policy in that cell."""
    policy, age = "policy_year" in lexis.dims, "age" in lexis.dims
    rows = lines(rows, lexis, cover, age=age, policy=policy, thirty=False)
    x, year = pl.col(day).to_physical(), pl.col(day).dt.year()
    low, high = [pl.col("_s")], [pl.col("_e")]
    cell: dict[str, pl.Expr] = {}
    long = pl.lit(0, dtype=pl.Int32)
    if "calendar_year" in lexis.dims:
        low.append(new_year(year))
        high.append(new_year(year + 1))
        cell["calendar_year"] = year
    if "calendar_month" in lexis.dims:
        low.append(pl.col(day).dt.month_start().to_physical())
        high.append(pl.col(day).dt.month_end().to_physical() + 1)
        cell["calendar_month"] = year * 100 + pl.col(day).dt.month().cast(pl.Int32)
    if lexis.unit == "calendar":
        long = leap(year)
    for name, line, born in (("policy_year", "_p", "_sy"), ("age", "_q", "_by")):
        if name in lexis.dims:
            last, then, before = current(x, year, line)
            low.append(last)
            high.append(then)
            cell[name] = year - pl.col(born) - before
            if name == "policy_year" and lexis.unit == "policy":
                long = leap(year - before + pl.col("_p1"))
    a, b = pl.max_horizontal(low), pl.min_horizontal(high)
    if lexis.unit == "30/360":
        exposure = (thirties(b.cast(pl.Date)) - thirties(a.cast(pl.Date))) / 360.0
    else:
        exposure = (b - a) / (365.25 if lexis.unit == "365.25" else 365.0 + long)
    return rows.with_columns(
        **{k: cell[k].cast(pl.Int32) for k in lexis.dims}, exposure=exposure, _from=pl.col(cover[0])
    )


def _experience(
    each: pl.DataFrame,
    keys: list[str],
    lexis: Lexis,
    basis: Basis | None,
    *,
    amount: str | None,
) -> Experience:
    """Take the measures of claims where they are defined, without the rows' exposure."""
    bare = ["rows", "exposure", "exposure_squared"]
    zero = [pl.lit(0, dtype=pl.Int64).alias("rows"), pl.lit(0, dtype=pl.Int64).alias("days")]
    zero += [pl.lit(0.0).alias(n) for n in bare[1:]]
    if each.is_empty():
        empty = each.select(
            *(
                pl.col(k).cast(pl.String) if each.schema[k] == pl.Boolean else pl.col(k)
                for k in keys
            )
        )
        whole = ("amount_rows", "claim_rows", *COUNTS_OF_CLAIMS)
        sums = {
            n: pl.lit(0, dtype=pl.Int64 if n in whole else pl.Float64)
            for n in MEASURES_OF_AMOUNTS
            if amount
        }
        return experience_of(empty.with_columns(*zero, **sums), keys, lexis, basis)
    seen = Experience.collect(each, keys, amount=amount)
    return experience_of(seen.cells.drop(bare).with_columns(*zero), keys, lexis, basis)


def _unmatched(
    own: pl.LazyFrame, hit: pl.DataFrame, met: pl.DataFrame, inside: pl.Expr
) -> pl.DataFrame:
    """The claims that were not placed, each with its reason."""
    known = met.lazy().select("_claim").unique()
    covered = hit.lazy().filter(inside).select("_claim")
    left = own.join(covered, on="_claim", how="anti").join(
        known.with_columns(_known=True), on="_claim", how="left"
    )
    reason = (
        pl.when(pl.col("incurred").is_null()).then(pl.lit(UNMATCHED[0]))
        .when(pl.col("_known").is_null()).then(pl.lit(UNMATCHED[1]))
        .when(~inside).then(pl.lit(UNMATCHED[2]))
        .otherwise(pl.lit(UNMATCHED[3]))
    )  # fmt: skip
    return left.with_columns(reason=reason).sort("_claim").drop("_claim", "_known").collect()


def _more(lexis: Lexis) -> list[str]:
    more = ["birth_date"] if "age" in lexis.dims else []
    return more + (["end", "exit_cause"] if lexis.target is not None else [])


def _filled(one: pl.DataFrame, other: pl.DataFrame) -> pl.DataFrame:
    missing = [n for n in other.columns if n not in one.columns]
    return one.with_columns(pl.lit(0, dtype=other.schema[n]).alias(n) for n in missing)


def _require_polars(**frames: object) -> None:
    faults = [
        f"{name} are a {type(frame).__name__}"
        for name, frame in frames.items()
        if not isinstance(frame, pl.DataFrame | pl.LazyFrame)
    ]
    if faults:
        raise InputError(
            "claims are placed by polars alone",
            faults=faults,
            do="give polars frames: read the files with pl.scan_parquet, or bring the rows of the "
            "policies with claims over (.pl() on DuckDB)",
        )


def _require(
    claims: pl.DataFrame | pl.LazyFrame,
    policies: pl.LazyFrame,
    amount: str | None,
    facts: Sequence[str],
) -> None:
    lazy = claims.lazy()
    schema, book = lazy.collect_schema(), policies.collect_schema()
    wanted = ["policy_id", "incurred", *([amount] if amount else [])]
    faults = [
        f"claims have no {n!r}{nearest(n, schema.names())}" for n in wanted if n not in schema
    ]
    faults += (
        []
        if "policy_id" in book
        else [f"policies have no 'policy_id'{nearest('policy_id', book.names())}"]
    )
    if not faults and schema["incurred"] != pl.Date:
        faults.append(f"'incurred' is {schema['incurred']}, not a date")
    if not faults and schema["policy_id"] != book["policy_id"]:
        faults.append(
            f"'policy_id' is {schema['policy_id']} in claims, {book['policy_id']} in policies"
        )
    if amount in {"policy_id", "incurred", *facts}:
        faults.append(f"the amount {amount!r} has the name of a column of the policies; rename it")
    elif not faults and amount and not schema[amount].is_numeric():
        faults.append(f"{amount!r} is {schema[amount]}, not an amount")
    if "incurred" in facts:
        faults.append("'incurred' is a column of the policies too; rename it there")
    if not faults and amount:
        value = pl.col(amount).cast(pl.Float64)
        bad = (
            lazy.select((~(value.is_finite() & (value >= 0)).fill_null(False)).sum())
            .collect()
            .item()
        )
        faults += [f"{amount!r} is null, not finite or negative in {bad:,} claims"] if bad else []
    if faults:
        raise InputError("claims that cannot be placed", faults=faults)
