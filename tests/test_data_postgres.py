"""Tables of a PostgreSQL server that the tests start themselves; skipped where there is none."""

from __future__ import annotations

import datetime as dt
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from awkward_book import awkward_book
from pricing.claims.models import fit_frequency
from pricing.data.check import check
from pricing.data.postgres import read_postgres
from pricing.data.sources import Source, read_table
from pricing.errors import InputError
from pricing.experience.cells import Experience
from pricing.experience.person_years import person_years
from pricing.experience.person_years_sql import person_years_sql
from pricing.study.chain import open_study
from pricing.study.prepared_book import saved_book
from pricing.study.settings import read_settings

SECRET = "p@ss/w:rd?#é"
WRITTEN = "p%40ss%2Fw%3Ard%3F%23%C3%A9"
RANDHIE = Path(__file__).parents[1] / "data" / "studies" / "randhie.toml"


def _lacking(why: str) -> None:
    print(f"skipped: {why}")
    pytest.skip(why)


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    if not found and not on_path:
        _lacking("PostgreSQL's server is missing (Debian: apt install postgresql)")
    return found[-1].parent if found else Path(str(on_path)).parent


@pytest.fixture(scope="module")
def server():
    """Address of a server on a free port of this machine, and a way to run SQL on it."""
    if not find_spec("adbc_driver_postgresql"):
        _lacking('the driver is missing: pip install "pricing[engines]"')
    programs, owner = _programs(), {}
    if os.geteuid() == 0:  # the server refuses root
        names = [u.pw_name for u in pwd.getpwall() if u.pw_name in ("postgres", "nobody")]
        if not names:
            _lacking("PostgreSQL's server does not run as root, and there is no other user")
        owner = {"user": max(names), "group": pwd.getpwnam(max(names)).pw_gid, "extra_groups": []}
    home = Path(tempfile.mkdtemp(prefix="pg"))  # pytest's folders are closed to that user
    if owner:
        shutil.chown(home, owner["user"])
    (home / "pw").write_text(SECRET, encoding="utf-8")
    (home / "pw").chmod(0o644)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT, "cwd": home, **owner}
    made = [programs / "initdb", "-D", home / "data", "-U", "boss", "-A", "scram-sha-256", "-N"]
    made += ["-E", "UTF8", "--locale=C", f"--pwfile={home / 'pw'}"]
    if subprocess.run(made, check=False, **quiet).returncode:
        _lacking("initdb does not run on this machine")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    asked = [programs / "postgres", "-D", home / "data", "-h", "127.0.0.1", "-p", str(port), "-F"]
    running = subprocess.Popen(
        [*asked, "-k", home, "-c", "timezone=Asia/Shanghai"], start_new_session=True, **quiet
    )
    try:
        address = f"postgresql://boss:{WRITTEN}@127.0.0.1:{port}/postgres"
        yield address, _when_up(address, running)
    finally:
        running.terminate()
        running.wait()
        shutil.rmtree(home)


def _when_up(address, running):
    from adbc_driver_manager.dbapi import Error
    from adbc_driver_postgresql import dbapi

    def sql(*statements, rows=None):
        with dbapi.connect(address, autocommit=True) as base, base.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            for name, frame in (rows or {}).items():
                cursor.adbc_ingest(name, frame.to_arrow(), mode="replace")

    for _ in range(600):
        try:
            sql("SELECT 1")
        except Error:
            assert running.poll() is None, "the server stopped"
            time.sleep(0.1)
        else:
            return sql
    raise AssertionError("the server does not answer")


@pytest.fixture
def base(server, monkeypatch):
    address, sql = server
    monkeypatch.setenv("PRICING_DB", address)
    for name in ("PGPASSWORD", "PGTZ", "PGUSER"):
        monkeypatch.delenv(name, raising=False)
    return sql


def refused(variable: str = "PRICING_DB", **asked) -> str:
    with pytest.raises(InputError) as said:
        read_postgres(variable, **(asked or {"table": "t"}))
    assert said.value.__cause__ is None or isinstance(said.value.__cause__, ImportError)
    for secret in (SECRET, WRITTEN, "wr0ng"):
        assert secret not in str(said.value)
    return str(said.value)


def test_every_kind_of_column_says_what_the_database_says(base):
    base(
        "CREATE TYPE tier AS ENUM ('a', 'b'); ",
        "CREATE DOMAIN fee AS numeric(12, 2)",
        "CREATE TABLE kinds (id bigint, n numeric(30, 2), f fee, nan numeric, d date, e date,"
        " s timestamp, z timestamptz, b boolean, t tier, c char(5), m money, u uuid, j jsonb,"
        ' a int[], y bytea, i smallint, r real, h time, v interval, "客 ""户" text)',
        "INSERT INTO kinds VALUES (1, 1234567890123456789012345678.10, 0.10, 'NaN', '2024-02-29',"
        " 'infinity', '2024-02-29 23:30', '2024-03-01 00:10+08', true, 'b', 'x', 12.34,"
        " '00000000-0000-0000-0000-000000000001', '{}', '{1,2}', 'q', 2, 1.5, '10:00', '1 day',"
        " '李')",
        "INSERT INTO kinds (id, e, s, z) VALUES (2, '-infinity', 'infinity', 'infinity')",
        "INSERT INTO kinds DEFAULT VALUES",
    )
    rows = read_postgres("PRICING_DB", table="kinds")
    one, two, three = rows.to_dicts()
    assert (one["n"], one["f"], one["nan"]) == ("1234567890123456789012345678.10", "0.10", "NaN")
    assert (one["d"], one["e"]) == (dt.date(2024, 2, 29), dt.date(9999, 12, 31))
    assert one["s"] == dt.datetime(2024, 2, 29, 23, 30)
    assert one["z"] == dt.datetime(2024, 3, 1, 0, 10)  # the clerk's day, not that of Greenwich
    assert (one["b"], one["t"], one["m"], one["i"], one["r"]) == (True, "b", "12.34", 2, 1.5)
    assert (one["u"][-1], one["j"], one["a"], one["y"]) == ("1", "{}", ["1", "2"], b"q")
    assert (one["h"], one["v"], one['客 "户']) == ("10:00:00", "1 day", "李")
    assert two["e"] == dt.date(1, 1, 1)
    assert two["s"] == two["z"] == dt.datetime(9999, 12, 31)
    assert set(three.values()) == {None, "PRICING_DB:kinds", 3}


def test_a_zone_of_the_session_is_kept(base, monkeypatch):
    base("CREATE TABLE zoned AS SELECT timestamptz '2024-03-01 00:10+08' AS incurred")
    seen = read_postgres("PRICING_DB", table="zoned")["incurred"].item()
    assert seen.date() == dt.date(2024, 3, 1)
    monkeypatch.setenv("PGTZ", "UTC")
    assert read_postgres("PRICING_DB", table="zoned")["incurred"].item().date() == dt.date(
        2024, 2, 29
    )


def test_the_order_in_the_database_does_not_matter(base):
    rows = pl.DataFrame({"k": [3, None, 1, 2] * 5_000, "x": range(20_000)})
    base(rows={"one": rows, "other": rows.sample(fraction=1, shuffle=True, seed=1)})
    one, other = (read_postgres("PRICING_DB", table=t).drop("_file") for t in ("one", "other"))
    assert one.equals(other)
    assert one.drop("_row").equals(rows.sort("k", "x", nulls_last=True))


def test_schemas_views_and_queries(base):
    base(
        "CREATE SCHEMA core",
        'CREATE TABLE core."Claims" AS SELECT 1 AS id UNION SELECT 2',
        'CREATE MATERIALIZED VIEW core.few AS SELECT * FROM core."Claims" WHERE id > 1',
    )
    assert read_postgres("PRICING_DB", table="core.Claims")["id"].to_list() == [1, 2]
    assert read_postgres("PRICING_DB", table="core.few")["_file"].to_list() == [
        "PRICING_DB:core.few"
    ]
    query = 'SELECT id AS "the id" FROM core."Claims" ORDER BY 1 DESC LIMIT 1 -- the last;\n ; '
    assert read_postgres("PRICING_DB", query=query).rows() == [(2, "PRICING_DB:query", 1)]
    empty = read_postgres("PRICING_DB", query="SELECT 1.5 AS n, now() AS t WHERE false")
    assert empty.schema["n"] == pl.String
    assert empty.height == 0
    assert "did you mean 'core.Claims'" in refused(table="core.claims")
    assert "there is no table 'Claims'" in refused(table="Claims")


@pytest.mark.parametrize(
    "query, said",
    [
        ("SELECT nope FROM pg_class", 'column "nope" does not exist'),
        ("SELECT 1 AS a, 2 AS a", "columns ['a'] are there more than once"),
        ("SELECT 1 / 0 AS a", "division by zero"),
        ("SELECT 1 AS a; DROP TABLE keep", "cannot be read"),
        ("DELETE FROM keep RETURNING id", "cannot be read"),
        ("SELECT id FROM gone()", "read-only transaction"),
        ("SELECT", "the table has no columns"),
        ("", "cannot be read"),
        ("SELECT pg_terminate_backend(pg_backend_pid()) AS a", "cannot be read"),
    ],
)
def test_queries_that_cannot_be_answered(base, query, said):
    base(
        "CREATE TABLE IF NOT EXISTS keep AS SELECT 1 AS id",
        "CREATE OR REPLACE FUNCTION gone() RETURNS SETOF keep LANGUAGE sql AS 'DELETE FROM keep "
        "RETURNING *'",
    )
    assert said in refused(query=query)
    assert read_postgres("PRICING_DB", table="keep").height == 1


def test_no_server_no_login_no_right(base, server, monkeypatch):
    address = server[0]
    base("CREATE TABLE closed AS SELECT 1 AS id", "CREATE ROLE clerk LOGIN PASSWORD 'wr0ng-enough'")
    for other, said in {
        address.replace(WRITTEN, "wr0ng"): "refuses the login",
        address.replace(f":{WRITTEN}", ""): "refuses the login",
        address.replace("/postgres?", "/?").replace("/postgres", "/nobase"): "nobase",
        address[: address.rindex(":")] + ":1/postgres": "cannot be reached",
        address + "?sslmode=verify-full": "cannot be reached",
        address + "?pass_word=wr0ng": "cannot be reached",
        address.replace(WRITTEN, SECRET): "holds no address",
        address.replace(WRITTEN, "p@wr0ng"): "holds no address",
        address.replace(":" + address.rsplit(":")[-1], ":99999/a"): "holds no address",
        "host=127.0.0.1 password=wr0ng": "holds no address",
        "mysql://boss:wr0ng@host/base": "holds no address",
        "  ": "is not set",
        address.replace("boss", "clerk").replace(WRITTEN, "wr0ng-enough"): "permission denied",
    }.items():
        monkeypatch.setenv("PRICING_DB", other)
        assert said in refused(table="closed"), said
    assert "no name of an environment variable" in refused(f"postgresql://a:{WRITTEN}@h/b")


def test_without_the_driver_the_extra_is_named(monkeypatch):
    monkeypatch.setenv("PRICING_DB", "postgresql://boss:wr0ng@127.0.0.1/base")
    monkeypatch.setitem(__import__("sys").modules, "adbc_driver_postgresql", None)
    assert "pricing[engines]" in refused(table="t")


def test_a_study_file_names_the_variable_and_never_shows_an_address(tmp_path):
    text = RANDHIE.read_text(encoding="utf-8")
    for line, said in {
        'database_env = "DB"': "database_env goes with either table or query",
        'database_env = "DB"\ntable = "t"\nquery = "SELECT 1"': "with either table or query",
        'database_env = "DB"\nfiles = "a.csv"\ntable = "t"': "got ['files', 'database_env']",
        'loader = "randhie"\nquery = "SELECT 1"': "query goes with database_env",
        'database_env = "postgres://a:wr0ng@h/b"': "database_env goes with either",
        'database = "postgres://a:wr0ng@h/b"\ntable = "t"': "unknown key",
        'database_env = ["postgres://a:wr0ng@h/b"]\ntable = "t"': "valid string",
    }.items():
        path = tmp_path / "study.toml"
        path.write_text(text.replace('loader = "randhie"', line), encoding="utf-8")
        with pytest.raises(InputError) as error:
            read_settings(path)
        assert said in str(error.value)
        assert "wr0ng" not in str(error.value)
    with pytest.raises(InputError, match="query goes with database_env"):
        Source(files="a.csv", query="SELECT 1")


def test_a_table_of_the_server_keeps_its_contract(base):
    base(
        "CREATE TABLE years AS SELECT * FROM (VALUES (0.5::numeric(6, 4), 1, 'm'),"
        " (1.0, 0, 'f'), (0.0, 0, 'f'), (NULL, 2, 'm'), ('NaN', 1, 'x')) AS v (exposure, claims, 性别)"
    )
    source = Source(database_env="PRICING_DB", table="years", columns={"sex": "性别"})
    held = check(read_table(source), "person_years", factors={"sex": ["f", "m"]})
    assert held.accepted.select("exposure", "sex").rows() == [(0.5, "m"), (1.0, "f")]
    assert set(held.rejected["_rules"]) == {
        "exposure|min_exclusive",
        "exposure|nullability",
        "sex|level, exposure|nan",
    }
    few = read_table(Source(database_env="PRICING_DB", query="SELECT exposure FROM years"))
    with pytest.raises(InputError, match="1 columns are missing"):
        check(few, "person_years")
    with pytest.raises(InputError, match="1 mapped columns are not there"):
        read_table(Source(database_env="PRICING_DB", table="years", columns={"sex": "sexe"}))


def test_a_whole_study_from_the_server_equals_that_from_files(base, tmp_path):
    bundled = open_study(RANDHIE)
    held = bundled.checked["person_years"].accepted
    rows = held.select(pl.exclude("^_.*$")).with_columns(pl.col(pl.Enum).cast(pl.String))
    base(rows={"rand": rows.sample(fraction=1, shuffle=True, seed=3)})
    text = RANDHIE.read_text(encoding="utf-8")
    path = tmp_path / "randhie.toml"
    lines = 'database_env = "PRICING_DB"\ntable = "rand"'
    path.write_text(text.replace('loader = "randhie"', lines), encoding="utf-8")
    study = open_study(path)
    ours, theirs = study.run(), bundled.run()
    assert ours.keys() == theirs.keys()
    for name in ("frequency", "schedule"):  # the rows come in another order
        assert_frame_equal(ours[name].table, theirs[name].table, rel_tol=1e-9)
    assert open_study(path).fingerprint == study.fingerprint
    kept = saved_book(study, tmp_path / "kept")
    base("DELETE FROM rand WHERE claims > 5")
    now = saved_book(open_study(path), tmp_path / "kept")  # not taken from what was kept
    assert now.effect.basis.rows < kept.effect.basis.rows


def test_cells_made_by_the_server_give_the_estimates_of_rows(base):
    study = open_study(RANDHIE)
    held = study.checked["person_years"].accepted
    rows = held.select("health_group", "limitation", "exposure", "claims")
    base(rows={"years": rows.with_columns(pl.col(pl.Enum).cast(pl.String))})
    query = """SELECT health_group, limitation, sum(exposure) AS exposure, sum(claims) AS claims
               FROM years GROUP BY health_group, limitation"""
    factors = {n: rows.schema[n].categories.to_list() for n in ("health_group", "limitation")}
    read = read_table(Source(database_env="PRICING_DB", query=query))
    cells = check(read, "person_years", factors=factors).accepted
    assert cells.height < 40
    one, other = (
        fit_frequency(
            Experience.collect(frame, list(factors)), "health_group + limitation", errors="model"
        )
        for frame in (rows, cells)
    )
    kept = pl.exclude("^.*robust.*$", "rows")
    assert_frame_equal(one.table.select(kept), other.table.select(kept), rel_tol=1e-7)


def test_the_server_makes_the_person_years_of_polars(base):
    tables = dict(zip(("policies", "renewals", "claims"), awkward_book(), strict=True))
    base(rows={f"py_{name}": frame for name, frame in tables.items()})
    observed = (dt.date(2020, 6, 1), dt.date(2023, 6, 30))
    query = person_years_sql(
        "postgres",
        policies=tables["policies"].columns,
        renewals=tables["renewals"].columns,
        observed=observed,
        tables={name: f"py_{name}" for name in tables},
    )
    ours = person_years(*tables.values(), observed=observed).rows
    theirs = read_postgres("PRICING_DB", query=query).sort("policy_id", "policy_year")
    assert_frame_equal(theirs.select(ours.columns).cast(dict(ours.schema)), ours, check_exact=True)
