"""Whether days crowd just above a threshold that pays: the jump of the density of daily steps there.

A histogram is smoothed on each side by a local line with a triangular kernel; θ = ln f₊ − ln f₋
(McCrary 2008, Journal of Econometrics 142). The density at the threshold is linear in the days, so its
error is summed by person: the days of one person are not independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl
from scipy.stats import norm

from pricing.errors import InputError, nearest
from pricing.files import fingerprint
from pricing.result.figure import interval_figure
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, say

__all__ = ["Bunching", "bunching"]

_LEAST = 30  # days on each side


class Bunching(Result):
    """Density just above each threshold over that just below.

    ``.table``: level (the threshold), density_ratio, lower, upper, p_value, days_near, bandwidth.
    """

    kind = "bunching"

    def finding(self, lang: Language = "en") -> str:
        """Say where days crowd above a threshold, or that they do not."""
        facts = dict(self.facts)
        key = "activity_bunched" if facts["crowded"] else "activity_not_bunched"
        measure = label(facts["measure"], lang)
        facts["measure"] = measure.lower() if lang == "en" else measure
        return say("finding.bunching", lang, told=say(f"sentence.{key}", lang, **facts), **facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the ratio at each threshold with its interval, over the days near it."""
        return interval_figure(
            self.table["level"].to_list(),
            self.table["density_ratio"].to_list(),
            self.table["lower"].to_list(),
            self.table["upper"].to_list(),
            name="density_ratio",
            factor="threshold_of_day",
            lang=lang,
            bars=self.table["days_near"].to_list(),
            bars_name="days_near",
            reference=1.0,
        )


def bunching(
    days: pl.DataFrame,
    thresholds: Sequence[float],
    *,
    measure: str = "steps",
    bandwidth: float | None = None,
    level: float = 0.95,
) -> Bunching:
    """Test at each threshold whether more days lie just above it than the density below foretells.

    Parameters
    ----------
    days : polars.DataFrame
        ``person``, ``valid`` and the measure; valid days count.
    thresholds : sequence of float
        Where points or discounts jump, such as 5,000, 7,000 and 10,000 steps.
    measure : str
        Column.
    bandwidth : float, optional
        Reach of the smoothing on each side; McCrary's rule where left out, at most half the way to
        the next threshold.
    level : float
        Confidence level.

    Returns
    -------
    Bunching
        Ratios above 1 whose interval does not hold 1 are signs of steering, shaking or rounding.

    Raises
    ------
    InputError
        Where fewer than 30 days lie within reach on a side.

    Examples
    --------
    >>> draw = np.random.default_rng(1)
    >>> walked = draw.normal(6000, 2000, 4000)
    >>> pushed = (walked > 6600) & (walked < 7000) & (draw.uniform(size=4000) < 0.5)
    >>> walked = np.where(pushed, walked + 400, walked)
    >>> rows = pl.DataFrame({"person": np.arange(4000) % 200, "valid": True, "steps": walked})
    >>> bunching(rows, [5000, 7000]).table.select("level", pl.col("p_value") < 0.001).rows()
    [('5,000', False), ('7,000', True)]
    """
    at = _checked(thresholds, bandwidth, level)
    missing = [name for name in ("person", "valid", measure) if name not in days.columns]
    if missing:
        raise InputError(
            f"no column {missing[0]!r}{nearest(missing[0], days.columns)}", where="days"
        )
    rows = days.filter("valid").select("person", pl.col(measure).cast(pl.Float64, strict=False))
    rows = rows.filter(pl.col(measure).is_finite()).sort(measure, "person")
    value = rows[measure].to_numpy()
    person = rows["person"].rank("dense").to_numpy().astype(np.int64) - 1
    z = float(norm.ppf((1 + level) / 2))
    found = []
    for place, cut in enumerate(at):
        others = [abs(cut - other) for i, other in enumerate(at) if i != place]
        reach = (
            float(bandwidth)
            if bandwidth
            else min([_rule(value, cut, measure), *[gap / 2 for gap in others]])
        )
        theta, error, near = _jump(value, person, cut, reach, measure)
        p = 2 * float(norm.sf(abs(theta / error)))
        ends = (np.exp(theta - z * error), np.exp(theta + z * error))
        found.append((f"{cut:,.10g}", float(np.exp(theta)), *map(float, ends), p, near, reach))
    names = ["level", "density_ratio", "lower", "upper", "p_value", "days_near", "bandwidth"]
    table = pl.DataFrame(found, names, orient="row")
    top = table.sort("lower", descending=True).row(0, named=True)
    facts: dict[str, Any] = {
        "measure": measure, "thresholds": table.height, "days": len(value), "level": level,
        "crowded": table.filter(pl.col("lower") > 1).height, "most": top["level"],
        "ratio": top["density_ratio"], "ratio_lower": top["lower"], "ratio_upper": top["upper"],
    }  # fmt: skip
    basis = Basis(
        source="days",
        rows=len(value),
        fingerprint=fingerprint(value.tobytes(), person.tobytes(), repr((at, bandwidth, level))),
        notes=("McCrary (2008) local-linear density, errors clustered by person",),
    )
    return Bunching(table=table, basis=basis, facts=facts)


def _checked(thresholds: Sequence[float], bandwidth: float | None, level: float) -> list[float]:
    given = [thresholds] if isinstance(thresholds, (int, float, str)) else list(thresholds)
    numbers = [*given, level, *([] if bandwidth is None else [bandwidth])]
    if not given or any(isinstance(x, bool) or not isinstance(x, (int, float)) for x in numbers):
        raise InputError(
            f"thresholds, bandwidth and level are numbers, got {numbers!r}", where="bunching"
        )
    at = sorted({float(x) for x in given})
    if not (np.isfinite(at).all() and 0 < level < 1) or (
        bandwidth is not None and not bandwidth > 0
    ):
        raise InputError(
            f"thresholds are finite, bandwidth above 0, level in (0, 1), got {numbers!r}"
        )
    return at


def _bins(value: Any, cut: float) -> tuple[Any, float]:
    """Mid of each day's bin, no bin across the threshold; width 2σn^(−1/2)."""
    width = 2 * float(np.std(value)) / np.sqrt(len(value)) if len(value) else 0.0
    if not width > 0:
        raise InputError("the days do not vary", where="bunching")
    return (np.floor((value - cut) / width) + 0.5) * width, width


def _rule(value: Any, cut: float, measure: str) -> float:
    """McCrary's bandwidth: 3.348·(σ̃²·range/Σ f̃''²)^(1/5) from a quartic on each side, their mean."""
    mids, width = _bins(value, cut)
    place, count = np.unique(np.round(mids / width - 0.5).astype(np.int64), return_counts=True)
    grid = np.arange(place.min(), place.max() + 1)
    height = np.zeros(len(grid))
    height[place - place.min()] = count / (len(value) * width)
    x, found = (grid + 0.5) * width, []
    for side in (x < 0, x > 0):
        if side.sum() < 10:
            raise InputError(
                f"too few days on one side of {cut:,.6g}",
                where=measure,
                do="leave the threshold out",
            )
        span = float(np.ptp(x[side])) or width
        fit = np.polynomial.Polynomial.fit(x[side], height[side], 4)
        spread = float(np.sum((height[side] - fit(x[side])) ** 2)) / (side.sum() - 5)
        bend = float(np.sum(fit.deriv(2)(x[side]) ** 2))
        found.append(3.348 * (spread * span / bend) ** 0.2 if bend > 0 else span)
    return max(float(np.mean(found)), 10 * width)


def _jump(
    value: Any, person: Any, cut: float, reach: float, measure: str
) -> tuple[float, float, int]:
    """θ, its error clustered by person, and the days within reach."""
    mids, width = _bins(value, cut)
    influence, logs, near = np.zeros(len(value)), [], 0
    for sign in (1.0, -1.0):
        bins = (np.arange(int(np.ceil(reach / width))) + 0.5) * width
        kernel = np.maximum(1 - bins / reach, 0.0)
        s0, s1, s2 = (float(kernel @ bins**k) for k in (0, 1, 2))
        inside = (sign * mids > 0) & (sign * mids < reach)
        near += int(inside.sum())
        if inside.sum() < _LEAST or not s0 * s2 - s1**2 > 0:
            raise InputError(
                f"{int(inside.sum())} days within {reach:,.0f} of {cut:,.6g} on one side: {_LEAST} are needed",
                where=measure,
                do="measure more days, widen the bandwidth or leave the threshold out",
            )
        away = np.where(inside, sign * mids, 0.0)
        weight = np.maximum(1 - away / reach, 0.0) * (s2 - s1 * away) / (s0 * s2 - s1**2)
        each = np.where(inside, weight, 0.0) / width  # the density is the mean of these
        density = float(each.mean())
        if not density > 0:
            raise InputError(
                f"the density beside {cut:,.6g} is not above zero: there is a gap",
                where=measure,
                do="look at the days there; give a wider bandwidth",
            )
        logs.append(np.log(density))
        influence += sign * (each / density - 1)
    clusters = np.bincount(person, influence)
    error = float(np.sqrt(clusters @ clusters)) / len(value)
    return float(logs[0] - logs[1]), error, near
