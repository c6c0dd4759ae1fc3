"""What a mortality table says at once: years to live, and its last age beside other causes."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from pricing.data.rates import RateTable
from pricing.errors import InputError

__all__ = ["close_share", "life_expectancy"]


def life_expectancy(table: RateTable) -> pl.DataFrame:
    """Complete expectation of life at every age of a mortality table that is closed.

    Parameters
    ----------
    table : RateTable
        Probabilities of death within a year, by age and perhaps sex; 1 at the last age.

    Returns
    -------
    polars.DataFrame
        ``sex`` where the table has it, ``age`` and ``years``.

    Raises
    ------
    InputError
        For a table by duration, one that is not of rates, and one not closed at its last age.

    Notes
    -----
    eₓ = ½ + Σ_{t≥1} ₜpₓ, ₜpₓ = Π_{s<t} (1 − q_{x+s}): deaths fall in the middle of the year
    (Bowers et al. 1997, Actuarial Mathematics, 2nd ed., section 3.5). In the last year too, so
    that a life of 105 under a table that ends at 105 has half a year.

    Examples
    --------
    >>> from pricing.data.rates import rate_table
    >>> years = life_expectancy(rate_table("cn_life_2025", "cl4")).filter(pl.col("age") == 0)
    >>> years.with_columns(pl.col("years").round(2)).rows()
    [('female', 0, 85.47), ('male', 0, 81.18)]
    """
    if "duration" in table.keys or table.measure != "rate":
        raise InputError("expects probabilities of death by age alone", where=table.name)
    by = [key for key in table.keys if key != "age"]
    last = pl.col("age") == (pl.col("age").max().over(by) if by else pl.col("age").max())
    ends = table.rates.filter(last != (pl.col("rate") == 1))
    if not ends.is_empty():
        raise InputError(
            f"must have the rate 1 at its last age and only there; it is {ends['rate'][0]:g} at "
            f"age {ends['age'][0]}",
            where=table.name,
            do="close the table at the age where everyone is taken to die",
        )
    alive = (1 - pl.col("rate")).cum_prod()
    lived = alive.cum_sum(reverse=True) / alive.shift(1, fill_value=1.0)
    years = (lived + 0.5).over(by) if by else lived + 0.5
    return table.rates.select(*by, "age", years=years)


def close_share(share: RateTable, incidence: RateTable, mortality: RateTable) -> RateTable:
    """Add to a table of shares of deaths the last age of the mortality table.

    There everyone leaves within the year, by critical illness or by another death, so the share
    k of deaths that critical illness causes follows from the other two.

    Parameters
    ----------
    share : RateTable
        k, share of deaths that critical illness causes, such as ``cn_ci_2020_k``.
    incidence, mortality : RateTable
        i, first incidence of critical illness, and q, probability of death, per year.

    Returns
    -------
    RateTable
        ``share`` with the ages at which q is 1 and k was not given.

    Raises
    ------
    InputError
        Where nothing is to add, or k would not lie in 0 to 1.

    Notes
    -----
    i + q − kq = 1 at the last age, as the annex of 中精协发〔2020〕12号 (2020) has it, hence
    k = (i + q − 1) / q.

    Examples
    --------
    >>> from pricing.data.rates import rate_table
    >>> k = close_share(rate_table("cn_ci_2020_k", "k2"), rate_table("cn_ci_2020", "ci4"),
    ...                 rate_table("cn_life_2025", "cl2"))
    >>> k.rates.filter(pl.col("age") == 105)["rate"].round(4).to_list()
    [0.1318, 0.1977]
    """
    on = list(share.keys)
    if list(incidence.keys) != on or list(mortality.keys) != on:
        raise InputError(
            f"the tables are by different keys: {on}, {list(incidence.keys)}, {list(mortality.keys)}"
        )
    last = (
        mortality.rates.filter(pl.col("rate") == 1)
        .join(share.rates, on=on, how="anti")
        .join(incidence.rates.rename({"rate": "i"}), on=on)
        .select(*on, rate=(pl.col("i") + pl.col("rate") - 1) / pl.col("rate"))
    )
    if last.is_empty():
        raise InputError(
            f"{share.name} has nothing to add: no age at which {mortality.name} is 1 lacks a share "
            f"and has a rate in {incidence.name}"
        )
    return replace(share, rates=pl.concat([share.rates, last]))
