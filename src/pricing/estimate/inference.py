"""Row-exact inference from cells: errors, dispersion, deviance, tests per factor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.linalg import cho_factor, cho_solve
from scipy.special import chdtrc

from pricing.errors import InputError
from pricing.estimate.design import Column, Design, Floats
from pricing.estimate.glm import PoissonFit
from pricing.experience.cells import Experience

__all__ = ["Inference", "infer", "wald_tests"]


@dataclass(frozen=True)
class Inference:
    """What the rows would have said about the fit, computed from the cells.

    Attributes
    ----------
    covariance_model : array, columns × columns
        Inverse Fisher information, (X'WX)⁻¹ with W = eλ: right if claims are Poisson.
    covariance_robust : array, columns × columns
        Sandwich (Huber 1967, White 1982; HC0), Σ over rows of squared scores in the middle: right
        under any dispersion when rows are independent. NaN for aliased columns.
    statistics : dict
        deviance, null_deviance, pearson, degrees_of_freedom, dispersion (Pearson),
        log_likelihood, aic, bic, rows, parameters.
    """

    covariance_model: Floats
    covariance_robust: Floats
    statistics: dict[str, float | int]


def infer(design: Design, fit: PoissonFit, experience: Experience) -> Inference:
    """Compute errors and fit statistics of a Poisson fit as if on rows.

    The formulas stand in the docstring of :mod:`pricing.experience.cells`.

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
    c = {name: experience.values(name) for name in _NEEDED}
    rate, kept = fit.rate, np.flatnonzero(~fit.aliased)
    matrix = design.keep(~fit.aliased)
    rows, parameters = int(c["rows"].sum()), len(kept)
    if rows <= parameters:
        raise InputError(f"{rows} rows cannot carry {parameters} parameters")
    bread = _inverse(np.asarray(matrix.sandwich(c["exposure"] * rate)))
    squares = (
        c["claims_squared"] - 2 * rate * c["claims_exposure"] + rate**2 * c["exposure_squared"]
    )
    meat = np.asarray(matrix.sandwich(np.maximum(squares, 0)))
    expected = c["exposure"] * rate
    deviance = 2 * _sum(c["claims_log_rate"], -c["claims"] * np.log(rate), -c["claims"], expected)
    mean = c["claims"].sum() / c["exposure"].sum()
    null = 2 * _sum(c["claims_log_rate"], -c["claims"] * np.log(mean))
    pearson = _sum(c["claims_squared_per_exposure"] / rate, -2 * c["claims"], expected)
    likelihood = float(c["log_likelihood_saturated"].sum()) - deviance / 2
    statistics: dict[str, float | int] = {
        "rows": rows,
        "parameters": parameters,
        "degrees_of_freedom": rows - parameters,
        "deviance": deviance,
        "null_deviance": null,
        "pearson": pearson,
        "dispersion": pearson / (rows - parameters),
        "log_likelihood": likelihood,
        "aic": 2 * parameters - 2 * likelihood,
        "bic": parameters * float(np.log(rows)) - 2 * likelihood,
    }
    return Inference(
        _spread(bread, kept, len(design.columns)),
        _spread(bread @ meat @ bread, kept, len(design.columns)),
        statistics,
    )


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
        if np.linalg.matrix_rank(v, hermitian=True) < len(own):
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


_NEEDED = (
    "rows",
    "exposure",
    "claims",
    "exposure_squared",
    "claims_exposure",
    "claims_squared",
    "claims_squared_per_exposure",
    "claims_log_rate",
    "log_likelihood_saturated",
)


def _sum(*parts: Floats) -> float:
    return float(sum(part.sum() for part in parts))


def _inverse(information: Floats) -> Floats:
    scale = 1 / np.sqrt(np.diag(information))
    inverse = cho_solve(cho_factor(information * np.outer(scale, scale)), np.eye(len(information)))
    return np.asarray(inverse * np.outer(scale, scale))


def _spread(small: Floats, kept: np.ndarray, size: int) -> Floats:
    wide = np.full((size, size), np.nan)
    wide[np.ix_(kept, kept)] = small
    return wide
