"""What changed since the last run: told from its record, and never from the clock."""

from __future__ import annotations

import json
import re

import pytest

from pricing.report.last_run import changes_between, marked
from pricing.report.page import write
from pricing.report.run_record import last_of, read_record
from pricing.study.chain import open_study


def files_of(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def since(page):
    return re.search(r'<section id="since">(.*?)</section>', page.read_text("utf-8"), re.S)[1]


def other(randhie):
    """The same study with another cap, and one result fewer."""
    study, settings = open_study(randhie.study.path), randhie.study.settings
    discount = settings.discount.model_copy(update={"cap": 0.10})
    study.settings = settings.model_copy(update={"discount": discount, "validation": None})
    return study, study.run()


@pytest.fixture(scope="module")
def changed(randhie):
    return other(randhie)


def test_a_first_run_says_that_it_is_the_first(randhie):
    text = since(randhie.folder / "index.html")
    assert "No earlier run that differs" in text
    assert "没有与本次不同的先前运行" in text
    assert "<table" not in text
    assert read_record(randhie.folder)["last"] is None


def test_what_moved_is_told_and_a_run_again_gives_the_same_bytes(randhie, changed, tmp_path):
    out = tmp_path / "report"
    write(randhie.study, randhie.results, out)
    first = files_of(out)
    text = since(write(*changed, out))
    assert "discount.cap" in text
    assert "<td>0.2</td><td>0.1</td>" in text
    assert "No longer in the report" in text
    assert "不再包含的结果" in text
    assert "The data are the same" in text  # the settings moved, the rows did not
    assert re.search(r"<mark>[^<]+</mark>", text)
    second = files_of(out)
    assert second != first
    write(*changed, out)  # the very same run once more
    assert files_of(out) == second
    write(randhie.study, randhie.results, out)  # and back: now the other is the last
    assert "New in the report" in since(out / "index.html")
    third = files_of(out)
    write(randhie.study, randhie.results, out)
    assert files_of(out) == third


def test_only_the_record_and_the_section_depend_on_the_last_run(randhie, changed, tmp_path):
    out = tmp_path / "report"
    write(*changed, out)
    write(randhie.study, randhie.results, out)
    ours, fresh = files_of(out), files_of(randhie.folder)
    differ = {str(name) for name in fresh if ours[name] != fresh[name]}
    assert ours.keys() == fresh.keys()
    assert differ == {"index.html", "run.json"}
    pages = [re.sub(r'<section id="since">.*?</section>', "", p.read_text("utf-8"), flags=re.S)
             for p in (out / "index.html", randhie.folder / "index.html")]  # fmt: skip
    assert pages[0] == pages[1]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '"a"', '{"study": 3}', '{"study": "randhie", "facts": 1}', "\udcff"]
)
def test_a_record_that_cannot_be_read_is_no_last_run(randhie, tmp_path, text):
    out = tmp_path / "report"
    out.mkdir()
    (out / "run.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    write(randhie.study, randhie.results, out)
    assert files_of(out) == files_of(randhie.folder)


def test_the_run_of_another_study_is_no_last_run(randhie, tmp_path):
    record = read_record(randhie.folder)
    out = tmp_path / "report"
    out.mkdir()
    (out / "run.json").write_text(json.dumps(record | {"study": "another"}), encoding="utf-8")
    write(randhie.study, randhie.results, out)
    assert files_of(out) == files_of(randhie.folder)


def test_a_record_of_an_older_version_is_compared_with_what_it_has(randhie, tmp_path):
    record = read_record(randhie.folder)
    for name in ("last", "data", "decided", "title", "period", "packages", "settings"):
        record.pop(name)
    out = tmp_path / "report"
    out.mkdir()
    (out / "run.json").write_text(json.dumps(record), encoding="utf-8")
    text = since(write(randhie.study, randhie.results, out))
    assert "No finding moved." in text
    assert "The data are" not in text  # nothing is said of what the old record does not tell


EMPTY = {"study": "s", "findings": {}, "facts": {}}


def test_packages_and_data_that_differ_are_named():
    old = EMPTY | {"packages": {"polars": "2.1.0", "glum": "3.4"}, "data": "aa"}
    new = EMPTY | {"packages": {"polars": "2.2.0", "numpy": "2.4"}, "data": "bb"}
    said = [line["en"] for line in changes_between(old, new).lines]
    assert said == [
        "The data are others: fingerprint aa before, bb now.",
        "Package glum: 3.4 before, – now.",
        "Package numpy: – before, 2.4 now.",
        "Package polars: 2.1.0 before, 2.2.0 now.",
    ]


def test_figures_that_agree_to_nine_digits_have_not_moved():
    def of(**facts):
        return EMPTY | {"facts": {"schedule": facts}}

    assert changes_between(of(x=1.0, n=3), of(x=1.0 + 1e-12, n=3)).figures == ()
    found = changes_between(of(x=1.0, n=3, a={"b": "u"}), of(x=1.0001, n=4, a={"b": None})).figures
    assert [(f.name["en"], f.before, f.now, f.change) for f in found] == [
        ("x", "1", "1.0001", "+0.0001"),
        ("n", "3", "4", "+1"),
        ("a.b", "u", "–", ""),
    ]


def test_a_yes_is_no_number():
    old, new = ({**EMPTY, "facts": {"a": {"ok": ok}}} for ok in (True, 1))
    assert changes_between(old, new).figures == ()  # JSON keeps them apart, a reader need not
    found = changes_between(
        {**EMPTY, "facts": {"a": {"ok": True}}}, {**EMPTY, "facts": {"a": {"ok": False}}}
    )
    assert [(f.before, f.now, f.change) for f in found.figures] == [("True", "False", "")]


def test_moved_words_are_marked_and_nothing_becomes_markup():
    before, now = marked("<b>从 14.18% 升至 20%</b>", "<b>从 14.20% 升至 20%</b>")
    assert str(now) == "&lt;b&gt;从 <mark>14.20%</mark> 升至 20%&lt;/b&gt;"
    assert str(before) == "&lt;b&gt;从 <mark>14.18%</mark> 升至 20%&lt;/b&gt;"
    assert marked("same", "same") == ("same", "same")
    assert marked("", "new")[1] == "<mark>new</mark>"


def test_the_last_run_is_carried_through_any_number_of_repeats():
    old, new = EMPTY | {"facts": {"a": {"x": 1}}}, EMPTY | {"facts": {"a": {"x": 2}}}
    held = None
    for record in (old, new, new, new):
        last = last_of(record, held)
        held = record | {"last": last}
    assert held["last"] == old
    assert last_of(old, held) == new
