"""Premium by period: written, returned at mid-term exits, earned by day, and what is unearned."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Literal

import polars as pl

from pricing.errors import InputError, nearest
from pricing.experience.domain import listed
from pricing.experience.lexis import Lexis
from pricing.experience.split import split_exposure

__all__ = ["GRAINS", "Grain", "period_of", "premium_by_period"]

Grain = Literal["month", "quarter", "year"]
GRAINS = {"month": "1mo", "quarter": "1q", "year": "1y"}
_OURS = ("period", "exposure", "written", "returned", "earned", "unearned")
_TERM = ("term_start", "term_end", "term_left", "booked_in")


def period_of(day: pl.Expr, grain: Grain) -> pl.Expr:
    """Name the period of a day by its first day.

    Examples
    --------
    >>> pl.select(period_of(pl.lit(date(2024, 5, 17)), "quarter")).item()
    datetime.date(2024, 4, 1)
    """
    return day.dt.truncate(GRAINS[grain])


def premium_by_period(
    terms: pl.DataFrame | pl.LazyFrame,
    *,
    valuation: date,
    grain: Grain = "month",
    by: Sequence[str] = (),
    premium: str = "premium",
    exit: str | None = None,
    anniversary: str = "start",
) -> pl.DataFrame:
    """Written, earned and unearned premium by period and segment, exact to the day.

    *Written* is booked in full on the first day of a term, for the whole term as it was offered:
    annual premium × Σ days ÷ days of the policy year, over the policy years of the term (so a term
    of two years writes two annual premiums). Where a policy leaves mid-term, what was not earned
    is booked as *returned* on the day of the exit; it does not lower what was written before. A
    term whose exit is unknown here (no ``exit``; ``end`` already cut to the cover) counts as offered
    to ``end``: then written is net of what a cut gives back, on the first day. *Earned* follows
    the days of cover (:func:`pricing.experience.split.split_exposure`), and *unearned* is the
    premium reserve at the end of the period: written − returned − (change of unearned) = earned.
    Terms that begin after the valuation are not written yet, exits after it are not known, and the
    last period ends with it.

    Parameters
    ----------
    terms : polars frame
        One row per term: ``start``, ``end`` (half-open), the annual premium in force, segments.
    valuation : date
        Last day that is known, inclusive.
    grain : {"month", "quarter", "year"}
        Length of a period, which is named by its first day.
    by : sequence of str
        Segment columns.
    premium : str
        Column of the annual premium, for a full policy year.
    exit : str, optional
        Column of the day after the policy's last day of cover, null where it has not left.
        A term whose policy left before its first day is none.
    anniversary : str
        Column of a day whose anniversaries begin the policy years, where terms are pieces of one.

    Returns
    -------
    polars.DataFrame
        ``period``, ``by``, ``exposure`` (policy-years), ``written``, ``returned``, ``earned``,
        ``unearned``: a row for every period from the first term to the valuation and segment.

    Raises
    ------
    InputError
        For missing columns, nulls, ``end`` not after ``start``, a premium that is null, negative
        or not finite, no term before the valuation.

    References
    ----------
    Werner, G. and Modlin, C. (2016). Basic Ratemaking, 5th ed., chapter 5. Casualty Actuarial Society.

    Examples
    --------
    >>> terms = pl.DataFrame({"start": [date(2023, 7, 1)], "end": [date(2024, 7, 1)], "premium": [366.0]})
    >>> premium_by_period(terms, valuation=date(2024, 12, 31), grain="year").drop("exposure").rows()
    [(datetime.date(2023, 1, 1), 366.0, 0.0, 184.0, 182.0), (datetime.date(2024, 1, 1), 0.0, 0.0, 182.0, 0.0)]
    """
    by = listed(by)
    require_options(valuation, grain, premium)
    rows = taken_terms(terms, [*by, premium], exit=exit, anniversary=anniversary, by=by)
    flows = money_flows(rows, [premium], valuation=valuation, grain=grain, by=by)
    return with_unearned(flows, premium, valuation=valuation, grain=grain, by=by)


def require_options(valuation: date, grain: str, premium: str) -> None:
    """Refuse a valuation that is no date, an unknown grain, a premium called like one of ours."""
    faults = []
    if not isinstance(valuation, date) or isinstance(valuation, datetime):
        faults.append(f"the valuation is a {type(valuation).__name__}, not a date: {valuation!r}")
    if grain not in GRAINS:
        faults.append(f"no grain {grain!r}{nearest(str(grain), GRAINS)}")
    if premium in (*_OURS, *_TERM):
        faults.append(f"premium {premium!r} has the name of a column of ours; rename it")
    if faults:
        raise InputError("premium cannot be laid out by period so", faults=faults)


def taken_terms(
    terms: pl.DataFrame | pl.LazyFrame,
    columns: Sequence[str],
    *,
    exit: str | None,
    anniversary: str,
    by: Sequence[str],
) -> pl.DataFrame:
    """Read the columns of the terms that are asked for, with what each is called here.

    ``start``: the day whose anniversaries count; ``term_start``, ``term_end``: the term as offered;
    ``term_left``: its end as covered.
    """
    schema = terms.lazy().collect_schema()
    wanted = dict.fromkeys(["start", "end", anniversary, *([exit] if exit else []), *columns])
    names = schema.names()
    faults = [f"column {n!r} is missing{nearest(n, names)}" for n in wanted if n not in names]
    faults += [
        f"segment {k!r} has the name of a column of ours; rename it"
        for k in by
        if k in (*_OURS, *_TERM)
    ]
    faults += [
        f"{n!r} is {schema[n]}, not a date"
        for n in dict.fromkeys(["start", "end", anniversary, *([exit] if exit else [])])
        if n in names and schema[n] != pl.Date
    ]
    if faults:
        raise InputError("terms that cannot serve as asked", faults=faults)
    left = pl.col(exit).fill_null(date.max) if exit else pl.lit(date.max, dtype=pl.Date)
    rows = (
        terms.lazy()
        .select(
            *(c for c in dict.fromkeys(columns) if c not in ("start", "end")),
            start=pl.col(anniversary),
            term_start=pl.col("start"),
            term_end=pl.col("end"),
            term_left=pl.when(pl.col("end").is_not_null()).then(pl.min_horizontal(left, "end")),
        )
        .collect()
    )
    if rows.is_empty():
        raise InputError("there are no terms", do="check the source and the filters")
    bad = {
        "'start' is null": pl.col("term_start").is_null(),
        "'end' is null": pl.col("term_end").is_null(),
        f"{anniversary!r} is null": pl.col("start").is_null(),
        "'end' is not after 'start'": pl.col("term_end") <= pl.col("term_start"),
        f"{anniversary!r} is after 'start'": pl.col("start") > pl.col("term_start"),
        **{f"segment {k!r} is null": pl.col(k).is_null() for k in by},
    }
    counts = rows.select(**{w: e.fill_null(False).sum() for w, e in bad.items()}).row(0, named=True)
    faults = [f"{what} in {n:,} of {rows.height:,} rows" for what, n in counts.items() if n]
    if faults:
        raise InputError(
            "terms that cannot be earned",
            faults=faults,
            do="hold the table against its contract (pricing check) and use the accepted rows",
        )
    return rows.filter(pl.col("term_left") > pl.col("term_start"))


def money_flows(
    rows: pl.DataFrame, money: Sequence[str], *, valuation: date, grain: Grain, by: Sequence[str]
) -> pl.DataFrame:
    """Add up what is written, returned and earned of each column of annual premium, by period.

    Columns ``written_<m>``, ``returned_<m>``, ``<m>`` (earned) and ``exposure``; one row per period
    and segment in which anything happens.
    """
    stop = valuation + timedelta(days=1)
    money = list(dict.fromkeys(money))
    rows = rows.filter(pl.col("term_start") < stop).with_columns(pl.col(money).cast(pl.Float64))
    if rows.is_empty():
        raise InputError(
            f"no term begins by the valuation on {valuation}",
            do="check the valuation and the terms",
        )
    rows = rows.with_columns(  # an exit after the valuation is not known on that day
        term_left=pl.when(pl.col("term_left") < stop).then("term_left").otherwise("term_end")
    )
    rows = rows.with_columns(pl.col(k).cast(_levels(rows[k])) for k in by)
    last = rows["term_end"].max()
    assert isinstance(last, date)
    keys, parts = (
        ["period", *by],
        [],
    )  # by year of start, so that few periods are looked at for each
    calendar = "calendar_year" if grain == "year" else "calendar_month"
    number = pl.col(calendar) * (100 if grain == "year" else 1) + (1 if grain == "year" else 0)
    month = pl.date(number // 100, number % 100, 1)
    for _, part in rows.group_by(pl.col("term_start").dt.year(), maintain_order=True):
        first, until = part["term_start"].min(), part["term_left"].max()
        assert isinstance(first, date)
        assert isinstance(until, date)
        window = Lexis(start=first, end=min(until, stop), dims=[calendar, "policy_year"])
        cover = ("term_start", "term_left")
        earned = split_exposure(part, by, window, premiums=money, cover=cover).cells
        earned = earned.with_columns(period=period_of(month, grain))
        parts.append(earned.select(*keys, "exposure", *money))
    parts.append(_whole(rows, money, by, ("term_start", "term_end"), "written", grain, last))
    gone = rows.filter(pl.col("term_left") < pl.col("term_end"))
    if not gone.is_empty():
        parts.append(_whole(gone, money, by, ("term_left", "term_end"), "returned", grain, last))
    return (
        pl.concat(parts, how="diagonal")
        .group_by(keys, maintain_order=True)
        .agg(pl.exclude(keys).sum())
        .with_columns(pl.lit(0.0).alias(f"returned_{m}") for m in money if gone.is_empty())
        .sort(keys)
    )


def _levels(values: pl.Series) -> pl.DataType | type[pl.DataType]:
    """The type of a segment column: text has the levels of all terms, wherever it is cut."""
    kind = values.dtype
    if isinstance(kind, pl.Enum) or kind.is_numeric() or kind == pl.Boolean:
        return kind
    return pl.Enum(values.cast(pl.String).unique().drop_nulls().sort())


def _whole(
    rows: pl.DataFrame,
    money: list[str],
    by: Sequence[str],
    cover: tuple[str, str],
    name: str,
    grain: Grain,
    last: date,
) -> pl.DataFrame:
    """What the whole of a stretch earns, booked in the period of the stretch's first day."""
    booked = rows.with_columns(booked_in=period_of(pl.col(cover[0]), grain).dt.strftime("%Y-%m-%d"))
    first = rows[cover[0]].min()
    assert isinstance(first, date)
    window = Lexis(start=first, end=last, dims=["policy_year"])
    found = split_exposure(booked, [*by, "booked_in"], window, premiums=money, cover=cover)
    return (
        found.cells.with_columns(period=pl.col("booked_in").cast(pl.String).str.to_date("%Y-%m-%d"))
        .group_by("period", *by, maintain_order=True)
        .agg(pl.col(m).sum().alias(f"{name}_{m}") for m in money)
    )


def with_unearned(
    flows: pl.DataFrame, premium: str, *, valuation: date, grain: Grain, by: Sequence[str]
) -> pl.DataFrame:
    """Give every period and segment a row, and what is unearned at its end."""
    periods = pl.DataFrame(
        {
            "period": pl.date_range(
                flows["period"].min(),  # type: ignore[arg-type]
                pl.select(period_of(pl.lit(valuation), grain)).item(),
                GRAINS[grain],
                eager=True,
            )
        }
    )
    keys = ["period", *by]
    every = (
        periods.join(flows.select(by).unique(maintain_order=True), how="cross") if by else periods
    )
    others = [c for c in flows.columns if c not in keys]
    filled = every.join(flows, on=keys, how="left").with_columns(pl.col(others).fill_null(0.0))
    filled = filled.rename({f"written_{premium}": "written", f"returned_{premium}": "returned"})
    filled = filled.sort(keys)
    booked, earned, so_far = (
        pl.col("written") - pl.col("returned"),
        pl.col(premium),
        by or pl.lit(0),
    )
    level = booked.cum_sum().over(so_far) - earned.cum_sum().over(so_far)
    nothing = level.abs() <= 1e-12 * pl.col("written").cum_sum().over(
        so_far
    )  # what rounding leaves
    booking = ("written_", "returned_")
    return filled.with_columns(unearned=pl.when(nothing).then(0.0).otherwise(level)).select(
        *(*keys, "exposure", "written", "returned"),
        pl.col(premium).alias("earned"),
        "unearned",
        *(c for c in others if c not in ("exposure", premium) and not c.startswith(booking)),
    )
