"""Caps, settlement to the last coin, and the number of claims of small pools."""

from decimal import Decimal
from itertools import product

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pricing.errors import InputError
from pricing.losses.aggregate import aggregate_loss
from pricing.losses.count_law import binomial_count, poisson
from pricing.losses.severity_law import sample_severity
from pricing.result.shape import Result
from pricing.result.words import catalogue
from pricing.sharing.cap import cap_shares
from pricing.sharing.fairness import compare_rules
from pricing.sharing.few_claims import few_claims, members_for
from pricing.sharing.pool import member_class, pool_of
from pricing.sharing.rule import RULES, share_rule, shares_of
from pricing.sharing.settlement import settle_shares

ROUNDINGS = ("largest_remainder", "round_up", "round_nearest", "round_down")


def bands(members=(300, 200, 100)):
    """Three age bands with benefits of 300,000 and 100,000."""
    rates, amounts = (0.002, 0.004, 0.012), (300_000.0, 300_000.0, 100_000.0)
    return pool_of(
        [
            member_class(name, n, binomial_count(1, q), sample_severity([b]))
            for name, n, q, b in zip(
                ("20-29", "30-39", "40-59"), members, rates, amounts, strict=True
            )
        ]
    )


# -- the cap ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("fee", [0.0, 0.08])
def test_shortfall_of_the_uniform_rule_is_a_stop_loss_premium(fee):
    """Σ(S(1 + f)/n − cap)₊ = (1 + f)·E[(S − cap·n/(1 + f))₊]."""
    year = aggregate_loss(poisson(2.0), sample_severity([1.0, 3.0]))
    pool = pool_of([member_class("all", 20, poisson(0.1), sample_severity([1.0, 3.0]))])
    found = cap_shares(pool, "uniform", cap=0.3, fee=fee)
    wanted = (1 + fee) * year.stop_loss(0.3 * 20 / (1 + fee))
    assert found.facts["shortfall"] == pytest.approx(wanted, rel=1e-9)
    assert found.facts["cap_reached"] == pytest.approx(year.exceeds(6 / (1 + fee)), rel=1e-9)


def test_quantiles_and_worst_years_of_the_shortfall():
    """Where the cap always binds the shortfall is the loss less a constant."""
    year = aggregate_loss(poisson(40.0), sample_severity([1.0, 3.0]))
    pool = pool_of([member_class("all", 20, poisson(2.0), sample_severity([1.0, 3.0]))])
    found = cap_shares(pool, "uniform", cap=0.01).frames["shortfall"]
    for p, risk, tail, _ in found.iter_rows():
        assert risk == pytest.approx(year.value_at_risk(p) - 0.2)
        assert tail == pytest.approx(year.tail_value_at_risk(p) - 0.2)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("bearer", ["platform", "payout"])
def test_charges_collected_and_shortfall_balance(rule, bearer):
    found = cap_shares(bands(), rule, cap=4000.0, fee=0.08, bearer=bearer)
    facts, table = found.facts, found.table
    assert facts["collected"] + facts["shortfall"] == pytest.approx(facts["charged"])
    assert table["shortfall_mean"].sum() == pytest.approx(facts["shortfall"])
    assert facts["charged"] == pytest.approx(1.08 * bands().expected)
    assert table["capped_p99"].max() <= 4000.0 * (1 + 1e-12)
    paid = facts["payout_ratio"]
    wanted = 1 - facts["shortfall"] / facts["charged"] if bearer == "payout" else 1.0
    assert paid == pytest.approx(wanted)
    assert found.frames["shortfall"]["shortfall"].is_sorted()
    worst = found.frames["shortfall"]["payout_ratio"].to_list()
    assert worst == sorted(worst, reverse=True)


def test_a_cap_by_simulation():
    rng = np.random.default_rng(3)
    claims = rng.binomial([300, 200, 100], [0.002, 0.004, 0.012], size=(200_000, 3))
    s = claims @ np.array([300_000.0, 300_000.0, 100_000.0])
    short = (s * 1.08 - 600 * 3000.0).clip(0)
    found = cap_shares(bands(), "uniform", cap=3000.0, fee=0.08)
    assert found.facts["shortfall"] == pytest.approx(
        short.mean(), abs=4 * short.std() / 200_000**0.5
    )
    assert found.facts["cap_reached"] == pytest.approx((short > 0).mean(), abs=0.005)


def test_a_cap_out_of_reach_binds_never_and_a_share_at_the_cap_is_no_shortfall():
    pool = bands()
    assert cap_shares(pool, "uniform", cap=1e9).facts["shortfall"] == 0
    exact = pool.loss[3] / 600
    found = cap_shares(pool, "uniform", cap=exact)
    assert found.facts["cap_reached"] == pytest.approx(pool.probability[4:].sum())


def test_caps_outside_their_domain():
    with pytest.raises(InputError) as refused:
        cap_shares(bands(), "uniform", cap=0.0, fee=1.0, bearer="nobody")
    assert len(refused.value.faults) == 3
    for cap in (-1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="cap on a share"):
            cap_shares(bands(), "uniform", cap=cap)
    with pytest.raises(InputError, match="no rule"):
        cap_shares(bands(), "fairly", cap=1.0)


# -- a period settled -------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 30), st.integers(0, 99), st.sampled_from(["0", "0.08", "0.1", "0.0333"]),
    st.sampled_from(RULES), st.tuples(*[st.integers(1, 5000)] * 3),
)  # fmt: skip
def test_charges_add_up_to_aid_and_fee_to_the_fen(cases, fen, fee, rule, members):
    pool = bands(members)
    aid = Decimal(cases) * 100_000 + Decimal(fen) / 100
    if rule == "conditional_mean":
        aid = min(max(aid, Decimal(str(pool.loss[0]))), Decimal(str(pool.loss[-1])))
    try:
        found = settle_shares(pool, rule, aid, fee=fee)
    except InputError as error:
        assert rule == "covariance"
        assert "paid instead of charged" in str(error)  # noqa: PT017
        return
    fen_total = int((aid * (1 + Decimal(fee)) * 100).to_integral_value("ROUND_HALF_UP"))
    table = found.table
    low = [round(100 * v) for v in table["charge_low"]]
    high = [round(100 * v) for v in table["charge_high"]]
    counts = list(zip(table["members_low"], table["members_high"], strict=True))
    assert sum(a * m + b * k for a, b, (m, k) in zip(low, high, counts, strict=True)) == fen_total
    assert found.facts["remainder"] == 0
    assert [a + b for a, b in counts] == list(members)
    for exact, a, b in zip(table["charge_exact"], low, high, strict=True):
        assert a - 1e-6 <= 100 * exact <= a + 1 + 1e-6
        assert b - a in (0, 1)
    assert found.frames["ledger"]["amount_of_money"].sum() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_every_rounding_leaves_a_ledger_that_balances(rounding):
    found = settle_shares(bands(), "conditional_mean", "700000", fee="0.08", rounding=rounding)
    coins = [round(100 * v) for v in found.frames["ledger"]["amount_of_money"]]
    assert sum(coins) == 0
    remainder = found.facts["remainder"]
    assert {"largest_remainder": remainder == 0, "round_up": 0 < remainder < 6,
            "round_nearest": abs(remainder) < 3, "round_down": -6 < remainder < 0}[rounding]  # fmt: skip
    if rounding != "largest_remainder":
        assert found.table["members_high"].sum() == 0


@pytest.mark.parametrize(
    ("aid", "low"), [("0.09", 0.0), ("0.10", 0.01), ("0.11", 0.01), ("0.31", 0.02)]
)
def test_rounding_to_the_nearest_is_half_up(aid, low):
    pool = pool_of([member_class("all", 20, binomial_count(1, 0.1), sample_severity([1.0]))])
    found = settle_shares(pool, "uniform", aid, rounding="round_nearest")
    assert found.table["charge_low"][0] == low
    assert found.facts["remainder"] == pytest.approx(20 * low - float(aid))


def test_largest_remainders_take_the_missing_coins():
    """Hamilton by hand: 10 coins on weights 1:2:4 of 1, 1 and 1 member."""
    pool = pool_of(
        [
            member_class(name, 1, binomial_count(1, q), sample_severity([1.0]))
            for name, q in (("a", 0.1), ("b", 0.2), ("c", 0.4))
        ]
    )
    found = settle_shares(pool, "mean_proportional", 10, coin=1)
    total = found.table["charge_total"].to_list()
    assert total == [1.0, 3.0, 6.0]  # 1.43, 2.86, 5.71: one coin each to b and c


def test_a_settled_share_is_the_share_at_that_loss():
    pool = bands()
    shares = shares_of(pool, "conditional_mean")
    at = int(np.searchsorted(pool.loss, 600_000.0))
    found = settle_shares(pool, "conditional_mean", 600_000)
    assert found.table["charge_exact"].to_list() == pytest.approx(shares[:, at].tolist())
    between = settle_shares(pool, "conditional_mean", 650_000)
    middle = (shares[:, at] + shares[:, at + 1]) / 2
    assert between.table["charge_exact"].to_list() == pytest.approx(middle.tolist())


def test_nothing_to_settle_and_members_who_do_not_pay():
    assert settle_shares(bands(), "conditional_mean", 0).table["charge_total"].sum() == 0
    one = sample_severity([100.0])
    pool = pool_of(
        [
            member_class("member", 80, binomial_count(1, 0.01), one),
            member_class("honorary", 10, None),
            member_class("assisted", 20, binomial_count(1, 0.05), one, pays=False),
        ]
    )
    found = settle_shares(pool, "uniform", 300, fee="0.08")
    assert found.table["charge_total"].to_list() == [288.0, 36.0, 0.0]
    assert found.facts["payers"] == 90


def test_a_hundred_million_members_to_the_fen():
    pool = pool_of(
        [
            member_class(
                "young", 60_000_000, binomial_count(1, 2e-5), sample_severity([300_000.0])
            ),
            member_class("old", 40_000_000, binomial_count(1, 6e-5), sample_severity([100_000.0])),
        ]
    )
    found = settle_shares(pool, "conditional_mean", "600000000", fee="0.08")
    table = found.table
    fen = [
        round(100 * low) * m + round(100 * high) * k
        for low, m, high, k in table.select(
            "charge_low", "members_low", "charge_high", "members_high"
        ).iter_rows()
    ]
    assert sum(fen) == 64_800_000_000
    assert found.facts["charged"] == 648_000_000.0


def test_settlements_outside_their_domain():
    pool = bands()
    with pytest.raises(InputError) as refused:
        settle_shares(pool, "uniform", -1, fee=2, rounding="bankers")
    assert len(refused.value.faults) == 3
    with pytest.raises(InputError, match="not in whole coins"):
        settle_shares(pool, "uniform", "100.005")
    with pytest.raises(InputError, match="a coin is above zero"):
        settle_shares(pool, "uniform", 100, coin=0)
    for aid in ("much", float("nan"), float("inf")):
        with pytest.raises(InputError, match="aid is a finite number"):
            settle_shares(pool, "uniform", aid)
    with pytest.raises(InputError, match="outside what the pool's law holds possible"):
        settle_shares(pool, "conditional_mean", 10**9)
    with pytest.raises(InputError, match="more than can be divided exactly"):
        settle_shares(pool, "uniform", 10**15)
    with pytest.raises(InputError, match="would be paid instead of charged by covariance"):
        settle_shares(pool, "covariance", 0.01)


# -- small pools ------------------------------------------------------------------------------------


def test_claims_of_a_small_pool_by_every_outcome():
    q = (0.1, 0.35, 0.6, 0.9)
    wanted = np.zeros(5)
    for outcome in product((0, 1), repeat=4):
        wanted[sum(outcome)] += np.prod(
            [p if x else 1 - p for p, x in zip(q, outcome, strict=True)]
        )
    found = few_claims(q).table.filter(pl.col("claim_number") <= 4)
    assert found["probability_exact"].to_list() == pytest.approx(wanted.tolist(), abs=1e-15)


def test_claims_of_members_alike_are_binomial_and_the_bound_holds():
    found = few_claims([0.03], [400], level=0.99)
    k = found.table["claim_number"].to_numpy()
    law = stats.binom(400, 0.03)
    assert found.table["probability_exact"].to_list() == pytest.approx(law.pmf(k), abs=1e-14)
    assert found.table["passed_exact"].to_list() == pytest.approx(law.sf(k), abs=1e-13)
    assert found.table["probability_poisson"].to_list() == pytest.approx(stats.poisson(12).pmf(k))
    assert found.facts["quantile_exact"] == law.ppf(0.99)
    assert found.facts["quantile_poisson"] == stats.poisson(12).ppf(0.99)
    distance = 0.5 * np.abs(law.pmf(np.arange(401)) - stats.poisson(12).pmf(np.arange(401))).sum()
    assert found.facts["distance"] == pytest.approx(distance, rel=1e-6)
    assert found.facts["distance"] <= found.facts["bound"] == pytest.approx(0.03)


def test_certain_and_impossible_claims():
    found = few_claims([0.0, 1.0, 0.5])
    assert found.table["probability_exact"].to_list()[:3] == pytest.approx([0, 0.5, 0.5])
    assert few_claims([0.0]).facts["mean"] == 0


def test_members_for_a_variation():
    n = members_for(0.01, variation=0.2)
    assert stats.binom(n, 0.01).std() / (n * 0.01) <= 0.2
    assert stats.binom(n - 1, 0.01).std() / ((n - 1) * 0.01) > 0.2
    assert members_for(1.0, variation=0.1) == 1
    for q, cv in ((0.0, 0.1), (1.5, 0.1), (0.1, 0.0), (float("nan"), 0.1)):
        with pytest.raises(InputError, match="variation above zero"):
            members_for(q, variation=cv)


def test_small_pools_that_cannot_be():
    with pytest.raises(InputError, match="outside 0 to 1: 2 of 3"):
        few_claims([1.5, float("nan"), 0.1])
    with pytest.raises(InputError, match="do not match"):
        few_claims([0.1], [1, 2])
    with pytest.raises(InputError, match="do not match"):
        few_claims([])
    with pytest.raises(InputError, match="not a whole number"):
        few_claims([0.1], [1.5])
    with pytest.raises(InputError, match="no small pool"):
        few_claims([0.1], [10**7])
    with pytest.raises(InputError, match="level lies between"):
        few_claims([0.1], level=1.0)


def test_every_column_and_frame_has_its_label():
    pool = bands()
    for found in (
        share_rule(pool, "uniform", line=1.0), compare_rules(pool), few_claims([0.1]),
        cap_shares(pool, "uniform", cap=1.0), settle_shares(pool, "uniform", 100),
    ):  # fmt: skip
        assert f"section.{found.kind}" in catalogue()
        for name, frame in (("table", found.table), *found.frames.items()):
            assert f"frame.{name}" in catalogue()
            for column in frame.columns:
                assert f"term.{column}" in catalogue(), (found.kind, column)


@pytest.mark.parametrize("value", ["3", None, True, [1.0]])
def test_text_where_a_number_is_wanted(value):
    pool = bands()
    for call in (
        lambda: cap_shares(pool, "uniform", cap=value),
        lambda: cap_shares(pool, "uniform", cap=1.0, fee=value),
        lambda: few_claims([0.1], level=value),
        lambda: members_for(value, variation=0.1),
        lambda: members_for(0.1, variation=value),
        lambda: share_rule(pool, "uniform", line=[value]),
    ):
        with pytest.raises(InputError, match="is a number, got"):
            call()
    with pytest.raises(InputError, match="lists of numbers"):
        few_claims(["often", 0.1])
    for classes in (pool.classes[0], ["20-29"], [pool.classes[0], value]):
        with pytest.raises(InputError, match="takes a list of classes"):
            pool_of(classes)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_results_speak_draw_and_are_kept(lang, tmp_path):
    for name, found in (
        ("cap", cap_shares(bands(), "conditional_mean", cap=2000.0, fee=0.08, bearer="payout")),
        ("settled", settle_shares(bands(), "uniform", 300_000, fee="0.08")),
        ("few", few_claims([0.1, 0.2])),
    ):
        assert found.finding(lang)
        assert found.figure(lang).data
        found.save(tmp_path / name)
        assert Result.load(tmp_path / name).finding(lang) == found.finding(lang)


def test_a_cap_that_binds_all_payers_alike_names_no_class():
    one = sample_severity([100.0])
    pool = pool_of([
        member_class("young", 30, binomial_count(1, 0.01), one),
        member_class("old", 10, binomial_count(1, 0.05), one),
        member_class("assisted", 5, binomial_count(1, 0.05), one, pays=False),
    ])  # fmt: skip
    assert cap_shares(pool, "uniform", cap=3.0).facts["hit"] == "every_payer"
    assert cap_shares(pool, "mean_proportional", cap=3.0).facts["hit"] == "old"
    assert "全体付费成员" in cap_shares(pool, "uniform", cap=3.0).finding("zh")
