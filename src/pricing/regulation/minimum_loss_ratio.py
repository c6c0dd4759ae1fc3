"""Do tax-favoured medical products pay out enough: each year against the assumption, and in all."""

from __future__ import annotations

from datetime import date

import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError
from pricing.experience.domain import require_columns
from pricing.regulation.check import Check, Condition, at_least, checked
from pricing.regulation.product import Product
from pricing.regulation.rule import Rulebook, read_rules
from pricing.result.figure import COLOURS
from pricing.result.words import Language, label

__all__ = ["MinimumLossRatioCheck", "check_minimum_loss_ratio"]


class MinimumLossRatioCheck(Check):
    """Whether the loss ratio is high enough; ``.frames["years"]`` has each year against its line.

    Examples
    --------
    >>> years = pl.DataFrame({"year": [2023, 2024, 2025], "claims": [50.0, 52.0, 70.0],
    ...                       "earned_premium": [100.0] * 3, "assumed_loss_ratio": [0.8] * 3})
    >>> product = Product(kind="medical", term_years=1, guaranteed_years=3, tax_favoured=True)
    >>> found = check_minimum_loss_ratio(years, product=product, on=date(2026, 3, 1))
    >>> found.table.select("condition", "verdict").rows()
    [('years_below_assumed', 'pass'), ('cumulative_loss_ratio', 'fail')]
    """

    kind = "minimum_loss_ratio_check"

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the loss ratio of each year against its line."""
        years = self.frames["years"]
        places = [str(year) for year in years["year"]]
        figure = go.Figure(layout={"template": "pricing"})
        figure.add_scatter(
            x=places,
            y=years["loss_ratio"].to_list(),
            mode="markers+lines",
            marker={"size": 11, "color": COLOURS["estimate"]},
            name=label("loss_ratio", lang),
        )
        figure.add_scatter(
            x=places,
            y=years["line"].to_list(),
            mode="lines+markers",
            line={"dash": "dot", "color": COLOURS["second"], "shape": "hvh"},
            marker={"symbol": "line-ew-open", "size": 14},
            name=label("line", lang),
        )
        return figure.update_layout(
            xaxis={"title": {"text": label("year", lang)}, "type": "category"},
            yaxis={
                "title": {"text": label("loss_ratio", lang)},
                "tickformat": ".0%",
                "rangemode": "tozero",
            },
        )


def check_minimum_loss_ratio(
    years: pl.DataFrame,
    *,
    product: Product,
    on: date,
    business: pl.DataFrame | None = None,
    rules: Rulebook | None = None,
) -> MinimumLossRatioCheck:
    """Hold a tax-favoured medical product against the regulator's minimum loss ratios.

    Parameters
    ----------
    years : polars.DataFrame
        ``year`` (whole), ``claims`` (numerator of the comprehensive loss ratio), ``earned_premium``,
        ``assumed_loss_ratio``; consecutive years, one row each. The last three are judged.
    product : Product
        Applies to tax-favoured medical insurance of at least three years' term or guarantee.
    on : date
        Day checked.
    business : polars.DataFrame, optional
        ``year``, ``claims``, ``earned_premium`` of the whole tax-favoured medical business, which
        the cumulative test is about; the product's own years where left out, and a note says so.
    rules : Rulebook, optional
        Instead of the bundled rules.

    Raises
    ------
    InputError
        For missing columns, years that are not consecutive, earned premiums or assumptions not above
        zero, claims below zero.

    Notes
    -----
    Below 80 % of the assumption three years running: correct it, and adjust rates both ways. Below
    65 % over three years: justify the rates as well. 金规〔2023〕2号 (2023). With fewer years a
    test does not apply.

    Examples
    --------
    >>> years = pl.DataFrame({"year": [2024, 2025], "claims": [10.0, 10.0],
    ...                       "earned_premium": [100.0] * 2, "assumed_loss_ratio": [0.8] * 2})
    >>> product = Product(kind="medical", term_years=3, tax_favoured=True)
    >>> check_minimum_loss_ratio(years, product=product, on=date(2026, 3, 1)).verdict
    'not_applicable'
    """
    rule, in_force = (rules or read_rules()).cited("tax_favoured_loss_ratio", on)
    numbers = rule.numbers
    span = int(numbers["years"])
    own = _years(years, ["claims", "earned_premium", "assumed_loss_ratio"], "the product's years")
    own = own.with_columns(
        loss_ratio=pl.col("claims") / pl.col("earned_premium"),
        line=numbers["of_assumed"] * pl.col("assumed_loss_ratio"),
    )
    whole = own if business is None else _years(business, ["claims", "earned_premium"], "business")
    last, over = own.tail(span), whole.tail(span)
    low = sum(
        not at_least(ratio, line) for ratio, line in last.select("loss_ratio", "line").iter_rows()
    )
    ratio = float(over["claims"].sum()) / float(over["earned_premium"].sum())
    conditions = [
        Condition(
            name="years_below_assumed",
            holds=low < span if last.height == span else None,
            value=float(low),
            threshold=float(span - 1),
            relation="at_most",
            unit="count",
        ),
        Condition(
            name="cumulative_loss_ratio",
            holds=at_least(ratio, numbers["cumulative"]) if over.height == span else None,
            value=ratio,
            threshold=numbers["cumulative"],
        ),
    ]
    lasts = max(product.term_years, product.guaranteed_years)
    applies = (
        product.kind == "medical"
        and product.tax_favoured
        and at_least(lasts, numbers["term_years"])
    )
    note = "the cumulative test looks at the whole business; judged on this product's own years"
    return checked(
        MinimumLossRatioCheck,
        [rule, rule],
        applies,
        conditions,
        on,
        in_force=in_force,
        facts={"years_low": int(low), "cumulative": ratio},
        frames={"years": own},
        notes=() if business is not None else (note,),
    )


def _years(frame: pl.DataFrame, columns: list[str], where: str) -> pl.DataFrame:
    require_columns(["year", *columns], frame.columns)
    if not frame.schema["year"].is_integer() or frame["year"].null_count():
        raise InputError("years are not whole numbers", where=where)
    table = frame.select("year", pl.col(columns).cast(pl.Float64)).sort("year")
    faults = []
    for name in columns:
        good = pl.col(name).is_finite() & (
            pl.col(name) >= 0 if name == "claims" else pl.col(name) > 0
        )
        wrong = table.filter(~good.fill_null(False)).height
        if wrong:
            line = "zero or more" if name == "claims" else "above zero"
            faults.append(f"{wrong:,} of {table.height:,} years have {name!r} not {line}")
    if table["year"].diff().drop_nulls().ne(1).any():
        faults.append("the years are not consecutive, one row each")
    if faults or not table.height:
        raise InputError("years that cannot be checked", where=where, faults=faults or ["none"])
    return table
