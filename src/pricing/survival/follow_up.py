"""Follow-up: lives with their factors, from entry to exit, collapsed to cells of equal lives.

A regression needs entry, exit, event and factors together, so equal lives are one cell with their
number. A life that entered at a and left at b is observed on (a, b], as in
:mod:`pricing.survival.lives`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import polars as pl

from pricing.errors import InputError
from pricing.experience.domain import listed, require_columns
from pricing.experience.engines import AnyFrame
from pricing.experience.shards import Shards

__all__ = ["follow_up", "one_time"]

DIGITS = 12  # of a time that count
TEXT = ("String", "Enum", "Categorical")
OURS = ("_a", "_t", "_d")
TAKEN = frozenset({"entry", "exit", "event", "lives", "rows"})


def follow_up(
    frame: AnyFrame,
    keys: Sequence[str] = (),
    *,
    exit: str = "exit",
    event: str = "event",
    entry: str | None = None,
    weight: str | None = None,
) -> pl.DataFrame:
    """Collapse lives to cells of equal factors, entry, exit and event, once, where they are.

    Parameters
    ----------
    frame : frame of any engine
        One row per life or spell, or cells of lives with their number as ``weight``.
    keys : sequence of str
        Factors (text, Enum, yes or no) and covariates (numbers).
    exit : str
        Column of the time of leaving or of the end of observation, above the entry.
    event : str
        Yes or no, or 1 and 0.
    entry : str, optional
        Column of the time from which a life is observed (left truncation), 0 or more.
    weight : str, optional
        Column of the number of lives of a row, 0 or more; rows of 0 lives count for nothing.

    Returns
    -------
    polars.DataFrame
        Keys, then entry, exit (Float64), event (Boolean), lives (Float64), rows; sorted.

    Raises
    ------
    InputError
        For no rows or no lives; columns that are missing or of the wrong type; times, keys, weights
        or events that are null, NaN, infinite or out of their domain: all said at once, with counts.

    Examples
    --------
    >>> rows = pl.DataFrame({"exit": [2.0, 2.0, 1.0], "event": [True, True, False]})
    >>> follow_up(rows).select("exit", "event", "lives").rows()
    [(1.0, False, 1.0), (2.0, True, 2.0)]
    """
    keys = list(dict.fromkeys(listed(keys)))
    columns = [*keys, exit, event, *([entry] if entry else []), *([weight] if weight else [])]
    shards = Shards.of(frame, columns)
    _require_kinds(shards.schema, keys, exit, event, entry, weight)
    names = {f"k{i}": name for i, name in enumerate(keys)}
    job = partial(_cells, keys=names, exit=exit, event=event, entry=entry, weight=weight)
    groups = [*names, *OURS]
    cells = one_time(shards.gather(job, partial(_added, keys=groups)), ["_a", "_t"], groups)
    _require_cells(cells, names, exit, event, entry, weight)
    kept = cells.filter(pl.col("_n") > 0)
    if kept.is_empty():
        raise InputError("there are no lives", do="check the source, the filters and weights")
    sort = [*keys, "entry", "exit", "event"]
    return kept.select(
        *(_factor(kept, k).alias(name) for k, name in names.items()),
        entry="_a", exit="_t", event=pl.col("_d") == 1, lives="_n", rows="rows",
    ).sort(sort)  # fmt: skip


def one_time(cells: pl.DataFrame, times: Sequence[str], keys: Sequence[str]) -> pl.DataFrame:
    """Make times one that differ by what arithmetic leaves, 0.1 + 0.2 years and 0.3, and add up.

    Times that agree in 12 digits are one, as in :mod:`pricing.survival.lives`: else two who leave
    together would be no tie.

    Examples
    --------
    >>> cells = pl.DataFrame({"t": [0.1 + 0.2, 0.3], "rows": [1, 2]})
    >>> one_time(cells, ["t"], ["t"]).rows()
    [(0.3, 3)]
    """
    near = cells.with_columns(pl.col(times).round_sig_figs(DIGITS))
    same = all(near[name].equals(cells[name], null_equal=True) for name in times)
    return cells if same else _added(near, keys=list(keys))


def _cells(
    rows: pl.LazyFrame,
    *,
    keys: dict[str, str],
    exit: str,
    event: str,
    entry: str | None,
    weight: str | None,
) -> pl.DataFrame:
    schema, w = rows.collect_schema(), pl.col("_w")
    bad = (~((w >= 0) & w.is_finite())).fill_null(True)
    given = {
        k: pl.col(n).cast(pl.String) if schema[n].base_type().__name__ == "Categorical"
        else pl.col(n).cast(pl.Float64) if schema[n].is_decimal() else pl.col(n)
        for k, n in keys.items()
    }  # fmt: skip
    given |= {"_t": pl.col(exit).cast(pl.Float64), "_d": pl.col(event).cast(pl.Int64)}
    given |= {"_a": pl.col(entry).cast(pl.Float64) if entry else pl.lit(0.0)}
    given |= {"_w": pl.col(weight).cast(pl.Float64)} if weight else {}
    found = rows.select(**given).group_by(*keys, *OURS).agg(
        rows=pl.len().cast(pl.Int64),
        _n=w.sum() if weight else pl.len().cast(pl.Float64),
        unweighed=bad.sum().cast(pl.Int64) if weight else pl.lit(0, pl.Int64),
    )  # fmt: skip
    return found.collect(engine="streaming")


def _added(cells: pl.DataFrame, *, keys: list[str]) -> pl.DataFrame:
    return cells.group_by(keys).agg(pl.exclude(keys).sum())


def _factor(cells: pl.DataFrame, name: str) -> pl.Expr:
    kind = cells.schema[name]
    if kind == pl.Boolean:
        yes = pl.when(pl.col(name)).then(pl.lit("yes")).otherwise(pl.lit("no"))
        return yes.cast(pl.Enum(["no", "yes"])).alias(name)
    if kind == pl.String:
        return pl.col(name).cast(pl.Enum(cells[name].unique().sort().to_list()))
    return pl.col(name)


def _require_kinds(
    schema: pl.Schema,
    keys: Sequence[str],
    exit: str,
    event: str,
    entry: str | None,
    weight: str | None,
) -> None:
    numbers = [name for name in (exit, entry, weight) if name is not None]
    require_columns([*keys, event, *numbers], schema.names())
    faults = [f"{n!r} is {schema[n]}, not a number" for n in numbers if not schema[n].is_numeric()]
    kind = schema[event]
    if not (kind == pl.Boolean or kind.is_integer()):
        faults.append(f"{event!r} is {kind}: neither yes or no, nor 0 and 1")
    faults += [
        f"key {n!r} is {schema[n]}: neither a factor (text, yes or no) nor a number"
        for n in keys
        if not (
            schema[n].base_type().__name__ in TEXT
            or schema[n] == pl.Boolean
            or schema[n].is_numeric()
        )
    ]
    faults += [f"key {n!r} has the name of a column of ours" for n in keys if n in TAKEN]
    if faults:
        raise InputError(
            "columns that cannot serve as asked",
            faults=faults,
            do="count times from the start of cover; make one cause of leaving an event with "
            '(pl.col("cause") == "lapse")',
        )


def _require_cells(
    cells: pl.DataFrame,
    keys: dict[str, str],
    exit: str,
    event: str,
    entry: str | None,
    weight: str | None,
) -> None:
    rows = int(cells["rows"].sum())
    if not rows:
        raise InputError("there are no lives", do="check the source and the filters")

    def count(of: pl.Expr) -> int:
        return int(cells.filter(of.fill_null(True))["rows"].sum())

    def strange(name: str) -> pl.Expr:
        there = pl.col(name).is_finite() if cells.schema[name].is_float() else pl.lit(True)
        return pl.col(name).is_null() | ~there

    late = entry if entry is not None else "0"
    odd = strange("_t") | strange("_a")
    found = [
        (
            f"{name!r} is null" + (", NaN or infinite" if cells.schema[k].is_float() else ""),
            count(strange(k)),
        )
        for k, name in keys.items()
    ]
    found += [
        (f"{exit!r} is null, NaN or infinite", count(strange("_t"))),
        (f"{entry!r} is null, NaN or infinite", count(strange("_a"))),
        (f"{entry!r} is below 0", count((pl.col("_a") < 0) & ~strange("_a"))),
        (
            f"{exit!r} is not after {late!r}" if entry else f"{exit!r} is not above 0",
            count((pl.col("_t") <= pl.col("_a")) & ~odd),
        ),
        (f"{event!r} is null", count(pl.col("_d").is_null())),
        (f"{event!r} is neither 0 nor 1", count(~pl.col("_d").is_in([0, 1]) & pl.col("_d").is_not_null())),
        (f"{weight!r} is null, not finite or negative", int(cells["unweighed"].sum())),
    ]  # fmt: skip
    faults = [f"{what} in {many:,} of {rows:,} rows" for what, many in found if many]
    if faults:
        raise InputError(
            "lives that cannot be followed",
            faults=faults,
            do="correct the dates, leave such rows out, or make one cause of leaving the event",
        )
