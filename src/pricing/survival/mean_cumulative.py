"""Mean cumulative function: events (or their cost) a person has by a time, with robust errors.

While a person is there: M(t) = Σ dN/Y over the event times up to t, dN events of Y at risk (Nelson 1988);
with the person as unit its variance is Σ_i[Σ Y_i(dN_i − dN/Y)/Y]², right whatever the dependence between
a person's events (Lawless and Nadeau 1995, Technometrics 37). Where death ends the events: μ(t) =
Σ S(t−)dN/Y, S the Kaplan–Meier curve of the terminal event (Cook and Lawless 1997; Ghosh and Lin 2000,
Biometrics 56), and person i adds ∫S(u−)dM_i/Y − ∫[μ(t) − μ(u)]dM_i^D/(Y − d): Ghosh and Lin's variance
with Greenwood's Y − d in place of Y, which is the derivative by the person's weight exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import isfinite
from typing import Literal, get_args

import numpy as np
import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError, nearest
from pricing.result.shape import Result
from pricing.result.words import Language, label, level_label, say
from pricing.survival.influence import Floats, Grid
from pricing.survival.interval import normal_quantile
from pricing.survival.lives import stratum_name
from pricing.survival.recurrent import RecurrentEvents
from pricing.survival.steps import steps_figure

__all__ = ["MeanCumulative", "mean_cumulative", "strata_grids"]

Of = Literal["events", "amount"]
Scale = Literal["log", "plain"]
MOST_STRATA = 200
MOST_SHOWN = 8  # times of a page


class MeanCumulative(Result):
    """Mean number (or cost) of events of a person by time, by stratum.

    ``.table``: strata, time, at_risk, repeat_events, ended (terminal events, where they count), mean_events
    (or mean_amount), std_error, lower, upper; a step holds from its time to the next. ``.frames["summary"]``:
    strata, lives, repeat_events, time_at_risk and the mean at the last time.
    """

    kind = "mean_cumulative"

    @property
    def by(self) -> list[str]:
        """Strata."""
        return list(self.details["by"])

    @property
    def name(self) -> str:
        """Column of the estimate: mean_events or mean_amount."""
        return str(self.details["name"])

    def at(self, *times: float) -> pl.DataFrame:
        """Give the means at times, by stratum; null after the last time anybody was followed.

        Parameters
        ----------
        *times : float
            0 or more, in the unit of the curve.

        Returns
        -------
        polars.DataFrame
            Strata, time, mean_events (or mean_amount), std_error, lower, upper.
        """
        if not times or not all(isfinite(t) and t >= 0 for t in times):
            raise InputError(f"times are 0 or more, got {times}")
        columns = [self.name, "std_error", "lower", "upper"]
        asked = pl.DataFrame({"time": sorted({float(t) for t in times})})
        points = self.frames["summary"].select(*self.by, "last_time").join(asked, how="cross")
        told = self.table.select(*self.by, "time", *columns).sort("time")
        found = points.sort("time").join_asof(
            told, on="time", by=self.by or None, check_sortedness=False
        )
        beyond = pl.col("time") > pl.col("last_time")
        none = pl.col(self.name).is_null()
        filled = [
            pl.when(beyond).then(None).when(none & (pl.lit(c) == self.name)).then(0.0)
            .otherwise(pl.col(c)).alias(c)
            for c in columns
        ]  # fmt: skip
        return found.select(*self.by, "time", *filled).sort(*self.by, "time")

    def titled(self, lang: Language = "en") -> pl.DataFrame:
        """Give the means at round times, for a page; the table has every step."""
        del lang
        step = {"day": 182.0, "month": 6.0, "year": 1.0}[self.facts["unit"]]
        last = float(self.frames["summary"]["last_time"].max())  # type: ignore[arg-type]
        step *= np.ceil(last / step / MOST_SHOWN)
        times = np.arange(step, last + step / 1e6, step).tolist() or [last]
        return self.at(*times).drop_nulls(self.name)

    def finding(self, lang: Language = "en") -> str:
        """Say how many events a person has by the last time, and where most."""
        facts = dict(self.facts)
        named = " × ".join(label(name, lang) for name in self.by)
        ends = ("highest", "lowest")
        facts |= {end: f"{named}: {level_label(self.facts[end], lang)}" for end in ends}
        money = self.name == "mean_amount"
        for name in ("estimate", "lower", "upper", "lowest_estimate"):
            value = self.facts[name]
            facts[name] = "–" if value is None else f"{value:,.0f}" if money else f"{value:,.3f}"
        facts["unit_name"] = level_label(f"unit_{facts['unit']}", lang)
        facts["name_text"] = label(self.name, lang)
        tail = "sentence.mean_cumulative_" + ("strata" if self.facts["strata"] > 1 else "one")
        said = say(tail, lang, **facts) if self.facts["estimate"] is not None else ""
        return say("finding.mean_cumulative", lang, **facts) + said

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the curves with their bands, and the persons at risk below."""
        table = self.table.with_columns(stratum_name(self.by))
        figure = steps_figure(
            table, start=0.0, origin=0.0, name=self.name, unit=self.facts["unit"], lang=lang
        )
        named = " × ".join(label(name, lang) for name in self.by)
        return figure.update_layout(
            yaxis={"tickformat": ",.3~g" if self.name == "mean_events" else ",.0f"},
            legend={"title": {"text": named}},
        )


def mean_cumulative(
    seen: RecurrentEvents,
    *,
    of: Of = "events",
    terminal: bool | None = None,
    scale: Scale = "log",
    level: float = 0.95,
) -> MeanCumulative:
    """Estimate the mean number (or cost) of events by time, nonparametrically.

    Parameters
    ----------
    seen : RecurrentEvents
        Persons and events; one curve per stratum.
    of : {"events", "amount"}
        Count the events or add up their amounts.
    terminal : bool, optional
        Whether those who died stay in the mean with no more events (Ghosh and Lin), the mean of a
        claimant whatever happens; else the mean of one who is still there. Yes where anybody died.
    scale : {"log", "plain"}
        Of the interval: M·exp(±z·se/M) or M ± z·se, at least 0.
    level : float
        Confidence level of the interval at each time by itself.

    Returns
    -------
    MeanCumulative

    Raises
    ------
    InputError
        For nobody with an event, unknown options, more than 200 strata.

    Examples
    --------
    >>> persons = pl.DataFrame({"person": ["a", "b", "c"], "exit": [4.0, 3.0, 2.0]})
    >>> events = pl.DataFrame({"person": ["a", "a", "b"], "time": [1.0, 3.0, 1.0]})
    >>> found = mean_cumulative(RecurrentEvents.collect(persons, events))
    >>> found.table.select("time", "at_risk", "repeat_events", pl.col("mean_events", "std_error").round(4)).rows()
    [(1.0, 3.0, 2.0, 0.6667, 0.2722), (3.0, 2.0, 1.0, 1.1667, 0.4462)]
    """
    for given, known, what in ((of, Of, "measure"), (scale, Scale, "interval")):
        if given not in get_args(known):
            raise InputError(f"no {what} {given!r}{nearest(str(given), get_args(known))}")
    z = normal_quantile(level)
    if seen.events.is_empty():
        raise InputError("nobody has an event", do="check the source, the dates and the filters")
    dies = bool(seen.persons["died"].any()) if terminal is None else terminal
    name = "mean_events" if of == "events" else "mean_amount"
    parts = _strata(seen)
    tables = [
        _curve(part, of, name, dies).with_columns(pl.lit(v, seen.persons.schema[n]).alias(n) for n, v in
                                                  zip(seen.by, levels, strict=True))
        for levels, part in parts
    ]  # fmt: skip
    table = _with_interval(pl.concat(tables), name, scale, z).select(
        *seen.by, "time", "at_risk", "repeat_events", *(["ended"] if dies else []), name, "std_error",
        "lower", "upper",
    )  # fmt: skip
    summary = _summary(seen, table, name)
    notes = ["robust errors with the person as unit (Lawless and Nadeau 1995)"]
    notes += (
        ["those who left by the terminal event stay in the mean (Ghosh and Lin 2000)"]
        if dies
        else ["the mean of those still there; leaving ends the time at risk"]
    )
    facts = _facts(summary, seen, name, level, dies)
    return MeanCumulative(
        table=table,
        basis=replace(seen.basis, notes=(*seen.basis.notes, *notes)),
        facts=facts,
        frames={"summary": summary},
        details={"by": list(seen.by), "name": name, "terminal": dies, "of": of},
    )


def _strata(seen: RecurrentEvents) -> list[tuple[tuple[object, ...], RecurrentEvents]]:
    """Persons and events stratum by stratum, rows numbered anew."""
    if not seen.by:
        return [((), seen)]
    levels = seen.persons.select(seen.by).unique().sort(seen.by).with_row_index("_stratum")
    if levels.height > MOST_STRATA:
        raise InputError(
            f"{levels.height:,} strata are too many", do=f"band the factors to {MOST_STRATA}"
        )
    placed = seen.persons.join(levels, on=list(seen.by), how="left", maintain_order="left")
    placed = placed.with_columns(_own=pl.int_range(pl.len(), dtype=pl.UInt32).over("_stratum"))
    events = seen.events.join(
        placed.select("row", "_stratum", "_own"), on="row", maintain_order="left"
    )
    parts = []
    for key in levels.iter_rows():
        own = placed.filter(_stratum=key[0]).drop("row", "_stratum").rename({"_own": "row"})
        theirs = events.filter(_stratum=key[0]).drop("row", "_stratum").rename({"_own": "row"})
        parts.append((key[1:], replace(seen, persons=own, events=theirs)))
    return parts


def _grid(part: RecurrentEvents, of: str, terminal: bool) -> Grid:
    persons, events = part.persons, part.events
    return Grid.of(
        persons["entry"].to_numpy(), persons["exit"].to_numpy(), persons["died"].to_numpy(),
        events["row"].to_numpy().astype(np.int64), events["time"].to_numpy(),
        events[of].to_numpy(), terminal=terminal,
    )  # fmt: skip


def _curve(part: RecurrentEvents, of: str, name: str, terminal: bool) -> pl.DataFrame:
    grid = _grid(part, of, terminal)
    y, n, d = grid.at_risk, grid.events, grid.deaths
    mean, variance = _mean(grid, y, n, d, terminal)
    counted = n
    if of == "amount":
        counted = np.bincount(np.searchsorted(grid.times, part.events["time"].to_numpy()),
                              part.events["events"].to_numpy(), minlength=len(grid.times)).astype(np.float64)  # fmt: skip
    return pl.DataFrame({
        "time": grid.times, "at_risk": y, "repeat_events": counted, "ended": d, name: mean,
        "std_error": np.sqrt(np.maximum(variance, 0.0)),
    })  # fmt: skip


def _mean(grid: Grid, y: Floats, n: Floats, d: Floats, terminal: bool) -> tuple[Floats, Floats]:
    """Mean and variance at every time."""
    own, at = grid.size / y[grid.at], grid.at
    if not terminal:
        path = (own, n / y**2)
        return np.cumsum(n / y), grid.product_sums(path, path)
    stay = np.append(1.0, np.cumprod(1 - d / y))[:-1]
    mean = np.cumsum(stay * n / y)
    left = np.where(y > d, y - d, np.inf)  # where all leave, nothing comes after
    path = (
        stay[at] * own + grid.dies * (mean / left)[at],
        stay * n / y**2 + mean * d / (y * left),
    )
    gone = (grid.dies / left[at], d / (y * left))
    variance = (
        grid.product_sums(path, path)
        - 2 * mean * grid.product_sums(path, gone)
        + mean**2 * grid.product_sums(gone, gone)
    )
    return mean, variance


def _with_interval(table: pl.DataFrame, name: str, scale: Scale, z: float) -> pl.DataFrame:
    mean, reach = pl.col(name), z * pl.col("std_error")
    low, high = (mean / (reach / mean).exp(), mean * (reach / mean).exp())
    if scale == "plain":
        low, high = (mean - reach).clip(0.0), mean + reach
    some = mean > 0
    return table.with_columns(lower=pl.when(some).then(low), upper=pl.when(some).then(high))


def _summary(seen: RecurrentEvents, table: pl.DataFrame, name: str) -> pl.DataFrame:
    by = list(seen.by)
    keyed = seen.persons.select("row", *by, "entry", "exit").join(
        seen.events.group_by("row").agg(pl.col("events").sum()), on="row", how="left"
    )
    sums = [
        pl.len().cast(pl.Float64).alias("lives"),
        pl.col("events").sum().alias("repeat_events"),
        (pl.col("exit") - pl.col("entry")).sum().alias("time_at_risk"),
        pl.col("exit").max().alias("last_time"),
    ]
    last = [pl.col(c).last() for c in (name, "std_error", "lower", "upper")]
    if not by:
        return pl.concat([keyed.select(sums), table.select(last)], how="horizontal")
    ends = table.group_by(by, maintain_order=True).agg(last)
    return keyed.group_by(by).agg(sums).join(ends, on=by, how="left").sort(by).with_columns(
        pl.col(name).fill_null(0.0)
    )  # fmt: skip


def _facts(
    summary: pl.DataFrame, seen: RecurrentEvents, name: str, level: float, terminal: bool
) -> dict[str, object]:
    named = summary.with_columns(stratum_name(list(seen.by))).sort(name)
    low, high = named.row(0, named=True), named.row(-1, named=True)
    return {
        "lives": float(summary["lives"].sum()), "repeat_events": float(summary["repeat_events"].sum()),
        "time_at_risk": float(summary["time_at_risk"].sum()), "strata": summary.height,
        "unit": seen.unit, "level": level, "terminal": terminal, "estimate": high[name],
        "lower": high["lower"], "upper": high["upper"], "last_time": high["last_time"],
        "highest": high["stratum"], "lowest": low["stratum"], "lowest_estimate": low[name],
    }  # fmt: skip


def strata_grids(
    seen: RecurrentEvents, keys: Sequence[str]
) -> list[tuple[tuple[object, ...], Grid]]:
    """Give the grid of every stratum of some of the keys, the terminal event ending the time at risk.

    Examples
    --------
    >>> persons = pl.DataFrame({"person": ["a", "b"], "exit": [4.0, 3.0], "sex": ["f", "m"]})
    >>> events = pl.DataFrame({"person": ["a", "b"], "time": [1.0, 1.0]})
    >>> [k for k, _ in strata_grids(RecurrentEvents.collect(persons, events, ["sex"]), ["sex"])]
    [('f',), ('m',)]
    """
    return [
        (k, _grid(part, "events", terminal=False))
        for k, part in _strata(replace(seen, by=tuple(keys)))
    ]
