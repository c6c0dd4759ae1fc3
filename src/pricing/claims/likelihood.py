"""Likelihood-ratio tests and profile-likelihood intervals of a fitted model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
from scipy.optimize import brentq
from scipy.special import chdtrc, chdtri, fdtrc, fdtri

from pricing.claims.rating import RatingModel
from pricing.claims.severity import claims_with_amounts
from pricing.errors import InputError, nearest
from pricing.estimate.design import Design, Floats, design
from pricing.estimate.families import read_family
from pricing.estimate.glm import GlmFit, fit_glm, maximise
from pricing.estimate.response import RESPONSES
from pricing.experience.cells import Experience

__all__ = ["likelihood_tests", "profile_interval"]


def likelihood_tests(model: RatingModel, experience: Experience) -> pl.DataFrame:
    """Test each term by what the deviance loses without it (type III, likelihood ratio).

    The model is fitted again without the term's own coefficients; a main effect beside its own
    interaction is tested at the base of the other factor, as the Wald test is.

    Parameters
    ----------
    model : RatingModel
        Without penalty or binding constraint.
    experience : Experience
        The cells it was fitted on.

    Returns
    -------
    polars.DataFrame
        term, degrees_of_freedom, statistic, test, p_value. Where the dispersion is one, the test is
        ``chi2``: ΔD. Where it is estimated, ``F``: ΔD/(df·φ) against φ's degrees of freedom.

    Raises
    ------
    InputError
        For a model without inference and cells that are not the model's.

    Notes
    -----
    McCullagh and Nelder (1989), sections 2.3 and 6.2. It takes the family as true: for
    over-dispersed counts use quasi-Poisson, or the robust Wald tests of ``.frames["tests"]``.

    Examples
    --------
    >>> from pricing.claims.models import fit_frequency
    >>> rows = pl.DataFrame({"sex": ["f", "m"] * 2, "exposure": 1.0, "claims": [1, 3, 2, 5]})
    >>> seen = Experience.collect(rows, ["sex"])
    >>> likelihood_tests(fit_frequency(seen, "sex"), seen).select("degrees_of_freedom", pl.col("statistic").round(4)).row(0)
    (1, 2.3583)
    """
    matrix, fit = _again(model, experience)
    family, sums = fit.family, fit.sums
    kept = ~fit.aliased
    full = family.loss(fit.rate, sums)
    rows = []
    for term in dict.fromkeys(c.term for c in matrix.columns if c.variables):
        own = np.array([c.term == term for c in matrix.columns]) & kept
        df = int(own.sum())
        if not df:
            continue
        mean = maximise(matrix.keep(kept & ~own), sums, family, fit.offset)[1]
        lost = max(2 * (family.loss(mean, sums) - full), 0.0)
        if family.scaled:
            left = model.facts["degrees_of_freedom"]
            f = lost / df / model.facts["dispersion"]
            rows.append((term, df, f, "F", float(fdtrc(df, left, f))))
        else:
            rows.append((term, df, lost, "chi2", float(chdtrc(df, lost))))
    schema = {
        "term": pl.String,
        "degrees_of_freedom": pl.Int64,
        "statistic": pl.Float64,
        "test": pl.String,
        "p_value": pl.Float64,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def profile_interval(
    model: RatingModel,
    experience: Experience,
    term: str,
    level: str = "",
    *,
    confidence: float | None = None,
) -> tuple[float, float]:
    """Give the profile-likelihood interval of one relativity.

    It needs no normal coefficient, so it is right for thin levels where ± z·se is not: it is not
    symmetric on the log scale.

    Parameters
    ----------
    model : RatingModel
        Without penalty or binding constraint.
    experience : Experience
        The cells it was fitted on.
    term, level : str
        A row of the model's table; no level for a covariate.
    confidence : float, optional
        The model's own level where left out.

    Returns
    -------
    tuple of float
        Lower and upper relativity; zero or infinite where the likelihood never falls enough.

    Raises
    ------
    InputError
        For a coefficient the model does not have, a model without inference, and other cells.

    Notes
    -----
    The relativities r with D(r) − D̂ ≤ χ²₁ (F₁ times φ where that is estimated), D(r) the least
    deviance with the coefficient held at ln r (Venzon and Moolgavkar 1988).

    Examples
    --------
    >>> from pricing.claims.models import fit_frequency
    >>> rows = pl.DataFrame({"sex": ["f", "m"] * 2, "exposure": 1.0, "claims": [10, 13, 20, 15]})
    >>> seen = Experience.collect(rows, ["sex"])
    >>> found = profile_interval(fit_frequency(seen, "sex"), seen, "sex", "m")
    >>> [round(x, 3) for x in found]
    [0.555, 1.564]
    """
    matrix, fit = _again(model, experience)
    own = [
        j
        for j, c in enumerate(matrix.columns)
        if (c.term, c.level) == (term, level) and not fit.aliased[j]
    ]
    if not own:
        known = [f"{c.term} {c.level}".strip() for c in matrix.columns]
        raise InputError(f"no coefficient {term!r} {level!r}{nearest(f'{term} {level}', known)}")
    j, family, sums = own[0], fit.family, fit.sums
    alpha = 1 - (confidence or model.facts["level"])
    allowed = float(chdtri(1, alpha))
    if family.scaled:
        left = model.facts["degrees_of_freedom"]
        allowed = float(fdtri(1, left, 1 - alpha)) * model.facts["dispersion"]
    unit = np.zeros(len(matrix.columns))
    unit[j] = 1.0
    column = np.asarray(matrix.matrix.matvec(unit))
    kept = ~fit.aliased
    without = kept.copy()
    without[j] = False
    rest = matrix.keep(without)
    start = fit.coefficients[without]
    full, at = family.loss(fit.rate, sums), float(fit.coefficients[j])
    step = float(np.sqrt(model.covariance("model")[j, j]))

    def excess(value: float) -> float:
        mean = maximise(rest, sums, family, fit.offset + value * column, start=start)[1]
        return 2 * (family.loss(mean, sums) - full) - allowed

    low, high = (_edge(excess, at, sign * step) for sign in (-1.0, 1.0))
    return float(np.exp(low)), float(np.exp(high))


def _edge(excess: Callable[[float], float], at: float, step: float) -> float:
    """Walk out until the deviance has risen enough, then close in."""
    out = 1.96
    while excess(at + out * step) < 0:
        out *= 1.6
        if out > 60 or abs(out * step) > 40:
            return float(np.inf * step)
    return float(brentq(excess, at, at + out * step, xtol=1e-10))


def _again(model: RatingModel, experience: Experience) -> tuple[Design, GlmFit]:
    """Fit the model again on its cells, and refuse cells that do not give it."""
    details = model.details
    if details.get("without_inference"):
        raise InputError(f"the model has no inference: {details['without_inference']}")
    seen = claims_with_amounts(experience, model)
    kind = str(details.get("response", "frequency"))
    response = RESPONSES["severity" if kind.startswith("severity") else kind]
    matrix = design(details["formula"], seen, base=details["base"])
    fit = fit_glm(
        matrix,
        seen,
        read_family({"family": "poisson", **details}),
        response,
        prior=details.get("weight"),
        offset=details.get("offset"),
    )
    theirs: Floats = model.coefficients
    same = len(theirs) == len(fit.coefficients) and np.allclose(
        theirs, fit.coefficients, rtol=1e-6, atol=1e-6, equal_nan=True
    )
    if not same:
        raise InputError(
            "the model was not fitted on these cells", do="give the experience it was fitted on"
        )
    return matrix, fit
