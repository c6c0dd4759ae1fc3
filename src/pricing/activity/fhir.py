"""FHIR R4 Observations: bundles in JSON, or one resource a line as bulk export writes them.

Codes are LOINC: HL7 US Physical Activity IG 1.0 and the vital-signs and laboratory profiles of R4.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from pricing.activity.samples import sample_frame
from pricing.errors import InputError
from pricing.inputs import text_of

LARGEST = 500_000_000  # bytes; years of a person are a tenth of it
__all__ = ["LOINC", "FhirImport", "read_fhir"]

LOINC: Mapping[str, str] = {
    "41950-7": "steps", "55423-8": "steps", "8867-4": "heart_rate", "40443-4": "resting_heart_rate",
    "55411-3": "session_minutes", "55425-3": "session_heart_rate", "77592-4": "moderate_minutes",
    "77593-2": "vigorous_minutes", "41979-6": "energy", "55424-6": "energy", "93832-4": "sleep",
    "29463-7": "weight", "8302-2": "height", "39156-5": "bmi", "8480-6": "systolic",
    "8462-4": "diastolic", "4548-4": "hba1c", "59261-8": "hba1c", "2093-3": "cholesterol",
    "14647-2": "cholesterol", "2089-1": "ldl", "18262-6": "ldl", "2339-0": "glucose",
    "15074-8": "glucose", "72166-2": "tobacco",
}  # fmt: skip
_DAILY = ("41950-7", "41979-6", "93832-4", "77592-4", "77593-2")  # a date alone means its whole day
_SMOKES = {  # SNOMED CT and LOINC answers of tobacco smoking status
    "449868002": 1.0, "428041000124106": 1.0, "77176002": 1.0, "428061000124105": 1.0,
    "428071000124103": 1.0, "266919005": 0.0, "8517006": 0.0, "LA18976-3": 1.0, "LA18977-1": 1.0,
    "LA18979-7": 1.0, "LA18981-3": 1.0, "LA18982-1": 1.0, "LA18978-9": 0.0, "LA15920-4": 0.0,
}  # fmt: skip
_FINAL = ("final", "amended", "corrected")
_COLUMNS = (
    "person",
    "start",
    "end",
    "metric",
    "value",
    "unit",
    "source",
    "device",
    "method",
    "verified",
)


@dataclass(frozen=True)
class FhirImport:
    """What a bundle came to.

    Attributes
    ----------
    samples : polars.DataFrame
        Canonical samples.
    unread : mapping of str to int
        Resources of other types, and observations that are not final, with their number. An
        observation of an unknown code is a sample whose metric is that code.
    """

    samples: pl.DataFrame
    unread: Mapping[str, int]


def read_fhir(path: str | Path, *, tz: str) -> FhirImport:
    """Read Observations of FHIR R4 from a bundle, a list, one resource, or one resource a line.

    Parameters
    ----------
    path : path
        JSON, or NDJSON.
    tz : str
        Zone of times without an offset, and of days.

    Returns
    -------
    FhirImport
        ``.samples`` and ``.unread``. A step count of a date is that local day's. An observation with
        a device and no provider is automatic; one performed by an organisation or practitioner is
        verified.

    Raises
    ------
    InputError
        Where the file is no JSON, or holds no resource.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "bundle.json")
    >>> _ = path.write_text(json.dumps({"resourceType": "Bundle", "entry": [{"resource": {
    ...     "resourceType": "Observation", "status": "final", "subject": {"reference": "Patient/1"},
    ...     "code": {"coding": [{"system": "http://loinc.org", "code": "29463-7"}]},
    ...     "effectiveDateTime": "2024-03-01", "valueQuantity": {"value": 150, "code": "[lb_av]"}}}]}))
    >>> read_fhir(path, tz="Asia/Shanghai").samples.select("metric", "value", "unit").rows()
    [('weight', 150.0, '[lb_av]')]
    """
    path, unread = Path(path), dict[str, int]()
    rows = [row for found in _resources(path) for row in _rows(found, unread)]
    frame = pl.DataFrame(rows, dict.fromkeys(_COLUMNS, pl.String), orient="row", strict=False)
    frame = frame.with_columns(pl.col("value").cast(pl.Float64, strict=False))
    samples = sample_frame(_whole_days(frame), tz=tz).collect()
    return FhirImport(samples, dict(sorted(unread.items())))


def _whole_days(frame: pl.DataFrame) -> pl.DataFrame:
    """A date as the end of a day's sum is the day after it."""
    day = pl.col("end").str.slice(4, None).str.to_date("%Y-%m-%d", strict=False).dt.offset_by("1d")
    return frame.with_columns(
        end=pl.when(pl.col("end").str.starts_with("day:"))
        .then(day.cast(pl.String))
        .otherwise("end")
    )


def _resources(path: Path) -> Iterator[dict[str, Any]]:
    try:
        text = text_of(path, most=LARGEST)
    except InputError as error:
        raise InputError(
            f"cannot be read as UTF-8: {error.problem}", where=str(path), do="deliver it again"
        ) from error
    try:
        found = [json.loads(text)]
    except json.JSONDecodeError as first:
        found = []
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip():
                continue
            try:
                found.append(json.loads(line))
            except RecursionError as error:
                raise InputError(
                    f"line {number} is nested without end", where=str(path), do="deliver it again"
                ) from error
            except ValueError as error:
                place = f"line {first.lineno}" if number == 1 else f"line {number}"
                raise InputError(
                    f"{place} is no JSON: {getattr(error, 'msg', error)}",
                    where=str(path),
                    do="deliver it again, whole",
                ) from error
    except RecursionError as error:
        raise InputError("is nested without end", where=str(path), do="deliver it again") from error
    except ValueError as error:  # a number of thousands of digits
        raise InputError(f"is no JSON: {error}", where=str(path), do="deliver it again") from error
    try:
        resources = [one for top in found for one in _unpacked(top)]
    except RecursionError as error:
        raise InputError("is nested without end", where=str(path), do="deliver it again") from error
    if not resources:
        raise InputError(
            "holds no FHIR resource",
            where=str(path),
            do="deliver a Bundle or a list of Observations",
        )
    yield from resources


def _unpacked(top: Any) -> list[dict[str, Any]]:
    if isinstance(top, list):
        return [one for part in top for one in _unpacked(part)]
    if not isinstance(top, dict):
        return []
    if top.get("resourceType") == "Bundle":
        entries = top.get("entry") or []
        return [
            e["resource"]
            for e in entries
            if isinstance(e, dict) and isinstance(e.get("resource"), dict)
        ]
    return [top] if "resourceType" in top else []


def _rows(resource: dict[str, Any], unread: dict[str, int]) -> list[tuple[str | None, ...]]:
    kind, status = str(resource.get("resourceType")), str(resource.get("status"))
    if kind != "Observation" or status not in _FINAL:
        name = kind if kind != "Observation" else f"Observation, status {status}"
        unread[name] = unread.get(name, 0) + 1
        return []
    parts = [one for one in _list(resource, "component") if isinstance(one, dict)]
    measured = [one for one in (resource, *parts) if any(k.startswith("value") for k in one)]
    if not measured:
        unread["Observation without a value"] = unread.get("Observation without a value", 0) + 1
        return []
    person = _text(resource, "subject", "reference") or _text(
        resource, "subject", "identifier", "value"
    )
    device = _text(resource, "device", "reference") or _text(
        resource, "device", "identifier", "value"
    )
    source = _text(resource, "device", "display") or device or ""
    performers = [_text(one, "reference") or "" for one in _list(resource, "performer")]
    verified = any(one.split("/")[-2:-1] in (["Organization"], ["Practitioner"], ["PractitionerRole"])
                   for one in performers)  # fmt: skip
    method = "automatic" if device and not verified else "unknown"
    rows: list[tuple[str | None, ...]] = []
    for one in measured:
        code = _code(one)
        start, end = _when(resource, code)
        value, unit = _value(one)
        metric = LOINC.get(code, f"loinc:{code}" if code else "no code")
        rows.append(
            (person, start, end, metric, value, unit, source, device, method, str(verified))
        )
    return rows


def _when(resource: dict[str, Any], code: str) -> tuple[str | None, str | None]:
    period = resource.get("effectivePeriod")
    if isinstance(period, dict):
        return _text(period, "start"), _text(period, "end") or _text(period, "start")
    at = _text(resource, "effectiveDateTime") or _text(resource, "effectiveInstant")
    if at is not None and len(at) == 10 and code in _DAILY:
        return at, f"day:{at}"
    return at, at


def _value(one: dict[str, Any]) -> tuple[str | None, str]:
    quantity = one.get("valueQuantity")
    if isinstance(quantity, dict):
        value = quantity.get("value")
        unit = quantity.get("code") or quantity.get("unit") or ""
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return (str(value) if number else None), str(unit)
    if isinstance(one.get("valueInteger"), int):
        return str(one["valueInteger"]), ""
    coded = one.get("valueCodeableConcept")
    if isinstance(coded, dict):
        codes = [_text(c, "code") or "" for c in _list(coded, "coding")]
        known = [_SMOKES[c] for c in codes if c in _SMOKES]
        return (str(known[0]) if known else None), ""
    return None, ""


def _code(one: dict[str, Any]) -> str:
    code = one.get("code")
    codings = [
        c for c in _list(code if isinstance(code, dict) else {}, "coding") if isinstance(c, dict)
    ]
    loinc = [str(c.get("code", "")) for c in codings if "loinc" in str(c.get("system", "")).lower()]
    known = [c for c in loinc if c in LOINC]
    return (known or loinc or [""])[0]


def _list(of: dict[str, Any], name: str) -> list[Any]:
    found = of.get(name)
    return found if isinstance(found, list) else []


def _text(of: Any, *path: str) -> str | None:
    for name in path:
        if not isinstance(of, dict):
            return None
        of = of.get(name)
    return of if isinstance(of, str) and of else None
