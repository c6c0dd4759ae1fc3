"""The law of a person's year under many covers at once, all on one lattice.

The bill of each benefit is put on a fine lattice once. A cover maps it to what is paid, a mean-keeping
split between two points of the lattice; the number of claims compounds it; sub-limits fold it; benefits
multiply as transforms; the terms of the year map it once more. All of it padded to twice the points
and tilted by e^(−10) over the lattice, so that what wraps around stays below 1e-11.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.fft import irfft, rfft

from pricing.errors import InputError
from pricing.losses.discretise import discretise
from pricing.losses.severity_law import SeverityLaw, sample_severity
from pricing.losses.severity_part import Points
from pricing.losses.terms import Terms
from pricing.tiers.benefit import Benefit
from pricing.tiers.tier import Tier

__all__ = ["PersonLaws", "person_laws", "year_span"]

Array = npt.NDArray[np.float64]
FINE = 8  # points of the fine lattice in one of the lattice
NEAR = 512  # amounts above so many points keep to the lattice
TILT = 20.0
CHUNK = 256
LOST = 1e-6
KEPT = 1e-9


@dataclass(frozen=True)
class PersonLaws:
    """Laws of a person's year, one row per cover.

    Attributes
    ----------
    span : float
        h, currency.
    laws : numpy.ndarray
        Shape (covers, points); rows add up to 1.
    mean, square : numpy.ndarray
        E[Y] and E[Y²], currency.

    Examples
    --------
    >>> PersonLaws(10.0, np.array([[0.5, 0.5]])).mean.tolist()
    [5.0]
    """

    span: float
    laws: Array

    @property
    def mean(self) -> Array:
        """E[Y] by cover, currency."""
        return np.asarray(self.laws @ self._points)

    @property
    def square(self) -> Array:
        """E[Y²] by cover."""
        return np.asarray(self.laws @ self._points**2)

    @property
    def _points(self) -> Array:
        return self.span * np.arange(self.laws.shape[1], dtype=float)


def year_span(tiers: Sequence[Tier], points: int) -> float:
    """Choose a span so that the lattice holds a person's year of every cover.

    It divides the annual deductibles, limits and sub-limits where these have a common divisor
    above what the lattice needs.

    Examples
    --------
    >>> from pricing.tiers.benefit import Benefit
    >>> visits = Benefit(name="outpatient", frequency=1.0, severity=sample_severity([100.0]))
    >>> year_span([Tier(name="basic", benefits=(visits,), premium=1.0, terms=Terms(limit=4000.0))], 1024)
    3.9138943248532287
    """
    need = max(_top(tier) for tier in tiers) / (points - 2)
    knots = {t.terms.deductible for t in tiers}
    knots |= {float(x) for t in tiers for x in t.terms.starts}
    knots |= {t.terms.limit for t in tiers} | {b.year_limit for t in tiers for b in t.benefits}
    whole = [round(100 * x) for x in knots if 0 < x < math.inf]
    exact = all(abs(100 * x - round(100 * x)) < 1e-6 for x in knots if x < math.inf)
    common = math.gcd(*whole) / 100 if whole and exact else 0.0
    parts = int(common / need * (1 + 1e-12))
    if parts >= 1:
        return common / parts
    power = 10.0 ** (math.floor(math.log10(need)) - 2)
    return float(math.ceil(need / power - 1e-9) * power)


def person_laws(tiers: Sequence[Tier], *, first_term: bool, span: float, points: int) -> PersonLaws:
    """Give the law of a person's year under every cover.

    Parameters
    ----------
    tiers : sequence of Tier
        Covers with the same benefits in the same order.
    first_term : bool
        Whether waiting periods count.
    span : float
        h, currency.
    points : int
        Points of the lattice.

    Raises
    ------
    InputError
        Where more than 1e-6 of a person's years lie beyond the lattice.

    Examples
    --------
    >>> from scipy import stats
    >>> visits = Benefit(name="outpatient", frequency=1.0, severity=stats.expon(scale=100.0))
    >>> tier = Tier(name="basic", benefits=(visits,), premium=1.0, terms=Terms(limit=2000.0))
    >>> laws = person_laws([tier], first_term=False, span=1.0, points=2048)
    >>> round(float(laws.laws[0, 0]), 3), round(float(laws.mean[0]), 3)
    (0.37, 100.0)
    """
    shrink = np.exp(-TILT / (2 * points) * np.arange(points))
    fine: dict[tuple[int, float], SeverityLaw] = {}
    waves: dict[tuple[object, ...], int] = {}
    made: list[npt.NDArray[np.complex128]] = []
    place = np.empty((len(tiers), len(tiers[0].benefits)), dtype=np.int64)
    for i, tier in enumerate(tiers):
        for j, b in enumerate(tier.benefits):
            key = (j, b.deductible, b.coinsurance, b.limit, b.year_limit, b.waiting_days)
            key = (*key, b.gate, b.frequency, b.dispersion, b.measured_coinsurance, b.elasticity)  # type: ignore[assignment]
            if key not in waves:
                waves[key] = len(made)
                count = b.count(first_term=first_term, term_days=tier.term_days)
                law = _laid(b, j, fine, span).under(b.terms)
                f = discretise(law, span=span, size=points).probabilities
                wave = count.pgf(rfft(f * shrink, 2 * points))
                if b.year_limit < span * (points - 1):
                    g = _unwound(wave[None, :], shrink)
                    wave = rfft(_folded(g, Terms(limit=b.year_limit), span)[0] * shrink, 2 * points)
                made.append(wave)
            place[i, j] = waves[key]
    found = np.empty((len(tiers), points))
    stack = np.array(made)
    for low in range(0, len(tiers), CHUNK):
        some = slice(low, low + CHUNK)
        product = stack[place[some, 0]]
        for j in range(1, place.shape[1]):
            product = product * stack[place[some, j]]
        found[some] = _unwound(product, shrink)
    groups: dict[Terms, list[int]] = {}
    for i, tier in enumerate(tiers):
        groups.setdefault(tier.terms, []).append(i)
    for terms, rows in groups.items():
        found[rows] = _folded(found[rows], terms, span)
    return PersonLaws(span, found)


def _laid(
    benefit: Benefit, number: int, fine: dict[tuple[int, float], SeverityLaw], span: float
) -> SeverityLaw:
    """The bill of a claim on a fine lattice, made once per benefit and scale."""

    def laid(law: SeverityLaw) -> SeverityLaw:
        if all(isinstance(part, Points) for part in law.parts):
            return law
        key = (
            number,
            1.0 if law is benefit.law else benefit.gate.severity if benefit.gate else 1.0,
        )
        if key not in fine:
            h = span / FINE
            reach = law.reach(1e-12)
            size = int(min(max(reach / h + 2, 64), 1 << 17))
            at = discretise(law, span=h, size=size)
            points, p = h * np.arange(size, dtype=float), at.probabilities.clip(0.0)
            if at.mass > 0:
                points, p = np.append(points, at.money / at.mass), np.append(p, at.mass)
            fine[key] = sample_severity(*_coarser(points, p, span))
        return fine[key]

    return benefit.bills(laid)


def _coarser(points: Array, p: Array, span: float) -> tuple[Array, Array]:
    """Fewer points where amounts are large: multiples of h, each amount keeping its mean."""
    large = points > span * NEAR
    place = points[large] / span
    low = np.floor(place + 1e-9)
    share = (place - low).clip(0.0)
    first = int(low[0]) if low.size else 0
    at = (low - first).astype(np.int64)
    sums = np.bincount(
        np.concatenate([at, at + 1]),
        weights=np.concatenate([p[large] * (1 - share), p[large] * share]),
    )
    some = sums > 0
    far = span * (first + np.arange(sums.size, dtype=float))
    return np.append(points[~large], far[some]), np.append(p[~large], sums[some])


def _unwound(waves: npt.NDArray[np.complex128], shrink: Array) -> Array:
    """Back from transforms to probabilities; what lies beyond the lattice is missing."""
    g = irfft(waves, 2 * shrink.size, axis=1)[:, : shrink.size] / shrink
    g[g < 1e-18] = 0.0
    return np.asarray(g)


def _folded(f: Array, terms: Terms, span: float) -> Array:
    """What terms pay of laws on the lattice; what was beyond is paid the most, or is next to nothing."""
    n = f.shape[1]
    paid = terms.paid(span * np.arange(n, dtype=float)) / span
    near = np.rint(paid)
    paid = np.where(np.abs(paid - near) <= 1e-9 * np.maximum(near, 1), near, paid)
    low = np.floor(paid).astype(np.int64)
    share = paid - low
    high = np.minimum(low + 1, n - 1)
    weights = np.concatenate([1 - share, share])
    matrix = sparse.csr_array(
        (weights, (np.tile(np.arange(n), 2), np.concatenate([low, high]))), shape=(n, n)
    )
    found = np.asarray(f @ matrix)
    beyond = (1 - f.sum(axis=1)).clip(0.0)
    worst = float(beyond.max())
    if terms.most / span > paid[-1] + 1e-9 and worst > LOST:
        raise InputError(
            f"{worst:.2g} of a person's years lie beyond the lattice of {n:,} points of {span:g}",
            do="set an annual limit, or give more points or a wider span",
        )
    last, part = low[-1], share[-1]
    found[:, last] += beyond * (1 - part)
    found[:, min(last + 1, n - 1)] += beyond * part
    return np.asarray(found / found.sum(axis=1, keepdims=True))


def _top(tier: Tier) -> float:
    """A year's loss from which on the tier pays no more, or that is next to never passed."""
    most = math.fsum(b.year_limit for b in tier.benefits)
    if tier.terms.slopes[-1] == 0:
        most = min(most, float(tier.terms.starts[-1]))
    if most < math.inf:
        return most
    mean = square = one = 0.0
    for b in tier.benefits:
        law, claims = b.bills().under(b.terms), b.claims()
        first, second = law.power(1), law.power(2)
        if not math.isfinite(first):
            raise InputError(
                f"the severity of {b.name} has no finite mean",
                do="set a limit, or take a lighter tail",
            )
        mean += claims * first
        square += claims * (second if math.isfinite(second) else first**2)
        square += (b.dispersion - 1) * claims * first**2
        one = max(one, min(law.reach(min(KEPT / claims, 0.5)), law.most))
    return mean + 8 * math.sqrt(square) + one
