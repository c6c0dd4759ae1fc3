"""Booked recovery: what the accounts of a round of reviews say per visit, and what they leave out."""

from __future__ import annotations

from pricing.reassessment.domain import require_settings

__all__ = ["recovery_per_visit", "review_economics"]

INF = float("inf")


def recovery_per_visit(
    visits: float, recovered: float, monthly_benefit: float, stop_value: float
) -> dict[str, float]:
    """Say what a round recovered per visit, in money and months, and how few true stops equal it.

    Money recovered is leakage of the past only; a benefit rightly stopped saves the months to come,
    which no account books.

    Parameters
    ----------
    visits : float
        Made, above 0.
    recovered : float
        Booked, in currency.
    monthly_benefit : float
        Above 0.
    stop_value : float
        Present value of a benefit that is stopped, above 0.

    Returns
    -------
    dict of str to float
        per_visit, benefit_months, months_per_visit, and visits_per_stop: one true stop in so many
        visits brings as much as was booked.

    Examples
    --------
    >>> found = recovery_per_visit(2_918, 481_700.0, 600.0, 22_790.0)
    >>> round(found["per_visit"]), round(found["benefit_months"]), round(found["visits_per_stop"])
    (165, 803, 138)
    """
    names = ("visits", "recovered", "monthly_benefit", "stop_value")
    require_settings(dict.fromkeys(names, (0.0, INF)), names, visits=visits, recovered=recovered, monthly_benefit=monthly_benefit, stop_value=stop_value)  # fmt: skip
    per_visit = recovered / visits
    months = recovered / monthly_benefit
    return {
        "per_visit": per_visit,
        "benefit_months": months,
        "months_per_visit": months / visits,
        "visits_per_stop": stop_value / per_visit,
    }


def review_economics(
    reviews: float, stopped: float, upheld: float, present_value: float, savings_ratio: float
) -> dict[str, float]:
    """Say what a programme of reviews stops, what survives appeal, and what a review saves and costs.

    Parameters
    ----------
    reviews, stopped, upheld : float
        Full reviews, benefits stopped at first, and stopped for good after appeals.
    present_value : float
        Of all benefits saved.
    savings_ratio : float
        Present value over cost.

    Returns
    -------
    dict of str to float
        stopped_share, upheld_share, survives_appeal, value_per_review, cost_per_review, value_per_stop.

    Examples
    --------
    >>> found = review_economics(799_013, 209_270, 137_195, 14.3e9, 19.9)
    >>> round(found["value_per_review"]), round(found["cost_per_review"])
    (17897, 899)
    """
    names = ("reviews", "stopped", "upheld", "present_value", "savings_ratio")
    require_settings(
        {"reviews": (0.0, INF), "stopped": (0.0, reviews), "upheld": (0.0, stopped), "present_value": (0.0, INF), "savings_ratio": (0.0, INF)},
        names, reviews=reviews, stopped=stopped, upheld=upheld, present_value=present_value, savings_ratio=savings_ratio,
    )  # fmt: skip
    value = present_value / reviews
    return {
        "stopped_share": stopped / reviews,
        "upheld_share": upheld / reviews,
        "survives_appeal": upheld / stopped,
        "value_per_review": value,
        "cost_per_review": value / savings_ratio,
        "value_per_stop": present_value / upheld,
    }
