"""What a reader's eye needs: headings cut where words end, ticks as asked for, nothing outside its figure."""

import re

import plotly.graph_objects as go
import polars as pl
import pytest

from pricing.report.tables import render
from pricing.result.readable import in_fours, one_line, readable
from pricing.result.series import flow_figure
from pricing.result.words import catalogue, say

HEADS = sorted({say(key, "zh") for key in catalogue() if key.startswith("term.")})


def test_no_heading_of_the_catalogue_leaves_a_character_alone():
    for head in HEADS:
        parts = in_fours(head)
        assert "".join(parts).replace("\u00a0", " ") == head.replace("\u00a0", " ")
        alone = [p for p in parts if len(parts) > 1 and len(re.findall(r"[\u4e00-\u9fff]", p)) < 2]
        assert not alone, head
        assert (
            max(len(run) for p in parts for run in ["", *re.findall(r"[\u4e00-\u9fff]+", p)]) <= 5
        )


@pytest.mark.parametrize(
    "head, parts",
    [
        ("现收现付人均缴费", ["现收现付", "人均缴费"]),
        ("受保障成员数", ["受保障", "成员数"]),  # not within 成员
        ("65 岁及以上占比", ["65\u00a0岁及以上", "占比"]),
        ("Reserve of the fund", ["Reserve of the fund"]),
        ("", [""]),
    ],
)
def test_headings_are_cut_between_words(head, parts):
    assert in_fours(head) == parts


def test_a_cell_of_few_letters_stays_on_one_line():
    assert one_line(["ward arranged", "出院居家护理"])
    assert not one_line(["a deductible of 30 a visit, coinsurance 30 %"])
    assert not one_line(["每次门诊免赔三十元、自付三成"])
    page = render(pl.DataFrame({"service": ["ward arranged"], "share": [0.5]}), "en", name="t")
    assert page.count("white-space: nowrap") == 1
    wordy = pl.DataFrame({"service": ["a deductible of 30 a visit, coinsurance 30 %"]})
    assert "min-width: 9em" in render(wordy, "en", name="t")
    assert "<wbr>" in render(pl.DataFrame({"payg_contribution": [1.0]}), "zh", name="t")


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_step_of_ticks_is_heard_and_years_stand_plain(lang):
    drawn = go.Figure(go.Scatter(x=[0, 1, 2], y=[900, 1500, 2500]), layout={"template": "pricing"})
    found = readable(drawn.update_layout(xaxis={"dtick": 1}), lang).layout
    assert found.xaxis.tickmode == "linear"
    assert found.yaxis.separatethousands is True
    many = go.Figure(go.Scatter(x=[0, 500], y=[1, 2]), layout={"xaxis": {"dtick": 1}})
    assert readable(many, lang).layout.xaxis.tickmode == "auto"  # five hundred ticks are none
    years = go.Figure(go.Scatter(x=[2024, 2025], y=[0.1, 0.2]))
    assert readable(years, lang).layout.xaxis.separatethousands is False


def test_titles_of_axes_do_not_outshout_the_text():
    layout = go.Figure(layout={"template": "pricing"}).layout.template.layout
    assert layout.xaxis.title.font.size == layout.yaxis.title.font.size == layout.font.size


def test_heads_of_a_flow_stand_right_above_it_whatever_its_height():
    flows = pl.DataFrame({"from_group": ["G0", "G1"], "to_group": ["G1", "G1"], "members": [3, 5]})
    heads = flow_figure(flows, ["G0", "G1"], "zh").layout.annotations
    assert [(one.y, one.yanchor) for one in heads] == [(1, "bottom")] * 2


def test_a_logarithmic_axis_says_whole_amounts():
    drawn = go.Figure(
        go.Scatter(x=[40_000, 60_000_000], y=[0.1, 1]), layout={"xaxis": {"type": "log"}}
    )
    shown = readable(drawn, "zh").layout.xaxis
    assert shown.ticktext == ("10,000", "100,000", "100万", "1,000万", "1亿")
    ratios = go.Figure(go.Scatter(x=[0.5, 2.0], y=[0.1, 1]), layout={"xaxis": {"type": "log"}})
    assert readable(ratios, "zh").layout.xaxis.tickvals is None


def test_an_axis_that_counts_already_is_not_counted_twice():
    drawn = go.Figure(
        go.Scatter(x=[1, 2], y=[0, -20_000]), layout={"yaxis": {"title": "结余（亿元）"}}
    )
    assert readable(drawn, "zh").layout.yaxis.ticktext is None
