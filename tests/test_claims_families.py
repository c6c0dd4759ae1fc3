"""Every family on cells against statsmodels on rows: coefficients, errors and statistics to 1e-8."""

import warnings
from functools import cache

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm

from pricing.claims.clusters import cluster_errors
from pricing.claims.models import fit_frequency
from pricing.claims.occurrence import fit_occurrence
from pricing.claims.pure_premium import fit_pure_premium
from pricing.claims.severity import fit_severity
from pricing.errors import InputError
from pricing.estimate.families import saturated_amount
from pricing.experience.cells import Experience

EXACT = 1e-8
KEYS = ["tier", "sex", "x"]
FORMULA = "tier * sex + x"


@cache
def book(rows: int = 6_000, seed: int = 3) -> pl.DataFrame:
    """Over-dispersed claims, several a row, with heavy amounts; uneven exposures."""
    rng = np.random.default_rng(seed)
    tier, sex, x = rng.integers(0, 3, rows), rng.integers(0, 2, rows), rng.integers(0, 5, rows) / 2
    exposure = np.where(rng.random(rows) < 0.4, 1.0, rng.uniform(0.05, 1.0, rows))
    rate = np.exp(-0.2 + 0.3 * (tier == 1) - 0.2 * sex + 0.2 * x) * rng.gamma(0.8, 1 / 0.8, rows)
    claims = rng.poisson(rate * exposure)
    mean = 100 * np.exp(0.2 * tier + 0.3 * sex * (tier == 2) - 0.1 * x)
    amount = rng.gamma(0.7 * np.maximum(claims, 1), mean / 0.7) * rng.lognormal(0, 0.6, rows)
    return pl.DataFrame(
        {
            "tier": np.array(["a", "b", "c"])[tier],
            "sex": np.array(["f", "m"])[sex],
            "x": x,
            "exposure": exposure,
            "claims": claims,
            "amount": np.where(claims > 0, amount, 0.0),
        }
    )


def seen(rows: pl.DataFrame, keys=KEYS, **options) -> Experience:
    return Experience.collect(rows, keys, amount="amount", **options)


def matrix(rows: pl.DataFrame, model) -> np.ndarray:
    x = np.ones((rows.height, len(model.columns)))
    for j, column in enumerate(model.columns):
        for name, level in zip(column.variables, column.levels, strict=True):
            values = rows[name]
            x[:, j] *= (
                values.cast(pl.Float64) if level is None else values.cast(pl.String) == level
            ).to_numpy()
    return x


def on_rows(y, x, family, weights=None, offset=None, cov_type="nonrobust"):
    model = sm.GLM(y, x, family=family, var_weights=weights, offset=offset)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return model.fit(tol=1e-14, tol_criterion="params", maxiter=300, cov_type=cov_type)


def gap(ours, theirs) -> float:
    return float(np.max(np.abs(np.asarray(ours) / np.asarray(theirs) - 1)))


def gaps(model, y, x, family, weights=None, offset=None) -> dict[str, float]:
    plain = on_rows(y, x, family, weights, offset)
    robust = on_rows(y, x, family, weights, offset, "HC0")
    with np.errstate(all="ignore"):  # 0 ln 0 and ln 0 within statsmodels
        explained, deviance = plain.null_deviance - plain.deviance, plain.deviance
    return {
        "coefficients": gap(model.coefficients, plain.params),
        "model errors": gap(np.sqrt(np.diag(model.covariance("model"))), plain.bse),
        "robust errors": gap(np.sqrt(np.diag(model.covariance("robust"))), robust.bse),
        "pearson": gap(model.facts["pearson"], plain.pearson_chi2),
        "dispersion": gap(model.facts["dispersion"], plain.pearson_chi2 / plain.df_resid),
        "explained": gap(model.facts["deviance_explained"], explained),
        "deviance": 0.0
        if model.facts["deviance"] is None
        else gap(model.facts["deviance"], deviance),
    }


LOG = sm.families.links.Log()


@pytest.mark.parametrize("family", ["gamma", "inverse_gaussian"])
def test_severity_equals_statsmodels_on_rows_of_several_claims(family):
    model = fit_severity(seen(book()), FORMULA, family=family)
    rows = book().filter(pl.col("claims") > 0)
    assert rows["claims"].max() > 3
    n, a = rows["claims"].to_numpy().astype(float), rows["amount"].to_numpy()
    theirs = {
        "gamma": sm.families.Gamma(LOG),
        "inverse_gaussian": sm.families.InverseGaussian(LOG),
    }[family]
    found = gaps(model, a / n, matrix(rows, model), theirs, n)
    print(family, {k: f"{v:.1e}" for k, v in found.items()})
    assert max(found.values()) < EXACT
    assert model.facts["deviance"] is not None
    assert model.facts["rows"] == rows.height
    scored = model.score(rows, exposure="claims")
    if family == "gamma":  # with the log link Σ(a/μ − n) = 0 by level
        assert (a / scored["rate"].to_numpy()).sum() == pytest.approx(n.sum(), rel=1e-9)


def test_log_normal_is_least_squares_on_the_logs():
    model = fit_severity(seen(book()), FORMULA, family="log_normal")
    rows = book().filter(pl.col("amount") > 0)
    x, y = matrix(rows, model), np.log(rows["amount"].to_numpy())
    plain, robust = sm.OLS(y, x).fit(), sm.OLS(y, x).fit(cov_type="HC0")
    assert gap(model.coefficients, plain.params) < EXACT
    assert gap(np.sqrt(np.diag(model.covariance("model"))), plain.bse) < EXACT
    assert gap(np.sqrt(np.diag(model.covariance("robust"))), robust.bse) < EXACT
    assert model.facts["dispersion"] == pytest.approx(plain.scale, rel=EXACT)
    assert model.facts["deviance"] == pytest.approx(plain.ssr, rel=EXACT)
    # likelihood of the amounts: that of the logs less Σ ln a; σ² counts as a parameter
    assert model.facts["log_likelihood"] == pytest.approx(plain.llf - y.sum(), rel=EXACT)
    assert model.facts["aic"] == pytest.approx(plain.aic + 2 + 2 * y.sum(), rel=EXACT)
    mean = np.exp(x @ plain.params + plain.scale / 2)
    np.testing.assert_allclose(model.score(rows)["rate"], mean, rtol=1e-9)
    smeared = fit_severity(seen(book()), FORMULA, family="log_normal", correction="smearing")
    median = np.exp(x @ plain.params)
    duan = rows["amount"].sum() / median.sum()
    np.testing.assert_allclose(smeared.score(rows)["rate"], median * duan, rtol=1e-9)
    assert smeared.score(rows)["rate"].sum() == pytest.approx(rows["amount"].sum(), rel=1e-9)


@pytest.mark.parametrize("power", [1.0, 1.3, 1.5, 1.9, 2.0])
def test_pure_premium_equals_statsmodels_with_exposure_as_weight(power):
    rows = book()
    sums = []
    if 1 < power < 2:
        rows, sums = rows.with_columns(saturated_amount(power)), [f"amount_saturated_{power:g}"]
    model = fit_pure_premium(seen(rows, sums=sums), FORMULA, power=power)
    e, a = rows["exposure"].to_numpy(), rows["amount"].to_numpy()
    theirs = sm.families.Tweedie(LOG, var_power=power)
    x = matrix(rows, model)
    if power == 2:  # statsmodels' gamma clips zeros; its deviance is not defined
        theirs = sm.families.Tweedie(LOG, var_power=2.0)
    found = gaps(model, a / e, x, theirs, e)
    if power in (1.0, 2.0):  # not where the deviance of zeros is theirs to define
        found.pop("explained" if power == 2 else "deviance")
        assert model.facts["deviance"] is None
    print(power, {k: f"{v:.1e}" for k, v in found.items()})
    assert max(found.values()) < EXACT
    # an offset on the amount is another model, but at p = 1
    other = on_rows(a, x, sm.families.Tweedie(LOG, var_power=power), offset=np.log(e))
    differs = gap(model.coefficients, other.params)
    assert differs < EXACT if power == 1 else differs > 1e-4


def test_frequency_offset_and_weight_are_one_for_poisson_alone():
    rows = book()
    e, n = rows["exposure"].to_numpy(), rows["claims"].to_numpy()
    model = fit_frequency(seen(rows), FORMULA)
    x = matrix(rows, model)
    weighed = on_rows(n / e, x, sm.families.Poisson(), e)
    offset = on_rows(n, x, sm.families.Poisson(), offset=np.log(e))
    assert gap(weighed.params, offset.params) < EXACT
    assert gap(model.coefficients, offset.params) < EXACT


def test_quasi_poisson_is_poisson_with_dispersion():
    poisson = fit_frequency(seen(book()), FORMULA)
    quasi = fit_frequency(seen(book()), FORMULA, family="quasi_poisson", errors="model")
    assert quasi.coefficients.tolist() == poisson.coefficients.tolist()
    np.testing.assert_allclose(quasi.covariance("model"), poisson.covariance("quasi"), rtol=1e-12)
    np.testing.assert_allclose(quasi.covariance("quasi"), poisson.covariance("quasi"), rtol=1e-12)
    assert quasi.facts["aic"] is None
    assert quasi.facts["deviance"] == poisson.facts["deviance"]


def test_any_claim_is_a_logit_on_cells():
    model = fit_occurrence(seen(book()), FORMULA)
    y = (book()["amount"] > 0).to_numpy().astype(float)
    x = matrix(book(), model)
    found = gaps(model, y, x, sm.families.Binomial())
    print("logit", {k: f"{v:.1e}" for k, v in found.items()})
    assert max(found.values()) < EXACT
    logit = on_rows(y, x, sm.families.Binomial())
    assert model.facts["log_likelihood"] == pytest.approx(logit.llf, rel=EXACT)
    assert model.facts["aic"] == pytest.approx(logit.aic, rel=EXACT)
    assert model.score(book())["rate"].sum() == pytest.approx(y.sum(), rel=1e-10)


# -- negative binomial -----------------------------------------------------------------------------


def stepped() -> pl.DataFrame:
    """Exposures in quarters, as copies among the keys."""
    e = (pl.col("exposure") * 4).ceil() / 4
    return book().with_columns(exposure=e, term=e)


@pytest.mark.parametrize("alpha", [0.3, 1.2])
def test_negative_binomial_is_exact_where_each_cell_has_one_exposure(alpha):
    rows = stepped()
    model = fit_frequency(
        seen(rows, [*KEYS, "term"]), FORMULA, family="negative_binomial", alpha=alpha
    )
    e, n = rows["exposure"].to_numpy(), rows["claims"].to_numpy()
    family = sm.families.NegativeBinomial(alpha=alpha)
    found = gaps(model, n, matrix(rows, model), family, offset=np.log(e))
    print("NB2", {k: f"{v:.1e}" for k, v in found.items()})
    assert max(found.values()) < EXACT
    assert model.facts["deviance"] is None  # claims differ within cells
    assert any("each cell has one exposure" in note for note in model.basis.notes)


def test_negative_binomial_by_likelihood_where_rows_of_a_cell_are_alike():
    rows = stepped().with_columns(count=pl.col("claims").cast(pl.Float64))
    cells = seen(rows, [*KEYS, "term", "count"])
    model = fit_frequency(cells, FORMULA, family="negative_binomial", alpha="likelihood")
    n, e = rows["claims"].to_numpy(), rows["exposure"].to_numpy()
    x = matrix(rows, model)
    oracle = sm.NegativeBinomial(n, x, exposure=e).fit(disp=0, method="newton", maxiter=200)
    assert model.details["alpha"] == pytest.approx(oracle.params[-1], rel=1e-6)
    assert model.facts["log_likelihood"] == pytest.approx(oracle.llf, rel=1e-10)
    assert model.facts["aic"] == pytest.approx(oracle.aic, rel=1e-9)
    given = fit_frequency(cells, FORMULA, family="negative_binomial", alpha=0.9)
    theirs = on_rows(n, x, sm.families.NegativeBinomial(alpha=0.9), offset=np.log(e))
    assert given.facts["deviance"] == pytest.approx(theirs.deviance, rel=EXACT)
    assert given.facts["log_likelihood"] == pytest.approx(theirs.llf, rel=EXACT)


def test_negative_binomial_on_unlike_rows_says_so_and_keeps_row_exact_robust_errors():
    rows = book()
    model = fit_frequency(seen(rows), FORMULA, family="negative_binomial", alpha=0.8)
    assert any("exposures differ within cells" in note for note in model.basis.notes)
    assert model.facts["log_likelihood"] is None
    # its own equation, on rows: Σ x(n − eλ)/(1 + αuλ) = 0, u = Σe²/Σe of the row's cell
    unit = (
        rows.select(
            (pl.col("exposure") ** 2).sum().over(KEYS) / pl.col("exposure").sum().over(KEYS)
        )
        .to_series()
        .to_numpy()
    )
    e, n = rows["exposure"].to_numpy(), rows["claims"].to_numpy()
    x, rate = matrix(rows, model), model.score(rows)["rate"].to_numpy()
    down = 1 + 0.8 * unit * rate
    score = x * ((n - e * rate) / down)[:, None]
    assert np.max(np.abs(score.sum(axis=0)) / np.abs(score).sum(axis=0)) < 1e-9
    slope = (x * (rate * (e + 0.8 * unit * n) / down**2)[:, None]).T @ x
    bread = np.linalg.inv(slope)
    np.testing.assert_allclose(
        model.covariance("robust"), bread @ (score.T @ score) @ bread, rtol=1e-8
    )


def test_alpha_by_moments_is_that_of_the_rows():
    rows = book()
    model = fit_frequency(seen(rows), FORMULA, family="negative_binomial")
    n = rows["claims"].to_numpy()
    mu = model.score(rows, exposure="exposure")["expected"].to_numpy()
    share = rows.height / (rows.height - len(model.columns))
    alpha = ((n - mu) ** 2 * share - mu).sum() / (mu**2).sum()
    assert model.details["alpha"] == pytest.approx(alpha, rel=1e-7)
    assert 0.8 < alpha < 2.0  # frailty of shape 0.8: α = 1.25


# -- likelihoods -----------------------------------------------------------------------------------


def test_gamma_and_inverse_gaussian_likelihoods_of_single_claims_are_at_their_maximum():
    rows = book().with_columns(claims=pl.col("claims").clip(upper_bound=1))
    from scipy.optimize import minimize_scalar

    for family, theirs in (
        ("gamma", sm.families.Gamma(LOG)),
        ("inverse_gaussian", sm.families.InverseGaussian(LOG)),
    ):
        model = fit_severity(seen(rows), FORMULA, family=family)
        paid = rows.filter(pl.col("claims") > 0)
        y, mu = paid["amount"].to_numpy(), model.score(paid)["rate"].to_numpy()
        best = minimize_scalar(
            lambda s, t=theirs, y=y, mu=mu: -t.loglike(y, mu, scale=float(np.exp(s))),
            bounds=(-8, 3),
            method="bounded",
            options={"xatol": 1e-10},
        )
        assert model.facts["log_likelihood"] == pytest.approx(-best.fun, rel=1e-9)
        assert model.facts["aic"] == pytest.approx(
            2 * (len(model.columns) + 1) + 2 * best.fun, rel=1e-9
        )
    assert fit_severity(seen(book()), FORMULA).facts["aic"] is None


# -- weights, offsets and what must not change -------------------------------------------------------


def test_a_weight_by_key_is_a_variance_weight_and_an_offset_is_held():
    rows = book().with_columns(old=pl.col("x") + 0.5, manual=0.3 * pl.col("x"))
    keys = [*KEYS, "old", "manual"]
    n, e = rows["claims"].to_numpy(), rows["exposure"].to_numpy()
    v = rows["old"].to_numpy()
    model = fit_frequency(seen(rows, keys), "tier + sex", weight="old", offset="manual")
    x = matrix(rows, model)
    offset = rows["manual"].to_numpy()
    found = gaps(model, n / e, x, sm.families.Poisson(), e * v, offset)
    print("weight and offset", {k: f"{v:.1e}" for k, v in found.items()})
    assert max(found.values()) < EXACT
    assert model.facts["log_likelihood"] is None
    mean = np.exp(x @ model.coefficients + offset)
    np.testing.assert_allclose(model.score(rows)["rate"], mean, rtol=1e-12)
    paid = rows.filter(pl.col("claims") > 0)
    severity = fit_severity(seen(rows, keys), "tier + sex", weight="old", offset="manual")
    n, a, v, offset = (
        paid[c].to_numpy().astype(float) for c in ("claims", "amount", "old", "manual")
    )
    found = gaps(severity, a / n, matrix(paid, severity), sm.families.Gamma(LOG), n * v, offset)
    assert max(found.values()) < EXACT


@pytest.mark.parametrize("fit", [fit_severity, fit_pure_premium, fit_occurrence])
def test_order_shards_and_currency(fit):
    rows = book()
    whole = fit(seen(rows), FORMULA)
    parts = seen(rows[:2_500]) + seen(rows[2_500:].sample(fraction=1.0, shuffle=True, seed=1))
    again = fit(parts, FORMULA)
    np.testing.assert_allclose(again.coefficients, whole.coefficients, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(again.covariance("robust"), whole.covariance("robust"), rtol=1e-9)
    cents = fit(seen(rows.with_columns(pl.col("amount") * 100)), FORMULA)
    moved = cents.coefficients - whole.coefficients
    np.testing.assert_allclose(moved[1:], 0, atol=1e-10)
    assert moved[0] == pytest.approx(0 if fit is fit_occurrence else np.log(100), abs=1e-10)
    for kind in ("model", "robust"):
        np.testing.assert_allclose(cents.covariance(kind), whole.covariance(kind), rtol=1e-8)


def test_a_policy_year_split_in_two_has_the_same_pure_premium_and_claims_split_the_same_severity():
    rows = book()
    half = rows.with_columns(pl.col("claims") / 2, pl.col("exposure") / 2, pl.col("amount") / 2)
    twice = pl.concat([half, half])
    for fit in (fit_pure_premium, fit_severity):
        one, other = fit(seen(rows), FORMULA), fit(seen(twice), FORMULA)
        np.testing.assert_allclose(other.coefficients, one.coefficients, rtol=1e-9, atol=1e-12)
        assert other.facts["pearson"] == pytest.approx(one.facts["pearson"], rel=1e-9)
        assert other.facts["deviance_explained"] == pytest.approx(
            one.facts["deviance_explained"], rel=1e-8
        )


# -- clustered by person -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["gamma", "log_normal", "tweedie", "logit", "nb"])
def test_clustered_errors_equal_statsmodels(kind):
    rows = stepped().with_columns(person=pl.int_range(pl.len()) // 3)
    cells = seen(rows, [*KEYS, "term"])
    paid = rows.filter(pl.col("claims") > 0)
    e, n, a = (rows[c].to_numpy().astype(float) for c in ("exposure", "claims", "amount"))
    pn, pa = (paid[c].to_numpy().astype(float) for c in ("claims", "amount"))
    family, y, weight, offset, own = {
        "gamma": (sm.families.Gamma(LOG), pa / pn, pn, None, paid),
        "log_normal": (sm.families.Gaussian(), np.log(pa), None, None, paid),
        "tweedie": (sm.families.Tweedie(LOG, var_power=1.5), a / e, e, None, rows),
        "logit": (sm.families.Binomial(), (a > 0) * 1.0, None, None, rows),
        "nb": (sm.families.NegativeBinomial(alpha=0.7), n, None, np.log(e), rows),
    }[kind]
    model = {
        "gamma": lambda: fit_severity(cells, FORMULA),
        "log_normal": lambda: fit_severity(cells, FORMULA, family="log_normal"),
        "tweedie": lambda: fit_pure_premium(cells, FORMULA),
        "logit": lambda: fit_occurrence(cells, FORMULA),
        "nb": lambda: fit_frequency(cells, FORMULA, family="negative_binomial", alpha=0.7),
    }[kind]()
    ours = cluster_errors(model, rows, by="person")
    x = matrix(own, model)
    glm = sm.GLM(y, x, family=family, var_weights=weight, offset=offset)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = glm.fit(
            tol=1e-14,
            tol_criterion="params",
            maxiter=300,
            cov_type="cluster",
            cov_kwds={"groups": own["person"].to_numpy()},
        )
    rows_, k = x.shape
    scaled = theirs.cov_params() * (rows_ - k) / (rows_ - 1)
    np.testing.assert_allclose(ours.covariance("cluster"), scaled, rtol=1e-7, atol=1e-12)
    assert type(ours) is type(model)
    assert ours.facts["errors"] == "cluster"


def test_a_score_that_is_not_that_of_the_rows_is_not_clustered():
    rows = book().with_columns(person=pl.int_range(pl.len()) // 3)
    model = fit_frequency(seen(rows), FORMULA, family="negative_binomial", alpha=0.7)
    with pytest.raises(InputError, match="not that of the rows"):
        cluster_errors(model, rows, by="person")
