"""Boosted trees on cells: grown, judged out of fold, and what each factor is worth to them.

A Poisson or gamma gradient and Hessian are linear in the response, and a tree looks at their sums
only: a cell with its weight grows the trees of its rows. Factors are whole codes, so the bins are
the levels, on cells as on rows. Only this room knows scikit-learn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.special import ndtri, xlogy
from sklearn.ensemble import HistGradientBoostingRegressor

from pricing.errors import InputError
from pricing.estimate.design import Floats
from pricing.estimate.family import Family
from pricing.estimate.response import RESPONSES, Sums
from pricing.experience.cells import Experience

__all__ = [
    "MOST_LEVELS",
    "Growth",
    "Judged",
    "Rates",
    "grow",
    "judge",
    "losses",
    "saturated",
    "take",
    "worth",
]

MOST_LEVELS = 255  # the bins of a tree: one per level, so that cells and rows are split alike


@dataclass(frozen=True, kw_only=True)
class Growth:
    """How trees are grown: the settings of one boosting."""

    loss: str
    leaves: int
    learning_rate: float
    credibility: float
    monotone: tuple[int, ...]
    unordered: tuple[bool, ...]
    seed: int


def grow(x: Floats, sums: Sums, growth: Growth, trees: int, unit: float = 1.0) -> Any:
    """Grow trees on weighted means; None where there are none to grow.

    Parameters
    ----------
    x : array, cells × factors
        Floats of the levels.
    sums : Sums
        Weight and total by cell.
    growth : Growth
        Settings.
    trees : int
        How many.
    unit : float
        What the totals are measured in.

    Examples
    --------
    >>> rows = pl.DataFrame({"a": ["x", "y"], "exposure": [100.0, 100.0], "claims": [10, 30]})
    >>> seen = Experience.collect(rows, ["a"])
    >>> how = Growth(loss="poisson", leaves=2, learning_rate=1.0, credibility=0.0, monotone=(0,),
    ...              unordered=(False,), seed=1)
    >>> x = np.array([[0.0], [1.0]])
    >>> grow(x, RESPONSES["frequency"].read(seen), how, 40).predict(x).round(6).tolist()
    [0.1, 0.3]
    """
    if trees == 0:
        return None
    model = HistGradientBoostingRegressor(
        loss=growth.loss,
        learning_rate=growth.learning_rate,
        max_iter=trees,
        max_leaf_nodes=growth.leaves,
        min_samples_leaf=1,
        l2_regularization=growth.credibility,
        max_bins=MOST_LEVELS,
        categorical_features=list(growth.unordered) if any(growth.unordered) else None,
        monotonic_cst=list(growth.monotone) if any(growth.monotone) else None,
        early_stopping=False,
        random_state=growth.seed,
    )
    return model.fit(x, sums.total / sums.weight / unit, sample_weight=sums.weight)


def losses(family: Family, sums: Sums, mean: Floats) -> Floats:
    """Give half the deviance of every cell, less its saturated term.

    Examples
    --------
    >>> from pricing.estimate.families import Poisson
    >>> rows = pl.DataFrame({"a": ["x"], "exposure": [2.0], "claims": [2]})
    >>> sums = RESPONSES["frequency"].read(Experience.collect(rows, ["a"]))
    >>> losses(Poisson(), sums, np.array([1.0])).tolist()
    [2.0]
    """
    return np.asarray(
        family.kappa(mean, sums.unit) * sums.weight - family.theta(mean, sums.unit) * sums.total
    )


def saturated(family: Family, experience: Experience, sums: Sums) -> Floats:
    """Give the saturated term of every cell: of the rows, or of the cell where they are not carried.

    Examples
    --------
    >>> from pricing.estimate.families import Poisson
    >>> rows = pl.DataFrame({"a": ["x"], "exposure": [2.0], "claims": [2]})
    >>> seen = Experience.collect(rows, ["a"])
    >>> saturated(Poisson(), seen, RESPONSES["frequency"].read(seen)).tolist()
    [-2.0]
    """
    response = {"gamma": "severity", "quasi_poisson": "pure_premium"}.get(family.name, "frequency")
    found = family.saturated(experience, RESPONSES[response])
    if found is not None:
        return found
    return np.asarray(xlogy(sums.total, sums.total / sums.weight) - sums.total)


@dataclass(frozen=True)
class Rates:
    """Trees with the factor that makes fitted equal observed."""

    model: Any
    factor: float

    @classmethod
    def of(cls, model: Any, x: Floats, sums: Sums, unit: float) -> Rates:
        """Rebase on the cells the trees were grown on."""
        raw = np.ones(len(x)) if model is None else model.predict(x) * unit
        return cls(model, float(sums.total.sum() / (sums.weight @ raw)) * unit)

    def __call__(self, x: Floats) -> Floats:
        """Rate of every row of codes."""
        if self.model is None:
            return np.full(len(x), self.factor)
        return np.asarray(self.model.predict(x) * self.factor)


@dataclass(frozen=True)
class Judged:
    """What was learnt out of fold.

    Attributes
    ----------
    rate : array
        Of every cell, by trees that have not seen it.
    trees : int
        How many pay over all folds.
    stages : list of int
        How many were grown for each fold, chosen on the others.
    models : list of Rates
        One per fold.
    path : polars.DataFrame
        Held-out deviance by number of trees, less that of none.
    """

    rate: Floats
    trees: int
    stages: list[int]
    models: list[Rates]
    path: pl.DataFrame


def judge(
    x: Floats,
    sums: Sums,
    family: Family,
    growth: Growth,
    held: npt.NDArray[np.int64],
    names: Sequence[str],
    trees: int,
    unit: float,
) -> Judged:
    """Grow on all folds but one, follow the held-out deviance, choose the number of trees.

    Parameters
    ----------
    x, sums, family, growth
        Codes and sums of the cells, the deviance, the settings.
    held : array
        Fold of every cell.
    names : sequence of str
        Of the folds.
    trees : int
        The most.
    unit : float
        What the totals are measured in.

    Raises
    ------
    InputError
        For a fold without claims, or with all of them.

    Examples
    --------
    >>> from pricing.estimate.families import Poisson
    >>> rows = pl.DataFrame({"a": list("xyxy"), "b": list("ttuu"), "exposure": 100.0, "claims": [10, 30] * 2})
    >>> sums = RESPONSES["frequency"].read(Experience.collect(rows, ["b", "a"]))
    >>> how = Growth(loss="poisson", leaves=2, learning_rate=0.5, credibility=0.0, monotone=(0,),
    ...              unordered=(False,), seed=1)
    >>> x, folds = np.array([[0.0], [1.0], [0.0], [1.0]]), np.array([0, 0, 1, 1])
    >>> judge(x, sums, Poisson(), how, folds, ["1", "2"], 30, 1.0).rate.round(4).tolist()
    [0.1, 0.3, 0.1, 0.3]
    """
    curves = np.zeros((len(names), trees + 1))
    for k in range(len(names)):
        inside, out = take(sums, held != k), take(sums, held == k)
        if not (inside.total.sum() > 0 and out.total.sum() > 0):
            raise InputError(
                f"fold {names[k]} has no claims, or all of them", do="take fewer folds"
            )
        start = np.full(len(out.weight), inside.total.sum() / inside.weight.sum())
        curves[k, 0] = losses(family, out, start).sum()
        model = grow(x[held != k], inside, growth, trees, unit)
        for stage, raw in enumerate(model.staged_predict(x[held == k]), start=1):
            curves[k, stage] = losses(family, out, raw * unit).sum()
    every = curves.sum(axis=0)
    stages = [int(np.argmin(every - own)) for own in curves]
    rate, models = np.zeros(len(x)), []
    for k, stage in enumerate(stages):
        part = take(sums, held != k)
        # the first trees of a longer boosting are a shorter one: grown again, nothing is cut
        model = grow(x[held != k], part, growth, stage, unit)
        models.append(Rates.of(model, x[held != k], part, unit))
        rate[held == k] = models[-1](x[held == k])
    path = pl.DataFrame(
        {
            "trees": np.arange(trees + 1),
            "deviance_change": 2 * (every - every[0]) / sums.weight.sum(),
        }
    )
    return Judged(rate, int(np.argmin(every)), stages, models, path)


def take(sums: Sums, some: npt.NDArray[np.bool_]) -> Sums:
    """Give the sums of some cells.

    Examples
    --------
    >>> rows = pl.DataFrame({"a": ["x", "y"], "exposure": [1.0, 2.0], "claims": [0, 1]})
    >>> sums = RESPONSES["frequency"].read(Experience.collect(rows, ["a"]))
    >>> take(sums, np.array([False, True])).weight.tolist()
    [2.0]
    """
    return Sums(**{name: values[some] for name, values in vars(sums).items()})


def worth(
    x: Floats,
    sums: Sums,
    family: Family,
    judged: Judged,
    held: npt.NDArray[np.int64],
    levels: Mapping[str, Sequence[str]],
    top: Floats,
    level: float,
) -> pl.DataFrame:
    """Give what the deviance loses out of fold when a factor's level is drawn by chance.

    Parameters
    ----------
    x, sums, family
        Codes and sums of the cells, the deviance.
    judged : Judged
        From :func:`judge`.
    held : array
        Fold of every cell.
    levels : mapping of str to sequence of str
        Levels of every factor, in the order of the columns.
    top : array
        Saturated term of every cell.
    level : float
        Confidence level.

    Examples
    --------
    >>> from pricing.estimate.families import Poisson
    >>> rows = pl.DataFrame({"a": list("xy"), "exposure": 100.0, "claims": [10, 30]})
    >>> seen = Experience.collect(rows, ["a"])
    >>> sums, flat = RESPONSES["frequency"].read(seen), Rates(None, 0.2)
    >>> judged = Judged(np.full(2, 0.2), 0, [0], [flat], pl.DataFrame())
    >>> top = saturated(Poisson(), seen, sums)
    >>> worth(np.eye(2)[:, 1:], sums, Poisson(), judged, np.zeros(2, dtype=int), {"a": "xy"}, top, 0.95)["gain"].item()
    0.0
    """
    own = judged.rate
    theta, kappa = family.theta(own, sums.unit), family.kappa(own, sums.unit)
    spread = sums.total_squared - 2 * own * sums.total_weight + own**2 * sums.weight_squared
    flat = np.full(len(own), sums.total.sum() / sums.weight.sum())
    null = 2 * float((losses(family, sums, flat) + top).sum())
    z = float(ndtri(0.5 + level / 2))
    rows = []
    for j, (name, known) in enumerate(levels.items()):
        share = np.bincount(x[:, j].astype(np.int64), weights=sums.weight, minlength=len(known))
        drawn_theta, drawn_kappa = np.zeros(len(x)), np.zeros(len(x))
        for code, part in enumerate(share / share.sum()):
            moved = x.copy()
            moved[:, j] = code
            rate = np.zeros(len(x))
            for k, model in enumerate(judged.models):
                rate[held == k] = model(moved[held == k])
            drawn_theta += part * family.theta(rate, sums.unit)
            drawn_kappa += part * family.kappa(rate, sums.unit)
        change = (drawn_kappa - kappa) * sums.weight - (drawn_theta - theta) * sums.total
        error = 2 * np.sqrt(np.maximum((drawn_theta - theta) ** 2 * spread, 0).sum())
        gain = 2 * change.sum()
        rows.append(
            (
                name,
                len(known),
                *(
                    float(v) / null if null > 0 else 0.0
                    for v in (gain, gain - z * error, gain + z * error)
                ),
            )
        )
    return pl.DataFrame(rows, schema=["term", "levels", "gain", "lower", "upper"], orient="row")
