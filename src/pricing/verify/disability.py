"""Published figures of care in China: years by grade of severity, mortality of the disabled."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from pricing.data.tables import source_of
from pricing.data.transitions import disability_matrices, disability_rates
from pricing.multistate.graph import state_graph
from pricing.multistate.occupancy import aalen_johansen

__all__ = ["chinese_grades", "chinese_mortality_ratios"]

Found = tuple[str, Mapping[str, str], Mapping[str, float]]
RECOMPUTED = "recomputed independently, 2026"
LAST = 41  # from 65 to 105, the last age of the Chinese tables
GRADES = ("1", "2", "3")


def chinese_grades() -> Found:
    """Years by grade of severity from 65 on, well at the start, by the one-year matrices of Cui et al. (2022).

    Yearly sums of Aalen and Johansen's occupancy up to age 105, from spells of a year whose numbers of lives
    are the chances as printed; a row that misses 1 by its rounding is brought to 1 by the lives at risk.
    The worth for women, 2.623 where it was computed, is 2.6233 up to age 104 and 2.6236 up to 105, and the
    years 3.795 the other way round: the end of that sum is not known, so the worth is left out.

    Examples
    --------
    >>> round(chinese_grades()[2]["men, years in 1"], 2)
    7.93
    """
    printed = {
        "men, years in 1": "7.93", "men, years in 2": "4.97", "men, years in 3": "1.80",
        "women, years in 1": "6.47", "women, years in 2": "6.44", "women, years in 3": "3.80",
        "men, worth of 1 a year in 3": "1.260",
    }  # fmt: skip
    graph = state_graph({a: [b for b in (*GRADES, "4") if b != a] for a in GRADES}, [*GRADES, "4"])
    ours: dict[str, float] = {}
    for name, sex in (("men", "male"), ("women", "female")):
        found = aalen_johansen(_spells(sex), graph, start="1", times=range(LAST)).table
        for grade in GRADES:
            years = found.filter(in_state=grade)["probability"].sum()
            ours[f"{name}, years in {grade}"] = float(years)
        worst = found.filter(in_state="3")
        worth = (worst["probability"] * 1.025 ** (-worst["years"])).sum()
        ours[f"{name}, worth of 1 a year in 3"] = float(worth)
    return f"{source_of('clhls_disability')}; {RECOMPUTED}", printed, ours


def chinese_mortality_ratios() -> Found:
    """How many times as high the mortality of the disabled is, China, static model.

    Examples
    --------
    >>> round(chinese_mortality_ratios()[2]["men at 65"], 1)
    4.3
    """
    printed = {"men at 65": "4.3", "women at 65": "4.7", "men at 85": "2.2", "women at 85": "2.4"}
    dead = disability_rates("clhls", [65, 85]).filter(pl.col("to_state") == "dead")
    wide = dead.pivot(on="from_state", index=["sex", "age"], values="rate")
    names = {"male": "men", "female": "women"}
    ours = {
        f"{names[str(sex)]} at {age}": disabled / healthy
        for sex, age, healthy, disabled in wide.select("sex", "age", "healthy", "disabled").rows()
    }
    return f"{source_of('disability_3state')}; {RECOMPUTED}", printed, ours


def _spells(sex: str) -> pl.DataFrame:
    """Spells of a year from every state, as many lives as the matrix of the age has chances."""
    printed = disability_matrices().filter(pl.col("sex") == sex)
    bands = pl.DataFrame({
        "entry": [float(t) for t in range(LAST)],
        "age_band": [f"{65 + t // 5 * 5}-{70 + t // 5 * 5}" if t < 30 else "95+" for t in range(LAST)],
    })  # fmt: skip
    rows = printed.with_columns(pl.col("age_band", "from_state", "to_state").cast(pl.String)).join(
        bands, on="age_band"
    )
    return rows.select(
        "from_state",
        "entry",
        to_state=pl.when(pl.col("to_state") != pl.col("from_state")).then("to_state"),
        exit=pl.col("entry") + 1.0,
        weight=pl.col("probability"),
    ).filter(pl.col("weight") > 0)
