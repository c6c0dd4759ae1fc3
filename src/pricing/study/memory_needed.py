"""Whether a run fits into memory, said before it starts: rows, what they need, what there is."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pricing.data.sizes import Size, size_of
from pricing.errors import InputError
from pricing.study.sections import Table
from pricing.study.study_book import MANY, SAMPLE, is_large
from pricing.study.tables import files_in_parts

if TYPE_CHECKING:
    from pricing.study.study_book import StudyBook

__all__ = ["Available", "available", "memory_needed", "parsed", "require_memory"]

VARIABLE = "PRICING_MEMORY"
BASE = 400_000_000  # bytes of the program itself: libraries, page, figures
# Bytes of a value (a row's column) at the peak; measured, with a tenth on top: docs/robustness.md.
PER_VALUE: Mapping[str, int] = {"check": 38, "run": 100, "renew": 100}
PER_VALUE_KEPT = 1  # of a book read in parts: keys, claims and their movements
TEXTS = 2  # copies of long texts at the peak
SIMULATED_VALUES = 91  # values a simulated policy has in all tables that a study reads
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


@dataclass(frozen=True)
class Available:
    """Memory a run may take, in bytes, and who says so; None where nobody does."""

    size: int | None
    source: str


def available(limit: str | None = None) -> Available:
    """Find how much memory a run may take: the least that is said anywhere.

    Parameters
    ----------
    limit : str, optional
        Such as ``"4GB"``; ``PRICING_MEMORY`` of the environment where left out. Besides, what the
        system has free and what the container allows.

    Examples
    --------
    >>> available("1MB")
    Available(size=1000000, source='--memory')
    """
    said: list[tuple[int, str]] = []
    if limit is not None:
        said.append((parsed(limit, "--memory"), "--memory"))
    elif os.environ.get(VARIABLE):
        said.append((parsed(os.environ[VARIABLE], VARIABLE), VARIABLE))
    free = re.search(r"MemAvailable:\s+(\d+) kB", _text("/proc/meminfo"))
    if free:
        said.append((int(free[1]) * 1024, "free on this machine"))
    for most, used in _CGROUPS:
        top, now = _text(most).strip(), _text(used).strip()
        if top.isdigit() and now.isdigit() and int(top) < 1 << 60:
            said.append((max(0, int(top) - int(now)), "left in this container"))
    return Available(*min(said)) if said else Available(None, "")


def parsed(text: str, where: str) -> int:
    """Read a size of memory: 4GB, 500 MB, 2.5g.

    Examples
    --------
    >>> parsed("4GB", "--memory"), parsed("512MiB", "--memory")
    (4000000000, 536870912)
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", text.lower())
    if found is None or not float(found[1]):
        raise InputError(
            f"{text!r} is no size of memory", where=where, do="write a number and a unit, as 4GB"
        )
    unit = _UNITS[found[2]]
    if found[3]:
        unit = 1024 ** list(_UNITS).index(found[2])
    return int(float(found[1]) * unit)


def memory_needed(values: int, work: str) -> int:
    """Estimate the bytes a command needs at its peak, from the values (rows times columns) it reads.

    Parameters
    ----------
    values : int
        Of all tables together.
    work : str
        check, run or renew.

    Notes
    -----
    400 MB for the program and, for each value, 38 bytes of a check and 100 of a run: the peak
    measured on simulated books of 100,000 and 300,000 policies, with a tenth on top (2026).

    Examples
    --------
    >>> memory_needed(10_000_000, "check")
    780000000
    """
    return BASE + values * PER_VALUE[work]


def require_memory(study: StudyBook, work: str, *, limit: str | None = None) -> None:
    """Refuse a run that will not fit, before a row is read.

    Parameters
    ----------
    study : Study
        Its files are counted, not read.
    work : str
        check, run or renew.
    limit : str, optional
        As :func:`available` has it.

    Raises
    ------
    InputError
        With the rows, what they need, what there is and what to do.

    Examples
    --------
    >>> from pricing.data.tables import bundled
    >>> from pricing.study.chain import open_study
    >>> require_memory(open_study(bundled("studies/randhie.toml")), "run")
    >>> require_memory(open_study(bundled("studies/huoli.toml")), "run", limit="1GB")
    Traceback (most recent call last):
        ...
    pricing.errors.InputError: ...huoli.toml: the run needs some 1.3 GB ... there is 1.0 GB (--memory)...
    """
    there = available(limit)
    if there.size is None:
        return
    sizes = _sizes(study)
    values = sum(s.values for s in sizes.values())
    texts = TEXTS * sum(s.long_text for s in sizes.values())
    large = is_large(study.settings)
    need = _in_parts(study, values, work) if large else memory_needed(values, work) + texts
    if need <= there.size:
        return
    wanted = study.settings.simulate
    told = [
        f"{n}: {s.rows:,} rows × {s.columns} columns"
        + (f", {s.unpacked / 1e9:,.1f} GB unpacked" if s.long_text else "")
        for n, s in sizes.items()
        if s.rows
    ]
    raise InputError(
        f"the {work} needs some {need / 1e9:,.1f} GB of memory, and there is "
        f"{there.size / 1e9:,.1f} GB ({there.source})",
        where=str(study.path),
        faults=told if wanted is None else [f"{wanted.policies:,} simulated policies", *told[1:]],
        do="let files of one name hold whole policies and set parts = true (docs/robustness.md), or make the "
        "cells first where the rows lie, in DuckDB or on Spark (docs/engines.md), or map fewer columns, or "
        "take a larger machine; --memory sets another limit",
    )


def _in_parts(study: StudyBook, values: int, work: str) -> int:
    """Of a book read in parts: the largest part's check or the run of the sample, and what adds up."""
    s = study.settings
    if s.simulate is not None:
        largest, texts, share = SIMULATED_VALUES * MANY, 0, SAMPLE / s.simulate.policies
    else:
        folder = study.path.parent
        parts = [
            {name: _size(table, folder) for name, table in tables.items()}
            for tables in files_in_parts(s, study.path)
        ]
        largest = max(sum(size.values for size in part.values()) for part in parts)
        texts = max(sum(size.long_text for size in part.values()) for part in parts)
        share = SAMPLE / max(1, sum(part["policies"].rows for part in parts))
    need = memory_needed(min(largest, values), "check")
    if work != "check":
        need = max(need, memory_needed(round(min(share, 1.0) * values), work))
    return need + PER_VALUE_KEPT * values + TEXTS * texts


def _sizes(study: StudyBook) -> dict[str, Size]:
    wanted = study.settings.simulate
    if wanted is not None:
        return {"policies": Size(wanted.policies, SIMULATED_VALUES)}
    return {name: _size(table, study.path.parent) for name, table in study.settings.tables.items()}


def _size(table: Table, folder: Path) -> Size:
    if table.files is not None:
        return size_of(table.files, folder, separator=table.separator)
    return Size(0, 1)  # a bundled loader is small; a database is counted where it is read


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii")
    except (OSError, ValueError):
        return ""
