"""The Tweedie density and the profile of its power."""

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from scipy.integrate import quad
from scipy.stats import gamma, poisson

from pricing.claims.power import PowerProfile, profile_power
from pricing.errors import InputError
from pricing.estimate.tweedie import log_density
from pricing.experience.cells import Experience

LOG = sm.families.links.Log()


@pytest.mark.parametrize("power", [1.05, 1.3, 1.5, 1.7, 1.95])
@pytest.mark.parametrize("phi", [0.3, 2.0, 80.0])
def test_the_density_is_that_of_a_poisson_number_of_gamma_claims(power, phi):
    """By its definition: Σ_k P(N = k)·gamma density of k claims."""
    mean = 3.0
    rate = mean ** (2 - power) / (phi * (2 - power))
    shape, scale = (2 - power) / (power - 1), phi * (power - 1) * mean ** (power - 1)
    y = np.array([0.01, 0.5, 3.0, 9.0, 40.0])
    k = np.arange(1, 3_000)
    direct = [(poisson.pmf(k, rate) * gamma.pdf(v, k * shape, scale=scale)).sum() for v in y]
    ones = np.ones(len(y))
    ours = log_density(y, mean * ones, phi * ones, power)
    seen = np.array(direct) > 1e-250
    np.testing.assert_allclose(ours[seen], np.log(np.array(direct)[seen]), rtol=1e-8, atol=1e-8)
    zero = log_density(np.zeros(1), np.full(1, mean), np.full(1, phi), power)
    assert zero[0] == pytest.approx(-rate, rel=1e-12)


def test_the_density_equals_statsmodels_and_integrates_to_one():
    rng = np.random.default_rng(1)
    y = rng.gamma(2.0, 50.0, 200) * (rng.random(200) < 0.6)
    mean = rng.uniform(20, 200, 200)
    theirs = sm.families.Tweedie(LOG, var_power=1.6).loglike_obs(y, mean, scale=15.0)
    np.testing.assert_allclose(log_density(y, mean, np.full(200, 15.0), 1.6), theirs, rtol=1e-8)

    def density(v):
        return float(np.exp(log_density(np.array([v]), np.ones(1), np.ones(1), 1.4))[0])

    zero = float(np.exp(log_density(np.zeros(1), np.ones(1), np.ones(1), 1.4))[0])
    assert quad(density, 0, 60, limit=200)[0] + zero == pytest.approx(1.0, abs=1e-7)


def test_densities_that_are_none_are_refused():
    one = np.ones(1)
    for power in (1.0, 2.0, 0.5):
        with pytest.raises(InputError, match="between 1 and 2"):
            log_density(one, one, one, power)
    with pytest.raises(InputError, match="series of the density"):
        log_density(one, one, one * 1e-9, 1.5)


def book(rows: int = 4_000, shape: float = 1.5) -> pl.DataFrame:
    """Poisson claims of gamma amounts with a constant p: claims and mean amount tied as p says."""
    rng = np.random.default_rng(8)
    power = (shape + 2) / (shape + 1)
    sex, e = rng.integers(0, 2, rows), rng.uniform(0.3, 1.0, rows)
    mean, phi = 100.0 * np.exp(0.5 * sex), 60.0
    claims = rng.poisson(e * mean ** (2 - power) / (phi * (2 - power)))
    scale = phi * (power - 1) * mean ** (power - 1)
    amount = np.where(claims > 0, rng.gamma(shape * np.maximum(claims, 1), scale), 0.0)
    return pl.DataFrame(
        {"sex": np.array(["f", "m"])[sex], "exposure": e, "claims": claims, "amount": amount}
    )


def test_the_power_that_made_the_book_lies_in_its_interval_and_nowhere_else(tmp_path):
    rows = book()
    seen = Experience.collect(rows, ["sex"], amount="amount")
    found = profile_power(seen, "sex", rows, powers=[1.2, 1.4, 1.6])
    true = 3.5 / 2.5
    assert found.facts["lower"] < true < found.facts["upper"]
    assert found.facts["upper"] - found.facts["lower"] < 0.06
    assert 55 < found.facts["dispersion"] < 65
    # the likelihood is that of statsmodels at the same mean, dispersion and weight
    e, a = (rows[c].to_numpy() for c in ("exposure", "amount"))
    x = np.c_[np.ones(rows.height), rows["sex"] == "m"].astype(float)
    family = sm.families.Tweedie(LOG, var_power=1.4)
    fit = sm.GLM(a / e, x, family=family, var_weights=e).fit(tol=1e-12)
    row = found.table.filter(power=1.4).row(0, named=True)
    theirs = family.loglike_obs(a / e, fit.mu, var_weights=e, scale=row["dispersion"])
    whole = theirs.sum() - np.log(e[a > 0]).sum()
    assert row["log_likelihood"] == pytest.approx(whole, rel=1e-9)
    found.save(tmp_path / "p")
    assert PowerProfile.load(tmp_path / "p").table.equals(found.table)
    for lang in ("en", "zh"):
        assert "1." in found.finding(lang)
        assert found.figure(lang).data
    with pytest.raises(InputError, match="three powers"):
        profile_power(seen, "sex", rows, powers=[1.5, 1.6])
