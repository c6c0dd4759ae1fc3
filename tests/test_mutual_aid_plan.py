"""The simulated plan with known truth, its study, and the published figures."""

from __future__ import annotations

import json
import tomllib
from datetime import date

import polars as pl
import pytest

from pricing.data.aid_book import AidParameters, simulate_aid
from pricing.data.check import check
from pricing.data.rates import rate_table
from pricing.data.tables import bundled
from pricing.errors import InputError
from pricing.mutual_aid.aid_cases import judged_cases, with_members
from pricing.mutual_aid.incidence import aid_experience, incidence_to_table
from pricing.mutual_aid.rules import AidBenefit, aid_rules
from pricing.plans.mutual_aid import MutualAidSection
from pricing.plans.plan_study import PlanStudy
from pricing.result.words import catalogue
from pricing.verify.figures import figures

CI4 = rate_table("cn_ci_2020", "ci4")
RULES = aid_rules("xiang_hu_bao")
START, STOP = date(2018, 10, 16), date(2021, 9, 1)


def book(folder, members, seed=7, **truth):
    simulate_aid(folder, members=members, seed=seed, parameters=AidParameters(**truth))
    rows = (pl.read_parquet(folder / table / "*.parquet") for table in ("aid_members", "aid_cases"))
    seen = [
        check(frame, name) for frame, name in zip(rows, ("aid_members", "aid_cases"), strict=True)
    ]
    return seen, json.loads((folder / "truth.json").read_text(encoding="utf-8"))


def test_the_simulated_plan_keeps_its_contracts_and_says_its_faults(tmp_path):
    (members, cases), truth = book(tmp_path, 20_000, faulty_share=0.01, incidence_factor=3.0)
    assert members.rejected.height == truth["faulty"] > 100
    assert set(members.rejected["_rules"]) == {"member_class|nullability"}
    assert cases.rejected.is_empty()
    assert cases.accepted.height == truth["cases"] > 50
    good, aside = judged_cases(RULES, with_members(cases.accepted, members.accepted))
    assert set(aside["reason"]) <= {"not_a_member"}
    assert set(good["published"].dt.day()) == {7, 21}
    again, _ = book(tmp_path / "b", 20_000, faulty_share=0.01, incidence_factor=3.0)
    assert again[0].accepted.equals(members.accepted)
    with pytest.raises(InputError):
        simulate_aid(tmp_path, members=0, seed=1)


def test_the_incidence_found_is_the_true_one_where_nobody_is_selected(tmp_path):
    (members, cases), _ = book(
        tmp_path, 60_000, incidence_factor=2.0, high_risk=1.0, high_leave=1.0, faulty_share=0.0
    )
    seen = aid_experience(RULES, members.accepted, cases.accepted, start=START, end=STOP)
    found = incidence_to_table(seen, CI4)
    ratio, claims = found.facts["ratio"], int(found.table["claims"].sum())
    assert claims > 300
    assert ratio == pytest.approx(2.0, abs=2.0 * 3.3 / claims**0.5)


def test_selection_shows_as_incidence_that_rises_with_the_years(tmp_path):
    (members, cases), _ = book(
        tmp_path, 60_000, incidence_factor=3.0, leave_rate=0.6, high_leave=0.05, high_risk=12.0
    )
    seen = aid_experience(RULES, members.accepted, cases.accepted, start=START, end=STOP)
    ratio = incidence_to_table(seen, CI4).table["actual_to_expected"].to_list()
    assert ratio[-1] > 1.25 * ratio[-3]


def test_the_incidence_refuses_what_it_cannot_see(tmp_path):
    (members, cases), _ = book(tmp_path, 500)
    with pytest.raises(InputError, match="members lack 'sex'"):
        aid_experience(RULES, members.accepted.drop("sex"), cases.accepted, start=START, end=STOP)
    with pytest.raises(InputError, match="nobody is in cover"):
        aid_experience(RULES, members.accepted, cases.accepted, start=START, end=date(2018, 10, 17))


# -- the study --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("aid")
    text = bundled("studies/mutual_aid.toml").read_text(encoding="utf-8")
    assert "150_000" in text
    (folder / "aid.toml").write_text(text.replace("150_000", "20_000"), encoding="utf-8")
    return PlanStudy(folder / "aid.toml", work=folder / "books")


def test_the_study_says_everything_in_both_languages(study):
    found = study.run()
    kinds = [name.partition(":")[0] for name in found]
    for kind in (
        "data_check", "aid_settlement", "cross_subsidy", "capped_share", "share_risk", "unravelling",
        "share_fairness", "shared_loss", "capped_shares",
        "aid_membership", "aid_against_insurance", "share_back_test", "scenario_comparison",
    ):  # fmt: skip
        assert kind in kinds
        assert f"section.{kind}" in catalogue()
    for name, result in found.items():
        for lang in ("en", "zh"):
            assert result.finding(lang)
            assert name == "data_check" or result.figure(lang) is not None
    marks = [result.basis.fingerprint for result in found.values()]
    assert all(marks)
    assert len(set(marks)) == len(marks)
    assert found["aid_settlement"].balance() == 0.0
    rows = found["scenario_comparison"].table
    for name in rows["quantity"].unique():
        assert f"term.{name}" in catalogue(), name


def test_the_study_shows_the_four_share_rules_side_by_side(study):
    found = study.run()
    fairness = found["share_fairness"]
    rules = ["uniform", "mean_proportional", "covariance", "conditional_mean"]
    assert fairness.facts["rules"] == rules
    assert [f"shared_loss:{rule}" in found for rule in rules] == [True] * 4
    assert fairness.facts["rule"] == "uniform"
    by_age = fairness.table.filter(rule="uniform").filter(pl.col("member_class").str.contains("-"))
    index = by_age["fairness_index"].to_list()
    assert index[0] > 2 > 1 > index[-1]
    assert fairness.table.filter(rule="conditional_mean")["fairness_index"].drop_nulls().max() < 1.3
    assert {name for name in found if name.startswith("capped_shares")} == {
        "capped_shares:uniform", "capped_shares:conditional_mean",
    }  # fmt: skip
    assert found["capped_shares:uniform"].facts["cap"] == 188.0
    risk = found["share_risk"].facts
    assert found["shared_loss:uniform"].facts["payers"] == risk["payers"]


def test_scenarios_move_what_they_should(study):
    now = study.headline()
    fee = study.headline({"mutual_aid.fee": 0.10})
    assert fee["stable_share"] == pytest.approx(now["stable_share"] * 1.10 / 1.08)
    assert fee["members_needed"] == pytest.approx(now["members_needed"] * 1.10 / 1.08)
    cap = study.headline({"mutual_aid.cap_per_case": 1.0, "mutual_aid.cap_per_year": 1e6})
    assert cap["aid_paid_share"] > now["aid_paid_share"]
    assert cap["year_share"] > now["year_share"]
    flat = study.headline({"mutual_aid.flat_benefit": 300_000.0})
    assert flat["stable_members"] < now["stable_members"]
    assert flat["stable_share"] == pytest.approx(2625.3, abs=0.05)
    assert now["stable_share"] == pytest.approx(793.7, abs=0.05)


def test_the_expected_share_is_the_mean_of_its_distribution(study):
    from pricing.plans import mutual_aid as plan

    section = study.settings.mutual_aid
    rules = section.plan().but(cap_per_case=None, cap_per_year=None)
    prepared = study.prepared["mutual_aid"]
    cells = plan._cells(section, rules, prepared)
    pool = plan._pool(prepared, cells)
    risk = plan.share_risk(rules, pool, payers=cells.payers)
    assert plan._year_share(rules, pool, cells.payers) == pytest.approx(
        risk.facts["mean"], rel=1e-9
    )
    assert plan._share_cv(rules, pool, cells.payers) == pytest.approx(risk.facts["cv"], rel=1e-6)


@pytest.mark.parametrize(("change", "message"), [
    ({"fee": 1.5}, "less than 1"),
    ({"waiting_days": 400}, "waiting longer than the term"),
    ({"rules": "xiang_hu_ba"}, "did you mean"),
    ({"observed_to": date(2018, 1, 1)}, "is not after"),
    ({"cap_per_case": 500.0}, "below the cap a case"),
    ({"shortfall": "nobody"}, "platform"),
    ({"caps": 1}, "Extra inputs"),
])  # fmt: skip
def test_a_section_that_contradicts_is_refused(change, message):
    raw = tomllib.loads(bundled("studies/mutual_aid.toml").read_text(encoding="utf-8"))[
        "mutual_aid"
    ]
    with pytest.raises(ValueError, match=message):
        MutualAidSection(**(raw | change))


def test_a_day_nobody_was_there_is_refused(study):
    with pytest.raises(InputError, match="no payers or nobody in cover"):
        study.headline({"mutual_aid.published": date(2018, 11, 7)})


def test_published_figures_are_reproduced():
    found = figures("mutual_aid")
    assert len(found) == 54
    assert [figure.name for figure in found if not figure.ok] == []


def test_who_is_born_on_29_february_is_in_cover_to_1_march():
    rules = RULES.but(exit_age=61, entry_ages=(0, 60), benefit=(AidBenefit(0, 60, 1.0),))
    rows = pl.DataFrame({
        "member_id": ["a", "b"], "birth_date": [date(1960, 2, 29), date(1960, 2, 28)],
        "sex": ["male", "male"], "joined": [date(2019, 1, 1)] * 2, "left": [None, None],
        "member_class": ["member"] * 2,
    }, schema_overrides={"left": pl.Date})  # fmt: skip
    for number, last in (("a", date(2021, 3, 1)), ("b", date(2021, 2, 28))):
        one = rows.filter(pl.col("member_id") == number)
        ill = pl.DataFrame({"case_id": ["0"], "member_id": ["z"], "diagnosed": [date(2020, 1, 1)]})
        seen = aid_experience(rules, one, ill, start=date(2021, 1, 1), end=date(2021, 6, 1))
        assert seen.cells["days"].sum() == (last - date(2021, 1, 1)).days
