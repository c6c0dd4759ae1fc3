"""Contrast: a rate inside and outside the programme, their ratio and difference, and who is meant.

Every estimator here is a pair of rates with influence functions: estimate − truth ≈ Σ φ over rows.
Added up by person and squared they are the variance (Liang and Zeger 1986; Newey and McFadden
1994), whatever the estimator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go
import polars as pl

from pricing.causal.people import Codes
from pricing.errors import InputError
from pricing.estimate.design import Floats
from pricing.files import fingerprint
from pricing.result.figure import interval_figure
from pricing.result.series import lying
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, level_label, say
from pricing.survival.interval import normal_quantile

__all__ = ["CausalEffect", "Contrast", "Population", "effect_of"]

Population = Literal["association", "ate", "att", "overlap", "late"]


@dataclass(frozen=True)
class Contrast:
    """Two rates and their influence by row.

    Attributes
    ----------
    treated, untreated : float
        Outcome per policy-year inside and outside the programme.
    treated_influence, untreated_influence : array
        φ of each, by row; their sum over all rows is near zero.
    person : integer array
        Whom each row belongs to.
    """

    treated: float
    untreated: float
    treated_influence: Floats
    untreated_influence: Floats
    person: Codes

    @property
    def difference(self) -> float:
        """Rate inside less rate outside."""
        return self.treated - self.untreated

    @property
    def difference_error(self) -> float:
        """Standard error of the difference, clustered by person."""
        return self._error(self.treated_influence - self.untreated_influence)

    @property
    def ratio(self) -> float:
        """Rate inside over rate outside."""
        return self.treated / self.untreated

    @property
    def ratio_error(self) -> float:
        """Standard error of the log of the ratio, by the delta method."""
        return self._error(
            self.treated_influence / self.treated - self.untreated_influence / self.untreated
        )

    def _error(self, influence: Floats) -> float:
        by_person = np.bincount(self.person, weights=influence)
        groups = int((np.bincount(self.person) > 0).sum())
        return float(np.sqrt(by_person @ by_person * groups / (groups - 1)))


class CausalEffect(Result):
    """Effect of the programme by one estimator or several.

    ``.table``: estimator, population, rate_inside and rate_outside (outcome per policy-year),
    relative_effect (ratio − 1) with lower and upper, std_error (of the log ratio), rate_difference with
    difference_lower and difference_upper.
    """

    kind = "causal_effect"

    def finding(self, lang: Language = "en") -> str:
        """Say the last estimate, its interval, and whose effect it is."""
        facts = dict(self.facts)
        for name in ("estimator", "population"):
            facts[name] = level_label(facts[name], lang)
        facts["outcome"] = label(facts["outcome"], lang).lower()
        return say("finding.causal_effect", lang, **facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw each effect with its interval."""
        t = self.table
        figure = interval_figure(
            t["estimator"].to_list(), t["relative_effect"].to_list(), t["lower"].to_list(),
            t["upper"].to_list(), name="relative_effect", factor="estimator", lang=lang, reference=0.0,
        )  # fmt: skip
        figure.update_yaxes(tickformat=".0%")
        return lying(figure) if t.height > 6 else figure


def effect_of(
    contrasts: Mapping[tuple[str, Population], Contrast],
    basis: Basis,
    *,
    level: float = 0.95,
    outcome: str = "claims",
    notes: Sequence[str] = (),
    frames: Mapping[str, pl.DataFrame] | None = None,
) -> CausalEffect:
    """Lay contrasts out as a result: one row each, under the estimator's name and population.

    Examples
    --------
    >>> one = Contrast(0.8, 1.0, np.array([0.1, -0.1]), np.array([0.1, -0.1]), np.arange(2))
    >>> effect_of({("naive", "association"): one}, Basis()).table["relative_effect"].round(6).to_list()
    [-0.2]
    """
    z = normal_quantile(level)
    rows: list[dict[str, Any]] = []
    for (name, population), c in contrasts.items():
        if not (np.isfinite([c.treated, c.untreated]).all() and min(c.treated, c.untreated) > 0):
            raise InputError(
                f"{name}: rates of {c.treated:.4g} inside and {c.untreated:.4g} outside have no ratio",
                do="use more people or years, or fewer factors",
            )
        error, gap = c.ratio_error, c.difference_error
        rows.append({
            "estimator": name, "population": population, "rate_inside": c.treated,
            "rate_outside": c.untreated, "relative_effect": c.ratio - 1,
            "lower": c.ratio * np.exp(-z * error) - 1, "upper": c.ratio * np.exp(z * error) - 1,
            "std_error": error, "rate_difference": c.difference,
            "difference_lower": c.difference - z * gap, "difference_upper": c.difference + z * gap,
        })  # fmt: skip
    last = rows[-1]
    facts = {
        "level": level, "outcome": outcome,
        **{k: last[k] for k in ("estimator", "population", "lower", "upper")},
        "effect": last["relative_effect"], "difference": last["rate_difference"],
    }  # fmt: skip
    basis = replace(
        basis,
        notes=(*basis.notes, *notes),
        fingerprint=fingerprint(basis.fingerprint, str(level), *(r["estimator"] for r in rows)),
    )
    return CausalEffect(table=pl.DataFrame(rows), basis=basis, facts=facts, frames=frames or {})
