"""Full histories: occurrences by exposure and occupancy, by hand, by oracle and by known truth."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy.linalg import expm

from pricing.errors import InputError
from pricing.multistate.graph import state_graph
from pricing.multistate.intensities import Intensities, fit_intensities, move_experience
from pricing.multistate.occupancy import aalen_johansen, forward_occupancy
from pricing.multistate.spells import read_spells
from pricing.result.shape import Result
from pricing.result.words import catalogue

ILLNESS = state_graph({"well": ["ill", "dead"], "ill": ["well", "dead"]}, ["well", "ill", "dead"])
TRUTH = {
    ("well", "ill"): 0.3,
    ("well", "dead"): 0.05,
    ("ill", "well"): 0.4,
    ("ill", "dead"): 0.2,
}


def simulate(lives, seed, *, effect=0.0, until=6.0):
    draw = np.random.default_rng(seed)
    rows = []
    for life in range(lives):
        sex, now, state = "m" if life % 2 else "f", 0.0, "well"
        end = draw.uniform(1.0, until)
        while state != "dead" and now < end:
            rates = {
                b: q * (np.exp(effect) if (a, b, sex) == ("well", "ill", "m") else 1.0)
                for (a, b), q in TRUTH.items()
                if a == state
            }
            wait = draw.exponential(1 / sum(rates.values()))
            share = np.array(list(rates.values())) / sum(rates.values())
            to = str(draw.choice(list(rates), p=share))
            stop = now + wait >= end
            rows.append((life, sex, state, None if stop else to, now, min(now + wait, end)))
            now, state = now + wait, to
    names = ["life", "sex", "from_state", "to_state", "entry", "exit"]
    return pl.DataFrame(rows, schema=names, orient="row")


# -- Aalen and Johansen -----------------------------------------------------------------------------


def test_a_hand_worked_case_with_ties_late_entry_and_recovery():
    rows = pl.DataFrame(
        [
            ("well", "ill", 0.0, 1.0),
            ("ill", "well", 1.0, 2.0),
            ("well", None, 2.0, 4.0),
            ("well", "ill", 0.0, 2.0),
            ("ill", "dead", 2.0, 3.0),
            ("well", "dead", 0.0, 2.0),
            ("well", None, 0.0, 4.0),
            ("well", "dead", 1.5, 3.0),
        ],
        schema=["from_state", "to_state", "entry", "exit"],
        orient="row",
    )
    found = aalen_johansen(rows, ILLNESS)
    at = {t: found.table.filter(years=t)["probability"].to_list() for t in (0.0, 1.0, 2.0, 3.0)}
    assert at[0.0] == [1.0, 0.0, 0.0]
    assert at[1.0] == pytest.approx([3 / 4, 1 / 4, 0])  # one of four falls ill
    # at 2: of four well one falls ill and one dies; the one ill recovers; all in one matrix
    assert at[2.0] == pytest.approx([3 / 4 * 2 / 4 + 1 / 4, 3 / 4 / 4, 3 / 4 / 4])
    # at 3: of three well (two there, one came back at 2) one dies; the one ill dies
    assert at[3.0] == pytest.approx([0.625 * 2 / 3, 0.0, 0.1875 + 0.625 / 3 + 0.1875])
    assert found.table.filter(years=2.0)["at_risk"].to_list() == [4.0, 1.0, None]
    assert found.table.filter(years=3.0)["at_risk"].to_list() == [3.0, 1.0, None]


def test_two_states_are_kaplan_and_meier_with_greenwoods_error():
    draw = np.random.default_rng(1)
    exits = np.round(draw.uniform(0.1, 5, 60), 1)
    died = draw.uniform(size=60) < 0.6
    rows = pl.DataFrame({"exit": exits, "d": died}).select(
        "exit", from_state=pl.lit("well"), to_state=pl.when("d").then(pl.lit("dead"))
    )
    found = aalen_johansen(rows, state_graph([("well", "dead")])).table.filter(in_state="well")
    s, total = 1.0, 0.0
    for t, p, error in found.select("years", "probability", "std_error").rows()[1:]:
        risk, deaths = (exits >= t).sum(), (died & (exits == t)).sum()
        s *= 1 - deaths / risk
        total += deaths / (risk * (risk - deaths)) if risk > deaths else 0.0
        assert p == pytest.approx(s, abs=1e-12)
        assert error == pytest.approx(s * np.sqrt(total), abs=1e-12)


def test_rows_add_to_one_and_without_censoring_it_is_the_share_seen():
    rows = simulate(120, 2)
    found = aalen_johansen(rows, ILLNESS, person="life")
    sums = found.table.group_by("years").agg(pl.col("probability").sum())
    assert sums["probability"].to_numpy() == pytest.approx(np.ones(sums.height), abs=1e-12)
    lives = rows.filter(pl.col("exit").max().over("life") >= 1.0)
    at_one = lives.with_columns(
        exit=pl.min_horizontal("exit", pl.lit(1.0)),
        to_state=pl.when(pl.col("exit") <= 1.0).then("to_state"),
    ).filter(pl.col("entry") < 1.0)
    p = aalen_johansen(at_one, ILLNESS, times=[1.0]).table
    seen = at_one.filter(pl.col("to_state").is_null()).group_by("from_state").len()
    n = at_one["life"].n_unique()
    for state, count in seen.iter_rows():
        assert p.filter(in_state=state)["probability"].item() == pytest.approx(count / n, abs=1e-12)


def test_order_split_rows_weights_and_shards_change_nothing():
    rows = simulate(60, 3).with_columns(exit=pl.col("exit"))
    want = aalen_johansen(rows, ILLNESS, times=[1.0, 3.0]).table
    shuffled = aalen_johansen(
        rows.sample(fraction=1.0, shuffle=True, seed=1), ILLNESS, times=[1.0, 3.0]
    ).table
    middle = (pl.col("entry") + pl.col("exit")) / 2
    halves = pl.concat(
        [
            rows.with_columns(exit=middle, to_state=pl.lit(None, pl.String)),
            rows.with_columns(entry=middle),
        ]
    )
    split = aalen_johansen(halves, ILLNESS, times=[1.0, 3.0]).table
    doubled = aalen_johansen(rows.with_columns(weight=pl.lit(2.0)), ILLNESS, times=[1.0, 3.0]).table
    empty = pl.concat(
        [rows.with_columns(weight=pl.lit(1.0)), rows.with_columns(weight=pl.lit(0.0))]
    )
    nothing = aalen_johansen(empty, ILLNESS, times=[1.0, 3.0]).table
    for other in (shuffled, split, nothing):
        for column in ("probability", "std_error"):
            assert other[column].to_list() == pytest.approx(want[column].to_list(), abs=1e-11)
    assert doubled["probability"].to_list() == pytest.approx(
        want["probability"].to_list(), abs=1e-12
    )
    assert (doubled["std_error"] * np.sqrt(2)).to_list() == pytest.approx(
        want["std_error"].to_list()
    )


def test_the_estimate_and_the_fitted_model_recover_the_truth():
    rows = simulate(2_500, 4)
    q = ILLNESS.matrix(np.array([TRUTH[m] for m in ILLNESS.moves]))
    want = expm(q * 3.0)[0]
    found = aalen_johansen(rows, ILLNESS, times=[3.0], start="well").table
    z = (found["probability"].to_numpy() - want) / found["std_error"].to_numpy()
    assert (np.abs(z) < 3.3).all(), z
    model = fit_intensities(rows, ILLNESS)
    fitted = forward_occupancy(ILLNESS, model.rates(), [3.0]).table["probability"].to_numpy()
    assert fitted == pytest.approx(want, abs=0.03)


def test_a_late_start_is_conditional_on_where_lives_are():
    rows = simulate(400, 5)
    found = aalen_johansen(rows, ILLNESS, since=1.0, times=[1.0, 2.0])
    under = rows.filter((pl.col("entry") <= 1.0) & (pl.col("exit") > 1.0))
    shares = dict(under["from_state"].value_counts(normalize=True).iter_rows())
    assert found.table.filter(years=1.0)["probability"].to_list() == pytest.approx(
        [shares["well"], shares["ill"], 0.0]
    )


def test_a_state_nobody_is_seen_in_is_said():
    rows = pl.DataFrame(
        [("well", "ill", 0.0, 1.0), ("well", None, 0.0, 4.0), ("ill", "dead", 2.0, 3.0), ("ill", "dead", 3.0, 3.5)],
        schema=["from_state", "to_state", "entry", "exit"], orient="row",
    )  # fmt: skip
    gap = aalen_johansen(rows.filter(pl.col("entry") != 2.0), ILLNESS)
    assert not any("none of the lives expected" in note for note in gap.basis.notes)
    rows = pl.concat(
        [rows, pl.DataFrame([("well", "dead", 0.0, 1.5)], schema=rows.schema, orient="row")]
    )
    said = aalen_johansen(rows, ILLNESS).basis.notes
    assert any(note.startswith("ill: none of the lives expected") for note in said)


# -- Kolmogorov -------------------------------------------------------------------------------------


def test_forward_occupancy_is_the_exponential_and_stretches_compose():
    q = ILLNESS.matrix(np.array([TRUTH[m] for m in ILLNESS.moves]))
    found = forward_occupancy(ILLNESS, TRUTH, [0.0, 2.5], start={"well": 0.7, "ill": 0.3})
    assert found.table.filter(years=2.5)["probability"].to_numpy() == pytest.approx(
        np.array([0.7, 0.3, 0.0]) @ expm(2.5 * q), abs=1e-12
    )
    double = {m: [r, 2 * r, r] for m, r in TRUTH.items()}
    pieces = forward_occupancy(ILLNESS, double, [0.5, 4.0], breaks=[1.0, 2.0])
    want = np.array([1.0, 0, 0]) @ expm(q) @ expm(2 * q) @ expm(2 * q)
    assert pieces.table.filter(years=4.0)["probability"].to_numpy() == pytest.approx(
        want, abs=1e-12
    )
    assert pieces.table.filter(years=0.5)["probability"].to_numpy() == pytest.approx(
        expm(q / 2)[0], abs=1e-12
    )


# -- occurrences by exposure ------------------------------------------------------------------------


def test_without_factors_it_is_moves_by_years():
    rows = simulate(200, 6)
    found = fit_intensities(rows, ILLNESS)
    for row in found.table.iter_rows(named=True):
        own = rows.filter(from_state=row["from_state"])
        moved = own.filter(to_state=row["to_state"]).height
        years = float((own["exit"] - own["entry"]).sum())
        assert row["intensity"] == pytest.approx(moved / years, rel=1e-10)
        assert row["crude"] == pytest.approx(moved / years, rel=1e-12)
        assert np.log(row["upper"] / row["intensity"]) == pytest.approx(
            1.959964 / np.sqrt(moved), rel=1e-6
        )


def test_factors_have_the_errors_of_statsmodels():
    import statsmodels.api as sm

    rows = simulate(300, 7, effect=0.7)
    found = fit_intensities(rows, ILLNESS, {("well", "ill"): "sex"}, base={"sex": "f"})
    own = rows.filter(from_state="well")
    x = np.column_stack([np.ones(own.height), (own["sex"] == "m").to_numpy()]).astype(float)
    fit = sm.GLM(
        (own["to_state"] == "ill").fill_null(False).to_numpy().astype(float),
        x,
        family=sm.families.Poisson(),
        offset=np.log((own["exit"] - own["entry"]).to_numpy()),
    ).fit(tol=1e-12)
    effect = found.frames["effects"].row(0, named=True)
    assert (effect["coefficient"], effect["std_error"]) == pytest.approx(
        (fit.params[1], fit.bse[1]), rel=1e-6
    )
    assert abs(effect["coefficient"] - 0.7) < 3.3 * effect["std_error"]
    assert found.frames["effects"].height == 1
    ratio = found.rates({"sex": "m"})[("well", "ill")] / found.rates({"sex": "f"})[("well", "ill")]
    assert ratio == pytest.approx(effect["hazard_ratio"])
    assert found.rates({"sex": "m"})[("ill", "dead")] == found.rates({"sex": "f"})[("ill", "dead")]


def test_split_rows_and_weights_change_nothing():
    rows = simulate(100, 8)
    want = fit_intensities(rows, ILLNESS, "sex").table
    middle = (pl.col("entry") + pl.col("exit")) / 2
    halves = pl.concat(
        [
            rows.with_columns(exit=middle, to_state=pl.lit(None, pl.String)),
            rows.with_columns(entry=middle),
        ]
    )
    for other in (
        fit_intensities(halves, ILLNESS, "sex").table,
        fit_intensities(rows.reverse(), ILLNESS, "sex").table,
    ):
        for column in ("intensity", "lower", "upper"):
            assert other[column].to_list() == pytest.approx(want[column].to_list(), rel=1e-8)
    double = fit_intensities(rows.with_columns(weight=pl.lit(2.0)), ILLNESS, "sex").table
    twice = fit_intensities(pl.concat([rows, rows]), ILLNESS, "sex").table
    assert double["upper"].to_list() == pytest.approx(twice["upper"].to_list(), rel=1e-8)


def test_the_cells_of_a_move_serve_every_model_of_frequency():
    rows = simulate(100, 9)
    seen = move_experience(rows, ILLNESS, ("ill", "well"), ["sex"])
    own = rows.filter(from_state="ill")
    assert seen.basis.exposure == pytest.approx(float((own["exit"] - own["entry"]).sum()))
    assert seen.basis.claims == own.filter(to_state="well").height
    assert seen.keys == ("sex",)


def test_results_are_kept_speak_two_languages_and_are_drawn(tmp_path):
    rows = simulate(150, 10)
    found = [
        fit_intensities(rows, ILLNESS, "sex", source="made"),
        aalen_johansen(rows, ILLNESS),
        forward_occupancy(ILLNESS, TRUTH, [0.0, 1.0, 2.0]),
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
    kept = Intensities.load(tmp_path / "0")
    assert kept.rates({"sex": "m"}) == pytest.approx(found[0].rates({"sex": "m"}))
    assert kept.graph == ILLNESS


# -- refusals ---------------------------------------------------------------------------------------

GOOD = pl.DataFrame(
    {
        "from_state": ["well", "ill"],
        "to_state": ["ill", None],
        "entry": [0.0, 1.0],
        "exit": [1.0, 2.0],
    }
)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (GOOD.drop("exit"), "'exit'"),
        (GOOD.clear(), "there are no spells"),
        (GOOD.with_columns(exit=pl.lit("x")), "not a number: 'exit'"),
        (GOOD.with_columns(exit=pl.Series([0.0, 2.0])), "'exit' is not after 'entry' in 1 of 2"),
        (GOOD.with_columns(exit=pl.Series([np.nan, 2.0])), "null or not finite in 1 of 2"),
        (GOOD.with_columns(entry=pl.Series([None, 1.0])), "null or not finite in 1 of 2"),
        (GOOD.with_columns(weight=pl.Series([-1.0, 1.0])), "'weight' is null, not finite or negative in 1 of 2"),
        (GOOD.with_columns(from_state=pl.Series([None, "ill"])), "'from_state' is null in 1 of 2"),
        (GOOD.with_columns(from_state=pl.Series(["wel", "ill"])), "from_state 'wel' in 1 of 2 rows; did you mean 'well'"),
        (GOOD.with_columns(to_state=pl.Series(["il", None])), "to_state 'il' in 1 of 2 rows; did you mean 'ill'"),
        (GOOD.with_columns(from_state=pl.Series(["dead", "ill"])), "'from_state' is never left in the graph in 1 of 2"),
        (GOOD.with_columns(to_state=pl.Series(["well", None])), "'well' to 'well' in 1 of 2 rows, which the graph has not"),
    ],
)  # fmt: skip
def test_spells_that_cannot_be_used_are_refused_with_counts(rows, said):
    for verb in (fit_intensities, aalen_johansen):
        with pytest.raises(InputError) as refused:
            verb(rows, ILLNESS)
        assert said in str(refused.value)


def test_overlaps_of_a_life_are_refused():
    rows = GOOD.with_columns(life=pl.lit(1), entry=pl.Series([0.0, 0.5]))
    with pytest.raises(InputError, match="1 spells begin before"):
        aalen_johansen(rows, ILLNESS, person="life")
    assert read_spells(GOOD.with_columns(life=pl.lit(1)), ILLNESS, person="life").height == 2


def test_moves_never_seen_are_named():
    with pytest.raises(InputError, match=r"3 move\(s\) were never seen") as refused:
        fit_intensities(GOOD, ILLNESS)
    assert "ill to dead" in str(refused.value)


def test_questions_that_cannot_be_answered_are_refused():
    rows = simulate(80, 11)
    model = fit_intensities(rows, ILLNESS, "sex")
    for asked, said in [({"sex": "x"}, "no level 'x'"), ({"age": 1}, "in none of the models")]:
        with pytest.raises(InputError, match=said):
            model.rates(asked)
    with pytest.raises(InputError, match="formulas for moves"):
        fit_intensities(rows, ILLNESS, {("dead", "well"): "sex"})
    with pytest.raises(InputError, match="no move of the graph"):
        move_experience(rows, ILLNESS, ("dead", "well"))
    with pytest.raises(InputError, match="level must lie"):
        fit_intensities(rows, ILLNESS, level=2.0)
    twins = rows.with_columns(
        twin=pl.when(pl.col("sex") == "m").then(pl.lit("x")).otherwise(pl.lit("y"))
    )
    with pytest.raises(InputError, match="go together"):
        fit_intensities(twins, ILLNESS, "sex + twin")
    with pytest.raises(InputError, match="no life is under observation after 99"):
        aalen_johansen(rows, ILLNESS, since=99.0)
    with pytest.raises(InputError, match="add to 1"):
        aalen_johansen(rows, ILLNESS, start={"well": 0.5})
    with pytest.raises(InputError, match="did you mean 'well'"):
        aalen_johansen(rows, ILLNESS, start="wel")
    with pytest.raises(InputError, match="at least one"):
        aalen_johansen(rows, ILLNESS, times=[])
    with pytest.raises(InputError, match="level must lie"):
        aalen_johansen(rows, ILLNESS, level=0.0)
    bad = {
        "'well' to 'ill' lacks": {
            "rates": {m: r for m, r in TRUTH.items() if m != ("well", "ill")}
        },
        "is no move of the graph": {"rates": TRUTH | {("dead", "well"): 1.0}},
        "not finite or negative": {"rates": TRUTH | {("well", "ill"): -1.0}},
        "2 rates for 1 stretches": {"rates": TRUTH | {("well", "ill"): [0.1, 0.2]}},
        "breaks must be above zero": {"breaks": [0.0]},
        "times must be": {"times": [-1.0]},
    }
    for said, options in bad.items():
        with pytest.raises(InputError) as refused:
            forward_occupancy(ILLNESS, **({"rates": TRUTH, "times": [1.0]} | options))
        assert said in str(refused.value)
