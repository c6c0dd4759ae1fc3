"""Person-years made where the tables lie: the same definition as SQL for DuckDB, Spark and PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from pricing.errors import InputError, nearest

__all__ = ["Dialect", "person_years_sql"]

Dialect = Literal["duckdb", "spark", "postgres"]


@dataclass(frozen=True)
class _Words:
    """How a database says what databases say differently."""

    quote: str
    days: str  # from one day to another
    years_on: str  # a day some years later; 29 February becomes 28 February
    double: str


_WORDS: Mapping[str, _Words] = {
    "duckdb": _Words(
        '"',
        "date_diff('day', {a}, {b})",
        "CAST({day} + to_years(CAST({n} AS INTEGER)) AS DATE)",
        "DOUBLE",
    ),
    "spark": _Words(
        "`", "datediff({b}, {a})", "add_months({day}, CAST(12 * ({n}) AS INT))", "DOUBLE"
    ),
    "postgres": _Words(
        '"',
        "({b} - {a})",
        "CAST({day} + make_interval(years => CAST({n} AS INTEGER)) AS DATE)",
        "DOUBLE PRECISION",
    ),
}
_MADE = ("start", "end", "claims", "amount", "exposure", "age", "year", "prior_claims")


def person_years_sql(
    dialect: Dialect,
    *,
    policies: Sequence[str],
    renewals: Sequence[str],
    observed: tuple[date, date] | None = None,
    tables: Mapping[str, str] | None = None,
) -> str:
    """Write the SELECT that turns policies, their policy years and their claims into person-years.

    Column by column what :func:`pricing.experience.person_years.person_years` makes: exposure in
    days over the days of the policy year, age last birthday, claims in the policy year in force on
    their day, premiums earned pro rata. The tables must keep their contracts: one row a policy, one
    a policy year, every policy year with its policy, and no two terms of a policy that overlap. Days
    are DATE, flags BOOLEAN, premiums and amounts doubles.

    Parameters
    ----------
    dialect : {"duckdb", "spark", "postgres"}
        Of the database.
    policies, renewals : sequence of str
        Columns of the tables; all are carried on, and none may have the name of one that is made.
    observed : (date, date), optional
        The observation window, first day and the day after the last.
    tables : mapping of str to str, optional
        ``policies``, ``renewals`` and ``claims`` = what stands for them in the FROM clause, taken as
        written: ``core.claims``. Their own names where left out.

    Returns
    -------
    str
        One SELECT, without a semicolon.

    Raises
    ------
    InputError
        For an unknown dialect, columns that lack, and names that hold a quotation mark.

    Examples
    --------
    >>> import duckdb
    >>> base = duckdb.connect()
    >>> made = base.sql('''CREATE TABLE policies AS SELECT 'p' AS policy_id, DATE '1980-03-01' AS birth_date,
    ...     DATE '2023-03-01' AS start, DATE '9999-12-31' AS "end";
    ... CREATE TABLE renewals AS SELECT 'p' AS policy_id, 0 AS policy_year, DATE '2023-03-01' AS start,
    ...     DATE '2023-08-31' AS "end";
    ... CREATE TABLE claims AS SELECT 'p' AS policy_id, DATE '2023-03-01' AS incurred, 9e0 AS amount''')
    >>> text = person_years_sql("duckdb", policies=["policy_id", "birth_date", "start", "end"],
    ...                         renewals=["policy_id", "policy_year", "start", "end"])
    >>> base.sql(text).project("age, exposure, claims, amount").fetchall()
    [(43, 0.5, 1, 9.0)]
    """
    if dialect not in _WORDS:
        raise InputError(f"no SQL is written for {dialect!r}{nearest(dialect, _WORDS)}")
    words = _WORDS[dialect]
    _require(policies, renewals, words.quote)
    places = {name: name for name in ("policies", "renewals", "claims")} | dict(tables or {})

    def q(*names: str) -> str:
        return ".".join(f"{words.quote}{name}{words.quote}" for name in names)

    def days(a: str, b: str) -> str:
        return f"CAST({words.days.format(a=a, b=b)} AS {words.double})"

    def year_of(day: str) -> str:
        return f"CAST(extract(YEAR FROM {day}) AS INTEGER)"

    def in_year(day: str) -> str:
        return f"(extract(MONTH FROM {day}) * 100 + extract(DAY FROM {day}))"

    first, stop = observed or (None, None)
    leaves = f", p.{q('end')}" if "end" in policies else ""
    cover = f"least(r.{q('end')}{leaves})" if leaves else f"r.{q('end')}"
    begins = f"greatest(r.start, DATE '{first}')" if first else "r.start"
    ends = f"least({cover}, DATE '{stop}')" if stop else cover
    seen = f"AND c.incurred >= DATE '{first}' AND c.incurred < DATE '{stop}'" if first else ""
    money = [name for name in ("standard_premium", "premium") if name in renewals]
    own = [n for n in renewals if n not in (*_MADE, *money)]
    facts = [n for n in policies if n not in (*_MADE, *renewals)]
    anniversary = words.years_on.format(day="t._issued", n="t.policy_year")
    following = words.years_on.format(day="t._issued", n="t.policy_year + 1")
    joined = "".join(
        f",\n    max(CASE WHEN {q('in_programme')} THEN 1 ELSE 0 END) OVER (PARTITION BY policy_id) "
        f"= 1 AS ever_joined"
        for name in renewals
        if name == "in_programme"
    )
    return f"""WITH terms AS (
  SELECT {", ".join(f"r.{q(n)}" for n in (*own, *money))}{"".join(f", p.{q(n)}" for n in facts)},
    {begins} AS start, {ends} AS {q("end")}, r.start AS _term_start, p.start AS _issued
  FROM {places["renewals"]} AS r JOIN {places["policies"]} AS p ON p.policy_id = r.policy_id
), cut AS (
  SELECT * FROM terms WHERE start < {q("end")}
), placed AS (
  SELECT t.policy_id, t.policy_year, count(*) AS claims, sum(c.amount) AS amount
  FROM cut AS t JOIN {places["claims"]} AS c ON c.policy_id = t.policy_id
    AND c.incurred >= t.start AND c.incurred < t.{q("end")} {seen}
  GROUP BY t.policy_id, t.policy_year
), years AS (
  SELECT {", ".join(f"t.{q(n)}" for n in (*own, *facts))}{"".join(f", t.{q(n)} AS _{n}" for n in money)},
    t.start, t.{q("end")}, t._issued AS policy_start,
    coalesce(n.claims, 0) AS claims, coalesce(n.amount, 0) AS amount,
    {days("t.start", f"t.{q('end')}")}
      / {days(anniversary, following)} AS exposure,
    {year_of("t._term_start")} - {year_of("t.birth_date")} - CASE
      WHEN {in_year("t._term_start")} >= {in_year("t.birth_date")} THEN 0 ELSE 1 END AS age,
    {year_of("t.start")} AS {q("year")}
  FROM cut AS t LEFT JOIN placed AS n ON n.policy_id = t.policy_id AND n.policy_year = t.policy_year
)
SELECT {", ".join(q(n) for n in (*own, *facts))}, start, {q("end")}, policy_start, claims, amount,
    exposure, age, {q("year")}{"".join(f", _{n} * exposure AS {q(n)}" for n in money)},
    CASE WHEN lag(policy_year) OVER w = policy_year - 1 THEN lag(claims) OVER w END AS prior_claims{joined}
FROM years WINDOW w AS (PARTITION BY policy_id ORDER BY policy_year)"""


def _require(policies: Sequence[str], renewals: Sequence[str], quote: str) -> None:
    needed = {
        "policies": ({"policy_id", "birth_date", "start"}, policies),
        "renewals": ({"policy_id", "policy_year", "start", "end"}, renewals),
    }
    faults = [
        f"{table} lacks {name!r}{nearest(name, given)}"
        for table, (names, given) in needed.items()
        for name in sorted(names - set(given))
    ]
    faults += [f"{name!r} holds {quote}" for name in (*policies, *renewals) if quote in name]
    if faults:
        raise InputError("columns person-years cannot be made of", faults=faults)
