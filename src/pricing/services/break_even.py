"""When a service pays for itself: the fall of claims it needs, the use at which it loses."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.regulation.check import is_number
from pricing.result.figure import COLOURS
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label
from pricing.services.cost import ServiceCost

__all__ = ["ServiceBreakEven", "service_break_even"]


class ServiceBreakEven(Result):
    """Fall of claims that pays for the services by age band, and the use at which they lose."""

    kind = "service_break_even"

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the fall of claims each age band needs, and that of the whole."""
        figure = go.Figure(layout={"template": "pricing"})
        figure.add_bar(
            x=self.table["age_band"].to_list(), y=self.table["claims_fall"].to_list(),
            name=label("claims_fall", lang), marker_color=COLOURS["estimate"],
        )  # fmt: skip
        figure.add_hline(
            y=self.facts["claims_fall"], line={"dash": "dot", "color": COLOURS["line"]}
        )
        return figure.update_layout(
            xaxis={"title": {"text": label("age_band", lang)}, "type": "category"},
            yaxis={"title": {"text": label("claims_fall", lang)}, "tickformat": ".1%"},
        )


def service_break_even(
    cost: ServiceCost, claims: pl.DataFrame, *, income: float = 0.0
) -> ServiceBreakEven:
    """Ask what would have to be true for the services to pay for themselves.

    Parameters
    ----------
    cost : ServiceCost
        From :func:`pricing.services.cost.service_cost`.
    claims : polars.DataFrame
        ``age_band`` (as in ``cost``) and ``claims_cost``: expected claims per insured-year, above
        zero.
    income : float
        What the services bring in per insured-year net of loadings (a rider, fees), zero or more.

    Returns
    -------
    ServiceBreakEven
        ``.table`` by age_band: insured, service_cost, claims_cost, claims_fall (share of claims that
        must go, 0 where income covers the cost; above 1 no fall of claims is enough). ``.facts``:
        claims_fall of the whole, use_limit (multiple of the expected use at which the services lose
        without any fall of claims; 0 where income does not cover what is fixed, none where nothing
        goes with the use).

    Raises
    ------
    InputError
        For bands without claims, claims not above zero, income below zero.

    Notes
    -----
    Fall = max(0, cost − income)/claims. Use limit = (income − fixed cost)/variable cost, per insured.

    Examples
    --------
    >>> from pricing.services.cost import service_cost
    >>> from pricing.services.service import Service, ServicePlan
    >>> plan = ServicePlan(name="p", services=[Service(name="a", use=1.0, unit_cost=60.0)])
    >>> cost = service_cost(plan, pl.DataFrame({"sex": ["male"], "age": [45], "insured": [1]}))
    >>> claims = pl.DataFrame({"age_band": ["40-49"], "claims_cost": [600.0]})
    >>> found = service_break_even(cost, claims, income=30.0)
    >>> found.facts["claims_fall"], found.facts["use_limit"]
    (0.05, 0.5)
    """
    if not (is_number(income) and income >= 0):
        raise InputError(f"income per insured must be zero or more, got {income!r}")
    if missing := [name for name in ("age_band", "claims_cost") if name not in claims.columns]:
        raise InputError(f"claims by age band lack {', '.join(missing)}", where="claims")
    if not claims.schema["claims_cost"].is_numeric():
        raise InputError(
            f"'claims_cost' is {claims.schema['claims_cost']}, not a number", where="claims"
        )
    bands = cost.frames["bands"].with_columns(pl.col("age_band").cast(pl.String))
    given = claims.select(
        pl.col("age_band").cast(pl.String), pl.col("claims_cost").cast(pl.Float64)
    )
    if given["age_band"].is_duplicated().any():
        raise InputError("an age band stands twice", where="claims")
    joined = bands.join(given, on="age_band", how="left", maintain_order="left")
    wrong = joined.filter(
        ~(pl.col("claims_cost").is_finite() & (pl.col("claims_cost") > 0)).fill_null(False)
    )
    if wrong.height:
        raise InputError(
            f"{wrong.height:,} age band(s) with insured have no claims above zero: "
            f"{', '.join(wrong['age_band'].to_list())}",
            where="claims",
        )
    table = joined.select(
        "age_band",
        "insured",
        "service_cost",
        "claims_cost",
        claims_fall=(pl.col("service_cost") - income).clip(lower_bound=0.0) / pl.col("claims_cost"),
    )
    insured = cost.facts["insured"]
    expected = float((table["claims_cost"] * table["insured"]).sum()) / insured
    spent, fixed = cost.facts["cost_per_insured"], cost.facts["fixed_cost"] / insured
    variable = spent - fixed
    hardest = table.sort("claims_fall", descending=True, maintain_order=True).row(0, named=True)
    facts: dict[str, Any] = {
        "cost_per_insured": spent,
        "income": float(income),
        "claims_cost": expected,
        "claims_fall": max(0.0, spent - income) / expected,
        "hardest": hardest["age_band"],
        "hardest_fall": hardest["claims_fall"],
        "use_limit": max(0.0, income - fixed) / variable if variable > 0 else None,
    }
    basis = Basis(
        source=cost.basis.source,
        rows=table.height,
        exposure=insured,
        currency=cost.basis.currency,
        fingerprint=fingerprint(cost.basis.fingerprint, given.write_json(), repr(income)),
        notes=(*cost.basis.notes, "what would have to be true; not evidence that claims fall"),
    )
    return ServiceBreakEven(table=table, basis=basis, facts=facts)
