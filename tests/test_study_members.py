"""A study's members: evidence, who stays, projection, renewals and the card hang together."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import polars as pl
import pytest

from pricing.cli import main
from pricing.errors import InputError
from pricing.health.card import BLOCKS, CardLine, evaluation_card
from pricing.renewal.price import STEPS
from pricing.result.words import LANGUAGES
from pricing.study.chain import open_study
from pricing.study.renewed import due_renewals, renew_study, rules_of
from pricing.study.sections import Discount, Renewed


def test_offers_and_exits_count_every_policy(huoli):
    offers, policies = huoli.results["renewal_offers"], huoli.study.checked["policies"].accepted
    renewals = huoli.study.checked["renewals"].accepted
    assert offers.table["policy_years"].sum() == renewals.height
    lapsed = policies.filter(pl.col("exit_cause") == "lapse").height
    rates = huoli.results["persistency:channel"].table
    total = huoli.results["renewal_offers"].facts
    assert total["offers"] - total["renewed"] == lapsed
    assert rates["offers"].sum() == total["offers"]
    exits = huoli.results["cumulative_incidence"].table
    assert exits.filter(cause="lapse")["events"].sum() == lapsed
    last = exits.group_by("cause").agg(pl.col("incidence").last(), pl.col("survival").last())
    assert last["incidence"].sum() + last["survival"][0] == pytest.approx(1)


def test_the_discount_in_parts_is_the_schedule_and_the_effect_the_one_believed(huoli):
    split, schedule = huoli.results["discount_split"].table, huoli.results["schedule"]
    assert split["discount"].to_list()[:-1] == list(schedule.discounts.values())
    parts = split.select(pl.sum_horizontal(pl.selectors.starts_with("from_"))).to_series()
    assert parts.to_list() == pytest.approx(split["discount"].to_list())
    believed = huoli.results["side_by_side"].facts
    assert huoli.results["discount_split"].facts["effect_estimate"] == pytest.approx(
        -believed["believed"]
    )


def test_the_design_holds_the_studys_limits(huoli):
    limits, design = huoli.study.settings.discount.limits, huoli.results["schedule_design"]
    assert design.facts["mean_discount"] <= limits.mean_discount + 1e-9
    assert (design.frames["limits"]["slack"] >= -1e-9).all()
    assert set(design.frames["limits"]["limit"]) >= {"order", "cap", "fairness", "service_cost"}


def test_the_projection_starts_from_the_book_and_keeps_its_members(huoli):
    t = huoli.results["projection"].table
    on = huoli.study.settings.projection.on
    renewals = huoli.study.checked["renewals"].accepted
    there = renewals.filter(pl.col("start") <= on, pl.col("end") > on).height
    assert t["members"][0] == pytest.approx(there, rel=1e-12)
    after = t["members"] + t["new_members"].shift(-1) - t["lapsed"] - t["other_exits"]
    assert after[:-1].to_list() == pytest.approx(t["members"][1:].to_list())
    assert huoli.results["stress"].table["scenario"][0] == "base"


def test_the_ledger_is_that_of_the_renewals_due(huoli):
    study, ledger = huoli.study, huoli.results["renewal_ledger"]
    due = due_renewals(
        study.checked["policies"].accepted,
        study.checked["renewals"].accepted,
        stop=date(2026, 1, 1),
        ageing=0.045,
    )
    there = study.checked["policies"].accepted.filter(pl.col("end") >= date(2026, 1, 1))
    assert ledger.facts["policies"] + ledger.facts["set_aside"] == due.height == there.height
    total = ledger.table.row(-1, named=True)
    assert sum(total[n] for n in STEPS) == pytest.approx(total["premium"], abs=0.005)
    gate = huoli.results["rate_adjustment_check"].verdict
    assert (total["from_adjustment"] != 0) == (gate != "fail")


def test_the_card_says_what_the_results_say(huoli):
    card, results = huoli.results["evaluation_card"], huoli.results
    assert card.frames["blocks"]["block"].to_list() == list(BLOCKS)
    lines = {r["metric"]: r for r in card.table.iter_rows(named=True)}
    assert lines["gate_passed"]["metric_value"] == float(
        results["rate_adjustment_check"].verdict == "pass"
    )
    assert (
        lines["loss_ratio_with_schedule"]["metric_value"]
        == results["schedule"].facts["loss_ratio_after"]
    )
    lower = lines["saving_lower_80"]
    assert (lower["verdict"] == "pass") == (lower["metric_value"] >= 0)
    assert (lower["metric_value"] > 0) == results["discount_split"].facts["effect_booked"]
    for lang in LANGUAGES:
        assert card.figure(lang).data


def test_a_card_with_a_fault_is_refused_and_one_failed_line_fails_its_block():
    with pytest.raises(InputError, match="no block 'money'"):
        evaluation_card([CardLine("money", "a", 1.0)])
    with pytest.raises(InputError, match="stands twice"):
        evaluation_card([CardLine("finance", "a", 1.0), CardLine("finance", "a", 2.0)])
    card = evaluation_card([
        CardLine("finance", "a", 1.0, "at_most", 1.0), CardLine("finance", "b", 1.1, "at_most", 1.0),
        CardLine("finance", "c", None), CardLine("stability", "d", 0.3, "at_least", 0.2),
    ])  # fmt: skip
    verdicts = dict(card.frames["blocks"].iter_rows())
    assert (verdicts["finance"], verdicts["stability"], verdicts["dynamics"]) == (
        "fail",
        "pass",
        "not_shown",
    )


def test_renewals_of_a_file_under_the_present_schedule_need_no_run(huoli, tmp_path, monkeypatch):
    text = (huoli.folder.parent / "huoli.toml").read_text(encoding="utf-8")
    text = text.replace(
        'schedule = "prudent"\nadjustment = "indicated"', 'schedule = "present"\nadjustment = 0.02'
    )
    (tmp_path / "study.toml").write_text(text, encoding="utf-8")
    study = open_study(tmp_path / "study.toml", work=huoli.folder.parent / "books")
    monkeypatch.setattr(type(study), "run", lambda *a, **k: pytest.fail("the study ran"))
    due = pl.DataFrame(
        {
            "policy_id": ["a", "b"],
            "health_group": ["G4", "G1"],
            "standard_premium": [1000.0, 500.0],
            "premium_before": [None, 480.0],
        },
        schema_overrides={"premium_before": pl.Float64},
    )
    due.write_parquet(tmp_path / "due.parquet")
    ledger = renew_study(study, tmp_path / "out.parquet", due=tmp_path / "due.parquet")
    assert pl.read_parquet(tmp_path / "out.parquet")["premium"].to_list() == [816.0, 484.5]
    assert ledger.facts["premium"] == 1300.5
    with pytest.raises(InputError, match="no readable Parquet"):
        renew_study(study, tmp_path / "out.parquet", due=tmp_path / "study.toml")
    assert pl.read_parquet(tmp_path / "out.parquet").height == 2  # the last good one stands


def test_the_command_prices_the_studys_own_book(huoli, tmp_path, monkeypatch, capsys):
    text = (huoli.folder.parent / "huoli.toml").read_text(encoding="utf-8")
    text = text.replace(
        'schedule = "prudent"\nadjustment = "indicated"', 'schedule = "present"\nadjustment = 0.0'
    )
    (tmp_path / "study.toml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "books").symlink_to(huoli.folder.parent / "books")
    with pytest.raises(SystemExit) as stopped:
        main(["renew", "study.toml", "--out", "out.parquet"])
    assert stopped.value.code == 0
    said = capsys.readouterr().out
    assert "renewals pay" in said
    priced = pl.read_parquet(tmp_path / "out.parquet")
    assert priced["set_aside"].null_count() == priced.height
    assert (priced["premium"] <= priced["standard_premium"] + 1e-9).all()


def test_a_change_the_gate_refuses_is_not_charged(huoli):
    results = dict(huoli.results)
    check = results["rate_adjustment_check"]
    results["rate_adjustment_check"] = replace(check, facts={**check.facts, "verdict": "fail"})
    indicated = replace(
        results["indication"], facts={**results["indication"].facts, "indicated_change": 0.08}
    )
    results["indication"] = indicated
    section = Renewed(adjustment="indicated")
    rules = rules_of(section, huoli.study.settings.discount, results)
    assert rules.changes == {"": 0.0}
    with pytest.raises(InputError, match="no change is indicated"):
        rules_of(section, huoli.study.settings.discount, {"schedule": results["schedule"]})
    with pytest.raises(InputError, match="no present schedule"):
        rules_of(Renewed(schedule="present"), Discount(order=["G0", "G1"]), {})


def test_terms_the_window_cut_are_due_on_their_anniversary():
    policies = pl.DataFrame({"policy_id": ["a"], "end": [date(9999, 12, 31)]})
    cut = pl.DataFrame(
        {"policy_id": ["a"], "policy_year": [3], "start": [date(2025, 6, 19)], "end": [date(2026, 1, 1)],
         "health_group": ["G1"], "standard_premium": [100.0]}
    )  # fmt: skip
    assert due_renewals(policies, cut, stop=date(2026, 1, 1))["due"].to_list() == [
        date(2026, 6, 19)
    ]
