"""Published health programmes rebuilt from their files, and the worked example of the default one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

import numpy as np
import polars as pl

from pricing.programme.movement import levels, stationary_shares, transition_matrix
from pricing.programme.programme_file import read_programme
from pricing.programme.value import HealthValues, health_values

__all__ = ["golden_member", "hong_kong_stars", "new_zealand_walk", "worked_example"]

Found = tuple[str, Mapping[str, str], Mapping[str, float]]
_RENEWAL = date(2025, 3, 1)  # its window of 365 days, 60 days before, begins on a Monday


def golden_member() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Make the days and events of the worked example: 300 valid days in 50 weeks.

    Examples
    --------
    >>> days, events = golden_member()
    >>> days.height, events.height
    (300, 27)
    """
    start = _RENEWAL - timedelta(days=60 + 365)
    place = [*range(280), *(280 + 7 * week + day for week in range(10) for day in range(2))]
    week = [p // 7 for p in place]
    days = pl.DataFrame(
        {
            "person": [1] * 300,
            "day": [start + timedelta(days=p) for p in place],
            "steps": [7200] * 180 + [5500] * 100 + [10500] * 20,
            "active_minutes": [22.0 if w < 20 else 12.0 if w < 36 else 3.0 for w in week],
            "sleep_hours": [7.0 if w < 30 else 5.5 for w in week],
        }
    )
    months = [start + timedelta(days=30 * m + 10) for m in range(12)]
    once = start + timedelta(days=100)
    found = [
        *((day, "monitoring", None) for day in months),
        *((day, "learning", None) for day in months[:8]),
        (once, "check_up", None), (once, "screening", None), (once, "bmi", 25.1),
        (once, "systolic", 132.0), (once, "diastolic", 86.0), (once, "hba1c", 5.6),
        (once, "tobacco_free", None),
    ]  # fmt: skip
    events = pl.DataFrame(
        found, schema={"day": pl.Date, "measure": pl.String, "value": pl.Float64}, orient="row"
    )
    return days, events.with_columns(person=pl.lit(1, pl.Int64), evidence=pl.lit("provider"))


def worked_example() -> Found:
    """Value, group and premium of the default programme's worked example, by the group held.

    Examples
    --------
    >>> round(worked_example()[2]["health value"], 5)
    613.09133
    """
    printed = {
        "observed value": "649.70960", "health value": "613.09133",
        "steps": "1956", "exercise": "560", "premium from G0": "1710", "premium from G1": "1620",
        "premium from G2": "1620", "premium from G4": "1530",
    }  # fmt: skip
    days, events = golden_member()
    found = {name: _example(name, days, events) for name in ("G0", "G1", "G2", "G4")}
    row = found["G0"].member(1)
    ours = {
        "observed value": row["observed_value"], "health value": row["health_value"],
        "steps": row["points"]["steps"], "exercise": row["points"]["exercise"],
        **{f"premium from {name}": seen.member(1)["premium"] for name, seen in found.items()},
    }  # fmt: skip
    return "health_value.md F7 (2025), worked example", printed, ours


def hong_kong_stars() -> Found:
    """Next year's reimbursement by star and the present one: 16 cells; shares in the long run.

    Examples
    --------
    >>> hong_kong_stars()[2]["star 4, now 55%"]
    60.0
    """
    programme = read_programme("aia_hong_kong")
    printed: dict[str, str] = {}
    ours: dict[str, float] = {}
    markers = {1: [9.5, 2.0], 2: [9.0, 4.0], 3: [6.9, 4.0], 4: [6.9, 4.0]}  # HbA1c, cholesterol
    others = {1: (120.0, 80.0, 22.0), 2: (160.0, 90.0, 17.0), 3: (120.0, 80.0, 17.0), 4: (120.0, 80.0, 22.0)}  # fmt: skip
    cells = {1: "55 55 60 65", 2: "60 60 60 65", 3: "60 65 65 65", 4: "60 65 70 70"}
    end = date(2025, 1, 1)
    for star, now in ((s, n) for s in range(1, 5) for n in range(4)):
        values = [*markers[star], *others[star]]
        names = ["hba1c", "cholesterol", "systolic", "diastolic", "bmi"]
        events = pl.DataFrame({"measure": names, "value": values}).with_columns(
            person=pl.lit(1, pl.Int64), day=pl.lit(end - timedelta(days=30)), evidence=pl.lit("lab")
        )
        held = programme.groups[now]
        member = pl.DataFrame({"person": [1], "renewal": [end], "group_held": [held]})
        name = f"star {star}, now {55 + 5 * now}%"
        printed[name] = cells[star].split()[now]
        ours[name] = (
            100 * health_values(programme, member, events=events).member(1)["reimbursement"]
        )
    rates = levels(programme)["rate"].to_numpy() * 100
    for said, p, shares in (
        ("a quarter each", [0.25] * 4, ("0.125", "0.375", "0.375", "0.125", "62.5")),
        (".1 .3 .4 .2", [0.1, 0.3, 0.4, 0.2], ("0.0372", "0.3349", "0.5023", "0.1256", "63.5814")),
    ):
        pi = stationary_shares(transition_matrix(programme, p))
        names = [*(f"share at {rate:.0f}%, {said}" for rate in rates), f"mean, {said}"]
        printed |= dict(zip(names, shares, strict=True))
        ours |= dict(zip(names, [*pi, pi @ rates], strict=True))
    return (
        "zh.aiavitality.com.hk star scheme, read 2025; shares health_value.md A3 (2025)",
        printed,
        ours,
    )


def new_zealand_walk() -> Found:
    """Expected discount after t years from 10%, and in the long run, by shares of status.

    Examples
    --------
    >>> round(new_zealand_walk()[2]["a quarter each, t=5"], 2)
    8.75
    """
    programme = read_programme("aia_new_zealand")
    table = levels(programme)
    rates = table["rate"].to_numpy() * 100
    start = np.isclose(rates, 100 * float(programme.movement.start or 0)).astype(np.float64)
    printed: dict[str, str] = {}
    ours: dict[str, float] = {}
    for said, p, years in (
        ("a quarter each", (0.25, 0.25, 0.25, 0.25),
         {1: "9.75", 2: "9.50", 5: "8.75", 10: "7.5864", 20: "6.0143", 0: "3.5091"}),
        (".4 .2 .2 .2", (0.4, 0.2, 0.2, 0.2), {5: "7.0", 10: "4.5363", 0: "1.2841"}),
        (".1 .2 .3 .4", (0.1, 0.2, 0.3, 0.4), {5: "12.0", 10: "13.791", 0: "18.1694"}),
    ):  # fmt: skip
        matrix = transition_matrix(programme, p)
        pi = stationary_shares(matrix)
        for t, text in years.items():
            name = f"{said}, t={t}" if t else f"{said}, long run"
            printed[name] = text
            shares = start @ np.linalg.matrix_power(matrix, t) if t else pi
            ours[name] = float(shares @ rates)
        if said == "a quarter each":
            printed["share without discount"], ours["share without discount"] = ".3106", pi[0]
    return "aia.co.nz premium flex, read 2025; figures health_value.md F5 (2025)", printed, ours


def _example(held: str, days: pl.DataFrame, events: pl.DataFrame) -> HealthValues:
    member = pl.DataFrame(
        {
            "person": [1], "renewal": [_RENEWAL], "age": [45], "consent": [True],
            "group_held": [held], "standard_premium": [1800.0],
        }
    )  # fmt: skip
    return health_values(read_programme("huoli"), member, days, events)
