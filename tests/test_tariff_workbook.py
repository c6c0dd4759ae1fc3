"""The rating table in Excel: read back to the same premiums, no text of it a formula, and refusals."""

from __future__ import annotations

import zipfile

import polars as pl
import pytest

from pricing.claims.models import fit_frequency
from pricing.errors import InputError
from pricing.experience.cells import Experience
from pricing.tariff.rates import tariff_from
from pricing.tariff.refine import refine
from pricing.tariff.steps import Group
from pricing.tariff.terms import Loading
from pricing.tariff.workbook import read_workbook, write_workbook

EVIL = {"=1+1": 1.0, "+A1": 1.1, "-2": 1.2, "@SUM(A1)": 1.3, "http://x": 1.4, "007": 1 / 3}
BOTH = {(a, b): 1.0 + i / 7 for i, (a, b) in enumerate((a, b) for a in "xy" for b in ("=u", "v"))}


def evil():
    return tariff_from(
        1234.5678,
        {"a/b*[?]": EVIL, "p:q": BOTH},
        currency="EUR",
        valid_from="2026-01-01",
        relativity_limits=(0.5, None),
        premium_limits=(None, 9999.0),
        loadings=(Loading("=fee", "plus", 3.3), Loading("tax", "times", 1.06)),
    )


def rows_of(tariff):
    frame = pl.DataFrame({"a/b*[?]": list(EVIL)})
    pairs = pl.DataFrame({"p": ["x", "x", "y", "y"], "q": ["=u", "v", "=u", "v"]})
    return tariff.price(frame.join(pairs, how="cross"))["premium"].to_list()


def rewritten(path, part, change):
    """The workbook with one part changed, or left out."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts[part] = change(parts[part])
    out = path.with_name("changed.xlsx")
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            if data is not None:
                archive.writestr(name, data)
    return out


@pytest.fixture
def book(tmp_path):
    evil().to_excel(tmp_path / "rates.xlsx")
    return tmp_path / "rates.xlsx"


def test_a_workbook_reads_back_to_the_same_premiums(book):
    back = read_workbook(book)
    assert rows_of(back) == rows_of(evil())
    assert back.terms == evil().terms
    assert back.table.select("term", "level", "charged_as", "role").equals(
        evil().table.select("term", "level", "charged_as", "role")
    )


def test_no_text_is_a_formula(book):
    with zipfile.ZipFile(book) as archive:
        sheets = [n for n in archive.namelist() if n.startswith("xl/worksheets/sheet")]
        text = "".join(archive.read(n).decode() for n in sheets)
        assert len(sheets) == 3
        assert "<f>" not in text
        assert "hyperlink" not in text
        assert "=1+1" in archive.read("xl/sharedStrings.xml").decode()


def test_a_refined_tariff_goes_with_its_audit_and_its_groups(tmp_path):
    rows = pl.DataFrame({"age": ["a", "b", "c"] * 4, "exposure": 1.0, "claims": [1, 2, 3] * 4})
    seen = Experience.collect(rows, ["age"])
    step = Group(who="=Li", when="2026-05-01", why="@few", factor="age", groups={"g": ["a", "b"]})
    found = refine(fit_frequency(seen, "age"), seen, [step], per_unit=977.0)
    write_workbook(found.tariff, tmp_path / "r.xlsx", audit=found.table)
    back = read_workbook(tmp_path / "r.xlsx")
    assert back.price(rows)["premium"].equals(found.tariff.price(rows)["premium"])
    assert back.table["charged_as"].to_list() == ["g", "g", "c"]
    with zipfile.ZipFile(tmp_path / "r.xlsx") as archive:
        strings = archive.read("xl/sharedStrings.xml").decode()
    assert "=Li" in strings
    assert "@few" in strings


def test_what_a_hand_changed_in_excel_is_read(book):
    one = "xl/worksheets/sheet2.xml"
    changed = rewritten(book, one, lambda d: d.replace(b"<v>1.1</v>", b"<f>1+1</f><v>2</v>"))
    assert read_workbook(changed).relativities("a/b*[?]")["relativity"][1] == 2.0
    for new, said in ((b"<v>-1</v>", "relativity of '\\+A1' is -1.0"), (b"", "is None")):
        bad = rewritten(book, one, lambda d, new=new: d.replace(b"<v>1.1</v>", new))
        with pytest.raises(InputError, match=said):
            read_workbook(bad)


def test_what_is_no_workbook_is_refused(book, tmp_path):
    no_zip = tmp_path / "a.xlsx"
    no_zip.write_bytes(b"no zip")
    with pytest.raises(InputError, match="is no workbook"):
        read_workbook(no_zip)
    entity = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'
    with pytest.raises(InputError, match=r"has no sheet|is no workbook"):
        read_workbook(rewritten(book, "xl/workbook.xml", lambda _: entity))
    with pytest.raises(InputError, match="is larger than 50,000,000 bytes"):
        read_workbook(rewritten(book, "xl/worksheets/sheet1.xml", lambda _: b" " * 50_000_001))
    with pytest.raises(InputError, match="is no workbook"):
        read_workbook(rewritten(book, "xl/worksheets/sheet1.xml", lambda _: None))
    with pytest.raises(InputError, match="has no sheet 'base'"):
        read_workbook(rewritten(book, "xl/workbook.xml", lambda d: d.replace(b'"base"', b'"bse"')))
    with pytest.raises(InputError, match="there is no sheet"):
        read_workbook(rewritten(book, "xl/workbook.xml", lambda d: d.replace(b'"2 p_q"', b'"3"')))
    lost = rewritten(book, "xl/sharedStrings.xml", lambda d: d.replace(b"base premium", b"bas"))
    with pytest.raises(InputError) as refused:
        read_workbook(lost)
    assert "row 2: 'bas' is no term" in str(refused.value)
    assert "base premium is None" in str(refused.value)
    with pytest.raises(InputError, match=r"is not an \.xlsx file"):
        evil().to_excel(tmp_path / "a.csv")
