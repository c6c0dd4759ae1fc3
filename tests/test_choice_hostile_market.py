"""Markets of tiers at their edges: emptied tiers, hidden equilibria, few insured, odd input."""

import numpy as np
import polars as pl
import pytest

from pricing.choice.calibrate import calibrate
from pricing.choice.demand import demand
from pricing.choice.equilibrium import break_even_rule, equilibrium
from pricing.choice.linear_market import fit_linear_market
from pricing.choice.market import choice_market
from pricing.choice.price_response import take_up_curve
from pricing.choice.subsidy import subsidy_effect
from pricing.errors import InputError
from pricing.experience.cells import Experience

POINTS = {"take_up": 0.1, "at": {"basic": 300.0}, "then": 0.8}
FEW = pl.DataFrame({"risk": [200.0, 500.0, 60_000.0], "persons": [600.0, 395.0, 5.0]})


def emptied():
    model = calibrate({"basic": 500.0}, **POINTS, risk_effect=0.0002, risks=FEW)
    return choice_market(model, FEW, persons="persons")


def test_a_tier_nobody_can_be_counted_in_costs_what_its_last_members_would():
    market = emptied()
    share, cost = market.demand(np.array([100_000.0]))
    assert share[0] == 0.0
    a, b = market.model.parameters[1:]
    log = np.log(market.weights) + a * FEW["risk"].to_numpy()  # the price is the same for all
    weight = np.exp(log - log.max())
    assert cost[0] == pytest.approx(weight @ FEW["risk"].to_numpy() / weight.sum())
    assert b < 0


def test_no_equilibrium_is_made_up_where_the_last_share_underflows():
    rule = break_even_rule(emptied(), 0.7)
    found = equilibrium(rule)
    (premium,) = found.table["premium"]  # was 38,854, where the share became too small to divide by
    assert rule.next(np.array([premium]))[0] == pytest.approx(premium)
    assert found.facts["unravels"]
    assert "unravels" in found.finding("en")
    seen = subsidy_effect(emptied(), {"basic": 500.0}, 200.0, loss_ratio=0.7)
    gone = seen.table.filter(pricing="break_even", route="no_subsidy").row(0, named=True)
    assert gone["take_up"] == 0.0
    assert gone["premium"] is None  # nobody is left to have a mean


def test_one_dear_type_does_not_hide_equilibria_at_low_prices():
    """All three lie below 1,100; even steps up to a dearest type of 30 million are 15,000 wide."""
    types = pl.DataFrame({"risk": [100.0, 1000.0], "persons": [80.0, 20.0]})
    model = calibrate(
        {"basic": 420.0}, take_up=0.6, at={"basic": 350.0}, then=0.93, risk_effect=0.03, risks=types
    )
    alone = equilibrium(break_even_rule(choice_market(model, types, persons="persons")))
    dear = pl.DataFrame({"risk": [100.0], "persons": [1e-12], "cost": [3e7]})
    every = pl.concat([types.with_columns(cost=pl.col("risk")), dear])
    market = choice_market(model, every, {"basic": "cost"}, persons="persons")
    found = equilibrium(break_even_rule(market))
    assert found.table["stability"].to_list() == ["stable", "unstable", "stable"]  # was one
    assert found.table["premium"].to_list() == pytest.approx(
        alone.table["premium"].to_list(), rel=1e-3
    )


def test_two_insured_are_too_few_for_a_line_with_errors():
    rows = pl.DataFrame({"price": [100.0, 200.0, 300.0, 400.0], "exposure": 1.0,
                         "claims": [1, 1, 0, 0], "cost": [50.0, 60.0, 0.0, 0.0]})  # fmt: skip
    with pytest.raises(InputError, match="2 insured are too few"):
        fit_linear_market(Experience.collect(rows, ["price"], amount="cost"))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: choice_market(emptied().model, FEW, aware=True), "share aware"),
        (lambda: calibrate([500.0], **POINTS), "prices: a price for each tier"),
        (lambda: calibrate({"basic": 500.0}, **{**POINTS, "at": None}), "at: a price for each tier"),
        (lambda: calibrate({"basic": 500.0}, **POINTS, risk_effect="a", risks=FEW), "risk effect is a finite number"),
        (lambda: calibrate({"basic": 500.0}, **POINTS, risk_effect=0.1, risks=FEW.cast(pl.String)), "risk and persons must be numbers"),
        (lambda: take_up_curve(emptied(), "basic", None), "a list of prices"),
        (lambda: take_up_curve(emptied(), "basic", "500"), "a list of prices"),
        (lambda: demand(emptied(), {"basic": "500"}), "not a finite amount"),
    ],
)  # fmt: skip
def test_nonsense_is_refused(call, said):
    with pytest.raises(InputError, match=said):
        call()
