"""A care fund said in calendar years and in units that are read; text where a number is wanted."""

from itertools import product

import numpy as np
import polars as pl
import pytest

from pricing.care.assessed import assessed_cost
from pricing.care.cost import Range, cost_of_change
from pricing.care.definition import definition_risk
from pricing.care.grading import grade, grading_standard
from pricing.care.morbidity import morbidity
from pricing.care.population import banded_population, insured_of, stable_population
from pricing.care.projection import course, fund_path, project_care
from pricing.care.scheme import Fund, Scheme
from pricing.care.stacks import care_occupancy, care_settings
from pricing.care.stress import stress_care
from pricing.data.tables import bundled
from pricing.errors import InputError
from pricing.plans.care import CareSection, prepare, results
from pricing.reassessment.knapsack import exact_choice
from pricing.result.shape import Basis
from pricing.study.toml_file import read_toml

INSURED = stable_population(18_000_000, aged_share=0.17)
RATES = morbidity()
SCHEME = Scheme(prices={"home": 600.0}, price_growth=0.0225, observed_share=0.00711)
FUND = Fund(contribution=45.0, growth=0.03, reserve=1e8)
WELL = {item: [max(scores)] for item, scores in grading_standard().items.items()}
COST = {"insured": 1e6, "share": Range(0.007), "before": 450.0, "after": 600.0, "draws": 50}


@pytest.fixture(scope="module")
def found():
    return project_care(INSURED, RATES, SCHEME, FUND, years=6, first_year=2026)


def test_years_are_calendar_years_all_through(found):
    assert found.table["year"].to_list() == list(range(2026, 2032))
    assert found.facts["deficit_year"] == 2026
    assert "First year of deficit: 2026;" in found.finding("en")
    assert "首个赤字年：2026 年" in found.finding("zh")
    assert care_settings(found).facts["total"] == pytest.approx(found.facts["outgo_first"], abs=1)
    occupancy = care_occupancy(found)
    assert occupancy.facts["years"] == 6
    assert occupancy.table["year"].min() == 2026
    stress = stress_care(INSURED, RATES, SCHEME, FUND, years=6, base=found)
    assert stress.frames["paths"]["year"].unique().sort().to_list() == list(range(2026, 2032))
    assert stress.table["deficit_year"].drop_nulls().min() >= 2026
    for result in (found, occupancy, stress):
        for lang, word in (("en", "Year"), ("zh", "年份")):
            assert result.figure(lang).layout.xaxis.title.text == word


def test_without_a_calendar_year_they_count_from_0():
    plain = project_care(INSURED, RATES, SCHEME, FUND, years=2)
    assert plain.table["year"].to_list() == [0, 1]
    assert "year 0 (0 is the first)" in plain.finding("en")


def test_amounts_are_said_and_drawn_in_units_that_are_read(found):
    outgo = found.facts["outgo_first"]
    assert f"{outgo / 1e6:,.2f} million" in found.finding("en")
    assert f"{outgo / 1e8:,.2f} 亿" in found.finding("zh")
    drawn = found.figure("zh")
    assert drawn.data[2].y[0] == pytest.approx(outgo / 1e8)
    assert "亿" in drawn.layout.yaxis.title.text
    assert "亿" in drawn.layout.yaxis2.title.text


def test_nothing_stands_at_one_height_on_both_axes(found):
    one, two = (np.array(found.figure().layout[n].range) for n in ("yaxis", "yaxis2"))
    assert -one[0] / (one[1] - one[0]) == pytest.approx(-two[0] / (two[1] - two[0]))
    assert one[0] < 0 < one[1]  # the reserve is used up, and drawn below nothing


def test_the_closing_growth_closes_by_projecting_again(found):
    growth = found.facts["closing_growth"]
    again = project_care(
        INSURED, RATES, SCHEME, Fund(contribution=45.0, growth=growth, reserve=1e8), years=6
    )
    assert abs(again.facts["reserve_last"]) < 1.0


def test_a_contribution_that_fades_to_nothing_is_no_division():
    found = project_care(INSURED, RATES, SCHEME, Fund(contribution=1e-9, growth=-0.5), years=40)
    assert found.table["payg_ratio"].null_count() > 0


@pytest.mark.parametrize("name", ["share", "severe", "response"])
def test_a_grade_cannot_take_the_place_of_another_figure(name):
    # a grade called share overwrote the share in payment: 0.5 of the insured in the place of 0.7 %
    with pytest.raises(InputError, match="no name for a grade"):
        cost_of_change(**COST, admitted={name: Range(0.5)})


WRONG = {
    "price": lambda: Scheme(prices={"home": "600"}),
    "waiting": lambda: Scheme(prices={"home": 1.0}, waiting_months=float("nan")),
    "growth": lambda: Scheme(prices={"home": 1.0}, price_growth="x"),
    "observed": lambda: Scheme(prices={"home": 1.0}, observed_share="x"),
    "price without a share": lambda: Scheme(prices={"home": 1.0, "hoem": 2.0}),
    "contribution": lambda: Fund(contribution="90"),
    "interest": lambda: Fund(contribution=1.0, interest=None),
    "range": lambda: Range("0.9"),
    "insured": lambda: stable_population("1e6"),
    "aged share": lambda: stable_population(1e6, aged_share="x"),
    "band": lambda: banded_population(1e6, {"0-6²": 0.8, "65+": 0.2}),
    "band share": lambda: banded_population(1e6, {"0-64": "0.8", "65+": 0.2}),
    "stress": lambda: RATES.stressed(inception="1.2"),
    "entrants": lambda: course(INSURED, RATES, years=2, entrants_growth="x"),
    "years": lambda: course(INSURED, RATES, years=True),
    "below no waiting": lambda: course(INSURED, RATES, years=2, waiting_months=-3),
    "weights": lambda: course(INSURED, RATES, years=2, weights=np.ones(3)),
    "no weights": lambda: course(INSURED, RATES, years=2, weights=np.full((2, 106), np.nan)),
    "calibration": lambda: project_care(INSURED, RATES, SCHEME, FUND, years=2, calibration=-1.0),
    "path": lambda: fund_path(np.ones(3), np.ones(2), FUND),
    "monthly": lambda: definition_risk("600"),
    "age": lambda: definition_risk(age="65"),
    "cost": lambda: cost_of_change(**(COST | {"insured": "1e6"})),
    "cost share": lambda: cost_of_change(**(COST | {"share": 0.007})),
    "seed": lambda: cost_of_change(**COST, seed=-1),
    "paid": lambda: assessed_cost(assessments=10, paid="x", benefits={"a": 600.0}),
    "admitted": lambda: assessed_cost(assessments=10, paid=1.0, benefits={"a": 1.0}, admitted="x"),
    "study": lambda: morbidity(5),
    "year": lambda: morbidity(year="2026"),
    "half a score": lambda: grade(pl.DataFrame(WELL).with_columns(walking=pl.lit(7.5))),
    "no score": lambda: grade(pl.DataFrame(WELL).with_columns(walking=pl.lit(float("nan")))),
}
ROWS = {"age": [0], "sex": ["male"], "insured": [5.0]}
for change in ({"insured": ["5"]}, {"age": ["0"]}, {"age": [0.5]}):
    WRONG[f"delivered {change}"] = lambda change=change: insured_of(pl.DataFrame(ROWS | change))


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_number_is_refused(name):
    with pytest.raises(InputError):
        WRONG[name]()


def test_scores_delivered_as_floats_are_graded():
    found = grade(pl.DataFrame(WELL).with_columns(pl.all().cast(pl.Float64)))
    assert found.frames["graded"]["care_level"].to_list() == ["normal"]


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
def test_the_exact_choice_is_of_no_unit_of_money(unit):
    rng = np.random.default_rng(3)
    value, hours = rng.uniform(100, 130, 12).round(1), rng.uniform(1, 4, 12).round(1)
    cases = pl.DataFrame({"case_id": [str(i) for i in range(12)], "setting": "home", "provider": "x",
                          "net_value": value * unit, "hours": hours})  # fmt: skip
    made = exact_choice(cases, {"home": 11.0})
    sets = np.array(list(product([0, 1], repeat=12)))
    best = (sets @ value)[sets @ hours <= 11.0 + 1e-9].max()
    assert value[made].sum() == pytest.approx(best)


def test_assessments_that_lack_a_score_are_counted_not_hidden():
    section = CareSection(**read_toml(bundled("studies/home_care.toml"))["care"])
    section = section.model_copy(update={"years": 2, "definitions": ["clhls"], "wider": []})
    rows = pl.concat([pl.DataFrame(WELL)] * 3).with_columns(
        walking=pl.Series([15, None, 0]), care_level=pl.lit(None, dtype=pl.Int64)
    )
    found = results(section, prepare(section, {"assessments": rows}, Basis()), Basis())
    assert found["care_grades"].facts["assessments"] == 2
    assert any(note.startswith("1 of 3 assessments") for note in found["care_grades"].basis.notes)
