"""Development: how claims grow from lag to lag, by chainladder, held to what it can do.

chainladder (Bogaardt and others, MPL-2.0) reads a zero as missing and drops it, with the growth from
it, from every average. A period in which nothing was paid yet is no missing period, so a zero goes in
as 10⁻¹³ of the largest amount: the volume average is then ΣC(k+1) / ΣC(k) over all origins, as Mack
defines it. A period of any length goes in as a year, for only its place counts.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError, nearest
from pricing.reserving.triangle import Floats, Triangle
from pricing.result.figure import COLOURS
from pricing.result.shape import Result
from pricing.result.words import Language, label, say

__all__ = [
    "Average",
    "Fitted",
    "Pattern",
    "Sigma",
    "Tail",
    "chainladder",
    "development_pattern",
    "fitted",
    "fitted_to",
    "said_options",
]

Average = Literal["volume", "simple", "regression"]
Sigma = Literal["mack", "log-linear"]
Curve = Literal["exponential", "inverse_power"]
Tail = float | Curve
NOTHING = 1e-13
YEAR = 1700


@dataclass(frozen=True)
class Fitted:
    """What chainladder made of a cumulative triangle.

    Attributes
    ----------
    factors : numpy.ndarray, shape (n,)
        Growth from each lag to the next; the last is the tail.
    to_ultimate : numpy.ndarray, shape (n,)
        Growth from each lag to the end.
    sigma, std_error : numpy.ndarray or None, shape (n - 1,)
        Mack's σ and the standard error of each factor; NaN where one ratio tells nothing.
    ratios : numpy.ndarray, shape (n - 1,)
        Number of origins behind each factor.
    model : chainladder.Triangle
        With its development and tail, for Mack's errors.
    """

    factors: Floats
    to_ultimate: Floats
    sigma: Floats
    std_error: Floats
    ratios: Floats
    model: Any


class Pattern(Result):
    """Development factors by lag; ``.table``: lag, link_factor, to_ultimate, completion, sigma, std_error, origins."""

    kind = "pattern"

    def finding(self, lang: Language = "en") -> str:
        """Say how much is known after the first and after a later lag, and the tail."""
        facts = {
            **self.facts,
            "average_name": label(f"average_{self.facts['average']}", lang),
            "grain_name": label(f"period_{self.facts['grain']}", lang),
        }
        return say("finding.pattern", lang, **facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the part of the ultimate that is known at each lag."""
        figure = go.Figure(layout={"template": "pricing"})
        figure.add_scatter(
            x=self.table["lag"].to_list(),
            y=self.table["completion"].to_list(),
            mode="lines+markers",
            name=label("completion", lang),
            line={"width": 3, "color": COLOURS["estimate"]},
        )
        grain = label(f"period_{self.facts['grain']}", lang)
        return figure.update_layout(
            xaxis={"title": {"text": f"{label('lag', lang)} ({grain})"}, "zeroline": False},
            yaxis={
                "title": {"text": label("completion", lang)},
                "tickformat": ".0%",
                "rangemode": "tozero",
            },
        )


def development_pattern(
    triangle: Triangle,
    *,
    measure: str = "amount",
    average: Average = "volume",
    last: int | None = None,
    sigma: Sigma = "mack",
    tail: Tail = 1.0,
) -> Pattern:
    """Estimate the development factors of a triangle.

    Parameters
    ----------
    triangle : Triangle
        At least two origins.
    measure : {"amount", "payments"}
        What develops.
    average : {"volume", "simple", "regression"}
        ΣC(k+1)/ΣC(k), the mean of the ratios, or least squares through the origin: Mack's
        α of 1, 0 and 2 (Mack 1999).
    last : int, optional
        Only the latest so many origins of each lag.
    sigma : {"mack", "log-linear"}
        How the last σ, which one ratio cannot tell, is set: Mack's (1993)
        min(σ⁴(k−1)/σ²(k−2), σ²(k−2), σ²(k−1)), or log-linear as in R's ChainLadder.
    tail : float or {"exponential", "inverse_power"}
        Growth after the last lag: a factor of one or more, or a curve through ln(f − 1).

    Returns
    -------
    Pattern
        By lag, the tail in the last row.

    Raises
    ------
    InputError
        For one origin, unknown options, lags at which nothing has been paid in any origin, and
        triangles whose factors are not above zero.

    Examples
    --------
    >>> from datetime import date
    >>> from pricing.reserving.triangle import claim_triangle
    >>> rows = pl.DataFrame({"incurred": [date(2022, 1, 1)] * 2 + [date(2023, 1, 1)],
    ...     "paid": [date(2022, 6, 1), date(2023, 6, 1), date(2023, 6, 1)], "amount": [60.0, 40.0, 90.0]})
    >>> seen = claim_triangle(rows, valuation=date(2023, 12, 31), grain="year")
    >>> development_pattern(seen).table.select("lag", "link_factor", "completion").rows()
    [(0, 1.666..., 0.6...), (1, 1.0, 1.0)]
    """
    found = fitted(triangle, measure=measure, average=average, last=last, sigma=sigma, tail=tail)
    size = found.factors.size
    table = pl.DataFrame(
        {
            "lag": pl.Series(range(size), dtype=pl.Int32),
            "link_factor": found.factors,
            "to_ultimate": found.to_ultimate,
            "completion": 1.0 / found.to_ultimate,
            "sigma": np.append(found.sigma, np.nan),
            "std_error": np.append(found.std_error, np.nan),
            "origins": pl.Series([*found.ratios.astype(int).tolist(), None], dtype=pl.Int32),
        }
    ).with_columns(pl.col("sigma", "std_error").fill_nan(None))
    most = int(
        np.argmax(table["completion"].to_numpy() >= 0.95 * table["completion"].to_numpy()[-1])
    )
    facts = {
        "average": average, "grain": triangle.grain, "periods": size, "measure": measure,
        "first": float(table["completion"][0]), "later": most,
        "completion": float(table["completion"][most]), "tail": float(found.factors[-1]),
    }  # fmt: skip
    return Pattern(
        table=table, basis=replace(triangle.basis, notes=(*triangle.basis.notes, *said_options(
            average, last, sigma, tail))), facts=facts, details=dict(triangle.details),
    )  # fmt: skip


def fitted(
    triangle: Triangle,
    *,
    measure: str = "amount",
    average: Average = "volume",
    last: int | None = None,
    sigma: Sigma = "mack",
    tail: Tail = 1.0,
) -> Fitted:
    """Hand a triangle to chainladder; parameters are those of :func:`development_pattern`.

    Examples
    --------
    >>> from datetime import date
    >>> from pricing.reserving.triangle import claim_triangle
    >>> rows = pl.DataFrame({"incurred": [date(2022, 1, 1)], "paid": [date(2022, 6, 1)], "amount": [6.0]})
    >>> fitted(claim_triangle(rows, valuation=date(2022, 12, 31), grain="year"))
    Traceback (most recent call last):
    pricing.errors.InputError: one origin period shows no development
      do: take a finer grain, or an expected loss (bornhuetter_ferguson with a pattern=... of other data)
    """
    return fitted_to(
        triangle.cumulative(measure), average=average, last=last, sigma=sigma, tail=tail
    )


def fitted_to(
    cumulative: Floats,
    *,
    average: Average = "volume",
    last: int | None = None,
    sigma: Sigma = "mack",
    tail: Tail = 1.0,
) -> Fitted:
    """Hand a cumulative square array, NaN where not seen, to chainladder.

    Examples
    --------
    >>> fitted_to(np.array([[60.0, 100.0], [90.0, np.nan]])).factors.tolist()
    [1.666..., 1.0]
    """
    size = cumulative.shape[0]
    _require_options(average, last, sigma, tail)
    if size < 2:
        raise InputError(
            "one origin period shows no development",
            do="take a finer grain, or an expected loss (bornhuetter_ferguson with a pattern=... "
            "of other data)",
        )
    used: npt.NDArray[np.bool_] = _used(size, last)
    _require_growth(cumulative, used, average)
    biggest = float(np.nanmax(np.abs(cumulative)))
    filled = np.where(cumulative == 0.0, NOTHING * biggest, cumulative)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        model = _developed(filled, average, last, sigma)
        own = _patched(model, used, sigma)
        model = _tailed(model, tail)
        factors = model.ldf_.values[0, 0, 0]
    grown = np.append(factors[: size - 1], np.prod(factors[size - 1 :]) if tail != 1.0 else 1.0)
    to_ultimate = np.cumprod(grown[::-1])[::-1]
    if not (np.isfinite(grown).all() and (grown > 0).all() and np.isfinite(to_ultimate).all()):
        lag = int(np.argmax(~(np.isfinite(grown) & (grown > 0))))
        raise InputError(
            f"the factor from lag {lag} to the next is {grown[lag]:.6g}",
            do="a factor is above zero: take a coarser grain, or leave recoveries out",
        )
    return Fitted(grown, to_ultimate.copy(), *own, used.sum(axis=0).astype(float), model)


def chainladder() -> Any:
    """Import chainladder on its first use: it takes seconds.

    Examples
    --------
    >>> chainladder().__name__
    'chainladder'
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return import_module("chainladder")


def _used(size: int, last: int | None) -> npt.NDArray[np.bool_]:
    """Which origin goes into the factor from which lag."""
    rows, lags = np.indices((size, size - 1))
    seen = rows + lags < size - 1
    used: npt.NDArray[np.bool_] = seen & (rows + lags >= size - 1 - (last or size))
    return used


def _require_options(average: str, last: int | None, sigma: str, tail: Tail) -> None:
    for value, known in ((average, get_args(Average)), (sigma, get_args(Sigma))):
        if value not in known:
            raise InputError(f"no such choice: {value!r}{nearest(str(value), known)}")
    if last is not None and (not isinstance(last, int) or isinstance(last, bool) or last < 1):
        raise InputError(f"the latest {last} origins are none; give one or more, or leave it out")
    if isinstance(tail, str):
        if tail not in get_args(Curve):
            raise InputError(f"no such tail: {tail!r}{nearest(tail, get_args(Curve))}")
    elif not 1.0 <= tail < math.inf:
        raise InputError(f"a tail is a factor of one or more and finite, got {tail}")


def _require_growth(cumulative: Floats, used: Any, average: str) -> None:
    before = np.where(used, cumulative[:, :-1], 0.0)
    after = np.where(used, cumulative[:, 1:], 0.0)
    if not np.nanmax(np.abs(cumulative)) > 0:
        raise InputError("nothing was paid at all", do="check the measure and the segment")
    empty = np.flatnonzero(before.sum(axis=0) <= 0)
    if empty.size:
        lag = int(empty[0])
        raise InputError(
            f"by lag {lag} the origins come to {float(before[:, lag].sum()):,.6g} together: no factor "
            f"grows from there ({empty.size} such lags)",
            do="take a coarser grain or more origins (last=...), let recoveries stand with what they "
            "recover, or use an expected loss (bornhuetter_ferguson with a pattern=... of other data)",
        )
    shrunk = np.flatnonzero(after.sum(axis=0) <= 0)
    if shrunk.size:
        raise InputError(
            f"by lag {int(shrunk[0]) + 1} recoveries take back all that was paid",
            do="take a coarser grain, or leave recoveries out",
        )
    if average == "simple" and (before[used] <= 0).any():
        many = int((before[used] <= 0).sum())
        raise InputError(
            f"{many:,} ratios start from nothing or less: their mean is not defined",
            do='take average="volume"',
        )


def _developed(filled: Floats, average: Average, last: int | None, sigma: Sigma) -> Any:
    import pandas as pd

    cl = chainladder()
    rows, lags = np.nonzero(np.isfinite(filled))

    def january(years: Any) -> Any:
        return pd.to_datetime([f"{year}-01-01" for year in years])

    frame = pd.DataFrame(
        {
            "origin": january(YEAR + rows),
            "valuation": january(YEAR + rows + lags),
            "value": filled[rows, lags],
        }
    )
    triangle = cl.Triangle(
        frame, origin="origin", development="valuation", columns="value", cumulative=True
    )
    # a ratio below zero is dropped unless told otherwise; told so, Mack's process error loses cells
    keeping = {"drop_below": -np.inf} if (filled < 0).any() else {}
    return cl.Development(
        average=average,
        n_periods=-1 if last is None else last,
        sigma_interpolation=sigma,
        **keeping,
    ).fit_transform(triangle)


def _patched(model: Any, used: Any, sigma: Sigma) -> tuple[Floats, Floats]:
    """Give σ and the factors' errors; where Mack's rule meets 0/0, its limit, 0."""
    own = np.array(model.sigma_.values[0, 0, 0], dtype=float)
    error = np.array(model.std_err_.values[0, 0, 0], dtype=float)
    alone = used.sum(axis=0) < 2
    before = own[~alone]
    if sigma == "mack" and before.size >= 2 and not alone[:2].any():
        lost = alone & ~np.isfinite(own)
        stuck = before[-2] < 1e-200 or before[-1] < 1e-200
        if lost.any() and stuck:
            own[lost] = error[lost] = 0.0
    own[np.abs(own) < 1e-200] = 0.0
    error[own == 0.0] = 0.0
    error[~np.isfinite(own)] = np.nan
    model.sigma_.values[0, 0, 0], model.std_err_.values[0, 0, 0] = own, error
    return own, error


def _tailed(model: Any, tail: Tail) -> Any:
    cl = chainladder()
    if tail == 1.0:
        return model
    if isinstance(tail, str):
        return cl.TailCurve(curve=tail).fit_transform(model)
    return cl.TailConstant(tail=float(tail)).fit_transform(model)


def said_options(average: str, last: int | None, sigma: str | None, tail: Tail) -> tuple[str, ...]:
    """Say how factors were made, for a basis.

    Examples
    --------
    >>> said_options("volume", None, "mack", 1.05)
    ('factors: volume average of all origins; last sigma: mack rule; tail: 1.05',)
    """
    origins = "all origins" if last is None else f"the latest {last} origins"
    rule = f"last sigma: {sigma} rule; " if sigma else ""
    return (f"factors: {average} average of {origins}; {rule}tail: {tail}",)
