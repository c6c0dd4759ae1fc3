"""Who is measured: members with their renewal, and the window of each."""

from __future__ import annotations

from typing import Any

import polars as pl

from pricing.errors import InputError, nearest
from pricing.programme.programme import Programme

__all__ = ["Frame", "lazy", "member_windows", "same_person"]

Frame = pl.DataFrame | pl.LazyFrame
_OPTIONAL: dict[str, tuple[pl.DataType | type[pl.DataType], str]] = {
    "birth_date": (pl.Date, "a date"),
    "age": (pl.Int32, "whole years"),
    "joined": (pl.Date, "a date"),
    "consent": (pl.Boolean, "true or false"),
    "group_held": (pl.String, "a group's name"),
    "rate_held": (pl.Float64, "a fraction"),
    "frozen_days": (pl.Int32, "days"),
    "prior": (pl.Float64, "a health value"),
    "standard_premium": (pl.Float64, "an amount of money"),
}


def member_windows(programme: Programme, members: Frame) -> pl.DataFrame:
    """Hold the members against what the programme needs and lay out each one's window.

    Parameters
    ----------
    programme : Programme
        The version in force at every renewal of ``members``.
    members : polars.DataFrame or LazyFrame
        One row per person and renewal: ``person``, ``renewal`` (date); optionally birth_date or
        age (at renewal), joined (date), consent (bool; empty: no), group_held (name; none: entry), rate_held
        (walk), frozen_days, prior (health value), standard_premium.

    Returns
    -------
    polars.DataFrame
        The same rows sorted by person and renewal, every optional column there (null where not
        given), with ``row``, ``window_start``, ``window_end`` (half-open), ``member_days`` and age.

    Raises
    ------
    InputError
        For a column that is missing or not of its kind, a person whose renewal stands twice, an
        unknown group, ages, days, premiums and priors that cannot be, and thresholds of age without
        ages.

    Notes
    -----
    The window is [renewal − lag − days, renewal − lag), cut at the day the member joined.

    Examples
    --------
    >>> from datetime import date
    >>> from pricing.programme.programme_file import read_programme
    >>> seen = member_windows(read_programme("manulife_move"),
    ...     pl.DataFrame({"person": ["a"], "renewal": [date(2025, 1, 1)]}))
    >>> seen.select("window_start", "window_end", "member_days").row(0)
    (datetime.date(2024, 1, 2), datetime.date(2025, 1, 1), 365)
    """
    frame = lazy(members, "members").collect()
    missing = [name for name in ("person", "renewal") if name not in frame.columns]
    if missing:
        raise InputError(
            f"lacks {', '.join(missing)}", where="members", do="give person and renewal (date)"
        )
    if frame.height == 0:
        raise InputError("holds no rows", where="members", do="give at least one member")
    if programme.consent == "required" and "consent" not in frame.columns:
        raise InputError(
            f"lacks consent, which {programme.name} requires of every member",
            where="members",
            do="give consent (true or false); who has not said yes is not measured",
        )
    wanted = {"renewal": (pl.Date, "a date"), **_OPTIONAL}
    faults = [
        f"{name}: is {frame.schema[name]}, not {meaning}"
        for name, (dtype, meaning) in wanted.items()
        if name in frame.columns and not _fits(frame.schema[name], dtype)
    ]
    if faults:
        raise InputError(
            "columns that cannot be read", where="members", faults=faults, do="cast them"
        )
    frame = frame.with_columns(
        (pl.col(name) if name in frame.columns else pl.lit(None)).cast(dtype).alias(name)
        for name, (dtype, _) in wanted.items()
    ).with_columns(pl.col("consent").fill_null("consent" not in frame.columns))
    if holes := frame.filter(pl.any_horizontal(pl.col("person", "renewal").is_null())).height:
        raise InputError(f"{holes} rows lack person or renewal", where="members", do="fill them")
    twice = frame.filter(frame.select("person", "renewal").is_duplicated())
    if twice.height:
        raise InputError(
            f"{twice.height} rows repeat a person and renewal, the first {twice['person'][0]!r}",
            where="members",
            do="keep one row each",
        )
    _known_groups(programme, frame)
    _possible(programme, frame)
    late = pl.col("renewal") - pl.duration(days=programme.window.lag_days)
    frame = frame.sort("person", "renewal").with_row_index("row")
    frame = frame.with_columns(window_end=late).with_columns(
        window_start=pl.max_horizontal(
            pl.col("window_end") - pl.duration(days=programme.window.days), "joined"
        ),
        age=pl.coalesce("age", _age(pl.col("birth_date"), pl.col("renewal"))),
    )
    if any(task.targets for task in programme.task) and (holes := frame["age"].null_count()):
        raise InputError(
            f"{holes} of {frame.height} members have no age, and the programme's thresholds "
            "depend on it",
            where="members",
            do="give birth_date or age",
        )
    days = (pl.col("window_end") - pl.col("window_start")).dt.total_days()
    return frame.with_columns(member_days=days.clip(0).cast(pl.Int32))


def lazy(frame: Frame, where: str) -> pl.LazyFrame:
    """Take a frame of either kind; anything else is refused.

    Examples
    --------
    >>> lazy(pl.DataFrame({"a": [1]}), "members").collect().height
    1
    """
    if isinstance(frame, pl.DataFrame | pl.LazyFrame):
        return frame.lazy()
    raise InputError(
        f"is a {type(frame).__name__}", where=where, do="give a polars DataFrame or LazyFrame"
    )


def same_person(kind: pl.DataType, person: Any) -> pl.Expr:
    """Find a person by the id; one that no person of this kind can have is refused.

    Examples
    --------
    >>> pl.DataFrame({"person": [1, 2]}).filter(same_person(pl.Int64(), 2))["person"].to_list()
    [2]
    """
    try:
        wanted = pl.Series([person]).cast(kind)
        right = wanted.null_count() == 0 and isinstance(person, str) == (
            kind == pl.String or isinstance(kind, pl.Enum)
        )
    except (pl.exceptions.PolarsError, TypeError):
        right = False
    if not right:
        raise InputError(
            f"person {person!r} is not of the kind of the ids, {kind}",
            where="person",
            do="ask for a person of the table",
        )
    return pl.col("person") == pl.lit(person, dtype=kind)


def _fits(given: pl.DataType, wanted: pl.DataType | type[pl.DataType]) -> bool:
    if given == pl.Null or given == wanted:
        return True
    if wanted == pl.String:
        return isinstance(given, pl.Enum)
    if wanted == pl.Int32:
        return given.is_integer()
    return wanted == pl.Float64 and given.is_numeric()


def _known_groups(programme: Programme, frame: pl.DataFrame) -> None:
    held = frame["group_held"].drop_nulls().unique().sort()
    unknown = [name for name in held if name not in programme.groups]
    if unknown:
        raise InputError(
            f"{len(unknown)} unknown groups, the first {unknown[0]!r}"
            f"{nearest(unknown[0], programme.groups)}",
            where="members, group_held",
            do=f"use the groups of {programme.name}: {', '.join(programme.groups)}",
        )
    low, high = programme.movement.floor, programme.movement.cap
    off = frame.filter(~pl.col("rate_held").is_between(low - 1e-12, high + 1e-12))
    if off.height:
        raise InputError(
            f"{off.height} rates lie outside {low:g} to {high:g}, the first {off['rate_held'][0]}",
            where="members, rate_held",
            do="give fractions within the programme's floor and cap",
        )


def _possible(programme: Programme, frame: pl.DataFrame) -> None:
    """Refuse what no member can have; NaN compares as the largest value, so it fails here too."""
    most = programme.value.scale
    faults = []
    for name, right, meaning in (
        ("age", pl.col("age").is_between(0, 130), "an age of 0 to 130"),
        ("birth_date", pl.col("birth_date") <= pl.col("renewal"), "a day before the renewal"),
        ("frozen_days", pl.col("frozen_days") >= 0, "a number of days from 0"),
        ("prior", pl.col("prior").is_between(0, most), f"a health value of 0 to {most:g}"),
        (
            "standard_premium",
            (pl.col("standard_premium") >= 0) & pl.col("standard_premium").is_finite(),
            "an amount of 0 or more",
        ),
    ):
        off = frame.filter(~right)
        if off.height:
            first = off.row(0, named=True)
            faults.append(
                f"{name}: {off.height} rows are not {meaning}, the first {first[name]} "
                f"of person {first['person']!r}"
            )
    if faults:
        raise InputError("values that cannot be", where="members", faults=faults, do="correct them")


def _age(born: pl.Expr, on: pl.Expr) -> pl.Expr:
    before = (on.dt.month().cast(pl.Int32) * 100 + on.dt.day()) < (
        born.dt.month().cast(pl.Int32) * 100 + born.dt.day()
    )
    return (on.dt.year() - born.dt.year() - before.cast(pl.Int32)).cast(pl.Int32)
