"""Tiers: benefits, cost, premium build-up, adequacy, effects; what contradicts is refused by name."""

import math
from dataclasses import replace
from datetime import date

import numpy as np
import polars as pl
import pytest
from scipy import stats

from pricing.errors import InputError
from pricing.losses.compound import panjer_recursion
from pricing.losses.count_law import poisson
from pricing.losses.discretise import discretise
from pricing.losses.severity_law import sample_severity, severity_law
from pricing.losses.terms import Terms
from pricing.result.shape import Result
from pricing.tiers.adequacy import break_even, check_adequacy
from pricing.tiers.benefit import Benefit, Gate, Response, induced_use
from pricing.tiers.build_up import build_up, risk_margin, to_the_fen
from pricing.tiers.cost import cost_tier, person_year
from pricing.tiers.effects import tier_effects
from pricing.tiers.tier import Loadings, Subsidy, Tier, change_tier

LOADED = Loadings(expense=0.15, commission=0.12, profit=0.08)


def outpatient(**rules):
    given = {"frequency": 1.75, "severity": stats.expon(scale=250.0), "coinsurance": 0.2} | rules
    return Benefit(name="outpatient", **given)


def basic(*benefits, **rules):
    given = {"premium": 500.0, "loadings": LOADED} | rules
    return Tier(name="basic", benefits=benefits or (outpatient(),), **given)


def nursing(**rules):
    given = {"frequency": 0.8, "severity": stats.gamma(2.0, scale=150.0), "coinsurance": 0.2}
    return Benefit(name="home_nursing", **(given | rules))


# -- algebra and closed forms -----------------------------------------------------------------------


@pytest.mark.parametrize(("premium", "claims", "bill"), [(500, 350, 437.5), (2000, 1400, 1750)])
def test_a_loss_ratio_of_70_percent_in_claims_and_bills(premium, claims, bill):
    care = Benefit(
        name="care", frequency=1.0, severity=stats.expon(scale=0.7 * premium / 0.8), coinsurance=0.2
    )
    cost = cost_tier(basic(care, premium=float(premium)), 500, subsidy=Subsidy(amount=200.0))
    assert cost.facts["bill"] == pytest.approx(bill, rel=1e-12)
    assert cost.facts["pure_premium"] == pytest.approx(claims, rel=1e-9)
    assert cost.facts["loss_ratio"] == pytest.approx(0.7, rel=1e-9)
    assert cost.facts["member_price"] == premium - 200
    assert cost.facts["actuarial_value"] == pytest.approx(0.8, rel=1e-9)


def test_the_500_tier_at_70_percent_is_inadequate_at_35_percent_of_loading():
    tier = basic()
    found = check_adequacy(tier, cost_tier(tier, 1000), on=date(2024, 1, 1), least_value=0.6)
    rows = {row["condition"]: row for row in found.table.iter_rows(named=True)}
    assert found.verdict == "fail"
    assert rows["average_loading"]["verdict"] == "pass"
    for name in ("net_premium_expected", "net_premium_promised"):
        assert rows[name]["verdict"] == "fail"
        assert rows[name]["value"] == pytest.approx(325.0)
        assert rows[name]["threshold"] == pytest.approx(350.0)
    assert found.facts["highest_loading"] == pytest.approx(0.3)
    aided = cost_tier(tier, 1000, subsidy=Subsidy(amount=200.0, to="plan"))
    assert check_adequacy(tier, aided, on=date(2024, 1, 1), least_value=0.6).verdict == "pass"
    low = check_adequacy(tier, cost_tier(tier, 1000), on=date(2024, 1, 1), least_value=0.85)
    assert low.table["verdict"][0] == "fail"


def test_an_exponential_bill_under_terms_is_the_closed_form():
    one = outpatient(deductible=50.0, limit=400.0)
    top = 50 + 400 / 0.8
    per_claim = 0.8 * 250 * (math.exp(-50 / 250) - math.exp(-top / 250))
    assert one.expected() == pytest.approx(1.75 * per_claim, rel=1e-12)
    cost = cost_tier(basic(one), 200)
    assert cost.facts["pure_premium"] == pytest.approx(1.75 * per_claim, rel=1e-6)
    sd = math.sqrt(1.75 * severity_law(stats.expon(scale=250.0)).under(one.terms).power(2))
    assert cost.facts["person_sd"] == pytest.approx(sd, rel=1e-4)
    assert cost.facts["portfolio_sd"] == pytest.approx(sd * math.sqrt(200), rel=1e-4)


def test_a_person_of_fixed_amounts_is_the_poisson_law():
    allowance = Benefit(name="daily_allowance", frequency=0.4, severity=sample_severity([300.0]))
    year = person_year(basic(allowance))
    for k in range(4):
        exact = stats.poisson(0.4).sf(k)
        assert year.exceeds(300.0 * k) == pytest.approx(exact, abs=1e-12)
    capped = person_year(basic(replace(allowance, year_limit=600.0)))
    n = np.arange(60)
    exact = float((np.minimum(300 * n, 600) * stats.poisson(0.4).pmf(n)).sum())
    assert capped.mean == pytest.approx(exact, rel=1e-12)


def test_panjers_recursion_gives_the_person_s_year_of_the_transform():
    law = sample_severity([20.0, 40.0, 100.0], [0.5, 0.3, 0.2])
    year = person_year(basic(Benefit(name="outpatient", frequency=1.3, severity=law)))
    g = panjer_recursion(poisson(1.3), discretise(law, span=20.0, size=64), 40)
    for k in range(30):
        assert year.exceeds(20.0 * k) == pytest.approx(1 - g[: k + 1].sum(), abs=1e-11)


def test_the_year_s_terms_act_on_all_benefits_together():
    both = basic(outpatient(), nursing(), terms=Terms(limit=1500.0))
    year = person_year(both)
    draw = np.random.default_rng(4)
    n = 400_000
    total = np.zeros(n)
    for rate, law in ((1.75, stats.expon(scale=250.0)), (0.8, stats.gamma(2.0, scale=150.0))):
        count = draw.poisson(rate, n)
        who = np.repeat(np.arange(n), count)
        total += np.bincount(who, 0.8 * law.rvs(who.size, random_state=draw), minlength=n)
    paid = np.minimum(total, 1500.0)
    assert year.mean == pytest.approx(paid.mean(), abs=5 * paid.std() / math.sqrt(n))
    assert year.exceeds(1499.0) == pytest.approx((paid >= 1500).mean(), abs=0.003)


def test_induced_use_has_the_arc_elasticity_it_is_given():
    for c0, c1, eta in ((0.2, 0.5, -0.2), (0.25, 0.0, -0.2), (0.5, 0.1, -0.4)):
        f = induced_use(c1, c0, elasticity=eta)
        assert (f - 1) / (f + 1) == pytest.approx(eta * (c1 - c0) / (c1 + c0), rel=1e-12)
    assert induced_use(0.3, 0.1) < induced_use(0.2, 0.1) < 1 < induced_use(0.1, 0.2)
    assert induced_use(0.0, 0.0) == 1.0
    assert outpatient().use == 1.0
    assert outpatient(measured_coinsurance=0.5).claims() > 1.75


def test_a_waiting_period_is_the_exact_share_of_a_first_term():
    waiting = outpatient(waiting_days=73)
    assert waiting.claims(first_term=True) == pytest.approx(1.75 * 0.8)
    assert waiting.claims() == 1.75
    first, mixed, old = (
        cost_tier(basic(waiting), 1000, new_share=s).facts for s in (1.0, 0.5, 0.0)
    )
    assert first["pure_premium"] == pytest.approx(0.8 * old["pure_premium"], rel=1e-6)
    between = (first["pure_premium"] + old["pure_premium"]) / 2
    assert mixed["pure_premium"] == pytest.approx(between, rel=1e-6)
    assert first["bill"] == old["bill"]
    assert first["actuarial_value"] < old["actuarial_value"]


# -- the gate ---------------------------------------------------------------------------------------


def test_the_gate_changes_number_and_mix_and_spares_emergencies():
    gate = Gate(sent=0.8, frequency=0.7, severity=0.5, emergency=0.25)
    one = outpatient(gate=gate)
    assert gate.through == pytest.approx(0.6)
    assert one.claims() == pytest.approx(1.75 * (0.4 + 0.6 * 0.7))
    assert one.bill() == pytest.approx(1.75 * 250 * (0.4 + 0.6 * 0.7 * 0.5))
    assert outpatient(gate=Gate(sent=0.8, frequency=0.7, emergency=1.0)).claims() == 1.75
    assert outpatient(gate=Gate(sent=0.0, severity=0.1)).bill() == 1.75 * 250


@pytest.mark.parametrize("terms", [{}, {"deductible": 80.0, "limit": 300.0}])
def test_a_gate_with_factors_of_one_at_most_never_raises_cost(terms):
    draw = np.random.default_rng(2)
    without = outpatient(**terms).expected()
    for _ in range(20):
        sent, emergency = draw.random(2)
        frequency, severity = 1 - 0.9 * draw.random(2)
        gate = Gate(sent=sent, emergency=emergency, frequency=frequency, severity=severity)
        assert outpatient(gate=gate, **terms).expected() <= without * (1 + 1e-12)


def test_a_gate_is_no_deductible():
    """It leaves the share of each bill that is paid as it is."""
    gated = outpatient(gate=Gate(sent=1.0, frequency=0.6, severity=0.6))
    assert gated.expected() / gated.bill() == pytest.approx(0.8)
    assert outpatient(deductible=100.0).expected() / outpatient().bill() < 0.8


# -- invariants -------------------------------------------------------------------------------------


def test_elimination_and_retained_add_up_and_limits_increase_concavely():
    law = severity_law(stats.lognorm(s=1.2, scale=200.0))
    for d in (50.0, 300.0, 1000.0):
        kept = law.under(Terms(deductible=d)).mean
        cut = law.under(Terms(limit=d)).mean
        assert cut / law.mean + kept / law.mean == pytest.approx(1.0, rel=1e-10)
    limits = np.arange(100.0, 3000.0, 100.0)
    factors = np.array([law.under(Terms(limit=x)).mean for x in limits])
    factors /= factors[0]
    assert np.all(np.diff(factors) > 0)
    assert np.all(np.diff(factors, 2) < 0)


@pytest.mark.parametrize(
    ("rule", "values"),
    [
        ("deductible", [100.0, 50.0, 0.0]),
        ("coinsurance", [0.6, 0.3, 0.0]),
        ("limit", [100.0, 300.0, 900.0]),
        ("year_limit", [500.0, 1000.0, 3000.0]),
        ("waiting_days", [180, 30, 0]),
        ("year_deductible", [400.0, 100.0, 0.0]),
        ("year_coinsurance", [0.5, 0.2, 0.0]),
        ("year_most", [400.0, 1000.0, 3000.0]),
    ],
)
def test_the_premium_grows_with_every_generosity(rule, values):
    tier = basic(outpatient(measured_coinsurance=0.2), nursing(measured_coinsurance=0.2))
    required, value = [], []
    for v in values:
        other = change_tier(tier, **{rule: v})
        cost = cost_tier(other, 300)
        required.append(build_up(other, cost).facts["required_premium"])
        value.append(cost.facts["pure_premium"])
    assert required == sorted(required)
    assert value == sorted(value)
    assert value[0] < value[-1]


def test_units_do_not_matter():
    fen = basic(outpatient(severity=stats.expon(scale=25_000.0), limit=40_000.0), premium=50_000.0)
    yuan = basic(outpatient(limit=400.0))
    a, b = (cost_tier(t, 400).facts for t in (yuan, fen))
    assert b["pure_premium"] == pytest.approx(100 * a["pure_premium"], rel=1e-6)
    assert b["passes"] == pytest.approx(a["passes"], abs=2e-4)


def test_the_order_of_benefits_does_not_matter():
    a = cost_tier(basic(outpatient(), nursing(), premium=800.0), 400).facts
    b = cost_tier(basic(nursing(), outpatient(), premium=800.0), 400).facts
    assert a["pure_premium"] == pytest.approx(b["pure_premium"], rel=1e-10)
    assert a["passes"] == pytest.approx(b["passes"], abs=1e-8)


# -- premium ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("principle", ["deviation", "pure", "value_at_risk"])
def test_the_parts_add_up_to_the_fen(principle):
    loads = replace(LOADED, risk=0.3, principle=principle, fixed_expense=12.345, service=3.333)
    late = outpatient(response=Response(hours=2.0, missed=0.4, credit=1.0))
    tier = basic(late, premium=499.99, loadings=loads)
    parts = build_up(tier, cost_tier(tier, 777))
    for column in ("required_amount", "charged_amount"):
        fen = [round(100 * x) for x in parts.table[column]]
        assert sum(fen[:-1]) == fen[-1]
        assert [x / 100 for x in fen] == parts.table[column].to_list()
    assert parts.table["charged_amount"][-1] == 499.99
    service = parts.table.filter(part_of_premium="service")["required_amount"][0]
    assert service == pytest.approx(3.333 + 1.75 * 0.4, abs=0.006)
    net = sum(parts.table["required_amount"].to_list()[:4])
    assert parts.facts["required_premium"] == pytest.approx(net / 0.65, abs=0.04)


def test_the_risk_margin_is_what_its_principle_says():
    assert risk_margin(Loadings(risk=2.0), 350.0, 14.0, 40.0) == 28.0
    assert risk_margin(Loadings(risk=0.1, principle="pure"), 350.0, 14.0, 40.0) == 35.0
    assert risk_margin(Loadings(risk=0.1, principle="value_at_risk"), 350.0, 14.0, 40.0) == 4.0


def test_rounding_to_the_fen():
    assert [to_the_fen(x) for x in (0.125, 0.135, 2.675)] == [0.12, 0.14, 2.68]
    assert to_the_fen(1.0000000001, up=True) == 1.0
    assert to_the_fen(1.00001, up=True) == 1.01


def test_the_break_even_price_breaks_even():
    tier = basic(loadings=replace(LOADED, risk=0.5, fixed_expense=10.0))
    prices = break_even(tier, cost_tier(tier, 800), probabilities=(0.3, 0.05))
    at = change_tier(tier, premium=prices.facts["break_even_price"])
    cost = cost_tier(at, 800)
    ratio = break_even(at, cost).facts["break_even_loss_ratio"]
    assert cost.facts["loss_ratio"] == pytest.approx(ratio, rel=1e-9)
    for row in prices.table.filter(pl.col("probability").is_not_null()).iter_rows(named=True):
        safe = cost_tier(change_tier(tier, premium=row["price"]), 800)
        assert safe.facts["passes"] == pytest.approx(row["probability"], abs=2e-3)


def test_a_subsidy_to_the_plan_lowers_what_the_plan_asks():
    tier = basic()
    aid = Subsidy(amount=200.0, to="plan")
    prices = break_even(tier, cost_tier(tier, 500, subsidy=aid), subsidy=aid)
    plain = break_even(tier, cost_tier(tier, 500))
    gap = plain.facts["break_even_price"] - prices.facts["break_even_price"]
    assert gap == pytest.approx(200.0, rel=1e-9)


def test_effects_are_each_against_the_tier_as_it_is():
    gate = Gate(sent=0.9, frequency=0.8, severity=0.7)
    tier = basic(outpatient(gate=gate))
    found = tier_effects(
        tier,
        300,
        {
            "no_gate": {"gate": False},
            "deductible": {"deductible": 50.0},
            "aid": {"subsidy": Subsidy(amount=200.0)},
        },
    )
    rows = {row["rule_change"]: row for row in found.table.iter_rows(named=True)}
    assert rows["as_it_is"]["pure_premium_effect"] == 0
    assert rows["no_gate"]["pure_premium"] == pytest.approx(350.0, rel=1e-9)
    assert rows["deductible"]["pure_premium_effect"] < 0 < rows["no_gate"]["pure_premium_effect"]
    assert rows["aid"]["member_price"] == 300.0
    assert rows["aid"]["pure_premium_effect"] == 0


# -- results ----------------------------------------------------------------------------------------


def test_results_speak_draw_and_come_back(tmp_path):
    tier = basic(terms=Terms(limit=4000.0))
    cost = cost_tier(tier, 300)
    for place, result in enumerate(
        (
            cost,
            build_up(tier, cost),
            break_even(tier, cost),
            check_adequacy(tier, cost, on=date(2024, 1, 1)),
            tier_effects(tier, 300, {"no_gate": {"gate": False}}),
        )
    ):
        assert result.finding("en") != result.finding("zh")
        assert result.basis.fingerprint or result.kind == "tier_adequacy"
        if result.kind != "tier_adequacy":
            for lang in ("en", "zh"):
                assert result.figure(lang).data
        result.save(tmp_path / str(place))
        back = Result.load(tmp_path / str(place))
        assert back.table.equals(result.table)
    assert cost.frames["distribution"]["probability"].sum() == pytest.approx(1.0)


# -- what contradicts -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"coinsurance": 1.2}, "coinsurance is a share from 0 to 1"),
        ({"coinsurance": 1.0}, "leaves nothing to pay"),
        ({"coinsurance": math.nan}, "coinsurance is an amount"),
        ({"limit": 500.0, "year_limit": 200.0}, "cap of the year, 200, lies below the limit"),
        ({"frequency": 0.0}, "frequency must be above zero"),
        ({"frequency": "often"}, "frequency must be above zero, got 'often'"),
        ({"frequency": True}, "frequency must be above zero"),
        ({"deductible": -1.0}, "deductible must be zero or more"),
        ({"deductible": "100"}, "deductible is an amount, got '100'"),
        ({"waiting_days": -3}, "waiting_days"),
        ({"waiting_days": 30.5}, "waiting_days"),
        ({"dispersion": 0.5}, "dispersion is 1 or more"),
        ({"elasticity": 0.2}, "elasticity of use"),
        ({"measured_coinsurance": 2.0}, "measured at is a share"),
        ({"severity": "large"}, "not a frozen distribution"),
        ({"severity": stats.norm()}, "below zero"),
    ],
)
def test_a_benefit_that_cannot_be_is_refused_under_its_name(rules, said):
    with pytest.raises(InputError, match="outpatient") as refused:
        outpatient(**rules)
    assert said in str(refused.value)


def test_a_benefit_says_all_its_faults_at_once():
    with pytest.raises(InputError) as refused:
        outpatient(frequency=-1.0, dispersion=0.0, waiting_days="ten")
    assert len(refused.value.faults) == 3


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: basic(outpatient(waiting_days=365)), "leaves nothing of a term of 365"),
        (lambda: basic(outpatient(waiting_days=200), term_days=180), "term of 180"),
        (
            lambda: basic(outpatient(year_limit=5000.0), terms=Terms(limit=3000.0)),
            "5,?000, lies above the tier's, 3,?000",
        ),
        (lambda: basic(outpatient(), outpatient()), "named twice: outpatient"),
        (lambda: basic(premium=0.0), "premium must be above zero"),
        (lambda: basic(premium="500"), "premium must be above zero, got '500'"),
        (lambda: Tier(name="basic", benefits=(), premium=1.0), "one Benefit or more"),
        (lambda: Terms(deductible=500.0, out_of_pocket=300.0), "lies below the deductible"),
        (lambda: Subsidy(amount=-1.0), "zero or more, got -1"),
        (lambda: Subsidy(amount=1.0, to="state"), "'person' or 'plan'"),
        (lambda: Loadings(expense=0.6, commission=0.4), "100% of the premium"),
        (lambda: Loadings(principle="variance"), "no principle 'variance'"),
        (lambda: Loadings(risk=-0.1), "risk must be zero or more"),
        (lambda: Gate(sent=1.2), "sent is a share"),
        (lambda: Gate(sent=0.5, severity=0.0), "factor on severity must be above zero"),
        (lambda: Response(hours=0.0), "hours must be above zero"),
        (lambda: Response(hours=2.0, missed=1.4), "missed is a share"),
        (lambda: change_tier(basic(), dedutible=5.0), "did you mean 'deductible'"),
        (lambda: change_tier(basic(), benefits=["outpatents"], limit=5.0), "no benefit"),
        (lambda: cost_tier(basic(), 0), "1 person or more"),
        (lambda: cost_tier(basic(), 10.5), "1 person or more"),
        (lambda: cost_tier(basic(), 10, new_share=1.5), "share of first terms"),
        (lambda: cost_tier(basic(), 10, subsidy=Subsidy(amount=501.0)), "above the premium of 500"),
        (lambda: cost_tier(basic(outpatient(severity=stats.lomax(0.9))), 10), "no finite mean"),
        (lambda: tier_effects(basic(), 10, {}), "no change"),
        (lambda: tier_effects(basic(), 10, {"as_it_is": {"limit": 1.0}}), "another name"),
        (lambda: tier_effects(basic(), 10, {"odd": {"coinsurance": 3.0}}), "odd: outpatient"),
        (lambda: build_up(basic(premium=501.0), cost_tier(basic(), 10)), "the cost of"),
        (lambda: break_even(basic(premium=501.0), cost_tier(basic(), 10)), "price the tier first"),
        (
            lambda: break_even(basic(), cost_tier(basic(), 10), probabilities=[1.5]),
            "between 0 and 1",
        ),
        (lambda: induced_use(1.5, 0.2), "share from 0 to 1"),
        (lambda: induced_use("0.5", 0.2), "coinsurance is a number"),
    ],
)
def test_what_contradicts_is_refused(make, said):
    with pytest.raises(InputError, match=said):
        make()
