"""Laws of the number of claims: generating function, moments, and Panjer's recursion where it holds.

A law is known by its probability generating function P(z) = E[z^N]: the aggregate loss has the
characteristic function P(φ), φ that of one claim. Sources: Klugman, Panjer and Willmot, Loss Models
(5th ed. 2019), chapters 6 and 9 and appendix B; Panjer (1981); Sundt and Jewell (1981).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pricing.errors import InputError

__all__ = [
    "CountLaw",
    "binomial_count",
    "compound_count",
    "count_table",
    "fixed_count",
    "generated_count",
    "mixed_count",
    "negative_binomial",
    "persons",
    "poisson",
    "zero_modified",
]

Complex = npt.NDArray[np.complex128]
MOST = 1 << 20


@dataclass(frozen=True)
class CountLaw:
    """Law of the number of claims of a year.

    Attributes
    ----------
    name : str
        The law with its parameters, for the basis of a result.
    mean, variance, third : float
        Mean, variance and third central moment.
    pgf : callable
        P(z) for an array of complex z with |z| ≤ 1.
    panjer : tuple of float, optional
        (a, b, p0, p1) of the class (a, b, 1): p_k = (a + b/k)·p_{k−1} for k ≥ 2.
    stages : tuple of CountLaw, optional
        Primary and secondary law of a compound count.

    Examples
    --------
    >>> law = poisson(2.0)
    >>> law.mean, law.variance, round(float(law.pgf(np.array([0j]))[0].real), 6)
    (2.0, 2.0, 0.135335)
    """

    name: str
    mean: float
    variance: float
    third: float
    pgf: Callable[[Complex], Complex]
    panjer: tuple[float, float, float, float] | None = None
    stages: tuple[CountLaw, CountLaw] | None = None


def poisson(mean: float) -> CountLaw:
    """Poisson number of claims: P(z) = exp(λ(z − 1)).

    Parameters
    ----------
    mean : float
        λ, expected number of claims, above zero.

    Examples
    --------
    >>> poisson(3.0).third
    3.0
    """
    mean = _above(mean, "the expected number of claims")
    p0 = math.exp(-mean)
    return CountLaw(
        f"Poisson({mean:g})",
        mean,
        mean,
        mean,
        lambda z: np.exp(mean * (z - 1)),
        (0.0, mean, p0, mean * p0),
    )


def negative_binomial(
    *,
    mean: float | None = None,
    dispersion: float | None = None,
    r: float | None = None,
    beta: float | None = None,
) -> CountLaw:
    """Negative binomial number of claims: P(z) = (1 − β(z − 1))^(−r).

    Parameters
    ----------
    mean, dispersion : float
        Expected number rβ, and variance over mean 1 + β, above 1.
    r, beta : float
        The same law by its parameters, both above zero. Give one pair.

    Raises
    ------
    InputError
        Where neither or both pairs are given, or for values outside their domain.

    Examples
    --------
    >>> negative_binomial(r=6, beta=0.5).mean, negative_binomial(mean=3, dispersion=1.5).variance
    (3.0, 4.5)
    """
    given = tuple(value is not None for value in (mean, dispersion, r, beta))
    if given not in ((True, True, False, False), (False, False, True, True)):
        raise InputError(
            "a negative binomial takes mean and dispersion, or r and beta",
            do="give one pair and not the other",
        )
    if mean is not None and dispersion is not None:
        beta = _above(dispersion - 1, "dispersion − 1 of a negative binomial")
        r = _above(mean, "the expected number of claims") / beta
    r, beta = _above(r or 0.0, "r"), _above(beta or 0.0, "beta")
    mean, spread, p0 = r * beta, 1 + beta, (1 + beta) ** -r
    ratio = beta / spread
    return CountLaw(
        f"negative binomial(r={r:g}, β={beta:g})",
        mean,
        mean * spread,
        mean * spread * (1 + 2 * beta),
        lambda z: np.exp(-r * np.log(1 - beta * (z - 1))),
        (ratio, (r - 1) * ratio, p0, r * ratio * p0),
    )


def binomial_count(trials: int, probability: float) -> CountLaw:
    """Binomial number of claims: P(z) = (1 + q(z − 1))^m.

    Parameters
    ----------
    trials : int
        m, such as the number of insured who can claim once, at least 1.
    probability : float
        q, above zero and below 1.

    Examples
    --------
    >>> round(binomial_count(3, 0.4).variance, 2)
    0.72
    """
    if trials != int(trials) or trials < 1 or not 0 < probability < 1:
        raise InputError(
            "a binomial takes a whole number of trials, at least 1, and a probability between 0 "
            f"and 1, got {trials} and {probability}"
        )
    m, q = int(trials), float(probability)
    p0, odds = (1 - q) ** m, q / (1 - q)
    return CountLaw(
        f"binomial({m}, {q:g})",
        m * q,
        m * q * (1 - q),
        m * q * (1 - q) * (1 - 2 * q),
        lambda z: (1 + q * (z - 1)) ** m,
        (-odds, (m + 1) * odds, p0, m * odds * p0),
    )


def fixed_count(number: int) -> CountLaw:
    """Exactly so many, such as the persons of a group: P(z) = z^n.

    Examples
    --------
    >>> fixed_count(4).variance
    0.0
    """
    if number != int(number) or number < 1:
        raise InputError(f"a fixed number must be whole and at least 1, got {number}")
    n = int(number)
    return CountLaw(f"exactly {n}", float(n), 0.0, 0.0, lambda z: z**n)


def persons(exposure: float) -> CountLaw:
    """So many person-years, the part of a year over as one person there with that probability.

    Examples
    --------
    >>> persons(2.5).mean, persons(2.5).variance
    (2.5, 0.25)
    """
    whole, part = divmod(_above(exposure, "the exposure"), 1.0)
    m = int(whole)
    return CountLaw(
        f"{exposure:g} persons",
        exposure,
        part * (1 - part),
        part * (1 - part) * (1 - 2 * part),
        lambda z: z**m * (1 - part + part * z),
    )


def count_table(probabilities: Sequence[float]) -> CountLaw:
    """Any probabilities of 0, 1, 2, … claims.

    Parameters
    ----------
    probabilities : sequence of float
        Zero or more, adding up to 1.

    Raises
    ------
    InputError
        For probabilities that are not, or more than 2²⁰ of them.

    Examples
    --------
    >>> round(count_table([0.5, 0.4, 0.0, 0.1]).mean, 9)
    0.7
    """
    p = np.asarray(probabilities, dtype=float)
    if p.ndim != 1 or not p.size or p.size > MOST or not np.all(p >= 0):
        raise InputError("a table of counts takes a list of probabilities, zero or more")
    if not abs(p.sum() - 1) <= 1e-9:
        raise InputError(f"the probabilities of the counts add up to {p.sum():.10g}, not 1")
    n = np.arange(p.size)
    mean = float(n @ p)
    law = CountLaw(
        f"table of {p.size} counts",
        mean,
        float((n - mean) ** 2 @ p),
        float((n - mean) ** 3 @ p),
        lambda z: _polynomial(p, z),
    )
    _above(mean, "the expected number of claims")
    return law


def generated_count(pgf: Callable[[Complex], Complex], *, name: str = "given") -> CountLaw:
    """Any law by its probability generating function; moments are read off its probabilities.

    The probabilities are the Fourier coefficients of P on the unit circle (Abate and Whitt 1992),
    taken at twice as many points until they no longer change the moments.

    Parameters
    ----------
    pgf : callable
        P(z) for an array of complex z with |z| ≤ 1.
    name : str
        What a reader calls the law.

    Raises
    ------
    InputError
        Where P(1) is not 1, the coefficients are no probabilities, or they do not end before 2²⁰.

    Examples
    --------
    >>> law = generated_count(lambda z: np.exp(2 * (z - 1)))
    >>> round(law.mean, 9), round(law.third, 9)
    (2.0, 2.0)
    """
    size, before = 64, math.nan
    while size <= MOST:
        circle = np.exp(-2j * np.pi * np.arange(size) / size)
        p = np.fft.ifft(np.asarray(pgf(circle), dtype=complex)).real
        if abs(p.sum() - 1) > 1e-9 or p.min() < -1e-9:
            raise InputError(f"{name!r} is not a generating function of probabilities")
        p, n = p.clip(0), np.arange(size)
        third = float(n**3.0 @ p)
        if abs(third - before) <= 1e-9 * third and p[size // 2 :].sum() < 1e-9:
            mean = float(n @ p)
            spread, skew = (float((n - mean) ** k @ p) for k in (2, 3))
            return CountLaw(name, _above(mean, "the expected number of claims"), spread, skew, pgf)
        size, before = size * 2, third
    raise InputError(f"the probabilities of {name!r} do not end before {MOST:,} claims")


def zero_modified(law: CountLaw, p0: float) -> CountLaw:
    """Give the probability of no claim its own value and keep the shape of the rest.

    Pᴹ(z) = 1 − (1 − p₀ᴹ)/(1 − p₀)·(1 − P(z)); p₀ᴹ = 0 truncates at zero.

    Parameters
    ----------
    law : CountLaw
        The law to change.
    p0 : float
        p₀ᴹ, from 0 to below 1.

    Examples
    --------
    >>> round(zero_modified(binomial_count(3, 0.3), 0.4).mean, 6)
    0.821918
    """
    if not 0 <= p0 < 1:
        raise InputError(f"the probability of no claim must lie from 0 to below 1, got {p0}")
    zero = float(law.pgf(np.zeros(1, dtype=complex))[0].real)
    share = (1 - p0) / (1 - zero)
    raw = _raw(law)
    mean, variance, third = _central(*(share * value for value in raw))
    panjer = None
    if law.panjer:
        a, b, _, p1 = law.panjer
        panjer = (a, b, p0, share * p1)
    name = f"{law.name} with P(0) = {p0:g}"
    return CountLaw(name, mean, variance, third, lambda z: 1 - share * (1 - law.pgf(z)), panjer)


def mixed_count(laws: Sequence[CountLaw], weights: Sequence[float]) -> CountLaw:
    """One of several laws, each with its probability: kinds of year, or of insured.

    Examples
    --------
    >>> mixed_count([poisson(1.0), poisson(3.0)], [0.5, 0.5]).variance
    3.0
    """
    w = _weights(weights, len(laws))
    raw = (w @ np.array([_raw(law) for law in laws])).tolist()
    mean, variance, third = _central(*raw)
    name = " or ".join(f"{law.name} ({share:.3g})" for law, share in zip(laws, w, strict=True))

    def pgf(z: Complex) -> Complex:
        return np.asarray(
            sum(share * law.pgf(z) for law, share in zip(laws, w, strict=True)), dtype=complex
        )

    return CountLaw(name, mean, variance, third, pgf)


def compound_count(primary: CountLaw, secondary: CountLaw) -> CountLaw:
    """A number of events, each with a number of claims: P(z) = P₁(P₂(z)).

    Poisson–Poisson is Neyman's type A (Neyman 1939).

    Examples
    --------
    >>> compound_count(poisson(10), poisson(4)).variance
    200.0
    """
    moments = compound_moments(primary, *_raw(secondary))
    name = f"{primary.name} of {secondary.name}"
    stages = (primary, secondary)
    return CountLaw(name, *moments, lambda z: primary.pgf(secondary.pgf(z)), None, stages)


def compound_moments(
    count: CountLaw, first: float, second: float, cubed: float
) -> tuple[float, float, float]:
    """Mean, variance and third central moment of a sum, from the raw moments of one term."""
    mean, variance, third = _central(first, second, cubed)
    n, v, t = count.mean, count.variance, count.third
    return (
        n * mean,
        n * variance + v * mean**2,
        n * third + 3 * v * mean * variance + t * mean**3,
    )


def _raw(law: CountLaw) -> tuple[float, float, float]:
    m, v, t = law.mean, law.variance, law.third
    return m, v + m * m, t + 3 * m * v + m**3


def _central(first: float, second: float, third: float) -> tuple[float, float, float]:
    if math.isinf(third):
        return first, second - first**2, math.inf
    return first, second - first**2, third - 3 * first * second + 2 * first**3


def _polynomial(p: npt.NDArray[np.float64], z: Complex) -> Complex:
    total = np.zeros_like(z)
    for coefficient in p[::-1]:  # Horner: as many steps as counts, each over all z
        total = total * z + coefficient
    return total


def _above(value: float, what: str) -> float:
    if not (math.isfinite(value) and value > 0):
        raise InputError(f"{what} must be above zero, got {value}")
    return float(value)


def _weights(weights: Sequence[float], number: int) -> npt.NDArray[np.float64]:
    w = np.asarray(weights, dtype=float)
    if w.shape != (number,) or not number or not np.all(w > 0) or not np.isfinite(w).all():
        raise InputError(f"{number} laws take as many weights above zero, got {list(weights)}")
    return np.asarray(w / w.sum())
