"""Price response: the naive figure, the instrument's and the discontinuity's, side by side."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.persistency.discontinuity import PriceDiscontinuity
from pricing.persistency.instrument import COLUMNS, InstrumentedPrice
from pricing.persistency.renewal_model import RenewalElasticity
from pricing.result.figure import COLOURS, error_bars
from pricing.result.shape import Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["PriceResponses", "price_responses"]


class PriceResponses(Result):
    """Own-price elasticity of renewal by every method tried.

    ``.table``: method, detail (formula, instrument or cut-off), offers, renewal_rate, price_elasticity,
    std_error, lower, upper, slope, slope_lower, slope_upper and, where the truth is known,
    truth (the elasticity that the true slope makes at the method's renewal rate).
    """

    kind = "price_responses"

    def finding(self, lang: Language = "en") -> str:
        """Say the naive elasticity beside those that do not rest on prices by chance."""
        lowest = level_label(self.facts["lowest_method"], lang)
        highest = level_label(self.facts["highest_method"], lang)
        named = {"lowest_method": lowest, "highest_method": highest}
        return say("finding.price_responses", lang, **{**self.facts, **named})

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the elasticity by method, with the truth where it is known."""
        t = self.table
        names = [
            level_label(m, lang) + (f", {d if d[0].isdigit() else label(d, lang)}" if d else "")
            for m, d in t.select("method", "detail").iter_rows()
        ]
        figure = go.Figure(layout={"template": "pricing", "height": 140 + 48 * t.height})
        bars = error_bars(*(t[c].to_list() for c in ("price_elasticity", "lower", "upper")))
        figure.add_scatter(
            x=t["price_elasticity"].to_list(),
            y=names,
            error_x=bars,
            mode="markers",
            name=label("price_elasticity", lang),
            marker={"size": 10, "color": COLOURS["estimate"]},
        )
        if "truth" in t.columns:
            figure.add_scatter(
                x=t["truth"].to_list(),
                y=names,
                mode="markers",
                name=label("truth", lang),
                marker={"symbol": "diamond-open", "size": 11, "color": COLOURS["second"]},
            )
        figure.add_vline(x=0.0, line={"dash": "dot", "color": COLOURS["line"]})
        return figure.update_layout(
            hovermode="closest",
            xaxis={"title": {"text": label("price_elasticity", lang)}},
            yaxis={"type": "category", "autorange": "reversed"},
        )


def price_responses(
    naive: RenewalElasticity,
    *others: InstrumentedPrice | PriceDiscontinuity,
    true_slope: float | None = None,
) -> PriceResponses:
    """Set the naive elasticity beside those of instruments and discontinuities.

    Where they part by more than their intervals, prices were given to policies that would have
    renewed otherwise anyhow, and the naive figure is of that too. A discontinuity speaks of the
    policies at its cut-off, an instrument of those whose price it moved.

    Parameters
    ----------
    naive : RenewalElasticity
        From :func:`pricing.persistency.renewal_model.renewal_elasticity`.
    *others : InstrumentedPrice or PriceDiscontinuity
        One or more.
    true_slope : float, optional
        Of a simulated book: change of the log-odds per unit of ln price.

    Raises
    ------
    InputError
        For nothing to compare, or results of another kind.

    Examples
    --------
    >>> from pricing.experience.cells import Experience
    >>> from pricing.persistency.discontinuity import price_discontinuity
    >>> from pricing.persistency.renewal_model import fit_renewal, renewal_elasticity
    >>> rng = np.random.default_rng(2)
    >>> value = rng.uniform(300, 500, 20_000).round(1)
    >>> x = np.where(value >= 400, -0.05, 0.05)
    >>> y = (rng.random(20_000) < 1 / (1 + np.exp(-1.5 + 5 * x))).astype(int)
    >>> rows = pl.DataFrame({"health_value": value, "price_change": x, "renewed": y,
    ...                      "exposure": 1.0, "claims": y, "amount": y * 1.0})
    >>> cells = Experience.collect(rows, ["price_change"], amount="amount")
    >>> naive = renewal_elasticity(fit_renewal(cells, "price_change"), cells)
    >>> cut = price_discontinuity(rows, "health_value", 400.0)
    >>> price_responses(naive, cut, true_slope=-5.0).table["method"].to_list()
    ['renewal_model', 'discontinuity']
    """
    if not isinstance(naive, RenewalElasticity):
        raise InputError(f"the naive figure is a renewal_elasticity, not a {_kind(naive)}")
    odd = [_kind(o) for o in others if not isinstance(o, InstrumentedPrice | PriceDiscontinuity)]
    if odd or not others:
        raise InputError(
            f"cannot be set beside it: {', '.join(odd)}" if odd else "nothing to set beside it",
            do="give results of instrumented_price or price_discontinuity",
        )
    if true_slope is not None and not math.isfinite(true_slope):
        raise InputError(f"the true slope is a number, got {true_slope!r}")
    first = naive.table.head(1).select(
        pl.lit("renewal_model").alias("method"),
        *COLUMNS[1:7],
        *(pl.lit(float(naive.facts[k])).alias(k) for k in COLUMNS[7:]),
    )
    parts = [first.with_columns(detail=pl.lit(""))]
    for other in others:
        own = str(other.facts["instrument" if isinstance(other, InstrumentedPrice) else "cutoff"])
        parts.append(other.table.with_columns(detail=pl.lit(own)))
    order = ["method", "detail", *COLUMNS[1:]]
    table = pl.concat([part.select(order) for part in parts])
    if true_slope is not None:
        table = table.with_columns(truth=true_slope * (1 - pl.col("renewal_rate")))
    causal = table.filter(~pl.col("method").is_in(["renewal_model", "naive_logit"]))
    e = causal["price_elasticity"].to_numpy()
    low, high = (causal.row(int(i), named=True) for i in (np.argmin(e), np.argmax(e)))
    apart = causal.filter(
        (pl.col("lower") > naive.facts["elasticity"])
        | (pl.col("upper") < naive.facts["elasticity"])
    ).height
    facts = {
        "naive": naive.facts["elasticity"], "naive_lower": naive.facts["lower"],
        "naive_upper": naive.facts["upper"], "methods": causal.height, "apart": apart,
        "lowest": low["price_elasticity"], "lowest_method": low["method"],
        "highest": high["price_elasticity"], "highest_method": high["method"],
        "level": naive.facts["level"], "true_slope": true_slope,
    }  # fmt: skip
    results = [naive, *others]
    notes = tuple(dict.fromkeys(n for r in results for n in r.basis.notes))
    mark = fingerprint(*(r.basis.fingerprint for r in results), str(true_slope))
    basis = replace(naive.basis, notes=notes, fingerprint=mark)
    return PriceResponses(table=table, basis=basis, facts=facts)


def _kind(thing: object) -> str:
    return thing.kind if isinstance(thing, Result) else type(thing).__name__
