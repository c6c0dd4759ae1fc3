import datetime as dt

import polars as pl
import pytest

import pricing.data as data
from pricing.data.contracts import contract
from pricing.data.delivered import TABLES
from pricing.data.rules import meaning
from pricing.data.schemas import PersonYears, Policies
from pricing.errors import InputError


def test_every_column_has_a_meaning_a_unit_and_says_whether_it_may_lack():
    for schema in TABLES.values():
        for name, column in schema.columns().items():
            assert column.description, name
            assert set(column.metadata or {}) == {"unit", "optional"}, name


def test_a_factor_with_levels_keeps_their_order_and_may_not_be_empty():
    column = contract("person_years", factors={"组": ["丙", "甲"]}).columns()["组"]
    assert column.dtype == pl.Enum(["丙", "甲"])
    assert not column.nullable


def test_a_factor_may_carry_any_name_even_that_of_a_schema_method():
    schema = contract("claims", factors={"filter": ["a"], "class": None}, covariates=["cast"])
    assert schema.column_names()[-3:] == ["filter", "class", "cast"]
    assert callable(schema.filter)


def test_a_factor_narrows_a_core_column_in_place():
    schema = contract("policies", factors={"sex": ["male"]})
    assert schema.columns()["sex"].dtype == pl.Enum(["male"])
    assert schema.column_names() == Policies.column_names()
    assert Policies.columns()["sex"].dtype == pl.Enum(["female", "male"])
    group = contract("renewals", factors={"health_group": ["A", "B"]}).columns()["health_group"]
    assert group.dtype == pl.Enum(["A", "B"])


def test_an_optional_core_column_named_as_a_factor_or_covariate_becomes_required():
    period = contract("person_years", factors={"period": ["2016", "2017"]}).columns()["period"]
    value = contract("renewals", covariates=["health_value"]).columns()["health_value"]
    for column in (period, value):
        assert not (column.metadata or {})["optional"]
        assert not column.nullable
    assert value.max == 1000.0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"factors": {"sex": ["femal"]}}, "did you mean 'female'"),
        ({"factors": {"tier": []}}, "non-empty texts"),
        ({"factors": {"tier": "abc"}}, "non-empty texts"),
        ({"factors": {"tier": ["a", "a"]}}, "levels are repeated: a"),
        ({"factors": {"start": ["a"]}}, "cannot be a rating factor"),
        ({"factors": {"policy_id": ["a"]}}, "cannot be a rating factor"),
        ({"factors": {"_row": None}}, "cannot be a column's name"),
        ({"factors": {"end_after_start": None}}, "cannot be a column's name"),
        ({"factors": {"bmi": None}, "covariates": ["bmi"]}, "named twice"),
        ({"covariates": ["sex"]}, "not a measured number"),
    ],
)
def test_what_cannot_be_a_column_is_refused(options, says):
    with pytest.raises(InputError, match=says):
        contract("policies", **options)


def test_an_unknown_table_is_refused_with_the_nearest():
    with pytest.raises(InputError, match="did you mean 'policies'"):
        contract("policy")


def test_every_rule_of_every_contract_has_words():
    for schema in TABLES.values():
        frame = pl.DataFrame(schema={n: c.dtype for n, c in schema.columns().items()})
        rules = set(schema.filter(frame)[1].details().columns) - set(schema.column_names())
        assert len(rules) > 5
        for rule in rules:
            assert "keep the rule" not in meaning(schema, rule), rule


def test_words_of_rules():
    assert meaning(Policies, "start|min") == "start must be at least 1900-01-01"
    assert meaning(Policies, "end_after_start").startswith("end must be after start")
    assert meaning(PersonYears, "claims|type") == "claims must be a whole number"


@pytest.mark.parametrize(
    ("birth", "start", "kept"),
    [
        (dt.date(1900, 3, 1), dt.date(2021, 2, 28), True),
        (dt.date(1900, 3, 1), dt.date(2021, 3, 1), False),
        (dt.date(1904, 2, 29), dt.date(2025, 2, 28), True),
        (dt.date(1904, 2, 29), dt.date(2025, 3, 1), False),
        (dt.date(1960, 12, 31), dt.date(2024, 1, 1), True),
    ],
)
def test_age_at_start_is_age_last_birthday(birth, start, kept):
    row = {"policy_id": "1", "person_id": None, "birth_date": birth, "sex": "male"}
    row |= {"start": start, "end": dt.date(2030, 1, 1), "exit_cause": None}
    types = {n: c.dtype for n, c in Policies.columns().items()}
    good, _ = Policies.filter(pl.DataFrame([row], schema=types))
    assert (good.height == 1) is kept


@pytest.mark.parametrize("name", data.__all__)
def test_every_name_is_offered_lazily(name):
    assert getattr(data, name).__name__ == name


def test_what_is_not_there_is_not_offered():
    assert {"check_book", "simulate", "bundled"} <= set(dir(data))
    assert "check" not in data.__all__  # a file's name; its verb is imported from there
    with pytest.raises(AttributeError, match="no attribute 'chek'"):
        _ = data.chek
