"""Hazard model: hazard ratios of a generalised linear model on cells, and the survival it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
import plotly.graph_objects as go
import polars as pl
from threadpoolctl import threadpool_limits

from pricing.errors import InputError
from pricing.estimate.constraints import Direction, box
from pricing.estimate.design import Floats, design
from pricing.estimate.families import Binomial, ComplementaryLogLog, Poisson
from pricing.estimate.family import Family
from pricing.estimate.glm import fit_glm
from pricing.estimate.inference import infer, wald_tests
from pricing.estimate.patterns import columns_kept, columns_read, pattern_rows
from pricing.estimate.response import Response
from pricing.experience.cells import Experience
from pricing.files import fingerprint
from pricing.result.shape import Result
from pricing.result.words import Language, say
from pricing.survival.interval import normal_quantile
from pricing.survival.ratios import factor_levels, ratio_figure, ratio_rows, require_free, widest

Kind = TypeVar("Kind", bound="HazardModel")

__all__ = ["Bounds", "HazardErrors", "HazardModel", "fit_on_cells"]

HazardErrors = Literal["model", "robust"]
Bounds = Mapping[str, tuple[float, float]]
BINDS = "a constraint binds: the usual errors do not hold, so there are no intervals and no tests"
FAMILIES: Mapping[str, Family] = {
    "log": Poisson(), "logit": Binomial(), "cloglog": ComplementaryLogLog(),
}  # fmt: skip


class HazardModel(Result):
    """Hazard by factor on cells of time in cover.

    ``.table``: term, level, role, the ratio to the base level, lower, upper, coefficient, std_error,
    time_at_risk (in the unit of the cells, or periods), events. ``.frames["tests"]``: each factor against none. ``.facts``: as
    of any model on cells.
    """

    kind = "hazard_model"
    ratio: ClassVar[str] = "hazard_ratio"

    @property
    def coefficients(self) -> Floats:
        """Coefficients on the scale of the linear predictor; NaN where aliased."""
        return np.array(self.details["coefficients"], dtype=np.float64)

    @property
    def covariance(self) -> Floats:
        """Covariance behind the intervals; NaN where a constraint binds."""
        return np.array(self.details["covariance"], dtype=np.float64)

    def hazard(self, patterns: pl.DataFrame) -> pl.DataFrame:
        """Add the fitted hazard of each pattern, with its interval.

        Parameters
        ----------
        patterns : polars.DataFrame
            Every factor and covariate of the model, time among them.

        Returns
        -------
        polars.DataFrame
            Patterns, then hazard_rate, lower, upper: a rate by unit of time, or a probability.
        """
        require_free(patterns.columns, ("hazard_rate", "lower", "upper"))
        x = self.rows(patterns)
        eta, reach = x @ np.nan_to_num(self.coefficients), self.reach(x)
        family = FAMILIES[self.details["link"]]
        ends = {"hazard_rate": eta, "lower": eta - reach, "upper": eta + reach}
        return patterns.with_columns(
            pl.Series(n, family.mean(v)).fill_nan(None) for n, v in ends.items()
        )

    def rows(self, patterns: pl.DataFrame) -> Floats:
        """Give the design's rows of patterns."""
        return pattern_rows(columns_read(self.details["columns"]), self.details["levels"], patterns)

    def reach(self, gradient: Floats) -> Floats:
        """Give the half width of the interval of a function of the coefficients, by its gradient."""
        told = np.isfinite(self.coefficients)
        v = self.covariance[np.ix_(told, told)]
        spread = np.einsum("ij,jk,ik->i", gradient[:, told], v, gradient[:, told])
        return np.asarray(normal_quantile(self.facts["level"]) * np.sqrt(np.maximum(spread, 0.0)))

    def follow(self, patterns: pl.DataFrame, pieces: pl.DataFrame, widths: Floats) -> pl.DataFrame:
        """Add the hazard of successive pieces of time up: survival at the end of each, by pattern.

        The interval is that of ln H by the delta method, H the cumulative hazard, so it keeps to
        (0, 1).

        Parameters
        ----------
        patterns : polars.DataFrame
            Factors without those of time.
        pieces : polars.DataFrame
            Factors of time, one row per piece in order, and ``time``, its end.
        widths : array
            Length of each piece, by which a rate is multiplied; one where the hazard is a
            probability.

        Returns
        -------
        polars.DataFrame
            Patterns, time, survival, lower, upper.
        """
        patterns = patterns if patterns.width else pl.DataFrame({"pattern": ["all"]})
        ours = ("time", "survival", "lower", "upper", *pieces.columns, "_p")
        require_free(patterns.columns, ours)
        self.rows(patterns.join(pieces.head(1), how="cross"))  # a fault is counted by pattern
        both = patterns.with_row_index("_p").join(pieces, how="cross", maintain_order="left_right")
        x = self.rows(both)
        eta = x @ np.nan_to_num(self.coefficients)
        family = FAMILIES[self.details["link"]]
        mean = family.mean(eta)
        if self.details["link"] == "log":
            step = mean * np.tile(widths, patterns.height)
            slope = step
        else:
            step, slope = -np.log1p(-mean), family.slope(mean) / (1 - mean)
        shape = (patterns.height, pieces.height)
        total = np.cumsum(step.reshape(shape), axis=1).ravel()
        moved = np.cumsum((slope[:, None] * x).reshape(*shape, x.shape[1]), axis=1)
        reach = self.reach(moved.reshape(-1, x.shape[1]) / np.maximum(total, 1e-300)[:, None])
        ends = {"survival": total, "lower": total * np.exp(reach), "upper": total * np.exp(-reach)}
        return both.select(*patterns.columns, "time").with_columns(
            pl.Series(n, np.exp(-v)).fill_nan(None) for n, v in ends.items()
        )

    def finding(self, lang: Language = "en") -> str:
        """Say which level's hazard differs most from its base."""
        said = say(f"finding.{self.kind}", lang, **self.facts)
        if self.facts["widest"]:
            key = "widest" if self.facts["ratio_lower"] is not None else "widest_bare"
            said += say(f"sentence.{self.ratio}_{key}", lang, **self.facts)
        return said

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the ratios with their intervals over the time at risk behind them."""
        return ratio_figure(self.table, self.ratio, "time_at_risk", lang)


def fit_on_cells(
    kind: type[Kind],
    cells: Experience,
    formula: str,
    link: str,
    response: Response,
    *,
    base: Mapping[str, str] | None = None,
    level: float = 0.95,
    errors: HazardErrors = "model",
    monotone: Mapping[str, Direction] | None = None,
    bounds: Bounds | None = None,
    notes: Sequence[str] = (),
    facts: Mapping[str, Any] | None = None,
    details: Mapping[str, Any] | None = None,
) -> Kind:
    """Fit a hazard on cells and hold it as a result.

    Parameters
    ----------
    kind : type
        The result's class.
    cells : Experience
        Time at risk as exposure, lives that leave as claims.
    formula, base, monotone, bounds
        As :func:`pricing.claims.models.fit_frequency` takes them.
    link : {"log", "logit", "cloglog"}
        Poisson, or binomial.
    response : Response
        The sums.
    level : float
        Of the intervals.
    errors : {"model", "robust"}
        Covariance behind intervals and tests.
    notes, facts, details
        Added to the result's.

    Examples
    --------
    >>> from pricing.estimate.response import RESPONSES
    >>> rows = pl.DataFrame({"sex": ["f", "f", "m"], "exposure": [1.0] * 3, "claims": [1, 1, 3]})
    >>> found = fit_on_cells(HazardModel, Experience.collect(rows, ["sex"]), "sex", "log",
    ...                      RESPONSES["frequency"])
    >>> found.table["hazard_ratio"].round(6).to_list()
    [1.0, 1.0, 3.0]
    """
    if errors not in ("model", "robust"):
        raise InputError(f"errors={errors!r} is not offered: model or robust")
    z = normal_quantile(level)
    with threadpool_limits(1):
        matrix = design(formula, cells, base=base)
        held = box(matrix, monotone=monotone, bounds=bounds)
        fit = fit_glm(matrix, cells, FAMILIES[link], response, constraint=held)
        found = infer(matrix, fit, cells)
    covariance = found.covariance_model if errors == "model" else found.covariance_robust
    bound = bool(fit.bound.any())
    covariance = np.full_like(covariance, np.nan) if bound else covariance
    sums = {"time_at_risk": cells.values("exposure"), "events": cells.values("claims")}
    table = ratio_rows(kind.ratio, matrix, fit.coefficients, covariance, z, sums, cells)
    means = {
        n: float(cells.values(n) @ cells.values("exposure") / cells.basis.exposure)
        for c in matrix.columns
        for n in c.variables
        if n not in cells.factors
    }
    said = f"errors {errors}; pieces of time taken as independent"
    told = (formula, link, str(dict(matrix.base)), errors, str(level), str((monotone, bounds)))
    return kind(
        table=table,
        basis=replace(
            cells.basis,
            currency="",
            fingerprint=fingerprint(cells.basis.fingerprint, *told),
            notes=(*cells.basis.notes, *notes, said, *([BINDS] if bound else [])),
        ),
        facts={
            **found.statistics, "exposure": cells.basis.exposure, "events": cells.basis.claims,
            "level": level, **widest(table, kind.ratio), **dict(facts or {}),
        },
        frames={"tests": wald_tests(matrix.columns, fit.coefficients, covariance)},
        details={
            "formula": formula, "link": link, "columns": columns_kept(matrix.columns),
            "levels": factor_levels(matrix), "base": dict(matrix.base), "means": means,
            "coefficients": _listed(fit.coefficients), "covariance": [_listed(r) for r in covariance],
            **dict(details or {}),
        },
    )  # fmt: skip


def _listed(values: Floats) -> list[float | None]:
    return [float(v) if np.isfinite(v) else None for v in values]
