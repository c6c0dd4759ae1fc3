"""What a severity is made of: points, bins, or a curve of scipy, each with its tail integral.

T(x) = ∫ₓ S(t)dt is closed for the exponential, gamma, Weibull, Pareto (lomax), generalised Pareto,
lognormal and uniform laws (Klugman, Panjer and Willmot, Loss Models, 5th ed. 2019, appendix A) and by
Gauss and Legendre's quadrature for any other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy.special import gamma, gammaincc, gammaln, ndtr

from pricing.losses.terms import Terms

__all__ = ["PLAIN", "Bins", "Curve", "Part", "Points"]

Array = npt.NDArray[np.float64]
NODES, WEIGHTS = np.polynomial.legendre.leggauss(64)
PLAIN = Terms()


class Part(Protocol):
    """One component of a severity, before its terms."""

    def __mul__(self, factor: float) -> Part:
        """Multiply every amount by a factor."""

    def below(self, x: Array) -> Array:
        """P(X < x)."""

    def upto(self, x: Array) -> Array:
        """P(X ≤ x)."""

    def tail(self, x: Array, top: float) -> Array:
        """∫ of the survival function from x to the top, for rising x."""

    def power(self, order: int, terms: Terms) -> float:
        """E[g(X)^order], g what the terms pay."""

    def reach(self, probability: float) -> float:
        """An amount that is passed with at most this probability."""


@dataclass(frozen=True)
class Points:
    """Amounts with probabilities, rising."""

    values: Array
    probabilities: Array

    def __mul__(self, factor: float) -> Points:
        return Points(self.values * factor, self.probabilities)

    def below(self, x: Array) -> Array:
        """P(X < x)."""
        sums = np.concatenate([[0.0], np.cumsum(self.probabilities)])
        return np.asarray(sums[np.searchsorted(self.values, x, side="left")])

    def upto(self, x: Array) -> Array:
        """P(X ≤ x)."""
        sums = np.concatenate([[0.0], np.cumsum(self.probabilities)])
        return np.asarray(sums[np.searchsorted(self.values, x, side="right")])

    def tail(self, x: Array, top: float) -> Array:
        """∫ of the survival function."""
        at = np.searchsorted(self.values, x, side="right")
        capped = np.minimum(self.values, top)
        mass = np.append(np.cumsum(self.probabilities[::-1])[::-1], 0.0)
        money = np.append(np.cumsum((self.probabilities * capped)[::-1])[::-1], 0.0)
        return np.asarray(np.where(x < top, money[at] - x * mass[at], 0.0).clip(0))

    def reach(self, probability: float) -> float:
        """An amount passed at most so often."""
        rest = np.cumsum(self.probabilities[::-1])[::-1]
        return float(self.values[max(int((rest > probability).sum()) - 1, 0)])

    def power(self, order: int, terms: Terms) -> float:
        """E[g(X)^order]."""
        return float(self.probabilities @ terms.paid(self.values) ** order)


@dataclass(frozen=True)
class Bins:
    """Probabilities spread evenly over bins."""

    edges: Array
    probabilities: Array

    def __mul__(self, factor: float) -> Bins:
        return Bins(self.edges * factor, self.probabilities)

    def upto(self, x: Array) -> Array:
        """P(X ≤ x)."""
        sums = np.concatenate([[0.0], np.cumsum(self.probabilities)])
        return np.asarray(np.interp(x, self.edges, sums))

    below = upto

    def tail(self, x: Array, top: float) -> Array:
        """∫ of the survival function, a trapezium to each bin."""
        ends = np.clip(x, None, top)
        knots = np.unique(np.concatenate([ends, self.edges[self.edges < top], [top]]))
        knots = knots[np.isfinite(knots)]
        alive = 1 - self.upto(knots)
        pieces = np.diff(knots) * (alive[1:] + alive[:-1]) / 2
        total = np.append(np.cumsum(pieces[::-1])[::-1], 0.0)
        return np.asarray(total[np.searchsorted(knots, ends)])

    def reach(self, probability: float) -> float:
        """An amount passed at most so often."""
        return float(self.edges[-1])

    def power(self, order: int, terms: Terms) -> float:
        """E[g(X)^order]; within a piece the integrand is a polynomial, so 64 nodes are exact."""
        knots = np.unique(np.concatenate([self.edges, terms.starts]))
        knots = knots[(knots >= self.edges[0]) & (knots <= self.edges[-1])]
        mass = np.diff(self.upto(knots))
        at = knots[:-1, None] + np.diff(knots)[:, None] * (NODES + 1) / 2
        return float(mass @ (terms.paid(at) ** order @ WEIGHTS) / 2)


@dataclass(frozen=True)
class Curve:
    """A continuous distribution of scipy times a factor."""

    law: Any
    factor: float = 1.0

    def __mul__(self, factor: float) -> Curve:
        return Curve(self.law, self.factor * factor)

    def upto(self, x: Array) -> Array:
        """P(X ≤ x)."""
        return np.asarray(self.law.cdf(np.asarray(x) / self.factor))

    below = upto

    def tail(self, x: Array, top: float) -> Array:
        """∫ of the survival function: closed where the law's is known, else by quadrature."""
        z, end = np.asarray(x, dtype=float) / self.factor, top / self.factor
        known = _excess(self.law)
        if known is not None:
            beyond = 0.0 if math.isinf(end) else float(known(np.array([end]))[0])
            return np.asarray(self.factor * (known(np.minimum(z, end)) - beyond).clip(0))
        return np.asarray(self.factor * self._integrated(z, end))

    def _integrated(self, z: Array, end: float) -> Array:
        knots = np.unique(np.concatenate([z[z < end], self._breaks(0.0, end)]))
        step = np.diff(knots)[:, None]
        few, weights = np.polynomial.legendre.leggauss(8)
        pieces = (self.law.sf(knots[:-1, None] + step * (few + 1) / 2) @ weights) * step[:, 0] / 2
        beyond = self._beyond(knots[-1], 1, 1.0, 0.0) if math.isinf(end) else 0.0
        total = np.append(np.cumsum(pieces[::-1])[::-1], 0.0) + beyond
        return np.asarray(
            np.where(z < end, total[np.searchsorted(knots, z).clip(max=knots.size - 1)], 0.0)
        )

    def _breaks(self, start: float, end: float) -> Array:
        """Where to break an integral: at quantiles that crowd at both ends."""
        some = 10.0 ** np.arange(-15, 0)
        at = self.law.ppf(np.concatenate([some, np.arange(0.2, 0.85, 0.1)]))
        far = self.law.isf(some)
        last = [end] if math.isfinite(end) else []
        x = np.unique(np.concatenate([[start], at, far, last]))
        return np.asarray(x[np.isfinite(x) & (x >= start) & (x <= end)])

    def _beyond(self, start: float, order: int, slope: float, height: float) -> float:
        """∫ order·g^(order−1)·slope·S from the start on, by t = start/u."""
        if start <= 0:
            start = max(float(self.law.isf(1e-15)), 1e-300)
        u = (NODES + 1) / 2
        t = start / u
        g = height + slope * (t - start)
        values = order * g ** (order - 1) * slope * self.law.sf(t) * start / u**2
        return float(np.nan_to_num(values, posinf=0.0) @ WEIGHTS / 2)

    def reach(self, probability: float) -> float:
        """An amount passed at most so often."""
        return float(self.law.isf(probability)) * self.factor

    def power(self, order: int, terms: Terms) -> float:
        """E[g(X)^order] = ∫ order·g^(order−1)·g′·S."""
        if math.isinf(terms.most):
            whole = float(self.law.moment(order))
            if not math.isfinite(whole):
                return math.inf
            if terms == PLAIN:
                return whole * self.factor**order
        starts, slopes, heights = terms.starts / self.factor, terms.slopes, terms.heights
        if order == 1:
            ends = np.append(terms.starts[1:], math.inf)
            rising = slopes > 0
            return float(
                sum(
                    s * self.tail(np.array([a]), b)[0]
                    for s, a, b in zip(
                        slopes[rising], terms.starts[rising], ends[rising], strict=True
                    )
                )
            )
        total = 0.0
        for k in np.flatnonzero(slopes > 0):
            end = starts[k + 1] if k + 1 < starts.size else math.inf
            slope, height = slopes[k] * self.factor, heights[k]
            knots = self._breaks(float(starts[k]), float(end))
            step = np.diff(knots)[:, None]
            t = knots[:-1, None] + step * (NODES + 1) / 2
            g = height + slope * (t - starts[k])
            values = order * g ** (order - 1) * slope * self.law.sf(t)
            total += float(((values @ WEIGHTS) * step[:, 0]).sum() / 2)
            if math.isinf(end):
                last = float(knots[-1])
                total += self._beyond(last, order, slope, height + slope * (last - starts[k]))
        return total


def _excess(law: Any) -> Callable[[Array], Array] | None:
    """E[(X − x)₊] in closed form where the mean is finite, for x of zero or more."""
    try:
        shapes, loc, scale = law.dist._parse_args(*law.args, **law.kwds)
    except (AttributeError, TypeError):
        return None
    name = law.dist.name
    first = float(shapes[0]) if shapes else math.nan

    def standard(z: Array) -> Any:
        if name == "expon":
            return np.exp(-z)
        if name == "gamma":
            density = np.exp(first * np.log(z.clip(1e-300)) - z - gammaln(first))
            return (first - z) * gammaincc(first, z) + density
        if name == "weibull_min":
            power = z**first
            k = 1 + 1 / first
            return gamma(k) * gammaincc(k, power) - z * np.exp(-power)
        if name == "lomax" and first > 1:
            return (1 + z) ** (1 - first) / (first - 1)
        if name == "genpareto" and first < 1:
            if first == 0:
                return np.exp(-z)
            return (1 + first * z).clip(0) ** (1 - 1 / first) / (1 - first)
        if name == "lognorm":
            d = np.log(z.clip(1e-300)) / first
            return math.exp(first**2 / 2) * ndtr(first - d) - z * ndtr(-d)
        if name == "uniform":
            return (1 - z).clip(0) ** 2 / 2
        return None

    if standard(np.ones(1)) is None:
        return None
    at_zero = float(np.asarray(standard(np.zeros(1)))[0])

    def excess(x: Array) -> Array:
        z = (x - loc) / scale
        inner = np.asarray(standard(z.clip(0))).clip(0)
        return np.asarray(scale * np.where(z >= 0, inner, at_zero - z))

    return excess
