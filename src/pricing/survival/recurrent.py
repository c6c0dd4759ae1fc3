"""Recurrent events: persons followed from entry to exit, and the events each of them has.

A person who is followed from a and leaves at b is at risk on (a, b]: an event at a is not counted, one
at b is. Persons come one row each, their events one row each (Cook and Lawless, The Statistical Analysis
of Recurrent Events, 2007, chapter 1). Times that agree in 12 digits are one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import get_args

import polars as pl

from pricing.errors import InputError, nearest
from pricing.experience.domain import listed, require_columns
from pricing.files import fingerprint
from pricing.result.shape import Basis
from pricing.survival.lives import Unit

__all__ = ["RecurrentEvents"]

DIGITS = 12  # of a time that count
TAKEN = frozenset({
    "person", "entry", "exit", "died", "time", "events", "amount", "row", "stratum", "at_risk", "deaths",
    "mean_events", "mean_amount", "std_error", "lower", "upper", "number",
})  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class RecurrentEvents:
    """Persons with their time at risk, and their events.

    Attributes
    ----------
    persons : polars.DataFrame
        row (0, 1, ...), person, ``by``, entry, exit, died (whether a terminal event ended the time at
        risk; no for the end of observation); sorted by person.
    events : polars.DataFrame
        row (of the person), time, events (number at that time), amount (their sum); sorted.
    by : tuple of str
        Strata.
    unit : {"day", "month", "year"}
        Unit of time.
    basis : Basis
        Source; rows (persons), exposure (time at risk, in ``unit``) and claims (events).

    Examples
    --------
    >>> persons = pl.DataFrame({"person": ["a", "b"], "exit": [3.0, 2.0]})
    >>> events = pl.DataFrame({"person": ["a", "a"], "time": [1.0, 3.0]})
    >>> RecurrentEvents.collect(persons, events).basis.claims
    2.0
    """

    persons: pl.DataFrame
    events: pl.DataFrame
    by: tuple[str, ...]
    unit: Unit
    basis: Basis = field(default_factory=Basis)

    @classmethod
    def collect(
        cls,
        persons: pl.DataFrame,
        events: pl.DataFrame,
        by: Sequence[str] = (),
        *,
        person: str = "person",
        exit: str = "exit",
        entry: str | None = None,
        died: str | None = None,
        time: str = "time",
        amount: str | None = None,
        unit: Unit = "year",
        basis: Basis | None = None,
    ) -> RecurrentEvents:
        """Put persons and events together, after holding both against what they must be.

        Parameters
        ----------
        persons : polars.DataFrame
            One row per person. Rows of a person that follow on each other without a gap, in one
            stratum, are one.
        events : polars.DataFrame
            One row per event.
        by : sequence of str
            Strata, columns of ``persons``: text, Enum, yes or no, or whole numbers.
        person : str
            Column of both that names the person.
        exit, entry : str
            Time at which the person leaves, and from which it is followed (0 for all where left out).
        died : str, optional
            Yes or no, whether a terminal event (death, end of cover) ended the time at risk; nobody
            where left out.
        time : str
            Time of the event.
        amount : str, optional
            Amount of the event, 0 or more, for mean cumulative costs.
        unit : {"day", "month", "year"}
            Unit of time.
        basis : Basis, optional
            Source, period, filters.

        Raises
        ------
        InputError
            For no persons; missing columns; times that are null, NaN, infinite or below 0; an exit not
            after the entry; rows of a person with a gap, an overlap or in two strata; events of nobody,
            after the exit, at or before the entry: all said at once, with counts.
        """
        by = listed(by)
        _require_kinds(persons, events, by, person, exit, entry, died, time, amount, unit)
        come = pl.col(entry) if entry else pl.lit(0.0)
        gone = pl.col(died).cast(pl.Boolean) if died else pl.lit(False)
        who = persons.select(
            pl.col(person).alias("person"), *(_stratum(persons, name) for name in by),
            entry=come.cast(pl.Float64).round_sig_figs(DIGITS),
            exit=pl.col(exit).cast(pl.Float64).round_sig_figs(DIGITS),
            died=gone,
        )  # fmt: skip
        what = events.select(
            pl.col(person).cast(persons.schema[person], strict=False).alias("person"),
            time=pl.col(time).cast(pl.Float64).round_sig_figs(DIGITS),
            amount=pl.col(amount).cast(pl.Float64) if amount else pl.lit(1.0),
        )
        _require_rows(who, what, by, amount)
        who = _joined(who, by).sort("person").with_row_index("row")
        found = what.join(who.select("person", "row", "entry", "exit"), on="person", how="left")
        _require_placed(found)
        counted = (
            found.group_by("row", "time")
            .agg(events=pl.len().cast(pl.Float64), amount=pl.col("amount").sort().sum())
            .sort("row", "time")
        )
        basis = replace(
            basis or Basis(),
            rows=who.height,
            exposure=float((who["exit"] - who["entry"]).sum()),
            claims=float(counted["events"].sum()),
        )
        told = fingerprint(
            *by, unit, who["entry"].to_numpy().tobytes(), who["exit"].to_numpy().tobytes(),
            who["died"].cast(pl.UInt8).to_numpy().tobytes(), counted["row"].to_numpy().tobytes(),
            counted["time"].to_numpy().tobytes(), counted["amount"].round_sig_figs(9).to_numpy().tobytes(),
            *("\t".join(who[name].cast(pl.String).to_list()) for name in by),
        )  # fmt: skip
        return cls(
            persons=who,
            events=counted,
            by=tuple(by),
            unit=unit,
            basis=replace(basis, fingerprint=told),
        )


def _stratum(persons: pl.DataFrame, name: str) -> pl.Expr:
    kind = persons.schema[name]
    if kind == pl.Boolean:
        words = pl.when(pl.col(name)).then(pl.lit("yes")).when(~pl.col(name)).then(pl.lit("no"))
        return words.cast(pl.Enum(["no", "yes"])).alias(name)
    if kind == pl.String or kind.base_type().__name__ == "Categorical":
        known = persons[name].cast(pl.String).unique().drop_nulls().sort().to_list()
        return pl.col(name).cast(pl.String).cast(pl.Enum(known))
    return pl.col(name)


def _require_kinds(
    persons: pl.DataFrame,
    events: pl.DataFrame,
    by: Sequence[str],
    person: str,
    exit: str,
    entry: str | None,
    died: str | None,
    time: str,
    amount: str | None,
    unit: str,
) -> None:
    if unit not in get_args(Unit):
        raise InputError(f"no unit of time {unit!r}{nearest(str(unit), get_args(Unit))}")
    require_columns([person, exit, *(n for n in (entry, died) if n), *by], persons.columns)
    require_columns([person, time, *([amount] if amount else [])], events.columns)
    pairs = [(persons, n) for n in (exit, entry) if n] + [
        (events, n) for n in (time, amount) if n and events.height
    ]
    faults = [
        f"{n!r} is {f.schema[n]}, not a number" for f, n in pairs if not f.schema[n].is_numeric()
    ]
    if died and not (persons.schema[died] == pl.Boolean or persons.schema[died].is_integer()):
        faults.append(f"{died!r} is {persons.schema[died]}: neither yes or no, nor 0 and 1")
    if died and persons.schema[died].is_integer() and not persons[died].is_in([0, 1]).all():
        faults.append(f"{died!r} holds more than 0 and 1")
    faults += [f"stratum {n!r} has the name of a column of ours" for n in by if n in TAKEN]
    faults += [
        f"stratum {n!r} is {persons.schema[n]}, no level"
        for n in by
        if persons.schema[n].is_float()
    ]
    kinds = (persons.schema[person], events.schema[person])
    if kinds[0].is_numeric() != kinds[1].is_numeric() and events.height:
        faults.append(f"{person!r} is {kinds[0]} of persons and {kinds[1]} of events")
    if faults:
        raise InputError("columns that cannot serve as asked", faults=faults)


def _require_rows(
    who: pl.DataFrame, what: pl.DataFrame, by: Sequence[str], amount: str | None
) -> None:
    if who.is_empty():
        raise InputError("there are no persons", do="check the source and the filters")
    odd_exit, odd_entry = ~pl.col("exit").is_finite(), ~pl.col("entry").is_finite()
    asked = [
        ("the person is null", pl.col("person").is_null()),
        ("the exit is null, NaN or infinite", odd_exit.fill_null(True)),
        ("the entry is null, NaN or infinite", odd_entry.fill_null(True)),
        ("the entry is below 0", pl.col("entry") < 0),
        ("the exit is not after the entry", pl.col("exit") <= pl.col("entry")),
        ("whether it died is null", pl.col("died").is_null()),
        *((f"{name!r} is null", pl.col(name).is_null()) for name in by),
    ]
    faults = _counted(who, asked, "persons")
    odd = [
        ("the person is null", pl.col("person").is_null()),
        ("the time is null, NaN or infinite", (~pl.col("time").is_finite()).fill_null(True)),
        ("the time is below 0", pl.col("time") < 0),
    ]
    if amount:
        wrong = ~(pl.col("amount").is_finite() & (pl.col("amount") >= 0))
        odd.append(("the amount is null, not finite or negative", wrong.fill_null(True)))
    faults += _counted(what, odd, "events")
    if faults:
        raise InputError(
            "persons and events that cannot be followed",
            faults=faults,
            do="correct the dates or leave such rows out",
        )


def _joined(who: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """Rows of a person that follow on each other are one; anything else is refused."""
    if who["person"].is_unique().all():
        return who
    rows = who.sort("person", "entry")
    own = rows.select(
        "person",
        gap=(pl.col("entry") != pl.col("exit").shift(1)) & _again(),
        moved=_again() & pl.any_horizontal([pl.col(n) != pl.col(n).shift(1) for n in by] or [pl.lit(False)]),
        dead=pl.col("died").shift(1) & _again(),
    )  # fmt: skip
    asked = [
        ("rows of a person leave a gap or overlap", pl.col("gap")),
        ("rows of a person lie in two strata", pl.col("moved")),
        ("a person is followed after a terminal event", pl.col("dead")),
    ]
    if faults := _counted(own, asked, "persons"):
        raise InputError(
            "persons in several rows",
            faults=faults,
            do="give one row per person; what changes with time is for fit_repeat",
        )
    return rows.group_by("person", maintain_order=True).agg(
        *(pl.col(n).first() for n in by), pl.col("entry").first(), pl.col("exit", "died").last()
    )


def _again() -> pl.Expr:
    return (pl.col("person") == pl.col("person").shift(1)).fill_null(False)


def _require_placed(found: pl.DataFrame) -> None:
    there = pl.col("row").is_not_null()
    faults = _counted(
        found,
        [
            ("no such person", ~there),
            ("after the person's exit", there & (pl.col("time") > pl.col("exit"))),
            ("at or before the person's entry", there & (pl.col("time") <= pl.col("entry"))),
        ],
        "events",
    )
    if faults:
        few = found.filter(~there | ~pl.col("time").is_between("entry", "exit", closed="right"))
        raise InputError(
            f"events outside a person's time at risk, such as of {few['person'][0]!r}",
            faults=faults,
            do="cut the events to the time each person is followed, or correct the dates",
        )


def _counted(frame: pl.DataFrame, asked: list[tuple[str, pl.Expr]], what: str) -> list[str]:
    if frame.is_empty():
        return []
    many = frame.select(f.fill_null(False).sum().alias(f"f{i}") for i, (_, f) in enumerate(asked))
    counts = many.row(0)
    return [
        f"{said}: {n:,} of {frame.height:,} {what}"
        for (said, _), n in zip(asked, counts, strict=True)
        if n
    ]
