"""Published figures: reproduced to the last printed digit, and the list that says so."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from pricing.cli import main
from pricing.errors import InputError
from pricing.verify import figures as figures_module
from pricing.verify.figures import AREAS, Figure, figures

KEYS = ["area", "name", "source", "published", "ours", "tolerance", "ok"]


def leave(*arguments):
    with pytest.raises(SystemExit) as caught:
        main(list(arguments))
    return caught.value.code


@pytest.mark.parametrize("area", list(AREAS))
def test_every_figure_of_an_area_is_reproduced(area):
    found = figures(area)
    assert len(found) > 10
    for figure in found:
        assert figure.ok, figure.record()
        assert figure.area == area
        assert figure.source
        digits = len(Decimal(figure.printed).as_tuple().digits)
        assert digits >= 2 or figure.within is not None, figure.name
    assert len({(f.source, f.name) for f in found}) == len(found)


def test_all_areas_together_are_each_of_them():
    assert [f.name for f in figures()] == [f.name for area in AREAS for f in figures(area)]


def test_published_figures_on_data_that_are_not_shipped(dataset):
    dataset("freMTPL2freq.parquet")
    folder = Path(__file__).parents[2] / "shared" / "datasets"
    found = figures("motor", datasets=folder)
    assert len(found) == 10
    assert [figure.record() for figure in found if not figure.ok] == []


def test_an_area_without_its_data_says_what_it_needs(tmp_path):
    with pytest.raises(InputError, match="needs data sets that may not be shipped"):
        figures("motor")
    with pytest.raises(InputError, match=r"freMTPL2freq\.parquet is not there"):
        figures("motor", datasets=tmp_path)


def test_an_unknown_area_names_the_nearest():
    with pytest.raises(InputError, match="did you mean 'credibility'"):
        figures("credbility")


@pytest.mark.parametrize(
    ("printed", "ours", "tolerance", "ok"),
    [
        ("0.35", 0.355, 0.005, True),
        ("0.35", 0.3550001, 0.005, False),
        ("0.35", 0.345, 0.005, True),
        ("-0.4543", -0.45426, 0.00005, True),
        ("1683.713", 1683.7135, 0.0005, True),
        ("100", 100.6, 0.5, False),
        ("1.5e3", 1540.0, 50.0, True),
        ("1.50e3", 1540.0, 5.0, False),
    ],
)
def test_the_tolerance_is_half_a_unit_of_the_last_printed_digit(printed, ours, tolerance, ok):
    figure = Figure("claims", "x", "a book", printed, ours)
    assert figure.tolerance == pytest.approx(tolerance, rel=1e-12)
    assert figure.ok is ok
    assert Figure("claims", "x", "a book", printed, float("nan")).ok is False


def test_json_is_a_list_with_exactly_these_keys(capsys):
    assert leave("verify", "credibility", "--json") == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert said.err == ""
    assert len(found) == len(figures("credibility"))
    for record in found:
        assert list(record) == KEYS
        assert isinstance(record["published"], float)
        assert isinstance(record["ours"], float)
        assert record["ok"] is True


def test_json_of_all_areas(capsys):
    assert leave("verify", "--json") == 0
    assert {record["area"] for record in json.loads(capsys.readouterr().out)} == set(AREAS)


@pytest.mark.parametrize("as_json", [True, False])
def test_a_figure_that_is_off_gives_exit_code_one(as_json, capsys, monkeypatch):
    real = figures_module.AREAS["credibility"]

    def one_off():
        first, *rest = real()
        return [Figure(first.area, first.name, first.source, first.printed, first.ours + 1), *rest]

    monkeypatch.setattr(figures_module, "AREAS", {"credibility": one_off})
    assert leave("verify", *(["--json"] if as_json else [])) == 1
    out = capsys.readouterr().out
    if as_json:
        assert [r["ok"] for r in json.loads(out)].count(False) == 1
    else:
        assert out.count("OFF") == 1
        assert f"{len(real()) - 1} of {len(real())} published figures reproduced" in out


def test_the_table_shows_what_was_printed(capsys):
    assert leave("verify", "credibility") == 0
    out = capsys.readouterr().out
    assert "0.984740" in out  # with its last zero
    assert "OFF" not in out
