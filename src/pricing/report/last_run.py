"""What changed since the last run of the same study: data, settings, packages, findings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from math import isclose
from typing import Any

import polars as pl
from markupsafe import Markup, escape

from pricing.report.tables import heading_of, kinds_of
from pricing.result.quantities import persons_text
from pricing.result.words import LANGUAGES, Language, catalogue, label, say

__all__ = ["Changes", "changes_between", "marked"]

Texts = Mapping[Language, str]
TOLD = 60  # characters of a setting's value
WORD = re.compile(r"[+\-−]?\d[\d,]*(?:\.\d+)?%?|[A-Za-z_]+|\s+|.", re.DOTALL)
ABSENT = "–"


@dataclass(frozen=True)
class Sentence:
    """A finding that reads otherwise, its moved words marked."""

    heading: Texts
    before: Texts
    now: Texts


@dataclass(frozen=True)
class Moved:
    """One figure: what it was and what it is."""

    of: Texts
    name: Texts
    before: str
    now: str
    change: str


@dataclass(frozen=True)
class Changes:
    """Everything that differs between two runs; what is empty did not."""

    lines: tuple[Texts, ...]
    settings: tuple[Moved, ...]
    sentences: tuple[Sentence, ...]
    figures: tuple[Moved, ...]


def changes_between(last: Mapping[str, Any], record: Mapping[str, Any]) -> Changes:
    """Compare two records of one study.

    Parameters
    ----------
    last, record : mapping
        Of :func:`~pricing.report.run_record.record_of`: the run before, and this one.

    Notes
    -----
    Figures that agree to nine digits have not moved.

    Examples
    --------
    >>> last = {"fingerprint": "a", "findings": {}, "facts": {"schedule": {"loss_ratio": 0.6}}}
    >>> now = {"fingerprint": "b", "findings": {}, "facts": {"schedule": {"loss_ratio": 0.62}}}
    >>> moved = changes_between(last, now).figures[0]
    >>> moved.name["en"], moved.before, moved.now, moved.change
    ('Loss ratio', '60.00%', '62.00%', '+2.00%')
    """
    old, new = last["findings"], record["findings"]
    return Changes(
        lines=(
            *_data(last, record),
            *_code(last, record),
            *_packages(last, record),
            *_results(old, new),
        ),
        settings=tuple(_settings(last.get("settings") or {}, record.get("settings") or {})),
        sentences=tuple(_sentences(old, new)),
        figures=tuple(_figures(last["facts"], record["facts"])),
    )


def marked(before: str, now: str) -> tuple[Markup, Markup]:
    """Mark the words of two sentences that differ.

    Examples
    --------
    >>> marked("It costs 14.2%.", "It costs 15.0%.")[1]
    Markup('It costs <mark>15.0%</mark>.')
    """
    old, new = WORD.findall(before), WORD.findall(now)
    said: tuple[list[Markup], list[Markup]] = ([], [])
    steps = SequenceMatcher(a=old, b=new, autojunk=False).get_opcodes()
    for what, *places in steps:
        for words, out, (start, end) in zip(
            (old, new), said, (places[:2], places[2:]), strict=True
        ):
            text = escape("".join(words[start:end]))
            out.append(
                text if what == "equal" or not text else Markup("<mark>{}</mark>").format(text)
            )
    return Markup("").join(said[0]), Markup("").join(said[1])


def _data(last: Mapping[str, Any], record: Mapping[str, Any]) -> Iterator[Texts]:
    before, now = last.get("data"), record.get("data")
    if before and now:  # a plan without tables has none
        yield _both("same_data" if before == now else "other_data", before=before, now=now)


def _code(last: Mapping[str, Any], record: Mapping[str, Any]) -> Iterator[Texts]:
    before, now = last.get("code"), record.get("code")
    if before and now and before != now:  # a record of an older version does not tell it
        said = {"before": before["version"], "now": now["version"]}
        hashes = {"before_hash": before["fingerprint"], "now_hash": now["fingerprint"]}
        yield _both("other_code", **said, **hashes)


def _packages(last: Mapping[str, Any], record: Mapping[str, Any]) -> Iterator[Texts]:
    old, new = (dict(r.get("packages") or {}) for r in (last, record))
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            before, now = (r.get(name, ABSENT) for r in (old, new))
            yield _both("other_package", package=name, before=before, now=now)


def _results(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Texts]:
    for key, names in (("result_came", [n for n in new if n not in old]),
                       ("result_went", [n for n in old if n not in new])):  # fmt: skip
        if names:
            held = [heading_of(name) for name in names]
            yield {
                n: say(
                    f"sentence.{key}", n, names={"en": "; ", "zh": "；"}[n].join(h[n] for h in held)
                )
                for n in LANGUAGES
            }


def _sentences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Sentence]:
    for name in (n for n in new if n in old and new[n] != old[n]):
        both = {n: marked(str(old[name].get(n, "")), new[name][n]) for n in LANGUAGES}
        first, then = ({n: both[n][side] for n in LANGUAGES} for side in (0, 1))
        yield Sentence(heading_of(name), first, then)


def _settings(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Moved]:
    before, now = dict(_flat(old)), dict(_flat(new))
    for key in dict.fromkeys([*before, *now]):
        one, other = (_told(r.get(key)) for r in (before, now))
        if before.get(key) != now.get(key):
            yield Moved(dict.fromkeys(LANGUAGES, ""), dict.fromkeys(LANGUAGES, key), one, other, "")


def _figures(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Moved]:
    for name in (n for n in new if n in old):
        before, now = dict(_flat(old[name])), dict(_flat(new[name]))
        for key in dict.fromkeys([*before, *now]):
            one, other = before.get(key), now.get(key)
            if not _same(one, other):
                told, change = _figure(key, one, other)
                yield Moved(heading_of(name), _name(key), *told, change)


def _flat(values: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Nested keys, dotted; a list is one value."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same(one: Any, other: Any) -> bool:
    if _is_number(one) and _is_number(other):
        return isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
    return bool(one == other)


def _figure(key: str, one: Any, other: Any) -> tuple[tuple[str, str], str]:
    """Two figures as their column would be printed, and what lies between them."""
    if not (_is_number(one) and _is_number(other)):
        return (_told(one), _told(other)), ""
    name = key.rpartition(".")[2]
    kind = kinds_of(pl.DataFrame({name: [float(one), float(other)]})).get(name)
    if kind == "persons":
        return (persons_text(one), persons_text(other)), f"{other - one:+,.1f}"
    form = ".2%" if kind == "percent" else ",.2f" if kind == "money" else ",.6g"
    return (f"{one:{form}}", f"{other:{form}}"), f"{other - one:+{form}}"


def _told(value: Any) -> str:
    if value is None:
        return ABSENT
    text = str(value)
    return text if len(text) <= TOLD else text[: TOLD - 1] + "…"


def _name(key: str) -> Texts:
    if f"term.{key}" in catalogue():
        return {n: label(key, n) for n in LANGUAGES}
    return dict.fromkeys(LANGUAGES, key)


def _both(key: str, **values: Any) -> Texts:
    return {n: say(f"sentence.{key}", n, **values) for n in LANGUAGES}
