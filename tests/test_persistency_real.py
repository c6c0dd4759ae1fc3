"""Renewal of a real direct motor book (CASdatasets eudirectlapse): what a price does, held against statsmodels."""

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm

from pricing.experience.cells import Experience
from pricing.persistency.persistency import persistency, price_band
from pricing.persistency.renewal_model import fit_renewal, renewal_elasticity

KEYS = ["bonus", "paid", "drivers", "years", "price_change"]
FORMULA = "bonus + paid + drivers + years + price_change"


@pytest.fixture(scope="module")
def offered(dataset) -> pl.DataFrame:
    """23,060 renewals offered, a row each."""
    stays = 1 - pl.col("lapse")
    return (
        dataset("cas_eudirectlapse.parquet")
        .select(
            bonus="polholder_BMCevol", paid="prem_freqperyear", drivers="polholder_diffdriver",
            years=pl.col("policy_age").clip(0, 5),
            price_change=(pl.col("prem_final") / pl.col("prem_last")).log().round(4),
            exposure=pl.lit(1.0), claims=stays, amount=stays.cast(pl.Float64),
        )
        .collect()
    )  # fmt: skip


@pytest.fixture(scope="module")
def cells(offered) -> Experience:
    return Experience.collect(offered, KEYS, amount="amount")


def test_the_published_lapse_rate(offered, cells):
    """12.81 %, as the data set's documentation has it."""
    found = persistency(cells, "bonus")
    assert found.facts["offers"] == 23_060
    assert round(1 - found.facts["persistency"], 4) == 0.1281
    bands = cells.with_keys(price_band=price_band(price_step=0.0001))
    assert persistency(bands, "price_band").table["offers"].sum() == 23_060


def test_slope_and_errors_are_those_of_the_rows(offered, cells):
    model = fit_renewal(cells, FORMULA)
    matrix = model.values(offered)
    logit = sm.GLM(offered["claims"].to_numpy(), matrix, sm.families.Binomial())
    plain, white = logit.fit(tol=1e-12), logit.fit(tol=1e-12, cov_type="HC0")
    assert model.coefficients == pytest.approx(plain.params, rel=1e-6, abs=1e-7)
    assert model.covariance("model") == pytest.approx(plain.cov_params(), rel=1e-5, abs=1e-9)
    assert model.covariance("robust") == pytest.approx(white.cov_params(), rel=1e-5, abs=1e-9)


def test_the_elasticity_and_its_interval_are_those_of_the_rows(offered, cells):
    """E = Σp(1 − p)β/Σp over every row, its error by numerical derivatives."""
    model = fit_renewal(cells, FORMULA)
    found = renewal_elasticity(model, cells).table.row(0, named=True)
    x, theta = model.values(offered), model.coefficients
    own = [c.variables for c in model.columns].index(("price_change",))

    def elasticity(at: np.ndarray) -> float:
        p = 1 / (1 + np.exp(-x @ at))
        return float((p * (1 - p)).sum() * at[own] / p.sum())

    unit = np.eye(len(theta)) * 1e-5
    slope = np.array([(elasticity(theta + u) - elasticity(theta - u)) / 2e-5 for u in unit])
    error = max(np.sqrt(slope @ model.covariance(e) @ slope) for e in ("model", "robust"))
    assert found["price_elasticity"] == pytest.approx(elasticity(theta), rel=1e-9)
    assert found["std_error"] == pytest.approx(error, rel=1e-6)
    reach = 1.959963984540054 * error
    assert found["lower"] == pytest.approx(elasticity(theta) - reach, rel=1e-6)
    assert found["upper"] == pytest.approx(elasticity(theta) + reach, rel=1e-6)


def test_discounts_went_to_those_who_leave(cells):
    """Alone the price has the wrong sign; given what moved it, more premium is fewer renewals."""
    naive = renewal_elasticity(fit_renewal(cells, "price_change"), cells)
    held = renewal_elasticity(fit_renewal(cells, FORMULA), cells)
    assert naive.facts["lower"] > 0
    assert held.facts["upper"] < 0
    assert -0.4 < held.facts["elasticity"] < -0.05
