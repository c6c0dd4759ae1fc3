"""Weighting: standardised outcomes, inverse probabilities, and both at once (doubly robust).

θ_a is the rate if everybody (ATE) or everybody who joined (ATT) had A = a, weighted by exposure.
Notation: Y outcome, E policy-years, π propensity, m_a expected rate on side a, w weight.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

import numpy as np

from pricing.causal.contrast import Contrast
from pricing.causal.nuisance import Nuisance
from pricing.causal.people import Flags, People
from pricing.errors import InputError, nearest
from pricing.estimate.design import Floats

__all__ = [
    "Target",
    "aipw",
    "balancing_weights",
    "inverse_probability",
    "overlapping",
    "standardised",
]

Target = Literal["ate", "att", "overlap"]


def overlapping(people: People, nuisance: Nuisance, trim: float) -> tuple[People, Nuisance, float]:
    """Keep the rows whose propensity lies in [trim, 1 − trim]: only they have somebody to be like.

    Returns
    -------
    People, Nuisance, float
        What is kept, and the share of exposure that is left out.

    Examples
    --------
    >>> import polars as pl
    >>> rows = pl.DataFrame({"in": [1, 0, 1, 0], "claims": [1, 0, 2, 0], "exposure": [1.0] * 4})
    >>> half = np.full(4, 0.5)
    >>> kept = overlapping(People.collect(rows, treated="in"), Nuisance(half, half, half), 0.01)
    >>> kept[2]
    0.0
    """
    if not 0 <= trim < 0.5:
        raise InputError(f"trim lies from 0 to below 0.5, got {trim}", where="trim")
    pi = nuisance.propensity
    kept = (pi >= trim) & (pi <= 1 - trim)
    if not (people.treated & kept).any() or not (~people.treated & kept).any():
        raise InputError(
            f"no member and other share a propensity between {trim:g} and {1 - trim:g}",
            do="who joins is all but decided by the factors: there is nobody to compare with",
        )
    left = 1 - float(people.exposure[kept].sum() / people.exposure.sum())
    if not left:
        return people, nuisance, 0.0
    return _only(people, kept), _only_nuisance(nuisance, kept), left


def balancing_weights(treated: Flags, propensity: Floats, target: Target = "ate") -> Floats:
    """Weigh each row so that both sides look like the target population.

    ATE: 1/π inside, 1/(1 − π) outside; ATT: 1 and π/(1 − π); overlap: 1 − π and π, which needs no
    trimming and balances means exactly for a logit (Li, Morgan and Zaslavsky 2018, JASA 113).

    Examples
    --------
    >>> balancing_weights(np.array([True, False]), np.array([0.2, 0.2])).tolist()
    [5.0, 1.25]
    """
    if target not in get_args(Target):
        raise InputError(f"no population {target!r}{nearest(str(target), get_args(Target))}")
    pi = np.clip(propensity, 1e-9, 1 - 1e-9)
    inside, outside = {
        "ate": (1 / pi, 1 / (1 - pi)),
        "att": (np.ones_like(pi), pi / (1 - pi)),
        "overlap": (1 - pi, pi),
    }[target]
    return np.asarray(np.where(treated, inside, outside))


def inverse_probability(people: People, nuisance: Nuisance, target: Target = "ate") -> Contrast:
    """Weigh each side to the target population and compare its rates (Hájek 1971).

    θ_a = Σ_{A=a} wY / Σ_{A=a} wE. Where the propensity is one logit on all rows, the error counts
    that it was estimated, which narrows it (Lunceford and Davidian 2004, Statistics in Medicine
    23); cross-fitted propensities are taken as known.

    Examples
    --------
    >>> import polars as pl
    >>> rows = pl.DataFrame({"in": [1, 1, 0, 0], "claims": [1, 0, 2, 0], "exposure": [1.0] * 4})
    >>> half = np.full(4, 0.5)
    >>> inverse_probability(People.collect(rows, treated="in"), Nuisance(half, half, half)).ratio
    0.5
    """
    a, y, e, pi = people.treated, people.total, people.exposure, nuisance.propensity
    weight = balancing_weights(a, pi, target)
    rates, influences = [], []
    for side, slope in zip((a, ~a), _weight_slopes(pi, target), strict=True):
        behind = float((weight * e)[side].sum())
        rate = float((weight * y)[side].sum()) / behind
        left = side * (y - rate * e)
        influence = weight * left / behind
        if nuisance.regressions is not None:
            influence = influence + nuisance.regressions[0].drift(slope * left / behind)
        rates.append(rate)
        influences.append(influence)
    return Contrast(rates[0], rates[1], influences[0], influences[1], people.person)


def standardised(people: People, nuisance: Nuisance, target: Target = "ate") -> Contrast:
    """Predict everybody inside and outside and compare (g-formula, Robins 1986).

    The error counts that the outcome models were estimated, so they must be regressions fitted to
    all rows (``folds=1``).

    Examples
    --------
    >>> import polars as pl
    >>> from pricing.causal.nuisance import fit_nuisance
    >>> rows = pl.DataFrame({"in": [1, 1, 0, 0], "claims": [1, 0, 2, 0], "exposure": [1.0] * 4})
    >>> people = People.collect(rows, treated="in")
    >>> round(standardised(people, fit_nuisance(people, folds=1)).ratio, 6)
    0.5
    """
    if nuisance.regressions is None:
        raise InputError(
            "predictions that are cross-fitted or boosted have no error of their own",
            do="fit regressions to all rows (folds=1), or use aipw",
        )
    e, pi = people.exposure, nuisance.propensity
    weight = e * _of(people, nuisance, target)
    behind = float(weight.sum())
    rates, influences = [], []
    for k, rate in enumerate((nuisance.treated_rate, nuisance.untreated_rate)):
        theta = float(weight @ rate) / behind
        rates.append(theta)
        influence = weight * (rate - theta) / behind
        influence = influence + nuisance.regressions[k + 1].drift(weight / behind)
        if target == "overlap":
            turned = (1 - 2 * pi) * e * (rate - theta) / behind
            influence = influence + nuisance.regressions[0].drift(turned)
        influences.append(influence)
    return Contrast(rates[0], rates[1], influences[0], influences[1], people.person)


def aipw(people: People, nuisance: Nuisance, target: Target = "ate") -> Contrast:
    """Augment predictions by the weighted errors of those seen: right if either model is.

    ATE: θ_a = Σ[E m_a + 1(A=a)(Y − E m_a)/P(A=a)] / ΣE (Robins, Rotnitzky and Zhao 1994); ATT:
    θ_1 = Σ AY/ΣAE, θ_0 = Σ[A E m_0 + (1 − A)π/(1 − π)(Y − E m_0)] / ΣAE. With cross-fitted models
    the influence function is the variance (Chernozhukov et al. 2018).

    Examples
    --------
    >>> import polars as pl
    >>> rows = pl.DataFrame({"in": [1, 1, 0, 0], "claims": [1, 0, 2, 0], "exposure": [1.0] * 4})
    >>> fitted = Nuisance(np.full(4, 0.5), np.full(4, 0.5), np.full(4, 1.0))
    >>> aipw(People.collect(rows, treated="in"), fitted).ratio
    0.5
    """
    a, y, e = people.treated.astype(np.float64), people.total, people.exposure
    whole = _of(people, nuisance, target)
    weight = balancing_weights(people.treated, nuisance.propensity, target)
    behind = float((whole * e).sum())
    rates, influences = [], []
    slopes = _weight_slopes(nuisance.propensity, target)
    for k, (side, rate) in enumerate(
        ((a, nuisance.treated_rate), (1 - a, nuisance.untreated_rate))
    ):
        parts = whole * e * rate + side * weight * (y - e * rate)
        theta = float(parts.sum()) / behind
        influence = (parts - theta * whole * e) / behind
        if nuisance.regressions is not None:
            ours, theirs = nuisance.regressions[0], nuisance.regressions[k + 1]
            turned = side * slopes[k] * (y - e * rate)
            if target == "overlap":
                turned = turned + (1 - 2 * nuisance.propensity) * e * (rate - theta)
            influence = influence + ours.drift(turned / behind)
            influence = influence + theirs.drift((whole - side * weight) * e / behind)
        rates.append(theta)
        influences.append(influence)
    return Contrast(rates[0], rates[1], influences[0], influences[1], people.person)


def _weight_slopes(propensity: Floats, target: Target) -> tuple[Floats, Floats]:
    """Derivatives of each side's weight in the propensity."""
    pi = np.clip(propensity, 1e-9, 1 - 1e-9)
    return {
        "ate": (-1 / pi**2, 1 / (1 - pi) ** 2),
        "att": (np.zeros_like(pi), 1 / (1 - pi) ** 2),
        "overlap": (-np.ones_like(pi), np.ones_like(pi)),
    }[target]


def _of(people: People, nuisance: Nuisance, target: Target) -> Floats:
    """How much of each row belongs to the target population."""
    if target == "ate":
        return np.ones(len(people.total))
    if target == "att":
        return people.treated.astype(np.float64)
    return nuisance.propensity * (1 - nuisance.propensity)


def _only(people: People, kept: Flags) -> People:
    codes = np.unique(people.person[kept], return_inverse=True)[1].astype(np.int64)
    return replace(
        people, treated=people.treated[kept], total=people.total[kept],
        exposure=people.exposure[kept], cell=people.cell[kept], person=codes,
    )  # fmt: skip


def _only_nuisance(nuisance: Nuisance, kept: Flags) -> Nuisance:
    regressions = None
    if nuisance.regressions is not None:
        first, inside, outside = (
            replace(r, cell=r.cell[kept], slope=r.slope[kept],
                    scores=tuple((left[kept], bread) for left, bread in r.scores))
            for r in nuisance.regressions
        )  # fmt: skip
        regressions = (first, inside, outside)
    return Nuisance(
        nuisance.propensity[kept], nuisance.treated_rate[kept], nuisance.untreated_rate[kept],
        regressions,
    )  # fmt: skip
