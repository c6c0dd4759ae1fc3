"""The file of a refinement: its steps as TOML or JSON, every fault of it said at once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from datetime import date
from pathlib import Path
from typing import Any

from pricing.errors import InputError, nearest
from pricing.files import replacing
from pricing.inputs import toml_tree
from pricing.tariff.steps import STEPS, Step
from pricing.tariff.written import read_json

__all__ = ["read_steps", "steps_of", "write_steps"]


def write_steps(steps: Sequence[Step], path: str | Path) -> None:
    """Write the steps of a refinement, in order, to a ``.toml`` or ``.json`` file.

    Examples
    --------
    >>> import tempfile
    >>> from pricing.tariff.steps import SetLevel
    >>> step = SetLevel(who="Li", when="2026-05-01", why="filed", factor="sex", level="m", relativity=1.1)
    >>> path = Path(tempfile.mkdtemp()) / "steps.toml"
    >>> write_steps([step], path)
    >>> print(path.read_text(encoding="utf-8").strip())
    [[step]]
    step = "set_level"
    who = "Li"
    when = "2026-05-01"
    why = "filed"
    factor = "sex"
    level = "m"
    relativity = 1.1
    >>> read_steps(path) == [step]
    True
    """
    records = [step.record() for step in steps]
    kind = _kind(path)
    if kind == ".json":
        text = json.dumps({"step": records}, ensure_ascii=False, indent=1, allow_nan=False) + "\n"
    else:
        blocks = [
            "\n".join(["[[step]]", *(f"{_key(k)} = {_toml(v)}" for k, v in record.items())])
            for record in records
        ]
        text = "\n\n".join(blocks) + "\n"
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")


def read_steps(path: str | Path) -> list[Step]:
    r"""Read the steps of a refinement.

    Parameters
    ----------
    path : path
        TOML: a ``[[step]]`` table each; JSON: ``{"step": [...]}``. Keys: step (its kind), who,
        when, why, and those of the kind, as in :mod:`pricing.tariff.steps`.

    Raises
    ------
    InputError
        For a file that cannot be read; with every fault of every step.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "steps.toml"
    >>> _ = path.write_text('[[step]]\nstep = "set_levle"\n[[step]]\nstep = "refit"\nwho = "Li"')
    >>> read_steps(path)
    Traceback (most recent call last):
        ...
    pricing.errors.InputError: ...steps.toml: steps that cannot be read
      - step 1: no kind 'set_levle'; did you mean 'set_level'?
      - step 2 (refit): 'when' is missing
      - step 2 (refit): 'why' is missing
    """
    where = str(path)
    said = read_json(path) if _kind(path) == ".json" else toml_tree(path, said="cannot be used")
    listed = said.get("step") if isinstance(said, dict) else None
    if not isinstance(listed, list):
        raise InputError("has no list of steps", where=where, do="begin each with [[step]]")
    extra = [f"unknown key {name!r} beside the steps" for name in said if name != "step"]
    steps, faults = steps_of(listed)
    if extra or faults:
        raise InputError("steps that cannot be read", where=where, faults=[*extra, *faults])
    return steps


def steps_of(records: Sequence[Any]) -> tuple[list[Step], list[str]]:
    """Make steps of their records, and say every fault.

    Examples
    --------
    >>> steps_of([{"step": "refit", "who": "Li", "when": "2026-05-01", "why": "rates fixed"}])[0]
    [Refit(who='Li', when='2026-05-01', why='rates fixed')]
    """
    steps: list[Step] = []
    faults: list[str] = []
    for place, record in enumerate(records, start=1):
        if not isinstance(record, Mapping):
            faults.append(f"step {place}: is not a table")
            continue
        name = record.get("step")
        if not isinstance(name, str) or name not in STEPS:
            faults.append(f"step {place}: no kind {name!r}{nearest(str(name), STEPS)}")
            continue
        kind, at = STEPS[name], f"step {place} ({name})"
        own = {f.name: f for f in fields(kind)}
        given = {k: v for k, v in record.items() if k in own}
        problems = [
            f"unknown key {k!r}{nearest(k, own)}" for k in record if k not in own and k != "step"
        ]
        problems += [
            f"{n!r} is missing"
            for n, f in own.items()
            if n not in given and f.default is MISSING and f.default_factory is MISSING
        ]
        lacking = any("is missing" in p for p in problems)
        try:
            if not lacking:
                steps.append(kind(**_frozen(given)))
        except InputError as error:
            problems += error.faults
        faults += [f"{at}: {problem}" for problem in problems]
    return steps, faults


def _frozen(given: Mapping[str, Any]) -> dict[str, Any]:
    """Lists of levels become tuples and dates of TOML text, as the steps hold them."""
    own = dict(given)
    if type(own["when"]) is date:
        own["when"] = own["when"].isoformat()
    if isinstance(own.get("groups"), Mapping):
        listed = own["groups"].items()
        own["groups"] = {k: tuple(v) if isinstance(v, list) else v for k, v in listed}
    return own


def _kind(path: str | Path) -> str:
    suffix = Path(path).suffix.lower()
    if suffix not in (".toml", ".json"):
        raise InputError(f"{suffix or 'no ending'} is not .toml or .json", where=str(path))
    return suffix


def _key(name: str) -> str:
    plain = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return name if plain else _quoted(name)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_quoted(str(k))} = {_toml(v)}" for k, v in value.items())
        return f"{{ {inner} }}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return _quoted(value) if isinstance(value, str) else json.dumps(value)
