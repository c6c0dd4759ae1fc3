"""Partial dependence: a challenger's factors one at a time, as candidate tables for the tariff.

Two readings, for a boosted model is not a product of factors. Partial dependence (Friedman 2001) is
the mean rate of all cells with the factor held at a level; where factors are correlated it asks the
trees about combinations that hardly occur. Accumulated local effects (Apley and Zhu 2020) step from
a level to the next among the cells that are at either, so ask only about what is there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
import polars as pl

from pricing.claims.boosting import Rates
from pricing.claims.rating import RatingModel
from pricing.errors import InputError, nearest
from pricing.estimate.design import Floats
from pricing.result.figure import interval_figure, with_points
from pricing.result.shape import Result
from pricing.result.words import Language, label, level_label, say

if TYPE_CHECKING:
    from pricing.claims.challenger import Challenger

__all__ = ["PartialDependence", "dependence_by_level", "partial_dependence"]


class PartialDependence(Result):
    """One factor of a challenger as a table of relativities, beside the tariff's own.

    ``.table``: level, exposure, dependence and accumulated (both relative to the base), and where
    there is a model: relativity, lower, upper, outside (dependence lies outside the interval).
    """

    kind = "partial_dependence"

    def finding(self, lang: Language = "en") -> str:
        """Say how far the factor reaches, and where the model disagrees."""
        said = {k: level_label(v, lang) if isinstance(v, str) else v for k, v in self.facts.items()}
        said["factor"] = label(self.facts["factor"], lang)
        text = say("finding.partial_dependence", lang, **said)
        return text + (say("sentence.beside_model", lang, **said) if "outside" in said else "")

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the model's relativities with intervals, and the challenger's as diamonds."""
        t = self.table
        beside = "relativity" in t.columns
        none = [None] * t.height
        figure = interval_figure(
            t["level"].to_list(),
            t["relativity" if beside else "dependence"].to_list(),
            t["lower"].to_list() if beside else none,
            t["upper"].to_list() if beside else none,
            name="relativity" if beside else "dependence",
            factor=self.facts["factor"],
            lang=lang,
            bars=t["exposure"].to_list(),
            reference=1.0,
        )
        for name, colour, symbol in (
            ("dependence", "second", "diamond-open"),
            ("accumulated", "third", "square-open"),
        ):
            if beside or name == "accumulated":
                values = t[name].to_list()
                with_points(
                    figure,
                    t["level"].to_list(),
                    values,
                    name=name,
                    lang=lang,
                    symbol=symbol,
                    colour=colour,
                )
        return figure


def partial_dependence(
    challenger: Challenger,
    factor: str,
    *,
    model: RatingModel | None = None,
    base: str | None = None,
) -> PartialDependence:
    """Give one factor of a challenger as a candidate table for the tariff.

    Parameters
    ----------
    challenger : Challenger
        From :func:`pricing.claims.challenger.fit_challenger`.
    factor : str
        One of its factors.
    model : RatingModel, optional
        A model of the same response with the factor among its terms: its relativities and intervals
        stand beside.
    base : str, optional
        Level with relativity one; else the model's, else the one with the largest exposure.

    Returns
    -------
    PartialDependence
        Dependence is weighted by exposure (by claims, for a severity). Taking it into a tariff
        moves the total: rebase, or refit the rest with it as offset.

    Raises
    ------
    InputError
        For a factor or a base that is not there, and a model of another response.

    Notes
    -----
    PD(l) = Σ wᵢ f(l, xᵢ)/Σ wᵢ over the cells, divided by PD(base). ALE: at each step from level
    l − 1 to l, Σ wᵢ[ln f(l, xᵢ) − ln f(l − 1, xᵢ)]/Σ wᵢ over the cells at either, added up; the
    levels' order is theirs. The two differ where factors are correlated and interact. The challenger
    has no interval of its own: a candidate outside the model's interval is a question, not a proof;
    :func:`pricing.claims.contest.contest` asks it of claims not seen.

    Examples
    --------
    >>> from pricing.claims.challenger import fit_challenger
    >>> from pricing.experience.cells import Experience
    >>> rows = pl.DataFrame({"sex": ["f", "m"] * 8, "tier": [c for c in "abcdefgh" for _ in "fm"],
    ...                      "exposure": 1000.0, "claims": [100, 200] * 8})
    >>> found = fit_challenger(Experience.collect(rows, ["sex", "tier"]), folds=2)
    >>> partial_dependence(found, "sex").table["dependence"].round(2).to_list()
    [1.0, 2.0]
    """
    if factor not in challenger.keys:
        raise InputError(
            f"{factor!r} is no factor of the challenger{nearest(factor, challenger.keys)}"
        )
    table = challenger.frames["dependence"].filter(pl.col("term") == factor).drop("term", "weight")
    if model is not None and model.details["response"] != challenger.facts["response"]:
        raise InputError(
            f"a model of {model.details['response']} beside a challenger of "
            f"{challenger.facts['response']}"
        )
    if base is None:
        base = model.details["base"].get(factor) if model is not None else None
        base = base or table.sort("exposure", descending=True, maintain_order=True)["level"][0]
    at = table.filter(pl.col("level") == base)
    if at.is_empty():
        raise InputError(f"{base!r} is no level of {factor!r}{nearest(base, table['level'])}")
    table = table.with_columns(
        pl.col("dependence") / at["dependence"][0], pl.col("accumulated") / at["accumulated"][0]
    )
    ends = table.sort("dependence", maintain_order=True)
    facts = {
        "factor": factor,
        "base": base,
        "lowest": ends["level"][0],
        "low": ends["dependence"][0],
        "highest": ends["level"][-1],
        "high": ends["dependence"][-1],
    }
    if model is not None:
        own = model.relativities(factor).select("level", "relativity", "lower", "upper")
        fixed = own.filter(pl.col("level") == base)["relativity"]
        if not fixed.len() or fixed[0] != 1.0:
            raise InputError(
                f"{base!r} is not the base of {factor!r} in the model",
                do="leave base out, or refit the model with it",
            )
        within = pl.col("dependence").is_between("lower", "upper") | (pl.col("level") == base)
        table = table.join(own, on="level", how="left", maintain_order="left")
        table = table.with_columns(outside=~within)
        gap = (pl.col("dependence") / pl.col("relativity")).log().abs()
        widest = table.sort(gap, descending=True, nulls_last=True, maintain_order=True).row(
            0, named=True
        )
        facts |= {
            "levels": table.height,
            "outside": int(table["outside"].sum()),
            "widest": widest["level"],
            "there": widest["dependence"],
            "model_there": widest["relativity"],
            "level": model.facts["level"],
        }
    return PartialDependence(table=table, basis=challenger.basis, facts=facts)


def dependence_by_level(
    x: Floats, weight: Floats, exposure: Floats, rates: Rates, levels: Mapping[str, Sequence[str]]
) -> pl.DataFrame:
    """Give the mean rate with a factor held at each level, and the accumulated local effects.

    Parameters
    ----------
    x : array, cells × factors
        Floats of the levels.
    weight, exposure : array
        Of every cell.
    rates : Rates
        Trees.
    levels : mapping of str to sequence of str
        Levels of every factor, in the order of the columns.

    Examples
    --------
    >>> flat = Rates(None, 0.1)
    >>> x, ones = np.array([[0.0], [1.0]]), np.ones(2)
    >>> dependence_by_level(x, ones, ones, flat, {"sex": ["f", "m"]})["dependence"].to_list()
    [0.1, 0.1]
    """
    frames = []
    for j, (name, known) in enumerate(levels.items()):
        code = x[:, j].astype(np.int64)
        mean, local, before = [], [0.0], np.zeros(len(x))
        for place in range(len(known)):
            moved = x.copy()
            moved[:, j] = place
            rate = rates(moved)
            mean.append(float(weight @ rate / weight.sum()))
            near = (code == place) | (code == place - 1)
            if place:
                local.append(float(weight[near] @ np.log(rate / before)[near] / weight[near].sum()))
            before = rate
        behind = [np.bincount(code, weights=w, minlength=len(known)) for w in (exposure, weight)]
        frames.append(
            pl.DataFrame(
                {
                    "term": name,
                    "level": list(known),
                    "exposure": behind[0],
                    "weight": behind[1],
                    "dependence": mean,
                    "accumulated": np.exp(np.cumsum(local)),
                }
            )
        )
    return pl.concat(frames)
