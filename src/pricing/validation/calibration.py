"""Calibration: does the prediction hit, in total, by level, and at every height of itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl

from pricing.errors import InputError
from pricing.experience.cells import Experience
from pricing.experience.expected import EXPECTED, actual_to_expected
from pricing.experience.ratio import By, Interval
from pricing.result.figure import COLOURS, error_bars, interval_figure
from pricing.result.shape import Result
from pricing.result.words import Language, label, level_label, say
from pricing.validation.isotonic import auto_calibration, recalibrate
from pricing.validation.lift import WHOLE
from pricing.validation.prediction import ESTIMATES, Prediction, predict, quantile_bands

__all__ = ["Balance", "Calibration", "balance", "calibration"]


class Calibration(Result):
    """Seen against predicted by band, the isotonic curve through it, and its test.

    ``.frames["isotonic"]`` has the steps: lowest_rate, highest_rate, recalibrated, exposure.
    """

    kind = "calibration"

    def finding(self, lang: Language = "en") -> str:
        """Say how far the total is off, how many bands are, and what the test says."""
        held = "calibrated" if self.facts["p_value"] >= 1 - self.facts["level"] else "miscalibrated"
        verdict = say(f"sentence.{held}", lang, p_value=self.facts["p_value"])
        return say("finding.calibration", lang, **{**self.facts, "verdict": verdict})

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the bands with their intervals, the isotonic steps and the diagonal."""
        table, steps, name = self.table, self.frames["isotonic"], ESTIMATES[self.facts["by"]]
        figure = go.Figure(layout={"template": "pricing", "height": 480})
        ends = [float(steps["lowest_rate"][0]), float(steps["highest_rate"][-1])]
        figure.add_scatter(
            x=ends,
            y=ends,
            mode="lines",
            name=label("right", lang),
            line={"color": COLOURS["line"], "dash": "dot"},
            hoverinfo="skip",
        )
        figure.add_scatter(
            x=steps.select(pl.concat_list("lowest_rate", "highest_rate").explode())
            .to_series()
            .to_list(),
            y=steps["recalibrated"].repeat_by(2).explode().to_list(),
            mode="lines",
            name=label("recalibrated", lang),
            line={"color": COLOURS["second"], "width": 2},
        )
        held = [table[n].to_list() for n in (name, "rate_lower", "rate_upper")]
        figure.add_scatter(
            x=table["predicted"].to_list(),
            y=held[0],
            error_y=error_bars(*held),
            mode="markers",
            name=label(name, lang),
            marker={"size": 9, "color": COLOURS["estimate"]},
        )
        figure.update_layout(
            xaxis={"title": {"text": label("predicted", lang)}, "rangemode": "tozero"},
            yaxis={"title": {"text": label(name, lang)}, "rangemode": "tozero"},
            hovermode="closest",
        )
        return figure


class Balance(Result):
    """Actual over expected in total and at every level of every factor."""

    kind = "balance"

    def finding(self, lang: Language = "en") -> str:
        """Say how far the total is off, and which level is furthest beyond its interval."""
        facts = {**self.facts, "worst_factor": label(self.facts["worst_factor"], lang)}
        facts["worst_level"] = level_label(facts["worst_level"], lang)
        return say("finding.balance", lang, **facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw actual over expected of every level with its interval."""
        t = self.table
        places = [
            label(term, lang)
            if term == "total"
            else f"{label(term, lang)}: {level_label(at, lang)}"
            for term, at in t.select("term", "level").iter_rows()
        ]
        return interval_figure(
            places,
            t["actual_to_expected"].to_list(),
            t["lower"].to_list(),
            t["upper"].to_list(),
            name="actual_to_expected",
            factor="level",
            lang=lang,
            bars=t["exposure"].to_list(),
            reference=1.0,
        )


def calibration(
    experience: Experience,
    expected: pl.Expr | str,
    *,
    by: By = "claims",
    bands: int = 10,
    level: float = 0.95,
    draws: int = 500,
    seed: int = 0,
) -> Calibration:
    """Hold a prediction against what was seen at its own heights, and test it.

    Parameters
    ----------
    experience : Experience
        Cells the model has not seen: in sample a fitted model is balanced by construction.
    expected : polars.Expr or str
        Prediction per policy-year, or a sum of expected claims.
    by : {"claims", "amount"}
        Frequency, or pure premium.
    bands : int
        Bands of equal exposure; cells of one prediction stay together.
    level : float
        Confidence level, of the intervals and the test.
    draws, seed : int
        Books drawn for the isotonic test (199 or more), and their seed.

    Returns
    -------
    Calibration
        ``.table``: band, exposure, claims, expected (by amount: amount, expected_amount),
        predicted, frequency (or pure_premium) with rate_lower, rate_upper, actual_to_expected with
        lower, upper (robust) and, for claims, lower_poisson, upper_poisson (Garwood 1936).
        ``.facts``: ratio with its interval, outside (bands), statistic, p_value, dispersion.

    Raises
    ------
    InputError
        As :func:`pricing.validation.lift.lift`.

    Notes
    -----
    Every interval takes the prediction as given. The test is :func:`auto_calibration`.

    Examples
    --------
    >>> rows = pl.DataFrame({"age": ["20", "60"], "exposure": [100.0, 100.0], "claims": [20, 80]})
    >>> seen = Experience.collect(rows, ["age"])
    >>> found = calibration(seen, pl.col("age").cast(pl.String).cast(pl.Float64) / 100, bands=2)
    >>> found.table["actual_to_expected"].round(6).to_list()
    [1.0, 1.333333]
    >>> found.facts["p_value"] < 0.1
    True
    """
    if draws < 199:
        raise InputError(f"the test needs 199 draws or more, got {draws}")
    seen = predict(experience, expected, by=by)
    cut = quantile_bands(seen.score, seen.exposure, bands)
    rates = seen.banded(cut.codes, cut.names, level=level)

    def against(interval: Interval) -> pl.DataFrame:
        return seen.banded(cut.codes, cut.names, scale=seen.rate, interval=interval, level=level)

    robust = against("robust")
    amount = [pl.col("_actual").alias("amount")] if by == "amount" else []
    table = rates.select("band", "exposure", "claims", *amount).with_columns(
        robust["_base"].alias(EXPECTED[by]),
        predicted=robust["_base"] / rates["_base"],
    )
    table = table.with_columns(
        rates["_ratio"].alias(ESTIMATES[by]),
        # as the prediction is taken as given, so is the interval of the rate around it
        rate_lower=robust["lower"] * table["predicted"],
        rate_upper=robust["upper"] * table["predicted"],
        actual_to_expected=robust["_ratio"],
        lower=robust["lower"],
        upper=robust["upper"],
    )
    if by == "claims":
        exact = against("poisson")
        table = table.with_columns(lower_poisson=exact["lower"], upper_poisson=exact["upper"])
    total = _total(seen, level)
    statistic, p_value, dispersion = auto_calibration(seen, draws=draws, seed=seed)
    steps = recalibrate(seen)
    isotonic = pl.DataFrame(
        {"lowest_rate": steps.lowest, "highest_rate": steps.highest,
         "recalibrated": steps.height, "exposure": steps.exposure}
    )  # fmt: skip
    facts = {
        "by": by,
        "level": level,
        "bands": table.height,
        "outside": table.filter((pl.col("lower") > 1) | (pl.col("upper") < 1)).height,
        "ratio": total["_ratio"],
        "ratio_lower": total["lower"],
        "ratio_upper": total["upper"],
        "statistic": statistic,
        "p_value": p_value,
        "dispersion": dispersion,
        "draws": draws,
        "seed": seed,
    }
    note = "isotonic test: law under auto-calibration drawn with the rows' dispersion"
    return Calibration(
        table=table, basis=seen.basis(WHOLE, note), facts=facts, frames={"isotonic": isotonic}
    )


def balance(
    experience: Experience,
    expected: pl.Expr | str,
    *,
    by: By = "claims",
    factors: list[str] | None = None,
    level: float = 0.95,
) -> Balance:
    """Compare fitted and seen in total and at every level of every factor.

    In sample a Poisson model with log link balances exactly at every level it has a coefficient
    for; what is out of balance is a factor or an interaction the model lacks.

    Parameters
    ----------
    experience : Experience
        Cells.
    expected : polars.Expr or str
        Prediction per policy-year, or a sum of expected claims.
    by : {"claims", "amount"}
        Claims or amounts.
    factors : list of str, optional
        Keys to look by; all factors where left out.
    level : float
        Confidence level of the robust intervals.

    Returns
    -------
    Balance
        ``.table``: term, level, rows, exposure, claims, expected (by amount: amount,
        expected_amount), actual_to_expected, lower, upper; the first row is the total.

    Raises
    ------
    InputError
        As :func:`pricing.validation.prediction.predict`.

    Examples
    --------
    >>> rows = pl.DataFrame({"sex": ["f", "m"], "exposure": [10.0, 10.0], "claims": [1, 3]})
    >>> found = balance(Experience.collect(rows, ["sex"]), pl.lit(0.2))
    >>> found.table.select("term", "level", "actual_to_expected").rows()
    [('total', '', 1.0), ('sex', 'f', 0.5), ('sex', 'm', 1.5)]
    """
    seen = predict(experience, expected, by=by)
    held = experience.with_sums(_fitted=pl.lit(pl.Series(seen.rate)))
    amount = ["amount"] if by == "amount" else []
    columns = ["rows", "exposure", "claims", *amount, EXPECTED[by]]
    parts = []
    for factor in experience.factors if factors is None else factors:
        one = actual_to_expected(held, pl.col("_fitted"), factor, by=by, level=level).table
        parts.append(
            one.select(
                pl.lit(factor).alias("term"),
                pl.col(factor).cast(pl.String).alias("level"),
                *columns,
                "actual_to_expected",
                "lower",
                "upper",
            )
        )
    total = _total(seen, level)
    whole: dict[str, Any] = {
        "term": "total",
        "level": "",
        "rows": total["rows"],
        "exposure": float(seen.exposure.sum()),
        "claims": total["claims"],
        "amount": total["_actual"],
        EXPECTED[by]: total["_base"],
        "actual_to_expected": total["_ratio"],
        "lower": total["lower"],
        "upper": total["upper"],
    }
    first = pl.DataFrame([whole]).select(
        "term", "level", *columns, pl.col("^actual_to.*|lower|upper$")
    )
    table = pl.concat([first, *parts], how="vertical_relaxed")
    outside = (pl.col("lower") > 1) | (pl.col("upper") < 1)
    # how far beyond its interval a level lies, on the log scale and in half-widths
    reach = (pl.col("upper") / pl.col("lower").clip(1e-12)).log() / 2
    levels = table.slice(1)
    far = levels.with_columns(_far=(pl.col("actual_to_expected").clip(1e-12).log() / reach).abs())
    worst = (
        far.sort("_far", descending=True, nulls_last=True).row(0, named=True)
        if levels.height
        else whole
    )
    facts = {
        "by": by,
        "level": level,
        "ratio": whole["actual_to_expected"],
        "ratio_lower": whole["lower"],
        "ratio_upper": whole["upper"],
        "outside": levels.filter(outside).height,
        "levels": levels.height,
        "worst_factor": worst["term"],
        "worst_level": worst["level"],
        "worst": worst["actual_to_expected"],
    }
    return Balance(table=table, basis=seen.basis(), facts=facts)


def _total(seen: Prediction, level: float) -> dict[str, Any]:
    """Actual over expected of everything, robust."""
    codes = np.zeros(len(seen.rate), dtype=np.int64)
    one: dict[str, Any] = seen.banded(codes, ["1"], scale=seen.rate, level=level).row(0, named=True)
    return one
