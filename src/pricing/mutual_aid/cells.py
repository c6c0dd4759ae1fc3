"""Members to cells: who pays and who is covered on the day a period is published, in one streamed pass.

A row of the file is read once and only compared with dates; age comes from a table of days, so that a
hundred million members cost little more than grouping their file. What standing a cell has (in cover,
waiting, left, past the age of exit) is decided on the cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from pricing.errors import InputError, nearest
from pricing.mutual_aid.rules import OLDEST, AidRules

__all__ = ["STANDINGS", "MemberCells", "member_cells"]

STANDINGS = ("in_cover", "paying_only", "waiting", "past_exit_age", "left", "not_yet_joined")
REASONS = (
    "no_class", "unknown_class", "no_birth_date", "implausible_birth_date", "no_joining_date",
    "joined_before_birth", "left_before_joining", "outside_entry_ages", "unknown_sex",
)  # fmt: skip
_ORIGIN = date(1970, 1, 1)
_FIRST, _LAST = date(1900, 1, 1), date(2199, 12, 31)
_SEXES = ("female", "male")
_NONE = -1
_COHORTS = 4096  # more publications of a year than there are


@dataclass(frozen=True)
class MemberCells:
    """The members of a plan on a day, counted.

    Attributes
    ----------
    cells : polars.DataFrame
        member_class, sex (where delivered), age (last birthday), aid_standing, members, pays (0 or 1),
        covered (0 or 1), earlier (publications of the year so far that the cell has shared).
    set_aside : polars.DataFrame
        reason and members: rows that cannot be settled, none of them in the cells.
    """

    cells: pl.DataFrame
    set_aside: pl.DataFrame

    @property
    def payers(self) -> int:
        """Members who share the bill."""
        return int(self.cells.filter(pl.col("pays") == 1)["members"].sum())

    @property
    def in_cover(self) -> int:
        """Members who would be helped."""
        return int(self.cells.filter(pl.col("covered") == 1)["members"].sum())


def member_cells(
    rules: AidRules,
    members: pl.DataFrame | pl.LazyFrame,
    published: date,
    *,
    earlier: Sequence[date] = (),
) -> MemberCells:
    """Count members by class, sex, age and standing on the day a period is published.

    Parameters
    ----------
    rules : AidRules
        Classes, waiting period, ages.
    members : polars.DataFrame or LazyFrame
        birth_date, joined, left, member_class, perhaps sex: the contract ``aid_members``. A lazy
        scan of Parquet is streamed. That a number stands once is for the contract to say.
    published : date
        Who is a member on this day shares the bill, also if he leaves before it is settled.
    earlier : sequence of date
        Publications of the same year before this one, for the cap of the year.

    Raises
    ------
    InputError
        For columns that are missing or of the wrong type, and days that are no dates.

    Examples
    --------
    >>> from pricing.mutual_aid.rules import aid_rules
    >>> rows = pl.DataFrame({"birth_date": [date(1980, 5, 1), date(1990, 1, 1)], "left": [None, None],
    ...     "joined": [date(2020, 1, 1), date(2020, 12, 1)], "member_class": ["member", None]},
    ...     schema_overrides={"left": pl.Date})
    >>> seen = member_cells(aid_rules("xiang_hu_bao"), rows, date(2020, 12, 7))
    >>> seen.payers, seen.set_aside.rows()
    (1, [('no_class', 1)])
    """
    day, before = _day(published), sorted(_day(each) for each in earlier)
    if before and before[-1] >= day:
        raise InputError("an earlier publication is not before the one to be settled")
    frame = members.lazy()
    columns = _columns(frame)
    wait = rules.waiting_days
    marks = np.array(sorted({*before, *(d - wait for d in before), day, day - wait}))
    counted = _grouped(rules, frame, day, marks, "sex" in columns)
    table = _standings(rules, counted, day, marks, before)
    keys = ["member_class", *(["sex"] if "sex" in columns else []), "age", "aid_standing"]
    keys += ["pays", "covered", "earlier"]
    good = pl.col("reason").is_null()
    cells = (
        table.filter(good)
        .group_by(keys)
        .agg(pl.col("members").sum())
        .sort(keys, nulls_last=True)
        .select(*keys[:-3], "members", *keys[-3:])
    )
    aside = (
        table.filter(~good)
        .group_by("reason")
        .agg(pl.col("members").sum())
        .sort(pl.col("reason").cast(pl.Enum(REASONS)))
    )
    return MemberCells(cells, aside)


def _day(day: Any) -> int:
    if not isinstance(day, date) or not hasattr(day, "toordinal") or hasattr(day, "hour"):
        raise InputError(
            f"a publication's day is no date: {day!r}", do="give datetime.date(y, m, d)"
        )
    if not _FIRST < day <= _LAST:
        raise InputError(f"a publication on {day}: from 1900-01-02 to 2199-12-31")
    return (day - _ORIGIN).days


def _columns(frame: pl.LazyFrame) -> list[str]:
    schema = frame.collect_schema()
    faults = []
    for name in ("birth_date", "joined", "left"):
        if name not in schema:
            faults.append(f"column {name!r} is missing{nearest(name, schema)}")
        elif schema[name] not in (pl.Date, pl.Null):
            faults.append(f"column {name!r} is {schema[name]}, not a date")
    texts = ("String", "Enum", "Categorical", "Null")
    for name, needed in (("member_class", True), ("sex", False)):
        if name not in schema:
            faults += [f"column {name!r} is missing{nearest(name, schema)}"] if needed else []
        elif not str(schema[name]).startswith(texts):
            faults.append(f"column {name!r} is {schema[name]}, not text")
    if faults:
        raise InputError(
            "members that cannot be counted",
            where="aid_members",
            faults=faults,
            do="deliver the table by its contract (docs/data_dictionary.md, aid_members)",
        )
    return schema.names()


def _grouped(
    rules: AidRules, frame: pl.LazyFrame, day: int, marks: npt.NDArray[np.int64], by_sex: bool
) -> pl.DataFrame:
    first, last = (_FIRST - _ORIGIN).days, (_LAST - _ORIGIN).days
    every = np.arange(first, last + 1)
    ages = _ages(every, day)
    age = np.where((ages >= 0) & (ages <= OLDEST), ages, _NONE).astype(np.int32)
    cohort = np.searchsorted(marks, every, side="left").astype(np.int32)

    def look(name: str, values: npt.NDArray[Any], kind: Any) -> pl.Expr:
        """Take from a table of days; a day beyond it, or none, gets the table's end."""
        ends = np.asarray([_NONE], dtype=values.dtype)
        full, before = np.concatenate([ends, values, ends]), np.int32(first - 1)

        def at(days: pl.Series) -> pl.Series:
            return pl.Series(days.name, full.take(days.to_numpy() - before, mode="clip"))

        days = pl.col(name).cast(pl.Date).to_physical().fill_null(last + 1)
        return days.map_batches(at, return_dtype=kind, is_elementwise=True)

    birth, joined, left = (pl.col(name).cast(pl.Date) for name in ("birth_date", "joined", "left"))
    bounds = _bounds(rules, every)
    entry = pl.lit(False)
    if bounds[0] is not None:
        entry = entry | (joined.to_physical() < look("birth_date", bounds[0], pl.Int32))
    if bounds[1] is not None:
        entry = entry | (joined.to_physical() >= look("birth_date", bounds[1], pl.Int32))
    # all that dates say in one number, for a key of one column is grouped fastest
    flags = {
        "departed": left.to_physical() <= day,
        "undone": left < joined,
        "unborn": birth.is_null(),
        "early": birth > joined,
        "entry": entry,
    }
    code = (look("birth_date", age, pl.Int32) + 1) * _COHORTS + look("joined", cohort, pl.Int32) + 1
    for flag in flags.values():
        code = code * 2 + flag.fill_null(False).cast(pl.Int32)
    by = ["member_class", *(["sex"] if by_sex else [])]
    counted = (
        frame.group_by(*by, code.alias("code"))
        .agg(members=pl.len().cast(pl.Int64))
        .collect(engine="streaming")
    )
    last_flag = len(flags) - 1
    read = {
        name: (pl.col("code") // 2 ** (last_flag - place)) % 2 == 1
        for place, name in enumerate(flags)
    }
    whole = pl.col("code") // 2 ** len(flags)
    return counted.with_columns(
        age=(whole // _COHORTS).cast(pl.Int64) - 1, cohort=whole % _COHORTS - 1, **read
    )


def _ages(days: npt.NDArray[np.int64], day: int) -> npt.NDArray[np.int64]:
    """Age last birthday on a day; a birthday on 29 February falls on 1 March in other years."""
    dates = days.astype("datetime64[D]")
    months = dates.astype("datetime64[M]")
    in_year = months.astype(np.int64) % 12 * 100 + (dates - months).astype(np.int64)
    on = date(1970, 1, 1) + timedelta(days=int(day))
    year = months.astype("datetime64[Y]").astype(np.int64) + 1970
    reached = in_year > (on.month - 1) * 100 + on.day - 1
    return np.asarray(on.year - year - reached, dtype=np.int64)


def _bounds(
    rules: AidRules, days: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int32] | None, npt.NDArray[np.int32] | None]:
    """First day of entry and first day too late, for each day of birth; None for no bound."""
    dates = days.astype("datetime64[D]")
    months = dates.astype("datetime64[M]")
    of_month = dates - months

    def birthday(age: int) -> npt.NDArray[np.int32]:
        moved = (months + 12 * age).astype("datetime64[D]") + of_month
        return np.asarray(moved.astype(np.int64), dtype=np.int32)

    youngest, oldest = rules.entry_ages
    return (
        birthday(youngest) if youngest else None,
        birthday(oldest + 1) if oldest < OLDEST else None,
    )


def _standings(
    rules: AidRules,
    counted: pl.DataFrame,
    day: int,
    marks: npt.NDArray[np.int64],
    before: Sequence[int],
) -> pl.DataFrame:
    """Say of each cell why it cannot be settled, or else who it is."""
    wait = rules.waiting_days
    known = pl.Enum(list(rules.classes))
    name = pl.col("member_class").cast(pl.String)
    classed = pl.when(name.is_in(list(rules.classes))).then(name)
    pays, covers = (
        classed.replace_strict(
            {key: getattr(each, what) for key, each in rules.classes.items()},
            default=0,
            return_dtype=pl.Int8,
        )
        for what in ("pays", "covered")
    )

    def since(mark: int) -> pl.Expr:
        """Whether the cell joined on or before a mark: its place among the marks is at most that."""
        return pl.col("cohort") <= int(np.searchsorted(marks, mark))

    odd_sex = (
        ~pl.col("sex").cast(pl.String).is_in(_SEXES).fill_null(True)
        if "sex" in counted.columns
        else pl.lit(False)
    )
    checks = (
        ("no_class", name.is_null() | (name.str.strip_chars() == "")),
        ("unknown_class", classed.is_null()),
        ("no_birth_date", pl.col("unborn")),
        ("no_joining_date", pl.col("cohort") == _NONE),
        ("joined_before_birth", pl.col("early")),
        ("left_before_joining", pl.col("undone")),
        ("unknown_sex", odd_sex),
        ("outside_entry_ages", pl.col("entry") & (covers == 1)),
    )
    reason = pl.lit(None, dtype=pl.String)
    for label, condition in reversed(checks):
        reason = pl.when(condition).then(pl.lit(label)).otherwise(reason)
    joined = since(day)
    # someone born after the day is settled cannot have joined by then, so age is only missing there
    implausible = reason.is_null() & (pl.col("age") == _NONE) & joined
    reason = pl.when(implausible).then(pl.lit("implausible_birth_date")).otherwise(reason)
    standing = (
        pl.when(~joined)
        .then(pl.lit("not_yet_joined"))
        .when(pl.col("departed"))
        .then(pl.lit("left"))
        .when(covers == 0)
        .then(pl.lit("paying_only"))
        .when(pl.col("age") >= rules.exit_age)
        .then(pl.lit("past_exit_age"))
        .when(~since(day - wait))
        .then(pl.lit("waiting"))
        .otherwise(pl.lit("in_cover"))
    )
    sharing = ["in_cover", "paying_only", *(["waiting"] if rules.pays_while_waiting else [])]
    shared = pl.lit(0, dtype=pl.Int64)
    for each in before:
        at_once = since(each)
        later = since(each) if rules.pays_while_waiting else since(each - wait)
        shared += pl.when(covers == 0).then(at_once).otherwise(later).cast(pl.Int64)
    table = counted.with_columns(reason=reason, aid_standing=standing.cast(pl.Enum(STANDINGS)))
    table = table.with_columns(
        member_class=classed.cast(known),
        pays=pl.when(pl.col("aid_standing").cast(pl.String).is_in(sharing)).then(pays).otherwise(0),
        covered=pl.when(pl.col("aid_standing") == "in_cover").then(covers).otherwise(0),
        earlier=shared,
    )
    if "sex" in table.columns:
        text = pl.col("sex").cast(pl.String)
        sex = pl.when(text.is_in(_SEXES)).then(text).cast(pl.Enum(_SEXES))
        table = table.with_columns(sex=sex)
    return table
