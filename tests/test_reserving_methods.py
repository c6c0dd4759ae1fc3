"""Reserving methods: held to closed forms, to chainladder, to known truth, and to any triangle at all."""

from __future__ import annotations

import warnings
from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from pricing.errors import InputError
from pricing.reserving.average_cost import average_cost
from pricing.reserving.bootstrap import odp_bootstrap
from pricing.reserving.case_reserves import reserve_development
from pricing.reserving.chain_ladder import chain_ladder
from pricing.reserving.development import development_pattern, fitted_to
from pricing.reserving.expected_loss import (
    benktander,
    bornhuetter_ferguson,
    cape_cod,
    expected_loss,
)
from pricing.reserving.mack import mack
from pricing.reserving.triangle import claim_triangle
from pricing.result.shape import Result
from pricing.verify.reserving import published_triangle


def triangle(cumulative, grain="year", amount="amount"):
    """A triangle of a cumulative array, its first origin in 2010."""
    size = len(cumulative)
    steps = np.diff(np.nan_to_num(np.asarray(cumulative, dtype=float)), axis=1, prepend=0.0)
    months = {"month": 1, "quarter": 3, "year": 12}[grain]

    def day(period):
        month = 2010 * 12 + period * months
        return date(month // 12, month % 12 + 1, 1)

    rows = [
        {"incurred": day(i), "paid": day(i + j), amount: float(steps[i, j])}
        for i in range(size)
        for j in range(size - i)
    ]
    last = date.fromordinal(day(size).toordinal() - 1)
    return claim_triangle(pl.DataFrame(rows), valuation=last, grain=grain, amount=amount)


def drawn(size, seed=1, start=1000.0, fade=3.0, sure=200.0):
    """A triangle of gamma increments around a pattern that fades."""
    draw = np.random.default_rng(seed)
    mean = start * np.exp(-np.arange(size) / fade)
    steps = draw.gamma(sure, mean / sure, (size, size))
    out = steps.cumsum(axis=1)
    out[np.add.outer(range(size), range(size)) >= size] = np.nan
    return out


def factors_by_hand(c, last=None, alpha=1):
    """Weighted means of the link ratios with weights C^α."""
    n, found = len(c), []
    for k in range(n - 1):
        use = [i for i in range(n - 1 - k) if i >= n - 1 - k - (last or n)]
        x, y = c[use, k], c[use, k + 1]
        found.append(float((x**alpha * y / x).sum() / (x**alpha).sum()))
    return np.array(found)


def mack_by_hand(c, rule="mack"):
    """Mack (1993), theorem 3 and its corollary, written out."""
    n = len(c)
    f = factors_by_hand(c)
    s2 = np.zeros(n - 1)
    for k in range(n - 2):
        x, y = c[: n - 1 - k, k], c[: n - 1 - k, k + 1]
        s2[k] = (x * (y / x - f[k]) ** 2).sum() / (n - k - 2)
    if rule == "mack":
        s2[-1] = min(s2[-2] ** 2 / s2[-3], s2[-3], s2[-2])
    else:
        k = np.arange(n - 2)
        slope, cut = np.polyfit(k, np.log(np.sqrt(s2[:-1])), 1)
        s2[-1] = np.exp(cut + slope * (n - 2)) ** 2
    full = c.copy()
    for i in range(n):
        for k in range(n - i, n):
            full[i, k] = full[i, k - 1] * f[k - 1]
    mse, total = np.zeros(n), 0.0
    for i in range(1, n):
        terms = [
            s2[k] / f[k] ** 2 * (1 / full[i, k] + 1 / c[: n - 1 - k, k].sum())
            for k in range(n - 1 - i, n - 1)
        ]
        mse[i] = full[i, -1] ** 2 * sum(terms)
        shared = sum(
            2 * s2[k] / f[k] ** 2 / c[: n - 1 - k, k].sum() for k in range(n - 1 - i, n - 1)
        )
        total += mse[i] + full[i, -1] * full[i + 1 :, -1].sum() * shared
    return full[:, -1], np.sqrt(mse), np.sqrt(total), s2


# -- development ------------------------------------------------------------------------------------


@pytest.mark.parametrize("last", [None, 1, 3])
@pytest.mark.parametrize("average,alpha", [("volume", 1), ("simple", 0), ("regression", 2)])
def test_factors_are_those_of_the_formula(average, alpha, last):
    c = drawn(7)
    pattern = development_pattern(triangle(c), average=average, last=last)
    np.testing.assert_allclose(
        pattern.table["link_factor"].to_numpy()[:-1], factors_by_hand(c, last, alpha), rtol=1e-10
    )
    assert pattern.table["origins"].to_list()[:3] == [last or 6, last or 5, last or 4]
    product = np.cumprod(pattern.table["link_factor"].to_numpy()[::-1])[::-1]
    np.testing.assert_allclose(pattern.table["to_ultimate"].to_numpy(), product)


def test_an_origin_with_nothing_yet_is_no_missing_origin():
    """chainladder drops a zero and the growth from it; the volume average does not."""
    c = drawn(6)
    c[1, 0] = c[5, 0] = 0.0
    got = development_pattern(triangle(c)).table["link_factor"][0]
    assert got == pytest.approx(c[:5, 1].sum() / c[:5, 0].sum(), rel=1e-10)
    found = chain_ladder(triangle(c))
    assert found.table["ultimate"][5] == 0.0
    assert "1 origins have nothing known yet, and so nothing to come" in found.basis.notes
    assert np.isfinite(found.table["ultimate"].to_numpy()).all()


def test_negative_cumulatives_keep_their_weight():
    c = drawn(6)
    c[0, 0], c[2, 1] = -200.0, -10.0
    got = development_pattern(triangle(c)).table["link_factor"].to_numpy()[:-1]
    want = [c[: 5 - k, k + 1].sum() / c[: 5 - k, k].sum() for k in range(5)]
    np.testing.assert_allclose(got, want, rtol=1e-10)


@pytest.mark.parametrize("grain", ["month", "quarter", "year"])
def test_a_period_is_a_period_whatever_its_length(grain):
    c = drawn(6)
    found = mack(triangle(c, grain))
    np.testing.assert_allclose(found.table["ultimate"].to_numpy(), mack_by_hand(c)[0], rtol=1e-10)
    assert found.std_error == pytest.approx(mack_by_hand(c)[2], rel=1e-8)


def test_curves_go_on_as_the_logarithms_of_the_factors_do():
    c = drawn(8)
    f = factors_by_hand(c)
    k = np.arange(1, 8)
    slope, cut = np.polyfit(k, np.log(f - 1), 1)
    want = np.prod(1 + np.exp(cut + slope * np.arange(8, 108)))
    got = development_pattern(triangle(c), tail="exponential").facts["tail"]
    assert got == pytest.approx(want, rel=1e-8)
    power, cut = np.polyfit(np.log(k), np.log(f - 1), 1)
    want = np.prod(1 + np.exp(cut) * np.arange(8.0, 108.0) ** power)
    got = development_pattern(triangle(c), tail="inverse_power").facts["tail"]
    assert got == pytest.approx(want, rel=1e-8)


@pytest.mark.parametrize(
    "options,said",
    [
        ({"average": "volumes"}, "did you mean 'volume'"),
        ({"sigma": "makc"}, "did you mean 'mack'"),
        ({"tail": "exponentail"}, "did you mean 'exponential'"),
        ({"tail": 0.9}, "a tail is a factor of one or more"),
        ({"tail": float("nan")}, "a tail is a factor of one or more"),
        ({"last": 0}, "the latest 0 origins are none"),
        ({"last": 1.5}, "the latest 1.5 origins are none"),
        ({"measure": "amuont"}, "did you mean 'amount'"),
    ],
)
def test_unknown_options_are_refused(options, said):
    with pytest.raises(InputError, match=said):
        development_pattern(triangle(drawn(5)), **options)


def test_where_nothing_grows_it_is_said_what_to_do_instead():
    with pytest.raises(InputError, match=r"expected loss .bornhuetter_ferguson with a pattern"):
        development_pattern(triangle(np.array([[5.0]])))
    c = drawn(5)
    c[:, 0] = 0.0
    with pytest.raises(InputError, match="by lag 0 the origins come to 0 together"):
        development_pattern(triangle(c))
    c = drawn(5)
    c[0, 4] = -1.0
    with pytest.raises(InputError, match="recoveries take back all"):
        development_pattern(triangle(c))
    c[:, :] = 0.0
    c[np.add.outer(range(5), range(5)) >= 5] = np.nan
    with pytest.raises(InputError, match="nothing was paid at all"):
        fitted_to(c)
    c = drawn(5)
    c[1, 0] = 0.0
    with pytest.raises(InputError, match='average="volume"'):
        development_pattern(triangle(c), average="simple")


def test_a_pattern_of_other_data_serves_a_segment():
    whole, part = drawn(8), drawn(5, seed=2) / 10
    pattern = development_pattern(triangle(whole), tail=1.02)
    found = chain_ladder(triangle(part), pattern=pattern)
    want = pattern.table["to_ultimate"].to_numpy()[:5][::-1]
    np.testing.assert_allclose(found.table["development_factor"].to_numpy(), want)
    one = chain_ladder(triangle(part[:1, :1]), pattern=pattern)
    assert one.table["ultimate"][0] == pytest.approx(part[0, 0] * want[-1])
    with pytest.raises(InputError, match="the pattern knows 5 lags, the triangle has 8"):
        chain_ladder(triangle(whole), pattern=development_pattern(triangle(part)))
    with pytest.raises(InputError, match="by year, the triangle by month"):
        chain_ladder(triangle(part, "month"), pattern=pattern)


# -- mack -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["mack", "log-linear"])
@pytest.mark.parametrize("size,seed", [(4, 1), (5, 2), (9, 3), (15, 4)])
def test_errors_are_those_of_macks_formula(size, seed, rule):
    c = drawn(size, seed, sure=30.0)
    found = mack(triangle(c), sigma=rule)
    ultimate, error, total, _ = mack_by_hand(c, rule)
    np.testing.assert_allclose(found.table["ultimate"].to_numpy(), ultimate, rtol=1e-9)
    np.testing.assert_allclose(found.table["std_error"].to_numpy(), error, rtol=1e-7, atol=1e-9)
    assert found.std_error == pytest.approx(total, rel=1e-7)
    assert any(f"{rule} rule" in note for note in found.basis.notes)
    said = {"mack": "Mack's rule", "log-linear": "the log-linear rule"}[rule]
    assert said in found.finding("en")
    assert {"mack": "Mack 规则", "log-linear": "对数线性规则"}[rule] in found.finding("zh")


def test_lags_after_which_nothing_moves_have_no_error():
    """Short tails end: σ is 0 there, and Mack's rule, 0/0, has the limit 0."""
    c = drawn(9, sure=30.0)
    for j in range(5, 9):
        c[: 9 - j, j] = c[: 9 - j, 4]
    found = mack(triangle(c))
    with np.errstate(all="ignore"):
        s2 = mack_by_hand(c)[3]
    assert (s2[4:7] < 1e-20).all()
    assert found.table["std_error"].to_list()[:5] == [0.0] * 5
    ultimate, error, total = short_tail_by_hand(c)
    np.testing.assert_allclose(found.table["std_error"].to_numpy(), error, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(found.table["ultimate"].to_numpy(), ultimate)
    assert found.std_error == pytest.approx(total, rel=1e-7)
    with pytest.raises(InputError, match='take sigma="mack"'):
        mack(triangle(c), sigma="log-linear")


def short_tail_by_hand(c):
    """Mack's formula with the last σ² set to the limit 0."""
    n, f = len(c), factors_by_hand(c)
    s2 = np.array(
        [
            (c[: n - 1 - k, k] * (c[: n - 1 - k, k + 1] / c[: n - 1 - k, k] - f[k]) ** 2).sum()
            / max(n - k - 2, 1)
            for k in range(n - 1)
        ]
    )
    s2[-1] = 0.0
    full = c.copy()
    for i in range(n):
        for k in range(n - i, n):
            full[i, k] = full[i, k - 1] * f[k - 1]
    u, sums = full[:, -1], np.array([c[: n - 1 - k, k].sum() for k in range(n - 1)])
    part = s2 / f**2
    mse = np.array([
        u[i] ** 2 * sum(part[k] * (1 / full[i, k] + 1 / sums[k]) for k in range(n - 1 - i, n - 1))
        for i in range(n)
    ])  # fmt: skip
    total = mse.sum() + sum(
        2 * u[i] * u[j] * sum(part[k] / sums[k] for k in range(n - 1 - i, n - 1))
        for i in range(n) for j in range(i + 1, n)
    )  # fmt: skip
    return u, np.sqrt(mse), np.sqrt(total)


def test_the_last_error_after_a_lag_that_never_varied_is_zero():
    c = drawn(7, sure=30.0)
    c[:3, 4], c[:2, 5] = c[:3, 3] * 1.1, c[:2, 3] * 1.21
    c[0, 6] = c[0, 5] * 1.3
    found = mack(triangle(c))
    assert found.table["std_error"][1] == 0.0
    assert found.table["ibnr"][1] > 0
    assert np.isfinite(found.std_error)


def test_what_mack_cannot_is_refused():
    for size in (2, 3):
        with pytest.raises(InputError, match=f"{size} origins are too few for Mack"):
            mack(triangle(drawn(size)))
    c = drawn(6)
    c[2, 0] = -5.0
    with pytest.raises(InputError, match="1 cumulative amounts are negative"):
        mack(triangle(c))
    c[2, 0] = 0.0
    with pytest.raises(InputError, match="1 origins grow from nothing"):
        mack(triangle(c))
    with pytest.raises(InputError, match="σ is not known at 5 of 5 lags"):
        mack(triangle(drawn(6)), last=1)
    with pytest.raises(InputError, match="between 0 and 1"):
        mack(triangle(drawn(6)), level=95)


def test_the_interval_is_lognormal_on_what_is_to_come():
    found = mack(published_triangle("raa"), level=0.8)
    row = found.table.row(9, named=True)
    spread = np.sqrt(np.log1p((row["std_error"] / row["ibnr"]) ** 2))
    middle = np.log(row["ibnr"]) - spread**2 / 2
    for end, p in (("lower", 0.1), ("upper", 0.9)):
        assert row[end] - row["latest"] == pytest.approx(np.exp(middle + norm.ppf(p) * spread))
    assert found.table["lower"][0] == found.table["upper"][0] == found.table["latest"][0]


@pytest.mark.slow
def test_mack_errors_hold_the_truth_as_often_as_they_say():
    """Triangles made by Mack's model: 80 % intervals of the total, over 300 books."""
    draw = np.random.default_rng(11)
    f, s, n, inside, books = np.array([1.8, 1.3, 1.12, 1.06, 1.03, 1.01]), 3.0, 7, 0, 300
    for _ in range(books):
        full = np.empty((n, n))
        full[:, 0] = draw.uniform(800, 1200, n)
        for k, growth in enumerate(f):
            mean = full[:, k] * growth
            variance = (s * (growth - 1)) ** 2 * full[:, k]
            full[:, k + 1] = draw.gamma(mean**2 / variance, variance / mean)
        unseen = np.add.outer(range(n), range(n)) >= n
        found = mack(triangle(np.where(unseen, np.nan, full)), level=0.8)
        truth = full[:, -1].sum() - found.facts["latest"]
        inside += found.facts["lower"] <= truth <= found.facts["upper"]
    assert 0.74 <= inside / books <= 0.86


# -- chainladder as oracle --------------------------------------------------------------------------


def in_chainladder(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import chainladder as cl

        return cl, cl.load_sample(name)


@pytest.mark.parametrize("name", ["raa", "genins"])
def test_expected_loss_methods_are_chainladders(name):
    cl, theirs = in_chainladder(name)
    ours = published_triangle(name)
    units = np.linspace(1.0, 2.0, 10) * theirs.latest_diagonal.values[0, 0, :, 0].mean()
    exposure = pl.DataFrame({"origin": ours.origins, "premium": units})
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        weight = theirs.latest_diagonal * 0 + units[:, None]
        grown = cl.Development().fit_transform(theirs)

        def theirs_by(method):
            return method.fit(grown, sample_weight=weight).ultimate_.values[0, 0, :, 0]

        want = {
            "bf": theirs_by(cl.BornhuetterFerguson(apriori=0.8)),
            "bk": theirs_by(cl.Benktander(apriori=0.8, n_iters=3)),
            "el": theirs_by(cl.ExpectedLoss(apriori=0.8)),
            "cc": theirs_by(cl.CapeCod()),
            "ccd": theirs_by(cl.CapeCod(decay=0.7, trend=0.04)),
        }
    got = {
        "bf": bornhuetter_ferguson(ours, exposure, rate=0.8),
        "bk": benktander(ours, exposure, rate=0.8, iterations=3),
        "el": expected_loss(ours, exposure, rate=0.8),
        "cc": cape_cod(ours, exposure),
        "ccd": cape_cod(ours, exposure, decay=0.7, trend=0.04),
    }
    for key, found in got.items():
        np.testing.assert_allclose(
            found.table["ultimate"].to_numpy(), want[key], rtol=1e-8, err_msg=key
        )


@pytest.mark.parametrize("average", ["volume", "simple", "regression"])
@pytest.mark.parametrize("tail", [1.0, 1.05, "exponential"])
def test_errors_with_other_averages_and_tails_are_chainladders(average, tail):
    cl, theirs = in_chainladder("genins")
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        model = cl.Development(average=average, sigma_interpolation="mack").fit_transform(theirs)
        if tail != 1.0:
            by = cl.TailCurve(tail) if isinstance(tail, str) else cl.TailConstant(tail)
            model = by.fit_transform(model)
        want = cl.MackChainladder().fit(model)
        total = float(want.total_mack_std_err_.values.ravel()[0])
        ultimate = float(np.nansum(want.ultimate_.values))
    found = mack(published_triangle("genins"), average=average, tail=tail)
    assert found.std_error == pytest.approx(total, rel=1e-9)
    assert found.facts["ultimate"] == pytest.approx(ultimate, rel=1e-9)


# -- expected loss ----------------------------------------------------------------------------------


def test_cape_cod_lies_between_pooling_and_chain_ladder():
    seen = triangle(drawn(6))
    exposure = pl.DataFrame({"origin": seen.origins, "e": np.full(6, 10.0)})
    ladder = chain_ladder(seen).table["ultimate"].to_numpy()
    apart = cape_cod(seen, exposure, decay=0.0).table["ultimate"].to_numpy()
    np.testing.assert_allclose(apart, ladder, rtol=1e-10)
    pooled = cape_cod(seen, exposure, decay=1.0).table["expected_ultimate"].to_numpy()
    np.testing.assert_allclose(pooled, pooled[0])
    many = benktander(seen, exposure, rate=100.0, iterations=400).table["ultimate"].to_numpy()
    np.testing.assert_allclose(many, ladder, rtol=1e-6)


def test_the_trend_of_cape_cod_is_by_the_year_at_any_grain():
    c = drawn(8)
    by = {}
    for grain, steps in (("year", 1.0), ("quarter", 0.25)):
        seen = triangle(c, grain)
        exposure = pl.DataFrame({"origin": seen.origins, "e": np.full(8, 10.0)})
        by[grain] = cape_cod(seen, exposure, trend=1.1 ** (1 / steps) - 1).table["ultimate"]
    np.testing.assert_allclose(by["year"].to_numpy(), by["quarter"].to_numpy(), rtol=1e-12)


@pytest.mark.parametrize(
    "exposure,rate,said",
    [
        (
            pl.DataFrame({"origin": [date(2010, 1, 1)], "e": [1.0]}),
            1.0,
            "2 of 3 origins have no exposure",
        ),
        (None, 1.0, "no frame with a column 'origin'"),
        (pl.DataFrame({"origin": [date(2010, 1, 1)]}), 1.0, "one column of numbers"),
        ("full", [1.0, 2.0], "2 rates for 3 origins"),
        ("full", -1.0, "a rate is not finite or negative"),
        ("full", float("nan"), "a rate is not finite or negative"),
        ("twice", 1.0, "stands in the exposure twice"),
    ],
)
def test_an_exposure_that_cannot_serve_is_refused(exposure, rate, said):
    seen = triangle(drawn(3))
    full = pl.DataFrame({"origin": seen.origins, "e": [1.0] * 3})
    given_ = {"full": full, "twice": pl.concat([full, full])}.get(exposure, exposure) if (
        isinstance(exposure, str)) else exposure  # fmt: skip
    with pytest.raises(InputError, match=said):
        bornhuetter_ferguson(seen, given_, rate=rate)


# -- bootstrap --------------------------------------------------------------------------------------


def test_the_bootstrap_is_that_of_england_and_verrall():
    """φ and prediction errors on the Taylor–Ashe triangle (England and Verrall 2002)."""
    found = odp_bootstrap(published_triangle("genins"), samples=4_000, seed=1)
    assert found.facts["scale"] == pytest.approx(52_601, abs=1)
    assert found.ibnr == pytest.approx(18_680_855.61, abs=0.01)
    assert found.std_error == pytest.approx(2_992_296, rel=0.05)
    assert found.frames["samples"]["ibnr"].mean() == pytest.approx(18_680_856, rel=0.02)


def test_the_bootstrap_is_close_to_chainladders_on_raa():
    cl, theirs = in_chainladder("raa")
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        boot = cl.BootstrapODPSample(n_sims=1, hat_adj=False, random_state=1).fit(theirs)
    found = odp_bootstrap(published_triangle("raa"), samples=200)
    assert found.facts["scale"] == pytest.approx(float(boot.scale_), rel=1e-9)


def test_the_same_seed_gives_the_same_answer_and_the_table_its_percentiles(tmp_path):
    seen = triangle(drawn(6, sure=20.0))
    one, two = (odp_bootstrap(seen, samples=500, seed=s) for s in (3, 3))
    assert one.table.equals(two.table)
    assert not one.table.equals(odp_bootstrap(seen, samples=500, seed=4).table)
    total = one.frames["percentiles"].filter(pl.col("origin").is_null())
    draws = one.frames["samples"]["ibnr"].to_numpy()
    np.testing.assert_allclose(total["ibnr"], np.quantile(draws, total["percentile"]))
    assert one.table["std_error"][0] == 0.0
    one.save(tmp_path / "boot")
    assert Result.load(tmp_path / "boot").frames["percentiles"].equals(one.frames["percentiles"])


def test_a_tail_adds_to_the_bootstrap_what_it_adds_to_the_ladder():
    seen = triangle(drawn(6, sure=50.0))
    plain, more = (odp_bootstrap(seen, samples=2_000, seed=1, tail=t) for t in (1.0, 1.1))
    added = more.ibnr - plain.ibnr
    assert added == pytest.approx(0.1 * plain.facts["ultimate"])
    means = [f.frames["samples"]["ibnr"].mean() for f in (plain, more)]
    assert means[1] - means[0] == pytest.approx(added, rel=0.05)
    assert more.table["std_error"][0] > 0


@pytest.mark.slow
def test_bootstrap_errors_hold_the_truth_as_often_as_they_say():
    """Triangles made by the over-dispersed Poisson model; 80 % intervals of the total."""
    draw = np.random.default_rng(5)
    n, inside, books, scale = 6, 0, 300, 40.0
    mean = 1000.0 * np.exp(-np.arange(n) / 1.5)
    unseen = np.add.outer(range(n), range(n)) >= n
    for book in range(books):
        steps = scale * draw.poisson(np.tile(mean, (n, 1)) / scale).astype(float)
        c = np.where(unseen, np.nan, steps.cumsum(axis=1))
        found = odp_bootstrap(triangle(c), samples=300, seed=book, level=0.8)
        truth = steps[unseen].sum()
        inside += found.facts["lower"] <= truth <= found.facts["upper"]
    assert 0.74 <= inside / books <= 0.86


@pytest.mark.parametrize(
    "options,said",
    [
        ({"samples": 10}, "10 samples are too few"),
        ({"seed": -1}, "a seed is zero or more"),
        ({"tail": 0.5}, "a factor of one or more"),
        ({"tail": "exponential"}, "a factor of one or more"),
        ({"level": 95}, "between 0 and 1"),
    ],
)
def test_no_bootstrap_of_wrong_options(options, said):
    with pytest.raises(InputError, match=said):
        odp_bootstrap(triangle(drawn(5)), **options)


def test_what_the_bootstrap_cannot_is_refused():
    with pytest.raises(InputError, match="2 origins leave nothing"):
        odp_bootstrap(triangle(drawn(2)))
    c = drawn(6)
    c[:, 3:] *= 0.5
    with pytest.raises(InputError, match="fitted increments are negative"):
        odp_bootstrap(triangle(c))
    exact = np.outer([1.0, 2.0, 3.0, 4.0, 5.0], [10.0, 15.0, 18.0, 19.0, 20.0])
    exact[np.add.outer(range(5), range(5)) >= 5] = np.nan
    with pytest.raises(InputError, match="there is no spread"):
        odp_bootstrap(triangle(exact))


# -- average cost and case reserves -----------------------------------------------------------------


def test_average_cost_with_one_cost_is_the_ladder_of_the_numbers():
    n = drawn(6).round()
    found = average_cost(triangle(n * 250.0), triangle(n, amount="reported"))
    want = chain_ladder(triangle(n, amount="reported")).table["ultimate"].to_numpy() * 250.0
    np.testing.assert_allclose(found.table["ultimate"].to_numpy(), want, rtol=1e-9)
    assert found.facts["method"] == "average_cost"


def test_average_cost_develops_number_and_cost_apart():
    n = np.array([[10.0, 20.0, 20.0], [12.0, 20.0, np.nan], [16.0, np.nan, np.nan]])
    a = np.array([[100.0, 150.0, 180.0], [120.0, 150.0, np.nan], [110.0, np.nan, np.nan]])
    found = average_cost(triangle(n * a), triangle(n, amount="reported"))
    counts = factors_by_hand(n)
    cost = [(10 * 150 + 12 * 150) / (10 * 100 + 12 * 120), 180 / 150]
    want = [20 * 180, 20 * counts[1] * 150 * cost[1], 16 * np.prod(counts) * 110 * np.prod(cost)]
    np.testing.assert_allclose(found.table["ultimate"].to_numpy(), want, rtol=1e-9)


def test_average_cost_refuses_amounts_without_claims_and_other_periods():
    n = drawn(5).round()
    n0 = n.copy()
    n0[1, 0] = 0.0
    with pytest.raises(InputError, match="1 cells have an amount and no claim"):
        average_cost(triangle(n), triangle(n0, amount="reported"))
    with pytest.raises(InputError, match="triangles of different periods"):
        average_cost(triangle(n), triangle(n[:4, :4], amount="reported"))


def test_case_reserves_run_off_as_they_did():
    paid = np.array([[10.0, 40.0, 55.0], [20.0, 60.0, np.nan], [30.0, np.nan, np.nan]])
    incurred = np.array([[50.0, 60.0, 55.0], [70.0, 75.0, np.nan], [80.0, np.nan, np.nan]])
    found = reserve_development(triangle(paid), triangle(incurred))
    p0, q0 = (30 + 40) / (40 + 50), (20 + 15) / (40 + 50)
    p1 = 15 / 20
    want = [55.0, 60 + 15 * p1, 30 + 50 * (p0 + q0 * p1)]
    np.testing.assert_allclose(found.table["ultimate"].to_numpy(), want, rtol=1e-12)
    run_off = found.frames["run_off"]
    np.testing.assert_allclose(run_off["share_paid"], [p0, p1])
    np.testing.assert_allclose(run_off["run_off_worth"], [p0 + q0 * p1, p1])


def test_case_reserves_that_were_exact_cost_what_they_say():
    ultimate = np.array([100.0, 120.0, 90.0, 80.0])
    paid = np.outer(ultimate, [0.3, 0.6, 0.9, 1.0])
    paid[np.add.outer(range(4), range(4)) >= 4] = np.nan
    incurred = np.where(np.isnan(paid), np.nan, ultimate[:, None])
    found = reserve_development(triangle(paid), triangle(incurred))
    np.testing.assert_allclose(found.table["ultimate"].to_numpy(), ultimate)


def test_case_reserves_that_cannot_run_off_are_refused():
    paid, incurred = drawn(4), drawn(4) * 2
    with pytest.raises(InputError, match="hold negative reserves"):
        reserve_development(triangle(incurred), triangle(paid))
    with pytest.raises(InputError, match="one origin period"):
        reserve_development(triangle(paid[:1, :1]), triangle(incurred[:1, :1]))
    late = paid.copy()
    with pytest.raises(InputError, match="after lag 0 claims move though nothing was held"):
        reserve_development(triangle(late), triangle(late))


# -- any triangle at all ----------------------------------------------------------------------------


@st.composite
def any_triangle(draw):
    size = draw(st.integers(1, 7))
    cell = st.sampled_from([0.0, 0.0, 1.0, 5.0, 100.0, 100.0, 250.5, -3.0, -120.0, 1e9])
    steps = draw(st.lists(cell, min_size=size * size, max_size=size * size))
    c = np.array(steps).reshape(size, size).cumsum(axis=1)
    c[np.add.outer(range(size), range(size)) >= size] = np.nan
    return triangle(c, draw(st.sampled_from(["month", "quarter", "year"])))


@settings(max_examples=25, deadline=None)
@given(
    seen=any_triangle(),
    tail=st.sampled_from([1.0, 1.05, "exponential"]),
    last=st.sampled_from([None, 2]),
)
def test_no_triangle_breaks_a_method_or_gives_nan_in_silence(seen, tail, last):
    exposure = pl.DataFrame({"origin": seen.origins, "e": np.full(len(seen.origins), 100.0)})
    said = []
    for job in (
        lambda: chain_ladder(seen, tail=tail, last=last),
        lambda: mack(seen, tail=tail, last=last),
        lambda: mack(seen, tail=tail, average="regression", sigma="log-linear"),
        lambda: bornhuetter_ferguson(seen, exposure, rate=0.8, tail=tail),
        lambda: cape_cod(seen, exposure, decay=0.8),
        lambda: odp_bootstrap(seen, samples=100),
        lambda: average_cost(seen, seen),
        lambda: reserve_development(seen, seen + seen),
    ):
        try:
            found = job()
        except InputError as refused:
            said.append(refused.do)
            continue
        numbers = found.table.select(pl.selectors.numeric())
        assert all(numbers[name].is_finite().all() for name in numbers.columns)
        for key in ("ultimate", "ibnr", "std_error", "lower", "upper"):
            value = found.facts[key]
            assert value is None or np.isfinite(value)
        assert found.finding("en")
        assert found.finding("zh")
    assert all(said)


# -- words and pictures -----------------------------------------------------------------------------


def test_a_result_speaks_draws_and_is_saved(tmp_path):
    seen = published_triangle("raa")
    exposure = pl.DataFrame({"origin": seen.origins, "e": np.full(10, 20_000.0)})
    for found, bars in (
        (mack(seen), ["bar", "bar", "scatter"]),
        (bornhuetter_ferguson(seen, exposure, rate=1.0), ["bar", "bar", "scatter"]),
        (chain_ladder(seen), ["bar", "bar"]),
    ):
        figure = found.figure("zh")
        assert [trace.type for trace in figure.data] == bars
        assert figure.data[1].name == "待发展（IBNR）"
        assert list(figure.data[1].y) == found.table["ibnr"].to_list()
        found.save(tmp_path / "found")
        back = Result.load(tmp_path / "found")
        assert back.finding("en") == found.finding("en")
        assert back.table.equals(found.table)
    pattern = development_pattern(seen)
    assert list(pattern.figure("en").data[0].y) == pattern.table["completion"].to_list()
    assert "volume-weighted" in pattern.finding("en")
    assert "加权平均" in pattern.finding("zh")
    assert "52,135 CNY are still to come" in mack(seen).finding("en")
