"""Times told as text: put to the clock of China where they name a zone (ISO 8601, 2019)."""

from __future__ import annotations

import polars as pl

__all__ = ["DAY_FORMATS", "china_time", "names_zone"]

DAY_FORMATS = ("%Y-%m-%d", "%Y/%m/%d", "%Y%m%d")
_TIMES = tuple(f"{d} %H:%M{rest}" for d in DAY_FORMATS for rest in (":%S%.f", ""))
_ZONE = r"[T ]\d{2}:\d{2}.*?\s*(Z|[+-]\d{2}:?\d{2})$"
_AHEAD = 8 * 60  # minutes ahead of Greenwich: China has one time


def names_zone(column: str) -> pl.Expr:
    """Whether a time told as text names its zone.

    Examples
    --------
    >>> pl.DataFrame({"t": ["2024-03-01T08:00:00Z", "2024-03-01"]}).select(names_zone("t")).rows()
    [(True,), (False,)]
    """
    return pl.col(column).str.contains(_ZONE)


def china_time(column: str) -> pl.Expr:
    """Read a time told as text as China's clocks show it; where it names no zone, as written.

    Examples
    --------
    >>> pl.DataFrame({"t": ["2024-02-29T23:30:00Z"]}).select(china_time("t")).item()
    datetime.datetime(2024, 3, 1, 7, 30)
    """
    text = pl.col(column)
    zone = text.str.extract(_ZONE)
    digits = zone.replace("Z", "+0000").str.replace(":", "")
    hours, minutes = (digits.str.slice(at, 2).cast(pl.Int64, strict=False) for at in (1, 3))
    ahead = hours * 60 + minutes
    ahead = pl.when(digits.str.starts_with("-")).then(-ahead).otherwise(ahead)
    clock = text.str.replace(r"\s*(Z|[+-]\d{2}:?\d{2})$", "")
    clock = pl.when(zone.is_null()).then(text).otherwise(clock).str.replace("T", " ")
    read = pl.coalesce(clock.str.to_datetime(f, strict=False, time_unit="us") for f in _TIMES)
    return (read + pl.duration(minutes=(_AHEAD - ahead).fill_null(0))).alias(column)
