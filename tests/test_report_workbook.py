"""The workbook beside the page: every table whole, no text a formula, the same bytes each time."""

from __future__ import annotations

import math
import re
import zipfile
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from xml.etree import ElementTree

import fastexcel
import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from pricing.errors import InputError
from pricing.report.workbook import HEADER, TOLD, write_workbook
from pricing.result import words
from pricing.result.shape import Basis, Result

TITLE = {"en": "A study", "zh": "研究"}
EVIL = ["=1+1", "+A1", "-2+3", "@SUM(A1)", "http://x.y", "internal:'basis'!A1", "{=1}", "\t=1"]
EVIL += ["mailto:a@b", "file:///etc", "<b>&amp;", "007", "1e5", "_x0041_"]
ITSELF = re.compile(r"[\[\]:*?/\\']")


@dataclass(frozen=True, kw_only=True)
class Told(Result):
    """A result that says what it is told."""

    kind = "told"
    said: str = "Nothing."

    def finding(self, lang="en"):
        return f"{lang}: {self.said}"


Result.kinds.pop("told")  # known to these tests only


@pytest.fixture(params=["huoli", "randhie"], scope="module")
def ran(request):
    return request.getfixturevalue(request.param)


def written(folder, results, **options):
    path = folder / "tables.xlsx"
    write_workbook(results, path, **{"title": TITLE} | options)
    return path


def sheet(path, name, schema=None):
    """A sheet read from its row of names on; with the kinds of a frame, as that frame."""
    book = fastexcel.read_excel(path)
    if schema is None:
        return book.load_sheet(name, header_row=HEADER).to_polars()
    kinds = {c: "float" if k.is_numeric() else "string" for c, k in schema.items()}
    kinds |= {c: "boolean" for c, k in schema.items() if k == pl.Boolean}
    kinds |= {c: "date" for c, k in schema.items() if k == pl.Date}
    read = book.load_sheet(name, header_row=HEADER, dtypes=kinds).to_polars()
    return read.cast({c: k for c, k in schema.items() if read.schema[c] != k})


def head(path, name):
    rows = fastexcel.read_excel(path).load_sheet(name, header_row=None, n_rows=HEADER + 1)
    return [[v for v in row if v is not None] for row in rows.to_polars().cast(pl.String).rows()]


def parts(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def same(read, table):
    """Equal to the last digit; a blank text and no text are one in Excel."""
    blank = pl.col(pl.String).replace("", None)
    assert_frame_equal(
        read.with_columns(blank),
        table.with_columns(blank),
        check_exact=True,
        categorical_as_str=True,
    )


# The studies


def test_every_table_of_a_study_reads_back_to_the_last_digit(ran):
    path = ran.folder / "tables.xlsx"
    contents = sheet(path, "contents")
    lines = iter(contents.to_dicts())
    kept = []
    for name, result in ran.results.items():
        for key, table in {"": result.table, **result.frames}.items():
            line = next(lines)
            assert line["rows"] == table.height
            if line["sheet"]:
                same(sheet(path, line["sheet"], table.schema), table)
                kept.append((name, key))
            else:
                assert line["not_here"], (name, key)
    assert next(lines, None) is None
    assert {(name, "") for name in ran.results} <= set(kept)
    assert ("schedule", "states") in kept
    assert ("contest", "segments") in kept


def test_what_has_no_sheet_is_named_with_its_reason(huoli):
    contents = sheet(huoli.folder / "tables.xlsx", "contents").filter(pl.col("sheet").is_null())
    why = dict(zip(contents["heading_en"], contents["not_here"], strict=True))
    long = why["How bad a year can be · distribution of the year's loss"]
    rows = huoli.results["aggregate_loss"].frames["distribution"].height
    assert f"{rows:,} rows" in long
    assert "distribution.parquet" in long
    assert "未列入" in long
    assert (huoli.folder / "results" / "aggregate_loss" / "distribution.parquet").is_file()
    assert why["Data check · rows rejected, by rule"] == "no rows / 无数据行"
    assert why["The tariff: frequency times severity · frequency · table"].startswith(
        "the same as sheet frequency /"
    )


def test_every_finding_stands_in_both_languages_on_its_sheet_and_in_the_contents(ran):
    path = ran.folder / "tables.xlsx"
    told = sheet(path, "contents").filter(pl.col("finding_en").is_not_null())
    assert told.height == len(ran.results)
    for line, result in zip(told.to_dicts(), ran.results.values(), strict=True):
        both = [result.finding("en"), result.finding("zh")]
        assert [line["finding_en"], line["finding_zh"]] == both
        top = head(path, line["sheet"])
        assert [top[1][0], top[2][0]] == both
        assert top[0] == [f"{line['heading_en']} / {line['heading_zh']}"]
        assert top[3] == ["Contents / 目录"]
        columns = result.table.columns
        assert top[HEADER] == columns
        labels = [list(dict.fromkeys(words.label(c, n) for n in ("en", "zh"))) for c in columns]
        assert top[HEADER - 1] == ["\n".join(both) for both in labels]
    assert head(path, "contents")[0] == [f"{ran.study.title('en')} / {ran.study.title('zh')}"]


def test_every_basis_stands_beside_its_sheet(ran):
    basis = sheet(ran.folder / "tables.xlsx", "basis")
    assert basis.height == len(ran.results)
    for line, result in zip(basis.to_dicts(), ran.results.values(), strict=True):
        held = result.basis
        assert line["fingerprint"] == held.fingerprint
        assert line["rows"] == held.rows
        assert line["exposure"] == held.exposure
        assert line["observation_period"] == held.period
        assert (line["notes"] or "") == "; ".join(held.notes)
        assert (line["filters"] or "") == "; ".join(held.filters)


def test_the_dictionary_names_every_column_and_value(ran):
    path = ran.folder / "tables.xlsx"
    rows = sheet(path, "dictionary")
    said = {(r["column"], r["value_of"]): (r["label_en"], r["label_zh"]) for r in rows.to_dicts()}
    assert len(said) == rows.height
    for name in fastexcel.read_excel(path).sheet_names:
        if name not in ("contents", "basis", "dictionary"):
            for column in sheet(path, name).columns:
                assert said[column, None] == (words.label(column, "en"), words.label(column, "zh"))
    assert said["table", "person_years" if ran.study.name == "randhie" else "policies"]
    if ran.study.name == "randhie":
        assert said["health_group", "excellent"] == ("excellent", "优")
    else:  # a tier and a column share a name
        assert said["tier", "premium"][1] != said["quantity", "premium"][1] == "保费"


def test_links_lead_to_sheets_and_back(ran):
    path = ran.folder / "tables.xlsx"
    names = fastexcel.read_excel(path).sheet_names
    assert names[:2] == ["contents", "basis"]
    assert names[-1] == "dictionary"
    space = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
    found = {}
    for place, name in enumerate(names, start=1):
        root = ElementTree.fromstring(parts(path)[f"xl/worksheets/sheet{place}.xml"])
        found[name] = [h.get("location") for h in root.iter(f"{space}hyperlink")]
        panes = list(root.iter(f"{space}pane"))
        assert [p.get("ySplit") for p in panes] == [str(HEADER + 1)]
        filters = [f.get("ref") for f in root.iter(f"{space}autoFilter")]
        assert [ref.startswith(f"A{HEADER + 1}:") for ref in filters] == [True]
    assert found["contents"] == [f"'{name}'!A1" for name in names[2:-1]]
    assert {tuple(found[name]) for name in names[2:]} == {("'contents'!A1",)}


def test_a_second_write_gives_the_same_bytes(ran, tmp_path):
    titles = {n: ran.study.title(n) for n in words.LANGUAGES}
    again = written(tmp_path, ran.results, title=titles).read_bytes()
    assert again == (ran.folder / "tables.xlsx").read_bytes()
    assert b"2000-01-01T00:00:00Z" in parts(tmp_path / "tables.xlsx")["docProps/core.xml"]


def test_no_cell_is_a_formula_and_nothing_leads_out(ran):
    for name, text in parts(ran.folder / "tables.xlsx").items():
        assert b"<f>" not in text, name
        assert b'TargetMode="External"' not in text, name


# What data may hold


def test_a_text_that_looks_like_a_formula_or_a_link_is_a_text(tmp_path):
    table = pl.DataFrame({"=cmd|' /C calc'!A0": EVIL, "@x": EVIL})
    basis = Basis(source="=1+1", notes=("@SUM(A1)",), filters=("+1",))
    result = Told(table=table, basis=basis, said="=1+1")
    path = written(tmp_path, {"=evil:@x": result}, title={"en": "=1+1", "zh": "@A1"})
    names = fastexcel.read_excel(path).sheet_names
    assert names == ["contents", "basis", "_evil _x", "dictionary"]
    same(sheet(path, "_evil _x", table.schema), table)
    for name, text in parts(path).items():
        assert b"<f>" not in text, name
        assert b"External" not in text, name
    shared = parts(path)["xl/sharedStrings.xml"].decode()
    assert all(f">{word}<" in shared for word in ("=1+1", "@SUM(A1)", "-2+3"))
    styles = parts(path)["xl/styles.xml"].decode()
    assert 'quotePrefix="1"' in styles  # a text stays a text when somebody edits the cell


def test_numbers_keep_all_their_digits(tmp_path):
    rng = np.random.default_rng(7)
    values = np.concatenate(
        [
            rng.normal(size=500) * 10.0 ** rng.integers(-300, 300, 500),
            [0.1, 1 / 3, math.pi, 5e-324, 1.7976931348623157e308, -0.0, 123456789.123456789],
        ]
    )
    whole = [2**53, -(2**53), *range(values.size - 2)]
    table = pl.DataFrame({"value": values, "amount": values, "rows": whole})
    read = sheet(written(tmp_path, {"digits": Told(table=table)}), "digits", table.schema)
    assert (read["value"].to_numpy() == values).all()
    same(read, table)


def test_what_excel_has_no_number_for_stands_as_text(tmp_path):
    when = datetime(2024, 2, 29, 12, 30, tzinfo=UTC)
    table = pl.DataFrame(
        {
            "value": [math.nan, math.inf, -math.inf, 1.5, None],
            "far": [2**53 + 1, 1, 2, 3, None],
            "birth": [date(1899, 5, 1), date(2024, 2, 29), None, None, None],
            "month": [date(1901, 1, 1), date(2024, 2, 29), None, None, None],
            "moment": [when, when, None, None, None],
            "span": [timedelta(days=1), None, None, None, None],
            "list": [[1, 2], [], None, [3], [4]],
            "yes": [True, False, None, True, True],
            "none": [None] * 5,
            "empty": ["", "a", None, "b", "c"],
        }
    )
    path = written(tmp_path, {"odd": Told(table=table)})
    text = sheet(path, "odd", dict.fromkeys(table.columns, pl.String))
    assert text["value"].to_list() == ["NaN", "inf", "-inf", "1.5", None]
    assert text["far"].to_list() == ["9007199254740993", "1", "2", "3", None]
    assert text["birth"].to_list() == ["1899-05-01", "2024-02-29", None, None, None]
    assert text["list"].to_list()[0] == "[1, 2]" or "1" in text["list"].to_list()[0]
    assert text["moment"].to_list()[0].startswith("2024-02-29 12:30")
    assert text["span"].to_list()[0] == "1 day, 0:00:00"
    kinds = {"month": pl.Date, "yes": pl.Boolean}
    book = fastexcel.read_excel(path)
    read = book.load_sheet(
        "odd", header_row=HEADER, dtypes={"month": "date", "yes": "boolean"}
    ).to_polars()
    for name in kinds:
        assert read[name].to_list() == table[name].to_list()


def test_sheets_have_names_that_excel_takes(tmp_path):
    one = Told(table=pl.DataFrame({"x": [1.0]}), frames={"x" * 60: pl.DataFrame({"y": [1.0]})})
    names = [
        "one_way:" + "a" * 40,
        "one_way:" + "a" * 41,
        "ONE_WAY:" + "A" * 40,
        "a/b",
        "a?b",
        "a[b]",
    ]
    names += ["History", "contents", "basis", "'", "", "比" * 40, "𠮷" * 40, "x:y:z", "-", "=x"]
    path = written(tmp_path, dict.fromkeys(names, one))
    made = fastexcel.read_excel(path).sheet_names
    assert len({name.lower() for name in made}) == len(made) == 3 + len(names) + 1
    for name in made:
        assert 0 < len(name.encode("utf-16-le")) <= 62, name
        assert not ITSELF.search(name), name
        assert name.lower() != "history"
    assert made[2] == "one_way " + "a" * 23
    assert "one_way " + "a" * 21 + " 2" in made
    assert "history 2" in [name.lower() for name in made]


def test_a_long_text_is_cut_and_says_so(tmp_path):
    table = pl.DataFrame({"note": ["x" * 40_000, "y" * TOLD, "𠮷" * 40_000]})
    read = sheet(written(tmp_path, {"long": Told(table=table)}), "long", table.schema)["note"]
    assert read[0] == "x" * (TOLD - 1) + "…"
    assert read[1] == table["note"][1]
    assert read[2] == "𠮷" * (TOLD - 1) + "…"


def test_formats_follow_what_a_column_counts(tmp_path):
    table = pl.DataFrame(
        {
            "loss_ratio": [0.625],
            "premium": [1234.5],
            "claims": [12.0],
            "p_value": [1e-7],
            "relativity": [0.85],
            "accident_year": [2024],
            "month": [date(2024, 1, 1)],
        }
    )
    path = written(tmp_path, {"all": Told(table=table)})
    styles = ElementTree.fromstring(parts(path)["xl/styles.xml"])
    space = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
    own = {n.get("numFmtId"): n.get("formatCode") for n in styles.iter(f"{space}numFmt")}
    own |= {"0": "General", "1": "0", "3": "#,##0"}
    looks = [own[x.get("numFmtId")] for x in styles.find(f"{space}cellXfs")]
    root = ElementTree.fromstring(parts(path)["xl/worksheets/sheet3.xml"])
    row = next(r for r in root.iter(f"{space}row") if r.get("r") == str(HEADER + 2))
    assert [looks[int(c.get("s"))] for c in row] == [
        "0.0%",
        "#,##0",
        "#,##0",
        '[<0.0001]"< 0.0001";0.0000',
        "#,##0.0000",
        "0",
        "yyyy-mm-dd",
    ]


def test_the_language_says_which_stands_first(tmp_path):
    result = Told(table=pl.DataFrame({"sex": ["male"]}), said="说")
    path = written(tmp_path, {"one_way:sex": result}, lang="zh")
    top = head(path, "one_way sex")
    assert top[1:3] == [["zh: 说"], ["en: 说"]]
    assert top[HEADER - 1] == ["性别\nSex"]
    assert head(path, "contents")[0] == ["研究 / A study"]
    assert sheet(path, "dictionary").columns[2:] == ["label_zh", "label_en"]


def test_a_table_without_rows_and_a_study_without_results(tmp_path):
    empty = Told(table=pl.DataFrame(schema={"sex": pl.String, "exposure": pl.Float64}))
    path = written(tmp_path, {"none": empty, "nothing": Told(table=pl.DataFrame())})
    assert head(path, "none")[HEADER] == ["sex", "exposure"]
    assert fastexcel.read_excel(path).sheet_names[2:4] == ["none", "nothing"]
    path = written(tmp_path, {})
    assert fastexcel.read_excel(path).sheet_names == ["contents", "basis", "dictionary"]


def test_a_table_longer_than_told_is_named_only(tmp_path):
    result = Told(table=pl.DataFrame({"x": range(11)}), frames={"steps": pl.DataFrame({"y": [1]})})
    path = written(tmp_path, {"one": result}, longest=10)
    assert fastexcel.read_excel(path).sheet_names == [
        "contents",
        "basis",
        "one steps",
        "dictionary",
    ]
    line = sheet(path, "contents").to_dicts()[0]
    assert line["sheet"] is None
    assert "11 rows" in line["not_here"]
    assert "table.parquet" in line["not_here"]
    basis = sheet(path, "basis").to_dicts()  # nothing links to a sheet that is not there
    assert [(line["sheet"], line["heading_en"]) for line in basis] == [(None, "told")]
    same(
        sheet(written(tmp_path, {"one": result}, longest=11), "one", result.table.schema),
        result.table,
    )


@pytest.mark.parametrize(
    ("name", "options", "why"),
    [
        ("tables.xls", {}, r"tables\.xls: is not an \.xlsx file"),
        ("tables.xlsx", {"title": {"en": "A"}}, r"the title lacks \['zh'\]"),
        ("tables.xlsx", {"longest": 0}, "longest is 0, not within 1 to 1,048,570"),
        ("tables.xlsx", {"longest": 2_000_000}, "longest is 2,000,000"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, name, options, why):
    with pytest.raises(InputError, match=why):
        write_workbook({}, tmp_path / name, **{"title": TITLE} | options)
    assert not list(tmp_path.iterdir())


def test_a_write_that_fails_leaves_the_last_workbook(tmp_path, monkeypatch):
    path = written(tmp_path, {})
    before = path.read_bytes()
    result = Told(table=pl.DataFrame({"x": [1.0]}))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(InputError, match="no space left"):
        written(tmp_path, {"one": result})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["tables.xlsx"]
