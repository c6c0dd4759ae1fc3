"""No name, number or raw sample of a person stands in anything a study writes: every byte is searched."""

from __future__ import annotations

import gzip
import re
import zipfile
from base64 import b64decode
from dataclasses import dataclass, field

import numpy as np
import polars as pl
import pytest

from pricing.activity.days import count_days
from pricing.activity.pseudonym import Key
from pricing.data.programme_book import simulate_programme
from pricing.lab.opened import open_for_turning
from pricing.plans.open_file import open_file
from pricing.privacy.small_cells import suppressed
from pricing.report.page import write
from pricing.report.workbook import write_workbook

KEY = Key(bytes(range(32)))
SURNAMES, GIVEN = "赵钱孙李周吴郑王冯陈", "伟芳娜敏静丽强磊洋勇"


def named(n, seed=7):
    """People as a core system may name them: a name, a phone and an 18-digit number in one."""
    draw = np.random.default_rng(seed)
    return [
        f"{SURNAMES[i % 10]}{GIVEN[i // 10 % 10]}{GIVEN[i // 100 % 10]}"
        f"|1{draw.integers(30, 99)}{draw.integers(10**7, 10**8)}"
        f"|{draw.integers(110000, 659999)}19{draw.integers(50, 99)}{draw.integers(10**9, 10**10):010d}"
        for i in range(n)
    ]


@dataclass
class Scan:
    """What was searched, and what was found."""

    files: int = 0
    size: int = 0
    found: list = field(default_factory=list)

    def folder(self, folder, needles):
        spelt = {one for n in needles for one in (n, n.encode("unicode_escape").decode())}
        sought = re.compile(b"|".join(re.escape(s.encode()) for s in sorted(spelt)))
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            for part in opened(path):
                self.files += 1
                self.size += len(part)
                wide = part.replace(b"\x00", b"") if b"\x00" in part else b""
                for text in (part, wide):
                    self.found += [
                        (path.name, hit.group().decode()) for hit in sought.finditer(text)
                    ]
        return self


def opened(path):
    """The bytes of a file, and of what is packed in it."""
    raw = path.read_bytes()
    yield raw
    if path.suffix == ".gz" or raw[:2] == b"\x1f\x8b":
        yield gzip.decompress(raw)
    if path.suffix == ".xlsx":
        with zipfile.ZipFile(path) as book:
            yield from (book.read(name) for name in book.namelist())
    if path.suffix == ".parquet":
        yield pl.read_parquet(path).write_json().encode()
        yield str(pl.read_parquet_metadata(path)).encode()
    if path.suffix == ".html":
        for packed in re.findall(rb"[A-Za-z0-9+/]{400,}={0,2}", raw):
            plain = b64decode(packed + b"=" * (-len(packed) % 4))
            yield gzip.decompress(plain) if plain[:2] == b"\x1f\x8b" else plain


HEAD = """
[study]
name = "scanned"
title = { en = "Scanned", zh = "扫描" }
source = { en = "made by a test", zh = "测试数据" }
"""
YEARS = """
[tables.person_years]
files = "years.csv"
[tables.person_years.factors]
health_group = ["G0", "G1"]
region = ["north", "south"]
[model]
frequency = "region"
cluster = "person_id"
[discount]
order = ["G0", "G1"]
[premium]
target_loss_ratio = 0.7
cost_per_claim = 100.0
"""


def book(folder, people):
    draw = np.random.default_rng(3)
    n = 2 * len(people)
    frame = pl.DataFrame(
        {
            "person_year_id": [f"PY-{KEYED}-{i}" for i in range(n)],
            "person_id": [people[i % len(people)] for i in range(n)],
            "period": 2023 + np.arange(n) // len(people),
            "exposure": draw.uniform(0.5, 1.0, n).round(3),
            "claims": draw.poisson(0.7, n),
            "region": np.array(["north", "south"])[draw.integers(0, 2, n)],
            "health_group": np.array(["G0", "G1"])[draw.integers(0, 2, n)],
            "phone": [p.split("|")[1] for p in people] * 2,
        }
    ).with_columns(exposure=pl.when(pl.int_range(n) < 5).then(-1.0).otherwise("exposure"))
    frame.write_csv(folder / "years.csv")
    (folder / "study.toml").write_text(HEAD + YEARS, encoding="utf-8")
    return folder / "study.toml"


KEYED = "QX7"


def parts_of(people):
    return sorted({part for person in people for part in (person, *person.split("|")[1:])})


def test_the_scan_finds_what_is_planted(tmp_path):
    """Before it is believed: each kind of file, with a name in it."""
    people = named(3)
    frame = pl.DataFrame({"person": people})
    frame.write_parquet(tmp_path / "a.parquet")
    frame.write_csv(tmp_path / "b.csv")
    frame.write_excel(tmp_path / "c.xlsx")
    packed = gzip.compress(("x" * 2000 + people[0]).encode(), compresslevel=0)
    from base64 import b64encode

    (tmp_path / "d.html").write_bytes(b"<p>" + b64encode(packed) + b"</p>")
    (tmp_path / "e.gz").write_bytes(gzip.compress(people[1].encode()))
    (tmp_path / "f.json").write_text(frame.write_json().encode().decode(), encoding="utf-8")
    found = Scan().folder(tmp_path, parts_of(people)).found
    assert {name for name, _ in found} == {
        "a.parquet",
        "b.csv",
        "c.xlsx",
        "d.html",
        "e.gz",
        "f.json",
    }


def test_a_book_of_named_persons_leaves_no_name(tmp_path):
    people = named(240)
    study = open_file(book(tmp_path, people))
    assert study.checked["person_years"].rejected.height == 5
    results = study.run()
    assert any(p in str(results["data_check"].frames["faults"].rows()) for p in [KEYED])
    write(study, results, tmp_path / "out")
    scan = Scan().folder(tmp_path / "out", [*parts_of(people), f"PY-{KEYED}"])
    assert scan.found == []
    assert scan.files > 100
    assert scan.size > 1_000_000


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    folder = tmp_path_factory.mktemp("members")
    simulate_programme(folder / "made", members=150, seed=4)
    old = pl.read_parquet(folder / "made/programme_members/*.parquet")["person"].unique().sort()
    people = named(old.len())
    renamed = pl.col("person").replace_strict(old, people)
    sections = []
    for name in ("programme_members", "activity_days", "programme_events"):
        pl.read_parquet(folder / f"made/{name}/*.parquet").with_columns(renamed).write_parquet(
            folder / f"{name}.parquet"
        )
        sections.append(f'[tables.{name}]\nfiles = "{name}.parquet"\n')
    plan = '[programme]\nfile = "huoli"\nasked_on = 2025-07-01\naskers = 20\n'
    (folder / "study.toml").write_text(HEAD + "".join(sections) + plan, encoding="utf-8")
    return folder, people


def test_a_programme_of_named_members_leaves_no_name(members):
    folder, people = members
    study = open_file(folder / "study.toml")
    results = study.run()
    assert results["health_values"].table.height == len(people)
    write(study, results, folder / "out")
    scan = Scan().folder(folder / "out", parts_of(people))
    assert scan.found == []
    assert scan.files > 50


def test_the_lab_shows_and_exports_no_name(members):
    folder, people = members
    lab = open_for_turning(folder / "study.toml", kept=folder / "kept")
    results = lab.at_once({"programme.hysteresis": 0.0})
    assert results
    out = folder / "lab"
    out.mkdir()
    write_workbook(results, out / "lab.xlsx", title={"en": "Lab", "zh": "实验室"})
    for name, result in results.items():
        text = [result.finding("en"), result.html("zh")]
        if type(result).figure is not result.__class__.__mro__[-2].figure:
            text.append(result.figure("en").to_json())
        (out / f"{name.replace(':', '-')}.json").write_text("\n".join(text), encoding="utf-8")
    assert Scan().folder(out, parts_of(people)).found == []


def test_raw_samples_go_no_further_than_their_days(tmp_path):
    """A step count that nobody else has, a device's number, a minute of the day."""
    people = named(12)
    start = pl.datetime_range(
        pl.datetime(2025, 3, 1, 8), pl.datetime(2025, 3, 20, 8), "1d", eager=True
    )
    rows = pl.DataFrame({"person": people}).join(pl.DataFrame({"start": start}), how="cross")
    rows = rows.with_columns(
        end=pl.col("start") + pl.duration(minutes=47, seconds=13),
        start=pl.col("start"),
        metric=pl.lit("steps"),
        value=4321.0 + pl.int_range(pl.len()) * 1.000_173,
        device=pl.lit("SN-93842-KJ"),
        source=pl.lit("watch"),
        method=pl.lit("automatic"),
    )
    again = rows.with_columns(
        value=pl.col("value") * 0.37,
        start=pl.col("end"),
        end=pl.col("end") + pl.duration(minutes=20),
    )
    found = count_days(pl.concat([rows, again]), key=KEY, tz="Asia/Shanghai")
    found.days.write_parquet(tmp_path / "days.parquet")
    found.check.save(tmp_path / "check")
    held = suppressed({"activity_check": found.check})
    write_workbook(held, tmp_path / "check.xlsx", title={"en": "Check", "zh": "检查"})
    samples = [f"{v:.6f}".rstrip("0") for v in rows["value"].to_list()]
    needles = [*parts_of(people), *samples, "SN-93842", "08:47:13"]
    assert Scan().folder(tmp_path, needles).found == []
    assert found.days["person"].n_unique() == 12


def test_claims_read_from_messages_leave_no_claim_or_policy_number(tmp_path):
    text = (
        HEAD
        + '[simulate]\nmembers = 1200\nseed = 5\n[claims_link]\nprefix = "AJ"\nlookback_days = 365\n'
        + "least_watched = 0.25\nmany_alarms = 2.0\nconfirmed_only = false\nfirst_year = 1\n"
        + "age_edges = [0, 65, 70, 75, 80]\n"
    )
    (tmp_path / "study.toml").write_text(text, encoding="utf-8")
    study = open_file(tmp_path / "study.toml", work=tmp_path / "work")
    results = study.run()
    history = results["claim_link"].frames["history"]["claim_id"].to_list()
    assert len(history) > 100
    write(study, results, tmp_path / "out")
    policies = study.checked["policies"].accepted["policy_id"].to_list()
    scan = Scan().folder(tmp_path / "out", [*history, *policies])
    assert scan.found == []
