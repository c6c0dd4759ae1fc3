"""What a reader of Chinese sees of terms, methods, tables and the contracts' faults is Chinese."""

import re

import polars as pl
import pytest

from pricing.data.check import check
from pricing.data.rules import _ACROSS, _READS, RULES
from pricing.report.tables import words_of
from pricing.result.shape import Basis
from pricing.result.words import catalogue, fault_said, term_label
from pricing.study.scenarios import scenario_results
from pricing.study.sections import Scenario

GENERAL = [
    "exposure must be at least 0 policy-years", "limit must be at most 1", "exposure must be above 0",
    "amount must be below 5", "sex must be one of: female, male", "sex must not be empty",
    "sex must be one of: female, male; seen: '男' (3)", "amount must be a number, not NaN",
    "policy_id with policy_year must not repeat; every row of a repeated key is rejected",
    "amount must be finite", "amount must keep the rule odd",
    *(f"amount must be {text}; seen: 'x' (1)" for text in _READS.values()),
]  # fmt: skip
SAID = sorted({*GENERAL, *_ACROSS.values(), *(text.replace("`", "") for text in RULES.values())})


@pytest.mark.parametrize("text", SAID)
def test_every_rule_of_the_contracts_has_its_chinese_sentence(text):
    said = fault_said(text, "zh")
    assert said != text
    assert re.search(r"[\u4e00-\u9fff]{2}", said)
    assert " must " not in said
    assert fault_said(text, "en") == text


def test_columns_and_levels_in_a_fault_are_named():
    assert fault_said("end must be after start (it is the day after the last day of cover)", "zh").startswith(catalogue()["term.end"]["zh"])  # fmt: skip
    assert fault_said("sex must be one of: female, male", "zh") == "性别须为下列之一：女、男"
    assert (
        fault_said("x {y} must not be empty", "zh") == "x {y}不得为空"
    )  # braces of a user are text


def test_the_faults_of_a_check_are_said_where_the_page_shows_them():
    rows = pl.DataFrame({"exposure": ["1", "0", "x"], "claims": ["2", "1", "1"]})
    faults = check(rows, "person_years").faults
    said = words_of(faults["meaning"], "zh")
    assert len(said) == 2
    assert all(re.search(r"须", text) for text in said.values())
    assert words_of(faults["meaning"], "en") == {text: text for text in said}


def test_terms_methods_and_tables_are_named():
    assert words_of(pl.Series("method", ["expected_loss"]), "zh") == {"expected_loss": "赔付率法"}
    assert words_of(pl.Series("factor", ["health_group"]), "zh") == {"health_group": "健康组"}
    assert words_of(pl.Series("known_factor", ["region[sichuan]", "age"]), "zh") == {"region[sichuan]": "地区[四川]", "age": "年龄"}  # fmt: skip
    assert words_of(pl.Series("at", ["sex: male"]), "zh") == {"sex: male": "性别: 男"}
    assert words_of(pl.Series("table", ["offers"]), "zh") == {"offers": "续保报价"}
    assert term_label("own thing", "zh") == "own thing"


def test_changed_keys_are_said_in_chinese():
    one = Scenario(name="a", title={"en": "A", "zh": "甲"}, change={"tiers.tier.basic.deductible": 30.0, "tiers.line": 0.8})  # fmt: skip
    steps = scenario_results([one], lambda c: {"bill": float(len(c))}, Basis())["scenario_steps:a"]
    assert not [k for k in steps.titled("zh")["changed_key"] if re.search(r"[a-z]{3}", k)]
    assert steps.titled("en").equals(steps.table)
