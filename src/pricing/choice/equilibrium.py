"""Break-even prices of all tiers at once: every equilibrium, whether it is stable, whether any lasts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import plotly.graph_objects as go
import polars as pl
from scipy.optimize import brentq, root

from pricing.choice.demand import surplus
from pricing.choice.market import Market, money_by_tier
from pricing.choice.maximum import slopes_of
from pricing.errors import InputError
from pricing.estimate.design import Floats
from pricing.files import fingerprint
from pricing.result.figure import COLOURS
from pricing.result.series import SERIES
from pricing.result.shape import Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["BreakEvenRule", "Equilibrium", "break_even_rule", "equilibrium"]

GRID = 2_001  # prices looked at for one tier, evenly spaced, and half as many by even factors
STARTS = {2: 9, 3: 5}  # places to begin from, each tier


@dataclass(frozen=True)
class BreakEvenRule:
    """How next year's premium follows from this year's members: mean cost over the loss ratio.

    Attributes
    ----------
    market : Market
    loss_ratio : array, tiers
        Permissible loss ratio.
    to_person, to_plan : array, tiers
        Subsidy a member and year, paid to the person or to the plan.
    """

    market: Market
    loss_ratio: Floats
    to_person: Floats
    to_plan: Floats

    def paid(self, premium: Floats) -> Floats:
        """Price a member pays."""
        return np.asarray(np.maximum(premium - self.to_person, 0.0))

    def next(self, premium: Floats) -> Floats:
        """Premium that would have broken even with the members this premium brings."""
        cost = self.market.demand(self.paid(premium))[1]
        return np.asarray(np.maximum(cost / self.loss_ratio - self.to_plan, 0.0))

    def edges(self) -> tuple[Floats, Floats]:
        """Lowest and highest premium that can break even: that of the cheapest and the dearest type."""
        found = [
            np.maximum(c / self.loss_ratio - self.to_plan, 0.0)
            for c in (self.market.cost.min(axis=0), self.market.cost.max(axis=0))
        ]
        return found[0], found[1]


def break_even_rule(
    market: Market,
    loss_ratio: Mapping[str, float] | float = 1.0,
    *,
    to_person: Mapping[str, float] | float | None = None,
    to_plan: Mapping[str, float] | float | None = None,
) -> BreakEvenRule:
    """Say how premiums follow cost, and who is paid a subsidy.

    Parameters
    ----------
    market : Market
    loss_ratio : mapping of tier to float, or float
        Permissible loss ratio, above 0, up to 1.
    to_person, to_plan : mapping of tier to float, or float, optional
        Subsidy a member and year.

    Examples
    --------
    >>> from pricing.choice.calibrate import calibrate
    >>> from pricing.choice.market import choice_market
    >>> model = calibrate({"basic": 500.0}, take_up=0.1, at={"basic": 300.0}, then=0.8)
    >>> market = choice_market(model, pl.DataFrame({"risk": [350.0]}))
    >>> break_even_rule(market, 0.70, to_plan=200.0).next(np.array([500.0])).round(6).tolist()
    [300.0]
    """
    ratio = money_by_tier(market.tiers, loss_ratio, "loss ratio", above_zero=True)
    if (ratio > 1).any():
        raise InputError(f"a loss ratio is up to 1, got {ratio.max():g}", where="loss ratio")
    person = money_by_tier(market.tiers, to_person, "subsidy to the person")
    return BreakEvenRule(
        market, ratio, person, money_by_tier(market.tiers, to_plan, "subsidy to the plan")
    )


class Equilibrium(Result):
    """Every break-even equilibrium found.

    ``.table``: point, alternative, premium, price_paid, share, cost_per_member, loss_ratio, stability
    (stable, unstable), steepest (spectral radius of the year-on-year map; below 1 is stable), take_up.
    ``.frames["map"]``, for one tier: premium, next_premium, share.
    """

    kind = "tier_equilibrium"

    def finding(self, lang: Language = "en") -> str:
        """Say whether the plan lasts, and where."""
        f = self.facts
        one = "stable" if f["stable_points"] else "unstable"
        said = {
            **f,
            "points_text": say(
                f"sentence.equilibrium_{'several' if f['points'] > 1 else one}", lang, **f
            ),
            **{n: self._prices(e, lang) for n, e in (("prices", False), ("emptied", True))},
        }
        key = "finding.tier_equilibrium"
        if f["unravels"] or f["emptied"]:
            key = f"sentence.equilibrium_{'unravels' if f['unravels'] else 'empties'}"
        return say(key, lang, **said)

    def _prices(self, emptied: bool, lang: Language) -> str:
        """Premium and share of the tiers that lie below the floor, or of the others."""
        best = self.table.filter(pl.col("point") == self.facts["best"])
        return ("；" if lang == "zh" else "; ").join(
            f"{level_label(a, lang)} {p:,.0f} {self.facts['currency']} ({s:.1%})"
            for a, p, s in best.select("alternative", "premium", "share").iter_rows()
            if (s < self.facts["floor"]) == emptied
        )

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the map of one tier with its fixed points, or premium and share of each tier by point."""
        figure = go.Figure(layout={"template": "pricing"})
        if "map" in self.frames:
            return self._map(figure, lang)
        names = self.table["alternative"].unique(maintain_order=True).to_list()
        points = self.table.select("point", "stability").unique(maintain_order=True)
        x = [f"{p} · {level_label(s, lang)}" for p, s in points.iter_rows()]
        for name, (colour, _) in zip(names, SERIES, strict=False):
            own = self.table.filter(pl.col("alternative") == name)
            figure.add_bar(
                x=x,
                y=own["premium"].to_list(),
                text=[f"{p:,.0f} · {s:.1%}" for p, s in own.select("premium", "share").rows()],
                textposition="outside",
                cliponaxis=False,
                name=level_label(name, lang),
                marker_color=colour,
            )
        return figure.update_layout(
            barmode="group",
            xaxis={"title": {"text": label("point", lang)}, "type": "category"},
            yaxis={"title": {"text": f"{label('premium', lang)} · {label('share', lang)}"}},
        )

    def _map(self, figure: go.Figure, lang: Language) -> go.Figure:
        m = self.frames["map"]
        x = m["premium"].to_list()
        for column, colour, dash in (
            ("next_premium", COLOURS["estimate"], "solid"),
            ("premium", COLOURS["line"], "dot"),
        ):
            figure.add_scatter(
                x=x, y=m[column].to_list(), mode="lines",
                name=label("next_premium" if column == "next_premium" else "premium_unchanged", lang),
                line={"color": colour, "dash": dash, "width": 3 if dash == "solid" else 2},
            )  # fmt: skip
        for stability, symbol in (("stable", "circle"), ("unstable", "circle-open")):
            own = self.table.filter(pl.col("stability") == stability)
            if own.height:
                figure.add_scatter(
                    x=own["premium"].to_list(), y=own["premium"].to_list(), mode="markers+text",
                    text=[f"{s:.0%}" for s in own["share"]], textposition="bottom right", cliponaxis=False,
                    name=level_label(stability, lang),
                    marker={"symbol": symbol, "size": 12, "color": COLOURS["second"], "line": {"width": 2}},
                )  # fmt: skip
        return figure.update_layout(
            hovermode="closest",
            xaxis={"title": {"text": label("premium", lang)}},
            yaxis={"title": {"text": label("amount_a_year", lang)}},
        )


def equilibrium(rule: BreakEvenRule, *, floor: float = 0.01) -> Equilibrium:
    """Find the premiums at which every tier breaks even with those who then choose it.

    Each tier's premium is the mean cost of its members over its loss ratio; members choose by all
    premiums. Plans here do not set prices against each other (Nash or Bertrand): premiums follow cost,
    as they do under a regulator or a mutual.

    Parameters
    ----------
    rule : BreakEvenRule
    floor : float
        Share of persons below which a tier, or the plan, counts as empty. The plan unravels where no
        stable equilibrium keeps as many; tiers that empty are named.

    Raises
    ------
    InputError
        For a floor that is no share, more than three tiers, no equilibrium found.

    Notes
    -----
    Mean cost lies between the cheapest and the dearest type's, so every equilibrium lies in that box and
    one exists (Brouwer). For one tier the box is searched at 2,001 even steps and 1,000 even factors and
    every change of sign solved by Brent's method; for two or three Powell's hybrid method begins from a grid over the box, so
    that a further equilibrium is unlikely and not excluded. Stable: the spectral radius of the
    year-on-year map, premiums following last year's cost, is below 1. Source: Einav, Finkelstein and
    Cullen (2010), QJE 125; Einav and Finkelstein (2011), JEP 25.

    Examples
    --------
    >>> from pricing.choice.calibrate import calibrate
    >>> from pricing.choice.market import choice_market
    >>> types = pl.DataFrame({"risk": [100.0, 300.0, 900.0], "persons": [50.0, 30.0, 20.0]})
    >>> model = calibrate({"basic": 500.0}, take_up=0.2, at={"basic": 300.0}, then=0.5,
    ...                   risk_effect=0.004, risks=types)
    >>> found = equilibrium(break_even_rule(choice_market(model, types, persons="persons")))
    >>> found.table.select(pl.col("premium").round(1), pl.col("share").round(3), "stability").rows()
    [(753.6, 0.034, 'stable')]
    """
    if isinstance(floor, bool) or not isinstance(floor, int | float) or not 0 <= floor < 1:
        raise InputError(f"a floor is a share from 0, below 1, got {floor!r}", where="floor")
    market, size = rule.market, len(rule.market.tiers)
    if size > 3:
        raise InputError(
            f"{size} tiers are more than the three that are searched", where="equilibrium"
        )
    points = _one_tier(rule) if size == 1 else _several(rule)
    if not points:
        raise InputError("no equilibrium was found", do="look at the path of spiral")
    rows, seen = [], []
    for k, premium in enumerate(points, start=1):
        share, cost = market.demand(rule.paid(premium))
        radius = float(np.abs(np.linalg.eigvals(slopes_of(rule.next, premium))).max())
        stable = radius < 1
        seen.append(
            (
                k,
                stable,
                bool(share.sum() >= floor),
                float(share.sum()),
                surplus(market, rule.paid(premium)),
            )
        )
        rows.append(pl.DataFrame({
            "point": [k] * size, "alternative": market.tiers, "premium": premium, "price_paid": rule.paid(premium),
            "share": share, "cost_per_member": cost,
            "loss_ratio": np.divide(cost, premium, out=np.full(size, np.nan), where=premium > 0),
            "stability": ["stable" if stable else "unstable"] * size, "steepest": [radius] * size,
            "take_up": [float(share.sum())] * size,
        }))  # fmt: skip
    lasting = [s for s in seen if s[1] and s[2]]
    best = max(lasting or seen, key=lambda s: s[3])
    found = market.demand(rule.paid(points[best[0] - 1]))[0]
    emptied = [t for t, share in zip(market.tiers, found, strict=True) if share < floor]
    facts = {
        "points": len(points), "stable_points": sum(s[1] for s in seen), "unravels": not lasting, "emptied": emptied, "best": best[0],
        "take_up": best[3], "consumer_surplus": best[4], "floor": floor, "currency": market.basis.currency,
    }  # fmt: skip
    told = fingerprint(
        market.basis.fingerprint,
        *(repr(v.tolist()) for v in (rule.loss_ratio, rule.to_person, rule.to_plan)),
        str(floor),
    )
    note = "premiums follow the cost of members; plans do not price against each other (no Nash or Bertrand)"
    basis = replace(market.basis, fingerprint=told, notes=(*market.basis.notes, note))
    table = pl.concat(rows).with_columns(pl.col("loss_ratio").fill_nan(None))
    return Equilibrium(table=table, basis=basis, facts=facts, frames=_frames(rule, points))


def _one_tier(rule: BreakEvenRule) -> list[Floats]:
    low, high = (float(v[0]) for v in rule.edges())

    def gap(premium: float) -> float:
        return float(rule.next(np.array([premium]))[0]) - premium

    grid = np.array([low])
    if high > low:  # by factors too: one dear type must not hide what happens at low prices
        least = max(low, 1e-3 * high / GRID)
        grid = np.union1d(np.linspace(low, high, GRID), np.geomspace(least, high, GRID // 2))
        grid = grid[(grid >= low) & (grid <= high)]
    gaps = np.array([gap(p) for p in grid])
    nil = 1e-10 * max(high, 1.0)
    found = [float(p) for p, g in zip(grid, gaps, strict=True) if abs(g) <= nil]
    for a, b, fa, fb in zip(grid[:-1], grid[1:], gaps[:-1], gaps[1:], strict=True):
        if min(abs(fa), abs(fb)) > nil and fa * fb < 0:
            found.append(float(brentq(gap, a, b, xtol=1e-12 * max(high, 1.0), rtol=1e-14)))
    return _distinct([np.array([p]) for p in sorted(found)], max(high, 1.0))


def _several(rule: BreakEvenRule) -> list[Floats]:
    low, high = rule.edges()
    size = max(float(high.max()), 1.0)
    grid = [np.linspace(a, b, STARTS[len(low)]) for a, b in zip(low, high, strict=True)]
    begin = [np.array(start) for start in product(*grid)]
    for at in (low, high):  # where the spiral leads from either end
        for _ in range(200):
            at = rule.next(at)
        begin.append(at)
    found = []
    for start in begin:
        solved = root(lambda p: rule.next(p) - p, start, tol=1e-13)
        p = np.asarray(solved.x)
        if np.isfinite(p).all() and np.abs(rule.next(p) - p).max() <= 1e-8 * size:
            found.append(p)
    return _distinct(sorted(found, key=lambda p: tuple(p.round(6))), size)


def _distinct(points: list[Floats], size: float) -> list[Floats]:
    kept: list[Floats] = []
    for p in points:
        if all(np.abs(p - q).max() > 1e-6 * size for q in kept):
            kept.append(p)
    return kept


def _frames(rule: BreakEvenRule, points: list[Floats]) -> dict[str, pl.DataFrame]:
    if len(rule.market.tiers) > 1:
        return {}
    low, high = (float(v[0]) for v in rule.edges())
    grid = np.linspace(0.9 * low, 1.05 * high, 201)
    following = np.array([rule.next(np.array([p]))[0] for p in grid])
    share = np.array([rule.market.demand(rule.paid(np.array([p])))[0][0] for p in grid])
    return {"map": pl.DataFrame({"premium": grid, "next_premium": following, "share": share})}
