"""Rules of a plan: what they say, and every contradiction refused by name."""

from __future__ import annotations

import tomllib

import pytest

from pricing.data.tables import bundled
from pricing.errors import InputError
from pricing.mutual_aid.rules import AidBenefit, AidClass, aid_rules

PLANS = ("xiang_hu_bao", "xiang_hu_bao_senior", "meituan", "generic")


def said(name="xiang_hu_bao"):
    return tomllib.loads(bundled(f"mutual_aid/{name}.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", PLANS)
def test_the_plans_that_ship_can_be_read(name):
    rules = aid_rules(name)
    assert rules.name == name
    assert set(rules.title) == {"en", "zh"}
    assert aid_rules(said(name)) == rules
    assert rules.source
    for key in rules.known:
        assert hasattr(rules, key), key


def test_xiang_hu_bao_is_what_was_published():
    rules = aid_rules("xiang_hu_bao")
    assert (rules.fee, rules.cap_per_case, rules.cap_per_year) == (0.08, 0.1, 188.0)
    assert (rules.waiting_days, rules.exit_age, rules.periods) == (90, 60, 24)
    got = rules.benefit_at([-1, 0, 39, 39.9, 40, 59, 60])
    assert got[1:6].tolist() == [300_000, 300_000, 300_000, 100_000, 100_000]
    assert [bool(x != x) for x in got] == [True, *[False] * 5, True]
    assert rules.classes["honorary"] == AidClass(1, 0)
    assert rules.classes["assisted"] == AidClass(0, 1)
    assert aid_rules("xiang_hu_bao_senior").cap_per_case == 1.0
    assert aid_rules("meituan").benefit[0].amount == pytest.approx(0.2 * 350_000)


BANDS = {
    "gap": [{"age_from": 0, "age_to": 38, "amount": 3e5}, {"age_from": 40, "age_to": 59, "amount": 1e5}],
    "overlap": [{"age_from": 0, "age_to": 41, "amount": 3e5}, {"age_from": 40, "age_to": 59, "amount": 1e5}],
    "order": [{"age_from": 40, "age_to": 59, "amount": 1e5}, {"age_from": 0, "age_to": 39, "amount": 3e5}],
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), [
    ({"fee": -0.01}, "negative fee"),
    ({"fee": 8}, "write 8 % as 0.08"),
    ({"fee": "8%"}, "fee is '8%'"),
    ({"fee": float("nan")}, "fee is nan"),
    ({"cap_per_case": 0}, "cap_per_case is 0"),
    ({"most_per_case": 200_000}, "cap below benefit: 200,000 a case at most"),
    ({"least_members": 1_000_000}, "cap below benefit: 1,000,000 members at 0.1 each pay 92,593"),
    ({"cap_per_year": 0.05}, "the cap a year, 0.05, is below the cap a case"),
    ({"waiting_days": 365}, "waiting longer than the term: 365 days of 365"),
    ({"waiting_days": 90.5}, "waiting_days is 90.5"),
    ({"waiting_days": True}, "waiting_days is True"),
    ({"benefit": BANDS["gap"]}, "a gap in the benefit's age bands: nothing at 39 to 39"),
    ({"benefit": BANDS["overlap"]}, "overlap at 40 to 41"),
    ({"benefit": BANDS["order"]}, "not in order of age"),
    ({"benefit": []}, "no benefit at any age"),
    ({"benefit": [{"age_from": 0, "age_to": 59, "amount": 0}]}, "benefit of 0.0"),
    ({"benefit": [{"age_from": 0, "age_to": 49, "amount": 1e5}]}, "no benefit after 49"),
    ({"entry_ages": [60, 59]}, "entry from age 60 to 59"),
    ({"entry_ages": [0, 64]}, "may join at 64 and must leave at 60"),
    ({"entry_ages": [0]}, "entry_ages are"),
    ({"classes": {"assisted": {"pays": 0, "covered": 1}}}, "no class that pays"),
    ({"classes": {"honorary": {"pays": 1, "covered": 0}}}, "no class that is covered"),
    ({"classes": {"member": {"pays": 2, "covered": 1}}}, "pays 2"),
    ({"rounding": "round_nearst"}, "rounding is 'round_nearst'; did you mean 'round_nearest'"),
    ({"shortfall": "nobody"}, "shortfall is 'nobody'"),
    ({"settlement_days": [14, 32]}, "settlement_days are"),
    ({"pays_while_waiting": "no"}, "pays_while_waiting is 'no'"),
])  # fmt: skip
def test_what_contradicts_is_named(change, message):
    with pytest.raises(InputError) as refused:
        aid_rules(said() | change)
    assert message in str(refused.value)


def test_every_contradiction_is_said_at_once():
    wrong = said() | {"most_per_case": 1.0, "waiting_days": 400, "classes": {}}
    with pytest.raises(InputError) as refused:
        aid_rules(wrong)
    assert len(refused.value.faults) == 4
    assert "4 rules that are wrong" in str(refused.value)


def test_what_is_not_written_as_rules_is_refused(tmp_path):
    with pytest.raises(InputError, match="unknown rule 'fees'; did you mean 'fee'"):
        aid_rules(said() | {"fees": 0.1})
    short = said()
    del short["fee"]
    with pytest.raises(InputError, match="lacks 'fee'"):
        aid_rules(short)
    with pytest.raises(InputError, match="a benefit or a class is not written"):
        aid_rules(said() | {"benefit": [{"from": 0}]})
    with pytest.raises(InputError, match="a benefit or a class is not written"):
        aid_rules(said() | {"classes": {"member": 1}})
    with pytest.raises(InputError, match="no file"):
        aid_rules("xiang_hu_bo")
    bad = tmp_path / "bad.toml"
    bad.write_text("fee = = 1", encoding="utf-8")
    with pytest.raises(InputError, match="not a file of rules"):
        aid_rules(bad)
    with pytest.raises(InputError, match="not a file of rules"):
        aid_rules(tmp_path / "none.toml")
    with pytest.raises(InputError, match="no rule 'cap'"):
        aid_rules("generic").but(cap=3)


def test_a_changed_rule_is_checked_again():
    rules = aid_rules("xiang_hu_bao")
    flat = rules.but(benefit=(AidBenefit(0, 59, 300_000.0),), fee=0.1)
    assert (flat.fee, rules.fee) == (0.1, 0.08)
    with pytest.raises(InputError, match="negative fee"):
        rules.but(fee=-1.0)
