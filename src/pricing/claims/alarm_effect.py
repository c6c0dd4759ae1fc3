"""Alarm effect: claim frequency by the alarms a watch raised before the term.

Relativities come from the usual frequency model with the band of alarms among its factors, so that age
and what else is known of the policy are held fixed; the base are wearers without an alarm. Who wears a
watch is chosen, hence no_watch against the base says who they are as much as what a watch does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import plotly.graph_objects as go
import polars as pl

from pricing.claims.clusters import cluster_errors
from pricing.claims.models import fit_frequency
from pricing.errors import InputError
from pricing.experience.cells import Experience
from pricing.experience.domain import listed, require_columns
from pricing.result.figure import interval_figure, with_points
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, level_label, say

__all__ = ["AlarmEffect", "alarm_effect"]

FACTOR = "alarm_band"
STEP = 0.25  # of alarms per watched year, for cells
MOST = 10.0


class AlarmEffect(Result):
    """Claims by alarms before the term.

    ``.table``: level (the band of alarms), relativity with lower and upper, exposure, claims,
    frequency, alarms, watched_years, truth (null where unknown). ``.frames``: model (every relativity
    of the fit).
    """

    kind = "alarm_effect"

    def finding(self, lang: Language = "en") -> str:
        """Say how many times the claims of the base the band furthest from 1 has."""
        facts = dict(self.facts)
        named = {
            n: level_label(facts[n.removesuffix("_name")], lang) for n in ("most_name", "base_name")
        }
        said = say("finding.alarm_effect", lang, **(facts | named))
        return said + (
            say("sentence.alarm_rate", lang, **facts) if facts["each"] is not None else ""
        )

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the relativities over the exposure behind them."""
        table = self.table
        figure = interval_figure(
            table["level"].to_list(),
            table["relativity"].to_list(),
            table["lower"].to_list(),
            table["upper"].to_list(),
            name="relativity",
            factor=FACTOR,
            lang=lang,
            bars=table["exposure"].to_list(),
            reference=1.0,
        )
        if table["truth"].null_count() < table.height:
            with_points(
                figure, table["level"].to_list(), table["truth"].to_list(), name="truth", lang=lang
            )
        return figure


def alarm_effect(
    rows: pl.DataFrame,
    others: Sequence[str] = (),
    *,
    base: str = "no_alarm",
    cluster: str | None = None,
    truth: pl.DataFrame | None = None,
    level: float = 0.95,
    basis: Basis | None = None,
) -> AlarmEffect:
    """Fit claim frequency with the band of alarms as a factor.

    Parameters
    ----------
    rows : polars.DataFrame
        Person-years (exposure, claims) with alarms, watched_years, alarm_rate and alarm_band, as
        :func:`pricing.activity.alarms.alarm_rates` adds them, and the factors.
    others : sequence of str
        Further factors held fixed, such as ``["age_band", "sex"]``.
    base : str
        Band of relativity 1.
    cluster : str, optional
        Whose terms belong together, such as ``"policy_id"``: the terms of a policy share its frailty, and
        taking them as independent makes intervals too narrow.
    truth : polars.DataFrame, optional
        alarm_band and relativity that made the data.
    level : float
        Confidence level.
    basis : Basis, optional
        Source, period, filters.

    Returns
    -------
    AlarmEffect
        ``.facts["each"]``: by how much one more alarm per watched year multiplies the claims of wearers
        (rates above 10 taken as 10), with each_lower and each_upper.

    Raises
    ------
    InputError
        For a base band nobody is in, fewer than two bands; as :func:`pricing.claims.models.fit_frequency`.

    Examples
    --------
    >>> rows = pl.DataFrame({"alarm_band": ["no_alarm"] * 2 + ["many_alarms"] * 2, "exposure": [1.0] * 4,
    ...     "claims": [1, 0, 2, 1], "alarms": [0, 0, 4, 3], "watched_years": [1.0] * 4,
    ...     "alarm_rate": [0.0, 0.0, 4.0, 3.0]})
    >>> alarm_effect(rows).table.select("level", pl.col("relativity").round(6)).rows()
    [('no_alarm', 1.0), ('many_alarms', 3.0)]
    """
    others = listed(others)
    require_columns([FACTOR, "alarms", "watched_years", "alarm_rate", *others], rows.columns)
    known = [b for b in _order(rows) if b in rows[FACTOR].cast(pl.String).unique().to_list()]
    if base not in known or len(known) < 2:
        raise InputError(
            f"the bands of alarms are {', '.join(known)}: {base!r} has nothing to be compared with",
            do="check the alarms and watches of the policies, and the days before the term",
        )
    seen = rows.with_columns(pl.col(FACTOR).cast(pl.String).cast(pl.Enum(known)))
    cells = Experience.collect(seen, [FACTOR, *others], basis=basis)
    formula = " + ".join([FACTOR, *others])
    fit = fit_frequency(cells, formula, base={FACTOR: base}, level=level)
    if cluster:
        fit = cluster_errors(fit, seen, by=cluster)
    counted = seen.group_by(FACTOR).agg(
        pl.col("alarms").sum().cast(pl.Int64), pl.col("watched_years").sum()
    )
    own = fit.table.filter(pl.col("term") == FACTOR).select(
        "level", "relativity", "lower", "upper", "exposure", "claims",
        frequency=pl.col("claims") / pl.col("exposure"),
    )  # fmt: skip
    table = own.join(
        counted.with_columns(pl.col(FACTOR).cast(pl.String)), left_on="level", right_on=FACTOR,
        how="left", maintain_order="left",
    )  # fmt: skip
    made = (
        truth.select(level=pl.col(FACTOR).cast(pl.String), truth="relativity")
        if truth is not None
        else pl.DataFrame(schema={"level": pl.String, "truth": pl.Float64})
    )
    table = table.join(made, on="level", how="left", maintain_order="left")
    wearers = table.filter(~pl.col("level").is_in(["no_watch", base]))
    furthest = (wearers if wearers.height else table.filter(pl.col("level") != base)).sort(
        pl.col("relativity").log().abs(), descending=True
    )
    most = furthest.row(0, named=True)
    whole = float(table["exposure"].sum())
    worn = float(table.filter(pl.col("level") != "no_watch")["exposure"].sum())
    facts = {
        "most": most["level"], "base": base, "ratio": most["relativity"], "lower": most["lower"],
        "upper": most["upper"], "share": worn / whole, "level": level, **_each(seen, others, cluster, level),
    }  # fmt: skip
    notes = ("alarms of the days before the term only",)
    return AlarmEffect(
        table=table,
        basis=replace(fit.basis, notes=(*fit.basis.notes, *notes)),
        facts=facts,
        frames={"model": fit.table},
    )


def _order(rows: pl.DataFrame) -> list[str]:
    kind = rows.schema[FACTOR]
    if isinstance(kind, pl.Enum):
        return kind.categories.to_list()
    return rows[FACTOR].cast(pl.String).drop_nulls().unique(maintain_order=True).to_list()


def _each(
    rows: pl.DataFrame,
    others: Sequence[str],
    cluster: str | None,
    level: float,
) -> dict[str, float | None]:
    """By how much one more alarm per watched year multiplies the claims of wearers."""
    rate = ((pl.col("alarm_rate").clip(0.0, MOST) / STEP).round() * STEP).alias("alarm_rate")
    worn = rows.filter(pl.col("alarm_rate").is_not_null()).with_columns(rate)
    nothing: dict[str, float | None] = {"each": None, "each_lower": None, "each_upper": None}
    if worn["alarm_rate"].n_unique() < 3 or not worn["claims"].sum():
        return nothing
    cells = Experience.collect(worn, ["alarm_rate", *others])
    fit = fit_frequency(cells, " + ".join(["alarm_rate", *others]), level=level)
    if cluster:
        fit = cluster_errors(fit, worn, by=cluster)
    row = fit.table.filter(pl.col("term") == "alarm_rate").row(0, named=True)
    return {"each": row["relativity"], "each_lower": row["lower"], "each_upper": row["upper"]}
