import sys

import polars as pl
import pytest

from pricing.data import Source, read_table
from pricing.errors import InputError


def refused(**options):
    with pytest.raises(InputError) as caught:
        read_table(Source(**options))
    return str(caught.value)


def test_csv_is_read_as_text_with_its_origin(tmp_path):
    (tmp_path / "a.csv").write_bytes("\ufeff编号,金额\r\n007,1.50\r\n008,\r\n".encode())
    seen = read_table(Source(files="a.csv", folder=tmp_path, columns={"claim_id": "编号"}))
    assert seen.rows() == [("007", "1.50", "a.csv", 1), ("008", None, "a.csv", 2)]
    assert seen.columns == ["claim_id", "金额", "_file", "_row"]


def test_gb18030_is_read_where_it_is_named(tmp_path):
    (tmp_path / "a.csv").write_bytes("编号,地区\n1,深圳\n".encode("gb18030"))
    seen = read_table(Source(files="a.csv", folder=tmp_path, encoding="gb18030"))
    assert seen["地区"].to_list() == ["深圳"]


def test_a_utf8_mark_is_believed_before_the_named_encoding(tmp_path):
    (tmp_path / "a.csv").write_bytes("地区\n深圳\n".encode("utf-8-sig"))
    seen = read_table(Source(files="a.csv", folder=tmp_path, encoding="gb18030"))
    assert seen["地区"].to_list() == ["深圳"]


def test_a_file_that_is_not_utf8_is_refused_at_its_byte(tmp_path):
    (tmp_path / "a.csv").write_bytes("id,地区\n1,深圳\n".encode("gb18030"))
    message = refused(files="a.csv", folder=tmp_path)
    assert "a.csv" in message
    assert "byte 4 is not utf-8" in message
    assert 'encoding = "gb18030"' in message
    (tmp_path / "b.csv").write_bytes("id\n1\n".encode("utf-16"))
    assert 'encoding = "utf-16"' in refused(files="b.csv", folder=tmp_path)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("1,2,3\n", "row 1 has 3"),
        ("1,2\n3\n", "row 2 has 1"),
        ("1,2\n3,4,", "row 2 has 3"),
        ('1,"x\ny,z"\n3\n', "row 2 has 1"),
    ],
)
def test_rows_of_the_wrong_width_are_refused(tmp_path, rows, says):
    (tmp_path / "a.csv").write_text("a,b\n" + rows, encoding="utf-8")
    message = refused(files="a.csv", folder=tmp_path)
    assert "a.csv: 1 rows do not have the header's 2 fields" in message
    assert says in message


def test_quoted_separators_line_ends_and_blank_lines_are_read_whole(tmp_path):
    text = 'a,b\r\n"1,5","x\r\ny"\r\n\r\n"say ""so""",3\r\n\r\n'
    (tmp_path / "a.csv").write_bytes(text.encode())
    seen = read_table(Source(files="a.csv", folder=tmp_path))
    assert seen.select("a", "b").rows() == [("1,5", "x\r\ny"), ('say "so"', "3")]
    assert seen["_row"].to_list() == [1, 3]


def test_widths_do_not_depend_on_where_a_block_ends(tmp_path, monkeypatch):
    text = 'a,b\r\n"1,5","x\r\ny"\r\n\r\n"say ""so""",3\r\n4,5\n,'
    (tmp_path / "a.csv").write_bytes(text.encode())
    whole = read_table(Source(files="a.csv", folder=tmp_path))
    assert whole.height == 4
    for block in range(1, len(text) + 2):
        monkeypatch.setattr("pricing.data.delimited._BLOCK", block)
        assert read_table(Source(files="a.csv", folder=tmp_path)).equals(whole)


def test_separator_and_old_line_ends(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"a;b\r1;2\r")
    seen = read_table(Source(files="a.csv", folder=tmp_path, separator=";"))
    assert seen.select("a", "b").rows() == [("1", "2")]


def test_an_open_quotation_mark_and_a_repeated_name_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text('a,b\n1,"x\n2,y\n', encoding="utf-8")
    assert "a.csv" in refused(files="a.csv", folder=tmp_path)
    (tmp_path / "b.csv").write_text("a,a\n1,2\n", encoding="utf-8")
    assert "named twice: a" in refused(files="b.csv", folder=tmp_path)


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.arrow"])
def test_an_empty_file_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    assert "the file is empty" in refused(files=name, folder=tmp_path)


def test_a_header_alone_is_no_rows(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n", encoding="utf-8")
    seen = read_table(Source(files="a.csv", folder=tmp_path))
    assert (seen.height, seen.columns) == (0, ["a", "b", "_file", "_row"])


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "a.feather"])
def test_a_damaged_file_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"PAR1 this is not the end of it")
    message = refused(files=name, folder=tmp_path)
    assert name in message
    assert "cannot be read" in message


def test_a_cut_off_parquet_file_is_refused(tmp_path):
    pl.DataFrame({"a": range(1000)}).write_parquet(tmp_path / "a.parquet")
    whole = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(whole[: len(whole) // 2])
    assert "cannot be read" in refused(files="a.parquet", folder=tmp_path)


def test_parquet_and_arrow_keep_their_types(tmp_path):
    frame = pl.DataFrame({"a": [1, 2], "b": pl.Series(["x", "y"], dtype=pl.Categorical)})
    frame.write_parquet(tmp_path / "a.parquet")
    frame.write_ipc(tmp_path / "a.feather")
    frame.write_ipc_stream(tmp_path / "a.arrow")
    for name in ("a.parquet", "a.feather", "a.arrow"):
        seen = read_table(Source(files=name, folder=tmp_path))
        assert seen.rows() == [(1, "x", name, 1), (2, "y", name, 2)]


def test_a_pattern_reads_its_files_in_order(tmp_path):
    (tmp_path / "y").mkdir()
    (tmp_path / "y" / "c-2.csv").write_text("b,a\n4,3\n", encoding="utf-8")
    (tmp_path / "y" / "c-1.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    (tmp_path / "y" / ".c-3.csv").write_text("half", encoding="utf-8")
    for files in ("y/*.csv", "y/c-*.csv", str(tmp_path / "y" / "c-*.csv"), "**/c-?.csv"):
        seen = read_table(Source(files=files, folder=tmp_path))
        assert seen.rows() == [("1", "2", "y/c-1.csv", 1), ("3", "4", "y/c-2.csv", 1)]


def test_a_file_of_a_pattern_that_lacks_a_column_is_named(tmp_path):
    (tmp_path / "c-1.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    (tmp_path / "c-2.csv").write_text("a\n1\n", encoding="utf-8")
    assert "c-2.csv lacks b" in refused(files="c-*.csv", folder=tmp_path)


def test_missing_files_name_what_is_near(tmp_path):
    (tmp_path / "claims.csv").write_text("a\n1\n", encoding="utf-8")
    message = refused(files="claim.csv", folder=tmp_path)
    assert str(tmp_path / "claim.csv") in message
    assert "near it: claims.csv" in message
    assert "in that folder: claims.csv" in refused(files="p*.csv", folder=tmp_path)
    assert "is a folder" in refused(files=".", folder=tmp_path)
    (tmp_path / "a.xlsx").write_text("x", encoding="utf-8")
    assert "'.xlsx' are not read" in refused(files="a.xlsx", folder=tmp_path)


def test_mapping_takes_theirs_once_or_more_and_keeps_the_rest():
    frame = pl.DataFrame({"x": [1], "y": [2], "a": [3]})
    seen = read_table(Source(frame=frame.lazy(), columns={"a": "x", "b": "x"}))
    assert seen.to_dicts() == [{"a": 1, "b": 1, "y": 2, "_file": "frame", "_row": 1}]


def test_a_mapped_column_that_is_not_there_is_named():
    message = refused(frame=pl.DataFrame({"policy": [1]}), columns={"policy_id": "polcy"})
    assert "policy_id = 'polcy'; did you mean 'policy'?" in message


def test_rejected_rows_can_be_mended_and_read_again():
    frame = pl.DataFrame({"a": [1], "_file": ["old"], "_row": [9], "_rules": ["x"]})
    assert read_table(Source(frame=frame)).to_dicts() == [{"a": 1, "_file": "frame", "_row": 1}]


def test_levels_turn_their_words_into_ours_and_keep_what_the_file_said(tmp_path):
    (tmp_path / "a.csv").write_bytes("编号,性别\n1,男\n2, 女 \n3,不详\n4,\n".encode("gb18030"))
    source = Source(
        files="a.csv",
        folder=tmp_path,
        encoding="gb18030",
        columns={"sex": "性别"},
        levels={"sex": {"男": "male", "女": "female"}},
    )
    seen = read_table(source)
    assert seen["sex"].to_list() == ["male", "female", "不详", None]
    assert seen["_read:sex"].to_list() == ["男", " 女 ", "不详", None]
    assert seen.columns == ["sex", "编号", "_file", "_row", "_read:sex"]


@pytest.mark.parametrize(
    ("values", "words", "ours"),
    [
        (pl.Series([1, 2, None]), {"1": "2", "2": "1"}, ["2", "1", None]),
        (pl.Series([1.0, 2.0, float("nan")]), {"1": "a"}, ["a", "2", None]),
        (pl.Series([True, False, None]), {"true": "a", "false": "b"}, ["a", "b", None]),
        (pl.Series([True, False, None]), {"yes": "a"}, ["a", "no", None]),
        (pl.Series(["M", "N/A"], dtype=pl.Categorical), {"N/A": ""}, ["M", ""]),
        (pl.Series([[1], [2]]), {"1": "a"}, [[1], [2]]),
        (pl.Series([None, None]), {"1": "a"}, [None, None]),
    ],
)
def test_levels_are_named_by_the_text_of_any_column(values, words, ours):
    seen = read_table(Source(frame=pl.DataFrame({"x": values}), levels={"x": words}))
    assert seen["x"].to_list() == ours


def test_levels_of_a_column_that_is_not_there_are_named():
    frame = pl.DataFrame({"SEX": ["M"]})
    words = {"M": "male"}
    message = refused(frame=frame, columns={"sex": "SEX"}, levels={"sx": words, "SEX": words})
    assert "2 columns with levels are not there" in message
    assert "'sx'; did you mean 'sex'?" in message


def test_a_table_written_out_and_read_again_has_one_origin(tmp_path):
    source = Source(frame=pl.DataFrame({"sex": ["M"]}), levels={"sex": {"M": "male"}})
    read_table(source).write_parquet(tmp_path / "a.parquet")
    again = read_table(Source(files="a.parquet", folder=tmp_path))
    assert again.to_dicts() == [{"sex": "male", "_file": "a.parquet", "_row": 1}]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "0 of files, duckdb, database_env, frame, loader are given"),
        ({"files": "a", "loader": "randhie"}, "files, loader"),
        ({"duckdb": "a.db"}, "duckdb and table go together"),
        ({"files": "a", "table": "t"}, "duckdb and table go together"),
        ({"files": "a", "separator": "||"}, "separator"),
        ({"files": "a", "encoding": "utf-9"}, "no encoding 'utf-9'"),
        ({"loader": "randhie", "levels": {"x": {1: "a"}}}, "levels must name texts by texts"),
        ({"loader": "randhie", "levels": {"x": "a"}}, "levels of 'x'"),
        ({"loader": "randhi"}, "did you mean 'randhie'"),
    ],
)
def test_a_source_that_makes_no_sense_is_refused(options, says):
    assert says in refused(**options)


def test_duckdb_tables_are_read_and_named(tmp_path):
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect(str(tmp_path / "b.duckdb")) as base:
        base.execute(
            """CREATE TABLE "a ""b" AS SELECT 'P1' AS policy_id, 2.50::DECIMAL(9,2) AS x"""
        )
        base.execute("CREATE SCHEMA s")
        base.execute("CREATE VIEW s.v AS SELECT 7 AS policy_id")
    here = {"duckdb": "b.duckdb", "folder": tmp_path}
    seen = read_table(Source(table='a "b', **here))
    assert seen.select("policy_id", "_file", "_row").rows() == [("P1", 'b.duckdb:a "b', 1)]
    assert read_table(Source(table="s.v", **here))["policy_id"].to_list() == [7]
    message = refused(table='x"; DROP TABLE t', **here)
    assert 'there are: a "b, s.v' in message
    assert "near it: b.duckdb" in refused(duckdb="c.duckdb", table="t", folder=tmp_path)
    (tmp_path / "n.duckdb").write_bytes(b"not a database at all" * 500)
    assert "cannot be read" in refused(duckdb="n.duckdb", table="t", folder=tmp_path)


def test_without_duckdb_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "duckdb", None)
    assert "pricing[engines]" in refused(duckdb="b.duckdb", table="t", folder=tmp_path)


def test_randhie_has_its_published_counts():
    seen = read_table(Source(loader="randhie"))
    assert seen.height == 20190
    assert seen["person_year_id"].to_list()[::20189] == ["1", "20190"]
    assert seen["claims"].sum() == 57752
    assert seen["exposure"].sum() == 20190.0

    def counts(name):
        return dict(seen.group_by(name).len().iter_rows())

    assert counts("health_group") == {"excellent": 11019, "good": 7309, "fair": 1560, "poor": 302}
    assert counts("coinsurance") == {
        "0%": 10997,
        "25%": 4065,
        "50%": 1401,
        "95%": 2653,
        "100%": 1074,
    }
    assert counts("deductible") == {"no": 14941, "yes": 5249}
    # 2,387 answered yes; 1,052 imputed answers lie between 0.02 and 0.20 and count as no.
    assert counts("limitation") == {"no": 17803, "yes": 2387}
    assert seen["physlm"].is_between(0.2, 1, closed="none").sum() == 0
    covariates = ["lncoins", "idp", "lpi", "fmde", "physlm", "disea", "hlthg", "hlthf", "hlthp"]
    assert set(seen.select(covariates).dtypes) == {pl.Float64}
    assert seen["chronic_diseases"].equals(seen["disea"])
