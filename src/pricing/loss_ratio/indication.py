"""Indicated rate change: from the claims paid to the premium needed, with an honest interval."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl
from numpy.typing import NDArray

from pricing.errors import InputError
from pricing.estimate.time_axis import BreakKind, Seasonality
from pricing.loss_ratio.complement import Complement, Credibility, credibility_of
from pricing.loss_ratio.large_charge import LargeCharge
from pricing.loss_ratio.permissible import Permissible
from pricing.loss_ratio.projection import SOURCES, Projection, Uncertain
from pricing.loss_ratio.rating_period import rating_period
from pricing.loss_ratio.segments import Segments, premium_cells, segments_of
from pricing.loss_ratio.tornado import Tornado, tornado_table
from pricing.reserving.completion import (
    LAGS,
    History,
    history,
    interval_columns,
    require_simulation,
)
from pricing.reserving.triangle import Triangle
from pricing.result.figure import interval_figure
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, say

__all__ = ["Indication", "indicate"]

Floats = NDArray[np.float64]
WHOLE = "whole book"
ENDS = ("std_error", "lower_80", "upper_80", "lower", "upper")


class Indication(Result):
    """Indicated rate change in total and by segment, with its interval and where that comes from."""

    kind = "indication"

    def finding(self, lang: Language = "en") -> str:
        """Say the indicated change, its interval, and which uncertainty matters most."""
        name = label(str(self.facts["largest"]), lang)
        facts = {**self.facts, "largest": name[:1].lower() + name[1:]}
        return say("finding.indication", lang, **facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the indicated change with its interval, in total and by segment."""
        t = self.table
        figure = interval_figure(
            t["segment"].to_list(),
            t["indicated_change"].to_list(),
            t["lower"].to_list(),
            t["upper"].to_list(),
            name="indicated_change",
            factor=str(self.facts["by"] or "segment"),
            lang=lang,
            reference=0.0,
            percent=True,
        )
        return figure

    @property
    def tornado(self) -> Tornado:
        """How far each source of error alone moves the indicated change, as a result of its own."""
        table = self.frames["sources"]
        facts = {
            "indicated_change": self.facts["indicated_change"],
            "largest": table["source"][0],
            "share": float(table["share"][0]),
            "lower_80": float(table["lower_80"][0]),
            "upper_80": float(table["upper_80"][0]),
        }
        return Tornado(table=table, basis=self.basis, facts=facts)


def indicate(
    triangle: Triangle,
    premium: pl.DataFrame,
    permissible: Permissible,
    *,
    effective: date,
    experience: tuple[date, date] | None = None,
    by: str | None = None,
    in_force_months: int = 12,
    term_months: int = 12,
    volume: float | None = None,
    lags: int = LAGS,
    recent: int | None = None,
    seasonality: Seasonality = "none",
    breaks: Sequence[date] | Mapping[date, BreakKind] = (),
    tail: float = 1.0,
    large: LargeCharge | None = None,
    complement: Complement | None = None,
    credibility: Credibility | float = "least_error",
    draws: int = 4000,
    seed: int = 1,
    level: float = 0.95,
) -> Indication:
    """Indicate the rate change that the claims call for, from payments to a premium.

    Experience period → premium at current level → completed → trended to the rating period → large
    claims pooled → credibility → permissible loss ratio → change, by segment and in total. The
    interval is that of the *outcome*: the change that will turn out to have been right once the
    rating period is over. It is simulated from the joint distribution of all the errors, because a
    completion factor that is too low bends the trend as well.

    Parameters
    ----------
    triangle : Triangle
        Payments of (capped) claims by origin month and lag, with the key ``by``.
    premium : polars.DataFrame
        ``period`` (first day), ``by``, ``premium_at_current_level``: earned premium at current level,
        as :func:`pricing.premium.on_level.on_level` gives it in ``.table``, zero or more, for every
        period from the first with premium to the valuation.
    permissible : Permissible
        From :func:`pricing.loss_ratio.permissible.permissible_loss_ratio`.
    effective : date
        First day on which policies are written at the new rates.
    experience : pair of dates, optional
        First day and day after the last of the months whose level counts; all where left out. Trend
        and pattern rest on the whole triangle.
    by : str, optional
        Segment: tier, region, health group.
    in_force_months, term_months : int
        How long the new rates stay, and the term of a policy.
    volume : float, optional
        Premium at current level of the rating period, for the chance in its claims. Left out: that of
        the last twelve months, for as long as the rates are in force.
    lags, recent, seasonality, breaks, tail
        As in :func:`pricing.reserving.completion.complete`.
    large : LargeCharge, optional
        From :func:`pricing.loss_ratio.large_charge.large_charge` on whole claims, with the cap the
        triangle's claims were cut at. Left out: claims are whole, and their dispersion is that of
        payments, which is too small where claims are paid in parts.
    complement : Complement, optional
        Named complement of the book's own loss ratio. Left out, the own experience has full weight.
    credibility : {"least_error", "limited_fluctuation"} or float
        How the own loss ratio is weighed against the complement.
    draws, seed : int
        Of the simulation.
    level : float
        Confidence of ``lower`` and ``upper``; the 80 % interval stands beside it.

    Returns
    -------
    Indication
        ``.table``: segment (the whole book first), premium_at_current_level, loss_ratio_own
        (projected, before credibility), credibility, loss_ratio (projected), permissible,
        indicated_change with std_error, lower_80, upper_80, lower, upper.
        ``.frames["steps"]``: segment, premium_at_current_level, and in currency paid, unpaid,
        trend, pooling, credibility_effect, projected_claims (their sum), required_premium, change
        (required − present). ``.frames["sources"]``: error by source. ``.frames["months"]``: month,
        premium, paid, complete, ultimate, loss ratio as fitted. ``.tornado``.

    Raises
    ------
    InputError
        For premium that lacks periods or segments, paid claims without premium, an experience period
        outside the triangle, an effective date before the valuation's experience, and as the parts.

    Notes
    -----
    With C_tj paid, e_t premium at current level, q_t share complete, r_t = exp(x_t'β) the trend line:

    - level λ = Σ_t C_t/r_t / Σ_t e_t q_t over the experience period: months count as far as they are
      complete (Cape Cod, Stanard 1985), so no immature month is grossed up alone;
    - projected loss ratio = λ · Σ_m w_m r_m · large charge, w_m the premium of the rating period
      earned in month m;
    - segments: own level over the book's, pooled towards 1 (no change against the book) by
      :func:`pricing.estimate.pooled_relativities.pooled_relativities`, then scaled to the book;
    - outcome: compound Poisson claims of the rating period on ``volume``, with the month-to-month
      variation the history shows.

    Premium volume, expenses and the discounts in force are taken as known. Werner and Modlin (2016),
    Basic Ratemaking, chapters 5 to 8 and 12; England and Verrall (2002) on the simulation.

    Examples
    --------
    >>> from pricing.loss_ratio.permissible import permissible_loss_ratio
    >>> from pricing.reserving.triangle import claim_triangle
    >>> days = [date(y, m, 3) for y in (2022, 2023) for m in range(1, 13) for _ in range(30)]
    >>> paid = pl.DataFrame({"incurred": days}).with_columns(
    ...     paid=pl.col("incurred").dt.offset_by("20d"), amount=pl.lit(100.0))
    >>> triangle = claim_triangle(paid, valuation=date(2023, 12, 31))
    >>> premium = pl.DataFrame({"period": triangle.origins, "premium_at_current_level": 4000.0})
    >>> found = indicate(triangle, premium, permissible_loss_ratio(commission=0.3),
    ...                  effective=date(2024, 1, 1), draws=500)
    >>> found.table.select(pl.col("loss_ratio", "indicated_change").round(4)).row(0)
    (0.75, 0.0714)
    >>> found.tornado.table["source"].to_list()[-1]
    'all'
    """
    require_simulation(level, draws, seed)
    if volume is not None and not (isinstance(volume, int | float) and 0 < volume < math.inf):
        raise InputError(f"the premium of the rating period must be above zero, got {volume!r}")
    frame = premium_cells(premium, by)
    total = frame.group_by("origin").agg(pl.col("exposure").sum())
    dispersion = None if large is None else large.capped_dispersion
    seen = history(
        triangle,
        total,
        lags=lags,
        recent=recent,
        seasonality=seasonality,
        breaks=breaks,
        dispersion=dispersion,
        tail=tail,
    )
    if not seen.model.time:
        raise InputError(
            f"{int((seen.model.exposure > 0).sum())} {triangle.grain}s with premium carry no trend, and a rate for "
            "years ahead cannot rest on none",
            do="give a longer history, or complete the claims alone (pricing.reserving.completion)",
        )
    charge = large or _no_charge(triangle, seen)
    projection = Projection(
        history=seen,
        kept=_kept(seen, experience),
        weights=_weights(seen, effective, in_force_months, term_months),
        large=charge,
    )
    rng = np.random.default_rng(seed)
    u = Uncertain(
        drawn=seen.model.draw(draws, rng),
        large=charge.factor * np.exp(charge.std_error * rng.standard_normal(draws)),
        complement=_complement_draws(complement, draws, rng),
    )
    if complement is not None:
        with np.errstate(over="ignore"):  # an error beyond all bounds has no weight
            own_error = float(projection.draws(u).std(ddof=1))
        weight = credibility_of(
            credibility,
            complement,
            own_error=own_error,
            claims=charge.claims,
            spread=charge.dispersion
            * charge.claims
            / (float(seen.model.paid.sum()) * charge.factor),
        )
        projection = replace(projection, credibility=weight, complement=complement.loss_ratio)
    own = replace(projection, credibility=1.0).at_estimate()
    ratio = projection.at_estimate()
    parts = segments_of(triangle, frame, projection, by, draws=draws, rng=rng)
    held = parts.premium
    book = _last_year(seen) * in_force_months / 12 if volume is None else volume
    expected = projection.draws(u)
    outcome = _outcome(
        projection, expected[:, None] * parts.pooled.draws, book * held / held.sum(), rng
    )
    in_all = outcome @ held / held.sum()
    ratios = np.concatenate([[ratio], ratio * parts.pooled.mean])
    drawn = np.column_stack([in_all, outcome])
    names = [WHOLE, *parts.names]
    shown = slice(None) if by else slice(1)
    table = pl.DataFrame(
        {
            "segment": names,
            "premium_at_current_level": [float(held.sum()), *held],
            "loss_ratio_own": [own, *(own * parts.own)],
            "credibility": [projection.credibility, *parts.pooled.credibility],
            "loss_ratio": ratios,
            "permissible": [permissible.loss_ratio] * len(names),
            "indicated_change": [permissible.required(r) - 1 for r in ratios],
            **interval_columns(_change(permissible, drawn), level),
        }
    )[shown]
    errs = {"pooling": charge.std_error > 0, "credibility": complement is not None}
    only = {n: projection.draws(u, only=n) for n in SOURCES[:-1] if errs.get(n, True)}
    chance = _outcome(projection, np.full((draws, 1), ratio), np.array([book]), rng)[:, 0]
    sources = tornado_table(
        {
            name: _change(permissible, values)
            for name, values in {**only, "process": chance, "all": in_all}.items()
        },
        level,
    )
    change = permissible.required(ratio) - 1
    facts: dict[str, Any] = {
        "by": by,
        "indicated_change": change,
        **{n: float(table[n][0]) for n in ENDS},
        "level": level,
        "loss_ratio": ratio,
        "loss_ratio_own": own,
        "permissible": permissible.loss_ratio,
        "credibility": projection.credibility,
        "complement": None if complement is None else complement.name,
        "effective": effective.isoformat(),
        "valuation": triangle.valuation.isoformat(),
        "premium_at_current_level": float(held.sum()),
        "above_zero": float((_change(permissible, in_all) > 0).mean()),
        "largest": sources.filter(pl.col("source") != "all")["source"][0],
        "currency": triangle.basis.currency,
        "draws": draws,
        "seed": seed,
    }
    return Indication(
        table=table,
        basis=_basis(triangle, seen, complement, experience, large),
        facts=facts,
        frames={
            "steps": _steps(projection, parts, ratios[1:], permissible)[shown],
            "sources": sources,
            "months": _months(seen),
            "rating_period": pl.DataFrame(
                {"month": list(projection.weights), "share": list(projection.weights.values())}
            ),
        },
        details={"axis": seen.axis.written(), "coefficients": seen.model.coefficients.tolist()},
    )


def _change(permissible: Permissible, ratio: Floats) -> Floats:
    return permissible.required(ratio) - 1


def _no_charge(triangle: Triangle, seen: History) -> LargeCharge:
    """No claim is cut: the dispersion of what was paid."""
    spread = float(triangle.table["amount_squared"].sum()) / float(seen.model.paid.sum())
    return LargeCharge(math.inf, 1.0, 0.0, spread, spread, int(triangle.table["payments"].sum()), 0)


def _kept(seen: History, experience: tuple[date, date] | None) -> NDArray[np.bool_]:
    if experience is None:
        return np.ones(len(seen.origins), dtype=np.bool_)
    if len(experience) != 2 or any(type(day) is not date for day in experience):
        raise InputError(
            f"the experience period {experience!r} is not a pair of dates",
            do="give its first day and the day after its last",
        )
    start, end = experience
    if not start < end:
        raise InputError(f"the experience period ends on {end}, not after its start {start}")
    kept = np.array([start <= day < end for day in seen.origins])
    if not kept.any():
        raise InputError(
            f"no period from {start} to before {end} has claims and premium",
            where="experience",
            do=f"choose within {seen.origins[0]} to {seen.origins[-1]}",
        )
    if not (seen.model.exposure * seen.model.share())[kept].sum() > 0:
        raise InputError(
            f"nothing can be known of {start} to before {end}: no premium, or no claim is paid so soon",
            where="experience",
            do="lengthen the experience period",
        )
    return kept


def _weights(
    seen: History, effective: date, in_force_months: int, term_months: int
) -> dict[date, float]:
    """The rating period by month, whatever the triangle's periods."""
    months = rating_period(effective, in_force_months=in_force_months, term_months=term_months)
    if effective <= seen.origins[0]:
        raise InputError(
            f"new rates from {effective} lie before the experience, which starts on {seen.origins[0]}"
        )
    return months


def _complement_draws(
    complement: Complement | None, draws: int, rng: np.random.Generator
) -> Floats:
    if complement is None:
        return np.zeros(draws)
    relative = complement.std_error / complement.loss_ratio
    spread = math.sqrt(math.log1p(relative**2))
    normal = rng.standard_normal(draws)
    found: Floats = complement.loss_ratio * np.exp(spread * normal - spread**2 / 2)
    return found


def _last_year(seen: History) -> float:
    """Premium at current level of the last twelve months, annualised where there are fewer."""
    periods = {"month": 12, "quarter": 4, "year": 1}[seen.axis.period]
    last = seen.model.exposure[-periods:]
    if not last.sum() > 0:
        raise InputError(
            "no premium in the last twelve months says how large the rating period will be",
            do="give volume=, the premium of the rating period",
        )
    return float(last.sum()) * periods / last.size


def _outcome(
    projection: Projection, expected: Floats, volume: Floats, rng: np.random.Generator
) -> Floats:
    """Loss ratios as they turn out, draws × segments: compound Poisson claims on the volume.

    The dispersion is that of whole claims at the prices of the rating period; what moves the months
    of the history beyond chance moves those of the rating period, all segments alike.
    """
    model, large = projection.history.model, projection.large
    scale = model.dispersion * large.dispersion / large.capped_dispersion * projection.growth()
    shares = np.array(list(projection.weights.values()))
    common = model.between * float((shares**2).sum())
    if common > 0:
        expected = expected * rng.gamma(1 / common, common, size=(expected.shape[0], 1))
    claims = rng.standard_gamma(np.maximum(expected * volume, 0.0) / scale) * scale
    found: Floats = claims / volume
    return found


def _steps(
    projection: Projection, parts: Segments, ratios: Floats, permissible: Permissible
) -> pl.DataFrame:
    """From what was paid to the premium that is needed, in money, step by step; they add up."""
    own = parts.level * projection.future(projection.history.model.coefficients)
    whole = own * parts.premium * projection.large.factor
    frame = pl.DataFrame(
        {
            "segment": parts.names,
            "premium_at_current_level": parts.premium,
            "paid": parts.paid,
            "unpaid": parts.unpaid,
            "trend": own * parts.premium - parts.paid - parts.unpaid,
            "pooling": own * parts.premium * (projection.large.factor - 1),
            "credibility_effect": ratios * parts.premium - whole,
            "projected_claims": ratios * parts.premium,
            "required_premium": permissible.required(ratios) * parts.premium,
        }
    ).with_columns(change=pl.col("required_premium") - pl.col("premium_at_current_level"))
    total = frame.select(pl.lit(WHOLE).alias("segment"), pl.exclude("segment").sum())
    return pl.concat([total, frame])


def _months(seen: History) -> pl.DataFrame:
    model = seen.model
    due = model.exposure * model.share()
    ratio = np.divide(model.paid, due, out=np.full(due.size, np.nan), where=due > 0)
    return pl.DataFrame(
        {
            "month": list(seen.origins),
            "premium_at_current_level": model.exposure,
            "paid": model.paid,
            "complete": model.share(),
            "loss_ratio": ratio,
            "fitted": model.rate(),
        }
    ).with_columns(pl.col("loss_ratio").fill_nan(None))


def _basis(
    triangle: Triangle,
    seen: History,
    complement: Complement | None,
    experience: tuple[date, date] | None,
    large: LargeCharge | None,
) -> Basis:
    model = seen.model
    said = f"{experience[0]} to {experience[1]} (not included)" if experience else "all months"
    notes = [
        f"claims known to {triangle.valuation}; level from {said}",
        "pattern: volume-weighted factors"
        + ("" if model.recent is None else f" of the latest {model.recent} origins"),
        f"month-to-month variation beyond chance: {model.between**0.5:.2%}",
        "premium volume, expenses and the discounts in force are taken as known",
    ]
    if complement is None:
        notes.append("no complement: the own experience has full weight")
    else:
        notes.append(
            f"complement: {complement.name}, {complement.loss_ratio:.4f} ± {complement.std_error:.4f}"
        )
    if large is None:
        notes.append("dispersion taken from payments")
    elif large.large:
        notes.append(
            f"claims cut at {large.cap:,.6g}; excess charged by the factor {large.factor:.4f}"
        )
    return replace(triangle.basis, notes=(*triangle.basis.notes, *notes))
