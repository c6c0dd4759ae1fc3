"""Selection against effect: estimators against oracles, invariances, bad input, both languages."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from scipy.special import expit

from pricing.causal.adjusted import naive, regression
from pricing.causal.balance import balance, overlap
from pricing.causal.contrast import Contrast, effect_of
from pricing.causal.differences import (
    before_and_after,
    difference_in_differences,
    staggered,
)
from pricing.causal.encouragement import encouragement, local_effect
from pricing.causal.falsification import e_value, falsify, placebo_rows
from pricing.causal.mean_reversion import expected_fall, regression_to_the_mean, spearman_brown
from pricing.causal.nuisance import Nuisance, fit_nuisance, log_fit, propensity_fit
from pricing.causal.people import People, covariates, indicator
from pricing.causal.power import detectable_effect, people_needed, power_statement
from pricing.causal.side_by_side import side_by_side
from pricing.causal.two_periods import two_periods
from pricing.causal.weighting import (
    aipw,
    balancing_weights,
    inverse_probability,
    overlapping,
    standardised,
)
from pricing.data.book import simulate
from pricing.errors import InputError
from pricing.experience.person_years import person_years
from pricing.result.shape import Basis, Result
from pricing.result.words import LANGUAGES

FACTORS = ["age", "sex"]
KEYS = {"treated": "in", "person": "id", "period": "year"}


def book(lives=1_500, years=4, seed=3, effect=0.8, hidden=0.5):
    """Person-years of people who join at a renewal, the healthy (hidden) rather."""
    rng = np.random.default_rng(seed)
    age, health = rng.integers(25, 65, lives), rng.standard_normal(lives)
    sex = np.where(rng.random(lives) < 0.5, "female", "male")
    joins = rng.random(lives) < expit(-0.3 + 0.02 * (age - 45) + hidden * health)
    start = np.where(joins, rng.integers(1, years, lives), 99)
    frames = []
    for year in range(years):
        inside = start <= year
        rate = np.exp(-1.4 + 0.02 * (age - 45) - hidden * 0.5 * health) * np.where(
            inside, effect, 1
        )
        claims = rng.poisson(rate)
        frames.append(pl.DataFrame({
            "id": np.arange(lives), "year": year, "in": inside, "age": age + year, "sex": sex,
            "exposure": np.where(rng.random(lives) < 0.1, 0.5, 1.0), "claims": claims,
            "amount": claims * rng.lognormal(8, 1, lives), "accidents": rng.poisson(0.3, lives),
            "health": health, "invited": np.arange(lives) % 2 == 0,
        }))  # fmt: skip
    rows = pl.concat(frames).sort("id", "year")
    return rows.with_columns(prior=pl.col("claims").shift(1).over("id"))


@pytest.fixture(scope="module")
def rows():
    return book()


@pytest.fixture(scope="module")
def people(rows):
    return People.collect(
        rows.filter(pl.col("year") > 0), treated="in", factors=FACTORS, person="id"
    )


@pytest.fixture(scope="module")
def compared(rows):
    return side_by_side(
        rows, **KEYS, factors=[*FACTORS, "year"], history=["prior"], oracle=["health"], truth=-0.2
    )


# -- oracles ----------------------------------------------------------------------------------------


def test_the_propensity_is_that_of_statsmodels(people):
    for link, family in (
        ("logit", sm.families.links.Logit()),
        ("probit", sm.families.links.Probit()),
    ):
        ours = propensity_fit(people.matrix, people.treated, people.exposure, link=link)
        with np.errstate(all="ignore"):
            theirs = sm.GLM(
                people.treated.astype(float), people.matrix, var_weights=people.exposure,
                family=sm.families.Binomial(link=family),
            ).fit(tol=1e-12)  # fmt: skip
        assert ours == pytest.approx(theirs.params, abs=2e-6)


@pytest.mark.parametrize(("power", "family"), [
    (1.0, sm.families.Poisson()), (1.5, sm.families.Tweedie(var_power=1.5)),
    (2.0, sm.families.Gamma(sm.families.links.Log())),
])  # fmt: skip
def test_rates_are_those_of_statsmodels(people, power, family):
    total = people.total + (0.5 if power == 2.0 else 0.0)
    ours = log_fit(people.matrix, total, people.exposure, power=power, ridge=0.0)
    theirs = sm.GLM(
        total / people.exposure, people.matrix, var_weights=people.exposure, family=family
    ).fit(tol=1e-12)  # fmt: skip
    assert ours == pytest.approx(theirs.params, abs=2e-6)


def test_the_regression_is_statsmodels_with_errors_clustered_by_person(people):
    x = np.column_stack([people.matrix, people.treated])
    theirs = sm.GLM(
        people.total, x, offset=np.log(people.exposure), family=sm.families.Poisson()
    ).fit(cov_type="cluster", cov_kwds={"groups": people.person, "df_correction": True})
    ours = regression(people)
    assert np.log(ours.ratio) == pytest.approx(theirs.params[-1], abs=1e-7)
    n, k, g = len(people.total), x.shape[1], people.number
    # statsmodels multiplies by (n − 1)/(n − k) besides G/(G − 1)
    assert ours.ratio_error == pytest.approx(theirs.bse[-1] * np.sqrt((n - k) / (n - 1)), rel=1e-5)
    assert g == people.person.max() + 1


def test_naive_is_the_regression_on_nothing(rows):
    bare = People.collect(rows, treated="in", person="id")
    a, b = naive(bare), regression(bare)
    assert a.ratio == pytest.approx(b.ratio, rel=1e-9)
    assert a.ratio_error == pytest.approx(b.ratio_error, rel=1e-6)
    assert a.difference_error == pytest.approx(b.difference_error, rel=1e-6)


def test_without_factors_every_estimator_is_the_naive_one(rows):
    bare = People.collect(rows, treated="in", person="id")
    fitted = fit_nuisance(bare, folds=1)
    plain = naive(bare)
    for target in ("ate", "att", "overlap"):
        for estimator in (inverse_probability, standardised, aipw):
            found = estimator(bare, fitted, target)
            assert found.ratio == pytest.approx(plain.ratio, rel=1e-5)
            assert found.ratio_error == pytest.approx(plain.ratio_error, rel=1e-4)


def test_saturated_factors_give_direct_standardisation(rows):
    kept = rows.filter(pl.col("year") > 0)
    people = People.collect(kept, treated="in", factors=["sex"], person="id")
    by = kept.group_by("sex", "in").agg(pl.col("claims").sum(), pl.col("exposure").sum())
    wide = by.with_columns(rate=pl.col("claims") / pl.col("exposure"))
    share = kept.group_by("sex").agg(pl.col("exposure").sum())
    rate = {
        side: wide.filter(pl.col("in") == side).join(share, on="sex")
        .select((pl.col("rate") * pl.col("exposure_right")).sum() / pl.col("exposure_right").sum())
        .item()
        for side in (True, False)
    }  # fmt: skip
    fitted = fit_nuisance(people, folds=1)
    for estimator in (inverse_probability, standardised, aipw):
        found = estimator(people, fitted)
        assert found.treated == pytest.approx(rate[True], rel=1e-5)
        assert found.untreated == pytest.approx(rate[False], rel=1e-5)


def test_aipw_is_right_where_either_model_is_wrong():
    rng = np.random.default_rng(5)
    n = 60_000
    x = rng.standard_normal(n)
    a = rng.random(n) < expit(x)
    frame = pl.DataFrame({
        "in": a, "x": x, "claims": rng.poisson(np.exp(-0.5 - 0.5 * x) * np.where(a, 0.8, 1.0)),
        "exposure": 1.0,
    })  # fmt: skip
    people = People.collect(frame, treated="in", factors=["x"])
    right = fit_nuisance(people, folds=2)
    flat = np.full(n, a.mean())
    rates = [np.full(n, people.total[s].mean()) for s in (a, ~a)]
    wrong_outcome = Nuisance(right.propensity, *rates)
    wrong_propensity = Nuisance(flat, right.treated_rate, right.untreated_rate)
    for fitted in (right, wrong_outcome, wrong_propensity):
        assert aipw(people, fitted).ratio == pytest.approx(0.8, abs=0.035)
    assert aipw(people, Nuisance(flat, *rates)).ratio < 0.6
    assert naive(people).ratio < 0.6


@pytest.mark.parametrize("model", ["tweedie", "two_part", "linear"])
def test_costs_by_every_model_agree_with_the_truth(model):
    found = book(lives=6_000, hidden=0.0, seed=8)
    people = People.collect(
        found.filter(pl.col("year") > 0), treated="in", factors=FACTORS, outcome="amount",
        person="id", cap=30_000,
    )  # fmt: skip
    contrast = aipw(people, fit_nuisance(people, outcome=model, folds=2))
    assert np.log(contrast.ratio / 0.8) == pytest.approx(0, abs=3 * contrast.ratio_error)


def test_boosted_models_find_what_a_line_cannot():
    rng = np.random.default_rng(5)
    n = 6_000
    x = rng.uniform(-2, 2, n)
    a = rng.random(n) < np.where(np.abs(x) > 1, 0.7, 0.3)
    rate = np.where(np.abs(x) > 1, 0.4, 1.2) * np.where(a, 0.8, 1.0)
    frame = pl.DataFrame({"in": a, "x": x, "claims": rng.poisson(rate), "exposure": 1.0})
    people = People.collect(frame, treated="in", factors=["x"])
    contrast = aipw(people, fit_nuisance(people, learner="boosting", folds=2))
    assert np.log(contrast.ratio / 0.8) == pytest.approx(0, abs=3 * contrast.ratio_error)
    assert naive(people).ratio < 0.7


def test_overlap_weights_balance_means_exactly(people):
    fitted = fit_nuisance(people, folds=1)
    found = balance(people, fitted, "overlap")
    assert found.table["smd_after"].abs().max() < 1e-5
    assert found.table["smd_before"].abs().max() > 0.05


def test_weights_by_hand():
    a, pi = np.array([True, False]), np.array([0.25, 0.25])
    assert balancing_weights(a, pi, "att").tolist() == pytest.approx([1.0, 1 / 3])
    assert balancing_weights(a, pi, "overlap").tolist() == [0.75, 0.25]
    with pytest.raises(InputError, match="did you mean 'att'"):
        balancing_weights(a, pi, "atts")


def test_trimming_leaves_out_who_has_no_like(people):
    pi = np.where(np.arange(len(people.total)) % 4 == 0, 0.001, 0.4)
    kept, nuisance, left = overlapping(people, Nuisance(pi, pi, pi), 0.01)
    out = pi == 0.001
    assert len(kept.total) == (~out).sum() == len(nuisance.propensity)
    assert left == pytest.approx(people.exposure[out].sum() / people.exposure.sum())
    with pytest.raises(InputError, match="nobody to compare with"):
        overlapping(people, Nuisance(np.full(len(pi), 0.001), pi, pi), 0.01)
    with pytest.raises(InputError, match="trim lies from 0"):
        overlapping(people, Nuisance(pi, pi, pi), 0.5)


# -- differences in differences ---------------------------------------------------------------------


def test_two_periods_without_factors_are_the_four_means():
    rng = np.random.default_rng(1)
    before, after, d = rng.random(200), rng.random(200), rng.random(200) < 0.4
    found = two_periods(before, after, d)
    change = after - before
    assert found.difference == pytest.approx(change[d].mean() - change[~d].mean(), rel=1e-12)
    error = np.sqrt(change[d].var() / d.sum() + change[~d].var() / (~d).sum())
    assert found.difference_error == pytest.approx(error * np.sqrt(200 / 199), rel=1e-9)
    ratio = two_periods(before, after, d, trend="ratio")
    by_hand = (after[d].mean() / before[d].mean()) / (after[~d].mean() / before[~d].mean())
    assert ratio.ratio == pytest.approx(by_hand, rel=1e-12)


def test_doubly_robust_did_is_regression_where_all_weights_are_one():
    """With factors of no bearing on joining it is close to the interaction of a regression."""
    rng = np.random.default_rng(2)
    n = 40_000
    x = rng.standard_normal(n)
    d = rng.random(n) < expit(x)
    before = x + rng.standard_normal(n)
    after = before + 0.5 * x + 0.3 * d + rng.standard_normal(n)
    matrix = np.column_stack([np.ones(n), x])
    plain, double = two_periods(before, after, d), two_periods(before, after, d, matrix=matrix)
    assert plain.difference > 0.6  # trends differ by x
    assert abs(double.difference - 0.3) < 3 * double.difference_error
    assert double.difference_error < 0.02


def test_the_influence_of_did_is_its_jackknife():
    rng = np.random.default_rng(4)
    n = 300
    x = np.column_stack([np.ones(n), rng.standard_normal(n)])
    d = rng.random(n) < expit(0.8 * x[:, 1])
    before, w = rng.random(n), rng.uniform(0.5, 1, n)
    after = 0.1 * rng.random(n) + 0.2 * x[:, 1] ** 2 + 1.0  # bent: the regression is wrong
    for trend in ("difference", "ratio"):

        def of(keep, trend=trend):
            c = two_periods(
                before[keep], after[keep], d[keep], matrix=x[keep], weight=w[keep], trend=trend
            )
            return c.difference

        everyone = two_periods(before, after, d, matrix=x, weight=w, trend=trend)
        gone = np.array([of(np.arange(n) != i) for i in range(n)])
        jackknife = np.sqrt((n - 1) / n * ((gone - gone.mean()) ** 2).sum())
        assert everyone.difference_error == pytest.approx(jackknife, rel=0.06)


def test_staggered_with_one_group_is_two_periods(rows):
    two = rows.filter(pl.col("year") < 2)
    found = difference_in_differences(two, **KEYS)
    wide = two.pivot(on="year", index="id", values=["claims", "exposure", "in"])
    e = np.minimum(wide["exposure_0"].to_numpy(), wide["exposure_1"].to_numpy())
    rate = [(wide[f"claims_{t}"] / wide[f"exposure_{t}"]).to_numpy() for t in (0, 1)]
    by_hand = two_periods(rate[0], rate[1], wide["in_1"].to_numpy(), weight=e)
    assert found.table["rate_difference"][0] == pytest.approx(by_hand.difference, rel=1e-12)
    pooled = staggered(two, **KEYS)
    assert pooled.effect.difference_error == pytest.approx(by_hand.difference_error, rel=1e-9)


def test_staggered_controls_are_those_not_yet_in(rows):
    """Effects that grow with time: two-way fixed effects would be wrong, group-time ones are not."""
    frame = pl.DataFrame({
        "id": np.repeat(np.arange(300), 4), "year": np.tile(np.arange(4), 300),
        "start": np.repeat(np.tile([1, 2, 99], 100), 4), "exposure": 1.0,
    }).with_columns(since=pl.col("year") - pl.col("start"))  # fmt: skip
    frame = frame.with_columns(
        pl.col("since").ge(0).alias("in"),
        claims=10.0 + pl.col("year") - pl.when(pl.col("since") >= 0).then(pl.col("since") + 1).otherwise(0),
    )  # fmt: skip
    found = staggered(frame, **KEYS)
    effect = dict(zip(found.table["years_since"], found.table["rate_difference"], strict=False))
    assert effect == pytest.approx({0: -1.0, 1: -2.0, 2: -3.0, -1: 0.0})
    assert found.effect.difference == pytest.approx(-(1 + 2 + 3 + 1 + 2) / 5)
    assert found.lead.difference == pytest.approx(0.0)


def test_before_and_after_takes_the_trend_for_the_effect(rows):
    found = before_and_after(rows, **KEYS)
    joined = rows.filter(pl.col("in")).group_by("id").agg(pl.col("year").min().alias("start"))
    pairs = rows.join(joined, on="id")
    one = pairs.filter(pl.col("year") == pl.col("start")).sort("id")
    other = pairs.filter(pl.col("year") == pl.col("start") - 1).sort("id")
    w = np.minimum(one["exposure"].to_numpy(), other["exposure"].to_numpy())
    rate = [float(w @ (f["claims"] / f["exposure"]).to_numpy() / w.sum()) for f in (one, other)]
    assert [found.treated, found.untreated] == pytest.approx(rate)


# -- encouragement, reversion, power, falsification -------------------------------------------------


def test_a_lottery_gives_the_compliers_effect_where_joining_is_confounded():
    rng = np.random.default_rng(7)
    n = 20_000
    health, lot = rng.standard_normal(n), rng.random(n) < 0.5
    eager = health + rng.standard_normal(n)
    joins = np.where(lot, eager > -0.3, eager > 0.7)
    claims = rng.poisson(np.exp(-0.7 - 0.4 * health) * np.where(joins, 0.8, 1.0))
    frame = pl.DataFrame({"in": joins, "z": lot, "claims": claims, "exposure": 1.0,
                          "noise": rng.standard_normal(n)})  # fmt: skip
    found = encouragement(frame, encouraged="z", treated="in", factors=["noise"], folds=2)
    row = found.table.row(0, named=True)
    assert row["population"] == "late"
    assert row["lower"] < -0.2 < row["upper"]
    assert naive(People.collect(frame, treated="in")).ratio < 0.65
    assert "F = " in found.basis.notes[-2]
    wald = frame.group_by("z").agg(pl.col("claims").mean(), pl.col("in").mean()).sort("z")
    plain = local_effect(People.collect(frame, treated="z"), joins, folds=1)
    by_hand = np.diff(wald["claims"].to_numpy()) / np.diff(wald["in"].to_numpy())
    assert plain[0].difference == pytest.approx(by_hand[0], rel=1e-9)
    with pytest.raises(InputError, match="brought nobody"):
        local_effect(People.collect(frame, treated="z"), np.ones(n, dtype=bool), folds=1)


def test_the_closed_form_of_reversion_is_what_a_normal_sample_shows():
    rng = np.random.default_rng(11)
    first = rng.standard_normal(400_000)
    second = 0.6 * first + 0.8 * rng.standard_normal(400_000)
    top = first > np.quantile(first, 0.8)
    assert (first[top] - second[top]).mean() == pytest.approx(expected_fall(0.2, 0.6), abs=0.01)
    assert expected_fall(0.3, 1.0) == 0
    assert spearman_brown(0.41, 1) == pytest.approx(0.41)
    for bad in ((0, 0.5), (1, 0.5), (0.2, 1.5)):
        with pytest.raises(InputError):
            expected_fall(*bad)
    with pytest.raises(InputError):
        spearman_brown(1.2, 3)


def test_reversion_is_there_without_the_programme():
    found = regression_to_the_mean(
        book(hidden=0.0, effect=1.0), person="id", period="year", treated="in"
    )
    change = dict(zip(found.table["side"], found.table["relative_change"], strict=False))
    last = found.table.filter(history="claims last year")
    change = dict(zip(last["side"], last["relative_change"], strict=True))
    assert change["outside"] < -0.5
    assert change["inside"] == pytest.approx(change["outside"], abs=0.15)
    whole = found.table.filter(history="all", side="everybody").row(0, named=True)
    assert whole["persons"] == 1_500 * 3


def test_power_and_the_detectable_effect_are_each_others_inverse():
    n = people_needed(0.05, 3.0, allocation=3.0, design_effect=1.4, alpha=0.1, power=0.9)
    back = detectable_effect(n, 3.0, allocation=3.0, design_effect=1.4, alpha=0.1, power=0.9)
    assert back == pytest.approx(0.05)
    assert people_needed(0.05, 3.0) == pytest.approx(2 * 2.801585**2 * 9 / 0.05**2, rel=1e-5)
    for wrong in ({"cv": 0.0}, {"cv": 1.0, "alpha": 1.0}, {"cv": 1.0, "allocation": -1.0}):
        with pytest.raises(InputError):
            people_needed(0.05, **wrong)
    with pytest.raises(InputError, match="effect of nil"):
        people_needed(0.0, 1.0)


def test_the_power_statement_has_the_power_it_says(rows):
    found = power_statement(rows, treated="in", person="id", effect=0.3)
    assert found.facts["enough"]
    assert found.facts["design_effect"] > 1  # the same people, year after year
    # the error of the naive ratio is what the statement counts with, but for the split of claims
    error = naive(People.collect(rows, treated="in", person="id")).ratio_error
    assert found.facts["smallest"] == pytest.approx(2.801585 * error, rel=0.15)
    small = power_statement(rows, treated="in", person="id", effect=0.01)
    assert not small.facts["enough"]
    assert "cannot prove" in small.finding("en")
    with pytest.raises(InputError, match="fractions between 0 and 1"):
        power_statement(rows, treated="in", effect=5)


def test_a_placebo_year_shows_selection_and_a_negative_control_does_not(rows):
    found = falsify(book(lives=6_000, hidden=1.0), **KEYS, factors=FACTORS, controls=["accidents"])
    by = {r["falsification"]: r for r in found.table.iter_rows(named=True)}
    assert not by["placebo year"]["passed"]
    assert by["placebo year"]["relative_effect"] < -0.2
    assert by["negative control"]["passed"]
    assert found.facts["failed"] == 1
    assert "1 of 2" in found.finding("en")
    honest = falsify(book(lives=4_000, hidden=0.0), **KEYS, factors=FACTORS)
    assert honest.table["passed"].all()
    before = placebo_rows(rows, **KEYS)
    assert not before["in"].any()
    with pytest.raises(InputError, match="no negative control"):
        falsify(rows.filter(pl.col("year") == 3), **KEYS)


def test_e_values():
    assert e_value(2.0) == pytest.approx(2 + np.sqrt(2))
    assert e_value(0.5) == pytest.approx(e_value(2.0))
    for bad in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError):
            e_value(bad)


# -- side by side -----------------------------------------------------------------------------------


def test_side_by_side_tells_selection_from_effect(compared):
    table = compared.effects.table
    effect = dict(zip(table["estimator"], table["relative_effect"], strict=True))
    assert next(iter(effect)) == "naive"
    assert list(effect)[-1] == "oracle"
    assert len(effect) == 13
    assert effect["naive"] < effect["oracle"]
    assert compared.effects.facts["believed_by"] == "doubly robust DiD"
    row = table.row(by_predicate=pl.col("estimator") == "oracle", named=True)
    assert row["lower"] < -0.2 < row["upper"]
    held = table.row(by_predicate=pl.col("estimator") == "doubly robust DiD", named=True)
    assert held["lower"] < -0.2 < held["upper"]
    assert set(compared.effects.frames["group_time"]["joined_in"]) == {1, 2, 3}
    assert table["e_value_limit"].min() >= 1.0


def test_a_lottery_is_believed_first_and_one_can_choose(rows):
    names = {"factors": FACTORS, "folds": 2}
    idle = side_by_side(rows, **KEYS, **names, encouraged="invited").effects  # it moved nobody
    assert idle.facts["believed_by"] == "doubly robust DiD"
    moved = pl.col("invited") & (pl.col("id") % 3 == 0) & (pl.col("year") > 0)
    drawn = rows.with_columns((pl.col("in").cast(pl.Boolean) | moved).alias("in"))
    found = side_by_side(drawn, **KEYS, **names, encouraged="invited")
    assert found.effects.facts["believed_by"] == "encouragement"
    chosen = side_by_side(rows, **KEYS, **names, believe="AIPW")
    assert chosen.effects.facts["believed_by"] == "AIPW"
    with pytest.raises(InputError, match="did you mean 'AIPW'"):
        side_by_side(rows, **KEYS, **names, believe="AIPV")


def test_one_year_alone_is_compared_without_differences(rows):
    found = side_by_side(rows.filter(pl.col("year") == 2), **KEYS, factors=FACTORS)
    names = found.effects.table["estimator"].to_list()
    assert "doubly robust DiD" not in names
    assert found.effects.facts["believed_by"] == "AIPW, those who join"


def test_order_names_and_units_do_not_matter(rows):
    names = {"factors": FACTORS, "folds": 1}
    here = side_by_side(rows, **KEYS, **names).effects.table
    moved = rows.sample(fraction=1.0, shuffle=True, seed=1)
    there = side_by_side(moved, **KEYS, **names).effects.table
    columns = ["relative_effect", "lower", "upper", "rate_difference", "difference_upper"]
    for name in columns:
        assert there[name].to_numpy() == pytest.approx(here[name].to_numpy(), rel=1e-6)
    months = rows.with_columns(pl.col("exposure") * 12)
    scaled = side_by_side(months, **KEYS, **names).effects.table
    for name in columns[:3]:
        assert scaled[name].to_numpy() == pytest.approx(here[name].to_numpy(), rel=1e-5)
    assert scaled["rate_inside"].to_numpy() * 12 == pytest.approx(
        here["rate_inside"].to_numpy(), rel=1e-5
    )


def test_a_row_split_in_two_changes_no_rate_and_no_error(rows):
    one = rows.filter(pl.col("year") == 2).with_columns(pl.col("claims").cast(pl.Float64))
    half = pl.concat([one.with_columns(pl.col("exposure", "claims") / 2)] * 2)
    for estimator in (naive, regression):
        a = estimator(People.collect(one, treated="in", factors=FACTORS, person="id"))
        b = estimator(People.collect(half, treated="in", factors=FACTORS, person="id"))
        assert b.ratio == pytest.approx(a.ratio, rel=1e-7)
        assert b.ratio_error == pytest.approx(a.ratio_error, rel=1e-6)
    a, b = (People.collect(f, treated="in", factors=FACTORS, person="id") for f in (one, half))
    x, y = (aipw(p, fit_nuisance(p, folds=1)) for p in (a, b))
    assert y.ratio == pytest.approx(x.ratio, rel=1e-6)
    assert y.ratio_error == pytest.approx(x.ratio_error, rel=1e-5)


def test_every_result_speaks_both_languages_draws_and_is_kept(compared, rows, people, tmp_path):
    fitted = fit_nuisance(people, folds=1)
    results = [
        compared.effects, compared.balance, compared.overlap, balance(people, fitted),
        overlap(people, fitted), power_statement(rows, treated="in", person="id"),
        falsify(rows, **KEYS, factors=FACTORS, controls=["accidents"]),
        regression_to_the_mean(rows, person="id", period="year", treated="in"),
        regression_to_the_mean(rows, person="id", period="year"),
        difference_in_differences(rows, **KEYS, factors=FACTORS),
        side_by_side(rows, **KEYS, factors=FACTORS).effects,
    ]  # fmt: skip
    for i, result in enumerate(results):
        said = [result.finding(lang) for lang in LANGUAGES]
        assert said[0] != said[1]
        assert not any("\u4e00" <= c <= "\u9fff" for c in said[0]), said[0]
        for lang in LANGUAGES:
            assert len(result.figure(lang).data) > 0
        assert len(result.basis.fingerprint) == 16
        result.save(tmp_path / str(i))
        back = Result.load(tmp_path / str(i))
        assert back.table.equals(result.table)
        assert back.finding("zh") == said[1]


def test_the_picture_shows_the_table(compared):
    figure = compared.effects.figure("en")
    drawn = sorted(x for trace in figure.data if trace.mode == "markers" for x in trace.x)
    assert drawn == sorted(compared.effects.table["relative_effect"])
    assert list(figure.data[-1].x) == [-0.2, -0.2]


# -- bad input --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("change", "said"), [
    ({"treated": "nowhere"}, "did you mean|there are"),
    ({"factors": ["aeg"]}, "did you mean 'age'"),
    ({"outcome": "sex"}, "not a number"),
    ({"person": "idd"}, "did you mean 'id'"),
])  # fmt: skip
def test_columns_that_are_not_there_are_named(rows, change, said):
    with pytest.raises(InputError, match=said):
        People.collect(rows, **({"treated": "in", "factors": FACTORS, "person": "id"} | change))


def test_rows_that_cannot_be_compared_are_refused(rows):
    with pytest.raises(
        InputError, match=r"'prior' is null, NaN or infinite in 1,500 of 6,000 rows"
    ):
        People.collect(rows, treated="in", factors=["prior"])
    with pytest.raises(InputError, match="nobody is in"):
        People.collect(rows.filter(pl.col("year") == 0), treated="in")
    with pytest.raises(InputError, match="everybody is in"):
        People.collect(rows.filter("in"), treated="in")
    with pytest.raises(InputError, match=r"2 rows are neither yes nor no, such as \['perhaps'\]"):
        indicator(pl.Series("in", ["yes", "perhaps", "no", "perhaps"]))
    with pytest.raises(InputError, match="zero in every row"):
        People.collect(rows.with_columns(claims=0), treated="in")
    with pytest.raises(InputError, match="a cap is above zero"):
        People.collect(rows, treated="in", cap=0)
    with pytest.raises(InputError, match="not above zero in"):
        People.collect(rows.with_columns(exposure=pl.lit(0.0)), treated="in")


def test_people_say_what_they_are(rows):
    capped = People.collect(rows, treated="in", outcome="amount", cap=5_000, person="id")
    assert capped.total.max() == 5_000
    assert any("capped" in note for note in capped.basis.notes)
    assert capped.number == 1_500
    folds = capped.folds(5)
    assert pl.DataFrame({"p": capped.person, "f": folds}).unique().height == 1_500
    with pytest.raises(InputError, match="folds"):
        capped.folds(9_999)
    assert covariates(rows, ["age", "in", "sex"])[1] == ("1", "age", "age²", "in", "sex[male]")


def test_models_and_designs_that_are_none_of_ours_are_refused(people, rows):
    with pytest.raises(InputError, match="did you mean 'poisson'"):
        fit_nuisance(people, outcome="poison")
    with pytest.raises(InputError, match="did you mean 'boosting'"):
        fit_nuisance(people, learner="bosting")
    with pytest.raises(InputError, match="did you mean 'ratio'"):
        two_periods(np.ones(2), np.ones(2), np.array([True, False]), trend="ratios")
    with pytest.raises(InputError, match="people of both sides"):
        two_periods(np.ones(2), np.ones(2), np.array([True, True]))
    with pytest.raises(InputError, match="twice in a period"):
        difference_in_differences(pl.concat([rows, rows]), **KEYS)
    with pytest.raises(InputError, match="twice in a period"):
        regression_to_the_mean(pl.concat([rows, rows]), person="id", period="year")
    with pytest.raises(InputError, match="whole numbers"):
        difference_in_differences(rows.with_columns(pl.col("year") + 0.5), **KEYS)
    with pytest.raises(InputError, match="not a number"):
        difference_in_differences(rows.with_columns(pl.col("year").cast(pl.String)), **KEYS)
    with pytest.raises(InputError, match="nobody is seen the year before"):
        difference_in_differences(rows.filter(pl.col("year") == 3), **KEYS)
    with pytest.raises(InputError, match="lack a factor"):
        difference_in_differences(rows, **KEYS, factors=["prior"])
    with pytest.raises(InputError, match="no row has"):
        side_by_side(rows.filter(pl.col("year") == 0), **KEYS, history=["prior"])
    with pytest.raises(InputError, match="above -1"):
        side_by_side(rows, **KEYS, truth=-2.0)
    with pytest.raises(InputError, match="sure to join"):
        propensity_fit(np.column_stack([np.ones(8), np.arange(8.0)]), np.arange(8) > 3, np.ones(8))
    bare = People.collect(rows, treated="in")
    fitted = fit_nuisance(bare, folds=1)
    with pytest.raises(InputError, match="there is no factor to balance"):
        balance(bare, fitted)


def test_a_rate_of_nil_has_no_ratio():
    nil = Contrast(0.0, 1.0, np.zeros(2), np.zeros(2), np.arange(2))
    with pytest.raises(InputError, match="have no ratio"):
        effect_of({("naive", "association"): nil}, Basis())
    one = Contrast(1.0, 1.0, np.zeros(2), np.zeros(2), np.arange(2))
    with pytest.raises(InputError, match="between 0 and 1"):
        effect_of({("naive", "association"): one}, Basis(), level=95)


# -- a simulated long-term book ---------------------------------------------------------------------


def test_a_small_simulated_book_runs_through_every_estimator(tmp_path):
    book_of = simulate(tmp_path / "book", policies=2_500, seed=4)
    read = {n: pl.read_parquet(book_of / n) for n in ("policies", "renewals", "claims", "truth")}
    years = person_years(read["policies"], read["renewals"], read["claims"]).rows.join(
        read["truth"], on=["policy_id", "policy_year"]
    )
    known = {"treated": "in_programme", "person": "policy_id", "period": "policy_year"}
    factors = ["age", "sex", "region", "tier", "channel", "chronic", "policy_year"]
    for outcome, model in (("claims", "poisson"), ("amount", "two_part")):
        found = side_by_side(
            years, **known, factors=factors, history=["prior_claims"], oracle=["latent_health"],
            outcome=outcome, model=model, cap=100_000 if outcome == "amount" else None, truth=-0.03,
        )  # fmt: skip
        assert found.effects.table.height == 13
        assert found.effects.table["lower"].is_finite().all()
        notes = " ".join(found.effects.basis.notes)
        assert "too small for DiD" in notes
        assert "rows without prior_claims serve DiD only" in notes
    assert "claim" in found.effects.finding("en")


def test_cells_give_the_points_of_their_rows(rows):
    kept = rows.filter(pl.col("year") > 0)
    cells = kept.group_by("in", "sex", maintain_order=True).agg(pl.col("claims", "exposure").sum())
    for estimator in (naive, regression):
        a, b = (estimator(People.collect(f, treated="in", factors=["sex"])) for f in (kept, cells))
        assert b.ratio == pytest.approx(a.ratio, rel=1e-7)
        assert b.difference == pytest.approx(a.difference, rel=1e-6)


@pytest.mark.parametrize(("target", "model"), [
    ("ate", "poisson"), ("att", "poisson"), ("overlap", "poisson"), ("ate", "tweedie"),
    ("att", "two_part"), ("ate", "linear"),
])  # fmt: skip
def test_errors_of_fitted_models_are_the_jackknifes_over_persons(target, model):
    found = book(lives=260, years=3, seed=12).filter(pl.col("year") > 0)
    found = found.with_columns(claims=pl.col("claims") * (1 + pl.col("id") % 3))
    people = People.collect(found, treated="in", factors=["sex", "health"], person="id")

    def of(keep):
        part = replace(
            people, treated=people.treated[keep], total=people.total[keep],
            exposure=people.exposure[keep], cell=people.cell[keep],
            person=np.unique(people.person[keep], return_inverse=True)[1],
        )  # fmt: skip
        fitted = fit_nuisance(part, outcome=model, folds=1)
        return [e(part, fitted, target) for e in (inverse_probability, standardised, aipw)]

    everyone = of(np.ones(len(people.total), dtype=bool))
    each = np.array(
        [[(c.difference, c.treated) for c in of(people.person != i)] for i in range(260)]
    )
    jackknife = np.sqrt(259 / 260 * ((each - each.mean(axis=0)) ** 2).sum(axis=0))
    for contrast, (error, inside) in zip(everyone, jackknife, strict=True):
        assert contrast.difference_error == pytest.approx(error, rel=0.08)
        alone = replace(contrast, untreated_influence=0 * contrast.untreated_influence)
        assert alone.difference_error == pytest.approx(inside, rel=0.08)


def test_a_persons_own_claims_never_train_the_prediction_made_for_them(people):
    person = people.person == 17
    other = people.with_outcome(np.where(person, 500.0, people.total), "claims")
    for learner in ("glm", "boosting"):
        one, two = (fit_nuisance(p, folds=3, learner=learner) for p in (people, other))
        moved = 0.0
        for name in ("treated_rate", "untreated_rate"):
            a, b = getattr(one, name), getattr(two, name)
            moved = max(moved, float(np.abs(a / b - 1).max()))
            assert a[person] == pytest.approx(b[person], rel=1e-8)
        assert moved > 0.01


def test_predictions_without_an_error_of_their_own_are_refused(people, rows):
    with pytest.raises(InputError, match="no error of their own"):
        standardised(people, fit_nuisance(people, folds=2))
    found = side_by_side(
        rows.filter(pl.col("year") == 2), **KEYS, factors=FACTORS, learner="boosting", folds=2
    )
    assert "standardised regression" not in found.effects.table["estimator"].to_list()


def test_the_error_of_an_overlap_population_counts_that_it_was_estimated():
    rng = np.random.default_rng(9)
    n = 200
    x = rng.uniform(-1, 1, n)
    frame = pl.DataFrame({
        "in": rng.random(n) < expit(-1.5 + 2 * x), "x": x, "claims": 3.0 + 2 * x, "exposure": 1.0,
        "id": np.arange(n),
    })  # fmt: skip

    def of(part):
        people = People.collect(part, treated="in", factors=["x"], person="id")
        people = replace(
            people,
            design=np.column_stack([np.ones(part.height), part["x"]]),
            cell=np.arange(part.height),
        )
        return standardised(people, fit_nuisance(people, outcome="linear", folds=1), "overlap")

    each = np.array([of(frame.filter(pl.col("id") != i)).treated for i in range(n)])
    jackknife = np.sqrt((n - 1) / n * ((each - each.mean()) ** 2).sum())
    whole = of(frame)
    alone = replace(whole, untreated_influence=0 * whole.untreated_influence)
    assert alone.difference_error == pytest.approx(jackknife, rel=0.05)
