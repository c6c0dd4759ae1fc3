"""Lift: does the model find the dear and the cheap; and double lift: which of two models does."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError
from pricing.experience.cells import Experience
from pricing.experience.expected import EXPECTED
from pricing.experience.ratio import By, Interval
from pricing.result.figure import interval_figure, with_points
from pricing.result.shape import Result
from pricing.result.words import Language, level_label, say
from pricing.validation.prediction import ESTIMATES, predict, quantile_bands, told_apart

__all__ = ["DoubleLift", "Lift", "double_lift", "lift"]

WHOLE = "bands hold equal exposure as nearly as whole cells allow: cells of one prediction stay together"


class Lift(Result):
    """Actual beside predicted in bands of rising prediction."""

    kind = "lift"

    def finding(self, lang: Language = "en") -> str:
        """Say how far the dearest band lies above the cheapest, seen and predicted."""
        amount = self.facts["by"] == "amount"
        return say("sentence.lift_amount" if amount else "finding.lift", lang, **self.facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the rate seen with its interval, and the predicted one, by band."""
        table, name = self.table, ESTIMATES[self.facts["by"]]
        bands = table["band"].cast(pl.String).to_list()
        figure = interval_figure(
            bands,
            table[name].to_list(),
            table["lower"].to_list(),
            table["upper"].to_list(),
            name=name,
            factor="band",
            lang=lang,
            bars=table["exposure"].to_list(),
        )
        return with_points(figure, bands, table["predicted"].to_list(), name="predicted", lang=lang)


class DoubleLift(Result):
    """Actual beside two predictions, in bands of how far the two differ."""

    kind = "double_lift"

    def finding(self, lang: Language = "en") -> str:
        """Say which of the two lies nearer to what was seen."""
        facts = dict(self.facts)
        for name in ("first", "second", "closer"):
            facts[name] = level_label(facts[name], lang)
        return say("finding.double_lift", lang, **facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the index seen with its interval, and both predicted ones, by band."""
        table = self.table
        bands = table["band"].cast(pl.String).to_list()
        figure = interval_figure(
            bands,
            table["actual_index"].to_list(),
            table["lower"].to_list(),
            table["upper"].to_list(),
            name="actual_index",
            factor="ratio_band",
            lang=lang,
            bars=table["exposure"].to_list(),
            reference=1.0,
        )
        for column, fact, symbol, colour in (
            ("first_index", "first", "diamond-open", "second"),
            ("second_index", "second", "square-open", "third"),
        ):
            with_points(
                figure, bands, table[column].to_list(), name=level_label(self.facts[fact], lang),
                lang=lang, symbol=symbol, colour=colour,
            )  # fmt: skip
        return figure


def lift(
    experience: Experience,
    expected: pl.Expr | str,
    *,
    by: By = "claims",
    bands: int = 10,
    interval: Interval = "robust",
    level: float = 0.95,
) -> Lift:
    """Sort the cells by predicted rate into bands of equal exposure, and compare with what was seen.

    Parameters
    ----------
    experience : Experience
        Cells, best of a period or of persons the model has not seen.
    expected : polars.Expr or str
        Prediction per policy-year (``model.rate()``), or a sum of expected claims.
    by : {"claims", "amount"}
        Frequency, or pure premium.
    bands : int
        Bands wanted. A cell (with all cells of the same prediction) is never shared between two
        bands, so with few cells there may be fewer, and of uneven exposure.
    interval : {"robust", "poisson", "normal"}
        Interval of the rate seen; see :func:`pricing.experience.expected.actual_to_expected`.
    level : float
        Confidence level.

    Returns
    -------
    Lift
        ``.table``: band, exposure, claims, expected (by amount: amount, expected_amount),
        lowest_rate and highest_rate predicted in the band, predicted (mean), frequency (or
        pure_premium), lower, upper, lift (rate over the mean of all).

    Raises
    ------
    InputError
        As :func:`pricing.validation.prediction.predict`; where all predictions are the same.

    Notes
    -----
    Goldburd, Khare, Tevet and Guller, Generalized Linear Models for Insurance Rating (CAS
    monograph 5, 2nd ed. 2020), section 7.2.

    Examples
    --------
    >>> rows = pl.DataFrame({"age": ["20", "40", "60"], "exposure": [10.0, 10.0, 10.0],
    ...                      "claims": [1, 2, 6]})
    >>> seen = Experience.collect(rows, ["age"])
    >>> model = pl.col("age").cast(pl.String).cast(pl.Float64) / 100
    >>> lift(seen, model, bands=3).table.select("band", "frequency", "predicted").rows()
    [('1', 0.1, 0.2), ('2', 0.2, 0.4), ('3', 0.6, 0.6)]
    """
    seen = predict(experience, expected, by=by)
    cut = quantile_bands(seen.score, seen.exposure, bands)
    names = cut.names
    found = seen.banded(cut.codes, names, interval=interval, level=level)
    amount = [pl.col("_actual").alias("amount")] if by == "amount" else []
    table = found.select(
        "band",
        "exposure",
        "claims",
        *amount,
        pl.Series(EXPECTED[by], seen.expect(cut.codes, len(names))),
        lowest_rate=pl.Series(cut.lowest),
        highest_rate=pl.Series(cut.highest),
    ).with_columns(
        (pl.col(EXPECTED[by]) / pl.col("exposure")).alias("predicted"),
        found["_ratio"].alias(ESTIMATES[by]),
        found["lower"],
        found["upper"],
        (found["_ratio"] / seen.mean).alias("lift"),
    )
    rate, predicted = found["_ratio"].to_numpy(), table["predicted"].to_numpy()
    facts = {
        "by": by,
        "level": level,
        "bands": len(names),
        "currency": experience.basis.currency,
        "lowest": float(rate[0]),
        "highest": float(rate[-1]),
        "lowest_predicted": float(predicted[0]),
        "highest_predicted": float(predicted[-1]),
        "predicted_lift": float(predicted[-1] / predicted[0]),
        "inversions": int((np.diff(rate) < 0).sum()),
    }
    return Lift(table=table, basis=seen.basis(WHOLE), facts=facts)


def double_lift(
    experience: Experience,
    first: pl.Expr | str,
    second: pl.Expr | str,
    *,
    names: tuple[str, str] = ("first model", "second model"),
    by: By = "claims",
    bands: int = 10,
    interval: Interval = "robust",
    level: float = 0.95,
) -> DoubleLift:
    """Sort the cells by the ratio of two predictions, and see which of the two was right.

    Where the models agree a comparison tells nothing; here the ends of the scale are the cells on
    which they disagree most. Each prediction is rebased to the total seen, so that only the split
    between cells is judged, not the level.

    Parameters
    ----------
    experience : Experience
        Cells, best unseen by either model.
    first, second : polars.Expr or str
        The two predictions, as in :func:`lift`; bands run by first ÷ second.
    names : tuple of str
        What to call the two.
    by, bands, interval, level
        As in :func:`lift`.

    Returns
    -------
    DoubleLift
        ``.table``: band, exposure, claims (and amount), lowest_ratio, highest_ratio, first_index,
        second_index (predicted rate over its own mean), actual_index with lower, upper (rate seen
        over the mean seen). ``.facts``: first_distance, second_distance, the exposure-weighted mean
        absolute gap of each index to the one seen.

    Raises
    ------
    InputError
        As :func:`lift`; where the two differ by one factor throughout.

    Notes
    -----
    Goldburd, Khare, Tevet and Guller (2020), section 7.2.2.

    Examples
    --------
    >>> rows = pl.DataFrame({"age": ["20", "60"], "exposure": [8.0, 8.0], "claims": [1, 3]})
    >>> seen = Experience.collect(rows, ["age"])
    >>> model = pl.when(pl.col("age") == "20").then(0.125).otherwise(0.375)
    >>> found = double_lift(seen, model, pl.lit(0.25), bands=2)
    >>> found.table.select("actual_index", "first_index", "second_index").rows()
    [(0.5, 0.5, 1.0), (1.5, 1.5, 1.0)]
    >>> found.facts["closer"]
    'first model'
    """
    if len(names) != 2 or names[0] == names[1]:
        raise InputError(f"the two models need two names, got {names!r}")
    one, two = predict(experience, first, by=by), predict(experience, second, by=by)
    ratio = one.rate / two.rate
    if np.ptp(ratio) <= 1e-12 * ratio[0]:
        raise InputError(
            "the two predictions differ by one factor in every cell, so there is nothing to compare"
        )
    cut = quantile_bands(told_apart(ratio), one.exposure, bands)
    found = one.banded(cut.codes, cut.names, interval=interval, level=level)
    exposure = found["exposure"].to_numpy()
    index = {
        name: p.expect(cut.codes, len(exposure)) / exposure / (p.expected.sum() / exposure.sum())
        for name, p in (("first_index", one), ("second_index", two))
    }
    mean = one.mean
    actual = found["_ratio"].to_numpy() / mean
    amount = [pl.col("_actual").alias("amount")] if by == "amount" else []
    table = found.select(
        "band",
        "exposure",
        "claims",
        *amount,
        lowest_ratio=pl.Series(cut.lowest),
        highest_ratio=pl.Series(cut.highest),
        **{name: pl.Series(values) for name, values in index.items()},
        actual_index=pl.Series(actual),
        lower=pl.col("lower") / mean,
        upper=pl.col("upper") / mean,
    )
    gaps = {n: float((exposure * abs(v - actual)).sum() / exposure.sum()) for n, v in index.items()}
    facts: dict[str, Any] = {
        "by": by,
        "level": level,
        "bands": len(exposure),
        "first": names[0],
        "second": names[1],
        "first_distance": gaps["first_index"],
        "second_distance": gaps["second_index"],
        "closer": names[int(gaps["second_index"] < gaps["first_index"])],
        "lowest_ratio": float(cut.lowest[0]),
        "highest_ratio": float(cut.highest[-1]),
    }
    note = "both predictions are rebased to the total seen: the split is judged, not the level"
    return DoubleLift(table=table, basis=one.basis(WHOLE, note), facts=facts)
