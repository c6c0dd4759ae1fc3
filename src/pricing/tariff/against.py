"""What a tariff expects of an experience: total premium, balance and deviance, by cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pricing.claims.product import Product
from pricing.claims.rating import RatingModel
from pricing.claims.severity import claims_with_amounts
from pricing.errors import InputError
from pricing.estimate.design import Floats
from pricing.estimate.families import Tweedie, read_family
from pricing.estimate.family import Family
from pricing.estimate.response import RESPONSES, Response, Sums
from pricing.experience.cells import Experience
from pricing.tariff.factor import Factor
from pricing.tariff.rates import Tariff

__all__ = ["POWER", "Against", "Rates", "against"]

Codes = npt.NDArray[np.int64]
POWER = 1.5  # of the Tweedie deviance by which steps on a frequency × severity are judged


@dataclass(frozen=True)
class Rates:
    """Base premium and factor tables while they are worked on.

    Attributes
    ----------
    base_premium : float
        Currency per policy-year.
    factors : mapping of str to Factor
        By term, in order.
    held : frozenset of str
        Terms that a step has fixed, which a refit leaves alone.
    """

    base_premium: float
    factors: Mapping[str, Factor]
    held: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Against:
    """An experience as arrays, one value per cell, ready for any rates on the same factors.

    Attributes
    ----------
    experience : Experience
        Cells (for a severity those with amounts).
    codes : mapping of str to array
        Number of each cell's level, by term.
    weight, observed : array
        Exposure (claims, for a severity), and what was observed in the model's unit.
    family, response, sums
        Of the model.
    per_unit : float
        Currency per unit of the model's mean.
    saturated : float, optional
        Saturated term of the deviance; None where the cells do not carry it.
    prior : str, optional
        Key that weighs the log-likelihood.
    """

    experience: Experience
    codes: Mapping[str, Codes]
    weight: Floats
    observed: Floats
    family: Family
    response: Response
    sums: Sums
    per_unit: float
    saturated: float | None
    prior: str | None

    def premium(self, rates: Rates) -> Floats:
        """Premium per policy-year of every cell, unrounded."""
        found = np.full(len(self.weight), rates.base_premium)
        for term, factor in rates.factors.items():
            found *= factor.values[self.codes[term]]
        return found

    def total(self, rates: Rates) -> float:
        """Total premium of the experience, currency."""
        return float((self.weight * self.premium(rates)).sum())

    def by_level(self, rates: Rates, term: str) -> Floats:
        """Total premium of each level of a term, currency."""
        size = len(rates.factors[term].relativities)
        paid = self.weight * self.premium(rates)
        return np.bincount(self.codes[term], weights=paid, minlength=size).astype(np.float64)

    def loss(self, rates: Rates) -> float:
        """Deviance without its saturated term: differences of it are those of the deviance."""
        return 2 * self.family.loss(self.premium(rates) / self.per_unit, self.sums)

    def balance(self, rates: Rates) -> float:
        """Σ expected ÷ Σ observed."""
        return self.total(rates) / (float(self.observed.sum()) * self.per_unit)


def against(
    model: RatingModel | Product, experience: Experience, tariff: Tariff, per_unit: float
) -> Against:
    """Lay an experience out for the tariff of a model.

    Parameters
    ----------
    model : RatingModel or Product
        Names the response and the family; steps on a frequency × severity are judged by the
        Tweedie deviance of power 1.5 of the amounts.
    experience : Experience
        Cells with the tariff's factors.
    tariff : Tariff
        Of the model.
    per_unit : float
        Currency per unit of the model's mean.

    Raises
    ------
    InputError
        For keys and sums that are missing, and cells of levels the tariff does not have.

    Examples
    --------
    >>> import polars as pl
    >>> from pricing.claims.models import fit_frequency
    >>> from pricing.tariff.fitted import tariff_of
    >>> rows = pl.DataFrame({"sex": ["f", "m", "m"], "exposure": [1.0] * 3, "claims": [1, 2, 4]})
    >>> seen = Experience.collect(rows, ["sex"])
    >>> model = fit_frequency(seen, "sex")
    >>> found = against(model, seen, tariff_of(model, per_unit=10.0), 10.0)
    >>> found.observed.tolist(), found.saturated is None
    ([1.0, 6.0], False)
    """
    prior: str | None = None
    family: Family
    if isinstance(model, Product):
        family, response = Tweedie(POWER), RESPONSES["pure_premium"]
    else:
        family, response = read_family(model.details), RESPONSES[model.details["response"]]
        prior = model.details.get("weight")
        if family.link != "log":
            raise InputError(
                f"a {family.name} model is not refined: its likelihood is of logarithms",
                do="fit the severity with family='gamma'",
            )
        experience = claims_with_amounts(experience, model)
    missing = [name for name in tariff.keys if name not in experience.keys]
    if missing:
        raise InputError(f"the experience has no key {', '.join(map(repr, missing))}")
    sums = response.read(experience, prior)
    codes = {f.term: f.codes(experience.cells) for f in tariff.factors}
    faults = [
        f"{term}: {int((code < 0).sum()):,} cells, {experience.values('exposure')[code < 0].sum():,.1f} "
        f"policy-years, such as {_first(experience, term.split(':'), code)}"
        for term, code in codes.items()
        if (code < 0).any()
    ]
    if faults:
        raise InputError(
            "cells of levels the model does not know",
            faults=faults,
            do="refine on the experience the model was fitted on, or leave them out with .where(...)",
        )
    saturated = family.saturated(experience, response)
    observed = experience.values(response.total)
    if not observed.sum() > 0:
        raise InputError(f"there are no {response.events} in the experience")
    return Against(
        experience=experience,
        codes=codes,
        weight=experience.values(response.weight),
        observed=observed,
        family=family,
        response=response,
        sums=sums,
        per_unit=per_unit,
        saturated=None if saturated is None else 2 * float((saturated * sums.prior).sum()),
        prior=prior,
    )


def _first(experience: Experience, names: Sequence[str], code: Codes) -> str:
    row = experience.cells[int(np.argmax(code < 0))].select(names).row(0)
    return " × ".join(map(str, row))
