"""Cells: what they sum, how they add, what they refuse, what comes back from disk."""

import json
from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import gammaln, xlogy

from pricing.claims.models import fit_frequency
from pricing.errors import InputError
from pricing.experience.bands import band
from pricing.experience.cells import Experience
from pricing.experience.measures import MEASURES
from pricing.result.shape import Basis


def book(rows=3_000, seed=11):
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "sex": rng.choice(["female", "male"], rows),
            "region": rng.choice(["北京", "上海", "广东"], rows),
            "age": rng.integers(20, 24, rows).astype(float),
            "exposure": rng.uniform(0.01, 1.0, rows),
            "claims": rng.poisson(0.6, rows),
            "amount": rng.poisson(0.6, rows) * rng.lognormal(5, 1, rows),
            "premium": rng.integers(800, 1200, rows).astype(np.int32),
        }
    )


def test_every_measure_is_what_its_name_says():
    rows = book()
    seen = Experience.collect(rows, ["sex", "region"], amount="amount", sums=["premium"])
    assert set(seen.cells.columns) == {"sex", "region", *MEASURES, "premium"}
    for (sex, region), part in rows.group_by("sex", "region"):
        e, n, a = (part[c].to_numpy().astype(float) for c in ("exposure", "claims", "amount"))
        by_hand = {
            "rows": len(e),
            "exposure": e.sum(),
            "claims": n.sum(),
            "exposure_squared": (e**2).sum(),
            "claims_exposure": (n * e).sum(),
            "claims_squared": (n**2).sum(),
            "claims_squared_per_exposure": (n**2 / e).sum(),
            "claims_log_rate": xlogy(n, n / e).sum(),
            "log_likelihood_saturated": (xlogy(n, n) - n - gammaln(n + 1)).sum(),
            "amount": a.sum(),
            "amount_squared": (a**2).sum(),
            "amount_exposure": (a * e).sum(),
            "log_amount": np.log(a[a > 0]).sum(),
            "amount_rows": (a > 0).sum(),
            "premium": part["premium"].sum(),
        }
        cell = seen.cells.filter(sex=sex, region=region).row(0, named=True)
        for name, value in by_hand.items():
            assert cell[name] == pytest.approx(value, rel=1e-12), name
    assert seen.basis.rows == rows.height
    assert seen.basis.claims == rows["claims"].sum()
    assert seen.basis.exposure == pytest.approx(rows["exposure"].sum(), rel=1e-13)


@given(st.floats(0, 1e6))
@settings(max_examples=200, deadline=None)
def test_log_factorial_series_is_right_to_rounding(n):
    seen = Experience.collect(pl.DataFrame({"exposure": [1.0], "claims": [n]}), [])
    expected = float(xlogy(n, n) - n - gammaln(n + 1)) if n > 0 else 0.0
    size = max(1.0, float(xlogy(n, n)), float(gammaln(n + 1)))
    assert abs(seen.cells["log_likelihood_saturated"][0] - expected) < 2e-13 * size


# -- adding -----------------------------------------------------------------------------------


def equal(a, b):
    assert a.cells.columns == b.cells.columns
    assert a.keys == b.keys
    for name in a.cells.columns:
        if a.cells.schema[name].is_numeric():
            np.testing.assert_allclose(a.cells[name], b.cells[name], rtol=1e-11, atol=1e-11)
        else:
            assert (
                a.cells[name].cast(pl.String).to_list() == b.cells[name].cast(pl.String).to_list()
            )
    assert a.basis.fingerprint == b.basis.fingerprint
    return True


@pytest.mark.parametrize("keys", [["sex", "region", "age"], ["region"], ["age"], []])
def test_shards_added_equal_the_whole(keys):
    rows = book()

    def collect(frame):
        return Experience.collect(frame, keys, amount="amount", sums=["premium"])

    parts = [collect(rows[i : i + 700]) for i in range(0, rows.height, 700)]
    whole = parts[0]
    for part in parts[1:]:
        whole = whole + part
    assert equal(whole, collect(rows))
    assert equal(parts[0] + parts[1], parts[1] + parts[0])
    assert equal((parts[0] + parts[1]) + parts[2], parts[0] + (parts[1] + parts[2]))


def test_shards_that_know_different_levels_equal_the_whole_whichever_comes_first():
    rows = book()
    shards = [
        Experience.collect(rows.filter(region=r), ["region"]) for r in ("广东", "上海", "北京")
    ]
    whole = Experience.collect(rows, ["region"])
    assert equal(shards[0] + shards[1] + shards[2], whole)
    assert equal(shards[2] + shards[0] + shards[1], whole)
    model, other = (
        fit_frequency(shards[0] + shards[1] + shards[2], "region"),
        fit_frequency(whole, "region"),
    )
    np.testing.assert_allclose(model.coefficients, other.coefficients, rtol=1e-12)


def test_levels_in_their_own_order_keep_it_when_added():
    kind = pl.Enum(["low", "middle", "high"])
    rows = pl.DataFrame({"risk": ["low", "high"], "exposure": [1.0, 1.0], "claims": [1, 2]})
    one = Experience.collect(rows.with_columns(pl.col("risk").cast(kind)), ["risk"])
    assert (one + one).levels("risk") == ["low", "middle", "high"]
    assert (one + one).cells["claims"].to_list() == [2, 4]


def test_whole_and_fractional_numbers_add():
    rows = book()
    expected = rows.with_columns(pl.col("claims", "age") * 1.0)
    counted = rows.with_columns(pl.col("age").cast(pl.Int64))
    both = Experience.collect(counted, ["age"]) + Experience.collect(expected, ["age"])
    assert both.basis.claims == 2 * rows["claims"].sum()
    assert both.cells.height == 4


def test_what_does_not_belong_together_is_refused():
    rows = book()
    one = Experience.collect(rows, ["sex", "age"])
    with pytest.raises(InputError, match="only experiences over the same keys and sums add"):
        _ = one + Experience.collect(rows, ["age", "sex"])
    with pytest.raises(InputError, match="only experiences over the same keys and sums add"):
        _ = one + Experience.collect(rows, ["sex", "age"], amount="amount")
    text = Experience.collect(rows.with_columns(pl.col("age").cast(pl.String)), ["sex", "age"])
    for a, b in ((one, text), (text, one)):
        with pytest.raises(InputError, match=r"and a covariate .* age"):
            _ = a + b
    euro = Experience.collect(rows, ["sex", "age"], basis=Basis(currency="EUR"))
    with pytest.raises(InputError, match="currencies differ: CNY and EUR"):
        _ = one + euro


def test_a_sum_carries_the_basis_of_both():
    rows = book()
    parts = [
        Experience.collect(rows, ["sex"], basis=Basis(source=s, period=p, notes=(f"note {p}",)))
        for s, p in (("a.csv", "2023"), ("a.csv", "2024"))
    ]
    basis = (parts[0] + parts[1].where(pl.col("sex") == "male", note="men only")).basis
    assert (basis.source, basis.period) == ("a.csv", "2023 + 2024")
    assert basis.filters == ("men only",)
    assert basis.notes == ("note 2023", "note 2024")


def test_by_adds_over_the_other_keys_and_leaves_no_trace_of_them():
    rows = book()
    seen = Experience.collect(rows, ["sex", "region", "age"])
    assert equal(seen.by("sex"), Experience.collect(rows, ["sex"]))
    assert equal(seen.by("age", "sex"), Experience.collect(rows, ["age", "sex"]))
    assert equal(seen.by(), Experience.collect(rows, []))
    with pytest.raises(InputError, match="'regoin'; did you mean 'region'"):
        seen.by("regoin")


def test_where_keeps_some_cells_and_says_so():
    rows = book()
    seen = Experience.collect(rows, ["sex", "age"])
    men = seen.where(pl.col("sex") == "male", note="men")
    assert men.basis.claims == rows.filter(sex="male")["claims"].sum()
    assert men.basis.filters == ("men",)
    assert men.basis.fingerprint != seen.basis.fingerprint
    with pytest.raises(InputError, match="no cell is left after age 99"):
        seen.where(pl.col("age") == 99, note="age 99")


# -- kinds of columns ---------------------------------------------------------------------------


def test_text_enum_categorical_boolean_and_decimal_keys():
    rows = book().with_columns(
        pl.col("region").cast(pl.Enum(["广东", "北京", "上海", "四川"])),
        categorical=pl.col("sex").cast(pl.Categorical),
        smoker=pl.col("age") > 21,
        coins=pl.col("age").cast(pl.Int64).cast(pl.Decimal(6, 2)),
        whole=pl.col("age").cast(pl.UInt8),
    )
    keys = ["region", "categorical", "smoker", "coins", "whole"]
    seen = Experience.collect(rows, keys)
    assert seen.factors == ("region", "categorical", "smoker")
    assert seen.levels("region") == ["广东", "北京", "上海", "四川"]
    assert seen.levels("categorical") == ["female", "male"]
    assert seen.levels("smoker") == ["no", "yes"]
    assert sorted(set(seen.values("coins"))) == [20.0, 21.0, 22.0, 23.0]
    assert seen.by("smoker").cells["claims"].to_list() == [
        rows.filter(~pl.col("smoker"))["claims"].sum(),
        rows.filter("smoker")["claims"].sum(),
    ]
    model = fit_frequency(seen, "region + smoker + coins")
    rates = model.score(rows)["rate"]
    assert (rates * rows["exposure"]).sum() == pytest.approx(rows["claims"].sum(), rel=1e-10)
    with pytest.raises(InputError, match="'coins' is a covariate"):
        seen.levels("coins")


def test_decimal_exposure_claims_and_amount():
    rows = pl.DataFrame(
        {
            "exposure": [Decimal("0.25"), Decimal("0.75")],
            "claims": [Decimal(1), Decimal(3)],
            "paid": [Decimal("12.34"), Decimal("0.00")],
        }
    )
    seen = Experience.collect(rows, [], amount="paid", sums=["paid"])
    assert seen.cells.select("exposure", "claims", "amount", "paid").row(0) == (
        1.0,
        4.0,
        12.34,
        12.34,
    )


def test_sums_of_small_integers_do_not_overflow():
    rows = pl.DataFrame(
        {"exposure": 1.0, "claims": pl.Series([200] * 1000, dtype=pl.UInt8), "premium": 0}
    ).with_columns(premium=pl.lit(2_000_000_000, pl.Int32))
    seen = Experience.collect(rows, [], sums=["premium"])
    assert seen.cells["premium"][0] == 2_000_000_000_000
    assert seen.cells["claims_squared"][0] == 200 * 200 * 1000


# -- bad input ----------------------------------------------------------------------------------


def test_every_fault_of_the_rows_is_said_at_once_with_its_count():
    nan, inf = float("nan"), float("inf")
    rows = pl.DataFrame(
        {
            "sex": ["f", None, "m", "m", "m", "m", "f"],
            "age": [1.0, nan, inf, None, 2.0, 2.0, 2.0],
            "exposure": [0.0, -1.0, None, nan, inf, 1.0, 1.0],
            "claims": [-1.0, None, nan, inf, 0.0, 1.0, 0.0],
            "paid": [-5.0, None, 1.0, 1.0, 1.0, nan, 0.0],
        }
    )
    with pytest.raises(InputError) as refused:
        Experience.collect(rows, ["sex", "age"], amount="paid")
    assert refused.value.faults == (
        "'sex' is null, NaN or infinite in 1 of 7 rows",
        "'age' is null, NaN or infinite in 3 of 7 rows",
        "'exposure' is null, not finite or not above zero in 5 of 7 rows",
        "'claims' is null, not finite or negative in 4 of 7 rows",
        "'paid' is null, not finite or negative in 3 of 7 rows",
    )


def test_no_rows_missing_columns_and_words_for_numbers_are_refused():
    rows = book()
    with pytest.raises(InputError, match="there are no rows"):
        Experience.collect(rows.clear(), ["sex"])
    with pytest.raises(InputError, match="'claims' is String"):
        Experience.collect(rows.with_columns(pl.col("claims").cast(pl.String)), ["sex"])
    with pytest.raises(InputError) as refused:
        Experience.collect(rows, ["sx", "regin"], exposure="expsure", sums=["premum"])
    assert refused.value.faults == (
        "'sx'; did you mean 'sex'?",
        "'regin'; did you mean 'region'?",
        "'expsure'; did you mean 'exposure'?",
        "'premum'; did you mean 'premium'?",
    )


@pytest.mark.parametrize(
    ("keys", "sums", "says"),
    [
        (["sex", "sex"], [], "key 'sex' is given twice"),
        (["claims"], [], "key 'claims' has the name of a sum"),
        (["premium"], ["premium"], "key 'premium' has the name of a sum"),
        (["day"], [], "key 'day' is Date"),
        (["sex"], ["rows"], "sum 'rows' has the name of one of ours"),
    ],
)
def test_columns_that_cannot_serve_are_refused(keys, sums, says):
    rows = book().with_columns(day=pl.date(2024, 2, 29), rows=pl.lit(7))
    with pytest.raises(InputError, match="cannot serve") as refused:
        Experience.collect(rows, keys, sums=sums)
    assert says in str(refused.value)


def test_one_row_is_an_experience():
    seen = Experience.collect(book().head(1), ["sex", "age"])
    assert seen.basis.rows == seen.cells.height == 1


# -- on disk ------------------------------------------------------------------------------------


def saved(tmp_path):
    basis = Basis(source="书.csv", period="2024", filters=("a",), notes=("b",), currency="EUR")
    seen = Experience.collect(book(), ["sex", "region", "age"], amount="amount", basis=basis)
    seen.save(tmp_path / "seen.parquet")
    return seen, tmp_path / "seen.parquet"


def test_what_was_saved_comes_back_bit_for_bit(tmp_path):
    seen, path = saved(tmp_path)
    back = Experience.load(path)
    assert back.basis == seen.basis
    assert back.keys == seen.keys
    assert back.cells.schema == seen.cells.schema
    for name in seen.cells.columns:
        one, other = (c[name].to_physical().to_numpy().tobytes() for c in (seen.cells, back.cells))
        assert one == other, name
    one, other = (fit_frequency(s, "sex + region * age") for s in (seen, back))
    assert one.coefficients.tobytes() == other.coefficients.tobytes()
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "change",
    [
        pl.col("claims") + (pl.int_range(pl.len()) == 0),
        pl.col("exposure") * (1 + 1e-6),
        pl.col("claims_squared") - 1,
        pl.col("region")
        .cast(pl.String)
        .replace("北京", "天津")
        .cast(pl.Enum(["上海", "天津", "广东"])),
        pl.col("age").reverse(),
    ],
)
def test_cells_edited_on_disk_are_refused(tmp_path, change):
    _, path = saved(tmp_path)
    head = pl.read_parquet_metadata(path)
    kept = {name: head[name] for name in ("keys", "basis")}
    pl.read_parquet(path).with_columns(change).write_parquet(path, metadata=kept)
    with pytest.raises(InputError, match="the file was changed after it was written"):
        Experience.load(path)


def test_what_is_no_saved_experience_is_refused(tmp_path):
    path = tmp_path / "x.parquet"
    with pytest.raises(InputError, match="not a saved experience"):
        Experience.load(path)
    path.write_bytes(b"no parquet")
    with pytest.raises(InputError, match="not a saved experience"):
        Experience.load(path)
    book().write_parquet(path)
    with pytest.raises(InputError, match="not a saved experience"):
        Experience.load(path)
    for keys, basis in (
        ("[1", "{}"),
        ('["sex"]', "{}"),
        ('["sex"]', '{"filters": 3}'),
        ("3", "[]"),
    ):
        book().write_parquet(path, metadata={"keys": keys, "basis": basis})
        with pytest.raises(InputError, match="not a saved experience"):
            Experience.load(path)
    _, good = saved(tmp_path)
    head = json.loads(pl.read_parquet_metadata(good)["basis"]) | {"mood": "fine"}
    pl.read_parquet(good).write_parquet(
        path, metadata={"keys": '["sex", "region", "age"]', "basis": json.dumps(head)}
    )
    with pytest.raises(InputError, match="not a saved experience"):
        Experience.load(path)


def test_french_motor_totals_survive_collection(dataset):
    rows = dataset("freMTPL2freq.parquet")
    keys = ["Area", "VehPower", "VehBrand", "VehGas", "Region", "BonusMalus"]
    seen = Experience.collect(rows, keys, exposure="Exposure", claims="ClaimNb")
    assert (seen.basis.rows, seen.basis.claims) == (678_013, 36_102)
    assert round(seen.basis.exposure, 1) == 358_499.4 or abs(seen.basis.exposure - 358_499.4) < 0.05
    assert seen.by().cells["claims"].to_list() == [36_102]
    assert seen.basis.claims / seen.basis.exposure == pytest.approx(0.10070308464041304, rel=1e-12)


def test_keys_made_of_keys_band_single_ages():
    rows = pl.DataFrame({"age": [25, 41, 67], "exposure": [1.0] * 3, "claims": [0, 1, 2]})
    seen = Experience.collect(rows, ["age"])
    banded = seen.with_keys(age_band=band("age", [0, 40, 60])).by("age_band")
    again = Experience.collect(rows.with_columns(age_band=band("age", [0, 40, 60])), ["age_band"])
    assert banded.cells.equals(again.cells)
    with pytest.raises(InputError) as refused:
        seen.with_keys(age_band=band("age", [40, 60]), claims=pl.lit("x"))
    assert refused.value.faults == ("'claims' is there already",)
    with pytest.raises(
        InputError, match=r"'age_band' is null in 1 rows, such as \[\{'age': 25\}\]"
    ):
        seen.with_keys(age_band=band("age", [40, 60]))
    with pytest.raises(InputError, match="'exposure'"):
        seen.with_keys(
            many=pl.when(pl.col("exposure") > 1).then(pl.lit("y")).otherwise(pl.lit("n"))
        )


def test_one_key_is_a_list_of_one():
    rows = pl.DataFrame({"sex": ["f"], "exposure": [1.0], "claims": [1], "premium": [9.0]})
    seen = Experience.collect(rows, "sex", sums="premium")
    assert seen.keys == ("sex",)
    assert seen.cells["premium"].to_list() == [9.0]


def ages():
    rows = pl.DataFrame(
        {"age": [25, 41, 67], "exposure": [1.0, 2.0, 3.0], "claims": [0, 1, 2], "zero": [0, 0, 0]}
    )
    return Experience.collect(rows, ["age"], sums=["zero"])


def test_a_key_of_yes_and_no_or_of_categories_is_a_factor_as_in_collect():
    seen = ages().with_keys(
        old=pl.col("age") > 60, band=pl.col("age").cast(pl.String).cast(pl.Categorical)
    )
    assert seen.factors == ("old", "band")
    assert seen.levels("old") == ["no", "yes"]
    assert seen.by("old").cells["claims"].to_list() == [1, 2]
    rows = pl.DataFrame({"old": [True], "exposure": [1.0], "claims": [5], "zero": [0]})
    both = seen.by("old") + Experience.collect(rows, ["old"], sums=["zero"])
    assert both.cells["claims"].to_list() == [1, 7]


def test_keys_that_are_nan_or_no_key_are_refused():
    nan = pl.lit(float("nan"))
    with pytest.raises(InputError, match="'a' is null, NaN or infinite in 3 rows, such as"):
        ages().with_keys(a=pl.col("age") * nan)
    with pytest.raises(InputError, match="'a' is null in 1 rows"):
        ages().with_keys(a=pl.when(pl.col("age") > 25).then(pl.col("age") > 60))
    with pytest.raises(InputError, match="'a' is Date: neither a factor nor a number"):
        ages().with_keys(a=pl.col("age").cast(pl.Date))


def test_sums_that_cannot_be_added_up_are_refused():
    with pytest.raises(InputError, match="'age' is a key"):
        ages().with_sums(age=pl.lit(1))
    with pytest.raises(InputError, match="'e' is null or not finite in 3 of 3 cells"):
        ages().with_sums(e=pl.col("exposure") / pl.col("zero"))
    with pytest.raises(InputError, match="'e' is Null, not a number"):
        ages().with_sums(e=pl.lit(None))
    with pytest.raises(InputError, match="'expsure'; did you mean 'exposure'"):
        ages().with_sums(e=pl.col("expsure"))
    with pytest.raises(InputError, match="'agee'; did you mean 'age'"):
        ages().where(pl.col("agee") > 40)


def test_a_rate_that_is_no_expression_says_how_to_write_it():
    with pytest.raises(InputError, match=r"the expected rate is a float[\s\S]*pl\.lit"):
        ages().rated(0.1, "age")
    with pytest.raises(InputError, match="the expected rate is a str, not an expression: 'zero'"):
        ages().rated("zero", "age")
