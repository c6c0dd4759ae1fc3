"""Generalised linear models on cells by Newton's method, with the proof of convergence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve

from pricing.errors import InputError
from pricing.estimate.constraints import Box
from pricing.estimate.design import Column, Design, Floats, squares
from pricing.estimate.families import NegativeBinomial, Poisson
from pricing.estimate.family import Family
from pricing.estimate.response import RESPONSES, Response, Sums
from pricing.experience.cells import Experience

__all__ = ["GlmFit", "aliased_columns", "fit_glm", "fit_poisson", "maximise"]

SCORE_TOLERANCE = 1e-8  # largest score, relative to what stands behind its column
SETTLED = 1e-14  # a score below this is rounding
MOST_STEPS = 100
SEPARATED = 1e-8  # a fitted mean below this share of the overall mean, in cells without an event
PROBABILITIES = ("logit", "cloglog")  # links of a mean that has an upper end too
ALIAS_TOLERANCE = 1e-10  # share of a column's own sum of squares left by the columns before it


@dataclass(frozen=True)
class GlmFit:
    """A generalised linear model fitted on cells.

    Attributes
    ----------
    coefficients : array, one per design column
        NaN where the column is aliased (a linear combination of earlier ones).
    aliased : boolean array
        Which columns are aliased.
    rate : array, one per cell
        Fitted mean: claims per policy-year, amount per claim, probability.
    family, response, sums
        What was fitted, and to which sums.
    offset : array, one per cell
        Added to the linear predictor.
    bound : boolean array, one per design column
        Coefficients that a constraint holds.
    """

    coefficients: Floats
    aliased: npt.NDArray[np.bool_]
    rate: Floats
    family: Family
    response: Response
    sums: Sums
    offset: Floats
    bound: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))


def fit_poisson(design: Design, experience: Experience) -> GlmFit:
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
        As :func:`fit_glm`.

    Examples
    --------
    >>> import polars as pl
    >>> from pricing.estimate.design import design
    >>> rows = pl.DataFrame({"sex": ["f", "m"], "exposure": [2.0, 1.0], "claims": [1, 1]})
    >>> seen = Experience.collect(rows, ["sex"])
    >>> np.exp(fit_poisson(design("sex", seen), seen).coefficients).round(12).tolist()
    [0.5, 2.0]
    """
    return fit_glm(design, experience, Poisson(), RESPONSES["frequency"])


def fit_glm(
    design: Design,
    experience: Experience,
    family: Family,
    response: Response,
    *,
    prior: str | None = None,
    offset: str | None = None,
    constraint: Box | None = None,
) -> GlmFit:
    """Fit g(μ) = Xβ + offset by maximum (quasi-)likelihood on the cells.

    Parameters
    ----------
    design : Design
        Matrix on the cells of ``experience``.
    experience : Experience
        Cells with the response's sums.
    family, response
        What is fitted, to which sums.
    prior : str, optional
        Numeric key that weighs the log-likelihood of every row.
    offset : str, optional
        Numeric key added to the linear predictor, its coefficient held at one.
    constraint : Box, optional
        Bounds and orders of coefficients.

    Raises
    ------
    InputError
        Where a level has no event (its relativity has no finite estimate), where there are none
        at all, where a combination of levels runs away, or where the fit does not converge.

    Notes
    -----
    Newton with the observed information (the expected one where that is not positive definite),
    halving steps that do not lower the deviance; under bounds, projected (Bertsekas 1982). The
    score is held against the size of its column; bounded coefficients against the sign of theirs
    (Karush, Kuhn and Tucker), and only a fit that passes is returned.

    Examples
    --------
    >>> import polars as pl
    >>> from pricing.estimate.design import design
    >>> from pricing.estimate.families import Gamma
    >>> rows = pl.DataFrame({"sex": ["f", "m", "m"], "exposure": [1.0] * 3, "claims": [1, 1, 2],
    ...                      "amount": [100.0, 100.0, 500.0]})
    >>> seen = Experience.collect(rows, ["sex"], amount="amount")
    >>> fit = fit_glm(design("sex", seen, base={"sex": "f"}), seen, Gamma(), RESPONSES["severity"])
    >>> np.exp(fit.coefficients).round(9).tolist()
    [100.0, 2.0]
    """
    sums = response.read(experience, prior)
    if family.link != "identity" and not sums.total.sum() > 0:
        raise InputError(
            f"there are no {response.events} in {sums.weight.sum():,.1f} {response.unit}"
        )
    shift = _offset(experience, offset)
    gram = np.asarray(design.matrix.sandwich(sums.weight))
    aliased = aliased_columns(gram)
    kept = np.flatnonzero(~aliased)
    if family.link != "identity":
        free = constraint.terms if constraint else frozenset()
        _require_events(design, sums, kept, response, family, free)
    matrix = design.keep(~aliased)
    box = constraint.keep(~aliased) if constraint else None
    first = gram[np.ix_(kept, kept)] if offset is None else None
    beta, mean, bound = maximise(matrix, sums, family, shift, box=box, gram=first)
    if family.link != "identity":
        _require_finite(mean, sums, response, family)
    wide = np.zeros(len(design.columns), dtype=bool)
    wide[kept] = bound
    coefficients = np.full(len(design.columns), np.nan)
    coefficients[kept] = beta
    return GlmFit(coefficients, aliased, mean, family, response, sums, shift, wide)


def maximise(
    matrix: Any,
    sums: Sums,
    family: Family,
    offset: Floats,
    *,
    box: Box | None = None,
    gram: Floats | None = None,
    start: Floats | None = None,
) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
    """Find the maximum: coefficients, fitted means, and which coefficients a bound holds.

    Parameters
    ----------
    matrix : tabmat matrix
        Cells × columns of full rank, the first column the intercept.
    sums : Sums
        Of the response.
    family : Family
        Variance and link.
    offset : array
        Of every cell.
    box : Box, optional
        Bounds on linear combinations of the coefficients.
    gram : array, optional
        X'WX where it is known: the first information up to a factor.
    start : array, optional
        Coefficients to begin with.

    Raises
    ------
    InputError
        Where the score does not vanish.

    Examples
    --------
    >>> import polars as pl
    >>> from pricing.estimate.design import design
    >>> rows = pl.DataFrame({"sex": ["f", "m"], "exposure": [2.0, 1.0], "claims": [1, 1]})
    >>> seen = Experience.collect(rows, ["sex"])
    >>> x, sums = design("sex", seen).matrix, RESPONSES["frequency"].read(seen)
    >>> np.exp(maximise(x, sums, Poisson(), np.zeros(2))[0]).round(12).tolist()
    [0.5, 2.0]
    """
    beta = _start(matrix, sums, family, offset) if start is None else start.copy()
    if box is not None:
        beta, gram = box.inside(beta), None

    def at(b: Floats) -> tuple[Floats, float]:
        mean = family.mean(matrix.matvec(b) + offset)
        with np.errstate(all="ignore"):
            loss = family.loss(mean, sums)
        return mean, loss

    mean, loss = at(beta)
    if not np.isfinite(loss):
        raise InputError("the fit cannot begin: the offset or a covariate is out of all scale")
    last, held = np.inf, np.zeros(len(beta), dtype=bool)
    for step in range(MOST_STEPS):
        ratio = family.slope(mean) / family.variance(mean, sums.unit)
        score = np.asarray(matrix.transpose_matvec((sums.total - sums.weight * mean) * ratio))
        behind = (np.abs(sums.total) + sums.weight * np.abs(mean)) * np.abs(ratio)
        size = np.sqrt(np.maximum(squares(matrix, behind), 0) * behind.sum()) + 1e-300
        if box is not None:
            held, worst = box.held(beta, score, size)
        else:
            worst = float(np.max(np.abs(score) / size))
        if worst < SETTLED or (worst < SCORE_TOLERANCE and worst > 0.5 * last):
            break
        last = worst
        if step == 0 and gram is not None and start is None and _flat(family):
            information = gram * float((ratio * family.slope(mean))[0])
            path = _path(beta, _solve(information, score))
        else:
            path = _direction(matrix, family, mean, sums, beta, score, box)
        beta, mean, loss = _search(at, path, beta, mean, loss)
    if not worst < SCORE_TOLERANCE:
        raise InputError(
            f"the fit did not converge: the score is still {worst:.1e} of the claims",
            do="look for levels with almost no exposure, or covariates on very different scales",
        )
    return beta, mean, held


Point = tuple[Floats, float]
Path = Callable[[float], Floats]


def _search(
    at: Callable[[Floats], Point], path: Path, beta: Floats, mean: Floats, loss: float
) -> tuple[Floats, Floats, float]:
    """Take the step, or the half of it, and so on, until the deviance does not rise."""
    size = 1.0
    while size > 1e-9:
        trial = path(size)
        new_mean, new_loss = at(trial)
        if np.isfinite(new_loss) and new_loss <= loss + 1e-11 * abs(loss):
            return trial, new_mean, new_loss
        size /= 2
    return beta, mean, loss


def _direction(
    matrix: Any,
    family: Family,
    mean: Floats,
    sums: Sums,
    beta: Floats,
    score: Floats,
    box: Box | None,
) -> Path:
    """Newton's step with the observed information, or with the expected where that fails."""
    for weights in (family.observed, family.expected):
        information = np.asarray(matrix.sandwich(weights(mean, sums)))
        try:
            if box is not None:
                return box.path(beta, information, score)
            return _path(beta, _solve(information, score))
        except np.linalg.LinAlgError:
            continue
    raise InputError(
        "the fit did not converge: the information is singular",
        do="look for a combination of levels without claims, or covariates that go together",
    )


def _path(beta: Floats, move: Floats) -> Path:
    return lambda size: beta + size * move


def _solve(information: Floats, score: Floats) -> Floats:
    scale = 1 / np.sqrt(np.maximum(np.diag(information), 1e-300))
    factor = cho_factor(information * np.outer(scale, scale))
    return np.asarray(cho_solve(factor, score * scale) * scale)


def _flat(family: Family) -> bool:
    """Whether a constant mean makes every weight a multiple of Σw."""
    return not isinstance(family, NegativeBinomial)


def _start(matrix: Any, sums: Sums, family: Family, offset: Floats) -> Floats:
    """Begin at the overall mean."""
    first = np.zeros(matrix.shape[1])
    if family.link == "log":
        first[0] = np.log(sums.total.sum() / (sums.weight * np.exp(offset)).sum())
    else:
        first[0] = family.predictor(float(sums.total.sum() / sums.weight.sum()))
    return first


def _offset(experience: Experience, offset: str | None) -> Floats:
    if offset is None:
        return np.zeros(experience.cells.height)
    if offset not in experience.keys or offset in experience.factors:
        raise InputError(
            f"offset {offset!r} is not a numeric key of the experience",
            do="collect the experience with it among the keys, on the scale of the linear predictor",
        )
    return experience.values(offset)


def _require_finite(mean: Floats, sums: Sums, response: Response, family: Family) -> None:
    """Refuse a likelihood whose maximum lies at infinity (Correia, Guimarães and Zylkin 2019).

    Levels may all have claims and a combination of them none: its coefficients then run off to
    minus infinity, the score vanishes, and the errors mean nothing.
    """
    overall = sums.total.sum() / sums.weight.sum()
    gone = (sums.total == 0) & (mean < SEPARATED * overall)
    if family.link in PROBABILITIES:
        gone |= (sums.total == sums.weight) & (1 - mean < SEPARATED * (1 - overall))
    if gone.any():
        zero = "a rate of zero" if family.link == "log" else "a probability of zero or one"
        raise InputError(
            f"the fit runs away to {zero} in {int(gone.sum()):,} cells without {_one(response.event)} "
            f"({sums.weight[gone].sum():,.1f} {response.unit}): some relativities have no finite "
            "estimate",
            do="leave out the interaction, or group its levels with a neighbour",
        )


def aliased_columns(gram: Floats) -> npt.NDArray[np.bool_]:
    """Find columns that earlier columns already span: Cholesky in order, as R's lm does.

    Examples
    --------
    >>> aliased_columns(np.array([[1.0, 2.0], [2.0, 4.0]])).tolist()
    [False, True]
    """
    aliased = np.diag(gram) <= 0
    scale = np.sqrt(np.maximum(np.diag(gram), 1e-300))
    left = gram / np.outer(scale, scale)
    for j in range(len(left)):
        if aliased[j] or left[j, j] <= ALIAS_TOLERANCE:
            aliased[j] = True
            continue
        column = left[j:, j] / np.sqrt(left[j, j])
        left[j:, j:] -= np.outer(column, column)
    return np.asarray(aliased, dtype=bool)


def _require_events(
    design: Design,
    sums: Sums,
    kept: npt.NDArray[np.intp],
    response: Response,
    family: Family,
    free: frozenset[str],
) -> None:
    """Refuse a level with exposure and no claim: its maximum-likelihood relativity is zero."""
    faults = _empty(design, sums.weight, sums.total, kept, free, f"no {response.event}", response)
    if family.link in PROBABILITIES:
        rest = sums.weight - sums.total
        faults += _empty(design, sums.weight, rest, kept, free, f"only {response.events}", response)
    if faults:
        raise InputError(
            f"levels without {_one(response.event)} have no finite relativity",
            faults=faults,
            do="group them with a neighbour, or leave the factor out",
        )


def _empty(
    design: Design,
    weight: Floats,
    total: Floats,
    kept: npt.NDArray[np.intp],
    free: frozenset[str],
    what: str,
    response: Response,
) -> list[str]:
    n, w = (np.asarray(design.matrix.transpose_matvec(v)) for v in (total, weight))
    faults = [
        f"{design.columns[j].name}: {what} in {w[j]:,.1f} {response.unit}"
        for j in kept
        if _is_level(design.columns[j])
        and design.columns[j].term not in free
        and n[j] == 0
        and w[j] > 0
    ]
    some = total[total > 0]
    least = 0.5 * min(1.0, float(some.min())) if len(some) else 0.0
    for name in design.levels:
        own = [j for j, c in enumerate(design.columns) if c.variables == (name,)]
        # the base has the total less that of the other levels
        if own and name not in free and total.sum() - sum(n[j] for j in own) < least:
            left = weight.sum() - sum(w[j] for j in own)
            faults.append(
                f"{name}[{design.base[name]}] (base): {what} in {left:,.1f} {response.unit}"
            )
    return faults


def _one(event: str) -> str:
    return f"{'an' if event[0] in 'aeiou' else 'a'} {event}"


def _is_level(column: Column) -> bool:
    return bool(column.levels) and all(level is not None for level in column.levels)
