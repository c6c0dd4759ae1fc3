"""Average cost per claim: how many claims there will be, times what one will cost.

Numbers N and amounts C develop apart: the number by its own chain ladder, the average A = C/N by factors
Σ N(k)·A(k+1) / Σ N(k)·A(k), each average weighing as many claims as it is made of. An ultimate is the one
times the other. Source: Friedland, Estimating Unpaid Claims Using Basic Techniques (2010), chapter 11
(frequency-severity, development of both); 案均赔款法 in China.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from pricing.errors import InputError
from pricing.reserving.development import Average, Tail, fitted, said_options
from pricing.reserving.triangle import Floats, Triangle
from pricing.reserving.ultimates import Ultimates, ultimates

__all__ = ["average_cost"]


def average_cost(
    amounts: Triangle,
    counts: Triangle,
    *,
    average: Average = "volume",
    last: int | None = None,
    tail: Tail = 1.0,
    measure: str = "amount",
) -> Ultimates:
    """Project number and average cost of claims apart, and multiply them.

    Parameters
    ----------
    amounts : Triangle
        Paid or incurred, currency.
    counts : Triangle
        Of the same origins, grain and valuation: ``amount="reported"`` or ``"settled"``.
    average, last, tail
        Of the numbers, as for :func:`pricing.reserving.development.development_pattern`; ``last`` holds
        for the averages too.
    measure : {"amount", "payments"}
        What ``counts`` counts: the sum of its amounts, or its rows.

    Returns
    -------
    Ultimates
        ``.frames["claims"]``: origin, claims so far, claims ultimate, average cost so far and ultimate.

    Raises
    ------
    InputError
        For triangles of different origins, and what
        :func:`pricing.reserving.development.development_pattern` refuses.

    Examples
    --------
    >>> from datetime import date
    >>> from pricing.reserving.triangle import claim_triangle
    >>> rows = pl.DataFrame({"incurred": [date(2022, 1, 1)] * 2 + [date(2023, 1, 1)],
    ...     "paid": [date(2022, 6, 1), date(2023, 6, 1), date(2023, 6, 1)], "amount": [60.0, 90.0, 100.0],
    ...     "reported": [2, 1, 2]})
    >>> paid, number = (claim_triangle(rows, valuation=date(2023, 12, 31), grain="year", amount=of)
    ...     for of in ("amount", "reported"))
    >>> average_cost(paid, number).frames["claims"].select("ultimate_claims", "average_cost_ultimate").rows()
    [(3.0, 50.0), (3.0, 83.33...)]
    """
    require_alike(amounts, counts)
    numbers, values = counts.cumulative(measure), amounts.cumulative()
    found = fitted(counts, measure=measure, average=average, last=last, tail=tail)
    if (np.nan_to_num(numbers) < 0).any():
        raise InputError(
            "the numbers of claims are negative somewhere", do="count reports, not corrections"
        )
    bare = int(((numbers == 0) & (values != 0)).sum())
    if bare:
        raise InputError(
            f"{bare:,} cells have an amount and no claim",
            do="count a claim from its first payment or reserve on, at the latest",
        )
    size = numbers.shape[0]
    means = np.divide(values, numbers, out=np.zeros_like(values), where=numbers > 0)
    factors = _severity_factors(numbers, means, last)
    growth = np.cumprod(np.append(factors, 1.0)[::-1])
    latest_count, latest = counts.latest(measure), amounts.latest()
    count = latest_count * found.to_ultimate[::-1]
    so_far = means[np.arange(size), size - 1 - np.arange(size)]
    cost = so_far * growth
    frames = {
        "claims": pl.DataFrame(
            {
                "origin": amounts.origins,
                "claims": latest_count,
                "ultimate_claims": count,
                "average_cost_known": so_far,
                "average_cost_ultimate": cost,
            }
        )
    }
    notes = (*said_options(average, last, None, tail), "ultimate: claims × average cost")
    return ultimates(
        amounts, "average_cost", latest, None, count * cost, frames=frames, notes=notes
    )


def require_alike(one: Triangle, other: Triangle) -> None:
    """Refuse triangles that are not of the same periods.

    Examples
    --------
    >>> from datetime import date
    >>> from pricing.reserving.triangle import claim_triangle
    >>> rows = pl.DataFrame({"incurred": [date(2022, 1, 1)], "paid": [date(2022, 6, 1)], "amount": [6.0]})
    >>> year, month = (claim_triangle(rows, valuation=date(2022, 12, 31), grain=g) for g in ("year", "month"))
    >>> require_alike(year, month)
    Traceback (most recent call last):
    pricing.errors.InputError: triangles of different periods
      - grain: year and month
      do: make both with the same grain, valuation and start
    """
    faults = [
        f"{name}: {one.details[name]} and {other.details[name]}"
        for name in ("grain", "valuation", "first")
        if one.details[name] != other.details[name]
    ]
    if faults:
        raise InputError(
            "triangles of different periods",
            faults=faults,
            do="make both with the same grain, valuation and start",
        )


def _severity_factors(numbers: Floats, means: Floats, last: int | None) -> Floats:
    size = numbers.shape[0]
    rows, lags = np.indices((size, size - 1))
    used = (rows + lags < size - 1) & (rows + lags >= size - 1 - (last or size))
    weight = np.where(used, numbers[:, :-1], 0.0)
    before = (weight * np.where(used, means[:, :-1], 0.0)).sum(axis=0)
    after = (weight * np.where(used, means[:, 1:], 0.0)).sum(axis=0)
    bad = np.flatnonzero((before <= 0) | (after <= 0))
    if bad.size:
        raise InputError(
            f"by lag {int(bad[0])} the claims have cost nothing together: no average grows from there "
            f"({bad.size} such lags)",
            do="take incurred amounts, or a coarser grain",
        )
    factors: Floats = after / before
    return factors
