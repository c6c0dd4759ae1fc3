"""Baseline: the cumulative hazard under a Cox model by stratum, and survival of patterns of covariates.

At base levels and mean covariates Λ(t) = Σ_times w̄ Σ_l 1/φ_l, Breslow's (1974) with his ties and Efron's
with his. For a pattern d away from there, var Λ(t|d) = e^{2dβ}[W + qᵀVq] with W = Σ w̄ Σ 1/φ² and q = Σ w̄ Σ (x̄
− d)/φ (Tsiatis 1981, Annals of Statistics 9; Therneau and Grambsch 2000, section 10.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from pricing.errors import InputError
from pricing.estimate.design import Floats
from pricing.experience.domain import require_columns
from pricing.survival.interval import Scale, bounds
from pricing.survival.partial_likelihood import CoxFit
from pricing.survival.risk_sets import RiskSets

if TYPE_CHECKING:
    from pricing.survival.cox import Cox

__all__ = ["baseline", "survival_at"]

MOST_LOG = 500.0  # of a hazard ratio: nobody stays


def baseline(fit: CoxFit, sets: RiskSets) -> tuple[pl.DataFrame, Floats]:
    """Give the baseline by stratum, and the covariates it is at: 0 for levels, means else.

    Returns
    -------
    polars.DataFrame
        The strata, time, events (lives), hazard (cumulative), hazard_variance (W), drift (Σ w̄ Σ x̄/φ by
        coefficient).
    array
        The centre.

    Examples
    --------
    >>> from pricing.survival.partial_likelihood import maximum
    >>> from pricing.survival.risk_sets import Spelling
    >>> rows = pl.DataFrame({"exit": [1, 2, 3, 4], "event": [1, 1, 1, 0], "age": [60, 40, 50, 45]})
    >>> sets = RiskSets.collect(rows, "age", Spelling())
    >>> path, centre = baseline(maximum(sets), sets)
    >>> path["hazard"].round(4).to_list(), centre.round(1).tolist()
    ([0.1423, 0.519, 0.9731, 0.9731], [47.0])
    """
    at, sums = fit.fitted, fit.fitted.sums
    level = np.array([all(known is not None for known in c.levels) for c in sets.columns])
    centre = np.where(level, 0.0, fit.mean)
    away = centre - fit.mean
    # relative hazards are e^{(x − mean)β − shift}
    factor = np.exp(away @ fit.coefficients - at.shift)
    hazard = factor * sets.until(sums["q0"])
    steps = sums["c2"][:, None] * at.s1 - sums["c1"][:, None] * at.d1
    drift = factor * sets.until(steps) * fit.scale - hazard[:, None] * away
    path = sets.times.select(
        "stratum",
        "time",
        events="deaths",
        hazard=hazard,
        hazard_variance=factor**2 * sets.until(sums["c2"]),
        drift=pl.Series(drift, dtype=pl.Array(pl.Float64, drift.shape[1])),
    )
    # the curve is known up to the last time of observation
    ends = pl.DataFrame({"stratum": np.arange(len(sets.ends)), "time": sets.ends})
    ends = ends.join_asof(path, on="time", by="stratum", check_sortedness=False)
    none = pl.lit([0.0] * drift.shape[1], dtype=path.schema["drift"])
    ends = ends.with_columns(pl.col("hazard", "hazard_variance").fill_null(0.0))
    ends = ends.with_columns(pl.col("drift").fill_null(none), events=pl.lit(0.0))
    ends = ends.join(path, on=["stratum", "time"], how="anti").select(path.columns)
    path = pl.concat([path, ends]).sort("stratum", "time")
    strata = sets.strata[path["stratum"]] if sets.strata.width else pl.DataFrame()
    path = path.drop("stratum")
    return pl.concat([strata, path], how="horizontal"), centre


def survival_at(
    cox: Cox, frame: pl.DataFrame, x: Floats, times: Sequence[float], scale: Scale, z: float
) -> pl.DataFrame:
    """Give the survival of patterns at times; :meth:`pricing.survival.cox.Cox.predict` says how.

    Examples
    --------
    >>> from pricing.survival.cox import fit_cox
    >>> rows = pl.DataFrame({"exit": [1, 2, 3, 4], "event": [1, 1, 1, 0], "age": [60, 40, 50, 45]})
    >>> cox, who = fit_cox(rows, "age"), pl.DataFrame({"age": [60, 40]})
    >>> survival_at(cox, who, cox.values(who), [1], "plain", 1.96)["survival"].round(3).to_list()
    [0.537, 0.938]
    """
    try:
        asked = np.array([float(t) for t in times])
    except (TypeError, ValueError):
        raise InputError(f"times are numbers, got {times!r}") from None
    if not len(asked) or not (np.isfinite(asked).all() and (asked >= 0).all()):
        raise InputError("times are 0 or more and finite, at least one")
    strata = list(cox.details["strata"])
    require_columns(strata, frame.columns)
    taken = [
        n
        for n in frame.columns
        if n in ("time", "hazard", "survival", "std_error", "lower", "upper", "end", "_row")
    ]
    if taken:
        raise InputError(f"columns with a name of ours: {', '.join(taken)}", do="rename them")
    path = cox.frames["baseline"]
    text = [pl.col(n).cast(pl.String) for n in strata]
    rows = frame.with_row_index("_row")
    spelt = [
        pl.when(n).then(pl.lit("yes")).when(~pl.col(n)).then(pl.lit("no")).alias(n)
        if frame.schema[n] == pl.Boolean
        else pl.col(n).cast(pl.String)
        for n in strata
    ]
    grid = rows.select("_row", *spelt).join(pl.DataFrame({"time": np.sort(asked)}), how="cross")
    known = path.select(*text, "time", "hazard", "hazard_variance", "drift").sort("time")
    if strata:
        lost = rows.select(spelt).join(known.select(strata), on=strata, how="anti")
        if lost.height:
            raise InputError(
                f"strata without a baseline in {lost.height:,} rows",
                faults=[str(r) for r in lost.unique(maintain_order=True).head(5).rows()],
            )
    ends = (
        known.group_by(strata).agg(end=pl.col("time").max())
        if strata
        else known.select(end=pl.col("time").max())
    )
    grid = grid.join(ends, on=strata) if strata else grid.join(ends, how="cross")
    grid = grid.sort("time").join_asof(known, on="time", by=strata or None, check_sortedness=False)
    grid = grid.sort("_row", "time")
    hazard, spread = (grid[n].fill_null(0.0).to_numpy() for n in ("hazard", "hazard_variance"))
    none = pl.lit([0.0] * x.shape[1], dtype=known.schema["drift"])
    drift = grid.select(pl.col("drift").fill_null(none)).to_series().to_numpy()
    away = x[grid["_row"].to_numpy()] - np.array(cox.details["centre"])
    ratio = np.exp(np.minimum(away @ cox.coefficients, MOST_LOG))
    q = drift - hazard[:, None] * away
    variance = spread + np.einsum("ij,jk,ik->i", q, cox.covariance(), q)
    survival = np.exp(-ratio * hazard)
    found = grid.select("_row", "time", "end").with_columns(
        hazard=ratio * hazard,
        survival=survival,
        std_error=survival * ratio * np.sqrt(np.maximum(variance, 0.0)),
    )
    found = found.with_columns(bounds(pl.col("survival"), pl.col("std_error"), scale, z))
    seen, own = (
        pl.col("time") <= pl.col("end"),
        ("hazard", "survival", "std_error", "lower", "upper"),
    )
    found = found.with_columns(pl.when(seen).then(pl.col(n)) for n in own).drop("end")
    return rows.join(found, on="_row", how="inner").sort("_row", "time").drop("_row")
