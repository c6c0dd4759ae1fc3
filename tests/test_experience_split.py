"""Exposure splitting against a counter that looks at every day, and against itself."""

from collections import Counter
from datetime import date, datetime, timedelta
from itertools import combinations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.data.book import simulate
from pricing.errors import InputError
from pricing.experience.lexis import Lexis
from pricing.experience.person_years import person_years
from pricing.experience.split import split_exposure

SUBSETS = [
    (*calendar, *rest)
    for calendar in ((), ("calendar_year",), ("calendar_month",))
    for k in range(3)
    for rest in combinations(("policy_year", "age"), k)
]
SCHEMA = {"start": pl.Date, "end": pl.Date, "birth_date": pl.Date, "sex": pl.String}
WINDOW = (date(2019, 7, 15), date(2024, 3, 1))


def frame(rows):
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def turned(origin, year, leap_day):
    try:
        return origin.replace(year=year)
    except ValueError:
        return date(year, *leap_day)


def reached(origin, day, leap_day):
    return day.year - origin.year - (day < turned(origin, day.year, leap_day))


def every_day(rows, window, dims):
    """Count days and rows (policy, cell) by looking at each day of each policy."""
    days, seen = Counter(), Counter()
    lengths = {}
    for start, end, birth, sex in rows:
        own = Counter()
        day = max(start, window[0])
        while day < min(end, window[1]):
            k = reached(start, day, (2, 28))
            cell = {
                "calendar_year": day.year,
                "calendar_month": day.year * 100 + day.month,
                "policy_year": k,
                "age": reached(birth, day, (3, 1)),
            }
            key = (sex, *(cell[d] for d in dims))
            length = (
                turned(start, start.year + k + 1, (2, 28)) - turned(start, start.year + k, (2, 28))
            ).days
            lengths.setdefault((id(own), key), length)
            own[key] += 1
            day += timedelta(1)
        for key, n in own.items():
            days[key] += n
            seen[key] += 1
    return days, seen


def found(policies, dims, window=WINDOW, **options):
    lexis = Lexis(start=window[0], end=window[1], dims=dims, **options)
    return split_exposure(policies, ["sex"], lexis)


def leapish(low, high):
    """Dates crowded around 28 February, 29 February, 1 March and the turn of the year."""
    near = [
        d
        for y in range(low, high)
        for d in (date(y, 1, 1), date(y, 12, 31), date(y, 2, 28), date(y, 3, 1))
    ] + [date(y, 2, 29) for y in range(low, high) if y % 4 == 0 and (y % 100 or y % 400 == 0)]
    return st.one_of(st.sampled_from(near), st.dates(date(low, 1, 1), date(high - 1, 12, 31)))


@st.composite
def policy(draw):
    start = draw(leapish(2015, 2025))
    end = draw(st.one_of(leapish(2015, 2027), st.just(date(9999, 12, 31))))
    birth = draw(leapish(1996, 2010))
    start, end = min(start, end), max(start, end)
    return (start, max(end, start + timedelta(1)), birth, draw(st.sampled_from("fm")))


@given(st.lists(policy(), min_size=1, max_size=6), leapish(2016, 2022), st.integers(1, 1500))
@settings(max_examples=60, deadline=None)
def test_against_a_counter_of_days(rows, first, length):
    window = (first, first + timedelta(length))
    for dims in SUBSETS:
        days, seen = every_day(rows, window, dims)
        if not days:
            with pytest.raises(InputError, match="none of"):
                found(frame(rows), dims, window)
            continue
        cells = found(frame(rows), dims, window).cells
        keys = ["sex", *dims]
        assert {r[:-1]: r[-1] for r in cells.select(*keys, "days").rows()} == days, dims
        assert {r[:-1]: r[-1] for r in cells.select(*keys, "rows").rows()} == seen, dims


def test_squares_and_units_against_single_rows():
    rows = [
        (date(2020, 2, 29), date(2024, 6, 30), date(1992, 2, 29), "f"),
        (date(2019, 11, 5), date(2022, 3, 1), date(1980, 12, 31), "f"),
        (date(2021, 3, 1), date(9999, 12, 31), date(1975, 3, 1), "m"),
    ]
    each = frame(rows).with_row_index("policy").cast({"policy": pl.Int64})
    for dims in SUBSETS:
        for unit in ("policy", "calendar", "365.25", "30/360"):
            if (unit == "policy" and "policy_year" not in dims) or (
                unit == "calendar" and dims[:1] not in (("calendar_year",), ("calendar_month",))
            ):
                continue
            lexis = Lexis(start=WINDOW[0], end=WINDOW[1], dims=dims, year=unit)
            whole = split_exposure(each, ["sex"], lexis).cells
            single = split_exposure(each, ["policy", "sex"], lexis).cells
            assert (single["rows"] == 1).all()
            e = single["exposure"]
            assert single["exposure_squared"].to_list() == pytest.approx(
                (e * e).to_list(), rel=1e-14
            )
            again = single.group_by("sex", *dims).agg(pl.col("exposure", "exposure_squared").sum())
            both = whole.join(again, on=["sex", *dims], nulls_equal=True)
            assert both.height == whole.height
            for name in ("exposure", "exposure_squared"):
                assert both[name].to_list() == pytest.approx(
                    both[f"{name}_right"].to_list(), rel=1e-14
                )


@pytest.mark.parametrize(
    "start", [date(2020, 2, 29), date(2019, 3, 1), date(2020, 1, 1), date(2021, 2, 28)]
)
def test_a_full_policy_year_is_exactly_one(start):
    rows = frame([(start, date(9999, 12, 31), date(1990, 1, 1), "f")])
    cells = found(rows, ["policy_year"], (date(2019, 1, 1), date(2035, 1, 1))).cells
    assert cells["exposure"].to_list()[:-1] == [1.0] * (cells.height - 1)
    # cut by calendar year and age as well, the parts add to 1
    fine = found(
        rows, ["calendar_year", "policy_year", "age"], (date(2019, 1, 1), date(2035, 1, 1))
    )
    years = fine.by("policy_year").cells["exposure"].to_list()[:-1]
    assert years == pytest.approx([1.0] * len(years), rel=1e-15)


def test_a_full_calendar_year_is_exactly_one():
    rows = frame([(date(2015, 6, 6), date(9999, 12, 31), date(1990, 1, 1), "f")])
    cells = found(rows, ["calendar_year"], (date(2016, 1, 1), date(2024, 1, 1))).cells
    assert cells["exposure"].to_list() == [1.0] * 8


def book(n, seed=3):
    draw = np.random.default_rng(seed)
    start = draw.integers(14_600, 20_000, n)
    end = start + 1 + draw.exponential(1500, n).astype(int)
    birth = start - draw.integers(0, 80 * 365, n)
    return pl.DataFrame(
        {"start": start, "end": end, "birth_date": birth, "sex": draw.choice(["f", "m"], n)}
    ).with_columns(pl.col("start", "end", "birth_date").cast(pl.Int32).cast(pl.Date))


def test_a_million_policies_keep_their_days_in_every_split():
    policies = book(1_000_000)
    covered = policies.select(
        (pl.min_horizontal("end", pl.lit(WINDOW[1])) - pl.max_horizontal("start", pl.lit(WINDOW[0])))
        .dt.total_days().clip(0).sum()
    ).item()  # fmt: skip
    assert covered > 2**28
    for dims in SUBSETS:
        assert found(policies.lazy(), dims).cells["days"].sum() == covered, dims


def test_a_finer_split_merges_to_the_coarser():
    policies = book(20_000)
    fine = found(policies, ["calendar_month", "policy_year", "age"], year="365.25")
    for dims in SUBSETS:
        if "calendar_year" in dims:
            continue
        coarse = found(policies, dims, year="365.25").cells
        merged = fine.by("sex", *dims).cells
        assert merged["days"].to_list() == coarse["days"].to_list()
        assert merged["exposure"].to_list() == pytest.approx(
            coarse["exposure"].to_list(), rel=1e-12
        )
    years = fine.cells.group_by("sex", year=pl.col("calendar_month") // 100).agg(
        pl.col("days").sum()
    )
    coarse = found(policies, ["calendar_year"]).cells
    assert sorted(years.rows()) == sorted(coarse.select("sex", "calendar_year", "days").rows())


def test_shards_by_policy_add_to_the_whole():
    policies = book(5_000)
    whole = found(policies, ["calendar_year", "policy_year", "age"])
    parts = [found(policies[i::3], ["calendar_year", "policy_year", "age"]) for i in range(3)]
    added = parts[0] + parts[1] + parts[2]
    for name in ("rows", "days"):
        assert added.cells[name].to_list() == whole.cells[name].to_list()
    assert added.cells["exposure"].to_list() == pytest.approx(
        whole.cells["exposure"].to_list(), rel=1e-14
    )


def test_one_pass_or_many_and_any_engine_is_the_same(monkeypatch):
    policies = book(3_000)
    dims = ["calendar_month", "policy_year", "age"]
    whole = found(policies, dims).cells
    monkeypatch.setattr("pricing.experience.split.SEGMENTS_PER_PASS", 7)
    monkeypatch.setattr("pricing.experience.split.FEW_ROWS", 10)
    assert found(policies.lazy(), dims).cells.equals(whole)


def test_person_years_of_a_simulated_book(tmp_path):
    folder = simulate(tmp_path / "book", policies=2_000, seed=11)
    read = {
        n: pl.read_parquet(folder / n / "*.parquet") for n in ("policies", "renewals", "claims")
    }
    rows = person_years(**read).rows
    policies = read["policies"]
    window = (policies["start"].min(), date(2100, 1, 1))
    lexis = Lexis(start=window[0], end=window[1], dims=["policy_year"])
    seen = split_exposure(policies, ["sex", "tier"], lexis).cells
    ours = rows.group_by("sex", "tier", "policy_year").agg(
        rows=pl.len(), exposure=pl.col("exposure").sum(), squares=(pl.col("exposure") ** 2).sum()
    )
    both = seen.cast({"sex": pl.String, "tier": pl.String, "policy_year": pl.Int64}).join(
        ours.cast({"sex": pl.String, "tier": pl.String, "policy_year": pl.Int64}),
        on=["sex", "tier", "policy_year"],
        how="full",
    )
    assert both.null_count().sum_horizontal().item() == 0
    assert both["rows"].to_list() == both["rows_right"].to_list()
    assert both["exposure"].to_list() == pytest.approx(both["exposure_right"].to_list(), rel=1e-12)
    assert both["exposure_squared"].to_list() == pytest.approx(both["squares"].to_list(), rel=1e-12)


def test_factors_of_every_kind_are_the_same_cells():
    policies = book(500).with_columns(
        flag=pl.col("sex") == "f",
        enum=pl.col("sex").cast(pl.Enum(["x", "m", "f"])),
        cat=pl.col("sex").cast(pl.Categorical),
        number=(pl.col("sex") == "f").cast(pl.Int64),
    )
    lexis = Lexis(start=WINDOW[0], end=WINDOW[1], dims=["age"])
    want = split_exposure(policies, ["sex"], lexis).cells.filter(sex="f")["days"].to_list()
    for name, level in (("flag", "yes"), ("enum", "f"), ("cat", "f"), ("number", 1)):
        cells = split_exposure(policies, [name], lexis).cells
        assert cells.filter(pl.col(name) == level)["days"].to_list() == want, name
    both = split_exposure(policies, ["number", "sex", "flag"], lexis)
    assert both.cells.filter(number=1)["days"].to_list() == want
    assert both.keys == ("number", "sex", "flag", "age")


def exits_book():
    return pl.DataFrame(
        [
            ("a", date(2020, 3, 1), date(2021, 3, 1), "lapse"),  # on its anniversary
            ("b", date(2020, 3, 1), date(2021, 9, 1), "lapse"),
            ("c", date(2020, 3, 1), date(2021, 5, 1), "death"),
            ("d", date(2020, 3, 1), date(2025, 1, 1), None),
            ("e", date(2020, 3, 1), date(2022, 6, 1), "lapse"),  # after the study
        ],
        schema=["policy_id", "start", "end", "exit_cause"],
        orient="row",
    )


def test_exits_count_in_the_cell_of_the_last_day_of_cover():
    lexis = Lexis(start=date(2020, 1, 1), end=date(2022, 1, 1), dims=["policy_year"])
    cells = split_exposure(exits_book(), [], lexis, exits=["lapse", "death"]).cells
    assert cells.select("policy_year", "exits_lapse", "exits_death").rows() == [
        (0, 1, 0),
        (1, 1, 1),
    ]


def test_full_exposure_runs_to_the_end_of_the_year_of_a_leaver():
    window = {"start": date(2020, 1, 1), "end": date(2022, 1, 1)}
    central = split_exposure(exits_book(), ["policy_id"], Lexis(**window, dims="policy_year")).cells
    full = split_exposure(
        exits_book(), ["policy_id"], Lexis(**window, dims="policy_year", target="lapse")
    )
    e = {r[:2]: r[2] for r in full.cells.select("policy_id", "policy_year", "exposure").rows()}
    c = {r[:2]: r[2] for r in central.select("policy_id", "policy_year", "exposure").rows()}
    assert e["a", 0] == 1.0
    assert ("a", 1) not in e
    assert e["b", 1] == 1.0
    assert c["b", 1] == 184 / 365
    assert {k: v for k, v in e.items() if k[0] in "cde"} == {
        k: v for k, v in c.items() if k[0] in "cde"
    }
    assert "full for lapse" in full.basis.notes[-1]
    years = split_exposure(
        exits_book(), ["policy_id"], Lexis(**window, dims="calendar_year", target="lapse")
    )
    y = {r[:2]: r[2] for r in years.cells.select("policy_id", "calendar_year", "exposure").rows()}
    assert y["a", 2021] == y["b", 2021] == 1.0
    assert y["c", 2021] == 120 / 365
    assert y["b", 2020] == 306 / 366  # entered in 2020: exposed from then


def test_bad_policies_are_refused_with_counts():
    good = (date(2020, 1, 1), date(2021, 1, 1), date(1990, 1, 1), "f")
    bad = [
        good,
        (date(2020, 1, 1), date(2019, 1, 1), date(1990, 1, 1), "f"),
        (date(2020, 1, 1), date(2020, 1, 1), date(1990, 1, 1), "f"),
        (None, date(2019, 1, 1), date(1990, 1, 1), "f"),
        (date(2020, 1, 1), None, date(1990, 1, 1), None),
        (date(2020, 1, 1), date(2021, 1, 1), date(2020, 1, 2), "f"),
    ]
    with pytest.raises(InputError) as caught:
        found(frame(bad), ["age"])
    assert caught.value.faults == (
        "'start' is null in 1 of 6 rows",
        "'end' is null in 1 of 6 rows",
        "factor 'sex' is null in 1 of 6 rows",
        "'end' is not after 'start' in 2 of 6 rows",
        "'birth_date' is after 'start' in 1 of 6 rows",
    )
    with pytest.raises(InputError, match="no policies"):
        found(frame([]), ["age"])
    with pytest.raises(InputError, match="none of 1 policies is covered"):
        found(frame([good]), ["age"], (date(2021, 1, 1), date(2022, 1, 1)))
    with pytest.raises(InputError, match="'birth_date' is missing"):
        found(frame([good]).drop("birth_date"), ["age"])
    with pytest.raises(InputError, match="'start' is String, not a date"):
        found(frame([good]).cast({"start": pl.String}), ["age"])
    assert found(frame([good]).drop("birth_date"), ["policy_year"]).cells["days"].to_list() == [366]
    with pytest.raises(InputError, match="name of a sum or a dimension"):
        split_exposure(
            frame([good]).rename({"sex": "days"}),
            ["days"],
            Lexis(start=WINDOW[0], end=WINDOW[1]),
        )
    lexis = Lexis(start=date(2020, 1, 1), end=date(2022, 1, 1), dims="policy_year", target="laps")
    with pytest.raises(InputError, match="no exit cause 'laps'; did you mean 'lapse'"):
        split_exposure(exits_book(), [], lexis)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dims": ["calender_year"]}, "did you mean 'calendar_year'"),
        ({"dims": ["age", "age"]}, "given twice"),
        ({"dims": ["calendar_year", "calendar_month"]}, "leave calendar_year out"),
        ({"start": date(2024, 1, 1), "end": date(2020, 1, 1)}, "not after its start"),
        ({"dims": ["age"], "year": "policy"}, "needs 'policy_year'"),
        ({"dims": ["age"], "year": "calendar"}, "needs a calendar"),
        ({"year": "365"}, "did you mean '365.25'"),
        ({"dims": ["policy_year", "age"], "target": "lapse"}, "not with split exposures"),
        ({"target": "lapse"}, "not with split exposures"),
    ],
)
def test_a_split_that_makes_no_sense_is_refused(options, said):
    with pytest.raises(InputError, match=said):
        Lexis(**{"start": date(2020, 1, 1), "end": date(2024, 1, 1), **options})


def test_the_ends_of_the_calendar():
    rows = frame(
        [
            (date(1900, 1, 1), date(9999, 12, 31), date(1900, 1, 1), "f"),
            (date(9999, 1, 1), date(9999, 12, 31), date(1999, 2, 28), "f"),
        ]
    )
    late = found(
        rows, ["calendar_year", "policy_year", "age"], (date(9999, 1, 1), date(9999, 12, 31))
    )
    assert late.cells["days"].sum() == 728
    early = found(rows, ["policy_year", "age"], (date(1899, 1, 1), date(1901, 1, 1)))
    assert early.cells["days"].to_list() == [365]
    assert early.cells["exposure"].to_list() == [1.0]


def test_sums_do_not_overflow_32_bits():
    n = 6_000_000
    day = pl.lit(date(2019, 12, 31))
    rows = pl.select(start=pl.repeat(day, n)).with_columns(end=pl.lit(date(9999, 12, 31))).lazy()
    lexis = Lexis(start=date(2020, 1, 1), end=date(2021, 1, 1), dims=["calendar_year"])
    cells = split_exposure(rows, [], lexis).cells
    assert cells.select("rows", "days", "exposure", "exposure_squared").rows() == [
        (n, 366 * n, n, n)
    ]


def test_an_exit_on_the_last_day_of_the_study_counts_and_one_on_the_first_does_not():
    lexis = {"start": date(2021, 3, 1), "end": date(2021, 9, 1), "dims": ["policy_year"]}
    seen = split_exposure(exits_book(), [], Lexis(**lexis), exits=["lapse"])
    assert seen.cells["exits_lapse"].to_list() == [1]
    full = split_exposure(exits_book(), ["policy_id"], Lexis(**lexis, target="lapse")).cells
    days = {r[0]: r[1] for r in full.select("policy_id", "days").rows()}
    assert days == {"b": 365, "c": 61, "d": 184, "e": 184}


@pytest.mark.parametrize("name", ["claims", "amount", "exposure", "days", "age", "exits_lapse"])
def test_a_premium_with_the_name_of_a_sum_is_refused_not_taken_for_it(name):
    rows = [(date(2020, 1, 1), date(2021, 1, 1), date(1980, 1, 1), "f")]
    policies = frame(rows).with_columns(exit_cause=pl.lit("lapse"), **{name: pl.lit(500.0)})
    lexis = Lexis(start=WINDOW[0], end=WINDOW[1], dims=["age"])
    with pytest.raises(InputError, match=f"premium '{name}' has the name of a sum or a dimension"):
        split_exposure(policies, ["sex"], lexis, premiums=[name], exits=["lapse"])


def test_a_premium_twice_and_columns_that_look_like_ours_are_refused():
    rows = [(date(2020, 1, 1), date(2021, 1, 1), date(1980, 1, 1), "f")]
    policies = frame(rows).with_columns(premium=500.0, _s=pl.lit("a"), policy_year=pl.lit("b"))
    lexis = Lexis(start=WINDOW[0], end=WINDOW[1], dims=["age"])
    with pytest.raises(InputError, match="premium 'premium' is given twice"):
        split_exposure(policies, [], lexis, premiums=["premium", "premium"])
    with pytest.raises(InputError, match="factor '_s' begins like a column of ours"):
        split_exposure(policies, ["_s"], lexis)
    with pytest.raises(InputError, match="factor 'policy_year' has the name of"):
        split_exposure(policies, ["policy_year"], lexis, premiums=["premium"])
    assert split_exposure(policies, ["policy_year"], lexis).levels("policy_year") == ["b"]


def test_one_name_is_a_list_of_one():
    rows = [(date(2020, 1, 1), date(2021, 1, 1), date(1980, 1, 1), "f")]
    policies = frame(rows).with_columns(premium=500.0, exit_cause=pl.lit("lapse"))
    lexis = Lexis(start=WINDOW[0], end=WINDOW[1], dims="age")
    seen = split_exposure(policies, "sex", lexis, premiums="premium", exits="lapse")
    assert seen.keys == ("sex", "age")
    assert seen.cells.select(pl.col("premium", "exits_lapse").sum()).row(0) == (500.0, 1)
    assert seen.by("sex").keys == ("sex",)


def test_a_cause_that_did_not_occur_says_how_to_ask_for_it():
    rows = [(date(2020, 1, 1), date(2021, 1, 1), date(1980, 1, 1), "f")]
    policies = frame(rows).with_columns(exit_cause=pl.lit("lapse"))
    lexis = Lexis(start=WINDOW[0], end=WINDOW[1])
    with pytest.raises(InputError) as refused:
        split_exposure(policies, [], lexis, exits=["death"])
    assert "pl.Enum" in str(refused.value)
    assert "pricing check" not in str(refused.value)
    known = policies.with_columns(pl.col("exit_cause").cast(pl.Enum(["lapse", "death"])))
    assert split_exposure(known, [], lexis, exits=["death"]).cells["exits_death"].sum() == 0


@pytest.mark.parametrize("day", ["2020-01-01", datetime(2020, 1, 1), None])
def test_a_window_of_no_dates_is_refused(day):
    with pytest.raises(InputError, match=r"the start of the study is a .*, not a date"):
        Lexis(start=day, end=date(2021, 1, 1))
    with pytest.raises(InputError, match=r"the end of the study is a .*, not a date"):
        Lexis(start=date(2019, 1, 1), end=day)
