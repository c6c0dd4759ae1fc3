"""Family: what every exponential family of a fit must say of itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pricing.estimate.design import Floats
from pricing.estimate.response import Response, Sums
from pricing.experience.cells import Experience

__all__ = ["Family"]


@dataclass(frozen=True)
class Family(ABC):
    """One family: variance V(μ), link, θ and κ of its deviance, and what its likelihood needs.

    ``scaled`` says that the dispersion φ is estimated (Pearson) and multiplies the model-based
    covariance; else it is one.
    """

    name: ClassVar[str] = ""
    link: ClassVar[str] = "log"
    scaled: ClassVar[bool] = True
    canonical: ClassVar[bool] = False

    def mean(self, eta: Floats) -> Floats:
        """μ = g⁻¹(η)."""
        with np.errstate(over="ignore"):
            return np.exp(eta)

    def predictor(self, mean: float) -> float:
        """η = g(μ)."""
        return float(np.log(mean))

    def slope(self, mean: Floats) -> Floats:
        """dμ/dη."""
        return mean

    @abstractmethod
    def variance(self, mean: Floats, unit: Floats) -> Floats:
        """V(μ)."""

    @abstractmethod
    def theta(self, mean: Floats, unit: Floats) -> Floats:
        """θ(μ) = ∫dμ/V."""

    @abstractmethod
    def kappa(self, mean: Floats, unit: Floats) -> Floats:
        """κ(μ) = ∫μ/V dμ."""

    def loss(self, mean: Floats, sums: Sums) -> float:
        """Half the deviance less its saturated term."""
        theta, kappa = self.theta(mean, sums.unit), self.kappa(mean, sums.unit)
        return float((kappa * sums.weight).sum() - (theta * sums.total).sum())

    def expected(self, mean: Floats, sums: Sums) -> Floats:
        """Weights of the expected information."""
        return sums.weight * self.slope(mean) ** 2 / self.variance(mean, sums.unit)

    def observed(self, mean: Floats, sums: Sums) -> Floats:
        """Weights of the observed information: −∂score/∂η."""
        return self.expected(mean, sums)

    def saturated(self, experience: Experience, response: Response) -> Floats | None:
        """Σw·s(y) by cell; None where the cells do not carry it."""
        return None

    def log_likelihood(
        self, experience: Experience, response: Response, deviance: float, rows: int
    ) -> tuple[float, int] | None:
        """Log-likelihood of the rows and how many parameters it has beside the coefficients."""
        return None

    def record(self) -> dict[str, object]:
        """What is saved of a family."""
        return {"family": self.name}
