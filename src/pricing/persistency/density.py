"""Density: whether policies bunch on one side of a cut-off, as they do where it can be reached.

McCrary (2008, Manipulation of the running variable in the regression discontinuity design): counts
in bins of width b = 2S·N^(−1/2) that no bin lets cross the cut-off, smoothed by local linear
regression with the triangular kernel on each side; θ = ln f₊ − ln f₋ with standard error
√((24/5)(1/f₊ + 1/f₋)/(N·h)). The bandwidth is his: on each side 3.348·[σ̂²·range/Σf″²]^(1/5) of a
quartic through the bins, the mean of both.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtr

from pricing.errors import InputError
from pricing.estimate.design import Floats

__all__ = ["density_jump"]


def density_jump(distance: Floats, count: Floats | None = None) -> dict[str, float]:
    """Test whether the density jumps at zero.

    Parameters
    ----------
    distance : array
        Running variable less the cut-off, of rows or of distinct values.
    count : array, optional
        Rows behind each value; one where left out.

    Returns
    -------
    dict
        ``jump`` (ln ratio, above to below), ``std_error``, ``p_value`` (two-sided), ``bandwidth``,
        ``bin``.

    Raises
    ------
    InputError
        For no values on a side.

    Examples
    --------
    >>> even = np.random.default_rng(1).uniform(-1, 1, 20_000)
    >>> density_jump(even)["p_value"] > 0.01, density_jump(even[even > -0.5 * (even < 0)])["p_value"] > 0.01
    (True, True)
    >>> density_jump(np.append(even, np.abs(even[:4000])))["p_value"] < 0.01
    True
    """
    r = np.asarray(distance, np.float64)
    n = np.ones_like(r) if count is None else np.asarray(count, np.float64)
    total = float(n.sum())
    if not (n[r < 0].sum() > 0 and n[r >= 0].sum() > 0):
        raise InputError("no offers on one side of the cut-off: there is no density to compare")
    mean = float(n @ r) / total
    width = 2 * math.sqrt(float(n @ (r - mean) ** 2) / total) / math.sqrt(total)
    gaps = np.diff(np.unique(r))
    step = float(gaps.min()) if gaps.size else width
    if step > width / 50:  # values on a grid: a bin holds whole steps
        width = max(1.0, round(width / step)) * step
    place = np.floor(r / width + 1e-9).astype(np.int64)
    first = int(place.min())
    heights = np.asarray(np.bincount(place - first, weights=n) / (total * width), np.float64)
    middles = (np.arange(first, first + heights.size, dtype=np.float64) + 0.5) * width
    sides = (middles < 0, middles > 0)
    h = float(np.mean([_bandwidth(middles[s], heights[s]) for s in sides]))
    least = 0.5 / (total * width)  # half a row: where the limit falls to nothing
    below, above = (max(_limit(middles[s], heights[s], h), least) for s in sides)
    jump = math.log(above / below)
    error = math.sqrt(24 / 5 * (1 / above + 1 / below) / (total * h))
    p = 2 * float(ndtr(-abs(jump) / error))
    return {"jump": jump, "std_error": error, "p_value": p, "bandwidth": h, "bin": width}


def _bandwidth(x: Floats, heights: Floats) -> float:
    """McCrary's bandwidth from a quartic through the bins of a side."""
    reach = float(np.ptp(x)) + (abs(float(x[1] - x[0])) if x.size > 1 else 1.0)
    if x.size < 8:
        return reach
    u = x / reach
    design = np.vander(u, 5, increasing=True)
    coefficients = np.linalg.lstsq(design, heights, rcond=None)[0]
    variance = float(((heights - design @ coefficients) ** 2).sum()) / (x.size - 5)
    second = (
        2 * coefficients[2] + 6 * coefficients[3] * u + 12 * coefficients[4] * u**2
    ) / reach**2
    bend = float((second**2).sum())
    if bend <= 0 or variance <= 0:
        return reach
    return min(float(3.348 * (variance * reach / bend) ** 0.2), reach)


def _limit(x: Floats, heights: Floats, h: float) -> float:
    """Local linear height at zero."""
    h = max(h, float(np.sort(np.abs(x))[: min(3, x.size)].max()) * 1.001)
    kernel = np.maximum(1 - np.abs(x) / h, 0.0)
    root = np.sqrt(kernel)
    design = np.column_stack([np.ones_like(x), x / h])
    return float(np.linalg.lstsq(design * root[:, None], heights * root, rcond=None)[0][0])
