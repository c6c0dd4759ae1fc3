"""Premium at current level: a counter of days, published factors, chainladder, books written evenly."""

import warnings
from collections import defaultdict
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.errors import InputError
from pricing.premium.earned import premium_by_period
from pricing.premium.on_level import OnLevel, on_level
from pricing.premium.parallelogram import Parallelogram, parallelogram_factors
from pricing.result.shape import Result
from pricing.result.words import label

DAY = timedelta(days=1)
GUIDE = pl.DataFrame(
    {
        "day": [date(2016, 7, 15), date(2017, 3, 1), date(2018, 1, 1), date(2019, 10, 31)],
        "change": [0.02, 0.05, -0.03, 0.10],
    }
)
ONE = pl.DataFrame({"day": [date(2017, 7, 1)], "change": [0.2]})


def factors(changes, periods, **options):
    return parallelogram_factors(changes, periods, **options).table["on_level_factor"].to_list()


# -- parallelogram ----------------------------------------------------------------------------------


def test_the_published_factors():
    found = factors(GUIDE, range(2016, 2021), grain="day_365", uniform="premium")
    assert found == pytest.approx([1.140327, 1.104799, 1.084197, 1.098557, 1.034456], abs=5e-7)
    exact = 1.2 / (1 + 0.2 * 0.5 * (184 / 365) ** 2)
    assert factors(ONE, [2017]) == pytest.approx([exact], rel=1e-14)
    assert exact == pytest.approx(1.17026058, abs=5e-9)


def test_areas_of_a_textbook_by_hand():
    """Levels 1, 1.05, 1.155 and 1.14345; the areas of 2011 are 1/8, 3/8 and 1/2."""
    changes = pl.DataFrame(
        {
            "day": [date(2010, 7, 1), date(2011, 1, 1), date(2012, 4, 1)],
            "change": [0.05, 0.10, -0.01],
        }
    )
    level = 1 / 8 * 1 + 3 / 8 * 1.05 + 1 / 2 * 1.155
    found = parallelogram_factors(changes, [2011], grain="month").table
    assert found["rate_level"].item() == pytest.approx(level, rel=1e-14)
    assert found["on_level_factor"].item() == pytest.approx(1.14345 / level, rel=1e-14)
    half = parallelogram_factors(changes, [2011], grain="month", term_months=6).table
    assert half["rate_level"].item() == pytest.approx(1 / 4 * 1.05 + 3 / 4 * 1.155, rel=1e-14)
    policy = parallelogram_factors(changes, [2010, 2011], grain="month", year="policy").table
    assert policy["rate_level"].to_list() == pytest.approx([1.025, 1.155], rel=1e-14)


@pytest.mark.parametrize("months", [6, 12, 18, 24])
def test_chainladder_says_the_same_by_month(months):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import chainladder
        import pandas

        changes = {"day": ["2015-04-01", "2016-07-01", "2018-01-01"], "change": [0.1, -0.04, 0.07]}
        earned = pandas.DataFrame({"year": range(2015, 2021), "premium": [1.0] * 6})
        triangle = chainladder.Triangle(earned, origin="year", columns="premium", cumulative=True)
        oracle = chainladder.ParallelogramOLF(
            pandas.DataFrame(changes), change_col="change", date_col="day", policy_length=months
        )
        theirs = oracle.fit_transform(triangle).olf_.to_frame().to_numpy().ravel()
    ours = pl.DataFrame(changes).with_columns(pl.col("day").str.to_date())
    found = factors(ours, range(2015, 2021), grain="month", term_months=months)
    assert found == pytest.approx(list(theirs), rel=1e-12)


def brute(changes, first, stop, months):
    """The mean over instants t of the mean level over writing dates in force, by midpoints."""
    days = pl.date_range(first, stop, "1d", closed="left", eager=True)
    backs = days.dt.offset_by(f"-{months}mo").to_physical().to_numpy()
    found = []
    for day, back in zip(days.to_physical().to_numpy(), backs, strict=True):
        for part in (0.25, 0.75):
            t, dates = day + part, np.arange(back + part + 0.125, day + part, 0.25)
            charged = np.ones(len(dates))
            for when, change, applies in changes:
                at = when.toordinal() - date(1970, 1, 1).toordinal()
                charged *= np.where(at <= (t if applies == "in_force" else dates), 1 + change, 1.0)
            found.append(charged.mean())
    return np.mean(found)


@settings(max_examples=8, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.dates(date(2018, 12, 1), date(2020, 4, 1)),
            st.floats(-0.3, 0.5),
            st.sampled_from(["new_and_renewal", "in_force"]),
        ),
        min_size=1,
        max_size=4,
        unique_by=lambda t: (t[0], t[2]),
    ),
    st.sampled_from([1, 6, 12, 13]),
)
def test_days_are_the_integral_over_the_diagram(changes, months):
    frame = pl.DataFrame(changes, schema=["day", "change", "applies_to"], orient="row")
    found = parallelogram_factors(
        frame, [date(2020, 1, 1)], every="quarter", term_months=months
    ).table["rate_level"]
    expected = brute(changes, date(2020, 1, 1), date(2020, 4, 1), months)
    assert found.item() == pytest.approx(expected, rel=1e-9)


def test_a_change_of_nought_moves_nothing_and_so_does_a_grain_without_changes():
    for grain in ("day", "month", "day_365"):
        for year in ("calendar", "policy"):
            none = ONE.with_columns(change=pl.lit(0.0))
            assert factors(none, [2016, 2017], grain=grain, year=year) == pytest.approx([1, 1])
            assert factors(ONE.clear(), [2016], grain=grain, year=year) == pytest.approx([1])
            assert factors(ONE, [2010, 2030], grain=grain, year=year) == pytest.approx([1.2, 1])


def test_periods_add_up_to_the_year():
    quarters = [date(2017, m, 1) for m in (1, 4, 7, 10)]
    months = [date(2017, m, 1) for m in range(1, 13)]
    year = parallelogram_factors(ONE, [2017]).table["rate_level"].item()
    for every, firsts in (("quarter", quarters), ("month", months)):
        level = parallelogram_factors(ONE, firsts, every=every).table["rate_level"]
        ends = pl.Series(firsts).dt.offset_by({"quarter": "3mo", "month": "1mo"}[every])
        days = (ends - pl.Series(firsts)).dt.total_days()
        assert (level * days).sum() / 365 == pytest.approx(year, rel=1e-13)


def test_a_term_from_29_february_and_a_leap_year():
    leap = pl.DataFrame({"day": [date(2020, 2, 29)], "change": [0.1]})
    level = parallelogram_factors(leap, [2020]).table["rate_level"].item()
    # in force at t in 2020 from 29 February on: 366 days of writing, 307 of them new at the year's end
    assert level == pytest.approx(1 + 0.1 * 0.5 * 307**2 / 366 / 366, rel=1e-12)
    policy = parallelogram_factors(leap, [2020], year="policy").table["rate_level"].item()
    assert policy == pytest.approx(1 + 0.1 * 307 / 366, rel=1e-13)


@pytest.mark.parametrize(("options", "said"), [
    ({"grain": "week"}, "no grain 'week'"),
    ({"every": "yaer"}, "no every 'yaer'; did you mean 'year'"),
    ({"term_months": 0}, "term_months is 0"),
    ({"term_months": 6.5}, "term_months is 6.5"),
    ({"periods": []}, "there are no periods"),
    ({"periods": [date(2017, 2, 1)]}, "2017-02-01 is not the first day of a year"),
    ({"periods": ["2017"]}, "periods are calendar years or first days"),
    ({"periods": [0]}, "periods are calendar years or first days"),
    ({"periods": [99999]}, "periods are calendar years or first days"),
    ({"changes": ONE.with_columns(tier=pl.lit("a"))}, "the changes have segments"),
])  # fmt: skip
def test_parallelograms_that_are_refused(options, said):
    given_ = {"changes": ONE, "periods": [2017], **options}
    with pytest.raises(InputError, match=said):
        parallelogram_factors(given_.pop("changes"), given_.pop("periods"), **given_)


# -- own terms --------------------------------------------------------------------------------------


def price(anniversary, day):
    def shifted(years):
        try:
            return anniversary.replace(year=anniversary.year + years)
        except ValueError:
            return date(anniversary.year + years, 2, 28)

    year = day.year - anniversary.year
    if shifted(year) > day:
        year -= 1
    return 1 / (shifted(year + 1) - shifted(year)).days


def by_day(terms, changes, valuation):
    """Earned, written and at-level premium by quarter and tier, a day and a change at a time."""
    sums = defaultdict(lambda: [0.0] * 4)

    def level(day, tier, kind):
        out = 1.0
        for when, change, its, applies in changes:
            if when <= day and its in (None, tier) and applies == kind:
                out *= 1 + change
        return out

    quarter = lambda d: date(d.year, 3 * ((d.month - 1) // 3) + 1, 1)  # noqa: E731
    now = date(2100, 1, 1)
    for start, end, left, premium, tier in terms:
        if start > valuation or (left is not None and left <= start):
            continue
        gone = left if left is not None and left <= valuation and left < end else None
        new, forced = level(start, tier, "new_and_renewal"), level(start, tier, "in_force")
        today = level(now, tier, "new_and_renewal") * level(now, tier, "in_force") / new / forced
        day = start
        while day < end:
            one = premium * price(start, day)
            charged = one * level(day, tier, "in_force") / forced
            sums[quarter(start), tier][0] += one
            for when, _, its, applies in changes:  # what a change adds is written on its day
                running = start < when <= valuation and (gone is None or when < gone)
                if applies == "in_force" and its in (None, tier) and running and when <= day:
                    more = level(when, tier, applies) - level(when - DAY, tier, applies)
                    both = [
                        c
                        for c in changes
                        if c[0] == when and c[3] == applies and c[2] in (None, tier)
                    ]
                    sums[quarter(when), tier][0] += one * more / forced / len(both)
            if gone is not None and day >= gone:
                last = level(gone - DAY, tier, "in_force")
                sums[quarter(gone), tier][1] += one * last / forced
            elif day <= valuation:
                sums[quarter(day), tier][2] += charged
                sums[quarter(day), tier][3] += one * today
            day += DAY
    return sums


TERMS = st.lists(
    st.tuples(
        st.dates(date(2019, 11, 1), date(2020, 6, 1)) | st.just(date(2020, 2, 29)),
        st.sampled_from([30, 366, 400]),
        st.none() | st.integers(-5, 420),
        st.floats(1, 5000),
        st.sampled_from(["基础档", "plus"]),
    ).map(
        lambda t: (t[0], t[0] + t[1] * DAY, None if t[2] is None else t[0] + t[2] * DAY, t[3], t[4])
    ),
    min_size=1,
    max_size=4,
)
CHANGES = st.lists(
    st.tuples(
        st.dates(date(2019, 11, 1), date(2021, 3, 1)),
        st.floats(-0.4, 0.6),
        st.sampled_from([None, "基础档", "plus"]),
        st.sampled_from(["new_and_renewal", "in_force"]),
    ),
    max_size=4,
    unique_by=lambda t: (t[0], *t[2:]),
)
TIERS = pl.Enum(["基础档", "plus"])


@settings(max_examples=25, deadline=None)
@given(TERMS, CHANGES, st.dates(date(2020, 6, 1), date(2021, 9, 1)))
def test_every_period_is_what_a_counter_of_days_counts(terms, changes, valuation):
    frame = pl.DataFrame(
        terms,
        schema={
            "start": pl.Date,
            "end": pl.Date,
            "left": pl.Date,
            "premium": pl.Float64,
            "tier": TIERS,
        },
        orient="row",
    )
    steps = pl.DataFrame(
        changes,
        schema={"day": pl.Date, "change": pl.Float64, "tier": pl.String, "applies_to": pl.String},
        orient="row",
    )
    if all(t[2] is not None and t[2] <= t[0] for t in terms):
        return
    found = on_level(frame, steps, valuation=valuation, by="tier", exit="left")
    expected = by_day(terms, changes, valuation)
    level = defaultdict(float)
    for row in found.table.iter_rows(named=True):
        want = expected.pop((row["period"], row["tier"]), [0.0] * 4)
        got = [row[c] for c in ("written", "returned", "earned", "premium_at_current_level")]
        assert got == pytest.approx(want, rel=1e-9, abs=1e-6)
        before = level[row["tier"]]
        level[row["tier"]] = row["unearned"]
        assert abs(got[0] - got[1] - (row["unearned"] - before) - got[2]) < 0.005
        if want[2] > 1e-6:
            assert row["on_level_factor"] == pytest.approx(want[3] / want[2], rel=1e-9)
    assert not expected


def even_book(first=date(2015, 1, 1), years=4):
    """One policy a day, each at the rate of its day."""
    days = pl.date_range(first, date(first.year + years, 1, 1), "1d", closed="left", eager=True)
    level = pl.when(pl.col("start") >= date(2017, 7, 1)).then(1.2).otherwise(1.0)
    return (
        pl.DataFrame({"start": days})
        .with_columns(end=pl.col("start").dt.offset_by("1y"), premium=365 * level)
        .with_columns(standard_premium=pl.col("premium") / 0.9, health_group=pl.lit("G1"))
    )


def test_a_book_written_evenly_has_the_parallelograms_factors():
    own = on_level(even_book(), ONE, valuation=date(2018, 12, 31), grain="year").table
    drawn = factors(ONE, [2017, 2018])
    assert own["on_level_factor"].to_list()[2:] == pytest.approx(drawn, rel=1e-3)
    assert own["on_level_factor"].to_list()[:2] == pytest.approx([1.2, 1.2], rel=1e-13)


def test_what_earns_is_what_premium_by_period_earns():
    terms = even_book()
    own = on_level(terms, ONE, valuation=date(2018, 12, 31), grain="year").table
    plain = premium_by_period(terms, valuation=date(2018, 12, 31), grain="year")
    for column in ("exposure", "written", "returned", "earned", "unearned"):
        assert own[column].to_list() == pytest.approx(plain[column].to_list(), rel=1e-12), column


def test_discounts_are_rate_changes_too():
    options = {"valuation": date(2018, 12, 31), "grain": "year"}
    terms = even_book()
    without = on_level(terms, ONE, **options).table
    same = on_level(terms, ONE, present={"G1": 0.1}, **options)
    assert same.table["premium_at_current_level"].to_list() == pytest.approx(
        without["premium_at_current_level"].to_list(), rel=1e-12
    )
    deeper = on_level(terms, ONE, present={"G1": 0.25, "G2": 0.5}, **options).table
    assert deeper["on_level_factor"].to_list() == pytest.approx(
        [f * 0.75 / 0.9 for f in without["on_level_factor"]], rel=1e-12
    )
    assert deeper["standard_at_current_level"].to_list() == pytest.approx(
        [v / 0.9 for v in without["premium_at_current_level"]], rel=1e-12
    )
    assert "discounts" in same.finding("en")
    assert "折扣" in same.finding("zh")


def test_each_health_group_gives_way_to_its_present_discount():
    groups = pl.Series(["G0", "良好", "G2"] * 487)
    charged = {"G0": 0.0, "良好": 0.03, "G2": 0.08}
    present = {"G0": 0.0, "良好": 0.05, "G2": 0.12}
    terms = (
        even_book()
        .with_columns(health_group=groups)
        .with_columns(
            premium=pl.col("standard_premium")
            * (1 - pl.col("health_group").replace_strict(charged))
        )
    )
    options = {"valuation": date(2019, 12, 31), "grain": "year", "by": ["health_group"]}
    found = on_level(terms, ONE.clear(), present=present, **options).table
    for group, factor in zip(
        *found.select(pl.col("health_group").cast(pl.String), "on_level_factor"), strict=True
    ):
        assert factor == pytest.approx((1 - present[group]) / (1 - charged[group]), rel=1e-12)
    own = on_level(terms, ONE.clear(), premium="standard_premium", present=present, **options).table
    assert "standard_at_current_level" not in own.columns
    assert own["premium_at_current_level"].to_list() == pytest.approx(
        found["premium_at_current_level"].to_list(), rel=1e-12
    )


def test_exposures_are_extended_by_a_tariff():
    options = {"valuation": date(2018, 12, 31), "grain": "year"}
    terms = even_book()
    indexed = on_level(terms, ONE, **options).table["premium_at_current_level"].to_list()
    priced = on_level(terms, ONE, tariff=pl.lit(365 * 1.2), **options)
    assert priced.table["premium_at_current_level"].to_list() == pytest.approx(indexed, rel=1e-12)
    standard = pl.lit(365 * 1.2 / 0.9)
    both = on_level(terms, ONE, tariff=standard, present={"G1": 0.1}, **options).table
    assert both["premium_at_current_level"].to_list() == pytest.approx(indexed, rel=1e-12)
    some = pl.when(pl.col("start") > date(2015, 1, 1)).then(1.0)
    with pytest.raises(InputError, match="the tariff prices 1 of"):
        on_level(terms, ONE, tariff=some, **options)


def test_current_may_be_a_day():
    options = {"valuation": date(2018, 12, 31), "grain": "year"}
    before = on_level(even_book(), ONE, current=date(2017, 6, 30), **options).table
    assert before["on_level_factor"].to_list()[:2] == pytest.approx([1.0, 1.0])
    assert before["on_level_factor"].to_list()[3] < 1


def test_a_day_of_rating_other_than_the_start():
    terms = even_book().with_columns(quoted=pl.col("start").dt.offset_by("-40d"))
    options = {"valuation": date(2018, 12, 31), "grain": "year"}
    found = on_level(terms, ONE, rated="quoted", **options).table["premium_at_current_level"]
    late = terms.filter(pl.col("start").is_between(date(2017, 7, 1), date(2017, 8, 9)))
    start = on_level(terms, ONE, **options).table["premium_at_current_level"]
    assert found.sum() > start.sum()
    assert late.height == 40


def test_order_and_splitting():
    terms = even_book().with_columns(tier=pl.Series(["甲", "乙"] * 730 + ["甲"]))
    changes = ONE.with_columns(tier=pl.lit("甲"))
    options = {"valuation": date(2018, 9, 30), "by": ["tier"]}
    found = on_level(terms, changes, **options).table
    shuffled = on_level(terms.sample(fraction=1.0, shuffle=True, seed=2), changes, **options).table
    money = pl.col("premium", "standard_premium")
    halves = on_level(pl.concat([terms.with_columns(money / 2)] * 2), changes, **options).table
    for other in (shuffled, halves):
        for c in ("written", "earned", "unearned", "premium_at_current_level", "on_level_factor"):
            assert other[c].to_list() == pytest.approx(found[c].to_list(), rel=1e-9, abs=1e-6), c
    assert found.filter(pl.col("tier") == "乙")["on_level_factor"].drop_nulls().to_list() == (
        pytest.approx([1.0] * 15)
    )


@pytest.mark.parametrize(("options", "said"), [
    ({"present": {"G0": 0.0}}, "group 'G1' has no present discount"),
    ({"present": {"G1": 1.0}}, "the discount of 'G1' is 1.0: not from 0 to below 1"),
    ({"present": {"G1": float("nan")}}, "the discount of 'G1' is nan"),
    ({"present": {"G1": 0.1}, "group": "helth_group"}, "'helth_group' is missing; did you mean 'health_group'"),
    ({"changes": ONE.with_columns(tier=pl.lit("a"))}, "'tier' is missing"),
    ({"changes": ONE.with_columns(health_group=pl.lit("G9"))}, "no term has health_group 'G9'"),
    ({"changes": ONE.with_columns(change=pl.lit(-1.0))}, "takes away 100 %"),
    ({"valuation": date(2014, 12, 31)}, "no term begins by the valuation"),
    ({"by": ["premium"]}, "segment 'premium' has the name"),
    ({"rated": "quoted"}, "'quoted' is missing"),
    ({"tariff": pl.col("nosuch")}, "'nosuch' is missing"),
    ({"rated": "premium"}, "'premium' is no date"),
])  # fmt: skip
def test_what_cannot_be_brought_on_level(options, said):
    given_ = {"changes": ONE, "valuation": date(2018, 12, 31), **options}
    with pytest.raises(InputError, match=said):
        on_level(even_book(), given_.pop("changes"), **given_)


def test_nobody_stayed():
    terms = even_book().with_columns(left=pl.col("start"))
    changes = ONE.with_columns(health_group=pl.lit("G1"))
    with pytest.raises(InputError, match="no term begins"):
        on_level(terms, changes, valuation=date(2018, 12, 31), exit="left")


def test_terms_that_earn_nothing():
    with pytest.raises(InputError, match="no premium is earned"):
        on_level(even_book().with_columns(premium=0.0), ONE, valuation=date(2018, 12, 31))


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_results_speak_draw_and_are_kept(lang, tmp_path):
    terms = even_book().with_columns(tier=pl.Series(["basic", "premium"] * 730 + ["basic"]))
    own = on_level(terms, ONE, valuation=date(2018, 12, 31), by=["tier"])
    drawn = parallelogram_factors(ONE, [2016, 2017, 2018])
    for result, kind in ((own, OnLevel), (drawn, Parallelogram)):
        assert result.finding(lang)
        figure = result.figure(lang)
        assert figure.layout.xaxis.title.text == label("period", lang)
        result.save(tmp_path / result.kind)
        again = Result.load(tmp_path / result.kind)
        assert isinstance(again, kind)
        assert again.finding(lang) == result.finding(lang)
        assert again.figure(lang).to_json() == figure.to_json()
        for column in result.table.columns:
            assert label(column, "zh") != column
    assert len(own.figure(lang).data) == 2 + 3
    assert list(own.figure(lang).data[0].y) == pytest.approx(
        own.table.group_by("period", maintain_order=True)
        .agg(pl.col("earned").sum())["earned"]
        .to_list()
    )
