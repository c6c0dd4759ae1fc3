"""One-way: claim frequency or pure premium by one factor, before any adjustment."""

from __future__ import annotations

import plotly.graph_objects as go
import polars as pl

from pricing.experience.cells import Experience
from pricing.experience.ratio import By, Interval, ratios
from pricing.result.figure import interval_figure
from pricing.result.shape import Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["ESTIMATES", "OneWay", "one_way", "with_currency"]

ESTIMATES = {"claims": "frequency", "amount": "pure_premium"}


class OneWay(Result):
    """Claim frequency or pure premium by one factor, unadjusted."""

    kind = "one_way"

    def finding(self, lang: Language = "en") -> str:
        """Say where the estimate is lowest and highest."""
        facts = dict(self.facts)
        facts["factor"] = label(facts["factor"], lang)
        for name in ("lowest", "highest"):
            facts[name] = level_label(facts[name], lang)
        if facts.get("by") == "amount":
            return say("sentence.one_way_amount", lang, currency=self.basis.currency, **facts)
        return say("finding.one_way", lang, **facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the estimate with its interval over exposure bars."""
        table, factor = self.table, self.facts["factor"]
        estimate = ESTIMATES[self.facts.get("by", "claims")]
        figure = interval_figure(
            table[factor].cast(pl.String).to_list(),
            table[estimate].to_list(),
            table["lower"].to_list(),
            table["upper"].to_list(),
            name=estimate,
            factor=factor,
            lang=lang,
            bars=table["exposure"].to_list(),
        )
        return with_currency(figure, self, lang)


def with_currency(figure: go.Figure, result: Result, lang: Language) -> go.Figure:
    """Write the currency into the title of an axis, or a scale of colours, of money.

    Examples
    --------
    >>> rows = pl.DataFrame({"sex": ["f"], "exposure": [1.0], "claims": [1], "amount": [9.0]})
    >>> seen = Experience.collect(rows, ["sex"], amount="amount")
    >>> one_way(seen, "sex", by="amount").figure().layout.yaxis.title.text
    'Pure premium (CNY)'
    """
    money = label("pure_premium", lang)
    figure.for_each_trace(
        lambda heat: (
            heat.update(colorbar_title_text=f"{money} ({result.basis.currency})")
            if heat.colorbar.title.text == money
            else None
        ),
        selector={"type": "heatmap"},
    )
    if figure.layout.yaxis.title.text == money:
        figure.update_yaxes(
            title_text=f"{money} ({result.basis.currency})", selector={"side": None}
        )
    return figure


def one_way(
    experience: Experience,
    factor: str,
    *,
    by: By = "claims",
    interval: Interval = "robust",
    level: float = 0.95,
) -> OneWay:
    """Claim frequency or pure premium by level of one factor, before any adjustment.

    Parameters
    ----------
    experience : Experience
        Cells that carry ``factor``; by amount, collected with ``amount=``.
    factor : str
        Key to look at.
    by : {"claims", "amount"}
        ``"claims"``: claims per policy-year. ``"amount"``: currency per policy-year.
    interval : {"robust", "poisson", "normal"}
        With R = A/E, A claims or amount and E exposure of the level:

        * ``"robust"``: exp(ln R ± z·√V/A), V = Σ(a − R·e)² over the level's rows (Huber 1967),
          never below A²/n; right under over-dispersion and any severity.
        * ``"normal"``: R ± z·√V/E with the same V, cut off at zero; symmetric, for comparison
          with books that print it so.
        * ``"poisson"``: exact for counts (Garwood 1936); refused by amount.

        A level without a claim takes the exact interval of a count of zero; by amount, that
        count's upper end times the book's mean amount per claim.
    level : float
        Confidence level.

    Returns
    -------
    OneWay
        ``.table``: level, rows, exposure, claims, frequency or pure_premium with lower and upper;
        severity where there are amounts.

    Raises
    ------
    InputError
        For a factor that is not a key, no amounts, an unknown interval or one that does not fit.

    Examples
    --------
    >>> rows = pl.DataFrame({"sex": ["f", "m", "m"], "exposure": [1.0, 1.0, 1.0], "claims": [1, 0, 4],
    ...                      "amount": [90.0, 0.0, 500.0]})
    >>> seen = Experience.collect(rows, ["sex"], amount="amount")
    >>> one_way(seen, "sex").table.select("sex", "frequency").rows()
    [('f', 1.0), ('m', 2.0)]
    >>> one_way(seen, "sex", by="amount").table["pure_premium"].to_list()
    [90.0, 250.0]
    """
    table, basis = ratios(experience, [factor], by=by, interval=interval, level=level)
    exposure = pl.col("exposure")
    table = table.with_columns(frequency=pl.col("claims") / exposure)
    estimate = ESTIMATES[by]
    columns = [factor, "rows", "exposure", "claims", "frequency"]
    if "amount" in table.columns:
        table = table.with_columns(
            severity=pl.when(pl.col("claims") > 0).then(pl.col("amount") / pl.col("claims")),
            pure_premium=pl.col("amount") / exposure,
        )
        columns += ["amount", "severity", "pure_premium"]
    columns[columns.index(estimate) + 1 : 0] = ["lower", "upper"]  # beside what they belong to
    ordered = table.sort(estimate, maintain_order=True)
    facts = {
        "factor": factor,
        "by": by,
        "interval": interval,
        "level": level,
        estimate: float(table["_actual"].sum()) / float(table["_base"].sum()),
        "lowest": str(ordered[factor][0]),
        f"lowest_{estimate}": ordered[estimate][0],
        "highest": str(ordered[factor][-1]),
        f"highest_{estimate}": ordered[estimate][-1],
    }
    return OneWay(table=table.select(columns), basis=basis, facts=facts)
