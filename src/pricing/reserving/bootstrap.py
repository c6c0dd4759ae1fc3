"""Bootstrap of the over-dispersed Poisson model: the whole distribution of what is to come.

The chain ladder is the maximum-likelihood fit of E X = μ, Var X = φ μ to the increments X, with origin
and lag as factors. Residuals (X − μ)/√μ, put up by √(N/(N − p)) for the p parameters fitted to N
increments, are drawn anew to make triangles; each is projected by its own chain ladder, and each future
increment is drawn from a gamma law of mean m and variance φ m. Sources: England and Verrall (1999),
Insurance: Mathematics and Economics 25, 281–293; England and Verrall (2002), Stochastic claims reserving
in general insurance, British Actuarial Journal 8(3), appendix 3.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from pricing.errors import InputError
from pricing.reserving.development import fitted
from pricing.reserving.triangle import Floats, Triangle
from pricing.reserving.ultimates import Ultimates, ultimates

__all__ = ["odp_bootstrap"]

PERCENTILES = (0.5, 0.75, 0.8, 0.9, 0.95, 0.975, 0.99, 0.995)
TOGETHER = 4_000_000  # numbers held at once


def odp_bootstrap(
    triangle: Triangle,
    *,
    measure: str = "amount",
    samples: int = 5_000,
    seed: int = 0,
    tail: float = 1.0,
    level: float = 0.95,
    percentiles: Sequence[float] = PERCENTILES,
) -> Ultimates:
    """Simulate what is to come under the over-dispersed Poisson model.

    Parameters
    ----------
    triangle : Triangle
        At least three origins; single increments may be negative, fitted ones may not.
    measure : {"amount", "payments"}
        What develops.
    samples : int
        Triangles drawn, 100 or more.
    seed : int
        The same seed gives the same answer.
    tail : float
        A constant factor of one or more; what it adds moves with each sample, with process error.
    level : float
        Of the interval, from the samples' own percentiles.
    percentiles : sequence of float
        Of ``.frames["percentiles"]``.

    Returns
    -------
    Ultimates
        The point estimate is the chain ladder's; ``.frames["percentiles"]`` holds what is to come by
        origin and in total (origin null), ``.frames["samples"]`` the total of each sample.

    Raises
    ------
    InputError
        For fewer than three origins, fitted increments below zero, no spread at all, and what
        :func:`pricing.reserving.development.development_pattern` refuses.

    Examples
    --------
    >>> from datetime import date
    >>> from pricing.reserving.triangle import claim_triangle
    >>> rows = pl.DataFrame([
    ...     {"incurred": date(2020 + i, 1, 1), "paid": date(2020 + i + j, 1, 1), "amount": 100.0 / (j + 1) + 3 * i * j}
    ...     for i in range(4) for j in range(4 - i)])
    >>> seen = claim_triangle(rows, valuation=date(2023, 12, 31), grain="year")
    >>> found = odp_bootstrap(seen, samples=500, seed=1)
    >>> round(found.ibnr, 2), found.frames["percentiles"].height
    (205.57, 40)
    """
    _require(samples, seed, tail, level, percentiles)
    values = triangle.cumulative(measure)
    size = values.shape[0]
    if size < 3:
        raise InputError(
            f"{size} origins leave nothing to judge the spread by",
            do="take a finer grain",
        )
    found = fitted(triangle, measure=measure)
    factors = found.factors[: size - 1]
    means = _means(values, factors)
    if (means < 0).any():
        raise InputError(
            f"{int((means < 0).sum()):,} fitted increments are negative: they have no Poisson law",
            do="take a coarser grain, or leave recoveries out",
        )
    seen = np.isfinite(values)
    increments = np.diff(np.where(seen, values, 0.0), axis=1, prepend=0.0)
    live = seen & (means > 0)
    # parameters: origins and lags that have anything in them, less the one they share
    freedom = int(live.sum()) - (live.any(axis=1).sum() + live.any(axis=0).sum() - 1)
    raw = (increments[live] - means[live]) / np.sqrt(means[live])
    if freedom < 1:
        raise InputError(
            f"{int(live.sum()):,} increments are fitted by as many parameters",
            do="take a finer grain or a longer history",
        )
    scale = float((raw**2).sum() / freedom)
    if not scale > 1e-18 * float(means.max()):
        raise InputError(
            "the increments lie on the fit exactly: there is no spread to draw from",
            do="take chain_ladder: it is what every sample would be",
        )
    residuals = raw * np.sqrt(live.sum() / freedom)
    future = _simulate(means, live, seen, residuals, scale, samples, seed, tail)
    total = future.sum(axis=1)
    latest = triangle.latest(measure)
    grown = found.to_ultimate[::-1] * tail
    alpha = (1 - level) / 2
    lower, upper = (latest + np.quantile(future, q, axis=0) for q in (alpha, 1 - alpha))
    ends = latest.sum() + np.quantile(total, [alpha, 1 - alpha])
    error = {
        "kind": "bootstrap", "level": level, "sigma": None, "std_error": future.std(axis=0, ddof=1),
        "lower": lower, "upper": upper, "total": total.std(ddof=1), "total_lower": ends[0],
        "total_upper": ends[1], "scale": scale,
    }  # fmt: skip
    frames = {
        "percentiles": _percentiles(triangle, future, total, percentiles),
        "samples": pl.DataFrame({"ibnr": total}),
    }
    notes = (
        f"over-dispersed Poisson bootstrap: {samples:,} samples, seed {seed}, φ {scale:.6g}, "
        f"mean of the samples {total.mean():,.6g}; residuals adjusted for degrees of freedom; "
        f"gamma process; tail: {tail}",
    )
    return ultimates(
        triangle, "chain_ladder", latest, grown, latest * grown, measure=measure, error=error, frames=frames,
        notes=notes,
    )  # fmt: skip


def _require(
    samples: int, seed: int, tail: float, level: float, percentiles: Sequence[float]
) -> None:
    whole = isinstance(samples, int) and not isinstance(samples, bool)
    faults = []
    if not (whole and samples >= 100):
        faults.append(f"{samples!r} samples are too few or no number; give 100 or more")
    if not (isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0):
        faults.append(f"a seed is zero or more, and whole, got {seed!r}")
    if not (isinstance(tail, (int, float)) and 1.0 <= tail < np.inf):
        faults.append(f"a tail is a factor of one or more here, got {tail}")
    if not all(0 < p < 1 for p in (level, *percentiles)):
        faults.append("levels and percentiles lie between 0 and 1")
    if faults:
        raise InputError("no bootstrap can be made", faults=faults)


def _means(values: Floats, factors: Floats) -> Floats:
    """Fitted increments of the whole square: the latest, taken back and on by the factors."""
    size = values.shape[0]
    rows = np.arange(size)
    growth = np.concatenate([[1.0], np.cumprod(factors)])
    level = values[rows, size - 1 - rows] / growth[::-1]
    cumulative = level[:, None] * growth[None, :]
    means: Floats = np.diff(cumulative, axis=1, prepend=0.0)
    tiny = np.abs(means) <= 1e-12 * np.abs(cumulative)
    means[tiny] = 0.0
    return means


def _simulate(
    means: Floats, live: npt.NDArray[np.bool_], seen: npt.NDArray[np.bool_], residuals: Floats, scale: float,
    samples: int, seed: int, tail: float,
) -> Floats:  # fmt: skip
    """Draw what is to come by sample and origin."""
    size = means.shape[0]
    draw = np.random.default_rng(seed)
    step = max(1, TOGETHER // (size * size))
    out = np.empty((samples, size))
    rows = np.arange(size)
    ratios = seen[:, 1:]
    for at in range(0, samples, step):
        many = min(step, samples - at)
        drawn = np.zeros((many, size, size))
        drawn[:, live] = means[live] + np.sqrt(means[live]) * draw.choice(
            residuals, (many, int(live.sum()))
        )
        grown = np.cumsum(drawn, axis=2)
        below = np.where(ratios, grown[:, :, :-1], 0.0).sum(axis=1)
        above = np.where(ratios, grown[:, :, 1:], 0.0).sum(axis=1)
        # a sample whose column came to nothing or less keeps the origin's own growth
        own = np.where(ratios, means.cumsum(axis=1)[:, 1:], 0.0).sum(axis=0) / np.where(
            ratios, means.cumsum(axis=1)[:, :-1], 0.0
        ).sum(axis=0)
        good = (below > 0) & (above > 0)
        factors = np.where(good, above / np.where(below > 0, below, 1.0), own)
        growth = np.concatenate([np.ones((many, 1)), np.cumprod(factors, axis=1)], axis=1)
        latest = grown[:, rows, size - 1 - rows]
        level = latest / growth[:, ::-1]
        ahead = np.diff(level[:, :, None] * growth[:, None, :], axis=2, prepend=0.0)
        ahead = np.where(seen[None], 0.0, ahead)
        after = (tail - 1.0) * level * growth[:, -1:]
        ahead = np.concatenate([ahead, after[:, :, None]], axis=2)
        size_of = np.abs(ahead)
        noisy = np.where(
            size_of > 0,
            scale * draw.standard_gamma(np.where(size_of > 0, size_of / scale, 1.0)),
            0.0,
        )
        # a negative mean stays so: the gamma law of its size, less twice its mean (England and Verrall)
        noisy = np.where(ahead < 0, noisy - 2.0 * size_of, noisy)
        out[at : at + many] = noisy.sum(axis=2)
    return out


def _percentiles(
    triangle: Triangle, future: Floats, total: Floats, percentiles: Sequence[float]
) -> pl.DataFrame:
    found = np.column_stack(
        [np.quantile(future, percentiles, axis=0), np.quantile(total, percentiles)]
    )
    return pl.DataFrame(
        {
            "origin": pl.Series([*triangle.origins, None] * len(percentiles), dtype=pl.Date),
            "percentile": np.repeat(np.asarray(percentiles, dtype=float), future.shape[1] + 1),
            "ibnr": found.ravel(),
        }
    )
