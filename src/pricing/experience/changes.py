"""Factors that change in time: cover cut where a health group, a tier or a premium changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from pricing.errors import InputError, nearest

__all__ = ["COVER", "CutCover", "cut_at_changes"]

COVER = ("cover_start", "cover_end")


@dataclass(frozen=True)
class CutCover:
    """Policies with their cover cut at every change.

    Attributes
    ----------
    policies : polars.DataFrame
        One row per stretch of cover over which no value changes: the policy's columns, the values,
        and ``cover_start`` and ``cover_end`` (half-open), which add up to the policy's cover. Hand
        them on as ``cover=COVER``.
    ignored : polars.DataFrame
        Changes that change nothing, with ``reason``: unknown policy, after cover, before cover and
        changed again by its start. Changes to the value already held are not listed.
    """

    policies: pl.DataFrame
    ignored: pl.DataFrame


def cut_at_changes(
    policies: pl.DataFrame,
    changes: pl.DataFrame | Sequence[pl.DataFrame],
    *,
    default: Mapping[str, Any] | None = None,
) -> CutCover:
    """Cut cover into stretches over which every factor is constant.

    A table of changes is a step function of time for each policy: a value holds from its date to
    the day before the next one, whether or not the first date lies before cover starts. Several
    tables (or one with several values) cut at all their dates.

    The stretches are rows, some 1 + changes per policy: a book too large for memory so is cut and
    split part by part, and the experiences added.

    Parameters
    ----------
    policies : polars.DataFrame
        ``policy_id`` (unique), ``start``, ``end``, and anything else.
    changes : polars.DataFrame or sequence of them
        ``policy_id``, ``from`` (date) and one or more values, none of them null.
    default : mapping of column to value, optional
        What holds before the first change of a policy, and for policies without any.

    Returns
    -------
    CutCover
        The stretches, and the changes that had no effect.

    Raises
    ------
    InputError
        For missing or clashing columns, identities of two types, null dates or values, cover that
        does not end after its start, two values from one day, a policy that appears twice, a
        default that does not fit its column, and cover without a value where no default is given:
        with counts.

    Examples
    --------
    >>> from datetime import date
    >>> policies = pl.DataFrame({"policy_id": ["p"], "start": [date(2023, 1, 1)], "end": [date(2025, 1, 1)]})
    >>> groups = pl.DataFrame({"policy_id": ["p", "p"], "from": [date(2023, 1, 1), date(2024, 1, 1)],
    ...                        "health_group": ["G0", "G1"]})
    >>> cut_at_changes(policies, groups).policies.select("health_group", "cover_end").rows()
    [('G0', datetime.date(2024, 1, 1)), ('G1', datetime.date(2025, 1, 1))]
    """
    tables = list(changes) if isinstance(changes, Sequence) else [changes]
    default = dict(default or {})
    values = _require(policies, tables, default)
    facts = policies.select("policy_id", "start", "end")
    effective, ignored = zip(*(_effective(table, facts) for table in tables), strict=True)
    first = facts.select("policy_id", pl.col("start").alias("from"))
    steps = (
        pl.concat([first, *effective], how="diagonal_relaxed")
        .group_by("policy_id", "from")
        .agg(pl.col(values).drop_nulls().last())
        .sort("policy_id", "from")
        .with_columns(pl.col(values).forward_fill().over("policy_id"))
        .with_columns(pl.col(name).fill_null(pl.lit(v)) for name, v in default.items())
    )
    _require_values(steps, values)
    new = pl.any_horizontal(
        pl.col("policy_id").ne_missing(pl.col("policy_id").shift(1)),
        *(pl.col(v) != pl.col(v).shift(1) for v in values),
    )
    same = pl.col("policy_id") == pl.col("policy_id").shift(-1)
    stretches = (
        steps.filter(new)
        .rename({"from": COVER[0]})
        .with_columns(pl.when(same).then(pl.col(COVER[0]).shift(-1)).alias(COVER[1]))
        .join(policies, on="policy_id", how="left", maintain_order="left")
        .with_columns(pl.col(COVER[1]).fill_null(pl.col("end")))
        .select(*policies.columns, *values, *COVER)
    )
    return CutCover(stretches, pl.concat(ignored, how="diagonal_relaxed"))


def _effective(table: pl.DataFrame, facts: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Keep what changes something within cover, moved to its start where it was earlier."""
    met = table.join(facts, on="policy_id", how="left", maintain_order="left").sort(
        "policy_id", "from", maintain_order=True
    )
    following = pl.when(pl.col("policy_id") == pl.col("policy_id").shift(-1)).then(
        pl.col("from").shift(-1)
    )
    reason = (
        pl.when(pl.col("start").is_null()).then(pl.lit("unknown policy"))
        .when(pl.col("from") >= pl.col("end")).then(pl.lit("after cover"))
        .when(following <= pl.col("start")).then(pl.lit("changed again before cover"))
    )  # fmt: skip
    met = met.with_columns(reason=reason)
    kept = met.filter(pl.col("reason").is_null()).with_columns(
        pl.max_horizontal("from", "start").alias("from")
    )
    return (
        kept.drop("start", "end", "reason"),
        met.filter(pl.col("reason").is_not_null()).drop("start", "end"),
    )


def _require(
    policies: pl.DataFrame, tables: Sequence[pl.DataFrame], default: Mapping[str, Any]
) -> list[str]:
    """Hold the tables against what they must be; give the names of the values."""
    held = {"policies": policies, **{f"changes {i}": table for i, table in enumerate(tables, 1)}}
    faults = [
        f"{name} are a {type(table).__name__}, not a polars DataFrame"
        for name, table in held.items()
        if not isinstance(table, pl.DataFrame)
    ]
    if faults:
        raise InputError("cover cannot be cut at changes", faults=faults, do="collect them first")
    faults = [
        f"policies have no {n!r}{nearest(n, policies.columns)}"
        for n in ("policy_id", "start", "end")
        if n not in policies.columns
    ]
    faults += [] if tables else ["there is no table of changes"]
    values: list[str] = []
    for i, table in enumerate(tables, 1):
        own = [n for n in table.columns if n not in ("policy_id", "from")]
        lacking = [n for n in ("policy_id", "from") if n not in table.columns]
        faults += [f"changes {i} have no {n!r}{nearest(n, table.columns)}" for n in lacking]
        faults += [] if own else [f"changes {i} have no column of values"]
        clash = [n for n in own if n in (*policies.columns, *COVER, *values, "reason")]
        faults += [f"column {n!r} of changes {i} is there already; rename it" for n in clash]
        values += own
        if lacking:
            continue
        if table.schema["from"] != pl.Date:
            faults.append(f"'from' of changes {i} is {table.schema['from']}, not a date")
        if "policy_id" in policies and table.schema["policy_id"] != policies.schema["policy_id"]:
            faults.append(
                f"'policy_id' is {table.schema['policy_id']} in changes {i}, "
                f"{policies.schema['policy_id']} in policies"
            )
        for n in own:
            if n in default and not _fits(default[n], table.schema[n]):
                faults.append(f"default {default[n]!r} for {n!r} is no {table.schema[n]}")
        nulls = {n: table[n].null_count() for n in table.columns}
        faults += [f"{n!r} of changes {i} is null in {k:,} rows" for n, k in nulls.items() if k]
        twice = table.select("policy_id", "from").is_duplicated().sum()
        faults += [f"{twice:,} changes {i} share policy and day with another"] if twice else []
    faults += [f"default for {n!r}{nearest(n, values)}" for n in default if n not in values]
    if not faults:
        twice = policies["policy_id"].is_duplicated().sum()
        faults += [f"{twice:,} policies share their policy_id with another"] if twice else []
        for n in ("start", "end"):
            missing = policies[n].null_count()
            faults += [f"{n!r} is null in {missing:,} policies"] if missing else []
            if policies.schema[n] != pl.Date:
                faults.append(f"{n!r} of policies is {policies.schema[n]}, not a date")
    if not faults:
        reversed_ = (policies["end"] <= policies["start"]).sum()
        faults += [f"'end' is not after 'start' in {reversed_:,} policies"] if reversed_ else []
    if faults:
        raise InputError("cover cannot be cut at changes", faults=faults)
    return values


def _fits(value: Any, kind: pl.DataType) -> bool:
    """Whether a value can stand in a column as it is: 1 among floats, no text, no unknown level."""
    try:
        return bool(value is not None and pl.Series([value]).cast(kind).to_list() == [value])
    except (pl.exceptions.PolarsError, TypeError):
        return False


def _require_values(steps: pl.DataFrame, values: Sequence[str]) -> None:
    bare = steps.filter(pl.any_horizontal(pl.col(values).is_null()))
    if bare.is_empty():
        return
    faults = []
    for name in values:
        lacking = bare.filter(pl.col(name).is_null())["policy_id"].unique().sort()
        if len(lacking):
            few = ", ".join(repr(p) for p in lacking.head(3))
            faults.append(
                f"{len(lacking):,} policies have no {name!r} at their start, such as {few}"
            )
    raise InputError(
        "cover without a value of a factor",
        where="changes",
        faults=faults,
        do="give a first value from the start of cover on, or default={...}",
    )
