"""Bühlmann and Bühlmann–Straub credibility, from rows or exactly from cells.

Model: observation X of group i with weight w has mean θ_i and variance s²/w; the θ_i have mean m
and variance a. With S1 = ΣwX, S2 = ΣwX² and k observations per group, the unbiased estimators are

* s² = Σ_i (S2_i − S1_i²/w_i) / Σ_i (k_i − 1)
* a  = [Σ_i w_i (X̄_i − X̄)² − (I − 1)s²] / (w − Σ_i w_i²/w),  not below zero
* Z_i = w_i / (w_i + s²/a),  m = ΣZ_i X̄_i / ΣZ_i,  premium_i = Z_i X̄_i + (1 − Z_i) m

The iterative estimator (Bichsel and Straub) instead solves a = Σ_i Z_i (X̄_i − m)² / (I − 1), in
which Z and m depend on a. The complement of credibility is m, the collective mean.

Source: Bühlmann and Straub (1970); Bühlmann and Gisler (2005), chapters 3 and 4. Only sums enter,
so the estimate from cells equals the one from rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import polars as pl
from scipy.optimize import brentq

from pricing.errors import InputError, nearest
from pricing.experience.cells import Experience
from pricing.result.figure import interval_figure
from pricing.result.shape import Basis, Result
from pricing.result.words import Language

__all__ = [
    "Credibility",
    "Estimator",
    "buhlmann_straub",
    "credibility_of_cells",
    "pseudo_between",
    "sums_by",
    "sums_of_cells",
]

Estimator = Literal["unbiased", "iterative"]
Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


class Credibility(Result):
    """Credibility premiums by group."""

    kind = "credibility"

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the credibility premium with two root mean squared errors, over weight bars."""
        t = self.table
        reach = 2 * t["mean_squared_error"].sqrt()
        return interval_figure(
            t[self.facts["group"]].cast(pl.String).to_list(),
            t["premium"].to_list(),
            (t["premium"] - reach).to_list(),
            (t["premium"] + reach).to_list(),
            name="premium",
            factor=self.facts["group"],
            lang=lang,
            bars=t["weight"].to_list(),
            bars_name="weight",
        )


def buhlmann_straub(
    frame: pl.DataFrame,
    *,
    group: str,
    value: str,
    weight: str | None = None,
    estimator: Estimator = "unbiased",
) -> Credibility:
    """Credibility premiums from observations by group and period.

    Parameters
    ----------
    frame : polars.DataFrame
        One row per group and period.
    group : str
        Column that names the group (risk class, region, health group).
    value : str
        Observation, such as average claim (currency), frequency or loss ratio.
    weight : str, optional
        Volume behind the observation (claims, policy-years, premium), above zero. Left out, every
        observation weighs 1: Bühlmann's model.
    estimator : {"unbiased", "iterative"}
        How the variance between groups is estimated; the two differ where groups are of uneven
        weight, and are zero together. For equal weights they are the same.

    Returns
    -------
    Credibility
        ``.table``: group, observations, weight, mean, credibility (Z, 0 to 1), premium,
        mean_squared_error = a(1 − Z)(1 + (1 − Z)/ΣZ) (Bühlmann and Gisler 2005, theorem 4.6).
        ``.facts``: collective (m), within (s²), between (a), estimator, complement.

    Raises
    ------
    InputError
        For nulls, weights not above zero, fewer than two groups, or no group with two
        observations (s² cannot be estimated).

    Examples
    --------
    >>> frame = pl.DataFrame({"region": ["n", "n", "s", "s"], "ratio": [0.5, 0.7, 0.9, 1.1],
    ...                       "premium": [10.0, 10.0, 10.0, 10.0]})
    >>> found = buhlmann_straub(frame, group="region", value="ratio", weight="premium")
    >>> found.table["premium"].round(4).to_list()
    [0.625, 0.975]
    """
    sums, basis = sums_by(frame, [group], value, weight)
    return _estimate(sums, group, basis, estimator)


def sums_by(
    frame: pl.DataFrame, groups: Sequence[str], value: str, weight: str | None
) -> tuple[pl.DataFrame, Basis]:
    """Add up observations by group: observations, weight, first = ΣwX, second = ΣwX².

    Raises
    ------
    InputError
        For columns that are missing or no numbers, and observations without a group, a finite
        value or a weight above zero.

    Examples
    --------
    >>> frame = pl.DataFrame({"g": ["a", "a"], "x": [1.0, 3.0]})
    >>> sums_by(frame, ["g"], "x", None)[0].rows()
    [('a', 2, 2.0, 4.0, 10.0)]
    """
    w = pl.col(weight) if weight else pl.lit(1.0)
    x = pl.col(value).cast(pl.Float64)
    named = [*groups, value, *([weight] if weight else [])]
    faults = [f"{n!r}{nearest(n, frame.columns)}" for n in named if n not in frame.columns]
    faults += [
        f"{n!r} is {frame.schema[n]}, not a number"
        for n in named[len(groups) :]
        if n in frame.columns and not frame.schema[n].is_numeric()
    ]
    if faults:
        raise InputError("columns are missing or no numbers", faults=faults)
    rows = frame.select(*groups, _x=x, _w=w.cast(pl.Float64))
    bad = rows.filter(
        pl.any_horizontal(pl.col(groups).is_null())
        | ~pl.col("_x").is_finite().fill_null(False)
        | ~((pl.col("_w") > 0) & pl.col("_w").is_finite()).fill_null(False)
    )
    if not bad.is_empty():
        raise InputError(
            f"{bad.height:,} of {rows.height:,} observations have no group, no finite {value!r}, "
            f"or no {weight or 'weight'} above zero",
            do="remove them, or correct them",
        )
    x, w = pl.col("_x"), pl.col("_w")
    sums = rows.group_by(groups, maintain_order=True).agg(
        observations=pl.len(), weight=w.sum(), first=(w * x).sum(), second=(w * x * x).sum()
    )
    return sums.sort(groups), Basis(rows=rows.height)


def credibility_of_cells(
    experience: Experience, rate: pl.Expr, group: str, *, estimator: Estimator = "unbiased"
) -> Credibility:
    """Credibility of each group's actual-to-expected claims, as if computed on rows.

    Each row is one observation X = claims/expected with weight expected = e·rate, so that
    ΣwX² = Σ(n²/e)/rate: the cells carry it, and s² takes the over-dispersion of the rows.

    Parameters
    ----------
    experience : Experience
        Cells that carry ``group`` and the keys that ``rate`` reads.
    rate : polars.Expr
        Expected claims per policy-year without the group's own effect.
    group : str
        Key, such as ``"health_group"``.
    estimator : {"unbiased", "iterative"}
        As in :func:`buhlmann_straub`.

    Returns
    -------
    Credibility
        As :func:`buhlmann_straub`; ``mean`` is actual-to-expected, ``weight`` expected claims.

    Raises
    ------
    InputError
        As :func:`buhlmann_straub`; for a group that is not a key, and for cells without an
        expected rate above zero.

    Examples
    --------
    >>> rows = pl.DataFrame({"g": ["a", "a", "b", "b"], "exposure": [1.0] * 4, "claims": [3, 5, 1, 1]})
    >>> found = credibility_of_cells(Experience.collect(rows, ["g"]), pl.lit(2.0), "g")
    >>> found.table["credibility"].round(4).to_list()
    [0.8889, 0.8889]
    """
    sums = sums_of_cells(experience, rate, [group])
    return _estimate(sums, group, experience.basis, estimator)


def sums_of_cells(experience: Experience, rate: pl.Expr, groups: Sequence[str]) -> pl.DataFrame:
    """Add up actual-to-expected by group, each row an observation of weight e·rate.

    Raises
    ------
    InputError
        For groups that are not keys, and cells without an expected rate above zero.

    Examples
    --------
    >>> rows = pl.DataFrame({"g": ["a", "a"], "exposure": [1.0, 1.0], "claims": [3, 5]})
    >>> sums_of_cells(Experience.collect(rows, ["g"]), pl.lit(2.0), ["g"]).rows()
    [('a', 2, 4.0, 8.0, 17.0)]
    """
    r = pl.col("_rate")
    for group in groups:
        rated = experience.rated(rate, group)
    sums = rated.cells.group_by(groups, maintain_order=True).agg(
        observations=pl.col("rows").sum(),
        weight=(r * pl.col("exposure")).sum(),
        first=pl.col("claims").sum().cast(pl.Float64),
        second=(pl.col("claims_squared_per_exposure") / r).sum(),
    )
    return sums.sort(groups)


def pseudo_between(variance: Floats, mean: Floats, parent: Codes | None = None) -> float:
    """Solve the pseudo-estimator of a variance between: a = Σ Z (X − X_z)² / Σ(J − 1).

    Z = a/(a + u) with u the variance of a group's own mean, X_z the Z-weighted mean of each parent.
    Divided by a, the right side falls as a grows, so there is one root, or none above zero and the
    estimate is zero (Bühlmann and Gisler 2005, section 4.8).

    Parameters
    ----------
    variance : array
        u of each group, above zero: s²/w.
    mean : array
        Own mean of each group.
    parent : array of int, optional
        Which parent a group belongs to, from 0; one parent where left out.

    Examples
    --------
    >>> round(pseudo_between(np.array([1.0, 1.0]), np.array([0.0, 4.0])), 9)
    7.0
    """
    parent = np.zeros(len(mean), dtype=np.int64) if parent is None else parent
    freedom = len(mean) - int(parent.max()) - 1

    def excess(a: float) -> float:
        v = 1.0 / (variance + a)
        centre = np.bincount(parent, weights=v * mean) / np.bincount(parent, weights=v)
        return float((v * (mean - centre[parent]) ** 2).sum()) / freedom - 1.0

    if freedom < 1 or excess(0.0) <= 0:
        return 0.0
    most = float(np.ptp(mean)) ** 2 * len(mean)
    return float(brentq(excess, 0.0, most, xtol=1e-300, rtol=1e-14, maxiter=500))


def _estimate(sums: pl.DataFrame, group: str, basis: Basis, estimator: Estimator) -> Credibility:
    if estimator not in get_args(Estimator):
        raise InputError(
            f"no such choice: {estimator!r}{nearest(str(estimator), get_args(Estimator))}"
        )
    groups = sums.height
    if groups < 2:
        raise InputError(f"credibility needs two groups or more, {group!r} has {groups}")
    freedom = int(sums["observations"].sum()) - groups
    if freedom < 1:
        raise InputError(
            f"no group of {group!r} has two observations, so the spread within groups is unknown",
            do="give more than one period",
        )
    t = sums.with_columns(mean=pl.col("first") / pl.col("weight"))
    w, mean = t["weight"].to_numpy(), t["mean"].to_numpy()
    within = float((t["second"] - t["first"] * t["mean"]).clip(0).sum()) / freedom
    total = float(w.sum())
    overall = float((w * mean).sum() / total)
    spread = float((w * (mean - overall) ** 2).sum()) - (groups - 1) * within
    if estimator == "unbiased":
        between = max(spread / (total - float((w * w).sum()) / total), 0.0)
    elif within > 0:
        between = pseudo_between(within / w, mean)
    else:
        between = float(mean.var(ddof=1))
    z = w * between / (w * between + within) if between + within > 0 else 0.0 * w
    collective = float((z * mean).sum() / z.sum()) if between > 0 else overall
    error = between * (1 - z) * (1 + (1 - z) / z.sum()) if between > 0 else within / total + 0 * w
    table = t.select(
        group,
        "observations",
        "weight",
        "mean",
        credibility=pl.Series(z),
        premium=pl.Series(z * mean + (1 - z) * collective),
        mean_squared_error=pl.Series(error),
    )
    facts = {
        "group": group,
        "groups": groups,
        "collective": collective,
        "within": within,
        "between": between,
        "lowest": float(z.min()),
        "highest": float(z.max()),
        "estimator": estimator,
        "complement": "collective mean",
    }
    said = f"complement of credibility: the collective mean of {group!r}, {collective:.6g}"
    how = f"variance between groups by the {estimator} estimator"
    return Credibility(
        table=table, basis=replace(basis, notes=(*basis.notes, said, how)), facts=facts
    )
