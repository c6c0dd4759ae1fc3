"""Elastic net: relativities shrunk to the base, the penalty chosen by cross-validation on cells.

The only room that knows glum.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
from glum import GeneralizedLinearRegressor, TweedieDistribution
from threadpoolctl import threadpool_limits

from pricing.claims.models import Frequency
from pricing.claims.pure_premium import PurePremium
from pricing.claims.rating import RatingModel
from pricing.claims.relativities import Options, assemble
from pricing.claims.severity import Severity, bases_of_all, claims_with_amounts
from pricing.errors import InputError
from pricing.estimate.design import Design, Floats, design, squares
from pricing.estimate.families import Gamma, Poisson, Tweedie
from pricing.estimate.family import Family
from pricing.estimate.glm import GlmFit
from pricing.estimate.inference import infer
from pricing.estimate.response import RESPONSES, Sums
from pricing.experience.cells import Experience

__all__ = ["deal", "fit_elastic_net"]

Target = Literal["frequency", "severity", "pure_premium"]
KINDS: Mapping[str, type[RatingModel]] = {
    "frequency": Frequency,
    "severity": Severity,
    "pure_premium": PurePremium,
}
WITHOUT = (
    "a penalty shrinks the relativities: the usual errors do not hold, so there are no intervals "
    "and no tests"
)
KKT = 1e-6  # largest breach of the optimum's conditions, relative to the score at the overall mean


def fit_elastic_net(
    experience: Experience,
    formula: str,
    *,
    response: Target = "frequency",
    power: float = 1.5,
    l1_ratio: float = 0.5,
    penalty: float | None = None,
    penalties: int = 30,
    folds: int | str = 5,
    rule: Literal["best", "one_se"] = "best",
    seed: int = 1,
    base: Mapping[str, str] | None = None,
) -> RatingModel:
    """Fit with an elastic-net penalty, chosen by cross-validation on cells.

    Minimises D/(2Σw) + α(ρ‖sβ‖₁ + (1 − ρ)‖sβ‖²/2), intercept free; s is one for an indicator and
    the standard deviation of a covariate, so units do not matter (Zou and Hastie 2005; Friedman,
    Hastie and Tibshirani 2010). Relativities shrink to the base level.

    Parameters
    ----------
    experience : Experience
        Cells.
    formula : str
        As in :func:`pricing.claims.models.fit_frequency`.
    response : {"frequency", "severity", "pure_premium"}
        Poisson, gamma, or Tweedie of ``power``.
    power : float
        Of the pure premium, between 1 and 2.
    l1_ratio : float
        ρ, from 0 (ridge) to 1 (lasso).
    penalty : float, optional
        α; left out, cross-validation chooses it.
    penalties : int
        How many are tried, from the least that leaves nothing but the intercept down to 1e-4 of it.
    folds : int or str
        Number of folds that whole cells are dealt to at random, or a key (such as year) whose every
        value is one fold: then the model is judged on values it has not seen. ``.frames["folds"]``
        shows the weight and the mean of each fold, as cells are not alike in size.
    rule : {"best", "one_se"}
        The penalty with the least held-out deviance, or the largest within one standard error.
    seed : int
        Of the deal.
    base : mapping of str to str, optional
        Base level by factor.

    Returns
    -------
    Frequency, Severity or PurePremium
        Without intervals and tests, and saying so; ``.frames["path"]``: penalty, explained (mean
        held-out deviance explained, per unit of weight), std_error, nonzero.

    Raises
    ------
    InputError
        For options outside their domain, folds that are no fold, and a fit that does not meet the
        conditions of its optimum.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> rows = pl.DataFrame({"a": rng.integers(0, 4, 800).astype(str), "b": rng.integers(0, 9, 800).astype(str),
    ...                      "exposure": 1.0, "claims": rng.poisson(1.0, 800)})
    >>> model = fit_elastic_net(Experience.collect(rows, ["a", "b"]), "a + b", l1_ratio=1.0)
    >>> model.table["upper"].null_count() == model.table.height - 2, model.facts["nonzero"] < 11
    (True, True)
    """
    if response not in KINDS or not 0 <= l1_ratio <= 1 or rule not in ("best", "one_se"):
        raise InputError(
            f"response={response!r}, l1_ratio={l1_ratio} with rule={rule!r} is not offered"
        )
    family: Family = Poisson()
    nil = 0.0
    if response == "severity":
        family, whole = Gamma(), experience
        experience = claims_with_amounts(whole, None)
        nil = float(whole.values("claims_nil").sum())
        base = {**bases_of_all(whole, experience, formula), **(base or {})}
    if response == "pure_premium":
        if not 1 < power < 2:
            raise InputError(f"the power lies between 1 and 2, got {power}")
        family = Tweedie(power)
    if penalty is not None and not 0 < penalty < np.inf:
        raise InputError(f"the penalty must be above zero, got {penalty}")
    matrix = design(formula, experience, base=base)
    if len(matrix.columns) < 2:
        raise InputError("there is nothing to shrink but the intercept", where=formula)
    sums = RESPONSES[response].read(experience)
    if not sums.total.sum() > 0:
        raise InputError(f"there are no {RESPONSES[response].events} to fit")
    net = _Net(matrix, sums, family, l1_ratio)
    frames: dict[str, pl.DataFrame] = {}
    if penalty is None:
        path = net.most() * np.logspace(0, -4, penalties)
        held, names = deal(experience, folds, seed)
        frames, penalty = _validated(net, path, held, names, rule)
    with threadpool_limits(1):
        beta = net.fit(np.ones(len(sums.weight), dtype=bool), np.array([penalty]))[0]
    breach = net.breach(beta, penalty)
    if not breach < KKT:
        raise InputError(
            f"the penalised fit did not converge: its conditions are missed by {breach:.1e}",
            do="try a larger penalty, or bring covariates to a like scale",
        )
    size = len(matrix.columns)
    fit = GlmFit(
        beta,
        np.zeros(size, dtype=bool),
        np.exp(np.asarray(matrix.matrix.matvec(beta))),
        family,
        RESPONSES[response],
        sums,
        np.zeros(len(sums.weight)),
        np.zeros(size, dtype=bool),
    )
    found = assemble(
        KINDS[response],
        formula,
        matrix,
        fit,
        infer(matrix, fit, experience, covariance=False),
        experience,
        Options(base=base),
        without_inference=WITHOUT,
    )
    facts = {
        **found.facts,
        "penalty": float(penalty),
        "l1_ratio": l1_ratio,
        "nonzero": int((beta[1:] != 0).sum()),
        "aic": None,
        "bic": None,
        **({"power": power} if response == "pure_premium" else {}),
        **({"nil_claims": nil, "nil": "apart", "per": "claim"} if response == "severity" else {}),
    }
    return replace(found, facts=facts, frames={**found.frames, **frames})


class _Net:
    """One design and its sums, to be fitted with many penalties on parts of the cells."""

    def __init__(self, matrix: Design, sums: Sums, family: Family, l1_ratio: float) -> None:
        self.sums, self.family, self.l1_ratio = sums, family, l1_ratio
        after = np.arange(len(matrix.columns)) > 0
        self.matrix = matrix.keep(after)
        weight = sums.weight / sums.weight.sum()
        mean = np.asarray(self.matrix.transpose_matvec(weight))
        spread = np.sqrt(np.maximum(squares(self.matrix, weight) - mean**2, 0))
        level = np.array([None not in c.levels for c in matrix.columns[1:]])
        self.scale = np.where(level, 1.0, spread)
        self.distribution: Any = {
            "poisson": "poisson",
            "gamma": "gamma",
            "tweedie": TweedieDistribution(getattr(family, "power", 1.5)),
        }[family.name]

    def score(self, beta: Floats) -> Floats:
        """Gradient of the log-likelihood per unit of weight."""
        mean = np.exp(beta[0] + np.asarray(self.matrix.matvec(beta[1:])))
        ratio = mean / self.family.variance(mean, self.sums.unit)
        residual = (self.sums.total - self.sums.weight * mean) * ratio / self.sums.weight.sum()
        own = np.asarray(self.matrix.transpose_matvec(residual))
        return np.concatenate([[residual.sum()], own])

    def null(self) -> Floats:
        beta = np.zeros(len(self.scale) + 1)
        beta[0] = np.log(self.sums.total.sum() / self.sums.weight.sum())
        return beta

    def most(self) -> float:
        """The least penalty at which every coefficient is zero."""
        steep = np.abs(self.score(self.null())[1:]) / self.scale
        return float(steep.max() / max(self.l1_ratio, 1e-2))

    def fit(self, cells: npt.NDArray[np.bool_], path: Floats) -> Floats:
        """Coefficients along the path of penalties, each begun at the last."""
        at = np.flatnonzero(cells)
        matrix, w = self.matrix[at], self.sums.weight[at]
        y = self.sums.total[at] / w
        start = np.zeros(len(self.scale) + 1)
        start[0] = np.log((w @ y) / w.sum())
        found = []
        for penalty in path:
            model = GeneralizedLinearRegressor(
                family=self.distribution,
                link="log",
                alpha=float(penalty),
                l1_ratio=self.l1_ratio,
                P1=self.scale,
                P2=self.scale**2,
                start_params=start,
                gradient_tol=1e-9,
                max_iter=300,
                check_input=False,
            )
            with warnings.catch_warnings():
                # glum's own tolerance is absolute; the conditions are checked by the caller
                warnings.simplefilter("ignore")
                model.fit(matrix, y, sample_weight=w)
            start = np.concatenate([[model.intercept_], model.coef_]).astype(np.float64)
            found.append(start)
        return np.array(found)

    def breach(self, beta: Floats, penalty: float) -> float:
        """How far the optimum's conditions are missed, relative to the score at the overall mean."""
        score, b = self.score(beta), beta[1:]
        flat = score[1:] - penalty * (1 - self.l1_ratio) * self.scale**2 * b
        edge = penalty * self.l1_ratio * self.scale
        amiss = np.where(
            b != 0, np.abs(flat - edge * np.sign(b)), np.maximum(np.abs(flat) - edge, 0)
        )
        size = np.abs(self.score(self.null())[1:]).max() + 1e-300
        return float(max(amiss.max(), abs(score[0])) / size)

    def loss(self, beta: Floats, cells: npt.NDArray[np.bool_]) -> float:
        """Half the deviance of some cells less its saturated term, per unit of weight."""
        mean = np.exp(beta[0] + np.asarray(self.matrix.matvec(beta[1:])))[cells]
        s = self.sums
        theta = self.family.theta(mean, s.unit[cells])
        kappa = self.family.kappa(mean, s.unit[cells])
        total = (kappa * s.weight[cells]).sum() - (theta * s.total[cells]).sum()
        return float(total / s.weight[cells].sum())


def deal(
    experience: Experience, folds: int | str, seed: int
) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Number the fold of every cell, and name the folds.

    Parameters
    ----------
    experience : Experience
        Cells.
    folds : int or str
        Number of folds that whole cells are dealt to at random, or a key whose values are folds.
    seed : int
        Of the deal.

    Raises
    ------
    InputError
        For a key that is not there, and for fewer than 2 or more than 50 folds.

    Examples
    --------
    >>> rows = pl.DataFrame({"year": ["a", "b"], "exposure": [1.0, 1.0], "claims": [0, 1]})
    >>> held, names = deal(Experience.collect(rows, ["year"]), "year", 1)
    >>> held.tolist(), names
    ([0, 1], ['a', 'b'])
    """
    if isinstance(folds, str):
        if folds not in experience.keys:
            raise InputError(f"folds={folds!r} is not a key of the experience")
        values = experience.cells[folds].cast(pl.String)
        names = values.unique(maintain_order=True).sort().to_list()
        place = {name: k for k, name in enumerate(names)}
        numbers = np.array([place[v] for v in names], dtype=np.int64)
        codes = values.replace_strict(place, return_dtype=pl.Int64).to_numpy()
        if not 2 <= len(numbers) <= 50:
            raise InputError(f"{folds!r} has {len(numbers)} values, and folds are 2 to 50")
        return codes, names
    cells = experience.cells.height
    if not 2 <= folds <= min(50, cells):
        raise InputError(f"folds={folds} of {cells:,} cells: there are 2 to 50, none empty")
    dealt = np.random.default_rng(seed).permutation(np.arange(cells) % folds)
    return dealt.astype(np.int64), [f"{k + 1}" for k in range(folds)]


def _validated(
    net: _Net,
    path: Floats,
    held: npt.NDArray[np.int64],
    names: Sequence[str],
    rule: str,
) -> tuple[dict[str, pl.DataFrame], float]:
    """Deviance explained out of fold, by penalty, and the penalty chosen."""
    s = net.sums
    explained = np.zeros((len(names), len(path)))
    with threadpool_limits(1):
        for k in range(len(names)):
            out = held == k
            if not (s.total[out].sum() > 0 and s.total[~out].sum() > 0):
                raise InputError(
                    f"fold {names[k]} has no claims, or all of them", do="take fewer folds"
                )
            null = np.zeros(len(net.scale) + 1)
            null[0] = np.log(s.total[~out].sum() / s.weight[~out].sum())
            base = net.loss(null, out)
            betas = net.fit(~out, path)
            explained[k] = [2 * (base - net.loss(beta, out)) for beta in betas]
        whole = net.fit(np.ones(len(held), dtype=bool), path)
    share = np.array([s.weight[held == k].sum() for k in range(len(names))])
    mean = share @ explained / share.sum()
    error = np.sqrt(
        (share / share.sum()) ** 2 @ (explained - mean) ** 2 * len(names) / (len(names) - 1)
    )
    best = int(np.argmax(mean))
    if rule == "one_se":
        best = int(np.argmax(mean >= mean[best] - error[best]))
    frames = {
        "path": pl.DataFrame(
            {
                "penalty": path,
                "explained": mean,
                "std_error": error,
                "nonzero": (whole[:, 1:] != 0).sum(axis=1),
            }
        ),
        "folds": pl.DataFrame(
            {
                "fold": list(names),
                "cells": [int((held == k).sum()) for k in range(len(names))],
                "weight": share / share.sum(),
                "mean": [
                    s.total[held == k].sum() / s.weight[held == k].sum() for k in range(len(names))
                ],
            }
        ),
    }
    return frames, float(path[best])
