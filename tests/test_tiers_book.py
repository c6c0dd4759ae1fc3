"""Benefits from the book: known truth by simulation, refusals; the study of the elder plan."""

import math
from datetime import date

import numpy as np
import polars as pl
import pytest

from pricing.data.check import check
from pricing.data.elder_book import (
    ElderParameters,
    TrueBenefit,
    simulate_elder_book,
    true_elder_book,
)
from pricing.errors import InputError
from pricing.experience.lexis import Lexis
from pricing.plans.plan_file import read_plan
from pricing.plans.plan_study import PlanStudy
from pricing.result.shape import Result
from pricing.tiers.benefit import Gate
from pricing.tiers.benefit_experience import benefit_experience

WINDOW = Lexis(start=date(2023, 1, 1), end=date(2026, 1, 1))
COVERS = {"home_nursing": ["premium"], "emergency_transfer": ["premium"]}
ORIGINAL = "members = 12_000"


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    return simulate_elder_book(tmp_path_factory.mktemp("elder") / "book", members=5000, seed=11)


@pytest.fixture(scope="module")
def tables(book):
    return {n: pl.read_parquet(book / n) for n in ("policies", "renewals", "claims")}


def estimated(tables, **options):
    given = {"covers": COVERS, "waiting": {"home_nursing": 30}, "amount": "bill"} | options
    return benefit_experience(tables["policies"], tables["claims"], WINDOW, **given)


def test_the_book_keeps_its_contracts_and_its_seed(book, tables, tmp_path):
    for name, table in tables.items():
        factors = {"tier": ["basic", "premium"]} if name == "policies" else None
        assert check(table, name, factors=factors).rejected.is_empty()
    again = simulate_elder_book(tmp_path / "again", members=5000, seed=11)
    for name, table in tables.items():
        assert pl.read_parquet(again / name).equals(table)
    other = simulate_elder_book(tmp_path / "other", members=5000, seed=12)
    assert not pl.read_parquet(other / "claims").equals(tables["claims"])
    assert tables["policies"]["policy_id"].str.starts_with("AJ").all()
    terms = tables["renewals"].group_by("policy_id").agg(pl.col("start").min()).sort("policy_id")
    assert terms["start"].equals(tables["policies"].sort("policy_id")["start"])


def test_claims_fall_in_cover_and_after_the_waiting_period(tables):
    joined = tables["claims"].join(tables["policies"], on="policy_id")
    assert (joined["incurred"] >= joined["start"]).all()
    assert (joined["incurred"] < joined["end"]).all()
    nursing = joined.filter(benefit="home_nursing")
    assert (nursing["incurred"] - nursing["start"]).dt.total_days().min() >= 30
    assert set(nursing["tier"].to_list()) == {"premium"}


def test_the_truth_of_the_book_lies_in_the_intervals(book, tables):
    truth = true_elder_book(book)
    found = estimated(tables, level=0.99)
    for row in found.table.iter_rows(named=True):
        exact = truth["expected_claims"][row["benefit"]] / row["exposure"]
        assert row["lower"] < exact < row["upper"], row["benefit"]
        b = truth["parameters"]["benefits"][row["benefit"]]
        assert row["severity_lower"] < b["mean"] < row["severity_upper"], row["benefit"]
    assert found.facts["outside"] == 0
    assert found.facts["most"] == "home_nursing"


def test_intervals_cover_at_their_level(tmp_path):
    """Frequency and severity in 40 books, dispersed claims among them."""
    parameters = ElderParameters(
        benefits={"outpatient": TrueBenefit(frequency=2.0, mean=150.0, cv=1.0, dispersion=3.0)}
    )
    inside = np.zeros(2)
    for seed in range(40):
        folder = simulate_elder_book(
            tmp_path / str(seed), members=300, seed=seed, parameters=parameters
        )
        seen = {n: pl.read_parquet(folder / n) for n in ("policies", "claims")}
        row = benefit_experience(
            seen["policies"], seen["claims"], WINDOW, amount="bill", level=0.9
        ).table.row(0, named=True)
        inside += [
            row["lower"] < 2.0 < row["upper"],
            row["severity_lower"] < 150.0 < row["severity_upper"],
        ]
    assert np.all(inside >= 30)  # 36 expected; below 30 has a probability of 0.3 %
    assert np.all(inside <= 40)


def test_the_dispersion_is_found(tmp_path):
    parameters = ElderParameters(
        benefits={"outpatient": TrueBenefit(frequency=2.0, mean=150.0, cv=1.0, dispersion=2.5)}
    )
    folder = simulate_elder_book(tmp_path / "b", members=6000, seed=5, parameters=parameters)
    seen = {n: pl.read_parquet(folder / n) for n in ("policies", "claims")}
    row = benefit_experience(seen["policies"], seen["claims"], WINDOW).table.row(0, named=True)
    assert row["dispersion"] == pytest.approx(2.5, abs=0.15)


def test_age_bands_add_up_and_follow_age(tables):
    found = estimated(tables, ages=[55, 70, 80])
    whole = found.table.filter(age_band="all").sort("benefit")
    parts = (
        found.table.filter(pl.col("age_band") != "all")
        .group_by("benefit")
        .agg(pl.col("exposure", "claims").sum())
        .sort("benefit")
    )
    assert parts["claims"].equals(whole["claims"])
    assert parts["exposure"].to_list() == pytest.approx(whole["exposure"].to_list(), rel=1e-9)
    nursing = found.table.filter(pl.col("age_band") != "all", benefit="home_nursing")
    assert nursing["frequency"].is_sorted()
    ratio = nursing["frequency"][2] / nursing["frequency"][0]
    assert math.log(ratio) == pytest.approx(0.05 * 20, abs=0.15)
    older = found.benefit("home_nursing", age_band="80+", coinsurance=0.2)
    assert older.frequency == nursing["frequency"][2]


def test_a_row_split_in_two_and_another_order_change_nothing(tables):
    policies = tables["policies"].sample(fraction=1.0, shuffle=True, seed=1)
    claims = tables["claims"].sample(fraction=1.0, shuffle=True, seed=2)
    a = estimated(tables)
    b = estimated({"policies": policies, "claims": claims})
    assert a.table.drop("dispersion").equals(b.table.drop("dispersion")) or all(
        a.table[c].to_list() == pytest.approx(b.table[c].to_list(), rel=1e-9)
        for c in ("exposure", "claims", "frequency", "lower", "upper", "severity")
    )


def test_the_severity_is_the_sample_with_a_tail_where_it_bears_one(tables):
    found = estimated(tables)
    for name in ("outpatient", "emergency_transfer"):
        amounts = tables["claims"].filter(benefit=name)["bill"].to_numpy()
        law = found.severity(name)
        spliced = found.details["thresholds"][name] is not None
        assert law.mean == pytest.approx(amounts.mean(), rel=0.01 if spliced else 1e-12)
        assert law.exceeds(float(np.median(amounts))) == pytest.approx(0.5, abs=0.01)
    assert found.details["thresholds"]["emergency_transfer"] is None  # too few claims


def test_the_gate_of_the_past_is_not_counted_twice(tables):
    found = estimated(tables)
    gate = Gate(sent=0.9, frequency=0.8, severity=0.6, emergency=0.1)
    same = found.benefit("outpatient", measured_gate=gate, gate=gate)
    seen = found.benefit("outpatient")
    assert same.claims() == pytest.approx(seen.claims(), rel=1e-12)
    assert same.bill() == pytest.approx(seen.bill(), rel=1e-9)
    assert found.benefit("outpatient", measured_gate=gate).bill() > seen.bill()


def test_the_result_speaks_and_comes_back(tables, tmp_path):
    found = estimated(tables)
    assert found.finding("en") != found.finding("zh")
    assert found.figure("zh").data
    found.save(tmp_path / "found")
    back = Result.load(tmp_path / "found")
    assert back.severity("outpatient").mean == found.severity("outpatient").mean


@pytest.mark.parametrize(
    ("options", "change", "said"),
    [
        ({"amount": "bills"}, {}, "no column 'bills'; did you mean 'bill'"),
        ({"tier": "plan"}, {}, "policies: no column 'plan'"),
        ({"covers": {"dental": ["basic"]}}, {}, "no claims of 'dental'"),
        ({"waiting": {"nursing": 30}}, {}, "no claims of 'nursing'"),
        ({"covers": {"telehealth": ["gold"]}}, {}, "no policy has telehealth"),
        ({"level": 95}, {}, "level lies between 0 and 1"),
        ({}, {"claims": lambda c: c.head(0)}, "claims: no rows"),
        (
            {},
            {"claims": lambda c: c.with_columns(benefit=pl.lit(None, pl.String))},
            "without a benefit",
        ),
        ({}, {"claims": lambda c: c.drop("benefit")}, "no column 'benefit'"),
        ({}, {"claims": lambda c: c.with_columns(bill=-pl.col("bill"))}, "negative|zero or more"),
        ({}, {"policies": lambda p: p.drop("end")}, "policies: no column 'end'"),
    ],
)
def test_a_book_that_cannot_be_estimated_is_refused(tables, options, change, said):
    given = {n: change.get(n, lambda t: t)(tables[n]) for n in ("policies", "claims")}
    with pytest.raises(InputError, match=said):
        estimated(given, **options)


def test_a_benefit_or_band_that_is_not_there_is_refused(tables):
    found = estimated(tables)
    with pytest.raises(InputError, match="did you mean 'outpatient'"):
        found.benefit("outpatiant")
    with pytest.raises(InputError, match="no age band '80\\+'"):
        found.benefit("outpatient", age_band="80+")


@pytest.mark.parametrize("given", [{"members": 0, "seed": 1}, {"members": 1.5, "seed": -1}])
def test_a_book_that_cannot_be_simulated_is_refused(tmp_path, given):
    with pytest.raises(InputError, match="whole number"):
        simulate_elder_book(tmp_path / "b", **given)
    with pytest.raises(InputError, match="no readable account"):
        true_elder_book(tmp_path)


# -- the study --------------------------------------------------------------------------------------


def small_study(folder, *changes):
    from pricing.data.tables import bundled

    text = bundled("studies/anjia.toml").read_text(encoding="utf-8")
    assert ORIGINAL in text
    text = text.replace(ORIGINAL, "members = 1_200")
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    path = folder / "anjia.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("anjia")
    found = PlanStudy(small_study(folder), work=folder / "books")
    return found, found.run()


def test_the_study_prices_both_tiers(study):
    _, results = study
    for name in ("basic", "premium"):
        for kind in ("cost", "adequacy", "break_even", "effects"):
            assert f"tier_{kind}:{name}" in results
        assert f"premium_build_up:{name}" in results
    basic = results["tier_cost:basic"].facts
    assert basic["member_price"] == 300.0
    assert basic["actuarial_value"] == pytest.approx(0.8, abs=0.005)
    assert results["tier_adequacy:basic"].verdict == "fail"
    assert results["tier_grid:basic"].table.height == 500


def test_the_headline_is_the_exact_engine_s(study):
    found, results = study
    head, basic = found.headline(), results["tier_cost:basic"].facts
    for name in ("bill", "pure_premium", "actuarial_value", "loss_ratio", "member_price"):
        assert head[name] == pytest.approx(basic[name], rel=1e-4)
    assert head["passes"] == pytest.approx(basic["passes"], abs=2e-3)


def test_the_scenarios_do_what_they_say(study):
    _, results = study
    rows = {
        (row["scenario"], row["quantity"]): row["difference"]
        for row in results["scenario_comparison"].table.iter_rows(named=True)
    }
    assert rows["gate_off", "pure_premium"] > 0
    assert rows["deductible", "pure_premium"] < 0
    assert rows["subsidy_withdrawn", "pure_premium"] == 0
    assert rows["subsidy_withdrawn", "member_price"] == pytest.approx(200.0)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("amount = 200", "amount = -200", "tiers.subsidy.amount"),
        ("amount = 200", "amount = 900", "lies above a premium of 500"),
        ("coinsurance = 0.2\nyear_limit = 5_000", "coinsurance = 1.2", "coinsurance"),
        ("year_limit = 5_000", "year_limit = 50_000", "lies above the tier's, 10,?000"),
        ("year_limit = 5_000", "year_limit = 50\nlimit = 80", "cap of the year, 50, lies below"),
        ("waiting_days = 30", "waiting_days = 400", "leaves nothing of a term"),
        ("profit = 0.08", "profit = 0.8", "take 107% of the premium"),
        ('compared = "basic"', 'compared = "gold"', "no tier 'gold'"),
        ("change = { gate = false }", "change = { gatee = false }", "'gatee' is no rule"),
        ("sent = 0.9", "sent = 1.9", "gate.sent"),
        ("new_share = 0.3", "new_shares = 0.3", "new_shares"),
    ],
)
def test_a_study_whose_rules_contradict_is_refused_by_name(tmp_path, old, new, said):
    with pytest.raises(InputError, match=said):
        read_plan(small_study(tmp_path, (old, new)))


def test_a_benefit_the_book_does_not_have_is_refused(tmp_path):
    path = small_study(tmp_path, ('name = "telehealth"', 'name = "dental"'))
    with pytest.raises(InputError, match="no claims of dental; it has emergency_transfer"):
        _ = PlanStudy(path, work=tmp_path / "books").prepared
