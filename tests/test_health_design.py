"""The schedule within limits: exact optimum, true shadow prices, every limit held, conflicts named."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import LinearConstraint, isotonic_regression, minimize

from pricing.errors import InputError
from pricing.experience.cells import Experience
from pricing.health.design import design_within
from pricing.health.discount_split import PARTS, split_discount
from pricing.health.effect import group_effect
from pricing.health.limits import Line, ScheduleLimits, lines_of
from pricing.health.optimum import admissible, closest
from pricing.health.price_response import PriceResponse
from pricing.health.schedule import design_schedule

GROUPS = ["G0", "G1", "G2", "G3", "G4"]


@pytest.fixture(scope="module")
def book():
    rng = np.random.default_rng(5)
    n = 40_000
    g, sex = rng.integers(0, 5, n), rng.integers(0, 2, n)
    g = np.where((sex == 1) & (rng.random(n) < 0.4), 4, g)  # men stand higher
    claims = rng.poisson(0.4 * np.array([1.0, 0.95, 0.88, 0.86, 0.78])[g])
    rows = pl.DataFrame(
        {
            "health_group": np.array(GROUPS)[g], "sex": np.array(["female", "male"])[sex],
            "exposure": 1.0, "claims": claims, "amount": 2_000.0 * claims, "standard_premium": 1_150.0,
        }
    )  # fmt: skip
    seen = Experience.collect(
        rows, ["health_group", "sex"], amount="amount", sums=["standard_premium"]
    )
    return group_effect(seen, "sex", order=GROUPS)[0], seen


def test_without_limits_it_is_isotonic_regression(book):
    effect, seen = book
    design = design_within(effect, seen)
    fair = effect.table["fair_discount"].to_numpy()
    weights = design.table["standard_premium"].to_numpy()
    expected = np.clip(isotonic_regression(fair[1:], weights=weights[1:]).x, 0, 0.2)
    np.testing.assert_allclose(
        design.table["unrounded_discount"].to_numpy()[1:], expected, atol=1e-9
    )
    assert design.discounts["G0"] == 0.0


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000))
def test_least_squares_and_its_prices_against_a_general_solver(seed):
    rng = np.random.default_rng(seed)
    k = int(rng.integers(1, 6))
    fair, weights = rng.uniform(-0.1, 0.4, k), rng.uniform(0.2, 5.0, k)
    unit = np.eye(k)
    lines = [Line("order", "", -unit[0], 0.0)]
    lines += [Line("order", "", unit[i] - unit[i + 1], 0.0) for i in range(k - 1)]
    lines += [Line("cap", "", unit[-1], 0.2), Line("mean_discount", "", weights / weights.sum(), float(rng.uniform(0, 0.2)))]  # fmt: skip
    found = closest(fair, weights, lines)
    a, b = np.array([x.weights for x in lines]), np.array([x.bound for x in lines])
    assert (a @ found.discounts <= b + 1e-9).all()
    assert (found.prices >= -1e-12).all()
    # Karush, Kuhn, Tucker: gradient balanced by the prices, no price where there is slack
    np.testing.assert_allclose(
        weights * (found.discounts - fair) + a.T @ found.prices, 0, atol=1e-8
    )
    np.testing.assert_allclose(found.prices * (b - a @ found.discounts), 0, atol=1e-8)
    other = minimize(
        lambda d: 0.5 * (weights * (d - fair) ** 2).sum(), np.zeros(k), method="SLSQP",
        constraints=[LinearConstraint(a, -np.inf, b)], options={"ftol": 1e-14},
    )  # fmt: skip
    assert 0.5 * (weights * (found.discounts - fair) ** 2).sum() <= other.fun + 1e-7


def test_a_shadow_price_is_what_easing_the_bound_brings(book):
    effect, seen = book
    answer = PriceResponse.elastic(retention=0.85, elasticity=-0.75)

    def best(budget, objective):
        limits = ScheduleLimits(step=0.001, cap=0.02, mean_discount=budget)  # near the continuum
        return design_within(
            effect, seen, limits, objective=objective, response=answer, expenses=0.2
        )

    design = best(0.01, "margin")
    own = design.frames["limits"].filter(limit="mean_discount")
    if own["shadow_price"].item() > 0:
        eased = best(0.011, "margin").facts["margin"] - design.facts["margin"]
        assert eased == pytest.approx(own["shadow_price"].item() * 0.1, rel=0.15)


def test_every_limit_is_held_and_what_holds_back_has_a_price(book):
    effect, seen = book
    limits = ScheduleLimits(
        mean_discount=0.06, loss_ratio=(0.4, 0.9), most_between=0.05, fairness={"sex": 0.01},
        service_share=0.2, service_cost=60.0, loading=0.3, service_by="sex",
    )  # fmt: skip
    design = design_within(effect, seen, limits)
    held = design.frames["limits"]
    assert (held["slack"] >= -1e-9).all()
    d = design.table["discount_within_limits"].to_numpy()
    premium = seen.by("sex", "health_group").cells.sort("sex", "health_group")
    for _, part in premium.group_by("sex"):
        p = part["standard_premium"].cast(pl.Float64).to_numpy()
        cost = 60.0 * part["exposure"].sum()
        assert cost <= 0.2 * (p * (1 - d)).sum() * 0.7 + 1e-6
        all_d = (design.table["standard_premium"].to_numpy() * d).sum() / design.table[
            "standard_premium"
        ].sum()
        assert abs((p * d).sum() / p.sum() - all_d) <= 0.01 + 1e-9
    assert (np.diff(d) <= 0.05 + 1e-9).all()
    assert (np.diff(d) >= 0).all()
    assert held.filter("binding").height >= 1


def test_the_grid_is_complete(book):
    _, seen = book
    lines = lines_of(ScheduleLimits(), seen, "health_group", GROUPS)
    found = admissible(4, 0.05, 0.2, lines)
    brute = [
        (a, b, c, d) for a in range(5) for b in range(a, 5) for c in range(b, 5) for d in range(c, 5)
    ]  # fmt: skip
    assert {tuple(np.round(row / 0.05).astype(int)) for row in found} == set(brute)


def test_the_frontier_is_not_dominated_and_holds_the_choice(book):
    effect, seen = book
    answer = PriceResponse(
        intercept=1.4, sensitivity=4.0, groups={g: 0.1 * i for i, g in enumerate(GROUPS)}
    )
    for objective in ("fit", "margin"):
        design = design_within(effect, seen, objective=objective, response=answer, expenses=0.2)
        rest = design.frames["frontier"].filter(~pl.col("chosen"))
        assert rest["mean_discount"].is_sorted()
        assert rest["margin"].is_sorted(descending=True)
        assert design.frames["frontier"]["chosen"].sum() == 1
    assert design.facts["margin"] == pytest.approx(design.frames["frontier"]["margin"].max())


def test_splitting_rows_and_their_order_change_nothing(book):
    effect, seen = book
    other = Experience.collect(
        seen.cells.select("health_group", "sex", "exposure", "claims", "amount", "standard_premium").sample(fraction=1.0, shuffle=True, seed=1),
        ["sex", "health_group"], amount="amount", sums=["standard_premium"],
    )  # fmt: skip
    limits = ScheduleLimits(mean_discount=0.07, fairness={"sex": 0.02})
    one, two = design_within(effect, seen, limits), design_within(effect, other, limits)
    assert one.discounts == two.discounts
    np.testing.assert_allclose(
        one.table["unrounded_discount"], two.table["unrounded_discount"], atol=1e-9
    )


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (ScheduleLimits(loss_ratio=(0.0, 0.3)), r"loss_ratio_most \(G"),
        (ScheduleLimits(service_share=0.2, service_cost=5_000.0), "service_cost"),
        (ScheduleLimits(mean_discount=0.05, loss_ratio=(0.99, 1.2)), "contradict"),
        (ScheduleLimits(loss_ratio=(0.66, 0.7), step=0.2), "holds every limit"),
        (ScheduleLimits(step=0.0005), "too many to look at"),
        (ScheduleLimits(fairness={"sx": 0.01}), "sx"),
    ],
)
def test_what_cannot_be_held_is_said_by_name(book, limits, said):
    effect, seen = book
    with pytest.raises(InputError, match=said):
        design_within(effect, seen, limits)


@pytest.mark.parametrize(
    "wrong",
    [{"objective": "profit"}, {"expenses": 1.0}, {"response": None, "group": "grp"}],
)
def test_wrong_options(book, wrong):
    with pytest.raises(InputError):
        design_within(*book, **wrong)
    with pytest.raises(InputError, match="says nothing of 'G4'"):
        design_within(
            *book,
            response=PriceResponse(intercept=1.0, sensitivity=1.0),
            present={"G0": 0, "G1": 0, "G2": 0, "G3": 0},
        )


def test_it_speaks_both_languages_and_comes_back_from_disk(book, tmp_path):
    design = design_within(*book, ScheduleLimits(mean_discount=0.06, fairness={"sex": 0.01}))
    for lang in ("en", "zh"):
        assert design.finding(lang)
        assert design.figure(lang).data
    design.save(tmp_path / "design")
    assert type(design).load(tmp_path / "design").discounts == design.discounts


@pytest.mark.parametrize(
    ("effect", "lower"), [(0.03, 0.01), (0.03, -0.01), (-0.02, -0.05), (0.5, 0.2)]
)
def test_the_parts_of_a_discount_add_up_to_it(book, effect, lower):
    schedule = design_schedule(book[0], book[1])
    answer = PriceResponse.elastic(retention=0.85, elasticity=-0.75)
    split = split_discount(
        schedule, effect=effect, effect_lower=lower, response=answer, expenses=0.2
    )
    t = split.table
    np.testing.assert_allclose(sum(t[name].to_numpy() for name in PARTS), t["discount"], atol=1e-12)
    assert t["discount"].to_list()[:-1] == list(schedule.discounts.values())
    assert t["from_effect"][-1] == 0 if lower <= 0 else t["from_effect"][-1] > 0
    assert (t["from_effect"] <= max(effect, 0) + 1e-12).all()
    assert t.row(0, named=True)["from_effect"] == 0  # nobody is discounted in the standard group
    for lang in ("en", "zh"):
        assert split.finding(lang)
        assert split.figure(lang).data
    with pytest.raises(InputError):
        split_discount(schedule, effect=0.03, effect_lower=0.04)
