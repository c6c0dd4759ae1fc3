"""Adjusted rates: members beside others as they stand, and by a Poisson regression on who they are."""

from __future__ import annotations

import numpy as np

from pricing.causal.contrast import Contrast
from pricing.causal.nuisance import log_fit
from pricing.causal.people import People, added

__all__ = ["naive", "regression"]


def naive(people: People) -> Contrast:
    """Compare members with others as they stand: association, whoever joined.

    θ_a = Σ_{A=a} Y / Σ_{A=a} E.

    Examples
    --------
    >>> import polars as pl
    >>> rows = pl.DataFrame({"in": [1, 1, 0, 0], "claims": [1, 0, 2, 0], "exposure": [1.0] * 4})
    >>> naive(People.collect(rows, treated="in")).ratio
    0.5
    """
    a, y, e = people.treated, people.total, people.exposure
    rates, influences = [], []
    for side in (a, ~a):
        behind = float(e[side].sum())
        rate = float(y[side].sum()) / behind
        rates.append(rate)
        influences.append(side * (y - rate * e) / behind)
    return Contrast(rates[0], rates[1], influences[0], influences[1], people.person)


def regression(people: People) -> Contrast:
    """Compare members with others of the same factors by one Poisson regression on both.

    log rate = Xβ + αA; the ratio e^α is the same for all, so it is also the ratio of the rates
    standardised to all rows. Robust to any variance (Gourieroux, Monfort and Trognon 1984,
    Econometrica 52), clustered by person; right only if the regression is.

    Examples
    --------
    >>> import polars as pl
    >>> rows = pl.DataFrame({"in": [1, 1, 0, 0], "claims": [1, 0, 2, 0], "exposure": [1.0] * 4})
    >>> round(regression(People.collect(rows, treated="in")).ratio, 6)
    0.5
    """
    y, e, cell, cells = people.total, people.exposure, people.cell, len(people.design)
    sides = np.repeat([0.0, 1.0], cells)  # every cell outside, then every cell inside
    x = np.column_stack([np.tile(people.design, (2, 1)), sides])
    at = cell + cells * people.treated
    total, weight = added(y, at, 2 * cells), added(e, at, 2 * cells)
    seen = weight > 0
    ridge = 0.0 if len(y) > 50 * x.shape[1] else 1e-9
    beta = log_fit(x[seen], total[seen], weight[seen], ridge=ridge)
    mean = np.exp(x @ beta)
    bread = np.linalg.pinv((x * (weight * mean)[:, None]).T @ x)
    left = y - e * mean[at]
    outside = mean[:cells]
    everybody = weight[:cells] + weight[cells:]
    behind = float(e.sum())
    rates, influences = [], []
    for side, rate in ((1.0, outside * np.exp(beta[-1])), (0.0, outside)):
        held = everybody * rate
        theta = float(held.sum()) / behind
        slope = np.append(held @ people.design, side * held.sum()) / behind
        own = left * (x @ (bread @ slope))[at]  # influence through the coefficients
        influences.append((e * rate[cell] - theta * e) / behind + own)
        rates.append(theta)
    return Contrast(rates[0], rates[1], influences[0], influences[1], people.person)
