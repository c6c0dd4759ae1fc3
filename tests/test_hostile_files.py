"""Hostile files: every entry answers or refuses; nothing else, whatever the bytes."""

import json
import os
import random
import struct
import tomllib
import zipfile

import polars as pl
import pytest

from hostile import Tally, as_json, mutated_bytes, mutated_tree, toml
from pricing.activity.apple import read_apple
from pricing.activity.fhir import read_fhir
from pricing.activity.health_connect import read_health_connect
from pricing.care.grading import grading_standard
from pricing.data.check import check, write_rejected
from pricing.data.contracts import contract
from pricing.data.markup import parse
from pricing.data.sources import Source, read_table
from pricing.data.tables import bundled
from pricing.errors import InputError, plain
from pricing.experience.cells import Experience
from pricing.experience.store import ExperienceStore
from pricing.inputs import json_text, toml_tree
from pricing.mutual_aid.rules import aid_rules
from pricing.plans.open_file import open_file
from pricing.programme.programme_file import read_programme
from pricing.regulation.rule import read_rules
from pricing.result.shape import Result
from pricing.tariff.rates import tariff_from
from pricing.tariff.steps_file import read_steps
from pricing.tariff.workbook import read_workbook, write_workbook
from pricing.tariff.written import read_json, read_tariff, write_tariff

TARIFF = tariff_from(1000.0, {"sex": [("female", 1.0), ("male", 1.2)]})
TOML = {
    "study": (sorted(bundled("studies/huoli.toml").parent.glob("*.toml")), open_file),
    "programme": (sorted(bundled("programmes/huoli.toml").parent.glob("*.toml")), read_programme),
    "mutual_aid": (sorted(bundled("mutual_aid/generic.toml").parent.glob("*.toml")), aid_rules),
    "grading": ([bundled("rules/disability_grading_2021.toml")], grading_standard),
    "rules": ([bundled("rules/china_health.toml")], read_rules),
}
FEW, MANY = 25, 1500  # inputs of an entry: in every run, and in the slow one


def fuzz_toml(entry, path, seed, inputs):
    files, call = TOML[entry]
    rng, tally = random.Random(seed), Tally()
    for _ in range(inputs):
        file = rng.choice(files)
        raw = file.read_bytes()
        if rng.random() < 0.75:
            data = toml(mutated_tree(tomllib.loads(raw.decode()), rng)).encode(
                "utf-8", "surrogatepass"
            )
        else:
            data = mutated_bytes(raw, rng)
        path.write_bytes(data)
        tally.take(lambda: call(path), data)
    return tally


@pytest.mark.parametrize("entry", TOML)
def test_a_damaged_settings_file_is_answered_or_refused(entry, tmp_path):
    tally = fuzz_toml(entry, tmp_path / "x.toml", 1, FEW)
    assert tally.faults == {}
    assert tally.tried == tally.answered + tally.refused == FEW


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3])
@pytest.mark.parametrize("entry", TOML)
def test_many_damaged_settings_files(entry, seed, tmp_path):
    assert fuzz_toml(entry, tmp_path / "x.toml", seed, MANY).faults == {}


def fuzz_saved(folder, seed, inputs):
    """Tariffs, steps, readings of devices, results, experience, a store: each damaged."""
    rows = pl.DataFrame({"sex": ["a", "b"], "exposure": [9.0, 7.0], "claims": [2, 3]})
    experience = Experience.collect(rows, ["sex"])
    experience.save(folder / "e.parquet")
    ExperienceStore(folder / "store").add(experience, source="a")
    write_tariff(TARIFF, folder / "t.json")
    steps = {"step": [{"step": "refit", "who": "Li", "when": "2026-05-01", "why": "x"}]}
    (folder / "steps.json").write_text(json.dumps(steps), encoding="utf-8")
    observed = {
        "resourceType": "Observation", "status": "final", "subject": {"reference": "Patient/1"},
        "code": {"coding": [{"system": "http://loinc.org", "code": "55423-8"}]},
        "effectiveDateTime": "2024-03-01", "valueQuantity": {"value": 500, "unit": "steps"},
    }  # fmt: skip
    (folder / "fhir.json").write_text(json.dumps(observed), encoding="utf-8")
    connect = [
        {"recordType": "StepsRecord", "startTime": "2024-03-01T00:00:00Z", "count": 5,
         "endTime": "2024-03-01T00:10:00Z", "metadata": {"recordingMethod": 3}},
        {"recordType": "HeartRateRecord", "samples": [{"time": "2024-03-01T00:00:00Z"}]},
    ]  # fmt: skip
    (folder / "connect.json").write_text(json.dumps(connect), encoding="utf-8")
    (folder / "export.xml").write_text(
        '<HealthData><Record type="HKQuantityTypeIdentifierStepCount" sourceName="表" unit="count" '
        'startDate="2024-03-01 08:00:00 +0800" endDate="2024-03-01 08:01:00 +0800" value="98"/>'
        "</HealthData>", encoding="utf-8",
    )  # fmt: skip
    zone = "Asia/Shanghai"
    entries = {
        "t.json": read_tariff,
        "steps.json": read_steps,
        "fhir.json": lambda p: read_fhir(p, tz=zone),
        "connect.json": lambda p: read_health_connect(p, person="a", tz=zone),
        "export.xml": lambda p: read_apple(p, folder / "samples", person="a", tz=zone),
        "e.parquet": Experience.load,
        "store/manifest.json": lambda p: ExperienceStore(p.parent).total(),
    }
    rng, tally = random.Random(seed), Tally()
    whole = {name: (folder / name).read_bytes() for name in entries}
    for _ in range(inputs):
        for name, call in entries.items():
            data = mutated_bytes(whole[name], rng)
            if name.endswith(".json") and rng.random() < 0.7:
                tree = mutated_tree(json.loads(whole[name]), rng)
                data = as_json(tree).encode("utf-8", "surrogatepass")
            (folder / name).write_bytes(data)
            tally.take(lambda c=call, p=folder / name: c(p), (name, data))
    return tally


def test_a_damaged_saved_file_is_answered_or_refused(tmp_path):
    assert fuzz_saved(tmp_path, 1, FEW).faults == {}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3])
def test_many_damaged_saved_files(seed, tmp_path):
    assert fuzz_saved(tmp_path, seed, MANY // 5).faults == {}


@pytest.mark.parametrize("place", [4, 60, -20])
def test_a_saved_result_that_was_changed_is_refused(place, tmp_path):
    rows = pl.DataFrame({"sex": ["a", "b"], "exposure": [9.0, 7.0], "claims": [2, 3]})
    from pricing.experience.views import one_way

    one_way(Experience.collect(rows, ["sex"]), "sex").save(tmp_path / "r")
    assert Result.load(tmp_path / "r").table.height == 2
    file = tmp_path / "r" / "table.parquet"
    data = file.read_bytes()
    flipped = bytearray(data)
    flipped[place] ^= 1
    file.write_bytes(flipped)
    with pytest.raises(InputError, match="not a saved result as it was written"):
        Result.load(tmp_path / "r")
    file.write_bytes(data)
    head = json.loads((tmp_path / "r" / "result.json").read_text(encoding="utf-8"))
    for wrong in ({"frames": ["../../x"]}, {"facts": {}}, {"version": 1, "frames": ["/etc/x"]}):
        (tmp_path / "r" / "result.json").write_text(json.dumps(head | wrong), encoding="utf-8")
        with pytest.raises(InputError, match="not a saved result"):
            Result.load(tmp_path / "r")


def readers(folder):
    return {
        "study": open_file,
        "apple": lambda p: read_apple(p, folder / "out", person="a", tz="Asia/Shanghai"),
        "fhir": lambda p: read_fhir(p, tz="Asia/Shanghai"),
        "connect": lambda p: read_health_connect(p, person="a", tz="Asia/Shanghai"),
        "markup": parse,
        "json": read_json,
        "workbook": read_workbook,
        "csv": lambda p: read_table(Source(files=p.name, folder=p.parent)),
    }


@pytest.mark.parametrize("reader", readers(None))
def test_a_pipe_a_folder_a_device_and_a_circle_are_refused_at_once(reader, tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "circle.csv").symlink_to(tmp_path / "circle.csv")
    (tmp_path / "endless.csv").symlink_to("/dev/zero")
    for name in ("pipe.csv", "folder.csv", "circle.csv", "endless.csv", "nothing.csv", "a\0b.csv"):
        with pytest.raises(InputError):
            readers(tmp_path)[reader](tmp_path / name)


@pytest.mark.parametrize("reader", ["study", "fhir", "connect", "json"])
@pytest.mark.parametrize("text", ["[" * 50_000, '{"a":' * 50_000, '{"a":' + "9" * 5_000 + "}", '{"a": 1}\n' + "[" * 50_000])  # fmt: skip
def test_what_is_nested_without_end_and_endless_numbers_are_refused(reader, text, tmp_path):
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError):
        readers(tmp_path)[reader](tmp_path / "a.json")


def test_a_hundred_thousand_keys_are_read_in_one_pass(tmp_path):
    keys = ",".join(f'"k{i}":1' for i in range(100_000))
    assert len(json_text("{" + keys + "}", where="a")) == 100_000
    with pytest.raises(InputError, match="'k7' stands twice"):  # was quadratic: hours
        json_text("{" + keys + ',"k7":1}', where="a")
    (tmp_path / "a.toml").write_text("a." * 50_000 + "b = 1", encoding="utf-8")
    with pytest.raises(InputError, match="nested deeper than 60"):
        toml_tree(tmp_path / "a.toml")


@pytest.mark.parametrize("value, said", [
    ("9223372036854775808", "beyond 64 bits"), (r'"a\u0000b"', r"U\+0000"), (r'"a\u001b[31m"', r"U\+001B"),
    (r'"a\u202eb"', r"U\+202E"), ("9" * 5_000, "not a readable TOML file"),
])  # fmt: skip
def test_numbers_and_characters_that_no_file_needs_are_refused(value, said, tmp_path):
    (tmp_path / "a.toml").write_text(f"a = {value}", encoding="utf-8")
    with pytest.raises(InputError, match=said):
        toml_tree(tmp_path / "a.toml")


def test_a_refusal_does_not_steer_the_terminal():
    assert (
        str(InputError("a\x1b]0;b\x07\u202ec", where="\x1b[2J")) == r"\x1b[2J: a\x1b]0;b\x07\u202ec"
    )
    assert plain("空 é\t\n") == "空 é\t\n"


XML = "<!DOCTYPE HealthData [{}]><HealthData><Record value='&a;'/></HealthData>"


@pytest.mark.parametrize("declared", [
    '<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;">', '<!ENTITY a SYSTEM "file:///etc/passwd">',
    '<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;', '<!-- ]> --><!ENTITY a "lol">',
    "<!ELEMENT a ANY>" * 100_000 + '<!ENTITY a "lol">',
])  # fmt: skip
@pytest.mark.parametrize("coded", ["utf-8", "utf-16"])
def test_entities_are_refused_before_they_are_read(declared, coded, tmp_path):
    (tmp_path / "a.xml").write_bytes(XML.format(declared).encode(coded))
    for reader in ("apple", "markup"):
        with pytest.raises(InputError):
            readers(tmp_path)[reader](tmp_path / "a.xml")


def test_archives_that_swell_or_climb_out_are_refused_or_harmless(tmp_path):
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/export.xml", b"<HealthData>" + b" " * 60_000_000)
    with pytest.raises(InputError, match="unpacks"):
        readers(tmp_path)["apple"](tmp_path / "b.zip")
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("../../evil/export.xml", b"<HealthData></HealthData>")
    assert readers(tmp_path)["apple"](tmp_path / "c.zip").records == 0
    assert not (tmp_path.parent / "evil").exists()
    assert not (tmp_path.parent.parent / "evil").exists()


def rewritten(folder, change):
    """The tariff's workbook with its parts changed."""
    write_workbook(TARIFF, folder / "t.xlsx")
    with zipfile.ZipFile(folder / "t.xlsx") as old, zipfile.ZipFile(folder / "x.xlsx", "w", zipfile.ZIP_DEFLATED) as new:  # fmt: skip
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return folder / "x.xlsx"


@pytest.mark.parametrize("old, new, said", [
    (b"</sheetData>", b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>', "reach"),
    (b"</sheetData>", b'<row r="1048576"><c r="&#88;FD1048576"><v>1</v></c></row></sheetData>', "reach"),
    (b"<worksheet", b'<!DOCTYPE x [<!ENTITY a "b">]><worksheet', "document type"),
    (b"</sheetData>", b"</sheetData>" + b" " * 60_000_000, "larger than 50,000,000"),
])  # fmt: skip
def test_a_workbook_that_would_swell_is_refused(old, new, said, tmp_path):
    path = rewritten(
        tmp_path, lambda n, b: b.replace(old, new, 1) if n.endswith("sheet1.xml") else b
    )
    with pytest.raises(InputError, match=said):  # the first took 550 GB and the process with it
        read_workbook(path)


def test_a_workbook_whose_stated_sizes_lie_is_refused(tmp_path):
    swollen = lambda n, b: b + b" " * 60_000_000 if n.endswith("sheet1.xml") else b  # noqa: E731
    data = bytearray(rewritten(tmp_path, swollen).read_bytes())
    at = data.find(b"PK\x01\x02")
    while at >= 0:
        if struct.unpack("<I", data[at + 24 : at + 28])[0] > 1_000_000:
            data[at + 24 : at + 28] = struct.pack("<I", 1_000)
        at = data.find(b"PK\x01\x02", at + 4)
    (tmp_path / "lie.xlsx").write_bytes(data)
    with pytest.raises(InputError):
        read_workbook(tmp_path / "lie.xlsx")


def test_a_plain_workbook_reads_back_as_before(tmp_path):
    assert read_workbook(rewritten(tmp_path, lambda _, b: b)).factors == TARIFF.factors


@pytest.mark.parametrize(
    "name", ["hex", "zip", "rot13", "base64", "idna", "utf-7", "a\0b", "../x", ""]
)
def test_an_encoding_that_is_none_of_text_is_refused(name):
    with pytest.raises(InputError, match="no encoding"):
        Source(files="a.csv", encoding=name)


@pytest.mark.parametrize("dtype", [
    pl.Binary, pl.Object, pl.Duration, pl.Time, pl.List(pl.Int64), pl.Struct({"a": pl.Int64}),
    pl.Decimal(10, 2), pl.Int128, pl.Null, pl.Datetime("ns", "Asia/Shanghai"), pl.UInt64,
])  # fmt: skip
@pytest.mark.parametrize("column", ["exposure", "claims", "person_id"])
def test_a_column_of_any_kind_is_judged_and_its_rows_written(dtype, column, tmp_path):
    from datetime import datetime, time, timedelta
    from decimal import Decimal

    values = {
        pl.Binary: b"\xff", pl.Object: object(), pl.Duration: timedelta(1), pl.Time: time(1),
        pl.List: [1], pl.Struct: {"a": 1}, pl.Decimal: Decimal(2), pl.Int128: 2**100, pl.Null: None,
        pl.Datetime: datetime(2024, 1, 1), pl.UInt64: 2**64 - 1,
    }  # fmt: skip
    odd = pl.Series([values[dtype.base_type()], None], dtype=dtype)
    frame = pl.DataFrame({"exposure": [1.0, 1.0], "claims": [0, 1], "person_id": ["a", "b"]})
    seen = check(frame.with_columns(odd.alias(column)), "person_years", factors={"person_id": None})
    assert seen.accepted.height + seen.rejected.height == 2
    assert write_rejected(seen, tmp_path).is_file()


@pytest.mark.parametrize("name", ["\0", "a\x1bb", "a\nb", "_x", ""])
def test_a_factor_whose_name_steers_is_refused(name):
    with pytest.raises(InputError, match="cannot be a column's name"):
        contract("person_years", factors={name: None})


@pytest.mark.parametrize("value", [[], {}, 0, False, None])
def test_a_tariff_is_valid_from_a_date_or_from_nothing_said(tmp_path, value):
    """Empty things of other kinds passed as no date, and the workbook could not be written."""
    path = tmp_path / "rates.json"
    write_tariff(tariff_from(100.0, {"sex": {"f": 1.0, "m": 1.2}}), path)
    said = json.loads(path.read_text(encoding="utf-8")) | {"valid_from": value}
    path.write_text(json.dumps(said), encoding="utf-8")
    with pytest.raises(InputError, match="cannot be used"):
        read_tariff(path)
