"""The insured of a care scheme over the years, and its fund.

Lives stand by sex, age and state, the disabled by months since onset too. Steps of a month with exact
chances (intensities level over the month, matrix exponentials); everyone grows a year older at the end
of a year, and the year's births join. Those in payment are counted at the start of each month, as
schemes pay; price and contribution change yearly. Cash flows fall at mid-year.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.optimize import brentq

from pricing.care.morbidity import Morbidity
from pricing.care.number import is_number
from pricing.care.population import OLDEST, Insured
from pricing.care.projected import CareProjection
from pricing.care.scheme import Fund, Scheme
from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.result.shape import Basis

__all__ = ["Course", "closing_growth", "course", "fund_path", "project_care"]

Floats = NDArray[np.float64]
TRACKED = 24  # months since onset told apart, at least
BANDS = (0, 12, 24)  # months since onset of the stays shown


@dataclass(frozen=True)
class Course:
    """Lives by year: what a projection of the fund needs, before any money.

    ``insured``, ``healthy`` and ``disabled`` have a value more than there are years; ``months`` are the
    months in payment of one year if all entitled took them up, ``bands`` the disabled by time since
    onset at its start.
    """

    insured: Floats
    healthy: Floats
    disabled: Floats
    aged: Floats
    entrants: Floats
    deaths: Floats
    onsets: Floats
    recoveries: Floats
    months: Floats
    bands: Floats
    entitled: float


def course(
    insured: Insured,
    rates: Morbidity,
    *,
    years: int = 50,
    waiting_months: int = 0,
    entrants_growth: float = 0.0,
    weights: Floats | None = None,
    start: Morbidity | None = None,
) -> Course:
    """Move lives between the states for years, by month.

    Parameters
    ----------
    insured : Insured
        At the start, with births a year.
    rates : Morbidity
    years : int
        1 to 100.
    waiting_months : int
        Months of disability before payment.
    entrants_growth : float
        Of births, a year.
    weights : array, 2 × 106, optional
        Times so many in payment, by sex and age: a wider or narrower definition.
    start : Morbidity, optional
        The intensities that those disabled at the start come from, where not ``rates``: a stress falls
        on the years to come.

    Returns
    -------
    Course
        At the start the share disabled, by age and months since onset, is that of a cohort healthy at
        first under the intensities of the first year.

    Examples
    --------
    >>> from pricing.care.morbidity import morbidity
    >>> from pricing.care.population import stable_population
    >>> found = course(stable_population(1e6), morbidity(), years=10)
    >>> change = found.entrants.sum() - found.deaths.sum()
    >>> bool(abs(found.insured[-1] - found.insured[0] - change) < 1e-6)
    True
    """
    if not isinstance(years, int) or isinstance(years, bool) or not 1 <= years <= 100:
        raise InputError(f"the years must be whole and 1 to 100, got {years!r}")
    if not isinstance(waiting_months, int) or not 0 <= waiting_months <= 60:
        raise InputError(f"the waiting months must be whole and 0 to 60, got {waiting_months!r}")
    shape = insured.lives.shape
    if weights is not None and (
        np.shape(weights) != shape or not (np.isfinite(weights) & (weights >= 0)).all()
    ):
        raise InputError(
            f"weights must be finite and 0 or more, {shape[0]} sexes × {shape[1]} ages"
        )
    if not (is_number(entrants_growth) and -0.5 < entrants_growth < 0.5):
        raise InputError(f"growth of entrants must lie in -0.5 to 0.5, got {entrants_growth!r}")
    first = rates if start is None else start
    kept = max(TRACKED, waiting_months, rates.duration_months[-1], first.duration_months[-1]) + 1
    healthy_share, ill_share = _cohort(first, kept)
    healthy = insured.lives * healthy_share
    ill = insured.lives[..., None] * ill_share
    entitled = float(ill[..., waiting_months:].sum() if weights is None
                     else (ill[..., waiting_months:].sum(axis=-1) * weights).sum())  # fmt: skip
    multiples, at = rates.by_month(kept)
    names = ("entrants", "deaths", "onsets", "recoveries", "months")
    flows = {name: np.zeros(years) for name in names}
    ends: dict[str, list[float]] = {name: [] for name in ("healthy", "disabled", "aged")}
    bands = np.zeros((years, len(BANDS)))
    p = rates.months(0, multiples)
    for year in range(years):
        if year and rates.trend:
            p = rates.months(year, multiples)
        if not year or rates.trend:  # sexes × ages × months since onset, one array a chance
            old = tuple(
                np.ascontiguousarray(np.moveaxis(p[at, ..., 1, to], 0, -1)) for to in range(4)
            )
            chance = np.ascontiguousarray(np.moveaxis(p[0, ..., 0, :], -1, 0))
        _note(ends, healthy, ill)
        bands[year] = np.add.reduceat(ill.sum(axis=(0, 1)), BANDS)
        for _ in range(12):
            owed = ill[..., waiting_months:].sum(axis=-1)
            flows["months"][year] += float(
                owed.sum() if weights is None else (owed * weights).sum()
            )
            healthy, ill, moved = _month(healthy, ill, chance, old)
            for name, lives in moved.items():
                flows[name][year] += lives
        born = insured.births * (1 + entrants_growth) ** (year + 1)
        flows["entrants"][year] = born.sum()
        healthy, ill = _older(healthy, born), _older(ill, None)
    _note(ends, healthy, ill)
    well, sick = np.array(ends["healthy"]), np.array(ends["disabled"])
    return Course(
        insured=well + sick, healthy=well, disabled=sick, aged=np.array(ends["aged"]), bands=bands,
        entitled=entitled, **flows,
    )  # fmt: skip


def _month(
    healthy: Floats, ill: Floats, chance: Floats, old: Sequence[Floats]
) -> tuple[Floats, Floats, dict[str, float]]:
    """Take everyone a month on; chances of the healthy, and of the disabled by months since onset."""
    well, later = _moved_on(healthy, ill, chance, old)
    moved = {
        "onsets": float(later[..., 0].sum()),
        "recoveries": float((ill * old[0]).sum()),
        "deaths": float((healthy * chance[3]).sum() + (ill * old[3]).sum()),
    }
    return well, later, moved


def _moved_on(
    healthy: Floats, ill: Floats, chance: Sequence[Floats] | Floats, old: Sequence[Floats] | Floats
) -> tuple[Floats, Floats]:
    """The healthy and the disabled by months since onset, a month later."""
    stay = ill * old[1]
    later = np.empty(ill.shape)
    later[..., 0] = healthy * chance[2] + (ill * old[2]).sum(axis=-1)
    later[..., 1:] = stay[..., :-1]
    later[..., -1] += stay[..., -1]
    return healthy * chance[0] + (ill * old[0]).sum(axis=-1), later


def _older(lives: Floats, born: Floats | None) -> Floats:
    """Grow a year older; the last age is held."""
    later = np.zeros_like(lives)
    later[:, 1:] = lives[:, :-1]
    later[:, -1] += lives[:, -1]
    if born is not None:
        later[:, 0] = born
    return later


def _note(ends: dict[str, list[float]], healthy: Floats, ill: Floats) -> None:
    sick = ill.sum(axis=-1)
    ends["healthy"].append(float(healthy.sum()))
    ends["disabled"].append(float(sick.sum()))
    ends["aged"].append(float(healthy[:, 65:].sum() + sick[:, 65:].sum()))


def _cohort(rates: Morbidity, kept: int) -> tuple[Floats, Floats]:
    """Shares of the living by age: healthy, and disabled by months since onset, all healthy at 0."""
    multiples, at = rates.by_month(kept)
    p = rates.months(0, multiples)
    old = np.moveaxis(p[at][..., 1, :], (0, -1), (-1, 0))  # to × sexes × ages × months since onset
    chances = np.moveaxis(p[0, ..., 0, :], -1, 0)
    healthy, ill = np.ones((2, OLDEST + 1)), np.zeros((2, OLDEST + 1, kept))
    one, none = np.ones(2), np.zeros((2, kept))
    for age in range(OLDEST):
        own, chance = np.ascontiguousarray(old[:, :, age]), np.ascontiguousarray(chances[:, :, age])
        for _ in range(12):
            one, none = _moved_on(one, none, chance, own)
        alive = one + none.sum(axis=-1)
        one, none = one / alive, none / alive[:, None]
        healthy[:, age + 1], ill[:, age + 1] = one, none
    return healthy, ill


def fund_path(outgo: Floats, insured: Floats, fund: Fund) -> dict[str, Floats]:
    """Follow the fund by year, every figure rounded to the cent, so that it balances to the cent.

    Parameters
    ----------
    outgo, insured : array
        Benefits paid in each year, and insured at its start.
    fund : Fund

    Returns
    -------
    dict of str to array
        contributions, subsidy, interest_earned and reserve at the end of each year: the reserve before,
        plus contributions, subsidy and interest, less outgo.

    Notes
    -----
    R(t+1) = R(t)(1 + i) + (income - outgo)(1 + i)^(1/2), flows at mid-year. Interest on a negative
    reserve is owed.

    Examples
    --------
    >>> path = fund_path(np.array([100.0]), np.array([1.0]), Fund(contribution=90.0, reserve=50.0, interest=0.0))
    >>> path["fund_reserve"].tolist()
    [40.0]
    """
    contributions = np.round(_contributions(insured, fund, fund.growth), 2)
    subsidy, paid = np.full(len(outgo), round(fund.subsidy, 2)), np.round(outgo, 2)
    if np.shape(outgo) != np.shape(insured):
        raise InputError(f"{np.shape(outgo)} years of benefits and {np.shape(insured)} of insured")
    half = (1 + fund.interest) ** 0.5 - 1
    reserve, interest = np.zeros(len(outgo)), np.zeros(len(outgo))
    now = round(fund.reserve, 2)
    for t in range(len(outgo)):
        flow = contributions[t] + subsidy[t] - paid[t]
        interest[t] = np.round(now * fund.interest + flow * half, 2)
        now = reserve[t] = np.round(now + flow + interest[t], 2)
    return {
        "fund_contributions": contributions, "fund_subsidy": subsidy, "care_outgo": paid,
        "fund_interest": interest, "fund_reserve": reserve,
    }  # fmt: skip


def closing_growth(outgo: Floats, insured: Floats, fund: Fund, years: int) -> float | None:
    """Growth of the contribution that leaves a reserve of just 0 after so many years.

    Parameters
    ----------
    outgo, insured : array
        As in :func:`fund_path`, at least ``years`` of them.
    years : int
        Over which the balance closes.

    Returns
    -------
    float or None
        A yearly rate; None where none from -50 to 50 % does.

    Examples
    --------
    >>> fund = Fund(contribution=100.0, interest=0.0)
    >>> growth = closing_growth(np.array([100.0, 110.0]), np.ones(2), fund, 2)
    >>> round(growth, 12)
    0.1
    """
    if not 1 <= years <= len(outgo):
        raise InputError(f"the balance closes over 1 to {len(outgo)} years, not {years}")
    v = (1 + fund.interest) ** -(np.arange(years) + 0.5)
    owed = float((outgo[:years] * v).sum() - fund.reserve - fund.subsidy * v.sum())

    def short(growth: float) -> float:
        return float((_contributions(insured[:years], fund, growth) * v).sum()) - owed

    if fund.contribution == 0 or years == 1 or short(-0.5) > 0 or short(0.5) < 0:
        return None
    return float(brentq(short, -0.5, 0.5, xtol=1e-15, rtol=1e-14))


def _contributions(insured: Floats, fund: Fund, growth: float) -> Floats:
    t = np.arange(len(insured))
    return np.asarray(insured * fund.contribution * (1 + growth) ** t)


def project_care(
    insured: Insured,
    rates: Morbidity,
    scheme: Scheme,
    fund: Fund,
    *,
    years: int = 50,
    entrants_growth: float = 0.0,
    weights: Floats | None = None,
    start: Morbidity | None = None,
    calibration: float | None = None,
    closing: tuple[int, ...] | None = None,
    lives: Course | None = None,
    first_year: int = 0,
    currency: str = "CNY",
) -> CareProjection:
    """Project lives, benefits and the fund of a care scheme.

    Parameters
    ----------
    insured, rates, scheme, fund
        Who is insured, how they move, what is promised, how it is paid for.
    years, entrants_growth, weights, start
        As in :func:`course`.
    calibration : float, optional
        Those in payment per one entitled; found from the scheme where left out. Give that of the base
        to a stress.
    closing : tuple of int, optional
        Years over which the balance is closed by growth of the contribution, those within ``years``;
        30, 50 and all of them where left out.
    lives : Course, optional
        What :func:`course` gave, where only money differs.
    first_year : int
        Calendar year of the first year, such as 2026; years count from 0 where left out.

    Returns
    -------
    CareProjection
        By year.

    Notes
    -----
    Outgo = months in payment × cost of a month × (1 + g)^t; income = insured × contribution × (1 + h)^t +
    subsidy.

    Examples
    --------
    >>> from pricing.care.morbidity import morbidity
    >>> from pricing.care.population import stable_population
    >>> scheme = Scheme(prices={"home": 600.0}, observed_share=0.00711)
    >>> found = project_care(stable_population(18_000_000, aged_share=0.17), morbidity(), scheme,
    ...                      Fund(contribution=90.0), years=30)
    >>> round(found.table["in_payment"][0] / 18_000_000, 4)
    0.0071
    """
    moved = lives or course(
        insured, rates, years=years, waiting_months=scheme.waiting_months,
        entrants_growth=entrants_growth, weights=weights, start=start,
    )  # fmt: skip
    if calibration is not None and not (is_number(calibration) and calibration >= 0):
        raise InputError(
            f"those in payment per one entitled must be 0 or more, got {calibration!r}"
        )
    if not isinstance(first_year, int) or not 0 <= first_year <= 9999:
        raise InputError(f"the first year is a calendar year such as 2026, got {first_year!r}")
    if len(moved.months) != years:
        raise InputError(f"the lives are of {len(moved.months)} years, not {years}")
    factor = _calibration(moved, scheme, insured.total) if calibration is None else calibration
    cost = np.array([scheme.monthly_cost(t) for t in range(years)])
    heads = np.array([sum(scheme.per_severe(t).values()) for t in range(years)])
    months = moved.months * factor
    path = fund_path(months * cost, moved.insured[:-1], fund)
    income = path["fund_contributions"] + path["fund_subsidy"]
    needed = (path["care_outgo"] - path["fund_subsidy"]) / moved.insured[:-1]
    charged = path["fund_contributions"] / moved.insured[:-1]
    named = first_year + np.arange(years)
    table = pl.DataFrame({
        "year": named, "insured_lives": moved.insured[:-1], "healthy": moved.healthy[:-1],
        "disabled": moved.disabled[:-1], "aged_share": moved.aged[:-1] / moved.insured[:-1],
        "entrants": moved.entrants, "deaths": moved.deaths, "onsets": moved.onsets,
        "recoveries": moved.recoveries, "in_payment": months * heads / 12, "care_outgo": path["care_outgo"],
        "fund_contributions": path["fund_contributions"], "fund_subsidy": path["fund_subsidy"], "fund_income": income,
        "fund_interest": path["fund_interest"], "fund_reserve": path["fund_reserve"],
        "payg_contribution": needed,
        "payg_ratio": np.divide(needed, charged, out=np.full(years, np.nan), where=charged > 0),
        "reserve_ratio": np.divide(path["fund_reserve"], path["care_outgo"], out=np.full(years, np.nan),
                                   where=path["care_outgo"] > 0),
    }).with_columns(pl.col("payg_ratio", "reserve_ratio").fill_nan(None))  # fmt: skip
    spans = {30, 50, years} if closing is None else set(closing)
    closes = {
        n: closing_growth(path["care_outgo"], moved.insured[:-1], fund, n)
        for n in sorted(spans)
        if n <= years
    }
    last = max(closes, default=None)
    facts: dict[str, Any] = {
        "years": years, "insured": insured.total, "outgo_first": float(path["care_outgo"][0]),
        "outgo_last": float(path["care_outgo"][-1]), "in_payment_first": float(table["in_payment"][0]),
        "payg_first": float(needed[0]), "payg_last": float(needed[-1]),
        "reserve_last": float(path["fund_reserve"][-1]), "calibration": float(factor), "currency": currency,
        "deficit_year": _first(income < path["care_outgo"], first_year),
        "exhausted_year": _first(path["fund_reserve"] < 0, first_year), "first_year": first_year,
        "closing_years": last, "closing_growth": None if last is None else closes[last],
        **{f"closing_growth_{n}": g for n, g in closes.items()},
    }  # fmt: skip
    settings = pl.concat(
        pl.DataFrame({
            "year": named, "setting": s,
            "care_outgo": months * np.array([scheme.by_setting(t)[s] for t in range(years)]),
        })
        for s in scheme.settings
    )  # fmt: skip
    states = ["disabled_first_year", "disabled_second_year", "disabled_longer"]
    occupancy = pl.concat(
        pl.DataFrame({"year": named, "in_state": name, "people": values})
        for name, values in (
            ("healthy", moved.healthy[:-1]),
            *zip(states, moved.bands.T, strict=True),
        )
    )
    basis = Basis(
        source=rates.source, currency=currency, exposure=float(moved.insured[:-1].sum()),
        fingerprint=fingerprint(repr(scheme), repr(fund), repr(table.rows())),
        notes=(
            *insured.notes, *rates.notes,
            "steps of a month; a year older at the end of a year; payment counted at the start of a month",
            f"those in payment per one entitled: {factor:.4g}"
            + ("" if scheme.observed_share is None else f", set so that {scheme.observed_share:.3%} of insured start in payment"),
            f"interest {fund.interest:g} on the reserve, also on a debt; flows at mid-year",
        ),
    )  # fmt: skip
    return CareProjection(
        table=table, basis=basis, facts=facts, frames={"settings": settings, "occupancy": occupancy}
    )


def _calibration(moved: Course, scheme: Scheme, insured: float) -> float:
    if scheme.observed_share is None:
        return scheme.uptake
    if not moved.entitled > 0:
        raise InputError(
            "nobody is entitled at the start, so no uptake leads to the share observed"
        )
    return scheme.observed_share * insured / moved.entitled


def _first(condition: NDArray[np.bool_], first_year: int) -> int | None:
    return first_year + int(np.argmax(condition)) if condition.any() else None
