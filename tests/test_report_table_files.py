"""Tables beside the page: what a spreadsheet opens says what the data say, and runs nothing."""

from __future__ import annotations

import csv
from datetime import date

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from pricing.report.blocks import sections_of
from pricing.report.table_files import STARTS, names_of, write_csv, write_files
from pricing.result.words import LANGUAGES, label


def read(path):
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


def written(tmp_path, table, lang="en"):
    write_csv(table, tmp_path / "t.csv", lang=lang)
    return read(tmp_path / "t.csv")


@pytest.fixture(params=["huoli", "randhie"], scope="module")
def ran(request):
    return request.getfixturevalue(request.param)


def test_every_table_of_the_page_stands_beside_it_to_the_last_digit(ran):
    blocks = [b for section in sections_of(ran.results) for b in section.blocks]
    assert len({b.name for b in blocks}) == len(blocks)
    for block in blocks:
        files, whole = names_of(block.name), block.whole["en"]
        assert_frame_equal(pl.read_parquet(ran.folder / files.parquet), whole)
        for lang in LANGUAGES:
            raw = (ran.folder / files.csv[lang]).read_bytes()
            assert raw.startswith(b"\xef\xbb\xbf"), block.name  # Excel asks for it
            rows = read(ran.folder / files.csv[lang])
            assert rows[0] == [label(c, lang) for c in block.whole[lang].columns]
            assert len(rows) == 1 + whole.height
        for place, (name, kind) in enumerate(whole.schema.items()):
            if kind.is_float():
                told = [float(row[place]) if row[place] else None for row in rows[1:]]
                assert told == whole[name].to_list(), (block.name, name)


@pytest.mark.parametrize("start", list(STARTS))
def test_no_text_starts_a_formula(tmp_path, start):
    text = f"{start}cmd|' /C calc'!A0"
    rows = written(tmp_path, pl.DataFrame({text: [text], "plain": ["a=b"], "n": [-1.5]}))
    assert rows == [[f"'{text}", "plain", rows[0][2]], [f"'{text}", "a=b", "-1.5"]]


def test_cells_keep_quotes_commas_lines_and_chinese(tmp_path):
    table = pl.DataFrame(
        {
            "health_group": ['a,"b"', "第一行\n第二行", None],
            "sex": ["male", "female", None],
            "ok": [True, False, None],
            "day": [date(2026, 1, 2), None, None],
            "parts": [["x", "y"], [], None],
            "far": [1e-300, 1 / 3, None],
        },
        schema_overrides={"sex": pl.Enum(["female", "male"])},
    )
    rows = written(tmp_path, table, "zh")
    assert rows[0][:2] == ["健康组", "性别"]
    assert rows[1][:5] == ['a,"b"', "男", "是", "2026-01-02", "x; y"]
    assert rows[2][:5] == ["第一行\n第二行", "女", "否", "", ""]
    assert [float(row[5]) for row in rows[1:3]] == [1e-300, 1 / 3]
    assert rows[3] == [""] * 6


def test_an_empty_table_has_its_headings(tmp_path):
    assert written(tmp_path, pl.DataFrame(schema={"sex": pl.String})) == [["Sex"]]


def test_the_same_table_gives_the_same_bytes(tmp_path):
    table = pl.DataFrame({"sex": ["male"], "relativity": [1.25]})
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
        write_files(dict.fromkeys(LANGUAGES, table), "t", folder)
    for name in ("t.en.csv", "t.zh.csv", "t.parquet"):
        assert len({(f / "tables" / name).read_bytes() for f in folders}) == 1
