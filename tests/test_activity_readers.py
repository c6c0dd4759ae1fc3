"""Reading exports: Apple, FHIR, Health Connect, Fitbit, tidy files; hostile ones are refused whole."""

from __future__ import annotations

import json
import tracemalloc
import zipfile

import polars as pl
import pytest

from pricing.activity.apple import read_apple
from pricing.activity.days import count_days
from pricing.activity.fhir import read_fhir
from pricing.activity.fitbit import fitbit_activity, fitbit_sleep
from pricing.activity.health_connect import read_health_connect
from pricing.activity.pseudonym import Key
from pricing.activity.samples import COLUMNS, read_samples
from pricing.data.sources import Source
from pricing.errors import InputError

KEY = Key(bytes(range(32)))
SHANGHAI = "Asia/Shanghai"
# what the phone writes, with the list of declarations some versions get wrong
DOCTYPE = """<!DOCTYPE HealthData [
<!-- HealthKit Export Version: 12 -->
<!ELEMENT HealthData (ExportDate,Me,(Record|Correlation|Workout)*)>
<!ATTLIST Record
  type CDATA #REQUIRED
  device CDATA #IMPLIED
>
<!ATTLIST HKBroken
  startDate CDATA #IMPLIED
  >>
]>
"""


def record(kind="HKQuantityTypeIdentifierStepCount", value="98", inside="", at="08:00", **more):
    said = {
        "type": kind, "sourceName": "小明的 Apple&#160;Watch", "unit": "count", "value": value,
        "startDate": f"2024-03-01 {at}:00 +0800", "endDate": f"2024-03-01 {at}:59 +0800",
    } | more  # fmt: skip
    attributes = " ".join(f'{k}="{v}"' for k, v in said.items())
    return f"<Record {attributes}>{inside}</Record>\n" if inside else f"<Record {attributes}/>\n"


def export(*records, doctype=DOCTYPE):
    body = "".join(records)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{doctype}<HealthData locale="zh_CN">\n{body}</HealthData>\n'


BY_HAND = '<MetadataEntry key="HKWasUserEntered" value="1"/>'


def apple(tmp_path, text, **options):
    path = tmp_path / "export.xml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_apple(path, tmp_path / "out", person="王", tz=SHANGHAI, **options)


# -- Apple ------------------------------------------------------------------------------------------


def test_apple_records_become_samples(tmp_path):
    sleep, asleep = "HKCategoryTypeIdentifierSleepAnalysis", "HKCategoryValueSleepAnalysisAsleep"
    text = export(
        record(), record(inside=BY_HAND, at="09:00"), record("HKQuantityTypeIdentifierBodyMass", "70.5", unit="kg"),
        record(inside='<MetadataEntry key="HKTimeZone" value="Europe/Paris"/>', at="10:00"),
        record(sleep, f"{asleep}Core", at="01:00", endDate="2024-03-01 02:30:00 +0800"),
        record(sleep, "HKCategoryValueSleepAnalysisInBed", at="00:30", endDate="2024-03-01 02:30:00 +0800"),
        record(sleep, "HKCategoryValueSleepAnalysisAwake", at="01:30"),
        record("HKQuantityTypeIdentifierBasalEnergyBurned", "1.2"),
        '<Workout workoutActivityType="HKWorkoutActivityTypeRunning"/>',
    )  # fmt: skip
    found = apple(tmp_path, text, batch=2)
    samples = found.scan().collect()
    assert dict(samples.schema) == COLUMNS
    assert (found.records, found.written, samples.height) == (8, 7, 7)
    assert found.unread == {"HKQuantityTypeIdentifierBasalEnergyBurned": 1, "Workout": 1}
    assert samples["metric"].to_list() == [
        "steps", "steps", "weight", "steps", "sleep", "in_bed", "HKCategoryValueSleepAnalysisAwake",
    ]  # fmt: skip
    assert samples["method"].to_list()[:2] == ["automatic", "manual"]
    assert samples["tz"].to_list()[3] == "Europe/Paris"
    assert samples["value"].to_list()[4] == 90.0
    assert samples["source"][0] == "小明的 Apple\u00a0Watch"
    days = count_days(found.scan(), key=KEY, unread=found.unread)
    assert days.days.filter(pl.col("steps") > 0)["steps"].sum() == 196.0
    codes = days.check.frames["unknown_codes"]["metric"].to_list()
    assert {
        "HKQuantityTypeIdentifierBasalEnergyBurned",
        "HKCategoryValueSleepAnalysisAwake",
    } <= set(codes)


@pytest.mark.parametrize("name", ["apple_health_export/export.xml", "apple_health_export/导出.xml"])
def test_apple_zip(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "export.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, export(record()))
        archive.writestr("apple_health_export/export_cda.xml", "<ClinicalDocument/>")
    found = read_apple(tmp_path / "export.zip", tmp_path / "out", person="王", tz=SHANGHAI)
    assert found.written == 1
    data = (tmp_path / "export.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="cannot be read whole"):
        read_apple(tmp_path / "cut.zip", tmp_path / "out2", person="王", tz=SHANGHAI)
    broken = bytearray(data)
    broken[60:90] = bytes(30)
    (tmp_path / "broken.zip").write_bytes(bytes(broken))
    with pytest.raises(InputError):
        read_apple(tmp_path / "broken.zip", tmp_path / "out2", person="王", tz=SHANGHAI)
    assert not (tmp_path / "out2").exists()


BOMB = """<!DOCTYPE HealthData [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>"""
OUTSIDE = '<!DOCTYPE HealthData [<!ENTITY x SYSTEM "file:///etc/hostname">]>'
OUTSIDE_DTD = '<!DOCTYPE HealthData SYSTEM "http://localhost/evil.dtd">'
PARAMETER = '<!DOCTYPE HealthData [<!ENTITY % p SYSTEM "file:///etc/hostname"> %p;]>'


@pytest.mark.parametrize("doctype", [BOMB, OUTSIDE, PARAMETER])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_bomb_of_entities_is_refused_in_any_encoding(tmp_path, doctype, encoding):
    text = export(record(value="&c;"), doctype=doctype).replace("UTF-8", encoding.upper())
    tracemalloc.start()
    with pytest.raises(InputError, match="declares entities"):
        apple(tmp_path, text.encode(encoding))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6
    assert not (tmp_path / "out").exists()


def test_an_outside_document_type_is_not_fetched(tmp_path):
    assert apple(tmp_path, export(record(), doctype=OUTSIDE_DTD)).written == 1


def test_a_zip_bomb_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "export.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("export.xml", b"<HealthData>" + b" " * 30_000_000)
    with pytest.raises(InputError, match="unpacks"):
        read_apple(tmp_path / "export.zip", tmp_path / "out", person="王", tz=SHANGHAI)


@pytest.mark.parametrize(("text", "said"), [
    (export(record())[:-20], "unclosed token|no element found"),
    (export(record()).replace("/>", ">"), "mismatched tag"),
    ("", "no element found"),
    ("{}", "not well-formed"),
    ("<ClinicalDocument/>", "begins with <ClinicalDocument>"),
    (export(record(value="&undefined;")), "undefined entity"),
    (export(record()).encode().replace("小".encode(), b"\xff"), "not well-formed"),
])  # fmt: skip
def test_a_damaged_export_is_refused_and_leaves_what_was_there(tmp_path, text, said):
    apple(tmp_path, export(record()))
    before = sorted(p.name for p in (tmp_path / "out").iterdir())
    with pytest.raises(InputError, match=said):
        apple(tmp_path, text)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == before == ["part-00000.parquet"]


def test_apple_takes_no_foreign_folder_and_no_wrong_zone(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years", encoding="utf-8")
    with pytest.raises(InputError, match="not samples of this package"):
        apple(tmp_path, export(record()))
    path = tmp_path / "export.xml"
    with pytest.raises(InputError, match="no time zone"):
        read_apple(path, tmp_path / "new", person="王", tz="China")
    with pytest.raises(InputError, match="No such file"):
        read_apple(tmp_path / "none.xml", tmp_path / "new", person="王", tz=SHANGHAI)
    with pytest.raises(InputError, match="batch"):
        read_apple(path, tmp_path / "new", person="王", tz=SHANGHAI, batch=0)


def test_an_export_without_a_record_we_read_is_empty_and_counted(tmp_path):
    found = apple(tmp_path, export(record("HKQuantityTypeIdentifierUVExposure")))
    assert (found.records, found.written) == (1, 0)
    assert found.scan().collect().is_empty()
    with pytest.raises(InputError, match="no samples"):
        count_days(found.scan(), key=KEY)


def test_memory_does_not_grow_with_the_export(tmp_path):
    peaks = []
    for n in (10_000, 40_000):
        folder = tmp_path / str(n)
        folder.mkdir()
        (folder / "export.xml").write_text(export(*[record()] * n), encoding="utf-8")
        tracemalloc.start()
        assert (
            read_apple(
                folder / "export.xml", folder / "out", person="王", tz=SHANGHAI, batch=2_000
            ).written
            == n
        )
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


# -- FHIR -------------------------------------------------------------------------------------------


def observation(code, value, **more):
    return {
        "resourceType": "Observation", "status": "final",
        "subject": {"reference": "Patient/甲"}, "effectiveDateTime": "2024-03-01T09:00:00+08:00",
        "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
    } | (value if isinstance(value, dict) else {"valueQuantity": {"value": value[0], "code": value[1]}}) | more  # fmt: skip


def fhir(tmp_path, found, *, lines=False):
    path = tmp_path / "bundle.json"
    text = (
        "\n".join(json.dumps(one) for one in found)
        if lines
        else json.dumps(found, ensure_ascii=False)
    )
    path.write_text(text, encoding="utf-8")
    return read_fhir(path, tz=SHANGHAI)


def test_fhir_observations_of_every_kind(tmp_path):
    pressure = {"component": [
        {"code": {"coding": [{"system": "http://loinc.org", "code": c}]}, "valueQuantity": {"value": v, "code": "mm[Hg]"}}
        for c, v in (("8480-6", 128), ("8462-4", 82))
    ]}  # fmt: skip
    smokes = {
        "valueCodeableConcept": {
            "coding": [{"system": "http://snomed.info/sct", "code": "266919005"}]
        }
    }
    clinic, watch = [{"reference": "Organization/1"}], {"reference": "Device/9", "display": "手表"}
    entries = [
        observation("41950-7", (8000, "{steps}/d"), effectiveDateTime="2024-03-01", device=watch),
        observation("8867-4", (71, "/min"), device=watch),
        observation("40443-4", (58, "{beats}/min"), device=watch),
        observation("29463-7", (154, "[lb_av]"), performer=clinic),
        observation("39156-5", (23.4, "kg/m2")),
        observation("85354-9", pressure, performer=clinic),
        observation("4548-4", (5.6, "%"), performer=clinic),
        observation("2093-3", (200, "mg/dL")),
        observation("72166-2", smokes),
        observation("93832-4", (7.5, "h"), effectivePeriod={"start": "2024-02-29T23:00:00+08:00", "end": "2024-03-01T07:00:00+08:00"}, device=watch),
        observation("77593-2", (25, "min"), effectiveDateTime="2024-03-01", device=watch),
        observation("55411-3", (45, "min"), device=watch),
        observation("99999-9", (1, "1")),
        observation("29463-7", (70, "kg"), status="entered-in-error"),
        {"resourceType": "Patient", "id": "甲"},
    ]  # fmt: skip
    found = fhir(
        tmp_path, {"resourceType": "Bundle", "entry": [{"resource": one} for one in entries]}
    )
    assert found.unread == {"Observation, status entered-in-error": 1, "Patient": 1}
    counted = count_days(found.samples, key=KEY, unread=found.unread)
    day = counted.days.row(0, named=True)
    assert (day["steps"], day["sleep_hours"], day["resting_heart_rate"]) == (8000.0, 7.5, 58.0)
    assert (day["vigorous_minutes"], day["valid"]) == (25.0, True)
    told = {r["metric"]: r for r in counted.markers.iter_rows(named=True)}
    assert told["weight"]["value"] == pytest.approx(69.853, abs=1e-3)
    assert (told["systolic"]["value"], told["diastolic"]["value"], told["tobacco"]["value"]) == (
        128,
        82,
        0,
    )
    assert told["cholesterol"]["value"] == pytest.approx(5.172, abs=1e-3)
    assert (told["hba1c"]["evidence"], told["bmi"]["evidence"]) == (1.0, 0.3)
    codes = counted.check.frames["unknown_codes"]
    assert codes.filter(metric="loinc:99999-9")["samples"].item() == 1
    by_line = fhir(tmp_path, entries, lines=True)
    assert by_line.samples.equals(found.samples)


@pytest.mark.parametrize(("text", "said"), [
    ("", "holds no FHIR resource"), ("{", "is no JSON"), ("[]", "holds no FHIR resource"),
    ('{"resourceType": "Bundle"}', "holds no FHIR resource"), ("[" * 100_000, "no JSON|nested"),
])  # fmt: skip
def test_what_is_no_fhir_is_refused(tmp_path, text, said):
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=said):
        read_fhir(tmp_path / "a.json", tz=SHANGHAI)
    with pytest.raises(InputError, match="cannot be read"):
        read_fhir(tmp_path / "none.json", tz=SHANGHAI)


@pytest.mark.parametrize("change", [
    {"code": None}, {"code": {"coding": "x"}}, {"subject": None}, {"valueQuantity": {"value": "many"}},
    {"valueQuantity": {"value": True}}, {"valueQuantity": None}, {"effectiveDateTime": "someday"},
    {"valueQuantity": {"value": float("nan"), "code": "kg"}}, {"performer": "me"}, {"effectiveDateTime": 7},
])  # fmt: skip
def test_odd_observations_are_counted_never_a_crash(tmp_path, change):
    found = fhir(
        tmp_path, [observation("29463-7", (70, "kg")), observation("29463-7", (71, "kg")) | change]
    )
    check = count_days(found.samples, key=KEY).check
    assert check.table["samples"].sum() == 2
    assert check.table.filter(outcome="marker")["samples"].sum() == (
        2 if change == {"performer": "me"} else 1
    )


# -- Health Connect ---------------------------------------------------------------------------------


def test_health_connect_tells_device_from_hand(tmp_path):
    at = {"startTime": "2024-03-01T01:00:00Z", "endTime": "2024-03-01T02:00:00Z"}
    said = lambda method: {"metadata": {"recordingMethod": method, "dataOrigin": "com.app"}}  # noqa: E731
    records = [
        {"recordType": "StepsRecord", "count": 3000} | at | said(2),
        {"recordType": "androidx.health.connect.client.records.StepsRecord", "count": 500} | at | said(3),
        {"type": "Steps", "count": 700, "startTime": "2024-03-01T03:00:00Z", "endTime": "2024-03-01T04:00:00Z"} | said("x"),
        {"recordType": "HeartRateRecord", "samples": [{"time": "2024-03-01T01:00:00Z", "beatsPerMinute": 61}]} | at | said(2),
        {"recordType": "WeightRecord", "time": "2024-03-01T01:00:00Z", "weight": {"inKilograms": 70}} | said(1),
        {"recordType": "SleepSessionRecord", "stages": [{"stage": 1} | at], "startTime": "2024-02-29T18:00:00Z",
         "endTime": "2024-03-01T02:00:00Z"} | said(2),
        {"recordType": "BodyFatRecord"} | at,
    ]  # fmt: skip
    path = tmp_path / "records.json"
    path.write_text(json.dumps({"records": records}), encoding="utf-8")
    found = read_health_connect(path, person="王", tz=SHANGHAI)
    assert found.unread == {"BodyFatRecord": 1}
    counted = count_days(found.samples, key=KEY)
    day = counted.days.row(0, named=True)
    assert (day["steps"], day["sleep_hours"]) == (3700.0, 7.0)
    assert day["evidence"] == pytest.approx((3000 + 0.3 * 700) / 3700)
    assert counted.check.table.filter(outcome="manual_entry")["steps"].item() == 500.0
    path.write_text("\n".join(json.dumps(one) for one in records), encoding="utf-8")
    assert read_health_connect(path, person="王", tz=SHANGHAI).samples.equals(found.samples)
    path.write_text("nothing", encoding="utf-8")
    with pytest.raises(InputError, match="is no JSON"):
        read_health_connect(path, person="王", tz=SHANGHAI)


# -- Fitbit and tidy files --------------------------------------------------------------------------


def test_fitbit_files_say_what_lacks_and_keep_what_they_cannot_read():
    with pytest.raises(InputError, match="2 columns are not there"):
        fitbit_sleep(Source(frame=pl.DataFrame({"SleepDay": ["4/12/2016"]})), tz=SHANGHAI)
    rows = pl.DataFrame({"Id": ["1", "1"], "ActivityDate": ["2/29/2016", "2/30/2016"], "TotalSteps": ["5000", "x"],
                         "VeryActiveMinutes": ["1", "2"], "FairlyActiveMinutes": ["3", "4"]})  # fmt: skip
    found = count_days(fitbit_activity(Source(frame=rows), tz=SHANGHAI), key=KEY)
    assert found.days["steps"].to_list() == [5000.0]
    assert found.check.table.filter(outcome="unreadable_time")["samples"].item() == 3


def test_tidy_csv_in_chinese_encoding_and_parquet_are_one(tmp_path):
    text = "编号,开始,结束,项目,数值,单位,来源,方式\n甲,2024/03/01 08:00,2024/03/01 09:00,步数,3000,步,华为手环,自动\n"
    (tmp_path / "a.csv").write_bytes(text.encode("gb18030"))
    columns = {"person": "编号", "start": "开始", "end": "结束", "metric": "项目", "value": "数值",
               "unit": "单位", "source": "来源", "method": "方式"}  # fmt: skip
    levels = {"metric": {"步数": "steps"}, "unit": {"步": "steps"}, "method": {"自动": "automatic"}}
    source = Source(
        files="a.csv", folder=tmp_path, encoding="gb18030", columns=columns, levels=levels
    )
    read = read_samples(source, tz=SHANGHAI)
    assert read.row(0, named=True)["source"] == "华为手环"
    found = count_days(read, key=KEY)
    assert found.days.select("steps", "valid").rows() == [(3000.0, True)]
    read.write_parquet(tmp_path / "a.parquet")
    again = count_days(pl.scan_parquet(tmp_path / "a.parquet"), key=KEY)
    assert again.days.equals(found.days)
