"""Panels: exact derivatives, the likelihood by brute force, known truth, and every refusal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.integrate import quad
from scipy.linalg import expm, expm_frechet

from pricing.errors import InputError
from pricing.multistate.effects import panel_effects, period_labels
from pricing.multistate.exponential import differences, exponentials, second_differences, series
from pricing.multistate.graph import state_graph
from pricing.multistate.likelihood import PanelLikelihood
from pricing.multistate.panel import PanelModel, fit_panel, panel_log_likelihood
from pricing.multistate.prevalence import prevalence
from pricing.multistate.stays import stays, transition_probabilities
from pricing.multistate.visits import read_visits
from pricing.result.shape import Result
from pricing.result.words import catalogue
from pricing.verify.figures import figures

ILLNESS = state_graph({"well": ["ill", "dead"], "ill": ["well", "dead"]}, ["well", "ill", "dead"])
TRUTH = {
    ("well", "ill"): 0.3,
    ("well", "dead"): 0.05,
    ("ill", "well"): 0.4,
    ("ill", "dead"): 0.2,
}


def simulate(persons, seed, *, visits=6, gap=0.9, effect=0.0, exact=True, after=None, even=False):
    """Visits of illness and death; `effect` is the log hazard ratio of men falling ill."""
    draw = np.random.default_rng(seed)
    rows = []
    for person in range(persons):
        sex = "m" if person % 2 else "f"
        times = np.cumsum(np.append(0.0, draw.uniform(0.5, 1.5, visits - 1) * gap))
        times = np.arange(float(visits)) if even else times
        path, now, state = [(0.0, "well")], 0.0, "well"
        while state != "dead" and now < times[-1]:
            rates = {
                b: q * (np.exp(effect) if (a, b, sex) == ("well", "ill", "m") else 1.0)
                for (a, b), q in TRUTH.items()
                if a == state
            }
            factor = after[1] if after and now >= after[0] else 1.0
            wait = draw.exponential(1 / (sum(rates.values()) * factor))
            if after and now < after[0] < now + wait:
                now = after[0]
                continue
            now += wait
            state = str(
                draw.choice(list(rates), p=np.array(list(rates.values())) / sum(rates.values()))
            )
            path.append((now, state))
        died = path[-1][0] if path[-1][1] == "dead" else np.inf
        for t in times:
            if t >= died and exact:
                break
            found = [s for at, s in path if at <= t][-1]
            rows.append((person, float(t), found, sex))
            if found == "dead":
                break
        if exact and died <= times[-1]:
            rows.append((person, float(died), "dead", sex))
    return pl.DataFrame(rows, schema=["person", "time", "state", "sex"], orient="row")


def brute(rows, graph, rates, *, exact=(), censored=None, breaks=(), factors=None):
    """The likelihood person by person from scipy's expm, over every state not known."""
    q = graph.matrix(np.array([rates[m] for m in graph.moves]))
    codes = {s: [s] for s in graph.states} | dict(censored or {})
    edges = [-np.inf, *breaks, np.inf]
    factors = factors or [1.0]

    def p(a, b):
        found = np.eye(len(q))
        for k, factor in enumerate(factors):
            years = min(b, edges[k + 1]) - max(a, edges[k])
            found = found @ (expm(q * factor * years) if years > 0 else np.eye(len(q)))
        return found

    total = 0.0
    for _, life in rows.sort("person", "time").group_by("person", maintain_order=True):
        t, s = life["time"].to_list(), life["state"].to_list()
        weight = np.array([float(x == s[0]) for x in graph.states])
        for a, b, end in zip(t, t[1:], s[1:], strict=False):
            weight = weight @ p(a, b)
            if end in exact:
                k = next(i for i in range(len(factors)) if edges[i] < b <= edges[i + 1])
                into = q[:, graph.states.index(end)] * factors[k]
                into[graph.states.index(end)] = 0.0
                hit = float(weight @ into)
                weight = np.array([hit * (x == end) for x in graph.states])
            else:
                weight = weight * np.array([float(x in codes[end]) for x in graph.states])
        total += np.log(weight.sum())
    return total


def likelihood(rows, graph=ILLNESS, *, formula="", share=None, **options):
    names = ["sex"] if formula else []
    v = read_visits(rows, graph, covariates=names, **options)
    e = panel_effects(v, formula, share=share)
    return PanelLikelihood(
        v.graph, e.group, v.years, v.start, v.allowed, v.exact, v.first, v.length, e.design, e.free
    )


def unknown(rows, share, seed=5):
    """Replace some states of living lives, never the first, by the code 'alive'."""
    draw = np.random.default_rng(seed).uniform(size=rows.height) < share
    first = pl.col("person").is_first_distinct()
    return rows.sort("person", "time").with_columns(
        state=pl.when(pl.Series(draw) & ~first & (pl.col("state") != "dead"))
        .then(pl.lit("alive"))
        .otherwise("state")
    )


ALIVE = {"alive": ["well", "ill"]}


# -- matrix exponentials ----------------------------------------------------------------------------


def test_divided_differences_are_those_of_bidiagonal_exponentials():
    values = np.array([0.0, 1e-9, 0.05, -0.1, -0.3, -3.0, -3.00001, 0.2])
    first, second = differences(values), second_differences(values)
    for i in range(len(values)):
        for j in range(len(values)):
            for k in range(len(values)):
                whole = expm(np.diag(values[[i, k, j]]) + np.diag([1.0, 1.0], 1))
                assert second[i, k, j] == pytest.approx(whole[0, 2], rel=1e-9)
                assert first[i, k] == pytest.approx(whole[0, 1], rel=1e-9)


def test_exponentials_are_scipys_with_and_without_sound_eigenvectors():
    draw = np.random.default_rng(2)
    sound = draw.uniform(0, 2, (20, 4, 4))
    sound -= np.eye(4) * np.diagonal(sound, axis1=1, axis2=2)[:, None, :]
    sound -= np.eye(4) * sound.sum(axis=2)[:, :, None]
    chain = np.diag([-0.7, -0.7, -0.7, 0.0]) + np.diag([0.7] * 3, 1)  # one eigenvector for three
    for q in [*sound, chain]:
        for t in (0.0, 1e-8, 0.5, 30.0):
            assert exponentials(q[None], np.array([t]))[0] == pytest.approx(expm(q * t), abs=1e-11)


def test_the_derivative_of_the_series_is_frechets():
    draw = np.random.default_rng(3)
    a, e = draw.normal(size=(5, 3, 3)), draw.normal(size=(5, 2, 3, 3))
    value, slope = series(3 * a, e)
    for n in range(5):
        for d in range(2):
            whole, moved = expm_frechet(3 * a[n], e[n, d])
            assert value[n] == pytest.approx(whole, rel=1e-10, abs=1e-10)
            assert slope[n, d] == pytest.approx(moved, rel=1e-9, abs=1e-9)


# -- likelihood -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"exact": ["dead"]},
        {"exact": ["dead"], "censored": ALIVE},
        {"censored": ALIVE},
        {"exact": ["dead"], "breaks": [1.3, 2.9], "factors": [1.0, 1.7, 0.6]},
        {"exact": ["dead"], "censored": ALIVE, "breaks": [2.0], "factors": [1.0, 2.0]},
    ],
)
def test_the_likelihood_is_that_of_brute_force(options):
    rows = simulate(40, 1)
    rows = unknown(rows, 0.3) if "censored" in options else rows
    want = brute(rows, ILLNESS, TRUTH, **options)
    factors = options.pop("factors", [1.0])
    one = likelihood(rows, share={"time_period": "equal"} if len(factors) > 1 else None, **options)
    at = np.append(np.log([TRUTH[m] for m in ILLNESS.moves]), np.log(factors[1:]))
    assert one.at(at).value == pytest.approx(want, rel=1e-11)
    if len(factors) == 1:
        assert panel_log_likelihood(rows, ILLNESS, TRUTH, **options) == pytest.approx(
            want, rel=1e-11
        )


@pytest.mark.parametrize(
    "options",
    [
        {"exact": ["dead"], "formula": "sex"},
        {
            "formula": "sex",
            "share": {"sex": [[("well", "ill")], [("well", "dead"), ("ill", "dead")]]},
        },
        {"exact": ["dead"], "censored": ALIVE, "formula": "sex"},
        {"exact": ["dead"], "breaks": [2.0]},
    ],
)
@pytest.mark.parametrize("same", [False, True])
def test_score_and_hessian_are_the_differences_of_value_and_score(options, same):
    rows = simulate(60, 2)
    rows = unknown(rows, 0.3) if "censored" in options else rows
    one = likelihood(rows, **options)
    at = np.random.default_rng(4).normal(-1.0, 0.4, one.free.shape[1])
    if same:  # no recovery to speak of, equal ways out: eigenvectors that are nearly dependent
        at[:] = 0.0
        at[: len(ILLNESS.moves)] = np.log([0.2, 0.1, 1e-14, 0.3])
    found, h = one.at(at), 1e-5
    assert np.isfinite(found.value)
    for j in range(len(at)):
        move = np.eye(len(at))[j] * h
        up, down = one.at(at + move), one.at(at - move)
        assert found.score[j] == pytest.approx((up.value - down.value) / (2 * h), abs=5e-5)
        assert found.hessian[j] == pytest.approx((up.score - down.score) / (2 * h), abs=5e-4)


def test_a_matrix_without_sound_eigenvectors_gives_the_same():
    graph = state_graph([("a", "b"), ("b", "c"), ("c", "d")])
    draw = np.random.default_rng(6)
    rows = pl.DataFrame(
        [
            (p, float(t), "abcd"[min(3, int(s))])
            for p in range(50)
            for t, s in enumerate(np.cumsum(np.append(0, draw.uniform(size=4) < 0.5)))
        ],
        schema=["person", "time", "state"],
        orient="row",
    )
    one = likelihood(rows, graph)
    equal = np.log([0.5, 0.5, 0.5])
    want = brute(rows, graph, dict.fromkeys(graph.moves, 0.5))
    assert one.at(equal).value == pytest.approx(want, rel=1e-11)
    near = one.at(equal + np.array([0.0, 1e-3, 2e-3]))
    assert one.at(equal).score == pytest.approx(near.score, abs=0.2)
    assert one.at(equal).hessian == pytest.approx(near.hessian, abs=0.2)


def test_cyclic_moves_have_complex_eigenvalues_and_a_real_likelihood():
    graph = state_graph([("a", "b"), ("b", "c"), ("c", "a")])
    rows = pl.DataFrame(
        {"person": [1, 1, 1, 2, 2], "time": [0.0, 1.0, 2.5, 0.0, 4.0], "state": list("abcab")}
    )
    rates = dict.fromkeys(graph.moves, 0.7)
    assert panel_log_likelihood(rows, graph, rates) == pytest.approx(brute(rows, graph, rates))


# -- the fit ----------------------------------------------------------------------------------------


def test_one_move_has_its_closed_form():
    rows = pl.DataFrame(
        {
            "person": np.repeat(np.arange(10), 2),
            "time": [0.0, 2.0] * 10,
            "state": ["a", "b"] * 3 + ["a", "a"] * 7,
        }
    )
    model = fit_panel(rows, state_graph([("a", "b")]))
    q, row = -np.log(0.7) / 2, model.table.row(0, named=True)
    assert row["intensity"] == pytest.approx(q, rel=1e-10)
    assert row["std_error"] == pytest.approx(np.sqrt(0.3 / (0.7 * 10)) / (2 * q), rel=1e-7)


def test_deaths_known_to_the_day_and_visits_all_the_time_give_occurrences_by_exposure():
    rows = pl.DataFrame(
        {
            "person": [1, 1, 2, 2, 3, 3],
            "time": [0.0, 1.0, 0.0, 3.0, 0.0, 2.0],
            "state": ["a", "b"] * 2 + ["a"] * 2,
        }
    )
    model = fit_panel(rows, state_graph([("a", "b")]), exact=["b"])
    assert model.table["intensity"][0] == pytest.approx(2 / 6, rel=1e-10)
    assert model.table["std_error"][0] == pytest.approx(1 / np.sqrt(2), rel=1e-7)


def test_the_truth_is_recovered_with_covariates_deaths_and_unknown_states():
    rows = unknown(simulate(700, 11, effect=0.6), 0.15)
    model = fit_panel(
        rows, ILLNESS, formula="sex", base={"sex": "f"}, exact=["dead"], censored=ALIVE
    )
    table = model.table.with_columns(truth=pl.Series([np.log(TRUTH[m]) for m in ILLNESS.moves]))
    z = ((table["coefficient"] - table["truth"]) / table["std_error"]).to_numpy()
    assert (np.abs(z) < 3.3).all(), z
    effect = model.frames["effects"].filter(from_state="well", to_state="ill").row(0, named=True)
    assert abs(effect["coefficient"] - 0.6) < 3.3 * effect["std_error"]
    assert effect["std_error"] < 0.2


def test_intensities_that_change_in_time_are_recovered():
    rows = simulate(600, 12, after=(2.0, 2.5))
    model = fit_panel(rows, ILLNESS, exact=["dead"], breaks=[2.0], share={"time_period": "equal"})
    effect = model.frames["effects"].row(0, named=True)
    assert abs(effect["coefficient"] - np.log(2.5)) < 3.3 * effect["std_error"]
    assert model.details["levels"]["time_period"] == period_labels([2.0]) == ["<2", "2+"]
    flat = fit_panel(rows, ILLNESS, exact=["dead"])
    assert flat.facts["minus_two_log_likelihood"] > model.facts["minus_two_log_likelihood"] + 20


def test_order_units_labels_and_lives_twice_change_nothing_that_they_should_not():
    rows = simulate(150, 13)
    model = fit_panel(rows, ILLNESS, formula="sex", exact=["dead"])
    mixed = fit_panel(
        rows.sample(fraction=1.0, shuffle=True, seed=1), ILLNESS, formula="sex", exact=["dead"]
    )
    assert mixed.table["intensity"].to_list() == pytest.approx(
        model.table["intensity"].to_list(), rel=1e-9
    )
    months = fit_panel(
        rows.with_columns(pl.col("time") * 12), ILLNESS, formula="sex", exact=["dead"]
    )
    assert (months.table["intensity"] * 12).to_list() == pytest.approx(
        model.table["intensity"].to_list(), rel=1e-7
    )
    twice = fit_panel(
        pl.concat([rows, rows.with_columns(pl.col("person") + 10_000)]),
        ILLNESS,
        formula="sex",
        exact=["dead"],
    )
    assert twice.table["intensity"].to_list() == pytest.approx(
        model.table["intensity"].to_list(), rel=1e-7
    )
    assert (twice.table["std_error"] * np.sqrt(2)).to_list() == pytest.approx(
        model.table["std_error"].to_list(), rel=1e-5
    )
    later = fit_panel(rows.with_columns(pl.col("time") + 7), ILLNESS, formula="sex", exact=["dead"])
    assert later.facts["log_likelihood"] == pytest.approx(model.facts["log_likelihood"], rel=1e-12)
    other = fit_panel(rows, ILLNESS, formula="sex", base={"sex": "m"}, exact=["dead"])
    assert other.facts["log_likelihood"] == pytest.approx(model.facts["log_likelihood"], rel=1e-9)
    assert other.intensities({"sex": "f"}) == pytest.approx(
        model.intensities({"sex": "f"}), rel=1e-6
    )


def test_equal_effects_are_equal_and_moves_without_an_effect_have_none():
    rows = simulate(200, 14, effect=0.5)
    equal = fit_panel(rows, ILLNESS, formula="sex", exact=["dead"], share={"sex": "equal"})
    assert equal.facts["parameters"] == 5
    assert equal.frames["effects"]["hazard_ratio"].n_unique() == 1
    one = fit_panel(
        rows, ILLNESS, formula="sex", exact=["dead"], share={"sex": [[("well", "ill")]]}
    )
    assert one.frames["effects"].select("from_state", "to_state").rows() == [("well", "ill")]
    assert one.intensities({"sex": "m"})[1] == pytest.approx(one.intensities({"sex": "f"})[1])


# -- what the fit says ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model():
    return fit_panel(
        simulate(300, 15, effect=0.4), ILLNESS, formula="sex", exact=["dead"], source="made"
    )


def test_chances_are_those_of_the_intensities_and_rows_add_to_one(model):
    found = transition_probabilities(model, [0.0, 1.0, 5.0], at={"sex": "m"})
    for t in (0.0, 1.0, 5.0):
        p = found.table.filter(years=t)["probability"].to_numpy().reshape(3, 3)
        assert p == pytest.approx(expm(model.intensities({"sex": "m"}) * t), abs=1e-11)
        assert p.sum(axis=1) == pytest.approx(np.ones(3), abs=1e-11)
    inside = found.table.filter(pl.col("probability").is_between(0.01, 0.99))
    assert (inside["lower"] < inside["probability"]).all()
    assert (inside["probability"] < inside["upper"]).all()


def test_stays_next_states_and_total_years(model):
    q = model.intensities({"sex": "m"})
    found = stays(model, at={"sex": "m"})
    assert found.table["sojourn"].to_list() == pytest.approx([-1 / q[0, 0], -1 / q[1, 1], None])
    nexts = found.frames["next_states"]
    assert nexts["probability"].to_list() == pytest.approx(
        [q[0, 1] / -q[0, 0], q[0, 2] / -q[0, 0], q[1, 0] / -q[1, 1], q[1, 2] / -q[1, 1]]
    )
    assert nexts.group_by("from_state").agg(pl.col("probability").sum())[
        "probability"
    ].to_list() == pytest.approx([1.0, 1.0])
    for j in (0, 1):
        ever = quad(lambda t, j=j: expm(q * t)[0, j], 0, 200, limit=200)[0]
        assert found.table["length_of_stay"][j] == pytest.approx(ever, rel=1e-6)
    some = stays(model, at={"sex": "m"}, start="ill", horizon=4.0)
    for j in range(3):
        part = quad(lambda t, j=j: expm(q * t)[1, j], 0, 4)[0]
        assert some.table["length_of_stay"][j] == pytest.approx(part, rel=1e-8)
    assert some.table["length_of_stay"].sum() == pytest.approx(4.0)


def test_the_delta_method_of_a_sojourn_is_that_of_its_rates(model):
    found = stays(model, at={"sex": "f"})
    row = model.covariates({"sex": "f"})
    x = np.kron(np.eye(4), row)
    cov = x @ model.covariance @ x.T
    rates = np.exp(model.coefficients @ row)
    share = rates[:2] / rates[:2].sum()
    error = np.sqrt(share @ cov[:2, :2] @ share)
    sojourn = found.table.row(0, named=True)
    assert np.log(sojourn["upper"] / sojourn["sojourn"]) == pytest.approx(
        1.959964 * error, rel=1e-5
    )


def test_prevalence_adds_up_and_agrees_where_the_model_is_right(model):
    found = prevalence(model, simulate(400, 25, effect=0.4, even=True), [0.0, 1.0, 2.0])
    for t in (0.0, 1.0, 2.0):
        part = found.table.filter(years=t)
        assert part["observed"].sum() == part["at_risk"][0]
        assert part["expected_lives"].sum() == pytest.approx(part["at_risk"][0], rel=1e-10)
    assert (found.table["observed_share"] - found.table["expected_share"]).abs().max() < 0.08
    start = found.table.filter(years=0.0)
    assert start["observed"].to_list() == pytest.approx(start["expected_lives"].to_list())


def test_results_are_kept_speak_two_languages_and_are_drawn(model, tmp_path):
    found = [
        model,
        transition_probabilities(model, [0.0, 1.0, 2.0]),
        stays(model),
        prevalence(model, simulate(300, 15, effect=0.4), [1.0]),
    ]
    for i, result in enumerate(found):
        result.save(tmp_path / str(i))
        back = Result.load(tmp_path / str(i))
        assert back.table.equals(result.table)
        for lang in ("en", "zh"):
            assert result.finding(lang)
            assert result.figure(lang).data
        for frame in (result.table, *result.frames.values()):
            assert [n for n in frame.columns if f"term.{n}" not in catalogue()] == []
        assert [n for n in result.frames if f"frame.{n}" not in catalogue()] == []
    kept = PanelModel.load(tmp_path / "0")
    assert kept.intensities({"sex": "m"}) == pytest.approx(model.intensities({"sex": "m"}))
    with pytest.raises(InputError, match="no level 'x'"):
        kept.intensities({"sex": "x"})
    with pytest.raises(InputError, match="'age' is not in the model"):
        kept.intensities({"age": 3})


# -- what cannot be told ----------------------------------------------------------------------------


def test_a_move_nothing_needs_is_named_and_no_figure_is_given():
    rows = simulate(200, 16).filter(pl.col("state") != "dead")
    with pytest.raises(InputError, match="go to zero: no visit needs") as said:
        fit_panel(rows, ILLNESS)
    assert "well to dead" in str(said.value)
    assert "leave the move out" in str(said.value)


def test_visits_too_far_apart_are_named():
    draw = np.random.default_rng(1)
    graph = state_graph([("a", "b"), ("b", "a")])
    rows = pl.DataFrame(
        [(p, float(t), str(draw.choice(["a", "b"]))) for p in range(100) for t in range(4)],
        schema=["person", "time", "state"], orient="row",
    )  # fmt: skip
    # more changes than staying: the likelihood rises as moves become infinitely fast
    flip = pl.when(pl.col("time").cast(pl.Int64) % 2 == 0).then(pl.lit("a")).otherwise(pl.lit("b"))
    with pytest.raises(InputError, match=r"infinity|apart"):
        fit_panel(rows.with_columns(state=flip), graph)


def test_a_level_that_needs_no_move_has_no_figure_and_the_basis_says_so():
    rows = simulate(120, 17)
    gone = rows.filter(state="dead", sex="m")["person"].to_list()
    kept = rows.filter(~(pl.col("person").is_in(gone) & (pl.col("state") == "dead")))
    model = fit_panel(kept, ILLNESS, formula="sex", base={"sex": "f"}, exact=["dead"])
    lost = model.frames["effects"].filter(to_state="dead")
    assert lost["hazard_ratio"].null_count() == 2
    assert lost["upper"].null_count() == 2
    assert model.frames["effects"].filter(to_state="ill")["hazard_ratio"].null_count() == 0
    assert any("run to zero, no figure is given" in note for note in model.basis.notes)
    assert model.facts["without_estimate"] == ["well to dead, sex[m]", "ill to dead, sex[m]"]


# -- refusals ---------------------------------------------------------------------------------------

GOOD = pl.DataFrame({"person": [1, 1, 2, 2], "time": [0.0, 1.0] * 2, "state": ["well", "ill"] * 2})


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (GOOD.drop("time"), "'time'"),
        (GOOD.clear(), "there are no visits"),
        (GOOD.with_columns(time=pl.lit("today")), "not a number of years"),
        (GOOD.with_columns(time=pl.Series([0.0, None, 0.0, 1.0])), "'time' is null or not finite in 1 of 4"),
        (GOOD.with_columns(time=pl.Series([0.0, np.nan, 0.0, 1.0])), "'time' is null or not finite in 1 of 4"),
        (GOOD.with_columns(time=pl.lit(0.0)), "'person' and 'time' stand twice in 4 of 4"),
        (GOOD.with_columns(person=pl.lit(None, pl.Int64)), "'person' is null in 4 of 4"),
        (GOOD.with_columns(state=pl.Series(["well", "il", "well", "ill"])), "state 'il' in 1 of 4 rows; did you mean 'ill'"),
        (GOOD.with_columns(state=pl.Series(["well", None, "well", "ill"])), "'state' is null in 1 of 4"),
        (GOOD.with_columns(state=pl.Series(["dead", "ill", "well", "ill"])), "'dead' followed by 'ill' 1 times (first: person 1)"),
        (GOOD.filter(time=0.0), "all 2 persons were seen once only"),
    ],
)  # fmt: skip
def test_visits_that_cannot_be_used_are_refused_with_counts(rows, said):
    with pytest.raises(InputError) as refused:
        fit_panel(rows, ILLNESS)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"exact": "dead"}, "give a list of states"),
        ({"exact": ["ded"]}, "did you mean 'dead'"),
        ({"exact": ["ill"]}, "can be left again"),
        ({"censored": {"ill": ["well"]}}, "is a state itself"),
        ({"censored": {"alive": []}}, "names no state"),
        ({"censored": {"alive": ["wel"]}}, "did you mean 'well'"),
        ({"breaks": [2.0, 1.0]}, "must be finite and rise"),
        ({"breaks": [5.0]}, "no time is seen in ['5+']"),
        ({"level": 1.0}, "level must lie between"),
        ({"formula": "sex"}, "'sex'"),
        ({"base": {"sex": "m"}}, "there is no formula"),
        ({"share": {"sex": "equal"}}, "'sex' is no term"),
        ({"start": {("well", "ill"): 1.0}}, "'well' to 'dead' lacks"),
        ({"start": TRUTH | {("well", "ill"): 0.0}}, "is 0.0"),
    ],
)
def test_options_that_cannot_serve_are_refused(options, said):
    with pytest.raises(InputError) as refused:
        fit_panel(GOOD, ILLNESS, **options)
    assert said in str(refused.value)


def test_histories_from_unknown_states_and_after_the_end_are_refused():
    first = GOOD.with_columns(state=pl.Series(["alive", "ill", "well", "ill"]))
    with pytest.raises(InputError, match="first state of 1 persons is censored"):
        fit_panel(first, ILLNESS, censored=ALIVE)
    after = pl.DataFrame(
        {"person": [1, 1, 1], "time": [0.0, 1.0, 2.0], "state": ["well", "dead", "alive"]}
    )
    with pytest.raises(InputError, match="1 censored visits after an absorbing state"):
        fit_panel(after, ILLNESS, censored=ALIVE)


def test_covariates_that_go_together_and_shares_that_do_not_fit_are_refused():
    rows = simulate(30, 18).with_columns(
        twin=pl.when(pl.col("sex") == "m").then(pl.lit("x")).otherwise(pl.lit("y"))
    )
    with pytest.raises(InputError, match="go together"):
        fit_panel(rows, ILLNESS, formula="sex + twin", exact=["dead"])
    for share, said in [
        ("same", "not 'equal' or groups"),
        ([[("well", "wel")]], "no move"),
        ([[("well", "ill")], [("well", "ill")]], "twice"),
        ([], "empty group"),
    ]:
        with pytest.raises(InputError, match=said):
            fit_panel(rows, ILLNESS, formula="sex", share={"sex": share})
    with pytest.raises(InputError, match="null or not finite in 1 of"):
        fit_panel(
            rows.with_columns(age=pl.Series([np.nan] + [1.0] * (rows.height - 1))),
            ILLNESS,
            formula="age",
        )


def test_questions_that_cannot_be_answered_are_refused(model):
    with pytest.raises(InputError, match="zero or more"):
        transition_probabilities(model, [-1.0])
    with pytest.raises(InputError, match="zero or more"):
        transition_probabilities(model, [])
    with pytest.raises(InputError, match="horizon must be"):
        stays(model, horizon=0.0)
    with pytest.raises(InputError, match="no states of the graph"):
        stays(model, start="il")
    with pytest.raises(InputError, match="at least one"):
        prevalence(model, simulate(20, 1), [])
    with pytest.raises(InputError, match="no life is under observation"):
        prevalence(model, simulate(20, 1), [-3.0])
    with pytest.raises(InputError, match="no level 'x'"):
        prevalence(model, simulate(20, 1).with_columns(sex=pl.lit("x")), [1.0])
    for_ever = fit_panel(
        pl.DataFrame(
            {
                "person": [1] * 4 + [2] * 4,
                "time": [0.0, 1.0, 2.0, 3.0] * 2,
                "state": list("aaabbbba"),
            }
        ),
        state_graph([("a", "b"), ("b", "a")]),
    )
    with pytest.raises(InputError, match="the years are infinite"):
        stays(for_ever)


# -- the graph --------------------------------------------------------------------------------------


def test_a_graph_knows_its_ends_and_its_ways():
    assert ILLNESS.absorbing == ("dead",)
    assert ILLNESS.reversible
    assert not state_graph([("a", "b"), ("b", "c")]).reversible
    assert state_graph([("a", "b"), ("b", "c")]).reachable.tolist() == [
        [True, True, True], [False, True, True], [False, False, True],
    ]  # fmt: skip
    q = ILLNESS.matrix(np.array([[1.0, 2.0, 3.0, 4.0]]))
    assert q.tolist() == [[[-3.0, 1.0, 2.0], [3.0, -7.0, 4.0], [0.0, 0.0, 0.0]]]


@pytest.mark.parametrize(
    ("moves", "states", "said"),
    [
        ([], None, "at least one move"),
        ([("a", "a")], None, "'a' moves to itself"),
        ([("a", "b"), ("a", "b")], None, "given twice"),
        ([("a", "b")], ["a", "b", "c"], "no move leaves or enters 'c'"),
        ([("a", "well")], ["a", "wel"], "did you mean 'wel'"),
        ([("a", "b")], ["a", "b", "b"], "'b' is given twice"),
        ([("a", "b", "c")], None, "no pair of states"),
        (["ab"], None, "no pair of states"),
        ({"a": "bc"}, None, "as a list"),
        ([("a", "")], None, "names of text"),
        ([(1, 2)], None, "names of text"),
    ],
)
def test_what_is_no_graph_is_refused(moves, states, said):
    with pytest.raises(InputError) as refused:
        state_graph(moves, states)
    assert said in str(refused.value)


def test_the_figure_has_a_node_per_state_and_an_arrow_per_move():
    figure = ILLNESS.figure("zh", rates={("well", "ill"): "0.3"})
    assert sum(a.showarrow for a in figure.layout.annotations) == 4
    assert [a.text for a in figure.layout.annotations if not a.showarrow] == ["0.3"]
    assert len(figure.data[-1].x) == 3
    many = state_graph({str(i): [str((i + 1) % 8)] for i in range(8)})
    assert len(many.figure().data[-1].x) == 8


# -- real data and proofs ---------------------------------------------------------------------------


def test_published_figures_of_the_heart_transplants(dataset):
    dataset("msm_cav.parquet")
    found = figures("panel", datasets=Path(__file__).parents[2] / "shared" / "datasets")
    assert len(found) == 38
    assert [figure.record() for figure in found if not figure.ok] == []


def test_the_heart_transplants_have_no_figure_for_women_from_two_to_four(dataset):
    rows = dataset("msm_cav.parquet").with_columns(pl.col("sex").cast(pl.String)).collect()
    graph = state_graph({"1": ["2", "4"], "2": ["1", "3", "4"], "3": ["2", "4"]}, list("1234"))
    model = fit_panel(rows, graph, person="PTNUM", time="years", formula="sex", exact=["4"])
    assert model.facts["without_estimate"] == ["2 to 4, sex[1]"]
    assert model.facts["minus_two_log_likelihood"] < 3954.77700438268  # deeper than where msm stops


@pytest.mark.slow
def test_intervals_of_300_simulated_panels_cover_as_often_as_they_say():
    inside = np.zeros((300, 4))
    for k in range(300):
        model = fit_panel(simulate(250, 1_000 + k), ILLNESS, exact=["dead"])
        for m, row in enumerate(model.table.iter_rows(named=True)):
            truth = TRUTH[row["from_state"], row["to_state"]]
            inside[k, m] = row["lower"] <= truth <= row["upper"]
    assert 0.93 <= inside.mean() <= 0.97, inside.mean(axis=0)
    assert ((inside.mean(axis=0) > 0.91) & (inside.mean(axis=0) < 0.985)).all(), inside.mean(axis=0)
