"""Own cost, cross-subsidy, caps and the spread of a share, against closed forms and simulation."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest
from scipy import stats

from pricing.data.rates import rate_table
from pricing.errors import InputError
from pricing.mutual_aid.against_insurance import against_insurance
from pricing.mutual_aid.case_cap import break_even_members, capped_share
from pricing.mutual_aid.cells import MemberCells
from pricing.mutual_aid.cross_subsidy import cross_subsidy, fair_cost, unisex
from pricing.mutual_aid.rules import AidBenefit, aid_rules
from pricing.mutual_aid.settlement import settle_cells
from pricing.mutual_aid.share_risk import share_risk
from pricing.result.shape import Result
from pricing.result.words import catalogue
from pricing.sharing.few_claims import members_for, poisson_binomial

CI4 = rate_table("cn_ci_2020", "ci4")
PLAN = aid_rules("xiang_hu_bao").but(cap_per_case=None, cap_per_year=None)
DAY = date(2020, 12, 7)
NONE = pl.DataFrame(schema={"reason": pl.String, "members": pl.Int64})


def labelled(result):
    for table in (result.table, *result.frames.values()):
        for name in table.columns:
            assert f"term.{name}" in catalogue(), (result.kind, name)
    for lang in ("en", "zh"):
        assert result.finding(lang)
        assert result.figure(lang).data


def pool(classes=("member", "honorary", "assisted"), sexes=("female", "male")):
    draw = np.random.default_rng(4)
    rows = [
        (kind, sex, age, int(draw.integers(1_000, 9_000)))
        for kind in classes for sex in sexes for age in range(20, 60)
    ]  # fmt: skip
    cells = pl.DataFrame(rows, schema=["member_class", "sex", "age", "members"], orient="row")
    pays = {"member": 1, "honorary": 1, "assisted": 0}
    covered = {"member": 1, "honorary": 0, "assisted": 1}
    return cells.with_columns(
        pays=pl.col("member_class").replace_strict(pays),
        covered=pl.col("member_class").replace_strict(covered),
        earlier=pl.lit(0), aid_standing=pl.lit("in_cover"),
    )  # fmt: skip


def settled(cells, amounts=(300_000.0,) * 4 + (100_000.0,) * 9, rules=PLAN):
    bill = pl.DataFrame({
        "case_id": [str(i) for i in range(len(amounts))], "published": [DAY] * len(amounts),
        "amount": list(amounts),
    })  # fmt: skip
    return settle_cells(rules, MemberCells(cells, NONE), bill, published=DAY)


def test_own_cost_is_the_table_of_the_reference():
    printed = {20: (123, 106), 30: (263, 286), 35: (442, 512), 39: (674, 798), 40: (248, 298),
               45: (408, 474), 50: (659, 603), 55: (1047, 778), 59: (1481, 1018)}  # fmt: skip
    found = fair_cost(PLAN, CI4)
    for age, costs in printed.items():
        got = found.filter(pl.col("age") == age).sort("sex", descending=True)["fair_cost"]
        assert got.round().to_list() == list(costs), age
    assert found["age"].max() == 59
    assert fair_cost(PLAN, CI4.only("male")).columns == [
        "age",
        "benefit_amount",
        "incidence_rate",
        "fair_cost",
    ]


def test_what_some_pay_too_much_others_get():
    bill = settled(pool())
    found = cross_subsidy(bill, PLAN, CI4)
    classes = found.frames["classes"]
    paid = classes["shares_paid"].sum()
    assert abs(classes["subsidy_total"].sum()) < 1e-9 * paid
    assert abs(found.table["subsidy_total"].sum()) < 1e-9 * paid
    assert paid == pytest.approx(24 * bill.facts["contributed"])
    facts = found.facts
    assert facts["honorary_donation"] > 0
    assert facts["assisted_subsidy"] > 0
    assert facts["honorary_donation"] + facts["members_subsidy"] == pytest.approx(
        facts["assisted_subsidy"]
    )
    given = classes.filter(pl.col("member_class") == "honorary")["shares_paid"].item()
    assert facts["honorary_donation"] == pytest.approx(given)
    got = classes.filter(pl.col("member_class") == "assisted")["pool_cost"].item()
    assert facts["assisted_subsidy"] == pytest.approx(got)
    one = found.table.filter(member_class="member", sex="male", age=50).row(0, named=True)
    assert one["fair_cost"] == pytest.approx(1.08 * 100_000 * 0.006101)
    assert one["subsidy"] == pytest.approx(
        one["aid_share"] - one["fair_cost"] * facts["pool_to_table"]
    )
    labelled(found)


def test_members_who_all_cost_the_same_subsidise_nobody():
    cells = pool(classes=("member",), sexes=("male",)).filter(pl.col("age") == 33)
    found = cross_subsidy(settled(cells), PLAN, CI4)
    assert found.facts["moved"] == pytest.approx(0, abs=1e-6)


def test_scaling_the_pool_scales_the_money_and_no_share_of_it():
    cells = pool()
    one = cross_subsidy(settled(cells), PLAN, CI4)
    bill = settled(
        cells.with_columns(pl.col("members") * 3), amounts=(300_000.0,) * 12 + (100_000.0,) * 27
    )
    other = cross_subsidy(bill, PLAN, CI4)
    assert other.facts["moved"] == pytest.approx(3 * one.facts["moved"], rel=1e-6)
    assert other.facts["moved_share"] == pytest.approx(one.facts["moved_share"], rel=1e-9)


def test_cross_subsidy_refuses_what_it_cannot_set_against():
    bill = settled(pool())
    with pytest.raises(InputError, match="nothing was paid"):
        cross_subsidy(settled(pool(), amounts=()), PLAN, CI4)
    with pytest.raises(InputError, match="without a sex"):
        cross_subsidy(settled(pool().with_columns(sex=pl.lit(None, dtype=pl.String))), PLAN, CI4)
    with pytest.raises(InputError, match="at ages without incidence or benefit"):
        cross_subsidy(settled(pool().with_columns(pl.col("age") + 20)), PLAN, CI4)
    with pytest.raises(InputError, match="periods a year"):
        cross_subsidy(bill, PLAN, CI4, periods=0)


def test_break_even_and_the_cap():
    assert break_even_members(300_000, fee=0.08, cap=0.1) == pytest.approx(3_240_000)
    assert break_even_members(100_000, fee=0.08, cap=0.1) == pytest.approx(1_080_000)
    plan = PLAN.but(cap_per_case=0.1)
    found = capped_share(plan, [1_079_999, 1_080_000, 3_239_999, 3_240_000], cases=10)
    rows = found.table.select("benefit_amount", "payers", "binds").rows()
    assert {(int(amount), n): binds for amount, n, binds in rows} == {
        (100_000, 1_079_999): True, (100_000, 1_080_000): False,
        (100_000, 3_239_999): False, (100_000, 3_240_000): False,
        (300_000, 1_079_999): True, (300_000, 1_080_000): True,
        (300_000, 3_239_999): True, (300_000, 3_240_000): False,
    }  # fmt: skip
    whole = found.table.with_columns(
        due=1.08 * pl.col("benefit_amount") * 10,
        met=pl.col("aid_share") * pl.col("payers") + pl.col("shortfall"),
    )
    np.testing.assert_allclose(whole["met"], whole["due"])
    labelled(found)
    free = capped_share(PLAN, [1])
    assert not free.table["binds"].any()
    for bad in ([], [0], [1.5]):
        with pytest.raises(InputError, match="payers"):
            capped_share(PLAN, bad)
    with pytest.raises(InputError, match="amounts above zero"):
        break_even_members(0, fee=0.08, cap=0.1)


def test_the_number_of_cases_is_the_sum_of_binomials():
    law = poisson_binomial([3, 2], [0.1, 0.4])
    size = 64
    z = np.exp(-2j * np.pi * np.arange(size) / size)
    got = np.fft.ifft(law.pgf(z)).real[:6]
    want = np.convolve(stats.binom.pmf(range(4), 3, 0.1), stats.binom.pmf(range(3), 2, 0.4))
    np.testing.assert_allclose(got, want, atol=1e-12)
    k = np.arange(6)
    assert law.mean == pytest.approx(want @ k)
    assert law.variance == pytest.approx(want @ (k - law.mean) ** 2)
    assert law.third == pytest.approx(want @ (k - law.mean) ** 3)
    for n, q in (([1.5], [0.1]), ([1], [1.1]), ([0], [0.1]), ([1, 2], [0.1])):
        with pytest.raises(InputError):
            poisson_binomial(n, q)


def test_a_small_pool_is_exact():
    cells = pl.DataFrame({"age": [30, 50], "members": [40, 30], "incidence": [0.02, 0.05]})
    found = share_risk(PLAN, cells, lines=[10_000.0, 0.0])
    young, old = stats.binom.pmf(range(41), 40, 0.02), stats.binom.pmf(range(31), 30, 0.05)
    chance = np.outer(young, old)
    share = 1.08 / 70 * (300_000 * np.arange(41)[:, None] + 100_000 * np.arange(31))
    assert found.facts["mean"] == pytest.approx(float((chance * share).sum()))
    assert found.facts["no_case"] == pytest.approx(chance[0, 0])
    told = dict(found.frames["share_lines"].rows())
    assert told[10_000.0] == pytest.approx(float(chance[share > 10_000].sum()))
    assert told[0.0] == pytest.approx(1 - chance[0, 0])
    flat, order = share.ravel(), np.argsort(share.ravel())
    want = flat[order][np.searchsorted(chance.ravel()[order].cumsum(), 0.95)]
    assert found.facts["share_95"] == pytest.approx(want)
    labelled(found)


def test_splitting_a_cell_changes_nothing_and_the_cap_cuts():
    one = pl.DataFrame({"age": [30], "members": [1_000], "incidence": [0.002]})
    two = pl.DataFrame({"age": [30, 31], "members": [400, 600], "incidence": [0.002, 0.002]})
    a, b = share_risk(PLAN, one), share_risk(PLAN, two)
    assert a.facts["mean"] == pytest.approx(b.facts["mean"])
    assert a.facts["share_99"] == b.facts["share_99"]
    capped = share_risk(PLAN.but(cap_per_case=100.0), one)
    assert capped.facts["capped"]
    assert capped.facts["mean"] == pytest.approx(2 * 100.0)
    period = share_risk(PLAN, one, periods=24)
    assert period.facts["mean"] == pytest.approx(a.facts["mean"] / 24)


def test_the_pool_a_spread_takes():
    n = members_for(0.002, variation=0.1)
    cells = pl.DataFrame({"age": [30], "members": [n], "incidence": [0.002]})
    assert share_risk(PLAN, cells).facts["cv"] == pytest.approx(0.1, rel=1e-4)
    needs = share_risk(PLAN, cells).frames["pool_needs"]
    assert needs["members_for_10"].item() == n == 49_900


def test_the_pool_a_spread_takes_counts_the_mix_of_benefits():
    """Two benefits spread the share more than the number of cases: the pool named gives the 10 %."""
    mix = pl.DataFrame({"age": [30, 50], "members": [6_000, 4_000], "incidence": [0.001, 0.002]})
    needed = share_risk(PLAN, mix).facts["pool_for_10"]
    large = mix.with_columns((pl.col("members") * needed / 10_000).round().cast(pl.Int64))
    assert share_risk(PLAN, large).facts["cv"] == pytest.approx(0.1, rel=1e-4)
    n, q, b = np.array([0.6, 0.4]), np.array([0.001, 0.002]), np.array([3.0, 1.0])
    want = float((n * q * (1 - q) * b**2).sum() / (0.1 * (n * q * b).sum()) ** 2)
    assert needed == pytest.approx(want, rel=1e-6)
    assert needed > 1.2 * members_for(float(n @ q), variation=0.1)


def test_share_risk_refuses():
    cells = pl.DataFrame({"age": [30], "members": [10], "incidence": [0.1]})
    with pytest.raises(InputError, match="lack incidence"):
        share_risk(PLAN, cells.drop("incidence"))
    with pytest.raises(InputError, match="without a benefit"):
        share_risk(PLAN, cells.with_columns(age=pl.lit(61)))
    with pytest.raises(InputError, match="1 probabilities outside"):
        share_risk(PLAN, cells.with_columns(incidence=pl.lit(1.5)))
    with pytest.raises(InputError, match="lines"):
        share_risk(PLAN, cells, lines=[-1.0])
    with pytest.raises(InputError, match="payers"):
        share_risk(PLAN, cells, payers=0)


def test_beside_insurance():
    tables = (CI4, rate_table("cn_ci_2020_k", "k2"), rate_table("cn_life_2025", "cl2"))
    found = against_insurance(PLAN, 91.0, *tables, ages=[30, 40], loading=0.35)
    row = found.table.filter(sex="male", age=40).row(0, named=True)
    # level premium of 20 years per 100,000 at 2 %: 604.94 (reference C3)
    assert row["level_premium"] * 0.65 == pytest.approx(604.94, abs=0.005)
    assert row["one_year_cost"] == pytest.approx(100_000 * 0.002299 / 1.02**0.5)
    assert row["aid_per_yuan"] == pytest.approx(100_000 * 0.002299 / 91)
    assert row["insurance_per_yuan"] == pytest.approx(0.65)
    half = against_insurance(PLAN, 91.0, *tables, ages=[30, 40], incidence_factor=0.5)
    assert half.table["aid_per_yuan"].to_list() == pytest.approx(
        (found.table["aid_per_yuan"] / 2).to_list()
    )
    labelled(found)
    for change in ({"share": 0.0}, {"loading": 1.0}, {"ages": [60]}, {"ages": []}):
        share = change.pop("share", 91.0)
        with pytest.raises(InputError):
            against_insurance(PLAN, share, *tables, **({"ages": [30]} | change))


def test_results_are_kept(tmp_path):
    found = share_risk(PLAN, pl.DataFrame({"age": [30], "members": [100], "incidence": [0.01]}))
    found.save(tmp_path / "r")
    back = Result.load(tmp_path / "r")
    assert back.facts == found.facts
    assert back.quantile(0.99) == found.quantile(0.99)


def test_unisex_is_the_plain_mean():
    got = unisex(CI4).filter(pl.col("age") == 60)["rate"].item()
    assert got == pytest.approx((0.014865 + 0.010086) / 2)
    assert AidBenefit(0, 59, 1.0).amount == 1.0
