"""Regression to the mean: those picked for a bad year do better in the next, programme or none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import polars as pl
from scipy.special import ndtri

from pricing.causal.people import People
from pricing.errors import InputError
from pricing.experience.domain import require_columns
from pricing.files import fingerprint
from pricing.result.figure import COLOURS
from pricing.result.shape import Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["MeanReversion", "expected_fall", "regression_to_the_mean", "spearman_brown"]


def expected_fall(share: float, correlation: float) -> float:
    """Expected fall, in standard deviations, of those above a cut, if nothing is done to them.

    Two measurements, bivariate normal: (1 − ρ)·φ(z)/p for the top share p, z = Φ⁻¹(1 − p)
    (Gardner and Heady 1973, Journal of Chronic Diseases 26).

    Parameters
    ----------
    share : float
        Share above the cut, between 0 and 1.
    correlation : float
        Between the two measurements, −1 to 1.

    Examples
    --------
    >>> round(expected_fall(0.20, 0.6), 5)
    0.55992
    """
    if not 0 < share < 1:
        raise InputError(f"a share lies between 0 and 1, got {share}", where="share")
    if not -1 <= correlation <= 1:
        raise InputError(f"a correlation lies from -1 to 1, got {correlation}", where="correlation")
    z = float(ndtri(1 - share))
    return float((1 - correlation) * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) / share)


def spearman_brown(reliability: float, times: float) -> float:
    """Reliability of the mean of k measurements: kρ/(1 + (k − 1)ρ) (Spearman 1910; Brown 1910).

    Parameters
    ----------
    reliability : float
        Of one measurement, such as the intraclass correlation of a day's steps.
    times : float
        How many, above 0.

    Examples
    --------
    >>> round(spearman_brown(0.41, 6), 4)
    0.8066
    """
    if not (0 <= reliability <= 1 and times > 0):
        raise InputError(
            f"a reliability of {reliability} measured {times} times has no meaning",
            do="give a reliability from 0 to 1 and a number above 0",
        )
    return times * reliability / (1 + (times - 1) * reliability)


class MeanReversion(Result):
    """What becomes of last year's claimants, inside the programme and outside.

    ``.table``: history (claims last year, none, all), side (inside, outside, everybody), persons
    (pairs of years), rate_before, rate_after, relative_change.
    """

    kind = "mean_reversion"

    def finding(self, lang: Language = "en") -> str:
        """Say what became of last year's claimants, outside the programme where that is known."""
        who = say("sentence.not_in_programme", lang) if self.facts["outside"] else ""
        return say("finding.mean_reversion", lang, **(dict(self.facts) | {"who": who}))

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the rate before and after, by last year's claims and by side."""
        figure = go.Figure(layout={"template": "pricing"})
        sides = [s for s in ("inside", "outside") if s in self.table["side"].to_list()]
        colours = {"inside": COLOURS["estimate"], "outside": COLOURS["second"]}
        places = [label("rate_before", lang), label("rate_after", lang)]
        for side in sides or ["everybody"]:
            for history, dash in (("claims last year", "solid"), ("no claims last year", "dot")):
                row = self.table.filter(side=side, history=history).row(0, named=True)
                figure.add_scatter(
                    x=places,
                    y=[row["rate_before"], row["rate_after"]],
                    mode="lines+markers",
                    name=f"{level_label(history, lang)} · {level_label(side, lang)}",
                    line={"dash": dash, "color": colours.get(side, COLOURS["estimate"])},
                    marker={"size": 9},
                )
        measured = self.facts["outcome"]
        measured = "frequency" if measured == "claims" else measured
        figure.update_layout(
            xaxis={"type": "category", "range": [-0.3, 1.3]},
            yaxis={"title": {"text": label(measured, lang)}, "rangemode": "tozero"},
            height=440,
            legend={"entrywidth": 330},
        )
        return figure


def regression_to_the_mean(
    rows: pl.DataFrame,
    *,
    person: str,
    period: str,
    treated: str | None = None,
    outcome: str = "claims",
    exposure: str = "exposure",
    source: str = "",
) -> MeanReversion:
    """Follow last year's claimants into the next year: what a before-and-after study would book.

    Parameters
    ----------
    rows : polars.DataFrame
        One row per person and period.
    person, period : str
        Who and when; periods are whole numbers.
    treated : str, optional
        In the programme in the second of the two years; then both sides are shown, and that the
        fall is there without the programme.
    outcome, exposure : str
        Claims and policy-years.

    Returns
    -------
    MeanReversion
        ``.facts``: share of claimants, correlation of a person's two rates, change of claimants
        (outside the programme where it is given), and expected_fall in standard deviations if
        claims were normal.

    Raises
    ------
    InputError
        Where nobody is seen in two years running, or nobody had a claim.

    Examples
    --------
    >>> rows = pl.DataFrame({"id": [1, 1, 2, 2, 3, 3], "year": [0, 1] * 3, "claims": [2, 1, 0, 1, 0, 0],
    ...                      "exposure": [1.0] * 6})
    >>> regression_to_the_mean(rows, person="id", period="year").table["relative_change"].to_list()
    [-0.5, None, 0.0]
    """
    side = treated or "_side"
    given = rows if treated else rows.with_columns(_side=pl.int_range(pl.len()) % 2)
    require_columns([period, person], rows.columns)
    held = People.collect(
        given, treated=side, outcome=outcome, exposure=exposure, person=person, source=source
    )
    frame = pl.DataFrame({
        "person": held.person, "period": given[period].cast(pl.Int64), "n": held.total,
        "e": held.exposure, "in": held.treated,
    })  # fmt: skip
    if frame.select("person", "period").is_duplicated().any():
        raise InputError("a person is twice in a period", where=f"{person}, {period}",
                         do="add the rows of a person and period first")  # fmt: skip
    pairs = frame.join(
        frame.select("person", "n", "e", period=pl.col("period") + 1),
        on=["person", "period"], suffix="_before", maintain_order="left",
    )  # fmt: skip
    if pairs.is_empty() or not pairs["n_before"].sum() > 0:
        raise InputError(
            "nobody with a claim is seen again the year after",
            do="give rows of two years or more",
        )
    pairs = pairs.with_columns(_had=pl.col("n_before") > 0)
    sides = {"inside": pl.col("in"), "outside": ~pl.col("in")} if treated else {}
    cut = {"claims last year": pl.col("_had"), "no claims last year": ~pl.col("_had"), "all": pl.lit(True)}  # fmt: skip
    table = pl.concat(
        pairs.filter(who & which).select(
            history=pl.lit(history), side=pl.lit(name), persons=pl.len(),
            rate_before=pl.col("n_before").sum() / pl.col("e_before").sum(),
            rate_after=pl.col("n").sum() / pl.col("e").sum(),
        )
        for name, who in {**sides, "everybody": pl.lit(True)}.items()
        for history, which in cut.items()
    ).with_columns(
        relative_change=pl.when(pl.col("rate_before") > 0).then(
            pl.col("rate_after") / pl.col("rate_before") - 1
        )
    )  # fmt: skip
    rate = pairs.select(a=pl.col("n_before") / pl.col("e_before"), b=pl.col("n") / pl.col("e"))
    rho = rate.select(pl.corr("a", "b")).item()
    share = float(pairs["_had"].mean())  # type: ignore[arg-type]
    told = "outside" if treated else "everybody"
    change = table.filter(side=told, history="claims last year")["relative_change"].item()
    rho = float(rho) if rho is not None and np.isfinite(rho) else 0.0
    facts = {
        "share": share, "correlation": rho, "change": change, "outside": treated is not None, "outcome": outcome,
        "expected_fall": expected_fall(share, rho) if share < 1 else 0.0,
    }  # fmt: skip
    basis = replace(
        held.basis, notes=held.basis.notes[:1],
        fingerprint=fingerprint(held.basis.fingerprint, period, "mean reversion"),
    )  # fmt: skip
    return MeanReversion(table=table, basis=basis, facts=facts)
