"""Who moves how: the outcomes of a year by latent risk, and by class where the tariff has classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import gammainc, gammaln, ndtr, ndtri, xlogy

from pricing.bonus_malus.mixing import Mixing, normal_mixing
from pricing.bonus_malus.scale import Scale, require_probabilities
from pricing.errors import InputError, nearest
from pricing.estimate.design import Floats

__all__ = [
    "Risk",
    "band_costs",
    "band_edges",
    "count_probabilities",
    "count_risk",
    "same_risk",
    "score_risk",
]


EXACT = 0.005  # of shares and costs that the points must reproduce


@dataclass(frozen=True, kw_only=True)
class Risk:
    """Kinds of lives: their weight, what they cost beside the mean, and what a year brings them.

    Parameters
    ----------
    weight : array, (kinds,)
        Shares of the book, adding to 1.
    index : array, (kinds,)
        Cost of the kind beside what the tariff expects of it; mean 1 over the book.
    outcomes : array, (kinds, outcomes)
        Probabilities of a year's outcomes.
    said : str
        What it is, for the basis of a result.

    Examples
    --------
    >>> import numpy as np
    >>> Risk(weight=np.array([1.0]), index=np.array([1.0]), outcomes=np.array([[0.5, 0.5]])).said
    ''
    """

    weight: Floats
    index: Floats
    outcomes: Floats
    said: str = ""

    def matrices(self, scale: Scale) -> Floats:
        """Transition matrices of the kinds on a scale."""
        if self.outcomes.shape[-1] != len(scale.outcomes):
            raise InputError(
                f"the risk has {self.outcomes.shape[-1]} outcomes, the scale {len(scale.outcomes)}"
            )
        return scale.matrix(self.outcomes)


def count_probabilities(rate: Floats | float, outcomes: int) -> Floats:
    """Poisson probabilities of 0, 1, …, and of the last number or more.

    Examples
    --------
    >>> count_probabilities(0.1, 3).round(6).tolist()
    [0.904837, 0.090484, 0.004679]
    """
    mu = np.asarray(rate, dtype=float)
    if not np.isfinite(mu).all() or (mu < 0).any():
        raise InputError("claim rates must be finite and zero or more")
    n = np.arange(outcomes - 1)
    each = np.exp(xlogy(n, mu[..., None]) - mu[..., None] - gammaln(n + 1))
    last = gammainc(outcomes - 1, mu) if outcomes > 1 else np.ones_like(mu)
    return np.concatenate([each, last[..., None]], axis=-1)


def count_risk(
    scale: Scale,
    mixing: Mixing,
    *,
    rate: float | None = None,
    classes: Mapping[str, tuple[float, float]] | None = None,
) -> Risk:
    """Lives whose claims are Poisson(λΘ), Θ latent with mean 1.

    Parameters
    ----------
    scale : Scale
        Driven by numbers of claims.
    mixing : Mixing
        Of Θ.
    rate : float, optional
        λ, claims a year, where the tariff has one class.
    classes : mapping of str to (rate, weight), optional
        λ and weight by class of the tariff; the scale then corrects what the tariff leaves.

    Returns
    -------
    Risk

    Raises
    ------
    InputError
        For a scale that is not driven by claims, a mean of Θ that is not 1, or rates and weights
        out of their domain.

    Examples
    --------
    >>> from pricing.bonus_malus.mixing import gamma_mixing
    >>> from pricing.bonus_malus.scale import count_scale
    >>> risk = count_risk(count_scale(6, malus="top"), gamma_mixing(0.8888), rate=0.1474)
    >>> risk.outcomes.shape, round(float(risk.weight @ risk.index), 9)
    ((64, 2), 1.0)
    """
    if not scale.counts:
        raise InputError("this scale is not driven by numbers of claims", do="use score_risk")
    if (rate is None) == (classes is None):
        raise InputError("give either one rate or classes, each with its rate and weight")
    if abs(mixing.mean - 1) > 1e-6:
        raise InputError(f"the risk factor must have mean 1, not {mixing.mean:.6g}")
    given = {"all": (rate, 1.0)} if classes is None else dict(classes)
    try:
        rates = np.array([r for r, _ in given.values()], dtype=float)
        weights = np.array([w for _, w in given.values()], dtype=float)
    except (TypeError, ValueError) as error:
        raise InputError(f"rates and weights must be numbers, a pair a class: {error}") from error
    if not (np.isfinite(rates) & (rates > 0)).all() or not len(rates):
        raise InputError(f"claim rates must be above zero, got {rates.tolist()}")
    if not (weights >= 0).all() or not 0 < weights.sum() < np.inf:
        raise InputError(f"weights must be zero or more, got {weights.tolist()}")
    theta, w = np.array(mixing.points), np.array(mixing.weights)
    return Risk(
        weight=np.outer(weights / weights.sum(), w).ravel(),
        index=np.tile(theta, len(rates)),
        outcomes=count_probabilities(np.outer(rates, theta).ravel(), len(scale.outcomes)),
        said=f"Poisson claims, {', '.join(f'{r:g}' for r in rates)} a year, risk factors with "
        f"variance {mixing.variance:.4g} on {len(theta)} points",
    )


def score_risk(
    scale: Scale, shares: Mapping[str, float], *, slope: float, reliability: float, points: int = 64
) -> Risk:
    """Lives whose target is the band in which a score of their latent health falls.

    Parameters
    ----------
    scale : Scale
        Driven by targets.
    shares : mapping of str to float
        Share of all lives by target, from the least healthy on; they add to 1.
    slope : float
        β of the cost exp(−βZ), Z standard normal latent health.
    reliability : float
        ρ in 0 to 1: the score has correlation √ρ with Z.
    points : int
        Points of the rule over Z.

    Returns
    -------
    Risk

    Notes
    -----
    S = √ρ Z + √(1 − ρ) ε; P(target h | Z) = Φ((b_h − √ρ Z)/√(1 − ρ)) − Φ((a_h − √ρ Z)/√(1 − ρ)).

    Examples
    --------
    >>> from pricing.bonus_malus.scale import target_scale
    >>> risk = score_risk(target_scale(["G0", "G1"]), {"G0": 0.3, "G1": 0.7}, slope=0.1, reliability=0.5)
    >>> (risk.weight @ risk.outcomes).round(9).tolist()
    [0.3, 0.7]
    """
    if scale.counts:
        raise InputError("this scale is driven by numbers of claims", do="use count_risk")
    for name in shares:
        if name not in scale.outcomes:
            raise InputError(f"{name!r} is no outcome{nearest(str(name), scale.outcomes)}")
    w = require_probabilities([shares.get(n, 0.0) for n in scale.outcomes], len(scale.outcomes))
    edges = band_edges(w)
    _require_score(slope, reliability)
    mixing = normal_mixing(points=points)
    z = np.array(mixing.points)
    index = np.exp(-slope * z - slope**2 / 2)
    outcomes = band_probabilities(z, edges, reliability)
    weight = np.array(mixing.weights)
    off = max(float(np.abs(weight @ outcomes - w).max()), abs(float(weight @ index) - 1))
    if off > EXACT:
        raise InputError(
            f"{points} points of latent health miss shares and costs by {off:.2g}",
            where=f"slope {slope:g}, reliability {reliability:g}",
            do="take more points; a score this reliable or a slope this steep needs them",
        )
    return Risk(
        weight=weight,
        index=index,
        outcomes=outcomes,
        said=f"bands of a health score of reliability {reliability:g}, cost exp(-{slope:g} Z)",
    )


def same_risk(scale: Scale, probabilities: Mapping[str, float]) -> Risk:
    """Lives that are all alike: the outcomes' probabilities as given.

    Examples
    --------
    >>> from pricing.bonus_malus.scale import target_scale
    >>> same_risk(target_scale(["a", "b"]), {"a": 0.25, "b": 0.75}).outcomes.tolist()
    [[0.25, 0.75]]
    """
    for name in probabilities:
        if name not in scale.outcomes:
            raise InputError(f"{name!r} is no outcome{nearest(str(name), scale.outcomes)}")
    p = np.array([[float(probabilities.get(name, 0.0)) for name in scale.outcomes]])
    require_probabilities(p, len(scale.outcomes))
    return Risk(weight=np.ones(1), index=np.ones(1), outcomes=p, said="lives all alike")


def band_edges(shares: Floats) -> Floats:
    """Edges of the bands of a standard normal score that hold these shares, from −∞ to ∞.

    Examples
    --------
    >>> import numpy as np
    >>> band_edges(np.array([0.5, 0.5])).tolist()
    [-inf, 0.0, inf]
    """
    w = require_probabilities(shares, len(shares))
    cumulative = np.concatenate([[0.0], np.cumsum(w)])
    cumulative[-1] = 1.0
    return np.asarray(ndtri(np.clip(cumulative, 0.0, 1.0)))


def band_probabilities(z: Floats, edges: Floats, reliability: float) -> Floats:
    """Probability of each band of the score, given latent health."""
    signal, noise = np.sqrt(reliability), np.sqrt(1 - reliability)
    if noise == 0:
        return np.diff((edges >= z[:, None]).astype(float), axis=1)
    return np.asarray(np.diff(ndtr((edges - signal * z[:, None]) / noise), axis=1))


def band_costs(shares: Floats, *, slope: float, reliability: float) -> Floats:
    """Mean cost by band of the score, beside the mean of all.

    Parameters
    ----------
    shares : array, (bands,)
        Share of lives by band, from the least healthy on, above zero.
    slope, reliability : float
        β and ρ of :func:`score_risk`.

    Returns
    -------
    array, (bands,)
        Means weighted by ``shares`` are 1.

    Notes
    -----
    E[exp(−βZ) | S in (a, b)] = exp(β²/2) [Φ(b + β√ρ) − Φ(a + β√ρ)] / [Φ(b) − Φ(a)], over exp(β²/2).

    Examples
    --------
    >>> import numpy as np
    >>> shares = np.array([0.10, 0.20, 0.30, 0.25, 0.15])
    >>> band_costs(shares, slope=0.10, reliability=0.5).round(4).tolist()
    [1.1298, 1.0602, 1.0068, 0.9553, 0.8941]
    """
    _require_score(slope, reliability)
    if not (np.asarray(shares) > 0).all():
        raise InputError("every band must hold a share above zero")
    edges = band_edges(shares)
    return np.asarray(np.diff(ndtr(edges + slope * np.sqrt(reliability))) / np.diff(ndtr(edges)))


def _require_score(slope: float, reliability: float) -> None:
    if not isinstance(slope, int | float | np.number) or not np.isfinite(slope):
        raise InputError(f"slope must be finite, got {slope!r}")
    if not isinstance(reliability, int | float | np.number) or not 0 <= reliability <= 1:
        raise InputError(f"reliability must lie in 0 to 1, got {reliability!r}")
