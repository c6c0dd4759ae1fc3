"""A stranger's sums: small cells that other tables of the same report gave back."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import ClassVar

import polars as pl
import pytest

from pricing.lab.opened import OpenBook
from pricing.lab.page import tab_body
from pricing.lab.session import Session
from pricing.privacy.small_cells import suppressed
from pricing.result.shape import Result
from pricing.result.words import LANGUAGES

GROUPS = ["G0", "G1", "G2", "G3", "G4"]
CLAIMS = [863, 59, 19, 12, 3]
WEIGHTS = [863.0, 58.9, 36.5, 16.4, 4.1]


def results(**more):
    exposure = [8320.9, 554.7, 334.6, 144.4, 29.7]
    counted = Result(
        table=pl.DataFrame({"health_group": GROUPS, "exposure": exposure, "claims": CLAIMS})
    )
    return suppressed({"one_way": counted, **more}, 10)


def hidden_in(result, column):
    return [g for g, v in result.table.select("health_group", column).iter_rows() if v is None]


def test_the_error_of_an_estimate_gives_no_count_back():
    errors = [math.sqrt(1 / c) for c in CLAIMS]
    frame = pl.DataFrame({
        "health_group": GROUPS, "exposure": [8320.9, 554.7, 334.6, 144.4, 29.7],
        "adjusted_lower": errors, "amount": [9e6, 6e5, 1e5, 1e5, 1e5], "discount": [0.0] * 5,
    })  # fmt: skip
    found = results(schedule=Result(table=frame))
    gone = hidden_in(found["one_way"], "claims")
    assert gone == ["G2", "G4"]
    assert hidden_in(found["schedule"], "adjusted_lower") == gone
    assert hidden_in(found["schedule"], "amount") == gone
    assert hidden_in(found["schedule"], "discount") == []  # everybody is charged it
    assert hidden_in(found["schedule"], "exposure") == []  # persons enough


def test_the_weight_of_a_level_gives_no_count_back():
    credibility = pl.DataFrame({"health_group": GROUPS, "observations": [9] * 5, "weight": WEIGHTS})
    effect = Result(table=pl.DataFrame({"a": [1.0]}), frames={"credibility": credibility})
    shown = results(group_effect=effect)["group_effect"].frames["credibility"]
    assert shown["weight"].is_null().to_list() == [False, False, True, False, True]


def test_a_level_within_a_hidden_one_and_a_level_by_its_term_are_hidden():
    inner = pl.DataFrame(
        {"tier": ["a", "b"], "health_group": ["G4", "G0"], "claims_cost": [7.0, 8.0]}
    )
    terms = pl.DataFrame({"term": ["health_group"] * 5, "level": GROUPS, "std_error": WEIGHTS})
    found = results(inner=Result(table=inner), terms=Result(table=terms))
    assert found["inner"].table["claims_cost"].to_list() == [None, 8.0]
    assert found["terms"].table["std_error"].is_null().to_list() == [
        False,
        False,
        True,
        False,
        True,
    ]


def test_what_is_told_of_renewals_and_prices_stays():
    frame = pl.DataFrame({"health_group": GROUPS, "offers": [90] * 5, "renewed": [80] * 5})
    assert (
        "cell_hidden" not in results(persistency=Result(table=frame))["persistency"].table.columns
    )


def test_moves_between_groups_are_counts_of_persons():
    moves = pl.DataFrame({
        "from_group": ["a", "a", "a", "b", "b", "b", "c", "c", "c"],
        "to_group": ["a", "b", "c"] * 3,
        "moves": [58.0, 26.0, 40.0, 1.0, 29.0, 44.0, 50.0, 70.0, 90.0],
        "weight": [58.5, 26.5, 40.5, 1.5, 29.5, 44.5, 50.5, 70.5, 90.5],
    })  # fmt: skip
    shown = suppressed({"group_moves": Result(table=moves)}, 10)["group_moves"].table
    assert shown["cell_hidden"].to_list().count("<10") == 1
    assert (
        shown["moves"].null_count() >= 4
    )  # a rectangle at least: rows and columns have known totals
    assert shown["weight"].is_null().to_list() == shown["moves"].is_null().to_list()


@pytest.mark.parametrize(("deaths", "gone"), [(1.0, True), (9.0, False)])
def test_deaths_month_by_month_do_not_add_up_to_a_hidden_number(deaths, gone):
    frame = pl.DataFrame({
        "cause": ["death", "lapse"] * 2, "time": [1, 1, 2, 2], "at_risk": [900.0, 900.0, 800.0, 800.0],
        "events": [deaths, 40.0] * 2, "survival": [0.95, 0.95, 0.9, 0.9],
    })  # fmt: skip
    shown = suppressed({"cumulative_incidence": Result(table=frame)}, 10)["cumulative_incidence"]
    assert (shown.table["events"].null_count() == 4) is gone
    assert (shown.table["survival"].null_count() == 4) is gone  # one survival holds all causes


def test_a_sentence_about_a_row_that_is_not_shown_says_so():
    class Named(Result):
        kind = "stranger_named"

        def finding(self, lang="en"):
            return str(self.table.row(by_predicate=pl.col("health_group") == "G4", named=True))

    named = Named(table=pl.DataFrame({"health_group": GROUPS, "mean": WEIGHTS}))
    assert "fewer than 10" in results(named=named)["named"].finding("en")


def test_the_lab_asks_for_a_policy_number_and_shows_none():
    class Book:
        due = pl.LazyFrame({"policy_id": ["P000000007", "P000000008"]})

    opened = OpenBook.__new__(OpenBook)
    opened.book = Book()
    session = Session("huoli")
    said = [str(tab_body("trace", opened, session, {}, lang, None)) for lang in LANGUAGES]
    assert opened.traces
    assert not [text for text in said if "P00000000" in text]


def test_the_lab_hides_of_the_schedule_what_the_report_hides():
    frame = pl.DataFrame({"health_group": GROUPS, "adjusted_lower": WEIGHTS, "amount": WEIGHTS})
    counted = pl.DataFrame({"health_group": GROUPS, "exposure": WEIGHTS, "claims": CLAIMS})
    counted = counted.with_columns(exposure=pl.col("claims") * 10.0)

    class Book:
        effect = Result(table=counted)
        checks: ClassVar = {}

        def schedule(self, wanted):
            return Result(table=frame)

        def shift(self, wanted, schedule):
            return Result(table=pl.DataFrame({"x": [1.0]}))

    opened = OpenBook.__new__(OpenBook)
    head = SimpleNamespace(minimum_cell=10)
    opened.study = SimpleNamespace(settings=SimpleNamespace(study=head, discount=None))
    opened.book = Book()
    shown = opened.shown({})
    assert list(shown) == ["schedule", "discount_shift"]
    assert hidden_in(shown["schedule"], "amount") == ["G2", "G4"]
