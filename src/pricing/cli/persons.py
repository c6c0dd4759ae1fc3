"""Commands on tables of persons: pseudonymise, forget."""

from __future__ import annotations

from pathlib import Path

from pricing.cli.app import app

__all__: list[str] = []  # of the command line alone


@app.command
def pseudonymise(
    tables: Path, /, *, key: Path, out: Path, drop: tuple[str, ...] = (), encoding: str = "utf-8"
) -> None:
    """Write a folder's tables with keyed names for persons, policies and claims; joins between them hold.

    Parameters
    ----------
    tables
        Folder of CSV and Parquet files, one table each.
    key
        File with the key: 64 hexadecimal digits, readable by you alone (mode 600), outside the output.
    out
        Folder to write.
    drop
        A column to leave out, such as a name or a telephone number; may be given again.
    encoding
        Of the CSV files, as in a study file: utf-8 or gb18030. What is written is UTF-8.
    """
    from pricing.privacy.pseudonymise import pseudonymise_folder

    rows = pseudonymise_folder(tables, out, key_file=key, drop=drop, encoding=encoding)
    for name, height in rows.items():
        print(f"{name}: {height:,} rows")
    print(f"Keyed names stand in {out}; the key is not in it.")


@app.command
def forget(
    person: str, /, *, tables: Path, out: Path, key: Path | None = None, encoding: str = "utf-8"
) -> None:
    """Write a folder's tables without one person: their rows, their policies', their claims'.

    Parameters
    ----------
    person
        Id of the person, as the tables hold it or, with a key, as the core system does.
    tables
        Folder of CSV and Parquet files, one table each.
    out
        Folder to write; run the studies again on it.
    key
        File with the key that made the tables' names.
    encoding
        Of the CSV files, as in a study file: utf-8 or gb18030. What is written is UTF-8.
    """
    from pricing.activity.pseudonym import Key
    from pricing.privacy.forget import forget_in_folder

    held = None if key is None else Key.read(file=key, output=out)
    ledger = forget_in_folder(tables, out, [person], key=held, encoding=encoding)
    for name, before, taken, left in ledger.iter_rows():
        print(f"{name}: {taken:,} of {before:,} rows taken out, {left:,} left")
