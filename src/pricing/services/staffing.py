"""Staff for a response standard, hour by hour, and what the standard costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.regulation.check import is_number
from pricing.result.figure import COLOURS
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label
from pricing.services.queue import busy_rate, erlang_c, servers_needed

__all__ = [
    "DAY_PATTERN", "ResponseStandard", "Staffing", "Waiting", "staff_for", "waiting_by_staff",
]  # fmt: skip

DAYS = 365.0
# A day with a morning and an evening peak; replace it by the plan's own log of arrivals.
DAY_PATTERN = (
    0.6, 0.4, 0.3, 0.3, 0.4, 0.7, 1.5, 3.0, 5.5, 7.5, 8.0, 6.5,
    4.5, 4.8, 6.0, 6.5, 6.0, 5.0, 5.0, 6.5, 7.5, 6.5, 4.5, 2.5,
)  # fmt: skip
NOTE = (
    "Poisson arrivals, exponential handling times, nobody gives up (Erlang C), each hour in "
    "equilibrium; left out, so that fewer might do: callers who give up (Erlang A), and a promise of hours "
    "that shifts work to quieter hours"
)


@dataclass(frozen=True, kw_only=True)
class ResponseStandard:
    """What is promised and what it takes to keep: minutes, share, staff terms.

    Attributes
    ----------
    within : float
        Minutes within which callers are answered, zero or more.
    share : float
        Share of callers answered so, above 0 and below 1.
    handling : float
        Mean minutes of work per use, above zero.
    shrinkage : float
        Share of paid time not on the line (leave, breaks, training), 0 to below 1.
    hours_a_year : float
        Paid hours of one full-time member of staff a year.
    cost_a_year : float
        Cost of one full-time member of staff a year, currency.
    day_cv : float
        Coefficient of variation of the day's arrival rate; 0 where days do not differ.
    day_quantile : float
        Share of days on which the standard is kept, where they differ.
    peak : float
        Factor on the mean day, such as 1.3 for the flu season, above zero.

    Examples
    --------
    >>> ResponseStandard(within=0.5, share=0.8, handling=8.0).shrinkage
    0.3
    """

    within: float
    share: float
    handling: float
    shrinkage: float = 0.3
    hours_a_year: float = 2000.0
    cost_a_year: float = 0.0
    day_cv: float = 0.0
    day_quantile: float = 0.9
    peak: float = 1.0

    def __post_init__(self) -> None:
        numbers = {
            name: value if is_number(value) else math.nan for name, value in vars(self).items()
        }
        n = SimpleNamespace(**numbers)
        tests = {
            "within must be zero or more": ("within", n.within >= 0),
            "share must lie above 0 and below 1 (no staff is certain)": ("share", 0 < n.share < 1),
            "handling must be above zero": ("handling", n.handling > 0),
            "shrinkage must lie in 0 to below 1": ("shrinkage", 0 <= n.shrinkage < 1),
            "hours_a_year must lie above 0 and at most 8784": (
                "hours_a_year",
                0 < n.hours_a_year <= 8784,
            ),
            "cost_a_year must be zero or more": ("cost_a_year", n.cost_a_year >= 0),
            "day_cv must be zero or more": ("day_cv", n.day_cv >= 0),
            "day_quantile must lie above 0 and below 1": ("day_quantile", 0 < n.day_quantile < 1),
            "peak must be above zero": ("peak", n.peak > 0),
        }
        faults = [
            f"{what}, got {getattr(self, name)!r}"
            for what, (name, good) in tests.items()
            if not good
        ]
        if faults:
            raise InputError("a response standard no staff can meet", faults=faults)


class Staffing(Result):
    """Staff needed hour by hour for a response standard; cost in ``.facts``."""

    kind = "staffing"

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the staff on the line by hour against the work that comes."""
        hours, money = self.table["hour"].to_list(), go.Figure(layout={"template": "pricing"})
        money.add_bar(
            x=hours, y=self.table["servers"].to_list(), name=label("servers", lang),
            marker_color=COLOURS["bars"],
        )  # fmt: skip
        money.add_scatter(
            x=hours, y=self.table["load"].to_list(), mode="lines+markers", name=label("load", lang),
            line={"color": COLOURS["estimate"], "width": 3, "shape": "hvh"},
        )  # fmt: skip
        return money.update_layout(
            xaxis={"title": {"text": label("hour", lang)}, "dtick": 2},
            yaxis={"title": {"text": label("servers", lang)}, "rangemode": "tozero"},
        )


class Waiting(Result):
    """What callers meet at each number of staff: wait, share answered in time, occupancy."""

    kind = "waiting"

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the share answered in time and the mean wait against staff, with the promise."""
        staff = self.table["servers"].to_list()
        figure = go.Figure(layout={"template": "pricing"})
        figure.add_scatter(
            x=staff, y=self.table["answered_in_time"].to_list(), mode="lines+markers",
            name=label("answered_in_time", lang), line={"width": 3, "color": COLOURS["estimate"]},
        )  # fmt: skip
        figure.add_scatter(
            x=staff, y=self.table["mean_wait"].to_list(), mode="lines+markers", yaxis="y2",
            name=label("mean_wait", lang),
            line={"width": 2, "dash": "dash", "color": COLOURS["second"]},
        )  # fmt: skip
        figure.add_hline(y=self.facts["share"], line={"dash": "dot", "color": COLOURS["line"]})
        figure.add_vline(x=self.facts["needed"], line={"dash": "dot", "color": COLOURS["line"]})
        return figure.update_layout(
            xaxis={"title": {"text": label("servers", lang)}},
            yaxis={
                "title": {"text": label("answered_in_time", lang)},
                "tickformat": ".0%",
                "range": [0, 1.02],
            },
            yaxis2={
                "title": {"text": label("mean_wait", lang)}, "overlaying": "y", "side": "right",
                "showgrid": False, "rangemode": "tozero",
            },
        )  # fmt: skip


def staff_for(
    uses: float,
    standard: ResponseStandard,
    *,
    pattern: Sequence[float] = DAY_PATTERN,
    users: float | None = None,
    currency: str = "CNY",
    source: str = "",
) -> Staffing:
    """Give the smallest staff that keeps a response standard in every hour of the day.

    Parameters
    ----------
    uses : float
        Uses a year, above zero, such as those of :func:`pricing.services.cost.service_cost`.
    standard : ResponseStandard
        Promise, work per use, terms of the staff.
    pattern : sequence of 24 float
        Weight of each hour of the day from 0 to 23, zero or more; hours of weight 0 are shut.
    users : float, optional
        Active users a year, for the cost per active user.

    Returns
    -------
    Staffing
        ``.table`` by hour: arrivals (per hour of a busy day), load (servers), servers, occupancy,
        wait_probability, mean_wait (minutes), answered_in_time. ``.facts``: full_time (staff to
        employ), cost (currency a year), cost_per_use, step_cost (of one more server round the clock).

    Raises
    ------
    InputError
        For uses not above zero or a pattern that is not 24 weights.

    Notes
    -----
    Arrivals of hour h = uses/365 × peak × weight share, at the day's quantile where days differ
    (:func:`pricing.services.queue.busy_rate`); load = arrivals × handling/60; servers the smallest
    with C·exp(−(c − A)t/s) ≤ 1 − share. Full-time staff = Σ servers × 365/(hours a year × (1 −
    shrinkage)), rounded up: staff come in steps. Stationary hour by hour (Green, Kolesar and Whitt
    2007, Production and Operations Management 16: right where handling times are short).

    Examples
    --------
    >>> standard = ResponseStandard(within=0.5, share=0.8, handling=10.0, cost_a_year=200_000.0)
    >>> found = staff_for(24 * 60 * 365.0, standard, pattern=[1.0] * 24)  # 60 an hour: load 10
    >>> found.table["servers"][0], found.facts["full_time"], found.facts["cost"]
    (14, 88, 17600000.0)
    """
    if not _positive(uses):
        raise InputError(f"uses a year must be above zero, got {uses!r}")
    if users is not None and not _positive(users):
        raise InputError(f"active users must be above zero, got {users!r}")
    weights = _weights(pattern)
    s = standard
    busy = busy_rate(1.0, cv=s.day_cv, quantile=s.day_quantile)
    arrivals = uses / DAYS * s.peak * busy * weights
    load = arrivals * s.handling / 60
    servers = servers_needed(load, time=s.within, handling=s.handling, share=s.share)
    table = _met(load, servers, s).with_columns(
        hour=pl.Series(np.arange(24)), arrivals=pl.Series(arrivals)
    ).select(
        "hour", "arrivals", "load", "servers", "occupancy", "wait_probability", "mean_wait",
        "answered_in_time",
    )  # fmt: skip
    a_server = DAYS / (s.hours_a_year * (1 - s.shrinkage))
    exact = float(servers.sum()) * a_server
    full_time = math.ceil(exact - 1e-9)
    cost = full_time * s.cost_a_year
    facts: dict[str, Any] = {
        "uses": float(uses),
        "within": s.within,
        "share": s.share,
        "peak_hour": int(np.argmax(load)),
        "peak_servers": int(servers.max()),
        "peak_load": float(load.max()),
        "server_hours": int(servers.sum()),
        "full_time": full_time,
        "cost": cost,
        "cost_per_use": cost / uses,
        "cost_per_user": None if users is None else cost / users,
        "step_cost": 24 * a_server * s.cost_a_year,
        "step_staff": 24 * a_server,
        "busy_factor": busy * s.peak,
        "mean_occupancy": float(load.sum() / servers.sum()),
        "uses_per_staff_day": uses / DAYS / full_time,
    }
    basis = Basis(
        source=source,
        currency=currency,
        fingerprint=fingerprint(repr((float(uses), s, weights.tolist(), users))),
        notes=(NOTE,),
    )
    return Staffing(table=table, basis=basis, facts=facts)


def waiting_by_staff(
    arrivals: float, standard: ResponseStandard, *, most: int | None = None, source: str = ""
) -> Waiting:
    """Show what callers of one hour meet at each number of staff, from the first that settles.

    Parameters
    ----------
    arrivals : float
        Per hour, above zero.
    standard : ResponseStandard
        Promise and mean handling time.
    most : int, optional
        Largest number of staff shown; half as far again beyond the number needed where left out.

    Returns
    -------
    Waiting
        ``.table`` by servers: occupancy, wait_probability, mean_wait (minutes), answered_in_time.
        ``.facts``: needed, load, share, within.

    Examples
    --------
    >>> found = waiting_by_staff(60.0, ResponseStandard(within=0.5, share=0.8, handling=10.0))
    >>> found.facts["needed"], found.table["servers"][0], round(found.table["mean_wait"][0], 3)
    (14, 11, 6.821)
    """
    if not _positive(arrivals):
        raise InputError(f"arrivals an hour must be above zero, got {arrivals!r}")
    if most is not None and (not is_number(most) or most != int(most)):
        raise InputError(f"the largest number of staff is a whole number, got {most!r}")
    s = standard
    load = arrivals * s.handling / 60
    needed = int(servers_needed(load, time=s.within, handling=s.handling, share=s.share)[0])
    first = math.floor(load) + 1
    last = max(needed + max(2, (needed - first) // 2), most or 0)
    if most is not None and most < first:
        raise InputError(
            f"the queue is unstable up to {most:,} servers: the load is {load:g}",
            do=f"show at least {first:,}",
        )
    servers = np.arange(first, (most or last) + 1)
    table = _met(np.full(servers.size, load), servers, s)
    at = {"needed": needed, "load": load, "share": s.share, "within": s.within,
          "arrivals": float(arrivals), "first": first,
          "first_wait": float(table["mean_wait"][0])}  # fmt: skip
    basis = Basis(source=source, fingerprint=fingerprint(repr((arrivals, s, most))), notes=(NOTE,))
    return Waiting(
        table=table.select(
            "servers", "occupancy", "wait_probability", "mean_wait", "answered_in_time"
        ),
        basis=basis,
        facts=at,
    )


def _met(load: np.ndarray, servers: np.ndarray, s: ResponseStandard) -> pl.DataFrame:
    waits = np.zeros(load.size)
    for c in np.unique(servers[servers > 0]).tolist():  # one recursion per number of servers
        at = servers == c
        waits[at] = erlang_c(load[at], c)
    spare = np.where(servers > 0, servers - load, 1.0)
    return pl.DataFrame(
        {
            "load": load,
            "servers": servers.astype(np.int64),
            "occupancy": np.where(servers > 0, load / np.maximum(servers, 1), 0.0),
            "wait_probability": waits,
            "mean_wait": waits * s.handling / spare,
            "answered_in_time": 1 - waits * np.exp(-spare * s.within / s.handling),
        }
    )


def _weights(pattern: Sequence[float]) -> np.ndarray:
    try:
        given = np.asarray(list(pattern))
        if given.dtype.kind in "USb":
            raise TypeError("text, or yes and no")
        weights = given.astype(float)
    except (TypeError, ValueError) as error:
        raise InputError(f"the day's pattern must be 24 numbers: {error}") from error
    if (
        weights.shape != (24,)
        or not (np.isfinite(weights) & (weights >= 0)).all()
        or not weights.any()
    ):
        raise InputError(
            f"the day's pattern must be 24 weights, zero or more and not all zero, got {weights.size}",
            do="give one weight per hour from 0 to 23",
        )
    return np.asarray(weights / weights.sum())


def _positive(value: float) -> bool:
    return is_number(value) and value > 0
