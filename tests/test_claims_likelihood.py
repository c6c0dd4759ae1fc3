"""Likelihood-ratio tests, profile intervals, constraints and penalties."""

from dataclasses import replace
from functools import cache

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from scipy.optimize import minimize
from scipy.stats import chi2, f

from pricing.claims.clusters import cluster_errors
from pricing.claims.likelihood import likelihood_tests, profile_interval
from pricing.claims.models import Frequency, fit_frequency
from pricing.claims.occurrence import fit_occurrence
from pricing.claims.penalised import fit_elastic_net
from pricing.claims.pure_premium import fit_pure_premium
from pricing.claims.severity import fit_severity
from pricing.errors import InputError
from pricing.experience.cells import Experience

KEYS = ["tier", "sex", "age", "x", "year"]


@cache
def book(rows: int = 4_000, seed: int = 21) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    tier, sex, age = (rng.integers(0, k, rows) for k in (3, 2, 8))
    x, year = rng.integers(0, 6, rows) / 2, rng.integers(2020, 2025, rows)
    e = rng.uniform(0.2, 1.0, rows)
    n = rng.poisson(e * np.exp(-0.8 + 0.3 * (tier == 1) + 0.06 * age - 0.1 * x))
    a = rng.gamma(1.4 * np.maximum(n, 1), 80 * np.exp(0.2 * tier)) * (n > 0)
    return pl.DataFrame(
        {
            "tier": np.array(["a", "b", "c"])[tier],
            "sex": np.array(["f", "m"])[sex],
            "age": np.array(["20", "25", "30", "35", "40", "45", "50", "55"])[age],
            "x": x,
            "year": year.astype(float),
            "exposure": e,
            "claims": n,
            "amount": a,
        }
    )


@cache
def seen() -> Experience:
    return Experience.collect(book(), KEYS, amount="amount")


def x_of(model, rows) -> np.ndarray:
    return model.values(rows)


# -- tests and profiles ------------------------------------------------------------------------------


def test_likelihood_ratio_tests_equal_refits_on_rows():
    model = fit_frequency(seen(), "tier * sex + x")
    e, n = (book()[c].to_numpy() for c in ("exposure", "claims"))
    x = x_of(model, book())
    whole = sm.GLM(n, x, family=sm.families.Poisson(), exposure=e).fit(tol=1e-13)
    for row in likelihood_tests(model, seen()).iter_rows(named=True):
        rest = [j for j, c in enumerate(model.columns) if c.term != row["term"]]
        less = sm.GLM(n, x[:, rest], family=sm.families.Poisson(), exposure=e).fit(tol=1e-13)
        lost = less.deviance - whole.deviance
        assert row["statistic"] == pytest.approx(lost, rel=1e-8)
        assert row["degrees_of_freedom"] == len(model.columns) - len(rest)
        assert row["p_value"] == pytest.approx(chi2.sf(lost, row["degrees_of_freedom"]), rel=1e-7)
        assert row["test"] == "chi2"


def test_with_a_dispersion_the_test_is_an_f_test():
    model = fit_severity(seen(), "tier + sex")
    rows = book().filter(pl.col("claims") > 0)
    n, a = (rows[c].to_numpy().astype(float) for c in ("claims", "amount"))
    x, gamma = x_of(model, rows), sm.families.Gamma(sm.families.links.Log())
    whole = sm.GLM(a / n, x, family=gamma, var_weights=n).fit(tol=1e-13)
    row = likelihood_tests(model, seen()).filter(term="tier").row(0, named=True)
    rest = [j for j, c in enumerate(model.columns) if c.term != "tier"]
    less = sm.GLM(a / n, x[:, rest], family=gamma, var_weights=n).fit(tol=1e-13)
    value = (less.deviance - whole.deviance) / 2 / (whole.pearson_chi2 / whole.df_resid)
    assert row["test"] == "F"
    assert row["statistic"] == pytest.approx(value, rel=1e-7)
    assert row["p_value"] == pytest.approx(f.sf(value, 2, whole.df_resid), rel=1e-6)


@pytest.mark.parametrize(
    ("fit", "term", "level"),
    [
        (fit_frequency, "tier", "b"),
        (fit_frequency, "x", ""),
        (fit_severity, "tier", "c"),
        (fit_occurrence, "sex", "m"),
        (fit_pure_premium, "tier", "b"),
    ],
)
def test_at_the_ends_of_a_profile_interval_the_deviance_has_risen_as_it_should(fit, term, level):
    base = {"tier": "a", "sex": "f"}
    model = fit(seen(), "tier + sex + x", base=base)
    low, high = profile_interval(model, seen(), term, level)
    at = next(j for j, c in enumerate(model.columns) if (c.term, c.level) == (term, level))
    wald = model.table.filter(pl.col("term") == term, pl.col("level") == level).row(0, named=True)
    assert low < wald["relativity"] < high
    width = np.log(high / low) / 2 / 1.96
    assert width == pytest.approx(np.sqrt(model.covariance("model")[at, at]), rel=0.05)
    # held there by an offset, a fit without the column has lost just the quantile
    shift = book().with_columns(
        _at=(pl.col("x") if term == "x" else (pl.col(term) == level).cast(pl.Float64))
        * np.log(high)
    )
    cells = Experience.collect(shift, [*KEYS, "_at"], amount="amount")
    rest = "tier + sex" if term == "x" else None
    if rest is None:
        one = book().with_columns(_one=(pl.col(term) == level).cast(pl.Float64))
        others = "tier" if term == "sex" else "sex"
        extra = [v for v in ("b", "c") if term == "tier" and v != level]
        frame = shift.with_columns(
            **{f"is_{v}": (pl.col("tier") == v).cast(pl.Float64) for v in extra}
        )
        cells = Experience.collect(
            frame, [*KEYS, "_at", *(f"is_{v}" for v in extra)], amount="amount"
        )
        rest = " + ".join([others, "x", *(f"is_{v}" for v in extra)])
        assert one.height
    held = fit(
        cells, rest, offset="_at", base={k: v for k, v in base.items() if k in rest.split(" + ")}
    )
    # both are against their own null: compare through the deviance where it is carried
    if model.facts["deviance"] is not None:
        risen = held.facts["deviance"] - model.facts["deviance"]
        scale = model.facts["dispersion"] if model.details["scaled"] else 1.0
        left = model.facts["degrees_of_freedom"]
        allowed = f.ppf(0.95, 1, left) if model.details["scaled"] else chi2.ppf(0.95, 1)
        assert risen / scale == pytest.approx(allowed, rel=1e-6)


def test_the_profile_of_a_thin_level_is_not_symmetric():
    rows = pl.DataFrame(
        {"g": ["a"] * 300 + ["b"] * 4, "exposure": 1.0, "claims": [1, 0, 2] * 100 + [1, 0, 0, 0]}
    )
    cells = Experience.collect(rows, ["g"])
    model = fit_frequency(cells, "g", errors="model")
    low, high = profile_interval(model, cells, "g", "b")
    at = model.relativities("g").filter(level="b").row(0, named=True)
    assert low < at["lower"]
    assert high < at["upper"]
    assert np.log(at["relativity"] / low) > 1.2 * np.log(high / at["relativity"])


def test_other_cells_and_unknown_coefficients_are_refused():
    model = fit_frequency(seen(), "tier")
    with pytest.raises(InputError, match="was not fitted on these cells"):
        likelihood_tests(model, seen().where(pl.col("sex") == "f"))
    with pytest.raises(InputError, match="no coefficient 'tier' 'd'"):
        profile_interval(model, seen(), "tier", "d")


# -- bounds and orders ---------------------------------------------------------------------------------

LEVELS = ["20", "25", "30", "35", "40", "45", "50", "55"]


def by_scipy(rows, x, low, high, combine):
    """The same maximum by a general optimiser: SLSQP on rows."""
    e, n = rows["exposure"].to_numpy(), rows["claims"].to_numpy()

    def loss(b):
        mu = e * np.exp(x @ b)
        return (mu.sum() - n @ (x @ b)) / len(n), x.T @ (mu - n) / len(n)

    rules = [
        {"type": "ineq", "fun": lambda b, c=c, lo=lo: c @ b - lo, "jac": lambda b, c=c: c}
        for c, lo in zip(combine, low, strict=True)
        if np.isfinite(lo)
    ]
    rules += [
        {"type": "ineq", "fun": lambda b, c=c, up=up: up - c @ b, "jac": lambda b, c=c: -c}
        for c, up in zip(combine, high, strict=True)
        if np.isfinite(up)
    ]
    start = np.zeros(x.shape[1])
    start[0] = np.log(n.sum() / e.sum())
    return minimize(
        loss,
        start,
        jac=True,
        method="SLSQP",
        constraints=rules,
        options={"ftol": 1e-15, "maxiter": 500},
    )


@pytest.mark.parametrize("base", ["20", "35"])
def test_monotone_relativities_equal_a_general_optimiser_and_pool(base):
    noisy = book().with_columns(
        claims=pl.when((pl.col("age") == "30") & (pl.col("claims") > 0)).then(0).otherwise("claims")
    )
    cells = Experience.collect(noisy, KEYS, amount="amount")
    model = fit_frequency(
        cells, "age + sex", base={"age": base, "sex": "f"}, monotone={"age": "increasing"}
    )
    t = model.relativities("age")
    steps = np.diff(t["relativity"].to_numpy())
    assert (steps >= -1e-12).all()
    assert (np.abs(steps) < 1e-12).any()  # it binds: levels are pooled
    x = x_of(model, noisy)
    names = [c.levels[0] for c in model.columns[1:8]]
    combine = []
    for k in range(1, 8):
        row = np.zeros(x.shape[1])
        for at, sign in ((LEVELS[k], 1.0), (LEVELS[k - 1], -1.0)):
            if at != base:
                row[1 + names.index(at)] = sign
        combine.append(row)
    theirs = by_scipy(noisy, x, np.zeros(7), np.full(7, np.inf), combine)
    e, n = noisy["exposure"].to_numpy(), noisy["claims"].to_numpy()
    ours = e * np.exp(x @ model.coefficients)
    best = (ours.sum() - n @ (x @ model.coefficients)) / len(n)
    assert best <= theirs.fun + 1e-12
    np.testing.assert_allclose(model.coefficients, theirs.x, atol=2e-5)
    assert ours.sum() == pytest.approx(n.sum(), rel=1e-9)  # still balanced
    # and one factor alone is pool-adjacent-violators: fitted rates are means of pooled blocks
    alone = fit_frequency(cells, "age", monotone={"age": "increasing"})
    rates = alone.score(pl.DataFrame({"age": LEVELS}))["rate"].to_numpy()
    by = noisy.group_by("age").agg(pl.col("claims", "exposure").sum()).sort("age")
    from scipy.optimize import isotonic_regression

    pava = isotonic_regression(by["claims"] / by["exposure"], weights=by["exposure"].to_numpy())
    np.testing.assert_allclose(rates, pava.x, rtol=1e-9)


def test_bounds_hold_and_a_model_that_they_bind_has_no_inference(tmp_path):
    model = fit_frequency(seen(), "tier + sex", base={"tier": "a"}, bounds={"tier": (0.9, 1.1)})
    t = model.relativities("tier").filter(role="estimate")
    assert t["relativity"].to_list()[0] == pytest.approx(1.1, rel=1e-12)
    assert t["relativity"].is_between(0.9 - 1e-12, 1.1 + 1e-12).all()
    assert t["lower"].null_count() == t.height
    assert t["std_error_robust"].null_count() == t.height
    assert model.frames["tests"]["p_value"].null_count() == model.frames["tests"].height
    assert model.facts["constrained"] >= 1
    assert "tier[b]" in model.details["bound"]
    assert any("a constraint binds" in note for note in model.basis.notes)
    assert "no intervals" in model.finding("en")
    assert "不提供区间" in model.finding("zh")
    for ask in (
        model.covariance,
        lambda: model.interval(book()),
        lambda: likelihood_tests(model, seen()),
        lambda: cluster_errors(model, book().with_columns(p=pl.lit(1)), by="sex"),
    ):
        with pytest.raises(InputError, match="constraint binds"):
            ask()
    model.save(tmp_path / "m")
    assert Frequency.load(tmp_path / "m").table.equals(model.table)
    assert model.figure("zh", "tier").data


def test_constraints_that_do_not_bind_change_nothing():
    free = fit_frequency(seen(), "tier + sex + x")
    loose = fit_frequency(
        seen(), "tier + sex + x", bounds={"tier": (0.01, 100.0)}, monotone={"x": "decreasing"}
    )
    np.testing.assert_allclose(loose.coefficients, free.coefficients, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(loose.covariance("robust"), free.covariance("robust"), rtol=1e-8)
    assert loose.facts["constrained"] == 0
    assert loose.basis.fingerprint != free.basis.fingerprint


def test_a_level_without_claims_has_an_estimate_under_an_order():
    rows = book().with_columns(
        claims=pl.when(pl.col("age") == "20").then(0).otherwise("claims"),
        amount=pl.when(pl.col("age") == "20").then(0.0).otherwise("amount"),
    )
    cells = Experience.collect(rows, KEYS, amount="amount")
    with pytest.raises(InputError, match=r"age\[20\]"):
        fit_frequency(cells, "age", base={"age": "40"})
    model = fit_frequency(cells, "age", base={"age": "40"}, monotone={"age": "decreasing"})
    assert np.isfinite(model.coefficients).all()


def test_orders_hold_for_a_severity_too():
    model = fit_severity(seen(), "age", monotone={"age": "decreasing"})
    assert (np.diff(model.relativities("age")["relativity"].to_numpy()) <= 1e-12).all()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"monotone": {"teir": "increasing"}}, "did you mean 'tier'"),
        ({"monotone": {"tier": "up"}}, "neither increasing nor decreasing"),
        ({"bounds": {"tier": (1.2, 0.9)}}, "not 0 ≤ lower < upper"),
        ({"bounds": {"sex": (0.5, 2.0)}}, "in an interaction"),
        ({"bounds": {"tier": (0.5, 2.0)}, "monotone": {"tier": "increasing"}}, "both an order"),
        ({"monotone": {"ns(x, 2)": "increasing"}}, "spline"),
    ],
)
def test_constraints_that_cannot_be_held_are_refused(options, says):
    with pytest.raises(InputError, match="constraints that cannot be held") as refused:
        fit_frequency(seen(), "tier + sex * age + ns(x, 2)", **options)
    assert says in str(refused.value)


# -- elastic net ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("response", ["frequency", "severity", "pure_premium"])
def test_no_penalty_is_the_plain_fit_and_much_of_it_the_mean(response):
    fit = {
        "frequency": fit_frequency,
        "severity": fit_severity,
        "pure_premium": fit_pure_premium,
    }[response]
    plain = fit(seen(), "tier + sex + x")
    least = fit_elastic_net(seen(), "tier + sex + x", response=response, penalty=1e-9)
    assert type(least) is type(plain)
    np.testing.assert_allclose(least.coefficients, plain.coefficients, atol=1e-4)
    most = fit_elastic_net(seen(), "tier + sex + x", response=response, penalty=1e9, l1_ratio=1.0)
    assert most.facts["nonzero"] == 0
    assert most.facts["deviance_explained"] == pytest.approx(
        0, abs=1e-6 * abs(plain.facts["pearson"])
    )
    assert most.facts["aic"] is None


def test_the_penalised_optimum_equals_a_general_optimiser():
    alpha, rho = 0.01, 0.0
    model = fit_elastic_net(seen(), "tier + sex + x", penalty=alpha, l1_ratio=rho)
    x = x_of(model, book())
    e, n = (book()[c].to_numpy().astype(float) for c in ("exposure", "claims"))
    mean = (e @ x) / e.sum()
    sd = np.sqrt((e @ (x - mean) ** 2) / e.sum())
    s = np.array(
        [
            0.0 if not c.variables else 1.0 if c.levels[0] else sd[j]
            for j, c in enumerate(model.columns)
        ]
    )

    def loss(b):
        mu = e * np.exp(x @ b)
        value = (mu.sum() - n @ (x @ b)) / e.sum() + alpha / 2 * ((s * b) ** 2).sum()
        return value, x.T @ (mu - n) / e.sum() + alpha * s**2 * b

    found = minimize(loss, np.zeros(x.shape[1]), jac=True, method="BFGS", options={"gtol": 1e-10})
    np.testing.assert_allclose(model.coefficients, found.x, atol=1e-6)


def test_cross_validation_shows_its_path_and_folds_and_drops_noise():
    rng = np.random.default_rng(3)
    rows = book().with_columns(noise=pl.Series(rng.integers(0, 12, book().height)).cast(pl.String))
    cells = Experience.collect(rows, [*KEYS, "noise"], amount="amount")
    model = fit_elastic_net(cells, "tier + age + noise", l1_ratio=1.0, rule="one_se", penalties=15)
    path, folds = model.frames["path"], model.frames["folds"]
    assert path["penalty"].is_sorted(descending=True)
    assert path["nonzero"][0] == 0
    assert path["nonzero"].to_list()[-1] > path["nonzero"].to_list()[3]
    assert folds["weight"].sum() == pytest.approx(1.0)
    assert folds["cells"].sum() == cells.cells.height
    plain = fit_frequency(cells, "tier + age + noise", base=model.details["base"])
    sizes = [
        m.table.filter(role="estimate", term="noise")["coefficient"].abs() for m in (model, plain)
    ]
    assert sizes[0].sum() < 0.3 * sizes[1].sum()
    assert (sizes[0] == 0).sum() > 6
    tier = model.relativities("tier").drop_nulls("relativity")["relativity"]
    assert tier.max() / tier.min() > 1.05
    again = fit_elastic_net(cells, "tier + age + noise", l1_ratio=1.0, rule="one_se", penalties=15)
    assert again.table.equals(model.table)
    by_year = fit_elastic_net(cells, "tier + age", folds="year", penalties=6)
    assert by_year.frames["folds"]["fold"].to_list() == [f"{y}.0" for y in range(2020, 2025)]
    assert any("a penalty shrinks" in note for note in by_year.basis.notes)
    with pytest.raises(InputError, match="a penalty shrinks"):
        by_year.covariance()


def test_a_unit_of_a_covariate_changes_nothing_in_a_net():
    one = fit_elastic_net(seen(), "tier + x", penalty=0.02)
    cells = Experience.collect(book().with_columns(pl.col("x") * 1000), KEYS, amount="amount")
    other = fit_elastic_net(cells, "tier + x", penalty=0.02)
    scale = np.array([1000.0 if c.term == "x" else 1.0 for c in one.columns])
    np.testing.assert_allclose(other.coefficients * scale, one.coefficients, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"l1_ratio": 1.5}, "is not offered"),
        ({"penalty": -1.0}, "above zero"),
        ({"response": "claims"}, "is not offered"),
        ({"folds": "nokey"}, "not a key"),
        ({"folds": 1}, "2 to 50"),
        ({"response": "pure_premium", "power": 2.0}, "between 1 and 2"),
    ],
)
def test_nets_that_cannot_be_cast_are_refused(options, says):
    with pytest.raises(InputError, match=says):
        fit_elastic_net(seen(), "tier + sex", **options)


def test_a_net_of_severities_counts_the_claims_it_sets_apart():
    rows = book().with_columns(amount=pl.when(pl.col("x") == 0.5).then(0.0).otherwise("amount"))
    cells = Experience.collect(rows, KEYS, amount="amount")
    net = fit_elastic_net(cells, "tier", response="severity", penalty=0.01)
    assert net.facts["nil_claims"] == rows.filter(amount=0.0)["claims"].sum() > 0
    with pytest.raises(InputError, match="claims without an amount apart"):
        _ = fit_elastic_net(cells, "tier", penalty=0.01) * net


def test_models_saved_before_there_were_families_are_read_as_poisson():
    model = fit_frequency(seen(), "tier + sex", base={"tier": "a", "sex": "f"})
    later = ("family", "link", "scaled", "response", "offset", "weight")
    old = replace(model, details={k: v for k, v in model.details.items() if k not in later})
    assert old.score(book())["rate"].equals(model.score(book())["rate"])
    for kind in ("model", "robust", "quasi"):
        assert old.covariance(kind).tolist() == model.covariance(kind).tolist()
    rows = book().with_row_index("row")
    one, other = (cluster_errors(m, rows, by="row").covariance("cluster") for m in (old, model))
    np.testing.assert_allclose(one, other, rtol=1e-12)
    assert likelihood_tests(old, seen()).equals(likelihood_tests(model, seen()))
