"""Mack's standard errors of the chain ladder, by origin and in total.

The chain ladder is the best linear forecast when growth has E C(k+1) = f C(k) and Var C(k+1) = σ² C(k)
given the past, origins being independent. Its mean squared error is that of the process and that of the
factors; the latter is shared by all origins, so the total's error is more than that of independent ones.
Sources: Mack (1993), Distribution-free calculation of the standard error of chain ladder reserve
estimates, ASTIN Bulletin 23(2); Mack (1994), CAS Forum, spring; Mack (1999), ASTIN Bulletin 29(2), for
other averages and a tail.
"""

from __future__ import annotations

import warnings

import numpy as np

from pricing.errors import InputError
from pricing.reserving.development import (
    Average,
    Sigma,
    Tail,
    chainladder,
    fitted,
    said_options,
)
from pricing.reserving.triangle import Triangle
from pricing.reserving.ultimates import Ultimates, reserve_interval, ultimates

__all__ = ["mack"]


def mack(
    triangle: Triangle,
    *,
    measure: str = "amount",
    average: Average = "volume",
    last: int | None = None,
    sigma: Sigma = "mack",
    tail: Tail = 1.0,
    level: float = 0.95,
) -> Ultimates:
    """Project by chain ladder, with Mack's standard errors.

    Parameters
    ----------
    triangle : Triangle
        At least four origins, cumulative amounts of zero or more.
    measure, average, last, sigma, tail
        As for :func:`pricing.reserving.development.development_pattern`; the rule for the last σ moves
        the total error, so it stands in the basis and in the finding.
    level : float
        Of the interval of each ultimate: lognormal on what is to come (Mack 1993, section 5).

    Returns
    -------
    Ultimates
        With std_error, lower and upper by origin, and the total's in ``.facts``.

    Raises
    ------
    InputError
        For fewer than four origins, negative cumulative amounts, growth from nothing, of which the
        model has no variance, and what :func:`development_pattern` refuses.

    Examples
    --------
    >>> from datetime import date
    >>> import polars as pl
    >>> from pricing.reserving.triangle import claim_triangle
    >>> rows = pl.DataFrame([
    ...     {"incurred": date(2020 + i, 1, 1), "paid": date(2020 + i + j, 1, 1), "amount": 100.0 / (j + 1) + 3 * i * j}
    ...     for i in range(4) for j in range(4 - i)])
    >>> found = mack(claim_triangle(rows, valuation=date(2023, 12, 31), grain="year"))
    >>> round(found.ibnr, 2), round(found.std_error, 2)
    (205.57, 17.67)
    """
    values = triangle.cumulative(measure)
    size = values.shape[0]
    if size < 4:
        raise InputError(
            f"{size} origins are too few for Mack's errors: the last σ is drawn from two before it",
            do="take a finer grain, or odp_bootstrap",
        )
    if (values < 0).any():
        raise InputError(
            f"{int((values < 0).sum()):,} cumulative amounts are negative: Mack's variance is not defined",
            do="let recoveries stand with what they recover, or take a coarser grain",
        )
    born = int(((values[:, :-1] == 0) & (values[:, 1:] > 0)).sum())
    if born and average != "regression":
        raise InputError(
            f"{born:,} origins grow from nothing, which Mack's model gives no variance",
            do="take a coarser grain, or odp_bootstrap",
        )
    found = fitted(triangle, measure=measure, average=average, last=last, sigma=sigma, tail=tail)
    still = (found.sigma == 0) | ~np.isfinite(found.sigma)
    if sigma == "log-linear" and still[found.ratios > 1].any():
        raise InputError("σ is zero at some lags, which has no logarithm", do='take sigma="mack"')
    if not np.isfinite(found.sigma).all():
        raise InputError(
            f"σ is not known at {int((~np.isfinite(found.sigma)).sum()):,} of {size - 1:,} lags",
            do="take more of the latest origins (last=...), or odp_bootstrap",
        )
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        model = chainladder().MackChainladder().fit(found.model)
        # chainladder writes a zero as NaN; what is truly unknown has been refused above and below
        parts = [
            np.nan_to_num(np.array(risk.values[0, 0, :, -1], dtype=float), posinf=np.inf)
            for risk in (
                model.parameter_risk_,
                model.process_risk_,
                model.total_parameter_risk_,
                model.total_process_risk_,
            )
        ]
        error = np.hypot(parts[0], parts[1])
        total = float(np.hypot(parts[2], parts[3])[0])
        of_tail = [found.model.sigma_.values[0, 0, 0], found.model.std_err_.values[0, 0, 0]]
    unknown = tail != 1.0 and not all(np.isfinite(v[size - 1 :]).all() for v in of_tail)
    if unknown or not (np.isfinite(error).all() and np.isfinite(total)):
        raise InputError(
            "Mack's error of the tail is not known: it is drawn from the logarithms of σ and of f − 1",
            do="leave the tail out, or take odp_bootstrap",
        )
    latest = triangle.latest(measure)
    grown = found.to_ultimate[::-1]
    ultimate = latest * grown
    lower, upper = reserve_interval(latest, ultimate - latest, error, level)
    ends = reserve_interval(
        np.array([latest.sum()]), np.array([(ultimate - latest).sum()]), np.array([total]), level
    )
    said = {
        "kind": "mack", "level": level, "sigma": sigma, "std_error": error, "lower": lower,
        "upper": upper, "total": total, "total_lower": ends[0][0], "total_upper": ends[1][0],
    }  # fmt: skip
    notes = (
        *said_options(average, last, sigma, tail),
        f"standard errors: Mack (1993, 1999), last σ by the {sigma} rule",
    )
    return ultimates(
        triangle, "chain_ladder", latest, grown, ultimate, measure=measure, error=said, notes=notes
    )
