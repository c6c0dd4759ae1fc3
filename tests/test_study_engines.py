"""A whole study with its person-years and cells made by DuckDB and by Spark, held against polars."""

from __future__ import annotations

import gc
import json
import os
import shutil
import subprocess
import sys
from datetime import date
from importlib.util import find_spec
from pathlib import Path

import duckdb
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from awkward_book import awkward_book
from pricing.errors import InputError
from pricing.experience.person_years import person_years
from pricing.experience.person_years_sql import person_years_sql
from pricing.plans.open_file import open_file
from pricing.study.chain import open_study
from pricing.study.engine import EngineRows

CLOSE = 1e-12  # the stated bound on sums of amounts and premiums
D = date


def asked(tables, dialect, observed, **names) -> str:
    policies, renewals, _ = tables
    return person_years_sql(
        dialect, policies=policies.columns, renewals=renewals.columns, observed=observed, **names
    )


@pytest.mark.parametrize("observed", [None, (D(2020, 6, 1), D(2023, 6, 30))])
def test_the_sql_of_duckdb_makes_the_person_years_of_polars(observed):
    tables = awkward_book()
    base = duckdb.connect()
    for name, frame in zip(("policies", "renewals", "claims"), tables, strict=True):
        base.register(name, frame.to_arrow())
    ours = person_years(*tables, observed=observed).rows
    theirs = base.sql(asked(tables, "duckdb", observed)).pl().sort("policy_id", "policy_year")
    assert set(theirs.columns) == set(ours.columns)
    assert_frame_equal(theirs.select(ours.columns).cast(dict(ours.schema)), ours, check_exact=True)


@pytest.mark.parametrize("observed", [None, (D(2020, 6, 1), D(2023, 6, 30))])
def test_the_sql_of_spark_makes_the_person_years_of_polars(spark, tmp_path, observed):
    tables = awkward_book()
    for name, frame in zip(("policies", "renewals", "claims"), tables, strict=True):
        frame.write_parquet(tmp_path / name)
        spark.read.parquet(str(tmp_path / name)).createOrReplaceTempView(name)
    ours = person_years(*tables, observed=observed).rows
    theirs = pl.from_arrow(spark.sql(asked(tables, "spark", observed)).toArrow())
    theirs = theirs.sort("policy_id", "policy_year")
    assert_frame_equal(theirs.select(ours.columns).cast(dict(ours.schema)), ours, check_exact=True)


def test_sql_that_cannot_be_written():
    policies, renewals, _ = (frame.columns for frame in awkward_book())
    with pytest.raises(InputError, match="did you mean 'duckdb'"):
        person_years_sql("duckbd", policies=policies, renewals=renewals)
    with pytest.raises(InputError) as said:
        person_years_sql("spark", policies=["policy_id", "start", "a`b"], renewals=renewals[1:])
    assert said.value.faults == (
        "policies lacks 'birth_date'; there are: a`b, policy_id, start",
        "renewals lacks 'policy_id'; did you mean 'policy_year'?",
        "'a`b' holds `",
    )


def alike(ours, theirs, place: str = "") -> None:
    """Hold two records against each other: words and whole numbers equal, doubles close."""
    assert type(ours) is type(theirs), place
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys(), place
        for name in ours:
            alike(ours[name], theirs[name], f"{place}.{name}")
    elif isinstance(ours, list):
        assert len(ours) == len(theirs), place
        for n, pair in enumerate(zip(ours, theirs, strict=True)):
            alike(*pair, f"{place}[{n}]")
    elif isinstance(ours, float):
        assert ours == pytest.approx(theirs, rel=1e-6, abs=1e-8), place
    else:
        assert ours == theirs, place


def test_the_whole_study_by_duckdb_is_that_of_polars(huoli, tmp_path):
    work = huoli.folder.parent / "books"
    other = open_study(huoli.study.path, work=work, engine="duckdb")
    keys = [*huoli.study.settings.model.one_way, "policy_year_band", "ever_joined"]
    for bounds in ({}, {"start": 2024}, {"end": 2022}):
        ours, theirs = (s.experience(keys, **bounds) for s in (huoli.study, other))
        assert ours.basis.filters == theirs.basis.filters
        assert ours.cells.schema == theirs.cells.schema
        exact = [*keys, "rows", "claims", "claims_squared"]
        assert ours.cells.select(exact).equals(theirs.cells.select(exact))
        assert_frame_equal(theirs.cells, ours.cells, rel_tol=CLOSE, abs_tol=1e-9)
    results = other.run()
    assert results.keys() == huoli.results.keys()
    for name, result in huoli.results.items():
        alike(dict(result.facts), dict(results[name].facts), name)
        assert result.table.schema == results[name].table.schema, name
        assert result.table.height == results[name].table.height, name
    alike(dict(results["schedule"].facts), dict(huoli.results["schedule"].facts), "schedule")
    assert other.fingerprint == huoli.study.fingerprint
    left = other._elsewhere.folder
    assert left.parent == work.resolve()
    assert left.is_dir()
    del other
    gc.collect()
    assert not left.exists()


def test_the_study_by_a_cluster_of_two_spark_workers_is_that_of_polars(huoli, tmp_path):
    missing = "pyspark" if find_spec("pyspark") is None else ""
    if not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        missing = "Java 17 or newer"
    if missing:
        why = f'{missing} is missing: the cluster needs Java 17 and pip install "pricing[spark]"'
        print(f"skipped: {why}")
        pytest.skip(why)
    keys = [*huoli.study.settings.model.one_way, "policy_year_band"]
    code = (
        "import json, sys; from pricing.study.chain import open_study\n"
        "study = open_study(sys.argv[1], work=sys.argv[2], engine='spark')\n"
        "keys = json.loads(sys.argv[3])\n"
        "study.experience(keys, start=2024).cells.write_parquet(sys.argv[4])\n"
        "print(study._elsewhere._engine.sparkContext.master)\n"
        "study._elsewhere._engine.stop()\n"
    )
    master = "--master local-cluster[2,1,1024] --conf spark.executor.memory=900m"
    quiet = ["ui.enabled=false", "log.level=OFF", "ui.showConsoleProgress=false"]
    quiet += ["driver.bindAddress=127.0.0.1", "driver.host=127.0.0.1", "sql.shuffle.partitions=2"]
    conf = "".join(f" --conf spark.{one}" for one in quiet)
    here = {"PYSPARK_SUBMIT_ARGS": f"{master}{conf} pyspark-shell", "PYTHONPATH": os.pathsep.join(sys.path)}  # fmt: skip
    here |= {"SPARK_LOCAL_IP": "127.0.0.1", "SPARK_LOCAL_HOSTNAME": "localhost"}
    work, cells = huoli.folder.parent / "books", tmp_path / "cells.parquet"
    told = [sys.executable, "-c", code, huoli.study.path, work, json.dumps(keys), cells]
    ran = subprocess.run(
        told, check=False, capture_output=True, text=True, env=os.environ | here, cwd=tmp_path
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert ran.stdout.strip().endswith("local-cluster[2,1,1024]")
    theirs, ours = pl.read_parquet(cells), huoli.study.experience(keys, start=2024).cells
    assert theirs.select(*keys, "rows", "claims").equals(ours.select(*keys, "rows", "claims"))
    assert_frame_equal(theirs, ours, rel_tol=CLOSE, abs_tol=1e-9)


def test_rows_that_a_killed_run_left_are_removed(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    mine = EngineRows("duckdb", tmp_path)
    held = mine.handed(pl.DataFrame({"a": [1]}))
    left = tmp_path / mine.folder.name.replace(str(os.getpid()), str(ended.pid))
    (left / "001").mkdir(parents=True)
    EngineRows("duckdb", tmp_path)
    assert not left.exists()
    assert held.fetchall() == [(1,)]


def test_engines_that_are_not_there(huoli, monkeypatch):
    with pytest.raises(InputError, match="did you mean 'duckdb'"):
        open_study(huoli.study.path, engine="duckbd")
    plan = Path(__file__).parents[1] / "data" / "studies" / "anjia.toml"
    with pytest.raises(InputError, match="not computed by spark"):
        open_file(plan, engine="spark")
    for name, module in {"duckdb": "duckdb", "spark": "pyspark.sql"}.items():
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(InputError, match=r"pricing\["):
            open_study(
                huoli.study.path, work=huoli.folder.parent / "books", engine=name
            ).experience(["sex"])
