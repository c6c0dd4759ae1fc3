"""Tables under keyed names: every id of a person, a policy or a claim becomes its keyed hash."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from pricing.activity.pseudonym import Key, pseudonyms
from pricing.data.delimited import read_delimited
from pricing.data.sources import Source
from pricing.errors import InputError, nearest
from pricing.files import replacing, require_replaceable

__all__ = ["KINDS", "pseudonymise", "pseudonymise_folder", "read_folder", "write_tables"]

KINDS = {  # column: what its ids name; the same kind has the same names in every table
    "person": "person", "person_id": "person", "member_id": "person", "insured_id": "person",
    "policy_id": "policy", "claim_id": "claim", "case_id": "case", "alarm_id": "alarm",
    "event_id": "event", "visit_id": "visit", "person_year_id": "person_year",
}  # fmt: skip
MARK = "pseudonyms.json"
DIRECT = {  # what names a person without a key, by the look of it
    "an identity number": r"^\d{17}[\dXx]$",
    "a mobile number": r"^(\+?86)?1[3-9]\d{9}$",
    "an e-mail address": r"^[^@\s]+@[^@\s]+\.[^@\s]+$",
}


def pseudonymise(
    tables: Mapping[str, pl.DataFrame], key: Key, *, drop: Sequence[str] = ()
) -> dict[str, pl.DataFrame]:
    """Give tables with keyed names for ids; joins between them hold as before.

    Parameters
    ----------
    tables : mapping of str to polars.DataFrame
        As delivered. Columns of :data:`KINDS` are ids; empty ones stay empty.
    key : Key
        The secret. The same key gives the same names in a later delivery; with another key nobody can
        tell which names belong together.
    drop : sequence of str
        Columns to leave out: names, telephone numbers, addresses.

    Raises
    ------
    InputError
        For columns to drop that no table has, tables without any id, two ids with one name, and
        columns that still hold identity numbers, mobile numbers or e-mail addresses.

    Notes
    -----
    HMAC-SHA256, each distinct id hashed once. This is de-identification, not anonymity: dates of birth,
    places and rare combinations of columns are left as they are.

    Examples
    --------
    >>> key = Key(bytes(range(32)))
    >>> tables = {"policies": pl.DataFrame({"policy_id": ["P1", "P2"]}),
    ...           "claims": pl.DataFrame({"claim_id": ["C1"], "policy_id": ["P2"]})}
    >>> found = pseudonymise(tables, key)
    >>> found["claims"]["policy_id"][0] == found["policies"]["policy_id"][1] != "P2"
    True
    """
    columns = {c for table in tables.values() for c in table.columns}
    if unknown := [n for n in drop if n not in columns]:
        raise InputError(
            "columns to drop that no table has",
            faults=[f"{n!r}{nearest(n, sorted(columns))}" for n in unknown],
        )
    named = {n: [c for c in t.columns if c in KINDS and c not in drop] for n, t in tables.items()}
    if bare := [n for n, own in named.items() if not own]:
        raise InputError(
            f"no id stands in {', '.join(bare)}",
            do=f"name the columns of ids as the contracts do: {', '.join(KINDS)}",
        )
    names: dict[str, pl.DataFrame] = {}
    for kind in dict.fromkeys(KINDS[c] for own in named.values() for c in own):
        ids = [_ids(tables[n][c]) for n, own in named.items() for c in own if KINDS[c] == kind]
        names[kind] = pseudonyms(pl.concat([i.alias("id") for i in ids]), key, kind=kind)
    found = {}
    for name, table in tables.items():
        kept = table.drop([n for n in drop if n in table.columns])
        found[name] = kept.with_columns(
            _ids(kept[c]).replace_strict(
                names[KINDS[c]]["person"], names[KINDS[c]]["pseudonym"], return_dtype=pl.String
            )
            for c in named[name]
        )
    _require_no_direct(found)
    return found


def pseudonymise_folder(
    folder: str | Path,
    out: str | Path,
    *,
    key_file: str | Path,
    drop: Sequence[str] = (),
    encoding: str = "utf-8",
) -> dict[str, int]:
    """Write a folder's tables under keyed names; gives the rows of each.

    Parameters
    ----------
    folder : path
        CSV and Parquet files, one table each.
    out : path
        Folder to write: the same file names, and ``pseudonyms.json`` with the digits that tell the key
        from another. Replaced as a whole.
    key_file : path
        The key, outside ``out``, readable by its owner only (mode 600).
    drop : sequence of str
        Columns to leave out.
    encoding : str
        Of the CSV files, as of a study's tables: ``utf-8`` or ``gb18030``. UTF-8 is written.

    Raises
    ------
    InputError
        As :func:`pseudonymise` and :meth:`pricing.activity.pseudonym.Key.read`, and where there are no
        tables.

    Examples
    --------
    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp())
    >>> _ = (place / "key").write_text(bytes(range(32)).hex())
    >>> (place / "key").chmod(0o600)
    >>> (place / "in").mkdir()
    >>> pl.DataFrame({"policy_id": ["P1"]}).write_csv(place / "in" / "policies.csv")
    >>> pseudonymise_folder(place / "in", place / "out", key_file=place / "key")
    {'policies.csv': 1}
    """
    require_replaceable(out, mark=MARK, what="tables under keyed names")
    key = Key.read(file=key_file, output=out)
    tables = pseudonymise(read_folder(folder, encoding=encoding), key, drop=drop)
    rows = {name: table.height for name, table in tables.items()}
    with replacing(out) as beside:
        beside.mkdir()
        write_tables(tables, beside)
        head = {"key": key.check, "rows": rows, "dropped": list(drop)}
        (beside / MARK).write_text(json.dumps(head, indent=1), encoding="utf-8")
    return rows


def read_folder(folder: str | Path, *, encoding: str = "utf-8") -> dict[str, pl.DataFrame]:
    """Read the CSV and Parquet files of a folder; CSV as text, so that no id loses a nought.

    Parameters
    ----------
    folder : path
        The files, one table each.
    encoding : str
        Of the CSV files; a UTF-8 byte order mark is believed before it.

    Raises
    ------
    InputError
        With the file's name, where one cannot be read whole; where there is no such encoding.

    Examples
    --------
    >>> import tempfile
    >>> read_folder(tempfile.mkdtemp())
    Traceback (most recent call last):
        ...
    pricing.errors.InputError: ...: there is no CSV or Parquet file
    """
    folder = Path(folder)
    paths = [p for p in sorted(folder.glob("*")) if p.suffix in (".csv", ".parquet")]
    if not paths:
        raise InputError("there is no CSV or Parquet file", where=str(folder))
    known = Source(files="*.csv", encoding=encoding).encoding
    return {path.name: _read(path, known) for path in paths}


def _read(path: Path, encoding: str) -> pl.DataFrame:
    try:
        if path.suffix == ".parquet":
            return pl.read_parquet(path, glob=False, hive_partitioning=False)
        rows = read_delimited(path, path.name, encoding=encoding, separator=",")
        return rows.drop("_file", "_row")
    except InputError as error:
        said = error.do.replace('set encoding = "', "give --encoding ").replace('" for this', " for this")  # fmt: skip
        raise InputError(error.problem, where=str(path), faults=error.faults, do=said) from error
    except (OSError, pl.exceptions.PolarsError) as error:
        said = str(error).splitlines()[0]
        raise InputError(f"the table cannot be read: {said}", where=str(path)) from error


def write_tables(tables: Mapping[str, pl.DataFrame], folder: Path) -> None:
    """Write tables as files of the names they were read from.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> write_tables({"a.csv": pl.DataFrame({"x": [1]})}, folder)
    >>> list(read_folder(folder))
    ['a.csv']
    """
    for name, table in tables.items():
        if name.endswith(".parquet"):
            table.write_parquet(folder / name)
        else:
            table.write_csv(folder / name)


def _ids(column: pl.Series) -> pl.Series:
    return column.cast(pl.String).str.strip_chars()


def _require_no_direct(tables: Mapping[str, pl.DataFrame]) -> None:
    faults = []
    for name, table in tables.items():
        for column in (c for c in table.columns if c not in KINDS):
            kind = table[column].dtype
            if kind.is_nested() or kind.is_temporal() or kind in (pl.Boolean, pl.Binary, pl.Object):
                continue
            whole = kind.is_float() or kind.is_decimal()
            texts = _ids(table[column].cast(pl.Int64, strict=False) if whole else table[column])
            for what, looks in DIRECT.items():
                count = int(texts.str.contains(looks).sum())
                if count:
                    faults.append(
                        f"{name}, {column}: {count:,} of {texts.len():,} look like {what}"
                    )
    if faults:
        raise InputError(
            "columns that name persons without a key", faults=faults, do="leave them out: --drop"
        )
