"""Claim severity: amount per claim by rating factor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np
import polars as pl

from pricing.claims.rating import Errors, RatingModel
from pricing.claims.relativities import Options, fit_rating
from pricing.errors import InputError
from pricing.estimate.constraints import Direction
from pricing.estimate.design import variables
from pricing.estimate.families import Gamma, InverseGaussian, Normal
from pricing.estimate.family import Family
from pricing.estimate.response import RESPONSES
from pricing.experience.cells import Experience

__all__ = ["Severity", "bases_of_all", "claims_with_amounts", "fit_severity"]

AmountFamily = Literal["gamma", "inverse_gaussian", "log_normal"]
Nil = Literal["apart", "keep"]
Correction = Literal["variance", "smearing"]


class Severity(RatingModel):
    """A severity model: amount per claim by rating factor.

    ``.facts["nil_claims"]`` counts the claims without an amount and ``.facts["nil"]`` says whether
    they are in. A log-normal model knows amounts by row: per row with an amount, not per claim.
    """

    kind = "severity"


def fit_severity(
    experience: Experience,
    formula: str,
    *,
    family: AmountFamily = "gamma",
    per: Literal["claim", "row"] = "claim",
    nil: Nil = "apart",
    correction: Correction = "variance",
    base: Mapping[str, str] | None = None,
    errors: Errors = "robust",
    level: float = 0.95,
    weight: str | None = None,
    offset: str | None = None,
    monotone: Mapping[str, Direction] | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
) -> Severity:
    """Fit the amount per claim by rating factor: log link, number of claims as weight.

    A row with n claims of total amount a is n claims of mean a/n, with variance φV(μ)/n. Cells
    give the row-level fit, errors and deviance.

    Parameters
    ----------
    experience : Experience
        Cells collected with ``amount=``.
    formula : str
        As in :func:`pricing.claims.models.fit_frequency`.
    family : {"gamma", "inverse_gaussian", "log_normal"}
        V(μ) = μ², μ³; or the log of a row's amount by least squares, which is exact for rows of
        one claim each and else models the amount of a row with claims.
    per : {"claim", "row"}
        The amount of a claim, or of a row (a person-year) that has one, as the second part of a
        two-part model has it. Log-normal is always per row.
    nil : {"apart", "keep"}
        Claims without an amount: set apart and counted (the severity is then of paid claims), or
        kept as claims of amount zero (gamma and inverse Gaussian; the deviance is then not
        defined). Log-normal sets them apart.
    correction : {"variance", "smearing"}
        Log-normal only, from the median to the mean: exp(σ²/2) with σ² the residual variance, or
        the smearing factor Σa/Σexp(η) (Duan 1983), which keeps total amounts and needs no
        normality.
    base, errors, level, weight, offset, monotone, bounds
        As in :func:`pricing.claims.models.fit_frequency`; the base is by exposure, so that it is
        that of the frequency model.

    Returns
    -------
    Severity

    Raises
    ------
    InputError
        For cells without amounts, amounts without a claim (with their total), and as the fit.

    Notes
    -----
    log(E[a/n]) = Xβ (McCullagh and Nelder 1989, section 8.4). Negative amounts (recoveries) are
    refused when the experience is collected: net them against their claim first. AIC and BIC count
    the dispersion as a parameter, and are there where every row with claims has one.

    Examples
    --------
    >>> rows = pl.DataFrame({"tier": ["a", "a", "b", "b"], "exposure": 1.0, "claims": [1, 2, 1, 1],
    ...                      "amount": [100.0, 200.0, 150.0, 250.0]})
    >>> model = fit_severity(Experience.collect(rows, ["tier"], amount="amount"), "tier")
    >>> model.relativities("tier")["relativity"].round(6).to_list()
    [1.0, 2.0]
    """
    families: dict[str, Family] = {
        "gamma": Gamma(),
        "inverse_gaussian": InverseGaussian(),
        "log_normal": Normal(),
    }
    if family not in families:
        raise InputError(f"family {family!r} is not offered: {', '.join(families)}")
    if nil not in ("apart", "keep") or correction not in ("variance", "smearing"):
        raise InputError(f"nil={nil!r} with correction={correction!r} is not offered")
    if nil == "keep" and family == "log_normal":
        raise InputError("the log of a claim without an amount does not exist", do="nil='apart'")
    if per not in ("claim", "row") or (per == "row" and nil == "keep"):
        raise InputError(f"per={per!r} with nil={nil!r} is not offered")
    by_row = per == "row" or family == "log_normal"
    seen, notes, facts = _by_row(experience) if by_row else _with_amounts(experience, nil)
    response = RESPONSES["row_amount" if by_row else "severity"]
    if family == "log_normal":
        response = RESPONSES["log_amount"]
    if nil == "keep" and facts["nil_claims"]:
        response = replace(response, name="severity with nil claims", rows="claim_rows")
    if family == "log_normal":
        notes = (*notes, f"log-normal: the mean is the median times the {correction} correction")
    options = Options(
        base={**bases_of_all(experience, seen, formula), **(base or {})},
        errors=errors,
        level=level,
        weight=weight,
        offset=offset,
        monotone=monotone,
        bounds=bounds,
        notes=notes,
    )
    model = fit_rating(Severity, seen, formula, families[family], response, options)
    facts |= {"nil": nil}
    details = dict(model.details)
    if family == "log_normal":
        details["correction"] = _correction(model, seen, correction)
        facts["correction"] = float(np.exp(details["correction"]))
    return replace(model, facts={**model.facts, **facts}, details=details)


def claims_with_amounts(experience: Experience, model: RatingModel | None) -> Experience:
    """Give the cells that a severity is of; other models are of all cells.

    Examples
    --------
    >>> rows = pl.DataFrame({"tier": ["a", "b"], "exposure": 1.0, "claims": [1, 0], "amount": [9.0, 0.0]})
    >>> claims_with_amounts(Experience.collect(rows, ["tier"], amount="amount"), None).cells.height
    1
    """
    kind = "severity" if model is None else str(model.details.get("response", "frequency"))
    if kind in ("row_amount", "log_amount"):
        return _by_row(experience)[0]
    if not kind.startswith("severity"):
        return experience
    nil: Nil = "apart" if model is None or model.facts["nil"] == "apart" else "keep"
    return _with_amounts(experience, nil)[0]


def _with_amounts(
    experience: Experience, nil: Nil
) -> tuple[Experience, tuple[str, ...], dict[str, float | str]]:
    """Cells with claims; claims without an amount counted, amounts without a claim refused."""
    if "amount_claims" not in experience.cells.columns:
        raise InputError("the cells have no amounts", do="collect the experience with amount=")
    alone = experience.values("amount_without_claims")
    if alone.any():
        raise InputError(
            f"{alone.sum():,.2f} {experience.basis.currency} in {int((alone > 0).sum()):,} cells are "
            "amounts of rows without a claim",
            do="give every amount its claim, or model the amount by policy-year (fit_pure_premium)",
        )
    without = float(experience.values("claims_nil").sum())
    counts: dict[str, float | str] = {"nil_claims": without, "per": "claim"}
    if nil == "keep":
        kept = experience.cells.filter(pl.col("claims") > 0)
        notes = (f"{without:,.0f} claims without an amount are in, as zero",) if without else ()
    else:
        kept = experience.cells.with_columns(
            claims=pl.col("claims") - pl.col("claims_nil"),
            claims_squared=pl.col("claims_squared") - pl.col("claims_squared_nil"),
        ).filter(pl.col("amount_rows") > 0)
        notes = (f"{without:,.0f} claims without an amount are set apart",) if without else ()
    if kept.is_empty():
        raise InputError(f"there are no amounts in {experience.basis.exposure:,.1f} policy-years")
    return replace(experience, cells=kept), notes, counts


def _by_row(experience: Experience) -> tuple[Experience, tuple[str, ...], dict[str, float | str]]:
    """Cells with amounts, whatever their claims."""
    if "amount_rows" not in experience.cells.columns:
        raise InputError("the cells have no amounts", do="collect the experience with amount=")
    kept = experience.cells.filter(pl.col("amount_rows") > 0)
    if kept.is_empty():
        raise InputError(f"there are no amounts in {experience.basis.exposure:,.1f} policy-years")
    nil = float(experience.values("claims_nil").sum())
    notes = ("the amount is of a row with an amount, not of a claim",)
    return replace(experience, cells=kept), notes, {"nil_claims": nil, "per": "row"}


def bases_of_all(experience: Experience, seen: Experience, formula: str) -> dict[str, str]:
    """Give the level with the largest exposure of all cells, where it has claims.

    Examples
    --------
    >>> rows = pl.DataFrame({"tier": ["a", "b", "b"], "exposure": 1.0, "claims": [1, 1, 0], "amount": [9.0, 9.0, 0.0]})
    >>> seen = Experience.collect(rows, ["tier"], amount="amount")
    >>> bases_of_all(seen, claims_with_amounts(seen, None), "tier")
    {'tier': 'b'}
    """
    found = {}
    for name in variables(formula):
        if name in experience.factors:
            by = experience.cells.group_by(name, maintain_order=True).agg(pl.col("exposure").sum())
            largest = by.sort("exposure", descending=True, maintain_order=True)[name].cast(
                pl.String
            )[0]
            if largest in seen.cells[name].cast(pl.String).unique():
                found[name] = largest
    return found


def _correction(model: Severity, seen: Experience, correction: Correction) -> float:
    """Log of the factor from the median of a row's amount to its mean."""
    if correction == "variance":
        return float(model.facts["dispersion"]) / 2
    median = seen.cells.select(model.rate()).to_series().to_numpy()
    return float(np.log(seen.values("amount").sum() / (seen.values("amount_rows") * median).sum()))
