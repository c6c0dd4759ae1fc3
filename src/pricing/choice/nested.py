"""Nested logit: shares of the tiers of a plan and of taking none, their likelihood and its score.

A person takes the alternative of largest utility V + e. Tiers form one nest, the outside option stands
alone; λ, the dissimilarity of the nest, is 1 for the conditional logit and less where tiers are closer to
each other than to taking none. Source: McFadden (1978), Modelling the choice of residential location;
Train (2009), Discrete Choice Methods with Simulation, chapter 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pricing.estimate.design import Floats

__all__ = ["Menus", "Shares", "nested_shares"]


@dataclass(frozen=True)
class Shares:
    """Shares of a nested logit, and what their derivatives are made of.

    Attributes
    ----------
    every : array, n × alternatives
        Shares; the outside option first.
    within : array, n × alternatives
        Share of each tier among those who take a tier; zero for the outside option.
    insured : array, n
        Share of those who know of the plan that take a tier.
    inclusive : array, n
        I = ln Σ exp(V/λ) over the tiers.
    logsum : array, n
        ln(exp V₀ + exp λI): expected best utility of one who knows of the plan.
    dissimilarity, aware : float
        λ, and the share who know of the plan.
    """

    every: Floats
    within: Floats
    insured: Floats
    inclusive: Floats
    logsum: Floats
    dissimilarity: float
    aware: float

    def slopes(self) -> Floats:
        """Give ∂P_j/∂V_k, n × alternatives × alternatives.

        Among tiers P_j [δ_jk/λ + p_k(1 − 1/λ − P_in)], to and from the outside option −P_j P₀.
        """
        tiers, known = self.every[:, 1:] / self.aware, self.insured
        p, lam = self.within[:, 1:], self.dissimilarity
        n, size = p.shape
        found = np.empty((n, size + 1, size + 1))
        own = np.eye(size)[None] / lam + (p * (1 - 1 / lam - known[:, None]))[:, None, :]
        found[:, 1:, 1:] = tiers[:, :, None] * own
        out = 1 - known
        found[:, 1:, 0] = -tiers * out[:, None]
        found[:, 0, 1:] = found[:, 1:, 0]
        found[:, 0, 0] = out * known
        return np.asarray(found * self.aware)


def nested_shares(
    utility: Floats, offered: Floats, dissimilarity: float, aware: float = 1.0
) -> Shares:
    """Give the shares of alternatives from their utilities.

    Parameters
    ----------
    utility : array, n × alternatives
        V, the outside option first.
    offered : array, n × alternatives
        One where on offer; the outside option always is, and one tier at least.
    dissimilarity : float
        λ above zero; 1 is the conditional logit, up to 1 is consistent with random utility.
    aware : float
        Share of persons who know of the plan; the rest take none.

    Notes
    -----
    P(tier j) = a · exp(V_j/λ − I) · exp(λI) / (exp V₀ + exp λI), I = ln Σ_k exp(V_k/λ), a the share aware
    (Train 2009, equations 4.4 and 4.5; consideration as in Manski 1977, The structure of random utility
    models).

    Examples
    --------
    >>> found = nested_shares(np.array([[0.0, 0.0, 0.0]]), np.ones((1, 3)), 1.0)
    >>> found.every.round(4).tolist()
    [[0.3333, 0.3333, 0.3333]]
    >>> nested_shares(np.array([[0.0, 0.0, 0.0]]), np.ones((1, 3)), 0.01).every.round(2).tolist()
    [[0.5, 0.25, 0.25]]
    """
    lam = dissimilarity
    scaled = np.where(offered[:, 1:] > 0, utility[:, 1:] / lam, -np.inf)
    top = scaled.max(axis=1, keepdims=True)
    power = np.exp(scaled - top)
    total = power.sum(axis=1, keepdims=True)
    inclusive = (top + np.log(total))[:, 0]
    nest = lam * inclusive
    logsum = np.logaddexp(utility[:, 0], nest)
    insured = np.exp(nest - logsum)
    within = np.concatenate([np.zeros((len(utility), 1)), power / total], axis=1)
    every = aware * within * insured[:, None]
    every[:, 0] = 1 - aware + aware * np.exp(utility[:, 0] - logsum)
    return Shares(every, within, insured, inclusive, logsum, lam, aware)


@dataclass(frozen=True)
class Menus:
    """Cells of like persons before like offers, ready for a likelihood.

    Utilities are V_j = x·a_j + (z·b)·paid_j for tiers, (z·b)·paid_0 for the outside option. Parameters
    are a (tiers × columns of x), b, and ln λ where it is estimated.

    Attributes
    ----------
    x, z : array
        Attributes that move the tiers, and those that move the price's effect; cells × columns.
    paid, offered, taken : array, cells × alternatives
        Price paid, on offer or not, persons who took it.
    aware : float
        Share who know of the plan, 1 where offers are those of the aware.
    nested : bool
        Whether λ is a parameter.
    fixed : float
        λ where it is not.

    Examples
    --------
    >>> one = np.ones((1, 1))
    >>> menus = Menus(one, one, np.array([[0.0, 5.0]]), np.ones((1, 2)), np.array([[3.0, 1.0]]))
    >>> value, score = menus.at(np.array([np.log(1 / 3) + 0.5, -0.1]))
    >>> round(value, 6), bool(np.abs(score).max() < 1e-12)
    (-2.249341, True)
    """

    x: Floats
    z: Floats
    paid: Floats
    offered: Floats
    taken: Floats
    aware: float = 1.0
    nested: bool = False
    fixed: float = 1.0

    @property
    def tiers(self) -> int:
        """Number of tiers."""
        return int(self.paid.shape[1]) - 1

    def parts(self, parameters: Floats) -> tuple[Floats, Floats, float]:
        """Part the parameters: a, b and λ."""
        many = self.tiers * self.x.shape[1]
        a = parameters[:many].reshape(self.tiers, -1)
        b = parameters[many : many + self.z.shape[1]]
        return a, b, float(np.exp(parameters[-1])) if self.nested else self.fixed

    def utility(self, parameters: Floats) -> Floats:
        """V of every cell and alternative."""
        a, b, _ = self.parts(parameters)
        found = self.paid * (self.z @ b)[:, None]
        found[:, 1:] += self.x @ a.T
        return found

    def shares(self, parameters: Floats) -> Shares:
        """Shares of every cell."""
        lam = self.parts(parameters)[2]
        return nested_shares(self.utility(parameters), self.offered, lam, self.aware)

    def at(self, parameters: Floats) -> tuple[float, Floats]:
        """Log-likelihood of the persons, and its score.

        The multinomial constant is left out, so the value is that of the rows.
        """
        utility = self.utility(parameters)
        lam = self.parts(parameters)[2]
        s = nested_shares(utility, self.offered, lam, self.aware)
        value = self._value(utility, s)
        by_utility, by_lambda = self._slopes(utility, s, self.taken)
        return value, self._chain(by_utility, by_lambda * lam)

    def scores(self, parameters: Floats, alternative: int) -> Floats:
        """Score of one person of each cell who takes an alternative, cells × parameters."""
        utility = self.utility(parameters)
        lam = self.parts(parameters)[2]
        s = nested_shares(utility, self.offered, lam, self.aware)
        one = np.zeros_like(self.taken)
        one[:, alternative] = self.offered[:, alternative]
        by_utility, by_lambda = self._slopes(utility, s, one)
        blocks = [self.x * by_utility[:, [j]] for j in range(1, self.tiers + 1)]
        blocks.append(self.z * (by_utility * self.paid).sum(axis=1, keepdims=True))
        if self.nested:
            blocks.append((by_lambda * lam)[:, None])
        return np.concatenate(blocks, axis=1)

    def _value(self, utility: Floats, s: Shares) -> float:
        lam, taken = s.dissimilarity, self.taken
        inside = np.where(
            taken[:, 1:] > 0,
            utility[:, 1:] / lam - s.inclusive[:, None] + (lam * s.inclusive - s.logsum)[:, None],
            0.0,
        )
        none = (
            np.log(np.maximum(s.every[:, 0], 1e-300))
            if self.aware < 1
            else utility[:, 0] - s.logsum
        )
        own = float((taken[:, 1:] * (inside + np.log(self.aware))).sum())
        return own + float(taken[:, 0] @ none)

    def _slopes(self, utility: Floats, s: Shares, taken: Floats) -> tuple[Floats, Floats]:
        """Give ∂ln L/∂V and ∂ln L/∂λ of every cell."""
        lam, p, known = s.dissimilarity, s.within[:, 1:], s.insured
        inside = taken[:, 1:].sum(axis=1)
        none = taken[:, 0]
        if self.aware < 1:  # part of those who take none did not know
            none = none * self.aware * (1 - known) / s.every[:, 0]
        found = np.empty_like(utility)
        found[:, 0] = none * known - inside * (1 - known)
        found[:, 1:] = (
            taken[:, 1:] / lam + p * (inside * (1 - 1 / lam - known) - none * known)[:, None]
        )
        if not self.nested:
            return found, np.zeros(len(found))
        tiers = np.where(self.offered[:, 1:] > 0, utility[:, 1:], 0.0)
        mean = (p * tiers).sum(axis=1)
        spread = s.inclusive - mean / lam  # entropy of the choice within the nest
        apart = ((taken[:, 1:] * tiers).sum(axis=1) - inside * mean) / lam**2
        return found, inside * spread * (1 - known) - none * known * spread - apart

    def _chain(self, by_utility: Floats, by_log_lambda: Floats) -> Floats:
        own = (by_utility[:, 1:].T @ self.x).ravel()
        price = self.z.T @ (by_utility * self.paid).sum(axis=1)
        last = [by_log_lambda.sum()] if self.nested else []
        return np.concatenate([own, price, last])
