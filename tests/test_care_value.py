"""Intensities held and made, the definition of disability, what a change costs, what an assessment stands for."""

import numpy as np
import polars as pl
import pytest
from scipy.linalg import expm

from pricing.annuities.payments import WhileIn
from pricing.annuities.thiele import thiele
from pricing.care.assessed import assessed_cost
from pricing.care.cost import Range, cost_of_change
from pricing.care.definition import DEFINITIONS, definition_model, definition_risk
from pricing.care.intensity import checked_intensities, grade_rates, matrix_gaps
from pricing.care.morbidity import morbidity
from pricing.data.transitions import disability_matrices, disability_rates
from pricing.errors import InputError
from pricing.result.words import catalogue

SEVEN_MOVES = [(60, 0.01), (61, 0.02), (62, 0.04), (63, 0.5), (64, 0.3), (65, 0.2), (66, 0.1)]


def table(**changes):
    frame = pl.DataFrame({
        "age": [a for a, _ in SEVEN_MOVES] * 2,
        "from_state": ["disabled"] * 14,
        "to_state": ["healthy"] * 7 + ["dead"] * 7,
        "probability": [p for _, p in SEVEN_MOVES] + [0.1] * 7,
    })  # fmt: skip
    return frame.with_columns(**changes)


def place(n):
    return pl.int_range(pl.len()) == n


# -- tables of intensities --------------------------------------------------------------------------


def test_a_sound_table_passes_sorted():
    found = checked_intensities(table().reverse(), measure="probability")
    assert found["age"].is_sorted()
    assert found.height == 14


def test_a_table_like_the_french_one_is_refused_by_name_and_count():
    """Thirteen chances above 1, as in published disability tables that were read wrongly."""
    ages = np.repeat(np.arange(20, 60), 1)
    chance = np.where(ages < 33, 1.05 + ages / 1000, 0.4)
    own = pl.DataFrame({
        "age": ages, "from_state": ["disabled"] * 40, "to_state": ["healthy"] * 40,
        "probability": chance,
    })  # fmt: skip
    with pytest.raises(InputError) as refused:
        checked_intensities(own, measure="probability", name="a disability table")
    assert "a disability table: intensities that cannot be used; nothing was computed" in str(
        refused.value
    )
    assert "a probability above 1 in 13 of 40 rows: 20, disabled, healthy, 1.07" in str(
        refused.value
    )
    assert "do not clip it" in str(refused.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"probability": pl.when(place(2)).then(None).otherwise("probability")}, "empty or not finite in 1 of 14"),
        ({"probability": pl.when(place(2)).then(float("nan")).otherwise("probability")}, "not finite in 1"),
        ({"probability": pl.when(place(2)).then(-0.1).otherwise("probability")}, "below 0 in 1 of 14"),
        ({"probability": pl.when(place(3)).then(0.95).otherwise("probability")},
         "leaving that add to more than 1 in 1 of 7 states and ages: 63, disabled, 1.05"),
        ({"age": pl.when(place(2)).then(61).otherwise("age")}, "given twice in 2 of 14"),
        ({"age": pl.when(place(6)).then(70).otherwise("age")}, "no value in 8 of 22"),
        ({"age": pl.col("age") + 0.5}, "not whole in 14 of 14"),
    ],
)  # fmt: skip
def test_faults_of_a_table_are_named(change, said):
    with pytest.raises(InputError, match="nothing was computed") as refused:
        checked_intensities(table(**change), measure="probability")
    assert said in str(refused.value)


def test_all_faults_of_a_table_are_said_at_once():
    broken = table(probability=pl.when(place(3)).then(1.5).otherwise("probability")).filter(
        ~place(9)
    )
    with pytest.raises(InputError) as refused:
        checked_intensities(broken, measure="probability")
    assert len(refused.value.faults) == 2
    with pytest.raises(InputError, match="columns rate are missing"):
        checked_intensities(table())
    with pytest.raises(InputError, match="no rows"):
        checked_intensities(table().clear(), measure="probability")
    with pytest.raises(InputError, match="must be numbers"):
        checked_intensities(table(probability=pl.lit("x")), measure="probability")


def test_chances_with_the_one_to_stay_must_add_to_1():
    stays = table().with_columns(
        to_state=pl.when(pl.col("to_state") == "healthy")
        .then(pl.lit("disabled"))
        .otherwise("to_state")
    )
    with pytest.raises(InputError, match="do not add to 1 in 7 of 7"):
        checked_intensities(stays, measure="probability")


def test_the_printed_matrices_pass_within_their_rounding():
    printed = disability_matrices(1).with_columns(
        age=pl.col("age_band").cast(pl.String).str.slice(0, 2).cast(pl.Int64) // 5
    )
    checked_intensities(printed.drop("age_band"), measure="probability")


def test_own_rates_with_a_gap_stop_everything():
    rates = disability_rates("clhls", range(65, 106))
    with pytest.raises(InputError, match="no value in 8 of 328"):
        morbidity(rates.filter(pl.col("age") != 80))
    with pytest.raises(InputError, match="lacks female, healthy, dead"):
        morbidity(
            rates.filter(
                ~(
                    (pl.col("sex") == "female")
                    & (pl.col("from_state") == "healthy")
                    & (pl.col("to_state") == "dead")
                )
            )
        )


# -- matrices ---------------------------------------------------------------------------------------


def test_the_gaps_are_those_found_independently():
    found = matrix_gaps(3)
    assert (found.facts["not_embeddable"], found.facts["cube_over"]) == (12, 5)
    assert (found.table["fit_gap"] <= found.table["clip_gap"] + 1e-9).all()
    assert matrix_gaps(1).facts["not_embeddable"] == 13


@pytest.mark.parametrize("method", ["fit", "clip"])
def test_rates_made_from_matrices_are_intensities_and_as_near_as_said(method):
    rates = grade_rates(method=method)
    assert (rates["rate"] >= 0).all()
    assert rates["rate"].is_finite().all()
    gaps = matrix_gaps(1).table.filter(sex="male", age_band="75-80").row(0, named=True)
    q = np.zeros((4, 4))
    states = ["1", "2", "3", "dead"]
    for a, b, rate in (
        rates.filter(sex="male", age=77).select("from_state", "to_state", "rate").rows()
    ):
        q[states.index(a), states.index(b)] = rate
    q -= np.diag(q.sum(axis=1))
    p = np.diag([0.0, 0, 0, 1])
    for row in (
        disability_matrices(1)
        .filter(pl.col("sex") == "male", pl.col("age_band") == "75-80")
        .iter_rows(named=True)
    ):
        p[row["from_state"] - 1, row["to_state"] - 1] = row["probability"]
    p /= p.sum(axis=1, keepdims=True)
    assert np.abs(expm(q) - p).max() == pytest.approx(gaps[f"{method}_gap"], abs=1e-6)


def test_a_method_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="fit or clip"):
        grade_rates(method="round")


# -- definition -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def risk():
    return definition_risk()


def test_published_values_and_the_spread_between_the_chinese_sources(risk):
    by = {(r["definition"], r["sex"]): r for r in risk.table.iter_rows(named=True)}
    assert round(by["clhls", "male"]["value_healthy"]) == 3823
    assert round(by["clhls", "female"]["value_disabled"]) == 25107
    assert (
        2.5
        < by["cui_severe", "male"]["ratio_to_first"]
        < by["cui_severe", "female"]["ratio_to_first"]
        < 3.6
    )
    assert by["clhls_trend", "male"]["value_healthy"] < by["clhls_now", "male"]["value_healthy"]
    assert risk.facts["most"] == "cui_wide"
    assert "3.1 times" in risk.finding("en")
    assert set(risk.table["definition"]) == set(DEFINITIONS)


def test_forward_values_are_thieles(risk):
    model = definition_model("hrs", "female")
    back = thiele(model, [WhileIn("disabled", 7200.0)], age=65, years=55, interest=0.025, step=1.0)
    row = risk.table.filter(definition="hrs", sex="female")
    assert row["value_healthy"].item() == pytest.approx(back.reserve("healthy"), rel=1e-9)


def test_values_are_linear_in_the_benefit_and_fall_with_waiting():
    small = definition_risk(450.0, definitions=["clhls"]).table
    large = definition_risk(600.0, definitions=["clhls"]).table
    assert (large["value_healthy"] / small["value_healthy"]).to_list() == pytest.approx([4 / 3] * 2)
    waits = definition_risk(600.0, definitions=["clhls"], waiting=0.5).table
    assert (waits["value_healthy"] < large["value_healthy"]).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"definitions": ["clhl"]}, "did you mean 'clhls'"),
        ({"definitions": []}, "no definitions"),
        ({"definitions": ["hrs", "hrs"]}, "named twice"),
        ({"monthly": 0.0}, "above 0"),
        ({"age": 60}, "65 to 110"),
    ],
)
def test_what_cannot_be_valued_is_refused(options, said):
    with pytest.raises(InputError, match=said):
        definition_risk(**options)


# -- cost of a change -------------------------------------------------------------------------------

CHANGE = {
    "insured": 18e6, "share": Range(0.00711, 0.0064, 0.0079), "before": 450.0, "after": 600.0,
    "admitted": {"moderate": Range(0.9, 0.6, 1.3), "dementia": Range(0.15, 0.05, 0.35)},
    "response": Range(0.03, 0.005, 0.1),
}  # fmt: skip


def test_the_steps_add_up_exactly_and_by_hand():
    t = cost_of_change(**CHANGE, factors={"moderate": 0.5}).table
    amounts = dict(t.select("step", "care_outgo").rows())
    cases = 18e6 * 0.00711
    assert amounts["rise"] == pytest.approx(cases * 12 * 150)
    assert amounts["moderate"] == pytest.approx(cases * 1.03 * 0.9 * 0.5 * 12 * 600)
    assert sum(v for k, v in amounts.items() if k != "after") == pytest.approx(
        amounts["after"], rel=1e-14
    )
    assert (t["lower"] < t["care_outgo"]).all()
    assert (t["upper"] > t["care_outgo"]).all()


def test_the_interval_of_one_uncertain_figure_is_its_own():
    only = {
        **CHANGE,
        "share": Range(0.00711),
        "response": None,
        "admitted": {"moderate": Range(0.9, 0.6, 1.3)},
    }
    found = cost_of_change(**only, draws=200_000).table.filter(step="moderate")
    unit = 18e6 * 0.00711 * 12 * 600
    assert found["lower"].item() == pytest.approx(0.6 * unit, rel=0.005)
    assert found["upper"].item() == pytest.approx(1.3 * unit, rel=0.005)


def test_a_change_repeats_by_its_seed_and_names_its_driver():
    one, two = (cost_of_change(**CHANGE, seed=s) for s in (5, 5))
    assert one.table.equals(two.table)
    assert (
        one.basis.fingerprint
        == two.basis.fingerprint
        != cost_of_change(**CHANGE, seed=6).basis.fingerprint
    )
    assert one.facts["driver"] == "moderate"
    assert one.frames["drivers"].height == 4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"before": 0.0}, "before must be above 0"),
        ({"share": Range(1.2)}, "0 to 1"),
        ({"factors": {"mild": 1.0}}, "mild has a factor and is not admitted"),
        ({"admitted": {"rise": Range(0.1)}}, "no name for a grade"),
        ({"draws": 1}, "2 or more"),
    ],
)
def test_a_change_that_cannot_be_costed_is_refused(change, said):
    with pytest.raises(InputError, match=said):
        cost_of_change(**{**CHANGE, **change})
    for bad in ((0.5, 0.6, 0.7), (0.5, 0.0, 0.7), (float("nan"),), (-0.1,)):
        with pytest.raises(InputError):
            Range(*bad)


# -- assessments ------------------------------------------------------------------------------------


def test_dezhou_by_hand():
    found = assessed_cost(
        assessments=17_600, paid=220e6, benefits={"450": 450.0, "600": 600.0}, admitted=0.56
    )
    assert found.facts["per_assessment"] == 12_500
    assert found.table["months_per_admitted"].to_list() == pytest.approx(
        [12_500 / 0.56 / 450, 12_500 / 0.56 / 600]
    )
    assert 30 < found.facts["expected"] < 60
    with pytest.raises(InputError, match="share admitted"):
        assessed_cost(assessments=1, paid=1.0, benefits={"a": 1.0}, admitted=0.0)
    with pytest.raises(InputError, match="no benefits") as refused:
        assessed_cost(assessments=0, paid=-1.0, benefits={})
    assert len(refused.value.faults) == 3


# -- words ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [
    lambda: definition_risk(definitions=["clhls", "cui_severe"]), matrix_gaps,
    lambda: cost_of_change(**CHANGE, draws=50),
    lambda: assessed_cost(assessments=10, paid=1e5, benefits={"450": 450.0}),
])  # fmt: skip
def test_results_speak_both_languages(make, tmp_path):
    found = make()
    for frame in (found.table, *found.frames.values()):
        assert [c for c in frame.columns if f"term.{c}" not in catalogue()] == []
    assert found.finding("zh") != found.finding("en")
    assert found.figure("zh").data
    found.save(tmp_path / "kept")
    assert type(found).load(tmp_path / "kept").table.equals(found.table)
