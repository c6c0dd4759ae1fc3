"""The development fan: how origins grew by lag, and where what is still to come may lead them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date

import numpy as np
import plotly.graph_objects as go
import polars as pl

from pricing.reserving.emergence import Drawn, Emergence
from pricing.reserving.triangle import Floats, period_name
from pricing.result.figure import COLOURS
from pricing.result.series import SERIES
from pricing.result.shape import Result
from pricing.result.words import Language, label, say

__all__ = ["DevelopmentFan", "drawn_fans", "fan_ages", "fan_table"]

AGES = (0, 1, 3)  # lags seen of the origins that get a fan
BEHIND = 12  # older origins drawn for comparison
GROWN = 0.995  # share of the ultimate after which nothing is to be seen


class DevelopmentFan(Result):
    """Growth of the recent origins; ``.table``: origin, lag, grown_to, grown_expected and their intervals.

    ``grown_to`` stands where the triangle is seen; from the last lag seen on, three origins have
    ``grown_expected`` with lower_80, upper_80, lower and upper. The fan ends in the ultimate and its interval.
    """

    kind = "development_fan"

    def finding(self, lang: Language = "en") -> str:
        """Say from where to where the newest origin may grow."""
        facts = {**self.facts, "unit_name": label(self.facts["unit"], lang)}
        return say("finding.development_fan", lang, **facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw older origins in grey, recent ones as far as they are seen, and then their fans."""
        figure = go.Figure(layout={"template": "pricing"})
        fanned = self.table.filter(pl.col("grown_expected").is_not_null())
        recent = fanned["origin"].unique().sort(descending=True).to_list()
        unnamed = label("older_origins", lang)
        older = self.table.filter(~pl.col("origin").is_in(recent))
        for place, (_, part) in enumerate(older.group_by("origin", maintain_order=True)):
            figure.add_scatter(
                x=part["lag"].to_list(), y=part["grown_to"].to_list(), mode="lines", name=unnamed,
                legendgroup="older", showlegend=place == 0, hoverinfo="skip",
                line={"width": 1, "color": COLOURS["line"]}, opacity=0.5,
            )  # fmt: skip
        for origin, (colour, symbol) in zip(recent, SERIES, strict=False):
            part, fan = (t.filter(pl.col("origin") == origin) for t in (self.table, fanned))
            name = period_name(origin, self.facts["grain"])
            x = fan["lag"].to_list()
            shade = ",".join(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5))
            for low, high, through in (("lower", "upper", 0.16), ("lower_80", "upper_80", 0.26)):
                figure.add_scatter(
                    x=[*x, *reversed(x)], y=[*fan[high].to_list(), *reversed(fan[low].to_list())],
                    mode="lines", line={"width": 0}, fill="toself", hoverinfo="skip",
                    fillcolor=f"rgba({shade},{through})", name=name, legendgroup=name,
                    showlegend=False,
                )  # fmt: skip
            said = {
                end: [f"{v:,.0f}" for v in fan[end].to_list()] for end in ("lower_80", "upper_80")
            }
            figure.add_scatter(
                x=x, y=fan["grown_expected"].to_list(), mode="lines", name=name,
                legendgroup=name, showlegend=False, line={"width": 2, "dash": "dot", "color": colour},
                customdata=list(zip(said["lower_80"], said["upper_80"], strict=True)),
                hovertemplate="%{y:,.0f} (80%: %{customdata[0]} – %{customdata[1]})",
            )  # fmt: skip
            seen = part.filter(pl.col("grown_to").is_not_null())
            figure.add_scatter(
                x=seen["lag"].to_list(), y=seen["grown_to"].to_list(), mode="lines+markers",
                name=name, legendgroup=name, hovertemplate="%{y:,.0f}",
                line={"width": 3, "color": colour}, marker={"size": 8, "symbol": symbol, "color": colour},
            )  # fmt: skip
        newest = fanned.filter(pl.col("origin") == recent[0])
        end = newest.filter(pl.col("grown_expected") < GROWN * self.facts["grown_expected"])
        until = min(len(end) + 2, newest.height)
        unit = label(self.facts["unit"], lang)
        bands = say("sentence.fan_bands", lang, level=self.facts["level"])
        return figure.update_layout(
            xaxis={
                "title": {"text": f"{label('lag', lang)}{bands}"},
                "range": [-0.25, until - 0.75],
            },
            yaxis={
                "title": {"text": f"{label('grown_to', lang)} ({unit})"},
                "rangemode": "tozero",
            },
            hovermode="closest",
        )


def fan_ages(age: Sequence[int], lags: int) -> list[int]:
    """Choose the origins that get a fan: the newest, and those one and three periods older.

    Parameters
    ----------
    age : sequence of int
        Last lag seen of each origin, oldest first.
    lags : int
        Lags told apart.

    Returns
    -------
    list of int
        Places of the origins, oldest first; the newest always.

    Examples
    --------
    >>> fan_ages([4, 4, 3, 2, 1, 0], 5), fan_ages([0], 1)
    ([2, 4, 5], [0])
    """
    newest = len(age) - 1
    wanted = {n for n in (newest - ago for ago in AGES) if n >= 0 and age[n] < lags - 1}
    return sorted(wanted | {newest})


def fan_table(
    origins: Sequence[date], seen: Floats, fans: Mapping[int, Mapping[str, Floats]]
) -> pl.DataFrame:
    """Put what is seen and the fans into one table, the older origins without a fan first.

    Parameters
    ----------
    origins : sequence of date
        First days, oldest first.
    seen : array, origins × lags
        Cumulative, NaN where not yet seen.
    fans : mapping of int to mapping of str to array
        By place of the origin: grown_expected, lower_80, upper_80, lower and upper from the last lag seen on.

    Examples
    --------
    >>> seen = np.array([[6.0, 10.0], [6.0, np.nan]])
    >>> ends = {n: np.array([6.0, v]) for n, v in
    ...         {"grown_expected": 10.0, "lower_80": 9.0, "upper_80": 11.0, "lower": 8.0, "upper": 12.0}.items()}
    >>> found = fan_table([date(2024, 1, 1), date(2024, 2, 1)], seen, {1: ends})
    >>> found.select("lag", "grown_to", "grown_expected").rows()
    [(0, 6.0, None), (1, 10.0, None), (0, 6.0, 6.0), (1, None, 10.0)]
    """
    first = max(min(fans) - BEHIND, 0)
    parts = []
    for place in [*(n for n in range(first, len(origins)) if n not in fans), *sorted(fans)]:
        grown = seen[place][~np.isnan(seen[place])]
        part = pl.DataFrame({"lag": np.arange(grown.size), "grown_to": grown})
        ends = fans.get(place)
        if ends is not None:
            size = len(ends["grown_expected"])
            lag = np.arange(grown.size - 1, grown.size - 1 + size)
            part = part.join(
                pl.DataFrame({"lag": lag, **ends}), on="lag", how="full", coalesce=True
            ).sort("lag")
        parts.append(part.with_columns(origin=pl.lit(origins[place], dtype=pl.Date)))
    names = ["grown_to", "grown_expected", "lower_80", "upper_80", "lower", "upper"]
    return pl.concat(parts, how="diagonal").select(
        "origin", pl.col("lag").cast(pl.Int32), *(pl.col(n).cast(pl.Float64) for n in names)
    )


def drawn_fans(
    model: Emergence,
    origins: Sequence[date],
    draws: tuple[Drawn, Floats, Floats],
    ultimate: Floats,
    rng: np.random.Generator,
    ends: Callable[[Floats], Mapping[str, pl.Series]],
) -> pl.DataFrame:
    """Draw the ways of some origins to their drawn ultimates, and put them beside what is seen.

    Parameters
    ----------
    model : Emergence
        The fitted model.
    origins : sequence of date
        First days of its periods, oldest first.
    draws : tuple
        What ``draw``, ``due`` and ``claimed`` of the model gave.
    ultimate : array, periods
        At the estimate.
    rng : numpy.random.Generator
        Where the shares of the lags come from.
    ends : callable
        Gives lower_80, upper_80, lower and upper of draws × lags.

    Examples
    --------
    >>> from pricing.reserving.completion import interval_columns
    >>> from pricing.reserving.emergence import emergence
    >>> paid, rng = np.array([[6.0, 4.0], [6.0, 0.0]]), np.random.default_rng(1)
    >>> model = emergence(paid, np.ones(2), np.ones((2, 1)), dispersion=2.0)
    >>> drawn = Drawn(np.tile(model.paid, (9, 1)), np.tile(model.complete, (9, 1)), np.zeros((9, 1)))
    >>> due = np.tile([0.0, 4.0], (9, 1))
    >>> found = drawn_fans(model, [date(2024, 1, 1), date(2024, 2, 1)], (drawn, due, due),
    ...                    np.array([10.0, 10.0]), rng, lambda ways: interval_columns(ways, 0.95))
    >>> found.select("lag", "grown_expected", "upper").rows()[-2:]
    [(0, 6.0, 6.0), (1, 10.0, 10.0)]
    """
    drawn, due, unpaid = draws
    lags, age = model.increments.shape[1], model.age
    grown = np.where(np.arange(lags) <= age[:, None], model.increments.cumsum(axis=1), np.nan)
    pattern = np.append(model.complete, 1.0) if model.tail != 1 else model.complete
    fans = {}
    for place in fan_ages(age.tolist(), lags):
        at, now = int(age[place]), float(model.paid[place])
        to_come = pattern[at:] - pattern[at]
        share = np.divide(to_come, to_come[-1], out=np.zeros_like(to_come), where=to_come[-1] != 0)
        ways = now + model.by_lag(drawn, due, unpaid, place, rng)
        found = ends(np.column_stack([np.full(ways.shape[0], now), ways]))
        fans[place] = {
            "grown_expected": now + (ultimate[place] - now) * share,
            **{n: found[n].to_numpy() for n in ("lower_80", "upper_80", "lower", "upper")},
        }
    return fan_table(origins, grown, fans)
