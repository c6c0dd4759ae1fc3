"""Whether a plan unravels: members leave when the share is too far above their own cost, round by round.

A round: everybody still there pays the mean of their own costs; who pays more than ``leave_above`` times
his own cost leaves before the next. A benefit that falls with age makes own costs more alike and stops
the spiral early; a flat one lets it run (Rothschild and Stiglitz 1976 on pooling; Bian, Cong, Ji and Wang on
age-varying benefits in mutual aid).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
import polars as pl

from pricing.data.rates import RateTable
from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.mutual_aid.cross_subsidy import unisex
from pricing.mutual_aid.rules import AidRules
from pricing.result.series import SERIES
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["Unravelling", "unravelling"]


class Unravelling(Result):
    """The rounds of each design; ``.table``: aid_design, round, aid_share (a year), age_cells, members_share
    (of the first round), age_from, age_to. ``.frames["designs"]``: aid_design, first_share, last_share,
    rounds, members_share, unravels (fewer than a quarter stay).
    """

    kind = "unravelling"

    def path(self, design: str) -> list[float]:
        """Shares of a design, round by round."""
        return [
            float(x)
            for x in self.table.filter(pl.col("aid_design") == design)["aid_share"].to_list()
        ]

    def finding(self, lang: Language = "en") -> str:
        """Say how far the design that holds best and the one that holds worst unravel."""
        named = {key: level_label(str(self.facts[key]), lang) for key in ("best", "worst")}
        return say("finding.unravelling", lang, **(dict(self.facts) | named))

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the share of each design, round by round, with who is left."""
        figure = go.Figure(layout={"template": "pricing"})
        designs = self.frames["designs"]["aid_design"].to_list()
        for design, (colour, symbol) in zip(designs, SERIES, strict=False):
            part = self.table.filter(pl.col("aid_design") == design)
            figure.add_scatter(
                x=part["round"].to_list(),
                y=part["aid_share"].to_list(),
                name=level_label(design, lang),
                mode="lines+markers+text",
                text=[f"{share:.0%}" for share in part["members_share"]],
                textposition="top center",
                textfont={"size": 11},
                cliponaxis=False,
                marker={"symbol": symbol, "size": 9, "color": colour},
                line={"width": 2, "color": colour},
            )
        title = f"{label('share_a_year', lang)} ({self.basis.currency})"
        return figure.update_layout(
            xaxis={"title": {"text": label("round", lang)}, "dtick": 1},
            yaxis={"title": {"text": title}, "rangemode": "tozero"},
        )


def unravelling(
    designs: Mapping[str, AidRules],
    incidence: RateTable,
    *,
    ages: tuple[int, int] = (20, 59),
    weights: Mapping[int, float] | None = None,
    leave_above: float = 1.5,
    rounds: int = 50,
) -> Unravelling:
    """Follow each design until nobody leaves any more.

    Parameters
    ----------
    designs : mapping of str to AidRules
        Designs by name: their benefits and fees.
    incidence : RateTable
        First incidence; where it has both sexes their plain mean.
    ages : (int, int)
        Youngest and oldest age, both included.
    weights : mapping of int to float, optional
        Members by age; as many at each where left out.
    leave_above : float
        Members leave when the share is above this multiple of their own fair cost, 1 or more.
    rounds : int
        Most rounds that are followed.

    Returns
    -------
    Unravelling
        One row per design and round up to the one in which nobody leaves.

    Raises
    ------
    InputError
        For ages without incidence or benefit, a multiple below 1, no designs.

    Notes
    -----
    Whoever's own cost is above the mean never leaves (``leave_above`` is 1 or more), so the last
    round always has members: the costliest.

    Examples
    --------
    >>> from pricing.data.rates import rate_table
    >>> from pricing.mutual_aid.rules import AidBenefit, aid_rules
    >>> split = aid_rules("xiang_hu_bao")
    >>> flat = split.but(benefit=(AidBenefit(0, 59, 300_000.0),))
    >>> found = unravelling({"split": split, "flat": flat}, rate_table("cn_ci_2020", "ci4"))
    >>> [round(x, 1) for x in found.path("split")]
    [493.2, 648.8, 730.4, 777.3, 793.7]
    """
    if not designs:
        raise InputError("no designs to follow", do='give such as {"plan": aid_rules(...)}')
    if not 1 <= leave_above < float("inf"):
        raise InputError(f"members leave above {leave_above} times their cost; 1 or more")
    if rounds != int(rounds) or rounds < 1:
        raise InputError(f"{rounds} rounds; a whole number, 1 or more")
    if len(ages) != 2 or ages[0] > ages[1]:
        raise InputError(f"ages from {ages[0]} to {ages[-1]}")
    rates = unisex(incidence).filter(pl.col("age").is_between(*ages))
    if rates.height < ages[1] - ages[0] + 1:
        raise InputError(
            f"has {rates.height} ages from {ages[0]} to {ages[1]}", where=incidence.name
        )
    age, rate = rates["age"].to_numpy(), rates["rate"].to_numpy()
    given = {int(a): 1.0 for a in age} if weights is None else weights
    w = np.array([given.get(int(a), 0.0) for a in age], dtype=float)
    if not np.isfinite(w).all() or (w < 0).any() or not w.any():
        raise InputError("weights by age are zero or more, one at least above")
    parts, facts = [], []
    for name, rules in designs.items():
        cost = (1 + rules.fee) * rules.benefit_at(age) * rate
        if np.isnan(cost[w > 0]).any():
            raise InputError(f"{name}: no benefit at an age from {ages[0]} to {ages[1]}")
        stay, rows = w > 0, []
        for turn in range(int(rounds)):
            share = float(w[stay] @ cost[stay] / w[stay].sum())
            there = age[stay]
            part = float(w[stay].sum() / w.sum())
            rows.append((name, turn, share, int(stay.sum()), part, int(there[0]), int(there[-1])))
            kept = stay & (share <= leave_above * cost)
            if kept.sum() == stay.sum():
                break
            stay = kept
        parts += rows
        first, last = rows[0], rows[-1]
        facts.append((name, first[2], last[2], len(rows) - 1, last[4], last[4] < 0.25))
    columns = [
        "aid_design",
        "round",
        "aid_share",
        "age_cells",
        "members_share",
        "age_from",
        "age_to",
    ]
    table = pl.DataFrame(parts, schema=columns, orient="row")
    ends = ["aid_design", "first_share", "last_share", "rounds", "members_share", "unravels"]
    told = pl.DataFrame(facts, schema=ends, orient="row")
    ranked = told.sort("members_share", descending=True, maintain_order=True)
    best, worst = ranked.row(0, named=True), ranked.row(-1, named=True)
    said = {
        "best": best["aid_design"], "best_left": best["members_share"], "best_rise": best["last_share"] / best["first_share"],
        "worst": worst["aid_design"], "worst_left": worst["members_share"], "worst_rise": worst["last_share"] / worst["first_share"],
        "leave_above": float(leave_above), "designs": told.height, "age_from": int(ages[0]), "age_to": int(ages[1]),
    }  # fmt: skip
    first_rules = next(iter(designs.values()))
    return Unravelling(
        table=table,
        basis=Basis(
            source=incidence.source or incidence.name,
            currency=first_rules.currency,
            rows=table.height,
            fingerprint=fingerprint(str(said), table.write_json()),
            notes=(
                f"deterministic: leave when the share is above {leave_above:g} times the own cost",
                "incidence is the plain mean of the sexes where the table has both",
                "as many members at each age" if weights is None else "members by age as given",
            ),
        ),
        facts=said,
        frames={"designs": told},
    )
