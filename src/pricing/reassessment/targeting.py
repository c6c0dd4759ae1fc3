"""Targeting: what visiting the highest scores first would have found, against visiting at random."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.reassessment.domain import numbers, require_rows_there
from pricing.result.figure import COLOURS
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, say

__all__ = ["Targeting", "target_visits"]


class Targeting(Result):
    """What the best-scored part of the cases holds.

    ``.table``: visited_share, cases_visited, precision, precision_lift (over a random visit),
    captured_share (of all ineligible), recovered_per_visit.
    """

    kind = "targeting"

    def finding(self, lang: Language = "en") -> str:
        """Say what the middle row found against visits at random."""
        return say(f"finding.{self.kind}", lang, **self.facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the share of the ineligible captured against the share visited; the diagonal is chance."""
        table = self.table
        x = [0.0, *table["visited_share"]]
        figure = go.Figure(layout={"template": "pricing"})
        figure.add_scatter(
            x=x, y=[0.0, *table["captured_share"]], mode="lines+markers",
            name=label("captured_share", lang), line={"width": 3, "color": COLOURS["estimate"]},
        )  # fmt: skip
        figure.add_scatter(
            x=[0.0, 1.0], y=[0.0, 1.0], mode="lines", name=label("at_random", lang),
            line={"dash": "dot", "color": COLOURS["line"]},
        )  # fmt: skip
        return figure.update_layout(
            xaxis={"title": {"text": label("visited_share", lang)}, "tickformat": ".0%"},
            yaxis={"title": {"text": label("captured_share", lang)}, "tickformat": ".0%"},
        )


def target_visits(
    outcomes: pl.DataFrame,
    *,
    score: str = "probability",
    weight: str | None = "weight",
    shares: Sequence[float] = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
) -> Targeting:
    """Sort past visits by a score and count what the first of them found: precision, lift, recovered.

    Parameters
    ----------
    outcomes : polars.DataFrame
        The score, ``ineligible`` (0 or 1), ``recovered`` and the weight.
    score : str
        Column that rises with the wish to visit.
    weight : str or None
        Inverse probability of inclusion: each visit stands for as many cases.
    shares : sequence of float
        Parts of all cases that could be visited, above 0 to 1, rising.

    Notes
    -----
    Cases of one score are shared evenly at a border, so the order of rows does not matter. Judge a
    score on visits it was not fitted to.

    Examples
    --------
    >>> rows = pl.DataFrame({"probability": [0.9, 0.5, 0.2, 0.1], "ineligible": [1, 0, 0, 0],
    ...                      "recovered": [800.0, 0.0, 0.0, 0.0]})
    >>> target_visits(rows, weight=None, shares=[0.25, 1.0]).table["precision_lift"].to_list()
    [4.0, 1.0]
    """
    require_rows_there(outcomes, "visits", [score, "ineligible", "recovered", *([weight] if weight else [])])  # fmt: skip
    rows = outcomes.filter(pl.col(weight).is_not_null()) if weight else outcomes
    ranges = {score: (-np.inf, np.inf), "ineligible": (0.0, 1.0), "recovered": (0.0, np.inf)}
    read = numbers(rows, "visits", {**ranges, **({weight: (0.0, np.inf)} if weight else {})}, open_low=[weight] if weight else [])  # fmt: skip
    part = np.asarray(list(shares), dtype=np.float64)
    if not (len(part) and np.isfinite(part).all() and (np.diff(part) > 0).all() and part[0] > 0 and part[-1] <= 1):  # fmt: skip
        raise InputError(f"shares rise from above 0 to 1 at most, got {list(shares)}")
    w = read[weight] if weight else np.ones(rows.height)
    values, place = np.unique(-read[score], return_inverse=True)
    place = place.ravel()

    def along(amount: np.ndarray) -> np.ndarray:
        held = np.bincount(place, weights=w * amount, minlength=len(values))
        return np.concatenate([[0.0], np.cumsum(held)])

    cases, found, money = (along(v) for v in (np.ones(len(w)), read["ineligible"], read["recovered"]))  # fmt: skip
    if found[-1] <= 0:
        raise InputError("no visit found a case that is no longer eligible: there is nothing to rank by")  # fmt: skip
    at = part * cases[-1]
    caught, back = np.interp(at, cases, found), np.interp(at, cases, money)
    overall = found[-1] / cases[-1]
    table = pl.DataFrame(
        {
            "visited_share": part,
            "cases_visited": at,
            "precision": caught / at,
            "precision_lift": caught / at / overall,
            "captured_share": caught / found[-1],
            "recovered_per_visit": back / at,
        }
    )
    middle = table.row(int(np.argmin(np.abs(part - 0.2))), named=True)
    stamp = fingerprint(read[score].tobytes(), w.tobytes(), read["ineligible"].tobytes(), read["recovered"].tobytes(), str(list(part)))  # fmt: skip
    return Targeting(
        table=table,
        basis=Basis(rows=rows.height, fingerprint=stamp, notes=("each visit stands for the cases its inclusion says" if weight else "of the visits as they are",)),
        facts={**middle, "overall": float(overall), "visits": rows.height},
    )  # fmt: skip
