"""Fitted rating models as results: relativities with intervals, and an expression that scores any frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import plotly.graph_objects as go
import polars as pl
from scipy.special import ndtri

from pricing.claims.score import Unknown, column_value, mean_effects, rate_expression, require_known
from pricing.errors import InputError, nearest
from pricing.estimate.design import Column, Floats
from pricing.result.figure import interval_figure
from pricing.result.shape import Result
from pricing.result.words import Language, label, level_label, say

if TYPE_CHECKING:
    from pricing.claims.product import Product

__all__ = ["Errors", "RatingModel"]

Errors = Literal["robust", "model", "quasi"]
Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)


class RatingModel(Result):
    """A generalised linear model of claims by rating factor, fitted on cells.

    ``.table`` has one row per coefficient and base level: term, level, relativity (to the base),
    lower, upper, exposure, claims, coefficient, std_error_model, std_error_robust, and role
    (``base``, ``estimate``, ``aliased``, ``covariate``, ``spline``). ``.frames["tests"]`` is the
    test per factor. ``.facts`` holds deviance, Pearson χ², dispersion, log-likelihood, AIC, BIC;
    None where the cells do not carry it.

    A model with a penalty or with a constraint that binds has no intervals and no tests: the basis
    says why.
    """

    kind = "rating_model"

    @property
    def columns(self) -> tuple[Column, ...]:
        """The coefficients in order, as the design named them."""
        return tuple(Column.read(c) for c in self.details["columns"])

    @property
    def coefficients(self) -> Floats:
        """Coefficients on the scale of the linear predictor; NaN where aliased."""
        return array(self.details["coefficients"])

    @property
    def keys(self) -> tuple[str, ...]:
        """The factors and covariates that scoring reads."""
        offset = self.details.get("offset")
        names = [v for c in self.columns for v in c.variables]
        return tuple(dict.fromkeys([*names, *([offset] if offset else [])]))

    def covariance(self, errors: Errors | Literal["cluster"] = "robust") -> Floats:
        """Covariance of the coefficients: robust (HC0), model-based, quasi-Poisson or clustered.

        ``"quasi"`` is the model-based one times the Pearson dispersion, where the family has none
        of its own; ``"cluster"`` is there after
        :func:`pricing.claims.clusters.cluster_errors`.
        """
        if self.details.get("without_inference"):
            raise InputError(f"the model has no errors: {self.details['without_inference']}")
        if errors == "cluster":
            if "covariance_cluster" not in self.details:
                raise InputError(
                    "the model has no clustered errors", do="call cluster_errors first"
                )
            return array(self.details["covariance_cluster"])
        if errors == "robust":
            return array(self.details["covariance_robust"])
        model = array(self.details["covariance_model"])
        scaled = self.details.get("scaled", False)
        return model * self.facts["dispersion"] if errors == "quasi" and not scaled else model

    @property
    def bread(self) -> Floats:
        """Inverse observed information, the outer parts of a sandwich."""
        if "bread" in self.details:
            return array(self.details["bread"])
        scale = self.facts["dispersion"] if self.details.get("scaled", False) else 1.0
        return self.covariance("model") / float(scale)

    def mean(self, schema: pl.Schema | None = None) -> pl.Expr:
        """Fitted mean on the family's own scale: of the log amounts, for a log-normal model."""
        mean = self.expression(schema=schema)
        if self.details.get("family") != "log_normal":
            return mean
        return mean.log() - float(self.details["correction"])

    def leverage(self, exposure: pl.Expr, schema: pl.Schema | None = None) -> pl.Expr:
        """(dμ/dη)/V(μ), what a row's residual is multiplied by in its score."""
        family, mean = self.details.get("family", "poisson"), self.mean(schema)
        if family == "negative_binomial":
            if not self.details["alike"]:
                raise InputError(
                    "the score of this negative binomial is not that of the rows",
                    do="collect with a copy of exposure among the keys",
                )
            return 1 / (1 + float(self.details["alpha"]) * exposure * mean)
        power = float(self.details.get("power", 1.5))
        powers = {"gamma": 2.0, "inverse_gaussian": 3.0, "tweedie": power}
        return mean ** (1 - powers[family]) if family in powers else pl.lit(1.0)

    def relativities(self, factor: str) -> pl.DataFrame:
        """Give the rows of one factor or term, the base level among them.

        Examples
        --------
        >>> from pricing.claims.models import fit_frequency
        >>> from pricing.experience.cells import Experience
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
        >>> from pricing.claims.models import fit_frequency
        >>> from pricing.experience.cells import Experience
        >>> rows = pl.DataFrame({"sex": ["f", "m", "m"], "exposure": [2.0, 1.0, 1.0], "claims": [2, 2, 4]})
        >>> model = fit_frequency(Experience.collect(rows, ["sex"]), "sex")
        >>> rows.select(model.rate().round(9), base=model.rate(without="sex").round(9)).rows()
        [(1.0, 1.0), (3.0, 1.0), (3.0, 1.0)]
        """
        if without is not None and without not in self.keys:
            raise InputError(f"{without!r} is not in the model{nearest(without, self.keys)}")
        return self.expression(without=without)

    def expression(
        self,
        *,
        without: str | None = None,
        schema: pl.Schema | None = None,
        unknown: Unknown = "error",
    ) -> pl.Expr:
        """Give :meth:`rate` for a frame of known types, and with an answer to unknown levels."""
        means = mean_effects(self.table, self.details["levels"]) if unknown == "mean" else {}
        return rate_expression(
            self.columns,
            self.coefficients,
            self.details["levels"],
            without=without,
            schema=schema,
            offset=self.details.get("offset"),
            link=self.details.get("link", "log"),
            correction=self.details.get("correction", 0.0),
            unknown=None if unknown == "error" else means,
        )

    def score(
        self, frame: Frame, *, exposure: str | None = None, unknown: Unknown = "error"
    ) -> Frame:
        """Add ``rate`` and, where exposure is given, ``expected`` to every row.

        The rate is claims or amount per policy-year, amount per claim, or a probability.

        Parameters
        ----------
        frame : polars DataFrame or LazyFrame
            Rows with the model's factors and covariates.
        exposure : str, optional
            Column of policy-years (of claims, for a severity).
        unknown : {"error", "base", "mean"}
            What a level the model has not seen gets: a refusal, the base level's relativity, or
            the mean relativity of the factor by exposure, which is what credibility gives a group
            without experience of its own (Bühlmann and Straub 1970: Z = 0). In an interaction an
            unseen level has the effect of the base.

        Raises
        ------
        InputError
            For missing columns, and for rows with an unknown level, a null, or an exposure that is
            not above zero: each with its count and its levels. No row is dropped.
        """
        if unknown not in ("error", "base", "mean"):
            raise InputError(f"unknown={unknown!r} is not offered: error, base or mean")
        lazy = frame.lazy()
        known = self.details["levels"]
        require_known(
            lazy, self.keys, known, exposure, unseen=unknown != "error", ranges=self.ranges
        )
        scored = frame.with_columns(self.expression(schema=lazy.collect_schema(), unknown=unknown))
        if exposure is None:
            return scored
        return scored.with_columns(expected=pl.col("rate") * pl.col(exposure).cast(pl.Float64))

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """Covariates of B-splines, which are not defined outside their boundaries."""
        return {
            c.smooth: (c.spline.low, c.spline.high)
            for c in self.columns
            if c.spline is not None and not c.spline.natural
        }

    def interval(
        self, frame: pl.DataFrame, *, errors: Errors | Literal["cluster"] | None = None
    ) -> pl.DataFrame:
        """Add ``rate``, ``lower`` and ``upper`` to every row: the interval of the fitted mean.

        Parameters
        ----------
        frame : polars.DataFrame
            Rows with the model's factors and covariates, such as the cells.
        errors : {"robust", "model", "quasi", "cluster"}, optional
            The model's own where left out; as in the table, never narrower than model-based.

        Notes
        -----
        On the scale of the linear predictor, η ± z√(x'Vx), brought back by the link. It is the
        interval of the mean, not of the next claim.

        Examples
        --------
        >>> from pricing.claims.models import fit_frequency
        >>> from pricing.experience.cells import Experience
        >>> rows = pl.DataFrame({"sex": ["f", "f", "m"], "exposure": [1.0] * 3, "claims": [1, 3, 3]})
        >>> model = fit_frequency(Experience.collect(rows, ["sex"]), "sex")
        >>> model.interval(pl.DataFrame({"sex": ["f"]})).select(pl.all().exclude("sex").round(3)).row(0)
        (2.0, 0.751, 5.329)
        """
        scored = self.score(frame)
        chosen = errors or self.facts["errors"]
        error = np.fmax(*(self.predictor_error(frame, e) for e in (chosen, "model")))
        reach = float(ndtri(0.5 + self.facts["level"] / 2)) * error
        rate = scored["rate"].to_numpy()
        if self.details.get("link", "log") == "logit":
            odds = rate / (1 - rate)
            low, high = (odds * np.exp(s * reach) for s in (-1, 1))
            low, high = low / (1 + low), high / (1 + high)
        else:
            low, high = (rate * np.exp(s * reach) for s in (-1, 1))
        return scored.with_columns(lower=pl.Series(low), upper=pl.Series(high))

    def predictor_error(self, frame: pl.DataFrame, errors: Errors | Literal["cluster"]) -> Floats:
        """Standard error of the linear predictor of every row, √(x'Vx).

        That of a log-normal mean takes in σ²/2, with the variance σ⁴/(2·degrees of freedom).
        """
        kept = np.flatnonzero(np.isfinite(self.coefficients))
        x, v = self.values(frame), self.covariance(errors)[np.ix_(kept, kept)]
        square = np.maximum(np.einsum("ij,jk,ik->i", x, v, x), 0)
        if self.details.get("family") == "log_normal":
            square = square + self.facts["dispersion"] ** 2 / (2 * self.facts["degrees_of_freedom"])
        return np.asarray(np.sqrt(square))

    def values(self, frame: pl.DataFrame) -> Floats:
        """Rows of the design matrix, one column per coefficient that is not aliased."""
        kept = np.flatnonzero(np.isfinite(self.coefficients))
        # an intercept alone is a literal: beside a column of the frame it has the frame's height
        wide = frame.with_columns(**{f"_design_{j}": column_value(self.columns[j]) for j in kept})
        return wide.select(f"_design_{j}" for j in kept).to_numpy().astype(np.float64)

    def __mul__(self, other: RatingModel) -> Product:
        """Frequency times severity: :func:`pricing.claims.product.multiply`."""
        from pricing.claims.product import multiply

        return multiply(self, other)

    def curve(self, variable: str, values: Sequence[float], *, base: float) -> pl.DataFrame:
        """Give the relativity of a covariate over some of its values: a spline as a curve.

        Parameters
        ----------
        variable : str
            The covariate; its interactions are left out.
        values : sequence of float
            Where to look.
        base : float
            The value with relativity one.

        Returns
        -------
        polars.DataFrame
            The covariate, relativity, lower, upper; bounds null where there is no inference.

        Examples
        --------
        >>> from pricing.claims.models import fit_frequency
        >>> from pricing.experience.cells import Experience
        >>> rows = pl.DataFrame({"age": [20.0, 30.0, 40.0] * 2, "exposure": 1.0, "claims": [1, 2, 4] * 2})
        >>> model = fit_frequency(Experience.collect(rows, ["age"]), "ns(age, 1)")
        >>> model.curve("age", [20.0, 40.0], base=20.0)["relativity"].round(6).to_list()
        [1.0, 4.0]
        """
        own = [
            j
            for j, c in enumerate(self.columns)
            if c.variables == (variable,) and None in c.levels and np.isfinite(self.coefficients[j])
        ]
        if not own:
            names = [c.variables[0] for c in self.columns if None in c.levels]
            raise InputError(f"{variable!r} is no covariate of the model{nearest(variable, names)}")
        places = pl.DataFrame({variable: [base, *values]}, schema={variable: pl.Float64})
        x = places.select(**{str(j): column_value(self.columns[j]) for j in own}).to_numpy()
        x = x[1:] - x[0]
        eta = x @ self.coefficients[own]
        out = places[1:].with_columns(relativity=pl.Series(np.exp(eta)))
        if self.details.get("without_inference"):
            none = pl.lit(None, dtype=pl.Float64)
            return out.with_columns(lower=none, upper=none)
        v = self.covariance(self.facts["errors"])[np.ix_(own, own)]
        reach = float(ndtri(0.5 + self.facts["level"] / 2)) * np.sqrt(
            np.maximum(np.einsum("ij,jk,ik->i", x, v, x), 0)
        )
        return out.with_columns(
            lower=pl.Series(np.exp(eta - reach)), upper=pl.Series(np.exp(eta + reach))
        )

    def finding(self, lang: Language = "en", factor: str | None = None) -> str:
        """Say which factor matters most and whether claims are over-dispersed, or sum up one factor."""
        if factor is None:
            facts = {**self.facts, "factor": label(self.facts["strongest"], lang)}
            if self.details.get("without_inference"):
                return say("sentence.without_inference", lang, **facts)
            return say(
                f"finding.{self.kind}",
                lang,
                **{**facts, "errors": level_label(facts["errors"], lang)},
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


def _p_value(p: float | None) -> str:
    """A p-value as a reader takes it: four places, or that it is below them."""
    return "–" if p is None else "< 0.0001" if p < 1e-4 else f"{p:.4f}"


def array(values: Any) -> Floats:
    """Read nested lists; None becomes NaN."""
    return np.array(values, dtype=np.float64)


def listed(values: Floats) -> Any:
    """Nested lists with None for NaN, as JSON keeps it."""
    if values.ndim > 1:
        return [listed(row) for row in values]
    return [value if value == value else None for value in values.tolist()]
