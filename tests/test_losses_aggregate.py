"""Aggregate loss: against exact sums, Panjer's recursion, simulation and what must not change."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy import stats

from pricing.errors import InputError
from pricing.experience.cells import Experience
from pricing.losses.aggregate import aggregate_loss, aggregate_portfolio
from pricing.losses.compound import Grid, choose_grid, compound, moments_of, panjer_recursion
from pricing.losses.count_law import (
    binomial_count,
    compound_count,
    count_table,
    fixed_count,
    generated_count,
    mixed_count,
    negative_binomial,
    persons,
    poisson,
    zero_modified,
)
from pricing.losses.discretise import discretise, lattice_span
from pricing.losses.portfolio_loss import aggregate_experience
from pricing.losses.severity_law import (
    histogram_severity,
    mixed_severity,
    sample_severity,
    severity_law,
)
from pricing.losses.terms import Terms
from pricing.losses.year_loss import AggregateLoss
from pricing.result.shape import Result

COUNTS = {
    "poisson": poisson(3.0),
    "negative binomial": negative_binomial(r=2.0, beta=1.5),
    "binomial": binomial_count(5, 0.4),
    "zero-modified": zero_modified(binomial_count(3, 0.3), 0.4),
    "zero-truncated": zero_modified(negative_binomial(r=0.2, beta=3.0), 0.0),
    "Neyman A": compound_count(poisson(2.0), poisson(1.5)),
}
OTHERS = {
    "table": count_table([0.5, 0.4, 0.0, 0.1]),
    "exactly": fixed_count(4),
    "persons": persons(3.25),
    "mixed": mixed_count([poisson(1.0), poisson(5.0)], [3.0, 1.0]),
    "generated": generated_count(lambda z: np.exp(2 * (z - 1))),
}
LAWS = {
    "expon": stats.expon(scale=100.0),
    "gamma": stats.gamma(0.5, scale=2500.0),
    "lognorm": stats.lognorm(1.2, scale=100.0),
    "lomax": stats.lomax(4.5, scale=10.0),
    "weibull": stats.weibull_min(0.7, scale=50.0),
    "genpareto": stats.genpareto(0.1, loc=50.0, scale=10.0),
    "uniform": stats.uniform(5.0, 20.0),
    "invgauss": stats.invgauss(0.5, scale=100.0),  # these two by quadrature
    "burr12": stats.burr12(1.5, 4.0, scale=2.0),
}


def probabilities(law, size=256):
    circle = np.exp(-2j * np.pi * np.arange(size) / size)
    return np.fft.ifft(law.pgf(circle)).real


# -- laws -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*COUNTS, *OTHERS])
def test_moments_of_a_count_are_those_of_its_probabilities(name):
    law = (COUNTS | OTHERS)[name]
    p, n = probabilities(law), np.arange(256)
    assert p.min() > -1e-12
    mean = n @ p
    assert law.mean == pytest.approx(mean, rel=1e-9)
    assert law.variance == pytest.approx((n - mean) ** 2 @ p, rel=1e-9, abs=1e-9)
    assert law.third == pytest.approx((n - mean) ** 3 @ p, rel=1e-7, abs=1e-7)


def test_counts_are_scipys():
    n = np.arange(12)
    for law, oracle in (
        (COUNTS["poisson"], stats.poisson(3.0)),
        (COUNTS["negative binomial"], stats.nbinom(2.0, 1 / 2.5)),
        (COUNTS["binomial"], stats.binom(5, 0.4)),
    ):
        assert probabilities(law)[:12] == pytest.approx(oracle.pmf(n), abs=1e-12)
    same = negative_binomial(mean=3.0, dispersion=2.5)
    assert (same.mean, same.variance) == pytest.approx((3.0, 7.5))


@pytest.mark.parametrize("name", LAWS)
def test_tails_and_moments_of_a_severity_are_scipys(name):
    law, dist = severity_law(LAWS[name]), LAWS[name]
    for order in (1, 2, 3):
        assert law.power(order) == pytest.approx(dist.moment(order), rel=1e-9)
    terms = Terms(deductible=0.3 * dist.mean(), coinsurance=0.2, limit=2 * dist.mean())
    draw = dist.ppf((np.arange(400_000) + 0.5) / 400_000)
    for order in (1, 2, 3):
        mine = law.under(terms).power(order)
        assert mine == pytest.approx((terms.paid(draw) ** order).mean(), rel=2e-4)
    whole = law.power(1)
    parts = [law.under(Terms(limit=30.0)), law.under(Terms(deductible=30.0))]
    assert sum(part.power(1) for part in parts) == pytest.approx(whole, rel=1e-10)
    assert law.scaled(3.0).power(2) == pytest.approx(9 * law.power(2))


def test_a_third_moment_under_a_deductible_is_exact_in_a_heavy_tail():
    """A lognormal beyond d, in closed form by its partial moments."""
    s, m, d = 1.5, 100.0, 90.0
    z = np.log(d / m) / s
    partial = [m**k * np.exp(k**2 * s**2 / 2) * stats.norm.cdf(k * s - z) for k in range(4)]
    exact = partial[3] - 3 * d * partial[2] + 3 * d**2 * partial[1] - d**3 * partial[0]
    law = severity_law(stats.lognorm(s, scale=m)).under(Terms(deductible=d))
    assert law.power(3) == pytest.approx(exact, rel=1e-6)


def test_a_sample_a_histogram_and_a_mixture():
    sample = sample_severity([5.0, 1.0, 5.0], [1.0, 2.0, 1.0])
    assert sample.power(2) == pytest.approx(13.0)
    assert sample.exceeds(1.0) == pytest.approx(0.5)
    bands = histogram_severity([0.0, 10.0, 40.0], [3.0, 1.0])
    assert bands.power(2) == pytest.approx(0.75 * 100 / 3 + 0.25 * 700)
    capped = bands.under(Terms(limit=20.0))
    assert capped.mean == pytest.approx(0.75 * 5 + 0.25 * (15 / 3 + 20 * 2 / 3))
    mixed = mixed_severity([sample, stats.expon(scale=2.0)], [1.0, 3.0])
    assert mixed.power(2) == pytest.approx(0.25 * 13 + 0.75 * 8)


def plainly(terms, x):
    c = np.minimum(x, terms["loss_limit"])
    own = np.minimum(c, terms["deductible"])
    own = own + terms["coinsurance"] * np.maximum(c - terms["deductible"], 0)
    paid = np.minimum(c - np.minimum(own, terms["out_of_pocket"]), terms["limit"])
    return np.minimum(np.maximum(paid - terms["attachment"], 0), terms["width"])


def test_terms_pay_what_their_words_say():
    draw = np.random.default_rng(5)
    x = np.concatenate([draw.uniform(0, 3000, 300), np.arange(0, 1500, 50.0)])
    tried = 0
    for _ in range(400):
        some = {
            "deductible": float(draw.choice([0, 50, draw.uniform(0, 100)])),
            "coinsurance": float(draw.choice([0, 0.2, 1, draw.random()])),
            "limit": float(draw.choice([np.inf, 400, draw.uniform(1, 900)])),
            "loss_limit": float(draw.choice([np.inf, 700, draw.uniform(1, 900)])),
            "attachment": float(draw.choice([0, 100, draw.uniform(0, 300)])),
            "width": float(draw.choice([np.inf, 100, draw.uniform(1, 300)])),
        }
        some["out_of_pocket"] = some["deductible"] + float(
            draw.choice([np.inf, 0, draw.uniform(0, 300)])
        )
        try:
            terms = Terms(**some)
        except InputError:  # nothing is ever paid
            assert plainly(some, x).max() <= 1e-12
            continue
        tried += 1
        assert terms.paid(x) == pytest.approx(plainly(some, x), abs=1e-9)
        y = draw.uniform(0, 600, 50)
        back = terms.loss_at(y)
        some_end = np.isfinite(back)
        assert np.all(plainly(some, back[some_end]) <= y[some_end] + 1e-9)
        assert np.all(plainly(some, back[some_end] + 1e-6) >= y[some_end] - 1e-9)
        assert np.all(terms.most <= y[~some_end] + 1e-9)
    assert tried > 200


# -- lattice ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LAWS)
def test_matching_keeps_the_mean_and_every_stop_loss_premium_on_the_lattice(name):
    law = severity_law(LAWS[name])
    h = law.mean / 20
    lattice = discretise(law, span=h, size=4096)
    assert lattice.powers[0] == pytest.approx(law.mean, rel=1e-11)
    assert lattice.probabilities.min() > -1e-12
    at = h * np.arange(4096)
    for d in (h * 3, h * 40):
        above = (at - d).clip(0) @ lattice.probabilities + lattice.money - d * lattice.mass
        exact = law.under(Terms(deductible=d)).mean
        assert above == pytest.approx(exact, rel=1e-7, abs=1e-12)


def test_lower_and_upper_are_bounds_and_rounding_lies_between():
    law = severity_law(LAWS["gamma"])
    means = {
        m: discretise(law, span=100.0, size=2048, method=m).powers[0]
        for m in ("lower", "rounding", "moments", "upper")
    }
    assert means["lower"] < means["rounding"] < means["upper"]
    assert means["moments"] == pytest.approx(law.mean)
    assert means["upper"] - means["lower"] == pytest.approx(100.0, rel=0.01)
    points = sample_severity([100.0, 250.0])
    for method, place in (("lower", 2), ("upper", 3), ("rounding", 3)):
        f = discretise(points, span=100.0, size=8, method=method).probabilities
        assert f[1] == f[place] == 0.5


def test_amounts_that_are_multiples_of_one_keep_to_it():
    assert lattice_span(sample_severity([100.0, 500.0])) == 100.0
    assert lattice_span(sample_severity([0.25, 1.0])) == 0.25
    assert lattice_span(sample_severity([np.pi, 1.0])) is None
    assert lattice_span(severity_law(LAWS["expon"])) is None


# -- compounding ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COUNTS)
def test_fourier_is_panjer(name):
    count, law = COUNTS[name], mixed_severity([LAWS["gamma"], LAWS["expon"]], [1.0, 2.0])
    f = discretise(law.under(Terms(deductible=50.0, limit=3000.0)), span=50.0, size=2048)
    g = panjer_recursion(count, f, 2048)
    assert compound([(count, f)], Grid(50.0, 2048)) == pytest.approx(g, abs=1e-13)
    assert g.sum() == pytest.approx(1.0, abs=1e-9)


def test_tilting_keeps_a_heavy_tail_from_wrapping_around():
    count = poisson(20.0)
    f = discretise(severity_law(stats.lomax(1.5, scale=10.0)), span=1.0, size=1024)
    exact = panjer_recursion(count, f, 1024)
    plain, tilted = (compound([(count, f)], Grid(1.0, 1024, tilt=t)) for t in (0.0, 12.0))
    assert abs(plain - exact).max() > 1e-5
    assert abs(tilted - exact).max() < 1e-9
    grid = choose_grid(
        [(count, severity_law(stats.lomax(1.5, scale=10.0)))],
        (400.0, np.inf, np.inf),
        size=1024,
        span=1.0,
    )
    chosen = compound([(count, f)], grid)
    assert 8 < grid.tilt < 25
    assert abs(chosen - exact).max() < 1e-9


def test_compound_poisson_of_exponentials_is_a_mixture_of_gammas():
    year = aggregate_loss(poisson(10.0), LAWS["expon"])
    n = np.arange(1, 120)
    p = stats.poisson.pmf(n, 10.0)
    for x in (37.0, 500.0, 1234.5, 2500.0):
        assert year.exceeds(x) == pytest.approx(p @ stats.gamma.sf(x, n, scale=100.0), rel=1e-5)
        own = n * 100 * stats.gamma.sf(x, n + 1, scale=100.0) - x * stats.gamma.sf(
            x, n, scale=100.0
        )
        assert year.stop_loss(x) == pytest.approx(p @ own, rel=2e-5)
    var = year.value_at_risk(0.99)
    assert p @ stats.gamma.sf(var, n, scale=100.0) == pytest.approx(0.01, rel=1e-4)
    assert year.facts["no_loss"] == pytest.approx(np.exp(-10), rel=0.05)
    errors = year.frames["errors"]
    assert max(abs(v) for v in errors["computed_error"]) < 1e-9
    assert max(abs(v) for v in errors["lattice_error"]) < 2e-6
    assert errors["exact"].to_list() == pytest.approx([1000.0, 20**0.5 * 100, 3 / 20**0.5])


def test_a_large_portfolio_far_from_zero_is_placed_right():
    """A Poisson number of ones is Poisson; 4,096 points hold it though it lies at 20,000."""
    lam = 20_000.0
    grid = choose_grid([(poisson(lam), sample_severity([1.0]))], (lam,) * 3, size=4096)
    assert grid.start > 10_000
    book = aggregate_loss(poisson(lam), sample_severity([1.0]), buckets=4096)
    assert book.probability == pytest.approx(stats.poisson.pmf(book.loss, lam), abs=1e-12)
    assert book.value_at_risk(0.995) == stats.poisson.ppf(0.995, lam)
    million = aggregate_loss(poisson(1e6), LAWS["gamma"])
    z = (million.value_at_risk(0.995) - million.mean) / million.facts["sd"]
    assert z == pytest.approx(stats.norm.ppf(0.995), abs=0.01)


def test_value_at_risk_and_its_tail_of_a_law_known_by_hand():
    year = aggregate_loss(count_table([0.9, 0.05, 0.05]), sample_severity([100.0]))
    assert year.value_at_risk(0.9) == 0.0
    assert year.value_at_risk(0.901) == 100.0
    assert year.value_at_risk(0.95) == 100.0
    assert year.tail_value_at_risk(0.9) == pytest.approx(150.0)
    assert year.tail_value_at_risk(0.95) == pytest.approx(200.0)
    assert year.tail_value_at_risk(0.5) == pytest.approx(30.0)
    assert (year.exceeds(100.0), year.exceeds(100.0, or_equal=True)) == pytest.approx((0.05, 0.1))
    assert year.layers([0.0, 100.0, 150.0])["layer_mean"].to_list() == pytest.approx([10, 2.5, 2.5])
    assert year.loss_ratio_exceeds(1.5, premium=100.0) == pytest.approx(0.05)


def test_units_order_and_a_cell_split_in_two_change_nothing():
    law = LAWS["gamma"]
    options = {"buckets": 4096, "levels": [0.9, 0.99]}
    one = aggregate_loss(poisson(4.0), law, bucket=10.0, **options)
    scaled = aggregate_loss(poisson(4.0), severity_law(law).scaled(7.0), bucket=70.0, **options)
    split = aggregate_portfolio([(poisson(1.5), law), (poisson(2.5), law)], bucket=10.0, **options)
    turned = aggregate_portfolio([(poisson(2.5), law), (poisson(1.5), law)], bucket=10.0, **options)
    for name in ("value_at_risk", "tail_value_at_risk"):
        base = one.table[name].to_numpy()
        assert scaled.table[name].to_numpy() / 7 == pytest.approx(base, rel=1e-9)
        assert split.table[name].to_numpy() == pytest.approx(base, rel=1e-9)
        assert turned.table[name].to_numpy() == pytest.approx(base, rel=1e-9)


def test_terms_of_the_year_are_those_of_its_points():
    year = aggregate_loss(poisson(3.0), sample_severity([100.0, 400.0], [0.7, 0.3]))
    terms = Terms(deductible=200.0, coinsurance=0.2, out_of_pocket=300.0, limit=600.0)
    net = year.under(terms)
    assert net.mean == pytest.approx(terms.paid(year.loss) @ year.probability)
    assert net.probability.sum() == pytest.approx(1.0)
    assert net.value_at_risk(0.999) == 600.0
    retained, ceded = year.under(Terms(limit=500.0)), year.stop_loss(500.0)
    assert retained.mean + ceded == pytest.approx(year.mean)


def test_what_lies_beyond_the_grid_is_kept_at_its_mean_and_not_asked_for():
    options = {"bucket": 1.0, "buckets": 1024, "level": 0.95, "levels": [0.9, 0.99]}
    year = aggregate_loss(poisson(3.0), stats.lomax(1.5, scale=10.0), **options)
    assert year.facts["mass_beyond"] > 1e-4
    assert year.mean == pytest.approx(60.0, rel=1e-9)
    assert year.stop_loss(0.0) == pytest.approx(60.0, rel=1e-9)
    with pytest.raises(InputError, match="the grid ends at probability"):
        year.value_at_risk(1 - 1e-6)
    with pytest.raises(InputError, match="beyond the grid"):
        year.stop_loss(5000.0)


# -- a book -----------------------------------------------------------------------------------------


def book(n=60):
    draw = np.random.default_rng(3)
    rows = pl.DataFrame(
        {
            "sex": draw.choice(["f", "m"], n),
            "age": draw.integers(20, 70, n).astype(float),
            "exposure": draw.uniform(2.0, 9.0, n),
            "claims": np.zeros(n, dtype=int),
            "premium": draw.uniform(500.0, 900.0, n),
        }
    )
    return Experience.collect(rows, ["sex", "age"], sums=["premium"])


RATE = (0.02 * pl.col("age") - 1.5).exp()


def test_a_book_has_the_moments_of_its_cells():
    seen, law = book(), LAWS["gamma"]
    age, e = seen.cells["age"].to_numpy(), seen.values("exposure")
    claims, scale = np.exp(0.02 * age - 1.5) * e, np.exp(0.01 * age)
    found = aggregate_experience(
        seen, RATE, law, scale=(0.01 * pl.col("age")).exp(), premium="premium"
    )
    assert found.mean == pytest.approx(claims @ scale * law.mean(), rel=1e-9)
    assert found.facts["sd"] ** 2 == pytest.approx(claims @ scale**2 * law.moment(2), rel=1e-5)
    assert found.facts["premium"] == pytest.approx(seen.cells["premium"].sum())
    spread = aggregate_experience(seen, RATE, law, dispersion=1.5)
    extra = spread.facts["sd"] ** 2 - claims.sum() * law.moment(2)
    assert extra == pytest.approx(0.5 * claims.sum() * law.mean() ** 2, rel=1e-4)
    shared = aggregate_experience(seen, RATE, law, year_cv=0.2)
    extra = shared.facts["sd"] ** 2 - claims.sum() * law.moment(2)
    assert extra == pytest.approx((0.2 * claims.sum() * law.mean()) ** 2, rel=1e-4)
    by_name = aggregate_experience(
        seen.with_sums(expected=RATE * pl.col("exposure")), "expected", law
    )
    assert by_name.mean == pytest.approx(claims.sum() * law.mean())


def test_many_scales_are_put_together_without_a_change_of_the_mean():
    seen = book(900)
    ages = pl.col("age") + pl.when(pl.col("sex") == "m").then(0.5).otherwise(0.0)
    scale = (0.01 * ages).exp()
    assert seen.cells.select(scale).n_unique() > 64
    found = aggregate_experience(seen, RATE, LAWS["expon"], scale=scale)
    exact = seen.cells.select((scale * RATE * pl.col("exposure")).sum()).item() * 100.0
    assert found.mean == pytest.approx(exact, rel=1e-9)


def test_terms_of_a_person_are_those_of_simulated_persons():
    """400 simulated years of a book with terms per claim, per person and per year."""
    seen = Experience.collect(
        pl.DataFrame({"sex": ["f", "m"], "exposure": [60.0, 40.5], "claims": [0, 0]}), ["sex"]
    )
    rate = pl.when(pl.col("sex") == "m").then(1.5).otherwise(0.8)
    claim = Terms(limit=4000.0)
    person = Terms(deductible=500.0, coinsurance=0.2, out_of_pocket=1500.0, limit=8000.0)
    laws = {"f": stats.expon(scale=800.0), "m": stats.expon(scale=1000.0)}
    found = aggregate_experience(
        seen, rate, laws, severity_by="sex", per_claim=claim, per_person=person
    )
    draw, totals = np.random.default_rng(11), []
    for _ in range(4000):
        there = 40 + int(draw.random() < 0.5)
        n = draw.poisson(np.r_[np.full(60, 0.8), np.full(there, 1.5)])
        who = np.repeat(np.arange(n.size), n)
        x = claim.paid(draw.exponential(np.where(who < 60, 800.0, 1000.0)))
        totals.append(person.paid(np.bincount(who, weights=x, minlength=n.size)).sum())
    error = np.std(totals) / np.sqrt(len(totals))
    assert found.mean == pytest.approx(np.mean(totals), abs=3 * error)
    assert found.facts["sd"] == pytest.approx(np.std(totals), rel=0.04)
    assert found.value_at_risk(0.95) == pytest.approx(np.quantile(totals, 0.95), rel=0.015)


# -- the result -------------------------------------------------------------------------------------


def test_it_saves_speaks_and_draws(tmp_path):
    year = aggregate_loss(poisson(3.0), LAWS["lomax"], premium=20.0, line=0.9, levels=[0.9, 0.99])
    year.save(tmp_path / "year")
    back = Result.load(tmp_path / "year")
    assert isinstance(back, AggregateLoss)
    assert back.stop_loss(12.0) == year.stop_loss(12.0)
    assert back.finding("zh") == year.finding("zh")
    assert "passes 90% with probability" in year.finding("en")
    assert year.facts["passes"] == year.loss_ratio_exceeds(0.9, premium=20.0)
    figure = year.figure("zh")
    assert [trace.name.split()[0] for trace in figure.data] == ["概率", "风险价值", "尾部风险价值"]
    shown = sum(figure.data[0].y)
    assert 0.97 < shown <= 1.0
    assert figure.data[1].x[0] == year.facts["value_at_risk"]
    heavy = aggregate_loss(poisson(3.0), stats.lomax(1.5, scale=10.0), buckets=1 << 14)
    assert heavy.frames["errors"]["exact"].to_list()[1:] == [None, None]
    heavy.save(tmp_path / "heavy")


GOOD = sample_severity([1.0])


@pytest.mark.parametrize(("make", "says"), [
    (lambda: poisson(0.0), "above zero, got 0"),
    (lambda: poisson(float("nan")), "above zero"),
    (lambda: negative_binomial(mean=2.0), "takes mean and dispersion, or r and beta"),
    (lambda: negative_binomial(mean=2.0, dispersion=1.0), "dispersion − 1"),
    (lambda: negative_binomial(mean=2.0, dispersion=2.0, r=1.0, beta=1.0), "give one pair"),
    (lambda: binomial_count(2, 1.0), "between 0 and 1"),
    (lambda: binomial_count(2.5, 0.5), "whole number"),
    (lambda: fixed_count(0), "at least 1"),
    (lambda: count_table([0.5, 0.4]), "add up to 0.9"),
    (lambda: count_table([1.5, -0.5]), "zero or more"),
    (lambda: generated_count(lambda z: 1 + z), "not a generating function"),
    (lambda: zero_modified(poisson(1.0), 1.0), "from 0 to below 1"),
    (lambda: mixed_count([poisson(1.0)], [0.0]), "weights above zero"),
    (lambda: sample_severity([1.0, -2.0, float("nan")]), "negative: 2 of 3"),
    (lambda: sample_severity([0.0]), "no amount above zero"),
    (lambda: sample_severity([1.0], [1.0, 2.0]), "1 amounts and 2 weights"),
    (lambda: histogram_severity([0.0, 5.0, 5.0], [1.0, 1.0]), "must be finite, rise"),
    (lambda: histogram_severity([0.0, 5.0], [1.0, 1.0]), "2 edges take 1 weights"),
    (lambda: severity_law("gamma"), "str is not a frozen distribution"),
    (lambda: severity_law(stats.poisson(3.0)), "whole numbers"),
    (lambda: severity_law(stats.norm(1.0, 3.0)), "would lie below zero"),
    (lambda: GOOD.under(Terms(limit=1.0)).under(Terms(limit=1.0)), "under terms already"),
    (lambda: GOOD.scaled(0.0), "a scale must be above zero"),
    (lambda: Terms(deductible=-1.0, coinsurance=2.0), "coinsurance is a share"),
    (lambda: Terms(deductible=9.0, out_of_pocket=5.0), "below the deductible"),
    (lambda: Terms(coinsurance=1.0), "nothing is ever paid"),
    (lambda: Terms(limit=float("nan")), "limit must be above zero"),
    (lambda: discretise(GOOD, span=1.0, size=8, method="round"), "did you mean 'rounding'"),
    (lambda: discretise(GOOD, span=0.0, size=8), "span above zero"),
    (lambda: aggregate_portfolio([]), "without parts"),
    (lambda: aggregate_loss(poisson(1.0), stats.lomax(0.9)), "no finite mean"),
    (lambda: aggregate_loss(poisson(1.0), GOOD, buckets=1000), "a power of two"),
    (lambda: aggregate_loss(poisson(1.0), GOOD, buckets=1 << 21), "up to|to 1,048,576"),
    (lambda: aggregate_loss(poisson(1.0), GOOD, bucket=-1.0), "a bucket must be above zero"),
    (lambda: aggregate_loss(poisson(1.0), GOOD, tilt=50.0), "tilt"),
    (lambda: aggregate_loss(poisson(1.0), GOOD, levels=[1.0]), "no probability"),
    (lambda: aggregate_loss(poisson(1.0), GOOD, premium=0.0), "premium must be above zero"),
    (lambda: aggregate_loss(poisson(1.0), GOOD).value_at_risk(1.0), "between 0 and 1"),
    (lambda: aggregate_loss(poisson(1.0), GOOD).stop_loss(-1.0), "zero or more"),
    (lambda: aggregate_loss(poisson(1.0), GOOD).layers([2.0, 1.0]), "must rise"),
    (lambda: panjer_recursion(OTHERS["table"], np.array([0.5, 0.5]), 8), "no recursion"),
    (lambda: panjer_recursion(poisson(1e4), np.array([0.5, 0.5]), 8), "start from nothing"),
    (lambda: aggregate_loss(poisson(1e4), LAWS["gamma"], bucket=1.0, buckets=64), "does not fit|beyond|ends at"),
    (lambda: aggregate_experience(book(), "premiun", GOOD), "did you mean 'premium'"),
    (lambda: aggregate_experience(book(), pl.lit(0.0), GOOD), "cells have expected claims not above"),
    (lambda: aggregate_experience(book(), RATE, {"f": GOOD}, severity_by="sex"), "no severity: m"),
    (lambda: aggregate_experience(book(), RATE, {"f": GOOD}), "take severity_by"),
    (lambda: aggregate_experience(book(), RATE, GOOD, severity_by="sex"), "one severity for all"),
    (lambda: aggregate_experience(book(), RATE, GOOD, dispersion=0.5), "dispersion is 1 or more"),
    (lambda: aggregate_experience(book(), RATE, GOOD, year_cv=0.1, dispersion=2.0), "common to the year"),
    (lambda: aggregate_experience(book(), RATE, GOOD, premium="sex"), "not a sum"),
])  # fmt: skip
def test_bad_input_is_named(make, says):
    with pytest.raises(InputError, match=says):
        make()


def test_moments_add_over_independent_parts():
    one = moments_of([(poisson(2.0), (1.0, 3.0, 9.0))])
    assert moments_of([(poisson(2.0), (1.0, 3.0, 9.0))] * 2) == pytest.approx([2 * v for v in one])
    assert one == (2.0, 6.0, 18.0)
