"""The exposure split on any engine: shard by shard, the same cells, the same refusals."""

from datetime import date, timedelta

import duckdb
import numpy as np
import polars as pl
import pytest

from engines import EVERYWHERE, engine_frames
from pricing.errors import InputError
from pricing.experience import shards
from pricing.experience.lexis import Lexis
from pricing.experience.shards import Shards
from pricing.experience.split import split_exposure

WINDOW = {"start": date(2020, 1, 1), "end": date(2023, 1, 1)}


def policies(rows=5_000, seed=3):
    draw = np.random.default_rng(seed)
    start = [date(2018, 1, 1) + timedelta(int(d)) for d in draw.integers(0, 1_600, rows)]
    end = [s + timedelta(int(d)) for s, d in zip(start, draw.integers(1, 1_500, rows), strict=True)]
    return pl.DataFrame(
        {
            "start": start,
            "end": end,
            "birth_date": [date(1940, 1, 1) + timedelta(int(d)) for d in draw.integers(0, 25_000, rows)],
            "exit_cause": draw.choice(["lapse", "death"], rows),
            "地区": draw.choice(["广东", "北京", "上海"], rows),
            "smoker": draw.random(rows) < 0.3,
            "plan": draw.integers(1, 4, rows),
            "premium": draw.integers(500, 5_000, rows).astype(float),
        }
    )  # fmt: skip


@pytest.fixture
def give(request, tmp_path):
    """Hand policies over as a frame of each engine that has dates, which pandas has not."""
    yield from engine_frames(request.param, request, tmp_path)


def pytest_generate_tests(metafunc):
    if "give" in metafunc.fixturenames:
        dated = [engine for engine in EVERYWHERE if engine != "pandas"]
        metafunc.parametrize("give", dated, indirect=True)


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(shards, "SHARD_ROWS", 700)


@pytest.mark.parametrize(
    "dims",
    [["calendar_year", "policy_year", "age"], ["calendar_month"], []],
    ids=["three lines", "months", "none"],
)
def test_the_split_is_the_same_on_every_engine(give, dims, small_shards):
    book, by = policies(), ["地区", "smoker", "plan"]
    lexis = Lexis(**WINDOW, dims=dims)
    options = {"exits": ["lapse", "death"], "premiums": ["premium"]}
    ours = split_exposure(book, by, lexis, **options)
    theirs = split_exposure(give(book), by, lexis, **options)
    assert ours.cells.drop("premium").equals(theirs.cells.drop("premium"))
    np.testing.assert_allclose(ours.values("premium"), theirs.values("premium"), rtol=1e-12)
    assert ours.levels("地区") == ["上海", "北京", "广东"]


def test_what_cannot_be_split_is_counted_over_all_shards(give, small_shards):
    book = policies().with_columns(
        end=pl.when(pl.int_range(pl.len()) % 10 == 0).then("start").otherwise("end"),
        地区=pl.when(pl.int_range(pl.len()) % 1_000 == 1).then(None).otherwise("地区"),
    )
    lexis = Lexis(**WINDOW, dims=["calendar_year"])
    said = []
    for frame in (book, give(book)):
        with pytest.raises(InputError) as refused:
            split_exposure(frame, ["地区"], lexis)
        said.append(str(refused.value))
    assert said[0] == said[1]
    assert "'end' is not after 'start' in 500 of 5,000 rows" in said[1]
    assert "factor '地区' is null in 5 of 5,000 rows" in said[1]


def test_an_unknown_cause_a_missing_column_and_no_policies(give):
    lexis = Lexis(**WINDOW, dims=["calendar_year"])
    book = policies(50)
    with pytest.raises(InputError, match="no exit cause 'laps'; did you mean 'lapse'"):
        split_exposure(give(book), [], lexis, exits=["laps"])
    with pytest.raises(InputError, match="'birth_date'"):
        split_exposure(give(book.drop("birth_date")), [], Lexis(**WINDOW, dims=["age"]))
    with pytest.raises(InputError, match="there are no policies"):
        split_exposure(give(book.clear()), [], lexis)


def test_an_enum_of_duckdb_keeps_its_order_through_the_split():
    with duckdb.connect() as base:
        base.sql("create type tier as enum ('silver', 'gold', 'bronze')")
        base.sql(
            "create table t as select date '2020-05-01' as start, date '2021-05-01' as \"end\", "
            "'gold'::tier as tier"
        )
        seen = split_exposure(base.table("t"), ["tier"], Lexis(**WINDOW, dims=["calendar_year"]))
    assert seen.levels("tier") == ["silver", "gold", "bronze"]
    assert seen.cells["days"].to_list() == [245, 120]


def test_a_job_meets_no_piece_larger_than_a_shard(small_shards):
    sizes = []

    def count(shard):
        found = shard.select(n=pl.len()).collect()
        sizes.append(found.item())
        return found

    with duckdb.connect() as base:
        book = base.from_arrow(policies(3_000).to_arrow())
        total = Shards.of(book, ["plan"]).gather(count, pl.DataFrame.sum)
    assert total.item() == 3_000
    assert len(sizes) > 1
