"""Reference tables and study files that ship with the package, each with its source."""

from __future__ import annotations

import tomllib
from pathlib import Path

import polars as pl

from pricing.errors import InputError, nearest

__all__ = ["bundled", "reference_table", "source_of"]

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
    """Read a reference table; its columns, units and source stand in ``data/tables/SOURCES.toml``.

    Examples
    --------
    >>> reference_table("hachemeister").columns
    ['state', 'quarter', 'ratio', 'weight']
    """
    return pl.read_csv(bundled(f"tables/{name}.csv"), encoding="utf8")


def source_of(name: str) -> str:
    """Give the source of a reference table, to be cited beside every figure made from it.

    Examples
    --------
    >>> source_of("hachemeister").startswith("Hachemeister")
    True
    """
    with bundled("tables/SOURCES.toml").open("rb") as file:
        return str(tomllib.load(file)[name]["source"])
