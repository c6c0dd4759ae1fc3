"""Claim frequency: claims per policy-year by rating factor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pricing.claims.rating import Errors, RatingModel
from pricing.claims.relativities import Options, fit_rating
from pricing.errors import InputError
from pricing.estimate.constraints import Direction
from pricing.estimate.families import Poisson, QuasiPoisson
from pricing.estimate.family import Family
from pricing.estimate.overdispersion import negative_binomial
from pricing.estimate.response import RESPONSES
from pricing.experience.cells import Experience

__all__ = ["Errors", "Frequency", "fit_frequency"]

CountFamily = Literal["poisson", "quasi_poisson", "negative_binomial"]
Alpha = float | Literal["moments", "likelihood"]


class Frequency(RatingModel):
    """A claim-frequency model: claims per policy-year by rating factor."""

    kind = "frequency"


def fit_frequency(
    experience: Experience,
    formula: str,
    *,
    family: CountFamily = "poisson",
    alpha: Alpha = "moments",
    base: Mapping[str, str] | None = None,
    errors: Errors = "robust",
    level: float = 0.95,
    weight: str | None = None,
    offset: str | None = None,
    monotone: Mapping[str, Direction] | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
) -> Frequency:
    """Fit claim frequency by rating factor: log link, exposure as weight of the rate.

    The fit runs on cells and equals the row-level fit: coefficients, model-based and robust errors,
    deviance and Pearson χ² (see :mod:`pricing.experience.cells`).

    Parameters
    ----------
    experience : Experience
        Cells that carry the formula's keys.
    formula : str
        Factors, covariates and splines, ``"age_band + sex + sex:tier + ns(age, 4)"``; see
        :func:`pricing.estimate.design.parse`.
    family : {"poisson", "quasi_poisson", "negative_binomial"}
        Quasi-Poisson has the coefficients of Poisson, model-based errors times √dispersion and no
        likelihood. The negative binomial (NB2) is exact where all rows of a cell have one
        exposure; the basis says whether they have.
    alpha : float, "moments" or "likelihood"
        α of the negative binomial, Var n = μ + αμ²; see
        :func:`pricing.estimate.overdispersion.negative_binomial`.
    base : mapping of str to str, optional
        Base level by factor; else the level with the largest exposure.
    errors : {"robust", "model", "quasi"}
        Which covariance the intervals and tests use: the sandwich (right when rows are
        independent, whatever their dispersion), the family's, or Poisson times dispersion.
        Intervals are never narrower than the family's, so that a level of few rows is not taken
        for certain. Repeated rows of a person are taken as independent; the basis says so.
    level : float
        Confidence level.
    weight : str, optional
        Numeric key that multiplies the log-likelihood of a row, such as less for older years.
    offset : str, optional
        Numeric key added to ln(rate) with the coefficient one, such as the log of a manual rate;
        scoring needs it too.
    monotone : mapping of str to {"increasing", "decreasing"}, optional
        Factors whose relativities keep the order of their levels.
    bounds : mapping of str to (lower, upper), optional
        Limits of a factor's relativities. Where an order or a limit binds, the result has no
        intervals and no tests, and says so.

    Returns
    -------
    Frequency

    Raises
    ------
    InputError
        For terms that are not keys, levels without a claim, no convergence.

    Notes
    -----
    log(E[n]/e) = Xβ; relativity = exp(β); interval exp(β ± z·se). McCullagh and Nelder (1989),
    Generalized Linear Models, section 6.2.

    Claims per policy-year with exposure as **weight** and claims with log exposure as **offset**
    are the same Poisson fit. For no other family are they: a weight divides the variance of the
    rate by e, V(λ)/e; an offset gives the count the variance V(eλ). The two agree where
    V(eλ)/e² = V(λ)/e, which is V(λ) ∝ λ. The negative binomial is fitted with the offset.

    Examples
    --------
    >>> import polars as pl
    >>> rows = pl.DataFrame({"sex": ["f", "f", "m"], "exposure": [1.0, 1.0, 1.0], "claims": [1, 1, 3]})
    >>> model = fit_frequency(Experience.collect(rows, ["sex"]), "sex")
    >>> model.coefficients.round(6).tolist()
    [0.0, 1.098612]
    """
    notes: tuple[str, ...] = ()
    chosen: Family
    if family == "negative_binomial":
        options = Options(base=base, weight=weight, offset=offset)
        chosen, said = negative_binomial(
            formula, experience, alpha, base=base, prior=weight, offset=options.offset
        )
        notes = (said,)
    elif family in ("poisson", "quasi_poisson"):
        chosen = Poisson() if family == "poisson" else QuasiPoisson()
    else:
        raise InputError(
            f"family {family!r} is not offered: poisson, quasi_poisson, negative_binomial"
        )
    options = Options(
        base=base,
        errors=errors,
        level=level,
        weight=weight,
        offset=offset,
        monotone=monotone,
        bounds=bounds,
        notes=notes,
    )
    return fit_rating(Frequency, experience, formula, chosen, RESPONSES["frequency"], options)
