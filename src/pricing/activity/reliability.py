"""How far a measure can be trusted: what one day tells of a person, and what k days tell.

One-way random effects: x = μ + person + day; the share of persons in the variance of one day is
ρ = (MSB − MSW)/(MSB + (n₀ − 1)·MSW), n₀ = (N − Σn²/N)/(persons − 1), with its F interval (Shrout and
Fleiss 1979; unequal days: Donner 1979). The mean of k days has kρ/(1 + (k − 1)ρ) (Spearman 1910; Brown 1910).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl
from scipy.stats import f as f_law

from pricing.errors import InputError, nearest
from pricing.files import fingerprint
from pricing.result.series import band_figure
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, say

__all__ = [
    "Reliability",
    "days_needed",
    "missing_days",
    "reliability",
    "spearman_brown",
    "split_half",
]

_DAYS = (1, 2, 3, 4, 5, 6, 7, 10, 14, 21, 30, 60, 90, 180, 365)


class Reliability(Result):
    """Reliability of the mean of k days.

    ``.table``: days_measured, reliability, lower, upper. ``.facts``: single (one day), split (halves of
    the days, stepped up to all of them), needed (days to the target).
    """

    kind = "activity_reliability"

    @property
    def single(self) -> float:
        """Reliability of one day."""
        return float(self.facts["single"])

    def finding(self, lang: Language = "en") -> str:
        """Say what one day tells and how many days it takes."""
        facts = dict(self.facts)
        measure = label(facts["measure"], lang)
        facts["measure"] = measure.lower() if lang == "en" else measure
        facts["needed"] = f"{facts['needed']:,}" if facts["needed"] else "—"
        return say("finding.activity_reliability", lang, **facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the reliability of the mean of k days, days on a log scale, and the target."""
        columns = ("reliability", "lower", "upper")
        estimate, lower, upper = (self.table[name].to_list() for name in columns)
        days = self.table["days_measured"].to_list()
        figure = band_figure(
            days, estimate, lower, upper, points=None, points_name="reliability",
            name="reliability", factor="days_measured", lang=lang, bars=[0.0] * len(days),
            bars_name="persons", reference=self.facts["target"],
        )  # fmt: skip
        figure.data = figure.data[1:]  # there is no exposure behind a formula
        ticks = [d for d in (1, 2, 3, 6, 14, 30, 90, 365) if d in days]
        figure.update_layout(
            xaxis={
                "type": "log",
                "tickvals": ticks or days,
                "ticktext": [str(d) for d in ticks or days],
            },
            yaxis={"range": [0, 1.02], "overlaying": None, "tickformat": ".0%"},
            yaxis2={"visible": False},
        )
        return figure


def spearman_brown(rho: float, days: float) -> float:
    """Reliability of the mean of k days, kρ/(1 + (k − 1)ρ), from that of one.

    Parameters
    ----------
    rho : float
        Reliability of one day, 0 to 1.
    days : float
        Number of days, above zero; 2 steps a half up to the whole.

    Examples
    --------
    >>> [round(spearman_brown(0.41, k), 4) for k in (1, 6, 365)]
    [0.41, 0.8066, 0.9961]
    """
    numbers = [
        one for one in (rho, days) if isinstance(one, (int, float)) and not isinstance(one, bool)
    ]
    if len(numbers) < 2 or not 0 <= rho <= 1 or not 0 < days < np.inf:
        raise InputError(f"reliability is 0 to 1 and days above zero, got {rho!r}, {days!r}")
    return days * rho / (1 + (days - 1) * rho)


def days_needed(rho: float, target: float) -> int | None:
    """Count the days whose mean reaches a reliability; None where no number does.

    Examples
    --------
    >>> days_needed(0.41, 0.80)
    6
    """
    spearman_brown(rho, 1.0)
    if not 0 < target < 1:
        raise InputError(f"the target is between 0 and 1, got {target!r}")
    if rho == 0:
        return None
    return max(1, int(np.ceil(target * (1 - rho) / (rho * (1 - target)) - 1e-9))) if rho < 1 else 1


def reliability(
    days: pl.DataFrame,
    measure: str = "steps",
    *,
    target: float = 0.8,
    level: float = 0.95,
    at: Sequence[int] = _DAYS,
) -> Reliability:
    """Estimate what one day tells of a person, and how many days it takes.

    Parameters
    ----------
    days : polars.DataFrame
        ``person``, ``day``, ``valid`` and the measure; only valid days count.
    measure : str
        Column, such as ``"steps"`` or ``"sleep_hours"``.
    target : float
        Reliability wanted.
    level : float
        Confidence level.
    at : sequence of int
        Numbers of days in the table.

    Returns
    -------
    Reliability
        ``.single``, ``.table``, ``.figure()``.

    Raises
    ------
    InputError
        For fewer than two persons with two days, or a measure that does not vary.

    Examples
    --------
    >>> import datetime as dt
    >>> rows = pl.DataFrame({"person": ["a"] * 3 + ["b"] * 3 + ["c"] * 3, "valid": True,
    ...     "day": [dt.date(2024, 3, d) for d in (1, 2, 3)] * 3, "steps": [5.0, 6, 7, 1, 2, 3, 8, 9, 9]})
    >>> round(reliability(rows).single, 4)
    0.934
    """
    if isinstance(level, bool) or not isinstance(level, (int, float)) or not 0 < level < 1:
        raise InputError(f"the level is between 0 and 1, got {level!r}", where="level")
    rows = _valid(days, measure)
    each = rows.group_by("person").agg(
        n=pl.len(), mean=pl.col(measure).mean(), square=pl.col(measure).var()
    )
    each = each.sort("person")
    n = each["n"].to_numpy().astype(float)
    if len(n) < 2 or n.max(initial=0) < 2:
        raise InputError(
            f"{len(n)} persons with at most {int(n.max(initial=0))} valid days: two of each are needed",
            where=measure,
            do="measure longer, or look at days set aside",
        )
    mean, total, persons = each["mean"].to_numpy(), n.sum(), len(n)
    grand = float(n @ mean) / total
    between = float(n @ (mean - grand) ** 2) / (persons - 1)
    within = float((n - 1) @ np.nan_to_num(each["square"].fill_null(0.0).to_numpy())) / (
        total - persons
    )
    if not between + within > 0:
        raise InputError("does not vary between days or persons", where=measure)
    n0 = (total - float(n @ n) / total) / (persons - 1)
    found = [_icc(between / within if within > 0 else np.inf, n0)]
    for tail in ((1 + level) / 2, (1 - level) / 2):
        ratio = (
            between / within / f_law.ppf(tail, persons - 1, total - persons)
            if within > 0
            else np.inf
        )
        found.append(_icc(ratio, n0))
    single, low, high = (min(max(one, 0.0), 1.0) for one in found)
    table = pl.DataFrame(
        [(k, *(spearman_brown(rho, k) for rho in (single, low, high))) for k in at],
        ["days_measured", "reliability", "lower", "upper"],
        orient="row",
    )
    split = split_half(days, measure)
    facts: dict[str, Any] = {
        "measure": measure, "single": single, "single_lower": low, "single_upper": high,
        "level": level, "persons": persons, "days": int(total), "target": target,
        "needed": days_needed(single, target) or 0, "split": split, "days_per_person": n0,
    }  # fmt: skip
    basis = Basis(
        source="days",
        period=" – ".join(rows["day"].cast(pl.String).sort()[[0, -1]]),
        rows=int(total),
        fingerprint=fingerprint(each.write_csv(), measure, repr((target, level, tuple(at)))),
        notes=("one-way random effects, F interval", "split halves: every other valid day"),
    )
    return Reliability(table=table, basis=basis, facts=facts)


def split_half(days: pl.DataFrame, measure: str = "steps") -> float:
    """Correlate persons' means over every other valid day, stepped up to all days by 2r/(1 + r).

    Parameters
    ----------
    days : polars.DataFrame
        ``person``, ``day``, ``valid`` and the measure.
    measure : str
        Column.

    Returns
    -------
    float
        0 where the halves go against each other.

    Examples
    --------
    >>> import datetime as dt
    >>> rows = pl.DataFrame({"person": ["a", "a", "b", "b", "c", "c"], "valid": True,
    ...     "day": [dt.date(2024, 3, 1), dt.date(2024, 3, 2)] * 3, "steps": [5.0, 6, 1, 2, 9, 7]})
    >>> round(split_half(rows), 4)
    0.9717
    """
    rows = _valid(days, measure).sort("person", "day")
    odd = pl.int_range(pl.len()).over("person") % 2 == 0
    halves = rows.with_columns(_odd=odd).group_by("person").agg(
        one=pl.col(measure).filter(pl.col("_odd")).mean(),
        other=pl.col(measure).filter(~pl.col("_odd")).mean(),
    ).drop_nulls().sort("person")  # fmt: skip
    if halves.height < 3:
        raise InputError(
            f"{halves.height} persons have two valid days: three are needed", where=measure
        )
    one, other = halves["one"].to_numpy(), halves["other"].to_numpy()
    if not (np.ptp(one) > 0 and np.ptp(other) > 0):
        raise InputError("does not vary between persons", where=measure)
    r = float(np.corrcoef(one, other)[0, 1])
    return spearman_brown(min(max(r, 0.0), 1.0), 2)


def missing_days(
    days: pl.DataFrame, groups: pl.DataFrame, group: str, *, start: Any, end: Any
) -> pl.DataFrame:
    """Show by group how many days of a window are measured and valid, those without any included.

    Parameters
    ----------
    days : polars.DataFrame
        ``person``, ``day``, ``valid``.
    groups : polars.DataFrame
        ``person`` (pseudonym), one row each, and the group; who is not in it is not counted.
    group : str
        Column, such as ``"sex"`` or ``"age_band"``.
    start, end : datetime.date
        The window, half-open.

    Returns
    -------
    polars.DataFrame
        ``level``, ``persons``, ``days_expected``, ``days``, ``valid_days``, ``valid_share``.

    Examples
    --------
    >>> import datetime as dt
    >>> rows = pl.DataFrame({"person": ["a"], "day": [dt.date(2024, 3, 1)], "valid": [True]})
    >>> who = pl.DataFrame({"person": ["a", "b"], "sex": ["f", "m"]})
    >>> missing_days(rows, who, "sex", start=dt.date(2024, 3, 1), end=dt.date(2024, 3, 5)).rows()
    [('f', 1, 4, 1, 1, 0.25), ('m', 1, 4, 0, 0, 0.0)]
    """
    lacking = [name for name in ("person", group) if name not in groups.columns]
    if lacking:
        raise InputError(
            f"no column {lacking[0]!r}{nearest(lacking[0], groups.columns)}", where="groups"
        )
    if groups["person"].is_duplicated().any():
        raise InputError("persons stand twice", where="groups", do="give one row for each person")
    window = (end - start).days
    if window < 1:
        raise InputError(f"the window {start} to {end} holds no day", where="start, end")
    inside = days.filter(pl.col("day").is_between(pl.lit(start), pl.lit(end), closed="left"))
    each = inside.group_by("person").agg(
        days=pl.len().cast(pl.Int64), valid_days=pl.col("valid").sum().cast(pl.Int64)
    )
    return (
        groups.select("person", level=pl.col(group).cast(pl.String))
        .join(each, on="person", how="left")
        .group_by("level")
        .agg(
            persons=pl.len().cast(pl.Int64),
            days_expected=pl.len().cast(pl.Int64) * window,
            days=pl.col("days").fill_null(0).sum(),
            valid_days=pl.col("valid_days").fill_null(0).sum(),
        )
        .with_columns(valid_share=pl.col("valid_days") / pl.col("days_expected"))
        .sort("level")
    )


def _icc(ratio: float, days: float) -> float:
    return 1.0 if np.isinf(ratio) else (ratio - 1) / (ratio + days - 1)


def _valid(days: pl.DataFrame, measure: str) -> pl.DataFrame:
    missing = [name for name in ("person", "day", "valid", measure) if name not in days.columns]
    if missing:
        raise InputError(
            f"no column {missing[0]!r}{nearest(missing[0], days.columns)}", where="days"
        )
    if not days.schema[measure].is_numeric():
        raise InputError(f"{measure!r} is no number", where="days")
    value = pl.col(measure).cast(pl.Float64)
    return days.filter("valid").with_columns(value).filter(value.is_not_null() & value.is_finite())
