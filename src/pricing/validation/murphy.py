"""Murphy's decomposition: how much a prediction loses by its level, and gains by its order.

For a score S that is consistent for the mean, with λ the prediction, r̂ its isotonic recalibration
and y̅ the mean of all, each the exposure-weighted mean over rows,

    S(λ) = miscalibration [S(λ) − S(r̂)] − discrimination [S(y̅) − S(r̂)] + uncertainty [S(y̅)].

Sources: Murphy (1973); Gneiting and Resin (2023), Regression diagnostics meets forecast evaluation,
Electronic Journal of Statistics 17; Fissler, Lorentzen and Mayer (2022), Model comparison and
calibration assessment.
"""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import polars as pl
from scipy.special import xlogy

from pricing.experience.cells import Experience
from pricing.experience.ratio import By
from pricing.result.figure import COLOURS
from pricing.result.shape import Result
from pricing.result.words import Language, label, level_label, say
from pricing.validation.isotonic import recalibrate
from pricing.validation.prediction import Floats, Prediction, predict

__all__ = ["Murphy", "mean_deviance", "mean_squared_error", "murphy"]

CELLS = "amounts carry no row-level score: uncertainty is that between cells, not between rows"


class Murphy(Result):
    """A score taken apart: miscalibration, discrimination, uncertainty."""

    kind = "murphy"

    def finding(self, lang: Language = "en") -> str:
        """Say what share of the uncertainty is explained, and what recalibration would add."""
        return say("finding.murphy", lang, **self.facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw discrimination and miscalibration as shares of the uncertainty, by score."""
        table = self.table
        figure = go.Figure(layout={"template": "pricing"})
        for name, colour in (
            ("discrimination", "estimate"),
            ("miscalibration", "second"),
            ("d_squared", "third"),
        ):
            share = table[name] / table["uncertainty"] if name != "d_squared" else table[name]
            figure.add_bar(
                x=[level_label(score, lang) for score in table["score"]],
                y=share.to_list(),
                name=label(name, lang),
                marker_color=COLOURS[colour],
                texttemplate="%{y:.2%}",
                textposition="outside",
                cliponaxis=False,
            )
        figure.update_layout(
            barmode="group",
            xaxis={"title": {"text": label("score", lang)}, "type": "category"},
            yaxis={"title": {"text": label("share_uncertainty", lang)}, "tickformat": ".1%"},
            hovermode="closest",
        )
        return figure


def murphy(experience: Experience, expected: pl.Expr | str, *, by: By = "claims") -> Murphy:
    """Decompose Poisson deviance and squared error into what calibration and order contribute.

    Parameters
    ----------
    experience : Experience
        Cells, best unseen by the model.
    expected : polars.Expr or str
        Prediction per policy-year, or a sum of expected claims.
    by : {"claims", "amount"}
        Claims, exactly as on rows; amounts, with cells as observations (the basis says so).

    Returns
    -------
    Murphy
        ``.table``, one row per score (deviance, squared_error): value, miscalibration,
        of_level (its part that one factor on the whole prediction would mend), discrimination,
        uncertainty, d_squared = 1 − value/uncertainty; all per policy-year of exposure.

    Raises
    ------
    InputError
        As :func:`pricing.validation.prediction.predict`.

    Notes
    -----
    The formulas stand in the docstring of :mod:`pricing.validation.murphy`; D² is scikit-learn's.

    Examples
    --------
    >>> rows = pl.DataFrame({"age": ["1", "2", "3"], "exposure": [1.0] * 3, "claims": [2, 1, 4]})
    >>> seen = Experience.collect(rows, ["age"])
    >>> found = murphy(seen, pl.col("age").cast(pl.String).cast(pl.Float64)).table.row(1, named=True)
    >>> [round(found[n], 6) for n in ("value", "miscalibration", "discrimination", "uncertainty")]
    [1.0, 0.833333, 1.388889, 1.555556]
    """
    seen = predict(experience, expected, by=by)
    best = recalibrate(seen).rate
    flat = np.full_like(seen.rate, seen.mean)
    rebased = seen.rate * (seen.actual.sum() / seen.expected.sum())
    rows = []
    for name, score in (("deviance", mean_deviance), ("squared_error", mean_squared_error)):
        value, least, most = score(seen, seen.rate), score(seen, best), score(seen, flat)
        rows.append(
            {
                "score": name,
                "value": value,
                "miscalibration": value - least,
                "of_level": value - score(seen, rebased),
                "discrimination": most - least,
                "uncertainty": most,
                "d_squared": 1 - value / most if most > 0 else None,
            }
        )
    table = pl.DataFrame(rows, schema_overrides={"d_squared": pl.Float64})
    first = rows[0]
    most = float(first["uncertainty"]) or 1.0  # type: ignore[arg-type]
    facts = {
        "by": by,
        "d_squared": 1 - float(first["value"]) / most,  # type: ignore[arg-type]
        "explained": float(first["discrimination"]) / most,  # type: ignore[arg-type]
        "lost": float(first["miscalibration"]) / most,  # type: ignore[arg-type]
    }
    return Murphy(table=table, basis=seen.basis(*([CELLS] if by == "amount" else [])), facts=facts)


def mean_deviance(seen: Prediction, rate: Floats) -> float:
    """Mean Poisson deviance per policy-year, 2Σ[a ln(a/(eλ)) − a + eλ]/Σe, as on rows.

    Examples
    --------
    >>> rows = pl.DataFrame({"age": ["1", "2"], "exposure": [1.0, 1.0], "claims": [1, 1]})
    >>> seen = predict(Experience.collect(rows, ["age"]), pl.lit(1.0))
    >>> mean_deviance(seen, seen.rate)
    0.0
    """
    own = seen.row_terms[0]
    terms = own - xlogy(seen.actual, rate) - seen.actual + rate * seen.exposure
    return float(2 * terms.sum() / seen.exposure.sum())


def mean_squared_error(seen: Prediction, rate: Floats) -> float:
    """Mean squared error of the rate, Σe(a/e − λ)²/Σe, as on rows.

    Examples
    --------
    >>> rows = pl.DataFrame({"age": ["1", "2"], "exposure": [1.0, 1.0], "claims": [0, 2]})
    >>> seen = predict(Experience.collect(rows, ["age"]), pl.lit(1.0))
    >>> mean_squared_error(seen, seen.rate)
    1.0
    """
    own = seen.row_terms[1]
    terms = own - 2 * rate * seen.actual + rate**2 * seen.exposure
    return float(terms.sum() / seen.exposure.sum())
