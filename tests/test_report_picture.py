"""A figure of a report as a PNG, and what stands around figures and tables of the page."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import polars as pl
import pytest

from pricing.cli import main
from pricing.errors import InputError
from pricing.experience.age_pyramid import age_pyramid
from pricing.experience.cells import Experience
from pricing.mutual_aid.rules import aid_rules
from pricing.mutual_aid.share_risk import share_risk
from pricing.report import picture
from pricing.report.blocks import sections_of
from pricing.report.pdf import browser
from pricing.result.shape import Basis
from pricing.result.words import LANGUAGES, catalogue, note_said
from pricing.study.scenarios import scenario_results
from pricing.study.sections import Scenario
from pricing.tiers.grid import TierGrid

ROOT = Path(__file__).parents[1]


@pytest.fixture
def folder(tmp_path):
    rows = pl.DataFrame(
        {"age_band": ["0-39", "40+"] * 2, "sex": ["female"] * 2 + ["male"] * 2, "exposure": 2.0, "claims": 1}
    )  # fmt: skip
    found = age_pyramid(Experience.collect(rows, ["age_band", "sex"]))
    found.save(tmp_path / "book" / "results" / "age_pyramid")
    return tmp_path / "book"


@pytest.mark.skipif(browser() is None, reason="no browser to draw with")
def test_a_picture_is_drawn_twice_as_sharp(folder, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(
            ["pictures", str(folder), "age_pyramid", "--out", str(tmp_path / "out"), "--lang", "zh"]
        )
    assert not ended.value.code
    made = tmp_path / "out" / "book-age_pyramid-zh.png"
    assert str(made) in capsys.readouterr().out
    wide, high = struct.unpack(">II", made.read_bytes()[16:24])
    assert wide == 2 * picture.WIDE
    assert high == 2 * (160 + 26 * 2)
    assert len(made.read_bytes()) > 5_000  # not an empty page


def test_what_cannot_be_drawn_is_said(folder, tmp_path, monkeypatch):
    for name, lang, said in (
        ("age_pyramyd", "en", "age_pyramid"),
        ("age_pyramid", "fr", "no language"),
    ):
        with pytest.raises(InputError, match=said):
            picture.write_picture(folder, name, tmp_path, lang)
    monkeypatch.setattr(picture, "browser", lambda: None)
    with pytest.raises(InputError, match="no browser"):
        picture.write_picture(folder, "age_pyramid", tmp_path)
    broken = tmp_path / "browser"
    broken.write_text("#!/bin/sh\nexit 0\n", "utf-8")
    broken.chmod(0o755)
    monkeypatch.setattr(picture, "browser", lambda: str(broken))
    with pytest.raises(InputError, match="drew nothing"):
        picture.write_picture(folder, "age_pyramid", tmp_path)
    assert not list(tmp_path.glob("*.png"))


def test_pictures_that_pages_show_are_there_and_small():
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for named in re.findall(r"!\[[^]]+\]\(([^)]+)\)", page.read_text("utf-8")):
            assert (page.parent / named).is_file(), f"{page.name} shows {named}"
    sizes = [path.stat().st_size for path in (ROOT / "docs" / "pictures").glob("*.png")]
    assert sizes
    assert max(sizes) < 120_000
    assert sum(sizes) < 400_000


# -- the page ------------------------------------------------------------------------------------------


def grid(rows):
    table = pl.DataFrame(
        {
            "design": range(1, rows + 1),
            "actuarial_value": [0.3 + 0.5 * n / rows for n in range(rows)],
            "member_price": 500.0,
            "passes": [0.01 if n % 3 else 0.5 for n in range(rows)],
            "on_the_frontier": [n % 4 == 0 for n in range(rows)],
        }
    )
    facts = {
        "designs": rows, "persons": 100, "on_frontier": 1, "sound": 1, "line": 0.7, "best_design": 1, "best_value": 0.5, "best_price": 500.0
    }  # fmt: skip
    return TierGrid(table=table, basis=Basis(source="t", currency="CNY"), facts=facts)


@pytest.mark.parametrize(("rows", "shown"), [(500, 20), (7, 7)])
def test_a_long_table_is_folded_to_its_best_rows_and_says_so(rows, shown):
    found = grid(rows)
    (section,) = sections_of({"tier_grid": found})
    (block,) = section.blocks
    assert block.rows == shown
    assert block.whole["en"].height == rows
    assert ("500" in block.heads["en"]) == ("500" in block.heads["zh"]) == (rows == 500)
    best = found.ranked()
    safe = found.table.filter(pl.col("on_the_frontier") & (pl.col("passes") <= 0.05))
    assert best.head(safe.height).sort("design").equals(safe.sort("design"))
    assert best.height == rows
    assert found.ranked().equals(best)


def test_a_long_curve_is_drawn_by_the_points_that_are_to_be_seen():
    rules = aid_rules("xiang_hu_bao").but(cap_per_case=None, cap_per_year=None)
    members = pl.DataFrame({"age": [30], "members": [3_000_000], "incidence": [0.002]})
    found = share_risk(rules, members)
    (curve,) = found.figure("en").data
    whole = found.frames["share_distribution"]
    assert len(curve.x) <= 1_002
    drawn = dict(zip(curve.x, curve.y, strict=True))
    above = (1 - whole["probability"].cum_sum()).clip(0, 1)
    held = pl.Series([drawn.get(x) for x in whole["aid_share"]]).forward_fill()
    assert (held - above).abs().max() < 0.001


def test_shares_move_in_points_and_keys_are_said_in_chinese():
    both = Scenario(
        name="both", title={"en": "Both", "zh": "两项"}, change={"discount.cap": 0.15, "discount.step": 0.05}
    )  # fmt: skip
    found = scenario_results(
        [both], lambda c: {"mean_discount": c.get("discount.cap", 0.2) * 0.1}, Basis()
    )
    steps, compared = found["scenario_steps:both"], found["scenario_comparison"]
    assert "-0.50 points" in steps.finding("en")
    assert "-0.50 个百分点" in steps.finding("zh")
    assert "discount.cap → 0.15" in steps.finding("en")
    assert "discount.cap" not in steps.finding("zh")
    assert "2.00%" in compared.finding("zh")
    assert steps.figure("en").layout.yaxis.tickformat.endswith("%")
    assert steps.figure("en").data[0].text[0] == "2.00%"


# -- notes -----------------------------------------------------------------------------------------------


def notes():
    return {k: v for k, v in catalogue().items() if k.startswith("note.")}


def test_every_note_recognises_itself_and_keeps_its_figures():
    for key, text in notes().items():
        names = re.findall(r"{(\w+)}", text["en"])
        assert sorted(names) == sorted(re.findall(r"{(\w+)}", text["zh"])), key
        values = {name: f"{n + 7}.5" for n, name in enumerate(names)}
        said = note_said(text["en"].format(**values), "zh")
        assert said == text["zh"].format(**values), key
        assert note_said(text["en"].format(**values), "en") == text["en"].format(**values)


def test_a_note_that_nobody_translated_stands_and_nothing_is_taken_for_a_pattern():
    for text in ("a note of one's own (50%) {x}", "", "errors are clustered by", "50,000 (.*)"):
        for lang in LANGUAGES:
            assert note_said(text, lang) == text
