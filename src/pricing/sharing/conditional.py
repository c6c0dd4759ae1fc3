"""The part of a member in the pool's loss: E[X·1{S = s}] of every class by Fourier transform.

With P_c the generating function of one member's loss and n_c the members of the class, the sequence
E[X_i·1{S = k}] of a member i of class c has the generating function t·P_c′(t)·P_c(t)^(n_c − 1)·
Π_{j≠c} P_j(t)^{n_j} (Blier-Wong, Cossette and Marceau 2022, arXiv 2207.02654). With P = N(f), N that of
the number of claims and f that of one amount, t·P′(t) = N′(f(t))·Σ k·f_k·t^k. The product without one
member is taken in logarithms, in which a zero of P on the circle is one more finite number: no
quotient is formed, and no power of ten million runs into underflow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pricing.errors import InputError
from pricing.losses.compound import Grid
from pricing.losses.count_law import CountLaw
from pricing.losses.discretise import Lattice

__all__ = ["conditional_money", "generating_slope", "log_generating"]

Array = npt.NDArray[np.float64]
Complex = npt.NDArray[np.complex128]
ZERO = -2000.0  # log of a zero of P: e^ZERO is 0, and differences of it keep 13 digits


def conditional_money(
    members: Sequence[tuple[int, CountLaw | None]],
    lattices: Sequence[Lattice | None],
    grid: Grid,
) -> Array:
    """Compute E[X·1{S = s}] of one member, by class and point of the grid.

    Parameters
    ----------
    members : sequence of (int, CountLaw or None)
        Members of each class and the claims of one of them; None where they are not covered.
    lattices : sequence of Lattice or None
        Severities on the grid's span.
    grid : Grid
        Size, tilt and start.

    Returns
    -------
    numpy.ndarray
        Currency, shape (classes, size), at ``span·(start + j)``; each row adds up to the mean.

    Examples
    --------
    >>> from pricing.losses.count_law import poisson
    >>> from pricing.losses.discretise import discretise
    >>> from pricing.losses.severity_law import sample_severity
    >>> ones = discretise(sample_severity([1.0]), span=1.0, size=64)
    >>> money = conditional_money([(1, poisson(0.3)), (2, poisson(0.1))], [ones, ones], Grid(1.0, 64))
    >>> money.sum(axis=1).round(9).tolist()
    [0.3, 0.1]
    """
    n, theta = grid.size, grid.tilt / grid.size
    shrink = np.exp(-theta * np.arange(n)) if theta else None
    covered = [
        (row, number, count, lattice.probabilities)
        for row, ((number, count), lattice) in enumerate(zip(members, lattices, strict=True))
        if count is not None and lattice is not None
    ]
    whole = np.zeros(n // 2 + 1, dtype=complex)
    for _, number, count, p in covered:
        whole += number * log_generating(count, np.fft.rfft(_folded(p, n, shrink), n))
    found = np.zeros((len(members), n))
    for (
        row,
        _,
        count,
        p,
    ) in covered:  # transforms made again: forty of them fill more than they cost
        z = np.fft.rfft(_folded(p, n, shrink), n)
        sized = np.fft.rfft(_folded(p * np.arange(p.size), n, shrink), n)
        without = np.exp(whole - log_generating(count, z))
        money = np.fft.irfft(without * generating_slope(count, z) * sized, n)
        if shrink is not None:
            money = money / shrink
        if grid.start:
            money = np.roll(money, -(grid.start % n))
        found[row] = grid.span * money.clip(0)
    return found


def log_generating(count: CountLaw, z: Complex) -> Complex:
    """Give log P(z), to full precision where P is near 1; a zero of P gives −2000.

    Poisson and binomial laws have it in closed form: n members with a probability of 10⁻⁵ would lose
    n·10⁻¹⁶ of precision otherwise.

    Examples
    --------
    >>> from pricing.losses.count_law import binomial_count
    >>> log_generating(binomial_count(1, 0.5), np.array([1 + 0j, -1 + 0j])).real.tolist()
    [0.0, -2000.0]
    """
    if count.panjer is not None and count.stages is None:
        a, b, p0, p1 = count.panjer
        plain = p0 > 0 and math.isclose(p1, (a + b) * p0, rel_tol=1e-14)
        if plain and a == 0:
            return np.asarray(count.mean * (z - 1), dtype=complex)
        if plain and a < 0:
            q = -a / (1 - a)
            w = q * (z - 1)
            size = 2 * w.real + w.real**2 + w.imag**2
            with np.errstate(divide="ignore"):
                radius = (0.5 * np.log1p(size.clip(-1))).clip(ZERO)
            log = _finite(radius + 1j * np.arctan2(w.imag, 1 + w.real))
            return np.asarray(round(-b / a - 1) * log, dtype=complex)
    with np.errstate(divide="ignore", invalid="ignore"):
        return _finite(np.log(np.asarray(count.pgf(z), dtype=complex)))


def generating_slope(count: CountLaw, z: Complex) -> Complex:
    """Give P′(z) of a law of the number of claims.

    Of the class (a, b, 1): (1 − az)P′ = (a + b)P + p₁ − (a + b)p₀, from its recursion; of a compound
    of two laws by the chain rule; else from the probabilities, which the generating function has as
    Fourier coefficients.

    Raises
    ------
    InputError
        For a law without a closed form whose probabilities do not end before 4,096 claims of a member.

    Examples
    --------
    >>> from pricing.losses.count_law import count_table, poisson
    >>> at = np.array([1 + 0j])
    >>> [round(float(generating_slope(law, at)[0].real), 9)
    ...  for law in (poisson(0.4), count_table([0.5, 0.3, 0.2]))]
    [0.4, 0.7]
    """
    if count.stages is not None:
        first, second = count.stages
        inner = np.asarray(second.pgf(z), dtype=complex)
        return generating_slope(first, inner) * generating_slope(second, z)
    if count.panjer is not None:
        a, b, p0, p1 = count.panjer
        if abs(a) < 0.99:  # else 1 − az may vanish on the circle
            lead = p1 - (a + b) * p0
            return np.asarray(((a + b) * count.pgf(z) + lead) / (1 - a * z), dtype=complex)
    p = _probabilities(count)
    total = np.zeros_like(z)
    for k in range(p.size - 1, 0, -1):  # Horner: as many steps as claims of one member
        total = total * z + k * p[k]
    return total


def _folded(p: Array, n: int, shrink: Array | None) -> Array:
    if p.size > n:
        p = np.bincount(np.arange(p.size) % n, weights=p, minlength=n).astype(float)
    return p if shrink is None else p * shrink[: p.size]


def _finite(log: Complex) -> Complex:
    return np.where(np.isfinite(log) & (log.real > ZERO), log, ZERO + 0j)


def _probabilities(count: CountLaw) -> Array:
    size = 16
    while size <= 4096:
        circle = np.exp(-2j * np.pi * np.arange(size) / size)
        p = np.fft.ifft(np.asarray(count.pgf(circle), dtype=complex)).real
        if math.isclose(float(np.arange(size) @ p), count.mean, rel_tol=1e-9) and (
            abs(p[size // 2 :]).sum() < 1e-12
        ):
            p[np.abs(p) < 1e-16] = 0.0
            return np.trim_zeros(p, "b")
        size *= 2
    raise InputError(
        f"a member of a pool with {count.name}: its probabilities do not end before 4,096 claims",
        do="take a law with a recursion, such as the negative binomial",
    )
