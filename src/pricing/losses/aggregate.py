"""Aggregate loss of a year: what a policy, a person or a portfolio costs in all, as a distribution.

The number of claims and their amounts are compounded on a grid by Fourier transform (see
:mod:`pricing.losses.compound`). Source: Klugman, Panjer and Willmot, Loss Models (5th ed. 2019),
chapter 9.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.losses.compound import MOST, Grid, choose_grid, compound, moments_of
from pricing.losses.count_law import CountLaw
from pricing.losses.discretise import Method, discretise
from pricing.losses.severity_law import SeverityLaw, severity_law
from pricing.losses.terms import Terms
from pricing.losses.year_loss import AggregateLoss, central_moments, summed_up
from pricing.result.shape import Basis

__all__ = ["LEVELS", "aggregate_loss", "aggregate_portfolio"]

Array = npt.NDArray[np.float64]
LEVELS = (0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999)


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
        How amounts are put on the grid; see :mod:`pricing.losses.discretise`.
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
        buckets, tilt, mass_beyond (the grid), smooth (continuous but at zero), no_loss (P(S = 0)), and with a premium loss_ratio
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
    >>> from pricing.losses.count_law import poisson
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
    >>> from pricing.losses.count_law import poisson
    >>> from pricing.losses.severity_law import sample_severity
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
    lattice = moments_of([(count, f.powers) for count, f in lattices])
    g = compound(lattices, grid)
    loss, probability, beyond = _closed(g, grid, lattice[0])
    errors = _errors(exact, lattice, central_moments(loss, probability))
    if beyond <= 1e-9:
        _require_right(errors, grid)
    names = " + ".join(f"{count.name} of {law.name}" for count, law in laws[:3])
    more = f" + {len(laws) - 3} more" if len(laws) > 3 else ""
    note = (
        f"{names}{more}; {grid.size:,} buckets of {grid.span:g}, amounts by {method}, "
        f"tilt {grid.tilt:.3g}"
    )
    given = basis or Basis()
    mark = fingerprint(note, probability.tobytes())
    found = summed_up(
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
            "smooth": method in ("moments", "rounding") and all(law.smooth for _, law in laws),
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
    at: Array = grid.span * (grid.start + np.arange(g.size, dtype=float))
    total = float(g.sum())
    beyond = 1 - total
    if grid.start or beyond <= 1e-12:
        some = g > 0
        return at[some], g[some] / total, 0.0
    place = max((mean - float((at * g).sum())) / beyond, grid.top)
    some = g > 0
    return np.append(at[some], place), np.append(g[some], beyond), beyond


def _errors(*each: tuple[float, float, float]) -> pl.DataFrame:
    """Mean, standard deviation, skewness: exact, on the lattice, as computed."""

    def three(mean: float, variance: float, third: float) -> list[float | None]:
        sd = math.sqrt(max(variance, 0.0))
        skew = third / sd**3 if sd > 0 else 0.0
        return [v if math.isfinite(v) else None for v in (mean, sd, skew)]

    def gap(one: float | None, other: float | None) -> float | None:
        return None if one is None or not other else one / other - 1

    exact, lattice, computed = (three(*moments) for moments in each)
    return pl.DataFrame(
        {
            "moment": ["mean", "sd", "skewness"],
            "exact": exact,
            "lattice": lattice,
            "computed": computed,
            "lattice_error": [gap(a, b) for a, b in zip(lattice, exact, strict=True)],
            "computed_error": [gap(a, b) for a, b in zip(computed, lattice, strict=True)],
        },
        schema_overrides=dict.fromkeys(("exact", "lattice_error", "computed_error"), pl.Float64),
    )


def _require_right(errors: pl.DataFrame, grid: Grid) -> None:
    """No result from a grid that does not hold the distribution."""
    off = [abs(v) for v in errors["computed_error"].to_list()[:2] if v is not None]
    if max(off, default=0.0) > 1e-4:
        raise InputError(
            f"the aggregate does not fit {grid.size:,} buckets of {grid.span:g}: mean or standard "
            f"deviation is off by {max(off):.2g}",
            do="give a wider bucket, or more buckets",
        )


def _require(level: float, levels: Sequence[float], premium: float | None, line: float) -> None:
    faults = [f"{p} is no probability between 0 and 1" for p in (level, *levels) if not 0 < p < 1]
    if premium is not None and not 0 < premium < math.inf:
        faults.append(f"the premium must be above zero, got {premium}")
    if not line >= 0:
        faults.append(f"the line of the loss ratio must be zero or more, got {line}")
    if faults:
        raise InputError("options outside their domain", faults=faults)
