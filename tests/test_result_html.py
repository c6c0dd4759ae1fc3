"""Results as a notebook shows them: words, intervals beside estimates, at most so many rows."""

import math
import re
from datetime import date

import polars as pl
import pytest

from pricing.experience.cells import Experience
from pricing.experience.views import one_way
from pricing.result.html import result_html, table_html
from pricing.result.words import label


def cells(html):
    """Rows of a table of HTML as texts, the heading first."""
    rows = re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL)
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]


@pytest.fixture
def found():
    rows = pl.DataFrame(
        {
            "sex": ["female", "female", "male"],
            "exposure": [900.0, 1000.0, 1400.5],
            "claims": [90, 101, 150],
        }
    )
    return one_way(Experience.collect(rows, ["sex"]), "sex")


def test_a_result_shows_finding_table_and_what_it_rests_on(found):
    shown = found._repr_html_()
    assert shown == found.html() == result_html(found)
    assert found.finding("en") in shown
    heads, *body = cells(shown)
    assert heads[0] == label("sex", "en")
    assert [row[0] for row in body] == ["female", "male"]
    t = found.table
    estimate = f"{t['frequency'][0]:.4f} [{t['lower'][0]:.4f}, {t['upper'][0]:.4f}]"
    assert estimate in body[0]
    assert all(len(row) == len(heads) for row in body)
    assert f"{label('claims', 'en')}: 341" in shown
    assert "plotly" not in shown  # the figure only when it is asked for


def test_it_speaks_chinese_when_asked(found):
    shown = found.html("zh")
    assert found.finding("zh") in shown
    assert cells(shown)[0][0] == "性别"
    assert cells(shown)[1][0] == "女"


@pytest.mark.parametrize(
    ("rows", "most", "said"), [(20, 20, None), (21, 20, "20 of 21"), (3, 1, "1 of 3")]
)
def test_long_tables_are_cut_and_say_so(rows, most, said):
    shown = table_html(pl.DataFrame({"claims": range(rows)}), most=most)
    assert len(cells(shown)) == 1 + min(rows, most)
    assert (said is None) == (" of " not in shown)
    assert said is None or f">{said}<" in shown


def test_bounds_join_the_estimate_before_them_and_no_other_column():
    table = pl.DataFrame(
        {
            "level": ["a"], "relativity": [1.5], "lower": [1.0], "upper": [2.0],
            "adjusted_discount": [0.1], "adjusted_lower": [-0.2], "adjusted_upper": [None],
            "std_error": [0.5], "lower_80": [0.1], "upper_80": [0.2], "lower_95": [0.0], "upper_95": [0.3],
        },
        schema_overrides={"adjusted_upper": pl.Float64},
    )  # fmt: skip
    heads, row = cells(table_html(table))
    assert row[:3] == ["a", "1.5000 [1.0000, 2.0000]", "0.1000 [−0.2000, –]"]
    assert row[3:] == ["0.5000", "[0.1000, 0.2000]", "[0.0000, 0.3000]"]
    assert heads[1] == f"{label('relativity', 'en')} [Lower, Upper]"
    lone = pl.DataFrame(
        {"level": ["base"], "lower": [None], "upper": [None]},
        schema_overrides=dict.fromkeys(("lower", "upper"), pl.Float64),
    )
    assert cells(table_html(lone))[1] == ["base", ""]
    apart = pl.DataFrame({"frequency": [0.5], "lower": [0.25], "claims": [1], "upper": [0.75]})
    assert cells(table_html(apart))[1] == ["0.5000", "0.2500", "1", "0.7500"]


@pytest.mark.parametrize(
    ("name", "values", "written"),
    [
        ("claims", [12345, None], ["12,345", "–"]),
        ("year", [2024, 2025], ["2024", "2025"]),
        ("policy_year", [0, 1], ["0", "1"]),
        ("relativity", [0.12345, -1.5], ["0.1235", "−1.5000"]),
        ("amount", [123456.4, 99.6], ["123,456", "100"]),
        ("value", [0.00012, 250000.0], ["0.0001", "250,000"]),  # small beside large: each by its size
        ("value", [math.nan, math.inf, -math.inf, 0.5], ["–", "∞", "−∞", "0.5000"]),
        ("value", [-0.000001, 0.5], ["0.0000", "0.5000"]),  # never a minus before nought
        ("p_value", [1e-9, 0.04], ["&lt; 0.0001", "0.0400"]),
        ("start", [date(2024, 2, 29)], ["2024-02-29"]),
        ("in_programme", [True, None], ["yes", "–"]),
        ("term", ["health_group", "(intercept)"], ["Health group", "(intercept)"]),
        ("level", ["<script>alert(1)</script>", "a & b"],
         ["&lt;script&gt;alert(1)&lt;/script&gt;", "a &amp; b"]),
    ],
)  # fmt: skip
def test_every_kind_of_value_reads_well_and_nothing_is_markup(name, values, written):
    assert [row[0] for row in cells(table_html(pl.DataFrame({name: values})))[1:]] == written


def test_an_empty_table_has_its_headings():
    shown = table_html(pl.DataFrame({"claims": []}, schema={"claims": pl.Int64}))
    assert cells(shown) == [[label("claims", "en")]]
