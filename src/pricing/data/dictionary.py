"""The data dictionary: what to ask an insurer's data owner for, written from the contracts."""

from __future__ import annotations

import dataframely as dy
import polars as pl

from pricing.data.contracts import contract
from pricing.data.delivered import TABLES
from pricing.data.rules import RULES, meaning, number

__all__ = ["data_dictionary", "data_dictionary_markdown"]

_TYPES: dict[type[dy.Column], str] = {
    dy.Date: "date",
    dy.Float64: "number",
    dy.Int64: "whole number",
    dy.Bool: "true or false",
    dy.String: "text",
    dy.Enum: "level",
}


def data_dictionary(table: str | None = None) -> pl.DataFrame:
    """List the columns of the contracts: what to ask an insurer's data owner for.

    Parameters
    ----------
    table : str, optional
        One table; all of them where not given.

    Returns
    -------
    polars.DataFrame
        ``table``, ``column``, ``type``, ``unit``, ``domain``, ``nullable`` (a cell may be
        empty), ``optional`` (the whole column may lack) and ``description``.

    Raises
    ------
    InputError
        Where the table is not known.

    Examples
    --------
    >>> data_dictionary("claims").select("column", "type", "domain", "optional").row(5)
    ('amount', 'number', '≥ 0, finite', False)
    """
    tables = TABLES if table is None else {table: contract(table)}
    rows = [
        {
            "table": name,
            "column": column_name,
            "type": _TYPES[type(column)],
            "unit": (column.metadata or {})["unit"],
            "domain": _domain(column),
            "nullable": column.nullable,
            "optional": (column.metadata or {})["optional"],
            "description": column.description,
        }
        for name, schema in tables.items()
        for column_name, column in schema.columns().items()
    ]
    return pl.DataFrame(rows)


def data_dictionary_markdown() -> str:
    """Write the data dictionary of all tables as a page of Markdown.

    Returns
    -------
    str
        One section per table: its columns, then its rules over several columns.

    Examples
    --------
    >>> data_dictionary_markdown().splitlines()[0]
    '# Data dictionary'
    """
    lines = ["# Data dictionary", "", "Generated from the contracts in `pricing.data.schemas`."]
    for name, schema in TABLES.items():
        lines += ["", f"## {name}", "", str(schema.__doc__), ""]
        lines += ["| column | type | unit | domain | may be empty | may lack | meaning |"]
        lines += ["|---|---|---|---|---|---|---|"]
        for row in data_dictionary(name).iter_rows(named=True):
            cells = [f"`{row['column']}`", row["type"], row["unit"], row["domain"]]
            cells += ["yes" if row[flag] else "" for flag in ("nullable", "optional")]
            lines.append("| " + " | ".join([*cells, row["description"]]) + " |")
        rules = [rule for owner, rule in RULES if owner == schema.__name__]
        lines += ["", "Rules:", ""]
        lines += [f"- {meaning(schema, rule)}" for rule in ["primary_key", *rules]]
    return "\n".join(lines) + "\n"


def _domain(column: dy.Column) -> str:
    if isinstance(column, dy.Enum):
        return ", ".join(column.categories)
    signs = {"min": "≥", "min_exclusive": ">", "max": "≤", "max_exclusive": "<"}
    bounds = [(sign, getattr(column, bound, None)) for bound, sign in signs.items()]
    said = [f"{sign} {number(value)}" for sign, value in bounds if value is not None]
    if column.primary_key:
        said.append("key")
    if isinstance(column, dy.Float64):
        said.append("finite")
    return ", ".join(said)
