"""Visit value: what a visit to a case is expected to bring, part by part, before it is made."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.reassessment.domain import numbers, require_keys_once, require_settings
from pricing.reassessment.future import future_months, past_months
from pricing.result.figure import COLOURS
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["VisitTerms", "VisitValues", "value_visits"]

PARTS = ("past_recovered", "future_saved", "appeal_expected", "visit_cost")
INF = float("inf")
RANGES = {
    "sensitivity": (0.0, 1.0), "false_stop": (0.0, 1.0), "appeal_cost": (0.0, INF),
    "lookback_months": (0.0, INF), "collect": (0.0, 1.0), "return_rate": (0.0, 1.0),
    "exit_rate": (0.0, 1.0), "interest": (-0.99, 10.0),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class VisitTerms:
    """What a visit does and what becomes of it.

    Attributes
    ----------
    sensitivity : float
        Probability that a visit finds an ineligible case out.
    false_stop : float
        Probability that it stops one that is eligible, who then appeals.
    appeal_cost : float
        Cost of such an appeal.
    lookback_months : float
        Months paid in error that can be claimed back at most.
    collect : float
        Share of what is claimed back that is collected.
    return_rate : float
        Share of those stopped who come back: 20 % (disability insurance alone) to 30 %
        (supplemental income) within eight years in the United States (Hemmeter and Stegman 2013,
        Social Security Bulletin 73-2).
    exit_rate : float
        Monthly probability that payment would have ended by itself, by death or a report.
    interest : float
        A year.

    Examples
    --------
    >>> VisitTerms(collect=0.4).return_rate
    0.25
    """

    sensitivity: float = 0.95
    false_stop: float = 0.01
    appeal_cost: float = 800.0
    lookback_months: float = 6.0
    collect: float = 0.35
    return_rate: float = 0.25
    exit_rate: float = 0.01
    interest: float = 0.025

    def __post_init__(self) -> None:
        require_settings(RANGES, **asdict(self))


class VisitValues(Result):
    """Expected value of a visit to every case.

    ``.table``: by grade and in all: cases, probability (mean), then per visit past_recovered,
    future_saved, appeal_expected, visit_cost (both below zero), net_value, and worth_visiting (cases
    with a value above 0). ``.frames["cases"]``: the same per case, with past_months, future_months,
    hours and value_per_hour; the parts add up to net_value in every row.
    """

    kind = "visit_values"

    @property
    def cases(self) -> pl.DataFrame:
        """Give the value of a visit to each case."""
        return self.frames["cases"]

    def finding(self, lang: Language = "en") -> str:
        """Say what a visit is worth on average, and what share of it is past and future."""
        return say(f"finding.{self.kind}", lang, **self.facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the parts of a mean visit by grade, stacked; a diamond marks what is left."""
        table = self.table
        x = [level_label(g, lang) for g in table["grade"]]
        figure = go.Figure(layout={"template": "pricing", "barmode": "relative"})
        shades = (COLOURS["third"], COLOURS["estimate"], COLOURS["second"], COLOURS["line"])
        for name, colour in zip(PARTS, shades, strict=True):
            figure.add_bar(x=x, y=table[name].to_list(), name=label(name, lang), marker_color=colour)  # fmt: skip
        figure.add_scatter(
            x=x, y=table["net_value"].to_list(), mode="markers", name=label("net_value", lang),
            marker={"symbol": "diamond", "size": 11, "color": COLOURS["text"]},
        )  # fmt: skip
        return figure.update_layout(
            xaxis={"title": {"text": label("grade", lang)}, "type": "category"},
            yaxis={"title": {"text": label("value_of_a_visit", lang)}},
        )


def value_visits(
    cases: pl.DataFrame, terms: VisitTerms | None = None, *, currency: str = "CNY", source: str = ""
) -> VisitValues:
    """Value a visit to every case in payment.

    Parameters
    ----------
    cases : polars.DataFrame
        Of :func:`pricing.reassessment.outcomes.cases_in_payment` with ``probability`` (that the case is
        no longer eligible), ``hours`` and ``cost`` of a visit; ``exit_rate`` (a month) by case
        overrules that of the terms.
    terms : VisitTerms, optional
        What a visit does.
    currency, source : str
        For the basis.

    Returns
    -------
    VisitValues

    Raises
    ------
    InputError
        For cases twice, probabilities outside 0 to 1, negative benefits, costs, hours or times.

    Notes
    -----
    value = p·sens·[W·B·collect + (1 − return)·B·ä] − (1 − p)·fp·appeal − cost, with W the expected
    months paid in error so far, at most the lookback
    (:func:`pricing.reassessment.future.past_months`), and ä the months until the natural review, less
    exits and interest (:func:`pricing.reassessment.future.future_months`). A case whose review is
    overdue has no future months to save: it is reviewed anyway.

    Examples
    --------
    >>> cases = pl.DataFrame({"case_id": ["a"], "grade": ["severe"], "setting": ["home"],
    ...     "provider": ["x"], "probability": [0.2], "monthly_benefit": [600.0], "hours": [2.0],
    ...     "years_since_review": [1.0], "months_to_review": [12.0], "cost": [150.0]})
    >>> free = VisitTerms(sensitivity=1.0, false_stop=0.0, exit_rate=0.0, interest=0.0, collect=0.0)
    >>> value_visits(cases, free).table.select(pl.col("future_saved", "net_value").round(6)).row(0)
    (1080.0, 930.0)
    """
    terms = terms or VisitTerms()
    ranges = {
        "probability": (0.0, 1.0), "monthly_benefit": (0.0, INF), "hours": (0.0, INF),
        "cost": (0.0, INF), "years_since_review": (0.0, INF), "months_to_review": (0.0, INF),
        **({"exit_rate": (0.0, 1.0)} if "exit_rate" in cases.columns else {}),
    }  # fmt: skip
    read = numbers(cases, "cases", ranges, open_low=["monthly_benefit", "hours"])
    own = ("case_id", "grade", "setting", "provider")
    lacking = [n for n in own if n not in cases.columns]
    if lacking:
        raise InputError(f"the cases have no {', '.join(lacking)}")
    require_keys_once(cases, "case_id", "cases")
    p, benefit = read["probability"], read["monthly_benefit"]
    past = past_months(p, read["years_since_review"] * 12, lookback=terms.lookback_months)
    rate = read.get("exit_rate", np.full(len(p), terms.exit_rate))
    future = future_months(rate, read["months_to_review"], interest=terms.interest)
    hit = p * terms.sensitivity
    parts = {
        "past_recovered": hit * past * benefit * terms.collect,
        "future_saved": hit * (1 - terms.return_rate) * benefit * future,
        "appeal_expected": -(1 - p) * terms.false_stop * terms.appeal_cost,
        "visit_cost": -read["cost"],
    }
    net = sum(parts.values(), np.zeros(len(p)))
    each = cases.select(pl.col(*own).cast(pl.String)).with_columns(
        probability=p, monthly_benefit=benefit, past_months=past, future_months=future,
        **{n: pl.Series(v) for n, v in parts.items()},
        net_value=net, hours=read["hours"], value_per_hour=net / read["hours"],
    )  # fmt: skip
    sums = [pl.len().cast(pl.Int64).alias("cases"), pl.col("probability", *PARTS, "net_value").mean(), (pl.col("net_value") > 0).sum().cast(pl.Int64).alias("worth_visiting")]  # fmt: skip
    by_grade = each.group_by("grade", maintain_order=True).agg(*sums).sort("grade")
    table = pl.concat([by_grade, each.select(pl.lit("all").alias("grade"), *sums)])
    whole = table.row(-1, named=True)
    gain = whole["past_recovered"] + whole["future_saved"]
    facts: dict[str, Any] = {
        "cases": each.height, "net_value": whole["net_value"], "worth": whole["worth_visiting"],
        "past_share": whole["past_recovered"] / gain if gain > 0 else 0.0,
        "probability": whole["probability"], "currency": currency,
        "overdue": int((read["months_to_review"] == 0).sum()),
    }  # fmt: skip
    stamp = fingerprint(each.write_csv())
    return VisitValues(
        table=table,
        basis=Basis(
            source=source,
            rows=each.height,
            currency=currency,
            fingerprint=fingerprint(str(asdict(terms)), stamp),
            notes=(f"{facts['overdue']:,} cases are overdue for their natural review: nothing of the future is saved there",),
        ),
        facts=facts,
        frames={"cases": each},
        details={"terms": asdict(terms)},
    )  # fmt: skip
