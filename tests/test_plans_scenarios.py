"""Plan files, scenarios and what explains their differences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.data.tables import bundled
from pricing.errors import InputError
from pricing.plans.health_programme import headline
from pricing.plans.open_file import open_file
from pricing.plans.plan_file import PLANS, changed, read_plan
from pricing.plans.plan_keys import plan_files_markdown
from pricing.plans.plan_study import PlanStudy
from pricing.report.sections import PLAN_SECTIONS, SECTIONS
from pricing.result.attribution import shapley_values
from pricing.result.shape import Basis
from pricing.result.words import catalogue
from pricing.study.chain import Study
from pricing.study.scenarios import scenario_results

TEXT = bundled("studies/huoli_members.toml").read_text(encoding="utf-8")


@pytest.fixture
def write(tmp_path):
    def written(*changes):
        text = TEXT.replace("members = 3_000", "members = 120").replace("askers = 60", "askers = 3")
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        path = tmp_path / "plan.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return written


@pytest.fixture
def study(write, tmp_path):
    return PlanStudy(write(), work=tmp_path / "books")


def test_a_plan_runs_from_its_file_to_results_in_both_languages(study):
    found = study.run()
    assert list(found)[:2] == ["data_check", "health_values"]
    assert "scenario_comparison" in found
    assert {r.basis.source for r in found.values()} >= {"huoli_members"}
    for result in found.values():
        assert result.basis.fingerprint
        assert result.finding("en") != result.finding("zh")


def test_the_same_file_gives_the_same_results(write, tmp_path):
    one, other = (PlanStudy(write(), work=tmp_path / name) for name in ("a", "b"))
    assert one.fingerprint == other.fingerprint
    first, second = one.run(), other.run()
    for name, result in first.items():
        assert result.table.equals(second[name].table), name


def test_scenarios_are_the_figures_of_the_changed_file(study, write, tmp_path):
    compared = study.run()["scenario_comparison"].table
    lower = compared.filter(scenario="lower_cut_offs", quantity="mean_discount").row(0, named=True)
    base = "cut_offs = { G1 = 350, G2 = 500, G3 = 650, G4 = 800 }"
    by_hand = PlanStudy(
        write(('file = "huoli"', f'file = "huoli"\n{base}')), work=tmp_path / "hand"
    ).headline()
    assert lower["after"] == by_hand["mean_discount"]
    assert lower["before"] == study.headline()["mean_discount"]
    assert lower["difference"] == lower["after"] - lower["before"]


def test_the_parts_of_a_difference_add_up(study):
    found = study.run()
    steps, compared = found["scenario_steps:smaller_steps"], found["scenario_comparison"].table
    parts = steps.table.group_by("quantity").agg(pl.col("part_of_difference").sum())
    whole = compared.filter(scenario="smaller_steps").select("quantity", "difference")
    gap = parts.join(whole, on="quantity").select(
        (pl.col("part_of_difference") - pl.col("difference")).abs().max()
    )
    assert gap.item() < 1e-9


@given(
    st.integers(1, 5).flatmap(
        lambda n: st.lists(st.floats(-1e6, 1e6), min_size=1 << n, max_size=1 << n)
    )
)
def test_shapley_values_add_up_whatever_the_figures(states):
    values = np.array(states)
    parts = shapley_values(values)
    assert abs(parts.sum() - (values[-1] - values[0])) <= 1e-9 * max(1.0, np.abs(values).max())


def test_a_change_that_moves_nothing_has_nought_and_equals_have_equal():
    def worth(one, other, idle):
        del idle
        return 100 * (1 + 0.1 * one) * (1 + 0.1 * other)

    states = np.array([worth(s & 1, s >> 1 & 1, s >> 2 & 1) for s in range(8)])
    first, second, idle = shapley_values(states)
    assert first == second
    assert idle == 0.0


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("asked_on", "askd_on", "programme.askd_on: unknown key; did you mean 'asked_on'?"),
        ("[programme]", "[program]", "file: no plan's section"),
        ("[simulate]", "[simulated]", "simulated: unknown key; did you mean 'simulate'?"),
        ("members = 120", "members = 0", "simulate.members"),
        ("askers = 3", "askers = 0", "programme.askers"),
        ('"smaller_steps"', '"lower_cut_offs"', "scenarios: 'lower_cut_offs' stands twice"),
        ('"programme.hysteresis" = 0.0', '"programme.hysteresis" = -1.0', "scenarios.smaller_steps: programme.hysteresis"),
        ('"programme.hysteresis" = 0.0', '"programme.hysteris" = 0.0', "scenarios.smaller_steps: programme.hysteris: unknown key; did you mean 'hysteresis'?"),
        ('"programme.hysteresis" = 0.0', '"study.name" = "x"', "scenarios.smaller_steps: 'study.name' is no key of programme"),
        ('"programme.hysteresis" = 0.0', '"programme.a.b" = 1', "scenarios.smaller_steps: 'programme.a.b' is no key of the file"),
        ("change = { \"programme.cut_offs\" = { G1 = 350, G2 = 500, G3 = 650, G4 = 800 } }", "change = {}", "scenarios.0.change"),
    ],
)  # fmt: skip
def test_every_fault_of_a_plan_file_is_said(write, old, new, said):
    with pytest.raises(InputError) as caught:
        read_plan(write((old, new)))
    assert any(said in fault for fault in caught.value.faults), caught.value.faults


def test_tables_and_a_simulation_exclude_each_other(write):
    both = "[tables.activity_days]\nfiles = 'x.parquet'\n[simulate]"
    with pytest.raises(InputError, match="either \\[simulate\\] or"):
        read_plan(write(("[simulate]", both)))
    with pytest.raises(InputError, match="missing; or give"):
        read_plan(write(("[simulate]\nmembers = 120\nseed = 20260102\n", "")))
    foreign = "[tables.claims]\nfiles = 'x.parquet'\n"
    with pytest.raises(InputError, match=r"tables\.claims: no plan of this file reads it"):
        read_plan(write(("[simulate]\nmembers = 120\nseed = 20260102\n", foreign)))


def test_an_unknown_group_is_named(write, tmp_path):
    path = write(('file = "huoli"', 'file = "huoli"\nrates = { G9 = 0.1 }'))
    with pytest.raises(InputError, match="'G9' is no group of huoli"):
        PlanStudy(path, work=tmp_path / "w").run()


def test_cut_offs_that_do_not_rise_are_refused(write, tmp_path):
    path = write(('file = "huoli"', 'file = "huoli"\ncut_offs = { G1 = 900 }'))
    with pytest.raises(InputError, match="a programme that cannot be"):
        PlanStudy(path, work=tmp_path / "w").run()


def test_delivered_tables_give_what_simulated_ones_give(study, tmp_path, write):
    wanted = study.headline()
    folder = next((tmp_path / "books").iterdir()) / "programme"
    tables = "".join(
        f'[tables.{n}]\nfiles = "{folder}/{n}/*.parquet"\n'
        for n in ("programme_members", "activity_days", "programme_events")
    )
    path = write(("[simulate]\nmembers = 120\nseed = 20260102\n", tables))
    assert PlanStudy(path).headline() == wanted


def test_members_that_break_the_contract_are_set_aside_and_counted(study, tmp_path, write):
    _ = study.checked
    folder = next((tmp_path / "books").iterdir()) / "programme"
    rows = pl.read_parquet(folder / "programme_members/*.parquet")
    broken = rows.with_columns(
        standard_premium=pl.when(pl.int_range(pl.len()) < 7).then(-1.0).otherwise("standard_premium")
    )  # fmt: skip
    for table in ("activity_days", "programme_events"):
        (tmp_path / table).symlink_to(folder / table)
    broken.write_parquet(tmp_path / "members.parquet")
    tables = '[tables.programme_members]\nfiles = "members.parquet"\n' + "".join(
        f'[tables.{n}]\nfiles = "{n}/*.parquet"\n' for n in ("activity_days", "programme_events")
    )
    other = PlanStudy(write(("[simulate]\nmembers = 120\nseed = 20260102\n", tables)))
    assert other.data_check().facts["rejected"] == 7
    other.write_rejected(tmp_path / "rejected")
    kept = pl.read_csv(tmp_path / "rejected" / "rejected_programme_members.csv")
    assert kept["_rules"].to_list() == ["standard_premium|min_exclusive"] * 7


@pytest.mark.parametrize(
    "file", sorted(p.name for p in bundled("studies/anjia.toml").parent.glob("*.toml"))
)
def test_every_bundled_file_reads(file):
    assert open_file(bundled(f"studies/{file}")).title("zh")


def test_every_section_of_a_plan_has_a_bundled_study():
    files = bundled("studies/anjia.toml").parent.glob("*.toml")
    opened = [study for study in map(open_file, files) if isinstance(study, PlanStudy)]
    assert {name for study in opened for name in study.settings.plans} == set(PLANS)
    for study in opened:
        assert study.settings.scenarios, study.name


def test_what_a_plan_shows_stands_in_its_report():
    shown = {kind for kinds in {**PLAN_SECTIONS, **SECTIONS}.values() for kind in kinds}
    for name in {**PLAN_SECTIONS, **SECTIONS}:
        assert f"section.{name}" in catalogue()
    for kind in {kind for kinds in PLAN_SECTIONS.values() for kind in kinds}:
        assert f"section.{kind}" in catalogue(), kind
    assert shown >= {"scenario_comparison", "scenario_steps", "data_check"}


def test_the_page_of_plan_files_is_that_of_the_models():
    written = (Path(__file__).parents[1] / "docs" / "plan_files.md").read_text(encoding="utf-8")
    if written != plan_files_markdown():
        pytest.fail(
            "docs/plan_files.md is not what the models say now; rewrite it:\n"
            '.venv/bin/python -c "from pathlib import Path; from pricing.plans.plan_keys import '
            "plan_files_markdown as page; Path('docs/plan_files.md').write_text(page(), "
            "encoding='utf-8')\""
        )


def test_every_key_of_a_plan_file_is_described():
    rows = [row for row in plan_files_markdown().splitlines() if row.startswith("| `")]
    assert [row for row in rows if not row.split("|")[2].strip()] == []


def test_a_file_is_opened_as_what_it_is():
    assert isinstance(open_file(bundled("studies/huoli.toml")), Study)
    assert isinstance(open_file(bundled("studies/huoli_members.toml")), PlanStudy)


def test_a_change_of_a_list_goes_by_name_or_number():
    settings = read_plan(bundled("studies/huoli_members.toml"))
    after = changed(settings, {"scenarios.lower_cut_offs.title.en": "x"})
    assert after.scenarios[0].title.en == "x"
    assert changed(settings, {"scenarios.1.name": "y"}).scenarios[1].name == "y"
    with pytest.raises(InputError, match="is no entry of the file"):
        changed(settings, {"scenarios.nobody.name": "y"})


def test_a_headline_is_not_asked_for_more_often_than_states(study):
    asked = []

    def counted(change):
        asked.append(change)
        return study.headline(change)

    scenario_results(study.settings.scenarios, counted, Basis())
    assert len(asked) == 1 + 1 + 3


def test_headline_figures_have_labels_in_both_languages(study):
    for name in headline(study.settings.plans["programme"], study.prepared["programme"]):
        assert f"term.{name}" in catalogue()
