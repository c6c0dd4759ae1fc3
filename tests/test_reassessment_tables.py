"""Contracts of cases and visits, the simulated file, and the plan study that runs on them."""

import datetime as dt
import json

import polars as pl
import pytest

from pricing.data.care_book import CareParameters, draw_care_cases, simulate_care_cases
from pricing.data.check import check, check_book
from pricing.data.tables import bundled
from pricing.errors import InputError
from pricing.plans.plan_file import changed, read_plan
from pricing.plans.plan_study import PlanStudy
from pricing.plans.reassessment import headline
from pricing.reassessment.booked import recovery_per_visit, review_economics
from pricing.result.words import LANGUAGES, catalogue

TEXT = bundled("studies/yantai.toml").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def book():
    return draw_care_cases(400, 6)


def rejected(frame, table):
    return check(frame, table).rejected["_rules"].to_list()


def test_simulated_tables_keep_their_contracts_and_repeat(book, tmp_path):
    cases, visits, truth = book
    assert check(cases, "care_cases").rejected.is_empty()
    assert check(visits, "care_visits").rejected.is_empty()
    again = draw_care_cases(400, 6)
    assert all(a.equals(b) for a, b in zip(book, again, strict=True))
    assert not draw_care_cases(400, 7)[0].equals(cases)
    folder = simulate_care_cases(tmp_path / "book", members=60, seed=1)
    told = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    assert told["parameters"]["hazard"] == CareParameters().hazard
    kept = pl.read_parquet(folder / "care_cases/*.parquet")
    assert told["in_payment"] == kept["until"].null_count()
    hidden = pl.read_parquet(folder / "truth/*.parquet")
    assert told["ineligible_now"] == hidden["ineligible_now"].sum()
    assert truth["hazard"].min() > 0
    assert (visits.filter(~pl.col("eligible") & pl.col("stopped"))["recovered"] > 0).mean() > 0.9
    assert visits["random_inclusion"].drop_nulls().unique().to_list() == [0.1]


def test_simulators_refuse():
    for wrong in ({"cases": 5, "seed": 1}, {"cases": 100, "seed": -1}, {"cases": 100.5, "seed": 1}):
        with pytest.raises(InputError, match="cannot be drawn"):
            draw_care_cases(**wrong)
    with pytest.raises(InputError) as refused:
        CareParameters(hazard=-1.0, appeal=1.5, death=float("nan"))
    assert str(refused.value).count("\n  - ") == 3


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"last_review": pl.col("since").dt.offset_by("-1y")}, "review_from_since_on"),
        ({"until": pl.col("since").dt.offset_by("-1d")}, "until_after_since"),
        ({"birth_date": pl.col("since").dt.offset_by("1d")}, "birth_before_since"),
        ({"birth_date": pl.lit(dt.date(1900, 1, 1))}, "age_of_case_at_most_120"),
        ({"monthly_benefit": pl.lit(0.0)}, "monthly_benefit|min_exclusive"),
        ({"monthly_benefit": pl.lit(float("nan"))}, "monthly_benefit|nan"),
        ({"setting": pl.lit("hospital")}, "setting|level"),
        ({"provider": pl.lit(None, dtype=pl.String)}, "provider|nullability"),
    ],
)
def test_cases_that_break_a_rule_are_set_aside_with_it(book, change, rule):
    few = book[0].head(4)
    bad = few.with_columns(**change)
    said = rejected(pl.concat([bad.head(1), few.tail(3)]), "care_cases")
    assert len(said) == 1
    assert rule.rpartition("|")[2] in said[0]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"last_review": pl.col("day")}, "review_before_visit"),
        ({"inclusion": pl.lit(0.0)}, "inclusion|min_exclusive"),
        ({"inclusion": pl.lit(1.01)}, "inclusion|max"),
        ({"inclusion": pl.lit(None, dtype=pl.Float64)}, "inclusion_unless_complaint"),
        ({"hours": pl.lit(-1.0)}, "hours|min_exclusive"),
        ({"cost": pl.lit(-1.0)}, "cost|min"),
        ({"eligible": pl.lit(True), "stopped": pl.lit(True)}, "stopped_only_if_not_eligible"),
        ({"eligible": pl.lit(True), "recovered": pl.lit(5.0), "stopped": pl.lit(False)}, "recovered_only_if_not_eligible"),
        ({"chosen": pl.lit("guess")}, "chosen|level"),
    ],
)  # fmt: skip
def test_visits_that_break_a_rule_are_set_aside_with_it(book, change, rule):
    few = book[1].filter(pl.col("chosen") == "random").head(4)
    bad = few.head(1).with_columns(**change)
    said = rejected(pl.concat([bad, few.tail(3)]), "care_visits")
    assert len(said) == 1
    assert rule.rpartition("|")[2] in said[0]


def test_visits_twice_a_day_and_to_no_case_are_set_aside(book):
    cases, visits, _ = book
    twice = pl.concat([visits, visits.head(1).with_columns(visit_id=pl.lit("again"))])
    assert rejected(twice, "care_visits") == ["once_a_day", "once_a_day"]
    strange = visits.with_columns(
        case_id=pl.when(pl.int_range(pl.len()) == 2).then(pl.lit("无此案")).otherwise("case_id"),
        day=pl.when(pl.int_range(pl.len()) == 3).then(pl.lit(dt.date(2001, 1, 2))).otherwise("day"),
        last_review=pl.when(pl.int_range(pl.len()) == 3).then(pl.lit(dt.date(2001, 1, 1))).otherwise("last_review"),
    )  # fmt: skip
    bad_case = cases.with_columns(
        monthly_benefit=pl.when(pl.col("case_id") == visits["case_id"][5]).then(0.0).otherwise("monthly_benefit")
    )  # fmt: skip
    held = check_book({"care_cases": check(bad_case, "care_cases"), "care_visits": check(strange, "care_visits")})  # fmt: skip
    assert sorted(held["care_visits"].rejected["_rules"]) == [
        "case_id|rejected_case",
        "case_id|unknown_case",
        "day|before_benefit",
    ]
    assert held["care_visits"].accepted.height == visits.height - 3


# -- the plan study ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("yantai")
    text = TEXT.replace("members = 5_700", "members = 1_200").replace("home = 2658, institution = 260", "home = 500, institution = 50")  # fmt: skip
    path = folder / "plan.toml"
    path.write_text(text, encoding="utf-8")
    return PlanStudy(path, work=folder / "books")


@pytest.fixture(scope="module")
def ran(study):
    return study.run()


def test_the_study_answers_every_question_in_both_languages(ran):
    wanted = {
        "visit_plan", "visit_values", "loss_of_eligibility", "visit_calibration", "targeting",
        "two_stage", "visit_interval", "leakage", "funnel:provider", "same_scores", "scenario_comparison",
    }  # fmt: skip
    assert wanted <= set(ran)
    words = catalogue()
    for name, result in ran.items():
        assert result.basis.fingerprint, name
        assert result.finding("en") != result.finding("zh")
        if name.partition(":")[0] in wanted - {"scenario_comparison"}:
            assert f"section.{result.kind}" in words
            for frame in (result.table, *result.frames.values()):
                assert [n for n in frame.columns if f"term.{n}" not in words] == [], name
            assert [f for f in result.frames if f"frame.{f}" not in words] == [], name
    for lang in LANGUAGES:
        assert ran["funnel:provider"].titled(lang).height <= 15


def test_estimates_of_the_study_hold_the_truth(study, ran):
    folder = next((study._work).iterdir())
    hidden = pl.read_parquet(folder / "reassessment" / "truth" / "*.parquet")
    leak = ran["leakage"].table.filter(pl.col("leakage_of") == "ineligible_cases")
    truth = hidden["ineligible_then"].sum()
    assert (leak["estimate"] - truth).abs().max() < 3 * leak["std_error"].max()
    plan = ran["visit_plan"].cases.join(hidden, on="case_id")
    made = plan.filter("planned")["ineligible_now"].sum()
    # a Poisson error of what is found, and the model's own
    assert made == pytest.approx(ran["visit_plan"].facts["expected_found"], rel=0.35)


def test_scenarios_move_as_they_must(study):
    base = study.headline()
    more = study.headline(
        {"reassessment.visits.home": 1100, "reassessment.visits.institution": 110}
    )
    none = study.headline({"reassessment.random_share": 0.0})
    assert base["visits"] == 550
    assert more["net_value"] > base["net_value"]
    assert more["precision"] < base["precision"]
    assert none["visits"] == base["visits"]
    assert none["net_value"] > base["net_value"]
    parts = base["past_recovered"] + base["future_saved"]
    assert parts > base["net_value"]
    odds = study.headline({"reassessment.form": "odds"})
    assert odds["net_value"] != base["net_value"]
    held = changed(study.settings, {}).plans["reassessment"]
    assert headline(held, study.prepared["reassessment"]).items() <= base.items()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("random_share = 0.10", "random_share = 1.10", "random_share"),
        ("home = 2658", "home = -1", "visits.home"),
        ("home = 2.0", "home = 0.0", "hours of a visit must be above 0"),
        ("sensitivity = 0.95", "sensitivity = 0.0", "visit.sensitivity"),
        (
            'out_of_bed"',
            'out_of_bed + years_since_review"',
            "counts years_since_review as exposure",
        ),
        ("validity_months = 24", "validity_months = 0", "validity_months"),
        ("return_rate = 0.25", "return_rat = 0.25", "return_rat"),
    ],
)
def test_a_section_that_contradicts_itself_is_refused(tmp_path, old, new, said):
    assert old in TEXT
    path = tmp_path / "plan.toml"
    path.write_text(TEXT.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InputError, match=said):
        read_plan(path)


def test_booked_recovery_refuses_what_cannot_be():
    with pytest.raises(InputError, match="visits must be above 0"):
        recovery_per_visit(0, 1.0, 600.0, 1.0)
    with pytest.raises(InputError, match="upheld must be above 0 and at most 10"):
        review_economics(100, 10, 11, 1.0, 2.0)
