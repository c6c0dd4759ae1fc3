"""Random share: part of the visits is drawn from all cases in payment, so that leakage stays known.

Keep a random sample of the cases a score would leave out (United States General Accounting Office 1996
on continuing disability reviews). Whether a case is drawn depends on its number and the seed alone, so
the order of rows and a second run change nothing, and an auditor can draw it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import polars as pl

from pricing.errors import InputError
from pricing.reassessment.domain import (
    Floats,
    require_keys_once,
    require_rows_there,
    require_settings,
)

__all__ = ["Draw", "draw_random_share", "even_numbers"]

Draw = Literal["stratified", "poisson"]
_ODD = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_PRIME = np.uint64(0x100000001B3)


def draw_random_share(
    cases: pl.DataFrame,
    share: float,
    *,
    seed: int,
    draw: Draw = "stratified",
    strata: Sequence[str] = ("setting",),
    key: str = "case_id",
) -> pl.DataFrame:
    """Draw a share of all cases for a visit, each with a known probability.

    Parameters
    ----------
    cases : polars.DataFrame
        Every case in payment, one row each.
    share : float
        0 to 1.
    seed : int
        0 or more.
    draw : {"stratified", "poisson"}
        A fixed number from each stratum (simple random sampling: share × cases, rounded up, two at
        least), or every case on its own.
    strata : sequence of str
        Columns that make the strata.
    key : str
        The case's number.

    Returns
    -------
    polars.DataFrame
        The cases in their order with random (whether drawn), random_inclusion (its probability; 0 at a
        share of 0) and random_number.

    Raises
    ------
    InputError
        For a share outside 0 to 1, a case twice or without a number, strata that are empty.

    Examples
    --------
    >>> cases = pl.DataFrame({"case_id": [f"案{i}" for i in range(10)], "setting": ["home"] * 10})
    >>> drawn = draw_random_share(cases, 0.3, seed=1)
    >>> int(drawn["random"].sum()), drawn["random_inclusion"][0]
    (3, 0.3)
    >>> again = draw_random_share(cases.reverse(), 0.3, seed=1)
    >>> again.reverse().equals(drawn)
    True
    """
    require_rows_there(cases, "cases", [key, *strata])
    require_keys_once(cases, key, "cases")
    require_settings({"share": (0.0, 1.0)}, share=share)
    if draw not in ("stratified", "poisson"):
        raise InputError(f"draw={draw!r} is not offered: stratified or poisson")
    u = even_numbers(cases[key], seed)
    with_u = cases.with_columns(random_number=pl.Series(u))
    if share == 0:
        return with_u.with_columns(random=pl.lit(False), random_inclusion=pl.lit(0.0)).select(
            *cases.columns, "random", "random_inclusion", "random_number"
        )
    if draw == "poisson":
        return with_u.with_columns(
            random=pl.col("random_number") < share, random_inclusion=pl.lit(float(share))
        ).select(*cases.columns, "random", "random_inclusion", "random_number")
    empty = [n for n in strata if cases[n].null_count()]
    if empty:
        raise InputError(f"{empty[0]!r} is empty in {cases[empty[0]].null_count():,} cases: they are in no stratum")  # fmt: skip
    over = list(strata)
    many = pl.len().over(over) if over else pl.len()
    number = pl.col("random_number").rank("ordinal")  # two cases share one in 2⁵³ at most
    place = number.over(over) if over else number
    wanted = (many * share - 1e-9).ceil().clip(2).cast(pl.Int64)
    size = pl.min_horizontal(wanted, many.cast(pl.Int64))
    return with_u.with_columns(random=place <= size, random_inclusion=size / many).select(
        *cases.columns, "random", "random_inclusion", "random_number"
    )


def even_numbers(ids: pl.Series, seed: int) -> Floats:
    """Give every number or name a number in [0, 1) of its own, the same on every machine and version.

    Parameters
    ----------
    ids : polars.Series
        Case numbers, of any alphabet.
    seed : int
        0 or more; another seed, other numbers.

    Notes
    -----
    The bytes (UTF-8) by Fowler, Noll and Vo's rule (FNV-1a, 64 bits), then mixed by splitmix64 (Steele,
    Lea and Flood 2014) with the seed.

    Examples
    --------
    >>> even_numbers(pl.Series(["甲", "乙"]), 1).round(6).tolist()
    [0.314655, 0.321725]
    """
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise InputError(f"{seed!r} is no seed", where="seed", do="give a whole number, 0 or more")
    coded = ids.cast(pl.String).str.encode("hex")
    width = max(int(coded.str.len_bytes().max() or 0), 2)  # type: ignore[arg-type]
    letters = np.array(coded.fill_null("").to_list(), dtype=f"S{width}").view(np.uint8)
    letters = letters.reshape(len(ids), width)
    lengths = coded.str.len_bytes().fill_null(0).to_numpy()
    mixed = np.full(len(ids), 0xCBF29CE484222325, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for j in range(width):  # along the letters of a number, not along the cases
            more = (mixed ^ letters[:, j]) * _PRIME
            mixed = np.where(j < lengths, more, mixed)
        mixed = mixed ^ _mix(np.uint64(seed % 2**64) + _ODD)
        mixed = _mix(mixed + _ODD)
    return np.asarray((mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def _mix(z: np.ndarray | np.uint64) -> np.ndarray:
    z = (z ^ (z >> np.uint64(30))) * _MIX[0]
    z = (z ^ (z >> np.uint64(27))) * _MIX[1]
    return np.asarray(z ^ (z >> np.uint64(31)))
