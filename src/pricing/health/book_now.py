"""The book a projection starts from: members, standard premium and claims by group and segment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
import polars as pl

from pricing.errors import InputError
from pricing.estimate.design import Floats

__all__ = ["StartBook", "in_force_book", "start_book"]

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
    if not isinstance(frame, pl.DataFrame):
        raise InputError(f"the book is a {type(frame).__name__}", do="give a polars DataFrame")
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


def in_force_book(
    renewals: pl.DataFrame | pl.LazyFrame,
    *,
    on: date,
    loss_ratio: float | Mapping[str, float],
    segment: str | None = None,
) -> pl.DataFrame:
    """Sum the policies in force on a day into the book a projection starts from.

    Parameters
    ----------
    renewals : polars.DataFrame or LazyFrame
        One row per policy year: start, end (not covered), health_group, standard_premium and, where
        wanted, the segment.
    on : date
        The day.
    loss_ratio : float or mapping of str to float
        Claims expected in the first year over standard premium (before discount), of all or by segment.
    segment : str, optional
        Column.

    Returns
    -------
    polars.DataFrame
        health_group, the segment, members, standard_premium, claims_cost.

    Raises
    ------
    InputError
        For missing columns, a loss ratio that is not above zero or lacks a segment, nobody in force.

    Examples
    --------
    >>> rows = pl.DataFrame({"start": [date(2025, 3, 1)] * 2, "end": [date(2026, 3, 1)] * 2,
    ...                      "health_group": ["G0", "G1"], "standard_premium": [100.0, 200.0]})
    >>> in_force_book(rows, on=date(2025, 12, 31), loss_ratio=0.7)["claims_cost"].round(9).to_list()
    [70.0, 140.0]
    """
    if not isinstance(on, date) or isinstance(on, datetime):
        raise InputError(f"on is no date: {on!r}", do="give datetime.date(y, m, d)")
    lazy = renewals.lazy()
    wanted = ["start", "end", "health_group", "standard_premium", *([segment] if segment else [])]
    missing = [name for name in wanted if name not in lazy.collect_schema()]
    if missing:
        raise InputError(f"the renewals lack {missing}", do="name or add the columns")
    if isinstance(loss_ratio, Mapping) and segment is None:
        raise InputError(
            "loss ratios by segment need the column of the segment", do="give segment="
        )
    ratios = dict(loss_ratio) if isinstance(loss_ratio, Mapping) else {"all": loss_ratio}
    for name, x in ratios.items():
        if isinstance(x, bool) or not isinstance(x, (int, float)) or not 0 < x < 100:
            raise InputError(f"the loss ratio of {name} must be above zero, got {x!r}")
    _require_priced(lazy, wanted)
    # whole hundredths of a fen: sums that do not depend on the order of the rows
    whole = (pl.col("standard_premium").cast(pl.Float64) * 1e4).round().cast(pl.Int64)
    rows = (
        lazy.filter((pl.col("start") <= on) & (pl.col("end") > on))
        .group_by("health_group", *([segment] if segment else []))
        .agg(members=pl.len().cast(pl.Float64), standard_premium=whole.sum() / 1e4)
        .sort("health_group", *([segment] if segment else []))
        .collect()
    )
    if rows.is_empty():
        raise InputError(f"nobody is in force on {on}", where="renewals")
    ratio: pl.Expr = pl.lit(float(ratios.get("all", 0.0)))
    if isinstance(loss_ratio, Mapping) and segment is not None:
        names = rows[segment].cast(pl.String).unique().sort().to_list()
        lacking = [name for name in names if name not in ratios]
        if lacking:
            raise InputError(f"no loss ratio for {lacking}", where=segment)
        ratio = pl.col(segment).cast(pl.String).replace_strict(ratios, return_dtype=pl.Float64)
    return rows.with_columns(claims_cost=pl.col("standard_premium") * ratio)


def _require_priced(rows: pl.LazyFrame, wanted: Sequence[str]) -> None:
    """Refuse policies that would count as members and not as premium, or as neither."""
    schema = rows.collect_schema()
    if not schema["standard_premium"].is_numeric():
        raise InputError(f"is {schema['standard_premium']}, not a number", where="standard_premium")
    faults = [
        f"{name}: is {schema[name]}, not a date"
        for name in ("start", "end")
        if not schema[name].is_temporal()
    ]
    if faults:
        raise InputError("renewals that cannot be dated", faults=faults)
    premium = pl.col("standard_premium").cast(pl.Float64)
    bad = {
        **{f"lack {name}": pl.col(name).is_null() for name in wanted},
        "have a standard premium that is not above zero": ~(
            premium.is_finite() & (premium > 0)
        ).fill_null(True),
    }
    counts = rows.select(e.sum().alias(n) for n, e in bad.items()).collect().row(0, named=True)
    if faults := [f"{n:,} {what}" for what, n in counts.items() if n]:
        raise InputError(
            "renewals that cannot be counted", faults=faults, do="fill them or leave them out"
        )
