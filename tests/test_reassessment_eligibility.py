"""Who is no longer eligible: the fit against the truth, against statsmodels, and what it refuses."""

import datetime as dt

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from scipy.integrate import quad
from scipy.linalg import expm
from sklearn.metrics import roc_auc_score

from pricing.data.care_book import CareParameters, draw_care_cases
from pricing.errors import InputError
from pricing.reassessment.calibration import calibrate_visits, exact_share, ranked
from pricing.reassessment.eligibility import (
    fit_ineligible,
    fit_loss_of_eligibility,
    ineligible_share,
)
from pricing.reassessment.outcomes import cases_in_payment, visit_outcomes
from pricing.reassessment.targeting import target_visits
from pricing.result.shape import Result

FORMULA = "grade + setting + age + diagnosis + service_gap + out_of_bed"
BASE = {"grade": "moderate", "diagnosis": "stroke", "setting": "home"}
TRUTH = {
    ("grade", "severe"): 0.5, ("grade", "dementia"): 0.3, ("setting", "institution"): 0.7,
    ("diagnosis", "fracture"): 1.8, ("diagnosis", "dementia"): 0.6, ("diagnosis", "frailty"): 0.8,
    ("service_gap", "yes"): 2.5, ("out_of_bed", "yes"): 4.0, ("age", ""): np.exp(-0.02),
}  # fmt: skip


@pytest.fixture(scope="module")
def plain():
    """Cases whose hazard the table shows whole: no provider leaks."""
    return draw_care_cases(12_000, 4, CareParameters(leaking_share=0.0))


@pytest.fixture(scope="module")
def seen(plain):
    return visit_outcomes(plain[0], plain[1])


def test_the_fit_recovers_the_truth_within_its_intervals(seen):
    found = fit_loss_of_eligibility(seen, FORMULA, base=BASE)
    told = {
        (r["term"], r["level"]): (r["coefficient"] - np.log(TRUTH[r["term"], r["level"]])) / r["std_error"]
        for r in found.table.iter_rows(named=True)
        if (r["term"], r["level"]) in TRUTH
    }  # fmt: skip
    assert len(told) == len(TRUTH)
    z = np.array(list(told.values()))
    assert np.abs(z).max() < 3.2
    assert (np.abs(z) < 1.96).sum() >= 7
    assert found.table.filter(pl.col("role") == "estimate")["lower"].null_count() == 0


def test_probabilities_are_those_of_the_simulator(plain, seen):
    cases, _, truth = plain
    now = cases_in_payment(cases, dt.date(2025, 1, 1))
    model = fit_loss_of_eligibility(seen, FORMULA, base=BASE)
    said = model.probability(now).join(truth, on="case_id")
    assert said["probability"].sum() == pytest.approx(said["ineligible_now"].sum(), rel=0.12)
    assert said.select(pl.corr("probability", pl.col("hazard") * pl.col("years_since_review"))).item() > 0.9  # fmt: skip
    assert (said["probability_lower"] <= said["probability"]).all()
    assert (said["probability"] <= said["probability_upper"]).all()


def test_weights_undo_the_choice_by_score_and_no_weights_do_not():
    parameters = CareParameters(leak=6.0, leaking_share=0.15, hint=1.6, complaint=0.0)
    cases, visits, truth = draw_care_cases(20_000, 3, parameters)
    seen = visit_outcomes(cases, visits)
    everybody = cases.join(truth, on="case_id").select("grade", "ineligible_then")
    shares = dict(everybody.group_by("grade").agg(pl.col("ineligible_then").mean()).iter_rows())
    fits = {w: fit_ineligible(seen, "grade", weighted=w) for w in (True, False)}
    grades = pl.DataFrame({"grade": list(shares)})
    for grade, p, low, high in fits[True].probability(grades).iter_rows():
        z = (shares[grade] - p) / ((high - low) / 3.92)
        assert abs(z) < 3.0, grade
    wrong = fits[False].probability(grades)
    assert all(low > 1.1 * shares[grade] for grade, _, low, _ in wrong.iter_rows())


def _arrays(seen):
    rows = seen.filter(pl.col("weight").is_not_null())
    x = np.column_stack([
        np.ones(rows.height), (rows["grade"] == "severe").to_numpy(), (rows["grade"] == "dementia").to_numpy(),
        rows["age"].to_numpy(),
    ]).astype(float)  # fmt: skip
    return rows, x, rows["ineligible"].to_numpy().astype(float)


def test_odds_are_those_of_statsmodels_without_weights(seen):
    rows, x, y = _arrays(seen)
    oracle = sm.GLM(y, x, family=sm.families.Binomial()).fit(cov_type="HC0")
    ours = fit_ineligible(seen, "grade + age", base={"grade": "moderate"}, weighted=False)
    assert ours.coefficients == pytest.approx(oracle.params[[0, 2, 1, 3]], rel=1e-7)
    own = np.sqrt(np.diag(ours.covariance))
    assert own == pytest.approx(oracle.bse[[0, 2, 1, 3]], rel=1e-6)
    assert ours.facts["visits"] == rows.height


def test_weighted_fit_solves_its_equations_and_its_sandwich_is_that_of_the_rows(seen):
    rows, x, y = _arrays(seen)
    w, order = rows["weight"].to_numpy(), [0, 2, 1, 3]
    ours = fit_ineligible(seen, "grade + age", base={"grade": "moderate"})
    p = 1 / (1 + np.exp(-x[:, order] @ ours.coefficients))
    assert np.abs(x.T @ (w * (y - p))).max() < 1e-5
    bread = np.linalg.inv((x[:, order] * (w * p * (1 - p))[:, None]).T @ x[:, order])
    meat = (x[:, order] * ((w * (y - p)) ** 2)[:, None]).T @ x[:, order]
    assert ours.covariance == pytest.approx(bread @ meat @ bread, rel=1e-6)


def test_hazard_form_is_the_complementary_log_log_of_statsmodels_with_an_offset(seen):
    rows, x, y = _arrays(seen)
    link = sm.families.links.CLogLog()
    offset = np.log(rows["years_since_review"].to_numpy())
    oracle = sm.GLM(y, x, family=sm.families.Binomial(link), offset=offset).fit()
    ours = fit_loss_of_eligibility(seen, "grade + age", base={"grade": "moderate"}, weighted=False)
    assert ours.coefficients == pytest.approx(oracle.params[[0, 2, 1, 3]], rel=1e-5)


def test_order_of_rows_changes_nothing_and_saved_is_the_same(seen, tmp_path):
    one = fit_ineligible(seen, "grade + setting")
    two = fit_ineligible(seen.sample(fraction=1.0, shuffle=True, seed=1), "grade + setting")
    assert one.table.equals(two.table)
    one.save(tmp_path / "fit")
    back = Result.load(tmp_path / "fit")
    assert back.probability(seen)["probability"].equals(one.probability(seen)["probability"])
    for lang in ("en", "zh"):
        assert "{" not in one.finding(lang)
        assert one.figure(lang).data


@pytest.mark.parametrize(("death", "after"), [(0.2, 0.2), (0.25, 0.05), (0.05, 0.25), (0.0, 0.0)])
def test_share_with_death_competing_is_that_of_the_chain(death, after):
    h, t = 0.15, 1.7
    q = np.array([[-(h + death), h, death], [0, -after, after], [0, 0, 0]])
    p = expm(q * t)[0]
    assert float(ineligible_share(h, t, death=death, death_after=after)) == pytest.approx(p[1] / (p[0] + p[1]), rel=1e-12)  # fmt: skip
    if death == after:
        assert float(ineligible_share(h, t, death=death)) == pytest.approx(-np.expm1(-h * t))
    alive = quad(lambda u: h * np.exp(-(h + death) * u - after * (t - u)), 0, t)[0]
    assert p[1] == pytest.approx(alive)


def test_share_at_its_ends():
    assert ineligible_share(0.0, 3.0).item() == 0.0
    assert ineligible_share(0.3, 0.0).item() == 0.0
    assert ineligible_share(5.0, 1e4).item() == 1.0
    assert ineligible_share(0.1, 2.0, death=0.0, death_after=0.1).item() == pytest.approx(0.2 / 1.2)
    for wrong in ({"hazard": -0.1, "years": 1.0}, {"hazard": 0.1, "years": np.nan}):
        with pytest.raises(InputError, match="rates out of their domain"):
            ineligible_share(**wrong)


def test_discrimination_is_that_of_scikit_learn_and_its_error_delongs():
    rng = np.random.default_rng(7)
    score = rng.normal(size=400).round(1)
    y = (rng.random(400) < 1 / (1 + np.exp(1 - score))).astype(float)
    w = rng.uniform(1, 8, 400)
    assert ranked(score, y).area == pytest.approx(roc_auc_score(y, score))
    assert ranked(score, y, w).area == pytest.approx(roc_auc_score(y, score, sample_weight=w))
    one, none = score[y == 1], score[y == 0]
    kernel = (one[:, None] > none) + 0.5 * (one[:, None] == none)
    by_hand = kernel.mean(1).var(ddof=1) / len(one) + kernel.mean(0).var(ddof=1) / len(none)
    assert ranked(score, y).std_error == pytest.approx(np.sqrt(by_hand))
    with pytest.raises(InputError, match="none of 400 visits"):
        ranked(score, np.zeros(400))


def test_calibration_of_the_true_probability_holds_and_of_its_half_does_not(plain):
    cases, visits, truth = plain
    seen = visit_outcomes(cases, visits).join(truth.select("case_id", "probability_then"), on="case_id")  # fmt: skip
    right = calibrate_visits(seen, probability="probability_then")
    assert right.facts["off"] <= 2
    assert right.facts["ratio"] == pytest.approx(1.0, abs=0.1)
    wrong = calibrate_visits(seen.with_columns(p=pl.col("probability_then") / 2), probability="p")
    assert wrong.facts["off"] >= 6
    assert wrong.facts["ratio"] == pytest.approx(2 * right.facts["ratio"])
    assert wrong.facts["discrimination"] == pytest.approx(right.facts["discrimination"])
    assert right.table["visits"].sum() == right.facts["visits"] == seen["weight"].drop_nulls().len()
    low, high = exact_share(np.array([3.0]), np.array([20.0]))
    assert (low[0], high[0]) == pytest.approx((0.0320709, 0.3789268), rel=1e-5)  # Clopper, Pearson


def test_targeting_counts_by_hand_and_does_not_depend_on_order():
    rows = pl.DataFrame({
        "probability": [0.9, 0.8, 0.8, 0.1], "ineligible": [1, 1, 0, 0], "recovered": [100.0, 60.0, 0.0, 0.0],
        "weight": [1.0, 1.0, 1.0, 7.0],
    })  # fmt: skip
    found = target_visits(rows, shares=[0.1, 0.2, 1.0])
    assert found.table["precision"].round(9).to_list() == [1.0, 0.75, 0.2]
    assert found.table["precision_lift"].round(9).to_list() == [5.0, 3.75, 1.0]
    assert found.table["captured_share"].round(9).to_list() == [0.5, 0.75, 1.0]
    assert found.table["recovered_per_visit"].round(9).to_list() == [100.0, 65.0, 16.0]
    assert target_visits(rows.reverse(), shares=[0.1, 0.2, 1.0]).table.equals(found.table)
    with pytest.raises(InputError, match="nothing to rank by"):
        target_visits(rows.with_columns(ineligible=0))
    with pytest.raises(InputError, match="shares rise"):
        target_visits(rows, shares=[0.5, 0.2])


# -- bad input --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def few():
    return draw_care_cases(300, 2)[:2]


def test_visits_that_cannot_be_counted_are_refused_all_at_once(few):
    cases, visits = few
    bad = pl.concat([
        visits.with_columns(
            case_id=pl.when(pl.int_range(pl.len()) == 0).then(pl.lit("没有")).otherwise("case_id"),
            last_review=pl.when(pl.int_range(pl.len()) == 1).then("day").otherwise("last_review"),
        ),
        visits.tail(1).with_columns(visit_id=pl.lit("again")),
    ])  # fmt: skip
    with pytest.raises(InputError) as refused:
        visit_outcomes(cases, bad)
    text = str(refused.value)
    assert "1 of" in text
    assert "没有" in text
    assert "2 visits are to a case visited twice on one day" in text
    assert "1 visits are not after the review before them" in text


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("inclusion", 0.0, "inclusion must be above 0 and at most 1"),
        ("inclusion", 1.5, "inclusion must be above 0"),
        ("inclusion", float("nan"), "inclusion must be above 0"),
        ("hours", -1.0, "hours must be above 0"),
        ("cost", -1.0, "cost must be 0 or more"),
        ("recovered", float("nan"), "recovered must be 0 or more"),
    ],
)
def test_numbers_out_of_their_domain_are_refused(few, column, value, said):
    cases, visits = few
    with pytest.raises(InputError, match=said):
        visit_outcomes(cases, visits.with_columns(pl.lit(value).alias(column)))


def test_cases_are_refused(few):
    cases, visits = few
    day = dt.date(2025, 1, 1)
    with pytest.raises(InputError, match="stand more than once"):
        cases_in_payment(pl.concat([cases, cases.head(1)]), day)
    with pytest.raises(InputError, match="reviewed after"):
        cases_in_payment(cases, dt.date(2023, 1, 1))
    with pytest.raises(InputError, match="no case is in payment"):
        cases_in_payment(cases, dt.date(1990, 1, 1))
    with pytest.raises(InputError, match="reviewed long before the benefit began"):
        cases_in_payment(cases.with_columns(last_review=pl.col("since").dt.offset_by("-1y")), day)
    with pytest.raises(InputError, match="monthly_benefit must be above 0"):
        cases_in_payment(cases.with_columns(monthly_benefit=0.0), day)
    with pytest.raises(InputError, match="there are no rows"):
        cases_in_payment(cases.clear(), day)
    with pytest.raises(InputError, match="validity_months"):
        cases_in_payment(cases, day, validity_months=0.0)
    with pytest.raises(InputError, match="as_of is a day"):
        cases_in_payment(cases, "2025-01-01")
    with pytest.raises(InputError, match="no probability of inclusion"):
        visit_outcomes(cases, visits.with_columns(chosen=pl.lit("random"), inclusion=None))


def test_fits_that_cannot_be_are_refused(few):
    seen = visit_outcomes(*few)
    complaints = seen.with_columns(weight=pl.lit(None, dtype=pl.Float64))
    with pytest.raises(InputError, match="complaints alone"):
        fit_ineligible(complaints, "grade")
    with pytest.raises(InputError, match="no finite relativity"):
        fit_ineligible(seen.with_columns(ineligible=(pl.col("grade") == "severe").cast(pl.Int64)), "grade")  # fmt: skip
    with pytest.raises(InputError, match="weight must be 1 or more"):
        fit_ineligible(seen.with_columns(weight=0.5), "grade")
    with pytest.raises(InputError, match="missing"):
        fit_ineligible(seen, "grad")
    with pytest.raises(InputError, match="not offered"):
        fit_ineligible(seen, "grade", errors="model")
    with pytest.raises(InputError, match="years_since_review must be above 0"):
        fit_loss_of_eligibility(seen.with_columns(years_since_review=0.0), "grade")
    model = fit_ineligible(seen, "setting")
    with pytest.raises(InputError):
        model.probability(pl.DataFrame({"setting": ["moon"]}))
    with pytest.raises(InputError, match="two groups"):
        calibrate_visits(model.probability(seen), tenths=1)


def test_one_probability_for_all_is_one_group(few):
    seen = visit_outcomes(*few).with_columns(probability=0.1)
    found = calibrate_visits(seen)
    assert found.table.height == 1
    assert found.facts["discrimination"] == pytest.approx(0.5)


def test_a_case_visited_on_two_days_is_two_visits(few):
    cases, visits = few
    later = visits.head(1).with_columns(
        visit_id=pl.lit("later"), last_review=pl.col("day"), day=pl.col("day").dt.offset_by("60d")
    )
    assert visit_outcomes(cases, pl.concat([visits, later])).height == visits.height + 1
