"""Who renews at what premium: the answer of renewals to a change of price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.special import expit, logit

from pricing.errors import InputError
from pricing.estimate.design import Floats

__all__ = ["PriceResponse"]


@dataclass(frozen=True, kw_only=True)
class PriceResponse:
    """Probability of renewal p = σ(α − η ln(P / P_prev) + γ_g + δ z).

    Parameters
    ----------
    intercept : float
        α, log-odds of renewal at an unchanged premium.
    sensitivity : float
        η, fall of the log-odds per unit of ln(premium offered / premium of last year).
    groups : mapping of str to float
        γ by group offered; zero where not named.
    latent : float
        δ, change of the log-odds per unit of latent health; below zero, the healthy leave.
    covariance : sequence of sequence of float, optional
        Of (α, η, then γ in the order of ``groups``): what the fit leaves uncertain.

    Notes
    -----
    Elasticity of renewal to price: d ln p / d ln P = −η (1 − p). Published: −0.2 to −1.0 (CBO; Bischof
    and Schmid; the project's reference health_value.md D4, 2025).

    Examples
    --------
    >>> response = PriceResponse.elastic(retention=0.88, elasticity=-0.6)
    >>> round(response.sensitivity, 6), round(float(response.renews(np.zeros(1))[0]), 6)
    (5.0, 0.88)
    """

    intercept: float
    sensitivity: float
    groups: Mapping[str, float] = field(default_factory=dict)
    latent: float = 0.0
    covariance: Sequence[Sequence[float]] | None = None

    def __post_init__(self) -> None:
        faults = [
            f"{name} must be a finite number, got {x!r}"
            for name, x in {
                "intercept": self.intercept,
                "sensitivity": self.sensitivity,
                "latent": self.latent,
                **self.groups,
            }.items()
            if isinstance(x, bool) or not isinstance(x, (int, float)) or not np.isfinite(x)
        ]
        if not faults and self.sensitivity < 0:
            faults.append(f"sensitivity must be zero or more, got {self.sensitivity}")
        if self.covariance is not None and not faults:
            cov = np.asarray(self.covariance, dtype=float)
            size = 2 + len(self.groups)
            if cov.shape != (size, size) or not np.isfinite(cov).all():
                faults.append(f"the covariance must be {size} × {size}, got {cov.shape}")
            elif not np.allclose(cov, cov.T) or np.linalg.eigvalsh(cov).min() < -1e-9:
                faults.append("the covariance must be symmetric and not negative")
        if faults:
            raise InputError("the response to price cannot be so", faults=faults)

    @classmethod
    def elastic(
        cls, *, retention: float, elasticity: float, latent: float = 0.0, error: float = 0.0
    ) -> PriceResponse:
        """Give the response by the share renewing at an unchanged premium and its elasticity.

        Parameters
        ----------
        retention : float
            Share renewing at an unchanged premium, between 0 and 1.
        elasticity : float
            Relative change of that share per relative change of price, zero or below.
        latent : float
            As above.
        error : float
            Standard error of η, as a fraction of it.
        """
        if not 0 < retention < 1 or not -50 < elasticity <= 0 or not error >= 0:
            raise InputError(
                "retention lies between 0 and 1, elasticity is zero or below, error zero or more; "
                f"got {retention}, {elasticity}, {error}"
            )
        eta = -elasticity / (1 - retention)
        covariance = None if error == 0 else [[0.0, 0.0], [0.0, (error * eta) ** 2]]
        return cls(
            intercept=float(logit(retention)),
            sensitivity=eta,
            latent=latent,
            covariance=covariance,
        )

    @classmethod
    def fitted(
        cls,
        names: Sequence[str],
        coefficients: Sequence[float],
        covariance: Sequence[Sequence[float]],
        *,
        price: str,
        groups: Mapping[str, str] | None = None,
        intercept: str = "(intercept)",
        shift: float = 0.0,
        latent: float = 0.0,
    ) -> PriceResponse:
        """Take the response from a fitted logistic model of renewal.

        Parameters
        ----------
        names, coefficients, covariance
            Of the model, in one order; the model's other terms are held at the book's mean by ``shift``.
        price : str
            Name of the coefficient of ln(P / P_prev), which is −η.
        groups : mapping of str to str, optional
            Name of the coefficient of each group that has one.
        intercept : str
            Name of the intercept.
        shift : float
            Mean linear predictor of the model's other terms over the book.
        latent : float
            As above.
        """
        wanted = [intercept, price, *(groups or {}).values()]
        order = list(names)
        missing = [name for name in wanted if name not in order]
        b, cov = np.asarray(coefficients, dtype=float), np.asarray(covariance, dtype=float)
        if missing or b.shape != (len(order),) or cov.shape != (len(order), len(order)):
            raise InputError(
                f"a model of {len(order)} terms with {b.shape} coefficients and {cov.shape} covariance "
                f"lacks {missing}",
                do=f"name the terms; there are: {', '.join(order)}",
            )
        at = [order.index(name) for name in wanted]
        sign = np.array([1.0, -1.0, *([1.0] * len(groups or {}))])
        value = sign * b[at]
        picked = cov[np.ix_(at, at)] * np.outer(sign, sign)
        return cls(
            intercept=float(value[0] + shift),
            sensitivity=float(value[1]),
            groups=dict(zip(groups or {}, value[2:].tolist(), strict=True)),
            latent=latent,
            covariance=picked.tolist(),
        )

    def renews(self, log_change: Floats) -> Floats:
        """Probability of renewal of mean health in an unnamed group, by ln(P / P_prev)."""
        return np.asarray(expit(self.intercept - self.sensitivity * np.asarray(log_change)))

    def draw(self, groups: Sequence[str], rng: np.random.Generator, draws: int) -> Floats:
        """Coefficients (draws, 2 + groups): α, η ≥ 0 and γ of every group; the first as estimated."""
        names = list(self.groups)
        unknown = [name for name in names if name not in groups]
        if unknown:
            raise InputError(f"the response names {unknown}, the groups are {list(groups)}")
        mean = np.array([self.intercept, self.sensitivity, *self.groups.values()], dtype=float)
        found = np.repeat(mean[None], draws, axis=0)
        if self.covariance is not None and draws > 1:
            value, vector = np.linalg.eigh(np.asarray(self.covariance, dtype=float))
            root = vector * np.sqrt(np.maximum(value, 0.0))
            found[1:] += rng.standard_normal((draws - 1, len(mean))) @ root.T
        wide = np.zeros((draws, 2 + len(groups)))
        wide[:, 0], wide[:, 1] = found[:, 0], np.maximum(found[:, 1], 0.0)
        for i, name in enumerate(names):
            wide[:, 2 + list(groups).index(name)] = found[:, 2 + i]
        return wide
