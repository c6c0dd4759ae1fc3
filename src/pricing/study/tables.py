"""The tables of a study: where they come from, and what the rows must hold to be modelled."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import polars as pl

from pricing.data.book import BookParameters, true_parameters
from pricing.data.check import Checked, check
from pricing.data.files import files_named
from pricing.data.sources import Source, read_table
from pricing.errors import InputError
from pricing.estimate.design import variables
from pricing.study.sections import Table
from pricing.study.settings import Settings

__all__ = ["checked_table", "files_in_parts", "money_columns", "require_banded", "same_book"]

SIMULATED = ("policies", "renewals", "offers", "claims", "payments", "truth")  # files of every part


def checked_table(name: str, table: Table, folder: Path, *, outside: bool = True) -> Checked:
    """Read a table as the study file says and hold it against its contract.

    Parameters
    ----------
    name : str
        Of the table.
    table : Table
        Its section of the study file.
    folder : path
        Where relative paths start: the study file's folder.
    outside : bool
        Whether a file may lie outside that folder, links followed; ``[study] outside`` says it.

    Raises
    ------
    InputError
        For a file outside, and as :func:`pricing.data.sources.read_table`.

    Examples
    --------
    >>> checked_table("person_years", Table(loader="randhie"), Path()).accepted.height
    20190
    """
    source = Source(
        files=table.files,
        duckdb=table.duckdb,
        database_env=table.database_env,
        table=table.table,
        query=table.query,
        loader=table.loader,
        encoding=table.encoding,
        separator=table.separator,
        columns=table.columns,
        levels=table.levels,
        folder=folder,
        inside=not outside,
    )
    factors = {factor: levels or None for factor, levels in table.factors.items()}
    return check(read_table(source), name, factors=factors, covariates=table.covariates)


def same_book(folder: Path, policies: int, seed: int) -> bool:
    """Tell whether a folder holds the simulated book that is wanted, whole and of the same parameters.

    Examples
    --------
    >>> same_book(Path("no such folder"), 10, 1)
    False
    """
    try:
        truth = true_parameters(folder)
    except (InputError, OSError, ValueError):
        return False
    made = (truth.get("policies"), truth.get("seed"))
    if made != (policies, seed) or truth.get("parameters") != _plain(BookParameters()):
        return False
    parts = -(-policies // truth.get("policies_per_part", policies))
    return all(len(list((folder / t).glob("part-*.parquet"))) == parts for t in SIMULATED)


def files_in_parts(settings: Settings, path: Path) -> list[dict[str, Table]]:
    """Give the tables of every part of ``[study] parts``: the files of one name, in the order of the names.

    Raises
    ------
    InputError
        For a book without policies, renewals and claims, tables that are no files, a name that
        only some tables have, and one that two files of a table have.

    Examples
    --------
    >>> import tempfile
    >>> from pricing.data.tables import bundled
    >>> from pricing.study.settings import read_settings
    >>> settings = read_settings(bundled("studies/huoli.toml"))
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("policies", "renewals", "claims"):
    ...     (folder / name).mkdir()
    ...     (folder / name / "north.csv").touch()
    >>> tables = {n: Table(files=f"{n}/*.csv") for n in ("policies", "renewals", "claims")}
    >>> own = settings.model_copy(update={"tables": tables})
    >>> [Path(part["claims"].files).name for part in files_in_parts(own, folder / "study.toml")]
    ['north.csv']
    """
    tables = {str(name): table for name, table in settings.tables.items()}
    faults = [
        f"[tables.{n}] is missing" for n in ("policies", "renewals", "claims") if n not in tables
    ]
    faults += [f"[tables.{n}] names no files" for n, t in tables.items() if t.files is None]
    there = {
        name: files_named(table.files, path.parent)
        for name, table in tables.items()
        if table.files is not None
    }
    found = {name: {file.stem: file for file in files} for name, files in there.items()}
    twice = {
        name: sorted(stem for stem, n in Counter(f.stem for f in files).items() if n > 1)
        for name, files in there.items()
    }
    faults += [f"{n}: more than one file named {s!r}" for n, stems in twice.items() for s in stems]
    names = sorted({stem for files in found.values() for stem in files})
    faults += [
        f"{name}: no file named {stem!r}"
        for name, files in found.items()
        for stem in names
        if stem not in files
    ]
    if faults:
        raise InputError(
            "a book that is not in parts",
            where=f"{path}, study.parts",
            faults=faults,
            do="give every table a file of the same name for each part, with all rows of its policies",
        )
    return [
        {
            n: t.model_copy(update={"files": str(found[n][stem].absolute())})
            for n, t in tables.items()
        }
        for stem in names
    ]


def require_banded(rows: pl.DataFrame, settings: Settings) -> None:
    """Refuse values that no band of the study holds, with the values themselves.

    Examples
    --------
    >>> from pricing.data.tables import bundled
    >>> from pricing.study.settings import read_settings
    >>> settings = read_settings(bundled("studies/randhie.toml"))
    >>> require_banded(pl.DataFrame({"chronic_diseases": [0.0], "lpi": [0.0]}), settings)
    """
    faults = []
    for name, cut in settings.bands.items():
        value = pl.col(cut.column)
        below = rows.filter(value.is_null() | (value < cut.edges[0]))
        if not below.is_empty():
            seen = below[cut.column].unique().sort(nulls_last=True).head(3).to_list()
            few = ", ".join("empty" if v is None else f"{v:g}" for v in seen)
            faults.append(
                f"{name}: {below.height:,} of {rows.height:,} rows have {cut.column} below the first "
                f"edge {cut.edges[0]:g}: {few}"
            )
    used = {*variables(settings.model.frequency), *variables(settings.model.severity or "")}
    used |= {*settings.model.one_way}
    used |= {*settings.model.actual_to_expected, settings.discount.group}
    faults = [fault for fault in faults if fault.partition(":")[0] in used]
    if faults:
        raise InputError(
            "values that no band holds", faults=faults, do="lower the first edge, or mend the rows"
        )


def money_columns(rows: pl.DataFrame) -> list[str]:
    """List the money that every row has; a column that only some rows have cannot be summed.

    Examples
    --------
    >>> money_columns(pl.DataFrame({"amount": [1.0, 2.0], "premium": [None, None]}))
    ['amount']
    """
    given = [n for n in ("amount", "standard_premium", "premium") if n in rows.columns]
    empty = {name: rows[name].null_count() for name in given}
    faults = [
        f"{n}: empty in {k:,} of {rows.height:,} rows"
        for n, k in empty.items()
        if 0 < k < rows.height
    ]
    if faults:
        raise InputError(
            "money that only some person-years have",
            faults=faults,
            do="fill the empty ones, or leave the column out of the mapping",
        )
    return [name for name in given if not empty[name]]


def _plain(parameters: BookParameters) -> Mapping[str, object]:
    read: Mapping[str, object] = json.loads(json.dumps(asdict(parameters)))
    return read
