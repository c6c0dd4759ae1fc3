"""The engine that makes a study's cells: polars in this process, DuckDB, or the workers of Spark."""

from __future__ import annotations

import os
import platform
import shutil
import weakref
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Literal, get_args

import narwhals.stable.v2 as nw
import polars as pl

from pricing.errors import InputError, nearest
from pricing.experience.bands import with_bands
from pricing.experience.engines import AnyFrame
from pricing.experience.person_years_sql import person_years_sql
from pricing.study.sections import Band

__all__ = ["ENGINES", "EngineName", "EngineRows", "require_engine", "rows_folder"]

EngineName = Literal["polars", "duckdb", "spark"]
ENGINES: tuple[str, ...] = get_args(EngineName)


def require_engine(name: str) -> None:
    """Refuse an engine that is not known.

    Examples
    --------
    >>> require_engine("duckdb")
    """
    if name not in ENGINES:
        raise InputError(f"there is no engine {name!r}{nearest(name, ENGINES)}")


class EngineRows:
    """Person-years that DuckDB or Spark made of a study's accepted tables, on disk as Parquet.

    Parameters
    ----------
    name : {"duckdb", "spark"}
        Spark is the session that is there, or the one that ``spark-submit`` or the Spark
        configuration of this machine describes.
    work : path
        Folder for the rows, gone with the object; the workers of a cluster must see it under the
        same path.

    Examples
    --------
    >>> import tempfile
    >>> rows = EngineRows("duckdb", tempfile.mkdtemp())
    >>> rows.handed(pl.DataFrame({"age": [40]})).fetchall()
    [(40,)]
    """

    def __init__(self, name: str, work: str | Path) -> None:
        require_engine(name)
        self.name: Literal["duckdb", "spark"] = "spark" if name == "spark" else "duckdb"
        self._engine = _spark() if name == "spark" else _duckdb()
        self.folder = rows_folder(self, Path(work))
        self._written = 0

    def handed(self, rows: pl.DataFrame) -> AnyFrame:
        """Hand rows of polars over, through a Parquet file."""
        return self._read(self._put(rows))

    def person_years(
        self,
        tables: Mapping[str, pl.DataFrame],
        bands: Mapping[str, Band],
        *,
        observed: tuple[date, date] | None = None,
        truth: Path | None = None,
    ) -> AnyFrame:
        """Make the person-years of accepted tables, with their bands, and write them as Parquet.

        Parameters
        ----------
        tables : mapping of str to polars.DataFrame
            ``policies``, ``renewals`` and ``claims``; or ``person_years``, which are taken as they are.
        bands : mapping of str to Band
            Of the study.
        observed : (date, date), optional
            The observation window.
        truth : path, optional
            Folder of what a simulated book knows of every policy year.
        """
        if "person_years" in tables:
            rows = self.handed(tables["person_years"])
        else:
            for name in ("policies", "renewals", "claims"):
                self._view(f"pricing_{name}", self._put(tables[name]))
            asked = person_years_sql(
                self.name,
                policies=_columns(tables["policies"]),
                renewals=_columns(tables["renewals"]),
                observed=observed,
                tables={n: f"pricing_{n}" for n in ("policies", "renewals", "claims")},
            )
            rows = self._engine.sql(self._with_truth(asked, truth))
        banded = with_bands(rows, {name: (b.column, b.edges) for name, b in bands.items()})
        return self._kept(banded)

    def between(self, rows: AnyFrame, year: str, start: int | None, end: int | None) -> AnyFrame:
        """Keep the rows from one year to another, where they are."""
        kept: Any = nw.from_native(rows)
        if start is not None:
            kept = kept.filter(nw.col(year) >= start)
        if end is not None:
            kept = kept.filter(nw.col(year) <= end)
        return kept.to_native()

    def _with_truth(self, asked: str, truth: Path | None) -> str:
        if truth is None:
            return asked
        known = pl.read_parquet_schema(sorted(truth.glob("*.parquet"))[0])
        keys = ("policy_id", "policy_year")
        self._view("pricing_truth", truth.resolve())
        more = "".join(f", k.{name}" for name in known if name not in keys)
        return (
            f"SELECT y.*{more} FROM ({asked}) AS y LEFT JOIN pricing_truth AS k "
            "ON k.policy_id = y.policy_id AND k.policy_year = y.policy_year"
        )

    def _put(self, rows: pl.DataFrame) -> Path:
        path = self._next()
        path.mkdir()
        rows.select(_columns(rows)).cast({pl.Enum: pl.String}).write_parquet(path / "part-0.parquet")  # fmt: skip
        return path

    def _next(self) -> Path:
        self._written += 1
        return self.folder / f"{self._written:03d}"

    def _kept(self, rows: Any) -> AnyFrame:
        path = self._next()
        if self.name == "spark":
            rows.write.parquet(str(path))
        else:
            path.mkdir()
            rows.write_parquet(str(path / "part-0.parquet"))
        return self._read(path)

    def _read(self, path: Path) -> AnyFrame:
        if self.name == "spark":
            return self._engine.read.parquet(str(path))
        return self._engine.read_parquet(f"{path}/*.parquet")

    def _view(self, name: str, path: Path) -> None:
        frame = self._read(path)
        if self.name == "spark":
            frame.createOrReplaceTempView(name)
        else:
            frame.create_view(name, replace=True)


def rows_folder(owner: object, work: Path) -> Path:
    """Make a folder for rows that lasts as long as its owner; those that killed runs left are removed.

    Examples
    --------
    >>> import tempfile
    >>> work = Path(tempfile.mkdtemp())
    >>> class Owner: ...
    >>> owner = Owner()
    >>> rows_folder(owner, work).parent == work.resolve()
    True
    >>> del owner
    >>> [*work.iterdir()]
    []
    """
    work.mkdir(parents=True, exist_ok=True)
    _clear_dead(work)
    folder = Path(mkdtemp(dir=work.resolve(), prefix=f"{_mine()}{os.getpid()}-"))
    weakref.finalize(owner, shutil.rmtree, folder, ignore_errors=True)
    return folder


def _columns(rows: pl.DataFrame) -> list[str]:
    """Name the columns of the trade, without those that tell of a row's origin."""
    return [name for name in rows.columns if not name.startswith("_")]


def _mine() -> str:
    return f"rows-{platform.node()}-"


def _clear_dead(work: Path) -> None:
    """Remove the rows that a killed run of this machine left."""
    for folder in work.glob(f"{_mine()}*"):
        number = folder.name.removeprefix(_mine()).partition("-")[0]
        try:
            os.kill(int(number), 0)
        except ProcessLookupError:
            shutil.rmtree(folder, ignore_errors=True)
        except (OSError, ValueError):
            continue


def _duckdb() -> Any:
    try:
        import duckdb
    except ImportError as error:
        raise InputError("DuckDB is not installed", do='pip install "pricing[engines]"') from error
    return duckdb.connect()


def _spark() -> Any:
    try:
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise InputError("Spark is not installed", do='pip install "pricing[spark]"') from error
    try:
        return SparkSession.builder.appName("pricing").getOrCreate()
    except (PySparkException, RuntimeError, OSError) as error:
        raise InputError(
            f"Spark does not start: {(str(error).strip().splitlines() or ['no reason given'])[0]}",
            do="install Java 17 or newer and set JAVA_HOME, or correct the master's address",
        ) from error
