"""The pages of docs/ are true: what they show runs."""

import re
import shlex
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest

from pricing.cli import main
from pricing.data.book import simulate
from pricing.report.reference import reference_markdown

DOCS = Path(__file__).parents[1] / "docs"


def test_the_walk_from_policies_to_studies_runs(tmp_path, monkeypatch, capsys):
    program = (DOCS / "experience.md").read_text(encoding="utf-8").split("```python\n")[1]
    simulate(tmp_path / "book", policies=3_000, seed=1)
    monkeypatch.chdir(tmp_path)
    found: dict = {}
    exec(compile(program.split("```")[0], "docs/experience.md", "exec"), found)
    seen, claims = found["seen"], found["claims"]
    assert seen.cells["claims"].sum() + found["placed"].unmatched.height == claims.height
    days = (
        found["cover"]
        .policies.select(
            pl.min_horizontal("cover_end", pl.lit(found["window"].end))
            - pl.max_horizontal("cover_start", pl.lit(found["window"].start))
        )
        .to_series()
    )
    assert seen.cells["days"].sum() == days.dt.total_days().clip(0).sum()
    assert "outside the study" in capsys.readouterr().out


def test_the_walk_from_payments_to_an_indication_runs():
    program = (DOCS / "loss_ratio.md").read_text(encoding="utf-8").split("```python\n")[1]
    found: dict = {}
    exec(compile(program.split("```")[0], "docs/loss_ratio.md", "exec"), found)
    paid = found["payments"].filter(pl.col("paid") <= found["valued"])["amount"].sum()
    assert abs(found["quarters"].latest().sum() - paid) < 0.01
    assert found["found"].table["segment"].to_list()[0] == "whole book"


# -- how-to: every recipe, and the tutorial: every step --------------------------------------------------


BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(page):
    """Language, file name where one is given, and text of every code block of a page."""
    return [found.groups() for found in BLOCK.finditer((DOCS / page).read_text(encoding="utf-8"))]


def run_block(kind, name, text, known, where):
    if kind == "python":
        exec(compile(text, where, "exec"), known)
    elif kind == "toml":
        Path(name).write_text(text, encoding="utf-8")
    else:
        assert kind == "sh", f"{where}: no test runs a block of {kind}"
        for line in text.splitlines():
            command, _, comment = line.partition("#")
            expected = 1 if "exit code 1" in comment else 0
            words = shlex.split(command)
            assert words[0] == "pricing"
            with pytest.raises(SystemExit) as ended:
                main(words[1:])
            assert (ended.value.code or 0) == expected, line


HOW_TO = blocks("how_to.md")
RECIPES = HOW_TO[1:]


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory):
    """A folder with a small book, and what the first block of the page makes of it."""
    folder = tmp_path_factory.mktemp("how_to")
    simulate(folder / "book", policies=3_000, seed=1)
    known: dict = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_block(*HOW_TO[0], known, "docs/how_to.md, first block")
    return folder, known


@pytest.mark.parametrize("number", range(len(RECIPES)))
def test_a_recipe_runs(number, kitchen, monkeypatch):
    kind, name, text = RECIPES[number]
    folder, known = kitchen
    if "spark." in text:  # a stand-in: that Spark gives these cells is test_experience_engines.py's
        known = known | {"spark": SimpleNamespace(read=SimpleNamespace(parquet=pl.scan_parquet))}
    monkeypatch.chdir(folder)
    run_block(kind, name, text, dict(known), f"docs/how_to.md, recipe {number + 1}")


def test_the_tutorial_runs_from_its_extract_to_its_decision(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    known: dict = {}
    found = blocks("tutorial.md")
    headings = re.findall(r"^## (\d+)\.", (DOCS / "tutorial.md").read_text("utf-8"), re.MULTILINE)
    assert headings == [str(n) for n in range(1, 11)]
    for number, (kind, name, text) in enumerate(found):
        run_block(kind, name, text, known, f"docs/tutorial.md, block {number + 1}")
    assert (tmp_path / "report" / "index.html").is_file()
    said = capsys.readouterr().out.strip().splitlines()[-1]
    assert re.match(r"Grant|Give", said), said


# -- all pages ------------------------------------------------------------------------------------------


def test_the_reference_is_that_of_the_docstrings():
    written = (DOCS / "reference.md").read_text(encoding="utf-8")
    if written != reference_markdown():
        pytest.fail(
            "docs/reference.md is not what the docstrings say now; rewrite it:\n"
            '.venv/bin/python -c "from pathlib import Path; '
            "from pricing.report.reference import reference_markdown as page; "
            "Path('docs/reference.md').write_text(page(), encoding='utf-8')\""
        )


def test_the_index_links_every_page_and_every_link_leads_somewhere():
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    for page in DOCS.glob("*.md"):
        if page.name != "README.md":
            assert f"({page.name})" in index, f"docs/README.md does not link {page.name}"
        for link in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (DOCS / link).exists(), f"{page.name} links {link}"


def test_paths_that_pages_name_are_there():
    roots = ("src/", "tests/", "data/", "notebooks/", "docs/", "benchmarks/")
    for page in ("README.md", "extending.md", "mathematics.md", "how_to.md", "tutorial.md"):
        for named in re.findall(r"`([\w./-]+)`", (DOCS / page).read_text(encoding="utf-8")):
            if named.startswith(roots):
                assert (DOCS.parent / named).exists(), f"{page} names {named}"


@pytest.mark.parametrize("page", ["mathematics.md", "extending.md", "warehouse.md"])
def test_a_page_that_shows_code_shows_code_that_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    known: dict = {}
    for number, (kind, name, text) in enumerate(blocks(page)):
        run_block(kind, name, text, known, f"docs/{page}, block {number + 1}")
