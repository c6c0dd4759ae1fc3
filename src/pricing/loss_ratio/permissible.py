"""Permissible loss ratio: the share of the premium that claims may take."""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np
import plotly.graph_objects as go
import polars as pl
from numpy.typing import NDArray

from pricing.errors import InputError
from pricing.result.series import SERIES
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label

__all__ = ["Permissible", "permissible_loss_ratio"]

Ratio = TypeVar("Ratio", float, NDArray[np.float64])  # one loss ratio, or one per draw
VARIABLE = ("commission", "premium_tax", "variable_expense", "margin")
FIXED = ("fixed_expense", "service_cost")


class Permissible(Result):
    """What the premium pays for, and what is left for claims."""

    kind = "permissible"

    @property
    def loss_ratio(self) -> float:
        """The permissible loss ratio at the present premium."""
        return float(self.facts["permissible"])

    def required(self, loss_ratio: Ratio) -> Ratio:
        """Give the premium needed over the present one, for a projected loss ratio.

        (L(1 + a) + F) / (1 − V): claims with their adjustment expense and what is fixed in money,
        over the share of each yuan that is not spent in proportion to it.
        """
        f = self.facts
        found: Ratio = (loss_ratio * (1 + f["claim_expense"]) + f["fixed"]) / (1 - f["variable"])
        return found

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the premium as one bar, cut into what it pays for."""
        figure = go.Figure(layout={"template": "pricing", "barmode": "stack", "height": 260})
        for i, row in enumerate(self.table.filter(pl.col("share") > 0).iter_rows(named=True)):
            figure.add_bar(
                y=[""],
                x=[row["share"]],
                orientation="h",
                name=f"{label(row['component'], lang)} {row['share']:.1%}",
                text=f"{row['share']:.1%}",
                textposition="inside",
                insidetextanchor="middle",
                textangle=0,
                marker={
                    "color": SERIES[i % len(SERIES)][0],
                    "pattern": {"shape": "" if i < len(SERIES) else "/"},
                    "line": {"color": "white", "width": 2},
                },
            )
        return figure.update_layout(
            hovermode="closest",
            uniformtext={"minsize": 11, "mode": "hide"},
            legend={"traceorder": "normal"},
            xaxis={"title": {"text": label("share_of_premium", lang)}, "tickformat": ".0%"},
            yaxis={"showticklabels": False, "ticks": ""},
        )


def permissible_loss_ratio(
    *,
    commission: float = 0.0,
    premium_tax: float = 0.0,
    variable_expense: float = 0.0,
    margin: float = 0.0,
    fixed_expense: float = 0.0,
    service_cost: float = 0.0,
    claim_expense: float = 0.0,
    basis: Basis | None = None,
) -> Permissible:
    """Share of the premium left for claims once everything else it pays for is taken off.

    Parameters
    ----------
    commission, premium_tax, variable_expense, margin : float
        Shares of the premium, whatever it is; the margin is for profit and risk.
    fixed_expense, service_cost : float
        Shares of the *present* premium that stay the same in money when the rate moves:
        administration, health services in the plan.
    claim_expense : float
        Cost of adjusting claims over the claims.
    basis : Basis, optional
        Where the shares are from.

    Returns
    -------
    Permissible
        ``.table``: component, share, nature (claims, variable, fixed). ``.loss_ratio``,
        ``.required(loss_ratio)``.

    Raises
    ------
    InputError
        For shares below zero, not finite, or that leave nothing for claims.

    Notes
    -----
    Permissible loss ratio = (1 − V − F) / (1 + a), with V what moves with the premium, F what is
    fixed, a the claim expense. The change indicated by a loss ratio L is
    (L(1 + a) + F) / (1 − V) − 1, zero exactly where L is the permissible one: Werner and Modlin
    (2016), Basic Ratemaking, chapter 8. Where nothing is fixed it is L / permissible − 1.

    Examples
    --------
    >>> found = permissible_loss_ratio(commission=0.15, margin=0.05, fixed_expense=0.08, service_cost=0.02)
    >>> round(found.loss_ratio, 4), round(found.required(0.70), 4), round(found.required(0.75), 4)
    (0.7, 1.0, 1.0625)
    """
    given = {
        "commission": commission,
        "premium_tax": premium_tax,
        "variable_expense": variable_expense,
        "margin": margin,
        "fixed_expense": fixed_expense,
        "service_cost": service_cost,
        "claim_expense": claim_expense,
    }
    faults = [
        f"{name} = {value!r} is no share of zero or more"
        for name, value in given.items()
        if isinstance(value, bool)
        or not isinstance(value, int | float)
        or not (math.isfinite(value) and value >= 0)
    ]
    variable = sum(given[name] for name in VARIABLE) if not faults else 0.0
    fixed = sum(given[name] for name in FIXED) if not faults else 0.0
    if not faults and variable + fixed >= 1:
        faults.append(f"expenses, commission and margin come to {variable + fixed:.1%}")
    if faults:
        raise InputError("no premium is left for claims", faults=faults, do="give shares of 1")
    ratio = (1 - variable - fixed) / (1 + claim_expense)
    rows = [("claims_share", ratio, "claims"), ("claim_expense", ratio * claim_expense, "claims")]
    rows += [(name, given[name], "variable") for name in VARIABLE]
    rows += [(name, given[name], "fixed") for name in FIXED]
    return Permissible(
        table=pl.DataFrame(rows, schema=["component", "share", "nature"], orient="row"),
        basis=basis or Basis(),
        facts={
            "permissible": ratio,
            "variable": variable,
            "fixed": fixed,
            "claim_expense": claim_expense,
        },
    )
