"""Credible relativities: a fitted factor pulled towards its own mean, the total kept exactly.

On the log scale the effects of a factor's levels are β_l = μ + θ_l, θ_l of variance τ², seen with
the sampling covariance V of the fit. With M = V + τ²I and μ̂ the weighted mean by M⁻¹, the
best linear predictor is

    credible effect = μ̂ + τ²M⁻¹(β − μ̂),

Bühlmann's Z·own + (1 − Z)·mean where V is diagonal. It does not depend on which level is the base.
τ² is estimated from the contrasts y = β_l − β_base, whose variance is V_y + τ²R, R = I + 11':

* ``"moment"``: y'(V_y + τ²R)⁻¹y = L − 1, the pseudo-estimator with known sampling variances
  (Bichsel and Straub; Paule and Mandel 1982)
* ``"reml"``: the largest normal likelihood of the contrasts (Patterson and Thompson 1971)

Sources: Bühlmann and Gisler (2005), chapters 3 and 7; Nelder and Verrall (1997), Credibility theory
and generalized linear models, ASTIN Bulletin 27.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, Protocol, get_args

import numpy as np
import plotly.graph_objects as go
import polars as pl
from scipy.linalg import eigh
from scipy.optimize import brentq, minimize_scalar
from scipy.special import ndtri

from pricing.errors import InputError, nearest
from pricing.estimate.credibility import Floats
from pricing.estimate.design import Column
from pricing.experience.cells import Experience
from pricing.files import fingerprint
from pricing.result.figure import interval_figure, with_points
from pricing.result.shape import Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["CredibleRelativities", "Fitted", "Spread", "credible_relativities", "shrunken_effects"]

Spread = Literal["moment", "reml"]


class Fitted(Protocol):
    """A fitted model with a log link: coefficients by column, their covariance, and its rate."""

    @property
    def columns(self) -> Sequence[Column]:
        """Columns of the design, in order."""
        ...

    @property
    def coefficients(self) -> Floats:
        """Coefficients on the log scale."""
        ...

    @property
    def details(self) -> Mapping[str, Any]:
        """Base level by factor under ``base``, levels under ``levels``."""
        ...

    def covariance(self, errors: Any = ...) -> Floats:
        """Covariance of the coefficients."""
        ...

    def rate(self, *, without: str | None = ...) -> pl.Expr:
        """Expected claims per policy-year, a factor held at its base."""
        ...


class CredibleRelativities(Result):
    """Relativities of one factor under credibility, and the factor on the base that keeps the total."""

    kind = "credible_relativities"

    def rate(self, model: Fitted) -> pl.Expr:
        """Expected claims per policy-year with the credible relativities in place of the fitted.

        Parameters
        ----------
        model : fitted model
            The one that was shrunk.
        """
        factor, base = self.facts["factor"], self.facts["base_factor"]
        relativity = dict(zip(self.table["level"], self.table["credible_relativity"], strict=True))
        own = pl.col(factor).cast(pl.String).replace_strict(
            list(relativity), [base * value for value in relativity.values()],
            default=None, return_dtype=pl.Float64,
        )  # fmt: skip
        return model.rate(without=factor) * own

    def finding(self, lang: Language = "en") -> str:
        """Say how much of the factor is believed, and what the base takes to keep the total."""
        facts = {**self.facts, "factor": label(self.facts["factor"], lang)}
        facts["most_moved"] = level_label(facts["most_moved"], lang)
        return say("finding.credible_relativities", lang, **facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the fitted relativities with their intervals, and the credible ones beside them."""
        t, factor = self.table, self.facts["factor"]
        figure = interval_figure(
            t["level"].to_list(),
            t["relativity"].to_list(),
            t["lower"].to_list(),
            t["upper"].to_list(),
            name="relativity",
            factor=factor,
            lang=lang,
            bars=t["exposure"].to_list(),
            reference=self.facts["complement_relativity"],
        )
        return with_points(
            figure, t["level"].to_list(), t["credible_relativity"].to_list(),
            name="credible_relativity", lang=lang,
        )  # fmt: skip


def credible_relativities(
    model: Fitted,
    experience: Experience,
    factor: str,
    *,
    errors: str = "robust",
    spread: Spread = "moment",
    level: float = 0.95,
) -> CredibleRelativities:
    """Shrink the relativities of one factor on the log scale, and rebase so that the total is kept.

    For a factor of many thin levels (regions, employers, hospitals): each relativity is believed as
    far as its sampling error allows, the rest of the weight goes to the factor's own mean.

    Parameters
    ----------
    model : fitted model with a log link
        Has the factor as a main effect and in no interaction.
    experience : Experience
        The cells it was fitted on.
    factor : str
        Factor of three levels or more.
    errors : str
        Which covariance of the model: ``"robust"``, ``"model"``, ``"quasi"``, ``"cluster"``; never
        less than Poisson in any contrast, so that few rows are not taken for certain. Model errors
        take the rows for Poisson: where they are over-dispersed, too much is believed.
    spread : {"moment", "reml"}
        How the variance between levels is estimated.
    level : float
        Confidence level of the fitted relativities' intervals.

    Returns
    -------
    CredibleRelativities
        ``.table``: level, exposure, claims, relativity with lower, upper, credibility (share of the
        prior variance that the data take away), credible_relativity (base level 1). ``.facts``:
        between (τ²), complement_relativity (the factor's mean, geometric), base_factor,
        total (expected over seen, 1 but for rounding). ``.rate(model)`` scores.

    Raises
    ------
    InputError
        For a factor that is not in the model, is in an interaction, has fewer than three levels or
        an aliased one, and cells the model cannot score.

    Notes
    -----
    Rebasing: base_factor = Σn / Σ e·rate(without the factor)·credible relativity, so that expected
    claims are those seen, in total. Other factors keep their relativities; refit them with this
    factor's credible ones as an offset where their balance by level matters.

    Examples
    --------
    >>> from pricing.claims.models import fit_frequency
    >>> rows = pl.DataFrame({"region": ["a", "b", "c", "d"] * 2, "exposure": [300.0, 100.0, 100.0, 50.0] * 2,
    ...                      "claims": [30, 15, 8, 9, 33, 16, 9, 8]})
    >>> seen = Experience.collect(rows, ["region"])
    >>> found = credible_relativities(fit_frequency(seen, "region"), seen, "region", errors="model")
    >>> found.table.select("level", pl.col("relativity", "credible_relativity").round(3)).rows()
    [('a', 1.0, 1.0), ('b', 1.476, 1.314), ('c', 0.81, 0.943), ('d', 1.619, 1.33)]
    """
    if spread not in get_args(Spread):
        raise InputError(f"no such choice: {spread!r}{nearest(str(spread), get_args(Spread))}")
    if not 0 < level < 1:
        raise InputError(f"the confidence level must lie between 0 and 1, got {level}")
    levels, effects, covariance = _effects(model, factor, errors)
    found, z, between, mean = shrunken_effects(effects, covariance, spread=spread)
    base = levels.index(str(model.details["base"][factor]))
    credible = np.exp(found - found[base])
    reach = float(ndtri(0.5 + level / 2)) * np.sqrt(np.maximum(np.diag(covariance), 0.0))
    held = experience.by(factor).cells.select(
        pl.col(factor).cast(pl.String).alias("level"),
        "exposure",
        pl.col("claims").cast(pl.Float64),
    )
    table = (
        pl.DataFrame({"level": levels})
        .join(held, on="level", how="left", maintain_order="left")
        .with_columns(
            pl.col("exposure", "claims").fill_null(0.0),
            relativity=pl.Series(np.exp(effects)),
            lower=pl.Series(np.exp(effects - reach)),
            upper=pl.Series(np.exp(effects + reach)),
            credibility=pl.Series(z),
            credible_relativity=pl.Series(credible),
        )
    )
    moved = abs(np.log(credible) - effects)
    facts: dict[str, Any] = {
        "factor": factor,
        "levels": len(levels),
        "level": level,
        "errors": errors,
        "spread": spread,
        "between": between,
        "complement": "mean of the factor's levels, log scale",
        "complement_relativity": float(np.exp(mean - found[base])),
        "least": float(z.min()),
        "most": float(z.max()),
        "most_moved": levels[int(moved.argmax())],
        "moved_from": float(np.exp(effects[moved.argmax()])),
        "moved_to": float(credible[moved.argmax()]),
        "base_factor": 1.0,
        "total": 1.0,
    }
    notes = (
        *experience.basis.notes,
        "complement of credibility: the mean of the factor's own levels on the log scale",
        f"variance between levels: {spread}; sampling covariance: {errors}; rebased to the total seen",
    )
    basis = replace(
        experience.basis,
        notes=notes,
        fingerprint=fingerprint(experience.basis.fingerprint, factor, errors, spread, str(effects)),
    )
    plain = CredibleRelativities(table=table, basis=basis, facts=facts)
    claims = float(experience.cells["claims"].sum())

    def expected(result: CredibleRelativities) -> float:
        rated = experience.rated(result.rate(model), factor).cells
        return float((rated["_rate"] * rated["exposure"]).sum())

    rebased = replace(plain, facts={**facts, "base_factor": claims / expected(plain)})
    return replace(rebased, facts={**rebased.facts, "total": expected(rebased) / claims})


def shrunken_effects(
    effects: Floats, covariance: Floats, *, spread: Spread = "moment"
) -> tuple[Floats, Floats, float, float]:
    """Shrink effects with a known sampling covariance towards their mean.

    Parameters
    ----------
    effects : array, one per level
        On the log scale; any constant may be added to all.
    covariance : array, levels × levels
        Of the effects; that of the base level may be zero, only contrasts count.
    spread : {"moment", "reml"}
        How τ² is estimated.

    Returns
    -------
    tuple
        Shrunken effects, credibility by level, τ², mean μ̂.

    Raises
    ------
    InputError
        For fewer than three levels, and effects or variances that are not finite.

    Examples
    --------
    >>> found, z, between, mean = shrunken_effects(np.array([0.0, 1.0, 2.0]), 0.5 * np.eye(3))
    >>> found.round(6).tolist(), z.round(6).tolist(), round(between, 6)
    ([0.5, 1.0, 1.5], [0.5, 0.5, 0.5], 0.5)
    """
    size = len(effects)
    if size < 3:
        raise InputError(f"{size} levels are too few to estimate how levels differ: give three")
    if not (np.isfinite(effects).all() and np.isfinite(covariance).all()):
        raise InputError("an effect or its variance is not finite: a level is aliased")
    contrast = np.delete(np.eye(size) - np.eye(size)[0], 0, axis=0)  # each level less the first
    v_y, y = contrast @ covariance @ contrast.T, contrast @ effects
    between = _between(y, v_y, contrast @ contrast.T, spread)
    if between == 0.0:
        # no spread between levels: all are one, and where that one lies no contrast can tell
        mean = float(effects.mean())
        return np.full(size, mean), np.zeros(size), 0.0, mean
    inverse = np.linalg.inv(covariance + between * np.eye(size))
    weight = inverse.sum(axis=1)
    mean = float(weight @ effects / weight.sum())
    projection = inverse - np.outer(weight, weight) / weight.sum()
    found: Floats = mean + between * projection @ effects
    centre = np.eye(size) - 1.0 / size
    left = centre @ (between * np.eye(size) - between**2 * projection) @ centre
    z = 1.0 - np.diag(left) / (between * (1 - 1 / size))
    return found, np.clip(z, 0.0, 1.0), between, mean


def _between(y: Floats, v_y: Floats, r: Floats, spread: Spread) -> float:
    d, u = eigh(v_y, r)
    square = (u.T @ y) ** 2
    d = np.maximum(d, 0.0)

    def excess(t: float) -> float:
        return float((square / (d + t)).sum()) - len(y)

    if spread == "moment":
        if d.min() > 0 and excess(0.0) <= 0:
            return 0.0
        most = float(square.sum()) / len(y) + 1e-300
        return float(brentq(excess, 1e-12 * most if d.min() <= 0 else 0.0, most, rtol=1e-13))

    def minus_two_log_likelihood(log_t: float) -> float:
        total = d + np.exp(log_t)
        return float((np.log(total) + square / total).sum())

    top = np.log(float(square.sum()) + float(d.max()) + 1e-300)
    best = minimize_scalar(
        minus_two_log_likelihood,
        bounds=(top - 40, top + 2),
        method="bounded",
        options={"xatol": 1e-10},
    )
    if d.min() > 0 and float((np.log(d) + square / d).sum()) <= best.fun:
        return 0.0
    return float(np.exp(best.x))


def _effects(model: Fitted, factor: str, errors: str) -> tuple[list[str], Floats, Floats]:
    """Levels of a factor in order, their effects with the base at zero, and the covariance."""
    known = model.details["levels"]
    if factor not in known:
        raise InputError(f"{factor!r} is not a factor of the model{nearest(factor, known)}")
    levels = [str(one) for one in known[factor]]
    mixed = [c.term for c in model.columns if factor in c.variables and len(c.variables) > 1]
    if mixed:
        raise InputError(
            f"{factor!r} is in an interaction ({mixed[0]}), so it has no one relativity by level",
            do="shrink a factor that stands alone",
        )
    coefficients, whole = model.coefficients, model.covariance(errors)
    effects, places = np.zeros(len(levels)), np.full(len(levels), -1)
    for j, column in enumerate(model.columns):
        if column.variables == (factor,):
            at = levels.index(str(column.levels[0]))
            effects[at], places[at] = coefficients[j], j
    base = str(model.details["base"][factor])
    aliased = [one for one, e in zip(levels, effects, strict=True) if not np.isfinite(e)]
    absent = [one for one, j in zip(levels, places, strict=True) if j < 0 and one != base]
    if aliased or absent:
        raise InputError(
            f"levels of {factor!r} without a coefficient: {', '.join(aliased + absent)}",
            do="group them with a neighbour first",
        )
    has = places >= 0
    covariance = np.zeros((len(levels), len(levels)))
    held = np.ix_(places[has], places[has])
    covariance[np.ix_(has, has)] = _floored(whole[held], model.covariance("model")[held])
    return levels, effects, covariance


def _floored(chosen: Floats, poisson: Floats) -> Floats:
    """Raise a covariance so that no contrast of levels has less variance than Poisson claims.

    The sandwich of a level with a handful of rows can be near zero, and would be believed in full.
    In the axes in which the Poisson covariance is the unit, the other's lengths are taken as one
    at least; these axes do not depend on the base level.
    """
    lengths, axes = eigh(chosen, poisson)
    back = poisson @ axes
    raised: Floats = (back * np.maximum(lengths, 1.0)) @ back.T
    return raised
