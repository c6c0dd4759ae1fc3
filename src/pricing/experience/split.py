"""Exposure from policies: cover cut by calendar time, policy year and attained age, added up by cell.

The Lexis split without ever writing out a row per policy and cell. Within a calendar year every
policy meets at most three stretches, between 1 January, its anniversary, its birthday and the next
1 January. What tells policies apart is only their factors, the years they started and were born in,
and which of the two days comes first. So policies are grouped once by those, with the days of every
stretch added up beside each other, and the few groups are given their cells afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from math import prod
from typing import Literal

import polars as pl

from pricing.errors import InputError, nearest
from pricing.experience.cells import MEASURES, Experience
from pricing.experience.earning import earned_share, require_pattern
from pricing.experience.lexis import Lexis, Segment, leap, lines, place, segments
from pricing.result.shape import Basis

__all__ = ["split_exposure"]

Engine = Literal["in-memory", "streaming"]
SEGMENTS_PER_PASS = 36
FEW_ROWS = 200_000
_MOST_CODES = 2**62
_MOST_CELLS_OF_TIME = 2**24


def split_exposure(
    policies: pl.DataFrame | pl.LazyFrame,
    by: Sequence[str],
    lexis: Lexis,
    *,
    exits: Sequence[str] = (),
    premiums: Sequence[str] = (),
    pattern: Sequence[float] = (1.0,),
    cover: tuple[str, str] = ("start", "end"),
    basis: Basis | None = None,
) -> Experience:
    """Turn policies into exposure by factors and by calendar time, policy year and attained age.

    Exact to the day: the days of any split add up to the days of cover within the study window,
    as integers. A *row* of the experience is one policy in one cell (one interval of cover in one
    cell, where cover was cut by :func:`pricing.experience.changes.cut_at_changes`), and Σe² is
    over these rows. Claims come with :func:`pricing.experience.events.place_claims`, and the
    two add.

    Parameters
    ----------
    policies : polars DataFrame or LazyFrame
        One row per policy: ``start``, ``end`` (the day after the last day of cover; 9999-12-31
        where there is none), ``birth_date`` where age is asked, ``exit_cause`` where exits or a
        target are (null while in force), factors. A LazyFrame over Parquet is never held in memory.
    by : sequence of str
        Factor columns (text, Enum, Boolean, whole numbers).
    lexis : Lexis
        Study window, dimensions of time, unit of exposure, full exposure or central.
    exits : sequence of str
        Causes of exit to count, as sums ``exits_<cause>``. An exit counts in the cell of the last
        day of cover, so no cell has exits without exposure.
    premiums : sequence of str
        Columns of annual premium in currency. Each is earned over its policy year by ``pattern``,
        and the sum of the same name is what was earned in the cell.
    pattern : sequence of float
        Shares of the premium earned in equal parts of the policy year, adding to 1; evenly (pro
        rata by days) where left out.
    cover : pair of str
        Columns of the first day of cover and of the day after its last, where they are not those
        of the policy; anniversaries stay those of ``start``.
    basis : Basis, optional
        Source, filters and currency.

    Returns
    -------
    Experience
        Keys ``by`` and the dimensions; sums ``rows``, ``exposure`` (Σ days ÷ days of the year),
        ``exposure_squared``, ``days``, claims all zero, exits and premiums as asked.

    Raises
    ------
    InputError
        For missing columns, null dates or factors, cover that does not end after its start, a birth
        after the start, no overlap with the window: all said at once, with counts.

    References
    ----------
    Lexis, W. (1875). Einleitung in die Theorie der Bevölkerungsstatistik.
    Atkinson, D. B. and McGarry, J. K. (2016). Experience Study Calculations. Society of Actuaries.

    Examples
    --------
    >>> policies = pl.DataFrame({"start": [date(2023, 7, 1)], "end": [date(2024, 3, 1)],
    ...                          "birth_date": [date(1980, 3, 1)], "sex": ["f"]})
    >>> lexis = Lexis(start=date(2023, 1, 1), end=date(2025, 1, 1), dims=["calendar_year", "age"])
    >>> split_exposure(policies, ["sex"], lexis).cells.select("calendar_year", "age", "days").rows()
    [(2023, 43, 184), (2024, 43, 60)]
    """
    require_pattern(pattern)
    lazy, by = policies.lazy(), list(dict.fromkeys(by))
    book = survey(
        lazy, by, lexis, cover, exits=exits, premiums=premiums, engine=engine_for(policies)
    )
    cells = _split(lazy, book, by, lexis, cover, premiums=(), pattern=pattern)
    keys = [*by, *lexis.dims]
    if premiums:
        fine = lexis if "policy_year" in lexis.dims else _by_policy_year(lexis)
        money = _split(lazy, book, by, fine, cover, premiums=premiums, pattern=pattern)
        money = money.group_by(keys, maintain_order=True).agg(pl.col(list(premiums)).sum())
        cells = _beside(cells, money, keys)
    if exits:
        from pricing.experience.events import count_exits

        left = count_exits(lazy, by, lexis, cover, exits)
        cells = _beside(cells, left, keys)
    return experience_of(cells, keys, lexis, basis)


def engine_for(policies: pl.DataFrame | pl.LazyFrame) -> Engine:
    """Stream what may be large; a small frame is done before a stream has started."""
    small = isinstance(policies, pl.DataFrame) and policies.height <= FEW_ROWS
    return "in-memory" if small else "streaming"


@dataclass(frozen=True)
class Book:
    """What one look at the policies tells: how many, from when to when, and the factors' levels."""

    rows: int
    first: date
    last: date
    starts: tuple[int, int]
    births: tuple[int, int]
    levels: Mapping[str, list[str]]


def survey(
    lazy: pl.LazyFrame,
    by: Sequence[str],
    lexis: Lexis,
    cover: tuple[str, str],
    *,
    exits: Sequence[str] = (),
    premiums: Sequence[str] = (),
    engine: Engine = "streaming",
) -> Book:
    """Look at the policies once: refuse what cannot be split, with counts, and take the ranges."""
    schema = lazy.collect_schema()
    born = ["birth_date"] if "age" in lexis.dims else []
    causes = ["exit_cause"] if exits or lexis.target else []
    dates = list(dict.fromkeys(["start", *cover, *(["end"] if causes else []), *born]))
    _require(schema, by, dates, [*causes, *premiums], lexis, premiums)
    begin, until = (pl.col(name) for name in cover)
    counts = {f"{d!r} is null": pl.col(d).is_null().sum() for d in dates}
    counts |= {f"factor {k!r} is null": pl.col(k).is_null().sum() for k in by}
    counts[f"{cover[1]!r} is not after {cover[0]!r}"] = (until <= begin).sum()
    if cover[0] != "start":
        counts[f"{cover[0]!r} is before 'start'"] = (begin < pl.col("start")).sum()
    if born:
        counts["'birth_date' is after 'start'"] = (pl.col("birth_date") > pl.col("start")).sum()
    for name in premiums:
        value = pl.col(name).cast(pl.Float64)
        counts[f"{name!r} is null, not finite or negative"] = (
            ~(value.is_finite() & (value >= 0)).fill_null(False)
        ).sum()
    text = [k for k in by if schema[k] in (pl.String, pl.Categorical)]
    inside = (begin < lexis.end) & (until > lexis.start)
    ranges = {
        "_rows": pl.len(), "_inside": inside.sum(),
        "_first": begin.filter(inside).min(), "_last": until.filter(inside).max(),
        "_starts": pl.col("start").min(), "_startl": pl.col("start").max(),
        "_born": pl.col(born[0]).min() if born else pl.lit(None),
        "_bornl": pl.col(born[0]).max() if born else pl.lit(None),
    }  # fmt: skip
    seen = lazy.select(
        **counts, **ranges,
        **{f"_levels_{k}": pl.col(k).cast(pl.String).unique().implode() for k in text},
        **({"_causes": pl.col("exit_cause").cast(pl.String).unique().implode()} if causes else {}),
    ).collect(engine=engine).row(0, named=True)  # fmt: skip
    faults = [f"{w} in {seen[w]:,} of {seen['_rows']:,} rows" for w in counts if seen[w]]
    if not seen["_rows"]:
        raise InputError("there are no policies", do="check the source and the filters")
    if not faults and not seen["_inside"]:
        faults = [f"none of {seen['_rows']:,} policies is covered from {lexis.period}"]
    if causes:
        faults += _unknown_causes(schema["exit_cause"], seen["_causes"], [*exits, lexis.target])
    if faults:
        raise InputError(
            "policies that cannot be split",
            faults=faults,
            do="hold the table against its contract (pricing check) and use the accepted rows",
        )
    years = [seen[n].year if seen[n] else 0 for n in ("_starts", "_startl", "_born", "_bornl")]
    return Book(
        rows=seen["_rows"],
        first=max(seen["_first"], lexis.start),
        last=date.fromordinal(min(seen["_last"], lexis.end).toordinal() - 1),
        starts=(years[0], years[1]),
        births=(years[2], years[3]),
        levels={k: sorted(seen[f"_levels_{k}"]) for k in text},
    )


def experience_of(
    cells: pl.DataFrame, keys: Sequence[str], lexis: Lexis, basis: Basis | None
) -> Experience:
    """Give cells of exposure every measure of an experience, those of claims being zero."""
    missing = [
        name
        for name in ("claims", "claims_exposure", "claims_squared", "claims_squared_per_exposure",
                     "claims_log_rate", "log_likelihood_saturated")
        if name not in cells.columns
    ]  # fmt: skip
    whole = ("claims", "claims_squared")
    cells = cells.with_columns(
        pl.lit(0, dtype=pl.Int64 if n in whole else pl.Float64).alias(n) for n in missing
    )
    order = [*keys, *(m for m in MEASURES if m in cells.columns)]
    rest = [n for n in cells.columns if n not in order]
    start = basis or Basis()
    note = (
        f"exposure {'full for ' + lexis.target if lexis.target else 'central'}, year: {lexis.unit}"
    )
    basis = replace(start, period=start.period or lexis.period, notes=(*start.notes, note))
    return Experience._of(cells.select(*order, *rest), tuple(keys), basis)


def _split(
    lazy: pl.LazyFrame,
    book: Book,
    by: list[str],
    lexis: Lexis,
    cover: tuple[str, str],
    *,
    premiums: Sequence[str],
    pattern: Sequence[float],
) -> pl.DataFrame:
    """Group the policies once per pass over the window, and give the groups their cells."""
    age, policy, thirty = "age" in lexis.dims, "policy_year" in lexis.dims, lexis.unit == "30/360"
    code, coded, loose = _code(lazy.collect_schema(), book, by, lexis)
    begin, until = (pl.col(name) for name in cover)
    every = segments(lexis, book.first, book.last)
    found = []
    for at in range(0, len(every), SEGMENTS_PER_PASS):
        part = every[at : at + SEGMENTS_PER_PASS]
        rows = lazy.filter((begin < lexis.end) & (until > lexis.start))
        rows = lines(rows, lexis, cover, age=age, policy=policy, thirty=thirty)
        rows = rows.with_columns(_code=code)
        found += _grouped(rows, part, lexis, loose, premiums, pattern, book.rows)
    return _cells(pl.concat(found).collect(), coded, loose, by, lexis, premiums)


def _grouped(
    rows: pl.LazyFrame,
    part: list[Segment],
    lexis: Lexis,
    loose: list[str],
    premiums: Sequence[str],
    pattern: Sequence[float],
    size: int,
) -> list[pl.LazyFrame]:
    """Add up days, their squares and rows of every stretch beside each other, then stack them."""
    clocks = ["", "3"] if lexis.unit == "30/360" else [""]
    edges = list(dict.fromkeys(edge for segment in part for edge in segment.edges))
    name = {edge: f"_u{i}_" for i, edge in enumerate(edges)}
    clipped = {
        name[edge] + clock: pl.min_horizontal(
            pl.max_horizontal(edge.at(clock), pl.col(f"_s{clock}")), pl.col(f"_e{clock}")
        )
        for edge in edges
        for clock in clocks
    }
    head = ["_code", *loose]
    extra = [n for n in ("_p", "_p1", "_order", "_sy") if premiums and n in rows.collect_schema()]
    rows = rows.select(*head, *extra, *premiums, **clipped)
    sums: dict[str, pl.Expr] = {}
    for i, segment in enumerate(part):
        a, b = (name[edge] for edge in segment.edges)
        days = pl.col(b) - pl.col(a)
        sums[f"rows_{i}"] = (days > 0).sum().cast(pl.Int64)
        for clock in clocks:
            span = pl.col(b + clock) - pl.col(a + clock)
            wide = span if lexis.dims else span.cast(pl.Int64)
            sums[f"days{clock}_{i}"] = span.cast(pl.Int64).sum()  # 32 bits would overflow
            sums[f"square{clock}_{i}"] = (wide * wide).cast(pl.Int64).sum()
        for n, column in enumerate(premiums):
            share = earned_share(pl.col(a), pl.col(b), segment, lexis.dims, pattern)
            sums[f"money{n}_{i}"] = (pl.col(column).cast(pl.Float64) * share).sum()
    grouped = (
        rows.group_by(head)
        .agg(**sums)
        .collect(engine="in-memory" if size <= FEW_ROWS else "streaming")
    )
    stems = ["rows", *(f"{s}{c}" for c in clocks for s in ("days", "square"))]
    stems += [f"money{n}" for n in range(len(premiums))]
    return [
        grouped.lazy()
        .filter(pl.col(f"rows_{i}") > 0)
        .select(
            *head,
            *(pl.col(f"{s}_{i}").alias(s) for s in stems),
            _y=pl.lit(segment.year, dtype=pl.Int32),
            _m=pl.lit(segment.month, dtype=pl.Int32),
            _part=pl.lit(segment.part, dtype=pl.Int32),
        )
        for i, segment in enumerate(part)
    ]


@dataclass(frozen=True)
class Coded:
    """One part of a code: values from ``low`` in ``radix`` steps, or the levels of a factor."""

    name: str
    low: int
    radix: int
    levels: list[str] | None


def _code(
    schema: pl.Schema, book: Book, by: list[str], lexis: Lexis
) -> tuple[pl.Expr, list[Coded], list[str]]:
    """One whole number for what tells policies apart, how to read it, and what did not go in."""
    parts: list[tuple[Coded, pl.Expr]] = []
    for dim, line, years in (("policy_year", "_sy", book.starts), ("age", "_by", book.births)):
        if dim in lexis.dims:
            parts.append((Coded(line, years[0], years[1] - years[0] + 1, None), pl.col(line)))
    if "policy_year" in lexis.dims:
        parts.append((Coded("_p1", 0, 2, None), pl.col("_p1")))
        if "age" in lexis.dims:
            parts.append((Coded("_order", 0, 2, None), pl.col("_order")))
    size, loose = prod(part.radix for part, _ in parts) * _MOST_CELLS_OF_TIME, []
    for k in by:
        levels = _levels(schema[k], book, k)
        if levels is None or size * len(levels) >= _MOST_CODES:
            loose.append(k)
            continue
        size *= len(levels)
        parts.append((Coded(k, 0, len(levels), levels), _physical(schema[k], k, levels)))
    code = pl.lit(0, dtype=pl.Int64)
    for part, value in parts:
        code = code * part.radix + (value.cast(pl.Int64) - part.low)
    return code, [part for part, _ in parts], loose


def _levels(kind: pl.DataType, book: Book, name: str) -> list[str] | None:
    if isinstance(kind, pl.Enum):
        return list(kind.categories)
    if kind == pl.Boolean:
        return ["no", "yes"]
    return book.levels.get(name)


def _physical(kind: pl.DataType, name: str, levels: list[str]) -> pl.Expr:
    column = pl.col(name)
    if kind == pl.Boolean:
        return column.cast(pl.Int64)
    return (
        column if isinstance(kind, pl.Enum) else column.cast(pl.String).cast(pl.Enum(levels))
    ).to_physical()


def _cells(
    found: pl.DataFrame,
    coded: list[Coded],
    loose: list[str],
    by: list[str],
    lexis: Lexis,
    premiums: Sequence[str],
) -> pl.DataFrame:
    """Read the codes, give every stretch its cell, and divide whole days by whole years."""
    timed = [part for part in coded if part.levels is None]
    size = prod(part.radix for part in coded if part.levels is not None)
    stretch = found.lazy().with_columns(
        _cell=pl.col("_code") % size, **_read(timed, pl.col("_code") // size)
    )
    rows = stretch.with_columns(**place(lexis.dims)).with_columns(_long=_long(lexis)).collect()
    keys = [Coded(k, 0, len(p.levels), p.levels) for p in coded if p.levels for k in [p.name]]
    code = pl.col("_cell")
    for dim in lexis.dims:
        low, high = (int(v) for v in rows.select(a=pl.col(dim).min(), b=pl.col(dim).max()).row(0))
        keys.append(Coded(dim, low, high - low + 1, None))
        code = code * (high - low + 1) + (pl.col(dim).cast(pl.Int64) - low)
    clock = "3" if lexis.unit == "30/360" else ""
    long = pl.col("_long") == 1
    sums = {"rows": pl.col("rows").sum(), "days": pl.col("days").sum()}
    for name, stem in (("_d", f"days{clock}"), ("_q", f"square{clock}")):
        sums |= {name: pl.col(stem).sum(), f"{name}_long": pl.col(stem).filter(long).sum()}
    money = {column: pl.col(f"money{n}").sum() for n, column in enumerate(premiums)}
    short = {"365.25": 365.25, "30/360": 360.0}.get(lexis.unit, 365.0)
    grouped = rows.with_columns(_cell=code).group_by(["_cell", *loose], maintain_order=True)
    cells = (
        grouped.agg(**sums, **money)
        .sort("_cell")
        .with_columns(
            exposure=(pl.col("_d") - pl.col("_d_long")) / short + pl.col("_d_long") / 366.0,
            exposure_squared=(pl.col("_q") - pl.col("_q_long")) / short**2
            + pl.col("_q_long") / 366.0**2,
            **_read(keys, pl.col("_cell")),
        )
    )
    return cells.with_columns(
        pl.Series(k.name, k.levels, dtype=pl.Enum(k.levels)).gather(cells[k.name])
        for k in keys
        if k.levels is not None
    ).select(*by, *lexis.dims, "rows", "exposure", "exposure_squared", "days", *premiums)


def _read(coded: list[Coded], code: pl.Expr) -> dict[str, pl.Expr]:
    """Take a code apart, the last part first."""
    found = {}
    for part in reversed(coded):
        found[part.name] = (code % part.radix + part.low).cast(pl.Int32)
        code = code // part.radix
    return found


def _long(lexis: Lexis) -> pl.Expr:
    """1 where the year that divides the days has 366 of them."""
    if lexis.unit == "policy":
        return leap(pl.col("_sy") + pl.col("policy_year") + pl.col("_p1"))
    return leap(pl.col("_y")) if lexis.unit == "calendar" else pl.lit(0, dtype=pl.Int32)


def _beside(cells: pl.DataFrame, more: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """Put further sums beside the cells they belong to; zero where a cell has none."""
    new = [n for n in more.columns if n not in keys]
    same = {k: cells.schema[k] for k in keys}
    joined = (
        cells.join(more.cast(same), on=keys, how="left", nulls_equal=True)  # type: ignore[arg-type]
        if keys
        else pl.concat([cells, more.select(new)], how="horizontal")
    )
    return joined.with_columns(pl.col(new).fill_null(0))


def _by_policy_year(lexis: Lexis) -> Lexis:
    """The same study with the policy year among its dimensions, for what is earned over it."""
    return Lexis(start=lexis.start, end=lexis.end, dims=[*lexis.dims, "policy_year"])


def _require(
    schema: pl.Schema,
    by: Sequence[str],
    dates: Sequence[str],
    others: Sequence[str],
    lexis: Lexis,
    premiums: Sequence[str],
) -> None:
    names = schema.names()
    faults = [
        f"column {n!r} is missing{nearest(n, names)}"
        for n in dict.fromkeys([*by, *dates, *others])
        if n not in names
    ]
    faults += [
        f"{d!r} is {schema[d]}, not a date" for d in dates if d in names and schema[d] != pl.Date
    ]
    faults += [
        f"{p!r} is {schema[p]}, not an amount"
        for p in premiums
        if p in names and not schema[p].is_numeric()
    ]
    text = (pl.String, pl.Enum, pl.Categorical, pl.Boolean)
    faults += [
        f"factor {k!r} is {schema[k]}: neither text, yes or no, nor a whole number"
        for k in by
        if k in names and schema[k] not in text and not schema[k].is_integer()
    ]
    faults += [
        f"factor {k!r} has the name of a sum or a dimension; rename the column"
        for k in by
        if k in MEASURES or k == "days" or k in lexis.dims or k in premiums
    ]
    if faults:
        raise InputError("columns that cannot serve as asked", faults=faults)


def _unknown_causes(
    kind: pl.DataType, seen: Sequence[str | None], asked: Sequence[str | None]
) -> list[str]:
    known = (
        list(kind.categories) if isinstance(kind, pl.Enum) else [c for c in seen if c is not None]
    )
    return [
        f"no exit cause {c!r}{nearest(c, known)}"
        for c in dict.fromkeys(asked)
        if c is not None and c not in known
    ]
