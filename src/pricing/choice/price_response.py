"""Price response of a plan: elasticities, take-up by price, willingness to pay against own cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import polars as pl

from pricing.choice.demand import paid_prices
from pricing.choice.market import Market, money_by_tier
from pricing.errors import InputError, nearest
from pricing.estimate.design import Floats
from pricing.files import fingerprint
from pricing.result.figure import COLOURS, error_bars
from pricing.result.series import SERIES
from pricing.result.shape import Result
from pricing.result.words import Language, label, level_label, say
from pricing.survival.interval import normal_quantile

__all__ = [
    "ChoiceElasticities",
    "TakeUpCurve",
    "WillingnessToPay",
    "choice_elasticities",
    "take_up_curve",
    "willingness_to_pay",
]


class ChoiceElasticities(Result):
    """Own- and cross-price elasticities of the alternatives.

    ``.table``: alternative (whose demand), price_of (whose price paid), choice_elasticity with std_error,
    lower, upper.
    """

    kind = "choice_elasticities"

    def finding(self, lang: Language = "en") -> str:
        """Say the strongest own elasticity and where its members go."""
        named = {n: level_label(self.facts[n], lang) for n in ("tier", "to")}
        return say("finding.choice_elasticities", lang, **{**self.facts, **named})

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the elasticities of every alternative, one series for each price."""
        figure = go.Figure(layout={"template": "pricing", "height": 380})
        prices = self.table["price_of"].unique(maintain_order=True)
        for name, (colour, symbol) in zip(prices, SERIES, strict=False):
            own = self.table.filter(pl.col("price_of") == name)
            values = [own[c].to_list() for c in ("choice_elasticity", "lower", "upper")]
            figure.add_scatter(
                x=values[0],
                y=[level_label(a, lang) for a in own["alternative"]],
                error_x=error_bars(*values),
                mode="markers",
                name=f"{label('price_of', lang)}: {level_label(name, lang)}",
                marker={"size": 10, "color": colour, "symbol": symbol},
            )
        figure.add_vline(x=0.0, line={"dash": "dot", "color": COLOURS["line"]})
        return figure.update_layout(
            hovermode="closest",
            xaxis={"title": {"text": label("choice_elasticity", lang)}},
            yaxis={
                "type": "category",
                "autorange": "reversed",
                "title": {"text": label("alternative", lang)},
            },
        )


class TakeUpCurve(Result):
    """Take-up by the price paid for one tier, the others held.

    ``.table``: price_paid, alternative (``all`` for any tier), share, lower, upper.
    ``.frames["types"]``: price_paid, band, share of those who take any tier.
    """

    kind = "take_up_curve"

    def finding(self, lang: Language = "en") -> str:
        """Say take-up at the two ends of the prices."""
        return say(
            "finding.take_up_curve",
            lang,
            **{**self.facts, "tier": level_label(self.facts["tier"], lang)},
        )

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw take-up of any tier in its band, and each tier's own."""
        figure = go.Figure(layout={"template": "pricing"})
        every = self.table.filter(pl.col("alternative") == "all")
        x = every["price_paid"].to_list()
        if every["upper"].null_count() == 0:
            edge = {"mode": "lines", "line": {"width": 0}, "showlegend": False, "hoverinfo": "skip"}
            figure.add_scatter(x=x, y=every["upper"].to_list(), **edge)
            figure.add_scatter(
                x=x,
                y=every["lower"].to_list(),
                fill="tonexty",
                fillcolor="rgba(0,114,178,0.22)",
                **edge,
            )
        names = self.table["alternative"].unique(maintain_order=True).to_list()
        colours = [COLOURS["estimate"], *(c for c, _ in SERIES[1:])]
        for name, colour in zip(names, colours, strict=False):
            own = self.table.filter(pl.col("alternative") == name)
            figure.add_scatter(
                x=x,
                y=own["share"].to_list(),
                mode="lines",
                name=label("any_tier", lang) if name == "all" else level_label(name, lang),
                line={"width": 3 if name == "all" else 2, "color": colour, "shape": "spline"},
            )
        return figure.update_layout(
            xaxis={"title": {"text": label("price_paid", lang)}},
            yaxis={
                "title": {"text": label("share", lang)},
                "tickformat": ".0%",
                "rangemode": "tozero",
            },
        )


class WillingnessToPay(Result):
    """Willingness to pay against own expected cost, by band of cost.

    ``.table``: band, alternative, headcount, willingness with std_error, lower, upper (mean of the band,
    against none), cost_per_member (own expected cost), willingness_ratio (their quotient).
    """

    kind = "willingness_to_pay"

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw willingness to pay and own cost by band, for each tier."""
        t = self.table
        by = t.columns[0]
        figure = go.Figure(layout={"template": "pricing"})
        for name, (colour, symbol) in zip(
            t["alternative"].unique(maintain_order=True), SERIES, strict=False
        ):
            own = t.filter(pl.col("alternative") == name)
            for column, dash in (("willingness", "solid"), ("cost_per_member", "dot")):
                figure.add_scatter(
                    x=[level_label(v, lang) for v in own[by].to_list()],
                    y=own[column].to_list(),
                    mode="lines+markers",
                    name=f"{level_label(name, lang)} · {label(column, lang)}",
                    line={"color": colour, "dash": dash},
                    marker={"color": colour, "symbol": symbol, "size": 8},
                )
        figure.add_hline(y=0.0, line={"dash": "dot", "color": COLOURS["line"]})
        return figure.update_layout(
            margin={"t": 110},
            xaxis={"title": {"text": label(by, lang)}, "type": "category"},
            yaxis={"title": {"text": label("amount_a_year", lang)}},
        )


def choice_elasticities(
    market: Market,
    prices: Mapping[str, float],
    subsidies: Mapping[str, float] | float | None = None,
    *,
    level: float = 0.95,
) -> ChoiceElasticities:
    """Give by how many percent demand moves when a price paid moves by one percent.

    Parameters
    ----------
    market : Market
    prices, subsidies : mapping of tier to float
        Premium a year; subsidy paid to the person.
    level : float
        Of the intervals, by the delta method.

    Raises
    ------
    InputError
        As :func:`pricing.choice.demand.demand`.

    Notes
    -----
    E_jk = p_k Σ w b ∂P_j/∂V_k / Σ w P_j over types. In a conditional logit of one type the cross
    elasticities of a column are equal; the nest lets tiers draw on each other more than on none.

    Examples
    --------
    >>> from pricing.choice.calibrate import calibrate
    >>> from pricing.choice.market import choice_market
    >>> model = calibrate({"basic": 500.0}, take_up=0.1, at={"basic": 300.0}, then=0.8)
    >>> market = choice_market(model, pl.DataFrame({"risk": [200.0]}))
    >>> choice_elasticities(market, {"basic": 500.0}).table.select(
    ...     "alternative", "price_of", pl.col("choice_elasticity").round(3)).rows()  # -0.0179 * 500 * 0.9
    [('none', 'basic', 0.896), ('basic', 'basic', -8.063)]
    """
    z = normal_quantile(level)
    premium, subsidy = paid_prices(market, prices, subsidies)
    paid = premium - subsidy
    market.price_effect()

    def matrix(m: Market, at: Floats) -> Floats:
        s = m.shares(paid, at)
        effect = m.menus(paid).z @ m.menus(paid).parts(at)[1]
        moved = np.einsum("i,i,ijk->jk", m.weights, effect, s.slopes())[:, 1:] * paid
        return np.asarray(moved / (m.weights @ s.every)[:, None])

    found, error = matrix(market, market.model.parameters), market.spread(matrix)
    alternatives, tiers = market.model.alternatives, market.tiers
    table = pl.DataFrame({
        "alternative": [a for a in alternatives for _ in tiers], "price_of": [t for _ in alternatives for t in tiers],
        "choice_elasticity": found.ravel(), "std_error": error.ravel(),
        "lower": (found - z * error).ravel(), "upper": (found + z * error).ravel(),
    }).with_columns(pl.selectors.float().fill_nan(None))  # fmt: skip
    own = np.diag(found[1:])
    k = int(np.argmin(own))
    chosen = market.weights @ market.shares(paid).every
    gains = np.where(np.arange(len(alternatives)) == k + 1, -np.inf, found[:, k] * chosen)
    to = int(np.argmax(gains))
    facts = {
        "tier": tiers[k], "own": float(own[k]), "to": alternatives[to], "share": float(gains[to] / (-own[k] * chosen[k + 1])) if own[k] else 0.0,
        "level": level,
    }  # fmt: skip
    told = fingerprint(market.basis.fingerprint, repr(paid.tolist()), str(level), "elasticities")
    return ChoiceElasticities(
        table=table, basis=replace(market.basis, fingerprint=told), facts=facts
    )


def take_up_curve(
    market: Market,
    tier: str,
    prices: Sequence[float],
    *,
    others: Mapping[str, float] | None = None,
    by: str | None = None,
    level: float = 0.95,
) -> TakeUpCurve:
    """Draw take-up as the price paid for one tier goes over a grid.

    Parameters
    ----------
    market : Market
    tier : str
        The tier whose price moves.
    prices : sequence of float
        Prices paid a year, two or more, rising.
    others : mapping of tier to float, optional
        Price paid for each of the other tiers.
    by : str, optional
        Column of the types shown in ``.frames["types"]``; else fifths by cost.
    level : float
        Of the intervals.

    Raises
    ------
    InputError
        For an unknown tier, another tier without a price, prices that do not rise or are no amounts.

    Examples
    --------
    >>> from pricing.choice.calibrate import calibrate
    >>> from pricing.choice.market import choice_market
    >>> model = calibrate({"basic": 500.0}, take_up=0.1, at={"basic": 300.0}, then=0.8)
    >>> market = choice_market(model, pl.DataFrame({"risk": [200.0]}))
    >>> curve = take_up_curve(market, "basic", [300.0, 400.0, 500.0])
    >>> curve.table.filter(alternative="all")["share"].round(3).to_list()
    [0.8, 0.4, 0.1]
    """
    z = normal_quantile(level)
    if tier not in market.tiers:
        raise InputError(f"{tier!r} is no tier{nearest(str(tier), market.tiers)}")
    rest = [t for t in market.tiers if t != tier]
    fixed = money_by_tier(rest, {} if others is None else others, "others")
    if np.ndim(prices) != 1:
        raise InputError(f"a list of prices, got {prices!r}", where="prices")
    grid = [float(money_by_tier([tier], {tier: p}, "prices")[0]) for p in prices]
    if len(grid) < 2 or (np.diff(grid) <= 0).any():
        raise InputError("prices must be two or more and rise", where="prices")
    place = market.tiers.index(tier)
    paid = np.insert(np.tile(fixed, (len(grid), 1)), place, grid, axis=1)

    def curve(m: Market, at: Floats) -> Floats:
        shares = np.array([m.demand(p, at)[0] for p in paid])
        return np.concatenate([shares.sum(axis=1, keepdims=True), shares], axis=1)

    found, error = curve(market, market.model.parameters), market.spread(curve)
    names = ["all", *market.tiers] if rest else ["all"]
    parts = [
        pl.DataFrame({
            "price_paid": grid, "alternative": [name] * len(grid), "share": found[:, j],
            "lower": np.clip(found[:, j] - z * error[:, j], 0, 1), "upper": np.clip(found[:, j] + z * error[:, j], 0, 1),
        })
        for j, name in enumerate(names)
    ]  # fmt: skip
    table = pl.concat(parts).with_columns(pl.selectors.float().fill_nan(None))
    band, levels, member = market.bands(by)
    insured = np.array([1 - market.shares(p).every[:, 0] for p in paid])
    by_band = insured @ (member / member.sum(axis=1, keepdims=True)).T
    types = pl.concat([
        pl.DataFrame({"price_paid": grid, band: [v] * len(grid), "share": by_band[:, j]})
        for j, v in enumerate(levels)
    ])  # fmt: skip
    facts = {
        "tier": tier, "price_from": grid[0], "price_to": grid[-1], "share_from": float(found[0, 0]),
        "share_to": float(found[-1, 0]), "currency": market.basis.currency, "level": level,
    }  # fmt: skip
    told = fingerprint(market.basis.fingerprint, tier, repr(paid.tolist()), str(by), str(level))
    return TakeUpCurve(
        table=table,
        basis=replace(market.basis, fingerprint=told),
        facts=facts,
        frames={"types": types},
    )


def willingness_to_pay(
    market: Market, *, by: str | None = None, level: float = 0.95
) -> WillingnessToPay:
    """Set what people would pay for each tier, rather than take none, against what they would cost.

    Where willingness lies below own cost, no premium that pays for the claims finds a buyer, and take-up
    needs a subsidy of the difference.

    Parameters
    ----------
    market : Market
    by : str, optional
        Column of the types; else fifths of persons by cost.
    level : float
        Of the intervals.

    Raises
    ------
    InputError
        For a price effect that is not below zero.

    Notes
    -----
    V_j without its price over −b, the mean over the persons of a band. Source: Train (2009), section 3.2;
    the comparison with own cost is that of Finkelstein, Hendren and Shepard (2019), AER 109.

    Examples
    --------
    >>> from pricing.choice.calibrate import calibrate
    >>> from pricing.choice.market import choice_market
    >>> model = calibrate({"basic": 500.0}, take_up=0.1, at={"basic": 300.0}, then=0.8)
    >>> market = choice_market(model, pl.DataFrame({"risk": [400.0]}))
    >>> willingness_to_pay(market).table["willingness"].round(2).to_list()
    [377.37]
    """
    z = normal_quantile(level)
    band, levels, member = market.bands(by)
    many = member.sum(axis=1)
    within = member / many[:, None]
    none = np.zeros(len(market.tiers))

    def worth(m: Market, at: Floats) -> Floats:
        return np.asarray(
            within @ (m.menus(none).utility(at)[:, 1:] / -m.price_effect(at)[:, None])
        )

    found, error = worth(market, market.model.parameters), market.spread(worth)
    cost = within @ market.cost
    size, tiers = len(levels), market.tiers
    table = pl.DataFrame({
        band: [v for v in levels for _ in tiers], "alternative": list(tiers) * size,
        "headcount": np.repeat(many, len(tiers)), "willingness": found.ravel(), "std_error": error.ravel(),
        "lower": (found - z * error).ravel(), "upper": (found + z * error).ravel(), "cost_per_member": cost.ravel(),
        "willingness_ratio": np.divide(found, cost, out=np.full_like(found, np.nan), where=cost > 0).ravel(),
    }).with_columns(pl.selectors.float().fill_nan(None))  # fmt: skip
    each = (
        market.menus(none).utility(market.model.parameters)[:, 1:] / -market.price_effect()[:, None]
    )
    best = (each - market.cost).max(axis=1)
    facts = {
        "below_cost": float(market.weights @ (best < 0)), "below_half": float(market.weights @ (each < market.cost / 2).all(axis=1)),
        "willingness": float((market.weights @ each).max()), "persons": float(market.persons.sum()),
        "currency": market.basis.currency, "level": level,
    }  # fmt: skip
    told = fingerprint(market.basis.fingerprint, str(by), str(level), "willingness")
    return WillingnessToPay(table=table, basis=replace(market.basis, fingerprint=told), facts=facts)
