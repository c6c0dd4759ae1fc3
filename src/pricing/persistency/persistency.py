"""Persistency: the share of renewals offered that is taken up, by any factor, and cumulative.

Persistency of a level is k/n, k renewed of n offered. The Wilson interval solves (p̂ − p)² =
z²p(1 − p)/n for p (Wilson 1927, Probable inference, the law of succession, and statistical
inference); Jeffreys' takes the quantiles of Beta(k + ½, n − k + ½), 0 or 1 at the ends where
k = 0 or n (Brown, Cai and DasGupta 2001, Interval estimation for a binomial proportion).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import polars as pl
from scipy.special import betaincinv

from pricing.errors import InputError, nearest
from pricing.experience.cells import Experience
from pricing.experience.domain import require_columns
from pricing.files import fingerprint
from pricing.result.figure import interval_figure
from pricing.result.series import band_figure
from pricing.result.shape import Result
from pricing.result.words import Language, label, level_label, say
from pricing.survival.interval import bounds, normal_quantile

__all__ = [
    *("CumulativePersistency", "Persistency", "cumulative_persistency", "persistency"),
    *("price_band", "require_offers", "share_interval"),
]

Floats = npt.NDArray[np.float64]
Kind = Literal["wilson", "jeffreys"]


class Persistency(Result):
    """Renewal rate by level of a factor.

    ``.table``: the factor, offers, renewed, persistency, lower, upper.
    """

    kind = "persistency"

    def finding(self, lang: Language = "en") -> str:
        """Say which level renews least and most, and the rate of all."""
        named = {n: level_label(self.facts[n], lang) for n in ("lowest", "highest")}
        factor = label(self.facts["factor"], lang)
        return say("finding.persistency", lang, **{**self.facts, **named, "factor": factor})

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the renewal rate by level over bars of offers, the rate of all as a dotted line."""
        t = self.table
        return interval_figure(
            t[self.facts["factor"]].cast(pl.String).to_list(),
            t["persistency"].to_list(),
            t["lower"].to_list(),
            t["upper"].to_list(),
            name="persistency",
            factor=self.facts["factor"],
            lang=lang,
            bars=t["offers"].to_list(),
            bars_name="offers",
            reference=self.facts["persistency"],
            percent=True,
        )


class CumulativePersistency(Result):
    """Share of policies still there after each renewal, deaths and cancellations apart.

    ``.table``: policy_year (that ended), month (13, 25, …: the first month after the renewal, as
    the trade names it), offers, renewed, persistency, cumulative, std_error, lower, upper.
    """

    kind = "cumulative_persistency"

    def finding(self, lang: Language = "en") -> str:
        """Say the first and the last cumulative rate."""
        return say("finding.cumulative_persistency", lang, **self.facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw cumulative persistency by month in its band."""
        t = self.table
        figure = band_figure(
            [str(m) for m in t["month"]],
            t["cumulative"].to_list(),
            t["lower"].to_list(),
            t["upper"].to_list(),
            points=t["persistency"].to_list(),
            points_name="persistency",
            name="cumulative",
            factor="month_of_policy",
            lang=lang,
            bars=t["offers"].to_list(),
            bars_name="offers",
        )
        figure.update_yaxes(tickformat=".0%", selector={"side": None})
        return figure.update_layout(yaxis={"tickformat": ".0%"})


def share_interval(
    some: Floats, all_of: Floats, *, level: float = 0.95, interval: Kind = "wilson"
) -> tuple[Floats, Floats]:
    """Give the bounds of shares: Wilson's or Jeffreys' interval.

    Parameters
    ----------
    some, all_of : array
        k of n; 0 ≤ k ≤ n, n above zero.
    level : float
        Confidence level.
    interval : {"wilson", "jeffreys"}
        Which one; the formulas stand in this module.

    Examples
    --------
    >>> low, high = share_interval(np.array([8.0]), np.array([10.0]))
    >>> round(float(low[0]), 4), round(float(high[0]), 4)
    (0.4902, 0.9433)
    """
    if interval not in get_args(Kind):
        raise InputError(f"no interval {interval!r}{nearest(str(interval), get_args(Kind))}")
    k, n = np.asarray(some, np.float64), np.asarray(all_of, np.float64)
    if not ((k >= 0) & (k <= n) & (n > 0)).all():
        raise InputError("a share is k of n with 0 ≤ k ≤ n and n above zero")
    if interval == "wilson":
        z = normal_quantile(level)
        p, more = k / n, z**2 / n
        middle = (p + more / 2) / (1 + more)
        reach = z * np.sqrt(p * (1 - p) / n + more / (4 * n)) / (1 + more)
        # at the ends rounding must not leave the point outside
        return np.where(k == 0, 0.0, middle - reach), np.where(k == n, 1.0, middle + reach)
    normal_quantile(level)  # refuses what is no level
    low = betaincinv(k + 0.5, n - k + 0.5, (1 - level) / 2)
    high = betaincinv(k + 0.5, n - k + 0.5, (1 + level) / 2)
    return np.where(k == 0, 0.0, low), np.where(k == n, 1.0, high)


def persistency(
    cells: Experience, factor: str, *, level: float = 0.95, interval: Kind = "wilson"
) -> Persistency:
    """Measure the renewal rate by level of one factor.

    Parameters
    ----------
    cells : Experience
        From :meth:`pricing.persistency.renewals.RenewalOffers.cells`: exposure is offers, claims
        are renewals; other keys are added up.
    factor : str
        Key to look by: a factor or a number of few values, such as ``policy_year``.
    level : float
        Confidence level.
    interval : {"wilson", "jeffreys"}
        See :func:`share_interval`. Offers count as independent.

    Raises
    ------
    InputError
        For a key that is not there, or cells that are not offers.

    Examples
    --------
    >>> rows = pl.DataFrame({"health_group": ["G0"] * 4 + ["G1"] * 4, "exposure": 1.0,
    ...                      "claims": [1, 1, 0, 0, 1, 1, 1, 0]})
    >>> persistency(Experience.collect(rows, ["health_group"]), "health_group").table["persistency"].to_list()
    [0.5, 0.75]
    """
    require_columns([factor], cells.keys)
    require_offers(cells)
    seen = cells.by(factor)
    n, k = seen.values("exposure"), seen.values("claims")
    low, high = share_interval(k, n, level=level, interval=interval)
    table = seen.cells.select(factor).with_columns(
        offers=pl.Series(n).cast(pl.Int64),
        renewed=pl.Series(k).cast(pl.Int64),
        persistency=pl.Series(k / n),
        lower=pl.Series(low),
        upper=pl.Series(high),
    )
    if factor == "policy_year":
        table = table.sort(factor)
    order = table.sort("persistency", maintain_order=True)
    names = order[factor].cast(pl.String).to_list()
    facts = {
        "factor": factor, "persistency": float(k.sum() / n.sum()), "offers": int(n.sum()),
        "lowest": names[0], "highest": names[-1], "lowest_rate": float(order["persistency"][0]),
        "highest_rate": float(order["persistency"][-1]), "level": level, "interval": interval,
    }  # fmt: skip
    said = f"{'Wilson' if interval == 'wilson' else 'Jeffreys'} interval; offers are taken as independent"
    basis = replace(
        seen.basis,
        notes=(*seen.basis.notes, said),
        fingerprint=fingerprint(seen.basis.fingerprint, factor, interval, str(level)),
    )
    return Persistency(table=table, basis=basis, facts=facts)


def cumulative_persistency(cells: Experience, *, level: float = 0.95) -> CumulativePersistency:
    """Chain the renewal rates of the policy years: 13-month, 25-month persistency and on.

    The rate after j renewals is Π(1 − lapse rate of renewal i), i ≤ j: of policies that neither
    died nor were cancelled. Each rate comes from the offers of the window, so a policy need not
    be seen from its first year (Kaplan and Meier 1958, with entry at any renewal).

    Parameters
    ----------
    cells : Experience
        Offers by ``policy_year`` (the year that ended: 0 before the first renewal).
    level : float
        Confidence level; log-log bounds with Greenwood's variance (1926).

    Raises
    ------
    InputError
        Where ``policy_year`` is no key, or years between are not in the window.

    Examples
    --------
    >>> rows = pl.DataFrame({"policy_year": [0] * 4 + [1] * 2, "exposure": 1.0,
    ...                      "claims": [1, 1, 1, 0, 1, 0]})
    >>> found = cumulative_persistency(Experience.collect(rows, ["policy_year"]))
    >>> found.table.select("month", "cumulative").rows()
    [(13, 0.75), (25, 0.375)]
    """
    require_columns(["policy_year"], cells.keys)
    require_offers(cells)
    seen = cells.by("policy_year")
    kind = seen.cells.schema["policy_year"]
    if not kind.is_numeric():
        raise InputError(f"policy_year is {kind}, not a number", do="collect it as a number")
    whole = pl.col("policy_year").cast(pl.Int64)
    if not seen.cells.select(((whole == pl.col("policy_year")) & (whole >= 0)).all()).item():
        raise InputError("policy_year is not everywhere a whole number, 0 or more")
    t = seen.cells.select(whole, n="exposure", k="claims")
    t = t.sort("policy_year")
    years = t["policy_year"].to_list()
    if years != list(range(len(years))):
        lack = sorted(set(range(max(years) + 1)) - set(years))
        raise InputError(
            f"no offers after policy years {', '.join(map(str, lack))}: the chain is broken",
            do="take a window that holds every renewal from the first",
        )
    n, k = (t[c].cast(pl.Float64).to_numpy() for c in "nk")
    rate = k / n
    chained = np.cumprod(rate)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = chained * np.sqrt(np.cumsum((n - k) / (n * k)))
    error = np.where(chained > 0, error, np.nan)
    z = normal_quantile(level)
    table = pl.DataFrame({
        "policy_year": years, "month": [12 * y + 13 for y in years],
        "offers": n.astype(np.int64), "renewed": k.astype(np.int64), "persistency": rate,
        "cumulative": chained, "std_error": error,
    }).with_columns(pl.col("std_error").fill_nan(None))  # fmt: skip
    limits = bounds(pl.col("cumulative"), pl.col("std_error"), "log-log", z)
    table = table.with_columns(limits).with_columns(pl.col("lower", "upper").fill_nan(None))
    facts = {
        "first": float(chained[0]), "last": float(chained[-1]), "last_month": 12 * years[-1] + 13,
        "renewals": len(years), "level": level,
    }  # fmt: skip
    note = "cumulative persistency leaves deaths and cancellations out (Greenwood, log-log bounds)"
    basis = replace(
        seen.basis,
        notes=(*seen.basis.notes, note),
        fingerprint=fingerprint(seen.basis.fingerprint, "cumulative", str(level)),
    )
    return CumulativePersistency(table=table, basis=basis, facts=facts)


def price_band(
    edges: Sequence[float] = (-0.10, -0.05, 0.0, 0.05, 0.10),
    *,
    price: str = "price_change",
    price_step: float = 0.001,
) -> pl.Expr:
    """Cut the price change into bands of per cent, as a key: ``cells.with_keys(price_band=…)``.

    Parameters
    ----------
    edges : sequence of float
        Increasing fractions of the premium before (0.05 is 5 % more); the bands below the first
        and from the last are open, the others closed on the left.
    price : str
        Column with the ln ratio of the premiums.
    price_step : float
        What the prices were rounded to, as in
        :meth:`pricing.persistency.renewals.RenewalOffers.cells`: a price within half of it lies on
        the edge, so that 10 % more, ln 1.1 rounded to 0.095, is no less than 10 %. 0 for prices as
        they are.

    Examples
    --------
    >>> pl.DataFrame({"price_change": [-0.2, 0.03, 0.2]}).select(price_band((0.0, 0.05))).to_series().to_list()
    ['< 0%', '[0%, 5%)', '≥ 5%']
    """
    try:
        cuts = [float(e) for e in edges]
    except (TypeError, ValueError):
        cuts = []
    if (
        not cuts
        or any(not b > a for a, b in pairwise(cuts))
        or not all(-1 < c < np.inf for c in cuts)
    ):
        raise InputError(f"edges are increasing fractions above −1, got {list(edges)}")
    if not (isinstance(price_step, int | float) and 0 <= price_step < 1):
        raise InputError(f"price_step is a small fraction, 0 or more, got {price_step!r}")
    said = [f"{100 * c:.10g}%" for c in cuts]
    if len(set(said)) < len(said):
        raise InputError(f"edges that agree in 10 digits: {list(edges)}")
    names = [f"< {said[0]}", *(f"[{a}, {b})" for a, b in pairwise(said)), f"≥ {said[-1]}"]
    inner = pl.col(price) + (price_step / 2 + 1e-12)  # ln 1.05 rounded is still 5 % more
    place = pl.sum_horizontal(((inner >= float(np.log1p(c))).cast(pl.UInt8)) for c in cuts)
    kind = pl.Enum(names)
    found = place.replace_strict(list(range(len(names))), names, return_dtype=kind)
    return pl.when(pl.col(price).is_not_null()).then(found).alias("price_band")


def require_offers(cells: Experience) -> None:
    """Refuse cells that are not of offers: one row, one exposure, renewed or not.

    Examples
    --------
    >>> rows = pl.DataFrame({"sex": ["f"], "exposure": [1.0], "claims": [2]})
    >>> require_offers(Experience.collect(rows, ["sex"]))
    Traceback (most recent call last):
    pricing.errors.InputError: the cells are not of renewal offers: ...
    """
    n, k, rows = (cells.values(c) for c in ("exposure", "claims", "rows"))
    if not (np.abs(n - rows) <= 1e-9 * rows).all() or (k > n * (1 + 1e-12)).any():
        raise InputError(
            "the cells are not of renewal offers: exposure is not one a row, or more renewed than "
            "offered",
            do="collect them with RenewalOffers.cells(...)",
        )
