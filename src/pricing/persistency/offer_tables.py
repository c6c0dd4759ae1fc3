"""Offer tables: what policies, policy years and offers must be before renewals are read off them."""

from __future__ import annotations

from datetime import date

import polars as pl

from pricing.errors import InputError
from pricing.experience.domain import require_columns

__all__ = ["require_tables", "require_window"]

DAYS = (pl.Date, pl.Datetime)
TEXT = ("String", "Enum", "Categorical")
OURS = ("policy_start", "policy_end")
NEEDED = {
    "policies": ("policy_id", "start", "end", "exit_cause"),
    "renewals": ("policy_id", "policy_year", "start", "health_group", "standard_premium"),
    "offers": ("policy_id", "policy_year", "health_group", "standard_premium", "renewed"),
}


def require_window(observed: tuple[date, date]) -> tuple[date, date]:
    """Refuse a window that is none.

    Examples
    --------
    >>> require_window((date(2024, 1, 1), date(2023, 1, 1)))
    Traceback (most recent call last):
    pricing.errors.InputError: observed: the window ends (2023-01-01) before it begins (2024-01-01)
    """
    try:
        first, stop = observed
        wrong = not first < stop
    except (TypeError, ValueError):
        raise InputError(f"observed is a first and a last day, got {observed!r}") from None
    if not (isinstance(first, date) and isinstance(stop, date)):
        raise InputError(f"observed is a first and a last day, got {observed!r}")
    if wrong:
        raise InputError(f"the window ends ({stop}) before it begins ({first})", where="observed")
    return first, stop


def require_tables(
    policies: pl.DataFrame, renewals: pl.DataFrame, offers: pl.DataFrame | None
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame | None]:
    """Refuse tables that cannot be joined, each fault with its count; give them ready to be joined.

    Examples
    --------
    >>> policies = pl.DataFrame({"policy_id": ["a", "a"], "start": [date(2023, 5, 1)] * 2,
    ...     "end": [date(2024, 5, 1)] * 2, "exit_cause": ["lapse", None]})
    >>> years = pl.DataFrame({"policy_id": ["a"], "policy_year": [0], "start": [date(2023, 5, 1)],
    ...     "health_group": "G0", "standard_premium": [100.0]})
    >>> require_tables(policies, years, None)
    Traceback (most recent call last):
    pricing.errors.InputError: renewals cannot be read off these tables
      - policies: 2 rows share their policy_id with another
      do: hold the tables against their contracts (pricing check) first
    """
    tables = {"policies": policies, "renewals": renewals}
    tables |= {} if offers is None else {"offers": offers}
    for name, table in tables.items():
        if not isinstance(table, pl.DataFrame):
            raise InputError(
                f"{name} is a {type(table).__name__}",
                do="give a polars DataFrame: collect() it first",
            )
        require_columns(NEEDED[name], table.columns)
    _refuse(_kinds(tables))
    kind = policies.schema["policy_id"]
    kind = kind if kind.is_integer() else pl.String()
    ready = {name: _plain(table, kind) for name, table in tables.items()}
    _refuse(_rows(ready))
    return ready["policies"], ready["renewals"], ready.get("offers")


def _refuse(faults: list[str]) -> None:
    if faults:
        raise InputError(
            "renewals cannot be read off these tables",
            faults=faults,
            do="hold the tables against their contracts (pricing check) first",
        )


def _kinds(tables: dict[str, pl.DataFrame]) -> list[str]:
    """Columns that are of the wrong kind."""
    faults = []
    first = _id_kind(tables["policies"])
    for name, table in tables.items():
        kinds = table.schema
        taken = [c for c in table.columns if c in OURS or c.startswith("_")]
        if taken:
            faults.append(f"{name}: {', '.join(taken)} has a name of ours: rename it")
        if _id_kind(table) != first:
            faults.append(f"{name}: policy_id is {kinds['policy_id']}, in policies {first}")
        faults += [
            f"{name}: {day} is {kinds[day]}, not a date"
            for day in ("start", "end")
            if day in NEEDED[name] and kinds[day].base_type() not in DAYS
        ]
        if name != "policies" and not kinds["policy_year"].is_integer():
            faults.append(f"{name}: policy_year is {kinds['policy_year']}, not a whole number")
        faults += [
            f"{name}: {money} is {kinds[money]}, not a number"
            for money in ("standard_premium", "premium")
            if name != "policies" and money in kinds and not kinds[money].is_numeric()
        ]
        if name == "offers" and not (
            kinds["renewed"] == pl.Boolean or kinds["renewed"].is_integer()
        ):
            faults.append(f"offers: renewed is {kinds['renewed']}, neither yes or no, nor 0 and 1")
    return faults


def _id_kind(table: pl.DataFrame) -> str:
    kind = table.schema["policy_id"]
    text = kind.base_type().__name__ in TEXT
    return "String" if text else "a whole number" if kind.is_integer() else str(kind)


def _plain(table: pl.DataFrame, id_kind: pl.DataType) -> pl.DataFrame:
    """Dates without an hour, and policies named in one kind."""
    kinds = table.schema
    days = [d for d in ("start", "end") if d in kinds and kinds[d].base_type() == pl.Datetime]
    table = table.with_columns(pl.col(days).cast(pl.Date))
    table = table.with_columns(pl.col("policy_id").cast(id_kind))
    if "policy_year" in kinds:
        table = table.with_columns(pl.col("policy_year").cast(pl.Int64))
    return table


def _rows(tables: dict[str, pl.DataFrame]) -> list[str]:
    """Rows that cannot be, each fault with its count."""
    policies = tables["policies"]
    faults = []
    if n := policies["policy_id"].is_duplicated().sum():
        faults.append(f"policies: {n:,} rows share their policy_id with another")
    if n := policies.filter(~(pl.col("end") > pl.col("start")).fill_null(False)).height:
        faults.append(f"policies: {n:,} rows end on or before their start, or lack a date")
    for name, table in tables.items():
        if name == "policies":
            continue
        if n := table.select("policy_id", "policy_year").is_duplicated().sum():
            faults.append(f"{name}: {n:,} rows share policy_id and policy_year with another")
        least = 0 if name == "renewals" else 1
        if n := table.filter(~(pl.col("policy_year") >= least).fill_null(False)).height:
            faults.append(f"{name}: policy_year is null or below {least} in {n:,} rows")
        alone = table.join(policies, on="policy_id", how="anti")
        if alone.height:
            some = ", ".join(map(repr, alone["policy_id"].unique().sort().head(3)))
            faults.append(f"{name}: {alone.height:,} rows have no policy, such as {some}")
        for money in ("standard_premium", "premium"):
            if money not in table.columns:
                continue
            value = pl.col(money).cast(pl.Float64)
            none = table.filter(~((value > 0) & value.is_finite()).fill_null(False)).height
            if none:
                faults.append(f"{name}: {money} is null or not above zero in {none:,} rows")
    if "offers" in tables:
        known = pl.col("renewed").cast(pl.Int64).is_in([0, 1]).fill_null(False)
        if n := tables["offers"].filter(~known).height:
            faults.append(f"offers: renewed is null, or neither 0 nor 1, in {n:,} rows")
    return faults or _anniversaries(policies, tables["renewals"])


def _anniversaries(policies: pl.DataFrame, renewals: pl.DataFrame) -> list[str]:
    """Policy years that begin at no anniversary; 1 March may stand for 29 February."""
    first = policies.select("policy_id", _first="start")
    years = pl.col("policy_year").cast(pl.String) + "y"
    off = (pl.col("start") - pl.col("_first").dt.offset_by(years)).dt.total_days()
    leap = (pl.col("_first").dt.month() == 2) & (pl.col("_first").dt.day() == 29)
    fits = (off == 0) | (leap & (off == 1))
    odd = renewals.join(first, on="policy_id", how="left", maintain_order="left").filter(
        ~fits.fill_null(False)
    )
    if odd.is_empty():
        return []
    return [
        f"renewals: {odd.height:,} rows do not start at the anniversary that policy_year says, such "
        f"as year {odd['policy_year'][0]} of {odd['policy_id'][0]!r}"
    ]
