"""A small Parquet file that unpacks to far more than there is memory: refused by its footer."""

from __future__ import annotations

import io
from contextlib import redirect_stderr
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pricing.cli import main
from pricing.data.parquet_footer import unpacked_bytes
from pricing.data.sizes import size_of

STUDY = """
[study]
name = "bomb"
title = { en = "A study", zh = "研究" }
source = { en = "made by a test", zh = "测试数据" }
[tables.person_years]
files = "years.parquet"
[tables.person_years.factors]
health_group = ["G0", "G1"]
[model]
frequency = "health_group"
[discount]
order = ["G0", "G1"]
[premium]
target_loss_ratio = 0.7
cost_per_claim = 100.0
"""


def refused(folder: Path, *more: str) -> str:
    (folder / "study.toml").write_text(STUDY, encoding="utf-8")
    told = io.StringIO()
    with pytest.raises(SystemExit) as ended, redirect_stderr(told):
        main(["check", str(folder / "study.toml"), "--out", str(folder / "out"), *more])
    assert ended.value.code == 2
    return told.getvalue()


def test_a_column_of_very_many_rows_is_refused_before_it_is_read(tmp_path):
    rows = 500_000
    one = pl.DataFrame({"exposure": [1.0], "claims": [1], "health_group": ["G0"]})
    part = tmp_path / "part.parquet"
    pl.concat([one] * rows, rechunk=True).write_parquet(part)
    pl.concat([pl.scan_parquet(part)] * 40).sink_parquet(tmp_path / "years.parquet")
    assert (tmp_path / "years.parquet").stat().st_size < 2_000_000
    assert "20,000,000 rows" in refused(tmp_path, "--memory", "2GB")


def test_long_texts_in_a_small_file_are_counted(tmp_path):
    texts = [f"{i}" + "x" * 1_000_000 for i in range(60)]
    frame = pl.DataFrame({"exposure": [1.0] * 60, "claims": [1] * 60, "health_group": texts})
    file = tmp_path / "years.parquet"
    frame.write_parquet(file, compression="zstd")
    assert file.stat().st_size < 100_000
    assert 59_000_000 < unpacked_bytes(file) < 62_000_000
    told = refused(tmp_path, "--memory", "500MB")
    assert "0.1 GB unpacked" in told
    assert "0.5 GB of memory" in told


def test_numbers_and_short_words_are_in_the_rows_estimate(tmp_path):
    frame = pl.DataFrame({"a": range(5_000), "b": ["G0", "G1"] * 2_500, "c": [0.5] * 5_000})
    frame.write_parquet(tmp_path / "a.parquet")
    assert size_of("a.parquet", tmp_path).long_text == 0
    assert unpacked_bytes(tmp_path / "a.parquet") > 0


def test_a_damaged_footer_is_no_fault_of_ours(tmp_path):
    file = tmp_path / "a.parquet"
    pl.DataFrame({"a": range(50), "b": ["x", "y"] * 25}).write_parquet(file)
    whole = file.read_bytes()
    draw = np.random.default_rng(3)
    for _ in range(600):
        bytes_ = bytearray(whole)
        for at in draw.integers(0, len(whole), draw.integers(1, 6)):
            bytes_[at] = draw.integers(0, 256)
        file.write_bytes(
            bytes_[: draw.integers(1, len(whole) + 1)] if draw.random() < 0.2 else bytes_
        )
        assert unpacked_bytes(file) >= 0
    assert unpacked_bytes(tmp_path / "nobody.parquet") == 0
