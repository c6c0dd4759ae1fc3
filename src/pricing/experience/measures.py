"""The sums a cell carries, each written once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import reduce

import polars as pl

__all__ = ["MEASURES", "measures"]

MEASURES: Mapping[str, str] = {
    "rows": "rows (person-years or parts of one)",
    "exposure": "Σe, policy-years",
    "claims": "Σn, number of claims",
    "exposure_squared": "Σe²",
    "claims_exposure": "Σne",
    "claims_squared": "Σn²",
    "claims_squared_per_exposure": "Σn²/e",
    "claims_log_rate": "Σn ln(n/e), with 0 ln 0 = 0",
    "log_likelihood_saturated": "Σ[n ln n − n − ln n!], the Poisson log-likelihood at μ = n",
    "amount": "Σ claim amount, currency",
    "amount_squared": "Σ amount², currency squared",
    "amount_exposure": "Σ amount·e, currency × policy-years",
    "log_amount": "Σ ln amount over rows with an amount above zero",
    "amount_rows": "rows with an amount above zero",
    "amount_squared_per_exposure": "Σ amount²/e, currency squared per policy-year",
    "amount_claims": "Σ amount·n, currency",
    "amount_squared_per_claim": "Σ amount²/n over rows with claims, currency squared",
    "claims_log_severity": "Σn ln(amount/n) over rows with claims and amount above zero",
    "claims_squared_per_amount": "Σn²/amount over rows with an amount above zero, per currency",
    "log_amount_squared": "Σ(ln amount)² over rows with an amount above zero",
    "claim_rows": "rows with claims",
    "claims_nil": "Σn over rows without an amount: claims that cost nothing",
    "claims_squared_nil": "Σn² over rows without an amount",
    "amount_without_claims": "Σ amount over rows without claims, currency",
}


def measures(
    schema: pl.Schema, exposure: str, claims: str, amount: str | None
) -> dict[str, pl.Expr]:
    """Write the sums of :data:`MEASURES` as expressions to group rows by.

    Parameters
    ----------
    schema : polars.Schema
        Types of the rows; whole claims are summed as integers, exactly.
    exposure, claims : str
        Columns of policy-years and of claim counts.
    amount : str or None
        Column of claim amounts, currency; its sums are left out without one.

    Examples
    --------
    >>> rows = pl.DataFrame({"exposure": [1.0, 0.5], "claims": [0, 2]})
    >>> sums = measures(rows.schema, "exposure", "claims", None)
    >>> rows.select(**sums).select("claims", "claims_squared_per_exposure").row(0)
    (2, 8.0)
    """
    e = pl.col(exposure).cast(pl.Float64)
    n = pl.col(claims).cast(pl.Int64 if schema[claims].is_integer() else pl.Float64)
    some = n > 0
    sums = {
        "rows": pl.len().cast(pl.Int64),
        "exposure": e.sum(),
        "claims": n.sum(),
        "exposure_squared": (e * e).sum(),
        "claims_exposure": (n * e).sum(),
        "claims_squared": (n * n).sum(),
        "claims_squared_per_exposure": (n * n / e).sum(),
        "claims_log_rate": pl.when(some).then(n * (n / e).log()).otherwise(0.0).sum(),
        "log_likelihood_saturated": pl.when(some)
        .then(n * n.cast(pl.Float64).log() - n - _log_factorial(n.cast(pl.Float64)))
        .otherwise(0.0)
        .sum(),
    }
    if amount:
        a = pl.col(amount).cast(pl.Float64)
        sums |= {
            "amount": a.sum(),
            "amount_squared": (a * a).sum(),
            "amount_exposure": (a * e).sum(),
            "log_amount": pl.when(a > 0).then(a.log()).otherwise(0.0).sum(),
            "amount_rows": (a > 0).sum().cast(pl.Int64),
            "amount_squared_per_exposure": (a * a / e).sum(),
            "amount_claims": (a * n).sum(),
            "amount_squared_per_claim": _where(some, a * a / n).sum(),
            "claims_log_severity": _where(some & (a > 0), n * (a / n).log()).sum(),
            "claims_squared_per_amount": _where(a > 0, n * n / a).sum(),
            "log_amount_squared": _where(a > 0, a.log() * a.log()).sum(),
            "claim_rows": some.sum().cast(pl.Int64),
            "claims_nil": _where(a > 0, 0, n).sum(),
            "claims_squared_nil": _where(a > 0, 0, n * n).sum(),
            "amount_without_claims": _where(some, 0.0, a).sum(),
        }
    return sums


def _where(test: pl.Expr, then: pl.Expr | float, otherwise: pl.Expr | float = 0.0) -> pl.Expr:
    return pl.when(test).then(then).otherwise(otherwise)


def _log_factorial(n: pl.Expr) -> pl.Expr:
    """Ln n! in plain arithmetic, which every engine has: Stirling's series at n + 9, shifted back.

    The series' next term is below 1e-13 at z = 9 (Abramowitz and Stegun 1964, 6.1.40).
    """
    z = n + 9.0
    product = reduce(lambda a, b: a * b, [n + float(k) for k in range(1, 9)])
    y = 1.0 / (z * z)
    tail = (((-y / 1188.0 + 1.0 / 1680.0) * -y + 1.0 / 1260.0) * y - 1.0 / 360.0) * y + 1.0 / 12.0
    return (z - 0.5) * z.log() - z + 0.5 * math.log(2.0 * math.pi) + tail / z - product.log()
