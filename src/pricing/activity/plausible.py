"""What no walking person does: the rules that set days and sources aside, each with its own reason.

From the filters of health programmes: shakers and shared devices give even, endless or identical series
and steps without a pulse. Every threshold is a parameter; what a rule takes out is counted, never lost.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import polars as pl

from pricing.activity.samples import REASONS
from pricing.errors import InputError

__all__ = ["Rules", "implausible_days", "late_surge", "shared_between"]

_HOUR = 3_600_000_000  # microseconds


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Thresholds of what counts, all to be filed with the programme.

    Attributes
    ----------
    manual : bool
        Whether entries by hand count; they do not.
    automatic_only : bool
        Whether a valid day needs an automatic source.
    cadence : float
        Most steps a minute.
    daily_steps : float
        Most steps a day.
    persons_per_device : int
        Most persons whose steps one device number gives on a day.
    series_samples, series_steps : int, float
        A day's series this long and this high that another person has too, to the microsecond, is copied.
    constant_samples, constant_variation : int, float
        So many samples with a coefficient of variation of steps a minute below it are a machine's.
    rest : bool
        Whether steps in every hour of a day set it aside.
    rise_steps, rise_beats : float
        In hours of so many steps the heart beats faster than in quiet hours by so much a minute.
    wear_hours, least_steps : float
        A day is valid with so many hours worn, or so many steps.
    slot_minutes : int
        A heart-rate sample shows the device worn for the slot it is in, where wear is not reported.
    unknown_evidence : float
        Evidence weight of a sample whose method is not known (automatic 1, by hand 0).

    Examples
    --------
    >>> Rules(cadence=220).cadence
    220
    """

    manual: bool = False
    automatic_only: bool = True
    cadence: float = 200
    daily_steps: float = 100_000
    persons_per_device: int = 1
    series_samples: int = 10
    series_steps: float = 1_000
    constant_samples: int = 30
    constant_variation: float = 0.01
    rest: bool = True
    rise_steps: float = 3_000
    rise_beats: float = 5
    wear_hours: float = 10
    least_steps: float = 1_000
    slot_minutes: int = 15
    unknown_evidence: float = 0.3

    def __post_init__(self) -> None:
        wrong = []
        for one in fields(self):
            value = getattr(self, one.name)
            if one.type == "bool":
                if not isinstance(value, bool):
                    wrong.append(f"{one.name} = {value!r} is neither true nor false")
            elif isinstance(value, bool) or not isinstance(value, (int, float)):
                wrong.append(f"{one.name} = {value!r} is no number")
            elif not 0 <= value < float("inf"):
                wrong.append(f"{one.name} = {value!r} is below zero or not finite")
        if not wrong and self.unknown_evidence > 1:
            wrong.append(f"unknown_evidence = {self.unknown_evidence!r} is above 1")
        if not wrong and not 1 <= self.slot_minutes <= 60:
            wrong.append(f"slot_minutes = {self.slot_minutes!r} is not 1 to 60")
        if wrong:
            raise InputError(f"{len(wrong)} rules are wrong", where="rules", faults=wrong)


def shared_between(samples: pl.LazyFrame, rules: Rules) -> pl.DataFrame:
    """Find days on which persons share a device, or the very same series of steps.

    Parameters
    ----------
    samples : polars.LazyFrame
        Accepted steps of all persons: ``person``, ``day``, ``source``, ``device``, ``start``,
        ``end``, ``value``.
    rules : Rules
        Thresholds.

    Returns
    -------
    polars.DataFrame
        ``person``, ``day``, ``source``, ``reason``; each of those who share is named.

    Examples
    --------
    >>> import datetime as dt
    >>> times = [dt.datetime(2024, 3, 1, 8, i) for i in range(12)]
    >>> one = pl.DataFrame({"start": times, "end": times, "value": [100.0 + i for i in range(12)]})
    >>> rows = pl.concat([one.with_columns(person=pl.lit(p)) for p in (1, 2)]).with_columns(
    ...     day=dt.date(2024, 3, 1), source=pl.lit("w"), device=pl.lit(None, pl.String))
    >>> shared_between(rows.lazy(), Rules())["reason"].to_list()
    ['copied_series', 'copied_series']
    """
    where = ["person", "day", "source"]
    # one 64-bit print of each sample; its halves are added over the day, in any order
    print_of = sum(
        (
            pl.col(name).hash(seed=seed) // 2**seed
            for seed, name in enumerate(("start", "end", "value"), 1)
        ),
        start=pl.lit(0, pl.UInt64),
    )
    series = (
        samples.with_columns(_print=print_of)
        .with_columns(print=pl.col("_print") // 2**32, mark=pl.col("_print") % 2**32)
        .group_by(where)
        .agg(
            pl.len().alias("n"),
            pl.col("value").sum().alias("steps"),
            pl.col("print", "mark").sum(),
        )
        .filter((pl.col("n") >= rules.series_samples) & (pl.col("steps") >= rules.series_steps))
    )
    devices = (
        samples.filter(pl.col("device").is_not_null())
        .group_by(*where, "device")
        .agg(pl.col("value").sum().alias("steps"))
        .filter(pl.col("steps") > 0)
    )
    # one after the other: together they would keep their common rows in memory
    found, used = series.collect(engine="streaming"), devices.collect(engine="streaming")
    same = ["day", "n", "print", "mark"]
    copied = found.filter(pl.col("person").n_unique().over(same) > 1)
    shared = used.filter(
        pl.col("person").n_unique().over("day", "device") > rules.persons_per_device
    )
    parts = [
        frame.select(*where, reason=pl.lit(name, REASONS))
        for frame, name in ((shared, "shared_device"), (copied, "copied_series"))
    ]
    return pl.concat(parts).unique(where, keep="first", maintain_order=True).sort(where)


def implausible_days(pieces: pl.DataFrame, rules: Rules) -> pl.DataFrame:
    """Find days, or sources on a day, whose steps no person walks.

    Parameters
    ----------
    pieces : polars.DataFrame
        ``person``, ``day``, ``hours`` (the day's length), ``metric``, ``source``, ``start``, ``end``
        (µs), ``value``.
    rules : Rules
        Thresholds.

    Returns
    -------
    polars.DataFrame
        ``person``, ``day``, ``source`` (each source of the day where the day is meant), ``reason``.

    Examples
    --------
    >>> hour = 3_600_000_000
    >>> rows = pl.DataFrame({"person": 1, "day": 0, "hours": 24.0, "metric": "steps", "source": "w",
    ...     "start": [i * hour for i in range(24)], "end": [(i + 1) * hour for i in range(24)],
    ...     "value": [500.0 + i * i for i in range(24)]})
    >>> implausible_days(rows, Rules())["reason"].to_list()
    ['no_rest']
    """
    where = ["person", "day", "source"]
    length = pl.col("end") - pl.col("start")
    steps = pieces.filter((pl.col("metric") == "steps") & (length <= _HOUR) & (pl.col("value") > 0))
    steps = steps.with_columns(
        hour=pl.col("start") // _HOUR,
        pace=pl.when(length > 0).then(pl.col("value") / length),
    )
    paces = (
        steps.filter(pl.col("pace").is_not_null())
        .group_by(where)
        .agg(n=pl.len(), mean=pl.col("pace").mean(), spread=pl.col("pace").std())
        .filter(
            (pl.col("n") >= rules.constant_samples)
            & (pl.col("spread") < rules.constant_variation * pl.col("mean"))
        )
        .select(*where, reason=pl.lit("constant_cadence", REASONS))
    )
    by_day = pieces.filter(pl.col("metric") == "steps").select(where).unique()
    told = [paces]
    if rules.rest:
        restless = (
            steps.group_by("person", "day")
            .agg(n=pl.col("hour").n_unique(), hours=pl.col("hours").first())
            .filter(pl.col("n") >= pl.col("hours"))
        )
        told.append(_each(by_day, restless, "no_rest"))
    told.append(_each(by_day, _no_rise(pieces, steps, rules), "no_heart_rate_rise"))
    return pl.concat(told).unique(where, keep="first", maintain_order=True)


def late_surge(days: pl.DataFrame, *, last: int = 60, growth: float = 1.0) -> pl.DataFrame:
    """Flag who walks suddenly more at the end of the window; nothing is set aside for it.

    Parameters
    ----------
    days : polars.DataFrame
        ``person``, ``day``, ``steps``, ``valid``.
    last : int
        Days at the end of each person's window; the window ends on the last day of the frame.
    growth : float
        Flagged above this growth of the mean of valid days, 1.0 for +100 %.

    Returns
    -------
    polars.DataFrame
        ``person``, ``steps_before``, ``steps_late``, ``surge``; persons with 7 valid days or more in
        both parts.

    Examples
    --------
    >>> import datetime as dt
    >>> rows = pl.DataFrame({"person": "a", "valid": True, "steps": [3000.0] * 40 + [9000.0] * 60,
    ...     "day": [dt.date(2024, 1, 1) + dt.timedelta(i) for i in range(100)]})
    >>> late_surge(rows)["surge"].to_list()
    [True]
    """
    if isinstance(last, bool) or not isinstance(last, int) or last < 1 or not growth > 0:
        raise InputError(
            f"last is a number of days and growth above zero, got {last!r}, {growth!r}"
        )
    valid = days.filter("valid")
    late = pl.col("day") > pl.lit(days["day"].max(), pl.Date).dt.offset_by(f"-{last}d")
    before, after = pl.col("steps").filter(~late), pl.col("steps").filter(late)
    return (
        valid.group_by("person")
        .agg(
            steps_before=before.mean(),
            steps_late=after.mean(),
            enough=(before.count() >= 7) & (after.count() >= 7),
        )
        .filter("enough")
        .select(
            "person",
            "steps_before",
            "steps_late",
            surge=pl.col("steps_late") > (1 + growth) * pl.col("steps_before"),
        )
        .sort("person")
    )


def _each(by_day: pl.DataFrame, days: pl.DataFrame, reason: str) -> pl.DataFrame:
    found = by_day.join(days.select("person", "day"), on=["person", "day"], how="semi")
    return found.with_columns(reason=pl.lit(reason, REASONS))


def _no_rise(pieces: pl.DataFrame, steps: pl.DataFrame, rules: Rules) -> pl.DataFrame:
    beats = pieces.filter(pl.col("metric") == "heart_rate")
    if beats.is_empty():
        return beats.select("person", "day")
    at = ["person", "day", "hour"]
    hours = (
        beats.with_columns(hour=pl.col("start") // _HOUR)
        .group_by(at)
        .agg(pl.col("value").mean().alias("beats"))
        .join(
            steps.group_by(*at, "source").agg(pl.col("value").sum())
            .group_by(at).agg(pl.col("value").max().alias("steps")),
            on=at, how="left",
        )
        .with_columns(pl.col("steps").fill_null(0.0))
    )  # fmt: skip
    busy, quiet = pl.col("steps") >= rules.rise_steps, pl.col("steps") < 200
    return (
        hours.group_by("person", "day")
        .agg(rise=pl.col("beats").filter(busy).mean() - pl.col("beats").filter(quiet).mean())
        .filter(pl.col("rise") < rules.rise_beats)  # empty where one of the two lacks
        .select("person", "day")
    )
