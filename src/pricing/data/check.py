"""Holding a table against its contract: accepted rows, rejected rows, and totals that add up."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import dataframely as dy
import numpy as np
import polars as pl

from pricing.data.contracts import contract, meaning, rule_column
from pricing.data.sources import ORIGIN
from pricing.errors import InputError, nearest
from pricing.files import replacing

__all__ = ["Checked", "check", "check_book", "write_rejected"]

_MONEY = ("amount", "standard_premium", "premium")
_COVER_DAYS = 365.25
_APART = 10_000_000  # days
_FAULT = {"_index": pl.Int64, "rule": pl.String}
_ACROSS = {
    "policy_id|unknown_policy": "policy_id must be in the policies table",
    "policy_id|rejected_policy": "the policy was rejected, so its rows cannot be priced",
    "incurred|outside_cover": "incurred must lie in the policy's cover, from start to before end",
    "start|outside_cover": "the term must lie within the policy's cover",
    "start|overlap": "terms of one policy must not overlap; both of an overlapping pair go",
}


@dataclass(frozen=True, eq=False)
class _Held:
    """A table as read and as typed, row by row alike, with the faults found so far."""

    schema: type[dy.Schema]
    read: pl.DataFrame
    typed: pl.DataFrame
    faults: pl.DataFrame
    brought: pl.DataFrame


@dataclass(frozen=True, eq=False)
class Checked:
    """A table held against its contract.

    Attributes
    ----------
    table : str
        Name of the table.
    accepted : polars.DataFrame
        Rows that keep every rule: the contract's columns, typed, factors as ``pl.Enum``.
    rejected : polars.DataFrame
        The other rows as they were read, with ``_file``, ``_row`` and ``_rules``.
    faults : polars.DataFrame
        One row per file and rule broken: ``table``, ``file``, ``column``, ``rule``,
        ``count`` of rows, ``first_keys`` (five), ``meaning``.
    totals : polars.DataFrame
        ``quantity`` (rows, exposure, claims, money columns), ``accepted``, ``rejected``,
        ``input`` (summed before the rows were judged) and ``unreadable``, the number of
        values that are not a finite number and so are in none of the sums. Accepted and
        rejected add up to input.
    unused : tuple of str
        Columns of the input that the contract does not name.

    Examples
    --------
    >>> import polars as pl
    >>> seen = check(pl.DataFrame({"exposure": [1.0, 0.0], "claims": [0, 1]}), "person_years")
    >>> seen.totals.row(0)
    ('rows', 1.0, 1.0, 2.0, 0)
    """

    table: str
    accepted: pl.DataFrame
    rejected: pl.DataFrame
    faults: pl.DataFrame
    totals: pl.DataFrame
    unused: tuple[str, ...]
    _held: _Held = field(repr=False)


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
    Text is stripped of spaces around it, and empty text is a missing value.

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
        rows = pl.int_range(1, pl.len() + 1, dtype=pl.Int64)
        read = read.with_columns(pl.lit("frame").alias("_file"), rows.alias("_row"))
    if "_rules" in read.columns:
        read = read.drop("_rules")
    _require(read, table, schema)
    typed, unread = _typed(read, schema)
    faults = pl.concat([*unread, _broken(typed, schema, unread)])
    brought = _sums(typed, "input").with_columns(_unreadable(read, typed))
    return _checked(table, _Held(schema, read, typed, faults, brought))


def _require(read: pl.DataFrame, table: str, schema: type[dy.Schema]) -> None:
    theirs = [name for name in read.columns if name not in ORIGIN]
    files = ", ".join(read["_file"].unique().sort().head(3))
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


# --- values read to the contract's types ------------------------------------------------


def _typed(read: pl.DataFrame, schema: type[dy.Schema]) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
    """Give the contract's columns in its types, and the values that could not be read."""
    index = pl.Series("_index", range(read.height), dtype=pl.Int64)
    columns, unread = [index], []
    for name, column in schema.columns().items():
        if name not in read.columns:
            key = (index + 1).cast(pl.String) if column.primary_key else None
            empty = pl.Series([None], dtype=column.dtype).extend_constant(None, read.height - 1)
            columns.append((empty if key is None else key).alias(name))
            continue
        values, given = _as_type(read[name], column)
        columns.append(values.alias(name))
        rule = f"{name}|{'level' if isinstance(column, dy.Enum) else 'type'}"
        lost = index.filter(given & values.is_null())
        unread.append(pl.DataFrame({"_index": lost}).with_columns(rule=pl.lit(rule)))
    return pl.DataFrame(columns), unread


def _as_type(series: pl.Series, column: dy.Column) -> tuple[pl.Series, pl.Series]:
    """Read a column to a contract's type; null where it cannot be, beside what was given."""
    kinds: list[tuple[type[dy.Column], Callable[[pl.Series], pl.Series]]] = [
        (dy.Enum, lambda s: _text(s).cast(column.dtype, strict=False)),
        (dy.String, _text),
        (dy.Date, _days),
        (dy.Bool, _flags),
        (dy.Int64, _whole),
        (dy.Float64, _numbers),
    ]
    reader = next(reader for kind, reader in kinds if isinstance(column, kind))
    texts = series.dtype in (pl.String, pl.Categorical) or isinstance(series.dtype, pl.Enum)
    given = (_text(series) if texts else series).is_not_null()
    if series.dtype.is_nested() or series.dtype in (pl.Binary, pl.Object):
        return pl.Series([None], dtype=column.dtype).extend_constant(None, len(series) - 1), given
    return reader(series), given


def _text(series: pl.Series) -> pl.Series:
    """Text without spaces around it; whole numbers without a point, empty text as null."""
    if series.dtype.is_float():
        whole = _whole(series)
        if whole.null_count() == (series.is_null() | series.is_nan()).sum():
            return whole.cast(pl.String)
        series = series.fill_nan(None)
    text = series.cast(pl.String).str.strip_chars()
    return text.set(text == "", None)


def _numbers(series: pl.Series) -> pl.Series:
    if series.dtype.is_temporal():
        return pl.Series([None], dtype=pl.Float64).extend_constant(None, len(series) - 1)
    plain = series.dtype.is_numeric() or series.dtype == pl.Boolean
    return (series if plain else _text(series)).cast(pl.Float64, strict=False)


def _whole(series: pl.Series) -> pl.Series:
    if series.dtype.is_integer():
        return series.cast(pl.Int64, strict=False)
    number = _numbers(series)
    # NaN equals its own floor here, and infinity too; the cast makes nulls of both.
    return number.set(number != number.floor(), None).cast(pl.Int64, strict=False)


def _flags(series: pl.Series) -> pl.Series:
    if series.dtype == pl.Boolean:
        return series
    words = {"true": True, "yes": True, "y": True, "t": True, "1": True, "是": True}
    words |= {"false": False, "no": False, "n": False, "f": False, "0": False, "否": False}
    text = _text(series).str.to_lowercase()
    return text.replace_strict(words, default=None, return_dtype=pl.Boolean)


def _days(series: pl.Series) -> pl.Series:
    if series.dtype == pl.Date or isinstance(series.dtype, pl.Datetime):
        return series.cast(pl.Date)
    text = _text(series)
    days = text.str.to_date("%Y-%m-%d", strict=False)
    if days.null_count() == text.null_count():
        return days
    # Rarer forms, tried only where the first does not read: a time of day is cut off.
    text = text.str.replace(r"[T ]\d{2}:\d{2}.*$", "")
    eight = text.set(text.str.len_chars() != 8, None).str.to_date("%Y%m%d", strict=False)
    for form in ("%Y-%m-%d", "%Y/%m/%d"):
        days = days.zip_with(days.is_not_null(), text.str.to_date(form, strict=False))
    return days.zip_with(days.is_not_null(), eight)


# --- rules of the contract --------------------------------------------------------------


def _broken(
    typed: pl.DataFrame, schema: type[dy.Schema], unread: Sequence[pl.DataFrame]
) -> pl.DataFrame:
    """List row and rule for each rule of the contract a row breaks."""
    with_index = {"_index": dy.Int64()}
    numbered: type[dy.Schema] = types.new_class(
        schema.__name__, (schema,), {}, lambda body: body.update(with_index)
    )
    details = numbered.filter(typed)[1].details()
    rules = [name for name in details.columns if name not in typed.columns]
    found = []
    for rule in rules:
        rows = details.filter(pl.col(rule) == "invalid")
        if rule == "primary_key":  # an empty key is one fault, not also a repeated one
            rows = rows.drop_nulls(schema.primary_key())
        found.append(rows.select("_index", rule=pl.lit(rule)))
    broken = pl.concat(found) if found else pl.DataFrame(schema=_FAULT)
    # What could not be read is empty only because it could not be read.
    same = pl.concat(unread) if unread else pl.DataFrame(schema=_FAULT)
    same = same.with_columns(pl.col("rule").str.replace(r"\|(type|level)$", "|nullability"))
    return broken.join(same, on=["_index", "rule"], how="anti", maintain_order="left")


# --- parting the rows -------------------------------------------------------------------


def _checked(table: str, held: _Held) -> Checked:
    typed, names = held.typed, held.schema.column_names()
    bad = _mark(held, held.faults)
    rules = [pl.lit(None, dtype=pl.String)]
    for (rule,), rows in held.faults.group_by("rule", maintain_order=True):
        rules.append(pl.when(_mark(held, rows)).then(pl.lit(rule)))
    named = pl.concat_str(rules, separator=", ", ignore_nulls=True).alias("_rules")
    rejected = held.read.with_columns(named).filter(bad)
    accepted = typed.filter(~bad).select(names)
    totals = (
        _sums(accepted, "accepted")
        .join(_sums(typed.filter(bad), "rejected"), on="quantity", maintain_order="left")
        .join(held.brought, on="quantity", maintain_order="left")
    )
    unused = tuple(n for n in held.read.columns if n not in names and n not in ORIGIN)
    return Checked(table, accepted, rejected, _faults(table, held), totals, unused, held)


def _mark(held: _Held, faults: pl.DataFrame) -> pl.Series:
    """Whether a row is among the faults."""
    mark = np.zeros(held.typed.height, dtype=bool)
    mark[faults["_index"].to_numpy()] = True
    return pl.Series(mark)


def _faults(table: str, held: _Held) -> pl.DataFrame:
    keys = [pl.col(name).cast(pl.String) for name in held.schema.primary_key()]
    row = pl.format("row {}", held.read["_row"])
    named = held.typed.select(
        "_index", key=pl.coalesce(pl.concat_str(keys, separator="/"), row), file=held.read["_file"]
    )
    seen = held.faults["rule"].unique().to_list()
    words = {rule: _ACROSS.get(rule) or meaning(held.schema, rule) for rule in seen}
    columns = {rule: rule_column(held.schema, rule) for rule in seen}
    return (
        held.faults.join(named, on="_index", how="left", maintain_order="left")
        .group_by("file", "rule", maintain_order=True)
        .agg(
            pl.len().cast(pl.Int64).alias("count"),
            pl.col("key").head(5).str.join(", ").alias("first_keys"),
        )
        .select(
            pl.lit(table).alias("table"),
            "file",
            pl.col("rule").replace_strict(columns, return_dtype=pl.String).alias("column"),
            "rule",
            "count",
            "first_keys",
            pl.col("rule").replace_strict(words, return_dtype=pl.String).alias("meaning"),
        )
    )


def _quantities(typed: pl.DataFrame) -> dict[str, pl.Expr]:
    """The sums that must add up; a value that is not a finite number is null in them."""
    found = {name: pl.col(name).cast(pl.Float64) for name in ("exposure", "claims")}
    found = {name: value for name, value in found.items() if name in typed.columns}
    if {"start", "end"} <= set(typed.columns):
        found["exposure"] = (pl.col("end") - pl.col("start")).dt.total_days() / _COVER_DAYS
    found |= {name: pl.col(name) for name in _MONEY if name in typed.columns}
    return {n: pl.when(value.is_finite()).then(value) for n, value in found.items()}


def _sums(typed: pl.DataFrame, name: str) -> pl.DataFrame:
    quantities = {n: value.sum() for n, value in _quantities(typed).items()}
    sums = typed.select(rows=pl.len().cast(pl.Float64), **quantities)
    return sums.transpose(include_header=True, header_name="quantity", column_names=[name])


def _unreadable(read: pl.DataFrame, typed: pl.DataFrame) -> pl.Series:
    """Count, for each sum, the values that were given and are not in it."""
    counts = [0]
    for name, value in _quantities(typed).items():
        dates = name == "exposure" and {"start", "end"} <= set(typed.columns)
        columns = [c for c in (("start", "end") if dates else (name,)) if c in read.columns]
        given = pl.all_horizontal(pl.lit(True), *[_given(read[c]) for c in columns])
        lost = typed.select((given & value.is_null() & bool(columns)).sum()).item()
        counts.append(int(lost))
    return pl.Series("unreadable", counts, dtype=pl.Int64)


def _given(series: pl.Series) -> pl.Series:
    if series.dtype == pl.String:
        return series.is_not_null() & (series.str.strip_chars() != "")
    return series.is_not_null()


# --- rules between tables ---------------------------------------------------------------


def check_book(tables: Mapping[str, Checked]) -> dict[str, Checked]:
    """Hold the tables of a book against each other: claims and renewals against policies.

    A claim or renewal must be of an accepted policy and lie within its cover, and the terms
    of a policy must not overlap. Rows that break this go from accepted to rejected, with the
    rule, and the totals still add up.

    Parameters
    ----------
    tables : mapping of str to Checked
        By table name; tables that are not there are not asked for.

    Returns
    -------
    dict of str to Checked

    Examples
    --------
    >>> import polars as pl
    >>> policies = check(pl.DataFrame({
    ...     "policy_id": ["A"], "birth_date": ["1980-05-01"], "sex": ["female"],
    ...     "start": ["2024-01-01"], "end": ["2025-01-01"]}), "policies")
    >>> claims = check(pl.DataFrame({
    ...     "claim_id": ["1", "2"], "policy_id": ["A", "B"], "incurred": ["2024-02-29"] * 2,
    ...     "amount": [80.0, 20.0]}), "claims")
    >>> book = check_book({"policies": policies, "claims": claims})
    >>> book["claims"].rejected["_rules"].to_list()
    ['policy_id|unknown_policy']
    """
    book = dict(tables)
    if (claims := book.get("claims")) and "policies" in book:
        book["claims"] = _moved(claims, _outside(claims, book["policies"], "incurred"))
    if (renewals := book.get("renewals")) and "policies" in book:
        book["renewals"] = _moved(renewals, _outside(renewals, book["policies"], "start"))
    if renewals := book.get("renewals"):
        book["renewals"] = _moved(renewals, _overlaps(renewals))
    return book


def _moved(checked: Checked, faults: pl.DataFrame) -> Checked:
    if faults.height == 0:
        return checked
    held = checked._held
    joined = pl.concat([held.faults, faults.select("_index", "rule")])
    return _checked(checked.table, _Held(held.schema, held.read, held.typed, joined, held.brought))


def _standing(checked: Checked) -> pl.DataFrame:
    held = checked._held
    return held.typed.join(held.faults, on="_index", how="anti", maintain_order="left")


def _outside(checked: Checked, policies: Checked, day: str) -> pl.DataFrame:
    """Rows of no policy, of a rejected policy, or outside the policy's cover."""
    cover = policies.accepted.select("policy_id", first="start", stop="end")
    seen = policies._held.typed["policy_id"].drop_nulls().unique().implode()
    within = (pl.col(day) >= pl.col("first")) & (
        pl.col(day) < pl.col("stop") if day == "incurred" else pl.col("end") <= pl.col("stop")
    )
    rule = (
        pl.when(pl.col("first").is_null() & ~pl.col("policy_id").is_in(seen))
        .then(pl.lit("policy_id|unknown_policy"))
        .when(pl.col("first").is_null())
        .then(pl.lit("policy_id|rejected_policy"))
        .when(~within)
        .then(pl.lit(f"{day}|outside_cover"))
    )
    held = _standing(checked).join(cover, on="policy_id", how="left", maintain_order="left")
    return held.select("_index", rule=rule).drop_nulls("rule")


def _overlaps(renewals: Checked) -> pl.DataFrame:
    """Both terms of each overlapping pair: no one can say which of them is the right one."""
    terms = (
        _standing(renewals)
        .select("_index", "policy_id", first=_day_number("start"), stop=_day_number("end"))
        .sort("policy_id", "first", "stop")
        .with_columns(policy=pl.col("policy_id").rle_id().cast(pl.Int64) * _APART)
    )
    # Policies are set so far apart on one line of days that none can reach into the next.
    begins, ends = pl.col("policy") + pl.col("first"), pl.col("policy") + pl.col("stop")
    earlier, later = ends.cum_max().shift(1) > begins, begins.shift(-1) < ends
    overlapping = terms.filter(earlier.fill_null(value=False) | later.fill_null(value=False))
    return overlapping.select(pl.col("_index").sort(), rule=pl.lit("start|overlap"))


def _day_number(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.Int32).cast(pl.Int64)


def write_rejected(checked: Checked, folder: str | Path) -> Path:
    """Write the rejected rows beside the output, for the data's owner to mend.

    The file is written where nothing is rejected too, so that it never tells of an older run.

    Parameters
    ----------
    checked : Checked
        A checked table.
    folder : path
        Folder to write to; the file is ``rejected_<table>.csv``, UTF-8 with a byte order
        mark so that a spreadsheet opens Chinese text.

    Returns
    -------
    pathlib.Path
        The file written.

    Raises
    ------
    InputError
        Where the folder cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> import polars as pl
    >>> seen = check(pl.DataFrame({"exposure": [1, 0], "claims": [0, 0]}), "person_years")
    >>> path = write_rejected(seen, tempfile.mkdtemp())
    >>> path.name, path.read_text(encoding="utf-8-sig").splitlines()[1]
    ('rejected_person_years.csv', '0,0,frame,2,exposure|min_exclusive')
    """
    path = Path(folder) / f"rejected_{checked.table}.csv"
    nested = [n for n, dtype in checked.rejected.schema.items() if dtype.is_nested()]
    flat = checked.rejected.with_columns(
        pl.struct(name).struct.json_encode().alias(name) for name in nested
    )
    with replacing(path) as beside:
        flat.write_csv(beside, include_bom=True)
    return path
