"""Laws of the amount of one claim: a distribution, a sample, a histogram, or a mixture of these.

All that pricing asks of a severity X is its distribution function and the tail T(x) = ∫ₓ S(t)dt of
its survival function, E[(X − x)₊] where the mean is finite: every deductible, limit and layer is a
sum of differences of T (Klugman, Panjer and Willmot, Loss Models, 5th ed. 2019, sections 3.1, 8.2).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy.special import gamma, gammaincc, gammaln, ndtr

from pricing.claims.terms import Terms
from pricing.errors import InputError

__all__ = [
    "SeverityLaw",
    "histogram_severity",
    "mixed_severity",
    "sample_severity",
    "severity_law",
]

Array = npt.NDArray[np.float64]
NODES, WEIGHTS = np.polynomial.legendre.leggauss(64)
PLAIN = Terms()


class Part(Protocol):
    """One component of a severity, before its terms."""

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
class SeverityLaw:
    """Law of the amount of one claim, in currency, or of what terms pay of it.

    Attributes
    ----------
    parts : tuple
        Components with their scale and terms.
    weights : tuple of float
        Probability of each, adding up to 1.
    name : str
        For the basis of a result.

    Examples
    --------
    >>> from scipy import stats
    >>> law = severity_law(stats.expon(scale=100.0))
    >>> law.mean, round(law.under(Terms(deductible=100.0)).mean, 4)
    (100.0, 36.7879)
    """

    parts: tuple[Part, ...]
    weights: tuple[float, ...]
    terms: tuple[Terms, ...]
    name: str

    @property
    def mean(self) -> float:
        """Expected amount, zeros included; infinite where it is."""
        return self.power(1)

    def power(self, order: int) -> float:
        """E[Y^order], for order 1 to 3; infinite where it is."""
        each = zip(self.weights, self.parts, self.terms, strict=True)
        return float(sum(w * part.power(order, terms) for w, part, terms in each))

    @property
    def most(self) -> float:
        """Largest amount there can be, as far as the terms and the sample say."""
        tops = [
            terms.most if not isinstance(part, Points) else float(terms.paid(part.values[-1]))
            for part, terms in zip(self.parts, self.terms, strict=True)
        ]
        return max(tops)

    def reach(self, probability: float) -> float:
        """Give an amount that is passed with at most this probability."""
        each = zip(self.parts, self.terms, strict=True)
        return max(float(t.paid(part.reach(probability))) for part, t in each)

    def exceeds(self, x: float) -> float:
        """P(Y > x)."""
        at = np.array([float(x)])
        each = zip(self.weights, self.parts, self.terms, strict=True)
        return 1.0 - float(sum(w * part.upto(t.loss_at(at))[0] for w, part, t in each))

    def under(self, terms: Terms) -> SeverityLaw:
        """Give the law of what the terms pay of a claim; claims below a deductible stay, as zeros.

        Raises
        ------
        InputError
            Where terms are applied already: say all of them at once.
        """
        if any(t != PLAIN for t in self.terms):
            raise InputError(
                "these claims are under terms already", do="say all terms in one Terms(...)"
            )
        return replace(self, terms=(terms,) * len(self.parts), name=f"{self.name} under {terms}")

    def scaled(self, factor: float) -> SeverityLaw:
        """Multiply every claim by a factor, such as trend, before any terms."""
        if not 0 < factor < math.inf:
            raise InputError(f"a scale must be above zero, got {factor}")
        parts = tuple(part * factor for part in self.parts)  # type: ignore[operator]
        return replace(self, parts=parts, name=f"{factor:g} × {self.name}")


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
        return np.interp(x, self.edges, np.concatenate([[0.0], np.cumsum(self.probabilities)]))

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
        return np.asarray(np.where(z < end, total[np.searchsorted(knots, z).clip(max=knots.size - 1)], 0.0))

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

    def standard(z: Array) -> Array | None:
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


def severity_law(distribution: Any) -> SeverityLaw:
    """Take a distribution of scipy as the law of one claim.

    Parameters
    ----------
    distribution : frozen scipy.stats distribution, or SeverityLaw
        Continuous on zero or more, such as ``scipy.stats.gamma(2.0, scale=500.0)``; a severity law
        comes back as it is.

    Raises
    ------
    InputError
        For what is no frozen continuous distribution, or one with amounts below zero.

    Examples
    --------
    >>> from scipy import stats
    >>> round(severity_law(stats.lomax(4, scale=10.0)).mean, 9)
    3.333333333
    """
    if isinstance(distribution, SeverityLaw):
        return distribution
    if not all(callable(getattr(distribution, n, None)) for n in ("cdf", "sf", "ppf", "moment")):
        raise InputError(
            f"{type(distribution).__name__} is not a frozen distribution",
            do="give one of scipy.stats with its parameters, or sample_severity(amounts)",
        )
    if callable(getattr(distribution, "pmf", None)):
        raise InputError(
            "a law of whole numbers is no law of amounts",
            do="give its values and probabilities to sample_severity(values, weights)",
        )
    below = float(distribution.cdf(0.0))
    if not below <= 1e-9:
        raise InputError(
            f"{below:.3g} of the claims would lie below zero",
            do="take a law on zero or more, or shift it",
        )
    given = [f"{v:g}" for v in distribution.args]
    given += [f"{k}={v:g}" for k, v in distribution.kwds.items()]
    name = f"{distribution.dist.name}({', '.join(given)})"
    return SeverityLaw((Curve(distribution),), (1.0,), (PLAIN,), name)


def sample_severity(
    amounts: Sequence[float] | Array, weights: Sequence[float] | Array | None = None
) -> SeverityLaw:
    """Take amounts seen, or set, as the law of one claim: each as likely as its weight says.

    Parameters
    ----------
    amounts : sequence of float
        Amounts per claim in currency, zero or more; equal ones are added up.
    weights : sequence of float, optional
        Weight of each, zero or more; left out, all weigh the same.

    Raises
    ------
    InputError
        For amounts or weights that are not finite or negative, with their number.

    Examples
    --------
    >>> sample_severity([1.0, 10.0], [0.9, 0.1]).mean
    1.9
    """
    x = np.asarray(amounts, dtype=float)
    w = np.ones(x.shape) if weights is None else np.asarray(weights, dtype=float)
    if x.ndim != 1 or not x.size or w.shape != x.shape:
        raise InputError(f"{x.size:,} amounts and {w.size:,} weights do not make a sample")
    faults = [
        f"{name} not finite or negative: {int(bad):,} of {x.size:,}"
        for name, bad in (
            ("amounts", (~(np.isfinite(x) & (x >= 0))).sum()),
            ("weights", (~(np.isfinite(w) & (w >= 0))).sum()),
        )
        if bad
    ]
    if faults:
        raise InputError("a sample that cannot be a severity", faults=faults)
    if not (w.sum() > 0 and (x * w).sum() > 0):
        raise InputError("no amount above zero has any weight")
    values, place = np.unique(x, return_inverse=True)
    share = np.bincount(place.ravel(), weights=w) / w.sum()
    name = f"{values.size:,} amounts from {values[0]:g} to {values[-1]:g}"
    return SeverityLaw((Points(values, share),), (1.0,), (PLAIN,), name)


def histogram_severity(edges: Sequence[float], weights: Sequence[float]) -> SeverityLaw:
    """Take a table of claim sizes by band, claims spread evenly within each band.

    Parameters
    ----------
    edges : sequence of float
        Rising edges of the bands, currency, zero or more.
    weights : sequence of float
        Claims in each band: one fewer than edges.

    Examples
    --------
    >>> round(histogram_severity([0.0, 100.0, 500.0], [3.0, 1.0]).mean, 9)
    112.5
    """
    e, w = np.asarray(edges, dtype=float), np.asarray(weights, dtype=float)
    if e.ndim != 1 or e.size < 2 or w.shape != (e.size - 1,):
        raise InputError(f"{e.size} edges take {max(e.size - 1, 1)} weights, got {w.size}")
    if not (np.isfinite(e).all() and e[0] >= 0 and np.all(np.diff(e) > 0)):
        raise InputError("the edges of the bands must be finite, rise, and start at zero or more")
    if not (np.isfinite(w).all() and np.all(w >= 0) and w.sum() > 0):
        raise InputError("the weights of the bands must be zero or more and not all zero")
    name = f"{w.size} bands from {e[0]:g} to {e[-1]:g}"
    return SeverityLaw((Bins(e, w / w.sum()),), (1.0,), (PLAIN,), name)


def mixed_severity(laws: Sequence[Any], weights: Sequence[float]) -> SeverityLaw:
    """Mix severities: each claim is of one kind with its probability.

    Parameters
    ----------
    laws : sequence
        Severity laws or frozen scipy distributions.
    weights : sequence of float
        Weight of each, above zero.

    Examples
    --------
    >>> from scipy import stats
    >>> mixed_severity([stats.expon(scale=1.0), sample_severity([5.0])], [3.0, 1.0]).mean
    2.0
    """
    taken = [severity_law(law) for law in laws]
    w = np.asarray(weights, dtype=float)
    if not taken or w.shape != (len(taken),) or not np.isfinite(w).all() or not np.all(w > 0):
        raise InputError(f"{len(taken)} severities take as many weights above zero, got {w.size}")
    share = w / w.sum()
    return SeverityLaw(
        tuple(part for law in taken for part in law.parts),
        tuple(
            float(s * v) for s, law in zip(share, taken, strict=True) for v in law.weights
        ),
        tuple(t for law in taken for t in law.terms),
        taken[0].name if len(taken) == 1 else f"mixture of {len(taken)} severities",
    )
