"""What a column or a headline figure counts, where its name tells: persons, or a share of something."""

from __future__ import annotations

import polars as pl

__all__ = ["PERSONS", "SHARES", "persons_text", "row_quantities"]

PERSONS = frozenset({  # persons, cases and uses; expected ones are no whole numbers
    "active_users", "cases", "cases_paid", "cases_visited", "channel_cases", "claims_linked",
    "customers", "deaths", "disabled", "doctors_needed", "entrants", "expected_found",
    "expected_number", "expected_pairs", "expected_repeat_events", "expected_struck",
    "failing_bands", "found_ineligible", "full_time_staff", "headcount", "healthy", "in_cover",
    "in_payment", "in_payment_first", "in_payment_last", "insured_lives", "lapsed",
    "levels_losing", "lives", "members", "members_at_end", "members_lower", "members_needed",
    "members_upper", "messages_aside", "new_members", "onsets", "other_exits", "payers", "people",
    "persons", "recoveries", "repeat_events", "uses_expected", "visits",
})  # fmt: skip
SHARES = frozenset({  # beside those that the report's tables know
    "active_share", "added", "aid_paid_share", "answered_in_time", "cap_reached", "captured_share",
    "charged_share", "claim_coinsurance", "claims_fall", "fitted_share", "found_share",
    "leaking_best", "leaking_present", "loss_ratio_median", "loss_ratio_p95", "loss_ratio_p995",
    "members_share", "misplaced_share", "occupancy", "of_total", "payout_ratio",
    "predicted_share", "required_share", "share_falls", "share_negative", "share_of_expected",
    "share_of_net", "stable_members", "take_up_change", "take_up_first_year",
    "take_up_last_year", "uptake_lower", "uptake_seen", "uptake_upper", "utilisation",
    "visited_share", "wait_probability",
})  # fmt: skip
MIXED = ("before", "after", "difference", "part_of_difference")  # as the row's quantity counts
OF_UNIT = ("value", "threshold")  # as the row's unit says


def persons_text(value: float | None) -> str:
    """Write a number of persons: whole, and an expectation below ten with one decimal.

    Examples
    --------
    >>> persons_text(1747.47), persons_text(9.62), persons_text(3.0), persons_text(-429.4)
    ('1,747', '9.6', '3', '-429')
    """
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 9.95 or float(value).is_integer() else f"{value:,.1f}"


def row_quantities(table: pl.DataFrame) -> tuple[list[str], list[str]]:
    """Tell the columns of a table whose figures count another thing in each row, and what by row.

    Returns
    -------
    tuple of list of str
        The columns; by row the name of the quantity, ``share`` where its unit is one. Both are
        empty where a column counts one thing throughout.

    Examples
    --------
    >>> row_quantities(pl.DataFrame({"quantity": ["loss_ratio", "bill"], "before": [0.7, 440.4]}))
    (['before'], ['loss_ratio', 'bill'])
    >>> row_quantities(pl.DataFrame({"unit": ["share", "days"], "value": [0.8, 30.0]}))
    (['value'], ['share', 'days'])
    """
    for name, columns in (("quantity", MIXED), ("unit", OF_UNIT)):
        there = [c for c in columns if c in table.columns and table.schema[c].is_numeric()]
        if name in table.columns and there:
            return there, [str(v) for v in table[name].cast(pl.String).fill_null("").to_list()]
    return [], []
