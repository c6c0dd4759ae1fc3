"""The statutory IBNR: at least two named methods, the largest, and the floor of short histories."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from pricing.errors import InputError
from pricing.reserving.average_cost import average_cost
from pricing.reserving.case_reserves import reserve_development
from pricing.reserving.chain_ladder import chain_ladder
from pricing.reserving.expected_loss import bornhuetter_ferguson, cape_cod, expected_loss
from pricing.reserving.mack import mack
from pricing.reserving.statutory import NAMED, statutory_ibnr
from pricing.reserving.transactions import claim_transactions
from pricing.reserving.triangle import claim_triangle
from pricing.result.shape import Result

END = date(2023, 12, 31)


def book(years=4, grain="year"):
    """Triangles of a book whose claims are reported and paid over three years."""
    claims = pl.DataFrame(
        [
            {
                "claim_id": f"{i}-{k}-{n}",
                "policy_id": "p",
                "incurred": date(2024 - years + i, 1 + k, 3),
                "reported": date(2024 - years + i, 1 + k, 20)
                if n
                else date(2025 - years + i, 2, 1),
                "paid": date(2024 - years + i + n % 3, 12, 1 + k)
                if n
                else date(2025 - years + i, 5, 2),
                "amount": 100.0 + 10 * i + k,
            }
            for i in range(years)
            for k in range(8)
            for n in range(4)
        ]
    )
    known = claims.filter(pl.col("reported") <= END).with_columns(
        pl.when(pl.col("paid") <= END).then("paid").alias("paid")
    )
    moved = claim_transactions(known)
    return {
        of: claim_triangle(moved, valuation=END, day="day", amount=of, grain=grain,
                           start=date(2024 - years, 1, 1))
        for of in ("paid", "incurred_change", "reported")
    }  # fmt: skip


def premium(triangle, each=4_500.0):
    return pl.DataFrame({"origin": triangle.origins, "premium": [each] * len(triangle.origins)})


def five(seen):
    units = premium(seen["paid"])
    return [
        chain_ladder(seen["incurred_change"]),
        average_cost(seen["incurred_change"], seen["reported"]),
        reserve_development(seen["paid"], seen["incurred_change"]),
        bornhuetter_ferguson(seen["incurred_change"], units, rate=0.9),
        expected_loss(seen["paid"], units, rate=0.8),
    ]


def test_the_largest_of_five_is_held():
    seen = book()
    found = statutory_ibnr(five(seen), seen["paid"], incurred=seen["incurred_change"])
    assert set(found.table["method"]) == set(NAMED)
    incurred = seen["incurred_change"].latest().sum()
    for method, row in zip(five(seen), found.table.iter_rows(named=True), strict=True):
        assert row["ibnr"] == pytest.approx(method.facts["ultimate"] - incurred)
        assert row["reported_amount"] == pytest.approx(incurred)
    assert found.ibnr == found.table["ibnr"].max()
    assert found.table.filter("taken")["ibnr"].to_list() == [found.ibnr]
    assert "article 49" in found.basis.notes[-1]
    assert found.facts["years"] == 4.0


def test_the_largest_does_not_hang_on_the_order():
    seen = book()
    one = statutory_ibnr(five(seen), seen["paid"])
    other = statutory_ibnr(five(seen)[::-1], seen["paid"])
    assert (one.ibnr, one.facts["taken"]) == (other.ibnr, other.facts["taken"])


def test_without_incurred_the_case_reserves_are_inside_and_it_is_said():
    seen = book()
    with_case = statutory_ibnr(five(seen), seen["paid"])
    without = statutory_ibnr(five(seen), seen["paid"], incurred=seen["incurred_change"])
    held = seen["incurred_change"].latest().sum() - seen["paid"].latest().sum()
    assert held > 0
    assert with_case.ibnr - without.ibnr == pytest.approx(held)
    assert any("includes the case reserves" in note for note in with_case.basis.notes)
    assert not any("includes the case reserves" in note for note in without.basis.notes)


def test_one_named_method_is_not_enough_from_three_years_on():
    seen = book(3)
    units = premium(seen["paid"])
    with pytest.raises(InputError, match="1 of the methods named by the article with 3 years"):
        statutory_ibnr([chain_ladder(seen["paid"])], seen["paid"])
    with pytest.raises(InputError, match="give at least two of: chain_ladder"):
        statutory_ibnr([chain_ladder(seen["paid"]), cape_cod(seen["paid"], units)], seen["paid"])
    with pytest.raises(InputError, match="0 of the methods"):
        statutory_ibnr([], seen["paid"])


def test_a_method_beside_the_named_is_shown_and_never_taken():
    seen = book()
    units = premium(seen["paid"])
    big = expected_loss(seen["paid"], units, rate=5.0)
    shown = cape_cod(seen["incurred_change"], units)
    found = statutory_ibnr([chain_ladder(seen["incurred_change"]), big, shown], seen["paid"])
    assert found.facts["taken"] == "expected_loss"
    assert found.facts["methods"] == 2
    assert found.table.filter(method="cape_cod")["taken"].item() is False


@pytest.mark.parametrize("grain", ["month", "quarter", "year"])
def test_under_three_years_a_tenth_of_what_was_paid_in_the_year_is_the_floor(grain):
    seen = book(2, grain)
    paid_in_year = seen["paid"].table.with_columns(
        when=pl.col("origin").dt.offset_by(
            pl.format("{}mo", pl.col("lag") * {"month": 1, "quarter": 3, "year": 12}[grain])
        )
    ).filter(pl.col("when") >= date(2023, 1, 1))["amount"].sum()  # fmt: skip
    alone = statutory_ibnr([], seen["paid"], incurred=seen["incurred_change"])
    assert paid_in_year > 0
    assert alone.facts["paid_in_year"] == pytest.approx(paid_in_year)
    assert alone.ibnr == pytest.approx(0.1 * paid_in_year)
    assert alone.facts["taken"] == "tenth_of_paid"
    more = expected_loss(seen["paid"], premium(seen["paid"]), rate=5.0)
    found = statutory_ibnr([more], seen["paid"], incurred=seen["incurred_change"])
    assert found.facts["taken"] == "expected_loss"
    less = expected_loss(seen["paid"], premium(seen["paid"]), rate=0.0)
    assert statutory_ibnr([less], seen["paid"]).ibnr == pytest.approx(0.1 * paid_in_year)
    assert "fewer than three" in found.finding("en")
    assert "不足三年" in found.finding("zh")


def test_years_of_data_may_be_told():
    seen = book(4)
    found = statutory_ibnr([], seen["paid"], years=2.5)
    assert found.facts["short"]
    for years in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="must be above zero"):
            statutory_ibnr([], seen["paid"], years=years)


def test_what_is_held_is_never_negative():
    seen = book()
    units = premium(seen["paid"])
    low = [
        expected_loss(seen["paid"], units, rate=0.0),
        bornhuetter_ferguson(seen["paid"], units, rate=0.0),
    ]
    found = statutory_ibnr(low, seen["paid"], incurred=seen["incurred_change"])
    assert found.table["ibnr"].max() < 0
    assert found.ibnr == 0.0


def test_methods_of_other_periods_or_given_twice_are_refused():
    seen, other = book(), book(grain="quarter")
    quarterly = expected_loss(other["paid"], premium(other["paid"]), rate=1.0)
    with pytest.raises(InputError, match="expected_loss is of other periods"):
        statutory_ibnr([quarterly], seen["paid"])
    with pytest.raises(InputError, match="triangles of different periods"):
        statutory_ibnr([], seen["paid"], incurred=other["incurred_change"])
    with pytest.raises(InputError, match="given twice: chain_ladder"):
        statutory_ibnr([chain_ladder(seen["paid"]), mack(seen["incurred_change"])], seen["paid"])


def test_it_is_saved_drawn_and_said(tmp_path):
    seen = book()
    found = statutory_ibnr(five(seen), seen["paid"], incurred=seen["incurred_change"])
    found.save(tmp_path / "found")
    back = Result.load(tmp_path / "found")
    assert back.ibnr == found.ibnr
    assert back.finding("zh") == found.finding("zh")
    assert "第四十九条" in found.finding("zh")
    bars = found.figure("zh").data[0]
    assert list(bars.y) == found.table["ibnr"].to_list()
    assert "链梯法" in bars.x
    assert len(set(bars.marker.color)) == 2
