"""Latent health in classes: who is in which group, who moves where, and what drifts back to the mean.

Claims and moves depend on each other through health that no one sees. It is held in a few classes, the
points of Rouwenhorst's chain, which keeps the mean, the variance and the year-to-year correlation of an
autoregression exactly. Sources: Rouwenhorst (1995), in Cooley, Frontiers of Business Cycle Research;
Kopecky and Suen (2010), Review of Economic Dynamics 13.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import ndtr

from pricing.bonus_malus.scale import Scale
from pricing.errors import InputError
from pricing.estimate.design import Floats

__all__ = ["LatentHealth", "programme_moves"]


@dataclass(frozen=True, kw_only=True)
class LatentHealth:
    """Latent health of the lives, mean 0 and variance 1, higher is healthier.

    Parameters
    ----------
    classes : int
        Points it is held on, from 1 (no differences within a group).
    persistence : float
        Correlation from year to year, 0 to 1.
    reliability : float
        Squared correlation of the health value with it, 0 to below 1.

    Raises
    ------
    InputError
        For numbers out of their domain.

    Examples
    --------
    >>> LatentHealth(classes=3, persistence=0.8).points.round(4).tolist()
    [-1.4142, 0.0, 1.4142]
    """

    classes: int = 9
    persistence: float = 0.8
    reliability: float = 0.5

    def __post_init__(self) -> None:
        faults = []
        if isinstance(self.classes, bool) or not isinstance(self.classes, int):
            faults.append(f"classes must be a whole number, got {self.classes!r}")
        elif not 1 <= self.classes <= 51:
            faults.append(f"classes must be 1 to 51, got {self.classes}")
        for name in ("persistence", "reliability"):
            x = getattr(self, name)
            if isinstance(x, bool) or not isinstance(x, (int, float)) or not 0 <= x <= 1:
                faults.append(f"{name} must be a number in 0 to 1, got {x!r}")
        if not faults and self.reliability == 1:
            faults.append("reliability must be below 1: no health value is without error")
        if faults:
            raise InputError("latent health cannot be so", faults=faults)

    @cached_property
    def points(self) -> Floats:
        """Health of each class."""
        n = self.classes
        reach = np.sqrt(n - 1.0)
        return np.linspace(-reach, reach, n) if n > 1 else np.zeros(1)

    @cached_property
    def weights(self) -> Floats:
        """Long-run share of each class."""
        n = self.classes - 1
        found = np.ones(1)
        for _ in range(n):
            found = (np.append(found, 0.0) + np.append(0.0, found)) / 2
        return found

    @cached_property
    def drift(self) -> Floats:
        """Probabilities of the classes a year later, by class."""
        p = (1 + self.persistence) / 2
        found = np.ones((1, 1))
        for n in range(2, self.classes + 1):
            wide = np.zeros((n, n))
            wide[:-1, :-1] += p * found
            wide[:-1, 1:] += (1 - p) * found
            wide[1:, :-1] += (1 - p) * found
            wide[1:, 1:] += p * found
            wide[1:-1] /= 2
            found = wide
        return found

    def bands(self, shares: Floats) -> Floats:
        """Probability of each group given the class, (classes, groups), with these shares in all."""
        total = np.cumsum(shares)[:-1] / np.sum(shares)
        signal, noise = np.sqrt(self.reliability), np.sqrt(1 - self.reliability)
        low, high = np.full(len(total), -40.0), np.full(len(total), 40.0)
        for _ in range(80):  # halving, until the shares below the edges are met
            middle = (low + high) / 2
            below = self.weights @ ndtr((middle - signal * self.points[:, None]) / noise)
            low, high = np.where(below < total, middle, low), np.where(below < total, high, middle)
        edges = np.where(
            total <= 0, -np.inf, np.where(total >= 1 - 1e-15, np.inf, (low + high) / 2)
        )
        edges = np.concatenate([[-np.inf], edges, [np.inf]])
        return np.diff(ndtr((edges - signal * self.points[:, None]) / noise), axis=1)

    def within(self, shares: Floats) -> Floats:
        """Shares of the classes within each group, (classes, groups)."""
        joint = self.weights[:, None] * self.bands(shares)
        total = joint.sum(axis=0)
        spread = np.repeat(self.weights[:, None], len(total), axis=1)
        return np.where(total > 1e-14, joint / np.where(total > 1e-14, total, 1.0), spread)

    def moves(self, matrix: Floats, shares: Floats, years: int = 10) -> Floats:
        """Give the moves of each class of health, with the moves of all as they are.

        Parameters
        ----------
        matrix : array, (..., groups, groups)
            Moves of all; several are draws around the first, which sets the bands.
        shares : array, (groups,)
            Of the groups at the start.
        years : int
            Over which the mean shares of the groups are taken.

        Returns
        -------
        array, (..., classes, groups, groups)

        Notes
        -----
        P(h | g, z) ∝ P(h | g) a_gh L(h | z), L the chance that the value of a life of health z falls in
        the band of h, over the mean of all; a_gh such that the mean over the classes within g is P(h | g).
        """
        at, seen = np.broadcast_to(shares, matrix.shape[:-1]), []
        for _ in range(years):
            at = np.einsum("...g,...gh->...h", at, matrix)
            seen.append(at)
        mean = np.mean(seen, axis=0).reshape(-1, matrix.shape[-1])[0]
        bands = self.bands(mean)
        total = self.weights @ bands
        lift = np.where(total > 1e-14, bands / np.where(total > 1e-14, total, 1.0), 1.0)
        within = self.within(shares)
        factor = np.ones_like(matrix)
        wide = np.empty((*matrix.shape[:-2], self.classes, *matrix.shape[-2:]))
        for _ in range(60):  # proportional fitting, to the moves of all
            tilted = (matrix * factor)[..., None, :, :] * lift[:, None, :]
            wide = tilted / np.maximum(tilted.sum(axis=-1, keepdims=True), 1e-300)
            now = np.einsum("kg,...kgh->...gh", within, wide)
            factor = factor * np.where(now > 0, matrix / np.where(now > 0, now, 1.0), 1.0)
        return wide


def programme_moves(scale: Scale, latent: LatentHealth, shares: Floats) -> Floats:
    """Moves between groups that a programme's rules make, by class of health.

    Parameters
    ----------
    scale : Scale
        Driven by targets that are its levels: the groups.
    latent : LatentHealth
        Whose value sets the target.
    shares : array, (groups,)
        Share of all lives by target.

    Returns
    -------
    array, (classes, groups, groups)

    Examples
    --------
    >>> from pricing.bonus_malus.scale import target_scale
    >>> moves = programme_moves(target_scale(["G0", "G1", "G2"]), LatentHealth(classes=1), np.ones(3) / 3)
    >>> moves.round(4).tolist()
    [[[0.3333, 0.6667, 0.0], [0.3333, 0.3333, 0.3333], [0.0, 0.6667, 0.3333]]]
    """
    if scale.counts or scale.outcomes != scale.levels or len(scale.follows) != len(scale.levels):
        raise InputError("the targets of the scale must be its levels", do="use target_scale")
    return scale.matrix(latent.bands(np.asarray(shares, dtype=float)))
