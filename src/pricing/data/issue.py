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

__all__ = [
    *("END", "FIRST", "FIRST_DAY", "LAST_START", "POLICY_YEARS", "WINDOW_END"),
    *("Flags", "Floats", "Ints", "Issue", "Streams"),
    *("ages", "anniversaries", "calendar_years", "chronic_share", "dates", "issue_policies"),
]

FIRST_DAY = dt.date(2018, 1, 1)
LAST_START = dt.date(2024, 12, 31)
WINDOW_END = dt.date(2026, 1, 1)
POLICY_YEARS = 8

_EPOCH = dt.date(1970, 1, 1)
FIRST, LAST, END = ((day - _EPOCH).days for day in (FIRST_DAY, LAST_START, WINDOW_END))

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Streams:
    """A random stream for each variate of each policy year of one part of a book.

    Drawn in policy order, so that fewer policies are the head of more, and a new variate
    disturbs no other.

    Examples
    --------
    >>> streams = Streams(seed=1, part=0)
    >>> bool((streams("sex").random(5)[:3] == streams("sex").random(3)).all())
    True
    """

    seed: int
    part: int

    def __call__(self, variate: str, year: int = 0) -> np.random.Generator:
        """Start the stream of a variate, named in words, at a policy year."""
        return np.random.default_rng([self.seed, self.part, zlib.crc32(variate.encode()), year])


@dataclass(frozen=True)
class Issue:
    """The policies at issue: an entry per policy, dates as days since 1970-01-01."""

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


def issue_policies(truth: BookParameters, streams: Streams, policies: int) -> Issue:
    """Draw the policies at issue: who is insured, where, how sold, how healthy.

    Parameters
    ----------
    truth : BookParameters
        What is true.
    streams : Streams
        Where the draws come from.
    policies : int
        How many.

    Returns
    -------
    Issue
        Codes count through the names in ``pricing.data.truth``; ``latent`` holds latent
        health in each policy year; the traits are standard normal and stay with the life;
        ``wear`` is the life's share of valid days.

    Examples
    --------
    >>> drawn = issue_policies(BookParameters(), Streams(seed=1, part=0), 1_000)
    >>> at_issue = ages(drawn.birth, drawn.start)
    >>> bool(((at_issue >= 18) & (at_issue <= 65)).all())
    True
    """

    def uniform(variate: str) -> Floats:
        return streams(variate).random(policies)

    def choice(variate: str, shares: tuple[float, ...]) -> Ints:
        edges = np.cumsum(shares)[:-1]
        return np.searchsorted(edges, uniform(variate), side="right").astype(np.int64)

    start = FIRST + (uniform("start") * (LAST - FIRST + 1)).astype(np.int64)
    low, high = ndtr((np.array([18.01, 65.99]) - truth.age_mean) / truth.age_sd)
    age = truth.age_mean + truth.age_sd * ndtri(low + uniform("age") * (high - low))
    age = np.clip(age, 18.01, 65.99)
    latent = streams("latent").standard_normal((policies, POLICY_YEARS))
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
        steps_trait=streams("steps_trait").standard_normal(policies),
        wear=expit(truth.wear_level + truth.wear_sd * streams("wear").standard_normal(policies)),
        score_trait=streams("score_trait").standard_normal((policies, 3)),
    )


def chronic_share(truth: BookParameters, age: Any, latent: Any) -> Floats:
    """Give the probability of a chronic condition by age in years and latent health.

    Examples
    --------
    >>> round(float(chronic_share(BookParameters(), 45, 0.0)), 4)
    0.0759
    """
    odds = truth.chronic_intercept + truth.chronic_age * (age - 45) + truth.chronic_latent * latent
    share: Floats = expit(odds)
    return share


@lru_cache(maxsize=1)
def anniversaries() -> Ints:
    """Days on which the policy months 0 to 96 begin, by day of start.

    A day that a month lacks is its last day, counted from the start of the policy each time:
    who starts on 29 February renews on 28 February in common years, on 29 in leap years.

    Returns
    -------
    array, days of start × 97
        Days since 1970-01-01; row 0 is a start on 2018-01-01.

    Examples
    --------
    >>> row = (dt.date(2020, 2, 29) - FIRST_DAY).days
    >>> dates(anniversaries()[row, [0, 12, 48]]).to_list()
    [datetime.date(2020, 2, 29), datetime.date(2021, 2, 28), datetime.date(2024, 2, 29)]
    """
    starts = pl.date_range(FIRST_DAY, LAST_START, eager=True)
    months = [starts.dt.offset_by(f"{m}mo").to_physical() for m in range(12 * POLICY_YEARS + 1)]
    return np.column_stack([m.to_numpy() for m in months]).astype(np.int64)


def ages(birth: Ints, at: Ints) -> Ints:
    """Completed years at a day; born on 29 February, older on 1 March of common years.

    Examples
    --------
    >>> birth, at = np.array(["1980-02-29", "2021-02-28"], dtype="datetime64[D]").astype(int)
    >>> ages(birth[None], at[None]).tolist(), ages(birth[None], at[None] + 1).tolist()
    ([40], [41])
    """
    born, now = dates(birth).dt, dates(at).dt
    birthday = born.month().cast(pl.Int32) * 100 + born.day()
    had = now.month().cast(pl.Int32) * 100 + now.day() >= birthday
    return (now.year() - born.year() - (~had).cast(pl.Int32)).to_numpy().astype(np.int64)


def calendar_years(days: Ints) -> Ints:
    """Calendar year of each day.

    Examples
    --------
    >>> calendar_years(np.array([0, 365])).tolist()
    [1970, 1971]
    """
    return dates(days).dt.year().to_numpy().astype(np.int64)


def dates(days: Ints) -> pl.Series:
    """Dates of days since 1970-01-01.

    Examples
    --------
    >>> dates(np.array([17_532])).to_list()
    [datetime.date(2018, 1, 1)]
    """
    return pl.Series(days.astype(np.int32)).cast(pl.Date)
