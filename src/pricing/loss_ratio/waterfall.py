"""From last year's loss ratio to this year's, in steps that add up exactly and know no order."""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError, nearest
from pricing.experience.domain import listed
from pricing.result.attribution import shapley_values
from pricing.result.figure import COLOURS
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["STEPS", "Waterfall", "waterfall"]

STEPS = (
    "volume",
    "rate_change",
    "discount_change",
    "mix_change",
    "frequency_trend",
    "severity_trend",
    "large_claims_change",
    "completion_change",
)
_MONEY = ("standard_premium", "standard_at_current_level", "premium")
_SUMS = ("exposure", *_MONEY, "claims", "amount_capped", "amount_excess")


class Waterfall(Result):
    """The change of the loss ratio by cause, with what each cause did to claims and premium."""

    kind = "waterfall"

    def finding(self, lang: Language = "en") -> str:
        """Name the largest step and the change they add up to."""
        facts = dict(self.facts)
        facts["largest"] = level_label(facts["largest"], lang)
        return say("finding.waterfall", lang, **facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the steps from last year's loss ratio to this year's."""
        t = self.table.filter(pl.col("step") != "volume")
        names = [level_label(v, lang).replace(" ", "<br>") for v in t["step"].to_list()]
        ratio, points = t["loss_ratio"].to_list(), t["points"].to_list()
        ends = {0, t.height - 1}
        heights = [ratio[i] if i in ends else points[i] / 100 for i in range(t.height)]
        text = [
            f"{r:.1%}" if i in ends else f"{points[i] + 0.0:+z.1f}" for i, r in enumerate(ratio)
        ]
        figure = go.Figure(layout={"template": "pricing", "height": 440, "showlegend": False})
        figure.add_waterfall(
            x=names,
            y=heights,
            measure=["absolute", *["relative"] * (t.height - 2), "total"],
            text=text,
            textposition="outside",
            cliponaxis=False,
            connector={"line": {"color": COLOURS["line"], "width": 1, "dash": "dot"}},
            increasing={"marker": {"color": COLOURS["second"]}},
            decreasing={"marker": {"color": COLOURS["third"]}},
            totals={"marker": {"color": COLOURS["estimate"]}},
            hovertemplate="%{x}: %{text}<extra></extra>",
        )
        low, high = min(ratio), max(ratio)  # every bar ends at one of them
        room = max(high - low, 0.02 * max(high, 1e-12))
        return figure.update_layout(
            xaxis={"title": {"text": label("step", lang)}, "type": "category"},
            yaxis={
                "title": {"text": label("loss_ratio", lang)},
                "tickformat": ".1%",
                "range": [max(0.0, low - 0.6 * room), high + 0.25 * room],
            },
            hovermode="closest",
        )


def waterfall(
    before: pl.DataFrame,
    after: pl.DataFrame,
    *,
    by: Sequence[str],
    basis: Basis | None = None,
) -> Waterfall:
    """Decompose the change of the loss ratio between two years into its causes, exactly.

    By segment s, claims are C = E Σ wₛ (fₛ mₛ + xₛ) dₛ and premium P = E Σ wₛ pₛ rₛ (1 − qₛ), with
    E the exposure (volume), w its shares and p the standard premium per exposure at common rate
    level (mix), r the rate level of the standard premium, q the discount, f claims per exposure, m
    the capped amount of one claim, x the excess of large claims per exposure, d the completion
    factor. Each letter goes from last year's value to this year's, in all segments at once, and a
    cause is given its Shapley value: the mean of what its going changes, over all orders in which
    the eight can go (2⁸ states). This is the one attribution that adds up exactly, favours no
    order, treats causes alike and gives nothing to a cause that did not move. Logarithmic means
    (LMDI: Ang 2004) add up too, but have no value where a segment has no claims or stands in one
    year only. Such a segment takes, for the year it is not in, the rates of the year it is in, so
    that it is mix alone; a segment without claims is a frequency of nought.

    Volume moves claims and premium and leaves the ratio where it was. Frequency and severity are
    of claims as known at the valuation, and the completion step shows what the completion factors
    make of them: take both years at the same age, or last year's as now known, so that maturity
    does not show as a trend with completion against it.

    Parameters
    ----------
    before, after : polars.DataFrame
        Last year and this year, any number of rows per segment, which are added: ``exposure``,
        ``standard_premium`` (earned, at its own rate level), ``standard_at_current_level`` (earned,
        at a rate level common to both years), ``premium`` (earned, as charged), ``claims`` (count),
        ``amount_capped``, ``amount_excess`` (above the cap), ``completion`` (factor to ultimate at
        the year's valuation).
    by : sequence of str
        Segment columns.

    Returns
    -------
    Waterfall
        ``.table``: step (last_year, the causes, this_year), loss_ratio (reached after the step),
        points (hundredths of loss ratio), claims_effect and premium_effect in currency; the
        effects of the steps are whole cents and add up to the cent, ``.facts["remainder"]`` is
        what the points leave. ``.frames["segments"]``: exposure, premium,
        ultimate claims and loss ratio by segment and year.

    Raises
    ------
    InputError
        For missing columns, values that are null, negative or not finite, completion factors not
        above zero, exposure without premium, premium or claims without exposure, no exposure.

    References
    ----------
    Shapley, L. S. (1953). A value for n-person games. Annals of Mathematics Studies 28, 307–317.
    Albrecht, J., François, D. and Schoors, K. (2002). A Shapley decomposition of carbon emissions
    without residuals. Energy Policy 30, 727–736.
    Ang, B. W. (2004). Decomposition analysis for policymaking in energy. Energy Policy 32, 1131–1139.

    Examples
    --------
    >>> last = pl.DataFrame({"tier": ["a"], "exposure": [100.0], "standard_premium": [1000.0],
    ...     "standard_at_current_level": [1100.0], "premium": [1000.0], "claims": [10],
    ...     "amount_capped": [500.0], "amount_excess": [0.0], "completion": [1.0]})
    >>> this = last.with_columns(standard_premium=1100.0, premium=1100.0, claims=11, amount_capped=550.0)
    >>> waterfall(last, this, by=["tier"]).table.filter(pl.col("points").abs() > 1e-9)["step"].to_list()
    ['rate_change', 'frequency_trend']
    """
    by = listed(by)
    both = _segments(_year(before, by, "before"), _year(after, by, "after"), by)
    states = _states(both)
    claims, premium = states
    ratio = claims / premium
    effects = {n: shapley_values(v) for n, v in (("r", ratio), ("c", claims), ("p", premium))}
    volume_free = effects["r"].copy()
    volume_free[0] = 0.0  # it cancels; what is left there is rounding
    remainder = float(ratio[-1] - ratio[0] - fsum(volume_free))
    reached = ratio[0] + np.cumsum(volume_free)
    reached[-1] = ratio[-1]
    table = pl.DataFrame(
        {
            "step": ["last_year", *STEPS, "this_year"],
            "loss_ratio": [ratio[0], *reached, ratio[-1]],
            "points": [0.0, *(100 * volume_free), 0.0],
            "claims_effect": [0.0, *_cents(effects["c"], claims), 0.0],
            "premium_effect": [0.0, *_cents(effects["p"], premium), 0.0],
        }
    ).with_columns(pl.col("step").cast(pl.Enum(["last_year", *STEPS, "this_year"])))
    largest = int(np.argmax(np.abs(volume_free)))
    basis = basis or Basis()
    facts = {
        "before": float(ratio[0]), "after": float(ratio[-1]),
        "change_points": float(100 * (ratio[-1] - ratio[0])), "largest": STEPS[largest],
        "largest_points": float(100 * volume_free[largest]), "remainder": remainder,
        "claims_before": round(float(claims[0]), 2), "claims_after": round(float(claims[-1]), 2),
        "premium_before": round(float(premium[0]), 2), "premium_after": round(float(premium[-1]), 2),
    }  # fmt: skip
    held = Basis(
        source=basis.source,
        period=basis.period,
        filters=basis.filters,
        rows=before.height + after.height,
        exposure=sum(float(both[f"exposure_{i}"].sum()) for i in (0, 1)),
        claims=sum(float(both[f"claims_{i}"].sum()) for i in (0, 1)),
        currency=basis.currency,
        fingerprint=basis.fingerprint,
        notes=(*basis.notes, "Shapley values over all orders of the steps"),
    )
    return Waterfall(
        table=table, basis=held, facts=facts, frames={"segments": _by_segment(both, by)}
    )


def _year(rows: pl.DataFrame, by: list[str], where: str) -> pl.DataFrame:
    """Add up a year's rows by segment, and refuse what has no ratio."""
    names, wanted = rows.columns, [*by, *_SUMS, "completion"]
    faults = [f"column {n!r} is missing{nearest(n, names)}" for n in wanted if n not in names]
    faults += [f"segment {k!r} has the name of a measure" for k in by if k in wanted[len(by) :]]
    faults += [] if by else ["no segment column is given: name one or more in by"]
    faults += [
        f"{n!r} is {rows.schema[n]}, not a number"
        for n in wanted[len(by) :]
        if n in names and rows.height and not rows.schema[n].is_numeric()
    ]
    if faults:
        raise InputError("a year that cannot be decomposed", where=where, faults=faults)
    plain = rows.select(
        *by, *(pl.col(n).cast(pl.Float64) for n in (*_SUMS, "completion"))
    ).with_columns(pl.col(k).cast(pl.String) for k in by)
    above = {
        f"{n!r} is null, negative or not finite": ~(pl.col(n).is_finite() & (pl.col(n) >= 0))
        for n in _SUMS
    }
    above["'completion' is null, not finite or not above zero"] = ~(
        pl.col("completion").is_finite() & (pl.col("completion") > 0)
    )
    above |= {f"segment {k!r} is null": pl.col(k).is_null() for k in by}
    counts = plain.select(**{w: e.fill_null(True).sum() for w, e in above.items()})
    faults = [
        f"{w} in {n:,} of {rows.height:,} rows" for w, n in counts.row(0, named=True).items() if n
    ]
    if faults:
        raise InputError("a year that cannot be decomposed", where=where, faults=faults)
    reported = pl.col("amount_capped") + pl.col("amount_excess")
    year = plain.group_by(by, maintain_order=True).agg(
        pl.col(_SUMS).sum(),
        ultimate=(reported * pl.col("completion")).sum(),
        plain=pl.col("completion").mean(),
    )
    year = year.with_columns(
        completion=pl.when(reported > 0).then(pl.col("ultimate") / reported).otherwise("plain")
    )
    held, earns = pl.col("exposure") > 0, pl.min_horizontal(*_MONEY) > 0
    idle = pl.max_horizontal(*_MONEY, "claims", "amount_capped", "amount_excess") > 0
    faults = []
    for what, wrong in (
        ("exposure without premium (of all three kinds)", held & ~earns),
        ("premium or claims without exposure", ~held & idle),
        ("a capped amount without claims", (pl.col("claims") <= 0) & (pl.col("amount_capped") > 0)),
    ):
        bad = year.filter(wrong)
        if bad.height:
            few = ", ".join(" × ".join(row) for row in bad.select(by).head(3).rows())
            faults.append(f"{bad.height:,} segments have {what}, such as {few}")
    if faults:
        raise InputError("segments that have no loss ratio", where=where, faults=faults)
    year = year.filter(held)
    if year.is_empty():
        raise InputError("there is no exposure", where=where, do="check the year and the filters")
    return year.drop("ultimate", "plain")


def _segments(before: pl.DataFrame, after: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """Set the years beside each other by segment; what a segment was not in is null."""
    old = before.rename({n: f"{n}_0" for n in (*_SUMS, "completion")})
    new = after.rename({n: f"{n}_1" for n in (*_SUMS, "completion")})
    return old.join(new, on=by, how="full", coalesce=True).sort(by)


def _states(both: pl.DataFrame) -> tuple[Any, Any]:
    """Claims and premium with every subset of the causes at this year's values."""
    letters: list[dict[str, Any]] = []
    for i in (0, 1):
        sums = {n: both[f"{n}_{i}"].fill_null(0.0).to_numpy() for n in (*_SUMS, "completion")}
        e = sums["exposure"]
        with np.errstate(divide="ignore", invalid="ignore"):
            letters.append(
                {
                    "volume": e.sum(),
                    "share": e / e.sum(),
                    "standard": sums["standard_at_current_level"] / e,
                    "rate": sums["standard_premium"] / sums["standard_at_current_level"],
                    "charged": sums["premium"] / sums["standard_premium"],
                    "frequency": sums["claims"] / e,
                    "severity": sums["amount_capped"] / sums["claims"],
                    "excess": sums["amount_excess"] / e,
                    "completion": np.where(e > 0, sums["completion"], np.nan),
                }
            )
    for name in letters[0]:  # what one year does not know is as in the other
        if name not in ("volume", "share"):
            a, b = letters[0][name], letters[1][name]
            letters[0][name] = np.nan_to_num(np.where(np.isnan(a), b, a))
            letters[1][name] = np.nan_to_num(np.where(np.isnan(b), a, b))
    causes = (
        ("volume",), ("rate",), ("charged",), ("share", "standard"),
        ("frequency",), ("severity",), ("excess",), ("completion",),
    )  # fmt: skip
    claims, premium = np.empty(1 << len(causes)), np.empty(1 << len(causes))
    for state in range(1 << len(causes)):
        v = {n: letters[state >> i & 1][n] for i, names in enumerate(causes) for n in names}
        cost = (v["frequency"] * v["severity"] + v["excess"]) * v["completion"]
        claims[state] = v["volume"] * np.sum(v["share"] * cost)
        price = v["standard"] * v["rate"] * v["charged"]
        premium[state] = v["volume"] * np.sum(v["share"] * price)
    return claims, premium


def _cents(effects: Any, value: Any) -> list[float]:
    """Whole cents that add up to the change, also in cents; the largest step takes the rounding."""
    cents = [round(100 * float(e)) for e in effects]
    whole = round(100 * float(value[-1])) - round(100 * float(value[0]))
    cents[int(np.argmax(np.abs(effects)))] += whole - sum(cents)
    return [c / 100 for c in cents]


def _by_segment(both: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    years = []
    for i, when in ((0, "last_year"), (1, "this_year")):
        amount = pl.col(f"amount_capped_{i}") + pl.col(f"amount_excess_{i}")
        years.append(
            both.filter(pl.col(f"exposure_{i}").is_not_null()).select(
                *by,
                step=pl.lit(when, dtype=pl.Enum(["last_year", "this_year"])),
                exposure=f"exposure_{i}",
                premium=f"premium_{i}",
                claims_cost=amount * pl.col(f"completion_{i}"),
                loss_ratio=amount * pl.col(f"completion_{i}") / pl.col(f"premium_{i}"),
            )
        )
    return pl.concat(years).sort(*by, "step")
