"""Leakage: what is paid a month to those no longer eligible, from visits of known probability."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl
from scipy.stats import t as student

from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.reassessment.domain import Floats, numbers, require_rows_there
from pricing.reassessment.random_share import Draw
from pricing.result.figure import interval_figure
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, level_label, say
from pricing.survival.interval import normal_quantile

__all__ = ["Leakage", "estimate_leakage"]

QUANTITIES = ("ineligible_cases", "monthly_leakage")


class Leakage(Result):
    """Cases no longer eligible and monthly leakage, by estimator.

    ``.table``: leakage_of (ineligible_cases, monthly_leakage), estimator (horvitz_thompson, hajek,
    difference), estimate, std_error, lower, upper, of_total (share of all cases, of all benefits),
    visits.
    """

    kind = "leakage"

    def finding(self, lang: Language = "en") -> str:
        """Say the leakage of the best estimator with its interval."""
        facts = dict(self.facts)
        facts["estimator"] = level_label(facts["estimator"], lang)
        return say(f"finding.{self.kind}", lang, **facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the monthly leakage with its interval by estimator."""
        own = self.table.filter(pl.col("leakage_of") == "monthly_leakage")
        return interval_figure(
            own["estimator"].to_list(),
            own["estimate"].to_list(),
            own["lower"].to_list(),
            own["upper"].to_list(),
            name="monthly_leakage",
            factor="estimator",
            lang=lang,
        ).update_layout(yaxis={"rangemode": "tozero"})


@dataclass(frozen=True)
class _Sample:
    """Cases visited: their stratum, weight, and totals of the population behind."""

    weight: Floats
    inclusion: Floats
    code: np.ndarray
    size: Floats
    drawn: Floats
    draw: Draw
    population: int

    def variance(self, y: Floats) -> float:
        """Variance of Σ y/π under the design that was drawn."""
        if self.draw == "poisson":
            return float(((1 - self.inclusion) * (y / self.inclusion) ** 2).sum())
        mean = np.bincount(self.code, weights=y, minlength=len(self.size)) / self.drawn
        square = np.bincount(self.code, weights=(y - mean[self.code]) ** 2, minlength=len(self.size))  # fmt: skip
        spread = square / np.maximum(self.drawn - 1, 1)
        return float((self.size**2 * (1 - self.drawn / self.size) * spread / self.drawn).sum())

    @property
    def freedom(self) -> float:
        """Degrees of freedom: of strata that are not visited whole."""
        if self.draw == "poisson":
            return max(float((self.inclusion < 1).sum()) - 1, 1.0)
        part = self.drawn < self.size
        return max(float((self.drawn[part] - 1).sum()), 1.0)


def estimate_leakage(
    cases: pl.DataFrame,
    *,
    draw: Draw = "stratified",
    visited: str = "visited",
    stratum: str = "stratum",
    inclusion: str = "inclusion",
    probability: str | None = None,
    level: float = 0.95,
    currency: str = "CNY",
    source: str = "",
) -> Leakage:
    """Estimate what leaks from visits whose probability is known: unbiased whatever the model says.

    Parameters
    ----------
    cases : polars.DataFrame
        All cases in payment: monthly_benefit, whether ``visited``, ``ineligible`` (0 or 1; read where
        visited), and what the design needs. The random share alone: visited = ``random``, stratum =
        ``setting``, inclusion = ``random_inclusion``; all visits of a plan: its ``planned``,
        ``stratum``, ``inclusion``.
    draw : {"stratified", "poisson"}
        Simple random sampling in each stratum (n of N are counted from the frame), or every case on
        its own with its ``inclusion``.
    visited, stratum, inclusion : str
        Columns.
    probability : str, optional
        Column of a model's probabilities for every case, fitted to other visits: adds the difference
        estimator, which the model makes sharper and cannot bias.
    level : float
        Of the intervals.
    currency, source : str
        For the basis.

    Raises
    ------
    InputError
        For strata with fewer than two visited unless all are, inclusions outside (0, 1], outcomes
        that are not 0 or 1, benefits that are no amount.

    Notes
    -----
    Horvitz and Thompson (1952): T = Σ y/π, y the benefit of an ineligible case and 0 of others.
    Variance with the joint inclusion probabilities of the design: ΣΣ (π_ij − π_i π_j)/π_ij · y_i y_j/
    (π_i π_j), which is Σ (1 − π) y²/π² where every case is drawn on its own (π_ij = π_i π_j) and
    Σ_h N² (1 − n/N) s²/n under simple random sampling (π_ij = n(n − 1)/N(N − 1)). Hájek (1971): N Σ(y/π) ÷
    Σ(1/π), with y less its mean. Difference (Särndal, Swensson and Wretman 1992; the augmented inverse
    probability estimator of Robins, Rotnitzky and Zhao 1994): Σ_all pB + Σ (y − pB)/π. Intervals are
    Student's and do not begin below what was found; where the lot found nobody they end at the exact
    binomial bound of none in n, for no spread was seen.

    Examples
    --------
    >>> cases = pl.DataFrame({"stratum": "home", "monthly_benefit": 600.0, "visited": [True] * 4 + [False] * 4,
    ...     "ineligible": [1, 0, 0, 1, None, None, None, None]})
    >>> found = estimate_leakage(cases)
    >>> found.table.select("leakage_of", "estimate").rows()[0], found.facts["leakage"]
    (('ineligible_cases', 4.0), 2400.0)
    """
    if draw not in ("stratified", "poisson"):
        raise InputError(f"draw={draw!r} is not offered: stratified or poisson")
    normal_quantile(level)
    wanted = ["monthly_benefit", visited, "ineligible", *([probability] if probability else [])]
    wanted.append(stratum if draw == "stratified" else inclusion)
    require_rows_there(cases, "cases", wanted)
    inf = float("inf")
    ranges = {"monthly_benefit": (0.0, inf), **({probability: (0.0, 1.0)} if probability else {})}
    benefit = numbers(cases, "cases", ranges, open_low=["monthly_benefit"])
    made = cases[visited].cast(pl.Boolean).fill_null(False).to_numpy()
    if not made.any():
        raise InputError("no case was visited", do="give the outcomes of the random share")
    seen = cases.filter(pl.Series(made))
    y = numbers(seen, "cases visited", {"ineligible": (0.0, 1.0)})["ineligible"]
    sample = _sample(cases, seen, made, draw, stratum, inclusion)
    own = benefit["monthly_benefit"]
    help_ = benefit[probability] if probability else None
    rows = []
    for name, amount in (("ineligible_cases", np.ones(cases.height)), ("monthly_leakage", own)):
        rows += _rows(name, amount, y, made, sample, help_, level)
    table = pl.DataFrame(rows)
    money = table.filter(pl.col("leakage_of") == "monthly_leakage")
    best = money.row(-1 if probability else 0, named=True)
    number = table.filter(pl.col("leakage_of") == "ineligible_cases", pl.col("estimator") == best["estimator"]).row(0, named=True)  # fmt: skip
    facts: dict[str, Any] = {
        "leakage": best["estimate"], "lower": best["lower"], "upper": best["upper"],
        "of_total": best["of_total"], "ineligible": number["estimate"],
        "ineligible_lower": number["lower"], "ineligible_upper": number["upper"],
        "estimator": best["estimator"], "visits": int(made.sum()), "cases": cases.height,
        "level": level, "currency": currency,
    }  # fmt: skip
    stamp = fingerprint(own.tobytes(), made.tobytes(), y.tobytes(), sample.weight.tobytes(), str((draw, level, probability)))  # fmt: skip
    return Leakage(
        table=table,
        basis=Basis(source=source, rows=cases.height, currency=currency, fingerprint=stamp, notes=(f"{int(made.sum()):,} of {cases.height:,} cases visited, {draw} design",)),
        facts=facts,
    )  # fmt: skip


def _sample(
    cases: pl.DataFrame, seen: pl.DataFrame, made: np.ndarray, draw: Draw, stratum: str, inclusion: str
) -> _Sample:  # fmt: skip
    if draw == "poisson":
        pi = numbers(seen, "cases visited", {inclusion: (0.0, 1.0)}, open_low=[inclusion])[inclusion]  # fmt: skip
        none = np.zeros(0)
        return _Sample(1 / pi, pi, np.zeros(len(pi), dtype=np.int64), none, none, draw, cases.height)  # fmt: skip
    if cases[stratum].null_count():
        raise InputError(f"{cases[stratum].null_count():,} cases are in no stratum", where=stratum)
    names, code = np.unique(cases[stratum].cast(pl.String).to_numpy(), return_inverse=True)
    code = code.ravel()
    size = np.bincount(code, minlength=len(names)).astype(np.float64)
    drawn = np.bincount(code[made], minlength=len(names)).astype(np.float64)
    few = (drawn < 2) & (drawn < size)
    if few.any():
        faults = [f"{n}: {int(d)} of {int(s):,} cases visited" for n, d, s in zip(names[few], drawn[few], size[few], strict=True)]  # fmt: skip
        raise InputError("strata with fewer than two visits have no variance", faults=faults[:10], do="give each stratum two visits at least, or join strata")  # fmt: skip
    pi = (drawn / size)[code[made]]
    return _Sample(1 / pi, pi, code[made], size, drawn, draw, cases.height)


def _rows(
    name: str, amount: Floats, y: Floats, made: np.ndarray, s: _Sample, p: Floats | None, level: float
) -> list[dict[str, Any]]:  # fmt: skip
    total = float(amount.sum())
    own = amount[made] * y
    number = float(s.weight.sum())
    mean = float(s.weight @ own) / number
    told = {
        "horvitz_thompson": (float(s.weight @ own), own),
        "hajek": (s.population * mean, (own - mean) * s.population / number),
    }
    if p is not None:
        said = p * amount
        gap = own - said[made]
        told["difference"] = (float(said.sum() + s.weight @ gap), gap)
    reach = float(student.ppf((1 + level) / 2, s.freedom))
    # where the part drawn by lot found nobody, no spread is seen: the exact bound of none in n instead
    lot = s.inclusion < 1
    most = 0.0
    if lot.any() and not y[lot].any():
        bound = 1 - ((1 - level) / 2) ** (1 / int(lot.sum()))
        most = float(own.sum()) + bound * float(amount[~made].sum())
    rows = []
    for how, (estimate, residual) in told.items():
        error = float(np.sqrt(s.variance(residual)))
        low = max(estimate - reach * error, float(own.sum()))
        rows.append({
            "leakage_of": name, "estimator": how, "estimate": estimate, "std_error": error,
            "lower": min(low, total), "upper": min(max(estimate + reach * error, most), total),
            "of_total": estimate / total, "visits": int(made.sum()),
        })  # fmt: skip
    return rows
