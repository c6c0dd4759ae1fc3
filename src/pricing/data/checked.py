"""A table parted in accepted and rejected rows, with its faults and totals that add up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path

import dataframely as dy
import numpy as np
import polars as pl

from pricing.data.origin import columns_of
from pricing.data.rules import meaning, rule_column
from pricing.data.totals import sums
from pricing.data.values import as_written
from pricing.files import replacing

__all__ = ["Checked", "Held", "added_up", "part", "write_rejected"]


@dataclass(frozen=True, eq=False)
class Held:
    """A table as read and as typed, row by row alike, with the faults found so far.

    Attributes
    ----------
    schema : type of dataframely.Schema
        The contract.
    read : polars.DataFrame
        The rows as their files said them.
    typed : polars.DataFrame
        The same rows in the contract's types, numbered by ``_index``.
    faults : polars.DataFrame
        ``_index`` and ``rule``, each rule's rows in their order.
    brought : polars.DataFrame
        ``quantity``, ``input`` and ``unreadable``.
    """

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
    warnings : tuple of str
        Unused columns that look like an optional column the table lacks, misspelt.
    held : Held
        What a further check starts from.
    marks : tuple of str
        Of a table read in parts, whose accepted rows are not at hand: a fingerprint of each part's.

    Examples
    --------
    >>> from pricing.data.check import check
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
    warnings: tuple[str, ...]
    held: Held = field(repr=False)
    marks: tuple[str, ...] = ()

    @property
    def rows_accepted(self) -> int:
        """Number of rows that keep every rule, at hand or not."""
        return int(self.totals.filter(pl.col("quantity") == "rows")["accepted"].sum())

    def settled(self) -> Checked:
        """Let go of the rows as read and as typed, which only a further check asks for.

        Examples
        --------
        >>> from pricing.data.check import check
        >>> seen = check(pl.DataFrame({"exposure": [1.0], "claims": [0]}), "person_years").settled()
        >>> seen.accepted.height, seen.held.read.height
        (1, 0)
        """
        read, typed = self.held.read.clear(), self.held.typed.clear()
        return replace(self, held=replace(self.held, read=read, typed=typed))


def part(table: str, held: Held) -> Checked:
    """Part the rows of a table by the faults found in it.

    Examples
    --------
    >>> from pricing.data.check import check
    >>> seen = check(pl.DataFrame({"exposure": [1.0, 0.0], "claims": [0, 1]}), "person_years")
    >>> part("person_years", seen.held).rejected.equals(seen.rejected)
    True
    """
    typed, names = held.typed, held.schema.column_names()
    bad = _mark(held, held.faults)
    rules = [pl.lit(None, dtype=pl.String)]
    for (rule,), rows in held.faults.group_by("rule", maintain_order=True):
        rules.append(pl.when(_mark(held, rows)).then(pl.lit(rule)))
    named = pl.concat_str(rules, separator=", ", ignore_nulls=True).alias("_rules")
    accepted = typed.filter(~bad).select(names)
    totals = (
        sums(accepted, "accepted")
        .join(sums(typed.filter(bad), "rejected"), on="quantity", maintain_order="left")
        .join(held.brought, on="quantity", maintain_order="left")
    )
    unused = tuple(name for name in columns_of(held.read) if name not in names)
    return Checked(
        table=table,
        accepted=accepted,
        rejected=held.read.with_columns(named).filter(bad),
        faults=_faults(table, held),
        totals=totals,
        unused=unused,
        warnings=_misspelt(table, held, unused),
        held=held,
    )


def _misspelt(table: str, held: Held, unused: Sequence[str]) -> tuple[str, ...]:
    """Warn of unused columns near an optional one that lacks; the others may not lack."""
    absent = {n.casefold(): n for n in held.schema.column_names() if n not in held.read.columns}
    return tuple(
        f"{table}: column {name!r} is not used; did you mean {absent[near]!r}?"
        for name in unused
        for near in get_close_matches(name.strip().casefold(), absent, n=1, cutoff=0.8)
    )


def _mark(held: Held, faults: pl.DataFrame) -> pl.Series:
    """Whether a row is among the faults."""
    mark = np.zeros(held.typed.height, dtype=bool)
    mark[faults["_index"].to_numpy()] = True
    return pl.Series(mark)


def _faults(table: str, held: Held) -> pl.DataFrame:
    keys = [pl.col(name).cast(pl.String) for name in held.schema.primary_key()]
    row = pl.format("row {}", held.read["_row"])
    named = held.typed.select(
        "_index", key=pl.coalesce(pl.concat_str(keys, separator="/"), row), file=held.read["_file"]
    )
    seen = held.faults["rule"].unique().to_list()
    columns = {rule: rule_column(held.schema, rule) for rule in seen}
    words = {
        rule: meaning(held.schema, rule) + _values_seen(held, rule, columns[rule]) for rule in seen
    }
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


def _values_seen(held: Held, rule: str, column: str) -> str:
    """The commonest values that could not be read, so that they can be mapped or mended."""
    if not rule.endswith(("|level", "|type")):
        return ""
    rows = held.faults.filter(pl.col("rule") == rule)["_index"]
    values = as_written(held.read[column].gather(rows)).alias("value")
    common = values.value_counts(sort=True, name="count").sort(
        "count", "value", descending=[True, False]
    )
    few = ", ".join(f"{value!r} ({count:,})" for value, count in common.head(3).iter_rows())
    return f"; seen: {few}"


def added_up(parts: Sequence[Checked], marks: Sequence[str]) -> Checked:
    """Add up the checks of a table's parts: counts, sums, faults and rejected rows; accepted rows are let go.

    Parameters
    ----------
    parts : sequence of Checked
        Of one table, in the order read.
    marks : sequence of str
        A fingerprint of each part's accepted rows, which stand in their place.

    Examples
    --------
    >>> from pricing.data.check import check
    >>> one = check(pl.DataFrame({"exposure": [1.0, 0.0], "claims": [0, 1]}), "person_years")
    >>> both = added_up([one, one], ["a", "b"])
    >>> both.rows_accepted, both.rejected.height, both.accepted.height
    (2, 2, 0)
    """
    first = parts[0]
    totals = pl.concat([one.totals for one in parts])
    return replace(
        first.settled(),
        accepted=first.accepted.clear(),
        rejected=pl.concat([one.rejected for one in parts], how="diagonal_relaxed"),
        faults=pl.concat([one.faults for one in parts]),
        totals=totals.group_by("quantity", maintain_order=True).agg(pl.exclude("quantity").sum()),
        warnings=tuple(dict.fromkeys(w for one in parts for w in one.warnings)),
        marks=tuple(marks),
    )


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
    >>> from pricing.data.check import check
    >>> seen = check(pl.DataFrame({"exposure": [1, 0], "claims": [0, 0]}), "person_years")
    >>> path = write_rejected(seen, tempfile.mkdtemp())
    >>> path.name, path.read_text(encoding="utf-8-sig").splitlines()[1]
    ('rejected_person_years.csv', '0,0,frame,2,exposure|min_exclusive')
    """
    path = Path(folder) / f"rejected_{checked.table}.csv"
    flat = checked.rejected.select(as_written(column) for column in checked.rejected)
    with replacing(path) as beside:
        flat.write_csv(beside, include_bom=True)
    return path
