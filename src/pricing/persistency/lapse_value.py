"""Lapse value: whether the healthy or the ill leave, and what margin leaves with them.

With E the expected claims of the year offered, the adverse-selection index of a level is

    I = mean E of leavers / mean E of stayers,

below 1 where the healthy leave and those who stay cost more (Rothschild and Stiglitz 1976; for
lapses Hendel and Lizzeri 2003, The role of commitment in dynamic contracts). Its interval is
I·exp(±z√(s₁²/(n₁m₁²) + s₀²/(n₀m₀²))), the delta method on ln I with the spread of E among n₁
leavers and n₀ stayers. The margin of a policy is premium × (1 − expenses) − E; what the leavers'
sum to is the value lost, a gain where it is below zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError
from pricing.experience.domain import listed, require_columns
from pricing.files import fingerprint
from pricing.persistency.persistency import share_interval
from pricing.persistency.renewals import RenewalOffers
from pricing.result.figure import COLOURS, error_bars
from pricing.result.series import SERIES
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, level_label, say
from pricing.survival.interval import normal_quantile

__all__ = ["LapseValue", "lapse_value"]

LEAST_DRAWN = 30  # offers; fewer say nothing in a picture


class LapseValue(Result):
    """Who leaves: expected claims and margin of leavers and stayers, by level.

    ``.table``: factor, level, offers, leavers, leave_rate with leave_lower and leave_upper,
    expected_leavers, expected_stayers (currency a policy), selection_index with lower and upper,
    margin_lost (currency), margin_per_leaver, margin_per_stayer. ``.frames["risk_bands"]``:
    level of the first factor and risk band with offers, leavers, leave_rate, lower, upper.
    """

    kind = "lapse_value"

    def finding(self, lang: Language = "en") -> str:
        """Say whether the healthy or the ill leave, and the margin that leaves."""
        lower, upper = self.facts["lower"], self.facts["upper"]
        if lower is None or upper is None:
            key = "bare" if self.facts["selection_index"] is None else "index"
            return say(f"sentence.lapse_value_{key}", lang, **self.facts)
        who = "healthier" if upper < 1 else "iller" if lower > 1 else "no_difference"
        told = say(f"sentence.lapse_{who}", lang)
        return say("finding.lapse_value", lang, **{**self.facts, "who": told})

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the leave rate by band of predicted risk, a series per level of the first factor."""
        bands = self.frames["risk_bands"]
        figure = go.Figure(layout={"template": "pricing"})
        every = bands.filter(pl.col("level") == "total")
        others = list(dict.fromkeys(bands.filter(pl.col("level") != "total")["level"].to_list()))
        styles = [("total", COLOURS["text"], "circle")]
        if len(others) <= len(SERIES):
            styles += [(one, *style) for one, style in zip(others, SERIES, strict=False)]
        for name, colour, symbol in styles:
            part = bands.filter((pl.col("level") == name) & (pl.col("offers") >= LEAST_DRAWN))
            whole = name == "total"
            bars = error_bars(*(part[c].to_list() for c in ("leave_rate", "lower", "upper")))
            figure.add_scatter(
                x=part["risk_band"].cast(pl.String).to_list(),
                y=part["leave_rate"].to_list(),
                error_y=bars | {"thickness": 2 if whole else 1, "color": colour},
                mode="lines+markers" if whole else "markers",
                name=level_label(name, lang),
                offsetgroup=name,
                marker={"size": 10 if whole else 7, "color": colour, "symbol": symbol},
                line={"width": 2, "color": colour},
            )
        return figure.update_layout(
            scattermode="group",
            scattergap=0.3,
            xaxis={
                "title": {"text": label("risk_band", lang)},
                "type": "category",
                "categoryorder": "array",
                "categoryarray": every["risk_band"].cast(pl.String).to_list(),
            },
            yaxis={"title": {"text": label("leave_rate", lang)}, "tickformat": ".0%"},
        )


def lapse_value(
    offers: RenewalOffers | pl.DataFrame,
    by: str | Sequence[str] = "health_group",
    *,
    expected: str = "expected_amount",
    premium: str = "premium_offered",
    expenses: float = 0.0,
    bands: int = 10,
    level: float = 0.95,
) -> LapseValue:
    """Compare who leaves with who stays, by what they are expected to cost.

    Parameters
    ----------
    offers : RenewalOffers or polars.DataFrame
        Offers with ``renewed`` and the columns named below; add the expected claims of a model to
        ``.rows`` first (``model.score(rows)``), never those of the year that followed.
    by : str or sequence of str
        Factors to look by, each alone; the first is drawn.
    expected : str
        Expected claims of the year offered, currency, zero or more.
    premium : str
        Premium of that year, currency, above zero.
    expenses : float
        Share of the premium that expenses take, 0 to below 1.
    bands : int
        Bands of rising expected claims with as many offers each, 2 to 100.
    level : float
        Confidence level.

    Raises
    ------
    InputError
        For missing columns, expected claims or premiums out of their domain, no leavers or no
        stayers.

    Examples
    --------
    >>> rows = pl.DataFrame({"health_group": ["G0"] * 6, "renewed": [1, 1, 1, 0, 0, 1],
    ...     "expected_amount": [30.0, 20.0, 25.0, 10.0, 12.0, 35.0], "premium_offered": 40.0})
    >>> lapse_value(rows, bands=2).table.select("level", "selection_index", "margin_lost").row(0)
    ('total', 0.4, 58.0)
    """
    rows = offers.rows if isinstance(offers, RenewalOffers) else offers
    if not isinstance(rows, pl.DataFrame):
        raise InputError(
            f"the offers are a {type(rows).__name__}",
            do="give a polars DataFrame: collect() it first",
        )
    factors = list(dict.fromkeys(listed([by] if isinstance(by, str) else by)))
    _require(rows, factors, expected, premium, expenses, bands)
    z = normal_quantile(level)
    e, paid = pl.col(expected).cast(pl.Float64), pl.col(premium).cast(pl.Float64)
    seen = rows.select(
        *(pl.col(f).alias(f"key {i}") for i, f in enumerate(factors)),
        _left=1 - pl.col("renewed").cast(pl.Int64),
        _e=e,
        _m=paid * (1 - expenses) - e,
    )
    every = seen.with_columns(pl.lit("total").alias("key"))
    named = {"key": "total"} | {f"key {i}": f for i, f in enumerate(factors)}
    sums = pl.concat([_by_level(every, own, name) for own, name in named.items()])
    table = _table(sums, z, level)
    drawn = _risk_bands(seen, "key 0", bands, level)
    first = table.row(0, named=True)
    facts = {
        **{k: first[k] for k in ("offers", "leavers", "leave_rate", "margin_lost", "lower", "upper")},
        **{k: first[k] for k in ("expected_leavers", "expected_stayers", "selection_index")},
        "by": factors, "expenses": float(expenses), "level": level,
    }  # fmt: skip
    known = offers.account.basis if isinstance(offers, RenewalOffers) else Basis()
    notes = (
        f"margin is premium × (1 − {expenses:g}) − expected claims ({expected}) of the year offered",
        "the index takes expected claims as known: their own error is not in the interval",
    )
    mark = fingerprint(known.fingerprint, str(table.rows()), str(expenses), str(bands))
    basis = replace(
        known,
        rows=int(first["offers"]),
        exposure=float(first["offers"]),
        claims=float(first["offers"] - first["leavers"]),
        fingerprint=mark,
        notes=(*known.notes, *notes),
    )
    facts["currency"] = basis.currency
    return LapseValue(table=table, basis=basis, facts=facts, frames={"risk_bands": drawn})


def _require(
    rows: pl.DataFrame, factors: list[str], expected: str, premium: str, expenses: float, bands: int
) -> None:
    require_columns(["renewed", expected, premium, *factors], rows.columns)
    if not factors:
        raise InputError("by= names no factor", do="write health_group")
    if isinstance(expenses, bool) or not isinstance(expenses, int | float) or not 0 <= expenses < 1:
        raise InputError(f"expenses are a share of the premium, 0 to below 1, got {expenses!r}")
    if isinstance(bands, bool) or not isinstance(bands, int) or not 2 <= bands <= 100:
        raise InputError(f"bands is a whole number from 2 to 100, got {bands!r}")
    faults = []
    for name, least in ((expected, "negative"), (premium, "not above zero")):
        if not rows.schema[name].is_numeric():
            faults.append(f"{name!r} is {rows.schema[name]}, not a number")
            continue
        value = pl.col(name).cast(pl.Float64)
        fine = ((value >= 0) if least == "negative" else (value > 0)) & value.is_finite()
        none = rows.filter(~fine.fill_null(False)).height
        if none:
            faults.append(
                f"{name!r} is null, not finite or {least} in {none:,} of {rows.height:,} offers"
            )
    nulls = {factor: rows[factor].null_count() for factor in factors}
    faults += [f"{factor!r} is null in {n:,} offers" for factor, n in nulls.items() if n]
    kind = rows.schema["renewed"]
    if not (kind.is_numeric() or kind == pl.Boolean):
        faults.append(f"renewed is {kind}, neither yes or no, nor 0 and 1")
    else:
        known = pl.col("renewed").cast(pl.Float64).is_in([0.0, 1.0]).fill_null(False)
        if odd := rows.filter(~known).height:
            faults.append(f"renewed is neither 0 nor 1 in {odd:,} offers")
    called = [f for f in factors if (rows[f].cast(pl.String) == "total").any()]
    faults += [f"{f!r} has a level called total, which is the name of all" for f in called]
    if faults:
        raise InputError("who leaves cannot be valued", faults=faults)
    left = rows.height - int(rows["renewed"].sum())
    if not 0 < left < rows.height:
        raise InputError(
            f"{left:,} of {rows.height:,} leave: there are no two sides to compare",
            do="check exit_cause and the window",
        )


def _by_level(seen: pl.DataFrame, key: str, factor: str) -> pl.DataFrame:
    """Counts, sums and squares of leavers and of stayers, by level."""
    e, m, gone = pl.col("_e"), pl.col("_m"), pl.col("_left") == 1
    return (
        seen.group_by(key, maintain_order=True)
        .agg(
            offers=pl.len().cast(pl.Int64),
            leavers=pl.col("_left").sum(),
            e1=e.filter(gone).sum(),
            e0=e.filter(~gone).sum(),
            v1=e.filter(gone).var(),
            v0=e.filter(~gone).var(),
            m1=m.filter(gone).sum(),
            m0=m.filter(~gone).sum(),
        )
        .sort(key)
        .select(
            pl.lit(factor).alias("factor"),
            pl.col(key).cast(pl.String).alias("level"),
            pl.exclude(key),
        )
    )


def _table(sums: pl.DataFrame, z: float, level: float) -> pl.DataFrame:
    n1 = pl.col("leavers")
    n0 = pl.col("offers") - n1
    low, high = share_interval(
        sums["leavers"].cast(pl.Float64).to_numpy(),
        sums["offers"].cast(pl.Float64).to_numpy(),
        level=level,
    )
    mean1 = pl.when(n1 > 0).then(pl.col("e1") / n1)
    mean0 = pl.when(n0 > 0).then(pl.col("e0") / n0)
    table = sums.with_columns(
        leave_rate=n1 / pl.col("offers"),
        leave_lower=pl.Series(low),
        leave_upper=pl.Series(high),
        expected_leavers=mean1,
        expected_stayers=mean0,
    )
    a, b = pl.col("expected_leavers"), pl.col("expected_stayers")
    square = pl.col("v1") / (n1 * a**2) + pl.col("v0") / (n0 * b**2)
    reach = (z * square.sqrt()).exp()
    index = pl.when((a > 0) & (b > 0)).then(a / b)
    return table.with_columns(
        selection_index=index,
        lower=index / reach,
        upper=index * reach,
        margin_lost=pl.col("m1"),
        margin_per_leaver=pl.when(n1 > 0).then(pl.col("m1") / n1),
        margin_per_stayer=pl.when(n0 > 0).then(pl.col("m0") / n0),
    ).drop("e1", "e0", "v1", "v0", "m1", "m0")


def _risk_bands(seen: pl.DataFrame, factor: str, bands: int, level: float) -> pl.DataFrame:
    """Leave rate by band of expected claims; ties stay in one band."""
    e = seen["_e"].to_numpy()
    edges = np.unique(np.quantile(e, np.arange(1, bands) / bands))
    names = [str(i + 1) for i in range(edges.size + 1)]
    code = pl.Series(np.searchsorted(edges, e, side="left"))
    banded = seen.with_columns(risk_band=code.cast(pl.UInt32))
    sums = (
        banded.group_by(factor, "risk_band", maintain_order=True)
        .agg(offers=pl.len().cast(pl.Int64), leavers=pl.col("_left").sum(), _sum=pl.col("_e").sum())
        .sort(factor, "risk_band")
    )
    whole = sums.group_by("risk_band", maintain_order=True).agg(
        pl.col("offers", "leavers", "_sum").sum()
    )
    parts = [
        part.select(
            name.alias("level"),
            "risk_band",
            "offers",
            "leavers",
            expected_amount=pl.col("_sum") / pl.col("offers"),
        )
        for part, name in (
            (whole.sort("risk_band"), pl.lit("total")),
            (sums, pl.col(factor).cast(pl.String)),
        )
    ]
    found = pl.concat(parts)
    k, n = (found[c].cast(pl.Float64).to_numpy() for c in ("leavers", "offers"))
    low, high = share_interval(k, n, level=level)
    return found.with_columns(
        risk_band=pl.col("risk_band")
        .cast(pl.Int64)
        .replace_strict(list(range(len(names))), names, return_dtype=pl.Enum(names)),
        leave_rate=pl.Series(k / n),
        lower=pl.Series(low),
        upper=pl.Series(high),
    )
