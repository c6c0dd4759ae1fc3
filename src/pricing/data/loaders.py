"""Data sets that come with a library, as tables of the contracts."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from pricing.errors import InputError, nearest

__all__ = ["read_loader"]


def read_loader(name: str) -> pl.DataFrame:
    """Load a bundled data set by name.

    Raises
    ------
    InputError
        Where there is no such loader, with the nearest.

    Examples
    --------
    >>> read_loader("randhie").height
    20190
    """
    if name not in _LOADERS:
        raise InputError(f"there is no loader {name!r}{nearest(name, _LOADERS)}")
    return _LOADERS[name]()


def _randhie() -> pl.DataFrame:
    """Person-years of the RAND Health Insurance Experiment, 1974 to 1982 (20,190 rows).

    ``claims`` are outpatient visits. The published covariates stay as they are; four rating
    factors are read from them. ``physlm`` is 0 or 1 for 19,138 rows and a fraction between
    0.02 and 0.20 for 1,052 rows whose answer was imputed; ``limitation`` is "yes" from 0.5,
    so an imputed answer counts as none, which it most probably is. ``coinsurance`` is
    exp(``lncoins``) - 1, to the whole percent.

    The table has no person number. ``person_id`` is rebuilt: rows that follow each other with the
    same covariates, which were all fixed when a person enrolled, are taken as one person: 5,294
    against the experiment's 5,912, as some siblings fall together. Errors clustered by them are
    as large as by the experiment's own numbers, or up to 7 % larger.

    Source: RAND Health Insurance Experiment, as used in Cameron and Trivedi (2005),
    "Microeconometrics: Methods and Applications"; public domain, bundled with statsmodels.
    """
    from statsmodels.datasets import randhie

    table = randhie.load_pandas().data
    raw = pl.DataFrame({name: table[name].to_numpy() for name in table.columns})
    covariates = [name for name in raw.columns if name != "mdvis"]

    def yes(flag: pl.Expr) -> pl.Expr:
        return pl.when(flag).then(pl.lit("yes")).otherwise(pl.lit("no"))

    group = pl.lit("excellent")
    for column, level in (("hlthg", "good"), ("hlthf", "fair"), ("hlthp", "poor")):
        group = pl.when(pl.col(column) == 1).then(pl.lit(level)).otherwise(group)
    percent = pl.col("lncoins").exp().sub(1).round().cast(pl.Int64)
    return raw.select(
        pl.int_range(1, pl.len() + 1, dtype=pl.Int64).cast(pl.String).alias("person_year_id"),
        pl.struct(covariates).rle_id().cast(pl.String).alias("person_id"),
        pl.lit(1.0).alias("exposure"),
        pl.col("mdvis").cast(pl.Int64).alias("claims"),
        group.alias("health_group"),
        pl.format("{}%", percent).alias("coinsurance"),
        yes(pl.col("idp") == 1).alias("deductible"),
        yes(pl.col("physlm") >= 0.5).alias("limitation"),
        pl.col("disea").cast(pl.Float64).alias("chronic_diseases"),
        *[pl.col(name).cast(pl.Float64) for name in covariates],
    )


_LOADERS: dict[str, Callable[[], pl.DataFrame]] = {"randhie": _randhie}
