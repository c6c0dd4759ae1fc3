"""Graduation: a smooth curve over an ordered factor, in a band that respects exposure."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import Literal, get_args

import numpy as np
import plotly.graph_objects as go
import polars as pl
from scipy.special import ndtri

from pricing.errors import InputError, nearest
from pricing.estimate.whittaker import Smooth, choose_smoothing, penalised_poisson, whittaker
from pricing.experience.cells import Experience
from pricing.experience.expected import EXPECTED
from pricing.experience.one_way import ESTIMATES, with_currency
from pricing.experience.ratio import By, ratios
from pricing.result.series import band_figure
from pricing.result.shape import Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["Graduation", "Scale", "graduate"]

Scale = Literal["rate", "log"]


class Graduation(Result):
    """A graduated frequency, pure premium or actual-to-expected ratio."""

    kind = "graduation"

    def finding(self, lang: Language = "en") -> str:
        """Say the range of the curve and how much was smoothed."""
        facts = dict(self.facts)
        facts["factor"], facts["estimate"] = (
            label(facts[name], lang) for name in ("factor", "estimate")
        )
        for name in ("lowest", "highest"):
            facts[name] = level_label(facts[name], lang)
        return say("finding.graduation", lang, **facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the curve in its band, the crude points, and bars of exposure."""
        table, factor, estimate = self.table, self.facts["factor"], self.facts["estimate"]
        numeric = table.schema[factor].is_numeric()
        figure = band_figure(
            (table[factor] if numeric else table[factor].cast(pl.String)).to_list(),
            table["graduated"].to_list(),
            table["lower"].to_list(),
            table["upper"].to_list(),
            points=table[estimate].to_list(),
            points_name=estimate,
            name="graduated",
            factor=factor,
            lang=lang,
            bars=table["exposure"].to_list(),
            reference=1.0 if estimate == "actual_to_expected" else None,
        )
        return with_currency(figure, self, lang)


def graduate(
    experience: Experience,
    factor: str,
    *,
    by: By = "claims",
    expected: pl.Expr | str | None = None,
    order: int = 2,
    smoothing: float | None = None,
    scale: Scale | None = None,
    level: float = 0.95,
) -> Graduation:
    """Graduate a rate over an ordered factor such as age or duration (Whittaker–Henderson).

    Parameters
    ----------
    experience : Experience
        Cells that carry ``factor``; by amount, collected with ``amount=``.
    factor : str
        A covariate of whole numbers (gaps are bridged), or a factor whose levels stand in order;
        levels count as equally spaced. Levels without exposure inside the range are interpolated.
    by : {"claims", "amount"}
        Claims, or currency, per policy-year.
    expected : polars.Expr or str, optional
        Graduate actual-to-expected instead; as in :func:`actual_to_expected`.
    order : int
        Differences penalised: 1 pulls to a constant, 2 to a straight line, 3 to a parabola.
    smoothing : float, optional
        λ, zero or more, in policy-years (in expected claims or amounts where ``expected`` is
        given; in claims or amounts on the log scale); infinite for the polynomial. Left out:
        generalised cross-validation, which reads the levels only.
    scale : {"rate", "log"}, optional
        ``"log"`` (left out, for a frequency or a pure premium): penalised Poisson likelihood on
        the log rate; the variance follows the rate, and nothing falls below zero. ``"rate"``
        (left out, for actual-to-expected): penalised weighted least squares on the rate with its
        base (exposure or expected) as weight; exact. Its band takes the variance of a policy-year
        to be the same at every level: over the whole of life, where rates grow many times over,
        it is far too narrow at the old ages.
    level : float
        Confidence of the pointwise band.

    Returns
    -------
    Graduation
        ``.table``, one row per level: exposure, claims, (amount, expected,) the crude estimate
        (null without exposure), graduated, std_error, lower, upper. ``.facts``: smoothing λ
        (null for infinite), effective parameters, dispersion.

    Raises
    ------
    InputError
        For a factor that is not a key, steps that are not equal, levels out of order, too few
        levels with exposure, no claims, and options outside their domain.

    Notes
    -----
    ``"rate"``: (W + λDᵀD)g = Wy, W the base B, y = A/B; band g ± z·σ·√diag (W + λDᵀD)⁻¹ with
    σ² = ΣV/ΣB; cut off at zero. ``"log"``: W = μ at the fit, band g·exp(±z·√(φ·diag)) with φ = ΣV/ΣA.
    V is the spread of each level's rows, never below A²/n (see ``experience.ratio``), so the band
    widens where exposure is thin and with over-dispersion, and does not take roughness for noise.
    It takes λ as chosen and holds the truth on average over the levels, not at each: a bend that
    λ flattens lies outside.
    Both keep Σ B(y − g)xᵏ = 0 for k < order: totals and, from order 2 on, the mean age of claims.

    Sources: Whittaker (1923); Henderson (1924); Craven and Wahba (1979); Wahba (1983);
    Kim and Gu (2004); Biessy (2023).

    Examples
    --------
    >>> rows = pl.DataFrame({"age": [40, 41, 42, 44], "exposure": [100.0, 100.0, 50.0, 100.0],
    ...                      "claims": [10, 14, 6, 22]})
    >>> found = graduate(Experience.collect(rows, ["age"]), "age", smoothing=1e9,
    ...                  scale="rate")
    >>> found.table.select("age", pl.col("graduated").round(3)).rows()
    [(40, 0.1), (41, 0.128), (42, 0.157), (43, 0.185), (44, 0.214)]
    """
    scale = scale or ("log" if expected is None else "rate")
    if scale not in get_args(Scale):
        raise InputError(f"no scale {scale!r}{nearest(str(scale), get_args(Scale))}")
    table, _ = ratios(experience, [factor], by=by, expected=expected, level=level)
    table = _every_level(table, factor, experience)
    actual, base, spread = (
        table[name].fill_null(0.0).to_numpy() for name in ("_actual", "_base", "_spread")
    )
    if not actual.sum() > 0:
        raise InputError("there is nothing to graduate: no claims")
    if (base > 0).sum() <= order:
        raise InputError(
            f"{factor!r} has {int((base > 0).sum())} level(s) with exposure; order {order} needs "
            f"{order + 1} or more"
        )
    crude = np.divide(actual, base, out=np.zeros_like(base), where=base > 0)

    def fit(amount: float) -> Smooth:
        if scale == "log":
            return penalised_poisson(actual, base, order=order, smoothing=amount)
        return whittaker(crude, base, order=order, smoothing=amount)

    unit = float((actual if scale == "log" else base)[base > 0].mean())
    chosen = choose_smoothing(fit, unit) if smoothing is None else float(smoothing)
    smooth = fit(chosen)
    z = float(ndtri((1 + level) / 2))
    dispersion = float(spread.sum() / (actual if scale == "log" else base).sum())
    error = np.sqrt(dispersion * smooth.variance)
    if scale == "log":
        curve = np.exp(smooth.fitted)
        lower, upper, error = curve * np.exp(-z * error), curve * np.exp(z * error), curve * error
    else:
        curve = smooth.fitted
        if curve.min() < -1e-9 * np.abs(curve).max():
            raise InputError(
                f"the curve falls below zero at {int((curve < 0).sum())} of {len(curve)} levels",
                do="take scale='log', or smooth more",
            )
        curve = curve.clip(0)
        lower, upper = (curve - z * error).clip(0), curve + z * error
    estimate = ESTIMATES[by] if expected is None else "actual_to_expected"
    money = ["amount"] if by == "amount" else []
    hoped = [] if expected is None else [pl.col("_base").fill_null(0.0).alias(EXPECTED[by])]
    final = table.select(
        factor,
        pl.col("exposure", "claims", *money).fill_null(0),
        *hoped,
        pl.col("_ratio").alias(estimate),
        graduated=pl.Series(curve),
        std_error=pl.Series(error),
        lower=pl.Series(lower),
        upper=pl.Series(upper),
    )
    low, high = int(np.argmin(curve)), int(np.argmax(curve))
    facts = {
        "factor": factor,
        "by": by,
        "estimate": estimate,
        "scale": scale,
        "order": order,
        "level": level,
        "levels": table.height,
        "smoothing": None if math.isinf(chosen) else chosen,
        "smoothing_text": "∞" if math.isinf(chosen) else f"{chosen:.4g}",
        "effective": smooth.effective,
        "dispersion": dispersion,
        "lowest": str(final[factor][low]),
        "lowest_graduated": float(curve[low]),
        "highest": str(final[factor][high]),
        "highest_graduated": float(curve[high]),
    }
    spread_of = "a Poisson count" if isinstance(expected, str) else "the rows"
    note = f"pointwise posterior band at a given smoothing, from the spread of {spread_of}"
    basis = replace(experience.basis, notes=(*experience.basis.notes, note))
    return Graduation(table=final, basis=basis, facts=facts)


def _every_level(table: pl.DataFrame, factor: str, experience: Experience) -> pl.DataFrame:
    """Fill the gaps between the first and the last level seen."""
    if factor in experience.factors:
        names = experience.levels(factor)
        heads = [re.match(r"\d+", name) for name in names]
        ages = [int(head[0]) for head in heads if head]
        if len(ages) == len(names) and ages != sorted(ages):
            raise InputError(
                f"the levels of {factor!r} are not in order: {', '.join(names[:5])}, …",
                do="make the column a pl.Enum in order, or a whole number, before collecting",
            )
        seen = table[factor].cast(pl.String).to_list()
        names = names[names.index(seen[0]) : names.index(seen[-1]) + 1]
        whole = pl.Series(factor, names, dtype=table.schema[factor])
    else:
        values = table[factor].cast(pl.Float64)
        if not (values == values.round()).all():
            raise InputError(
                f"{factor!r} has values that are no whole numbers, so its steps are not equal",
                do="round or band it before collecting",
            )
        first, last = int(values.min()), int(values.max())  # type: ignore[arg-type]
        if last - first >= 5_000:
            raise InputError(f"{factor!r} runs from {first} to {last}: too far to graduate")
        whole = pl.Series(factor, range(first, last + 1)).cast(table.schema[factor])
    return whole.to_frame().join(table, on=factor, how="left", maintain_order="left")
