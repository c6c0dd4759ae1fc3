"""Queues and staff: closed forms, scipy's Poisson law, simulation, and what no staff can do."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import gamma, poisson

from pricing.errors import InputError
from pricing.services.capacity import service_capacity
from pricing.services.queue import (
    busy_rate,
    erlang_b,
    erlang_c,
    mean_wait,
    servers_needed,
    wait_over,
)
from pricing.services.staffing import ResponseStandard, staff_for, waiting_by_staff


@pytest.mark.parametrize(
    ("a", "c", "b", "w"),
    [(10, 12, 0.119739, 0.449388), (2, 3, 0.210526, 0.444444), (100, 110, 0.027463, 0.237008)],
)
def test_the_printed_cases(a, c, b, w):
    assert erlang_b(a, c)[0] == pytest.approx(b, abs=5e-7)
    assert erlang_c(a, c)[0] == pytest.approx(w, abs=5e-7)


@given(st.floats(0.01, 1.3), st.integers(1, 2000))
@settings(max_examples=60, deadline=None)
def test_the_recursion_is_the_ratio_of_poisson_terms(ratio, c):
    a = ratio * c
    oracle = math.exp(poisson.logpmf(c, a) - poisson.logcdf(c, a))
    assert erlang_b(a, c)[0] == pytest.approx(oracle, rel=1e-9, abs=1e-300)


def test_large_loads_neither_overflow_nor_drift():
    a = 50_000.0
    assert 0 < erlang_c(a, 50_300)[0] < 1
    oracle = math.exp(poisson.logpmf(50_300, a) - poisson.logcdf(50_300, a))
    assert erlang_b(a, 50_300)[0] == pytest.approx(oracle, rel=1e-7)


def test_waits_are_those_of_a_simulated_queue():
    random = np.random.default_rng(7)
    n, c, s, a = 200_000, 4, 6.0, 3.2
    arrive = np.cumsum(random.exponential(s / a, n))
    work = random.exponential(s, n)
    free, waits = [0.0] * c, np.empty(n)
    for i in range(n):
        k = min(range(c), key=free.__getitem__)
        begin = max(arrive[i], free[k])
        waits[i], free[k] = begin - arrive[i], begin + work[i]
    late = waits[2000:]
    assert (late > 0).mean() == pytest.approx(erlang_c(a, c)[0], abs=0.015)
    assert (late > 5.0).mean() == pytest.approx(wait_over(a, c, time=5.0, handling=s)[0], abs=0.015)
    assert late.mean() == pytest.approx(mean_wait(a, c, handling=s)[0], rel=0.06)


@given(st.floats(0.05, 400), st.floats(0, 30), st.floats(0.5, 0.999))
@settings(max_examples=60, deadline=None)
def test_the_staff_found_is_the_smallest(a, time, share):
    c = int(servers_needed(a, time=time, handling=8.0, share=share)[0])
    assert wait_over(a, c, time=time, handling=8.0)[0] <= 1 - share + 1e-12
    if c - 1 > a:
        assert wait_over(a, c - 1, time=time, handling=8.0)[0] > 1 - share - 1e-12
    else:
        assert c - 1 <= a


def test_units_of_time_do_not_matter():
    minutes = servers_needed([3.0, 40.0], time=0.5, handling=8.0, share=0.8)
    seconds = servers_needed([3.0, 40.0], time=30.0, handling=480.0, share=0.8)
    assert minutes.tolist() == seconds.tolist()


def test_an_unstable_queue_is_named():
    with pytest.raises(InputError, match="unstable: a load of 12 on 12 servers") as said:
        erlang_c(12, 12)
    assert "at least 13 servers" in str(said.value)
    with pytest.raises(InputError, match="unstable"):
        wait_over([1.0, 5.0], 3, time=1.0, handling=1.0)
    with pytest.raises(InputError, match="unstable up to 5 servers"):
        waiting_by_staff(60.0, ResponseStandard(within=1.0, share=0.9, handling=10.0), most=5)


@pytest.mark.parametrize(
    "call",
    [
        lambda: servers_needed(1.0, time=1.0, handling=1.0, share=1.0),
        lambda: servers_needed(1.0, time=1.0, handling=1.0, share=0.0),
        lambda: servers_needed(1.0, time=-1.0, handling=1.0, share=0.5),
        lambda: servers_needed(1.0, time=1.0, handling=0.0, share=0.5),
        lambda: servers_needed(float("nan"), time=1.0, handling=1.0, share=0.5),
        lambda: servers_needed(2e6, time=1.0, handling=1.0, share=0.5),
        lambda: servers_needed("ten", time=1.0, handling=1.0, share=0.5),
        lambda: erlang_b(-1.0, 3),
        lambda: erlang_b(1.0, 2.5),
        lambda: erlang_b(1.0, "3"),
        lambda: erlang_c(1.0, 0),
        lambda: busy_rate(-1.0, cv=0.1, quantile=0.9),
        lambda: busy_rate(1.0, cv=0.1, quantile=1.0),
        lambda: busy_rate(1.0, cv=math.nan, quantile=0.5),
    ],
)
def test_what_is_no_queue_is_refused(call):
    with pytest.raises(InputError):
        call()


def test_every_fault_of_a_standard_is_said_at_once():
    with pytest.raises(InputError, match="no staff can meet") as said:
        ResponseStandard(within=-1, share=1.0, handling=0, shrinkage=1.0, cost_a_year=-5)
    text = str(said.value)
    for name in ("within", "share", "handling", "shrinkage", "cost_a_year"):
        assert name in text
    with pytest.raises(InputError, match="handling must be above zero, got '8'"):
        ResponseStandard(within=1, share=0.9, handling="8")


def standard(**more):
    given = {"within": 0.5, "share": 0.8, "handling": 8.0, "cost_a_year": 300_000.0}
    return ResponseStandard(**given | more)


def test_staff_of_a_day_adds_up():
    found = staff_for(2_000_000, standard())
    table, facts = found.table, found.facts
    assert table["arrivals"].sum() == pytest.approx(2_000_000 / 365)
    assert (table["answered_in_time"] >= 0.8).all()
    assert (table["servers"] > table["load"]).all()
    exact = table["servers"].sum() * 365 / (2000 * 0.7)
    assert facts["full_time"] == math.ceil(exact)
    assert facts["cost"] == facts["full_time"] * 300_000
    assert facts["cost_per_use"] * 2_000_000 == pytest.approx(facts["cost"])


def test_a_stricter_promise_never_needs_fewer():
    kept = [
        staff_for(1_000_000, standard(share=share, within=within)).facts["full_time"]
        for share, within in ((0.8, 120.0), (0.8, 0.5), (0.95, 0.5), (0.99, 0.0))
    ]
    assert kept == sorted(kept)


def test_hours_that_are_shut_have_nobody():
    pattern = [0.0] * 8 + [1.0] * 12 + [0.0] * 4
    table = staff_for(500_000, standard(), pattern=pattern).table
    assert table.filter(table["arrivals"] == 0)["servers"].to_list() == [0] * 12
    assert table.filter(table["arrivals"] == 0)["answered_in_time"].to_list() == [1.0] * 12


def test_the_standard_holds_on_exactly_the_days_promised():
    """Of gamma days, the staff at the 90 % quantile keep the standard on at least 90 %."""
    cv, uses = 0.3, 3_000_000.0
    found = staff_for(uses, standard(day_cv=cv, day_quantile=0.9), pattern=[1.0] * 24)
    servers = int(found.table["servers"][0])
    mean_load = uses / 365 / 24 * 8.0 / 60
    days = gamma.rvs(1 / cv**2, scale=mean_load * cv**2, size=20_000, random_state=1)
    stable = days < servers
    over = np.ones(days.size)
    over[stable] = wait_over(days[stable], servers, time=0.5, handling=8.0)
    assert (over <= 0.2).mean() == pytest.approx(0.9, abs=0.02)


def test_the_waiting_table_finds_the_same_staff():
    found = waiting_by_staff(786.0, standard())
    first = found.table.filter(found.table["answered_in_time"] >= 0.8)["servers"][0]
    assert first == found.facts["needed"]
    assert found.table["mean_wait"].is_sorted(descending=True)
    for lang in ("en", "zh"):
        assert len(found.figure(lang).data) == 2
        assert found.finding(lang)


@pytest.mark.parametrize(
    "pattern", [[1.0] * 23, [0.0] * 24, [-1.0] * 24, [math.nan] * 24, ["a"] * 24]
)
def test_a_day_is_24_weights(pattern):
    with pytest.raises(InputError, match="pattern"):
        staff_for(1000, standard(), pattern=pattern)


@pytest.mark.parametrize("uses", [0, -1, math.nan, "many", True])
def test_uses_must_be_above_zero(uses):
    with pytest.raises(InputError, match="above zero"):
        staff_for(uses, standard())


def test_capacity_is_arithmetic_and_refuses_nonsense():
    found = service_capacity(
        doctors=400, registered=8_000_000, active_share=0.25, uses_per_active=1.4, per_doctor_day=50
    )
    assert found.facts["registered_per_doctor"] == 20_000
    assert found.facts["active_per_doctor"] == 5_000
    assert found.facts["doctors_needed"] == pytest.approx(2_000_000 * 1.4 / 50 / 250)
    assert found.facts["active_limit"] == pytest.approx(400 * 12_500 / (8_000_000 * 1.4))
    assert round(found.facts["benchmark"]) == 447
    assert found.table["active_share"].is_sorted()
    with pytest.raises(InputError) as said:
        service_capacity(
            doctors=0, registered=-1, active_share=math.nan, uses_per_active=1, per_doctor_day=1
        )
    assert len(said.value.faults) == 3
    with pytest.raises(InputError, match="at most 1"):
        service_capacity(
            doctors=1, registered=1, active_share=1.5, uses_per_active=1, per_doctor_day=1
        )
