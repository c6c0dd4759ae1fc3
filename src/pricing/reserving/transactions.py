"""Claim transactions: what moved on a claim, and when, from tables of claims and of payments.

A claim is reported, reserved, paid in one or several parts, perhaps recovered from, and settled. One
row per such movement makes every triangle: paid, incurred (paid and reserved), reported, settled.
"""

from __future__ import annotations

from typing import TypeVar

import polars as pl

from pricing.errors import InputError
from pricing.experience.domain import require_columns

__all__ = ["cap_transactions", "claim_transactions"]

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)
CENT = 0.005
MOVED = ("day", "paid", "incurred_change", "reported", "settled")


def claim_transactions(claims: Frame, payments: Frame | None = None) -> Frame:
    """Write one row per movement of each claim.

    Without ``payments`` a claim is one payment of its amount on its day of payment; while it is open
    its amount is outstanding and nothing is paid. The reserve stands from the day of report where
    there is one, for an open claim without one from the day it was incurred, and for a paid claim
    without one from the payment itself. With ``payments`` each of them is a movement, and a claim
    without any stays as above. Whatever comes in goes out: the paid amounts add up to those of the
    payments, the changes of incurred to the amounts of the claims.

    Parameters
    ----------
    claims : polars DataFrame or LazyFrame
        ``claim_id``, ``policy_id``, ``incurred`` (date), ``paid`` (date, null while open), ``amount``
        (paid or reserved, currency), ``reported`` (date, optional: for all claims or, as an empty
        column, for none); further columns go along.
    payments : polars DataFrame or LazyFrame, optional
        ``claim_id``, ``paid`` (date of the transaction), ``amount`` (currency, negative for a
        recovery), ``outstanding_change`` (change of the case reserve, currency, optional) and
        ``payment_id`` (optional). With ``outstanding_change`` the reserve is what the payments say;
        without it the claim's amount stands from its report on, and payments use it up.

    Returns
    -------
    polars DataFrame or LazyFrame
        ``claim_id``, ``policy_id``, further columns of the claims, ``incurred``, ``day``, ``paid``
        (currency), ``incurred_change`` (paid and change of outstanding), ``reported`` (1 on the
        claim's first row, else 0), ``settled`` (1 on the last row of a claim that is closed, else
        0); by claim and day.

    Raises
    ------
    InputError
        For columns that are missing or of the wrong type, claims twice, null dates and amounts,
        payments without a claim or before incurral, reports before incurral or after payment, and
        closed claims whose payments do not add up to their amount.

    Examples
    --------
    >>> from datetime import date
    >>> claims = pl.DataFrame({"claim_id": ["a", "b"], "policy_id": ["p", "q"],
    ...     "incurred": [date(2024, 1, 5), date(2024, 2, 1)], "paid": [date(2024, 3, 1), None],
    ...     "amount": [100.0, 80.0]})
    >>> claim_transactions(claims).select("claim_id", "day", "paid", "incurred_change").rows()
    [('a', datetime.date(2024, 3, 1), 100.0, 100.0), ('b', datetime.date(2024, 2, 1), 0.0, 80.0)]
    >>> parts = pl.DataFrame({"claim_id": ["a", "a"], "amount": [70.0, 30.0],
    ...     "paid": [date(2024, 2, 1), date(2024, 3, 1)]})
    >>> claim_transactions(claims, parts).select("claim_id", "paid", "settled").rows()
    [('a', 70.0, 0), ('a', 30.0, 1), ('b', 0.0, 0)]
    """
    lazy = claims.lazy()
    schema = lazy.collect_schema()
    if "reported" in schema and not lazy.select(pl.col("reported").count()).collect().item():
        lazy = lazy.drop("reported")  # an optional column of the contract that holds nothing
        schema = lazy.collect_schema()
    names = schema.names()
    _require(schema, ["claim_id", "policy_id"], ["incurred", "paid"], "amount", "claims")
    if "reported" in names:
        _require(schema, [], ["reported"], "amount", "claims")
    taken = {"day", "incurred_change", "settled"} & set(names)
    if taken:
        raise InputError(f"the claims have columns of ours: {', '.join(sorted(taken))}")
    known = lazy.with_columns(
        pl.col("amount").cast(pl.Float64),
        *(pl.col(n).cast(pl.Date) for n in ("incurred", "paid", "reported") if n in names),
    )
    known = known.rename({"paid": "_closed", "amount": "_amount"})
    known = known.rename({"reported": "_reported"}) if "reported" in names else known
    _require_claims(known, "_reported" if "reported" in names else None)
    further: list[str] = [n for n in names if n not in ("incurred", "paid", "amount", "reported")]
    heads = [*further, "incurred"]
    if payments is None:
        made = _alone(known, heads, "reported" in names)
    else:
        made = _with_payments(known, payments.lazy(), heads, "reported" in names)
    done = (
        made.sort("claim_id", "day", "_order", maintain_order=True)
        .with_columns(
            reported=(pl.col("claim_id") != pl.col("claim_id").shift(1)).fill_null(True),
            settled=(pl.col("claim_id") != pl.col("claim_id").shift(-1)).fill_null(True)
            & pl.col("_closed").is_not_null(),
        )
        .with_columns(pl.col("reported", "settled").cast(pl.Int8))
        .select(*heads, *MOVED)
    )
    return done if isinstance(claims, pl.LazyFrame) else done.collect()


def cap_transactions(transactions: Frame, cap: float) -> Frame:
    """Cut what each claim has been paid in all at a cap, payment by payment.

    Parameters
    ----------
    transactions : polars DataFrame or LazyFrame
        From :func:`claim_transactions`, in the order of each claim's days.
    cap : float
        Currency, above zero; may be infinite.

    Returns
    -------
    polars DataFrame or LazyFrame
        With ``paid_capped``: what the payment adds to min(paid so far, cap). A recovery below the
        cap takes back as much as it brings the claim under it.

    Raises
    ------
    InputError
        For a cap that is not above zero.

    Examples
    --------
    >>> from datetime import date
    >>> claims = pl.DataFrame({"claim_id": ["c"], "policy_id": ["p"], "incurred": [date(2024, 1, 5)],
    ...                        "paid": [date(2024, 3, 1)], "amount": [90.0]})
    >>> payments = pl.DataFrame({"claim_id": ["c"] * 3, "amount": [60.0, 40.0, -10.0],
    ...                          "paid": [date(2024, 2, 1), date(2024, 2, 9), date(2024, 3, 1)]})
    >>> cap_transactions(claim_transactions(claims, payments), 80.0)["paid_capped"].to_list()
    [60.0, 20.0, 0.0]
    """
    if not cap > 0:
        raise InputError(f"a cap must be above zero, got {cap}")
    so_far = pl.col("paid").cum_sum().over("claim_id")
    before = (so_far - pl.col("paid")).clip(upper_bound=cap)
    return transactions.with_columns(paid_capped=so_far.clip(upper_bound=cap) - before)


def _alone(known: pl.LazyFrame, heads: list[str], reported: bool) -> pl.LazyFrame:
    """One payment per closed claim, a report where there is one, a reserve for the open."""
    closed, amount = pl.col("_closed").is_not_null(), pl.col("_amount")
    paid = known.filter(closed).select(
        *heads,
        "_closed",
        day="_closed",
        paid=amount,
        incurred_change=pl.lit(0.0) if reported else amount,
        _order=pl.lit(1, pl.Int8),
    )
    opened = (known if reported else known.filter(~closed)).select(
        *heads,
        "_closed",
        day="_reported" if reported else "incurred",
        paid=pl.lit(0.0),
        incurred_change=amount,
        _order=pl.lit(0, pl.Int8),
    )
    return pl.concat([opened, paid])


def _with_payments(
    known: pl.LazyFrame, payments: pl.LazyFrame, heads: list[str], reported: bool
) -> pl.LazyFrame:
    schema = payments.collect_schema()
    _require(schema, ["claim_id"], ["paid"], "amount", "payments")
    held = pl.col("outstanding_change").count()  # an empty column of the contract is none
    own = "outstanding_change" in schema and bool(payments.select(held).collect().item())
    if own and not schema["outstanding_change"].is_numeric():
        raise InputError(
            f"payments: 'outstanding_change' is {schema['outstanding_change']}, not a number"
        )
    change = pl.col("outstanding_change").cast(pl.Float64) if own else pl.lit(0.0)
    parts = payments.select(
        "claim_id",
        day=pl.col("paid").cast(pl.Date),
        paid=pl.col("amount").cast(pl.Float64),
        _change=change,
    )
    moved = parts.join(known, on="claim_id", how="left", maintain_order="left")
    has = parts.group_by("claim_id").agg(_paid=pl.col("paid").sum(), _parts=pl.len())
    claims = known.join(has, on="claim_id", how="left")
    _require_payments(moved, claims)
    # a claim is opened by its report, or while it is open; then its amount stands from there on
    opens = pl.lit(True) if reported else pl.col("_closed").is_null()
    paid_change = pl.col("paid") + pl.col("_change")
    moved = moved.select(
        *heads,
        "_closed",
        "day",
        "paid",
        incurred_change=paid_change if own else pl.when(opens).then(0.0).otherwise(pl.col("paid")),
        _order=pl.lit(1, pl.Int8),
    )
    none = pl.col("_parts").is_null()
    lonely = _alone(claims.filter(none), heads, reported)
    opened = claims.filter(~none & opens).select(
        *heads,
        "_closed",
        day="_reported" if reported else "incurred",
        paid=pl.lit(0.0),
        incurred_change=pl.lit(0.0) if own else pl.col("_amount"),
        _order=pl.lit(0, pl.Int8),
    )
    if own and not reported:
        opened = opened.head(0)  # the payments themselves open the reserve
    return pl.concat([opened, lonely, moved])


def _require(schema: pl.Schema, ids: list[str], days: list[str], amount: str, table: str) -> None:
    require_columns([*ids, *days, amount], schema.names())
    faults = [
        f"{n!r} is {schema[n]}, not a date"
        for n in days
        if schema[n] not in (pl.Date, pl.Datetime, pl.Null)
    ]
    if not schema[amount].is_numeric():
        faults.append(f"{amount!r} is {schema[amount]}, not a number")
    if faults:
        raise InputError(
            "columns of the wrong type",
            where=table,
            faults=faults,
            do="make dates of text with .str.to_date(), or read the table through its contract",
        )


def _refuse(found: pl.DataFrame, said: dict[str, str], where: str, do: str) -> None:
    counts, of = found.row(0, named=True), found["_rows"].item()
    faults = [f"{text}: {counts[n]:,} of {of:,}" for n, text in said.items() if counts[n]]
    if faults:
        raise InputError("rows that make no transactions", where=where, faults=faults, do=do)


def _require_claims(known: pl.LazyFrame, reported: str | None) -> None:
    amount = pl.col("_amount")
    counts = {
        "claim": pl.col("claim_id").is_null().sum(),
        "twice": pl.len() - pl.col("claim_id").n_unique(),
        "incurred": pl.col("incurred").is_null().sum(),
        "amount": (~amount.is_finite()).fill_null(True).sum(),
        "early": (pl.col("_closed") < pl.col("incurred")).sum(),
    }
    said = {
        "claim": "'claim_id' is null",
        "twice": "'claim_id' stands there before",
        "incurred": "'incurred' is null",
        "amount": "'amount' is null or not finite",
        "early": "'paid' is before 'incurred'",
    }
    if reported:
        counts |= {
            "unreported": pl.col(reported).is_null().sum(),
            "before": (pl.col(reported) < pl.col("incurred")).sum(),
            "after": (pl.col(reported) > pl.col("_closed")).sum(),
        }
        said |= {
            "unreported": "'reported' is null",
            "before": "'reported' is before 'incurred'",
            "after": "'reported' is after 'paid'",
        }
    found = known.select(_rows=pl.len(), **counts).collect(engine="streaming")
    if not found["_rows"].item():
        raise InputError("there are no claims", do="check the source and the filters")
    _refuse(found, said, "claims", "hold the claims against their contract (pricing check)")


def _require_payments(moved: pl.LazyFrame, claims: pl.LazyFrame) -> None:
    unknown = pl.col("incurred").is_null()
    found = moved.select(
        _rows=pl.len(),
        unknown=unknown.sum(),
        day=pl.col("day").is_null().sum(),
        amount=(~pl.col("paid").is_finite()).fill_null(True).sum(),
        change=(~pl.col("_change").is_finite()).fill_null(True).sum(),
        early=(pl.col("day") < pl.col("incurred")).sum(),
    ).collect(engine="streaming")
    said = {
        "unknown": "'claim_id' is no claim's",
        "day": "'paid' is null",
        "amount": "'amount' is null or not finite",
        "change": "'outstanding_change' is null or not finite",
        "early": "'paid' is before the claim's 'incurred'",
    }
    _refuse(found, said, "payments", "give payments and claims of the same book and period")
    gap = (pl.col("_paid") - pl.col("_amount")).filter(pl.col("_closed").is_not_null())
    unequal = claims.select(_rows=pl.len(), off=(gap.abs() > CENT).sum(), by=gap.sum()).collect(
        engine="streaming"
    )
    count, by = unequal["off"].item(), unequal["by"].item()
    if count:
        raise InputError(
            f"the payments of {count:,} closed claims do not add up to their amounts; "
            f"together they are {by:+,.2f} off",
            where="payments",
            do="give every payment and recovery of a claim, or mend its amount",
        )
