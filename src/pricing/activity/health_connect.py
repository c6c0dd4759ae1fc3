"""Android Health Connect: records as JSON, with the recording method that tells a device from a hand.

``recordingMethod``: 1 actively recorded, 2 automatic, 3 by hand, 0 not known (developer.android.com).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from pricing.activity.samples import sample_frame
from pricing.errors import InputError
from pricing.inputs import text_of

LARGEST = 500_000_000  # bytes; years of a person are a tenth of it
__all__ = ["ConnectImport", "read_health_connect"]

_METHODS = {
    "1": "automatic", "2": "automatic", "3": "manual",
    "RECORDING_METHOD_ACTIVELY_RECORDED": "automatic",
    "RECORDING_METHOD_AUTOMATICALLY_RECORDED": "automatic",
    "RECORDING_METHOD_MANUAL_ENTRY": "manual",
}  # fmt: skip
# record type → metric, path of the value, unit
_RECORDS: Mapping[str, tuple[tuple[str, tuple[str, ...], str], ...]] = {
    "StepsRecord": (("steps", ("count",), "count"),),
    "RestingHeartRateRecord": (("resting_heart_rate", ("beatsPerMinute",), "/min"),),
    "WeightRecord": (("weight", ("weight", "inKilograms"), "kg"),),
    "HeightRecord": (("height", ("height", "inMeters"), "m"),),
    "BloodPressureRecord": (
        ("systolic", ("systolic", "inMillimetersOfMercury"), "mm[Hg]"),
        ("diastolic", ("diastolic", "inMillimetersOfMercury"), "mm[Hg]"),
    ),
    "BloodGlucoseRecord": (("glucose", ("level", "inMillimolesPerLiter"), "mmol/L"),),
    "DistanceRecord": (("distance", ("distance", "inMeters"), "m"),),
    "ActiveCaloriesBurnedRecord": (("energy", ("energy", "inKilocalories"), "kcal"),),
}
_LENGTHS = {"SleepSessionRecord": "sleep", "ExerciseSessionRecord": "session_minutes"}
_AWAKE = {"1", "3", "7", "STAGE_TYPE_AWAKE", "STAGE_TYPE_OUT_OF_BED", "STAGE_TYPE_AWAKE_IN_BED"}
_COLUMNS = ("start", "end", "metric", "value", "unit", "source", "method")


@dataclass(frozen=True)
class ConnectImport:
    """What an export came to: ``samples``, and the records not read by type (``unread``)."""

    samples: pl.DataFrame
    unread: Mapping[str, int]


def read_health_connect(path: str | Path, *, person: str, tz: str) -> ConnectImport:
    """Read Health Connect records from JSON: a list, ``{"records": [...]}``, or one record a line.

    Parameters
    ----------
    path : path
        Each record names its type (``recordType`` or ``type``), ``startTime`` and ``endTime`` or
        ``time``, its value as the platform's class does, and ``metadata`` with ``recordingMethod``
        and ``dataOrigin``.
    person : str
        Whose records they are.
    tz : str
        The person's zone.

    Returns
    -------
    ConnectImport
        Canonical samples; sleep is the session less the stages awake.

    Raises
    ------
    InputError
        Where the file is no JSON or holds no record.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "steps.json")
    >>> _ = path.write_text(json.dumps([{"recordType": "StepsRecord", "count": 500,
    ...     "startTime": "2024-03-01T00:00:00Z", "endTime": "2024-03-01T00:10:00Z",
    ...     "metadata": {"recordingMethod": 3, "dataOrigin": {"packageName": "app"}}}]))
    >>> found = read_health_connect(path, person="王", tz="Asia/Shanghai").samples
    >>> found.select("metric", "value", "method").rows()
    [('steps', 500.0, 'manual')]
    """
    path, unread = Path(path), dict[str, int]()
    rows = [row for record in _records(path) for row in _rows(record, unread)]
    frame = pl.DataFrame(rows, dict.fromkeys(_COLUMNS, pl.String), orient="row")
    frame = frame.with_columns(
        pl.col("value").cast(pl.Float64, strict=False), person=pl.lit(person, pl.String)
    )
    return ConnectImport(sample_frame(frame, tz=tz).collect(), dict(sorted(unread.items())))


def _records(path: Path) -> list[dict[str, Any]]:
    try:
        text = text_of(path, most=LARGEST)
    except InputError as error:
        raise InputError(
            f"cannot be read as UTF-8: {error.problem}", where=str(path), do="deliver it again"
        ) from error
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        try:
            found = [json.loads(line) for line in text.splitlines() if line.strip()]
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"is no JSON: {error}", where=str(path), do="deliver it again, whole"
            ) from error
    if isinstance(found, dict):
        found = found.get("records", [found])
    records = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    if not records:
        raise InputError("holds no record", where=str(path), do="export the records as a JSON list")
    return records


def _rows(record: dict[str, Any], unread: dict[str, int]) -> list[tuple[str | None, ...]]:
    kind = str(record.get("recordType") or record.get("type") or "").rsplit(".", 1)[-1]
    kind = kind if kind.endswith("Record") else f"{kind}Record"
    meta = record.get("metadata") if isinstance(record.get("metadata"), dict) else record
    origin = meta.get("dataOrigin", "") if isinstance(meta, dict) else ""
    source = str(origin.get("packageName", "") if isinstance(origin, dict) else origin)
    said = str(meta.get("recordingMethod", "0")) if isinstance(meta, dict) else "0"
    method = _METHODS.get(said, "unknown")
    start = _said(record.get("startTime") or record.get("time"))
    end = _said(record.get("endTime") or record.get("time"))
    if kind in _RECORDS:
        return [
            (start, end, metric, _said(_at(record, where)), unit, source, method)
            for metric, where, unit in _RECORDS[kind]
        ]
    if kind in _LENGTHS:
        awake = sum(
            _minutes(stage.get("startTime"), stage.get("endTime")) or 0.0
            for stage in _listed(record.get("stages")) if isinstance(stage, dict)
            and str(stage.get("stage")) in _AWAKE
        )  # fmt: skip
        whole = _minutes(start, end)
        value = (
            None if whole is None else str(whole - (awake if kind == "SleepSessionRecord" else 0))
        )
        return [(start, end, _LENGTHS[kind], value, "min", source, method)]
    if kind == "HeartRateRecord":
        beats = [one for one in _listed(record.get("samples")) if isinstance(one, dict)]
        return [
            (_said(one.get("time")), _said(one.get("time")), "heart_rate",
             _said(one.get("beatsPerMinute")), "/min", source, method)
            for one in beats
        ]  # fmt: skip
    unread[kind] = unread.get(kind, 0) + 1
    return []


def _minutes(start: Any, end: Any) -> float | None:
    from datetime import datetime

    try:
        since, until = datetime.fromisoformat(str(start)), datetime.fromisoformat(str(end))
        return (until - since).total_seconds() / 60
    except (ValueError, TypeError):
        return None


def _at(record: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        record = record.get(name) if isinstance(record, dict) else record
    return record


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _said(value: Any) -> str | None:
    return None if value is None or isinstance(value, (bool, dict, list)) else str(value)
