"""Survival curve: the share still there by time, with its error, from cells of lives.

Kaplan–Meier S(t) = Π(1 − d/Y), Greenwood's variance S²Σd/(Y(Y − d)); Nelson–Aalen H(t) = Σd/Y, Aalen's
variance Σd/Y², over the event times up to t, d lives leaving of Y at risk. Sources: Kaplan and Meier
(1958); Greenwood (1926); Nelson (1972); Aalen (1978); Brookmeyer and Crowley (1982) for quantiles;
Klein and Moeschberger, Survival Analysis (2nd ed. 2003), sections 4.2 to 4.6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isfinite
from typing import Any

import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError
from pricing.result.shape import Result
from pricing.result.words import Language, level_label, say
from pricing.survival.interval import Scale, bounds, normal_quantile, require_scale
from pricing.survival.lives import Lives, stratum_name, within
from pricing.survival.steps import steps_figure

__all__ = ["SurvivalCurve", "survival_curve"]

FLAT = 1e-9


class SurvivalCurve(Result):
    """Kaplan–Meier and Nelson–Aalen by stratum.

    ``.table``: strata, time, at_risk (just before), events, censored, survival, std_error, lower,
    upper, hazard (cumulative), hazard_std_error, hazard_lower, hazard_upper. A step holds from its
    time to the next; where survival is 0 its error is unknown, and null. ``.frames["summary"]``: lives,
    events, median with interval, restricted mean and its error by stratum.
    """

    kind = "survival_curve"

    @property
    def by(self) -> list[str]:
        """Strata."""
        return list(self.details["by"])

    def quantiles(self, *shares: float) -> pl.DataFrame:
        """Give the times by which shares have left: the smallest t with S(t) ≤ 1 − share.

        Where the curve runs level at 1 − share, the middle of that stretch (as R's ``survival``). The
        interval holds the times at which the curve's own interval holds 1 − share (Brookmeyer and
        Crowley 1982). Null: not reached.

        Parameters
        ----------
        *shares : float
            Between 0 and 1; 0.5 is the median.

        Returns
        -------
        polars.DataFrame
            Strata, share, time, lower, upper.
        """
        if not shares or not all(0 < share < 1 for share in shares):
            raise InputError(f"shares lie between 0 and 1, got {shares}")
        curve = self.table.with_columns(
            lower=pl.when(pl.col("survival") == 0).then(0.0).otherwise(pl.col("lower"))
        )
        ends = {"time": "survival", "lower": "lower", "upper": "upper"}
        found = [
            _grouped(curve, self.by, **{
                name: _crossing(pl.col(column), 1 - share) for name, column in ends.items()
            }).with_columns(share=pl.lit(float(share)))
            for share in shares
        ]  # fmt: skip
        return pl.concat(found).select(*self.by, "share", *ends).sort(*self.by, "share")

    def survival_at(self, *times: float) -> pl.DataFrame:
        """Give survival at times, by stratum; null after the last time anybody was observed.

        Returns
        -------
        polars.DataFrame
            Strata, time, survival, std_error, lower, upper.
        """
        if not times or not all(isfinite(t) and t >= self.details["start"] for t in times):
            raise InputError(f"times lie at or after {self.details['start']:g}, got {times}")
        columns = ["survival", "std_error", "lower", "upper"]
        asked = pl.DataFrame({"time": sorted({float(t) for t in times})})
        last = _grouped(self.table, self.by, _last=pl.col("time").max())
        points = last.join(asked, how="cross")
        told = self.table.select(*self.by, "time", *columns, _over=pl.col("survival") == 0)
        found = points.sort("time").join_asof(
            told.sort("time"), on="time", by=self.by or None, check_sortedness=False
        )
        first, beyond = pl.col("survival").is_null(), pl.col("time") > pl.col("_last")
        sure = {"survival": 1.0, "std_error": 0.0, "lower": 1.0, "upper": 1.0}
        found = found.with_columns(
            pl.when(beyond & ~pl.col("_over").fill_null(False))
            .then(None)
            .when(first)
            .then(pl.lit(value))
            .otherwise(pl.col(name))
            .alias(name)
            for name, value in sure.items()
        )
        return found.select(*self.by, "time", *columns).sort(*self.by, "time")

    def restricted_mean(self, until: float | None = None) -> pl.DataFrame:
        """Give the mean time there up to a horizon: the area under the curve, with its error.

        μ(τ) = ∫₀^τ S(u)du, variance Σ(∫ₜ^τ S(u)du)²·d/(Y(Y − d)) over the event times t up to τ.

        Parameters
        ----------
        until : float, optional
            τ; the last time at which every stratum is observed where left out.

        Returns
        -------
        polars.DataFrame
            Strata, until, restricted_mean, std_error, lower, upper (mean ± z·error, within 0 and the
            years to the horizon).

        Raises
        ------
        InputError
            For a horizon after the last time of a stratum whose curve has not come to 0.
        """
        start: float = self.details["start"]
        ends = _grouped(
            self.table, self.by, _last=pl.col("time").max(), _rest=pl.col("survival").min()
        )
        open_ends = ends.filter(pl.col("_rest") > 0)
        if until is None:
            until = float((open_ends if open_ends.height else ends)["_last"].min())  # type: ignore[arg-type]
        if not until > start or not isfinite(until):
            raise InputError(f"the horizon lies after {start:g}, got {until}")
        short = open_ends.filter(pl.col("_last") < until)
        if short.height:
            faults = [
                f"{name}: last observed at {last:g}"
                for name, last in short.select(stratum_name(self.by), "_last").rows()
            ]
            raise InputError(
                f"the curve is not known up to {until:g} in {short.height} of {ends.height} strata",
                faults=faults[:5],
                do=f"take until={float(open_ends['_last'].min()):g} or less",  # type: ignore[arg-type]
            )
        s, time = pl.col("survival"), pl.col("time")
        seen = self.table.filter(time <= until).with_columns(
            _width=within(time.shift(-1), self.by).fill_null(until) - time
        )
        seen = seen.with_columns(
            _ahead=within((s * pl.col("_width")).cum_sum(reverse=True), self.by),
            _term=_greenwood(),
        )
        sums = _grouped(
            seen,
            self.by,
            _first=time.min() - start,
            _area=(s * pl.col("_width")).sum(),
            _variance=(pl.col("_ahead") ** 2 * pl.col("_term")).sum(),
        )
        z = normal_quantile(self.details["level"])
        mean, error = pl.col("restricted_mean"), pl.col("std_error")
        full = ends.select(self.by).join(sums, on=self.by, how="left") if self.by else sums
        full = full.select(  # null where nobody left up to the horizon
            *self.by,
            until=pl.lit(float(until)),
            restricted_mean=pl.col("_first").fill_null(until - start)
            + pl.col("_area").fill_null(0.0),
            std_error=pl.col("_variance").fill_null(0.0).sqrt(),
        )
        most = until - start
        return full.with_columns(
            lower=(mean - z * error).clip(0.0, most), upper=(mean + z * error).clip(0.0, most)
        ).sort(self.by or "until")

    def finding(self, lang: Language = "en") -> str:
        """Say how many left and by when half had, and what the curve cannot tell."""
        facts = {**self.facts, "unit_name": say(f"level.unit_{self.details['unit']}", lang)}
        said = say("finding.survival_curve", lang, **facts)
        if not facts["reached"]:
            said += say("sentence.survival_no_median", lang, **facts)
        elif facts["strata"] > 1:
            said += say("sentence.survival_by_stratum", lang, **facts)
        else:
            ends = {
                name: "∞" if facts[name] is None else f"{facts[name]:,.4g}"
                for name in ("median_lower", "median_upper")
            }
            said += say("sentence.survival_median", lang, **(facts | ends))
        return said + gaps_said(facts, lang)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the steps with their bands, and the lives at risk below."""
        return steps_figure(
            self.table.with_columns(stratum_name(self.by)),
            start=self.details["start"],
            origin=1.0,
            name="survival",
            unit=self.details["unit"],
            lang=lang,
        )


def survival_curve(
    lives: Lives, *, start: float = 0.0, scale: Scale = "log-log", level: float = 0.95
) -> SurvivalCurve:
    """Estimate the share still there by time, and the cumulative hazard, in every stratum.

    Every cause of leaving counts; for one among several see
    :func:`pricing.survival.competing.cumulative_incidence`.

    Parameters
    ----------
    lives : Lives
        From :meth:`~pricing.survival.lives.Lives.collect`; strata are its ``by``.
    start : float
        The curve of those still there at ``start`` (1 there): for lives seen from late entries on,
        whose first risk sets are small.
    scale : {"log-log", "log", "plain"}
        Scale of the interval of survival; that of the cumulative hazard is on the log scale.
    level : float
        Confidence level.

    Returns
    -------
    SurvivalCurve
        ``.quantiles(0.5)``, ``.survival_at(1, 2)``, ``.restricted_mean(5)``.

    Raises
    ------
    InputError
        For a start that is negative or not before the last time.

    Notes
    -----
    With late entries a risk set may be used up while others enter later: the curve then falls to 0
    and stays there, or nobody is observed for a while. Both are counted in ``.facts`` and said in
    the finding and the basis.

    Examples
    --------
    >>> rows = pl.DataFrame({"exit": [1, 2, 3, 4], "event": [1, 1, 0, 1]})
    >>> curve = survival_curve(Lives.collect(rows))
    >>> curve.table["survival"].to_list()
    [0.75, 0.5, 0.5, 0.0]
    >>> curve.survival_at(2.5)["survival"].item()
    0.5
    """
    require_scale(scale)
    z = normal_quantile(level)
    grid, gaps = observed_grid(lives, start)
    by = list(lives.by)
    d, y = pl.col("events"), pl.col("at_risk")
    s = pl.col("survival")
    table = grid.with_columns(
        survival=within(((y - d) / y).cum_prod(), by),
        hazard=within((d / y).cum_sum(), by),
        hazard_std_error=within((d / y**2).cum_sum(), by).sqrt(),
        std_error=within(_greenwood().cum_sum(), by),
    ).with_columns(std_error=pl.when(s > 0).then(s * pl.col("std_error").sqrt()))
    h, e = pl.col("hazard"), pl.col("hazard_std_error")
    reach = pl.when(h > 0).then((z * e / h).exp()).otherwise(1.0)
    table = table.select(
        *by,
        "time",
        "at_risk",
        "events",
        "censored",
        "survival",
        "std_error",
        *bounds(s, pl.col("std_error"), scale, z),
        "hazard",
        "hazard_std_error",
        hazard_lower=h / reach,
        hazard_upper=h * reach,
    )
    notes = (
        f"Kaplan–Meier, Greenwood's error, {scale} interval at {level:.0%}; Nelson–Aalen, Aalen's error; "
        f"time in {lives.unit}s",
        *gap_notes(gaps),
    )
    basis = replace(lives.basis, notes=(*lives.basis.notes, *notes))
    details = {
        "by": by, "start": float(start), "scale": scale, "level": level, "unit": lives.unit,
        "causes": list(lives.causes),
    }  # fmt: skip
    bare = SurvivalCurve(table=table, basis=basis, details=details)
    medians, means = bare.quantiles(0.5), bare.restricted_mean()
    counts = _grouped(table, by, lives=(d + pl.col("censored")).sum(), events=d.sum())
    summary = counts.with_columns(
        *(medians[old].alias(new) for old, new in _MEDIAN.items()),
        until=means["until"],
        restricted_mean=means["restricted_mean"],
        restricted_mean_std_error=means["std_error"],
    )
    return replace(bare, facts=_facts(summary, table, by, gaps, level), frames={"summary": summary})


_MEDIAN = {"time": "median_time", "lower": "median_lower", "upper": "median_upper"}


def observed_grid(lives: Lives, start: float) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Give the times at which lives leave, and say where nobody is observed.

    Returns
    -------
    tuple
        The risk sets, and facts: gaps (stretches without a life at risk between the first entry and
        the last exit), used_up (strata whose curve comes to 0 while lives enter later), first_entry
        (latest first entry of a stratum above ``start``), gone (strata nobody is left of at ``start``).

    Examples
    --------
    >>> rows = pl.DataFrame({"entry": [0, 5], "exit": [2, 7], "event": [1, 1]})
    >>> observed_grid(Lives.collect(rows, entry="entry"), 0.0)[1]["gaps"]
    1
    """
    if not (isfinite(start) and start >= 0):
        raise InputError(f"the start is 0 or more, got {start}")
    every = lives.risk(start=start)
    if every.is_empty() or every["at_risk"].max() == 0:
        raise InputError(
            f"nobody is observed after {start:g}",
            do=f"start before {float(lives.exits['time'].max()):g}",  # type: ignore[arg-type]
        )
    by = list(lives.by)
    left = pl.col("events") + pl.col("censored")
    last = within(pl.col("time").filter(left > 0).max(), by) > pl.col("time")
    empty = (pl.col("after") <= 0) & last
    first = pl.col("time") == within(pl.col("time").first(), by)
    late = every.filter(first & (pl.col("at_risk") <= 0))
    holes = every.filter(empty)
    used = every.filter(empty & (pl.col("events") > 0) & (pl.col("events") == pl.col("at_risk")))
    strata = lives.exits.select(by).unique() if by else pl.DataFrame()
    gone = strata.join(every, on=by, how="anti").sort(by) if by else strata
    facts = {
        "gone": gone.select(stratum_name(by)).to_series().to_list() if by else [],
        "gaps": holes.height,
        "gap_from": None if holes.is_empty() else float(holes["time"].min()),  # type: ignore[arg-type]
        "used_up": used.select(by).unique().height if by else min(used.height, 1),
        "used_up_at": None if used.is_empty() else float(used["time"].min()),  # type: ignore[arg-type]
        "first_entry": None if late.is_empty() else float(late["time"].max()),  # type: ignore[arg-type]
    }
    return every.filter(left > 0), facts


def gap_notes(gaps: dict[str, Any]) -> list[str]:
    """Write what is not observed into the basis.

    Examples
    --------
    >>> gap_notes({"gaps": 0, "used_up": 0, "first_entry": 2.0})
    ['nobody is observed before 2: the curve is that of lives still there then']
    """
    notes = []
    if gaps.get("gone"):
        notes.append(f"nobody is left at the start, no curve: {', '.join(gaps['gone'])}")
    if gaps["first_entry"] is not None:
        notes.append(
            f"nobody is observed before {gaps['first_entry']:g}: the curve is that of lives still "
            "there then"
        )
    if gaps["gaps"]:
        notes.append(f"nobody at risk after {gaps['gap_from']:g} for a while ({gaps['gaps']} gaps)")
    if gaps["used_up"]:
        notes.append(
            f"the last life at risk left at {gaps['used_up_at']:g} and others entered later: survival "
            f"stays 0 in {gaps['used_up']} strata; take a later start"
        )
    return notes


def gaps_said(facts: dict[str, Any], lang: Language) -> str:
    """Say what is not observed, in a language; nothing where all is.

    Examples
    --------
    >>> gaps_said({"gaps": 0, "used_up": 0}, "en")
    ''
    """
    said = say("sentence.survival_gaps", lang, **facts) if facts["gaps"] else ""
    if facts.get("gone"):
        between = say("sentence.list_separator", lang)
        names = between.join(level_label(name, lang) for name in facts["gone"])
        said += say("sentence.survival_gone", lang, names=names)
    return said + (say("sentence.survival_used_up", lang, **facts) if facts["used_up"] else "")


def _greenwood() -> pl.Expr:
    """d/(Y(Y − d)); 0 where all leave, for the curve is 0 from there on."""
    d, y = pl.col("events"), pl.col("at_risk")
    return pl.when(y > d).then(d / (y * (y - d))).otherwise(0.0)


def _crossing(curve: pl.Expr, height: float) -> pl.Expr:
    """First time at or below a height; the middle of a level stretch at that height."""
    time = pl.col("time")
    first = time.filter(curve <= height + FLAT).first()
    below = time.filter(curve < height - FLAT).first()
    level = (curve.filter(curve <= height + FLAT).first() - height).abs() <= FLAT
    return pl.when(level & below.is_not_null()).then((first + below) / 2).otherwise(first)


def _grouped(frame: pl.DataFrame, by: Sequence[str], **sums: pl.Expr) -> pl.DataFrame:
    if not by:
        return frame.select(**sums)
    return frame.group_by(by, maintain_order=True).agg(**sums).sort(by)


def _facts(
    summary: pl.DataFrame,
    table: pl.DataFrame,
    by: Sequence[str],
    gaps: dict[str, Any],
    level: float,
) -> dict[str, Any]:
    named = summary.with_columns(stratum_name(by)).sort("median_time", nulls_last=True)
    reached = named.filter(pl.col("median_time").is_not_null())
    one = summary.row(0, named=True)
    alone = summary.height == 1
    return {
        "lives": float(summary["lives"].sum()),
        "events": float(summary["events"].sum()),
        "strata": summary.height,
        "median": one["median_time"] if alone else None,
        "median_lower": one["median_lower"] if alone else None,
        "median_upper": one["median_upper"] if alone else None,
        "reached": reached.height,
        "shortest": reached["median_time"].first() if reached.height else None,
        "shortest_stratum": reached["stratum"].first() if reached.height else None,
        "longest": reached["median_time"].last() if reached.height else None,
        "longest_stratum": reached["stratum"].last() if reached.height else None,
        "last_time": float(table["time"].max()),  # type: ignore[arg-type]
        "last_survival": float(table["survival"].last()) if alone else float(table["survival"].min()),  # type: ignore[arg-type]
        "level": level,
        **gaps,
    }  # fmt: skip
