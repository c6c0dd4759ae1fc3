"""Published Poisson frequency models, refitted on cells."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from pricing.claims.models import Errors, Frequency, fit_frequency
from pricing.data.sources import Source, read_table
from pricing.data.tables import reference_table, source_of
from pricing.experience.cells import Experience

__all__ = ["dobson", "randhie", "ships"]

Found = tuple[str, Mapping[str, str], Mapping[str, float]]


def randhie() -> Found:
    """Refit the Poisson model of outpatient visits in the RAND Health Insurance Experiment.

    Examples
    --------
    >>> source, printed, ours = randhie()
    >>> round(ours["randhie lncoins"], 6)
    -0.052535
    """
    covariates = ["lncoins", "idp", "lpi", "fmde", "physlm", "disea", "hlthg", "hlthf", "hlthp"]
    rows = read_table(Source(loader="randhie")).select("exposure", "claims", *covariates)
    model = fit_frequency(Experience.collect(rows, covariates), " + ".join(covariates))
    printed = {
        "randhie (intercept)": "0.7004",
        "randhie lncoins": "-0.052535",
        "randhie idp": "-0.247087",
        "randhie lpi": "0.035290",
        "randhie fmde": "-0.0346",
        "randhie physlm": "0.2717",
        "randhie disea": "0.0339",
        "randhie hlthg": "-0.0126",
        "randhie hlthf": "0.0541",
        "randhie hlthp": "0.2061",
    }
    source = "statsmodels documentation, discrete choice models: Poisson on randhie"
    return source, printed, _named("randhie", model)


def ships() -> Found:
    """Refit McCullagh and Nelder's model of wave damage to ships, a rate with an offset.

    Examples
    --------
    >>> round(ships()[2]["ships deviance"], 2)
    38.7
    """
    model = _fit(
        reference_table("ships"),
        exposure="service",
        claims="incidents",
        base={"type": "A", "year": "1960-64", "period": "1960-74"},
        errors="quasi",
    )
    printed = {
        "ships (intercept)": "-6.406",
        "ships type[B]": "-0.543",
        "ships type[C]": "-0.687",
        "ships type[D]": "-0.076",
        "ships type[E]": "0.326",
        "ships year[1965-69]": "0.697",
        "ships year[1970-74]": "0.818",
        "ships year[1975-79]": "0.453",
        "ships period[1975-79]": "0.384",
        "ships deviance": "38.70",
        "ships dispersion": "1.69",
    }
    return source_of("ships"), printed, _named("ships", model)


def dobson() -> Found:
    """Refit Dobson's counts by outcome and treatment, as R prints them.

    Examples
    --------
    >>> round(dobson()[2]["dobson aic"], 2)
    56.76
    """
    rows = reference_table("dobson").with_columns(
        pl.col("outcome", "treatment").cast(pl.String), exposure=pl.lit(1.0)
    )
    model = _fit(
        rows,
        exposure="exposure",
        claims="count",
        base={"outcome": "1", "treatment": "1"},
        errors="model",
    )
    printed = {
        "dobson (intercept)": "3.045",
        "dobson outcome[2]": "-0.4543",
        "dobson outcome[3]": "-0.2930",
        "dobson std error (intercept)": "0.1709",
        "dobson std error outcome[2]": "0.2022",
        "dobson std error outcome[3]": "0.1927",
        "dobson std error treatment[2]": "0.2000",
        "dobson deviance": "5.1291",
        "dobson null_deviance": "10.5814",
        "dobson aic": "56.76",
    }
    return f"{source_of('dobson')}; as printed by R, help(glm)", printed, _named("dobson", model)


def _fit(
    rows: pl.DataFrame, *, exposure: str, claims: str, base: Mapping[str, str], errors: Errors
) -> Frequency:
    seen = Experience.collect(rows, list(base), exposure=exposure, claims=claims)
    return fit_frequency(seen, " + ".join(base), base=base, errors=errors)


def _named(data: str, model: Frequency) -> dict[str, float]:
    """Name every figure of a fit that a book may print."""
    ours = {}
    errors = model.covariance("model").diagonal() ** 0.5
    for column, value, error in zip(model.columns, model.coefficients, errors, strict=True):
        ours[f"{data} {column.name}"] = float(value)
        ours[f"{data} std error {column.name}"] = float(error)
    for name in ("deviance", "null_deviance", "pearson", "dispersion", "aic"):
        ours[f"{data} {name}"] = float(model.facts[name])
    return ours
