"""Demand, elasticities, willingness, subsidy, equilibrium and spiral of a market of tiers."""

import numpy as np
import polars as pl
import pytest

from pricing.choice.calibrate import calibrate
from pricing.choice.choice_model import fit_choice
from pricing.choice.demand import demand, surplus
from pricing.choice.equilibrium import break_even_rule, equilibrium
from pricing.choice.market import choice_market
from pricing.choice.offers import collect_offers
from pricing.choice.price_response import choice_elasticities, take_up_curve, willingness_to_pay
from pricing.choice.spiral import spiral
from pricing.choice.subsidy import subsidy_effect
from pricing.data.offers_book import OfferParameters, offered_persons
from pricing.errors import InputError
from pricing.result.shape import Result

PRICES = {"basic": 500.0, "premium": 2000.0}
TYPES = pl.DataFrame({"risk": [150.0, 400.0, 900.0, 2500.0], "persons": [40.0, 30.0, 20.0, 10.0]})


@pytest.fixture(scope="module")
def book():
    return offered_persons(8000, seed=2, parameters=OfferParameters(aware=0.9))


@pytest.fixture(scope="module")
def market(book):
    offers = collect_offers(book, ["risk_band"], aware="aware", cluster="community")
    types = book.unique("person_id").group_by("risk_band").agg(
        persons=pl.len().cast(pl.Float64), full=pl.col("risk").mean()
    ).sort("risk_band").with_columns(light=0.3 * pl.col("full"))  # fmt: skip
    model = fit_choice(offers, "risk_band")
    return choice_market(model, types, {"basic": "light", "premium": "full"}, persons="persons")


def one_tier(effect=0.0, take_up=0.1, then=0.8):
    model = calibrate(
        {"basic": 500.0}, take_up=take_up, at={"basic": 300.0}, then=then,
        risk_effect=effect, risks=TYPES,
    )  # fmt: skip
    return choice_market(model, TYPES, persons="persons")


# -- demand -------------------------------------------------------------------------------------------


def test_demand_adds_up_and_costs_are_those_of_the_choosers(market):
    seen = demand(market, PRICES, 100.0)
    t = seen.table
    assert t["share"].sum() == pytest.approx(1)
    assert t["headcount"].sum() == pytest.approx(8000)
    np.testing.assert_allclose(seen.frames["types"]["headcount"].sum(), 8000)
    every = market.shares(np.array([400.0, 1900.0])).every
    by_hand = (every[:, 2] * market.persons * market.cost[:, 1]).sum() / (
        every[:, 2] * market.persons
    ).sum()
    assert t["cost_per_member"][2] == pytest.approx(by_hand)
    assert t["loss_ratio"][2] == pytest.approx(by_hand / 2000)
    assert (t["lower"] < t["share"]).all()
    assert (t["share"] < t["upper"]).all()
    assert t["cost_selection"][2] > 1.2  # the ill take the premium tier
    assert 0.85 < market.aware < 0.95
    none = demand(market, {"basic": 1e6, "premium": 1e6})
    assert none.facts["take_up"] < 1e-9


def test_interval_of_take_up_is_that_of_draws(market):
    seen = demand(market, PRICES)
    rng = np.random.default_rng(1)
    draws = rng.multivariate_normal(
        market.model.parameters, market.model.covariance, 800, method="cholesky"
    )
    take_up = [market.demand(np.array([500.0, 2000.0]), d)[0].sum() for d in draws]
    sd = (seen.facts["take_up_upper"] - seen.facts["take_up"]) / 1.959964
    own = np.sqrt(np.var(take_up) + (seen.facts["take_up"] / market.aware) ** 2 * 0.9 * 0.1 / 8000)
    assert sd == pytest.approx(own, rel=0.08)


def test_subsidy_and_lower_price_bring_the_same_people(market):
    with_subsidy = demand(market, PRICES, {"basic": 200.0, "premium": 150.0})
    lower = demand(market, {"basic": 300.0, "premium": 1850.0})
    np.testing.assert_allclose(with_subsidy.table["share"], lower.table["share"], rtol=1e-12)
    assert with_subsidy.facts["consumer_surplus"] == pytest.approx(lower.facts["consumer_surplus"])
    assert with_subsidy.facts["public_cost"] > 0 == lower.facts["public_cost"]


def test_surplus_is_the_area_under_demand(market):
    """Roy: the derivative of the logsum by a price is minus the share."""
    paid = np.array([450.0, 1800.0])
    share = market.demand(paid)[0]
    for j in range(2):
        h = np.zeros(2)
        h[j] = 0.01
        slope = (surplus(market, paid + h) - surplus(market, paid - h)) / 0.02
        assert slope == pytest.approx(-share[j], rel=1e-5)


def test_elasticities_are_those_of_small_price_changes(market):
    seen = choice_elasticities(market, PRICES, {"basic": 100.0, "premium": 0.0})
    paid = np.array([400.0, 2000.0])

    def every(p):
        share = market.demand(p)[0]
        return np.append(1 - share.sum(), share)

    for j in range(2):
        h = paid * (np.arange(2) == j) * 1e-5
        by_difference = (np.log(every(paid + h)) - np.log(every(paid - h))) / 2e-5
        found = seen.table["choice_elasticity"].to_numpy().reshape(3, 2)[:, j]
        np.testing.assert_allclose(found, by_difference, rtol=1e-6)
    found = seen.table["choice_elasticity"].to_numpy().reshape(3, 2)
    assert (np.diag(found[1:]) < 0).all()
    assert found[0, 0] > 0 < found[2, 0]
    assert found[2, 0] > found[0, 0]  # tiers draw on each other more than on none


def test_cross_elasticities_are_equal_in_a_conditional_logit_of_one_type():
    model = calibrate(
        {"a": 400.0, "b": 900.0},
        take_up=0.2,
        at={"a": 300.0, "b": 700.0},
        then=0.4,
        split={"a": 0.7, "b": 0.3},
    )
    found = choice_elasticities(
        choice_market(model, TYPES, persons="persons"), {"a": 400.0, "b": 900.0}
    )
    e = found.table["choice_elasticity"].to_numpy().reshape(3, 2)
    assert e[0, 0] == pytest.approx(e[2, 0])
    assert e[0, 1] == pytest.approx(e[1, 1])
    assert e[0, 1] - e[2, 1] == pytest.approx(-model.facts["price_effect"] * 900, rel=1e-9)


def test_take_up_falls_with_the_price_and_willingness_is_where_half_take_it():
    market = one_tier()
    curve = take_up_curve(market, "basic", np.linspace(100, 700, 25))
    share = curve.table.filter(alternative="all")["share"].to_numpy()
    assert (np.diff(share) < 0).all()
    assert curve.table["lower"].null_count() == curve.table.height  # calibrated: no interval
    wtp = willingness_to_pay(market)
    half = wtp.table["willingness"][0]
    assert demand(market, {"basic": half}).facts["take_up"] == pytest.approx(0.5)
    assert wtp.facts["below_half"] == pytest.approx(0.3)  # 382 is under half of 900 and 2,500


# -- calibration --------------------------------------------------------------------------------------


@pytest.mark.parametrize("effect", [0.0, 0.001])
@pytest.mark.parametrize("lam", [1.0, 0.5])
def test_calibration_passes_its_points(effect, lam):
    model = calibrate(
        PRICES, take_up=0.1, at={"basic": 300.0, "premium": 1800.0}, then=0.8,
        split={"basic": 0.75, "premium": 0.25}, dissimilarity=lam, risk_effect=effect, risks=TYPES, awareness=0.9,
    )  # fmt: skip
    market = choice_market(model, TYPES, persons="persons")
    before = demand(market, PRICES)
    assert before.facts["take_up"] == pytest.approx(0.1, rel=1e-8)
    assert before.table["share"][2] == pytest.approx(0.025, rel=1e-8)
    assert demand(market, PRICES, 200.0).facts["take_up"] == pytest.approx(0.8, rel=1e-8)
    assert "not estimated" in model.finding("en")
    assert "校准" in model.finding("zh")
    assert before.table["lower"].null_count() == 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"then": 0.05}, "take-up goes from 10.0% to 5.0%"),
        ({"then": 1.0}, "no logit"),
        ({"take_up": 0.0}, "above 0"),
        ({"take_up": float("nan")}, "above 0"),
        ({"take_up": "ten"}, "above 0"),
        ({"awareness": 0.3}, "80.0% cannot take a tier where 30.0% know"),
        ({"at": {"basic": 500.0}}, "every price must move"),
        ({"at": {"basci": 300.0}}, "did you mean 'basic'"),
        ({"at": {"basic": -1.0}}, "zero or more"),
        ({"dissimilarity": 0.0}, "above 0"),
        ({"risk_effect": 0.1}, "needs risks"),
        ({"prices": {}}, "no tier"),
    ],
)
def test_points_that_contradict_are_refused(change, said):
    given = {
        "prices": {"basic": 500.0},
        "take_up": 0.1,
        "at": {"basic": 300.0},
        "then": 0.8,
    } | change
    with pytest.raises(InputError, match=said):
        calibrate(given.pop("prices"), **given)


# -- equilibrium and spiral ---------------------------------------------------------------------------


def test_every_equilibrium_breaks_even_and_the_spiral_ends_in_a_stable_one():
    rule = break_even_rule(one_tier(0.0008, 0.3, 0.6), 0.8)
    found = equilibrium(rule)
    t = found.table
    np.testing.assert_allclose(t["loss_ratio"], 0.8, rtol=1e-8)
    stable = t.filter(pl.col("stability") == "stable")
    assert (stable["steepest"] < 1).all()
    path = spiral(rule, {"basic": 300.0}, years=500)
    assert path.facts["settled"]
    last = path.table["premium"][-1]
    assert np.abs(stable["premium"] - last).min() < 0.01
    assert path.frames["leavers"]["take_up_change"].max() <= 0


def test_without_selection_the_premium_is_the_mean_cost_at_once():
    rule = break_even_rule(one_tier(), 0.7)
    mean = (TYPES["risk"] * TYPES["persons"]).sum() / 100
    found = equilibrium(rule)
    assert found.table["premium"].to_list() == pytest.approx([mean / 0.7])
    assert found.table["steepest"][0] == pytest.approx(0, abs=1e-6)
    assert spiral(rule, {"basic": 1.0}).table["premium"][1] == pytest.approx(mean / 0.7)


def test_where_there_are_three_equilibria_all_are_found_and_the_middle_one_is_unstable():
    types = pl.DataFrame({"risk": [100.0, 1000.0], "persons": [80.0, 20.0]})
    model = calibrate(
        {"basic": 420.0}, take_up=0.6, at={"basic": 350.0}, then=0.93, risk_effect=0.03, risks=types
    )
    rule = break_even_rule(choice_market(model, types, persons="persons"))
    t = equilibrium(rule).table
    assert t["stability"].to_list() == ["stable", "unstable", "stable"]
    for start, end in ((t["premium"][1] - 5, 0), (t["premium"][1] + 5, 2)):
        path = spiral(rule, {"basic": start}, years=1000)
        assert path.table["premium"][-1] == pytest.approx(t["premium"][end], rel=1e-3)


def test_a_market_that_unravels_is_said_to():
    types = pl.DataFrame({"risk": [100.0, 3000.0], "persons": [95.0, 5.0]})
    model = calibrate(
        {"basic": 400.0},
        take_up=0.2,
        at={"basic": 200.0},
        then=0.5,
        risk_effect=0.0025,
        risks=types,
    )
    rule = break_even_rule(choice_market(model, types, persons="persons"))
    found = equilibrium(rule, floor=0.10)
    assert found.facts["unravels"]
    assert "unravels" in found.finding("en")
    path = spiral(rule, {"basic": 200.0}, floor=0.10)
    assert path.facts["unravels"]
    assert path.facts["left_most"] != "5"
    assert not equilibrium(break_even_rule(choice_market(model, types, persons="persons"), to_person=200.0), floor=0.0).facts["unravels"]  # fmt: skip


def test_two_tiers_break_even_together(market):
    rule = break_even_rule(market, {"basic": 0.7, "premium": 0.7})
    found = equilibrium(rule, floor=0.0)
    for k in range(1, found.facts["points"] + 1):
        own = found.table.filter(pl.col("point") == k)
        np.testing.assert_allclose(own["loss_ratio"], 0.7, rtol=1e-6)
    path = spiral(rule, {"basic": 300.0, "premium": 1200.0}, years=300)
    assert path.facts["settled"]
    ends = (
        found.table.filter(pl.col("stability") == "stable")
        .group_by("point", maintain_order=True)
        .agg("premium")
    )
    last = path.table["premium"].to_numpy()[-2:]
    assert min(np.abs(np.array(p) - last).max() for p in ends["premium"]) < 0.1


# -- subsidy ------------------------------------------------------------------------------------------


def test_who_is_paid_matters_with_premiums_held_and_not_at_break_even(market):
    seen = subsidy_effect(market, PRICES, {"basic": 100.0, "premium": 100.0}, loss_ratio=0.7)
    t = seen.table
    held = t.filter(pl.col("pricing") == "premium_held")
    even = t.filter(pl.col("pricing") == "break_even")
    assert held["take_up"][2] == pytest.approx(held["take_up"][0])  # the plan keeps it
    assert held["plan_gain"][2] == pytest.approx(held["public_cost"][2])
    assert held["take_up"][1] > held["take_up"][0]
    np.testing.assert_allclose(even["take_up"][1], even["take_up"][2], rtol=1e-6)
    np.testing.assert_allclose(even["price_paid"][1], even["price_paid"][2], rtol=1e-6)
    np.testing.assert_allclose(
        t["total_gain"], t["consumer_gain"] + t["plan_gain"] - t["public_cost"]
    )
    assert held["cost_per_added"][1] == pytest.approx(held["public_cost"][1] / held["added"][1])
    low, high = (demand(market, PRICES, s).facts for s in (0.0, 100.0))
    assert held["consumer_gain"][1] == pytest.approx(
        high["consumer_surplus"] - low["consumer_surplus"]
    )
    # what persons gain lies between the subsidy on those who were in and on those who are in then
    assert 100 * low["take_up"] < held["consumer_gain"][1] < 100 * high["take_up"]


def test_the_programme_claim_of_two_hundred():
    """Subsidy 200: 80 % covered; without, under 10 %."""
    seen = subsidy_effect(one_tier(), {"basic": 500.0}, 200.0, loss_ratio=0.7)
    held = seen.table.filter(pl.col("pricing") == "premium_held")
    assert held["take_up"].to_list() == pytest.approx([0.1, 0.8, 0.1])
    assert held["cost_per_added"][1] == pytest.approx(200 * 0.8 / 0.7)


# -- results ------------------------------------------------------------------------------------------


def test_results_speak_two_languages_draw_save_and_repeat(tmp_path, market):
    rule = break_even_rule(market, 0.7)
    single = break_even_rule(one_tier(0.0008, 0.3, 0.6), 0.8)
    made = [
        demand(market, PRICES, 100.0, by="risk_band"), choice_elasticities(market, PRICES),
        take_up_curve(market, "basic", [300.0, 500.0], others={"premium": 2000.0}), willingness_to_pay(market),
        equilibrium(single), equilibrium(rule, floor=0.0), spiral(rule, PRICES, years=5),
        subsidy_effect(market, PRICES, 100.0, loss_ratio=0.7), demand(market, {"basic": 0.0, "premium": 0.0}),
    ]  # fmt: skip
    for k, result in enumerate(made):
        for lang in ("en", "zh"):
            assert "{" not in result.finding(lang)
            figure = result.figure(lang)
            assert figure.data
            if lang == "zh":
                assert (
                    figure.layout.yaxis.title.text != made[k].figure("en").layout.yaxis.title.text
                    or result.kind == "tier_equilibrium"
                )
        result.save(tmp_path / str(k))
        back = Result.load(tmp_path / str(k))
        assert back.table.equals(result.table)
        assert back.finding("zh") == result.finding("zh")
        assert result.basis.fingerprint
    again = demand(market, PRICES, 100.0, by="risk_band")
    assert again.basis.fingerprint == made[0].basis.fingerprint
    assert again.table.equals(made[0].table)
    assert demand(market, PRICES, 90.0).basis.fingerprint != made[0].basis.fingerprint


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda m: demand(m, {"basic": 500.0}), "'premium' has none"),
        (lambda m: demand(m, PRICES, -5.0), "zero or more"),
        (lambda m: demand(m, PRICES, {"basic": 600.0, "premium": 0.0}), "above its premium"),
        (lambda m: demand(m, PRICES | {"gold": 1.0}), "'gold' is no tier"),
        (lambda m: demand(m, PRICES | {"basic": float("nan")}), "zero or more"),
        (lambda m: demand(m, PRICES | {"basic": float("inf")}), "zero or more"),
        (lambda m: demand(m, PRICES | {"basic": "500"}), "zero or more"),
        (lambda m: demand(m, PRICES, by="nosuch"), "no column"),
        (lambda m: demand(m, PRICES, level=95), "between 0 and 1"),
        (lambda m: take_up_curve(m, "gold", [1.0, 2.0]), "'gold' is no tier"),
        (lambda m: take_up_curve(m, "basic", [2.0, 1.0], others={"premium": 1.0}), "rise"),
        (lambda m: take_up_curve(m, "basic", [1.0, 2.0]), "'premium' has none|zero or more"),
        (lambda m: break_even_rule(m, 1.2), "up to 1"),
        (lambda m: break_even_rule(m, 0.0), "above zero"),
        (lambda m: break_even_rule(m, 0.7, to_plan=-1.0), "zero or more"),
        (lambda m: equilibrium(break_even_rule(m), floor=2), "floor"),
        (lambda m: spiral(break_even_rule(m), PRICES, years=0), "years"),
        (lambda m: spiral(break_even_rule(m), PRICES, years=2.5), "years"),
        (lambda m: subsidy_effect(m, PRICES, 0.0), "no subsidy"),
        (lambda m: choice_market(m.model, pl.DataFrame()), "no rows"),
        (lambda m: choice_market(m.model, m.types, {"basic": "light"}), "'premium' has no cost"),
        (lambda m: choice_market(m.model, m.types, "nosuch"), "missing"),
        (lambda m: choice_market(m.model, m.types.drop("risk_band"), "full"), "'risk_band' is missing"),
        (lambda m: choice_market(m.model, m.types.with_columns(full=-pl.col("full")), "full"), "below zero"),
        (lambda m: choice_market(m.model, m.types.with_columns(risk_band=pl.lit("weird")), "full"), "does not know"),
        (lambda m: choice_market(m.model, m.types, "full", aware=1.5), "aware"),
        (lambda m: choice_market("model", m.types, "full"), "needs a choice model"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(market, call, said):
    with pytest.raises(InputError, match=said):
        call(market)


def test_a_price_effect_that_is_not_below_zero_has_no_willingness(book):
    up = book.with_columns(price=pl.when(pl.col("alternative") == "none").then(0.0).otherwise(
        pl.when(pl.col("alternative") == "basic").then(3000.0).otherwise(5000.0) - pl.col("price")), subsidy=pl.lit(0.0))  # fmt: skip
    model = fit_choice(collect_offers(up, aware="aware"))
    assert model.facts["price_effect"] > 0
    market = choice_market(model, TYPES, persons="persons")
    with pytest.raises(InputError, match="does not lower the demand"):
        demand(market, PRICES)
