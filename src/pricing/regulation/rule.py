"""The regulator's rules as dated data: what a rule says, with which numbers, from when to when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args

import polars as pl

from pricing.data.tables import bundled
from pricing.errors import InputError, nearest
from pricing.inputs import toml_tree

__all__ = ["Rule", "Rulebook", "read_rules", "rules_markdown"]

FromKnown = Literal["stated", "issued", "year"]
_TEXTS = (
    "id", "document", "document_en", "article", "title_en", "title_zh", "scope_en", "scope_zh",
    "from_known", "certainty", "source",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule of one text over one span of time.

    Attributes
    ----------
    id : str
        What the rule is about; several versions share it.
    document, document_en, article, article_en : str
        Number of the document and its article, with the document's number in English letters; the
        article is empty where the source has none, ``article_en`` where it is the same number.
    title_en, title_zh, scope_en, scope_zh : str
        What it is called and what it applies to.
    start, end : date
        First day in force and first day no longer in force; ``end`` None while it is in force.
    from_known : {"stated", "issued", "year"}
        How ``start`` is known: stated in the text, the day of issue, or its year only.
    certainty, source : str
        Where the rule was read; "secondary" is not the regulator's own site.
    numbers : mapping of str to float
        The rule's numbers: shares as fractions, periods in the unit their name says.

    Examples
    --------
    >>> rule = read_rules().rule("service_cost", date(2021, 1, 1))
    >>> rule.numbers["cap"], rule.citation("en")
    (0.2, 'CBIRC notice [2020] No. 83, Measures on Health Insurance, art. 57')
    """

    id: str
    document: str
    document_en: str
    article: str
    title_en: str
    title_zh: str
    scope_en: str
    scope_zh: str
    start: date
    end: date | None = None
    from_known: str = "stated"
    certainty: str = "secondary"
    source: str = ""
    article_en: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)

    def citation(self, lang: str = "en") -> str:
        """Document and article, as they are cited."""
        document = self.document if lang == "zh" else self.document_en
        if not self.article:
            return document
        if self.article.isdigit():
            return (
                f"{document}第{self.article}条"
                if lang == "zh"
                else f"{document}, art. {self.article}"
            )
        if lang == "zh":
            return f"{document}，{self.article}"
        return f"{document}, {self.article_en or self.article}"

    def in_force(self, on: date) -> bool:
        """Whether the rule is in force on a day."""
        return self.start <= on and (self.end is None or on < self.end)


@dataclass(frozen=True)
class Rulebook:
    """The rules of one jurisdiction; versions of one rule never overlap in time.

    Examples
    --------
    >>> book = read_rules()
    >>> book.rule("service_cost", date(2020, 1, 1)).citation("en")
    'Measures on Health Insurance (2019 No. 3), art. 57'
    >>> book.rule("service_cost", date(2019, 1, 1)) is None
    True
    """

    rules: tuple[Rule, ...]

    def versions(self, name: str) -> tuple[Rule, ...]:
        """Every version of a rule, the oldest first; an unknown rule is refused."""
        found = sorted((rule for rule in self.rules if rule.id == name), key=lambda r: r.start)
        if not found:
            known = {rule.id for rule in self.rules}
            raise InputError(f"no rule {name!r}{nearest(name, known)}")
        return tuple(found)

    def rule(self, name: str, on: date) -> Rule | None:
        """Give the version in force on a day, or None where none was."""
        if not isinstance(on, date) or isinstance(on, datetime):
            raise InputError(f"on is no date: {on!r}", do="give datetime.date(y, m, d)")
        return next((rule for rule in self.versions(name) if rule.in_force(on)), None)

    def cited(self, name: str, on: date) -> tuple[Rule, bool]:
        """Give the version in force and True; where none is, the first version to cite, and False."""
        found = self.rule(name, on)
        return (found, True) if found else (self.versions(name)[0], False)

    def table(self) -> pl.DataFrame:
        """One row per version: rule, article, from, to, title and numbers."""
        return pl.DataFrame(
            [
                {
                    "rule": rule.id,
                    "article": rule.citation("en"),
                    "in_force_from": rule.start,
                    "in_force_to": rule.end,
                    "title": rule.title_en,
                    "title_zh": rule.title_zh,
                    "numbers": ", ".join(f"{k} {v:g}" for k, v in rule.numbers.items()),
                }
                for rule in self.rules
            ],
            schema_overrides={"in_force_to": pl.Date},
        )


def read_rules(path: str | Path | None = None) -> Rulebook:
    """Read rules from a TOML file, by default the bundled rules for Chinese health insurance.

    Parameters
    ----------
    path : str or Path, optional
        A file of ``[[rule]]`` entries in the form of ``data/rules/china_health.toml``.

    Raises
    ------
    InputError
        For a file that cannot be read, an entry that lacks a field or has one too many, dates the
        wrong way round, versions of one rule that overlap; every fault at once.

    Examples
    --------
    >>> read_rules().rule("rate_adjustment", date(2024, 1, 1)).numbers["loss_ratio"]
    0.85
    """
    file = bundled("rules/china_health.toml") if path is None else Path(path)
    try:
        entries = toml_tree(file, said="not a file of rules")["rule"]
        faults = [f for i, entry in enumerate(entries) for f in _faults(i, entry)]
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"not a file of rules: {error}", where=str(file)) from error
    if not faults:
        rules = tuple(_rule(entry) for entry in entries)
        faults = list(_overlaps(rules))
    if faults or not entries:
        raise InputError("rules that cannot serve", where=str(file), faults=faults)
    return Rulebook(rules)


def _rule(entry: Mapping[str, Any]) -> Rule:
    numbers = {name: float(value) for name, value in entry.get("numbers", {}).items()}
    texts = {name: str(entry[name]) for name in _TEXTS}
    texts["article_en"] = str(entry.get("article_en", ""))
    return Rule(**texts, start=entry["from"], end=entry.get("to"), numbers=numbers)


def _faults(place: int, entry: Mapping[str, Any]) -> Iterable[str]:
    name = f"rule {place + 1} ({entry.get('id', 'without id')})"
    wanted, allowed = {*_TEXTS, "from"}, {*_TEXTS, "article_en", "from", "to", "numbers"}
    yield from (f"{name} lacks {key!r}" for key in sorted(wanted - set(entry)))
    yield from (
        f"{name} has an unknown field {key!r}{nearest(key, allowed)}"
        for key in sorted(set(entry) - allowed)
    )
    for key in ("from", "to"):
        said = entry.get(key)
        if said is not None and (not isinstance(said, date) or isinstance(said, datetime)):
            yield f"{name}: {key!r} is no date: {said!r}"
            return
    if "from" in entry and "to" in entry and entry["to"] <= entry["from"]:
        yield f"{name} ends on {entry['to']}, not after its start on {entry['from']}"
    if entry.get("from_known", "stated") not in get_args(FromKnown):
        yield f"{name}: 'from_known' is one of {', '.join(get_args(FromKnown))}"
    for key, value in entry.get("numbers", {}).items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
            yield f"{name}: {key} = {value!r} is no number of zero or more"


def _overlaps(rules: Iterable[Rule]) -> Iterable[str]:
    ordered = sorted(rules, key=lambda rule: (rule.id, rule.start))
    for one, other in pairwise(ordered):
        if one.id == other.id and (one.end is None or one.end > other.start):
            yield f"{one.id}: the version from {one.start} overlaps the one from {other.start}"


def rules_markdown() -> str:
    """Write the bundled rules as a page of Markdown.

    Examples
    --------
    >>> rules_markdown().splitlines()[0]
    '# Rules of the regulator'
    """
    lines = [
        "# Rules of the regulator",
        "",
        "Generated from `data/rules/china_health.toml`, which the checks of `pricing.regulation` read.",
        "A check takes the version in force on its day; before a rule was in force, or outside its",
        "scope, the verdict is *not applicable*. Everything here was read in third-party copies of the",
        "texts: hold it against the regulator's own before production use. Where only the year of a",
        "rule is known (†) it is applied from 1 January, the careful side.",
        "",
        "| rule | document, article | in force | title | numbers | scope |",
        "|---|---|---|---|---|---|",
    ]
    for rule in read_rules().rules:
        span = f"{rule.start}{'†' if rule.from_known == 'year' else ''} – {rule.end or ''}".rstrip()
        numbers = ", ".join(f"{name} {value:g}" for name, value in rule.numbers.items())
        title = f"{rule.title_en} {rule.title_zh}"
        scope = f"{rule.scope_en}；{rule.scope_zh}"
        cells = [
            f"`{rule.id}`",
            f"{rule.citation('zh')}; {rule.citation()}",
            span,
            title,
            numbers,
            scope,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
