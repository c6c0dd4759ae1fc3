"""The Poisson fit on cells, behind one adapter to glum, and its proof of convergence."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from glum import GeneralizedLinearRegressor

from pricing.errors import InputError
from pricing.estimate.design import Column, Design, Floats
from pricing.experience.cells import Experience

__all__ = ["PoissonFit", "fit_poisson"]

SCORE_TOLERANCE = 1e-8  # largest score, relative to the claims behind its column
SEPARATED = 1e-8  # a fitted rate below this share of the mean, in cells without a claim
ALIAS_TOLERANCE = 1e-10  # share of a column's own sum of squares left by the columns before it


@dataclass(frozen=True)
class PoissonFit:
    """Coefficients of a Poisson GLM with log link, and the fitted rate of every cell.

    Attributes
    ----------
    coefficients : array, one per design column
        NaN where the column is aliased (a linear combination of earlier ones).
    aliased : boolean array
        Which columns are aliased.
    rate : array, one per cell
        Fitted claims per policy-year.
    """

    coefficients: Floats
    aliased: npt.NDArray[np.bool_]
    rate: Floats


def fit_poisson(design: Design, experience: Experience) -> PoissonFit:
    """Fit log(rate) = Xβ by maximum likelihood, n ~ Poisson(e·rate).

    Claims per policy-year with exposure as weight and claims with log exposure as offset have the
    same score, so cells give the row-level coefficients (McCullagh and Nelder 1989, section 6.2).

    Parameters
    ----------
    design : Design
        Matrix on the cells of ``experience``.
    experience : Experience
        Claims and exposure by cell.

    Raises
    ------
    InputError
        Where a level has exposure but no claim (its relativity has no finite estimate), where
        there are no claims at all, where a combination of levels runs away to a rate of zero, or
        where the fit does not converge.

    Examples
    --------
    >>> import polars as pl
    >>> from pricing.estimate.design import design
    >>> rows = pl.DataFrame({"sex": ["f", "m"], "exposure": [2.0, 1.0], "claims": [1, 1]})
    >>> seen = Experience.collect(rows, ["sex"])
    >>> np.exp(fit_poisson(design("sex", seen), seen).coefficients).round(12).tolist()
    [0.5, 2.0]
    """
    exposure, claims = experience.values("exposure"), experience.values("claims")
    if not claims.sum() > 0:
        raise InputError(f"there are no claims in {exposure.sum():,.1f} policy-years")
    aliased = _aliased(design, exposure)
    kept = np.flatnonzero(~aliased)
    _require_claims(design, exposure, claims, kept)
    matrix = design.keep(~aliased)
    beta = _glum(
        matrix, claims / exposure, exposure, start=float(np.log(claims.sum() / exposure.sum()))
    )
    rate = np.exp(matrix.matvec(beta))
    score = matrix.transpose_matvec(claims - exposure * rate)
    size = np.maximum(_absolute(matrix, claims), 1e-300)
    worst = float(np.max(np.abs(score) / size))
    if not worst < SCORE_TOLERANCE:
        raise InputError(
            f"the fit did not converge: the score is still {worst:.1e} of the claims",
            do="look for levels with almost no exposure, or covariates on very different scales",
        )
    _require_finite(rate, exposure, claims)
    coefficients = np.full(len(design.columns), np.nan)
    coefficients[kept] = beta
    return PoissonFit(coefficients, aliased, rate)


def _require_finite(rate: Floats, exposure: Floats, claims: Floats) -> None:
    """Refuse a likelihood whose maximum lies at infinity (Correia, Guimarães and Zylkin 2019).

    Levels may all have claims and a combination of them none: its coefficients then run off to
    minus infinity, the score vanishes, and the errors mean nothing.
    """
    gone = (claims == 0) & (rate < SEPARATED * claims.sum() / exposure.sum())
    if gone.any():
        raise InputError(
            f"the fit runs away to a rate of zero in {int(gone.sum()):,} cells without a claim "
            f"({exposure[gone].sum():,.1f} policy-years): some relativities have no finite estimate",
            do="leave out the interaction, or group its levels with a neighbour",
        )


def _glum(matrix: object, rate: Floats, weight: Floats, *, start: float) -> Floats:
    first = np.zeros(matrix.shape[1])  # type: ignore[attr-defined]
    first[0] = start
    model = GeneralizedLinearRegressor(
        family="poisson",
        alpha=0,
        fit_intercept=False,
        start_params=first,
        gradient_tol=1e-13,
        max_iter=60,
        check_input=False,
    )
    with warnings.catch_warnings():
        # glum's own tolerance is absolute; the score is held against the claims by the caller.
        warnings.simplefilter("ignore")
        model.fit(matrix, rate, sample_weight=weight)
    return np.asarray(model.coef_, dtype=np.float64)


def _aliased(design: Design, weight: Floats) -> npt.NDArray[np.bool_]:
    """Find columns that earlier columns already span: Cholesky in order, as R's lm does."""
    gram = np.asarray(design.matrix.sandwich(weight))
    aliased = np.diag(gram) <= 0
    scale = np.sqrt(np.maximum(np.diag(gram), 1e-300))
    left = gram / np.outer(scale, scale)
    for j in range(len(left)):
        if aliased[j] or left[j, j] <= ALIAS_TOLERANCE:
            aliased[j] = True
            continue
        column = left[:, j] / np.sqrt(left[j, j])
        left[:, j:] -= np.outer(column, column[j:])
    return np.asarray(aliased, dtype=bool)


def _require_claims(
    design: Design, exposure: Floats, claims: Floats, kept: npt.NDArray[np.intp]
) -> None:
    """Refuse a level with exposure and no claim: its maximum-likelihood relativity is zero."""
    with_claims = np.asarray(design.matrix.transpose_matvec(claims))
    behind = np.asarray(design.matrix.transpose_matvec(exposure))
    empty = [
        design.columns[j]
        for j in kept
        if _is_level(design.columns[j]) and with_claims[j] == 0 and behind[j] > 0
    ]
    cells = list(design.levels)
    faults = [
        f"{c.name}: no claim in {behind[design.columns.index(c)]:,.1f} policy-years" for c in empty
    ]
    faults += _empty_bases(design, exposure, claims, cells)
    if faults:
        raise InputError(
            "levels without a claim have no finite relativity",
            faults=faults,
            do="group them with a neighbour, or leave the factor out",
        )


def _empty_bases(design: Design, exposure: Floats, claims: Floats, factors: list[str]) -> list[str]:
    """Claims at the base of a factor: the total less those of its other levels."""
    faults = []
    n, e = (design.matrix.transpose_matvec(v) for v in (claims, exposure))
    for name in factors:
        own = [j for j, c in enumerate(design.columns) if c.variables == (name,)]
        if claims.sum() - sum(n[j] for j in own) < 0.5 * min(1.0, claims[claims > 0].min()):
            left = exposure.sum() - sum(e[j] for j in own)
            faults.append(
                f"{name}[{design.base[name]}] (base): no claim in {left:,.1f} policy-years"
            )
    return faults


def _is_level(column: Column) -> bool:
    return bool(column.levels) and all(level is not None for level in column.levels)


def _absolute(matrix: object, claims: Floats) -> Floats:
    """Σ|x|n per column: the size its score is measured against."""
    squares = np.diag(matrix.sandwich(claims))  # type: ignore[attr-defined]
    return np.asarray(np.sqrt(np.maximum(squares, 0) * claims.sum()))
