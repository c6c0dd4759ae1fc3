"""The first looks: one-way tables and actual-to-expected, with intervals that need no Poisson."""

from __future__ import annotations

from typing import Literal

import plotly.graph_objects as go
import polars as pl
from scipy.special import gammaincinv, ndtri

from pricing.errors import InputError
from pricing.experience.cells import Experience
from pricing.result.figure import interval_figure
from pricing.result.shape import Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["ActualToExpected", "OneWay", "actual_to_expected", "one_way"]

Interval = Literal["robust", "poisson"]


class OneWay(Result):
    """Claim frequency by one factor, unadjusted."""

    kind = "one_way"

    def finding(self, lang: Language = "en") -> str:
        """Say where frequency is lowest and highest."""
        facts = dict(self.facts)
        facts["factor"] = label(facts["factor"], lang)
        for name in ("lowest", "highest"):
            facts[name] = level_label(facts[name], lang)
        return say("finding.one_way", lang, **facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw frequency with its interval over exposure bars."""
        return _draw(self, "frequency", lang)


class ActualToExpected(Result):
    """Actual over expected claims by one factor."""

    kind = "actual_to_expected"

    def finding(self, lang: Language = "en") -> str:
        """Say how close the model is overall and how many levels it misses."""
        return say(
            "finding.actual_to_expected",
            lang,
            **{**self.facts, "factor": label(self.facts["factor"], lang)},
        )

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the ratio with its interval over exposure bars, against 1."""
        return _draw(self, "actual_to_expected", lang, reference=1.0)


def one_way(
    experience: Experience, factor: str, *, interval: Interval = "robust", level: float = 0.95
) -> OneWay:
    """Claim frequency by level of one factor, before any adjustment.

    Parameters
    ----------
    experience : Experience
        Cells that carry ``factor``.
    factor : str
        Key to look at.
    interval : {"robust", "poisson"}
        ``"robust"``: from the row-level spread of claims within each level, Var F̂ =
        Σ(n − F̂e)²/E² (Huber 1967), on the log scale; right under over-dispersion, and never
        narrower than Poisson, so that a level with a single row is not taken for certain.
        ``"poisson"``: exact Poisson (Garwood 1936). A level without a claim always takes the
        latter.
    level : float
        Confidence level, in (0, 1).

    Returns
    -------
    OneWay
        ``.table``: level, rows, exposure (policy-years), claims, frequency (claims per
        policy-year), lower, upper; with ``amount``, also severity and pure premium (currency).

    Examples
    --------
    >>> rows = pl.DataFrame({"sex": ["f", "m", "m"], "exposure": [1.0, 1.0, 1.0], "claims": [1, 0, 4]})
    >>> one_way(Experience.collect(rows, ["sex"]), "sex").table.select("sex", "frequency").rows()
    [('f', 1.0), ('m', 2.0)]
    """
    by = experience.by(factor)
    rate = pl.col("claims") / pl.col("exposure")
    table = _interval(
        by.cells.with_columns(frequency=rate, _rate=rate), "frequency", "exposure", interval, level
    )
    columns = [factor, "rows", "exposure", "claims", "frequency", "lower", "upper"]
    if "amount" in table.columns:
        table = table.with_columns(
            severity=pl.when(pl.col("claims") > 0).then(pl.col("amount") / pl.col("claims")),
            pure_premium=pl.col("amount") / pl.col("exposure"),
        )
        columns += ["amount", "severity", "pure_premium"]
    ordered = table.sort("frequency")
    facts = {
        "factor": factor,
        "interval": interval,
        "level": level,
        "frequency": by.basis.claims / by.basis.exposure,
        "lowest": str(ordered[factor][0]),
        "lowest_frequency": ordered["frequency"][0],
        "highest": str(ordered[factor][-1]),
        "highest_frequency": ordered["frequency"][-1],
    }
    return OneWay(table=table.select(columns), basis=by.basis, facts=facts)


def actual_to_expected(
    experience: Experience, rate: pl.Expr, factor: str, *, level: float = 0.95
) -> ActualToExpected:
    """Actual over expected claims by level of one factor.

    Parameters
    ----------
    experience : Experience
        Cells that carry ``factor`` and the keys that ``rate`` reads.
    rate : polars.Expr
        Expected claims per policy-year of a cell, such as ``model.rate()``.
    factor : str
        Key to look at; need not be in the model.
    level : float
        Confidence level of the interval. It takes the expected claims as given and the spread of
        the actual ones from the rows: Var = Σ(n − Rμ)²/(Σμ)², R the level's ratio.

    Returns
    -------
    ActualToExpected
        ``.table``: level, exposure, claims, expected, actual_to_expected, lower, upper.

    Raises
    ------
    InputError
        For a factor that is not a key, and for cells without an expected rate above zero.

    Examples
    --------
    >>> rows = pl.DataFrame({"sex": ["f", "m"], "exposure": [1.0, 2.0], "claims": [1, 1]})
    >>> seen = Experience.collect(rows, ["sex"])
    >>> actual_to_expected(seen, pl.lit(0.5), "sex").table["actual_to_expected"].to_list()
    [2.0, 1.0]
    """
    cells = experience.rated(rate, factor).cells
    whole = Experience(cells=cells, keys=experience.keys, basis=experience.basis)
    expected = pl.col("_rate") * pl.col("exposure")
    moments = cells.with_columns(expected=expected).group_by(factor, maintain_order=True)
    ratio = pl.col("claims").sum() / pl.col("expected").sum()
    scale = pl.col("_rate") * ratio
    table = moments.agg(
        pl.col("rows", "exposure", "claims", "expected").sum(),
        actual_to_expected=ratio,
        _spread=(
            pl.col("claims_squared")
            - 2 * scale * pl.col("claims_exposure")
            + scale * scale * pl.col("exposure_squared")
        ).sum(),
    ).sort(factor)
    table = _interval(table, "actual_to_expected", "expected", "robust", level)
    outside = table.filter((pl.col("lower") > 1) | (pl.col("upper") < 1))
    facts = {
        "factor": factor,
        "level": level,
        "ratio": float(table["claims"].sum()) / float(table["expected"].sum()),
        "outside": outside.height,
        "levels": table.height,
    }
    columns = [factor, "rows", "exposure", "claims", "expected", "actual_to_expected"]
    return ActualToExpected(
        table=table.select(*columns, "lower", "upper"), basis=whole.basis, facts=facts
    )


def _interval(
    table: pl.DataFrame, estimate: str, base: str, interval: Interval, level: float
) -> pl.DataFrame:
    if not 0 < level < 1:
        raise InputError(f"the confidence level must lie between 0 and 1, got {level}")
    n, denominator = table["claims"].cast(pl.Float64).to_numpy(), table[base].to_numpy()
    tail = (1 - level) / 2
    low = pl.Series(gammaincinv(n.clip(1e-300), tail) / denominator)
    high = pl.Series(gammaincinv(n + 1, 1 - tail) / denominator)
    exact = table.with_columns(
        lower=pl.when(pl.col("claims") > 0).then(low).otherwise(0.0), upper=high
    )
    if interval == "poisson":
        return exact
    if "_spread" not in exact.columns:
        r = pl.col("_rate")
        exact = exact.with_columns(
            _spread=pl.col("claims_squared")
            - 2 * r * pl.col("claims_exposure")
            + r * r * pl.col("exposure_squared")
        )
    spread = pl.max_horizontal("_spread", pl.col("claims").cast(pl.Float64))
    reach = (float(ndtri(1 - tail)) * spread.sqrt() / pl.col("claims")).exp()
    seen = pl.col("claims") > 0
    return exact.with_columns(
        lower=pl.when(seen).then(pl.col(estimate) / reach).otherwise("lower"),
        upper=pl.when(seen).then(pl.col(estimate) * reach).otherwise("upper"),
    )


def _draw(
    result: Result, estimate: str, lang: Language, reference: float | None = None
) -> go.Figure:
    table, factor = result.table, result.facts["factor"]
    return interval_figure(
        table[factor].cast(pl.String).to_list(),
        table[estimate].to_list(),
        table["lower"].to_list(),
        table["upper"].to_list(),
        name=estimate,
        factor=factor,
        lang=lang,
        bars=table["exposure"].to_list(),
        reference=reference,
    )
