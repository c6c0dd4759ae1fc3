"""Settlement of a period: who pays, to the fen, against a plain count of the rows."""

from __future__ import annotations

from datetime import date, timedelta
from fractions import Fraction
from itertools import product

import numpy as np
import polars as pl
import pytest

from pricing.data.check import check
from pricing.errors import InputError
from pricing.mutual_aid.aid_cases import judged_cases, with_members
from pricing.mutual_aid.cells import MemberCells, member_cells
from pricing.mutual_aid.rules import AidClass, aid_rules
from pricing.mutual_aid.settlement import AidSettlement, settle, settle_cells
from pricing.result.shape import Result
from pricing.result.words import catalogue

DAY = date(2020, 12, 7)
RULES = aid_rules("xiang_hu_bao").but(cap_per_case=None, cap_per_year=None)
CLASSES = ("member", "honorary", "assisted")
NONE = pl.DataFrame(schema={"reason": pl.String, "members": pl.Int64})


def member(birth=date(1985, 3, 1), joined=date(2019, 1, 1), left=None, kind="member", number="1"):
    return {
        "member_id": number, "birth_date": birth, "joined": joined, "left": left, "member_class": kind,
    }  # fmt: skip


def frame(*rows):
    dates = {"birth_date": pl.Date, "joined": pl.Date, "left": pl.Date, "member_class": pl.String}
    return pl.DataFrame(list(rows), schema_overrides=dates)


def cases(*amounts, day=DAY):
    return pl.DataFrame({
        "case_id": [str(i) for i in range(len(amounts))], "published": [day] * len(amounts),
        "amount": [float(a) for a in amounts],
    }, schema={"case_id": pl.String, "published": pl.Date, "amount": pl.Float64})  # fmt: skip


def crowd(n, seed=1, classes=CLASSES):
    draw = np.random.default_rng(seed)
    day = np.datetime64("2020-12-07")
    joined = day - draw.integers(-60, 700, n)
    left = np.where(draw.random(n) < 0.3, day + draw.integers(-300, 60, n), np.datetime64("NaT"))
    rows = pl.DataFrame({
        "birth_date": day - draw.integers(20 * 365, 62 * 365, n),
        "joined": joined,
        "left": left,
        "member_class": draw.choice(list(classes), n, p=[0.8, 0.1, 0.1][: len(classes)]),
    }).with_columns(pl.col("birth_date", "joined", "left").cast(pl.Date))  # fmt: skip
    return rows.with_columns(pl.max_horizontal("left", "joined").alias("_l")).with_columns(
        left=pl.when(pl.col("left").is_null()).then(None).otherwise(pl.col("_l"))
    ).drop("_l")  # fmt: skip


def age_on(birth, day):
    return day.year - birth.year - ((day.month, day.day) < (birth.month, birth.day))


def by_hand(rules, rows, day):
    """Payers and covered, row by row."""
    payers = covered = aside = 0
    low, high = rules.entry_ages
    for birth, joined, left, kind in rows.select(
        "birth_date", "joined", "left", "member_class"
    ).rows():
        one = rules.classes[kind]
        if one.covered and not low <= age_on(birth, joined) <= high:
            aside += 1
            continue
        if joined > day or (left is not None and left <= day):
            continue
        waits = joined + timedelta(days=rules.waiting_days) > day
        if one.covered:
            if age_on(birth, day) >= rules.exit_age:
                continue
            covered += not waits
            payers += one.pays and (not waits or rules.pays_while_waiting)
        else:
            payers += one.pays
    return payers, covered, aside


@pytest.mark.parametrize("waiting_pays", [False, True])
def test_cells_count_what_rows_say(waiting_pays):
    rules, rows = RULES.but(pays_while_waiting=waiting_pays), crowd(20_000)
    seen = member_cells(rules, rows, DAY)
    assert (seen.payers, seen.in_cover, int(seen.set_aside["members"].sum())) == by_hand(
        rules, rows, DAY
    )
    assert int(seen.cells["members"].sum() + seen.set_aside["members"].sum()) == rows.height


def test_a_stream_of_files_an_order_and_a_text_class_change_nothing(tmp_path):
    rows = crowd(5_000, seed=3)
    rows.head(2_000).write_parquet(tmp_path / "a.parquet")
    rows.tail(3_000).write_parquet(tmp_path / "b.parquet")
    one = member_cells(RULES, pl.scan_parquet(tmp_path / "*.parquet"), DAY)
    enum = rows.with_columns(pl.col("member_class").cast(pl.Enum(CLASSES)))
    for other in (rows, rows.reverse(), enum):
        assert member_cells(RULES, other, DAY).cells.equals(one.cells)


@pytest.mark.parametrize(("row", "standing", "pays", "covered"), [
    (member(joined=DAY - timedelta(days=90)), "in_cover", 1, 1),
    (member(joined=DAY - timedelta(days=89)), "waiting", 0, 0),
    (member(joined=DAY + timedelta(days=1)), "not_yet_joined", 0, 0),
    (member(left=DAY), "left", 0, 0),
    (member(left=DAY + timedelta(days=1)), "in_cover", 1, 1),
    (member(birth=date(1960, 12, 8)), "in_cover", 1, 1),
    (member(birth=date(1960, 12, 7)), "past_exit_age", 0, 0),
    (member(kind="honorary", joined=DAY), "paying_only", 1, 0),
    (member(kind="honorary", birth=date(1940, 1, 1)), "paying_only", 1, 0),
    (member(kind="assisted"), "in_cover", 0, 1),
])  # fmt: skip
def test_who_stands_where(row, standing, pays, covered):
    cell = member_cells(RULES, frame(row), DAY).cells.row(0, named=True)
    assert (cell["aid_standing"], cell["pays"], cell["covered"]) == (standing, pays, covered)


def test_a_birthday_on_29_february_is_1_march_in_other_years():
    row = frame(member(birth=date(1964, 2, 29)))
    assert member_cells(RULES, row, date(2023, 2, 28)).cells["age"].item() == 58
    assert member_cells(RULES, row, date(2023, 3, 1)).cells["age"].item() == 59
    assert member_cells(RULES, row, date(2024, 2, 29)).cells["age"].item() == 60


@pytest.mark.parametrize(("row", "reason"), [
    (member(kind=None), "no_class"),
    (member(kind="  "), "no_class"),
    (member(kind="vip"), "unknown_class"),
    (member(birth=None), "no_birth_date"),
    (member(joined=None), "no_joining_date"),
    (member(birth=date(2019, 1, 2)), "joined_before_birth"),
    (member(left=date(2018, 12, 31)), "left_before_joining"),
    (member(birth=date(1850, 1, 1), kind="honorary"), "implausible_birth_date"),
    (member(birth=date(1950, 1, 1)), "outside_entry_ages"),
    (member() | {"sex": "x"}, "unknown_sex"),
])  # fmt: skip
def test_members_that_cannot_be_settled_are_named_and_not_settled(row, reason):
    sexed = {"sex": "male"} if "sex" in row else {}
    rows = frame(member(number="0") | sexed, row)
    found = settle(RULES, rows, cases(100_000), published=DAY)
    assert found.facts["payers"] == 1
    assert found.share == 108_000
    assert found.frames["not_settled"].rows() == [("aid_members", reason, 1)]
    assert f"level.{reason}" in catalogue()
    assert "1 rows were set aside" in found.finding()


def test_members_of_the_wrong_shape_are_refused():
    with pytest.raises(InputError, match="column 'member_class' is missing") as refused:
        member_cells(RULES, frame(member()).drop("member_class", "left"), DAY)
    assert "column 'left' is missing" in str(refused.value)
    with pytest.raises(InputError, match="is String, not a date"):
        member_cells(RULES, frame(member()).with_columns(pl.col("joined").cast(pl.String)), DAY)
    with pytest.raises(InputError, match="no date"):
        member_cells(RULES, frame(member()), "2020-12-07")
    with pytest.raises(InputError, match="not before the one"):
        member_cells(RULES, frame(member()), DAY, earlier=[DAY])
    with pytest.raises(InputError, match="nobody pays"):
        settle(RULES, frame(member(kind="assisted")), cases(1), published=DAY)


@pytest.mark.parametrize(
    ("rounding", "shortfall", "cap", "mix", "fee"),
    list(product(
        ["round_nearest", "round_up", "round_down"], ["platform", "payout"], [None, 25.0, 3.17],
        [("member",), ("member", "honorary"), CLASSES], [0.0, 0.08, 0.1],
    )),
)  # fmt: skip
def test_shares_come_to_the_bill_to_the_fen_for_every_rule_and_class_mix(
    rounding, shortfall, cap, mix, fee
):
    rules = RULES.but(rounding=rounding, shortfall=shortfall, cap_per_case=cap, fee=fee)
    rows = crowd(7_001, seed=len(mix))
    rows = rows.filter(pl.col("member_class").is_in(mix))
    bill = cases(300_000, 100_000, 100_000, 12_345.67)
    found = settle(rules, rows, bill, published=DAY)
    facts, n = found.facts, found.facts["payers"]
    assert n == by_hand(rules, rows, DAY)[0]
    assert found.balance() == 0.0
    amounts = [30_000_000, 10_000_000, 10_000_000, 1_234_567]
    rate = Fraction(str(fee))
    due = sum(a * (1 + rate) for a in amounts)
    paid = sum(min(a * (1 + rate) / n, Fraction(str(cap)) * 100 if cap else due) for a in amounts)
    exact = paid * n
    assert facts["shortfall"] * 100 == pytest.approx(float(due - exact), abs=1.01)
    fen = round(found.share * 100)
    if rounding == "round_up":
        assert 0 <= fen - float(paid) < 1
        assert facts["rounding_account"] >= -0.01
    elif rounding == "round_down":
        assert 0 <= float(paid) - fen < 1
        assert facts["rounding_account"] <= 0.01
    else:
        assert abs(fen - float(paid)) <= 0.5
    assert (
        abs(facts["rounding_account"]) * 100
        <= n * (0.5 if rounding == "round_nearest" else 1) + 1.01
    )
    assert round(facts["contributed"] * 100) == fen * n
    asked = round(facts["aid_asked"] * 100)
    fee_due = round(float(asked * rate))
    used = round(100 * (facts["aid"] + facts["fee_amount"]))
    if shortfall == "payout" and cap:
        assert facts["platform"] == 0
        assert used == pytest.approx(float(exact), abs=1.01)
        assert facts["fee_amount"] == pytest.approx(fee * facts["aid"], abs=0.02)
    else:
        assert used == asked + fee_due


def test_ten_cents_by_hand():
    """3 payers of 100.00: 33.33 each and one fen from the account, or 33.34 and two fen to it."""
    rows = frame(*(member(number=str(i)) for i in range(3)))
    plain = RULES.but(fee=0.0)
    near = settle(plain, rows, cases(100), published=DAY)
    assert (near.share, near.facts["rounding_account"]) == (33.33, -0.01)
    up = settle(plain.but(rounding="round_up"), rows, cases(100), published=DAY)
    assert (up.share, up.facts["rounding_account"]) == (33.34, 0.02)
    half = settle(plain, rows.head(2), cases(0.01), published=DAY)
    assert (half.share, half.facts["rounding_account"]) == (0.01, 0.01)


def test_honorary_and_assisted_move_the_share():
    rows = frame(
        *(member(number=f"m{i}") for i in range(4)),
        member(kind="honorary", number="h"), member(kind="assisted", number="a"),
    )  # fmt: skip
    found = settle(RULES, rows, cases(100_000), published=DAY)
    assert (found.facts["payers"], found.facts["in_cover"], found.share) == (5, 5, 21_600)
    ledger = dict(found.frames["ledger"].select("account", "amount_of_money").rows())
    assert ledger["honorary_contributions"] == 21_600
    assert ledger["contributions"] == 4 * 21_600
    free = RULES.but(classes=dict(RULES.classes) | {"honorary": AidClass(0, 0)})
    assert settle(free, rows, cases(100_000), published=DAY).share == 27_000


def test_who_leaves_after_publication_still_pays_and_before_does_not():
    stays = member(number="s")
    after = member(left=DAY + timedelta(days=3), number="l")
    assert settle(RULES, frame(stays, after), cases(100_000), published=DAY).share == 54_000
    before = member(left=DAY - timedelta(days=3), number="l")
    assert settle(RULES, frame(stays, before), cases(100_000), published=DAY).share == 108_000


def test_the_example_of_five_million():
    cells = pl.DataFrame({
        "member_class": ["member"], "age": [40], "aid_standing": ["in_cover"], "members": [5_000_000],
        "pays": [1], "covered": [1], "earlier": [0],
    })  # fmt: skip
    hundred = cases(*[300_000] * 100)
    ten = RULES.but(cap_per_case=10.0)
    found = settle_cells(ten, MemberCells(cells, NONE), hundred, published=DAY)
    assert (found.share, found.facts["capped_cases"], found.facts["rounding_account"]) == (
        6.48,
        0,
        0.0,
    )
    few = cells.with_columns(members=pl.lit(3_000_000))
    tight = RULES.but(cap_per_case=0.1)
    found = settle_cells(tight, MemberCells(few, NONE), hundred, published=DAY)
    assert (found.share, found.facts["capped_cases"]) == (10.0, 100)
    assert found.facts["platform"] == 100 * (324_000 - 300_000)
    cut = settle_cells(
        tight.but(shortfall="payout"), MemberCells(few, NONE), hundred, published=DAY
    )
    assert cut.facts["aid"] == pytest.approx(30_000_000 / 1.08, abs=0.01)
    assert "aid is cut" in cut.finding()


def test_the_cap_of_the_year_counts_only_what_a_member_has_shared():
    rules = RULES.but(cap_per_year=150_000.0, fee=0.0)
    old, new = member(number="o"), member(number="n", joined=date(2020, 9, 1))
    rows = frame(old, new)
    first = settle(rules, rows, cases(100_000, day=date(2020, 11, 7)), published=date(2020, 11, 7))
    assert (first.share, first.facts["payers"]) == (100_000, 1)
    second = settle(rules, rows, cases(180_000), published=DAY, earlier=[first])
    assert second.facts["payers"] == 2
    cells = second.frames["cells"].sort("earlier")
    assert cells["earlier"].to_list() == [0, 1]
    assert cells["aid_share"].to_list() == [90_000, 50_000]
    assert second.facts["platform"] == 40_000
    assert second.facts["year_capped_members"] == 1
    assert second.balance() == 0
    with pytest.raises(InputError, match="another calendar year"):
        settle(rules, rows, cases(), published=date(2021, 1, 7), earlier=[first])


def test_a_surplus_comes_off_the_bill():
    rows = frame(*(member(number=str(i)) for i in range(10)))
    found = settle(RULES, rows, cases(100_000), published=DAY, surplus=8_000.0)
    assert (found.share, found.balance(), found.facts["surplus_left"]) == (10_000, 0, 0)
    more = settle(RULES, rows, cases(1_000), published=DAY, surplus=8_000.0)
    assert (more.share, more.facts["surplus_left"]) == (0, 8_000 - 1_080)
    with pytest.raises(InputError, match="surplus"):
        settle(RULES, rows, cases(1), published=DAY, surplus=-1.0)


def test_weights_share_in_proportion_and_still_come_to_the_bill():
    rows = crowd(3_000, seed=9)
    weights = pl.DataFrame({"age": range(18, 70), "weight": [float(a) for a in range(18, 70)]})
    found = settle(RULES, rows, cases(300_000), published=DAY, weights=weights)
    assert found.balance() == 0
    assert abs(found.facts["rounding_account"]) * 100 <= 0.5 * found.facts["payers"] + 1
    cells = found.frames["cells"].filter(pl.col("pays") == 1)
    ratio = (cells["aid_share"] / cells["age"]).to_numpy()
    np.testing.assert_allclose(ratio, ratio.mean(), rtol=2e-4)
    flat = pl.DataFrame({"member_class": list(CLASSES), "weight": [3.0] * 3})
    same = settle(RULES, rows, cases(300_000), published=DAY, weights=flat)
    assert same.share == pytest.approx(settle(RULES, rows, cases(300_000), published=DAY).share)
    with pytest.raises(InputError, match="no weight above zero"):
        settle(RULES, rows, cases(1), published=DAY, weights=weights.head(5))
    with pytest.raises(InputError, match="weights have the columns"):
        settle(RULES, rows, cases(1), published=DAY, weights=pl.DataFrame({"weight": [1.0]}))
    with pytest.raises(InputError, match="twice"):
        settle(RULES, rows, cases(1), published=DAY, weights=pl.concat([weights, weights]))


def test_a_period_without_cases_costs_nothing():
    found = settle(RULES, frame(member()), cases(), published=DAY)
    assert (found.share, found.balance(), found.facts["cases"]) == (0.0, 0.0, 0)


@pytest.mark.parametrize(("change", "reason"), [
    ({"amount": None}, "no_amount"), ({"amount": float("nan")}, "no_amount"),
    ({"amount": 0.0}, "amount_not_above_zero"), ({"amount": 0.005}, "amount_not_in_fen"),
    ({"amount": 300_000.01}, "amount_above_the_most"), ({"case_id": None}, "no_case_number"),
    ({"published": None}, "no_publication_day"), ({"case_id": "0"}, "case_twice"),
])  # fmt: skip
def test_cases_that_cannot_be_settled_are_named(change, reason):
    schema = {"case_id": pl.String, "published": pl.Date, "amount": pl.Float64}
    row = {"case_id": "x", "published": DAY, "amount": 100_000.0} | change
    rows = pl.concat([cases(100_000), pl.DataFrame([row], schema=schema)])
    found = settle(RULES, frame(member()), rows, published=DAY)
    assert found.facts["cases"] == (0 if reason == "case_twice" else 1)
    told = found.frames["not_settled"].row(0)
    assert told == ("aid_cases", reason, 2 if reason == "case_twice" else 1)
    assert f"level.{reason}" in catalogue()


@pytest.mark.parametrize(("member_change", "case_change", "reason"), [
    ({}, {"member_id": "z"}, "not_a_member"),
    ({"kind": "honorary"}, {}, "class_not_covered"),
    ({"joined": date(2020, 9, 1)}, {}, "diagnosed_in_waiting"),
    ({"left": date(2020, 11, 1)}, {}, "diagnosed_after_leaving"),
    ({"birth": date(1960, 11, 1)}, {}, "no_benefit_at_age"),
    ({"birth": date(1970, 1, 1)}, {"amount": 300_000.0}, "amount_above_benefit"),
    ({}, {"diagnosed": date(2020, 12, 8)}, "diagnosed_after_publication"),
    ({}, {}, None),
])  # fmt: skip
def test_cases_are_judged_by_their_members(member_change, case_change, reason):
    rows = frame(member(**({"number": "a"} | member_change)))
    case = {
        "case_id": "1", "member_id": "a", "published": DAY, "diagnosed": date(2020, 11, 5), "amount": 100_000.0,
    } | case_change  # fmt: skip
    good, aside = judged_cases(
        RULES, with_members(pl.DataFrame([case]), rows.lazy()), published=DAY
    )
    assert aside["reason"].to_list() == ([] if reason is None else [reason])
    assert good.height + aside.height == 1


def test_the_contract_sets_members_aside():
    rows = frame(member(kind="vip"), member(number="2", left=date(2018, 1, 1)), member(number="3"))
    seen = check(rows, "aid_members")
    assert seen.accepted["member_id"].to_list() == ["3"]
    assert seen.rejected["_rules"].to_list() == ["member_class|level", "left_not_before_joining"]
    bad = pl.DataFrame({
        "case_id": ["1"], "member_id": ["3"], "diagnosed": [DAY], "published": [date(2020, 1, 1)], "amount": [1.0],
    })  # fmt: skip
    assert check(bad, "aid_cases").rejected["_rules"].to_list() == ["published_after_diagnosis"]


def test_the_result_speaks_both_languages_and_is_kept(tmp_path):
    found = settle(RULES, crowd(500), cases(100_000), published=DAY)
    for lang in ("en", "zh"):
        assert found.finding(lang)
        assert found.figure(lang).data
    found.save(tmp_path / "s")
    back = Result.load(tmp_path / "s")
    assert isinstance(back, AidSettlement)
    assert back.facts == found.facts
    for table in (found.table, *found.frames.values()):
        for name in table.columns:
            assert f"term.{name}" in catalogue(), name


def test_a_class_of_numbers_is_refused():
    with pytest.raises(InputError, match="column 'member_class' is Int64, not text"):
        member_cells(RULES, frame(member()).with_columns(member_class=pl.lit(1, pl.Int64)), DAY)


def of_members(*rows):
    """Cases of members who joined in time: (case, member, diagnosed, published, amount)."""
    named = ("case_id", "member_id", "diagnosed", "published", "amount")
    bare = pl.DataFrame(rows, schema=list(named), orient="row")
    held = [member(number=number) for number in sorted({row[1] for row in rows})]
    return with_members(bare, frame(*held))


def test_a_member_is_helped_once_within_a_publication_and_after_it():
    early, ill = date(2020, 11, 21), date(2020, 10, 1)
    every = of_members(
        ("1", "a", ill, early, 300_000.0), ("2", "a", ill, DAY, 300_000.0),
        ("3", "b", ill, DAY, 300_000.0), ("4", "b", date(2020, 10, 2), DAY, 300_000.0),
        ("5", "c", ill, early, 500_000.0), ("6", "c", ill, DAY, 300_000.0),
    )  # fmt: skip
    good, aside = judged_cases(RULES, every, published=DAY)
    assert good["case_id"].to_list() == ["3", "6"]
    assert dict(aside.select("case_id", "reason").rows()) == {
        "2": "helped_before", "4": "helped_before",
    }  # fmt: skip
    found = settle(RULES, frame(*(member(number=n) for n in "abcd")), every, published=DAY)
    assert found.facts["aid"] == 600_000
    shuffled = judged_cases(RULES, every.reverse(), published=DAY)[0]
    assert sorted(shuffled["case_id"]) == ["3", "6"]
    assert "level.helped_before" in catalogue()


def test_a_case_published_on_two_days_is_paid_on_neither():
    twice = cases(100_000).vstack(cases(100_000, day=date(2020, 12, 21)))
    for day in twice["published"]:
        good, aside = judged_cases(RULES, twice, published=day)
        assert (good.height, aside["reason"].to_list()) == (0, ["case_twice"])


def test_an_amount_is_judged_where_only_some_of_the_member_is_known():
    some = cases(5_000_000).with_columns(birth_date=date(1985, 3, 1), diagnosed=date(2020, 10, 1))
    assert judged_cases(RULES, some)[1]["reason"].to_list() == ["amount_above_the_most"]


def test_days_written_as_text_are_refused():
    for name in ("diagnosed", "birth_date"):
        with pytest.raises(InputError, match=f"'{name}' is String, not a date"):
            judged_cases(RULES, cases(100_000).with_columns(pl.lit("2020-10-01").alias(name)))
    with pytest.raises(InputError, match="the surplus is a number"):
        settle(RULES, frame(member()), cases(1), published=DAY, surplus="12")


def test_the_cap_of_the_year_wants_every_earlier_period_once_and_with_equal_shares():
    rules = RULES.but(cap_per_year=188.0)
    rows = crowd(2_000)
    before = date(2020, 11, 21)
    first = settle(rules, rows, cases(100_000, day=before), published=before)
    with pytest.raises(InputError, match="given twice"):
        settle(rules, rows, cases(1), published=DAY, earlier=[first, first])
    cells = member_cells(rules, rows, DAY, earlier=[before])
    with pytest.raises(InputError, match="up to 1 earlier periods of the year and 0 are given"):
        settle_cells(rules, cells, cases(1), published=DAY)
    ages = pl.DataFrame({"age": range(121)}).with_columns(weight=1.0 + pl.col("age") / 100)
    uneven = settle(rules, rows, cases(100_000, day=before), published=before, weights=ages)
    with pytest.raises(InputError, match="needs equal shares"):
        settle(rules, rows, cases(1), published=DAY, earlier=[uneven])
