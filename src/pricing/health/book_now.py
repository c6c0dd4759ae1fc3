"""The book a projection starts from: members, standard premium and claims by group and segment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from pricing.errors import InputError
from pricing.estimate.design import Floats

__all__ = ["StartBook", "start_book"]

SUMS = ("members", "standard_premium", "claims_cost")


@dataclass(frozen=True)
class StartBook:
    """Members, standard premium and claims: members and premium by segment and group, claims by segment.

    Parameters
    ----------
    segments : tuple of str
        One, named "all", where there are none.
    members, premium : array, (segments, groups)
    claims : array, (segments,)

    Examples
    --------
    >>> StartBook(("all",), np.array([[5.0]]), np.array([[10.0]]), np.array([6.0])).shares.tolist()
    [1.0]
    """

    segments: tuple[str, ...]
    members: Floats
    premium: Floats
    claims: Floats

    @property
    def shares(self) -> Floats:
        """Share of the members by group."""
        return np.asarray(self.members.sum(axis=0) / self.members.sum())


def start_book(
    frame: pl.DataFrame, groups: Sequence[str], *, segment: str | None = None
) -> StartBook:
    """Read the book from a table of sums by group and, where wanted, segment.

    Parameters
    ----------
    frame : polars.DataFrame
        health_group, members (policies in force), standard_premium (a year's, before discount) and
        claims_cost (a year's, at the level of the first year to come); rows of one cell add.
    groups : sequence of str
        From the standard one to the healthiest.
    segment : str, optional
        Column of the segment.

    Raises
    ------
    InputError
        For missing columns, unknown groups, values below zero or a segment without premium.

    Examples
    --------
    >>> frame = pl.DataFrame({"health_group": ["G0", "G1"], "members": [10, 5],
    ...                       "standard_premium": [20.0, 10.0], "claims_cost": [15.0, 6.0]})
    >>> start_book(frame, ["G0", "G1"]).claims.tolist()
    [21.0]
    """
    wanted = ["health_group", *SUMS, *([segment] if segment else [])]
    missing = [name for name in wanted if name not in frame.columns]
    if missing:
        raise InputError(f"the book lacks {missing}", do="name or add the columns")
    try:
        rows = frame.select(
            group=pl.col("health_group").cast(pl.String),
            segment=pl.col(segment).cast(pl.String) if segment else pl.lit("all"),
            **{name: pl.col(name).cast(pl.Float64) for name in SUMS},
        )
    except pl.exceptions.PolarsError as error:
        raise InputError(f"the book's sums must be numbers: {error}") from error
    faults = []
    unknown = sorted({g for g in rows["group"].to_list() if g not in groups}, key=str)
    if unknown:
        faults.append(f"{unknown} are not among the groups {list(groups)}")
    for name in SUMS:
        bad = rows.filter(~(pl.col(name).is_finite() & (pl.col(name) >= 0)).fill_null(False)).height
        if bad:
            faults.append(f"{bad} values of {name} are not zero or more")
    if rows["segment"].null_count():
        faults.append(f"{rows['segment'].null_count()} rows without {segment}")
    if faults or rows.is_empty():
        raise InputError("no projection starts from this book", faults=faults or ["it has no rows"])
    names = rows["segment"].unique().sort().to_list()
    place = rows.select(
        s=pl.col("segment").cast(pl.Enum(names)).to_physical().cast(pl.Int64),
        g=pl.col("group").cast(pl.Enum(list(groups))).to_physical().cast(pl.Int64),
    )
    s, g = place["s"].to_numpy(), place["g"].to_numpy()
    sums = np.zeros((3, len(names), len(groups)))
    for i, name in enumerate(SUMS):
        np.add.at(sums[i], (s, g), rows[name].to_numpy())
    empty = [n for i, n in enumerate(names) if sums[0, i].sum() <= 0 or sums[1, i].sum() <= 0]
    if empty:
        raise InputError(f"no members or no standard premium in {empty}")
    if ((sums[0] > 0) != (sums[1] > 0)).any():
        raise InputError("a group has members without standard premium, or premium without members")
    return StartBook(tuple(names), sums[0], sums[1], sums[2].sum(axis=1))
