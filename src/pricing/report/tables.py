"""Tables for readers: labelled columns, one format per kind of figure."""

from __future__ import annotations

import re

import polars as pl
from great_tables import GT

from pricing.result.words import Language, label, level_label

__all__ = ["render"]

PERCENT = {
    "fair_discount", "adjusted_discount", "adjusted_lower", "adjusted_upper", "monotone", "loss_ratio", "discount", "present_discount", "prudent_discount",
    "mean_discount", "loss_ratio_before", "loss_ratio_after", "effect", "credibility", "passes",
    "share_exposure", "share_premium", "share_actual", "share_expected", "share",
    "loss_ratio_own", "permissible", "indicated_change", "complete", "completion", "paid_in_lag",
    "actual_to_expected", "cumulative_actual_to_expected", "expected_ratio", "change_of_rate",
}  # fmt: skip
MONEY = {
    "premium_charged", "amount", "standard_premium", "discounted_premium", "discount_given", "claims_cost",
    "severity", "pure_premium", "premium", "expected_amount", "amount_excess", "large_charge",
    "own_excess", "charge_rate", "threshold", "mean_excess", "value_at_risk", "tail_value_at_risk",
    "stop_loss_premium", "written", "returned", "earned", "unearned", "premium_at_current_level",
    "standard_at_current_level", "claims_effect", "premium_effect", "paid", "unpaid", "ultimate",
    "a_priori", "trend", "pooling", "projected_claims", "required_premium", "earned_premium",
    "latest", "ibnr", "expected_ultimate", "reported_amount",
}  # fmt: skip
NAMES = {
    "term",
    "column",
    "quantity",
    "component",
    "source",
}  # columns whose values are names of columns
STYLE = re.compile(r"<style>.*?</style>\s*", re.DOTALL)
ONE_PLACE = {"exposure", "expected", "accepted", "rejected", "input", "chi_squared"}


def render(table: pl.DataFrame, lang: Language, *, name: str) -> str:
    """Render a frame as an HTML table: words by language, figures by their kind.

    Parameters
    ----------
    table : polars.DataFrame
        Any result's table.
    lang : {"en", "zh"}
        Language of headings and levels.
    name : str
        Identifier of the table in the page; the same name gives the same bytes.

    Examples
    --------
    >>> "62.5%" in render(pl.DataFrame({"loss_ratio_before": [0.625]}), "en", name="t")
    True
    """
    shown = table.with_columns(
        pl.col(column).cast(pl.String).replace_strict(_words(table[column], lang), default="")
        for column, kind in table.schema.items()
        if kind in (pl.String, pl.Enum, pl.Boolean)
    )
    figures = [c for c, kind in table.schema.items() if kind.is_numeric()]
    whole = [c for c in figures if table.schema[c].is_integer() or c == "claims"]
    percent = [c for c in figures if c in PERCENT or _is_effect_bound(table, c)]
    mixed = {"value", "threshold"} if "unit" in table.columns else set()  # days, shares, currency
    money = [c for c in figures if c in MONEY and c not in {*whole, *mixed}]
    tenths = [c for c in figures if c in ONE_PLACE and c not in whole]
    p_value = [c for c in figures if c == "p_value"]
    rest = [c for c in figures if c not in {*whole, *percent, *money, *tenths, *p_value}]
    shown = shown.with_columns(
        pl.when(pl.col(c) < 1e-4)
        .then(pl.lit("< 0.0001"))
        .otherwise(pl.col(c).round(4).cast(pl.String))
        .alias(c)
        for c in p_value
    )
    page = (
        GT(shown, id=f"{name}-{lang}")
        .fmt_integer(columns=whole)
        .fmt_percent(columns=percent, decimals=1)
        .fmt_number(columns=money, decimals=0 if _large(table, money) else 2)
        .fmt_number(columns=tenths, decimals=1)
        .sub_missing(missing_text="–")
        .cols_align(align="right", columns=[*figures])
        .cols_label(cases={c: label(c, lang) for c in table.columns})
    )
    for column in rest:
        places = _places(table[column])
        if places is None:
            page = page.fmt_number(columns=column, n_sigfig=5)
        else:
            page = page.fmt_number(columns=column, decimals=places)
    return STYLE.sub("", str(page.as_raw_html()))  # the page has one style for all its tables


def _words(column: pl.Series, lang: Language) -> dict[str, str]:
    said = {"adjusted_for": _formula_label}
    name = label if column.name in NAMES else said.get(column.name, level_label)
    return {v: name(v, lang) for v in column.cast(pl.String).unique().drop_nulls().to_list()}


def _formula_label(formula: str, lang: Language) -> str:
    return re.sub(r"\w+", lambda found: label(found.group(), lang), formula)


def _is_effect_bound(table: pl.DataFrame, column: str) -> bool:
    if "effect" in table.columns:
        return column in ("lower", "upper")
    ends = ("std_error", "lower", "upper", "lower_80", "upper_80", "lower_95", "upper_95")
    shares = ("indicated_change", "source", "earned_premium", "paid_in_lag")  # of what they bound
    return column in ends and any(name in table.columns for name in shares)


def _places(column: pl.Series) -> int | None:
    """Decimals of a figure of no kind; None where small and large stand in one column."""
    sizes = [abs(float(v)) for v in column.drop_nulls() if v]
    most = max(sizes, default=0.0)
    if most < 100:
        return 4
    if min(sizes) < 1 and most >= 1000:
        return None
    return 2 if most < 1000 else 1


def _large(table: pl.DataFrame, columns: list[str]) -> bool:
    return any((table[c].drop_nulls() >= 1000).any() for c in columns)
