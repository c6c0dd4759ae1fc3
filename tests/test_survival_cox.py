"""Cox regression: rows against lifelines and statsmodels, cells against rows, pieces against lives."""

from __future__ import annotations

import warnings

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm

from pricing.errors import InputError
from pricing.result.shape import Result
from pricing.survival.competing import cumulative_incidence
from pricing.survival.cox import fit_cox
from pricing.survival.fine_gray import fine_gray_rows, fit_fine_gray
from pricing.survival.lives import Lives
from pricing.survival.partial_likelihood import maximum
from pricing.survival.proportional_hazards import proportional_hazards
from pricing.survival.risk_sets import RiskSets, Spelling
from pricing.survival.score_residuals import residuals

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from lifelines import CoxPHFitter
    from lifelines.statistics import proportional_hazard_test

FORMULA = "tier + age"
X = ["tier_b", "tier_c", "age"]


def drawn(n=600, seed=3, months=True, beta=(0.4, -0.5, 0.03)):
    draw = np.random.default_rng(seed)
    tier = draw.choice(["a", "b", "c"], n, p=[0.5, 0.3, 0.2])
    age = draw.integers(30, 60, n).astype(float)
    eta = beta[0] * (tier == "b") + beta[1] * (tier == "c") + beta[2] * (age - 45)
    entry = draw.integers(0, 4, n).astype(float)
    gone = entry + draw.exponential(8.0, n) * np.exp(-eta) + 0.001
    seen = entry + draw.exponential(12.0, n) + 0.001
    exit = np.minimum(gone, seen)
    return pl.DataFrame({
        "tier": tier, "age": age, "sex": draw.choice(["f", "m"], n), "entry": entry,
        "exit": np.ceil(exit) if months else exit, "event": gone <= seen,
        "weight": draw.uniform(0.5, 2.0, n), "person": draw.integers(0, n // 3, n),
    }).with_columns(pl.col("tier").cast(pl.Enum(["a", "b", "c"])))  # fmt: skip


def fit(rows, formula=FORMULA, **given):
    return fit_cox(rows, formula, base={"tier": "a"} if "tier" in formula else None, **given)


def theirs(rows, *extra, **given):
    frame = rows.select(
        "exit", "age", pl.col("event").cast(pl.Int64), *extra,
        tier_b=(pl.col("tier") == "b").cast(pl.Float64), tier_c=(pl.col("tier") == "c").cast(pl.Float64),
    ).to_pandas()  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = {"precision": 1e-12, "r_precision": 1e-14}
        return CoxPHFitter().fit(
            frame, "exit", "event", formula=" + ".join(X), fit_options=options, **given
        )


def same(ours, lifelines, rtol=1e-7):
    np.testing.assert_allclose(ours.coefficients, lifelines.params_[X], rtol=rtol, atol=1e-9)
    np.testing.assert_allclose(
        np.sqrt(np.diag(ours.covariance())), lifelines.standard_errors_[X], rtol=rtol
    )
    assert ours.log_likelihood == pytest.approx(lifelines.log_likelihood_, rel=1e-9)


@pytest.mark.parametrize("months", [True, False])
def test_efron_is_lifelines(months):
    rows = drawn(months=months)
    ours, other = fit(rows), theirs(rows)
    same(ours, other)
    chi = other.log_likelihood_ratio_test().test_statistic
    assert ours.frames["fit_tests"]["chi_squared"][0] == pytest.approx(chi, rel=1e-8)
    np.testing.assert_allclose(
        ours.table.filter(pl.col("role") != "base")["p_value"], other.summary.loc[X, "p"], rtol=1e-6
    )


def test_strata_are_lifelines():
    rows = drawn()
    same(fit(rows, strata=["sex"]), theirs(rows, "sex", strata=["sex"]))


@pytest.mark.parametrize("strata", [[], ["sex"]])
def test_late_entries_are_lifelines(strata):
    rows = drawn()
    extra = ["entry", *strata]
    given = {"strata": strata} if strata else {}
    same(fit(rows, entry="entry", strata=strata), theirs(rows, *extra, entry_col="entry", **given))


def test_case_weights_are_lifelines():
    rows = drawn()
    other = theirs(rows, "weight", weights_col="weight")
    same(fit(rows, weight="weight"), other)


def test_errors_clustered_by_person_are_lifelines():
    rows = drawn(months=False)
    same(fit(rows, cluster="person"), theirs(rows, "person", cluster_col="person"), rtol=1e-6)
    same(fit(rows, errors="robust"), theirs(rows, robust=True), rtol=1e-6)
    both = fit(rows, cluster="person", weight="weight")
    same(both, theirs(rows, "person", "weight", cluster_col="person", weights_col="weight"), 1e-6)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("given", [{}, {"strata": ["sex"]}, {"entry": "entry"}])
def test_both_ties_are_statsmodels(ties, given):
    rows = drawn()
    # statsmodels has an entry at t at risk at t: ours enter half a month later
    x = np.column_stack([rows["tier"] == "b", rows["tier"] == "c", rows["age"]]).astype(float)
    strata = rows["sex"].to_numpy() if "strata" in given else None
    entry = rows["entry"].to_numpy() + 0.5 if "entry" in given else None
    model = sm.PHReg(
        rows["exit"].to_numpy(), x, rows["event"].to_numpy().astype(int), ties=ties, strata=strata,
        entry=entry,
    )  # fmt: skip
    found = fit(rows, ties=ties, **given)
    np.testing.assert_allclose(model.score(found.coefficients), 0.0, atol=1e-6)
    assert model.loglike(found.coefficients) == pytest.approx(found.log_likelihood, rel=1e-10)
    np.testing.assert_allclose(
        np.linalg.inv(-model.hessian(found.coefficients)), found.covariance(), rtol=1e-7
    )


def test_score_test_of_one_factor_is_the_log_rank_test_without_ties():
    from pricing.survival.log_rank import log_rank

    rows = drawn(months=False)
    score = fit(rows, "tier").frames["fit_tests"]["chi_squared"][2]
    test = log_rank(Lives.collect(rows.cast({"tier": pl.String}), ["tier"]), "tier")
    assert score == pytest.approx(test.chi_squared, rel=1e-9)


def test_published_regressions():
    from pricing.verify.figures import figures
    from pricing.verify.hazards import lung_regression, prisoners

    names = [*prisoners()[1], *lung_regression()[1]]
    found = {f.name: f for f in figures("survival")}
    assert len(names) == 22
    assert [name for name in names if not found[name].ok] == []


# -- cells, pieces, order ---------------------------------------------------------------------------


def alike(one, other, rtol=1e-10):
    np.testing.assert_allclose(one.coefficients, other.coefficients, rtol=rtol, atol=1e-12)
    np.testing.assert_allclose(one.covariance(), other.covariance(), rtol=10 * rtol)
    assert one.log_likelihood == pytest.approx(other.log_likelihood, rel=rtol)
    np.testing.assert_allclose(
        one.frames["baseline"]["hazard"], other.frames["baseline"]["hazard"], rtol=10 * rtol
    )


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("errors", ["model", "robust"])
@pytest.mark.parametrize("entry", [None, "entry"])
def test_cells_of_lives_are_the_rows(ties, errors, entry):
    rows = drawn(2000).with_columns(pl.col("age").floordiv(10) * 10)
    keys = ["tier", "age", "sex", "exit", "event", *([entry] if entry else [])]
    cells = rows.group_by(keys).agg(many=pl.len())
    assert cells.height < 0.7 * rows.height
    given = {"ties": ties, "errors": errors, "strata": ["sex"], "entry": entry}
    one, other = fit(rows, **given), fit(cells, lives="many", **given)
    alike(one, other)
    assert other.table["events"].sum() == one.table["events"].sum()


@pytest.mark.parametrize("errors", ["model", "robust"])
def test_two_lives_written_once_are_two_rows(errors):
    rows = drawn(300)
    alike(
        fit(pl.concat([rows, rows]), weight="weight", errors=errors),
        fit(rows.with_columns(two=2), lives="two", weight="weight", errors=errors),
    )


def test_lives_and_weights_differ_where_deaths_tie():
    rows = drawn(300).with_columns(two=2)
    assert fit(rows, lives="two").log_likelihood != pytest.approx(
        fit(rows.with_columns(two=2.0), weight="two").log_likelihood, rel=1e-6
    )
    breslow = [fit(rows, ties="breslow", **{how: "two"}) for how in ("lives", "weight")]
    np.testing.assert_allclose(breslow[0].covariance(), breslow[1].covariance(), rtol=1e-9)


def test_lives_of_zero_are_not_there():
    rows = drawn(300).with_columns(many=pl.lit(1))
    none = rows.with_columns(many=pl.lit(0), exit=pl.col("exit") + 40)
    alike(fit(rows), fit(pl.concat([rows, none]), lives="many"))


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_split_at_a_time_and_put_in_another_order_it_stays(ties):
    rows = drawn().with_row_index("life")
    first = rows.filter(pl.col("exit") > 5).with_columns(
        entry=pl.min_horizontal("entry", pl.lit(4.0)), exit=pl.lit(5.0), event=pl.lit(False)
    )
    later = rows.filter(pl.col("exit") > 5).with_columns(entry=pl.lit(5.0))
    first = first.with_columns(pl.col("entry"))
    pieces = pl.concat([rows.filter(pl.col("exit") <= 5), first, later])
    pieces = pieces.filter(pl.col("entry") < pl.col("exit")).sample(
        fraction=1, shuffle=True, seed=1
    )
    rows = rows.with_columns(
        entry=pl.when(pl.col("exit") > 5)
        .then(pl.min_horizontal("entry", pl.lit(4.0)))
        .otherwise("entry")
    )
    for given in ({}, {"strata": ["sex"]}, {"cluster": "life"}):
        whole = fit(rows, entry="entry", ties=ties, **given)
        cut = fit(pieces, entry="entry", ties=ties, **given)
        alike(whole, cut)
        x = rows[:5]
        assert whole.predict(x.select("tier", "age", "sex"), [3, 9])["survival"].to_list() == (
            pytest.approx(cut.predict(x.select("tier", "age", "sex"), [3, 9])["survival"].to_list())
        )


def test_order_and_unit_of_time_change_nothing():
    rows = drawn()
    days = rows.with_columns(pl.col("exit") * 30.4375)
    one = fit(rows)
    other = fit(days.sample(fraction=1, shuffle=True, seed=2), unit="day")
    np.testing.assert_allclose(one.coefficients, other.coefficients, rtol=1e-10)
    assert fit(rows[::-1]).basis.fingerprint == one.basis.fingerprint
    assert one.basis.fingerprint != fit(rows, ties="breslow").basis.fingerprint
    assert one.basis.fingerprint != fit(drawn(seed=4)).basis.fingerprint


def test_a_lazy_frame_a_relation_and_booleans_are_the_same():
    import duckdb

    rows = drawn().with_columns(smoker=pl.col("sex") == "m").cast({"tier": pl.String})
    one = fit(rows, "tier + age + smoker")
    alike(one, fit(rows.lazy(), "tier + age + smoker"))
    lives_table = rows.to_arrow()  # noqa: F841
    alike(one, fit(duckdb.sql("select * from lives_table"), "tier + age + smoker"), 1e-9)


def test_many_ties_in_chunks_are_the_same(monkeypatch):
    from pricing.survival import partial_likelihood, score_residuals

    rows = drawn(1500)
    one = fit(rows, strata=["sex"], errors="robust")
    monkeypatch.setattr(partial_likelihood, "AT_ONCE", 7)
    monkeypatch.setattr(score_residuals, "NUMBERS", 30)
    alike(one, fit(rows, strata=["sex"], errors="robust"))


@pytest.mark.parametrize("entry", [None, "entry"])
def test_matched_sets_are_summed_at_once_to_the_same(monkeypatch, entry):
    from pricing.survival import risk_sets

    rows = drawn(900).with_columns(region=pl.col("person") % 40)
    one = fit(rows, strata=["sex", "region"], entry=entry)
    monkeypatch.setattr(risk_sets, "MANY_STRATA", 0)
    alike(one, fit(rows, strata=["sex", "region"], entry=entry))


def test_more_patterns_than_can_be_held_are_refused(monkeypatch):
    from pricing.survival import risk_sets

    monkeypatch.setattr(risk_sets, "MOST_NUMBERS", 100)
    with pytest.raises(
        InputError, match="patterns of covariates × 4 coefficients are more than the 100"
    ):
        fit(drawn(200))


# -- residuals, robust errors -----------------------------------------------------------------------


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_a_score_residual_is_the_derivative_by_the_weight(ties):
    rows = drawn(60)
    at = fit(rows, weight="weight", ties=ties, entry="entry")
    spelling = Spelling(entry="entry", weight="weight", cluster="row")
    numbered = rows.with_row_index("row").with_columns(pl.col("row").cast(pl.Int64))
    sets = RiskSets.collect(numbered, FORMULA, spelling, base={"tier": "a"})
    found = maximum(sets, ties)
    dfbeta = residuals(found, sets) * found.scale @ found.covariance
    own = dict(zip(sets.cells["g"].to_list(), dfbeta, strict=True))
    h = 1e-4
    for row in (0, 7, 23, 41):
        moved = [
            fit(
                rows.with_row_index("row").with_columns(
                    weight=pl.col("weight") + pl.when(pl.col("row") == row).then(s * h).otherwise(0.0)
                ),
                weight="weight", ties=ties, entry="entry",
            ).coefficients
            for s in (1, -1)
        ]  # fmt: skip
        np.testing.assert_allclose(
            (moved[0] - moved[1]) / (2 * h), own.get(row, 0.0), rtol=2e-5, atol=1e-8
        )
    assert at.log_likelihood == pytest.approx(found.fitted.value, rel=1e-12)


# -- baseline and prediction ------------------------------------------------------------------------


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_the_baseline_is_the_sum_over_rows(ties):
    """Death by death, in plain Python."""
    rows = drawn(150)
    cox = fit(rows, ties=ties, entry="entry", weight="weight")
    who = pl.DataFrame({"tier": ["b"], "age": [50.0]})
    rate = (
        np.exp((cox.values(rows) - cox.values(who)) @ cox.coefficients) * rows["weight"].to_numpy()
    )
    entry, exit, died = (rows[n].to_numpy() for n in ("entry", "exit", "event"))
    total, times, expected = 0.0, np.unique(exit[died]), []
    for t in times:
        dying, there = died & (exit == t), rate[(entry < t) & (exit >= t)].sum()
        many, weight = dying.sum(), rows["weight"].to_numpy()[dying].mean()
        share = 0.0 if ties == "breslow" else 1 / many
        total += weight * sum(
            1 / (there - place * share * rate[dying].sum()) for place in range(many)
        )
        expected.append(total)
    np.testing.assert_allclose(cox.predict(who, times)["hazard"], expected, rtol=1e-10)


def test_without_effects_the_hazard_and_its_error_are_nelson_aalens():
    from pricing.survival.curve import survival_curve

    # a covariate that is balanced at every time has no effect at all
    rows = drawn(200, months=False).with_columns(sex=pl.lit("f"))
    both = pl.concat([rows, rows.with_columns(sex=pl.lit("m"))])
    cox = fit(both, "sex", ties="breslow")
    assert cox.coefficients[0] == pytest.approx(0.0, abs=1e-12)
    curve = survival_curve(Lives.collect(both)).table.filter(pl.col("events") > 0)
    path = cox.frames["baseline"].filter(pl.col("events") > 0)
    np.testing.assert_allclose(path["hazard"], curve["hazard"], rtol=1e-10)


def test_the_interval_of_a_prediction_is_the_delta_method():
    """The cumulative hazard's derivative by β, numerically, and its own variance."""
    rows = drawn(400)
    cox = fit(rows)
    who = pl.DataFrame({"tier": ["b"], "age": [50.0]})
    at = cox.predict(who, [6.0], scale="plain").row(0, named=True)
    spelling = Spelling()
    sets = RiskSets.collect(rows, FORMULA, spelling, base={"tier": "a"})
    found = maximum(sets)
    from pricing.survival.partial_likelihood import Likelihood

    def hazard(beta):
        like = Likelihood.at(beta * found.scale, found.z, sets, "efron")
        x = (cox.values(who)[0] - found.mean) @ beta
        return np.exp(x - like.shift) * like.sums["q0"][sets.times["time"].to_numpy() <= 6].sum()

    def by(j):
        step = np.zeros(3)
        step[j] = 1e-6
        return (hazard(cox.coefficients + step) - hazard(cox.coefficients - step)) / 2e-6

    slope = np.array([by(j) for j in range(3)])
    assert hazard(cox.coefficients) == pytest.approx(at["hazard"], rel=1e-10)
    like = found.fitted
    x = (cox.values(who)[0] - found.mean) @ cox.coefficients
    own = np.exp(2 * (x - like.shift)) * like.sums["c2"][sets.times["time"].to_numpy() <= 6].sum()
    error = np.sqrt(own + slope @ cox.covariance() @ slope) * at["survival"]
    assert at["std_error"] == pytest.approx(error, rel=1e-5)
    assert at["upper"] - at["lower"] == pytest.approx(2 * 1.959964 * error, rel=1e-5)


def test_prediction_stops_where_observation_stops():
    rows = drawn(200)
    cox = fit(rows, strata=["sex"])
    last = rows.group_by("sex").agg(pl.col("exit").max()).sort("sex")["exit"].to_list()
    who = pl.DataFrame({"tier": ["a", "a"], "age": [45, 45], "sex": ["f", "m"]})
    for end, own in zip(last, who.partition_by("sex"), strict=True):
        found = cox.predict(own, [0.0, end, end + 0.1])
        assert found["survival"][0] == 1.0
        assert found["survival"][1] < 1.0
        assert found["survival"][2] is None


def test_splines_and_interactions_predict_as_they_fit():
    rows = drawn()
    cox = fit(rows, "tier * age + ns(age, 3)".replace("* age + ns(age, 3)", "+ sex + ns(age, 3)"))
    sets = RiskSets.collect(rows, "tier + sex + ns(age, 3)", Spelling(), base={"tier": "a"})
    again = cox.values(sets.patterns.select("tier", "sex", "age"))
    np.testing.assert_allclose(again, sets.x, atol=1e-12)
    crossed = fit(rows, "tier * age")
    assert crossed.frames["tests"]["term"].to_list() == ["tier", "age", "tier:age"]


# -- known truth ------------------------------------------------------------------------------------


def test_intervals_cover_the_truth():
    truth, inside, seeds = np.array([0.4, -0.5, 0.03]), np.zeros(3), 60
    for seed in range(seeds):
        cox = fit(drawn(400, seed=1000 + seed), entry="entry")
        error = np.sqrt(np.diag(cox.covariance()))
        inside += np.abs(cox.coefficients - truth) < 1.96 * error
    assert (inside / seeds > 0.86).all()


def test_fine_gray_of_one_factor_follows_the_shares_by_cause():
    draw = np.random.default_rng(8)
    n = 2500
    group = draw.choice(["a", "b"], n)
    # Fine and Gray's own construction: the share that leaves by 1 is 1 − (1 − p(1 − e^{−t}))^{e^{xβ}}
    p, effect = 0.5, np.exp(0.6 * (group == "b"))
    ends = 1 - (1 - p) ** effect
    first = draw.uniform(size=n) < ends
    u = draw.uniform(size=n)
    time = np.where(
        first, -np.log(1 - (1 - (1 - u * ends) ** (1 / effect)) / p), draw.exponential(1.0, n)
    )
    censored = draw.uniform(0.2, 4.0, n)
    cause = np.where(time > censored, None, np.where(first, "claim", "lapse"))
    rows = pl.DataFrame({
        "group": group, "exit": np.minimum(time, censored), "event": pl.Series(cause, dtype=pl.String),
    })  # fmt: skip
    found = fit_fine_gray(rows, "group", "claim", base={"group": "a"})
    assert abs(found.coefficients[0] - 0.6) < 3 * np.sqrt(found.covariance()[0, 0])
    naive = fit_cox(rows, "group", cause="claim", base={"group": "a"})
    assert naive.coefficients[0] != pytest.approx(found.coefficients[0], abs=1e-3)
    shares = cumulative_incidence(Lives.collect(rows, ["group"])).incidence_at(2.0)
    shares = shares.filter(pl.col("cause") == "claim").sort("group")["incidence"].to_numpy()
    said = found.predict(pl.DataFrame({"group": ["a", "b"]}), [2.0])["survival"].to_numpy()
    np.testing.assert_allclose(1 - said, shares, atol=0.02)


def test_fine_gray_is_lifelines_on_its_rows_and_its_errors_those_of_lives_left_out():
    draw = np.random.default_rng(5)
    n = 40
    rows = pl.DataFrame({
        "age": draw.normal(50, 8, n), "exit": np.ceil(draw.exponential(5, n)),
        "event": draw.choice([0, 1, 2], n, p=[0.3, 0.4, 0.3]),
    })  # fmt: skip
    found = fit_fine_gray(rows, "age", "1")
    written = fine_gray_rows(rows, "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other = CoxPHFitter().fit(
            written.with_columns(pl.col("event").cast(pl.Int64)).to_pandas(), "exit", "event",
            entry_col="entry", weights_col="weight", formula="age", fit_options={"precision": 1e-12},
        )  # fmt: skip
    # lifelines stops a little before the maximum here
    assert found.coefficients[0] == pytest.approx(other.params_["age"], rel=1e-5)
    assert found.basis.rows == n
    with pytest.raises(InputError, match="the frame is a LazyFrame"):
        fit_fine_gray(rows.lazy(), "age", "1")

    def moved(life, by):
        share = pl.when(pl.col("row") == life).then(1 + by).otherwise(1.0)
        again = written.with_columns(pl.col("weight") * share)
        return fit_cox(again, "age", entry="entry", weight="weight").coefficients[0]

    slopes = [(moved(life, 1e-4) - moved(life, -1e-4)) / 2e-4 for life in range(n)]
    assert found.covariance()[0, 0] == pytest.approx(float(np.square(slopes).sum()), rel=1e-5)


# -- proportional hazards ---------------------------------------------------------------------------


@pytest.mark.parametrize("transform", ["identity", "log", "rank"])
def test_the_average_information_is_lifelines(transform):
    rows = drawn(months=False)
    other = theirs(rows)
    frame = rows.select(
        "exit", "age", pl.col("event").cast(pl.Int64),
        tier_b=(pl.col("tier") == "b").cast(pl.Float64), tier_c=(pl.col("tier") == "c").cast(pl.Float64),
    ).to_pandas()  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        test = proportional_hazard_test(other, frame, time_transform=transform)
    plain = rows.with_columns(
        tier_b=(pl.col("tier") == "b").cast(pl.Float64), tier_c=(pl.col("tier") == "c").cast(pl.Float64)
    )  # fmt: skip
    found = proportional_hazards(
        fit_cox(plain, " + ".join(X)), plain, transform=transform, variance="average"
    ).table
    expected = test.summary.loc[X, "test_statistic"].to_numpy()
    np.testing.assert_allclose(found["chi_squared"][:3], expected, rtol=1e-6)


def test_kaplan_and_meier_place_a_time_by_what_left_before_it():
    from pricing.survival.curve import survival_curve

    rows = drawn()
    cox = fit(rows, "age", entry="entry", strata=["sex"])
    own = proportional_hazards(cox, rows).frames["residuals"]
    curve = survival_curve(Lives.collect(rows, entry="entry")).table
    before = curve.with_columns(left=1 - pl.col("survival").shift(1, fill_value=1.0))
    found = own.join(before, on="time", how="left", maintain_order="left")
    gap = (found["place_in_time"] - found["left"]).to_numpy()
    np.testing.assert_allclose(gap, gap[0], atol=1e-12)
    deaths = own["events"].to_numpy()
    assert deaths @ own["place_in_time"].to_numpy() == pytest.approx(0.0, abs=1e-9)


def test_the_exact_test_is_the_score_test_of_a_changing_effect():
    """Rows split at every time with age·g(t) beside: the score at no change, by statsmodels."""
    rows = drawn(150)
    cox = fit(rows, "age", ties="breslow")
    found = proportional_hazards(cox, rows, transform="identity").table
    times = rows.filter("event")["exit"].unique().sort().to_numpy()
    before = np.append(0.0, times[:-1])
    split = rows.join(pl.DataFrame({"from": before, "to": times}), how="cross").filter(
        pl.col("exit") >= pl.col("to")
    )
    split = split.with_columns(
        died=pl.col("event") & (pl.col("exit") == pl.col("to")), change=pl.col("age") * pl.col("to")
    )
    model = sm.PHReg(
        split["to"].to_numpy(), split.select("age", "change").to_numpy().astype(float),
        split["died"].to_numpy().astype(int), entry=split["from"].to_numpy() + 0.5, ties="breslow",
    )  # fmt: skip
    at = np.array([cox.coefficients[0], 0.0])
    score, information = model.score(at), -model.hessian(at)
    chi = score[1] ** 2 / (information[1, 1] - information[0, 1] ** 2 / information[0, 0])
    assert found["chi_squared"][0] == pytest.approx(chi, rel=1e-6)


def test_an_effect_that_fades_is_found_and_one_that_stays_is_not():
    draw = np.random.default_rng(2)
    n = 3000
    group = draw.choice(["a", "b"], n)
    # in group b three times the hazard for a year, then the same
    first = draw.exponential(np.where(group == "b", 1 / 0.9, 1 / 0.3))
    time = np.where(first < 1, first, 1 + draw.exponential(1 / 0.3, n))
    rows = pl.DataFrame({"group": group, "exit": np.minimum(time, 4.0), "event": time < 4.0})
    faded = proportional_hazards(fit_cox(rows, "group"), rows)
    assert faded.p_value < 1e-6
    assert "not proportional" in faded.finding()
    assert "风险不成比例" in faded.finding("zh")
    steady = drawn(1500)
    kept = proportional_hazards(fit(steady), steady)
    assert kept.p_value > 0.01
    curve = faded.frames["smooth"]["log_hazard_ratio"]
    assert abs(curve[0]) > abs(curve[-1])
    with pytest.raises(InputError, match="not the rows the model was fitted on"):
        proportional_hazards(fit(steady), steady[1:])
    with pytest.raises(InputError, match="no transform 'identiti'; did you mean 'identity'"):
        proportional_hazards(fit(steady), steady, transform="identiti")
    with pytest.raises(InputError, match="no coefficient"):
        kept.figure(coefficient="tear")
    assert kept.figure("zh").data


# -- the result -------------------------------------------------------------------------------------


def test_saved_and_loaded_it_predicts_and_speaks(tmp_path):
    rows = drawn()
    cox = fit(rows, "tier + ns(age, 3)", strata=["sex"], cluster="person")
    cox.save(tmp_path / "cox")
    back = Result.load(tmp_path / "cox")
    who = rows[:4].select("tier", "age", "sex")
    assert back.predict(who, [3.0]).equals(cox.predict(who, [3.0]))
    assert back.relative_hazard(who).equals(cox.relative_hazard(who))
    test = proportional_hazards(back, rows)
    test.save(tmp_path / "test")
    assert Result.load(tmp_path / "test").finding() == test.finding()
    assert "stratified by" in cox.finding()
    assert "分层" in cox.finding("zh")
    assert "robust" in " ".join(cox.basis.notes)
    assert cox.covariance("model").shape == (5, 5)
    base = cox.table.filter(pl.col("role") == "base")
    assert base.select("term", "level", "hazard_ratio").rows() == [("tier", "a", 1.0)]
    for factor in (None, "tier"):
        for lang in ("en", "zh"):
            assert cox.figure(lang, factor).data
    with pytest.raises(InputError, match="no term 'teir'; did you mean 'tier'"):
        cox.figure(factor="teir")
    with pytest.raises(InputError, match="no 'robust' errors here"):
        fit(rows).covariance("robust")


def test_causes_are_named_or_numbered():
    rows = drawn().with_columns(
        cause=pl.when("event").then(
            pl.when(pl.col("age") > 45).then(pl.lit("death")).otherwise(pl.lit("lapse"))
        ),
    )
    numbered = rows.with_columns(
        cause=pl.col("cause").replace_strict({"death": 1, "lapse": 2}, default=0)
    )
    one = fit_cox(rows, "tier", event="cause", cause="lapse")
    alike(one, fit_cox(numbered, "tier", event="cause", cause="2"))
    alike(fit_cox(rows, "tier"), fit_cox(rows, "tier", event="cause"))
    with pytest.raises(InputError, match="nobody leaves by 'lapsed'; did you mean 'lapse'"):
        fit_cox(rows, "tier", event="cause", cause="lapsed")


# -- bad input --------------------------------------------------------------------------------------


def test_rows_out_of_their_domain_are_counted():
    rows = drawn(50).with_row_index("i")
    at = pl.col("i")
    bad = rows.with_columns(
        exit=pl.when(at == 0).then(None).when(at == 1).then(float("nan")).otherwise("exit"),
        entry=pl.when(at == 2).then(-1.0).when(at == 3).then(99.0).otherwise("entry"),
        age=pl.when(at == 4).then(float("inf")).otherwise("age"),
        weight=pl.when(at == 5).then(0.0).when(at == 6).then(None).otherwise("weight"),
        event=pl.when(at == 7).then(None).otherwise("event"),
        many=pl.when(at == 8).then(1.5).otherwise(1.0),
        tier=pl.when(at == 9).then(None).otherwise("tier"),
    )
    with pytest.raises(InputError) as told:
        fit_cox(bad, FORMULA, entry="entry", weight="weight", lives="many")
    said = str(told.value)
    for what in (
        "'exit' is null, NaN or infinite in 2 of 50", "'entry' is below 0 in 1", "'exit' is not after 'entry' in 1",
        "'age' is null, NaN or infinite in 1", "'weight' is null, not finite or not above 0 in 2",
        "'event' is null in 1", "'many' is null, negative or not whole in 1", "'tier' is null",
    ):  # fmt: skip
        assert what in said, what


@pytest.mark.parametrize(
    "change, given, what",
    [
        ({"exit": pl.lit("x")}, {}, "'exit' is String, not a number"),
        ({"event": pl.lit(1.0)}, {}, "'event' is Float64: neither yes or no"),
        ({"event": pl.lit(False)}, {}, "nobody leaves"),
        ({"event": pl.lit(-1)}, {}, "'event' is below 0 in 60 of 60"),
        ({"exit": pl.lit(0.0)}, {}, "'exit' is not above 0 in 60 of 60"),
        ({}, {"ties": "exact"}, "no ties 'exact'"),
        ({}, {"errors": "robus"}, "no errors 'robus'; did you mean 'robust'"),
        ({}, {"unit": "week"}, "no unit of time 'week'"),
        ({}, {"level": 95}, "confidence level lies between"),
        ({}, {"cluster": "person", "errors": "model"}, "know no clusters"),
        ({}, {"strata": ["tier"]}, "both a stratum and in the formula"),
        ({}, {"strata": ["weight"]}, "'weight' is Float64: neither"),
        ({}, {"entry": "entr"}, "entr"),
        ({}, {"cause": "1x"}, "nobody leaves by '1x'"),
        ({}, {"base": {"tier": "z"}}, "z"),
    ],
)
def test_what_cannot_serve_is_refused(change, given, what):
    with pytest.raises(InputError, match=what):
        fit_cox(drawn(60).with_columns(**change), FORMULA, **given)


@pytest.mark.parametrize("formula", ["", "1", "tier + exit", "tier + nothing"])
def test_a_formula_that_says_nothing_of_the_rows_is_refused(formula):
    with pytest.raises(InputError):
        fit_cox(drawn(60), formula)


def test_no_rows_are_refused():
    with pytest.raises(InputError, match="there are no rows"):
        fit_cox(drawn(60).clear(), FORMULA)


def test_a_level_nobody_leaves_is_named():
    rows = drawn().with_columns(event=pl.col("event") & (pl.col("tier") != "c"))
    with pytest.raises(InputError, match=r"tier\[c\]: nobody leaves in"):
        fit(rows)
    with pytest.raises(InputError, match=r"tier\[c\] \(base\): nobody leaves in"):
        fit_cox(rows, FORMULA, base={"tier": "c"})


def test_a_column_others_span_is_named():
    rows = drawn().with_columns(
        months=12 * pl.col("age") + 1, tier_too=pl.col("tier").cast(pl.String) + "2"
    )
    with pytest.raises(InputError, match="months: spanned by those before it"):
        fit_cox(rows, "age + months")
    with pytest.raises(InputError, match=r"tier_too\[[abc]2\]: spanned"):
        fit_cox(rows, "tier + tier_too")
    with pytest.raises(InputError, match=r"tier_too\[[abc]2\]: the same within every risk set"):
        fit_cox(rows, "age + tier_too", strata=["tier"])


def test_a_likelihood_without_a_maximum_is_named():
    rows = pl.DataFrame({
        "exit": [1, 2, 3, 4, 5, 6, 7, 8], "event": [1, 1, 1, 1, 0, 0, 0, 0],
        "age": [80, 75, 70, 65, 60, 50, 40, 30], "sex": ["f", "m", "f", "m"] * 2,
    })  # fmt: skip
    with pytest.raises(InputError, match="no maximum") as told:
        fit_cox(rows, "age")
    assert "age runs away" in str(told.value)
    # a level that leaves only where nobody else is at risk beside it, and first
    rows = rows.with_columns(
        group=pl.Series(["a"] * 4 + ["b"] * 4), event=pl.Series([1] * 5 + [0] * 3)
    )
    with pytest.raises(InputError, match=r"group\[[ab]\] runs away"):
        fit_cox(rows, "group")


def test_rows_that_cannot_be_predicted_are_refused():
    cox = fit(drawn(), strata=["sex"])
    good = pl.DataFrame({"tier": ["a"], "age": [40], "sex": ["f"]})
    for change, what in (
        ({"tier": pl.lit("z")}, "'tier' is outside"), ({"age": pl.lit(None, pl.Int64)}, "'age' is outside"),
        ({"age": pl.lit("x")}, "'age' is String"), ({"sex": pl.lit("x")}, "strata without a baseline"),
        ({"time": pl.lit(1)}, "name of ours"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=what):
            cox.predict(good.with_columns(**change), [1.0])
    for times in ([], [-1.0], [float("nan")], ["x"]):
        with pytest.raises(InputError, match="times are"):
            cox.predict(good, times)
    with pytest.raises(InputError, match="no interval"):
        cox.predict(good, [1.0], scale="logit")
