"""Published figures of re-assessment: Yantai's round of 2024, and the reviews of American disability benefits."""

from __future__ import annotations

from collections.abc import Mapping

from pricing.reassessment.booked import recovery_per_visit, review_economics
from pricing.verify.annuities import chinese_disability

__all__ = ["american_reviews", "yantai_round"]

Found = tuple[str, Mapping[str, str], Mapping[str, float]]


def yantai_round() -> Found:
    """Recompute what Yantai's visits of 2024 recovered each, and the stops that equal it.

    The value of a claim in force at 80, 22,790 for men and 25,107 for women at 2.5 %, is that of the
    static Chinese intensities of Fu, Sherris and Xu, as :func:`pricing.verify.annuities.chinese_disability`
    computes it.

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
    worth = chinese_disability()[2]
    men, women = (
        recovery_per_visit(visits, 481_700.0, 600.0, worth[f"{sex}, disabled at 80, 7,200 a year"])
        for sex in ("men", "women")
    )
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
