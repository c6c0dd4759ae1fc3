"""Published figures of re-assessment: Yantai's round of 2024, and the reviews of American disability benefits."""

from __future__ import annotations

from collections.abc import Mapping
from math import expm1

import polars as pl
from scipy.integrate import quad

from pricing.reassessment.booked import recovery_per_visit, review_economics
from pricing.reassessment.interval import best_interval, leaking_share

__all__ = ["american_reviews", "interval_condition", "yantai_round"]

Found = tuple[str, Mapping[str, str], Mapping[str, float]]


def yantai_round() -> Found:
    """Recompute what Yantai's visits of 2024 recovered each, and the stops that equal it.

    The value of a claim in force at 80, 22,790 for men and 25,107 for women at 2.5 %, is that of the
    static Chinese intensities of Fu, Sherris and Xu, which the area ``annuities`` reproduces.

    Examples
    --------
    >>> round(yantai_round()[2]["recovered per visit"])
    165
    """
    printed = {
        "visits": "2918", "recovered per visit": "165", "benefit-months recovered": "803",
        "benefit-months per visit": "0.275", "visits per true stop, men": "138",
        "visits per true stop, women": "152",
    }  # fmt: skip
    visits = 2_658 + 260
    men, women = (recovery_per_visit(visits, 481_700.0, 600.0, v) for v in (22_790.0, 25_107.0))
    ours = {
        "visits": float(visits), "recovered per visit": men["per_visit"],
        "benefit-months recovered": men["benefit_months"],
        "benefit-months per visit": men["months_per_visit"],
        "visits per true stop, men": men["visits_per_stop"],
        "visits per true stop, women": women["visits_per_stop"],
    }  # fmt: skip
    return (
        "Yantai long-term care insurance, 2024: 2,658 and 260 visits, 481,700 yuan",
        printed,
        ours,
    )


def american_reviews() -> Found:
    """Recompute the continuing disability reviews of fiscal year 2015.

    Examples
    --------
    >>> round(american_reviews()[2]["survives appeal, %"], 1)
    65.6
    """
    printed = {
        "stopped at first, %": "26.2", "stopped after appeal, %": "17.2", "survives appeal, %": "65.6",
        "present value per review": "17897", "cost per review": "899",
        "present value per final stop": "104231",
    }  # fmt: skip
    found = review_economics(799_013, 209_270, 137_195, 14.3e9, 19.9)
    ours = {
        "stopped at first, %": 100 * found["stopped_share"],
        "stopped after appeal, %": 100 * found["upheld_share"],
        "survives appeal, %": 100 * found["survives_appeal"],
        "present value per review": found["value_per_review"],
        "cost per review": found["cost_per_review"],
        "present value per final stop": found["value_per_stop"],
    }
    return (
        "Social Security Administration, reviews of FY 2015 (letter of 2019-08-21)",
        printed,
        ours,
    )


def interval_condition() -> Found:
    """Hold the best interval against its own condition, B·d leak/dT = c/T², by quadrature.

    Examples
    --------
    >>> round(interval_condition()[2]["benefit saved by the last moment ÷ visits spared"], 6)
    1.0
    """
    h, benefit, cost = 0.12, 7_200.0, 230.0
    grades = pl.DataFrame({"grade": ["a"], "hazard_rate": [h], "monthly_benefit": [benefit / 12], "cost": [cost]})  # fmt: skip
    t = float(best_interval(grades, validity_months=1e3).table["best_months"][0]) / 12
    # d/dT of the mean of a function over [0, T] is (its value at T less the mean) ÷ T
    slope = (-expm1(-h * t) - float(leaking_share(h, t))) / t
    mean = quad(lambda u: -expm1(-h * u), 0.0, t)[0] / t
    printed = {"benefit saved by the last moment ÷ visits spared": "1.000000", "mean leakage ÷ quadrature": "1.000000"}  # fmt: skip
    ours = {
        "benefit saved by the last moment ÷ visits spared": benefit * slope / (cost / t**2),
        "mean leakage ÷ quadrature": float(leaking_share(h, t)) / mean,
    }
    return "closed form of the interval between visits", printed, ours
