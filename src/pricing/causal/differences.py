"""Differences in differences: those who join before and after, beside those who do not (yet).

Two periods: the doubly robust estimator of Sant'Anna and Zhao (2020), Journal of Econometrics 219.
Staggered start: group-time effects of Callaway and Sant'Anna (2021), Journal of Econometrics 225,
with controls not yet treated, added up over groups and times by the exposure of the treated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import narwhals.stable.v2 as nw
import numpy as np
import polars as pl
from scipy.special import expit

from pricing.causal.contrast import CausalEffect, Contrast, effect_of
from pricing.causal.nuisance import SURE, propensity_fit
from pricing.causal.people import Flags, People, covariates, require_apart
from pricing.errors import InputError, nearest
from pricing.estimate.design import Floats
from pricing.experience.domain import listed, require_columns, require_numbers
from pricing.files import fingerprint
from pricing.result.shape import Basis
from pricing.survival.interval import normal_quantile

__all__ = [
    "Staggered", "Trend", "before_and_after", "difference_in_differences", "staggered", "two_periods",
]  # fmt: skip

Trend = Literal["difference", "ratio"]
LARGEST = 0.995  # propensity above which a person who did not join counts for too much


@dataclass(frozen=True)
class _Pair:
    """Before and after of the same people: rates, weight, who joins."""

    before: Floats
    after: Floats
    weight: Floats
    treated: Flags
    matrix: Floats


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


def two_periods(
    before: Floats,
    after: Floats,
    treated: Flags,
    *,
    matrix: Floats | None = None,
    weight: Floats | None = None,
    trend: Trend = "difference",
) -> Contrast:
    """Effect on those who join, from one year before and one after.

    Parameters
    ----------
    before, after : array
        Outcome per policy-year of each person in the two periods.
    treated : boolean array
        Joins between them.
    matrix : array, optional
        What is known before, with a constant; nothing where left out.
    weight : array, optional
        Policy-years behind each person.
    trend : {"difference", "ratio"}
        Without the programme both sides would have moved by the same amount given the factors
        (doubly robust), or by the same factor (weighted by the odds of joining only). Claims that
        grow by age and inflation move by a factor.

    Notes
    -----
    Difference: ΔY less its least-squares prediction from those who do not join, averaged over those
    who do and over the others at odds π/(1 − π); the influence function counts both models as
    estimated (Sant'Anna and Zhao 2020, eq. 3.1 and the traditional estimator of R's DRDID).
    The ratio's rate outside is P·N/B: P the joiners' rate before, N and B the others' weighted rates
    after and before.

    Examples
    --------
    >>> before, after = np.full(8, 100.0), np.array([50.0, 51.8] * 2 + [69.0, 69.6] * 2)
    >>> found = two_periods(before, after, np.arange(8) < 4)
    >>> round(found.difference, 6)
    -18.4
    """
    n = len(before)
    x = np.ones((n, 1)) if matrix is None else matrix
    w = np.ones(n) if weight is None else weight
    if trend not in get_args(Trend):
        raise InputError(f"no trend {trend!r}{nearest(str(trend), get_args(Trend))}")
    lengths = {len(before), len(after), len(treated), len(x), len(w)}
    if len(lengths) > 1:
        raise InputError(f"before, after, treated, matrix and weight differ in length: {lengths}")
    if not all(np.isfinite(v).all() for v in (before, after, x, w)) or (w < 0).any():
        raise InputError("outcomes, factors and weights are finite, weights zero or more")
    if treated.all() or not treated.any() or not (w[treated].sum() > 0 and w[~treated].sum() > 0):
        raise InputError("a comparison needs people of both sides", where="treated")
    pair = _Pair(before, after, w, treated, x)
    return _difference(pair) if trend == "difference" else _ratio(pair)


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
    z = normal_quantile(level)
    factors = listed(factors)
    panel, basis = _panel(rows, treated, person, period, factors, outcome, exposure, source)
    people = int(panel["person"].max()) + 1  # type: ignore[arg-type]
    years = sorted(panel["period"].unique().to_list())
    by_year = {year: panel.filter(pl.col("period") == year) for year in years}
    starts = sorted(g for g in panel["joined"].unique().to_list() if g is not None and g > years[0])
    table: list[dict[str, Any]] = []
    after, before, small = _Pool(people), _Pool(people), 0.0
    for g in starts:
        for t in years:
            base = g - 1 if t >= g else t - 1
            if base not in by_year or t == base or base < years[0]:
                continue
            both = _both(by_year[base], by_year[t], g, max(t, base))
            found = _one(both, factors, trend)
            inside = float(both["weight"].filter(both["in"]).sum())
            if found is None:
                small += inside * (t >= g)
                continue
            (after if t >= g else before).add(found, both)
            error = found.difference_error
            table.append({
                "joined_in": g, "year_observed": t, "years_since": t - g,
                "exposure": inside,
                "rate_inside": found.treated, "rate_difference": found.difference,
                "difference_lower": found.difference - z * error,
                "difference_upper": found.difference + z * error,
            })  # fmt: skip
    if not after.exposure:
        raise InputError(
            "nobody is seen the year before joining and after, beside others not yet in",
            do="give rows of earlier years, and of people who join later or never",
        )
    lead = before.contrast() if before.exposure else None
    left = small / (small + after.exposure)
    return Staggered(after.contrast(), lead, pl.DataFrame(table), basis, left)


class _Pool:
    """Adds contrasts up by the exposure of their treated, influence by person."""

    def __init__(self, people: int) -> None:
        self.exposure, self.rates = 0.0, np.zeros(2)
        self.influence, self.weight = np.zeros((2, people)), np.zeros(people)

    def add(self, found: Contrast, both: pl.DataFrame) -> None:
        at = both["person"].to_numpy()
        own = both["weight"].to_numpy() * both["in"].to_numpy()
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


def _both(before: pl.DataFrame, after: pl.DataFrame, joined: int, last: int) -> pl.DataFrame:
    """People of group ``joined`` and people not in by ``last``, seen in both periods."""
    mine = pl.col("joined") == joined
    later = pl.col("joined").is_null() | (pl.col("joined") > last)
    return (
        before.filter(mine | (later & ~mine.fill_null(False)))
        .join(
            after.select("person", "rate", "exposure"), on="person", how="inner", suffix="_after",
            maintain_order="left",
        )
        .with_columns(
            mine.fill_null(False).alias("in"),
            weight=pl.min_horizontal("exposure", "exposure_after"),
        )
    )  # fmt: skip


def _one(both: pl.DataFrame, factors: Sequence[str], trend: Trend) -> Contrast | None:
    inside = both["in"].to_numpy()
    known = both.select(f"x_{name}" for name in factors) if factors else both
    if both.is_empty():
        return None
    odd = [pl.all().is_null(), ~pl.selectors.float().is_finite().fill_null(False)]
    usable = ~known.select(pl.any_horizontal(*odd)).to_series() if factors else None
    if usable is not None and not usable.all():
        raise InputError(
            f"{int((~usable).sum()):,} rows of the year before joining lack a factor",
            do="adjust for what is known of every year",
        )
    x, _ = covariates(known, known.columns if factors else [])
    if min(inside.sum(), (~inside).sum()) < 2 * x.shape[1]:
        return None
    rate, weight = both["rate"].to_numpy(), both["weight"].to_numpy()
    if trend == "ratio" and not rate[~inside].sum() > 0:
        return None
    try:
        return two_periods(
            rate, both["rate_after"].to_numpy(), inside, matrix=x, weight=weight, trend=trend
        )
    except InputError as refused:
        if SURE in refused.problem:
            return None
        raise


def _odds(pair: _Pair) -> tuple[Floats, Floats]:
    """Weights of those who do not join, and the influence of each row on the propensity."""
    x, w, d = pair.matrix, pair.weight, pair.treated
    if x.shape[1] == 1:
        pi = np.full(len(w), float(w[d].sum() / w.sum()))
    else:
        pi = np.asarray(expit(x @ propensity_fit(x, d, w)))
    pi = np.minimum(pi, LARGEST)
    bread = np.linalg.pinv((x * (w * pi * (1 - pi))[:, None]).T @ x)
    return np.where(d, 0.0, w * pi / (1 - pi)), (x * (w * (d - pi))[:, None]) @ bread


def _difference(pair: _Pair) -> Contrast:
    x, w, d = pair.matrix, pair.weight, pair.treated
    control, moves = _odds(pair)
    change = pair.after - pair.before
    other = w * ~d
    bread = np.linalg.pinv((x * other[:, None]).T @ x)
    gamma = bread @ (x.T @ (other * change))
    left = change - x @ gamma
    own = (x * (other * left)[:, None]) @ bread  # influence on gamma
    treat = w * d
    t, c = float(treat.sum()), float(control.sum())
    eta_t, eta_c = float(treat @ left) / t, float(control @ left) / c
    inside = (treat * (left - eta_t) - own @ (treat @ x)) / t
    outside = (
        control * (left - eta_c)
        + moves @ ((control * (left - eta_c)) @ x)
        - own @ (control @ x)
    ) / c  # fmt: skip
    rate = float(treat @ pair.after) / t
    influence = treat * (pair.after - rate) / t
    effect = eta_t - eta_c
    return Contrast(
        rate, rate - effect, influence, influence - (inside - outside), np.arange(len(w))
    )


def _ratio(pair: _Pair) -> Contrast:
    x, w, d = pair.matrix, pair.weight, pair.treated
    control, moves = _odds(pair)
    treat = w * d
    t, c = float(treat.sum()), float(control.sum())

    def mean(weight: Floats, whole: float, value: Floats) -> tuple[float, Floats]:
        rate = float(weight @ value) / whole
        influence = weight * (value - rate) / whole
        if weight is control:
            influence = influence + moves @ (influence @ x)
        return rate, influence

    after, after_i = mean(treat, t, pair.after)
    before, before_i = mean(treat, t, pair.before)
    then, then_i = mean(control, c, pair.before)
    now, now_i = mean(control, c, pair.after)
    if not then > 0:
        raise InputError(
            "those who do not join have no claims before: their growth has no ratio",
            do='take trend="difference", or more people',
        )
    outside = before * now / then
    influence = (now * before_i + before * now_i - outside * then_i) / then
    return Contrast(after, outside, after_i, influence, np.arange(len(w)))
