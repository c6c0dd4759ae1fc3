"""Loss ratios by the regulator's own formulas, each term kept beside the result."""

from __future__ import annotations

from datetime import date

import polars as pl

from pricing.errors import InputError
from pricing.regulation.check import require_amount
from pricing.regulation.rule import Rule, Rulebook, read_rules
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, say

__all__ = ["RegulatoryLossRatio", "comprehensive_loss_ratio", "gate_loss_ratio"]


class RegulatoryLossRatio(Result):
    """A loss ratio by a regulator's formula.

    ``.table``: part (incurred, earned), item, amount with its sign; the parts add up to the two sides
    of ``.ratio``.

    Examples
    --------
    >>> found = gate_loss_ratio(claims_paid=60, outstanding_opening=10, outstanding_closing=15,
    ...                         premium=100, unearned_opening=40, unearned_closing=50)
    >>> print(found.finding())
    Loss ratio of the rate-adjustment gate (CBIRC notice [2020] No. 27): 65.00 ÷ 90.00 = 72.22%.
    """

    kind = "regulatory_loss_ratio"

    @property
    def ratio(self) -> float:
        """Claims over premium, a fraction."""
        return float(self.facts["ratio"])

    def finding(self, lang: Language = "en") -> str:
        """Name both sides of the ratio."""
        facts = self.facts
        return say(
            f"finding.{self.kind}",
            lang,
            title=facts[f"title_{lang}"],
            article=facts[f"article_{lang}"],
            incurred=facts["incurred"],
            earned=facts["earned"],
            ratio=facts["ratio"],
        )


def gate_loss_ratio(
    *,
    claims_paid: float,
    outstanding_opening: float,
    outstanding_closing: float,
    premium: float,
    unearned_opening: float,
    unearned_closing: float,
    on: date | None = None,
    rules: Rulebook | None = None,
) -> RegulatoryLossRatio:
    """Compute the loss ratio that the rate-adjustment gate looks at.

    Parameters
    ----------
    claims_paid, premium : float
        Claims paid and premium of the year, currency, zero or more.
    outstanding_opening, outstanding_closing, unearned_opening, unearned_closing : float
        Outstanding claims and unearned premium at both ends of the year, zero or more.
    on : date, optional
        Day of the adjustment; the newest version of the rule where left out.

    Raises
    ------
    InputError
        For amounts below zero or no numbers, and an earned premium that is not above zero.

    Notes
    -----
    (claims paid + closing − opening outstanding) ÷ (premium + opening − closing unearned),
    银保监办发〔2020〕27号 (2020).

    Examples
    --------
    >>> round(gate_loss_ratio(claims_paid=60, outstanding_opening=10, outstanding_closing=15,
    ...     premium=100, unearned_opening=40, unearned_closing=50).ratio, 6)
    0.722222
    """
    rule = _in_force(rules, "rate_adjustment_loss_ratio", on)
    claims = {
        "claims_paid": claims_paid,
        "outstanding_closing": outstanding_closing,
        "outstanding_opening": outstanding_opening,
    }
    earned = {
        "written_premium": premium,
        "unearned_opening": unearned_opening,
        "unearned_closing": unearned_closing,
    }
    return _ratio(rule, claims, earned)


def comprehensive_loss_ratio(
    *,
    claims_paid: float,
    outstanding_opening: float,
    outstanding_closing: float,
    ibnr_opening: float,
    ibnr_closing: float,
    earned_premium: float,
    on: date | None = None,
    rules: Rulebook | None = None,
) -> RegulatoryLossRatio:
    """Compute the 综合赔付率 of short-term health business, everything net of reinsurance.

    Parameters
    ----------
    claims_paid, earned_premium : float
        Claims paid and premium earned, net of reinsurance, currency.
    outstanding_opening, outstanding_closing, ibnr_opening, ibnr_closing : float
        Reserves for reported claims and for claims not yet reported, net of reinsurance.
    on : date, optional
        Day of the disclosure; the newest version of the rule where left out.

    Raises
    ------
    InputError
        For amounts below zero or no numbers, and an earned premium that is not above zero.

    Notes
    -----
    (paid + change in outstanding claims with IBNR) ÷ earned premium, 银保监办发〔2021〕7号 (2021).

    Examples
    --------
    >>> comprehensive_loss_ratio(claims_paid=50, outstanding_opening=8, outstanding_closing=10,
    ...     ibnr_opening=5, ibnr_closing=9, earned_premium=100).ratio
    0.56
    """
    rule = _in_force(rules, "short_term_loss_ratio", on)
    claims = {
        "claims_paid": claims_paid,
        "outstanding_closing": outstanding_closing,
        "outstanding_opening": outstanding_opening,
        "ibnr_closing": ibnr_closing,
        "ibnr_opening": ibnr_opening,
    }
    return _ratio(rule, claims, {"earned_premium": earned_premium})


_MINUS = ("outstanding_opening", "ibnr_opening", "unearned_closing")


def _in_force(rules: Rulebook | None, name: str, on: date | None) -> Rule:
    book = rules or read_rules()
    if on is None:
        return book.versions(name)[-1]
    rule, in_force = book.cited(name, on)
    if not in_force:
        raise InputError(f"{rule.document} was not in force on {on}", do="give a later day")
    return rule


def _ratio(rule: Rule, claims: dict[str, float], earned: dict[str, float]) -> RegulatoryLossRatio:
    rows = [
        (part, item, (-1 if item in _MINUS else 1) * require_amount(item, amount))
        for part, items in (("incurred", claims), ("earned", earned))
        for item, amount in items.items()
    ]
    table = pl.DataFrame(rows, schema=["part", "item", "amount"], orient="row")
    up = float(table.filter(part="incurred")["amount"].sum())
    down = float(table.filter(part="earned")["amount"].sum())
    if not down > 0:
        raise InputError(f"the earned premium is not above zero: {down:,.2f}")
    return RegulatoryLossRatio(
        table=table,
        basis=Basis(source=rule.document, notes=(f"{rule.source}; {rule.certainty}",)),
        facts={
            "ratio": up / down,
            "incurred": up,
            "earned": down,
            "title_en": rule.title_en,
            "title_zh": rule.title_zh,
            "article_en": rule.citation("en"),
            "article_zh": rule.citation("zh"),
        },
    )
