"""Validation from cells: every figure against the rows, known truth, and the edges."""

import numpy as np
import polars as pl
import pytest
from scipy.optimize import isotonic_regression
from scipy.special import gammaincinv, xlogy

from pricing.claims.models import fit_frequency
from pricing.errors import InputError
from pricing.experience.cells import Experience
from pricing.result.shape import Result
from pricing.result.words import LANGUAGES, catalogue
from pricing.validation.calibration import balance, calibration
from pricing.validation.holdout import hold_out, out_of_sample, person_fold
from pricing.validation.isotonic import auto_calibration, recalibrate
from pricing.validation.lift import double_lift, lift
from pricing.validation.lorenz import lorenz
from pricing.validation.murphy import murphy
from pricing.validation.prediction import predict, quantile_bands, told_apart
from pricing.validation.stability import stability

LEVELS = {"age": 12, "sex": 2, "region": 5}


def book(rows=20_000, seed=3, dispersion=1.0):
    rng = np.random.default_rng(seed)
    codes = {name: rng.integers(0, k, rows) for name, k in LEVELS.items()}
    exposure = rng.uniform(0.1, 1.0, rows)
    rate = 0.15 * np.exp(0.06 * codes["age"] - 0.2 * codes["sex"])
    mean = rate * exposure
    if dispersion > 1:
        mean = rng.gamma(mean / (dispersion - 1), dispersion - 1)
    claims = rng.poisson(mean)
    text = {n: pl.Series(c).cast(pl.String).str.zfill(2) for n, c in codes.items()}
    text["sex"] = pl.Series(codes["sex"]).cast(pl.String)
    amount = claims * rng.gamma(2.0, 500.0, rows)
    return pl.DataFrame(
        text
        | {"exposure": exposure, "claims": claims, "amount": amount, "year": rng.integers(2021, 2025, rows)}
    )  # fmt: skip


def collected(rows, keys=("age", "sex", "region"), **kwargs):
    return Experience.collect(rows, list(keys), amount="amount", **kwargs)


def truth(scale=1.0):
    age = pl.col("age").cast(pl.String).cast(pl.Float64)
    sex = pl.col("sex").cast(pl.String) == "1"
    return scale * 0.15 * (0.06 * age - 0.2 * sex.cast(pl.Float64)).exp()


@pytest.fixture(scope="module")
def rows():
    return book(dispersion=2.0)


@pytest.fixture(scope="module")
def seen(rows):
    return collected(rows)


def arrays(rows, rate):
    scored = rows.with_columns(m=rate)
    return (scored[c].cast(pl.Float64).to_numpy() for c in ("m", "exposure", "claims", "amount"))


# -- bands ------------------------------------------------------------------------------------------


def plain_bands(score, weight, count):
    """By definition: the band of the middle of each tied group's weight."""
    _, place = np.unique(score, return_inverse=True)
    held = np.bincount(place, weights=weight)
    middle = np.cumsum(held) - held / 2
    band = np.minimum(np.floor(middle * count / held.sum()).astype(int), count - 1)
    return np.unique(band, return_inverse=True)[1][place]


def test_bands_are_those_of_the_definition():
    rng = np.random.default_rng(0)
    for i in range(300):
        n, k = rng.integers(2, 300), rng.integers(2, 25)
        score = rng.gamma(2, 1, n) if i % 3 else rng.integers(1, rng.integers(3, 30), n) / 7
        score = np.exp(rng.normal(0, 30, n)) if i % 5 == 0 else score
        weight = rng.uniform(0.01, 1, n) ** (1 + i % 4)
        expected = plain_bands(score, weight, k)
        if expected.max() == 0:
            with pytest.raises(InputError, match="there is one band"):
                quantile_bands(score, weight, k)
            continue
        found = quantile_bands(score, weight, k)
        assert np.array_equal(found.codes, expected)
        for band in range(len(found.names)):
            assert found.lowest[band] == score[expected == band].min()
            assert found.highest[band] == score[expected == band].max()


def test_what_a_division_leaves_does_not_part_cells():
    score = np.array([0.1 * 3, 0.3, 0.1 + 0.2, 0.3 * (1 + 1e-9)])
    assert len(np.unique(score)) == 3
    assert len(np.unique(told_apart(score))) == 2
    np.testing.assert_allclose(told_apart(score), score, rtol=1e-12)


# -- lift -------------------------------------------------------------------------------------------


def test_lift_is_what_the_rows_say(rows, seen):
    found = lift(seen, truth(), bands=8)
    m, e, n, _ = arrays(rows, truth())
    cells = seen.cells.with_columns(m=truth())
    codes = plain_bands(cells["m"].to_numpy(), cells["exposure"].to_numpy(), 8)
    of_rate = dict(zip(cells["m"].to_list(), codes, strict=True))
    band = np.array([of_rate[x] for x in m])
    total = np.bincount(band, weights=e)
    np.testing.assert_allclose(found.table["exposure"], total, rtol=1e-12)
    assert found.table["claims"].to_list() == np.bincount(band, weights=n).tolist()
    np.testing.assert_allclose(found.table["expected"], np.bincount(band, weights=m * e))
    rate = np.bincount(band, weights=n) / total
    np.testing.assert_allclose(found.table["frequency"], rate)
    np.testing.assert_allclose(found.table["lift"], rate / (n.sum() / e.sum()))
    spread = np.bincount(band, weights=(n - rate[band] * e) ** 2)
    reach = np.exp(1.959963984540054 * np.sqrt(spread) / np.bincount(band, weights=n))
    np.testing.assert_allclose(found.table["upper"], rate * reach, rtol=1e-9)
    assert found.facts["highest"] / found.facts["lowest"] > 1.5
    assert abs(found.table["exposure"] / e.sum() * 8 - 1).max() < 0.35


def test_lift_by_amount_and_by_a_column(rows, seen):
    found = lift(seen, 1000 * truth(), by="amount", bands=5)
    assert found.table["amount"].sum() == pytest.approx(rows["amount"].sum())
    assert found.table["expected_amount"].sum() == pytest.approx(
        1000 * seen.cells.select((truth() * pl.col("exposure")).sum()).item()
    )
    priced = rows.with_columns(premium=900 * truth() * pl.col("exposure"))
    held = collected(priced, sums=["premium"])
    by_column, by_rate = lift(held, "premium", by="amount"), lift(held, 900 * truth(), by="amount")
    for name in ("pure_premium", "predicted", "upper"):
        np.testing.assert_allclose(by_column.table[name], by_rate.table[name], rtol=1e-9)


def test_fewer_cells_than_bands_keep_whole_cells(rows):
    found = lift(collected(rows, ["sex"]), truth_by_sex(), bands=10)
    assert found.table.height == found.facts["bands"] == 2
    assert found.table["claims"].sum() == rows["claims"].sum()


def truth_by_sex():
    return 0.2 * (1 - 0.2 * (pl.col("sex").cast(pl.String) == "1").cast(pl.Float64))


def test_double_lift_finds_the_better_of_two_and_is_fair(rows, seen):
    wrong = 0.2 * pl.col("region").cast(pl.String).cast(pl.Float64).add(3).log()
    found = double_lift(seen, truth(), wrong, names=("new", "old"), bands=6)
    assert found.facts["closer"] == "new"
    turned = double_lift(seen, wrong, truth(), names=("old", "new"), bands=6)
    assert turned.facts["closer"] == "new"
    assert turned.facts["second_distance"] == pytest.approx(
        found.facts["first_distance"], rel=0.2
    )  # the bands are the same, but for ties, in the other order
    # the level of either model does not matter
    scaled = double_lift(seen, truth(7.0), wrong, names=("new", "old"), bands=6)
    for name in ("actual_index", "first_index", "second_index", "lower", "upper"):
        np.testing.assert_allclose(scaled.table[name], found.table[name], rtol=1e-9)
    t, weight = found.table, found.table["exposure"] / found.table["exposure"].sum()
    for name in ("actual_index", "first_index", "second_index"):
        assert float((t[name] * weight).sum()) == pytest.approx(1.0, rel=1e-12)
    m, e, _, _ = arrays(rows, truth())
    w, *_ = arrays(rows, wrong)
    assert t["lowest_ratio"][0] == pytest.approx((m / w).min(), rel=1e-11)
    assert t["highest_ratio"][-1] == pytest.approx((m / w).max(), rel=1e-11)
    assert e.sum() == pytest.approx(t["exposure"].sum())


def test_models_that_differ_by_one_factor_cannot_be_compared(seen):
    with pytest.raises(InputError, match="differ by one factor in every cell"):
        double_lift(seen, truth(), truth(1.1))
    with pytest.raises(InputError, match="two names"):
        double_lift(seen, truth(), truth_by_sex(), names=("a", "a"))


# -- Lorenz -----------------------------------------------------------------------------------------


def gini_of_rows(score, base, actual):
    """Frees, Meyers and Cummings (2011), on rows; tied scores as one segment."""
    _, place = np.unique(score, return_inverse=True)
    x = np.concatenate([[0], np.cumsum(np.bincount(place, weights=base))])
    y = np.concatenate([[0], np.cumsum(np.bincount(place, weights=actual))])
    x, y = x / x[-1], y / y[-1]
    return 1 - 2 * np.trapezoid(y, x)


def test_gini_is_that_of_the_rows_under_both_definitions(rows, seen):
    m, e, n, a = arrays(rows, truth())
    p = 0.1 + 0.02 * rows["region"].cast(pl.Float64).to_numpy()
    charged = 0.1 + 0.02 * pl.col("region").cast(pl.String).cast(pl.Float64)
    found = lorenz(seen, truth())
    assert found.facts["gini"] == pytest.approx(gini_of_rows(m, e, n), abs=1e-12)
    assert found.facts["gini_expected"] == pytest.approx(gini_of_rows(m, e, m * e), abs=1e-12)
    money = lorenz(seen, truth(), by="amount")
    assert money.facts["gini"] == pytest.approx(gini_of_rows(m, e, a), abs=1e-12)
    ordered = lorenz(seen, truth(), premium=charged)
    assert ordered.facts["definition"] == "premium"
    score = np.round(m / p, 10)
    assert ordered.facts["gini"] == pytest.approx(gini_of_rows(score, p * e, n), abs=1e-12)
    assert ordered.facts["gini_expected"] == pytest.approx(
        gini_of_rows(score, p * e, m * e), abs=1e-12
    )
    # on a finer experience, where rows of one rate lie in many cells: ties are one segment
    fine = lorenz(collected(rows, ["age", "sex", "region", "year"]), truth())
    assert fine.facts["gini"] == pytest.approx(found.facts["gini"], abs=1e-12)
    assert fine.facts["std_error"] == pytest.approx(found.facts["std_error"], rel=1e-9)
    assert fine.facts["groups"] == found.facts["groups"] == 24


def test_gini_ignores_scale_and_tells_nothing_where_all_are_the_same(seen):
    plain, scaled = lorenz(seen, truth()), lorenz(seen, truth(9.0))
    assert plain.facts["gini"] == pytest.approx(scaled.facts["gini"], abs=1e-14)
    flat = lorenz(seen, pl.lit(1.0))
    assert flat.facts["gini"] == pytest.approx(0.0, abs=1e-14)
    assert flat.facts["std_error"] == pytest.approx(0.0, abs=1e-12)
    back = lorenz(seen, 1 / truth())
    assert back.facts["gini"] == pytest.approx(-plain.facts["gini"], abs=1e-12)


def test_the_curve_is_the_curve(rows, seen):
    found = lorenz(seen, truth(), points=21).table
    m, e, n, _ = arrays(rows, truth())
    _, place = np.unique(m, return_inverse=True)
    x = np.concatenate([[0], np.cumsum(np.bincount(place, weights=e))]) / e.sum()
    y = np.concatenate([[0], np.cumsum(np.bincount(place, weights=n))]) / n.sum()
    np.testing.assert_allclose(
        found["share_actual"], np.interp(found["share_exposure"], x, y), atol=1e-12
    )
    assert (found["share_actual"][0], found["share_actual"][-1]) == (0.0, 1.0)
    assert found["share_actual"].is_sorted()


@pytest.mark.parametrize("cells", [24, 4_000])
def test_the_interval_is_that_of_a_bootstrap_of_rows(cells):
    """Few cells are drawn as they are, many as 500 segments: both near the rows, drawn one by one."""
    rng = np.random.default_rng(5)
    size = 12_000
    score = 1 + rng.integers(0, cells, size)
    e = rng.uniform(0.2, 1, size)
    n = rng.poisson(rng.gamma(0.5, 2.0, size) * e * 0.3 * (0.5 + score / cells))
    frame = pl.DataFrame({"k": score, "exposure": e, "claims": n})
    found = lorenz(Experience.collect(frame, ["k"]), pl.col("k").cast(pl.Float64), draws=1000)
    draws = []
    for _ in range(300):
        w = rng.multinomial(size, np.full(size, 1 / size))
        draws.append(gini_of_rows(score, w * e, w * n))
    spread = np.std(draws, ddof=1)
    assert found.facts["std_error"] == pytest.approx(spread, rel=0.12)
    assert found.facts["gini"] == pytest.approx(gini_of_rows(score, e, n), abs=1e-12)
    assert found.facts["lower"] == pytest.approx(found.facts["gini"] - 1.96 * spread, rel=0.12)


def test_the_interval_covers_the_truth():
    """200 books of one truth: the Gini index of the expectation lies inside as often as said."""
    rng = np.random.default_rng(11)
    e = np.full(400, 30.0)
    rate = 0.1 * np.exp(np.linspace(-1, 1, 400))
    true = gini_of_rows(rate, e, rate * e)
    inside = 0
    for seed in range(200):
        # a cell's 30 rows of one year each, as their sums
        n = rng.poisson(np.repeat(rate, 30))
        rows = pl.DataFrame({"k": np.repeat(np.arange(400), 30), "exposure": 1.0, "claims": n})
        facts = lorenz(
            Experience.collect(rows, ["k"]), (pl.col("k") / 200).exp(), draws=200, seed=seed
        ).facts
        inside += facts["lower"] <= true <= facts["upper"]
    assert 180 <= inside <= 198


def test_whole_cells_are_drawn_where_asked(seen):
    rows, cells = lorenz(seen, truth()), lorenz(seen, truth(), unit="cells")
    assert rows.facts["gini"] == cells.facts["gini"]
    assert rows.facts["std_error"] != cells.facts["std_error"]
    assert any("whole cells" in note for note in cells.basis.notes)
    again = lorenz(seen, truth(), unit="cells")
    assert again.facts == cells.facts
    other = lorenz(seen, truth(), unit="cells", seed=1)
    assert other.facts["std_error"] != cells.facts["std_error"]


# -- calibration ------------------------------------------------------------------------------------


def test_calibration_bands_are_what_the_rows_say(rows, seen):
    found = calibration(seen, truth(), bands=6, draws=199)
    m, e, n, _ = arrays(rows, truth())
    cells = seen.cells.with_columns(m=truth())
    codes = plain_bands(cells["m"].to_numpy(), cells["exposure"].to_numpy(), 6)
    of_rate = dict(zip(cells["m"].to_list(), codes, strict=True))
    band = np.array([of_rate[x] for x in m])
    mu = np.bincount(band, weights=m * e)
    count = np.bincount(band, weights=n)
    ratio = count / mu
    np.testing.assert_allclose(found.table["actual_to_expected"], ratio)
    np.testing.assert_allclose(found.table["expected"], mu)
    spread = np.bincount(band, weights=(n - ratio[band] * m * e) ** 2)
    reach = np.exp(1.959963984540054 * np.sqrt(spread) / count)
    np.testing.assert_allclose(found.table["lower"], ratio / reach, rtol=1e-9)
    np.testing.assert_allclose(found.table["lower_poisson"], gammaincinv(count, 0.025) / mu)
    np.testing.assert_allclose(found.table["upper_poisson"], gammaincinv(count + 1, 0.975) / mu)
    assert found.facts["ratio"] == pytest.approx(n.sum() / (m * e).sum())
    assert found.facts["dispersion"] == pytest.approx(2.0, rel=0.15)
    assert found.frames["isotonic"]["recalibrated"].is_sorted()
    assert found.frames["isotonic"]["exposure"].sum() == pytest.approx(e.sum())


def test_recalibration_is_isotonic_regression_on_the_rows(rows, seen):
    m, e, n, _ = arrays(rows, truth())
    ranks, place = np.unique(m, return_inverse=True)
    held = np.bincount(place, weights=e)
    rate = isotonic_regression(np.bincount(place, weights=n) / held, weights=held).x
    prediction = predict(seen, truth())
    found = recalibrate(prediction)
    np.testing.assert_allclose(found.rate, rate[np.searchsorted(ranks, prediction.rate)])
    assert (found.rate * prediction.exposure).sum() == pytest.approx(n.sum(), rel=1e-12)


def test_the_isotonic_test_holds_its_size_and_has_power():
    """60 books of the truth: rejected at 10 % about as often; a stretched scale is found out."""
    rejected = found_out = 0
    for seed in range(60):
        held = collected(book(4_000, seed=100 + seed, dispersion=2.0), ["age", "sex"])
        rejected += auto_calibration(predict(held, truth()), draws=199, seed=seed)[1] <= 0.10
        stretched = 0.15 * (truth() / 0.15).pow(2.5)
        found_out += auto_calibration(predict(held, stretched), draws=199, seed=seed)[1] <= 0.10
    assert 1 <= rejected <= 14
    assert found_out >= 57


# -- Murphy -----------------------------------------------------------------------------------------


def test_the_decomposition_is_that_of_the_rows_and_adds_up(rows, seen):
    off = 1.2 * truth().pow(1.5)
    table = murphy(seen, off).table
    m, e, n, _ = arrays(rows, off)
    ranks, place = np.unique(m, return_inverse=True)
    held = np.bincount(place, weights=e)
    best = isotonic_regression(np.bincount(place, weights=n) / held, weights=held).x[place]
    flat = np.full_like(m, n.sum() / e.sum())
    assert len(ranks) == 24

    def deviance(rate):
        return 2 * (xlogy(n, n / e) - xlogy(n, rate) - n + e * rate).sum() / e.sum()

    def squared(rate):
        return (e * (n / e - rate) ** 2).sum() / e.sum()

    for row, score in zip(table.iter_rows(named=True), (deviance, squared), strict=True):
        assert row["value"] == pytest.approx(score(m), rel=1e-10)
        assert row["miscalibration"] == pytest.approx(score(m) - score(best), rel=1e-7)
        assert row["discrimination"] == pytest.approx(score(flat) - score(best), rel=1e-7)
        assert row["uncertainty"] == pytest.approx(score(flat), rel=1e-10)
        assert row["of_level"] == pytest.approx(score(m) - score(m * n.sum() / (m * e).sum()))
        added = row["miscalibration"] - row["discrimination"] + row["uncertainty"]
        assert added == pytest.approx(row["value"], rel=1e-14)
        assert 0 <= row["of_level"] <= row["miscalibration"]


def test_a_perfect_order_of_the_wrong_level_loses_only_its_level(seen):
    best = recalibrate(predict(seen, truth()))
    held = seen.with_sums(best=pl.lit(pl.Series(3 * best.rate)) * pl.col("exposure"))
    for row in murphy(held, "best").table.iter_rows(named=True):
        assert row["miscalibration"] == pytest.approx(row["of_level"], rel=1e-9)
    own = murphy(held.with_sums(best=pl.col("best") / 3), "best").table
    np.testing.assert_allclose(own["miscalibration"], 0, atol=1e-12)
    money = murphy(seen, 1000 * truth(), by="amount")
    assert any("between cells" in note for note in money.basis.notes)


# -- balance ----------------------------------------------------------------------------------------


def test_a_poisson_fit_balances_in_total_and_at_every_level_it_knows(seen):
    model = fit_frequency(seen, "age + sex")
    found = balance(seen, model.rate())
    assert found.table["term"].unique().sort().to_list() == ["age", "region", "sex", "total"]
    known = found.table.filter(pl.col("term").is_in(["age", "sex", "total"]))
    np.testing.assert_allclose(known["actual_to_expected"], 1.0, rtol=1e-8)
    assert found.facts["worst_factor"] == "region"
    assert found.table.height == 1 + sum(LEVELS.values())
    for factor in LEVELS:
        part = found.table.filter(pl.col("term") == factor)
        assert part["expected"].sum() == pytest.approx(found.table["expected"][0])
    money = balance(seen, 1000 * truth(), by="amount", factors=["sex"])
    assert money.table["amount"][1:].sum() == pytest.approx(money.table["amount"][0])


# -- stability --------------------------------------------------------------------------------------


def test_stability_is_jeffreys_divergence(rows, seen):
    later = collected(rows.filter(pl.col("age").cast(pl.Int64) > 2).with_columns(sex=pl.lit("1")))
    found = stability(seen, later)
    p = rows.group_by("region").agg(pl.col("exposure").sum()).sort("region")["exposure"]
    q = later.by("region").cells["exposure"]
    p, q = (x.to_numpy() / x.sum() for x in (p, q))
    region = found.table.filter(pl.col("term") == "region").row(0, named=True)
    assert region["index"] == pytest.approx(((q - p) * np.log(q / p)).sum(), rel=1e-9)
    assert region["verdict"] == "stable"
    sex = found.table.filter(pl.col("term") == "sex").row(0, named=True)
    assert sex["verdict"] == "shifted"
    share = found.frames["levels"].filter(pl.col("level") == "0")["share_before"].item()
    assert sex["index"] == pytest.approx(
        (1e-4 - share) * np.log(1e-4 / share) - share * np.log(1 - share), rel=1e-9
    )
    assert any("4 level(s)" in note for note in found.basis.notes)
    back = stability(later, seen)
    np.testing.assert_allclose(
        back.table.sort("term")["index"], found.table.sort("term")["index"], rtol=1e-9
    )
    same = stability(seen, seen)
    assert same.table["index"].to_list() == [0.0] * 3


def test_two_samples_of_one_book_stay_below_the_critical_index():
    above = 0
    for seed in range(100):
        one, two = (collected(book(1_500, seed=s), ["region"]) for s in (2 * seed, 2 * seed + 1))
        above += bool((lambda t: t["index"] > t["critical"])(stability(one, two).table).item())
    # exposure differs from row to row, so shares of exposure vary a little more than counts
    assert 1 <= above <= 20


def test_what_cannot_be_compared_is_refused(seen, rows):
    other = Experience.collect(rows, ["year"])
    with pytest.raises(InputError, match="no factor in common"):
        stability(seen, other)
    with pytest.raises(InputError, match="'regoin'; did you mean 'region'"):
        stability(seen, seen, factors=["regoin"])
    with pytest.raises(InputError, match="between 0 and 1"):
        stability(seen, seen, level=95)


# -- out of sample ----------------------------------------------------------------------------------


def fit(part):
    return fit_frequency(part, "age + sex")


def test_a_year_held_out_is_what_the_rows_say(rows):
    held = collected(rows, ["age", "sex", "year"])
    found = out_of_sample(held, fit, "year", test=[2024])
    train, test = rows.filter(pl.col("year") < 2024), rows.filter(pl.col("year") == 2024)
    model = fit(collected(train, ["age", "sex"]))
    scored = model.score(test, exposure="exposure")
    mu, n, e = (scored[c].cast(pl.Float64).to_numpy() for c in ("expected", "claims", "exposure"))
    row = found.table.row(0, named=True)
    assert (row["fold"], row["claims"]) == ("2024", n.sum())
    assert row["expected"] == pytest.approx(mu.sum(), rel=1e-8)
    deviance = 2 * (xlogy(n, n / mu) - n + mu).sum()
    assert row["deviance"] == pytest.approx(deviance / e.sum(), rel=1e-8)
    flat = e * n.sum() / e.sum()
    null = 2 * (xlogy(n, n / flat) - n + flat).sum()
    assert row["d_squared"] == pytest.approx(1 - deviance / null, rel=1e-6)
    own = model.facts
    assert row["d_squared_train"] == pytest.approx(1 - own["deviance"] / own["null_deviance"])
    assert found.facts["ratio"] == pytest.approx(n.sum() / mu.sum(), rel=1e-8)


def test_every_part_is_judged_once_and_rolling_looks_back_only(rows):
    held = collected(rows, ["age", "sex", "year"])
    every = out_of_sample(held, fit, "year")
    assert every.table["fold"].to_list() == ["2021", "2022", "2023", "2024"]
    assert every.table["claims"].sum() == rows["claims"].sum()
    assert every.facts["d_squared"] < every.facts["d_squared_train"]
    rolled = out_of_sample(held, fit, "year", rolling=True)
    assert rolled.table["fold"].to_list() == ["2022", "2023", "2024"]
    alone = out_of_sample(held, fit, "year", test=[2024]).table.drop("fold")
    assert rolled.table[-1].drop("fold").equals(alone)
    first = hold_out(held.where(pl.col("year") <= 2022), "year", [2022])
    assert rolled.table["expected"][0] == pytest.approx(
        predict(first[1], fit(first[0]).rate()).expected.sum()
    )


def test_folds_keep_values_together_and_repeat(rows):
    dealt = rows.with_row_index("id").with_columns(person_fold("id", 20))
    held = collected(dealt, ["age", "sex", "fold"])
    found = out_of_sample(held, fit, "fold", folds=4)
    assert found.table.height == 4
    assert found.table["exposure"].sum() == pytest.approx(rows["exposure"].sum())
    assert found.table.equals(out_of_sample(held, fit, "fold", folds=4).table)
    assert not found.table.equals(out_of_sample(held, fit, "fold", folds=4, seed=1).table)
    assert dealt["fold"].n_unique() == 20
    shard = dealt.sample(500, seed=1).drop("fold").with_columns(person_fold("id", 20))
    joined = shard.join(dealt.select("id", was="fold"), on="id")
    assert (joined["fold"] == joined["was"]).all()


def test_parts_add_up_and_carry_their_filter(seen):
    train, test = hold_out(seen, "region", ["01", "03"])
    for name in ("rows", "exposure", "claims", "amount"):
        whole = seen.cells[name].sum()
        assert (train + test).cells[name].sum() == pytest.approx(whole, rel=1e-12)
    assert test.basis.filters == ("region is 01, 03",)


def test_hold_outs_that_cannot_be_are_refused(seen, rows):
    with pytest.raises(InputError, match="'region' has no '9'"):
        hold_out(seen, "region", ["9"])
    with pytest.raises(InputError, match="nothing is left to fit on"):
        hold_out(seen, "sex", ["0", "1"])
    with pytest.raises(InputError, match="no value to hold out"):
        hold_out(seen, "sex", [])
    with pytest.raises(InputError, match="exclude each other"):
        out_of_sample(seen, fit, "region", folds=2, rolling=True)
    with pytest.raises(InputError, match="5 values of 'region' cannot be dealt into 6 folds"):
        out_of_sample(seen, fit, "region", folds=6)
    with pytest.raises(InputError, match="did you mean 'region'"):
        out_of_sample(seen, fit, "regio")
    with pytest.raises(InputError, match="two folds or more"):
        person_fold("id", 1)
    one = collected(rows.with_columns(region=pl.lit("a")))
    with pytest.raises(InputError, match="one value only, 'a'"):
        out_of_sample(one, fit, "region")


def test_a_level_the_fit_never_saw_is_named_in_the_refusal(rows):
    held = collected(
        rows.filter((pl.col("age") != "03") | (pl.col("year") == 2024)), ["age", "sex", "year"]
    )
    with pytest.raises(InputError, match=r"2 cells \([\d.]+ policy-years\) have no expected rate"):
        out_of_sample(held, fit, "year", test=[2024])


# -- the edges of all -------------------------------------------------------------------------------

VERBS = {
    "lift": lift,
    "lorenz": lorenz,
    "calibration": calibration,
    "murphy": murphy,
    "balance": balance,
}


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_scores_that_are_none_are_counted_and_refused(verb, seen, rows):
    nan = pl.when(pl.col("sex") == "0").then(float("nan")).otherwise(1.0)
    for bad in (nan, pl.when(pl.col("sex") == "0").then(1.0), pl.lit(0.0) * truth(), -truth()):
        with pytest.raises(InputError, match=r"cells \([\d,.]+ policy-years\) have no expected"):
            verb(seen, bad)
    with pytest.raises(InputError, match="'claim' is not a sum of this experience; did you mean"):
        verb(seen, "claim")
    with pytest.raises(InputError, match="'age' is not a sum"):
        verb(seen, "age")
    with pytest.raises(InputError, match="did you mean 'amount'"):
        verb(seen, truth(), by="amout")
    bare = Experience.collect(rows, ["age", "sex"])
    with pytest.raises(InputError, match="carries no amounts"):
        verb(bare, truth(), by="amount")
    none = collected(rows.with_columns(claims=pl.lit(0), amount=pl.lit(0.0)))
    with pytest.raises(InputError, match="there are no claims in"):
        verb(none, truth())
    with pytest.raises(InputError, match="column"):
        verb(seen, pl.col("nowhere"))


@pytest.mark.parametrize("verb", [lift, calibration])
def test_one_band_is_none(verb, seen):
    with pytest.raises(InputError, match="all predictions are the same"):
        verb(seen, pl.lit(1.0))
    with pytest.raises(InputError, match="two bands or more"):
        verb(seen, truth(), bands=1)


def test_options_out_of_range_are_refused(seen):
    for wrong in ({"draws": 10}, {"points": 3}, {"level": 1.0}):
        with pytest.raises(InputError, match="give 100 draws and 11 points"):
            lorenz(seen, truth(), **wrong)
    with pytest.raises(InputError, match="did you mean 'rows'"):
        lorenz(seen, truth(), unit="row")
    with pytest.raises(InputError, match="199 draws"):
        calibration(seen, truth(), draws=20)


def test_order_shards_and_units_do_not_matter(rows, seen):
    """Shards add up to the whole, the order of rows is nothing, and cents are yuan."""
    shards = collected(rows[::2]) + collected(rows[1::2])
    mixed = collected(rows.sample(fraction=1.0, shuffle=True, seed=4))
    for verb in (*VERBS.values(), lambda e, m: double_lift(e, m, truth_by_sex())):
        plain = verb(seen, truth())
        for other in (shards, mixed):
            found = verb(other, truth())
            numbers = pl.selectors.numeric()
            np.testing.assert_allclose(
                found.table.select(numbers).to_numpy().astype(float),
                plain.table.select(numbers).to_numpy().astype(float),
                rtol=1e-6, atol=1e-9,
            )  # fmt: skip
    cents = collected(rows.with_columns(pl.col("amount") * 100))
    for verb in (lift, calibration, balance):
        one, other = (
            verb(seen, 900 * truth(), by="amount"),
            verb(cents, 90_000 * truth(), by="amount"),
        )
        name = "lift" if verb is lift else "actual_to_expected"
        np.testing.assert_allclose(one.table[name], other.table[name], rtol=1e-9)
    assert calibration(seen, 900 * truth(), by="amount").facts["p_value"] == pytest.approx(
        calibration(cents, 90_000 * truth(), by="amount").facts["p_value"]
    )


def every(seen):
    wrong = truth_by_sex()
    yield lift(seen, truth())
    yield lift(seen, 1000 * truth(), by="amount")
    yield double_lift(seen, truth(), wrong)
    yield lorenz(seen, truth())
    yield lorenz(seen, truth(), premium=wrong)
    yield calibration(seen, truth())
    yield calibration(seen, 1000 * truth(), by="amount")
    yield murphy(seen, truth())
    yield balance(seen, truth())
    yield stability(seen, seen)
    yield out_of_sample(seen, fit, "region")


def test_all_speak_both_languages_draw_and_save(seen, tmp_path):
    words = catalogue()
    for i, result in enumerate(every(seen)):
        said = {lang: result.finding(lang) for lang in LANGUAGES}
        assert said["en"] != said["zh"]
        assert "{" not in said["en"] + said["zh"]
        for lang in LANGUAGES:
            assert result.figure(lang).data
        for column in result.table.columns:
            assert f"term.{column}" in words, (result.kind, column)
        for frame in result.frames.values():
            assert all(f"term.{column}" in words for column in frame.columns)
        result.save(tmp_path / str(i))
        back = Result.load(tmp_path / str(i))
        assert back.table.equals(result.table)
        assert back.finding("zh") == said["zh"]


def test_figures_draw_the_table(seen):
    found = lift(seen, truth())
    figure = found.figure("zh")
    assert list(figure.data[1].y) == found.table["frequency"].to_list()
    assert list(figure.data[2].y) == found.table["predicted"].to_list()
    both = double_lift(seen, truth(), truth_by_sex())
    drawn = both.figure("en")
    assert [trace.name for trace in drawn.data][2:] == ["the first model", "the second model"]
    assert list(drawn.data[3].y) == both.table["second_index"].to_list()
    curve = lorenz(seen, truth())
    assert list(curve.figure("en").data[0].y) == curve.table["share_actual"].to_list()
    held = calibration(seen, truth())
    assert list(held.figure("en").data[2].y) == held.table["frequency"].to_list()
