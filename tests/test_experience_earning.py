"""Earned premium and placed claims: every split adds to the whole, nothing is lost."""

from datetime import date, timedelta
from itertools import combinations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.errors import InputError
from pricing.experience.cells import Experience
from pricing.experience.events import place_claims
from pricing.experience.lexis import Lexis
from pricing.experience.split import split_exposure

WINDOW = {"start": date(2020, 1, 1), "end": date(2024, 7, 1)}
SUBSETS = [
    (*calendar, *rest)
    for calendar in ((), ("calendar_year",), ("calendar_month",))
    for k in range(3)
    for rest in combinations(("policy_year", "age"), k)
]


def book(n=400, seed=1):
    draw = np.random.default_rng(seed)
    start = draw.integers(17_000, 19_700, n)
    columns = {
        "policy_id": pl.Series([f"p{i}" for i in range(n)]),
        "start": start,
        "end": start + 1 + draw.exponential(700, n).astype(int),
        "birth_date": start - draw.integers(0, 60 * 365, n),
        "sex": draw.choice(["f", "m"], n),
        "premium": draw.uniform(500, 3000, n),
    }
    days = pl.col("start", "end", "birth_date").cast(pl.Int32).cast(pl.Date)
    return pl.DataFrame(columns).with_columns(days)


def earned(policies, dims, **options):
    lexis = Lexis(**WINDOW, dims=dims)
    return split_exposure(policies, ["sex"], lexis, premiums=["premium"], **options)


@pytest.mark.parametrize("pattern", [(1.0,), (0.5, 0.5), (0.4, 0.3, 0.2, 0.1), (0.0, 1.0)])
def test_what_is_earned_is_the_same_however_it_is_split(pattern):
    policies = book()
    whole = earned(policies, [], pattern=pattern).cells["premium"].to_list()
    for dims in SUBSETS:
        parts = earned(policies, dims, pattern=pattern).by("sex").cells["premium"].to_list()
        assert parts == pytest.approx(whole, rel=1e-12), dims


def test_a_full_policy_year_earns_the_premium_and_a_part_its_days():
    policies = pl.DataFrame(
        {
            "start": [date(2021, 3, 1)],
            "end": [date(2023, 9, 1)],
            "sex": ["f"],
            "premium": [1000],
        }
    )
    assert earned(policies, ["policy_year"]).cells["premium"].to_list() == [
        1000.0,
        1000.0,
        pytest.approx(1000 * 184 / 366, rel=1e-14),
    ]
    halves = earned(policies, ["policy_year"], pattern=[0.75, 0.25]).cells["premium"].to_list()
    assert halves == pytest.approx(
        [1000, 1000, 1000 * (0.75 + 0.25 * (2 * 184 / 366 - 1))], rel=1e-14
    )
    even = earned(policies, ["policy_year"], pattern=[0.25] * 4).cells["premium"]
    assert even.to_list() == pytest.approx(
        earned(policies, ["policy_year"]).cells["premium"].to_list(), rel=1e-14
    )


def test_earned_equals_premium_times_policy_year_exposure():
    policies = book().with_columns(premium=pl.lit(800.0))
    cells = earned(policies, ["calendar_year", "policy_year", "age"]).cells
    assert cells["premium"].to_list() == pytest.approx(
        (cells["exposure"] * 800).to_list(), rel=1e-12
    )


@pytest.mark.parametrize("pattern", [[], [0.5], [0.5, 0.6], [1.5, -0.5], [float("nan")], ["a"]])
def test_a_pattern_that_does_not_add_to_one_is_refused(pattern):
    with pytest.raises(InputError, match="earning pattern"):
        earned(book(5), [], pattern=pattern)


def test_premiums_that_cannot_be_earned_are_refused():
    for bad in (-1.0, None, float("nan"), float("inf")):
        policies = book(5).with_columns(
            premium=pl.when(pl.col("policy_id") == "p0").then(bad).otherwise(1.0)
        )
        with pytest.raises(InputError, match="'premium' is null, not finite or negative in 1 of 5"):
            earned(policies, ["age"])


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_claims_in_cells_are_those_of_single_rows(data):
    """Every measure equals that of a table with one row per (policy, cell), made the long way."""
    policies = book(6, seed=data.draw(st.integers(0, 50)))
    day = st.dates(date(2015, 1, 1), date(2025, 12, 31))
    names = [*policies["policy_id"], "nobody"]
    near = [policies.row(i, named=True) for i in range(6)]
    edge = st.sampled_from(
        [r[c] + timedelta(k) for r in near for c in ("start", "end") for k in (-1, 0)]
    )
    drawn = data.draw(
        st.lists(
            st.tuples(st.sampled_from(names), st.one_of(day, edge, st.none()), st.integers(0, 9)),
            max_size=15,
        )
    )
    claims = pl.DataFrame(
        drawn,
        schema={"policy_id": pl.String, "incurred": pl.Date, "paid": pl.Float64},
        orient="row",
    )
    unit = data.draw(st.sampled_from([None, "365.25", "30/360"]))
    dims = data.draw(st.sampled_from(SUBSETS))
    lexis = Lexis(**WINDOW, dims=dims, year=unit)
    placed = place_claims(claims, policies, ["sex"], lexis, amount="paid")
    assert placed.experience.basis.claims + placed.unmatched.height == len(drawn)
    total = placed.experience.cells["amount"].sum() + placed.unmatched["paid"].sum()
    assert total == pytest.approx(sum(row[2] for row in drawn))
    single = split_exposure(policies, ["policy_id", "sex"], lexis)
    each = place_claims(claims, policies, ["policy_id", "sex"], lexis, amount="paid").onto(single)
    rows = each.cells.filter(pl.col("exposure") > 0)
    if rows.height < each.cells.height:
        return  # a 31st alone counts nothing by 30/360
    want = Experience.collect(
        rows.select(*each.keys, "exposure", "claims", "amount"), ["sex", *dims], amount="amount"
    )
    ours = placed.onto(split_exposure(policies, ["sex"], lexis))
    assert ours.cells.height == want.cells.height
    for name in want.cells.columns:
        if name in want.keys:
            assert ours.cells[name].to_list() == want.cells[name].to_list(), name
        else:
            assert ours.cells[name].to_list() == pytest.approx(
                want.cells[name].to_list(), rel=1e-11, abs=1e-11
            ), name


def test_claims_kept_aside_say_why():
    policies = pl.DataFrame(
        {"policy_id": ["p"], "start": [date(2019, 1, 1)], "end": [date(2022, 1, 1)]}
    )
    days = [None, date(2020, 1, 1), date(2019, 6, 1), date(2022, 1, 1), date(2021, 12, 31)]
    claims = pl.DataFrame({"policy_id": ["p", "q", "p", "p", "p"], "incurred": days})
    placed = place_claims(claims, policies, [], Lexis(**WINDOW))
    assert placed.unmatched.select("incurred", "reason").rows() == [
        (None, "no date"),
        (date(2020, 1, 1), "unknown policy"),
        (date(2019, 6, 1), "outside the study"),
        (date(2022, 1, 1), "outside cover"),
    ]
    assert placed.experience.cells["claims"].to_list() == [1]
    none = place_claims(claims.head(0), policies, [], Lexis(**WINDOW))
    assert none.onto(split_exposure(policies, [], Lexis(**WINDOW))).basis.claims == 0


def test_claims_that_cannot_be_placed_are_refused():
    policies, lexis = book(4), Lexis(**WINDOW)
    claims = pl.DataFrame(
        {"policy_id": ["p0"], "incurred": [policies["start"][0]], "amount": [-1.0]}
    )
    with pytest.raises(InputError, match="'amount' is null, not finite or negative in 1 claims"):
        place_claims(claims, policies, [], lexis, amount="amount")
    with pytest.raises(InputError, match="claims have no 'incurred'"):
        place_claims(claims.rename({"incurred": "incured"}), policies, [], lexis)
    with pytest.raises(InputError, match="'policy_id' is Int64 in claims"):
        place_claims(
            claims.with_columns(policy_id=1).cast({"policy_id": pl.Int64}), policies, [], lexis
        )
    with pytest.raises(InputError, match="1 claims fall in more than one row") as caught:
        place_claims(claims, pl.concat([policies, policies]), [], lexis)
    assert "unique" in caught.value.do


@pytest.mark.parametrize("dims", SUBSETS)
@pytest.mark.parametrize("unit", [None, "calendar", "365.25", "30/360"])
def test_a_claim_on_every_day_of_cover_meets_the_exposure_of_its_row(dims, unit):
    """Each row holds n claims, so Σne, Σn² ÷ e and the rest follow from the split's own rows."""
    if unit == "calendar" and not (dims and dims[0].startswith("calendar")):
        return
    policies = book(12, seed=5).with_columns(
        start=pl.when(pl.col("policy_id") == "p0").then(date(2020, 2, 29)).otherwise("start"),
        end=pl.when(pl.col("policy_id") == "p0").then(date(2024, 6, 1)).otherwise("end"),
        birth_date=pl.when(pl.col("policy_id") == "p0")
        .then(date(1996, 2, 29))
        .otherwise("birth_date"),
    )
    claims = policies.select(
        "policy_id", incurred=pl.date_ranges("start", "end", closed="left")
    ).explode("incurred")
    lexis = Lexis(**WINDOW, dims=dims, year=unit)
    placed = place_claims(claims, policies, ["policy_id"], lexis)
    rows = placed.onto(split_exposure(policies, ["policy_id"], lexis)).cells
    assert rows["claims"].to_list() == rows["days"].to_list()
    assert (rows["rows"] == 1).all()
    ne = (rows["claims"] * rows["exposure"]).to_list()
    assert rows["claims_exposure"].to_list() == pytest.approx(ne, rel=1e-13)
    assert set(placed.unmatched["reason"]) <= {"outside the study"}


def test_an_amount_with_the_name_of_a_column_of_the_policies_is_refused():
    policies, lexis = book(4), Lexis(**WINDOW)
    claims = pl.DataFrame({"policy_id": ["p0"], "incurred": [policies["start"][0]]})
    for name in ("sex", "start"):
        with pytest.raises(InputError, match=f"the amount '{name}' has the name of a column"):
            place_claims(claims.with_columns(**{name: 5.0}), policies, ["sex"], lexis, amount=name)
    paid = claims.with_columns(premium=5.0, text=pl.lit("x"))
    placed = place_claims(paid, policies.with_columns(end=date(2030, 1, 1)), [], lexis)
    assert placed.experience.basis.claims + placed.unmatched.height == 1
    with pytest.raises(InputError, match="'text' is String, not an amount"):
        place_claims(paid, policies, ["sex"], lexis, amount="text")


def test_claims_of_another_engine_are_refused_by_name():
    policies, lexis = book(4), Lexis(**WINDOW)
    with pytest.raises(InputError, match=r"polars alone[\s\S]*policies are a Table"):
        place_claims(policies.select("policy_id"), policies.to_arrow(), [], lexis)


def test_a_claim_on_a_day_that_30_360_does_not_count():
    policies = pl.DataFrame(
        {"policy_id": ["p"], "start": [date(2023, 3, 30)], "end": [date(2023, 3, 31)]}
    )
    claims = pl.DataFrame({"policy_id": ["p"], "incurred": [date(2023, 3, 30)]})
    with pytest.raises(InputError, match="1 claims fall in cover that 30/360 counts as no days"):
        place_claims(claims, policies, [], Lexis(**WINDOW, year="30/360"))
    assert place_claims(claims, policies, [], Lexis(**WINDOW)).experience.basis.claims == 1
