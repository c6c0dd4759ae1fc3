"""Renewal: what a policy pays, step by step, exact to the fen, with nothing lost."""

from __future__ import annotations

from datetime import date
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.errors import InputError
from pricing.regulation.product import Product
from pricing.regulation.rate_adjustment import check_rate_adjustment
from pricing.renewal.ledger import ledger_of
from pricing.renewal.price import STEPS, price_renewals
from pricing.renewal.renew import renew
from pricing.renewal.rules import RenewalRules

HUOLI = {"G0": 0.0, "G1": 0.05, "G2": 0.10, "G3": 0.15, "G4": 0.20}
FEN = Decimal("0.01")


def book(n=2_000, seed=1):
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "policy_id": [f"P{i:05d}" for i in range(n)],
            "health_group": rng.choice(list(HUOLI), n),
            "tier": rng.choice(["基础", "高端"], n),
            "standard_premium": np.round(rng.gamma(4.0, 500.0, n) + 1, 2),
            "premium_before": np.round(rng.gamma(4.0, 480.0, n) + 1, 2),
            "consent": rng.random(n) < 0.9,
        }
    )


def by_hand(row, rules):
    """The same in decimal arithmetic, one policy."""
    standard = Decimal(str(row["standard_premium"])).quantize(FEN, ROUND_HALF_UP)
    change = rules.changes[row["tier"] if rules.adjusted_by else ""]
    adjusted = (standard * (1 + Decimal(str(change)))).quantize(FEN, ROUND_HALF_UP)
    group = row["health_group"] if row["consent"] else rules.standard_group
    discounted = (adjusted * (1 - Decimal(str(rules.discounts[group])))).quantize(
        FEN, ROUND_HALF_UP
    )
    least = (adjusted * (1 - Decimal(str(rules.cap)))).quantize(FEN, ROUND_CEILING)
    discounted = max(discounted, least)
    held, before = discounted, Decimal(str(row["premium_before"]))
    if rules.most_fall is not None:
        held = max(
            held, (before * (1 - Decimal(str(rules.most_fall)))).quantize(FEN, ROUND_CEILING)
        )
    if rules.most_rise is not None:
        held = min(held, (before * (1 + Decimal(str(rules.most_rise)))).quantize(FEN, ROUND_FLOOR))
    held = min(max(held, least), adjusted)
    return standard, adjusted, discounted, held


@pytest.mark.parametrize("limits", [{}, {"most_rise": 0.08}, {"most_rise": 0.1, "most_fall": 0.05}])
def test_every_policy_is_what_decimal_arithmetic_gives(limits):
    rules = RenewalRules(
        discounts=HUOLI, adjustment={"基础": 0.035, "高端": 0.0715}, adjusted_by="tier", **limits
    )
    due = book()
    priced = price_renewals(due, rules).collect()
    for row, ours in zip(due.to_dicts(), priced.to_dicts(), strict=True):
        standard, adjusted, discounted, held = by_hand(row, rules)
        steps = [
            standard,
            adjusted - standard,
            discounted - adjusted,
            held - discounted,
            Decimal(0),
        ]
        assert [Decimal(str(ours[n])).quantize(FEN) for n in STEPS] == [
            s.quantize(FEN) for s in steps
        ]
        assert Decimal(str(ours["premium"])) == held.normalize()


def test_golden_fixture_of_the_model():
    due = pl.DataFrame(
        {
            "policy_id": ["a", "b", "c"],
            "health_group": ["G1", "G2", "G3"],
            "standard_premium": 1800.0,
        }
    )
    premiums = price_renewals(due, RenewalRules(discounts=HUOLI)).collect()["premium"]
    assert premiums.to_list() == [1710.0, 1620.0, 1530.0]


amounts = st.decimals(min_value="0.01", max_value="99999.99", places=2).map(float)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(amounts, st.one_of(st.none(), amounts), st.sampled_from(list(HUOLI)), st.booleans()), min_size=1, max_size=8),
    st.floats(-0.3, 0.5), st.one_of(st.none(), st.floats(0, 1)), st.one_of(st.none(), st.floats(0, 1)), st.sampled_from([0, 1, 2]),
)  # fmt: skip
def test_never_a_loading_never_more_than_the_cap_and_the_steps_add(
    rows, adjustment, rise, fall, decimals
):
    due = pl.DataFrame(
        {
            "policy_id": [str(i) for i in range(len(rows))],
            "standard_premium": [r[0] + 10 for r in rows],  # a whole unit lies within the cap
            "premium_before": [r[1] for r in rows],
            "health_group": [r[2] for r in rows],
            "consent": [r[3] for r in rows],
        },
        schema_overrides={"premium_before": pl.Float64},
    )
    rules = RenewalRules(
        discounts=HUOLI, adjustment=adjustment, most_rise=rise, most_fall=fall, decimals=decimals
    )
    ours = price_renewals(due, rules).collect()
    adjusted = ours["standard_premium"] + ours["from_adjustment"]
    assert (ours["premium"] <= adjusted + 1e-9).all()
    assert (ours["premium"] >= 0.8 * adjusted - 1e-9).all()
    fen = sum((100 * ours[name]).round() for name in STEPS)
    assert fen.to_list() == (100 * ours["premium"]).round().to_list()
    units = ours["premium"] * 10**decimals
    assert (units - units.round()).abs().max() < 1e-6
    if rise is None and fall is None:
        assert (ours["from_limits"] == 0).all()
        withdrawn = ours.filter(~pl.col("consent"))
        assert (withdrawn["from_discount"] == 0).all()


def test_a_standard_group_pays_the_standard_premium_without_consent():
    due = pl.DataFrame(
        {
            "policy_id": ["a", "b", "c"],
            "health_group": ["G4"] * 3,
            "standard_premium": [1000.0] * 3,
            "consent": [True, False, None],
        }
    )
    ours = price_renewals(due, RenewalRules(discounts=HUOLI)).collect()
    assert ours["premium"].to_list() == [800.0, 1000.0, 1000.0]
    assert ours["discount_group"].to_list() == ["G4", "G0", "G0"]


def test_ledger_re_adds_to_the_fen_and_does_not_depend_on_order():
    rules = RenewalRules(discounts=HUOLI, adjustment=0.0333, most_rise=0.1)
    priced = price_renewals(book(5_000), rules).collect()
    ledger = ledger_of(priced, rules)
    total = ledger.table.row(-1, named=True)
    for name in (*STEPS, "premium"):
        exact = sum(Decimal(str(v)) for v in priced[name].to_list())
        assert Decimal(str(total[name])).quantize(FEN) == exact
        assert ledger.table[name].head(-1).sum() == pytest.approx(total[name], abs=1e-6)
    assert round(100 * sum(total[n] for n in STEPS)) == round(100 * total["premium"])
    again = ledger_of(priced.sample(fraction=1.0, shuffle=True, seed=3), rules)
    assert again.table.equals(ledger.table)
    assert again.frames["change"].equals(ledger.frames["change"])
    change = ledger.frames["change"].row(-1, named=True)
    assert change["change_95"] == pytest.approx(priced["change"].quantile(0.95), abs=0.0011)
    assert change["change"] == pytest.approx(
        priced["premium"].sum() / priced["premium_before"].sum() - 1
    )


def test_from_file_to_file_nothing_is_lost(tmp_path):
    due = book(1_000).with_columns(
        health_group=pl.when(pl.int_range(pl.len()) < 7).then(pl.lit("G9")).otherwise("health_group"),
        standard_premium=pl.when(pl.int_range(pl.len()).is_between(7, 9))
        .then(pl.Series([None, float("nan"), -3.0] + [0.0] * 997).shift(7))
        .otherwise("standard_premium"),
        premium_before=pl.when(pl.int_range(pl.len()) == 10).then(0.0).when(pl.int_range(pl.len()) == 11).then(None).otherwise("premium_before"),
    )  # fmt: skip
    due.write_parquet(tmp_path / "due.parquet")
    rules = RenewalRules(discounts=HUOLI, most_rise=0.2)
    ledger = renew(pl.scan_parquet(tmp_path / "due.parquet"), rules, tmp_path / "out.parquet")
    out = pl.read_parquet(tmp_path / "out.parquet")
    assert out["policy_id"].to_list() == due["policy_id"].to_list()  # in order, all there
    aside = dict(ledger.frames["set_aside"].iter_rows())
    consenting = due.head(7)[
        "consent"
    ].sum()  # others stand in the standard group whatever is written
    assert aside == {"unknown_group": consenting, "no_standard_premium": 3, "bad_premium_before": 1}
    assert ledger.facts["policies"] + ledger.facts["set_aside"] == 1_000
    assert out.filter(pl.col("set_aside").is_null())["premium"].null_count() == 0
    assert out["change"][11] is None
    assert out["premium"][11] is not None


def test_enum_decimal_and_integer_columns_give_the_same():
    rules, due = RenewalRules(discounts=HUOLI, adjustment=0.05), book(300)
    plain = price_renewals(due, rules).collect()["premium"]
    other = due.with_columns(
        pl.col("health_group").cast(pl.Enum([*HUOLI, "G7"])),
        pl.col("standard_premium").cast(pl.Decimal(12, 2)),
    )
    assert price_renewals(other, rules).collect()["premium"].equals(plain)
    whole = pl.DataFrame({"policy_id": [7], "health_group": ["G1"], "standard_premium": [1800]})
    assert price_renewals(whole, rules).collect()["premium"].to_list() == [1795.5]


def test_a_policy_without_a_number_is_set_aside():
    due = book(3).with_columns(policy_id=pl.Series(["", None, "P9"]))
    priced = price_renewals(due, RenewalRules(discounts=HUOLI)).collect()
    assert priced["set_aside"].to_list() == ["no_policy_id", "no_policy_id", None]
    with pytest.raises(InputError, match="most_rise and most_fall ask for it"):
        price_renewals(due.drop("premium_before"), RenewalRules(discounts=HUOLI, most_rise=0.1))


def test_rows_without_a_number_are_no_policy_twice_and_a_huge_change_is_a_number():
    due = book(6).with_columns(
        policy_id=pl.Series(["", "", None, None, "P8", "P7"]), health_group=pl.lit("G0"),
        standard_premium=pl.Series([100.0] * 5 + [90_000.0]), premium_before=pl.Series([100.0] * 5 + [0.01]),
    )  # fmt: skip
    rules = RenewalRules(discounts=HUOLI)
    ledger = ledger_of(price_renewals(due, rules), rules)
    assert ledger.frames["set_aside"].rows() == [("no_policy_id", 4)]
    assert ledger.frames["change"]["change_95"][-1] == pytest.approx(90_000 / 0.01 - 1)


def test_twice_the_same_policy_is_refused_and_nothing_is_written(tmp_path):
    due = pl.concat([book(10), book(3)])
    with pytest.raises(InputError, match=r"3 policies stand more than once .*P00000"):
        renew(due, RenewalRules(discounts=HUOLI), tmp_path / "out.parquet")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (pl.DataFrame({"policy_id": ["a"]}), "'health_group' is not a column"),
        (book(2).with_columns(standard_premium=pl.lit("1800")), "not a number"),
        (book(2).with_columns(consent=pl.lit("yes")), "not yes or no"),
        (book(2).with_columns(premium=pl.lit(1.0)), "a column of the trace"),
    ],
)
def test_renewals_that_cannot_be_priced(frame, said):
    with pytest.raises(InputError, match=said):
        price_renewals(frame, RenewalRules(discounts=HUOLI))


def test_empty_and_all_bad_are_refused():
    rules = RenewalRules(discounts=HUOLI)
    for due in (
        book(2).clear(),
        book(2).with_columns(standard_premium=pl.lit(None, dtype=pl.Float64)),
    ):
        with pytest.raises(InputError, match="can be priced"):
            ledger_of(price_renewals(due, rules), rules)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"discounts": {}}, "there is no group"),
        ({"discounts": {"G0": 0.05}}, "it has none"),
        ({"discounts": {"G0": 0.0, "G1": float("nan")}}, "outside"),
        ({"discounts": HUOLI, "adjustment": -1.0}, "above −1"),
        ({"discounts": HUOLI, "adjustment": {"a": 0.1}}, "go together"),
        ({"discounts": HUOLI, "most_rise": -0.1}, "zero or more"),
        ({"discounts": HUOLI, "decimals": 3}, "decimals"),
        ({"discounts": HUOLI, "cap": 1.2}, "between 0 and 1"),
    ],
)
def test_rules_that_cannot_be(wrong, said):
    with pytest.raises(InputError, match=said):
        RenewalRules(**wrong)


def gate(change, loss_ratio):
    return check_rate_adjustment(
        Product(kind="medical", term_years=1, guaranteed_years=20), launch=date(2018, 1, 1), on=date(2025, 7, 1),
        change=change, clause_cap=0.30, loss_ratio=loss_ratio, industry_loss_ratio=0.85, notice_from=date(2025, 5, 1),
    )  # fmt: skip


def test_the_regulators_gate_stands_before_a_rise():
    assert RenewalRules(discounts=HUOLI, adjustment=0.1, gate=gate(0.1, 0.9)).checked
    assert not RenewalRules(discounts=HUOLI, adjustment=0.1).checked
    with pytest.raises(InputError, match="loss_ratio_gate"):
        RenewalRules(discounts=HUOLI, adjustment=0.1, gate=gate(0.1, 0.6))
    with pytest.raises(InputError, match="was asked about"):
        RenewalRules(discounts=HUOLI, adjustment=0.2, gate=gate(0.1, 0.9))


def test_a_premium_of_nothing_or_beyond_exact_fen_has_no_price():
    """0.001 was priced at nothing, and 1e17 beyond what a float counts in fen."""
    due = pl.DataFrame(
        {
            "policy_id": ["a", "b", "c", "d"], "health_group": ["G0"] * 4,
            "standard_premium": [0.001, 1e17, 0.01, 1e11],
        }
    )  # fmt: skip
    priced = price_renewals(due, RenewalRules(discounts={"G0": 0.0})).collect()
    assert priced["set_aside"].to_list() == ["no_standard_premium"] * 2 + [None] * 2
    assert priced["premium"].to_list() == [None, None, 0.01, 1e11]


def test_totals_are_whole_fen():
    """5,049,893,030 fen times 1/100 is 50,498,930.300000004."""
    due = pl.DataFrame(
        {
            "policy_id": ["a", "b", "c"], "health_group": ["G0", "G0", "G1"],
            "standard_premium": [5e7, 498930.3, 100.0],
        }
    )  # fmt: skip
    rules = RenewalRules(discounts={"G0": 0.0, "G1": 0.1})
    table = ledger_of(price_renewals(due, rules), rules).table
    assert table["premium"].to_list() == [50498930.3, 90.0, 50499020.3]


@pytest.mark.parametrize(("rules", "said"), [
    ({"discounts": {"G0": 0.0, "all": 0.1}}, "the ledger's own total"),
    ({"discounts": {0: 0.0, 1: 0.1}}, "0 is no text"),
    ({"discounts": [0.0, 0.1]}, "is no mapping"),
    ({"discounts": {"G0": 0.0}, "adjustment": {"a": 0.1}, "adjusted_by": 5}, "is no column's name"),
])  # fmt: skip
def test_names_that_cannot_be_looked_up_are_refused(rules, said):
    with pytest.raises(InputError, match=said):
        RenewalRules(**rules)


def test_what_is_no_frame_or_rules_is_refused():
    with pytest.raises(InputError, match="renewals due are a str"):
        price_renewals("due.parquet", RenewalRules(discounts={"G0": 0.0}))
    with pytest.raises(InputError, match="rules are a NoneType"):
        price_renewals(pl.DataFrame(), None)
