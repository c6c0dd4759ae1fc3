"""Who the simulated policies are at issue, and the calendar they live by."""

from __future__ import annotations

import datetime as dt
import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import expit, ndtr, ndtri

from pricing.data.truth import BookParameters

FIRST_DAY = dt.date(2018, 1, 1)
LAST_START = dt.date(2024, 12, 31)
WINDOW_END = dt.date(2026, 1, 1)
POLICY_YEARS = 8

_EPOCH = dt.date(1970, 1, 1)
END = (WINDOW_END - _EPOCH).days

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Streams:
    seed: int
    part: int

    def __call__(self, variate: str, year: int = 0) -> np.random.Generator:
        return np.random.default_rng([self.seed, self.part, zlib.crc32(variate.encode()), year])


@dataclass(frozen=True)
class Issue:
    start: Ints
    birth: Ints
    male: Flags
    region: Ints
    tier: Ints
    channel: Ints
    chronic: Flags
    latent: Floats  # policy × policy year
    steps_trait: Floats
    wear: Floats
    score_trait: Floats  # policy × (habit, prevention, marker)


def issue(truth: BookParameters, streams: Streams, n: int) -> Issue:
    def uniform(variate: str) -> Floats:
        return streams(variate).random(n)

    def choice(variate: str, shares: tuple[float, ...]) -> Ints:
        edges = np.cumsum(shares)[:-1]
        return np.searchsorted(edges, uniform(variate), side="right").astype(np.int64)

    first, last = _day(FIRST_DAY), _day(LAST_START)
    start = first + (uniform("start") * (last - first + 1)).astype(np.int64)
    low, high = ndtr((np.array([18.01, 65.99]) - truth.age_mean) / truth.age_sd)
    age = truth.age_mean + truth.age_sd * ndtri(low + uniform("age") * (high - low))
    age = np.clip(age, 18.01, 65.99)
    latent = streams("latent").standard_normal((n, POLICY_YEARS))
    for year in range(1, POLICY_YEARS):
        fresh = np.sqrt(1 - truth.latent_persistence**2) * latent[:, year]
        latent[:, year] = truth.latent_persistence * latent[:, year - 1] + fresh
    birth = start - (age * 365.25).astype(np.int64)
    ill = chronic_share(truth, ages(birth, start), latent[:, 0])
    return Issue(
        start=start,
        birth=birth,
        male=uniform("sex") < truth.male_share,
        region=choice("region", truth.region_share),
        tier=choice("tier", truth.tier_share),
        channel=choice("channel", truth.channel_share),
        chronic=uniform("chronic") < ill,
        latent=latent,
        steps_trait=streams("steps_trait").standard_normal(n),
        wear=expit(truth.wear_level + truth.wear_sd * streams("wear").standard_normal(n)),
        score_trait=streams("score_trait").standard_normal((n, 3)),
    )


def chronic_share(truth: BookParameters, age: Any, latent: Any) -> Floats:
    odds = truth.chronic_intercept + truth.chronic_age * (age - 45) + truth.chronic_latent * latent
    share: Floats = expit(odds)
    return share


@lru_cache(maxsize=1)
def anniversaries() -> Ints:
    """Days on which the policy months 0 to 96 begin, by day of start.

    A day that a month lacks is its last day, counted from the start of the policy each time:
    who starts on 29 February renews on 28 February in common years, on 29 in leap years.
    """
    starts = pl.date_range(FIRST_DAY, LAST_START, eager=True)
    months = [starts.dt.offset_by(f"{m}mo").to_physical() for m in range(12 * POLICY_YEARS + 1)]
    return np.column_stack([m.to_numpy() for m in months]).astype(np.int64)


def ages(birth: Ints, at: Ints) -> Ints:
    """Completed years; who is born on 29 February is a year older on 28 in common years."""
    b, a = dates(birth).dt, dates(at).dt
    code = a.month().cast(pl.Int32) * 100 + a.day()
    code += ((code == 228) & ~a.is_leap_year()).cast(pl.Int32)
    had = code >= b.month().cast(pl.Int32) * 100 + b.day()
    return (a.year() - b.year() - (~had).cast(pl.Int32)).to_numpy().astype(np.int64)


def calendar_years(days: Ints) -> Ints:
    return dates(days).dt.year().to_numpy().astype(np.int64)


def _day(date: dt.date) -> int:
    return (date - _EPOCH).days


def dates(days: Ints) -> pl.Series:
    return pl.Series(days.astype(np.int32)).cast(pl.Date)


