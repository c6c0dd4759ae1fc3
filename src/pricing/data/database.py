"""Tables of a DuckDB database."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from pricing.data.files import first_line, near
from pricing.data.origin import with_origin
from pricing.errors import InputError

__all__ = ["read_duckdb"]

ALONE: dict[str, str | bool | int | float | list[str]] = {
    # a view of somebody's database may name any file or address: none is opened
    "enable_external_access": False,
    "autoload_known_extensions": False,
    "autoinstall_known_extensions": False,
    "allow_community_extensions": False,
}


def read_duckdb(path: Path, table: str) -> pl.DataFrame:
    """Read one table or view of a database, each row with its origin.

    Parameters
    ----------
    path : path
        The database file; it is opened for reading only.
    table : str
        ``name`` or ``schema.name``.

    Raises
    ------
    InputError
        Where DuckDB is not installed, or the file or the table is not there.

    Examples
    --------
    >>> read_duckdb(Path("nowhere.duckdb"), "claims")
    Traceback (most recent call last):
    pricing.errors.InputError: nowhere.duckdb: ...
    """
    try:
        import duckdb
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise InputError(
            "DuckDB is not installed", where=str(path), do='pip install "pricing[engines]"'
        ) from error
    if not path.is_file():
        raise InputError(f"there is no such database{near(path)}", where=str(path))
    try:
        with duckdb.connect(str(path), read_only=True, config=ALONE) as base:
            listed = base.sql("SELECT table_schema, table_name FROM information_schema.tables")
            found = {f"{s}.{t}": (s, t) for s, t in listed.fetchall()}
            found |= {t: (s, t) for s, t in found.values() if s == "main"}
            if table not in found:
                names = [name.removeprefix("main.") for name in found]
                raise InputError(
                    f"there is no table {table!r}; there are: " + ", ".join(sorted(set(names))),
                    where=str(path),
                )
            schema, quoted = (part.replace('"', '""') for part in found[table])
            arrow = base.sql(f'SELECT * FROM "{schema}"."{quoted}"').to_arrow_table()
    except duckdb.Error as error:
        raise InputError(
            f"the database cannot be read: {first_line(error)}",
            where=str(path),
            do="close other programs that write to it, or check that it is a DuckDB file",
        ) from error
    frame = pl.from_arrow(arrow)
    assert isinstance(frame, pl.DataFrame)
    return with_origin(frame, f"{path.name}:{table}")
