"""Plan files that ask for two things at once, and scenarios whose figures come and go."""

import polars as pl
import pytest

from pricing.choice.calibrate import calibrate
from pricing.choice.equilibrium import break_even_rule, equilibrium
from pricing.choice.market import choice_market
from pricing.choice.spiral import spiral
from pricing.data.tables import bundled
from pricing.errors import InputError
from pricing.plans.plan_file import read_plan
from pricing.plans.plan_study import PlanStudy
from pricing.result.shape import Basis
from pricing.study.changes import with_changes
from pricing.study.scenarios import scenario_results
from pricing.study.sections import Scenario


def scenario(name="a", **change):
    title = {"en": name.title(), "zh": "甲"}
    return Scenario(name=name, title=title, change=change.pop("change", change))


@pytest.fixture
def joined(tmp_path, monkeypatch):
    """A study of two sections, their headlines and results as given."""

    def make(figures, results):
        text = bundled("studies/anjia.toml").read_text(encoding="utf-8")
        path = tmp_path / "joined.toml"
        path.write_text(text, encoding="utf-8")
        study = PlanStudy(path)
        study.__dict__["prepared"] = dict.fromkeys(("tiers", "take_up"))
        study.__dict__["fingerprint"] = "f"
        study.__dict__["checked"] = {}
        for name in ("tiers", "take_up"):
            module = f"pricing.plans.{ {'tiers': 'tiers', 'take_up': 'choice'}[name] }"
            monkeypatch.setattr(f"{module}.headline", lambda s, p, n=name: figures[n])
            monkeypatch.setattr(f"{module}.results", lambda s, p, b, n=name: results[n])
        return study

    return make


def test_a_figure_that_two_sections_give_is_refused_and_named(joined):
    study = joined({"tiers": {"bill": 1.0, "net_value": 2.0}, "take_up": {"net_value": 3.0}}, {})
    with pytest.raises(InputError, match=r"'net_value' of \[tiers\] and of \[take_up\]"):
        study.headline()  # the second was shown as if it were the first
    with pytest.raises(InputError, match="figures a scenario is judged by stand twice"):
        study.run()
    apart = joined({"tiers": {"bill": 1.0}, "take_up": {"take_up": 3.0}}, {})
    assert apart.headline() == {"bill": 1.0, "take_up": 3.0}


def test_a_result_that_two_sections_give_is_refused(joined):
    results = {"tiers": {"take_up_curve": None}, "take_up": {"take_up_curve": None}}
    study = joined({"tiers": {"bill": 1.0}, "take_up": {"take_up": 3.0}}, results)
    with pytest.raises(InputError, match=r"results stand twice\n.*'take_up_curve' of \[tiers\]"):
        study.run()


def test_two_sections_that_simulate_one_table_are_refused(tmp_path):
    anjia = bundled("studies/anjia.toml").read_text(encoding="utf-8")
    link = bundled("studies/anjia_link.toml").read_text(encoding="utf-8")
    at = link.index("[claims_link]")
    end = link.index("[[scenarios]]") if "[[scenarios]]" in link else len(link)
    path = tmp_path / "both.toml"
    path.write_text(anjia + "\n" + link[at:end], encoding="utf-8")
    with pytest.raises(InputError, match="tiers and claims_link each make policies"):
        read_plan(path)


def test_steps_whose_labels_would_fall_together_say_more_of_their_keys():
    one = scenario(change={"tiers.tier.basic.premium": 400.0, "tiers.tier.premium.premium": 400.0})
    found = scenario_results([one], lambda c: {"outgo": 10.0 + sum(c.values())}, Basis())
    steps = found["scenario_steps:a"]
    (bars,) = steps.figure("en").data
    assert len(set(bars.x)) == len(bars.x) == 4  # were 3: one step hid the other
    assert bars.x[1:3] == ("basic<br>Premium<br>400", "Premium<br>Premium<br>400")
    assert sum(bars.y[1:3]) == pytest.approx(800.0)


def test_a_figure_that_comes_or_goes_is_shown_where_it_is():
    def headline(change):
        gone = change.get("growth") == 1
        return {"outgo": 10.0} | ({} if gone else {"closing_growth": 0.03})

    one = scenario(change={"growth": 1, "other": 2})
    found = scenario_results([one], headline, Basis())  # a KeyError it was
    row = found["scenario_comparison"].table.filter(quantity="closing_growth").row(0, named=True)
    assert (row["before"], row["after"], row["difference"]) == (0.03, None, None)
    assert found["scenario_steps:a"].table["quantity"].unique().to_list() == ["outgo"]
    assert "None of these figures moves with: A" in found["scenario_comparison"].finding("en")
    assert "不改变任何一项指标：甲" in found["scenario_comparison"].finding("zh")
    for lang in ("en", "zh"):
        assert found["scenario_comparison"].figure(lang).data


def test_a_change_inside_a_change_leaves_the_scenario_as_written():
    raw = {"a": {"p": {}}}
    change = {"a.p": {"x": 1}, "a.p.x": 2}
    assert with_changes(raw, change) == {"a": {"p": {"x": 2}}}
    assert change == {"a.p": {"x": 1}, "a.p.x": 2}  # the first was overwritten for good
    assert raw == {"a": {"p": {}}}
    with pytest.raises(InputError, match="is no entry"):
        with_changes({"a": [1]}, {"a.²": 2})


def test_a_change_of_a_mapping_reads_as_words():
    one = scenario(change={"t.prices": {"basic": 500.0, "premium": 1500.0}, "t.none": {}})
    found = scenario_results([one], lambda c: {"outgo": float(len(c))}, Basis())
    assert found["scenario_steps:a"].table["changed_key"].to_list() == [
        "t.prices → basic 500, premium 1500",
        "t.none → —",
    ]


def test_an_equilibrium_says_which_tiers_are_left_and_which_not():
    types = pl.DataFrame({"risk": [100.0, 300.0, 900.0], "persons": [50.0, 30.0, 20.0]})
    model = calibrate(
        {"basic": 500.0, "premium": 900.0}, take_up=0.3, at={"basic": 300.0, "premium": 700.0},
        then=0.6, split={"basic": 0.9, "premium": 0.1},
    )  # fmt: skip
    costs = {"basic": 0.5, "premium": 9.0}
    rule = break_even_rule(choice_market(model, types, costs, persons="persons"), 0.7)
    found = equilibrium(rule)
    assert found.facts["emptied"] == ["premium"]
    assert not found.facts["unravels"]
    said = found.finding("en")
    assert said.startswith("Not every tier lasts. At premiums that pay for those who choose them")
    left, gone = said.split("Fewer than 1.0% of persons would stay in: ")
    assert "basic 229 CNY" in left
    assert "premium" not in left.removeprefix("Not every tier lasts. At premiums")
    assert gone.startswith("premium 4,114 CNY (0.0%). It is the one break-even point found")
    assert "仅此一个，且稳定" in found.finding("zh")
    path = spiral(rule, {"basic": 500.0, "premium": 900.0})
    assert "fewer than 1.0% of persons are left in premium." in path.finding("en")
