"""Tiers under bad input and under questions with one right answer: what broke once stays mended."""

import math
from datetime import date

import polars as pl
import pytest
from pydantic import ValidationError
from scipy import stats

from pricing.errors import InputError
from pricing.experience.lexis import Lexis
from pricing.plans.tiers_file import EffectKeys, GridKeys, TiersSection
from pricing.tiers.benefit import Benefit, Gate, induced_use
from pricing.tiers.benefit_experience import benefit_experience
from pricing.tiers.build_up import build_up
from pricing.tiers.cost import cost_tier, person_year
from pricing.tiers.effects import tier_effects
from pricing.tiers.grid import tier_grid
from pricing.tiers.tier import Loadings, Subsidy, Tier, change_tier

WINDOW = (date(2023, 1, 1), date(2024, 1, 1))


def outpatient(**rules):
    given = {"frequency": 2.0, "severity": stats.expon(scale=100.0), "coinsurance": 0.2}
    return Benefit(name="outpatient", **{**given, **rules})


def basic(**rules):
    loads = Loadings(expense=0.15, commission=0.12, profit=0.08, risk=0.5)
    given = {"benefits": (outpatient(dispersion=1.5),), "premium": 500.0, "loadings": loads}
    return Tier(name="basic", **{**given, **rules})


def test_a_gate_that_was_in_force_leaves_the_spread_between_persons_as_it_was_seen():
    days = [date(2023, 1 + k % 12, 1 + k % 28) for k in range(60)]
    policies = pl.DataFrame(
        {"policy_id": [f"A{k}" for k in range(40)], "start": [WINDOW[0]] * 40, "end": [WINDOW[1]] * 40}
    )  # fmt: skip
    claims = pl.DataFrame(
        {"policy_id": [f"A{k % 9}" for k in range(60)], "incurred": days,
         "benefit": ["outpatient"] * 60, "amount": [100.0 + k for k in range(60)]}
    )  # fmt: skip
    found = benefit_experience(policies, claims, Lexis(start=WINDOW[0], end=WINDOW[1]))
    assert found.table["dispersion"][0] > 3
    gate = Gate(sent=0.9, frequency=0.5, severity=0.7)
    seen, same = (
        found.benefit("outpatient").count(),
        found.benefit("outpatient", measured_gate=gate, gate=gate).count(),
    )
    assert same.mean == pytest.approx(seen.mean)
    assert same.variance == pytest.approx(seen.variance)  # was 40 % too small


@pytest.mark.parametrize("aid", [None, Subsidy(amount=200.0), Subsidy(amount=200.0, to="plan")])
def test_grid_effects_and_build_up_ask_the_same_premium(aid):
    grid = tier_grid(basic(), 1000, {"premium": [500.0]}, subsidy=aid).table.row(0, named=True)
    one = tier_effects(basic(), 1000, {"dearer": {"deductible": 30.0}}, subsidy=aid)
    row = one.table.row(0, named=True)
    for name in ("required_premium", "member_price"):
        assert grid[name] == row[name]  # the grid forgot the 200 paid to the plan
    asked = build_up(basic(), cost_tier(basic(), 1000, subsidy=aid)).facts["required_premium"]
    given = 200.0 if aid and aid.to == "plan" else 0.0
    assert grid["required_premium"] == pytest.approx(asked - given, abs=1e-9)


def test_an_empty_wait_of_a_file_is_whole_days_again():
    assert change_tier(basic(), waiting_days=30.0).benefits[0].waiting_days == 30
    grid = tier_grid(basic(), 100, {"waiting_days": GridKeys(
        tier="basic", axes={"waiting_days": [0, 30]}).axes["waiting_days"]})  # fmt: skip
    first, later = grid.table["pure_premium"]
    assert later / first == pytest.approx(335 / 365, abs=1e-6)


@pytest.mark.parametrize(
    "call",
    [
        lambda: outpatient(gate=0.5),
        lambda: outpatient(gate="on"),
        lambda: outpatient(response=2.0),
        lambda: basic(benefits=None),
        lambda: basic(terms="none"),
        lambda: basic(loadings=0.35),
        lambda: basic(term_days=True),
        lambda: change_tier(basic(), gate=1.0),
        lambda: change_tier(basic(), year_coinsurance="a"),
        lambda: change_tier(basic(), year_deductible=True),
        lambda: change_tier(basic(), premium=math.nan),
        lambda: induced_use(0.1, 0.2, elasticity="a"),
        lambda: cost_tier(basic(), 10, line=0),
        lambda: cost_tier(basic(), 10, line="a"),
        lambda: cost_tier(basic(), 10, line=math.inf),
        lambda: cost_tier(basic(), 10, new_share="a"),
        lambda: cost_tier(basic(), 10, subsidy=200.0),
        lambda: tier_grid(basic(), 10, {"premium": [500.0]}, line="a"),
        lambda: tier_grid(basic(), 10, {"premium": 500.0}),
        lambda: tier_grid(basic(), 10, {"premium": "500"}),
        lambda: tier_grid(basic(), 10, {"premium": ["a"]}),
        lambda: tier_grid(basic(), 10, {"premium": [500.0, 0.0]}),
        lambda: tier_grid(basic(), 10, {"premium": [500.0, math.inf]}),
        lambda: tier_grid(basic(), 10, {"premium": [True]}),
        lambda: tier_grid(basic(), 10, {"gate": [1.0, False]}),
        lambda: tier_grid(basic(), 10, {"deductible": [None]}),
        lambda: tier_effects(basic(), 10, {"a": 5}),
        lambda: tier_effects(basic(), 10, {"a": {"subsidy": "x"}}),
    ],
)
def test_nonsense_is_refused_and_never_a_traceback(call):
    with pytest.raises(InputError):
        call()


def test_one_benefit_by_its_name_is_a_list_of_one():
    assert change_tier(basic(), benefits="outpatient", deductible=5.0).benefits[0].deductible == 5


def section(**rules):
    tier = {"name": "basic", "premium": 500, "benefit": [{"name": "outpatient"}]}
    return TiersSection(persons=1, observed=WINDOW, on=WINDOW[1], tier=[tier], **rules)


@pytest.mark.parametrize(
    ("effects", "said"),
    [
        ([{"name": "a", "change": {"gate": False}}] * 2, "stands twice"),  # one was dropped
        ([{"name": "a", "benefits": ["outpatiemt"], "change": {"gate": False}}], "no tier has outpatiemt"),
        ([{"name": "a", "benefits": [], "change": {"gate": False}}], "name one or more"),
        ([{"name": "a", "change": {"gate": 0.5}}], "gate is true or false, got 0.5"),
        ([{"name": "a", "change": {"deductible": True}}], "deductible is a number, got True"),
    ],
)  # fmt: skip
def test_effects_that_would_be_dropped_in_silence_are_refused(effects, said):
    with pytest.raises(ValidationError, match=said):
        section(effects=effects)
    assert EffectKeys(name="a", change={"gate": False, "waiting_days": 30}).change["gate"] is False


def test_a_grid_of_a_file_takes_gates_on_and_off_alone():
    with pytest.raises(ValidationError, match="gate is true or false"):
        GridKeys(tier="basic", axes={"gate": [1.0, False]})


def test_order_of_deductible_coinsurance_limit_and_sub_limit_by_hand():
    fixed = outpatient(severity=stats.uniform(499.999, 0.002), frequency=1e-9, deductible=100.0,
                       coinsurance=0.25, limit=280.0)  # fmt: skip
    assert fixed.bills().under(fixed.terms).mean == pytest.approx(280.0)
    free = outpatient(severity=stats.uniform(499.999, 0.002), deductible=100.0, coinsurance=0.25)
    assert free.bills().under(free.terms).mean == pytest.approx(0.75 * 400, abs=1e-6)
    often = outpatient(frequency=50.0, year_limit=1000.0)
    assert person_year(basic(benefits=(often,))).mean == pytest.approx(1000.0, abs=1e-3)
