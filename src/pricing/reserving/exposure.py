"""Exposure behind a triangle: what is refused, and what is put in the order of its origins."""

from __future__ import annotations

import numpy as np
import polars as pl

from pricing.errors import InputError
from pricing.reserving.periods import Grain, first_day, period_of
from pricing.reserving.triangle import Floats, Triangle

__all__ = ["exposure_behind", "require_first_days"]


def exposure_behind(triangle: Triangle, exposure: pl.DataFrame) -> Floats:
    """Exposure in the order of the triangle's origins; zero before the first given.

    Examples
    --------
    >>> from datetime import date
    >>> from pricing.reserving.triangle import claim_triangle
    >>> paid = pl.DataFrame({"incurred": [date(2024, 1, 5)], "paid": [date(2024, 1, 9)], "amount": 9.0})
    >>> triangle = claim_triangle(paid, valuation=date(2024, 2, 29))
    >>> given = pl.DataFrame({"origin": [date(2024, 2, 1), date(2024, 1, 1)], "exposure": [3, 2]})
    >>> exposure_behind(triangle, given).tolist()
    [2.0, 3.0]
    """
    if not isinstance(exposure, pl.DataFrame):
        raise InputError(f"the exposure is a {type(exposure).__name__}, not a DataFrame",
                         do="collect it")  # fmt: skip
    lacking = [n for n in ("origin", "exposure") if n not in exposure.columns]
    if lacking:
        raise InputError(f"the exposure lacks {lacking}", do="give origin and exposure")
    if exposure.schema["origin"] != pl.Date or not exposure.schema["exposure"].is_numeric():
        raise InputError("origin must be a date and exposure a number", where="exposure")
    given = exposure.select("origin", pl.col("exposure").cast(pl.Float64))
    value = pl.col("exposure")
    counts = given.select(
        twice=pl.col("origin").is_duplicated().sum(),
        none=pl.col("origin").is_null().sum(),
        bad=(~(value.is_finite() & (value >= 0)).fill_null(False)).sum(),
    ).row(0, named=True)
    faults = [
        f"{what} in {counts[name]:,} of {given.height:,} rows"
        for name, what in (
            ("twice", "an origin is given twice"),
            ("none", "the origin is null"),
            ("bad", "the exposure is null, negative or not finite"),
        )
        if counts[name]
    ]
    if faults:
        raise InputError("exposure that cannot be used", faults=faults)
    require_first_days(given["origin"], triangle.grain)
    origins = pl.DataFrame({"origin": triangle.origins}, schema={"origin": pl.Date})
    both = origins.join(given, on="origin", how="left", maintain_order="left")
    some = np.flatnonzero(both["exposure"].fill_null(0.0).to_numpy() > 0)
    if not some.size:
        raise InputError("no origin of the triangle has exposure", do="name origins by first day")
    after = both[int(some[0]) :]
    if after["exposure"].null_count():
        missing = after.filter(pl.col("exposure").is_null())["origin"]
        raise InputError(
            f"{missing.len()} origins have no exposure, such as {missing[0]}",
            do="give every period from the first with exposure to the valuation",
        )
    found: Floats = both["exposure"].fill_null(0.0).to_numpy()
    return found


def require_first_days(days: pl.Series, grain: Grain) -> None:
    """Refuse exposure of finer periods, or by other days: it would be left out in silence.

    Examples
    --------
    >>> from datetime import date
    >>> require_first_days(pl.Series([date(2024, 1, 1), date(2024, 2, 1)]), "quarter")
    Traceback (most recent call last):
    pricing.errors.InputError: 1 of 2 origins of the exposure are not the first day of a quarter, ...
      do: add the exposure up by quarter and name each by its first day
    """
    within = [day for day in days if day and day != first_day(period_of(day, grain), grain)]
    if within:
        raise InputError(
            f"{len(within):,} of {days.len():,} origins of the exposure are not the first day of a "
            f"{grain}, such as {within[0]}",
            do=f"add the exposure up by {grain} and name each by its first day",
        )
