"""The programme file: one TOML file per programme or version, every fault in it said at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pricing.data.tables import bundled
from pricing.errors import InputError, nearest
from pricing.inputs import toml_tree
from pricing.programme.programme import Programme

__all__ = ["in_force", "programme_of", "read_programme", "read_versions"]

# A value made of claims would price the sick for being sick: no measure of these names.
_CLAIMS = ("claim", "admission", "loss_ratio", "diagnos", "paid")


def read_versions(source: str | Path) -> tuple[Programme, ...]:
    """Read every version of a programme, the oldest first.

    Parameters
    ----------
    source : str or Path
        Name of a bundled programme (huoli, aia_hong_kong, aia_new_zealand, aia_thailand,
        manulife_move), a TOML file of one version or of several ``[[version]]``, or a folder of
        such files.

    Raises
    ------
    InputError
        With every fault of every file: its place, what is wrong and what to do; also where two
        versions begin on one day, or the versions are of several programmes.

    Examples
    --------
    >>> [str(version.effective) for version in read_versions("huoli")]
    ['2021-01-01']
    """
    files = _files(source)
    found: list[Programme] = []
    faults: list[str] = []
    for file in files:
        for place, raw in _raw(file):
            version, wrong = _held(raw)
            found += [] if version is None else [version]
            faults += [f"{place}{fault}" for fault in wrong]
    found.sort(key=lambda version: version.effective)
    names = sorted({version.name for version in found})
    if len(names) > 1:
        faults.append(f"name: versions of several programmes, {', '.join(names)}; keep them apart")
    faults += [
        f"effective: two versions begin on {b.effective}; give each a day of its own"
        for a, b in pairwise(found)
        if a.effective == b.effective and a.name == b.name
    ]
    if faults:
        raise InputError(
            f"{len(faults)} fault{'s' * (len(faults) > 1)} in the programme",
            where=str(source),
            faults=faults,
            do="correct them; the bundled data/programmes/huoli.toml shows every table",
        )
    return tuple(found)


def read_programme(source: str | Path, on: date | None = None) -> Programme:
    """Read the version of a programme in force on a renewal date; the latest without one.

    Parameters
    ----------
    source : str or Path
        As :func:`read_versions` takes it.
    on : date, optional
        The renewal date.

    Raises
    ------
    InputError
        For a faulty file, with all its faults; where no version is in force yet.

    Examples
    --------
    >>> read_programme("aia_new_zealand").movement.deltas
    (-0.02, -0.01, 0.0, 0.02)
    """
    versions = read_versions(source)
    return versions[-1] if on is None else in_force(versions, on)


def programme_of(raw: Mapping[str, Any]) -> Programme:
    """Make a programme of what a file would say, held against the same rules.

    Parameters
    ----------
    raw : mapping
        The tables of one version, such as a programme's ``model_dump(mode="json")`` with a cut-off
        changed.

    Raises
    ------
    InputError
        With every fault.

    Examples
    --------
    >>> raw = read_programme("huoli").model_dump(mode="json", exclude_unset=True)
    >>> programme_of(raw | {"value": raw["value"] | {"kappa": 30.0}}).value.kappa
    30.0
    """
    version, faults = _held(raw)
    if faults or version is None:
        raise InputError("a programme that cannot be", faults=faults, do="correct them all")
    return version


def in_force(versions: Sequence[Programme], on: date) -> Programme:
    """Give the version in force on a day: the last one that took effect.

    Raises
    ------
    InputError
        Where ``on`` is no date or lies before the first version.

    Examples
    --------
    >>> in_force(read_versions("huoli"), date(2024, 7, 1)).name
    'huoli'
    """
    if not isinstance(on, date) or isinstance(on, datetime):
        raise InputError(f"on is no date: {on!r}", do="give datetime.date(y, m, d)")
    begun = [version for version in versions if version.effective <= on]
    if not begun:
        first = min(version.effective for version in versions)
        raise InputError(
            f"no version is in force on {on}: the first takes effect on {first}",
            where=versions[0].name,
            do="add the version of that time, or correct its effective date",
        )
    return max(begun, key=lambda version: version.effective)


def _files(source: str | Path) -> list[Path]:
    if not isinstance(source, str | Path):
        raise InputError(f"is no programme: {source!r}", do="give a name, a file or a folder")
    path = Path(source)
    if isinstance(source, str) and re.fullmatch(r"[A-Za-z0-9_-]+", source):
        return [bundled(f"programmes/{source}.toml")]  # whatever lies in the folder one stands in
    if path.is_dir():
        if not (files := sorted(path.glob("*.toml"))):
            raise InputError("holds no .toml file", where=str(path), do="give a programme file")
        return files
    if isinstance(source, str) and path.suffix != ".toml":
        return [bundled(f"programmes/{source}.toml")]
    return [path]


def _raw(file: Path) -> list[tuple[str, dict[str, Any]]]:
    raw = toml_tree(file, said="cannot be read")
    versions = raw.get("version")
    if isinstance(versions, list) and len(raw) == 1 and all(isinstance(v, dict) for v in versions):
        return [(f"{file.name}, version {i + 1}: ", v) for i, v in enumerate(versions)]
    return [(f"{file.name}: ", raw)]


def _held(raw: Mapping[str, Any]) -> tuple[Programme | None, list[str]]:
    """A version, and every fault of it said once."""
    wrong = [*_cross_faults(dict(raw))]
    try:
        return Programme.model_validate(raw), [*dict.fromkeys(wrong)]
    except ValidationError as error:
        return None, [*dict.fromkeys([*_model_faults(error), *wrong])]


def _model_faults(error: ValidationError) -> Iterable[str]:
    for fault in error.errors():
        if fault["type"] == "too_short" and fault["input"]:
            continue  # pydantic counts only the entries without a fault of their own
        where = ".".join(str(part + 1) if isinstance(part, int) else part for part in fault["loc"])
        given = "" if fault["type"] == "missing" else f", got {fault['input']!r:.60}"
        do = "remove or rename it" if fault["type"] == "extra_forbidden" else "correct it"
        do = "add it" if fault["type"] == "missing" else do
        yield f"{where}: {fault['msg'].lower()}{given}; {do}"


def _cross_faults(raw: dict[str, Any]) -> Iterable[str]:
    groups, categories, tasks = (_tables(raw, name) for name in ("group", "category", "task"))
    for name, tables in (("group", groups), ("category", categories), ("task", tasks)):
        names = [t.get("name") for t in tables]
        twice = sorted({str(n) for n in names if n is not None and names.count(n) > 1})
        yield from (f"{name}: {n!r} stands twice; give each its own name" for n in twice)
    yield from _group_faults(_table(raw, "movement"), groups, str(raw.get("benefit", "discount")))
    yield from _scale_faults(raw, groups)
    weights = [_number(c.get("weight")) for c in categories]
    if weights and abs(sum(weights) - 1) > 1e-9:
        yield f"category: the weights sum to {sum(weights):g}, not 1; correct them"
    evidence = _table(raw, "evidence")
    for kind, weight in evidence.items():
        if isinstance(weight, int | float) and not 0 <= weight <= 1:
            yield f"evidence.{kind}: {weight:g} is no weight; give 0 to 1"
    held = [str(c.get("name")) for c in categories]
    for name in held:
        if not any(t.get("category") == name for t in tasks):
            yield f"category.{name}: no task counts to it; add one or remove the category"
    own = {str(t.get("name")): t for t in tasks if "replaces" not in t}
    for task in tasks:
        place = f"task.{task.get('name')}"
        if isinstance(said := task.get("category"), str) and said not in held:
            yield f"{place}.category: there is no {said!r}{nearest(said, held)}"
        yield from (
            f"{place}.evidence: {kind!r} has no weight{nearest(str(kind), evidence)}"
            for kind in _list(task.get("evidence"))
            if kind not in evidence
        )
        if "replaces" in task:
            other = own.get(str(task["replaces"]))
            if other is None:
                yield f"{place}.replaces: there is no task {task['replaces']!r}{nearest(str(task['replaces']), own)}"
            elif other.get("category") != task.get("category"):
                yield f"{place}.replaces: {task['replaces']!r} is of another category; use the same"
        yield from _task_faults(place, task)


def _task_faults(place: str, task: dict[str, Any]) -> Iterable[str]:
    source, cycle = task.get("source", "activity"), task.get("cycle")
    if "cap_week" in task and (source, cycle) != ("activity", "day"):
        yield f"{place}.cap_week: only a daily task of the activity has one; remove it"
    if "within_days" in task and source != "events":
        yield f"{place}.within_days: only events have a last day to count; remove it"
    if task.get("targets") and source == "events":
        yield f"{place}.targets: only measured activity has thresholds of age; remove them"
    if task.get("combine") == "all" and len(_list(task.get("ways"))) == 1:
        yield f"{place}.combine: there is one way only; remove it"
    ages = [_number(t.get("from_age")) for t in _tables(task, "targets")]
    if any(b <= a for a, b in pairwise(ages)):
        yield f"{place}.targets: the ages do not rise; order them"
    for number, way in enumerate(_tables(task, "ways"), 1):
        here = f"{place}.ways.{number}"
        of = way.get("of", "sum")
        measure = str(way.get("measure", ""))
        if any(word in measure.lower() for word in _CLAIMS):
            yield f"{here}.measure: {measure!r} looks like claims, which are no input of a health value; remove it"
        known = ("sum", "mean", "days") if source == "activity" else ("count", "sum", "latest")
        if of not in known:
            yield f"{here}.of: {of!r} is not taken of {source}; use {', '.join(known)}"
        elif cycle == "day" and source == "activity" and of != "sum":
            yield f"{here}.of: a day has no {of}; leave it out"
        yield from _range_faults(here, way, str(of))
        given = [name for name in ("line", "steps", "bands") if name in way]
        if len(given) != 1:
            yield f"{here}: give exactly one of line, steps or bands, got {given or 'none'}"
        if task.get("targets") and "bands" in way:
            yield f"{here}.bands: thresholds of age need a line or steps; rewrite it"
        for name in ("line", "steps"):
            knots = [[_number(v) for v in _list(k)] for k in _list(way.get(name))]
            if any(len(k) != 2 for k in knots) or (name in way and not knots):
                yield f"{here}.{name}: give pairs of [measured, points]"
            elif any(b[0] <= a[0] for a, b in pairwise(knots)):
                yield f"{here}.{name}: what is measured does not rise from knot to knot; order it"
            elif any(b[1] < a[1] for a, b in pairwise(knots)) or any(k[1] < 0 for k in knots):
                yield f"{here}.{name}: points fall or are below 0; more must never earn less"
            elif name == "line" and len(knots) == 1:
                yield f"{here}.line: one knot is no line; give two or more"


def _range_faults(here: str, way: dict[str, Any], of: str) -> Iterable[str]:
    """Bounds that do nothing, and ranges in which nothing lies."""
    bounds = [name for name in ("at_least", "up_to") if way.get(name) is not None]
    if bounds and of != "days":
        yield f"{here}.{', '.join(bounds)}: only a number of days has them; write bands instead"
    elif len(bounds) == 2 and _number(way["at_least"]) > _number(way["up_to"]):
        yield f"{here}: at_least is above up_to, so no day counts; correct them"
    for number, band in enumerate(_tables(way, "bands"), 1):
        low = [_number(band[n]) for n in ("at_least", "above") if band.get(n) is not None]
        high = [_number(band[n]) for n in ("below", "up_to") if band.get(n) is not None]
        if len(low) == 2 or len(high) == 2:
            yield f"{here}.bands.{number}: one bound a side is enough; remove the other"
        shut = "at_least" in band and "up_to" in band
        if low and high and (min(high) < max(low) or (min(high) == max(low) and not shut)):
            yield f"{here}.bands.{number}: nothing lies in it; correct its bounds"


def _scale_faults(raw: dict[str, Any], groups: list[dict[str, Any]]) -> Iterable[str]:
    """A prior, cut-offs and days that no member can have or reach."""
    value, window, movement = (_table(raw, name) for name in ("value", "window", "movement"))
    scale = _number(value.get("scale", 1000.0))
    if _number(value.get("prior")) > scale > 0:
        yield f"value.prior: {value['prior']:g} is above the scale {scale:g}; lower it"
    days, least = window.get("days", 365), window.get("min_valid_days", 180)
    if _number(least) > _number(days) > 0:
        yield f"window.min_valid_days: {least} of {days} days can never be valid; lower it"
    weighted = value.get("kind", "weighted") == "weighted"
    walk = movement.get("kind", "level") == "walk"
    h = 0.0 if walk else _number(movement.get("hysteresis"))
    for number, group in enumerate(groups[1:], 2):
        cutoff = group.get("cutoff")
        if not isinstance(cutoff, int | float) or isinstance(cutoff, bool):
            continue
        if not cutoff > 0:
            yield f"group.{number}.cutoff: {cutoff:g} is no value above 0; nobody is below it"
        elif weighted and cutoff + h > scale > 0:
            yield f"group.{number}.cutoff: {cutoff + h:g} with its hysteresis is above the scale {scale:g}; nobody reaches it"
    if _number(movement.get("floor")) > _number(movement.get("cap")) > 0:
        yield "movement.floor: is above the cap; lower it"
    if "floor" in movement and not walk:
        yield "movement.floor: is of a walk; remove it or set kind to walk"


def _group_faults(
    movement: dict[str, Any], groups: list[dict[str, Any]], benefit: str
) -> Iterable[str]:
    cap, kind = movement.get("cap"), movement.get("kind", "level")
    cutoffs = [g.get("cutoff") for g in groups]
    if groups and cutoffs[0] is not None:
        yield "group.1.cutoff: the standard group begins at nothing; remove it"
    missing = [str(i) for i, c in enumerate(cutoffs[1:], 2) if c is None]
    if missing:
        yield f"group.{', '.join(missing)}: lacks its cutoff; add it"
    elif any(_number(b) <= _number(a) for a, b in pairwise(cutoffs[1:])):
        yield "group: the cut-offs do not rise from group to group; order them"
    entry = movement.get("entry")
    names = [str(g.get("name")) for g in groups]
    if entry is not None and entry not in names:
        yield f"movement.entry: there is no group {entry!r}{nearest(str(entry), names)}"
    if kind == "walk":
        deltas = _list(movement.get("deltas"))
        if len(deltas) != len(groups):
            yield f"movement.deltas: {len(deltas)} for {len(groups)} groups; give one each"
        if any(_number(b) < _number(a) for a, b in pairwise(deltas)):
            yield "movement.deltas: a healthier group moves less; order them"
        if movement.get("start") is None:
            yield "movement.start: a walk begins somewhere; add it"
        elif isinstance(cap, int | float) and not (
            _number(movement.get("floor")) <= _number(movement["start"]) <= cap
        ):
            yield "movement.start: lies outside floor and cap; correct it"
        if any("rate" in g for g in groups):
            yield "group: a walk's groups have deltas, no rate; remove the rates"
        return
    for name in ("deltas", "start"):
        if name in movement:
            yield f"movement.{name}: is of a walk; remove it or set kind to walk"
    rates = [g.get("rate") for g in groups]
    if any(rate is None for rate in rates):
        yield "group: every group needs its rate; add it"
    elif any(_number(b) < _number(a) for a, b in pairwise(rates)):
        yield "group: the rates fall from group to group; order them"
    elif rates and isinstance(cap, int | float) and _number(rates[-1]) > cap:
        yield f"group: the rate {rates[-1]} is above the cap {cap:g}; lower it"
    if rates and rates[0] and benefit == "discount":
        yield "group.1.rate: the standard group pays the standard premium; set 0"


def _table(raw: dict[str, Any], name: str) -> dict[str, Any]:
    found = raw.get(name)
    return found if isinstance(found, dict) else {}


def _tables(raw: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [t for t in _list(raw.get(name)) if isinstance(t, dict)]


def _list(found: Any) -> list[Any]:
    return found if isinstance(found, list) else []


def _number(value: Any) -> float:
    right = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if right else 0.0
