"""Repeat events in regression: a person's time at risk cut at its events, and rate ratios with errors by person.

Andersen and Gill (1982, Annals of Statistics 10): one baseline rate for every event of a person; with
errors clustered by person it is the proportional means model of Lin, Wei, Yang and Ying (2000, JRSS B 62)
and holds whatever the dependence between a person's events. Prentice, Williams and Peterson (1981,
Biometrika 68): a baseline of its own for the first, second, ... event, on the time since the start (total
time) or since the last event (gap time); its ratios are given the events so far, so that an effect that
also prevents the first event is not all in them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Literal, get_args

import polars as pl

from pricing.errors import InputError, nearest
from pricing.experience.domain import listed, require_columns
from pricing.result.shape import Basis
from pricing.result.words import Language, label, level_label, say
from pricing.survival.cox import Cox, fit_cox
from pricing.survival.interval import Scale
from pricing.survival.lives import Unit
from pricing.survival.partial_likelihood import Ties
from pricing.survival.recurrent import DIGITS, RecurrentEvents

__all__ = ["RepeatModel", "event_intervals", "fit_repeat"]

Model = Literal["andersen_gill", "prentice_total", "prentice_gap"]
OURS = ("entry", "exit", "event", "event_number", "since_entry", "since_exit")


class RepeatModel(Cox):
    """A fitted model of repeat events: as :class:`pricing.survival.cox.Cox`, its ratios those of event rates.

    ``.table`` has repeat_events for its events. ``.frames["baseline"]`` holds under Andersen–Gill the mean number of events at base levels and mean
    covariates; there is no chance of survival in it.
    """

    kind = "repeat_model"
    ratio: ClassVar[str] = "rate_ratio"

    def predict(
        self,
        frame: pl.DataFrame,
        times: Sequence[float],
        *,
        scale: Scale = "log-log",
        level: float | None = None,
    ) -> pl.DataFrame:
        """Refuse: events come again, so there is no survival to predict."""
        raise InputError(
            "a model of repeat events has no survival",
            do="take mean_cumulative for numbers of events, or fit_cox on the first event",
        )

    def titled(self, lang: Language = "en") -> pl.DataFrame:
        """Give the table for a page, its ratios called what they are."""
        del lang
        return self.table.rename({"hazard_ratio": "rate_ratio"})

    def finding(self, lang: Language = "en") -> str:
        """Say what changes the rate of repeat events most."""
        facts = dict(self.facts)
        most = label(facts["most_term"], lang)
        most += f": {level_label(facts['most_level'], lang)}" if facts["most_level"] else ""
        p = facts["likelihood_ratio_p"] if facts["wald_p"] is None else facts["wald_p"]
        named = {
            "most_name": most,
            "model_name": level_label(facts["model"], lang),
            "test_p": "< 0.0001" if p < 1e-4 else f"{p:.4f}",
        }
        return say("finding.repeat_model", lang, **(facts | named))


def event_intervals(
    persons: pl.DataFrame,
    events: pl.DataFrame,
    *,
    person: str = "person",
    exit: str = "exit",
    entry: str | None = None,
    time: str = "time",
    switches: Mapping[str, str] | None = None,
    tied: Literal["refuse", "one"] = "refuse",
) -> pl.DataFrame:
    """Cut each person's time at risk at its events, and where a covariate goes from no to yes.

    Parameters
    ----------
    persons : polars.DataFrame
        One row per person: its time at risk and its covariates.
    events : polars.DataFrame
        One row per event: person and time, on (entry, exit].
    person, exit, entry, time : str
        Columns, as of :meth:`pricing.survival.recurrent.RecurrentEvents.collect`.
    switches : mapping of str to str, optional
        New yes-or-no column to the column of ``persons`` with the time from which it is yes, null for
        never: ``{"in_service": "joined"}``. The time before is no: counting it as yes is immortal time.
    tied : {"refuse", "one"}
        Two events of a person at the same time: refuse them, or count them as one.

    Returns
    -------
    polars.DataFrame
        The person's columns, entry, exit, event (whether the row ends with one), event_number (that the
        person waits for: 1, 2, ...), since_entry and since_exit (the same on the clock that starts anew
        with every event), and the switches.

    Raises
    ------
    InputError
        As :meth:`~pricing.survival.recurrent.RecurrentEvents.collect`; for persons in several rows,
        events that tie, and switches that are no numbers.

    Examples
    --------
    >>> persons = pl.DataFrame({"person": ["a"], "exit": [9.0], "joined": [2.0]})
    >>> events = pl.DataFrame({"person": ["a"], "time": [5.0]})
    >>> rows = event_intervals(persons, events, switches={"in_service": "joined"})
    >>> rows.select("entry", "exit", "event", "event_number", "in_service").rows()
    [(0.0, 2.0, False, 1, 'no'), (2.0, 5.0, True, 1, 'yes'), (5.0, 9.0, False, 2, 'yes')]
    """
    switches = dict(switches or {})
    require_columns([person, *switches.values()], persons.columns)
    if persons[person].is_duplicated().any():
        raise InputError("persons appear twice", do="give one row per person and name its switches")
    clash = [n for n in (*OURS, *switches) if n in persons.columns and n not in (entry, exit)]
    if clash:
        raise InputError(f"persons have columns with names of ours: {', '.join(clash)}")
    words = [n for n in switches.values() if not persons.schema[n].is_numeric()
             and persons.schema[n] != pl.Null]  # fmt: skip
    if words:
        raise InputError(f"not a number: {', '.join(words)}", do="count times from the same start")
    seen = RecurrentEvents.collect(
        persons, events, person=person, exit=exit, entry=entry, time=time
    )
    many = seen.events.filter(pl.col("events") > 1).height
    if many and tied == "refuse":
        raise InputError(
            f"{many:,} times have more than one event of a person: nothing lies between them",
            do='count them as one with tied="one", or set them apart in time',
        )
    times = persons.select(pl.col(person).alias("person"), *(
        pl.col(n).cast(pl.Float64).round_sig_figs(DIGITS).alias(k) for k, n in switches.items()
    ))  # fmt: skip
    _require_switches(times, list(switches))
    whole = seen.persons.select("row", "person", "entry", "exit").join(
        times.rename({k: f"at {k}" for k in switches}), on="person", maintain_order="left"
    )
    inside = [
        whole.select("row", "entry", "exit", at=f"at {k}", event=pl.lit(False))
        .filter(pl.col("at") > pl.col("entry"), pl.col("at") < pl.col("exit"))
        .select("row", "at", "event")
        for k in switches
    ]
    cuts = pl.concat([
        seen.events.select("row", at="time", event=pl.lit(True)),
        whole.select("row", at="exit", event=pl.lit(False)),
        *inside,
    ]).group_by("row", "at").agg(pl.col("event").any()).sort("row", "at")  # fmt: skip
    cuts = cuts.join(whole.drop("exit"), on="row", maintain_order="left").with_columns(
        start=pl.col("at").shift(1).over("row").fill_null(pl.col("entry")),
        event_number=(pl.col("event").cum_sum().over("row") - pl.col("event")).cast(pl.Int64) + 1,
        last=pl.when("event").then("at").shift(1).forward_fill().over("row").fill_null(pl.col("entry")),
    )  # fmt: skip
    yes, own = pl.Enum(["no", "yes"]), [n for n in persons.columns if n not in (entry, exit)]
    named = cuts.select(
        pl.col("person").alias(person),
        *(pl.when(pl.col(f"at {k}") <= pl.col("start")).then(pl.lit("yes")).otherwise(pl.lit("no"))
          .cast(yes).alias(k) for k in switches),
        entry="start", exit="at", event="event", event_number="event_number",
        since_entry=pl.col("start") - pl.col("last"), since_exit=pl.col("at") - pl.col("last"),
    )  # fmt: skip
    rows = named.join(persons.select(own), on=person, how="left", maintain_order="left")
    return rows.select(*own, *switches, *OURS)


def _require_switches(times: pl.DataFrame, names: Sequence[str]) -> None:
    odd = {
        k: times.select(((~pl.col(k).is_finite()) | (pl.col(k) < 0)).fill_null(False).sum()).item()
        for k in names
    }
    if any(odd.values()):
        raise InputError(
            "times of a switch are NaN, infinite or below 0",
            faults=[f"{k}: {n:,} persons" for k, n in odd.items() if n],
            do="null is for never",
        )


def fit_repeat(
    rows: pl.DataFrame,
    formula: str,
    *,
    model: Model = "andersen_gill",
    person: str = "person",
    strata: Sequence[str] = (),
    most: int = 4,
    ties: Ties = "efron",
    base: Mapping[str, str] | None = None,
    unit: Unit = "year",
    level: float = 0.95,
    basis: Basis | None = None,
) -> RepeatModel:
    """Fit the rate of repeat events by covariates, errors clustered by person.

    Parameters
    ----------
    rows : polars.DataFrame
        As :func:`event_intervals` gives them. Splitting a row in two changes nothing.
    formula : str
        As of :func:`pricing.survival.cox.fit_cox`.
    model : {"andersen_gill", "prentice_total", "prentice_gap"}
        One baseline for all events (with these errors the proportional means of Lin and others), or one
        for each number of the event, on total or on gap time.
    person : str
        Column that names the person.
    strata : sequence of str
        Each with a baseline of its own.
    most : int
        Under Prentice–Williams–Peterson, events of this number and later share a baseline: late strata
        are thin.
    ties, base, unit, level, basis
        As of :func:`pricing.survival.cox.fit_cox`.

    Returns
    -------
    RepeatModel
        hazard_ratio is the ratio of event rates (under Andersen–Gill, of mean numbers of events).

    Raises
    ------
    InputError
        As :func:`pricing.survival.cox.fit_cox`.

    Examples
    --------
    >>> persons = pl.DataFrame({"person": [1, 2, 3, 4, 5], "exit": [9.0, 8, 7, 6, 9],
    ...                         "arm": ["a", "b", "a", "b", "b"]})
    >>> events = pl.DataFrame({"person": [1, 1, 2, 3, 3, 4, 5, 5], "time": [2.0, 5, 6, 1, 4, 3, 2, 7]})
    >>> fit = fit_repeat(event_intervals(persons, events), "arm", base={"arm": "a"})
    >>> fit.table.select("level", pl.col("hazard_ratio", "std_error_robust").round(3)).rows()
    [('a', 1.0, None), ('b', 0.692, 0.241)]
    """
    if model not in get_args(Model):
        raise InputError(f"no model {model!r}{nearest(str(model), get_args(Model))}")
    require_columns([person, *OURS], rows.columns)
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        raise InputError(f"the events to tell apart are 1 or more, got {most!r}")
    strata = listed(strata)
    notes = ["events of a person are one cluster"]
    entry, exit = "entry", "exit"
    if model != "andersen_gill":
        rows = rows.with_columns(event_number=pl.min_horizontal("event_number", pl.lit(most)))
        strata = [*strata, "event_number"]
        notes.append(f"a baseline by number of the event, {most} and later together")
    if model == "prentice_gap":
        entry, exit = "since_entry", "since_exit"
    fit = fit_cox(
        rows, formula, exit=exit, event="event", entry=entry, cluster=person, strata=strata,
        ties=ties, base=base, unit=unit, level=level, basis=basis,
    )  # fmt: skip
    wald = fit.frames["fit_tests"].filter(fit_test="wald")["p_value"][0]
    return RepeatModel(
        table=fit.table.rename({"events": "repeat_events"}),
        basis=replace(fit.basis, notes=(*fit.basis.notes, *notes)),
        facts=dict(fit.facts)
        | {"model": model, "wald_p": wald, "persons": rows[person].n_unique()},
        frames=fit.frames,
        details=fit.details,
    )
