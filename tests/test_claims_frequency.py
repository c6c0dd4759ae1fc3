"""The frequency model: published figures, real books, known truth, scoring, saving."""

import json
import subprocess
import sys
from decimal import Decimal
from functools import cache

import numpy as np
import polars as pl
import pytest
import tabmat
from glum import GeneralizedLinearRegressor
from scipy.stats import binom

from pricing.claims.models import Frequency, fit_frequency
from pricing.claims.recovery import recover
from pricing.errors import InputError
from pricing.experience.bands import band
from pricing.experience.cells import Experience
from pricing.experience.views import one_way
from pricing.files import replacing
from pricing.result.shape import Result

# -- published ----------------------------------------------------------------------------------


def test_physician_visits_as_published(dataset):
    """Zeileis, Kleiber and Jackman (2008), JSS 27(8), tables 2 and 3: NMES1988, Poisson."""
    keys = ["hospital", "health", "chronic", "gender", "school", "insurance"]
    rows = dataset("NMES1988.parquet").with_columns(exposure=pl.lit(1.0))
    seen = Experience.collect(rows, keys, claims="visits")
    base = {"health": "average", "gender": "female", "insurance": "no"}
    model = fit_frequency(seen, " + ".join(keys), base=base)
    named = dict(zip((c.name for c in model.columns), model.coefficients, strict=True))
    published = {
        "(intercept)": 1.0289,
        "hospital": 0.1648,
        "health[poor]": 0.2483,
        "health[excellent]": -0.3620,
        "chronic": 0.1466,
        "gender[male]": -0.1123,
        "school": 0.0261,
        "insurance[yes]": 0.2017,
    }
    assert {name: round(float(value), 4) for name, value in named.items()} == published
    assert round(model.facts["log_likelihood"], 1) == -17971.6
    assert (model.facts["rows"], model.facts["parameters"]) == (4406, 8)


# -- a real book: 678,013 policies ----------------------------------------------------------------


@cache
def french_motor(dataset):
    return (
        dataset("freMTPL2freq.parquet")
        .select(
            claims="ClaimNb",
            exposure="Exposure",
            area="Area",
            power=pl.col("VehPower").clip(upper_bound=9).cast(pl.String),
            gas="VehGas",
            region="Region",
            age=band("DrivAge", [18, 21, 26, 31, 41, 51, 71]),
            bonus=pl.col("BonusMalus").clip(upper_bound=150),
        )
        .collect()
    )


FACTORS = ["area", "power", "gas", "region", "age"]
FORMULA = "area + power + gas + region + age + bonus"


def test_french_motor_equals_glum_on_rows_and_is_balanced(dataset):
    rows = french_motor(dataset)
    seen = Experience.collect(rows, [*FACTORS, "bonus"])
    model = fit_frequency(seen, FORMULA)
    assert seen.basis.claims == 36_102

    blocks = [tabmat.DenseMatrix(np.ones((rows.height, 1)))]
    for name in FACTORS:
        rest = [v for v in seen.levels(name) if v != model.details["base"][name]]
        codes = rows[name].replace_strict(
            {v: i for i, v in enumerate(rest)}, default=-1, return_dtype=pl.Int32
        )
        blocks.append(
            tabmat.CategoricalMatrix(
                codes.to_numpy(), np.arange(len(rest)), cat_missing_method="zero"
            )
        )
    blocks.append(tabmat.DenseMatrix(rows["bonus"].cast(pl.Float64).to_numpy()[:, None] / 100))
    x = tabmat.SplitMatrix(blocks)
    n, e = (rows[c].cast(pl.Float64).to_numpy() for c in ("claims", "exposure"))
    start = np.zeros(x.shape[1])
    start[0] = np.log(n.sum() / e.sum())
    glum = GeneralizedLinearRegressor(
        family="poisson", alpha=0, fit_intercept=False, gradient_tol=1e-8, start_params=start
    ).fit(x, n / e, sample_weight=e)
    ours = model.coefficients.copy()
    ours[-1] *= 100
    np.testing.assert_allclose(ours, glum.coef_, rtol=1e-6, atol=1e-7)

    # on rows, at our coefficients: the scores vanish and the sandwich is the one from cells
    mu = e * np.exp(x.matvec(ours))
    bread = np.linalg.inv(x.sandwich(mu))
    robust = bread @ x.sandwich((n - mu) ** 2) @ bread
    unit = np.where(np.arange(len(ours)) == len(ours) - 1, 100.0, 1.0)
    se = {k: np.sqrt(np.diag(model.covariance(k))) * unit for k in ("model", "robust")}
    gaps = {
        "score": np.max(np.abs(x.transpose_matvec(n - mu)) / x.transpose_matvec(n)),
        "model errors": np.max(np.abs(se["model"] / np.sqrt(np.diag(bread)) - 1)),
        "robust errors": np.max(np.abs(se["robust"] / np.sqrt(np.diag(robust)) - 1)),
        "pearson": abs(model.facts["pearson"] / ((n - mu) ** 2 / mu).sum() - 1),
    }
    print("freMTPL2, cells against rows:", {k: f"{v:.1e}" for k, v in gaps.items()})
    assert max(gaps.values()) < 1e-8

    scored = model.score(rows, exposure="exposure")
    assert scored["expected"].sum() == pytest.approx(36_102, rel=1e-10)
    for name in FACTORS:
        by = scored.group_by(name).agg(pl.col("claims", "expected").sum())
        np.testing.assert_allclose(by["expected"], by["claims"], rtol=1e-9)


# -- known truth ----------------------------------------------------------------------------------

TRUTH = {"tier[b]": 0.3, "tier[c]": -0.4, "sex[m]": 0.2, "band[y]": 0.5, "band[z]": 0.1}


def coverage(books, seed, rows=3_000, dispersion=3.0):
    """Share of 95 % intervals that hold the true relativity, robust and model-based."""
    rng = np.random.default_rng(seed)
    held = {"robust": 0, "model": 0, "quasi": 0}
    for _ in range(books):
        tier, sex, band = (
            rng.integers(0, 3, rows),
            rng.integers(0, 2, rows),
            rng.integers(0, 3, rows),
        )
        exposure = np.where(rng.random(rows) < 0.5, 1.0, rng.uniform(0.02, 1.0, rows))
        log_rate = -0.7 + np.array([0, 0.3, -0.4])[tier] + 0.2 * sex + np.array([0, 0.5, 0.1])[band]
        mean = exposure * np.exp(log_rate)
        claims = rng.poisson(rng.gamma(mean / (dispersion - 1), dispersion - 1))
        frame = pl.DataFrame(
            {
                "tier": np.array(["a", "b", "c"])[tier],
                "sex": np.array(["f", "m"])[sex],
                "band": np.array(["x", "y", "z"])[band],
                "exposure": exposure,
                "claims": claims,
            }
        )
        model = fit_frequency(
            Experience.collect(frame, ["tier", "sex", "band"]),
            "tier + sex + band",
            base={"tier": "a", "sex": "f", "band": "x"},
        )
        truth = np.array([TRUTH[c.name] for c in model.columns[1:]])
        for kind in held:
            se = np.sqrt(np.diag(model.covariance(kind)))[1:]
            held[kind] += int((np.abs(model.coefficients[1:] - truth) < 1.959964 * se).sum())
    return {kind: n / (books * len(TRUTH)) for kind, n in held.items()}


def test_intervals_hold_the_truth_as_often_as_they_say():
    books = 60
    found = coverage(books, seed=1)
    print(f"coverage over {books} books:", found)
    # intervals of one book are nearly independent; allow two a thousand either way
    low, high = binom.ppf([0.001, 0.999], books * len(TRUTH), 0.95) / (books * len(TRUTH))
    assert low <= found["robust"] <= high
    assert low <= found["quasi"] <= high
    assert found["model"] < 0.85


@pytest.mark.slow
def test_intervals_hold_the_truth_over_400_books():
    found = coverage(400, seed=2)
    print("coverage over 400 books:", found)
    assert 0.91 <= found["robust"] <= 0.985
    assert found["model"] < 0.80


def test_without_over_dispersion_every_error_covers():
    found = coverage(25, seed=3, rows=2_000, dispersion=1.0 + 1e-6)
    assert min(found.values()) > 0.89


# -- scoring --------------------------------------------------------------------------------------


def book(rows=3_000, seed=6):
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "sex": rng.choice(["female", "male"], rows),
            "tier": rng.choice(["基础", "标准", "高端"], rows),
            "age": rng.integers(20, 30, rows).astype(float),
            "smoker": rng.random(rows) < 0.3,
            "exposure": rng.uniform(0.1, 1.0, rows),
            "claims": rng.poisson(0.8, rows),
        }
    )


KEYS = ["sex", "tier", "age", "smoker"]


@cache
def model():
    return fit_frequency(Experience.collect(book(), KEYS), "sex * tier + age * smoker")


def test_scoring_is_the_sum_of_its_relativities():
    at = dict(zip((c.name for c in model().columns), model().coefficients, strict=True))
    base = model().details["base"]
    for row in model().score(book().head(50)).iter_rows(named=True):
        smoker = "yes" if row["smoker"] else "no"
        total = 0.0
        for c in model().columns:
            ours = {**row, "smoker": smoker}
            here = [
                ours[v] == x if x else ours[v] for v, x in zip(c.variables, c.levels, strict=True)
            ]
            total += at[c.name] * float(np.prod(here))
        assert row["rate"] == pytest.approx(np.exp(total), rel=1e-12)
    assert set(base) == {"sex", "tier", "smoker"}


@pytest.mark.parametrize(
    "kind", [pl.String, pl.Categorical, pl.Enum(["标准", "高端", "基础", "至尊"])]
)
def test_scoring_takes_any_type_of_factor_and_lazy_frames(kind):
    rows = book()
    plain = model().score(rows, exposure="exposure")
    typed = rows.with_columns(
        pl.col("tier").cast(kind),
        pl.col("age").cast(pl.Int64).cast(pl.Decimal(5, 1)),
        smoker=pl.when("smoker").then(pl.lit("yes")).otherwise(pl.lit("no")),
    )
    for frame in (typed, typed.lazy()):
        scored = model().score(frame, exposure="exposure")
        assert isinstance(scored, type(frame))
        scored = scored.lazy().collect()
        np.testing.assert_allclose(scored["rate"], plain["rate"], rtol=1e-13)
        np.testing.assert_allclose(scored["expected"], plain["rate"] * rows["exposure"], rtol=1e-13)
    assert scored.height == rows.height
    assert model().score(rows.clear()).is_empty()


def test_what_cannot_be_scored_is_counted_and_shown():
    rows = (
        book()
        .head(10)
        .with_columns(
            tier=pl.Series(["至尊", "至尊", "钻石", None, *["标准"] * 6]),
            age=pl.Series([None, float("nan"), float("inf"), *[25.0] * 7]),
            exposure=pl.Series([0.0, -1.0, None, float("nan"), *[1.0] * 6]),
        )
    )
    for frame in (rows, rows.lazy()):
        with pytest.raises(InputError, match="rows that the model cannot score") as refused:
            model().score(frame, exposure="exposure")
        faults = {fault.split(":")[0]: fault for fault in refused.value.faults}
        assert set(faults) == {"tier", "age", "exposure"}
        assert faults["tier"].startswith("tier: 4 rows, such as")
        assert all(repr(name) in faults["tier"] for name in ("至尊", "钻石"))
        assert faults["age"].startswith("age: 3 rows, such as")
        assert faults["exposure"].startswith("exposure: 4 rows, such as")
    assert rows.select(model().rate()).to_series().is_null().to_list()[:4] == [True] * 4


def test_words_in_a_number_and_missing_columns_are_refused():
    rows = book().head(3)
    with pytest.raises(InputError, match="age: 1 rows, such as 'old'"):
        model().score(rows.with_columns(age=pl.Series(["25", "old", "26"])))
    with pytest.raises(InputError, match="exposure: 3 rows, such as 'x'"):
        model().score(rows.with_columns(exposure=pl.lit("x")), exposure="exposure")
    with pytest.raises(InputError, match="'expo'; did you mean 'exposure'"):
        model().score(rows, exposure="expo")
    with pytest.raises(InputError, match=r"2 column\(s\) are missing"):
        model().score(rows.drop("age", "tier"))


def test_a_level_without_exposure_is_unknown_to_the_model():
    kind = pl.Enum(["female", "male", "other"])
    rows = book().with_columns(pl.col("sex").cast(kind))
    fit = fit_frequency(Experience.collect(rows, ["sex"]), "sex")
    assert fit.relativities("sex")["level"].to_list() == ["female", "male"]
    with pytest.raises(InputError, match="sex: 1 rows, such as 'other'"):
        fit.score(pl.DataFrame({"sex": ["female", "other"]}))


def test_without_holds_a_factor_and_its_interactions_at_base():
    rows = book()
    base = model().details["base"]["tier"]
    held = rows.with_columns(tier=pl.lit(base)).select(model().rate()).to_series()
    np.testing.assert_allclose(rows.select(model().rate(without="tier"))["rate"], held, rtol=1e-13)
    zero = rows.with_columns(age=pl.lit(0.0)).select(model().rate()).to_series()
    np.testing.assert_allclose(rows.select(model().rate(without="age"))["rate"], zero, rtol=1e-13)
    with pytest.raises(InputError, match="'teir' is not in the model; did you mean 'tier'"):
        model().rate(without="teir")


def test_an_intercept_alone_scores_and_names_the_mean():
    rows = book()
    for formula in ("1", ""):
        fit = fit_frequency(Experience.collect(rows, ["sex"]), formula)
        mean = rows["claims"].sum() / rows["exposure"].sum()
        assert fit.score(rows)["rate"].unique().to_list() == pytest.approx([mean], rel=1e-12)
        assert fit.score(rows, exposure="exposure")["expected"].sum() == pytest.approx(
            rows["claims"].sum()
        )
        assert fit.facts["deviance"] == pytest.approx(fit.facts["null_deviance"], rel=1e-12)
        assert fit.frames["tests"].is_empty()


# -- the table --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("errors", "level"), [("robust", 0.95), ("model", 0.9), ("quasi", 0.99)])
def test_the_table_is_the_coefficients(errors, level):
    from scipy.stats import norm

    seen = Experience.collect(book(), KEYS)
    fit = fit_frequency(seen, "tier + age", errors=errors, level=level)
    se, z = np.sqrt(np.diag(fit.covariance(errors))), norm.ppf(0.5 + level / 2)
    table = fit.table.filter(pl.col("role") != "base")
    by_name = {
        ("tier", c.levels[0]) if c.levels and c.levels[0] else (c.term, ""): j
        for j, c in enumerate(fit.columns)
    }
    for row in table.iter_rows(named=True):
        j = by_name[row["term"], row["level"]]
        b = fit.coefficients[j]
        assert row["relativity"] == pytest.approx(np.exp(b), rel=1e-12)
        assert (row["lower"], row["upper"]) == pytest.approx(
            (np.exp(b - z * se[j]), np.exp(b + z * se[j])), rel=1e-12
        )
    for row in fit.relativities("tier").iter_rows(named=True):
        own = book().filter(tier=row["level"])
        assert row["exposure"] == pytest.approx(own["exposure"].sum(), rel=1e-12)
        assert row["claims"] == own["claims"].sum()
    assert fit.relativities("tier")["level"].to_list() == seen.levels("tier")
    with pytest.raises(InputError, match="'teir' is not in the model"):
        fit.relativities("teir")


def test_errors_and_levels_that_are_not_offered_are_refused():
    seen = Experience.collect(book(), KEYS)
    for options in ({"errors": "hc3"}, {"level": 0.0}, {"level": 1.0}, {"level": 95}):
        with pytest.raises(InputError, match="is not offered"):
            fit_frequency(seen, "sex", **options)


def test_the_fingerprint_is_of_data_and_settings():
    seen = Experience.collect(book(), KEYS)
    prints = [
        fit_frequency(seen, "sex").basis.fingerprint,
        fit_frequency(seen, "tier").basis.fingerprint,
        fit_frequency(seen, "sex", base={"sex": "male"}).basis.fingerprint,
        fit_frequency(seen, "sex", base={"sex": "female"}).basis.fingerprint,
        fit_frequency(seen, "sex", errors="model").basis.fingerprint,
        fit_frequency(seen, "sex", level=0.9).basis.fingerprint,
        fit_frequency(seen.where(pl.col("age") > 21), "sex").basis.fingerprint,
    ]
    assert len(set(prints)) == len(prints) - 1  # one of the bases is the default
    shuffled = Experience.collect(book().sample(fraction=1, shuffle=True, seed=2), KEYS)
    assert fit_frequency(shuffled, "sex").basis.fingerprint == prints[0]


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_figure_draws_the_relativities(lang):
    figure = model().figure(lang, "tier")
    rows = model().relativities("tier")
    assert list(figure.data[1].y) == rows["relativity"].to_list()
    assert list(figure.data[0].y) == rows["exposure"].to_list()
    assert model().finding(lang)


# -- saved and loaded ---------------------------------------------------------------------------------


def test_a_model_comes_back_bit_for_bit_as_json_and_parquet(tmp_path):
    path = tmp_path / "model"
    rows = book().with_columns(copy=pl.col("age") * 2)
    fit = fit_frequency(Experience.collect(rows, [*KEYS, "copy"]), "sex * tier + age + copy")
    fit.save(path)
    assert sorted(p.name for p in path.iterdir()) == [
        "result.json",
        "table.parquet",
        "tests.parquet",
    ]
    text = (path / "result.json").read_text(encoding="utf-8")
    assert "高端" in text
    assert json.loads(text)["kind"] == "frequency"
    assert not any(b"\x80\x04" in p.read_bytes()[:16] for p in path.iterdir())  # a pickle begins so
    for back in (Frequency.load(path), Result.load(path)):
        assert type(back) is Frequency
        assert back.coefficients.tobytes() == fit.coefficients.tobytes()
        assert np.isnan(back.coefficients).sum() == 1
        for kind in ("model", "robust", "quasi"):
            assert back.covariance(kind).tobytes() == fit.covariance(kind).tobytes()
        assert back.table.equals(fit.table)
        assert back.frames["tests"].equals(fit.frames["tests"])
        assert (back.basis, back.facts, back.details) == (fit.basis, fit.facts, fit.details)
        assert back.columns == fit.columns
        assert back.score(rows)["rate"].equals(fit.score(rows)["rate"])
        assert back.finding("zh") == fit.finding("zh")
    fit.save(path)  # over itself
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_a_saved_model_is_not_something_else(tmp_path):
    one_way(Experience.collect(book(), ["sex"]), "sex").save(tmp_path / "view")
    with pytest.raises(InputError, match="holds a one_way result, not a frequency"):
        Frequency.load(tmp_path / "view")


def test_a_model_loads_in_a_fresh_process(tmp_path):
    model().save(tmp_path / "model")
    code = (
        "import sys; from pricing.claims.models import Frequency; "
        "print(Frequency.load(sys.argv[1]).coefficients.tobytes().hex())"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "model")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert out.stdout.strip() == model().coefficients.tobytes().hex()


def test_a_killed_save_leaves_the_last_good_model(tmp_path):
    path = tmp_path / "model"
    model().save(path)
    before = {p.name: p.read_bytes() for p in path.iterdir()}

    def killed():
        with replacing(path) as beside:
            beside.mkdir()
            (beside / "result.json").write_text("half", encoding="utf-8")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed()
    assert {p.name: p.read_bytes() for p in path.iterdir()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


# -- against the truth ----------------------------------------------------------------------------------


def test_recovery_counts_what_it_says():
    rng = np.random.default_rng(12)
    rows = book(20_000).with_columns(
        true=pl.col("exposure") * pl.when(pl.col("sex") == "male").then(0.9).otherwise(0.6)
    )
    rows = rows.with_columns(claims=pl.Series(rng.poisson(rows["true"].to_numpy())))
    fit, truth = (
        fit_frequency(
            Experience.collect(rows, ["sex", "tier"], claims=c),
            "sex + tier",
            base={"sex": "female"},
        )
        for c in ("claims", "true")
    )
    found = recover(fit, truth)
    sex = found.table.filter(term="sex").row(0, named=True)
    assert sex["truth"] == pytest.approx(1.5, rel=1e-10)
    assert found.facts["inside"] == found.table["inside"].sum()
    assert found.facts["estimates"] == 3
    assert found.finding("en").startswith(f"{found.facts['inside']} of 3")
    with pytest.raises(InputError, match="do not have the same coefficients"):
        recover(fit, fit_frequency(Experience.collect(rows, ["sex"]), "sex"))


def test_money_as_decimal_is_scored_as_a_number():
    rows = pl.DataFrame(
        {"fee": [Decimal("0.5"), Decimal("1.5"), Decimal("2.5")] * 40, "exposure": 1.0}
    ).with_columns(claims=pl.Series([1, 0, 2] * 40))
    fit = fit_frequency(Experience.collect(rows, ["fee"]), "fee")
    assert fit.score(rows)["rate"].sum() == pytest.approx(120.0, rel=1e-10)


def test_a_level_with_a_single_row_is_not_taken_for_certain():
    rows = pl.DataFrame(
        {"g": ["a"] * 200 + ["b"], "exposure": [1.0] * 201, "claims": [1, 2] * 100 + [2]}
    )
    b = fit_frequency(Experience.collect(rows, ["g"]), "g").relativities("g").row(1, named=True)
    assert b["std_error_robust"] < b["std_error_model"]  # the sandwich sees no spread in one row
    assert b["upper"] / b["relativity"] == pytest.approx(np.exp(1.959964 * b["std_error_model"]))
