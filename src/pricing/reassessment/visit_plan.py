"""Visit plan: whom to visit with the hours there are, a share of it drawn at random from all cases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.reassessment.domain import Floats, numbers, require_keys_once, require_rows_there
from pricing.reassessment.knapsack import (
    exact_choice,
    fractional_value,
    require_cap,
    require_capacity,
)
from pricing.reassessment.random_share import Draw, draw_random_share, even_numbers
from pricing.result.figure import COLOURS
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, say

__all__ = ["Method", "VisitPlan", "plan_visits"]

Method = Literal["greedy", "exact"]
INF = float("inf")
STEPS = np.round(np.arange(0.0, 2.01, 0.1), 10)


class VisitPlan(Result):
    """Who is visited, why, and with what probability.

    ``.table``: by setting and in all: cases, capacity_hours, hours_used, random_visits, ranked_visits,
    expected_found (cases no longer eligible that the visits reach), net_value, best_bound (most that
    the hours could bring). ``.frames["cases"]``: every case with rank, chosen (score, random; empty if
    not visited), planned, random, random_inclusion, inclusion and stratum: what leakage is estimated
    from. ``.frames["frontier"]``: value of the ranked visits against the hours given to them.
    """

    kind = "visit_plan"

    @property
    def cases(self) -> pl.DataFrame:
        """Give every case with its place in the plan."""
        return self.frames["cases"]

    @property
    def frontier(self) -> pl.DataFrame:
        """Give capacity against value."""
        return self.frames["frontier"]

    def finding(self, lang: Language = "en") -> str:
        """Say how many visits are made, what they bring and what one more hour would."""
        return say(f"finding.{self.kind}", lang, **self.facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw what ranked visits bring against their hours; the diamond is this capacity."""
        front = self.frontier
        figure = go.Figure(layout={"template": "pricing"})
        figure.add_scatter(
            x=front["ranked_hours"].to_list(), y=front["net_value"].to_list(), mode="lines+markers",
            name=label("net_value", lang), line={"width": 3, "color": COLOURS["estimate"]},
        )  # fmt: skip
        now = front.filter(pl.col("capacity_factor") == 1.0)
        figure.add_scatter(
            x=now["ranked_hours"].to_list(), y=now["net_value"].to_list(), mode="markers",
            name=label("capacity_now", lang),
            marker={"symbol": "diamond", "size": 13, "color": COLOURS["second"]},
        )  # fmt: skip
        return figure.update_layout(
            xaxis={"title": {"text": label("ranked_hours", lang)}, "rangemode": "tozero"},
            yaxis={"title": {"text": label("net_value", lang)}, "rangemode": "tozero"},
        )


def plan_visits(
    cases: pl.DataFrame,
    capacity: Mapping[str, float],
    *,
    random_share: float = 0.10,
    seed: int = 1,
    draw: Draw = "stratified",
    cap_per_provider: int | None = None,
    method: Method = "greedy",
    currency: str = "CNY",
    source: str = "",
) -> VisitPlan:
    """Plan visits: first the random share of all cases, then the best value per hour until hours end.

    Parameters
    ----------
    cases : polars.DataFrame
        ``VisitValues.cases``: case_id, setting, provider, probability, net_value, hours.
    capacity : mapping of str to float
        Hours by setting (home, institution), 0 or more.
    random_share : float
        Part of all cases that is visited by lot, 0 to 1.
    seed : int
        Of the lot.
    draw : {"stratified", "poisson"}
        As :func:`pricing.reassessment.random_share.draw_random_share`, by setting.
    cap_per_provider : int, optional
        Ranked visits to the cases of one provider at most, so that no visit team sits in one place.
    method : {"greedy", "exact"}
        By value per hour up to the first visit that does not fit; or the exact optimum.
    currency, source : str
        For the basis.

    Returns
    -------
    VisitPlan

    Raises
    ------
    InputError
        For numbers out of their domain, a case twice, a setting without hours, and a random share
        that takes more hours than there are.

    Notes
    -----
    Inclusion. The greedy plan looks at cases in order of value per hour, and whether it goes on depends
    only on those it has looked at; so, given these, the random share is still a simple random sample of
    the rest (or Poisson, as drawn), with n' of N' cases. All cases looked at are visited: probability
    one. The estimates of :mod:`pricing.reassessment.leakage` from all visits rest on this. Hours for
    the random share are set aside by what it takes on average and three standard deviations, not by
    what was drawn. The exact plan is made blind to the lot, over all cases: those in both are one visit,
    and their hours are left over.

    Examples
    --------
    >>> cases = pl.DataFrame({"case_id": list("abcd"), "setting": "home", "provider": "x",
    ...     "probability": 0.1, "net_value": [60.0, 100.0, 120.0, -5.0], "hours": [1.0, 2.0, 3.0, 1.0]})
    >>> plan = plan_visits(cases, {"home": 3.0}, random_share=0.0)
    >>> plan.cases.filter("planned")["case_id"].to_list(), plan.facts["net_value"]
    (['a', 'b'], 160.0)
    """
    require_rows_there(cases, "cases", ["case_id", "setting", "provider", "probability", "net_value", "hours"])  # fmt: skip
    require_keys_once(cases, "case_id", "cases")
    if method not in ("greedy", "exact"):
        raise InputError(f"method={method!r} is not offered: greedy or exact")
    require_cap(cap_per_provider)
    read = numbers(cases, "cases", {"probability": (0.0, 1.0), "net_value": (-INF, INF), "hours": (0.0, INF)}, open_low=["hours"])  # fmt: skip
    room = require_capacity(cases, capacity)
    drawn = draw_random_share(cases, random_share, seed=seed, draw=draw)
    value, hours = read["net_value"], read["hours"]
    setting = cases["setting"].cast(pl.String)
    at_random = drawn["random"].to_numpy()
    left = _left(drawn, hours, setting, room, draw)
    order = _order(cases["case_id"], value / hours, seed)
    if method == "greedy":
        seen = _prefix(order, drawn, value, hours, left, cap_per_provider)
        ranked = seen & ~at_random
        certain = seen
    else:
        ranked = exact_choice(cases, left, cap_per_provider=cap_per_provider)
        certain = ranked
        ranked = ranked & ~at_random
    rank = np.empty(cases.height, dtype=np.int64)
    rank[order] = np.arange(1, cases.height + 1)
    chosen = np.where(ranked, "score", np.where(at_random, "random", ""))
    each = drawn.drop("random_number").with_columns(
        rank=rank,
        chosen=pl.Series(chosen).replace("", None),
        planned=ranked | at_random,
        stratum=setting + pl.Series(np.where(certain, ":ranked", ":rest")),
    )
    each = _with_inclusion(each, draw, random_share)
    frontier = _frontier(order, drawn, value, hours, left, cap_per_provider)
    table = _summary(each, value, hours, read["probability"], room, left)
    whole = table.row(-1, named=True)
    visits = whole["random_visits"] + whole["ranked_visits"]
    facts: dict[str, Any] = {
        "cases": cases.height, "visits": visits, "random_visits": whole["random_visits"],
        "ranked_visits": whole["ranked_visits"], "net_value": whole["net_value"],
        "expected_found": whole["expected_found"], "precision": whole["expected_found"] / max(visits, 1),
        "precision_lift": whole["expected_found"] / max(visits, 1) / max(float(read["probability"].mean()), 1e-300),
        "hours_used": whole["hours_used"], "next_hour": _next_hour(each, value, hours, cap_per_provider),
        "random_share": random_share, "currency": currency,
    }  # fmt: skip
    settings = (sorted(room.items()), random_share, seed, draw, cap_per_provider, method)
    stamp = cases.select("case_id", "setting", "provider", "probability", "net_value", "hours").write_csv()  # fmt: skip
    notes = [f"random share {random_share:.0%} ({draw}), seed {seed}; {method}"]
    if cap_per_provider is not None:
        notes.append(f"at most {cap_per_provider:,} ranked visits to one provider")
    return VisitPlan(
        table=table,
        basis=Basis(source=source, rows=cases.height, currency=currency, fingerprint=fingerprint(str(settings), stamp), notes=tuple(notes)),
        facts=facts,
        frames={"cases": each, "frontier": frontier},
        details={"draw": draw, "capacity": room},
    )  # fmt: skip


def _left(drawn: pl.DataFrame, hours: Floats, setting: pl.Series, room: dict[str, float], draw: Draw) -> dict[str, float]:  # fmt: skip
    """Hours by setting once the random share has its own."""
    left, faults = {}, []
    at_random, share = drawn["random"].to_numpy(), drawn["random_inclusion"].to_numpy()
    for name in setting.unique().sort():
        own = (setting == name).to_numpy()
        h, f, n = hours[own], float(share[own][0]), int(own.sum())
        # variance of the hours drawn: simple random sampling of nf of n, or every case on its own
        square = n * f * (1 - f) * (np.var(h, ddof=1) if n > 1 else 0.0)
        spread = float(np.sqrt(square if draw == "stratified" else f * (1 - f) * (h**2).sum()))
        need = float(h[at_random[own]].sum())
        aside = max(f * float(h.sum()) + 3 * spread, need) if spread > 1e-9 else need
        if need > room[name] * (1 + 1e-12):
            faults.append(f"{name}: the random share takes {need:,.1f} of {room[name]:,.1f} hours")
        left[name] = max(room[name] - aside, 0.0)
    if faults:
        raise InputError("the random share does not fit", faults=faults, do="give more hours, or a smaller random share")  # fmt: skip
    return left


def _order(ids: pl.Series, density: Floats, seed: int) -> np.ndarray:
    """Best value per hour first; ties by a number of the case that the lot does not know.

    The lot's own number would order the drawn before the others, and who is left would be no random
    sample any more.
    """
    return np.lexsort((even_numbers(ids, seed + 2**63), -density))


def _prefix(
    order: np.ndarray, drawn: pl.DataFrame, value: Floats, hours: Floats,
    left: Mapping[str, float], cap: int | None,
) -> np.ndarray:  # fmt: skip
    """Mark the cases looked at: in order, until the next visit of the setting does not fit.

    Cases past the end of their setting are not looked at and so fill no provider's cap: the ends are
    found one after the other, the first one first.
    """
    looked = (
        pl.DataFrame({
            "i": order, "at": np.arange(len(order)), "setting": drawn["setting"].cast(pl.String).gather(order),
            "provider": drawn["provider"].cast(pl.String).gather(order),
            "takes": pl.Series(np.where(drawn["random"].to_numpy(), 0.0, 1.0)[order]),
            "hours": hours[order], "good": value[order] > 0,
        }).filter("good")
    )  # fmt: skip
    used = pl.col("hours") * pl.col("takes")
    until = (used.cum_sum() - used).over("setting") + pl.col("hours")
    room = pl.col("setting").replace_strict(left, return_dtype=pl.Float64)
    fits = until <= room * (1 + 1e-12) + 1e-9
    before = pl.col("takes").cum_sum().over("provider") - pl.col("takes")
    while True:  # once for each setting at most
        made = looked if cap is None else looked.filter(before < cap)
        ends = made.filter(~fits).group_by("setting").agg(pl.col("at").min()).sort("at")
        if ends.is_empty():
            break
        setting, end = ends.row(0)
        looked = looked.filter((pl.col("setting") != setting) | (pl.col("at") < end))
    seen = np.zeros(drawn.height, dtype=bool)
    seen[made["i"].to_numpy()] = True
    return seen


def _with_inclusion(each: pl.DataFrame, draw: Draw, share: float) -> pl.DataFrame:
    rest = pl.col("stratum").str.ends_with(":rest")
    if share == 0:
        told = pl.when(rest).then(None).otherwise(1.0)
    elif draw == "poisson":
        told = pl.when(rest).then(share).otherwise(1.0)
    else:
        many = pl.col("planned").sum().over("stratum") / pl.len().over("stratum")
        told = pl.when(rest).then(pl.when(many > 0).then(many)).otherwise(1.0)
    return each.with_columns(inclusion=told.cast(pl.Float64))


def _frontier(
    order: np.ndarray, drawn: pl.DataFrame, value: Floats, hours: Floats,
    left: Mapping[str, float], cap: int | None,
) -> pl.DataFrame:  # fmt: skip
    """Value of the ranked visits at other capacities, the random share as it is."""
    ours = ~drawn["random"].to_numpy()
    rows = []
    for factor in STEPS:
        seen = _prefix(order, drawn, value, hours, {k: factor * v for k, v in left.items()}, cap)
        made = seen & ours
        rows.append({
            "capacity_factor": float(factor), "ranked_hours": float(hours[made].sum()),
            "ranked_visits": int(made.sum()), "net_value": float(value[made].sum()),
        })  # fmt: skip
    return pl.DataFrame(rows)


def _summary(
    each: pl.DataFrame, value: Floats, hours: Floats, p: Floats,
    room: Mapping[str, float], left: Mapping[str, float],
) -> pl.DataFrame:  # fmt: skip
    work = each.select("setting", "planned", "random", "chosen").with_columns(pl.col("setting").cast(pl.String), v=value, h=hours, p=p)  # fmt: skip
    rows = []
    for name in work["setting"].unique().sort():  # two settings, not cases
        own = work.filter(pl.col("setting") == name)
        made = own.filter("planned")
        ranked = made.filter(pl.col("chosen") == "score")
        free = own.filter(~pl.col("random"))
        rows.append({
            "setting": name, "cases": own.height, "capacity_hours": room[name],
            "hours_used": float(made["h"].sum()), "random_visits": int(made["random"].sum()),
            "ranked_visits": ranked.height, "expected_found": float(made["p"].sum()),
            "net_value": float(made["v"].sum()),
            "best_bound": fractional_value(free["v"].to_numpy(), free["h"].to_numpy(), room[name] - float(made.filter("random")["h"].sum())) + float(made.filter("random")["v"].sum()),
        })  # fmt: skip
    table = pl.DataFrame(rows)
    return pl.concat([table, table.select(pl.lit("all").alias("setting"), pl.exclude("setting").sum())])  # fmt: skip


def _next_hour(each: pl.DataFrame, value: Floats, hours: Floats, cap: int | None) -> float:
    """Value of one hour more: the best visit that is not made and may be, per hour."""
    made = (pl.col("chosen") == "score").fill_null(False).sum().over(pl.col("provider").cast(pl.String))  # fmt: skip
    waiting = each.select(~pl.col("planned") & (made < (each.height + 1 if cap is None else cap))).to_series().to_numpy()  # fmt: skip
    best = (value / hours)[waiting]
    return float(max(best.max(), 0.0)) if len(best) else 0.0
