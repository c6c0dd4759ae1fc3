"""Thousands of designs of a tier, each with the whole distribution of its loss ratio.

Designs that differ in the price only share one distribution. The frontier keeps those that no other
beats in all three of value to the member (actuarial value), price to the member, and probability of
passing the line.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError, nearest
from pricing.files import fingerprint
from pricing.result.figure import COLOURS
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, level_label, say
from pricing.tiers.benefit import Gate
from pricing.tiers.book_total import book_total
from pricing.tiers.build_up import gross_of, to_the_fen
from pricing.tiers.cost import split_persons
from pricing.tiers.person_laws import person_laws, year_span
from pricing.tiers.tier import CHANGES, Subsidy, Tier, change_tier, read_subsidy

__all__ = ["TierGrid", "non_dominated", "tier_grid"]

Array = npt.NDArray[np.float64]
LEVELS = (*(round(0.05 * k, 2) for k in range(1, 20)), 0.975, 0.99, 0.995, 0.999)
COLUMNS = {  # the rules of a claim, beside those of the year
    "deductible": "claim_deductible",
    "coinsurance": "claim_coinsurance",
    "limit": "claim_limit",
}
SHOWN = {"loss_ratio_median": 0.5, "loss_ratio_p95": 0.95, "loss_ratio_p995": 0.995}
MOST = 20_000
SAFE = 0.05  # a probability of passing the line that may be borne


class TierGrid(Result):
    """Designs of a tier.

    ``.table``, a row per design: design (number), the rules that vary (claim_deductible,
    claim_coinsurance, claim_limit for those of a claim), bill, pure_premium,
    actuarial_value, required_premium, premium, member_price, loss_ratio with its median, 95 % and
    99.5 % points, passes, on_the_frontier. ``.frames["distribution"]``: design, probability, loss_ratio.
    """

    kind = "tier_grid"

    def ranked(self) -> pl.DataFrame:
        """Order the designs: on the frontier, then safe (passing at most one year in 20), value, price."""
        safe = pl.col("passes") <= SAFE
        order: list[pl.Expr] = [
            pl.col("on_the_frontier") & safe,
            pl.col("on_the_frontier"),
            safe,
            pl.col("actuarial_value"),
        ]
        return self.table.sort(
            *order, "member_price", "design", descending=[*[True] * 4, False, False]
        )

    def finding(self, lang: Language = "en") -> str:
        """Say how many designs there are, how many are on the frontier, and the best value."""
        return say("finding.tier_grid", lang, **self.facts, currency=self.basis.currency)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw price over actuarial value, the frontier coloured by how often it passes the line."""
        figure = go.Figure(layout={"template": "pricing"})
        for frontier, size in ((False, 6), (True, 11)):
            t = self.table.filter(pl.col("on_the_frontier") == frontier)
            marker: dict[str, Any] = {"size": size, "color": COLOURS["bars"]}
            if frontier:
                marker |= {
                    "color": t["passes"].to_list(),
                    "colorscale": "Cividis",
                    "cmin": 0.0,
                    "cmax": 1.0,
                    "colorbar": {
                        "title": {"text": f"<br>{label('passes', lang)}", "side": "right"},
                        "thickness": 16,
                        "tickformat": ".0%",
                    },
                    "line": {"width": 1, "color": COLOURS["line"]},
                }
            figure.add_scatter(
                x=t["actuarial_value"].to_list(),
                y=t["member_price"].to_list(),
                mode="markers",
                name=level_label("on_frontier" if frontier else "dominated", lang),
                marker=marker,
                text=[
                    f"{label('design', lang)} {n}: {p:.1%}"
                    for n, p in t.select("design", "passes").rows()
                ],
                hovertemplate="%{text}<br>%{x:.1%}, %{y:,.2f}<extra></extra>",
            )
        return figure.update_layout(
            hovermode="closest",
            xaxis={"title": {"text": label("actuarial_value", lang)}, "tickformat": ".0%"},
            yaxis={"title": {"text": f"{label('member_price', lang)} ({self.basis.currency})"}},
        )


def tier_grid(
    tier: Tier,
    persons: int,
    axes: Mapping[str, Sequence[Any]],
    *,
    benefits: Sequence[str] | None = None,
    new_share: float = 1.0,
    subsidy: Subsidy | None = None,
    line: float = 0.7,
    levels: Sequence[float] = LEVELS,
    points: int = 4096,
    span: float | None = None,
    basis: Basis | None = None,
) -> TierGrid:
    """Price every combination of rules, with the distribution of each loss ratio.

    Parameters
    ----------
    tier : Tier
        What stays as it is.
    persons : int
        Insured for the year.
    axes : mapping of str to sequence
        Values of each rule that varies, by the names of :func:`pricing.tiers.tier.change_tier`.
    benefits : sequence of str, optional
        Benefits whose rules vary; all where left out.
    new_share, subsidy, line
        As for :func:`pricing.tiers.cost.cost_tier`.
    levels : sequence of float
        Probabilities at which each distribution is kept.
    points : int
        Points of the lattice of a person's year, a power of two from 256 to 2¹⁶.
    span : float, optional
        Its span, currency; chosen where left out.
    basis : Basis, optional
        Source, period, currency.

    Returns
    -------
    TierGrid
        ``on_the_frontier`` marks designs that no other beats in actuarial value, price and probability of
        passing the line together. ``required_premium`` is what the tier's loadings ask, up to the next fen,
        less a subsidy to the plan.

    Raises
    ------
    InputError
        For rules a tier does not have, empty axes, more than 20,000 designs, designs whose rules
        contradict (with their number and the first of them).

    Examples
    --------
    >>> from scipy import stats
    >>> from pricing.losses.terms import Terms
    >>> from pricing.tiers.benefit import Benefit
    >>> visits = Benefit(name="outpatient", frequency=1.2, severity=stats.expon(scale=350.0),
    ...                  coinsurance=0.2)
    >>> basic = Tier(name="basic", benefits=(visits,), premium=500.0, terms=Terms(limit=4000.0))
    >>> grid = tier_grid(basic, 1000, {"deductible": [0.0, 50.0], "premium": [450.0, 500.0]})
    >>> grid.table.select("claim_deductible", "premium", "on_the_frontier").rows()
    [(0.0, 450.0, True), (0.0, 500.0, True), (50.0, 450.0, True), (50.0, 500.0, True)]
    """
    given = read_subsidy(subsidy)
    _require(axes, points, span, line, levels)
    names = [name for name in axes if name != "premium"]
    prices = [float(p) for p in axes.get("premium", [tier.premium])]
    for one in prices:
        given.price(one)
    covers = _covers(tier, names, axes, benefits, prices[0])
    h = span or year_span(covers, points)
    waiting = next((cover for cover in covers if cover.waits), tier)
    parts, mean = [], np.zeros(len(covers))
    for n, first in split_persons(waiting, persons, new_share):
        laws = person_laws(covers, first_term=first, span=h, points=points)
        parts.append((n, laws.laws))
        mean += n / persons * laws.mean
    total = book_total(parts, h)
    wanted = sorted({*levels, *SHOWN.values(), tier.loadings.level})
    quantile = total.quantiles(wanted) / persons  # currency per insured
    income = np.array([given.income(p) for p in prices])
    over = total.exceeds(np.tile(line * income * persons, (len(covers), 1)))
    bill = np.array([cover.bill() for cover in covers])
    capital = quantile[:, wanted.index(tier.loadings.level)] - mean
    asked = [
        gross_of(cover, m, sd, c, new_share)
        for cover, m, sd, c in zip(covers, mean, total.deviation / persons, capital, strict=True)
    ]
    aid = given.income(prices[0]) - prices[0]
    required = [to_the_fen(max(gross - aid, 0.0), up=True) for gross in asked]
    k, each = len(prices), len(covers)
    cover, price = np.repeat(np.arange(each), k), np.tile(np.arange(k), each)
    ratio = quantile[cover] / income[price][:, None]
    value = mean / bill
    pays = np.array([given.price(p) for p in prices])
    passes = over.ravel()
    table = pl.DataFrame(
        {
            "design": np.arange(1, cover.size + 1),
            **{COLUMNS.get(n, n): _column(covers, axes, n, names, k) for n in names},
            "bill": bill[cover],
            "pure_premium": mean[cover],
            "actuarial_value": value[cover],
            "required_premium": np.array(required)[cover],
            "premium": np.array(prices)[price],
            "member_price": pays[price],
            "loss_ratio": mean[cover] / income[price],
            **{name: ratio[:, wanted.index(p)] for name, p in SHOWN.items()},
            "passes": passes,
            "on_the_frontier": non_dominated(
                np.column_stack([-value[cover].round(12), pays[price], passes.round(12)])
            ),
        }
    )
    kept = [wanted.index(p) for p in levels]
    drawn = pl.DataFrame(
        {
            "design": np.repeat(np.arange(1, cover.size + 1), len(kept)),
            "probability": np.tile(np.array(levels, dtype=float), cover.size),
            "loss_ratio": ratio[:, kept].ravel(),
        }
    )
    note = (
        f"lattice of {points:,} points of {h:g} for a person's year; totals of {persons:,} persons by "
        "Fourier series, no normal approximation"
    )
    basis = basis or Basis()
    return TierGrid(
        table=table,
        basis=replace(
            basis,
            notes=(*basis.notes, note),
            fingerprint=fingerprint(
                note, table.write_json(), drawn["loss_ratio"].to_numpy().tobytes()
            ),
        ),
        facts=_facts(tier, persons, line, table),
        frames={"distribution": drawn},
    )


def non_dominated(scores: Array) -> npt.NDArray[np.bool_]:
    """Mark rows that no other row beats: at most as high in every column and lower in one.

    Examples
    --------
    >>> non_dominated(np.array([[1.0, 2.0], [2.0, 1.0], [2.0, 2.0], [1.0, 2.0]])).tolist()
    [True, True, False, True]
    """
    rows = np.asarray(scores, dtype=float)
    kept = np.ones(rows.shape[0], dtype=bool)
    for low in range(0, rows.shape[0], 512):
        some = rows[low : low + 512, None, :]
        no_worse = np.all(rows[None, :, :] <= some, axis=2)
        better = np.any(rows[None, :, :] < some, axis=2)
        kept[low : low + 512] = ~np.any(no_worse & better, axis=1)
    return kept


def _covers(
    tier: Tier,
    names: Sequence[str],
    axes: Mapping[str, Sequence[Any]],
    benefits: Sequence[str] | None,
    premium: float,
) -> list[Tier]:
    found: list[Tier] = []
    faults: list[str] = []
    broken = 0
    for values in product(*(axes[name] for name in names)):
        rules = dict(zip(names, values, strict=True))
        try:
            found.append(change_tier(tier, benefits=benefits, premium=premium, **rules))
        except InputError as error:
            broken += 1
            if len(faults) < 5:
                said = ", ".join(f"{n} = {_text(v)}" for n, v in rules.items())
                faults.append(f"{said}: {'; '.join(error.faults) or error.problem}")
    if faults:
        raise InputError(
            f"{broken:,} of {broken + len(found):,} covers have rules that contradict",
            faults=faults,
            do="leave out these values, or price them in a grid of their own",
        )
    return found


def _column(
    covers: Sequence[Tier],
    axes: Mapping[str, Sequence[Any]],
    name: str,
    names: Sequence[str],
    prices: int,
) -> pl.Series:
    after = math.prod(len(axes[n]) for n in names[names.index(name) + 1 :])
    values = list(axes[name])
    at = np.arange(len(covers)) // after % len(values)
    shown = [_text(v) if name == "gate" else float(v) for v in values]
    return pl.Series(name, [shown[i] for i in np.repeat(at, prices)])


def _text(value: Any) -> str:
    if isinstance(value, Gate):
        return f"{value.sent:.0%}"
    if isinstance(value, bool):
        return "gate_on" if value else "gate_off"
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _facts(tier: Tier, persons: int, line: float, table: pl.DataFrame) -> dict[str, Any]:
    front = table.filter("on_the_frontier")
    sound = front.filter(pl.col("passes") <= SAFE)
    best = sound.sort(["actuarial_value", "member_price"], descending=[True, False]).head(1)
    return {
        "tier": tier.name,
        "designs": table.height,
        "on_frontier": front.height,
        "persons": persons,
        "line": line,
        "sound": table.filter(pl.col("passes") <= SAFE).height,
        "lowest_passes": float(table["passes"].min()),  # type: ignore[arg-type]
        "highest_passes": float(table["passes"].max()),  # type: ignore[arg-type]
        "best_design": int(best["design"][0]) if best.height else 0,
        "best_value": float(best["actuarial_value"][0]) if best.height else 0.0,
        "best_price": float(best["member_price"][0]) if best.height else 0.0,
    }


def _require(
    axes: Mapping[str, Sequence[Any]],
    points: int,
    span: float | None,
    line: float,
    levels: Sequence[float],
) -> None:
    odd = {n: v for n, v in axes.items() if isinstance(v, str) or not isinstance(v, Sequence)}
    if odd:
        raise InputError(
            "a grid that cannot be", faults=[f"{n} takes a list, got {v!r}" for n, v in odd.items()]
        )
    faults = [f"no rule {n!r}{nearest(n, CHANGES)}" for n in axes if n not in CHANGES]
    faults += [f"{n} has no values" for n in axes if not len(axes[n])]
    faults += [
        f"{n} has values twice: {list(axes[n])}"
        for n in axes
        if len({repr(v) for v in axes[n]}) < len(axes[n])
    ]
    if not axes:
        faults.append("nothing varies")
    if not faults and math.prod(len(v) for v in axes.values()) > MOST:
        faults.append(f"{math.prod(len(v) for v in axes.values()):,} designs; at most {MOST:,}")
    faults += [
        f"a premium must be above zero, got {p!r}"
        for p in axes.get("premium", ())
        if isinstance(p, bool) or not isinstance(p, int | float) or not 0 < p < math.inf
    ]
    if points < 256 or points > 1 << 16 or points & (points - 1):
        faults.append(f"points are a power of two from 256 to 65,536, got {points}")
    if span is not None and not 0 < span < math.inf:
        faults.append(f"a span must be above zero, got {span}")
    if isinstance(line, bool) or not isinstance(line, int | float) or not 0 < line < math.inf:
        faults.append(f"the line of the loss ratio must be above zero, got {line}")
    faults += [f"{p} is no probability between 0 and 1" for p in levels if not 0 < p < 1]
    if faults:
        raise InputError("a grid that cannot be", faults=faults)
