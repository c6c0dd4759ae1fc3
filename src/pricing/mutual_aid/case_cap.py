"""The cap of a case: what a payer gives, what is missing, and how many payers a case takes.

With n payers a case of amount B costs each (1 + fee)·B/n. A cap c binds below n = (1 + fee)·B/c, and the
rest, (1 + fee)·B − c·n a case, falls on the platform or is not paid.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.mutual_aid.rules import AidRules
from pricing.result.series import SERIES
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, say

__all__ = ["CappedShare", "break_even_members", "capped_share"]


class CappedShare(Result):
    """Share and shortfall by number of payers; ``.table``: payers, benefit_amount, cases, aid_share (per payer, all
    cases), uncapped_share, binds, shortfall (all cases), aid_paid_share (of the aid).
    """

    kind = "capped_share"

    def finding(self, lang: Language = "en") -> str:
        """Say below how many payers the cap binds."""
        return say("finding.capped_share", lang, **self.facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the share of the aid that is raised, by number of payers."""
        figure = go.Figure(layout={"template": "pricing"})
        amounts = self.table["benefit_amount"].unique().sort().to_list()
        for amount, (colour, symbol) in zip(amounts, SERIES, strict=False):
            part = self.table.filter(pl.col("benefit_amount") == amount).sort("payers")
            figure.add_scatter(
                x=part["payers"].to_list(),
                y=part["aid_paid_share"].to_list(),
                name=f"{label('benefit_amount', lang)} {amount:,.0f}",
                mode="lines+markers",
                marker={"symbol": symbol, "size": 6},
                line={"width": 2, "color": colour},
            )
        return figure.update_layout(
            xaxis={"title": {"text": label("payers", lang)}, "type": "log"},
            yaxis={
                "title": {"text": label("aid_paid_share", lang)},
                "tickformat": ".0%",
                "rangemode": "tozero",
            },
        )


def break_even_members(amount: float, *, fee: float, cap: float) -> float:
    """Payers below which the cap of a case binds: (1 + fee) × amount / cap.

    Examples
    --------
    >>> round(break_even_members(300_000, fee=0.08, cap=0.1)), round(break_even_members(100_000, fee=0.08, cap=0.1))
    (3240000, 1080000)
    """
    if not (amount > 0 and cap > 0 and 0 <= fee < 1) or not math.isfinite(amount / cap):
        raise InputError(
            f"amount {amount}, cap {cap}, fee {fee}: amounts above zero, a fee of 0 to 1"
        )
    return (1 + fee) * amount / cap


def capped_share(
    rules: AidRules,
    payers: Sequence[int],
    *,
    cases: int = 1,
    amounts: Sequence[float] | None = None,
) -> CappedShare:
    """Show a payer's share and what is missing, by number of payers and amount of a case.

    Parameters
    ----------
    rules : AidRules
        Fee and cap of a case; without a cap nothing is ever missing.
    payers : sequence of int
        Numbers of payers to look at, each 1 or more.
    cases : int
        Cases in the period, all of the same amount.
    amounts : sequence of float, optional
        Amounts of a case; the benefits of the rules where left out.

    Examples
    --------
    >>> from pricing.mutual_aid.rules import aid_rules
    >>> plan = aid_rules("xiang_hu_bao").but(cap_per_case=10.0)
    >>> capped_share(plan, [5_000_000], cases=100).table.filter(pl.col("benefit_amount") == 300_000)["aid_share"].round(2).item()
    6.48
    """
    if not payers or any(n != int(n) or n < 1 for n in payers):
        raise InputError("numbers of payers are whole and 1 or more", do="give such as [1_000_000]")
    if cases != int(cases) or cases < 1:
        raise InputError(f"{cases} cases; a whole number, 1 or more")
    given = sorted({band.amount for band in rules.benefit} if amounts is None else set(amounts))
    if not given or not all(math.isfinite(a) and a > 0 for a in given):
        raise InputError(f"amounts of a case are above zero, got {given}")
    cap = rules.cap_per_case
    due = (1 + rules.fee) * pl.col("benefit_amount")
    each = pl.min_horizontal(due / pl.col("payers"), pl.lit(math.inf if cap is None else cap))
    table = (
        pl.DataFrame({"payers": sorted({int(n) for n in payers})}, schema={"payers": pl.Int64})
        .join(pl.DataFrame({"benefit_amount": [float(a) for a in given]}), how="cross")
        .with_columns(cases=pl.lit(int(cases)), aid_share=each * cases)
        .with_columns(uncapped_share=due / pl.col("payers") * cases)
        .with_columns(
            binds=pl.col("aid_share") < pl.col("uncapped_share") * (1 - 1e-12),
            shortfall=(due * cases - pl.col("aid_share") * pl.col("payers")).clip(0),
            aid_paid_share=(pl.col("aid_share") / pl.col("uncapped_share")).clip(0, 1),
        )
    )
    most = max(given)
    needed = break_even_members(most, fee=rules.fee, cap=cap) if cap is not None else 0.0
    facts = {
        "plan": rules.name, "cap": cap, "cap_text": "-" if cap is None else f"{cap:g}",
        "amount": most, "members_needed": needed, "borne_by": rules.shortfall,
        "binding": int(table["binds"].sum()), "looked_at": table.height,
        "largest_shortfall": float(table["shortfall"].max() or 0.0),  # type: ignore[arg-type]
        "currency": rules.currency,
    }  # fmt: skip
    return CappedShare(
        table=table.sort("benefit_amount", "payers"),
        basis=Basis(
            source=rules.source,
            currency=rules.currency,
            fingerprint=fingerprint(repr(rules), str(facts), table.write_json()),
            notes=("before rounding to the fen", f"what is missing: {rules.shortfall}"),
        ),
        facts=facts,
    )
