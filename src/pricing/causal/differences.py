"""Differences in differences: those who join before and after, beside those who do not (yet).

Staggered start: group-time effects of Callaway and Sant'Anna (2021), Journal of Econometrics 225,
with controls not yet treated, added up over groups and times by the exposure of the treated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import narwhals.stable.v2 as nw
import numpy as np
import polars as pl

from pricing.causal.contrast import CausalEffect, Contrast, effect_of
from pricing.causal.nuisance import SURE
from pricing.causal.people import Codes, Flags, People, alike, covariates, require_apart
from pricing.causal.two_periods import Pair, Trend, contrast_of, joining_odds
from pricing.errors import InputError, nearest
from pricing.estimate.design import Floats
from pricing.experience.domain import listed, require_columns, require_numbers
from pricing.files import fingerprint
from pricing.result.shape import Basis
from pricing.survival.interval import normal_quantile

__all__ = [
    "Staggered", "before_and_after", "difference_in_differences", "staggered", "staggered_trends",
]  # fmt: skip

NEVER = np.iinfo(np.int64).max  # the year in which those join who do not


@dataclass(frozen=True)
class _Years:
    """A panel as arrays: who and when, the year of joining, and the cell of what is known."""

    person: Codes
    joined: Codes
    rate: Floats
    exposure: Floats
    cell: Codes
    known: pl.DataFrame
    lacking: Flags  # cells that lack a factor
    rows: dict[int, Codes]  # by year, in the panel's order
    places: dict[int, Codes]  # by year: the row of each person, -1 where there is none


@dataclass(frozen=True)
class _Both:
    """Rows of people seen in two years, and who of them joins."""

    before: Codes
    after: Codes
    weight: Floats
    treated: Flags
    person: Codes


@dataclass(frozen=True)
class Staggered:
    """Group-time effects and their sums.

    Attributes
    ----------
    effect : Contrast
        All years in the programme.
    lead : Contrast or None
        The years before joining, each against the one before it: nil if trends are alike. None
        where nobody is seen for two years before joining.
    table : polars.DataFrame
        By group and time.
    basis : Basis
        What the rows are.
    left_out : float
        Share of the joiners' exposure in groups and years too small for the factors.
    """

    effect: Contrast
    lead: Contrast | None
    table: pl.DataFrame
    basis: Basis
    left_out: float = 0.0


def difference_in_differences(
    rows: pl.DataFrame,
    *,
    treated: str,
    person: str,
    period: str,
    factors: Sequence[str] = (),
    outcome: str = "claims",
    exposure: str = "exposure",
    trend: Trend = "difference",
    level: float = 0.95,
    source: str = "",
) -> CausalEffect:
    """Effect on those who join, from person-years of two periods or more.

    Group-time effects: those whose first year in the programme is g, in year t ≥ g, against year
    g − 1, beside those not in it by t. Once in counts as in (leaving does not undo it). A person
    counts by the lesser exposure of the two years.

    Parameters
    ----------
    rows : polars.DataFrame
        One row per person and period.
    treated : str
        In the programme during the period.
    person, period : str
        Who and when; periods are whole numbers, such as the policy year.
    factors : sequence of str
        What is known in the year before joining.
    outcome, exposure : str
        Claims or amount, and policy-years.
    trend : {"difference", "ratio"}
        As in :func:`two_periods`.

    Returns
    -------
    CausalEffect
        One row; ``.frames["group_time"]``: joined_in, year_observed, years_since, effect on the rate and its interval,
        exposure of the treated, with years before joining as the test of the trend: their effect
        should be nil.

    Raises
    ------
    InputError
        For persons twice in a period, periods that are no whole numbers, nobody seen on both sides.

    Examples
    --------
    >>> rows = pl.DataFrame({"id": [1, 1, 2, 2, 3, 3, 4, 4], "year": [0, 1] * 4, "in": [0, 1] * 2 + [0, 0] * 2,
    ...     "claims": [4, 2, 2, 2, 4, 4, 2, 3], "exposure": [1.0] * 8})
    >>> found = difference_in_differences(rows, treated="in", person="id", period="year")
    >>> found.table["rate_difference"].round(6).to_list()
    [-1.5]
    """
    found = staggered(
        rows, treated=treated, person=person, period=period, factors=factors, outcome=outcome,
        exposure=exposure, trend=trend, level=level, source=source,
    )  # fmt: skip
    name = "doubly robust DiD" if trend == "difference" else "ratio DiD"
    notes = (
        "once in the programme counts as in it; controls: those not yet in",
        f"{found.left_out:.1%} of joiners' exposure is in groups and years too small for the factors",
        "without the programme both sides move by the same "
        + ("amount given the factors" if trend == "difference" else "factor given the factors"),
    )
    return effect_of(
        {(name, "att"): found.effect}, found.basis, level=level, outcome=outcome, notes=notes,
        frames={"group_time": found.table},
    )  # fmt: skip


def staggered(
    rows: pl.DataFrame,
    *,
    treated: str,
    person: str,
    period: str,
    factors: Sequence[str] = (),
    outcome: str = "claims",
    exposure: str = "exposure",
    trend: Trend = "difference",
    level: float = 0.95,
    source: str = "",
) -> Staggered:
    """Give the pooled contrast, that of the years before joining, and effects by group and time.

    Parameters and errors are those of :func:`difference_in_differences`.

    Examples
    --------
    >>> rows = pl.DataFrame({"id": [1, 1, 2, 2, 3, 3, 4, 4], "year": [0, 1] * 4, "in": [0, 1] * 2 + [0, 0] * 2,
    ...     "claims": [4, 2, 2, 2, 4, 4, 2, 3], "exposure": [1.0] * 8})
    >>> staggered(rows, treated="in", person="id", period="year").table["joined_in"].to_list()
    [1]
    """
    return staggered_trends(
        rows, trends=[trend], treated=treated, person=person, period=period, factors=factors,
        outcome=outcome, exposure=exposure, level=level, source=source,
    )[trend]  # fmt: skip


def staggered_trends(
    rows: pl.DataFrame,
    *,
    trends: Sequence[Trend],
    treated: str,
    person: str,
    period: str,
    factors: Sequence[str] = (),
    outcome: str = "claims",
    exposure: str = "exposure",
    level: float = 0.95,
    source: str = "",
) -> dict[Trend, Staggered]:
    """Give what :func:`staggered` does under several trends, which share who is compared with whom.

    Examples
    --------
    >>> rows = pl.DataFrame({"id": [1, 1, 2, 2, 3, 3, 4, 4], "year": [0, 1] * 4, "in": [0, 1] * 2 + [0, 0] * 2,
    ...     "claims": [4, 2, 2, 2, 4, 4, 2, 3], "exposure": [1.0] * 8})
    >>> found = staggered_trends(rows, trends=["difference", "ratio"], treated="in", person="id", period="year")
    >>> [round(one.effect.difference, 3) for one in found.values()]
    [-1.5, -1.5]
    """
    for trend in trends:
        if trend not in get_args(Trend):
            raise InputError(f"no trend {trend!r}{nearest(str(trend), get_args(Trend))}")
    factors = listed(factors)
    panel, basis = _panel(rows, treated, person, period, factors, outcome, exposure, source)
    seen = _years(panel, [f"x_{name}" for name in factors])
    sums = {trend: _Sums(int(seen.person.max()) + 1) for trend in trends}
    years = list(seen.rows)
    starts = [int(g) for g in np.unique(seen.joined) if years[0] < g < NEVER]
    z = normal_quantile(level)
    for g in starts:
        for t in years:
            base = g - 1 if t >= g else t - 1
            if base not in seen.rows or t == base or base < years[0]:
                continue
            both = _both(seen, base, t, g)
            for trend, found in _compared(seen, both, trends).items():
                sums[trend].add(g, t, both, found, z)
    return {trend: one.staggered(basis) for trend, one in sums.items()}


class _Sums:
    """Group-time effects under one trend, and their sums after joining and before."""

    def __init__(self, people: int) -> None:
        self.after, self.before, self.small = _Pool(people), _Pool(people), 0.0
        self.table: list[dict[str, Any]] = []

    def add(self, g: int, t: int, both: _Both, found: Contrast | None, z: float) -> None:
        inside = float(both.weight[both.treated].sum())
        if found is None:
            self.small += inside * (t >= g)
            return
        (self.after if t >= g else self.before).add(found, both)
        error = found.difference_error
        self.table.append({
            "joined_in": g, "year_observed": t, "years_since": t - g,
            "exposure": inside,
            "rate_inside": found.treated, "rate_difference": found.difference,
            "difference_lower": found.difference - z * error,
            "difference_upper": found.difference + z * error,
        })  # fmt: skip

    def staggered(self, basis: Basis) -> Staggered:
        if not self.after.exposure:
            raise InputError(
                "nobody is seen the year before joining and after, beside others not yet in",
                do="give rows of earlier years, and of people who join later or never",
            )
        lead = self.before.contrast() if self.before.exposure else None
        left = self.small / (self.small + self.after.exposure)
        return Staggered(self.after.contrast(), lead, pl.DataFrame(self.table), basis, left)


class _Pool:
    """Adds contrasts up by the exposure of their treated, influence by person."""

    def __init__(self, people: int) -> None:
        self.exposure, self.rates = 0.0, np.zeros(2)
        self.influence, self.weight = np.zeros((2, people)), np.zeros(people)

    def add(self, found: Contrast, both: _Both) -> None:
        at, own = both.person, both.weight * both.treated
        inside = float(own.sum())
        rates = np.array([found.treated, found.untreated])
        self.exposure += inside
        self.rates += inside * rates
        self.weight[at] += own
        influences = (found.treated_influence, found.untreated_influence)
        for k, (influence, rate) in enumerate(zip(influences, rates, strict=True)):
            self.influence[k, at] += inside * influence + own * rate

    def contrast(self) -> Contrast:
        rates = self.rates / self.exposure
        influence = (self.influence - rates[:, None] * self.weight) / self.exposure
        return Contrast(
            float(rates[0]),
            float(rates[1]),
            influence[0],
            influence[1],
            np.arange(len(self.weight)),
        )


def before_and_after(
    rows: pl.DataFrame,
    *,
    treated: str,
    person: str,
    period: str,
    outcome: str = "claims",
    exposure: str = "exposure",
) -> Contrast:
    """Compare those who join with themselves the year before: age and inflation pass for the effect.

    Examples
    --------
    >>> rows = pl.DataFrame({"id": [1, 1, 2, 2], "year": [0, 1] * 2, "in": [0, 1, 0, 0],
    ...     "claims": [4, 2, 2, 2], "exposure": [1.0] * 4})
    >>> before_and_after(rows, treated="in", person="id", period="year").ratio
    0.5
    """
    panel, _ = _panel(rows, treated, person, period, [], outcome, exposure, "")
    mine = panel.filter(pl.col("joined").is_not_null())
    after = mine.filter(pl.col("period") == pl.col("joined"))
    before = mine.filter(pl.col("period") == pl.col("joined") - 1)
    both = before.join(after, on="person", suffix="_after", maintain_order="left")
    w = both.select(pl.min_horizontal("exposure", "exposure_after")).to_series().to_numpy()
    if not len(w):
        raise InputError("nobody is seen the year before joining", do="give rows of earlier years")
    rates, influences = [], []
    for name in ("rate_after", "rate"):
        value = both[name].to_numpy()
        rate = float(w @ value / w.sum())
        rates.append(rate)
        influences.append(w * (value - rate) / w.sum())
    return Contrast(rates[0], rates[1], influences[0], influences[1], both["person"].to_numpy())


def _panel(
    rows: pl.DataFrame,
    treated: str,
    person: str,
    period: str,
    factors: Sequence[str],
    outcome: str,
    exposure: str,
    source: str,
) -> tuple[pl.DataFrame, Basis]:
    held = People.collect(
        rows, treated=treated, outcome=outcome, exposure=exposure, person=person, source=source
    )
    require_columns([period, *factors], rows.columns)
    require_apart(factors, treated, outcome, person)
    require_numbers(nw.from_native(rows.lazy()).collect_schema(), [period])
    if rows.select(person, period).is_duplicated().any():
        raise InputError(
            "a person is twice in a period", where=f"{person}, {period}",
            do="add the rows of a person and period first",
        )  # fmt: skip
    when = rows[period].cast(pl.Float64)
    if when.null_count() or not (when == when.round()).all():
        raise InputError("periods are whole numbers", where=period)
    panel = pl.DataFrame({
        "person": held.person, "period": when.cast(pl.Int64), "_in": held.treated,
        "rate": held.total / held.exposure, "exposure": held.exposure,
    }).with_columns(*(rows[name].alias(f"x_{name}") for name in factors))  # fmt: skip
    first = pl.when("_in").then("period").min().over("person")
    panel = panel.with_columns(joined=first)
    basis = Basis(
        source=source, rows=rows.height, exposure=float(held.exposure.sum()),
        claims=held.basis.claims,
        fingerprint=fingerprint(held.basis.fingerprint, period, *factors),
        notes=(f"outcome: {outcome}", "adjusted for: " + (", ".join(factors) or "nothing"),
               f"errors are clustered by {person}: {held.number:,}"),
    )  # fmt: skip
    return panel, basis


def _years(panel: pl.DataFrame, names: Sequence[str]) -> _Years:
    person, period = panel["person"].to_numpy(), panel["period"].to_numpy()
    cell, cells, _ = alike(panel, names)
    rows = {int(year): np.flatnonzero(period == year) for year in np.unique(period)}
    places = {}
    for year, at in rows.items():
        places[year] = np.full(int(person.max()) + 1, -1)
        places[year][person[at]] = at
    odd = [pl.all().is_null(), ~pl.selectors.float().is_finite().fill_null(False)]
    known = cells.select(names)
    lacking = known.select(pl.any_horizontal(*odd)).to_series() if names else pl.Series([False])
    return _Years(
        person, panel["joined"].fill_null(NEVER).to_numpy(), panel["rate"].to_numpy(),
        panel["exposure"].to_numpy(), cell, known, lacking.to_numpy(), rows, places,
    )  # fmt: skip


def _both(seen: _Years, base: int, year: int, joined: int) -> _Both:
    """People of group ``joined`` and people not in by either year, seen in both."""
    before = seen.rows[base]
    after = seen.places[year][seen.person[before]]
    when = seen.joined[before]
    kept = (after >= 0) & ((when == joined) | (when > max(base, year)))
    before, after = before[kept], after[kept]
    weight = np.minimum(seen.exposure[before], seen.exposure[after])
    return _Both(before, after, weight, when[kept] == joined, seen.person[before])


def _compared(
    seen: _Years, both: _Both, trends: Sequence[Trend]
) -> Mapping[Trend, Contrast | None]:
    """Contrast two years under each trend; None where there are too few for the factors."""
    nothing: dict[Trend, Contrast | None] = dict.fromkeys(trends)
    if not len(both.weight):
        return nothing
    x, cell = _known(seen, both)
    inside = both.treated
    if min(inside.sum(), (~inside).sum()) < 2 * x.shape[1]:
        return nothing
    pair = Pair(seen.rate[both.before], seen.rate[both.after], both.weight, inside, x, cell)
    usable = [t for t in trends if t == "difference" or pair.before[~inside].sum() > 0]
    try:
        odds = joining_odds(pair)
    except InputError as refused:
        if SURE in refused.problem:
            return nothing
        raise
    return nothing | {trend: contrast_of(pair, odds, trend) for trend in usable}


def _known(seen: _Years, both: _Both) -> tuple[Floats, Codes]:
    """Columns of what was known of the people before, by cell, and the cell of each."""
    if not seen.known.width:
        return np.ones((1, 1)), np.zeros(len(both.before), dtype=np.int64)
    cell = seen.cell[both.before]
    count = np.bincount(cell, minlength=seen.known.height)
    there = np.flatnonzero(count)
    known, count = seen.known[there], count[there]
    if lacking := int(count[seen.lacking[there]].sum()):
        raise InputError(
            f"{lacking:,} rows of the year before joining lack a factor",
            do="adjust for what is known of every year",
        )
    return covariates(known, known.columns, count)[0], np.searchsorted(there, cell)
