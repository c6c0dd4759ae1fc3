"""Cover cut where factors change, against a counter that looks at every day."""

from collections import Counter
from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.errors import InputError
from pricing.experience.changes import COVER, cut_at_changes
from pricing.experience.events import place_claims
from pricing.experience.lexis import Lexis
from pricing.experience.split import split_exposure

POLICIES = {"policy_id": pl.String, "start": pl.Date, "end": pl.Date, "birth_date": pl.Date}
WINDOW = {"start": date(2019, 6, 1), "end": date(2023, 6, 1)}


def policies(*rows):
    return pl.DataFrame(rows, schema=POLICIES, orient="row")


def steps(name, *rows):
    schema = {"policy_id": pl.String, "from": pl.Date, name: pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


ONE = policies(("p", date(2020, 1, 1), date(2022, 1, 1), date(1980, 1, 1)))


def test_what_is_before_after_and_beside_cover():
    groups = steps(
        "group",
        ("p", date(2018, 1, 1), "G0"),  # changed again before cover
        ("p", date(2019, 1, 1), "G1"),  # holds at the start
        ("p", date(2021, 1, 1), "G2"),
        ("p", date(2021, 6, 1), "G2"),  # no change
        ("p", date(2022, 1, 1), "G3"),  # the day cover ends
        ("q", date(2021, 1, 1), "G4"),
    )
    cut = cut_at_changes(ONE, groups)
    assert cut.policies.select("group", *COVER).rows() == [
        ("G1", date(2020, 1, 1), date(2021, 1, 1)),
        ("G2", date(2021, 1, 1), date(2022, 1, 1)),
    ]
    assert sorted(cut.ignored.select("group", "reason").rows()) == [
        ("G0", "changed again before cover"),
        ("G3", "after cover"),
        ("G4", "unknown policy"),
    ]


def test_two_tables_cut_at_all_their_dates():
    groups = steps("group", ("p", date(2020, 1, 1), "G0"), ("p", date(2021, 1, 1), "G1"))
    tiers = steps("tier", ("p", date(2020, 7, 1), "high"))
    cut = cut_at_changes(ONE, [groups, tiers], default={"tier": "low"}).policies
    assert cut.select("group", "tier", "cover_start").rows() == [
        ("G0", "low", date(2020, 1, 1)),
        ("G0", "high", date(2020, 7, 1)),
        ("G1", "high", date(2021, 1, 1)),
    ]


def test_cover_without_a_value_is_refused_or_takes_the_default():
    late = steps("group", ("p", date(2020, 1, 2), "G1"))
    with pytest.raises(InputError, match="1 policies have no 'group' at their start, such as 'p'"):
        cut_at_changes(ONE, late)
    cut = cut_at_changes(ONE, late, default={"group": "none"}).policies
    assert cut["group"].to_list() == ["none", "G1"]
    none = cut_at_changes(ONE, late.head(0), default={"group": "none"}).policies
    assert none["group"].to_list() == ["none"]


def test_bad_changes_are_refused_with_counts():
    twice = steps("group", ("p", date(2020, 1, 1), "G0"), ("p", date(2020, 1, 1), "G1"))
    with pytest.raises(InputError, match="2 changes 1 share policy and day"):
        cut_at_changes(ONE, twice)
    with pytest.raises(InputError, match="'group' of changes 1 is null in 1 rows"):
        cut_at_changes(ONE, steps("group", ("p", date(2020, 1, 1), None)))
    with pytest.raises(InputError, match="column 'end' of changes 1 is there already"):
        cut_at_changes(ONE, twice.head(1).rename({"group": "end"}))
    with pytest.raises(InputError, match="changes 1 have no 'from'"):
        cut_at_changes(ONE, twice.head(1).rename({"from": "form"}))
    with pytest.raises(InputError, match="2 policies share their policy_id"):
        cut_at_changes(pl.concat([ONE, ONE]), twice.head(1))
    with pytest.raises(InputError, match="did you mean 'group'"):
        cut_at_changes(ONE, twice.head(1), default={"grup": "G0"})
    with pytest.raises(InputError, match="no table"):
        cut_at_changes(ONE, [])


def test_policies_and_defaults_that_do_not_fit_are_refused():
    groups = steps("group", ("p", date(2020, 1, 2), "G1"))
    with pytest.raises(InputError, match="'end' is not after 'start' in 1 policies"):
        cut_at_changes(ONE.with_columns(end=pl.col("start")), groups, default={"group": "G0"})
    with pytest.raises(InputError, match=r"'start' of policies is Datetime.*, not a date"):
        cut_at_changes(ONE.with_columns(pl.col("start").cast(pl.Datetime)), groups)
    with pytest.raises(InputError, match="'policy_id' is Int32 in changes 1, String in policies"):
        cut_at_changes(ONE, groups.with_columns(policy_id=pl.lit(1)))
    with pytest.raises(InputError, match="policies are a LazyFrame"):
        cut_at_changes(ONE.lazy(), groups)
    with pytest.raises(InputError, match="changes 1 are a LazyFrame"):
        cut_at_changes(ONE, groups.lazy())
    premium = groups.select("policy_id", "from", premium=pl.lit(9.5))
    with pytest.raises(InputError, match="default 'none' for 'premium' is no Float64"):
        cut_at_changes(ONE, premium, default={"premium": "none"})
    levels = groups.with_columns(pl.col("group").cast(pl.Enum(["G0", "G1"])))
    with pytest.raises(InputError, match="default 'G9' for 'group' is no Enum"):
        cut_at_changes(ONE, levels, default={"group": "G9"})
    cut = cut_at_changes(ONE, [premium, levels], default={"premium": 1, "group": "G0"}).policies
    assert cut.select("premium", "group").rows() == [(1.0, "G0"), (9.5, "G1")]


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_days_of_every_value_against_a_counter(data):
    day = st.dates(date(2018, 12, 20), date(2022, 3, 10))
    rows, groups, tiers = [], [], []
    for name in ("a", "b"):
        start = data.draw(day)
        end = start + timedelta(data.draw(st.integers(200, 900)))
        rows.append((name, start, end, date(1990, 2, 28)))
        for table, levels in ((groups, "xyz"), (tiers, "uv")):
            changes = data.draw(st.lists(day, unique=True, max_size=4))
            table += [(name, d, data.draw(st.sampled_from(levels))) for d in changes]
    book = policies(*rows)
    cut = cut_at_changes(
        book, [steps("group", *groups), steps("tier", *tiers)], default={"group": "0", "tier": "0"}
    ).policies
    dims = ["calendar_year", "policy_year", "age"]
    lexis = Lexis(start=date(2019, 1, 1), end=date(2024, 12, 31), dims=dims)
    found = split_exposure(cut, ["group", "tier"], lexis, cover=COVER)

    def value(table, name, on):
        past = [(d, v) for n, d, v in table if n == name and d <= on]
        return max(past)[1] if past else "0"

    want = Counter()
    for name, start, end, _ in rows:
        for k in range((end - start).days):
            on = start + timedelta(k)
            if on >= lexis.start:
                want[value(groups, name, on), value(tiers, name, on)] += 1
    ours = found.by("group", "tier").cells.select("group", "tier", "days").rows()
    assert {r[:2]: r[2] for r in ours} == want
    # the anniversary stays that of the policy: merging the values gives the uncut split
    whole = split_exposure(book, [], lexis)
    assert found.by(*dims).cells["days"].to_list() == whole.cells["days"].to_list()


def test_claims_fall_in_the_value_of_their_day():
    groups = steps("group", ("p", date(2020, 1, 1), "G0"), ("p", date(2021, 3, 1), "G1"))
    cut = cut_at_changes(ONE, groups).policies
    days = [date(2021, 2, 28), date(2021, 3, 1), date(2021, 3, 2)]
    claims = pl.DataFrame({"policy_id": ["p"] * 3, "incurred": days, "amount": [1.0, 2.0, 4.0]})
    lexis = Lexis(**WINDOW, dims=["calendar_year"])
    placed = place_claims(claims, cut, ["group"], lexis, amount="amount", cover=COVER)
    seen = placed.onto(split_exposure(cut, ["group"], lexis, cover=COVER)).cells
    cells = seen.select("group", "calendar_year", "claims", "amount", "claims_squared").rows()
    assert cells == [("G0", 2020, 0, 0.0, 0), ("G0", 2021, 1, 1.0, 1), ("G1", 2021, 2, 6.0, 4)]
    assert seen["days"].to_list() == [366, 59, 306]


def test_an_exit_belongs_to_the_last_stretch_only():
    book = ONE.with_columns(exit_cause=pl.lit("lapse"))
    groups = steps("group", ("p", date(2020, 1, 1), "G0"), ("p", date(2021, 3, 1), "G1"))
    cut = cut_at_changes(book, groups).policies
    lexis = Lexis(**WINDOW, dims=["policy_year"])
    seen = split_exposure(cut, ["group"], lexis, exits=["lapse"], cover=COVER).cells
    assert seen.select("group", "policy_year", "exits_lapse").rows() == [
        ("G0", 0, 0),
        ("G0", 1, 0),
        ("G1", 1, 1),
    ]
