"""Bounds and orders of coefficients: a box around linear combinations of them.

A factor whose relativities must not fall is written in steps δ = β_k − β_{k−1} ≥ 0, so both bounds
and orders are a box l ≤ Tβ ≤ u with T invertible, and projected Newton (Bertsekas 1982, SIAM J.
Control Optim. 20) finds the maximum exactly. The proof is Karush, Kuhn and Tucker's: the score of
a combination that is free is zero, that of one at a bound points out of the box.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve

from pricing.errors import InputError, nearest
from pricing.estimate.design import Design, Floats

__all__ = ["Box", "Direction", "box"]

Direction = Literal["increasing", "decreasing"]


@dataclass(frozen=True)
class Box:
    """l ≤ Tβ ≤ u, on the log scale of the coefficients.

    Attributes
    ----------
    combine : array, columns × columns
        T, invertible.
    lower, upper : array
        l and u, infinite where free.
    terms : frozenset of str
        Terms with a bound: a level of theirs may lack claims.
    """

    combine: Floats
    lower: Floats
    upper: Floats
    terms: frozenset[str]

    def keep(self, kept: npt.NDArray[np.bool_]) -> Box:
        """Leave out aliased columns, which no bound may touch."""
        bounded = np.isfinite(self.lower) | np.isfinite(self.upper)
        if (self.combine[bounded][:, ~kept] != 0).any():
            raise InputError(
                "a term with bounds is aliased with the terms before it",
                do="leave out one of them",
            )
        at = np.ix_(kept, kept)
        return Box(self.combine[at], self.lower[kept], self.upper[kept], self.terms)

    def inside(self, beta: Floats) -> Floats:
        """Bring coefficients into the box."""
        return np.asarray(
            np.linalg.solve(self.combine, np.clip(self.combine @ beta, self.lower, self.upper))
        )

    def held(
        self, beta: Floats, score: Floats, size: Floats
    ) -> tuple[npt.NDArray[np.bool_], float]:
        """Say which coefficients are held, and how far the worst is from its condition."""
        q, at_lower, at_upper = self._gradient(beta, score)
        back = np.linalg.inv(self.combine).T
        scale = np.abs(back) @ size
        amiss = np.where(at_lower | at_upper, 0.0, np.abs(q)) / scale
        held = (self.combine[at_lower | at_upper] != 0).any(axis=0)
        return held, float(amiss.max(initial=0.0))

    def path(self, beta: Floats, information: Floats, score: Floats) -> Callable[[float], Floats]:
        """Give the projected path of a Newton step over the combinations that are free."""
        q, at_lower, at_upper = self._gradient(beta, score)
        free = np.flatnonzero(~(at_lower | at_upper))
        back = np.linalg.inv(self.combine)
        hessian = (back.T @ information @ back)[np.ix_(free, free)]
        move = np.zeros(len(beta))
        if len(free):
            scale = 1 / np.sqrt(np.maximum(np.diag(hessian), 1e-300))
            factor = cho_factor(hessian * np.outer(scale, scale))
            move[free] = -cho_solve(factor, q[free] * scale) * scale
        z = self.combine @ beta

        def along(size: float) -> Floats:
            return np.asarray(back @ np.clip(z + size * move, self.lower, self.upper))

        return along

    def _gradient(
        self, beta: Floats, score: Floats
    ) -> tuple[Floats, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Gradient of the loss by combination, and the combinations it presses on a bound."""
        z = self.combine @ beta
        q: Floats = np.asarray(np.linalg.solve(self.combine.T, -score), dtype=np.float64)
        hair = 1e-12 * np.maximum(1.0, np.abs(z))
        at_lower = (z <= self.lower + hair) & (q > 0)
        at_upper = (z >= self.upper - hair) & (q < 0)
        return q, at_lower, at_upper


def box(
    design: Design,
    *,
    monotone: Mapping[str, Direction] | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
) -> Box | None:
    """Write what relativities must keep to; None where nothing is asked.

    Parameters
    ----------
    design : Design
        Names the coefficients.
    monotone : mapping of str to {"increasing", "decreasing"}, optional
        Factors whose relativities follow the order of their levels, or covariates whose
        coefficient has a sign.
    bounds : mapping of str to (lower, upper), optional
        Limits of every relativity of a factor to its base, or of exp(coefficient) of a covariate.

    Raises
    ------
    InputError
        For a name that is no term of the model, one given both or in an interaction, and bounds
        that are not 0 ≤ lower < upper.

    Examples
    --------
    >>> import polars as pl
    >>> from pricing.estimate.design import design
    >>> from pricing.experience.cells import Experience
    >>> rows = pl.DataFrame({"t": ["a", "b", "c"], "exposure": [1.0, 3.0, 1.0], "claims": [1, 1, 1]})
    >>> box(design("t", Experience.collect(rows, ["t"])), monotone={"t": "increasing"}).combine.tolist()
    [[1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    asked = {**(monotone or {}), **(bounds or {})}
    if not asked:
        return None
    _require_terms(design, monotone or {}, bounds or {})
    size = len(design.columns)
    combine, lower, upper = np.eye(size), np.full(size, -np.inf), np.full(size, np.inf)
    for name, direction in (monotone or {}).items():
        own = [j for j, c in enumerate(design.columns) if c.term == name]
        low, high = (0.0, np.inf) if direction == "increasing" else (-np.inf, 0.0)
        lower[own], upper[own] = low, high
        if name in design.levels:
            combine[np.ix_(own, own)] = _steps(design.levels[name], design.base[name])
    for name, (least, most) in (bounds or {}).items():
        own = [j for j, c in enumerate(design.columns) if c.term == name]
        lower[own] = np.log(least) if least > 0 else -np.inf
        upper[own] = np.log(most)
    return Box(combine, lower, upper, frozenset(asked))


def _steps(levels: tuple[str, ...], base: str) -> Floats:
    """δ_k = β_k − β_{k−1} over the levels in order, the base's β being zero."""
    rest = [level for level in levels if level != base]
    steps = np.zeros((len(rest), len(rest)))
    for k in range(1, len(levels)):
        for level, sign in ((levels[k], 1.0), (levels[k - 1], -1.0)):
            if level != base:
                steps[k - 1, rest.index(level)] = sign
    return steps


def _require_terms(
    design: Design, monotone: Mapping[str, str], bounds: Mapping[str, tuple[float, float]]
) -> None:
    terms = {c.term for c in design.columns if len(c.variables) == 1}
    single = {c.term for c in design.columns if len(c.variables) == 1 and c.spline is None}
    mixed = {v for c in design.columns if len(c.variables) > 1 for v in c.variables}
    faults = [
        f"{n!r} is not in the model{nearest(n, terms)}"
        for n in {**monotone, **bounds}
        if n not in terms
    ]
    faults += [
        f"{n!r} is in an interaction: its own relativity is not one figure"
        for n in {**monotone, **bounds}
        if n in mixed
    ]
    faults += [f"{n!r} is given both an order and bounds" for n in monotone if n in bounds]
    faults += [
        f"{n!r}: {d!r} is neither increasing nor decreasing"
        for n, d in monotone.items()
        if d not in ("increasing", "decreasing")
    ]
    faults += [
        f"{n!r}: bounds {b} are not 0 ≤ lower < upper"
        for n, b in bounds.items()
        if not 0 <= b[0] < b[1]
    ]
    faults += [
        f"{n!r} is a spline, which has no single coefficient to bound"
        for n in {**monotone, **bounds}
        if n in terms and n not in single
    ]
    if faults:
        raise InputError("constraints that cannot be held", faults=faults)
