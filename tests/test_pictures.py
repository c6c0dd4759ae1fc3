"""Pictures of the trade: every kind has its figure, in both languages, in the one style."""

from __future__ import annotations

import doctest
import importlib
import re
import tomllib
import warnings
from functools import cache
from pathlib import Path

import plotly.graph_objects as go
import plotly.io as pio
import polars as pl
import pytest

from pricing.data.tables import bundled
from pricing.errors import InputError
from pricing.experience.age_pyramid import age_pyramid
from pricing.experience.cells import Experience
from pricing.plans.plan_study import PlanStudy
from pricing.result.figure import COLOURS, DARKER, GRID, PAGES, interval_figure, on_dark, theme
from pricing.result.readable import amount_text, broken, readable
from pricing.result.series import SERIES, flow_figure, lying
from pricing.result.shape import Result
from pricing.result.words import LANGUAGES, catalogue, level_label
from pricing.study.scenarios import _short

PAGE = Path(__file__).parents[1] / "docs" / "pictures.md"
PALETTE = {
    c.lower() for c in (*COLOURS.values(), *(c for c, _ in SERIES), GRID, "white", "#DCEBF7")
}
NAMES = r"CNY|USD|GLM|GAM|AIPW|ATE|ATT|ATO|IBNR|RSAL|BMI|HbA1c|DiD|Tweedie|Brier|Hill|Lorenz|Gini"
NAMES += r"|Schoenfeld|Horvitz–Thompson|Hájek|Bühlmann–Straub|Loimaranta|Mack|B-F|Murphy|DRG|VaR"


def rows():
    """Picture, kind and call of every line of the page."""
    found = re.findall(r"^\| (.+?) \| `(\w+)` \| `([\w.]+)` \|$", PAGE.read_text("utf-8"), re.M)
    return [pytest.param(kind, call, id=kind) for _, kind, call in found]


def trade():
    """The rows of the first table: the pictures of the trade."""
    first = PAGE.read_text("utf-8").split("## Every other kind")[0]
    return [row for row in rows() if f"| `{row.values[0]}` |" in first]


@cache
def made(call: str) -> dict[str, Result]:
    """Run the example of a call and keep the results it makes, the largest of each kind."""
    module, _, name = call.rpartition(".")
    scope = importlib.import_module(module)
    tests = doctest.DocTestFinder(recurse=False).find(
        getattr(scope, name), name, module=scope, globs=vars(scope).copy()
    )
    kept: dict[str, Result] = {}
    plain = Result.__init__

    def seen(self, *given, **named):
        plain(self, *given, **named)
        if self.kind not in kept or self.table.height >= kept[self.kind].table.height:
            kept[self.kind] = self

    Result.__init__ = seen
    try:
        for test in tests:
            run = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS)
            run.run(test, out=lambda text: None)
    finally:
        Result.__init__ = plain
    return kept


def drawn(kind, call):
    made_here = made(call)
    assert kind in made_here, f"the example of {call} makes {sorted(made_here)}"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return {lang: made_here[kind].figure(lang) for lang in LANGUAGES}


def said(figure: go.Figure):
    """Every word of a figure that is the house's, not the data's: titles, series, annotations."""
    layout = figure.layout
    for axis in [*figure.select_xaxes(), *figure.select_yaxes()]:
        if axis.title.text:
            yield axis.title.text
    yield from (a.text for a in layout.annotations if a.text)
    yield from (t.name for t in figure.data if t.name)


def colours(part, key=""):
    if isinstance(part, dict):
        for name, value in part.items():
            if name not in ("template", "colorscale", "colorbar"):
                yield from colours(value, name)
    elif isinstance(part, list | tuple):
        for value in part:
            yield from colours(value, key)
    elif isinstance(part, str) and "color" in key.lower():
        yield part.lower()


def in_palette(colour):
    if colour.startswith("rgba"):  # a pale one of the palette, or no colour at all
        red, green, blue = (int(n) for n in re.findall(r"\d+", colour)[:3])
        return f"#{red:02x}{green:02x}{blue:02x}" in PALETTE | {"#000000", "#ffffff"}
    return colour in PALETTE


def check(kind, figures):
    own = {w for e in catalogue().values() for w in (e["en"],)}
    style = pio.templates["pricing"].to_plotly_json()
    for lang, figure in figures.items():
        where = f"{kind}, {lang}"
        assert figure.data, where
        assert figure.layout.template.to_plotly_json() == style, f"{where}: template"
        for trace in figure.data:
            for side in "xy":
                if f"{side}axis" not in trace or trace.type == "heatmap":
                    continue
                number = (trace[f"{side}axis"] or side)[1:]
                axis = figure.layout[f"{side}axis{number}"]
                values = trace[side] if trace[side] is not None else []
                words = any(isinstance(v, str) for v in values)  # their names say what they are
                hidden = axis.visible is False or axis.showticklabels is False or axis.matches
                assert axis.title.text or words or hidden, f"{where}: {side}axis{number} untitled"
        shown = [t for t in figure.data if t.type not in ("sankey", "heatmap")]
        shown = [t for t in shown if t.showlegend is not False]
        if len(shown) > 1 and len({t.name for t in shown}) > 1 and len(shown) <= 12:
            apart = len({str(t.xaxis) + str(t.yaxis) for t in shown}) > 1
            assert figure.layout.showlegend is not False or apart, f"{where}: no legend"
            assert all(t.name for t in shown), f"{where}: a series without a name"
        for text in said(figure):
            assert not re.search(r"\b[a-z]+_[a-z_]+\b", text), f"{where}: raw name {text!r}"
        for axis in [*figure.select_xaxes(), *figure.select_yaxes()]:
            title = axis.title.text or ""
            assert lang == "zh" or not re.search("[\u4e00-\u9fff]", title), f"{where}: {title}"
        if lang == "zh":
            for text in said(figure):
                assert text not in own or not re.search("[a-z]{3}", re.sub(NAMES, "", text)), (
                    f"{where}: English {text!r}"
                )
            for axis in [*figure.select_xaxes(), *figure.select_yaxes()]:
                title = re.sub(rf"\b({NAMES})\b|<br>", "", axis.title.text or "")
                assert "CNY" not in (axis.title.text or ""), where
                if re.search("[\u4e00-\u9fff]", title):
                    assert not re.search("[A-Za-z]{4}", title.partition(":")[0]), (
                        f"{where}: {title}"
                    )
        if kind not in ("triangle", "tier_grid"):  # many years, or a scale: the Cividis scale
            strange = {c for c in colours(figure.to_plotly_json()) if not in_palette(c)}
            assert not strange, f"{where}: colours {strange}"


PLANS = {"group_flow", "task_values", "lift_summary"}  # of a plan study, below


@pytest.mark.parametrize(("kind", "call"), [r for r in trade() if r.id not in PLANS])
def test_a_picture_of_the_trade_keeps_the_style(kind, call):
    check(kind, drawn(kind, call))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "call"), [r for r in rows() if r not in trade() and r.id not in PLANS]
)
def test_every_figure_keeps_the_style(kind, call):
    check(kind, drawn(kind, call))


@pytest.mark.slow
def test_figures_of_a_programme_keep_the_style(tmp_path):
    text = bundled("studies/huoli_members.toml").read_text("utf-8")
    path = tmp_path / "few.toml"
    path.write_text(re.sub(r"(?m)^members = .*", "members = 300", text), "utf-8")
    found = {r.kind: r for r in PlanStudy(path, work=tmp_path).run().values()}
    for kind in PLANS:
        check(kind, {lang: found[kind].figure(lang) for lang in LANGUAGES})


def test_the_page_names_every_kind_that_draws():
    for found in {row.values[1].rpartition(".")[0] for row in rows()}:
        importlib.import_module(found)
    drawing = {
        kind
        for kind, cls in Result.kinds.items()
        if cls.__module__.startswith("pricing.") and cls.figure is not Result.figure
    }
    named = [row.values[0] for row in rows()]
    assert len(named) == len(set(named))
    assert drawing - set(named) <= {
        "compound",
        "discrete_hazard",
        "sample",
        "other sample",
    }  # abstract ones
    assert set(named) <= drawing


# -- what readers see ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "en", "zh"),
    [
        (1_926_000_000, "1.93B", "19.3亿"),
        (2.05e12, "2.05T", "2.05万亿"),
        (-845_400_000, "−845M", "−8.45亿"),
        (999_999.4, "999,999", "999,999"),
        (999_999.6, "1M", "100万"),
        (0, "0", "0"),
        (0.016931, "0.01693", "0.01693"),
        (161.34, "161.3", "161.3"),
        (-0.0000001, "−0.0000001", "−0.0000001"),
    ],
)
def test_amounts_are_short_and_never_in_powers_of_ten(value, en, zh):
    assert (amount_text(value, "en"), amount_text(value, "zh")) == (en, zh)


def test_stacked_amounts_and_intervals_lie_within_the_chinese_ticks():
    figure = go.Figure(layout={"barmode": "stack"})
    for height in (3e8, 4e8):
        figure.add_bar(x=["a", "b"], y=[height, height / 2], error_y={"array": [5e8, 0]})
    ticks = readable(figure, "zh").layout.yaxis
    assert ticks.tickvals[-1] >= 9e8
    assert ticks.ticktext[list(ticks.tickvals).index(0)] == "0"
    assert all(text.endswith("亿") or text == "0" for text in ticks.ticktext)
    assert readable(go.Figure(go.Bar(x=["a"], y=[5e8])), "en").layout.yaxis.ticktext is None


def test_a_figure_finished_twice_is_the_same():
    figure = interval_figure(
        ["a long name of a level", "b"], [2e5, 3e5], [1e5, 2e5], [4e5, 5e5],
        name="pure_premium", factor="tier", lang="zh", bars=[2e6, 1e6],
    )  # fmt: skip
    once = readable(figure, "zh").to_plotly_json()
    assert readable(go.Figure(once), "zh").to_plotly_json() == once


def test_months_and_narrow_percents_are_told_apart():
    months = pl.date_range(pl.date(2024, 1, 1), pl.date(2024, 6, 1), "1mo", eager=True)
    figure = go.Figure(go.Scatter(x=months.to_list(), y=[0.831, 0.832, 0.84, 0.83, 0.82, 0.83]))
    figure.update_layout(yaxis={"tickformat": ".0%"})
    layout = readable(figure, "zh").layout
    assert layout.yaxis.tickformat == ".2~%"  # 83.5% beside 84%, not 84% twice
    assert "%Y-%m" in {stop.value for stop in layout.xaxis.tickformatstops}
    assert not readable(go.Figure(figure), "en").layout.xaxis.tickformat


@pytest.mark.parametrize("width", [1, 7, 12, 80])
def test_a_broken_name_loses_no_word(width):
    for text in ("Members left where leaving stops", "方案对每人每年的价值（元）", "G1", ""):
        assert broken(text, width).replace("<br>", " ").split() == text.split() or (
            broken(text, width).replace("<br>", "") == text
        )


def test_a_lying_figure_says_the_same():
    figure = interval_figure(
        ["a", "b", "c"], [1.0, 0.8, None], [1.0, 0.7, None], [1.0, 0.9, None],
        name="relativity", factor="tier", lang="en", bars=[5.0, 2.0, 0.0], reference=1.0,
    )  # fmt: skip
    laid = lying(figure)
    for before, after in zip(figure.data, laid.data, strict=True):
        assert (before.x, before.y) == (after.y, after.x)
    assert figure.data[1].error_y.array == laid.data[1].error_x.array
    assert laid.data[0].xaxis == "x2"
    assert laid.data[0].orientation == "h"
    assert (laid.layout.shapes[0].x0, laid.layout.shapes[0].x1) == (1.0, 1.0)
    assert laid.layout.yaxis.autorange == "reversed"
    assert laid.layout.yaxis.title.text == figure.layout.xaxis.title.text


def test_changed_keys_of_the_studies_read_in_chinese():
    for path in bundled("studies/huoli.toml").parent.glob("*.toml"):
        for scenario in tomllib.loads(path.read_text("utf-8")).get("scenarios", []):
            if len(scenario["change"]) < 2:
                continue
            keys = [f"{key} → {value}" for key, value in scenario["change"].items()]
            places = _short(keys, "zh")
            assert len(set(places)) == len(keys), path.name  # two of one name would be one bar
            for place in places:
                assert re.search("[\u4e00-\u9fff]", place), f"{path.name}: {place}"


# -- age pyramid -----------------------------------------------------------------------------------


def lives(**more):
    frame = pl.DataFrame(
        {
            "age_band": ["0-39", "0-39", "40-59", "60+"],
            "sex": ["female", "male", "female", "male"],
            "exposure": [3.0, 2.0, 4.0, 1.0],
            "claims": [0, 0, 1, 0],
        }
    )
    return Experience.collect(frame.with_columns(**more), ["age_band", "sex"])


def test_a_pyramid_holds_the_whole_exposure_and_draws_it():
    found = age_pyramid(lives())
    assert found.table["share_exposure"].sum() == pytest.approx(1.0)
    assert found.table.height == 6  # pairs without exposure stand too
    male, female = found.figure("zh").data
    assert (male.name, female.name) == ("男", "女")
    assert male.x == pytest.approx((-0.2, 0.0, -0.1))
    assert female.x == pytest.approx((0.3, 0.4, 0.0))
    assert male.y == ("0-39", "40-59", "60+")
    assert found.facts["most"] == "0-39"
    assert found.facts["oldest_share"] == pytest.approx(0.1)
    for lang in LANGUAGES:
        assert "70.0%" in found.finding(lang)
    turned = age_pyramid(lives(), left="female").facts
    assert (turned["left"], turned["right"]) == ("female", "male")


def test_a_pyramid_does_not_see_the_order_of_rows_or_the_unit():
    seen = lives()
    other = lives(exposure=pl.col("exposure") * 12).by("sex", "age_band")
    a, b = (age_pyramid(e).table.select("age_band", "sex", "share_exposure") for e in (seen, other))
    assert a["share_exposure"].to_list() == pytest.approx(b["share_exposure"].to_list())
    assert a.drop("share_exposure").equals(b.drop("share_exposure"))


def test_what_is_no_pyramid_is_refused():
    with pytest.raises(InputError, match="tier"):
        age_pyramid(lives(), age="tier")
    with pytest.raises(InputError, match="no level 'man'"):
        age_pyramid(lives(), left="man")
    one = lives().where(pl.col("sex") == "male")
    with pytest.raises(InputError, match="two sides, sex has 1"):
        age_pyramid(one)


def test_flows_keep_every_member_and_put_the_best_on_top():
    flows = pl.DataFrame(
        {"from_group": ["G0", "G1", "new_business"], "to_group": ["G1", "G1", "G0"], "members": [2.0, 1.0, 4.0]}
    )  # fmt: skip
    sankey = flow_figure(flows, ["G0", "G1"], "zh").data[0]
    assert sum(sankey.link.value) == 7.0
    assert list(sankey.node.label) == ["G1", "G0", level_label("new_business", "zh"), "G1", "G0"]
    assert list(sankey.node.y[:3]) == sorted(sankey.node.y[:3])


# -- light and dark ----------------------------------------------------------------------------------


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_text_and_marks_stand_out_from_their_page(dark):
    page = PAGES[dark]
    assert contrast(theme(dark)["font"]["color"], page) >= 7
    for colour in theme(dark)["colorway"]:
        assert contrast(colour, page) >= 3
    if dark:
        for colour, _ in SERIES:
            assert contrast(DARKER.get(colour.lower(), colour), page) >= 3
    grid = theme(dark)["yaxis"]["gridcolor"]
    assert 1.1 < contrast(grid, page) < contrast(theme(dark)["yaxis"]["linecolor"], page)


def test_series_are_told_apart_in_grey_print():
    shades = sorted(luminance(colour) for colour, _ in SERIES[:3])
    symbols = [symbol for _, symbol in SERIES]
    assert len(set(symbols)) == len(symbols)  # where shades are near, symbols are not
    assert shades[-1] / shades[0] > 1.5


def test_a_dark_figure_differs_in_colours_only():
    light = interval_figure(
        ["a"], [1.0], [0.9], [1.1], name="relativity", factor="sex", lang="en", bars=[3.0]
    )
    dark = on_dark(light)
    assert dark.layout.template.layout.font.color == theme(True)["font"]["color"]
    assert dark.data[0].marker.color == DARKER[COLOURS["bars"].lower()]
    assert light.data[0].marker.color == COLOURS["bars"]  # the light one stays
    assert dark.data[1].y == light.data[1].y
    both = [pio.templates[name].layout.to_plotly_json() for name in ("pricing", "pricing_dark")]
    assert both[0]["height"] == both[1]["height"]
    assert both[0]["font"]["family"] == both[1]["font"]["family"]
    assert both[0]["xaxis"]["showgrid"] == both[1]["xaxis"]["showgrid"] is False
