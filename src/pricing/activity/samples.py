"""The canonical sample: who, from when to when in UTC, where, what, how much, by which device, how.

Nothing is dropped here: what cannot be counted carries its reason. Time without an offset is local time
of the person's zone; an hour that happens twice in autumn is read as its first.
"""

from __future__ import annotations

from typing import Any
from zoneinfo import available_timezones

import polars as pl

from pricing.activity.metrics import metric_table, unit_table
from pricing.data.sources import Source, read_table
from pricing.errors import InputError, nearest

__all__ = ["COLUMNS", "METHODS", "REASONS", "by_zone", "judged", "read_samples", "sample_frame"]

METHODS = pl.Enum(["automatic", "manual", "unknown"])
REASONS = pl.Enum([
    "no_person", "unreadable_time", "unknown_zone", "ends_before_start", "unknown_metric",
    "unknown_unit", "unreadable_value", "negative_value", "out_of_range", "too_long", "manual_entry",
    "cadence_too_high", "duplicate", "shared_device", "copied_series", "constant_cadence", "no_rest",
    "no_heart_rate_rise", "too_many_steps", "not_automatic", "too_little_wear",
])  # fmt: skip
COLUMNS: dict[str, Any] = {
    "person": pl.String,
    "start": pl.Datetime("us", "UTC"),
    "end": pl.Datetime("us", "UTC"),
    "tz": pl.String,
    "metric": pl.String,
    "value": pl.Float64,
    "unit": pl.String,
    "source": pl.String,
    "device": pl.String,
    "method": METHODS,
    "verified": pl.Boolean,
}
_OFFSET = r"(Z|[+-]\d{2}:?\d{2})$"


def read_samples(source: Source, *, tz: str | None = None) -> pl.DataFrame:
    """Read tidy samples from CSV, Parquet, a database or a frame under our names.

    Parameters
    ----------
    source : Source
        The table; ``columns`` maps our names to theirs, ``levels`` their words to ours.
    tz : str, optional
        Zone of persons whose row names none.

    Returns
    -------
    polars.DataFrame
        The columns of :data:`COLUMNS`.

    Examples
    --------
    >>> rows = pl.DataFrame({"person": ["a"], "start": ["2024-03-01 08:00"], "metric": ["steps"],
    ...                      "value": ["120"]})
    >>> read_samples(Source(frame=rows), tz="Asia/Shanghai")["start"][0].isoformat()
    '2024-03-01T00:00:00+00:00'
    """
    return sample_frame(read_table(source), tz=tz).collect()


def sample_frame(rows: pl.DataFrame | pl.LazyFrame, *, tz: str | None = None) -> pl.LazyFrame:
    """Give rows the canonical columns and types; what cannot be read is empty, to be told later.

    Parameters
    ----------
    rows : polars.DataFrame or polars.LazyFrame
        ``person``, ``start``, ``metric``, ``value`` at least. Times are text (ISO 8601, with an
        offset or in local time), dates and times with or without a zone. ``end`` is ``start`` where
        absent; ``method`` other than automatic or manual is unknown; ``device`` is the device's own
        number, not its model.
    tz : str, optional
        Zone of persons whose row names none, such as ``"Asia/Shanghai"``.

    Raises
    ------
    InputError
        Where one of the four columns lacks or ``tz`` is no zone.

    Examples
    --------
    >>> rows = pl.DataFrame({"person": ["a"], "start": ["2024-03-01T08:00:00+08:00"],
    ...                      "metric": ["steps"], "value": [120]})
    >>> sample_frame(rows, tz="UTC").collect().select("start", "end", "method").row(0)[2]
    'unknown'
    """
    lazy = rows.lazy()
    schema = lazy.collect_schema()
    missing = [name for name in ("person", "start", "metric", "value") if name not in schema]
    if missing:
        raise InputError(
            f"{len(missing)} columns are not there",
            where="samples",
            faults=[f"{name}{nearest(name, schema.names())}" for name in missing],
            do="map them with columns, ours = theirs",
        )
    _require_zone(tz)
    if dict(schema) == COLUMNS and tz is None:
        return lazy
    have = set(schema.names())
    zone = pl.col("tz").cast(pl.String) if "tz" in have else pl.lit(None, pl.String)
    lazy = lazy.with_columns(zone.replace("", None).fill_null(pl.lit(tz, pl.String)).alias("tz"))
    zones = _zones(lazy)
    start = _instant("start", schema["start"], zones)
    end = start
    if "end" in have:  # an end that is written but cannot be read is no end that lacks
        written = pl.col("end").cast(pl.String).fill_null("").ne("")
        end = pl.when(written).then(_instant("end", schema["end"], zones)).otherwise(start)
    text = {
        name: (
            pl.col(name).cast(pl.String).str.strip_chars()
            if name in have
            else pl.lit("", pl.String)
        )
        for name in ("unit", "source", "device", "method", "verified")
    }
    method = text["method"].str.to_lowercase().fill_null("")
    known = pl.when(method.is_in(["automatic", "manual"])).then(method).otherwise(pl.lit("unknown"))
    verified = text["verified"].str.to_lowercase().is_in(["true", "1", "yes", "是"])
    value = pl.col("value").cast(pl.Float64, strict=False)
    if schema["value"] == pl.String:
        value = pl.col("value").str.strip_chars().cast(pl.Float64, strict=False)
    return lazy.select(
        pl.col("person").cast(pl.String).str.strip_chars().replace("", None),
        start.alias("start"),
        end.alias("end"),
        "tz",
        pl.col("metric").cast(pl.String),
        value.alias("value"),
        text["unit"].fill_null("").alias("unit"),
        text["source"].fill_null("").alias("source"),
        text["device"].replace("", None).alias("device"),
        known.cast(METHODS).alias("method"),
        verified.fill_null(False).alias("verified"),
    )


def judged(samples: pl.LazyFrame, *, cadence: float, manual: bool = False) -> pl.LazyFrame:
    """Bring values to our units and say of each sample on its own why it cannot be counted.

    Parameters
    ----------
    samples : polars.LazyFrame
        As :func:`sample_frame` gives them.
    cadence : float
        Most steps a minute, over a minute at least.
    manual : bool
        Whether entries by hand count.

    Returns
    -------
    polars.LazyFrame
        The samples with ``value`` in our unit, ``counting`` and ``reason`` (empty if accepted).

    Examples
    --------
    >>> rows = pl.DataFrame({"person": ["a", "a"], "start": ["2024-03-01", "2024-03-01"],
    ...                      "metric": ["weight"] * 2, "value": [150.0, 900.0], "unit": ["lb", "kg"]})
    >>> judged(sample_frame(rows, tz="UTC"), cadence=200).collect().sort("value").select("value", "reason").rows()
    [(68.0388555, None), (900.0, 'out_of_range')]
    """
    value, metric, zone = pl.col("value"), pl.col("metric"), pl.col("tz")
    joined = samples.join(metric_table().lazy(), on="metric", how="left").join(
        unit_table().lazy(), on=["metric", "unit"], how="left"
    )
    raw = pl.col("raw")
    minutes = (pl.col("end") - pl.col("start")).dt.total_microseconds() / 6e7
    rules: list[tuple[pl.Expr, str]] = [
        (pl.col("person").is_null(), "no_person"),
        (zone.is_null() | ~zone.is_in(sorted(available_timezones())), "unknown_zone"),
        (pl.col("start").is_null() | pl.col("end").is_null(), "unreadable_time"),
        (pl.col("end") < pl.col("start"), "ends_before_start"),
        (pl.col("counting").is_null(), "unknown_metric"),
        (pl.col("factor").is_null(), "unknown_unit"),
        (raw.is_null() | ~raw.is_finite(), "unreadable_value"),
        (raw < 0, "negative_value"),
        ((minutes > 25 * 60) & pl.col("counting").is_in(["sum", "sleep"]), "too_long"),
        ((metric == "sleep") & (minutes > 0) & (value > minutes + 1), "out_of_range"),
        ((value < pl.col("low")) | (value > pl.col("high")), "out_of_range"),
        ((metric == "steps") & (value > cadence * pl.max_horizontal(minutes, 1.0)), "cadence_too_high"),
    ]  # fmt: skip
    if not manual:
        rules.insert(8, (pl.col("method") == "manual", "manual_entry"))
    reason = pl.coalesce(*[pl.when(wrong).then(pl.lit(name, REASONS)) for wrong, name in rules])
    return (
        joined.with_columns(raw=value)
        .with_columns(value=value * pl.col("factor") + pl.col("offset"))
        .with_columns(reason=reason, value=pl.coalesce("value", "raw"))
        .select(*COLUMNS, "counting", "reason")
    )


def by_zone(of: pl.Expr, zones: list[str], *, to_utc: bool) -> pl.Expr:
    """Turn local time to UTC or back, by the zone of each row.

    Examples
    --------
    >>> import datetime as dt
    >>> rows = pl.DataFrame({"t": [dt.datetime(2024, 3, 1, 8)], "tz": ["Asia/Shanghai"]})
    >>> rows.select(by_zone(pl.col("t"), ["Asia/Shanghai"], to_utc=True)).item().hour
    0
    """
    found = pl.lit(None, pl.Datetime("us", "UTC") if to_utc else pl.Datetime("us"))
    for zone in zones:
        here = (
            of.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null").dt.convert_time_zone("UTC")
            if to_utc
            else of.dt.convert_time_zone(zone).dt.replace_time_zone(None)
        )  # fmt: skip
        found = (
            here if len(zones) == 1 else pl.when(pl.col("tz") == zone).then(here).otherwise(found)
        )
    return found


def _zones(lazy: pl.LazyFrame) -> list[str]:
    named = lazy.select(pl.col("tz").unique()).collect(engine="streaming")["tz"].drop_nulls()
    known = available_timezones()
    return sorted(zone for zone in named if zone in known)


def _require_zone(tz: str | None) -> None:
    if tz is not None and tz not in available_timezones():
        raise InputError(
            f"{tz!r} is no time zone{nearest(str(tz), available_timezones())}",
            where="tz",
            do='name it as the IANA data base does, such as "Asia/Shanghai"',
        )


def _instant(name: str, dtype: pl.DataType, zones: list[str]) -> pl.Expr:
    column = pl.col(name)
    if isinstance(dtype, pl.Datetime) and dtype.time_zone:
        return column.dt.cast_time_unit("us").dt.convert_time_zone("UTC")
    if isinstance(dtype, (pl.Datetime, pl.Date)):
        return _in_zone(column.cast(pl.Datetime("us")), zones)
    if dtype != pl.String:
        return pl.lit(None, pl.Datetime("us", "UTC"))
    said = column.str.strip_chars().str.replace_all("/", "-")
    timed = said.str.contains(r"\d:\d\d")  # a date alone has no offset, though it ends in -03-01
    offset = pl.when(timed).then(said.str.extract(_OFFSET))
    body = pl.when(offset.is_not_null()).then(said.str.replace(_OFFSET, "")).otherwise(said)
    body = body.str.strip_chars().str.replace(" ", "T", literal=True)
    size = body.str.len_chars()
    full = pl.when(size == 10).then(body + "T00:00:00").when(size == 16).then(body + ":00")
    body = full.otherwise(body)
    local = body.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", strict=False, time_unit="us")
    digits = offset.str.replace("Z", "+0000", literal=True).str.replace(":", "", literal=True)
    minutes = digits.str.slice(1, 2).cast(pl.Int64) * 60 + digits.str.slice(3, 2).cast(pl.Int64)
    ahead = pl.when(digits.str.starts_with("-")).then(-minutes).otherwise(minutes)
    exact = (local - pl.duration(minutes=ahead)).dt.replace_time_zone("UTC")
    return pl.when(offset.is_not_null()).then(exact).otherwise(_in_zone(local, zones))


def _in_zone(local: pl.Expr, zones: list[str]) -> pl.Expr:
    if not zones:
        return pl.lit(None, pl.Datetime("us", "UTC"))
    # where clocks go forward at midnight, the day begins an hour later
    later = by_zone(
        pl.when(local == local.dt.truncate("1d")).then(local.dt.offset_by("1h")), zones, to_utc=True
    )
    found = pl.coalesce(by_zone(local, zones, to_utc=True), later)
    return pl.when(pl.col("tz").is_in(zones)).then(found)
