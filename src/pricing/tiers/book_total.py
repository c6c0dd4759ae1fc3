"""Totals of many books at once: the law of a person's year, added up over all persons, design by design.

A person's year on the lattice 0, h, …, (n − 1)h has the transform φ(ω) = Σ f_j e^(−iωhj); m persons
have φᵐ, which for many persons is next to nothing but at low frequencies. So of the discrete Fourier
transform over a window of M points around the mean only the K frequencies with |φ|ᵐ above 1e-16 are
computed, and P(S ≤ x) is their geometric sum, in closed form. Between the places where |φ| is looked
at it rises by at most σ times the distance (|φ′| ≤ E|X − EX| ≤ σ), so what is left out is known to be
small; where it is not (few persons, or amounts of one coarse multiple) all M/2 frequencies are taken.
No normal approximation anywhere. Source: Abate and Whitt (1992), The Fourier-series method for
inverting transforms of probability distributions; Grübel and Hermesmeier (1999) for the lattice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.fft import irfft, rfft
from scipy.special import gammainccinv

from pricing.errors import InputError

__all__ = ["BookTotal", "book_total"]

Array = npt.NDArray[np.float64]
NOTHING = -37.0  # ln 1e-16
BEYOND = 1e-13
NOISE = 1e-12
MOST = 1 << 21
DIRECT = 1024  # up to so many frequencies a product of matrices is the shorter way


@dataclass(frozen=True)
class BookTotal:
    """Totals of several books over one window each.

    Attributes
    ----------
    span : float
        h, currency.
    start : numpy.ndarray
        First point of each window, shape (designs,).
    size : numpy.ndarray
        Points of each window.
    mean, deviation : numpy.ndarray
        Of the total, currency.
    waves : tuple of numpy.ndarray
        φᵐ at the frequencies kept, per design.

    Examples
    --------
    >>> one = np.array([[0.5, 0.5]])
    >>> book_total([(2, one)], 10.0).exceeds(np.array([[0.0, 10.0, 20.0]])).round(9).tolist()
    [[0.75, 0.25, 0.0]]
    """

    span: float
    start: npt.NDArray[np.int64]
    size: npt.NDArray[np.int64]
    mean: Array
    deviation: Array
    waves: tuple[npt.NDArray[np.complex128], ...]

    def upto(self, amount: Array) -> Array:
        """P(S ≤ x) for amounts of shape (designs, any)."""
        place = np.floor(np.asarray(amount, dtype=float) / self.span + 1e-9)
        found = np.empty(place.shape)
        for d, wave in enumerate(self.waves):
            found[d] = _sums(wave, int(self.size[d]), int(self.start[d]), place[d])
        return found

    def exceeds(self, amount: Array) -> Array:
        """P(S > x) for amounts of shape (designs, any); below 1e-12, the sums' own error, it is 0."""
        found = 1 - self.upto(amount)
        return np.asarray(np.where(found < NOISE, 0.0, np.where(found > 1 - NOISE, 1.0, found)))

    def quantiles(self, levels: Sequence[float]) -> Array:
        """VaR_p = inf{x : P(S ≤ x) ≥ p}, shape (designs, levels), by halving down to a point."""
        p = np.asarray(levels, dtype=float)
        if not np.all((p > 0) & (p < 1)):
            raise InputError(f"a probability lies between 0 and 1, got {list(levels)}")
        found = np.empty((len(self.waves), p.size))
        for d, wave in enumerate(self.waves):
            found[d] = self.span * _places(wave, int(self.size[d]), int(self.start[d]), p)
        return found

    def probabilities(self, design: int) -> tuple[Array, Array]:
        """Points of one design and their probabilities, the whole window."""
        n, start = int(self.size[design]), int(self.start[design])
        full = np.zeros(n // 2 + 1, dtype=complex)
        full[: self.waves[design].size] = self.waves[design]
        p = np.roll(irfft(full, n), -(start % n))
        return self.span * (start + np.arange(n, dtype=float)), p.clip(0.0)


def book_total(parts: Sequence[tuple[int, Array]], span: float) -> BookTotal:
    """Add up independent persons' years, for many designs at once.

    Parameters
    ----------
    parts : sequence of (int, numpy.ndarray)
        Number of persons, and the law of one person's year in each design: shape (designs, points),
        rows adding up to 1.
    span : float
        h of the lattice, currency, above zero.

    Returns
    -------
    BookTotal
        Distribution of each design's total.

    Raises
    ------
    InputError
        For laws that do not add up to 1, or windows of more than 2²¹ points.

    Examples
    --------
    >>> from scipy import stats
    >>> one = stats.binom(3, 0.2).pmf(np.arange(4))[None, :]
    >>> total = book_total([(1000, one)], 1.0)
    >>> p = float(total.exceeds(np.array([[640.0]]))[0, 0])
    >>> bool(abs(p - stats.binom(3000, 0.2).sf(640)) < 1e-12)
    True
    """
    laws = [np.atleast_2d(np.asarray(f, dtype=float)) for _, f in parts]
    if not laws or len({f.shape for f in laws}) != 1 or not 0 < span < math.inf:
        raise InputError("a total takes laws of one shape and a span above zero")
    off = max(float(np.abs(f.sum(axis=1) - 1).max()) for f in laws)
    if not off <= 1e-9 or any(np.any(f < 0) for f in laws):
        raise InputError(f"laws of a person's year that miss 1 by {off:.2g}, or below zero")
    counts = [int(n) for n, _ in parts]
    if min(counts) < 1:
        raise InputError(f"a book has 1 person or more, got {counts}")
    at = np.arange(laws[0].shape[1], dtype=float)
    means = [f @ at for f in laws]
    off_mean = [(at - m[:, None]) for m in means]
    seconds = [np.einsum("dj,dj->d", f, o * o) for f, o in zip(laws, off_mean, strict=True)]
    thirds = [np.einsum("dj,dj->d", f, o**3) for f, o in zip(laws, off_mean, strict=True)]
    mean, variance, third = (
        np.sum([n * v for n, v in zip(counts, each, strict=True)], axis=0)
        for each in (means, seconds, thirds)
    )
    low, size = _windows(counts, laws, mean, variance, third)
    last = _last_waves(counts, laws, seconds, size)
    waves: list[npt.NDArray[np.complex128] | None] = [None] * mean.size
    for m in np.unique(size):
        group = np.flatnonzero(size == m)
        for some in (group[last[group] < DIRECT], group[last[group] >= DIRECT]):
            _transform(counts, laws, some, int(m), last, waves)
    found = tuple(w for w in waves if w is not None)
    return BookTotal(span, low, size, span * mean, span * np.sqrt(variance), found)


def _windows(
    counts: Sequence[int], laws: Sequence[Array], mean: Array, variance: Array, third: Array
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """First point and number of points that hold all but 1e-13 of each total."""
    sd = np.sqrt(variance)
    skew = np.where(sd > 0, third / np.maximum(sd, 1e-300) ** 3, 0.0)
    k = 4 / np.maximum(skew, 1e-3) ** 2
    upper = mean + sd * np.maximum(
        9.0, np.maximum(skew, 1e-3) / 2 * (gammainccinv(k, BEYOND) - k)
    )  # Pearson III, and at least nine deviations
    one, top = np.zeros(mean.size), np.zeros(mean.size)
    for n, f in zip(counts, laws, strict=True):
        tail = np.cumsum(f[:, ::-1], axis=1)[:, ::-1]
        one = np.maximum(one, (tail > BEYOND / n).sum(axis=1))
        top += n * ((f > 0) * np.arange(f.shape[1])).max(axis=1)
    high = np.minimum(np.maximum(upper, mean + one), top) + 1
    low = np.floor(np.maximum(mean - 9 * sd - 1, 0.0)).astype(np.int64)
    need = np.maximum(high - low, 2.0)
    size = 2 ** np.ceil(np.log2(need) + 1e-12).astype(np.int64)
    size = np.maximum(size, 64)
    if size.max() > MOST:
        raise InputError(
            f"a total takes {int(size.max()):,} points, more than {MOST:,}",
            do="take a wider span, or fewer persons",
        )
    return low, size


def _last_waves(
    counts: Sequence[int],
    laws: Sequence[Array],
    seconds: Sequence[Array],
    size: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    """How many frequencies are above nothing; all of them where nothing says otherwise."""
    points = 2 * (1 << math.ceil(math.log2(laws[0].shape[1])))
    total = np.zeros((laws[0].shape[0], points // 2 + 1))
    for n, f, second in zip(counts, laws, seconds, strict=True):
        slack = np.sqrt(second) * math.pi / points
        at = np.abs(rfft(f, points, axis=1, workers=-1))
        total += n * np.log(np.minimum(at + slack[:, None], 1.0).clip(1e-300))
    above = total > NOTHING
    cut = above.shape[1] - np.argmax(above[:, ::-1], axis=1)  # samples kept, at least one
    kept = np.ceil((cut + 0.5) / points * size).astype(np.int64) + 1
    found: npt.NDArray[np.int64] = np.minimum(kept, size // 2 + 1)
    return found


def _transform(
    counts: Sequence[int],
    laws: Sequence[Array],
    some: npt.NDArray[np.int64],
    m: int,
    last: npt.NDArray[np.int64],
    waves: list[npt.NDArray[np.complex128] | None],
) -> None:
    """φᵐ of some designs over one number of points."""
    if not some.size:
        return
    width, most = laws[0].shape[1], int(last[some].max())
    direct = most <= DIRECT
    cos = sin = None
    if direct:
        root = _roots(m)[np.outer(np.arange(width), np.arange(most)) % m]
        cos, sin = np.ascontiguousarray(root.real), np.ascontiguousarray(root.imag)
    step = some.size if direct else max(1, (1 << 22) // m)
    for chunk in (some[i : i + step] for i in range(0, some.size, step)):
        whole: npt.NDArray[np.complex128] | None = None
        for n, f in zip(counts, laws, strict=True):
            own = f[chunk]
            if cos is not None and sin is not None:
                phi = own @ cos - 1j * (own @ sin)
            else:
                if width > m:
                    fold = np.pad(own, ((0, 0), (0, -width % m)))
                    own = fold.reshape(own.shape[0], -1, m).sum(axis=1)
                phi = rfft(own, m, axis=1, workers=-1)[:, :most]
            raised = _power(phi, n)
            whole = raised if whole is None else whole * raised
        if whole is not None:
            for row, d in enumerate(chunk):
                kept = whole[row, : last[d]]
                some_left = np.flatnonzero(np.abs(kept) > 1e-18)
                waves[d] = kept[: some_left[-1] + 1].copy()


@lru_cache(maxsize=4)
def _roots(m: int) -> npt.NDArray[np.complex128]:
    """All m-th roots of one, in their order."""
    return np.asarray(np.exp(2j * np.pi / m * np.arange(m)), dtype=np.complex128)


def _power(z: npt.NDArray[np.complex128], n: int) -> npt.NDArray[np.complex128]:
    """Give a whole power by squaring, many times as fast as the general power."""
    found, square = np.ones_like(z), z
    while n:
        if n & 1:
            found = found * square
        n >>= 1
        if n:
            square = square * square
    return found


def _weights(
    wave: npt.NDArray[np.complex128], m: int, start: int
) -> tuple[npt.NDArray[np.complex128], float]:
    """Weights w_k and a constant, so that P(J ≤ j) = constant + j/m + Re Σ w_k e^(2πik(j + 1)/m)."""
    k = np.arange(1, wave.size)
    double = np.where(k == m - k, 1.0, 2.0) / m
    w = -double * wave[1:] / (1 - _roots(m)[k])
    first = -float((w * _roots(m)[k * (start % m) % m]).sum().real)
    return w, first + (1 - start) / m


def _sums(wave: npt.NDArray[np.complex128], m: int, start: int, place: Array) -> Array:
    """P(J ≤ j) by the geometric sum over the window."""
    w, constant = _weights(wave, m, start)
    return _evaluated(w, constant, m, start, place)


def _evaluated(
    w: npt.NDArray[np.complex128], constant: float, m: int, start: int, place: Array
) -> Array:
    inside = np.clip(place, start - 1, start + m - 1).astype(np.int64)
    turn = np.outer((inside + 1) % m, np.arange(1, w.size + 1)) % m
    found = constant + inside / m + (_roots(m)[turn] @ w).real
    found = np.where(place < start, 0.0, np.where(place >= start + m - 1, 1.0, found))
    return np.asarray(found.clip(0.0, 1.0))


def _places(wave: npt.NDArray[np.complex128], m: int, start: int, p: Array) -> Array:
    """Smallest place that is not passed with each probability."""
    few = min(m, max(4096, 1 << math.ceil(math.log2(2 * wave.size + 1))))
    if few == m:
        full = np.zeros(m // 2 + 1, dtype=complex)
        full[: wave.size] = wave
        mass = np.cumsum(np.roll(irfft(full, m), -(start % m)))
        return np.asarray(start + np.searchsorted(mass, p - 1e-12).clip(max=m - 1), dtype=float)
    # the sums at every (m/few)-th place by a short transform; between two of them, straight lines
    w, constant = _weights(wave, m, start)
    k = np.arange(1, wave.size)
    shifted = np.zeros(few // 2 + 1, dtype=complex)
    shifted[1 : wave.size] = w * _roots(m)[k * (start % m) % m]
    place = start - 1 + m // few * np.arange(few + 1)
    cdf = np.append(constant + place[:-1] / m + irfft(shifted, few) * few / 2, 1.0)
    at = np.searchsorted(np.maximum.accumulate(cdf), p - 1e-12).clip(1, few)
    low, high, below, above = place[at - 1], place[at], cdf[at - 1], cdf[at]
    while np.any(high - low > 1):
        share = ((p - below) / np.maximum(above - below, 1e-300)).clip(0.0, 1.0)
        guess = low + np.floor(share * (high - low)).astype(np.int64)
        for probe in (guess - 1, guess + 1, (low + high) // 2):
            middle = np.clip(probe, low, high)
            seen = _evaluated(w, constant, m, start, middle.astype(float))
            reached = (seen >= p - 1e-12) & (middle > low)
            short = ~reached & (middle < high)
            high, above = np.where(reached, middle, high), np.where(reached, seen, above)
            low, below = np.where(short, middle, low), np.where(short, seen, below)
    return np.asarray(high, dtype=float)
