"""Adjusted rates: members beside others as they stand, and by a Poisson regression on who they are."""

from __future__ import annotations

import numpy as np

from pricing.causal.contrast import Contrast
from pricing.causal.nuisance import log_fit
from pricing.causal.people import People

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
    a = people.treated.astype(np.float64)
    x = np.column_stack([people.matrix, a])
    y, e = people.total, people.exposure
    beta = log_fit(x, y, e, ridge=0.0 if len(y) > 50 * x.shape[1] else 1e-9)
    mean = np.exp(x @ beta)
    bread = np.linalg.pinv((x * (e * mean)[:, None]).T @ x)
    own = x @ bread * (y - e * mean)[:, None]  # influence of a row on the coefficients
    outside = np.exp(people.matrix @ beta[:-1])
    behind = float(e.sum())
    rates, influences = [], []
    for side, rate in ((1.0, outside * np.exp(beta[-1])), (0.0, outside)):
        theta = float(e @ rate) / behind
        slope = np.append((e * rate) @ people.matrix, side * float(e @ rate)) / behind
        influences.append((e * rate - theta * e) / behind + own @ slope)
        rates.append(theta)
    return Contrast(rates[0], rates[1], influences[0], influences[1], people.person)
