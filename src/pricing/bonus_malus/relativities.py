"""What each level of a scale is worth in the long run: Norberg's relativities, and linear ones.

Sources: Norberg (1976), Scandinavian Actuarial Journal; Gilde and Sundt (1989), Scandinavian Actuarial
Journal; Pitrebois, Denuit and Walhin (2003), ASTIN Bulletin 33, with classes of the tariff.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl

from pricing.bonus_malus.chain import stationary_shares
from pricing.bonus_malus.risk import Risk
from pricing.bonus_malus.scale import Scale
from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.result.figure import interval_figure, with_points
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, level_label, say

__all__ = ["ScaleRelativities", "scale_relativities"]


class ScaleRelativities(Result):
    """Long-run share and relativity of each level."""

    kind = "scale_relativities"

    def finding(self, lang: Language = "en") -> str:
        """Say the share and the worth of the ends of the scale."""
        facts = dict(self.facts)
        for name in ("lowest", "highest", "fullest"):
            facts[name] = level_label(facts[name], lang)
        return say("finding.scale_relativities", lang, **facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the relativities over the shares of the levels."""
        t = self.table
        levels = t["scale_level"].to_list()
        r = t["level_relativity"].to_list()
        figure = interval_figure(
            levels,
            r,
            r,
            r,
            name="level_relativity",
            factor="scale_level",
            lang=lang,
            bars=t["level_share"].to_list(),
            bars_name="level_share",
            reference=1.0,
        )
        most = max(t["level_share"].to_list())
        figure.update_layout(yaxis2={"tickvals": [0, most], "ticktext": ["0%", f"{most:.1%}"]})
        figure.data[1].error_y = None
        return with_points(
            figure, levels, t["linear_relativity"].to_list(), name="linear_relativity", lang=lang
        )


def scale_relativities(scale: Scale, risk: Risk, *, source: str = "") -> ScaleRelativities:
    """Long-run shares of the levels and the relativities that price them fairly.

    Where the tariff already has classes (age, sex), give the risk with them: the scale then corrects
    only what they leave, and is softer. The same holds for health groups.

    Parameters
    ----------
    scale : Scale
        The rules.
    risk : Risk
        Who moves how.
    source : str
        For the basis.

    Returns
    -------
    ScaleRelativities
        ``.table``: scale_level, level_share, level_relativity (mean cost of those at the level beside
        the mean of all), linear_relativity (the best straight line over the levels).
        ``.facts``: mean_index (1: the scale is in balance), index_variance, error_variance (what the
        scale leaves, E[(Θ − r_L)²]), explained (share of the variance).

    Raises
    ------
    InputError
        Where outcomes and scale do not fit, or the long run depends on the start.

    Notes
    -----
    r_l = Σ w θ π_l(θ) / Σ w π_l(θ), π(θ) the stationary shares of a life of risk θ (Norberg 1976).
    E[(Θ − r_L)²] = E[Θ²] − Σ P_l r_l². Linear: α + β l with β = Cov(L, Θ)/Var(L), α = E[Θ] − β E[L]
    (Gilde and Sundt 1989).

    Examples
    --------
    >>> from pricing.bonus_malus.mixing import gamma_mixing
    >>> from pricing.bonus_malus.risk import count_risk
    >>> from pricing.bonus_malus.scale import count_scale
    >>> scale = count_scale(6, malus="top")
    >>> found = scale_relativities(scale, count_risk(scale, gamma_mixing(0.8888), rate=0.1474))
    >>> found.table["level_relativity"].round(3).to_list()
    [0.547, 1.22, 1.348, 1.507, 1.709, 1.974]
    """
    shares = stationary_shares(risk.matrices(scale)) @ scale.at_level
    p = risk.weight @ shares
    cost = (risk.weight * risk.index) @ shares
    reached = p > 1e-15
    r = np.divide(cost, p, out=np.full(len(p), np.nan), where=reached)
    mean = float(risk.weight @ risk.index)
    second = float(risk.weight @ risk.index**2)
    number = np.arange(len(p))
    level_mean = float(p @ number)
    spread = float(p @ number**2) - level_mean**2
    slope = (float(cost @ number) - mean * level_mean) / spread if spread > 1e-15 else 0.0
    kept = float(np.sum(p[reached] * r[reached] ** 2))
    variance = second - mean**2
    table = pl.DataFrame(
        {
            "scale_level": list(scale.levels),
            "level_share": p,
            "level_relativity": r,
            "linear_relativity": mean + slope * (number - level_mean),
        }
    ).with_columns(pl.col("level_relativity").fill_nan(None))
    seen = [i for i in range(len(p)) if reached[i]]
    if not seen:
        raise InputError("no level is reached")
    facts: dict[str, Any] = {
        "lowest": scale.levels[seen[0]],
        "highest": scale.levels[seen[-1]],
        "fullest": scale.levels[int(p.argmax())],
        "fullest_share": float(p.max()),
        "lowest_relativity": float(r[seen[0]]),
        "highest_relativity": float(r[seen[-1]]),
        "mean_index": float(np.sum(cost)),
        "index_variance": variance,
        "error_variance": second - kept,
        "explained": (kept - mean**2) / variance if variance > 1e-12 else 0.0,
        "mean_value": float(p @ np.array(scale.values)),
    }
    basis = Basis(source=source, notes=(risk.said,), fingerprint=marked(scale, risk))
    return ScaleRelativities(table=table, basis=basis, facts=facts)


def marked(scale: Scale, risk: Risk, *more: object) -> str:
    """Fingerprint of rules, risk and what else there is."""
    arrays = (risk.weight, risk.index, risk.outcomes)
    return fingerprint(repr(scale), *(a.round(12).tobytes() for a in arrays), repr(more))
