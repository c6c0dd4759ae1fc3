"""One broken book, 22 kinds of fault: each is named, counted and keyed, and the totals add up."""

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from pricing.cli import main
from pricing.data.book import simulate
from pricing.study.chain import open_study

# table, row (by position in the file), column, broken value, rule that must catch it
FAULTS = [
    ("policies", 0, "birth_date", "1890-01-01", "birth_date|min"),
    ("policies", 1, "birth_date", "2023-02-29", "birth_date|type"),
    ("policies", 2, "sex", "unknown", "sex|level"),
    ("policies", 3, "sex", "", "sex|nullability"),
    ("policies", 4, "end", "2010-01-01", "end_after_start"),
    ("policies", 5, "birth_date", "2029-01-01", "birth_before_start"),
    ("policies", 6, "region", "atlantis", "region|level"),
    ("policies", 7, "exit_cause", "bored", "exit_cause|level"),
    ("policies", 8, "policy_id", "P000000010", "primary_key"),
    ("renewals", 40, "standard_premium", "0", "standard_premium|min_exclusive"),
    ("renewals", 42, "standard_premium", "-5", "standard_premium|min_exclusive"),
    ("renewals", 44, "standard_premium", "inf", "standard_premium|inf"),
    ("renewals", 46, "premium", "99999999", "premium_at_most_standard"),
    ("renewals", 48, "health_value", "1000.5", "health_value|max"),
    ("renewals", 50, "health_group", "G9", "health_group|level"),
    ("renewals", 52, "policy_year", "1.5", "policy_year|type"),
    ("renewals", 54, "end", "2031-01-01", "term_at_most_a_year"),
    ("claims", 20, "amount", "NaN", "amount|nan"),
    ("claims", 21, "amount", "-1", "amount|min"),
    ("claims", 22, "amount", "12,50", "amount|type"),
    ("claims", 23, "paid", "1999-01-01", "paid_not_before_incurred"),
    ("claims", 24, "policy_id", "nobody", "policy_id|unknown_policy"),
    ("claims", 25, "incurred", "1999-12-31", "incurred|outside_cover"),
]
STUDY = """
[study]
name = "broken"
title = { en = "Broken", zh = "破损" }
source = { en = "test", zh = "测试" }
observed = [2018-01-01, 2026-01-01]

[tables.policies]
files = "policies.csv"
encoding = "gb18030"
[tables.policies.factors]
region = ["beijing", "shanghai", "guangdong", "shandong", "sichuan"]

[tables.renewals]
files = "renewals-*.csv"
[tables.renewals.factors]
health_group = ["G0", "G1", "G2", "G3", "G4"]

[tables.claims]
files = "claims.csv"
columns = { amount = "赔付金额" }

[model]
frequency = "sex + region"

[discount]
order = ["G0", "G1", "G2", "G3", "G4"]
"""


def broken(folder: Path) -> tuple[Path, dict[str, pl.DataFrame]]:
    """Write a small book as text with one fault per row, in three encodings and two files."""
    simulate(folder / "book", policies=1500, seed=3)
    texts = {}
    for name in ("policies", "renewals", "claims"):
        frame = pl.read_parquet(folder / "book" / name / "*.parquet")
        text = frame.select(pl.all().cast(pl.String))
        for table, row, column, value, _ in FAULTS:
            if table == name:
                at = pl.int_range(pl.len()) == row
                text = text.with_columns(
                    pl.when(at).then(pl.lit(value)).otherwise(column).alias(column)
                )
        texts[name] = text
    texts["claims"] = texts["claims"].rename({"amount": "赔付金额"})
    half = texts["renewals"].height // 2
    (folder / "policies.csv").write_bytes(texts["policies"].write_csv().encode("gb18030"))
    texts["renewals"][:half].write_csv(folder / "renewals-1.csv")
    texts["renewals"][half:].write_csv(folder / "renewals-2.csv", include_bom=True)
    texts["claims"].write_csv(folder / "claims.csv")
    (folder / "study.toml").write_text(STUDY, encoding="utf-8")
    return folder / "study.toml", texts


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, pl.DataFrame]]:
    return broken(tmp_path_factory.mktemp("broken"))


def test_every_fault_is_named_with_file_column_rule_count_and_first_keys(book):
    study, texts = book
    checked = open_study(study).checked
    known = texts["policies"]["policy_id"].to_list()
    orphans = texts["claims"].filter(~pl.col("policy_id").is_in(known)).height
    files = {"policies": "policies.csv", "renewals": "renewals-1.csv", "claims": "claims.csv"}
    rules = {(table, rule) for table, *_, rule in FAULTS}
    assert len(rules) >= 20
    for table, rule in sorted(rules):
        found = checked[table].faults.filter(pl.col("rule") == rule)
        wanted = [f for f in FAULTS if (f[0], f[4]) == (table, rule)]
        assert found.height == 1, (table, rule, checked[table].faults)
        row = found.row(0, named=True)
        assert row["file"] == files[table]
        # both copies of a repeated key go; a standard premium of 0 or −5 is below the premium too
        count = len(wanted) + {"primary_key": 1, "premium_at_most_standard": 2}.get(rule, 0)
        # the claims of the policy whose number was overwritten are orphans too
        assert row["count"] == (orphans if rule.endswith("unknown_policy") else count), rule
        assert row["first_keys"]
        assert row["meaning"]
        if rule.endswith(("|level", "|type")):  # and the value itself, to be mapped or mended
            assert f"seen: {wanted[0][3]!r} (1)" in row["meaning"]


def test_a_rejected_policy_takes_its_rows_along_and_says_so(book):
    study, texts = book
    checked = open_study(study).checked
    gone = checked["policies"].rejected["policy_id"].unique()
    both = checked["renewals"].faults.filter(pl.col("rule") == "policy_id|rejected_policy")
    expected = texts["renewals"].filter(pl.col("policy_id").is_in(gone.to_list())).height
    assert both["count"].sum() >= expected - len(FAULTS)
    assert not checked["renewals"].accepted["policy_id"].is_in(gone.to_list()).any()


def test_accepted_and_rejected_add_up_to_the_file_in_rows_exposure_and_money(book):
    study, texts = book
    checked = open_study(study).checked
    days = (
        pl.col("end").str.to_date(strict=False) - pl.col("start").str.to_date(strict=False)
    ).dt.total_days()
    for name, text in texts.items():
        totals = {r["quantity"]: r for r in checked[name].totals.iter_rows(named=True)}
        assert totals["rows"]["input"] == text.height
        for row in totals.values():
            assert row["accepted"] + row["rejected"] == pytest.approx(row["input"], rel=1e-12)
        if name != "claims":
            years = text.select(days).to_series().drop_nulls().sum() / 365.25
            assert totals["exposure"]["input"] == pytest.approx(years, rel=1e-12)
        if name == "claims":
            money = text["赔付金额"].cast(pl.Float64, strict=False).fill_nan(None).sum()
            assert totals["amount"]["input"] == pytest.approx(money, rel=1e-12)
            assert totals["amount"]["unreadable"] == 2
        assert checked[name].accepted.height + checked[name].rejected.height == text.height


def test_the_command_prints_them_keeps_the_rejects_and_leaves_with_1(book, capsys, tmp_path):
    study, _ = book
    with pytest.raises(SystemExit) as left:
        main(["check", str(study), "--out", str(tmp_path / "out")])
    assert left.value.code == 1
    printed = capsys.readouterr().out
    for name in ("policies.csv", "renewals-1.csv", "claims.csv", "P000000010"):
        assert name in printed
    compact = "".join(c for c in printed if c not in " │\n")
    for *_, rule in FAULTS:
        assert rule in compact, rule
    rejected = pl.read_csv(tmp_path / "out" / "rejected_policies.csv", infer_schema=False)
    assert set(rejected.columns) >= {"_file", "_row", "_rules"}
    assert rejected.filter(pl.col("_rules").str.contains("region\\|level"))["region"].to_list() == [
        "atlantis"
    ]


def test_the_good_rows_go_on(book):
    study, _ = book
    rows = open_study(study).person_years.rows
    assert rows.height > 4000
    assert rows["start"].min() >= date(2018, 1, 1)
