"""The study file: one TOML file, every fault in it said at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from pricing.errors import InputError
from pricing.study.changes import scenario_faults, with_changes
from pricing.study.cross_checks import cross_faults
from pricing.study.sections import (
    Band,
    Causal,
    Discount,
    Effect,
    Head,
    Losses,
    Model,
    Outlooks,
    Premium,
    RateReview,
    Regulated,
    Renewed,
    Retention,
    Scenario,
    Simulated,
    Strict,
    Table,
    Validation,
)
from pricing.study.toml_file import faults_said, read_toml

__all__ = ["Settings", "changed_settings", "read_settings"]


class Settings(Strict):
    """A whole study file."""

    study: Head
    tables: dict[
        Literal["person_years", "policies", "renewals", "claims", "payments", "offers", "consents"],
        Table,
    ] = Field(default_factory=dict)
    simulate: Simulated | None = None
    bands: dict[str, Band] = Field(default_factory=dict)
    model: Model
    discount: Discount
    premium: Premium | None = None
    programme_effect: Effect | None = None
    validation: Validation | None = None
    losses: Losses | None = None
    loss_ratio: RateReview | None = None
    regulation: Regulated | None = None
    persistency: Retention | None = None
    causal: Causal | None = None
    projection: Outlooks | None = None
    renewal: Renewed | None = None
    scenarios: list[Scenario] = Field(default_factory=list)


def read_settings(path: str | Path) -> Settings:
    """Read and hold a study file against its contract; every fault is reported at once.

    Parameters
    ----------
    path : path
        A TOML file; ``data/studies/huoli.toml`` is a commented example.

    Raises
    ------
    InputError
        For a missing file, broken TOML (with its line), unknown keys (with the nearest), wrong
        types, values out of range, formulas that name no known column, bands that do not cut,
        a group order that is not the group's levels.

    Examples
    --------
    >>> from pricing.data.tables import bundled
    >>> read_settings(bundled("studies/randhie.toml")).discount.cap
    0.2
    """
    path = Path(path)
    raw = read_toml(path)
    faults: list[str] = []
    settings: Settings | None = None
    try:
        settings = Settings.model_validate(raw)
    except ValidationError as error:
        faults += faults_said(error, Settings)
    faults += cross_faults(raw)
    if settings is not None:
        faults += scenario_faults(settings.scenarios, ["discount"])
        for scenario in settings.scenarios if not faults else ():
            try:
                changed_settings(settings, scenario.change)
            except InputError as error:
                said = error.faults or (error.problem,)
                faults += [f"scenarios.{scenario.name}: {fault}" for fault in said]
    if faults or settings is None:
        raise InputError(
            f"{len(faults)} fault(s) in the study file",
            where=str(path),
            faults=faults,
            do="correct them all and run again; docs/study_file.md lists every key",
        )
    return settings


def changed_settings(settings: Settings, change: Mapping[str, Any]) -> Settings:
    """Give the settings with some keys of ``[discount]`` changed, held against the contract again.

    Raises
    ------
    InputError
        For a key that is not there, and for values that break a rule.

    Examples
    --------
    >>> from pricing.data.tables import bundled
    >>> settings = read_settings(bundled("studies/randhie.toml"))
    >>> changed_settings(settings, {"discount.cap": 0.1}).discount.cap
    0.1
    """
    raw = with_changes(settings.model_dump(mode="json", exclude_unset=True), change)
    try:
        after = Settings.model_validate(raw)
    except ValidationError as error:
        raise InputError(
            "a change that breaks the study", faults=faults_said(error, Settings)
        ) from None
    if faults := cross_faults(
        settings.model_dump(mode="python", exclude_unset=True) | {"discount": raw["discount"]}
    ):
        raise InputError("a change that breaks the study", faults=faults)
    return after
