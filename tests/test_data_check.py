import datetime as dt
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.data import Source, check_book, read_table, write_rejected
from pricing.data.check import check
from pricing.errors import InputError

YEAR = {"exposure": "1", "claims": "0"}
POLICY = {
    "policy_id": "P1",
    "birth_date": "1980-02-29",
    "sex": "female",
    "start": "2024-01-01",
    "end": "2025-01-01",
}
RENEWAL = {
    "policy_id": "P1",
    "policy_year": "0",
    "start": "2024-01-01",
    "end": "2025-01-01",
    "health_group": "A",
    "standard_premium": "1000",
    "premium": "900",
}
CLAIM = {"claim_id": "C1", "policy_id": "P1", "incurred": "2024-02-29", "amount": "80.5"}
CORE = {"person_years": YEAR, "policies": POLICY, "renewals": RENEWAL, "claims": CLAIM}


def frame(table, *changes):
    rows = [{**CORE[table], **change} for change in changes]
    return pl.DataFrame({name: [row.get(name) for row in rows] for name in rows[0]})


def held(table, *changes, **options):
    return check(frame(table, *changes), table, **options)


def adds_up(checked):
    for quantity, accepted, rejected, brought, _ in checked.totals.iter_rows():
        assert accepted + rejected == pytest.approx(brought, rel=1e-12, abs=1e-9), quantity
    rows = checked.totals.row(0)
    assert rows[:4] == ("rows", checked.accepted.height, checked.rejected.height, rows[1] + rows[2])
    return True


@pytest.mark.parametrize(
    ("table", "change", "rules"),
    [
        ("person_years", {"exposure": "0"}, "exposure|min_exclusive"),
        ("person_years", {"exposure": "-0.5"}, "exposure|min_exclusive"),
        ("person_years", {"exposure": None}, "exposure|nullability"),
        ("person_years", {"exposure": "  "}, "exposure|nullability"),
        ("person_years", {"exposure": "NaN"}, "exposure|nan"),
        ("person_years", {"exposure": "inf"}, "exposure|inf"),
        ("person_years", {"exposure": "1e999"}, "exposure|inf"),
        ("person_years", {"exposure": "one"}, "exposure|type"),
        ("person_years", {"exposure": "1,000"}, "exposure|type"),
        ("person_years", {"claims": "-1"}, "claims|min"),
        ("person_years", {"claims": "2.5"}, "claims|type"),
        ("person_years", {"claims": "1e30"}, "claims|type"),
        ("person_years", {"amount": "-1"}, "amount|min"),
        ("person_years", {"amount": "x"}, "amount|type"),
        ("person_years", {"standard_premium": "0"}, "standard_premium|min_exclusive"),
        ("person_years", {"tier": "gold"}, "tier|level"),
        ("person_years", {"tier": None}, "tier|nullability"),
        ("policies", {"policy_id": None}, "policy_id|nullability"),
        ("policies", {"sex": "F"}, "sex|level"),
        ("policies", {"exit_cause": "moved"}, "exit_cause|level"),
        ("policies", {"start": "2023-02-29"}, "start|type"),
        ("policies", {"start": "2024-13-01"}, "start|type"),
        ("policies", {"start": "45000"}, "start|type"),
        ("policies", {"start": "2024011"}, "start|type"),
        ("policies", {"birth_date": "1800-01-01"}, "age_at_most_120, birth_date|min"),
        ("claims", {"incurred": "9999-12-31"}, "incurred|max"),
        ("policies", {"end": "2024-01-01"}, "end_after_start"),
        ("policies", {"birth_date": "2024-01-02"}, "birth_before_start"),
        ("renewals", {"end": "2025-01-02"}, "term_at_most_a_year"),
        ("renewals", {"premium": "1000.01"}, "premium_at_most_standard"),
        ("renewals", {"health_value": "1000.5"}, "health_value|max"),
        ("renewals", {"in_programme": "perhaps"}, "in_programme|type"),
        ("renewals", {"policy_year": "-1"}, "policy_year|min"),
        ("claims", {"paid": "2024-02-28"}, "paid_not_before_incurred"),
        ("claims", {"policy_id": ""}, "policy_id|nullability"),
    ],
)
def test_a_fault_is_found_named_and_explained(table, change, rules):
    factors = {"tier": ["basic", "plus"]} if "tier" in change else {}
    other = {"policy_id": "P2", "policy_year": "1", "claim_id": "C2"}
    good = {name: value for name, value in other.items() if name in CORE[table]}
    good |= dict.fromkeys(set(change) & {"tier"}, "plus")
    # The good row first, so that a column of changes alone is there for it too.
    seen = held(
        table, {**dict.fromkeys(set(change) - set(CORE[table])), **good}, change, factors=factors
    )
    assert seen.rejected["_rules"].to_list() == [rules]
    assert seen.rejected["_row"].to_list() == [2]
    assert seen.accepted.height == 1
    assert seen.faults["rule"].to_list() == rules.split(", ")
    assert seen.faults["count"].to_list() == [1] * len(seen.faults)
    assert seen.faults["meaning"].str.len_chars().min() > 10
    assert adds_up(seen)


def test_rows_that_keep_the_contract_are_typed():
    seen = held(
        "policies",
        {"policy_id": " 007 "},
        {"end": "9999-12-31"},
        {"start": "2024/02/29", "birth_date": "19800229"},
        {"policy_id": "P4", "start": "2024-02-29 00:00:00"},
    )
    assert seen.rejected["_row"].to_list() == [2, 3]  # both of the repeated P1
    assert seen.faults["rule"].to_list() == ["primary_key"]
    assert seen.faults.row(0, named=True)["first_keys"] == "P1, P1"
    assert seen.accepted["policy_id"].to_list() == ["007", "P4"]
    assert seen.accepted["start"].to_list() == [dt.date(2024, 1, 1), dt.date(2024, 2, 29)]
    assert seen.accepted.schema["sex"] == pl.Enum(["female", "male"])
    assert seen.accepted["exit_cause"].null_count() == 2
    assert seen.accepted.columns[-1] == "exit_cause"
    assert adds_up(seen)


def test_other_ways_to_write_a_date_are_read():
    days = ["2024/02/29", "20240229", " 2024-02-29 ", "2024-02-29T13:45:00"]
    rows = [{"claim_id": f"C{i}", "incurred": day} for i, day in enumerate(days)]
    seen = held("claims", *rows)
    assert seen.accepted["incurred"].to_list() == [dt.date(2024, 2, 29)] * 4


def test_a_repeated_key_is_rejected_even_where_one_copy_has_another_fault():
    seen = held("claims", {}, {"amount": "x"}, {"claim_id": "C2"})
    assert seen.accepted["claim_id"].to_list() == ["C2"]
    assert seen.rejected["_rules"].to_list() == ["primary_key", "amount|type, primary_key"]
    assert adds_up(seen)


def test_empty_keys_are_one_fault_not_two_and_rows_stand_for_them():
    seen = held("claims", {"claim_id": None}, {"claim_id": None}, {})
    assert seen.faults.select("rule", "count", "first_keys").rows() == [
        ("claim_id|nullability", 2, "row 1, row 2")
    ]


def test_missing_columns_are_listed_at_once_with_the_nearest():
    with pytest.raises(InputError) as caught:
        check(pl.DataFrame({"expsure": [1.0], "x": [1]}), "person_years", factors={"tier": None})
    message = str(caught.value)
    assert "person_years (frame): 3 columns are missing" in message
    assert "exposure: Time exposed to risk; did you mean 'expsure'?" in message
    assert "  - claims: Number of claims\n" in message
    assert "  - tier" in message


def test_a_table_without_rows_is_refused():
    with pytest.raises(InputError, match="the table has no rows"):
        check(pl.DataFrame(schema=dict.fromkeys(YEAR, pl.String)), "person_years")


def test_lacking_optional_columns_are_typed_nulls_and_others_are_named_unused():
    seen = held("person_years", {"note": "a"}, {"note": "b"})
    assert seen.unused == ("note",)
    assert seen.accepted["person_year_id"].to_list() == ["1", "2"]
    assert seen.accepted.schema["premium"] == pl.Float64
    assert seen.accepted["premium"].null_count() == 2
    assert seen.totals["quantity"].to_list()[:3] == ["rows", "exposure", "claims"]


def test_typed_columns_of_many_kinds_are_read():
    table = pl.DataFrame(
        {
            "person_year_id": [1.0, 2.0],
            "exposure": [Decimal("0.50"), Decimal("1.00")],
            "claims": [2.0, 0.0],
            "amount": [3, 0],
            "tier": pl.Series(["甲", "乙"], dtype=pl.Categorical),
            "region": pl.Series(["深圳", "深圳"], dtype=pl.Enum(["深圳", "广州"])),
            "group": [1, 2],
            "bmi": [22, 23],
        }
    )
    factors = {"tier": ["乙", "甲"], "region": ["深圳"], "group": ["1", "2"]}
    seen = check(table.lazy(), "person_years", factors=factors, covariates=["bmi"])
    assert seen.rejected.height == 0
    assert seen.faults.height == 0
    assert seen.accepted["person_year_id"].to_list() == ["1", "2"]
    assert seen.accepted["tier"].to_physical().to_list() == [1, 0]
    assert seen.accepted.schema["region"] == pl.Enum(["深圳"])
    assert seen.accepted["group"].to_list() == ["1", "2"]
    assert [seen.accepted.schema[n] for n in ("exposure", "claims", "amount", "bmi")] == [
        pl.Float64,
        pl.Int64,
        pl.Float64,
        pl.Float64,
    ]


def test_values_of_a_kind_no_contract_knows_are_unreadable_not_a_crash():
    table = pl.DataFrame({"exposure": [[1.0], None], "claims": [dt.date(2024, 1, 1), None]})
    seen = check(table, "person_years")
    assert seen.rejected["_rules"].to_list() == [
        "exposure|type, claims|type",
        "exposure|nullability, claims|nullability",
    ]


def test_days_and_flags_are_read_from_timestamps_numbers_and_words():
    row = {"start": dt.datetime(2024, 1, 1, 8), "end": 20250101, "in_programme": 1}
    table = pl.DataFrame([{**RENEWAL, **row}])
    seen = check(table, "renewals").accepted
    assert seen.select("start", "end", "in_programme").row(0) == (
        dt.date(2024, 1, 1),
        dt.date(2025, 1, 1),
        True,
    )
    words = held("renewals", {"in_programme": "是"}, {"policy_year": "1", "in_programme": "No "})
    assert words.accepted["in_programme"].to_list() == [True, False]


def test_totals_count_what_could_not_be_summed():
    seen = held(
        "person_years",
        {"amount": "10"},
        {"amount": "x"},
        {"amount": "inf"},
        {"amount": None},
        {"amount": "5", "claims": "-1"},
        {"amount": " "},
    )
    totals = {row[0]: row[1:] for row in seen.totals.iter_rows()}
    assert totals["amount"] == (10.0, 5.0, 15.0, 2)
    assert totals["claims"] == (0.0, -1.0, -1.0, 0)
    assert totals["rows"] == (3.0, 3.0, 6.0, 0)
    cover = held("policies", {}, {"policy_id": "P2", "end": "2025-02-30"}).totals.row(1)
    assert cover == ("exposure", 366 / 365.25, 0.0, 366 / 365.25, 1)


def test_faults_are_counted_per_file_with_first_keys(tmp_path):
    text = "claim_id,policy_id,incurred,amount\n"
    for file in "ab":
        rows = [f"{file}{i},P1,2024-01-01,-1\n" for i in range(7)]
        (tmp_path / f"{file}.csv").write_text(text + "".join(rows), encoding="utf-8")
    seen = check(read_table(Source(files="*.csv", folder=tmp_path)), "claims")
    assert seen.faults.select("file", "column", "count", "first_keys").rows() == [
        ("a.csv", "amount", 7, "a0, a1, a2, a3, a4"),
        ("b.csv", "amount", 7, "b0, b1, b2, b3, b4"),
    ]
    assert seen.accepted.height == 0


def test_a_gb18030_file_goes_through_and_comes_back_as_it_was(tmp_path):
    text = "编号,保单,出险日,金额,地区\n1,P1,2024-02-29, 80.50 ,深圳\n2,P1,2023-02-29,abc,北京\n"
    (tmp_path / "c.csv").write_bytes(text.encode("gb18030"))
    names = {"claim_id": "编号", "policy_id": "保单", "incurred": "出险日", "amount": "金额"}
    source = Source(files="c.csv", folder=tmp_path, encoding="gb18030", columns=names)
    seen = check(read_table(source), "claims", factors={"地区": ["深圳", "广州"]})
    assert seen.accepted["地区"].to_list() == ["深圳"]
    assert seen.accepted["amount"].to_list() == [80.5]
    path = write_rejected(seen, tmp_path / "out")
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    assert path.read_text(encoding="utf-8-sig").splitlines() == [
        "claim_id,policy_id,incurred,amount,地区,_file,_row,_rules",
        '2,P1,2023-02-29,abc,北京,c.csv,2,"incurred|type, amount|type, 地区|level"',
    ]


def test_rows_in_their_own_words_are_judged_in_ours_and_rejected_as_they_were(tmp_path):
    names = {"policy_id": "保单", "birth_date": "生日", "sex": "性别", "start": "起", "end": "止"}
    text = ",".join(names.values()) + ",地区\n"
    for i, sex in enumerate(["男", "女", "不详", "男"]):
        text += f"P{i},1980-01-01,{sex},2024-01-01,{'2025-01-01' if i < 3 else '2023-01-01'},粤\n"
    (tmp_path / "p.csv").write_bytes(text.encode("gb18030"))
    levels = {"sex": {"男": "male", "女": "female"}, "地区": {"粤": "广东"}}
    options = {"folder": tmp_path, "levels": levels}
    read = read_table(Source(files="p.csv", encoding="gb18030", columns=names, **options))
    seen = check(read, "policies", factors={"地区": ["广东"]})
    assert seen.accepted.select("sex", "地区").rows() == [("male", "广东"), ("female", "广东")]
    assert seen.faults["rule"].to_list() == ["sex|level", "end_after_start"]
    assert seen.unused == ()
    assert adds_up(seen)
    path = write_rejected(seen, tmp_path)
    assert path.read_text(encoding="utf-8-sig").splitlines() == [
        "policy_id,birth_date,sex,start,end,地区,_file,_row,_rules",
        "P2,1980-01-01,不详,2024-01-01,2025-01-01,粤,p.csv,3,sex|level",
        "P3,1980-01-01,男,2024-01-01,2023-01-01,粤,p.csv,4,end_after_start",
    ]
    # Mended under our names and read again by the same levels.
    path.write_text(path.read_text(encoding="utf-8").replace("不详", "女"), encoding="utf-8")
    again = check(read_table(Source(files=path.name, **options)), "policies")
    assert again.accepted["sex"].to_list() == ["female"]


def test_rows_moved_by_the_book_show_what_the_file_said_too():
    read = read_table(
        Source(frame=frame("claims", {"benefit": "门诊"}), levels={"benefit": {"门诊": "visit"}})
    )
    tables = {"policies": held("policies", {"policy_id": "P2"}), "claims": check(read, "claims")}
    assert tables["claims"].accepted["benefit"].to_list() == ["visit"]
    assert check_book(tables)["claims"].rejected["benefit"].to_list() == ["门诊"]


def test_booleans_are_the_levels_yes_and_no():
    table = pl.DataFrame(
        {
            "exposure": [1, 1, 1],
            "claims": [1, 1, 1],
            "chronic": [True, False, None],
            "smoker": [True, True, True],
        }
    )
    seen = check(table, "person_years", factors={"chronic": ["no", "yes"], "smoker": None})
    assert seen.accepted["chronic"].to_list() == ["yes", "no"]
    assert seen.accepted.schema["chronic"] == pl.Enum(["no", "yes"])
    assert seen.accepted["smoker"].to_list() == ["yes", "yes"]
    assert seen.rejected.select("chronic", "smoker", "_rules").rows() == [
        (None, True, "chronic|nullability")
    ]
    renewal = pl.DataFrame([{**RENEWAL, "in_programme": True}])
    assert check(renewal, "renewals").accepted["in_programme"].to_list() == [True]
    narrowed = check(renewal, "renewals", factors={"in_programme": ["no", "yes"]})
    assert narrowed.accepted["in_programme"].to_list() == ["yes"]


def test_an_unused_column_near_a_lacking_optional_one_is_warned_of():
    note = {"standard_premum": "1", "AMOUNT": "1", "persn_id": "1", "note": "a", "claim": "1"}
    seen = held("person_years", {**note, "person_id": "1"})
    assert seen.unused == tuple(note)
    assert seen.warnings == (
        "person_years: column 'standard_premum' is not used; did you mean 'standard_premium'?",
        "person_years: column 'AMOUNT' is not used; did you mean 'amount'?",
    )
    assert held("claims", {"paid_day": "2024-03-01"}).warnings == ()


def test_a_misspelt_factor_is_refused_with_the_nearest():
    with pytest.raises(InputError, match=r"health_group: .*; did you mean 'health_grup'"):
        held("person_years", {"health_grup": "A"}, factors={"health_group": None})


def test_warnings_stay_when_rows_move_between_tables():
    claims = held("claims", {"benefits": "a"})
    tables = {"policies": held("policies", {"policy_id": "P2"}), "claims": claims}
    moved = check_book(tables)["claims"]
    assert moved.accepted.height == 0
    assert moved.warnings == claims.warnings != ()


def test_rejected_lists_can_be_written(tmp_path):
    table = pl.DataFrame({"exposure": [0.0], "claims": [0], "visits": [[1, 2]]})
    path = write_rejected(check(table, "person_years"), tmp_path)
    assert "[1, 2]" in path.read_text(encoding="utf-8-sig")


def test_first_keys_are_the_first_five_in_the_order_of_the_rows():
    many, ids = 60_000, [f"C{i * 7919 % 60_000}" for i in range(60_000)]
    table = pl.DataFrame(
        {
            "claim_id": [ids[i % 50_000] for i in range(many)],
            "policy_id": ["P9" if i % 11 == 0 else "P1" for i in range(many)],
            "incurred": ["2024-02-30" if i % 5 == 0 else "2024-03-01" for i in range(many)],
            "amount": ["x" if i % 7 == 0 else "-1" if i % 3 == 0 else "1" for i in range(many)],
            "_file": ["b.csv" if i < many // 2 else "a.csv" for i in range(many)],
            "_row": range(1, many + 1),
        }
    )
    claims = check(table, "claims")
    seen = check_book({"policies": held("policies", {}), "claims": claims})["claims"]
    assert set(seen.faults["rule"]) == {
        *("incurred|type", "amount|type", "amount|min", "primary_key", "policy_id|unknown_policy"),
    }
    for fault in seen.faults.iter_rows(named=True):
        broken = pl.col("_rules").str.split(", ").list.contains(fault["rule"])
        rows = seen.rejected.filter(broken, pl.col("_file") == fault["file"])
        assert fault["count"] == rows.height > 5, fault
        assert rows["_row"].is_sorted()
        assert fault["first_keys"].split(", ") == rows["claim_id"].head(5).to_list(), fault


def book(policies, claims=None, renewals=None):
    tables = {"policies": held("policies", *policies)}
    if claims:
        changes = [{"claim_id": f"C{i}", **change} for i, change in enumerate(claims)]
        tables["claims"] = held("claims", *changes)
    if renewals:
        tables["renewals"] = held("renewals", *renewals)
    checked = check_book(tables)
    assert all(adds_up(table) for table in checked.values())
    return checked


def test_claims_of_no_policy_or_outside_its_cover_are_rejected():
    policies = [{}, {"policy_id": "P2", "sex": "x"}]
    claims = [
        {},
        {"policy_id": "P9"},
        {"policy_id": "P2"},
        {"incurred": "2023-12-31"},
        {"incurred": "2025-01-01"},
        {"incurred": "2024-12-31"},
        {"amount": "-1"},
    ]
    seen = book(policies, claims)["claims"]
    assert seen.accepted["claim_id"].to_list() == ["C0", "C5"]
    assert seen.rejected["_rules"].to_list() == [
        "policy_id|unknown_policy",
        "policy_id|rejected_policy",
        "incurred|outside_cover",
        "incurred|outside_cover",
        "amount|min",
    ]
    fault = seen.faults.row(by_predicate=pl.col("rule") == "incurred|outside_cover", named=True)
    assert (fault["table"], fault["column"], fault["count"]) == ("claims", "incurred", 2)
    assert fault["first_keys"] == "C3, C4"
    assert seen.totals.row(1, named=True)["input"] == 80.5 * 6 - 1


def test_renewals_outside_cover_and_overlapping_terms_are_rejected():
    policies = [{"end": "2027-01-01"}, {"policy_id": "P2", "end": "2027-01-01"}]
    renewals = [
        {},
        {"policy_year": "1", "start": "2025-01-01", "end": "2026-01-01"},
        {"policy_year": "2", "start": "2025-12-31", "end": "2026-06-01"},
        {"policy_year": "3", "start": "2026-12-01", "end": "2027-01-02"},
        {"policy_year": "4", "start": "2027-01-01", "end": "2027-06-01"},
        {"policy_id": "P2", "start": "2025-06-01", "end": "2026-06-01"},
        {"policy_id": "P3"},
    ]
    seen = book(policies, renewals=renewals)["renewals"]
    kept = [("P1", 0), ("P1", 3), ("P2", 0)]  # a term past its policy's end is cut there, not lost
    assert seen.accepted.select("policy_id", "policy_year").rows() == kept
    assert "1 terms run past the end of their policy, such as P1" in seen.warnings[0]
    assert seen.rejected["_rules"].to_list() == [
        "start|overlap",
        "start|overlap",
        "start|outside_cover",
        "policy_id|unknown_policy",
    ]
    assert seen.faults.filter(pl.col("rule") == "start|overlap")["first_keys"].to_list() == [
        "P1/1, P1/2"
    ]


def test_a_term_within_an_earlier_longer_one_overlaps_it():
    renewals = [
        {},
        {"policy_year": "1", "start": "2024-02-01", "end": "2024-03-01"},
        {"policy_year": "2", "start": "2024-06-01", "end": "2024-07-01"},
        {"policy_year": "3", "start": "2025-01-01", "end": "2026-01-01"},
    ]
    seen = check_book({"renewals": held("renewals", *renewals)})["renewals"]
    assert seen.accepted["policy_year"].to_list() == [3]


def test_a_sound_book_is_left_as_it_is():
    tables = {"policies": held("policies", {}), "claims": held("claims", {})}
    assert check_book(tables) == tables


def test_one_row_and_one_level():
    seen = held("person_years", {"tier": "only"}, factors={"tier": ["only"]})
    assert seen.accepted.height == 1
    assert seen.faults.height == 0
    assert seen.rejected.columns[-3:] == ["_file", "_row", "_rules"]


VALUES = ["1", " 0.5", "0", "-1", "", "x", "NaN", "inf", "2.5", "3.0", None]
ROWS = st.lists(st.tuples(*[st.sampled_from(VALUES)] * 3), min_size=1, max_size=12)


@settings(deadline=None, max_examples=40)
@given(rows=ROWS)
def test_accepted_and_rejected_are_the_input(rows):
    names = ("exposure", "claims", "amount")
    table = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")
    seen = check(table, "person_years")
    assert adds_up(seen)
    # By hand: every value is either finite and summed, or empty, or unreadable.
    for at, name in enumerate(names):
        given_ = [row[at] for row in rows if row[at] not in (None, "")]
        finite = [float(v) for v in given_ if v not in ("x", "NaN", "inf")]
        if name == "claims":
            finite = [v for v in finite if v == int(v)]
        total = seen.totals.row(by_predicate=pl.col("quantity") == name, named=True)
        assert total["input"] == sum(finite)
        assert total["unreadable"] == len(given_) - len(finite)
    kept = set(seen.accepted["person_year_id"].cast(pl.Int64)) | set(seen.rejected["_row"])
    assert kept == set(range(1, len(rows) + 1))
    fine = [
        r
        for r in rows
        if r[0] in ("1", " 0.5", "2.5", "3.0")
        and r[1] in ("1", "0", "3.0")
        and r[2] not in ("-1", "x", "NaN", "inf")
    ]
    assert seen.accepted.height == len([r for r in fine if r[1] != " 0.5"])
