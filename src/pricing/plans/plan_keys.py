"""The page of every key a plan file may have, written from the models that read it."""

from __future__ import annotations

import inspect
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pricing.plans.plan_file import PLANS, PlanSettings, plan_of
from pricing.study.sections import Bilingual, Table

__all__ = ["plan_files_markdown"]

_HEAD = """# Plan files

Generated from the models that read them. A plan study is one TOML file: `[study]`, the plan's own
section, its data, its scenarios. Every fault of a file is reported at once, those of its scenarios once
the rest is sound. The bundled examples lie in `data/studies/`. `[study]`, `[tables.NAME]` and their keys are those of [study_file.md](study_file.md);
what the tables hold stands in [data_dictionary.md](data_dictionary.md).

A scenario's `change` names keys of the plan's sections, such as `"care.benefit.monthly"`; an entry of
a list is meant by its name or number. Its figures stand beside those of the file as it is, and the
difference is explained key by key: the parts are Shapley values and add up.
"""
_NAMES = {str: "text", int: "whole number", float: "number", bool: "true or false"}
_BOUNDS = {"ge": "≥ ", "gt": "> ", "le": "≤ ", "lt": "< ", "min_length": "at least ", "max_length": "at most "}  # fmt: skip


def plan_files_markdown() -> str:
    """Write the keys of every plan's section as a page of Markdown.

    Examples
    --------
    >>> plan_files_markdown().splitlines()[0]
    '# Plan files'
    """
    lines = [_HEAD]
    for name, kind in (("simulate", PlanSettings), ("scenarios", PlanSettings)):
        model = _model_in(kind.model_fields[name].annotation)
        if model is not None:
            lines += _section(f"[{name}]" if name == "simulate" else f"[[{name}]]", model, [])
    for section, (_, attribute) in PLANS.items():
        module = plan_of(section)
        lines += [f"## `[{section}]`", ""]
        tables = [*module.TABLES, *getattr(module, "OPTIONAL", ())]
        lines += [f"Tables read: {', '.join(f'`{t}`' for t in tables) or 'none'}.", ""]
        lines += _section(f"[{section}]", getattr(module, attribute), [])
    return "\n".join(lines).rstrip() + "\n"


def _section(place: str, model: type[BaseModel], seen: list[type[BaseModel]]) -> list[str]:
    """One table of keys, and those of the models inside it, each once."""
    said = (inspect.getdoc(model) or "").partition("\n")[0]
    lines = [f"### {place}", "", said, "", "| key | what | kind | default |", "|---|---|---|---|"]
    inside = []
    for name, field in model.model_fields.items():
        lines.append(
            f"| `{name}` | {field.description or ''} | {_kind(field)} | {_default(field)} |"
        )
        below = _model_in(field.annotation)
        if below is not None and below not in (Bilingual, Table) and below not in seen:
            seen.append(below)
            inside.append((f"{place[:-1]}.{name}]", below))
    lines.append("")
    for inner, below in inside:
        lines += _section(inner, below, seen)
    return lines


def _kind(field: FieldInfo) -> str:
    bounds = [
        f"{sign}{value}"
        for rule in field.metadata
        for key, sign in _BOUNDS.items()
        if (value := getattr(rule, key, None)) is not None
    ]
    return ", ".join([_type(field.annotation), *bounds])


def _type(kind: Any) -> str:
    origin, inside = get_origin(kind), get_args(kind)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in inside)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_type(part) for part in inside if part is not NoneType))
    if origin in (list, tuple, set, frozenset):
        parts = [_type(part) for part in inside if part is not Ellipsis]
        return f"list of {' and '.join(dict.fromkeys(parts))}" if parts else "list"
    if origin is dict:
        return f"table of {_type(inside[1])} by name"
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return "text in `en` and `zh`" if kind is Bilingual else "table"
    return _NAMES.get(kind, getattr(kind, "__name__", "any"))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "its own defaults"
    return "none" if value is None or value in ([], {}, ()) else f"{value}".replace("|", "/")


def _model_in(kind: Any) -> type[BaseModel] | None:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind
    found = (_model_in(part) for part in get_args(kind))
    return next((model for model in found if model is not None), None)
