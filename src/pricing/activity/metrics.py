"""What is measured: each metric's unit, how it counts over a day, its plausible range, its other units.

Units are written in UCUM (Schadow and McDonald, The Unified Code for Units of Measure) and in the words
exports use. HbA1c: NGSP % = 0.09148·IFCC mmol/mol + 2.152 (Hoelzel et al. 2004).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import polars as pl

__all__ = ["METRICS", "Metric", "metric_table", "unit_table"]

Counting = Literal["sum", "mean", "sleep", "marker", "other"]


@dataclass(frozen=True)
class Metric:
    """One metric: its unit, how it counts, the values a living person can have.

    Attributes
    ----------
    unit : str
        UCUM unit of every accepted value.
    counting : {"sum", "mean", "sleep", "marker", "other"}
        Added over the day and split at midnight; averaged; added on the day of waking; kept as an
        event with its date; accepted but not counted to days.
    low, high : float
        Plausible values, ends included.
    units : tuple of (unit, factor, offset)
        Other spellings and units: ours = theirs × factor + offset.

    Examples
    --------
    >>> METRICS["weight"].unit, METRICS["weight"].factors()["[lb_av]"]
    ('kg', (0.45359237, 0.0))
    """

    unit: str
    counting: Counting
    low: float
    high: float
    units: tuple[tuple[str, float, float], ...] = ()

    def factors(self) -> dict[str, tuple[float, float]]:
        """Every unit known, its own with factor 1."""
        return {self.unit: (1.0, 0.0)} | {name: (f, o) for name, f, o in self.units}


def _same(*names: str) -> tuple[tuple[str, float, float], ...]:
    return tuple((name, 1.0, 0.0) for name in names)


_MINUTES = (*_same("minute", "minutes", ""), ("h", 60.0, 0.0), ("hr", 60.0, 0.0), ("hour", 60.0, 0.0),
            ("s", 1 / 60, 0.0), ("ms", 1 / 60_000, 0.0))  # fmt: skip
_BEATS = _same("{beats}/min", "{Beats}/min", "count/min", "bpm", "beats/minute", "")
_LIPID = (("mg/dL", 1 / 38.67, 0.0), ("mg/dl", 1 / 38.67, 0.0))
_PRESSURE = (*_same("mmHg", ""), ("kPa", 7.500615758, 0.0))

METRICS: dict[str, Metric] = {
    "steps": Metric("1", "sum", 0, 300_000, _same("count", "steps", "step", "{steps}", "{steps}/d", "/d", "")),
    "active_minutes": Metric("min", "sum", 0, 1_500, _MINUTES),
    "moderate_minutes": Metric("min", "sum", 0, 1_500, _MINUTES),
    "vigorous_minutes": Metric("min", "sum", 0, 1_500, _MINUTES),
    "wear": Metric("min", "sum", 0, 1_500, _MINUTES),
    "sleep": Metric("min", "sleep", 0, 1_440, _MINUTES),
    "heart_rate": Metric("/min", "mean", 20, 260, _BEATS),
    "resting_heart_rate": Metric("/min", "mean", 25, 150, _BEATS),
    "in_bed": Metric("min", "other", 0, 2_880, _MINUTES),
    "session_minutes": Metric("min", "other", 0, 1_500, _MINUTES),
    "session_heart_rate": Metric("/min", "other", 20, 260, _BEATS),
    "energy": Metric("kcal", "other", 0, 30_000, (*_same("Cal", "kilocalorie", ""), ("kJ", 1 / 4.184, 0.0))),
    "distance": Metric("m", "other", 0, 500_000, (("km", 1_000.0, 0.0), ("mi", 1_609.344, 0.0), ("[mi_i]", 1_609.344, 0.0))),
    "weight": Metric("kg", "marker", 20, 400, (
        ("g", 0.001, 0.0), ("lb", 0.45359237, 0.0), ("lbs", 0.45359237, 0.0), ("[lb_av]", 0.45359237, 0.0),
        ("st", 6.35029318, 0.0), ("公斤", 1.0, 0.0), ("斤", 0.5, 0.0))),
    "height": Metric("cm", "marker", 50, 260, (
        ("m", 100.0, 0.0), ("in", 2.54, 0.0), ("[in_i]", 2.54, 0.0), ("ft", 30.48, 0.0), ("[ft_i]", 30.48, 0.0))),
    "bmi": Metric("kg/m2", "marker", 8, 100, _same("kg/m^2", "count", "")),
    "systolic": Metric("mm[Hg]", "marker", 50, 300, _PRESSURE),
    "diastolic": Metric("mm[Hg]", "marker", 20, 200, _PRESSURE),
    "hba1c": Metric("%", "marker", 3, 20, (("mmol/mol", 0.09148, 2.152), ("mmol/mol{Hb}", 0.09148, 2.152))),
    "cholesterol": Metric("mmol/L", "marker", 0.5, 30, _LIPID),
    "ldl": Metric("mmol/L", "marker", 0.1, 25, _LIPID),
    "glucose": Metric("mmol/L", "marker", 0.5, 60, (("mg/dL", 1 / 18.016, 0.0), ("mg/dl", 1 / 18.016, 0.0))),
    "tobacco": Metric("1", "marker", 0, 1, _same("", "{score}")),
    "checkup": Metric("1", "marker", 0, 1, _same("", "{score}")),
}  # fmt: skip


def metric_table() -> pl.DataFrame:
    """List the metrics: metric, own_unit, counting, low, high.

    Examples
    --------
    >>> metric_table().filter(metric="sleep").row(0)
    ('sleep', 'min', 'sleep', 0.0, 1440.0)
    """
    rows = [(n, m.unit, m.counting, float(m.low), float(m.high)) for n, m in METRICS.items()]
    return pl.DataFrame(rows, ["metric", "own_unit", "counting", "low", "high"], orient="row")


def unit_table() -> pl.DataFrame:
    """List the units of every metric: metric, unit, factor, offset; ours = theirs × factor + offset.

    Examples
    --------
    >>> unit_table().filter(metric="hba1c", unit="mmol/mol").row(0)
    ('hba1c', 'mmol/mol', 0.09148, 2.152)
    """
    rows = [(n, u, f, o) for n, m in METRICS.items() for u, (f, o) in m.factors().items()]
    return pl.DataFrame(rows, ["metric", "unit", "factor", "offset"], orient="row")
