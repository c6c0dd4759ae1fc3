"""Large claims: the tail recovered, the threshold seen, the cap's cost brought back to the cent."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from scipy import stats
from scipy.optimize import minimize

from pricing.claims.models import fit_frequency
from pricing.errors import InputError
from pricing.experience.cells import Experience
from pricing.experience.one_way import one_way
from pricing.losses.aggregate import aggregate_loss
from pricing.losses.count_law import poisson
from pricing.losses.large import cap_claims, pool_large
from pricing.losses.tail import fit_tail, spliced_severity
from pricing.losses.terms import Terms
from pricing.losses.threshold import hill, mean_excess, tail_stability
from pricing.result.shape import Result


def pareto_claims(shape, scale=100.0, n=1500, seed=4):
    return stats.genpareto(shape, scale=scale).rvs(n, random_state=seed)


# -- the tail ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.2, 0.6, 1.3])
def test_the_fit_is_the_maximum_and_its_errors_the_curvature(shape):
    x = pareto_claims(shape)
    tail = fit_tail(x, 0.0)

    def minus(p):
        return stats.genpareto.nnlf((p[0], 0.0, p[1]), x) if p[1] > 0 else math.inf

    best = minimize(minus, [tail.shape, tail.scale], method="Nelder-Mead",
                    options={"xatol": 1e-9, "fatol": 1e-10, "maxiter": 4000})  # fmt: skip
    assert tail.facts["log_likelihood"] == pytest.approx(-best.fun, abs=1e-6)
    assert [tail.shape, tail.scale] == pytest.approx(best.x, rel=1e-4, abs=1e-4)
    at, h = np.array([tail.shape, tail.scale]), np.array([1e-4, 1e-4 * tail.scale])
    curvature = np.empty((2, 2))
    for i in range(2):
        for j in range(2):
            a, b = np.eye(2)[i] * h, np.eye(2)[j] * h
            curvature[i, j] = (
                minus(at + a + b) - minus(at + a - b) - minus(at - a + b) + minus(at - a - b)
            ) / (4 * h[i] * h[j])
    errors = np.sqrt(np.diag(np.linalg.inv(curvature)))
    assert tail.table["std_error"].to_list() == pytest.approx(errors.tolist(), rel=2e-3)
    assert abs(tail.shape - shape) < 3.5 * errors[0]


def test_the_profile_interval_falls_short_of_the_best_by_half_the_quantile():
    x = pareto_claims(0.4, n=300)
    tail = fit_tail(x, 0.0)
    low, high = tail.facts["shape_lower"], tail.facts["shape_upper"]
    for end in (low, high):
        scale = np.linspace(60, 180, 20_001)
        z = x[:, None] / scale[None, ::40]
        profile = (-np.log(scale[::40]) * x.size - (1 + 1 / end) * np.log1p(end * z).sum(0)).max()
        short = stats.chi2.ppf(0.95, 1) / 2
        assert tail.facts["log_likelihood"] - profile == pytest.approx(short, abs=2e-3)
    assert high - tail.shape > tail.shape - low  # skewed to the right, as it must be


def test_intervals_hold_the_truth_as_often_as_they_say():
    """120 samples of 200: the profile interval at 90 % holds the shape 82 to 97 % of the time."""
    inside = 0
    for seed in range(120):
        tail = fit_tail(pareto_claims(0.3, n=200, seed=seed), 0.0, level=0.9)
        inside += tail.facts["shape_lower"] <= 0.3 <= tail.facts["shape_upper"]
    assert 0.82 <= inside / 120 <= 0.97


def test_the_tail_of_known_truth_gives_return_levels_and_means():
    law, n = stats.genpareto(0.25, scale=200.0), 20_000
    x = law.ppf((np.arange(n) + 0.5) / n)
    tail = fit_tail(x, 500.0)
    assert tail.shape == pytest.approx(0.25, abs=0.01)
    assert tail.scale == pytest.approx(200 + 0.25 * 500, rel=0.02)  # threshold stability
    assert tail.exceeds(2000.0) == pytest.approx(law.sf(2000.0), rel=0.02)
    found = tail.return_level(1000.0)
    assert found.value == pytest.approx(law.isf(0.001), rel=0.01)
    assert found.lower < found.value < found.upper
    exact = (200 + 0.25 * 1000) / 0.75
    assert tail.mean_above(1000.0) == pytest.approx(exact, rel=0.02)
    assert tail.excess_per_claim(1000.0) == pytest.approx(law.sf(1000.0) * exact, rel=0.02)
    doubled = fit_tail(2 * x, 1000.0)
    assert doubled.shape == pytest.approx(tail.shape, rel=1e-8)
    assert doubled.return_level(1000.0).std_error == pytest.approx(2 * found.std_error, rel=1e-6)


def test_the_error_of_a_return_level_is_the_spread_over_samples():
    levels, errors = [], []
    for seed in range(150):
        at = fit_tail(pareto_claims(0.15, n=600, seed=seed), 60.0).return_level(500.0)
        levels.append(at.value)
        errors.append(at.std_error)
    assert np.mean(errors) == pytest.approx(np.std(levels), rel=0.2)


def test_a_spliced_severity_is_the_sample_below_and_the_tail_above():
    x = pareto_claims(0.2, n=2000)
    tail = fit_tail(x, 200.0)
    law = spliced_severity(x, tail)
    assert law.exceeds(200.0) == pytest.approx((x > 200).mean())
    assert law.exceeds(700.0) == pytest.approx(tail.exceeds(700.0))
    assert law.under(Terms(deductible=400.0)).mean == pytest.approx(tail.excess_per_claim(400.0))
    below = x[x <= 200].sum() / x.size
    assert law.mean == pytest.approx(below + (x > 200).mean() * (200 + tail.mean_above(200.0)))
    year = aggregate_loss(poisson(5.0), law)
    assert year.mean == pytest.approx(5 * law.mean, rel=1e-9)


def test_a_tail_without_a_mean_says_so_and_gives_no_charge():
    tail = fit_tail(pareto_claims(1.4), 0.0)
    assert tail.facts["mean_excess"] is None
    assert "infinite" in tail.finding("en")
    with pytest.raises(InputError, match="has no finite mean"):
        tail.mean_above(500.0)
    law = spliced_severity(pareto_claims(1.4), fit_tail(pareto_claims(1.4), 50.0))
    assert math.isfinite(law.under(Terms(limit=1e5)).mean)


# -- thresholds -------------------------------------------------------------------------------------


def test_mean_excess_of_uniform_exponential_and_pareto_is_theirs():
    q = (np.arange(200_000) + 0.5) / 200_000
    u = [20.0, 50.0]
    uniform = mean_excess(100 * q, u)
    assert uniform.table["mean_excess"].to_list() == pytest.approx([40.0, 25.0], rel=1e-3)
    exponential = mean_excess(-100 * np.log1p(-q), u)
    assert exponential.table["mean_excess"].to_list() == pytest.approx([100.0, 100.0], rel=1e-3)
    pareto = mean_excess(stats.lomax(3.0, scale=100.0).ppf(q), u)  # (θ + u)/(α − 1)
    assert pareto.table["mean_excess"].to_list() == pytest.approx([60.0, 75.0], rel=5e-3)
    assert pareto.facts["shape"] == pytest.approx(1 / 3, abs=0.02)
    error = uniform.table["std_error"][0]
    assert error == pytest.approx(80 / math.sqrt(12) / math.sqrt(160_000), rel=1e-3)


def test_hills_estimate_of_an_exact_pareto_and_its_error():
    x = 100 * (1 - (np.arange(50_000) + 0.5) / 50_000) ** -0.4
    found = hill(x, [120.0, 200.0]).table
    assert found["hill_shape"].to_list() == pytest.approx([0.4, 0.4], rel=1e-3)
    k = found["exceedances"].to_numpy()
    assert found["std_error"].to_numpy() == pytest.approx(0.4 / np.sqrt(k), rel=1e-3)


def test_stability_finds_where_a_tail_is_glued_on():
    draw = np.random.default_rng(2)
    body, tail = (
        draw.uniform(0, 100, 3000),
        100 + stats.genpareto(0.4, scale=60).rvs(1500, random_state=draw),
    )
    found = tail_stability(np.r_[body, tail], [20.0, 50.0, 100.0, 150.0, 220.0])
    assert found.facts["threshold"] == 100.0
    assert found.facts["lower"] < 0.4 < found.facts["upper"]
    level = found.table.filter(pl.col("threshold") >= 100)["modified_scale"]
    assert level[0] == pytest.approx(60 - 0.4 * 100, abs=15)


def test_thresholds_left_out_are_chosen_from_the_claims():
    x = pareto_claims(0.3)
    for verb in (mean_excess, hill, tail_stability):
        table = verb(x).table
        assert 30 <= table.height <= 40
        assert table["exceedances"].min() == 10
        assert table["threshold"].is_sorted()
        shuffled = verb(pl.Series(np.random.default_rng(1).permutation(x))).table
        assert shuffled.equals(table)


# -- the cap ----------------------------------------------------------------------------------------


def book(seed=7, n=3000):
    """Person-years, and their claims one by one."""
    draw = np.random.default_rng(seed)
    rows = pl.DataFrame(
        {
            "person": np.arange(n),
            "tier": draw.choice(["basic", "plus"], n),
            "region": draw.choice(["n", "s", "w"], n, p=[0.6, 0.37, 0.03]),
            "exposure": draw.uniform(0.3, 1.0, n),
        }
    )
    counts = draw.poisson(0.4 * rows["exposure"].to_numpy())
    who = np.repeat(np.arange(n), counts)
    claims = pl.DataFrame({"person": who, "amount": draw.pareto(1.8, who.size) * 1000})
    rows = rows.with_columns(claims=pl.Series(counts))
    return rows, claims.join(rows.select("person", "tier", "region"), on="person")


def collected(rows, claims, amount, keys=("tier", "region")):
    sums = claims.group_by("person").agg(pl.col(amount).sum().alias("amount"))
    frame = rows.join(sums, on="person", how="left").with_columns(pl.col("amount").fill_null(0.0))
    return Experience.collect(frame, list(keys), amount="amount"), frame


@pytest.mark.parametrize("shared", ["book", "segment"])
@pytest.mark.parametrize("expected", [None, "model"])
def test_capping_and_charging_keep_the_total(shared, expected):
    rows, claims = book()
    capped = cap_claims(claims, 5000.0)
    seen, _ = collected(rows, capped, "amount_capped")
    rate = fit_frequency(seen, "tier + region").rate() if expected else None
    pool = pool_large(claims, seen, cap=5000.0, by="region", shared=shared, expected=rate)
    back = pool.charged(seen, expected=rate)
    total = claims["amount"].sum()
    assert back.cells["amount"].sum() == pytest.approx(total, rel=1e-12)
    assert pool.table["amount_charged"].sum() == pytest.approx(total, rel=1e-12)
    assert pool.table["large_charge"].sum() == pytest.approx(pool.facts["amount_excess"], rel=1e-12)
    by = (
        back.cells.group_by("region")
        .agg(pl.col("amount", "amount_capped", "large_charge").sum())
        .sort("region")
    )
    assert by["large_charge"].to_numpy() == pytest.approx(
        pool.table["large_charge"].to_numpy(), rel=1e-9
    )
    if shared == "segment":
        own = claims.group_by("region").agg(pl.col("amount").sum()).sort("region")["amount"]
        assert by["amount"].to_numpy() == pytest.approx(own.to_numpy(), rel=1e-9)
    assert one_way(back, "tier", by="amount").table["amount"].sum() == pytest.approx(total)


def test_the_charged_cells_are_those_of_charged_rows():
    rows, claims = book()
    seen, frame = collected(rows, cap_claims(claims, 5000.0), "amount_capped")
    pool = pool_large(claims, seen, cap=5000.0)
    c = pool.table["charge_rate"][0]
    rowwise = Experience.collect(
        frame.with_columns(pl.col("amount") + c * pl.col("exposure")),
        ["tier", "region"],
        amount="amount",
    )
    back = pool.charged(seen)
    for name in ("amount", "amount_squared", "amount_exposure", "claims_squared"):
        assert back.values(name) == pytest.approx(rowwise.values(name), rel=1e-10)
    assert "log_amount" not in back.cells.columns
    assert "5,000" in back.basis.notes[-1]


def test_segments_and_their_intervals():
    rows, claims = book()
    seen, _ = collected(rows, cap_claims(claims, 5000.0), "amount_capped")
    pool = pool_large(claims.lazy(), seen, cap=5000.0, by="region")
    table = pool.table
    assert table["region"].to_list() == ["n", "s", "w"]
    over = (claims["amount"] - 5000.0).clip(0.0)
    assert pool.facts["amount_excess"] == pytest.approx(over.sum())
    assert pool.facts["large_claims"] == (over > 0).sum()
    for row in table.iter_rows(named=True):
        mine = over.filter(claims["region"] == row["region"])
        assert row["own_excess"] == pytest.approx(mine.sum() / row["exposure"])
        assert row["std_error"] == pytest.approx(math.sqrt((mine**2).sum()) / row["exposure"])
    split = pool_large(
        pl.concat([claims.head(10), claims.tail(-10)]).reverse(), seen, cap=5000.0, by="region"
    )
    assert split.table["own_excess"].to_numpy() == pytest.approx(table["own_excess"].to_numpy())


def test_a_cap_above_every_claim_cuts_nothing():
    rows, claims = book()
    seen, _ = collected(rows, cap_claims(claims, 1e9), "amount_capped")
    pool = pool_large(claims, seen, cap=1e9, by="region")
    assert pool.facts["large_claims"] == 0
    assert pool.charged(seen).cells["amount"].sum() == pytest.approx(claims["amount"].sum())


# -- results and refusals ---------------------------------------------------------------------------


def every():
    rows, claims = book()
    seen, _ = collected(rows, cap_claims(claims, 5000.0), "amount_capped")
    x = claims["amount"]
    return [fit_tail(x, 2000.0), mean_excess(x), hill(x), tail_stability(x),
            pool_large(claims, seen, cap=5000.0), pool_large(claims, seen, cap=5000.0, by="region")]  # fmt: skip


def test_they_save_speak_and_draw(tmp_path):
    for k, found in enumerate(every()):
        found.save(tmp_path / str(k))
        back = Result.load(tmp_path / str(k))
        for lang in ("en", "zh"):
            assert back.finding(lang) == found.finding(lang)
            assert back.figure(lang).to_json() == found.figure(lang).to_json()
        assert found.finding("en") != found.finding("zh")
    stability = every()[3]
    assert stability.figure(parameter="modified_scale").layout.yaxis.title.text == "Modified scale"


TIER = pl.DataFrame({"tier": ["a", "b"], "exposure": [6.0, 4.0], "claims": [2, 1]})
SEEN = Experience.collect(TIER, ["tier"])
ROWS = pl.DataFrame({"tier": ["a", "a", "b"], "amount": [50.0, 900.0, 300.0]})
MANY = list(range(1, 60))


@pytest.mark.parametrize(("make", "says"), [
    (lambda: fit_tail([1.0, -1.0, math.nan], 0.0), "not finite in 1 of 3 claims"),
    (lambda: fit_tail(["a"], 0.0), "not numbers"),
    (lambda: fit_tail([], 0.0), "no claim amounts"),
    (lambda: fit_tail(pl.Series([None, 1.0]), 0.0), "not finite in 1 of 2"),
    (lambda: fit_tail(MANY, 55.0), "4 of 59 claims lie above 55"),
    (lambda: fit_tail([5.0] * 50, 0.0), "of different size"),
    (lambda: fit_tail(MANY, -1.0), "threshold is zero or more"),
    (lambda: fit_tail(np.linspace(1, 2, 100), 1.0), "the tail ends"),
    (lambda: fit_tail(pareto_claims(0.2), 10.0).exceeds(5.0), "below the threshold"),
    (lambda: fit_tail(pareto_claims(0.2), 10.0).return_level(1.0), "rarer claim"),
    (lambda: mean_excess(MANY, [58.0]), "fewer than 10 claims"),
    (lambda: mean_excess([1.0, 2.0]), "too few"),
    (lambda: mean_excess(MANY, [math.inf]), "finite"),
    (lambda: mean_excess(MANY, level=1.0), "confidence level"),
    (lambda: hill(MANY, [0.0, 1.0]), "above zero"),
    (lambda: tail_stability([5.0] * 30 + [0.0] * 30, [1.0]), "none of the thresholds"),
    (lambda: cap_claims(ROWS, 0.0), "cap must be above zero"),
    (lambda: cap_claims(ROWS, 5.0, amount="amont"), "did you mean 'amount'"),
    (lambda: pool_large(ROWS, SEEN, cap=9.0, by="teir"), "did you mean 'tier'"),
    (lambda: pool_large(ROWS.drop("tier"), SEEN, cap=9.0, by="tier"), "claims have no column"),
    (lambda: pool_large(ROWS, SEEN, cap=9.0, shared="segment"), "takes a factor"),
    (lambda: pool_large(ROWS, SEEN, cap=9.0, shared="all"), "no such choice"),
    (lambda: pool_large(ROWS.with_columns(amount=-pl.col("amount")), SEEN, cap=9.0), "negative in 3 of 3|negative' in 3|is negative in 3"),
    (lambda: pool_large(ROWS.with_columns(amount=pl.lit(None, pl.Float64)), SEEN, cap=9.0), "null or not finite in 3"),
    (lambda: pool_large(ROWS.with_columns(tier=pl.lit("c")), SEEN, cap=9.0, by="tier"), "3 of 3 claims are of levels"),
    (lambda: pool_large(ROWS.head(0), SEEN, cap=9.0), "there are no claims"),
    (lambda: pool_large(ROWS.with_columns(amount=0.0), SEEN, cap=9.0), "no claim has an amount"),
    (lambda: pool_large(ROWS, SEEN, cap=9.0, expected=pl.lit(0.0)), "no expected rate|expected rate above zero"),
    (lambda: pool_large(ROWS, SEEN, cap=9.0).charged(SEEN), "carries no amounts"),
])  # fmt: skip
def test_bad_input_is_named(make, says):
    with pytest.raises(InputError, match=says):
        make()


def test_a_pool_charges_only_what_it_was_made_with():
    rows, claims = book()
    raw, _ = collected(rows, claims, "amount")
    seen, _ = collected(rows, cap_claims(claims, 5000.0), "amount_capped")
    pool = pool_large(claims, seen, cap=5000.0)
    with pytest.raises(InputError, match="capped amount is"):
        pool.charged(raw)
    with pytest.raises(InputError, match="exposure is"):
        pool.charged(seen.where(pl.col("tier") == "basic"))
    with pytest.raises(InputError, match="charges per exposure"):
        pool.charged(seen, expected=pl.lit(1.0))
    other = pool_large(claims, seen, cap=5000.0, expected=pl.lit(1.0))
    with pytest.raises(InputError, match="add up to"):
        other.charged(seen, expected=pl.lit(2.0))
