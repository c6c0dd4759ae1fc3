"""Row-exact inference from cells: errors, dispersion, deviance, tests per factor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.linalg import cho_factor, cho_solve
from scipy.special import chdtrc

from pricing.errors import InputError
from pricing.estimate.design import Column, Design, Floats, intercept
from pricing.estimate.families import NegativeBinomial
from pricing.estimate.glm import GlmFit, maximise
from pricing.experience.cells import Experience

__all__ = ["Inference", "infer", "wald_tests"]


Statistic = float | int | None
ROUNDING = 32 * float(np.finfo(float).eps)


@dataclass(frozen=True)
class Inference:
    """What the rows would have said about the fit, computed from the cells.

    Attributes
    ----------
    covariance_model : array, columns × columns
        φ(X'WX)⁻¹, the inverse expected information times the dispersion (one for Poisson,
        binomial and negative binomial): right if the family is.
    covariance_robust : array, columns × columns
        Sandwich (Huber 1967, White 1982; HC0), the rows' squared scores between two inverses of
        the observed information: right under any dispersion when rows are independent. NaN for
        aliased columns.
    bread : array, columns × columns
        Inverse observed information.
    statistics : dict
        rows, parameters, degrees_of_freedom, deviance, null_deviance, deviance_explained (their
        difference), pearson, dispersion (Pearson), log_likelihood, aic, bic; None where the cells
        do not carry it.
    """

    covariance_model: Floats
    covariance_robust: Floats
    bread: Floats
    statistics: dict[str, Statistic]


def infer(
    design: Design, fit: GlmFit, experience: Experience, *, covariance: bool = True
) -> Inference:
    """Compute errors and fit statistics of a fit as if on rows.

    The formulas stand in :mod:`pricing.estimate.response` and :mod:`pricing.estimate.families`.

    Parameters
    ----------
    design, fit, experience
        As fitted.
    covariance : bool
        False for the statistics alone: a penalised fit has no errors.

    Raises
    ------
    InputError
        Where there are no more rows than parameters.

    Examples
    --------
    >>> from pricing.estimate.design import design
    >>> from pricing.estimate.glm import fit_poisson
    >>> rows = pl.DataFrame({"exposure": [1.0, 1.0, 2.0], "claims": [1, 0, 3]})
    >>> seen = Experience.collect(rows.with_columns(all=pl.lit("x")), ["all"])
    >>> x = design("1", seen)
    >>> round(infer(x, fit_poisson(x, seen), seen).statistics["pearson"], 12)
    1.5
    """
    family, s, mean = fit.family, fit.sums, fit.rate
    kept = np.flatnonzero(~fit.aliased)
    matrix = design.keep(~fit.aliased)
    rows, parameters = int(experience.values(fit.response.rows).sum()), len(kept)
    if rows <= parameters:
        raise InputError(f"{rows} rows cannot carry {parameters} parameters")
    variance = family.variance(mean, s.unit)
    squares = s.total_squared - 2 * mean * s.total_weight + mean**2 * s.weight_squared
    around = s.squared_per_weight - 2 * mean * s.total + mean**2 * s.weight
    pearson = float((np.maximum(around, 0) / variance).sum())
    dispersion = pearson / (rows - parameters)
    size = len(design.columns)
    statistics: dict[str, Statistic] = {
        "rows": rows,
        "parameters": parameters,
        "degrees_of_freedom": rows - parameters,
        **_likelihood(fit, experience, rows, parameters),
        "pearson": pearson,
        "dispersion": dispersion,
    }
    if not covariance:
        none = np.full((size, size), np.nan)
        return Inference(none, none, none, statistics)
    bread = _inverse(np.asarray(matrix.sandwich(family.expected(mean, s))))
    inner = bread
    if not family.canonical:
        inner = _inverse(np.asarray(matrix.sandwich(family.observed(mean, s))), bread)
    ratio = family.slope(mean) / variance
    meat = np.asarray(matrix.sandwich(np.maximum(squares, 0) * ratio**2))
    return Inference(
        _spread(bread * (dispersion if family.scaled else 1.0), kept, size),
        _spread(inner @ meat @ inner, kept, size),
        _spread(inner, kept, size),
        statistics,
    )


def _likelihood(
    fit: GlmFit, experience: Experience, rows: int, parameters: int
) -> dict[str, Statistic]:
    family, s = fit.family, fit.sums
    loss = family.loss(fit.rate, s)
    null = family.loss(_null_mean(fit), s)
    found: dict[str, Statistic] = {"deviance_explained": 2 * (null - loss)}
    saturated = family.saturated(experience, fit.response)
    names = ("deviance", "null_deviance", "log_likelihood", "aic", "bic")
    if saturated is None:
        return {**dict.fromkeys(names), **found}
    top = float((saturated * s.prior).sum())
    deviance, null_deviance = _above(top, loss), _above(top, null)
    found |= {"deviance": deviance, "null_deviance": null_deviance}
    weighed = bool((s.prior != 1).any())
    known = None if weighed else family.log_likelihood(experience, fit.response, deviance, rows)
    if known is None:
        return {**dict.fromkeys(names), **found}
    likelihood, more = float(known[0]), parameters + known[1]
    return found | {
        "log_likelihood": likelihood,
        "aic": 2 * more - 2 * likelihood,
        "bic": more * float(np.log(rows)) - 2 * likelihood,
    }


def _above(top: float, loss: float) -> float:
    """Twice what the saturated log-likelihood lies above another; nil where that is rounding."""
    found = 2 * (top + loss)
    return found if found > ROUNDING * (abs(top) + abs(loss)) else 0.0


def _null_mean(fit: GlmFit) -> Floats:
    """Means of the intercept alone, with the same offset."""
    s, plain = fit.sums, isinstance(fit.family, NegativeBinomial)
    if not plain and not fit.offset.any():
        return np.full(len(fit.rate), s.total.sum() / s.weight.sum())
    one = intercept(len(fit.rate))
    return maximise(one, s, fit.family, fit.offset)[1]


def wald_tests(columns: Sequence[Column], coefficients: Floats, covariance: Floats) -> pl.DataFrame:
    """Test each term against none, all its coefficients at once (type III, Wald).

    χ² = β_t' V_t⁻¹ β_t on as many degrees of freedom as the term has coefficients. A main effect
    beside its own interaction is tested at the base of the other factor.

    Returns
    -------
    polars.DataFrame
        term, degrees_of_freedom, chi_squared, p_value; null where the covariance is singular, as
        the robust one is where a level has a single row.

    Examples
    --------
    >>> wald_tests([Column("sex", ("sex",), ("m",))], np.array([0.2]), np.array([[0.01]]))["chi_squared"].round(9).to_list()
    [4.0]
    """
    terms = list(dict.fromkeys(c.term for c in columns if c.variables))
    rows: list[tuple[str, int, float | None, float | None]] = []
    for term in terms:
        own = [j for j, c in enumerate(columns) if c.term == term and np.isfinite(coefficients[j])]
        if not own:
            continue
        beta, v = coefficients[own], covariance[np.ix_(own, own)]
        if not np.isfinite(v).all() or np.linalg.matrix_rank(v, hermitian=True) < len(own):
            rows.append((term, len(own), None, None))
            continue
        chi = float(beta @ np.linalg.solve(v, beta))
        rows.append((term, len(own), chi, float(chdtrc(len(own), chi))))
    schema = {
        "term": pl.String,
        "degrees_of_freedom": pl.Int64,
        "chi_squared": pl.Float64,
        "p_value": pl.Float64,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def _inverse(information: Floats, otherwise: Floats | None = None) -> Floats:
    scale = 1 / np.sqrt(np.maximum(np.diag(information), 1e-300))
    try:
        factor = cho_factor(information * np.outer(scale, scale))
    except np.linalg.LinAlgError:
        if otherwise is None:
            raise
        return otherwise
    inverse = cho_solve(factor, np.eye(len(information)))
    return np.asarray(inverse * np.outer(scale, scale))


def _spread(small: Floats, kept: np.ndarray, size: int) -> Floats:
    wide = np.full((size, size), np.nan)
    wide[np.ix_(kept, kept)] = small
    return wide
