"""The study file: one TOML file, every fault in it said at once."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from pricing.errors import InputError
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
    Simulated,
    Strict,
    Table,
    Validation,
)
from pricing.study.toml_file import faults_said, read_toml

__all__ = ["Settings", "read_settings"]


class Settings(Strict):
    """A whole study file."""

    study: Head
    tables: dict[
        Literal["person_years", "policies", "renewals", "claims", "payments", "offers"], Table
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
    if faults or settings is None:
        raise InputError(
            f"{len(faults)} fault(s) in the study file",
            where=str(path),
            faults=faults,
            do="correct them all and run again; docs/study_file.md lists every key",
        )
    return settings
