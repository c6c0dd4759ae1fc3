"""A simulated mutual-aid plan whose truth is known: members join and leave, fall ill, cases are published.

Two risk classes nobody sees; the high risks leave less, so the plan's incidence rises as it ages: selection.
"""

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

__all__ = ["AidParameters", "simulate_aid"]

LAUNCH, END = date(2018, 10, 16), date(2021, 12, 31)
Floats = npt.NDArray[np.float64]
Days = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class AidParameters:
    """What is true of the simulated plan.

    Attributes
    ----------
    incidence_factor : float
        First illness of the average joiner against the table ``cn_ci_2020`` ``ci4``.
    high_share, high_risk : float
        Share of joiners of high risk, and their incidence over the low risks'.
    leave_rate, high_leave : float
        Yearly force of leaving of the low risks, and that of the high over the low.
    honorary_share, assisted_share : float
        Shares of joiners who only pay, and who pay nothing.
    growth_days : float
        Mean days from the launch to joining, of an exponential cut at the end of the window.
    lag_days : float
        Mean days from diagnosis to publication, gamma with shape 4.
    faulty_share : float
        Rows without a class, as real deliveries have them.

    Examples
    --------
    >>> AidParameters().incidence_factor
    0.4
    """

    incidence_factor: float = 0.4
    high_share: float = 0.2
    high_risk: float = 4.0
    leave_rate: float = 0.15
    high_leave: float = 0.3
    honorary_share: float = 0.02
    assisted_share: float = 0.05
    growth_days: float = 350.0
    lag_days: float = 45.0
    faulty_share: float = 0.0005


def simulate_aid(
    folder: Path, *, members: int, seed: int, parameters: AidParameters | None = None
) -> None:
    """Write members and published cases of a plan like Xiang Hu Bao, with the truth in ``truth.json``.

    Benefits are 300,000 under 40 and 100,000 from 40 to 59, the waiting period 90 days, publication on
    the 7th and 21st. Who is helped leaves on the day of publication; who falls ill while waiting
    stays without a case.

    Parameters
    ----------
    folder : Path
        Receives ``aid_members/`` and ``aid_cases/``.
    members : int
        Joiners, 1 or more.
    seed : int
        The same seed gives the same rows.
    parameters : AidParameters, optional
        What is true.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> simulate_aid(folder, members=50, seed=1)
    >>> pl.read_parquet(folder / "aid_members/*.parquet").height
    50
    """
    if members != int(members) or members < 1:
        raise InputError(f"{members} members; a whole number, 1 or more")
    truth = parameters or AidParameters()
    draw = np.random.default_rng([seed, 43])
    n = int(members)
    number = np.array([f"A{i:09d}" for i in range(n)])
    first, last = (int(np.datetime64(d).astype(int)) for d in (LAUNCH, END))
    joined = first + np.floor(_cut_exponential(draw, n, truth.growth_days, last - first)).astype(
        int
    )
    age = np.clip(18 + 42 * draw.beta(1.7, 2.4, n), 18.0, 59.9)
    born = joined - np.floor(age * 365.25).astype(int)
    male = draw.random(n) < 0.52
    high = draw.random(n) < truth.high_share
    kind = draw.choice(
        3, n, p=[1 - truth.honorary_share - truth.assisted_share, truth.honorary_share, truth.assisted_share]
    )  # fmt: skip
    force = truth.leave_rate * np.where(high, truth.high_leave, 1.0)
    left = joined + 1 + np.floor(365.25 * draw.exponential(1 / force)).astype(int)
    ill, ill_age = _illness(draw, truth, joined, age, male, high, last)
    published = _published(ill + np.ceil(draw.gamma(4.0, truth.lag_days / 4, n)).astype(int))
    exact = _age_on(born, ill)
    helped = (
        (ill >= joined + 90) & (ill < left) & (exact < 60) & (kind != 1) & (published <= last) & (ill_age < 61)
    )  # fmt: skip
    left = np.where(helped, np.minimum(left, published), left)
    faulty = draw.random(n) < truth.faulty_share
    classes = np.array(["member", "honorary", "assisted"])[kind]
    rows = pl.DataFrame(
        {
            "member_id": number,
            "birth_date": born,
            "sex": np.where(male, "male", "female"),
            "joined": joined,
            "left": pl.Series(np.where(left <= last, left, -1)).replace(-1, None),
            "member_class": np.where(faulty, "", classes),
        }
    ).with_columns(pl.col("birth_date", "joined", "left").cast(pl.Int32).cast(pl.Date))
    at = np.flatnonzero(helped)
    cases = pl.DataFrame(
        {
            "case_id": [f"C{i:07d}" for i in range(at.size)],
            "member_id": number[at],
            "diagnosed": ill[at],
            "published": published[at],
            "amount": np.where(exact[at] < 40, 300_000.0, 100_000.0),
        },
        schema_overrides={"case_id": pl.String},
    ).with_columns(pl.col("diagnosed", "published").cast(pl.Int32).cast(pl.Date))
    for table, frame in (("aid_members", rows), ("aid_cases", cases)):
        (folder / table).mkdir(parents=True, exist_ok=True)
        frame.write_parquet(folder / table / "part-0000.parquet")
    said: dict[str, Any] = {
        "members": n,
        "seed": int(seed),
        "faulty": int(faulty.sum()),
        "cases": int(at.size),
    }
    said |= {"window": [LAUNCH.isoformat(), END.isoformat()], "parameters": asdict(truth)}
    (folder / "truth.json").write_text(json.dumps(said, indent=1), encoding="utf-8")


def _cut_exponential(draw: np.random.Generator, n: int, mean: float, most: float) -> Floats:
    reach = 1 - np.exp(-most / mean)
    return np.asarray(-mean * np.log(1 - reach * draw.random(n)))


def _illness(
    draw: np.random.Generator, truth: AidParameters, joined: Days, age: Floats,
    male: npt.NDArray[np.bool_], high: npt.NDArray[np.bool_], last: int,
) -> tuple[Days, Floats]:  # fmt: skip
    """Day and age of the first illness after joining; far ahead where there is none in the window."""
    table = rate_table("cn_ci_2020", "ci4").rates
    rates = np.zeros((2, 106))
    for sex, code in (("female", 0), ("male", 1)):
        one = table.filter(pl.col("sex") == sex)
        rates[code, one["age"].to_numpy()] = one["rate"].to_numpy()
    mean = 1 - truth.high_share + truth.high_share * truth.high_risk
    risk = truth.incidence_factor / mean * np.where(high, truth.high_risk, 1.0)
    need = draw.exponential(1.0, age.size)  # cumulated force at which illness falls
    day = np.full(age.size, last + 10_000)
    at = np.full(age.size, 999.0)
    start, open_ = age.copy(), np.ones(age.size, dtype=bool)
    for _ in range(5):  # whole ages a member can pass in the window
        whole = np.floor(start).astype(int)
        force = risk * -np.log1p(-rates[male.astype(int), whole.clip(0, 105)])
        length = whole + 1 - start
        falls = open_ & (need < force * length)
        at[falls] = (start + need / np.maximum(force, 1e-15))[falls]
        need = need - force * length
        open_ &= ~falls
        start = whole + 1.0
    some = at < 999
    day[some] = joined[some] + np.floor((at - age)[some] * 365.25).astype(int)
    return day, at


def _published(days: Days) -> Days:
    """The 7th or 21st of a month, the first that is not before the day."""
    dates = days.astype("datetime64[D]")
    months = dates.astype("datetime64[M]")
    of_month = (dates - months).astype(int) + 1
    here = months.astype("datetime64[D]").astype(int)
    there = (months + 1).astype("datetime64[D]").astype(int)
    return np.where(of_month <= 7, here + 6, np.where(of_month <= 21, here + 20, there + 6))


def _age_on(born: Days, days: Days) -> Days:
    """Age last birthday."""
    b, d = _parts(born), _parts(days)
    return np.asarray(d[0] - b[0] - (d[1] < b[1]), dtype=np.int64)


def _parts(days: Days) -> tuple[Days, Days]:
    """Calendar year, and the place of the day in it as 100 × month + day."""
    dates = days.astype("datetime64[D]")
    months = dates.astype("datetime64[M]")
    place = (months.astype(int) % 12) * 100 + (dates - months).astype(int)
    return months.astype("datetime64[Y]").astype(int), place
