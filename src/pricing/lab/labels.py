"""What a field is called: the parts of its dotted key in a language."""

from __future__ import annotations

from itertools import pairwise

from pricing.lab.fields import Field
from pricing.result.words import Language, catalogue, label, level_label, say

__all__ = ["choice_label", "entry_label", "field_label", "group_label", "part_label"]


LISTS = ("tier", "benefit", "levels", "items", "steps", "grades")  # whose entries have names


def part_label(part: str, lang: Language) -> str:
    """Name one part of a dotted key; a name of the user's own stands as it is.

    Examples
    --------
    >>> part_label("deductible", "zh"), part_label("0", "en"), part_label("70+", "en")
    ('免赔额', 'Entry 1', '70+')
    """
    if part.isdigit():
        return say("lab.entry", lang, number=int(part) + 1)
    if f"key.{part}" in catalogue():
        return say(f"key.{part}", lang)
    named = level_label(part, lang)
    return named if named != part else label(part, lang)


def field_label(field: Field, lang: Language) -> str:
    """Name a field by the last part of its key.

    Examples
    --------
    >>> field_label(Field("tiers.tier.basic.premium", "number", 500.0), "en")
    'Premium'
    """
    return part_label(field.leaf, lang)


def group_label(field: Field, lang: Language) -> str:
    """Name the table a field stands in.

    Examples
    --------
    >>> group_label(Field("tiers.tier.basic.premium", "number", 500.0), "en")
    'Elder medical tiers · basic'
    """
    parts = field.section.split(".")
    named = []
    for place, part in enumerate(parts):
        above = parts[place - 1] if place else ""
        if part in LISTS and place + 1 < len(parts) and not parts[place + 1].isdigit():
            continue  # the entry's own name says it
        named.append(level_label(part, lang) if above in LISTS else part_label(part, lang))
        if above in LISTS and part.isdigit():
            named[-1] = part_label(part, lang)
    return " · ".join(named)


def entry_label(field: Field, lang: Language) -> str:
    """Name the tier, the benefit or any other named entry that a field belongs to; empty where to none.

    Examples
    --------
    >>> entry_label(Field("tiers.tier.basic.benefit.outpatient.gate.sent", "number", 0.9), "en")
    'basic · outpatient'
    >>> entry_label(Field("tiers.persons", "whole", 100), "en")
    ''
    """
    parts = field.section.split(".")
    names = [own for above, own in pairwise(parts) if above in LISTS]
    return " · ".join(
        part_label(name, lang) if name.isdigit() else level_label(name, lang) for name in names
    )


def choice_label(choice: str, lang: Language) -> str:
    """Name one of the choices of a field.

    Examples
    --------
    >>> choice_label("nearest", "zh")
    '就近取整'
    """
    return part_label(choice, lang)
