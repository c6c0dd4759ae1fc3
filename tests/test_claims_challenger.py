"""Challengers: cells against rows, balance, what is saved, and where claims side with them."""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np
import polars as pl
import pytest
from scipy.stats import false_discovery_control

from pricing.claims.boosting import Growth, grow
from pricing.claims.challenger import fit_challenger
from pricing.claims.contest import benjamini_hochberg, contest
from pricing.claims.models import fit_frequency
from pricing.claims.partial_dependence import partial_dependence
from pricing.claims.penalised import fit_elastic_net
from pricing.claims.pure_premium import fit_pure_premium
from pricing.claims.severity import fit_severity
from pricing.errors import InputError
from pricing.estimate.response import RESPONSES
from pricing.experience.bands import band
from pricing.experience.cells import Experience
from pricing.result.shape import Result
from pricing.result.words import catalogue
from pricing.validation.lift import double_lift

AGES = ["18-29", "30-39", "40-49", "50-59"]
KEYS = ["age_band", "sex", "region"]
FORMULA = "age_band + sex + region"
FITS = {
    "frequency": fit_frequency,
    "severity": fit_severity,
    "pure_premium": fit_pure_premium,
}


@cache
def rows(seed: int = 7, *, count: int = 12_000, frequency: float = 1.7, severity: float = 1.0):
    """A book whose main effects are known, and one interaction: the oldest men."""
    rng = np.random.default_rng(seed)
    age, male, region = (rng.integers(0, k, count) for k in (4, 2, 3))
    cell = (age == 3) & (male == 1)
    exposure = rng.uniform(0.3, 1.0, count)
    rate = 0.3 * np.exp(0.15 * age + 0.2 * male + 0.1 * region) * np.where(cell, frequency, 1.0)
    claims = rng.poisson(exposure * rate)
    size = 500 * np.exp(0.1 * age) * np.where(cell, severity, 1.0)
    amount = np.where(claims > 0, rng.gamma(np.maximum(2.0 * claims, 1.0)) * size / 2, 0.0)
    return pl.DataFrame(
        {
            "age_band": np.array(AGES)[age],
            "sex": np.array(["female", "male"])[male],
            "region": np.array(["north", "south", "west"])[region],
            "fold": rng.integers(1, 6, count).astype(str),
            "exposure": exposure,
            "claims": claims,
            "amount": amount,
        }
    )


def cells(frame: pl.DataFrame, keys=(*KEYS, "fold")) -> Experience:
    return Experience.collect(frame, list(keys), amount="amount")


@cache
def fitted(response: str = "frequency", **settings):
    frame = rows(severity=1.6) if response == "severity" else rows()
    return fit_challenger(cells(frame), folds="fold", trees=80, response=response, **settings)


# -- cells are rows ---------------------------------------------------------------------------------


@pytest.mark.parametrize("response", list(FITS))
def test_cells_with_weights_grow_the_trees_of_their_rows(response):
    one = rows().head(1_500).with_row_index("row")
    if response == "severity":
        one = one.filter(pl.col("amount") > 0)
    growth = Growth(
        loss="gamma" if response == "severity" else "poisson",
        leaves=5,
        learning_rate=0.2,
        credibility=3.0,
        monotone=(0, 0, 0),
        unordered=(False,) * 3,
        seed=1,
    )
    found = {}
    for name, keys in (("rows", [*KEYS, "row"]), ("cells", KEYS)):
        seen = cells(one, keys)
        sums = RESPONSES[response].read(seen)
        x = seen.cells.select(pl.col(KEYS).to_physical()).to_numpy().astype(np.float64)
        unit = 500.0 if response == "pure_premium" else 1.0
        model = grow(x, sums, growth, 30, unit)
        places = np.array(list(product(range(4), range(2), range(3))), dtype=np.float64)
        found[name] = len(x), model.predict(places)
    assert found["rows"][0] == one.height > 10 * found["cells"][0]
    np.testing.assert_allclose(found["cells"][1], found["rows"][1], rtol=1e-7)


def test_a_leaf_moves_by_its_credibility():
    """One tree, one split: ln(rate/mean) = (n − E)/(E + K)."""
    frame = pl.DataFrame({"a": ["x", "y"], "exposure": [100.0, 300.0], "claims": [30, 50]})
    sums = RESPONSES["frequency"].read(Experience.collect(frame, ["a"]))
    growth = Growth(
        loss="poisson",
        leaves=2,
        learning_rate=1.0,
        credibility=25.0,
        monotone=(0,),
        unordered=(False,),
        seed=1,
    )
    x = np.array([[0.0], [1.0]])
    expected = np.array([20.0, 60.0])
    right = 0.2 * np.exp((np.array([30.0, 50.0]) - expected) / (expected + 25.0))
    np.testing.assert_allclose(grow(x, sums, growth, 1).predict(x), right, rtol=1e-6)


@pytest.mark.parametrize("response", list(FITS))
def test_fitted_is_observed_in_total(response):
    found = fitted(response)
    frame = rows(severity=1.6) if response == "severity" else rows()
    weight = "claims" if response == "severity" else "exposure"
    scored = found.score(frame.filter(pl.col(weight) > 0), exposure=weight)
    actual = frame["claims" if response == "frequency" else "amount"].sum()
    assert scored["expected"].sum() == pytest.approx(actual, rel=1e-9)
    assert found.facts["complete"]
    assert found.frames["rates"].height == 4 * 2 * 3
    assert 0 < found.facts["trees"] <= 80


def test_the_order_of_rows_and_the_unit_of_money_do_not_matter():
    one = fitted("pure_premium")
    mixed = rows().sample(fraction=1.0, shuffle=True, seed=3)
    mixed = mixed.with_columns(amount=pl.col("amount") * 1_000)
    other = fit_challenger(cells(mixed), folds="fold", trees=80, response="pure_premium")
    assert other.facts["trees"] == one.facts["trees"]
    np.testing.assert_allclose(
        other.frames["rates"]["rate"], 1_000 * one.frames["rates"]["rate"].to_numpy(), rtol=1e-6
    )
    np.testing.assert_allclose(other.table["gain"], one.table["gain"], rtol=1e-5)


# -- judged, said, saved ----------------------------------------------------------------------------


def test_a_factor_is_worth_what_drawing_it_by_chance_loses():
    found = fitted()
    assert set(found.table["term"]) == set(KEYS)
    assert (found.table["lower"] < found.table["gain"]).all()
    noise = rows().with_columns(
        noise=pl.Series(np.random.default_rng(1).integers(0, 4, rows().height).astype(str))
    )
    with_noise = fit_challenger(cells(noise, [*KEYS, "noise", "fold"]), folds="fold", trees=60)
    gains = dict(with_noise.table.select("term", "gain").iter_rows())
    assert gains["noise"] < 0.1 * gains["region"]
    assert found.facts["strongest"] == "age_band"


def test_a_fold_is_predicted_by_the_others_alone():
    """Grown by hand on the other folds, with the number of trees that the table names."""
    seen, found = cells(rows()), fitted()
    out = found.frames["out_of_fold"].with_columns(seen.cells["fold"].cast(pl.String).alias("key"))
    assert (out["fold"] == out["key"]).all()
    trees = dict(found.frames["folds"].select("fold", "trees").iter_rows())
    growth = Growth(
        loss="poisson",
        leaves=6,
        learning_rate=0.1,
        credibility=20.0,
        monotone=(0, 0, 0),
        unordered=(False,) * 3,
        seed=1,
    )
    rest = cells(rows().filter(pl.col("fold") != "2"))
    x, own = (
        e.cells.select(pl.col(KEYS).to_physical()).to_numpy().astype(np.float64)
        for e in (rest, seen.where(pl.col("fold") == "2"))
    )
    sums = RESPONSES["frequency"].read(rest)
    model = grow(x, sums, growth, trees["2"])
    factor = sums.total.sum() / (sums.weight @ model.predict(x))
    np.testing.assert_allclose(
        out.filter(pl.col("fold") == "2")["rate"], factor * model.predict(own), rtol=1e-9
    )


def test_no_claims_to_learn_from_means_no_trees():
    """A book where no factor matters: the number of trees that pay is few, and the rate is flat."""
    rng = np.random.default_rng(5)
    flat = rows().with_columns(claims=pl.Series(rng.poisson(0.2 * rows()["exposure"].to_numpy())))
    found = fit_challenger(cells(flat.with_columns(amount=0.0)), folds="fold", trees=60)
    assert found.facts["trees"] < 15
    rates = found.frames["rates"]["rate"]
    assert rates.max() / rates.min() < 1.3
    assert found.facts["d_squared"] == pytest.approx(0.0, abs=2e-3)


def test_the_same_bytes_again(tmp_path):
    fit = {"folds": 4, "trees": 30, "seed": 9}
    for name in ("one", "two"):
        fit_challenger(cells(rows(), KEYS), **fit).save(tmp_path / name)
    files = sorted(p.name for p in (tmp_path / "one").iterdir())
    assert "rates.parquet" in files
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    other = fit_challenger(cells(rows(), KEYS), **{**fit, "seed": 10})
    assert other.basis.fingerprint != Result.load(tmp_path / "one").basis.fingerprint


def test_saved_loaded_drawn_said_and_labelled_in_both_languages(tmp_path):
    seen, found = cells(rows()), fitted()
    model = fit_frequency(seen, FORMULA)
    every = [found, partial_dependence(found, "sex", model=model), contest(seen, found, model)]
    every.append(partial_dependence(found, "region"))
    for place, result in enumerate(every):
        result.save(tmp_path / str(place))
        back = Result.load(tmp_path / str(place))
        assert type(back) is type(result)
        assert back.table.equals(result.table)
        for lang in ("en", "zh"):
            assert back.finding(lang) == result.finding(lang)
            assert back.figure(lang).to_json() == result.figure(lang).to_json()
        assert any("\u4e00" <= c <= "\u9fff" for c in result.finding("zh"))
        for frame in (result.table, *result.frames.values()):
            for name in frame.columns:
                assert f"term.{name}" in catalogue(), name
    again = Result.load(tmp_path / "0").score(rows().head(50))
    assert again.equals(found.score(rows().head(50)))


def test_orders_are_kept_and_sets_are_split():
    downhill = fit_challenger(
        cells(rows()), folds="fold", trees=40, monotone={"age_band": "decreasing"}
    ).frames["rates"]
    steps = downhill.sort("sex", "region", "age_band").select(
        pl.col("rate").diff().over("sex", "region").max()
    )
    assert steps.item() <= 0
    sets = fit_challenger(cells(rows()), folds="fold", trees=40, unordered=["age_band"])
    assert sets.facts["d_squared"] == pytest.approx(fitted().facts["d_squared"], rel=0.1)


def test_more_combinations_than_a_table_holds(monkeypatch):
    monkeypatch.setattr("pricing.claims.challenger.COMBINATIONS", 10)
    frame = rows().filter(~((pl.col("age_band") == "18-29") & (pl.col("sex") == "male")))
    found = fit_challenger(cells(frame), folds="fold", trees=20)
    assert not found.facts["complete"]
    assert found.frames["rates"].height == 21
    assert found.score(frame)["rate"].null_count() == 0
    with pytest.raises(InputError, match="combinations of levels"):
        found.score(rows())


def test_yes_and_no_are_read_as_they_were_collected():
    frame = rows().with_columns(male=pl.col("sex") == "male")
    found = fit_challenger(cells(frame, ["age_band", "male", "fold"]), folds="fold", trees=30)
    scored = found.score(frame)
    assert scored["rate"].null_count() == 0
    by = scored.group_by("male").agg(pl.col("rate").mean()).sort("male")["rate"]
    assert by[1] > 1.1 * by[0]


def test_the_validation_takes_a_challenger_for_a_model():
    seen = cells(rows())
    model = fit_frequency(seen, FORMULA)
    names = ("model", "challenger")
    found = double_lift(seen, model.rate(), fitted().rate(), names=names, bands=5)
    assert found.facts["closer"] == "challenger"


# -- partial dependence -----------------------------------------------------------------------------


def test_partial_dependence_is_the_mean_rate_of_all_cells_with_the_factor_moved():
    found, seen = fitted(), cells(rows())
    table = partial_dependence(found, "age_band", base="18-29").table
    means = [
        found.score(seen.cells.with_columns(age_band=pl.lit(level)), exposure="exposure")[
            "expected"
        ].sum()
        for level in AGES
    ]
    np.testing.assert_allclose(table["dependence"], np.array(means) / means[0], rtol=1e-9)
    assert table["exposure"].sum() == pytest.approx(rows()["exposure"].sum())


def test_local_effects_ask_only_the_cells_at_either_level():
    found, seen = fitted(), cells(rows())
    table = partial_dependence(found, "age_band", base="18-29").table
    near = seen.cells.filter(pl.col("age_band").cast(pl.String).is_in(AGES[2:4]))
    before, after = (
        found.score(near.with_columns(age_band=pl.lit(level)))["rate"].log() for level in AGES[2:4]
    )
    step = ((after - before) * near["exposure"]).sum() / near["exposure"].sum()
    assert np.log(table["accumulated"][3] / table["accumulated"][2]) == pytest.approx(step)


def test_without_interactions_the_two_readings_are_one_and_near_the_models():
    seen = cells(rows(frequency=1.0))
    found = fit_challenger(seen, folds="fold", leaves=2, credibility=0.0, learning_rate=0.3)
    model = fit_frequency(seen, FORMULA)
    for factor in KEYS:
        table = partial_dependence(found, factor, model=model).table
        np.testing.assert_allclose(table["dependence"], table["accumulated"], rtol=1e-6)
        np.testing.assert_allclose(table["dependence"], table["relativity"], rtol=0.08)
    assert partial_dependence(found, "sex", model=model).facts["outside"] == 0


# -- contest ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("response", list(FITS))
def test_the_interaction_that_the_model_misses_is_found_in_its_cells(response):
    frame = rows(severity=1.6) if response == "severity" else rows()
    seen = cells(frame)
    found = contest(seen, fitted(response), FITS[response](seen, FORMULA))
    first = found.better().row(0, named=True)
    assert (first["term"], first["level"].split(" × ")[0]) == ("age_band:sex", "50-59")
    men = found.segments.filter(pl.col("level") == "50-59 × male").row(0, named=True)
    assert men["better"]
    assert men["z"] > 3
    assert abs(men["actual_to_challenger"] - 1) < abs(men["actual_to_model"] - 1)
    assert found.facts["d_squared_challenger"] > found.facts["d_squared_model"]
    assert found.facts["p_value"] < 0.05
    # and a model with that interaction leaves nothing to find there
    whole = contest(seen, fitted(response), FITS[response](seen, "age_band * sex + region"))
    assert whole.facts["better"] == 0


@pytest.mark.parametrize("seed", range(20, 26))
def test_nothing_is_found_where_the_model_is_true(seed):
    seen = cells(rows(seed, count=6_000, frequency=1.0))
    challenger = fit_challenger(seen, folds="fold", trees=60)
    found = contest(seen, challenger, fit_frequency(seen, FORMULA))
    assert found.facts["better"] == 0
    assert found.facts["p_value"] > 0.001
    assert "nothing here speaks against" in found.finding()


def test_the_score_test_is_that_of_the_rows():
    """z of one segment from cells against the same formula on rows, written out."""
    frame = rows().head(4_000)
    seen = cells(frame)
    model = fit_frequency(seen, FORMULA)
    found = contest(seen, fit_challenger(seen, folds="fold", trees=20), model)
    line = found.segments.filter(pl.col("level") == "50-59 × male").row(0, named=True)
    mean = model.score(frame)["rate"].to_numpy() * frame["exposure"].to_numpy()
    dummies = frame.select(KEYS).to_dummies(drop_first=True).to_numpy()
    x = np.column_stack([np.ones(frame.height), dummies])
    z = frame.select((pl.col("age_band") == "50-59") & (pl.col("sex") == "male")).to_series()
    z = z.to_numpy().astype(float)
    weighted = x * mean[:, None]
    left = z - x @ np.linalg.solve(x.T @ weighted, weighted.T @ z)
    residual = frame["claims"].to_numpy() - mean
    spread = max((left**2 * residual**2).sum(), (left**2 * mean).sum())
    assert line["z"] == pytest.approx((left @ residual) / np.sqrt(spread), rel=1e-6)
    inside = frame.filter(z.astype(bool))
    assert line["actual"] == inside["claims"].sum()
    assert line["exposure"] == pytest.approx(inside["exposure"].sum())


def test_levels_that_the_model_has_are_not_tested():
    seen = cells(rows())
    found = contest(seen, fitted(), fit_frequency(seen, "age_band + sex"))
    single = found.segments.filter(~pl.col("term").str.contains(":"))
    assert set(single["term"]) == {"region"}
    assert (found.segments["claims"] >= 30).all()


def test_too_few_claims_for_any_segment():
    found = contest(cells(rows()), fitted(), fit_frequency(cells(rows()), FORMULA), least=1e6)
    assert found.segments.is_empty()
    assert "In none of 0 segments" in found.finding()
    assert found.figure() is not None


def test_p_values_are_adjusted_as_scipy_does():
    p = np.random.default_rng(2).uniform(0, 1, 40) ** 3
    np.testing.assert_allclose(benjamini_hochberg(p), false_discovery_control(p), rtol=1e-12)


# -- real books -------------------------------------------------------------------------------------


def dealt(frame: pl.LazyFrame) -> pl.DataFrame:
    return frame.with_columns(fold=(pl.int_range(pl.len()) % 5 + 1).cast(pl.String)).collect()


def test_smoking_and_weight_together_in_the_medical_costs(dataset):
    """Lantz's book (simulated): charges of smokers rise with bmi, those of others do not."""
    book = dealt(
        dataset("insurance_medical_cost_1338.parquet").with_columns(
            exposure=1.0,
            claims=1,
            age_band=band("age", [18, 30, 40, 50]),
            bmi_band=band("bmi", [0, 25, 30, 35]),
        )
    )
    seen = Experience.collect(book, ["age_band", "bmi_band", "smoker", "fold"], amount="charges")
    challenger = fit_challenger(seen, folds="fold", response="pure_premium")
    found = contest(seen, challenger, fit_pure_premium(seen, "age_band + bmi_band + smoker"))
    z = dict(found.better().select("level", "z").iter_rows())
    assert z["0-24 × yes"] < -3
    assert z["35+ × yes"] > 3
    assert found.facts["folds_won"] == 5
    assert found.facts["d_squared_challenger"] > found.facts["d_squared_model"] + 0.05


def test_age_works_otherwise_for_women_in_the_health_fund(dataset):
    """Visits of cas_euhealthinsurance: a tariff of main effects misses sex by age and relation."""
    book = dealt(
        dataset("cas_euhealthinsurance.parquet")
        .filter(pl.col("policy_years") > 0, pl.col("age_at_inception") >= 0)
        .with_columns(age_band=band("age_at_inception", [0, 10, 20, 30, 40, 50, 60]))
    )
    keys = ["age_band", "gender", "relation", "fold"]
    seen = Experience.collect(book, keys, exposure="policy_years", claims="num_visits")
    model = fit_frequency(seen, "age_band + gender + relation")
    found = contest(seen, fit_challenger(seen, folds="fold"), model)
    assert found.facts["folds_won"] == 5
    assert found.facts["d_squared_challenger"] > 1.1 * found.facts["d_squared_model"]
    women = found.better().filter(pl.col("level") == "F × contract_owner").row(0, named=True)
    assert women["z"] > 15
    assert women["actual_to_challenger"] == pytest.approx(1.0, abs=0.01)
    # with those interactions the model catches up
    whole = fit_frequency(seen, "age_band * gender + gender * relation")
    rest = contest(seen, fit_challenger(seen, folds="fold"), whole)
    assert rest.facts["better"] < found.facts["better"]
    assert rest.facts["d_squared_model"] > found.facts["d_squared_model"]


# -- bad input --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"keys": ["age"]}, "'age' is not a key"),
        ({"keys": ["sex", "fold"]}, "'fold' is the key of the folds"),
        ({"keys": []}, "there is no factor"),
        ({"response": "occurrence"}, "'occurrence' is not offered"),
        ({"trees": 0}, "trees are 1 to"),
        ({"leaves": 1}, "leaves"),
        ({"learning_rate": 0.0}, "learning rate"),
        ({"credibility": -1.0}, "credibility"),
        ({"credibility": float("nan")}, "credibility"),
        ({"level": 1.0}, "confidence level"),
        ({"monotone": {"sax": "increasing"}}, "did you mean 'sex'"),
        ({"monotone": {"sex": "up"}}, "neither increasing nor decreasing"),
        ({"monotone": {"sex": "increasing"}, "unordered": ["sex"]}, "no order"),
        ({"folds": "year"}, "'year' is not a key"),
        ({"folds": 1}, "folds=1"),
    ],
)
def test_settings_that_cannot_be(settings, said):
    with pytest.raises(InputError, match=said):
        fit_challenger(cells(rows()), **{"folds": "fold", **settings})


def test_cells_that_cannot_be_learnt_from():
    with pytest.raises(InputError, match="1 levels with experience"):
        fit_challenger(cells(rows().filter(age_band="18-29", sex="male", region="west"), KEYS))
    nothing = rows().with_columns(claims=0, amount=0.0)
    with pytest.raises(InputError, match=r"no claims in [\d,.]+ policy-years"):
        fit_challenger(cells(nothing))
    with pytest.raises(InputError, match="no amounts"):
        fit_challenger(Experience.collect(rows(), KEYS), response="severity")
    numbers = rows().with_columns(age=pl.int_range(pl.len()) % 50)
    with pytest.raises(InputError, match="'age' is a number: band it first"):
        fit_challenger(cells(numbers, ["age", "sex"]))
    many = rows().head(600).with_columns(postcode=pl.int_range(pl.len()).cast(pl.String))
    with pytest.raises(InputError, match="'postcode' has 600 levels"):
        fit_challenger(cells(many, ["postcode", "sex"]))
    one = pl.col("fold") == "1"
    bare = rows().with_columns(claims=pl.when(one).then("claims").otherwise(0), amount=0.0)
    with pytest.raises(InputError, match="no claims, or all of them"):
        fit_challenger(cells(bare), folds="fold")


def test_rows_that_cannot_be_scored_are_named():
    found = fitted()
    bad = (
        rows()
        .head(5)
        .with_columns(
            region=pl.Series(["north", "mars", None, "south", "mars"]), exposure=pl.lit(0.0)
        )
    )
    with pytest.raises(InputError, match="region: 3 rows") as refused:
        found.score(bad, exposure="exposure")
    assert "'mars'" in str(refused.value)
    assert "exposure" in str(refused.value)
    assert bad.select(found.rate()).to_series().null_count() == 3
    with pytest.raises(InputError, match="sex"):
        found.score(bad.drop("sex"))
    assert found.score(rows().lazy()).collect().height == rows().height


def test_what_cannot_be_held_against_each_other():
    seen, found = cells(rows()), fitted()
    model = fit_frequency(seen, FORMULA)
    with pytest.raises(InputError, match="on other cells"):
        contest(cells(rows(8)), found, model)
    with pytest.raises(InputError, match="a model of severity"):
        contest(seen, found, fit_severity(seen, FORMULA))
    with pytest.raises(InputError, match="penalty"):
        contest(seen, found, fit_elastic_net(seen, FORMULA, penalty=0.01))
    with pytest.raises(InputError, match="rows"):
        contest(seen, found, fit_frequency(cells(rows().head(900)), FORMULA))
    with pytest.raises(InputError, match="least=0"):
        contest(seen, found, model, least=0)
    with pytest.raises(InputError, match="without fold"):
        contest(seen, found, fit_frequency(seen, "age_band + fold"))
    with pytest.raises(InputError, match="did you mean 'sex'"):
        partial_dependence(found, "sax")
    with pytest.raises(InputError, match="'other' is no level"):
        partial_dependence(found, "sex", base="other")
    other = "male" if model.details["base"]["sex"] == "female" else "female"
    with pytest.raises(InputError, match="not the base"):
        partial_dependence(found, "sex", model=model, base=other)
    with pytest.raises(InputError, match="a model of severity"):
        partial_dependence(found, "sex", model=fit_severity(seen, FORMULA))
