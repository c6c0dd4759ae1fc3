"""Periods of a policy: free look, waiting period, shortest term of long-term care."""

from __future__ import annotations

from datetime import date

from pricing.regulation.check import Check, Condition, at_least, at_most, checked, require_amount
from pricing.regulation.product import Product
from pricing.regulation.rule import Rulebook, read_rules

__all__ = ["check_policy_terms"]


def check_policy_terms(
    product: Product,
    *,
    free_look_days: float,
    waiting_days: float,
    on: date,
    rules: Rulebook | None = None,
) -> Check:
    """Hold the periods of a policy against the regulator's limits.

    Parameters
    ----------
    product : Product
        Long-term products need a free look; illness, medical and care have a limit on waiting; care
        of more than a year has a shortest term.
    free_look_days, waiting_days : float
        Days, zero or more.
    on : date
        Day checked.
    rules : Rulebook, optional
        Instead of the bundled rules.

    Raises
    ------
    InputError
        For days below zero or no numbers.

    Notes
    -----
    健康保险管理办法 (2019): free look of 15 days or more (art. 15), waiting of at most 180 days
    (art. 27), long-term care of five years or more (art. 4).

    Examples
    --------
    >>> care = Product(kind="care", term_years=3)
    >>> found = check_policy_terms(care, free_look_days=20, waiting_days=90, on=date(2024, 1, 1))
    >>> found.table.select("condition", "verdict").rows()
    [('free_look', 'pass'), ('waiting_period', 'pass'), ('care_term', 'fail')]
    """
    look = require_amount("free_look_days", free_look_days)
    wait = require_amount("waiting_days", waiting_days)
    book = rules or read_rules()
    names = ("free_look", "waiting_period", "care_term")
    found = [book.cited(name, on) for name in names]
    look_days, wait_days, years = (
        rule.numbers[n] for (rule, _), n in zip(found, ("days", "days", "years"), strict=True)
    )
    waits = product.kind in ("illness", "medical", "care")
    care = product.kind == "care" and product.long_term
    conditions = [
        Condition(
            name="free_look",
            holds=at_least(look, look_days) if product.long_term else None,
            value=look,
            threshold=look_days,
            unit="days",
        ),
        Condition(
            name="waiting_period",
            holds=at_most(wait, wait_days) if waits else None,
            value=wait,
            threshold=wait_days,
            relation="at_most",
            unit="days",
        ),
        Condition(
            name="care_term",
            holds=at_least(product.term_years, years) if care else None,
            value=product.term_years,
            threshold=years,
            unit="count",
        ),
    ]
    in_force = all(there for _, there in found)
    return checked(Check, [rule for rule, _ in found], True, conditions, on, in_force=in_force)
