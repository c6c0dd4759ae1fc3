"""Laws of the amount of one claim: a distribution, a sample, a histogram, or a mixture of these.

All that pricing asks of a severity X is its distribution function and the tail T(x) = ∫ₓ S(t)dt of
its survival function, E[(X − x)₊] where the mean is finite: every deductible, limit and layer is a
sum of differences of T (Klugman, Panjer and Willmot, Loss Models, 5th ed. 2019, sections 3.1, 8.2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pricing.errors import InputError
from pricing.losses.severity_part import PLAIN, Bins, Curve, Part, Points
from pricing.losses.terms import Terms

__all__ = [
    "SeverityLaw",
    "histogram_severity",
    "mixed_severity",
    "sample_severity",
    "severity_law",
]

Array = npt.NDArray[np.float64]


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

    @property
    def smooth(self) -> bool:
        """Whether no amount but zero has a probability of its own."""
        each = zip(self.parts, self.terms, strict=True)
        rising = [np.flatnonzero(t.slopes > 0)[0] for t in self.terms]
        return all(
            not isinstance(part, Points) and bool(np.all(t.slopes[k:] > 0))
            for (part, t), k in zip(each, rising, strict=True)
        )

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
        parts = tuple(part * factor for part in self.parts)
        return replace(self, parts=parts, name=f"{factor:g} × {self.name}")


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
    >>> round(sample_severity([1.0, 10.0], [0.9, 0.1]).mean, 12)
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
        tuple(float(s * v) for s, law in zip(share, taken, strict=True) for v in law.weights),
        tuple(t for law in taken for t in law.terms),
        taken[0].name if len(taken) == 1 else f"mixture of {len(taken)} severities",
    )
