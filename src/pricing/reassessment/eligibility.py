"""Eligibility: the probability that a case in payment is no longer eligible, from past visits.

Two forms. The odds form is a logit on whatever is known of a case. The hazard form says that a case
loses its eligibility at a rate h after each review, so that p = 1 − exp(−∫h) grows with the time since
it. Visits chosen by score are no random sample: a fit without weights is inconsistent wherever the
score knows what the model does not (Revelas, Boldea and Werker 2025, arXiv 2509.18739), and the
inverse of the known probability of inclusion as weight repairs it (Horvitz and Thompson 1952; Manski
and Lerman 1977). Errors are then the sandwich's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Literal, TypeVar

import numpy as np
import plotly.graph_objects as go
import polars as pl
from threadpoolctl import threadpool_limits

from pricing.errors import InputError
from pricing.estimate.design import design, variables
from pricing.estimate.glm import fit_glm
from pricing.estimate.inference import infer, wald_tests
from pricing.estimate.patterns import columns_kept
from pricing.estimate.response import Response
from pricing.experience.cells import Experience
from pricing.files import fingerprint
from pricing.reassessment.domain import Floats, numbers, require_rows_there
from pricing.result.shape import Basis
from pricing.result.words import Language, label, level_label, say
from pricing.survival.hazard_model import FAMILIES, HazardModel
from pricing.survival.interval import normal_quantile
from pricing.survival.ratios import factor_levels, ratio_figure, ratio_rows, widest

__all__ = [
    "IneligibleOdds",
    "LossOfEligibility",
    "fit_ineligible",
    "fit_loss_of_eligibility",
    "ineligible_share",
]

VisitErrors = Literal["robust", "model"]
RESPONSE = Response(
    "ineligible", "exposure", "claims", "claims", "claims", "exposure", "claims",
    event="case no longer eligible",
    unit="visits",
)  # fmt: skip


class IneligibleOdds(HazardModel):
    """Odds of being no longer eligible, by factor; see :func:`fit_ineligible`."""

    kind = "ineligible_odds"
    ratio: ClassVar[str] = "odds_ratio_ineligible"

    def probability(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Add probability, probability_lower and probability_upper (of the mean, not of a case).

        Parameters
        ----------
        frame : polars.DataFrame
            Every factor and covariate of the model; ``years_since_review`` in the hazard form.
        """
        x = self.rows(frame)
        eta = x @ np.nan_to_num(self.coefficients) + self._offset(frame)
        reach = self.reach(x)
        family = FAMILIES[self.details["link"]]
        ends = {"probability": eta, "probability_lower": eta - reach, "probability_upper": eta + reach}  # fmt: skip
        return frame.with_columns(pl.Series(n, family.mean(v)) for n, v in ends.items())

    def _offset(self, frame: pl.DataFrame) -> Floats:
        return np.zeros(frame.height)

    def finding(self, lang: Language = "en") -> str:
        """Say how many visits found what, and which level differs most."""
        said = say(f"finding.{self.kind}", lang, **self.facts)
        if self.facts["widest"] and self.facts["ratio_lower"] is not None:
            term, _, at = self.facts["widest"].partition(": ")
            widest_said = f"{label(term, lang)}: {level_label(at, lang)}"
            said += say(f"sentence.{self.ratio}", lang, **{**self.facts, "widest": widest_said})
        return said

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the ratios with their intervals over the visits behind them."""
        return ratio_figure(self.table, self.ratio, "visits", lang)


class LossOfEligibility(IneligibleOdds):
    """Yearly rate of losing eligibility, by factor; see :func:`fit_loss_of_eligibility`."""

    kind = "loss_of_eligibility"
    ratio: ClassVar[str] = "hazard_ratio_ineligible"

    def yearly_rate(self, frame: pl.DataFrame) -> Floats:
        """Give the hazard of every row, a year."""
        return np.asarray(np.exp(self.rows(frame) @ np.nan_to_num(self.coefficients)))

    def _offset(self, frame: pl.DataFrame) -> Floats:
        years = numbers(frame, "cases", {"years_since_review": (0.0, np.inf)})
        # a case reviewed today: half a day, so that the logarithm is finite and p is nearly nothing
        return np.asarray(np.log(np.maximum(years["years_since_review"], 0.5 / 365.25)))


Model = TypeVar("Model", bound=IneligibleOdds)


def fit_ineligible(
    outcomes: pl.DataFrame,
    formula: str,
    *,
    weighted: bool = True,
    base: Mapping[str, str] | None = None,
    level: float = 0.95,
    errors: VisitErrors = "robust",
) -> IneligibleOdds:
    """Fit the probability that a visited case is no longer eligible: binomial, logit.

    Parameters
    ----------
    outcomes : polars.DataFrame
        Of :func:`pricing.reassessment.outcomes.visit_outcomes`: ``ineligible``, ``weight`` and what
        the formula names.
    formula : str
        Such as ``"grade + setting + age + years_since_review + service_gap"``.
    weighted : bool
        Weigh visits by the inverse of their probability of inclusion. Complaints have none and are
        left out, weighted or not; the basis says how many.
    base : mapping of str to str, optional
        Base level by factor.
    level : float
        Of the intervals.
    errors : {"robust", "model"}
        The sandwich, the only right one under weights; or from the likelihood, unweighted.

    Raises
    ------
    InputError
        For no planned visits, weights below 1, levels where no or every visited case is ineligible,
        and as the fit.

    Notes
    -----
    Σ w (y − p) x = 0 with logit p = x'β; errors from Σ w²(y − p)² xx' between two inverses of
    Σ w p(1 − p) xx'. A case visited twice counts as two.

    Examples
    --------
    >>> rows = pl.DataFrame({"grade": ["a"] * 4 + ["b"] * 4, "weight": 2.0,
    ...                      "ineligible": [0, 0, 1, 0, 1, 1, 0, 1]})
    >>> found = fit_ineligible(rows, "grade")
    >>> found.table["odds_ratio_ineligible"].round(6).to_list()
    [0.333333, 1.0, 9.0]
    """
    return _fit(IneligibleOdds, outcomes, formula, "logit", weighted, base, level, errors)


def fit_loss_of_eligibility(
    outcomes: pl.DataFrame,
    formula: str,
    *,
    weighted: bool = True,
    base: Mapping[str, str] | None = None,
    level: float = 0.95,
    errors: VisitErrors = "robust",
) -> LossOfEligibility:
    """Fit the yearly rate of losing eligibility from what visits found: p = 1 − exp(−h·years).

    Each visit tells only whether eligibility was lost since the last review, not when (current
    status); with ln(years since the review) as offset and the link ln(−ln(1 − p)) the coefficients
    are those of ln h.

    Parameters
    ----------
    outcomes, formula, weighted, base, level, errors
        As :func:`fit_ineligible`; ``years_since_review``, above 0, is the exposure.

    Notes
    -----
    Where the dead are as many among the still and the no longer eligible, deaths leave p as it is; else
    see :func:`ineligible_share`. Finkelstein (1986), Biometrics 42, on interval-censored hazards.

    Examples
    --------
    >>> rows = pl.DataFrame({"grade": ["a"] * 4, "weight": 1.0, "years_since_review": 2.0,
    ...                      "ineligible": [0, 0, 1, 1]})
    >>> found = fit_loss_of_eligibility(rows, "1")
    >>> round(float(found.yearly_rate(rows)[0]), 6)  # ln 2 ÷ 2
    0.346574
    """
    return _fit(LossOfEligibility, outcomes, formula, "cloglog", weighted, base, level, errors)


def _fit(
    kind: type[Model],
    outcomes: pl.DataFrame,
    formula: str,
    link: str,
    weighted: bool,
    base: Mapping[str, str] | None,
    level: float,
    errors: str,
) -> Model:
    if errors not in ("robust", "model") or (weighted and errors == "model"):
        raise InputError(f"errors={errors!r} with weighted={weighted} is not offered", do='weighted fits take errors="robust"')  # fmt: skip
    z = normal_quantile(level)
    hazard = link == "cloglog"
    names = [*variables(formula)]
    wanted = [*names, "ineligible", "weight", *(["years_since_review"] if hazard else [])]
    require_rows_there(outcomes, "visits", wanted)
    rows = outcomes.filter(pl.col("weight").is_not_null())
    if rows.is_empty():
        raise InputError("no visit was planned with a known probability", do="complaints alone say nothing of the others")  # fmt: skip
    numbers(rows, "visits", {"ineligible": (0.0, 1.0), "weight": (1.0, np.inf)})
    keys = list(dict.fromkeys(names))
    notes = [f"{outcomes.height - rows.height:,} visits on complaints are left out"] if rows.height < outcomes.height else []  # fmt: skip
    rows = rows.with_columns(_visits=pl.lit(1.0), _found=pl.col("ineligible").cast(pl.Int64))
    if weighted:
        rows, keys = rows.with_columns(_weight=pl.col("weight").cast(pl.Float64)), [*keys, "_weight"]  # fmt: skip
        notes.append("weighted by the inverse of the probability of inclusion; robust errors")
    if hazard:
        numbers(rows, "visits", {"years_since_review": (0.0, np.inf)}, open_low=["years_since_review"])  # fmt: skip
        rows = rows.with_columns(_log_years=pl.col("years_since_review").log())
        keys = [*keys, "_log_years"]
    if not keys:
        rows, keys = rows.with_columns(_all=pl.lit("all")), ["_all"]
    seen = Experience.collect(rows, keys, exposure="_visits", claims="_found", basis=Basis(currency=""))  # fmt: skip
    with threadpool_limits(1):
        matrix = design(formula, seen, base=base)
        fit = fit_glm(matrix, seen, FAMILIES[link], RESPONSE, prior="_weight" if weighted else None, offset="_log_years" if hazard else None)  # fmt: skip
        found = infer(matrix, fit, seen)
    covariance = found.covariance_model if errors == "model" else found.covariance_robust
    sums = {"visits": seen.values("exposure"), "found_ineligible": seen.values("claims")}
    table = ratio_rows(kind.ratio, matrix, fit.coefficients, covariance, z, sums, seen)
    weight = seen.values("_weight") if weighted else np.ones(seen.cells.height)
    share = float(weight @ seen.values("claims") / (weight @ seen.values("exposure")))
    told = (formula, link, str(dict(matrix.base)), errors, str(level), str(weighted))
    return kind(
        table=table,
        basis=replace(
            seen.basis,
            fingerprint=fingerprint(seen.basis.fingerprint, *told),
            notes=(*notes, "visits are taken as independent"),
        ),
        facts={
            "visits": rows.height, "found": int(rows["_found"].sum()), "share": share,
            "parameters": found.statistics["parameters"], "level": level, "weighted": weighted,
            **widest(table, kind.ratio),
        },
        frames={"tests": wald_tests(matrix.columns, fit.coefficients, covariance)},
        details={
            "formula": formula, "link": link, "columns": columns_kept(matrix.columns),
            "levels": factor_levels(matrix), "base": dict(matrix.base), "means": {},
            "coefficients": _listed(fit.coefficients), "covariance": [_listed(r) for r in covariance],
        },
    )  # fmt: skip


def ineligible_share(
    hazard: float | Sequence[float] | Floats,
    years: float | Sequence[float] | Floats,
    *,
    death: float = 0.0,
    death_after: float | None = None,
) -> Floats:
    """Give the probability of being no longer eligible among those alive, with death competing.

    Parameters
    ----------
    hazard : float or array
        Rate of losing eligibility, a year, 0 or more.
    years : float or array
        Since the last review, 0 or more.
    death : float
        Rate of death of those still eligible, a year.
    death_after : float, optional
        Rate of death of those no longer eligible; as ``death`` where left out.

    Returns
    -------
    array
        1 − exp(−h t) where both die alike.

    Notes
    -----
    Of a case at its review, e^{−(h+μ)t} are alive and eligible, and
    h (e^{−νt} − e^{−(h+μ)t}) ÷ (h + μ − ν) alive and no longer so: the more the fitter survive the
    disabled (ν < μ), the more of those still paid are no longer eligible.

    Examples
    --------
    >>> ineligible_share(0.1, [1.0, 2.0]).round(6).tolist()
    [0.095163, 0.181269]
    >>> float(ineligible_share(0.1, 2.0, death=0.25, death_after=0.05).round(6)) > 0.181269
    True
    """
    h, t = np.broadcast_arrays(np.asarray(hazard, float), np.asarray(years, float))
    nu = death if death_after is None else death_after
    rates = {"hazard": h, "years": t, "death": np.asarray(death), "death_after": np.asarray(nu)}
    faults = [
        f"{n} must be 0 or more and finite"
        for n, v in rates.items()
        if not (np.isfinite(v) & (np.asarray(v) >= 0)).all()
    ]
    if faults:
        raise InputError("rates out of their domain", faults=faults)
    gap = (h + death - nu) * t  # odds = h t (e^gap − 1)/gap
    small = np.abs(gap) < 1e-12
    with np.errstate(over="ignore", invalid="ignore"):
        odds = h * t * np.where(small, 1.0, np.expm1(gap) / np.where(small, 1.0, gap))
        return np.asarray(np.where(np.isinf(odds), 1.0, odds / (1 + odds)))


def _listed(values: Floats) -> list[float | None]:
    return [float(v) if np.isfinite(v) else None for v in values]
