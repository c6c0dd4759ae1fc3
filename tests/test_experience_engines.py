"""Any engine: polars, DuckDB, Spark, pandas and pyarrow give the same cells and say the same no."""

import math
import subprocess
import sys
from datetime import date
from decimal import Decimal

import duckdb
import numpy as np
import polars as pl
import pytest

from engines import engine_frames
from pricing.errors import InputError
from pricing.experience.bands import band, band_labels, with_bands
from pricing.experience.cells import MEASURES, Experience
from pricing.experience.engines import MANY_ROWS

REGIONS = ["广东", "北京", "上海", "四川"]
PANDAS_DATE = "Datetime(time_unit='ms', time_zone=None)"
BANDS = {"age_band": ("age", [18, 30, 60, 100]), "debt": ("ratio", [0.0, 0.3, 0.7])}


def book(rows=20_000, seed=5):
    rng = np.random.default_rng(seed)
    claims = rng.negative_binomial(0.5, 0.3, rows)
    return pl.DataFrame(
        {
            "sex": rng.choice(["female", "male"], rows),
            "地区": rng.choice(REGIONS, rows),
            "smoker": rng.random(rows) < 0.2,
            "age": rng.integers(18, 120, rows),
            "ratio": rng.choice(np.array([0.0, 0.1, 0.3, 0.7, 1.5], dtype=np.float32), rows),
            "Exposure": rng.uniform(0.001, 1.0, rows),
            "claims": claims,
            "amount": claims * rng.lognormal(6, 1.5, rows),
            "premium": rng.integers(1_000_000_000, 2_000_000_000, rows).astype(np.int32),
        }
    )


def collect(frame, keys=("sex", "地区", "smoker"), **options):
    return Experience.collect(
        frame, list(keys), exposure="Exposure", amount="amount", sums=["premium"], **options
    )


def same(one, other, tolerance=1e-12):
    assert one.keys == other.keys
    assert one.cells.schema == other.cells.schema
    assert one.cells.select(one.keys).equals(other.cells.select(other.keys))
    worst = 0.0
    for name in one.cells.columns:
        a, b = one.cells[name], other.cells[name]
        if a.dtype.is_integer():
            assert a.equals(b), name
        elif a.dtype.is_float():
            apart = float(((a - b).abs() / a.abs().clip(1e-300)).max())
            assert apart <= tolerance, (name, apart)
            worst = max(worst, apart)
    assert (one.basis.rows, one.basis.claims) == (other.basis.rows, other.basis.claims)
    return worst


# -- the same cells -------------------------------------------------------------------------------


@pytest.mark.parametrize("keys", [("sex", "地区", "smoker"), ("age", "ratio"), ()])
def test_the_cells_are_the_same_on_every_engine(give, keys):
    rows = book()
    whole = collect(rows, keys)
    assert set(whole.cells.columns) == {*keys, *MEASURES, "premium"}
    worst = same(whole, collect(give(rows), keys))
    print(f"largest relative difference: {worst:.1e}")


def test_a_million_rows_in_unlike_cells(give):
    rows = book(1_000_000)
    same(collect(rows, ("地区", "age")), collect(give(rows), ("地区", "age")))


def test_equal_exposures_add_up_to_what_they_are(give):
    rows = pl.select(exposure=pl.repeat(1 / 12, 1_000_000), claims=pl.repeat(0, 1_000_000))
    seen = Experience.collect(give(rows), []).cells
    assert seen["exposure"].item() == pytest.approx(math.fsum([1 / 12] * 1_000_000), rel=1e-12)


def test_many_claims_a_row_add_exactly(give):
    rows = pl.DataFrame({"exposure": 1.0, "claims": np.full(100_000, 99_999, dtype=np.int32)})
    cells = Experience.collect(give(rows), []).cells
    assert cells["claims"].to_list() == [99_999 * 100_000]
    assert cells["claims_squared"].to_list() == [99_999**2 * 100_000]
    exact = -0.5 * math.log(2 * math.pi * 99_999) - 1 / (12 * 99_999)  # Stirling
    assert cells["log_likelihood_saturated"][0] / 100_000 == pytest.approx(exact, rel=1e-12)
    same(Experience.collect(rows, []), Experience.collect(give(rows), []))


def test_no_claim_at_all_needs_no_logarithm(give):
    rows = pl.DataFrame({"Exposure": [0.25, 0.5], "claims": [0, 0], "amount": [0.0, -0.0]})
    rows = rows.with_columns(premium=pl.Series([0, 0], dtype=pl.Int32))
    cells = collect(give(rows), ()).cells
    assert cells.select("claims_log_rate", "log_likelihood_saturated", "log_amount").row(0) == (
        0.0,
        0.0,
        0.0,
    )
    assert cells["amount_rows"].item() == 0


def test_decimal_keys_and_sums_fractions_and_both_zeros(give):
    rows = pl.DataFrame(
        {
            "coins": [Decimal("0.10"), Decimal("0.10"), Decimal("-7.35")],
            "score": [0.0, -0.0, 0.1],
            "exposure": [Decimal("0.25"), Decimal("0.70"), Decimal("1.00")],
            "claims": [0.5, 1.25, 0.0],
            "fee": [Decimal("12.34"), Decimal("0.01"), Decimal("3.00")],
        }
    )
    options = {"keys": ["coins", "score"], "sums": ["fee"]}
    found = Experience.collect(give(rows), **options)
    same(Experience.collect(rows, **options), found)
    assert found.cells.select("coins", "score", "rows", "fee").rows() == [
        (-7.35, 0.1, 1, 3.0),
        (0.1, 0.0, 2, 12.35),
    ]
    assert math.copysign(1, found.cells["score"][1]) == 1


def test_names_that_differ_by_case_only_or_look_like_ours(give):
    rows = pl.DataFrame({"Rows": ["a"], "k0": ["b"], "N": ["c"], "E": [0.5], "claims": [2]})
    seen = Experience.collect(give(rows), ["Rows", "k0", "N"], exposure="E")
    assert seen.cells.select("Rows", "k0", "N", "rows", "exposure").row(0) == (
        "a",
        "b",
        "c",
        1,
        0.5,
    )


def test_shards_from_three_engines_add_to_the_whole(request, tmp_path):
    rows = book(3_000)
    parts = []
    for i, engine in enumerate(("lazy", "duckdb", "spark")):
        (folder := tmp_path / engine).mkdir()
        shard = rows[1_000 * i : 1_000 * (i + 1)]
        parts += [collect(give(shard)) for give in engine_frames(engine, request, folder)]
    same(collect(rows), parts[0] + parts[1] + parts[2], 1e-11)


# -- levels and bands -----------------------------------------------------------------------------


def test_levels_in_the_order_that_was_asked_for(give):
    rows = book(500)
    seen = collect(give(rows)).with_levels(地区=REGIONS, sex=["male", "female", "unknown"])
    assert seen.levels("地区") == REGIONS
    assert seen.levels("sex") == ["male", "female", "unknown"]
    enum = rows.with_columns(pl.col("地区").cast(pl.Enum(REGIONS)))
    same(collect(enum, ["地区"]), collect(give(rows), ["地区"]).with_levels(地区=REGIONS))


def test_levels_that_were_not_named_are_refused_with_their_rows(give):
    rows = book(500)
    with pytest.raises(InputError) as refused:
        collect(give(rows)).with_levels(地区=REGIONS[1:], sex=["male", "female"])
    count = rows.filter(pl.col("地区") == "广东").height
    assert refused.value.faults == (f"'地区' is none of its levels in {count} rows: '广东'",)


@pytest.mark.parametrize(
    ("levels", "says"),
    [
        ({"age": ["18"]}, "key 'age' takes no levels"),
        ({"sex": ["male", "female", "male"]}, "one is named twice"),
        ({"sxe": ["male"]}, "did you mean 'sex'"),
    ],
)
def test_levels_that_cannot_be(levels, says):
    with pytest.raises(InputError, match=says):
        collect(book(50), ["sex", "age"]).with_levels(**levels)


def test_an_enum_of_duckdb_brings_its_order():
    with duckdb.connect() as base:
        base.sql("create type tier as enum ('silver', 'gold', 'bronze')")
        base.sql(
            "create table t as select 'gold'::tier as tier, 0.5 as exposure, 3::hugeint as claims"
        )
        seen = Experience.collect(base.table("t"), ["tier", "claims"][:1])
        assert seen.levels("tier") == ["silver", "gold", "bronze"]
        assert seen.cells.select("exposure", "claims", "claims_squared").row(0) == (0.5, 3, 9)


def test_bands_are_the_same_on_every_engine(give):
    rows = book(5_000)
    keys = ["age_band", "debt"]
    ours = rows.with_columns(**{name: band(*cut) for name, cut in BANDS.items()})
    levels = {name: band_labels(edges) for name, (_, edges) in BANDS.items()}
    found = collect(with_bands(give(rows), BANDS), keys).with_levels(**levels)
    same(collect(ours, keys), found)
    assert found.levels("age_band") == ["18-29", "30-59", "60-99", "100+"]


def test_bands_keep_the_kind_of_frame_and_their_order():
    rows = book(50)
    eager, lazy = with_bands(rows, BANDS), with_bands(rows.lazy(), BANDS)
    assert isinstance(eager, pl.DataFrame)
    assert isinstance(lazy, pl.LazyFrame)
    assert eager.schema["age_band"] == pl.Enum(["18-29", "30-59", "60-99", "100+"])
    with duckdb.connect() as base:
        table = base.sql("select range::double as age from range(18, 120)")
        banded = with_bands(table, {"age_band": BANDS["age_band"]})
        assert isinstance(banded, duckdb.DuckDBPyRelation)
        assert str(banded.types[1]) == "ENUM('18-29', '30-59', '60-99', '100+')"


def test_what_lies_in_no_band_is_refused_with_its_count_on_every_engine(give):
    ages = [17.9, None, float("nan"), float("inf"), float("-inf"), 18.0]
    rows = pl.DataFrame({"age": ages, "exposure": 1.0, "claims": 0})
    banded = with_bands(give(rows), {"age_band": ("age", [18, 30])})
    with pytest.raises(InputError, match="'age_band' is null, NaN or infinite in 5 of 6 rows"):
        Experience.collect(banded, ["age_band"])


def test_columns_that_cannot_be_banded(give):
    with pytest.raises(InputError, match="'aeg'; did you mean 'age'"):
        with_bands(give(book(5)), {"age_band": ("aeg", [18, 30])})
    with pytest.raises(InputError, match="not a number: 'sex' is String"):
        with_bands(give(book(5)), {"band": ("sex", [18, 30])})


# -- what is refused, in the same words -----------------------------------------------------------


def refusal(frame, **options):
    with pytest.raises(InputError) as refused:
        Experience.collect(frame, **options)
    return str(refused.value)


def test_every_fault_is_said_in_the_same_words(give):
    nan, inf = float("nan"), float("inf")
    rows = pl.DataFrame(
        {
            "sex": ["f", None, "m", "m", "m", "m", "f"],
            "smoker": [True, None, None, False, True, True, True],
            "age": [1.0, nan, inf, None, 2.0, 2.0, -inf],
            "exposure": [0.0, -1.0, None, nan, inf, 1.0, -0.0],
            "claims": [-1.0, None, nan, inf, 0.0, 1.0, 0.0],
            "paid": [-5.0, None, 1.0, 1.0, 1.0, nan, 0.0],
        }
    )
    options = {"keys": ["sex", "smoker", "age"], "amount": "paid"}
    said = refusal(give(rows), **options)
    assert said == refusal(rows, **options)
    for fault in (
        "'sex' is null, NaN or infinite in 1 of 7 rows",
        "'smoker' is null, NaN or infinite in 2 of 7 rows",
        "'age' is null, NaN or infinite in 4 of 7 rows",
        "'exposure' is null, not finite or not above zero in 6 of 7 rows",
        "'claims' is null, not finite or negative in 4 of 7 rows",
        "'paid' is null, not finite or negative in 3 of 7 rows",
    ):
        assert fault in said


def test_no_rows_missing_columns_words_and_dates_are_refused_in_the_same_words(give):
    rows = book(10).rename({"Exposure": "exposure"}).with_columns(day=pl.lit(date(2024, 2, 29)))
    for frame, options in (
        (rows.clear(), {"keys": ["sex"]}),
        (rows, {"keys": ["sx"], "exposure": "expsure"}),
        (rows, {"keys": ["sex"], "claims": "sex"}),
        (rows, {"keys": ["day"]}),
        (rows, {"keys": ["sex", "sex"]}),
        (rows, {"keys": ["claims"]}),
    ):
        said = refusal(give(frame), **options)
        assert said.replace(PANDAS_DATE, "Date") == refusal(frame, **options)


@pytest.mark.parametrize("column", ["claims", "premium"])
def test_whole_numbers_past_a_doubles_digits_are_refused_and_never_wrap(give, column):
    rows = pl.DataFrame({"exposure": [1.0] * 4, "claims": [1] * 4, "premium": [1] * 4})
    rows = rows.with_columns(pl.lit(2**62).alias(column))
    said = refusal(give(rows), keys=[], sums=["premium"])
    assert "passes 2⁵³" in said
    assert f"'{column}'" in said


@pytest.mark.parametrize(
    "frame", [[1], {"exposure": [1.0]}, None, "rows.parquet", pl.Series([1.0])]
)
def test_what_is_no_frame_is_refused_with_the_frames_that_are(frame):
    for ask in (lambda: Experience.collect(frame, []), lambda: with_bands(frame, {})):
        with pytest.raises(InputError, match="is no frame that can be read") as refused:
            ask()
        for name in ("polars", "DuckDB", "PySpark", "pandas", "pyarrow"):
            assert name in str(refused.value)


def test_columns_spark_cannot_tell_apart_are_refused(spark):
    frame = spark.sql("select 1.0D as `a.b`, 1 as claims, 2 as claims")
    with pytest.raises(InputError) as refused:
        Experience.collect(frame, [], exposure="a.b")
    assert refused.value.faults == (
        "'a.b': Spark takes a dot for a field of a structure",
        "'claims' is there twice",
    )


# -- pandas and the door --------------------------------------------------------------------------


def test_an_ordered_category_of_pandas_keeps_its_order():
    import pandas as pd

    kind = pd.CategoricalDtype(["low", "middle", "high"], ordered=True)
    frame = pd.DataFrame({"risk": ["high", "low"], "exposure": [1.0, 2.0], "claims": [1, 0]})
    ordered = frame.astype({"risk": kind})
    assert Experience.collect(ordered, ["risk"]).levels("risk") == ["low", "middle", "high"]
    plain = frame.astype({"risk": "category"})
    assert Experience.collect(plain, ["risk"]).levels("risk") == ["high", "low"]


def test_no_engine_is_imported_until_it_is_there():
    asked = "import sys, pricing.experience.cells, pricing.experience.bands\n"
    asked += "import polars as pl\n"
    asked += "rows = pl.DataFrame({'a': ['x'], 'exposure': [1.0], 'claims': [1]})\n"
    asked += "pricing.experience.cells.Experience.collect(rows, ['a'])\n"
    asked += "print(*({'duckdb', 'pyspark', 'pyarrow'} & set(sys.modules)))"
    found = subprocess.run(
        [sys.executable, "-c", asked], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == ""


def test_many_rows_and_few_give_the_same_cells():
    rows = book(MANY_ROWS // 100)
    many = pl.concat([rows] * 101)
    assert many.height > MANY_ROWS
    few = collect(rows, ["sex", "age"])
    seen = collect(many, ["sex", "age"])
    assert seen.cells["claims_squared"].to_list() == (few.cells["claims_squared"] * 101).to_list()
    np.testing.assert_allclose(
        seen.values("claims_log_rate"), few.values("claims_log_rate") * 101, 1e-11
    )
