"""Competing causes: the share that has left by each, with its error, from cells of lives.

Aalen–Johansen for one state and several ways out: F_k(t) = Σ S(u−)·d_k/Y over the times u up to t, S the
Kaplan–Meier curve of leaving by any cause. Causes at the same time share the fall of S, so Σ_k F_k + S
is 1 exactly, and no time is jittered. Sources: Aalen and Johansen (1978); the delta method's variance in
Marubini and Valsecchi, Analysing Survival Data (1995), section 10.3; Aalen's, of optional variation, in
Andersen, Borgan, Gill and Keiding, Statistical Models Based on Counting Processes (1993), section IV.4.
"""

from __future__ import annotations

from dataclasses import replace
from math import isfinite
from typing import Literal, get_args

import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError, nearest
from pricing.result.shape import Result
from pricing.result.words import Language, level_label, say
from pricing.survival.curve import gap_notes, gaps_said, observed_grid
from pricing.survival.interval import Scale, bounds, normal_quantile, require_scale
from pricing.survival.lives import Lives, stratum_name, within
from pricing.survival.steps import steps_figure

__all__ = ["CumulativeIncidence", "Variance", "cumulative_incidence"]

Variance = Literal["delta", "aalen"]


class CumulativeIncidence(Result):
    """Aalen–Johansen by stratum and cause.

    ``.table``: strata, cause, time, at_risk (just before), events (by the cause), survival (of all
    causes), incidence, std_error, lower, upper, hazard (cumulative, of the cause: Nelson–Aalen) and
    hazard_std_error.
    """

    kind = "cumulative_incidence"

    @property
    def by(self) -> list[str]:
        """Strata."""
        return list(self.details["by"])

    def incidence_at(self, *times: float) -> pl.DataFrame:
        """Give the share that has left by each cause at times; null after the last time observed.

        Returns
        -------
        polars.DataFrame
            Strata, cause, time, incidence, std_error, lower, upper.
        """
        start: float = self.details["start"]
        if not times or not all(isfinite(t) and t >= start for t in times):
            raise InputError(f"times lie at or after {start:g}, got {times}")
        keys, columns = [*self.by, "cause"], ["incidence", "std_error", "lower", "upper"]
        asked = pl.DataFrame({"time": sorted({float(t) for t in times})})
        ends = self.table.group_by(keys, maintain_order=True).agg(_last=pl.col("time").max())
        told = self.table.select(*keys, "time", *columns, _over=pl.col("survival") == 0)
        found = (
            ends.join(asked, how="cross").sort("time")
            .join_asof(told.sort("time"), on="time", by=keys, check_sortedness=False)
        )  # fmt: skip
        beyond = (pl.col("time") > pl.col("_last")) & ~pl.col("_over").fill_null(False)
        found = found.with_columns(
            pl.when(beyond)
            .then(None)
            .when(pl.col("_over").is_null())
            .then(0.0)
            .otherwise(pl.col(name))
            .alias(name)
            for name in columns
        )
        return found.select(*keys, "time", *columns).sort(*keys, "time")

    def finding(self, lang: Language = "en") -> str:
        """Say which cause takes most lives by the end, and what the curve cannot tell."""
        facts = dict(self.facts)
        several = say("sentence.incidence_in_stratum", lang, **facts) if facts["strata"] > 1 else ""
        named = {
            "largest": level_label(facts["largest"], lang),
            "unit_name": say(f"level.unit_{self.details['unit']}", lang),
            "stratum_text": several,
        }
        said = say("finding.cumulative_incidence", lang, **(facts | named))
        return said + gaps_said(facts, lang)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the share that has left by each cause, with bands, and the lives at risk below."""
        strata = [stratum_name(self.by)] if self.by else []
        named = self.table.with_columns(
            stratum=pl.concat_str([pl.col("cause").cast(pl.String), *strata], separator=" × ")
        )
        first = pl.col("cause") == self.details["causes"][0]
        return steps_figure(
            named,
            start=self.details["start"],
            origin=0.0,
            name="incidence",
            unit=self.details["unit"],
            lang=lang,
            at_risk=self.table.filter(first).with_columns(stratum_name(self.by)),
        )


def cumulative_incidence(
    lives: Lives,
    *,
    start: float = 0.0,
    variance: Variance = "delta",
    scale: Scale = "log-log",
    level: float = 0.95,
) -> CumulativeIncidence:
    """Estimate the share that has left by each cause, in every stratum.

    Parameters
    ----------
    lives : Lives
        From :meth:`~pricing.survival.lives.Lives.collect`, with causes.
    start : float
        The shares of those still there at ``start``.
    variance : {"delta", "aalen"}
        With one cause the first is Greenwood's; the second is larger where many leave at once.
    scale : {"log-log", "log", "plain"}
        Scale of the interval.
    level : float
        Confidence level.

    Returns
    -------
    CumulativeIncidence
        ``.incidence_at(1, 2)``.

    Raises
    ------
    InputError
        For a start that is negative or not before the last time.

    Notes
    -----
    With B = F(t) − F(u), over the times u up to t: delta Σ B²d/(Y(Y − d)) + Σ S(u−)²d_k(Y − d_k)/Y³ −
    2Σ B·S(u−)d_k/Y², the multinomial law of what leaves at u; Aalen Σ B²d/(Y − d)² + Σ S(u−)²d_k/Y² −
    2Σ B·S(u−)d_k/(Y(Y − d)), a Poisson law. Terms in B of the last life at risk are 0.

    Examples
    --------
    >>> rows = pl.DataFrame({"exit": [1, 1, 2, 3], "event": ["lapse", "death", None, "lapse"]})
    >>> found = cumulative_incidence(Lives.collect(rows))
    >>> found.incidence_at(1, 3).select("cause", "time", "incidence").rows()
    [('death', 1.0, 0.25), ('death', 3.0, 0.25), ('lapse', 1.0, 0.25), ('lapse', 3.0, 0.75)]
    """
    require_scale(scale)
    if variance not in get_args(Variance):
        raise InputError(f"no variance {variance!r}{nearest(str(variance), get_args(Variance))}")
    z = normal_quantile(level)
    grid, gaps = observed_grid(lives, start)
    by = list(lives.by)
    d, y = pl.col("events"), pl.col("at_risk")
    grid = grid.with_columns(survival=within(((y - d) / y).cum_prod(), by))
    grid = grid.with_columns(
        _before=within(pl.col("survival").shift(1, fill_value=1.0), by)  # S(u−)
    )
    parts = [
        _one_cause(grid, f"events_{i}", by, variance).with_columns(
            cause=pl.lit(name, pl.Enum(lives.causes))
        )
        for i, name in enumerate(lives.causes, start=1)
    ]
    # with all gone by one cause the share is 1 without a known error, as a curve at 0
    error = pl.when(pl.col("incidence") < 1).then(pl.col("std_error"))
    table = pl.concat(parts).with_columns(std_error=error)
    table = table.with_columns(*bounds(pl.col("incidence"), pl.col("std_error"), scale, z))
    table = table.select(
        *by, "cause", "time", "at_risk", "events", "survival", "incidence", "std_error", "lower",
        "upper", "hazard", "hazard_std_error",
    ).sort(*by, "cause", "time")  # fmt: skip
    notes = (
        f"Aalen–Johansen, {variance} variance, {scale} interval at {level:.0%}; causes at one time "
        f"share the fall of the curve, no jitter; time in {lives.unit}s",
        *gap_notes(gaps),
    )
    most = table.with_columns(stratum_name(by)).group_by(*by, "cause", maintain_order=True).last()
    top = most.sort("incidence", descending=True, maintain_order=True).row(0, named=True)
    facts = {
        "largest": str(top["cause"]),
        "share": top["incidence"],
        "lower": top["lower"] if top["lower"] is not None else top["incidence"],
        "upper": top["upper"] if top["upper"] is not None else top["incidence"],
        "survival": top["survival"],
        "last_time": top["time"],
        "stratum": top["stratum"],
        "strata": most.select(by).unique().height if by else 1,
        "causes": len(lives.causes),
        "level": level,
        **gaps,
    }
    return CumulativeIncidence(
        table=table,
        basis=replace(lives.basis, notes=(*lives.basis.notes, *notes)),
        facts=facts,
        details={
            "by": by, "start": float(start), "scale": scale, "level": level, "variance": variance,
            "unit": lives.unit, "causes": list(lives.causes),
        },
    )  # fmt: skip


def _one_cause(grid: pl.DataFrame, column: str, by: list[str], variance: Variance) -> pl.DataFrame:
    """Running sums of one cause; B² and B are written out, so one pass serves every t."""
    d, y, k, s = pl.col("events"), pl.col("at_risk"), pl.col(column), pl.col("_before")
    f = pl.col("incidence")
    found = grid.with_columns(incidence=within((s * k / y).cum_sum(), by))
    more = y > d  # else the curve is at 0: F(t) = F(u), the terms vanish
    if variance == "delta":
        a = pl.when(more).then(d / (y * (y - d)))
        b = s**2 * k * (y - k) / y**3
        c = pl.when(more).then(s * k / y**2)
    else:
        a = pl.when(more).then(d / (y - d) ** 2)
        b = s**2 * k / y**2
        c = pl.when(more).then(s * k / (y * (y - d)))
    terms = {"_a": a, "_b": b, "_c": c, "_af": a * f, "_aff": a * f * f, "_cf": c * f}
    found = found.with_columns(
        **{n: within(of.fill_null(0.0).cum_sum(), by) for n, of in terms.items()},
        hazard=within((k / y).cum_sum(), by),
        hazard_std_error=within((k / y**2).cum_sum(), by).sqrt(),
    )
    spread = f**2 * pl.col("_a") - 2 * f * pl.col("_af") + pl.col("_aff") + pl.col("_b")
    spread = spread - 2 * (f * pl.col("_c") - pl.col("_cf"))
    dust = 1e-15 * (f**2 * pl.col("_a") + pl.col("_b"))
    return found.with_columns(
        std_error=pl.when(spread > dust).then(spread).otherwise(0.0).sqrt(), events=k
    )
