"""Scales, projections and designs under attack: two long runs, one draw, lost premium, odd limits."""

import warnings
from datetime import date

import numpy as np
import polars as pl
import pytest

from pricing.bonus_malus.chain import shares_by_year, stationary_shares
from pricing.bonus_malus.mixing import gamma_mixing, normal_mixing
from pricing.bonus_malus.risk import count_risk, score_risk
from pricing.bonus_malus.scale import Scale, count_scale, target_scale
from pricing.errors import InputError
from pricing.experience.cells import Experience
from pricing.health.book_now import in_force_book
from pricing.health.design import design_within
from pricing.health.effect import group_effect
from pricing.health.gaming import Gaming
from pricing.health.groups_later import groups_later
from pricing.health.limits import ScheduleLimits
from pricing.health.moves import observed_transitions
from pricing.health.new_business import NewBusiness
from pricing.health.outlook import Outlook
from pricing.health.price_response import PriceResponse
from pricing.health.projection import project_book
from pricing.health.rate_plan import RatePlan
from pricing.health.stress import stress_book
from pricing.health.value_effect import value_effect

GROUPS = ["G0", "G1", "G2"]
BOOK = pl.DataFrame(
    {
        "health_group": GROUPS, "members": [50.0, 50.0, 0.0], "standard_premium": [50.0, 50.0, 0.0],
        "claims_cost": [35.0, 30.0, 0.0],
    }
)  # fmt: skip


def outlook(**more):
    base = {
        "discounts": {"G0": 0.0, "G1": 0.1, "G2": 0.2},
        "relativities": {"G0": 1.0, "G1": 0.9, "G2": 0.8},
        "moves": np.array([[0.7, 0.2, 0.1], [0.2, 0.6, 0.2], [0.1, 0.2, 0.7]]),
        "response": PriceResponse.elastic(retention=0.9, elasticity=-0.5),
    }
    return Outlook(**{**base, **more})


# -- bonus-malus ------------------------------------------------------------------------------------


def test_two_closed_sets_have_no_long_run_whatever_rounding_says():
    """Rounding solved 338 of 500 such chains for an arbitrary mixture of their two long runs."""
    rng = np.random.default_rng(0)
    for _ in range(60):
        n, m = rng.integers(2, 5, 2)
        p = np.zeros((n + m + 1, n + m + 1))
        p[:n, :n] = rng.dirichlet(np.ones(n), n)
        p[n:-1, n:-1] = rng.dirichlet(np.ones(m), m)
        p[-1] = rng.dirichlet(np.ones(n + m + 1))
        p /= p.sum(axis=1, keepdims=True)
        with pytest.raises(InputError, match="more than one closed set"):
            stationary_shares(p)
        with pytest.raises(InputError, match="more than one closed set"):  # one of several kinds
            stationary_shares(np.stack([np.full(p.shape, 1 / len(p)), p]))
    assert stationary_shares(np.array([[0.5, 0.5], [0, 1.0]])).tolist() == [0, 1]
    assert stationary_shares(np.array([[0, 1.0], [1, 0]])).tolist() == [0.5, 0.5]


def test_a_score_too_sharp_for_its_points_is_said():
    scale, shares = target_scale(["G0", "G1"]), {"G0": 0.3, "G1": 0.7}
    for slope, reliability in ((0.1, 1.0), (0.1, 0.999), (20.0, 0.5)):
        with pytest.raises(InputError, match="points of latent health miss"):
            score_risk(scale, shares, slope=slope, reliability=reliability)
    risk = score_risk(scale, shares, slope=0.1, reliability=0.9)
    np.testing.assert_allclose(risk.weight @ risk.outcomes, [0.3, 0.7], atol=1e-6)


@pytest.mark.parametrize("shape", [99.0, 101.0, 1e3, 1e6])
def test_nearly_alike_risks_have_a_mixing(shape):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mixing = gamma_mixing(shape)
    assert mixing.mean == pytest.approx(1.0)
    assert mixing.variance * shape == pytest.approx(1.0, rel=1e-6)
    third = np.dot((np.array(mixing.points) - 1) ** 3, mixing.weights)
    assert third == pytest.approx(2 / shape**2, rel=1e-3)


@pytest.mark.parametrize("wrong", [
    lambda: stationary_shares("x"),
    lambda: shares_by_year(np.array([np.nan, 1.0]), np.eye(2), 2),
    lambda: shares_by_year(np.array([1.0, 0.0, 0.0]), np.eye(2), 2),
    lambda: count_scale("6", malus=1, free_years=2, free_level=3),
    lambda: count_scale(6, malus=None),
    lambda: target_scale(["a", "b"], values=["x", 1]),
    lambda: Scale(levels=("a", "b"), outcomes=("x",), follows=((1.5,), (0,)), level_of=(0, 1), values=(1.0, 2.0)),
    lambda: Scale(levels=("a", "b", "c"), outcomes=("x",), follows=((1,), (0,)), level_of=(0, 1), values=(1.0, 2.0, 3.0)).start("c"),
    lambda: count_scale(6, malus=1).start(None),
    lambda: count_risk(count_scale(6, malus=1), gamma_mixing(1.0), rate="x"),
    lambda: count_risk(count_scale(6, malus=1), gamma_mixing(1.0), classes={"a": 0.1}),
    lambda: score_risk(target_scale(["a", "b"]), {"a": "x", "b": 0.5}, slope=0.1, reliability=0.5),
    lambda: score_risk(target_scale(["a", "b"]), {"a": 0.5, "b": 0.5}, slope="x", reliability=0.5),
    lambda: normal_mixing(mean="x"),
])  # fmt: skip
def test_what_is_no_scale_or_risk_is_refused(wrong):
    with pytest.raises(InputError):
        wrong()


# -- projection -------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [
    {}, {"new_business": NewBusiness(share=0.1, growth=0.2), "exits": 0.03},
    {"response": PriceResponse.elastic(retention=1 - 1e-12, elasticity=0.0)},
])  # fmt: skip
def test_members_are_kept_from_year_to_year_from_an_empty_group_on(more):
    t = project_book(BOOK, outlook(**more), years=6, draws=0).table
    for a, b in zip(
        t.head(-1).iter_rows(named=True), t.tail(-1).iter_rows(named=True), strict=True
    ):
        kept = a["members"] - a["lapsed"] - a["other_exits"] + b["new_members"]
        assert kept == pytest.approx(b["members"], rel=1e-12)


def test_one_draw_is_no_band_and_few_are_said():
    with pytest.raises(InputError, match="one draw has no band"):
        project_book(BOOK, outlook(trend_error=0.02), draws=1)
    few = project_book(BOOK, outlook(trend_error=0.02), years=2, draws=5)
    assert any("too few for a band of 90%" in note for note in few.basis.notes)


def test_an_empty_book_is_said_and_not_a_loss_ratio():
    with pytest.raises(InputError, match="nobody is left in year"):
        project_book(BOOK, outlook(exits=0.9999999), years=10, draws=0)


@pytest.mark.parametrize(("change", "said"), [
    ({"standard_premium": None}, "1 lack standard_premium"),
    ({"standard_premium": -50.0}, "1 have a standard premium that is not above zero"),
    ({"end": None}, "1 lack end"),
    ({"health_group": None}, "1 lack health_group"),
])  # fmt: skip
def test_a_policy_in_force_is_not_half_counted(change, said):
    row = {
        "start": date(2025, 1, 1), "end": date(2026, 1, 1), "health_group": "G0", "standard_premium": 9.0,
    }  # fmt: skip
    rows = pl.DataFrame([row, row | change])
    with pytest.raises(InputError, match=said):
        in_force_book(rows, on=date(2025, 6, 1), loss_ratio=0.7)


def test_moves_follow_the_order_of_the_columns_categories():
    """In the alphabet silver follows platinum, so that a step up counted as one down."""
    order = ["bronze", "silver", "gold", "platinum"]
    seen = ["bronze", "silver", "silver", "gold", "gold", "platinum"]
    rows = pl.DataFrame({"policy_id": [1, 1, 2, 2, 3, 3], "policy_year": [0, 1] * 3}).with_columns(
        health_group=pl.Series(seen, dtype=pl.Enum(order))
    )
    found = observed_transitions(rows)
    assert list(found.groups) == order
    assert (found.facts["up"], found.facts["down"]) == (1.0, 0.0)


# -- design -----------------------------------------------------------------------------------------


def seen(premium_b=2.0):
    rows = pl.DataFrame(
        {
            "health_group": ["G0", "G1"] * 40, "exposure": 1.0, "claims": [1, 1] * 40,
            "amount": [1.0, 0.9] * 40, "standard_premium": [2.0] * 40 + [premium_b] * 40,
            "age_band": ["a"] * 40 + ["b"] * 40,
        }
    )  # fmt: skip
    return Experience.collect(
        rows, ["health_group", "age_band"], amount="amount", sums=["standard_premium"]
    )


def test_limits_by_the_group_itself_and_services_without_premium_are_refused():
    book = seen()
    effect = group_effect(book, "1")[0]
    for limits in (
        ScheduleLimits(fairness={"health_group": 0.01}),
        ScheduleLimits(service_share=0.2, service_cost=0.1, service_by="health_group"),
    ):
        with pytest.raises(InputError, match="is what the discount is made by"):
            design_within(effect, book, limits)
    empty = seen(0.0)
    by_age = ScheduleLimits(service_share=0.2, service_cost=0.1, service_by="age_band")
    with pytest.raises(InputError, match="where there is no standard premium"):
        design_within(group_effect(empty, "1")[0], empty, by_age)


@pytest.mark.parametrize("wrong", [
    lambda: ScheduleLimits(cap="x"),
    lambda: ScheduleLimits(loss_ratio=(0.5, 0.6, 0.7)),
    lambda: ScheduleLimits(loss_ratio=("a", 0.6)),
    lambda: ScheduleLimits(fairness={"age_band": "x"}),
    lambda: PriceResponse(intercept="x", sensitivity=5.0),
    lambda: PriceResponse(intercept=1.0, sensitivity=float("nan")),
    lambda: PriceResponse(intercept=1.0, sensitivity=-5.0),
    lambda: RatePlan(target_loss_ratio="x"),
    lambda: RatePlan(clause_cap="x"),
    lambda: project_book(BOOK, None),
    lambda: project_book(BOOK.lazy(), outlook()),
    lambda: project_book(BOOK, outlook(), level="x"),
    lambda: design_within(None, seen()),
    lambda: in_force_book(pl.DataFrame(), on="2025-06-01", loss_ratio=0.7),
])  # fmt: skip
def test_what_is_no_input_is_refused(wrong):
    with pytest.raises(InputError):
        wrong()


# -- stress, later groups, curve --------------------------------------------------------------------


def curve(seed=1):
    rng = np.random.default_rng(seed)
    v = rng.integers(0, 51, 1_000) * 20.0
    rows = pl.DataFrame(
        {"health_value": v, "exposure": 1.0, "claims": rng.poisson(np.exp(-v / 1e3))}
    )
    return Experience.collect(rows, ["health_value"])


def groups_of(*names):
    rows = pl.concat(
        pl.DataFrame({"health_group": [g] * 20, "exposure": 1.0, "claims": [1, 2] * 10})
        for g in names
    )
    return Experience.collect(rows, ["health_group"])


@pytest.mark.parametrize("draws", [1, -1, "x", 10**9])
def test_a_stress_asks_for_draws_as_a_projection_does(draws):
    with pytest.raises(InputError, match="draw"):
        stress_book(BOOK, outlook(trend_error=0.02), years=2, top=1, draws=draws)


@pytest.mark.parametrize("wrong", [
    lambda: stress_book(BOOK, outlook(), years=2, top=1, draws=0, trend_plus="x"),
    lambda: Gaming(share=0.7, top=1.5),
    lambda: Gaming(share="x"),
    lambda: value_effect(curve(), "1", freedom="x"),
    lambda: value_effect(curve(), "1", points=0),
    lambda: value_effect(curve(), "1", points="x"),
    lambda: value_effect(curve(), "1", reference="x"),
    lambda: value_effect(curve(), "1", reference=float("nan")),  # printed a discount of NaN
    lambda: value_effect(curve(), "1", reference=1e6),  # and one of minus infinity
    lambda: groups_later(groups_of("G0", "G1", "G2"), groups_of("G0", "G1"), "1", order=GROUPS),
    lambda: groups_later(groups_of("G0", "G1"), groups_of("G0", "G1", "G2"), "1"),
    lambda: groups_later(groups_of("G0", "G1"), groups_of("G0", "G1"), "1", order=["G0", "X"]),
])  # fmt: skip
def test_no_stress_curve_or_later_group_of_nothing(wrong):
    with pytest.raises(InputError):
        wrong()
