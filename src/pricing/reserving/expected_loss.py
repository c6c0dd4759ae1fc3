"""Expected loss: what exposure says an origin will come to, and its mixtures with what is known.

With C the latest of an origin, F its growth to ultimate, z = 1/F the part known and E an expected
ultimate:

* chain ladder            C·F, see :mod:`pricing.reserving.chain_ladder`
* expected loss           E = rate · exposure
* Bornhuetter–Ferguson    C + (1 − z)·E   (Bornhuetter and Ferguson 1972)
* Benktander              the same with E replaced by the Bornhuetter–Ferguson ultimate, once or more
                          (Benktander 1976; Mack 2000)
* Cape Cod                Bornhuetter–Ferguson with the rate ΣC / Σ exposure·z, here weighted by
                          closeness and trended (Bühlmann 1983; Gluck 1997)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import polars as pl

from pricing.errors import InputError
from pricing.reserving.chain_ladder import growth
from pricing.reserving.development import Average, Pattern, Tail
from pricing.reserving.exposure import require_first_days
from pricing.reserving.periods import MONTHS
from pricing.reserving.triangle import Floats, Triangle
from pricing.reserving.ultimates import Ultimates, ultimates

__all__ = ["benktander", "bornhuetter_ferguson", "cape_cod", "expected_loss"]


def expected_loss(
    triangle: Triangle,
    exposure: pl.DataFrame,
    *,
    rate: float | Sequence[float],
    measure: str = "amount",
) -> Ultimates:
    """Take the expected loss of every origin, whatever is known of it (loss ratio method).

    Parameters
    ----------
    triangle, measure
        What is known, to tell what is to come.
    exposure : polars.DataFrame
        ``origin`` (first day of each period) and one column of numbers: earned premium or
        policy-years.
    rate : float or sequence of float
        Expected loss per unit of exposure, for all origins or for each: a loss ratio.

    Examples
    --------
    >>> from datetime import date
    >>> from pricing.reserving.triangle import claim_triangle
    >>> rows = pl.DataFrame({"incurred": [date(2023, 1, 1)], "paid": [date(2023, 6, 1)], "amount": [60.0]})
    >>> seen = claim_triangle(rows, valuation=date(2023, 12, 31), grain="year")
    >>> premium = pl.DataFrame({"origin": [date(2023, 1, 1)], "premium": [200.0]})
    >>> expected_loss(seen, premium, rate=0.7).table.select("ultimate", "ibnr").rows()
    [(140.0, 80.0)]
    """
    units, expected = _expected(triangle, exposure, rate)
    return ultimates(
        triangle, "expected_loss", triangle.latest(measure), None, expected,
        exposure=units, expected=expected, measure=measure, notes=("ultimate: expected loss",),
    )  # fmt: skip


def bornhuetter_ferguson(
    triangle: Triangle,
    exposure: pl.DataFrame,
    *,
    rate: float | Sequence[float],
    measure: str = "amount",
    average: Average = "volume",
    last: int | None = None,
    tail: Tail = 1.0,
    pattern: Pattern | None = None,
) -> Ultimates:
    """Add the expected loss of what is not known yet to what is.

    Parameters
    ----------
    triangle, measure, average, last, tail, pattern
        As for :func:`chain_ladder`.
    exposure, rate
        As for :func:`expected_loss`.

    Examples
    --------
    >>> from datetime import date
    >>> from pricing.reserving.triangle import claim_triangle
    >>> rows = pl.DataFrame({"incurred": [date(2022, 1, 1)] * 2 + [date(2023, 1, 1)],
    ...     "paid": [date(2022, 6, 1), date(2023, 6, 1), date(2023, 6, 1)], "amount": [60.0, 40.0, 90.0]})
    >>> seen = claim_triangle(rows, valuation=date(2023, 12, 31), grain="year")
    >>> premium = pl.DataFrame({"origin": seen.origins, "premium": [150.0, 150.0]})
    >>> bornhuetter_ferguson(seen, premium, rate=0.8).table["ultimate"].round(6).to_list()
    [100.0, 138.0]
    """
    return benktander(
        triangle, exposure, rate=rate, iterations=1, measure=measure, average=average, last=last,
        tail=tail, pattern=pattern,
    )  # fmt: skip


def benktander(
    triangle: Triangle,
    exposure: pl.DataFrame,
    *,
    rate: float | Sequence[float],
    iterations: int = 2,
    measure: str = "amount",
    average: Average = "volume",
    last: int | None = None,
    tail: Tail = 1.0,
    pattern: Pattern | None = None,
) -> Ultimates:
    """Repeat Bornhuetter–Ferguson with its own answer as the expected loss.

    One iteration is Bornhuetter–Ferguson, infinitely many are the chain ladder; two give its
    answer a credibility of the part known (Mack 2000).

    Parameters
    ----------
    triangle, exposure, rate, measure, average, last, tail, pattern
        As for :func:`bornhuetter_ferguson`.
    iterations : int
        One or more.

    Examples
    --------
    >>> from datetime import date
    >>> from pricing.reserving.triangle import claim_triangle
    >>> rows = pl.DataFrame({"incurred": [date(2022, 1, 1)] * 2 + [date(2023, 1, 1)],
    ...     "paid": [date(2022, 6, 1), date(2023, 6, 1), date(2023, 6, 1)], "amount": [60.0, 40.0, 90.0]})
    >>> seen = claim_triangle(rows, valuation=date(2023, 12, 31), grain="year")
    >>> premium = pl.DataFrame({"origin": seen.origins, "premium": [150.0, 150.0]})
    >>> benktander(seen, premium, rate=0.8).table["ultimate"].round(6).to_list()
    [100.0, 145.2]
    """
    if not isinstance(iterations, int) or isinstance(iterations, bool) or iterations < 1:
        raise InputError(f"{iterations} iterations are none; give one or more")
    units, expected = _expected(triangle, exposure, rate)
    grown, notes = growth(triangle, measure, average, last, tail, pattern)
    latest, known = triangle.latest(measure), 1.0 / grown
    ultimate = expected
    for _ in range(iterations):
        ultimate = latest + (1.0 - known) * ultimate
    method = "bornhuetter_ferguson" if iterations == 1 else "benktander"
    notes = (
        (*notes, f"iterations of Bornhuetter–Ferguson: {iterations}") if iterations > 1 else notes
    )
    return ultimates(
        triangle,
        method,
        latest,
        grown,
        ultimate,
        measure=measure,
        exposure=units,
        expected=expected,
        notes=notes,
    )


def cape_cod(
    triangle: Triangle,
    exposure: pl.DataFrame,
    *,
    trend: float = 0.0,
    decay: float = 1.0,
    measure: str = "amount",
    average: Average = "volume",
    last: int | None = None,
    tail: Tail = 1.0,
    pattern: Pattern | None = None,
) -> Ultimates:
    """Estimate the expected loss per unit of exposure from the triangle itself, then use it.

    Origin i's rate is Σ_j C_j τ_ij d^|i−j| / Σ_j e_j z_j d^|i−j|, with z the part known, e the exposure,
    τ_ij = (1 + trend) to the years from j to i, and d the decay per period.

    Parameters
    ----------
    triangle, exposure, measure, average, last, tail, pattern
        As for :func:`bornhuetter_ferguson`.
    trend : float
        Growth of the loss per unit of exposure a year, as a fraction.
    decay : float
        Weight of an origin one period away: 1 pools all alike, 0 leaves each to itself (chain ladder).

    Examples
    --------
    >>> from datetime import date
    >>> from pricing.reserving.triangle import claim_triangle
    >>> rows = pl.DataFrame({"incurred": [date(2022, 1, 1)] * 2 + [date(2023, 1, 1)],
    ...     "paid": [date(2022, 6, 1), date(2023, 6, 1), date(2023, 6, 1)], "amount": [60.0, 40.0, 90.0]})
    >>> seen = claim_triangle(rows, valuation=date(2023, 12, 31), grain="year")
    >>> premium = pl.DataFrame({"origin": seen.origins, "premium": [150.0, 150.0]})
    >>> cape_cod(seen, premium).table["expected_ultimate"].round(6).to_list()
    [118.75, 118.75]
    """
    if not (-1 < trend < math.inf and 0 <= decay <= 1):
        raise InputError(f"a trend is above -1 and a decay within 0 and 1, got {trend} and {decay}")
    units, _ = _expected(triangle, exposure, 1.0)
    grown, notes = growth(triangle, measure, average, last, tail, pattern)
    latest = triangle.latest(measure)
    places = np.arange(latest.size)
    apart = places[:, None] - places[None, :]
    weights = np.power(float(decay), np.abs(apart))
    years = apart * MONTHS[triangle.grain] / 12.0
    base = weights @ (units / grown)
    if not (base > 0).all():
        raise InputError(
            f"{int((base <= 0).sum()):,} origins have no exposure that is developed",
            do="give exposure to the origins, or a decay above 0",
        )
    rates = (weights * (1.0 + trend) ** years) @ latest / base
    expected = rates * units
    ultimate = latest + (1.0 - 1.0 / grown) * expected
    notes = (*notes, f"Cape Cod: trend {trend:.6g} a year, decay {decay:.6g} a period")
    return ultimates(
        triangle,
        "cape_cod",
        latest,
        grown,
        ultimate,
        measure=measure,
        exposure=units,
        expected=expected,
        notes=notes,
    )


def _expected(
    triangle: Triangle, exposure: pl.DataFrame, rate: float | Sequence[float]
) -> tuple[Floats, Floats]:
    if not isinstance(exposure, pl.DataFrame) or "origin" not in exposure.columns:
        raise InputError("the exposure is no frame with a column 'origin' and one of numbers")
    values = [n for n, kind in exposure.schema.items() if n != "origin" and kind.is_numeric()]
    if len(values) != 1 or exposure.schema["origin"] != pl.Date:
        raise InputError(
            f"the exposure has columns {dict(exposure.schema)}",
            do="give 'origin' (date) and one column of numbers",
        )
    require_first_days(exposure["origin"], triangle.grain)
    origins = pl.DataFrame({"origin": triangle.origins})
    found = origins.join(exposure, on="origin", how="left", maintain_order="left")
    units = found[values[0]].cast(pl.Float64)
    faults = []
    if found.height != origins.height:
        faults.append("an origin stands in the exposure twice")
    bad = int((~(units.is_finite() & (units >= 0)).fill_null(False)).sum())
    if bad:
        faults.append(f"{bad:,} of {origins.height:,} origins have no exposure of zero or more")
    rates = np.asarray(rate, dtype=float)
    if rates.shape not in ((), (origins.height,)):
        faults.append(f"{rates.size:,} rates for {origins.height:,} origins")
    elif not (np.isfinite(rates).all() and (rates >= 0).all()):
        faults.append("a rate is not finite or negative")
    if faults:
        raise InputError(
            "exposure an expected loss cannot be made of",
            faults=faults,
            do="give each period's first day as 'origin', from "
            f"{triangle.origins[0]} to {triangle.origins[-1]}",
        )
    held = units.to_numpy()
    return held, held * rates
