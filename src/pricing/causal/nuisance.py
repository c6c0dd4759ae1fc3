"""Nuisance: who joins and what they would claim, predicted for each person from the others.

Neither is the answer; both stand between the data and it. They are cross-fitted: a person's own
claims never train the prediction made for that person (Chernozhukov et al. 2018, The Econometrics
Journal 21, C1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from scipy.special import expit, ndtr
from threadpoolctl import threadpool_limits

from pricing.causal.people import Codes, Flags, People, added
from pricing.errors import InputError, nearest
from pricing.estimate.design import Floats

__all__ = [
    "Learner", "Nuisance", "Outcome", "Regression", "fit_nuisance", "log_fit", "propensity_fit",
]  # fmt: skip

Learner = Literal["glm", "boosting"]
Outcome = Literal["poisson", "tweedie", "two_part", "linear"]
RIDGE = 1e-6  # of the information's diagonal: a fold may hold a level without a claim
STEPS = 60
SURE = "some people are sure to join or not to"
POWER = 1.5


@dataclass(frozen=True)
class Regression:
    """One regression behind a nuisance, for the error that comes of having estimated it.

    Attributes
    ----------
    design : array
        Its columns, by cell.
    cell : integer array
        Row of the design, by row.
    slope : array
        Derivative of the predicted mean in the linear predictor, by row.
    scores : tuple of (array, array)
        Residual by row, and inverse information: row i moves the coefficients by residual_i · B x_i.
        Two where two models were fitted on the same columns.
    """

    design: Floats
    cell: Codes
    slope: Floats
    scores: tuple[tuple[Floats, Floats], ...]

    def drift(self, gradient: Floats) -> Floats:
        """Influence of each row on Σ gradient·prediction."""
        x, cell = self.design, self.cell
        toward = added(self.slope * gradient, cell, len(x)) @ x
        parts = [left * (x @ (bread @ toward))[cell] for left, bread in self.scores]
        return np.asarray(sum(parts[1:], parts[0]))


@dataclass(frozen=True)
class Nuisance:
    """What the estimators need to know of each row.

    Attributes
    ----------
    propensity : array
        Probability of being treated given the factors, weighted by exposure.
    treated_rate, untreated_rate : array
        Expected outcome per policy-year inside and outside the programme.
    regressions : tuple or None
        Those of the propensity, of the inside and of the outside, where each was fitted to all
        rows; None where cross-fitted, for what comes of estimating them then vanishes.
    """

    propensity: Floats
    treated_rate: Floats
    untreated_rate: Floats
    regressions: tuple[Regression, Regression, Regression] | None = None


def fit_nuisance(
    people: People,
    *,
    outcome: Outcome = "poisson",
    learner: Learner = "glm",
    folds: int = 5,
    seed: int = 0,
) -> Nuisance:
    """Fit the propensity and both outcome models, cross-fitted by person.

    Parameters
    ----------
    people : People
        Rows of both sides.
    outcome : {"poisson", "tweedie", "two_part", "linear"}
        Log link with variance μ (right for any mean that is log-linear, amounts as well), with
        variance μ^1.5, whether there is anything times how much (gamma), or least squares.
    learner : {"glm", "boosting"}
        Regression on the factors, or boosted trees (scikit-learn) that find their own shape.
    folds : int
        1 fits to all rows, as the textbook estimators do.
    seed : int
        Of the dealing of persons.

    Examples
    --------
    >>> import polars as pl
    >>> rows = pl.DataFrame({"in": [1, 1, 0, 0] * 5, "claims": [1, 0, 1, 1] * 5,
    ...                      "exposure": [1.0] * 20})
    >>> fitted = fit_nuisance(People.collect(rows, treated="in"), folds=1)
    >>> fitted.treated_rate[0].round(6), fitted.untreated_rate[0].round(6), fitted.propensity[0]
    (np.float64(0.5), np.float64(1.0), np.float64(0.5))
    """
    if outcome not in get_args(Outcome):
        raise InputError(f"no outcome model {outcome!r}{nearest(outcome, get_args(Outcome))}")
    if learner not in get_args(Learner):
        raise InputError(f"no learner {learner!r}{nearest(learner, get_args(Learner))}")
    dealt = people.folds(folds, seed)
    n = len(dealt)
    propensity, inside, outside = np.empty(n), np.empty(n), np.empty(n)
    start: list[Floats | None] = [None, None, None]
    for fold in range(folds):
        own = dealt == fold
        learn = own if folds == 1 else ~own
        _require_both(people.treated[learn], folds)
        if learner == "boosting":
            propensity[own] = _boosted_propensity(people, learn, own)
        else:
            x, joined, e = _pooled(people, learn, people.exposure * people.treated)
            start[0] = beta = propensity_fit(x, joined / e, e, start[0])
            propensity[own] = expit(people.design @ beta)[people.cell[own]]
        for side, found in ((1, inside), (0, outside)):
            of = learn & (people.treated == bool(side))
            if learner == "boosting":
                found[own] = _boosted_rate(people, of, own)
            else:
                found[own], start[1 + side] = _rate(people, of, own, outcome, start[1 + side])
    fitted = Nuisance(propensity, inside, outside)
    if learner == "boosting" or folds > 1:
        return fitted
    return replace(fitted, regressions=_regressions(people, fitted, outcome))


def _pooled(
    people: People, of: Flags, total: Floats, weight: Floats | None = None
) -> tuple[Floats, Floats, Floats]:
    """Add rows of which the same is known: columns, total and weight (exposure) by cell.

    A score X'(y − wμ) and its information X'wX are sums over rows of a function of the cell.
    """
    cell, cells = people.cell[of], len(people.design)
    held = added((people.exposure if weight is None else weight)[of], cell, cells)
    there = held > 0
    return people.design[there], added(total[of], cell, cells)[there], held[there]


def _bread(people: People, weight: Floats) -> Floats:
    """Invert the information X'wX of weights by row."""
    x = people.design
    held = added(weight, people.cell, len(x))
    return np.asarray(np.linalg.pinv((x * held[:, None]).T @ x))


def _regressions(
    people: People, fitted: Nuisance, outcome: Outcome
) -> tuple[Regression, Regression, Regression]:
    x, cell, e, pi = people.design, people.cell, people.exposure, fitted.propensity
    bend = pi * (1 - pi)
    found = [Regression(x, cell, bend, ((e * (people.treated - pi), _bread(people, e * bend)),))]
    for side, rate in (
        (people.treated, fitted.treated_rate),
        (~people.treated, fitted.untreated_rate),
    ):
        if outcome == "two_part":
            found.append(_both_parts(people, side, rate))
            continue
        power = {"poisson": 1.0, "tweedie": POWER, "linear": 0.0}[outcome]
        slope = np.ones_like(rate) if outcome == "linear" else rate
        bend = slope * (rate ** (1 - power) if outcome != "linear" else 1.0)
        left = side * (people.total - e * rate) * bend / slope
        found.append(Regression(x, cell, slope, ((left, _bread(people, side * e * bend)),)))
    return found[0], found[1], found[2]


def _both_parts(people: People, side: Flags, rate: Floats) -> Regression:
    """Whether there is anything and how much, as two regressions on the same columns."""
    x, cell, e = people.design, people.cell, people.exposure
    some = side & (people.total > 0)
    any_rate = _exp(x @ log_fit(*_pooled(people, side, some.astype(np.float64))))[cell]
    size = rate / any_rate
    first = side * (some - e * any_rate), _bread(people, side * e * any_rate)
    more = some * (people.total / size - 1), _bread(people, some * people.total / size)
    return Regression(x, cell, rate, (first, more))


def propensity_fit(
    matrix: Floats,
    treated: Flags | Floats,
    weight: Floats,
    start: Floats | None = None,
    *,
    link: Literal["logit", "probit"] = "logit",
) -> Floats:
    """Fit the probability of being treated, or the share of each row that is, by Newton's method.

    Examples
    --------
    >>> x = np.ones((4, 1))
    >>> propensity_fit(x, np.array([True, False, False, False]), np.ones(4)).round(4).tolist()
    [-1.0986]
    """

    def at(beta: Floats) -> tuple[Floats, Floats]:
        eta = matrix @ beta
        if link == "logit":
            mean = expit(eta)
            return weight * (treated - mean), weight * mean * (1 - mean)
        mean = ndtr(eta)
        slope = np.exp(-(eta**2) / 2) / np.sqrt(2 * np.pi)
        spread = np.maximum(mean * (1 - mean), 1e-12)
        return weight * (treated - mean) * slope / spread, weight * slope**2 / spread

    beta, settled, _ = _newton(matrix, at, np.zeros(matrix.shape[1]) if start is None else start)
    if settled:
        return beta
    raise InputError(
        f"the propensity did not converge: {SURE}",
        do="leave out the factor that decides it, or group its levels",
    )


def log_fit(
    matrix: Floats,
    total: Floats,
    weight: Floats,
    start: Floats | None = None,
    *,
    power: float = 1.0,
    ridge: float = RIDGE,
) -> Floats:
    """Fit log(rate) = Xβ with variance μ^power, weights exposure; coefficients.

    Examples
    --------
    >>> x = np.column_stack([np.ones(2), [0.0, 1.0]])
    >>> np.exp(log_fit(x, np.array([1.0, 1.0]), np.array([2.0, 1.0]), ridge=0.0)).round(9).tolist()
    [0.5, 2.0]
    """
    overall = total.sum() / weight.sum()
    if not overall > 0:
        raise InputError(
            "a fold of one side has no claims: there is no rate to learn from",
            do="take fewer folds, more years, or more people",
        )
    if start is None:
        start = np.zeros(matrix.shape[1])
        start[0] = np.log(overall)

    def at(beta: Floats) -> tuple[Floats, Floats]:
        mean = np.exp(np.clip(matrix @ beta, -60, 60))
        left = total - weight * mean
        if power == 1.0:
            return left, weight * mean
        return left * mean ** (1 - power), weight * mean ** (2 - power)

    beta, settled, score = _newton(matrix, at, start, ridge)
    # a level without a claim drifts slowly to a rate of zero, which is what it should predict
    scale = total.sum() * overall ** (1 - power)
    if settled or np.abs(score).max() < 1e-3 * scale:
        return beta
    raise InputError("an outcome model did not converge", do="group levels with few claims")


def _newton(
    matrix: Floats,
    at: Callable[[Floats], tuple[Floats, Floats]],
    beta: Floats,
    ridge: float = RIDGE,
) -> tuple[Floats, bool, Floats]:
    """Find where X'r vanishes; the information is kept once steps are small (a chord method)."""
    information: Floats | None = None
    size = np.inf
    score = np.zeros(len(beta))
    for _ in range(STEPS):
        left, weight = at(beta)
        score = matrix.T @ left
        if information is None or size > 0.05:
            information = _information(matrix, weight, ridge)
        move = np.linalg.solve(information, score)
        last, size = size, float(np.abs(move).max())
        if size > 3.0:
            move *= 3.0 / size
        beta = beta + move
        if size < 1e-9 or (size < 1e-6 and size < 0.01 * last):
            return beta, True, score
        if size > 0.3 * last:
            information = None
    return beta, False, score


def _information(matrix: Floats, weight: Floats, ridge: float) -> Floats:
    information = np.asarray((matrix * weight[:, None]).T @ matrix)
    diagonal = np.diag(information)
    return information + np.diag(ridge * diagonal + 1e-12 * max(diagonal.max(), 1e-300))


def _solve(matrix: Floats, weight: Floats, score: Floats, ridge: float) -> Floats:
    return np.asarray(np.linalg.solve(_information(matrix, weight, ridge), score))


def _rate(
    people: People, of: Flags, own: Flags, outcome: Outcome, start: Floats | None
) -> tuple[Floats, Floats | None]:
    """Predict the rate of ``own`` from the rows ``of``; and coefficients to begin the next fold with."""
    design, cell = people.design, people.cell[own]
    if outcome == "two_part":
        some, ones = of & (people.total > 0), np.ones(len(of))
        any_rate = log_fit(*_pooled(people, of, some.astype(np.float64)))
        size = log_fit(*_pooled(people, some, people.total, ones), power=2.0)
        return _exp(design @ any_rate + design @ size)[cell], None
    x, y, e = _pooled(people, of, people.total)
    if outcome == "linear":
        return np.asarray((design @ _solve(x, e, x.T @ y, 0.0))[cell]), None
    beta = log_fit(x, y, e, start, power=POWER if outcome == "tweedie" else 1.0)
    return _exp(design @ beta)[cell], beta


def _exp(linear: Floats) -> Floats:
    return np.asarray(np.exp(np.clip(linear, -60, 60)))


def _boosted_propensity(people: People, learn: Flags, own: Flags) -> Floats:
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        max_iter=60, learning_rate=0.1, max_leaf_nodes=8, min_samples_leaf=50, random_state=0,
        early_stopping=False,
    )  # fmt: skip
    with threadpool_limits(1):
        model.fit(people.design[people.cell[learn]], people.treated[learn], people.exposure[learn])
        return np.asarray(model.predict_proba(people.design[people.cell[own]])[:, 1])


def _boosted_rate(people: People, of: Flags, own: Flags) -> Floats:
    from sklearn.ensemble import HistGradientBoostingRegressor

    if not people.total[of].sum() > 0:
        raise InputError("a fold of one side has no claims", do="take fewer folds or more people")
    model = HistGradientBoostingRegressor(
        loss="poisson", max_iter=60, learning_rate=0.1, max_leaf_nodes=8, min_samples_leaf=50,
        random_state=0, early_stopping=False,
    )  # fmt: skip
    rate = people.total[of] / people.exposure[of]
    with threadpool_limits(1):
        model.fit(people.design[people.cell[of]], rate, people.exposure[of])
        return np.asarray(model.predict(people.design[people.cell[own]]))


def _require_both(treated: Flags, folds: int) -> None:
    if treated.all() or not treated.any():
        raise InputError(
            "a fold has people of one side only",
            where="folds",
            do="take fewer folds" if folds > 1 else "give rows of both sides",
        )
