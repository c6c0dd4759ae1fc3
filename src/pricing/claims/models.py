"""Claim models as results: relativities with intervals, and an expression that scores any frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, TypeVar

import numpy as np
import plotly.graph_objects as go
import polars as pl
from scipy.special import ndtri
from threadpoolctl import threadpool_limits

from pricing.claims.score import rate_expression, require_known
from pricing.errors import InputError, nearest
from pricing.estimate.design import Column, Design, Floats, design
from pricing.estimate.glm import PoissonFit, fit_poisson
from pricing.estimate.inference import Inference, infer, wald_tests
from pricing.experience.cells import Experience
from pricing.files import fingerprint
from pricing.result.figure import interval_figure
from pricing.result.shape import Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["Frequency", "fit_frequency"]

FEW_CELLS = 200_000
Errors = Literal["robust", "model", "quasi"]
Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)


class Frequency(Result):
    """A Poisson claim-frequency model: claims per policy-year by rating factor.

    ``.table`` has one row per coefficient and base level: term, level, relativity (to the base),
    lower, upper, exposure, claims, coefficient, std_error_model, std_error_robust, and role
    (``base``, ``estimate``, ``aliased``, ``covariate``). ``.frames["tests"]`` is the test per
    factor. ``.facts`` holds deviance, Pearson χ², dispersion, log-likelihood, AIC, BIC.
    """

    kind = "frequency"

    @property
    def columns(self) -> tuple[Column, ...]:
        """The coefficients in order, as the design named them."""
        return tuple(
            Column(c["term"], tuple(c["variables"]), tuple(c["levels"]))
            for c in self.details["columns"]
        )

    @property
    def coefficients(self) -> Floats:
        """Coefficients on the log scale; NaN where aliased."""
        return _array(self.details["coefficients"])

    def covariance(self, errors: Errors | Literal["cluster"] = "robust") -> Floats:
        """Covariance of the coefficients: robust (HC0), model-based, quasi-Poisson or clustered.

        ``"quasi"`` is the model-based one times the Pearson dispersion; ``"cluster"`` is there
        after :func:`pricing.claims.clusters.cluster_errors`.
        """
        if errors == "cluster":
            if "covariance_cluster" not in self.details:
                raise InputError(
                    "the model has no clustered errors", do="call cluster_errors first"
                )
            return _array(self.details["covariance_cluster"])
        if errors == "robust":
            return _array(self.details["covariance_robust"])
        model = _array(self.details["covariance_model"])
        return model * self.facts["dispersion"] if errors == "quasi" else model

    def relativities(self, factor: str) -> pl.DataFrame:
        """Give the rows of one factor or term, the base level among them.

        Examples
        --------
        >>> rows = pl.DataFrame({"sex": ["f", "m", "m"], "exposure": [2.0, 1.0, 1.0], "claims": [2, 2, 4]})
        >>> model = fit_frequency(Experience.collect(rows, ["sex"]), "sex")
        >>> model.relativities("sex").select("level", pl.col("relativity").round(9)).rows()
        [('f', 1.0), ('m', 3.0)]
        """
        found = self.table.filter(pl.col("term") == factor)
        if found.is_empty():
            terms = self.table["term"].unique().to_list()
            raise InputError(f"{factor!r} is not in the model{nearest(factor, terms)}")
        return found

    def rate(self, *, without: str | None = None) -> pl.Expr:
        """Expected claims per policy-year, as an expression that any frame or engine can take.

        A level the model has not seen gives null; :meth:`score` counts and names such rows.

        Parameters
        ----------
        without : str, optional
            A factor to hold at its base level, with every interaction it is in.

        Raises
        ------
        InputError
            Where ``without`` is not in the model.

        Examples
        --------
        >>> rows = pl.DataFrame({"sex": ["f", "m", "m"], "exposure": [2.0, 1.0, 1.0], "claims": [2, 2, 4]})
        >>> model = fit_frequency(Experience.collect(rows, ["sex"]), "sex")
        >>> rows.select(model.rate().round(9), base=model.rate(without="sex").round(9)).rows()
        [(1.0, 1.0), (3.0, 1.0), (3.0, 1.0)]
        """
        names = list(dict.fromkeys(v for c in self.columns for v in c.variables))
        if without is not None and without not in names:
            raise InputError(f"{without!r} is not in the model{nearest(without, names)}")
        return self._rate(without=without)

    def _rate(self, *, without: str | None = None, schema: pl.Schema | None = None) -> pl.Expr:
        levels = self.details["levels"]
        return rate_expression(
            self.columns, self.coefficients, levels, without=without, schema=schema
        )

    def score(self, frame: Frame, *, exposure: str | None = None) -> Frame:
        """Add ``rate`` and, where exposure is given, ``expected`` claims to every row.

        Parameters
        ----------
        frame : polars DataFrame or LazyFrame
            Rows with the model's factors and covariates.
        exposure : str, optional
            Column of policy-years.

        Raises
        ------
        InputError
            For missing columns, and for rows with an unknown level, a null, or an exposure that is
            not above zero: each with its count and its levels. No row is dropped.
        """
        variables: list[str] = list(dict.fromkeys(v for c in self.columns for v in c.variables))
        lazy = frame.lazy()
        require_known(lazy, variables, self.details["levels"], exposure)
        scored = frame.with_columns(self._rate(schema=lazy.collect_schema()))
        if exposure is None:
            return scored
        return scored.with_columns(expected=pl.col("rate") * pl.col(exposure).cast(pl.Float64))

    def finding(self, lang: Language = "en", factor: str | None = None) -> str:
        """Say which factor matters most and whether claims are over-dispersed, or sum up one factor."""
        if factor is None:
            facts = {**self.facts, "factor": label(self.facts["strongest"], lang)}
            return say(
                "finding.frequency", lang, **{**facts, "errors": level_label(facts["errors"], lang)}
            )
        rows = self.relativities(factor).drop_nulls("relativity").sort("relativity")
        tested = self.frames["tests"].filter(pl.col("term") == factor)["p_value"].to_list()
        return say(
            "sentence.relativities" if self._is_factor(factor) else "sentence.interaction",
            lang,
            factor=label(factor, lang),
            base=level_label(self.details["base"].get(factor, ""), lang),
            lowest=level_label(rows["level"][0], lang),
            low=rows["relativity"][0],
            highest=level_label(rows["level"][-1], lang),
            high=rows["relativity"][-1],
            p=_p_value(tested[0] if tested else None),
        )

    def _is_factor(self, term: str) -> bool:
        return term in self.details["levels"]

    def figure(self, lang: Language = "en", factor: str | None = None) -> go.Figure:
        """Draw the relativities of one factor (default: the strongest) over exposure bars."""
        factor = factor or self.facts["strongest"]
        rows = self.relativities(factor)
        return interval_figure(
            rows["level"].to_list(),
            rows["relativity"].to_list(),
            rows["lower"].to_list(),
            rows["upper"].to_list(),
            name="relativity",
            factor=factor,
            lang=lang,
            bars=rows["exposure"].fill_null(0).to_list(),
            reference=1.0,
        )


def fit_frequency(
    experience: Experience,
    formula: str,
    *,
    base: Mapping[str, str] | None = None,
    errors: Errors = "robust",
    level: float = 0.95,
) -> Frequency:
    """Fit claim frequency by rating factor: Poisson, log link, log exposure as offset.

    The fit runs on cells and equals the row-level fit: coefficients, model-based and robust errors,
    deviance and Pearson χ² (see :mod:`pricing.experience.cells`).

    Parameters
    ----------
    experience : Experience
        Cells that carry the formula's keys.
    formula : str
        Factors and covariates, ``"age_band + sex + sex:tier"``; see
        :func:`pricing.estimate.design.parse`.
    base : mapping of str to str, optional
        Base level by factor; else the level with the largest exposure.
    errors : {"robust", "model", "quasi"}
        Which covariance the intervals and tests use: the sandwich (right when rows are
        independent, whatever their dispersion), Poisson, or Poisson times dispersion. Intervals
        are never narrower than Poisson, so that a level of few rows is not taken for certain.
        Repeated
        rows of a person are taken as independent; the basis says so.
    level : float
        Confidence level.

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

    Examples
    --------
    >>> rows = pl.DataFrame({"sex": ["f", "f", "m"], "exposure": [1.0, 1.0, 1.0], "claims": [1, 1, 3]})
    >>> model = fit_frequency(Experience.collect(rows, ["sex"]), "sex")
    >>> model.coefficients.round(6).tolist()
    [-0.0, 1.098612]
    """
    if errors not in ("robust", "model", "quasi") or not 0 < level < 1:
        raise InputError(f"errors={errors!r} with level={level} is not offered")
    # on cells the threads' waiting costs more than their work, on a busy machine many times more
    with threadpool_limits(1 if experience.cells.height < FEW_CELLS else None):
        matrix = design(formula, experience, base=base)
        fit = fit_poisson(matrix, experience)
        inference = infer(matrix, fit, experience)
    bare = _bare(formula, matrix, fit, inference, experience)
    covariance = bare.covariance(errors)
    tests = wald_tests(matrix.columns, fit.coefficients, covariance)
    table = _table(bare, covariance, experience, level)
    strongest = tests.sort(
        "p_value", -pl.col("chi_squared") / pl.col("degrees_of_freedom"), nulls_last=True
    )
    facts = {
        **bare.facts,
        "errors": errors,
        "level": level,
        "strongest": strongest["term"][0] if tests.height else "",
        "aliased": int(fit.aliased.sum()),
    }
    settings = fingerprint(bare.basis.fingerprint, errors, str(level))
    basis = replace(bare.basis, fingerprint=settings)
    return replace(bare, table=table, basis=basis, frames={"tests": tests}, facts=facts)


def _bare(
    formula: str, matrix: Design, fit: PoissonFit, inference: Inference, experience: Experience
) -> Frequency:
    """Hold the numbers of the fit, as they are saved."""
    details = {
        "formula": formula,
        "columns": [
            {"term": c.term, "variables": list(c.variables), "levels": list(c.levels)}
            for c in matrix.columns
        ],
        "base": dict(matrix.base),
        "levels": {name: list(levels) for name, levels in matrix.levels.items()},
        "coefficients": _listed(fit.coefficients),
        "covariance_model": _listed(inference.covariance_model),
        "covariance_robust": _listed(inference.covariance_robust),
    }
    notes = ("rows are taken as independent; repeated years of a person are not clustered",)
    basis = replace(
        experience.basis,
        fingerprint=fingerprint(experience.basis.fingerprint, formula, str(dict(matrix.base))),
        notes=(*experience.basis.notes, *notes),
    )
    return Frequency(
        table=pl.DataFrame(), basis=basis, details=details, facts=dict(inference.statistics)
    )


def _table(
    model: Frequency, covariance: Floats, experience: Experience, level: float
) -> pl.DataFrame:
    z = float(ndtri(0.5 + level / 2))
    plain = np.sqrt(np.diag(model.covariance("model")))
    robust = np.sqrt(np.maximum(np.diag(model.covariance("robust")), 0))
    # a level with a single row has no spread of its own: no error, rather than an error of zero
    robust = np.where(robust > 1e-6 * plain, robust, np.nan)
    # and an interval is never narrower than Poisson: few rows are not taken for certain
    se = np.fmax(np.sqrt(np.maximum(np.diag(covariance), 0)), plain)
    beta = model.coefficients
    with np.errstate(over="ignore"):  # the intercept of a covariate far from zero: infinite is true
        relativity, lower, upper = np.exp(beta), np.exp(beta - z * se), np.exp(beta + z * se)
    rows = []
    for j, c in enumerate(model.columns):
        rows.append(
            {
                "term": c.term,
                "level": " × ".join(level for level in c.levels if level is not None),
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


def _ordered(table: pl.DataFrame, model: Frequency, experience: Experience) -> pl.DataFrame:
    """Add exposure and claims per level and put each factor's levels in their own order."""
    seen = [
        experience.by(name).cells.select(
            pl.lit(name).alias("term"),
            pl.col(name).cast(pl.String).alias("level"),
            "exposure",
            pl.col("claims").cast(pl.Float64),
        )
        for name in model.details["levels"]
    ]
    order = {
        (name, level): place
        for name, levels in model.details["levels"].items()
        for place, level in enumerate(levels)
    }
    terms = {term: place for place, term in enumerate(dict.fromkeys(c.term for c in model.columns))}
    if seen:
        table = table.join(pl.concat(seen), on=["term", "level"], how="left")
    else:
        none = pl.lit(None, dtype=pl.Float64)
        table = table.with_columns(exposure=none, claims=none)
    places = pl.Series(
        [(terms[t], order.get((t, at), 0)) for t, at in table.select("term", "level").rows()],
        dtype=pl.Array(pl.Int64, 2),
    )
    return (
        table.with_columns(_term=places.arr.get(0), _level=places.arr.get(1))
        .sort("_term", "_level", maintain_order=True)
        .drop("_term", "_level")
    )


def _role(column: Column, coefficient: float) -> str:
    if not np.isfinite(coefficient):
        return "aliased"
    if not column.variables:
        return "intercept"
    return "covariate" if None in column.levels else "estimate"


def _p_value(p: float | None) -> str:
    """A p-value as a reader takes it: four places, or that it is below them."""
    return "–" if p is None else "< 0.0001" if p < 1e-4 else f"{p:.4f}"


def _array(values: Any) -> Floats:
    return np.array(values, dtype=np.float64)  # None becomes NaN


def _listed(values: Floats) -> Any:
    """Nested lists with None for NaN, as JSON keeps it."""
    if values.ndim > 1:
        return [_listed(row) for row in values]
    return [value if value == value else None for value in values.tolist()]
