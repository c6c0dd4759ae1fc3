"""The distribution of a year's total: value at risk, stop-loss premiums, layers, loss ratio.

Value at risk is VaR_p = inf{x : F(x) ≥ p}, tail value at risk TVaR_p = VaR_p + E[(S − VaR_p)₊]/(1 − p)
(Acerbi and Tasche 2002), the stop-loss premium at a retention d E[(S − d)₊].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError
from pricing.losses.severity_law import SeverityLaw, sample_severity
from pricing.losses.terms import Terms
from pricing.result.figure import COLOURS
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, say

__all__ = ["AggregateLoss", "central_moments", "summed_up"]

Array = npt.NDArray[np.float64]


class AggregateLoss(Result):
    """Distribution of what a year's claims cost in all.

    ``.table``: probability, value_at_risk, tail_value_at_risk, stop_loss_premium at the value at
    risk. ``.frames["distribution"]``: loss, probability; where the grid left a tail beyond, its
    last row holds it at its mean. ``.frames["errors"]``: mean, standard deviation and skewness,
    exact, on the lattice and as computed.

    Examples
    --------
    >>> from scipy import stats
    >>> from pricing.losses.aggregate import aggregate_loss
    >>> from pricing.losses.count_law import poisson
    >>> year = aggregate_loss(poisson(10), stats.expon(scale=100.0))
    >>> round(year.mean), round(year.stop_loss(1500.0), 2), round(year.exceeds(2000.0), 5)
    (1000, 40.44, 0.02579)
    """

    kind = "aggregate_loss"

    @property
    def loss(self) -> Array:
        """Points of the distribution, rising, currency."""
        return self.frames["distribution"]["loss"].to_numpy()

    @property
    def probability(self) -> Array:
        """Probability of each point."""
        return self.frames["distribution"]["probability"].to_numpy()

    @property
    def mean(self) -> float:
        """Expected aggregate loss."""
        return float(self.facts["mean"])

    def exceeds(self, amount: float, *, or_equal: bool = False) -> float:
        """P(S > amount), or P(S ≥ amount).

        Where amounts are continuous, the probability of a bucket is spread evenly over it.
        """
        x, loss, p = float(amount), self.loss, self.probability
        self._within(x)
        if self.facts["smooth"] and x > 0:
            half = self.facts["bucket"] / 2
            share = ((loss + half - x) / (2 * half)).clip(0, 1)
            share[0] = float(loss[0] > x) if loss[0] == 0 else share[0]
            return float((p * share).sum())
        hair = 1e-9 * max(self.facts["bucket"], abs(x) * 1e-6)
        at = np.searchsorted(loss, x - hair if or_equal else x + hair, side="left")
        return float(p[at:].sum())

    def value_at_risk(self, probability: float) -> float:
        """VaR: the smallest amount that is not passed with at least this probability."""
        return float(self._risks([probability])[0][0])

    def tail_value_at_risk(self, probability: float) -> float:
        """TVaR: the mean of the worst 1 − p of years."""
        at = self.value_at_risk(probability)
        return at + self.stop_loss(at) / (1 - probability)

    def stop_loss(self, retention: float) -> float:
        """E[(S − d)₊], the net premium of a cover above the retention."""
        if not retention >= 0:
            raise InputError(f"a retention is zero or more, got {retention}")
        self._within(retention)
        loss = self.loss
        at = int(np.searchsorted(loss, retention))
        return float(((loss[at:] - retention) * self.probability[at:]).sum())

    def layers(self, edges: Sequence[float]) -> pl.DataFrame:
        """Means of the layers between rising edges, the last one open, with how often each is hit.

        Examples
        --------
        >>> from pricing.losses.aggregate import aggregate_loss
        >>> from pricing.losses.count_law import poisson
        >>> year = aggregate_loss(poisson(1.0), sample_severity([100.0]))
        >>> year.layers([0.0, 100.0])["layer_mean"].round(4).to_list()
        [63.2121, 36.7879]
        """
        e = [float(edge) for edge in edges]
        if not e or any(b <= a for a, b in pairwise(e)) or not e[0] >= 0:
            raise InputError("the edges of the layers must rise from zero or more")
        above = [self.stop_loss(edge) for edge in e] + [0.0]
        return pl.DataFrame(
            {
                "attachment": e,
                "layer_top": [*e[1:], None],
                "layer_mean": [a - b for a, b in pairwise(above)],
                "attached": [self.exceeds(edge) for edge in e],
            },
            schema_overrides={"layer_top": pl.Float64},
        )

    def loss_ratio_exceeds(self, line: float, *, premium: float) -> float:
        """Probability that the loss ratio S/premium passes a line, such as 0.85."""
        if not 0 < premium < math.inf or not line >= 0:
            raise InputError(
                f"a premium is above zero and a line zero or more, got {premium} and {line}"
            )
        return self.exceeds(line * premium)

    def severity(self) -> SeverityLaw:
        """Give this year's total as the law of one amount, such as a person's in a portfolio."""
        return sample_severity(self.loss, self.probability)

    def under(self, terms: Terms) -> AggregateLoss:
        """Apply terms to the year's total: aggregate deductible, limit, stop-loss layer.

        Examples
        --------
        >>> from pricing.losses.aggregate import aggregate_loss
        >>> from pricing.losses.count_law import poisson
        >>> year = aggregate_loss(poisson(1.0), sample_severity([100.0]))
        >>> round(year.under(Terms(deductible=100.0)).mean, 4)
        36.7879
        """
        paid = terms.paid(self.loss)
        beyond = self.facts["mass_beyond"]
        if beyond and terms.most < math.inf and paid[-2] >= terms.most:
            beyond = 0.0  # what lies beyond is paid the same as the last point
        values, place = np.unique(paid, return_inverse=True)
        return summed_up(
            values,
            np.bincount(place.ravel(), weights=self.probability).astype(float),
            facts=dict(self.facts) | {"mass_beyond": beyond, "smooth": False},
            errors=self.frames["errors"],
            levels=self.table["probability"].to_list(),
            basis=replace(self.basis, notes=(*self.basis.notes, f"per year: {terms}")),
        )

    def finding(self, lang: Language = "en") -> str:
        """Say mean, spread, the one-in-200 year, and how the premium stands to it."""
        said = say("finding.aggregate_loss", lang, **self.facts)
        if self.facts["premium"]:
            said += say("sentence.aggregate_premium", lang, **self.facts)
        return said

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the distribution in bars, with VaR and TVaR marked."""
        level = self.facts["level"]
        marks = {
            "value_at_risk": self.facts["value_at_risk"],
            "tail_value_at_risk": self.facts["tail_value_at_risk"],
        }
        x, y, width = _bars(self, max(marks.values()))
        figure = go.Figure(layout={"template": "pricing"})
        figure.add_bar(
            x=x,
            y=y,
            width=width,
            name=label("probability", lang),
            marker={"color": COLOURS["bars"], "line": {"width": 0}},
        )
        for (name, value), colour in zip(marks.items(), ("second", "third"), strict=True):
            figure.add_scatter(
                x=[value, value],
                y=[0.0, max(y)],
                mode="lines",
                name=f"{label(name, lang)} {level:.1%}: {value:,.0f}",
                line={"color": COLOURS[colour], "width": 2, "dash": "dash"},
            )
        figure.update_layout(
            bargap=0,
            hovermode="closest",
            xaxis={"title": {"text": f"{label('loss', lang)} ({self.basis.currency})"}},
            yaxis={"title": {"text": label("probability", lang)}, "rangemode": "tozero"},
        )
        return figure

    def _risks(self, levels: Sequence[float]) -> tuple[Array, Array]:
        """VaR at each level, and the stop-loss premium there, from running sums made once."""
        p, loss, x = np.asarray(levels, dtype=float), self.loss, self.probability
        if not np.all((p > 0) & (p < 1)):
            raise InputError(f"a probability lies between 0 and 1, got {list(levels)}")
        sums = np.cumsum(x)
        at = np.searchsorted(sums, p - 1e-12).clip(max=sums.size - 1)
        if self.facts["mass_beyond"] and np.any(at >= loss.size - 1):
            raise InputError(
                f"the grid ends at probability {1 - self.facts['mass_beyond']:.9f}, before "
                f"{p.max():g}",
                do="give a wider bucket, or more buckets",
            )
        found = loss[at]
        if self.facts["smooth"]:
            shift = self.facts["bucket"] * (0.5 - (sums[at] - p) / x[at])
            found = np.where(found > 0, found + shift, found)
        at = np.searchsorted(loss, found)
        rest = np.append(np.cumsum(x[::-1])[::-1], 0.0)
        money = np.append(np.cumsum((x * loss)[::-1])[::-1], 0.0)
        return found, (money[at] - found * rest[at]).clip(0)

    def _within(self, amount: float) -> None:
        if self.facts["mass_beyond"] > 1e-9 and amount > self.loss[-2]:
            raise InputError(
                f"{amount:,.6g} lies beyond the grid, which ends at {self.loss[-2]:,.6g} with "
                f"{self.facts['mass_beyond']:.2g} of the probability beyond",
                do="give a wider bucket, or more buckets",
            )


def central_moments(loss: Array, probability: Array) -> tuple[float, float, float]:
    """Mean, variance and third central moment of points with probabilities.

    Examples
    --------
    >>> central_moments(np.array([0.0, 2.0]), np.array([0.5, 0.5]))
    (1.0, 1.0, 0.0)
    """
    mean = float((loss * probability).sum())  # pairwise: more exact than a dot product
    off = loss - mean
    square = off * off * probability
    return mean, float(square.sum()), float((square * off).sum())


def summed_up(
    loss: Array,
    probability: Array,
    *,
    facts: dict[str, Any],
    errors: pl.DataFrame,
    levels: Sequence[float],
    basis: Basis,
) -> AggregateLoss:
    """Sum up points with probabilities: moments, risk at the levels, loss ratio.

    Parameters
    ----------
    loss, probability : numpy.ndarray
        Rising points, currency, and their probabilities, which add up to 1.
    facts : dict
        Options and what is known of the grid, to which the moments are added.
    errors : polars.DataFrame
        Moments exact, on the lattice and as computed.
    levels : sequence of float
        Probabilities of the table.
    basis : Basis
        Source and notes.

    Examples
    --------
    >>> found = summed_up(np.array([0.0, 10.0]), np.array([0.9, 0.1]), errors=pl.DataFrame(),
    ...     facts={"level": 0.95, "premium": None, "smooth": False, "mass_beyond": 0.0,
    ...            "bucket": 10.0}, levels=[0.5], basis=Basis())
    >>> found.table.row(0)
    (0.5, 0.0, 2.0, 1.0)
    """
    mean, variance, third = central_moments(loss, probability)
    sd = math.sqrt(variance)
    frames = {
        "distribution": pl.DataFrame({"loss": loss, "probability": probability}),
        "errors": errors,
    }
    facts |= {
        "mean": mean,
        "sd": sd,
        "skewness": third / sd**3 if sd > 0 else 0.0,
        "currency": basis.currency,
        "no_loss": float(probability[0]) if loss[0] == 0 else 0.0,
    }
    bare = AggregateLoss(table=pl.DataFrame(), basis=basis, facts=facts, frames=frames)
    p = np.append(np.asarray(levels, dtype=float), facts["level"])
    risks, cut = bare._risks(p.tolist())
    tails = risks + cut / (1 - p)
    facts |= {"value_at_risk": float(risks[-1]), "tail_value_at_risk": float(tails[-1])}
    if facts["premium"]:
        premium, line = facts["premium"], facts["line"]
        facts |= {
            "loss_ratio": mean / premium,
            "passes": bare.loss_ratio_exceeds(line, premium=premium),
        }
    table = pl.DataFrame(
        {
            "probability": list(levels),
            "value_at_risk": risks[:-1],
            "tail_value_at_risk": tails[:-1],
            "stop_loss_premium": cut[:-1],
        }
    )
    return replace(bare, table=table, facts=facts)


def _bars(result: AggregateLoss, most: float) -> tuple[list[float], list[float], float]:
    """At most 120 bars from the smallest loss to where the marks stand; single points stay so."""
    loss, p = result.loss, result.probability
    low, high = result.value_at_risk(1e-4), min(most * 1.1, float(loss[-1]))
    inside = (loss >= low) & (loss <= high)
    x, y = loss[inside], p[inside]
    if x.size <= 120:
        gap = float(np.diff(x).min()) if x.size > 1 else 1.0
        return x.tolist(), y.tolist(), 0.8 * gap
    bucket = result.facts["bucket"]
    width = bucket * math.ceil((x[-1] - x[0]) / bucket / 100)  # as many points under every bar
    place = np.floor((x - x[0]) / width + 1e-9).astype(np.int64)
    height = np.bincount(place, weights=y)
    return (x[0] + width * (np.arange(height.size) + 0.5)).tolist(), height.tolist(), width
