"""A simulated service plan: members, what they use and what they claim, with known truth."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from pricing.data.rates import rate_table
from pricing.errors import InputError
from pricing.files import replacing, require_replaceable

__all__ = ["SERVICES", "ServiceTruth", "simulate_services"]

SERVICES = ("video_consultation", "green_channel", "booking_help", "online_pharmacy", "check_up")
ENGAGEMENT = ("low", "middle", "high")
LEVELS = ("basic", "plus", "premier")
EDGES = (18, 30, 40, 50, 60, 70)
_EPOCH, _YEAR = date(1970, 1, 1), 365.25
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ServiceTruth:
    """What is true of the book: rates per member-year, yuan a use, ratios of claims.

    Attributes
    ----------
    start, end : date
        Period observed, half-open.
    rates : tuple of float
        Uses per member-year of men aged 40 to 49 by service of :data:`SERVICES`; of the green channel
        the uptake of first diagnoses (28 severe illnesses and the minor ones).
    female : tuple of float
        Factor for women, by service.
    by_age : tuple of float
        Factor by age band from 18-29, 30-39, … 70+, of all but the green channel.
    unit_costs : tuple of float
        Mean cost of a use, yuan; gamma with coefficient of variation ``cost_cv``.
    frailty : float
        Variance of a member's gamma factor on the use: heavy users.
    claim_rate : float
        Admissions per member-year at 45 of a member of mean health and low engagement.
    engagement_ratio : tuple of float
        True ratio of admissions by engagement, low to high: what engagement does.
    selection : float
        Effect of latent health on engaging (log odds) and on admissions (log rate, halved).

    Examples
    --------
    >>> ServiceTruth().engagement_ratio
    (1.0, 0.98, 0.95)
    """

    start: date = date(2024, 1, 1)
    end: date = date(2026, 1, 1)
    rates: tuple[float, ...] = (1.1, 0.4, 0.25, 0.7, 0.35)
    female: tuple[float, ...] = (1.3, 1.0, 1.1, 1.2, 1.15)
    by_age: tuple[float, ...] = (0.8, 1.0, 1.0, 1.15, 1.4, 1.6)
    unit_costs: tuple[float, ...] = (26.0, 4200.0, 45.0, 9.0, 230.0)
    cost_cv: float = 0.6
    frailty: float = 0.8
    claim_rate: float = 0.09
    engagement_ratio: tuple[float, ...] = (1.0, 0.98, 0.95)
    selection: float = 0.8

    def __post_init__(self) -> None:
        numbers = (*self.rates, *self.female, *self.by_age, *self.unit_costs, self.cost_cv)
        more = (self.frailty, self.claim_rate, *self.engagement_ratio)
        if self.end <= self.start or not all(np.isfinite(n) and n > 0 for n in (*numbers, *more)):
            raise InputError(
                "a book with a period that ends before it starts, or figures not above zero"
            )


def simulate_services(
    folder: str | Path, *, members: int, seed: int, truth: ServiceTruth | None = None
) -> Path:
    """Write a service plan's tables as an insurer would deliver them, and beside them what is true.

    Parameters
    ----------
    folder : path
        Where to write; a book that is there is replaced once the new one is whole.
    members : int
        1 or more.
    seed : int
        0 or more; the same seed gives the same rows.
    truth : ServiceTruth, optional
        What is true; the defaults where left out.

    Returns
    -------
    Path
        The folder, with ``service_members``, ``service_uses``, ``claims`` and ``truth.json``.

    Raises
    ------
    InputError
        For members or a seed out of range, or a folder that cannot be written.

    Notes
    -----
    Uses are Poisson given a member's gamma factor, drawn at the highest rate and thinned to the rate
    at the age of the day, so the rates by age band and sex are exactly those of the truth. Members
    in better latent health engage more and claim less: engagement looks better than it is.

    Examples
    --------
    >>> import tempfile
    >>> book = simulate_services(Path(tempfile.mkdtemp()) / "book", members=50, seed=1)
    >>> sorted(path.name for path in book.iterdir())
    ['claims', 'service_members', 'service_uses', 'truth.json']
    """
    for name, value, least in (("members", members, 1), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InputError(f"{name} must be a whole number from {least}, got {value!r}")
    said, folder = truth or ServiceTruth(), Path(folder).absolute()
    people = _members(said, members, np.random.default_rng([seed, 0]))
    uses = _uses(said, people, seed)
    claims = _claims(said, people, np.random.default_rng([seed, 99]))
    with replacing(folder) as beside:
        require_replaceable(folder, mark="truth.json", what="a simulated book")
        for name, table in (
            ("service_members", people.drop("latent", "row")),
            ("service_uses", uses),
            ("claims", claims),
        ):
            (beside / name).mkdir(parents=True)
            table.write_parquet(beside / name / "part-0000.parquet")
        account: dict[str, Any] = {"members": members, "seed": seed, "services": SERVICES}
        account["parameters"] = asdict(said)
        text = json.dumps(account, indent=2, default=str)
        (beside / "truth.json").write_text(text + "\n", encoding="utf-8")
    return folder


def _members(said: ServiceTruth, n: int, random: np.random.Generator) -> pl.DataFrame:
    first, last = (said.start - _EPOCH).days, (said.end - _EPOCH).days
    ages = np.clip(random.gamma(9.0, 4.9, n), 19, 85)
    start = np.where(random.random(n) < 0.7, first - 200, random.integers(first, last - 60, n))
    stays = random.random(n) < 0.85
    end = np.where(stays, last, np.maximum(start + 30, random.integers(first + 30, last, n)))
    male, latent = random.random(n) < 0.5, random.standard_normal(n)
    lean = said.selection * latent - 0.03 * (ages - 45) + random.logistic(size=n)
    engaged = np.digitize(lean, [-0.3, 1.0])
    chosen = random.choice(3, n, p=[0.6, 0.3, 0.1])
    return pl.DataFrame(
        {
            "policy_id": pl.Series(np.arange(n)).cast(pl.String).str.zfill(8).str.replace("^", "S"),
            "birth_date": _days(np.minimum(start, first) - np.floor(ages * _YEAR)),
            "sex": pl.Series(np.where(male, "male", "female"), dtype=pl.Enum(["female", "male"])),
            "start": _days(start),
            "end": _days(end),
            "service_level": np.array(LEVELS)[chosen],
            "engagement": np.array(ENGAGEMENT)[engaged],
            "latent": latent,
            "row": np.arange(n),
        }
    )


def _uses(said: ServiceTruth, people: pl.DataFrame, seed: int) -> pl.DataFrame:
    start, length = _observed(said, people)
    frailty = np.random.default_rng([seed, 1]).gamma(1 / said.frailty, said.frailty, people.height)
    parts = []
    for i, name in enumerate(SERVICES):  # a handful
        random = np.random.default_rng([seed, 2 + i])
        channel = name == "green_channel"
        most = (
            0.6 * said.rates[i]
            if channel
            else said.rates[i] * max(said.female[i], 1.0) * max(said.by_age)
        )
        heavy = np.ones(people.height) if channel else frailty
        count = random.poisson(most * heavy * length / _YEAR)
        who = np.repeat(np.arange(people.height), count)
        day = start[who] + np.floor(random.random(who.size) * length[who])
        drawn = pl.DataFrame({"row": who, "day": _days(day)}).join(
            people.select("row", "policy_id", "birth_date", "sex"),
            on="row",
            maintain_order="left",
        )
        kept = random.random(who.size) * most < _rate(said, i, drawn)
        shape = 1 / said.cost_cv**2
        cost = random.gamma(shape, said.unit_costs[i] / shape, who.size).round(2)
        parts.append(
            drawn.select("policy_id", service=pl.lit(name), day="day", cost=pl.Series(cost)).filter(
                pl.Series(kept)
            )
        )
    uses = pl.concat(parts).sort("day", "policy_id", "service", maintain_order=True)
    number = pl.int_range(pl.len()).cast(pl.String).str.zfill(9)
    return uses.select(number.alias("use_id"), "policy_id", "service", "day", "cost")


def _rate(said: ServiceTruth, i: int, drawn: pl.DataFrame) -> Floats:
    """True rate on the day of each candidate, from age last birthday and sex."""
    month_day = [
        pl.col(name).dt.month().cast(pl.Int32) * 100 + pl.col(name).dt.day()
        for name in ("day", "birth_date")
    ]
    age = (
        pl.col("day").dt.year() - pl.col("birth_date").dt.year()
        - (month_day[0] < month_day[1]).cast(pl.Int32)
    )  # fmt: skip
    aged = drawn.with_columns(age=age)
    if SERVICES[i] == "green_channel":
        severe, minor = rate_table("cn_ci_2020", "ci4"), rate_table("cn_ci_2020_minor")
        ratio = minor.rate(age=pl.col("age").clip(upper_bound=60))
        struck = aged.select(severe.rate() * (1 + ratio)).to_series().to_numpy()
        return np.asarray(struck * said.rates[i])
    band = np.digitize(aged["age"].to_numpy(), EDGES[1:])
    sex = np.where(aged["sex"].cast(pl.String).to_numpy() == "female", said.female[i], 1.0)
    return np.asarray(said.rates[i] * np.array(said.by_age)[band] * sex)


def _claims(said: ServiceTruth, people: pl.DataFrame, random: np.random.Generator) -> pl.DataFrame:
    start, length = _observed(said, people)
    age = (start - people["birth_date"].to_physical().to_numpy()) / _YEAR
    engaged = people["engagement"].replace_strict(
        dict(zip(ENGAGEMENT, said.engagement_ratio, strict=True)), return_dtype=pl.Float64
    )
    rate = said.claim_rate * np.exp(
        0.035 * (age - 45) - said.selection / 2 * people["latent"].to_numpy()
    )
    count = random.poisson(rate * engaged.to_numpy() * length / _YEAR)
    who = np.repeat(np.arange(people.height), count)
    day = start[who] + np.floor(random.random(who.size) * length[who])
    return pl.DataFrame(
        {
            "claim_id": pl.Series(np.arange(who.size)).cast(pl.String).str.zfill(9),
            "policy_id": people["policy_id"].gather(who),
            "incurred": _days(day),
            "amount": random.gamma(1.2, 7000.0, who.size).round(2),
        }
    )


def _observed(said: ServiceTruth, people: pl.DataFrame) -> tuple[Floats, Floats]:
    """First day observed of each member, as a day number, and how many days."""
    first, last = (said.start - _EPOCH).days, (said.end - _EPOCH).days
    start = np.maximum(people["start"].to_physical().to_numpy(), first).astype(float)
    end = np.minimum(people["end"].to_physical().to_numpy(), last).astype(float)
    return start, end - start


def _days(numbers: npt.ArrayLike) -> pl.Series:
    return pl.Series(np.asarray(numbers).astype(np.int32)).cast(pl.Date)
