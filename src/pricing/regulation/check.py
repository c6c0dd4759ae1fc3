"""The answer of a check: one row per condition, with its numbers, its article and a verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise
from numbers import Real
from typing import Any, Literal, TypeVar, get_args

import polars as pl

from pricing.errors import InputError
from pricing.regulation.rule import Rule
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, level_label, say

__all__ = [
    "Check",
    "Condition",
    "at_least",
    "at_most",
    "checked",
    "is_number",
    "require_amount",
    "require_dates",
    "require_share",
]

TOLERANCE = 1e-9
NAMED = 6  # conditions a finding names
Verdict = Literal["pass", "fail", "not_applicable"]
Unit = Literal["share", "days", "currency", "count", "yes_no"]
Relation = Literal["at_least", "at_most", "above"]
C = TypeVar("C", bound="Check")


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One condition of a rule.

    Attributes
    ----------
    name : str
        Catalogue name (a level).
    holds : bool or None
        None where it does not apply.
    value, threshold : float or None
        What is, and what the rule asks, in ``unit``.
    relation : {"at_least", "at_most", "above"}
        How the value has to lie to the threshold.
    unit : {"share", "days", "currency", "count", "yes_no"}
        Of both.
    segment : str
        Age band, group or year it is about; empty for all.

    Examples
    --------
    >>> Condition(name="notice", holds=True, value=31.0, threshold=30.0, unit="days").segment
    ''
    """

    name: str
    holds: bool | None
    value: float | None = None
    threshold: float | None = None
    relation: Relation = "at_least"
    unit: Unit = "share"
    segment: str = ""


class Check(Result):
    """Whether a rule is kept.

    ``.table``: rule, article, condition, segment, value, relation, threshold, unit, verdict (pass,
    fail, not_applicable). ``.verdict`` is fail where one condition fails, pass where none fails and
    one passes, else not_applicable. ``.facts["reason"]`` says why a rule does not apply:
    ``not_in_force`` or ``out_of_scope``.

    Examples
    --------
    >>> from pricing.regulation.loading import check_medical_inflation
    >>> from pricing.regulation.product import Product
    >>> found = check_medical_inflation(0.02, product=Product(kind="medical", term_years=5),
    ...                                 on=date(2024, 1, 1))
    >>> found.verdict, found.ok
    ('fail', False)
    >>> print(found.finding())
    Medical inflation in reserves (CBIRC notice [2020] No. 7) on 2024-01-01: fail. Yearly medical inflation 2.00% against at least 3.00%: fail.
    """

    kind = "check"

    @property
    def verdict(self) -> Verdict:
        """Of all conditions together."""
        found: Verdict = self.facts["verdict"]
        return found

    @property
    def ok(self) -> bool:
        """Whether nothing fails."""
        return self.verdict != "fail"

    def finding(self, lang: Language = "en") -> str:
        """Name the rule, its article and the numbers that decide."""
        facts = self.facts
        words: dict[str, Any] = {
            "title": facts[f"title_{lang}"],
            "article": facts[f"article_{lang}"],
            "on": facts["on"],
            "verdict": level_label(facts["verdict"], lang),
        }
        if facts["reason"]:
            because = say(f"sentence.{facts['reason']}", lang, scope=facts[f"scope_{lang}"])
            return say(f"finding.{self.kind}", lang, **words, parts=because)
        said = self.table.filter(pl.col("verdict") == facts["verdict"])
        parts = [_part(row, lang) for row in said.head(NAMED).iter_rows(named=True)]
        if said.height > NAMED:
            parts.append(say("sentence.check_more", lang, more=said.height - NAMED))
        joined = ("；" if lang == "zh" else "; ").join(parts)
        end = "。" if lang == "zh" else "."
        return say(f"finding.{self.kind}", lang, **words, parts=joined + end)


def _part(row: Mapping[str, Any], lang: Language) -> str:
    name = level_label(row["condition"], lang)
    if row["segment"]:
        name += f" ({level_label(row['segment'], lang)})"
    key = "yes_no" if row["unit"] == "yes_no" else "measured"
    if row["value"] is None or row["threshold"] is None:
        key = "bare"
    return say(
        f"sentence.check_{key}",
        lang,
        condition=name,
        value=_number(row["value"], row["unit"], lang),
        threshold=_number(row["threshold"], row["unit"], lang),
        relation=level_label(row["relation"], lang),
        verdict=level_label(row["verdict"], lang),
    )


def _number(value: float | None, unit: str, lang: Language) -> str:
    if value is None:
        return ""
    if unit == "share":
        return f"{value:.2%}"
    if unit == "yes_no":
        return level_label("yes" if value else "no", lang)
    if unit == "days":
        return say("sentence.days", lang, days=value)
    return f"{value:,.2f}" if unit == "currency" else f"{value:,.0f}"


def checked(
    kind: type[C],
    rules: Sequence[Rule],
    applies: bool,
    conditions: Sequence[Condition],
    on: date,
    *,
    in_force: bool = True,
    facts: Mapping[str, Any] | None = None,
    frames: Mapping[str, pl.DataFrame] | None = None,
    notes: Sequence[str] = (),
) -> C:
    """Put conditions together to a check.

    Parameters
    ----------
    kind : type of Check
        The class of the result.
    rules : sequence of Rule
        The rule of every condition; the first names the check.
    applies, in_force : bool
        Whether the case is in the rule's scope, and the rule in force.
    conditions : sequence of Condition
        In the order of ``rules``.
    on : date
        The day checked.

    Examples
    --------
    >>> from pricing.regulation.rule import read_rules
    >>> rule = read_rules().rule("medical_inflation", date(2024, 1, 1))
    >>> one = Condition(name="medical_inflation", holds=True, value=0.04, threshold=0.03)
    >>> checked(Check, [rule], True, [one], date(2024, 1, 1)).verdict
    'pass'
    """
    valid = applies and in_force
    verdicts = [_verdict(one.holds if valid else None) for one in conditions]
    whole: Verdict = (
        "fail" if "fail" in verdicts else "pass" if "pass" in verdicts else "not_applicable"
    )
    table = pl.DataFrame(
        {
            "rule": [rule.id for rule in rules],
            "article": [rule.citation("en") for rule in rules],
            "condition": [one.name for one in conditions],
            "segment": [one.segment for one in conditions],
            "value": [one.value for one in conditions],
            "relation": [one.relation for one in conditions],
            "threshold": [one.threshold for one in conditions],
            "unit": [one.unit for one in conditions],
            "verdict": verdicts,
        },
        schema_overrides={
            "value": pl.Float64,
            "threshold": pl.Float64,
            "relation": pl.Enum(get_args(Relation)),
            "unit": pl.Enum(get_args(Unit)),
            "verdict": pl.Enum(get_args(Verdict)),
        },
    )
    texts = list({rule.id: rule for rule in rules}.values())
    first = texts[0]
    reason = "" if valid else "not_in_force" if not in_force else "out_of_scope"
    if not reason and whole == "not_applicable":
        reason = "nothing_to_check"
    said: dict[str, Any] = {
        "verdict": whole,
        "reason": reason,
        "on": on.isoformat(),
        "title_en": ", ".join(rule.title_en for rule in texts),
        "title_zh": "、".join(rule.title_zh for rule in texts),
        "scope_en": first.scope_en,
        "scope_zh": first.scope_zh,
        "article_en": "; ".join(dict.fromkeys(rule.citation("en") for rule in texts)),
        "article_zh": "；".join(dict.fromkeys(rule.citation("zh") for rule in texts)),
    }
    known = [f"{rule.id}: {rule.source}; {rule.certainty}" for rule in texts]
    dated = [
        f"{rule.id}: only the year it came into force is known"
        for rule in texts
        if rule.from_known == "year" and rule.start.year == on.year
    ]
    return kind(
        table=table,
        basis=Basis(source=first.document, period=on.isoformat(), notes=(*known, *dated, *notes)),
        facts=said | dict(facts or {}),
        frames=dict(frames or {}),
    )


def _verdict(holds: bool | None) -> Verdict:
    return "not_applicable" if holds is None else "pass" if holds else "fail"


def at_least(value: float, line: float) -> bool:
    """Whether a value reaches a line; within 1e-9 of it counts as on it.

    Examples
    --------
    >>> at_least(0.1 + 0.7, 0.8), at_least(0.79, 0.8)
    (True, False)
    """
    return value >= line - TOLERANCE * max(1.0, abs(line))


def at_most(value: float, line: float) -> bool:
    """Whether a value stays within a line; within 1e-9 of it counts as on it.

    Examples
    --------
    >>> 0.3 <= 0.4 - 0.1, at_most(0.3 + 1e-15, 0.4 - 0.1)
    (True, True)
    """
    return value <= line + TOLERANCE * max(1.0, abs(line))


def require_share(name: str, value: float, *, below: float = math.inf) -> float:
    """Refuse a ratio that is no number of zero or more.

    Examples
    --------
    >>> require_share("loss ratio", 0.7)
    0.7
    """
    if not (is_number(value) and 0 <= value < below):
        line = "" if below == math.inf else f" and below {below:g}"
        raise InputError(
            f"{name} is a fraction of zero or more{line}, got {value!r}",
            do="give 85 % as 0.85",
        )
    return float(value)


def require_amount(name: str, value: float, *, above_zero: bool = False) -> float:
    """Refuse an amount that is no number of zero or more.

    Examples
    --------
    >>> require_amount("premium", 100)
    100.0
    """
    if not (is_number(value) and (value > 0 if above_zero else value >= 0)):
        line = "above zero" if above_zero else "zero or more"
        raise InputError(f"{name} is an amount of {line}, got {value!r}")
    return float(value)


def is_number(value: Any) -> bool:
    """Whether something is a finite number, and no yes or no.

    Examples
    --------
    >>> is_number(0.85), is_number("85 %"), is_number(float("nan")), is_number(True)
    (True, False, False, False)
    """
    return bool(not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value))


def require_dates(**days: date | None) -> None:
    """Refuse days that are no dates, or that do not come one after another.

    Examples
    --------
    >>> require_dates(launch=date(2020, 1, 1), on=date(2023, 1, 1))
    """
    given = {name: day for name, day in days.items() if day is not None}
    wrong = [
        f"{name} is no date: {day!r}"
        for name, day in given.items()
        if not isinstance(day, date) or isinstance(day, datetime)
    ]
    if wrong:
        raise InputError("days that are no dates", faults=wrong, do="give datetime.date(y, m, d)")
    names = list(given)
    faults = [
        f"{other} ({given[other]}) lies before {one} ({given[one]})"
        for one, other in pairwise(names)
        if given[other] < given[one]
    ]
    if faults:
        raise InputError("dates the wrong way round", faults=faults)
