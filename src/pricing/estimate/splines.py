"""Cubic splines of a covariate: B-splines and natural splines, written so that any engine scores them.

``bs(age, 6)`` and ``ns(age, 4)`` span the spaces of R's functions of these names (Hastie 1992, in
Statistical Models in S): cubic pieces that meet in value, slope and curvature at the knots; a
natural one is linear outside the boundary knots. A fitted curve becomes one polynomial with
truncated cubes, Σ c_k tᵏ + Σ d_j (t − κ_j)₊³, t the covariate scaled to 0…1 between the boundaries.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.interpolate import BSpline, PPoly

from pricing.errors import InputError

__all__ = ["Spline", "combine", "read_spline", "spline_basis"]

Floats = npt.NDArray[np.float64]
SPELT = re.compile(
    r"(bs|ns)\(\s*([^,()]+?)\s*,\s*(?:df\s*=\s*)?(?:(\d+)|knots\s*=\s*\[([^\]]*)\])\s*\)"
)
FORM = "write it as ns(age, 4), bs(age, 6) or ns(age, knots=[30, 45, 60])"


@dataclass(frozen=True)
class Spline:
    """One piecewise cubic function of a covariate.

    Attributes
    ----------
    part : int
        Which basis function of its term, from 1.
    low, high : float
        Boundary knots, in the covariate's unit.
    knots : tuple of float
        Interior knots, scaled to 0…1.
    weights : tuple of float
        c₀, c₁, c₂, c₃, then d_j per knot.
    natural : bool
        Linear outside the boundaries; else the function is not defined there.
    """

    part: int
    low: float
    high: float
    knots: tuple[float, ...]
    weights: tuple[float, ...]
    natural: bool

    def value(self, x: pl.Expr) -> pl.Expr:
        """Write the function as an expression of the covariate."""
        t = (x.cast(pl.Float64) - self.low) / (self.high - self.low)
        inside = t.clip(0.0, 1.0)
        c = self.weights
        cubic = ((c[3] * inside + c[2]) * inside + c[1]) * inside + c[0]
        pieces = [d * (inside - k).clip(0.0) ** 3 for k, d in zip(self.knots, c[4:], strict=True)]
        total: pl.Expr = reduce(lambda a, b: a + b, pieces, cubic)
        if not self.natural:
            return total
        end = c[1] + 2 * c[2] + 3 * c[3]
        end += sum(3 * d * (1 - k) ** 2 for k, d in zip(self.knots, c[4:], strict=True))
        return total + c[1] * (t - inside).clip(None, 0.0) + end * (t - inside).clip(0.0)


def combine(parts: Sequence[Spline], coefficients: Sequence[float]) -> Spline:
    """Add basis functions times their coefficients: one curve to score.

    Examples
    --------
    >>> one = Spline(1, 0.0, 10.0, (), (0.0, 1.0, 0.0, 0.0), True)
    >>> combine([one, one], [0.5, 1.5]).weights
    (0.0, 2.0, 0.0, 0.0)
    """
    first = parts[0]
    weights = np.array([p.weights for p in parts]).T @ np.asarray(coefficients, dtype=np.float64)
    return Spline(0, first.low, first.high, first.knots, tuple(weights.tolist()), first.natural)


def read_spline(text: str) -> tuple[str, str, int | None, tuple[float, ...]] | None:
    """Read ``ns(age, 4)`` into kind, covariate, degrees of freedom and knots; None if it is none.

    Raises
    ------
    InputError
        For something that begins as a spline and is not one.

    Examples
    --------
    >>> read_spline("ns(age, 4)"), read_spline("age")
    (('ns', 'age', 4, ()), None)
    """
    if not text.startswith(("bs(", "ns(")):
        return None
    found = SPELT.fullmatch(text)
    if found is None:
        raise InputError(f"the spline {text!r} cannot be read", do=FORM)
    kind, name, df, knots = found.groups()
    try:
        places = tuple(sorted(float(k) for k in (knots or "").split(",") if k.strip()))
    except ValueError as error:
        raise InputError(f"the knots of {text!r} are not numbers", do=FORM) from error
    return kind, name, int(df) if df else None, places


def spline_basis(text: str, values: Floats, weight: Floats) -> list[Spline]:
    """Choose the basis functions of a spline term.

    Parameters
    ----------
    text : str
        As :func:`read_spline` takes it. With degrees of freedom, the interior knots are quantiles
        of the covariate by weight; the boundary knots are its least and largest value.
    values, weight : array
        The covariate and the exposure of every cell.

    Raises
    ------
    InputError
        For too few degrees of freedom (bs 3, ns 1), fewer values than functions, or knots outside
        the values.

    Examples
    --------
    >>> ages = np.arange(20.0, 71.0)
    >>> len(spline_basis("ns(age, 4)", ages, np.ones(51))), len(spline_basis("bs(age, 5)", ages, np.ones(51)))
    (4, 5)
    """
    read = read_spline(text)
    if read is None:
        raise InputError(f"{text!r} is not a spline", do=FORM)
    kind, name, df, places = read
    least = 3 if kind == "bs" else 1
    inner = len(places) if df is None else df - least
    if inner < 0:
        raise InputError(f"{text}: a {kind} spline has at least {least} degrees of freedom")
    low, high = float(values.min()), float(values.max())
    distinct = len(np.unique(values))
    if distinct < inner + least + 1:
        raise InputError(
            f"{text}: {name} has {distinct} values, too few for {inner + least} functions",
            do="take fewer degrees of freedom",
        )
    if df is not None:
        places = _quantiles(values, weight, inner)
    if any(not low < k < high for k in places):
        raise InputError(f"{text}: knots {places} do not lie inside {low:g} to {high:g}")
    knots = np.unique((np.array(places, dtype=np.float64) - low) / (high - low))
    full = np.concatenate([np.zeros(4), knots, np.ones(4)])
    weights = np.eye(len(full) - 4)[1:]  # without the first, which the intercept has
    if kind == "ns":
        ends = np.array(
            [BSpline(full, np.eye(len(full) - 4), 3).derivative(2)(t) for t in (0.0, 1.0)]
        )
        q = np.linalg.qr(ends[:, 1:].T, mode="complete")[0]
        weights = q[:, 2:].T @ weights
    return [
        Spline(j + 1, low, high, tuple(knots.tolist()), _truncated(full, w, knots), kind == "ns")
        for j, w in enumerate(weights)
    ]


def _quantiles(values: Floats, weight: Floats, inner: int) -> tuple[float, ...]:
    order = np.argsort(values, kind="stable")
    share = np.cumsum(weight[order]) / weight.sum()
    at = np.searchsorted(share, np.arange(1, inner + 1) / (inner + 1))
    found = np.unique(values[order][np.minimum(at, len(values) - 1)])
    return tuple(k for k in found.tolist() if values.min() < k < values.max())


def _truncated(full: Floats, weights: Floats, knots: Floats) -> tuple[float, ...]:
    """Polynomial of the first piece and the jumps of the cubic term at the knots."""
    pieces = PPoly.from_spline(BSpline(full, weights, 3))
    own = np.flatnonzero(np.diff(pieces.x) > 0)
    c = pieces.c[:, own]
    return (*c[::-1, 0].tolist(), *np.diff(c[0]).tolist())
