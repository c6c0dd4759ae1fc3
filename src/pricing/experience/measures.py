"""Measures: what one row of experience adds to its cell, written once for every engine.

Each measure of a cell is the sum of these row quantities. They use plain arithmetic, logarithms
and when/then only, which polars, DuckDB and Spark all have and agree on. Whole numbers are added
as doubles, which is exact below 2⁵³, and come out whole again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import narwhals.stable.v2 as nw

__all__ = ["COUNTS_OF_CLAIMS", "MEASURES", "MEASURES_OF_AMOUNTS", "measured"]

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

MEASURES_OF_AMOUNTS = tuple(MEASURES)[tuple(MEASURES).index("amount") :]
COUNTS_OF_CLAIMS = ("claims", "claims_squared", "claims_nil", "claims_squared_nil")
SERIES_FROM = 9.0


def measured(
    frame: nw.LazyFrame[Any],
    keys: Sequence[str],
    exposure: str,
    claims: str,
    amount: str | None = None,
    sums: Sequence[str] = (),
) -> tuple[nw.LazyFrame[Any], dict[str, str], dict[str, str], list[str]]:
    """Write beside the keys what each row adds to the measures of its cell.

    Parameters
    ----------
    frame : narwhals.LazyFrame
        Rows of any engine.
    keys : sequence of str
        Columns to group by.
    exposure, claims, amount : str
        Columns of exposure (policy-years), number of claims and claim amount (currency).
    sums : sequence of str
        Further columns to add up; a name that is a measure already is not added twice.

    Returns
    -------
    narwhals.LazyFrame, dict of str to str, dict of str to str, list of str
        The quantities, all Float64; the names of key and of quantity columns, theirs = ours, for
        to most engines ``Rows`` and ``rows`` are one name; and which sums count whole things.
        A row outside its domain has an exposure of NaN, so that it is seen in the sum. ``rows`` are
        counted by who adds up.

    Examples
    --------
    >>> import polars as pl
    >>> rows = nw.from_native(pl.LazyFrame({"sex": ["f"], "e": [0.5], "n": [2]}))
    >>> quantities, keys, sums, whole = measured(rows, ["sex"], "e", "n")
    >>> quantities.rename(keys | sums).to_native().collect()["claims_squared_per_exposure"].item()
    8.0
    >>> whole
    ['claims', 'claims_squared']
    """
    schema = frame.collect_schema()
    groups = {f"k{i}": key for i, key in enumerate(keys)}
    e, n, a = (nw.col(name) for name in "ena")
    added: dict[str, nw.Expr] = {
        "exposure": e,
        "claims": n,
        "exposure_squared": e * e,
        "claims_exposure": n * e,
        "claims_squared": n * n,
        "claims_squared_per_exposure": n * nw.col("r"),
        "claims_log_rate": _where(n > 0, n * nw.col("r").log()),
        "log_likelihood_saturated": _where(n > 0, _log_likelihood_saturated(n)),
    }
    taken = {"e": exposure, "n": claims}
    if amount:
        taken["a"] = amount
        some, paid = n > 0, a > 0
        added |= {
            "amount": a,
            "amount_squared": a * a,
            "amount_exposure": a * e,
            "log_amount": _where(paid, a.log()),
            "amount_rows": _where(paid, nw.lit(1.0)),
            "amount_squared_per_exposure": a * a / e,
            "amount_claims": a * n,
            "amount_squared_per_claim": _where(some, a * a / n),
            "claims_log_severity": _where(some & paid, n * (a / n).log()),
            "claims_squared_per_amount": _where(paid, n * n / a),
            "log_amount_squared": _where(paid, a.log() * a.log()),
            "claim_rows": _where(some, nw.lit(1.0)),
            "claims_nil": _where(~paid, n),
            "claims_squared_nil": _where(~paid, n * n),
            "amount_without_claims": _where(~some, a),
        }
    counts = COUNTS_OF_CLAIMS if schema[claims].is_integer() else ()
    whole = [name for name in added if name in ("amount_rows", "claim_rows", *counts)]
    for i, name in enumerate(name for name in sums if name not in (*added, "rows")):
        taken[f"x{i}"] = name
        added[name] = nw.col(f"x{i}")
        whole += [name] if schema[name].is_integer() else []
    names = {f"s{i}": name for i, name in enumerate(added)}
    # in steps, for a step's columns are computed once on every engine, nested expressions are not
    quantities = (
        frame.select(
            **{k: nw.col(key) for k, key in groups.items()},
            **{name: nw.col(column).cast(nw.Float64) for name, column in taken.items()},
        )
        .with_columns(
            e=nw.when(_within(taken)).then(e).otherwise(nw.lit(math.nan)),
            r=n / e,
            z=nw.when(n < SERIES_FROM).then(n + SERIES_FROM).otherwise(n),
        )
        .with_columns(y=1.0 / (nw.col("z") * nw.col("z")), l=nw.col("z").log(), p=_product(n))
        .select(*groups, *(q.alias(s) for s, q in zip(names, added.values(), strict=True)))
    )
    return quantities, groups, names, whole


def _within(taken: Mapping[str, str]) -> nw.Expr:
    """Whether a row is in its domain; a column of whole numbers is finite when it is there."""
    bounds = [(nw.col(name) < math.inf) & (nw.col(name) >= 0.0) for name in taken if name != "e"]
    return reduce(lambda a, b: a & b, bounds, (nw.col("e") < math.inf) & (nw.col("e") > 0.0))


def _where(condition: nw.Expr, value: nw.Expr) -> nw.Expr:
    chosen: nw.Expr = nw.when(condition).then(value).otherwise(nw.lit(0.0))
    return chosen


def _product(n: nw.Expr) -> nw.Expr:
    """Give (n + 1)(n + 2)…(n + 8) = Γ(n + 9)/n!."""
    return reduce(lambda a, b: a * b, [n + float(k) for k in range(1, 9)])


def _log_likelihood_saturated(n: nw.Expr) -> nw.Expr:
    """Give n ln n − n − ln n! for n > 0, by Stirling's series (Abramowitz and Stegun 1964, 6.1.40).

    The series' next term is below 1e-13 from z = 9 on. There n ln n and n cancel in the formula,
    not in the figures: −½ ln 2πn − 1/12n + …; a smaller n is shifted up to z = n + 9, and the
    factors p between are divided out. With y = 1/z² and l = ln z.
    """
    z, y, log_z, p = nw.col("z"), nw.col("y"), nw.col("l"), nw.col("p")
    tail = (((-y / 1188.0 + 1.0 / 1680.0) * -y + 1.0 / 1260.0) * y - 1.0 / 360.0) * y + 1.0 / 12.0
    rest = 0.5 * math.log(2.0 * math.pi) + tail / z
    shifted = n * n.log() + SERIES_FROM + p.log() - (n + (SERIES_FROM - 0.5)) * log_z
    value: nw.Expr = nw.when(n < SERIES_FROM).then(shifted).otherwise(-0.5 * log_z) - rest
    return value
