"""The file of a plan study: its head, its data, the plan's own sections, its scenarios."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import Field, ValidationError, create_model

from pricing.data.delivered import TABLES
from pricing.errors import InputError, nearest
from pricing.files import fingerprint
from pricing.inputs import bytes_of, require_inside
from pricing.study.changes import scenario_faults, with_changes
from pricing.study.sections import Head, Scenario, Strict, Table, is_path
from pricing.study.toml_file import faults_said, read_toml

__all__ = [
    "PLANS",
    "PlanSettings",
    "SimulatedPlan",
    "changed",
    "plan_of",
    "plan_settings",
    "read_plan",
    "require_files_inside",
]

PLANS: dict[str, tuple[str, str]] = {  # section of the file: its module, and the class of its keys
    "programme": ("pricing.plans.health_programme", "ProgrammeSection"),
    "tiers": ("pricing.plans.tiers", "TiersSection"),
    "take_up": ("pricing.plans.choice", "ChoiceSection"),
    "claims_link": ("pricing.plans.claims_link", "ClaimsLinkSection"),
    "care": ("pricing.plans.care", "CareSection"),
    "reassessment": ("pricing.plans.reassessment", "ReassessmentSection"),
    "mutual_aid": ("pricing.plans.mutual_aid", "MutualAidSection"),
    "services": ("pricing.plans.services", "ServicesSection"),
    "after_claim": ("pricing.plans.after_claim", "AfterClaimSection"),
}


FILES = {"programme": "file", "mutual_aid": "rules"}  # keys that may name a file


class SimulatedPlan(Strict):
    """``[simulate]``: tables with known truth instead of delivered ones."""

    members: int = Field(ge=1, description="How many members, cases or policies to make")
    seed: int = Field(ge=0, description="The same seed gives the same rows")


class PlanSettings(Strict):
    """What every plan file has; the plan's own sections stand beside it."""

    study: Head
    tables: dict[str, Table] = Field(default_factory=dict)
    simulate: SimulatedPlan | None = None
    scenarios: list[Scenario] = Field(default_factory=list)

    @property
    def plans(self) -> dict[str, Strict]:
        """The plan's own sections, as the file orders them."""
        found = {name: getattr(self, name, None) for name in PLANS}
        return {name: section for name, section in found.items() if section is not None}

    def files(self) -> dict[str, str]:
        """Hash each file that a section names, by the path as it is written; of a folder its files."""
        named = {
            str(getattr(self.plans[name], key)): self.plans[name]
            for name, key in FILES.items()
            if name in self.plans and is_path(getattr(self.plans[name], key))
        }
        found: dict[str, str] = {}
        for said, section in named.items():
            place = Path(section.place(said))  # type: ignore[attr-defined]
            own = sorted(place.glob("*.toml")) if place.is_dir() else [place]
            for path in own:
                shown = f"{said}/{path.name}" if place.is_dir() else said
                found[shown] = fingerprint(bytes_of(path))
        return found


def plan_of(section: str) -> ModuleType:
    """Give the module that prices a section of a plan file.

    Examples
    --------
    >>> plan_of("programme").__name__
    'pricing.plans.health_programme'
    """
    return import_module(PLANS[section][0])


@cache
def _model(sections: frozenset[str]) -> type[PlanSettings]:
    fields: dict[str, Any] = {
        name: (getattr(plan_of(name), PLANS[name][1]) | None, None) for name in sorted(sections)
    }
    return create_model("PlanFile", __base__=PlanSettings, **fields)


def read_plan(path: str | Path, *, folder: str | Path | None = None) -> PlanSettings:
    """Read and hold the file of a plan study against its contract; every fault is said at once.

    Parameters
    ----------
    path : path
        A TOML file with one of the plans' sections; ``data/studies/huoli_members.toml`` is an example.
    folder : path, optional
        Where the paths of a programme or of rules start; the file's own folder where left out.

    Raises
    ------
    InputError
        For a missing file, broken TOML, unknown keys, values out of range, rules that contradict,
        tables no plan of the file reads, scenarios that change a key that is not there or whose
        changed file breaks a rule.

    Examples
    --------
    >>> from pricing.data.tables import bundled
    >>> list(read_plan(bundled("studies/huoli_members.toml")).plans)
    ['programme']
    """
    path = Path(path)
    raw = read_toml(path)
    place = path.parent if folder is None else Path(folder)
    require_files_inside(raw, place)
    settings, faults = _held(raw, place)
    if settings is not None:
        faults += _data_faults(settings) + _price_faults(settings)
        faults += scenario_faults(settings.scenarios, PLANS)
        for scenario in settings.scenarios:
            faults += _scenario_faults(raw, scenario, place)
    if faults or settings is None:
        raise InputError(
            f"{len(faults)} fault(s) in the study file",
            where=str(path),
            faults=faults,
            do="correct them all and run again; docs/plan_files.md lists every key",
        )
    return settings


def changed(
    settings: PlanSettings, change: Mapping[str, Any], *, folder: str | Path | None = None
) -> PlanSettings:
    """Give the settings with some keys changed, held against the contract again.

    Parameters
    ----------
    settings : PlanSettings
        As read.
    change : mapping
        Dotted key to new value, such as ``{"care.benefit.amount": 600}``; an entry of a list is
        meant by its number or by its ``name``.
    folder : path, optional
        Of the study file, from which the paths in it start.

    Raises
    ------
    InputError
        For a key that is not there, and for values that break a rule.

    Examples
    --------
    >>> from pricing.data.tables import bundled
    >>> settings = read_plan(bundled("studies/huoli_members.toml"))
    >>> changed(settings, {"study.currency": "USD"}).study.currency
    'USD'
    """
    raw = settings.model_dump(mode="python", exclude_unset=True)
    wanted = with_changes(raw, change)
    if moved := _moved(raw, wanted):
        raise InputError(
            f"{len(moved)} fault(s) in the change", where=settings.study.name, faults=moved
        )
    return plan_settings(wanted, folder=folder)


def plan_settings(raw: Mapping[str, Any], *, folder: str | Path | None = None) -> PlanSettings:
    """Hold what a plan's file would say against its contract.

    Raises
    ------
    InputError
        For keys and values that break a rule.

    Examples
    --------
    >>> from pricing.data.tables import bundled
    >>> raw = read_plan(bundled("studies/huoli_members.toml")).model_dump(mode="json")
    >>> plan_settings(raw).study.name
    'huoli_members'
    """
    after, faults = _held(raw, None if folder is None else Path(folder))
    if faults or after is None:
        raise InputError("a change that breaks the plan", faults=faults)
    return after


def _named(raw: Mapping[str, Any], section: str) -> str | None:
    """The path of a file that a section names; none where it is the name of a bundled one."""
    held = raw.get(section)
    said = held.get(FILES[section]) if isinstance(held, Mapping) else None
    return said if isinstance(said, str) and is_path(said) else None


def require_files_inside(raw: Mapping[str, Any], folder: Path) -> None:
    """Refuse a programme or rules outside the study file's folder, unless it says so.

    Examples
    --------
    >>> require_files_inside({"programme": {"file": "../x.toml"}}, Path("/data"))
    Traceback (most recent call last):
        ...
    pricing.errors.InputError: programme.file = '../x.toml': lies outside the study file's folder /data
      do: move it there, or say so in the study file: outside = true under [study]
    """
    head = raw.get("study")
    if isinstance(head, Mapping) and head.get("outside") is True:
        return
    for section in FILES:
        if (said := _named(raw, section)) is not None:
            for path in (folder / said, *sorted((folder / said).glob("*.toml"))):
                require_inside(path, folder, said=f"{section}.{FILES[section]} = {said!r}")


def _moved(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Fault a change that names another file: only the study file itself may."""
    return [
        f"{section}.{key}: a change may name a bundled one, not a file"
        for section, key in FILES.items()
        if _named(after, section) not in (None, _named(before, section))
    ]


def _held(raw: Mapping[str, Any], folder: Path | None) -> tuple[PlanSettings | None, list[str]]:
    sections = frozenset(raw) & frozenset(PLANS)
    if not sections:
        return None, [f"file: no plan's section; give one of {', '.join(PLANS)}"]
    model = _model(sections)
    unknown = sorted(set(raw) - set(model.model_fields))
    faults = [
        f"{name}: unknown key{nearest(name, [*PlanSettings.model_fields, *PLANS])}"
        for name in unknown
    ]
    try:
        known = {name: value for name, value in raw.items() if name not in unknown}
        return model.model_validate(known, context={"folder": folder}), faults
    except ValidationError as error:
        return None, faults + faults_said(error, model)


def _data_faults(settings: PlanSettings) -> list[str]:
    """Tables or a simulation, whichever the plans read; nothing that no plan reads."""
    wanted = list(dict.fromkeys(t for name in settings.plans for t in plan_of(name).TABLES))
    optional = {t for name in settings.plans for t in getattr(plan_of(name), "OPTIONAL", ())}
    given = list(settings.tables)
    faults = [
        f"tables.{name}: no such table{nearest(name, TABLES)}"
        if name not in TABLES
        else f"tables.{name}: no plan of this file reads it; they read {wanted or 'none'}"
        for name in given
        if name not in [*wanted, *optional]
    ]
    if settings.simulate is not None and given:
        faults.append("file: give either [simulate] or [tables.…], one of the two")
    if settings.simulate is not None and not wanted:
        faults.append("simulate: the plans of this file read no tables")
    if settings.simulate is not None:
        by: dict[str, list[str]] = {}
        for name in settings.plans:
            for table in plan_of(name).TABLES:
                by.setdefault(table, []).append(name)
        faults += [
            f"simulate: {' and '.join(names)} each make {table}, and one would be lost; deliver "
            f"[tables.{table}], or give each a file of its own"
            for table, names in by.items()
            if len(names) > 1
        ]
    if settings.simulate is None:
        lacking = [name for name in wanted if name not in given]
        if lacking:
            faults.append(f"tables: {lacking} missing; or give [simulate] members and seed")
    return faults


def _scenario_faults(raw: Mapping[str, Any], scenario: Scenario, folder: Path) -> list[str]:
    place = f"scenarios.{scenario.name}"
    if any(key.partition(".")[0] not in PLANS for key in scenario.change):
        return []  # said already
    try:
        after = with_changes(raw, scenario.change)
    except InputError as error:
        return [f"{place}: {error.problem}"]
    moved = _moved(raw, after)
    changed_file, faults = (None, moved) if moved else _held(after, folder)
    if changed_file is not None:
        faults += _price_faults(changed_file)
    return [f"{place}: {fault}" for fault in faults]


def _price_faults(settings: PlanSettings) -> list[str]:
    """One tier, one price: what ``[tiers]`` charges is what ``[take_up]`` offers."""
    tiers, offered = settings.plans.get("tiers"), settings.plans.get("take_up")
    if tiers is None or offered is None:
        return []
    charged = {tier.name: tier.premium for tier in tiers.tier}  # type: ignore[attr-defined]
    prices: Mapping[str, float] = offered.prices  # type: ignore[attr-defined]
    return [
        f"take_up.prices.{name}: {prices[name]:g}, but tiers.tier.{name}.premium is {charged[name]:g}"
        for name in prices
        if name in charged and prices[name] != charged[name]
    ]
