"""Screening: a cheap mailer first, a visit to those it points at."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.reassessment.domain import numbers, require_settings
from pricing.reassessment.visit_value import VisitValues
from pricing.result.figure import COLOURS
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, say
from pricing.validation.prediction import quantile_bands

__all__ = ["Mailer", "TwoStage", "screen_cases"]

WAYS = ("leave", "mailer", "visit")


@dataclass(frozen=True, kw_only=True)
class Mailer:
    """A questionnaire, phone call or data match that comes before a visit.

    Attributes
    ----------
    cost : float
        Of one mailer.
    sensitivity : float
        Probability that it points at a case no longer eligible.
    specificity : float
        Probability that it does not point at one still eligible.

    Examples
    --------
    >>> Mailer(cost=10.0).sensitivity
    0.7
    """

    cost: float = 12.0
    sensitivity: float = 0.7
    specificity: float = 0.85

    def __post_init__(self) -> None:
        ranges = {"cost": (0.0, float("inf")), "sensitivity": (0.0, 1.0), "specificity": (0.0, 1.0)}
        require_settings(ranges, **asdict(self))


class TwoStage(Result):
    """Leaving alone, a mailer first, or a visit at once, by tenth of the probability.

    ``.table``: tenth, cases, probability, visit_value, mailer_value (expected, per case), best_way, and
    visits_after_mailer (per case). ``.frames["cases"]``: the same per case.
    """

    kind = "two_stage"

    def finding(self, lang: Language = "en") -> str:
        """Say how many cases are best left, mailed and visited, and what that brings."""
        return say(f"finding.{self.kind}", lang, **self.facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the value of both ways per case by tenth."""
        table = self.table
        x = table["tenth"].cast(pl.String).to_list()
        figure = go.Figure(layout={"template": "pricing"})
        for name, colour in (("visit_value", "estimate"), ("mailer_value", "second")):
            figure.add_scatter(
                x=x, y=table[name].to_list(), mode="lines+markers", name=label(name, lang),
                line={"width": 2, "color": COLOURS[colour]},
            )  # fmt: skip
        figure.add_hline(y=0.0, line={"dash": "dot", "color": COLOURS["line"]})
        return figure.update_layout(
            xaxis={"title": {"text": label("tenth", lang)}, "type": "category"},
            yaxis={"title": {"text": label("value_of_a_visit", lang)}},
        )


def screen_cases(
    values: VisitValues, mailer: Mailer | None = None, *, tenths: int = 10
) -> TwoStage:
    """Choose for every case between nothing, a mailer before a visit, and a visit.

    Parameters
    ----------
    values : VisitValues
        What a visit to each case is worth.
    mailer : Mailer, optional
        What the first stage costs and sees.
    tenths : int
        Groups of cases by probability.

    Returns
    -------
    TwoStage

    Notes
    -----
    A visit is worth p·G − (1 − p)·A − c, with G what an ineligible case brings, A the appeals of others,
    c its cost. After a mailer, p·s·(G − c) − (1 − p)(1 − q)(A + c) − m, with sensitivity s,
    specificity q and cost m. The Social Security Administration of the United States sends mailers to low
    scores and reviews high ones in full (Social Security Advisory Board 2014). Capacity is not looked
    at here.

    Examples
    --------
    >>> from pricing.reassessment.visit_value import VisitTerms, value_visits
    >>> cases = pl.DataFrame({"case_id": ["a", "b", "c"], "grade": "severe", "setting": "home",
    ...     "provider": "x", "probability": [0.001, 0.04, 0.5], "monthly_benefit": 600.0, "hours": 2.0,
    ...     "years_since_review": 1.0, "months_to_review": 12.0, "cost": 250.0})
    >>> screen_cases(value_visits(cases, VisitTerms())).frames["cases"]["best_way"].to_list()
    ['leave', 'mailer', 'visit']
    """
    if not isinstance(values, VisitValues):
        raise InputError("screening takes what value_visits gives")
    if not isinstance(tenths, int) or tenths < 2:
        raise InputError(f"two groups or more are needed, got {tenths!r}")
    mailer = mailer or Mailer()
    each = values.cases
    read = numbers(each, "cases", {"probability": (0.0, 1.0)})
    p = read["probability"]
    gain = (each["past_recovered"] + each["future_saved"]).to_numpy()  # p·G
    appeal, cost = each["appeal_expected"].to_numpy(), each["visit_cost"].to_numpy()
    visit = gain + appeal + cost
    s, false = mailer.sensitivity, 1 - mailer.specificity
    pointed = p * s + (1 - p) * false
    mailed = s * gain + false * appeal + pointed * cost - mailer.cost
    best = np.where((visit > 0) & (visit >= mailed), 2, np.where(mailed > 0, 1, 0))
    codes = np.zeros(len(p), dtype=np.int64)
    if len(np.unique(p)) > 1:
        codes = np.asarray(quantile_bands(np.maximum(p, 1e-12), np.ones(len(p)), tenths).codes)
    ways = pl.Series("best_way", list(WAYS)).gather(best)
    cases = each.select("case_id", "probability").with_columns(
        visit_value=visit, mailer_value=mailed, visits_after_mailer=pointed, best_way=ways
    )
    table = (
        cases.with_columns(tenth=pl.Series(codes + 1))
        .group_by("tenth", maintain_order=True)
        .agg(
            cases=pl.len().cast(pl.Int64),
            probability=pl.col("probability").mean(),
            visit_value=pl.col("visit_value").mean(),
            mailer_value=pl.col("mailer_value").mean(),
            visits_after_mailer=pl.col("visits_after_mailer").mean(),
            visit_cases=(pl.col("best_way") == "visit").sum().cast(pl.Int64),
            mailer_cases=(pl.col("best_way") == "mailer").sum().cast(pl.Int64),
        )
        .sort("tenth")
    )
    number = {way: int((best == k).sum()) for k, way in enumerate(WAYS)}
    facts: dict[str, Any] = {
        "cases": len(p), "left": number["leave"], "mailed": number["mailer"], "visited": number["visit"],
        "value": float(np.where(best == 2, visit, np.where(best == 1, mailed, 0.0)).sum()),
        "visits_alone": float(np.maximum(visit, 0).sum()), "currency": values.basis.currency,
        "visits": float(np.where(best == 2, 1.0, np.where(best == 1, pointed, 0.0)).sum()),
    }  # fmt: skip
    return TwoStage(
        table=table,
        basis=Basis(source=values.basis.source, rows=len(p), currency=values.basis.currency, fingerprint=fingerprint(values.basis.fingerprint, str(asdict(mailer))), notes=("capacity is not looked at",)),
        facts=facts,
        frames={"cases": cases},
    )  # fmt: skip
