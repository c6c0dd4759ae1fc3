"""In what a field and a headline figure are counted: money, a share, persons, days."""

from __future__ import annotations

from typing import Literal

from pricing.lab.fields import Field
from pricing.result.words import Language, say

__all__ = ["Unit", "domain_said", "standing", "unit_of", "unit_of_figure"]

Unit = Literal["", "money", "share", "count"]

MONEY = frozenset({  # the last part of a field's key, or of the table whose entries it is one of
    "premium", "prices", "subsidies", "premiums", "deductible", "limit", "year_limit", "out_of_pocket",
    "service", "fixed_expense", "credit", "amount", "flat_benefit", "cap_per_case_amount", "cap_per_year",
    "contribution", "subsidy", "reserve", "monthly", "monthly_before", "unit_cost", "fixed_cost",
    "platform_cost", "charged", "cost", "cost_per_month", "service_cost", "cost_a_year", "appeal_cost",
    "handling", "most_amount",
})  # fmt: skip
SHARE = frozenset({
    "line", "promised", "growth", "entrants_growth", "price_growth", "interest", "rates", "settings",
    "age_bands", "observed_share", "response", "step", "joiner_growth", "joiners",
})  # fmt: skip
COUNT = frozenset({"persons", "insured", "customers", "visits", "cap_per_provider"})
FIGURES: dict[str, Unit] = {
    **dict.fromkeys((
        "bill", "member_price", "cost_per_member", "public_cost", "consumer_surplus", "outgo_first",
        "outgo_last", "payg_first", "payg_last", "reserve_last", "cost_per_insured", "rider_price",
        "cost_per_case", "year_share", "stable_share", "levels_margin", "mean_price_needed", "saving",
        "service_cost", "net_value", "staff_cost", "past_recovered", "future_saved",
        "recovered_per_visit",
    ), "money"),
}  # fmt: skip


def unit_of_figure(name: str, kind: str) -> Unit:
    """Tell in what a headline figure is counted, from its name or its kind as the report knows it.

    Examples
    --------
    >>> unit_of_figure("rider_price", "figure"), unit_of_figure("loss_ratio", "percent")
    ('money', 'share')
    """
    by_kind: dict[str, Unit] = {"money": "money", "cents": "money", "percent": "share", "whole": "count", "persons": "count"}  # fmt: skip
    return FIGURES.get(name, by_kind.get(kind, ""))


def unit_of(field: Field) -> Unit:
    """Tell in what a field is counted.

    Examples
    --------
    >>> unit_of(Field("tiers.tier.basic.deductible", "number", 0.0))
    'money'
    >>> unit_of(Field("services.price.premiums.70+", "number", 3200.0))
    'money'
    >>> unit_of(Field("tiers.loadings.expense", "number", 0.15, least=0, most=1))
    'share'
    """
    above = field.section.rpartition(".")[2]
    parts = (field.leaf, above) if field.least is None or above in SHARE else (field.leaf,)
    if field.least == 0 and field.most == 1 and field.kind == "number":
        return "share"
    for known, unit in ((SHARE, "share"), (MONEY, "money"), (COUNT, "count")):
        if known.intersection(parts):
            return unit  # type: ignore[return-value]
    return "money" if above == "cost" else ""


def standing(field: Field, lang: Language, currency: str) -> str:
    """Write what the file says, with thousands, percent and currency.

    Examples
    --------
    >>> standing(Field("tiers.tier.basic.limit", "number", 20_000.0), "en", "CNY")
    '20,000 CNY'
    >>> standing(Field("discount.cap", "number", 0.125, least=0, most=1), "zh", "CNY")
    '0.125（12.5%）'
    """
    if field.value is None:
        return say("lab.nothing_there", lang)
    value = float(field.value)
    unit = unit_of(field)
    year = field.leaf.endswith("_year") and field.kind == "whole"  # 2026 is no 2,026
    said = f"{value:.0f}" if year else f"{value:,.10g}"
    if unit == "money":
        return f"{said} {currency}"
    if unit == "share":
        return say("lab.as_percent", lang, value=said, percent=f"{100 * value:.6g}%")
    return said


def domain_said(field: Field) -> str:
    """Write what the contract allows, in signs that need no language; nothing where it allows all.

    Examples
    --------
    >>> domain_said(Field("discount.cap", "number", 0.2, least=0, least_allowed=False, most=1))
    '> 0, ≤ 1'
    >>> domain_said(Field("care.prices.home", "number", 912.5))
    ''
    """
    said = []
    if field.least is not None:
        said.append(f"{'≥' if field.least_allowed else '>'} {field.least:,.10g}")
    if field.most is not None:
        said.append(f"{'≤' if field.most_allowed else '<'} {field.most:,.10g}")
    return ", ".join(said).replace("-", "\N{MINUS SIGN}")
