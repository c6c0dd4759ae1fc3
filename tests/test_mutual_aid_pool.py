"""The plan's members as a pool of risk sharing: classes, own risk, the rules against simulation."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest

from pricing.data.rates import rate_table
from pricing.errors import InputError
from pricing.mutual_aid.age_pool import aid_pool
from pricing.mutual_aid.cells import member_cells
from pricing.mutual_aid.rules import AidClass, aid_rules
from pricing.sharing.cap import cap_shares
from pricing.sharing.fairness import compare_rules
from pricing.sharing.rule import RULES, shares_of

RULES_OF = aid_rules("xiang_hu_bao")
CELLS = pl.DataFrame(
    {
        "member_class": ["member"] * 4 + ["honorary", "assisted", "assisted", "member"],
        "age": [31, 34, 39, 40, 70, 25, 50, 45],
        "aid_standing": ["in_cover"] * 4 + ["paying_only", "in_cover", "in_cover", "waiting"],
        "members": [600, 400, 300, 500, 50, 20, 30, 999],
        "pays": [1, 1, 1, 1, 1, 0, 0, 0],
        "covered": [1, 1, 1, 1, 0, 1, 1, 0],
        "incidence": [0.001, 0.002, 0.003, 0.004, None, 0.001, 0.006, None],
    }
)


def test_classes_of_the_pool():
    pool = aid_pool(RULES_OF, CELLS)
    assert pool.names == ["30-34", "35-39", "40-44", "assisted", "honorary"]
    assert pool.members.tolist() == [1000, 300, 500, 50, 50]
    assert pool.paying.tolist() == [True, True, True, False, True]
    want = [420.0, 900.0, 400.0, (20 * 300 + 30 * 600) / 50, 0.0]
    np.testing.assert_allclose(pool.mean, want, rtol=1e-9)
    waits = CELLS.with_columns(
        pays=pl.when(pl.col("aid_standing") == "waiting").then(1).otherwise("pays")
    )
    assert aid_pool(RULES_OF, waits).names[-1] == "waiting"
    again = aid_pool(RULES_OF, CELLS.sample(fraction=1.0, shuffle=True, seed=2))
    assert again.names == pool.names
    np.testing.assert_allclose(again.mean, pool.mean)


def test_the_rules_share_the_whole_loss_and_move_what_the_ledger_says():
    pool = aid_pool(RULES_OF, CELLS)
    for rule in RULES:
        np.testing.assert_allclose(pool.members @ shares_of(pool, rule), pool.loss, atol=1e-3)
    found = compare_rules(pool)
    assert found.frames["rules"]["rule"].to_list() == list(RULES)
    even = pool.expected / 1850
    table = found.table.filter(rule="uniform")
    assert table["share_mean"].to_list() == pytest.approx([even, even, even, 0.0, even])
    for rule in RULES:
        part = found.table.filter(rule=rule)
        assert part["cross_subsidy_total"].sum() == pytest.approx(0, abs=1e-4)
        gifts = found.frames["gifts"].filter(rule=rule)
        moved = part["cross_subsidy_total"].to_numpy().clip(0).sum()
        assert gifts["amount_of_money"].sum() == pytest.approx(moved)
    fair = found.table.filter(rule="conditional_mean")
    # what the assisted receive falls evenly on who pays; beyond that everybody bears own cost
    assisted = 50 * fair.filter(member_class="assisted")["own_mean"].item() / 1850
    paying = fair.filter(pl.col("member_class") != "assisted")
    assert paying["cross_subsidy"].to_list() == pytest.approx([assisted] * 4, rel=1e-6)


def test_own_shares_by_conditional_mean_are_those_of_simulated_years():
    """E[X | S] of a class: among years with as much aid, what the class brought, per member."""
    pool = aid_pool(RULES_OF, CELLS.filter(pl.col("member_class") == "member"))
    draw = np.random.default_rng(11)
    n = 1_000_000
    young = draw.binomial(600, 0.001, n) + draw.binomial(400, 0.002, n)
    middle, old = draw.binomial(300, 0.003, n), draw.binomial(500, 0.004, n)
    total = 3 * (young + middle) + old
    shares = shares_of(pool, "conditional_mean")
    for aid in (3, 5, 8, 11):
        at = total == aid
        column = int(np.argmin(np.abs(pool.loss - aid * 1e5)))
        assert pool.loss[column] == pytest.approx(aid * 1e5)
        for row, (cases, amount, members) in enumerate(
            ((young, 3e5, 1000), (middle, 3e5, 300), (old, 1e5, 500))
        ):
            seen = amount * cases[at] / members
            error = seen.std() / at.sum() ** 0.5
            assert shares[row, column] == pytest.approx(seen.mean(), abs=4.5 * error + 1e-6)


def test_the_cap_of_a_year_is_held_and_the_rest_is_the_platforms():
    pool = aid_pool(RULES_OF, CELLS)
    found = cap_shares(pool, "uniform", cap=900.0, fee=0.08)
    each = 1.08 * pool.loss / 1850
    short = 1850 * float((each - 900.0).clip(0) @ pool.probability)
    assert found.facts["shortfall"] == pytest.approx(short)
    assert found.facts["collected"] == pytest.approx(1.08 * pool.expected - short)


def test_on_real_cells_the_pool_expects_what_the_plan_expects():
    draw = np.random.default_rng(5)
    day, n = date(2021, 2, 7), 3_000
    rows = pl.DataFrame(
        {
            "birth_date": pl.Series(draw.integers(-3_500, 10_000, n)).cast(pl.Int32).cast(pl.Date),
            "joined": [date(2019, 1, 1)] * n,
            "left": [None] * n,
            "sex": draw.choice(["female", "male"], n),
            "member_class": draw.choice(["member", "honorary", "assisted"], n, p=[0.8, 0.1, 0.1]),
        },
        schema_overrides={"left": pl.Date},
    )
    seen = member_cells(RULES_OF, rows, day)
    rate = rate_table("cn_ci_2020", "ci4").rate()
    cells = seen.cells.with_columns(incidence=pl.when(pl.col("covered") == 1).then(rate))
    pool = aid_pool(RULES_OF, cells)
    inside = cells.filter(pl.col("covered") == 1)
    want = inside["members"] * inside["incidence"] * RULES_OF.benefit_at(inside["age"].to_numpy())
    assert pool.expected == pytest.approx(float(want.sum()))
    assert int(pool.members @ pool.paying) == seen.payers


@pytest.mark.parametrize(("change", "message"), [
    (lambda c: c.drop("incidence"), "lack incidence"),
    (lambda c: c.with_columns(incidence=pl.lit(None, dtype=pl.Float64)), "7 cells|6 cells"),
    (lambda c: c.with_columns(incidence=pl.lit(float("nan"))), "without an incidence"),
    (lambda c: c.with_columns(incidence=pl.lit(1.5)), "incidence of 0 to 1"),
    (lambda c: c.with_columns(age=pl.lit(None, dtype=pl.Int64)), "without a benefit"),
    (lambda c: c.with_columns(age=pl.lit(61)), "without a benefit"),
    (lambda c: c.with_columns(incidence=pl.lit(0.0)), "nobody can fall ill"),
    (lambda c: c.head(0), "nobody can fall ill"),
])  # fmt: skip
def test_cells_that_make_no_pool_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        aid_pool(RULES_OF, change(CELLS))


def test_a_plan_whose_only_payers_wait_or_honour_is_shared_too():
    rules = RULES_OF.but(classes=dict(RULES_OF.classes) | {"member": AidClass(0, 1)})
    cells = CELLS.with_columns(
        pays=pl.when(pl.col("member_class") == "honorary").then(1).otherwise(0)
    )
    pool = aid_pool(rules, cells)
    assert pool.names == ["assisted", "honorary", "member"]
    shares = shares_of(pool, "uniform")
    row = pool.names.index("honorary")
    np.testing.assert_allclose(50 * shares[row], pool.loss)
