"""The border: a frame of any engine in, polars cells out. Nothing above it sees an engine.

polars is first class; a DuckDB relation and a PySpark DataFrame are counted and grouped where they
are, and only the cells travel; pandas and pyarrow frames are turned into polars at the door.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, prod
from typing import Any

import narwhals.stable.v2 as nw
import polars as pl

from pricing.errors import InputError

__all__ = ["AnyFrame", "column_kind", "counted", "is_here", "on_spark", "opened", "to_cells"]

AnyFrame = Any
"""A polars DataFrame or LazyFrame, a DuckDB relation, a PySpark, pandas or pyarrow frame."""

MANY_ROWS = 2_000_000
HERE = frozenset({"POLARS", "PANDAS", "PYARROW"})
SPARK = frozenset({"PYSPARK", "PYSPARK_CONNECT"})
FEW_IN_A_CELL = 8_192  # rows whose plain sum is off by less than 1e-12
QUANTUM = 1.5 * 2.0**36  # adding and taking off this rounds a double to a multiple of 2⁻¹⁶


def opened(frame: AnyFrame, columns: Sequence[str] = ()) -> nw.LazyFrame[Any]:
    """Take a frame of any supported engine, unread.

    Parameters
    ----------
    frame : frame
        polars DataFrame or LazyFrame, DuckDB relation, PySpark DataFrame, pandas DataFrame or
        pyarrow Table.
    columns : sequence of str
        Columns that will be read; held against what the engine can name.

    Raises
    ------
    InputError
        For anything else, and for a column Spark cannot tell from another.

    Examples
    --------
    >>> opened(pl.DataFrame({"age": [40]})).collect_schema().names()
    ['age']
    >>> opened([1, 2])
    Traceback (most recent call last):
    pricing.errors.InputError: a list is no frame that can be read
      do: give a polars DataFrame or LazyFrame, a DuckDB relation, a PySpark DataFrame, ...
    """
    try:
        known: Any = nw.from_native(frame)
    except TypeError:
        known = None
    engine = known.implementation.name if known is not None else ""
    if engine not in HERE | SPARK | {"DUCKDB"}:
        raise InputError(
            f"a {type(frame).__name__} is no frame that can be read",
            do="give a polars DataFrame or LazyFrame, a DuckDB relation, a PySpark DataFrame, "
            "a pandas DataFrame or a pyarrow Table",
        )
    if engine in SPARK:
        _require_plain_names(frame.columns, columns)
    if engine in {"PANDAS", "PYARROW"}:
        ordered = {n: k for n, k in known.schema.items() if isinstance(k, nw.Enum)}
        known = known.lazy(backend="polars").with_columns(
            nw.col(n).cast(nw.String).cast(k) for n, k in ordered.items()
        )
    lazy: nw.LazyFrame[Any] = known.lazy()
    return lazy


def on_spark(frame: nw.LazyFrame[Any]) -> bool:
    """Tell whether a frame lives in Spark, which has no Enum.

    Examples
    --------
    >>> on_spark(opened(pl.DataFrame({"age": [40]})))
    False
    """
    return frame.implementation.name in SPARK


def column_kind(kind: nw.dtypes.DType) -> str:
    """Name the type of a column in a message.

    Examples
    --------
    >>> column_kind(opened(pl.DataFrame({"a": ["x"]})).collect_schema()["a"])
    'String'
    """
    return "without a type (all null?)" if kind == nw.Unknown else str(kind)


def counted(frame: nw.LazyFrame[Any], **sums: nw.Expr) -> dict[str, Any]:
    """Add up over the whole frame, in one pass.

    Examples
    --------
    >>> counted(opened(pl.DataFrame({"n": [1, 2]})), rows=nw.len(), n=nw.col("n").sum())
    {'rows': 2, 'n': 3}
    """
    return _collected(frame.select(**sums), engine="streaming").row(0, named=True)


def is_here(frame: nw.LazyFrame[Any]) -> bool:
    """Tell whether a frame is read by polars, on this machine.

    Examples
    --------
    >>> is_here(opened(pl.DataFrame({"age": [40]})))
    True
    """
    return isinstance(frame.to_native(), pl.LazyFrame)


def to_cells(
    frame: nw.LazyFrame[Any], keys: Sequence[str], sums: Sequence[str], *, rows: int
) -> pl.DataFrame:
    """Group the rows of any engine into cells, where they are; only the cells come here.

    Parameters
    ----------
    frame : narwhals.LazyFrame
        From :func:`opened`.
    keys, sums : sequence of str
        Columns to group by, and to add up (Float64).
    rows : int
        How many rows there are. Up to two million polars adds in the order of the rows, so that
        sums repeat to the last bit; above, speed goes first.

    Returns
    -------
    polars.DataFrame
        Keys (text, Enum or numbers; a Boolean becomes ``no`` and ``yes``), sums, and ``rows``, those
        of the cell; in no order.

    Notes
    -----
    Engines add doubles one by one and in any order, so a cell of m rows may be off by m·2⁻⁵³: ten
    million exposures of 1/12 come out wrong in the eleventh digit. Up to 8,192 rows that is below
    1e-12. Where a cell has more, and outside polars always, each double x is added in two parts, x
    rounded to a multiple of 2⁻¹⁶ and the rest: the first part adds exactly up to 10¹¹, the second
    is too small to matter (the pre-rounding of Demmel and Nguyen 2013, with a fixed quantum). The
    sums are then those of exact arithmetic to a rounding or two, whatever the engine, the order
    and the threads.

    Examples
    --------
    >>> rows = opened(pl.DataFrame({"smoker": [True, True], "exposure": [0.5, 1.0]}))
    >>> to_cells(rows, ["smoker"], ["exposure"], rows=2).rows()
    [('yes', 1.5, 2)]
    """
    schema = frame.collect_schema()
    cells = None
    if is_here(frame) and rows <= FEW_IN_A_CELL * _most_cells([schema[key] for key in keys]):
        cells = _grouped(frame, keys, sums, rows)
    if cells is None or cells["rows"].max() > FEW_IN_A_CELL:  # type: ignore[operator]
        high = {s: f"{s}_high" for s in sums}
        parts = frame.with_columns(
            *(((nw.col(s) + QUANTUM) - QUANTUM).alias(h) for s, h in high.items())
        ).with_columns(*(nw.col(s) - nw.col(h) for s, h in high.items()))
        cells = _grouped(parts, keys, [*sums, *high.values()], rows).select(
            *keys, *(pl.col(s) + pl.col(h) for s, h in high.items()), "rows"
        )
    cells = cells.with_columns(_level(pl.col(key), schema[key]).alias(key) for key in keys)
    if any(schema[key].is_decimal() for key in keys):  # two decimals may be one double
        cells = cells.group_by(keys, maintain_order=True).agg(pl.col(*sums, "rows").sum())
    return cells


def _most_cells(kinds: Sequence[nw.dtypes.DType]) -> float:
    """How many cells there can be: a product where every key has its levels, else no bound."""
    sizes = [
        len(kind.categories) + 1 if isinstance(kind, nw.Enum) else 3 if kind == nw.Boolean else inf
        for kind in kinds
    ]
    return prod(sizes)


def _grouped(
    frame: nw.LazyFrame[Any], keys: Sequence[str], sums: Sequence[str], rows: int
) -> pl.DataFrame:
    many = rows > MANY_ROWS
    if isinstance(native := frame.to_native(), pl.LazyFrame):
        adding = [pl.col(sums).sum(), pl.len().cast(pl.Int64).alias("rows")]
        groups = native.group_by(keys, maintain_order=not many)
        here: pl.DataFrame = (groups.agg(adding) if keys else native.select(adding)).collect(
            engine="streaming" if many else "in-memory"
        )
        return here
    counted = [*(nw.col(s).sum() for s in sums), nw.len().alias("rows")]
    there = frame.group_by(keys).agg(*counted) if keys else frame.select(*counted)
    return _collected(there).cast({"rows": pl.Int64})


def _collected(frame: nw.LazyFrame[Any], **options: Any) -> pl.DataFrame:
    if isinstance(native := frame.to_native(), pl.LazyFrame):
        here: pl.DataFrame = native.collect(**options)
        return here
    try:
        found: pl.DataFrame = frame.collect(backend="polars").to_native()
    except ImportError as error:
        raise InputError(
            f"cells cannot leave the engine: {error}",
            do='pip install "pricing[engines]", or [spark] for Spark',
        ) from error
    return found


def _level(key: pl.Expr, kind: nw.dtypes.DType) -> pl.Expr:
    """Write a key as cells have it, once for all engines."""
    if kind == nw.Boolean:
        return pl.when(key).then(pl.lit("yes")).otherwise(pl.lit("no"))
    if kind == nw.Categorical:
        return key.cast(pl.String)
    if isinstance(kind, nw.Enum):
        return key.cast(pl.String).cast(pl.Enum(kind.categories))
    if kind in (nw.Int128, nw.UInt128):
        return key.cast(pl.Int64)
    if kind.is_decimal():
        return key.cast(pl.Float64)
    return key + 0.0 if kind.is_float() else key  # one zero, not two


def _require_plain_names(present: Sequence[str], wanted: Sequence[str]) -> None:
    faults = [
        f"{name!r}: Spark takes a dot for a field of a structure"
        for name in dict.fromkeys(wanted)
        if name in present and ("." in name or "`" in name)
    ]
    faults += [f"{n!r} is there twice" for n in dict.fromkeys(wanted) if present.count(n) > 1]
    if faults:
        raise InputError("columns Spark cannot tell apart", faults=faults, do="rename them")
