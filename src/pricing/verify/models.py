"""Models of every family on cells beside statsmodels on the rows, figure by figure."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cache

import numpy as np
import polars as pl

from pricing.claims.models import fit_frequency
from pricing.claims.occurrence import fit_occurrence
from pricing.claims.pure_premium import fit_pure_premium
from pricing.claims.rating import RatingModel
from pricing.claims.severity import fit_severity
from pricing.data.sources import Source, read_table
from pricing.estimate.design import Floats
from pricing.experience.cells import Experience

__all__ = ["families"]

Found = tuple[str, Mapping[str, str], Mapping[str, float]]
KEYS = ["health_group", "coinsurance", "limitation", "quarters"]
FORMULA = "health_group * limitation + coinsurance"


@cache
def families() -> list[Found]:
    """Fit gamma, inverse Gaussian, log-normal, Tweedie, logit and negative binomial, both ways.

    The rows are every fifth person-year of the RAND Health Insurance Experiment; the amounts are made for
    the comparison, heavy-tailed and of several visits a row, and exposures are cut to quarters.

    Examples
    --------
    >>> source, printed, ours = families()[0]
    >>> source
    'statsmodels, GLM on rows: gamma'
    """
    rows = _rows()
    seen = Experience.collect(rows, KEYS, amount="amount")
    paid = rows.filter(pl.col("claims") > 0)
    e, n, a = (rows[c].to_numpy().astype(float) for c in ("exposure", "claims", "amount"))
    pn, pa = (paid[c].to_numpy().astype(float) for c in ("claims", "amount"))
    nb = fit_frequency(seen, FORMULA, family="negative_binomial", alpha=1.5)
    return [
        _beside("gamma", fit_severity(seen, FORMULA), paid, pa / pn, weight=pn),
        _beside(
            "inverse Gaussian",
            fit_severity(seen, FORMULA, family="inverse_gaussian"),
            paid,
            pa / pn,
            weight=pn,
        ),
        _beside("log-normal", fit_severity(seen, FORMULA, family="log_normal"), paid, np.log(pa)),
        _beside("Tweedie 1.5", fit_pure_premium(seen, FORMULA), rows, a / e, weight=e),
        _beside("logit", fit_occurrence(seen, FORMULA), rows, (a > 0).astype(float)),
        _beside("negative binomial 1.5", nb, rows, n, offset=np.log(e)),
    ]


def _rows() -> pl.DataFrame:
    rows = read_table(Source(loader="randhie")).gather_every(5)
    rng = np.random.default_rng(20240601)
    claims = rows["claims"].to_numpy()
    amount = rng.gamma(0.8 * np.maximum(claims, 1), 40.0) * rng.lognormal(0.0, 0.7, len(claims))
    quarters = rng.integers(1, 5, len(claims)) / 4
    return rows.with_columns(
        exposure=pl.Series(quarters),
        quarters=pl.Series(quarters),
        amount=pl.Series(np.where(claims > 0, amount, 0.0)),
    )


def _beside(
    name: str,
    model: RatingModel,
    rows: pl.DataFrame,
    response: Floats,
    *,
    weight: Floats | None = None,
    offset: Floats | None = None,
) -> Found:
    """Coefficients, model-based and robust errors and dispersion, nine digits of each."""
    import statsmodels.api as sm

    log = sm.families.links.Log()
    family = {
        "gamma": sm.families.Gamma(log),
        "inverse Gaussian": sm.families.InverseGaussian(log),
        "log-normal": sm.families.Gaussian(),
        "Tweedie 1.5": sm.families.Tweedie(log, var_power=1.5),
        "logit": sm.families.Binomial(),
        "negative binomial 1.5": sm.families.NegativeBinomial(alpha=1.5),
    }[name]
    glm = sm.GLM(response, model.values(rows), family=family, var_weights=weight, offset=offset)
    options = {"tol": 1e-14, "tol_criterion": "params", "maxiter": 300}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns where it reaches the last bit before its limit
        plain, robust = glm.fit(**options), glm.fit(**options, cov_type="HC0")
    theirs = {f"{name} dispersion": plain.pearson_chi2 / plain.df_resid}
    ours = {f"{name} dispersion": float(model.facts["dispersion"])}
    for kind, fit in (("std error", plain), ("robust error", robust)):
        errors = np.sqrt(np.diag(model.covariance("model" if kind == "std error" else "robust")))
        for column, value, error in zip(model.columns, fit.bse, errors, strict=True):
            theirs[f"{name} {kind} {column.name}"] = value
            ours[f"{name} {kind} {column.name}"] = float(error)
    for column, value, beta in zip(model.columns, plain.params, model.coefficients, strict=True):
        theirs[f"{name} {column.name}"] = value
        ours[f"{name} {column.name}"] = float(beta)
    printed = {key: f"{float(value):.8e}" for key, value in theirs.items()}
    return f"statsmodels, GLM on rows: {name}", printed, ours
