"""Cover looked at before it is split: refused with counts where it cannot be, ranges where it can."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

import polars as pl

from pricing.errors import InputError, nearest
from pricing.experience.cells import MEASURES
from pricing.experience.lexis import Lexis
from pricing.experience.shards import Shards

__all__ = ["Book", "Engine", "engine_for"]

Engine = Literal["in-memory", "streaming"]


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
    rows: Shards,
    by: Sequence[str],
    lexis: Lexis,
    cover: tuple[str, str],
    *,
    exits: Sequence[str] = (),
    premiums: Sequence[str] = (),
) -> Book:
    """Look at the policies once: refuse what cannot be split, with counts, and take the ranges."""
    schema = rows.schema
    born = ["birth_date"] if "age" in lexis.dims else []
    causes = ["exit_cause"] if exits or lexis.target else []
    dates = list(dict.fromkeys(["start", *cover, *(["end"] if causes else []), *born]))
    _require(schema, by, dates, [*causes, *premiums], lexis, premiums, exits)
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
    lists = [f"_levels_{k}" for k in text] + (["_causes"] if causes else [])
    wanted: dict[str, pl.Expr] = {
        **counts,
        **ranges,
        **{f"_levels_{k}": pl.col(k).cast(pl.String).unique().implode() for k in text},
        **({"_causes": pl.col("exit_cause").cast(pl.String).unique().implode()} if causes else {}),
    }
    engine = engine_for(rows)
    seen = rows.gather(
        lambda shard: shard.select(**wanted).collect(engine=engine),
        lambda looks: _merged(looks, [*counts, "_rows", "_inside"], lists),
    ).row(0, named=True)
    faults = [f"{w} in {seen[w]:,} of {seen['_rows']:,} rows" for w in counts if seen[w]]
    if not seen["_rows"]:
        raise InputError("there are no policies", do="check the source and the filters")
    if not faults and not seen["_inside"]:
        faults = [f"none of {seen['_rows']:,} policies is covered from {lexis.period}"]
    unknown = (
        _unknown_causes(schema["exit_cause"], seen["_causes"], [*exits, lexis.target])
        if causes
        else []
    )
    if faults or unknown:
        mend = ["hold the table against its contract (pricing check) and use the accepted rows"]
        heard = ["for a cause that may not occur, make 'exit_cause' a pl.Enum of all that can"]
        raise InputError(
            "policies that cannot be split",
            faults=[*faults, *unknown],
            do="; ".join([*(mend if faults else []), *(heard if unknown else [])]),
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


def _merged(looks: pl.DataFrame, counted: Sequence[str], lists: Sequence[str]) -> pl.DataFrame:
    """Bring the looks at several pieces of the policies down to one."""
    first = [name for name in looks.columns if name in {"_first", "_starts", "_born"}]
    last = [name for name in looks.columns if name in {"_last", "_startl", "_bornl"}]
    return looks.select(
        pl.col(counted).sum(),
        pl.col(first).min(),
        pl.col(last).max(),
        *(pl.col(name).explode().unique().implode() for name in lists),
    )


def engine_for(rows: Shards) -> Engine:
    """Stream what may be large; a small frame is done before a stream has started.

    Examples
    --------
    >>> engine_for(Shards.of(pl.DataFrame({"start": [date(2024, 1, 1)]})))
    'in-memory'
    """
    return "in-memory" if rows.eager is not None else "streaming"


def _require(
    schema: pl.Schema,
    by: Sequence[str],
    dates: Sequence[str],
    others: Sequence[str],
    lexis: Lexis,
    premiums: Sequence[str],
    exits: Sequence[str],
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
    ours = {*MEASURES, "days", *lexis.dims, *(f"exits_{cause}" for cause in exits)}
    ours |= {"policy_year"} if premiums else set()  # over which a premium is earned
    for what, columns in (("factor", by), ("premium", premiums)):
        faults += [
            f"{what} {k!r} has the name of a sum or a dimension; rename the column"
            for k in dict.fromkeys(columns)
            if k in ours or (what == "factor" and k in premiums)
        ]
        faults += [
            f"{what} {k!r} begins like a column of ours; rename it"
            for k in dict.fromkeys(columns)
            if k.startswith("_")
        ]
    faults += [
        f"premium {p!r} is given twice" for p in dict.fromkeys(premiums) if premiums.count(p) > 1
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
