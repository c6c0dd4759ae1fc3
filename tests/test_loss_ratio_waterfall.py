"""The waterfall adds up to the cent, knows no order, and gives each cause what is its own."""

from datetime import date
from decimal import Decimal
from itertools import permutations
from math import fsum

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.errors import InputError
from pricing.loss_ratio.waterfall import STEPS, Waterfall, waterfall
from pricing.premium.on_level import on_level
from pricing.result.shape import Result
from pricing.result.words import label, level_label

NAMES = (
    "exposure", "standard_premium", "standard_at_current_level", "premium",
    "claims", "amount_capped", "amount_excess", "completion",
)  # fmt: skip


def year(*rows):
    """A year from (tier, exposure, rate level, standard per exposure, discount, f, m, x, d)."""
    out = []
    for tier, e, level, common, discount, f, m, x, d in rows:
        standard = e * common * level
        claims = e * f
        out.append(
            (tier, e, standard, e * common, standard * (1 - discount), claims, claims * m, e * x, d)
        )
    return pl.DataFrame(
        out, schema={"tier": pl.String, **dict.fromkeys(NAMES, pl.Float64)}, orient="row"
    )


LAST = year(
    ("basic", 1000.0, 1.0, 800.0, 0.05, 0.2, 2000.0, 50.0, 1.02),
    ("premium", 400.0, 1.0, 1500.0, 0.0, 0.25, 3000.0, 90.0, 1.05),
)


def steps(found):
    return dict(zip(found.table["step"].to_list(), found.table["points"].to_list(), strict=True))


def adds_up(found):
    facts, t = found.facts, found.table
    change = facts["after"] - facts["before"]
    assert fsum(t["points"].to_list()) / 100 == pytest.approx(change, rel=1e-10, abs=1e-12)
    assert abs(facts["remainder"]) < 1e-12 * max(1, facts["before"], facts["after"])
    for effect, what in (("claims_effect", "claims"), ("premium_effect", "premium")):
        cents = [Decimal(str(v)) for v in t[effect].to_list()]
        assert all(c == round(c, 2) for c in cents)
        assert sum(cents) == Decimal(str(facts[f"{what}_after"])) - Decimal(
            str(facts[f"{what}_before"])
        )
    assert t["loss_ratio"][0] == facts["before"]
    assert t["loss_ratio"][-1] == facts["after"]
    assert facts["before"] == pytest.approx(ratio(found, "last_year"), rel=1e-12)
    assert facts["after"] == pytest.approx(ratio(found, "this_year"), rel=1e-12)


def ratio(found, when):
    part = found.frames["segments"].filter(pl.col("step") == when)
    return part["claims_cost"].sum() / part["premium"].sum()


SEGMENT = st.tuples(
    st.floats(0.1, 1e5), st.floats(0.5, 2), st.floats(10, 5000), st.floats(0, 0.8),
    st.just(0.0) | st.floats(0, 3), st.floats(0, 1e5), st.just(0.0) | st.floats(0, 1e3),
    st.floats(0.5, 3),
)  # fmt: skip
YEAR = st.dictionaries(st.sampled_from(["基础档", "b", "c"]), SEGMENT, min_size=1, max_size=3)


@settings(max_examples=80, deadline=None)
@given(YEAR, YEAR)
def test_the_steps_add_up_whatever_the_years(one, two):
    """Zero claims, no discount, segments of one year only, all years' segments strange to the other."""
    found = waterfall(
        year(*((k, *v) for k, v in one.items())),
        year(*((k, *v) for k, v in two.items())),
        by="tier",
    )
    adds_up(found)
    assert not found.table["points"].is_nan().any()
    back = waterfall(
        year(*((k, *v) for k, v in two.items())),
        year(*((k, *v) for k, v in one.items())),
        by="tier",
    )
    scale = max(1.0, found.facts["before"], found.facts["after"]) * 100
    for there, here in zip(found.table["points"], back.table["points"], strict=True):
        assert there == pytest.approx(-here, rel=1e-6, abs=1e-7 * scale)  # the way back is the way


CHANGES = {
    "rate_change": {"standard_premium": 1.1, "premium": 1.1},
    "discount_change": {"premium": 0.9},
    "frequency_trend": {"claims": 1.2, "amount_capped": 1.2},
    "severity_trend": {"amount_capped": 1.3},
    "large_claims_change": {"amount_excess": 0.4},
    "completion_change": {"completion": 1.04},
    "volume": dict.fromkeys(NAMES[:-1], 3.0),
}


@pytest.mark.parametrize("step", CHANGES)
def test_a_cause_that_moves_alone_takes_the_whole_change(step):
    this = LAST.with_columns(pl.col(c) * by for c, by in CHANGES[step].items())
    found = waterfall(LAST, this, by=["tier"])
    adds_up(found)
    others = {k: v for k, v in steps(found).items() if k != step}
    assert list(others.values()) == pytest.approx([0.0] * len(others), abs=1e-9)
    assert steps(found)[step] == pytest.approx(found.facts["change_points"], abs=1e-9)
    if step == "volume":
        assert found.facts["change_points"] == pytest.approx(0, abs=1e-9)
        assert found.table.filter(pl.col("step") == "volume")["premium_effect"].item() == (
            pytest.approx(2 * LAST["premium"].sum(), abs=0.01)
        )
    else:
        assert found.facts["largest"] == step


def test_mix_is_segments_moving_and_nothing_else():
    grow = pl.when(pl.col("tier") == "premium").then(2.0).otherwise(1.0)
    this = LAST.with_columns(pl.col(NAMES[:-1]) * grow)
    found = waterfall(LAST, this, by="tier")
    assert found.facts["largest"] == "mix_change"
    assert steps(found)["mix_change"] == pytest.approx(found.facts["change_points"], abs=1e-9)


def test_a_segment_of_one_year_is_mix():
    new = year(("new", 300.0, 1.0, 900.0, 0.1, 0.4, 2500.0, 10.0, 1.1))
    for one, two in ((LAST, pl.concat([LAST, new])), (pl.concat([LAST, new]), LAST)):
        found = waterfall(one, two, by="tier")
        adds_up(found)
        moved = {k for k, v in steps(found).items() if abs(v) > 1e-9}
        assert moved == {"mix_change"}


def test_no_claims_at_all_in_one_year():
    none = LAST.with_columns(claims=0.0, amount_capped=0.0, amount_excess=0.0)
    found = waterfall(none, LAST, by="tier")
    adds_up(found)
    moved = {k for k, v in steps(found).items() if abs(v) > 1e-9}
    assert moved == {"frequency_trend", "large_claims_change"}
    adds_up(waterfall(none, none, by="tier"))


def this_year():
    return year(
        ("basic", 1200.0, 1.06, 790.0, 0.08, 0.22, 2100.0, 80.0, 1.04),
        ("premium", 300.0, 1.06, 1600.0, 0.02, 0.21, 3100.0, 40.0, 1.01),
    )


def test_it_is_the_mean_over_all_orders():
    """Shapley's value by its definition, over every order in which the causes can go."""
    this = this_year()

    def letters(frame):
        c = {n: frame[n].to_numpy() for n in NAMES}
        e = c["exposure"]
        return {
            "rate_change": c["standard_premium"] / c["standard_at_current_level"],
            "discount_change": c["premium"] / c["standard_premium"],
            "mix_change": (e / e.sum(), c["standard_at_current_level"] / e),
            "frequency_trend": c["claims"] / e,
            "severity_trend": c["amount_capped"] / c["claims"],
            "large_claims_change": c["amount_excess"] / e,
            "completion_change": c["completion"],
        }

    def value(v):
        share, common = v["mix_change"]
        cost = v["frequency_trend"] * v["severity_trend"] + v["large_claims_change"]
        price = common * v["rate_change"] * v["discount_change"]
        return np.sum(share * cost * v["completion_change"]) / np.sum(share * price)

    old, new = letters(LAST), letters(this)
    known, total = {}, dict.fromkeys(STEPS[1:], 0.0)
    orders = list(permutations(STEPS[1:]))
    for order in orders:
        gone = frozenset()
        for cause in order:
            after = gone | {cause}
            for state in (gone, after):
                if state not in known:
                    known[state] = value({k: (new if k in state else old)[k] for k in old})
            total[cause] += known[after] - known[gone]
            gone = after
    found = steps(waterfall(LAST, this, by="tier"))
    for cause, sum_ in total.items():
        assert found[cause] / 100 == pytest.approx(sum_ / len(orders), rel=1e-9, abs=1e-12), cause


def test_order_splitting_units_and_types():
    this = this_year()
    found = waterfall(LAST, this, by="tier").table
    sums = pl.col(NAMES[:-1])
    halves = pl.concat([this.with_columns(sums / 2)] * 2)
    typed = pl.col("tier").cast(pl.Enum(["basic", "premium", "unsold"]))
    others = [
        waterfall(LAST.reverse(), this.sample(fraction=1, shuffle=True, seed=1), by="tier"),
        waterfall(LAST, halves, by=["tier"]),
        waterfall(LAST.with_columns(typed), this.with_columns(typed), by="tier"),
        waterfall(LAST, this.with_columns(pl.col("premium").cast(pl.Decimal(20, 6))), by="tier"),
    ]
    for other in others:
        assert other.table["points"].to_list() == pytest.approx(found["points"].to_list(), abs=1e-8)
        assert other.table["claims_effect"].to_list() == pytest.approx(
            found["claims_effect"].to_list(), abs=0.011
        )
    money = pl.col(*NAMES[1:4], *NAMES[5:7]) / 7.1
    abroad = waterfall(LAST.with_columns(money), this.with_columns(money), by="tier").table
    assert abroad["points"].to_list() == pytest.approx(found["points"].to_list(), abs=1e-9)


def test_a_segment_cut_in_two_alike_ones_changes_nothing():
    def halved(frame):
        half = frame.with_columns(pl.col(NAMES[:-1]) / 2)
        return pl.concat([half, half.with_columns(tier=pl.col("tier") + " 2")])

    found = waterfall(LAST, this_year(), by="tier").table["points"].to_list()
    again = waterfall(halved(LAST), halved(this_year()), by="tier").table["points"].to_list()
    assert again == pytest.approx(found, abs=1e-9)


@pytest.mark.parametrize(("change", "said"), [
    ({"exposure": 0.0}, "before: segments that have no loss ratio"),
    ({"premium": 0.0}, "2 segments have exposure without premium"),
    ({"claims": 0.0}, "2 segments have a capped amount without claims, such as basic, premium"),
    ({"claims": -1.0}, "'claims' is null, negative or not finite in 2 of 2"),
    ({"amount_capped": float("nan")}, "'amount_capped' is null, negative or not finite"),
    ({"amount_excess": None}, "'amount_excess' is Null, not a number"),
    ({"completion": 0.0}, "'completion' is null, not finite or not above zero in 2 of 2"),
    ({"completion": float("inf")}, "'completion' is null, not finite"),
    ({"premium": "x"}, "'premium' is String, not a number"),
    ({"tier": None}, "segment 'tier' is null in 2 of 2"),
])  # fmt: skip
def test_years_that_are_refused(change, said):
    wrong = LAST.with_columns(**{k: pl.lit(v) for k, v in change.items()})
    with pytest.raises(InputError, match=said):
        waterfall(wrong, LAST, by="tier")
    with pytest.raises(InputError, match="after"):
        waterfall(LAST, wrong, by="tier")


def test_columns_and_rows_that_are_not_there():
    with pytest.raises(InputError, match="'amount_capped' is missing; did you mean"):
        waterfall(LAST.rename({"amount_capped": "amount_caped"}), LAST, by="tier")
    with pytest.raises(InputError, match="'teir' is missing; did you mean 'tier'"):
        waterfall(LAST, LAST, by="teir")
    with pytest.raises(InputError, match="no segment column"):
        waterfall(LAST, LAST, by=[])
    with pytest.raises(InputError, match="there is no exposure"):
        waterfall(LAST.clear(), LAST, by="tier")
    with pytest.raises(InputError, match="segment 'claims' has the name"):
        waterfall(LAST, LAST, by="claims")


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_waterfall_speaks_draws_and_is_kept(lang, tmp_path):
    found = waterfall(LAST, this_year(), by="tier")
    assert level_label(found.facts["largest"], lang) in found.finding(lang)
    trace = found.figure(lang).data[0]
    assert trace.type == "waterfall"
    assert list(trace.measure) == ["absolute", *["relative"] * 7, "total"]
    assert sum(trace.y[:-1]) == pytest.approx(trace.y[-1], rel=1e-12)
    assert trace.x[0].replace("<br>", " ") == level_label("last_year", lang)
    found.save(tmp_path / "w")
    again = Result.load(tmp_path / "w")
    assert isinstance(again, Waterfall)
    assert again.table.equals(found.table)
    assert again.figure(lang).to_json() == found.figure(lang).to_json()
    for column in (*found.table.columns, *found.frames["segments"].columns):
        assert label(column, "zh") != column
    for step in found.table["step"]:
        assert level_label(step, "zh") != step


def test_premium_at_current_level_feeds_it():
    """The columns of on_level are those the waterfall reads; a rate change is then told from mix."""
    days = pl.date_range(date(2021, 1, 1), date(2024, 1, 1), "1d", closed="left", eager=True)
    rate = pl.when(pl.col("start") >= date(2022, 7, 1)).then(1.1).otherwise(1.0)
    terms = (
        pl.DataFrame({"start": days})
        .with_columns(end=pl.col("start").dt.offset_by("1y"), standard_premium=1000 * rate)
        .with_columns(premium=0.9 * pl.col("standard_premium"), tier=pl.lit("basic"))
    )
    changes = pl.DataFrame({"day": [date(2022, 7, 1)], "change": [0.1]})
    levelled = on_level(
        terms, changes, valuation=date(2023, 12, 31), grain="year", by=["tier"]
    ).table
    years = levelled.rename({"earned": "premium"}).with_columns(
        claims=0.3 * pl.col("exposure"),
        amount_capped=600 * pl.col("exposure"),
        amount_excess=pl.lit(0.0),
        completion=pl.lit(1.02),
    )
    found = waterfall(
        *(years.filter(pl.col("period") == date(y, 1, 1)) for y in (2022, 2023)), by="tier"
    )
    adds_up(found)
    assert {k for k, v in steps(found).items() if abs(v) > 1e-6} == {"rate_change"}
    assert found.facts["change_points"] < -3
