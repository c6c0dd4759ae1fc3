"""Published survival: the lung cancer study everybody knows, and a worked example of Fine and Gray."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from pricing.survival.competing import cumulative_incidence
from pricing.survival.curve import SurvivalCurve, survival_curve
from pricing.survival.fine_gray import fine_gray_rows
from pricing.survival.lives import Lives
from pricing.survival.log_rank import log_rank

__all__ = ["fine_gray_toy", "lung_by_performance", "lung_figures", "lung_lives"]

Found = tuple[str, Mapping[str, str], Mapping[str, float]]
SOURCE = "Loprinzi et al. (1994), NCCTG lung cancer data, as analysed by R's survival"


def lung_lives(*by: str) -> Lives:
    """Read the lung cancer study, which comes with lifelines, with strata among sex and ph.ecog.

    Examples
    --------
    >>> lung_lives("sex").number
    228.0
    """
    from lifelines.datasets import load_lung

    read = load_lung()
    rows = pl.DataFrame({name: read[name].to_numpy() for name in ("time", "status", *by)})
    rows = rows.with_columns(pl.selectors.float().fill_nan(None)).drop_nulls()
    return Lives.collect(
        rows.cast(dict.fromkeys(("status", *by), pl.Int64)),
        by,
        exit="time",
        event="status",
        unit="day",
    )


def lung_figures() -> Found:
    """Median with interval, survival at half a year and a year, medians by sex, the log-rank test.

    Examples
    --------
    >>> lung_figures()[2]["median"]
    310.0
    """
    printed = {
        "median": "310", "median from, log-log": "284", "median to, log-log": "361",
        "median from, log": "285", "median to, log": "363",
        "S(180)": "0.7216707", "S(365)": "0.4092416", "median, men": "270", "median, women": "426",
        "deaths, men": "112", "deaths, women": "53", "log-rank by sex": "10.32674",
        "log-rank by sex, p": "0.0013112",
    }  # fmt: skip
    every, by_sex = lung_lives(), lung_lives("sex")
    curve, sexes = survival_curve(every), survival_curve(by_sex)
    ours: dict[str, float] = {}
    for scale, said in (("log-log", curve), ("log", survival_curve(every, scale="log"))):
        _, ours["median"], low, high = said.quantiles(0.5).row(0)
        ours |= {f"median from, {scale}": low, f"median to, {scale}": high}
    at = curve.survival_at(180, 365)["survival"].to_list()
    test = log_rank(by_sex, "sex")
    medians, deaths = sexes.quantiles(0.5)["time"], sexes.frames["summary"]["events"]
    ours |= {
        "S(180)": at[0], "S(365)": at[1], "median, men": medians[0], "median, women": medians[1],
        "deaths, men": deaths[0], "deaths, women": deaths[1],
        "log-rank by sex": test.chi_squared, "log-rank by sex, p": test.p_value,
    }  # fmt: skip
    return SOURCE, printed, ours


def lung_by_performance() -> Found:
    """Medians, survival at a year and restricted means by performance status.

    Examples
    --------
    >>> round(lung_by_performance()[2]["restricted mean to 730, status 2"])
    256
    """
    printed: dict[str, str] = {}
    for status, texts in enumerate((
        ("394", "348", "574", "0.535", "429", "32.2"),
        ("306", "268", "429", "0.431", "366", "22.4"),
        ("199", "156", "288", "0.2147", "256", "30.0"),
    )):  # fmt: skip
        printed |= dict(zip(_names(status), texts, strict=True))
    lives = lung_lives("ph.ecog").where(pl.col("ph.ecog") < 3, "ph.ecog below 3")
    curve = survival_curve(lives, scale="log")
    ours: dict[str, float] = {}
    for status in range(3):
        ours |= dict(zip(_names(status), _of(curve, status), strict=True))
    return f"{SOURCE}, test output by ph.ecog", printed, ours


def fine_gray_toy() -> Found:
    """Shares by cause and weights of the 14 lives with ties by which R's survival tests finegray.

    Examples
    --------
    >>> round(fine_gray_toy()[2]["share by 1 at 10"], 6)
    0.480519
    """
    rows = pl.DataFrame({
        "exit": [1, 2, 3, 4, 4, 4, 5, 5, 6, 8, 8, 9, 10, 12],
        "event": [1, 2, 0, 1, 0, 0, 2, 1, 0, 0, 2, 0, 1, 0],
    })  # fmt: skip
    printed = {
        "share by 1 at 1": ".071429", "share by 1 at 4": ".149351", "share by 1 at 5": ".246753",
        "share by 1 at 10": ".480519", "share by 2 at 2": ".071429", "share by 2 at 5": ".168831",
        "share by 2 at 8": ".285714", "weight after 3": ".916667", "weight after 4": ".733333",
        "last weight of the life gone at 5": ".416667", "last weight of the life gone at 8": ".500000",
    }  # fmt: skip
    at = cumulative_incidence(Lives.collect(rows)).incidence_at(1, 2, 4, 5, 8, 10)
    ours = {
        f"share by {cause} at {time:g}": share
        for cause, time, share in at.select("cause", "time", "incidence").rows()
    }
    weights = fine_gray_rows(rows, "1")
    second = weights.filter(pl.col("row") == 1)["weight"]
    ours |= {"weight after 3": second[1], "weight after 4": second[2]}
    for row, gone in ((6, 5), (10, 8)):
        last = weights.filter(pl.col("row") == row)["weight"][-1]
        ours[f"last weight of the life gone at {gone}"] = last
    return "R's survival, tests of finegray; Fine and Gray (1999)", printed, ours


def _names(status: int) -> list[str]:
    said = ("median", "median from", "median to", "S(365)", "restricted mean to 730", "its error")
    return [f"{name}, status {status}" for name in said]


def _of(curve: SurvivalCurve, status: int) -> list[float]:
    one = pl.col("ph.ecog") == status
    median = curve.quantiles(0.5).filter(one).select("time", "lower", "upper").row(0)
    mean = curve.restricted_mean(730).filter(one).select("restricted_mean", "std_error").row(0)
    at: float = curve.survival_at(365).filter(one)["survival"].item()
    return [*median, at, *mean]
