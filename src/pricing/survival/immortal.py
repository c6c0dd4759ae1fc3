"""Immortal time: what counting the time before joining as time in a service does to its effect.

A person joins only after the claim closed, so until then it is outside. Who is called a member from the
close on because it joins later cannot have had its next claim before joining, nor have left: that time is
immortal, and the service looks better than it is (Suissa 2008, American Journal of Epidemiology 167).
Joining as a covariate that changes with time has no such error; it stays open to who chooses to join.
"""

from __future__ import annotations

from dataclasses import replace

import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError
from pricing.experience.domain import require_columns
from pricing.result.figure import interval_figure, with_points
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, say
from pricing.survival.lives import Unit
from pricing.survival.repeat_model import RepeatModel, event_intervals, fit_repeat

__all__ = ["ImmortalTime", "immortal_time"]


class ImmortalTime(Result):
    """The effect of a service by way of counting its time.

    ``.table``: method (joined_before_next, ever_joined, time_varying), rate_ratio, lower, upper, members,
    misplaced_time (before joining, counted as in the service), misplaced_share (of all time called in the
    service), truth (null where unknown).
    """

    kind = "immortal_time"

    def finding(self, lang: Language = "en") -> str:
        """Say how far off the naive ratios are."""
        said = say("finding.immortal_time", lang, **self.facts)
        if self.facts["truth"] is None:
            return said
        return said + say("sentence.immortal_truth", lang, **self.facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the rate ratio of every method, and the truth where it is known."""
        table = self.table
        levels = table["method"].to_list()
        figure = interval_figure(
            levels,
            table["rate_ratio"].to_list(),
            table["lower"].to_list(),
            table["upper"].to_list(),
            name="rate_ratio",
            factor="method",
            lang=lang,
            reference=1.0,
        )
        if self.facts["truth"] is not None:
            with_points(figure, levels, table["truth"].to_list(), name="truth", lang=lang)
        return figure


def immortal_time(
    persons: pl.DataFrame,
    events: pl.DataFrame,
    others: str = "",
    *,
    joined: str = "joined",
    person: str = "person",
    exit: str = "exit",
    entry: str | None = None,
    time: str = "time",
    truth: float | None = None,
    unit: Unit = "month",
    level: float = 0.95,
    basis: Basis | None = None,
) -> ImmortalTime:
    """Estimate the effect of joining a service the right way and the two wrong ones.

    Parameters
    ----------
    persons : polars.DataFrame
        One row per person, with the time of joining (null: never).
    events : polars.DataFrame
        One row per event: person and time.
    others : str
        Further terms of the formula, such as ``"age_band + chronic"``.
    joined, person, exit, entry, time : str
        Columns, as of :func:`pricing.survival.repeat_model.event_intervals`.
    truth : float, optional
        The rate ratio that made the data, where known.
    unit, level, basis
        As of :func:`pricing.survival.repeat_model.fit_repeat`.

    Returns
    -------
    ImmortalTime
        ``joined_before_next``: a member is who joined before the next event, counted from the start to
        that event; ``ever_joined``: a member is who ever joined, in all its time; ``time_varying``:
        in the service from joining on.

    Raises
    ------
    InputError
        Where nobody joins or everybody is in from the start; as
        :func:`pricing.survival.repeat_model.fit_repeat`.

    Examples
    --------
    >>> persons = pl.DataFrame({"person": [1, 2, 3, 4, 5, 6], "exit": [9.0, 8, 7, 6, 9, 9],
    ...                         "joined": [3.0, None, 2.0, 1.0, None, None]})
    >>> events = pl.DataFrame({"person": [1, 2, 2, 3, 4, 5, 6], "time": [4.0, 1, 7, 5, 3, 6, 8]})
    >>> immortal_time(persons, events).table["misplaced_time"].to_list()
    [6.0, 6.0, 0.0]
    """
    require_columns([joined], persons.columns)
    rows = event_intervals(
        persons, events, person=person, exit=exit, entry=entry, time=time,
        switches={"in_service": joined}, tied="one",
    )  # fmt: skip
    if rows["in_service"].n_unique() < 2:
        raise InputError(
            "there is no time in the service, or none outside: nothing to compare",
            do=f"check {joined!r}: the time of joining from the same start as {exit!r}",
        )
    formula = "in_service" + (f" + {others}" if others else "")
    first = rows.filter(event_number=1).group_by(person, maintain_order=True).agg(
        pl.exclude("entry", "exit", "event", "since_entry", "in_service").first(),
        pl.col("entry").first(), pl.col("exit", "event", "in_service").last(),
    ).with_columns(since_entry=pl.col("entry"), since_exit=pl.col("exit"))  # fmt: skip
    ever = rows.with_columns((pl.col("in_service") == "yes").any().over(person).alias("_ever"))
    named = pl.when("_ever").then(pl.lit("yes")).otherwise(pl.lit("no"))
    ever = ever.with_columns(in_service=named.cast(rows.schema["in_service"])).drop("_ever")
    found = []
    for method, frame in (
        ("joined_before_next", first),
        ("ever_joined", ever),
        ("time_varying", rows),
    ):
        fit = fit_repeat(
            frame, formula, person=person, base={"in_service": "no"}, unit=unit, level=level, basis=basis
        )  # fmt: skip
        found.append((method, fit, _misplaced(frame, rows, person, method)))
    table = pl.DataFrame(
        [_row(method, fit, frame_said, truth) for method, fit, frame_said in found],
        schema_overrides={"truth": pl.Float64},
    )
    told, fit = table.row(-1, named=True), found[-1][1]
    worst = table.row(0, named=True)
    facts = {
        "naive": worst["rate_ratio"], "naive_lower": worst["lower"], "naive_upper": worst["upper"],
        "ever": table["rate_ratio"][1], "ratio": told["rate_ratio"], "lower": told["lower"],
        "upper": told["upper"], "misplaced_share": worst["misplaced_share"], "truth": truth,
        "error": worst["rate_ratio"] / told["rate_ratio"] - 1, "level": level, "unit": unit,
    }  # fmt: skip
    notes = (
        *fit.basis.notes,
        "an effect of joining is also who joins: only a draw by lot parts them",
    )
    return ImmortalTime(table=table, basis=replace(fit.basis, notes=notes), facts=facts)


def _row(
    method: str, fit: RepeatModel, said: tuple[int, float, float], truth: float | None
) -> dict[str, object]:
    ratio = fit.hazard_ratios("in_service").filter(level="yes").row(0, named=True)
    members, misplaced, share = said
    return {
        "method": method, "rate_ratio": ratio["hazard_ratio"], "lower": ratio["lower"],
        "upper": ratio["upper"], "members": members, "misplaced_time": misplaced,
        "misplaced_share": share, "truth": truth,
    }  # fmt: skip


def _misplaced(
    frame: pl.DataFrame, rows: pl.DataFrame, person: str, method: str
) -> tuple[int, float, float]:
    """Members, their time before joining that is called in the service, and its share."""
    inside = frame.filter(pl.col("in_service") == "yes")
    called = inside.select((pl.col("exit") - pl.col("entry")).sum()).item()
    who = inside.select(person).unique()
    if method == "time_varying":
        return who.height, 0.0, 0.0
    before = rows.join(who, on=person, how="semi").filter(pl.col("in_service") == "no")
    early = before.select((pl.col("exit") - pl.col("entry")).sum()).item()
    return who.height, float(early), float(early) / called
