"""From a fit on cells to a result: the table of relativities, the tests, what is saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import polars as pl
from scipy.special import ndtri
from threadpoolctl import threadpool_limits

from pricing.claims.rating import Errors, RatingModel, listed
from pricing.errors import InputError
from pricing.estimate.constraints import Direction, box
from pricing.estimate.design import Column, Design, Floats, design
from pricing.estimate.families import alike
from pricing.estimate.family import Family
from pricing.estimate.glm import GlmFit, fit_glm
from pricing.estimate.inference import Inference, infer, wald_tests
from pricing.estimate.response import Response
from pricing.experience.cells import Experience
from pricing.files import fingerprint

__all__ = ["FEW_CELLS", "Options", "assemble", "fit_rating"]

FEW_CELLS = 200_000
INDEPENDENT = "rows are taken as independent; repeated years of a person are not clustered"
BINDS = "a constraint binds: the usual errors do not hold, so there are no intervals and no tests"
Model = TypeVar("Model", bound=RatingModel)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What every fit can be told beside its formula and family.

    Attributes
    ----------
    base : mapping of str to str
        Base level by factor; else the level with the largest exposure.
    errors : {"robust", "model", "quasi"}
        Covariance behind intervals and tests.
    level : float
        Confidence level.
    weight, offset : str, optional
        Numeric keys: a weight multiplies a row's log-likelihood, an offset is added to its linear
        predictor with the coefficient one.
    monotone, bounds : mapping
        As :func:`pricing.estimate.constraints.box` takes them.
    """

    base: Mapping[str, str] | None = None
    errors: Errors = "robust"
    level: float = 0.95
    weight: str | None = None
    offset: str | None = None
    monotone: Mapping[str, Direction] | None = None
    bounds: Mapping[str, tuple[float, float]] | None = None
    notes: Sequence[str] = field(default=())

    def __post_init__(self) -> None:
        if self.errors not in ("robust", "model", "quasi") or not 0 < self.level < 1:
            raise InputError(f"errors={self.errors!r} with level={self.level} is not offered")


def fit_rating(
    kind: type[Model],
    experience: Experience,
    formula: str,
    family: Family,
    response: Response,
    options: Options,
) -> Model:
    """Fit one family to one response and hold it as a result.

    Parameters
    ----------
    kind : type
        The result's class.
    experience : Experience
        Cells with the response's sums.
    formula : str
        See :func:`pricing.estimate.design.parse`.
    family, response, options
        What is fitted, and how it is read.

    Examples
    --------
    >>> from pricing.estimate.families import Poisson
    >>> from pricing.estimate.response import RESPONSES
    >>> rows = pl.DataFrame({"sex": ["f", "f", "m"], "exposure": [1.0] * 3, "claims": [1, 1, 3]})
    >>> seen = Experience.collect(rows, ["sex"])
    >>> found = fit_rating(RatingModel, seen, "sex", Poisson(), RESPONSES["frequency"], Options())
    >>> found.coefficients.round(6).tolist()
    [0.0, 1.098612]
    """
    # on cells the threads' waiting costs more than their work, on a busy machine many times more
    with threadpool_limits(1 if experience.cells.height < FEW_CELLS else None):
        matrix = design(formula, experience, base=options.base)
        held = box(matrix, monotone=options.monotone, bounds=options.bounds)
        fit = fit_glm(
            matrix,
            experience,
            family,
            response,
            prior=options.weight,
            offset=options.offset,
            constraint=held,
        )
        inference = infer(matrix, fit, experience)
    return assemble(kind, formula, matrix, fit, inference, experience, options)


def assemble(
    kind: type[Model],
    formula: str,
    matrix: Design,
    fit: GlmFit,
    inference: Inference,
    experience: Experience,
    options: Options,
    *,
    without_inference: str = "",
) -> Model:
    """Hold a fit as a result; without errors where a penalty or a constraint has none.

    Examples
    --------
    >>> from pricing.estimate.glm import fit_poisson
    >>> rows = pl.DataFrame({"sex": ["f", "f", "m"], "exposure": [1.0] * 3, "claims": [1, 1, 3]})
    >>> seen = Experience.collect(rows, ["sex"])
    >>> x = design("sex", seen)
    >>> fit = fit_poisson(x, seen)
    >>> assemble(RatingModel, "sex", x, fit, infer(x, fit, seen), seen, Options()).facts["aliased"]
    0
    """
    without = without_inference or (BINDS if fit.bound.any() else "")
    bare = _bare(kind, formula, matrix, fit, inference, experience, options, without)
    if without:
        nothing = np.full((len(matrix.columns),) * 2, np.nan)
        tests = wald_tests(matrix.columns, fit.coefficients, nothing)
        table = _table(bare, nothing, nothing, nothing, experience, options.level)
    else:
        robust, model = inference.covariance_robust, inference.covariance_model
        chosen = bare.covariance(options.errors)
        tests = wald_tests(matrix.columns, fit.coefficients, chosen)
        table = _table(bare, chosen, model, robust, experience, options.level)
    facts = {
        **bare.facts,
        "errors": options.errors,
        "level": options.level,
        "strongest": _strongest(tests, table),
        "aliased": int(fit.aliased.sum()),
        "constrained": int(fit.bound.sum()),
    }
    settings = fingerprint(bare.basis.fingerprint, options.errors, str(options.level))
    basis = replace(bare.basis, fingerprint=settings)
    return replace(bare, table=table, basis=basis, frames={"tests": tests}, facts=facts)


def _strongest(tests: pl.DataFrame, table: pl.DataFrame) -> str:
    """The term with the least p-value; without tests, the one whose relativities spread most."""
    if not tests.height:
        return ""
    if tests["p_value"].null_count() < tests.height:
        ratio = -pl.col("chi_squared") / pl.col("degrees_of_freedom")
        return str(tests.sort("p_value", ratio, nulls_last=True)["term"][0])
    spread = (
        table.filter(pl.col("term").is_in(tests["term"].to_list()))
        .group_by("term", maintain_order=True)
        .agg(width=pl.col("relativity").max() / pl.col("relativity").min())
    )
    return str(
        spread.sort("width", descending=True, nulls_last=True, maintain_order=True)["term"][0]
    )


def _bare(
    kind: type[Model],
    formula: str,
    matrix: Design,
    fit: GlmFit,
    inference: Inference,
    experience: Experience,
    options: Options,
    without: str,
) -> Model:
    """Hold the numbers of the fit, as they are saved."""
    family = fit.family
    details: dict[str, Any] = {
        "formula": formula,
        "columns": [c.record() for c in matrix.columns],
        "base": dict(matrix.base),
        "levels": {name: list(levels) for name, levels in matrix.levels.items()},
        "coefficients": listed(fit.coefficients),
        **family.record(),
        "link": "log" if family.link == "identity" else family.link,
        "scaled": family.scaled,
        "response": fit.response.name,
        "offset": options.offset,
        "weight": options.weight,
    }
    if without:
        details["without_inference"] = without
    else:
        details["covariance_model"] = listed(inference.covariance_model)
        details["covariance_robust"] = listed(inference.covariance_robust)
        if not family.canonical:
            details["bread"] = listed(inference.bread)
    if family.name == "negative_binomial":
        details["alike"] = alike(experience)
    if fit.bound.any():
        details["bound"] = [c.name for c, b in zip(matrix.columns, fit.bound, strict=True) if b]
    told: tuple[str, ...] = (formula, str(dict(matrix.base)))
    if options.weight or options.offset or options.monotone or options.bounds:
        told += (str((options.weight, options.offset, options.monotone, options.bounds)),)
    if family.name != "poisson":
        told += (str(family.record()), fit.response.name)
    notes = (*options.notes, INDEPENDENT, *([without] if without else []))
    basis = replace(
        experience.basis,
        fingerprint=fingerprint(experience.basis.fingerprint, *told),
        notes=(*experience.basis.notes, *notes),
    )
    facts = dict(inference.statistics)
    return kind(table=pl.DataFrame(), basis=basis, details=details, facts=facts)


def _table(
    model: RatingModel,
    covariance: Floats,
    plainly: Floats,
    robustly: Floats,
    experience: Experience,
    level: float,
) -> pl.DataFrame:
    z = float(ndtri(0.5 + level / 2))
    plain = np.sqrt(np.diag(plainly))
    robust = np.sqrt(np.maximum(np.diag(robustly), 0))
    # a level with a single row has no spread of its own: no error, rather than an error of zero
    with np.errstate(invalid="ignore"):
        robust = np.where(robust > 1e-6 * plain, robust, np.nan)
    # and an interval is never narrower than the model's: few rows are not taken for certain
    se = np.fmax(np.sqrt(np.maximum(np.diag(covariance), 0)), plain)
    beta = model.coefficients
    with np.errstate(over="ignore"):  # the intercept of a covariate far from zero: infinite is true
        relativity, lower, upper = np.exp(beta), np.exp(beta - z * se), np.exp(beta + z * se)
    rows = []
    for j, c in enumerate(model.columns):
        rows.append(
            {
                "term": c.term,
                "level": c.level,
                "role": _role(c, beta[j]),
                "relativity": relativity[j],
                "lower": lower[j],
                "upper": upper[j],
                "coefficient": beta[j],
                "std_error_model": plain[j],
                "std_error_robust": robust[j],
            }
        )
    rows += [
        {"term": name, "level": at, "role": "base", "relativity": 1.0, "lower": 1.0, "upper": 1.0}
        for name, at in model.details["base"].items()
    ]
    table = pl.DataFrame(rows, schema_overrides={"level": pl.String}).with_columns(
        pl.selectors.float().fill_nan(None)
    )
    return _ordered(table, model, experience)


def _ordered(table: pl.DataFrame, model: RatingModel, experience: Experience) -> pl.DataFrame:
    """Add exposure and claims per level and put each factor's levels in their own order."""
    levels = model.details["levels"]
    sums = ["exposure", "claims"]
    if model.details["response"] != "frequency":
        sums.append("amount")
    values = {name: experience.values(name) for name in sums}
    seen: dict[tuple[str, str], tuple[float, ...]] = {}
    for name in levels:
        every = experience.levels(name)
        codes = experience.cells[name].to_physical().to_numpy()
        behind = [np.bincount(codes, weights=v, minlength=len(every)) for v in values.values()]
        seen |= {(name, at): tuple(float(b[k]) for b in behind) for k, at in enumerate(every)}
    order = {(name, at): place for name, known in levels.items() for place, at in enumerate(known)}
    terms = {term: place for place, term in enumerate(dict.fromkeys(c.term for c in model.columns))}
    own = table.select("term", "level").rows()
    nothing = (None,) * len(sums)
    added = [
        pl.Series(name, [seen.get(at, nothing)[k] for at in own], dtype=pl.Float64)
        for k, name in enumerate(sums)
    ]
    places = [(terms[term], order.get((term, at), 0)) for term, at in own]
    return (
        table.with_columns(
            *added,
            pl.Series("_term", [p[0] for p in places], dtype=pl.Int64),
            pl.Series("_level", [p[1] for p in places], dtype=pl.Int64),
        )
        .sort("_term", "_level", maintain_order=True)
        .drop("_term", "_level")
    )


def _role(column: Column, coefficient: float) -> str:
    if not np.isfinite(coefficient):
        return "aliased"
    if not column.variables:
        return "intercept"
    if column.spline is not None:
        return "spline"
    return "covariate" if None in column.levels else "estimate"
