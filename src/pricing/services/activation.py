"""Services that an illness sets off: how many insured are struck, by age and sex.

China's critical-illness tables of 2020 give first diagnoses a year: CI4 of 28 severe illnesses, and
the ratio of minor to severe cases. A plan that promises more illnesses than the table has needs a
factor, which is the user's: no source was found for it.
"""

from __future__ import annotations

from typing import Literal

import polars as pl

from pricing.data.rates import RateTable, rate_table
from pricing.errors import InputError
from pricing.regulation.check import is_number
from pricing.services.service import Service

__all__ = ["SCOPE_NOTE", "UNIT_COST_NOTE", "activated_service", "activation_rates"]

SEVERE, DISEASES = "ci4", 28
SCOPE_NOTE = (
    "the table counts first diagnoses of 28 severe illnesses, and minor ones by their ratio to the "
    "severe; a wider scope (such as 120 severe and 60 mild) is a factor given by hand, 1 where not given"
)
UNIT_COST_NOTE = (
    "unit costs are inputs: no Chinese source of green-channel or consultation costs was found"
)
Beyond = Literal["last", "none"]


def activation_rates(
    *,
    severe_scope: float = 1.0,
    mild_scope: float = 1.0,
    mild_beyond: Beyond = "last",
    table: str = SEVERE,
) -> RateTable:
    """First diagnoses per insured-year by age and sex: severe × scope + minor × scope.

    Parameters
    ----------
    severe_scope : float
        Factor for severe illnesses beyond the table's 28; 1 keeps to the table.
    mild_scope : float
        Factor on the minor ones; 0 leaves them out.
    mild_beyond : {"last", "none"}
        Minor-to-severe ratios are printed to age 60: beyond, the last one holds, or there are none.
    table : str
        Of the 2020 tables, such as ``"ci4"`` (28 severe illnesses) or ``"ci3"`` (six of them).

    Returns
    -------
    RateTable
        By sex and age, first diagnoses per insured-year, named with its scope.

    Raises
    ------
    InputError
        For scopes below zero or rates that leave 0 to 1 with them.

    Notes
    -----
    i(x) = severe_scope·CI(x) + mild_scope·CI(x)·minor(x). Source: China critical-illness incidence
    tables (2020) of the China Association of Actuaries; see ``docs/reference_tables.md``. These are
    first diagnoses of the insured: a person struck twice is counted once.

    Examples
    --------
    >>> rates = activation_rates(mild_scope=0.0)
    >>> pl.DataFrame({"sex": ["male"], "age": [40]}).select(rates.rate()).item()
    0.002299
    >>> both = activation_rates()  # 2.299 per mille severe, 37.77 % of that minor
    >>> round(pl.DataFrame({"sex": ["male"], "age": [40]}).select(both.rate()).item(), 9)
    0.003167332
    """
    for what, scope in (("severe_scope", severe_scope), ("mild_scope", mild_scope)):
        if not is_number(scope) or scope < 0:
            raise InputError(f"{what} must be zero or more, got {scope!r}")
    if mild_beyond not in ("last", "none"):
        raise InputError(f"mild_beyond is 'last' or 'none', got {mild_beyond!r}")
    severe, minor = rate_table("cn_ci_2020", table), rate_table("cn_ci_2020_minor")
    last = int(minor.rates.select(pl.max("age")).item())
    beyond = pl.col("age") > last
    ratio = minor.rate(age=pl.col("age").clip(upper_bound=last))
    if mild_beyond == "none":
        ratio = pl.when(beyond).then(0.0).otherwise(ratio)
    rates = severe.rates.with_columns(rate=pl.col("rate") * (severe_scope + mild_scope * ratio))
    return RateTable(
        name=f"{severe.name} × {severe_scope:g} + minor × {mild_scope:g}",
        rates=rates,
        source=f"{severe.source}; {minor.source}; minor beyond {last}: {mild_beyond}",
        warning=severe.warning,
    )


def activated_service(
    name: str,
    *,
    unit_cost: float,
    uptake: float,
    severe_scope: float = 1.0,
    mild_scope: float = 1.0,
    mild_beyond: Beyond = "last",
    user_share: float = 0.0,
    fixed_cost: float = 0.0,
) -> Service:
    """Make a service that a first diagnosis sets off, such as a green channel.

    Parameters
    ----------
    name, unit_cost, uptake, user_share, fixed_cost
        As :class:`pricing.services.service.Service` takes them; ``unit_cost`` per activated case.
    severe_scope, mild_scope, mild_beyond
        As :func:`activation_rates` takes them.

    Examples
    --------
    >>> channel = activated_service("重疾绿通", unit_cost=3000.0, uptake=0.5, mild_scope=0.0)
    >>> round(pl.DataFrame({"sex": ["male"], "age": [40]}).select(channel.rate()).item(), 9)
    0.0011495
    """
    rates = activation_rates(
        severe_scope=severe_scope, mild_scope=mild_scope, mild_beyond=mild_beyond
    )
    return Service(
        name=name, use=rates, unit_cost=unit_cost, uptake=uptake, user_share=user_share,
        fixed_cost=fixed_cost,
    )  # fmt: skip
