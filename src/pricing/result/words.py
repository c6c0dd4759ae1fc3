"""Chinese and English: one catalogue, every sentence and label in both."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

__all__ = [
    "LANGUAGES",
    "Language",
    "catalogue",
    "fault_said",
    "label",
    "level_label",
    "note_said",
    "say",
    "term_label",
]

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = get_args(Language)


@cache
def catalogue() -> dict[str, dict[str, str]]:
    """Read every entry of the catalogue: ``section.key`` → language → text.

    Examples
    --------
    >>> catalogue()["term.exposure"]["zh"]
    '风险暴露（保单年）'
    """
    with Path(__file__).with_name("words.toml").open("rb") as file:
        sections = tomllib.load(file)
    return {
        f"{section}.{key}": text for section, keys in sections.items() for key, text in keys.items()
    }


def say(key: str, lang: Language, **values: Any) -> str:
    """Fill one sentence of the catalogue with figures.

    Parameters
    ----------
    key : str
        Entry, such as ``"finding.one_way"``.
    lang : {"en", "zh"}
        Language.
    **values
        The figures the sentence names; fractions for shares, policy-years for exposure.

    Raises
    ------
    KeyError
        Where the catalogue lacks the entry or ``values`` lacks a figure it names.

    Examples
    --------
    >>> say("term.claims", "en")
    'Claims'
    """
    return catalogue()[key][lang].format(**values)


def label(name: str, lang: Language) -> str:
    """Name a column, measure or factor in a language; a name the catalogue lacks stands as it is.

    Examples
    --------
    >>> label("health_group", "zh"), label("sex:tier", "en"), label("北京", "en")
    ('健康组', 'Sex × Tier', '北京')
    """
    entries = [catalogue().get(f"term.{part}") for part in name.split(":")]
    parts = zip(entries, name.split(":"), strict=True)
    return " × ".join(entry[lang] if entry else part for entry, part in parts)


def level_label(name: str, lang: Language) -> str:
    """Name a factor's level in a language; combinations of levels word by word.

    Examples
    --------
    >>> level_label("excellent", "zh"), level_label("male × premium", "zh"), level_label("18-29", "en")
    ('优', '男 × 高端档', '18-29')
    """
    if name.startswith("<") and name[1:].isdigit():  # a cell with too few to be shown
        return say("sentence.fewer_than", lang, minimum=name[1:])
    entries = [catalogue().get(f"level.{part}") for part in name.split(" × ")]
    return " × ".join(
        entry[lang] if entry else part
        for entry, part in zip(entries, name.split(" × "), strict=True)
    )


def note_said(note: str, lang: Language) -> str:
    """Say a note of a basis in a language; one that the catalogue lacks stands as it was written.

    Notes are kept in English, as they were made; a template of the section ``note`` recognises one
    and says it with the same figures. Names among these are said, too.

    Examples
    --------
    >>> note_said("errors are clustered by policy_id: 5,294 clusters", "zh")
    '误差按保单号聚类：5,294 个'
    >>> note_said("an own note", "zh")
    'an own note'
    """
    return _recognised(note, "note", lang)


def fault_said(fault: str, lang: Language) -> str:
    """Say what a contract asks of a row in a language; what the catalogue lacks stands as it is.

    Examples
    --------
    >>> fault_said("exposure must be at least 0", "zh"), fault_said("an own rule", "zh")
    ('风险暴露（保单年）不得小于 0', 'an own rule')
    """
    return _recognised(fault, "fault", lang)


def term_label(term: str, lang: Language) -> str:
    """Name a term of a model, a column with its level, in a language.

    Examples
    --------
    >>> term_label("sex[male]", "zh"), term_label("health_group", "zh"), term_label("sex: male", "zh")
    ('性别[男]', '健康组', '性别: 男')
    """
    found = re.fullmatch(r"(\w+)(\[|: )(.+?)(\]?)", term)
    if found is None:
        return label(term, lang) if f"term.{term}" in catalogue() else level_label(term, lang)
    name, opens, level, closes = found.groups()
    return f"{label(name, lang)}{opens}{level_label(level, lang)}{closes}"


def _recognised(text: str, section: str, lang: Language) -> str:
    if lang == "en":
        return text
    for pattern, said in _templates(section, lang):
        found = pattern.fullmatch(text)
        if found:
            return said.format(**{k: _named(v, lang) for k, v in found.groupdict().items()})
    return text


@cache
def _templates(section: str, lang: Language) -> list[tuple[re.Pattern[str], str]]:
    """The templates of a section, those with more words of their own first."""
    texts = [text for key, text in catalogue().items() if key.startswith(f"{section}.")]
    texts.sort(key=lambda text: len(re.sub(r"{\w+}", "", text["en"])), reverse=True)
    return [
        (re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>.+?)", re.escape(t["en"]))), t[lang])
        for t in texts
    ]


def _named(text: str, lang: Language) -> str:
    """Names of columns and levels in a language, one or several; else the text itself."""
    said = [
        catalogue().get(f"term.{part}") or catalogue().get(f"level.{part}")
        for part in text.split(", ")
    ]
    return "、".join(entry[lang] for entry in said if entry) if all(said) else text
