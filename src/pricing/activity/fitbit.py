"""Fitbit's merged CSV files: daily activity and daily sleep, as samples of whole local days.

Sedentary minutes are no wear time: Fitbit counts the hours a tracker lies in a drawer as sedentary.
"""

from __future__ import annotations

import polars as pl

from pricing.activity.samples import sample_frame
from pricing.data.sources import Source, read_table
from pricing.errors import InputError, nearest

__all__ = ["fitbit_activity", "fitbit_sleep"]

_PERSON = ("Id", "Customer Id", "CustomerId", "UserId")
_ACTIVITY = {
    "TotalSteps": "steps",
    "VeryActiveMinutes": "vigorous_minutes",
    "FairlyActiveMinutes": "moderate_minutes",
}
_FORMS = ("%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S")  # fmt: skip


def fitbit_activity(source: Source, *, tz: str) -> pl.DataFrame:
    """Read ``dailyActivity_merged``: steps, fairly and very active minutes of each day.

    Parameters
    ----------
    source : Source
        ``Id`` (or ``Customer Id``), ``ActivityDate`` (month/day/year), ``TotalSteps``,
        ``VeryActiveMinutes``, ``FairlyActiveMinutes``.
    tz : str
        Zone the persons live in; Fitbit writes local days.

    Returns
    -------
    polars.DataFrame
        Canonical samples, automatic, source ``fitbit``.

    Raises
    ------
    InputError
        Where columns lack.

    Examples
    --------
    >>> rows = pl.DataFrame({"Id": [1503960366], "ActivityDate": ["4/12/2016"], "TotalSteps": [13162],
    ...                      "VeryActiveMinutes": [25], "FairlyActiveMinutes": [13]})
    >>> fitbit_activity(Source(frame=rows), tz="America/Chicago").select("metric", "value").rows()
    [('steps', 13162.0), ('vigorous_minutes', 25.0), ('moderate_minutes', 13.0)]
    """
    rows = _days(read_table(source), "ActivityDate", [*_ACTIVITY])
    parts = [rows.select("person", "day", metric=pl.lit(m), value=c) for c, m in _ACTIVITY.items()]
    return _samples(pl.concat(parts), tz)


def fitbit_sleep(source: Source, *, tz: str) -> pl.DataFrame:
    """Read ``sleepDay_merged``: minutes asleep on the day sleep ended.

    Parameters
    ----------
    source : Source
        ``Id`` (or ``Customer Id``), ``SleepDay``, ``TotalMinutesAsleep``.
    tz : str
        Zone the persons live in.

    Returns
    -------
    polars.DataFrame
        Canonical samples; a day delivered twice is told as a duplicate when days are counted.

    Examples
    --------
    >>> rows = pl.DataFrame({"Id": ["1"], "SleepDay": ["4/12/2016 12:00:00 AM"], "TotalMinutesAsleep": [327]})
    >>> fitbit_sleep(Source(frame=rows), tz="America/Chicago").select("metric", "value").rows()
    [('sleep', 327.0)]
    """
    rows = _days(read_table(source), "SleepDay", ["TotalMinutesAsleep"])
    found = rows.select("person", "day", metric=pl.lit("sleep"), value="TotalMinutesAsleep")
    return _samples(found, tz)


def _days(rows: pl.DataFrame, day: str, columns: list[str]) -> pl.DataFrame:
    person = next((name for name in _PERSON if name in rows.columns), None)
    missing = [name for name in (day, *columns) if name not in rows.columns]
    missing += [] if person else ["Id"]
    if missing:
        raise InputError(
            f"{len(missing)} columns are not there",
            where="Fitbit export",
            faults=[f"{name}{nearest(name, rows.columns)}" for name in missing],
            do="deliver dailyActivity_merged and sleepDay_merged as exported, or map with columns",
        )
    said = pl.col(day).cast(pl.String).str.strip_chars()
    read = [said.str.to_datetime(form, strict=False).dt.date() for form in _FORMS]
    read += [said.str.to_date(form, strict=False) for form in ("%m/%d/%Y", "%Y-%m-%d")]
    return rows.select(
        pl.col(str(person)).cast(pl.String).alias("person"),
        pl.coalesce(*read).alias("day"),
        *[pl.col(name).cast(pl.Float64, strict=False) for name in columns],
    )


def _samples(rows: pl.DataFrame, tz: str) -> pl.DataFrame:
    return sample_frame(
        rows.select(
            "person",
            pl.col("day").alias("start"),
            pl.col("day").dt.offset_by("1d").alias("end"),
            "metric",
            "value",
            unit=pl.lit(""),
            source=pl.lit("fitbit"),
            method=pl.lit("automatic"),
        ),
        tz=tz,
    ).collect()
