"""Life laws: how the logarithm of a lifetime scatters around its location.

ln T = μ + σε, so with z = (ln t − μ)/σ survival is a function of z alone. Each law says ln S(z) and the
log density of ε with their two derivatives, its quantiles and its mean (Kalbfleisch and Prentice, The
Statistical Analysis of Failure Time Data, 2nd ed. 2002, chapters 2 and 3).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import digamma, expit, gammaln, log_ndtr, ndtri

from pricing.estimate.design import Floats

__all__ = ["LAWS", "LifeLaw"]

Three = tuple[Floats, Floats, Floats]
HALF_LOG_2PI = 0.9189385332046727


@dataclass(frozen=True)
class LifeLaw(ABC):
    """One law of ε; ``scaled`` says that σ is estimated, else it is one."""

    name: ClassVar[str] = ""
    scaled: ClassVar[bool] = True

    @abstractmethod
    def log_survival(self, z: Floats) -> Three:
        """Give ln S(z) and its first two derivatives."""

    @abstractmethod
    def log_density(self, z: Floats) -> Three:
        """Logarithm of the density of ε at z and its first two derivatives."""

    @abstractmethod
    def quantile(self, share: float) -> float:
        """Give z by which a share has left."""

    @abstractmethod
    def log_mean(self, scale: float) -> tuple[float, float]:
        """Give ln E[T] at μ = 0, and its derivative by ln σ; infinite where there is no mean."""


class Weibull(LifeLaw):
    """S = exp(−eᶻ): hazards proportional, with the shape 1/σ."""

    name: ClassVar[str] = "weibull"

    def log_survival(self, z: Floats) -> Three:
        """−eᶻ."""
        e = -np.exp(np.minimum(z, 700.0))
        return e, e, e

    def log_density(self, z: Floats) -> Three:
        """Give z − eᶻ."""
        e = np.exp(np.minimum(z, 700.0))
        return z - e, 1 - e, -e

    def quantile(self, share: float) -> float:
        """Give ln(−ln(1 − share))."""
        return float(np.log(-np.log1p(-share)))

    def log_mean(self, scale: float) -> tuple[float, float]:
        """Give ln Γ(1 + σ)."""
        return float(gammaln(1 + scale)), float(scale * digamma(1 + scale))


class Exponential(Weibull):
    """S = exp(−eᶻ) with σ = 1: a constant hazard."""

    name: ClassVar[str] = "exponential"
    scaled: ClassVar[bool] = False


class LogNormal(LifeLaw):
    """S = Φ(−z)."""

    name: ClassVar[str] = "log_normal"

    def log_survival(self, z: Floats) -> Three:
        """Give ln Φ(−z), with Mills' ratio m: −m, −m(m − z)."""
        top = log_ndtr(-z)
        m = np.exp(-0.5 * z**2 - HALF_LOG_2PI - top)
        return top, -m, -m * (m - z)

    def log_density(self, z: Floats) -> Three:
        """−z²/2 − ln √2π."""
        return -0.5 * z**2 - HALF_LOG_2PI, -z, -np.ones_like(z)

    def quantile(self, share: float) -> float:
        """Φ⁻¹(share)."""
        return float(ndtri(share))

    def log_mean(self, scale: float) -> tuple[float, float]:
        """σ²/2."""
        return scale**2 / 2, scale**2


class LogLogistic(LifeLaw):
    """S = 1/(1 + eᶻ): odds proportional."""

    name: ClassVar[str] = "log_logistic"

    def log_survival(self, z: Floats) -> Three:
        """−ln(1 + eᶻ)."""
        p = expit(z)
        return -np.logaddexp(0.0, z), -p, -p * (1 - p)

    def log_density(self, z: Floats) -> Three:
        """Give z − 2 ln(1 + eᶻ)."""
        p = expit(z)
        return z - 2 * np.logaddexp(0.0, z), 1 - 2 * p, -2 * p * (1 - p)

    def quantile(self, share: float) -> float:
        """Give ln(share/(1 − share))."""
        return float(np.log(share / (1 - share)))

    def log_mean(self, scale: float) -> tuple[float, float]:
        """Give ln(πσ/sin πσ) below σ = 1; from there on the mean is infinite."""
        if scale >= 1:
            return float("inf"), float("nan")
        turn = np.pi * scale
        return float(np.log(turn / np.sin(turn))), float(1 - turn / np.tan(turn))


LAWS: Mapping[str, LifeLaw] = {
    law.name: law for law in (Weibull(), Exponential(), LogNormal(), LogLogistic())
}
