"""Completion of short-tail claims: what the recent months will have cost when all is paid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from typing import Literal, get_args

import numpy as np
import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError, nearest
from pricing.estimate.time_axis import (
    BreakKind,
    Seasonality,
    TimeAxis,
    read_breaks,
    require_columns,
)
from pricing.reserving.emergence import Drawn, Emergence, Floats, completed_share, emergence
from pricing.reserving.exposure import exposure_behind
from pricing.reserving.fan import DevelopmentFan, drawn_fans
from pricing.reserving.triangle import Triangle, period_name
from pricing.result.figure import COLOURS, error_bars
from pricing.result.series import band_figure
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label

__all__ = [
    "Completion",
    "CompletionPattern",
    "History",
    "Weighting",
    "complete",
    "history",
    "interval_columns",
    "require_simulation",
]

Weighting = Literal["credibility", "chain_ladder", "bornhuetter_ferguson"]
LAGS = 24
SHOWN = 36  # periods drawn
SHORT = 6  # periods below which no trend is looked for
LATE = 0.01  # share of the claims that may be paid after the last lag told apart


@dataclass(frozen=True)
class History:
    """A triangle with the exposure behind it, and the model of emergence fitted to both.

    ``first`` counts the origins before the first one with exposure, which are left out.
    """

    model: Emergence
    axis: TimeAxis
    origins: Sequence[date]
    first: int

    def weight(self, weighting: Weighting) -> Floats:
        """Credibility of a period's own payments against exposure × rate.

        Bühlmann's w = τ² / (τ² + φ / (q m)), with q m what should be paid by now: zero where the
        periods differ by no more than chance; or 1 (chain ladder), or 0 (Bornhuetter–Ferguson).
        """
        model = self.model
        if weighting == "credibility":
            due = model.share() * model.exposure * model.rate()
            volume = due * model.between
            found: Floats = volume / (volume + model.dispersion * model.money())
            return found
        return np.full(model.exposure.size, 1.0 if weighting == "chain_ladder" else 0.0)

    def ultimate(self, weight: Floats) -> Floats:
        """Paid plus what is still to come, at the estimate."""
        model = self.model
        share, paid = model.share(), model.paid
        own = np.divide(paid, share, out=np.zeros_like(paid), where=share > 0)
        found: Floats = paid + (1 - share) * (
            weight * own + (1 - weight) * model.exposure * model.rate()
        )
        return found


class Completion(Result):
    """Ultimate claims by period of origin, with the error of what is still to come."""

    kind = "completion"

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw what is paid and what is still to come, with the interval of the ultimate."""
        t = self.table.tail(SHOWN)
        figure = go.Figure(layout={"template": "pricing", "barmode": "stack"})
        for name, colour in (("paid", COLOURS["estimate"]), ("unpaid", COLOURS["second"])):
            figure.add_bar(
                x=t["origin"].to_list(),
                y=t[name].to_list(),
                name=label(name, lang),
                marker={"color": colour, "opacity": 0.6},
            )
        figure.add_scatter(
            x=t["origin"].to_list(),
            y=t["ultimate"].to_list(),
            error_y=error_bars(t["ultimate"].to_list(), t["lower"].to_list(), t["upper"].to_list()),
            mode="markers",
            name=label("ultimate", lang),
            marker={"size": 5, "color": COLOURS["text"]},
        )
        return figure.update_layout(
            xaxis={"title": {"text": label("origin", lang)}},
            yaxis={"title": {"text": f"{label('ultimate', lang)} ({self.basis.currency})"}},
        )

    @property
    def pattern(self) -> CompletionPattern:
        """Share complete by lag, as a result of its own."""
        table = self.frames["pattern"]
        at = {n: table["complete"][min(n, table.height - 1)] for n in (0, 1, 2, 3)}
        facts = {
            "level": self.facts["level"],
            "valuation": self.facts["valuation"],
            **{f"complete_{n}": float(v) for n, v in at.items()},
        }
        return CompletionPattern(table=table, basis=self.basis, facts=facts)

    @property
    def fan(self) -> DevelopmentFan:
        """How the recent origins grew by lag and where they may come out, as a result of its own."""
        table = self.frames["fan"]
        rows = table.filter(pl.col("origin") == table["origin"].max()).drop_nulls("grown_expected")
        first, last = (rows.row(i, named=True) for i in (0, -1))
        facts = {
            "origin": period_name(first["origin"], self.facts["grain"]),
            "grown_to": first["grown_to"],
            **{n: last[n] for n in ("grown_expected", "lower_80", "upper_80", "lower", "upper")},
            **{n: self.facts[n] for n in ("grain", "level", "valuation")},
            "unit": self.facts["currency"],
        }
        return DevelopmentFan(table=table, basis=self.basis, facts=facts)


class CompletionPattern(Result):
    """Share of the ultimate paid by the end of each lag, with its interval."""

    kind = "completion_pattern"

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the share complete by lag in its band."""
        t = self.table
        figure = band_figure(
            t["lag"].cast(pl.Float64).to_list(),
            t["complete"].to_list(),
            t["lower"].to_list(),
            t["upper"].to_list(),
            points=None,
            points_name="complete",
            name="complete",
            factor="lag",
            lang=lang,
            bars=t["paid_in_lag"].clip(0.0).to_list(),
            bars_name="paid_in_lag",
        )
        figure.update_layout(
            yaxis={"tickformat": ".0%", "rangemode": "tozero"}, yaxis2={"showticklabels": False}
        )
        return figure


def complete(
    triangle: Triangle,
    exposure: pl.DataFrame,
    *,
    lags: int = LAGS,
    recent: int | None = None,
    seasonality: Seasonality = "none",
    breaks: Sequence[date] | Mapping[date, BreakKind] = (),
    weighting: Weighting = "credibility",
    dispersion: float | None = None,
    tail: float = 1.0,
    draws: int = 4000,
    seed: int = 1,
    level: float = 0.95,
) -> Completion:
    """Complete the claims of short-tail business: factors by lag, credible recent periods, an interval.

    What health actuaries do with monthly claims: completion factors by lag month; the recent months,
    of which little is paid, lean on exposure × trended rate rather than on their own payments; months
    of the year may differ. Give capped claims (:func:`pricing.losses.large.cap_claims`) where a few
    large ones would swing a factor, and charge the excess apart.

    Parameters
    ----------
    triangle : Triangle
        Payments (or counts) by origin and lag; segments are added up.
    exposure : polars.DataFrame
        ``origin`` (first day of the period) and ``exposure``: policy-years or premium at current
        level, above zero, for every origin from the first on. Origins before the first are left out,
        if nothing was paid on them.
    lags : int
        Lags told apart; later payments count at the last, as if its origins were complete: refused
        where more than 1 % of the claims are paid later. Fewer where the history is shorter.
    recent : int, optional
        Latest origins whose payments enter a factor; all where left out.
    seasonality, breaks
        Of the rate, as in :class:`pricing.estimate.time_axis.TimeAxis`.
    weighting : {"credibility", "chain_ladder", "bornhuetter_ferguson"}
        How far a period's own payments count.
    dispersion : float, optional
        φ = Σx² / Σx over *claims*. Left out, that of the payments, which is too small where a claim
        is paid in parts.
    tail : float
        Ultimate over paid by the last lag.
    draws, seed : int
        Of the simulation.
    level : float
        Confidence of ``lower`` and ``upper``; the 80 % interval stands beside it.

    Returns
    -------
    Completion
        ``.table``: origin, exposure, paid, complete (share), credibility, a_priori (expected
        ultimate), ultimate, unpaid, std_error, lower_80, upper_80, lower, upper (of the ultimate).
        ``.pattern``: lag, paid_in_lag, complete, std_error, lower, upper. ``.fan``: the development
        of recent origins and where it may lead. ``.facts``: totals.

    Raises
    ------
    InputError
        For exposure that lacks an origin, claims without exposure, too short a history.

    Notes
    -----
    Ultimate = paid + (1 − q)(w · paid / q + (1 − w) · exposure · rate), with q the share complete.
    With w = 0 this is Bornhuetter and Ferguson (1972) with Cape Cod's rate (Stanard 1985), with
    w = 1 chain ladder, with the estimated w that of Bühlmann (Mack 2000, "Credible claims reserves").
    The interval is predictive: error of pattern, rate and trend together, and chance in what is
    still to be paid: see :mod:`pricing.reserving.emergence`.

    Examples
    --------
    >>> from pricing.reserving.triangle import claim_triangle
    >>> days = [date(2023, m, 3) for m in range(1, 13) for _ in range(20)]
    >>> paid = pl.DataFrame({"incurred": days}).with_columns(
    ...     paid=pl.col("incurred").dt.offset_by(pl.Series(["5d", "33d"] * 120)),
    ...     amount=pl.Series([100.0, 300.0] * 120))
    >>> triangle = claim_triangle(paid, valuation=date(2023, 12, 31))
    >>> exposure = pl.DataFrame({"origin": triangle.origins, "exposure": 50.0})
    >>> found = complete(triangle, exposure, draws=200)
    >>> found.table.tail(2).select("complete", "paid", pl.col("ultimate").round(1)).rows()
    [(1.0, 4000.0, 4000.0), (0.25, 1000.0, 4000.0)]
    >>> found.pattern.table.columns[:2]
    ['lag', 'paid_in_lag']
    >>> found.fan.table.tail(1).select("lag", "grown_to", pl.col("grown_expected").round(1)).rows()
    [(11, None, 4000.0)]
    """
    require_simulation(level, draws, seed)
    if weighting not in get_args(Weighting):
        choices = get_args(Weighting)
        raise InputError(f"no weighting {weighting!r}{nearest(str(weighting), choices)}")
    seen = history(
        triangle,
        exposure,
        lags=lags,
        recent=recent,
        seasonality=seasonality,
        breaks=breaks,
        dispersion=dispersion,
        tail=tail,
    )
    model, weight = seen.model, seen.weight(weighting)
    rng = np.random.default_rng(seed)
    drawn = model.draw(draws, rng)
    due = model.due(drawn, weight, rng)
    unpaid = model.claimed(due, rng)
    ultimate, paid = seen.ultimate(weight), model.paid
    table = pl.DataFrame(
        {
            "origin": list(seen.origins),
            "exposure": model.exposure,
            "paid": paid,
            "complete": model.share(),
            "credibility": weight,
            "a_priori": model.exposure * model.rate(),
            "ultimate": ultimate,
            "unpaid": ultimate - paid,
        },
        schema_overrides={"origin": pl.Date},
    ).with_columns(**interval_columns(paid + unpaid, level))
    total = unpaid.sum(axis=1) + paid.sum()
    ends = {n: float(v[0]) for n, v in interval_columns(total[:, None], level).items()}
    facts = {
        "paid": float(paid.sum()),
        "ultimate": float(ultimate.sum()),
        "unpaid": float(ultimate.sum() - paid.sum()),
        **ends,
        "level": level,
        "dispersion": model.dispersion,
        "between": model.between,
        "weighting": weighting,
        "valuation": triangle.valuation.isoformat(),
        "latest_complete": float(model.share()[-1]),
        "currency": triangle.basis.currency,
        "grain": triangle.grain,
        "draws": draws,
        "seed": seed,
    }
    return Completion(
        table=table,
        basis=noted(triangle, seen, dispersion),
        facts=facts,
        frames={
            "pattern": _pattern(model, drawn, level),
            "fan": drawn_fans(
                model,
                seen.origins,
                (drawn, due, unpaid),
                ultimate,
                rng,
                partial(interval_columns, level=level),
            ),
        },
        details={"axis": seen.axis.written(), "coefficients": model.coefficients.tolist()},
    )


def history(
    triangle: Triangle,
    exposure: pl.DataFrame,
    *,
    lags: int = LAGS,
    recent: int | None = None,
    seasonality: Seasonality = "none",
    breaks: Sequence[date] | Mapping[date, BreakKind] = (),
    dispersion: float | None = None,
    tail: float = 1.0,
) -> History:
    """Fit emergence to a triangle and its exposure; parameters as :func:`complete` takes them.

    Examples
    --------
    >>> from pricing.reserving.triangle import claim_triangle
    >>> paid = pl.DataFrame({"incurred": [date(2023, 1, 5), date(2023, 2, 5), date(2023, 3, 5)],
    ...                      "paid": [date(2023, 1, 9), date(2023, 2, 9), date(2023, 3, 9)], "amount": 10.0})
    >>> triangle = claim_triangle(paid, valuation=date(2023, 3, 31))
    >>> exposure = pl.DataFrame({"origin": triangle.origins, "exposure": [1.0, 1.0, 1.0]})
    >>> history(triangle, exposure).model.complete.tolist()
    [1.0, 1.0, 1.0]
    """
    if not _is_count(lags):
        raise InputError(f"{lags} lags cannot be told apart", do="ask for 1 or more")
    if recent is not None and not _is_count(recent):
        raise InputError(f"{recent} recent origins hold no factor", do="ask for 1 or more")
    if seasonality not in get_args(Seasonality):
        choices = get_args(Seasonality)
        raise InputError(f"no seasonality {seasonality!r}{nearest(str(seasonality), choices)}")
    behind = exposure_behind(triangle, exposure)
    whole = np.nan_to_num(triangle.incremental())
    first = int(np.flatnonzero(behind > 0)[0])
    before = float(np.abs(whole[:first]).sum())
    if before:
        raise InputError(
            f"{before:,.2f} were paid on origins before {triangle.origins[first]}, the first with "
            "exposure",
            do="give the exposure of all origins, or a triangle that starts there",
        )
    behind, whole = behind[first:], whole[first:]
    size = min(lags, whole.shape[0])
    increments = np.column_stack([whole[:, : size - 1], whole[:, size - 1 :].sum(axis=1)])
    origins = triangle.origins[first:]
    if not whole.sum() > 0:
        raise InputError("nothing above zero was paid", do="check the valuation and the filters")
    _require_lags(whole, size, recent)
    axis = TimeAxis(triangle.grain, 0.0, seasonality, read_breaks(breaks))
    off = [str(day) for day, _ in axis.breaks if day not in origins[1:]]
    if off:
        raise InputError(
            f"breaks that are no first day of a {triangle.grain} after the first, up to the last",
            faults=off,
            do=f"give days from {origins[min(1, len(origins) - 1)]} to {origins[-1]}",
        )
    middles = np.array([axis.middle(day) for day in origins])
    axis = replace(axis, centre=float(np.average(middles, weights=behind)))
    design = axis.columns(origins)
    time = [i for i, n in enumerate(axis.names) if n.startswith(("trend", "level_break"))]
    some = behind > 0
    count = int(some.sum())
    if count < SHORT and seasonality == "none" and not breaks:
        design, time = design[:, :1], []  # too short for a trend: a level, and it is said
    elif count < design.shape[1] + 2:
        raise InputError(
            f"{count} periods cannot tell {design.shape[1]} terms of the rate apart",
            do="leave out the season or the breaks, or give a longer history",
        )
    else:
        covered = [day for day, there in zip(origins, some, strict=True) if there]
        require_columns(axis, design[some], covered)
    squares = float(triangle.table["amount_squared"].sum()) / float(whole.sum())
    model = emergence(
        increments,
        behind,
        design,
        dispersion=squares if dispersion is None else dispersion,
        tail=tail,
        recent=recent,
        time=tuple(time),
    )
    return History(model, axis, origins, first)


def require_simulation(level: float, draws: int, seed: int) -> None:
    """Refuse a confidence level, a number of draws or a seed that gives no interval.

    Examples
    --------
    >>> require_simulation(0.95, 10, 1)
    Traceback (most recent call last):
    pricing.errors.InputError: 10 draws give no interval
      do: ask for 1,000 or more
    """
    if not isinstance(level, int | float) or not 0 < level < 1:
        raise InputError(f"the confidence level must lie between 0 and 1, got {level!r}")
    if not _is_count(draws) or draws < 100:
        raise InputError(f"{draws} draws give no interval", do="ask for 1,000 or more")
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise InputError(f"{seed!r} is no seed", where="seed", do="give a whole number, 0 or more")


def interval_columns(draws: Floats, level: float) -> dict[str, pl.Series]:
    """Spread, 80 % and other interval of draws (rows) of several quantities (columns).

    Examples
    --------
    >>> found = interval_columns(np.arange(1001.0)[:, None], 0.95)
    >>> {name: round(float(value[0])) for name, value in found.items() if name != "std_error"}
    {'lower_80': 100, 'upper_80': 900, 'lower': 25, 'upper': 975}
    """
    with np.errstate(all="ignore"):
        spread = draws.std(axis=0, ddof=1)
    if not np.isfinite(spread).all():
        lost = int((~np.isfinite(draws)).any(axis=1).sum())
        raise InputError(
            f"{lost:,} of {len(draws):,} draws come to no figure: nothing may be paid at some lag"
            if lost
            else "the draws run beyond all bounds: the history tells next to nothing of the trend",
            do="give a longer history or experience period, or a coarser grain",
        )
    ends = np.quantile(draws, [0.1, 0.9, (1 - level) / 2, (1 + level) / 2], axis=0)
    names = ("lower_80", "upper_80", "lower", "upper")
    return {
        "std_error": pl.Series(spread),
        **{name: pl.Series(end) for name, end in zip(names, ends, strict=True)},
    }


def noted(triangle: Triangle, seen: History, dispersion: float | None) -> Basis:
    """The basis of a completion: what was assumed, in words."""
    model = seen.model
    notes = [
        f"claims known to {triangle.valuation}",
        f"compound Poisson with dispersion {model.dispersion:,.4g} at the last period's money"
        + ("" if dispersion is not None else ", taken from payments"),
        f"variation between periods beyond chance: {model.between**0.5:.2%}",
    ]
    if model.tail != 1:
        notes.append(f"tail factor {model.tail:g}")
    if not model.time:
        notes.append("too short a history for a trend: none is assumed, nor any error of it")
    return replace(triangle.basis, notes=(*triangle.basis.notes, *notes))


def _pattern(model: Emergence, drawn: Drawn, level: float) -> pl.DataFrame:
    found = interval_columns(drawn.complete, level)
    return pl.DataFrame(
        {
            "lag": np.arange(model.complete.size),
            "paid_in_lag": np.diff(model.complete, prepend=0.0),
            "complete": model.complete,
            **{name: found[name] for name in ("std_error", "lower", "upper")},
        }
    )


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _require_lags(whole: Floats, size: int, recent: int | None) -> None:
    """Refuse lags that end before the claims do: older origins would count as complete too early."""
    if size == whole.shape[0]:
        return
    found = float(completed_share(whole[None], recent=recent)[0, size - 1])
    if np.isfinite(found) and abs(1 - found) > LATE:
        raise InputError(
            f"{1 - found:.1%} of the claims are paid after lag {size - 1}, the last one told apart, "
            "and would count as paid by it",
            do=f"ask for more lags, up to {whole.shape[0]}",
        )
