"""Exposure from policies: cover cut by calendar time, policy year and attained age, added up by cell.

The Lexis split without ever writing out a row per policy and cell. Within a calendar year every
policy meets at most three stretches, between 1 January, its anniversary, its birthday and the next
1 January. What tells policies apart is only their factors, the years they started and were born in,
and which of the two days comes first. So policies are grouped once by those, with the days of every
stretch added up beside each other, and the few groups are given their cells afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from pricing.experience.cells import Experience
from pricing.experience.cover import Book, survey
from pricing.experience.domain import listed
from pricing.experience.earning import earned_share, require_pattern
from pricing.experience.engines import MANY_ROWS, AnyFrame
from pricing.experience.events import count_exits
from pricing.experience.lexis import Lexis, Segment, lines, place, segments
from pricing.experience.shards import FEW_ROWS, Shards
from pricing.experience.strata import (
    Coded,
    cells_of,
    experience_of,
    long_year,
    read_groups,
    strata,
)
from pricing.result.shape import Basis

__all__ = ["split_exposure"]

SEGMENTS_PER_PASS = 36


def split_exposure(
    policies: AnyFrame,
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
    policies : frame of any engine
        One row per policy: ``start``, ``end`` (the day after the last day of cover; 9999-12-31
        where there is none), ``birth_date`` where age is asked, ``exit_cause`` where exits or a
        target are (null while in force), factors. A LazyFrame over Parquet, a DuckDB relation and a
        PySpark DataFrame are never held in memory: DuckDB hands over a million rows at a time, on
        Spark the workers split their own (``docs/engines.md``).
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
        after the start, no overlap with the window: all said at once, with counts. For factors and
        premiums that have the name of a sum or a dimension, or begin with an underscore.

    References
    ----------
    Lexis, W. (1875). Einleitung in die Theorie der Bevölkerungsstatistik.
    Atkinson, D. B. and McGarry, J. K. (2016). Experience Study Calculations. Society of Actuaries.

    Examples
    --------
    >>> from datetime import date
    >>> policies = pl.DataFrame({"start": [date(2023, 7, 1)], "end": [date(2024, 3, 1)],
    ...                          "birth_date": [date(1980, 3, 1)], "sex": ["f"]})
    >>> lexis = Lexis(start=date(2023, 1, 1), end=date(2025, 1, 1), dims=["calendar_year", "age"])
    >>> split_exposure(policies, ["sex"], lexis).cells.select("calendar_year", "age", "days").rows()
    [(2023, 43, 184), (2024, 43, 60)]
    """
    require_pattern(pattern)
    by, exits, premiums = list(dict.fromkeys(listed(by))), listed(exits), listed(premiums)
    rows = Shards.of(policies, _columns(by, lexis, cover, exits, premiums))
    book = survey(rows, by, lexis, cover, exits=exits, premiums=premiums)
    keys = [*by, *lexis.dims]
    told = premiums if "policy_year" in lexis.dims else []  # what is earned is told by policy year
    cells = _split(rows, book, by, lexis, cover, premiums=told, pattern=pattern)
    if premiums and not told:
        fine = _by_policy_year(lexis)
        money = _split(rows, book, by, fine, cover, premiums=premiums, pattern=pattern)
        money = money.group_by(keys, maintain_order=True).agg(pl.col(list(premiums)).sum())
        cells = _beside(cells, money, keys)
    if exits:
        left = rows.gather(
            lambda shard: count_exits(shard, by, lexis, cover, exits),
            lambda parts: _added(parts, keys),
        )
        cells = _beside(cells, left, keys)
    return experience_of(cells, keys, lexis, basis)


def _columns(
    by: list[str], lexis: Lexis, cover: tuple[str, str], exits: list[str], premiums: list[str]
) -> list[str]:
    """The columns that are read, for engines that would hand over all of them."""
    causes = ["end", "exit_cause"] if exits or lexis.target is not None else []
    born = ["birth_date"] if "age" in lexis.dims else []
    return ["start", *cover, *causes, *born, *by, *premiums]


def _split(
    rows: Shards,
    book: Book,
    by: list[str],
    lexis: Lexis,
    cover: tuple[str, str],
    *,
    premiums: Sequence[str],
    pattern: Sequence[float],
) -> pl.DataFrame:
    """Group the policies once per pass over the window, and give the groups their cells."""
    code, coded, loose = strata(rows.schema, book, by, lexis)
    every = segments(lexis, book.first, book.last)

    def stretches(shard: pl.LazyFrame) -> pl.DataFrame:
        found = []
        for at in range(0, len(every), SEGMENTS_PER_PASS):
            part = every[at : at + SEGMENTS_PER_PASS]
            here = _lined(shard, lexis, cover).with_columns(_code=code)
            found += _grouped(here, part, lexis, coded, loose, premiums, pattern, book.rows)
        return pl.concat(found).collect()

    together = ["_factors", *loose, *lexis.dims, "_long"]
    found = rows.gather(stretches, lambda parts: _added(parts, together))
    return cells_of(found, coded, loose, by, lexis, premiums)


def _lined(shard: pl.LazyFrame, lexis: Lexis, cover: tuple[str, str]) -> pl.LazyFrame:
    age, policy, thirty = "age" in lexis.dims, "policy_year" in lexis.dims, lexis.unit == "30/360"
    begin, until = (pl.col(name) for name in cover)
    inside = shard.filter((begin < lexis.end) & (until > lexis.start))
    return lines(inside, lexis, cover, age=age, policy=policy, thirty=thirty)


def _added(parts: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """Add up what several pieces of the policies came to."""
    sums = pl.exclude(keys).sum()
    return parts.group_by(keys, maintain_order=True).agg(sums) if keys else parts.select(sums)


def _grouped(
    rows: pl.LazyFrame,
    part: list[Segment],
    lexis: Lexis,
    coded: list[Coded],
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
    few = MANY_ROWS if premiums else FEW_ROWS  # days are whole; money is added in the rows' order
    grouped = (
        rows.group_by(head, maintain_order=bool(premiums) and size <= few)
        .agg(**sums)
        .collect(engine="in-memory" if size <= few else "streaming")
    )
    stems = ["rows", *(f"{s}{c}" for c in clocks for s in ("days", "square"))]
    stems += [f"money{n}" for n in range(len(premiums))]
    groups = read_groups(grouped, coded)
    return [
        groups.lazy()
        .filter(pl.col(f"rows_{i}") > 0)
        .with_columns(**place(lexis.dims, segment))
        .select(
            *("_factors", *loose, *lexis.dims),
            *(pl.col(f"{s}_{i}").alias(s) for s in stems),
            _long=long_year(lexis, segment),
        )
        for i, segment in enumerate(part)
    ]


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
