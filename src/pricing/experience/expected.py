"""Actual to expected, by count and by amount, against any basis of expectation."""

from __future__ import annotations

import plotly.graph_objects as go
import polars as pl

from pricing.experience.cells import Experience
from pricing.experience.ratio import By, Interval, ratios
from pricing.result.figure import interval_figure
from pricing.result.shape import Result
from pricing.result.words import Language, label, say

__all__ = ["ActualToExpected", "actual_to_expected"]

EXPECTED = {"claims": "expected", "amount": "expected_amount"}


class ActualToExpected(Result):
    """Actual over expected claims or amounts by one factor."""

    kind = "actual_to_expected"

    def finding(self, lang: Language = "en") -> str:
        """Say how close the expectation is overall and how many levels it misses."""
        facts = {**self.facts, "factor": label(self.facts["factor"], lang)}
        amounts = facts.get("by") == "amount"
        key = "sentence.actual_to_expected_amount" if amounts else "finding.actual_to_expected"
        return say(key, lang, **facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the ratio with its interval over exposure bars, against 1."""
        table, factor = self.table, self.facts["factor"]
        return interval_figure(
            table[factor].cast(pl.String).to_list(),
            table["actual_to_expected"].to_list(),
            table["lower"].to_list(),
            table["upper"].to_list(),
            name="actual_to_expected",
            factor=factor,
            lang=lang,
            bars=table["exposure"].to_list(),
            reference=1.0,
        )


def actual_to_expected(
    experience: Experience,
    expected: pl.Expr | str,
    factor: str,
    *,
    by: By = "claims",
    interval: Interval | None = None,
    level: float = 0.95,
) -> ActualToExpected:
    """Actual over expected claims or amounts by level of one factor.

    Parameters
    ----------
    experience : Experience
        Cells that carry ``factor`` and what ``expected`` reads.
    expected : polars.Expr or str
        An expression: expected claims (by amount: expected currency) per policy-year of a cell,
        such as ``model.rate()`` or a life table's rate. A name: a sum of the experience that
        holds the expected claims or amounts already added up, collected with ``sums=[...]``.
    factor : str
        Key to look at; need not be in the model.
    by : {"claims", "amount"}
        Compare numbers of claims, or amounts of money.
    interval : {"robust", "poisson", "normal"}, optional
        Every interval takes the expected figures as given. With M = Σμ and R = A/M:

        * ``"robust"`` (left out, for a rate): exp(ln R ± z·√V/A), V = Σ(a − Rμ)² over the rows,
          never below A²/n.
        * ``"normal"``: R ± z·√V/M, cut off at zero.
        * ``"poisson"`` (left out, for a column by claims): exact for the count (Garwood 1936).

        For a column the cells do not know how rows spread around their own expectation, so
        ``"robust"`` is refused and ``"normal"`` (left out, for a column by amount) takes
        V = Σn for claims and the compound-Poisson V = Σ amount² for amounts; the result's basis
        says so. To have the rows' spread none the less, give the cell's mean rate as an
        expression: ``pl.col("expected") / pl.col("exposure")``.
    level : float
        Confidence level.

    Returns
    -------
    ActualToExpected
        ``.table``: level, rows, exposure, claims, expected (by amount: amount, expected_amount),
        actual_to_expected, lower, upper.

    Raises
    ------
    InputError
        For a factor that is not a key, cells without an expected rate above zero, an expected
        column that is null, negative or zero for a whole level, and no amounts.

    Notes
    -----
    A level without a claim takes the exact interval of a count of zero (see :func:`one_way`).

    Examples
    --------
    >>> rows = pl.DataFrame({"sex": ["f", "m"], "exposure": [1.0, 2.0], "claims": [1, 1],
    ...                      "table_claims": [0.25, 1.0]})
    >>> seen = Experience.collect(rows, ["sex"], sums=["table_claims"])
    >>> actual_to_expected(seen, pl.lit(0.5), "sex").table["actual_to_expected"].to_list()
    [2.0, 1.0]
    >>> actual_to_expected(seen, "table_claims", "sex").table["actual_to_expected"].to_list()
    [4.0, 1.0]
    """
    table, basis = ratios(
        experience, [factor], by=by, expected=expected, interval=interval, level=level
    )
    name = EXPECTED[by]
    table = table.with_columns(pl.col("_base").alias(name), actual_to_expected="_ratio")
    outside = table.filter((pl.col("lower") > 1) | (pl.col("upper") < 1))
    facts = {
        "factor": factor,
        "by": by,
        "level": level,
        "ratio": float(table["_actual"].sum()) / float(table["_base"].sum()),
        "outside": outside.height,
        "levels": table.height,
    }
    amounts = ["amount"] if by == "amount" else []
    columns = [factor, "rows", "exposure", "claims", *amounts, name, "actual_to_expected"]
    return ActualToExpected(
        table=table.select(*columns, "lower", "upper"), basis=basis, facts=facts
    )
