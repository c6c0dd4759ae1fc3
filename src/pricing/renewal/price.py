"""The price of every renewal, with the steps that lead to it, as one expression of its columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from pricing.errors import InputError, nearest
from pricing.renewal.rules import RenewalRules

__all__ = ["REASONS", "STEPS", "price_renewals"]

STEPS = ("standard_premium", "from_adjustment", "from_discount", "from_limits", "from_rounding")
REASONS = (
    "no_policy_id", "no_standard_premium", "unknown_group", "unknown_filed_class",
    "bad_premium_before",
)  # fmt: skip
LEAST, MOST = 0.005, 1e12  # currency: from half a fen, and so that sums of fen stay exact
_DUST = 1e-6  # of a fen: what a binary fraction may lie beside the decimal it stands for


def price_renewals(due: pl.DataFrame | pl.LazyFrame, rules: RenewalRules) -> pl.LazyFrame:
    """Price renewals: standard premium, change of filed rates, discount, limits, rounding.

    Parameters
    ----------
    due : polars.DataFrame or LazyFrame
        One row per renewal: policy_id; health_group (of the coming term); standard_premium (currency,
        for the coming term at the present filed rates, so with the attained age); where the rules ask
        for them premium_before (currency; null for none) and the filed class; consent (yes or no,
        optional: without it, or null, the policy stands in the standard group). Other columns go on.
    rules : RenewalRules
        What is charged.

    Returns
    -------
    polars.LazyFrame
        The columns of ``due`` and the trace: discount_group, adjustment and discount (fractions);
        standard_premium, from_adjustment, from_discount, from_limits, from_rounding, and premium,
        their sum to the fen; change (fraction of premium_before, where that is there); set_aside (why
        a row has no price, null where it has one). Everything in currency is whole fen.

    Raises
    ------
    InputError
        For columns that are missing, of the wrong type, or named as the trace's own.

    Notes
    -----
    With S the standard premium in fen, A = ⌊S(1 + a)⌉, D = ⌊A(1 − d)⌉ but at least A(1 − cap), L = D held within last year's
    premium × [1 − fall, 1 + rise] and then within [A(1 − cap), A]: there is no loading above the standard
    premium and no discount above the cap, whatever the limits say. Halves go up. The premium is L in
    whole units of its decimals, on the right side of A and of A(1 − cap).

    Examples
    --------
    >>> due = pl.DataFrame({"policy_id": ["P1", "P2"], "health_group": ["G1", "G2"],
    ...     "standard_premium": [1800.0, 1800.0], "premium_before": [1800.0, 1700.0], "consent": [True, False]})
    >>> rules = RenewalRules(discounts={"G0": 0, "G1": 0.05, "G2": 0.1}, adjustment=0.1, most_rise=0.08)
    >>> priced = price_renewals(due, rules).collect()
    >>> priced.select("policy_id", "from_adjustment", "from_discount", "from_limits", "premium").rows()
    [('P1', 180.0, -99.0, 0.0, 1881.0), ('P2', 180.0, 0.0, -144.0, 1836.0)]
    """
    if not isinstance(due, pl.DataFrame | pl.LazyFrame):
        raise InputError(f"the renewals due are a {type(due).__name__}", do="give a polars frame")
    if not isinstance(rules, RenewalRules):
        raise InputError(f"the rules are a {type(rules).__name__}", do="give RenewalRules")
    rows = due.lazy()
    _require(rows.collect_schema(), rules)
    rows = rows.with_columns(**_facts(rows.collect_schema(), rules))
    return _in_currency(_stepped(rows, rules), rules)


def _facts(schema: pl.Schema, rules: RenewalRules) -> dict[str, pl.Expr]:
    """The group that counts, its discount, the filed change, and what is wrong with a row."""
    groups = pl.Enum(list(rules.discounts))
    discount = _looked_up(schema, "health_group", rules.discounts, pl.Float64())
    group = _looked_up(schema, "health_group", {g: g for g in rules.discounts}, groups)
    if "consent" in schema:
        given, standard = (
            pl.col("consent").fill_null(False),
            pl.lit(rules.standard_group, dtype=groups),
        )
        discount = pl.when(given).then(discount).otherwise(0.0)
        group = pl.when(given).then(group).otherwise(standard)
    if rules.adjusted_by is None:
        adjustment = pl.lit(rules.changes[""], dtype=pl.Float64)
    else:
        adjustment = _looked_up(schema, rules.adjusted_by, rules.changes, pl.Float64())
    standard = pl.col("standard_premium").cast(pl.Float64)
    bad = {
        "no_policy_id": _nameless(schema),
        "no_standard_premium": ~standard.is_between(LEAST, MOST).fill_null(False),
        "unknown_group": discount.is_null(),
        "unknown_filed_class": adjustment.is_null(),
    }
    if "premium_before" in schema:
        before = pl.col("premium_before").cast(pl.Float64)
        bad["bad_premium_before"] = ~before.is_between(LEAST, MOST).fill_null(True)
    why = pl.coalesce(
        pl.when(wrong).then(pl.lit(name, dtype=pl.Enum(REASONS))) for name, wrong in bad.items()
    )
    return {
        "discount_group": group,
        "discount": discount,
        "adjustment": adjustment,
        "set_aside": why,
    }


def _nameless(schema: pl.Schema) -> pl.Expr:
    number = pl.col("policy_id")
    if schema["policy_id"] == pl.String:
        return number.is_null() | (number == "")
    return number.is_null()


def _looked_up(
    schema: pl.Schema, column: str, values: Mapping[str, Any], kind: pl.DataType
) -> pl.Expr:
    """The value of a level; null where it has none. An Enum is looked up by its few categories."""
    held, levels, known = pl.col(column), list(values), schema[column]
    if isinstance(known, pl.Enum):
        levels = [n for n in known.categories if n in values]
    elif known != pl.String:
        held = held.cast(pl.String)
    if not levels:
        return pl.lit(None, dtype=kind)
    to = pl.Series([values[n] for n in levels], dtype=kind)
    return held.replace_strict(levels, to, default=None, return_dtype=kind)


def _stepped(rows: pl.LazyFrame, rules: RenewalRules) -> pl.LazyFrame:
    """Every amount in whole fen, floats that hold integers exactly."""
    limited = any(limit is not None for limit in (rules.most_rise, rules.most_fall))
    unit = 10 ** (2 - rules.decimals)
    s, a, d = pl.col("_s"), pl.col("_a"), pl.col("_d")
    fen = _fen(pl.col("standard_premium").cast(pl.Float64) * 100)
    rows = rows.with_columns(_s=pl.when(pl.col("set_aside").is_null()).then(fen))
    rows = rows.with_columns(_a=_fen(s * (1 + pl.col("adjustment"))))
    least = _up(a * (1 - rules.cap))  # of the premium: the cap on the discount
    rows = rows.with_columns(_d=pl.max_horizontal(_fen(a * (1 - pl.col("discount"))), least))
    held, low, high = d, pl.lit(0.0), a
    if limited:
        before = pl.col("premium_before").cast(pl.Float64) * 100
        if rules.most_fall is not None:
            low = _up(before * (1 - rules.most_fall)).fill_null(0.0)
        if rules.most_rise is not None:
            high = _down(before * (1 + rules.most_rise)).fill_null(float("inf"))
        held = pl.min_horizontal(pl.max_horizontal(d, low), high)
        held = pl.min_horizontal(pl.max_horizontal(held, least), a)
        held = pl.when(a.is_not_null()).then(held)  # a row set aside has no price
    rows = rows.with_columns(_l=held)
    if unit == 1:
        return rows.with_columns(_p=pl.col("_l"))
    whole = _fen(pl.col("_l") / unit) * unit
    most, fewest = pl.min_horizontal(a, high), pl.max_horizontal(least, low)
    whole = (
        pl.when(whole > most)
        .then(whole - unit)
        .when(whole < fewest)
        .then(whole + unit)
        .otherwise(whole)
    )
    # where no whole unit lies between the limits, those of the standard premium and the cap stand
    whole = (
        pl.when(whole > a)
        .then(_down(a / unit) * unit)
        .when(whole < least)
        .then(_up(least / unit) * unit)
        .otherwise(whole)
    )
    return rows.with_columns(_p=whole)


def _in_currency(rows: pl.LazyFrame, rules: RenewalRules) -> pl.LazyFrame:
    amounts = {
        "standard_premium": pl.col("_s"),
        "from_adjustment": pl.col("_a") - pl.col("_s"),
        "from_discount": pl.col("_d") - pl.col("_a"),
        "from_limits": pl.col("_l") - pl.col("_d"),
        "from_rounding": pl.col("_p") - pl.col("_l"),
        "premium": pl.col("_p"),
    }
    names = rows.collect_schema().names()
    kept = [n for n in names if not n.startswith("_") and n not in (*amounts, "set_aside")]
    # null where the row is set aside; rounded, as polars divides by multiplying with 1/100
    trace = {name: (fen / 100).round(2) for name, fen in amounts.items()}
    if "premium_before" in names:
        ratio = trace["premium"] / pl.col("premium_before").cast(pl.Float64)
        trace["change"] = ratio - 1
    return rows.select(*kept, **trace, set_aside=pl.col("set_aside"))


def _fen(value: pl.Expr) -> pl.Expr:
    return (value + (0.5 + _DUST)).floor()


def _down(value: pl.Expr) -> pl.Expr:
    return (value + _DUST).floor()


def _up(value: pl.Expr) -> pl.Expr:
    return (value - _DUST).ceil()


def _require(schema: pl.Schema, rules: RenewalRules) -> None:
    own = {*STEPS[1:], "premium", "discount", "discount_group", "adjustment", "set_aside", "change"}
    faults = [
        f"{name!r} is not a column{nearest(name, list(schema))}"
        + (" (most_rise and most_fall ask for it)" if name == "premium_before" else "")
        for name in rules.needs
        if name not in schema
    ]
    faults += [f"{name!r} is a column of the trace: rename yours" for name in schema if name in own]
    faults += [
        f"{name!r}: names with an underscore in front are ours"
        for name in schema
        if name.startswith("_")
    ]
    for name in ("standard_premium", "premium_before"):
        if name in schema and not schema[name].is_numeric():
            faults.append(f"{name!r} is {schema[name]}, not a number")
    if "consent" in schema and schema["consent"] != pl.Boolean:
        faults.append(f"'consent' is {schema['consent']}, not yes or no")
    if faults:
        raise InputError("the renewals due cannot be priced", faults=faults)
