"""Rules of sharing against enumeration, closed forms, simulation and published shares."""

from itertools import product

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pricing.errors import InputError
from pricing.losses.compound import Grid, panjer_recursion
from pricing.losses.count_law import (
    binomial_count,
    compound_count,
    count_table,
    fixed_count,
    mixed_count,
    negative_binomial,
    poisson,
    zero_modified,
)
from pricing.losses.discretise import discretise
from pricing.losses.severity_law import sample_severity
from pricing.result.shape import Result
from pricing.sharing.conditional import (
    ZERO,
    conditional_money,
    generating_slope,
    log_generating,
)
from pricing.sharing.fairness import compare_rules
from pricing.sharing.pool import member_class, pool_of
from pricing.sharing.rule import RULES, share_rule, shares_of, spread_out
from pricing.verify.figures import figures

FAIR = ("mean_proportional", "covariance", "conditional_mean")
HEAVY = sample_severity([1.0, 2.0, 3.0, 4.0], [0.1, 0.2, 0.4, 0.3])
LIGHT = sample_severity([1.0, 2.0, 3.0, 4.0], [0.15, 0.25, 0.3, 0.3])


def mixed_pool():
    """Classes of several sizes and laws, two of them without a recursion."""
    return pool_of(
        [
            member_class("a", 3, binomial_count(1, 0.5), sample_severity([1.0])),
            member_class("b", 2, poisson(0.2), HEAVY),
            member_class("c", 1, negative_binomial(mean=0.3, dispersion=1.5), LIGHT),
            member_class("d", 2, count_table([0.6, 0.3, 0.1]), sample_severity([2.0])),
        ]
    )


def enumerated(members):
    """E[X | S = s] and P(S = s) of single members given by {amount: probability}."""
    total = {}
    for outcome in product(*(law.items() for law in members)):
        s = sum(x for x, _ in outcome)
        p = float(np.prod([q for _, q in outcome]))
        mass, money = total.setdefault(s, [0.0, np.zeros(len(members))])
        total[s] = [mass + p, money + p * np.array([x for x, _ in outcome])]
    return {s: (mass, money / mass) for s, (mass, money) in total.items()}


# -- the conditional mean ---------------------------------------------------------------------------


def test_published_shares_come_out():
    assert [f.name for f in figures("sharing") if not f.ok] == []


def test_brute_force_over_every_outcome_of_a_tiny_pool():
    """Three bets: q = ½ puts a zero of 1 + q(z − 1) on the circle."""
    pool = pool_of(
        [
            member_class("half", 2, binomial_count(1, 0.5), sample_severity([1.0])),
            member_class("rare", 1, binomial_count(1, 0.1), sample_severity([3.0])),
            member_class("pair", 2, count_table([0.7, 0.3]), sample_severity([2.0, 5.0])),
        ]
    )
    half, rare, pair = {0: 0.5, 1: 0.5}, {0: 0.9, 3: 0.1}, {0: 0.7, 2: 0.15, 5: 0.15}
    wanted = enumerated([half, half, rare, pair, pair])
    assert pool.loss.tolist() == sorted(wanted)
    shares = shares_of(pool, "conditional_mean")
    for k, s in enumerate(pool.loss):
        mass, money = wanted[int(s)]
        assert pool.probability[k] == pytest.approx(mass, rel=1e-12)
        assert shares[:, k] == pytest.approx(money[[0, 2, 3]], rel=1e-11, abs=1e-13)


def test_two_members_of_one_class_whose_generating_function_vanishes():
    """P has a double zero in the product; a quotient would be 0/0."""
    for members in (1, 2, 3):
        law = discretise(sample_severity([1.0]), span=1.0, size=16)
        money = conditional_money(
            [(members, binomial_count(1, 0.5)), (1, binomial_count(1, 0.5))],
            [law, law],
            Grid(1.0, 16),
        )
        k = np.arange(16)
        f = stats.binom.pmf(k, members + 1, 0.5)
        assert money[0] == pytest.approx(f * k / (members + 1), abs=1e-15)
        assert money[1] == pytest.approx(f * k / (members + 1), abs=1e-15)


def test_size_biased_form_of_a_compound_poisson_pool():
    """E[X_i | S = s] = λ_i Σ k f_i(k) f_S(s − k) / f_S(s) (Denuit 2019), f_S by recursion."""
    rates, laws = (0.6, 1.5, 0.1), (HEAVY, LIGHT, sample_severity([7.0]))
    pool = pool_of(
        [
            member_class(str(k), 1, poisson(rate), law)
            for k, (rate, law) in enumerate(zip(rates, laws, strict=True))
        ]
    )
    f = [discretise(law, span=1.0, size=64).probabilities for law in laws]
    together = sum(rate * p for rate, p in zip(rates, f, strict=True)) / sum(rates)
    whole = panjer_recursion(poisson(sum(rates)), together, 64)
    shares = shares_of(pool, "conditional_mean")
    for k, (rate, p) in enumerate(zip(rates, f, strict=True)):
        money = rate * np.convolve(np.arange(64) * p, whole)[:64]
        assert shares[k, :25] == pytest.approx(money[:25] / whole[:25], rel=1e-9)


def test_known_truth_by_simulation():
    """Two classes with gamma amounts: the mean of X among years with S in a band."""
    rng = np.random.default_rng(7)
    years = 400_000
    n1, n2 = rng.poisson(1.0, years), rng.poisson(0.5, years)
    x1 = rng.standard_gamma(2.0 * np.maximum(n1, 1e-12)) * (n1 > 0)
    x2 = rng.standard_gamma(0.5 * np.maximum(n2, 1e-12)) * (n2 > 0) * 6
    pool = pool_of(
        [
            member_class("a", 1, poisson(1.0), stats.gamma(2.0)),
            member_class("b", 1, poisson(0.5), stats.gamma(0.5, scale=6.0)),
        ]
    )
    share = shares_of(pool, "conditional_mean")
    s = x1 + x2
    for low, high in ((1.0, 1.5), (3.0, 4.0), (8.0, 10.0)):
        seen = x1[(s > low) & (s <= high)]
        some = (pool.loss > low) & (pool.loss <= high)
        ours = share[0, some] @ pool.probability[some] / pool.probability[some].sum()
        assert ours == pytest.approx(seen.mean(), abs=4.5 * seen.std() / np.sqrt(seen.size))


@pytest.mark.parametrize(
    "law",
    [
        poisson(0.7),
        binomial_count(4, 0.3),
        binomial_count(2, 0.5),
        binomial_count(1, 0.9),
        negative_binomial(r=1.5, beta=0.4),
        zero_modified(poisson(1.2), 0.5),
        zero_modified(negative_binomial(r=2, beta=0.5), 0.0),
        compound_count(poisson(0.5), binomial_count(2, 0.4)),
        mixed_count([poisson(0.1), poisson(1.0)], [0.8, 0.2]),
        count_table([0.5, 0.2, 0.2, 0.1]),
        fixed_count(3),
    ],
    ids=lambda law: law.name,
)
def test_the_slope_of_a_generating_function_is_its_difference_quotient(law):
    z = 0.9 * np.exp(1j * np.linspace(0, 2 * np.pi, 17))
    h = 1e-6
    quotient = (law.pgf(z + h) - law.pgf(z - h)) / (2 * h)
    assert np.abs(generating_slope(law, z) - quotient).max() < 1e-8
    assert generating_slope(law, np.ones(1, complex))[0].real == pytest.approx(law.mean)
    assert np.abs(np.exp(log_generating(law, z)) - law.pgf(z)).max() < 1e-13


def test_a_zero_of_the_generating_function_is_a_number():
    z = np.array([-1 + 0j])
    for law in (binomial_count(3, 0.5), count_table([0.5, 0.5])):
        assert log_generating(law, z)[0].real <= ZERO
        assert np.exp(2 * log_generating(law, z))[0] == 0


def test_a_law_of_a_member_without_end_is_refused():
    wide = mixed_count([poisson(1.0), poisson(5000.0)], [0.5, 0.5])
    with pytest.raises(InputError, match="do not end before 4,096"):
        generating_slope(wide, np.ones(1, complex))


# -- what holds under every rule --------------------------------------------------------------------


@st.composite
def pools(draw):
    classes = []
    for k in range(draw(st.integers(1, 4))):
        amounts = draw(st.lists(st.integers(1, 6), min_size=1, max_size=3, unique=True))
        q = draw(st.floats(0.01, 0.95))
        count = draw(st.sampled_from([binomial_count(1, q), poisson(q), count_table([1 - q, q])]))
        members = draw(st.integers(1, 20))
        pays = draw(st.booleans()) or k == 0
        severity = sample_severity([float(a) for a in amounts])
        classes.append(member_class(f"c{k}", members, count, severity, pays=pays))
    if draw(st.booleans()):
        classes.append(member_class("honorary", draw(st.integers(1, 5)), None))
    return pool_of(classes)


@settings(max_examples=40, deadline=None)
@given(pools())
def test_shares_add_up_to_the_loss_and_fair_rules_are_fair(pool):
    everybody = bool(pool.paying.all())
    for rule in RULES:
        shares = shares_of(pool, rule)
        assert pool.members @ shares == pytest.approx(pool.loss, rel=1e-9, abs=1e-9)
        assert np.all(shares[~pool.paying] == 0)
        if rule in FAIR and everybody:
            assert shares @ pool.probability == pytest.approx(pool.mean, rel=1e-7, abs=1e-12)
        if rule == "conditional_mean":
            assert shares.min() >= 0
            spread = (shares - (shares @ pool.probability)[:, None]) ** 2 @ pool.probability
            if everybody:
                assert np.all(spread <= pool.variance * (1 + 1e-9) + 1e-12)


def test_the_uniform_rule_is_not_fair_and_asks_nothing():
    pool = mixed_pool()
    shares = shares_of(pool, "uniform")
    assert np.ptp(shares, axis=0).max() == 0
    assert abs(shares[0] @ pool.probability / pool.mean[0] - 1) > 0.1
    again = pool_of(list(pool.classes)[::-1])
    assert shares_of(again, "uniform")[0] == pytest.approx(shares[0])


def test_conditional_mean_is_below_own_loss_in_convex_order():
    """Equal means, and every stop-loss premium no larger (Denuit and Dhaene 2012)."""
    pool = mixed_pool()
    shares = shares_of(pool, "conditional_mean")
    for k in range(4):
        own, p = pool.own(k)
        assert own @ p == pytest.approx(pool.mean[k], rel=1e-9)
        for d in np.linspace(0, 6, 25):
            ours = (shares[k] - d).clip(0) @ pool.probability
            assert ours <= (own - d).clip(0) @ p + 1e-8


@pytest.mark.parametrize("rule", RULES)
def test_order_units_and_a_class_split_in_two_change_nothing(rule):
    pool = mixed_pool()
    base = share_rule(pool, rule).table
    turned = share_rule(pool_of(list(pool.classes)[::-1]), rule).table.reverse()
    for name in ("share_mean", "share_sd", "share_p95"):
        assert turned[name].to_list() == pytest.approx(base[name].to_list())
    split = [member_class("a2", 2, pool.classes[0].count, pool.classes[0].severity)]
    split += [member_class("a1", 1, pool.classes[0].count, pool.classes[0].severity)]
    apart = share_rule(pool_of([*split, *pool.classes[1:]]), rule).table
    assert apart["share_sd"].to_list()[1:] == pytest.approx(base["share_sd"].to_list())
    assert apart["share_sd"][0] == pytest.approx(apart["share_sd"][1])
    scaled = pool_of(
        [member_class(c.name, c.members, c.count, c.severity.scaled(100.0)) for c in pool.classes]
    )
    fen = share_rule(scaled, rule).table
    assert fen["share_sd"].to_list() == pytest.approx((100 * base["share_sd"]).to_list())
    assert fen["fairness_index"].to_list() == pytest.approx(base["fairness_index"].to_list())


def test_a_pool_of_members_alike_shares_alike():
    pool = pool_of([member_class("all", 50, poisson(0.1), HEAVY)])
    for rule in RULES:
        assert shares_of(pool, rule)[0] == pytest.approx(pool.loss / 50, rel=1e-9, abs=1e-12)


def test_a_large_pool_comes_near_the_regression_line():
    """The gap closes as 1/√n, in parts of the mean (Denuit and Robert 2021)."""
    gaps = []
    for n in (100, 10_000, 1_000_000):
        pool = pool_of(
            [
                member_class("a", n, binomial_count(1, 0.05), sample_severity([1.0])),
                member_class("b", n, binomial_count(1, 0.02), sample_severity([5.0])),
            ]
        )
        gaps.append(share_rule(pool, "conditional_mean").facts["linear_gap"])
        assert share_rule(pool, "covariance").facts["linear_gap"] == pytest.approx(0, abs=1e-12)
    assert gaps[0] > 3 * gaps[1] > 9 * gaps[2]
    assert gaps[2] < 1e-3


def test_ten_million_members_in_forty_classes():
    classes = [
        member_class(
            f"{20 + k}",
            250_000,
            binomial_count(1, 2e-5 * float(np.exp(0.08 * k))),
            sample_severity([300_000.0 if k < 20 else 100_000.0]),
        )
        for k in range(40)
    ]
    pool = pool_of(classes)
    shares = shares_of(pool, "conditional_mean")
    assert pool.members @ shares == pytest.approx(pool.loss, rel=1e-12)
    assert shares @ pool.probability == pytest.approx(pool.mean, rel=1e-9)
    exact = np.array([one.mean for one in classes])
    assert pool.mean == pytest.approx(exact, rel=1e-12)
    variance = sum(
        c.members * c.count.mean * (1 - c.count.mean) * c.severity.mean**2 for c in classes
    )
    assert pool.sd == pytest.approx(variance**0.5, rel=1e-12)


def test_where_a_larger_loss_lowers_a_share_it_is_said():
    """At a loss of 5 the member with the single large amount bears it, at 6 somebody else."""
    pool = pool_of(
        [
            member_class("five", 1, binomial_count(1, 0.1), sample_severity([5.0])),
            member_class("six", 1, binomial_count(1, 0.1), sample_severity([6.0])),
        ]
    )
    found = share_rule(pool, "conditional_mean")
    assert found.table["share_falls"].to_list() == pytest.approx([0.09, 0.0])
    assert "larger loss" in found.finding("en")
    for rule in ("uniform", "mean_proportional", "covariance"):
        assert share_rule(pool, rule).facts["falls"] == 0
    smooth = pool_of([member_class("a", 3, poisson(1.0), sample_severity([1.0])),
                      member_class("b", 3, poisson(0.2), sample_severity([1.0]))])  # fmt: skip
    assert share_rule(smooth, "conditional_mean").facts["falls"] == 0


def test_the_regression_may_ask_for_less_than_nothing():
    pool = pool_of(
        [
            member_class("steady", 10, binomial_count(1, 0.9), sample_severity([1.0])),
            member_class("wild", 1, binomial_count(1, 0.05), sample_severity([50.0])),
        ]
    )
    found = share_rule(pool, "covariance")
    assert found.facts["negative"] == pytest.approx(0.95 * stats.binom.cdf(8, 10, 0.9))
    assert "paid instead of charged" in found.finding("en")


# -- the table, fairness and the ledger -------------------------------------------------------------


def test_probability_that_a_share_passes_a_line_and_its_quantiles():
    pool = pool_of([member_class("all", 100, binomial_count(1, 0.02), sample_severity([100.0]))])
    found = share_rule(pool, "uniform", line=4.0)
    count = stats.binom(100, 0.02)
    assert found.table["share_passes"][0] == pytest.approx(count.sf(4), rel=1e-9)
    assert found.table["share_p99"][0] == count.ppf(0.99)
    assert found.table["own_p99"][0] == 100.0
    assert found.table["own_tail_p99"][0] == pytest.approx(100.0)
    k = np.arange(101)
    worst = count.ppf(0.99) + (k - count.ppf(0.99)).clip(0) @ count.pmf(k) / 0.01
    assert found.table["share_tail_p99"][0] == pytest.approx(worst)
    often = pool_of([member_class("all", 10, poisson(0.5), sample_severity([1.0]))])
    law = stats.poisson(0.5)
    tail = law.ppf(0.99) + sum((j - law.ppf(0.99)) * law.pmf(j) for j in range(4, 30)) / 0.01
    assert share_rule(often, "uniform").table["own_tail_p99"][0] == pytest.approx(tail)
    assert found.table["variance_reduction"][0] == pytest.approx(0.99)


def test_fairness_of_the_rules_and_a_ledger_that_adds_up_to_nil():
    found = compare_rules(mixed_pool())
    sums = found.table.group_by("rule").agg(pl.col("cross_subsidy_total").sum())
    assert sums["cross_subsidy_total"].abs().max() < 1e-9
    ledger = found.frames["gifts"]
    assert ledger["rule"].unique().to_list() == ["uniform"]
    net = (
        ledger.group_by(member_class="from_class").agg(out=pl.col("amount_of_money").sum())
        .join(ledger.group_by(member_class="to_class").agg(came=pl.col("amount_of_money").sum()),
              on="member_class", how="full", coalesce=True)
        .fill_null(0.0)
        .select("member_class", net=pl.col("out") - pl.col("came"))
    )  # fmt: skip
    gifts = found.table.filter(pl.col("rule") == "uniform").join(net, on="member_class")
    assert gifts["net"].to_list() == pytest.approx(gifts["cross_subsidy_total"].to_list())
    rules = found.frames["rules"]
    assert rules["fairness_gini"].to_list()[1:] == pytest.approx([0, 0, 0], abs=1e-9)
    assert rules["fairness_gini"][0] > 0.05
    assert found.facts["fairest"] == "conditional_mean"


def test_gini_index_of_two_classes_by_hand():
    """Half the members bear 0.5 of own cost, half 1.5: Gini 0.25."""
    pool = pool_of(
        [
            member_class("low", 10, binomial_count(1, 0.1), sample_severity([1.0])),
            member_class("high", 10, binomial_count(1, 0.3), sample_severity([1.0])),
        ]
    )
    index = share_rule(pool, "uniform").table["fairness_index"].to_list()
    assert index == pytest.approx([2.0, 2 / 3])
    assert share_rule(pool, "uniform").facts["gini"] == pytest.approx(
        (2 - 2 / 3) / (2 * 2 * (2 + 2 / 3) / 2)
    )


def test_honorary_and_assisted_members():
    one = sample_severity([100.0])
    pool = pool_of(
        [
            member_class("member", 80, binomial_count(1, 0.01), one),
            member_class("honorary", 10, None),
            member_class("assisted", 20, binomial_count(1, 0.05), one, pays=False),
        ]
    )
    uniform = share_rule(pool, "uniform").table
    assert uniform["share_mean"].to_list() == pytest.approx([2.0, 2.0, 0.0])
    assert uniform["fairness_index"].to_list() == [pytest.approx(2.0), None, 0.0]
    fair = share_rule(pool, "conditional_mean").table
    assert fair["share_mean"].to_list() == pytest.approx([1 + 100 / 90, 100 / 90, 0.0])
    ledger = compare_rules(pool, ["uniform"]).frames["gifts"]
    assert ledger.filter(pl.col("from_class") == "honorary")["amount_of_money"][0] == pytest.approx(
        20
    )
    assert set(ledger["to_class"]) == {"assisted"}
    assert ledger["amount_of_money"].sum() == pytest.approx(100.0)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_results_speak_draw_and_are_kept(lang, tmp_path):
    pool = mixed_pool()
    for name, found in (
        ("shared", share_rule(pool, "conditional_mean", line=2.0)),
        ("fair", compare_rules(pool)),
    ):
        assert found.finding(lang)
        assert len(found.figure(lang).data) == 4
        found.save(tmp_path / name)
        assert Result.load(tmp_path / name).finding(lang) == found.finding(lang)
    assert len(share_rule(pool, "uniform").distribution_figure(lang).data) == 4
    assert len(compare_rules(pool).class_figure("b", lang).data) == 4
    with pytest.raises(InputError, match="no class 'z'"):
        compare_rules(pool).class_figure("z")


def test_amounts_without_end_are_shared_as_fairly_as_their_grid_is_wide():
    """A tail without variance: what lies beyond the grid is one more point, at its mean."""
    pool = pool_of(
        [
            member_class("heavy", 5, poisson(0.1), stats.lomax(1.8)),
            member_class("light", 5, poisson(0.1), HEAVY),
        ]
    )
    assert 0 < pool.beyond < 1e-6
    shares = shares_of(pool, "conditional_mean")
    assert shares @ pool.probability == pytest.approx(pool.mean, rel=1e-5)
    assert np.allclose(pool.members @ shares, pool.loss, rtol=1e-12)
    assert shares[0, -1] > 1000 * shares[1, -1]


def test_rounding_errors_of_a_smooth_pool_are_no_falling_shares():
    pool = pool_of(
        [
            member_class(
                "a", 4_000_000, negative_binomial(mean=0.05, dispersion=1.3), stats.gamma(2.0)
            ),
            member_class("b", 9_000_000, poisson(0.01), stats.lognorm(1.0)),
        ]
    )
    assert pool.grid.start > 0
    found = share_rule(pool, "conditional_mean")
    assert found.facts["falls"] == 0
    assert found.table["fairness_index"].to_list() == pytest.approx([1.0, 1.0], rel=1e-8)


def test_a_pool_whose_loss_is_certain():
    """Every member claims once for sure: each bears own loss, under a fair rule."""
    pool = pool_of(
        [
            member_class("one", 3, fixed_count(1), sample_severity([1.0])),
            member_class("two", 2, fixed_count(1), sample_severity([2.0])),
        ]
    )
    assert pool.loss[np.argmax(pool.probability)] == 7
    for rule in FAIR:
        assert share_rule(pool, rule).table["share_mean"].to_list() == pytest.approx([1.0, 2.0])
    assert share_rule(pool, "uniform").table["share_mean"].to_list() == pytest.approx([1.4, 1.4])
    assert share_rule(pool, "uniform").table["variance_reduction"].to_list() == [None, None]


def test_where_those_who_pay_are_not_covered_there_is_no_own_cost_to_compare():
    one = sample_severity([100.0])
    pool = pool_of(
        [
            member_class("donors", 10, None),
            member_class("assisted", 20, binomial_count(1, 0.05), one, pays=False),
        ]
    )
    for rule in RULES:
        found = share_rule(pool, rule)
        assert found.table["share_mean"].to_list() == pytest.approx([10.0, 0.0])
        assert "times own cost" not in found.finding("en")
        assert "10 members who pay" in found.finding("en")
    assert compare_rules(pool).frames["gifts"]["from_class"].unique().to_list() == ["donors"]


def test_names_drawn_when_there_are_many():
    assert spread_out([str(k) for k in range(41)], 3) == ["0", "20", "40"]


# -- refusals ---------------------------------------------------------------------------------------


def test_members_that_cannot_be():
    one = sample_severity([1.0])
    for members in (0, -3, 2.5, float("nan"), float("inf"), 10**11, "many", True):
        with pytest.raises(InputError, match="members of 'a'"):
            member_class("a", members, poisson(1.0), one)
    with pytest.raises(InputError, match="a severity without a count"):
        member_class("a", 1, None, one)
    with pytest.raises(InputError, match="has no severity"):
        member_class("a", 1, poisson(1.0))
    with pytest.raises(InputError, match="neither pays nor is covered"):
        member_class("a", 1, None, pays=False)
    with pytest.raises(InputError, match="is a CountLaw, got float"):
        member_class("a", 1, 0.3, one)
    with pytest.raises(InputError, match="no finite mean"):
        member_class("a", 1, poisson(1.0), stats.lomax(0.9))


def test_pools_that_cannot_be():
    one = sample_severity([1.0])
    with pytest.raises(InputError, match="without members"):
        pool_of([])
    with pytest.raises(InputError, match="is given 2 times"):
        pool_of([member_class("a", 1, poisson(1.0), one)] * 2)
    with pytest.raises(InputError, match="no class is covered"):
        pool_of([member_class("a", 1, None)])
    with pytest.raises(InputError, match="no class pays"):
        pool_of([member_class("a", 1, poisson(1.0), one, pays=False)])


@pytest.mark.parametrize("tilt", [None, 0.0, 20.0])
def test_a_grid_too_small_for_the_loss_is_refused(tilt):
    """What wraps around would be shared as if it had happened."""
    classes = [member_class("a", 40, poisson(1.0), HEAVY)]
    with pytest.raises(InputError, match="more buckets"):
        pool_of(classes, bucket=1.0, buckets=128, tilt=tilt)
    assert pool_of(classes, bucket=1.0, buckets=512, tilt=tilt).expected == pytest.approx(116.0)


def test_nothing_wraps_around_into_the_rare_years_with_few_claims():
    """At a loss of 100,000 nobody insured for 300,000 can have claimed."""
    pool = pool_of(
        [
            member_class(name, n, binomial_count(1, q), sample_severity([b]))
            for name, n, q, b in (("a", 1522, 0.004, 3e5), ("b", 1374, 0.012, 1e5))
        ]
    )
    at = int(np.searchsorted(pool.loss, 1e5))
    assert pool.probability[at] < 1e-8
    assert 1522 * shares_of(pool, "conditional_mean")[0, at] < 0.1


def test_a_tilted_grid_gives_the_same_shares():
    classes = [
        member_class("a", 3, poisson(0.5), HEAVY),
        member_class("b", 2, binomial_count(1, 0.5), sample_severity([2.0])),
    ]
    flat = pool_of(classes, bucket=1.0, buckets=128, tilt=0.0)
    tilted = pool_of(classes, bucket=1.0, buckets=128, tilt=10.0)
    n = 40
    assert tilted.conditional[:, :n] == pytest.approx(flat.conditional[:, :n], rel=1e-6, abs=1e-9)


def test_rules_and_lines_that_are_none():
    pool = mixed_pool()
    with pytest.raises(InputError, match="did you mean 'uniform'"):
        share_rule(pool, "unifrom")
    for line in (-1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="line of a share"):
            share_rule(pool, "uniform", line=line)
    with pytest.raises(InputError, match="given once each"):
        compare_rules(pool, ["uniform", "uniform"])
    with pytest.raises(InputError, match="given once each"):
        compare_rules(pool, [])
    heavy = pool_of([member_class("a", 5, poisson(0.1), stats.lomax(1.8)),
                     member_class("b", 5, poisson(0.1), HEAVY)])  # fmt: skip
    with pytest.raises(InputError, match="no variance is finite of: a"):
        share_rule(heavy, "covariance")
