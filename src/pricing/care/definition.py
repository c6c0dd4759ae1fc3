"""The same benefit under every definition of disability at hand: the first risk of long-term care."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl

from pricing.annuities.cash_flow import cash_flow
from pricing.annuities.kolmogorov import kolmogorov
from pricing.annuities.payments import WhileIn
from pricing.annuities.state_model import StateModel, state_model_of_rates
from pricing.care.intensity import grade_rates
from pricing.care.number import is_number
from pricing.data.tables import source_of
from pricing.data.transitions import disability_rates
from pricing.errors import InputError, nearest
from pricing.files import fingerprint
from pricing.result.series import SERIES
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, label, level_label, say

__all__ = ["DEFINITIONS", "DefinitionRisk", "definition_model", "definition_risk"]

DEFINITIONS: Mapping[str, tuple[str, ...]] = {
    "clhls": ("disabled",),
    "clhls_now": ("disabled",),
    "clhls_trend": ("disabled",),
    "hrs": ("disabled",),
    "cui_severe": ("3",),
    "cui_wide": ("2", "3"),
}
FIRST, KNOWN, END = 65, 110, 120


class DefinitionRisk(Result):
    """Value of one benefit by definition and sex.

    ``.table``: definition, sex, years_healthy, years_disabled (expected, from healthy at the age),
    value_healthy, level_premium (a year while not paid), value_disabled (a life disabled at the later
    age) and ratio_to_first (of value_healthy to that of the first definition). ``.frames["prevalence"]``:
    share disabled of the living by definition, sex and age, all healthy at the start.
    """

    kind = "definition_risk"

    def finding(self, lang: Language = "en") -> str:
        """Say the least and the greatest value, by definition."""
        named = {n: level_label(self.facts[n], lang) for n in ("first", "least", "most")}
        said = say(f"finding.{self.kind}", lang, **{**self.facts, **named})
        pair = self.facts["pair"]
        return said if pair is None else said + say("sentence.definition_pair", lang, pair=pair)

    def figure(self, lang: Language = "en") -> go.Figure:
        """Draw prevalence by age, a colour per definition; women solid, men dotted."""
        figure = go.Figure(layout={"template": "pricing", "height": 480})
        rows = self.frames["prevalence"]
        for name, (colour, _) in zip(
            rows["definition"].unique(maintain_order=True), SERIES, strict=False
        ):
            for sex, dash in (("female", "solid"), ("male", "dot")):
                part = rows.filter(
                    pl.col("definition") == name, pl.col("sex").cast(pl.String) == sex
                )
                figure.add_scatter(
                    x=part["age"].to_list(), y=part["disabled_share"].to_list(), mode="lines",
                    name=f"{level_label(name, lang)}, {level_label(sex, lang)}",
                    legendgroup=name, showlegend=sex == "female" or name == rows["definition"][0],
                    line={"color": colour, "dash": dash, "width": 2.5},
                )  # fmt: skip
        return figure.update_layout(
            xaxis={"title": {"text": label("age", lang)}},
            yaxis={"title": {"text": label("disabled_share", lang)}, "tickformat": ".0%"},
            height=400 + 22 * rows["definition"].n_unique(),
            legend={"orientation": "v", "y": -0.2, "yanchor": "top", "tracegroupgap": 0},
            margin={"t": 24},
            hovermode="closest",
        )


def definition_model(name: str, sex: str, *, year: int = 2026, age: int = FIRST) -> StateModel:
    """State graph of a definition, ages 65 to 120; past 110 each rate goes on growing as before it.

    Parameters
    ----------
    name : str
        ``clhls`` (China, limits in daily living, static), ``clhls_now`` (with its trend, held at
        ``year``), ``clhls_trend`` (the trend going on: rates of age x are those of year + x - age),
        ``hrs`` (the US), ``cui_severe`` and ``cui_wide`` (China, three grades of severity, paid in the
        third or in the second and third).
    sex : {"female", "male"}
    year : int
        Calendar year at the start.
    age : int
        Age at the start, of the trend.

    Examples
    --------
    >>> definition_model("clhls", "male").generator(65.0).round(5)[0].tolist()
    [-0.03302, 0.00811, 0.02491]
    """
    if name not in DEFINITIONS:
        raise InputError(f"no definition {name!r}{nearest(name, DEFINITIONS)}")
    if sex not in ("female", "male"):
        raise InputError(f"sex must be female or male, not {sex!r}")
    ages = range(FIRST, KNOWN + 1)
    if name.startswith("cui"):
        rates = grade_rates()
    elif name == "clhls_trend":
        rates = pl.concat(
            disability_rates("clhls", [x], model="trend", year=max(year + x - age, 1998))
            for x in ages
        )
    elif name == "clhls_now":
        rates = disability_rates("clhls", ages, model="trend", year=year)
    else:
        rates = disability_rates(name, ages)
    return state_model_of_rates(_carried_on(rates.filter(pl.col("sex").cast(pl.String) == sex)))


def definition_risk(
    monthly: float = 600.0,
    *,
    age: int = 65,
    later_age: int = 80,
    interest: float = 0.025,
    year: int = 2026,
    waiting: float = 0.0,
    definitions: Sequence[str] = tuple(DEFINITIONS),
    currency: str = "CNY",
) -> DefinitionRisk:
    """Value one monthly benefit under each definition of disability, side by side.

    Parameters
    ----------
    monthly : float
        Paid a month while disabled by the definition.
    age, later_age : int
        Of the life healthy at the start, and of the life already disabled; 65 or more.
    interest : float
        Yearly.
    year : int
        Calendar year at the start, for the trend.
    waiting : float
        Years of disability before payment starts, anew for each stay.
    definitions : sequence of str
        Of :data:`DEFINITIONS`; the first is the one the others are held against.

    Returns
    -------
    DefinitionRisk
        By definition and sex.

    Raises
    ------
    InputError
        For unknown definitions, an amount below zero and ages outside 65 to 110.

    Notes
    -----
    Thiele's values by the exact solution of Kolmogorov's equations, rates level over each year of age
    (:mod:`pricing.annuities.cash_flow`), to age 120. The Chinese sources differ by what they call
    disabled: limits in daily living with assistance (Fu, Sherris and Xu 2021) or a wider index of three
    grades (Cui et al. 2022).

    Examples
    --------
    >>> found = definition_risk(definitions=["clhls"])
    >>> found.table.select("sex", pl.col("value_healthy").round(), pl.col("value_disabled").round()).rows()
    [('female', 5538.0, 25107.0), ('male', 3823.0, 22790.0)]
    """
    wrong = [name for name in definitions if name not in DEFINITIONS]
    if wrong or not definitions:
        raise InputError(
            f"no definition {wrong[0]!r}{nearest(wrong[0], DEFINITIONS)}"
            if wrong
            else "no definitions"
        )
    if not is_number(monthly) or monthly <= 0:
        raise InputError(f"the monthly benefit must be above 0, got {monthly!r}")
    if not all(is_number(a) and FIRST <= a <= KNOWN for a in (age, later_age)):
        raise InputError(f"ages must lie in {FIRST} to {KNOWN}, got {age} and {later_age}")
    if len(set(definitions)) < len(definitions):
        raise InputError("a definition is named twice")
    rows: list[dict[str, Any]] = []
    shares: list[pl.DataFrame] = []
    for name in definitions:
        paid = DEFINITIONS[name]
        for sex in ("female", "male"):
            model = definition_model(name, sex, year=year, age=age)
            free = [s for s in model.states if s not in paid and s != "dead"]
            stays = kolmogorov(model, age=age, years=END - age, start=free[0], step=1.0)
            benefit = [WhileIn(s, 12 * monthly, waiting=waiting) for s in paid]
            value = cash_flow(
                model, benefit, age=age, years=END - age, interest=interest, start=free[0],
                premiums=[WhileIn(s, 1.0) for s in free],
            )  # fmt: skip
            later = definition_model(name, sex, year=year, age=later_age)
            ill = cash_flow(
                later, benefit, age=later_age, years=END - later_age, interest=interest,
                start=paid[-1], duration=waiting,
            )  # fmt: skip
            rows.append({
                "definition": name, "sex": sex,
                "years_healthy": sum(stays.years(s) for s in free),
                "years_disabled": sum(stays.years(s) for s in paid),
                "value_healthy": value.value, "level_premium": value.level_premium,
                "value_disabled": ill.value,
            })  # fmt: skip
            shares.append(_prevalence(stays.table, paid, name, sex, age))
    first = pl.col("value_healthy").first().over("sex")
    table = pl.DataFrame(rows).with_columns(ratio_to_first=pl.col("value_healthy") / first)
    prevalence = pl.concat(shares)
    mean = table.group_by("definition", maintain_order=True).agg(
        pl.col("value_healthy", "ratio_to_first").mean()
    )
    ordered = mean.sort("value_healthy")
    other = mean.filter(pl.col("definition") == "cui_severe")["value_healthy"]
    two = definitions[0].startswith("clhls") and len(other) == 1
    facts = {
        "monthly": float(monthly), "age": age, "later_age": later_age, "interest": float(interest),
        "year": year, "waiting": float(waiting), "currency": currency, "first": definitions[0],
        "pair": other[0] / mean["value_healthy"][0] if two else None,
        "first_value": mean["value_healthy"][0], "least": ordered["definition"][0],
        "least_value": ordered["value_healthy"][0], "most": ordered["definition"][-1],
        "most_value": ordered["value_healthy"][-1], "spread": ordered["value_healthy"][-1] / ordered["value_healthy"][0],
    }  # fmt: skip
    basis = Basis(
        source="; ".join(
            source_of(t)
            for t, used in (
                ("disability_3state", any(not d.startswith("cui") for d in definitions)),
                ("clhls_disability", any(d.startswith("cui") for d in definitions)),
            )
            if used
        ),
        currency=currency,
        fingerprint=fingerprint(str(facts), repr(table.rows())),
        notes=(
            f"interest {interest:g} a year; continuous payment while disabled by the definition; to age {END}",
            "clhls_trend carries the trend of 1998-2014 on without end; clhls_now holds it at the year",
            "cui: one-year matrices made into intensities in least squares, gaps in matrix_gaps",
        ),
    )
    return DefinitionRisk(table=table, basis=basis, facts=facts, frames={"prevalence": prevalence})


def _carried_on(rates: pl.DataFrame) -> pl.DataFrame:
    """Carry rates on from the last known age to the end: their logarithm is linear in age."""
    later = pl.DataFrame({"later": np.arange(KNOWN + 1, END, dtype=np.int64)})
    last = rates.filter(pl.col("age") >= KNOWN - 1).sort("age")
    grown = (
        last.group_by("sex", "from_state", "to_state", maintain_order=True)
        .agg(rate=pl.col("rate").last(), growth=pl.col("rate").last() / pl.col("rate").first())
        .join(later, how="cross")
        .select(
            "sex", pl.col("later").alias("age"), "from_state", "to_state",
            rate=pl.col("rate") * pl.col("growth") ** (pl.col("later") - KNOWN),
        )
    )  # fmt: skip
    return pl.concat([rates.with_columns(pl.col("age").cast(pl.Int64)), grown])


def _prevalence(
    stays: pl.DataFrame, paid: Sequence[str], name: str, sex: str, age: int
) -> pl.DataFrame:
    """Share disabled of the living, up to age 100."""
    share = pl.col("state_share")
    by_time = stays.group_by("years_since_start", maintain_order=True).agg(
        ill=share.filter(pl.col("in_state").is_in(list(paid))).sum(),
        alive=share.filter(pl.col("in_state") != "dead").sum(),
    )
    return by_time.filter(pl.col("years_since_start") + age <= 100).select(
        definition=pl.lit(name),
        sex=pl.lit(sex),
        age=pl.col("years_since_start") + age,
        disabled_share=pl.col("ill") / pl.col("alive"),
    )
