"""The Poisson fit on cells against statsmodels on rows, and what must not change it."""

from functools import cache

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf

from pricing.claims.models import fit_frequency
from pricing.data.sources import Source, read_table
from pricing.errors import InputError
from pricing.estimate.design import design, parse, variables
from pricing.estimate.glm import fit_poisson
from pricing.estimate.inference import infer, wald_tests
from pricing.experience.cells import Experience

EXACT = 1e-8  # asked for; what is found is near 1e-13
COVARIATES = ["lncoins", "idp", "lpi", "fmde", "physlm", "disea", "hlthg", "hlthf", "hlthp"]


@cache
def randhie():
    return read_table(Source(loader="randhie"))


@cache
def simulated(rows=200_000, seed=20240229, dispersion=3.0):
    """Over-dispersed claims (gamma heterogeneity) over uneven exposures."""
    rng = np.random.default_rng(seed)
    age = rng.integers(0, 6, rows)
    region = rng.choice(5, rows, p=[0.4, 0.3, 0.15, 0.1, 0.05])
    tier, sex = rng.integers(0, 3, rows), rng.integers(0, 2, rows)
    steps = rng.integers(0, 8, rows) / 4 - 1
    exposure = np.where(rng.random(rows) < 0.5, 1.0, rng.uniform(0.01, 1.0, rows))
    log_rate = -1.2 + 0.15 * age + 0.2 * (region == 2) - 0.3 * (tier == 2) + 0.1 * sex
    mean = exposure * np.exp(log_rate - 0.2 * steps + 0.15 * sex * steps)
    shape = mean / (dispersion - 1)
    claims = rng.poisson(rng.gamma(shape, mean / shape))
    return pl.DataFrame(
        {
            "age": np.array(["18-29", "30-39", "40-49", "50-59", "60-69", "70+"])[age],
            "region": np.array(["北京", "上海", "广东", "山东", "四川"])[region],
            "tier": np.array(["basic", "standard", "premium"])[tier],
            "sex": np.array(["female", "male"])[sex],
            "steps": steps,
            "exposure": exposure,
            "claims": claims,
        }
    )


def small():
    return simulated(4_000, 7)


def matrix(rows, columns):
    """The row-level design, written anew from the columns' meaning."""
    x = np.ones((rows.height, len(columns)))
    for j, column in enumerate(columns):
        for name, level in zip(column.variables, column.levels, strict=True):
            values = rows[name]
            x[:, j] *= (
                values.cast(pl.Float64) if level is None else values.cast(pl.String) == level
            ).to_numpy()
    return x


def on_rows(rows, x, cov_type="nonrobust"):
    model = sm.GLM(
        rows["claims"].to_numpy(),
        x,
        family=sm.families.Poisson(),
        exposure=rows["exposure"].to_numpy(),
    )
    return model.fit(tol=1e-12, tol_criterion="params", maxiter=100, cov_type=cov_type)


def gap(ours, theirs):
    return float(np.max(np.abs(np.asarray(ours) / np.asarray(theirs) - 1)))


def gaps(rows, keys, formula, **options):
    """The largest relative difference of every figure between cells and rows."""
    model = fit_frequency(Experience.collect(rows, keys), formula, **options)
    kept = np.isfinite(model.coefficients)
    x = matrix(rows, [c for c, k in zip(model.columns, kept, strict=True) if k])
    plain, robust = on_rows(rows, x), on_rows(rows, x, "HC0")
    mu = model.score(rows, exposure="exposure")["expected"].to_numpy()
    n, e = rows["claims"].to_numpy(), rows["exposure"].to_numpy()
    se = {k: np.sqrt(np.diag(model.covariance(k))[kept]) for k in ("model", "robust", "quasi")}
    table = model.table.filter(pl.col("role") != "base", pl.col("coefficient").is_not_null())
    found = {
        "coefficients": gap(model.coefficients[kept], plain.params),
        "model errors": gap(se["model"], plain.bse),
        "robust errors": gap(se["robust"], robust.bse),
        "quasi errors": gap(se["quasi"], plain.bse * np.sqrt(plain.pearson_chi2 / plain.df_resid)),
        "model covariance": gap_of(model.covariance("model"), plain.cov_params(), kept),
        "robust covariance": gap_of(model.covariance("robust"), robust.cov_params(), kept),
        "deviance": gap(model.facts["deviance"], plain.deviance),
        "null deviance": gap(model.facts["null_deviance"], plain.null_deviance),
        "pearson": gap(model.facts["pearson"], plain.pearson_chi2),
        "log-likelihood": gap(model.facts["log_likelihood"], plain.llf),
        "aic": gap(model.facts["aic"], plain.aic),
        "bic": gap(model.facts["bic"], plain.bic_llf),
        "predictions": gap(mu, plain.mu),
        "row scores": float(np.max(np.abs(x.T @ (n - mu)) / (np.abs(x).T @ n))),
        "rate": gap(mu / e, plain.mu / e),
        "table": gap(sorted(table["coefficient"]), sorted(plain.params)),
    }
    assert model.facts["degrees_of_freedom"] == plain.df_resid
    assert model.facts["parameters"] == len(plain.params)
    return found


def gap_of(ours, theirs, kept):
    scale = np.sqrt(np.outer(np.diag(theirs), np.diag(theirs)))
    return float(np.max(np.abs(ours[np.ix_(kept, kept)] - theirs) / scale))


FITS = {
    "randhie, published covariates": (randhie, COVARIATES, " + ".join(COVARIATES), {}),
    "randhie, factors": (
        randhie,
        ["health_group", "coinsurance", "deductible", "limitation"],
        "health_group + coinsurance + deductible + limitation",
        {"base": {"health_group": "fair"}},
    ),
    "randhie, interaction and covariate": (
        randhie,
        ["health_group", "coinsurance", "limitation", "disea"],
        "health_group * disea + coinsurance * limitation",
        {},
    ),
    "200,000 rows, factors": (
        simulated,
        ["age", "region", "tier", "sex"],
        "age + region + tier + sex",
        {"base": {"region": "四川"}},
    ),
    "200,000 rows, interactions": (
        simulated,
        ["age", "region", "tier", "sex", "steps"],
        "age + region * tier + sex * steps + sex:tier:steps + tier:steps + sex:tier",
        {"errors": "quasi"},
    ),
}


@pytest.mark.parametrize("name", FITS)
def test_cells_equal_rows(name):
    rows, keys, formula, options = FITS[name]
    found = gaps(rows(), keys, formula, **options)
    print(name, {k: f"{v:.1e}" for k, v in found.items()})
    assert max(found.values()) < EXACT, found


def test_aliased_columns_are_left_out_and_the_rest_is_the_reduced_design():
    rows = small().with_columns(
        area=pl.col("region").replace(
            {"北京": "n", "上海": "n", "广东": "s", "山东": "n", "四川": "s"}
        ),
        twice=2 * pl.col("steps") + 1,
    )
    keys, formula = (
        ["region", "area", "sex", "steps", "twice"],
        "region + area + sex + steps + twice",
    )
    model = fit_frequency(Experience.collect(rows, keys), formula)
    aliased = [c.name for c, b in zip(model.columns, model.coefficients, strict=True) if b != b]
    assert len(aliased) == model.facts["aliased"] == 2
    assert [name.split("[")[0] for name in aliased] == ["area", "twice"]
    assert model.table.filter(role="aliased")["relativity"].null_count() == 2
    assert max(gaps(rows, keys, formula).values()) < EXACT
    reduced = fit_frequency(Experience.collect(rows, keys), "region + sex + steps")
    assert model.facts["deviance"] == pytest.approx(reduced.facts["deviance"], rel=1e-12)
    tests = {c.frames["tests"].filter(term="region")["chi_squared"][0] for c in (model, reduced)}
    assert max(tests) == pytest.approx(min(tests), rel=1e-9)
    assert "area" not in model.frames["tests"]["term"].to_list()


def test_a_combination_no_row_has_is_aliased_and_the_rest_equals_the_rows():
    rows = small().filter((pl.col("region") != "四川") | (pl.col("tier") != "premium"))
    model = fit_frequency(Experience.collect(rows, ["region", "tier"]), "region * tier")
    assert model.table.filter(role="aliased")["level"].to_list() == ["四川 × premium"]
    assert max(gaps(rows, ["region", "tier"], "region * tier").values()) < EXACT


@pytest.mark.parametrize(("errors", "cov_type"), [("model", "nonrobust"), ("robust", "HC0")])
def test_type_three_tests_equal_statsmodels(errors, cov_type):
    rows, keys = simulated(20_000, 5), ["age", "region", "sex", "steps"]
    base = {"age": "18-29", "region": "北京", "sex": "female"}
    model = fit_frequency(
        Experience.collect(rows, keys), "age + region + sex * steps", base=base, errors=errors
    )
    data = rows.to_pandas()
    named = {v: f"C({v}, Treatment('{at}'))" for v, at in base.items()}
    formula = "claims ~ {age} + {region} + {sex} * steps".format(**named)
    theirs = smf.glm(formula, data, family=sm.families.Poisson(), exposure=data["exposure"]).fit(
        tol=1e-12, tol_criterion="params", cov_type=cov_type
    )
    table = theirs.wald_test_terms(scalar=True).table
    names = {f"{named['sex']}:steps": "sex:steps", **{v: k for k, v in named.items()}}
    table.index = [names.get(i, i) for i in table.index]
    for row in model.frames["tests"].iter_rows(named=True):
        own = table.loc[row["term"]]
        assert row["chi_squared"] == pytest.approx(own["statistic"], rel=EXACT)
        assert row["p_value"] == pytest.approx(own["pvalue"], rel=1e-7, abs=1e-300)
        assert row["degrees_of_freedom"] == own["df_constraint"]
    assert set(model.frames["tests"]["term"]) == {"age", "region", "sex", "steps", "sex:steps"}


# -- what must not change the answer ---------------------------------------------------------

KEYS, FORMULA = ["age", "sex", "tier", "steps"], "age + sex * tier + steps"
STATISTICS = ("deviance", "null_deviance", "pearson")


def fitted(rows, **options):
    return fit_frequency(Experience.collect(rows, KEYS), FORMULA, **options)


def same(a, b, *, covariances=("model", "robust"), statistics=STATISTICS, rel=1e-9):
    np.testing.assert_allclose(a.coefficients, b.coefficients, rtol=rel, atol=1e-11)
    for kind in covariances:
        np.testing.assert_allclose(a.covariance(kind), b.covariance(kind), rtol=rel, atol=1e-13)
    for name in statistics:
        assert a.facts[name] == pytest.approx(b.facts[name], rel=rel)


def test_exposure_of_one_is_no_exposure_at_all():
    rows = small().with_columns(exposure=pl.lit(1.0))
    model = fitted(rows)
    x = matrix(rows, model.columns)
    theirs = sm.GLM(rows["claims"].to_numpy(), x, family=sm.families.Poisson()).fit(tol=1e-13)
    assert gap(model.coefficients, theirs.params) < EXACT


def test_row_order_and_copies_of_cells_change_nothing():
    rows = small()
    model = fitted(rows)
    same(model, fitted(rows.sample(fraction=1.0, shuffle=True, seed=3)))
    same(model, fitted(rows.lazy()))
    # cells one row each: the same as many rows a cell
    own = rows.with_row_index("id").with_columns(pl.col("id").cast(pl.Float64))
    same(model, fit_frequency(Experience.collect(own, [*KEYS, "id"]), FORMULA))


def test_halves_of_equal_rate_keep_estimates_deviance_and_pearson_and_halve_the_sandwich():
    """Splitting (n, e) into (n/2, e/2) twice.

    Unchanged: coefficients, model-based covariance, deviance, null deviance, Pearson χ². Changed:
    rows and so dispersion, log-likelihood (ln n! is not additive), and the robust covariance,
    which halves: Σ(n − eλ)² over two halves is half of what it was. The halves are not
    independent, so they must not be fed as rows; splitting a *period* is another matter, below.
    """
    rows = small()
    half = rows.with_columns(pl.col("claims") / 2, pl.col("exposure") / 2)
    whole, halves = fitted(rows), fitted(pl.concat([half, half]))
    same(whole, halves, covariances=("model",))
    np.testing.assert_allclose(
        halves.covariance("robust"), whole.covariance("robust") / 2, rtol=1e-9
    )
    assert halves.facts["rows"] == 2 * whole.facts["rows"]
    assert halves.facts["log_likelihood"] != pytest.approx(whole.facts["log_likelihood"], rel=1e-3)


def test_a_period_split_in_two_keeps_estimates_and_model_errors_only():
    """Splitting (n, e) into (n₁, e₁) and (n − n₁, e − e₁), as a birthday or new year does."""
    rows, rng = small(), np.random.default_rng(1)
    share = rng.uniform(0.1, 0.9, rows.height)
    first = rng.binomial(rows["claims"].to_numpy(), share)
    parts = pl.concat(
        [
            rows.with_columns(exposure=rows["exposure"] * share, claims=pl.Series(first)),
            rows.with_columns(
                exposure=rows["exposure"] * (1 - share), claims=rows["claims"] - first
            ),
        ]
    )
    whole, split = fitted(rows), fitted(parts)
    same(whole, split, covariances=("model",), statistics=())
    assert gap(split.facts["pearson"], whole.facts["pearson"]) > 0.01
    assert gap(split.facts["deviance"], whole.facts["deviance"]) > 0.01
    assert max(gaps(parts, KEYS, FORMULA).values()) < EXACT


def test_every_row_twice_halves_both_covariances_and_doubles_deviance():
    rows = small()
    once, twice = fitted(rows), fitted(pl.concat([rows, rows]))
    same(once, twice, covariances=(), statistics=())
    for kind in ("model", "robust"):
        np.testing.assert_allclose(twice.covariance(kind), once.covariance(kind) / 2, rtol=1e-9)
    for name in (*STATISTICS, "log_likelihood"):
        assert twice.facts[name] == pytest.approx(2 * once.facts[name], rel=1e-11)


def test_exposure_in_months_moves_the_intercept_alone():
    rows = small()
    years, months = fitted(rows), fitted(rows.with_columns(pl.col("exposure") * 12))
    shift = np.zeros(len(years.coefficients))
    shift[0] = np.log(12)
    np.testing.assert_allclose(months.coefficients + shift, years.coefficients, rtol=1e-9)
    for kind in ("model", "robust"):
        np.testing.assert_allclose(months.covariance(kind), years.covariance(kind), rtol=1e-8)
    for name in (*STATISTICS, "log_likelihood", "aic", "bic"):
        assert months.facts[name] == pytest.approx(years.facts[name], rel=1e-10)


def test_the_unit_of_a_covariate_moves_its_own_coefficient_alone():
    rows = small()
    one, thousand = fitted(rows), fitted(rows.with_columns(pl.col("steps") * 1000))
    at = [c.name for c in one.columns].index("steps")
    scale = np.where(np.arange(len(one.columns)) == at, 1000.0, 1.0)
    np.testing.assert_allclose(thousand.coefficients * scale, one.coefficients, rtol=1e-9)
    assert thousand.facts["deviance"] == pytest.approx(one.facts["deviance"], rel=1e-12)


def test_relativities_follow_the_base_and_nothing_else_moves():
    rows, keys = small(), ["age", "region"]
    seen = Experience.collect(rows, keys)
    a = fit_frequency(seen, "age + region", base={"age": "18-29", "region": "北京"})
    b = fit_frequency(seen, "age + region", base={"age": "70+", "region": "四川"})
    for factor in keys:
        one, other = (m.relativities(factor) for m in (a, b))
        assert one["level"].to_list() == other["level"].to_list()
        ratio = (one["relativity"] / other["relativity"]).to_numpy()
        np.testing.assert_allclose(ratio, ratio[0], rtol=1e-9)
        assert one.filter(role="base").select("relativity", "lower", "upper").row(0) == (1, 1, 1)
    for name in (*STATISTICS, "log_likelihood"):
        assert a.facts[name] == pytest.approx(b.facts[name], rel=1e-12)
    assert a.frames["tests"]["chi_squared"].to_list() == pytest.approx(
        b.frames["tests"]["chi_squared"].to_list(), rel=1e-8
    )
    np.testing.assert_allclose(a.score(rows)["rate"], b.score(rows)["rate"], rtol=1e-9)
    # between two levels that are base in one model only, the interval turns over
    up = a.relativities("age").filter(level="70+").row(0, named=True)
    down = b.relativities("age").filter(level="18-29").row(0, named=True)
    assert (up["lower"], up["upper"]) == pytest.approx((1 / down["upper"], 1 / down["lower"]))


def test_level_order_changes_the_order_of_rows_only():
    rows = small()
    turned = rows.with_columns(
        pl.col("age").cast(pl.Enum(sorted(rows["age"].unique(), reverse=True)))
    )
    a, b = fitted(rows), fitted(turned)
    columns = ["level", "relativity", "lower", "upper", "exposure", "claims"]
    one, other = (m.relativities("age").select(columns) for m in (a, b))
    assert one["level"].to_list() == other["level"].to_list()[::-1]
    for name in columns[1:]:
        np.testing.assert_allclose(one[name], other[name].reverse(), rtol=1e-9)


# -- bad formulas and fits that must be refused ------------------------------------------------


@pytest.mark.parametrize(
    ("formula", "says"),
    [
        ("sexx", "'sexx' is not a key of the experience; did you mean 'sex'?"),
        ("sex +", "cannot be read"),
        ("claims ~ sex", "without ~ or |"),
        ("sex | tier", "without ~ or |"),
        ("sex tier", "Missing operator"),
        ("0 + sex", "keeps its intercept"),
        ("sex - 1", "keeps its intercept"),
        ("sex:tier", "sex:tier needs 'tier' as a main effect"),
        ("log(steps)", "'log(steps)' is not a key"),
        ("2 * sex", "cannot be read"),
        ("性别", "'性别' is not a key"),
        (None, "cannot be read"),
    ],
)
def test_formulas_that_cannot_be_read_are_refused_in_words(formula, says):
    with pytest.raises(InputError) as refused:
        parse(formula, Experience.collect(small(), KEYS))
    assert says in str(refused.value)
    assert "\x1b" not in str(refused.value)
    assert "⧛" not in str(refused.value)


def test_formulas_are_read_as_written():
    seen = Experience.collect(small().rename({"region": "地区"}), [*KEYS, "地区"])
    assert parse("地区 + sex * tier", seen) == [("地区",), ("sex",), ("tier",), ("sex", "tier")]
    assert parse("1", seen) == parse(" ", seen) == []
    assert parse("sex + sex", seen) == [("sex",)]
    assert variables("tier + sex:tier + sex") == ("tier", "sex")


@pytest.mark.parametrize(
    ("base", "says"),
    [
        ({"age": "70-79"}, "age: base '70-79' has no exposure"),
        ({"agee": "70+"}, "agee: a base is given, but the formula has no such factor"),
        ({"steps": "1"}, "steps: a base is given"),
    ],
)
def test_an_unknown_base_is_refused(base, says):
    with pytest.raises(InputError, match="factors that cannot be fitted") as refused:
        fitted(small(), base=base)
    assert says in str(refused.value)


def test_one_level_has_nothing_to_compare():
    rows = small().with_columns(sex=pl.lit("female"))
    with pytest.raises(InputError, match="sex: only 'female' has exposure"):
        fitted(rows)


def test_all_faults_of_levels_are_said_at_once_with_their_exposure():
    rows = small().with_columns(
        claims=pl.when((pl.col("age") == "70+") | (pl.col("tier") == "basic"))
        .then(0)
        .otherwise("claims")
    )
    left = rows.group_by("age").agg(pl.col("exposure").sum()).filter(age="70+")["exposure"][0]
    with pytest.raises(InputError, match="without a claim") as refused:
        fitted(rows, base={"tier": "basic"})
    assert f"age[70+]: no claim in {left:,.1f} policy-years" in str(refused.value)
    assert "tier[basic] (base): no claim in" in str(refused.value)


@pytest.mark.parametrize("s", ["f", "m"])
@pytest.mark.parametrize("t", ["a", "b"])
def test_a_combination_without_a_claim_has_no_finite_estimate_whatever_the_base(s, t):
    """Every level has claims, one combination has none: the likelihood has no maximum."""
    rows = pl.DataFrame(
        {
            "s": [*"ffmm"] * 3,
            "t": [*"abab"] * 3,
            "exposure": [100.0] * 12,
            "claims": [0, 3, 4, 5] * 3,
        }
    )
    seen = Experience.collect(rows, ["s", "t"])
    with pytest.raises(InputError, match=r"no finite|runs away"):
        fit_frequency(seen, "s * t", base={"s": s, "t": t})
    assert fit_frequency(seen, "s + t").facts["parameters"] == 3


def test_no_claims_at_all_and_too_few_rows_are_refused():
    rows = small()
    with pytest.raises(InputError, match=r"there are no claims in [\d,.]+ policy-years"):
        fitted(rows.with_columns(claims=0))
    with pytest.raises(InputError, match="1 rows cannot carry 1 parameters"):
        fit_frequency(Experience.collect(rows.filter(pl.col("claims") > 0).head(1), ["age"]), "1")
    two = pl.DataFrame({"sex": ["f", "m"], "exposure": [1.0, 1.0], "claims": [1, 2]})
    with pytest.raises(InputError, match="2 rows cannot carry 2 parameters"):
        fit_frequency(Experience.collect(two, ["sex"]), "sex")


def test_a_hundred_thousand_levels_are_collected_and_refused_by_the_fit():
    rows = pl.DataFrame(
        {
            "plan": [f"计划{i}" for i in range(100_000)] * 2,
            "exposure": 1.0,
            "claims": [1, 0] * 100_000,
        }
    )
    seen = Experience.collect(rows, ["plan"])
    assert seen.cells.height == 100_000
    with pytest.raises(InputError, match="100,000 coefficients are more than the 2,000"):
        fit_frequency(seen, "plan")
    wide = pl.DataFrame(
        {
            "a": [f"{i}" for i in range(300)],
            "b": [f"{i}" for i in range(300)],
            "exposure": 1.0,
            "claims": 1,
        }
    )
    with pytest.raises(InputError, match="a:b: 89,401 coefficients"):
        fit_frequency(Experience.collect(wide, ["a", "b"]), "a * b")


def test_covariates_on_wild_scales_fit_or_are_refused_never_wrong():
    rng = np.random.default_rng(2)
    x = np.arange(400) / 400
    for scale in (1e-6, 1.0, 1e6, 1e9):
        rows = pl.DataFrame(
            {"x": 10 * scale + x * scale, "exposure": 1.0, "claims": rng.poisson(np.exp(x - 1))}
        )
        model = fit_frequency(Experience.collect(rows, ["x"]), "x")
        theirs = on_rows(rows.with_columns(pl.col("x") / scale), np.c_[np.ones(400), 10 + x])
        assert model.coefficients[1] * scale == pytest.approx(theirs.params[1], rel=1e-6)


def test_levels_no_row_has_are_not_in_the_model():
    rows = small().with_columns(
        pl.col("tier").cast(pl.Enum(["basic", "standard", "premium", "elite"]))
    )
    seen = Experience.collect(rows, ["tier"])
    built = design("tier", seen)
    assert built.levels["tier"] == ("basic", "standard", "premium")
    assert len(built.columns) == 3


def test_singular_tests_are_null_not_nonsense():
    """A level with one row fits it exactly: it adds nothing to the sandwich."""
    alone = small().head(1).with_columns(claims=pl.lit(2, pl.Int64))
    rows = pl.concat(
        [small().head(500), *(alone.with_columns(region=pl.lit(name)) for name in "xy")]
    )
    seen = Experience.collect(rows, ["region"])
    model = fit_frequency(seen, "region")
    assert model.frames["tests"].row(0)[2:] == (None, None)
    assert fit_frequency(seen, "region", errors="model").frames["tests"]["p_value"][0] < 1
    at_base = fit_frequency(seen, "region", base={"region": "x"}).table.row(0, named=True)
    assert at_base["std_error_robust"] is None
    width = np.log(at_base["upper"] / at_base["relativity"])  # never narrower than Poisson
    assert width == pytest.approx(1.959964 * at_base["std_error_model"], rel=1e-6)


def test_inference_pieces_agree_with_the_model():
    seen = Experience.collect(small(), ["age", "sex"])
    built = design("age + sex", seen)
    fit = fit_poisson(built, seen)
    assert fit.rate @ seen.values("exposure") == pytest.approx(seen.basis.claims, rel=1e-12)
    found = infer(built, fit, seen)
    one = wald_tests(built.columns, fit.coefficients, found.covariance_model).filter(term="sex")
    z = fit.coefficients[-1] / np.sqrt(found.covariance_model[-1, -1])
    assert one["chi_squared"][0] == pytest.approx(z * z)
