"""A tariff as one JSON file that a person can read, change and read back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from pricing.errors import InputError, nearest
from pricing.files import replacing
from pricing.inputs import json_tree
from pricing.tariff.factor import Factor
from pricing.tariff.rates import Tariff, tariff_from
from pricing.tariff.terms import Loading, Terms

__all__ = ["read_json", "read_tariff", "write_tariff"]

FORMAT = "pricing tariff"
VERSION = 1
LARGEST = 200_000_000


def write_tariff(tariff: Tariff, path: str | Path) -> None:
    """Write a tariff as JSON: terms first, then each factor with a line per level.

    Parameters
    ----------
    tariff : Tariff
        What is charged.
    path : path
        A ``.json`` file; written beside and renamed.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "rates.json"
    >>> write_tariff(tariff_from(500.0, {"sex": {"f": 1.0, "m": 1.1}}), path)
    >>> read_tariff(path).table["relativity"].to_list()
    [1.0, 1.1]
    """
    terms = dict(tariff.details["terms"])
    said = {
        "format": FORMAT,
        "version": VERSION,
        "source": tariff.basis.source,
        "base_premium": tariff.base_premium,
        **terms,
        "factors": [_said(f) for f in tariff.factors],
    }
    with replacing(path) as beside:
        text = json.dumps(said, ensure_ascii=False, indent=1, allow_nan=False)
        beside.write_text(text + "\n", encoding="utf-8")


def read_tariff(path: str | Path) -> Tariff:
    """Read what :func:`write_tariff` wrote, perhaps changed by hand; every fault is said at once.

    Raises
    ------
    InputError
        For a file that cannot be read, is no tariff or is of a newer version, and for every key
        that is unknown or missing, level that stands twice, relativity that is no number above
        zero.

    Examples
    --------
    >>> read_tariff("no/such.json")
    Traceback (most recent call last):
        ...
    pricing.errors.InputError: no/such.json: cannot be read: No such file or directory
      do: check its path
    """
    said = read_json(path)
    where = str(path)
    if not isinstance(said, dict) or said.get("format") != FORMAT:
        raise InputError(f'is no tariff: "format" is not "{FORMAT}"', where=where)
    version = said.get("version")
    if version != VERSION:
        raise InputError(f"is a tariff of format {version!r}, this reads {VERSION}", where=where)
    own = {"format", "version", "source", "base_premium", "factors"}
    known = own | set(Terms.__dataclass_fields__)
    faults = [f"unknown key {k!r}{nearest(k, known)}" for k in said if k not in known]
    faults += [f"{k!r} is missing" for k in ("base_premium", "factors") if k not in said]
    terms = {k: v for k, v in said.items() if k in Terms.__dataclass_fields__}
    terms |= {
        k: tuple(terms[k])
        for k in ("relativity_limits", "premium_limits")
        if isinstance(terms.get(k), list)
    }
    try:
        terms["loadings"] = tuple(Loading(**one) for one in said.get("loadings", []))
    except TypeError:
        faults.append("a loading is not {name, kind, value}")
        terms.pop("loadings", None)
    factors, bases, groups = {}, {}, {}
    listed = said.get("factors", [])
    for place, one in enumerate(listed if isinstance(listed, list) else [], start=1):
        problem = _faults_of_factor(one)
        if not problem and one["factor"] in factors:
            problem = ["stands twice"]
        if problem:
            faults += [f"factor {place}: {p}" for p in problem]
            continue
        pairs = one["relativities"]
        factors[one["factor"]] = pairs
        bases[one["factor"]] = one.get("base")
        groups[one["factor"]] = one.get("groups", {})
    if not isinstance(listed, list):
        faults.append("factors is not a list")
    made: Tariff | None = None
    try:
        given = {k: v for k, v in bases.items() if v is not None}
        base_premium = said.get("base_premium", 1.0)
        made = tariff_from(base_premium, factors, base=given, **terms)
    except InputError as error:
        faults += error.faults or [error.problem]
    if faults or made is None:
        raise InputError("a tariff that cannot be used", where=where, faults=faults)
    try:
        made = made.grouped(groups)
    except InputError as error:
        raise InputError(error.problem, where=where, faults=error.faults) from error
    return replace(made, basis=replace(made.basis, source=str(said.get("source", ""))))


def read_json(path: str | Path) -> Any:
    """Read a JSON file, refusing a key that stands twice.

    Raises
    ------
    InputError
        For a file that cannot be read, is not JSON, is larger than 200 MB, holds a key twice or
        NaN.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.json"
    >>> _ = path.write_text('{"a": 1, "a": 2}', encoding="utf-8")
    >>> read_json(path)["a"]
    Traceback (most recent call last):
        ...
    pricing.errors.InputError: ...: cannot be used: 'a' stands twice
    """
    return json_tree(path, most=LARGEST)


def _said(factor: Factor) -> dict[str, Any]:
    said: dict[str, Any] = {"factor": factor.term, "base": factor.at_base}
    said["relativities"] = dict(zip(factor.names, factor.relativities, strict=True))
    if factor.groups and list(factor.groups) != factor.names:
        said["groups"] = {n: g for n, g in zip(factor.names, factor.groups, strict=True) if n != g}
    return said


def _faults_of_factor(one: Any) -> list[str]:
    if not isinstance(one, dict):
        return ["is not a table"]
    said = [
        f"unknown key {k!r}" for k in one if k not in ("factor", "base", "relativities", "groups")
    ]
    if not isinstance(one.get("factor"), str):
        said.append("has no name under 'factor'")
    if not isinstance(one.get("relativities"), dict):
        said.append("has no levels under 'relativities'")
    if not isinstance(one.get("groups", {}), dict):
        said.append("groups is not a table")
    return said
