"""Two periods: those who join between them beside those who do not, by amount or by factor.

By amount the doubly robust estimator of Sant'Anna and Zhao (2020), Journal of Econometrics 219.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from scipy.special import expit

from pricing.causal.contrast import Contrast
from pricing.causal.nuisance import Regression, propensity_fit
from pricing.causal.people import Codes, Flags, added
from pricing.errors import InputError, nearest
from pricing.estimate.design import Floats

__all__ = ["Pair", "Trend", "contrast_of", "joining_odds", "two_periods"]

Trend = Literal["difference", "ratio"]
LARGEST = 0.995  # propensity above which a person who did not join counts for too much


@dataclass(frozen=True)
class Pair:
    """Before and after of the same people.

    Attributes
    ----------
    before, after, weight : array
        Outcome per policy-year in either period, and policy-years behind each person.
    treated : boolean array
        Joins between them.
    design, cell : array
        What is known before, by cell, and the cell of each person.
    """

    before: Floats
    after: Floats
    weight: Floats
    treated: Flags
    design: Floats
    cell: Codes


def two_periods(
    before: Floats,
    after: Floats,
    treated: Flags,
    *,
    matrix: Floats | None = None,
    weight: Floats | None = None,
    trend: Trend = "difference",
) -> Contrast:
    """Effect on those who join, from one year before and one after.

    Parameters
    ----------
    before, after : array
        Outcome per policy-year of each person in the two periods.
    treated : boolean array
        Joins between them.
    matrix : array, optional
        What is known before, with a constant; nothing where left out.
    weight : array, optional
        Policy-years behind each person.
    trend : {"difference", "ratio"}
        Without the programme both sides would have moved by the same amount given the factors
        (doubly robust), or by the same factor (weighted by the odds of joining only). Claims that
        grow by age and inflation move by a factor.

    Notes
    -----
    Difference: ΔY less its least-squares prediction from those who do not join, averaged over those
    who do and over the others at odds π/(1 − π); the influence function counts both models as
    estimated (Sant'Anna and Zhao 2020, eq. 3.1 and the traditional estimator of R's DRDID).
    The ratio's rate outside is P·N/B: P the joiners' rate before, N and B the others' weighted rates
    after and before.

    Examples
    --------
    >>> before, after = np.full(8, 100.0), np.array([50.0, 51.8] * 2 + [69.0, 69.6] * 2)
    >>> found = two_periods(before, after, np.arange(8) < 4)
    >>> round(found.difference, 6)
    -18.4
    """
    n = len(before)
    x = np.ones((n, 1)) if matrix is None else matrix
    w = np.ones(n) if weight is None else weight
    if trend not in get_args(Trend):
        raise InputError(f"no trend {trend!r}{nearest(str(trend), get_args(Trend))}")
    lengths = {len(before), len(after), len(treated), len(x), len(w)}
    if len(lengths) > 1:
        raise InputError(f"before, after, treated, matrix and weight differ in length: {lengths}")
    if not all(np.isfinite(v).all() for v in (before, after, x, w)) or (w < 0).any():
        raise InputError("outcomes, factors and weights are finite, weights zero or more")
    if treated.all() or not treated.any() or not (w[treated].sum() > 0 and w[~treated].sum() > 0):
        raise InputError("a comparison needs people of both sides", where="treated")
    pair = Pair(before, after, w, treated, x, np.arange(n))
    return contrast_of(pair, joining_odds(pair), trend)


def joining_odds(pair: Pair) -> Regression:
    """Fit the odds of joining: the weights of those who do not (its slope), zero for those who do.

    Examples
    --------
    >>> rate, joins = np.ones(4), np.array([True, False, False, False])
    >>> pair = Pair(rate, rate, np.ones(4), joins, np.ones((1, 1)), np.zeros(4, dtype=np.int64))
    >>> joining_odds(pair).slope.round(6).tolist()
    [0.0, 0.333333, 0.333333, 0.333333]
    """
    x, cell, w, d = pair.design, pair.cell, pair.weight, pair.treated
    weight, joined = added(w, cell, len(x)), added(w * d, cell, len(x))
    if x.shape[1] == 1:
        pi = np.full(len(x), joined.sum() / weight.sum())
    else:
        there = weight > 0
        beta = propensity_fit(x[there], joined[there] / weight[there], weight[there])
        pi = expit(x @ beta)
    pi = np.minimum(pi, LARGEST)
    bread = np.asarray(np.linalg.pinv((x * (weight * pi * (1 - pi))[:, None]).T @ x))
    odds = np.where(d, 0.0, w * (pi / (1 - pi))[cell])
    return Regression(x, cell, odds, ((w * (d - pi[cell]), bread),))


def contrast_of(pair: Pair, odds: Regression, trend: Trend) -> Contrast:
    """Compare those who join with the others at their odds, as :func:`two_periods`.

    Examples
    --------
    >>> joins = np.array([True, False, False])
    >>> pair = Pair(np.full(3, 2.0), np.array([3.0, 2.0, 2.0]), np.ones(3), joins, np.ones((1, 1)),
    ...     np.zeros(3, dtype=np.int64))
    >>> contrast_of(pair, joining_odds(pair), "difference").difference
    1.0
    """
    return (_difference if trend == "difference" else _ratio)(pair, odds)


def _difference(pair: Pair, odds: Regression) -> Contrast:
    x, cell, w, d = pair.design, pair.cell, pair.weight, pair.treated
    control = odds.slope
    change = pair.after - pair.before
    other = w * ~d
    bread = np.asarray(np.linalg.pinv((x * added(other, cell, len(x))[:, None]).T @ x))
    gamma = bread @ (added(other * change, cell, len(x)) @ x)
    left = change - (x @ gamma)[cell]
    line = Regression(x, cell, np.ones(len(w)), ((other * left, bread),))
    treat = w * d
    t, c = float(treat.sum()), float(control.sum())
    eta_t, eta_c = float(treat @ left) / t, float(control @ left) / c
    inside = (treat * (left - eta_t) - line.drift(treat)) / t
    outside = (control * (left - eta_c) + odds.drift(left - eta_c) - line.drift(control)) / c
    rate = float(treat @ pair.after) / t
    influence = treat * (pair.after - rate) / t
    effect = eta_t - eta_c
    return Contrast(
        rate, rate - effect, influence, influence - (inside - outside), np.arange(len(w))
    )


def _ratio(pair: Pair, odds: Regression) -> Contrast:
    treat = pair.weight * pair.treated

    def mean(weight: Floats, value: Floats) -> tuple[float, Floats]:
        whole = float(weight.sum())
        rate = float(weight @ value) / whole
        influence = weight * (value - rate) / whole
        if weight is odds.slope:
            influence = influence + odds.drift((value - rate) / whole)
        return rate, influence

    after, after_i = mean(treat, pair.after)
    before, before_i = mean(treat, pair.before)
    then, then_i = mean(odds.slope, pair.before)
    now, now_i = mean(odds.slope, pair.after)
    if not then > 0:
        raise InputError(
            "those who do not join have no claims before: their growth has no ratio",
            do='take trend="difference", or more people',
        )
    outside = before * now / then
    influence = (now * before_i + before * now_i - outside * then_i) / then
    return Contrast(after, outside, after_i, influence, np.arange(len(pair.weight)))
