"""A severity on a lattice: probabilities at 0, h, 2h, … in place of a law on the line.

Methods (Klugman, Panjer and Willmot, Loss Models, 5th ed. 2019, section 9.6.5; Gerber 1982):

* ``"moments"``: local moment matching of the first moment: f₀ = 1 − E[Y∧h]/h and
  f_j = (2E[Y∧jh] − E[Y∧(j−1)h] − E[Y∧(j+1)h])/h. The mean is exact whatever the span h; the spread
  comes out a little too wide (an amount between two points is shared between them).
* ``"rounding"``: f_j = P((j − ½)h ≤ Y < (j + ½)h); the loss models' method of rounding.
* ``"lower"``: losses moved down to the point below, f_j = P(jh ≤ Y < (j + 1)h): a bound from below.
* ``"upper"``: losses moved up, f_j = P((j − 1)h < Y ≤ jh): a bound from above.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from pricing.errors import InputError, nearest
from pricing.losses.severity_law import SeverityLaw
from pricing.losses.severity_part import PLAIN, Part, Points
from pricing.losses.terms import Terms

__all__ = ["Lattice", "Method", "discretise", "lattice_span"]

Array = npt.NDArray[np.float64]
Method = Literal["moments", "rounding", "lower", "upper"]


@dataclass(frozen=True)
class Lattice:
    """Probabilities at 0, h, …, (n − 1)h, and what lies beyond.

    Attributes
    ----------
    span : float
        h, in currency.
    probabilities : numpy.ndarray
        f_j, shape (n,).
    mass, money : float
        P and E of what lies beyond the last point.

    Examples
    --------
    >>> from pricing.losses.severity_law import sample_severity
    >>> discretise(sample_severity([1.0, 2.5]), span=1.0, size=4).probabilities.tolist()
    [0.0, 0.5, 0.25, 0.25]
    """

    span: float
    probabilities: Array
    mass: float
    money: float

    @property
    def powers(self) -> tuple[float, float, float]:
        """E[Y], E[Y²], E[Y³] of the lattice, what lies beyond at its mean."""
        at = self.span * np.arange(self.probabilities.size, dtype=float)
        mean = self.money / self.mass if self.mass > 0 else 0.0
        first = self.probabilities * at
        second = first * at
        inside = (first.sum(), second.sum(), (second * at).sum())
        one, two, three = (float(v + self.mass * mean**k) for k, v in enumerate(inside, start=1))
        return one, two, three


def discretise(law: SeverityLaw, *, span: float, size: int, method: Method = "moments") -> Lattice:
    """Put a severity on a lattice.

    Parameters
    ----------
    law : SeverityLaw
        The amount of one claim, or what terms pay of it.
    span : float
        h, in currency, above zero.
    size : int
        Number of points, at least 2.
    method : {"moments", "rounding", "lower", "upper"}
        See the module.

    Raises
    ------
    InputError
        For an unknown method, a span or size outside its domain, an infinite mean.

    Examples
    --------
    >>> from scipy import stats
    >>> from pricing.losses.severity_law import severity_law
    >>> found = discretise(severity_law(stats.expon()), span=0.01, size=1 << 12)
    >>> round(found.powers[0], 9)
    1.0
    """
    if method not in get_args(Method):
        raise InputError(f"no method {method!r}{nearest(str(method), get_args(Method))}")
    if not 0 < span < math.inf or size < 2:
        raise InputError(f"a lattice takes a span above zero and two points, got {span}, {size}")
    total, mass, mean = np.zeros(size), 0.0, 0.0
    for weight, part, terms in zip(law.weights, law.parts, law.terms, strict=True):
        if isinstance(part, Points):
            one, over, money = _points(part, terms, span, size, method)
        elif method == "moments":
            one, over, money = _matched(part, terms, span, size)
        else:
            one, over, money = _rounded(part, terms, span, size, method)
        total += weight * one
        mass, mean = mass + weight * over, mean + weight * money
    return Lattice(span, total, max(mass, 0.0), max(mean, 0.0))


def lattice_span(law: SeverityLaw) -> float | None:
    """Give the span of a severity of few amounts that are all multiples of one; else None.

    Examples
    --------
    >>> from pricing.losses.severity_law import sample_severity
    >>> lattice_span(sample_severity([100.0, 500.0, 1000.0]))
    100.0
    """
    if not all(isinstance(part, Points) for part in law.parts):
        return None
    paid = [t.paid(p.values) for p, t in zip(law.parts, law.terms, strict=True)]  # type: ignore[attr-defined]
    values = np.unique(np.concatenate(paid))
    values = values[values > 0]
    if not values.size or values.size > 10_000:
        return None
    for decimals in range(5):
        whole = np.rint(values * 10.0**decimals)
        if whole[-1] < 2**53 and np.allclose(values * 10.0**decimals, whole, rtol=1e-12, atol=0):
            return float(np.gcd.reduce(whole.astype(np.int64)) / 10**decimals)
    return None


def _points(
    part: Points, terms: Terms, span: float, size: int, method: Method
) -> tuple[Array, float, float]:
    """Each amount goes to a point, or is shared between two so that its mean stays."""
    paid = terms.paid(part.values)
    place = paid / span
    near = np.rint(place)
    place = np.where(np.abs(place - near) <= 1e-9 * np.maximum(near, 1), near, place)
    low = np.floor(place)
    share = {
        "moments": place - low,
        "rounding": (place - low >= 0.5).astype(float),
        "lower": np.zeros(place.size),
        "upper": (place > low).astype(float),
    }[method]
    inside = low + (share > 0) < size
    at, p = low[inside].astype(np.int64), part.probabilities[inside]
    f = np.bincount(at, weights=p * (1 - share[inside]), minlength=size).astype(float)
    f += np.bincount(np.minimum(at + 1, size - 1), weights=p * share[inside], minlength=size)
    out = part.probabilities[~inside]
    return f, float(out.sum()), float(out @ paid[~inside])


def _tail_paid(part: Part, terms: Terms, y: Array) -> Array:
    """E[(Y − y)₊] for rising y of zero or more: slopes times differences of the loss's tail."""
    if terms == PLAIN and math.isfinite(part.power(1, terms)):
        return part.tail(y, math.inf)
    starts, slopes = terms.starts, terms.slopes
    last = int(np.flatnonzero(slopes > 0)[-1])
    top = float(starts[last + 1]) if last + 1 < starts.size else math.inf
    x = np.minimum(terms.loss_at(y), top)
    knots = part.tail(starts[: last + 1], top)
    if not math.isfinite(knots[0]):
        raise InputError(
            "the severity has no finite mean", do="set a limit, or take a lighter tail"
        )
    ends = np.append(knots[1:], 0.0)
    worth = slopes[: last + 1] * (knots - ends)
    after = np.append(np.cumsum(worth[::-1])[::-1][1:], 0.0)
    k = (np.searchsorted(starts[: last + 1], x, side="right") - 1).clip(0)
    at = part.tail(x, top)
    return np.asarray(slopes[k] * (at - ends[k]) + after[k])


def _matched(part: Part, terms: Terms, span: float, size: int) -> tuple[Array, float, float]:
    excess = _tail_paid(part, terms, span * np.arange(size + 1, dtype=float))
    step = np.diff(excess)  # minus the mean part of each interval
    f = np.empty(size)
    f[0] = 1 + step[0] / span
    f[1:] = np.diff(step) / span
    mass = -step[-1] / span
    f[np.abs(f) < 1e-200] = 0.0
    # matching keeps the stop-loss premium at every point, so also at the last
    return f, mass, excess[-2] + span * (size - 1) * mass


def _rounded(
    part: Part, terms: Terms, span: float, size: int, method: Method
) -> tuple[Array, float, float]:
    shift = {"rounding": 0.5, "lower": 1.0, "upper": 0.0}[method]
    edges: Array = span * (np.arange(size, dtype=float) + shift)
    reach = edges if method == "upper" else np.nextafter(edges, -1.0)
    share = part.upto(terms.loss_at(reach.clip(0)))
    f = np.diff(share, prepend=0.0)
    excess = float(_tail_paid(part, terms, edges[-1:])[0])
    mass = float(1 - share[-1])
    return f, mass, excess + edges[-1] * mass
