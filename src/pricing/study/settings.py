"""The study file: one TOML file, every fault in it said at once."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from pricing.errors import InputError, nearest
from pricing.study.cross_checks import cross_faults
from pricing.study.sections import (
    Band,
    Bilingual,
    Causal,
    CutOff,
    Discount,
    Effect,
    Elsewhere,
    Expenses,
    Head,
    Limits,
    Losses,
    Model,
    Outlooks,
    Premium,
    RateChange,
    RateReview,
    Regulated,
    Renewed,
    Retention,
    Simulated,
    Strict,
    Table,
    Validation,
)

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
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        there = [str(f) for f in path.parent.glob("*.toml")] if path.parent.is_dir() else []
        raise InputError(
            f"no such study file{nearest(str(path), there)}", where=str(path)
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise InputError(
            f"not a readable TOML file: {error}",
            where=str(path),
            do="correct that place; the file is TOML in UTF-8, as those in data/studies",
        ) from error
    faults: list[str] = []
    settings: Settings | None = None
    try:
        settings = Settings.model_validate(raw)
    except ValidationError as error:
        faults += [_said(fault) for fault in error.errors(include_url=False)]
    faults += cross_faults(raw)
    if faults or settings is None:
        raise InputError(
            f"{len(faults)} fault(s) in the study file",
            where=str(path),
            faults=faults,
            do="correct them all and run again; docs/study_file.md lists every key",
        )
    return settings


def _said(fault: Mapping[str, Any]) -> str:
    place = ".".join(str(part) for part in fault["loc"] if part != "[key]")
    if fault["type"] == "extra_forbidden":
        return f"{place}: unknown key{nearest(str(fault['loc'][-1]), _siblings(fault['loc']))}"
    message = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "model_type" and fault.get("ctx", {}).get("class_name") == "Bilingual":
        message = 'give both languages, { en = "…", zh = "…" }'
    given = "" if fault["type"] == "missing" else f", got {fault['input']!r}"
    return f"{place or 'file'}: {message}{given if len(given) < 80 else ''}"


def _siblings(place: tuple[str | int, ...]) -> list[str]:
    """The keys that may stand where an unknown one stands."""
    model: Any = Settings
    by_section = {
        "study": Head,
        "tables": Table,
        "simulate": Simulated,
        "bands": Band,
        "model": Model,
        "discount": Discount,
        "premium": Premium,
        "programme_effect": Effect,
        "validation": Validation,
        "losses": Losses,
        "loss_ratio": RateReview,
        "regulation": Regulated,
        "persistency": Retention,
        "causal": Causal,
        "projection": Outlooks,
        "renewal": Renewed,
    }
    nested = {"expenses": Expenses, "complement": Elsewhere, "rate_changes": RateChange}
    if len(place) > 1:
        model = by_section.get(str(place[0]), Settings)
    if place[0] == "loss_ratio" and len(place) > 2:
        model = nested.get(str(place[1]), RateReview)
    if place[0] == "persistency" and len(place) > 2:
        model = CutOff
    if place[0] == "discount" and len(place) > 2:
        model = Limits
    if place[0] == "study" and len(place) > 2:
        model = Bilingual
    return list(model.model_fields)
