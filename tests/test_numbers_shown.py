"""Persons stand as whole persons and shares as percents, on the report and on the lab's page."""

import re

import polars as pl
import pytest

from pricing.lab.blocks import Faces, figures_table, table_of
from pricing.report.page import write
from pricing.report.sections import ASIDE
from pricing.report.tables import kinds_of, render, words_of
from pricing.report.workbook import write_workbook
from pricing.result.quantities import PERSONS, SHARES, persons_text
from pricing.result.words import catalogue

FACES = Faces(kinds_of, words_of, write_workbook, write, ASIDE)
COUNTS = pl.DataFrame({"in_payment": [1747.47, 9.62, 3.0, None], "required_share": [0.647, 0.003, 0.0, None]})  # fmt: skip
MIXED = pl.DataFrame({
    "quantity": ["loss_ratio", "in_payment_first", "bill"], "before": [0.647, 1747.47, 440.447],
    "after": [0.5, 1700.2, 440.447], "difference": [-0.147, -47.27, 0.0],
})  # fmt: skip
UNITS = pl.DataFrame({"unit": ["share", "CNY"], "value": [0.8, 325.0], "threshold": [0.6, 350.0]})


def cells(page):
    return re.findall(r">([^<>]+)</td>", page)


def on_the_page(table):
    pytest.importorskip("dash", reason="the page needs Dash")
    drawn = table_of(table, "en", FACES, caption="t")
    body = drawn.children.children[2].children
    return [cell.children for row in body for cell in row.children]


@pytest.mark.parametrize("shown", [lambda t: cells(render(t, "en", name="t")), on_the_page])
def test_persons_are_whole_and_shares_are_percents(shown):
    assert shown(COUNTS) == ["1,747", "64.7%", "9.6", "0.3%", "3", "0.0%", "–", "–"]


@pytest.mark.parametrize(
    ("shown", "share"), [(lambda t: cells(render(t, "en", name="t")), "64.70%"), (on_the_page, "64.7%")]
)  # fmt: skip
def test_each_row_is_written_as_its_quantity_counts(shown, share):
    found = shown(MIXED)
    assert found[1] == share
    assert found[5:8] == ["1,747", "1,700", "-47"] or found[5:8] == ["1,747", "1,700", "−47"]
    assert found[9].startswith("440.4")
    units = shown(UNITS)
    assert [float(text.rstrip("%")) for text in units[1:3]] == [80.0, 60.0]
    assert all(text.endswith("%") for text in units[1:3])
    assert not any(text.endswith("%") for text in units[4:])


def test_a_part_of_a_person_is_not_rounded_away():
    assert kinds_of(pl.DataFrame({"disabled": [0.12, 0.3]})) == {"disabled": "figure"}
    assert kinds_of(pl.DataFrame({"disabled": [0.12, 1.3]})) == {"disabled": "persons"}


def test_the_headline_counts_persons_whole():
    pytest.importorskip("dash", reason="the page needs Dash")
    table = MIXED.with_columns(relative_difference=pl.lit(-0.1))
    text = str(figures_table(table, "en", FACES))
    assert "'1,747'" in text
    assert "'64.7%'" in text
    assert "1,747.47" not in text


def test_the_names_are_known_and_tell_one_thing():
    assert not PERSONS & SHARES
    assert all(f"term.{name}" in catalogue() for name in PERSONS | SHARES)
    assert persons_text(9.96) == "10"  # never 10.0 beside 9.6
