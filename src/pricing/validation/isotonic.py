"""Isotonic recalibration: what a prediction should have said, keeping only its order.

Cells of one prediction are one point; pooling adjacent violators gives the rising step function
that fits best under every score that is consistent for the mean (Poisson deviance, squared error):
Ayer, Brunk, Ewing, Reid and Silverman (1955); Barlow and Brunk (1972). A prediction that equals its
recalibration up to chance is auto-calibrated (Krüger and Ziegel 2021).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression

from pricing.validation.prediction import Codes, Floats, Prediction, column, quantile_bands

__all__ = ["Recalibration", "auto_calibration", "recalibrate"]

SEGMENTS = 1000  # ranked groups of cells that the test recalibrates


@dataclass(frozen=True)
class Recalibration:
    """The rising step function through what was seen.

    Attributes
    ----------
    rate : array, one per cell
        Recalibrated claims (or currency) per policy-year.
    lowest, highest : array, one per step
        Predicted rates at the ends of a step.
    height, exposure : array, one per step
        Recalibrated rate, policy-years.
    """

    rate: Floats
    lowest: Floats
    highest: Floats
    height: Floats
    exposure: Floats


def recalibrate(seen: Prediction) -> Recalibration:
    """Pool adjacent violators over the cells, ranked by predicted rate.

    Equals isotonic regression on the rows, weighted by exposure, as every row of a cell has the
    same prediction.

    Examples
    --------
    >>> import polars as pl
    >>> from pricing.validation.prediction import predict
    >>> from pricing.experience.cells import Experience
    >>> rows = pl.DataFrame({"age": ["1", "2", "3"], "exposure": [1.0] * 3, "claims": [2, 1, 4]})
    >>> seen = predict(Experience.collect(rows, ["age"]), pl.col("age").cast(pl.String).cast(pl.Float64))
    >>> recalibrate(seen).rate.tolist()
    [1.5, 1.5, 4.0]
    """
    score = seen.score
    order = np.argsort(score, kind="stable")
    ranked = score[order]
    starts = np.flatnonzero(np.diff(ranked, prepend=-1.0))
    base = np.add.reduceat(seen.exposure[order], starts)
    actual = np.add.reduceat(seen.actual[order], starts)
    found = isotonic_regression(actual / base, weights=base)
    blocks: Codes = found.blocks[:-1]
    sizes = np.diff(starts, append=len(order))
    rate = np.empty_like(seen.rate)
    rate[order] = np.repeat(found.x, sizes)
    level = ranked[starts]
    return Recalibration(
        rate=rate,
        lowest=level[blocks],
        highest=level[found.blocks[1:] - 1],
        height=found.x[blocks],
        exposure=np.add.reduceat(base, blocks),
    )


def auto_calibration(seen: Prediction, *, draws: int, seed: int) -> tuple[float, float, float]:
    """Test whether a prediction is auto-calibrated: E[a/e | predicted] = predicted.

    Parameters
    ----------
    seen : Prediction
        A prediction made before these claims.
    draws : int
        Books drawn under the hypothesis.
    seed : int
        The same seed gives the same p-value.

    Returns
    -------
    tuple of float
        Statistic T, p-value, dispersion φ.

    Notes
    -----
    T = 2Σ[A ln(r̂/λ) − e(r̂ − λ)]/φ, the Poisson deviance that recalibration saves, over at most 1,000
    segments of the ranked cells; φ = Σ(a − e·r̂)²/Σe·r̂ over the rows (times
    rows over rows less steps), not below 1 for claims. Its law
    under the hypothesis is that of A ~ φ·Poisson(eλ/φ), drawn; p = (1 + #{T* ≥ T})/(1 + draws).
    Resampling under the hypothesis: Dimitriadis, Gneiting and Jordan (2021); the statistic is the
    miscalibration of Murphy's decomposition.

    Examples
    --------
    >>> import polars as pl
    >>> from pricing.validation.prediction import predict
    >>> from pricing.experience.cells import Experience
    >>> rows = pl.DataFrame({"age": ["1", "2"], "exposure": [100.0] * 2, "claims": [100, 300]})
    >>> seen = Experience.collect(rows, ["age"])
    >>> level = pl.col("age").cast(pl.String).cast(pl.Float64)
    >>> auto_calibration(predict(seen, level), draws=199, seed=0)[1] < 0.01
    True
    >>> auto_calibration(predict(seen, 2 * level - 1), draws=199, seed=0)[1]
    1.0
    """
    if np.ptp(seen.rate) > 0:
        codes = quantile_bands(seen.score, seen.exposure, SEGMENTS).codes
    else:
        codes = np.zeros(len(seen.rate), dtype=np.int64)
    base, actual, expected = (
        np.bincount(codes, weights=v).astype(np.float64)
        for v in (seen.exposure, seen.actual, seen.expected)
    )
    dispersion = _dispersion(seen, codes, actual, base)
    drawn = dispersion * np.random.default_rng(seed).poisson(
        expected / dispersion, (draws, len(expected))
    )
    found = _saved(actual, base, expected) / dispersion
    null = np.array([_saved(one, base, expected) for one in drawn]) / dispersion
    p_value = (1 + int((null >= found * (1 - 1e-9)).sum())) / (1 + draws)
    return found, p_value, dispersion


def _dispersion(seen: Prediction, codes: Codes, actual: Floats, base: Floats) -> float:
    """Σ(a − e·r̂)²/Σe·r̂ over the rows, around the recalibration so that a poor fit is not in it."""
    found = isotonic_regression(actual / base, weights=base)
    rate = found.x[codes]
    aa, ae, ee = seen.squares
    spread = float((aa - 2 * rate * ae + rate**2 * ee).sum())
    rows, steps = float(column(seen.experience, "rows").sum()), len(found.blocks) - 1
    if rows > steps and spread > 0:
        spread *= rows / (rows - steps)
    else:  # a row for every step tells nothing: Poisson, or compound Poisson of what was paid
        spread = float((seen.actual if seen.by == "claims" else seen.actual**2).sum())
    dispersion = spread / float(seen.actual.sum())
    return max(dispersion, 1.0) if seen.by == "claims" else dispersion


def _saved(actual: Floats, base: Floats, expected: Floats) -> float:
    """Deviance saved by recalibrating segments."""
    mean = isotonic_regression(actual / base, weights=base).x * base
    some = mean > 0
    log = np.log(np.where(some, mean, 1.0) / np.where(some, expected, 1.0))
    return float(max(2.0 * (actual * log - mean + expected).sum(), 0.0))
