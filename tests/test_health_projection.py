"""The projected book: accounts that close, one year by hand, bands, stresses, a book of known truth."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from math import isclose, log

import numpy as np
import polars as pl
import pytest
from scipy.special import expit
from scipy.stats import beta, norm

from pricing.bonus_malus.risk import band_costs
from pricing.bonus_malus.scale import target_scale
from pricing.data.book import simulate, true_parameters
from pricing.errors import InputError
from pricing.health.book_now import in_force_book, start_book
from pricing.health.break_even import break_even
from pricing.health.course import claims_index
from pricing.health.effect import GroupEffect
from pricing.health.gaming import Gaming
from pricing.health.latent_health import LatentHealth, programme_moves
from pricing.health.moves import observed_transitions
from pricing.health.new_business import NewBusiness
from pricing.health.outlook import Outlook, relativities_of
from pricing.health.price_response import PriceResponse
from pricing.health.projection import project_book
from pricing.health.rate_plan import RatePlan
from pricing.health.stress import stress_book
from pricing.result.words import LANGUAGES

GROUPS = ["G0", "G1", "G2", "G3", "G4"]
SHARES = np.array([0.10, 0.20, 0.30, 0.25, 0.15])
DISCOUNTS = dict(zip(GROUPS, (0.0, 0.05, 0.10, 0.15, 0.20), strict=True))
RELATIVITIES = dict(zip(GROUPS, (1.0, 0.96, 0.92, 0.88, 0.84), strict=True))
MOVES = np.array([
    [0.7, 0.3, 0.0, 0.0, 0.0],
    [0.1, 0.6, 0.3, 0.0, 0.0],
    [0.0, 0.1, 0.7, 0.2, 0.0],
    [0.0, 0.0, 0.2, 0.6, 0.2],
    [0.0, 0.0, 0.0, 0.3, 0.7],
])  # fmt: skip
STAYS = PriceResponse(intercept=40.0, sensitivity=0.0)
RENEWS = PriceResponse.elastic(retention=0.88, elasticity=-0.6, latent=-0.1, error=0.2)


def book(premium=1000.0, loss_ratio=0.70, members=10_000.0):
    """Of F5: the standard group's claims are the loss ratio of its standard premium."""
    r = np.array(list(RELATIVITIES.values()))
    return pl.DataFrame({
        "health_group": GROUPS,
        "members": members * SHARES,
        "standard_premium": members * premium * SHARES,
        "claims_cost": members * premium * SHARES * loss_ratio * r,
    })  # fmt: skip


def outlook(**changes):
    given = {
        "discounts": DISCOUNTS, "relativities": RELATIVITIES, "moves": MOVES, "response": RENEWS,
        "relativity_errors": dict(zip(GROUPS, (0, 0.03, 0.03, 0.03, 0.04), strict=True)),
        "new_business": NewBusiness(share=0.12, premium=0.8), "trend": 0.05, "trend_error": 0.01,
        "claims_ageing": 0.04, "premium_ageing": 0.04, "exits": 0.01, "level_error": 0.02,
        "effect": 0.03, "expense_share": 0.2, "expense_member": 10.0,
    }  # fmt: skip
    return Outlook(**(given | changes))


# -- accounts ---------------------------------------------------------------------------------------


def test_without_discount_lapse_and_trend_the_base_comes_back_every_year():
    flat = Outlook(discounts=dict.fromkeys(GROUPS, 0.0), relativities=RELATIVITIES, moves=np.eye(5),
                   response=STAYS, latent=LatentHealth(persistence=1.0))  # fmt: skip
    t = project_book(book(), flat, years=6, draws=0).table
    np.testing.assert_allclose(t["premium_charged"], 1e7, rtol=1e-12)
    np.testing.assert_allclose(t["claims_cost"], book()["claims_cost"].sum(), rtol=1e-12)
    np.testing.assert_allclose(t["members"], 10_000, rtol=1e-12)
    assert t["mean_discount"].abs().max() < 1e-12


def test_the_first_year_is_the_book_with_its_discounts():
    """F5: 10.75 % mean discount, loss ratio 70 to 71.7 %; by group 70.0 70.7 71.6 72.5 73.5."""
    found = project_book(book(), outlook(), years=1, draws=0)
    row = found.table.row(0, named=True)
    assert isclose(row["mean_discount"], 0.1075, rel_tol=1e-12)
    assert isclose(row["loss_ratio"], 0.7 * 0.914 / 0.8925, rel_tol=1e-9)
    by_group = found.frames["groups"]["loss_ratio"].to_numpy()
    np.testing.assert_allclose(100 * by_group, [70.0, 70.7, 71.6, 72.5, 73.5], atol=0.05)
    assert isclose(row["expenses"], 0.2 * row["premium_charged"] + 10 * 10_000, rel_tol=1e-12)
    assert found.frames["flows"].is_empty()


def test_the_second_year_by_hand():
    """Two groups, no latent health: moves, renewal by price, new business, age, trend, rate change."""
    two = pl.DataFrame({"health_group": ["G0", "G1"], "members": [600.0, 400.0],
                        "standard_premium": [60.0, 40.0], "claims_cost": [42.0, 21.0]})  # fmt: skip
    response = PriceResponse(intercept=2.0, sensitivity=4.0, groups={"G1": 0.3})
    one = Outlook(
        discounts={"G0": 0.0, "G1": 0.1}, relativities={"G0": 1.0, "G1": 0.75},
        moves=np.array([[0.8, 0.2], [0.3, 0.7]]), response=response, latent=LatentHealth(classes=1),
        new_business=NewBusiness(share=0.1, premium=0.5, claims=1.2), trend=0.06, premium_ageing=0.03,
        claims_ageing=0.04, exits=0.02, rates=RatePlan(changes=0.05, industry_loss_ratio=0.5),
    )  # fmt: skip
    found = project_book(two, one, years=2, draws=0)
    first, second = found.table.rows(named=True)
    assert isclose(first["loss_ratio"], 63 / 96)
    members, premium, claims, lapsed = np.zeros(2), np.zeros(2), np.zeros(2), 0.0
    rise = {(a, b): 1.05 * 1.03 * (1 - 0.1 * b) / (1 - 0.1 * a) for a in (0, 1) for b in (0, 1)}
    for a, n, p, c in ((0, 600.0, 60.0, 42.0), (1, 400.0, 40.0, 28.0)):
        for b, share in enumerate(one.moves[a]):
            renew = expit(2.0 - 4.0 * log(rise[a, b]) + 0.3 * b)
            kept = 0.98 * share * renew
            members[b] += n * kept
            premium[b] += p * kept * 1.03
            claims[b] += c * kept * 1.04
            lapsed += 0.98 * n * share * (1 - renew)
    members[0] += 100
    premium[0] += 100 * 0.1 * 0.5
    claims[0] += 100 * 0.1 * 0.5 * 0.7 * 1.2
    assert isclose(first["lapsed"], lapsed, rel_tol=1e-12)
    assert isclose(first["other_exits"], 20.0, rel_tol=1e-12)
    assert isclose(second["members"], members.sum(), rel_tol=1e-12)
    assert isclose(second["new_members"], 100.0, rel_tol=1e-12)
    charged = 1.05 * premium @ [1.0, 0.9]
    assert isclose(second["premium_charged"], charged, rel_tol=1e-12)
    assert isclose(second["claims_cost"], 1.06 * claims @ [1.0, 0.75], rel_tol=1e-12)
    assert isclose(second["rate_change"], 0.05)
    changes = found.frames["premium_changes"].row(0, named=True)
    weight = {k: (600, 400)[k[0]] * one.moves[k] for k in rise}
    mean = sum(weight[k] * (rise[k] - 1) for k in rise) / 1000
    assert isclose(changes["mean_change"], mean, rel_tol=1e-12)
    assert isclose(changes["change_p95"], rise[1, 0] - 1, rel_tol=1e-12)  # 12 % lose the discount
    assert isclose(changes["discount_lost_p95"], 0.1, rel_tol=1e-9)
    assert isclose(changes["change_p5"], rise[0, 1] - 1, rel_tol=1e-12)


def test_members_are_conserved_and_shares_add_to_one():
    found = project_book(book(), outlook(), years=8, draws=20)
    t = found.table
    end = (t["members"] - t["lapsed"] - t["other_exits"])[:-1].to_numpy()
    np.testing.assert_allclose(end + t["new_members"][1:].to_numpy(), t["members"][1:], rtol=1e-12)
    shares = found.frames["groups"].group_by("projection_year", maintain_order=True).agg(
        pl.col("group_share", "members", "premium_charged", "claims_cost").sum()
    )  # fmt: skip
    np.testing.assert_allclose(shares["group_share"], 1.0, rtol=1e-12)
    for name in ("members", "premium_charged", "claims_cost"):
        np.testing.assert_allclose(shares[name], t[name], rtol=1e-12)
    flows = found.frames["flows"]
    gone = flows.filter(pl.col("from_group") != "new_business").group_by(
        "projection_year", maintain_order=True
    )
    np.testing.assert_allclose(
        gone.agg(pl.col("members").sum())["members"], t["members"][:-1], rtol=1e-12
    )
    come = flows.filter(~pl.col("to_group").is_in(["lapse", "other_exit"])).group_by(
        "projection_year", maintain_order=True
    )
    np.testing.assert_allclose(
        come.agg(pl.col("members").sum())["members"], t["members"][1:], rtol=1e-12
    )


def test_order_units_segments_and_split_rows_change_nothing():
    one = outlook()
    whole = project_book(book(), one, years=4, draws=10).table
    shuffled = book().sample(fraction=1.0, shuffle=True, seed=3)
    halved = pl.concat([book().with_columns(pl.col("members", "standard_premium", "claims_cost") / 2)] * 2)  # fmt: skip
    for other in (shuffled, halved):
        again = project_book(other, one, years=4, draws=10).table
        np.testing.assert_allclose(again.to_numpy(), whole.to_numpy(), rtol=1e-9)
    double = project_book(
        book().with_columns(pl.col("members", "standard_premium", "claims_cost") * 2), one, years=4, draws=10
    ).table  # fmt: skip
    np.testing.assert_allclose(double["loss_ratio_upper"], whole["loss_ratio_upper"], rtol=1e-9)
    np.testing.assert_allclose(double["claims_cost"], 2 * whole["claims_cost"], rtol=1e-9)
    parts = pl.concat([
        book().with_columns(pl.col("members", "standard_premium", "claims_cost") * w, channel=pl.lit(c))
        for w, c in ((0.3, "agent"), (0.7, "app"))
    ])  # fmt: skip
    split = project_book(parts, one, years=4, segment="channel", draws=10)
    np.testing.assert_allclose(split.table.to_numpy(), whole.to_numpy(), rtol=1e-9)
    sums = split.frames["by_segment"].group_by("projection_year", maintain_order=True).agg(
        pl.col("members", "claims_cost").sum()
    )  # fmt: skip
    np.testing.assert_allclose(sums["claims_cost"], whole["claims_cost"], rtol=1e-9)


def test_segments_keep_their_own_loss_ratio():
    parts = pl.concat([
        book(loss_ratio=ratio).with_columns(channel=pl.lit(c)) for ratio, c in ((0.6, "a"), (0.9, "b"))
    ])  # fmt: skip
    t = project_book(parts, outlook(), years=1, segment="channel", draws=0).frames["by_segment"]
    np.testing.assert_allclose(t["loss_ratio"], np.array([0.6, 0.9]) * 0.914 / 0.8925, rtol=1e-9)


# -- bands ------------------------------------------------------------------------------------------


def test_bands_widen_with_the_errors_and_with_the_years():
    calm = outlook(trend_error=0.0, level_error=0.0, relativity_errors={},
                   response=replace(RENEWS, covariance=None))  # fmt: skip
    still = project_book(book(), calm, years=6, draws=50).table
    gap = (still["loss_ratio_upper"] - still["loss_ratio_lower"]).to_numpy()
    assert gap.max() < 1e-12
    small, large = (
        project_book(book(), outlook(trend_error=e), years=6, draws=300).table for e in (0.01, 0.03)
    )
    a, b = ((t["loss_ratio_upper"] - t["loss_ratio_lower"]).to_numpy() for t in (small, large))
    assert (b[1:] > 1.5 * a[1:]).all() or (b[-1] > 2 * a[-1])
    assert (np.diff(b) > 0).all()
    for t in (small, large):
        assert (t["loss_ratio_lower"] <= t["loss_ratio"]).all()
        assert (t["loss_ratio"] <= t["loss_ratio_upper"]).all()


def test_the_band_of_the_trend_is_the_lognormal_one():
    """Trend alone uncertain: year t's loss ratio is (1 + τ)^(t−1) times the first's."""
    one = Outlook(discounts={"G0": 0.0}, relativities={"G0": 1.0}, moves=np.eye(1), response=STAYS,
                  trend=0.05, trend_error=0.01)  # fmt: skip
    frame = pl.DataFrame({"health_group": ["G0"], "members": [1.0], "standard_premium": [1.0],
                          "claims_cost": [0.7]})  # fmt: skip
    t = project_book(frame, one, years=5, draws=8000, level=0.9).table
    for year, upper in zip(range(5), t["loss_ratio_upper"], strict=True):
        assert isclose(upper, 0.7 * (1.05 + 1.6449 * 0.01) ** year, rel_tol=2e-3)


def test_the_seed_repeats_and_the_estimate_does_not_hang_on_it():
    a, b, c = (project_book(book(), outlook(), years=3, draws=40, seed=s) for s in (1, 1, 2))
    assert a.table.equals(b.table)
    assert a.basis.fingerprint == b.basis.fingerprint != c.basis.fingerprint
    assert a.table["loss_ratio"].equals(c.table["loss_ratio"])
    assert not a.table["loss_ratio_upper"].equals(c.table["loss_ratio_upper"])


def test_the_estimate_does_not_hang_on_draws_of_the_moves():
    moves = observed_transitions(renewals(np.random.default_rng(5), 200, 3), groups=GROUPS)
    one = outlook(moves=moves)
    alone, few, many = (
        project_book(book(), one, years=4, draws=d, seed=d).table for d in (0, 7, 60)
    )
    for name in ("members", "loss_ratio", "premium_charged", "mean_discount"):
        np.testing.assert_allclose(few[name], alone[name], rtol=1e-12)
        np.testing.assert_allclose(many[name], alone[name], rtol=1e-12)
    assert (many["loss_ratio_upper"] > many["loss_ratio"]).all()
    stressed = stress_book(book(), one, years=4, draws=7).table.filter(scenario="base")
    assert isclose(stressed["members"].item(), alone["members"][-1], rel_tol=1e-12)


# -- latent health ----------------------------------------------------------------------------------


@pytest.mark.parametrize("persistence", [0.0, 0.5, 0.8, 1.0])
def test_classes_keep_mean_variance_and_correlation(persistence):
    latent = LatentHealth(classes=9, persistence=persistence)
    z, w, d = latent.points, latent.weights, latent.drift
    np.testing.assert_allclose(w @ d, w, atol=1e-14)
    assert abs(w @ z) < 1e-14
    assert isclose(w @ z**2, 1.0, rel_tol=1e-12)
    np.testing.assert_allclose(d @ z, persistence * z, atol=1e-12)


def test_bands_hold_their_shares_and_order_health():
    latent = LatentHealth(classes=15, reliability=0.5)
    bands = latent.bands(SHARES)
    np.testing.assert_allclose(latent.weights @ bands, SHARES, rtol=1e-9)
    np.testing.assert_allclose(bands.sum(axis=1), 1.0, rtol=1e-12)
    mean = latent.points @ latent.within(SHARES)
    assert (np.diff(mean) > 0).all()
    cost = np.exp(-0.1 * latent.points) @ latent.within(SHARES)
    closed = band_costs(SHARES, slope=0.1, reliability=0.5)
    np.testing.assert_allclose(cost / (SHARES @ cost), closed, rtol=3e-3)
    empty = latent.within(np.array([1.0, 0.0]))
    np.testing.assert_allclose(empty, np.tile(latent.weights[:, None], 2), atol=1e-12)


def test_moves_by_class_add_up_to_the_moves_seen():
    latent = LatentHealth()
    wide = latent.moves(MOVES, SHARES)
    np.testing.assert_allclose(wide.sum(axis=-1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(
        np.einsum("kg,kgh->gh", latent.within(SHARES), wide), MOVES, atol=1e-8
    )
    assert (np.diff(wide[:, 2, 3]) > 0).all()  # the healthy rise
    assert (np.diff(wide[:, 2, 1]) < 0).all()


def test_the_slope_of_claims_is_found_and_the_relativities_are_met():
    latent = LatentHealth(classes=15)
    within = latent.within(SHARES)
    true = np.exp(-0.13 * latent.points) @ within
    slope, index = claims_index((true / true[0])[None], within, SHARES, latent.points)
    assert isclose(slope[0], 0.13, rel_tol=1e-9)
    np.testing.assert_allclose(
        index[0, :, 0] / index[0, :, 4], 1.0, rtol=1e-9
    )  # all of it goes with the life
    slope, index = claims_index(
        np.array([[1.0, 1.1, 0.9, 0.95, 0.7]]), within, SHARES, latent.points
    )
    np.testing.assert_allclose(
        np.einsum("dkg,kg->dg", index, within)[0], [1.0, 1.1, 0.9, 0.95, 0.7], rtol=1e-12
    )


def test_when_the_healthy_leave_claims_per_premium_rise():
    flat = {"new_business": NewBusiness(), "trend": 0.0, "claims_ageing": 0.0, "premium_ageing": 0.0,
            "moves": np.eye(5)}  # fmt: skip
    ratio = [
        project_book(
            book(), outlook(**flat, response=replace(RENEWS, latent=latent)), years=5, draws=0
        ).table["loss_ratio"][-1]
        for latent in (-1.0, 0.0, 1.0)
    ]
    assert ratio[0] > ratio[1] > ratio[2]


def test_health_drifts_back_to_the_mean():
    """Groups frozen, health forgotten: what remains between the groups is what is not health."""
    one = outlook(moves=np.eye(5), response=STAYS, new_business=NewBusiness(), exits=0.0,
                  latent=LatentHealth(persistence=0.0, reliability=0.9))  # fmt: skip
    found = project_book(book(), one, years=2, draws=0)
    first, second = (
        found.frames["groups"].filter(projection_year=y).select(pl.col("claims_cost") / pl.col("members"))
        for y in (1, 2)
    )  # fmt: skip
    spread = [float(np.ptp(np.log(f.to_series().to_numpy()))) for f in (first, second)]
    assert spread[1] < 0.2 * spread[0]


def test_moves_from_the_programmes_rules():
    latent = LatentHealth()
    scale = target_scale(GROUPS)
    moves = programme_moves(scale, latent, SHARES)
    assert moves.shape == (9, 5, 5)
    found = project_book(book(), outlook(moves=moves), years=3, draws=0)
    assert found.table.height == 3
    down = moves[:, 1, 0]  # from G1 down: target G0
    assert (np.diff(down) < 0).all()
    assert isclose(latent.weights @ down, SHARES[0], rel_tol=1e-9)
    with pytest.raises(InputError, match="targets of the scale must be its levels"):
        programme_moves(scale.with_freeze(), latent, SHARES)


# -- moves observed ---------------------------------------------------------------------------------


def renewals(rng, policies=3000, years=4):
    group = np.zeros((policies, years), dtype=int)
    group[:, 0] = rng.choice(5, policies, p=SHARES)
    cumulative = MOVES.cumsum(axis=1)
    for t in range(1, years):
        group[:, t] = (rng.random(policies)[:, None] > cumulative[group[:, t - 1]]).sum(axis=1)
    return pl.DataFrame({
        "policy_id": np.repeat(np.arange(policies), years),
        "policy_year": np.tile(np.arange(years), policies),
        "health_group": [GROUPS[g] for g in group.ravel()],
    })  # fmt: skip


def test_observed_moves_find_the_truth_and_their_intervals_hold_it():
    rows = renewals(np.random.default_rng(5))
    found = observed_transitions(rows.sample(fraction=1.0, shuffle=True, seed=1), groups=GROUPS)
    np.testing.assert_allclose(found.matrix.sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(found.matrix, MOVES, atol=0.03)
    inner = MOVES.ravel() > 0
    t = found.table
    held = (t["lower"].to_numpy() <= MOVES.ravel()) & (MOVES.ravel() <= t["upper"].to_numpy())
    assert held[inner].mean() >= 0.8
    assert t["moves"].sum() == 9000
    row = t.filter(from_group="G2", to_group="G3").row(0, named=True)
    total = t.filter(from_group="G2")["weight"].sum()
    assert isclose(
        row["upper"], beta.ppf(0.975, row["weight"], total - row["weight"]), rel_tol=1e-12
    )


def test_a_policy_that_comes_back_is_no_move():
    rows = pl.DataFrame({"policy_id": ["a", "a", "b", "b"], "policy_year": [0, 2, 0, 1],
                         "health_group": ["G0", "G1", "G0", "G0"]})  # fmt: skip
    assert observed_transitions(rows, prior_moves=0.0).table["moves"].sum() == 1


def test_few_moves_are_pulled_to_the_pattern_of_all():
    rows = pl.concat([
        renewals(np.random.default_rng(1), 500, 2).filter(
            (pl.col("health_group") != "G4").all().over("policy_id")
        ),
        pl.DataFrame({"policy_id": [10_000, 10_000], "policy_year": [0, 1], "health_group": ["G4", "G4"]}),
    ])  # fmt: skip
    free, pulled = (observed_transitions(rows, groups=GROUPS, prior_moves=k) for k in (0.0, 20.0))
    assert free.matrix[4, 4] == 1.0
    assert 0.4 < pulled.matrix[4, 4] < 1.0
    assert isclose(pulled.table.filter(from_group="G4")["credibility"][0], 1 / 21)
    np.testing.assert_allclose(pulled.matrix.sum(axis=1), 1.0, rtol=1e-12)


def test_draws_of_the_moves_have_the_laws_mean_and_spread():
    found = observed_transitions(renewals(np.random.default_rng(5), 400, 3), groups=GROUPS)
    drawn = found.draw(np.random.default_rng(0), 4000)
    np.testing.assert_allclose(drawn.sum(axis=-1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(drawn.mean(axis=0), found.matrix, atol=0.01)
    cell = found.table.filter(from_group="G2", to_group="G2").row(0, named=True)
    assert isclose(np.quantile(drawn[:, 2, 2], 0.975), cell["upper"], rel_tol=0.02)


@pytest.mark.parametrize(("change", "said"), [
    (lambda f: f.drop("policy_year"), "lack"),
    (lambda f: f.with_columns(pl.col("policy_year").cast(pl.Float64)), "whole numbers"),
    (lambda f: f.with_columns(health_group=pl.lit(None, dtype=pl.String)), "without health_group"),
    (lambda f: pl.concat([f, f.head(1)]), "1 rows repeat"),
    (lambda f: f.with_columns(health_group=pl.lit("G9")), "not among the groups"),
    (lambda f: f.filter(policy_year=0), "two years in a row"),
])  # fmt: skip
def test_renewals_that_cannot_be_followed_are_refused(change, said):
    rows = renewals(np.random.default_rng(2), 20, 2)
    with pytest.raises(InputError, match=said):
        observed_transitions(change(rows), groups=GROUPS)


# -- rates, response, gaming ------------------------------------------------------------------------


def test_the_gate_of_each_draw_is_the_regulators():
    """health_value.md C1: (LR, industry): .70/.85 and .84/.94 bar, .80/.85 and .84/.93 do not."""
    cases = [(0.80, 0.85, 1), (0.70, 0.85, 0), (0.84, 0.95, 0), (0.84, 0.94, 0), (0.86, 0.99, 1),
             (0.85, 0.95, 1)]  # fmt: skip
    for ratio, industry, let in cases:
        plan = RatePlan(changes=0.1, industry_loss_ratio=industry)
        got = plan.allowed(np.array([ratio]), year=2, trend=np.zeros(1))
        assert got.tolist() == [0.1 * let], (ratio, industry)
    decrease = RatePlan(changes=-0.05, industry_loss_ratio=0.95)
    assert decrease.allowed(np.array([0.5]), year=2, trend=np.zeros(1)).tolist() == [-0.05]


def test_rates_wait_for_three_years_and_keep_to_the_cap():
    young = RatePlan(changes=0.5, years_since_launch=1.0, clause_cap=0.3)
    got = [young.allowed(np.array([1.2]), year=y, trend=np.zeros(1))[0] for y in (2, 3, 4)]
    assert got == [0.0, 0.3, 0.3]
    aimed = RatePlan(target_loss_ratio=0.7, gate=False)
    got = aimed.allowed(np.array([0.77, 0.5]), year=2, trend=np.array([0.05, 0.05]))
    np.testing.assert_allclose(got, [0.155, 0.0])


def test_a_target_is_met_where_nothing_else_moves():
    one = Outlook(discounts={"G0": 0.0}, relativities={"G0": 1.0}, moves=np.eye(1), response=STAYS,
                  trend=0.06, rates=RatePlan(target_loss_ratio=0.7, gate=False))  # fmt: skip
    frame = pl.DataFrame({"health_group": ["G0"], "members": [1.0], "standard_premium": [1.0],
                          "claims_cost": [0.8]})  # fmt: skip
    t = project_book(frame, one, years=4, draws=0).table
    np.testing.assert_allclose(t["loss_ratio"][1:], 0.7, rtol=1e-12)


@pytest.mark.parametrize("elasticity", [-0.2, -0.6, -1.0])
def test_the_response_has_its_elasticity(elasticity):
    response = PriceResponse.elastic(retention=0.85, elasticity=elasticity)
    h = 1e-6
    low, high = response.renews(np.array([-h, h]))
    assert isclose((log(high) - log(low)) / (2 * h), elasticity, rel_tol=1e-6)


def test_coefficients_are_drawn_with_their_covariance():
    cov = [[0.04, 0.01, 0.0], [0.01, 0.09, 0.0], [0.0, 0.0, 0.01]]
    response = PriceResponse(intercept=2.0, sensitivity=3.0, groups={"G1": 0.5}, covariance=cov)
    drawn = response.draw(["G0", "G1"], np.random.default_rng(1), 20_000)
    assert drawn[0].tolist() == [2.0, 3.0, 0.0, 0.5]
    np.testing.assert_allclose(np.cov(drawn[:, [0, 1, 3]].T), cov, atol=0.003)


def test_a_fitted_model_of_renewal_is_taken_over_with_its_signs():
    names = ["(intercept)", "age", "log_change", "group[G1]"]
    root = np.random.default_rng(4).standard_normal((4, 4)) / 10
    cov = root @ root.T
    got = PriceResponse.fitted(names, [2.0, 0.1, -4.0, 0.3], cov.tolist(), price="log_change",
                               groups={"G1": "group[G1]"}, shift=0.25)  # fmt: skip
    assert (got.intercept, got.sensitivity, got.groups) == (2.25, 4.0, {"G1": 0.3})
    drawn = got.draw(["G0", "G1"], np.random.default_rng(1), 50_000)
    np.testing.assert_allclose(np.cov(drawn[:, 0], -drawn[:, 1])[0, 1], cov[0, 2], atol=5e-4)
    with pytest.raises(InputError, match=r"lacks \['price'\]"):
        PriceResponse.fitted(names, [2.0, 0.1, -4.0, 0.3], cov.tolist(), price="price")


def test_gaming_reaches_its_share_and_costs_premium_only():
    calm = outlook(response=STAYS, new_business=NewBusiness(), exits=0.0)
    base = project_book(book(), calm, years=5, draws=0).table
    gamed = project_book(book(), calm, years=5, draws=0, gaming=Gaming(share=0.7, years=2)).table
    np.testing.assert_allclose(gamed["claims_cost"], base["claims_cost"], rtol=1e-12)
    assert gamed["top_share"][0] == base["top_share"][0]
    np.testing.assert_allclose(
        gamed["top_share"][2:], np.maximum(0.7, base["top_share"][2:]), rtol=1e-9
    )
    assert (gamed["premium_charged"][1:] < base["premium_charged"][1:]).all()
    moving = project_book(
        book(), outlook(), years=5, draws=0, gaming=Gaming(share=0.7, years=2)
    ).table
    np.testing.assert_allclose(moving["top_share"][2:], 0.7, rtol=1e-9)
    top = moving.filter(pl.col("projection_year") > 1)["mean_discount"]
    assert (top > base["mean_discount"][1:]).all()


def test_stresses_against_the_base():
    found = stress_book(book(), outlook(), years=6, draws=60)
    t = {row["scenario"]: row for row in found.table.iter_rows(named=True)}
    assert t["base"]["loss_ratio_change"] == t["base"]["margin_change"] == 0.0
    for name in ("gaming", "effect_zero", "trend_plus", "combined"):
        assert t[name]["loss_ratio_change_lower"] > 0, name
        assert t[name]["margin_change"] < 0, name
    ratio = t["trend_plus"]["loss_ratio"] / t["base"]["loss_ratio"]
    assert isclose(ratio, (1.07 / 1.05) ** 5, rel_tol=1e-9)
    assert t["combined"]["loss_ratio"] > max(t[n]["loss_ratio"] for n in ("gaming", "trend_plus"))
    lone = project_book(book(), outlook(), years=6, draws=60)
    assert isclose(lone.table["loss_ratio"][-1], t["base"]["loss_ratio"], rel_tol=1e-12)
    assert isclose(lone.table["loss_ratio_upper"][-1], t["base"]["loss_ratio_upper"], rel_tol=1e-12)


def test_without_effect_the_discounted_claims_rise_by_what_it_was():
    one = outlook(response=STAYS, new_business=NewBusiness(), exits=0.0, moves=np.eye(5))
    base, gone = (
        project_book(book(), replace(one, effect_lasting=x), years=2, draws=0).frames["groups"]
        for x in (1.0, 0.0)
    )
    ratio = (gone["claims_cost"] / base["claims_cost"]).to_numpy()
    np.testing.assert_allclose(ratio[:6], 1.0, rtol=1e-12)
    np.testing.assert_allclose(ratio[6:], 1 / 0.97, rtol=1e-12)


# -- break-even -------------------------------------------------------------------------------------


def test_the_feasibility_figures():
    """health_value.md F5."""
    shares = dict(zip(GROUPS, SHARES.tolist(), strict=True))
    found = break_even(shares, DISCOUNTS, relativities=RELATIVITIES, loss_ratio=0.70)
    facts = found.facts
    assert round(100 * facts["mean_discount"], 2) == 10.75
    assert round(facts["base_factor"], 4) == 1.1204
    assert round(100 * facts["margin_fall"], 1) == 15.4
    assert round(facts["mean_relativity"], 3) == 0.914
    assert round(100 * facts["loss_ratio_after"], 1) == 71.7
    assert [round(100 * x, 1) for x in found.table["loss_ratio"]] == [70.0, 70.7, 71.6, 72.5, 73.5]


# -- known truth ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    folder = simulate(tmp_path_factory.mktemp("book") / "book", policies=12_000, seed=11)
    return folder, true_parameters(folder)["parameters"]


def test_a_cohort_of_a_simulated_book_is_foreseen(simulated):
    """In force in policy year 2, issued to 2020; two years on: members, groups, discount."""
    folder, truth = simulated
    rows = pl.read_parquet(folder / "renewals").join(
        pl.read_parquet(folder / "policies").select("policy_id", issued="start"), on="policy_id"
    ).filter(pl.col("issued") < pl.date(2021, 1, 1))  # fmt: skip
    at = {year: rows.filter(policy_year=year) for year in (2, 3, 4)}
    amount = pl.read_parquet(folder / "truth").filter(policy_year=2)
    now = (
        at[2].join(amount, on=["policy_id", "policy_year"]).group_by("health_group", maintain_order=True)
        .agg(members=pl.len(), standard_premium=pl.col("standard_premium").sum(),
             claims_cost=pl.col("expected_amount").sum())
    )  # fmt: skip
    moves = observed_transitions(rows.filter(pl.col("policy_year").is_between(2, 4)), groups=GROUPS)
    grown = at[3].join(at[2], on="policy_id", suffix="_now")
    ageing = float((grown["standard_premium"] / grown["standard_premium_now"]).mean() - 1)
    response = PriceResponse(
        intercept=truth["renew_intercept"], sensitivity=-truth["renew_price"], latent=truth["renew_latent"]
    )  # fmt: skip
    one = Outlook(
        discounts=dict(zip(GROUPS, truth["discounts"], strict=True)), relativities=RELATIVITIES,
        moves=moves, response=response, premium_ageing=ageing, claims_ageing=ageing,
        exits=truth["cancellation_rate"] + truth["death_rate"],
    )  # fmt: skip
    found = project_book(now, one, years=3, draws=0)
    seen = [at[y].height for y in (2, 3, 4)]
    np.testing.assert_allclose(found.table["members"], seen, rtol=0.02)
    # a ratchet remembers: who has just risen is still rising, which moves of one year do not know
    for year, near in ((3, 0.02), (4, 0.04)):
        share = dict(at[year]["health_group"].value_counts(normalize=True).iter_rows())
        projected = found.frames["groups"].filter(projection_year=year - 1)
        for group, value in projected.select("health_group", "group_share").iter_rows():
            assert abs(value - share.get(group, 0.0)) < near, (year, group)
        given = 1 - at[year]["premium"].sum() / at[year]["standard_premium"].sum()
        assert abs(found.table["mean_discount"][year - 2] - given) < near / 5


def test_lives_one_by_one_make_the_projection():
    """Known truth: latent health, score, ratchet, lapse of the healthy; 300,000 lives, five years."""
    rng = np.random.default_rng(3)
    n, slope, phi, rho = 300_000, 0.3, 0.8, 0.5
    edges = np.cumsum(SHARES)[:-1]
    cuts = norm.ppf(edges)
    discount = np.array(list(DISCOUNTS.values()))
    z = rng.standard_normal(n)

    def target():
        return np.searchsorted(cuts, np.sqrt(rho) * z + np.sqrt(1 - rho) * rng.standard_normal(n))

    group = target()
    alive = np.ones(n, dtype=bool)
    claims0 = np.exp(-slope * z)
    seen = []
    for _ in range(5):
        cost, premium = np.exp(-slope * z)[alive], (1 - discount[group])[alive]
        top = np.isin(group[alive], (3, 4)).mean()
        seen.append((alive.sum(), 0.7 * cost.sum() / claims0.mean() / premium.sum(), top))
        after = group + np.clip(target() - group, -1, 1)
        z = phi * z + np.sqrt(1 - phi**2) * rng.standard_normal(n)
        change = np.log((1 - discount[after]) / (1 - discount[group]))
        alive &= rng.random(n) < expit(1.5 - 5.0 * change - 0.4 * z)
        group = after
    r = band_costs(SHARES, slope=slope, reliability=rho)
    latent = LatentHealth(classes=15, persistence=phi, reliability=rho)
    frame = pl.DataFrame({"health_group": GROUPS, "members": n * SHARES,
                          "standard_premium": n * SHARES, "claims_cost": 0.7 * n * SHARES})  # fmt: skip
    one = Outlook(
        discounts=DISCOUNTS, relativities=dict(zip(GROUPS, (r / r[0]).tolist(), strict=True)),
        moves=programme_moves(target_scale(GROUPS), latent, SHARES), latent=latent,
        response=PriceResponse(intercept=1.5, sensitivity=5.0, latent=-0.4),
    )  # fmt: skip
    t = project_book(frame, one, years=5, draws=0).table
    members, ratio, top = np.array(seen).T
    np.testing.assert_allclose(t["members"], members, rtol=0.005)
    np.testing.assert_allclose(t["loss_ratio"], ratio, rtol=0.01)
    np.testing.assert_allclose(t["top_share"], top, atol=0.005)


@pytest.mark.slow
def test_bands_hold_the_true_expectation_as_often_as_they_say():
    """Relativities, moves, response and trend estimated anew for each of 200 books; band of 90 %."""
    rng = np.random.default_rng(12)
    truth = outlook(level_error=0.0)
    true = project_book(book(), truth, years=6, draws=0).table
    held = np.zeros(3)
    eta = truth.response.sensitivity
    for seed in range(200):
        errors = dict(truth.relativity_errors)
        seen = {g: r * np.exp(errors[g] * rng.standard_normal()) for g, r in RELATIVITIES.items()}
        response = replace(RENEWS, sensitivity=eta * (1 + 0.2 * rng.standard_normal()),
                           covariance=[[0.0, 0.0], [0.0, (0.2 * eta) ** 2]])  # fmt: skip
        moves = observed_transitions(renewals(rng, 600, 3), groups=GROUPS, prior_moves=5.0)
        one = replace(truth, relativities=seen, response=response, moves=moves,
                      trend=0.05 + 0.01 * rng.standard_normal())  # fmt: skip
        t = project_book(book(), one, years=6, draws=200, seed=seed).table
        for i, name in enumerate(("loss_ratio", "premium_charged", "members")):
            held[i] += t[f"{name}_lower"][-1] <= true[name][-1] <= t[f"{name}_upper"][-1]
    assert ((held / 200 > 0.85) & (held / 200 < 0.95)).all(), held / 200


# -- results and refusals -----------------------------------------------------------------------------


def results():
    moves = observed_transitions(renewals(np.random.default_rng(5), 200, 3), groups=GROUPS)
    one = outlook(moves=moves)
    shares = dict(zip(GROUPS, SHARES.tolist(), strict=True))
    return (
        moves,
        project_book(book(), one, years=3, draws=20),
        stress_book(book(), one, years=3, draws=20),
        break_even(shares, DISCOUNTS),
    )


@pytest.mark.parametrize("i", range(4))
def test_results_speak_draw_and_are_kept(i, tmp_path):
    one = results()[i]
    for lang in LANGUAGES:
        assert one.finding(lang)
        assert one.figure(lang).data
    assert one.basis.fingerprint
    one.save(tmp_path / "kept")
    back = type(one).load(tmp_path / "kept")
    assert back.table.equals(one.table)
    assert back.finding("zh") == one.finding("zh")
    if i == 1:
        assert back.flows(1, "zh").data[0].type == "sankey"
        with pytest.raises(InputError, match="no flows after year 3"):
            back.flows(3)


def test_relativities_come_from_what_the_claims_say():
    table = pl.DataFrame({
        "health_group": ["G0", "G1"], "relativity": [1.0, 0.8], "lower": [1.0, 0.8 / 1.2],
        "upper": [1.0, 0.8 * 1.2], "credible_relativity": [1.0, 0.85],
    })  # fmt: skip
    effect = GroupEffect(table=table, facts={"level": 0.95})
    r, errors = relativities_of(effect, credible=False)
    assert r == {"G0": 1.0, "G1": 0.8}
    assert isclose(errors["G1"], log(1.2) / 1.959964, rel_tol=1e-6)
    assert relativities_of(effect)[0]["G1"] == 0.85


@pytest.mark.parametrize(("call", "said"), [
    (lambda: project_book(book(), outlook(), years=0), "years must be a whole number"),
    (lambda: project_book(book(), outlook(), draws=-1), "draws must be a whole number"),
    (lambda: project_book(book(), outlook(), level=1.0), "level lies between"),
    (lambda: project_book(book(), outlook(latent=LatentHealth(classes=51)), draws=20_000), "fewer draws"),
    (lambda: project_book(book().drop("members"), outlook()), "the book lacks"),
    (lambda: project_book(book(), outlook(), segment="channel"), "the book lacks"),
    (lambda: project_book(book().with_columns(members=-1.0), outlook()), "5 values of members"),
    (lambda: project_book(book().with_columns(members=pl.lit("many")), outlook()), "must be numbers"),
    (lambda: project_book(book().with_columns(health_group=pl.lit("G7")), outlook()), "not among"),
    (lambda: project_book(book().head(0), outlook()), "no rows"),
    (lambda: project_book(book().with_columns(standard_premium=0.0), outlook()), "no standard premium"),
    (lambda: outlook(discounts={"G0": 0.0}), "relativities name"),
    (lambda: outlook(discounts=DISCOUNTS | {"G4": 1.0}), "0 to below 1"),
    (lambda: outlook(relativities=RELATIVITIES | {"G4": 0.0}), "above zero"),
    (lambda: outlook(relativities=RELATIVITIES | {"G4": "low"}), "finite number"),
    (lambda: outlook(relativity_errors={"G9": 0.1}), "no error of a group"),
    (lambda: outlook(moves=np.eye(4)), "moves have shape"),
    (lambda: outlook(moves=2 * np.eye(5)), "add to 1"),
    (lambda: outlook(trend=-1.0), "trend must be"),
    (lambda: outlook(exits=1.0), "exits must be"),
    (lambda: outlook(level_error=-0.1), "level_error"),
    (lambda: outlook(effect_lasting=2.0), "effect_lasting"),
    (lambda: project_book(book(), outlook(effect=0.9, effect_error=5.0)), "leave their domain"),
    (lambda: PriceResponse(intercept="x", sensitivity=1.0), "finite number"),
    (lambda: PriceResponse(intercept=1.0, sensitivity=-1.0), "zero or more"),
    (lambda: PriceResponse(intercept=1.0, sensitivity=1.0, covariance=[[1.0]]), "2 × 2"),
    (lambda: PriceResponse(intercept=1.0, sensitivity=1.0, covariance=[[1.0, 2.0], [2.0, 1.0]]), "not negative"),
    (lambda: PriceResponse.elastic(retention=1.0, elasticity=-0.5), "retention"),
    (lambda: project_book(book(), outlook(response=PriceResponse(intercept=1.0, sensitivity=1.0, groups={"G9": 1.0}))), "names"),
    (lambda: NewBusiness(share=-0.1), "share must be"),
    (lambda: NewBusiness(premium=0.0), "premium must be"),
    (lambda: NewBusiness(groups={"G0": 0.5}), "add to 1"),
    (lambda: project_book(book(), outlook(new_business=NewBusiness(groups={"G9": 1.0}))), "no group"),
    (lambda: RatePlan(changes="up"), "numbers"),
    (lambda: RatePlan(changes=-1.0), "above -1"),
    (lambda: RatePlan(industry_loss_ratio=-1.0), "fraction above 0"),
    (lambda: RatePlan(clause_cap=-0.1), "zero or more"),
    (lambda: LatentHealth(classes=0), "1 to 51"),
    (lambda: LatentHealth(reliability=1.0), "below 1"),
    (lambda: LatentHealth(persistence=1.5), "0 to 1"),
    (lambda: Gaming(share=1.5), "gaming"),
    (lambda: stress_book(book(), outlook(), top=5, draws=0), "no group below"),
    (lambda: stress_book(book(), outlook(), elasticity=1.0, draws=0), "zero or below"),
    (lambda: break_even({"G0": 0.5}, {"G0": 0.0}), "add to 1"),
    (lambda: break_even({"G0": 1.0}, {"G1": 0.0}), "shares name"),
    (lambda: break_even({"G0": 1.0}, {"G0": "x"}), "must be numbers"),
    (lambda: observed_transitions(renewals(np.random.default_rng(1), 5, 2), level=2.0), "level"),
])  # fmt: skip
def test_what_cannot_be_is_refused(call, said):
    with pytest.raises(InputError, match=said):
        call()


def test_the_book_is_read_by_segment_and_group():
    frame = pl.concat([book().with_columns(channel=pl.lit(c)) for c in ("b", "a")])
    read = start_book(frame, GROUPS, segment="channel")
    assert read.segments == ("a", "b")
    np.testing.assert_allclose(read.members, np.tile(10_000 * SHARES, (2, 1)))
    np.testing.assert_allclose(read.shares, SHARES)


def test_the_book_in_force_is_summed_on_a_day():
    rows = pl.DataFrame({
        "start": [date(2025, 1, 1), date(2025, 6, 1), date(2026, 1, 1), date(2024, 12, 31)],
        "end": [date(2026, 1, 1), date(2026, 6, 1), date(2027, 1, 1), date(2025, 12, 31)],
        "health_group": ["G0", "G0", "G1", "G1"], "standard_premium": [1.0, 2.0, 4.0, 8.0],
        "channel": ["a", "b", "a", "a"],
    })  # fmt: skip
    got = in_force_book(rows, on=date(2025, 12, 31), loss_ratio=0.5)
    assert got.rows() == [("G0", 2.0, 3.0, 1.5)]
    got = in_force_book(
        rows.lazy(), on=date(2026, 1, 1), loss_ratio={"a": 0.5, "b": 1.0}, segment="channel"
    )
    assert got.sort("channel")["claims_cost"].to_list() == [2.0, 2.0]
    for options, said in (
        ({"on": date(2030, 1, 1), "loss_ratio": 0.5}, "nobody is in force"),
        ({"on": date(2025, 12, 31), "loss_ratio": 0.0}, "above zero"),
        ({"on": date(2025, 12, 31), "loss_ratio": "x"}, "above zero"),
        ({"on": date(2025, 12, 31), "loss_ratio": {"a": 0.5}}, "need the column"),
        (
            {"on": date(2025, 12, 31), "loss_ratio": {"a": 0.5}, "segment": "channel"},
            "no loss ratio for",
        ),
        ({"on": date(2025, 12, 31), "loss_ratio": 0.5, "segment": "region"}, "lack"),
    ):
        with pytest.raises(InputError, match=said):
            in_force_book(rows, **options)
