"""Development of case reserves: what the reserves held turn into, lag by lag.

From lag k to the next, of the reserves O held p(k) = ΣP(k+1)/ΣO(k) is paid and q(k) = ΣO(k+1)/ΣO(k) is
held on; the reserves of each origin are run through these, and what is still held at the last lag is
taken to be paid as reserved. Claims not reported yet come in through p + q above 1. Sources: Marker and
Mohl (1980), Rating claims-made insurance policies; Friedland, Estimating Unpaid Claims Using Basic
Techniques (2010), chapter 12; 准备金进展法 in China.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from pricing.errors import InputError
from pricing.reserving.average_cost import require_alike
from pricing.reserving.triangle import Triangle
from pricing.reserving.ultimates import Ultimates, ultimates

__all__ = ["reserve_development"]


def reserve_development(
    paid: Triangle, incurred: Triangle, *, last: int | None = None
) -> Ultimates:
    """Run the case reserves of each origin off as earlier ones did.

    Parameters
    ----------
    paid, incurred : Triangle
        Of the same origins: ``amount="paid"`` and ``amount="incurred_change"`` of
        :func:`pricing.reserving.transactions.claim_transactions`. Incurred less paid is held.
    last : int, optional
        Only the latest so many origins of each lag.

    Returns
    -------
    Ultimates
        ``latest`` is what is paid; ``.frames["run_off"]``: lag, paid and held per unit of reserve.

    Raises
    ------
    InputError
        For triangles of different origins, one origin, reserves that are negative, and payments after
        a lag at which nothing was held.

    Examples
    --------
    >>> from datetime import date
    >>> from pricing.reserving.triangle import claim_triangle
    >>> rows = pl.DataFrame({"incurred": [date(2022, 1, 1)] * 2 + [date(2023, 1, 1)],
    ...     "day": [date(2022, 6, 1), date(2023, 6, 1), date(2023, 6, 1)], "paid": [60.0, 50.0, 80.0],
    ...     "incurred_change": [100.0, 10.0, 120.0]})
    >>> paid, incurred = (claim_triangle(rows, valuation=date(2023, 12, 31), grain="year", day="day",
    ...     amount=of) for of in ("paid", "incurred_change"))
    >>> reserve_development(paid, incurred).table["ultimate"].to_list()
    [110.0, 130.0]
    """
    require_alike(paid, incurred)
    size = len(paid.origins)
    if size < 2:
        raise InputError(
            "one origin period shows no development of reserves",
            do="take a finer grain, or expected_loss",
        )
    if last is not None and last < 1:
        raise InputError(f"the latest {last} origins are none; give one or more, or leave it out")
    moved, held = paid.incremental(), incurred.cumulative() - paid.cumulative()
    largest = float(np.nanmax(np.abs(incurred.cumulative())))
    held = np.where(np.abs(held) <= 1e-9 * largest, 0.0, held)
    if (held < 0).any():
        raise InputError(
            f"{int((held < 0).sum()):,} cells hold negative reserves: more is paid than incurred",
            do="make both triangles from claim_transactions",
        )
    rows, lags = np.indices((size, size - 1))
    used = (rows + lags < size - 1) & (rows + lags >= size - 1 - (last or size))
    before = np.where(used, held[:, :-1], 0.0).sum(axis=0)
    paid_after = np.where(used, moved[:, 1:], 0.0).sum(axis=0)
    held_after = np.where(used, held[:, 1:], 0.0).sum(axis=0)
    orphans = np.flatnonzero((before == 0) & ((paid_after != 0) | (held_after != 0)))
    if orphans.size:
        raise InputError(
            f"after lag {int(orphans[0])} claims move though nothing was held before "
            f"({orphans.size} such lags)",
            do="reserves must stand before they are paid: take another method or a coarser grain",
        )
    safe = np.where(before > 0, before, 1.0)
    share_paid, share_held = paid_after / safe, held_after / safe
    # what one unit held at each lag comes to: paid next, and what is held on, developed in turn
    worth = np.ones(size)
    for lag in range(size - 2, -1, -1):
        worth[lag] = share_paid[lag] + share_held[lag] * worth[lag + 1]
    at = size - 1 - np.arange(size)
    reserve = held[np.arange(size), at]
    latest = paid.latest()
    frames = {
        "run_off": pl.DataFrame(
            {
                "lag": pl.Series(range(size - 1), dtype=pl.Int32),
                "share_paid": share_paid,
                "share_held": share_held,
                "run_off_worth": worth[:-1],
            }
        )
    }
    return ultimates(
        paid, "reserve_development", latest, None, latest + reserve * worth[at], frames=frames,
        notes=("case reserves run off as earlier ones did; the last held is paid as reserved",),
    )  # fmt: skip
