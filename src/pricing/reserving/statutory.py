"""The statutory IBNR of short-term health insurance in China: several methods, the largest taken.

健康保险管理办法 (银保监会令2019年第3号), article 49: the reserve for claims incurred and not reported is
made by at least two of chain ladder (链梯法), average cost per claim (案均赔款法), reserve development
(准备金进展法), Bornhuetter–Ferguson (B-F法) and loss ratio (赔付率法), and the largest is held; with less
than three years of data it is at least 10 % of the claims paid in the accounting year.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError
from pricing.reserving.average_cost import require_alike
from pricing.reserving.periods import MONTHS
from pricing.reserving.triangle import Triangle
from pricing.reserving.ultimates import Ultimates
from pricing.result.figure import COLOURS
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, say

__all__ = ["NAMED", "StatutoryIBNR", "statutory_ibnr"]

NAMED = (
    "chain_ladder",
    "average_cost",
    "reserve_development",
    "bornhuetter_ferguson",
    "expected_loss",
)
ARTICLE = "健康保险管理办法 (2019 No. 3), article 49"
YEARS, SHARE, FLOOR = 3.0, 0.10, "tenth_of_paid"


class StatutoryIBNR(Result):
    """IBNR by method side by side; ``.table``: method, ultimate, reported_amount, ibnr, named_method, taken."""

    kind = "statutory_ibnr"

    @property
    def ibnr(self) -> float:
        """What is to be held, currency."""
        return float(self.facts["ibnr"])

    def finding(self, lang: Language = "en") -> str:
        """Say which method is taken, how much it is, and by which article."""
        facts = {**self.facts, "taken_name": label(self.facts["taken"], lang)}
        facts["least_name"] = label(self.facts["least"], lang)
        said = say("finding.statutory_ibnr", lang, **facts)
        floor = "statutory_short" if self.facts["short"] else "statutory_long"
        return said + say(f"sentence.{floor}", lang, **facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the IBNR of every method, the one taken in colour."""
        table = self.table
        kinds = table.select("taken", "named_method").iter_rows()
        colours = [
            COLOURS["second" if taken else "estimate" if named else "bars"]
            for taken, named in kinds
        ]
        figure = go.Figure(layout={"template": "pricing"})
        figure.add_bar(
            x=[label(method, lang) for method in table["method"]],
            y=table["ibnr"].to_list(),
            marker={"color": colours},
            text=[f"{value:,.0f}" for value in table["ibnr"]],
            textposition="outside",
            cliponaxis=False,
            name=label("ibnr", lang),
            showlegend=False,
        )
        return figure.update_layout(
            xaxis={"title": {"text": label("method", lang)}, "type": "category"},
            yaxis={"title": {"text": f"{label('ibnr', lang)} ({self.basis.currency})"}},
        )


def statutory_ibnr(
    methods: Sequence[Ultimates],
    paid: Triangle,
    *,
    incurred: Triangle | None = None,
    years: float | None = None,
    basis: Basis | None = None,
) -> StatutoryIBNR:
    """Hold the largest IBNR of several methods, and the floor of short histories.

    Parameters
    ----------
    methods : sequence of Ultimates
        Of the same origins and valuation; from three years of data on at least two different methods
        of :data:`NAMED`. Others may stand beside, to be seen, and are never taken.
    paid : Triangle
        Paid amounts, for the claims paid in the accounting year of the valuation.
    incurred : Triangle, optional
        Paid and reserved. With it the IBNR is ultimate less incurred, as the article has it; without
        it the case reserves are inside, and the basis says so.
    years : float, optional
        Years of data; from the first origin to the valuation where left out.
    basis : Basis, optional
        Source and currency; those of ``paid`` where left out.

    Returns
    -------
    StatutoryIBNR
        A method's IBNR may be negative, what is held may not.

    Raises
    ------
    InputError
        For fewer than two of the named methods with three years of data, methods of other periods,
        and the same method twice.

    Examples
    --------
    >>> from datetime import date
    >>> from pricing.reserving.triangle import claim_triangle
    >>> from pricing.reserving.chain_ladder import chain_ladder
    >>> from pricing.reserving.expected_loss import bornhuetter_ferguson
    >>> rows = pl.DataFrame([
    ...     {"incurred": date(2020 + i, 1, 1), "paid": date(2020 + i + j, 1, 1), "amount": 100.0 / (j + 1)}
    ...     for i in range(4) for j in range(4 - i)])
    >>> seen = claim_triangle(rows, valuation=date(2023, 12, 31), grain="year")
    >>> premium = pl.DataFrame({"origin": seen.origins, "premium": [300.0] * 4})
    >>> found = statutory_ibnr([chain_ladder(seen), bornhuetter_ferguson(seen, premium, rate=0.9)], seen)
    >>> found.facts["taken"], round(found.ibnr, 2)
    ('bornhuetter_ferguson', 248.4)
    """
    names = [one.facts["method"] for one in methods]
    taken_twice = {name for name in names if names.count(name) > 1}
    if taken_twice:
        raise InputError(
            f"given twice: {', '.join(sorted(taken_twice))}",
            do="give each method once; the article asks for different ones",
        )
    for one in methods:
        _require_same(one, paid)
    if incurred is not None:
        require_alike(paid, incurred)
    have = len(paid.origins) * MONTHS[paid.grain] / 12.0 if years is None else years
    if not have > 0:
        raise InputError(f"years of data must be above zero, got {years}")
    short, counted = have < YEARS, [name for name in names if name in NAMED]
    if not short and len(counted) < 2:
        raise InputError(
            f"{len(counted)} of the methods named by the article with {have:.4g} years of data",
            where=ARTICLE,
            do=f"give at least two of: {', '.join(NAMED)}",
        )
    reported = float((incurred or paid).latest().sum())
    rows: list[dict[str, Any]] = [
        {"method": name, "ultimate": one.facts["ultimate"], "reported_amount": reported,
         "ibnr": one.facts["ultimate"] - reported, "named_method": name in NAMED}
        for name, one in zip(names, methods, strict=True)
    ]  # fmt: skip
    of_year = _paid_in_year(paid)
    if short:
        floor = SHARE * max(of_year, 0.0)
        rows.append(
            {"method": FLOOR, "ultimate": reported + floor, "reported_amount": reported,
             "ibnr": floor, "named_method": True}
        )  # fmt: skip
    of = [row for row in rows if row["named_method"]]
    # to the cent, the article's order among equals
    of.sort(key=lambda row: [*NAMED, FLOOR].index(row["method"]))
    most = max(of, key=lambda row: round(float(row["ibnr"]), 2))
    least = min(of, key=lambda row: round(float(row["ibnr"]), 2))
    schema = {"method": pl.String, "ultimate": pl.Float64, "reported_amount": pl.Float64, "ibnr": pl.Float64,
              "named_method": pl.Boolean}  # fmt: skip
    table = pl.DataFrame(rows, schema=schema).with_columns(taken=pl.col("method") == most["method"])
    base = basis or paid.basis
    inside = () if incurred is not None else (
        "no incurred triangle: what is to come includes the case reserves",
    )  # fmt: skip
    facts = {
        "ibnr": max(float(most["ibnr"]), 0.0), "taken": most["method"], "least": least["method"],
        "least_ibnr": float(least["ibnr"]), "methods": len(counted), "years": have, "short": short,
        "paid_in_year": of_year, "share": SHARE, "valuation": paid.details["valuation"],
        "currency": base.currency, "article": ARTICLE,
    }  # fmt: skip
    return StatutoryIBNR(
        table=table,
        basis=replace(base, notes=(*paid.basis.notes, ARTICLE, *inside)),
        facts=facts,
        details=dict(paid.details),
    )


def _require_same(one: Ultimates, paid: Triangle) -> None:
    faults = [
        f"{name}: {one.details[name]} and {paid.details[name]}"
        for name in ("grain", "valuation", "first")
        if one.details[name] != paid.details[name]
    ]
    if faults:
        raise InputError(
            f"{one.facts['method']} is of other periods than the paid triangle",
            faults=faults,
            do="make every triangle with the same grain, valuation and start",
        )


def _paid_in_year(paid: Triangle) -> float:
    """Claims paid in the calendar year of the valuation."""
    months = MONTHS[paid.grain]
    when = pl.col("origin").dt.offset_by(pl.format("{}mo", pl.col("lag") * months))
    year = paid.valuation.year
    return float(paid.table.filter(when.dt.year() == year)["amount"].sum())
