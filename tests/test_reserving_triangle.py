"""Transactions and triangles: whole periods, nothing lost, sums that add."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.errors import InputError
from pricing.reserving.periods import first_day, period_number, period_of, whole
from pricing.reserving.transactions import claim_transactions
from pricing.reserving.triangle import MEASURES, claim_triangle, period_name
from pricing.result.shape import Basis, Result

DAYS = (date(2019, 1, 1), date(2024, 12, 31))
SETTLE = settings(max_examples=60, deadline=None)


def book(rows=2_000, seed=1, end=date(2024, 12, 31)):
    """Payments of four years, some of them recoveries, in two segments."""
    draw = np.random.default_rng(seed)
    start = (date(2021, 1, 1) - date(1970, 1, 1)).days
    until = (end - date(1970, 1, 1)).days
    incurred = draw.integers(start, until, rows)
    paid = np.minimum(incurred + draw.exponential(80, rows).astype(int), until)
    return pl.DataFrame(
        {
            "incurred": incurred,
            "paid": paid,
            "amount": (draw.lognormal(5, 1, rows) * draw.choice([1.0, 1.0, 1.0, -0.2], rows)),
            "sex": draw.choice(["f", "m"], rows),
        }
    ).with_columns(pl.col("incurred", "paid").cast(pl.Int32).cast(pl.Date))


def by_hand(rows, valuation, grain="month"):
    """The cumulative triangle, row by row."""
    last = period_of(valuation, grain)
    kept = [r for r in rows.iter_rows(named=True) if r["paid"] <= valuation]
    first = min(period_of(r["incurred"], grain) for r in kept)
    size = last - first + 1
    out = np.zeros((size, size))
    for r in kept:
        at = period_of(r["incurred"], grain)
        out[at - first, period_of(r["paid"], grain) - at] += r["amount"]
    out = out.cumsum(axis=1)
    for i in range(size):
        out[i, size - i :] = np.nan
    return out


# -- periods ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("grain", ["month", "quarter", "year"])
def test_a_period_is_numbered_alike_by_expression_and_by_date(grain):
    days = [date(1999, 12, 31), date(2000, 2, 29), date(2023, 3, 31), date(2024, 4, 1)]
    frame = pl.DataFrame({"day": days}).select(period_number(pl.col("day"), grain))
    assert frame["day"].to_list() == [period_of(day, grain) for day in days]
    for day in days:
        number = period_of(day, grain)
        assert first_day(number, grain) <= day < first_day(number + 1, grain)


@pytest.mark.parametrize(
    "day,grain,ends",
    [
        (date(2024, 2, 28), "month", "2024-01-31, or of the next one, 2024-02-29"),
        (date(2023, 3, 30), "quarter", "2022-12-31, or of the next one, 2023-03-31"),
        (date(2023, 6, 30), "year", "2022-12-31, or of the next one, 2023-12-31"),
    ],
)
def test_a_valuation_inside_a_period_is_refused_with_the_nearest_ends(day, grain, ends):
    with pytest.raises(InputError, match=ends):
        whole(day, grain)


def test_a_leap_day_ends_february_only_in_leap_years():
    assert whole(date(2024, 2, 29), "month") == period_of(date(2024, 2, 1), "month")
    assert whole(date(2023, 2, 28), "month") == period_of(date(2023, 2, 1), "month")


# -- triangle ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("grain", ["month", "quarter", "year"])
def test_a_triangle_is_that_of_counting_by_hand(grain):
    rows, valuation = book(400), date(2024, 12, 31)
    seen = claim_triangle(rows, valuation=valuation, grain=grain)
    np.testing.assert_allclose(seen.cumulative(), by_hand(rows, valuation, grain), rtol=1e-12)
    assert seen.table["payments"].sum() == rows.height
    assert seen.table["amount"].sum() == pytest.approx(rows["amount"].sum())
    assert seen.table["amount_squared"].sum() == pytest.approx((rows["amount"] ** 2).sum())
    assert seen.latest().sum() == pytest.approx(rows["amount"].sum())


def test_the_unseen_is_nan_and_a_month_without_payments_is_zero():
    rows = pl.DataFrame(
        {
            "incurred": [date(2024, 1, 31), date(2024, 4, 1)],
            "paid": [date(2024, 3, 1), date(2024, 4, 30)],
            "amount": [10, 5],
        }
    )
    seen = claim_triangle(rows, valuation=date(2024, 5, 31))
    got = seen.incremental()
    assert seen.origins == [date(2024, m, 1) for m in range(1, 6)]
    assert got[0].tolist() == [0.0, 0.0, 10.0, 0.0, 0.0]
    assert got[3, :2].tolist() == [5.0, 0.0]
    assert np.isnan(got).sum() == 10
    assert not np.isnan(got[np.add.outer(range(5), range(5)) < 5]).any()
    assert seen.wide().height == 5
    assert seen.wide()["4"].to_list() == [10.0, None, None, None, None]
    assert seen.incremental("payments")[0, 2] == 1.0


def test_one_row_and_one_origin_are_a_triangle():
    rows = pl.DataFrame(
        {"incurred": [date(2024, 2, 29)], "paid": [date(2024, 2, 29)], "amount": [7.0]}
    )
    seen = claim_triangle(rows, valuation=date(2024, 2, 29))
    assert seen.cumulative().tolist() == [[7.0]]
    assert seen.figure("zh").data


def test_rows_after_the_valuation_or_before_the_start_are_counted():
    rows = book(500)
    whole_book = claim_triangle(rows, valuation=date(2024, 12, 31))
    cut = claim_triangle(rows, valuation=date(2023, 12, 31), start=date(2022, 1, 1))
    after = rows.filter(pl.col("incurred") >= date(2022, 1, 1), pl.col("paid") > date(2023, 12, 31))
    before = rows.filter(pl.col("incurred") < date(2022, 1, 1))
    assert cut.facts["beyond"] == after.height
    assert f"{after.height:,} rows after" in cut.finding("en")
    assert f"{before.height:,} rows of origins before 2022-01-01" in cut.basis.filters[0]
    assert cut.basis.rows + after.height + before.height == whole_book.basis.rows == rows.height
    assert cut.origins[0] == date(2022, 1, 1)


def test_terms_over_a_year_lie_where_they_belong():
    rows = pl.DataFrame(
        {
            "start": [date(2020, 3, 1), date(2020, 3, 1)],
            "paid": [date(2020, 4, 1), date(2024, 12, 31)],
            "amount": [1.0, 2.0],
        }
    )
    seen = claim_triangle(rows, origin="start", valuation=date(2024, 12, 31), grain="quarter")
    assert seen.incremental()[0].tolist() == [0.0, 1.0, *[0.0] * 17, 2.0]


def test_shards_add_to_the_whole():
    rows = book(900)
    made = [
        claim_triangle(part, valuation=date(2024, 12, 31), by=["sex"], basis=Basis(source=name))
        for name, part in (("a", rows[:300]), ("b", rows[300:650]), ("c", rows[650:]))
    ]
    total = (made[0] + made[1]) + made[2]
    other = made[2] + (made[1] + made[0])
    one = claim_triangle(rows, valuation=date(2024, 12, 31), by=["sex"])
    for measure in MEASURES:
        np.testing.assert_allclose(total.incremental(measure), one.incremental(measure), rtol=1e-12)
    assert total.basis.rows == 900
    assert total.basis.source == "a + b + c"
    assert total.basis.fingerprint == other.basis.fingerprint == one.basis.fingerprint
    assert total.table.select("sex", "origin", "lag", "payments").equals(
        one.table.select("sex", "origin", "lag", "payments")
    )


def test_segments_of_a_shard_that_lacks_a_level_add():
    rows = book(200)
    halves = [
        claim_triangle(rows.filter(pl.col("sex") == sex), valuation=date(2024, 12, 31), by=["sex"])
        for sex in ("m", "f")
    ]
    both = halves[0] + halves[1]
    assert both.table.schema["sex"] == pl.Enum(["f", "m"])
    assert both.table["payments"].sum() == 200


def test_segments_add_up_to_the_whole_and_keep_its_origins():
    rows = book(600)
    seen = claim_triangle(rows, valuation=date(2024, 12, 31), by=["sex"])
    f, m = seen.where(sex="f"), seen.where(sex="m")
    np.testing.assert_allclose(f.cumulative() + m.cumulative(), seen.cumulative(), rtol=1e-9)
    assert f.origins == seen.origins
    assert f.basis.filters == ("sex = f",)
    plain = claim_triangle(rows, valuation=date(2024, 12, 31))
    np.testing.assert_allclose(seen.by().cumulative(), plain.cumulative(), rtol=1e-12)
    with pytest.raises(InputError, match="no level 'x'"):
        seen.where(sex="x")
    with pytest.raises(InputError, match="did you mean 'sex'"):
        seen.by("sxe")


@pytest.mark.parametrize(
    "change,said",
    [
        ({"grain": "quarter"}, "grain: month and quarter"),
        ({"valuation": date(2024, 11, 30)}, "valuation: 2024-12-31 and 2024-11-30"),
        ({"by": ["sex"]}, "by: "),
        ({"basis": Basis(currency="USD")}, "currency: CNY and USD"),
    ],
)
def test_triangles_of_other_periods_do_not_add(change, said):
    rows = book(50, end=date(2024, 10, 1))
    one = claim_triangle(rows, valuation=date(2024, 12, 31))
    with pytest.raises(InputError, match=said):
        _ = one + claim_triangle(rows, **({"valuation": date(2024, 12, 31)} | change))


def test_a_triangle_is_a_sum_whatever_the_order_and_the_units():
    rows = book(300)
    one = claim_triangle(rows, valuation=date(2024, 12, 31))
    turned = claim_triangle(rows.reverse(), valuation=date(2024, 12, 31))
    assert one.basis.fingerprint == turned.basis.fingerprint
    cents = claim_triangle(rows.with_columns(pl.col("amount") * 100), valuation=date(2024, 12, 31))
    np.testing.assert_allclose(cents.cumulative(), one.cumulative() * 100, rtol=1e-9)


def test_every_engine_gives_the_same_triangle(give):
    rows = book(120).with_columns(pl.col("sex").cast(pl.String))
    here = claim_triangle(rows, valuation=date(2024, 12, 31), by=["sex"], grain="quarter")
    there = claim_triangle(give(rows), valuation=date(2024, 12, 31), by=["sex"], grain="quarter")
    assert there.table.select("sex", "origin", "lag", "payments").equals(
        here.table.select("sex", "origin", "lag", "payments")
    )
    np.testing.assert_allclose(there.cumulative(), here.cumulative(), rtol=1e-12)


def test_a_lazy_scan_is_streamed_and_never_read_whole(tmp_path):
    rows = book(500)
    rows.write_parquet(tmp_path / "payments.parquet")
    lazy = pl.scan_parquet(tmp_path / "payments.parquet")
    seen = claim_triangle(lazy, valuation=date(2024, 12, 31))
    np.testing.assert_allclose(
        seen.cumulative(), claim_triangle(rows, valuation=date(2024, 12, 31)).cumulative()
    )


def test_datetimes_decimals_and_flags_are_read_as_what_they_are():
    rows = pl.DataFrame(
        {
            "incurred": [datetime(2024, 1, 1, 23, 59), datetime(2024, 1, 2)],
            "paid": [datetime(2024, 1, 2), datetime(2024, 2, 1, 12)],
            "amount": [True, True],
            "old": [True, False],
        }
    )
    seen = claim_triangle(rows, valuation=date(2024, 2, 29), by=["old"])
    assert seen.table["old"].to_list() == ["no", "yes"]
    assert seen.cumulative()[0].tolist() == [1.0, 2.0]
    money = rows.with_columns(amount=pl.Series(["1.10", "2.20"]).cast(pl.Decimal(10, 2)))
    assert claim_triangle(money, valuation=date(2024, 2, 29)).latest().tolist() == [
        3.3000000000000003,
        0.0,
    ]


GOOD = {"incurred": date(2024, 1, 5), "paid": date(2024, 2, 1), "amount": 1.0, "k": "x"}


@pytest.mark.parametrize(
    "change,options,said",
    [
        ({"amount": None}, {}, "'amount' is null in 1 of 2 rows"),
        ({"amount": float("nan")}, {}, "'amount' is NaN or infinite in cells of"),
        ({"amount": float("inf")}, {}, "'amount' is NaN or infinite in cells of"),
        ({"amount": 1e200}, {}, "too large to be squared"),
        ({"paid": None}, {}, "'paid' is null in 1 of 2 rows"),
        ({"incurred": None}, {}, "'incurred' is null in 1 of 2 rows"),
        ({"paid": date(2024, 1, 4)}, {}, "'paid' is before 'incurred' in 1 of 2 rows"),
        ({"k": None}, {"by": ["k"]}, "'k' is null in 1 of 2 rows"),
        ({"incurred": date(1024, 1, 5)}, {}, "origins, from 1024-01-01 on"),
        ({}, {"by": ["k", "k"]}, "given twice"),
        ({}, {"amount": "k"}, "'k' is String, not a number"),
        ({}, {"day": "k"}, "'k' is String, not a date"),
        ({}, {"day": "pad"}, "did you mean 'paid'"),
        ({}, {"grain": "week"}, "no grain 'week'"),
        ({}, {"by": ["amount"]}, "has the name of a column"),
        ({}, {"valuation": date(2024, 3, 30)}, "lies inside a month"),
        ({}, {"valuation": "2024-03-31"}, "is a str, not a date"),
        ({}, {"valuation": date(2023, 12, 31)}, "none of 2 payments was made before 2024-01-01"),
        ({}, {"start": date(2024, 1, 2)}, "not the first day of a month"),
        ({}, {"start": date(2025, 1, 1)}, "after the valuation"),
    ],
)
def test_what_a_triangle_cannot_hold_is_refused_with_its_number(change, options, said):
    rows = pl.DataFrame([GOOD, GOOD | change], schema_overrides={"amount": pl.Float64})
    with pytest.raises(InputError, match=said):
        claim_triangle(rows, **({"valuation": date(2024, 3, 31)} | options))


def test_every_fault_is_said_at_once():
    rows = pl.DataFrame([GOOD, GOOD | {"amount": None}, GOOD | {"paid": date(2023, 1, 1)}])
    with pytest.raises(InputError) as refused:
        claim_triangle(rows, valuation=date(2024, 3, 31))
    assert len(refused.value.faults) == 2


def test_an_empty_frame_and_a_list_are_refused():
    with pytest.raises(InputError, match="there are no rows"):
        claim_triangle(book(3).head(0), valuation=date(2024, 12, 31))
    with pytest.raises(InputError, match="no frame that can be read"):
        claim_triangle([1], valuation=date(2024, 12, 31))
    with pytest.raises(InputError, match="no measure 'amuont'"):
        claim_triangle(book(30), valuation=date(2024, 12, 31)).incremental("amuont")


def test_a_triangle_is_saved_and_speaks_both_languages(tmp_path):
    seen = claim_triangle(book(200), valuation=date(2024, 12, 31), by=["sex"])
    seen.save(tmp_path / "triangle")
    back = Result.load(tmp_path / "triangle")
    np.testing.assert_array_equal(back.cumulative(), seen.cumulative())
    assert "48 origins by month (2021-01 to 2024-12)" in back.finding("en")
    assert "48 个月度发生期" in back.finding("zh")
    figure = seen.figure("zh")
    assert len(figure.data) == 48
    assert figure.layout.xaxis.title.text == "发展期 (月度)"
    assert period_name(date(2024, 10, 1), "quarter") == "2024Q4"


days = st.dates(*DAYS)


@st.composite
def some_payments(draw):
    rows = draw(
        st.lists(
            st.tuples(
                days,
                st.integers(0, 1500),
                st.floats(-1e6, 1e6, allow_nan=False).map(lambda x: round(x, 2)),
                st.sampled_from("ab"),
            ),
            min_size=1,
            max_size=30,
        )
    )
    return pl.DataFrame(
        [
            {"incurred": d, "paid": d + timedelta(days=n), "amount": a, "seg": s}
            for d, n, a, s in rows
        ]
    )


@SETTLE
@given(
    rows=some_payments(),
    grain=st.sampled_from(["month", "quarter", "year"]),
    year=st.integers(2019, 2028),
)
def test_any_payments_make_a_whole_triangle_or_are_refused(rows, grain, year):
    valuation = date(year, 12, 31)
    try:
        seen = claim_triangle(rows, valuation=valuation, grain=grain, by=["seg"])
    except InputError:
        assert rows["paid"].min() > valuation
        return
    known = rows.filter(pl.col("paid") <= valuation)
    assert seen.table["amount"].sum() == pytest.approx(known["amount"].sum(), abs=1e-6)
    assert seen.facts["beyond"] == rows.height - known.height
    values = seen.incremental()
    size = len(seen.origins)
    seen_part = np.add.outer(range(size), range(size)) < size
    assert np.isfinite(values[seen_part]).all()
    assert np.isnan(values[~seen_part]).all()
    np.testing.assert_allclose(seen.cumulative(), by_hand(rows, valuation, grain), atol=1e-6)


# -- transactions -----------------------------------------------------------------------------------


def claims(**more):
    return pl.DataFrame(
        {
            "claim_id": ["a", "b", "c"],
            "policy_id": ["p", "p", "q"],
            "sex": ["f", "f", "m"],
            "incurred": [date(2024, 1, 5), date(2024, 1, 9), date(2024, 2, 1)],
            "paid": [date(2024, 3, 1), None, date(2024, 2, 1)],
            "amount": [100.0, 80.0, 30.0],
        }
        | more
    )


REPORTED = {"reported": [date(2024, 1, 8), date(2024, 2, 2), date(2024, 2, 1)]}


def paid_parts(**more):
    return pl.DataFrame(
        {
            "payment_id": [1, 2, 3, 4],
            "claim_id": ["a", "a", "a", "b"],
            "paid": [date(2024, 2, 1), date(2024, 3, 1), date(2024, 4, 1), date(2024, 3, 3)],
            "amount": [70.0, 40.0, -10.0, 20.0],
        }
        | more
    )


def sums(frame):
    return (
        frame.group_by("claim_id")
        .agg(pl.col("paid", "incurred_change", "reported", "settled").sum())
        .sort("claim_id")
        .rows()
    )


@pytest.mark.parametrize("more", [{}, REPORTED])
@pytest.mark.parametrize("parts", [None, paid_parts()])
def test_paid_and_incurred_add_up_and_every_claim_is_reported_once(more, parts):
    done = claim_transactions(claims(**more), parts)
    b_paid = 0.0 if parts is None else 20.0
    assert sums(done) == [
        ("a", 100.0, 100.0, 1, 1),
        ("b", b_paid, 80.0, 1, 0),
        ("c", 30.0, 30.0, 1, 1),
    ]
    assert done["day"].null_count() == 0
    assert done.columns == ["claim_id", "policy_id", "sex", "incurred", "day", "paid",
                            "incurred_change", "reported", "settled"]  # fmt: skip
    first = done.group_by("claim_id", maintain_order=True).first()
    assert first["reported"].to_list() == [1, 1, 1]
    if more:
        assert first["day"].to_list() == REPORTED["reported"]


def test_the_reserve_is_what_the_payments_say_where_they_say_it():
    parts = paid_parts(outstanding_change=[30.0, -30.0, 0.0, 60.0])
    done = claim_transactions(claims(), parts)
    assert sums(done)[:2] == [("a", 100.0, 100.0, 1, 1), ("b", 20.0, 80.0, 1, 0)]
    assert done.filter(claim_id="a")["incurred_change"].to_list() == [100.0, 10.0, -10.0]
    with_report = claim_transactions(claims(**REPORTED), parts)
    assert sums(with_report) == sums(done)
    assert with_report.filter(claim_id="a")["incurred_change"].to_list() == [
        0.0,
        100.0,
        10.0,
        -10.0,
    ]


def test_what_is_lazy_stays_lazy_and_is_the_same():
    lazy = claim_transactions(claims(**REPORTED).lazy(), paid_parts().lazy())
    assert isinstance(lazy, pl.LazyFrame)
    assert lazy.collect().equals(claim_transactions(claims(**REPORTED), paid_parts()))


def test_transactions_make_triangles_of_paid_incurred_and_numbers():
    moved = claim_transactions(claims(**REPORTED), paid_parts())
    made = {
        of: claim_triangle(moved, valuation=date(2024, 4, 30), day="day", amount=of)
        for of in ("paid", "incurred_change", "reported", "settled")
    }
    assert made["paid"].latest().tolist() == [120.0, 30.0, 0.0, 0.0]
    assert made["incurred_change"].latest().tolist() == [180.0, 30.0, 0.0, 0.0]
    assert made["reported"].cumulative()[0].tolist() == [1.0, 2.0, 2.0, 2.0]
    assert made["settled"].latest().tolist() == [1.0, 1.0, 0.0, 0.0]
    assert "claims" in made["reported"].finding("en")
    assert "3 件" in made["reported"].finding("zh")


@pytest.mark.parametrize(
    "change,parts,said",
    [
        ({"claim_id": ["a", "a", "c"]}, None, "'claim_id' stands there before: 1 of 3"),
        (
            {"incurred": [None, date(2024, 1, 9), date(2024, 2, 1)]},
            None,
            "'incurred' is null: 1 of 3",
        ),
        ({"amount": [1.0, None, float("inf")]}, None, "'amount' is null or not finite: 2 of 3"),
        ({"paid": [date(2024, 1, 1), None, None]}, None, "'paid' is before 'incurred': 1 of 3"),
        ({"reported": [None, *REPORTED["reported"][1:]]}, None, "'reported' is null: 1 of 3"),
        (
            {"reported": [date(2024, 3, 2), *REPORTED["reported"][1:]]},
            None,
            "'reported' is after 'paid': 1 of 3",
        ),
        (
            {"reported": [date(2024, 1, 2), *REPORTED["reported"][1:]]},
            None,
            "before 'incurred': 1 of 3",
        ),
        ({"amount": ["1", "2", "3"]}, None, "'amount' is String, not a number"),
        ({"incurred": ["2024-01-01"] * 3}, None, "'incurred' is String, not a date"),
        ({"day": [1, 2, 3]}, None, "columns of ours: day"),
        ({}, paid_parts(claim_id=["a", "a", "a", "z"]), "'claim_id' is no claim's: 1 of 4"),
        (
            {},
            paid_parts(paid=[date(2024, 1, 4), *[date(2024, 3, 1)] * 3]),
            "before the claim's 'incurred': 1 of 4",
        ),
        ({}, paid_parts(amount=[1.0, None, 2.0, 3.0]), "'amount' is null or not finite: 1 of 4"),
        (
            {},
            paid_parts(amount=[70.0, 40.0, 0.0, 20.0]),
            r"of 1 closed claims do not add up .* \+10.00 off",
        ),
        ({}, paid_parts(outstanding_change=["x"] * 4), "'outstanding_change' is String"),
        (
            {},
            paid_parts(outstanding_change=[1.0, None, 1.0, 1.0]),
            "'outstanding_change' is null or not finite: 1",
        ),
    ],
)
def test_what_makes_no_transactions_is_refused_with_its_number(change, parts, said):
    with pytest.raises(InputError, match=said):
        claim_transactions(claims(**change), parts)


def test_no_claims_and_a_missing_column_are_refused():
    with pytest.raises(InputError, match="there are no claims"):
        claim_transactions(claims().head(0))
    with pytest.raises(InputError, match="'policy_id'"):
        claim_transactions(claims().drop("policy_id"))


@SETTLE
@given(
    rows=st.lists(
        st.tuples(days, st.integers(0, 60), st.one_of(st.none(), st.integers(60, 900)), st.integers(0, 10**6)),
        min_size=1, max_size=20,
    ),
    split=st.integers(1, 4),
)  # fmt: skip
def test_whatever_comes_in_goes_out(rows, split):
    made = pl.DataFrame(
        {
            "claim_id": list(range(len(rows))),
            "policy_id": ["p"] * len(rows),
            "incurred": [d for d, *_ in rows],
            "reported": [d + timedelta(days=r) for d, r, *_ in rows],
            "paid": pl.Series(
                [None if p is None else d + timedelta(days=p) for d, _, p, _ in rows], dtype=pl.Date
            ),
            "amount": [cents / 100 for *_, cents in rows],
        }
    )
    parts = pl.concat(
        made.drop_nulls("paid").select("claim_id", paid="reported", amount=pl.col("amount") / split)
        for _ in range(split)
    )
    for payments in (None, parts):
        done = claim_transactions(made, payments)
        assert done["incurred_change"].sum() == pytest.approx(made["amount"].sum(), abs=1e-6)
        paid = made.drop_nulls("paid")["amount"].sum()
        assert done["paid"].sum() == pytest.approx(paid, abs=1e-6)
        assert done["reported"].sum() == made.height
        assert done["settled"].sum() == made["paid"].count()
        assert (done["day"] >= done["incurred"]).all()
