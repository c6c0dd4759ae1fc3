"""Pure premium: claim amount per policy-year by rating factor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pricing.claims.rating import Errors, RatingModel
from pricing.claims.relativities import Options, fit_rating
from pricing.errors import InputError
from pricing.estimate.constraints import Direction
from pricing.estimate.families import Gamma, InverseGaussian, QuasiPoisson, Tweedie
from pricing.estimate.family import Family
from pricing.estimate.response import RESPONSES
from pricing.experience.cells import Experience

__all__ = ["PurePremium", "fit_pure_premium"]


class PurePremium(RatingModel):
    """A pure-premium model: claim amount per policy-year by rating factor."""

    kind = "pure_premium"


def fit_pure_premium(
    experience: Experience,
    formula: str,
    *,
    power: float = 1.5,
    base: Mapping[str, str] | None = None,
    errors: Errors = "robust",
    level: float = 0.95,
    weight: str | None = None,
    offset: str | None = None,
    monotone: Mapping[str, Direction] | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
) -> PurePremium:
    """Fit the claim amount per policy-year: log link, exposure as weight, variance φμᵖ/e.

    Parameters
    ----------
    experience : Experience
        Cells collected with ``amount=``.
    formula : str
        As in :func:`pricing.claims.models.fit_frequency`.
    power : float
        p, from 1 to 3: 1 over-dispersed Poisson, between 1 and 2 Tweedie (a Poisson number of
        gamma claims), 2 gamma, 3 inverse Gaussian; a quasi-likelihood outside 1 < p < 2, as
        amounts of zero are in. :func:`pricing.claims.power.profile_power` finds it.
    base, errors, level, weight, offset, monotone, bounds
        As in :func:`pricing.claims.models.fit_frequency`.

    Returns
    -------
    PurePremium
        The deviance is there where the experience was collected with
        :func:`pricing.estimate.families.saturated_amount` among its sums, as its saturated term
        depends on p; ``deviance_explained`` is always exact. The log-likelihood needs the rows.

    Raises
    ------
    InputError
        For cells without amounts, a power outside 1 to 3, and as the fit.

    Notes
    -----
    Exposure is a **weight** on the amount per policy-year. Taking it as an **offset** on the
    amount is another model, Var a = φ(eμ)ᵖ instead of φeμᵖ: the same at p = 1 only. The weight
    is additive: a policy-year split in two has the same fit. Jørgensen and Paes de Souza (1994),
    Fitting Tweedie's compound Poisson model to insurance claims data.

    Examples
    --------
    >>> import polars as pl
    >>> rows = pl.DataFrame({"tier": ["a", "a", "b", "b"], "exposure": 1.0, "claims": [0, 1, 1, 1],
    ...                      "amount": [0.0, 200.0, 150.0, 250.0]})
    >>> model = fit_pure_premium(Experience.collect(rows, ["tier"], amount="amount"), "tier")
    >>> model.relativities("tier")["relativity"].round(6).to_list()
    [1.0, 2.0]
    """
    if not 1 <= power <= 3:
        raise InputError(
            f"power {power} is not offered: from 1 to 3", do="1 to 2 for amounts with zeros"
        )
    families: Mapping[float, Family] = {1: QuasiPoisson(), 2: Gamma(), 3: InverseGaussian()}
    options = Options(
        base=base,
        errors=errors,
        level=level,
        weight=weight,
        offset=offset,
        monotone=monotone,
        bounds=bounds,
        notes=(f"variance of the amount per policy-year: φ·mean^{power:g}, exposure as weight",),
    )
    chosen = families.get(power, Tweedie(float(power)))
    model = fit_rating(PurePremium, experience, formula, chosen, RESPONSES["pure_premium"], options)
    facts = {**model.facts, "power": float(power)}
    return replace(model, facts=facts, details={**model.details, "power": float(power)})
