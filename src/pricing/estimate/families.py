"""Families of generalised linear models, each a small class with its variance function.

The score of a mean μ is w(y − μ)/V(μ): linear in the response, so cells give the row-level fit
(McCullagh and Nelder 1989, section 2.2). A deviance is 2Σw[s(y) − yθ(μ) + κ(μ)], θ = ∫dμ/V,
κ = ∫μ/V dμ: θ and κ need only Σw and Σwy; s(y), the saturated term, needs a sum of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl
from scipy.optimize import brentq
from scipy.special import digamma, gammaln

from pricing.errors import InputError
from pricing.estimate.design import Floats
from pricing.estimate.family import Family
from pricing.estimate.response import Response, Sums
from pricing.experience.cells import Experience

__all__ = [
    "Binomial",
    "ComplementaryLogLog",
    "Gamma",
    "InverseGaussian",
    "NegativeBinomial",
    "Normal",
    "Poisson",
    "QuasiPoisson",
    "Tweedie",
    "alike",
    "read_family",
    "saturated_amount",
]


@dataclass(frozen=True)
class Poisson(Family):
    """V(μ) = μ."""

    name: ClassVar[str] = "poisson"
    scaled: ClassVar[bool] = False
    canonical: ClassVar[bool] = True

    def variance(self, mean: Floats, unit: Floats) -> Floats:
        """V(μ) = μ."""
        return mean

    def theta(self, mean: Floats, unit: Floats) -> Floats:
        """θ = ln μ."""
        return np.log(mean)

    def kappa(self, mean: Floats, unit: Floats) -> Floats:
        """κ = μ."""
        return mean

    def saturated(self, experience: Experience, response: Response) -> Floats | None:
        """Σ[n ln(n/e) − n]."""
        if response.name != "frequency":
            return None
        return experience.values("claims_log_rate") - experience.values("claims")

    def log_likelihood(
        self, experience: Experience, response: Response, deviance: float, rows: int
    ) -> tuple[float, int] | None:
        """Of counts."""
        if response.name != "frequency":
            return None
        return float(experience.values("log_likelihood_saturated").sum()) - deviance / 2, 0


@dataclass(frozen=True)
class QuasiPoisson(Poisson):
    """V(μ) = φμ: the coefficients of Poisson, its errors times √φ; no likelihood."""

    name: ClassVar[str] = "quasi_poisson"
    scaled: ClassVar[bool] = True

    def log_likelihood(
        self, experience: Experience, response: Response, deviance: float, rows: int
    ) -> tuple[float, int] | None:
        """None: a quasi-likelihood is not one."""
        return None


@dataclass(frozen=True)
class NegativeBinomial(Family):
    """NB2: Var n = eλ + α(eλ)².

    The score (n − eλ)/(1 + αeλ) depends on each row's exposure. Where all rows of a cell have one
    exposure the cells are exact. Else the cell's e is taken as Σe²/Σe: an unbiased estimating
    equation with row-exact robust errors, but not the maximum of the row likelihood.
    """

    alpha: float = 1.0
    estimated: bool = False
    name: ClassVar[str] = "negative_binomial"
    scaled: ClassVar[bool] = False

    def variance(self, mean: Floats, unit: Floats) -> Floats:
        """V(λ) = λ(1 + αeλ), per policy-year."""
        return mean * (1 + self.alpha * unit * mean)

    def theta(self, mean: Floats, unit: Floats) -> Floats:
        """θ = ln(λ/(1 + αeλ))."""
        return np.log(mean) - np.log1p(self.alpha * unit * mean)

    def kappa(self, mean: Floats, unit: Floats) -> Floats:
        """κ = ln(1 + αeλ)/(αe)."""
        return np.log1p(self.alpha * unit * mean) / (self.alpha * unit)

    def observed(self, mean: Floats, sums: Sums) -> Floats:
        """λ(E + αeY)/(1 + αeλ)²."""
        au = self.alpha * sums.unit
        return mean * (sums.weight + au * sums.total) / (1 + au * mean) ** 2

    def saturated(self, experience: Experience, response: Response) -> Floats | None:
        """Σ[n ln(n/(e(1 + αn))) − ln(1 + αn)/α], where the rows of a cell are alike."""
        if not alike(experience, claims=True):
            return None
        rows, a = experience.values("rows"), self.alpha
        n, e = experience.values("claims") / rows, experience.values("exposure") / rows
        some = np.where(n > 0, n, 1.0)
        return rows * (n * np.log(some / (e * (1 + a * n))) - np.log1p(a * n) / a)

    def log_likelihood(
        self, experience: Experience, response: Response, deviance: float, rows: int
    ) -> tuple[float, int] | None:
        """Of counts, where the rows of a cell are alike."""
        if not alike(experience, claims=True):
            return None
        count, k = experience.values("rows"), 1 / self.alpha
        n, e = experience.values("claims") / count, experience.values("exposure") / count
        own = gammaln(n + k) - gammaln(k) - gammaln(n + 1) + n * np.log(self.alpha * e)
        saturated = self.saturated(experience, response)
        top = 0.0 if saturated is None else float(saturated.sum())
        return float((count * own).sum()) + top - deviance / 2, int(self.estimated)

    def record(self) -> dict[str, object]:
        """Family and α."""
        return {"family": self.name, "alpha": self.alpha, "estimated": self.estimated}


@dataclass(frozen=True)
class Tweedie(Family):
    """V(μ) = μᵖ; 1 < p < 2 is a compound Poisson of gamma claims (Jørgensen 1987).

    The saturated term depends on p, so the cells carry it only where it was asked for
    (:func:`saturated_amount`); without it there are differences of deviances, but no deviance.
    """

    power: float = 1.5
    name: ClassVar[str] = "tweedie"

    def variance(self, mean: Floats, unit: Floats) -> Floats:
        """V(μ) = μᵖ."""
        return mean**self.power

    def theta(self, mean: Floats, unit: Floats) -> Floats:
        """θ = μ¹⁻ᵖ/(1 − p)."""
        return mean ** (1 - self.power) / (1 - self.power)

    def kappa(self, mean: Floats, unit: Floats) -> Floats:
        """κ = μ²⁻ᵖ/(2 − p)."""
        return mean ** (2 - self.power) / (2 - self.power)

    def observed(self, mean: Floats, sums: Sums) -> Floats:
        """(2 − p)Wμ²⁻ᵖ + (p − 1)Yμ¹⁻ᵖ."""
        p = self.power
        return (2 - p) * sums.weight * mean ** (2 - p) + (p - 1) * sums.total * mean ** (1 - p)

    def saturated(self, experience: Experience, response: Response) -> Floats | None:
        """Σe(a/e)²⁻ᵖ/((1 − p)(2 − p)), where the cells carry it."""
        name = _saturated_name(self.power)
        if response.name != "pure_premium" or name not in experience.cells.columns:
            return None
        return experience.values(name) / ((1 - self.power) * (2 - self.power))

    def record(self) -> dict[str, object]:
        """Family and power."""
        return {"family": self.name, "power": self.power}


@dataclass(frozen=True)
class Gamma(Tweedie):
    """V(μ) = μ²."""

    power: float = 2.0
    name: ClassVar[str] = "gamma"

    def theta(self, mean: Floats, unit: Floats) -> Floats:
        """θ = −1/μ."""
        return -1 / mean

    def kappa(self, mean: Floats, unit: Floats) -> Floats:
        """κ = ln μ."""
        return np.log(mean)

    def saturated(self, experience: Experience, response: Response) -> Floats | None:
        """−Σn − Σn ln(a/n)."""
        if response.name == "row_amount":
            return -experience.values("amount_rows") - experience.values("log_amount")
        if response.name != "severity":
            return None
        return -experience.values("claims") - experience.values("claims_log_severity")

    def log_likelihood(
        self, experience: Experience, response: Response, deviance: float, rows: int
    ) -> tuple[float, int] | None:
        """With φ by maximum likelihood, ln k − ψ(k) = D/2n at k = 1/φ; one claim a row only."""
        if not _single(experience, response) or not deviance > 0:
            return None
        half = deviance / (2 * rows)
        k = brentq(lambda x: _log_above_digamma(x) - half, 1e-6, 1e16, xtol=1e-14, rtol=1e-14)
        logs = float(experience.values("log_amount").sum())
        return rows * _log_above_gamma(k) - logs - k * deviance / 2, 1

    def record(self) -> dict[str, object]:
        """Family."""
        return {"family": self.name}


LARGE_SHAPE = (
    1e4  # from here the first terms of Stirling's series are exact, the differences are not
)


def _log_above_digamma(k: float) -> float:
    """Excess ln k − ψ(k), which goes to 1/2k: the difference has no digits left at large k."""
    if k > LARGE_SHAPE:
        return 1 / (2 * k) + 1 / (12 * k**2)
    return float(np.log(k) - digamma(k))


def _log_above_gamma(k: float) -> float:
    """Excess k·ln k − k − ln Γ(k), by Stirling at large k."""
    if k > LARGE_SHAPE:
        return float(np.log(k / (2 * np.pi))) / 2 - 1 / (12 * k)
    return float(k * np.log(k) - k - gammaln(k))


@dataclass(frozen=True)
class InverseGaussian(Tweedie):
    """V(μ) = μ³."""

    power: float = 3.0
    name: ClassVar[str] = "inverse_gaussian"

    def saturated(self, experience: Experience, response: Response) -> Floats | None:
        """½Σn²/a."""
        if response.name != "severity":
            return None
        return experience.values("claims_squared_per_amount") / 2

    def log_likelihood(
        self, experience: Experience, response: Response, deviance: float, rows: int
    ) -> tuple[float, int] | None:
        """With φ = D/n, its maximum; one claim a row only."""
        if not _single(experience, response) or not deviance > 0:
            return None
        logs = float(experience.values("log_amount").sum())
        return -0.5 * (rows * (np.log(2 * np.pi * deviance / rows) + 1) + 3 * logs), 1

    def record(self) -> dict[str, object]:
        """Family."""
        return {"family": self.name}


@dataclass(frozen=True)
class Normal(Family):
    """V = 1 with the identity link; of ln amounts, the log-normal model."""

    name: ClassVar[str] = "log_normal"
    link: ClassVar[str] = "identity"
    canonical: ClassVar[bool] = True

    def mean(self, eta: Floats) -> Floats:
        """μ = η."""
        return eta

    def predictor(self, mean: float) -> float:
        """η = μ."""
        return mean

    def slope(self, mean: Floats) -> Floats:
        """One."""
        return np.ones_like(mean)

    def variance(self, mean: Floats, unit: Floats) -> Floats:
        """One."""
        return np.ones_like(mean)

    def theta(self, mean: Floats, unit: Floats) -> Floats:
        """θ = μ."""
        return mean

    def kappa(self, mean: Floats, unit: Floats) -> Floats:
        """κ = μ²/2."""
        return mean**2 / 2

    def saturated(self, experience: Experience, response: Response) -> Floats | None:
        """½Σ(ln a)²."""
        return experience.values(response.total_squared) / 2

    def log_likelihood(
        self, experience: Experience, response: Response, deviance: float, rows: int
    ) -> tuple[float, int] | None:
        """Of the amounts (not of their logs), with σ² = D/n, its maximum."""
        if not deviance > 0:
            return None
        logs = float(experience.values("log_amount").sum())
        return -0.5 * rows * (np.log(2 * np.pi * deviance / rows) + 1) - logs, 1


@dataclass(frozen=True)
class Binomial(Family):
    """V(μ) = μ(1 − μ) with the logit link; each row is one trial."""

    name: ClassVar[str] = "binomial"
    link: ClassVar[str] = "logit"
    scaled: ClassVar[bool] = False
    canonical: ClassVar[bool] = True

    def mean(self, eta: Floats) -> Floats:
        """μ = 1/(1 + exp(−η))."""
        return 1 / (1 + np.exp(-np.clip(eta, -700, 700)))

    def predictor(self, mean: float) -> float:
        """η = ln(μ/(1 − μ))."""
        return float(np.log(mean / (1 - mean)))

    def slope(self, mean: Floats) -> Floats:
        """μ(1 − μ)."""
        return mean * (1 - mean)

    def variance(self, mean: Floats, unit: Floats) -> Floats:
        """μ(1 − μ)."""
        return mean * (1 - mean)

    def expected(self, mean: Floats, sums: Sums) -> Floats:
        """Wμ(1 − μ)."""
        return sums.weight * mean * (1 - mean)

    def theta(self, mean: Floats, unit: Floats) -> Floats:
        """θ = ln(μ/(1 − μ))."""
        return np.log(mean) - np.log1p(-mean)

    def kappa(self, mean: Floats, unit: Floats) -> Floats:
        """κ = −ln(1 − μ)."""
        return -np.log1p(-mean)

    def saturated(self, experience: Experience, response: Response) -> Floats | None:
        """Nothing: each row is all or none."""
        return np.zeros(experience.cells.height)

    def log_likelihood(
        self, experience: Experience, response: Response, deviance: float, rows: int
    ) -> tuple[float, int] | None:
        """−D/2."""
        return -deviance / 2, 0


@dataclass(frozen=True)
class ComplementaryLogLog(Binomial):
    """V(μ) = μ(1 − μ) with the link ln(−ln(1 − μ)): hazards of a period under proportional hazards.

    Prentice and Gloeckler (1978), Biometrics 34: the coefficients are those of the hazard in
    continuous time, whatever the length of the period.
    """

    name: ClassVar[str] = "binomial_cloglog"
    link: ClassVar[str] = "cloglog"
    canonical: ClassVar[bool] = False

    def mean(self, eta: Floats) -> Floats:
        """μ = 1 − exp(−exp(η)), short of one by rounding at most."""
        return np.asarray(-np.expm1(-np.exp(np.clip(eta, -700, 3.6))))

    def predictor(self, mean: float) -> float:
        """η = ln(−ln(1 − μ))."""
        return float(np.log(-np.log1p(-mean)))

    def slope(self, mean: Floats) -> Floats:
        """−(1 − μ) ln(1 − μ)."""
        return -(1 - mean) * np.log1p(-mean)

    def expected(self, mean: Floats, sums: Sums) -> Floats:
        """W a²(1 − μ)/μ with a = −ln(1 − μ)."""
        return np.asarray(sums.weight * np.log1p(-mean) ** 2 * (1 - mean) / mean)

    def observed(self, mean: Floats, sums: Sums) -> Floats:
        """Wa²(1 − μ)/μ − (Y − Wμ)(a/μ)(1 − a(1 − μ)/μ)."""
        ratio = -np.log1p(-mean) / mean
        bent = ratio * (1 - self.slope(mean) / mean)
        return sums.weight * self.slope(mean) * ratio - (sums.total - sums.weight * mean) * bent


def saturated_amount(
    power: float, *, exposure: str = "exposure", amount: str = "amount"
) -> pl.Expr:
    """Write e(a/e)²⁻ᵖ of a row: with it among ``sums=`` the cells carry a Tweedie deviance.

    Parameters
    ----------
    power : float
        p, between 1 and 2.
    exposure, amount : str
        Columns of policy-years and of claim amounts.

    Examples
    --------
    >>> rows = pl.DataFrame({"exposure": [2.0], "amount": [8.0]})
    >>> rows.select(saturated_amount(1.5))
    shape: (1, 1)
    ┌──────────────────────┐
    │ amount_saturated_1.5 │
    │ ---                  │
    │ f64                  │
    ╞══════════════════════╡
    │ 4.0                  │
    └──────────────────────┘
    """
    if not 1 < power < 2:
        raise InputError(f"the power of a Tweedie model lies between 1 and 2, got {power}")
    e, a = (pl.col(c).cast(pl.Float64) for c in (exposure, amount))
    return (e * (a / e) ** (2 - power)).alias(_saturated_name(power))


def alike(experience: Experience, *, claims: bool = False) -> bool:
    """Whether all rows of a cell have one exposure and, if asked, one number of claims.

    Examples
    --------
    >>> rows = pl.DataFrame({"a": ["x", "x"], "exposure": [1.0, 1.0], "claims": [0, 1]})
    >>> seen = Experience.collect(rows, ["a"])
    >>> alike(seen), alike(seen, claims=True)
    (True, False)
    """
    rows = experience.values("rows")
    names = ("exposure", "claims") if claims else ("exposure",)
    pairs = [(experience.values(n), experience.values(f"{n}_squared")) for n in names]
    return all(
        bool(np.all(rows * squared - total**2 <= 1e-9 * rows * squared)) for total, squared in pairs
    )


def _saturated_name(power: float) -> str:
    return f"amount_saturated_{power:g}"


def _single(experience: Experience, response: Response) -> bool:
    """Whether every row with claims has one: then a row's amount is a claim's."""
    n, squared = (experience.values(c).sum() for c in ("claims", "claims_squared"))
    return response.name == "row_amount" or (response.name == "severity" and bool(n == squared))


def read_family(details: Mapping[str, object]) -> Family:
    """Give the family that a saved model names.

    Examples
    --------
    >>> read_family({"family": "tweedie", "power": 1.5})
    Tweedie(power=1.5)
    """
    name, kind = str(details["family"]), FAMILIES[str(details["family"])]
    if name == "tweedie":
        return Tweedie(float(str(details["power"])))
    if name == "negative_binomial":
        return NegativeBinomial(float(str(details["alpha"])), bool(details.get("estimated")))
    return kind()


FAMILIES: Mapping[str, type[Family]] = {
    f.name: f
    for f in (
        Poisson,
        QuasiPoisson,
        NegativeBinomial,
        Gamma,
        InverseGaussian,
        Tweedie,
        Normal,
        Binomial,
        ComplementaryLogLog,
    )
}
