"""One person forgotten: out of the tables, out of the sums, and old samples out of their store."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import polars as pl

from pricing.activity.pseudonym import Key
from pricing.errors import InputError
from pricing.experience.cells import Experience
from pricing.files import replacing, require_replaceable
from pricing.privacy.pseudonymise import KINDS, read_folder, write_tables

__all__ = ["forget_in_folder", "forget_persons", "forgotten", "retained"]

NEAR = 1e-9
MARK = "forgotten.json"


def forget_persons(
    tables: Mapping[str, pl.DataFrame], persons: Sequence[str], *, key: Key | None = None
) -> tuple[dict[str, pl.DataFrame], pl.DataFrame]:
    """Take persons out of every table: their own rows, their policies', their claims'.

    Parameters
    ----------
    tables : mapping of str to polars.DataFrame
        A table with a column of persons loses their rows; a policy that is theirs alone goes with
        every row that names it, and so do their claims and the rows that name those.
    persons : sequence of str
        Ids as the tables hold them or, with ``key``, as the core system does.
    key : Key, optional
        Takes out the rows under their keyed names, too.

    Returns
    -------
    tables : dict of str to polars.DataFrame
        Without them; a table that never named them is the very same object.
    ledger : polars.DataFrame
        table, rows_before, rows_taken, rows_left: what was done, without saying to whom.

    Raises
    ------
    InputError
        For persons that stand in no table.

    Examples
    --------
    >>> tables = {"policies": pl.DataFrame({"policy_id": ["P1", "P2"], "person_id": ["a", "b"]}),
    ...           "claims": pl.DataFrame({"claim_id": ["C1", "C2"], "policy_id": ["P1", "P2"]})}
    >>> left, ledger = forget_persons(tables, ["a"])
    >>> left["claims"].rows(), ledger["rows_taken"].to_list()
    ([('C2', 'P2')], [1, 1])
    """
    wanted = {str(p).strip() for p in persons}
    if not wanted or "" in wanted:
        raise InputError("no person is named", do="give the id of the person to forget")
    gone = {"person": wanted | ({key.of(p) for p in wanted} if key else set())}
    seen = {
        p for t in tables.values() for c in t.columns if KINDS.get(c) == "person"
        for p in t[c].cast(pl.String).unique().drop_nulls() if p in gone["person"]
    }  # fmt: skip
    missing = [p for p in wanted if not {p, key.of(p) if key else p} & seen]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(wanted)} persons stand in no table",
            do="give the id as the tables hold it, or the key that made their names",
        )
    for kind in ("policy", "claim", "case"):
        gone[kind] = _of_them(tables, kind, gone)
    found, rows = {}, []
    for name, table in tables.items():
        out = _named(table, gone)
        taken = int(out.sum())
        found[name] = table.filter(~out) if taken else table
        rows.append((name, table.height, taken, table.height - taken))
    names = ["table", "rows_before", "rows_taken", "rows_left"]
    return found, pl.DataFrame(rows, schema=names, orient="row")


def forget_in_folder(
    folder: str | Path,
    out: str | Path,
    persons: Sequence[str],
    *,
    key: Key | None = None,
    encoding: str = "utf-8",
) -> pl.DataFrame:
    """Write a folder's tables without persons; gives the ledger of rows taken out.

    Parameters
    ----------
    folder : path
        CSV and Parquet files, one table each.
    out : path
        Another folder, replaced as a whole; ``forgotten.json`` in it holds the ledger.
    persons, key
        As :func:`forget_persons`.
    encoding : str
        Of the CSV files, as of a study's tables; UTF-8 is written.

    Examples
    --------
    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp())
    >>> (place / "in").mkdir()
    >>> pl.DataFrame({"person_id": ["a", "b"]}).write_csv(place / "in" / "years.csv")
    >>> forget_in_folder(place / "in", place / "out", ["a"]).row(0)
    ('years.csv', 2, 1, 1)
    """
    require_replaceable(out, mark=MARK, what="tables without some persons")
    tables, ledger = forget_persons(read_folder(folder, encoding=encoding), persons, key=key)
    with replacing(out) as beside:
        beside.mkdir()
        write_tables(tables, beside)
        (beside / MARK).write_text(json.dumps(ledger.to_dicts(), indent=1), encoding="utf-8")
    return ledger


def _named(table: pl.DataFrame, gone: Mapping[str, set[str]]) -> pl.Series:
    """The rows that name a person, or else a policy, claim or case of theirs."""
    persons = [c for c in table.columns if KINDS.get(c) == "person"]
    others = [c for c in table.columns if KINDS.get(c) in gone and c not in persons]
    flags = [
        table[c].cast(pl.String).is_in(list(gone[KINDS[c]])).fill_null(False)
        for c in (persons or others)
    ]
    found = pl.Series([False] * table.height, dtype=pl.Boolean)
    for flag in flags:
        found = found | flag
    return found


def _of_them(
    tables: Mapping[str, pl.DataFrame], kind: str, gone: Mapping[str, set[str]]
) -> set[str]:
    """Policies, claims or cases that only rows of theirs name, in tables that say whose they are."""
    theirs: set[str] = set()
    others: set[str] = set()
    for table in tables.values():
        column = next((c for c in table.columns if KINDS.get(c) == kind), None)
        owners = [c for c in table.columns if KINDS.get(c) in gone and c != column]
        if column is None or not owners:
            continue
        out = _named(table.select(owners), gone)
        ids = table[column].cast(pl.String)
        theirs |= set(ids.filter(out).drop_nulls())
        others |= set(ids.filter(~out).drop_nulls())
    return theirs - others


def forgotten(
    seen: Experience, rows: pl.DataFrame, **names: str | Sequence[str] | None
) -> Experience:
    """Take the rows of a person out of cells that hold them: sums less their sums.

    Parameters
    ----------
    seen : Experience
        Cells that hold the rows.
    rows : polars.DataFrame
        The person's rows as they were collected.
    **names
        exposure, claims, amount and sums, as :meth:`pricing.experience.cells.Experience.collect` was
        given them.

    Returns
    -------
    Experience
        Counts are exactly those of an experience collected without the person, other sums to rounding
        (1e-15 of the cell); a cell that held nobody else is gone.

    Raises
    ------
    InputError
        For rows that these cells do not hold: a cell that is not there, or less in it than is taken.

    Examples
    --------
    >>> rows = pl.DataFrame({"person_id": ["a", "b"], "sex": ["f", "m"], "exposure": [1.0, 1.0], "claims": [0, 2]})
    >>> seen = Experience.collect(rows, ["sex"])
    >>> forgotten(seen, rows.filter(person_id="b")).cells.select("sex", "claims").rows()
    [('f', 0)]
    """
    own = Experience.collect(rows, list(seen.keys), **names)  # type: ignore[arg-type]
    keys, sums = list(seen.keys), [c for c in seen.cells.columns if c not in seen.keys]
    if set(own.cells.columns) != set(seen.cells.columns):
        raise InputError(
            f"the sums differ: {sums} against {[c for c in own.cells.columns if c not in keys]}",
            do="collect the person's rows with the same amount and sums",
        )
    kinds = {k: seen.cells.schema[k] for k in keys}
    try:
        taken = own.cells.cast(kinds).select(*keys, pl.col(sums).name.suffix("_taken"))  # type: ignore[arg-type]
    except pl.exceptions.PolarsError as error:
        raise InputError("the rows have levels that these cells have not") from error
    both = seen.cells.join(taken, on=keys, how="left", maintain_order="left")
    if both["rows_taken"].drop_nulls().len() < taken.height:
        raise InputError("the rows belong to cells that are not there", do="these are other cells")
    left = [
        (pl.col(s) - pl.col(f"{s}_taken").fill_null(0)).cast(seen.cells.schema[s]).alias(s)
        for s in sums
    ]
    cells = both.select(*keys, *left)
    never_below = ("rows", "exposure", "claims", "amount")
    if short := [
        s for s in never_below if s in sums and (cells[s] < -NEAR * (1 + seen.cells[s].abs())).any()
    ]:
        raise InputError(
            f"more is to be taken out than is in: {', '.join(short)}",
            do="these rows were never collected in these cells, or are out already",
        )
    cells = cells.filter(pl.col("rows") > 0)
    if cells.is_empty():
        raise InputError("nobody would be left in these cells", do="delete the experience")
    used = {k: cells[k].cast(pl.String).unique() for k in seen.factors}
    lists = {k: [v for v in seen.levels(k) if v in set(used[k])] for k in seen.factors}
    cells = cells.with_columns(pl.col(k).cast(pl.String).cast(pl.Enum(v)) for k, v in lists.items())
    return Experience._of(cells, seen.keys, seen.basis)


def retained(
    samples: pl.DataFrame, *, on: date, months: int, column: str = "start"
) -> tuple[pl.DataFrame, int]:
    """Drop raw samples older than they may be kept; the days counted from them stay.

    Parameters
    ----------
    samples : polars.DataFrame
        Rows with a day or an instant in ``column``.
    on : date
        Today.
    months : int
        How long raw samples are kept, 1 or more.

    Returns
    -------
    samples : polars.DataFrame
        Those of the last ``months`` months; rows without a readable time are dropped, too.
    dropped : int
        How many were not kept.

    Raises
    ------
    InputError
        For a period that is no whole number of 1 or more, and a column that is no time.

    Examples
    --------
    >>> rows = pl.DataFrame({"start": [date(2024, 1, 31), date(2025, 2, 1)], "value": [1.0, 2.0]})
    >>> retained(rows, on=date(2025, 3, 1), months=12)[1]
    1
    """
    if isinstance(months, bool) or not isinstance(months, int) or months < 1:
        raise InputError(f"a retention period of {months!r} months", do="give 1 or more")
    kind = samples.schema.get(column)
    if kind is None or not (kind == pl.Date or isinstance(kind, pl.Datetime)):
        raise InputError(f"{column!r} is {kind or 'not there'}, not a day or an instant")
    first = pl.lit(on).dt.offset_by(f"-{months}mo")
    kept = samples.filter(pl.col(column).dt.date() >= first)
    return kept, samples.height - kept.height
