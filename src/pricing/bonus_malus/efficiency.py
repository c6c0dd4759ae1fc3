"""How a scale's premium answers to the claim rate: Loimaranta's efficiency and the average level.

Sources: Loimaranta (1972), ASTIN Bulletin 6; Lemaire (1995), Bonus-Malus Systems in Automobile
Insurance, chapters 4 and 6.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import polars as pl

from pricing.bonus_malus.chain import (
    shares_by_year,
    stationary_derivative,
    stationary_shares,
    total_variation,
)
from pricing.bonus_malus.risk import count_probabilities
from pricing.bonus_malus.scale import Scale
from pricing.errors import InputError
from pricing.estimate.design import Floats
from pricing.files import fingerprint
from pricing.result.figure import COLOURS
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, say

__all__ = ["ScaleEfficiency", "convergence", "scale_efficiency"]


class ScaleEfficiency(Result):
    """Mean premium, efficiency and relative average level by claim rate."""

    kind = "scale_efficiency"

    def finding(self, lang: Language = "en") -> str:
        """Say where the scale answers best, and how well."""
        return say("finding.scale_efficiency", lang, **self.facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw efficiency and relative average level against the claim rate."""
        figure = go.Figure(layout={"template": "pricing"})
        for name, colour, dash in (
            ("efficiency", "estimate", "solid"),
            ("average_level", "second", "dash"),
        ):
            figure.add_scatter(
                x=self.table["claim_rate"].to_list(),
                y=self.table[name].to_list(),
                mode="lines+markers",
                name=label(name, lang),
                line={"width": 3, "color": COLOURS[colour], "dash": dash},
            )
        figure.add_hline(y=1.0, line={"dash": "dot", "color": COLOURS["line"]})
        figure.update_layout(
            xaxis={"title": {"text": label("claim_rate", lang)}},
            yaxis={"title": {"text": label("scale_measures", lang)}, "rangemode": "tozero"},
        )
        return figure


def scale_efficiency(scale: Scale, rates: Sequence[float], *, source: str = "") -> ScaleEfficiency:
    """How far the long-run premium of a life rises with its claim rate.

    Parameters
    ----------
    scale : Scale
        Driven by claims; ``.values`` are the premiums of the levels, above zero (see
        :meth:`Scale.valued`).
    rates : sequence of float
        Claims a year, above zero.
    source : str
        For the basis.

    Returns
    -------
    ScaleEfficiency
        ``.table``: claim_rate, mean_value (the long-run premium), efficiency (1: the premium rises as
        the claims do), average_level (RSAL: where the mean premium lies between the lowest and the
        highest, 0 to 1).

    Raises
    ------
    InputError
        For a scale without premiums or not driven by claims, or rates not above zero.

    Notes
    -----
    b(λ) = Σ π_l(λ) r_l; η(λ) = λ b′(λ)/b(λ) (Loimaranta 1972), with π′ from π′(I − P) = πP′ and the
    Poisson derivative p′_n = p_{n−1} − p_n; RSAL = (b − min r)/(max r − min r) (Lemaire 1995).

    Examples
    --------
    >>> from pricing.bonus_malus.scale import count_scale
    >>> scale = count_scale(2, malus="top").valued([0.5, 1.5])
    >>> scale_efficiency(scale, [0.1]).table.row(0)[1:]
    (0.595..., 0.152..., 0.095...)
    """
    lam = _require(scale, rates)
    b = np.array(scale.values)
    if (b <= 0).any() or b.max() == b.min():
        raise InputError("premiums of the levels must be above zero and differ", do="use .valued()")
    p = count_probabilities(lam, len(scale.outcomes))
    matrices = scale.matrix(p)
    slope = np.zeros_like(p)
    slope[:, 1:] = p[:, :-1]
    slope[:, :-1] -= p[:, :-1]
    change = np.einsum("no,ost->nst", slope, scale.steps)
    shares = stationary_shares(matrices)
    moved = stationary_derivative(shares, matrices, change)
    mean = shares @ scale.at_level @ b
    efficiency = lam * (moved @ scale.at_level @ b) / mean
    level = (mean - b.min()) / (b.max() - b.min())
    table = pl.DataFrame(
        {"claim_rate": lam, "mean_value": mean, "efficiency": efficiency, "average_level": level}
    )
    best = int(efficiency.argmax())
    facts = {
        "best_rate": float(lam[best]),
        "best": float(efficiency[best]),
        "best_level": float(level[best]),
        "lowest_rate": float(lam.min()),
        "highest_rate": float(lam.max()),
    }
    basis = Basis(source=source, fingerprint=fingerprint(repr(scale), lam.tobytes()))
    return ScaleEfficiency(table=table, basis=basis, facts=facts)


def convergence(scale: Scale, rate: float, *, start: str, years: int) -> Floats:
    """Distance from the long run by year of a life with a claim rate, ½ Σ|p − π|, from the start on.

    Examples
    --------
    >>> from pricing.bonus_malus.scale import count_scale
    >>> convergence(count_scale(2, malus="top"), 0.1, start="1", years=1).round(6).tolist()
    [0.904837, 0.0]
    """
    matrices = scale.matrix(count_probabilities(_require(scale, [rate]), len(scale.outcomes)))
    path = shares_by_year(scale.start(start), matrices, years)[:, 0]
    return total_variation(path, stationary_shares(matrices)[0])


def _require(scale: Scale, rates: Sequence[float]) -> Floats:
    if not scale.counts:
        raise InputError("this scale is not driven by numbers of claims")
    try:
        lam = np.array([float(r) for r in rates])
    except (TypeError, ValueError) as error:
        raise InputError(f"claim rates must be numbers: {error}") from error
    if not len(lam) or not (np.isfinite(lam) & (lam > 0)).all():
        raise InputError(f"claim rates must be finite and above zero, got {lam.tolist()}")
    return lam
