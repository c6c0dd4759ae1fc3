"""Price response where prices were not by chance: instrument, discontinuity, side by side."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from scipy.special import expit
from statsmodels.sandbox.regression.gmm import IV2SLS

from pricing.data.lives import live
from pricing.data.truth import BookParameters
from pricing.errors import InputError
from pricing.experience.cells import Experience
from pricing.persistency.density import density_jump
from pricing.persistency.discontinuity import ik_bandwidth, price_discontinuity
from pricing.persistency.instrument import instrumented_price
from pricing.persistency.price_response import price_responses
from pricing.persistency.renewal_model import fit_renewal, renewal_elasticity
from pricing.persistency.renewals import renewal_offers
from pricing.result.shape import Result

TRUE = -5.0


def confounded(seed: int, n: int = 6_000) -> pl.DataFrame:
    """Offers whose price and renewal both rise with what nobody sees; ``filed`` moves the price."""
    rng = np.random.default_rng(seed)
    unseen, filed = rng.normal(size=n).round(1), rng.choice([0.0, 0.03, 0.06, 0.1], n)
    x = (filed + 0.02 * unseen + 0.01 * rng.normal(size=n)).round(3)
    sex = rng.choice(["f", "m"], n)
    y = (rng.random(n) < expit(1.6 + TRUE * x + 0.28 * unseen + 0.3 * (sex == "m"))).astype(int)
    return pl.DataFrame(
        {
            "price_change": x,
            "filed": filed,
            "sex": sex,
            "exposure": 1.0,
            "claims": y,
            "amount": y * 1.0,
        }
    )


def cells_of(rows: pl.DataFrame) -> Experience:
    return Experience.collect(rows, ["price_change", "filed", "sex"], amount="amount")


def at_cutoff(seed: int, n: int = 20_000) -> pl.DataFrame:
    """Offers whose price falls where the health value passes 425, for 85 of 100; latent health bends."""
    rng = np.random.default_rng(seed)
    value = rng.normal(430, 90, n).round(2)
    passed = (value >= 425) & (rng.random(n) < 0.85)
    x = (0.07 - 0.05 * passed + 0.01 * rng.normal(size=n)).round(4)
    u = (value - 430) / 90
    y = (rng.random(n) < expit(1.9 + TRUE * x - 0.15 * u - 0.06 * u**2)).astype(int)
    return pl.DataFrame({"health_value": value, "price_change": x, "renewed": y})


# -- instrument ---------------------------------------------------------------------------------------


def test_two_stage_is_that_of_statsmodels_and_white_on_the_rows():
    rows = confounded(1)
    found = instrumented_price(cells_of(rows), "filed", "sex")
    y, x, z = (rows[c].to_numpy().astype(float) for c in ("claims", "price_change", "filed"))
    w = sm.add_constant((rows["sex"] == "m").to_numpy().astype(float))
    a, b = np.c_[w, x], np.c_[w, z]
    theirs = IV2SLS(y, a, b).fit()
    u = y - a @ theirs.params
    inverse = np.linalg.inv(b.T @ a)
    white = np.sqrt((inverse @ (b.T * u**2) @ b @ inverse.T)[-1, -1])
    row = found.table.row(1, named=True)
    assert row["price_elasticity"] == pytest.approx(theirs.params[-1] / y.mean(), rel=1e-8)
    assert row["std_error"] == pytest.approx(white / y.mean(), rel=1e-8)
    first = sm.OLS(x, b).fit(cov_type="HC0")
    stage = found.frames["first_stage"].row(0, named=True)
    assert stage["coefficient"] == pytest.approx(first.params[-1])
    assert stage["first_stage_f"] == pytest.approx(first.tvalues[-1] ** 2)


def test_the_control_function_is_statsmodels_with_the_residual_and_stacked_errors():
    rows = confounded(2, n=2_000)
    found = instrumented_price(cells_of(rows), "filed", "sex").table.row(2, named=True)
    y, x, z = (rows[c].to_numpy().astype(float) for c in ("claims", "price_change", "filed"))
    w = sm.add_constant((rows["sex"] == "m").to_numpy().astype(float))
    c = np.c_[w, z]
    pi = sm.OLS(x, c).fit().params
    h = np.c_[w, x, x - c @ pi]
    second = sm.GLM(y, h, sm.families.Binomial()).fit(tol=1e-12)
    assert found["slope"] == pytest.approx(second.params[-2], rel=1e-6)

    def scores(theta):
        v = x - c @ theta[:3]
        wide = np.c_[w, x, v]
        return np.c_[c * v[:, None], wide * (y - expit(wide @ theta[3:]))[:, None]]

    theta = np.r_[pi, second.params]
    step = 1e-6
    unit = np.eye(len(theta)) * step
    bread = np.column_stack(
        [(scores(theta + e) - scores(theta - e)).sum(0) / (2 * step) for e in unit]
    )
    s = scores(theta)
    inverse = np.linalg.inv(bread)
    covariance = inverse @ (s.T @ s) @ inverse.T
    reach = (found["slope_upper"] - found["slope_lower"]) / 2 / 1.959964
    assert reach == pytest.approx(np.sqrt(covariance[-2, -2]), rel=1e-4)

    def elasticity(theta):
        eta = np.c_[w, x, x - c @ theta[:3]] @ theta[3:]
        p = expit(eta)
        return theta[-2] * (p * (1 - p)).sum() / p.sum()

    gradient = np.array(
        [(elasticity(theta + e) - elasticity(theta - e)) / (2 * step) for e in unit]
    )
    assert found["price_elasticity"] == pytest.approx(elasticity(theta), rel=1e-6)
    assert found["std_error"] == pytest.approx(np.sqrt(gradient @ covariance @ gradient), rel=1e-4)


def test_the_naive_slope_is_off_and_the_instrument_is_not():
    found = instrumented_price(cells_of(confounded(3, n=60_000)), "filed", "sex").table
    naive, two_stage, control = found.iter_rows(named=True)
    assert naive["slope_lower"] > TRUE
    for row in (two_stage, control):
        assert row["slope_lower"] < TRUE < row["slope_upper"]


def test_cells_order_and_split_rows_do_not_matter():
    rows = confounded(4)
    one = instrumented_price(cells_of(rows), "filed", "sex").table
    finer = rows.with_columns(half=pl.int_range(pl.len()) % 2).sample(
        fraction=1.0, shuffle=True, seed=1
    )
    cells = Experience.collect(finer, ["price_change", "filed", "sex", "half"], amount="amount")
    other = instrumented_price(cells, "filed", "sex").table
    for name in ("price_elasticity", "std_error", "slope"):
        assert one[name].to_list() == pytest.approx(other[name].to_list(), rel=1e-7)


def test_a_weak_instrument_gives_no_answer_unless_asked_and_then_a_warning():
    rng = np.random.default_rng(5)
    rows = confounded(5, n=2_000).with_columns(noise=pl.Series(rng.choice([0.0, 1.0], 2_000)))
    keys = ["price_change", "filed", "sex", "noise"]
    cells = Experience.collect(rows, keys, amount="amount")
    with pytest.raises(InputError, match="weak instrument: first-stage F"):
        instrumented_price(cells, "noise", "sex")
    found = instrumented_price(cells, "noise", "sex", least_f=0.0)
    assert any("shorter than it says" in note for note in found.basis.notes)


def test_instrument_refusals():
    cells = cells_of(confounded(6, n=500))
    for options, said in (
        ({"instrument": "price_change"}, "its own instrument"),
        ({"instrument": "sex"}, "not a number"),
        ({"instrument": "filled"}, "did you mean"),
        ({"instrument": "filed", "controls": "sex + filed"}, "both the instrument and a control"),
        ({"instrument": "filed", "controls": "sex * price_change"}, "the controls hold"),
        ({"instrument": "filed", "controls": 3}, "controls is a formula"),
    ):
        with pytest.raises(InputError, match=said):
            instrumented_price(cells, **options)
    rows = confounded(6, n=500)
    still = Experience.collect(rows.with_columns(filed=pl.lit(0.1)), cells.keys, amount="amount")
    with pytest.raises(InputError, match="moves no price"):
        instrumented_price(still, "filed")
    same = Experience.collect(rows.with_columns(filed="price_change"), cells.keys, amount="amount")
    with pytest.raises(InputError, match="fixes the price"):
        instrumented_price(same, "filed")


@pytest.mark.slow
def test_instrumented_intervals_cover_the_truth():
    inside = np.zeros(3)
    for seed in range(200):
        t = instrumented_price(cells_of(confounded(seed)), "filed", "sex").table
        inside += ((t["slope_lower"] < TRUE) & (t["slope_upper"] > TRUE)).to_numpy()
    assert inside[0] < 100  # the naive one is not to be had
    assert (inside[1:] >= 183).all()


# -- discontinuity ------------------------------------------------------------------------------------


def wls(r, v, h, power):
    """Limit at zero of one side and its HC1 covariance weight, on the rows."""
    x = np.vander(r, power + 1, increasing=True)
    return sm.WLS(v, x, weights=1 - np.abs(r) / h).fit()


def test_the_wald_ratio_and_its_error_are_those_of_local_fits_on_the_rows():
    rows = at_cutoff(1, n=4_000)
    h = 120.0
    found = price_discontinuity(rows, "health_value", 425.0, bandwidth=h).table.row(0, named=True)
    r = rows["health_value"].to_numpy() - 425.0
    y, x = rows["renewed"].to_numpy().astype(float), rows["price_change"].to_numpy()
    limits = {}
    for power in (1, 2):
        jumps, total = {}, 0.0
        for name, v in (("y", y), ("x", x)):
            fits = [wls(r[s], v[s], h, power) for s in ((r < 0) & (r > -h), (r >= 0) & (r < h))]
            jumps[name] = fits[1].params[0] - fits[0].params[0]
            limits[name, power] = [f.params[0] for f in fits]
        tau = jumps["y"] / jumps["x"]
        for s in ((r < 0) & (r > -h), (r >= 0) & (r < h)):
            k = s.sum()
            design, w = np.vander(r[s], power + 1, increasing=True), 1 - np.abs(r[s]) / h
            u = wls(r[s], y[s] - tau * x[s], h, power).resid
            inverse = np.linalg.inv((design.T * w) @ design)
            total += (
                (inverse @ ((design.T * (w * u) ** 2) @ design) @ inverse)[0, 0]
                * k
                / (k - power - 1)
            )
        limits["tau", power], limits["se", power] = tau, np.sqrt(total) / abs(jumps["x"])
    p = np.mean(limits["y", 1])
    assert found["renewal_rate"] == pytest.approx(p)
    assert found["price_elasticity"] == pytest.approx(limits["tau", 1] / p, rel=1e-7)
    assert found["std_error"] == pytest.approx(limits["se", 2] / p, rel=1e-7)
    assert (found["lower"] + found["upper"]) / 2 == pytest.approx(limits["tau", 2] / p, rel=1e-7)


def test_the_bandwidth_is_the_papers_formula_on_the_rows():
    rows = at_cutoff(2, n=3_000)
    r, y = rows["health_value"].to_numpy() - 425.0, rows["renewed"].to_numpy().astype(float)
    n, spread = len(r), r.std(ddof=1)
    h1 = 1.84 * spread * n**-0.2
    near = np.abs(r) <= h1
    f = near.sum() / (2 * n * h1)
    sides = (r < 0, r >= 0)
    var = [y[near & s].var(ddof=1) for s in sides]
    cubic = np.linalg.lstsq(np.c_[np.ones(n), r >= 0, r, r**2, r**3], y, rcond=None)[0]
    m3 = 6 * cubic[4]
    m2, reg = [], []
    for s, v in zip(sides, var, strict=True):
        h2 = min(3.56 * (v / (f * m3**2)) ** (1 / 7) * s.sum() ** (-1 / 7), np.abs(r[s]).max())
        k = s & (np.abs(r) <= h2)
        m2.append(2 * np.polyfit(r[k], y[k], 2)[0])
        reg.append(2160 * v / (k.sum() * h2**4))
    bend = (m2[1] - m2[0]) ** 2 + sum(reg)
    h = 3.4375 * (sum(var) / (f * bend)) ** 0.2 * n**-0.2
    assert ik_bandwidth(r, y) == pytest.approx(h, rel=1e-6)
    found = price_discontinuity(rows, "health_value", 425.0)
    assert found.facts["bandwidth"] == pytest.approx(h, rel=1e-6)


def test_units_order_and_a_date_do_not_matter():
    rows = at_cutoff(3, n=6_000).with_columns(pl.col("health_value").round(0))
    one = price_discontinuity(rows, "health_value", 425.0).table
    tenth = rows.with_columns(pl.col("health_value") / 10).sample(
        fraction=1.0, shuffle=True, seed=1
    )
    other = price_discontinuity(tenth, "health_value", 42.5).table
    start = date(2020, 1, 1)
    dated = rows.with_columns(
        due=pl.lit(start) + pl.duration(days=pl.col("health_value").cast(pl.Int64))
    )
    third = price_discontinuity(dated, "due", start + timedelta(days=425)).table
    for again in (other, third):
        for name in ("price_elasticity", "lower", "upper", "offers"):
            assert again[name].to_list() == pytest.approx(one[name].to_list(), rel=1e-6)


def test_who_has_no_value_is_left_out_and_said():
    rows = at_cutoff(4, n=3_000)
    more = pl.concat([rows, rows.head(7).with_columns(health_value=pl.lit(None, pl.Float64))])
    found = price_discontinuity(more, "health_value", 425.0)
    assert found.table.equals(price_discontinuity(rows, "health_value", 425.0).table)
    assert any("7 offers without health_value" in note for note in found.basis.notes)


def test_discontinuity_refusals():
    rows = at_cutoff(5, n=2_000)
    for change, options, said in (
        ({}, {"cutoff": 99.0}, "0 offers lie below"),
        ({}, {"cutoff": date(2020, 1, 1)}, "a number for a number"),
        ({}, {"cutoff": float("nan")}, "the cut-off is a number"),
        ({}, {"cutoff": 510.0, "bandwidth": 60.0}, "the price does not jump enough"),
        ({}, {"bandwidth": 0.0}, "the bandwidth is a number above 0"),
        ({}, {"bandwidth": 0.5}, "within the bandwidth"),
        ({}, {"level": 1.0}, "confidence level"),
        ({}, {"running": "health_vale"}, "did you mean"),
        ({"renewed": pl.lit(1)}, {}, "everybody renews"),
        ({"renewed": pl.lit(3)}, {}, "neither 0 nor 1"),
        ({"price_change": pl.lit(None, pl.Float64)}, {}, "is null or not finite in 2,000"),
        ({"price_change": pl.lit("a")}, {}, "not a number"),
    ):
        asked = {"running": "health_value", "cutoff": 425.0} | options
        with pytest.raises(InputError, match=said):
            price_discontinuity(rows.with_columns(**change), **asked)


def test_bunching_is_seen_and_none_is_not():
    rng = np.random.default_rng(1)
    even = rng.normal(40, 100, 8_000)
    assert density_jump(even)["p_value"] > 0.05
    moved = np.where((even < 0) & (even > -15) & (rng.random(8_000) < 0.6), -even, even)
    assert density_jump(moved)["p_value"] < 1e-6
    assert density_jump(moved)["jump"] > 0
    rows = at_cutoff(6, n=8_000)
    close = pl.col("health_value").is_between(405, 424.99)
    bunched = rows.with_columns(
        health_value=pl.when(close).then(850 - pl.col("health_value")).otherwise("health_value")
    )
    assert "bunch on a side" in price_discontinuity(bunched, "health_value", 425.0).finding("en")
    with pytest.raises(InputError, match="no offers on one side"):
        density_jump(np.array([1.0, 2.0]))


@pytest.mark.slow
def test_discontinuity_intervals_cover_the_truth_and_the_density_test_keeps_its_size():
    inside = bunched = 0
    for seed in range(200):
        found = price_discontinuity(at_cutoff(seed), "health_value", 425.0)
        t = found.table.row(0, named=True)
        inside += t["slope_lower"] < TRUE < t["slope_upper"]
        bunched += found.facts["density_p"] < 0.05
    assert inside >= 183
    assert bunched <= 20


# -- side by side -------------------------------------------------------------------------------------


def test_side_by_side_speaks_both_languages_and_is_kept(tmp_path):
    cells = cells_of(confounded(7))
    naive = renewal_elasticity(fit_renewal(cells, "sex + price_change"), cells)
    instrument = instrumented_price(cells, "filed", "sex")
    cut = price_discontinuity(at_cutoff(7, n=5_000), "health_value", 425.0)
    both = price_responses(naive, instrument, cut, true_slope=TRUE)
    assert both.table["method"].to_list() == [
        "renewal_model", "naive_logit", "two_stage", "control_function", "discontinuity",
    ]  # fmt: skip
    assert both.table["truth"].to_list() == pytest.approx(
        [TRUE * (1 - p) for p in both.table["renewal_rate"]]
    )
    assert both.table["price_elasticity"][0] == pytest.approx(both.table["price_elasticity"][1])
    for i, result in enumerate((instrument, cut, both)):
        result.save(tmp_path / str(i))
        back = Result.load(tmp_path / str(i))
        for lang in ("en", "zh"):
            assert "{" not in result.finding(lang)
            assert back.finding(lang) == result.finding(lang)
            assert back.figure(lang).to_json() == result.figure(lang).to_json()
    with pytest.raises(InputError, match="nothing to set beside it"):
        price_responses(naive)
    with pytest.raises(InputError, match="not a price_discontinuity"):
        price_responses(cut, instrument)
    with pytest.raises(InputError, match="renewal_elasticity"):
        price_responses(naive, naive)


@pytest.mark.slow
def test_discontinuities_of_simulated_books_find_the_true_slope():
    """Members of G1 at 575, where G1 turns to G2; below 375 they fall to G0, another cut-off."""
    parts = []
    for seed in range(200, 240):
        lives = live(BookParameters(), policies=20_000, seed=seed)
        number = pl.format("{}-{}", pl.lit(seed), "policy").alias("policy_id")
        found = renewal_offers(
            lives.issued.with_columns(number),
            lives.years.with_columns(number).drop("tier"),
            lives.offers.with_columns(number),
            observed=(date(2018, 1, 1), date(2026, 1, 1)),
        )
        concerned = (pl.col("health_group") == "G1") & pl.col("in_programme")
        columns = ["health_value", "price_change", "renewed"]
        parts.append(found.rows.filter(concerned & (pl.col("health_value") > 375)).select(columns))
    row = price_discontinuity(pl.concat(parts), "health_value", 575.0).table.row(0, named=True)
    assert row["slope_lower"] < BookParameters().renew_price < row["slope_upper"]
    assert row["slope_upper"] < 0
