"""The discount schedule: its rules for any fair discount, and its budget from the policy table."""

from __future__ import annotations

from itertools import combinations_with_replacement

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.errors import InputError
from pricing.experience.cells import Experience
from pricing.health.effect import GroupEffect, group_effect
from pricing.health.schedule import design_schedule

STEPS = (0.01, 0.025, 0.03, 0.05, 0.07, 0.1)


def effect_of(fair, reach=0.0):
    """An effect with the fair discounts given; the first group is the standard one."""
    fair = [0.0, *fair]
    reach = [0.0, *np.broadcast_to(reach, len(fair) - 1)]
    table = pl.DataFrame(
        {
            "health_group": [f"G{i}" for i in range(len(fair))],
            "exposure": [10.0] * len(fair),
            "adjusted_discount": fair,
            "fair_discount": fair,
            "adjusted_lower": [f - r for f, r in zip(fair, reach, strict=True)],
            "adjusted_upper": [f + r for f, r in zip(fair, reach, strict=True)],
        }
    )
    return GroupEffect(table=table, facts={"level": 0.95})


def book_of(weights, amount=0.6):
    rows = pl.DataFrame(
        {
            "health_group": [f"G{i}" for i in range(len(weights))],
            "exposure": [10.0] * len(weights),
            "claims": [1] * len(weights),
            "amount": [amount * w for w in weights],
            "standard_premium": weights,
        }
    )
    return Experience.collect(rows, ["health_group"], amount="amount", sums=["standard_premium"])


def schedule_of(fair, weights=None, reach=0.0, **options):
    weights = [100.0] * (len(fair) + 1) if weights is None else weights
    return design_schedule(effect_of(fair, reach), book_of(weights), **options)


def discounts(fair, **options):
    return list(schedule_of(fair, **options).discounts.values())[1:]


@st.composite
def cases(draw, most=6):
    groups = draw(st.integers(1, most))
    fair = draw(st.lists(st.floats(-0.6, 0.9), min_size=groups, max_size=groups))
    weights = draw(st.lists(st.floats(1.0, 1e6), min_size=groups + 1, max_size=groups + 1))
    reach = draw(st.lists(st.floats(0.0, 0.5), min_size=groups, max_size=groups))
    step = draw(st.sampled_from(STEPS))
    cap = draw(st.sampled_from([c for c in (0.05, 0.12, 0.15, 0.2, 0.33) if c >= step]))
    return fair, weights, reach, {"step": step, "cap": cap}


@given(cases(), st.sampled_from(["down", "nearest"]), st.sampled_from(["estimate", "lower"]))
@settings(deadline=None, max_examples=120)
def test_the_rules_hold_for_any_fair_discount(case, rounding, evidence):
    fair, weights, reach, limits = case
    schedule = schedule_of(fair, weights, reach, rounding=rounding, evidence=evidence, **limits)
    given, cap, step = schedule.table["discount"].to_numpy(), limits["cap"], limits["step"]
    prudent, monotone = (schedule.table[n].to_numpy() for n in ("prudent_discount", "monotone"))
    for values in (given, prudent):
        assert values[0] == 0
        assert (values >= 0).all()
        assert (values <= cap + 1e-12).all()
        assert (np.diff(values) >= 0).all()
        assert np.abs(values / step - np.round(values / step)).max() < 1e-9
    assert (np.diff(monotone[1:]) >= -1e-12).all()
    # pooling keeps the weighted mean of the fair discounts
    basis = schedule.table["fair_discount"].to_numpy()
    w = np.array(weights)
    assert (w[1:] * monotone[1:]).sum() == pytest.approx((w[1:] * basis[1:]).sum(), abs=1e-6)
    if evidence == "lower":
        assert (prudent == given).all()
    elif rounding == "down":
        assert (given <= np.clip(monotone, 0, cap) + 1e-9).all()
        assert (given > np.clip(monotone, 0, cap) - step - 1e-9)[1:].all() or cap % step
    else:
        assert (given <= np.clip(monotone, 0, cap) + step / 2 + 1e-9).all()
    assert (prudent <= given).all()
    # within the group's own lower end, or one that a less healthy group has shown
    shown = np.maximum.accumulate(np.clip(schedule.table["adjusted_lower"].to_numpy(), 0, cap))
    assert (prudent <= shown + 1e-9).all()
    beyond = prudent > np.maximum(schedule.table["adjusted_lower"].to_numpy(), 0)
    assert schedule.table["rests_on_order"].to_list() == beyond.tolist()
    supported = schedule.table["supported"].to_list()
    lower = np.maximum(schedule.table["adjusted_lower"].to_numpy(), 0)
    assert supported == (given <= lower).tolist()


@given(cases(most=4))
@settings(deadline=None, max_examples=60)
def test_nearest_is_the_least_squares_optimum_over_all_rising_steps(case):
    fair, weights, _, limits = case
    schedule = schedule_of(fair, weights, rounding="nearest", **limits)
    ours = schedule.table["discount"].to_numpy()[1:]
    w, target = np.array(weights[1:]), np.array(fair)
    grid = np.arange(int(limits["cap"] / limits["step"] + 1e-9) + 1) * limits["step"]
    tried = np.array(list(combinations_with_replacement(grid, len(fair))))
    best = ((tried - target) ** 2 @ w).min()
    assert ((ours - target) ** 2 @ w) == pytest.approx(best, rel=1e-9, abs=1e-9)


@given(cases())
@settings(deadline=None, max_examples=60)
def test_the_budget_adds_up(case):
    fair, weights, _, limits = case
    schedule = schedule_of(fair, weights, **limits)
    t, b = schedule.table, schedule.budget.row(0, named=True)
    total = sum(weights)
    cost = sum(w * d for w, d in zip(weights, schedule.discounts.values(), strict=True))
    assert b["standard_premium"] == pytest.approx(total, rel=1e-12)
    assert b["discount_given"] == pytest.approx(cost, rel=1e-12, abs=1e-9)
    assert b["mean_discount"] == pytest.approx(cost / total, rel=1e-12, abs=1e-15)
    assert b["base_premium_factor"] * (total - cost) == pytest.approx(total, rel=1e-12)
    assert b["loss_ratio_before"] == pytest.approx(0.6, rel=1e-9)
    assert b["loss_ratio_after"] == pytest.approx(0.6 * b["base_premium_factor"], rel=1e-9)
    assert t["discounted_premium"].sum() == pytest.approx(total - cost, rel=1e-12)


def test_no_discount_reproduces_the_base_premium():
    schedule = schedule_of([-0.2, -0.1, -0.3])
    assert set(schedule.discounts.values()) == {0.0}
    b = schedule.budget.row(0, named=True)
    assert (b["discount_given"], b["mean_discount"], b["base_premium_factor"]) == (0.0, 0.0, 1.0)
    assert b["loss_ratio_after"] == b["loss_ratio_before"]
    for lang in ("en", "zh"):
        assert schedule.finding(lang)
        assert schedule.figure(lang).data


@pytest.mark.parametrize(
    ("fair", "options", "expected"),
    [
        ([0.15], {"cap": 0.2, "step": 0.05}, [0.15]),  # 0.15 / 0.05 is 2.9999999999999996
        ([0.1 + 0.2], {"cap": 0.3, "step": 0.1}, [0.3]),
        ([0.3], {"cap": 0.3, "step": 0.1}, [0.3]),  # 0.3 / 0.1 is 2.9999999999999996
        ([0.7, 0.9], {"cap": 0.7, "step": 0.1}, [0.7, 0.7]),
        ([0.1499], {"cap": 0.2, "step": 0.05}, [0.10]),
        ([0.19, 0.5], {"cap": 0.12, "step": 0.05}, [0.10, 0.10]),  # a cap between two steps
        ([0.5], {"cap": 0.14, "step": 0.05, "rounding": "nearest"}, [0.10]),
        ([0.024, 0.026], {"step": 0.05, "rounding": "nearest"}, [0.0, 0.05]),
        ([0.2, 0.1], {"step": 0.05}, [0.15, 0.15]),  # pooled
        ([0.2, 0.1], {"step": 0.2, "cap": 0.2}, [0.0, 0.0]),
    ],
)
def test_steps_are_not_lost_to_floating_point(fair, options, expected):
    assert discounts(fair, **options) == pytest.approx(expected, abs=1e-12)


def test_pooling_is_weighted_by_standard_premium():
    monotone = schedule_of([0.2, 0.1], weights=[1.0, 300.0, 100.0]).table["monotone"].to_list()
    assert monotone == pytest.approx([0.0, 0.175, 0.175])


def test_supported_means_below_the_whole_interval():
    schedule = schedule_of([0.12, 0.18], reach=[0.01, 0.1])
    assert "lower claims pay in full for 1 of its 2 discounts" in schedule.finding("en")
    assert "其 2 档折扣中有 1 档可由赔付的减少全额覆盖" in schedule.finding("zh")
    table = schedule.table
    assert table["discount"].to_list() == [0.0, 0.10, 0.15]
    assert table["prudent_discount"].to_list() == [0.0, 0.10, 0.10]
    assert table["rests_on_order"].to_list() == [False, False, True]  # its own lower end is 0.08
    assert table["supported"].to_list() == [True, True, False]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"cap": 0.04, "step": 0.05}, "step must be"),
        ({"cap": 0.0}, "cap must lie"),
        ({"cap": 1.0}, "cap must lie"),
        ({"cap": float("nan")}, "cap must lie"),
        ({"step": 0.0}, "step must be"),
        ({"step": -0.05}, "step must be"),
        ({"rounding": "up"}, "rounding is"),
        ({"evidence": "upper"}, "evidence is"),
        ({"present": {"G0": 0.0}}, "present schedule names"),
    ],
)
def test_what_is_no_schedule_is_refused(options, said):
    with pytest.raises(InputError, match=said):
        schedule_of([0.1], **options)


def test_every_fault_of_the_options_is_said_at_once():
    with pytest.raises(InputError) as caught:
        schedule_of([0.1], cap=2.0, step=-1.0, rounding="up")
    assert len(caught.value.faults) == 3


def test_a_book_without_money_or_of_other_groups_is_refused():
    bare = Experience.collect(
        pl.DataFrame({"health_group": ["G0", "G1"], "exposure": [1.0, 1.0], "claims": [1, 1]}),
        ["health_group"],
    )
    with pytest.raises(InputError, match=r"sums \['standard_premium', 'amount'\]"):
        design_schedule(effect_of([0.1]), bare)
    with pytest.raises(InputError, match=r"no standard premium above zero in \['G2'\]"):
        design_schedule(effect_of([0.1, 0.2]), book_of([1.0, 1.0]))
    with pytest.raises(InputError, match="no standard premium above zero"):
        design_schedule(effect_of([0.1]), book_of([1.0, 0.0]))


def test_the_present_schedule_stands_beside():
    schedule = schedule_of([0.1], present={"G1": 0.2, "G0": 0.0})
    assert schedule.table["present_discount"].to_list() == [0.0, 0.2]
    names = [trace.name for trace in schedule.figure("en").data]
    assert "Present schedule" in names


def test_the_figure_draws_exactly_the_table():
    schedule = schedule_of([0.1, 0.3], reach=0.05)
    drawn = {trace.name: list(trace.y) for trace in schedule.figure("en").data}
    t = schedule.table
    assert drawn["Best-estimate schedule"] == t["discount"].to_list()
    assert drawn["Fair discount (credible)"] == t["fair_discount"].to_list()
    assert drawn["Prudent schedule"] == t["prudent_discount"].to_list()
    assert drawn["Adjusted discount"] == t["adjusted_discount"].to_list()
    assert drawn["Standard premium, earned"] == t["standard_premium"].to_list()


# The budget line, re-added from the rows


def budget_from_rows(rows, premium, amount, schedule):
    """Add the budget up row by row: nothing but the rows and the discount of each group."""
    granted = rows["health_group"].cast(pl.String).replace_strict(schedule.discounts)
    given = premium * granted.cast(pl.Float64)
    frame = pl.DataFrame(
        {"group": rows["health_group"].cast(pl.String), "p": premium, "d": given, "a": amount}
    )
    return frame, frame.select(pl.col("p", "d", "a").sum()).row(0)


def assert_budget_is_that_of_the_rows(rows, premium, amount, schedule):
    frame, (standard, given, cost) = budget_from_rows(rows, premium, amount, schedule)
    b = schedule.budget.row(0, named=True)
    expected = {
        "standard_premium": standard,
        "discount_given": given,
        "mean_discount": given / standard,
        "base_premium_factor": 1 / (1 - given / standard),
        "claims_cost": cost,
        "loss_ratio_before": cost / standard,
        "loss_ratio_after": cost / (standard - given),
    }
    assert b == pytest.approx(expected, rel=1e-9)
    for name, value in expected.items():
        assert schedule.facts[name] == pytest.approx(value, rel=1e-9)
    for group, p, d, a in frame.group_by("group").sum().iter_rows():
        row = schedule.table.row(by_predicate=pl.col("health_group") == group, named=True)
        assert row["standard_premium"] == pytest.approx(p, rel=1e-9)
        assert row["amount"] == pytest.approx(a, rel=1e-9)
        assert row["discounted_premium"] == pytest.approx(p - d, rel=1e-9)
        assert row["loss_ratio_before"] == pytest.approx(a / p, rel=1e-9)
        assert row["loss_ratio_after"] == pytest.approx(a / (p - d), rel=1e-9)
    # raising the base by the factor brings the loss ratio back to where it was
    raised = cost / (b["base_premium_factor"] * (standard - given))
    assert raised == pytest.approx(b["loss_ratio_before"], rel=1e-9)


def test_the_budget_re_adds_from_the_simulated_policies(huoli):
    # from the insurer's own files: not through the study
    book = huoli.study.book
    policies = pl.read_parquet(book / "policies").select("policy_id", issue="start")
    renewals = pl.read_parquet(book / "renewals").join(policies, on="policy_id")
    claims = pl.read_parquet(book / "claims").select("policy_id", "incurred", "amount")
    year = pl.col("policy_year")
    first, following = (
        pl.col("issue").dt.offset_by((year + k).cast(pl.String) + "y") for k in (0, 1)
    )
    covered = (pl.col("end") - pl.col("start")).dt.total_days()
    earned = pl.col("standard_premium") * covered / (following - first).dt.total_days()
    placed = renewals.join(claims, on="policy_id").filter(
        pl.col("incurred") >= pl.col("start"), pl.col("incurred") < pl.col("end")
    )
    keys = ["policy_id", "policy_year"]
    cost = placed.group_by(keys).agg(amount=pl.col("amount").sum())
    rows = renewals.with_columns(earned=earned).join(cost, on=keys, how="left")
    assert placed.height == claims.height
    assert_budget_is_that_of_the_rows(
        rows, rows["earned"], rows["amount"].fill_null(0.0), huoli.results["schedule"]
    )


def test_the_budget_re_adds_from_the_person_years(randhie):
    # expected cost in the standard group from the printed relativities, row by row
    rows = randhie.study.person_years.rows
    table = randhie.results["frequency"].table
    rate = pl.Series([table.filter(term="(intercept)")["relativity"].item()] * rows.height)
    for factor in ("coinsurance", "deductible", "limitation", "chronic_band"):
        levels = table.filter(term=factor).select("level", "relativity").iter_rows()
        rate = rate * rows[factor].cast(pl.String).replace_strict(dict(levels)).cast(pl.Float64)
    # the base is the credible level of the standard group, as its discounts are
    premium = (
        rate * rows["exposure"] / 0.70 * randhie.results["group_effect"].facts["standard_level"]
    )
    assert_budget_is_that_of_the_rows(
        rows, premium, rows["claims"].cast(pl.Float64), randhie.results["schedule"]
    )


def test_the_schedule_of_an_estimated_effect_keeps_the_standard_group_at_zero():
    rng = np.random.default_rng(4)
    group = rng.integers(0, 4, 8_000)
    rows = pl.DataFrame(
        {
            "health_group": [f"G{g}" for g in group],
            "exposure": np.full(8_000, 1.0),
            "claims": rng.poisson(0.5 * np.array([1.0, 0.9, 0.8, 0.6])[group]),
            "amount": np.full(8_000, 1.0),
            "standard_premium": np.full(8_000, 2.0),
        }
    )
    seen = Experience.collect(rows, ["health_group"], amount="amount", sums=["standard_premium"])
    for order in (["G0", "G1", "G2", "G3"], ["G3", "G2", "G1", "G0"]):
        effect, _ = group_effect(seen, "1", order=order)
        schedule = design_schedule(effect, seen)
        assert list(schedule.discounts) == order
        assert schedule.discounts[order[0]] == 0
        assert max(schedule.discounts.values()) == (0.2 if order[0] == "G0" else 0.0)
