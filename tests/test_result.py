"""The shape of every result, the words it speaks and the picture it draws."""

import importlib
import json
import pkgutil
import subprocess
import sys
from dataclasses import FrozenInstanceError
from string import Formatter

import plotly.io as pio
import polars as pl
import pytest

import pricing
from pricing.errors import InputError, nearest
from pricing.experience.cells import Experience
from pricing.experience.views import one_way
from pricing.files import fingerprint, replacing
from pricing.result import words
from pricing.result.figure import COLOURS, FONTS, interval_figure, with_points
from pricing.result.shape import VERSION, Basis, Result
from pricing.result.words import LANGUAGES, catalogue, label, level_label, say


class Sample(Result):
    kind = "sample"


class Other(Result):
    kind = "other sample"


SAMPLES = {"sample", "other sample", "result"}


def sample():
    return Sample(
        table=pl.DataFrame({"level": ["甲", "乙"], "estimate": [0.1 + 0.2, 1 / 3], "n": [1, None]}),
        basis=Basis(
            source="书.csv", filters=("age > 60",), notes=("a", "b"), rows=3, exposure=1 / 3
        ),
        facts={"share": 1 / 3, "name": "甲", "none": None},
        frames={"more": pl.DataFrame({"x": [1.0]})},
        details={"nested": [{"levels": ["a", None]}]},
    )


# -- shape ------------------------------------------------------------------------------------------


def test_a_result_is_frozen_and_a_subclass_is_known_by_its_kind():
    with pytest.raises(FrozenInstanceError):
        sample().table = pl.DataFrame()
    with pytest.raises(FrozenInstanceError):
        sample().basis.rows = 5
    assert Result.kinds["sample"] is Sample
    with pytest.raises(InputError, match="a sample result has no figure"):
        sample().figure()


def test_saved_and_loaded_is_the_same(tmp_path):
    sample().save(tmp_path / "a" / "b")
    for kind in (Result, Sample):
        back = kind.load(tmp_path / "a" / "b")
        assert type(back) is Sample
        assert back.table.equals(sample().table)
        assert back.table.schema == sample().table.schema
        assert back.frames["more"].equals(sample().frames["more"])
        assert (back.basis, back.facts, back.details) == (
            sample().basis,
            sample().facts,
            sample().details,
        )
    names = {p.name for p in (tmp_path / "a" / "b").iterdir()}
    assert names == {"result.json", "table.parquet", "more.parquet"}


def test_a_result_of_another_kind_or_a_newer_version_is_refused(tmp_path):
    path = tmp_path / "saved"
    sample().save(path)
    with pytest.raises(InputError, match="holds a sample result, not a other sample"):
        Other.load(path)
    head = json.loads((path / "result.json").read_text(encoding="utf-8"))
    newer = json.dumps(head | {"version": VERSION + 1})
    (path / "result.json").write_text(newer, encoding="utf-8")
    with pytest.raises(
        InputError, match=f"newer version .format {VERSION + 1}, this reads {VERSION}"
    ) as refused:
        Sample.load(path)
    assert str(path) in str(refused.value)
    assert "update the package" in str(refused.value)


@pytest.mark.parametrize(
    "head",
    [
        "",
        "[]",
        "3",
        "{}",
        '{"version": 1}',
        '{"version": "one", "kind": "sample"}',
        '{"version": 1, "kind": "no such"}',
        '{"version": 1, "kind": "sample", "frames": []}',
        '{"version": 1, "kind": "sample", "frames": [], "basis": {"mood": 1}, "facts": {}, "details": {}}',
        '{"version": 1, "kind": "sample", "frames": [], "basis": [], "facts": {}, "details": {}}',
        '{"version": 1, "kind": "sample", "frames": ["gone"], "basis": {"filters": [], "notes": []}, "facts": {}, "details": {}}',
    ],
)
def test_what_is_no_saved_result_is_refused_in_one_message(tmp_path, head):
    path = tmp_path / "saved"
    sample().save(path)
    (path / "result.json").write_text(head, encoding="utf-8")
    with pytest.raises(InputError, match="not a saved result"):
        Result.load(path)


def test_a_folder_or_table_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="not a saved result"):
        Result.load(tmp_path / "nothing")
    sample().save(tmp_path / "saved")
    (tmp_path / "saved" / "table.parquet").write_bytes(b"no parquet")
    with pytest.raises(InputError, match="not a saved result"):
        Result.load(tmp_path / "saved")


def test_a_figure_that_is_no_number_is_never_written(tmp_path):
    sample().save(tmp_path / "saved")
    before = (tmp_path / "saved" / "result.json").read_bytes()
    broken = Sample(table=pl.DataFrame({"x": [1]}), facts={"share": float("nan")})
    with pytest.raises(ValueError, match="Out of range float"):
        broken.save(tmp_path / "saved")
    assert (tmp_path / "saved" / "result.json").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["saved"]


def test_writing_beside_and_renaming(tmp_path):
    target = tmp_path / "out.txt"
    target.write_text("good", encoding="utf-8")

    def fails():
        with replacing(target) as beside:
            beside.write_text("half", encoding="utf-8")
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        fails()
    assert target.read_text(encoding="utf-8") == "good"
    assert [p.name for p in tmp_path.iterdir()] == ["out.txt"]
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="cannot write"):
        sample().save(tmp_path / "file" / "below")


def test_fingerprints_tell_parts_apart():
    assert fingerprint("a", "bc") != fingerprint("ab", "c") != fingerprint("abc")
    assert fingerprint("甲") == fingerprint("甲".encode())
    assert len(fingerprint()) == 16


def test_an_error_says_where_what_and_what_to_do():
    error = InputError("3 rows are wrong", where="a.csv", do="mend them", faults=["x", "y"])
    assert str(error) == "a.csv: 3 rows are wrong\n  - x\n  - y\n  do: mend them"
    assert nearest("teir", ["tier", "sex"]) == "; did you mean 'tier'?"
    assert nearest("q", []) == ""


# -- words ------------------------------------------------------------------------------------------


def placeholders(text):
    return sorted((name, spec) for _, name, spec, _ in Formatter().parse(text) if name is not None)


@pytest.mark.parametrize("key", catalogue())
def test_every_entry_has_both_languages_with_the_same_placeholders(key):
    entry = catalogue()[key]
    assert set(entry) == set(LANGUAGES) == {"en", "zh"}
    assert all(text.strip() for text in entry.values())
    assert placeholders(entry["en"]) == placeholders(entry["zh"])


def every_kind():
    for module in pkgutil.walk_packages(pricing.__path__, "pricing."):
        if not module.name.rsplit(".", 1)[-1].startswith("__"):
            importlib.import_module(module.name)
    return set(Result.kinds) - SAMPLES


def test_every_finding_belongs_to_a_kind_of_result_and_every_kind_has_one():
    findings = {key.removeprefix("finding.") for key in catalogue() if key.startswith("finding.")}
    kinds = {kind for kind in every_kind() if not Result.kinds[kind].__module__.startswith("test")}
    assert {name.removesuffix("_truth") for name in findings} == kinds


def test_no_two_terms_or_levels_of_one_section_read_alike_by_accident():
    zh = [text["zh"] for key, text in catalogue().items() if key.startswith("term.")]
    twice = {text for text in zh if zh.count(text) > 1}
    assert twice <= {"行数", "保单年度"}  # rows and count; policy_year and its band


def test_saying():
    assert say("finding.recovery", "en", inside=9, estimates=10, level=0.95, largest=0.123) == (
        "9 of 10 relativities hold the truth in their 95% interval; the largest gap is 12.3%."
    )
    with pytest.raises(KeyError):
        say("finding.recovery", "en", inside=9)
    with pytest.raises(KeyError):
        say("finding.no_such", "zh")
    assert [label("health_group", lang) for lang in LANGUAGES] == ["Health group", "健康组"]
    assert label("no such", "zh") == "no such"
    assert level_label("male × 20-29", "zh") == "男 × 20-29"
    assert level_label("北京", "en") == "北京"
    assert words.catalogue() is catalogue()  # read once


# -- figure -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("lang", "factor", "name", "bars"), [
    ("en", "Health group", "Relativity", "Exposure (policy-years)"),
    ("zh", "健康组", "相对系数", "风险暴露（保单年）"),
])  # fmt: skip
def test_a_figure_wears_the_template_and_speaks_the_language(lang, factor, name, bars):
    figure = interval_figure(
        ["excellent", "poor", "G7"],
        [0.8, None, 1.2],
        [0.7, None, 1.0],
        [0.9, None, 1.5],
        name="relativity",
        factor="health_group",
        lang=lang,
        bars=[10.0, 0.0, 5.0],
        reference=1.0,
    )
    assert figure.layout.template.layout.font.family == FONTS
    assert "Noto Sans SC" in FONTS
    assert figure.layout.template.layout.colorway == pio.templates["pricing"].layout.colorway
    assert figure.layout.xaxis.title.text == factor
    assert figure.layout.xaxis.type == "category"
    assert figure.layout.yaxis.title.text == name
    assert figure.layout.yaxis2.title.text == bars
    drawn, points = figure.data
    assert (drawn.type, drawn.name, list(drawn.y)) == ("bar", bars, [10.0, 0.0, 5.0])
    assert (points.name, list(points.y)) == (name, [0.8, None, 1.2])
    assert list(points.x) == [level_label(v, lang) for v in ("excellent", "poor", "G7")]
    assert list(points.error_y.array) == pytest.approx([0.1, None, 0.3])
    assert list(points.error_y.arrayminus) == pytest.approx([0.1, None, 0.2])
    assert figure.layout.yaxis.overlaying == "y2"
    assert figure.layout.shapes[0].y0 == figure.layout.shapes[0].y1 == 1.0
    added = with_points(figure, ["poor"], [1.1], name="truth", lang=lang).data[2]
    assert (added.name, list(added.x)) == (label("truth", lang), [level_label("poor", lang)])
    assert added.marker.color == COLOURS["second"]


def test_without_bars_there_is_one_axis_and_percent_is_percent():
    figure = interval_figure(
        ["a"], [0.1], [0.05], [0.2], name="discount", factor="health_group", lang="en", percent=True
    )
    assert len(figure.data) == 1
    assert figure.layout.yaxis.tickformat == ".0%"
    assert "yaxis2" not in figure.to_plotly_json()["layout"]
    assert (
        figure.to_json()
        == interval_figure(
            ["a"],
            [0.1],
            [0.05],
            [0.2],
            name="discount",
            factor="health_group",
            lang="en",
            percent=True,
        ).to_json()
    )


def test_a_saved_result_loads_in_a_process_that_has_not_met_its_class(tmp_path):
    rows = pl.DataFrame({"sex": ["f", "m", "m"], "exposure": [1.0] * 3, "claims": [1, 0, 4]})
    one_way(Experience.collect(rows, ["sex"]), "sex").save(tmp_path / "seen")
    program = (
        "from pricing.result.shape import Result\n"
        f"print(type(Result.load({str(tmp_path / 'seen')!r})).__name__)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "OneWay", done.stderr


def test_save_does_not_replace_a_folder_that_is_not_a_result(tmp_path):
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "thesis.txt").write_text("years of work", encoding="utf-8")
    rows = pl.DataFrame({"sex": ["f", "m", "m"], "exposure": [1.0] * 3, "claims": [1, 0, 4]})
    with pytest.raises(InputError, match="not a saved result"):
        one_way(Experience.collect(rows, ["sex"]), "sex").save(tmp_path / "reports")
    assert (tmp_path / "reports" / "thesis.txt").exists()
