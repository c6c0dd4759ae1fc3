"""Tables and queries of a PostgreSQL server, through ADBC; who may log in is told outside the study."""

from __future__ import annotations

import os
import re
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import polars as pl

from pricing.data.files import first_line
from pricing.data.origin import with_origin
from pricing.errors import InputError, nearest

__all__ = ["read_postgres"]

# A whole address or nothing: of one that is cut wrongly, a part of the password could be printed.
_ADDRESS = re.compile(r"postgres(ql)?://([^@/?#\s]*@)?[^@/?#\s]*(/[^@/?#\s]*)?(\?[^@#\s]*)?")
_AS_THEY_ARE = {"bool", "int2", "int4", "int8", "float4", "float8", "text", "varchar", "bytea"}
_DAYS = {"date": "date", "timestamp": "timestamp", "timestamptz": "timestamp"}
_TABLES = """
SELECT n.nspname AS place, c.relname AS name, n.nspname = ANY (current_schemas(false)) AS near
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p') AND n.nspname !~ '^(pg_|information_schema$)'
ORDER BY array_position(current_schemas(false), n.nspname), 1, 2"""


def read_postgres(
    variable: str, *, table: str | None = None, query: str | None = None
) -> pl.DataFrame:
    """Read one table, view or query of a PostgreSQL server, each row with its origin.

    Nothing is written: the session is read-only, and the query stands as a subquery. The rows come
    in batches, by the binary COPY of the server. As a database keeps no order of rows, they are put
    in order by their columns from the first on, so that the same rows give the same study.

    Parameters
    ----------
    variable : str
        Environment variable that holds the address, ``postgresql://user:password@host/base``;
        signs such as ``@ : / ? #`` in the password are written as ``%40`` and so on. Without a
        password libpq looks in ``PGPASSWORD`` and the password file.
    table : str, optional
        ``name`` or ``schema.name`` of a table or view, letter by letter.
    query : str, optional
        A SELECT, instead of a table.

    Returns
    -------
    polars.DataFrame
        ``numeric`` comes digit by digit as text, from which the table's contract makes the nearest
        double; ``money`` likewise, without its sign. ``timestamptz`` is the local time of the
        session (``PGTZ``, else what the server says), so that a day is the day a clerk saw.
        ``infinity`` of a day is 9999-12-31, the open end of the contracts, ``-infinity`` the year
        1. Types that polars has no name for come as text.

    Raises
    ------
    InputError
        Where the driver is not installed, the variable is not set or holds no address, no server
        answers or it refuses the login, the table is not there, or the query fails. No message
        holds the password.

    Examples
    --------
    >>> read_postgres("NO_SUCH_BASE", table="claims")
    Traceback (most recent call last):
    pricing.errors.InputError: NO_SUCH_BASE: the environment variable is not set...
    """
    address = _address(variable)
    try:
        import pyarrow as pa
        from adbc_driver_manager.dbapi import Error
        from adbc_driver_postgresql import dbapi
    except ImportError as error:
        raise InputError(
            "the PostgreSQL driver is not installed",
            where=variable,
            do='pip install "pricing[engines]"',
        ) from error
    secrets = _secrets(address)
    try:
        with dbapi.connect(_waiting(address), autocommit=True) as base, base.cursor() as cursor:
            cursor.execute("SET default_transaction_read_only = on")
            asked = f"TABLE {_named(cursor, table, variable)}" if table else _bare(query)
            cursor.execute(_selected(cursor, asked, variable))
            batches = cursor.fetch_record_batch()
            parts = [batches.schema.empty_table(), *batches]
            frames: list[Any] = [pl.from_arrow(part) for part in parts]
    except (Error, pa.ArrowException, OSError) as error:
        raise _said(error, variable, secrets) from None  # its own words may hold the address
    frame = pl.concat(frames)
    ordered = [name for name, kind in frame.schema.items() if not kind.is_nested()]
    frame = frame.sort(ordered, nulls_last=True) if ordered else frame
    return with_origin(frame, f"{variable}:{table or 'query'}")


def _address(variable: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", variable):
        raise InputError(
            "database_env is no name of an environment variable",  # it may be an address: not shown
            where="source of a table",
            do='write database_env = "PRICING_DB", and the address into that variable',
        )
    address = os.environ.get(variable, "").strip()
    if not address:
        raise InputError(
            "the environment variable is not set",
            where=variable,
            do=f"export {variable}=postgresql://user:password@host:5432/base before the run",
        )
    try:
        whole = bool(_ADDRESS.fullmatch(address)) and urlsplit(address).port != 0
    except ValueError:
        whole = False
    if not whole:
        raise InputError(
            "the environment variable holds no address of a PostgreSQL server",
            where=variable,
            do="write postgresql://user:password@host:5432/base, with @ : / ? # and spaces in the "
            "password as %40 %3A %2F %3F %23 %20",
        )
    return address


def _waiting(address: str) -> str:
    """Give up after half a minute where nobody answers, unless the address says when."""
    if "connect_timeout=" in address or os.environ.get("PGCONNECT_TIMEOUT"):
        return address
    return address + ("&" if "?" in address else "?") + "connect_timeout=30"


def _secrets(address: str) -> list[str]:
    parts = urlsplit(address)
    found = [parts.password or "", *parse_qs(parts.query).get("password", [])]
    found += [os.environ.get("PGPASSWORD", ""), address]
    found += [unquote(secret) for secret in found]
    return sorted({secret for secret in found if secret}, key=len, reverse=True)


def _named(cursor: Any, table: str, variable: str) -> str:
    cursor.execute(_TABLES)
    listed = [tuple(row) for row in cursor.fetchall()]
    found = {f"{place}.{name}": (place, name) for place, name, _ in listed}
    for place, name, is_near in listed:
        if is_near:  # in the order of the search path, the first of a name
            found.setdefault(name, (place, name))
    if table not in found:
        raise InputError(
            f"there is no table {table!r}{nearest(table, found)}"
            if found
            else f"there is no table {table!r}, nor any other this user sees",
            where=variable,
            do="give name or schema.name as \\d shows it in psql, in its letters",
        )
    return ".".join(_quoted(part) for part in found[table])


def _bare(query: str | None) -> str:
    return re.sub(r"[;\s]+\Z", "", query or "")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _selected(cursor: Any, asked: str, variable: str) -> str:
    """Select every column in a form that says the same in polars as it does in the database."""
    schema = cursor.adbc_execute_schema(f"SELECT * FROM ({asked}\n) AS asked")
    names = list(schema.names)
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(
            f"columns {twice} are there more than once", where=variable, do="name each AS another"
        )
    if not names:
        raise InputError("the table has no columns", where=variable)
    columns = []
    for field in schema:
        kind = (field.metadata or {}).get(b"POSTGRESQL:type", b"").decode()
        name = read = _quoted(field.name)
        if kind in _DAYS:
            day = _DAYS[kind]
            read = (
                f"CASE {name} WHEN 'infinity' THEN {day} '9999-12-31' WHEN '-infinity' THEN "
                f"{day} '0001-01-01' ELSE {name}::{day} END"
            )
        elif kind == "money":
            read = f"{name}::numeric::text"
        elif kind.startswith("_"):
            read = f"{name}::text[]"
        elif kind not in _AS_THEY_ARE:
            read = f"{name}::text"
        columns.append(f"{read} AS {name}")
    return f"SELECT {', '.join(columns)} FROM ({asked}\n) AS asked"


def _said(error: BaseException, variable: str, secrets: list[str]) -> InputError:
    words = str(error)
    for secret in secrets:
        words = words.replace(secret, "…")
    found = re.search(r"(?:ERROR|FATAL):\s+(.+)", words)
    why = found[1] if found else re.sub(r"^.*?Failed to connect: ", "", first_line(OSError(words)))
    if "authentication failed" in words or "no password supplied" in words:
        what, do = "the database refuses the login", "correct user and password in the variable"
    elif "Failed to connect" in words:
        what, do = "the database cannot be reached", "check host, port and name of the base, and that it runs"  # fmt: skip
    else:
        what, do = "the database cannot be read", "correct the table or query in the study"
    return InputError(f"{what}: {why}", where=variable, do=do)
