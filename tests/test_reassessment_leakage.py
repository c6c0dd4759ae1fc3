"""Leakage without bias, the best interval, the funnel: closed forms, simulation and published limits."""

import numpy as np
import polars as pl
import pytest
from scipy.integrate import quad
from scipy.optimize import minimize_scalar
from scipy.stats import binom, false_discovery_control, poisson

from pricing.errors import InputError
from pricing.reassessment.funnel import control_limit, funnel, overdispersion
from pricing.reassessment.interval import best_interval, interval_cost, leaking_share
from pricing.reassessment.leakage import estimate_leakage
from pricing.reassessment.random_share import draw_random_share
from pricing.reassessment.same_scores import same_scores
from pricing.reassessment.visit_plan import plan_visits
from pricing.result.shape import Result


@pytest.fixture(scope="module")
def book():
    """600 cases whose eligibility is known, with a model that is wrong but knows something."""
    rng = np.random.default_rng(11)
    p = rng.beta(1.2, 6, 600)
    return pl.DataFrame({
        "case_id": [f"c{i}" for i in range(600)],
        "setting": np.where(rng.random(600) < 0.8, "home", "institution"),
        "provider": rng.choice(["甲", "乙"], 600),
        "monthly_benefit": rng.choice([450.0, 600.0], 600),
        "ineligible": (rng.random(600) < p).astype(int),
        "probability": 0.5 * p + 0.02,
        "net_value": 3000 * p - 200 + rng.normal(0, 50, 600),
        "hours": 2.0,
    })  # fmt: skip


def truth_of(book):
    return {
        "ineligible_cases": float(book["ineligible"].sum()),
        "monthly_leakage": float((book["ineligible"] * book["monthly_benefit"]).sum()),
    }


def test_all_visits_of_a_plan_are_unbiased_too_and_sharper(book):
    total = truth_of(book)["ineligible_cases"]
    means = []
    for seed in range(100):
        plan = plan_visits(book, {"home": 300.0, "institution": 80.0}, random_share=0.12, seed=seed).cases  # fmt: skip
        lot = estimate_leakage(plan, visited="random", stratum="setting").table
        every = estimate_leakage(plan, visited="planned", probability="probability").table
        means.append([lot["estimate"][0], every["estimate"][0], every["estimate"][2], every["lower"][2] <= total <= every["upper"][2]])  # fmt: skip
    means = np.array(means)
    error = means[:, :3].std(axis=0, ddof=1) / np.sqrt(100)
    assert (np.abs(means[:, :3].mean(axis=0) - total) < 3 * error).all()
    assert error[1] < 0.8 * error[0]
    # of the rest some forty are visited and one in twenty is found: a skew the interval feels
    assert means[:, 3].mean() > 0.87
    # counting the visits as if they were all drawn at random says far too much
    naive = plan.filter("planned")["ineligible"].mean() * 600
    assert naive > 1.3 * total


def test_variance_is_that_of_the_joint_inclusion_probabilities(book):
    drawn = draw_random_share(book, 0.1, seed=5)
    seen = drawn.filter("random")
    y = seen["ineligible"].to_numpy() * seen["monthly_benefit"].to_numpy()
    pi = seen["random_inclusion"].to_numpy()
    code = (seen["setting"] == "home").to_numpy()
    size = {True: (book["setting"] == "home").sum(), False: (book["setting"] != "home").sum()}
    n = {k: int((code == k).sum()) for k in (True, False)}
    joint = np.outer(pi, pi)
    for k in (True, False):
        same = np.outer(code == k, code == k)
        joint = np.where(same, n[k] * (n[k] - 1) / (size[k] * (size[k] - 1)), joint)
    np.fill_diagonal(joint, pi)
    by_hand = ((joint - np.outer(pi, pi)) / joint * np.outer(y / pi, y / pi)).sum()
    found = estimate_leakage(drawn, visited="random", stratum="setting").table.row(2, named=True)
    assert found["leakage_of"] == "monthly_leakage"
    assert found["std_error"] ** 2 == pytest.approx(by_hand)
    assert found["estimate"] == pytest.approx((y / pi).sum())
    alone = estimate_leakage(drawn, draw="poisson", visited="random", inclusion="random_inclusion")
    row = alone.table.row(2, named=True)
    assert row["std_error"] ** 2 == pytest.approx(((1 - pi) * (y / pi) ** 2).sum())


def test_everybody_visited_leaves_no_doubt_and_intervals_end_at_what_was_found(book):
    whole = estimate_leakage(book.with_columns(visited=True, stratum="setting"))
    truth = truth_of(book)
    for row in whole.table.filter(pl.col("estimator") == "horvitz_thompson").iter_rows(named=True):
        assert row["estimate"] == pytest.approx(truth[row["leakage_of"]])
        assert row["std_error"] == pytest.approx(0.0, abs=1e-9)
    drawn = draw_random_share(book, 0.05, seed=1).with_columns(ineligible=1)
    found = estimate_leakage(drawn, visited="random", stratum="setting").table
    assert (found["upper"] <= found["estimate"] / found["of_total"] + 1e-6).all()
    shuffled = drawn.sample(fraction=1, shuffle=True, seed=4)
    again = estimate_leakage(shuffled, visited="random", stratum="setting").table
    assert again["estimate"].to_list() == pytest.approx(found["estimate"].to_list())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ineligible": 2}, "ineligible must be from 0 to 1"),
        ({"ineligible": None}, "ineligible must be from 0 to 1|ineligible is Null"),
        ({"monthly_benefit": -1.0}, "monthly_benefit must be above 0"),
        ({"visited": False}, "no case was visited"),
        ({"stratum": None}, "in no stratum"),
    ],
)
def test_leakage_refuses(book, change, said):
    rows = book.with_columns(visited=pl.int_range(600) < 60, stratum=pl.col("setting"))
    with pytest.raises(InputError, match=said):
        estimate_leakage(rows.with_columns(**{n: pl.lit(v) for n, v in change.items()}))


def test_leakage_refuses_strata_with_one_visit_and_wrong_probabilities(book):
    one = book.with_columns(visited=pl.int_range(600) == 3, stratum=pl.lit("甲市"))
    with pytest.raises(InputError, match="甲市: 1 of 600 cases visited"):
        estimate_leakage(one)
    for bad in (0.0, 1.2, float("nan")):
        with pytest.raises(InputError, match="inclusion must be above 0"):
            estimate_leakage(one.with_columns(inclusion=bad), draw="poisson")
    with pytest.raises(InputError, match="not offered"):
        estimate_leakage(one, draw="cluster")


def test_a_lot_that_found_nobody_leaves_the_exact_bound_of_none(book):
    drawn = draw_random_share(book, 0.1, seed=1).with_columns(ineligible=0)
    for draw, how in (("stratified", "setting"), ("poisson", "setting")):
        found = estimate_leakage(
            drawn, draw=draw, visited="random", stratum=how, inclusion="random_inclusion"
        ).table.row(0, named=True)
        n = int(drawn["random"].sum())
        assert (found["estimate"], found["lower"]) == (0.0, 0.0)
        assert found["upper"] == pytest.approx((1 - 0.025 ** (1 / n)) * (600 - n))


# -- interval ---------------------------------------------------------------------------------------


def test_leaking_share_is_the_mean_over_the_interval():
    for h, t in ((0.12, 2.0), (0.5, 0.3), (3.0, 4.0)):
        mean = quad(lambda u, h=h: -np.expm1(-h * u), 0, t)[0] / t
        assert float(leaking_share(h, t)) == pytest.approx(mean)
    assert float(leaking_share(1e-9, 2.0)) == pytest.approx(1e-9, rel=1e-6)
    assert float(leaking_share(0.0, 2.0)) == 0.0


@pytest.mark.parametrize(("h", "b", "c"), [(0.12, 600.0, 230.0), (0.05, 450.0, 900.0), (0.6, 600.0, 60.0)])  # fmt: skip
def test_best_interval_is_the_minimum_and_meets_its_condition(h, b, c):
    grades = pl.DataFrame({"grade": ["x"], "hazard_rate": [h], "monthly_benefit": [b], "cost": [c]})
    found = best_interval(grades, validity_months=1e4).table.row(0, named=True)
    t = found["best_months"] / 12
    least = minimize_scalar(lambda u: float(interval_cost(h, u, 12 * b, c)), bounds=(1e-3, 400), method="bounded", options={"xatol": 1e-10})  # fmt: skip
    assert t == pytest.approx(least.x, rel=1e-4)
    assert found["cost_best"] == pytest.approx(least.fun, rel=1e-9)
    slope = (1 - np.exp(-h * t) * (1 + h * t)) / (h * t**2)
    assert 12 * b * slope == pytest.approx(c / t**2)


def test_interval_keeps_to_the_validity_and_a_visit_that_never_pays_is_left_to_it():
    grades = pl.DataFrame({
        "grade": ["中度", "never", "nobody", "free"], "hazard_rate": [0.02, 0.5, 0.0, 0.3],
        "monthly_benefit": 600.0, "cost": [900.0, 20_000.0, 230.0, 0.0], "cases": [10, 1, 1, 1],
    })  # fmt: skip
    found = best_interval(grades, validity_months=24.0)
    assert found.table["taken_months"].to_list() == pytest.approx([24.0, 24.0, 24.0, 1.0])
    assert found.table["best_months"][1] is None
    assert found.table["best_months"][2] is None
    assert (found.table["saving"] >= -1e-9).all()
    for lang in ("en", "zh"):
        assert found.finding(lang)
        assert found.figure(lang).data
    for column, value in (("hazard_rate", -0.1), ("cost", -5.0), ("monthly_benefit", 0.0), ("cost", float("nan"))):  # fmt: skip
        with pytest.raises(InputError, match=column):
            best_interval(grades.with_columns(pl.lit(value).alias(column)))
    with pytest.raises(InputError, match="validity_months"):
        best_interval(grades, validity_months=-1.0)
    with pytest.raises(InputError, match="stand more than once"):
        best_interval(pl.concat([grades, grades]))


# -- funnel -----------------------------------------------------------------------------------------


def test_control_limits_lie_between_the_whole_numbers_that_hold_the_quantile():
    n = np.array([10.0, 40.0, 200.0, 1000.0])
    for theta, q in ((0.1, 0.999), (0.3, 0.025), (0.02, 0.975)):
        limit = control_limit(n, theta, q) * n
        r = binom.ppf(q, n, theta)
        assert ((limit <= r + 1e-9) & (limit >= np.maximum(r - 1, 0) - 1e-9)).all()
    many = control_limit(np.array([1e6]), 0.1, 0.975)[0]
    assert many == pytest.approx(0.1 + 1.96 * np.sqrt(0.09 / 1e6), rel=1e-4)
    e = control_limit(np.array([20.0]), 1.0, 0.975, poisson_law=True)[0] * 20
    assert poisson.ppf(0.975, 20) - 1 <= e <= poisson.ppf(0.975, 20)


def test_chance_alone_seldom_accuses_and_a_leak_is_seen():
    rng = np.random.default_rng(8)
    accused = []
    for _ in range(40):
        unit = np.repeat([f"机构{k:02d}" for k in range(60)], rng.integers(12, 60, 60))
        rows = pl.DataFrame({"provider": unit, "ineligible": (rng.random(len(unit)) < 0.1).astype(int)})  # fmt: skip
        found = funnel(rows)
        accused.append(found.facts["high"] + found.facts["low"])
    assert np.mean(accused) < 0.25
    leak = pl.concat(
        [rows, pl.DataFrame({"provider": ["漏"] * 60, "ineligible": [1] * 30 + [0] * 30})]
    )
    verdict = dict(funnel(leak).table.select("unit", pl.col("verdict").cast(pl.String)).iter_rows())
    assert verdict["漏"] == "high"


def test_spread_between_units_is_measured_and_widens_the_limits():
    rng = np.random.default_rng(2)
    theta = np.clip(rng.normal(0.3, 0.08, 150), 0.02, 0.9)
    unit = np.repeat(np.arange(150), 100)
    rows = pl.DataFrame({"provider": [f"u{k:03d}" for k in unit], "ineligible": (rng.random(15_000) < theta[unit]).astype(int)})  # fmt: skip
    wide, times, none = (funnel(rows, spread=s, winsorise=0.0) for s in ("additive", "multiplicative", "none"))  # fmt: skip
    assert wide.facts["tau"] == pytest.approx(0.08, rel=0.2)
    assert wide.facts["phi"] == pytest.approx(1 + 0.08**2 * 100 / (0.3 * 0.7), rel=0.25)
    assert none.facts["high"] > 5 * max(wide.facts["high"], 1)
    assert times.facts["high"] <= none.facts["high"]
    assert none.table["z_adjusted"].abs().max() > wide.table["z_adjusted"].abs().max()
    q = none.table["q_two"].to_numpy()
    from scipy.stats import norm

    by_hand = false_discovery_control(2 * norm.sf(none.table["z_adjusted"].abs().to_numpy()))
    assert q == pytest.approx(by_hand)
    phi, tau = overdispersion(np.array([-1.0, 1.0, 0.0]), np.array([0.01, 0.02, 0.03]))
    assert tau == 0.0
    assert phi < 1


def test_few_cases_are_never_accused_and_the_mix_is_taken_out():
    rows = pl.DataFrame({
        "provider": ["小"] * 4 + ["甲"] * 200 + ["乙"] * 200,
        "ineligible": [1] * 4 + [1] * 100 + [0] * 100 + [1] * 20 + [0] * 180,
        "probability": [0.2] * 4 + [0.5] * 200 + [0.1] * 200,
    })  # fmt: skip
    found = funnel(rows, expected="probability", spread="none", least=10)
    verdict = dict(found.table.select("unit", pl.col("verdict").cast(pl.String)).iter_rows())
    assert verdict == {"小": "few", "甲": "in_control", "乙": "in_control"}
    assert found.table.filter(unit="小")["q_two"].item() is None
    plain = funnel(rows, spread="none", least=10)
    assert plain.facts["high"] == 1
    mixed = funnel(rows.sample(fraction=1, shuffle=True, seed=1), spread="none", least=10)
    assert mixed.table.equals(plain.table)
    for f in (found, plain):
        for lang in ("en", "zh"):
            assert "{" not in f.finding(lang)
            assert f.figure(lang).data


def test_funnels_refuse():
    rows = pl.DataFrame({"provider": ["甲"] * 30, "ineligible": [1, 0, 0] * 10})
    with pytest.raises(InputError, match="nobody to compare"):
        funnel(rows)
    two = pl.concat([rows, rows.with_columns(provider=pl.lit("乙"))])
    with pytest.raises(InputError, match="nobody stands out"):
        funnel(two.with_columns(ineligible=0))
    with pytest.raises(InputError, match="ineligible must be from 0 to 1"):
        funnel(two.with_columns(ineligible=3))
    with pytest.raises(InputError, match="0 or 1"):
        funnel(two.with_columns(ineligible=0.5))
    with pytest.raises(InputError, match="is empty in"):
        funnel(two.with_columns(provider=None))
    with pytest.raises(InputError, match="probability must be above 0"):
        funnel(two.with_columns(probability=0.0), expected="probability")
    with pytest.raises(InputError, match="limit"):
        funnel(two, limit=1.0)
    with pytest.raises(InputError, match="least"):
        funnel(two, least=0)
    with pytest.raises(InputError, match="not offered"):
        funnel(two, spread="huge")
    with pytest.raises(InputError, match="there are no rows"):
        funnel(two.clear())


def test_same_scores_are_counted_by_hand(tmp_path):
    rows = pl.DataFrame({
        "assessor": ["张"] * 10 + ["李"] * 10,
        "item_scores": ["5|5|0"] * 9 + ["1|2|3"] + [f"{k}" for k in range(10)],
    })  # fmt: skip
    found = same_scores(rows)
    top = found.table.row(0, named=True)
    assert (top["assessor"], top["pairs"], top["same_pairs"], top["times_given"]) == (
        "张",
        45,
        36,
        9,
    )
    assert top["expected_pairs"] == pytest.approx(45 * 36 / 190)
    assert same_scores(rows.reverse()).table.equals(found.table)
    found.save(tmp_path / "same")
    assert Result.load(tmp_path / "same").facts == found.facts
    with pytest.raises(InputError, match="no assessor has 50"):
        same_scores(rows, least=50)
    with pytest.raises(InputError, match="item_scores is empty in 20 rows"):
        same_scores(rows.with_columns(item_scores=pl.lit(None, dtype=pl.String)))
