"""The years before the long run: shares of the levels, mean value and relativities by year.

Source: Denuit, Maréchal, Pitrebois and Walhin (2007), chapter 8; Borgan, Hoem and Norberg (1981),
Scandinavian Actuarial Journal: a scale is judged over the years people spend in it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
import polars as pl

from pricing.bonus_malus.chain import shares_by_year, stationary_shares, total_variation
from pricing.bonus_malus.relativities import marked
from pricing.bonus_malus.risk import Risk
from pricing.bonus_malus.scale import Scale
from pricing.errors import InputError
from pricing.result.figure import COLOURS, bar_axis
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, say

__all__ = ["ScaleCourse", "scale_course"]


class ScaleCourse(Result):
    """Mean value of a scale by year and how far it is from the long run.

    ``.frames["levels"]``: scale_year, scale_level, level_share, level_relativity (of those who have
    been in the scale for so many years).
    """

    kind = "scale_course"

    def finding(self, lang: Language = "en") -> str:
        """Say where the mean begins, stands and tends to, and how many years that takes."""
        key = "finding.scale_course" if self.facts["near_year"] is not None else None
        if key is None:
            return say("sentence.scale_course_far", lang, **self.facts)
        return say(key, lang, **self.facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the mean by year, its long run, and the distance from the long run."""
        t = self.table
        figure = go.Figure(layout={"template": "pricing"})
        years = t["scale_year"].to_list()
        figure.add_bar(
            x=years,
            y=t["total_variation"].to_list(),
            name=label("total_variation", lang),
            marker_color=COLOURS["bars"],
            yaxis="y2",
        )
        figure.add_scatter(
            x=years,
            y=t["mean_value"].to_list(),
            mode="lines+markers",
            name=label("mean_value", lang),
            line={"width": 3, "color": COLOURS["estimate"]},
        )
        figure.add_hline(
            y=self.facts["long_run"],
            line={"dash": "dot", "color": COLOURS["line"]},
            annotation_text=label("long_run", lang),
            annotation_position="top right",
        )
        figure.update_layout(
            xaxis={"title": {"text": label("scale_year", lang)}},
            yaxis={"title": {"text": label("mean_value", lang)}, "overlaying": "y2"},
            yaxis2=bar_axis(1.0, label("total_variation", lang)),
        )
        return figure


def scale_course(
    scale: Scale,
    risk: Risk,
    *,
    start: str | Mapping[str, float],
    years: int = 20,
    near: float = 0.05,
    source: str = "",
) -> ScaleCourse:
    """Follow a book through a scale, year by year from its start.

    Parameters
    ----------
    scale : Scale
        The rules; ``.values`` say what each level is worth (premium, discount).
    risk : Risk
        Who moves how.
    start : str or mapping of str to float
        Level of everyone at the start, or shares of the levels.
    years : int
        How far to look, from 0.
    near : float
        Distance below which the long run counts as reached.
    source : str
        For the basis.

    Returns
    -------
    ScaleCourse
        ``.table``: scale_year (0 the start), mean_value, total_variation (distance of the shares from
        the long run, ½ Σ|p − π|, averaged over the kinds of lives).

    Raises
    ------
    InputError
        For a start, years or probabilities that cannot be used, or where there is no long run.

    Examples
    --------
    >>> from pricing.bonus_malus.risk import same_risk
    >>> from pricing.bonus_malus.scale import target_scale
    >>> stars = target_scale(["55", "60", "65", "70"], values=[55, 60, 65, 70])
    >>> even = same_risk(stars, dict.fromkeys(stars.levels, 0.25))
    >>> scale_course(stars, even, start="55", years=2).table["mean_value"].to_list()
    [55.0, 58.75, 60.625]
    """
    if isinstance(near, bool) or not isinstance(near, int | float) or not 0 <= near <= 1:
        raise InputError(f"near is a distance of 0 to 1, got {near!r}")
    matrices = risk.matrices(scale)
    path = shares_by_year(scale.start(start), matrices, years)
    settled = stationary_shares(matrices)
    by_level = path @ scale.at_level  # years × kinds × levels
    p = np.einsum("k,tkl->tl", risk.weight, by_level)
    cost = np.einsum("k,tkl->tl", risk.weight * risk.index, by_level)
    r = np.divide(cost, p, out=np.full(p.shape, np.nan), where=p > 1e-15)
    distance = total_variation(path, settled) @ risk.weight
    values = np.array(scale.values)
    long_run = float(risk.weight @ (settled @ scale.at_level @ values))
    table = pl.DataFrame(
        {
            "scale_year": np.arange(years + 1),
            "mean_value": p @ values,
            "total_variation": distance,
        }
    )
    levels = pl.DataFrame(
        {
            "scale_year": np.repeat(np.arange(years + 1), len(scale.levels)),
            "scale_level": list(scale.levels) * (years + 1),
            "level_share": p.ravel(),
            "level_relativity": r.ravel(),
        }
    ).with_columns(pl.col("level_relativity").fill_nan(None))
    reached = np.flatnonzero(distance <= near)
    facts = {
        "years": years,
        "first": float(p[0] @ values),
        "last": float(p[-1] @ values),
        "long_run": long_run,
        "near": near,
        "near_year": int(reached[0]) if len(reached) else None,
        "last_distance": float(distance[-1]),
    }
    basis = Basis(source=source, notes=(risk.said,), fingerprint=marked(scale, risk, start, years))
    return ScaleCourse(table=table, basis=basis, facts=facts, frames={"levels": levels})
