"""Actual-to-expected with both credibilities side by side."""

from __future__ import annotations

from dataclasses import replace

import plotly.graph_objects as go
import polars as pl

from pricing.estimate.credibility import credibility_of_cells
from pricing.estimate.limited import limited_fluctuation
from pricing.experience.cells import Experience
from pricing.experience.expected import actual_to_expected
from pricing.result.figure import interval_figure, with_points
from pricing.result.shape import Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["CredibleExperience", "credible_experience"]


class CredibleExperience(Result):
    """Actual-to-expected claims by one factor, raw and under both credibilities."""

    kind = "credible_experience"

    def finding(self, lang: Language = "en") -> str:
        """Say how much each of the two believes, and where they part most."""
        facts = {**self.facts, "factor": label(self.facts["factor"], lang)}
        facts["widest"] = level_label(facts["widest"], lang)
        return say("finding.credible_experience", lang, **facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the raw ratio with its interval, and both credible ones."""
        table, factor = self.table, self.facts["factor"]
        levels = table[factor].cast(pl.String).to_list()
        figure = interval_figure(
            levels,
            table["actual_to_expected"].to_list(),
            table["lower"].to_list(),
            table["upper"].to_list(),
            name="actual_to_expected",
            factor=factor,
            lang=lang,
            bars=table["exposure"].to_list(),
            reference=1.0,
        )
        for name, symbol, colour in (
            ("credible_limited", "square-open", "second"),
            ("credible_buhlmann", "diamond-open", "third"),
        ):
            with_points(
                figure, levels, table[name].to_list(),
                name=name, lang=lang, symbol=symbol, colour=colour,
            )  # fmt: skip
        return figure


def credible_experience(
    experience: Experience,
    expected: pl.Expr,
    factor: str,
    *,
    probability: float = 0.90,
    tolerance: float = 0.05,
    dispersion: float = 1.0,
    complement: float | None = None,
    level: float = 0.95,
) -> CredibleExperience:
    """Actual-to-expected claims by level, with limited-fluctuation and Bühlmann–Straub beside it.

    The first asks whether a level's own figure is stable; the second weighs how much the rows
    spread within levels against how much the levels truly differ, and needs no standard. Where
    they disagree, either the standard or the complement deserves a second look.

    Parameters
    ----------
    experience : Experience
        Cells that carry ``factor`` and what ``expected`` reads.
    expected : polars.Expr
        Expected claims per policy-year of a cell, without the factor's own effect. A column of
        expected claims serves as its cell's rate: ``pl.col("expected") / pl.col("exposure")``.
    factor : str
        Key whose levels are weighed, two or more.
    probability, tolerance, dispersion, complement : float
        As in :func:`limited_fluctuation`; the complement is an actual-to-expected ratio. Bühlmann–
        Straub always takes its own collective mean.
    level : float
        Confidence level of the raw ratio's interval.

    Returns
    -------
    CredibleExperience
        ``.table``: that of :func:`actual_to_expected`, then credibility_limited,
        credible_limited, credibility_buhlmann, credible_buhlmann.

    Raises
    ------
    InputError
        As :func:`limited_fluctuation` and :func:`credibility_of_cells`.

    Examples
    --------
    >>> rows = pl.DataFrame({"g": ["a", "a", "b", "b"], "exposure": [1.0] * 4, "claims": [3, 5, 1, 1]})
    >>> found = credible_experience(Experience.collect(rows, ["g"]), pl.lit(2.0), "g")
    >>> found.table.select("g", "actual_to_expected", pl.col("credible_buhlmann").round(3)).rows()
    [('a', 2.0, 1.917), ('b', 0.5, 0.583)]
    """
    raw = actual_to_expected(experience, expected, factor, level=level)
    limited = limited_fluctuation(
        experience,
        factor,
        expected=expected,
        probability=probability,
        tolerance=tolerance,
        dispersion=dispersion,
        complement=complement,
        level=level,
    )
    buhlmann = credibility_of_cells(experience, expected, factor)
    table = raw.table.with_columns(
        limited.table["credibility_limited"],
        limited.table["credible_limited"],
        buhlmann.table["credibility"].alias("credibility_buhlmann"),
        buhlmann.table["premium"].alias("credible_buhlmann"),
    )
    apart = (table["credible_limited"] - table["credible_buhlmann"]).abs()
    widest = table.row(int(apart.arg_max() or 0), named=True)
    facts = {
        "factor": factor,
        "level": level,
        "full_claims": limited.facts["full_claims"],
        "complement": limited.facts["complement"],
        "collective": buhlmann.facts["collective"],
        "limited_least": limited.facts["least"],
        "limited_most": limited.facts["most"],
        "buhlmann_least": buhlmann.facts["lowest"],
        "buhlmann_most": buhlmann.facts["highest"],
        "widest": str(widest[factor]),
        "widest_limited": widest["credible_limited"],
        "widest_buhlmann": widest["credible_buhlmann"],
    }
    notes = tuple(dict.fromkeys([*raw.basis.notes, *limited.basis.notes]))
    return CredibleExperience(table=table, basis=replace(raw.basis, notes=notes), facts=facts)
