"""Domain: what rows must hold before they become cells, on every engine, all faults said at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import narwhals.stable.v2 as nw

from pricing.errors import InputError, nearest
from pricing.experience.engines import column_kind, counted
from pricing.experience.measures import MEASURES

__all__ = ["listed", "require_columns", "require_names", "require_numbers", "require_rows"]

Schema = Mapping[str, nw.dtypes.DType]


def listed(names: Sequence[str]) -> list[str]:
    """Take one name for a list of one, not for its letters.

    Examples
    --------
    >>> listed("sex"), listed(("sex", "tier"))
    (['sex'], ['sex', 'tier'])
    """
    return [names] if isinstance(names, str) else list(names)


def require_columns(wanted: Sequence[str], present: Iterable[str]) -> None:
    """Refuse columns that are not there.

    Examples
    --------
    >>> require_columns(["aeg"], ["age", "sex"])
    Traceback (most recent call last):
    pricing.errors.InputError: 1 column(s) are missing
      - 'aeg'; did you mean 'age'?
    """
    there = list(present)
    missing = [name for name in wanted if name not in there]
    if missing:
        raise InputError(
            f"{len(missing)} column(s) are missing",
            faults=[f"{name!r}{nearest(name, there)}" for name in missing],
        )


def require_numbers(schema: Schema, columns: Iterable[str]) -> None:
    """Refuse columns that are no numbers.

    Examples
    --------
    >>> require_numbers({"age": nw.Int64()}, ["age"])
    """
    words = [name for name in columns if not schema[name].is_numeric()]
    if words:
        raise InputError(
            "not a number: " + ", ".join(f"{n!r} is {column_kind(schema[n])}" for n in words)
        )


def require_names(
    schema: Schema, keys: Sequence[str], sums: Sequence[str], taken: Sequence[str]
) -> None:
    """Refuse keys and sums whose type or name cannot serve.

    Examples
    --------
    >>> require_names({"claims": nw.Int64()}, ["claims"], [], [])
    Traceback (most recent call last):
    pricing.errors.InputError: columns that cannot serve as asked
      - key 'claims' has the name of a sum; rename the column
    """
    text = (nw.String, nw.Enum, nw.Categorical, nw.Boolean)
    once = list(dict.fromkeys(keys))
    faults = [f"key {n!r} is given twice" for n in once if keys.count(n) > 1]
    faults += [
        f"key {n!r} has the name of a sum; rename the column"
        for n in once
        if n in MEASURES or n in sums
    ]
    faults += [
        f"key {n!r} is {column_kind(schema[n])}: neither a factor (text, yes or no) nor a number"
        for n in once
        if schema[n] not in text and not schema[n].is_numeric()
    ]
    faults += [f"sum {n!r} has the name of one of ours; rename the column" for n in taken]
    if faults:
        raise InputError("columns that cannot serve as asked", faults=faults)


def require_rows(
    frame: nw.LazyFrame[Any],
    schema: Schema,
    keys: Sequence[str],
    exposure: str,
    claims: str,
    money: Sequence[str],
) -> int:
    """Count the rows in one pass, and refuse them with counts where any cannot be priced.

    Parameters
    ----------
    frame : narwhals.LazyFrame
        The rows, on any engine.
    schema : mapping of str to type
        Types of their columns.
    keys, money : sequence of str
        Factors and covariates; amounts and further sums.
    exposure, claims : str
        Columns of exposure and claim counts.

    Returns
    -------
    int
        How many rows there are.

    Raises
    ------
    InputError
        For no rows, and rows out of their domain.

    Examples
    --------
    >>> import polars as pl
    >>> rows = nw.from_native(pl.LazyFrame({"sex": ["f", None], "e": [1.0, 0.0], "n": [0, 1]}))
    >>> require_rows(rows, rows.collect_schema(), ["sex"], "e", "n", [])
    Traceback (most recent call last):
    pricing.errors.InputError: rows that cannot be priced
      - 'sex' is null, NaN or infinite in 1 of 2 rows
      - 'e' is null, not finite or not above zero in 1 of 2 rows
      do: hold the table against its contract (pricing check) and use the accepted rows
    """

    def number(name: str) -> nw.Expr:
        return nw.col(name).cast(nw.Float64)

    paid = list(dict.fromkeys([claims, *money]))
    good = {f"{k!r} is null, NaN or infinite": _present(k, schema[k]) for k in dict.fromkeys(keys)}
    above = number(exposure).is_finite() & (number(exposure) > 0.0)
    good[f"{exposure!r} is null, not finite or not above zero"] = _count_where(above)
    good |= {
        f"{name!r} is null, not finite or negative": _count_where(
            number(name).is_finite() & (number(name) >= 0.0)
        )
        for name in paid
    }
    found = counted(
        frame,
        rows=nw.len(),
        **{f"c{i}": count for i, count in enumerate(good.values())},
    )
    rows = int(found["rows"])
    if not rows:
        raise InputError("there are no rows", do="check the source and the filters")
    bad = {what: rows - int(found[f"c{i}"]) for i, what in enumerate(good)}
    faults = [f"{what} in {count:,} of {rows:,} rows" for what, count in bad.items() if count]
    if faults:
        raise InputError(
            "rows that cannot be priced",
            faults=faults,
            do="hold the table against its contract (pricing check) and use the accepted rows",
        )
    return rows


def _present(name: str, kind: nw.dtypes.DType) -> nw.Expr:
    if not kind.is_float():
        return nw.col(name).count()
    return _count_where(nw.col(name).cast(nw.Float64).is_finite())


def _count_where(condition: nw.Expr) -> nw.Expr:
    counted: nw.Expr = nw.when(condition).then(nw.lit(1, nw.Int64)).count()
    return counted
