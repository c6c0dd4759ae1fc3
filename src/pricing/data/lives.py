"""The course of simulated lives: from issue through renewals, programme and claims to exit.

Policies are rows of arrays; the only loop is over policy years 0 to 7. Each variate of each
policy year has a random stream of its own, drawn in policy order, so that a smaller book is
the head of a larger one and a new variate disturbs no other.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import polars as pl
from scipy.special import expit, ndtr

from pricing.data.issue import (
    END,
    FIRST,
    POLICY_YEARS,
    Flags,
    Floats,
    Ints,
    Issue,
    Streams,
    ages,
    anniversaries,
    calendar_years,
    chronic_share,
    dates,
    issue_policies,
)
from pricing.data.truth import CHANNELS, GROUPS, REGIONS, SEXES, TIERS, BookParameters
from pricing.errors import InputError

__all__ = ["Lives", "live"]

_STEP_KNOTS, _STEP_POINTS = (0.0, 3_000.0, 6_000.0, 8_000.0), (0.0, 0.0, 6.0, 8.0)
_MINUTE_KNOTS, _MINUTE_POINTS = (0.0, 75.0, 150.0), (0.0, 0.5, 1.0)
_MONTHS_BEFORE_RENEWAL = 2
_CAUSES = ("lapse", "death", "cancelled")
_SCORES = ("activity", "habit", "prevention", "marker")
_APP = CHANNELS.index("app")


class Lives(NamedTuple):
    """The course of some policies, one frame per noun, keyed by ``policy`` (row 0, 1, ...).

    ``issued`` has a row per policy, ``years`` per policy year, ``claims`` per admission,
    ``payments`` per movement of a claim, ``activity`` per month of membership and ``offers`` per
    renewal offered.
    """

    issued: pl.DataFrame
    years: pl.DataFrame
    claims: pl.DataFrame
    payments: pl.DataFrame
    activity: pl.DataFrame
    offers: pl.DataFrame


def live(truth: BookParameters, *, policies: int, seed: int, part: int = 0) -> Lives:
    """Simulate some policies from issue to exit or to the end of the window.

    Parameters
    ----------
    truth : BookParameters
        What is true.
    policies : int
        How many, 1 or more.
    seed : int
        0 or more; the same seed and part give the same lives.
    part : int
        Which part of a book; parts are independent of each other.

    Returns
    -------
    Lives
        Frames of issue, policy years, claims, payments, activity and renewal offers.

    Raises
    ------
    InputError
        Where the parameters make admission rates beyond 100 a year.

    Examples
    --------
    >>> few = live(BookParameters(), policies=10, seed=1)
    >>> many = live(BookParameters(), policies=20, seed=1)
    >>> few.issued.equals(many.issued.head(10))
    True
    """
    streams = Streams(seed, part)
    course = _Course(truth, streams, issue_policies(truth, streams, policies))
    for year in range(POLICY_YEARS):
        course.renew_and_cover(year)
    years = pl.concat(course.years).sort("policy", "policy_year")
    activity = pl.concat(course.activity).sort("policy", "month")
    claims = _claims(truth, streams, years)
    payments = _payments(truth, streams, claims)
    offers = pl.concat(course.offers).sort("policy", "policy_year")
    return Lives(course.issued_frame(), years, claims, payments, activity, offers)


class _Course:
    """Where each policy stands, moved on by one policy year at a time."""

    def __init__(self, truth: BookParameters, streams: Streams, issue: Issue) -> None:
        n = issue.start.size
        self.truth, self.streams, self.issue = truth, streams, issue
        self.years: list[pl.DataFrame] = []
        self.activity: list[pl.DataFrame] = []
        self.offers: list[pl.DataFrame] = []
        self.months = anniversaries()[issue.start - FIRST]
        self.rows: Ints = np.arange(n)  # in force at the end of the last policy year
        self.end: Ints = np.full(n, END)
        self.cause: Ints = np.full(n, -1)
        self.member: Flags = np.zeros(n, dtype=np.bool_)
        self.left: Flags = np.zeros(n, dtype=np.bool_)
        self.group: Ints = np.zeros(n, dtype=np.int64)
        self.premium: Floats = np.ones(n)
        self.window: Floats = np.zeros((n, 2))  # valid days, points: of the measuring year
        self.waiting: Floats = np.zeros((n, 2))  # the same of the months after it

    def renew_and_cover(self, year: int) -> None:
        """Measure, price, renew or lapse at the start of a policy year, then live through it."""
        rows = self.rows[self.months[self.rows, 12 * year] < END]
        measured = self._measure(rows, year)
        if year:
            self._join(rows, year)
            self._move_group(rows, measured)
        age = ages(self.issue.birth[rows], self.months[rows, 12 * year])
        standard = self._standard_premium(rows, age, year)
        premium = np.round(standard * (1 - np.array(self.truth.discounts)[self.group[rows]]), 2)
        stays = self._renews(rows, premium, year)
        self.premium[rows] = premium
        if year:
            self.offers.append(self._offer(rows, measured, standard, premium, stays, year))
        self._exit(rows[~stays], self.months[rows[~stays], 12 * year], "lapse")
        rows = rows[stays]
        self._exit_within(rows, age[stays], year)
        self.years.append(
            self._cover(rows, age[stays], year).with_columns(
                *measured.filter(stays),
                standard_premium=pl.lit(pl.Series(standard[stays])),
                premium=pl.lit(pl.Series(premium[stays])),
            )
        )
        self._walk(rows[self.member[rows]], year)
        self.rows = rows[self.cause[rows] < 0]

    def issued_frame(self) -> pl.DataFrame:
        """Give the policies as the insurer knows them."""
        issue = self.issue
        return pl.DataFrame(
            {
                "policy": np.arange(issue.start.size),
                "birth_date": dates(issue.birth),
                "sex": _names(issue.male.astype(np.int64), SEXES),
                "region": _names(issue.region, REGIONS),
                "tier": _names(issue.tier, TIERS),
                "channel": _names(issue.channel, CHANNELS),
                "chronic": issue.chronic,
                "start": dates(issue.start),
                "end": dates(self.end),
                "exit_cause": _names(self.cause, _CAUSES),
            }
        )

    def _measure(self, rows: Ints, year: int) -> pl.DataFrame:
        """Score the members of last year; null for everybody else."""
        truth, was = self.truth, self.member[rows]
        valid, points = self.window[rows].T
        was = was & (valid > 0)
        activity = np.round(np.divide(points, valid, out=np.zeros(rows.size), where=valid > 0), 6)
        fresh = self.streams("score", year).standard_normal((rows.size, 3))
        other = np.sqrt(truth.score_persistence) * self.issue.score_trait[rows]
        other += np.sqrt(1 - truth.score_persistence) * fresh
        share = np.array(truth.score_latent)
        latent = self.issue.latent[rows, max(year - 1, 0), None]
        z = np.sqrt(share) * latent + np.sqrt(1 - share) * other
        scores = np.round(ndtr(np.array(truth.score_level) + np.array(truth.score_spread) * z), 6)
        scores = np.column_stack([activity, scores])
        weight = valid / (valid + truth.credibility_days)
        seen = 1000 * (scores * np.array(truth.value_weights)).sum(axis=1)
        value = weight * seen + (1 - weight) * truth.prior_value
        return pl.DataFrame(
            {
                "valid_days": np.where(was, valid, 0).astype(np.int32),
                **{f"{name}_score": _where(was, scores[:, i]) for i, name in enumerate(_SCORES)},
                "health_value": _where(was, np.round(value, 2)),
            }
        )

    def _join(self, rows: Ints, year: int) -> None:
        truth, issue = self.truth, self.issue
        age = ages(issue.birth[rows], self.months[rows, 12 * year])
        odds = truth.join_intercept + truth.join_latent * issue.latent[rows, year]
        odds += truth.join_age * (age - 45) + truth.join_app * (issue.channel[rows] == _APP)
        joins = self.streams("join", year).random(rows.size) < expit(odds)
        leaves = self.streams("opt_out", year).random(rows.size) < truth.opt_out_rate
        was, left = self.member[rows], self.left[rows]
        self.member[rows] = np.where(was, ~leaves, joins & ~left)
        self.left[rows] = left | (was & leaves)

    def _move_group(self, rows: Ints, measured: pl.DataFrame) -> None:
        """Move towards the target group by one at most; out of the programme is G0."""
        truth, group = self.truth, self.group[rows]
        value = measured["health_value"].fill_null(0.0).to_numpy()
        enough = measured["valid_days"].to_numpy() >= max(truth.min_valid_days, 1)
        risen = np.searchsorted(truth.cutoffs, value - truth.hysteresis, side="right")
        kept = np.searchsorted(truth.cutoffs, value + truth.hysteresis, side="right")
        step = np.clip(np.clip(group, risen, kept) - group, -1, 1)
        self.group[rows] = np.where(self.member[rows], group + np.where(enough, step, 0), 0)

    def _standard_premium(self, rows: Ints, age: Ints, year: int) -> Floats:
        truth, issue = self.truth, self.issue
        log_rate = _log_rate(truth, age, issue.male[rows], issue.region[rows], issue.tier[rows])
        rate = np.exp(log_rate + truth.rate_latent**2 / 2) * _chronic_load(truth)[age]
        amount = _severity(truth, issue.tier[rows])
        begun = calendar_years(self.months[rows, 12 * year])
        index = (1 + truth.inflation) ** (begun - truth.price_year)
        return np.round(rate * amount * index / truth.target_loss_ratio, 2)

    def _renews(self, rows: Ints, premium: Floats, year: int) -> Flags:
        if year == 0:
            return np.ones(rows.size, dtype=np.bool_)
        truth = self.truth
        rise = np.log(np.maximum(premium, 0.01) / np.maximum(self.premium[rows], 0.01))
        odds = truth.renew_intercept + truth.renew_price * rise
        odds += truth.renew_latent * self.issue.latent[rows, year]
        renews: Flags = self.streams("renew", year).random(rows.size) < expit(odds)
        return renews

    def _offer(
        self,
        rows: Ints,
        measured: pl.DataFrame,
        standard: Floats,
        premium: Floats,
        stays: Flags,
        year: int,
    ) -> pl.DataFrame:
        """Give what was offered at the renewal, to those who leave too; nothing is drawn."""
        return pl.DataFrame(
            {
                "policy": rows,
                "policy_year": np.full(rows.size, year, dtype=np.int32),
                "start": dates(self.months[rows, 12 * year]),
                "in_programme": self.member[rows],
                "health_value": measured["health_value"],
                "health_group": _names(self.group[rows], GROUPS),
                "standard_premium": standard,
                "premium": premium,
                "renewed": stays,
            }
        )

    def _exit(self, rows: Ints, day: Ints, cause: str) -> None:
        self.end[rows], self.cause[rows] = day, _CAUSES.index(cause)

    def _exit_within(self, rows: Ints, age: Ints, year: int) -> None:
        """Cancel or die on a uniform day after the first of the policy year, if before the end."""
        truth = self.truth
        begin, renewal = self.months[rows, 12 * year], self.months[rows, 12 * year + 12]
        cancels = truth.cancellation_rate
        dies = np.minimum(truth.death_rate * np.exp(truth.death_age * (age - 45)), 1 - cancels)
        fate = self.streams("exit", year).random(rows.size)
        later = self.streams("exit_day", year).random(rows.size) * (renewal - begin - 1)
        day = begin + 1 + later.astype(np.int64)
        for cause, goes in (
            ("death", fate < dies),
            ("cancelled", (fate >= dies) & (fate < dies + cancels)),
        ):
            seen = goes & (day < END)
            self._exit(rows[seen], day[seen], cause)

    def _cover(self, rows: Ints, age: Ints, year: int) -> pl.DataFrame:
        """Give the policy year's cover and what the claims of it are expected to be."""
        truth, issue = self.truth, self.issue
        begin, renewal = self.months[rows, 12 * year], self.months[rows, 12 * year + 12]
        end = np.minimum(self.end[rows], renewal)
        covered = end - begin
        tier = issue.tier[rows]
        log_rate = _log_rate(truth, age, issue.male[rows], issue.region[rows], tier)
        log_rate = log_rate + truth.rate_latent * issue.latent[rows, year]
        log_rate += truth.rate_chronic * issue.chronic[rows]
        rate = np.exp(log_rate) * np.where(self.member[rows], truth.programme_rate_ratio, 1.0)
        if rows.size and not rate.max() < 100:
            raise InputError("admission rates reach beyond 100 a year", where="book parameters")
        expected = rate * covered / (renewal - begin)
        mean = _severity(truth, tier) * _mean_index(truth, begin, end)
        return pl.DataFrame(
            {
                "policy": rows,
                "policy_year": np.full(rows.size, year, dtype=np.int32),
                "start": dates(begin),
                "end": dates(end),
                "tier": tier,
                "in_programme": self.member[rows],
                "health_group": _names(self.group[rows], GROUPS),
                "latent_health": issue.latent[rows, year],
                "expected_claims": expected,
                "expected_amount": expected * mean,
            }
        )

    def _walk(self, rows: Ints, year: int) -> None:
        """Live the months of members: valid days, steps and minutes; keep what is measured."""
        truth, issue = self.truth, self.issue
        edges = self.months[rows, 12 * year : 12 * year + 13]
        last = np.minimum(edges[:, 1:], self.end[rows, None])
        days = np.maximum(last - edges[:, :-1], 0)
        valid = self.streams("valid", year).binomial(days, issue.wear[rows, None])
        spread = np.sqrt(np.log1p(truth.steps_cv**2))
        trait = np.sqrt(1 - truth.steps_latent**2) * issue.steps_trait[rows]
        trait += truth.steps_latent * issue.latent[rows, year]
        own = truth.steps_mean * np.exp(spread * trait - spread**2 / 2) + truth.steps_response
        month = spread * np.sqrt((1 - truth.day_icc) / truth.day_icc / np.maximum(valid, 1))
        noise = month * self.streams("steps", year).standard_normal(days.shape)
        steps = np.round(own[:, None] * np.exp(noise - month**2 / 2))
        noise = truth.minutes_sd * self.streams("minutes", year).standard_normal(days.shape)
        pace = (steps / truth.steps_mean) ** truth.minutes_elasticity
        minutes = np.round(truth.minutes_mean * pace * np.exp(noise), 1)
        score = truth.steps_weight * np.interp(steps, _STEP_KNOTS, _STEP_POINTS) / _STEP_POINTS[-1]
        score += (1 - truth.steps_weight) * np.interp(minutes, _MINUTE_KNOTS, _MINUTE_POINTS)
        self._keep(rows, valid, valid * score)
        seen = valid > 0
        self.activity.append(
            pl.DataFrame(
                {
                    "policy": np.broadcast_to(rows[:, None], days.shape)[seen],
                    "month": dates(edges[:, :-1][seen]),
                    "valid_days": valid[seen].astype(np.int32),
                    "mean_daily_steps": steps[seen],
                    "active_minutes_per_week": minutes[seen],
                }
            )
        )

    def _keep(self, rows: Ints, valid: Ints, points: Floats) -> None:
        """Sum the measuring year: it closes two policy months before the renewal."""
        cut = 12 - _MONTHS_BEFORE_RENEWAL
        months = np.stack([valid, points], axis=-1)
        self.window[rows] = self.waiting[rows] + months[:, :cut].sum(axis=1)
        self.waiting[rows] = months[:, cut:].sum(axis=1)


def _claims(truth: BookParameters, streams: Streams, years: pl.DataFrame) -> pl.DataFrame:
    counts = streams("admissions").poisson(years["expected_claims"].to_numpy())
    row = np.repeat(np.arange(years.height), counts)
    policy = years["policy"].to_numpy()[row]
    begin = years["start"].to_physical().to_numpy().astype(np.int64)[row]
    covered = years["end"].to_physical().to_numpy()[row] - begin
    incurred = begin + (streams("incurred").random(row.size) * covered).astype(np.int64)
    lag = truth.paid_lag_mean * _lognormal(streams("paid"), truth.paid_lag_cv, row.size)
    index = (1 + truth.inflation) ** (calendar_years(incurred) - truth.price_year)
    amount = _severity(truth, years["tier"].to_numpy()[row]) * index
    amount = amount * _lognormal(streams("severity"), truth.severity_cv, row.size)
    gone = streams("reported").random(row.size) ** (1 / truth.reported_share - 1)
    first = np.flatnonzero(np.r_[True, policy[1:] != policy[:-1]])[: row.size]
    number = np.arange(row.size) - np.repeat(first, np.diff(np.r_[first, row.size])) + 1
    return pl.DataFrame(
        {
            "policy": policy,
            "number": number,
            "incurred": dates(incurred),
            "reported": dates(incurred + (lag.astype(np.int64) * gone).astype(np.int64)),
            "paid": dates(incurred + lag.astype(np.int64)),
            "amount": np.round(amount, 2),
        }
    )


def _payments(truth: BookParameters, streams: Streams, claims: pl.DataFrame) -> pl.DataFrame:
    """Write the case reserve at the report, an interim payment of some claims, and the last one."""
    size = claims.height
    amount = claims["amount"].to_numpy()
    reserve = np.round(amount * _lognormal(streams("reserve"), truth.case_estimate_cv, size), 2)
    interim = streams("interim").random(size) < truth.interim_share
    share = np.where(interim, 0.25 + streams("interim_share").random(size) / 2, 0.0)
    paid, released = np.round(amount * share, 2), np.round(reserve * share, 2)
    reported, last = (claims[name].to_physical() for name in ("reported", "paid"))
    movements = (
        (reported, np.zeros(size), reserve),
        (reported + (last - reported) // 2, paid, -released),
        (last, np.round(amount - paid, 2), np.round(released - reserve, 2)),
    )
    rows = [
        claims.select(
            "policy",
            "number",
            movement=pl.lit(i, pl.Int32),
            paid=day.cast(pl.Date),
            amount=pl.lit(pl.Series(money)),
            outstanding_change=pl.lit(pl.Series(change)),
        )
        for i, (day, money, change) in enumerate(movements)
    ]
    kept = pl.concat(
        [rows[0], rows[1].filter(pl.lit(pl.Series(interim, dtype=pl.Boolean))), rows[2]]
    )
    return kept.sort("policy", "number", "movement")


def _log_rate(truth: BookParameters, age: Ints, male: Flags, region: Ints, tier: Ints) -> Floats:
    """Log admission rate outside the programme of a life not chronic and of mean health."""
    rate: Floats = truth.rate_intercept + truth.rate_age * (age - 45) + truth.rate_male * male
    rate = rate + np.array(truth.region_effect)[region] + np.array(truth.tier_effect)[tier]
    return rate


def _severity(truth: BookParameters, tier: Ints) -> Floats:
    """Mean amount of an admission at the prices of the price year."""
    mean: Floats = truth.severity_mean * np.array(truth.tier_severity)[tier]
    return mean


@lru_cache(maxsize=8)
def _chronic_load(truth: BookParameters) -> Floats:
    """Mean factor on the rate, by age 0 to 120, at the population's chronic share."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    share = chronic_share(truth, np.arange(121)[:, None], nodes) * weights / weights.sum()
    load: Floats = 1 + share.sum(axis=1) * np.expm1(truth.rate_chronic)
    return load


def _mean_index(truth: BookParameters, begin: Ints, end: Ints) -> Floats:
    """Mean price level over the days of a cover, which touches two calendar years at most."""
    growth, year = 1 + truth.inflation, calendar_years(begin)
    turn = (year + 1 - 1970).astype("datetime64[Y]").astype("datetime64[D]").astype(np.int64)
    after = np.maximum(end - turn, 0) / (end - begin)
    index: Floats = growth ** (year - truth.price_year) * (1 + after * (growth - 1))
    return index


def _lognormal(stream: np.random.Generator, cv: float, size: int) -> Floats:
    spread = np.sqrt(np.log1p(cv**2))
    factor: Floats = np.exp(spread * stream.standard_normal(size) - spread**2 / 2)
    return factor


def _where(known: Flags, values: Floats) -> pl.Series:
    return pl.Series(np.where(known, values, np.nan)).fill_nan(None)


def _names(codes: Ints, names: tuple[str, ...]) -> pl.Series:
    """Words for codes; null below zero."""
    words = pl.Series([*names, None], dtype=pl.String)
    return words.gather(np.where(codes < 0, len(names), codes))
