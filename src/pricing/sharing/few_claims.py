"""The number of claims of a small pool, exactly: members with their own probabilities.

The sum of independent claims with probabilities q_i (Poisson-binomial) has the generating function
Π(1 + q_i(z − 1)), read off by Fourier transform (Hong 2013). The Poisson law with the same mean is at
most min(1, 1/λ)·Σq_i² away in total variation (Barbour and Hall 1984).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import polars as pl
from scipy.special import gammaln, xlogy

from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.losses.count_law import CountLaw
from pricing.result.figure import COLOURS
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, say
from pricing.sharing.pool import number_given

__all__ = ["FewClaims", "few_claims", "members_for", "poisson_binomial"]

Array = npt.NDArray[np.float64]
Complex = npt.NDArray[np.complex128]
MOST = 1 << 20
RARE, MOST_POWERS = 0.05, 40  # a chance up to this is rare; its logarithm needs few powers


class FewClaims(Result):
    """Number of claims of a small pool, exactly and by the Poisson law.

    ``.table``: claim_number, probability_exact, probability_poisson, passed_exact (P(N > k)),
    passed_poisson.

    Examples
    --------
    >>> few_claims([0.5, 0.1]).table["probability_exact"].round(9).to_list()
    [0.45, 0.5, 0.05]
    """

    kind = "few_claims"

    def finding(self, lang: Language = "en") -> str:
        """Say how far the Poisson law is off."""
        return say("finding.few_claims", lang, **self.facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw both laws side by side."""
        figure = go.Figure(layout={"template": "pricing"})
        for name, colour in (("probability_exact", "estimate"), ("probability_poisson", "second")):
            figure.add_bar(
                x=self.table["claim_number"].to_list(),
                y=self.table[name].to_list(),
                name=label(name, lang),
                marker_color=COLOURS[colour],
            )
        return figure.update_layout(
            xaxis={"title": {"text": label("claim_number", lang)}},
            yaxis={"title": {"text": label("probability", lang)}, "rangemode": "tozero"},
        )


def few_claims(
    probabilities: Sequence[float],
    members: Sequence[int] | None = None,
    *,
    level: float = 0.99,
    basis: Basis | None = None,
) -> FewClaims:
    """Give the law of the number of claims of members who claim at most once.

    Parameters
    ----------
    probabilities : sequence of float
        q of each member, or of each class, from 0 to 1.
    members : sequence of int, optional
        Members of each class; 1 each where left out.
    level : float
        Probability of the quantiles compared.

    Returns
    -------
    FewClaims
        ``.facts``: members, mean, sd, distance (total variation from the Poisson law), bound on it,
        level, quantile_exact, quantile_poisson.

    Raises
    ------
    InputError
        For probabilities outside 0 to 1, numbers that do not match, or more members than 2²⁰.

    Examples
    --------
    >>> found = few_claims([0.002, 0.02], [300, 100])
    >>> round(found.facts["mean"], 9), found.facts["distance"] < found.facts["bound"]
    (2.6, True)
    """
    level = number_given(level, "the level")
    try:
        q = np.asarray(probabilities, dtype=float)
        n = np.ones(q.shape) if members is None else np.asarray(members, dtype=float)
    except (TypeError, ValueError) as error:
        raise InputError(f"probabilities and members are lists of numbers: {error}") from error
    if q.ndim != 1 or not q.size or n.shape != q.shape:
        raise InputError(f"{q.size:,} probabilities and {n.size:,} numbers of members do not match")
    faults = []
    if bad := int((~((q >= 0) & (q <= 1))).sum()):
        faults.append(f"probabilities outside 0 to 1: {bad:,} of {q.size:,}")
    if bad := int((~(np.isfinite(n) & (n >= 1) & (n == np.rint(n)))).sum()):
        faults.append(f"members not a whole number from 1 on: {bad:,} of {q.size:,}")
    if not 0 < level < 1:
        faults.append(f"the level lies between 0 and 1, got {level}")
    if not faults and not n.sum() < MOST:
        faults.append(f"{n.sum():,.0f} members are no small pool: take pool_of")
    if faults:
        raise InputError("a pool whose claims cannot be counted", faults=faults)
    mean, total = float(n @ q), int(n.sum())
    size = 1 << math.ceil(math.log2(total + 1))
    z = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    product = poisson_binomial(n, q).pgf(z) if mean > 0 else np.ones(z.size)
    exact = np.fft.irfft(product, size)[: total + 1].clip(0)
    exact /= exact.sum()
    k = np.arange(total + 1)
    poisson = np.exp(xlogy(k, mean) - mean - gammaln(k + 1.0))
    shown = int(np.flatnonzero((exact > 1e-9) | (poisson > 1e-9)).max()) + 1
    beyond = max(1 - float(poisson.sum()), 0.0)
    facts = {
        "members": total,
        "mean": mean,
        "sd": math.sqrt(float(n @ (q * (1 - q)))),
        "distance": 0.5 * (float(np.abs(exact - poisson).sum()) + beyond),
        "bound": min(1.0, 1 / mean if mean > 0 else 1.0) * float(n @ q**2),
        "level": level,
        "quantile_exact": int(np.searchsorted(np.cumsum(exact), level - 1e-12)),
        "quantile_poisson": int(np.searchsorted(np.cumsum(poisson), level - 1e-12)),
    }
    table = pl.DataFrame(
        {
            "claim_number": k[:shown],
            "probability_exact": exact[:shown],
            "probability_poisson": poisson[:shown],
            "passed_exact": (1 - np.cumsum(exact)).clip(0)[:shown],
            "passed_poisson": (1 - np.cumsum(poisson)).clip(0)[:shown],
        }
    )
    given = basis or Basis()
    mark = fingerprint(q.tobytes(), n.tobytes(), repr(level))
    return FewClaims(table=table, basis=replace(given, fingerprint=mark), facts=facts)


def poisson_binomial(
    number: npt.ArrayLike, probability: npt.ArrayLike, *, name: str = "Poisson-binomial"
) -> CountLaw:
    """Give the law of how many of n independent members fall ill, each at the probability of its cell.

    P(z) = Π (1 − q + qz)^n; mean Σ nq, variance Σ nq(1 − q), third central moment Σ nq(1 − q)(1 − 2q)
    (Poisson 1837).

    Parameters
    ----------
    number : array
        Members by cell, whole.
    probability : array
        q by cell, 0 to 1.
    name : str
        What a reader calls the law.

    Raises
    ------
    InputError
        For numbers outside their domain, and where nobody can fall ill.

    Examples
    --------
    >>> law = poisson_binomial([10, 5], [0.1, 0.2])
    >>> law.mean, round(law.variance, 12)
    (2.0, 1.7)
    """
    try:
        n = np.asarray(number, dtype=float).ravel()
        q = np.asarray(probability, dtype=float).ravel()
    except (TypeError, ValueError) as error:
        raise InputError(f"members and probabilities are lists of numbers: {error}") from error
    if n.shape != q.shape or not n.size:
        raise InputError(f"{n.size} numbers of members and {q.size} probabilities")
    bad = int((~((q >= 0) & (q <= 1))).sum())
    if bad or not ((n >= 0) & (n == np.floor(n))).all():
        raise InputError(
            "members are whole and zero or more, probabilities lie in 0 to 1",
            faults=[f"{bad} probabilities outside"] if bad else [],
        )
    some = (n > 0) & (q > 0)
    n, q = n[some], q[some]
    if not n.size:
        raise InputError("nobody can fall ill: no members, or probabilities of zero")

    rare = q <= RARE
    powers = _power_sums(n[rare], q[rare])
    often = list(zip(n[~rare].tolist(), q[~rare].tolist(), strict=True))

    def pgf(z: Complex) -> Complex:
        away, out = z - 1, np.zeros(z.shape, dtype=complex)
        for power in powers[::-1]:
            out = (out + power) * away
        for members, rate in often:
            base = 1 + rate * away
            out += members * np.log(np.where(base == 0, 1e-300, base))
        return np.exp(out)

    spread = n * q * (1 - q)
    return CountLaw(
        name, float((n * q).sum()), float(spread.sum()), float((spread * (1 - 2 * q)).sum()), pgf
    )


def _power_sums(n: Array, q: Array) -> list[float]:
    """Coefficients of Σn·ln(1 + q·w) in w, on |w| ≤ 2: (−1)^(k+1)·Σn·q^k/k until the rest is rounding."""
    found: list[float] = []
    while n.size and len(found) < MOST_POWERS:
        k = len(found) + 1
        found.append(float((-1) ** (k + 1) * (n * q**k).sum() / k))
        if float((n * (2 * q) ** (k + 1)).sum()) / (k + 1) < 1e-14:
            break
    return found


def members_for(probability: float, *, variation: float) -> int:
    """Give the members a pool needs for a coefficient of variation of its number of claims.

    n ≥ (1 − q)/(q·cv²), from sd/mean = √((1 − q)/(n·q)) of a binomial number.

    Parameters
    ----------
    probability : float
        q of a claim, above 0 to 1.
    variation : float
        Coefficient of variation wanted, above zero.

    Examples
    --------
    >>> members_for(0.001, variation=0.1)
    99900
    """
    probability = number_given(probability, "the probability of a claim")
    variation = number_given(variation, "the coefficient of variation")
    if not (0 < probability <= 1 and 0 < variation < math.inf):
        raise InputError(
            f"a probability lies from above 0 to 1 and a variation above zero, got {probability} "
            f"and {variation}"
        )
    return max(math.ceil((1 - probability) / (probability * variation**2) - 1e-6), 1)
