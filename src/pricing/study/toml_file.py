"""Reading a TOML file into settings: what cannot be read and what must not stand there, said."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from pricing.errors import InputError, nearest
from pricing.inputs import toml_tree

__all__ = ["faults_said", "read_toml"]


def read_toml(path: Path) -> dict[str, Any]:
    """Read a study file as it stands.

    Raises
    ------
    InputError
        For a missing file (with the nearest name), and for broken TOML with its line.

    Examples
    --------
    >>> from pricing.data.tables import bundled
    >>> sorted(read_toml(bundled("studies/randhie.toml")))[:2]
    ['bands', 'discount']
    """
    try:
        return toml_tree(path)
    except InputError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise
    there = [str(f) for f in path.parent.glob("*.toml")] if path.parent.is_dir() else []
    raise InputError(f"no such study file{nearest(str(path), there)}", where=str(path))


def faults_said(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Say every fault of a file in one line: place, what is wrong, what was given.

    Examples
    --------
    >>> from pricing.study.sections import Discount
    >>> try:
    ...     Discount.model_validate({"order": ["a", "b"], "cup": 0.2})
    ... except ValidationError as error:
    ...     faults_said(error, Discount)
    ["cup: unknown key; did you mean 'cap'?"]
    """
    return [_said(fault, model) for fault in error.errors(include_url=False)]


def _said(fault: Mapping[str, Any], model: type[BaseModel]) -> str:
    place = ".".join(str(part) for part in fault["loc"] if part != "[key]")
    if fault["type"] == "extra_forbidden":
        there = _siblings(fault["loc"], model)
        return f"{place}: unknown key{nearest(str(fault['loc'][-1]), there)}"
    message = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "model_type" and fault.get("ctx", {}).get("class_name") == "Bilingual":
        message = 'give both languages, { en = "…", zh = "…" }'
    given = "" if fault["type"] == "missing" else f", got {fault['input']!r}"
    given = "" if "://" in given else given  # an address, which may hold a password
    return f"{place or 'file'}: {message}{given if len(given) < 80 else ''}"


def _siblings(place: tuple[str | int, ...], model: type[BaseModel]) -> list[str]:
    """The keys that may stand where an unknown one stands: walked down from the whole file."""
    found = model
    for part in place[:-1]:
        field = found.model_fields.get(str(part))
        below = None if field is None else _model_in(field.annotation)
        found = below or found  # a name or number inside a dict or list leads no further down
    return list(found.model_fields)


def _model_in(kind: Any) -> type[BaseModel] | None:
    """The model inside a type: optional, a list of them, a mapping to them."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind
    if get_origin(kind) in (Union, UnionType, list, tuple, dict):
        models = (_model_in(part) for part in get_args(kind))
        return next((found for found in models if found is not None), None)
    return None
