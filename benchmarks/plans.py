"""What is timed of the plans: a grid of tiers, a care fund, a period of mutual aid."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl


def tier_grid(size: int, folder: Path) -> dict[str, Callable[[], object]]:
    """Designs of a tier with the whole distribution of each loss ratio; no two share a cover."""
    from scipy import stats

    from pricing.losses.terms import Terms
    from pricing.tiers.benefit import Benefit, Gate
    from pricing.tiers.cost import cost_tier
    from pricing.tiers.grid import tier_grid as grid
    from pricing.tiers.tier import Tier, change_tier

    gate = Gate(sent=0.9, frequency=0.9, severity=0.7, emergency=0.05)
    own = {"coinsurance": 0.2, "measured_coinsurance": 0.2}
    tier = Tier(
        name="premium",
        premium=2000.0,
        terms=Terms(limit=20_000.0),
        benefits=(
            Benefit(name="outpatient", frequency=2.4, severity=stats.lognorm(s=0.8, scale=125.0), gate=gate, **own),
            Benefit(name="home_nursing", frequency=3.5, severity=stats.lognorm(s=0.7, scale=230.0), dispersion=2.0, **own),
            Benefit(name="emergency_transfer", frequency=0.07, severity=stats.lognorm(s=0.5, scale=800.0)),
        ),
    )  # fmt: skip
    axes = {
        "deductible": [10.0 * k for k in range(size // 50)],
        "coinsurance": [0.05 * k for k in range(5)],
        "year_most": [4000.0 * k for k in range(1, 6)],
        "gate": [True, False],
    }
    covers = [
        change_tier(tier, deductible=d, coinsurance=c, year_most=m, gate=g)
        for d in axes["deductible"]
        for c in axes["coinsurance"]
        for m in axes["year_most"]
        for g in axes["gate"]
    ]
    noise = np.random.default_rng(1).random((len(covers), 8192))
    some = covers[:: max(1, len(covers) // 50)]  # one by one takes minutes: a fiftieth of them
    return {
        "ours": lambda: grid(tier, 10_000, axes),
        "floor": lambda: np.fft.irfft(np.fft.rfft(noise, axis=1) ** 2, axis=1),
        "peer": lambda: [cost_tier(cover, 10_000) for cover in some],
    }


def care_projection(size: int, folder: Path) -> dict[str, Callable[[], object]]:
    """A care scheme of 18 million insured over so many years: lives by sex, age, state and months since onset, and the fund."""
    from scipy.linalg import expm

    from pricing.care.morbidity import morbidity
    from pricing.care.population import stable_population
    from pricing.care.projection import project_care
    from pricing.care.scheme import Fund, Scheme

    people = stable_population(18_000_000, aged_share=0.17)
    scheme = Scheme(prices={"home": 600.0}, observed_share=0.00711, waiting_months=6)
    fund = Fund(contribution=90.0, growth=0.03)
    bends = {
        "duration_months": (0, 6, 12, 24),
        "recovery_by_duration": (1.5, 1.2, 1.0, 0.6),
        "mortality_by_duration": (1.4, 1.1, 1.0, 0.9),
    }

    def ours() -> object:
        rates = morbidity(deaths="table", **bends)
        return project_care(people, rates, scheme, fund, years=size)

    def floor() -> object:  # the bare multiplications and sums of the months, chances at hand
        healthy, ill = np.ones((2, 106)), np.ones((2, 106, 25))
        p = np.full((4, 2, 106, 25), 0.2)
        q = np.full((2, 106), 0.9)
        for _ in range(12 * size):
            back, onset, stay = ill * p[0], ill * p[1], ill * p[2]
            new = healthy * q + onset.sum(axis=-1)
            healthy = healthy * q + back.sum(axis=-1)
            ill[..., 1:], ill[..., 0] = stay[..., :-1], new
        return ill

    def peer() -> (
        float
    ):  # scipy's exponential, one matrix of 27 states per sex, age and month, as a textbook would
        rates = morbidity(deaths="table")
        lives = np.zeros((2, 106, 27))
        lives[..., 0] = people.lives
        found = []
        for sex in range(2):
            for age in range(106):
                onset, back, dead, worse = rates.rates[:, sex, age]
                q = np.zeros((27, 27))
                q[0, 1], q[0, 26] = onset, dead
                for m in range(25):
                    q[1 + m, 0], q[1 + m, 26] = back, worse
                    if m < 24:
                        q[1 + m, 2 + m] = 12.0  # a month since onset as a phase
                np.fill_diagonal(q, -q.sum(axis=1))
                found.append(expm(q / 12))
        p = np.array(found).reshape(2, 106, 27, 27)
        for _ in range(size):
            for _ in range(12):
                lives = (lives[:, :, None, :] @ p)[:, :, 0]
            lives[:, 1:] = lives[:, :-1].copy()
        return lives

    return {"ours": ours, "floor": floor, "peer": peer}


def mutual_settlement(size: int, folder: Path) -> dict[str, Callable[[], object]]:
    """Settlement of a period of mutual aid: members streamed from Parquet to shares and ledger."""
    import duckdb

    from pricing.mutual_aid.rules import aid_rules
    from pricing.mutual_aid.settlement import settle

    parts = folder / f"members-{size}"
    if not parts.exists():
        parts.mkdir(parents=True)
        for chunk, start in enumerate(range(0, size, 2_000_000)):
            n, draw = min(2_000_000, size - start), np.random.default_rng([13, chunk])
            joined = draw.integers(17_820, 18_600, n)
            left = np.where(draw.random(n) < 0.15, joined + draw.integers(1, 900, n), -1)
            pl.DataFrame(
                {
                    "birth_date": draw.integers(-3_600, 10_500, n),
                    "joined": joined,
                    "left": pl.Series(left).replace(-1, None),
                    "member_class": pl.Series(draw.choice(3, n, p=[0.93, 0.02, 0.05]))
                    .replace_strict({0: "member", 1: "honorary", 2: "assisted"})
                    .cast(pl.Enum(["member", "honorary", "assisted"])),
                }
            ).with_columns(
                pl.col("birth_date", "joined", "left").cast(pl.Int32).cast(pl.Date)
            ).write_parquet(parts / f"part-{chunk:04}.parquet")
    files, day = str(parts / "*.parquet"), date(2020, 12, 7)
    cases = pl.DataFrame(
        {
            "case_id": [str(i) for i in range(3_369)],
            "published": [day] * 3_369,
            "amount": [300_000.0] * 626 + [100_000.0] * 2_743,
        }
    )
    keys = [
        pl.col("member_class"),
        pl.col("birth_date").dt.year(),
        pl.col("joined") <= day,
        pl.col("left") <= day,
    ]
    query = (
        "select member_class, year(birth_date), joined <= date '2020-12-07', "
        f"\"left\" <= date '2020-12-07', count(*) from '{files}' group by all"
    )
    return {
        "ours": lambda: settle(
            aid_rules("xiang_hu_bao"), pl.scan_parquet(files), cases, published=day
        ),
        "floor": lambda: (
            pl.scan_parquet(files).group_by(keys).agg(pl.len()).collect(engine="streaming")
        ),
        "peer": lambda: duckdb.sql(query).to_arrow_table(),
    }
