"""The plan's members as a pool of risk sharing: a class for each band of ages, and those who only pay or only get.

Under the plan all payers bear the same; what they would bear by the rules of :mod:`pricing.sharing` (in
proportion to own cost, by covariance, by conditional mean) needs the law of each member's own loss: one
case a year at most, of the benefit of the age, with the incidence of the age.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from pricing.errors import InputError
from pricing.losses.count_law import binomial_count
from pricing.losses.severity_law import sample_severity
from pricing.mutual_aid.rules import OLDEST, AidRules
from pricing.result.shape import Basis
from pricing.sharing.pool import MemberClass, Pool, member_class, pool_of

__all__ = ["aid_pool"]

WIDTH = 5  # years of a band; benefits cut bands too


def aid_pool(rules: AidRules, cells: pl.DataFrame, *, basis: Basis | None = None) -> Pool:
    """Make the pool of a year: members who pay and are covered by age, the others by class.

    Parameters
    ----------
    rules : AidRules
        Benefit by age. The fee and the caps are no part of the loss shared.
    cells : polars.DataFrame
        Those of :func:`~pricing.mutual_aid.cells.member_cells` with ``incidence``, the probability of
        a case a year, wherever ``covered`` is 1.
    basis : Basis, optional
        Source, period, currency.

    Returns
    -------
    Pool
        Classes such as ``"30-34"`` (pay and are covered), ``"honorary"`` (pay), ``"assisted"``
        (are covered), ``"waiting"`` (pay and wait). Within a class the incidence is its mean.

    Raises
    ------
    InputError
        For columns that lack, covered cells without an incidence of 0 to 1 or without a benefit,
        and where nobody pays or nobody can fall ill.

    Examples
    --------
    >>> from pricing.mutual_aid.rules import aid_rules
    >>> cells = pl.DataFrame({"member_class": ["member", "member", "honorary"], "age": [31, 52, 70],
    ...     "aid_standing": ["in_cover", "in_cover", "paying_only"], "members": [800, 200, 100],
    ...     "pays": [1, 1, 1], "covered": [1, 1, 0], "incidence": [0.001, 0.005, None]})
    >>> pool = aid_pool(aid_rules("xiang_hu_bao"), cells)
    >>> pool.names, pool.members.tolist(), round(pool.expected)
    (['30-34', '50-54', 'honorary'], [800.0, 200.0, 100.0], 340000)
    """
    wanted = ("member_class", "age", "aid_standing", "members", "pays", "covered", "incidence")
    lacking = [name for name in wanted if name not in cells.columns]
    if lacking:
        raise InputError(f"cells of the pool lack {', '.join(lacking)}")
    covered, pays = pl.col("covered") == 1, pl.col("pays") == 1
    held = cells.filter((covered | pays) & (pl.col("members") > 0)).with_columns(
        pl.col("member_class", "aid_standing").cast(pl.String),
        pl.col("incidence").cast(pl.Float64),
    )
    age = held["age"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    held = held.with_columns(benefit=pl.Series(rules.benefit_at(age)).fill_nan(None))
    q = pl.col("incidence")
    odd = held.filter(
        covered & ~(q.is_between(0, 1) & pl.col("benefit").is_not_null()).fill_null(False)
    )
    if not odd.is_empty():
        raise InputError(
            f"{odd.height} cells in cover without an incidence of 0 to 1 or without a benefit, "
            f"{odd['members'].sum():,} members",
            where=rules.name,
            faults=[f"age {age}, incidence {rate}" for age, rate in odd.select("age", "incidence").head(5).rows()],
        )  # fmt: skip
    edges = sorted({*range(0, OLDEST + 1, WIDTH), *(band.age_from for band in rules.benefit)})
    place = np.searchsorted(edges, np.nan_to_num(age), side="right") - 1
    ends = [*edges[1:], OLDEST + 1]
    named = [f"{edges[k]}-{ends[k] - 1}" for k in place.tolist()]
    held = held.with_columns(
        band=pl.when(covered & pays)
        .then(pl.Series(named, dtype=pl.String))
        .when(covered | (pl.col("aid_standing") != "waiting"))
        .then(pl.col("member_class"))
        .otherwise(pl.lit("waiting")),
        first=pl.when(covered & pays).then(pl.Series(place)).otherwise(OLDEST + 1),
        cases=pl.when(covered).then(pl.col("members") * q).otherwise(0.0),
    )
    keys = ["first", "band", "covered", "pays"]
    # who would pay nothing and cannot fall ill has no part in the pool
    held = held.filter(pays | (pl.col("cases") > 0))
    of_class = held.group_by(keys).agg(pl.col("members", "cases").sum()).sort(keys)
    amounts = held.filter(covered).group_by(*keys, "benefit").agg(pl.col("cases").sum()).sort(*keys, "benefit")  # fmt: skip
    classes = [_class(row, amounts) for row in of_class.iter_rows(named=True)]
    if not any(one.count for one in classes):
        raise InputError("nobody can fall ill: nobody in cover, or incidences of zero")
    given = basis or Basis(source=rules.source, currency=rules.currency)
    return pool_of(classes, basis=given)


def _class(row: dict[str, Any], amounts: pl.DataFrame) -> MemberClass:
    """One class of like members; of several benefits each as often as its cases."""
    name, members, pays = row["band"], row["members"], row["pays"] == 1
    mine = amounts.filter((pl.col("band") == name) & (pl.col("cases") > 0))
    if mine.is_empty():
        return member_class(name, members, None, pays=pays)
    law = binomial_count(1, float(mine["cases"].sum()) / members)
    severity = sample_severity(mine["benefit"].to_list(), mine["cases"].to_list())
    return member_class(name, members, law, severity, pays=pays)
