"""From a fitted model to a tariff: its base level's rate and its relativities."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from pricing.claims.product import Product
from pricing.claims.rating import RatingModel
from pricing.errors import InputError
from pricing.tariff.factor import BETWEEN, Factor
from pricing.tariff.rates import Tariff, assemble
from pricing.tariff.terms import Terms

__all__ = ["tariff_of"]


def tariff_of(model: RatingModel | Product, *, per_unit: float = 1.0, **terms: Any) -> Tariff:
    """Take a fitted model as a tariff: what a policy-year of the base levels costs, and relativities.

    Parameters
    ----------
    model : RatingModel or Product
        Log link, factors and interactions of two; continuous covariates are banded first.
    per_unit : float
        Currency per unit of the model's mean: for a frequency the cost of a claim; with the
        default of one a frequency's "premiums" are claims per policy-year.
    **terms
        As in :func:`pricing.tariff.rates.tariff_from`; currency is that of the model.

    Returns
    -------
    Tariff
        Before rounding, limits and loadings it prices every row as ``model.score`` does. An aliased
        level has the relativity of the base, as in scoring.

    Raises
    ------
    InputError
        For a model that is no product of relativities: covariates, splines, an offset, a logit
        link, interactions of three, several parts other than frequency × severity.

    Examples
    --------
    >>> import polars as pl
    >>> from pricing.claims.models import fit_frequency
    >>> from pricing.experience.cells import Experience
    >>> rows = pl.DataFrame({"sex": ["f", "f", "m"], "exposure": [1.0] * 3, "claims": [1, 1, 3]})
    >>> model = fit_frequency(Experience.collect(rows, ["sex"]), "sex")
    >>> tariff_of(model, per_unit=100.0).price(rows)["premium"].to_list()
    [100.0, 100.0, 300.0]
    """
    if isinstance(model, Product):
        parts: Sequence[RatingModel] = list(model.parts.values())
    elif isinstance(model, RatingModel):
        parts = [model]
    else:
        raise InputError(
            f"a {getattr(model, 'kind', type(model).__name__)} is not a product of relativities",
            do="give a frequency, a severity, a pure premium, or a frequency times a severity",
        )
    faults = [fault for part in parts for fault in _faults(part)]
    if faults:
        raise InputError(
            "the model is no table of relativities",
            faults=faults,
            do="band the covariates into factors and fit again",
        )
    base_premium = float(per_unit)
    logs: dict[tuple[str, ...], dict[tuple[str, ...], float]] = {}
    levels: dict[str, list[str]] = {}
    bases: dict[str, str] = {}
    for part in parts:
        eta = np.nan_to_num(part.coefficients)
        base_premium *= float(np.exp(eta[0] + part.details.get("correction", 0.0)))
        bases |= part.details["base"]
        for name, known in part.details["levels"].items():
            levels[name] = [x for x in levels.get(name, known) if x in known]
        for column, value in zip(part.columns[1:], eta[1:], strict=True):
            own = logs.setdefault(column.variables, {})
            at = tuple(str(x) for x in column.levels)
            own[at] = own.get(at, 0.0) + float(value)
    factors = [
        Factor(
            variables,
            tuple(tuple(levels[v]) for v in variables),
            tuple(
                float(np.exp(own.get(at, 0.0))) for at in product(*(levels[v] for v in variables))
            ),
            tuple(bases[v] for v in variables),
        )
        for variables, own in logs.items()
    ]
    told = {"currency": model.basis.currency} | terms
    unknown = [n for n in told if n not in Terms.__dataclass_fields__]
    if unknown:
        raise InputError(f"a tariff has no term {', '.join(map(repr, unknown))}")
    if not (np.isfinite(base_premium) and base_premium > 0):
        raise InputError(f"the base premium is {base_premium}, not a number above zero")
    return assemble(base_premium, factors, Terms(**told), model.basis)


def _faults(model: RatingModel) -> list[str]:
    said = []
    if model.details.get("link", "log") != "log":
        said.append(f"{model.kind}: {model.details['link']} link, its effects are odds ratios")
    if model.details.get("offset"):
        said.append(f"{model.kind}: offset {model.details['offset']!r} is no factor")
    for column in model.columns[1:]:
        if column.spline is not None or None in column.levels:
            said.append(f"{column.term} is continuous")
        elif len(column.variables) > 2:
            said.append(f"{column.term} joins {len(column.variables)} factors")
        elif any(BETWEEN in str(x) for x in column.levels) and len(column.variables) > 1:
            said.append(f"{column.term}: a level holds {BETWEEN!r}")
    return list(dict.fromkeys(said))
