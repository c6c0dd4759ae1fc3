"""The insured by age and sex: delivered, or a stable population of a life table."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.optimize import brentq

from pricing.care.number import is_number
from pricing.data.rates import SEXES, RateTable, rate_table
from pricing.errors import InputError

__all__ = ["OLDEST", "Insured", "banded_population", "deaths_of", "insured_of", "stable_population"]

Floats = NDArray[np.float64]
OLDEST = 105  # the last age of the Chinese tables; held by all who are older
SEX_RATIO = 1.06  # boys born for each girl


class Insured:
    """Lives by sex and age, 0 to 105, with what was assumed to get them.

    Attributes
    ----------
    lives : array, 2 sexes (female, male) × 106 ages
    births : array of 2
        New entrants a year at age 0.
    notes : tuple of str
        What was assumed.
    """

    def __init__(self, lives: Floats, births: Floats, notes: tuple[str, ...]) -> None:
        self.lives, self.births, self.notes = lives, births, notes

    @property
    def total(self) -> float:
        """All insured."""
        return float(self.lives.sum())

    @property
    def aged_share(self) -> float:
        """Share aged 65 and over."""
        return float(self.lives[:, 65:].sum() / self.lives.sum())

    def frame(self) -> pl.DataFrame:
        """As the delivered table ``insured_population``."""
        ages = self.lives.shape[1]
        return pl.DataFrame({
            "sex": pl.Series(np.repeat(["female", "male"], ages), dtype=SEXES),
            "age": np.tile(np.arange(ages), 2), "insured": self.lives.ravel(),
        })  # fmt: skip


def stable_population(
    insured: float, *, aged_share: float | None = None, table: RateTable | None = None
) -> Insured:
    """Lay out insured by age and sex as a stable population of a life table.

    Parameters
    ----------
    insured : float
        All of them, such as 18,000,000.
    aged_share : float, optional
        Share aged 65 and over, which sets how fast births have been growing; that of a stationary
        population where left out.
    table : RateTable, optional
        Probabilities of death by sex and age 0 to 105; CL3 of 2025 where left out.

    Returns
    -------
    Insured
        With births a year that keep a stationary population where it is.

    Raises
    ------
    InputError
        For no insured, a share outside what growth of -5 to 5 % a year can give.

    Notes
    -----
    l(x) e^(-rx), 1.06 boys born per girl; r solves the share (Lotka's stable population; Keyfitz and
    Caswell 2005, Applied Mathematical Demography, chapter 5).

    Examples
    --------
    >>> found = stable_population(18_000_000, aged_share=0.17)
    >>> round(found.total), round(found.aged_share, 6)
    (18000000, 0.17)
    """
    if not (is_number(insured) and insured > 0):
        raise InputError(f"the number insured must be above 0, got {insured!r}")
    known = rate_table("cn_life_2025", "cl3") if table is None else table
    alive = _survivors(known)
    ages = np.arange(alive.shape[1])

    def grown(rate: float) -> Floats:
        return np.asarray(alive * np.exp(-rate * ages))

    def share(rate: float) -> float:
        lives = grown(rate)
        return float(lives[:, 65:].sum() / lives.sum())

    rate = 0.0
    if aged_share is not None:
        low, high = share(0.05), share(-0.05)
        if not (is_number(aged_share) and low <= aged_share <= high):
            raise InputError(
                f"a share of {aged_share!r} aged 65 and over; growth of -5 to 5 % a year gives "
                f"{low:.3f} to {high:.3f}"
            )
        rate = float(brentq(lambda r: share(r) - aged_share, -0.05, 0.05, xtol=1e-14))
    lives = grown(rate)
    lives *= insured / lives.sum()
    notes = (
        f"insured: stable population of {known.name}, births growing {rate:.4%} a year, "
        f"{lives[:, 65:].sum() / lives.sum():.1%} aged 65 and over (an assumption where not delivered)",
    )
    return Insured(lives, lives[:, 0].copy(), notes)


def banded_population(
    insured: float, shares: Mapping[str, float], *, table: RateTable | None = None
) -> Insured:
    """Lay out insured by bands of age, within each as a stationary population of a life table.

    Parameters
    ----------
    insured : float
        All of them.
    shares : mapping of str to float
        Share of the insured by band, such as ``{"0-59": 0.8, "60+": 0.2}``: every age once, from 0.
    table : RateTable, optional
        CL3 of 2025 where left out.

    Raises
    ------
    InputError
        For bands that overlap or leave ages out, and shares that do not add to 1.

    Examples
    --------
    >>> found = banded_population(1_000, {"0-64": 0.83, "65+": 0.17})
    >>> round(found.total), round(found.aged_share, 12)
    (1000, 0.17)
    """
    if not (is_number(insured) and insured > 0):
        raise InputError(f"the number insured must be above 0, got {insured!r}")
    known = rate_table("cn_life_2025", "cl3") if table is None else table
    spans, faults = [], []
    for band, share in shares.items():
        ends = band.removesuffix("+").split("-")
        if not all(e.isascii() and e.isdigit() for e in ends) or len(ends) != (
            1 if band.endswith("+") else 2
        ):
            faults.append(f"{band!r} is no band of ages: write 0-9 or 80+")
            continue
        spans.append((int(ends[0]), OLDEST if band.endswith("+") else int(ends[1])))
        if not (is_number(share) and share >= 0):
            faults.append(f"the share of {band} is {share!r}")
    held = sorted(spans)
    if not faults and (
        not held or held[0][0] != 0 or held[-1][1] != OLDEST
        or any(a[1] + 1 != b[0] for a, b in pairwise(held))
    ):  # fmt: skip
        faults.append("the bands must hold every age once, from 0 to an open last band such as 80+")
    if not faults and abs(sum(shares.values()) - 1) > 1e-6:
        faults.append(f"the shares add to {sum(shares.values()):g}, not 1")
    if faults:
        raise InputError("bands of age that cannot be used", faults=faults)
    lives = _survivors(known)
    for (low, high), share in zip(spans, shares.values(), strict=True):
        part = lives[:, low : high + 1]
        part *= insured * share / part.sum()
    lives *= insured / lives.sum()
    notes = (
        "insured: shares by band of age as given, within each as in " + known.name,
        "shares: " + ", ".join(f"{band} {share:.1%}" for band, share in shares.items()),
    )
    return Insured(lives, lives[:, 0].copy(), notes)


def _survivors(table: RateTable) -> Floats:
    """Lives of a stationary population by sex and age, the sexes in their share at birth."""
    q = deaths_of(table)
    alive = np.concatenate([np.ones((2, 1)), np.cumprod(1 - q[:, :-1], axis=1)], axis=1)
    return np.asarray(alive * np.array([[1.0], [SEX_RATIO]]) / (1 + SEX_RATIO))


def insured_of(frame: pl.DataFrame) -> Insured:
    """Take the insured as delivered, table ``insured_population``.

    Parameters
    ----------
    frame : polars.DataFrame
        ``age`` (whole years), ``sex`` and ``insured``; ages left out have none, those over 105 stand
        at 105.

    Raises
    ------
    InputError
        For columns that lack, sexes other than female and male, rows given twice, numbers below 0.

    Examples
    --------
    >>> found = insured_of(pl.DataFrame({"age": [0, 70], "sex": ["female", "male"], "insured": [10.0, 5.0]}))
    >>> found.total, found.births.tolist()
    (15.0, [10.0, 0.0])
    """
    lacking = [c for c in ("age", "sex", "insured") if c not in frame.columns]
    if lacking:
        raise InputError(f"columns {', '.join(lacking)} are missing from insured_population")
    texts = [c for c in ("age", "insured") if not frame.schema[c].is_numeric()]
    if texts and not frame.is_empty():
        faults = [f"{c} is {frame.schema[c]}, not a number" for c in texts]
        raise InputError("insured that cannot be used", faults=faults)
    sex, age = pl.col("sex").cast(pl.String), pl.col("age")
    bad = {
        "a sex other than female and male": ~sex.is_in(["female", "male"]).fill_null(False),
        "an age that is empty, not whole or not in 0 to 120": ~(
            age.is_between(0, 120) & (age.cast(pl.Float64) == age.cast(pl.Float64).floor())
        ).fill_null(False),
        "a number that is empty, below 0 or not finite": ~pl.col("insured")
        .is_between(0, float("inf"), closed="left")
        .fill_null(False),
        "a sex and age given twice": pl.struct("sex", "age").is_duplicated(),
    }
    faults = [
        f"{what} in {rows.height:,} of {frame.height:,} rows: {rows.row(0)}"
        for what, wrong in bad.items()
        if not (rows := frame.filter(wrong).select("sex", "age", "insured")).is_empty()
    ]
    if faults:
        raise InputError("insured that cannot be used", faults=faults)
    lives = np.zeros((2, OLDEST + 1))
    np.add.at(
        lives,
        (
            (frame["sex"].cast(pl.String) == "male").cast(pl.Int64).to_numpy(),
            np.minimum(frame["age"].cast(pl.Int64).to_numpy(), OLDEST),
        ),
        frame["insured"].cast(pl.Float64).to_numpy(),
    )
    if not lives.sum() > 0:
        raise InputError("there are no insured")
    notes = ("insured: as delivered by age and sex; new entrants a year are those now aged 0",)
    return Insured(lives, lives[:, 0].copy(), notes)


def deaths_of(table: RateTable) -> Floats:
    """Probabilities of death, 2 sexes × ages 0 to 105.

    Examples
    --------
    >>> deaths_of(rate_table("cn_life_2025", "cl3")).shape
    (2, 106)
    """
    wanted = pl.DataFrame({
        "sex": pl.Series(np.repeat(["female", "male"], OLDEST + 1), dtype=SEXES),
        "age": np.tile(np.arange(OLDEST + 1), 2),
    })  # fmt: skip
    found = wanted.select(table.rate()).to_series()
    if found.null_count():
        raise InputError(
            f"{table.name} lacks {found.null_count()} of {wanted.height} ages 0 to {OLDEST} by sex"
        )
    return found.to_numpy().reshape(2, OLDEST + 1)
