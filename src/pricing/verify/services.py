"""Services: Erlang's formulas, the incidence behind a green channel, printed capacities."""

from __future__ import annotations

import math
from collections.abc import Mapping

import polars as pl

from pricing.services.activation import activation_rates
from pricing.services.capacity import BENCHMARKS, service_capacity
from pricing.services.queue import erlang_b, erlang_c, mean_wait, wait_over

__all__ = ["capacities", "channel_incidence", "erlang", "waits"]

Found = tuple[str, Mapping[str, str], Mapping[str, float]]


def erlang() -> Found:
    """Probability that all servers are busy, without and with waiting, at three loads.

    Examples
    --------
    >>> round(erlang()[2]["B, A=10 c=12"], 6)
    0.119739
    """
    printed = {
        "B, A=10 c=12": "0.119739", "C, A=10 c=12": "0.449388",
        "B, A=2 c=3": "0.210526", "C, A=2 c=3": "0.444444",
        "B, A=100 c=110": "0.027463", "C, A=100 c=110": "0.237008",
    }  # fmt: skip
    ours: dict[str, float] = {}
    for a, c in ((10, 12), (2, 3), (100, 110)):
        ours[f"B, A={a} c={c}"] = float(erlang_b(a, c)[0])
        ours[f"C, A={a} c={c}"] = float(erlang_c(a, c)[0])
    return "Erlang (1917), loss and delay formulas, summed term by term", printed, ours


def waits() -> Found:
    """Waiting with one server is M/M/1: C = ρ, P(W > t) = ρe^{−(μ−λ)t}, mean ρ/(μ − λ).

    Examples
    --------
    >>> waits()[2]["mean, one server at 3/4"]
    3.0
    """
    printed = {
        "over 2, one server at 3/4": f"{0.75 * math.exp(-0.5):.6f}",
        "mean, one server at 3/4": "3.000000",
        "over 1, two servers at load 1": f"{math.exp(-1) / 3:.6f}",
        "mean, two servers at load 1": f"{1 / 3:.6f}",
    }
    ours = {
        "over 2, one server at 3/4": float(wait_over(0.75, 1, time=2.0, handling=1.0)[0]),
        "mean, one server at 3/4": float(mean_wait(0.75, 1, handling=1.0)[0]),
        "over 1, two servers at load 1": float(wait_over(1.0, 2, time=1.0, handling=1.0)[0]),
        "mean, two servers at load 1": float(mean_wait(1.0, 2, handling=1.0)[0]),
    }
    return "M/M/1 and M/M/2 in closed form, Cooper (1981), section 3.4", printed, ours


def channel_incidence() -> Found:
    """First diagnoses of 28 severe illnesses behind an activation, per mille.

    Examples
    --------
    >>> round(channel_incidence()[2]["men 40"], 3)
    2.299
    """
    printed = {
        "men 30": "0.812", "men 40": "2.299", "men 50": "6.101", "men 60": "14.865",
        "men 70": "31.498", "women 30": "0.882", "women 40": "2.758", "women 50": "5.587",
        "women 60": "10.086", "women 70": "19.674",
    }  # fmt: skip
    rates = activation_rates(mild_scope=0.0)
    cells = pl.DataFrame({"age": [30, 40, 50, 60, 70]}).join(
        pl.DataFrame({"sex": ["male", "female"]}), how="cross"
    )
    found = cells.with_columns(rate=rates.rate() * 1000)
    named = {"male": "men", "female": "women"}
    ours = {f"{named[sex]} {age}": rate for age, sex, rate in found.rows()}
    return "China critical-illness tables (2020), CI4", printed, ours


def capacities() -> Found:
    """Registered users per doctor, consultations per staff-day, revenue per paying user.

    Examples
    --------
    >>> capacities()[2]["registered per doctor"]
    20000.0
    """
    printed = {
        "registered per doctor": "20000",
        "consultations per staff-day": "447",
        "revenue per cumulative paying user": "60",
    }
    found = service_capacity(
        doctors=400, registered=8_000_000, active_share=1.0, uses_per_active=1.0, per_doctor_day=50
    )
    ours = {
        "registered per doctor": found.facts["registered_per_doctor"],
        "consultations per staff-day": BENCHMARKS["consultations_a_day"] / BENCHMARKS["staff"],
        "revenue per cumulative paying user": 2_288e6 / 38e6,
    }
    source = "400 doctors, 8 m registered (programme); Ping An Good Doctor, reports 2018 and 2021"
    return source, printed, ours
