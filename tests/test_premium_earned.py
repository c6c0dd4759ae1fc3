"""Premium by period against a counter that walks day by day, and a history of rates that is refused."""

from collections import defaultdict
from datetime import date, datetime, timedelta
from decimal import Decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.errors import InputError
from pricing.experience.person_years import person_years
from pricing.premium.earned import premium_by_period
from pricing.premium.rate_changes import (
    checked_changes,
    rate_index,
    require_levels,
    with_level,
)

DAY = timedelta(days=1)


def shifted(day, years):
    """The anniversary; that of 29 February falls on 28 February in common years."""
    try:
        return day.replace(year=day.year + years)
    except ValueError:
        return date(day.year + years, 2, 28)


def price(anniversary, day):
    """What one day costs of an annual premium of 1: 1 ÷ days of its policy year."""
    year = day.year - anniversary.year
    if shifted(anniversary, year) > day:
        year -= 1
    return 1 / (shifted(anniversary, year + 1) - shifted(anniversary, year)).days


def first_of(day, grain):
    if grain == "year":
        return date(day.year, 1, 1)
    return date(day.year, day.month if grain == "month" else 3 * ((day.month - 1) // 3) + 1, 1)


def by_day(terms, valuation, grain, price_of=None):
    """Walk every term day by day: (period, segment) → written, returned, earned; unearned at ends."""
    sums = defaultdict(lambda: [0.0, 0.0, 0.0])
    for term in terms:
        start, end, left, premium, segment = term
        if start > valuation or (left is not None and left <= start):
            continue
        gone = left if left is not None and left <= valuation and left < end else None
        day = start
        while day < end:
            one = premium * price(start, day)
            sums[first_of(start, grain), segment][0] += one
            if gone is not None and day >= gone:
                sums[first_of(gone, grain), segment][1] += one
            elif day <= valuation:
                sums[first_of(day, grain), segment][2] += one
            day += DAY
    return sums


def frame(terms):
    return pl.DataFrame(
        terms,
        schema={
            "start": pl.Date, "end": pl.Date, "left": pl.Date, "premium": pl.Float64,
            "tier": pl.String,
        },
        orient="row",
    )  # fmt: skip


DAYS = st.dates(date(2019, 6, 1), date(2021, 6, 1)) | st.sampled_from(
    [date(2020, 2, 28), date(2020, 2, 29), date(2020, 3, 1), date(2019, 12, 31), date(2020, 1, 1)]
)
TERMS = st.lists(
    st.tuples(
        DAYS,
        st.sampled_from([1, 31, 182, 365, 366, 500, 731, 1096]),
        st.none() | st.integers(-10, 800),
        st.floats(0, 5000),
        st.sampled_from(["基础档", "plus"]),
    ).map(
        lambda t: (
            t[0],
            t[0] + t[1] * DAY,
            None if t[2] is None else t[0] + t[2] * DAY,
            t[3],
            t[4],
        )
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=25, deadline=None)
@given(
    TERMS,
    st.dates(date(2019, 6, 1), date(2023, 6, 1)),
    st.sampled_from(["month", "quarter", "year"]),
)
def test_every_period_is_what_a_counter_of_days_counts(terms, valuation, grain):
    ours = {t for t in terms if t[0] <= valuation and (t[2] is None or t[2] > t[0])}
    if not ours:
        with pytest.raises(InputError, match="no term begins"):
            premium_by_period(
                frame(terms), valuation=valuation, grain=grain, by="tier", exit="left"
            )
        return
    found = premium_by_period(
        frame(terms), valuation=valuation, grain=grain, by="tier", exit="left"
    )
    expected = by_day(terms, valuation, grain)
    level = defaultdict(float)
    for period, tier, _, written, returned, earned, unearned in found.rows():
        want = expected.pop((period, tier), [0.0, 0.0, 0.0])
        assert [written, returned, earned] == pytest.approx(want, rel=1e-9, abs=1e-7)
        before = level[tier]
        level[tier] += want[0] - want[1] - want[2]
        assert unearned == pytest.approx(level[tier], rel=1e-9, abs=1e-6)
        assert abs(written - returned - (unearned - before) - earned) < 0.005  # to the cent
        assert unearned >= -1e-6
    assert not expected
    assert found["period"].n_unique() * found["tier"].n_unique() == found.height


def book(n=2_000, seed=3):
    draw = np.random.default_rng(seed)
    start = draw.integers(17_900, 19_500, n)
    left = np.where(draw.random(n) < 0.3, start + draw.integers(1, 900, n), 40_000)
    columns = {
        "policy_id": [f"p{i}" for i in range(n)],
        "start": start,
        "left": left,
        "premium": draw.uniform(300, 4_000, n).round(2),
        "tier": draw.choice(["basic", "plus", "高端档"], n),
    }
    days = pl.col("start", "left").cast(pl.Int32).cast(pl.Date)
    return (
        pl.DataFrame(columns)
        .with_columns(days)
        .with_columns(end=pl.col("start").dt.offset_by("1y"))
    )


OPTIONS = {"valuation": date(2023, 5, 17), "by": ["tier"], "exit": "left"}


def same(one, other):
    assert one.columns == other.columns
    for c in one.columns:
        if one.schema[c].is_numeric():
            assert one[c].to_list() == pytest.approx(other[c].to_list(), rel=1e-9, abs=1e-6), c
        else:
            assert one[c].cast(pl.String).to_list() == other[c].cast(pl.String).to_list(), c


def test_order_and_the_type_of_columns_do_not_matter():
    terms = book()
    found = premium_by_period(terms, **OPTIONS)
    same(found, premium_by_period(terms.sample(fraction=1.0, shuffle=True, seed=1), **OPTIONS))
    same(found, premium_by_period(terms.lazy(), **OPTIONS))
    tiers = pl.Enum(["basic", "plus", "高端档", "unsold"])
    typed = terms.with_columns(
        pl.col("tier").cast(tiers), pl.col("premium").cast(pl.Decimal(12, 2))
    )
    typed = premium_by_period(typed, **OPTIONS)
    assert typed.schema["tier"] == tiers
    same(found, typed)


def test_a_row_may_be_split_in_two():
    terms = book()
    found = premium_by_period(terms, **OPTIONS)
    halves = pl.concat([terms.with_columns(pl.col("premium") / 2)] * 2)
    same(found.drop("exposure"), premium_by_period(halves, **OPTIONS).drop("exposure"))
    cut = pl.col("start").dt.offset_by("100d")
    one = terms.with_columns(first=pl.col("start"), end=pl.min_horizontal(cut, "end"))
    two = terms.with_columns(first=pl.col("start"), start=cut)
    pieces = premium_by_period(pl.concat([one, two]), anniversary="first", **OPTIONS)
    both = found.join(pieces, on=["period", "tier"], how="left", suffix="_pieces")
    assert both["earned"].to_list() == pytest.approx(both["earned_pieces"].to_list(), rel=1e-9)
    assert both["exposure"].to_list() == pytest.approx(both["exposure_pieces"].to_list(), rel=1e-9)


def test_grains_add_up_and_segments_too():
    terms = book()
    month = premium_by_period(terms, **OPTIONS)
    year = premium_by_period(terms, grain="year", **OPTIONS)
    sums = pl.col("exposure", "written", "returned", "earned").sum()
    rolled = (
        month.group_by(pl.col("period").dt.truncate("1y"), "tier").agg(sums).sort("period", "tier")
    )
    same(year.drop("unearned").sort("period", "tier"), rolled)
    whole = premium_by_period(terms, valuation=OPTIONS["valuation"], exit="left")
    same(whole, month.group_by("period").agg(pl.exclude("tier").sum()).sort("period"))


def test_a_cut_term_is_written_net_where_the_exit_is_not_said():
    terms = frame([(date(2023, 1, 1), date(2024, 1, 1), date(2023, 7, 2), 365.0, "a")])
    gross = premium_by_period(terms, valuation=date(2023, 12, 31), exit="left")
    assert gross["written"].sum() == pytest.approx(365.0)
    assert gross.filter(pl.col("period") == date(2023, 7, 1))["returned"].item() == pytest.approx(
        183
    )
    net = premium_by_period(terms.with_columns(end="left"), valuation=date(2023, 12, 31))
    assert net["written"].to_list()[0] == pytest.approx(182.0)
    assert net["returned"].sum() == 0
    for found in (gross, net):
        assert found["earned"].sum() == pytest.approx(182.0)
        assert found["unearned"].to_list()[-1] == 0.0


def test_an_exit_after_the_valuation_is_not_known():
    terms = frame([(date(2023, 1, 1), date(2024, 1, 1), date(2023, 7, 2), 365.0, "a")])
    found = premium_by_period(terms, valuation=date(2023, 6, 30), exit="left")
    assert found["returned"].sum() == 0
    assert found["unearned"].to_list()[-1] == pytest.approx(184.0)


def test_leap_years_earn_by_their_own_days():
    terms = frame([(date(2024, 1, 1), date(2025, 1, 1), None, 366.0, "a")])
    found = premium_by_period(terms, valuation=date(2024, 12, 31))
    assert found["earned"].to_list()[:3] == pytest.approx([31.0, 29.0, 31.0])


def test_a_term_of_two_years_writes_two_annual_premiums():
    terms = frame([(date(2023, 3, 1), date(2025, 3, 1), None, 1000.0, "a")])
    found = premium_by_period(terms, valuation=date(2025, 12, 31), grain="year")
    assert found["written"].to_list() == pytest.approx([2000.0, 0.0, 0.0])
    assert found["earned"].sum() == pytest.approx(2000.0)


def test_it_is_the_premium_that_person_years_earn():
    """Policy years of policies, those of 29 February among them; exits cut them."""
    draw = np.random.default_rng(5)
    starts = [date(2020, 2, 29)] * 40 + [
        date(2019, 3, 1) + int(d) * DAY for d in draw.integers(0, 700, 160)
    ]
    policies = pl.DataFrame(
        {"policy_id": [f"p{i}" for i in range(200)], "start": starts}
    ).with_columns(
        birth_date=pl.lit(date(1980, 1, 1)),
        end=pl.col("start") + pl.duration(days=pl.Series(draw.integers(200, 1_500, 200))),
    )
    years = policies.select("policy_id", policy_start="start", left="end").join(
        pl.DataFrame({"policy_year": [0, 1, 2, 3, 4]}), how="cross"
    )

    def turn(k):
        return pl.col("policy_start").dt.offset_by(
            (pl.col("policy_year") + k).cast(pl.String) + "y"
        )

    renewals = years.with_columns(
        start=turn(0), end=turn(1), premium=100.0 + 10 * pl.col("policy_year")
    ).filter(pl.col("start") < pl.col("left"))
    claims = pl.DataFrame(
        schema={"policy_id": pl.String, "incurred": pl.Date, "amount": pl.Float64}
    )
    valuation = date(2022, 11, 11)
    observed = (date(2000, 1, 1), valuation + DAY)
    offered = renewals.drop("policy_start", "left").with_columns(health_group=pl.lit("G0"))
    rows = person_years(policies, offered, claims, observed=observed).rows
    found = premium_by_period(
        renewals, valuation=valuation, exit="left", anniversary="policy_start"
    )
    assert found["earned"].sum() == pytest.approx(rows["premium"].sum(), rel=1e-12)
    assert found["exposure"].sum() == pytest.approx(rows["exposure"].sum(), rel=1e-12)


ONE = (date(2023, 1, 1), date(2024, 1, 1), None, 100.0, "a")


@pytest.mark.parametrize(("rows", "options", "said"), [
    ([(*ONE[:1], date(2022, 1, 1), *ONE[2:]), ONE], {}, "'end' is not after 'start' in 1 of 2"),
    ([(None, *ONE[1:])], {}, "'start' is null in 1 of 1"),
    ([(ONE[0], None, *ONE[2:])], {}, "'end' is null in 1 of 1"),
    ([(*ONE[:3], None, "a")], {}, "'premium' is null, not finite or negative in 1"),
    ([(*ONE[:3], float("nan"), "a")], {}, "'premium' is null, not finite or negative in 1"),
    ([(*ONE[:3], -5.0, "a")], {}, "'premium' is null, not finite or negative in 1"),
    ([(*ONE[:4], None)], {"by": ["tier"]}, "segment 'tier' is null in 1 of 1"),
    ([], {}, "there are no terms"),
    ([ONE], {"valuation": date(2020, 1, 1)}, "no term begins by the valuation on 2020-01-01"),
    ([ONE], {"by": ["teir"]}, "'teir' is missing; did you mean 'tier'"),
    ([ONE], {"premium": "premuim"}, "'premuim' is missing; did you mean 'premium'"),
    ([ONE], {"anniversary": "end"}, "'end' is after 'start' in 1 of 1"),
    ([ONE], {"grain": "week"}, "no grain 'week'"),
    ([ONE], {"valuation": "2024-12-31"}, "the valuation is a str, not a date"),
    ([ONE], {"valuation": datetime(2024, 12, 31)}, "the valuation is a datetime, not a date"),
    ([ONE], {"premium": "written"}, "premium 'written' has the name of a column of ours"),
    ([ONE], {"by": ["premium"]}, "factor 'premium'"),
    ([ONE], {"exit": "tier"}, "'tier' is String, not a date"),
])  # fmt: skip
def test_terms_that_are_refused(rows, options, said):
    with pytest.raises(InputError, match=said):
        premium_by_period(frame(rows), **{"valuation": date(2024, 12, 31), **options})


@pytest.mark.parametrize("name", ["earned", "term_end", "period"])
def test_a_segment_may_not_take_our_name(name):
    terms = frame([ONE]).rename({"tier": name})
    with pytest.raises(InputError, match=f"segment '{name}' has the name"):
        premium_by_period(terms, valuation=date(2024, 12, 31), by=name)


def test_whole_numbers_and_yes_or_no_are_segments():
    terms = book(200).with_columns(
        age=pl.col("premium").cast(pl.Int32) % 3, app=pl.col("tier") == "plus"
    )
    found = premium_by_period(terms, valuation=date(2023, 5, 17), by=["age", "app"], grain="year")
    assert (found.schema["age"], found.schema["app"]) == (pl.Int32, pl.Enum(["no", "yes"]))
    whole = premium_by_period(terms, valuation=date(2023, 5, 17), grain="year")
    assert found["earned"].sum() == pytest.approx(whole["earned"].sum(), rel=1e-12)


# -- the history of rates ---------------------------------------------------------------------------


def history(rows, schema=None):
    schema = schema or {
        "day": pl.Date,
        "change": pl.Float64,
        "tier": pl.String,
        "applies_to": pl.String,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


D1, D2 = date(2023, 1, 1), date(2024, 2, 29)


@pytest.mark.parametrize(("rows", "said"), [
    ([(D1, 0.1, None, None), (D1, 0.2, None, None)], "2 changes of one segment fall on one day, such as 2023-01-01"),
    ([(D1, float("nan"), None, None)], "'change' is null, NaN or infinite in 1 of 1"),
    ([(D1, float("inf"), None, None)], "'change' is null, NaN or infinite in 1 of 1"),
    ([(D1, None, None, None)], "'change' is null, NaN or infinite in 1 of 1"),
    ([(D1, -1.0, None, None)], "takes away 100 % or more in 1 of 1"),
    ([(D1, -1.5, None, None)], "takes away 100 % or more in 1 of 1"),
    ([(None, 0.1, None, None)], "'day' is null in 1 of 1"),
    ([(D1, 0.1, None, "inforce")], "no 'applies_to' 'inforce'; did you mean 'in_force'"),
])  # fmt: skip
def test_changes_that_are_refused(rows, said):
    with pytest.raises(InputError, match=said):
        checked_changes(history(rows))


def test_a_history_must_have_its_columns():
    with pytest.raises(InputError, match="'day' is missing"):
        checked_changes(pl.DataFrame({"date": [D1], "change": [0.1]}))
    with pytest.raises(InputError, match="'day' is String, not a date"):
        checked_changes(pl.DataFrame({"day": ["2023-01-01"], "change": [0.1]}))
    with pytest.raises(InputError, match="'change' is String, not a number"):
        checked_changes(pl.DataFrame({"day": [D1], "change": ["5%"]}))
    with pytest.raises(InputError, match="no base 'now'"):
        rate_index(history([]), base="now")


def test_the_index_is_a_product_by_segment():
    changes = history(
        [(D1, 0.1, None, None), (D2, 0.2, "基础档", None), (D2, -0.05, None, "in_force")]
    )
    found = rate_index(changes, by=["tier"], base="start")
    assert found.filter(pl.col("tier") == "基础档")["rate_level"].to_list() == pytest.approx(
        [1, 1.1, 1.1 * 1.2 * 0.95]
    )
    assert found.filter(pl.col("tier").is_null())["rate_level"].to_list() == pytest.approx(
        [1, 1.1, 1.1 * 0.95]
    )
    current = rate_index(changes, by=["tier"])
    assert current.group_by("tier").agg(pl.col("rate_level").last())["rate_level"].to_list() == (
        pytest.approx([1.0, 1.0])
    )
    assert rate_index(history([]).select("day", "change")).rows() == [(None, 0.0, 1.0)]


def test_the_index_takes_enums():
    tiers = pl.Enum(["基础档", "plus"])
    changes = history([(D1, 0.1, "plus", None)]).with_columns(pl.col("tier").cast(tiers))
    found = rate_index(changes, by=["tier"], base="start")
    assert found.schema["tier"] == tiers
    assert found.filter(pl.col("tier") == "plus")["rate_level"].to_list() == [1.0, 1.1]


def test_decimals_are_changes_too():
    changes = pl.DataFrame({"day": [D1], "change": [Decimal("0.05")]})
    assert checked_changes(changes)["change"].to_list() == [0.05]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.dates(date(2023, 1, 1), date(2023, 1, 12)),
            st.floats(-0.9, 3),
            st.sampled_from([None, "a", "b"]),
            st.sampled_from([None, "f", "m"]),
            st.sampled_from(["in_force", "new_and_renewal"]),
        ),
        max_size=8,
        unique_by=lambda t: (t[0], *t[2:]),
    ),
    st.lists(
        st.tuples(
            st.dates(date(2022, 12, 30), date(2023, 1, 14)),
            st.sampled_from(["a", "b", "c"]),
            st.sampled_from(["f", "m"]),
        ),
        min_size=1,
        max_size=8,
    ),
)
def test_the_level_of_a_row_is_the_product_of_what_applies(changes, rows):
    schema = {
        "day": pl.Date, "change": pl.Float64, "tier": pl.String, "sex": pl.String, "applies_to": pl.String
    }  # fmt: skip
    steps = checked_changes(pl.DataFrame(changes, schema=schema, orient="row"))
    book = pl.DataFrame(
        rows, schema={"start": pl.Date, "tier": pl.String, "sex": pl.String}, orient="row"
    )
    for kinds in (["in_force"], ["in_force", "new_and_renewal"]):
        expected = []
        for day, tier, sex in rows:
            level = 1.0
            for when, change, its_tier, its_sex, kind in changes:
                if (
                    when <= day
                    and its_tier in (None, tier)
                    and its_sex in (None, sex)
                    and kind in kinds
                ):
                    level *= 1 + change
            expected.append(level)
        found = with_level(book, steps, "start", applies_to=kinds)["rate_level"].to_list()
        assert found == pytest.approx(expected, rel=1e-12)


def test_a_level_no_term_has_is_refused_unless_the_enum_knows_it():
    steps = checked_changes(history([(D1, 0.1, "plsu", None)]))
    terms = pl.DataFrame({"tier": ["basic", "plus"]})
    with pytest.raises(InputError, match="no term has tier 'plsu'; did you mean 'plus'"):
        require_levels(terms, steps)
    require_levels(
        terms.with_columns(pl.col("tier").cast(pl.Enum(["basic", "plus", "plsu"]))), steps
    )
    with pytest.raises(InputError, match="'tier' is null in 1 of 2 terms"):
        require_levels(pl.DataFrame({"tier": ["plsu", None]}), steps)
    with pytest.raises(InputError, match="column 'tier' of the changes is not in the terms"):
        require_levels(terms.rename({"tier": "teir"}), steps)
