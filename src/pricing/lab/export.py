"""What leaves the page: the study file with the scenarios, the results to write, a study so changed."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pricing.errors import InputError
from pricing.lab.answers import checked_change
from pricing.lab.opened import OpenPlan, OpenStudy
from pricing.lab.session import Kept, Session
from pricing.plans.plan_file import read_plan
from pricing.plans.plan_study import PlanStudy
from pricing.result.shape import Result
from pricing.study.chain import Study
from pricing.study.scenarios import scenario_results
from pricing.study.sections import Bilingual, Scenario
from pricing.study.settings import read_settings

__all__ = ["as_changed", "compared", "scenarios_of", "study_file"]

MOST_KEYS = 5  # of a study file's scenario: the difference is explained over all orders of them
NOW = "screen"
WHOLE = "*"


def scenarios_of(opened: OpenStudy, session: Session, *, now: bool = True) -> list[Kept]:
    """List the kept scenarios, then what is on the screen where it is none of them.

    Examples
    --------
    >>> from pricing.data.tables import bundled
    >>> from pricing.lab.opened import open_for_turning
    >>> opened = open_for_turning(bundled("studies/home_care.toml"))
    >>> [s.name for s in scenarios_of(opened, Session("home_care", {"care.uptake": 0.4}))]
    ['screen']
    """
    found = list(session.scenarios)
    if now and session.change and session.change not in [one.change for one in found]:
        taken = {one.name for one in found}
        name = next(n for n in (NOW, *(f"{NOW}_{i}" for i in range(99))) if n not in taken)
        found.append(Kept(name=name, title="Screen / 当前设定", change=dict(session.change)))
    for one in found:
        faults = checked_change(opened, one.change)
        if faults:
            raise InputError(f"the scenario {one.title!r} has values that are refused")
    return found


def study_file(opened: OpenStudy, session: Session) -> str:
    """Write the study's file with the kept scenarios and what is on the screen appended.

    The file's own text stays as it is, with its comments; what comes out is read back and held
    against the contract before it is given.

    Raises
    ------
    InputError
        For a scenario of more than five keys, and where the file would not be taken.

    Examples
    --------
    >>> from pricing.data.tables import bundled
    >>> from pricing.lab.opened import open_for_turning
    >>> opened = open_for_turning(bundled("studies/home_care.toml"))
    >>> text = study_file(opened, Session("home_care", {"care.uptake": 0.4}).keep("Fewer come"))
    >>> print(text[-118:].strip())
    [[scenarios]]
    name = "fewer_come"
    title = { en = "Fewer come", zh = "Fewer come" }
    change = { "care.uptake" = 0.4 }
    """
    taken = {one.name for one in opened.scenarios}
    blocks = []
    for one in scenarios_of(opened, session):
        whole = opened.whole(one.change)
        if len(whole) > MOST_KEYS:
            raise InputError(
                f"a study file's scenario changes at most {MOST_KEYS} keys; {one.title} changes {len(whole)}",
                where="too_many_keys",
                faults=[one.title, str(len(whole))],
            )
        name = one.name if one.name not in taken else f"lab_{one.name}"
        taken.add(name)
        blocks.append(_block(name, one.title, whole))
    text = opened.study.path.read_text(encoding="utf-8-sig").rstrip("\n") + "\n" + "".join(blocks)
    with tempfile.TemporaryDirectory() as folder:
        there = Path(folder) / opened.study.path.name
        there.write_text(text, encoding="utf-8")
        if isinstance(opened, OpenPlan):
            read_plan(there, folder=opened.study.path.parent)
        else:
            read_settings(there)
    return text


def compared(opened: OpenStudy, scenarios: Iterable[Kept], tier: str = "") -> dict[str, Result]:
    """Compare scenarios with the study as it stands, as a run of the study does.

    Examples
    --------
    >>> from pricing.data.tables import bundled
    >>> from pricing.lab.opened import open_for_turning
    >>> opened = open_for_turning(bundled("studies/home_care.toml"))
    >>> one = Kept(name="few", title="Few", change={"care.uptake": 0.4})
    >>> list(compared(opened, [one]))
    ['scenario_comparison']
    """
    written = [
        Scenario.model_construct(
            name=one.name,
            title=Bilingual(en=one.title, zh=one.title),
            # of many changes the whole is compared, and not explained over all orders of them
            change=dict(one.change) if len(one.change) <= MOST_KEYS else {WHOLE: dict(one.change)},
        )
        for one in scenarios
    ]
    if not written:
        return {}

    def headline(change: Mapping[str, Any]) -> dict[str, float]:
        return opened.headline(change.get(WHOLE, change), tier)

    basis = next(iter(opened.at_once({}).values())).basis
    return scenario_results(written, headline, basis, tier=tier if opened.tiers else "")


def as_changed(opened: OpenStudy, change: Mapping[str, Any], tier: str = "") -> Study | PlanStudy:
    """Give the study opened anew with a change made in it, to be run and reported; judged by a tier.

    Examples
    --------
    >>> from pricing.data.tables import bundled
    >>> from pricing.lab.opened import open_for_turning
    >>> opened = open_for_turning(bundled("studies/home_care.toml"))
    >>> as_changed(opened, {"care.uptake": 0.4}).settings.plans["care"].uptake
    0.4
    """
    return opened.study.but(opened.spoken(opened.whole(change), tier))


def _block(name: str, title: str, change: Mapping[str, Any]) -> str:
    said = json.dumps(title, ensure_ascii=False)
    keys = ", ".join(f"{json.dumps(key)} = {_value(value)}" for key, value in change.items())
    return (
        f"\n[[scenarios]]\nname = {json.dumps(name)}\n"
        f"title = {{ en = {said}, zh = {said} }}\nchange = {{ {keys} }}\n"
    )


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        inside = ", ".join(f"{json.dumps(k, ensure_ascii=False)} = {_value(v)}" for k, v in value.items())  # fmt: skip
        return f"{{ {inside} }}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value) if "." in repr(value) or "e" in repr(value) else f"{value}.0"
    return json.dumps(value, ensure_ascii=False)
