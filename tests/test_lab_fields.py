"""What may be turned: fields from the study file, entries read and refused, names in both languages."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.data.tables import bundled
from pricing.lab.answers import answer, checked_change, compare, faults_of
from pricing.lab.fields import Fault, Field, fields_of, read_value
from pricing.lab.labels import field_label, group_label, part_label
from pricing.lab.opened import OpenBook, OpenPlan, open_for_turning, studies_in
from pricing.plans.plan_file import PLANS, changed, plan_of, read_plan
from pricing.result.words import LANGUAGES, catalogue
from pricing.study.settings import read_settings
from pricing.study.toml_file import read_toml

STUDIES = studies_in()
OF_PLANS = [name for name, path in STUDIES.items() if set(read_toml(path)) & set(PLANS)]


def of_plan(name):
    settings = read_plan(STUDIES[name])
    plans = {n: plan_of(n) for n in settings.plans}
    present = {n: p.present(settings.plans[n]) for n, p in plans.items() if hasattr(p, "present")}
    return settings, fields_of(settings.plans, present)


@pytest.mark.parametrize("name", OF_PLANS)
def test_every_field_of_every_bundled_plan_is_a_key_a_scenario_may_change(name):
    held, fields = of_plan(name)
    assert fields
    keys = [field.key for field in fields]
    assert len(keys) == len(set(keys))
    for field in fields:
        if field.value is None:
            continue
        assert read_value(field, field.value) == field.value
        if field.kind in ("number", "whole"):
            assert field.low <= field.value <= field.high, field
            assert field.step > 0
            assert not isinstance(read_value(field, field.low), Fault), field
            assert not isinstance(read_value(field, field.high), Fault), field
        if not field.whole:  # the present value changes nothing, so the key is there
            assert changed(held, {field.key: field.value}) is not None


@pytest.mark.parametrize("name", OF_PLANS)
def test_every_field_has_a_name_in_both_languages(name):
    _, fields = of_plan(name)
    own = {str(v) for s in read_toml(STUDIES[name]).values() if isinstance(s, dict) for v in s}
    for field in fields:
        zh = field_label(field, "zh")
        named = f"key.{field.leaf}" in catalogue() or not zh.isascii()
        assert named or field.leaf[0].isdigit() or field.leaf[0] == "G" or field.leaf in own, field
        assert all(group_label(field, lang) for lang in LANGUAGES)


def test_a_book_offers_its_discount():
    settings = read_settings(bundled("studies/huoli.toml"))
    fields = {f.key: f for f in fields_of({"discount": settings.discount})}
    assert fields["discount.cap"].value == 0.2
    assert fields["discount.evidence"].choices == ("estimate", "lower")
    assert fields["discount.present.G4"].value == 0.2
    assert not any(key.startswith("discount.limits") for key in fields)


def test_what_the_programme_file_says_is_offered_and_written_as_one_table():
    opened = OpenPlan.__new__(OpenPlan)
    settings, fields = of_plan("huoli_members")
    opened.__dict__["fields"] = {f.key: f for f in fields}
    change = {"programme.cut_offs.G1": 350.0, "programme.cut_offs.G2": 500.0, "programme.kappa": 30}
    whole = opened.whole(change)
    assert whole == {"programme.cut_offs": {"G1": 350.0, "G2": 500.0}, "programme.kappa": 30}
    assert changed(settings, whole).plans["programme"].cut_offs == {"G1": 350.0, "G2": 500.0}


CAP = Field("discount.cap", "number", 0.2, least=0, least_allowed=False, most=1, most_allowed=False)


@pytest.mark.parametrize(("text", "value"), [
    ("0.15", 0.15), (" 15 % ", 0.15), ("15％", 0.15), (0.5, 0.5), ("1e-2", 0.01), ("0.15 ", 0.15),
])  # fmt: skip
def test_entries_are_read(text, value):
    assert read_value(CAP, text) == value


@pytest.mark.parametrize(("text", "sentence"), [
    ("", "not_a_number"), ("abc", "not_a_number"), ("nan", "not_a_number"), ("inf", "not_a_number"),
    ("0", "above_below"), ("1", "above_below"), ("-0.1", "above_below"), (True, "not_a_number"),
    ("__import__('os')", "not_a_number"), (None, "not_a_number"), ([1], "not_a_number"), ("1" * 500, "not_a_number"), ("0,5", "not_a_number"),
])  # fmt: skip
def test_bad_entries_are_refused_in_both_languages(text, sentence):
    found = read_value(CAP, text)
    assert isinstance(found, Fault)
    assert found.sentence == sentence
    assert found.said("en") != found.said("zh")


def test_whole_numbers_choices_and_yes_or_no():
    years = Field("care.years", "whole", 30, least=2, most=100)
    assert isinstance(read_value(years, "1,0"), Fault)  # neither 10 nor 1: nobody can say
    assert read_value(years, "40.0") == 40
    assert isinstance(read_value(years, "40"), int)
    assert read_value(years, "2.5").sentence == "not_whole"
    assert read_value(years, "1").said("en") == "Must be at least 2 and at most 100."
    yes = Field("a.b", "yes_no", False)
    assert read_value(yes, True) is True
    assert read_value(yes, "yes").sentence == "not_yes_no"
    pick = Field("a.c", "choice", "x", choices=("x", "y"))
    assert read_value(pick, "y") == "y"
    assert read_value(pick, "z").sentence == "not_a_choice"


@settings(deadline=None)
@given(st.one_of(st.text(max_size=60), st.floats(), st.integers(), st.none(), st.booleans()))
def test_no_entry_breaks_the_reader(entered):
    found = read_value(CAP, entered)
    assert isinstance(found, Fault) or 0 < found < 1


def test_every_fault_a_bound_can_have_is_in_the_catalogue():
    for low, high in itertools.product((None, True, False), (None, True, False)):
        if low is None and high is None:
            continue
        field = Field(
            "a.b", "number", 0.5, least=None if low is None else 0.0, most=None if high is None else 1.0,
            least_allowed=bool(low), most_allowed=bool(high),
        )  # fmt: skip
        for value in (-1.0, 2.0):
            found = read_value(field, value)
            if isinstance(found, Fault):
                assert all(found.said(lang) for lang in LANGUAGES)


# -- answers ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def home():
    return open_for_turning(bundled("studies/home_care.toml"))


def test_the_file_as_it_stands_has_no_difference(home):
    found = answer(home, {})
    assert not found.faults
    assert set(found.figures["difference"]) == {0.0}


def test_an_answer_is_the_headline_of_the_changed_file(home):
    change = {"care.uptake": 0.25}
    found = answer(home, change, drawn=True)
    assert dict(found.figures.select("quantity", "after").iter_rows()) == home.headline(change)
    assert found.figures.filter(quantity="outgo_first")["relative_difference"].item() == pytest.approx(-0.5)  # fmt: skip
    assert "care_projection" in found.results
    again = answer(home, {}, drawn=True).results["care_projection"]
    assert again.basis.fingerprint != found.results["care_projection"].basis.fingerprint


def test_nothing_is_computed_on_a_bad_value(home, monkeypatch):
    monkeypatch.setattr(OpenPlan, "headline", lambda *_: pytest.fail("computed"))
    found = answer(home, {"care.uptake": 3.0, "care.fund.growth": "x", "care.no": 1})
    assert found.figures.is_empty()
    assert [f.key for f in found.faults] == ["care.uptake", "care.fund.growth", "care.no"]


def test_rules_between_keys_speak_at_the_key_turned_last(home):
    found = answer(home, {"care.monthly": 600.0, "care.settings.home": 0.5})
    assert [fault.key for fault in found.faults] == ["care.settings.home"]
    assert "0.6" in found.faults[0].said("en")  # 0.5 + 0.07 + 0.03


def test_a_fault_of_a_list_entry_finds_the_field_by_its_name():
    settings = read_plan(STUDIES["anjia"])
    change = {"tiers.tier.premium.limit": 100.0}
    with pytest.raises(ValueError, match=r"tiers\.tier\.1") as refused:
        changed(settings, change)
    (fault,) = faults_of(refused.value, change)
    assert fault.key == "tiers.tier.premium.limit"
    assert "lies above the tier's" in fault.said("en")


def test_checked_change_names_every_fault(home):
    assert not checked_change(home, {"care.years": 20})
    assert len(checked_change(home, {"care.years": 0, "x.y": 1})) == 2


def test_compare_keeps_the_order_and_minds_zero():
    table = compare({"a": 0.0, "b": -2.0}, {"b": -1.0, "a": 3.0})
    assert table["quantity"].to_list() == ["a", "b"]
    assert table["relative_difference"].to_list() == [None, 0.5]


def test_numbers_of_entries_are_named():
    assert part_label("2", "zh") == "第 3 项"


def test_a_book_is_prepared_once_and_answers_as_the_study_does(tmp_path):
    path = bundled("studies/randhie.toml")
    opened = open_for_turning(path, kept=tmp_path)
    assert isinstance(opened, OpenBook)
    found = opened.headline({"discount.cap": 0.1})
    assert found["highest_discount"] == 0.1
    steps = []
    again = open_for_turning(path, kept=tmp_path, progress=steps.append)
    assert not steps  # no row was read
    assert again.headline({"discount.cap": 0.1}) == found
    assert set(answer(again, {}, drawn=True).results) == {"schedule", "discount_shift"}
    refused = answer(again, {"discount.step": 0.9})
    assert [fault.key for fault in refused.faults] == ["discount.step"]
