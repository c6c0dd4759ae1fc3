"""Two-way: an estimate by two factors, against what the two say separately."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError
from pricing.experience.cells import Experience
from pricing.experience.one_way import ESTIMATES, with_currency
from pricing.experience.ratio import By, Interval, ratios
from pricing.result.series import grouped_figure, heat_figure
from pricing.result.shape import Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["TwoWay", "two_way"]

MOST_SERIES, MOST_PLACES = 6, 15
Floats = npt.NDArray[np.float64]


class TwoWay(Result):
    """Claim frequency or pure premium by two factors, unadjusted."""

    kind = "two_way"

    def finding(self, lang: Language = "en") -> str:
        """Say the range and the plainest departure from the two separate effects."""
        facts = dict(self.facts)
        for name in ("row_factor", "column_factor"):
            facts[name] = label(facts[name], lang)
        for name in ("lowest", "highest", "cell"):
            facts[name] = facts[name] and level_label(facts[name], lang)
        amounts = facts["by"] == "amount"
        key = "sentence.two_way_amount" if amounts else "finding.two_way"
        said = say(key, lang, currency=self.basis.currency, **facts)
        if facts["cell"] is None:
            return said
        return said + say("sentence.departure", lang, **facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw intervals side by side over exposure bars, or a heat map where levels are many.

        Six columns or fewer over fifteen rows or fewer are drawn as intervals: lines that do not
        run parallel are the interaction. Anything larger is a heat map of the estimate with its
        figures written in; empty cells stay empty.
        """
        rows, columns = self.facts["row_factor"], self.facts["column_factor"]
        estimate = ESTIMATES[self.facts["by"]]
        table = self.table.with_columns(pl.col(rows, columns).cast(pl.String))
        places = table[rows].unique(maintain_order=True).to_list()
        series = self.details["column_levels"]
        few = len(series) <= MOST_SERIES and len(places) <= MOST_PLACES
        draw = grouped_figure if few else heat_figure
        figure = draw(table, rows, columns, places, series, name=estimate, lang=lang)
        return with_currency(figure, self, lang)


def two_way(
    experience: Experience,
    rows: str,
    columns: str,
    *,
    by: By = "claims",
    interval: Interval = "robust",
    level: float = 0.95,
) -> TwoWay:
    """Claim frequency or pure premium by two factors, with a hint of their interaction.

    Parameters
    ----------
    experience : Experience
        Cells that carry both factors; by amount, collected with ``amount=``.
    rows, columns : str
        Keys; ``columns`` become the series of the figure.
    by : {"claims", "amount"}
        Claims, or currency, per policy-year.
    interval : {"robust", "poisson", "normal"}
        As in :func:`one_way`.
    level : float
        Confidence level.

    Returns
    -------
    TwoWay
        ``.table``, long, one row per combination that has exposure: the two levels, rows,
        exposure, claims, (amount,) frequency or pure_premium, lower, upper; main_effects, the
        estimate were there no interaction; departure = estimate / main_effects with
        departure_lower and departure_upper, which take the main effects as given.

    Raises
    ------
    InputError
        For factors that are not keys, one factor twice, no amounts, an unknown interval.

    Notes
    -----
    The main effects are r_i·c_j with Σ_j e_ij·r_i·c_j = A_i. and Σ_i e_ij·r_i·c_j = A_.j: the
    method of marginal totals (Bailey 1963; Jung 1968), the multiplicative Poisson fit. Where the
    exposure of the one factor is spread alike over the other, r_i·c_j is the product of the two
    one-ways over the whole, F_i.·F_.j/F_..; elsewhere that product would take the correlation of
    the factors for an interaction. The cell that the finding names is the one whose interval
    leaves the largest departure; of many cells, 1 − ``level`` lie outside by chance.

    Examples
    --------
    >>> rows = pl.DataFrame({"sex": ["f", "f", "m", "m"], "tier": ["a", "b"] * 2,
    ...                      "exposure": [10.0] * 4, "claims": [10, 20, 20, 70]})
    >>> seen = two_way(Experience.collect(rows, ["sex", "tier"]), "sex", "tier")
    >>> seen.table.select("sex", "tier", "frequency", "main_effects").rows()
    [('f', 'a', 1.0, 0.75), ('f', 'b', 2.0, 2.25), ('m', 'a', 2.0, 2.25), ('m', 'b', 7.0, 6.75)]
    """
    if rows == columns:
        raise InputError(f"{rows!r} is given as both factors", do="give two, or take one_way")
    table, basis = ratios(experience, [rows, columns], by=by, interval=interval, level=level)
    estimate = ESTIMATES[by]
    level_of = {name: table[name].unique().sort().to_list() for name in (rows, columns)}
    i, j = (
        table[name].replace_strict(found, range(len(found)), return_dtype=pl.Int64).to_numpy()
        for name, found in level_of.items()
    )
    main = _main_effects(table["_actual"].to_numpy(), table["_base"].to_numpy(), i, j)
    effect = pl.col("main_effects")
    table = table.with_columns(
        pl.col("_ratio").alias(estimate), main_effects=pl.Series(main, dtype=pl.Float64)
    ).with_columns(
        pl.when(effect > 0).then(pl.col(one) / effect).alias(other)
        for one, other in (
            ("_ratio", "departure"),
            ("lower", "departure_lower"),
            ("upper", "departure_upper"),
        )
    )
    names = ["departure", "departure_lower", "departure_upper"]
    amounts = ["amount"] if by == "amount" else []
    chosen = [rows, columns, "rows", "exposure", "claims", *amounts, estimate, "lower", "upper"]
    facts = {"row_factor": rows, "column_factor": columns, "by": by, "interval": interval,
             "level": level, **_facts(table, rows, columns, estimate)}  # fmt: skip
    return TwoWay(
        table=table.select(*chosen, "main_effects", *names),
        basis=basis,
        facts=facts,
        details={"column_levels": [str(found) for found in level_of[columns]]},
    )


def _facts(
    table: pl.DataFrame, rows: str, columns: str, estimate: str
) -> dict[str, str | float | None]:
    """Name the lowest, the highest and the plainest departure."""
    named = table.with_columns(
        _cell=pl.concat_str(
            pl.col(rows).cast(pl.String), pl.col(columns).cast(pl.String), separator=" × "
        ),
        _apart=pl.max_horizontal(pl.col("departure_lower").log(), -pl.col("departure_upper").log()),
    )
    ordered = named.sort(estimate, maintain_order=True)
    judged = named.filter(pl.col("_apart").is_not_null())
    plain = judged.sort("_apart", descending=True, maintain_order=True)
    best = plain.row(0, named=True) if plain.height else {}
    facts: dict[str, str | float | None] = {
        "lowest": ordered["_cell"][0],
        "lowest_estimate": ordered[estimate][0],
        "highest": ordered["_cell"][-1],
        "highest_estimate": ordered[estimate][-1],
        "cell": best.get("_cell"),
        "cells": judged.height,
        "outside": judged.filter(pl.col("_apart") > 0).height,
    }
    for name in ("departure", "departure_lower", "departure_upper"):
        facts[name] = best.get(name)
    return facts


def _main_effects(
    actual: Floats, base: Floats, i: npt.NDArray[np.int64], j: npt.NDArray[np.int64]
) -> Floats | list[None]:
    """Fit r_i·c_j by marginal totals; nothing where ten thousand rounds do not settle it."""
    rows, columns = _sums(i, actual), _sums(j, actual)
    r, c = np.ones(len(rows)), np.ones(len(columns))
    for _ in range(10_000):
        r = _over(rows, _sums(i, base * c[j]))
        c = _over(columns, _sums(j, base * r[i]))
        gap = np.abs(_sums(i, base * r[i] * c[j]) - rows).max()
        if gap <= 1e-12 * rows.sum():
            fitted: Floats = r[i] * c[j]
            return fitted
    return [None] * len(actual)


def _sums(places: npt.NDArray[np.int64], values: Floats) -> Floats:
    return np.bincount(places, values).astype(np.float64)


def _over(a: Floats, b: Floats) -> Floats:
    return np.divide(a, b, out=np.zeros_like(a), where=b > 0)
