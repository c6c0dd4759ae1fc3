"""Simulated members of a health programme: habits that last, days of activity, markers, events."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

__all__ = ["simulate_programme"]

RENEWAL, WINDOW_START, DAYS = date(2026, 1, 1), date(2024, 11, 2), 365
Floats = npt.NDArray[np.float64]
Names = npt.NDArray[np.str_]
GROUPS = ("G0", "G1", "G2", "G3", "G4")
TRUTH = {
    "steps_median": 5_200.0,  # of the mean member on a worn day
    "habit_sd": 0.45,  # of ln steps between members; it lasts
    "day_sd": 0.40,  # of ln steps between days of one member
    "worn": 0.80,  # mean share of days worn
    "consent": 0.94,
    "ln_minutes_per_ln_steps": 1.1,
}


def simulate_programme(folder: Path, *, members: int, seed: int) -> None:
    """Write members, days and events of one measuring window, with what made them in ``truth.json``.

    A member's habit is one normal draw: it moves steps, minutes, sleep, whether the device is worn,
    whether check-ups are kept, and the markers. The truth per member lies in ``truth/``.

    Parameters
    ----------
    folder : Path
        Receives ``programme_members/``, ``activity_days/``, ``programme_events/`` and ``truth/``.
    members : int
        How many, 1 or more.
    seed : int
        The same seed gives the same rows.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> simulate_programme(folder, members=5, seed=1)
    >>> pl.read_parquet(folder / "programme_members/*.parquet").height
    5
    """
    draw = np.random.default_rng([seed, 41])
    person = np.array([f"P{i:07d}" for i in range(members)])
    habit = draw.normal(0.0, 1.0, members)
    born = np.datetime64("1990-01-01") - draw.integers(-8 * 365, 30 * 365, members)
    age = (np.datetime64(RENEWAL) - born).astype(int) / 365.25
    consent = draw.random(members) < TRUTH["consent"]
    held = np.clip(np.round(1.2 + 1.1 * habit + draw.normal(0, 0.7, members)), 0, 4).astype(int)
    premium = np.round(600 * np.exp(0.035 * (age - 30)) * draw.uniform(0.9, 1.1, members), 2)
    write(
        folder,
        "programme_members",
        pl.DataFrame(
            {
                "person": person,
                "renewal": pl.Series([RENEWAL] * members, dtype=pl.Date),
                "birth_date": born,
                "consent": consent,
                "group_held": np.array(GROUPS)[held],
                "standard_premium": premium,
            }
        ).with_columns(pl.col("birth_date").cast(pl.Date)),
    )
    write(folder, "activity_days", _days(draw, person[consent], habit[consent]))
    write(folder, "programme_events", _events(draw, person[consent], habit[consent], age[consent]))
    write(folder, "truth", pl.DataFrame({"person": person, "habit": habit}))
    (folder / "truth.json").write_text(
        json.dumps({"members": members, "seed": seed, "parameters": TRUTH}, indent=1),
        encoding="utf-8",
    )


def write(folder: Path, table: str, rows: pl.DataFrame) -> None:
    """Write a table's one part.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> write(folder, "t", pl.DataFrame({"a": [1]}))
    >>> [f.name for f in (folder / "t").iterdir()]
    ['part-0000.parquet']
    """
    (folder / table).mkdir(parents=True, exist_ok=True)
    rows.write_parquet(folder / table / "part-0000.parquet")


def _days(draw: np.random.Generator, person: Names, habit: Floats) -> pl.DataFrame:
    n = person.size
    worn = 1 / (1 + np.exp(-(np.log(TRUTH["worn"] / (1 - TRUTH["worn"])) + 0.8 * habit)))
    there = draw.random((n, DAYS)) < worn[:, None]
    level = np.log(TRUTH["steps_median"]) + TRUTH["habit_sd"] * habit
    steps = np.exp(level[:, None] + draw.normal(0, TRUTH["day_sd"], (n, DAYS)))
    minutes = 14 * np.exp(TRUTH["ln_minutes_per_ln_steps"] * (np.log(steps) - np.log(5_200)))
    sleep = 6.9 + 0.25 * habit[:, None] + draw.normal(0, 0.8, (n, DAYS))
    who, when = np.nonzero(there)
    start = np.datetime64(WINDOW_START, "D")
    return pl.DataFrame(
        {
            "person": person[who],
            "day": start + when,
            "steps": np.minimum(np.round(steps[there]), 60_000).astype(np.int64),
            "active_minutes": np.round(np.minimum(minutes[there], 300.0), 1),
            "sleep_hours": np.round(np.clip(sleep[there], 2.0, 12.0), 1),
        }
    ).with_columns(pl.col("day").cast(pl.Date), evidence=pl.lit("device"))


def _events(
    draw: np.random.Generator,
    person: Names,
    habit: Floats,
    age: Floats,
) -> pl.DataFrame:
    n = person.size
    keeps = draw.random(n) < 1 / (1 + np.exp(-(0.4 + 0.9 * habit)))
    noise = draw.normal(0.0, 1.0, (6, n))
    labs = {
        "bmi": 24.2 - 0.9 * habit + 2.6 * noise[0],
        "systolic": 122 + 0.35 * (age - 40) - 4 * habit + 11 * noise[1],
        "diastolic": 79 - 2 * habit + 8 * noise[2],
        "hba1c": 5.6 + 0.01 * (age - 40) - 0.15 * habit + 0.4 * noise[3],
        "ldl": 3.1 - 0.15 * habit + 0.7 * noise[4],
        "cholesterol": 4.9 - 0.15 * habit + 0.9 * noise[5],
    }
    on = WINDOW_START + timedelta(days=200)
    parts = [
        pl.DataFrame({"person": person[keeps], "measure": name, "value": np.round(of[keeps], 2)})
        for name, of in labs.items()
    ]
    parts.append(pl.DataFrame({"person": person[keeps], "measure": "check_up", "value": None}))
    smokes_not = draw.random(n) < 0.72
    both = person[keeps & smokes_not]
    parts.append(pl.DataFrame({"person": both, "measure": "tobacco_free", "value": None}))
    found = pl.concat(
        [p.cast({"value": pl.Float64}).with_columns(day=pl.lit(on), item=pl.lit(None, pl.String)) for p in parts]
    )  # fmt: skip
    lessons = draw.poisson(np.exp(1.2 + 0.4 * habit))
    who = np.repeat(person, lessons)
    day = np.datetime64(WINDOW_START, "D") + draw.integers(0, DAYS, who.size)
    learnt = pl.DataFrame({"person": who, "day": day}).select(
        "person",
        measure=pl.lit("learning"),
        value=pl.lit(None, pl.Float64),
        day=pl.col("day").cast(pl.Date),
        item=pl.lit(None, pl.String),
    )
    rows = pl.concat([found, learnt]).with_columns(
        evidence=pl.when(pl.col("measure") == "learning").then(pl.lit("provider")).otherwise(pl.lit("lab"))
    )  # fmt: skip
    number = pl.int_range(pl.len()).cast(pl.String).str.zfill(8)
    return rows.with_columns(event_id=pl.lit("E") + number)
