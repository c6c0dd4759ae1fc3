"""A care projection drawn apart: what each setting costs, and how long the disabled have been so."""

from __future__ import annotations

from dataclasses import replace

import plotly.graph_objects as go
import polars as pl

from pricing.care.number import money_label, said_amount, unit_of, year_label
from pricing.care.projected import CareProjection
from pricing.files import fingerprint
from pricing.result.series import SERIES
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, level_label, say

__all__ = ["CareOccupancy", "CareSettings", "care_occupancy", "care_settings"]


def _stacked(result: Result, by: str, name: str, currency: str, lang: Language) -> go.Figure:
    """Draw a bar per year, stacked."""
    figure, table = go.Figure(layout={"template": "pricing"}), result.table
    total = table.group_by("year").agg(pl.col(name).sum())[name]
    size, unit = unit_of(float(total.max() or 0.0), lang)  # type: ignore[arg-type]
    for i, level in enumerate(table[by].unique(maintain_order=True).to_list()):
        part = table.filter(pl.col(by) == level)
        figure.add_bar(
            x=part["year"].to_list(), y=(part[name] / size).to_list(), name=level_label(level, lang),
            marker={"color": SERIES[i % len(SERIES)][0]},
        )  # fmt: skip
    return figure.update_layout(
        barmode="stack",
        xaxis={"title": {"text": year_label(result.facts["first_year"], lang)}},
        yaxis={"title": {"text": money_label(name, unit, currency, lang)}},
        legend={"traceorder": "normal"},
    )


class CareSettings(Result):
    """Cost by year and setting; ``.table``: year, setting, care_outgo."""

    kind = "care_settings"

    def finding(self, lang: Language = "en") -> str:
        """Say the share of the cost of the dearest setting in the first year, and its share of cases."""
        facts = {**self.facts, "dearest": level_label(self.facts["dearest"], lang)}
        facts["total"] = said_amount(facts["total"], lang)
        return say(f"finding.{self.kind}", lang, **facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the cost by year, stacked by setting."""
        return _stacked(self, "setting", "care_outgo", self.basis.currency, lang)


class CareOccupancy(Result):
    """The disabled by year and time since onset; ``.table``: year, in_state, people."""

    kind = "care_occupancy"

    def finding(self, lang: Language = "en") -> str:
        """Say how many are disabled at first and at last."""
        return say(f"finding.{self.kind}", lang, **self.facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the disabled by year, stacked by time since onset."""
        return _stacked(self, "in_state", "people", "", lang)


def care_settings(projection: CareProjection) -> CareSettings:
    """Draw the cost of a projection apart by setting.

    Examples
    --------
    >>> from pricing.care.morbidity import morbidity
    >>> from pricing.care.population import stable_population
    >>> from pricing.care.projection import project_care
    >>> from pricing.care.scheme import SETTINGS, Fund, Scheme
    >>> scheme = Scheme(prices={"home": 900.0, "community": 1350.0, "institution": 1800.0}, settings=SETTINGS)
    >>> found = care_settings(project_care(stable_population(1e6), morbidity(), scheme, Fund(contribution=90.0), years=2))
    >>> round(found.facts["dearest_share"], 4)
    0.8451
    """
    table = projection.frames["settings"]
    first = table.filter(year=projection.facts["first_year"])
    total = float(first["care_outgo"].sum())
    top = first.sort("care_outgo", descending=True, maintain_order=True).row(0, named=True)
    facts = {
        "settings": first.height, "dearest": top["setting"], "total": total,
        "dearest_share": top["care_outgo"] / total if total else 0.0,
        "currency": projection.basis.currency, "first_year": projection.facts["first_year"],
    }  # fmt: skip
    return CareSettings(table=table, facts=facts, basis=_basis(projection, "settings"))


def care_occupancy(projection: CareProjection) -> CareOccupancy:
    """Draw the disabled of a projection apart by time since onset.

    Examples
    --------
    >>> from pricing.care.morbidity import morbidity
    >>> from pricing.care.population import stable_population
    >>> from pricing.care.projection import project_care
    >>> from pricing.care.scheme import Fund, Scheme
    >>> found = care_occupancy(project_care(stable_population(1e6), morbidity(),
    ...     Scheme(prices={"home": 600.0}), Fund(contribution=90.0), years=2))
    >>> found.table["in_state"].unique(maintain_order=True).to_list()
    ['disabled_first_year', 'disabled_second_year', 'disabled_longer']
    """
    table = projection.frames["occupancy"].filter(pl.col("in_state") != "healthy")
    last = int(table["year"].max())  # type: ignore[arg-type]
    by_year = table.group_by("year", maintain_order=True).agg(pl.col("people").sum())["people"]
    long = table.filter(year=last, in_state="disabled_longer")["people"].item()
    facts = {
        "first": float(by_year[0]), "last": float(by_year[-1]), "years": len(by_year), "first_year": projection.facts["first_year"],
        "long_share": float(long / by_year[-1]) if by_year[-1] else 0.0,
    }  # fmt: skip
    return CareOccupancy(table=table, facts=facts, basis=_basis(projection, "occupancy"))


def _basis(projection: CareProjection, name: str) -> Basis:
    own = projection.basis
    return replace(own, fingerprint=fingerprint(own.fingerprint, name))
