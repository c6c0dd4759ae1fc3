"""What a visit is worth and which visits are made: closed forms, brute force, the random share."""

from itertools import product

import numpy as np
import polars as pl
import pytest
from scipy.integrate import quad
from scipy.optimize import linprog
from scipy.stats import chi2, kstest

from pricing.errors import InputError
from pricing.reassessment.future import future_months, future_months_by_month, past_months
from pricing.reassessment.knapsack import exact_choice, fractional_value
from pricing.reassessment.random_share import draw_random_share, even_numbers
from pricing.reassessment.screening import Mailer, screen_cases
from pricing.reassessment.visit_plan import plan_visits
from pricing.reassessment.visit_value import PARTS, VisitTerms, value_visits
from pricing.result.shape import Result


def some_cases(number, seed=0, hours=None):
    rng = np.random.default_rng(seed)
    setting = np.where(rng.random(number) < 0.85, "home", "institution")
    return pl.DataFrame({
        "case_id": [f"个案{i:05d}" for i in range(number)],
        "grade": rng.choice(["moderate", "severe"], number),
        "setting": setting,
        "provider": rng.choice(["康养一院", "康养二院", "居家护理"], number),
        "probability": rng.beta(1, 7, number),
        "monthly_benefit": rng.choice([450.0, 600.0], number),
        "years_since_review": rng.uniform(0.1, 2.0, number),
        "hours": np.where(setting == "home", 2.0, 0.75) if hours is None else rng.uniform(*hours, number),
        "cost": np.where(setting == "home", 230.0, 120.0),
    }).with_columns(months_to_review=24 - 12 * pl.col("years_since_review"))  # fmt: skip


# -- value ------------------------------------------------------------------------------------------


def test_closed_form_is_the_monthly_sum():
    rng = np.random.default_rng(1)
    q, n = rng.uniform(0, 0.2, 50), rng.uniform(0, 30, 50)
    exact = future_months_by_month(q[:, None], n, interest=0.03)
    assert future_months(q, n, interest=0.03) == pytest.approx(exact, rel=1e-12)
    assert future_months(0.0, n) == pytest.approx(n)
    assert future_months(1.0, 5.0) == pytest.approx(1.0)
    assert future_months(0.1, 0.0) == 0.0
    by_hand = 1 + 0.9 + 0.9 * 0.8 + 0.5 * 0.9 * 0.8 * 0.8
    assert float(future_months_by_month([0.1, 0.2], 3.5)) == pytest.approx(by_hand)
    for wrong in ({"exit_rate": 1.5, "months": 1.0}, {"exit_rate": 0.1, "months": -1.0}, {"exit_rate": np.nan, "months": 1.0}):  # fmt: skip
        with pytest.raises(InputError, match="cannot be valued"):
            future_months(**wrong)


@pytest.mark.parametrize(("p", "t", "lookback"), [(0.3, 14.0, 6.0), (0.9, 10.0, 30.0), (0.05, 20.0, 3.0)])  # fmt: skip
def test_past_months_are_the_integral(p, t, lookback):
    h = -np.log1p(-p) / t
    mean = quad(lambda u: min(t - u, lookback) * h * np.exp(-h * u), 0, t, points=[max(t - lookback, 0)])[0] / p  # fmt: skip
    assert float(past_months(np.array(p), np.array(t), lookback=lookback)) == pytest.approx(mean)
    tiny = past_months(np.array([1e-9, 1e-5]), np.array([t, t]), lookback=lookback)
    assert tiny[0] == pytest.approx(tiny[1], rel=1e-4)
    assert past_months(np.array(0.5), np.array(0.0), lookback=6.0) == 0.0
    assert np.isfinite(past_months(np.array(1.0), np.array(12.0), lookback=6.0))


def test_parts_of_the_value_add_up_and_are_as_written():
    cases = some_cases(200)
    terms = VisitTerms(exit_rate=0.02, return_rate=0.3)
    found = value_visits(cases, terms)
    each = found.cases
    assert (
        each.select(pl.sum_horizontal(PARTS)).to_series() - each["net_value"]
    ).abs().max() < 1e-9
    row, own = each.row(3, named=True), cases.row(3, named=True)
    p, b = own["probability"], own["monthly_benefit"]
    past = float(past_months(np.array(p), np.array(12 * own["years_since_review"]), lookback=6.0))
    ahead = float(future_months(0.02, own["months_to_review"], interest=0.025))
    by_hand = p * 0.95 * (past * b * 0.35 + 0.7 * b * ahead) - (1 - p) * 0.01 * 800 - own["cost"]
    assert row["net_value"] == pytest.approx(by_hand)
    whole = found.table.row(-1, named=True)
    assert whole["net_value"] == pytest.approx(each["net_value"].mean())
    assert whole["cases"] == 200
    assert found.table["cases"][:-1].sum() == 200
    shuffled = value_visits(cases.sample(fraction=1, shuffle=True, seed=3), terms).table
    assert shuffled.drop("grade").to_numpy() == pytest.approx(found.table.drop("grade").to_numpy())
    rates = value_visits(cases.with_columns(exit_rate=0.02), VisitTerms(return_rate=0.3))
    assert rates.cases["net_value"].to_list() == pytest.approx(each["net_value"].to_list())


def test_value_moves_as_it_must():
    cases = some_cases(50)
    base = value_visits(cases).cases["net_value"]
    for better in ({"return_rate": 0.0}, {"collect": 1.0}, {"sensitivity": 1.0}, {"exit_rate": 0.0}, {"appeal_cost": 0.0}, {"lookback_months": 24.0}):  # fmt: skip
        assert (value_visits(cases, VisitTerms(**better)).cases["net_value"] >= base - 1e-9).all()
    overdue = value_visits(cases.with_columns(months_to_review=0.0))
    assert overdue.cases["future_saved"].abs().max() == 0.0
    assert overdue.facts["overdue"] == 50


@pytest.mark.parametrize(
    ("column", "value"),
    [("probability", 1.2), ("probability", -0.1), ("probability", float("nan")), ("cost", -1.0),
     ("hours", 0.0), ("hours", -2.0), ("monthly_benefit", -600.0), ("months_to_review", -1.0), ("probability", None)],
)  # fmt: skip
def test_values_refuse_numbers_out_of_their_domain(column, value):
    cases = some_cases(5).with_columns(pl.lit(value, dtype=pl.Float64).alias(column))
    with pytest.raises(InputError, match=column):
        value_visits(cases)


def test_values_refuse_terms_and_frames():
    with pytest.raises(InputError, match=r"return_rate .*\n.*interest|interest"):
        VisitTerms(return_rate=1.5, interest=float("nan"))
    with pytest.raises(InputError, match="sensitivity"):
        VisitTerms(sensitivity="high")
    with pytest.raises(InputError, match="stand more than once"):
        value_visits(pl.concat([some_cases(3), some_cases(3)]))
    with pytest.raises(InputError, match="there are no rows"):
        value_visits(some_cases(3).clear())
    with pytest.raises(InputError, match="probability is String"):
        value_visits(some_cases(3).with_columns(probability=pl.lit("0.5")))
    with pytest.raises(InputError, match="no provider"):
        value_visits(some_cases(3).drop("provider"))
    assert value_visits(some_cases(1)).cases.height == 1


# -- knapsack ---------------------------------------------------------------------------------------


def twelve(seed):
    rng = np.random.default_rng(seed)
    return pl.DataFrame({
        "case_id": [f"c{i}" for i in range(12)], "setting": ["home"] * 8 + ["institution"] * 4,
        "provider": ["甲", "乙", "丙"] * 4, "probability": rng.uniform(0, 1, 12).round(2),
        "net_value": rng.uniform(-100, 900, 12).round(), "hours": rng.uniform(0.5, 4, 12).round(1),
    })  # fmt: skip


def brute(cases, capacity, cap):
    """The best of all 4,096 subsets."""
    take = np.array(list(product([0, 1], repeat=12)), dtype=bool)
    value, hours = cases["net_value"].to_numpy(), cases["hours"].to_numpy()
    good = np.ones(len(take), dtype=bool)
    for name, room in capacity.items():
        good &= take @ (hours * (cases["setting"] == name).to_numpy()) <= room + 1e-9
    if cap is not None:
        for one in cases["provider"].unique():
            good &= take @ (cases["provider"] == one).to_numpy().astype(int) <= cap
    return (take @ value)[good].max()


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("cap", [None, 2])
def test_exact_knapsack_is_brute_force_over_all_subsets_of_twelve(seed, cap):
    cases = twelve(seed)
    capacity = {"home": 6.5, "institution": 3.0}
    chosen = exact_choice(cases, capacity, cap_per_provider=cap)
    best = brute(cases, capacity, cap)
    assert float(cases["net_value"].to_numpy()[chosen].sum()) == pytest.approx(best)
    exact = plan_visits(cases, capacity, random_share=0.0, method="exact", cap_per_provider=cap)
    greedy = plan_visits(cases, capacity, random_share=0.0, cap_per_provider=cap)
    assert exact.facts["net_value"] == pytest.approx(best)
    assert greedy.facts["net_value"] <= best + 1e-9
    assert best <= exact.table["best_bound"][-1] + 1e-9


def test_fractional_bound_is_the_linear_programme():
    rng = np.random.default_rng(5)
    v, h = rng.uniform(-50, 500, 40), rng.uniform(0.5, 4, 40)
    for room in (0.0, 3.3, 20.0, 500.0):
        lp = linprog(-v, A_ub=h[None, :], b_ub=[room], bounds=(0, 1))
        assert fractional_value(v, h, room) == pytest.approx(-lp.fun)


@pytest.mark.parametrize("method", ["greedy", "exact"])
@pytest.mark.parametrize("cap", [None, 4])
def test_value_does_not_fall_with_capacity_and_hours_are_kept(method, cap):
    cases = value_visits(some_cases(60, hours=(0.5, 3.0))).cases
    last = -1.0
    for hours in (0.0, 2.0, 5.0, 10.0, 20.0, 40.0, 200.0):
        capacity = {"home": hours, "institution": hours / 4}
        plan = plan_visits(cases, capacity, random_share=0.0, method=method, cap_per_provider=cap)
        assert plan.facts["net_value"] >= last - 1e-9
        last = plan.facts["net_value"]
        used = plan.cases.filter("planned").group_by("setting").agg(pl.col("hours").sum())
        assert all(h <= capacity[s] + 1e-9 for s, h in used.iter_rows())
        if cap is not None:
            many = plan.cases.filter("planned").group_by("provider").len()["len"]
            assert many.is_empty() or many.max() <= cap
    assert (plan.frontier["net_value"].diff().drop_nulls() >= -1e-9).all()
    assert (plan.frontier["ranked_hours"].diff().drop_nulls() >= -1e-9).all()


def test_nothing_is_visited_that_is_worth_nothing_and_bad_capacity_is_refused():
    cases = twelve(1).with_columns(net_value=-1.0)
    plan = plan_visits(cases, {"home": 99.0, "institution": 99.0}, random_share=0.0)
    assert plan.facts["visits"] == 0
    assert plan.facts["net_value"] == 0.0
    with pytest.raises(InputError, match="no hours are given for 'institution'"):
        plan_visits(cases, {"home": 10.0})
    for bad in (-1.0, float("nan"), "many", True):
        with pytest.raises(InputError, match="hours of 'home' must be 0 or more"):
            plan_visits(cases, {"home": bad, "institution": 1.0})
    with pytest.raises(InputError, match="whole number"):
        plan_visits(cases, {"home": 1.0, "institution": 1.0}, cap_per_provider=-1)
    with pytest.raises(InputError, match="not offered"):
        plan_visits(cases, {"home": 1.0, "institution": 1.0}, method="best")
    with pytest.raises(InputError, match="the random share takes"):
        plan_visits(cases, {"home": 1.0, "institution": 1.0}, random_share=0.9)
    with pytest.raises(InputError, match="share must be from 0 to 1"):
        plan_visits(cases, {"home": 1.0, "institution": 1.0}, random_share=1.1)


# -- random share -----------------------------------------------------------------------------------


def test_numbers_are_even_and_a_case_keeps_its_own():
    ids = pl.Series([f"{i}" for i in range(20_000)])
    u = even_numbers(ids, 1)
    assert kstest(u, "uniform").pvalue > 0.01
    assert kstest(even_numbers(pl.Series([f"烟台{i:07d}号" for i in range(20_000)]), 1), "uniform").pvalue > 0.01  # fmt: skip
    assert abs(np.corrcoef(u[1:], u[:-1])[0, 1]) < 0.03
    assert abs(np.corrcoef(u, even_numbers(ids, 2))[0, 1]) < 0.03
    assert even_numbers(ids[::-1], 1)[::-1].tolist() == u.tolist()
    assert even_numbers(ids[:5], 1).tolist() == u[:5].tolist()
    assert even_numbers(pl.Series(["a", "a long number"]), 1)[0] == even_numbers(pl.Series(["a"]), 1)[0]  # fmt: skip
    with pytest.raises(InputError, match="is no seed"):
        even_numbers(ids, -1)


@pytest.mark.parametrize("draw", ["stratified", "poisson"])
def test_every_case_is_drawn_as_often_as_said(draw):
    cases = some_cases(120)
    hits = np.zeros(120)
    for seed in range(400):
        found = draw_random_share(cases, 0.1, seed=seed, draw=draw)
        hits += found["random"].to_numpy()
    p = found["random_inclusion"].to_numpy()
    z = (hits - 400 * p) / np.sqrt(400 * p * (1 - p))
    assert chi2.sf((z**2).sum(), 119) > 0.001
    if draw == "stratified":
        told = found.group_by("setting").agg(pl.col("random").sum(), pl.col("random_inclusion").first(), pl.len())  # fmt: skip
        assert all(n == max(2, np.ceil(0.1 * size - 1e-9)) and p == n / size for _, n, p, size in told.iter_rows())  # fmt: skip


def test_the_plan_does_not_depend_on_the_order_of_rows():
    cases = value_visits(some_cases(300)).cases
    capacity = {"home": 120.0, "institution": 12.0}
    one = plan_visits(cases, capacity, seed=9, cap_per_provider=40)
    two = plan_visits(cases.sample(fraction=1, shuffle=True, seed=2), capacity, seed=9, cap_per_provider=40)  # fmt: skip
    assert two.cases.sort("case_id").equals(one.cases.sort("case_id"))
    other = plan_visits(cases, capacity, seed=10)
    assert not other.cases["random"].equals(one.cases["random"])
    assert one.cases.filter("planned")["inclusion"].null_count() == 0
    assert one.facts["hours_used"] <= 132.0 + 1e-9
    assert one.facts["random_visits"] == one.cases["random"].sum()


def test_empty_share_and_whole_share():
    cases = some_cases(30)
    assert draw_random_share(cases, 0.0, seed=1)["random"].sum() == 0
    assert draw_random_share(cases, 1.0, seed=1)["random"].all()
    assert draw_random_share(cases.head(1), 0.1, seed=1)["random"].all()
    with pytest.raises(InputError, match="in no stratum"):
        draw_random_share(cases.with_columns(setting=None), 0.1, seed=1)
    with pytest.raises(InputError, match="not offered"):
        draw_random_share(cases, 0.1, seed=1, draw="cluster")


# -- screening --------------------------------------------------------------------------------------


def test_a_perfect_free_mailer_visits_only_the_ineligible():
    values = value_visits(some_cases(100), VisitTerms(false_stop=0.0))
    found = screen_cases(values, Mailer(cost=0.0, sensitivity=1.0, specificity=1.0)).frames["cases"]
    gain = values.cases.select(pl.sum_horizontal("past_recovered", "future_saved")).to_series()
    best = gain + values.cases["probability"] * values.cases["visit_cost"]
    assert found["mailer_value"].to_list() == pytest.approx(best.to_list())
    blind = screen_cases(values, Mailer(cost=0.0, sensitivity=1.0, specificity=0.0)).frames["cases"]
    assert blind["mailer_value"].to_list() == pytest.approx(blind["visit_value"].to_list())
    useless = screen_cases(values, Mailer(cost=1e6))
    assert useless.facts["mailed"] == 0
    assert useless.facts["value"] == pytest.approx(useless.facts["visits_alone"])
    assert found.height == useless.facts["left"] + useless.facts["visited"]


def test_mailers_out_of_range_are_refused():
    with pytest.raises(InputError, match="specificity"):
        Mailer(specificity=1.2)
    with pytest.raises(InputError, match="cost must be 0 or more"):
        Mailer(cost=-1.0)
    with pytest.raises(InputError, match="value_visits"):
        screen_cases(some_cases(3))


def test_results_are_kept_and_speak(tmp_path):
    values = value_visits(some_cases(80))
    plan = plan_visits(values.cases, {"home": 60.0, "institution": 8.0})
    for k, found in enumerate((values, plan, screen_cases(values))):
        found.save(tmp_path / str(k))
        assert Result.load(tmp_path / str(k)).facts == found.facts
        for lang in ("en", "zh"):
            assert "{" not in found.finding(lang)
            assert found.figure(lang).data
