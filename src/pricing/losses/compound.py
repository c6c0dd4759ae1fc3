"""The compound distribution: a number of claims times their amounts, by Fourier and by Panjer.

With f the severity on the lattice 0, h, …, (n − 1)h and P the generating function of the number of
claims, the aggregate g has the transform ĝ = P(f̂). A discrete transform wraps what lies beyond nh
around to the front. Tilting (Grübel and Hermesmeier 1999; Embrechts and Frei 2009) takes
f_j·e^(−θj) in place of f_j and g_j·e^(θj) back: what wraps around shrinks by e^(−θn), while rounding
errors grow by up to e^(θn). With ε beyond the grid, m its mean in points and u the unit roundoff,
both are the same at θn = ln(ε/u)/(2 − m/n), which is what is taken.

Where the aggregate lies far from zero in units of its spread, the wrapping is put to use: n points
around the mean hold it all, and what comes out is rolled to its place.

Panjer's recursion (1981; Sundt and Jewell 1981) g_x = ([p₁ − (a + b)p₀]f_x + Σ(a + by/x)f_y g_{x−y})
/ (1 − a·f₀) is the check: exact, without wrapping, in n² steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import gammainccinv, ndtr, ndtri

from pricing.errors import InputError
from pricing.losses.count_law import CountLaw, compound_moments
from pricing.losses.discretise import Lattice, lattice_span
from pricing.losses.severity_law import SeverityLaw

__all__ = ["Grid", "choose_grid", "compound", "moments_of", "panjer_recursion"]

Array = npt.NDArray[np.float64]
FAR, MOST, OFTEN = 1 << 23, 1 << 20, 1 << 18
ROUNDOFF = 1e-16
# points allowed and tail left out, tried in turn until the span is fine enough
CUTS = ((OFTEN, 1e-13), (OFTEN, 1e-10), (OFTEN, 1e-8), (MOST, 1e-8), (MOST, 1e-6))
ROUGH = 8.0
TINY = 1e-200  # below, arithmetic on denormal numbers would take most of the time


@dataclass(frozen=True)
class Grid:
    """Where the aggregate is computed.

    Attributes
    ----------
    span : float
        h, currency.
    size : int
        Number of points, a power of two.
    start : int
        First point of the window, 0 but for a large portfolio.
    tilt : float
        θn of the exponential tilting.

    Examples
    --------
    >>> Grid(1.0, 1024).top
    1024.0
    """

    span: float
    size: int
    start: int = 0
    tilt: float = 0.0

    @property
    def top(self) -> float:
        """Where the grid ends, currency."""
        return self.span * (self.start + self.size)


def moments_of(
    parts: Sequence[tuple[CountLaw, tuple[float, float, float]]],
) -> tuple[float, float, float]:
    """Mean, variance and third central moment of a sum of independent compound parts.

    Parameters
    ----------
    parts : sequence of (CountLaw, (E[Y], E[Y²], E[Y³]))
        Raw moments of one claim, which may be infinite.

    Examples
    --------
    >>> from pricing.losses.count_law import poisson
    >>> moments_of([(poisson(50.0), (10.0, 100.0, 1000.0))])
    (500.0, 5000.0, 50000.0)
    """
    each = [compound_moments(count, *raw) for count, raw in parts]
    mean, variance, third = (math.fsum(column) for column in zip(*each, strict=True))
    return mean, variance, third


def choose_grid(
    parts: Sequence[tuple[CountLaw, SeverityLaw]],
    moments: tuple[float, float, float],
    *,
    span: float | None = None,
    size: int | None = None,
    tilt: float | None = None,
) -> Grid:
    """Choose span, number of points and tilt, as far as they are not given.

    The range holds all but 1e-13 of the aggregate, or of a heavier tail as much as up to 2²⁰ points
    resolve (1e-6 is left out at most). The span is such that sharing a claim between two points
    changes the aggregate's variance by 2e-6, or by 1e-4 where the tail is heavy. Amounts that are
    all multiples of one keep to it.

    Raises
    ------
    InputError
        For a size that is no power of two from 2 to 2²⁰, or a span or tilt outside its domain.

    Examples
    --------
    >>> from pricing.losses.count_law import poisson
    >>> from pricing.losses.severity_law import sample_severity
    >>> grid = choose_grid([(poisson(5), sample_severity([1.0, 5.0]))], (15.0, 65.0, 315.0))
    >>> grid.span, grid.size, grid.start
    (1.0, 128, 0)
    """
    if size is not None and (size < 2 or size > MOST or size & (size - 1)):
        raise InputError(f"the number of buckets is a power of two from 2 to {MOST:,}, got {size}")
    if span is not None and not 0 < span < math.inf:
        raise InputError(f"a bucket must be above zero, got {span}")
    if tilt is not None and not 0 <= tilt <= 30:
        raise InputError(f"the tilt θn lies from 0 to 30, got {tilt}")
    mean, variance, _ = moments
    common = _common([lattice_span(law) for _, law in parts])
    low = mean - 10 * math.sqrt(variance) if math.isfinite(variance) else 0.0
    most = _reach(parts, moments, 1e-10)
    if common and most - low * (low > most / 2) > common * (size or MOST):
        common = None
    fine = span or common or _fine(moments, parts)
    for room, cut in CUTS:
        top, room = _reach(parts, moments, cut), size or room
        # a portfolio far from zero: the points go where it lies, and nothing may wrap around
        far = low > top / 2 and top > fine * room and tilt is None
        if far:
            top = _reach(parts, moments, min(cut, 1e-10))
        if (top - low * far) / room <= fine * (1 if span or common else ROUGH):
            break
    reach = top - low * far
    while far and size is None and room < FAR and reach / room > fine * ROUGH:
        room *= 2  # a book of 10⁷ claims and more
    n = size or min(max(1 << math.ceil(math.log2(max(reach / fine, 2.0)) + 1e-9), 64), room)
    h = fine if span or (common and reach <= fine * n) else _round_up(reach / n)
    start = int(low / h) if far else 0
    if start:
        return Grid(h, n, start)
    if tilt is None:
        beyond = max(_passed(parts, moments, h * n), ROUNDOFF)
        tilt = max(0.0, math.log(beyond / (10 * ROUNDOFF)) / (2 - min(mean / (h * n), 1.0)))
    return Grid(h, n, 0, min(tilt, 30.0))


def compound(parts: Sequence[tuple[CountLaw, Lattice]], grid: Grid) -> Array:
    """Give the probabilities of the aggregate at the points of the grid.

    Parameters
    ----------
    parts : sequence of (CountLaw, Lattice)
        Independent parts of the portfolio, severities on the grid's span.
    grid : Grid
        Size, tilt and start.

    Returns
    -------
    numpy.ndarray
        g_j at ``span·(start + j)``, shape (size,); together they miss 1 by what lies beyond.

    Examples
    --------
    >>> from pricing.losses.count_law import poisson
    >>> from pricing.losses.discretise import discretise
    >>> from pricing.losses.severity_law import sample_severity
    >>> ones = discretise(sample_severity([1.0]), span=1.0, size=64)
    >>> compound([(poisson(1.0), ones)], Grid(1.0, 64))[:3].round(6).tolist()
    [0.367879, 0.367879, 0.18394]
    """
    n, theta = grid.size, grid.tilt / grid.size
    shrink = np.exp(-theta * np.arange(n)) if theta else None
    transform = np.ones(n // 2 + 1, dtype=complex)
    for count, lattice in parts:
        f = lattice.probabilities
        if f.size > n:
            f = np.bincount(np.arange(f.size) % n, weights=f, minlength=n).astype(float)
        if shrink is not None:
            f = f * shrink[: f.size]
        transform = transform * count.pgf(np.fft.rfft(f, n))
    g: Array = np.fft.irfft(transform, n).astype(np.float64)
    if shrink is not None:
        g = g / shrink
    if grid.start:
        g = np.roll(g, -(grid.start % n))
    g[g < TINY] = 0.0
    return g


def panjer_recursion(count: CountLaw, severity: Lattice | Array, size: int) -> Array:
    """Compute the aggregate by Panjer's recursion: exact, and slow.

    Parameters
    ----------
    count : CountLaw
        Of the class (a, b, 1), or a compound of two such.
    severity : Lattice or numpy.ndarray
        f_0, f_1, …
    size : int
        Number of probabilities wanted.

    Raises
    ------
    InputError
        For a law without a recursion, or so many claims that P(S = 0) is below what a double holds.

    Examples
    --------
    >>> from pricing.losses.count_law import poisson
    >>> g = panjer_recursion(poisson(3.0), np.array([0.0, 1.9 / 3, 0.8 / 3, 0.1]), 3)
    >>> (g * np.exp(3)).round(3).tolist()
    [1.0, 1.9, 2.605]
    """
    f = severity.probabilities if isinstance(severity, Lattice) else np.asarray(severity)
    if count.stages:
        primary, secondary = count.stages
        return panjer_recursion(primary, panjer_recursion(secondary, f, size), size)
    if count.panjer is None:
        raise InputError(f"there is no recursion for {count.name}", do="take the Fourier transform")
    a, b, p0, p1 = count.panjer
    first = float(count.pgf(np.array([complex(f[0])]))[0].real)
    if first < 1e-290:
        raise InputError(
            f"P(S = 0) is {first:.3g}: the recursion would start from nothing",
            do="take the Fourier transform, or fewer claims",
        )
    f = np.pad(f[:size], (0, max(size - f.size, 0)))
    weighted = np.arange(size) * f
    g = np.zeros(size)
    g[0] = first
    lead = p1 - (a + b) * p0
    for x in range(1, size):
        back = g[x - 1 :: -1] if x > 0 else g[:0]
        sums = a * (f[1 : x + 1] @ back) + b / x * (weighted[1 : x + 1] @ back)
        g[x] = (lead * f[x] + sums) / (1 - a * f[0])
    return g


def _reach(
    parts: Sequence[tuple[CountLaw, SeverityLaw]],
    moments: tuple[float, float, float],
    probability: float,
) -> float:
    """A sum that is passed about so often: of many claims (Pearson III), or by one large claim."""
    mean, variance, third = moments
    claims = math.fsum(count.mean for count, _ in parts)
    one = max(law.reach(min(probability / claims, 0.5)) for _, law in parts)
    most = math.fsum(
        count.mean * law.most if count.variance == 0 else math.inf for count, law in parts
    )
    if not math.isfinite(third):
        return min(mean + one, most)
    sd = math.sqrt(variance)
    skew = third / sd**3 if sd > 0 else 0.0
    if skew > 1e-3:
        k = 4 / skew**2
        many = mean + sd * skew / 2 * (float(gammainccinv(k, probability)) - k)
    else:
        many = mean - sd * float(ndtri(probability))
    return float(min(max(many, mean + min(one, 1e300)), most) * (1 + 1e-9))


def _passed(
    parts: Sequence[tuple[CountLaw, SeverityLaw]],
    moments: tuple[float, float, float],
    top: float,
) -> float:
    """About how much lies beyond the top."""
    mean, variance, third = moments
    room = max(top - mean, 0.0)
    one = math.fsum(count.mean * law.exceeds(room) for count, law in parts)
    if not math.isfinite(third) or variance <= 0:
        return min(one, 1.0)
    z = room / math.sqrt(variance)
    many = float(ndtr(-z)) if z < 30 else 0.0
    skew = third / variance**1.5
    return float(min(one + many * (1 + max(skew, 0.0)), 1.0))


def _fine(
    moments: tuple[float, float, float],
    parts: Sequence[tuple[CountLaw, SeverityLaw]],
) -> float:
    variance, claims = moments[1], math.fsum(count.mean for count, _ in parts)
    if math.isfinite(variance) and variance > 0:
        return float(np.sqrt(12e-6 * variance / claims))
    return float(max(law.reach(0.5) for _, law in parts) / 100 or moments[0] / claims / 100)


def _common(spans: Sequence[float | None]) -> float | None:
    """The span that all keep to."""
    if any(span is None for span in spans):
        return None
    whole = [round(span * 1e6) for span in spans if span]
    return float(np.gcd.reduce(np.array(whole, dtype=np.int64)) / 1e6)


def _round_up(value: float) -> float:
    power = math.floor(math.log10(value)) - 1
    return float(f"{math.ceil(value / 10.0**power - 1e-9)}e{power}")
