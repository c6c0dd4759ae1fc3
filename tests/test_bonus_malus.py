"""Bonus-malus scales: rules, long run, relativities, the years before, efficiency."""

from __future__ import annotations

from math import isclose

import numpy as np
import polars as pl
import pytest
from scipy.integrate import quad
from scipy.stats import gamma, poisson

from pricing.bonus_malus.chain import (
    shares_by_year,
    stationary_derivative,
    stationary_shares,
    total_variation,
)
from pricing.bonus_malus.course import ScaleCourse, scale_course
from pricing.bonus_malus.efficiency import convergence, scale_efficiency
from pricing.bonus_malus.mixing import Mixing, discrete_mixing, gamma_mixing, normal_mixing
from pricing.bonus_malus.relativities import ScaleRelativities, scale_relativities
from pricing.bonus_malus.risk import (
    band_costs,
    count_probabilities,
    count_risk,
    same_risk,
    score_risk,
)
from pricing.bonus_malus.scale import Scale, count_scale, target_scale, walk_scale
from pricing.errors import InputError
from pricing.result.words import LANGUAGES

RATE, SHAPE = 0.1474, 0.8888
SHARES = {"G0": 0.10, "G1": 0.20, "G2": 0.30, "G3": 0.25, "G4": 0.15}


def found(scale, points=64, **options):
    options = options or {"rate": RATE}
    return scale_relativities(
        scale, count_risk(scale, gamma_mixing(SHAPE, points=points), **options)
    )


# -- rules ------------------------------------------------------------------------------------------


def test_moves_by_claims_are_those_of_the_rule():
    scale = count_scale(6, malus=2)
    for level in range(6):
        for claims in range(len(scale.outcomes)):
            after = max(level - 1, 0) if claims == 0 else min(level + 2 * claims, 5)
            assert scale.follows[level][claims] == after
    assert scale.outcomes == ("0", "1", "2", "3+")
    assert count_scale(6, malus="top").outcomes == ("0", "1+")
    belgian = count_scale(23, malus=(4, 5))
    assert belgian.follows[0] == (0, 4, 9, 14, 19, 22)


def test_the_belgian_special_rule_needs_four_free_years_in_a_row():
    scale = count_scale(23, malus=(4, 5), free_years=4, free_level=14)
    state = scale.start("22").argmax()
    seen = []
    for claims in (0, 0, 0, 0, 0, 1, 0, 0, 0, 0):
        state = scale.follows[state][claims]
        seen.append(scale.level_of[state])
    assert seen == [21, 20, 19, 14, 13, 17, 16, 15, 14, 13]
    state = scale.start("22").argmax()
    seen = []
    for claims in (0, 0, 0, 1, 0, 0, 0, 0):
        state = scale.follows[state][claims]
        seen.append(scale.level_of[state])
    assert seen == [21, 20, 19, 22, 21, 20, 19, 14]


def test_the_16_cells_of_the_star_scheme():
    """55 + 5 (star − 1) is the target; one step of 5 towards it."""
    scale = target_scale(["55", "60", "65", "70"])
    cells = [[scale.levels[s] for s in row] for row in scale.follows]
    assert cells == [
        ["55", "60", "60", "60"],
        ["55", "60", "65", "65"],
        ["60", "60", "65", "70"],
        ["65", "65", "65", "70"],
    ]


def test_a_freeze_leaves_everyone_in_place_and_a_ratchet_may_differ_up_and_down():
    scale = target_scale(list(SHARES), max_up=1, max_down=2).with_freeze()
    assert scale.outcomes[-1] == "frozen"
    assert [row[-1] for row in scale.follows] == [0, 1, 2, 3, 4]
    assert scale.follows[4][0] == 2
    assert scale.follows[0][4] == 1


def test_a_walk_stays_in_its_bounds():
    scale = walk_scale({"down": -0.02, "up": 0.02}, low=0.0, high=0.20)
    assert scale.follows[0] == (0, 2)
    assert scale.follows[19] == (17, 20)
    assert scale.values[20] == 0.20


# -- mixing and probabilities ------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [0.3, 0.8888, 1.0, 5.0])
def test_gamma_points_integrate_what_the_law_integrates(shape):
    mixing = gamma_mixing(shape)
    x, w = np.array(mixing.points), np.array(mixing.weights)
    for power in (1, 2, 3):
        assert isclose(w @ x**power, gamma.moment(power, shape, scale=1 / shape), rel_tol=1e-10)
    # P(no claim) of the negative binomial
    assert isclose(w @ np.exp(-0.5 * x), (shape / (shape + 0.5)) ** shape, rel_tol=1e-9)


def test_normal_and_discrete_points():
    z, w = np.array(normal_mixing().points), np.array(normal_mixing().weights)
    assert isclose(w @ np.exp(0.7 * z), np.exp(0.245), rel_tol=1e-12)
    assert discrete_mixing([1, 3], [3, 1]).mean == 1.5
    assert discrete_mixing([1, 3]).variance == 1.0


def test_counts_are_poisson():
    p = count_probabilities(np.array([0.0, 0.1, 3.0]), 4)
    assert p[0].tolist() == [1, 0, 0, 0]
    for row, rate in zip(p[1:], (0.1, 3.0), strict=True):
        np.testing.assert_allclose(row[:3], poisson.pmf([0, 1, 2], rate), rtol=1e-13)
        assert isclose(row[3], poisson.sf(2, rate), rel_tol=1e-12)


# -- the long run -------------------------------------------------------------------------------------


def test_the_long_run_is_the_power_of_the_matrix():
    scale = count_scale(23, malus=(4, 5), free_years=4, free_level=14)
    p = scale.matrix(count_probabilities(np.array([0.05, 0.4]), len(scale.outcomes)))
    power = np.linalg.matrix_power(p, 3000)[:, 0]
    np.testing.assert_allclose(stationary_shares(p), power, atol=1e-10)


def test_top_has_a_closed_form():
    """Straight to the top: level 0 after five free years, whatever was before."""
    t = found(count_scale(6, malus="top")).table
    p0 = (SHAPE / (SHAPE + 5 * RATE)) ** SHAPE
    assert isclose(t["level_share"][0], p0, rel_tol=1e-10)
    assert isclose(t["level_relativity"][0], SHAPE / (SHAPE + 5 * RATE), rel_tol=1e-10)


def test_relativities_are_those_of_numerical_integration():
    """The same integrals by adaptive quadrature, life by life."""
    scale = count_scale(4, malus=2)

    def share(theta, level):
        p = scale.matrix(count_probabilities(RATE * theta, len(scale.outcomes)))
        return stationary_shares(p)[level]

    law = gamma(2.0, scale=0.5)
    risk = count_risk(scale, gamma_mixing(2.0), rate=RATE)
    t = scale_relativities(scale, risk).table
    for level in range(4):
        below = quad(lambda x, k=level: share(x, k) * law.pdf(x), 0, 30, limit=200)[0]
        above = quad(lambda x, k=level: x * share(x, k) * law.pdf(x), 0, 30, limit=200)[0]
        assert isclose(t["level_share"][level], below, rel_tol=1e-7)
        assert isclose(t["level_relativity"][level], above / below, rel_tol=1e-7)


@pytest.mark.parametrize(("malus", "shares", "relativities"), [
    ("top", [58.5, 5.2, 6.2, 7.7, 9.7, 12.8], [54.7, 122.0, 134.8, 150.7, 170.9, 197.3]),
    (2, [70.6, 7.1, 8.7, 4.4, 4.7, 4.4], [62.4, 130.2, 142.9, 207.7, 241.4, 309.1]),
])  # fmt: skip
def test_the_printed_tables_within_a_tenth_of_a_point(malus, shares, relativities):
    """Denuit et al. (2007), tables 4.3 and 4.5."""
    t = found(count_scale(6, malus=malus)).table
    np.testing.assert_allclose(100 * t["level_share"].to_numpy(), shares, atol=0.1)
    np.testing.assert_allclose(100 * t["level_relativity"].to_numpy(), relativities, atol=0.1)


@pytest.mark.parametrize("malus", ["top", 1, 2, 3, (1, 3)])
def test_the_scale_is_in_balance_and_the_error_it_leaves_is_the_mean_square(malus):
    scale = count_scale(9, malus=malus)
    one = found(scale)
    t = one.table
    assert isclose(one.facts["mean_index"], 1.0, rel_tol=1e-9)
    assert isclose(t["level_share"].sum(), 1.0, rel_tol=1e-12)
    assert isclose((t["level_share"] * t["linear_relativity"]).sum(), 1.0, rel_tol=1e-9)
    risk = count_risk(scale, gamma_mixing(SHAPE), rate=RATE)
    shares = stationary_shares(risk.matrices(scale))
    gap = (risk.index[:, None] - t["level_relativity"].to_numpy()) ** 2
    assert isclose(one.facts["error_variance"], risk.weight @ (shares * gap).sum(1), rel_tol=1e-9)
    # no line is nearer to the risk than Gilde and Sundt's
    line = t["linear_relativity"].to_numpy()
    left = risk.weight @ (shares * (risk.index[:, None] - line) ** 2).sum(1)
    for tilt in (-0.01, 0.01):
        other = line + tilt * np.arange(9)
        assert risk.weight @ (shares * (risk.index[:, None] - other) ** 2).sum(1) > left


def test_64_points_are_enough():
    scale = count_scale(6, malus=2)
    a, b = (found(scale, points=n).table["level_relativity"] for n in (64, 128))
    np.testing.assert_allclose(a, b, rtol=1e-8)


def test_classes_of_the_tariff_soften_the_scale():
    """One class is no classes; the tariff's own differences need no second charge."""
    scale = count_scale(6, malus="top")
    same = found(scale, classes={"a": (RATE, 2.0), "b": (RATE, 3.0)}).table
    np.testing.assert_allclose(
        same["level_relativity"], found(scale).table["level_relativity"], rtol=1e-12
    )
    classes = found(scale, classes={"young": (2 * RATE, 1.0), "old": (RATE / 2, 2.0)})
    r = classes.table["level_relativity"]
    assert isclose(classes.facts["mean_index"], 1.0, rel_tol=1e-9)
    assert r[5] - r[0] < found(scale).table["level_relativity"][5] - found(scale).table["level_relativity"][0]  # fmt: skip


def test_a_chain_with_two_ends_is_refused():
    ends = Scale(levels=("a", "b"), outcomes=("x",), follows=((0,), (1,)), level_of=(0, 1),
                 values=(0.0, 1.0))  # fmt: skip
    with pytest.raises(InputError, match="depends on the start"):
        scale_relativities(ends, same_risk(ends, {"x": 1.0}))


def test_a_level_nobody_reaches_has_no_relativity():
    scale = target_scale(["a", "b", "c"])
    t = scale_relativities(scale, same_risk(scale, {"a": 0.5, "b": 0.5})).table
    assert t["level_relativity"].to_list() == [1.0, 1.0, None]


# -- bands of a score -------------------------------------------------------------------------------


@pytest.mark.parametrize("reliability", [0.0, 0.5, 1.0])
def test_bands_of_a_score_in_closed_form_and_by_the_engine(reliability):
    """Set anew each year, the scale's relativities are the closed form of the bands."""
    scale = target_scale(list(SHARES), max_up=None, max_down=None)
    risk = score_risk(scale, SHARES, slope=0.2, reliability=reliability, points=150)
    t = scale_relativities(scale, risk).table
    closed = band_costs(np.array(list(SHARES.values())), slope=0.2, reliability=reliability)
    near = 0.02 if reliability == 1 else 1e-6  # a band's edge is a jump for the quadrature
    np.testing.assert_allclose(t["level_relativity"], closed, rtol=near)
    np.testing.assert_allclose(t["level_share"], list(SHARES.values()), rtol=near * 10)
    assert isclose(np.dot(list(SHARES.values()), closed), 1.0, rel_tol=1e-12)


def test_a_ratchet_orders_the_groups_but_less_sharply():
    free = target_scale(list(SHARES), max_up=None, max_down=None)
    held = target_scale(list(SHARES))
    one, other = (
        scale_relativities(s, score_risk(s, SHARES, slope=0.3, reliability=0.5))
        for s in (free, held)
    )
    assert (np.diff(other.table["level_relativity"].to_numpy()) < 0).all()
    assert other.facts["explained"] != one.facts["explained"]


# -- the years before -------------------------------------------------------------------------------


def test_transient_shares_and_relativities():
    scale = count_scale(6, malus=2)
    risk = count_risk(scale, gamma_mixing(SHAPE), rate=RATE)
    course = scale_course(scale, risk, start="3", years=200)
    levels = course.frames["levels"]
    sums = levels.group_by("scale_year", maintain_order=True).agg(share=pl.col("level_share").sum())
    np.testing.assert_allclose(sums["share"], 1.0, rtol=1e-12)
    last = levels.filter(scale_year=200)
    np.testing.assert_allclose(
        last["level_relativity"], found(scale).table["level_relativity"], rtol=2e-3
    )
    first = levels.filter(scale_year=1, scale_level="2").row(0, named=True)
    p0 = (SHAPE / (SHAPE + RATE)) ** SHAPE  # one year without a claim
    assert isclose(first["level_share"], p0, rel_tol=1e-9)
    assert isclose(first["level_relativity"], SHAPE / (SHAPE + RATE), rel_tol=1e-9)
    assert (np.diff(course.table["total_variation"].to_numpy()) < 1e-12).all()


def test_shares_by_year_match_a_simulation():
    rng = np.random.default_rng(7)
    scale = count_scale(6, malus=2)
    theta = rng.gamma(SHAPE, 1 / SHAPE, 40_000)
    level = np.full(len(theta), 5)
    follows = np.array(scale.follows)
    for _ in range(6):
        level = follows[level, np.minimum(rng.poisson(RATE * theta), 3)]
    risk = count_risk(scale, gamma_mixing(SHAPE), rate=RATE)
    t = scale_course(scale, risk, start="5", years=6).frames["levels"].filter(scale_year=6)
    seen = np.bincount(level, minlength=6) / len(level)
    np.testing.assert_allclose(t["level_share"], seen, atol=0.01)
    for k in range(6):
        error = theta[level == k].std() / np.sqrt((level == k).sum())
        assert abs(theta[level == k].mean() - t["level_relativity"][k]) < 4 * error


def test_distance_is_half_the_sum_and_the_start_may_be_spread():
    assert total_variation(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == 1.0
    scale = target_scale(["a", "b"])
    even = same_risk(scale, {"a": 0.5, "b": 0.5})
    course = scale_course(scale, even, start={"a": 0.5, "b": 0.5}, years=0)
    assert course.table["total_variation"].to_list() == [0.0]
    assert course.facts["near_year"] == 0


def test_a_course_that_does_not_arrive_says_so():
    scale = count_scale(6, malus=2)
    course = scale_course(
        scale, count_risk(scale, gamma_mixing(SHAPE), rate=RATE), start="5", years=1
    )
    assert course.facts["near_year"] is None
    assert "still" in course.finding("en")
    assert "仍相差" in course.finding("zh")


# -- efficiency -------------------------------------------------------------------------------------


def test_the_derivative_is_that_of_a_small_step():
    scale = count_scale(6, malus=2).valued([0.5, 0.8, 1.0, 1.3, 1.7, 2.4])
    h = 1e-6
    t = scale_efficiency(scale, [0.2 - h, 0.2, 0.2 + h]).table
    b = t["mean_value"].to_numpy()
    assert isclose(t["efficiency"][1], 0.2 * (b[2] - b[0]) / (2 * h) / b[1], rel_tol=1e-6)
    p = scale.matrix(count_probabilities(0.2, 4))
    d = stationary_derivative(stationary_shares(p), p, np.zeros_like(p))
    np.testing.assert_allclose(d, 0.0, atol=1e-14)


def test_convergence_begins_at_the_start_and_falls():
    gaps = convergence(count_scale(6, malus=2), RATE, start="5", years=30)
    assert len(gaps) == 31
    assert (np.diff(gaps) <= 1e-15).all()
    assert gaps[-1] < 1e-4


# -- results ----------------------------------------------------------------------------------------


def results():
    scale = count_scale(6, malus=2)
    risk = count_risk(scale, gamma_mixing(SHAPE), rate=RATE)
    r = scale_relativities(scale, risk)
    valued = scale.valued(r.table["level_relativity"].to_list())
    return r, scale_course(valued, risk, start="5"), scale_efficiency(valued, [0.05, 0.1, 0.2])


@pytest.mark.parametrize("i", range(3))
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


def test_the_fingerprint_knows_the_rules_and_the_risk():
    scale = count_scale(6, malus=2)
    one, same, other = (
        found(scale, rate=RATE).basis.fingerprint,
        found(scale, rate=RATE).basis.fingerprint,
        found(scale, rate=0.2).basis.fingerprint,
    )
    assert one == same != other
    assert isinstance(results()[0], ScaleRelativities)
    assert isinstance(results()[1], ScaleCourse)


# -- refusals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("call", "said"), [
    (lambda: count_scale(1, malus=1), "levels must be a whole number"),
    (lambda: count_scale(6, malus="up"), "'top'"),
    (lambda: count_scale(6, malus=0), "malus must be whole numbers"),
    (lambda: count_scale(6, malus=1, bonus=0), "bonus"),
    (lambda: count_scale(6, malus=1, free_years=4), "both free_years and free_level"),
    (lambda: count_scale(6, malus=1, free_years=4, free_level=9), "free_level must be one"),
    (lambda: target_scale(["a", "a"]), "levels must be named"),
    (lambda: target_scale(["a", "b"], max_up=-1), "max_up"),
    (lambda: target_scale(["a", "b"], values=[1.0]), "1 values for 2 levels"),
    (lambda: walk_scale({"up": 0.015}, low=0, high=0.2), "no whole number of steps"),
    (lambda: walk_scale({"up": "much"}, low=0, high=0.2), "must be a number"),
    (lambda: walk_scale({}, low=0, high=0.2), "deltas"),
    (lambda: gamma_mixing(0.0), "above zero"),
    (lambda: gamma_mixing("one"), "above zero"),
    (lambda: gamma_mixing(1.0, points=0), "points"),
    (lambda: normal_mixing(sd=-1.0), "sd zero or more"),
    (lambda: discrete_mixing([1.0], [-1.0]), "weight of zero or more"),
    (lambda: Mixing((1.0,), (0.5,)), "add to 1"),
    (lambda: stationary_shares(np.array([[0.5, 0.4], [0.5, 0.5]])), "add to 1"),
    (lambda: stationary_shares(np.ones(3)), "square"),
    (lambda: shares_by_year(np.ones(1), np.eye(1), -1), "years"),
    (lambda: count_risk(target_scale(["a", "b"]), gamma_mixing(1.0), rate=0.1), "not driven"),
    (lambda: count_risk(count_scale(3, malus=1), gamma_mixing(1.0)), "either one rate or classes"),
    (lambda: count_risk(count_scale(3, malus=1), gamma_mixing(1.0), rate=-0.1), "above zero"),
    (lambda: count_risk(count_scale(3, malus=1), discrete_mixing([2.0]), rate=0.1), "mean 1"),
    (lambda: score_risk(count_scale(3, malus=1), {}, slope=0.1, reliability=0.5), "use count_risk"),
    (lambda: score_risk(target_scale(list(SHARES)), SHARES, slope=0.1, reliability=2), "reliability"),
    (lambda: score_risk(target_scale(["a", "b"]), {"c": 1.0}, slope=0.1, reliability=0.5), "no outcome"),
    (lambda: same_risk(target_scale(["a", "b"]), {"a": 0.5}), "add to 1"),
    (lambda: band_costs(np.array([0.0, 1.0]), slope=0.1, reliability=0.5), "above zero"),
    (lambda: target_scale(["a", "b"]).start("c"), "no level"),
    (lambda: target_scale(["a", "b"]).valued({"a": 1.0}), "values name"),
    (lambda: count_scale(3, malus=1).with_freeze(), "cannot be added"),
    (lambda: scale_efficiency(target_scale(["a", "b"]), [0.1]), "not driven"),
    (lambda: scale_efficiency(count_scale(3, malus=1), [0.1]), "above zero and differ"),
    (lambda: scale_efficiency(count_scale(3, malus=1), ["x"]), "must be numbers"),
    (lambda: convergence(count_scale(3, malus=1), 0.0, start="2", years=1), "above zero"),
])  # fmt: skip
def test_what_cannot_be_is_refused(call, said):
    with pytest.raises(InputError, match=said):
        call()


def test_risk_and_scale_must_fit():
    risk = same_risk(target_scale(["a", "b"]), {"a": 1.0})
    with pytest.raises(InputError, match="2 outcomes, the scale 3"):
        scale_relativities(target_scale(["a", "b", "c"]), risk)
