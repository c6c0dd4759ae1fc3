"""Limited-fluctuation credibility: enough claims to be believed, and the square root below that.

Full credibility takes n_F = (z/k)²·(σ_f²/μ_f + σ_s²/μ_s²) claims, z the (1 + p)/2 quantile of the
normal: then the level's own estimate lies within k of its mean with probability p. Below that,
Z = √(n/n_F).

Sources: Mowbray (1914); Longley-Cook (1962); Klugman, Panjer and Willmot, Loss Models (5th ed.
2019), chapter 16.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import plotly.graph_objects as go
import polars as pl
from scipy.special import ndtri

from pricing.errors import InputError
from pricing.experience.cells import Experience
from pricing.experience.one_way import ESTIMATES, with_currency
from pricing.experience.ratio import By, ratios
from pricing.result.figure import interval_figure, with_points
from pricing.result.shape import Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["LimitedFluctuation", "full_credibility", "limited_fluctuation"]


class LimitedFluctuation(Result):
    """Limited-fluctuation credibility by one factor."""

    kind = "limited_fluctuation"

    def finding(self, lang: Language = "en") -> str:
        """Say how many claims full credibility takes and how many levels have them."""
        facts = {**self.facts, "factor": label(self.facts["factor"], lang)}
        facts["complement_name"] = level_label(facts["complement_name"], lang)
        return say("finding.limited_fluctuation", lang, **facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the own estimate with its interval and the credible one beside it."""
        table, factor, estimate = self.table, self.facts["factor"], self.facts["estimate"]
        levels = table[factor].cast(pl.String).to_list()
        figure = interval_figure(
            levels,
            table[estimate].to_list(),
            table["lower"].to_list(),
            table["upper"].to_list(),
            name=estimate,
            factor=factor,
            lang=lang,
            bars=table["exposure"].to_list(),
            reference=self.facts["complement"],
        )
        with_currency(figure, self, lang)
        return with_points(
            figure, levels, table["credible_limited"].to_list(), name="credible_limited", lang=lang
        )


def full_credibility(
    *,
    probability: float = 0.90,
    tolerance: float = 0.05,
    dispersion: float = 1.0,
    severity_cv: float = 0.0,
) -> float:
    """Give the number of claims that earns full credibility.

    Parameters
    ----------
    probability : float
        p, how often the estimate must lie close, between 0 and 1.
    tolerance : float
        k, how close, as a fraction of the mean, above zero.
    dispersion : float
        σ_f²/μ_f, variance over mean of the number of claims: 1 for Poisson. Zero together with a
        ``severity_cv`` gives the standard for severity alone.
    severity_cv : float
        σ_s/μ_s, the coefficient of variation of one claim's amount; 0 where only numbers count.

    Raises
    ------
    InputError
        For values outside these domains.

    Examples
    --------
    >>> round(full_credibility())
    1082
    >>> round(full_credibility(probability=0.95, severity_cv=2.0))
    7683
    """
    if not 0 < probability < 1 or not 0 < tolerance < math.inf:
        raise InputError(
            f"probability must lie between 0 and 1 and tolerance above zero, got {probability} "
            f"and {tolerance}"
        )
    spread = dispersion + severity_cv**2
    if not (dispersion >= 0 and severity_cv >= 0 and 0 < spread < math.inf):
        raise InputError(
            "dispersion and severity_cv must be zero or more and not both zero, got "
            f"{dispersion} and {severity_cv}"
        )
    return float(ndtri((1 + probability) / 2) / tolerance) ** 2 * spread


def limited_fluctuation(
    experience: Experience,
    factor: str,
    *,
    by: By = "claims",
    expected: pl.Expr | str | None = None,
    probability: float = 0.90,
    tolerance: float = 0.05,
    dispersion: float | None = None,
    severity_cv: float | None = None,
    complement: float | None = None,
    level: float = 0.95,
) -> LimitedFluctuation:
    """Weigh each level's own experience against a complement, by the number of its claims.

    Parameters
    ----------
    experience : Experience
        Cells that carry ``factor``; by amount, collected with ``amount=``.
    factor : str
        Key whose levels are weighed.
    by : {"claims", "amount"}
        Frequency, or pure premium.
    expected : polars.Expr or str, optional
        Weigh actual-to-expected instead; as in :func:`actual_to_expected`.
    probability, tolerance : float
        As in :func:`full_credibility`.
    dispersion : float, optional
        σ_f²/μ_f; left out, 1 (Poisson).
    severity_cv : float, optional
        σ_s/μ_s; by amount only. Left out together with ``dispersion``, the whole of
        σ_f²/μ_f + σ_s²/μ_s² is taken from the rows: n·ΣV/A², V the spread of the amounts within
        each level, n claims and A amount of the book. It is exact for a compound count of any
        frequency, several claims to a row included.
    complement : float, optional
        What the rest of the weight goes to, in the unit of the estimate, such as a manual rate, or
        1 for the expected basis itself. Left out: the ratio of the whole experience.
    level : float
        Confidence level of the own estimate's interval in the figure.

    Returns
    -------
    LimitedFluctuation
        ``.table``: level, exposure, claims, the own estimate with lower and upper,
        credibility_limited (Z), complement, credible_limited = Z·own + (1 − Z)·complement.
        ``.facts``: full_claims (n_F), variability, complement and its name.

    Raises
    ------
    InputError
        As :func:`actual_to_expected` and :func:`full_credibility`; for a severity spread by count.

    Notes
    -----
    n is the level's observed number of claims (Loss Models, section 16.3).

    Examples
    --------
    >>> rows = pl.DataFrame({"g": ["a", "b"], "exposure": [1000.0, 1000.0], "claims": [1082, 271]})
    >>> found = limited_fluctuation(Experience.collect(rows, ["g"]), "g", complement=0.5)
    >>> found.table["credibility_limited"].round(2).to_list()
    [1.0, 0.5]
    """
    if by == "claims" and severity_cv:
        raise InputError("a count has no severity", do="leave severity_cv out, or take by='amount'")
    table, basis = ratios(experience, [factor], by=by, expected=expected, level=level)
    actual, claims = float(table["_actual"].sum()), float(table["claims"].sum())
    if not (actual > 0 and claims > 0):
        raise InputError("there are no claims to believe")
    if complement is not None and not (math.isfinite(complement) and complement >= 0):
        raise InputError(f"the complement must be zero or more, got {complement}")
    from_rows = by == "amount" and dispersion is None and severity_cv is None
    if from_rows:
        variability = claims * float(table["_spread"].sum()) / actual**2
        note = "variability of frequency and severity from the rows' amounts"
    else:
        frequency = 1.0 if dispersion is None else dispersion
        variability = frequency + (severity_cv or 0.0) ** 2
        note = f"variability of frequency {frequency:g}, of severity {(severity_cv or 0.0) ** 2:g}"
    full = full_credibility(probability=probability, tolerance=tolerance, dispersion=variability)
    whole = actual / float(table["_base"].sum())
    rest = whole if complement is None else float(complement)
    estimate = ESTIMATES[by] if expected is None else "actual_to_expected"
    z = (pl.col("claims") / full).sqrt().clip(upper_bound=1.0)
    final = table.select(
        factor,
        "exposure",
        "claims",
        pl.col("_ratio").alias(estimate),
        "lower",
        "upper",
        credibility_limited=z,
        complement=pl.lit(rest),
        credible_limited=z * pl.col("_ratio") + (1 - z) * rest,
    )
    earned = final["credibility_limited"]
    facts: dict[str, Any] = {
        "factor": factor,
        "by": by,
        "estimate": estimate,
        "probability": probability,
        "tolerance": tolerance,
        "variability": variability,
        "full_claims": full,
        "complement": rest,
        "complement_name": "whole experience" if complement is None else "given",
        "levels": final.height,
        "full": final.filter(pl.col("claims") >= full).height,
        "least": earned.min(),
        "most": earned.max(),
    }
    basis = replace(basis, notes=(*basis.notes, note))
    return LimitedFluctuation(table=final, basis=basis, facts=facts)
