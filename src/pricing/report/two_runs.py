"""Two report folders, or their run.json, read and held against each other."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pricing.errors import InputError
from pricing.experience.cells import Experience
from pricing.files import fingerprint
from pricing.plans.plan_file import PLANS
from pricing.plans.plan_study import PlanStudy
from pricing.plans.run_difference import RunDifference, RunInputs, run_difference
from pricing.report.run_record import RECORD, read_record
from pricing.study.data_check import table_fingerprint
from pricing.study.kept import figures_of_cells, kept_keys
from pricing.study.settings import Settings

__all__ = ["compare_runs", "keep_cells", "tables_hash"]

KEPT = ".kept"  # beside the reports, for the house alone: cells are kept whole, small ones too
NEEDED = ("settings", "tables", "headline", "contents", "code", "packages", "files")


def compare_runs(
    before: str | Path,
    after: str | Path,
    *,
    data_before: str | Path | None = None,
    data_after: str | Path | None = None,
) -> RunDifference:
    """Say what differs between two runs of a study, and which input moved which figure by how much.

    Parameters
    ----------
    before, after : path
        Report folders, or their ``run.json``. A book's schedule is computed again from the cells that
        :func:`keep_cells` kept; a plan from its settings, its tables simulated anew.
    data_before, data_after : path, optional
        Folder that the tables' paths of a plan study are relative to, where they were delivered. The
        rows are held against the fingerprint of the run.

    Returns
    -------
    RunDifference

    Raises
    ------
    InputError
        For what is no record of a run, or one of an older version; for runs that share no figure.

    Examples
    --------
    >>> from pricing.data.tables import bundled
    >>> from pricing.report.page import write
    >>> from pricing.study.chain import open_study
    >>> folder, study = Path(tempfile.mkdtemp()), open_study(bundled("studies/randhie.toml"))
    >>> for name, cap in (("one", 0.2), ("two", 0.1)):
    ...     run = study.but({"discount.cap": cap})
    ...     _ = write(run, run.run(), folder / name)
    >>> found = compare_runs(folder / "one", folder / "two")
    >>> found.facts["inputs"], found.table["undivided"].sum()
    (['rule'], 0.0)
    """
    runs = _run(before, data_before), _run(after, data_after)
    plan = any(set(run.settings) & set(PLANS) for run in runs)
    return run_difference(*runs, _plan_again if plan else _book_again)


def keep_cells(report: str | Path, cells: Experience) -> str:
    """Keep the cells that a book's schedule can be computed from again, beside its report.

    They stay in the house: a report folder may be given away, its neighbour ``kept`` may not.

    Parameters
    ----------
    report : path
        The report folder.
    cells : Experience
        With the keys of :func:`pricing.study.kept.kept_keys`.

    Returns
    -------
    str
        Name of the file, by its content: runs on the same cells share it.

    Examples
    --------
    >>> import polars as pl
    >>> rows = pl.DataFrame({"g": ["a"], "exposure": [1.0], "claims": [0]})
    >>> cells, folder = Experience.collect(rows, ["g"]), Path(tempfile.mkdtemp())
    >>> keep_cells(folder / "mine", cells) == keep_cells(folder / "other", cells)
    True
    """
    name = f"{cells.basis.fingerprint}.parquet"
    kept = Path(report).absolute().parent / KEPT / name
    if not kept.is_file():
        cells.save(kept)
    return name


def tables_hash(tables: Mapping[str, Mapping[str, Any]]) -> str:
    """Hash the fingerprints of a run's tables.

    Examples
    --------
    >>> tables_hash({"claims": {"fingerprint": "a"}}) != tables_hash({"claims": {"fingerprint": "b"}})
    True
    """
    return fingerprint(*(f"{name}={tables[name]['fingerprint']}" for name in sorted(tables)))


def _run(given: str | Path, data: str | Path | None) -> RunInputs:
    path = Path(given)
    folder = path.parent if path.name == RECORD or path.is_file() else path
    record = read_record(folder) if path.is_dir() or path.name == RECORD else None
    if record is None:
        raise InputError("no record of a run", where=str(given), do=f"give a folder with {RECORD}")
    lacking = [name for name in NEEDED if not isinstance(record.get(name), dict)]
    if lacking:
        raise InputError(
            f"the record holds no {lacking[0]}: an older version wrote it",
            where=str(given),
            do="run the study anew",
        )
    name = Path(str(record.get("kept", ""))).name  # in kept/, whatever the record says
    cells = folder.absolute().parent / KEPT / name
    return RunInputs(
        study=record["study"],
        fingerprint=str(record.get("fingerprint", "")),
        headline={name: float(value) for name, value in record["headline"].items()},
        data=tables_hash(record["tables"]),
        files=json.dumps(record["files"], sort_keys=True),
        code=json.dumps([record["code"], record["packages"]], sort_keys=True),
        settings=record["settings"],
        contents=record["contents"],
        kept=(cells if cells.is_file() else None, None if data is None else Path(data)),
    )


def _book_again(run: RunInputs, settings: Mapping[str, Any]) -> dict[str, float]:
    """The schedule's figures of a run's cells under some settings."""
    cells, _ = run.kept
    if cells is None:
        raise InputError(f"the cells of {run.study!r} are not kept in {KEPT}/ beside its report")
    try:
        wanted = Settings.model_validate(settings)
    except ValidationError as error:
        raise InputError(f"the mixed settings break a rule: {error.errors()[0]['msg']}") from None
    for name in kept_keys(wanted):
        band = wanted.bands.get(name)
        if (band.model_dump(mode="json") if band else None) != run.settings["bands"].get(name):
            raise InputError(f"{name!r} is cut otherwise in the cells that are kept")
    return figures_of_cells(wanted, Experience.load(cells))


def _plan_again(run: RunInputs, settings: Mapping[str, Any]) -> dict[str, float]:
    """The figures of a plan under some settings, on the tables of a run."""
    _, data = run.kept
    with tempfile.TemporaryDirectory() as work:
        own = {**settings, "study": {**settings["study"], "outside": False}}  # a record is no order
        study = PlanStudy.of(own, folder=data or work, work=work)
        if json.dumps(study.files, sort_keys=True) != run.files:
            raise InputError("a file that the settings name is not that of the run any more")
        if study.settings.tables and data is None:
            raise InputError("the tables are not kept in the report; say where they are")
        hashes = {n: {"fingerprint": table_fingerprint(c)} for n, c in study.checked.items()}
        if tables_hash(hashes) != run.data:
            raise InputError("the tables are not those of the run any more")
        return study.headline()
