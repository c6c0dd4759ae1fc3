"""A simulated book of the elder medical plan whose truth is known: members, terms, claims by benefit."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from pricing.errors import InputError
from pricing.files import replacing, require_replaceable
from pricing.inputs import json_tree

__all__ = ["ElderParameters", "TrueBenefit", "simulate_elder_book", "true_elder_book"]

Array = npt.NDArray[np.float64]
FIRST, LAST, END = date(2023, 1, 1), date(2024, 12, 31), date(2026, 1, 1)
TIERS = ("basic", "premium")
YEAR = 365.25
OLDEST = 95
_TRUTH = "truth.json"


@dataclass(frozen=True, kw_only=True)
class TrueBenefit:
    """What is true of a benefit.

    Attributes
    ----------
    frequency : float
        Claims per insured-year in cover at age 70.
    slope : float
        Growth of the frequency per year of attained age (log scale).
    mean, cv : float
        Of the bill of one claim, log-normal: mean in yuan, coefficient of variation.
    dispersion : float
        Variance over mean of a person's claims of a year at age 70 (gamma between persons).
    coinsurance : float
        Share of the bill the insured pays; the claim's amount is the rest.
    waiting_days : int
        Days without cover at the start of the first term.
    premium_only : bool
        Whether only the premium tier has it.

    Examples
    --------
    >>> TrueBenefit(frequency=1.0, mean=100.0, cv=1.0).dispersion
    1.0
    """

    frequency: float
    mean: float
    cv: float
    slope: float = 0.0
    dispersion: float = 1.0
    coinsurance: float = 0.0
    waiting_days: int = 0
    premium_only: bool = False


def _benefits() -> dict[str, TrueBenefit]:
    return {
        "outpatient": TrueBenefit(
            frequency=2.4, mean=150.0, cv=1.0, slope=0.02, dispersion=1.5, coinsurance=0.2
        ),
        "telehealth": TrueBenefit(frequency=1.0, mean=30.0, cv=0.3, coinsurance=0.2),
        "home_nursing": TrueBenefit(
            frequency=3.0, mean=290.0, cv=0.8, slope=0.05, dispersion=2.0, coinsurance=0.2,
            waiting_days=30, premium_only=True,
        ),
        "emergency_transfer": TrueBenefit(
            frequency=0.06, mean=900.0, cv=0.5, slope=0.04, coinsurance=0.2, premium_only=True
        ),
    }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ElderParameters:
    """What is true of the book.

    Attributes
    ----------
    benefits : mapping of str to TrueBenefit
        By name.
    premium_share : float
        Share of members in the premium tier.
    renews : float
        Probability that a member renews at an anniversary.
    prices : tuple of float
        Annual premium of the basic and of the premium tier, yuan.

    Examples
    --------
    >>> ElderParameters().prices
    (500.0, 2000.0)
    """

    benefits: Mapping[str, TrueBenefit] = field(default_factory=_benefits)
    premium_share: float = 0.3
    renews: float = 0.85
    prices: tuple[float, float] = (500.0, 2000.0)


def simulate_elder_book(
    folder: str | Path, *, members: int, seed: int, parameters: ElderParameters | None = None
) -> Path:
    """Write a simulated book of the elder medical plan, and what is true of it.

    Parameters
    ----------
    folder : path
        Where to write; a book that is there is replaced once the new one is whole.
    members : int
        Policies issued, one per member, 1 or more.
    seed : int
        0 or more. The same seed gives the same tables.
    parameters : ElderParameters, optional
        What is true.

    Returns
    -------
    Path
        The folder: ``policies`` (policy_id AJ00000001 on, person_id, birth_date, sex, tier, start,
        end, exit_cause), ``renewals`` (a row per term), ``claims`` (claim_id, policy_id, incurred,
        reported, paid, amount, bill, benefit), each with a ``part-0000.parquet``; ``truth.json``.

    Raises
    ------
    InputError
        For members or a seed out of range, or a folder that must not be written.

    Notes
    -----
    Policies start evenly from 2023-01-01 to 2024-12-31 at ages 60 to 89 and are observed before
    2026-01-01; terms last a year. Claims are Poisson given the person; frequencies follow attained
    age, up to 95. Figures of use and bill are set, not observed.

    Examples
    --------
    >>> import tempfile
    >>> book = simulate_elder_book(Path(tempfile.mkdtemp()) / "book", members=50, seed=1)
    >>> pl.read_parquet(book / "policies")["policy_id"][0]
    'AJ00000001'
    """
    _require(members, seed)
    truth = parameters or ElderParameters()
    folder = Path(folder).absolute()
    with replacing(folder) as beside:
        require_replaceable(folder, mark=_TRUTH, what="a simulated book")
        draw = np.random.default_rng(seed)
        policies, days = _policies(truth, members, draw)
        claims, expected = _claims(truth, policies, days, draw)
        tables = {"policies": policies, "renewals": _renewals(truth, policies), "claims": claims}
        for name, table in tables.items():
            (beside / name).mkdir(parents=True)
            table.write_parquet(beside / name / "part-0000.parquet")
        account = {
            "members": members,
            "seed": seed,
            "parameters": asdict(truth),
            "expected_claims": expected,
        }
        (beside / _TRUTH).write_text(json.dumps(account, indent=2) + "\n", encoding="utf-8")
    return folder


def true_elder_book(folder: str | Path) -> dict[str, Any]:
    """Read what is true of a simulated book of the elder plan.

    Examples
    --------
    >>> import tempfile
    >>> book = simulate_elder_book(Path(tempfile.mkdtemp()) / "book", members=5, seed=1)
    >>> true_elder_book(book)["parameters"]["benefits"]["telehealth"]["mean"]
    30.0
    """
    path = Path(folder) / _TRUTH
    try:
        account: dict[str, Any] = dict(json_tree(path))
    except (InputError, TypeError, ValueError) as error:
        raise InputError(
            f"no readable account of what is true: {error}",
            where=str(path),
            do="name a folder that simulate_elder_book wrote",
        ) from error
    return account


def _policies(
    truth: ElderParameters, members: int, draw: np.random.Generator
) -> tuple[pl.DataFrame, dict[str, Array]]:
    start = draw.integers(0, (LAST - FIRST).days + 1, members)
    age_days = draw.integers(60 * 366, 90 * 365, members)
    premium = draw.random(members) < truth.premium_share
    male = draw.random(members) < 0.46
    kept = draw.random((members, 2)) < truth.renews
    terms = 1 + kept[:, 0] + (kept[:, 0] & kept[:, 1])
    first = pl.Series(start).cast(pl.Int32) + (FIRST - date(1970, 1, 1)).days
    frame = pl.DataFrame(
        {"start": first.cast(pl.Date), "terms": terms, "age_days": age_days}
    ).with_columns(
        number=pl.int_range(1, pl.len() + 1),
        birth_date=(pl.col("start").cast(pl.Int32) - pl.col("age_days"))
        .cast(pl.Int32)
        .cast(pl.Date),
        sex=pl.when(pl.Series(male)).then(pl.lit("male")).otherwise(pl.lit("female")),
        tier=pl.when(pl.Series(premium)).then(pl.lit(TIERS[1])).otherwise(pl.lit(TIERS[0])),
        end=pl.col("start").dt.offset_by(pl.format("{}y", pl.col("terms"))),
    )
    frame = frame.with_columns(
        exit_cause=pl.when(pl.col("end") <= END).then(pl.lit("lapse")).otherwise(None),
    )
    key = pl.col("number").cast(pl.String).str.zfill(8)
    policies = frame.select(
        policy_id="AJ" + key,
        person_id="M" + key,
        birth_date="birth_date",
        sex="sex",
        tier="tier",
        start="start",
        end="end",
        exit_cause="exit_cause",
    )
    until = frame.select(pl.min_horizontal("end", pl.lit(END))).to_series()
    days = {
        "start": frame["start"].cast(pl.Int32).to_numpy().astype(float),
        "until": until.cast(pl.Int32).to_numpy().astype(float),
        "birth": frame["birth_date"].cast(pl.Int32).to_numpy().astype(float),
        "premium": premium.astype(float),
    }
    return policies, days


def _renewals(truth: ElderParameters, policies: pl.DataFrame) -> pl.DataFrame:
    terms = policies.select("policy_id", "tier", "start", "end").with_columns(
        policy_year=pl.int_ranges(0, pl.col("end").dt.year() - pl.col("start").dt.year())
    )
    years = terms.explode("policy_year", empty_as_null=True).with_columns(first=pl.col("start"))
    start = pl.col("first").dt.offset_by(pl.format("{}y", pl.col("policy_year")))
    end = pl.col("first").dt.offset_by(pl.format("{}y", pl.col("policy_year") + 1))
    price = pl.col("tier").replace_strict(dict(zip(TIERS, truth.prices, strict=True)))
    return (
        years.select(
            "policy_id",
            "policy_year",
            start=start,
            end=end,
            health_group=pl.lit("G0"),
            standard_premium=price.cast(pl.Float64),
            premium=price.cast(pl.Float64),
        )
        .filter(pl.col("start") < END)
        .sort("policy_id", "policy_year")
    )


def _claims(
    truth: ElderParameters,
    policies: pl.DataFrame,
    days: dict[str, Array],
    draw: np.random.Generator,
) -> tuple[pl.DataFrame, dict[str, float]]:
    ids, found, expected = policies["policy_id"], [], {}
    for name, b in truth.benefits.items():
        begin = np.minimum(days["start"] + b.waiting_days, days["until"])
        length = (days["until"] - begin) * (days["premium"] if b.premium_only else 1.0)
        most = b.frequency * math.exp(max(b.slope, 0.0) * (OLDEST - 70))
        person = np.ones(length.size)
        if b.dispersion > 1:
            shape = b.frequency / (b.dispersion - 1)
            person = draw.gamma(shape, 1 / shape, length.size)
        who = np.repeat(np.arange(length.size), draw.poisson(most * length / YEAR * person))
        at = np.floor(begin[who] + draw.random(who.size) * length[who])
        here = draw.random(who.size) < b.frequency * _by_age(b, at, days["birth"][who]) / most
        who, at = who[here], at[here]
        sigma = math.sqrt(math.log1p(b.cv**2))
        bill = draw.lognormal(math.log(b.mean) - sigma**2 / 2, sigma, who.size)
        lag = draw.integers(0, 15, who.size)
        found.append(
            pl.DataFrame(
                {"policy_id": ids.gather(who), "_day": at.astype(np.int32), "bill": bill.round(2)}
            )
            .with_columns(
                benefit=pl.lit(name),
                amount=((1 - b.coinsurance) * pl.col("bill")).round(2),
                reported=(pl.col("_day") + pl.Series(lag).cast(pl.Int32)).cast(pl.Date),
            )
            .with_columns(paid=pl.col("reported").dt.offset_by("1d"))
        )
        expected[name] = float(_expected(b, begin, length, days["birth"]))
    claims = pl.concat(found).sort("_day", "policy_id", "benefit")
    number = pl.int_range(1, pl.len() + 1).cast(pl.String).str.zfill(9)
    columns = ("policy_id", "reported", "paid", "amount", "bill", "benefit")
    return (
        claims.select(
            *columns, claim_id="AJC" + number, incurred=pl.col("_day").cast(pl.Date)
        ).select("claim_id", "policy_id", "incurred", *columns[1:]),
        expected,
    )


def _by_age(b: TrueBenefit, day: Array, birth: Array) -> Array:
    age = np.floor((day - birth) / YEAR)
    return np.asarray(np.exp(b.slope * (np.minimum(age, OLDEST) - 70)))


def _expected(b: TrueBenefit, begin: Array, length: Array, birth: Array) -> float:
    """Expected claims, by the month's middle day."""
    total, step = 0.0, 30.4375
    for k in range(37):
        part = np.clip(length - k * step, 0.0, step)
        total += float((part * _by_age(b, begin + k * step + part / 2, birth)).sum())
    return b.frequency * total / YEAR


def _require(members: int, seed: int) -> None:
    faults = [
        f"{name} is a whole number of {least} or more, got {value!r}"
        for name, value, least in (("members", members, 1), ("seed", seed, 0))
        if isinstance(value, bool) or not isinstance(value, int) or value < least
    ]
    if faults:
        raise InputError("a book that cannot be simulated", faults=faults)
