"""How one policy's renewal premium came about: from the standard premium step by step, to the fen."""

from __future__ import annotations

import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError
from pricing.renewal.price import STEPS, price_renewals
from pricing.renewal.rules import RenewalRules
from pricing.result.figure import COLOURS
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["PriceTrace", "price_trace"]


class PriceTrace(Result):
    """One renewal premium; ``.table``: component, price_part (currency), price_so_far; they add to the fen.

    ``.facts`` has the policy, its group, the filed change, the discount, the premium of the year before
    and the change from it where they are known.
    """

    kind = "price_trace"

    def finding(self, lang: Language = "en") -> str:
        """Say what the policy pays, in which group, and what that is against last year."""
        facts = {**self.facts, "group": level_label(self.facts["group"], lang)}
        said = say("finding.price_trace", lang, **facts)
        if self.facts["premium_before"] is None:
            return said
        return said + say("sentence.price_trace_before", lang, **facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the premium from the standard premium to what is charged."""
        rows, amounts = self.table, self.table["price_part"].to_list()
        figure = go.Figure(layout={"template": "pricing", "height": 420, "showlegend": False})
        figure.add_waterfall(
            x=[label(step, lang) for step in rows["component"]] + [label("premium", lang)],
            y=[*amounts, rows["price_so_far"][-1]],
            measure=["absolute", *["relative"] * (rows.height - 1), "total"],
            text=[f"{v:,.2f}" for v in (*amounts, rows["price_so_far"][-1])],
            textposition="outside",
            cliponaxis=False,
            connector={"line": {"color": COLOURS["line"], "width": 1, "dash": "dot"}},
            increasing={"marker": {"color": COLOURS["second"]}},
            decreasing={"marker": {"color": COLOURS["third"]}},
            totals={"marker": {"color": COLOURS["estimate"]}},
        )
        levels = rows["price_so_far"]
        low, high = float(levels.min()), float(levels.max())  # type: ignore[arg-type]
        room = max(high - low, 0.05 * high)
        return figure.update_layout(
            xaxis={"type": "category"},
            yaxis={
                "title": {"text": f"{label('premium', lang)} ({self.basis.currency})"},
                "range": [max(0.0, low - room), high + 0.4 * room],
            },
            hovermode="closest",
        )


def price_trace(
    due: pl.DataFrame | pl.LazyFrame,
    policy_id: str,
    rules: RenewalRules,
    *,
    basis: Basis | None = None,
) -> PriceTrace:
    """Price one renewal of those due and show every step of it.

    Parameters
    ----------
    due : polars.DataFrame or LazyFrame
        As :func:`pricing.renewal.price.price_renewals` takes them; a scan is read for the one row.
    policy_id : str
        The policy.
    rules : RenewalRules
        What is charged.
    basis : Basis, optional
        Source, period, currency.

    Raises
    ------
    InputError
        For a policy that is not due, that stands twice, or that has no price (with the reason).

    Examples
    --------
    >>> due = pl.DataFrame({"policy_id": ["P1"], "health_group": ["G1"], "standard_premium": [1800.0],
    ...                     "premium_before": [1800.0], "consent": [True]})
    >>> rules = RenewalRules(discounts={"G0": 0, "G1": 0.05}, adjustment=0.1, most_rise=0.03)
    >>> price_trace(due, "P1", rules).table.rows()[-1]
    ('from_rounding', 0.0, 1854.0)
    """
    asked = policy_id.strip()
    if not asked:
        raise InputError("no policy is named", do="give a policy number")
    found = due.lazy().filter(pl.col("policy_id").cast(pl.String) == asked).head(2).collect()
    if found.height != 1:
        why = "no renewal is due of" if found.is_empty() else "more than one renewal is due of"
        raise InputError(f"{why} policy {asked!r}", do="give the number as it stands in the book")
    row = price_renewals(found, rules).collect().row(0, named=True)
    if row["set_aside"] is not None:
        raise InputError(f"policy {asked!r} has no price: {row['set_aside']}")
    amounts = pl.Series([round(100 * row[step]) for step in STEPS])  # whole fen
    table = pl.DataFrame(
        {
            "component": ["standard_premium_due", *STEPS[1:]],
            "price_part": (amounts / 100).round(2),
            "price_so_far": (amounts.cum_sum() / 100).round(2),
        }
    )
    facts = {
        "policy_id": asked,
        "group": str(row["discount_group"]),
        "adjustment": float(row["adjustment"]),
        "discount": float(row["discount"]),
        "premium": float(row["premium"]),
        "premium_before": row.get("premium_before"),
        "change": row.get("change"),
        "due": str(row["due"]) if row.get("due") is not None else None,
    }
    return PriceTrace(table=table, basis=basis or Basis(), facts=facts)
