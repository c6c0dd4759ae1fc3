"""A pool of members who bear their losses together: classes of like members, and its year's loss.

Members of a class have the same law of their own loss X, a number of claims times their amounts, and
all members are independent. The pool's loss S = ΣX is compounded on a lattice
(:mod:`pricing.losses.compound`); a class of n members is one part with the generating function Pⁿ, so
that ten million members in forty classes take the work of forty.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.losses.compound import MOST, Grid, choose_grid, compound, moments_of
from pricing.losses.count_law import CountLaw, compound_moments
from pricing.losses.discretise import Lattice, discretise
from pricing.losses.severity_law import SeverityLaw, severity_law
from pricing.result.shape import Basis
from pricing.sharing.conditional import conditional_money, log_generating

__all__ = ["MemberClass", "Pool", "member_class", "number_given", "pool_of"]

Array = npt.NDArray[np.float64]
MOST_MEMBERS = 10**10
BEYOND = 1e-6  # most of the pool's loss that may lie beyond the grid
ROUGH = 1e-2  # the same where years are so rare that rounding has the word
NOISE = 1e-6  # relative gap between the sum of the conditional means and the loss


@dataclass(frozen=True)
class MemberClass:
    """Like members of a pool.

    Attributes
    ----------
    name : str
        What a reader calls them, such as an age band.
    members : int
        How many there are.
    count : CountLaw or None
        Claims of one member a year (or period); None for members who are not covered.
    severity : SeverityLaw or None
        Amount of one claim, currency.
    pays : bool
        Whether they bear a share; what falls to those who do not is spread evenly over the payers.

    Examples
    --------
    >>> from pricing.losses.count_law import poisson
    >>> from pricing.losses.severity_law import sample_severity
    >>> member_class("30-39", 100, poisson(0.001), sample_severity([300_000.0])).mean
    300.0
    """

    name: str
    members: int
    count: CountLaw | None
    severity: SeverityLaw | None
    pays: bool = True

    @property
    def mean(self) -> float:
        """Expected loss of one member, currency; 0 where not covered."""
        if self.count is None or self.severity is None:
            return 0.0
        return self.count.mean * self.severity.mean


def member_class(
    name: str,
    members: int,
    count: CountLaw | None,
    severity: Any = None,
    *,
    pays: bool = True,
) -> MemberClass:
    """Describe like members of a pool.

    Parameters
    ----------
    name : str
        What a reader calls them.
    members : int
        How many, 1 to 10¹⁰.
    count : CountLaw or None
        Claims of one member in the period, such as ``binomial_count(1, 0.001)``; None for members
        who pay without being covered (honorary members).
    severity : SeverityLaw or frozen scipy distribution
        Amount of one claim, currency.
    pays : bool
        False for members who are covered and bear nothing (assisted members).

    Raises
    ------
    InputError
        For a number of members that is not whole or out of range, a count without a severity, a
        severity without a finite mean, members who are neither covered nor pay.

    Examples
    --------
    >>> member_class("honorary", 50, None).mean
    0.0
    """
    if isinstance(members, bool) or not isinstance(members, int | float | np.integer):
        raise InputError(f"the members of {name!r} are a number, got {members!r}")
    if not (math.isfinite(members) and members == int(members) and 1 <= members <= MOST_MEMBERS):
        raise InputError(f"the members of {name!r} are a whole number from 1 on, got {members}")
    if (count is None) != (severity is None):
        raise InputError(
            f"{name!r} has {'a severity without a count' if count is None else 'no severity'}",
            do="give both, or neither for members who are not covered",
        )
    if count is not None and not isinstance(count, CountLaw):
        raise InputError(f"the count of {name!r} is a CountLaw, got {type(count).__name__}")
    if count is None and not pays:
        raise InputError(f"{name!r} neither pays nor is covered", do="leave the class out")
    law = None if severity is None else severity_law(severity)
    if law is not None and not math.isfinite(law.mean):
        raise InputError(f"the severity of {name!r} has no finite mean", do="set a limit")
    return MemberClass(str(name), int(members), count, law, bool(pays))


@dataclass(frozen=True, eq=False)
class Pool:
    """A pool and the distribution of its loss.

    Attributes
    ----------
    classes : tuple of MemberClass
        Like members.
    grid : Grid
        Lattice of the loss.
    lattices : tuple of Lattice or None
        Severity of each class on it.
    loss, probability : numpy.ndarray
        Points of the pool's loss with their probabilities, which add up to 1, shape (k,).
    mean, variance : numpy.ndarray
        Of one member's own loss, by class, as on the lattice.
    beyond : float
        Probability beyond the grid, held by the last point at its mean; mostly 0.
    basis : Basis
        Source, currency, and how the lattice was laid.

    Examples
    --------
    >>> from pricing.losses.count_law import poisson
    >>> from pricing.losses.severity_law import sample_severity
    >>> pool = pool_of([member_class("a", 3, poisson(0.2), sample_severity([1.0, 2.0])),
    ...                 member_class("b", 2, poisson(0.1), sample_severity([1.0]))])
    >>> round(pool.expected, 9), pool.members.tolist()
    (1.1, [3.0, 2.0])
    """

    classes: tuple[MemberClass, ...]
    grid: Grid
    lattices: tuple[Lattice | None, ...]
    loss: Array
    probability: Array
    mean: Array
    variance: Array
    beyond: float
    basis: Basis
    kept: npt.NDArray[np.bool_] = field(repr=False)
    smooth: bool = False

    @cached_property
    def members(self) -> Array:
        """Members by class."""
        return np.array([one.members for one in self.classes], dtype=float)

    @cached_property
    def paying(self) -> npt.NDArray[np.bool_]:
        """Classes that bear a share."""
        return np.array([one.pays for one in self.classes])

    @property
    def names(self) -> list[str]:
        """Names of the classes."""
        return [one.name for one in self.classes]

    @property
    def expected(self) -> float:
        """Expected loss of the pool, currency."""
        return float(self.members @ self.mean)

    @property
    def sd(self) -> float:
        """Standard deviation of the pool's loss, currency."""
        return math.sqrt(float(self.members @ self.variance))

    @cached_property
    def conditional(self) -> Array:
        """E[X | S = s] of one member, by class and point of the loss, shape (classes, points)."""
        money = conditional_money(
            [(one.members, one.count) for one in self.classes], self.lattices, self.grid
        )
        inside = money[:, self.kept]  # a copy
        if self.beyond:
            rest = self.mean[:, None] - inside.sum(axis=1, keepdims=True)
            inside = np.concatenate([inside, rest.clip(0)], axis=1)
        sums = self.members @ inside
        wanted = self.loss * self.probability
        gap = np.abs(sums - wanted) * (self.loss > 0)
        lost = float(self.probability[gap > NOISE * wanted].sum())
        right = gap <= ROUGH * wanted
        if lost > 1e-4 or float(self.probability[~right].sum()) > 1e-7:
            raise InputError(
                f"the conditional means add up to the loss on all but {lost:.2g} of the "
                "probability only: rounding errors of the transform",
                do="give fewer, wider buckets, or take the covariance rule (its limit for large "
                "pools)",
            )
        # where rounding errors have the word, the limit for large pools stands in
        inside[:, ~right] = self.regression(self.loss[~right]).clip(0)
        sums = self.members @ inside
        inside *= np.divide(self.loss, sums, out=np.zeros_like(sums), where=sums > 0)
        inside[:, self.loss == 0] = 0.0
        return inside

    def regression(self, loss: Array) -> Array:
        """μ_i + (σ_i²/var(S))·(s − E[S]) by class at amounts of the pool's loss."""
        slope = self.variance / max(self.sd**2, 1e-300)
        found: Array = self.mean[:, None] + np.outer(slope, loss - self.expected)
        return found

    @cached_property
    def own_risk(self) -> Array:
        """99th percentile of one member's own loss and its mean in the worst 1 %, by class."""
        found = []
        for k in range(len(self.classes)):  # a class at a time
            x, p = self.own(k)
            at = int(np.searchsorted(np.cumsum(p), 0.99 - 1e-12))
            most = float(x[min(at, x.size - 1)])
            found.append((most, most + float((x - most).clip(0) @ p) / 0.01))
        return np.array(found)

    def quantile(self, probability: float) -> float:
        """Smallest point of the loss that is not passed with at least this probability."""
        at = np.searchsorted(np.cumsum(self.probability), probability - 1e-12)
        return float(self.loss[min(int(at), self.loss.size - 1)])

    def own(self, index: int) -> tuple[Array, Array]:
        """Points and probabilities of one member's own loss, of a class by its place."""
        lattice, count = self.lattices[index], self.classes[index].count
        if lattice is None or count is None:
            return np.zeros(1), np.ones(1)
        size = 1 << max(math.ceil(math.log2(max(lattice.probabilities.size, 2))), 6)
        g = compound([(count, lattice)], Grid(self.grid.span, size))
        some = g > 1e-15
        found: Array = np.asarray(g[some] / g[some].sum())
        return self.grid.span * np.flatnonzero(some).astype(float), found


def pool_of(
    classes: Sequence[MemberClass],
    *,
    bucket: float | None = None,
    buckets: int | None = None,
    tilt: float | None = None,
    basis: Basis | None = None,
) -> Pool:
    """Bring classes of members together and compute the distribution of their loss.

    Parameters
    ----------
    classes : sequence of MemberClass
        See :func:`member_class`; names differ, at least one is covered and one pays.
    bucket : float, optional
        Span of the lattice, currency; chosen where left out.
    buckets : int, optional
        Points, a power of two up to 2²⁰; chosen where left out.
    tilt : float, optional
        θn of the exponential tilting; chosen where left out.
    basis : Basis, optional
        Source, period and currency.

    Raises
    ------
    InputError
        For no classes, equal names, nobody covered or nobody to pay, a grid too small for the loss:
        what wraps around would be shared as if it had happened.

    Examples
    --------
    >>> from pricing.losses.count_law import binomial_count
    >>> from pricing.losses.severity_law import sample_severity
    >>> pool = pool_of([member_class("all", 5_000_000, binomial_count(1, 2e-5),
    ...                              sample_severity([300_000.0]))])
    >>> round(pool.expected), round(pool.sd)
    (30000000, 2999970)
    """
    offered: Any = classes
    if not isinstance(offered, Sequence) or not all(isinstance(c, MemberClass) for c in offered):
        raise InputError("a pool takes a list of classes", do="make each with member_class(...)")
    given = tuple(classes)
    _require(given)
    parts = [
        (_total(one.members, one.count), one.severity)
        for one in given
        if one.count is not None and one.severity is not None
    ]
    raw = [(count, tuple(law.power(k) for k in (1, 2, 3))) for count, law in parts]
    exact = moments_of(raw)  # type: ignore[arg-type]
    grid = choose_grid(parts, exact, span=bucket, size=buckets, tilt=tilt)
    if buckets is None and not grid.start and not grid.tilt and 2 * grid.size <= MOST:
        grid = replace(grid, size=2 * grid.size)  # what wraps around counts by its amount here
    lattices = tuple(
        None
        if one.severity is None or one.count is None
        else discretise(one.severity, span=grid.span, size=_points(one, grid))
        for one in given
    )
    covered = [lattice for lattice in lattices if lattice is not None]
    g = compound(
        [(count, lattice) for (count, _), lattice in zip(parts, covered, strict=True)], grid
    )
    moments = [
        (0.0, 0.0, 0.0)
        if one.count is None or lattice is None
        else compound_moments(one.count, *lattice.powers)
        for one, lattice in zip(given, lattices, strict=True)
    ]
    mean, variance = (np.array([m[k] for m in moments]) for k in (0, 1))
    members = np.array([one.members for one in given], dtype=float)
    loss, probability, beyond, kept = _closed(
        g, grid, float(members @ mean), float(members @ variance)
    )
    note = (
        f"{int(members.sum()):,} members in {len(given)} classes; {grid.size:,} buckets of "
        f"{grid.span:g}"
    )
    said = basis or Basis()
    mark = fingerprint(note, *(repr((c.name, c.members, c.pays)) for c in given), g.tobytes())
    return Pool(
        classes=given,
        grid=grid,
        lattices=lattices,
        loss=loss,
        probability=probability,
        mean=mean,
        variance=variance,
        beyond=beyond,
        basis=replace(said, notes=(*said.notes, note), fingerprint=mark, rows=len(given)),
        kept=kept,
        smooth=all(law.smooth for _, law in parts),
    )


def number_given(value: Any, what: str) -> float:
    """Take a value as a number; text, nothing and yes or no are none.

    Raises
    ------
    InputError
        For what is no number; the domain is the caller's.

    Examples
    --------
    >>> number_given(3, "the cap")
    3.0
    """
    if isinstance(value, bool | np.bool_) or not isinstance(
        value, int | float | np.integer | np.floating
    ):
        raise InputError(f"{what} is a number, got {value!r}")
    return float(value)


def _require(given: tuple[MemberClass, ...]) -> None:
    if not given:
        raise InputError("a pool without members", do="give classes of members")
    names = [one.name for one in given]
    twice = sorted({name for name in names if names.count(name) > 1})
    faults = [f"class {name!r} is given {names.count(name)} times" for name in twice]
    if all(one.count is None for one in given):
        faults.append("no class is covered")
    if not any(one.pays for one in given):
        faults.append("no class pays")
    if faults:
        raise InputError("a pool that cannot share", faults=faults)


def _total(members: int, count: CountLaw) -> CountLaw:
    """Law of the claims of a whole class: P(z)ⁿ."""

    def pgf(z: npt.NDArray[np.complex128]) -> npt.NDArray[np.complex128]:
        return np.exp(members * log_generating(count, z))

    return CountLaw(
        f"{members:,} × {count.name}",
        members * count.mean,
        members * count.variance,
        members * count.third,
        pgf,
    )


def _points(one: MemberClass, grid: Grid) -> int:
    """A severity takes the grid's points; in a window as many as it needs, folded later."""
    if not grid.start or one.count is None or one.severity is None:
        return grid.size
    claims = one.members * one.count.mean
    need = one.severity.reach(min(1e-12 / claims, 0.5)) / grid.span + 2
    return max(min(math.ceil(need), 1 << 20), 2)


def _closed(
    g: Array, grid: Grid, mean: float, variance: float
) -> tuple[Array, Array, float, npt.NDArray[np.bool_]]:
    """Points with probability; what lies beyond as one more at its mean; nothing wrapped around."""
    at: Array = grid.span * (grid.start + np.arange(g.size, dtype=float))
    kept = g > 1e-15 * g.max()
    kept[0] |= g[0] > 0
    total = float(g[kept].sum())
    beyond = 1.0 - total
    if not grid.start and beyond > BEYOND:
        raise InputError(
            f"{beyond:.2g} of the pool's loss lies beyond {grid.size:,} buckets of {grid.span:g}",
            do="give a wider bucket, or more buckets",
        )
    loss, probability = at[kept], g[kept]
    if grid.start or beyond <= 1e-12:
        beyond, probability = 0.0, probability / total
    else:
        place = max((mean - float(loss @ probability)) / beyond, grid.top)
        loss, probability = np.append(loss, place), np.append(probability, beyond)
    found = float(loss @ probability)
    spread = float((loss - found) ** 2 @ probability)
    off = abs(found / mean - 1)
    if not beyond:
        off = max(off, abs(spread - variance) / 2 / max(variance, 1e-6 * mean**2))
    if off > (1e-4 if beyond else 1e-6):
        raise InputError(
            f"the pool's loss does not fit {grid.size:,} buckets of {grid.span:g}: mean or standard "
            f"deviation is off by {off:.2g}",
            do="give a wider bucket, or more buckets",
        )
    return loss, probability, beyond, kept
