"""Stresses of a care fund, each against the same base."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl
from numpy.typing import NDArray

from pricing.care.definition import DefinitionRisk
from pricing.care.morbidity import Morbidity
from pricing.care.number import money_label, unit_of, year_label
from pricing.care.population import OLDEST, Insured
from pricing.care.projected import CareProjection
from pricing.care.projection import course, project_care
from pricing.care.scheme import Fund, Scheme
from pricing.errors import InputError, nearest
from pricing.files import fingerprint
from pricing.result.series import SERIES
from pricing.result.shape import Result
from pricing.result.words import Language, level_label, say

__all__ = ["STRESSES", "CareStress", "definition_weights", "stress_care"]

Floats = NDArray[np.float64]
STRESSES: Mapping[str, Mapping[str, float]] = {
    "inception_plus": {"inception": 1.2},
    "recovery_minus": {"recovery": 0.8},
    "disabled_live_longer": {"mortality_disabled": 0.8},
}


class CareStress(Result):
    """The base and each stress; ``.table`` has what the last year and the whole term come to.

    scenario, in_payment_last, outgo_last, outgo_total (undiscounted), outgo_change (of the total, against
    the base), payg_last, reserve_last, deficit_year, exhausted_year, closing_growth.
    ``.frames["paths"]``: scenario, year, outgo, reserve, payg_contribution.
    """

    kind = "care_stress"

    def finding(self, lang: Language = "en") -> str:
        """Say the dearest stress, and the growth of contributions it asks for."""
        facts = {**self.facts, "worst": level_label(self.facts["worst"], lang)}
        for name in ("base_growth", "worst_growth"):
            none = say("sentence.care_no_growth", lang)
            facts[name] = none if facts[name] is None else f"{facts[name]:.2%}"
        return say(f"finding.{self.kind}", lang, **facts)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw the reserve by year, a line for the base and each stress."""
        figure = go.Figure(layout={"template": "pricing", "height": 460})
        paths = self.frames["paths"]
        size, unit = unit_of(float(paths["fund_reserve"].abs().max() or 0.0), lang)  # type: ignore[arg-type]
        for i, name in enumerate(self.table["scenario"].to_list()):
            part = paths.filter(pl.col("scenario") == name)
            figure.add_scatter(
                x=part["year"].to_list(), y=(part["fund_reserve"] / size).to_list(), mode="lines",
                name=level_label(name, lang),
                line={"color": SERIES[i % len(SERIES)][0], "width": 4 if i == 0 else 2,
                      "dash": "solid" if i == 0 else "dash"},
            )  # fmt: skip
        return figure.update_layout(
            xaxis={"title": {"text": year_label(self.facts["first_year"], lang)}},
            yaxis={"title": {"text": money_label("fund_reserve", unit, self.basis.currency, lang)},
                   "zeroline": True, "zerolinecolor": "#6B7280"},
            legend={"y": 1.04},
            margin={"t": 96},
        )  # fmt: skip


def definition_weights(risk: DefinitionRisk, wide: str) -> Floats:
    """How many times as many are disabled by another definition, by sex and age.

    Parameters
    ----------
    risk : DefinitionRisk
        Its first definition is the one the projection is made by.
    wide : str
        Another of its definitions.

    Returns
    -------
    array, 2 sexes (female, male) × ages 0 to 105
        Ratio of prevalence at the ages known, held below and above them.

    Examples
    --------
    >>> from pricing.care.definition import definition_risk
    >>> found = definition_weights(definition_risk(definitions=["clhls", "hrs"]), "hrs")
    >>> found.shape, bool(found[0, 80] > 1.5)
    ((2, 106), True)
    """
    rows = risk.frames["prevalence"].with_columns(pl.col("age").round().cast(pl.Int64))
    known = rows["definition"].unique(maintain_order=True).to_list()
    if wide not in known:
        raise InputError(f"no definition {wide!r} in the side by side{nearest(wide, known)}")
    own = rows.filter(pl.col("definition") == known[0])
    both = own.join(rows.filter(pl.col("definition") == wide), on=["sex", "age"], suffix="_wide")
    both = both.filter(pl.col("disabled_share") > 0).sort("sex", "age")
    weights = np.ones((2, OLDEST + 1))
    for place, sex in enumerate(("female", "male")):
        part = both.filter(pl.col("sex") == sex)
        ratio = (part["disabled_share_wide"] / part["disabled_share"]).to_numpy()
        weights[place] = np.interp(np.arange(OLDEST + 1), part["age"].to_numpy(), ratio)
    return weights


def stress_care(
    insured: Insured,
    rates: Morbidity,
    scheme: Scheme,
    fund: Fund,
    *,
    years: int = 50,
    entrants_growth: float = 0.0,
    moderate: float | None = None,
    moderate_factor: float = 1.0,
    wider: Mapping[str, Floats] | None = None,
    base: CareProjection | None = None,
) -> CareStress:
    """Stress the projection: 20 % more onsets, 20 % fewer recoveries, 20 % lower disabled mortality, and more.

    Parameters
    ----------
    insured, rates, scheme, fund, years, entrants_growth
        As in :func:`pricing.care.projection.project_care`.
    moderate : float, optional
        Moderate cases per severe one: a stress in which they are paid from the start.
    moderate_factor : float
        Their amount over that of the severe.
    wider : mapping of str to array, optional
        Stresses of definition, by name: weights of :func:`definition_weights`.
    base : CareProjection, optional
        Where it was projected already.

    Returns
    -------
    CareStress
        Every stress starts from the lives, and keeps the uptake, of the base.

    Examples
    --------
    >>> from pricing.care.morbidity import morbidity
    >>> from pricing.care.population import stable_population
    >>> found = stress_care(stable_population(1e6), morbidity(), Scheme(prices={"home": 600.0}),
    ...                     Fund(contribution=90.0), years=20)
    >>> found.table["scenario"].to_list()
    ['base', 'inception_plus', 'recovery_minus', 'disabled_live_longer']
    """
    first = base or project_care(
        insured, rates, scheme, fund, years=years, entrants_growth=entrants_growth
    )
    if first.facts["years"] != years:
        raise InputError(f"the base runs {first.facts['years']} years, the stresses {years}")
    if moderate is not None and not (np.isfinite(moderate) and moderate >= 0):
        raise InputError(f"moderate cases per severe one must be 0 or more, got {moderate!r}")
    if moderate is not None and "moderate" in scheme.grades:
        raise InputError("the scheme pays the moderate grade already", do="leave moderate out")
    runs: dict[str, Any] = {
        name: {"rates": rates.stressed(**factors)} for name, factors in STRESSES.items()
    }
    lives = course(
        insured, rates, years=years, waiting_months=scheme.waiting_months,
        entrants_growth=entrants_growth,
    )  # fmt: skip
    if moderate is not None:
        more = replace(
            scheme,
            grades={**scheme.grades, "moderate": moderate},
            grade_factors={**scheme.grade_factors, "moderate": moderate_factor},
        )
        runs["moderate_included"] = {"scheme": more, "lives": lives}
    for name, weights in (wider or {}).items():
        runs[name] = {"weights": weights}
    found = {"base": first}
    for name, run in runs.items():
        found[name] = project_care(
            insured, run.get("rates", rates), run.get("scheme", scheme), fund, years=years,
            entrants_growth=entrants_growth, weights=run.get("weights"), start=rates,
            calibration=first.facts["calibration"], lives=run.get("lives"), first_year=first.facts["first_year"],
        )  # fmt: skip
    total = {name: float(one.table["care_outgo"].sum()) for name, one in found.items()}
    table = pl.DataFrame([
        {
            "scenario": name, "in_payment_last": one.table["in_payment"][-1],
            "outgo_last": one.table["care_outgo"][-1], "outgo_total": total[name],
            "outgo_change": total[name] / total["base"] - 1, "payg_last": one.facts["payg_last"],
            "reserve_last": one.facts["reserve_last"], "deficit_year": one.facts["deficit_year"],
            "exhausted_year": one.facts["exhausted_year"],
            "closing_growth": one.facts["closing_growth"],
        }
        for name, one in found.items()
    ], infer_schema_length=None).with_columns(
        pl.col("deficit_year", "exhausted_year").cast(pl.Int64),
        pl.col("closing_growth").cast(pl.Float64),
    )  # fmt: skip
    single = table.filter(pl.col("scenario") != "base")
    worst = single.sort("outgo_total", descending=True, maintain_order=True).row(0, named=True)
    paths = pl.concat(
        one.table.select(scenario=pl.lit(name), year="year", care_outgo="care_outgo", fund_reserve="fund_reserve",
                         payg_contribution="payg_contribution")
        for name, one in found.items()
    )  # fmt: skip
    facts = {
        "years": years, "worst": worst["scenario"], "worst_change": worst["outgo_change"],
        "base_growth": first.facts["closing_growth"], "worst_growth": worst["closing_growth"],
        "closing_years": first.facts["closing_years"], "first_year": first.facts["first_year"],
    }  # fmt: skip
    basis = replace(
        first.basis,
        fingerprint=fingerprint(first.basis.fingerprint, repr(table.rows())),
        notes=(
            *first.basis.notes,
            "stresses start from the lives of the base and keep its uptake; they fall on the years to come",
        ),
    )
    return CareStress(table=table, basis=basis, facts=facts, frames={"paths": paths})
