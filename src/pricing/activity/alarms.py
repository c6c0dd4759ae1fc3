"""Alarms of watches: counted per policy and term over the year before the term, and what that says of the wearer.

Only alarms before a term count for it, over the days a watch was worn in the same window. Alarms of the
term itself would be a leak: the fall that brings the claim raises one too.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from pricing.activity.pseudonym import Key, pseudonyms
from pricing.data.clock import china_time, names_zone
from pricing.errors import InputError
from pricing.experience.domain import require_columns

__all__ = ["ALARM_BANDS", "ALARM_WORDS", "alarm_rates", "alarm_rows"]

ALARM_BANDS = ("no_watch", "no_alarm", "few_alarms", "many_alarms")
ALARM_WORDS: dict[str, str] = {
    "跌倒": "fall", "摔倒": "fall", "fall_detected": "fall", "心率": "heart_rate", "心率异常": "heart_rate",
    "high_heart_rate": "heart_rate", "low_heart_rate": "heart_rate", "血氧": "oxygen", "血氧过低": "oxygen",
    "spo2": "oxygen", "low_oxygen": "oxygen", "血压": "blood_pressure", "血压异常": "blood_pressure",
    "久静": "inactivity", "长时间不动": "inactivity", "no_movement": "inactivity", "求助": "sos",
    "一键呼救": "sos", "help": "sos",
}  # fmt: skip


def alarm_rows(
    export: pl.DataFrame, *, words: Mapping[str, str] | None = None, key: Key | None = None
) -> pl.DataFrame:
    """Bring an export of alarms, one row each, to the columns of the contract ``alarms``.

    Parameters
    ----------
    export : polars.DataFrame
        ``policy_id``, ``raised`` (day, time, or text of either: as written, or where it names its zone put
        to China's), ``kind``; optionally
        ``alarm_id`` (numbered where it lacks), ``confirmed``.
    words : mapping of str to str, optional
        Their words for kinds, beside those of :data:`ALARM_WORDS`; others stay and are told by the
        contract.
    key : Key, optional
        Turn policy numbers into pseudonyms; the other tables need the same key.

    Examples
    --------
    >>> rows = pl.DataFrame({"policy_id": ["AJ1"], "raised": ["2024-03-01 23:10:00"], "kind": ["跌倒"]})
    >>> alarm_rows(rows).rows()
    [('1', 'AJ1', datetime.date(2024, 3, 1), 'fall', None)]
    """
    require_columns(["policy_id", "raised", "kind"], export.columns)
    kind = export.schema["raised"]
    raised = pl.col("raised")
    if kind == pl.String:
        day = raised.str.strip_chars().str.replace(r"[T ].*$", "").str.replace_all("/", "-")
        plain = day.str.to_date("%Y-%m-%d", strict=False)
        zoned = china_time("raised").dt.date()
        raised = pl.when(names_zone("raised")).then(zoned).otherwise(plain)
    elif isinstance(kind, pl.Datetime) and kind.time_zone is not None:
        raised = raised.dt.convert_time_zone("Asia/Shanghai").dt.date()
    elif not (kind == pl.Date or isinstance(kind, pl.Datetime)):
        raise InputError(f"'raised' is {kind}: neither day, time nor text")
    known = dict(ALARM_WORDS) | dict(words or {})
    number = pl.col("alarm_id") if "alarm_id" in export.columns else pl.int_range(1, pl.len() + 1)
    confirmed = pl.col("confirmed") if "confirmed" in export.columns else pl.lit(None, pl.Boolean)
    rows = export.select(
        alarm_id=number.cast(pl.String),
        policy_id=pl.col("policy_id").cast(pl.String).str.strip_chars(),
        raised=raised.cast(pl.Date),
        kind=pl.col("kind").cast(pl.String).str.strip_chars().str.to_lowercase().replace(known),
        confirmed=confirmed,
    )
    if key is None:
        return rows
    names = pseudonyms(rows["policy_id"], key)
    hidden = rows.join(
        names, left_on="policy_id", right_on="person", how="left", maintain_order="left"
    )
    return hidden.select(
        "alarm_id", policy_id="pseudonym", raised="raised", kind="kind", confirmed="confirmed"
    )


def alarm_rates(
    terms: pl.DataFrame,
    alarms: pl.DataFrame,
    watches: pl.DataFrame,
    *,
    lookback: int = 365,
    least: float = 0.25,
    many: float = 2.0,
    confirmed: bool = False,
) -> pl.DataFrame:
    """Count each policy's alarms in the days before each of its terms.

    Parameters
    ----------
    terms : polars.DataFrame
        policy_id, policy_year, start; other columns are kept.
    alarms, watches : polars.DataFrame
        As the contracts of these names have them.
    lookback : int
        Days before the start of the term that count, the start itself not.
    least : float
        Years of wearing within them below which nothing is said: ``no_watch``.
    many : float
        Alarms per watched year from which on they are many.
    confirmed : bool
        Count only alarms that somebody found right.

    Returns
    -------
    polars.DataFrame
        The terms with alarms (raised while the watch was worn), watched_years, alarm_rate (alarms per
        watched year; null for no_watch) and alarm_band. Stretches that overlap count once.

    Raises
    ------
    InputError
        For columns that lack, terms that repeat, a window or limits out of their domain.

    Examples
    --------
    >>> from datetime import date
    >>> terms = pl.DataFrame({"policy_id": ["AJ1"], "policy_year": [1], "start": [date(2024, 1, 1)]})
    >>> worn = pl.DataFrame({"policy_id": ["AJ1"], "worn_from": [date(2023, 1, 1)], "worn_until": [None]},
    ...                     schema_overrides={"worn_until": pl.Date})
    >>> raised = pl.DataFrame({"policy_id": ["AJ1"] * 2, "raised": [date(2023, 5, 1), date(2024, 1, 1)]})
    >>> alarm_rates(terms, raised, worn).select("alarms", "alarm_rate", "alarm_band").row(0)
    (1, 1.0, 'few_alarms')
    """
    require_columns(["policy_id", "policy_year", "start"], terms.columns)
    require_columns(["policy_id", "raised", *(["confirmed"] if confirmed else [])], alarms.columns)
    require_columns(["policy_id", "worn_from", "worn_until"], watches.columns)
    if isinstance(lookback, bool) or not isinstance(lookback, int) or not 1 <= lookback <= 3660:
        raise InputError(f"the days before a term are 1 to 3,660, got {lookback!r}")
    for frame, name in ((terms, "start"), (alarms, "raised"), (watches, "worn_from")):
        if frame.height and not frame.schema[name].is_temporal():
            raise InputError(f"{name!r} is {frame.schema[name]}, not a day")
    numbers = all(isinstance(n, int | float) for n in (least, many))
    if not (numbers and 0 < least <= lookback / 365 and many > 0):
        raise InputError(f"limits out of their domain: least {least}, many {many}")
    if twice := int(terms.select("policy_id", "policy_year").is_duplicated().sum()):
        raise InputError(f"{twice:,} terms appear twice", where="terms")
    keys = ["policy_id", "policy_year"]
    own = terms.select(*keys, last="start", first=pl.col("start").dt.offset_by(f"-{lookback}d"))
    worn = _merged(watches)
    days = (
        own.join(worn, on="policy_id")
        .with_columns(
            days=(pl.min_horizontal("until", "last") - pl.max_horizontal("from", "first")).dt.total_days()
        )
        .filter(pl.col("days") > 0)
        .group_by(keys).agg(watched_years=pl.col("days").sum() / 365)
    )  # fmt: skip
    counted = alarms.filter(pl.col("confirmed")) if confirmed else alarms
    seen = (
        counted.select("policy_id", "raised")
        .with_row_index("_n")
        .join(worn, on="policy_id")
        .filter(pl.col("raised") >= pl.col("from"), pl.col("raised") < pl.col("until"))
        .join(own, on="policy_id")
        .filter(pl.col("raised") >= pl.col("first"), pl.col("raised") < pl.col("last"))
        .group_by(keys).agg(alarms=pl.len().cast(pl.Int64))
    )  # fmt: skip
    found = terms.join(days, on=keys, how="left", maintain_order="left").join(
        seen, on=keys, how="left", maintain_order="left"
    )
    found = found.with_columns(
        pl.col("watched_years").fill_null(0.0), pl.col("alarms").fill_null(0)
    )
    enough = pl.col("watched_years") >= least - 1e-12
    found = found.with_columns(
        alarm_rate=pl.when(enough).then(pl.col("alarms") / pl.col("watched_years"))
    )
    rate = pl.col("alarm_rate")
    band = (
        pl.when(rate.is_null()).then(pl.lit("no_watch")).when(rate == 0).then(pl.lit("no_alarm"))
        .when(rate < many).then(pl.lit("few_alarms")).otherwise(pl.lit("many_alarms"))
    )  # fmt: skip
    return found.with_columns(alarm_band=band.cast(pl.Enum(ALARM_BANDS)))


def _merged(watches: pl.DataFrame) -> pl.DataFrame:
    """Stretches of a policy without what an earlier one covers: policy_id, from, until."""
    open_end = pl.date(9999, 12, 31)
    rows = watches.select(
        "policy_id", pl.col("worn_from").alias("from"),
        until=pl.col("worn_until").cast(pl.Date).fill_null(open_end),
    ).sort("policy_id", "from", "until")  # fmt: skip
    reached = pl.col("until").cum_max().shift(1).over("policy_id")
    return rows.with_columns(pl.max_horizontal("from", reached)).filter(
        pl.col("from") < pl.col("until")
    )
