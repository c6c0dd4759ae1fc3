"""The health programme's plan study: who asks, who falls for want of consent, what nobody can reach."""

from datetime import date

import polars as pl
import pytest

from pricing.plans import health_programme as plan
from pricing.result.shape import Basis

STUDY = Basis(source="study", currency="CNY")


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    folder = tmp_path_factory.mktemp("programme")
    plan.simulate(folder, members=119, seed=4)
    tables = {n: pl.read_parquet(folder / n / "*.parquet") for n in plan.TABLES}
    section = plan.ProgrammeSection(file="huoli", asked_on=date(2025, 7, 1), askers=60)
    return section, plan.prepare(section, tables, STUDY)


def test_who_asks_lies_over_the_whole_book(book):
    section, prepared = book
    values = plan._values(plan._programme(section), prepared)
    asked = plan._askers(section, values, prepared)
    able = prepared.members.filter("consent").sort("person")["person"]
    assert asked.height == asked["person"].n_unique() == 60
    place = able.to_list().index(asked["person"][-1])
    assert place >= able.len() - 2
    few = section.model_copy(update={"askers": 2000})
    assert plan._askers(few, values, prepared)["person"].to_list() == able.to_list()


def test_members_without_consent_are_told_apart(book):
    section, prepared = book
    found = plan.results(section, prepared, STUDY)
    flow, values = found["group_flow"], found["health_values"].table
    order = list(plan._programme(section).groups)
    held = [order.index(g) for g in values["group_held"].cast(pl.String)]
    next_ = [order.index(g) for g in values["health_group"].cast(pl.String)]
    out = [s == "no_consent" for s in values["standing"].cast(pl.String)]
    fell = sum(n < h and o for n, h, o in zip(next_, held, out, strict=True))
    assert fell > 0
    assert flow.facts["down_no_consent"] == fell
    assert f"{fell} did not consent" in flow.finding("en")
    assert f"{fell} 位未同意" in flow.finding("zh")
    tasks = found["task_values"]
    assert tasks.basis.rows == len(out) - sum(out)
    assert f"{tasks.basis.rows:,} of {len(out):,} renewals" in tasks.basis.notes[-1]


def test_where_nobody_can_move_up_no_effort_is_said(book):
    section, prepared = book
    late = section.model_copy(update={"asked_on": date(2025, 10, 30), "askers": 5})
    steep = late.model_copy(update={"cut_offs": {"G1": 900.0, "G2": 940.0, "G3": 960.0, "G4": 975.0}})  # fmt: skip
    summary = plan.results(steep, prepared, STUDY)["lift_summary"]
    assert summary.facts["reachable"] == 0
    assert summary.facts["effort"] is None
    for lang, said in (("en", "None of the 5 members"), ("zh", "无人仍能升到下一组")):
        assert said in summary.finding(lang)
        assert summary.figure(lang) is not None
