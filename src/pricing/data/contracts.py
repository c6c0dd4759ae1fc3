"""What an insurer's tables must look like: each column's type, unit, domain and meaning."""

from __future__ import annotations

import datetime as dt
import types
from collections.abc import Mapping, Sequence
from typing import Any

import dataframely as dy
import polars as pl

from pricing.errors import InputError, nearest

__all__ = [
    "TABLES",
    "Claims",
    "PersonYears",
    "Policies",
    "Renewals",
    "contract",
    "data_dictionary",
    "data_dictionary_markdown",
    "meaning",
    "rule_column",
]

EXITS = ("lapse", "death", "cancelled", "expired")
_FIRST, _LAST, _OPEN_END = dt.date(1900, 1, 1), dt.date(2199, 12, 31), dt.date(9999, 12, 31)


def _about(description: str, unit: str = "", *, optional: bool = False) -> dict[str, Any]:
    return {"description": description, "metadata": {"unit": unit, "optional": optional}}


def _key(description: str, *, optional: bool = False) -> dy.String:
    return dy.String(primary_key=True, **_about(description, optional=optional))


def _text(description: str, *, optional: bool = False) -> dy.String:
    return dy.String(nullable=optional, **_about(description, optional=optional))


def _day(description: str, *, last: dt.date = _LAST, optional: bool = False) -> dy.Date:
    about = _about(description, "day", optional=optional)
    return dy.Date(min=_FIRST, max=last, nullable=optional, **about)


def _money(description: str, *, optional: bool = False, above_zero: bool = False) -> dy.Float64:
    bound: dict[str, Any] = {"min_exclusive" if above_zero else "min": 0.0}
    about = _about(description, "currency units", optional=optional)
    return dy.Float64(nullable=optional, **bound, **about)


class Policies(dy.Schema):
    """One row per policy: who is covered and from when to when."""

    policy_id = _key("The policy's number")
    person_id = _text("The insured person, where one person holds several policies", optional=True)
    birth_date = _day("Date of birth of the insured")
    sex = dy.Enum(["female", "male"], **_about("Sex of the insured"))
    start = _day("First day of cover")
    end = _day(
        "Day after the last day of cover (half-open); 9999-12-31 for cover without an end",
        last=_OPEN_END,
    )
    exit_cause = dy.Enum(
        EXITS,
        nullable=True,
        **_about("Why cover ended; empty while it is in force", optional=True),
    )

    @dy.rule()
    def end_after_start(cls) -> pl.Expr:
        """`end` must be after `start` (it is the day after the last day of cover)."""
        return pl.col("end") > pl.col("start")

    @dy.rule()
    def birth_before_start(cls) -> pl.Expr:
        """`birth_date` must not be after `start`."""
        return pl.col("birth_date") <= pl.col("start")

    @dy.rule()
    def age_at_most_120(cls) -> pl.Expr:
        """`birth_date` must make the age at `start` 120 years at most."""
        return _age(pl.col("birth_date"), pl.col("start")) <= 120


class Renewals(dy.Schema):
    """One row per policy and policy year: the terms offered for that year."""

    policy_id = _key("The policy's number")
    policy_year = dy.Int64(
        primary_key=True,
        min=0,
        max=150,
        **_about("Policy years completed at the start of the term; 0 is the first", "policy years"),
    )
    start = _day("First day of the term")
    end = _day("Day after the last day of the term (half-open)")
    in_programme = dy.Bool(
        nullable=True,
        **_about("Whether the insured took part in the health programme", optional=True),
    )
    health_value = dy.Float64(
        min=0.0,
        max=1000.0,
        nullable=True,
        **_about("Health value measured before the term", "points", optional=True),
    )
    health_group = _text("Health group the term was priced in")
    standard_premium = _money("Premium of the term before the health discount", above_zero=True)
    premium = _money("Premium charged for the term", optional=True, above_zero=True)

    @dy.rule()
    def end_after_start(cls) -> pl.Expr:
        """`end` must be after `start` (it is the day after the last day of the term)."""
        return pl.col("end") > pl.col("start")

    @dy.rule()
    def term_at_most_a_year(cls) -> pl.Expr:
        """`end` must be at most 366 days after `start`."""
        return (pl.col("end") - pl.col("start")).dt.total_days() <= 366

    @dy.rule()
    def premium_at_most_standard(cls) -> pl.Expr:
        """`premium` must be at most `standard_premium` (discounts only)."""
        return pl.col("premium") <= pl.col("standard_premium") * (1 + 1e-9)


class Claims(dy.Schema):
    """One row per claim: what was incurred when, and what was paid."""

    claim_id = _key("The claim's number")
    policy_id = _text("The policy the claim was made on")
    incurred = _day("Day the claim was incurred")
    paid = _day("Day the claim was paid; empty while it is open", optional=True)
    amount = _money("Amount paid or reserved")
    benefit = _text("Benefit the claim falls under", optional=True)

    @dy.rule()
    def paid_not_before_incurred(cls) -> pl.Expr:
        """`paid` must not be before `incurred`."""
        return pl.col("paid") >= pl.col("incurred")


class PersonYears(dy.Schema):
    """One row per person and period: exposure, claims and amount already counted."""

    person_year_id = _key("The row's number; counted from 1 where absent", optional=True)
    person_id = _text("The insured person", optional=True)
    period = dy.Int64(
        min=0,
        max=2199,
        nullable=True,
        **_about("Calendar year or year of the study", optional=True),
    )
    exposure = dy.Float64(min_exclusive=0.0, **_about("Time exposed to risk", "policy-years"))
    claims = dy.Int64(min=0, **_about("Number of claims", "claims"))
    amount = _money("Claims amount", optional=True)
    standard_premium = _money("Earned premium before the discount", optional=True, above_zero=True)
    premium = _money("Earned premium as charged", optional=True)


TABLES: dict[str, type[dy.Schema]] = {
    "policies": Policies,
    "renewals": Renewals,
    "claims": Claims,
    "person_years": PersonYears,
}

# Rules over several columns. Their docstrings are their words; the column named first is
# the one a fault is reported at.
_RULES: dict[tuple[str, str], str] = {
    (schema.__name__, name): str(member.validation_fn.__doc__).rstrip(".")
    for schema in TABLES.values()
    for name, member in vars(schema).items()
    if hasattr(member, "validation_fn")
}
_RULE_NAMES = {rule for _, rule in _RULES}


def _age(birth: pl.Expr, day: pl.Expr) -> pl.Expr:
    """Age last birthday; a birthday on 29 February falls on 1 March in other years."""

    def in_year(date: pl.Expr) -> pl.Expr:
        return date.dt.month().cast(pl.Int32) * 100 + date.dt.day()

    return day.dt.year() - birth.dt.year() - (in_year(day) < in_year(birth)).cast(pl.Int32)


def contract(
    table: str,
    *,
    factors: Mapping[str, Sequence[str] | None] | None = None,
    covariates: Sequence[str] = (),
) -> type[dy.Schema]:
    """Give the contract of a table, with the rating factors of one study added.

    The columns every insurer has are fixed; rating factors differ from study to study. A
    factor that names a column the table has already (``sex``, ``health_group``) narrows it.

    Parameters
    ----------
    table : str
        ``policies``, ``renewals``, ``claims`` or ``person_years``.
    factors : mapping of str to sequence of str or None, optional
        Rating factor to its levels in order, base level where the study puts it; None
        takes any text. Factors may not be empty in the data.
    covariates : sequence of str, optional
        Numeric columns, finite and never empty.

    Returns
    -------
    type of dataframely.Schema

    Raises
    ------
    InputError
        Where the table is not known, or a factor or covariate cannot be a column of it.

    Examples
    --------
    >>> schema = contract("person_years", factors={"tier": ["basic", "plus"]},
    ...                   covariates=["bmi"])
    >>> schema.column_names()[-2:]
    ['tier', 'bmi']
    >>> print(schema.columns()["tier"].dtype)
    Enum(categories=['basic', 'plus'])
    """
    if table not in TABLES:
        raise InputError(f"there is no table {table!r}{nearest(table, TABLES)}")
    base, factors = TABLES[table], dict(factors or {})
    core = base.columns()
    names = [*factors, *covariates]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{name!r} is named twice", where=f"{table}, factors and covariates")
        if not name or name.startswith("_") or name in _RULE_NAMES or name == "primary_key":
            raise InputError(
                f"{name!r} cannot be a column's name",
                where=f"{table}, factors and covariates",
                do="give the column another name; names that start with _ are kept for the rows' "
                "origin",
            )
    columns: dict[str, dy.Column] = {}
    for name, levels in factors.items():
        columns[name] = _factor(table, name, levels, core.get(name))
    for name in covariates:
        columns[name] = _covariate(table, name, core.get(name))
    # A study's column may carry any name, that of a schema's method too, so it goes in under
    # a neutral attribute; a core column is replaced where it stands.
    attributes = {name: columns.pop(name, column) for name, column in core.items()}
    attributes |= {
        f"study_column_{i}": column.with_alias(name)
        for i, (name, column) in enumerate(columns.items())
    }
    members = {"__doc__": base.__doc__, "__module__": base.__module__, **attributes}
    return types.new_class(base.__name__, (base,), {}, lambda body: body.update(members))


def _factor(
    table: str, name: str, levels: Sequence[str] | None, core: dy.Column | None
) -> dy.Column:
    where = f"{table}, factor {name!r}"
    texts = isinstance(core, dy.String | dy.Enum) and not core.primary_key
    flags = isinstance(core, dy.Bool | dy.Int64) and bool((core.metadata or {}).get("optional"))
    if core is not None and not (texts or flags):
        raise InputError(
            "this column of the contract cannot be a rating factor",
            where=where,
            do="band it in the study and name the band",
        )
    description = (core.description if core else None) or "Rating factor of the study"
    if levels is None:
        if isinstance(core, dy.Enum):
            return core.with_properties(nullable=False, **_about(description))
        return dy.String(**_about(description))
    if isinstance(levels, str) or not levels or not all(isinstance(v, str) and v for v in levels):
        raise InputError("levels must be a list of non-empty texts", where=where)
    if len(set(levels)) < len(levels):
        twice = sorted({level for level in levels if list(levels).count(level) > 1})
        raise InputError(f"levels are repeated: {', '.join(twice)}", where=where)
    if isinstance(core, dy.Enum) and (unknown := [v for v in levels if v not in core.categories]):
        raise InputError(
            f"{unknown[0]!r} is not a level of the contract{nearest(unknown[0], core.categories)}",
            where=where,
        )
    return dy.Enum(levels, **_about(description))


def _covariate(table: str, name: str, core: dy.Column | None) -> dy.Column:
    if core is None:
        return dy.Float64(**_about("Covariate of the study"))
    if not isinstance(core, dy.Float64):
        raise InputError(
            "this column of the contract is not a measured number",
            where=f"{table}, covariate {name!r}",
            do="name it as a factor, or leave it out",
        )
    about = {**(core.metadata or {}), "optional": False}
    return core.with_properties(nullable=False, metadata=about)


def rule_column(schema: type[dy.Schema], rule: str) -> str:
    """Name the column a rule's faults are reported at.

    Examples
    --------
    >>> rule_column(Policies, "end_after_start"), rule_column(PersonYears, "exposure|nan")
    ('end', 'exposure')
    """
    if rule == "primary_key":
        return ", ".join(schema.primary_key())
    words = _RULES.get((schema.__name__, rule))
    return words.split("`")[1] if words else rule.rsplit("|", 1)[0]


def meaning(schema: type[dy.Schema], rule: str) -> str:
    """Say a rule of a contract in words, for the one who has to mend the data.

    Parameters
    ----------
    schema : type of dataframely.Schema
        From :func:`contract`.
    rule : str
        A rule's name, as in the faults of a check: ``exposure|min_exclusive``.

    Examples
    --------
    >>> meaning(PersonYears, "exposure|min_exclusive")
    'exposure must be above 0 policy-years'
    >>> meaning(Policies, "sex|level")
    'sex must be one of: female, male'
    """
    if (words := _RULES.get((schema.__name__, rule))) is not None:
        return words.replace("`", "")
    if rule == "primary_key":
        key = " with ".join(schema.primary_key())
        return f"{key} must not repeat; every row of a repeated key is rejected"
    name, what = rule.rsplit("|", 1)
    column = schema.columns()[name]
    if what in ("min", "max", "min_exclusive", "max_exclusive"):
        sense = {"min": "at least", "max": "at most", "min_exclusive": "above"}
        unit = str((column.metadata or {}).get("unit", ""))
        unit = "" if isinstance(column, dy.Date) else unit
        bound = _number(getattr(column, what))
        return f"{name} must be {sense.get(what, 'below')} {bound} {unit}".rstrip()
    if what == "level":
        levels = list(getattr(column, "categories", []))
        more = f" and {len(levels) - 12} more" if len(levels) > 12 else ""
        return f"{name} must be one of: {', '.join(levels[:12])}{more}"
    return f"{name} must " + {
        "nullability": "not be empty",
        "nan": "be a number, not NaN",
        "inf": "be finite",
        "type": "be " + _READS.get(type(column), "readable"),
    }.get(what, f"keep the rule {what}")


_READS: dict[type[dy.Column], str] = {
    dy.Date: "a date of the calendar, written as 2024-02-29, 2024/02/29 or 20240229",
    dy.Float64: "a number with a point for the decimals and no thousands separators",
    dy.Int64: "a whole number",
    dy.Bool: "true or false",
    dy.String: "text",
}
_TYPES: dict[type[dy.Column], str] = {
    dy.Date: "date",
    dy.Float64: "number",
    dy.Int64: "whole number",
    dy.Bool: "true or false",
    dy.String: "text",
    dy.Enum: "level",
}


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _domain(column: dy.Column) -> str:
    if isinstance(column, dy.Enum):
        return ", ".join(column.categories)
    signs = {"min": "≥", "min_exclusive": ">", "max": "≤", "max_exclusive": "<"}
    bounds = [(sign, getattr(column, bound, None)) for bound, sign in signs.items()]
    said = [f"{sign} {_number(value)}" for sign, value in bounds if value is not None]
    if column.primary_key:
        said.append("key")
    if isinstance(column, dy.Float64):
        said.append("finite")
    return ", ".join(said)


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
    >>> data_dictionary("claims").select("column", "type", "domain", "optional").row(4)
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
    lines = ["# Data dictionary", "", "Generated from the contracts in `pricing.data.contracts`."]
    for name, schema in TABLES.items():
        lines += ["", f"## {name}", "", str(schema.__doc__), ""]
        lines += ["| column | type | unit | domain | may be empty | may lack | meaning |"]
        lines += ["|---|---|---|---|---|---|---|"]
        for row in data_dictionary(name).iter_rows(named=True):
            cells = [f"`{row['column']}`", row["type"], row["unit"], row["domain"]]
            cells += ["yes" if row[flag] else "" for flag in ("nullable", "optional")]
            lines.append("| " + " | ".join([*cells, row["description"]]) + " |")
        rules = [rule for owner, rule in _RULES if owner == schema.__name__]
        lines += ["", "Rules:", ""]
        lines += [f"- {meaning(schema, rule)}" for rule in ["primary_key", *rules]]
    return "\n".join(lines) + "\n"
