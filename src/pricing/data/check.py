"""Holding a table against its contract."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence

import dataframely as dy
import polars as pl

from pricing.data.between import check_book
from pricing.data.checked import Checked, Held, part, write_rejected
from pricing.data.contracts import contract
from pricing.data.origin import as_read, columns_of, files_of, with_origin
from pricing.data.totals import sums, unreadable
from pricing.data.values import typed_columns
from pricing.errors import InputError, nearest

# A book's check takes all of these, so they are at hand together.
__all__ = ["Checked", "check", "check_book", "write_rejected"]

_FAULT = {"_index": pl.Int64, "rule": pl.String}


def check(
    frame: pl.DataFrame | pl.LazyFrame,
    table: str,
    *,
    factors: Mapping[str, Sequence[str] | None] | None = None,
    covariates: Sequence[str] = (),
) -> Checked:
    """Hold a table against its contract and part the rows that keep it from those that do not.

    Text is read to the contract's types first; a value that is there but cannot be read
    breaks the rule ``column|type``, one that is no level of its factor ``column|level``.
    Text is stripped of spaces around it, and empty text is a missing value. A Boolean column
    that is a factor reads as ``yes`` and ``no``.

    Parameters
    ----------
    frame : polars.DataFrame or polars.LazyFrame
        A table as read, as a rule by :func:`pricing.data.read_table`.
    table : str
        ``policies``, ``renewals``, ``claims`` or ``person_years``.
    factors : mapping of str to sequence of str or None, optional
        Rating factors and their levels, see :func:`pricing.data.contract`.
    covariates : sequence of str, optional
        Numeric columns of the study.

    Returns
    -------
    Checked
        Nothing is dropped: accepted and rejected rows, exposure and amounts add up to the
        input. All rows may be rejected; that is for the caller to judge.

    Raises
    ------
    InputError
        Where columns are missing or the table has no rows.

    Examples
    --------
    >>> import polars as pl
    >>> seen = check(pl.DataFrame({"exposure": ["1", "0"], "claims": ["2", "x"]}), "person_years")
    >>> seen.rejected["_rules"].to_list()
    ['claims|type, exposure|min_exclusive']
    >>> print(seen.faults["meaning"][1])
    exposure must be above 0 policy-years
    """
    schema = contract(table, factors=factors, covariates=covariates)
    read = frame.lazy().collect()
    if "_file" not in read.columns or "_row" not in read.columns:
        read = with_origin(read, "frame")
    read = read.drop("_rules", strict=False)
    _require(read, table, schema)
    typed, unread = typed_columns(read, schema)
    faults = pl.concat([*unread, _broken(typed, schema, unread)])
    brought = sums(typed, "input").with_columns(unreadable(read, typed))
    return part(table, Held(schema, as_read(read), typed, faults, brought))


def _require(read: pl.DataFrame, table: str, schema: type[dy.Schema]) -> None:
    theirs, files = columns_of(read), files_of(read)
    missing = {
        name: column.description
        for name, column in schema.columns().items()
        if name not in theirs and not (column.metadata or {})["optional"]
    }
    if missing:
        faults = [f"{n}: {text}{_near(n, theirs)}" for n, text in missing.items()]
        raise InputError(
            f"{len(missing)} columns are missing; there are: {', '.join(theirs)}",
            where=f"{table} ({files})" if files else table,
            faults=faults,
            do="rename the columns, or map them under columns in the study",
        )
    if read.height == 0:
        raise InputError("the table has no rows", where=table, do="deliver its files again")


def _near(name: str, theirs: Sequence[str]) -> str:
    tail = nearest(name, theirs)
    return tail if "did you mean" in tail else ""


def _broken(
    typed: pl.DataFrame, schema: type[dy.Schema], unread: Sequence[pl.DataFrame]
) -> pl.DataFrame:
    """List row and rule for each rule of the contract a row breaks."""
    with_index = {"_index": dy.Int64()}
    numbered: type[dy.Schema] = types.new_class(
        schema.__name__, (schema,), {}, lambda body: body.update(with_index)
    )
    try:
        details = numbered.filter(typed)[1].details()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise InputError(
            "a column that the contract's own rules read was made a rating factor or a covariate",
            where=schema.__name__,
            faults=[str(error).splitlines()[0]],
            do="band it in the study and name the band",
        ) from error
    rules = [name for name in details.columns if name not in typed.columns]
    found = []
    for rule in rules:
        rows = details.filter(pl.col(rule) == "invalid")
        if rule == "primary_key":  # an empty key is one fault, not also a repeated one
            rows = rows.drop_nulls(schema.primary_key())
        found.append(rows.select(pl.col("_index").sort(), rule=pl.lit(rule)))
    broken = pl.concat(found) if found else pl.DataFrame(schema=_FAULT)
    # What could not be read is empty only because it could not be read.
    same = pl.concat(unread) if unread else pl.DataFrame(schema=_FAULT)
    same = same.with_columns(pl.col("rule").str.replace(r"\|(type|level)$", "|nullability"))
    return broken.join(same, on=["_index", "rule"], how="anti", maintain_order="left")
