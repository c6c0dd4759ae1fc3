"""The regulator's rules: dated data, and checks that name the number and the article."""

from __future__ import annotations

import inspect
from datetime import date, datetime
from pathlib import Path

import polars as pl
import pytest

from pricing.data.tables import bundled
from pricing.errors import InputError
from pricing.regulation.check import Check, at_least, at_most
from pricing.regulation.ibnr import METHODS, check_ibnr
from pricing.regulation.loading import check_loading, check_medical_inflation, check_net_premium
from pricing.regulation.loss_ratio import comprehensive_loss_ratio, gate_loss_ratio
from pricing.regulation.minimum_loss_ratio import check_minimum_loss_ratio
from pricing.regulation.policy_terms import check_policy_terms
from pricing.regulation.product import Product
from pricing.regulation.rate_adjustment import anniversary, check_rate_adjustment
from pricing.regulation.rule import read_rules, rules_markdown
from pricing.regulation.service_cost import check_service_cost
from pricing.result.shape import Result
from pricing.result.words import LANGUAGES, catalogue

PAGE = Path(__file__).parents[1] / "docs" / "regulation.md"
MILLION = Product(kind="medical", term_years=1, guaranteed_years=20)
NAN, INF = float("nan"), float("inf")
TODAY = date(2024, 1, 1)


def gate(product=MILLION, **given):
    said = {
        "launch": date(2020, 5, 1),
        "on": TODAY,
        "change": 0.10,
        "clause_cap": 0.30,
        "loss_ratio": 0.90,
        "industry_loss_ratio": 0.95,
        "notice_from": date(2023, 11, 1),
    }
    return check_rate_adjustment(product, **(said | given))


def verdict(check, condition):
    return check.table.filter(condition=condition)["verdict"].item()


# -- rules as data ----------------------------------------------------------------------------------


def test_every_rule_has_its_text_in_both_languages_and_its_source():
    rules = read_rules().rules
    assert len({(rule.id, rule.start) for rule in rules}) == len(rules) > 10
    for rule in rules:
        assert all((rule.title_en, rule.title_zh, rule.scope_en, rule.scope_zh, rule.source))
        assert any("一" <= letter <= "鿿" for letter in rule.title_zh + rule.scope_zh), rule.id


def test_another_book_of_rules_is_obeyed(tmp_path):
    text = bundled("rules/china_health.toml").read_text(encoding="utf-8")
    for old, new in (
        ("loss_ratio = 0.85 ", "loss_ratio = 0.60 "),
        ("first_years = 3 ", "first_years = 5 "),
        ("notice_days = 30 ", "notice_days = 90 "),
        ("cap = 0.20 ", "cap = 0.10 "),
        ("individual_regular = 0.35", "individual_regular = 0.30"),
        ("least = 0.03", "least = 0.05"),
        ("cumulative = 0.65 ", "cumulative = 0.50 "),
    ):
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "rules.toml").write_text(text, encoding="utf-8")
    book = read_rules(tmp_path / "rules.toml")
    found = gate(loss_ratio=0.70, industry_loss_ratio=0.85, rules=book)
    assert verdict(found, "loss_ratio_gate") == "pass"
    assert verdict(found, "first_adjustment") == "fail"
    assert verdict(found, "notice") == "fail"
    bands = pl.DataFrame({"age_band": ["a"], "gross_premium": [500.0], "service_cost": [40.0]})
    assert not check_service_cost(bands, loading=0.35, on=TODAY, rules=book).ok
    long = Product(kind="medical", term_years=5)
    assert not check_loading(long, loading=0.32, payment="regular", on=TODAY, rules=book).ok
    assert not check_medical_inflation(0.04, product=long, on=TODAY, rules=book).ok


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[[rule]]", "[[rules]]", "not a file of rules"),
        ('title_en = "Medical inflation in reserves"\n', "", "lacks 'title_en'"),
        ("to = 2020-09-06", "to = 2019-09-06", "not after its start"),
        ("to = 2020-09-06", "to = 2021-09-06", "overlaps"),
        ("to = 2020-09-06\n", "", "overlaps"),
        ("from = 2023-08-01", 'from = "2023"', "is no date"),
        ("cap = 0.20", 'cap = "0.20"', "no number of zero or more"),
        ("cap = 0.20", "cap = nan", "no number of zero or more"),
        ("article = ", "artcle = ", "unknown field 'artcle'; did you mean 'article'"),
        ('from_known = "year"', 'from_known = "guess"', "one of stated, issued, year"),
    ],
)
def test_a_broken_file_of_rules_is_refused_with_every_fault(tmp_path, old, new, said):
    text = bundled("rules/china_health.toml").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "rules.toml").write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(InputError, match=said):
        read_rules(tmp_path / "rules.toml")


def test_a_file_that_is_not_there_and_a_rule_that_is_not_known(tmp_path):
    with pytest.raises(InputError, match="not a file of rules"):
        read_rules(tmp_path / "none.toml")
    with pytest.raises(InputError, match="did you mean 'service_cost'"):
        read_rules().rule("service_costs", TODAY)


def test_the_version_in_force_is_taken_to_the_day():
    book = read_rules()
    assert book.rule("service_cost", date(2019, 11, 30)) is None
    assert book.rule("service_cost", date(2019, 12, 1)).article == "57"
    assert book.rule("service_cost", date(2020, 9, 5)).article == "57"
    assert "83" in book.rule("service_cost", date(2020, 9, 6)).document
    assert book.table().height == len(book.rules)


def test_the_page_is_that_of_the_data():
    written = PAGE.read_text(encoding="utf-8") if PAGE.is_file() else ""
    if written != rules_markdown():
        pytest.fail(
            "docs/regulation.md is not what the rules say; rewrite it:\n"
            '.venv/bin/python -c "from pathlib import Path; '
            "from pricing.regulation.rule import rules_markdown as page; "
            "Path('docs/regulation.md').write_text(page(), encoding='utf-8')\""
        )
    for rule in read_rules().rules:
        assert f"| `{rule.id}` |" in written
        assert all(f"{name} {value:g}" in written for name, value in rule.numbers.items())
    assert {line.count("|") for line in written.splitlines() if line.startswith("|")} == {7}


# -- the gate ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "industry", "allowed"),
    [
        (0.80, 0.85, True),
        (0.70, 0.85, False),
        (0.84, 0.95, False),
        (0.84, 0.94, False),
        (0.86, 0.99, True),
        (0.85, 0.95, True),
    ],
)
def test_the_six_cases_of_the_gate(own, industry, allowed):
    assert gate(loss_ratio=own, industry_loss_ratio=industry).ok is allowed
    shift = 1e-14  # what a division leaves behind decides nothing
    for a in (-shift, shift):
        for b in (-shift, shift):
            assert gate(loss_ratio=own + a, industry_loss_ratio=industry + b).ok is allowed


def test_the_gap_of_ten_points_is_inclusive_for_every_pair_in_floating_point():
    naive_wrong = 0
    for i in range(0, 85):
        own, industry = i / 100, (i + 10) / 100
        assert verdict(gate(loss_ratio=own, industry_loss_ratio=industry), "loss_ratio_gate") == (
            "fail"
        )
        just = gate(loss_ratio=own, industry_loss_ratio=industry - 1e-6)
        assert verdict(just, "loss_ratio_gate") == "pass"
        naive_wrong += not own <= industry - 0.10
    assert naive_wrong > 0  # plain comparison gets some of them wrong


def test_a_loss_ratio_from_the_formula_goes_into_the_gate():
    ratio = gate_loss_ratio(
        claims_paid=60,
        outstanding_opening=10,
        outstanding_closing=15,
        premium=100,
        unearned_opening=40,
        unearned_closing=50,
    ).ratio
    assert ratio == pytest.approx(65 / 90, rel=1e-15)
    assert not gate(loss_ratio=ratio, industry_loss_ratio=0.90).ok
    assert gate(loss_ratio=ratio, industry_loss_ratio=0.80).ok


@pytest.mark.parametrize(
    ("given", "condition"),
    [
        ({"launch": date(2021, 1, 2)}, "first_adjustment"),
        ({"last_adjustment": date(2023, 1, 2)}, "interval"),
        ({"notice_from": date(2023, 12, 3)}, "notice"),
        ({"change": 0.31}, "clause_cap"),
        ({"mass_dispute": True}, "mass_dispute"),
        ({"regulator_order": True}, "regulator_order"),
        ({"individual": True}, "individual_condition"),
        (
            {
                "change": {"a": 0.1, "b": 0.2},
                "groups_by": ["health_group"],
                "pricing_groups_by": ["age_band", "health_group"],
            },
            "grouping",
        ),
    ],
)
def test_each_condition_fails_alone_and_at_its_line_holds(given, condition):
    found = gate(**given)
    assert found.table.filter(verdict="fail")["condition"].to_list() == [condition]
    assert found.verdict == "fail"
    assert found.ok is False


def test_on_the_very_day_every_date_holds():
    found = gate(
        launch=date(2021, 1, 1), last_adjustment=date(2023, 1, 1), notice_from=date(2023, 12, 2)
    )
    assert found.verdict == "pass"
    assert found.facts["earliest"] == "2024-01-01"
    assert gate(change=0.3).ok
    assert gate(change=0.1 + 0.2, clause_cap=0.3).ok  # 0.30000000000000004


@pytest.mark.parametrize(
    ("launch", "first"),
    [
        (date(2020, 2, 29), date(2023, 3, 1)),
        (date(2020, 3, 1), date(2023, 3, 1)),
        (date(2021, 2, 28), date(2024, 2, 28)),
        (date(2020, 12, 31), date(2023, 12, 31)),
    ],
)
def test_three_years_go_by_the_calendar(launch, first):
    assert anniversary(launch, 3) == first
    notice = date(2022, 1, 1)
    before = date.fromordinal(first.toordinal() - 1)
    assert verdict(gate(launch=launch, on=first, notice_from=notice), "first_adjustment") == "pass"
    assert verdict(gate(launch=launch, on=before, notice_from=notice), "first_adjustment") == "fail"


def test_groups_as_in_pricing_may_differ():
    by = {
        "groups_by": ["health_group", "age_band"],
        "pricing_groups_by": ["age_band", "health_group"],
    }
    found = gate(change={"good": 0.05, "poor": 0.25}, **by)
    assert found.verdict == "pass"
    row = found.table.filter(condition="clause_cap").row(0, named=True)
    assert (row["segment"], row["value"], row["threshold"]) == ("poor", 0.25, 0.3)
    assert not gate(change={"good": 0.05, "poor": 0.35}, **by).ok
    with pytest.raises(InputError, match="groups_by and pricing_groups_by"):
        gate(change={"good": 0.05, "poor": 0.25})


def test_a_reduction_is_not_barred_by_a_low_loss_ratio_but_by_the_dates():
    found = gate(change=-0.1, loss_ratio=0.2, industry_loss_ratio=0.9, mass_dispute=True)
    assert found.verdict == "pass"
    assert verdict(found, "loss_ratio_gate") == "not_applicable"
    assert not gate(change=-0.1, launch=date(2022, 1, 1)).ok


@pytest.mark.parametrize(
    "product",
    [
        Product(kind="medical", term_years=1),
        Product(kind="illness", term_years=20),
        Product(kind="medical", term_years=20, natural_rate=False),
        Product(kind="care", term_years=5),
    ],
)
def test_outside_its_scope_the_gate_does_not_apply(product):
    found = gate(product, loss_ratio=0.2)
    assert found.verdict == "not_applicable"
    assert set(found.table["verdict"]) == {"not_applicable"}
    assert "outside the rule's scope" in found.finding("en")
    assert "适用范围" in found.finding("zh")


def test_before_it_was_in_force_the_gate_does_not_apply():
    dates = {"launch": date(2015, 1, 1), "notice_from": date(2019, 1, 1)}
    found = gate(on=date(2020, 3, 24), loss_ratio=0.2, **dates)
    assert (found.verdict, found.facts["reason"]) == ("not_applicable", "not_in_force")
    assert gate(on=date(2020, 3, 25), loss_ratio=0.2, **dates).verdict == "fail"


def test_the_industry_average_is_asked_for_only_where_it_decides():
    assert gate(loss_ratio=0.85, industry_loss_ratio=None).verdict == "pass"
    with pytest.raises(InputError, match="so the industry's average decides"):
        gate(loss_ratio=0.84, industry_loss_ratio=None)
    with pytest.raises(InputError, match="nothing to draw"):
        gate(loss_ratio=0.85, industry_loss_ratio=None).figure()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"loss_ratio": NAN}, "the loss ratio is a fraction of zero or more, got nan"),
        ({"loss_ratio": -0.1}, "got -0.1"),
        ({"industry_loss_ratio": INF}, "industry's loss ratio"),
        ({"clause_cap": -0.3}, "clause's cap"),
        ({"change": -1.0}, "fraction above −1"),
        ({"change": NAN}, "fraction above −1"),
        ({"change": {}}, "fraction above −1"),
        ({"on": date(2020, 4, 30)}, "dates the wrong way round"),
        ({"last_adjustment": date(2020, 4, 30)}, "last_adjustment .* lies before launch"),
        ({"last_adjustment": date(2024, 1, 2)}, "on .* lies before last_adjustment"),
        ({"notice_from": date(2024, 1, 2)}, "on .* lies before notice_from"),
        ({"loss_ratio": "84 %"}, "got '84 %'"),
        ({"loss_ratio": None}, "got None"),
        ({"loss_ratio": True}, "got True"),
        ({"change": "10 %"}, "all: '10 %'"),
        ({"launch": "2020-05-01"}, "launch is no date"),
        ({"on": datetime(2024, 1, 1)}, "on is no date"),
    ],
)
def test_the_gate_refuses_what_cannot_be(given, said):
    with pytest.raises(InputError, match=said):
        gate(**given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"kind": "medcal"}, "did you mean 'medical'"),
        ({"term_years": 0}, "above zero"),
        ({"term_years": NAN}, "above zero"),
        ({"guaranteed_years": -1}, "zero or more"),
    ],
)
def test_a_product_that_cannot_be_is_refused(given, said):
    with pytest.raises(InputError, match=said):
        Product(**({"kind": "medical", "term_years": 1} | given))


# -- loss ratios ------------------------------------------------------------------------------------


def test_loss_ratios_add_up_from_their_items_in_any_unit():
    items = {
        "claims_paid": 60.0,
        "outstanding_opening": 10.0,
        "outstanding_closing": 15.0,
        "premium": 100.0,
        "unearned_opening": 40.0,
        "unearned_closing": 50.0,
    }
    found = gate_loss_ratio(**items)
    sums = dict(found.table.group_by("part").agg(pl.col("amount").sum()).iter_rows())
    assert sums == {"incurred": 65.0, "earned": 90.0}
    assert "72.22%" in found.finding("en")
    assert "72.22%" in found.finding("zh")
    cents = gate_loss_ratio(**{name: 100 * value for name, value in items.items()})
    assert cents.ratio == pytest.approx(found.ratio, rel=1e-15)


def test_the_comprehensive_loss_ratio_holds_its_ibnr():
    items = {
        "claims_paid": 50.0,
        "outstanding_opening": 8.0,
        "outstanding_closing": 10.0,
        "ibnr_opening": 5.0,
        "ibnr_closing": 9.0,
        "earned_premium": 100.0,
    }
    assert comprehensive_loss_ratio(**items).ratio == pytest.approx(0.56)
    assert comprehensive_loss_ratio(**items | {"ibnr_closing": 5.0}).ratio == pytest.approx(0.52)
    with pytest.raises(InputError, match="not in force on 2020-12-31"):
        comprehensive_loss_ratio(**items, on=date(2020, 12, 31))
    for bad in (NAN, -1.0, INF):
        for name in items:
            with pytest.raises(InputError, match=f"{name} is an amount of zero or more"):
                comprehensive_loss_ratio(**items | {name: bad})
    with pytest.raises(InputError, match="earned premium is not above zero"):
        comprehensive_loss_ratio(**items | {"earned_premium": 0.0})


def test_an_earned_premium_of_zero_or_less_is_refused():
    with pytest.raises(InputError, match=r"not above zero: -10\.00"):
        gate_loss_ratio(
            claims_paid=1,
            outstanding_opening=0,
            outstanding_closing=0,
            premium=0,
            unearned_opening=40,
            unearned_closing=50,
        )


# -- caps -------------------------------------------------------------------------------------------


def bands(**given):
    said = {"age_band": ["30-39", "60-69"], "gross_premium": [500.0, 2000.0]}
    return pl.DataFrame(said | {"service_cost": [65.0, 260.0]} | given)


def test_the_service_cap_is_on_the_net_premium_band_by_band():
    found = check_service_cost(bands(), loading=0.35, on=TODAY)
    assert found.verdict == "pass"
    assert found.frames["bands"]["cap_amount"].to_list() == pytest.approx([65.0, 260.0])
    assert found.frames["bands"]["net_premium"].to_list() == pytest.approx([325.0, 1300.0])
    over = check_service_cost(bands(service_cost=[66.0, 100.0]), loading=0.35, on=TODAY)
    assert over.table["verdict"].to_list() == ["fail", "pass"]  # though the sum is far below
    assert over.frames["bands"]["priced_apart"].to_list() == pytest.approx([1.0, 0.0])
    assert "30-39" in over.finding("en")
    by_column = check_service_cost(
        bands(service_cost=[66.0, 100.0], rate=[0.30, 0.35]), loading="rate", on=TODAY
    )
    assert by_column.verdict == "pass"  # 20 % of 350 is 70


def test_the_service_cap_by_date_and_the_pilot():
    assert check_service_cost(bands(), loading=0.5, on=date(2019, 11, 30)).verdict == (
        "not_applicable"
    )
    early = check_service_cost(bands(), loading=0.5, on=date(2020, 1, 1))
    assert "art. 57" in early.table["article"][0]
    assert "第57条" in early.finding("zh")
    much = bands(service_cost=[80.0, 300.0])
    assert check_service_cost(much, loading=0.35, on=date(2025, 9, 30), pilot_cap=0.25).ok
    with pytest.raises(InputError, match="the pilot began on 2025-09-30"):
        check_service_cost(much, loading=0.35, on=date(2025, 9, 29), pilot_cap=0.25)
    with pytest.raises(InputError, match="raises the cap"):
        check_service_cost(much, loading=0.35, on=date(2026, 1, 1), pilot_cap=0.1)


@pytest.mark.parametrize(
    ("frame", "loading", "said"),
    [
        (bands().drop("service_cost"), 0.35, "column"),
        (bands().clear(), 0.35, "there are none"),
        (bands(gross_premium=[0.0, 1.0]), 0.35, "1 gross premiums are not above zero"),
        (bands(gross_premium=[NAN, INF]), 0.35, "2 gross premiums are not above zero"),
        (bands(service_cost=[-1.0, None]), 0.35, "2 service costs are not zero or more"),
        (bands(age_band=["a", "a"]), 0.35, "stands twice"),
        (bands(age_band=["a", None]), 0.35, "missing"),
        (bands(rate=[1.0, 0.2]), "rate", "1 loadings are not zero or more and below 1"),
        (bands(), "rate", "missing"),
        (bands(), 1.0, "loading is a fraction"),
        (bands(), NAN, "loading is a fraction"),
    ],
)
def test_bands_that_cannot_be_checked_are_refused(frame, loading, said):
    with pytest.raises(InputError, match=said):
        check_service_cost(frame, loading=loading, on=TODAY)


@pytest.mark.parametrize(
    ("term", "guaranteed", "group", "payment", "cap"),
    [
        (5, 0, False, "regular", 0.35),
        (5, 0, False, "single", 0.18),
        (5, 0, True, "regular", 0.15),
        (5, 0, True, "single", 0.08),
        (1, 0, False, "regular", 0.35),
        (1, 0, True, "single", 0.25),
        (1, 20, False, "single", 0.35),
        (0.5, 0, True, "regular", 0.25),
    ],
)
def test_loading_caps(term, guaranteed, group, payment, cap):
    product = Product(kind="medical", term_years=term, guaranteed_years=guaranteed, group=group)
    at = check_loading(product, loading=cap, payment=payment, on=TODAY)
    over = check_loading(product, loading=cap + 1e-6, payment=payment, on=TODAY)
    assert (at.verdict, over.verdict) == ("pass", "fail")
    assert at.table["threshold"].item() == cap
    before = check_loading(product, loading=0.9, payment=payment, on=date(2020, 1, 20))
    assert before.verdict == "not_applicable"


def test_loading_and_inflation_refuse_what_cannot_be():
    with pytest.raises(InputError, match="'regular' or 'single'"):
        check_loading(MILLION, loading=0.3, payment="monthly", on=TODAY)
    for bad in (NAN, -0.1, 1.0, 35.0):
        with pytest.raises(InputError, match="the loading is a fraction"):
            check_loading(MILLION, loading=bad, payment="regular", on=TODAY)
    for bad in (NAN, -1.0, INF):
        with pytest.raises(InputError, match="above −1"):
            check_medical_inflation(bad, product=MILLION, on=TODAY)


def test_medical_inflation():
    assert check_medical_inflation(0.03, product=MILLION, on=TODAY).verdict == "pass"
    assert check_medical_inflation(0.0299, product=MILLION, on=TODAY).verdict == "fail"
    illness = Product(kind="illness", term_years=30)
    assert check_medical_inflation(0.0, product=illness, on=TODAY).verdict == "not_applicable"


def test_net_premium_against_a_promised_loss_ratio():
    found = check_net_premium(500, loading=0.35, loss_ratio=0.70, on=TODAY)
    assert found.table.select("value", "threshold", "verdict").row(0) == (325.0, 350.0, "fail")
    assert found.facts["highest_loading"] == pytest.approx(0.30)
    assert check_net_premium(500, loading=0.30, loss_ratio=0.70, on=TODAY).ok
    assert check_net_premium(500, loading=0.35, loss_ratio=0.70, on=TODAY, subsidy=25).ok
    for bad in ({"gross_premium": 0}, {"gross_premium": -1}, {"loading": 1}, {"subsidy": NAN}):
        with pytest.raises(InputError):
            check_net_premium(
                **{"gross_premium": 500, "loading": 0.3, "loss_ratio": 0.7, "on": TODAY} | bad
            )


# -- minimum loss ratios ----------------------------------------------------------------------------

TAX = Product(kind="medical", term_years=1, guaranteed_years=3, tax_favoured=True)


def years(*ratios, assumed=0.8, first=2023):
    n = len(ratios)
    return pl.DataFrame(
        {
            "year": list(range(first, first + n)),
            "claims": [100.0 * r for r in ratios],
            "earned_premium": [100.0] * n,
            "assumed_loss_ratio": [assumed] * n,
        },
        schema_overrides={"claims": pl.Float64},
    )


@pytest.mark.parametrize(
    ("ratios", "each", "total"),
    [
        ((0.63, 0.63, 0.63), "fail", "fail"),
        ((0.64, 0.63, 0.63), "pass", "fail"),  # 64 % is 80 % of 80 %: not below
        ((0.9, 0.63, 0.63), "pass", "pass"),
        ((0.9, 0.63, 0.63, 0.63), "fail", "fail"),  # the last three
        ((0.63, 0.63, 0.63, 0.9), "pass", "pass"),
        ((0.65, 0.65, 0.65), "pass", "pass"),
        ((0.1, 0.1), "not_applicable", "not_applicable"),
    ],
)
def test_minimum_loss_ratios(ratios, each, total):
    found = check_minimum_loss_ratio(years(*ratios), product=TAX, on=date(2027, 1, 1))
    assert found.table["verdict"].to_list() == [each, total]
    assert check_minimum_loss_ratio(
        years(*ratios).reverse(), product=TAX, on=date(2027, 1, 1)
    ).table.equals(found.table)


def test_the_cumulative_test_is_of_the_business():
    low = years(0.1, 0.1, 0.1)
    whole = years(0.7, 0.7, 0.7).drop("assumed_loss_ratio")
    found = check_minimum_loss_ratio(low, product=TAX, on=date(2026, 3, 1), business=whole)
    assert found.table["verdict"].to_list() == ["fail", "pass"]
    alone = check_minimum_loss_ratio(low, product=TAX, on=date(2026, 3, 1))
    assert any("whole business" in note for note in alone.basis.notes)


@pytest.mark.parametrize(
    ("product", "on"),
    [
        (Product(kind="medical", term_years=3), date(2026, 3, 1)),
        (Product(kind="medical", term_years=2, tax_favoured=True), date(2026, 3, 1)),
        (Product(kind="illness", term_years=5, tax_favoured=True), date(2026, 3, 1)),
        (TAX, date(2023, 7, 31)),
    ],
)
def test_minimum_loss_ratios_outside_scope(product, on):
    assert check_minimum_loss_ratio(years(0.1, 0.1, 0.1), product=product, on=on).verdict == (
        "not_applicable"
    )


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (years(0.5).clear(), "none"),
        (years(0.5, 0.5, 0.5).filter(pl.col("year") != 2024), "not consecutive"),
        (pl.concat([years(0.5), years(0.5)]), "not consecutive"),
        (years(0.5, NAN, 0.5), "1 of 3 years have 'claims' not zero or more"),
        (years(0.5, -0.5, 0.5), "'claims'"),
        (years(0.5, 0.5, assumed=0.0), "2 of 2 years have 'assumed_loss_ratio' not above zero"),
        (years(0.5).with_columns(earned_premium=0.0), "'earned_premium' not above zero"),
        (years(0.5).drop("claims"), "missing"),
        (years(0.5).with_columns(year=pl.lit("2023")), "whole numbers"),
    ],
)
def test_years_that_cannot_be_checked_are_refused(frame, said):
    with pytest.raises(InputError, match=said):
        check_minimum_loss_ratio(frame, product=TAX, on=date(2026, 3, 1))


# -- reserves and periods ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("held", "estimates", "years_of_data", "verdicts"),
    [
        (
            110.0,
            {"chain_ladder": 90.0, "average_cost": 110.0},
            3,
            ["pass", "pass", "not_applicable"],
        ),
        (
            109.9,
            {"chain_ladder": 90.0, "average_cost": 110.0},
            3,
            ["pass", "fail", "not_applicable"],
        ),
        (110.0, {"chain_ladder": 90.0}, 5, ["fail", "pass", "not_applicable"]),
        (110.0, {}, 5, ["fail", "not_applicable", "not_applicable"]),
        (80.0, {}, 2.9, ["not_applicable", "not_applicable", "pass"]),
        (79.0, {"chain_ladder": 10.0}, 2.9, ["not_applicable", "not_applicable", "fail"]),
    ],
)
def test_ibnr_is_the_largest_of_two_or_a_tenth_of_paid(held, estimates, years_of_data, verdicts):
    found = check_ibnr(held, estimates=estimates, paid=800.0, data_years=years_of_data, on=TODAY)
    assert found.table["verdict"].to_list() == verdicts
    assert [m for m in METHODS if f"level.{m}" not in catalogue()] == []
    early = check_ibnr(held, estimates=estimates, paid=800.0, data_years=5, on=date(2019, 11, 30))
    assert early.verdict == "not_applicable"


def test_ibnr_refuses_unknown_methods_and_amounts():
    given = {"estimates": {"chain_ladder": 1.0}, "paid": 1.0, "data_years": 5, "on": TODAY}
    with pytest.raises(InputError, match="did you mean 'chain_ladder'"):
        check_ibnr(1.0, **given | {"estimates": {"chain_lader": 1.0}})
    for bad in ({"paid": NAN}, {"data_years": -1}, {"estimates": {"chain_ladder": -1.0}}):
        with pytest.raises(InputError, match="zero or more"):
            check_ibnr(1.0, **given | bad)


@pytest.mark.parametrize(
    ("product", "look", "wait", "verdicts"),
    [
        (MILLION, 15, 180, ["pass", "pass", "not_applicable"]),
        (MILLION, 14, 181, ["fail", "fail", "not_applicable"]),
        (
            Product(kind="medical", term_years=1),
            0,
            30,
            ["not_applicable", "pass", "not_applicable"],
        ),
        (
            Product(kind="income", term_years=5),
            15,
            365,
            ["pass", "not_applicable", "not_applicable"],
        ),
        (Product(kind="care", term_years=5), 15, 180, ["pass", "pass", "pass"]),
        (Product(kind="care", term_years=4), 15, 180, ["pass", "pass", "fail"]),
    ],
)
def test_periods_of_a_policy(product, look, wait, verdicts):
    found = check_policy_terms(product, free_look_days=look, waiting_days=wait, on=TODAY)
    assert found.table["verdict"].to_list() == verdicts
    with pytest.raises(InputError, match="waiting_days"):
        check_policy_terms(product, free_look_days=look, waiting_days=-1, on=TODAY)


# -- the result -------------------------------------------------------------------------------------


def every_check():
    return [
        gate(loss_ratio=0.84, industry_loss_ratio=0.94),
        gate(),
        check_service_cost(bands(service_cost=[70.0, 1.0]), loading=0.35, on=TODAY),
        check_loading(MILLION, loading=0.4, payment="regular", on=TODAY),
        check_medical_inflation(0.02, product=MILLION, on=TODAY),
        check_policy_terms(MILLION, free_look_days=10, waiting_days=200, on=TODAY),
        check_ibnr(1.0, estimates=dict.fromkeys(METHODS, 2.0), paid=1.0, data_years=5, on=TODAY),
        check_net_premium(500, loading=0.35, loss_ratio=0.7, on=TODAY),
        check_minimum_loss_ratio(years(0.5, 0.5, 0.5), product=TAX, on=date(2026, 3, 1)),
    ]


def test_checks_are_saved_loaded_and_say_number_and_article(tmp_path):
    for i, found in enumerate(every_check()):
        found.save(tmp_path / str(i))
        back = Result.load(tmp_path / str(i))
        assert isinstance(back, Check)
        assert back.table.equals(found.table)
        assert (back.facts, back.verdict) == (found.facts, found.verdict)
        for lang in LANGUAGES:
            text = found.finding(lang)
            assert found.facts[f"title_{lang}"] in text
            assert found.facts[f"article_{lang}"] in text
            assert text == back.finding(lang)
            assert not any(c in text for c in "{}_")
    assert "84.00%" in every_check()[0].finding("zh")
    many = pl.DataFrame(
        {
            "age_band": [f"b{i}" for i in range(9)],
            "gross_premium": [500.0] * 9,
            "service_cost": [400.0] * 9,
        }
    )
    assert "3 more" in check_service_cost(many, loading=0.35, on=TODAY).finding()


def test_every_column_level_and_condition_has_a_label_in_both_languages():
    known = catalogue()
    ratio = comprehensive_loss_ratio(
        claims_paid=1,
        outstanding_opening=1,
        outstanding_closing=1,
        ibnr_opening=1,
        ibnr_closing=1,
        earned_premium=1,
    )
    first = gate_loss_ratio(
        claims_paid=1,
        outstanding_opening=1,
        outstanding_closing=1,
        premium=1,
        unearned_opening=1,
        unearned_closing=1,
    )
    for found in [*every_check(), ratio, first]:
        for frame in (found.table, *found.frames.values()):
            assert [n for n in frame.columns if f"term.{n}" not in known] == []
        for name in ("condition", "verdict", "relation", "unit", "part", "item"):
            if name in found.table.columns:
                assert [v for v in found.table[name] if f"level.{v}" not in known] == []


def test_figures_draw_what_the_tables_say():
    plane = gate(loss_ratio=0.84, industry_loss_ratio=0.94).figure("en")
    assert (plane.data[1].x[0], plane.data[1].y[0]) == (0.94, 0.84)
    assert plane.data[1].marker.symbol == "x"
    assert [gate().figure(lang).layout.xaxis.title.text for lang in LANGUAGES] == [
        "Industry's average loss ratio",
        "行业平均赔付率",
    ]
    drawn = every_check()[2].figure("en")
    assert list(drawn.data[0].y) == pytest.approx([65.0, 260.0])
    assert [t.name for t in drawn.data[1:]] == ["Service cost: pass", "Service cost: fail"]
    assert list(every_check()[-1].figure("zh").data[0].y) == pytest.approx([0.5] * 3)
    with pytest.raises(InputError, match="no figure"):
        every_check()[3].figure()


def test_lines_have_a_stated_tolerance():
    assert at_most(1.0 + 1e-12, 1.0)
    assert not at_most(1.0 + 1e-8, 1.0)
    assert at_least(1.0 - 1e-12, 1.0)
    assert not at_least(1.0 - 1e-8, 1.0)
    assert "rules" in inspect.signature(check_rate_adjustment).parameters
