"""A study file with some keys changed: what a scenario is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any

from pricing.errors import InputError, nearest
from pricing.study.sections import Scenario

__all__ = ["scenario_faults", "with_changes"]


def scenario_faults(scenarios: Iterable[Scenario], sections: Iterable[str]) -> list[str]:
    """Find scenarios that stand twice or change what is no key of some sections.

    Examples
    --------
    >>> one = Scenario(name="a", title={"en": "A", "zh": "甲"}, change={"study.name": "x"})
    >>> scenario_faults([one, one], ["discount"])[0]
    "scenarios: 'a' stands twice"
    """
    given, known = list(scenarios), list(sections)
    names = [scenario.name for scenario in given]
    faults = [f"scenarios: {n!r} stands twice" for n in dict.fromkeys(names) if names.count(n) > 1]
    return faults + [
        f"scenarios.{scenario.name}: {key!r} is no key of {', '.join(known)}"
        for scenario in given
        for key in scenario.change
        if key.partition(".")[0] not in known
    ]


def with_changes(raw: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Give a file's tables with dotted keys set; all of a key but its last part must be there.

    Parameters
    ----------
    raw : mapping
        As read; it is not touched.
    change : mapping
        Dotted key to new value; an entry of a list is meant by its ``name`` or its number.

    Raises
    ------
    InputError
        For a key that leads nowhere.

    Examples
    --------
    >>> with_changes({"tiers": {"basic": {"premium": 500}}}, {"tiers.basic.premium": 450})
    {'tiers': {'basic': {'premium': 450}}}
    """
    after: dict[str, Any] = deepcopy(dict(raw))
    for key, value in change.items():
        *way, last = key.split(".")
        found: Any = after
        for part in way:
            found = _step(found, part, key)
        if isinstance(found, list):
            found[_place(found, last, key)] = deepcopy(value)
        elif isinstance(found, dict):
            found[last] = deepcopy(value)
        else:
            raise InputError(f"{key!r} leads into {found!r}, which has no keys")
    return after


def _step(found: Any, part: str, key: str) -> Any:
    if isinstance(found, list):
        return found[_place(found, part, key)]
    if not isinstance(found, dict) or part not in found:
        there = found if isinstance(found, dict) else []
        raise InputError(f"{key!r} is no key of the file{nearest(part, there)}")
    return found[part]


def _place(entries: list[Any], part: str, key: str) -> int:
    names = [
        str(e.get("name", i)) if isinstance(e, dict) else str(i) for i, e in enumerate(entries)
    ]
    if part in names:
        return names.index(part)
    if part.isdecimal() and int(part) < len(entries):
        return int(part)
    raise InputError(f"{key!r} is no entry of the file{nearest(part, names)}")
