"""Claims by level of engagement: as they stand, and beside people alike in what is known of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
import polars as pl

from pricing.claims.models import fit_frequency
from pricing.errors import InputError
from pricing.experience.cells import Experience
from pricing.experience.domain import listed, require_columns
from pricing.files import fingerprint
from pricing.result.figure import interval_figure, with_points
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["EngagementClaims", "engagement_claims"]


class EngagementClaims(Result):
    """Claim frequency by engagement beside the base level, naive and adjusted: an association."""

    kind = "engagement_claims"

    def finding(self, lang: Language = "en") -> str:
        """Say it in one sentence, levels and factors by their names in the language."""
        named = {name: level_label(self.facts[name], lang) for name in ("base", "furthest")}
        factors = [label(one, lang) for one in self.details["confounders"]]
        named["confounders"] = ("、" if lang == "zh" else ", ").join(factors)
        return say(f"finding.{self.kind}", lang, **{**self.facts, **named})

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the adjusted ratios with their intervals, and the naive ones beside them."""
        levels = self.table["engagement"].to_list()
        figure = interval_figure(
            levels,
            self.table["adjusted_ratio"].to_list(),
            self.table["adjusted_ratio_lower"].to_list(),
            self.table["adjusted_ratio_upper"].to_list(),
            name="adjusted_ratio",
            factor="engagement",
            lang=lang,
            bars=self.table["exposure"].to_list(),
            reference=1.0,
        )
        return with_points(
            figure, levels, self.table["naive_ratio"].to_list(), name="naive_ratio", lang=lang
        )


def engagement_claims(
    experience: Experience,
    *,
    confounders: Sequence[str],
    engagement: str = "engagement",
    base: str | None = None,
    level: float = 0.95,
) -> EngagementClaims:
    """Compare claim frequency by engagement, naive beside adjusted for the confounders given.

    The healthy use an app more and claim less without it: neither column says that engagement lowers
    claims. Only an experiment, or a design in :mod:`pricing.causal`, does.

    Parameters
    ----------
    experience : Experience
        Claims and exposure by engagement and the confounders.
    confounders : sequence of str
        Factors to adjust for, at least one, such as age band, sex and chronic illness at the start.
    engagement : str
        The factor of engagement, measured before the claims.
    base : str, optional
        Level the others are compared with; the first where left out.
    level : float
        Of the intervals.

    Returns
    -------
    EngagementClaims
        ``.table`` by engagement: exposure, claims, naive_ratio and adjusted_ratio with their limits.

    Raises
    ------
    InputError
        For no confounders, engagement among them, fewer than two levels, and what
        :func:`pricing.claims.models.fit_frequency` refuses.

    Notes
    -----
    Both are Poisson log-linear fits with robust errors; the ratio is exp(β), its interval
    exp(β ± z·se). Adjusted: β of engagement with the confounders in the formula.

    Examples
    --------
    >>> rows = pl.DataFrame({"engagement": ["low", "low", "high", "high"],
    ...                      "age_band": ["young", "old", "young", "old"],
    ...                      "exposure": [20.0, 80.0, 80.0, 20.0], "claims": [2, 24, 8, 6]})
    >>> seen = Experience.collect(rows, ["engagement", "age_band"])
    >>> found = engagement_claims(seen, confounders=["age_band"], base="low")
    >>> found.table.select("engagement", pl.col("naive_ratio", "adjusted_ratio").round(3)).row(0)
    ('high', 0.538, 1.0)
    """
    among = listed(confounders)
    faults = [] if among else ["no confounder is given: adjusted for nothing is naive"]
    if engagement in among:
        faults.append(f"{engagement!r} cannot be its own confounder")
    if faults:
        raise InputError("claims by engagement that cannot be compared", faults=faults)
    require_columns([engagement, *among], experience.keys)
    levels = [
        one
        for one in experience.levels(engagement)
        if experience.cells[engagement].cast(pl.String).eq(one).any()
    ]
    if len(levels) < 2:
        raise InputError(f"{engagement!r} has {len(levels)} level(s): there is nothing to compare")
    standard = base if base is not None else levels[0]
    if standard not in levels:
        raise InputError(f"the base level {standard!r} is not among {', '.join(levels)}")
    seen = experience.by(engagement, *among)
    against = {engagement: standard}
    parts = []
    for name, formula in (
        ("naive_ratio", engagement),
        ("adjusted_ratio", " + ".join([engagement, *among])),
    ):
        model = fit_frequency(seen, formula, base=against, level=level)
        parts.append(
            model.relativities(engagement).select(
                pl.col("level").alias("engagement"),
                pl.col("relativity").alias(name),
                pl.col("lower").alias(f"{name}_lower"),
                pl.col("upper").alias(f"{name}_upper"),
            )
        )
    sums = seen.by(engagement).cells.select(
        pl.col(engagement).cast(pl.String).alias("engagement"),
        "exposure",
        pl.col("claims").cast(pl.Float64),
    )
    table = sums
    for part in parts:
        table = table.join(
            part.with_columns(pl.col("engagement").cast(pl.String)),
            on="engagement",
            maintain_order="left",
        )
    others = table.filter(pl.col("engagement") != standard)
    widest = others.sort(
        (pl.col("adjusted_ratio").log()).abs(), descending=True, maintain_order=True
    ).row(0, named=True)
    facts: dict[str, Any] = {
        "base": standard,
        "levels": table.height,
        "furthest": widest["engagement"],
        "naive": widest["naive_ratio"] - 1,
        "adjusted": widest["adjusted_ratio"] - 1,
        "lower": widest["adjusted_ratio_lower"] - 1,
        "upper": widest["adjusted_ratio_upper"] - 1,
        "level": level,
    }
    basis = Basis(
        source=experience.basis.source,
        period=experience.basis.period,
        rows=experience.basis.rows,
        exposure=experience.basis.exposure,
        claims=experience.basis.claims,
        currency=experience.basis.currency,
        fingerprint=fingerprint(
            experience.basis.fingerprint, repr((among, engagement, standard, level))
        ),
        notes=("an association: who engages is not drawn by lot; rows are taken as independent",),
    )
    return EngagementClaims(
        table=table, basis=basis, facts=facts, details={"confounders": list(among)}
    )
