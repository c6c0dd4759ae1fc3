"""Errors clustered by person: equal to statsmodels on the rows."""

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm

from pricing.claims.clusters import cluster_errors
from pricing.claims.models import Frequency, fit_frequency
from pricing.data.sources import Source, read_table
from pricing.errors import InputError
from pricing.experience.cells import Experience


def people(n: int = 4_000, seed: int = 5) -> pl.DataFrame:
    """Make people seen for one to five years, each with a frailty of their own."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(n), rng.integers(1, 6, n))
    frailty, sex = rng.gamma(0.8, 1 / 0.8, n)[person], rng.integers(0, 2, n)[person]
    exposure, band = rng.uniform(0.2, 1.0, len(person)), rng.integers(0, 3, len(person))
    x = rng.integers(0, 4, len(person)) / 2
    claims = rng.poisson(exposure * frailty * np.exp(0.2 + 0.3 * sex - 0.2 * band + 0.1 * x))
    return pl.DataFrame(
        {
            "person": person,
            "sex": np.where(sex == 1, "m", "f"),
            "band": band.astype(str),
            "x": x,
            "exposure": exposure,
            "claims": claims,
        }
    )


@pytest.fixture(scope="module")
def fitted() -> tuple[pl.DataFrame, Frequency]:
    rows = people()
    seen = Experience.collect(rows, ["sex", "band", "x"])
    return rows, fit_frequency(seen, "sex * x + band", base={"sex": "f", "band": "0"})


def test_equals_statsmodels_on_the_rows(fitted):
    rows, model = fitted
    sex, x = (rows["sex"] == "m").to_numpy().astype(float), rows["x"].to_numpy()
    band = [(rows["band"] == b).to_numpy().astype(float) for b in "12"]
    by_name = {"(intercept)": np.ones(rows.height), "sex[m]": sex, "x": x, "sex[m]:x": sex * x}
    by_name |= {"band[1]": band[0], "band[2]": band[1]}
    matrix = np.column_stack([by_name[c.name] for c in model.columns])
    rowwise = sm.GLM(
        rows["claims"].to_numpy(),
        matrix,
        sm.families.Poisson(),
        exposure=rows["exposure"].to_numpy(),
    )
    person = rows["person"].to_numpy()
    oracle = rowwise.fit(tol=1e-14, cov_type="cluster", cov_kwds={"groups": person})
    ours = cluster_errors(model, rows, by="person").covariance("cluster")
    # statsmodels scales by (n − 1)/(n − k) as well; Liang and Zeger do not
    n, k = matrix.shape
    assert ours == pytest.approx(oracle.cov_params() * (n - k) / (n - 1), rel=1e-8)


def test_intervals_and_tests_rest_on_it_and_coefficients_stay(fitted):
    rows, model = fitted
    clustered = cluster_errors(model, rows, by="person")
    assert clustered.coefficients.tolist() == model.coefficients.tolist()
    before, after = (m.relativities("sex").row(1, named=True) for m in (model, clustered))
    assert after["std_error_cluster"] > 1.2 * before["std_error_robust"]
    assert np.log(after["upper"] / after["relativity"]) == pytest.approx(
        1.959964 * after["std_error_cluster"]
    )
    wald = clustered.frames["tests"].filter(term="sex")["chi_squared"].item()
    assert wald == pytest.approx((after["coefficient"] / after["std_error_cluster"]) ** 2)
    assert clustered.relativities("sex").row(0, named=True)["lower"] == 1.0
    assert clustered.facts["clusters"] == rows["person"].n_unique()


def test_every_row_its_own_cluster_is_the_robust_error(fitted):
    rows, model = fitted
    alone = cluster_errors(model, rows.with_row_index("row"), by="row").covariance("cluster")
    n = rows.height
    assert alone == pytest.approx(model.covariance("robust") * n / (n - 1), rel=1e-9)


def test_again_by_another_column_and_saved(fitted, tmp_path):
    rows, model = fitted
    twice = cluster_errors(
        cluster_errors(model, rows.with_row_index("row"), by="row"), rows, by="person"
    )
    once = cluster_errors(model, rows, by="person")
    assert twice.table.equals(once.table)
    once.save(tmp_path / "model")
    assert (
        Frequency.load(tmp_path / "model").covariance("cluster").tolist()
        == once.covariance("cluster").tolist()
    )


def test_what_cannot_be_clustered_is_refused(fitted):
    rows, model = fitted
    with pytest.raises(InputError, match=r"no column 'persn'.*'person'"):
        cluster_errors(model, rows, by="persn")
    with pytest.raises(InputError, match="the rows hold"):
        cluster_errors(model, rows.head(100), by="person")
    with pytest.raises(InputError, match="2 clusters of 'sex'"):
        cluster_errors(model, rows, by="sex")
    gap = rows.with_columns(pl.when(pl.int_range(pl.len()) > 0).then("person").alias("person"))
    with pytest.raises(InputError, match="without 'person'"):
        cluster_errors(model, gap, by="person")
    with pytest.raises(InputError, match="call cluster_errors first"):
        model.covariance("cluster")


def test_the_rebuilt_persons_of_randhie_are_no_bolder_than_the_true_ones(dataset):
    true = dataset("RANDHIE_camerondata.parquet").select("zper").collect()["zper"]
    rows = read_table(Source(loader="randhie")).with_columns(true=true)
    keys = ["health_group", "coinsurance", "deductible"]
    model = fit_frequency(Experience.collect(rows, keys), " + ".join(keys))
    rebuilt, true = (
        cluster_errors(model, rows, by=by).covariance("cluster") for by in ("person_id", "true")
    )
    ratio = np.sqrt(np.diag(rebuilt) / np.diag(true))
    assert (ratio > 0.995).all()  # siblings that fall together can only widen
    assert (ratio < 1.08).all()
