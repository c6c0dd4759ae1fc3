"""Apple Health ``export.xml``, alone or in ``export.zip``: read as a stream, written in parts.

The document type is taken off before parsing: some versions of iOS write one that no parser accepts.
One that declares entities is refused, wherever it stands (entity expansion, CWE-776; external
entities, CWE-611), and so is an archive that unpacks to more than 200 times its size.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from xml.parsers import expat

import polars as pl

from pricing.activity.samples import sample_frame
from pricing.errors import InputError
from pricing.files import replacing
from pricing.inputs import require_file

__all__ = ["AppleImport", "read_apple"]

_BATCH = 200_000
_HEAD = 1 << 20
_RATIO = 200
_TIME = "%Y-%m-%d %H:%M:%S %z"
_QUANTITY, _CATEGORY = "HKQuantityTypeIdentifier", "HKCategoryTypeIdentifier"
_TYPES: Mapping[str, str] = {
    f"{_QUANTITY}StepCount": "steps",
    f"{_QUANTITY}AppleExerciseTime": "active_minutes",
    f"{_QUANTITY}HeartRate": "heart_rate",
    f"{_QUANTITY}RestingHeartRate": "resting_heart_rate",
    f"{_QUANTITY}BodyMass": "weight",
    f"{_QUANTITY}Height": "height",
    f"{_QUANTITY}BodyMassIndex": "bmi",
    f"{_QUANTITY}BloodPressureSystolic": "systolic",
    f"{_QUANTITY}BloodPressureDiastolic": "diastolic",
    f"{_QUANTITY}BloodGlucose": "glucose",
    f"{_CATEGORY}SleepAnalysis": "sleep",
}
_ENTERED = ("HKWasUserEntered", "HKMetadataKeyWasUserEntered")
_ZONE = ("HKTimeZone", "HKMetadataKeyTimeZone")


@dataclass(frozen=True)
class AppleImport:
    """What an export came to.

    Attributes
    ----------
    folder : Path
        Parquet files of canonical samples.
    records : int
        Records met, read or not.
    written : int
        Samples written.
    unread : mapping of str to int
        Types of records and other elements that are not read, with their number.
    """

    folder: Path
    records: int
    written: int
    unread: Mapping[str, int]

    def scan(self) -> pl.LazyFrame:
        """Give the samples, lazily."""
        return pl.scan_parquet(self.folder / "part-*.parquet")


def read_apple(
    path: str | Path, out: str | Path, *, person: str, tz: str, batch: int = _BATCH
) -> AppleImport:
    """Turn an Apple Health export to canonical samples in Parquet, in memory that does not grow with it.

    Parameters
    ----------
    path : path
        ``export.xml``, or the ``export.zip`` that holds it (``导出.xml`` too).
    out : path
        Folder of the Parquet files; what is there is replaced when all is read.
    person : str
        Whose export it is; the file does not say.
    tz : str
        The person's zone, where a record does not name its own.
    batch : int
        Records held at a time.

    Returns
    -------
    AppleImport
        ``.scan()`` gives the samples; ``.unread`` what is not read, by type.

    Raises
    ------
    InputError
        For a file that is no export, is cut off, or declares entities.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "export.xml").write_text(
    ...     '<HealthData><Record type="HKQuantityTypeIdentifierStepCount" sourceName="手表" unit="count" '
    ...     'startDate="2024-03-01 08:00:00 +0800" endDate="2024-03-01 08:01:00 +0800" value="98"/>'
    ...     "</HealthData>", encoding="utf-8")
    >>> found = read_apple(folder / "export.xml", folder / "samples", person="王", tz="Asia/Shanghai")
    >>> found.scan().collect().select("metric", "value", "source").rows()
    [('steps', 98.0, '手表')]
    """
    path, out = Path(path), Path(out)
    require_file(path)
    sample_frame(pl.DataFrame({"person": [], "start": [], "metric": [], "value": []}), tz=tz)
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
        raise InputError(f"a batch is a number of records above zero, got {batch!r}", where="batch")
    if out.is_dir() and any(not one.name.startswith("part-") for one in out.iterdir()):
        raise InputError(
            "what is here are not samples of this package",
            where=str(out),
            do="give a new or an empty folder; nothing was touched",
        )
    with replacing(out) as beside:
        beside.mkdir()
        reader = _Reader(beside, person, tz, batch, str(path))
        try:
            with _opened(path) as stream:
                reader.read(stream)
        except (
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            NotImplementedError,
            RuntimeError,
        ) as error:
            raise InputError(
                f"the archive cannot be read whole: {error}",
                where=str(path),
                do="export it from the phone again",
            ) from error
        except FileNotFoundError as error:
            raise InputError(
                "there is no such file", where=str(path), do="check its path"
            ) from error
    return AppleImport(out, reader.records, reader.written, dict(sorted(reader.unread.items())))


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    if not zipfile.is_zipfile(path):
        if path.suffix.lower() == ".zip" and path.is_file():
            raise zipfile.BadZipFile("it is cut off, or no zip file")
        with path.open("rb") as stream:
            yield stream
        return
    with zipfile.ZipFile(path) as archive:
        held = [
            one for one in archive.infolist()
            if one.filename.rsplit("/", 1)[-1].lower() in ("export.xml", "导出.xml")
        ]  # fmt: skip
        if len(held) != 1:
            raise InputError(
                f"the archive holds {len(held)} files export.xml",
                where=str(path),
                do="give export.zip as the phone wrote it, or the export.xml in it",
            )
        if held[0].file_size > _RATIO * max(held[0].compress_size, 1) + _HEAD:
            raise InputError(
                f"the archive unpacks {held[0].compress_size:,} bytes to {held[0].file_size:,}",
                where=str(path),
                do="no export is so even; export it from the phone again",
            )
        with archive.open(held[0]) as stream:
            yield stream


class _Reader:
    """The parser's state: the records of the batch at hand, and counts."""

    def __init__(self, folder: Path, person: str, tz: str, batch: int, where: str) -> None:
        self.folder, self.person, self.tz, self.batch, self.where = folder, person, tz, batch, where
        self.rows: list[tuple[str | None, ...]] = []
        self.current: dict[str, str] | None = None
        self.entered, self.zone = False, ""
        self.records = self.written = self.parts = 0
        self.root = ""
        self.unread: dict[str, int] = {}

    def read(self, stream: IO[bytes]) -> None:
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self.start
        parser.EndElementHandler = self.end
        parser.EntityDeclHandler = self.refuse
        parser.ExternalEntityRefHandler = self.refuse
        try:
            parser.Parse(self.without_doctype(stream.read(_HEAD)), False)
            while data := stream.read(_HEAD):
                parser.Parse(data, False)
            parser.Parse(b"", True)
        except expat.ExpatError as error:
            raise InputError(
                f"line {error.lineno}: {expat.errors.messages[error.code]}",
                where=self.where,
                do="the file is cut off or damaged; export it from the phone again",
            ) from error
        self.flush()

    def without_doctype(self, head: bytes) -> bytes:
        at = head.find(b"<!DOCTYPE")
        root = head.find(b"<HealthData")
        if at < 0 or (0 <= root < at):
            return head
        inside, stop = head.find(b"[", at), head.find(b"]>", at)
        if inside < 0 or stop < 0 or (0 <= root < inside):
            return head  # no list of declarations: the parser judges it
        if b"<!ENTITY" in head[at:stop]:
            self.refuse()
        return head[:at] + b"\n" * head[at:stop].count(b"\n") + head[stop + 2 :]

    def refuse(self, *_: Any) -> int:
        raise InputError(
            "the file declares entities, which an export never does",
            where=self.where,
            do="do not open it; ask for the export.xml as the phone wrote it",
        )

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if not self.root:
            self.root = name
            if name != "HealthData":
                raise InputError(
                    f"begins with <{name}>, an Apple Health export with <HealthData>",
                    where=self.where,
                    do="give export.xml, not export_cda.xml",
                )
        elif name == "Record":
            self.records += 1
            kind = attributes.get("type", "")
            if kind in _TYPES:
                self.current, self.entered, self.zone = attributes, False, ""
            else:
                self.unread[kind] = self.unread.get(kind, 0) + 1
        elif name == "MetadataEntry":
            if self.current is not None:
                key, value = attributes.get("key"), attributes.get("value", "")
                if key in _ENTERED:
                    self.entered = value.strip().lower() not in ("0", "", "false", "no")
                elif key in _ZONE:
                    self.zone = value
        elif name in ("Workout", "ActivitySummary", "ClinicalRecord"):
            self.unread[name] = self.unread.get(name, 0) + 1

    def end(self, name: str) -> None:
        if name != "Record" or self.current is None:
            return
        of = self.current
        self.rows.append((
            of.get("startDate"), of.get("endDate"), self.zone, of["type"], of.get("value"),
            of.get("unit", ""), of.get("sourceName", ""), "manual" if self.entered else "automatic",
        ))  # fmt: skip
        self.current = None
        if len(self.rows) >= self.batch:
            self.flush()

    def flush(self) -> None:
        names = ["start", "end", "tz", "type", "value", "unit", "source", "method"]
        rows = pl.DataFrame(self.rows, dict.fromkeys(names, pl.String), orient="row")
        if not self.rows and self.parts:
            return
        self.rows = []
        kind, said = pl.col("type"), pl.col("value")
        asleep = said.str.starts_with("HKCategoryValueSleepAnalysisAsleep")
        in_bed = said == "HKCategoryValueSleepAnalysisInBed"
        sleeps = kind == f"{_CATEGORY}SleepAnalysis"
        state = (
            pl.when(asleep)
            .then(pl.lit("sleep"))
            .when(in_bed)
            .then(pl.lit("in_bed"))
            .otherwise(said)
        )
        frame = sample_frame(
            rows.with_columns(
                pl.col("start", "end").str.to_datetime(_TIME, strict=False, time_unit="us"),
                person=pl.lit(self.person),
                metric=pl.when(sleeps).then(state).otherwise(kind.replace(dict(_TYPES))),
                value=pl.when(sleeps).then(None).otherwise("value"),
                unit=pl.when(sleeps).then(pl.lit("min"))
                .when(pl.col("unit").str.starts_with("mmol<")).then(pl.lit("mmol/L"))
                .otherwise("unit"),
            ),
            tz=self.tz,
        ).collect()  # fmt: skip
        minutes = (pl.col("end") - pl.col("start")).dt.total_microseconds() / 6e7
        states = pl.col("metric").is_in(["sleep", "in_bed"]) | pl.col("metric").str.starts_with(
            "HKCat"
        )
        frame = frame.with_columns(value=pl.when(states).then(minutes).otherwise("value"))
        frame.write_parquet(self.folder / f"part-{self.parts:05d}.parquet")
        self.parts += 1
        self.written += frame.height
