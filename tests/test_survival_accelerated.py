"""Accelerated lives: against scipy's laws, lifelines, themselves and a known truth."""

from __future__ import annotations

import warnings

import numpy as np
import polars as pl
import pytest
from scipy import stats

from pricing.errors import InputError
from pricing.result.shape import Result
from pricing.survival.accelerated import fit_aft
from pricing.survival.curve import survival_curve
from pricing.survival.lives import Lives
from pricing.verify.lifetimes import lung_weibull

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import lifelines

LAWS = ("weibull", "log_normal", "log_logistic", "exponential")
EPSILON = {
    "weibull": stats.gumbel_l,
    "exponential": stats.gumbel_l,
    "log_normal": stats.norm,
    "log_logistic": stats.logistic,
}


def drawn(law="weibull", n=1500, seed=1, sigma=0.6):
    """Lives with late entries; true effects 0.4 per unit of x, −0.5 for m, intercept 1."""
    draw = np.random.default_rng(seed)
    x, sex = draw.normal(size=n).round(1), draw.integers(0, 2, n)
    sigma = 1.0 if law == "exponential" else sigma
    noise = EPSILON[law].rvs(size=n, random_state=draw)
    time = np.exp(1.0 + 0.4 * x - 0.5 * sex + sigma * noise)
    entry, seen = draw.integers(0, 2, n) * 0.5, draw.exponential(6.0, n)
    exit = np.minimum(time, seen)
    rows = pl.DataFrame({
        "x": x, "sex": np.where(sex == 1, "m", "f"), "entry": entry, "exit": exit, "event": time <= seen,
    })  # fmt: skip
    return rows.filter(pl.col("exit") > pl.col("entry"))


def log_likelihood(law, rows, theta, weight=1.0):
    """Written apart from ours, on rows, from scipy's laws."""
    own = EPSILON[law]
    x = np.column_stack([np.ones(rows.height), rows["sex"] == "m", rows["x"]])
    center, scale = x @ theta[:3], np.exp(theta[3])
    t, a, d = (rows[n].to_numpy() for n in ("exit", "entry", "event"))
    z = (np.log(t) - center) / scale
    with np.errstate(divide="ignore"):
        late = np.where(a > 0, own.logsf((np.log(a) - center) / scale), 0.0)
    dead = own.logpdf(z) - np.log(scale) - np.log(t)
    return float(np.sum(weight * (np.where(d, dead, own.logsf(z)) - late)))


def fitted(law, rows, **options):
    return fit_aft(rows, "sex + x", law=law, entry="entry", base={"sex": "f"}, **options)


@pytest.mark.parametrize("law", LAWS)
def test_the_maximum_and_the_errors_are_those_of_scipys_laws(law):
    rows = drawn(law)
    found = fitted(law, rows)
    theta = found.parameters
    top = log_likelihood(law, rows, theta)
    assert found.facts["log_likelihood"] == pytest.approx(top, rel=1e-12)
    free = 3 if law == "exponential" else 4
    h, hessian = 1e-4, np.zeros((free, free))
    step = np.eye(4)[:free] * h

    def at(move):
        return log_likelihood(law, rows, theta + move)

    for i in range(free):
        slope = (at(step[i]) - at(-step[i])) / (2 * h)
        error = np.sqrt(found.covariance[i, i])
        assert abs(slope) * error < 1e-4
        for j in range(free):
            hessian[i, j] = (
                at(step[i] + step[j]) - at(step[i] - step[j]) - at(step[j] - step[i]) + at(-step[i] - step[j])
            ) / (4 * h * h)  # fmt: skip
    np.testing.assert_allclose(
        np.linalg.inv(-hessian), found.covariance[:free, :free], rtol=2e-3, atol=1e-8
    )
    assert found.facts["aic"] == pytest.approx(2 * free - 2 * top)
    if law == "exponential":
        assert (found.covariance[3] == 0).all()
        assert found.table.filter(role="scale").is_empty()


@pytest.mark.parametrize(
    ("law", "name"),
    [("weibull", "WeibullAFTFitter"), ("log_normal", "LogNormalAFTFitter"), ("log_logistic", "LogLogisticAFTFitter")],
)  # fmt: skip
def test_lifelines_comes_near_and_never_higher(law, name):
    rows = drawn(law, 600)
    found = fitted(law, rows)
    frame = rows.with_columns(pl.col("sex") == "m").cast({"sex": pl.Float64}).to_pandas()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = getattr(lifelines, name)().fit(frame, "exit", "event", entry_col="entry")
    first = theirs.params_.index[0][0]
    order = [(first, "Intercept"), (first, "sex"), (first, "x")]
    np.testing.assert_allclose(found.parameters[:3], theirs.params_.loc[order], atol=5e-3)
    assert found.facts["log_likelihood"] >= theirs.log_likelihood_ - 1e-9
    assert found.facts["log_likelihood"] == pytest.approx(theirs.log_likelihood_, abs=0.01)


@pytest.mark.parametrize("law", LAWS)
def test_the_truth_is_within_its_interval(law):
    found = fitted(law, drawn(law, 6000, seed=4))
    truth = np.array([1.0, -0.5, 0.4, 0.0 if law == "exponential" else np.log(0.6)])
    error = np.sqrt(np.diag(found.covariance))
    assert (np.abs(found.parameters - truth) <= 3 * error + 1e-12).all()


@pytest.mark.slow
def test_intervals_hold_the_truth_as_often_as_they_say():
    hits = []
    for seed in range(300):
        table = fitted("weibull", drawn("weibull", 400, seed=seed)).table
        row = table.filter(term="x").row(0, named=True)
        hits.append(row["lower"] <= np.exp(0.4) <= row["upper"])
    assert 0.92 <= np.mean(hits) <= 0.98


def test_the_published_weibull():
    _, printed, ours = lung_weibull()
    for name, text in printed.items():
        digits = len(text.partition(".")[2])
        assert ours[name] == pytest.approx(float(text), abs=0.5000001 * 10**-digits), name


def test_cells_order_and_pieces_make_no_difference():
    rows = drawn(n=400).with_columns(pl.col("exit").round(1) + 0.6)
    keys = ["x", "sex", "entry", "exit", "event"]
    cells = rows.group_by(keys).agg(weight=pl.len())
    assert cells.height < rows.height
    half = (pl.col("entry") + pl.col("exit")) / 2
    pieces = pl.concat(
        [rows.with_columns(exit=half, event=pl.lit(False)), rows.with_columns(entry=half)]
    )
    one = fitted("weibull", rows)
    for frame, weight in (
        (rows.sample(fraction=1.0, shuffle=True, seed=2), None),
        (cells, "weight"),
        (pieces, None),
        (rows.lazy(), None),
        (pl.concat([rows.with_columns(w=0.25), rows.with_columns(w=0.75)]), "w"),
        (pl.concat([rows.with_columns(w=1.0), rows.head(9).with_columns(w=0.0)]), "w"),
    ):
        other = fitted("weibull", frame, weight=weight)
        np.testing.assert_allclose(other.parameters, one.parameters, atol=1e-9)
        np.testing.assert_allclose(other.covariance, one.covariance, rtol=1e-7, atol=1e-12)
        assert other.facts["log_likelihood"] == pytest.approx(one.facts["log_likelihood"])
    assert fitted("weibull", rows).basis.fingerprint == one.basis.fingerprint
    assert fitted("log_normal", rows).basis.fingerprint != one.basis.fingerprint


def test_units_of_time_move_the_intercept_alone():
    rows = drawn(n=400)
    one, twelve = (
        fitted("log_logistic", rows.with_columns(pl.col("entry", "exit") * k)) for k in (1.0, 12.0)
    )
    np.testing.assert_allclose(
        twelve.parameters, one.parameters + np.array([np.log(12), 0, 0, 0]), atol=1e-8
    )
    np.testing.assert_allclose(
        twelve.frames["life"]["mean_upper"], 12 * one.frames["life"]["mean_upper"], rtol=1e-6
    )


@pytest.mark.parametrize("law", LAWS)
def test_median_mean_and_survival_of_a_pattern(law):
    found = fitted(law, drawn(law))
    at = pl.DataFrame({"sex": ["m", "f"], "x": [0.5, -1.0]})
    life = found.life(at)
    b = found.parameters
    center, scale = b[0] + b[1] * np.array([1, 0]) + b[2] * at["x"].to_numpy(), np.exp(b[3])
    np.testing.assert_allclose(
        life["median_time"], np.exp(center + scale * EPSILON[law].ppf(0.5)), rtol=1e-12
    )
    own = {
        "log_normal": stats.lognorm(s=scale), "log_logistic": stats.fisk(c=1 / scale)
    }.get(law, stats.weibull_min(c=1 / scale))  # fmt: skip
    np.testing.assert_allclose(life["mean_time"], np.exp(center) * own.mean(), rtol=1e-9)
    # the delta method against the spread of draws of the parameters
    draw = np.random.default_rng(3).multivariate_normal(b, found.covariance, 4000)
    told = (np.log(life["median_upper"]) - np.log(life["median_lower"]))[0] / 2 / 1.96
    seen = np.std(draw @ np.array([1.0, 1.0, 0.5, 0.0]) + np.exp(draw[:, 3]) * EPSILON[law].ppf(0.5))  # fmt: skip
    assert told == pytest.approx(seen, rel=0.05)
    half = found.survival(at.head(1), float(life["median_time"][0]))
    assert half["survival"][0] == pytest.approx(0.5)
    assert half["lower"][0] < 0.5 < half["upper"][0]
    curve = found.survival(at, 0.5, 1.0, 5.0)
    assert curve.height == 6
    assert ((curve["survival"] > 0) & (curve["survival"] < 1)).all()


def test_a_log_logistic_law_of_wide_scale_has_no_mean():
    found = fit_aft(drawn("log_logistic", sigma=1.4), "sex", law="log_logistic", entry="entry")
    assert found.facts["scale"] > 1
    assert found.frames["life"]["mean_time"].null_count() == 2
    assert found.frames["life"]["median_time"].null_count() == 0


def test_survival_of_all_goes_along_with_kaplan_and_meier():
    rows = drawn(n=4000)
    found = fit_aft(rows, "sex", entry="entry")
    curve = survival_curve(Lives.collect(rows.filter(sex="f"), entry="entry"))
    for time in (1.0, 2.0, 4.0):
        ours = found.survival(pl.DataFrame({"sex": ["f"]}), time)["survival"].item()
        assert ours == pytest.approx(curve.survival_at(time)["survival"].item(), abs=0.03)


def test_splines_and_interactions_are_fitted_and_scored():
    found = fit_aft(drawn(), "sex + ns(x, 3)", entry="entry")
    assert found.table.filter(role="spline").height == 3
    life = found.life(pl.DataFrame({"sex": ["f"] * 3, "x": [-1.0, 0.0, 1.0]}))["median_time"]
    assert life.is_sorted()
    both = fit_aft(drawn(), "sex * x", entry="entry")
    assert both.table["term"].to_list()[-2:] == ["sex:x", "(scale)"]


# -- edges ------------------------------------------------------------------------------------------


def test_one_life_has_an_exponential_law_and_no_other():
    one = pl.DataFrame({"exit": [2.0], "event": [True]})
    found = fit_aft(one, law="exponential")
    assert found.frames["life"]["mean_time"].item() == pytest.approx(2.0)
    for law in ("weibull", "log_normal", "log_logistic"):
        with pytest.raises(InputError, match="no maximum"):
            fit_aft(one, law=law)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"exit": pl.lit(None, pl.Float64)}, "'exit' is null, NaN or infinite in"),
        ({"exit": pl.lit(float("nan"))}, "'exit' is null, NaN or infinite"),
        ({"exit": pl.lit(float("inf"))}, "'exit' is null, NaN or infinite"),
        ({"exit": pl.col("entry")}, "'exit' is not after 'entry' in"),
        ({"entry": pl.lit(-1.0)}, "'entry' is below 0"),
        ({"entry": pl.lit(float("nan"))}, "'entry' is null, NaN or infinite"),
        ({"w": pl.lit(-1.0)}, "'w' is null, not finite or negative"),
        ({"w": pl.lit(float("nan"))}, "'w' is null, not finite or negative"),
        ({"w": pl.lit(0.0)}, "there are no lives"),
        ({"w": pl.lit("x")}, "'w' is String, not a number"),
        ({"event": pl.lit(None, pl.Boolean)}, "'event' is null in"),
        ({"event": pl.lit(2)}, "'event' is neither 0 nor 1"),
        ({"event": pl.lit("lapse")}, "make one cause of leaving an event"),
        ({"event": pl.lit(False)}, "nobody leaves among"),
        ({"sex": pl.lit(None, pl.String)}, "'sex' is null in"),
        ({"x": pl.lit(float("nan"))}, "'x' is null, NaN or infinite in"),
        ({"x": pl.lit([1])}, "neither a factor"),
        ({"sex": pl.lit("m")}, "base 'f' has no exposure"),
        ({"x": pl.lit(2.0)}, "covariates go together"),
        ({"event": pl.col("event") & (pl.col("sex") == "f")}, r"sex\[m\]: no event"),
        ({"event": pl.col("event") & (pl.col("sex") == "m")}, r"sex\[f\] \(base\): no event"),
    ],
)
def test_lives_that_cannot_be_fitted(change, said):
    rows = drawn(n=200).with_columns(w=pl.lit(1.0)).with_columns(**change)
    with pytest.raises(InputError, match=said):
        fitted("weibull", rows, weight="w")


def test_a_covariate_that_runs_away_is_refused():
    rows = drawn(n=300).with_columns(
        one=pl.int_range(pl.len()).is_in([5, 6, 7]).cast(pl.Float64)
    ).with_columns(event=pl.col("event") & (pl.col("one") == 0))  # fmt: skip
    for law in LAWS:
        with pytest.raises(InputError, match="did not converge"):
            fit_aft(rows, "one", law=law, entry="entry")


def test_every_engine_gives_the_same_fit():
    duckdb = pytest.importorskip("duckdb")
    rows = drawn(n=300)
    one = fitted("weibull", rows)
    other = fitted("weibull", duckdb.sql("select * from rows"))
    np.testing.assert_allclose(one.parameters, other.parameters, atol=1e-9)


def test_other_requests_are_refused():
    rows = drawn(n=200)
    with pytest.raises(InputError, match="did you mean 'weibull'"):
        fit_aft(rows, law="weibul")
    with pytest.raises(InputError, match="did you mean 'exit'"):
        fit_aft(rows, exit="exits")
    with pytest.raises(InputError, match="missing"):
        fit_aft(rows, "age")
    with pytest.raises(InputError, match="there are no lives"):
        fit_aft(rows.clear())
    with pytest.raises(InputError, match="confidence level"):
        fit_aft(rows, level=95)
    found = fitted("weibull", rows)
    with pytest.raises(InputError, match="'x'"):
        found.life(pl.DataFrame({"sex": ["m"]}))
    with pytest.raises(InputError, match="level the model has not seen in 1 rows: 'w'"):
        found.life(pl.DataFrame({"sex": ["w", "m"], "x": [1.0, 1.0]}))
    with pytest.raises(InputError, match="'x' is null, NaN or infinite in 1 rows"):
        found.life(pl.DataFrame({"sex": ["m"], "x": [None]}, schema_overrides={"x": pl.Float64}))
    with pytest.raises(InputError, match="'x' is String, not a number"):
        found.life(pl.DataFrame({"sex": ["m"], "x": ["1"]}))
    with pytest.raises(InputError, match="'time' has the name of a column of ours"):
        found.survival(pl.DataFrame({"sex": ["m"], "x": [1.0], "time": [1.0]}), 1.0)
    bent = fit_aft(rows, "bs(x, 4)", entry="entry")
    with pytest.raises(
        InputError, match=r"'x' lies outside .* where its spline is known, in 1 rows"
    ):
        bent.life(pl.DataFrame({"x": [0.0, 99.0]}))
    with pytest.raises(InputError, match="times lie above 0"):
        found.survival(pl.DataFrame({"sex": ["m"], "x": [1.0]}), 0.0)


def test_the_result_is_kept_and_drawn_in_both_languages(tmp_path):
    found = fitted("log_normal", drawn(n=300))
    found.save(tmp_path / "aft")
    back = Result.load(tmp_path / "aft")
    assert back.finding("zh") == found.finding("zh") != found.finding("en")
    assert "log-normal law" in found.finding()
    assert "sex: m lives" in found.finding()
    at = pl.DataFrame({"sex": ["m"], "x": [1.0]})
    assert back.life(at).equals(found.life(at))
    figure = back.figure("zh")
    assert figure.layout.yaxis.title.text == "时间比"
    assert [t.type for t in figure.data] == ["bar", "scatter"]
    assert list(found.figure().data[1].y) == pytest.approx(
        found.table.filter(~pl.col("role").is_in(["intercept", "scale"]))["time_ratio"].to_list()
    )
