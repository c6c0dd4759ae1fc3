"""The report: one file that opens offline, in two languages, whole or not at all."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import signal
import subprocess
import sys
from base64 import b64decode
from dataclasses import dataclass, field
from html.parser import HTMLParser

import numpy as np
import polars as pl
import pytest
from plotly.offline import get_plotlyjs

from pricing.data.tables import bundled
from pricing.errors import InputError
from pricing.files import require_replaceable
from pricing.report import page as page_module
from pricing.report.page import MARK, packed_plotly, write
from pricing.report.tables import render
from pricing.result import words
from pricing.result.shape import Result
from pricing.study.chain import open_study

VOID = {"meta", "link", "br", "img", "input", "hr", "col", "wbr"}


@dataclass
class Node:
    """An element of the page."""

    tag: str
    attributes: dict = field(default_factory=dict)
    children: list = field(default_factory=list)

    def walk(self):
        yield self
        for child in self.children:
            if isinstance(child, Node):
                yield from child.walk()

    def find(self, tag=None, css=None):
        return [
            n
            for n in self.walk()
            if n is not self
            and (tag is None or n.tag == tag)
            and (css is None or css in (n.attributes.get("class") or "").split())
        ]

    @property
    def text(self):
        return "".join(c.text if isinstance(c, Node) else c for c in self.children)


class Reader(HTMLParser):
    """Read a page as a tree and refuse what does not close."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.stack = [Node("root")]

    def handle_starttag(self, tag, attrs):
        node = Node(tag, dict(attrs))
        self.stack[-1].children.append(node)
        if tag not in VOID:
            self.stack.append(node)

    def handle_startendtag(self, tag, attrs):
        self.stack[-1].children.append(Node(tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.stack[-1].tag == tag, (tag, self.stack[-1])
        self.stack.pop()

    def handle_data(self, data):
        self.stack[-1].children.append(data)


def tree(page):
    reader = Reader()
    reader.feed(page.replace(packed_plotly(), "plotly.js"))
    reader.close()
    assert len(reader.stack) == 1
    return reader.stack[0]


@pytest.fixture(params=["huoli", "randhie"], scope="module")
def ran(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def root(ran):
    return tree(ran.page)


def test_it_is_one_page_with_one_plotly_and_less_than_six_megabytes(ran):
    page = ran.page
    packed = re.findall(r'<script type="text/plain" id="plotly">([\w+/=]+)</script>', page)
    assert [gzip.decompress(b64decode(text)).decode() for text in packed] == [get_plotlyjs()]
    assert len(page.encode()) < 6_000_000
    assert sorted(p.name for p in ran.folder.iterdir()) == [
        "index.html",
        "results",
        "run.json",
        "tables",
        "tables.xlsx",
    ]


def test_nothing_is_loaded_from_a_network(ran, root):
    loads = [
        (node.tag, name, value)
        for node in root.walk()
        for name, value in node.attributes.items()
        if name in ("src", "href", "srcset", "action", "data", "poster", "xlink:href", "background")
    ]
    assert loads
    assert {(tag, name) for tag, name, _ in loads} == {("a", "href")}
    files = [value for *_, value in loads if not value.startswith("#")]
    assert files[0] == "tables.xlsx"
    assert len(set(files)) > 20
    assert not [name for name in files if not (ran.folder / name).is_file()]
    assert {f"tables/{p.name}" for p in (ran.folder / "tables").iterdir()} == set(files[1:])
    ours = ran.page.replace(packed_plotly(), "")
    assert "://" not in ours
    assert not re.search(r"@import|url\(|//cdn|fetch\(|XMLHttpRequest|sendBeacon", ours)
    assert not root.find("link")
    targets = {n.attributes["id"] for n in root.walk() if "id" in n.attributes}
    assert {value[1:] for *_, value in loads if value.startswith("#")} <= targets


def test_ids_do_not_repeat(root):
    ids = [n.attributes["id"] for n in root.walk() if n.attributes.get("id")]
    assert len(ids) == len(set(ids))


def both(node):
    return {lang: [n.text.strip() for n in node.find("span", lang)] for lang in words.LANGUAGES}


def test_every_heading_and_finding_is_in_both_languages(root):
    spoken = [
        n
        for tag in ("h1", "h2", "h3", "button", "li", "p")
        for n in root.find(tag)
        if n.find("span") or n.find("a")
    ]
    assert len(spoken) > 30
    for node in spoken:
        said = both(node)
        assert len(said["en"]) == len(said["zh"]) == 1, node.text
        assert said["en"][0]
        assert said["zh"][0]
        assert not re.search("[\u4e00-\u9fff]", said["en"][0]) or node.tag == "button"
    for node in root.find("h2") + root.find("p", "finding") + root.find("p", "note"):
        assert re.search("[\u4e00-\u9fff]", both(node)["zh"][0]), node.text
    for section in root.find("section"):
        assert section.find("h2"), section.attributes


def test_every_figure_is_followed_by_its_table_in_each_language(root):
    articles = root.find("article")
    assert len(articles) > 8
    figures = 0
    for article in articles:
        halves = {lang: article.find("div", lang) for lang in words.LANGUAGES}
        assert {lang: len(found) for lang, found in halves.items()} == {"en": 1, "zh": 1}
        counts = set()
        for found in halves.values():
            drawn = found[0].find("div", "plotly-graph-div")
            tables = found[0].find("table")
            counts.add((len(drawn), len(tables)))
            assert len(tables) == 1
            if drawn:
                inside = list(found[0].walk())
                assert inside.index(drawn[0]) < inside.index(tables[0])
                figures += 1
        assert len(counts) == 1
    assert figures >= 10
    assert len(root.find("div", "plotly-graph-div")) == figures


def test_the_decision_comes_first(ran, root):
    sections = [s.attributes["id"] for s in root.find("section")]
    assert sections[0] == "decision"
    assert sections[-1] == "basis"
    assert sections[1:3] == ["since", "schedule"]
    first = root.find("section")[0]
    said = [both(li)["en"][0] for li in first.find("li")]
    assert said[0] == ran.results["schedule"].finding("en")
    assert len(said) == 4
    assert ran.results["aggregate_loss"].finding("en") in said
    assert len(sections) - 2 <= 18
    links = [a.attributes["href"] for a in root.find("nav")[0].find("a")]
    assert links == [f"#{name}" for name in sections[2:]]


def test_the_first_findings_stand_beside_the_figures_of_their_sections(root):
    first = root.find("section")[0].find("li")
    drawn = {n.attributes["id"] for n in root.find("div", "plotly-graph-div")}
    for place, li in enumerate(first):
        asked = [n.attributes["data-figure"] for n in li.find("div", "drawn")]
        assert len(asked) == (2 if place < 3 else 0)
        assert set(asked) <= drawn  # no figure stands twice in the page
    assert [n.attributes["data-figure"] for n in first[0].find("div", "drawn")] == [
        "figure-schedule-en",
        "figure-schedule-zh",
    ]


def test_every_table_folds_and_says_what_it_rests_on(ran, root):
    for article in root.find("article"):
        for half in article.find("div", "en") + article.find("div", "zh"):
            table, rests = half.find("details")
            rows = len(table.find("tbody")[0].find("tr"))
            assert ("open" in table.attributes) == (rows <= 12)
            assert f"{rows:,}" in table.find("summary")[0].text
            assert "open" not in rests.attributes
            told = dict(
                zip(
                    (n.text for n in rests.find("dt")),
                    (n.text for n in rests.find("dd")),
                    strict=True,
                )
            )
            assert ran.study.name in told.values() or len(told) > 2
    basis = ran.results["schedule"].basis
    said = root.text
    assert all(text in said for text in (basis.fingerprint, basis.period, *basis.notes))


def test_every_finding_of_every_result_stands_in_the_page(ran, root):
    text = root.text
    for name, result in ran.results.items():
        for lang in words.LANGUAGES:
            assert result.finding(lang) in text, (name, lang)
    for lang in words.LANGUAGES:
        assert ran.study.title(lang) in root.find("h1")[0].text
        assert str(getattr(ran.study.settings.study.source, lang)) in text
        for note in ran.study.settings.study.notes:
            assert str(getattr(note, lang)) in text


def test_every_column_and_level_that_a_reader_sees_has_a_label(ran, monkeypatch, tmp_path):
    """No raw name reaches the page: all are in the catalogue, in both languages."""
    real, missing = words.label, set()

    def spy(name, lang):
        missing.update(n for n in name.split(":") if f"term.{n}" not in words.catalogue())
        return real(name, lang)

    for module in [m for n, m in sys.modules.items() if n.startswith("pricing.")]:
        if getattr(module, "label", None) is real:
            monkeypatch.setattr(module, "label", spy)
    write(ran.study, ran.results, tmp_path / "out")
    assert missing <= {"", "1"}, f"add to words.toml: {sorted(missing)}"


def test_headers_of_the_tables_are_not_bare_names(root):
    headers = {th.text.strip() for th in root.find("th")}
    assert len(headers) > 40
    assert not [h for h in headers if "_" in h]


def test_the_catalogue_is_whole():
    for key, texts in words.catalogue().items():
        assert set(texts) == set(words.LANGUAGES), key
        fields = [set(re.findall(r"{(\w+)", texts[lang])) for lang in words.LANGUAGES]
        assert fields[0] == fields[1], key
        assert all(text.strip() for text in texts.values()), key


def test_the_run_record_names_what_made_it(ran):
    record = json.loads((ran.folder / "run.json").read_text(encoding="utf-8"))
    assert record["fingerprint"] == ran.study.fingerprint
    assert record["settings"] == ran.study.settings.model_dump(mode="json")
    assert set(record["findings"]) == set(ran.results)
    assert record["fingerprints"] == {n: r.basis.fingerprint for n, r in ran.results.items()}
    assert {"pricing", "polars", "numpy"} <= set(record["packages"])
    assert "NaN" not in (ran.folder / "run.json").read_text(encoding="utf-8")


def files_of(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_second_write_gives_the_same_bytes(ran, tmp_path):
    first = files_of(ran.folder)
    write(ran.study, ran.results, tmp_path / "again")
    assert files_of(tmp_path / "again") == first
    write(ran.study, ran.results, tmp_path / "again")  # over itself
    assert files_of(tmp_path / "again") == first


# What data may hold

EVIL = "<script>alert('x')</script>"
TITLE = "</title><script>alert(1)</script>&amp;{{ 7 * 7 }}"


@pytest.fixture
def evil(tmp_path):
    rng = np.random.default_rng(1)
    n = 800
    group = rng.integers(0, 2, n)
    pl.DataFrame(
        {
            "exposure": np.full(n, 1.0),
            "claims": rng.poisson(1.0 - 0.4 * group),
            "health_group": np.array(["G0", EVIL])[group],
            "a<script>b": np.array(["x", '"><img src=x onerror=alert(2)>'])[rng.integers(0, 2, n)],
            "sex": np.array(["female", "male"])[rng.integers(0, 2, n)],
        }
    ).write_csv(tmp_path / "years.csv")
    text = f"""
[study]
name = "evil"
title = {{ en = {json.dumps(TITLE)}, zh = {json.dumps(TITLE)} }}
source = {{ en = {json.dumps(TITLE)}, zh = {json.dumps(TITLE)} }}
[[study.notes]]
en = {json.dumps(TITLE)}
zh = {json.dumps(TITLE)}
[tables.person_years]
files = "years.csv"
[tables.person_years.factors]
health_group = ["G0", {json.dumps(EVIL)}]
"a<script>b" = []
sex = []
[model]
frequency = "sex"
one_way = ["health_group", "a<script>b"]
[discount]
order = ["G0", {json.dumps(EVIL)}]
[premium]
target_loss_ratio = 0.7
cost_per_claim = 1.0
"""
    path = tmp_path / "study.toml"
    path.write_text(text, encoding="utf-8")
    study = open_study(path)
    results = study.run()
    return study, results, write(study, results, tmp_path / "out")


def test_no_title_level_or_column_becomes_markup(evil):
    _, results, path = evil
    page = path.read_text(encoding="utf-8").replace(packed_plotly(), "")
    assert EVIL in results["schedule"].discounts  # it was in the data
    root = tree(page)
    assert not root.find("img")
    assert not [n for n in root.walk() if any(a.startswith("on") for a in n.attributes)]
    scripts = root.find("script")
    ours = [
        s for s in scripts if s.attributes.get("type", "") not in ("text/plain", "application/json")
    ]
    assert len(ours) == 1
    assert ours[0].text.startswith("const root")
    for script in scripts:
        assert "<script" not in script.text
        assert (
            "alert(" not in script.text
            or "\\u003cscript\\u003ealert" in script.text
            or ("\\u003cimg" in script.text)
        )
    # and the reader sees the words as they were given
    assert root.find("title")[0].text == TITLE
    assert TITLE in root.find("h1")[0].text
    assert EVIL in "".join(td.text for td in root.find("td"))
    assert "49" not in root.find("h1")[0].text
    assert sorted(p.name for p in (path.parent / "results").iterdir() if "one_way" in p.name) == [
        "one_way-a-script-b",
        "one_way-health_group",
    ]


def test_a_table_escapes_its_cells_and_headings():
    html = render(pl.DataFrame({"<b>": [EVIL], "exposure": [1.0]}), "en", name="t")
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "&lt;b&gt;" in html


def test_figures_are_printed_by_their_kind():
    table = pl.DataFrame(
        {
            "health_group": ["excellent", None],
            "claims": [12_345.0, 2.0],
            "discount": [0.15, None],
            "p_value": [1e-7, 0.25],
            "relativity": [0.84921, 1.0],
            "standard_premium": [1_234.5, 10.0],
            "supported": [True, False],
        }
    )
    html = render(table, "zh", name="t")
    for word in (
        "优",
        "12,345",
        "15.0%",
        "&lt; 0.0001",
        "0.25",
        "0.8492",
        "1,234",
        "是",
        "否",
        "–",
    ):
        assert f">{word}<" in html, word


def test_decimals_follow_the_size_of_the_figures():
    table = pl.DataFrame(
        {
            "relativity": [0.5, 1.25],
            "std_error": [182.5972, 90.0],
            "deviance": [146_209.8006, 2.0],
            "estimate": [0.25147, 26_048.8573],
        }
    )
    html = render(table, "en", name="t")
    for word in ("1.2500", "182.60", "146,209.8", "0.25147", "26,049"):
        assert f">{word}<" in html, word
    assert "<style" not in html


# Whole or not at all


def test_a_write_that_fails_leaves_the_last_report_whole(randhie, tmp_path, monkeypatch):
    out = tmp_path / "report"
    write(randhie.study, randhie.results, out)
    before = files_of(out)
    saved = []

    def failing(self, path):
        saved.append(path)
        if len(saved) == 4:
            raise OSError(28, "No space left on device")
        real(self, path)

    real = Result.save
    monkeypatch.setattr(Result, "save", failing)
    with pytest.raises(InputError, match="no space left"):
        write(randhie.study, randhie.results, out)
    assert len(saved) == 4
    assert files_of(out) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == [".kept", "report"]

    def breaking(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr(page_module, "write_workbook", breaking)
    with pytest.raises(ZeroDivisionError):
        write(randhie.study, randhie.results, out)
    assert files_of(out) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == [".kept", "report"]


KILLED = """
import os, signal, sys
from pathlib import Path
from pricing.result.shape import Result
from pricing.study.chain import open_study
from pricing.report.page import write
results = {p.name: Result.load(p) for p in Path(sys.argv[1]).iterdir()}
real, saved = Result.save, []
def save(self, path):
    saved.append(path)
    if len(saved) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    real(self, path)
Result.save = save
write(open_study(sys.argv[2]), results, sys.argv[3])
"""


def test_a_write_that_is_killed_leaves_the_last_report_whole(randhie, tmp_path):
    out = tmp_path / "report"
    shutil.copytree(randhie.folder, out)
    before = files_of(out)
    arguments = [randhie.folder / "results", bundled("studies/randhie.toml"), out]
    done = subprocess.run(
        [sys.executable, "-c", "import pricing.health.effect, pricing.health.schedule\n" + KILLED]
        + [str(a) for a in arguments],
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert files_of(out) == before
    halves = [p for p in tmp_path.iterdir() if p not in (out, tmp_path / ".kept")]
    assert {p.name.startswith(".report.") for p in halves} == {True}  # the half is not in the way
    write(randhie.study, randhie.results, out)
    assert files_of(out) == before
    assert set(tmp_path.iterdir()) == {out, tmp_path / ".kept"}  # and goes with the next


def test_a_foreign_folder_or_file_is_refused_and_untouched(randhie, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(InputError, match="not a report of this package"):
        write(randhie.study, randhie.results, tmp_path / "notes")
    assert [p.name for p in (tmp_path / "notes").iterdir()] == ["thesis.txt"]
    with pytest.raises(InputError, match="not a report of this package"):
        write(randhie.study, randhie.results, tmp_path / "notes" / "thesis.txt")
    with pytest.raises(InputError, match="cannot write"):
        write(randhie.study, randhie.results, tmp_path / "notes" / "thesis.txt" / "x")
    assert (tmp_path / "notes" / "thesis.txt").read_text(encoding="utf-8") == "years of work"
    (tmp_path / "empty").mkdir()
    require_replaceable(tmp_path / "empty", **MARK)
    require_replaceable(tmp_path / "new" / "deep", **MARK)


def test_a_result_without_a_figure_still_has_its_table(randhie, tmp_path):
    only = {"data_check": randhie.results["data_check"]}
    page = write(randhie.study, only, tmp_path / "out").read_text(encoding="utf-8")
    root = tree(page)
    assert not root.find("div", "plotly-graph-div")
    assert len(root.find("table")) == 2


def test_the_slope_of_a_covariate_is_written(randhie, tmp_path):
    study, settings = open_study(randhie.study.path), randhie.study.settings
    model = settings.model.model_copy(update={"frequency": "coinsurance + chronic_diseases"})
    study.settings = settings.model_copy(update={"model": model, "validation": None})
    results = study.run()
    page = write(study, results, tmp_path / "out").read_text(encoding="utf-8")
    slope = results["frequency"].relativities("chronic_diseases")["relativity"].item()
    tables = [
        n
        for n in tree(page).find("div")
        if n.attributes.get("id") == "table-frequency-chronic_diseases-en"
    ]
    assert len(tables) == 1
    assert f"{slope:.4f}" in tables[0].text
    assert "figure-frequency-chronic_diseases" not in page


def test_interactions_are_written(randhie, tmp_path):
    study, settings = open_study(randhie.study.path), randhie.study.settings
    model = settings.model.model_copy(update={"frequency": "coinsurance * limitation"})
    study.settings = settings.model_copy(update={"model": model})
    results = study.run()
    page = write(study, results, tmp_path / "out").read_text(encoding="utf-8")
    assert 'id="figure-frequency-coinsurance-limitation-en"' in page
    cells = [td.text for td in tree(page).find("td")]
    assert "25% × yes" in cells
    assert "25% × 是" in cells
