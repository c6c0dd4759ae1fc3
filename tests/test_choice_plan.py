"""Take-up as a plan study: its section, what it makes, its scenarios."""

from pathlib import Path

import polars as pl
import pytest
from pydantic import ValidationError

from pricing.data.tables import bundled
from pricing.errors import InputError
from pricing.plans import choice as adapter
from pricing.plans.plan_file import read_plan
from pricing.plans.plan_study import PlanStudy
from pricing.result.shape import Basis

GIVEN = {"prices": {"basic": 500.0, "premium": 2000.0}, "subsidies": {"basic": 200.0}}


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    folder = Path(tmp_path_factory.mktemp("offers"))
    adapter.simulate(folder, members=6000, seed=4)
    return {"tier_offers": pl.read_parquet(folder / "tier_offers")}


@pytest.fixture(scope="module")
def prepared(tables):
    return adapter.prepare(adapter.ChoiceSection(**GIVEN), tables, Basis(source="test"))


def test_the_bundled_study_reads_and_its_results_come_in_order(tables, prepared):
    section = read_plan(bundled("studies/anjia.toml")).plans["take_up"]
    results = adapter.results(section, prepared, Basis(source="test"))
    assert list(results)[:2] == ["choice_model", "tier_demand"]
    assert {"tier_equilibrium", "tier_spiral", "subsidy_effect", "subsidy_effect:claim"} <= set(
        results
    )
    for result in results.values():
        for lang in ("en", "zh"):
            assert "{" not in result.finding(lang)
            assert result.figure(lang).data
    claim = results["subsidy_effect:claim"].facts
    assert (claim["take_up"], claim["take_up_then"]) == (pytest.approx(0.1), pytest.approx(0.8))


def test_headline_moves_as_it_should(prepared):
    now = adapter.headline(adapter.ChoiceSection(**GIVEN), prepared)
    without = adapter.headline(adapter.ChoiceSection(prices=GIVEN["prices"]), prepared)
    known = adapter.headline(adapter.ChoiceSection(**GIVEN, aware=0.6), prepared)
    assert without["take_up"] < now["take_up"] < known["take_up"]
    assert without["public_cost"] == 0 < now["public_cost"]
    assert known["take_up"] / now["take_up"] == pytest.approx(0.6 / prepared.model.aware)
    assert known["choosers_loss_ratio"] == pytest.approx(now["choosers_loss_ratio"])
    thin = adapter.headline(adapter.ChoiceSection(**GIVEN, cost_share={"basic": 0.1}), prepared)
    assert thin["choosers_loss_ratio"] < now["choosers_loss_ratio"]


def test_the_study_runs_from_its_file(tmp_path):
    file = tmp_path / "small.toml"
    text = bundled("studies/anjia.toml").read_text(encoding="utf-8")
    file.write_text(text.replace("members = 12_000", "members = 4_000"), encoding="utf-8")
    results = PlanStudy(file, work=tmp_path / "books").run()
    assert "scenario_comparison" in results
    assert all(r.basis.fingerprint for r in results.values())


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        ({"subsidies": {"gold": 1.0}}, "has no price"),
        ({"subsidies": {"basic": 501.0}}, "above its price"),
        ({"subsidies": {"basic": -1.0}}, "below zero"),
        ({"prices": {}}, "at least 1"),
        ({"loss_ratio": 0.0}, "greater than 0"),
        ({"aware": 1.2}, "less than or equal to 1"),
        ({"risk_edges": [0.0, 5.0, 5.0]}, "rise"),
        ({"age_edges": [60.0, 70.0]}, "begin at 0"),
        ({"start": {"basic": 1.0}}, "every tier"),
        ({"nosuch": 1}, "Extra inputs"),
        ({"claim": {"tier": "basic", "price": 500, "subsidy": 500, "without": 0.1, "subsidised": 0.8}}, "not below the price"),
        ({"claim": {"tier": "basic", "price": 500, "subsidy": 200, "without": 0.8, "subsidised": 0.1}}, "above that without"),
        (
            {"claim": {"tier": "basic", "price": 500, "subsidy": 200, "without": 0.1, "subsidised": 0.8, "awareness": 0.3}},
            "80% cannot take it where 30% know",
        ),
    ],
)  # fmt: skip
def test_sections_that_contradict_are_refused(odd, said):
    with pytest.raises(ValidationError, match=said):
        adapter.ChoiceSection(**{**GIVEN, **odd})


def test_tables_that_do_not_bear_it_are_refused(tables, prepared):
    section = adapter.ChoiceSection(**GIVEN)
    with pytest.raises(InputError, match="take-up needs risk"):
        adapter.prepare(section, {"tier_offers": tables["tier_offers"].drop("risk")}, Basis())
    gold = adapter.ChoiceSection(prices={"gold": 900.0})
    with pytest.raises(InputError, match="'gold' is no tier"):
        adapter.headline(gold, prepared)
