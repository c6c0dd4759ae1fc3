"""Renewal model: the log-odds of renewing by factor and price, and the own-price elasticity.

With η = x'θ the log-odds and p = 1/(1 + e^−η), a premium higher by a small share δ changes η by gδ
(g = ∂η/∂ln price, the price coefficient and its interactions) and the renewals Σp by the share

    E = Σ p(1 − p) g / Σ p,

the own-price elasticity of renewal, β(1 − p) for one kind of policy (Guelman and Guillén 2014, A
causal inference approach to measure price elasticity in automobile insurance; Train 2009,
Discrete Choice Methods with Simulation, section 3.6). Its error is by the delta method:
∂E/∂θ = Σ[p(1 − p)(1 − 2p) g x + p(1 − p) ∂g/∂θ − E p(1 − p) x] / Σ p.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np
import plotly.graph_objects as go
import polars as pl
from scipy.special import ndtri

from pricing.claims.occurrence import Occurrence
from pricing.claims.rating import Errors
from pricing.claims.relativities import Options, fit_rating
from pricing.errors import InputError
from pricing.estimate.design import Floats
from pricing.estimate.families import Binomial
from pricing.estimate.response import RESPONSES
from pricing.experience.cells import Experience
from pricing.experience.domain import require_columns
from pricing.files import fingerprint
from pricing.persistency.persistency import require_offers
from pricing.result.figure import interval_figure
from pricing.result.shape import Result
from pricing.result.words import Language, level_label, say

__all__ = ["RenewalElasticity", "RenewalModel", "fit_renewal", "renewal_elasticity"]

ERRORS = ("robust", "model", "quasi", "cluster")
RENEWAL = replace(RESPONSES["occurrence"], event="renewal", unit="offers")


class RenewalModel(Occurrence):
    """A logit model of renewal; relativities are odds ratios of renewing.

    For the price they are of a premium e times the one before; the elasticity is what to read.
    """

    kind = "renewal_model"

    def finding(self, lang: Language = "en", factor: str | None = None) -> str:
        """Say what 10 % more premium does to the odds of renewal, or sum up one factor."""
        if factor is not None:
            return super().finding(lang, factor)
        errors = level_label(self.facts["errors"], lang)
        return say(
            "finding.renewal_model", lang, **{**self.facts, **self.slope(), "errors": errors}
        )

    def slope(self) -> dict[str, float]:
        """Give the price slope (log-odds per unit of ln price) with its interval, and its odds ratio.

        The interval rests on the model's errors, clustered ones after ``cluster_errors``.
        """
        price = self.details["price"]
        own = [c.variables == (price,) and c.spline is None for c in self.columns].index(True)
        value = float(self.coefficients[own])
        chosen = [self.covariance(e) for e in dict.fromkeys((self.facts["errors"], "model"))]
        error = math.sqrt(max(float(v[own, own]) for v in chosen))
        reach = float(ndtri(0.5 + self.facts["level"] / 2)) * error
        low, high, step = value - reach, value + reach, math.log(1.1)
        return {
            "slope": value, "std_error": error, "slope_lower": low, "slope_upper": high,
            "odds_ratio": math.exp(value * step), "odds_lower": math.exp(low * step),
            "odds_upper": math.exp(high * step),
        }  # fmt: skip

    def figure(self, lang: Language = "en", factor: str | None = None) -> go.Figure:
        """Draw the odds ratios of one factor (default: the first in the formula)."""
        chosen = factor or next(iter(self.details["levels"]), None)
        if chosen is None:
            raise InputError("the model has no factor to draw", do="read its .table")
        rows = self.relativities(chosen)
        return interval_figure(
            rows["level"].to_list(),
            rows["relativity"].to_list(),
            rows["lower"].to_list(),
            rows["upper"].to_list(),
            name="renewal_odds_ratio",
            factor=chosen,
            lang=lang,
            bars=rows["exposure"].fill_null(0).to_list(),
            bars_name="offers",
            reference=1.0,
        )


class RenewalElasticity(Result):
    """Own-price elasticity of renewal, of all offers and by level.

    ``.table``: level, offers, renewal_rate (fitted), price_elasticity, std_error, lower, upper.
    """

    kind = "renewal_elasticity"

    def finding(self, lang: Language = "en") -> str:
        """Say what 1 % more premium does to the number of renewals."""
        return say("finding.renewal_elasticity", lang, **self.facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the elasticity by level over bars of offers, that of all as a dotted line."""
        t = self.table
        own = t if t.height == 1 else t[1:]
        return interval_figure(
            own["level"].to_list(),
            own["price_elasticity"].to_list(),
            own["lower"].to_list(),
            own["upper"].to_list(),
            name="price_elasticity",
            factor=self.facts["by"] or "level",
            lang=lang,
            bars=own["offers"].to_list(),
            bars_name="offers",
            reference=self.facts["elasticity"],
        )


def fit_renewal(
    cells: Experience,
    formula: str,
    *,
    price: str = "price_change",
    base: Mapping[str, str] | None = None,
    errors: Errors = "robust",
    level: float = 0.95,
) -> RenewalModel:
    """Fit the log-odds of renewal on cells of offers: binomial, logit.

    Its price slope is causal only where prices differ by chance given the other factors; else set
    it beside :mod:`pricing.persistency.instrument` and
    :mod:`pricing.persistency.discontinuity`.

    Parameters
    ----------
    cells : Experience
        From :meth:`pricing.persistency.renewals.RenewalOffers.cells`.
    formula : str
        Such as ``"health_group + price_change"``; interactions with the price are taken.
    price : str
        Key with ln(premium offered / premium before), in the formula.
    base, errors, level
        As in :func:`pricing.claims.models.fit_frequency`. A policy's renewals are alike: cluster
        with ``cluster_errors(model, offers.frame(keys), by="policy_id")``.

    Raises
    ------
    InputError
        Where the formula lacks the price, the price has one value only, nobody or everybody
        renews in a level, the cells are not of offers; and as the fit.

    Examples
    --------
    >>> rows = pl.DataFrame({"price_change": [0.0] * 4 + [0.1] * 4, "exposure": 1.0,
    ...                      "claims": [1, 1, 1, 0, 1, 1, 0, 0], "amount": [1.0, 1, 1, 0, 1, 1, 0, 0]})
    >>> model = fit_renewal(Experience.collect(rows, ["price_change"], amount="amount"), "price_change")
    >>> round(model.slope()["slope"], 4)
    -10.9861
    """
    require_columns([price], cells.keys)
    require_offers(cells)
    if "amount_rows" not in cells.cells.columns:
        raise InputError("the cells have no renewals", do="collect with RenewalOffers.cells(...)")
    kind = cells.cells.schema[price]
    if not kind.is_numeric():
        raise InputError(f"{price!r} is {kind}, not a number", do="give the ln ratio of premiums")
    if cells.cells[price].n_unique() < 2:
        raise InputError(f"{price!r} has one value in every offer: there is no price to respond to")
    _require_both(cells)
    notes = ["relativities are odds ratios of renewing; every offer is one trial"]
    options = Options(base=base, errors=errors, level=level, notes=notes)
    model = fit_rating(RenewalModel, cells, formula, Binomial(), RENEWAL, options)
    if price not in model.keys:
        raise InputError(f"the formula has no {price!r}: {formula!r}", do=f"add + {price}")
    own = [j for j, c in enumerate(model.columns) if c.variables == (price,) and c.spline is None]
    if not own or not np.isfinite(model.coefficients[own[0]]):
        raise InputError(
            f"the formula gives {price!r} no slope of its own: {formula!r}",
            do="have the price as a plain term, and not one that other factors fix",
        )
    facts = {**model.facts, "price": price}
    return replace(model, facts=facts, details={**model.details, "price": price})


def renewal_elasticity(
    model: RenewalModel,
    cells: Experience,
    by: str | None = None,
    *,
    errors: Errors | Literal["cluster"] | None = None,
) -> RenewalElasticity:
    """Give the own-price elasticity of renewal, of all offers and by segment.

    Parameters
    ----------
    model : RenewalModel
        As fitted, or with clustered errors.
    cells : Experience
        The offers to average over; the model's own, or those of next year.
    by : str, optional
        Key to look by, such as ``health_group``.
    errors : {"robust", "model", "quasi", "cluster"}, optional
        The model's own where left out; never narrower than model-based.

    Raises
    ------
    InputError
        For a model without a price slope, or a key that is not there.

    Notes
    -----
    The formulas stand in this module. The offers are taken as given: the interval is of the
    slope, not of which policies will be offered.

    Examples
    --------
    >>> rows = pl.DataFrame({"price_change": [0.0] * 4 + [0.1] * 4, "exposure": 1.0,
    ...                      "claims": [1, 1, 1, 0, 1, 1, 0, 0], "amount": [1.0, 1, 1, 0, 1, 1, 0, 0]})
    >>> seen = Experience.collect(rows, ["price_change"], amount="amount")
    >>> renewal_elasticity(fit_renewal(seen, "price_change"), seen).table["price_elasticity"].round(4).to_list()
    [-3.8451]
    """
    if errors is not None and errors not in ERRORS:
        raise InputError(f"errors={errors!r} is not offered: {', '.join(ERRORS)}")
    price = model.details.get("price")
    if price is None:
        raise InputError("the model has no price slope", do="fit it with fit_renewal")
    require_columns([*model.keys, *([by] if by else [])], cells.keys)
    curved = [c.name for c in model.columns if c.spline is not None and c.smooth == price]
    if curved:
        raise InputError(f"{price!r} is a spline ({curved[0]}): its slope is not one number")
    seen = cells.by(*dict.fromkeys([*model.keys, *([by] if by else [])]))
    x = model.values(seen.cells)
    d = model.values(seen.cells.with_columns(pl.col(price) + 1.0)) - x
    kept = np.flatnonzero(np.isfinite(model.coefficients))
    theta = model.coefficients[kept]
    p = model.score(seen.cells)["rate"].to_numpy()
    chosen = errors or model.facts["errors"]
    covariances = [
        model.covariance(e)[np.ix_(kept, kept)] for e in dict.fromkeys((chosen, "model"))
    ]
    z = float(ndtri(0.5 + model.facts["level"] / 2))
    n = seen.values("exposure")
    rows = [("total", *_elasticity(x, d, p, n, theta, covariances, z))]
    if by:
        levels = seen.cells[by].cast(pl.String)
        order = list(dict.fromkeys(seen.cells.sort(by)[by].cast(pl.String).to_list()))
        for name in order:  # levels of one factor, never rows
            own = (levels == name).to_numpy()
            rows.append((name, *_elasticity(x[own], d[own], p[own], n[own], theta, covariances, z)))
    names = ["level", "offers", "renewal_rate", "price_elasticity", "std_error", "lower", "upper"]
    table = pl.DataFrame(rows, schema=names, orient="row")
    whole = table.row(0, named=True)
    facts = {
        "elasticity": whole["price_elasticity"],
        **{k: whole[k] for k in ("lower", "upper", "renewal_rate", "std_error")},
        "by": by, "level": model.facts["level"], "errors": chosen, "price": price,
        **{k: model.slope()[k] for k in ("slope", "slope_lower", "slope_upper")},
    }  # fmt: skip
    note = (
        "elasticity of the number of renewals, delta method; causal only where prices are by chance"
    )
    basis = replace(
        seen.basis,
        notes=(*model.basis.notes, note),
        fingerprint=fingerprint(model.basis.fingerprint, seen.basis.fingerprint, str(by), chosen),
    )
    return RenewalElasticity(table=table, basis=basis, facts=facts)


def _elasticity(
    x: Floats,
    d: Floats,
    p: Floats,
    n: Floats,
    theta: Floats,
    covariances: list[Floats],
    z: float,
) -> tuple[float, float, float, float, float, float]:
    """Elasticity of Σp with its interval, by the formulas of this module."""
    g, q, total = d @ theta, p * (1 - p), float(n @ p)
    e = float(n @ (q * g)) / total
    gradient = ((n * q * ((1 - 2 * p) * g - e)) @ x + (n * q) @ d) / total
    error = math.sqrt(max(0.0, *(float(gradient @ v @ gradient) for v in covariances)))
    return float(n.sum()), total / float(n.sum()), e, error, e - z * error, e + z * error


def _require_both(cells: Experience) -> None:
    n, k = cells.values("exposure").sum(), cells.values("claims").sum()
    if not 0 < k < n:
        what = "nobody leaves" if k else "nobody renews"
        raise InputError(
            f"{what} in {n:,.0f} offers: there is no renewal rate to explain",
            do="check exit_cause and the window",
        )
