"""A run that will not fit is refused before a row is read; the estimate counts what is there."""

from __future__ import annotations

import gzip

import polars as pl
import pytest

from pricing.data.sizes import Size, size_of
from pricing.data.tables import bundled
from pricing.errors import InputError
from pricing.study import memory_needed as memory
from pricing.study.chain import open_study
from pricing.study.memory_needed import available, parsed, require_memory
from test_cli import STUDY, files_of, one_message, place, pricing, years  # noqa: F401


@pytest.mark.parametrize(
    "text, size",
    [("4GB", 4e9), ("4 g", 4e9), ("2.5GB", 2.5e9), ("1GiB", 2**30), ("512kib", 2**19), ("7", 7)],
)
def test_a_size_is_read(text, size):
    assert parsed(text, "x") == size


@pytest.mark.parametrize("text", ["", "much", "-4GB", "0", "4 apples", "4GBB", "nan", "1e9GB", "∞"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(InputError, match="no size of memory"):
        parsed(text, "--memory")


def test_the_least_that_anybody_says_counts(monkeypatch):
    said = {
        "/proc/meminfo": "MemTotal: 9 kB\nMemAvailable:    3000 kB\n",
        "/sys/fs/cgroup/memory.max": "5000000\n",
        "/sys/fs/cgroup/memory.current": "4000000\n",
    }
    monkeypatch.setattr(memory, "_text", lambda path: said.get(path, ""))
    monkeypatch.delenv("PRICING_MEMORY", raising=False)
    assert (available().size, available().source) == (1_000_000, "left in this container")
    said["/sys/fs/cgroup/memory.max"] = "max\n"
    assert (available().size, available().source) == (3_072_000, "free on this machine")
    monkeypatch.setenv("PRICING_MEMORY", "1kB")
    assert (available().size, available().source) == (1000, "PRICING_MEMORY")
    assert available("2kB").source == "--memory"
    said.clear()
    monkeypatch.delenv("PRICING_MEMORY")
    assert available().size is None  # a system that says nothing: nothing is refused
    require_memory(open_study(bundled("studies/huoli.toml")), "run")


def test_sizes_are_those_of_the_files(tmp_path):
    rows = years(1000)
    for part in range(3):
        rows.write_parquet(tmp_path / f"y-{part}.parquet")
    rows.write_csv(tmp_path / "y.csv", separator=";")
    rows.write_ipc(tmp_path / "y.arrow")
    (tmp_path / "y.jsonl").write_text('{"a": 1}\n' * 50, encoding="utf-8")
    assert size_of("y-*.parquet", tmp_path) == Size(3000, 6)
    assert size_of("y.arrow", tmp_path) == Size(1000, 6)
    text = size_of("y.csv", tmp_path, separator=";")
    assert text.columns == 6
    assert text.rows == pytest.approx(1001, rel=0.02)
    assert size_of("y.jsonl", tmp_path).rows == 50
    pl.concat([rows] * 40).write_csv(tmp_path / "long.csv")  # longer than what is looked at
    assert size_of("long.csv", tmp_path).rows == pytest.approx(40_000, rel=0.05)
    with pytest.raises(InputError, match="no such file"):
        size_of("z.csv", tmp_path)


@pytest.mark.parametrize("damage", [b"", b"PAR1 nothing of the kind", gzip.compress(b"x")])
def test_a_damaged_file_is_left_to_its_reader(tmp_path, damage):
    (tmp_path / "y.parquet").write_bytes(damage)
    assert size_of("y.parquet", tmp_path).rows == 0


@pytest.mark.parametrize("command", ["run", "check", "renew"])
def test_a_run_that_will_not_fit_is_refused_before_any_work(pricing, place, command):  # noqa: F811
    more = ("--out", place / "out.parquet") if command == "renew" else ()
    before = files_of(place)
    asked = (command, "study.toml", *more, "--memory", "200MB")
    err = one_message(*pricing(*asked))
    assert f"the {command} needs some 0.4 GB of memory, and there is 0.2 GB (--memory)" in err
    assert "person_years: 4" in err
    assert "× 6 columns" in err
    assert "docs/engines.md" in err
    assert files_of(place) == before


def test_a_limit_that_suffices_changes_no_byte(pricing, place):  # noqa: F811
    assert pricing("run", "study.toml", "--out", "a")[0] == 0
    assert pricing("run", "study.toml", "--out", "b", "--memory", "4GB")[0] == 0
    one, other = (files_of(place / name) for name in "ab")
    assert one == other
    assert len(one) > 5


def test_a_book_of_ten_million_fits_into_4_gb_and_says_where_it_does_not(tmp_path):
    text = bundled("studies/huoli.toml").read_text(encoding="utf-8")
    (tmp_path / "big.toml").write_text(text.replace("100_000", "10_000_000"), encoding="utf-8")
    study = open_study(tmp_path / "big.toml", work=tmp_path / "books")
    for work in ("check", "run", "renew"):
        require_memory(study, work, limit="4GB")
        with pytest.raises(InputError, match="10,000,000 simulated policies") as caught:
            require_memory(study, work, limit="2GB")
        assert "needs some 3." in str(caught.value)
    assert not (tmp_path / "books").exists()  # nothing was simulated for it


def test_a_book_of_many_that_is_not_in_parts_says_how_it_would_fit(tmp_path):
    text = bundled("studies/huoli.toml").read_text(encoding="utf-8")
    (tmp_path / "all.toml").write_text(text.replace("100_000", "450_000"), encoding="utf-8")
    with pytest.raises(InputError, match=r"needs some 4\.5 GB") as caught:
        require_memory(open_study(tmp_path / "all.toml"), "run", limit="4GB")
    assert "parts = true" in str(caught.value)


def test_the_bundled_studies_fit_where_they_are_run():
    for name in ("huoli", "randhie"):
        require_memory(open_study(bundled(f"studies/{name}.toml")), "run", limit="4GB")


def test_a_study_names_its_tables(tmp_path):
    (tmp_path / "s.toml").write_text(STUDY, encoding="utf-8")
    years(2000).write_csv(tmp_path / "years.csv")
    with pytest.raises(InputError) as caught:
        require_memory(open_study(tmp_path / "s.toml"), "run", limit="1MB")
    assert "person_years: 2,0" in str(caught.value)
