"""Falsification: comparisons whose true answer is nil, and how much hiding would explain the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl
from scipy.special import ndtr

from pricing.causal.contrast import Contrast
from pricing.causal.nuisance import Learner, fit_nuisance
from pricing.causal.people import People, indicator
from pricing.causal.weighting import aipw, overlapping
from pricing.errors import InputError
from pricing.experience.domain import listed, require_columns
from pricing.files import fingerprint
from pricing.result.figure import interval_figure
from pricing.result.shape import Result
from pricing.result.words import Language, say
from pricing.survival.interval import normal_quantile

__all__ = ["Falsification", "e_value", "falsify", "placebo_rows"]


def e_value(ratio: float) -> float:
    """How strongly something unmeasured must drive both joining and claims to explain a ratio away.

    RR + √(RR(RR − 1)), of 1/RR where it is below 1 (VanderWeele and Ding 2017, Annals of Internal
    Medicine 167). For the limit of an interval give the limit nearer 1, or 1 where it holds 1.

    Parameters
    ----------
    ratio : float
        Rate ratio, above 0.

    Examples
    --------
    >>> round(e_value(3.9), 2), round(e_value(1 / 3.9), 2), e_value(1.0)
    (7.26, 7.26, 1.0)
    """
    if not isinstance(ratio, int | float | np.number) or not (np.isfinite(ratio) and ratio > 0):
        raise InputError(f"a rate ratio is above zero, got {ratio!r}")
    r = max(ratio, 1 / ratio)
    return float(r + np.sqrt(r * (r - 1)))


class Falsification(Result):
    """Placebo year and negative controls.

    ``.table``: falsification (what was tried), outcome, relative_effect with lower and upper, p_value,
    passed: the interval holds nil.
    """

    kind = "falsification"

    def finding(self, lang: Language = "en") -> str:
        """Say how many of the checks find an effect where there can be none."""
        key = "finding.falsification" if not self.facts["failed"] else "sentence.falsified"
        return say(key, lang, **self.facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw each impossible effect with its interval around nil."""
        t = self.table
        figure = interval_figure(
            t["falsification"].to_list(), t["relative_effect"].to_list(), t["lower"].to_list(),
            t["upper"].to_list(), name="relative_effect", factor="falsification", lang=lang, reference=0.0,
        )  # fmt: skip
        figure.update_yaxes(tickformat=".0%")
        return figure


def placebo_rows(rows: pl.DataFrame, *, treated: str, person: str, period: str) -> pl.DataFrame:
    """Keep the years before anybody joins, with who joins in the next (``joins_next``).

    Examples
    --------
    >>> rows = pl.DataFrame({"id": [1, 1, 2, 2], "year": [0, 1, 0, 1], "in": [0, 1, 0, 0]})
    >>> placebo_rows(rows, treated="in", person="id", period="year")["joins_next"].to_list()
    [True, False]
    """
    require_columns([treated, person, period], rows.columns)
    sorted_rows = rows.with_columns(_in=pl.Series(indicator(rows[treated]))).sort(person, period)
    following = pl.col("_in").shift(-1).over(person)
    next_year = pl.col(period).shift(-1).over(person) == pl.col(period) + 1
    before = pl.col("_in").cast(pl.Int8).cum_max().over(person) == 0
    return (
        sorted_rows.with_columns(joins_next=pl.when(next_year).then(following))
        .filter(before & pl.col("joins_next").is_not_null())
        .drop("_in")
    )


def falsify(
    rows: pl.DataFrame,
    *,
    treated: str,
    person: str,
    period: str,
    factors: Sequence[str] = (),
    outcome: str = "claims",
    exposure: str = "exposure",
    controls: Sequence[str] = (),
    learner: Learner = "glm",
    folds: int = 5,
    trim: float = 0.01,
    level: float = 0.95,
    source: str = "",
) -> Falsification:
    """Look for effects where there can be none; finding one says the healthy join.

    The placebo year compares, a year before they join, those who will with those who will not: the
    programme cannot reach back. A negative control is an outcome the programme cannot move, such
    as accidents. Both by the doubly robust estimator of the effect on those who join.

    Parameters
    ----------
    rows : polars.DataFrame
        One row per person and period.
    treated, person, period, outcome, exposure : str
        As in :func:`pricing.causal.side_by_side.side_by_side`.
    factors : sequence of str
        Known in every year; those of the comparison that is being checked.
    controls : sequence of str
        Columns of negative-control outcomes.
    learner, folds, trim
        As in :func:`pricing.causal.side_by_side.side_by_side`.

    Returns
    -------
    Falsification
        ``.facts["failed"]``: how many intervals do not hold nil.

    Examples
    --------
    >>> rows = pl.DataFrame({"id": [i // 2 for i in range(80)], "year": [0, 1] * 40,
    ...     "in": [0, 1] * 20 + [0, 0] * 20, "claims": [1, 0, 2, 1] * 20, "exposure": [1.0] * 80})
    >>> found = falsify(rows, treated="in", person="id", period="year", folds=2)
    >>> found.table["passed"].to_list()
    [True]
    """
    z = normal_quantile(level)
    factors = listed(factors)
    jobs: list[tuple[str, str, pl.DataFrame, str]] = []
    placebo = placebo_rows(rows, treated=treated, person=person, period=period)
    if placebo["joins_next"].n_unique() == 2:
        jobs.append(("placebo year", outcome, placebo, "joins_next"))
    jobs += [("negative control", name, rows, treated) for name in listed(controls)]
    if not jobs:
        raise InputError(
            "nobody is seen the year before joining, and no negative control is given",
            do="give rows of earlier years, or name an outcome the programme cannot move",
        )
    table: list[dict[str, Any]] = []
    left = 0.0
    for name, of, frame, side in jobs:
        people = People.collect(
            frame, treated=side, factors=factors, outcome=of, exposure=exposure, person=person,
            source=source,
        )  # fmt: skip
        fitted = fit_nuisance(people, learner=learner, folds=folds)
        kept, nuisance, out = overlapping(people, fitted, trim)
        left = max(left, out)
        table.append({"falsification": name, "outcome": of} | _row(aipw(kept, nuisance, "att"), z))
    found = pl.DataFrame(table)
    worst = found.sort("p_value").row(0, named=True)
    facts: dict[str, Any] = {
        "checks": found.height, "failed": int((~found["passed"]).sum()), "level": level,
        "effect": worst["relative_effect"], "lower": worst["lower"], "upper": worst["upper"],
    }  # fmt: skip
    whole = People.collect(rows, treated=treated, outcome=outcome, exposure=exposure, person=person,
                           source=source).basis  # fmt: skip
    basis = replace(
        whole,
        notes=(*whole.notes, "adjusted for: " + (", ".join(factors) or "nothing"),
               f"doubly robust, effect on those who join; {left:.1%} of exposure outside the overlap"),
        fingerprint=fingerprint(whole.fingerprint, *factors, *controls, learner, str(level)),
    )  # fmt: skip
    return Falsification(table=found, basis=basis, facts=facts)


def _row(contrast: Contrast, z: float) -> dict[str, Any]:
    ratio, error = contrast.ratio, contrast.ratio_error
    if not (np.isfinite(ratio) and ratio > 0):
        raise InputError("a side has no claims: there is no ratio to check")
    lower, upper = ratio * np.exp(-z * error) - 1, ratio * np.exp(z * error) - 1
    return {
        "relative_effect": ratio - 1, "lower": lower, "upper": upper,
        "p_value": float(2 * ndtr(-abs(np.log(ratio)) / max(error, 1e-300))),
        "passed": bool(lower <= 0 <= upper),
    }  # fmt: skip
