"""Discrete-time hazards: the probability of leaving in a period among those at risk at its start.

Persons times periods as cells: lives at risk and leavers by duration and factors, from counts of entries
and exits, so nothing is exploded. With the link ln(−ln(1 − h)) coefficients are those of proportional
hazards in continuous time; with the logit they are log odds (Cox 1972, Journal of the Royal Statistical
Society B 34, section 6; Prentice and Gloeckler 1978, Biometrics 34; Allison 1982, Sociological
Methodology 13).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Literal

import numpy as np
import polars as pl

from pricing.errors import InputError
from pricing.estimate.constraints import Direction
from pricing.estimate.response import Response
from pricing.experience.cells import Experience
from pricing.experience.domain import listed
from pricing.experience.engines import AnyFrame
from pricing.result.shape import Basis
from pricing.survival.follow_up import follow_up
from pricing.survival.hazard_model import Bounds, HazardErrors, HazardModel, fit_on_cells
from pricing.survival.piecewise import own_names, piece_cells, require_keys

__all__ = ["DiscreteHazard", "DiscreteOdds", "discrete_cells", "fit_discrete_hazard"]

DURATION, NUMBER = "duration_band", "duration_number"
Link = Literal["logit", "cloglog"]
Partial = Literal["refuse", "leave_out"]
NEAR = 1e-9  # of a period: what a division leaves of a whole number
MOST_PERIODS = 10_000
# every life at risk in a period is one trial: its exposure is one
RESPONSE = Response(
    "exit", "exposure", "claims", "claims", "claims", "exposure", "claims",
    event="event", unit="periods at risk",
)  # fmt: skip


class DiscreteHazard(HazardModel):
    """A discrete-time hazard with the complementary log-log link: ratios are hazard ratios."""

    kind = "discrete_hazard"

    def survival(self, patterns: pl.DataFrame | None = None) -> pl.DataFrame:
        """Give survival at the end of each period, by pattern of the factors but duration.

        S(k) = Π(1 − h_j); interval of ln(−ln S) by the delta method.

        Parameters
        ----------
        patterns : polars.DataFrame, optional
            The model's factors but those of duration; base levels and means where left out.

        Returns
        -------
        polars.DataFrame
            Patterns, time (periods), survival, lower, upper.
        """
        if patterns is None:
            own = self.details["base"] | self.details["means"]
            patterns = pl.DataFrame([{n: v for n, v in own.items() if n not in (DURATION, NUMBER)}])
        many = int(self.details["periods"])
        number = np.arange(1, many + 1)
        bands = self.details["bands"]
        named = _band(number, bands).cast(pl.String)
        pieces = pl.DataFrame({DURATION: named, NUMBER: number, "time": number.astype(np.float64)})
        known = self.details["levels"].get(DURATION)
        if known is not None:
            gap = [one for one in named.unique(maintain_order=True) if one not in known]
            if gap:
                raise InputError(f"nobody is at risk in {gap}: survival is not known there", do="take wider bands")  # fmt: skip
        return self.follow(patterns, pieces, np.ones(many))


class DiscreteOdds(DiscreteHazard):
    """A discrete-time hazard with the logit link: ratios are odds ratios of leaving in a period."""

    kind = "discrete_odds"
    ratio = "odds_ratio_exit"


def discrete_cells(
    frame: AnyFrame,
    by: Sequence[str] = (),
    *,
    period: float = 1.0,
    bands: Sequence[int] | None = None,
    partial: Partial = "refuse",
    exit: str = "exit",
    event: str = "event",
    entry: str | None = None,
    weight: str | None = None,
    basis: Basis | None = None,
) -> Experience:
    """Count lives at risk and leaving by period of duration and factors, such as month of cover.

    Parameters
    ----------
    frame : frame of any engine
        One row per life or spell, or cells of lives.
    by : sequence of str
        Factors and covariates.
    period : float
        Length of a period in the unit of ``exit``: 1 where times are whole months and periods
        months, 12 for policy years. Period k runs from (k − 1)·period, not counted, to k·period.
    bands : sequence of int, optional
        First periods of bands of duration above 1, such as ``[13, 25]`` for policy years; every period its own
        level where left out.
    partial : {"refuse", "leave_out"}
        What becomes of a period that a life is observed in only for a part: entered after its
        start, or censored before its end. Left out, it is no trial, and the basis says how many; an
        event before the end of its period is a whole one.
    exit, event, entry, weight : str
        As :func:`pricing.survival.follow_up.follow_up` takes them.
    basis : Basis, optional
        Source, filters.

    Returns
    -------
    Experience
        Keys ``duration_band`` (factor), ``duration_number`` (1, 2, ...) and ``by``; exposure is
        lives at risk at the start of the period, claims those who leave in it. It adds.

    Raises
    ------
    InputError
        For lives that cannot be followed, parts of periods, and periods that cannot be.

    Examples
    --------
    >>> rows = pl.DataFrame({"exit": [1, 2, 2, 3], "event": [1, 1, 0, 0]})
    >>> discrete_cells(rows).cells.select("duration_number", "exposure", "claims").rows()
    [(1, 4.0, 1.0), (2, 3.0, 1.0), (3, 1.0, 0.0)]
    """
    keys = listed(by)
    require_keys(keys, (DURATION, NUMBER))
    if partial not in ("refuse", "leave_out"):
        raise InputError(f"partial={partial!r} is not offered: refuse or leave_out")
    if not (isinstance(period, int | float | np.number) and np.isfinite(period) and period > 0):
        raise InputError(f"a period is a length above 0, got {period!r}")
    lives = follow_up(frame, keys, exit=exit, event=event, entry=entry, weight=weight)
    lives, inner = own_names(lives, keys)
    counted, parts = _periods(lives, float(period))
    if parts["lives"].sum() > 0 and partial == "refuse":
        raise InputError(
            f"{parts['lives'].sum():,.0f} periods of {lives['lives'].sum():,.0f} lives are observed only in part: "
            f"{parts.filter('late')['lives'].sum():,.0f} entered after their start, "
            f"{parts.filter('cut')['lives'].sum():,.0f} censored before their end",
            do="round entries up and ends of observation down to whole periods, or say "
            'partial="leave_out"',
        )
    at_risk = _at_risk(counted, list(inner))
    many = int(at_risk[NUMBER].max())  # type: ignore[arg-type]
    _require_bands(bands)
    pieces = at_risk.with_columns(_band(at_risk[NUMBER], bands, many).alias(DURATION))
    cells = piece_cells(pieces, [DURATION, NUMBER, *inner]).rename(inner)
    lost = float(parts["lives"].sum())
    own = basis or Basis(currency="")
    notes = [f"a period is {period:g} units of time"]
    if lost:
        gone = float(parts.filter("event")["lives"].sum())
        notes.append(f"{lost:,.0f} periods observed in part are no trials; {gone:,.0f} of them had an event")  # fmt: skip
    own = replace(own, notes=(*own.notes, *notes))
    return Experience._of(cells, (DURATION, NUMBER, *keys), own)


def _periods(lives: pl.DataFrame, period: float) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Number the first and last whole period of every cell, and find the periods seen in part."""
    a, t = pl.col("entry") / period, pl.col("exit") / period
    near_a, near_t = a.round(), t.round()
    first = pl.when((a - near_a).abs() < NEAR * a.clip(1.0)).then(near_a).otherwise(a.ceil()) + 1
    whole = (t - near_t).abs() < NEAR * t.clip(1.0)
    ends = pl.when(whole).then(near_t).otherwise(t.ceil())  # the period that holds the exit
    last = pl.when(pl.col("event") | whole).then(ends).otherwise(ends - 1)
    counted = lives.with_columns(first=first.cast(pl.Int64), ends=ends.cast(pl.Int64), last=last.cast(pl.Int64), whole=whole)  # fmt: skip
    most = int(counted["ends"].max())  # type: ignore[arg-type]
    if most > MOST_PERIODS:
        raise InputError(
            f"{most:,} periods are more than the {MOST_PERIODS:,} that can be told",
            do="give the length of a period in the unit of the times: period=30.4375 for months of days",
        )
    late = (a - near_a).abs() >= NEAR * a.clip(1.0)
    cut = ~pl.col("event") & ~pl.col("whole")
    same = pl.col("first") > pl.col("ends")  # entered and left within one period: it is one part
    parts = pl.concat(
        [
            counted.filter(late).select("lives", event=pl.col("event") & same, late=True, cut=False),
            counted.filter(cut & ~(late & same)).select("lives", event=pl.lit(False), late=False, cut=True),
        ]
    )  # fmt: skip
    return counted.filter(pl.col("last") >= pl.col("first")), parts


def _at_risk(counted: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """Lives at risk and leaving by period: entries less exits, added up along duration."""
    if counted.is_empty():
        raise InputError("no life is observed for a whole period", do="take shorter periods")
    come = counted.select(*keys, "lives", at="first", n=0.0)
    gone = counted.select(*keys, lives=-pl.col("lives"), at=pl.col("last") + 1, n=0.0)
    left = counted.filter("event").select(*keys, at="last", lives=0.0, n="lives")
    moves = (
        pl.concat([f.select(*keys, "at", "lives", "n") for f in (come, gone, left)])
        .group_by(*keys, "at", maintain_order=True)
        .agg(pl.col("lives", "n").sum())
        .sort(*keys, "at")
    )
    run = pl.col("lives").cum_sum()
    moves = moves.with_columns(
        risk=run.over(keys) if keys else run,
        until=(pl.col("at").shift(-1).over(keys) if keys else pl.col("at").shift(-1)),
    )
    dust = 1e-12 * float(counted["lives"].sum())  # what sums of fractions leave
    # between two moves nothing changes: the periods there have the same lives
    held = moves.filter(pl.col("risk") > dust, pl.col("until").is_not_null())
    told = held.with_columns(number=pl.int_ranges("at", "until")).explode("number")
    return told.select(
        pl.col("number").alias(NUMBER), *keys, lives="risk", e=pl.lit(1.0),
        n=pl.when(pl.col("number") == pl.col("at")).then("n").otherwise(0.0),
    )  # fmt: skip


def _band(
    number: pl.Series | np.ndarray, bands: Sequence[int] | None, many: int | None = None
) -> pl.Series:
    values = np.asarray(number)
    if bands is None:
        levels = [str(k) for k in range(1, (many or int(values.max())) + 1)]
        return pl.Series(DURATION, [levels[k - 1] for k in values], dtype=pl.Enum(levels))
    starts = [1, *bands]
    levels = [f"{a}-{b - 1}" if b - 1 > a else str(a) for a, b in pairwise(starts)] + [f"{starts[-1]}+"]  # fmt: skip
    place = np.searchsorted(starts, values, side="right") - 1
    return pl.Series(DURATION, levels).gather(place).cast(pl.Enum(levels))


def _require_bands(bands: Sequence[int] | None) -> None:
    if bands is None:
        return
    whole = all(isinstance(b, int | np.integer) for b in bands)
    if not whole or not bands or not all(a < b for a, b in pairwise([1, *bands])):
        raise InputError(
            f"bands of duration begin with whole periods above 1, rising, got {list(bands)}",
            do="write policy years in months as [13, 25, 37]",
        )


def fit_discrete_hazard(
    cells: Experience,
    formula: str = DURATION,
    *,
    link: Link = "cloglog",
    base: Mapping[str, str] | None = None,
    level: float = 0.95,
    errors: HazardErrors = "model",
    monotone: Mapping[str, Direction] | None = None,
    bounds: Bounds | None = None,
) -> DiscreteHazard:
    """Fit a discrete-time hazard, such as of lapse by month: binomial on lives at risk.

    Parameters
    ----------
    cells : Experience
        Of :func:`discrete_cells`.
    formula : str
        ``"duration_band + channel"``; ``"ns(duration_number, 4) + channel"`` smooths over duration.
    link : {"cloglog", "logit"}
        Hazard ratios, whatever the length of a period; or odds ratios.
    base : mapping of str to str, optional
        Base level by factor; else the level with most lives at risk.
    level : float
        Of the intervals.
    errors : {"model", "robust"}
        From the likelihood, or the sandwich over lives and periods.
    monotone, bounds : mapping
        As :func:`pricing.survival.piecewise.fit_hazard` takes them.

    Returns
    -------
    DiscreteHazard or DiscreteOdds

    Raises
    ------
    InputError
        For cells without duration, terms that are not keys, levels that nobody or everybody leaves.

    Notes
    -----
    D ~ Binomial(lives at risk, h), g(h) = x'β.

    Examples
    --------
    >>> rows = pl.DataFrame({"exit": [1, 1, 2, 2, 3, 3], "event": [1, 0, 1, 0, 1, 0]})
    >>> found = fit_discrete_hazard(discrete_cells(rows), "duration_band", link="logit")
    >>> found.survival()["survival"].round(6).to_list()  # 5/6, 3/4, 1/2
    [0.833333, 0.625, 0.3125]
    """
    if link not in ("cloglog", "logit"):
        raise InputError(f"link={link!r} is not offered: cloglog or logit")
    if DURATION not in cells.factors or NUMBER not in cells.keys:
        raise InputError(f"the cells have no {DURATION!r} and {NUMBER!r}", do="make them with discrete_cells")  # fmt: skip
    labels = cells.levels(DURATION)
    bands = None
    if labels[-1].endswith("+"):
        bands = [int(one.partition("-")[0].removesuffix("+")) for one in labels[1:]]
    kind = DiscreteHazard if link == "cloglog" else DiscreteOdds
    return fit_on_cells(
        kind, cells, formula, link, RESPONSE, base=base, level=level, errors=errors,
        monotone=monotone, bounds=bounds,
        details={"bands": bands, "periods": int(cells.values(NUMBER).max())},
        facts={"periods": int(cells.values(NUMBER).max())},
        notes=(f"discrete-time hazard, binomial on lives at risk, {link} link",),
    )  # fmt: skip
