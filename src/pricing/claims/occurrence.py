"""Occurrence: whether a row has any claim amount at all, the first part of a two-part model."""

from __future__ import annotations

from collections.abc import Mapping

from pricing.claims.rating import Errors, RatingModel
from pricing.claims.relativities import Options, fit_rating
from pricing.estimate.constraints import Direction
from pricing.estimate.families import Binomial, alike
from pricing.estimate.response import RESPONSES
from pricing.experience.cells import Experience

__all__ = ["Occurrence", "fit_occurrence"]


class Occurrence(RatingModel):
    """A logit model of any claim amount; relativities are odds ratios."""

    kind = "occurrence"


def fit_occurrence(
    experience: Experience,
    formula: str,
    *,
    base: Mapping[str, str] | None = None,
    errors: Errors = "robust",
    level: float = 0.95,
    weight: str | None = None,
    offset: str | None = None,
    monotone: Mapping[str, Direction] | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
) -> Occurrence:
    """Fit the probability that a row (a person-year) has an amount above zero: binomial, logit.

    Parameters
    ----------
    experience : Experience
        Cells collected with ``amount=``; every row is one trial, whatever its exposure. Where
        exposures differ the basis says so: a part of a year has less chance to claim, so collect
        whole years, or put exposure among the keys and in the formula.
    formula, base, errors, level, weight, offset, monotone, bounds
        As in :func:`pricing.claims.models.fit_frequency`.

    Returns
    -------
    Occurrence
        ``rate`` is the probability; relativities are odds ratios.

    Raises
    ------
    InputError
        For cells without amounts, levels where none or all rows have an amount (perfect
        separation), and as the fit.

    Notes
    -----
    Each row is Bernoulli, so deviance and dispersion are those of ungrouped data and do not test
    the fit (McCullagh and Nelder 1989, section 4.4.5).

    Examples
    --------
    >>> import polars as pl
    >>> rows = pl.DataFrame({"tier": ["a"] * 4 + ["b"] * 4, "exposure": 1.0, "claims": 1,
    ...                      "amount": [0.0, 0.0, 9.0, 0.0, 9.0, 9.0, 0.0, 9.0]})
    >>> model = fit_occurrence(Experience.collect(rows, ["tier"], amount="amount"), "tier")
    >>> model.relativities("tier")["relativity"].round(6).to_list()
    [1.0, 9.0]
    """
    notes = ["relativities are odds ratios; every row is one trial"]
    if not alike(experience.by()):
        notes.append("exposures of the rows differ: the probability is of a row, not of a year")
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
    return fit_rating(Occurrence, experience, formula, Binomial(), RESPONSES["occurrence"], options)
