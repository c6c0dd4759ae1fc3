"""Trend: oracle statsmodels, known truth, invariance, breaks, superimposed inflation, refusals."""

from datetime import date

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from scipy.special import gammaincinv, ndtr
from scipy.stats import binom

from pricing.errors import InputError
from pricing.estimate.period_fit import fit_periods
from pricing.estimate.time_axis import TimeAxis
from pricing.experience.cells import Experience
from pricing.result.shape import Result
from pricing.result.words import LANGUAGES, catalogue
from pricing.trend.autocorrelation import measure_noise, newey_west, simulate_totals
from pricing.trend.breaks import find_break
from pricing.trend.superimposed import superimposed_inflation
from pricing.trend.trend import Trend, fit_trend


def months(n, start=2021):
    return [date(start + i // 12, i % 12 + 1, 1) for i in range(n)]


def years_of(firsts):
    return np.array([(d - firsts[0]).days for d in firsts]) / 365.25


def series(n=48, *, trend=0.06, phi=3.0, rho=0.0, season=0.0, step=0.0, seed=1, per=60.0):
    """Months of growing exposure, overdispersed and autocorrelated claims."""
    rng = np.random.default_rng(seed)
    firsts = months(n)
    t = years_of(firsts)
    e = 400.0 + 5 * np.arange(n)
    late = (np.arange(n) >= n // 2) * step
    mu = e / 400 * per * np.exp(trend * t + season * np.sin(2 * np.pi * t) + late)
    z = rng.standard_normal(n)
    for i in range(1, n):
        z[i] = rho * z[i - 1] + np.sqrt(1 - rho**2) * z[i]
    claims = phi * gammaincinv(mu / phi, ndtr(z))
    amount = claims * 8_000 * np.exp(0.03 * t + 0.05 * rng.standard_normal(n))
    return pl.DataFrame(
        {
            "month": firsts,
            "exposure": e,
            "claims": claims,
            "amount": amount,
            "premium": e * 2_000.0,
        }
    )


def design_of(frame, trend, *, season=False):
    """The time axis written a second time, by hand."""
    firsts = frame["month"].to_list()
    after = [
        *firsts[1:],
        date(firsts[-1].year + firsts[-1].month // 12, firsts[-1].month % 12 + 1, 1),
    ]
    middle = np.array(
        [(d - firsts[0]).days / 365.25 + (b - d).days / 365.25 / 2
         for d, b in zip(firsts, after, strict=True)]
    )  # fmt: skip
    w = trend.frames["periods"]
    w = (w["exposure"] * w["completion"]).to_numpy()
    columns = [np.ones(len(middle)), middle - w @ middle / w.sum()]
    if season:
        month = np.array([d.month for d in firsts])
        columns += [(month == k) - 1 / 12 for k in range(2, 13)]
    return np.column_stack(columns)


# -- oracle -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("response, weight, total", [
    ("frequency", "exposure", "claims"),
    ("severity", "claims", "amount"),
    ("pure_premium", "exposure", "amount"),
    ("loss_ratio", "premium", "amount"),
])  # fmt: skip
@pytest.mark.parametrize("seasonality", ["none", "month"])
def test_the_fit_and_its_independent_errors_are_those_of_statsmodels(
    response, weight, total, seasonality
):
    frame = series()
    trend = fit_trend(frame, response=response, seasonality=seasonality, errors="independent")
    z = design_of(frame, trend, season=seasonality == "month")
    peer = sm.GLM(
        frame[total].to_numpy(),
        z,
        family=sm.families.Poisson(),
        offset=np.log(frame[weight].to_numpy()),
    ).fit(scale="X2", tol=1e-12)
    assert trend.coefficients == pytest.approx(peer.params, abs=1e-8)
    assert trend.covariance == pytest.approx(peer.cov_params(), rel=1e-6, abs=1e-14)
    assert trend.facts["dispersion"] == pytest.approx(peer.scale, rel=1e-8)
    low, high = trend.table.row(0, named=True)["lower"], trend.table.row(0, named=True)["upper"]
    ours = np.log1p([low, high])
    theirs = (
        sm.GLM(
            frame[total].to_numpy(),
            z,
            family=sm.families.Poisson(),
            offset=np.log(frame[weight].to_numpy()),
        )
        .fit(scale="X2", tol=1e-12, use_t=True)
        .conf_int()[1]
    )
    assert ours == pytest.approx(theirs, rel=1e-6)


@pytest.mark.parametrize("lags", [0, 3, 7])
def test_newey_west_is_that_of_statsmodels(lags):
    frame = series(rho=0.4)
    trend = fit_trend(frame, errors="newey_west", lags=lags)
    z = design_of(frame, trend)
    peer = sm.GLM(
        frame["claims"].to_numpy(),
        z,
        family=sm.families.Poisson(),
        offset=np.log(frame["exposure"].to_numpy()),
    ).fit(tol=1e-12, cov_type="HAC", cov_kwds={"maxlags": lags, "use_correction": True})
    assert trend.covariance == pytest.approx(peer.cov_params(), rel=1e-6)


def test_the_mix_is_held_as_statsmodels_holds_it():
    rng = np.random.default_rng(4)
    parts = []
    for tier, share, rate in (
        ("a", np.linspace(0.8, 0.3, 36), 0.1),
        ("b", np.linspace(0.2, 0.7, 36), 0.3),
    ):
        e = 9_000 * share
        mu = e * rate * np.exp(0.05 * years_of(months(36)))
        parts.append(
            pl.DataFrame(
                {"month": months(36), "tier": tier, "exposure": e, "claims": rng.poisson(mu)}
            )
        )
    frame = pl.concat(parts)
    crude = fit_trend(frame)
    trend = fit_trend(frame, by=["tier"], errors="newey_west", lags=2)
    assert crude.annual.estimate > 0.2  # the dearer tier grows
    assert trend.annual.lower < 0.0513 < trend.annual.upper
    z = design_of(frame.filter(pl.col("tier") == "a"), trend)
    sorted_ = frame.sort("month", "tier")
    x = np.column_stack([np.repeat(z, 2, axis=0), sorted_["tier"] == "b"])
    peer = sm.GLM(
        sorted_["claims"].to_numpy(),
        x,
        family=sm.families.Poisson(),
        offset=np.log(sorted_["exposure"].to_numpy()),
    ).fit(tol=1e-13)
    assert trend.coefficients[1] == pytest.approx(peer.params[1], abs=1e-9)
    scores = (x * (sorted_["claims"].to_numpy() - peer.mu)[:, None]).reshape(36, 2, 3).sum(axis=1)
    by_hand = newey_west(scores, peer.normalized_cov_params, 2, 2)
    assert trend.covariance[1, 1] == pytest.approx(by_hand[1, 1], rel=1e-6)
    # the period totals carry the fit: given the mix, a refit is the fit
    again = trend.refit(trend.frames["periods"]["total"].to_numpy()[None])
    assert again[0] == pytest.approx(trend.coefficients, abs=1e-9)
    seen = trend.frames["periods"]
    assert seen["weight"].sum() == pytest.approx(seen["exposure"].sum())
    free = fit_trend(frame, by=["tier"], errors="independent")
    assert free.covariance[1, 1] == pytest.approx(
        peer.normalized_cov_params[1, 1] * free.facts["dispersion"]
        * 1.0, rel=1e-6)  # fmt: skip


@pytest.mark.parametrize("response", ["frequency", "severity", "pure_premium"])
def test_errors_of_the_rows_are_the_sandwich_of_statsmodels_on_rows(response):
    rng = np.random.default_rng(8)
    n = 3_000
    month = rng.integers(0, 12, n)
    rows = pl.DataFrame(
        {
            "month": [str(months(12)[i]) for i in month],
            "tier": np.where(rng.random(n) < 0.4 + 0.02 * month, "b", "a"),
            "exposure": rng.uniform(0.2, 1.0, n),
        }
    )
    mu = rows["exposure"].to_numpy() * np.where(rows["tier"] == "b", 0.9, 0.5)
    claims = rng.poisson(mu * rng.gamma(1.0, 1.0, n))
    rows = rows.with_columns(claims=claims, amount=claims * rng.gamma(2.0, 500.0, n))
    seen = Experience.collect(rows, ["month", "tier"], amount="amount")
    trend = fit_trend(seen, response=response, by=["tier"], errors="rows")
    weight, total = {"frequency": ("exposure", "claims"), "severity": ("claims", "amount"),
                     "pure_premium": ("exposure", "amount")}[response]  # fmt: skip
    middle = np.array([trend.axis.middle(d) for d in months(12)])[month]
    x = np.column_stack([np.ones(n), middle, rows["tier"] == "b"])
    some = rows[weight].to_numpy() > 0
    peer = sm.GLM(
        rows[total].to_numpy()[some],
        x[some],
        family=sm.families.Poisson(),
        offset=np.log(rows[weight].to_numpy()[some]),
    ).fit(tol=1e-13, cov_type="HC0")
    assert trend.coefficients[1] == pytest.approx(peer.params[1], abs=1e-8)
    assert trend.covariance[1, 1] == pytest.approx(peer.cov_params()[1, 1], rel=1e-6)
    assert trend.facts["degrees_of_freedom"] == n - 3
    left = (rows[total].to_numpy()[some] - peer.mu) ** 2
    assert trend.facts["scatter_rows"] == pytest.approx(np.sqrt(left.sum() * 12) / peer.mu.sum())
    assert "rows" in trend.finding("en")
    assert "逐行" in trend.finding("zh")
    with pytest.raises(InputError, match="second moments of an experience"):
        fit_trend(rows, response=response, errors="rows")


def test_the_noise_of_a_mean_alone_is_the_sample_variance():
    r = np.random.default_rng(0).standard_normal(40)
    noise = measure_noise(np.ones((40, 1)), r - r.mean(), np.ones(40), correlated=False)
    assert noise.dispersion == pytest.approx(r.var(ddof=1))
    assert noise.covariance == pytest.approx(r.var(ddof=1) * np.eye(40))
    peer = sm.stats.durbin_watson(r - r.mean())
    d = (r - r.mean()) @ np.roll(r - r.mean(), 1)  # 2 − DW is twice d up to the ends
    assert abs((2 - peer) / 2 - d / ((r - r.mean()) ** 2).sum()) < 0.1


# -- known truth ------------------------------------------------------------------------------------


def coverage(runs, **settings):
    fits = [fit_trend(series(seed=s, **settings)) for s in range(runs)]
    return sum(f.annual.lower < np.expm1(0.06) < f.annual.upper for f in fits)


@pytest.mark.parametrize("rho", [0.0, 0.5])
def test_the_interval_covers_the_truth(rho):
    inside = coverage(60, n=36, rho=rho)
    assert inside >= binom.ppf(0.001, 60, 0.95)


@pytest.mark.slow
@pytest.mark.parametrize("n, phi, rho", [
    (36, 1.0, 0.0), (36, 3.0, 0.0), (36, 3.0, 0.3), (48, 3.0, 0.5), (60, 5.0, 0.6),
])  # fmt: skip
def test_the_interval_covers_as_often_as_it_says(n, phi, rho):
    """93–97 % of 400 series, with the sampling error of a share on top."""
    share = coverage(400, n=n, phi=phi, rho=rho) / 400
    assert 0.93 - 0.015 <= share <= 0.97 + 0.015


def test_autocorrelation_widens_the_interval_and_is_said():
    calm, rough = fit_trend(series(60)), fit_trend(series(60, rho=0.7))
    assert rough.facts["autocorrelation"] > 0.4 > calm.facts["autocorrelation"]
    assert rough.facts["autocorrelation_p_value"] < 0.01 < calm.facts["autocorrelation_p_value"]
    plain = fit_trend(series(60, rho=0.7), errors="independent")
    assert rough.annual.std_error > 1.5 * plain.annual.std_error
    assert rough.annual.estimate == plain.annual.estimate
    assert "autocorrelation" in rough.finding("en")
    assert "自相关" in rough.finding("zh")


@pytest.mark.parametrize("seasonality", ["harmonic", "quarter", "month"])
def test_seasonality_is_recovered(seasonality):
    frame = series(60, season=0.3, phi=0.2, per=900.0)
    trend = fit_trend(frame, seasonality=seasonality)
    index = trend.frames["seasonality"]
    assert np.log(index["estimate"].to_numpy()).mean() == pytest.approx(0, abs=1e-12)
    true = np.exp(0.3 * np.sin(2 * np.pi * np.arange(12) / 12))
    true = true if seasonality != "quarter" else np.exp(np.log(true).reshape(4, 3).mean(axis=1))
    limit = 0.1 if seasonality == "harmonic" else 0.06
    assert index["estimate"].to_numpy() == pytest.approx(true, abs=limit)
    assert trend.annual.estimate == pytest.approx(np.expm1(0.06), abs=0.01)
    assert trend.annual.std_error < fit_trend(frame).annual.std_error


def test_a_break_in_the_model_is_a_row_of_its_own_and_in_the_factor():
    frame = series(48, step=0.4, phi=0.1, per=5_000.0)
    at = frame["month"][24]
    trend = fit_trend(frame, breaks={at: "level"})
    step = trend.table.filter(pl.col("term") == "level_break").row(0, named=True)
    assert step["start"] == at
    assert np.log1p(step["estimate"]) == pytest.approx(0.4, abs=0.02)
    over = trend.factor(date(2022, 7, 1), date(2023, 7, 1)).estimate
    assert over == pytest.approx((1 + step["estimate"]) * (1 + trend.annual.estimate), rel=1e-3)
    both = fit_trend(frame, breaks=[at])
    rows = both.table.select("term", "start", "end").rows()
    assert rows == [("trend", date(2021, 1, 1), at), ("level_break", at, None), ("trend", at, None)]
    assert both.annual.estimate == both.table.row(-1, named=True)["estimate"]


def test_completion_weighs_and_carries_its_error():
    frame = series(36, phi=0.5)
    share = np.ones(36)
    share[-3:] = 0.9, 0.7, 0.4
    cut = frame.with_columns(claims=pl.col("claims") * share)
    known = pl.DataFrame({"month": frame["month"][-3:], "completion": share[-3:]})
    exact = fit_trend(cut, completion=known)
    assert fit_trend(cut).annual.estimate < exact.annual.estimate - 0.02
    assert exact.annual.estimate == pytest.approx(fit_trend(frame).annual.estimate, abs=0.01)
    seen = exact.frames["periods"]
    assert seen["weight"].to_numpy() == pytest.approx(frame["exposure"].to_numpy() * share)
    unsure = fit_trend(cut, completion=known.with_columns(std_error=pl.Series([0.02, 0.1, 0.15])))
    assert unsure.annual.estimate == exact.annual.estimate
    # the error is what moving the factors does: by simulation of the refit
    rng = np.random.default_rng(5)
    rel = np.zeros(36)
    rel[-3:] = np.array([0.02, 0.1, 0.15]) / share[-3:]
    draws = seen["weight"].to_numpy() * np.exp(rel * rng.standard_normal((20_000, 36)) * 0.2)
    moved = (
        exact.refit(np.broadcast_to(seen["total"].to_numpy(), draws.shape), draws)[:, 1].std() / 0.2
    )
    added = np.sqrt(unsure.covariance[1, 1] - exact.covariance[1, 1])
    assert added == pytest.approx(moved, rel=0.03)


# -- factor, level ----------------------------------------------------------------------------------


def test_factor_and_level_by_hand():
    trend = fit_trend(series(), seasonality="month")
    b, se = trend.coefficients[1], np.sqrt(trend.covariance[1, 1])
    two = trend.factor(date(2024, 7, 1), date(2026, 7, 1))
    span = (date(2026, 7, 1) - date(2024, 7, 1)).days / 365.25
    assert two.estimate == pytest.approx(np.exp(b * span))
    assert two.std_error == pytest.approx(se * span)
    assert two.lower < two.estimate < two.upper
    back = trend.factor(date(2026, 7, 1), date(2024, 7, 1))
    assert back.estimate * two.estimate == pytest.approx(1)
    same = trend.factor(date(2024, 7, 1), date(2024, 7, 1))
    assert (same.estimate, same.std_error) == (1.0, 0.0)
    assert trend.at(date(2024, 7, 1)).estimate * two.estimate == pytest.approx(
        trend.at(date(2026, 7, 1)).estimate
    )
    # the level and the trend are apart at the centre, where the level's error is least
    errors = [trend.at(date(y, 1, 1)).std_error for y in (2021, 2023, 2025)]
    assert errors[1] < min(errors[0], errors[2])
    weights = {date(2024, 1, 1): 2.0, date(2024, 2, 1): 1.0}
    z, w = trend.axis.columns(list(weights)), np.array([2, 1]) / 3
    ahead = {date(2026, 1, 1): 1.0}
    by_hand = np.exp(trend.axis.columns(list(ahead)) @ trend.coefficients)[0] / (
        w @ np.exp(z @ trend.coefficients)
    )
    assert trend.factor(weights, ahead).estimate == pytest.approx(by_hand)
    assert trend.project(trend.coefficients, weights, ahead)[0] == pytest.approx(by_hand)


def test_level_and_trend_are_not_correlated():
    trend = fit_trend(series(trend=0.0), errors="independent")
    v = trend.covariance
    assert abs(v[0, 1]) / np.sqrt(v[0, 0] * v[1, 1]) < 0.1


# -- batched refits ---------------------------------------------------------------------------------


def test_refits_at_once_equal_refits_one_by_one():
    trend = fit_trend(
        series(48, season=0.2), seasonality="month", breaks={date(2023, 1, 1): "both"}
    )
    rng = np.random.default_rng(2)
    mean = trend.frames["periods"]["fitted"] * trend.frames["periods"]["weight"]
    draws = rng.poisson(mean.to_numpy() / 20, (300, 48)).astype(float)
    assert (draws == 0).any()
    exposures = trend.frames["periods"]["weight"].to_numpy() * rng.uniform(0.8, 1.2, (300, 48))
    at_once = trend.refit(draws, exposures)
    for i in range(0, 300, 7):
        alone = trend.refit(draws[i : i + 1], exposures[i])
        assert at_once[i] == pytest.approx(alone[0], abs=1e-10)
    for i in (0, 100, 299):
        peer = sm.GLM(
            draws[i], trend.columns, family=sm.families.Poisson(), offset=np.log(exposures[i])
        ).fit(tol=1e-14, maxiter=200)
        assert at_once[i] == pytest.approx(peer.params, abs=1e-8)
    own = trend.refit(trend.frames["periods"]["total"].to_numpy()[None])
    assert own[0] == pytest.approx(trend.coefficients, abs=1e-9)
    factors = trend.project(at_once, date(2024, 7, 1), date(2026, 7, 1))
    assert factors.shape == (300,)
    trends = at_once[:, [n == "trend" or n.startswith("trend_break") for n in trend.axis.names]]
    span = (date(2026, 7, 1) - date(2024, 7, 1)).days / 365.25
    assert factors == pytest.approx(np.exp(span * trends.sum(axis=1)))


def test_a_refit_that_has_no_estimate_is_refused():
    trend = fit_trend(series(12), breaks={date(2021, 10, 1): "level"})
    good = trend.frames["periods"]["total"].to_numpy()
    gone = good.copy()
    gone[9:] = 0.0
    with pytest.raises(InputError, match=r"1 of 3 fits (run away|do not converge).*\(numbers 1\)"):
        trend.refit(np.array([good, gone, good]))
    with pytest.raises(
        InputError,
        match="1 draws have no claim at all, or recoveries above the payments, such as number 1",
    ):
        trend.refit(np.array([good, 0 * good]))
    with pytest.raises(InputError, match="2 responses are not finite"):
        trend.refit(np.array([[np.nan, np.inf, *good[2:]]]))
    with pytest.raises(InputError, match="1 exposures are negative or not finite"):
        trend.refit(good[None], np.array([-1.0, *good[1:]]))
    with pytest.raises(InputError, match="1 responses without exposure"):
        trend.refit(good[None], np.array([0.0, *good[1:]]))
    with pytest.raises(InputError, match="not draws × 12 periods"):
        trend.refit(good)
    with pytest.raises(InputError, match="neither"):
        trend.refit(good[None], good[:3])
    with pytest.raises(InputError, match="2 coefficients a draw are not the 3"):
        trend.project(np.zeros((5, 2)), date(2024, 1, 1), date(2025, 1, 1))


def test_a_month_of_recoveries_and_one_without_exposure_are_fitted():
    """The score X'(y − e exp(Xβ)) vanishes, whatever the sign of a month; no exposure, no part."""
    z = np.column_stack([np.ones(6), np.linspace(-1, 1, 6)])
    y, e = np.array([[5.0, -2.0, 6.0, 0.0, 8.0, 9.0]]), np.array([1.0, 1.0, 1.0, 0.0, 1.0, 1.0])
    beta = fit_periods(z, y, e)[0]
    assert np.abs(z.T @ (y[0] - e * np.exp(z @ beta))).max() < 1e-9
    some = e > 0
    assert fit_periods(z[some], y[:, some], e[some])[0] == pytest.approx(beta, rel=1e-10)


def test_extreme_draws_converge():
    z = np.column_stack([np.ones(6), np.linspace(-1, 1, 6)])
    steep = np.exp(np.outer([-8.0, 0.0, 8.0], z[:, 1])) * 1e6
    assert fit_periods(z, steep, np.ones(6))[:, 1] == pytest.approx([-8, 0, 8], abs=1e-9)


def test_refits_of_simulated_totals_scatter_as_the_covariance_says():
    trend = fit_trend(series(48, rho=0.5, season=0.2), seasonality="harmonic")
    seen = trend.frames["periods"]
    mean = (seen["fitted"] * seen["weight"]).to_numpy()
    drawn = simulate_totals(mean, trend.noise.autocovariance, 20_000, seed=3)
    assert drawn.mean(axis=0) == pytest.approx(mean, rel=0.02)
    spread = drawn.var(axis=0) / mean
    assert spread.mean() == pytest.approx(trend.facts["dispersion"], rel=0.03)
    factors = np.log(trend.project(trend.refit(drawn), date(2024, 7, 1), date(2026, 7, 1)))
    said = trend.factor(date(2024, 7, 1), date(2026, 7, 1))
    assert factors.std() == pytest.approx(said.std_error, rel=0.05)
    assert factors.mean() == pytest.approx(np.log(said.estimate), abs=0.1 * said.std_error)


# -- invariance -------------------------------------------------------------------------------------


def same(a, b, *, but=()):
    assert a.coefficients[1:] == pytest.approx(b.coefficients[1:], abs=1e-9)
    assert a.covariance == pytest.approx(b.covariance, rel=1e-6)
    for name in ("estimate", "lower", "upper"):
        assert a.table[name].to_numpy() == pytest.approx(b.table[name].to_numpy(), abs=1e-9)
    if "level" not in but:
        assert a.coefficients[0] == pytest.approx(b.coefficients[0], abs=1e-9)


def test_order_splitting_shards_and_units_do_not_matter():
    frame = series(36).with_columns(tier=pl.Series(["a", "b"] * 18))
    whole = fit_trend(frame, response="pure_premium")
    same(fit_trend(frame.sample(fraction=1, shuffle=True, seed=1), response="pure_premium"), whole)
    half = frame.with_columns(pl.col("exposure", "amount", "claims") / 2)
    same(fit_trend(pl.concat([half, half]), response="pure_premium"), whole)
    assert (
        fit_trend(pl.concat([half, half]), response="pure_premium").basis.period
        == whole.basis.period
    )
    money = fit_trend(frame.with_columns(pl.col("amount") * 100), response="pure_premium")
    same(money, whole, but=("level",))
    assert money.coefficients[0] == pytest.approx(whole.coefficients[0] + np.log(100))
    rows = frame.with_columns(pl.col("month").cast(pl.String))
    shards = [
        Experience.collect(part, ["month", "tier"], amount="amount")
        for part in (rows[:20], rows[20:])
    ]
    same(fit_trend(shards[0] + shards[1], response="pure_premium"), whole)
    named = frame.rename({"month": "origin", "amount": "paid"})
    same(fit_trend(named, when="origin", amount="paid", response="pure_premium"), whole)


def test_quarters_and_years_agree_with_months():
    frame = series(60, phi=0.05, per=4_000.0)
    by = {"month": fit_trend(frame)}
    for period, step in (("quarter", "1q"), ("year", "1y")):
        short = frame.with_columns(pl.col("month").dt.truncate(step).alias(period))
        by[period] = fit_trend(short, period=period)
    for other in ("quarter", "year"):
        assert by[other].annual.estimate == pytest.approx(by["month"].annual.estimate, abs=0.002)
    assert by["year"].facts["errors"] == "independent"
    assert by["year"].facts["degrees_of_freedom"] == 3


# -- results ----------------------------------------------------------------------------------------


def test_results_are_saved_and_speak_both_languages(tmp_path):
    trend = fit_trend(series(36, step=0.3), seasonality="harmonic", breaks=[date(2022, 7, 1)])
    broken = find_break(fit_trend(series(36, step=0.3)), draws=199)
    cpi = pl.DataFrame(
        {
            "date": [date(y, 7, 1) for y in range(2020, 2026)],
            "index": [1.0, 1.02, 1.04, 1.05, 1.07, 1.1],
        }
    )
    beyond = superimposed_inflation(trend, cpi, name="CPI")
    for i, found in enumerate((trend, broken, beyond)):
        found.save(tmp_path / str(i))
        back = Result.load(tmp_path / str(i))
        assert type(back) is type(found)
        assert back.table.equals(found.table)
        for lang in LANGUAGES:
            assert back.finding(lang) == found.finding(lang)
            assert "{" not in found.finding(lang)
            assert found.figure(lang).to_json() == back.figure(lang).to_json()
        for frame in (found.table, *found.frames.values()):
            for column in frame.columns:
                assert f"term.{column}" in catalogue() or column == "index", column
    back = Trend.load(tmp_path / "0")
    assert back.factor(date(2024, 1, 1), date(2025, 1, 1)) == trend.factor(
        date(2024, 1, 1), date(2025, 1, 1)
    )
    assert back.noise.covariance == pytest.approx(trend.noise.covariance)
    assert trend.basis.fingerprint != fit_trend(series(36, step=0.3)).basis.fingerprint
    figure = trend.figure("en")
    assert list(figure.data[4].y) == trend.frames["periods"]["observed"].to_list()
    assert len(figure.layout.shapes) == 1
    band = (trend.frames["projection"]["upper"] / trend.frames["projection"]["lower"]).log()
    assert band[-1] > band[0]


# -- breaks -----------------------------------------------------------------------------------------


def test_a_break_is_found_where_it_is():
    frame = series(48, step=0.35, phi=1.0, per=200.0)
    found = find_break(fit_trend(frame, errors="independent"), kind="level", draws=499)
    assert found.facts["p_value"] == 1 / 500
    assert found.facts["earliest"] <= "2023-01-01" <= found.facts["latest"]
    assert abs((date.fromisoformat(found.facts["date"]) - date(2023, 1, 1)).days) < 95
    assert (
        found.table["statistic"].max() == found.facts["statistic"] > found.facts["critical_value"]
    )
    again = find_break(fit_trend(frame, errors="independent"), kind="level", draws=499)
    assert again.facts == found.facts
    none = find_break(fit_trend(series(48), errors="independent"), draws=499)
    assert none.facts["p_value"] > 0.05
    assert none.finding("en").endswith("Nothing speaks against one trend throughout.")
    other = series(48, step=0.35, phi=1.0, per=200.0, seed=3)
    with_it = fit_trend(other, errors="independent", breaks={date(2023, 1, 1): "level"})
    assert find_break(with_it, kind="level", draws=499).facts["p_value"] > 0.05


def test_a_known_date_is_chows_f():
    frame = series(48, phi=2.0, per=400.0)
    trend = fit_trend(frame, errors="independent")
    found = find_break(trend, at=date(2023, 1, 1), kind="level", draws=1999)
    z = np.column_stack([trend.columns, np.arange(48) >= 24])
    null = sm.GLM(frame["claims"].to_numpy(), z[:, :2], family=sm.families.Poisson(),
                  offset=np.log(frame["exposure"].to_numpy())).fit()  # fmt: skip
    # the working least squares of the null fit
    x = z * np.sqrt(null.mu)[:, None]
    r = (frame["claims"].to_numpy() - null.mu) / np.sqrt(null.mu)
    left = r - x @ np.linalg.lstsq(x, r, rcond=None)[0]
    f = (r @ r - left @ left) / (left @ left / 45)
    assert found.facts["statistic"] == pytest.approx(f, rel=1e-6)
    peer = sm.OLS(r, x).fit()
    assert found.facts["p_value"] == pytest.approx(peer.pvalues[2], rel=1e-5)
    assert len(found.table) == 1


def test_what_the_search_costs_is_in_the_p_value():
    trend = fit_trend(series(48, step=0.12), errors="independent")
    searched = find_break(trend, kind="level", draws=499)
    chosen = find_break(
        trend, at=date.fromisoformat(searched.facts["date"]), kind="level", draws=499
    )
    assert searched.facts["p_value"] > 2 * chosen.facts["p_value"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "rho, errors, most", [(0.0, "independent", 0.08), (0.0, "auto", 0.08), (0.4, "auto", 0.12)]
)
def test_a_break_that_is_not_there_is_found_at_the_nominal_rate(rho, errors, most):
    p = [
        find_break(fit_trend(series(48, seed=s, rho=rho), errors=errors), draws=199).facts[
            "p_value"
        ]
        for s in range(300)
    ]
    assert 0.015 <= np.mean(np.array(p) < 0.05) <= most


@pytest.mark.parametrize("settings, match", [
    ({"at": date(2019, 1, 1)}, "no first day of a fitted month"),
    ({"at": date(2021, 1, 15)}, "no first day of a fitted month"),
    ({"kind": "other"}, "kind 'other' is not offered"),
    ({"trim": 0.6}, "trim 0.6"),
    ({"draws": 10}, "199 or more"),
    ({"level": 1.0}, "between 0 and 1"),
])  # fmt: skip
def test_a_break_test_that_cannot_be_done_is_refused(settings, match):
    with pytest.raises(InputError, match=match):
        find_break(fit_trend(series(24)), **settings)


def test_a_break_the_trend_has_and_too_few_periods_are_refused():
    at = date(2022, 1, 1)
    with pytest.raises(InputError, match="cannot be told apart"):
        find_break(fit_trend(series(24), breaks={at: "level"}), at=at, kind="level")
    with pytest.raises(InputError, match="5 periods cannot carry"):
        find_break(fit_trend(series(5)), at=date(2021, 3, 1))
    with pytest.raises(InputError, match="leave none to try"):
        find_break(fit_trend(series(8)), trim=0.4)


# -- superimposed -----------------------------------------------------------------------------------


def index_of(growth, **more):
    days = [date(y, m, 1) for y in range(2020, 2026) for m in (1, 7)]
    t = np.array([(d - days[0]).days for d in days]) / 365.25
    return pl.DataFrame({"date": days, "index": 80 * np.exp(growth * t), **more})


def test_superimposed_inflation_is_the_trend_of_deflated_claims():
    frame = series()
    trend = fit_trend(frame, response="severity")
    found = superimposed_inflation(trend, index_of(0.02), name="CPI")
    b, se = trend.coefficients[1], np.sqrt(trend.covariance[1, 1])
    row = found.table.row(2, named=True)
    assert row["estimate"] == pytest.approx(np.expm1(b - 0.02), abs=1e-9)
    assert row["std_error"] == pytest.approx(se)
    assert found.table["std_error"][1] == 0
    deflated = frame.with_columns(amount=pl.col("amount") / found.frames["index"]["index"])
    assert row["estimate"] == pytest.approx(
        fit_trend(deflated, response="severity").annual.estimate, abs=1e-4
    )
    unsure = superimposed_inflation(trend, index_of(0.02, std_error=0.01), name="CPI")
    assert unsure.table["std_error"][2] == pytest.approx(np.hypot(se, unsure.table["std_error"][1]))
    assert unsure.table["std_error"][1] > 0
    rebased = superimposed_inflation(
        trend, index_of(0.02).with_columns(pl.col("index") * 7), name="CPI"
    )
    assert rebased.table["estimate"].to_list() == pytest.approx(found.table["estimate"].to_list())
    assert "CPI" in found.finding("en")
    assert "CPI" in found.finding("zh")
    assert "index: CPI, taken as exact" in found.basis.notes
    narrow = superimposed_inflation(trend, index_of(0.02), name="CPI", level=0.5)
    assert narrow.table["lower"][2] > row["lower"]


@pytest.mark.parametrize("index, name, match", [
    (index_of(0.02)[4:], "CPI", "runs from 2022-01-01"),
    (index_of(0.02)[:1], "CPI", "1 values make no trend"),
    (index_of(0.02), " ", "no name"),
    (index_of(0.02).drop("index"), "CPI", "no column 'index'"),
    (index_of(0.02).with_columns(pl.col("date").cast(pl.String)), "CPI", "not Date"),
    (index_of(0.02).with_columns(index=pl.lit("x")), "CPI", "must be numbers"),
    (index_of(0.02).with_columns(pl.col("index") - 81), "CPI", "not above zero"),
    (index_of(0.02).with_columns(index=None).cast({"index": pl.Float64}), "CPI", "12 values are null"),
    (pl.concat([index_of(0.02), index_of(0.02)[:2]]), "CPI", "2 dates are there twice"),
    (index_of(0.02, std_error=-1.0), "CPI", "12 standard errors"),
])  # fmt: skip
def test_an_index_that_cannot_serve_is_refused(index, name, match):
    with pytest.raises(InputError, match=match):
        superimposed_inflation(fit_trend(series()), index, name=name)


# -- refusals ---------------------------------------------------------------------------------------


def changed(column, value, row=3):
    frame = series(24)
    return frame.with_columns(
        pl.when(pl.int_range(pl.len()) == row).then(pl.lit(value)).otherwise(column).alias(column)
    )


@pytest.mark.parametrize("frame, settings, match", [
    (series(1), {}, "1 month cannot carry 2 coefficients"),
    (series(2), {}, "2 months cannot carry 2 coefficients"),
    (series(12), {"seasonality": "month"}, "12 months cannot carry 13"),
    (series(0), {}, "there are no rows"),
    (series(24).filter(pl.int_range(pl.len()) != 5), {}, "1 months are missing .* 2021-06-01"),
    (changed("claims", None), {}, "'claims' is null or not finite in 1 rows"),
    (changed("claims", float("nan")), {}, "'claims' is null or not finite in 1 rows"),
    (changed("exposure", float("inf")), {}, "'exposure' is null or not finite in 1 rows"),
    (changed("exposure", 0.0), {}, "exposure is zero in 1 months, such as 2021-04-01"),
    (changed("exposure", -1.0), {}, "'exposure' is negative in 1 rows"),
    (changed("amount", -1.0), {"response": "severity"}, "'amount' is negative in 1 rows"),
    (changed("claims", 0.0), {"response": "severity"}, "claims is zero in 1 months"),
    (changed("month", None), {}, "1 are null"),
    (changed("month", date(2021, 4, 2)), {}, "1 are no first day of a month, such as 2021-04-02"),
    (series(24).rename({"month": "quarter"}), {"period": "quarter"}, "16 are no first day of a quarter"),
    (series(24).with_columns(pl.col("month").dt.year()), {}, "not a date"),
    (series(24).with_columns(pl.col("month").dt.to_string("%Y/%m")), {}, "24 values are no ISO date"),
    (series(24).with_columns(claims=0), {}, "claims is zero in all 24 months"),
    (series(24).with_columns(claims=pl.lit("x")), {}, "not a number"),
    (series(24), {"response": "lapse"}, "response 'lapse' is not offered"),
    (series(24), {"period": "week"}, "period 'week' is not offered"),
    (series(24), {"errors": "none"}, "errors='none' is not offered"),
    (series(24), {"level": 0.0}, "confidence level"),
    (series(24), {"lags": -1, "errors": "newey_west"}, "lags must be"),
    (series(24), {"seasonality": "week"}, "seasonality 'week' is not offered"),
    (series(24), {"seasonality": "harmonic", "harmonics": 9}, "harmonics of a month go from 1 to 3"),
    (series(24), {"premium": "prem", "response": "loss_ratio"}, "did you mean 'premium'"),
    (series(24), {"by": ["tier"]}, "'tier'"),
    (series(24), {"by": ["claims"]}, "used twice"),
    (series(24), {"breaks": [date(2021, 1, 1)]}, "no first day of a month after the first"),
    (series(24), {"breaks": [date(2022, 1, 9)]}, "2022-01-09"),
    (series(24), {"breaks": [date(2022, 1, 1)] * 2}, "named twice"),
    (series(24), {"breaks": {date(2022, 1, 1): "jump"}}, "none of level, slope, both"),
    (series(24), {"breaks": ["2022-01-01"]}, "is not a date"),
    (series(24), {"breaks": {date(2022, 12, 1): "both"}}, "cannot be told apart"),
    ([1, 2], {}, "no experience and no frame"),
])  # fmt: skip
def test_what_has_no_trend_is_refused(frame, settings, match):
    with pytest.raises(InputError, match=match):
        fit_trend(frame, **settings)


@pytest.mark.parametrize("completion, match", [
    (pl.DataFrame({"month": [date(2021, 1, 1)]}), "no column 'completion'"),
    (pl.DataFrame({"month": [date(2021, 1, 1)] * 2, "completion": [1.0, 0.9]}), "1 periods are named twice"),
    (pl.DataFrame({"month": [date(2021, 1, 1)], "completion": [0.0]}), "1 factors are null"),
    (pl.DataFrame({"month": [date(2021, 1, 1)], "completion": ["x"]}), "is no number"),
    (pl.DataFrame({"month": ["2021-01-01"], "completion": [0.5]}), "not Date"),
    (pl.DataFrame({"month": [date(2031, 1, 1)], "completion": [0.5]}), "1 periods are not among the 24"),
    (pl.DataFrame({"month": [date(2021, 1, 1)], "completion": [0.5], "std_error": [-0.1]}), "1 standard errors"),
])  # fmt: skip
def test_completion_that_cannot_be_used_is_refused(completion, match):
    with pytest.raises(InputError, match=match):
        fit_trend(series(24), completion=completion)


def test_a_mix_that_goes_with_time_is_refused():
    frame = series(24).with_columns(
        era=pl.when(pl.int_range(24) < 12).then(pl.lit("old")).otherwise(pl.lit("new"))
    )
    with pytest.raises(InputError, match="cannot be told apart"):
        fit_trend(frame, by=["era"], breaks={date(2022, 1, 1): "level"})


def test_periods_that_hold_too_little_are_refused_and_do_not_overflow():
    few = pl.DataFrame(
        {
            "month": months(5),
            "exposure": 1.0,
            "claims": 1,
            "amount": [1.0, 9e5, 40.0, 2.0, 7.0],
        }
    )
    with pytest.raises(InputError, match="hold too little to carry this trend"):
        fit_trend(few, response="pure_premium", seasonality="harmonic")
    thin = series(24, per=1.0, phi=1.0).with_columns(
        claims=(pl.int_range(24) % 12 == 3).cast(pl.Int64)
    )
    with pytest.raises(InputError, match="too few for a test of a break"):
        find_break(fit_trend(thin), draws=199)


def test_odd_projections_are_refused():
    trend = fit_trend(series(24))
    for when in ("2024-01-01", None):
        with pytest.raises(InputError, match="is not a date"):
            trend.factor(when, date(2024, 1, 1))
    for weights in ({}, {date(2024, 1, 9): 1.0}, {date(2024, 1, 1): -1.0}):
        with pytest.raises(InputError, match="need their first day"):
            trend.factor(date(2024, 1, 1), weights)
    with pytest.raises(InputError, match="add up to zero"):
        trend.factor(date(2024, 1, 1), {date(2024, 1, 1): 0.0})


def test_short_zero_and_exact_series_give_numbers():
    three = fit_trend(series(3))
    assert three.facts["degrees_of_freedom"] == 1
    assert np.isfinite(three.table.select("lower", "upper").to_numpy()).all()
    some = changed("claims", 0.0)
    assert np.isfinite(fit_trend(some).coefficients).all()
    firsts = months(24)
    axis = TimeAxis("month", 22.0)
    line = np.exp(axis.columns(firsts) @ [1.0, 0.05])
    exact = fit_trend(pl.DataFrame({"month": firsts, "exposure": 1.0, "claims": line}))
    assert exact.annual.estimate == pytest.approx(np.expm1(0.05))
    assert exact.annual.std_error < 1e-6
    exact.finding("zh")
