"""Grading of disability and the benefits paid for it."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pricing.care.benefit import (
    FlatMonthly,
    Hours,
    IndexedCap,
    PerDay,
    benefit_paid,
    city_benefit,
    monthly_benefit,
)
from pricing.care.grading import STANDARD, grade, grading_standard
from pricing.data.check import check
from pricing.data.tables import bundled, reference_table
from pricing.errors import InputError

STANDARD_2021 = grading_standard()
LEVELS = {name: i for i, name in enumerate(STANDARD_2021.levels)}


def drawn(rows, seed=1):
    draw = np.random.default_rng(seed)
    return pl.DataFrame({i: draw.choice(s, rows) for i, s in STANDARD_2021.items.items()})


def levels(frame):
    return grade(frame).frames["graded"]["care_level"].cast(pl.String).replace_strict(LEVELS)


def by_hand(row):
    """The rule in plain words, one life at a time."""
    adl = sum(row[i] for i in STANDARD_2021.indicators["adl"].items)
    mind = sum(row[i] for i in STANDARD_2021.indicators["cognition"].items)
    sense = sum(row[i] for i in STANDARD_2021.indicators["sensory"].items)
    a = 0 if adl == 100 else 1 if adl >= 65 else 2 if adl >= 45 else 3
    c = 0 if mind == 16 else 1 if mind >= 4 else 2 if mind >= 2 else 3
    s = 0 if sense == 12 else 1 if sense >= 4 else 2 if sense >= 2 else 3
    return [[0, 0, 1, 1], [1, 1, 1, 2], [2, 2, 2, 3], [3, 3, 4, 5]][a][max(c, s)]


def test_the_levels_are_those_of_the_rule_by_hand():
    frame = drawn(400).vstack(
        pl.DataFrame({i: [max(s), 0] for i, s in STANDARD_2021.items.items()}).cast(pl.Int64)
    )
    assert levels(frame).to_list() == [by_hand(row) for row in frame.iter_rows(named=True)]
    assert levels(frame)[-2:].to_list() == [0, 5]


@pytest.mark.parametrize("item", list(STANDARD_2021.items))
def test_a_worse_item_never_gives_a_better_level(item):
    scores = sorted(STANDARD_2021.items[item], reverse=True)
    frame = drawn(300, seed=7)
    for mean in (0.0, 0.9):  # from all kinds of lives, and from lives nearly well
        held = frame.with_columns(
            pl.when(pl.lit(np.random.default_rng(3).uniform(size=300)) < mean)
            .then(max(s))
            .otherwise(pl.col(i))
            .alias(i)
            for i, s in STANDARD_2021.items.items()
        )
        course = [levels(held.with_columns(pl.lit(score).alias(item))) for score in scores]
        for better, worse in pairwise(course):
            assert (worse >= better).all()


def test_order_and_other_columns_do_not_matter():
    frame = drawn(200).with_row_index("assessment_id")
    back = (
        grade(frame.reverse().select(sorted(frame.columns))).frames["graded"].sort("assessment_id")
    )
    assert back["care_level"].equals(grade(frame).frames["graded"]["care_level"])
    assert grade(frame).table["assessments"].sum() == 200


def test_the_warning_of_the_standard_travels():
    found = grade(drawn(5))
    assert "recalled" in found.basis.notes[0]
    assert "official text" in found.finding("en")
    assert "官方文本" in found.finding("zh")
    assert found.figure("zh").layout.xaxis.title.text == "失能等级"


def test_scores_that_cannot_be_graded_are_named():
    frame = drawn(10)
    with pytest.raises(InputError, match="1 of 17 items are missing") as refused:
        grade(frame.rename({"walking": "walkin"}))
    assert "did you mean 'walkin'" in str(refused.value)
    bad = frame.with_columns(
        feeding=pl.when(pl.int_range(pl.len()) == 3).then(7).otherwise(pl.col("feeding")),
        memory=pl.when(pl.int_range(pl.len()) > 7).then(None).otherwise(pl.col("memory")),
        vision=pl.lit(5),
    )
    with pytest.raises(InputError) as refused:
        grade(bad)
    said = str(refused.value)
    assert "feeding is none of 0, 5, 10 in 1 of 10 rows, first row 4 (7)" in said
    assert "memory is empty in 2 of 10 rows, first row 9" in said
    assert "vision is none of 0, 1, 2, 3, 4 in 10 of 10 rows" in said
    with pytest.raises(InputError, match="1 items are no numbers"):
        grade(frame.with_columns(stairs=pl.lit("ten")))
    with pytest.raises(InputError, match="no assessments"):
        grade(frame.clear())


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[1, 1, 1, 2]", "[1, 1, 0, 2]", "the level falls to 0 at row 1, column 2"),
        ("[3, 3, 4, 5]", "[3, 3, 4, 6]", "level 6 at row 3"),
        ("[100, 65, 45]", "[100, 45, 65]", "cuts of adl do not fall"),
        ("[100, 65, 45]", "[101, 65, 45]", "outside its scores, 1 to 100"),
        ('rows = "adl"', 'rows = "adll"', "did you mean 'adl'"),
        ("levels = ", "lvls = ", "lacks 'levels'"),
    ],
)
def test_a_standard_that_contradicts_itself_is_refused(tmp_path, old, new, said):
    text = Path(bundled(STANDARD)).read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "own.toml").write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(InputError, match=said):
        grading_standard(tmp_path / "own.toml")


def test_delivered_assessments_are_held_against_their_contract():
    frame = drawn(3).with_columns(
        assessment_id=pl.Series(["a", "b", "c"]), person_id=pl.Series(["p", "p", "q"]),
        assessed=pl.Series(["2024-01-01"] * 3), feeding=pl.Series([5, 11, 10]),
    )  # fmt: skip
    held = check(frame, "assessments")
    assert held.rejected["_rules"].to_list() == ["feeding|max"]
    assert grade(held.accepted.drop("_file", "_row", strict=False)).facts["assessments"] == 2


# -- benefits ---------------------------------------------------------------------------------------


def test_every_rule_of_the_cities_that_pays_can_be_built():
    rules = reference_table("ltc_city_rules").filter(pl.col("engine").is_not_null())
    built = 0
    for city, benefit, engine in rules.select("city", "benefit", "engine").unique().rows():
        part = rules.filter(city=city, benefit=benefit)
        grades = part["grade"].drop_nulls().unique().to_list() if engine != "indexed_cap" else []
        for one in grades or [None]:
            assert city_benefit(city, benefit, one) is not None
            built += 1
    assert built == 14


def test_benefits_by_hand():
    visits = city_benefit("Tengzhou", "home visits")  # 90 % up to 45 a day
    days = pl.DataFrame({"days": [10, 10], "daily_charge": [40.0, 60.0]})
    assert benefit_paid(days, visits)["paid"].to_list() == pytest.approx([360.0, 450.0])
    hospital = city_benefit("Tengzhou", "medical special care", "level_3")  # 70 % up to 120
    assert monthly_benefit(hospital, days=30, daily_charge=150.0) == pytest.approx(3150.0)
    assert monthly_benefit(hospital, days=30, daily_charge=500.0) == pytest.approx(3600.0)
    nanjing = city_benefit("Nanjing", "home care", "lowest")
    assert monthly_benefit(nanjing, hours=20.0) == 900.0
    assert monthly_benefit(nanjing, hours=90.0) == 1350.0
    rule = city_benefit("Wencheng", "monthly cap")
    own = monthly_benefit(rule, care_level="severe_1", carer="family", monthly_charge=1000.0)
    assert own == pytest.approx(400.0)
    assert monthly_benefit(city_benefit("Yantai", "daily care from 2023")) == 600.0


def test_a_row_split_in_two_is_paid_the_same():
    rule = Hours(price=45.0, most=30.0)
    whole = pl.DataFrame({"months": [6.0], "hours": [240.0]})
    parts = pl.DataFrame({"months": [3.0, 3.0], "hours": [120.0, 120.0]})
    assert (
        benefit_paid(whole, rule)["paid"].sum() == benefit_paid(parts, rule)["paid"].sum() == 8100
    )


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: FlatMonthly(amount=600.0, cap=500.0), "cap of 500 is below the benefit of 600"),
        (lambda: FlatMonthly(amount=-1.0), "0 or more"),
        (lambda: FlatMonthly(amount=float("nan")), "finite"),
        (lambda: FlatMonthly(amount="600"), "finite number"),
        (lambda: PerDay(coinsurance=1.2), "over 1: give 0.25"),
        (lambda: PerDay(coinsurance=-0.1), "0 or more"),
        (lambda: PerDay(coinsurance=0.2, flat=30.0), "contradict"),
        (lambda: PerDay(flat=30.0, cap=20.0), "cap of 20 is below"),
        (lambda: Hours(price=45.0, most=800.0), "more than a month has"),
        (lambda: Hours(price=45.0, most=30.0, coinsurance=2.0), "over 1"),
        (
            lambda: IndexedCap(base=5960.0, grade_factors={"a": 1.5}, carer_factors={"b": 1}),
            "over 1",
        ),
        (lambda: IndexedCap(base=5960.0), "no grade factors"),
    ],
)
def test_rules_that_contradict_are_refused(make, said):
    with pytest.raises(InputError, match=said):
        make()


def test_care_that_cannot_be_paid_for_is_named():
    rule = IndexedCap(base=100.0, grade_factors={"severe_3": 0.5}, carer_factors={"family": 0.4})
    rows = pl.DataFrame({
        "months": [1.0, -1.0, None], "care_level": ["severe_3", "mild", None],
        "carer": ["family"] * 3, "monthly_charge": [1.0, 2.0, 3.0],
    })  # fmt: skip
    with pytest.raises(InputError) as refused:
        benefit_paid(rows, rule)
    assert "months is empty, below zero or not finite in 2 of 3 rows" in str(refused.value)
    assert "care_level has no factor in 2 of 3 rows: mild, None" in str(refused.value)
    with pytest.raises(InputError, match="columns days are missing"):
        benefit_paid(pl.DataFrame({"months": [1]}), PerDay(flat=30.0))
    with pytest.raises(InputError, match="did you mean 'Tengzhou'"):
        city_benefit("Tengzou", "home visits")
    with pytest.raises(InputError, match="differs by grade"):
        city_benefit("Tengzhou", "medical special care")
