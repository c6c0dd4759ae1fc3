"""No code, path or formula of a user's data runs: paths, databases, pages, terminals, the package itself."""

import ast
import re
from pathlib import Path

import polars as pl
import pytest

import pricing
from pricing.cli.told import fault_table, print_ledger
from pricing.data.sources import Source, read_table
from pricing.data.tables import bundled
from pricing.errors import InputError
from pricing.lab.opened import open_for_turning
from pricing.lab.session import read_session
from pricing.plans.plan_file import changed, read_plan
from pricing.result.html import table_html

SOURCES = sorted(Path(pricing.__file__).parent.rglob("*.py"))
FORBIDDEN_MODULES = {
    "pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "joblib",
    "shelve",
    "marshal",
    "yaml",
}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "pl.LazyFrame.deserialize"}  # fmt: skip


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(SOURCES[0].parent)))
def test_nothing_of_the_package_runs_what_it_reads(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            assert not {a.name.split(".")[0] for a in node.names} & FORBIDDEN_MODULES
        if isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] not in FORBIDDEN_MODULES
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) not in FORBIDDEN_CALLS, node.lineno
            shell = [k for k in node.keywords if k.arg == "shell"]
            assert not shell, f"a shell in line {node.lineno}"


def outside(tmp_path):
    (tmp_path / "study").mkdir()
    (tmp_path / "other").mkdir()
    for place in ("study", "other"):
        pl.DataFrame({"a": [1]}).write_csv(tmp_path / place / "a.csv")
    (tmp_path / "study" / "link.csv").symlink_to(tmp_path / "other" / "a.csv")
    (tmp_path / "study" / "linked").symlink_to(tmp_path / "other")
    return tmp_path / "study"


@pytest.mark.parametrize("files", [
    "../other/a.csv", "../other/*.csv", "link.csv", "linked/a.csv", "linked/*.csv", "l*.csv",
    "/etc/passwd", "/**/*.csv", "*/../../other/*.csv", "~/a.csv", "../*/a.csv",
])  # fmt: skip
def test_a_table_outside_the_folder_is_refused_unless_the_file_says_so(files, tmp_path):
    folder = outside(tmp_path)
    with pytest.raises(InputError):
        read_table(Source(files=files, folder=folder, inside=True))


def test_inside_is_read_however_it_is_written(tmp_path):
    folder = outside(tmp_path)
    for files in ("a.csv", "./a.csv", "a*.csv", str(folder / "a.csv"), "x/../a.csv"):
        (folder / "x").mkdir(exist_ok=True)
        assert read_table(Source(files=files, folder=folder, inside=True)).height == 1
    assert read_table(Source(files="../other/a.csv", folder=folder)).height == 1


def test_a_plan_names_no_file_outside_and_a_change_names_none_at_all(tmp_path):
    text = bundled("studies/huoli_members.toml").read_text(encoding="utf-8")
    for said in ("../x.toml", "/etc/passwd", "../../x"):
        path = tmp_path / "plan.toml"
        path.write_text(text.replace('file = "huoli"', f'file = "{said}"'), encoding="utf-8")
        with pytest.raises(InputError, match="outside = true"):
            read_plan(path)
    settings = read_plan(bundled("studies/huoli_members.toml"))
    for change in ({"programme.file": "/etc/x.toml"}, {"programme": {"file": "a/b.toml"}}):
        with pytest.raises(InputError, match="not a file"):
            changed(settings, change)


def test_a_session_of_the_lab_names_no_path():
    opened = open_for_turning(bundled("studies/huoli_members.toml"))
    said = '{"kind": "pricing-lab", "version": 1, "study": "huoli_members", "change": {"programme.file": "/etc/passwd"}}'  # fmt: skip
    with pytest.raises(InputError, match="does not take"):
        read_session(said, opened)


def test_a_view_of_a_database_reaches_for_no_file(tmp_path):
    duckdb = pytest.importorskip("duckdb")
    pytest.importorskip("pyarrow")
    (tmp_path / "secret.csv").write_text("a\n1\n", encoding="utf-8")
    with duckdb.connect(str(tmp_path / "b.duckdb")) as base:
        base.sql(f"CREATE VIEW v AS SELECT * FROM read_csv('{tmp_path / 'secret.csv'}')")
        base.sql('CREATE TABLE "a""; DROP TABLE t; --" AS SELECT 1 AS "b""; DROP TABLE t; --"')
        base.sql("CREATE TABLE t AS SELECT 2 AS a")
    with pytest.raises(InputError, match="cannot be read"):
        read_table(Source(duckdb="b.duckdb", table="v", folder=tmp_path))
    odd = read_table(Source(duckdb="b.duckdb", table='a"; DROP TABLE t; --', folder=tmp_path))
    assert odd.columns[0] == 'b"; DROP TABLE t; --'
    assert read_table(Source(duckdb="b.duckdb", table="t", folder=tmp_path)).height == 1


HOSTILE = ["<script>alert(1)</script>", "</script>", "{{7*7}}", "{% raw %}", "<img src=x onerror=alert(1)>", "\u2028"]  # fmt: skip


def test_a_table_shows_markup_as_text():
    shown = table_html(pl.DataFrame({"<b>x</b>": HOSTILE}))
    assert not re.search(r"<(script|img|b)\b|</script", shown)
    assert "{{7*7}}" in shown


@pytest.mark.parametrize("text", ["[/red]", "[bold]x", "[link=http://x]a[/link]", "\x1b[2J"])
def test_a_level_does_not_steer_the_terminal(text, capsys):
    print_ledger(pl.DataFrame({"discount_group": [text], "mean_discount": [0.1]}))
    printed = capsys.readouterr().out
    assert "\x1b[2J" not in printed
    assert text[0] == "\x1b" or text in printed
    fault = {
        "file": "a",
        "column": "b",
        "rule": "c",
        "count": 1,
        "first_keys": text,
        "meaning": text,
    }
    assert fault_table("t", pl.DataFrame([fault])).row_count == 1


def test_every_locked_package_is_pinned_by_hash():
    for name in ("requirements.lock", "spark.lock"):
        lock = Path(__file__).parents[1] / name
        entries = re.split(r"\n(?=[A-Za-z0-9])", lock.read_text(encoding="utf-8"))
        wanted = [entry for entry in entries if re.match(r"[A-Za-z0-9]", entry)]
        assert wanted
        for entry in wanted:
            assert re.match(r"[\w.\[\]-]+==[\w.+!]+", entry), entry[:80]
            assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry[:80]


REFUSED = re.compile(r"\bA?GPL|GNU (Affero )?General Public", re.IGNORECASE)


def test_no_installed_dependency_is_under_a_licence_that_would_bind_us():
    """From the metadata of what is installed, so it works without a network."""
    from importlib.metadata import distribution, distributions

    from packaging.requirements import Requirement

    there = {d.metadata["Name"].lower().replace("_", "-"): d for d in distributions()}
    waiting, seen = ["pricing"], set()
    bad = []
    while waiting:
        name = waiting.pop()
        if name in seen or name not in there:
            continue
        seen.add(name)
        own = distribution(name)
        for text in own.requires or []:
            need = Requirement(text)
            if need.marker is None or need.marker.evaluate({"extra": ""}):
                waiting.append(need.name.lower().replace("_", "-"))
        said = [own.metadata.get("License-Expression") or "", *(own.metadata.get_all("Classifier") or [])]  # fmt: skip
        said = [s for s in said if s and (s == said[0] or s.startswith("License"))]
        if any(REFUSED.search(s) and not re.search(r"LGPL|Lesser", s) for s in said):
            bad.append((name, said))
    assert len(seen) > 20
    assert not bad
