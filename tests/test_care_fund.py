"""The insured of a care scheme over the years, its fund, its stresses and its studies."""

import re

import numpy as np
import polars as pl
import pytest

from pricing.annuities.kolmogorov import kolmogorov
from pricing.annuities.payments import WhileIn
from pricing.annuities.semi_markov import semi_markov
from pricing.care.definition import definition_model, definition_risk
from pricing.care.morbidity import MOVES, china_trend, morbidity
from pricing.care.population import Insured, banded_population, insured_of, stable_population
from pricing.care.projection import closing_growth, course, fund_path, project_care
from pricing.care.scheme import SETTINGS, Fund, Scheme, setting_mix
from pricing.care.stacks import care_occupancy, care_settings
from pricing.care.stress import definition_weights, stress_care
from pricing.data.check import check
from pricing.data.rates import rate_table
from pricing.data.tables import bundled
from pricing.data.transitions import disability_rates
from pricing.errors import InputError
from pricing.plans.plan_file import read_plan
from pricing.plans.plan_study import PlanStudy
from pricing.result.words import catalogue

BASE = morbidity()
PEOPLE = stable_population(1_000_000, aged_share=0.17)
SCHEME = Scheme(prices={"home": 600.0}, observed_share=0.00711, price_growth=0.02, waiting_months=6)
FUND = Fund(contribution=60.0, growth=0.03, subsidy=1e6, reserve=5e7, interest=0.025)


def only(age, sex, lives=1000.0):
    """Insured of one age and sex, nobody born."""
    held = np.zeros((2, 106))
    held[int(sex == "male"), age] = lives
    return Insured(held, np.zeros(2), ("one age",))


@pytest.fixture(scope="module")
def base():
    return project_care(PEOPLE, BASE, SCHEME, FUND, years=50)


# -- lives ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sex", ["female", "male"])
def test_a_cohort_follows_the_exact_solution(sex):
    found = course(only(65, sex), BASE, years=20)
    stays = kolmogorov(definition_model("clhls", sex), age=65, years=20, start="healthy")
    for year in (1, 5, 20):
        assert found.healthy[year] == pytest.approx(1000 * stays.share("healthy", year), rel=1e-9)
        assert found.disabled[year] == pytest.approx(1000 * stays.share("disabled", year), rel=1e-9)
    monthly = sum(stays.share("disabled", 4 + m / 12) for m in range(12))
    assert found.months[4] == pytest.approx(1000 * monthly, rel=1e-9)


def test_a_waiting_period_is_exact():
    """In payment at t: disabled at t - w and never out since."""
    model = definition_model("clhls", "male")
    stays = kolmogorov(model, age=65, years=3, start="healthy")
    leave = [-model.generator(x)[1, 1] for x in (65, 66, 67)]
    owed = 0.0
    for m in range(12):
        t = 2 + m / 12
        in_new, in_old = (
            min(m, 6) / 12,
            max(6 - m, 0) / 12,
        )  # of the half year, in year 2 and in year 1
        owed += stays.share("disabled", t - 0.5) * np.exp(-leave[2] * in_new - leave[1] * in_old)
    found = course(only(65, "male"), BASE, years=3, waiting_months=6)
    assert found.months[2] == pytest.approx(1000 * owed, rel=1e-9)


def test_lives_balance_every_year(base):
    t = base.table
    change = (t["insured_lives"].shift(-1) - t["insured_lives"])[:-1]
    assert (change - (t["entrants"] - t["deaths"])[:-1]).abs().max() < 1e-6
    assert (t["healthy"] + t["disabled"] - t["insured_lives"]).abs().max() < 1e-6
    stacks = (
        care_occupancy(base).table.group_by("year", maintain_order=True).agg(pl.col("people").sum())
    )
    assert (stacks["people"] - t["disabled"]).abs().max() < 1e-6


def test_a_stationary_population_stays_where_it_is():
    table = rate_table("cn_life_2025", "cl3")
    found = course(stable_population(1e6), morbidity(deaths="table"), years=20)
    assert found.insured[-1] == pytest.approx(1e6, rel=0.002)  # the last age is held, not ended
    assert stable_population(1e6, table=table).aged_share == pytest.approx(0.2388, abs=0.02)


def test_twice_the_lives_are_twice_everything(base):
    double = Insured(2 * PEOPLE.lives, 2 * PEOPLE.births, ())
    found = project_care(
        double,
        BASE,
        SCHEME,
        Fund(contribution=60.0, growth=0.03, subsidy=2e6, reserve=1e8),
        years=50,
    )
    for name in ("insured_lives", "in_payment", "care_outgo", "fund_reserve"):
        assert found.table[name].to_numpy() == pytest.approx(
            2 * base.table[name].to_numpy(), rel=1e-9
        )
    assert found.facts["closing_growth"] == pytest.approx(base.facts["closing_growth"], abs=1e-9)


def test_durations_that_change_nothing_change_nothing():
    same = morbidity(
        duration_months=(0, 6, 36),
        recovery_by_duration=(1.0,) * 3,
        mortality_by_duration=(1.0,) * 3,
    )
    one, two = (course(PEOPLE, m, years=5, waiting_months=6) for m in (BASE, same))
    assert one.months == pytest.approx(two.months, rel=1e-10)
    assert one.insured == pytest.approx(two.insured, rel=1e-12)


def test_recovery_by_duration_is_that_of_the_semi_markov_model():
    """Recovery twice as likely in the first year and none after it, mortality falling with duration."""
    moves = [
        ("healthy", "disabled"),
        ("disabled", "healthy"),
        ("healthy", "dead"),
        ("disabled", "dead"),
    ]
    values = dict(zip(moves, (0.05, 0.6, 0.02, 0.2), strict=True))
    own = pl.DataFrame(
        [(s, a, *m, values[m]) for s in ("female", "male") for a in range(60, 106) for m in moves],
        schema=["sex", "age", "from_state", "to_state", "rate"], orient="row",
    )  # fmt: skip
    rates = morbidity(
        own,
        duration_months=(0, 12),
        recovery_by_duration=(2.0, 0.0),
        mortality_by_duration=(1.0, 0.5),
    )
    found = course(only(60, "male"), rates, years=10)
    oracle = semi_markov(
        {
            moves[0]: 0.05, moves[2]: 0.02,
            moves[1]: lambda x, z: np.where(z < 1, 1.2, 0.0),
            moves[3]: lambda x, z: np.where(z < 1, 0.2, 0.1),
        },
        [WhileIn("disabled", 1.0)], age=60, years=10, interest=0.0, states=["healthy", "disabled", "dead"],
    )  # fmt: skip
    years = found.months.sum() / 12 + found.disabled[-1] / 24  # counted at the start of months
    assert years / 1000 == pytest.approx(oracle.reserve("healthy"), rel=0.001)
    alone = morbidity(own)
    assert found.months.sum() > 1.1 * course(only(60, "male"), alone, years=10).months.sum()


def test_the_trend_of_the_first_year_is_none_and_later_it_is_compounded():
    on = morbidity(year=2026, trend=True)
    assert china_trend()["inception"] == pytest.approx(-0.05349, abs=1e-6)
    p0, p10 = on.months(0), on.months(10)
    assert np.array_equal(p0, morbidity(year=2026).months(0))
    q = on.stressed(**{m: np.exp(10 * on.trend[m]) for m in MOVES}).months(0)
    assert np.allclose(p10, q, atol=1e-14)


def test_chances_of_a_month_are_chances():
    p = BASE.stressed(inception=1.5).months(0)
    assert (p >= 0).all()
    assert np.allclose(p.sum(axis=-1), 1.0, atol=1e-12)
    none = BASE.stressed(inception=0.0)
    assert course(only(65, "male"), none, years=5).disabled.max() == 0


def test_deaths_as_in_the_table_are_those_of_the_table():
    found = course(only(70, "male"), morbidity(deaths="table"), years=10)
    q = (
        rate_table("cn_life_2025", "cl3")
        .only("male")
        .rates.filter(pl.col("age").is_between(70, 79))
    )
    alive = float((1 - q["rate"]).product())
    assert found.insured[-1] / 1000 == pytest.approx(alive, rel=0.002)


# -- fund -------------------------------------------------------------------------------------------


def test_the_fund_balances_to_the_cent_every_year(base):
    t, before = base.table, 5e7
    for row in t.iter_rows(named=True):
        after = (
            before
            + row["fund_contributions"]
            + row["fund_subsidy"]
            + row["fund_interest"]
            - row["care_outgo"]
        )
        assert round(after, 2) == row["fund_reserve"]
        half = 1.025**0.5
        flow = row["fund_income"] - row["care_outgo"]
        assert row["fund_reserve"] == pytest.approx(before * 1.025 + flow * half, abs=0.02)
        before = row["fund_reserve"]
    assert care_settings(base).table.filter(year=0)["care_outgo"].sum() == pytest.approx(
        t["care_outgo"][0], abs=0.01
    )


def test_the_growth_that_closes_leaves_nothing(base):
    for years in (30, 50):
        growth = base.facts[f"closing_growth_{years}"]
        outgo, insured = (base.table[c].to_numpy()[:years] for c in ("care_outgo", "insured_lives"))
        again = fund_path(outgo, insured, Fund(**{**FUND.__dict__, "growth": growth}))
        assert abs(again["fund_reserve"][-1]) < 2.0  # cents of fifty years, of 10^9


def test_what_no_growth_closes_has_none():
    ones = np.ones(5)
    assert closing_growth(ones * 1e9, ones, Fund(contribution=1.0), 5) is None
    assert closing_growth(ones, ones, Fund(contribution=0.0), 5) is None
    with pytest.raises(InputError, match="1 to 5 years"):
        closing_growth(ones, ones, FUND, 6)


def test_the_first_deficit_and_the_pay_as_you_go_contribution():
    found = project_care(PEOPLE, BASE, SCHEME, Fund(contribution=55.0, interest=0.0), years=30)
    t = found.table
    first = t.filter(pl.col("care_outgo") > pl.col("fund_income"))["year"].min()
    assert found.facts["deficit_year"] == first
    even = project_care(
        PEOPLE, BASE, SCHEME, Fund(contribution=t["payg_contribution"][0], interest=0.0), years=2
    )
    assert even.table["fund_reserve"][0] == pytest.approx(0.0, abs=0.05)
    rich = project_care(PEOPLE, BASE, SCHEME, Fund(contribution=1e4), years=5)
    assert (rich.facts["deficit_year"], rich.facts["exhausted_year"]) == (None, None)
    assert "none within the term" in rich.finding("en")


def test_the_projection_starts_at_the_share_observed(base):
    moved = course(PEOPLE, BASE, years=50, waiting_months=6)
    assert base.facts["calibration"] * moved.entitled == pytest.approx(0.00711 * 1e6)
    assert any("0.711%" in note for note in base.basis.notes)
    took = project_care(
        PEOPLE, BASE, Scheme(prices={"home": 600.0}, uptake=0.5, waiting_months=6), FUND, years=3
    )
    assert took.facts["calibration"] == 0.5


def test_settings_grades_and_prices_enter_as_they_should(base):
    mixed = {"home": 500.0, "community": 900.0, "institution": 2400.0}
    assert setting_mix(mixed) == pytest.approx(0.9 * 500 + 0.07 * 900 + 0.03 * 2400)
    scheme = Scheme(
        prices=mixed, settings=SETTINGS, observed_share=0.00711, waiting_months=6, price_growth=0.02,
        grades={"severe": 1.0, "moderate": 0.9}, grade_factors={"moderate": 0.5}, admitted={"moderate": 3},
    )  # fmt: skip
    found = project_care(PEOPLE, BASE, scheme, FUND, years=50).table
    ratio = (found["care_outgo"] / base.table["care_outgo"]).to_numpy()
    assert ratio[:3] == pytest.approx(setting_mix(mixed) / 600)
    assert ratio[3:] == pytest.approx(setting_mix(mixed) / 600 * 1.45)
    assert found["in_payment"][3] == pytest.approx(1.9 * base.table["in_payment"][3])


# -- stresses ---------------------------------------------------------------------------------------


def test_stresses_go_the_way_they_must_and_start_from_the_base(base):
    risk = definition_risk(definitions=["clhls", "hrs"])
    found = stress_care(PEOPLE, BASE, SCHEME, FUND, moderate=0.9, base=base,
                        wider={"hrs": definition_weights(risk, "hrs"), "cui_severe": np.ones((2, 106))})  # fmt: skip
    by = {row["scenario"]: row for row in found.table.iter_rows(named=True)}
    assert list(by) == ["base", "inception_plus", "recovery_minus", "disabled_live_longer",
                        "moderate_included", "hrs", "cui_severe"]  # fmt: skip
    assert by["moderate_included"]["outgo_change"] == pytest.approx(0.9)
    assert by["cui_severe"]["outgo_change"] == pytest.approx(0.0, abs=1e-12)
    for name in ("inception_plus", "recovery_minus", "disabled_live_longer"):
        assert 0 < by[name]["outgo_change"] < 0.25
        assert by[name]["closing_growth"] > by["base"]["closing_growth"]
    first = found.frames["paths"].filter(year=0)
    assert first["care_outgo"].max() / first["care_outgo"].min() < 2.5
    twenty = (
        first.filter(scenario="inception_plus")["care_outgo"].item()
        / first.filter(scenario="base")["care_outgo"].item()
    )
    assert 1.0 < twenty < 1.03  # onsets of the first year only
    assert found.facts["worst"] == "hrs"


def test_stresses_that_make_no_sense_are_refused(base):
    with pytest.raises(InputError, match="base runs 50 years"):
        stress_care(PEOPLE, BASE, SCHEME, FUND, years=20, base=base)
    with pytest.raises(InputError, match="moderate cases"):
        stress_care(PEOPLE, BASE, SCHEME, FUND, moderate=-0.1, base=base)
    with pytest.raises(InputError, match="no move 'onset'"):
        BASE.stressed(onset=1.2)


# -- bad input --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"settings": {"home": 0.9, "community": 0.2}}, "add to 1.1, not 1"),
        ({"settings": {"hotel": 1.0}}, "hotel has no price"),
        ({"prices": {"home": -1.0, "community": 1.0}}, "the price of home"),
        ({"price_growth": -1.5}, "above -1"),
        ({"uptake": 1.2}, "share, 0 to 1"),
        ({"observed_share": 1.5}, "0 to 1"),
        ({"waiting_months": 99}, "0 to 60"),
        ({"grades": {"moderate": 1.0}}, "severe must be paid"),
        ({"grade_factors": {"mild": 1.0}}, "no grade that is paid"),
    ],
)
def test_schemes_that_contradict_are_refused(change, said):
    with pytest.raises(InputError, match=said):
        Scheme(**{"prices": {"home": 600.0, "community": 900.0}, **change})


def test_funds_and_years_that_cannot_be_are_refused():
    with pytest.raises(
        InputError, match=r"growth must lie in -0\.5 to 0\.5, got 3: give"
    ) as refused:
        Fund(contribution=-1.0, growth=3, subsidy=-5.0)
    assert len(refused.value.faults) == 3
    for years in (0, 101, 2.5):
        with pytest.raises(InputError, match="years must be whole"):
            course(PEOPLE, BASE, years=years)
    with pytest.raises(InputError, match="uptake leads"):
        project_care(only(20, "male"), BASE, SCHEME, FUND, years=2)
    with pytest.raises(InputError, match="multiples for 2 durations"):
        morbidity(
            duration_months=(0, 12), recovery_by_duration=(1.0,), mortality_by_duration=(1.0, 1.0)
        )
    with pytest.raises(InputError, match="a trend needs a year"):
        morbidity(trend=True)


def test_populations_that_cannot_be_are_refused():
    with pytest.raises(InputError, match="growth of -5 to 5 % a year"):
        stable_population(1e6, aged_share=0.9)
    with pytest.raises(InputError, match="above 0"):
        stable_population(-5)
    for bands, said in (
        ({"0-59": 0.8, "65+": 0.2}, "every age once"),
        ({"0-59": 0.8, "60+": 0.3}, "add to 1.1"),
        ({"young": 1.0}, "no band of ages"),
        ({"0-59": 1.2, "60+": -0.2}, "share of 60"),
    ):
        with pytest.raises(InputError, match=said):
            banded_population(1e6, bands)
    rows = pl.DataFrame(
        {"sex": ["female", "x", "male", "male"], "age": [1, 2, 3, 3], "insured": [-1.0, 1, 2, 3]}
    )
    with pytest.raises(InputError) as refused:
        insured_of(rows)
    assert len(refused.value.faults) == 3


def test_insured_delivered_are_the_insured():
    again = insured_of(PEOPLE.frame().sample(fraction=1.0, shuffle=True, seed=2))
    assert np.allclose(again.lives, PEOPLE.lives)
    held = check(PEOPLE.frame(), "insured_population")
    assert held.rejected.is_empty()
    twice = check(pl.concat([PEOPLE.frame().head(2), PEOPLE.frame().head(1)]), "insured_population")
    assert twice.rejected.height == 2


# -- studies ----------------------------------------------------------------------------------------


def test_the_study_by_setting_adds_up_and_speaks(tmp_path):
    study = PlanStudy(bundled("studies/home_care.toml"), work=tmp_path)
    found = study.run()
    kinds = ["definition_risk", "matrix_gaps", "care_projection", "care_settings", "care_occupancy",
             "care_stress", "scenario_comparison"]  # fmt: skip
    assert list(found)[: len(kinds)] == kinds
    by = dict(found["care_settings"].table.filter(year=2026).select("setting", "care_outgo").rows())
    assert by["community"] / by["home"] == pytest.approx(0.07 * 1368.75 / (0.90 * 912.5))
    for name, one in found.items():
        if not name.startswith("scenario"):
            assert [c for c in one.table.columns if f"term.{c}" not in catalogue()] == []
            assert one.finding("zh") != one.finding("en")
            drawn = one.figure("zh")
            assert drawn.data
            for axis in (drawn.layout.xaxis, drawn.layout.yaxis):
                assert not axis.title.text or re.search(r"[\u4e00-\u9fff]", axis.title.text)
            assert "home_care" in one.basis.source
    head = study.headline()
    assert head["outgo_first"] == found["care_projection"].facts["outgo_first"]


@pytest.mark.parametrize("name", ["yantai", "dezhou"])
def test_the_other_studies_read_and_price(name, tmp_path):
    study = PlanStudy(bundled(f"studies/{name}.toml"), work=tmp_path)
    head = study.headline()
    assert head["outgo_first"] > 0
    assert {k for k in head if f"term.{k}" not in catalogue()} == set()
    if name == "yantai":
        share = head["in_payment_first"] / 2.05 / 18e6
        assert share == pytest.approx(
            0.0072, abs=0.0002
        )  # 0.711 % at the start, growing over the year


def test_delivered_rates_and_insured_take_the_place_of_the_published(tmp_path):
    text = bundled("studies/home_care.toml").read_text(encoding="utf-8")
    text = text.replace(
        "[care]", '[tables.insured_population]\nfiles = "insured.parquet"\n\n[care]', 1
    )
    PEOPLE.frame().write_parquet(tmp_path / "insured.parquet")
    (tmp_path / "own.toml").write_text(text, encoding="utf-8")
    study = PlanStudy(tmp_path / "own.toml", work=tmp_path)
    assert study.prepared["care"].insured.height == 212
    assert study.headline()["outgo_first"] > 0


@pytest.mark.parametrize("fault", ["lacks", "negative"])
def test_delivered_rates_with_a_gap_stop_the_study(tmp_path, fault):
    text = bundled("studies/home_care.toml").read_text(encoding="utf-8")
    text = text.replace("[care]", '[tables.care_rates]\nfiles = "rates.parquet"\n\n[care]', 1)
    (tmp_path / "own.toml").write_text(text, encoding="utf-8")
    rates = disability_rates("clhls", range(65, 106))
    sound = PlanStudy(tmp_path / "own.toml", work=tmp_path)
    rates.write_parquet(tmp_path / "rates.parquet")
    assert sound.headline()["outgo_first"] > 0
    gone = (pl.col("age") == 80) & (pl.col("to_state") == "dead") & (pl.col("sex") == "male")
    if fault == "lacks":
        broken = rates.filter(~gone)
    else:
        broken = rates.with_columns(rate=pl.when(gone).then(-0.1).otherwise("rate"))
    broken.write_parquet(tmp_path / "rates.parquet")
    study = PlanStudy(tmp_path / "own.toml", work=tmp_path)
    with pytest.raises(InputError, match=r"no value in 2 of 328 moves and ages: male, .*80"):
        study.run()
    assert study.checked["care_rates"].rejected.height == (2 if fault == "negative" else 0)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("institution = 0.03", "institution = 0.13", "add to 1.1"),
        ("uptake = 0.50", "uptake = 1.50", "less than or equal to 1"),
        ("aged_share = 0.17", 'aged_share = 0.17\nage_bands = { "0+" = 1.0 }', "one of the two"),
        ('wider = ["cui_severe"]', 'wider = ["cui"]', "no definition 'cui'"),
        ("contribution = 90.0", "contribution = -90.0", "greater than or equal to 0"),
        ("monthly = 912.5", "monthly = 912.5\nmonthly_before = 600.0", "needs observed_share"),
    ],
)
def test_study_files_that_contradict_are_refused(tmp_path, old, new, said):
    text = bundled("studies/home_care.toml").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "bad.toml").write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InputError, match=said):
        read_plan(tmp_path / "bad.toml")
