"""Aggregate loss of a year: what a policy, a person or a portfolio costs in all, as a distribution.

The number of claims and their amounts are compounded on a grid by Fourier transform (see
:mod:`pricing.claims.compound`). Value at risk is VaR_p = inf{x : F(x) ≥ p}, tail value at risk
TVaR_p = VaR_p + E[(S − VaR_p)₊]/(1 − p) (Acerbi and Tasche 2002), the stop-loss premium at a retention
d E[(S − d)₊]. Source: Klugman, Panjer and Willmot, Loss Models (5th ed. 2019), chapter 9.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import polars as pl

from pricing.claims.compound import MOST, Grid, choose_grid, compound, moments_of
from pricing.claims.count_law import CountLaw
from pricing.claims.discretise import Method, discretise
from pricing.claims.severity_law import SeverityLaw, sample_severity, severity_law
from pricing.claims.terms import Terms
from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.result.figure import COLOURS
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, say

__all__ = ["AggregateLoss", "aggregate_loss", "aggregate_portfolio"]

Array = npt.NDArray[np.float64]
LEVELS = (0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999)


class AggregateLoss(Result):
    """Distribution of what a year's claims cost in all.

    ``.table``: probability, value_at_risk, tail_value_at_risk, stop_loss_premium at the value at
    risk. ``.frames["distribution"]``: loss, probability; where the grid left a tail beyond, its
    last row holds it at its mean. ``.frames["errors"]``: mean, standard deviation and skewness,
    exact, on the lattice and as computed.

    Examples
    --------
    >>> from scipy import stats
    >>> from pricing.claims.count_law import poisson
    >>> year = aggregate_loss(poisson(10), stats.expon(scale=100.0))
    >>> round(year.mean), round(year.stop_loss(1500.0), 2), round(year.exceeds(2000.0), 5)
    (1000, 47.23, 0.02069)
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
        """P(S > amount), or P(S ≥ amount)."""
        x = float(amount)
        hair = 1e-9 * max(self.facts["bucket"], abs(x) * 1e-6)
        at = np.searchsorted(self.loss, x - hair if or_equal else x + hair, side="left")
        self._within(x)
        return float(self.probability[at:].sum())

    def value_at_risk(self, probability: float) -> float:
        """VaR: the smallest amount that is not passed with at least this probability."""
        if not 0 < probability < 1:
            raise InputError(f"a probability lies between 0 and 1, got {probability}")
        at = int(np.searchsorted(np.cumsum(self.probability), probability - 1e-12))
        found = float(self.loss[min(at, self.loss.size - 1)])
        if self.facts["mass_beyond"] and at >= self.loss.size - 1:
            raise InputError(
                f"the grid ends at probability {1 - self.facts['mass_beyond']:.9f}, before "
                f"{probability:g}",
                do="give a wider bucket, or more buckets",
            )
        return found

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
        >>> from pricing.claims.count_law import poisson
        >>> year = aggregate_loss(poisson(1.0), sample_severity([100.0]))
        >>> year.layers([0.0, 100.0])["layer_mean"].round(4).to_list()
        [63.2121, 36.7879]
        """
        e = [float(edge) for edge in edges]
        if not e or any(b <= a for a, b in zip(e, e[1:], strict=False)) or not e[0] >= 0:
            raise InputError("the edges of the layers must rise from zero or more")
        above = [self.stop_loss(edge) for edge in e] + [0.0]
        return pl.DataFrame(
            {
                "attachment": e,
                "layer_top": [*e[1:], None],
                "layer_mean": [a - b for a, b in zip(above, above[1:], strict=False)],
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
        >>> from pricing.claims.count_law import poisson
        >>> year = aggregate_loss(poisson(1.0), sample_severity([100.0]))
        >>> round(year.under(Terms(deductible=100.0)).mean, 4)
        36.7879
        """
        paid = terms.paid(self.loss)
        beyond = self.facts["mass_beyond"]
        if beyond and terms.most < math.inf and paid[-2] >= terms.most:
            beyond = 0.0  # what lies beyond is paid the same as the last point
        values, place = np.unique(paid, return_inverse=True)
        return _summed_up(
            values,
            np.bincount(place.ravel(), weights=self.probability),
            facts=dict(self.facts) | {"mass_beyond": beyond},
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
            marker={"color": COLOURS["estimate"], "line": {"width": 0}},
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

    def _within(self, amount: float) -> None:
        if self.facts["mass_beyond"] > 1e-9 and amount > self.loss[-2]:
            raise InputError(
                f"{amount:,.6g} lies beyond the grid, which ends at {self.loss[-2]:,.6g} with "
                f"{self.facts['mass_beyond']:.2g} of the probability beyond",
                do="give a wider bucket, or more buckets",
            )


def aggregate_loss(
    count: CountLaw,
    severity: Any,
    *,
    per_claim: Terms | None = None,
    per_year: Terms | None = None,
    premium: float | None = None,
    line: float = 1.0,
    level: float = 0.995,
    levels: Sequence[float] = LEVELS,
    method: Method = "moments",
    bucket: float | None = None,
    buckets: int | None = None,
    tilt: float | None = None,
    basis: Basis | None = None,
) -> AggregateLoss:
    """Compound a number of claims with their amounts into the distribution of a year's total.

    Parameters
    ----------
    count : CountLaw
        Number of claims of the year, such as ``poisson(expected)``.
    severity : SeverityLaw, frozen scipy distribution, or AggregateLoss
        Amount of one claim, currency; an aggregate is taken as the amount of one person's year.
    per_claim : Terms, optional
        What is paid of each claim.
    per_year : Terms, optional
        What is paid of the year's total: annual deductible, coinsurance, out-of-pocket maximum and
        limit of a person, or aggregate deductible, limit and stop-loss layer of a portfolio.
    premium : float, optional
        Premium of the year, currency, for the loss ratio.
    line : float
        Loss ratio whose passing is looked at.
    level : float
        Probability of the VaR and TVaR in finding and figure.
    levels : sequence of float
        Probabilities of the table.
    method : {"moments", "rounding", "lower", "upper"}
        How amounts are put on the grid; see :mod:`pricing.claims.discretise`.
    bucket : float, optional
        Span of the grid, currency; chosen where left out.
    buckets : int, optional
        Points of the grid, a power of two up to 2²⁰; chosen where left out.
    tilt : float, optional
        θn of the exponential tilting, 0 to 30; chosen where left out.
    basis : Basis, optional
        Source, period and currency.

    Returns
    -------
    AggregateLoss
        ``.facts``: mean, sd, skewness, value_at_risk, tail_value_at_risk (at ``level``), bucket,
        buckets, tilt, mass_beyond (the grid), no_loss (P(S = 0)), and with a premium loss_ratio
        and passes (P(loss ratio > line)).

    Raises
    ------
    InputError
        For options outside their domain, a severity without a finite mean, a grid that does not
        hold the distribution.

    Notes
    -----
    ``frames["errors"]`` tells two errors apart: ``lattice`` against ``exact`` is what the buckets
    change, ``computed`` against ``lattice`` what the transform does (wrapping, rounding).

    Examples
    --------
    >>> from scipy import stats
    >>> from pricing.claims.count_law import poisson
    >>> year = aggregate_loss(poisson(3.0), stats.lomax(4, scale=10.0),
    ...                       per_claim=Terms(loss_limit=24, deductible=6, coinsurance=0.25))
    >>> round(year.mean, 4), round(year.facts["sd"] ** 2, 4)
    (1.6402, 11.9546)
    """
    return aggregate_portfolio(
        [(count, severity)],
        per_claim=per_claim,
        per_year=per_year,
        premium=premium,
        line=line,
        level=level,
        levels=levels,
        method=method,
        bucket=bucket,
        buckets=buckets,
        tilt=tilt,
        basis=basis,
    )


def aggregate_portfolio(
    parts: Sequence[tuple[CountLaw, Any]],
    *,
    per_claim: Terms | None = None,
    per_year: Terms | None = None,
    premium: float | None = None,
    line: float = 1.0,
    level: float = 0.995,
    levels: Sequence[float] = LEVELS,
    method: Method = "moments",
    bucket: float | None = None,
    buckets: int | None = None,
    tilt: float | None = None,
    basis: Basis | None = None,
) -> AggregateLoss:
    """Add up independent parts of a portfolio, each with its own number and amounts of claims.

    Parameters
    ----------
    parts : sequence of (CountLaw, severity)
        As for :func:`aggregate_loss`, which has the options.

    Examples
    --------
    >>> from pricing.claims.count_law import poisson
    >>> book = aggregate_portfolio([(poisson(50), sample_severity([10.0])),
    ...     (poisson(60), sample_severity([20.0])), (poisson(30), sample_severity([40.0]))])
    >>> round(book.mean), round(book.facts["sd"], 3)
    (2900, 277.489)
    """
    if not parts:
        raise InputError("a portfolio without parts", do="give (count, severity) pairs")
    _require(level, levels, premium, line)
    laws = [(count, _law(severity, per_claim)) for count, severity in parts]
    raw = [(count, tuple(law.power(k) for k in (1, 2, 3))) for count, law in laws]
    exact = moments_of(raw)  # type: ignore[arg-type]
    if not math.isfinite(exact[0]):
        raise InputError(
            "the severity has no finite mean", do="set a limit, or take a lighter tail"
        )
    grid = choose_grid(laws, exact, span=bucket, size=buckets, tilt=tilt)
    lattices = [
        (count, discretise(law, span=grid.span, size=_points(law, grid, count), method=method))
        for count, law in laws
    ]
    lattice = moments_of([(c, (f.power(1), f.power(2), f.power(3))) for c, f in lattices])
    g = compound(lattices, grid)
    loss, probability, beyond = _closed(g, grid, lattice[0])
    errors = _errors(exact, lattice, _moments(loss, probability))
    if beyond <= 1e-9:
        _require_right(errors, grid)
    names = " + ".join(f"{count.name} of {law.name}" for count, law in laws[:3])
    more = f" + {len(laws) - 3} more" if len(laws) > 3 else ""
    note = (
        f"{names}{more}; {grid.size:,} buckets of {grid.span:g}, amounts by {method}, "
        f"tilt {grid.tilt:.3g}"
    )
    given = basis or Basis()
    mark = fingerprint(loss.tobytes(), probability.tobytes())
    found = _summed_up(
        loss,
        probability,
        facts={
            "level": level,
            "line": line,
            "premium": premium,
            "bucket": grid.span,
            "buckets": grid.size,
            "tilt": grid.tilt,
            "method": method,
            "mass_beyond": beyond,
        },
        errors=errors,
        levels=levels,
        basis=replace(given, notes=(*given.notes, note), fingerprint=mark),
    )
    return found if per_year is None else found.under(per_year)


def _law(severity: Any, terms: Terms | None) -> SeverityLaw:
    law = severity.severity() if isinstance(severity, AggregateLoss) else severity_law(severity)
    return law if terms is None else law.under(terms)


def _points(law: SeverityLaw, grid: Grid, count: CountLaw) -> int:
    """A severity takes the grid's points; in a window as many as it needs, folded later."""
    if not grid.start:
        return grid.size
    need = law.reach(min(1e-12 / count.mean, 0.5)) / grid.span + 2
    return max(min(math.ceil(need), MOST), 2)


def _closed(g: Array, grid: Grid, mean: float) -> tuple[Array, Array, float]:
    """Points with probability, and what lies beyond the grid as one more at its mean."""
    at = grid.span * (grid.start + np.arange(g.size))
    total = float(g.sum())
    beyond = 1 - total
    if grid.start or beyond <= 1e-12:
        some = g > 0
        return at[some], g[some] / total, 0.0
    place = max((mean - float((at * g).sum())) / beyond, grid.top)
    some = g > 0
    return np.append(at[some], place), np.append(g[some], beyond), beyond


def _moments(loss: Array, probability: Array) -> tuple[float, float, float]:
    mean = float((loss * probability).sum())  # pairwise: more exact than a dot product
    off = loss - mean
    square = off * off * probability
    return mean, float(square.sum()), float((square * off).sum())


def _errors(*each: tuple[float, float, float]) -> pl.DataFrame:
    """Mean, standard deviation, skewness: exact, on the lattice, as computed."""

    def three(mean: float, variance: float, third: float) -> list[float | None]:
        sd = math.sqrt(max(variance, 0.0))
        skew = third / sd**3 if sd > 0 else 0.0
        return [v if math.isfinite(v) else None for v in (mean, sd, skew)]

    exact, lattice, computed = (three(*moments) for moments in each)
    return pl.DataFrame(
        {
            "moment": ["mean", "sd", "skewness"],
            "exact": exact,
            "lattice": lattice,
            "computed": computed,
        },
        schema_overrides={"exact": pl.Float64},
    ).with_columns(
        lattice_error=pl.col("lattice") / pl.col("exact") - 1,
        computed_error=pl.col("computed") / pl.col("lattice") - 1,
    ).with_columns(pl.col("lattice_error", "computed_error").fill_nan(None))


def _require_right(errors: pl.DataFrame, grid: Grid) -> None:
    """No result from a grid that does not hold the distribution."""
    off = [abs(v) for v in errors["computed_error"].to_list()[:2] if v is not None]
    if max(off, default=0.0) > 1e-4:
        raise InputError(
            f"the aggregate does not fit {grid.size:,} buckets of {grid.span:g}: mean or standard "
            f"deviation is off by {max(off):.2g}",
            do="give a wider bucket, or more buckets",
        )


def _summed_up(
    loss: Array,
    probability: Array,
    *,
    facts: dict[str, Any],
    errors: pl.DataFrame,
    levels: Sequence[float],
    basis: Basis,
) -> AggregateLoss:
    mean, variance, third = _moments(loss, probability)
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
    risks = [bare.value_at_risk(p) for p in (*levels, facts["level"])]
    cut = [bare.stop_loss(v) for v in risks]
    tails = [
        v + c / (1 - p) for v, c, p in zip(risks, cut, (*levels, facts["level"]), strict=True)
    ]
    facts |= {"value_at_risk": risks[-1], "tail_value_at_risk": tails[-1]}
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
    edges = np.linspace(x[0], x[-1], 101)
    place = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, 99)
    height = np.bincount(place, weights=y, minlength=100)
    width = float(edges[1] - edges[0])
    return (edges[:-1] + width / 2).tolist(), height.tolist(), width


def _require(level: float, levels: Sequence[float], premium: float | None, line: float) -> None:
    faults = [f"{p} is no probability between 0 and 1" for p in (level, *levels) if not 0 < p < 1]
    if premium is not None and not 0 < premium < math.inf:
        faults.append(f"the premium must be above zero, got {premium}")
    if not line >= 0:
        faults.append(f"the line of the loss ratio must be zero or more, got {line}")
    if faults:
        raise InputError("options outside their domain", faults=faults)


