"""What rows must hold to become cells; every refusal with its counts."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from pricing.errors import InputError, nearest
from pricing.experience.measures import MEASURES

__all__ = ["require_columns", "require_domain", "require_names"]


def require_columns(wanted: Sequence[str], present: Sequence[str]) -> None:
    """Refuse columns that are not there, each with the nearest that is.

    Examples
    --------
    >>> require_columns(["sex"], ["sex", "claims"])
    """
    missing = [name for name in wanted if name not in present]
    if missing:
        raise InputError(
            f"{len(missing)} column(s) are missing",
            faults=[f"{name!r}{nearest(name, present)}" for name in missing],
        )


def require_names(
    schema: pl.Schema,
    keys: Sequence[str],
    sums: Sequence[str],
    taken: Sequence[str],
) -> None:
    """Refuse keys and sums that cannot serve as such: given twice, of a name or type of ours.

    Examples
    --------
    >>> schema = pl.Schema({"sex": pl.String, "claims": pl.Int64})
    >>> require_names(schema, ["sex"], [], [])
    """
    text = (pl.String, pl.Enum, pl.Categorical, pl.Boolean)
    faults = [f"key {n!r} is given twice" for n in dict.fromkeys(keys) if keys.count(n) > 1]
    faults += [
        f"key {n!r} has the name of a sum; rename the column"
        for n in dict.fromkeys(keys)
        if n in MEASURES or n in sums
    ]
    faults += [
        f"key {n!r} is {schema[n]}: neither a factor (text, yes or no) nor a number"
        for n in dict.fromkeys(keys)
        if schema[n] not in text and not schema[n].is_numeric()
    ]
    faults += [f"sum {n!r} has the name of one of ours; rename the column" for n in taken]
    if faults:
        raise InputError("columns that cannot serve as asked", faults=faults)


def require_domain(
    lazy: pl.LazyFrame,
    schema: pl.Schema,
    keys: Sequence[str],
    exposure: str,
    claims: str,
    money: Sequence[str],
) -> int:
    """Count the rows, and refuse them with counts where any cannot be priced.

    Examples
    --------
    >>> rows = pl.LazyFrame({"sex": ["f", "m"], "exposure": [1.0, 0.5], "claims": [0, 1]})
    >>> require_domain(rows, rows.collect_schema(), ["sex"], "exposure", "claims", [])
    2
    """
    words = [n for n in (exposure, claims, *money) if not schema[n].is_numeric()]
    if words:
        raise InputError("not a number: " + ", ".join(f"{n!r} is {schema[n]}" for n in words))

    def bad(name: str) -> pl.Expr:
        return ~pl.col(name).cast(pl.Float64).is_finite().fill_null(False)

    counts = {
        "rows": pl.len(),
        **{
            f"{k!r} is null, NaN or infinite": _absent(k, schema[k]).sum()
            for k in dict.fromkeys(keys)
        },
        f"{exposure!r} is null, not finite or not above zero": (
            bad(exposure) | (pl.col(exposure) <= 0)
        ).sum(),
        **{
            f"{name!r} is null, not finite or negative": (bad(name) | (pl.col(name) < 0)).sum()
            for name in dict.fromkeys([claims, *money])
        },
    }
    found = lazy.select(**counts).collect(engine="streaming").row(0, named=True)
    rows = found.pop("rows")
    if not rows:
        raise InputError("there are no rows", do="check the source and the filters")
    faults = [f"{what} in {count:,} of {rows:,} rows" for what, count in found.items() if count]
    if faults:
        raise InputError(
            "rows that cannot be priced",
            faults=faults,
            do="hold the table against its contract (pricing check) and use the accepted rows",
        )
    return int(rows)


def _absent(name: str, kind: pl.DataType) -> pl.Expr:
    null = pl.col(name).is_null()
    return ~pl.col(name).is_finite().fill_null(False) if kind.is_float() else null
