"""Score residuals: what each row adds to the score of a partial likelihood, and errors that rest on them.

The residual of a row is the derivative of the weighted score by its weight, r = δ(x − x̄) − ∫ e^{xβ}(x − x̄)dΛ,
with Efron's share of the hazard for those who die together; V Σ(Σ_cluster w r)(Σ_cluster w r)ᵀ V is the
sandwich of Lin and Wei (1989, JASA 84), as R's survival has it with ``cluster``.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sps

from pricing.estimate.design import Floats
from pricing.survival.partial_likelihood import CoxFit
from pricing.survival.risk_sets import RiskSets

__all__ = ["residuals", "sandwich"]

NUMBERS = 4_000_000  # of residuals held in memory together


def residuals(fit: CoxFit, sets: RiskSets, first: int = 0, last: int | None = None) -> Floats:
    """Give the score residual of cells ``first`` to ``last``, unweighted, in coordinates z.

    Examples
    --------
    >>> import polars as pl
    >>> from pricing.survival.partial_likelihood import maximum
    >>> from pricing.survival.risk_sets import Spelling
    >>> rows = pl.DataFrame({"exit": [1, 2, 3, 4], "event": [1, 1, 1, 0], "age": [60, 40, 50, 45]})
    >>> sets = RiskSets.collect(rows, "age", Spelling())
    >>> bool(np.isclose(residuals(maximum(sets), sets).sum(), 0))
    True
    """
    at = fit.fitted
    q, mean_weight = at.sums, (sets.times["weight"] / sets.times["deaths"]).to_numpy()
    cumulative = np.append(0.0, np.cumsum(q["q0"]))
    steps = q["c2"][:, None] * at.s1 - q["c1"][:, None] * at.d1
    drift = np.vstack([np.zeros((1, steps.shape[1])), np.cumsum(steps, axis=0)])
    deaths = sets.times["deaths"].to_numpy()
    mean = (q["q0"][:, None] * at.s1 - q["q1"][:, None] * at.d1) / (mean_weight * deaths)[:, None]
    shared = q["c1"][:, None] * at.s1 - q["c0"][:, None] * at.d1
    cells = sets.cells[first:last]
    p, a, b = (cells[n].to_numpy() for n in ("p", "first", "last"))
    x, e = fit.z[p], at.relative[p]
    found = (drift[b] - drift[a] - (cumulative[b] - cumulative[a])[:, None] * x) * e[:, None]
    died = cells["d"].to_numpy()
    j = b[died] - 1
    own = x[died] - mean[j] + e[died, None] * (q["q1"][j, None] * x[died] - shared[j])
    found[died] += own
    return np.asarray(found)


def sandwich(fit: CoxFit, sets: RiskSets) -> tuple[Floats, int]:
    """Give the robust covariance of the coefficients and the number of clusters it rests on.

    Each life is a cluster where none are named.

    Examples
    --------
    >>> import polars as pl
    >>> from pricing.survival.partial_likelihood import maximum
    >>> from pricing.survival.risk_sets import Spelling
    >>> rows = pl.DataFrame({"exit": [1, 2, 3, 4], "event": [1, 1, 1, 0], "age": [60, 40, 50, 45]})
    >>> sets = RiskSets.collect(rows, "age", Spelling())
    >>> covariance, lives = sandwich(maximum(sets), sets)
    >>> lives, covariance.round(6).tolist()
    (4, [[0.007576]])
    """
    cells, width = sets.cells, fit.z.shape[1]
    clustered = "g" in cells.columns
    meat = np.zeros((width, width))
    number = round(float(cells["n"].sum()))
    if clustered:
        ranks = cells["g"].rank("dense").to_numpy().astype(np.int64) - 1
        number = int(ranks.max()) + 1
        sums = np.zeros((number, width))
    step = max(NUMBERS // width, 1)
    for first in range(0, cells.height, step):
        r = residuals(fit, sets, first, first + step)
        part = cells[first : first + step]
        if clustered:
            w, own = part["w"].to_numpy(), ranks[first : first + step]
            sums += sps.csr_matrix((w, (own, np.arange(len(w)))), shape=(number, len(w))) @ r
        else:
            meat += r.T @ (r * part["ww"].to_numpy()[:, None])
    if clustered:
        meat = sums.T @ sums
    meat = meat * np.outer(fit.scale, fit.scale)  # the residuals are in coordinates z
    return np.asarray(fit.covariance @ meat @ fit.covariance), number
