"""From samples to days: local midnight, one source at a time, what is set aside counted with its reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import available_timezones

import polars as pl

from pricing.activity.activity_check import ActivityCheck, activity_check
from pricing.activity.metrics import METRICS
from pricing.activity.overlap import merged, source_levels
from pricing.activity.plausible import Rules, implausible_days, shared_between
from pricing.activity.pseudonym import Key, pseudonyms
from pricing.activity.samples import REASONS, by_zone, judged, sample_frame
from pricing.errors import InputError

__all__ = ["DAYS", "MARKERS", "Activity", "count_days"]

DAYS: dict[str, Any] = {
    "person": pl.String,
    "day": pl.Date,
    "steps": pl.Float64,
    "active_minutes": pl.Float64,
    "vigorous_minutes": pl.Float64,
    "sleep_hours": pl.Float64,
    "resting_heart_rate": pl.Float64,
    "wear_hours": pl.Float64,
    "evidence": pl.Float64,
    "valid": pl.Boolean,
    "reason": REASONS,
}
MARKERS: dict[str, Any] = {
    "person": pl.String,
    "day": pl.Date,
    "metric": pl.String,
    "value": pl.Float64,
    "unit": pl.String,
    "verified": pl.Boolean,
    "evidence": pl.Float64,
}
_ROWS_AT_ONCE = 1_000_000
_SUMS = ("steps", "active_minutes", "moderate_minutes", "vigorous_minutes", "wear")


@dataclass(frozen=True)
class Activity:
    """What pricing may see of what devices measured.

    Attributes
    ----------
    days : polars.DataFrame
        One row per person and local day: ``person`` (pseudonym), ``day``, ``steps``,
        ``active_minutes``, ``vigorous_minutes``, ``sleep_hours``, ``resting_heart_rate`` (beats a
        minute), ``wear_hours``, ``evidence`` (0 to 1), ``valid``, ``reason`` (why not valid).
    markers : polars.DataFrame
        Measurements with a date: ``person``, ``day``, ``metric``, ``value``, ``unit``, ``verified``,
        ``evidence``.
    check : ActivityCheck
        What came in, what counts, what was set aside and why.
    """

    days: pl.DataFrame
    markers: pl.DataFrame
    check: ActivityCheck

    def events(self) -> pl.DataFrame:
        """Give the markers as a programme takes them: person, day, measure, value, evidence (its kind).

        Verified ones come from a provider, others from a device where all of them counts, from the
        person's own word where a part does, by hand where none.
        """
        share = pl.col("evidence")
        kind: pl.Expr = pl.lit("manual")
        for holds, name in (
            (share > 0, "self_report"),
            (share >= 1, "device"),
            (pl.col("verified").fill_null(False), "provider"),
        ):
            kind = pl.when(holds).then(pl.lit(name)).otherwise(kind)
        smokes = pl.col("metric").cast(pl.String) == "tobacco"
        names = {"checkup": "check_up", "tobacco": "tobacco_free"}
        return self.markers.filter(~(smokes & (pl.col("value") > 0))).select(
            "person", "day", measure=pl.col("metric").cast(pl.String).replace(names), value="value",
            evidence=kind,
        )  # fmt: skip


def count_days(
    samples: pl.DataFrame | pl.LazyFrame,
    *,
    key: Key,
    tz: str | None = None,
    rules: Rules | None = None,
    priority: Sequence[str] = (),
    unread: Mapping[str, int] | None = None,
    rows_at_once: int = _ROWS_AT_ONCE,
) -> Activity:
    """Count samples to daily features under pseudonyms, with a ledger of rows and steps that re-adds.

    Parameters
    ----------
    samples : polars.DataFrame or polars.LazyFrame
        As :func:`pricing.activity.samples.sample_frame` takes them; a lazy frame of files is read by
        persons, so that memory stays bounded.
    key : Key
        Turns ids into pseudonyms; ids are in no result.
    tz : str, optional
        Zone of rows that name none.
    rules : Rules, optional
        What counts.
    priority : sequence of str
        Sources, best first (:func:`pricing.activity.overlap.source_levels`).
    unread : mapping of str to int, optional
        Kinds of records a reader met and does not read, with their number; shown in the check.
    rows_at_once : int
        Samples held in memory at a time, about.

    Returns
    -------
    Activity
        ``.days``, ``.markers``, ``.check``.

    Raises
    ------
    InputError
        Where there are no samples, or columns lack.

    Notes
    -----
    Sums spread evenly over their interval and split at local midnight, on days of 23 and 25 hours
    too; sleep belongs to the day it ends. A valid day has an automatic source and the hours worn or
    the steps that :class:`pricing.activity.plausible.Rules` asks for.

    Examples
    --------
    >>> rows = pl.DataFrame({"person": ["王"], "start": ["2024-03-01 23:30"], "end": ["2024-03-02 00:30"],
    ...     "metric": ["steps"], "value": [3000.0], "source": ["watch"], "method": ["automatic"]})
    >>> found = count_days(rows, key=Key(bytes(range(32))), tz="Asia/Shanghai")
    >>> found.days.select("day", "steps", "valid").rows()
    [(datetime.date(2024, 3, 1), 1500.0, True), (datetime.date(2024, 3, 2), 1500.0, True)]
    """
    rules = rules or Rules()
    plain = sample_frame(samples, tz=tz)
    ids = plain.group_by("person", "tz").agg(pl.len().alias("n")).collect(engine="streaming")
    if ids.is_empty():
        raise InputError(
            "there are no samples", where="samples", do="check the file and the reader"
        )
    names = pseudonyms(ids["person"], key).with_row_index("code")
    zones = sorted(set(ids["tz"].drop_nulls()) & available_timezones())
    coded = plain.join(names.select("person", "code").lazy(), on="person", how="left")
    coded = coded.with_columns(person="code").drop("code")

    def told(of: pl.LazyFrame) -> pl.LazyFrame:
        return _with_days(judged(of, cadence=rules.cadence, manual=rules.manual), zones)

    steps = told(coded.filter(pl.col("metric") == "steps")).filter(pl.col("reason").is_null())
    shared = shared_between(steps, rules)
    shards = max(1, -(-int(ids["n"].sum()) // max(int(rows_at_once), 1)))
    shards = min(shards, max(names.height, 1))
    days, markers, ledger = [], [], []
    for shard in range(shards):
        mine = (pl.col("person").fill_null(0) % shards) == shard
        part = told(coded.filter(mine) if shards > 1 else coded).collect(engine="streaming")
        found = _counted(part, shared, rules, tuple(priority))
        days.append(found[0])
        markers.append(found[1])
        ledger.append(found[2])
    named = names.select(pl.col("code").alias("_code"), pseudonym="pseudonym")
    counted = _named(pl.concat(days), named, DAYS).sort("person", "day")
    events = _named(pl.concat(markers), named, MARKERS)
    check = activity_check(
        pl.concat(ledger), counted, rules=rules, key_check=key.check, unread=unread or {}
    )
    return Activity(counted, events.sort("person", "day", "metric", "value", "evidence"), check)


def _named(frame: pl.DataFrame, names: pl.DataFrame, columns: Mapping[str, Any]) -> pl.DataFrame:
    joined = frame.join(names, left_on="person", right_on="_code", how="inner")
    return joined.with_columns(person=pl.col("pseudonym")).select(
        [pl.col(name).cast(kind) for name, kind in columns.items()]
    )


def _with_days(lazy: pl.LazyFrame, zones: list[str]) -> pl.LazyFrame:
    """The local day of the start and of the last moment of each sample."""
    last = pl.max_horizontal(pl.col("end") - pl.duration(microseconds=1), pl.col("start"))
    return lazy.with_columns(
        day=by_zone(pl.col("start"), zones, to_utc=False).dt.date(),
        last=by_zone(last, zones, to_utc=False).dt.date(),
    )


def _counted(
    part: pl.DataFrame, shared: pl.DataFrame, rules: Rules, priority: tuple[str, ...]
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Count the samples of some persons: days, markers, ledger."""
    where = ["person", "day", "source"]
    rows = _without_repeats(part)
    if shared.height:
        of = rows.select(*where, "metric").join(
            shared, on=where, how="left", maintain_order="left"
        )["reason"]
        mine = rows["reason"].is_null() & (rows["metric"] == "steps")
        rows = rows.with_columns(reason=pl.when(mine).then(of).otherwise("reason"))
    good = rows.filter(pl.col("reason").is_null())
    weight = (
        pl.when((pl.col("method") == "automatic") | pl.col("verified")).then(1.0)
        .when(pl.col("method") == "unknown").then(rules.unknown_evidence)
        .otherwise(0.0)
    )  # fmt: skip
    good = good.with_columns(evidence=weight)
    own = {name: metric.unit for name, metric in METRICS.items()}
    markers = good.filter(pl.col("counting") == "marker").select(
        "person", "day", "metric", "value", pl.col("metric").replace_strict(own, default="").alias("unit"),
        "verified", "evidence",
    )  # fmt: skip
    pieces = _pieces(good)
    odd = implausible_days(pieces, rules)
    is_steps = pl.col("metric") == "steps"
    pieces = pieces.join(odd, on=where, how="left", maintain_order="left").with_columns(
        reason=pl.when(is_steps).then("reason")
    )
    counted = _merge(pieces.filter(pl.col("reason").is_null()), priority)
    over = (
        counted.filter(is_steps).group_by("person", "day").agg(total=pl.col("kept").sum())
        .filter(pl.col("total") > rules.daily_steps)
        .select("person", "day", over=pl.lit(True))
    )  # fmt: skip
    counted = counted.join(over, on=["person", "day"], how="left", maintain_order="left")
    counted = counted.with_columns(
        reason=pl.when(is_steps & pl.col("over").fill_null(False)).then(
            pl.lit("too_many_steps", REASONS)
        )
    ).drop("over")
    aside = pl.concat([
        rows.filter(pl.col("reason").is_not_null()).select("person", "day", "reason"),
        pieces.filter(pl.col("reason").is_not_null()).select("person", "day", "reason"),
        counted.filter(pl.col("reason").is_not_null()).select("person", "day", "reason"),
    ]).filter(pl.col("person").is_not_null() & pl.col("day").is_not_null())  # fmt: skip
    kept = counted.filter(pl.col("reason").is_null())
    days = _features(kept, aside, rules)
    return days, markers, _ledger(rows, pieces, counted)


def _without_repeats(rows: pl.DataFrame) -> pl.DataFrame:
    what = ["person", "metric", "start", "end", "value", "source", "device", "method", "verified"]
    known = pl.col("reason").is_null()
    again = ~pl.struct(what).is_first_distinct()
    good = rows.filter(known).with_columns(reason=pl.when(again).then(pl.lit("duplicate", REASONS)))
    return pl.concat([rows.filter(~known), good])


def _pieces(good: pl.DataFrame) -> pl.DataFrame:
    """Samples cut at local midnight; times in µs. Sleep is whole, on the day it ends."""
    good = good.filter(pl.col("counting").is_in(["sum", "mean", "sleep"])).with_columns(
        day=pl.when(pl.col("counting") == "sleep").then("last").otherwise("day"),
        start=pl.col("start").dt.epoch("us"),
        end=pl.col("end").dt.epoch("us"),
        first=pl.lit(True),
    )
    crosses = (pl.col("counting") == "sum") & (pl.col("last") > pl.col("day"))
    inside, across = good.filter(~crosses), good.filter(crosses)
    if across.height:
        count = (pl.col("last") - pl.col("day")).dt.total_days() + 1
        parts = (
            across.with_columns(_k=pl.int_ranges(count))
            .explode("_k", empty_as_null=True, keep_nulls=True)
            .with_columns(
                day=pl.col("day").dt.offset_by(pl.format("{}d", "_k")), first=pl.col("_k") == 0
            )
        )
        parts = _with_midnights(parts)
        since = pl.max_horizontal("start", "midnight")
        until = pl.min_horizontal("end", "next")
        parts = parts.with_columns(
            value=pl.col("value") * (until - since) / (pl.col("end") - pl.col("start")),
            start=since,
            end=until,
        )
        inside = pl.concat([inside, parts.select(inside.columns)])
    dates = _with_midnights(inside.select("day", "tz").unique())
    hours = dates.select("day", "tz", hours=(pl.col("next") - pl.col("midnight")) / 3_600_000_000)
    return inside.join(hours, on=["day", "tz"], how="left", maintain_order="left").drop("reason")


def _with_midnights(rows: pl.DataFrame) -> pl.DataFrame:
    """Where each day begins and ends, µs; where midnight is skipped, at the first moment after."""
    zones = sorted(set(rows["tz"].unique()) & available_timezones())
    day = pl.col("day").cast(pl.Datetime("us"))

    def begins(of: pl.Expr) -> pl.Expr:
        midnight = by_zone(of, zones, to_utc=True)
        return pl.coalesce(midnight, by_zone(of.dt.offset_by("1h"), zones, to_utc=True)).dt.epoch(
            "us"
        )

    return rows.with_columns(midnight=begins(day), next=begins(day.dt.offset_by("1d")))


def _merge(pieces: pl.DataFrame, priority: tuple[str, ...]) -> pl.DataFrame:
    overlapping = pl.col("counting").is_in(["sum", "sleep"])
    sums = pieces.filter(overlapping)
    levels = source_levels(sums, priority)
    sums = sums.join(levels, on=["person", "metric", "source"], how="left", maintain_order="left")
    sums = merged(sums).drop("level")
    rest = pieces.filter(~overlapping).with_columns(kept=pl.col("value"))
    return pl.concat([sums, rest.select(sums.columns)])


def _features(kept: pl.DataFrame, aside: pl.DataFrame, rules: Rules) -> pl.DataFrame:
    value, metric = pl.col("kept"), pl.col("metric")

    def total(name: str) -> pl.Expr:
        of = value.filter(metric == name)
        return pl.when(of.len() > 0).then(of.sum())

    steps = metric == "steps"
    automatic = (pl.col("method") == "automatic") | pl.col("verified")
    slot = (pl.col("start") // (rules.slot_minutes * 60_000_000)).filter(metric == "heart_rate")
    by_steps = (value * pl.col("evidence")).filter(steps).sum() / value.filter(steps).sum()
    found = kept.group_by("person", "day").agg(
        *[total(name).alias(name) for name in _SUMS],
        sleep=total("sleep"),
        resting_heart_rate=value.filter(metric == "resting_heart_rate").mean(),
        slots=slot.n_unique(),
        walked=by_steps,
        most=pl.col("evidence").max(),
        automatic=pl.when(value.filter(steps).sum() > 0)
        .then((automatic & steps & (value > 0)).any())
        .otherwise(automatic.any()),
    )
    why = aside.group_by("person", "day").agg(aside=pl.col("reason").min())
    found = found.join(why, on=["person", "day"], how="full", coalesce=True)
    worn = pl.col("wear") / 60
    seen = pl.col("slots").cast(pl.Float64) * rules.slot_minutes / 60
    moderate = pl.col("moderate_minutes").fill_null(0.0) + pl.col("vigorous_minutes")
    either = pl.col("moderate_minutes") + pl.col("vigorous_minutes").fill_null(0.0)
    found = found.with_columns(
        active_minutes=pl.max_horizontal("active_minutes", moderate, either),
        wear_hours=pl.coalesce(worn, pl.when(seen > 0).then(seen)),
        sleep_hours=pl.when(pl.col("sleep") <= 1_440).then(pl.col("sleep") / 60),
        evidence=pl.when(pl.col("steps") > 0)
        .then("walked")
        .otherwise(pl.col("most").fill_null(0.0)),
        automatic=pl.col("automatic").fill_null(False),
    )
    enough = (pl.col("wear_hours") >= rules.wear_hours) | (pl.col("steps") >= rules.least_steps)
    by_machine = pl.col("automatic") | (not rules.automatic_only)
    lost = pl.col("aside").is_not_null() & pl.col("steps").is_null()
    valid = enough.fill_null(False) & by_machine & ~lost
    reason = (
        pl.when(valid).then(None)
        .when(pl.col("aside").is_not_null()).then("aside")
        .when(~by_machine).then(pl.lit("not_automatic", REASONS))
        .otherwise(pl.lit("too_little_wear", REASONS))
    )  # fmt: skip
    found = found.with_columns(valid=valid, reason=reason).select("person", *list(DAYS)[1:])
    return found.with_columns(pl.selectors.float().round(6))  # sums of floats in any order


def _ledger(rows: pl.DataFrame, pieces: pl.DataFrame, counted: pl.DataFrame) -> pl.DataFrame:
    """Samples and steps by what became of them; they re-add to what came in."""
    by = ["person", "metric", "unit", "outcome"]
    finite = (pl.col("metric") == "steps") & pl.col("value").is_finite()
    steps = pl.when(finite).then("value").otherwise(0.0).fill_null(0.0)

    def told(frame: pl.DataFrame, outcome: pl.Expr, steps: pl.Expr, n: pl.Expr) -> pl.DataFrame:
        return (
            frame.select("person", "metric", "unit", outcome=outcome, steps=steps, samples=n)
            .group_by(by)
            .agg(pl.col("samples").cast(pl.Int64).sum(), pl.col("steps").sum())
        )

    reason = pl.col("reason").cast(pl.String)
    first = pl.col("first").cast(pl.Int64)
    row_aside = rows.filter(pl.col("reason").is_not_null())
    apart = rows.filter(pl.col("reason").is_null() & pl.col("counting").is_in(["marker", "other"]))
    gone = (pl.col("kept") <= 1e-9 * pl.col("value")) & (pl.col("value") > 0)
    is_steps = (pl.col("metric") == "steps").cast(pl.Float64)
    lost = pl.col("value") - pl.col("kept")
    good = counted.filter(pl.col("reason").is_null())
    parts = [
        told(row_aside, reason, steps, pl.lit(1)),
        told(apart, pl.when(pl.col("counting") == "marker").then(pl.lit("marker")).otherwise(pl.lit("not_used")), steps, pl.lit(1)),
        told(pieces.filter(pl.col("reason").is_not_null()), reason, steps, first),
        told(counted.filter(pl.col("reason").is_not_null()), reason, pl.col("kept") * is_steps, first),
        told(counted.filter(pl.col("reason").is_not_null()), pl.lit("overlapped"), lost * is_steps, pl.lit(0)),
        told(good, pl.when(gone).then(pl.lit("overlapped")).otherwise(pl.lit("counted")), pl.col("kept") * is_steps, first),
        told(good, pl.lit("overlapped"), lost * is_steps, pl.lit(0)),
    ]  # fmt: skip
    return (
        pl.concat(parts)
        .group_by(by)
        .agg(pl.col("samples", "steps").sum())
        .filter((pl.col("samples") > 0) | (pl.col("steps").abs() > 1e-9))
    )
