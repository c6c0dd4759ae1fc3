"""Loading caps, medical inflation in reserves, and whether the net premium carries a loss ratio."""

from __future__ import annotations

from datetime import date
from typing import Literal, get_args

from pricing.errors import InputError
from pricing.regulation.check import (
    Check,
    Condition,
    at_least,
    at_most,
    checked,
    require_amount,
    require_share,
)
from pricing.regulation.product import Product
from pricing.regulation.rule import Rule, Rulebook, read_rules

__all__ = ["check_loading", "check_medical_inflation", "check_net_premium"]

Payment = Literal["regular", "single"]


def check_loading(
    product: Product,
    *,
    loading: float,
    payment: Payment,
    on: date,
    rules: Rulebook | None = None,
) -> Check:
    """Hold the average loading of a product against its cap.

    Parameters
    ----------
    product : Product
        Its term and whether it is sold to groups choose the cap.
    loading : float
        Average loading: present value of loadings over that of gross premiums, below 1.
    payment : {"regular", "single"}
        Regular or single premium; a term of a year or less knows no difference.
    on : date
        Day checked.
    rules : Rulebook, optional
        Instead of the bundled rules.

    Raises
    ------
    InputError
        For a loading that is no fraction below 1, an unknown way of payment.

    Notes
    -----
    Over one year: individual 35 % regular, 18 % single; group 15 % and 8 %. A year or less:
    individual 35 %, group 25 %, with guaranteed renewal or not. 银保监办发〔2020〕7号 (2020).

    Examples
    --------
    >>> product = Product(kind="medical", term_years=1, guaranteed_years=20)
    >>> check_loading(product, loading=0.35, payment="regular", on=date(2024, 1, 1)).verdict
    'pass'
    """
    if payment not in get_args(Payment):
        raise InputError(f"payment is 'regular' or 'single', got {payment!r}")
    value = require_share("the loading", loading, below=1.0)
    who = "group" if product.group else "individual"
    over = product.term_years > 1
    book = rules or read_rules()
    rule, in_force = book.cited("loading_long_term" if over else "loading_short_term", on)
    cap = rule.numbers[f"{who}_{payment}" if over else who]
    one = Condition(
        name="average_loading",
        holds=at_most(value, cap),
        value=value,
        threshold=cap,
        relation="at_most",
        segment=who,
    )
    return checked(Check, [rule], True, [one], on, in_force=in_force)


def check_medical_inflation(
    assumed: float, *, product: Product, on: date, rules: Rulebook | None = None
) -> Check:
    """Hold the medical inflation assumed in reserves against its least.

    Parameters
    ----------
    assumed : float
        Yearly growth of medical cost in the reserve basis, above −1.
    product : Product
        Applies to medical insurance (indemnity benefits).
    on : date
        Day checked.
    rules : Rulebook, optional
        Instead of the bundled rules.

    Raises
    ------
    InputError
        For a rate that is no number above −1.

    Notes
    -----
    At least 3 % a year. 银保监办发〔2020〕7号 (2020).

    Examples
    --------
    >>> medical = Product(kind="medical", term_years=5)
    >>> check_medical_inflation(0.03, product=medical, on=date(2024, 1, 1)).verdict
    'pass'
    """
    if isinstance(assumed, bool) or not -1 < assumed < float("inf"):
        raise InputError(f"a rate of inflation is above −1, got {assumed}", do="give 3 % as 0.03")
    rule, in_force = (rules or read_rules()).cited("medical_inflation", on)
    least = rule.numbers["least"]
    one = Condition(
        name="medical_inflation",
        holds=at_least(assumed, least),
        value=float(assumed),
        threshold=least,
    )
    return checked(Check, [rule], product.kind == "medical", [one], on, in_force=in_force)


_OWN = Rule(
    id="net_premium",
    document="pricing",
    document_en="pricing",
    article="",
    title_en="Net premium against the loss ratio",
    title_zh="净保费与赔付率",
    scope_en="every product",
    scope_zh="所有产品",
    start=date(1, 1, 1),
    certainty="arithmetic",
    source="claims = loss ratio × gross premium; no article",
)


def check_net_premium(
    gross_premium: float, *, loading: float, loss_ratio: float, on: date, subsidy: float = 0.0
) -> Check:
    """Ask whether the net premium, with a subsidy if any, pays the claims of a loss ratio.

    This is arithmetic, no article: a promised loss ratio and a loading above one minus it exclude
    each other.

    Parameters
    ----------
    gross_premium : float
        Per policy-year, currency, above zero.
    loading : float
        Fraction of the gross premium, below 1.
    loss_ratio : float
        Claims over gross premium, fraction.
    on : date
        Day checked.
    subsidy : float
        What somebody else adds for claims, currency.

    Raises
    ------
    InputError
        For a premium not above zero, a loading of 1 or more, numbers below zero.

    Examples
    --------
    >>> found = check_net_premium(500, loading=0.35, loss_ratio=0.70, on=date(2024, 1, 1))
    >>> found.verdict, found.table.select("value", "threshold").row(0)
    ('fail', (325.0, 350.0))
    """
    gross = require_amount("the gross premium", gross_premium, above_zero=True)
    net = gross * (1 - require_share("the loading", loading, below=1.0))
    ratio = require_share("the loss ratio", loss_ratio)
    means = net + require_amount("the subsidy", subsidy)
    one = Condition(
        name="net_premium",
        holds=at_least(means, ratio * gross),
        value=means,
        threshold=ratio * gross,
        unit="currency",
    )
    facts = {"highest_loading": max(0.0, 1 - ratio + subsidy / gross)}
    return checked(Check, [_OWN], True, [one], on, facts=facts)
