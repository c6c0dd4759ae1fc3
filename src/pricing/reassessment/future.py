"""Future months: what a benefit stopped today would have cost until its natural review, death or exit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pricing.errors import InputError
from pricing.reassessment.domain import Floats

__all__ = ["future_months", "future_months_by_month", "past_months"]


def future_months(exit_rate: float | Floats, months: float | Floats, *, interest: float = 0.0) -> Floats:  # fmt: skip
    """Give the expected discounted months of benefit still to be paid, at one exit rate, closed form.

    Parameters
    ----------
    exit_rate : float or array
        Probability of leaving payment in a month (recovery reported and death together), 0 to 1.
    months : float or array
        Until the natural review, 0 or more; whole months are paid in advance, the part of a month
        that is left over in proportion.
    interest : float
        A year, above −1.

    Returns
    -------
    array
        ä = (1 − wⁿ) ÷ (1 − w) + (n's remainder)·wⁿ with w = (1 − exit_rate) ÷ (1 + interest)^{1/12}.

    Raises
    ------
    InputError
        For rates outside 0 to 1 and months below 0.

    Notes
    -----
    A benefit stopped at a visit is not paid from the next due date on, so the first month counts in
    full. At w = 1 the sum is n.

    Examples
    --------
    >>> float(future_months(0.0, 12.0)), float(future_months(0.02, 12.0, interest=0.025).round(6))
    (12.0, 10.648564)
    """
    q, n = np.broadcast_arrays(np.asarray(exit_rate, float), np.asarray(months, float))
    _require(q, n, interest)
    w = (1 - q) * (1 + interest) ** (-1 / 12)
    whole = np.floor(n + 1e-9)
    level = np.abs(1 - w) < 1e-12
    power = w**whole
    told = np.where(level, whole, (1 - power) / np.where(level, 1.0, 1 - w))
    return np.asarray(told + np.maximum(n - whole, 0.0) * power)


def future_months_by_month(
    exit_rates: Sequence[float] | Floats, months: float | Floats, *, interest: float = 0.0
) -> Floats:
    """Give the same by the exact monthly sum, for exit rates that change with time.

    Parameters
    ----------
    exit_rates : sequence of float, or array cases × months
        Probability of leaving in month 1, 2, ...; the last holds on.
    months : float or array
        As :func:`future_months`.
    interest : float
        A year.

    Examples
    --------
    >>> future_months_by_month([0.02], 12.0, interest=0.025).round(6).tolist()
    10.648564
    """
    rates = np.atleast_2d(np.asarray(exit_rates, dtype=np.float64))
    n = np.asarray(months, dtype=np.float64)
    _require(rates, n, interest)
    most = max(int(np.ceil(n.max(initial=0.0))), 1)
    place = np.minimum(np.arange(most), rates.shape[1] - 1)
    keep = np.cumprod(1 - rates[:, place], axis=1)
    alive = np.concatenate([np.ones((rates.shape[0], 1)), keep[:, :-1]], axis=1)
    alive = alive * (1 + interest) ** (-np.arange(most) / 12)
    paid = np.clip(np.atleast_1d(n)[:, None] - np.arange(most), 0.0, 1.0)
    total = (alive * paid).sum(axis=1)
    return np.asarray(total.reshape(n.shape) if total.size == n.size else total)


def past_months(probability: Floats, months: Floats, *, lookback: float) -> Floats:
    """Give the expected months paid in error so far, at most ``lookback``, if the case is ineligible.

    Parameters
    ----------
    probability : array
        That it is no longer eligible, 0 to below 1.
    months : array
        Since the last review.
    lookback : float
        Months that can be claimed back.

    Notes
    -----
    With p = 1 − e^{−x} after t months and a hazard that is level, eligibility was lost at a time whose
    law is the exponential cut at t; W = t − that time has
    E min(W, L) = [m − t (e^{−x(1 − m/t)} − e^{−x}) ÷ x] ÷ p with m = min(L, t), and m − m²/(2t) for
    small x.

    Examples
    --------
    >>> past_months(np.array([1e-12, 0.5]), np.array([12.0, 12.0]), lookback=99.0).round(4).tolist()
    [6.0, 6.6877]
    """
    p, t = np.broadcast_arrays(np.asarray(probability, float), np.asarray(months, float))
    m = np.minimum(lookback, t)
    safe = np.where(t > 0, t, 1.0)
    x = -np.log1p(-np.minimum(p, 1 - 1e-15))
    small = x < 1e-6
    y = np.where(small, 1.0, x)
    gone = -np.expm1(-y)
    exact = (m - safe * (np.exp(-y * (1 - m / safe)) - np.exp(-y)) / y) / gone
    return np.asarray(np.where(t > 0, np.where(small, m - m**2 / (2 * safe), exact), 0.0))


def _require(rates: Floats, months: Floats, interest: float) -> None:
    faults = []
    if not (np.isfinite(rates) & (rates >= 0) & (rates <= 1)).all():
        faults.append("exit rates are probabilities of a month, from 0 to 1")
    if not (np.isfinite(months) & (months >= 0)).all():
        faults.append("months are 0 or more and finite")
    if not (np.isfinite(interest) and interest > -1):
        faults.append(f"interest is a rate a year above -1, got {interest!r}")
    if faults:
        raise InputError("future months cannot be valued", faults=faults)
