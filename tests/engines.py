"""The same rows as a frame of each engine; Spark where Java and pyspark are."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import polars as pl
import pytest

EVERYWHERE = (
    "eager",
    "lazy",
    "duckdb",
    "private duckdb",
    "pandas",
    "pyarrow",
    "spark",
    "spark ansi off",
)


def engine_frames(
    engine: str, request: pytest.FixtureRequest, folder: Path
) -> Iterator[Callable[[pl.DataFrame], Any]]:
    """Yield what turns a polars frame into one of the engine, and clear up after it."""
    if engine == "eager":
        yield lambda rows: rows
    elif engine == "lazy":
        yield pl.DataFrame.lazy
    elif engine == "pandas":
        yield pl.DataFrame.to_pandas
    elif engine == "pyarrow":
        yield pl.DataFrame.to_arrow
    elif engine.endswith("duckdb"):
        yield from _duckdb(folder, private=engine.startswith("private"))
    else:
        yield from _spark(request.getfixturevalue("spark"), folder, ansi="off" not in engine)


def spark_session(folder: Path) -> Iterator[Any]:
    """Yield a quiet local Spark on two threads; skip, and say why, where there is none."""
    missing = "pyspark" if find_spec("pyspark") is None else ""
    if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        missing = "Java 17 or newer"
    if missing:
        why = f'{missing} is missing: the Spark tests need Java 17 and pip install "pricing[spark]"'
        print(f"skipped: {why}")
        pytest.skip(why)
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable  # what the workers run

    settings = {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.local.dir": str(folder),
        "spark.log.level": "OFF",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    builder = SparkSession.builder.master("local[2]").appName("pricing tests")
    session = builder.config(map=settings).getOrCreate()
    yield session
    session.stop()


def _duckdb(folder: Path, *, private: bool) -> Iterator[Callable[[pl.DataFrame], Any]]:
    import duckdb

    base = duckdb.connect() if private else duckdb.default_connection()
    yield lambda rows: base.read_parquet(_written(rows, folder))
    if private:
        base.close()


def _spark(spark: Any, folder: Path, *, ansi: bool) -> Iterator[Callable[[pl.DataFrame], Any]]:
    before = spark.conf.get("spark.sql.ansi.enabled")
    spark.conf.set("spark.sql.ansi.enabled", str(ansi).lower())
    yield lambda rows: spark.read.parquet(_written(rows, folder))
    spark.conf.set("spark.sql.ansi.enabled", before)


def _written(rows: pl.DataFrame, folder: Path) -> str:
    path = folder / f"{len(list(folder.iterdir()))}.parquet"
    rows.write_parquet(path)
    return str(path)
