"""The page of every public name, written from the docstrings: name, signature, what it says first."""

from __future__ import annotations

import inspect
import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

import dataframely as dy

from pricing.result.shape import Result

__all__ = ["public_names", "reference_markdown"]

_HEAD = """# Reference

Generated from the docstrings. One table per file, rooms from the ground floor up; import a name from
its file: `from pricing.experience.cells import Experience`. `help(name)` shows parameters with their
units, the formula, its source and an example that the tests run. What a file is for:
[ARCHITECTURE.md](../ARCHITECTURE.md); columns of tables: [data_dictionary.md](data_dictionary.md).
"""
_FIRST = ("errors", "files")  # files that are rooms of their own
_LAST = ("cli",)
_LONG = 120  # characters of parameters


def reference_markdown() -> str:
    """Write every public name of the package as a page of Markdown.

    Examples
    --------
    >>> reference_markdown().splitlines()[0]
    '# Reference'
    """
    lines = [_HEAD]
    room = ""
    for name, module in _modules():
        names = public_names(module)
        if not names:
            continue
        own = name.split(".")[1]
        if own != room:
            room = own
            said = _first_line(import_module(f"pricing.{room}"))
            lines += [f"## {room}", "", said, ""]
        lines += [f"### `{name}`", ""]
        if name != f"pricing.{room}":
            lines += [_first_line(module), ""]
        lines += ["| name | what |", "|---|---|"]
        lines += [f"| {_signed(n, v)} | {_cell(_first_line(v))} |" for n, v in names.items()]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def public_names(module: ModuleType) -> dict[str, Any]:
    """Give what a file offers: the classes and functions of its ``__all__`` that it defines itself.

    Examples
    --------
    >>> from pricing import files
    >>> [name for name in public_names(files) if name.startswith("fingerprint")]
    ['fingerprint']
    """
    offered = {name: getattr(module, name) for name in getattr(module, "__all__", ())}
    return {
        name: value
        for name, value in sorted(offered.items())
        if (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == module.__name__
    }


def _modules() -> Iterator[tuple[str, ModuleType]]:
    """Files of the package, rooms in the order of the floors, files of a room by name."""
    for room in (*_FIRST, *import_module("pricing")._ROOMS, *_LAST):
        top = import_module(f"pricing.{room}")
        yield top.__name__, top
        inside = pkgutil.iter_modules(getattr(top, "__path__", ()), f"{top.__name__}.")
        for found in sorted(found.name for found in inside):
            yield found, import_module(found)


def _signed(name: str, value: Any) -> str:
    """Name and parameters as they are called, short defaults among them, cut where they are many."""
    parts: list[str] = []
    starred = False
    if inspect.isclass(value) and issubclass(value, (Result, dy.Schema)):
        return f"`{name}`, a {'result' if issubclass(value, Result) else 'contract'}"
    for p in inspect.signature(value).parameters.values():
        if len(", ".join(parts)) > _LONG:
            parts.append("…")
            break
        if p.kind is p.KEYWORD_ONLY and not starred:
            parts, starred = [*parts, "*"], True
        mark = "*" if p.kind is p.VAR_POSITIONAL else "**" if p.kind is p.VAR_KEYWORD else ""
        starred = starred or p.kind is p.VAR_POSITIONAL
        parts.append(f"{mark}{p.name}{_default(p)}")
    return f"`{name}({', '.join(parts)})`"


def _default(parameter: inspect.Parameter) -> str:
    """A short default as it is written, a long one as an ellipsis."""
    if parameter.default is parameter.empty:
        return ""
    text = repr(parameter.default)
    plain = isinstance(parameter.default, (bool, int, float, str, tuple, type(None)))
    return f"={text}" if plain and len(text) <= 24 else "=…"


def _first_line(value: Any) -> str:
    text = (vars(value).get("__doc__") if inspect.isclass(value) else value.__doc__) or ""
    return inspect.cleandoc(text).partition("\n\n")[0].replace("\n", " ").strip()


def _cell(text: str) -> str:
    return re.sub(r"``([^`]*)``", r"`\1`", text).replace("|", r"\|")
