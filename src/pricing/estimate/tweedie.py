"""The density of a Tweedie amount, exactly, by its series.

For 1 < p < 2 an amount is a Poisson number of gamma claims. At zero the log-density is
−μ²⁻ᵖ/(φ(2 − p)); above, it is ln W − ln y + (yμ¹⁻ᵖ/(1 − p) − μ²⁻ᵖ/(2 − p))/φ with the series
W = Σ_j zʲ/(j! Γ(−αj)), α = (2 − p)/(1 − p), summed outwards from its largest term, which is at
j = y²⁻ᵖ/(φ(2 − p)) (Dunn and Smyth 2005, Statistics and Computing 15).
"""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln

from pricing.errors import InputError
from pricing.estimate.design import Floats

__all__ = ["log_density"]

MOST_TERMS = 20_000
REACH = 9.0  # standard deviations of the terms' bell around the largest: exp(−40) is left out


def log_density(amount: Floats, mean: Floats, dispersion: Floats, power: float) -> Floats:
    """Give the log-density of amounts per unit of exposure.

    Parameters
    ----------
    amount : array
        y, zero or more.
    mean, dispersion : array
        μ and φ of each; with exposure e as weight, φ/e.
    power : float
        p, between 1 and 2.

    Raises
    ------
    InputError
        For a power outside its domain, and a dispersion so small that the series is too long.

    Examples
    --------
    >>> one = np.ones(2)
    >>> log_density(np.array([0.0, 1.0]), one, one, 1.5).round(6).tolist()
    [-2.0, -1.028615]
    """
    if not 1 < power < 2:
        raise InputError(f"the power of a Tweedie density lies between 1 and 2, got {power}")
    zero = -(mean ** (2 - power)) / (dispersion * (2 - power))
    out: Floats = np.array(zero, dtype=np.float64)
    some = amount > 0
    y, mu, phi = amount[some], mean[some], dispersion[some]
    inside = (y * mu ** (1 - power) / (1 - power) - mu ** (2 - power) / (2 - power)) / phi
    out[some] = _log_series(y, phi, power) - np.log(y) + inside
    return out


def _log_series(y: Floats, phi: Floats, power: float) -> Floats:
    alpha = (2 - power) / (1 - power)
    log_z = (
        -alpha * np.log(y)
        + alpha * np.log(power - 1)
        - (1 - alpha) * np.log(phi)
        - np.log(2 - power)
    )
    top = np.maximum(np.round(y ** (2 - power) / (phi * (2 - power))), 1.0)
    terms = int(np.ceil(REACH * np.sqrt(top.max(initial=1.0) / (1 - alpha)))) + 25
    if terms > MOST_TERMS:
        raise InputError(
            f"the series of the density has more than {MOST_TERMS:,} terms",
            do="the dispersion is so small that amounts are all but gamma: fit power=2",
        )

    def term(j: Floats) -> Floats:
        return np.asarray(j * log_z - gammaln(j + 1) - gammaln(-alpha * j))

    peak = term(top)
    total = np.ones_like(y)
    for k in range(1, terms + 1):
        total += np.exp(term(top + k) - peak)
        below = top - k
        total += np.where(below >= 1, np.exp(term(np.maximum(below, 1.0)) - peak), 0.0)
    return np.asarray(peak + np.log(total))
