"""Simulated offers of the tiers of an elder plan, whose truth is known: prices drawn by community."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pricing.errors import InputError
from pricing.files import replacing, require_replaceable

__all__ = ["OfferParameters", "offered_persons", "simulate_offers"]

PERSONS_PER_PART = 100_000


@dataclass(frozen=True, kw_only=True)
class OfferParameters:
    """What is true of simulated offers of an elder plan with the tiers basic and premium.

    The defaults follow the programme 安家守护计划: tiers of 500 and 2,000 yuan a year, a subsidy of 200,
    30 % of persons who know of the plan. Prices are drawn by community, so they have nothing to do with
    the persons. Effects on utility are those of a nested logit with the tiers in one nest.

    Parameters
    ----------
    communities : int
        Communities; each has one premium for each tier and one subsidy.
    basic_prices, premium_prices, subsidies : tuple of float
        Yuan a year, drawn with equal chance.
    aware : float
        Share of persons who know of the plan.
    basic, premium : float
        Constant of the tier: 70 years, female, risk at its median.
    price : float
        Effect of one yuan a year more.
    basic_risk, premium_risk : float
        Effect of the log of the person's risk against its median: selection.
    old : float
        Effect on both tiers of an age of 80 or more.
    dissimilarity : float
        λ of the nest.
    risk_median : float
        Median expected cost a year of the full benefits, yuan, at 70.
    risk_spread : float
        Standard deviation of its log.
    risk_age : float
        Change of its log per year of age.

    Examples
    --------
    >>> OfferParameters().aware
    0.3
    """

    communities: int = 80
    basic_prices: tuple[float, ...] = (300.0, 400.0, 500.0, 600.0, 700.0)
    premium_prices: tuple[float, ...] = (1200.0, 1600.0, 2000.0, 2400.0)
    subsidies: tuple[float, ...] = (0.0, 100.0, 200.0)
    aware: float = 0.30
    basic: float = 1.2
    premium: float = 5.4
    price: float = -0.004
    basic_risk: float = 0.4
    premium_risk: float = 0.9
    old: float = 0.3
    dissimilarity: float = 0.6
    risk_median: float = 900.0
    risk_spread: float = 0.7
    risk_age: float = 0.02

    def __post_init__(self) -> None:
        numbers = {k: v for k, v in asdict(self).items() if not isinstance(v, tuple)}
        faults = [
            f"{k} is not a finite number: {v!r}" for k, v in numbers.items() if not _number(v)
        ]
        for name in ("basic_prices", "premium_prices", "subsidies"):
            values = getattr(self, name)
            if not values or not all(_number(v) and v >= 0 for v in values):
                faults.append(f"{name} must be amounts of zero or more, got {values!r}")
        if not faults:
            least = min(*self.basic_prices, *self.premium_prices)
            if max(self.subsidies) > least:
                faults.append(f"a subsidy of {max(self.subsidies):g} is above a price of {least:g}")
            if not 0 < self.aware <= 1:
                faults.append(f"aware must be above 0, up to 1, got {self.aware!r}")
            if not 0 < self.dissimilarity <= 1:
                faults.append(f"dissimilarity must be above 0, up to 1, got {self.dissimilarity!r}")
            if self.risk_median <= 0 or self.risk_spread < 0:
                faults.append("risk_median must be above 0 and risk_spread not below 0")
            if not isinstance(self.communities, int) or self.communities < 1:
                faults.append(f"communities must be 1 or more, got {self.communities!r}")
        if faults:
            raise InputError("parameters of offers that cannot be", faults=faults)


def offered_persons(
    persons: int, *, seed: int, parameters: OfferParameters | None = None, part: int = 0
) -> pl.DataFrame:
    """Draw persons, what each was offered and which alternative each took.

    Parameters
    ----------
    persons : int
        1 or more.
    seed : int
        0 or more.
    parameters : OfferParameters, optional
    part : int
        Number of the part, so that parts of one book differ; prices by community are the book's.

    Returns
    -------
    polars.DataFrame
        Columns of the contract ``tier_offers``, with risk_band (low, middle, high by the median's 0.7 and
        1.4 times) and age_band.

    Notes
    -----
    Drawn from the shares of a nested logit, :mod:`pricing.choice.nested` (McFadden 1978); who does not
    know of the plan takes none.

    Examples
    --------
    >>> rows = offered_persons(100, seed=1)
    >>> rows.height, rows["chosen"].sum(), rows["alternative"].unique().sort().to_list()
    (300, 100, ['basic', 'none', 'premium'])
    """
    truth = parameters or OfferParameters()
    for name, value, least in (("persons", persons, 1), ("seed", seed, 0), ("part", part, 0)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InputError(f"must be a whole number from {least}, got {value!r}", where=name)
    book = np.random.default_rng([seed, 1])
    prices = np.column_stack([
        book.choice(v, truth.communities)
        for v in (truth.basic_prices, truth.premium_prices, truth.subsidies)
    ])  # fmt: skip
    draw = np.random.default_rng([seed, 2, part])
    community = draw.integers(0, truth.communities, persons)
    age = np.clip(60 + draw.gamma(4.0, 3.2, persons), 60, 99).round(0)
    sex = draw.random(persons) < 0.47
    log_risk = truth.risk_spread * draw.standard_normal(persons) + truth.risk_age * (age - 70)
    aware = draw.random(persons) < truth.aware
    basic, premium, subsidy = prices[community].T
    shift = truth.old * (age >= 80)
    v = np.column_stack([
        truth.basic + truth.basic_risk * log_risk + shift + truth.price * (basic - subsidy),
        truth.premium + truth.premium_risk * log_risk + shift + truth.price * (premium - subsidy),
    ])  # fmt: skip
    scaled = v / truth.dissimilarity
    inclusive = np.logaddexp(scaled[:, 0], scaled[:, 1])
    insured = 1 / (1 + np.exp(-truth.dissimilarity * inclusive))
    takes = aware & (draw.random(persons) < insured)
    first = draw.random(persons) < np.exp(scaled[:, 0] - inclusive)
    taken = np.where(takes, np.where(first, 1, 2), 0)
    zero = np.zeros(persons)
    one = np.arange(persons) + part * PERSONS_PER_PART + 1
    return pl.DataFrame({
        "person_id": np.repeat(one, 3),
        "alternative": ["none", "basic", "premium"] * persons,
        "price": np.column_stack([zero, basic, premium]).ravel(),
        "subsidy": np.column_stack([zero, subsidy, subsidy]).ravel(),
        "chosen": (taken[:, None] == np.arange(3)).ravel(),
        "aware": np.repeat(aware, 3),
        "community": np.repeat(community, 3),
        "sex": np.repeat(sex, 3),
        "age": np.repeat(age, 3),
        "risk": np.repeat((truth.risk_median * np.exp(log_risk)).round(2), 3),
    }).with_columns(
        person_id="E" + pl.col("person_id").cast(pl.String).str.zfill(9),
        community="C" + (pl.col("community") + 1).cast(pl.String).str.zfill(3),
        sex=pl.when("sex").then(pl.lit("male")).otherwise(pl.lit("female")),
        age_band=pl.when(pl.col("age") >= 80).then(pl.lit("80+")).otherwise(pl.lit("60-79")),
        risk_band=pl.when(pl.col("risk") < 0.7 * truth.risk_median).then(pl.lit("low"))
        .when(pl.col("risk") < 1.4 * truth.risk_median).then(pl.lit("middle"))
        .otherwise(pl.lit("high")).cast(pl.Enum(["low", "middle", "high"])),
    )  # fmt: skip


def simulate_offers(
    folder: str | Path, *, persons: int, seed: int, parameters: OfferParameters | None = None
) -> Path:
    """Write simulated offers with what is true of them beside.

    Parameters
    ----------
    folder : path
        Where to write ``tier_offers/part-0000.parquet`` and on, and ``truth.json``; another folder with
        files in it is refused.
    persons, seed, parameters
        As :func:`offered_persons`; 100,000 persons a part.

    Examples
    --------
    >>> import tempfile
    >>> book = simulate_offers(Path(tempfile.mkdtemp()) / "offers", persons=50, seed=1)
    >>> sorted(p.name for p in book.iterdir())
    ['tier_offers', 'truth.json']
    """
    truth = parameters or OfferParameters()
    folder = Path(folder).absolute()
    require_replaceable(folder, mark="truth.json", what="a simulated book")
    with replacing(folder) as beside:
        (beside / "tier_offers").mkdir(parents=True)
        for part, first in enumerate(range(0, max(persons, 1), PERSONS_PER_PART)):
            count = min(PERSONS_PER_PART, persons - first)
            rows = offered_persons(count, seed=seed, parameters=truth, part=part)
            rows.write_parquet(beside / "tier_offers" / f"part-{part:04d}.parquet")
        account: dict[str, Any] = {"persons": persons, "seed": seed, "parameters": asdict(truth)}
        text = json.dumps(account, indent=2)
        (beside / "truth.json").write_text(text + "\n", encoding="utf-8")
    return folder


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
