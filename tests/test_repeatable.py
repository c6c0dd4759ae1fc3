"""The same inputs, seed and version give the same bytes: other processes, hash seeds and thread counts."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import pricing
from pricing.data.tables import bundled
from pricing.result.shape import Result
from pricing.study.data_check import frame_fingerprint

FEW = {  # so many instead of those of the bundled file
    "huoli": ("100_000", "3_000"),
    "huoli_members": ("members = 3_000", "members = 200"),
    "mutual_aid": ("members = 150_000", "members = 20_000"),
    "anjia_link": ("members = 6_000", "members = 3_000"),
}
AGAIN = """
import sys
from pathlib import Path
from pricing.plans.open_file import open_file
from pricing.report.page import write
for path in sys.argv[1:]:
    study = open_file(path, work="books")
    write(study, study.run(), Path("out") / study.name)
"""


HEAVY = (
    "causal",
    "projection",
    "programme_effect",
    "programme_effect.ladder",
    "losses",
    "validation",
)


def without(text, sections):
    """The study file without some of its sections."""
    parts = re.split(r"(?m)^(?=\[)", text)
    return "".join(p for p in parts if not p.startswith(tuple(f"[{name}]" for name in sections)))


def begun(folder, studies, *, seed, threads, light):
    """Run studies in a process of their own."""
    folder.mkdir()
    for name in studies:
        text = bundled(f"studies/{name}.toml").read_text("utf-8")
        old, new = FEW.get(name, ("", ""))
        assert old in text
        text = text.replace(old, new) if old else text
        text = text.replace(
            "large = 50_000  # CNY; what", "draws = 100\nlarge = 50_000  # CNY; what"
        )
        text = text.replace("challenger = true", "challenger = false")
        text = text.replace("years = 10\n", "years = 3\ndraws = 20\n")
        text = without(text, HEAVY) if light else text
        (folder / f"{name}.toml").write_text(text, encoding="utf-8")
    paths = [str(Path(pricing.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    env = {**os.environ, "PYTHONHASHSEED": str(seed), "POLARS_MAX_THREADS": str(threads),
           "PYTHONPATH": os.pathsep.join(p for p in paths if p)}  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-c", AGAIN, *(f"{n}.toml" for n in studies)],
        cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def files_of(folder):
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def alike(tmp_path, studies, *, light=False):
    runs = [
        begun(tmp_path / n, studies, seed=s, threads=t, light=light)
        for n, s, t in (("a", 1, 1), ("b", 2, 2))
    ]
    said = [process.communicate()[0].decode(errors="replace") for process in runs]
    assert [process.returncode for process in runs] == [0, 0], "".join(said)[-2_000:]
    one, other = (files_of(tmp_path / n / "out") for n in "ab")
    assert one.keys() == other.keys()
    assert [name for name in one if one[name] != other[name]] == []
    return one


def test_two_plans_give_the_same_bytes_in_any_process(tmp_path):
    found = alike(tmp_path, ["huoli_members", "mutual_aid"])
    endings = {Path(name).suffix for name in found}
    assert endings >= {".html", ".json", ".xlsx", ".csv", ".parquet"}


def test_a_book_gives_the_same_bytes_in_any_process(tmp_path):
    found = alike(tmp_path, ["huoli"], light=True)
    assert "huoli/run.json" in found
    assert any(name.startswith(".kept/") for name in found)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", sorted(p.stem for p in bundled("studies/huoli.toml").parent.glob("*.toml"))
)
def test_every_bundled_study_gives_the_same_bytes(tmp_path, name):
    alike(tmp_path, [name])


def test_a_table_is_hashed_by_what_it_says():
    one = pl.DataFrame({"a": ["x", None, ""], "b": [1.0, None, -0.0], "c": [True, False, None]})
    assert frame_fingerprint(one) == frame_fingerprint(one.rechunk())
    parts = pl.concat([one[:1], one[1:]], rechunk=False)
    assert frame_fingerprint(parts) == frame_fingerprint(one)
    others = [
        one.reverse(),
        one.rename({"a": "z"}),
        one.with_columns(a=pl.col("a").fill_null("")),
        one.with_columns(b=pl.col("b").fill_null(0.0)),
        one.with_columns(c=pl.col("c").fill_null(value=False)),
        one.with_columns(a=pl.Series(["", None, "x"])),
        one[:2],
    ]
    assert len({frame_fingerprint(f) for f in [one, *others]}) == 8
    texts = pl.DataFrame({"a": ["ab", "c"]}), pl.DataFrame({"a": ["a", "bc"]})
    assert frame_fingerprint(texts[0]) != frame_fingerprint(texts[1])


def test_any_kind_of_column_can_be_hashed():
    frame = pl.DataFrame(
        {
            "day": pl.Series(["2020-02-29"]).str.to_date(),
            "at": pl.Series(["2020-02-29 12:00"]).str.to_datetime(time_zone="UTC"),
            "list": [[1, None]],
            "struct": [{"x": "y"}],
            "bytes": [b"\xff\x00"],
            "decimal": pl.Series(["1.50"]).cast(pl.Decimal(10, 2)),
            "wide": pl.Series([2**64 - 1], dtype=pl.UInt64),
            "none": [None],
        }
    )
    assert len(frame_fingerprint(frame)) == 16
    for name in frame.columns[:-1]:
        assert frame_fingerprint(frame.with_columns(pl.lit(None).alias(name))) != frame_fingerprint(
            frame
        )


def test_a_result_is_hashed_by_its_content():
    from pricing.report.provenance import content_of
    from pricing.result.shape import Basis

    plain = Result(table=pl.DataFrame({"x": [1]}))
    assert content_of(plain) == content_of(Result(table=plain.table, basis=Basis(source="other")))
    assert content_of(plain) != content_of(Result(table=plain.table, facts={"x": 1}))
    assert content_of(plain) != content_of(Result(table=plain.table, frames={"y": plain.table}))
