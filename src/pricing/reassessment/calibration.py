"""Calibration: whether cases said to be ineligible with probability p are so p of the time, and ranked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl
from scipy.stats import beta as beta_law

from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.reassessment.domain import Floats, numbers, require_rows_there
from pricing.result.figure import interval_figure, with_points
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, say
from pricing.survival.interval import normal_quantile
from pricing.validation.prediction import quantile_bands

__all__ = ["Ranked", "VisitCalibration", "calibrate_visits", "exact_share", "ranked"]


class VisitCalibration(Result):
    """Ineligible among those visited beside what the model said, by tenth of its probability.

    ``.table``: tenth (low to high), visits, found_ineligible, predicted_share, found_share, lower,
    upper, found_to_predicted. ``.facts``: visits, predicted and found share of all, ratio,
    discrimination (area under the ROC curve) with its interval, brier.
    """

    kind = "visit_calibration"

    def finding(self, lang: Language = "en") -> str:
        """Say the total, the discrimination, and how many tenths are off."""
        return say(f"finding.{self.kind}", lang, **self.facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the share found with its interval and the predicted one, by tenth."""
        table = self.table
        tenths = table["tenth"].cast(pl.String).to_list()
        figure = interval_figure(
            tenths,
            table["found_share"].to_list(),
            table["lower"].to_list(),
            table["upper"].to_list(),
            name="found_share",
            factor="tenth",
            lang=lang,
            bars=table["visits"].to_list(),
            bars_name="visits",
            percent=True,
        )
        predicted = table["predicted_share"].to_list()
        return with_points(figure, tenths, predicted, name="predicted_share", lang=lang)


@dataclass(frozen=True)
class Ranked:
    """Area under the ROC curve, its standard error and interval."""

    area: float
    std_error: float
    lower: float
    upper: float


def calibrate_visits(
    outcomes: pl.DataFrame,
    *,
    probability: str = "probability",
    weight: str | None = "weight",
    tenths: int = 10,
    level: float = 0.95,
) -> VisitCalibration:
    """Hold predicted probabilities against what visits found, best of visits the model has not seen.

    Parameters
    ----------
    outcomes : polars.DataFrame
        ``probability``, ``ineligible`` (0 or 1) and the weight.
    probability : str
        Column of the prediction, above 0 and below 1.
    weight : str or None
        Column of inverse probabilities of inclusion, so that the table speaks of all cases and not of
        those a score chose; rows where it is null (complaints) are left out. None: every visit is one.
    tenths : int
        Groups of equal weight by prediction; equal predictions stay together.
    level : float
        Of the intervals.

    Raises
    ------
    InputError
        For columns missing or out of range, and where all or none are ineligible.

    Notes
    -----
    Found share Σwy ÷ Σw; its interval is Clopper and Pearson's (1934) on the effective number
    n* = p(1 − p) ÷ v with v = Σw²(y − p)² ÷ (Σw)² (Korn and Graubard 1998, Survey Methodology 24),
    exact where weights are equal.

    Examples
    --------
    >>> rows = pl.DataFrame({"probability": [0.1, 0.1, 0.4, 0.4], "ineligible": [0, 0, 0, 1]})
    >>> found = calibrate_visits(rows, weight=None, tenths=2)
    >>> found.table.select("predicted_share", "found_share").rows()
    [(0.1, 0.0), (0.4, 0.5)]
    """
    columns = [probability, "ineligible", *([weight] if weight else [])]
    require_rows_there(outcomes, "visits", columns)
    normal_quantile(level)
    if not isinstance(tenths, int) or tenths < 2:
        raise InputError(f"two groups or more are needed, got {tenths!r}")
    rows = outcomes.filter(pl.col(weight).is_not_null()) if weight else outcomes
    read = numbers(rows, "visits", {probability: (0.0, 1.0), "ineligible": (0.0, 1.0), **({weight: (0.0, np.inf)} if weight else {})}, open_low=[weight] if weight else [])  # fmt: skip
    p, y = read[probability], read["ineligible"]
    w = read[weight] if weight else np.ones(len(p))
    area = ranked(p, y, w, level=level)
    codes = np.zeros(len(p), dtype=np.int64)
    if len(np.unique(p)) > 1:
        codes = np.asarray(quantile_bands(np.maximum(p, 1e-12), w, tenths).codes)
    table = (
        pl.DataFrame({"tenth": codes + 1, "p": p, "y": y, "w": w})
        .group_by("tenth", maintain_order=True)
        .agg(
            visits=pl.len().cast(pl.Int64),
            found_ineligible=pl.col("y").sum().cast(pl.Int64),
            predicted_share=(pl.col("p") * pl.col("w")).sum() / pl.col("w").sum(),
            found_share=(pl.col("y") * pl.col("w")).sum() / pl.col("w").sum(),
            _square=(pl.col("w") ** 2).sum() / pl.col("w").sum() ** 2,
            _moved=(pl.col("w") ** 2 * (pl.col("y") - (pl.col("y") * pl.col("w")).sum() / pl.col("w").sum()) ** 2).sum() / pl.col("w").sum() ** 2,
        )
        .sort("tenth")
    )  # fmt: skip
    share, spread = table["found_share"].to_numpy(), table["_moved"].to_numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        effective = np.where(spread > 0, share * (1 - share) / spread, 1 / table["_square"].to_numpy())  # fmt: skip
    effective = np.minimum(effective, table["visits"].to_numpy())
    lower, upper = exact_share(effective * share, effective, level=level)
    predicted = table["predicted_share"]
    table = table.drop("_square", "_moved").with_columns(
        lower=lower, upper=upper, found_to_predicted=pl.col("found_share") / predicted
    )
    total, said = float(w @ y / w.sum()), float(w @ p / w.sum())
    off = table.filter((predicted < pl.col("lower")) | (predicted > pl.col("upper"))).height
    facts: dict[str, Any] = {
        "visits": len(p), "found": total, "predicted": said, "ratio": total / said,
        "discrimination": area.area, "discrimination_lower": area.lower,
        "discrimination_upper": area.upper, "off": off, "tenths": table.height, "level": level,
        "brier": float(w @ (y - p) ** 2 / w.sum()),
    }  # fmt: skip
    note = "weighted to all cases by the probability of inclusion" if weight else "of the visits as they are, not of all cases"  # fmt: skip
    return VisitCalibration(
        table=table,
        basis=Basis(rows=len(p), currency="", fingerprint=fingerprint(p.tobytes(), y.tobytes(), w.tobytes(), str((tenths, level))), notes=(note,)),
        facts=facts,
    )  # fmt: skip


def ranked(score: Floats, outcome: Floats, weight: Floats | None = None, *, level: float = 0.95) -> Ranked:  # fmt: skip
    """Give the chance that one no longer eligible scores above one who still is (area under the ROC).

    Parameters
    ----------
    score, outcome : array
        Any number that rises with suspicion; 0 or 1.
    weight : array, optional
        Inverse probabilities of inclusion.
    level : float
        Of the interval.

    Raises
    ------
    InputError
        Where all outcomes are the same.

    Notes
    -----
    Mann and Whitney's statistic with ties as halves. Its error is that of DeLong, DeLong and
    Clarke-Pearson (1988, Biometrics 44) from the placements, weighted; the interval is on the logit
    scale; where none overlap it is Clopper and Pearson's for the smaller group.

    Examples
    --------
    >>> ranked(np.array([0.9, 0.8, 0.8, 0.1]), np.array([1.0, 1.0, 0.0, 0.0])).area
    0.875
    """
    w = np.ones(len(score)) if weight is None else weight
    one = outcome > 0.5
    if one.all() or not one.any():
        raise InputError(
            f"{'all' if one.any() else 'none'} of {len(one):,} visits found the case no longer eligible: nothing can be told apart",
            do="take more visits",
        )
    _, place = np.unique(score, return_inverse=True)
    place = place.ravel()
    size = int(place.max()) + 1
    w1 = np.bincount(place[one], weights=w[one], minlength=size)
    w0 = np.bincount(place[~one], weights=w[~one], minlength=size)
    below0, below1 = np.cumsum(w0) - w0, np.cumsum(w1) - w1
    hit = ((below0 + w0 / 2) / w0.sum())[place[one]]  # of each ineligible: the eligible it is above
    miss = (1 - (below1 + w1 / 2) / w1.sum())[place[~one]]
    a = float(w[one] @ hit / w[one].sum())

    def spread(values: Floats, by: Floats) -> float:
        n = len(values)
        if n < 2:
            return 0.25
        return float(by**2 @ (values - a) ** 2 / by.sum() ** 2) * n / (n - 1)

    error = float(np.sqrt(spread(hit, w[one]) + spread(miss, w[~one])))
    z = normal_quantile(level)
    if not 0 < a < 1 or error == 0:
        # no spread is seen: the exact interval of a share among as many as the smaller group has
        few = np.array([float(min(one.sum(), (~one).sum()))])
        low, high = exact_share(a * few, few, level=level)
        return Ranked(a, error, float(low[0]), float(high[0]))
    logit, reach = np.log(a / (1 - a)), z * error / (a * (1 - a))
    low, high = 1 / (1 + np.exp(-(logit + np.array([-reach, reach]))))
    return Ranked(a, error, float(low), float(high))


def exact_share(events: Floats, trials: Floats, *, level: float = 0.95) -> tuple[Floats, Floats]:
    """Give Clopper and Pearson's interval of shares; numbers need not be whole.

    Examples
    --------
    >>> low, high = exact_share(np.array([0.0, 5.0]), np.array([10.0, 10.0]))
    >>> low.round(4).tolist(), high.round(4).tolist()
    ([0.0, 0.1871], [0.3085, 0.8129])
    """
    tail = (1 - level) / 2
    inside, under = events > 0, events < trials
    lower = np.where(inside, beta_law.ppf(tail, np.where(inside, events, 1.0), trials - events + 1), 0.0)  # fmt: skip
    upper = np.where(under, beta_law.ppf(1 - tail, events + 1, np.where(under, trials - events, 1.0)), 1.0)  # fmt: skip
    return np.asarray(lower), np.asarray(upper)
