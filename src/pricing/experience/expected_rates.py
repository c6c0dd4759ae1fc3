"""Expected rates from a published table, matched to the cells exactly."""

from __future__ import annotations

from typing import Literal

import polars as pl

from pricing.data.rates import RateTable
from pricing.errors import InputError, nearest
from pricing.experience.cells import Experience

__all__ = ["expected_rate"]

Exposed = Literal["initial", "central"]


def expected_rate(
    experience: Experience,
    table: RateTable,
    *,
    sex: str = "sex",
    age: str = "age",
    duration: str = "duration",
    exposed: Exposed = "initial",
) -> pl.Expr:
    """Expected claims per policy-year of every cell, from a table by sex and single age.

    The result goes where ``model.rate()`` goes: into ``actual_to_expected``, or times exposure
    into ``experience.with_sums``. A band of ages has no single rate, so banded ages are refused:
    collect the experience by single age, compare, and look at it by any other key.

    Parameters
    ----------
    experience : Experience
        Cells that carry the keys the table is by.
    table : RateTable
        Rates, such as ``rate_table("cn_ci_2020", "ci4")``. Shares and ratios are no claim rates.
    sex : str
        Factor with the levels "female" and "male"; read only where the table is by sex.
    age : str
        Attained age last birthday: a covariate in whole years, or a factor whose levels are single
        ages.
    duration : str
        Policy year, 1 the first; read only where the table is by duration. The ``policy_year`` of
        a split counts from 0: add 1 with ``experience.with_keys`` first.
    exposed : {"initial", "central"}
        ``"initial"``: exposure runs to the end of the year of a claim, and q is taken as printed.
        ``"central"``: exposure stops at the claim, and q becomes −ln(1 − q).

    Returns
    -------
    polars.Expr
        Float64, claims per policy-year, of the experience's keys.

    Raises
    ------
    InputError
        For a table that is not of rates, a key that lacks, banded or broken ages, levels of sex
        other than the table's, keys the table does not have, with cells and policy-years, a
        duration that counts from 0, and central exposure at a rate of 1.

    Notes
    -----
    A yearly probability q goes with initial exposure: expected = q·E. With central exposure the
    force of transition μ = −ln(1 − q), constant over the year of age, does (Macdonald, Richards
    and Currie 2018, Modelling Mortality with Actuarial Applications, chapter 3).

    Examples
    --------
    >>> from pricing.data.rates import rate_table
    >>> from pricing.experience.views import actual_to_expected
    >>> rows = pl.DataFrame({"sex": ["female", "male"], "age": [40, 60],
    ...                      "exposure": [1000.0, 1000.0], "claims": [3, 12]})
    >>> seen = Experience.collect(rows, ["sex", "age"])
    >>> rate = expected_rate(seen, rate_table("cn_ci_2020", "ci4"))
    >>> actual_to_expected(seen, rate, "sex").table.select("sex", "claims", "expected").rows()
    [('female', 3, 2.758), ('male', 12, 14.865)]
    """
    if table.measure != "rate":
        raise InputError(f"{table.name} is a {table.measure}, not a rate of claims per year")
    if exposed not in ("initial", "central"):
        raise InputError(
            f"exposed is 'initial' or 'central'{nearest(exposed, ('initial', 'central'))}"
        )
    columns = {"sex": sex, "age": age, "duration": duration}
    wanted = {key: columns[key] for key in table.keys}
    missing = [
        f"{c!r}{nearest(c, experience.keys)}" for c in wanted.values() if c not in experience.keys
    ]
    if missing:
        raise InputError(
            f"{table.name} is by {', '.join(table.keys)}; the experience has no key "
            + " and no key ".join(missing),
            do="collect by it, name the key that has it, or take one sex with table.only(...)",
        )
    places = {
        key: pl.col(column) if key == "sex" else _number(experience, column)
        for key, column in wanted.items()
    }
    if "duration" in wanted:
        _require_first_year(experience, wanted["duration"], places["duration"])
    rate = table.rate(**places)
    _require_found(experience, table, rate, list(wanted.values()))
    if exposed == "initial":
        return rate
    certain = experience.cells.filter(rate == 1)
    if not certain.is_empty():
        raise InputError(
            f"{table.name} has a rate of 1, which no force per policy-year gives, for "
            f"{certain.height:,} cells ({certain['exposure'].sum():,.1f} policy-years), first "
            + ", ".join(f"{c} {certain[c][0]}" for c in wanted.values()),
            do="leave its last age out with experience.where(...), or take exposed='initial'",
        )
    return -(-rate).log1p()


def _require_first_year(experience: Experience, key: str, years: pl.Expr) -> None:
    """Refuse policy years from 0: every rate would be that of the year before."""
    lowest = experience.cells.select(years.min()).item()
    if key == "policy_year" or lowest == 0:
        raise InputError(
            f"{key!r} counts policy years from 0 as a split does, a table from 1"
            + ("" if lowest is None else f"; the lowest here is {lowest}"),
            do=f'add experience.with_keys(duration=pl.col("{key}") + 1), without the 1 where yours '
            "count from 1, and leave duration= out",
        )


def _number(experience: Experience, key: str) -> pl.Expr:
    """Read a covariate, or a factor whose levels are whole numbers."""
    if key not in experience.factors:
        return pl.col(key)
    present = experience.cells[key].cast(pl.String).unique().sort()
    bands = [level for level in present if not (level.isascii() and level.isdecimal())]
    if bands:
        raise InputError(
            f"{len(bands)} of {len(present)} levels of {key!r} are no single year, first "
            + ", ".join(map(repr, bands[:3])),
            do="a table gives rates by single year and none is guessed for a band: collect the "
            "experience by single age, and by the band beside it if you want to look at that",
        )
    return pl.col(key).cast(pl.String).cast(pl.Int64)


def _require_found(
    experience: Experience, table: RateTable, rate: pl.Expr, columns: list[str]
) -> None:
    lost = experience.cells.filter(rate.is_null())
    if lost.is_empty():
        return
    by = lost.group_by(columns).agg(pl.len(), pl.col("exposure").sum()).sort(columns)
    faults = [
        ", ".join(f"{column} {row[column]}" for column in columns)
        + f": {row['len']:,} cells, {row['exposure']:,.1f} policy-years"
        for row in by.head(5).iter_rows(named=True)
    ]
    if by.height > len(faults):
        faults.append(f"and {by.height - len(faults):,} more")
    first, last = table.rates.select(pl.min("age"), pl.max("age").alias("last")).row(0)
    raise InputError(
        f"{table.name} has no rate for {lost.height:,} of {experience.cells.height:,} cells "
        f"({lost['exposure'].sum():,.1f} policy-years); it is by {', '.join(table.keys)}, ages "
        f"{first} to {last}",
        faults=faults,
        do="leave them out by name with experience.where(...), or take a table that has them",
    )
