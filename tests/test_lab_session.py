"""What a user has done: undo and redo, scenarios, files read and refused, exports."""

import json
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.data.tables import bundled
from pricing.errors import InputError
from pricing.lab.answers import answer
from pricing.lab.export import as_changed, compared, scenarios_of, study_file
from pricing.lab.fields import Fault
from pricing.lab.opened import open_for_turning
from pricing.lab.session import MOST_BYTES, MOST_KEPT, Session, kept_name, read_session
from pricing.plans.plan_file import read_plan


@pytest.fixture(scope="module")
def home():
    return open_for_turning(bundled("studies/home_care.toml"))


@pytest.fixture(scope="module")
def anjia(tmp_path_factory):
    return open_for_turning(
        bundled("studies/anjia.toml"), work=tmp_path_factory.mktemp("anjia") / "books"
    )


def test_turning_undoing_redoing(home):
    zero = Session("home_care")
    one = zero.set(home, "care.uptake", "0.4")
    two = one.set(home, "care.fund.growth", "2%")
    assert two.change == {"care.uptake": 0.4, "care.fund.growth": 0.02}
    assert two.undone().change == one.change
    assert two.undone().undone().change == {}
    assert two.undone().undone().undone() == two.undone().undone()  # nothing before the first
    assert two.undone().redone() == two
    other = two.undone().set(home, "care.uptake", 0.3)
    assert not other.future  # a new change ends what could be redone
    assert other.redone() == other


def test_what_equals_the_file_is_no_change(home):
    session = Session("home_care").set(home, "care.uptake", 0.4)
    assert session.set(home, "care.uptake", "0.5").change == {}  # as in the file
    assert session.set(home, "care.uptake", " ").change == {}  # emptied
    assert session.set(home, "care.uptake", 0.4) is session
    assert isinstance(session.set(home, "care.uptake", "many"), Fault)
    assert isinstance(session.set(home, "care.nothing", 1), Fault)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(["turn", "undo", "redo", "keep"]), max_size=30), st.data())
def test_undo_is_the_inverse_of_every_turn(home, steps, data):
    session = Session("home_care")
    for step in steps:
        if step == "turn":
            value = data.draw(st.sampled_from([0.1, 0.2, 0.3, 0.5]))
            after = session.set(home, "care.uptake", value)
            assert after == session or after.undone().change == session.change
            session = after
        elif step == "undo":
            session = session.undone()
        elif step == "redo":
            session = session.redone()
        elif session.change:
            session = session.keep(f"s {session.change['care.uptake']}")
    assert read_session(session.written(), home) == session


def test_keeping_loading_dropping(home):
    session = Session("home_care", {"care.uptake": 0.4}).keep("  免赔额  300 ")
    assert session.scenarios[0].title == "免赔额 300"
    again = session.turned({"care.uptake": 0.3}).keep("免赔额 300")  # the same name: replaced
    assert [s.change for s in again.scenarios] == [{"care.uptake": 0.3}]
    assert not again.dropped(again.scenarios[0].name).scenarios
    with pytest.raises(InputError, match="no scenario"):
        session.kept("x")
    for title, change in (("", {"care.uptake": 0.4}), ("a" * 81, {"care.uptake": 0.4}), ("a", {})):
        with pytest.raises(InputError):
            Session("home_care", change).keep(title)
    many = Session("home_care", {"care.uptake": 0.4})
    for i in range(MOST_KEPT):
        many = many.keep(f"s{i}")
    with pytest.raises(InputError, match="at most 50"):
        many.keep("one more")


@given(st.text(min_size=1, max_size=80))
def test_every_title_has_a_short_name(title):
    name = kept_name(title)
    assert 1 <= len(name) <= 40
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-")


GOOD = {"kind": "pricing-lab", "version": 1, "study": "home_care", "change": {}, "scenarios": []}


@pytest.mark.parametrize(("text", "where"), [
    ("x" * (MOST_BYTES + 1), "too_large"), ("{", "not_json"), ("[]", "not_json"), ("[" * 50_000, "not_json"), (b"\xff", "not_json"),
    (json.dumps({}), "not_a_session"), (json.dumps(GOOD | {"version": 2}), "not_a_session"),
    (json.dumps(GOOD | {"extra": 1}), "not_a_session"),
    (json.dumps(GOOD | {"change": {"care.uptake": [1]}}), "not_a_session"),
    (json.dumps(GOOD | {"study": "anjia"}), "another_study"),
    (json.dumps(GOOD | {"change": {"care.uptake": 2}}), "bad_values"),
    (json.dumps(GOOD | {"change": {"study.name": "x"}}), "bad_values"),
    (json.dumps(GOOD | {"past": [{"care.uptake": "a"}]}), "bad_values"),
    (json.dumps(GOOD | {"scenarios": [{"name": "../x", "title": "x", "change": {}}]}), "not_a_session"),
    (json.dumps(GOOD | {"scenarios": [{"name": "a", "title": "x", "change": {"care.years": 0}}]}), "bad_values"),
    ('{"kind": "pricing-lab", "version": 1, "study": "home_care", "change": {"care.uptake": NaN}}', "not_json"),
])  # fmt: skip
def test_files_that_are_none_of_ours_are_refused(home, text, where):
    with pytest.raises(InputError) as refused:
        read_session(text, home)
    assert refused.value.where == where


def test_a_file_may_have_a_byte_order_mark(home):
    assert read_session(b"\xef\xbb\xbf" + json.dumps(GOOD).encode(), home) == Session("home_care")


# -- export -----------------------------------------------------------------------------------------


def test_the_exported_study_gives_the_lab_s_figures(home, tmp_path):
    change = {"care.uptake": 0.4, "care.fund.growth": 0.02}
    session = Session("home_care", change).keep('Says "so", 少\\人')
    text = study_file(home, session)
    assert text.startswith(home.study.path.read_text(encoding="utf-8").rstrip("\n"))
    path = tmp_path / "again.toml"
    path.write_text(text, encoding="utf-8")
    own = read_plan(path).scenarios[-1]
    assert own.title.zh == 'Says "so", 少\\人'
    assert dict(own.change) == change
    assert open_for_turning(path).headline(own.change) == home.headline(change)


def test_more_keys_than_a_scenario_may_have_are_said(home):
    keys = ["care.uptake", "care.fund.growth", "care.fund.interest", "care.years", "care.waiting_months", "care.monthly"]  # fmt: skip
    change = {key: 0.04 if "fund" in key else 12 for key in keys} | {"care.uptake": 0.3}
    session = Session("home_care", change)
    with pytest.raises(InputError, match="at most 5 keys"):
        study_file(home, session)
    found = compared(home, scenarios_of(home, session))  # a workbook takes them as one change
    assert list(found) == ["scenario_comparison"]
    after = dict(found["scenario_comparison"].table.select("quantity", "after").iter_rows())
    assert after == home.headline(change)


def test_names_the_file_has_already_are_not_taken_twice(home):
    own = home.scenarios[0]
    session = Session("home_care", {"care.uptake": 0.4}).keep(own.name)
    names = [s["name"] for s in tomllib.loads(study_file(home, session))["scenarios"]]
    assert len(names) == len(set(names)) == len(home.scenarios) + 1


def test_a_programme_s_cut_offs_are_exported_as_a_table(tmp_path):
    path = tmp_path / "members.toml"
    text = bundled("studies/huoli_members.toml").read_text(encoding="utf-8")
    path.write_text(text.replace("members = 3_000", "members = 60"), encoding="utf-8")
    opened = open_for_turning(path, work=tmp_path / "books")
    session = Session("huoli_members", {"programme.cut_offs.G1": 300.0, "programme.kappa": 30.0})
    written = tomllib.loads(study_file(opened, session))["scenarios"][-1]["change"]
    assert written == {"programme.cut_offs": {"G1": 300.0}, "programme.kappa": 30.0}
    moved = answer(opened, session.change, drawn=True)
    assert not moved.faults
    assert "group_flow" in moved.results
    after = opened.headline({"programme.cut_offs.G1": 100.0})
    assert after["mean_discount"] > opened.headline({})["mean_discount"]


def test_scenarios_are_compared_as_a_run_compares_them(home):
    session = Session("home_care", {"care.uptake": 0.4}).keep("Few").turned({"care.uptake": 0.3})
    kept = scenarios_of(home, session)
    assert [one.name for one in kept] == ["few", "screen"]
    table = compared(home, kept)["scenario_comparison"].table
    rows = table.filter(quantity="outgo_first", scenario="screen")
    assert rows["after"].item() == home.headline({"care.uptake": 0.3})["outgo_first"]
    assert compared(home, []) == {}


def test_the_study_as_changed_runs_on_the_change(home):
    assert as_changed(home, {"care.years": 5}).settings.plans["care"].years == 5
    assert home.study.settings.plans["care"].years == 30


def test_a_tiers_price_is_turned_in_both_places_of_the_file(anjia):
    """What [tiers] charges is what [take_up] offers: one without the other is refused by the file."""
    one = Session("anjia").set(anjia, "tiers.tier.basic.premium", "560")
    assert one.change == {"tiers.tier.basic.premium": 560.0, "take_up.prices.basic": 560.0}
    assert Session("anjia").set(anjia, "take_up.prices.basic", 560).change == one.change
    assert 'name = "dearer"' in study_file(anjia, one.keep("Dearer"))  # it is read back
    assert one.set(anjia, "take_up.prices.basic", "").change == {}
    assert one.set(anjia, "tiers.tier.basic.premium", 500).change == {}


def test_a_scenario_without_a_name_is_numbered():
    from pricing.lab.desk import State, acted

    opened = open_for_turning(bundled("studies/home_care.toml"))
    state = State(Session("home_care", {"care.uptake": 0.4}), "en")
    for title, kept in (("", "Scenario 1"), ("  ", "Scenario 2"), (None, "Scenario 3")):
        state, said = acted(state, opened, "keep", None, title)
        assert state.session.scenarios[-1].title == kept
        assert kept in said
    zh = State(Session("home_care", {"care.uptake": 0.4}), "zh")
    assert acted(zh, opened, "keep", None, "")[0].session.scenarios[0].title == "方案 1"
