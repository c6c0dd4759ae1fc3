"""Tables for readers: labelled columns, one format per kind of figure."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import escape
from typing import Literal

import polars as pl
from great_tables import GT, html, loc, style

from pricing.result.quantities import PERSONS, SHARES, persons_text, row_quantities
from pricing.result.readable import in_fours, one_line
from pricing.result.words import (
    LANGUAGES,
    Language,
    catalogue,
    fault_said,
    label,
    level_label,
    say,
    term_label,
)

__all__ = [
    "about_label",
    "heading_of",
    "kinds_of",
    "money_places",
    "places_of",
    "render",
    "worded",
    "words_of",
]

Kind = Literal[
    "whole", "percent", "money", "cents", "tenths", "p_value", "year", "persons", "figure"
]

PERCENT = {
    "mean_rate", "share_of_cap", "share_of_plans", "relative_difference",
    "discount_within_limits", "unrounded_discount", "renewed_share", "margin_share", "from_selection", "from_effect",
    "from_retention", "from_subsidy", "relative_effect", "persistency", "renewal_rate", "leave_rate",
    "effect_to_detect",
    "fair_discount", "adjusted_discount", "adjusted_lower", "adjusted_upper", "monotone", "loss_ratio", "discount", "present_discount", "prudent_discount",
    "mean_discount", "loss_ratio_before", "loss_ratio_after", "effect", "credibility", "passes",
    "share_exposure", "share_premium", "share_actual", "share_expected", "share",
    "loss_ratio_own", "permissible", "indicated_change", "complete", "completion", "paid_in_lag",
    "actual_to_expected", "cumulative_actual_to_expected", "expected_ratio", "change_of_rate",
    "loss_ratio_lower", "loss_ratio_upper", "loss_ratio_change", "loss_ratio_change_lower",
    "loss_ratio_change_upper", "top_share", "rate_change", "group_share", "discount_given_share",
    "mean_change", "change_p5", "change_p50", "change_p95", "discount_lost_p95", "level_share",
    "step_rate",
    "disabled_share", "aged_share", "outgo_change", "closing_growth",
    "take_up", "actuarial_value", "choosers_loss_ratio", "break_even_take_up", "highest_discount",
    "share_moving_up", "precision", "watched_share", "activation_rate", "worst_share_of_net",
}  # fmt: skip
MONEY = {
    "premium_charged", "amount", "standard_premium", "discounted_premium", "discount_given", "claims_cost",
    "severity", "pure_premium", "premium", "expected_amount", "amount_excess", "large_charge",
    "own_excess", "charge_rate", "threshold", "mean_excess", "value_at_risk", "tail_value_at_risk",
    "stop_loss_premium", "written", "returned", "earned", "unearned", "premium_at_current_level",
    "standard_at_current_level", "claims_effect", "premium_effect", "paid", "unpaid", "ultimate",
    "a_priori", "trend", "pooling", "credibility_effect", "projected_claims", "required_premium", "earned_premium",
    "latest", "ibnr", "expected_ultimate", "reported_amount",
    "premium_charged_lower", "premium_charged_upper", "claims_cost_lower", "claims_cost_upper",
    "expenses", "operating_margin", "operating_margin_lower", "operating_margin_upper",
    "margin_total", "margin_change", "care_outgo", "fund_contributions", "fund_subsidy",
    "fund_reserve", "outgo_total", "reserve_last", "payg_last", "payg_contribution", "per_insured",
    "value_healthy", "value_disabled", "level_premium", "monthly_benefit",
}  # fmt: skip
CENTS = {"step_amount", "premium_after"}  # of one policy: they add up to the fen
NAMES = {
    "term",
    "column",
    "quantity",
    "component",
    "source",
}  # columns whose values are names of columns
TERMS = ("known_factor", "coefficient_name", "factor", "at")  # columns with their levels
STYLE = re.compile(r"<style>.*?</style>\s*", re.DOTALL)
ONE_PLACE = {
    "exposure", "expected", "accepted", "rejected", "input", "chi_squared",
}  # fmt: skip


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
    shown = worded(table, lang).with_columns(pl.col(pl.String).fill_null(""))
    kinds = kinds_of(table)
    mixed, quantities = row_quantities(table)

    def those(kind: Kind) -> list[str]:
        return [c for c, own in kinds.items() if own == kind and c not in mixed]

    money, p_value = those("money"), those("p_value")
    shown = shown.with_columns(
        pl.when(pl.col(c) < 1e-4)
        .then(pl.lit("< 0.0001"))
        .otherwise(pl.col(c).round(4).cast(pl.String))
        .alias(c)
        for c in p_value
    )
    page = (
        GT(shown, id=f"{name}-{lang}")
        .fmt_integer(columns=those("whole"))
        .fmt_integer(columns=those("year"), use_seps=False)
        .fmt_percent(columns=those("percent"), decimals=1)
        .fmt_number(columns=money, decimals=money_places(table))
        .fmt_number(columns=those("cents"), decimals=2)
        .fmt_number(columns=those("tenths"), decimals=1)
        .fmt(persons_text, columns=those("persons"))
        .sub_missing(missing_text="–")
        .cols_align(align="right", columns=[c for c in kinds if c not in those("year")])
        .cols_label(cases={c: html("<wbr>".join(map(escape, in_fours(label(c, lang))))) for c in table.columns})
    )  # fmt: skip
    for column in [c for c in shown.columns if c not in kinds]:
        if room := _room(shown[column]):
            page = page.tab_style(style.css(room), loc.body(columns=column))
    for column in those("figure"):
        places = places_of(table[column])
        if places is None:
            page = page.fmt_number(columns=column, n_sigfig=5)
        else:
            page = page.fmt_number(columns=column, decimals=places)
    if mixed:
        page = _by_row(page, mixed, quantities)
    return STYLE.sub("", str(page.as_raw_html()))  # the page has one style for all its tables


def _by_row(page: GT, columns: list[str], quantities: list[str]) -> GT:
    """Format columns whose rows count different things: a share as a percent, persons whole."""
    rows: dict[Kind, list[int]] = {}
    for place, name in enumerate(quantities):
        rows.setdefault(kinds_of(pl.DataFrame({name: [1.0]}))[name], []).append(place)
    for kind, own in rows.items():
        if kind == "percent":
            page = page.fmt_percent(columns=columns, rows=own, decimals=2)
        elif kind in ("whole", "persons"):
            page = page.fmt(persons_text, columns=columns, rows=own)
        else:
            page = page.fmt_number(columns=columns, rows=own, n_sigfig=5)
    return page


def _room(column: pl.Series) -> str:
    """What keeps a narrow cell from breaking a column's words one by one."""
    texts = column.cast(pl.String).drop_nulls().unique().to_list()
    if one_line(texts):
        return "white-space: nowrap" if any(len(text) > 3 for text in texts) else ""
    return "min-width: 9em"


def worded(table: pl.DataFrame, lang: Language) -> pl.DataFrame:
    """Say every value of a table's columns of text in a language.

    Examples
    --------
    >>> worded(pl.DataFrame({"sex": ["male", None]}), "zh").rows()
    [('男',), (None,)]
    """
    return table.with_columns(
        pl.col(column)
        .cast(pl.String)
        .replace_strict(words_of(table[column], lang), default=None, return_dtype=pl.String)
        for column, kind in table.schema.items()
        if kind in (pl.String, pl.Enum, pl.Boolean)
    )


def words_of(column: pl.Series, lang: Language) -> dict[str, str]:
    """How a language says each value of a column of text; names of columns as columns are named.

    Examples
    --------
    >>> words_of(pl.Series("level", ["excellent"]), "zh"), words_of(pl.Series("term", ["sex"]), "en")
    ({'excellent': '优'}, {'sex': 'Sex'})
    """
    said: dict[str, Callable[[str, Language], str]] = {"adjusted_for": _formula_label, "meaning": fault_said}  # fmt: skip
    said |= dict.fromkeys(TERMS, term_label)
    name = label if column.name in NAMES else said.get(column.name, level_label)
    return {v: name(v, lang) for v in column.cast(pl.String).unique().drop_nulls().to_list()}


def _formula_label(formula: str, lang: Language) -> str:
    return re.sub(r"\w+", lambda found: label(found.group(), lang), formula)


def about_label(about: str, lang: Language) -> str:
    """Name what a result is about: a factor, or a level of one.

    Examples
    --------
    >>> about_label("sex", "zh"), about_label("male", "zh"), about_label("G1", "zh")
    ('性别', '男', 'G1')
    """
    named = all(f"term.{part}" in catalogue() for part in about.split(":"))
    return label(about, lang) if named else level_label(about, lang)


def heading_of(name: str, kind: str = "") -> dict[Language, str]:
    """What a reader calls a result: its kind and, where its name says one, what it is about.

    Parameters
    ----------
    name : str
        Name of a result in a study: ``kind`` or ``kind:about``.
    kind : str
        Its kind, where the name does not say it.

    Examples
    --------
    >>> heading_of("one_way:sex")
    {'en': 'One-way frequency · Sex', 'zh': '单因素频率 · 性别'}
    """
    first, _, about = name.partition(":")
    kind = kind or first
    keys = [f"section.{kind}", f"section.{kind}_model"]
    key = next((k for k in keys if k in catalogue()), None)
    of = {n: say(key, n) if key else label(kind, n) for n in LANGUAGES}
    return {n: f"{of[n]} · {about_label(about, n)}" if about else of[n] for n in LANGUAGES}


def kinds_of(table: pl.DataFrame) -> dict[str, Kind]:
    """What each numeric column of a table counts: the page and the workbook format by it.

    Examples
    --------
    >>> kinds_of(pl.DataFrame({"claims": [2.0], "loss_ratio": [0.6], "level": ["a"]}))
    {'claims': 'whole', 'loss_ratio': 'percent'}
    """
    mixed = {"value", "threshold"} if "unit" in table.columns else set()  # days, shares, currency
    figures = [c for c, kind in table.schema.items() if kind.is_numeric()]
    kinds: dict[str, Kind] = {}
    for column in figures:
        if column in PERCENT or column in SHARES or _is_effect_bound(table, column):
            kinds[column] = "percent"
        elif table.schema[column].is_integer() and re.search(r"(^|_)year$", column):
            kinds[column] = "year"
        elif table.schema[column].is_integer() or column == "claims":
            kinds[column] = "whole"
        elif column in PERSONS and not _a_part(table[column]):
            kinds[column] = "persons"
        elif column in CENTS:
            kinds[column] = "cents"
        elif column in MONEY - mixed:
            kinds[column] = "money"
        elif column in ONE_PLACE:
            kinds[column] = "tenths"
        else:
            kinds[column] = "p_value" if column == "p_value" else "figure"
    return kinds


def _a_part(column: pl.Series) -> bool:
    """Whether a column of a name that counts persons holds parts of one instead."""
    sizes = [abs(float(v)) for v in column.drop_nulls()]
    return 0 < max(sizes, default=0.0) < 1


def _is_effect_bound(table: pl.DataFrame, column: str) -> bool:
    if "effect" in table.columns:
        return column in ("lower", "upper")
    ends = ("std_error", "lower", "upper", "lower_80", "upper_80", "lower_95", "upper_95")
    shares = ("indicated_change", "source", "earned_premium", "paid_in_lag")  # of what they bound
    return column in ends and any(name in table.columns for name in shares)


def money_places(table: pl.DataFrame) -> int:
    """Decimals of a table's amounts of money: none where one of them reaches a thousand.

    Examples
    --------
    >>> money_places(pl.DataFrame({"premium": [12.5]})), money_places(pl.DataFrame({"premium": [9e6]}))
    (2, 0)
    """
    money = [c for c, kind in kinds_of(table).items() if kind == "money"]
    return 0 if any((table[c].drop_nulls() >= 1000).any() for c in money) else 2


def places_of(column: pl.Series) -> int | None:
    """Decimals of a figure of no kind; None where small and large stand in one column.

    Examples
    --------
    >>> places_of(pl.Series([0.97, 1.2])), places_of(pl.Series([0.001, 5e6]))
    (4, None)
    """
    sizes = [abs(float(v)) for v in column.drop_nulls() if v]
    most = max(sizes, default=0.0)
    if most < 100:
        return 4
    if min(sizes) < 1 and most >= 1000:
        return None
    return 2 if most < 1000 else 1
