"""The index of all reports: every study once, nothing loaded, nothing of others replaced."""

from __future__ import annotations

import json
import os
import re
import shutil
from html import unescape

import pytest

from pricing.cli import main
from pricing.errors import InputError
from pricing.report.portfolio import write_index

EVIL = '</h2><script>alert("x")</script>'


@pytest.fixture
def reports(tmp_path, randhie):
    for name in ("one", "deep/two"):
        (tmp_path / name).mkdir(parents=True)
        for file in ("index.html", "run.json", "tables.xlsx"):
            shutil.copy2(randhie.folder / file, tmp_path / name / file)
    return tmp_path


def test_every_report_is_listed_with_what_it_found(reports, randhie):
    page = unescape(write_index(reports).read_text(encoding="utf-8"))
    record = json.loads((randhie.folder / "run.json").read_text(encoding="utf-8"))
    assert page.count('class="study"') == 2
    for lang in ("en", "zh"):
        assert randhie.study.title(lang) in page
        for name in record["decided"][:3]:
            assert randhie.results[name].finding(lang) in page
    assert record["data"] == randhie.study.data_fingerprint
    assert page.count(record["data"]) == 2
    links = set(re.findall(r'href="([^"]+)"', page))
    assert links == {f"{n}/{f}" for n in ("one", "deep/two") for f in ("index.html", "tables.xlsx")}
    assert not [name for name in links if not (reports / name).is_file()]
    assert "://" not in page
    assert not re.search(r"src=|@import|url\(|fetch\(", page)


def test_it_is_written_again_over_itself_with_the_same_bytes(reports):
    first = write_index(reports).read_bytes()
    assert write_index(reports).read_bytes() == first
    (reports / "one" / "report-zh.pdf").write_bytes(b"%PDF")
    assert 'href="one/report-zh.pdf"' in write_index(reports).read_text("utf-8")


def test_the_day_is_that_of_the_file(reports):
    for path in reports.glob("**/run.json"):
        os.utime(path, (1_750_000_000, 1_750_000_000))
    assert write_index(reports).read_text("utf-8").count("2025-06-15") == 2


def test_records_of_other_versions_and_broken_ones(reports):
    record = json.loads((reports / "one" / "run.json").read_text(encoding="utf-8"))
    for name in ("title", "decided", "data", "period", "last"):
        del record[name]
    (reports / "one" / "run.json").write_text(json.dumps(record), encoding="utf-8")
    (reports / "deep" / "two" / "run.json").write_text("{", encoding="utf-8")
    page = write_index(reports).read_text(encoding="utf-8")
    assert page.count('class="study"') == 1
    assert record["fingerprint"] in page
    assert "<code>deep/two/run.json</code>" in page
    assert "无法读取" in page


def test_nothing_of_a_record_or_a_folder_becomes_markup(reports):
    path = reports / "one" / "run.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    record["title"] = {"en": EVIL, "zh": 3}
    record["findings"] = {"a": {"en": EVIL, "zh": [EVIL]}, "b": EVIL}
    record["decided"] = ["a", "b", "gone"]
    path.write_text(json.dumps(record), encoding="utf-8")
    (reports / "one").rename(reports / 'o"><script>x')
    page = write_index(reports).read_text(encoding="utf-8")
    assert page.count("<script") == 1
    assert "&lt;script&gt;alert" in page


def test_what_is_not_ours_is_refused_and_untouched(reports, tmp_path_factory):
    (reports / "index.html").write_text("my page", encoding="utf-8")
    with pytest.raises(InputError, match="no index of reports"):
        write_index(reports)
    assert (reports / "index.html").read_text(encoding="utf-8") == "my page"
    with pytest.raises(InputError, match="no index of reports"):
        write_index(reports / "one")  # a report's own folder
    with pytest.raises(InputError, match="there is no such folder"):
        write_index(reports / "nowhere")
    with pytest.raises(InputError, match="there is no report in this folder"):
        write_index(tmp_path_factory.mktemp("empty"))


def test_the_command(reports, capsys):
    main_code(["index", str(reports)], 0)
    assert str(reports / "index.html") in capsys.readouterr().out
    main_code(["index", str(reports / "nowhere")], 2)
    assert "there is no such folder" in capsys.readouterr().err


def main_code(arguments, code):
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == code
