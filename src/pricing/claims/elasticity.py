"""Arc elasticity of demand: how much less is claimed where the insured pays more of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Literal

import numpy as np
import plotly.graph_objects as go
import polars as pl
from scipy.special import ndtri

from pricing.claims.rating import Errors, RatingModel
from pricing.errors import InputError, nearest
from pricing.files import fingerprint
from pricing.result.figure import interval_figure
from pricing.result.shape import Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["Elasticity", "arc_elasticity"]


class Elasticity(Result):
    """Arc elasticity of claims to what the insured pays, between neighbouring prices.

    ``.table``: arc (level to level), price_from, price_to, demand_ratio, elasticity, std_error,
    lower, upper; the last row is the arc from the lowest to the highest price.
    """

    kind = "elasticity"

    def finding(self, lang: Language = "en") -> str:
        """Say the elasticity from the lowest to the highest price, and the range of its parts."""
        facts = {**self.facts, "factor": label(self.facts["factor"], lang)}
        for name in ("from", "to"):
            facts[f"level_{name}"] = level_label(facts[f"level_{name}"], lang)
        return say("finding.elasticity", lang, **facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the elasticity of every arc with its interval."""
        t = self.table
        return interval_figure(
            t["arc"].to_list(),
            t["elasticity"].to_list(),
            t["lower"].to_list(),
            t["upper"].to_list(),
            name="elasticity",
            factor="arc",
            lang=lang,
            reference=0.0,
        )


def arc_elasticity(
    model: RatingModel,
    factor: str,
    prices: Mapping[str, float],
    *,
    errors: Errors | Literal["cluster"] | None = None,
    level: float = 0.95,
) -> Elasticity:
    """Measure how demand answers to price, from the relativities of a factor that is a price.

    A coinsurance of 25 % instead of none is a price of 0.25 instead of 0 for each yuan of care. An
    arc elasticity of −0.2 says: where the price is higher by 10 % of the two prices' mean, demand
    is lower by 2 % of the mean of the two demands.

    Parameters
    ----------
    model : RatingModel
        Frequency or pure premium with a log link: demand per policy-year, all else alike.
    factor : str
        Factor whose levels have a price, without interactions.
    prices : mapping of str to float
        What the insured pays by level (fraction or currency; only ratios count), zero or more, of
        two levels or more, all different. Levels left out are not looked at.
    errors : {"robust", "model", "quasi", "cluster"}, optional
        The model's own where left out; never below model-based, as in its table.
    level : float
        Confidence level.

    Returns
    -------
    Elasticity
        A row per pair of neighbouring prices, and one from the lowest to the highest.

    Raises
    ------
    InputError
        For levels the model does not have or could not tell apart, prices below zero or equal, a
        factor in an interaction, a link that is not the log, a model without errors.

    Notes
    -----
    With Q the demand and P the price of two levels (Allen 1934; for the RAND experiment Keeler and
    Rolph 1988 and Newhouse 1993),

        η = ((Q₂ − Q₁)/(Q₂ + Q₁)) / ((P₂ − P₁)/(P₂ + P₁)).

    Under a log link Q₂/Q₁ = exp(d), d = β₂ − β₁, so the numerator is tanh(d/2) and
    se(η) = se(d)·(1 − tanh²(d/2))/2 over the denominator (delta method). From a price of zero the
    denominator is 1, whatever P₂ is: such an arc measures the whole response to a price, and says
    little of how it grows.

    Examples
    --------
    >>> from pricing.claims.models import fit_frequency
    >>> from pricing.experience.cells import Experience
    >>> rows = pl.DataFrame({"plan": ["25%", "25%", "75%", "75%"], "exposure": 1.0, "claims": [5, 7, 4, 4]})
    >>> model = fit_frequency(Experience.collect(rows, ["plan"]), "plan")
    >>> arc_elasticity(model, "plan", {"25%": 0.25, "75%": 0.75}).table["elasticity"].round(6).to_list()
    [-0.4, -0.4]
    """
    if not 0 < level < 1:
        raise InputError(f"the confidence level must lie between 0 and 1, got {level}")
    _require(model, factor, prices)
    known = {c.levels[0]: j for j, c in enumerate(model.columns) if c.variables == (factor,)}
    order = sorted(prices, key=lambda name: prices[name])
    own = errors or model.facts["errors"]
    covariances = [model.covariance(e) for e in dict.fromkeys((own, "model"))]
    z = float(ndtri(0.5 + level / 2))
    arcs = [*pairwise(order), (order[0], order[-1])]
    rows = []
    for low, high in arcs:
        weight = np.zeros(len(model.columns))
        for name, sign in ((low, -1.0), (high, 1.0)):
            if name in known:  # the base has the coefficient zero
                weight[known[name]] = sign
        some = np.flatnonzero(weight)
        w = weight[some]
        d = float(w @ model.coefficients[some])
        error = math.sqrt(max(float(w @ v[np.ix_(some, some)] @ w) for v in covariances))
        share = (prices[high] - prices[low]) / (prices[high] + prices[low])
        half = math.tanh(d / 2)
        eta, se = half / share, error * (1 - half**2) / 2 / share
        rows.append(
            (f"{low} → {high}", prices[low], prices[high], math.exp(d), eta, se,
             eta - z * se, eta + z * se)
        )  # fmt: skip
    table = pl.DataFrame(
        rows,
        schema=["arc", "price_from", "price_to", "demand_ratio", "elasticity", "std_error",
                "lower", "upper"],
        orient="row",
        schema_overrides={"price_from": pl.Float64, "price_to": pl.Float64},
    )  # fmt: skip
    whole, parts = table.row(-1, named=True), table["elasticity"][:-1]
    facts = {
        "factor": factor,
        "level": level,
        "errors": own,
        "level_from": order[0],
        "level_to": order[-1],
        **{n: whole[n] for n in ("elasticity", "lower", "upper", "demand_ratio")},
        "steepest": float(min(parts)),
        "flattest": float(max(parts)),
        "arcs": len(parts),
    }
    mark = fingerprint(model.basis.fingerprint, factor, repr(sorted(prices.items())), str(own))
    basis = replace(model.basis, fingerprint=mark)
    return Elasticity(table=table, basis=basis, facts=facts)


def _require(model: RatingModel, factor: str, prices: Mapping[str, float]) -> None:
    """Refuse what has no arc, with every reason at once."""
    if model.details.get("link", "log") != "log":
        raise InputError(
            f"an {model.kind} model has no demand per policy-year",
            do="take a frequency or a pure premium",
        )
    levels = model.details["levels"]
    if factor not in levels:
        raise InputError(f"{factor!r} is not a factor of the model{nearest(factor, levels)}")
    shared = [c.term for c in model.columns if factor in c.variables and len(c.variables) > 1]
    if shared:
        raise InputError(
            f"{factor!r} is in the interaction {shared[0]!r}: its effect is not one number",
            do="fit without the interaction, or each part of the book by itself",
        )
    faults = [
        f"{name}: not a level of {factor!r}{nearest(str(name), levels[factor])}"
        for name in prices
        if name not in levels[factor]
    ]
    faults += [
        f"{name}: a price must be finite and zero or more, got {price}"
        for name, price in prices.items()
        if not (math.isfinite(price) and price >= 0)
    ]
    if len(set(prices.values())) < max(len(prices), 2):
        faults.append(f"{len(prices)} levels have {len(set(prices.values()))} different prices")
    aliased = [
        c.levels[0]
        for c, b in zip(model.columns, model.coefficients, strict=True)
        if c.variables == (factor,) and not np.isfinite(b)
    ]
    faults += [f"{name}: cannot be told apart" for name in aliased if name in prices]
    if faults:
        raise InputError(
            "prices that make no arc",
            faults=faults,
            do="give two or more levels of the factor, each with its own price",
        )
