"""Reference tables and study files that ship with the package, each with its source."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from pricing.errors import InputError, nearest

__all__ = ["bundled", "provenance", "reference_table", "reference_tables_markdown", "source_of"]

_PLACES = (
    Path(__file__).parents[1] / "_data",  # in the wheel
    Path(__file__).parents[3] / "data",  # in a checkout
)


def bundled(name: str) -> Path:
    """Find a file that ships with the package, wherever it was installed.

    Parameters
    ----------
    name : str
        Path below the data folder, such as ``"studies/huoli.toml"``.

    Raises
    ------
    InputError
        Where no such file ships, with the nearest name.

    Examples
    --------
    >>> bundled("studies/randhie.toml").name
    'randhie.toml'
    """
    for place in _PLACES:
        if (place / name).is_file():
            return place / name
    folder = Path(name).parent
    names = [
        str(folder / f.name)
        for p in _PLACES
        if (p / folder).is_dir()
        for f in (p / folder).iterdir()
    ]
    raise InputError(f"no file {name!r} ships with the package{nearest(name, names)}")


def reference_table(name: str) -> pl.DataFrame:
    """Read a reference table as it is printed; columns, units and source: :func:`provenance`.

    Rates by age and sex are better read by :func:`pricing.data.rates.rate_table`, which checks
    them and gives fractions.

    Raises
    ------
    InputError
        Where no such table ships, with the nearest name.

    Examples
    --------
    >>> reference_table("hachemeister").columns
    ['state', 'quarter', 'ratio', 'weight']
    """
    provenance(name)
    return pl.read_csv(bundled(f"tables/{name}.csv"), encoding="utf8", infer_schema_length=None)


def provenance(name: str | None = None) -> Mapping[str, Any]:
    """Give what is known of a reference table, or of all of them by name.

    Returns
    -------
    mapping
        ``source``, ``columns`` (meaning and unit of each), ``unit``, ``measure`` (rate tables
        only), ``warning`` (what to do before production use) and ``checks`` (those made).

    Raises
    ------
    InputError
        Where no such table ships, with the nearest name.

    Examples
    --------
    >>> provenance("cn_life_2025")["unit"]
    'per mille'
    """
    with bundled("tables/SOURCES.toml").open("rb") as file:
        known = tomllib.load(file)
    if name is None:
        return known
    if name not in known:
        raise InputError(f"no reference table {name!r} ships{nearest(name, known)}")
    found: Mapping[str, Any] = known[name]
    return found


def source_of(name: str) -> str:
    """Give the source of a reference table, to be cited beside every figure made from it.

    Examples
    --------
    >>> source_of("hachemeister").startswith("Hachemeister")
    True
    """
    return str(provenance(name)["source"])


def reference_tables_markdown() -> str:
    """Write what is known of every reference table as a page of Markdown.

    Examples
    --------
    >>> reference_tables_markdown().splitlines()[0]
    '# Reference tables'
    """
    lines = ["# Reference tables", "", "Generated from `data/tables/SOURCES.toml`. The figures are"]
    lines += ["stored as printed; `pricing.data.rate_table` gives fractions."]
    for name, known in provenance().items():
        rows = reference_table(name).height
        lines += ["", f"## {name}", "", f"Source: {known['source']}.", "", f"{rows:,} rows."]
        if "unit" in known:
            lines[-1] += f" Unit: {known['unit']}."
        if "warning" in known:
            lines += ["", f"**Before production use:** {known['warning']}"]
        lines += ["", *(f"- {_column(text)}" for text in known["columns"].split("; "))]
        if "checks" in known:
            lines += ["", "Checks made:", "", *(f"- {text}" for text in known["checks"])]
    return "\n".join(lines) + "\n"


def _column(text: str) -> str:
    name, *meaning = text.split(" ", 1)
    said = f"`{name.rstrip(':')}`"
    return f"{said}: {meaning[0]}" if meaning else said
