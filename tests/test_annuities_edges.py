"""Benefits by state where numbers get hard: equal rates, fast rates, times that are nearly one."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from pricing.annuities.cash_flow import cash_flow
from pricing.annuities.kolmogorov import flow, kolmogorov
from pricing.annuities.life_law import STANDARD_ULTIMATE
from pricing.annuities.life_values import life_values
from pricing.annuities.payments import AtTime, OnMove, WhileIn
from pricing.annuities.semi_markov import semi_markov
from pricing.annuities.state_model import state_model
from pricing.annuities.thiele import thiele
from pricing.errors import InputError


@pytest.mark.parametrize("rate, years", [(0.3, 10.0), (0.5, 30.0), (1.0, 5.0)])
@pytest.mark.parametrize("apart", [2.3e-16, 1e-15, 1e-12, 1e-9, 1e-6])
def test_states_left_at_nearly_the_same_rate(rate, years, apart):
    model = state_model({("well", "ill"): rate, ("ill", "dead"): rate * (1 + apart)})
    found = kolmogorov(model, age=40, years=years, start="well", step=years)
    well = np.exp(-rate * years)
    between = (
        (well - np.exp(-rate * (1 + apart) * years)) / apart
        if apart > 1e-7
        else rate * years * well
    )
    assert found.share("ill", years) == pytest.approx(between, rel=1e-5 if apart < 1e-6 else 1e-9)
    assert found.table.filter(years_since_start=years)["state_share"].sum() == pytest.approx(
        1.0, abs=1e-13
    )
    worth = thiele(model, [WhileIn("ill", 1.0)], age=40, years=years, interest=0.0, step=years)
    assert worth.reserve("well") == pytest.approx(found.years("ill"), rel=1e-12)
    # years well and years ill follow from the shares: their sum is what is not spent dead
    assert found.years("well") == pytest.approx((1 - well) / rate, rel=1e-12)
    assert found.years("ill") == pytest.approx((1 - well - between) / rate / (1 + apart), rel=1e-6)


def test_a_sum_of_rates_that_misses_by_the_last_bit():
    """0.1 + 0.2 is not 0.3 in the last bit; the shares must not mind."""
    three = state_model({("well", "ill"): 0.1, ("well", "dead"): 0.2, ("ill", "dead"): 0.3})
    found = kolmogorov(three, age=40, years=10, start="well", step=10.0)
    assert found.share("ill", 10) == pytest.approx(np.exp(-3.0), rel=1e-12)  # 0.1 · 10 · e^−3


@pytest.mark.parametrize("recovery", [5.0, 25.0, 100.0, 400.0])
def test_fast_recoveries_forwards_and_backwards(recovery):
    model = state_model({("well", "ill"): 0.5, ("ill", "well"): recovery, ("well", "dead"): 0.01,
                         ("ill", "dead"): 0.05})  # fmt: skip
    for benefit in (WhileIn("ill", 1.0), OnMove("well", "ill", 1.0)):
        forwards = cash_flow(model, [benefit], age=40, years=10, interest=0.03, start="ill").value
        backwards = thiele(model, [benefit], age=40, years=10, interest=0.03).reserve("ill")
        assert forwards == pytest.approx(backwards, rel=1e-10)


def test_a_waiting_period_with_fast_recoveries_has_its_closed_form():
    model = state_model({("ill", "well"): 40.0})
    found = cash_flow(
        model, [WhileIn("ill", 1.0, waiting=0.1)], age=40, years=2, interest=0.0, start="ill"
    )
    assert found.value == pytest.approx((np.exp(-4.0) - np.exp(-80.0)) / 40.0, rel=1e-10)


def test_rates_too_fast_to_value_are_refused():
    model = state_model({("ill", "well"): 1e5})
    with pytest.raises(InputError, match="too fast"):
        cash_flow(model, [WhileIn("ill", 1.0)], age=40, years=10, interest=0.0, start="ill")


@pytest.mark.parametrize("age", [60.1, 60.3, 60.9])
@pytest.mark.parametrize("shift", [0.0, 3e-15, 1e-13, 5e-11, -5e-11])
def test_jumps_at_ages_that_are_no_whole_numbers(age, shift):
    jumps = [age + 0.5 * k + shift for k in range(1, 8)]

    def rate(x):
        return 0.05 + 0.1 * float(np.searchsorted(jumps, x, side="right"))

    by_steps = state_model({("alive", "dead"): rate}, breaks=jumps)  # solved step by step
    level = state_model({("alive", "dead"): rate}, breaks=jumps, constant=True)  # exponentials
    a, b = (
        kolmogorov(model, age=age, years=4, start="alive", step=0.5).table
        for model in (by_steps, level)
    )
    for column in ("state_share", "years_in_state"):
        assert np.allclose(a[column], b[column], rtol=0, atol=1e-9)
    assert a.filter(in_state="alive")["state_share"].min() > 0.05
    a, b = (
        thiele(model, [WhileIn("alive", 1.0)], age=age, years=4, interest=0.02, step=0.5).table
        for model in (by_steps, level)
    )
    assert np.allclose(a["state_reserve"], b["state_reserve"], rtol=0, atol=1e-9)


def test_times_a_hair_apart_are_paid_once_each():
    model = state_model({("alive", "dead"): 0.5})
    near = np.array([0.0, 1.0, 1.0 + 5e-11, 2.0])
    shares = flow(model, 0.0, near, np.array([1.0, 0.0]))[0][:, 0]
    assert np.allclose(shares, np.exp(-0.5 * near), rtol=0, atol=1e-9)
    want = 2 * np.exp(-0.5) + np.exp(-1.0)
    for gap in (5e-11, 5e-10, 5e-9):
        paid = [AtTime("alive", 1.0, (1.0, 1.0 + gap, 2.0))]
        assert cash_flow(
            model, paid, age=0, years=3, interest=0.0, start="alive"
        ).value == pytest.approx(want)
        assert thiele(model, paid, age=0, years=3, interest=0.0).reserve("alive") == pytest.approx(
            want
        )
    ages = state_model({("alive", "dead"): lambda x: 0.5})
    assert thiele(ages, paid, age=0, years=3, interest=0.0).reserve("alive") == pytest.approx(want)


@pytest.mark.parametrize("per_year", [0, -2, 2.5])
@pytest.mark.parametrize("within", ["uniform", "woolhouse"])
def test_parts_of_a_year_that_are_none(per_year, within):
    with pytest.raises(InputError, match="parts of a year"):
        life_values(STANDARD_ULTIMATE, age=60, interest=0.02, per_year=per_year, within=within)


@pytest.mark.parametrize("interest", [0.0, -0.02, 0.03])
def test_premiums_close_where_interest_is_nothing_or_less(interest):
    model = state_model({("well", "ill"): 0.1, ("ill", "well"): 0.6, ("well", "dead"): lambda x: 0.0001 * 1.1**x,
                         ("ill", "dead"): 0.1})  # fmt: skip
    paid = [AtTime("well", 10.0, (0.0, 10.0)), WhileIn("ill", 100.0, start=1.3, end=7.7),
            OnMove("ill", "dead", 50.0, end=9.25)]  # fmt: skip
    premiums = [AtTime("well", 1.0, tuple(float(n) for n in range(10)))]
    forwards = cash_flow(
        model, paid, age=40.3, years=10, interest=interest, start="well", premiums=premiums
    )
    backwards = thiele(
        model, paid, age=40.3, years=10, interest=interest, premiums=premiums, step=0.1
    )
    assert forwards.level_premium == pytest.approx(backwards.facts["level_premium"], rel=1e-9)
    assert backwards.reserve("well") == pytest.approx(0.0, abs=1e-8)
    assert backwards.table.filter(pl.col("years_since_start") == 10.0)[
        "state_reserve"
    ].to_list() == [10.0, 0.0, 0.0]


def test_a_scheme_that_has_not_settled_gives_nothing():
    """A jump between the steps, and rates too fast for them: 2.92 was given where 3.42 is right."""
    care = [WhileIn("ill", 1.0)]
    told = {"age": 40, "years": 10, "interest": 0.0}
    jump = {("ill", "well"): lambda x, z: np.where(z < 1 / 3, 2.0, 0.1)}
    with pytest.raises(InputError, match="has not settled"):
        semi_markov(jump, care, step=1 / 4, **told)
    with pytest.raises(InputError, match="has not settled"):
        semi_markov({("well", "ill"): 10.0, ("ill", "well"): 100.0}, care, step=1 / 4, **told)
    whole = (1 - np.exp(-2 / 3)) / 2 + np.exp(-2 / 3) * (1 - np.exp(-0.1 * (10 - 1 / 3))) / 0.1
    assert semi_markov(jump, care, step=1 / 12, **told).reserve("ill") == pytest.approx(
        whole, rel=1e-9
    )
