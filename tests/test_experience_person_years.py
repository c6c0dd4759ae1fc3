"""Person-years made by hand: leap days, exits, birthdays, and where each claim belongs."""

from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.errors import InputError
from pricing.experience.person_years import person_years

POLICIES = {"policy_id": pl.String, "birth_date": pl.Date, "start": pl.Date, "sex": pl.String}
RENEWALS = {
    "policy_id": pl.String,
    "policy_year": pl.Int64,
    "start": pl.Date,
    "end": pl.Date,
    "health_group": pl.String,
    "in_programme": pl.Boolean,
    "standard_premium": pl.Float64,
    "premium": pl.Float64,
}
CLAIMS = {"policy_id": pl.String, "incurred": pl.Date, "amount": pl.Float64}


def build(policies, renewals, claims=()):
    return person_years(
        pl.DataFrame(policies, schema=POLICIES, orient="row"),
        pl.DataFrame(
            [(*r, "G0", False, 1000.0, 900.0)[:8] if len(r) == 4 else r for r in renewals],
            schema=RENEWALS,
            orient="row",
        ),
        pl.DataFrame(list(claims), schema=CLAIMS, orient="row"),
    )


def anniversary(start, years):
    try:
        return start.replace(year=start.year + years)
    except ValueError:
        return date(start.year + years, 2, 28)


def terms(start, years, name="p"):
    return [(name, k, anniversary(start, k), anniversary(start, k + 1)) for k in range(years)]


def policy(start=date(2023, 3, 1), birth=date(1980, 3, 1), name="p"):
    return (name, birth, start, "female")


@pytest.mark.parametrize(
    "start", [date(2020, 2, 29), date(2023, 3, 1), date(2024, 1, 1), date(2023, 2, 28)]
)
def test_a_full_year_is_exactly_one_leap_or_not(start):
    rows = build([policy(start)], terms(start, 9)).rows
    assert rows["exposure"].to_list() == [1.0] * 9
    assert rows["standard_premium"].to_list() == [1000.0] * 9


def test_a_leap_day_policy_keeps_its_anniversaries():
    start = date(2020, 2, 29)
    claims = [
        ("p", date(2021, 2, 27), 1.0),  # last day of the first year
        ("p", date(2021, 2, 28), 2.0),  # its anniversary: the second
        ("p", date(2024, 2, 28), 4.0),  # the day before the fourth anniversary
        ("p", date(2024, 2, 29), 8.0),
    ]
    found = build([policy(start)], terms(start, 5), claims)
    assert found.rows["amount"].to_list() == [1.0, 2.0, 0.0, 4.0, 8.0]
    assert found.unmatched_claims.is_empty()


def test_an_exit_in_mid_term_counts_days_covered_over_days_of_its_policy_year():
    start = date(2023, 3, 1)
    leap, common = ("p", 0, start, date(2023, 9, 1)), ("p", 1, date(2024, 3, 1), date(2024, 3, 2))
    rows = build([policy(start)], [leap, common]).rows
    assert rows["exposure"].to_list() == [184 / 366, 1 / 365]
    assert rows["premium"].to_list() == pytest.approx([900 * 184 / 366, 900 / 365], rel=1e-15)


def test_where_a_claim_belongs():
    start = date(2022, 5, 10)
    claims = [
        ("p", date(2022, 5, 9), 1.0),  # before the start
        ("p", date(2022, 5, 10), 2.0),  # on the first day
        ("p", date(2023, 5, 9), 4.0),  # on the last day of the first year
        ("p", date(2023, 5, 10), 8.0),  # on the anniversary
        ("p", date(2024, 1, 1), 16.0),  # on the end date: no longer covered
        ("p", date(2024, 3, 3), 32.0),  # after the end
        ("q", date(2023, 1, 1), 64.0),  # a policy nobody knows
        ("p", None, 128.0),  # no date
    ]
    renewals = [("p", 0, start, date(2023, 5, 10)), ("p", 1, date(2023, 5, 10), date(2024, 1, 1))]
    found = build([policy(start)], renewals, claims)
    assert found.rows["amount"].to_list() == [6.0, 8.0]
    assert found.rows["claims"].to_list() == [2, 1]
    assert sorted(found.unmatched_claims["amount"]) == [1.0, 16.0, 32.0, 64.0, 128.0]


def test_a_gap_between_terms_covers_nothing():
    start = date(2022, 1, 1)
    renewals = [("p", 0, start, date(2022, 7, 1)), ("p", 2, date(2024, 1, 1), date(2025, 1, 1))]
    claims = [("p", date(2023, 1, 1), 5.0), ("p", date(2022, 2, 2), 7.0)]
    found = build([policy(start)], renewals, claims)
    assert found.rows["amount"].to_list() == [7.0, 0.0]
    assert found.rows["exposure"].to_list() == [181 / 365, 1.0]
    assert found.rows["prior_claims"].to_list() == [None, None]  # the year before was not covered
    assert found.unmatched_claims["amount"].to_list() == [5.0]


def test_policies_without_claims_stay_and_count_zero():
    start = date(2022, 1, 1)
    found = build(
        [policy(start, name="a"), policy(start, name="b")],
        terms(start, 2, "a") + terms(start, 1, "b"),
    )
    assert found.rows["claims"].to_list() == [0, 0, 0]
    assert found.rows["amount"].to_list() == [0.0, 0.0, 0.0]
    assert found.rows["prior_claims"].to_list() == [None, 0, None]
    assert found.unmatched_claims.is_empty()


def test_two_policies_of_one_person_keep_their_own_claims():
    start = date(2022, 1, 1)
    claims = [
        ("a", date(2022, 6, 1), 1.0),
        ("b", date(2022, 6, 1), 2.0),
        ("b", date(2023, 6, 1), 4.0),
    ]
    found = build(
        [policy(start, name="a"), policy(start, name="b")],
        terms(start, 2, "a") + terms(start, 2, "b"),
        claims,
    )
    by = {(p, y): a for p, y, a in found.rows.select("policy_id", "policy_year", "amount").rows()}
    assert by == {("a", 0): 1.0, ("a", 1): 0.0, ("b", 0): 2.0, ("b", 1): 4.0}
    prior = found.rows.filter(policy_year=1).sort("policy_id")["prior_claims"].to_list()
    assert prior == [1, 1]


@pytest.mark.parametrize(
    ("birth", "on", "age"),
    [
        (date(2000, 2, 29), date(2024, 2, 28), 23),
        (date(2000, 2, 29), date(2024, 2, 29), 24),
        (date(2000, 2, 29), date(2025, 2, 28), 24),
        (date(2000, 2, 29), date(2025, 3, 1), 25),
        (date(1980, 3, 1), date(2024, 2, 29), 43),
        (date(1980, 3, 1), date(2024, 3, 1), 44),
        (date(1980, 12, 31), date(2024, 1, 1), 43),
        (date(2024, 1, 1), date(2024, 1, 1), 0),
        (date(1950, 10, 2), date(2024, 2, 3), 73),
        (date(1950, 2, 10), date(2024, 10, 3), 74),
    ],
)
def test_age_last_birthday(birth, on, age):
    row = build([policy(on, birth)], terms(on, 1)).rows.row(0, named=True)
    assert (row["age"], row["year"]) == (age, on.year)


def test_ever_joined_looks_at_every_year_of_the_policy():
    start = date(2022, 1, 1)
    renewals = [
        ("a", 0, start, date(2023, 1, 1), "G0", False, 1.0, 1.0),
        ("a", 1, date(2023, 1, 1), date(2024, 1, 1), "G1", True, 1.0, 1.0),
        ("b", 0, start, date(2023, 1, 1), "G0", False, 1.0, 1.0),
    ]
    rows = build([policy(start, name="a"), policy(start, name="b")], renewals).rows
    assert rows["ever_joined"].to_list() == [True, True, False]
    assert rows["health_group"].to_list() == ["G0", "G1", "G0"]


def test_what_would_lose_or_double_a_year_is_refused():
    start = date(2022, 1, 1)
    with pytest.raises(InputError, match="2 policy years appear twice"):
        build([policy(start)], terms(start, 1) * 2)
    with pytest.raises(InputError, match="2 rows share their policy_id"):
        build([policy(start)] * 2, terms(start, 1))
    with pytest.raises(InputError, match="3 policy years have no policy, such as 'q', 'r'"):
        build([policy(start)], terms(start, 1) + terms(start, 2, "r") + terms(start, 1, "q"))


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_nothing_is_lost(data):
    """Claims in rows and unmatched are those that came in; covered days are those of the terms."""
    day = st.dates(date(2019, 1, 1), date(2026, 12, 31))
    names = ["a", "b", "c"]
    starts = {name: data.draw(day) for name in names}
    years = {name: data.draw(st.integers(0, 3)) for name in names}
    renewals = [t for name in names for t in terms(starts[name], years[name], name)]
    claims = data.draw(
        st.lists(
            st.tuples(st.sampled_from([*names, "z"]), day, st.integers(1, 99).map(float)),
            max_size=12,
        )
    )
    found = build([policy(starts[name], name=name) for name in names], renewals, claims)
    assert found.rows["claims"].sum() + found.unmatched_claims.height == len(claims)
    paid = found.rows["amount"].sum() + found.unmatched_claims["amount"].sum()
    assert paid == pytest.approx(sum(c[2] for c in claims))
    assert found.rows.height == len(renewals)
    assert found.rows["standard_premium"].sum() == pytest.approx(1000.0 * sum(years.values()))
    covered = {
        (n, d)
        for n, _, first, last in renewals
        for d in (first + timedelta(k) for k in range((last - first).days))
    }
    assert found.rows["claims"].sum() == sum((n, d) in covered for n, d, _ in claims)


def test_running_terms_and_early_leavers_count_only_the_days_seen():
    policies = pl.DataFrame(
        {
            "policy_id": ["runs", "left"],
            "birth_date": [date(1980, 1, 1)] * 2,
            "start": [date(2023, 7, 1)] * 2,
            "end": [date(2025, 7, 1), date(2024, 1, 1)],
        }
    )
    renewals = pl.DataFrame(
        {
            "policy_id": ["runs", "runs", "left"],
            "policy_year": [0, 1, 0],
            "start": [date(2023, 7, 1), date(2024, 7, 1), date(2023, 7, 1)],
            "end": [date(2024, 7, 1), date(2025, 7, 1), date(2024, 7, 1)],
            "standard_premium": [366.0, 365.0, 366.0],
        }
    )
    claims = pl.DataFrame(
        {
            "policy_id": ["runs", "runs", "left", "left"],
            "incurred": [
                date(2024, 12, 31),
                date(2025, 1, 1),
                date(2023, 12, 31),
                date(2024, 1, 1),
            ],
            "amount": [1.0, 2.0, 4.0, 8.0],
        }
    )
    found = person_years(policies, renewals, claims, observed=(date(2024, 1, 1), date(2025, 1, 1)))
    assert found.rows.select("policy_id", "policy_year", "claims").rows() == [
        ("runs", 0, 0),
        ("runs", 1, 1),
    ]
    days = found.rows["exposure"] * pl.Series([366, 365])
    assert days.to_list() == pytest.approx([182, 184])
    assert found.rows["standard_premium"].to_list() == pytest.approx([182, 184])
    assert found.counts == {"cut_at_exit": 1, "cut_at_window": 2, "outside_window": 1}
    reasons = dict(found.unmatched_claims.select("amount", "reason").iter_rows())
    assert reasons == {
        2.0: "incurred outside the window",
        4.0: "incurred outside the window",
        8.0: "in no policy year",
    }
    whole = person_years(policies, renewals, claims)
    left = whole.rows.filter(policy_id="left").row(0, named=True)
    assert (left["exposure"] * 366, left["claims"]) == (pytest.approx(184), 1)  # not past the exit
