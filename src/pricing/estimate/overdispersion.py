"""The α of a negative binomial, from the sums that cells carry.

The log-likelihood in α needs every row's claims and exposure, so it is exact on cells whose rows
are alike in both. The moments need sums only: Σ[(n − μ)² − μ] = αΣμ² over rows, for any exposures
(Cameron and Trivedi 2013, Regression Analysis of Count Data, section 3.3).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from scipy.optimize import minimize_scalar

from pricing.errors import InputError
from pricing.estimate.design import Design, design
from pricing.estimate.families import NegativeBinomial, Poisson, alike
from pricing.estimate.glm import GlmFit, fit_glm
from pricing.estimate.inference import infer
from pricing.estimate.response import RESPONSES
from pricing.experience.cells import Experience

__all__ = ["negative_binomial"]

Alpha = float | Literal["moments", "likelihood"]


def negative_binomial(
    formula: str,
    experience: Experience,
    alpha: Alpha,
    *,
    base: Mapping[str, str] | None = None,
    prior: str | None = None,
    offset: str | None = None,
) -> tuple[NegativeBinomial, str]:
    """Choose the negative binomial of a frequency model, and say how exact it is.

    Parameters
    ----------
    formula : str
        As the model's.
    experience : Experience
        Cells.
    alpha : float, "moments" or "likelihood"
        α itself; or the moments' (with a correction for the coefficients fitted, and for any
        exposures); or the maximum of the likelihood, which needs cells whose rows are alike in
        exposure and claims: collect with both among the keys, under other names.
    base, prior, offset
        As the model's.

    Raises
    ------
    InputError
        For an α that is not above zero, rows that are not over-dispersed, and "likelihood" on
        cells whose rows differ.

    Examples
    --------
    >>> import polars as pl
    >>> rows = pl.DataFrame({"sex": ["f", "m"] * 3, "exposure": 1.0, "claims": [0, 0, 1, 2, 5, 7]})
    >>> family, note = negative_binomial("sex", Experience.collect(rows, ["sex"]), "moments")
    >>> round(family.alpha, 3)
    1.154
    """
    exact = alike(experience)
    said = (
        "negative binomial: each cell has one exposure, the fit is that of the rows"
        if exact
        else "negative binomial: exposures differ within cells; the fit takes Σe²/Σe for e, an "
        "unbiased equation with row-exact robust errors, not the maximum of the row likelihood"
    )
    if isinstance(alpha, (int, float)):
        if not 0 < alpha < np.inf:
            raise InputError(f"alpha must be above zero, got {alpha}", do="use poisson for zero")
        return NegativeBinomial(float(alpha)), f"{said}; α = {alpha:g} given"
    matrix = design(formula, experience, base=base)

    def fitted(family: NegativeBinomial | Poisson) -> GlmFit:
        return fit_glm(
            matrix, experience, family, RESPONSES["frequency"], prior=prior, offset=offset
        )

    start = _moments(experience, fitted(Poisson()), matrix)
    if alpha == "moments":
        value = start
        for _ in range(50):
            new = _moments(experience, fitted(NegativeBinomial(value)), matrix)
            if abs(new - value) < 1e-10 * value:
                break
            value = new
        return NegativeBinomial(value, True), f"{said}; α = {value:.4g} by moments"
    if alpha != "likelihood":
        raise InputError(f"alpha={alpha!r} is not offered: a number, 'moments' or 'likelihood'")
    if not alike(experience, claims=True):
        raise InputError(
            "the likelihood of α needs every row's exposure and claims, and the cells have added "
            "unlike rows",
            do="collect with copies of both columns among the keys, or take alpha='moments'",
        )

    def loss(log_alpha: float) -> float:
        fit = fitted(NegativeBinomial(float(np.exp(log_alpha)), True))
        likelihood = infer(matrix, fit, experience).statistics["log_likelihood"]
        return np.inf if likelihood is None else -likelihood

    at = np.log(start)
    found = minimize_scalar(
        loss, bounds=(at - 4, at + 4), method="bounded", options={"xatol": 1e-8}
    )
    value = float(np.exp(found.x))
    return NegativeBinomial(value, True), f"{said}; α = {value:.4g} by maximum likelihood"


def _moments(experience: Experience, fit: GlmFit, matrix: Design) -> float:
    s, rate = fit.sums, fit.rate
    rows = float(experience.values("rows").sum())
    spread = s.total_squared - 2 * rate * s.total_weight + rate**2 * s.weight_squared
    share = rows / (rows - float((~fit.aliased).sum()))
    mean, square = (rate * s.weight).sum(), (rate**2 * s.weight_squared).sum()
    value = float((spread.sum() * share - mean) / square)
    if not value > 0:
        raise InputError(
            "the claims are not over-dispersed: there is no negative binomial for them",
            do="use family='poisson'",
        )
    return value
