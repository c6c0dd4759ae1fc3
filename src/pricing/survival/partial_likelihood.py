"""Partial likelihood: Cox's, on risk sets, with Efron's or Breslow's treatment of ties, by Newton.

With weights w, S_k = Σ_{at risk} w e^{xβ} x^k and D_k the same over the m deaths at a time, w̄ their mean
weight and φ_l = S_0 − (l/m)D_0 (Efron 1977, JASA 72; Breslow 1974: φ_l = S_0), the log-likelihood is Σ_deaths
w xβ − Σ_times w̄ Σ_{l<m} ln φ_l. Its derivatives need at every time Σ 1/φ, Σ f/φ, Σ 1/φ², Σ f/φ², Σ f²/φ²
(f = l/m) and nothing of the size patterns × times × coefficients: the information is X'diag(u)X less
products of S_1 and D_1 over times. Weighted as R's survival (Therneau and Grambsch 2000, Modeling Survival
Data, chapters 3 and 7).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from scipy.linalg import cho_factor, cho_solve

from pricing.errors import InputError
from pricing.estimate.design import Column, Floats
from pricing.estimate.glm import aliased_columns
from pricing.survival.risk_sets import RiskSets

__all__ = ["CoxFit", "Likelihood", "Ties", "maximum", "standardised"]

Ties = Literal["efron", "breslow"]
AT_ONCE = 4_000_000  # deaths whose places among the ties are held in memory together
MOST_STEPS = 60
CLOSE = 1e-9  # last Newton step, in standard deviations of the covariate


@dataclass(frozen=True, kw_only=True)
class Likelihood:
    """The partial likelihood at one β, in coordinates z = (x − mean)/scale.

    Attributes
    ----------
    value : float
        Log-likelihood.
    score : array
        First derivatives.
    information : array
        Negative second derivatives.
    relative : array
        e^{zβ − shift} of every pattern.
    shift : float
        What was taken off every linear predictor.
    s1, d1 : array
        Times × coefficients: S_1 and D_1.
    sums : mapping
        By time, times w̄: log, q0 = Σ1/φ, q1 = Σf/φ, c2 = Σ1/φ², c1 = Σf/φ², c0 = Σf²/φ².
    """

    value: float
    score: Floats
    information: Floats
    relative: Floats
    shift: float
    s1: Floats
    d1: Floats
    sums: dict[str, Floats]

    @classmethod
    def at(cls, beta: Floats, z: Floats, sets: RiskSets, ties: Ties) -> Likelihood:
        """Evaluate it; not a number where a step has gone too far."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return cls._at(beta, z, sets, ties)

    @classmethod
    def _at(cls, beta: Floats, z: Floats, sets: RiskSets, ties: Ties) -> Likelihood:
        eta = z @ beta
        shift = float(eta.max())
        e = np.exp(eta - shift)
        ez = e[:, None] * z
        d0, d1 = np.asarray(sets.dying @ e), np.asarray(sets.dying @ ez)
        # what differences of large sums leave is never below those who die then
        s0 = np.maximum(sets.at_risk(np.asarray(sets.leaving @ e)), d0)
        s1 = sets.at_risk(np.asarray(sets.leaving @ ez))
        deaths, weight = (sets.times[n].to_numpy() for n in ("deaths", "weight"))
        sums = _tied(s0, d0, deaths, weight / deaths, ties)
        seen = np.asarray(sets.dying.sum(axis=0)).ravel()
        value = float(seen @ (eta - shift) - sums["log"].sum())
        score = z.T @ seen - s1.T @ sums["q0"] + d1.T @ sums["q1"]
        one = np.ones(len(s0))
        made = cls(
            value=value, score=score, information=np.empty(0), relative=e, shift=shift,
            s1=s1, d1=d1, sums=sums,
        )  # fmt: skip
        object.__setattr__(made, "information", made.weighed(one, z, sets))
        return made

    def weighed(self, by: Floats, z: Floats, sets: RiskSets) -> Floats:
        """Sum the information over times, each weighed by a number."""
        q0, q1, c2, c1, c0 = (self.sums[n] * by for n in ("q0", "q1", "c2", "c1", "c0"))
        u = sets.leaving.T @ sets.until(q0) - sets.dying.T @ q1
        first = z.T @ (z * (self.relative * np.asarray(u).ravel())[:, None])
        cross = (self.s1 * c1[:, None]).T @ self.d1
        second = (self.s1 * c2[:, None]).T @ self.s1 + (self.d1 * c0[:, None]).T @ self.d1
        found = first - second + cross + cross.T
        return np.asarray((found + found.T) / 2)

    def residuals(self, z: Floats, sets: RiskSets) -> Floats:
        """Give Schoenfeld's residuals summed over the deaths of each time, weighted."""
        seen = np.asarray(sets.dying @ z)
        q0, q1 = self.sums["q0"], self.sums["q1"]
        return np.asarray(seen - q0[:, None] * self.s1 + q1[:, None] * self.d1)


@dataclass(frozen=True, kw_only=True)
class CoxFit:
    """The maximum of a partial likelihood.

    Attributes
    ----------
    coefficients, covariance : array
        In the units of the covariates; the covariance is the model's.
    null, fitted : Likelihood
        At zero and at the maximum, in coordinates z.
    z, mean, scale : array
        Covariates, and how they were centred and scaled.
    steps : int
        Newton steps taken.
    """

    coefficients: Floats
    covariance: Floats
    null: Likelihood
    fitted: Likelihood
    z: Floats
    mean: Floats
    scale: Floats
    steps: int


def maximum(sets: RiskSets, ties: Ties = "efron") -> CoxFit:
    """Find the maximum of the partial likelihood by Newton's method with halved steps.

    Raises
    ------
    InputError
        For a level without events, a column that others span within the risk sets, and a likelihood
        without a maximum (a coefficient runs away): each by name.

    Examples
    --------
    >>> from pricing.survival.risk_sets import Spelling
    >>> rows = pl.DataFrame({"exit": [1, 2, 3, 4], "event": [1, 1, 1, 0], "age": [60, 40, 50, 45]})
    >>> fit = maximum(RiskSets.collect(rows, "age", Spelling()))
    >>> fit.coefficients.round(6).tolist(), round(fit.fitted.value, 6)
    ([0.11349], -2.694181)
    """
    _require_events(sets)
    z, mean, scale = standardised(sets)
    now = null = Likelihood.at(np.zeros(z.shape[1]), z, sets, ties)
    _require_told(null.information, sets)
    beta = np.zeros(z.shape[1])
    for steps in range(1, MOST_STEPS + 1):
        try:
            move = cho_solve(cho_factor(now.information), now.score)
        except np.linalg.LinAlgError:
            raise _runs_away(beta, sets) from None
        new = Likelihood.at(beta + move, z, sets, ties)
        halved = 0
        while not new.value >= now.value - 1e-11 * abs(now.value) and halved < 40:
            move, halved = move / 2, halved + 1
            new = Likelihood.at(beta + move, z, sets, ties)
        gained = new.value - now.value
        beta, now = beta + move, new
        if np.abs(move).max() <= CLOSE:
            break
        if steps > 12 and gained < 1e-7 * abs(now.value) and np.abs(move).max() > 1e-2:
            raise _runs_away(move, sets)
    else:
        raise _runs_away(move, sets)
    try:
        factor = cho_factor(now.information)
    except np.linalg.LinAlgError:
        raise _runs_away(beta, sets) from None
    covariance = cho_solve(factor, np.eye(len(beta))) / np.outer(scale, scale)
    return CoxFit(
        coefficients=beta / scale, covariance=covariance, null=null, fitted=now, z=z, mean=mean,
        scale=scale, steps=steps,
    )  # fmt: skip


def standardised(sets: RiskSets) -> tuple[Floats, Floats, Floats]:
    """Centre and scale the covariates over the time at risk.

    Examples
    --------
    >>> from pricing.survival.risk_sets import Spelling
    >>> rows = pl.DataFrame({"exit": [1.0, 1.0], "event": [1, 1], "age": [40, 50]})
    >>> standardised(RiskSets.collect(rows, "age", Spelling()))[1:]
    (array([45.]), array([5.]))
    """
    share = sets.patterns["exposure"].to_numpy()
    share = share / share.sum()
    mean = share @ sets.x
    centred = sets.x - mean
    scale = np.sqrt(share @ centred**2)
    scale = np.where(scale > 1e-12 * np.maximum(np.abs(mean), 1e-300), scale, 1.0)
    return centred / scale, mean, scale


def _tied(s0: Floats, d0: Floats, deaths: Floats, mean: Floats, ties: Ties) -> dict[str, Floats]:
    """Sum over the places l of the deaths tied at each time, times the mean weight."""
    if ties == "breslow":
        none = np.zeros_like(s0)
        found = [deaths * np.log(s0), deaths / s0, none, deaths / s0**2, none, none]
    else:
        many = deaths.astype(np.int64)
        ends = np.cumsum(many)
        cuts = np.searchsorted(ends, np.arange(0, ends[-1] + AT_ONCE, AT_ONCE))
        parts = [
            _places(s0[a:b], d0[a:b], many[a:b])
            for a, b in zip(cuts[:-1], np.append(cuts[1:-1], len(s0)), strict=True)
            if b > a
        ]
        found = [np.concatenate(p) for p in zip(*parts, strict=True)]
    names = ("log", "q0", "q1", "c2", "c1", "c0")
    return {n: mean * f for n, f in zip(names, found, strict=True)}


def _places(s0: Floats, d0: Floats, many: np.ndarray) -> list[Floats]:
    starts = np.cumsum(many) - many
    f = (np.arange(many.sum()) - np.repeat(starts, many)) / np.repeat(many, many)
    left = np.repeat(s0, many) - f * np.repeat(d0, many)
    one = 1 / left
    each = (np.log(left), one, f * one, one * one, f * one * one, f * f * one * one)
    return [np.add.reduceat(v, starts) for v in each]


def _is_level(column: Column) -> bool:
    return bool(column.levels) and all(level is not None for level in column.levels)


def _require_events(sets: RiskSets) -> None:
    """Refuse a level that nobody leaves: its hazard ratio is zero."""
    left, time = (sets.patterns[n].to_numpy() for n in ("claims", "exposure"))
    faults = [
        f"{c.name}: nobody leaves in {time[sets.x[:, j] != 0].sum():,.1f} of time"
        for j, c in enumerate(sets.columns)
        if _is_level(c) and not left[sets.x[:, j] != 0].any()
    ]
    for name, at in sets.base.items():
        here = (sets.patterns[name].cast(pl.String) == at).to_numpy()
        if not left[here].any():
            faults.append(f"{name}[{at}] (base): nobody leaves in {time[here].sum():,.1f} of time")
    if faults:
        raise InputError(
            "levels that nobody leaves have no finite hazard ratio",
            faults=faults,
            do="group them with a neighbour, or leave the factor out",
        )


def _require_told(information: Floats, sets: RiskSets) -> None:
    """Refuse columns of which the risk sets say nothing, or that earlier ones say already."""
    weight = float(sets.times["weight"].sum())
    flat = np.diag(information) <= 1e-10 * weight
    kept = np.flatnonzero(~flat)
    spanned = kept[aliased_columns(information[np.ix_(kept, kept)])]
    faults = [
        f"{sets.columns[j].name}: the same within every risk set" for j in np.flatnonzero(flat)
    ]
    faults += [f"{sets.columns[j].name}: spanned by those before it" for j in spanned]
    if faults:
        raise InputError(
            "columns whose hazard ratio cannot be told",
            faults=faults,
            do="leave them out, or take out what stands for the same (a stratum, another factor)",
        )


def _runs_away(move: Floats, sets: RiskSets) -> InputError:
    size = np.abs(move)
    some = [sets.columns[j].name for j in np.flatnonzero(size >= 0.2 * max(size.max(), 1e-300))]
    return InputError(
        "the likelihood has no maximum: at every time of leaving, those who leave have the highest "
        "(or the lowest) value of a column, or of several together",
        faults=[f"{name} runs away" for name in some[:8]],
        do="group levels, leave such a column out, or gather more events",
    )
