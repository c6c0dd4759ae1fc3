"""Is the reserve for claims not yet reported the largest of at least two methods, or a tenth of paid."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from pricing.errors import InputError, nearest
from pricing.regulation.check import Check, Condition, at_least, checked, require_amount
from pricing.regulation.rule import Rulebook, read_rules

__all__ = ["METHODS", "check_ibnr"]

METHODS = (
    "chain_ladder",
    "average_cost",
    "reserve_development",
    "bornhuetter_ferguson",
    "expected_loss_ratio",
)


def check_ibnr(
    held: float,
    *,
    estimates: Mapping[str, float],
    paid: float,
    data_years: float,
    on: date,
    rules: Rulebook | None = None,
) -> Check:
    """Hold the IBNR reserve of health business against the least the regulator asks for.

    Parameters
    ----------
    held : float
        The reserve, currency.
    estimates : mapping of str to float
        Reserve by method, each one of :data:`METHODS`; may be empty with less than three years.
    paid : float
        Claims paid in the accounting year, currency.
    data_years : float
        Years of claims experience.
    on : date
        Day of the accounts.
    rules : Rulebook, optional
        Instead of the bundled rules.

    Raises
    ------
    InputError
        For an unknown method, amounts below zero or no numbers.

    Notes
    -----
    At least two of chain ladder, average cost, reserve development, Bornhuetter–Ferguson and loss
    ratio, the largest taken; with less than three years of data at least 10 % of the year's paid
    claims. 健康保险管理办法 (2019) art. 49.

    Examples
    --------
    >>> found = check_ibnr(100.0, estimates={"chain_ladder": 90.0, "bornhuetter_ferguson": 110.0},
    ...                    paid=800.0, data_years=5, on=date(2024, 12, 31))
    >>> found.verdict, found.table.filter(verdict="fail")["threshold"].to_list()
    ('fail', [110.0])
    """
    unknown = [name for name in estimates if name not in METHODS]
    if unknown:
        raise InputError(
            f"{len(unknown)} methods are none of the five",
            faults=[f"{name!r}{nearest(str(name), METHODS)}" for name in unknown],
        )
    reserve = require_amount("the reserve held", held)
    found = {name: require_amount(name, amount) for name, amount in estimates.items()}
    rule, in_force = (rules or read_rules()).cited("ibnr", on)
    numbers = rule.numbers
    enough = at_least(require_amount("data_years", data_years), numbers["data_years"])
    least = numbers["share_of_paid"] * require_amount("claims paid", paid)
    largest = max(found, key=lambda name: found[name], default="")
    conditions = [
        Condition(
            name="ibnr_methods",
            holds=at_least(len(found), numbers["methods"]) if enough else None,
            value=float(len(found)),
            threshold=numbers["methods"],
            unit="count",
        ),
        Condition(
            name="ibnr_largest",
            holds=at_least(reserve, found[largest]) if enough and found else None,
            value=reserve,
            threshold=found.get(largest),
            unit="currency",
            segment=largest,
        ),
        Condition(
            name="ibnr_share_of_paid",
            holds=None if enough else at_least(reserve, least),
            value=reserve,
            threshold=least,
            unit="currency",
        ),
    ]
    return checked(Check, [rule] * 3, True, conditions, on, in_force=in_force)
