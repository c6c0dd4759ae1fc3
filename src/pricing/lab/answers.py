"""A change in, an answer out: figures beside those of the file, results to draw, faults at their fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from pricing.errors import InputError
from pricing.lab.fields import Fault, Value, read_value
from pricing.lab.opened import OpenStudy
from pricing.result.shape import Result

__all__ = ["Answer", "answer", "checked_change", "compare", "faults_of"]


@dataclass(frozen=True)
class Answer:
    """What a change comes to.

    Attributes
    ----------
    figures : polars.DataFrame
        quantity, before (the file as it stands), after, difference, relative_difference; empty where
        something is wrong.
    results : mapping of str to Result
        What is shown at once, named as in a run.
    faults : tuple of Fault
        What is wrong, each at its field; nothing is computed then.
    stale : bool
        The figures and results are those before what is wrong was entered.
    """

    figures: pl.DataFrame
    results: Mapping[str, Result] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    stale: bool = False


FIGURES = {
    "quantity": pl.String,
    **dict.fromkeys(("before", "after", "difference", "relative_difference"), pl.Float64),
}


def answer(
    opened: OpenStudy, change: Mapping[str, Value], *, drawn: bool = False, tier: str = ""
) -> Answer:
    """Answer a change: the headline figures beside those of the file, and what is drawn at once.

    Parameters
    ----------
    opened : OpenStudy
        The study.
    change : mapping of str to value
        Dotted key to what is wanted there.
    drawn : bool
        Also give the results to draw; they take longer than the figures.
    tier : str
        The tier whose figures these are; that of the file where left out.

    Examples
    --------
    >>> from pricing.data.tables import bundled
    >>> from pricing.lab.opened import open_for_turning
    >>> opened = open_for_turning(bundled("studies/home_care.toml"))
    >>> found = answer(opened, {"care.fund.contribution": 120.0})
    >>> found.figures.filter(quantity="reserve_last")["difference"].item() > 0
    True
    >>> answer(opened, {"care.uptake": 1.5}).faults[0].said("en")
    'Must be at least 0 and at most 1.'
    """
    nothing = pl.DataFrame(schema=FIGURES)
    faults = checked_change(opened, change)
    if faults:
        return Answer(nothing, faults=faults)
    try:
        if change:
            opened.held(change)
        return Answer(
            compare(opened.headline({}, tier), opened.headline(change, tier)),
            opened.at_once(change, tier) if drawn else {},
        )
    except InputError as error:
        return Answer(nothing, faults=faults_of(error, change))


def compare(before: Mapping[str, float], after: Mapping[str, float]) -> pl.DataFrame:
    """Put two sets of headline figures side by side.

    Examples
    --------
    >>> compare({"loss_ratio": 0.8}, {"loss_ratio": 0.6})["relative_difference"].round(6).to_list()
    [-0.25]
    """
    rows = [
        (name, old, after[name], after[name] - old, (after[name] - old) / abs(old) if old else None)
        for name, old in before.items()
        if name in after
    ]
    return pl.DataFrame(rows, schema=FIGURES, orient="row")


def checked_change(opened: OpenStudy, change: Mapping[str, Any]) -> tuple[Fault, ...]:
    """Hold every key and value of a change against the study's fields.

    Examples
    --------
    >>> from pricing.data.tables import bundled
    >>> from pricing.lab.opened import open_for_turning
    >>> opened = open_for_turning(bundled("studies/home_care.toml"))
    >>> [f.sentence for f in checked_change(opened, {"care.nothing": 1, "care.years": 2.5})]
    ['no_such_field', 'not_whole']
    """
    found = []
    for key, value in change.items():
        own = opened.fields.get(key)
        read = Fault(key, "no_such_field", {"name": key}) if own is None else read_value(own, value)
        if isinstance(read, Fault):
            found.append(read)
    return tuple(found)


def faults_of(error: InputError, change: Mapping[str, Any]) -> tuple[Fault, ...]:
    """Bring the faults of a refusal to the fields that were changed.

    A fault that names a key goes to the changed field there or nearest below; one that names none, or
    a table in which several were changed, goes to the one changed last.

    Examples
    --------
    >>> error = InputError("2 faults", faults=["tiers.tier.0: the limit lies below"])
    >>> [(f.key, f.values["problem"]) for f in faults_of(error, {"tiers.tier.basic.limit": 1.0})]
    [('tiers.tier.basic.limit', 'the limit lies below')]
    """
    keys = list(change)
    found: dict[str, Fault] = {}
    for said in error.faults or (error.problem,):
        place, _, problem = said.partition(": ")
        at = _below(place, keys) if problem else []
        key = (at or keys or [""])[-1]
        text = re.sub(r", got \{.*$", "", problem if at else said)
        found.setdefault(key, Fault(key, "refused", {"problem": text}))
    return tuple(found.values())


def _below(place: str, keys: list[str]) -> list[str]:
    """The changed keys at or below a place; a number in the place stands for the name of an entry."""
    parts = place.split(".")

    def fits(key: str) -> bool:
        own = key.split(".")
        return len(own) >= len(parts) and all(
            a == b or a.isdigit() for a, b in zip(parts, own, strict=False)
        )

    return [key for key in keys if fits(key)]
