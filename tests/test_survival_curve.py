"""Survival curves, life tables and log-rank tests: against lifelines, closed forms and themselves."""

from __future__ import annotations

import warnings

import numpy as np
import polars as pl
import pytest

from pricing.errors import InputError
from pricing.experience.cells import Experience
from pricing.result.shape import Result
from pricing.survival.curve import survival_curve
from pricing.survival.life_table import life_table
from pricing.survival.lives import Lives
from pricing.survival.log_rank import log_rank

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from lifelines import KaplanMeierFitter, NelsonAalenFitter
    from lifelines.statistics import multivariate_logrank_test
    from lifelines.utils import restricted_mean_survival_time


def drawn(n=400, seed=1, months=True):
    draw = np.random.default_rng(seed)
    sex, tier = draw.integers(0, 2, n), draw.integers(0, 3, n)
    entry = draw.integers(0, 5, n).astype(float)
    time = entry + 0.001 + draw.exponential(10.0 / (1 + 0.5 * sex), n)
    seen = draw.exponential(15.0, n) + entry + 0.001
    exit = np.minimum(time, seen)
    return pl.DataFrame(
        {
            "sex": np.where(sex == 1, "m", "f"),
            "tier": tier,
            "entry": entry,
            "exit": np.ceil(exit) if months else exit,
            "event": time <= seen,
        }
    )


def same(one, other, **tolerance):
    """Tables alike up to rounding: sums run in any order."""
    assert one.columns == other.columns
    assert one.height == other.height
    for name in one.columns:
        if one.schema[name].is_float():
            a, b = (f[name].fill_null(-9.0).to_numpy() for f in (one, other))
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12, **tolerance)
        else:
            assert one[name].cast(pl.String).to_list() == other[name].cast(pl.String).to_list()


# -- against lifelines ------------------------------------------------------------------------------


@pytest.mark.parametrize("months", [True, False])
@pytest.mark.parametrize("late", [True, False])
def test_kaplan_meier_is_lifelines(months, late):
    rows = drawn(months=months)
    entry = "entry" if late else None
    curve = survival_curve(Lives.collect(rows, entry=entry)).table
    given = {"entry": rows["entry"].to_numpy()} if late else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = KaplanMeierFitter().fit(rows["exit"].to_numpy(), rows["event"].to_numpy(), **given)
    at = theirs.survival_function_.loc[curve["time"].to_numpy()].to_numpy().ravel()
    np.testing.assert_allclose(curve["survival"], at, rtol=1e-11, atol=1e-13)
    ends = theirs.confidence_interval_.loc[curve["time"].to_numpy()].to_numpy()
    inside = curve["std_error"].is_not_null().to_numpy()
    np.testing.assert_allclose(curve["lower"].to_numpy()[inside], ends[inside, 0], rtol=1e-8)
    np.testing.assert_allclose(curve["upper"].to_numpy()[inside], ends[inside, 1], rtol=1e-8)


def test_nelson_aalen_is_lifelines():
    rows = drawn()
    curve = survival_curve(Lives.collect(rows, entry="entry")).table
    theirs = NelsonAalenFitter(nelson_aalen_smoothing=False).fit(
        rows["exit"].to_numpy(), rows["event"].to_numpy(), entry=rows["entry"].to_numpy()
    )
    at = theirs.cumulative_hazard_.loc[curve["time"].to_numpy()].to_numpy().ravel()
    np.testing.assert_allclose(curve["hazard"], at, rtol=1e-11)


def test_the_restricted_mean_is_lifelines():
    rows = drawn()
    found = survival_curve(Lives.collect(rows)).restricted_mean(12.0)
    theirs = KaplanMeierFitter().fit(rows["exit"].to_numpy(), rows["event"].to_numpy())
    assert found["restricted_mean"].item() == pytest.approx(
        restricted_mean_survival_time(theirs, t=12.0), rel=1e-10
    )


@pytest.mark.parametrize(
    ("test", "theirs"),
    [
        ("log_rank", {}),
        ("gehan", {"weightings": "wilcoxon"}),
        ("tarone_ware", {"weightings": "tarone-ware"}),
        ("peto", {"weightings": "peto"}),
        ("fleming_harrington", {"weightings": "fleming-harrington", "p": 0.5, "q": 1.0}),
    ],
)
def test_log_rank_tests_are_lifelines(test, theirs):
    rows = drawn()
    found = log_rank(Lives.collect(rows, ["tier"]), "tier", test=test, rho=0.5, gamma=1.0)
    other = multivariate_logrank_test(
        rows["exit"].to_numpy(), rows["tier"].to_numpy(), rows["event"].to_numpy(), **theirs
    )
    assert found.chi_squared == pytest.approx(other.test_statistic, rel=1e-9)
    assert found.p_value == pytest.approx(other.p_value, rel=1e-9)
    assert found.facts["degrees"] == 2


def test_log_rank_with_late_entries_by_hand():
    rows = pl.DataFrame({
        "entry": [0, 0, 0, 2, 2, 2], "exit": [1, 3, 4, 3, 5, 6], "event": [1, 1, 0, 1, 1, 0],
        "g": ["a", "a", "b", "b", "a", "b"],
    })  # fmt: skip
    # t: 1 (Y 3, Ya 2), 3 (Y 5, Ya 2, d 2 of which a 1), 5 (Y 2, Ya 1)
    observed, expected = 3.0, 2 / 3 + 2 * 2 / 5 + 1 / 2
    variance = 2 / 3 * 1 / 3 + 2 * 3 / 4 * (2 / 5) * (3 / 5) + 1 / 4
    found = log_rank(Lives.collect(rows, ["g"], entry="entry"), "g")
    assert found.chi_squared == pytest.approx((observed - expected) ** 2 / variance, rel=1e-12)
    assert found.table["expected_events"][0] == pytest.approx(expected)


def test_a_stratified_log_rank_adds_scores_and_variances():
    rows = drawn()
    whole = log_rank(Lives.collect(rows, ["sex", "tier"]), "sex", strata=["tier"])
    parts = [
        log_rank(Lives.collect(part, ["sex"]), "sex").details for part in rows.partition_by("tier")
    ]
    score = sum(p["score"][0] for p in parts)
    variance = sum(p["covariance"][0][0] for p in parts)
    assert whole.chi_squared == pytest.approx(score**2 / variance, rel=1e-10)


# -- closed forms -----------------------------------------------------------------------------------


def test_without_censoring_it_is_the_binomial():
    rows = pl.DataFrame({"exit": np.arange(1, 11), "event": [True] * 10})
    curve = survival_curve(Lives.collect(rows)).table[:-1]
    s = 1 - np.arange(1, 10) / 10
    np.testing.assert_allclose(curve["survival"], s)
    np.testing.assert_allclose(curve["std_error"], np.sqrt(s * (1 - s) / 10))


def test_the_restricted_mean_of_all_is_the_mean():
    rows = drawn(300).with_columns(event=pl.lit(True))
    found = survival_curve(Lives.collect(rows)).restricted_mean()
    x = rows["exit"].to_numpy()
    assert found["restricted_mean"].item() == pytest.approx(x.mean())
    assert found["std_error"].item() == pytest.approx(x.std() / np.sqrt(x.size))


def test_the_curve_meets_the_law_it_was_drawn_from():
    draw = np.random.default_rng(5)
    inside = 0
    for _ in range(200):
        t, c = draw.exponential(1.0, 80), draw.exponential(2.0, 80)
        rows = pl.DataFrame({"exit": np.minimum(t, c), "event": t <= c})
        one = survival_curve(Lives.collect(rows)).survival_at(0.7)
        inside += one["lower"].item() <= np.exp(-0.7) <= one["upper"].item()
    assert 180 <= inside <= 199  # 95% of 200, ± 3 standard errors and a bit


def test_quantiles_take_the_middle_of_a_level_stretch_and_say_what_is_not_reached():
    rows = pl.DataFrame({"exit": [1, 2, 3, 4], "event": [1, 1, 1, 0]})
    found = survival_curve(Lives.collect(rows)).quantiles(0.5, 0.6, 0.9)
    assert found["time"].to_list() == [2.5, 3.0, None]


def test_a_start_conditions_on_being_there():
    rows = drawn(months=False)
    lives = Lives.collect(rows)
    later, whole = survival_curve(lives, start=3.0), survival_curve(lives)
    ratio = [c.survival_at(8.0)["survival"].item() for c in (later, whole)]
    assert ratio[0] == pytest.approx(ratio[1] / whole.survival_at(3.0)["survival"].item())


# -- invariance -------------------------------------------------------------------------------------


def test_order_cells_and_weights_make_no_difference():
    rows = drawn()
    keys = ["sex", "tier", "entry", "exit", "event"]
    cells = rows.group_by(keys).agg(weight=pl.len())
    shuffled = rows.sample(fraction=1.0, shuffle=True, seed=3)
    first = survival_curve(Lives.collect(rows, ["sex"], entry="entry"))
    second = survival_curve(Lives.collect(shuffled, ["sex"], entry="entry"))
    third = survival_curve(Lives.collect(cells, ["sex"], entry="entry", weight="weight"))
    same(first.table, second.table)
    same(first.table, third.table)
    assert first.basis.fingerprint == second.basis.fingerprint
    tests = [
        log_rank(Lives.collect(f, ["sex"], entry="entry", weight=w), "sex").chi_squared
        for f, w in ((rows, None), (cells, "weight"))
    ]
    assert tests[0] == pytest.approx(tests[1], rel=1e-12)


def test_a_life_split_in_two_spells_is_one_life():
    rows = drawn(months=False)
    half = (rows["entry"] + rows["exit"]) / 2
    spells = pl.concat(
        [
            rows.with_columns(exit=half, event=pl.lit(False)),
            rows.with_columns(entry=half),
        ]
    )
    one = survival_curve(Lives.collect(rows, entry="entry")).table
    two = survival_curve(Lives.collect(spells, entry="entry")).table.join(
        one.select("time"), on="time", how="semi"
    )
    columns = ["time", "events", "at_risk", "survival", "std_error", "hazard"]
    same(one.select(columns), two.select(columns))


def test_weights_of_two_are_two_lives_and_books_add():
    rows = drawn().with_columns(weight=pl.lit(2.0))
    twice = Lives.collect(pl.concat([rows, rows]), ["tier"])
    weighed = Lives.collect(rows, ["tier"], weight="weight")
    once = Lives.collect(rows, ["tier"])
    same(survival_curve(twice).table, survival_curve(weighed).table)
    same(survival_curve(twice).table, survival_curve(once + once).table)
    assert twice.basis.rows == (once + once).basis.rows == 2 * weighed.basis.rows
    same(
        survival_curve(once.only()).table,
        survival_curve(Lives.collect(rows)).table,
    )


def test_units_of_time_scale_times_only():
    rows = drawn()
    one = survival_curve(Lives.collect(rows))
    other = survival_curve(Lives.collect(rows.with_columns(pl.col("exit") * 12)))
    same(one.table.drop("time"), other.table.drop("time"))
    assert other.quantiles(0.5)["time"].item() == 12 * one.quantiles(0.5)["time"].item()


# -- edges ------------------------------------------------------------------------------------------


def test_one_life():
    found = survival_curve(Lives.collect(pl.DataFrame({"exit": [2.0], "event": [True]})))
    row = found.table.row(0, named=True)
    assert (row["survival"], row["std_error"], row["lower"]) == (0.0, None, None)
    assert found.quantiles(0.5).row(0) == (0.5, 2.0, 2.0, None)
    assert found.restricted_mean()["restricted_mean"].item() == 2.0
    assert "1 left" in found.finding()


def test_all_censored_and_all_at_one_time():
    none = survival_curve(Lives.collect(pl.DataFrame({"exit": [1, 2], "event": [0, 0]})))
    assert none.table["survival"].to_list() == [1.0, 1.0]
    assert none.table["lower"].to_list() == [1.0, 1.0]
    assert none.quantiles(0.5)["time"].item() is None
    assert "100.0% are still there" in none.finding()
    assert none.restricted_mean()["std_error"].item() == 0.0
    once = survival_curve(Lives.collect(pl.DataFrame({"exit": [3] * 4, "event": [1, 1, 1, 0]})))
    assert once.table.select("at_risk", "events", "censored", "survival").row(0) == (4, 3, 1, 0.25)


def test_an_empty_risk_set_is_said():
    rows = pl.DataFrame({"entry": [0, 5], "exit": [2, 7], "event": [1, 1]})
    found = survival_curve(Lives.collect(rows, entry="entry"))
    assert (
        not found.table.select(pl.any_horizontal(pl.selectors.float().is_nan())).to_series().any()
    )
    assert found.facts["gaps"] == found.facts["used_up"] == 1
    assert "take a later start" in found.finding()
    assert "更晚的起点" in found.finding("zh")
    assert any("survival stays 0" in note for note in found.basis.notes)
    later = survival_curve(Lives.collect(rows, entry="entry"), start=5.0)
    assert later.facts["used_up"] == 0
    gap = rows.with_columns(event=pl.Series([0, 1]))
    told = survival_curve(Lives.collect(gap, entry="entry"))
    assert (told.facts["gaps"], told.facts["used_up"]) == (1, 0)
    late = rows.with_columns(entry=pl.Series([1, 1]))
    notes = survival_curve(Lives.collect(late, entry="entry")).basis.notes
    assert any("nobody is observed before 1" in note for note in notes)


def test_survival_is_not_told_after_the_last_time_observed():
    rows = pl.DataFrame({"exit": [1, 2, 1, 3], "event": [1, 0, 1, 1], "g": list("aabb")})
    found = survival_curve(Lives.collect(rows, ["g"])).survival_at(0.5, 1.5, 9.0)
    assert found["survival"].to_list() == [1.0, 0.5, None, 1.0, 0.5, 0.0]
    with pytest.raises(InputError, match="not known up to 9"):
        survival_curve(Lives.collect(rows, ["g"])).restricted_mean(9.0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"exit": pl.lit(None, pl.Float64)}, "'exit' is null, NaN or infinite in 400 of 400"),
        ({"exit": pl.lit(float("nan"))}, "'exit' is null, NaN or infinite"),
        ({"exit": pl.lit(float("inf"))}, "'exit' is null, NaN or infinite"),
        ({"exit": pl.col("entry")}, "'exit' is not after 'entry' in 400 of 400 rows"),
        ({"entry": pl.lit(-1.0)}, "'entry' is below 0"),
        ({"entry": pl.lit(float("nan"))}, "'entry' is null, NaN or infinite"),
        ({"weight": pl.lit(-1.0)}, "'weight' is null, not finite or negative in 400"),
        ({"weight": pl.lit(None, pl.Float64)}, "'weight' is null, not finite or negative"),
        ({"weight": pl.lit(float("nan"))}, "'weight' is null, not finite or negative"),
        ({"event": pl.lit(None, pl.Boolean)}, "the event is null in 400 rows"),
        ({"event": pl.lit(-1)}, "the event is below 0"),
        ({"event": pl.lit(1.0)}, "'event' is Float64"),
        ({"sex": pl.lit(None, pl.String)}, "'sex' is null in 400"),
        ({"sex": pl.lit(0.5)}, "stratum 'sex' is Float64"),
        ({"exit": pl.lit("x")}, "'exit' is String, not a number"),
        ({"weight": pl.lit(0.0)}, "there are no lives"),
    ],
)
def test_lives_that_cannot_be_followed(change, said):
    rows = drawn().with_columns(weight=pl.lit(1.0)).with_columns(**change)
    with pytest.raises(InputError, match=said):
        Lives.collect(rows, ["sex"], entry="entry", weight="weight")


def test_faults_are_counted_and_other_requests_refused():
    rows = drawn().with_columns(
        exit=pl.when(pl.int_range(pl.len()) < 3).then(0.0).otherwise("exit")
    )
    with pytest.raises(InputError, match="'exit' is not above 0 in 3 of 400 rows"):
        Lives.collect(rows)
    with pytest.raises(InputError, match="there are no lives"):
        Lives.collect(rows.clear())
    with pytest.raises(InputError, match="did you mean 'exit'"):
        Lives.collect(rows, exit="exits")
    with pytest.raises(InputError, match="no unit of time"):
        Lives.collect(rows, unit="week")
    lives = Lives.collect(drawn(), ["sex"])
    with pytest.raises(InputError, match="no interval"):
        survival_curve(lives, scale="probit")
    with pytest.raises(InputError, match="nobody is observed after"):
        survival_curve(lives, start=1e6)
    with pytest.raises(InputError, match="has one level"):
        log_rank(Lives.collect(drawn().filter(sex="m"), ["sex"]), "sex")
    with pytest.raises(InputError, match="nobody leaves"):
        log_rank(Lives.collect(drawn().with_columns(event=False), ["sex"]), "sex")
    with pytest.raises(InputError, match="do not add"):
        _ = lives + Lives.collect(drawn())


def test_every_engine_gives_the_same_lives():
    duckdb = pytest.importorskip("duckdb")
    rows = drawn()
    ours = Lives.collect(rows, ["sex"], entry="entry")
    for frame in (rows.lazy(), rows.to_arrow(), duckdb.sql("select * from rows")):
        theirs = Lives.collect(frame, ["sex"], entry="entry")
        same(ours.exits, theirs.exits)
        same(ours.entries, theirs.entries)


def test_results_are_kept_and_drawn_in_both_languages(tmp_path):
    lives = Lives.collect(drawn(), ["sex", "tier"], unit="month")
    results = [survival_curve(lives), survival_curve(lives.only("sex")), log_rank(lives, "tier")]
    for i, result in enumerate(results):
        result.save(tmp_path / str(i))
        back = Result.load(tmp_path / str(i))
        assert back.finding("zh") == result.finding("zh") != result.finding("en")
        assert back.figure("zh").layout.yaxis.title.text != back.figure().layout.yaxis.title.text
    assert len(results[0].figure().data) == 6 * 2  # no bands of six curves; six lines of numbers
    assert len(results[1].figure().data) == 2 * 4


# -- life table -------------------------------------------------------------------------------------


def table_of(q, exposure=1e7, first=0):
    ages = np.arange(first, first + len(q))
    rows = {"age": ages, "exposure": [exposure] * len(q), "claims": np.asarray(q) * exposure}
    return Experience.collect(pl.DataFrame(rows), ["age"])


def test_a_life_table_of_initial_exposure_by_hand():
    found = life_table(table_of([0.1, 0.2, 0.5]), exposure="initial", radix=1000, open_end=False)
    table = found.table
    np.testing.assert_allclose(table["l_x"], [1000, 900, 720])
    np.testing.assert_allclose(table["d_x"], [100, 180, 360])
    np.testing.assert_allclose(table["years_x"], [950, 810, 540])
    np.testing.assert_allclose(table["e_x"], [2.3, 1.5, 0.75])
    assert "initial exposure" in found.finding()


def test_central_rates_under_a_constant_force_give_back_the_exponential():
    m = 0.05
    found = life_table(table_of([m] * 30), within="constant").table
    np.testing.assert_allclose(found["e_x"], 1 / m, rtol=1e-9)
    np.testing.assert_allclose(found["q_x"][:-1], 1 - np.exp(-m))
    even = life_table(table_of([m] * 30)).table
    np.testing.assert_allclose(even["q_x"][:-1], m / (1 + m / 2))
    np.testing.assert_allclose(even["e_x"], 1 / m, rtol=1e-9)  # L = d/m, whatever the assumption
    np.testing.assert_allclose(even["d_x"].sum(), 100_000)


def test_the_error_of_the_expectation_is_that_of_simulated_tables():
    m = 0.1 * 1.1 ** np.arange(10)
    told = life_table(table_of(m, 200.0)).table["e_x_std_error"][0]
    draw = np.random.default_rng(2)
    found = [
        life_table(table_of(draw.poisson(m * 200.0) / 200.0, 200.0)).table["e_x"][0]
        for _ in range(400)
    ]
    assert told == pytest.approx(np.std(found), rel=0.12)


def test_life_tables_that_cannot_be():
    with pytest.raises(InputError, match="years without exposure after 1"):
        life_table(table_of([0.1] * 4).where(pl.col("age") != 2))
    with pytest.raises(InputError, match="no death at 2, the open end"):
        life_table(table_of([0.1, 0.1, 0.0]))
    with pytest.raises(InputError, match="more deaths than exposure at 0"):
        life_table(table_of([1.5, 0.1, 0.1]), exposure="initial")
    with pytest.raises(InputError, match="q is above 1 at 0"):
        life_table(table_of([2.5, 0.1, 0.1]))
    banded = Experience.collect(
        pl.DataFrame({"age": ["0-9"], "exposure": [1.0], "claims": [1]}), ["age"]
    )
    with pytest.raises(InputError, match="not whole years"):
        life_table(banded)


def test_a_life_table_is_drawn_and_kept(tmp_path):
    found = life_table(table_of([0.01, 0.02, 0.05], first=60))
    found.save(tmp_path / "table")
    assert Result.load(tmp_path / "table").finding("zh") == found.finding("zh")
    assert found.figure("zh").layout.yaxis.type == "log"
    assert "A life of 60" in found.finding()
