"""Unravelling to the printed digits, the course of a membership, and the back-test's honesty."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from pricing.data.rates import RateTable, rate_table
from pricing.data.tables import provenance, reference_table
from pricing.errors import InputError
from pricing.mutual_aid.back_test import mean_payout, member_path, share_back_test, structural_model
from pricing.mutual_aid.cross_subsidy import unisex
from pricing.mutual_aid.membership import Behaviour, project_membership
from pricing.mutual_aid.rules import AidBenefit, aid_rules
from pricing.mutual_aid.unravelling import unravelling
from pricing.result.words import catalogue

CI4 = rate_table("cn_ci_2020", "ci4")
SPLIT = aid_rules("xiang_hu_bao").but(cap_per_case=None, cap_per_year=None)
FLAT = SPLIT.but(benefit=(AidBenefit(0, 59, 300_000.0),))
EVEN = RateTable(name="even", rates=pl.DataFrame({"age": range(18, 70), "rate": [0.002] * 52}))
START = dict.fromkeys(range(20, 60), 10000.0)


def labelled(result):
    for table in (result.table, *result.frames.values()):
        for name in table.columns:
            assert f"term.{name}" in catalogue(), (result.kind, name)
    for lang in ("en", "zh"):
        assert result.finding(lang)
        assert result.figure(lang).data


# -- the toy ----------------------------------------------------------------------------------------


def test_the_spiral_of_both_designs_to_the_printed_digits():
    found = unravelling({"split": SPLIT, "flat": FLAT}, CI4)
    assert [round(x, 1) for x in found.path("split")] == [493.2, 648.8, 730.4, 777.3, 793.7]
    assert [round(x, 1) for x in found.path("flat")] == [1158.0, 1994.3, 2393.1, 2544.3, 2625.3]
    cells = found.table.group_by("aid_design", maintain_order=True).agg(
        "age_cells", pl.col("age_from", "age_to").last()
    )
    assert cells.rows() == [
        ("split", [40, 26, 20, 17, 16], 36, 59), ("flat", [40, 20, 14, 12, 11], 49, 59),
    ]  # fmt: skip
    labelled(found)


def test_who_all_cost_the_same_stay():
    found = unravelling({"flat": FLAT}, EVEN)
    assert found.table.height == 1
    assert found.path("flat") == pytest.approx([1.08 * 300_000 * 0.002])


def test_a_pool_of_fewer_ages_and_weights():
    weights = dict.fromkeys(range(36, 60), 1.0)
    found = unravelling({"split": SPLIT}, CI4, weights=weights)
    rates = unisex(CI4).filter(pl.col("age").is_between(36, 59))
    own = 1.08 * SPLIT.benefit_at(rates["age"].to_numpy()) * rates["rate"].to_numpy()
    assert found.path("split")[0] == pytest.approx(own.mean())
    harder = (
        unravelling({"split": SPLIT}, CI4, leave_above=1.0)
        .frames["designs"]["members_share"]
        .item()
    )
    softer = (
        unravelling({"split": SPLIT}, CI4, leave_above=3.0)
        .frames["designs"]["members_share"]
        .item()
    )
    assert harder < 0.4 < softer


@pytest.mark.parametrize("wrong", [
    {"leave_above": 0.9}, {"leave_above": float("nan")}, {"rounds": 0}, {"ages": (59, 20)}, {"ages": (20, 130)},
    {"ages": (20, 60)}, {"weights": {30: -1.0}}, {"weights": {}},
])  # fmt: skip
def test_a_toy_that_cannot_be_is_refused(wrong):
    with pytest.raises(InputError):
        unravelling({"split": SPLIT}, CI4, **wrong)
    with pytest.raises(InputError):
        unravelling({}, CI4)


# -- the course -------------------------------------------------------------------------------------


def test_waiting_and_lag_put_the_first_share_off_and_then_it_is_the_closed_form():
    act = Behaviour(leave_base=1e-12, leave_response=0.0, risks=((1.0, 1.0),), lag_periods=4)
    found = project_membership(FLAT, START, EVEN, years=1, behaviour=act)
    cases = found.table["cases"].to_list()
    # 90 days are 6 periods of half a month, then 4 more from diagnosis to publication
    assert cases[:10] == [0.0] * 10
    assert cases[10] > 0
    calm = project_membership(FLAT, START, EVEN, years=1, waiting_at_start=False,
                              behaviour=Behaviour(leave_base=1e-12, leave_response=0.0, lag_periods=0, risks=((1.0, 1.0),)))  # fmt: skip
    assert calm.table["aid_share"][0] == pytest.approx(1.08 * 300_000 * 0.002 / 24)
    assert calm.table["payers"][0] == pytest.approx(400_000)


def test_a_plan_past_its_waiting_period_has_cases_on_their_way():
    act = Behaviour(leave_base=1e-12, leave_response=0.0, lag_periods=4, risks=((1.0, 1.0),))
    found = project_membership(FLAT, START, EVEN, years=1, behaviour=act, waiting_at_start=False)
    assert found.table["aid_share"][:5].to_list() == pytest.approx(
        [1.08 * 300_000 * 0.002 / 24] * 5, rel=5e-3
    )


def test_honorary_pay_and_assisted_do_not():
    kinds = {"leave_base": 1e-12, "leave_response": 0.0, "lag_periods": 0, "risks": ((1.0, 1.0),)}
    run = {"years": 1, "waiting_at_start": False}
    plain = project_membership(FLAT, START, EVEN, behaviour=Behaviour(**kinds), **run)
    mixed = project_membership(
        FLAT,
        START,
        EVEN,
        behaviour=Behaviour(honorary_share=0.1, assisted_share=0.3, **kinds),
        **run,
    )
    assert mixed.table["aid_share"][0] == pytest.approx(plain.table["aid_share"][0] / 0.8)
    capped = project_membership(
        FLAT.but(cap_per_case=0.01), START, EVEN, behaviour=Behaviour(**kinds), **run
    )
    assert capped.table["aid_share"][0] == pytest.approx(0.01 * capped.table["cases"][0])


def test_selection_leaves_the_costly_and_none_means_none():
    calm = project_membership(SPLIT, START, CI4, years=3, behaviour=Behaviour(leave_response=0.0))
    assert 0.99 < calm.facts["last_risk"] < 1.0  # the high risks are helped more often and leave
    assert (calm.facts["against_calm"], calm.facts["unravels"]) == (1.0, False)
    keen = project_membership(SPLIT, START, CI4, years=3, behaviour=Behaviour(leave_response=3.0))
    assert keen.facts["last_risk"] > 1.05
    assert keen.facts["last_members"] < calm.facts["last_members"]
    labelled(keen)


def test_a_flat_benefit_unravels_where_a_split_one_holds():
    act = Behaviour(leave_response=2.5, joiners=40_000.0)
    split = project_membership(SPLIT, START, CI4, years=6, behaviour=act)
    flat = project_membership(FLAT, START, CI4, years=6, behaviour=act)
    assert flat.facts["unravels"]
    assert not split.facts["unravels"]
    assert "unravels" in flat.finding()
    assert "holds" in split.finding()


def test_members_are_neither_made_nor_lost():
    act = Behaviour(
        leave_base=1e-12,
        leave_response=0.0,
        joiners=12_000.0,
        joiner_growth=0.0,
        incidence_factor=1e-6,
    )  # who is helped leaves: here hardly anybody
    young = dict.fromkeys(range(20, 40), 1000.0)
    found = project_membership(SPLIT, young, CI4, years=2, behaviour=act)
    table = found.table
    np.testing.assert_allclose(np.diff(table["members"].to_numpy()), 500.0, rtol=1e-4)
    assert table["mean_age"][-1] > table["mean_age"][0]


def test_drawn_courses_scatter_about_the_expected_one():
    act = Behaviour(leave_response=0.5, joiners=8_000.0, lag_periods=2)
    start = dict.fromkeys(range(20, 60), 2000.0)
    mean = project_membership(SPLIT, start, CI4, years=2, behaviour=act)
    drawn = project_membership(SPLIT, start, CI4, years=2, behaviour=act, paths=60, seed=5)
    again = project_membership(SPLIT, start, CI4, years=2, behaviour=act, paths=60, seed=5)
    assert drawn.table.equals(again.table)
    last, told = mean.table.row(-1, named=True), drawn.table.row(-1, named=True)
    assert told["members"] == pytest.approx(last["members"], rel=0.01)
    assert told["share_lower"] < last["share_a_year"] < told["share_upper"]
    assert mean.table["cases"].sum() == pytest.approx(drawn.table["cases"].sum(), rel=0.05)
    labelled(drawn)


@pytest.mark.parametrize("wrong", [
    {"leave_base": 0.0}, {"leave_response": -1.0}, {"joiners": -1.0}, {"risks": ((0.5, 1.0),)},
    {"risks": ((1.0, 0.0),)}, {"lag_periods": 1.5}, {"assisted_share": 1.0}, {"joiner_growth": -2.0},
    {"incidence_factor": 0.0}, {"joiners": float("nan")},
])  # fmt: skip
def test_behaviour_that_cannot_be_is_refused(wrong):
    with pytest.raises(InputError, match="behaviour that cannot be"):
        Behaviour(**wrong)


@pytest.mark.parametrize("wrong", [
    {"members": {}}, {"members": {30: -1.0}}, {"members": {60: 1.0}}, {"years": 0}, {"years": 61},
    {"paths": -1}, {"seed": -1},
])  # fmt: skip
def test_a_projection_that_cannot_be_is_refused(wrong):
    with pytest.raises(InputError):
        project_membership(SPLIT, wrong.pop("members", START), CI4, **wrong)


# -- the back-test ----------------------------------------------------------------------------------


def test_the_timeline_is_what_was_reported():
    table = reference_table("xhb_timeline")
    assert table.columns == ["date", "day", "metric", "value", "unit", "source"]
    assert table["day"].str.to_date().is_sorted() or table.height == 33
    assert "press" in provenance("xhb_timeline")["warning"].lower()
    got = table.filter(day="2020-12-07").select("metric", "value").rows()
    assert dict(got) == {
        "participants": 103_321_600.0,
        "share_per_member": 4.83,
        "cases_in_period": 3369.0,
    }


def test_mean_payouts_are_those_of_the_reference():
    assert round(mean_payout(0.51, members=72e6, cases=150, fee=0.08)) == 226_667
    assert round(mean_payout(4.83, members=103_321_600, cases=3369, fee=0.08)) == 137_156
    assert round(mean_payout(91, members=104.5e6, cases=68_675, fee=0.08)) == 128_214
    with pytest.raises(InputError):
        mean_payout(0.5, members=0, cases=1, fee=0.08)


def test_identities_are_named_and_predictions_are_judged():
    found = share_back_test()
    table = found.table
    same = table.filter(role="identity")
    assert same["gap"].abs().max() < 1e-12
    assert (same["point"] == same["payout_from"]).all()
    told = table.filter(role="prediction")
    assert (told["point"] != told["payout_from"]).all()
    gaps = dict(told.select("point", "gap").rows())
    for point in ("period_2018_12", "year_2020", "period_2020_12", "month_2020_11"):
        assert abs(gaps[point]) < 0.10, point
    # what no input but the share itself explains is told as it is
    assert gaps["period_2019_06"] < -0.3
    assert gaps["year_2019"] > 0.3
    assert (found.facts["predictions"], found.facts["within"]) == (6, 4)
    assert abs(table.filter(role="arithmetic")["gap"].item()) < 0.01
    every = table.group_by("point").agg(pl.col("gap").abs().min())
    assert every["gap"].max() < 0.10
    labelled(found)
    for column in ("point", "role", "payout_from"):
        for value in table[column].drop_nulls().unique():
            assert f"level.{value}" in catalogue(), value
    for column in ("quantity", "span", "role"):
        for value in found.frames["structural"][column].unique():
            assert f"level.{value}" in catalogue(), value


def test_a_prediction_moves_with_its_inputs():
    table = reference_table("xhb_timeline")
    more = table.with_columns(
        value=pl.when((pl.col("day") == "2020-12-07") & (pl.col("metric") == "cases_in_period"))
        .then(2 * 3369.0)
        .otherwise(pl.col("value"))
    )
    gap = (
        share_back_test(more).table.filter(point="period_2020_12", role="prediction")["gap"].item()
    )
    was = share_back_test().table.filter(point="period_2020_12", role="prediction")["gap"].item()
    assert 1 + gap == pytest.approx(2 * (1 + was))
    with pytest.raises(InputError, match="0 values of participants"):
        share_back_test(table.filter(pl.col("metric") != "participants"))
    with pytest.raises(InputError, match="lacks metric"):
        share_back_test(table.drop("metric"))
    with pytest.raises(InputError, match="a lag of"):
        share_back_test(lag_days=-1)


def test_members_lie_on_lines_between_those_published():
    table = reference_table("xhb_timeline")
    day = (np.array(["2018-10-16", "2018-10-26", "2018-10-21", "2021-12-28"], "M8[D]")).astype(int)
    assert member_path(table, day).tolist() == [0, 12e6, 6e6, 75e6]


def test_the_structural_model_is_calibrated_on_2020_alone():
    plan = aid_rules("xiang_hu_bao")
    found = structural_model(reference_table("xhb_timeline"), plan)
    kept = found.filter(role="calibrated")
    assert kept["gap"].abs().max() < 1e-12
    assert set(kept["span"]) == {"year_2020"}
    later = found.filter(quantity="cases", span="year_2021")["gap"].item()
    assert -0.5 < later < -0.2  # incidence rose as the plan aged; one incidence cannot say so


def course_by_hand(rules, act, start, rate, periods, waiting_at_start):
    """The same course member group by member group, with every flow written down."""
    per, ages = rules.periods, sorted(start)
    benefit = dict(zip(ages, rules.benefit_at(ages).tolist(), strict=True))
    total = sum(start.values())
    mix = {(k, a): act.risks[k][0] * start[a] / total for k in range(len(act.risks)) for a in ages}
    ill_rate = {(k, a): rate[a] * act.risks[k][1] * act.incidence_factor for k, a in mix}
    wait = math.ceil(rules.waiting_days / (365.25 / per))
    groups = [dict.fromkeys(mix, 0.0) for _ in range(wait + 1)]  # 0 in cover, n: n periods to wait
    for key in mix:
        groups[wait if waiting_at_start else 0][key] = total * mix[key]
    usual = {key: groups[0][key] * ill_rate[key] / per for key in mix}
    late = [usual] * act.lag_periods
    rows, shares = [], []
    for t in range(periods):
        crowd = sum(sum(g.values()) for g in groups)
        ill = {key: groups[0][key] * ill_rate[key] / per for key in mix}
        late.append(ill)
        published = late.pop(0)
        payers = sum(groups[0].values())
        share = 0.0
        for (_, a), number in published.items():
            if payers >= 1:
                share += number * (1 + rules.fee) * benefit[a] / payers
        shares.append(share)
        yearly = per * sum(shares[-per:]) / len(shares[-per:])
        helped = sum(ill.values())
        for key in mix:
            groups[0][key] -= ill[key]
        silent = act.lag_periods + wait if waiting_at_start else 0
        gone = exits = joined = 0.0
        for g in groups:
            for k, a in mix:
                cost = (1 + rules.fee) * benefit[a] * ill_rate[k, a]
                x = math.log(max(yearly, 1e-9) / cost)
                if len(shares[-per:]) <= silent:
                    x = min(x, 0.0)
                odds = math.log(act.leave_base / (1 - act.leave_base)) + act.leave_response * x
                quit_ = 1 - (1 - 1 / (1 + math.exp(-odds))) ** (1 / per)
                gone += g[k, a] * quit_
                g[k, a] *= 1 - quit_
        for key in mix:
            groups[0][key] += groups[1][key]
        groups = [groups[0], *groups[2:], {}]
        for key in mix:
            groups[-1][key] = act.joiners / per * (1 + act.joiner_growth) ** (t / per) * mix[key]
            joined += groups[-1][key]
        for g in groups:
            for k in range(len(act.risks)):
                for a in reversed(ages):
                    up = g[k, a] / per
                    g[k, a] -= up
                    if a + 1 in start:
                        g[k, a + 1] += up
                    else:
                        exits += up
        after = sum(sum(g.values()) for g in groups)
        rows.append((crowd, share, joined, gone, exits, helped, after))
    return rows


@pytest.mark.parametrize("waiting", [True, False])
def test_joiners_less_leavers_exits_and_helped_are_the_change(waiting):
    """No deaths are modelled; everybody else who comes or goes is accounted for."""
    rules = aid_rules("xiang_hu_bao").but(cap_per_case=None, cap_per_year=None)
    act = Behaviour(joiners=3_000.0, joiner_growth=-0.2, leave_response=1.5, lag_periods=2)
    start = {age: 1_000.0 + 10 * age for age in range(36, 60)}
    table = rate_table("cn_ci_2020", "ci4")
    rate = dict(unisex(table).rows())
    found = project_membership(
        rules, start, table, years=2, behaviour=act, waiting_at_start=waiting
    ).table
    rows = course_by_hand(rules, act, start, rate, 48, waiting)
    members = found["members"].to_list()
    assert members == pytest.approx([row[0] for row in rows], rel=1e-9)
    assert found["aid_share"].to_list() == pytest.approx([row[1] for row in rows], rel=1e-9)
    for before, _, joined, gone, exits, helped, after in rows:
        assert after - before == pytest.approx(joined - gone - exits - helped, abs=1e-6)
    helped_in_all = sum(row[5] for row in rows)
    change = members[-1] - members[0]
    flows = sum(row[2] - row[3] - row[4] for row in rows[:-1])
    assert change == pytest.approx(flows - helped_in_all + rows[-1][5], abs=1e-6)


def test_nobody_is_helped_twice():
    """With an incidence near 1 a year everybody is helped once: cases never pass members."""
    rules = aid_rules("xiang_hu_bao").but(cap_per_case=None, cap_per_year=None)
    act = Behaviour(
        leave_response=0.0, leave_base=1e-9, lag_periods=0, incidence_factor=99.0, risks=((1, 5.0),)
    )
    for paths in (0, 3):
        found = project_membership(
            rules, {30: 10_000.0}, rate_table("cn_ci_2020", "ci4"),
            years=5, behaviour=act, waiting_at_start=False, paths=paths,
        )  # fmt: skip
        assert 9_000 < found.table["cases"].sum() <= 10_000 + 1e-6


def test_the_cap_of_a_year_holds_in_the_course_and_calms_who_would_leave():
    free = project_membership(SPLIT, START, CI4, years=4, waiting_at_start=False)
    capped = project_membership(
        SPLIT.but(cap_per_year=188.0), START, CI4, years=4, waiting_at_start=False
    )
    assert free.table["share_a_year"][-1] > 400
    paid = capped.table["aid_share"].to_numpy().reshape(4, 24).sum(axis=1)
    assert paid == pytest.approx([188.0] * 4)
    assert capped.table["share_a_year"].max() <= 188.0 + 1e-9
    assert capped.facts["last_members"] > free.facts["last_members"]
    same = project_membership(
        SPLIT.but(cap_per_year=1e6), START, CI4, years=4, waiting_at_start=False
    )
    assert same.table.equals(free.table)


def test_the_back_test_says_whose_members_shared_the_first_case():
    """12 million are those of October; the plan had grown by December, and the note says so."""
    notes = " ".join(share_back_test().basis.notes)
    later = 324_000 / float(member_path(reference_table("xhb_timeline"), [17893]))
    assert later < 0.02
    assert f"its share would be {later:.2f}" in notes
