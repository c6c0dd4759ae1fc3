"""Mean cumulative functions and their test: against the formulas written out, by hand, and by weight."""

from fractions import Fraction

import numpy as np
import polars as pl
import pytest

from pricing.errors import InputError
from pricing.result.shape import Result
from pricing.survival.mean_cumulative import mean_cumulative
from pricing.survival.pseudo_score import pseudo_score
from pricing.survival.recurrent import RecurrentEvents


def book(n=60, seed=3, *, late=True, tied=True, deaths=True):
    """Persons with frailty, late entries, deaths and ties."""
    rng = np.random.default_rng(seed)
    entry = np.where(rng.random(n) < 0.3, rng.uniform(0, 3, n), 0.0) if late else np.zeros(n)
    exit = entry + rng.uniform(0.5, 8, n)
    frailty = rng.gamma(1.5, 1 / 1.5, n)
    number = rng.poisson(frailty * (exit - entry) * 0.6)
    who = np.repeat(np.arange(n), number)
    time = entry[who] + rng.random(len(who)) * (exit - entry)[who]
    if tied:
        entry, exit = np.floor(entry * 2) / 2, np.ceil(exit * 2) / 2 + 0.5
        time = np.ceil(time * 2) / 2
    persons = pl.DataFrame({
        "person": [f"p{i}" for i in range(n)], "entry": entry, "exit": exit,
        "died": (rng.random(n) < 0.4) & deaths, "arm": rng.choice(["a", "b"], n),
        "city": rng.choice(["x", "y"], n),
    })  # fmt: skip
    events = pl.DataFrame({
        "person": [f"p{i}" for i in who], "time": time, "amount": rng.gamma(2, 50, len(who)).round(2)
    })  # fmt: skip
    return persons, events


def collect(persons, events, by=(), **more):
    return RecurrentEvents.collect(
        persons, events, by, entry="entry", died="died", amount="amount", **more
    )


def plainly(persons, events, *, amount=False, terminal=True):
    """The estimator and its influence, person by person and time by time."""
    who = persons["person"].to_list()
    a, b = persons["entry"].to_numpy(), persons["exit"].to_numpy()
    dead = persons["died"].to_numpy() & terminal
    time, size = (
        events["time"].to_numpy(),
        events["amount"].to_numpy() if amount else np.ones(events.height),
    )
    own = np.array([who.index(p) for p in events["person"]])
    grid = np.unique(np.concatenate([time, b[dead]]))
    risk = (a[:, None] < grid) & (grid <= b[:, None])
    jump = np.zeros(risk.shape)
    np.add.at(jump, (own, np.searchsorted(grid, time)), size)
    gone = (b[:, None] == grid) & dead[:, None]
    y, n, d = risk.sum(0), jump.sum(0), gone.sum(0)
    stay = np.concatenate([[1.0], np.cumprod(1 - d / y)[:-1]])
    mean = np.cumsum(stay * n / y)
    martingale = np.cumsum(stay * (jump - risk * n / y) / y, axis=1)
    rest = np.where(y > d, y - d, np.inf)
    leaves = (gone - risk * d / y) / rest
    path = martingale - mean * np.cumsum(leaves, axis=1) + np.cumsum(mean * leaves, axis=1)
    return grid, mean, np.sqrt((path**2).sum(0)), path


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("amount", [True, False])
@pytest.mark.parametrize("terminal", [True, False])
def test_the_curve_is_the_formula_written_out(tied, amount, terminal):
    persons, events = book(tied=tied)
    found = mean_cumulative(
        collect(persons, events), of="amount" if amount else "events", terminal=terminal
    )
    grid, mean, error, _ = plainly(persons, events, amount=amount, terminal=terminal)
    np.testing.assert_allclose(found.table["time"], grid, rtol=1e-11)
    np.testing.assert_allclose(found.table[found.name], mean, rtol=1e-10)
    np.testing.assert_allclose(found.table["std_error"], error, rtol=1e-8)
    assert found.table["repeat_events"].sum() == events.height


def test_the_error_is_the_derivative_by_each_persons_weight():
    """A book of many copies and one more of a person moves by that person's influence."""
    persons, events = book(8, seed=5)
    many, at = 300, 4.0

    def copies(extra):
        frames = []
        for frame in (persons, events):
            parts = [frame.with_columns(person=pl.col("person") + f"#{k}") for k in range(many)]
            if extra is not None:
                parts.append(frame.filter(person=extra).with_columns(person=pl.lit("one more")))
            frames.append(pl.concat(parts))
        return mean_cumulative(collect(*frames)).at(at)["mean_events"].item()

    grid, _, _, path = plainly(persons, events)
    there = np.searchsorted(grid, at, side="right") - 1
    moved = [many * (copies(p) - copies(None)) for p in persons["person"]]
    np.testing.assert_allclose(moved, path[:, there], rtol=0.02, atol=2e-3)


def test_a_small_case_by_hand():
    """Three persons, by fractions; own arithmetic."""
    persons = pl.DataFrame({"person": ["a", "b", "c"], "exit": [4.0, 3.0, 2.0]})
    events = pl.DataFrame({"person": ["a", "a", "b"], "time": [1.0, 3.0, 1.0]})
    found = mean_cumulative(RecurrentEvents.collect(persons, events)).table
    third = Fraction(1, 3)
    first = [third * third, third * third, -2 * third * third]
    second = [first[0] + Fraction(1, 4), first[1] - Fraction(1, 4), first[2]]
    assert found["mean_events"].to_list() == pytest.approx([2 / 3, 7 / 6])
    exact = [float(sum(x * x for x in part)) ** 0.5 for part in (first, second)]
    assert found["std_error"].to_list() == pytest.approx(exact)
    dead = persons.with_columns(died=pl.Series([False, False, True]))
    found = mean_cumulative(RecurrentEvents.collect(dead, events, died="died")).table
    # at 2 one of three dies: S = 2/3 from there, so that the last step is 2/3·1/2
    assert found["mean_events"].to_list() == pytest.approx([2 / 3, 2 / 3, 1.0])
    assert found["ended"].to_list() == [0.0, 1.0, 0.0]


def test_one_event_each_is_one_less_kaplan_meier():
    """Where the event itself ends the time at risk, the mean is the share that left."""
    from pricing.survival.curve import survival_curve
    from pricing.survival.lives import Lives

    rng = np.random.default_rng(8)
    rows = pl.DataFrame({"person": range(200), "exit": rng.integers(1, 20, 200).astype(float),
                         "died": rng.random(200) < 0.6})  # fmt: skip
    events = rows.filter("died").select("person", time="exit")
    found = mean_cumulative(RecurrentEvents.collect(rows, events, died="died")).table
    curve = survival_curve(Lives.collect(rows, exit="exit", event="died")).table
    both = found.join(curve, on="time")
    np.testing.assert_allclose(both["mean_events"], 1 - both["survival"], rtol=1e-12)
    np.testing.assert_allclose(both["std_error"], both["std_error_right"], rtol=1e-10)


def test_order_units_and_a_person_in_two_rows_change_nothing():
    persons, events = book()
    whole = mean_cumulative(collect(persons, events, ["arm"]))
    shuffled = mean_cumulative(
        collect(persons.sample(fraction=1.0, shuffle=True, seed=1), events.reverse(), ["arm"])
    )
    assert whole.table.equals(shuffled.table)
    assert whole.basis.fingerprint == shuffled.basis.fingerprint
    cut = (pl.col("entry") + pl.col("exit")) / 2
    split = pl.concat([
        persons.with_columns(exit=cut, died=pl.lit(False)), persons.with_columns(entry=cut)
    ])  # fmt: skip
    assert mean_cumulative(collect(split, events, ["arm"])).table.equals(whole.table)
    months = mean_cumulative(collect(
        persons.with_columns(pl.col("entry", "exit") * 12), events.with_columns(pl.col("time") * 12), ["arm"]
    ))  # fmt: skip
    np.testing.assert_allclose(months.table["std_error"], whole.table["std_error"], rtol=1e-9)


def test_strata_are_the_curves_of_their_persons():
    persons, events = book()
    both = mean_cumulative(collect(persons, events, ["arm", "city"]))
    own = persons.filter(arm="b", city="x")
    alone = mean_cumulative(collect(own, events.join(own, on="person", how="semi")))
    part = both.table.filter(pl.col("arm") == "b", pl.col("city") == "x").drop("arm", "city")
    assert part.equals(alone.table)
    assert both.frames["summary"]["lives"].sum() == persons.height


def test_at_times_and_what_nobody_saw():
    persons, events = book(late=False)
    found = mean_cumulative(collect(persons, events, ["arm"]))
    at = found.at(0.0, 3.25, 99.0)
    assert at.filter(time=0.0)["mean_events"].to_list() == [0.0, 0.0]
    assert at.filter(time=99.0)["mean_events"].to_list() == [None, None]
    before = found.table.filter(pl.col("time") <= 3.25).group_by("arm").last().sort("arm")
    assert at.filter(time=3.25)["mean_events"].to_list() == before["mean_events"].to_list()
    for wrong in ((), (float("nan"),), (-1.0,)):
        with pytest.raises(InputError, match="0 or more"):
            found.at(*wrong)


def test_a_stratum_without_events_stands_at_zero():
    persons = pl.DataFrame({"person": [1, 2], "exit": [3.0, 3.0], "arm": ["a", "b"]})
    events = pl.DataFrame({"person": [1], "time": [1.0]})
    found = mean_cumulative(RecurrentEvents.collect(persons, events, ["arm"]))
    assert found.frames["summary"]["mean_events"].to_list() == [1.0, 0.0]
    assert found.at(2.0)["mean_events"].to_list() == [1.0, 0.0]
    assert "b" in found.finding("en")


# -- the test -----------------------------------------------------------------------------------------


def test_the_pseudo_score_is_the_formula_written_out():
    persons, events = book(80, seed=2)
    found = pseudo_score(collect(persons, events, ["arm"]), "arm")
    who = persons["person"].to_list()
    a, b = persons["entry"].to_numpy(), persons["exit"].to_numpy()
    own = np.array([who.index(p) for p in events["person"]])
    grid = np.unique(events["time"].to_numpy())
    risk = (a[:, None] < grid) & (grid <= b[:, None])
    jump = np.zeros(risk.shape)
    np.add.at(jump, (own, np.searchsorted(grid, events["time"].to_numpy())), 1.0)
    first = (persons["arm"] == "a").to_numpy()
    y1, y2, n1, n2 = (
        risk[first].sum(0),
        risk[~first].sum(0),
        jump[first].sum(0),
        jump[~first].sum(0),
    )
    weigh = y1 * y2 / (y1 + y2)
    r1, r2 = (
        np.where(y1 > 0, n1 / np.maximum(y1, 1), 0),
        np.where(y2 > 0, n2 / np.maximum(y2, 1), 0),
    )
    score = (weigh * (r1 - r2)).sum()
    psi1 = (weigh / np.maximum(y1, 1) * (jump[first] - risk[first] * r1)).sum(1)
    psi2 = (weigh / np.maximum(y2, 1) * (jump[~first] - risk[~first] * r2)).sum(1)
    chi = score**2 / ((psi1**2).sum() + (psi2**2).sum())
    assert found.chi_squared == pytest.approx(chi, rel=1e-10)
    assert found.facts["degrees"] == 1


def test_strata_of_the_test_add_up_and_names_do_not_matter():
    persons, events = book(120, seed=4)
    seen = collect(persons, events, ["arm", "city"])
    whole = pseudo_score(seen, "arm", strata="city")
    parts = []
    for city in ("x", "y"):
        own = persons.filter(city=city)
        parts.append(
            pseudo_score(collect(own, events.join(own, on="person", how="semi"), ["arm"]), "arm")
        )
    scores = [np.array(p.details["score"]) for p in parts]
    np.testing.assert_allclose(whole.details["score"], sum(scores), atol=1e-10)
    swapped = collect(
        persons.with_columns(arm=pl.col("arm").replace({"a": "z"})), events, ["arm", "city"]
    )
    assert pseudo_score(swapped, "arm", strata="city").chi_squared == pytest.approx(
        whole.chi_squared
    )


@pytest.mark.slow
def test_under_no_difference_the_test_rejects_as_often_as_it_says_though_frailty_ties_events():
    rejected = naive = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        n = 200
        frailty = rng.gamma(0.7, 1 / 0.7, n)
        exit = rng.uniform(1, 4, n)
        number = rng.poisson(frailty * exit)
        who = np.repeat(np.arange(n), number)
        persons = pl.DataFrame({"person": range(n), "exit": exit, "arm": rng.choice(["a", "b"], n)})
        events = pl.DataFrame({"person": who, "time": rng.random(len(who)) * exit[who]})
        found = pseudo_score(RecurrentEvents.collect(persons, events, ["arm"]), "arm")
        rejected += found.p_value < 0.05
        score = found.details["score"][0]
        expected = found.table["expected_repeat_events"].to_numpy()
        naive += score**2 * expected.sum() / expected.prod() > 3.841
    assert 0.03 < rejected / 400 < 0.085
    assert naive / 400 > 0.15  # what a Poisson variance would have said


@pytest.mark.slow
def test_the_interval_covers_the_true_mean_with_frailty_and_death():
    """Rate frailty, death rate that rises with it: the marginal mean is known by numbers."""
    big = np.random.default_rng(0)
    frailty = big.gamma(1.0, 1.0, 400_000)
    death = 0.1 + 0.2 * frailty
    truth = float((frailty * 0.8 * (1 - np.exp(-death * 3)) / death).mean())
    inside = 0
    for seed in range(300):
        rng = np.random.default_rng(seed + 1)
        n = 300
        z = rng.gamma(1.0, 1.0, n)
        died, left = rng.exponential(1 / (0.1 + 0.2 * z)), rng.uniform(1, 6, n)
        exit = np.minimum(died, left)
        who = np.repeat(np.arange(n), rng.poisson(0.8 * z * exit))
        persons = pl.DataFrame({"person": range(n), "exit": exit, "died": died <= left})
        events = pl.DataFrame({"person": who, "time": rng.random(len(who)) * exit[who]})
        row = mean_cumulative(RecurrentEvents.collect(persons, events, died="died")).at(3.0)
        inside += row["lower"].item() < truth < row["upper"].item()
    assert 0.915 < inside / 300 < 0.98


# -- bad input ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("persons", "events", "said"),
    [
        ({"exit": [3.0, None]}, {}, "the exit is null, NaN or infinite: 1 of 2 persons"),
        ({"exit": [3.0, float("nan")]}, {}, "the exit is null, NaN or infinite"),
        ({"exit": [3.0, float("inf")]}, {}, "the exit is null, NaN or infinite"),
        ({"exit": [3.0, 0.0]}, {}, "not after the entry"),
        ({"exit": [3.0, -1.0]}, {}, "not after the entry"),
        ({"entry": [-1.0, 0.0]}, {}, "the entry is below 0"),
        ({"person": ["a", None]}, {}, "the person is null"),
        ({"died": [True, None]}, {}, "whether it died is null"),
        ({"died": [2, 0]}, {}, "more than 0 and 1"),
        ({"died": ["yes", "no"]}, {}, "neither yes or no"),
        ({"exit": ["3", "4"]}, {}, "not a number"),
        ({"arm": ["x", None]}, {}, "'arm' is null"),
        ({"arm": [1.5, 2.5]}, {}, "no level"),
        ({}, {"time": [9.0, 1.0]}, "after the person's exit: 1 of 2 events"),
        ({"entry": [1.0, 0.0]}, {"time": [1.0, 1.0]}, "at or before the person's entry"),
        ({}, {"time": [0.0, 1.0]}, "at or before the person's entry"),
        ({}, {"time": [-1.0, 1.0]}, "the time is below 0"),
        ({}, {"time": [float("nan"), 1.0]}, "the time is null, NaN or infinite"),
        ({}, {"time": [None, 1.0]}, "the time is null, NaN or infinite"),
        ({}, {"person": ["z", "b"]}, "no such person: 1 of 2 events"),
        ({}, {"amount": [-1.0, 2.0]}, "the amount is null, not finite or negative"),
        ({}, {"person": [1, 2]}, "is String of persons and Int64 of events"),
        ({"person": ["a", "a"]}, {}, "leave a gap or overlap"),
    ],
)  # fmt: skip
def test_what_cannot_be_followed_is_said(persons, events, said):
    given = {
        "person": ["a", "b"],
        "entry": [0.0, 0.0],
        "exit": [3.0, 4.0],
        "died": [True, False],
        "arm": ["x", "y"],
    }
    seen = {"person": ["a", "b"], "time": [1.0, 2.0], "amount": [1.0, 2.0]}
    with pytest.raises(InputError, match=said):
        collect(pl.DataFrame(given | persons, strict=False), pl.DataFrame(seen | events), ["arm"])


def test_faults_are_said_together_and_options_are_named():
    bad = pl.DataFrame({"person": ["a", "b"], "exit": [-1.0, float("nan")]})
    events = pl.DataFrame({"person": ["a"], "time": [float("inf")]})
    with pytest.raises(InputError) as refused:
        RecurrentEvents.collect(bad, events)
    assert len(refused.value.faults) == 3
    persons, events = book(late=False)
    seen = collect(persons, events, ["arm"])
    with pytest.raises(InputError, match="did you mean 'events'"):
        mean_cumulative(seen, of="event")
    with pytest.raises(InputError, match="no interval"):
        mean_cumulative(seen, scale="lgo")
    with pytest.raises(InputError, match="nobody has an event"):
        mean_cumulative(collect(persons, events.clear()))
    with pytest.raises(InputError, match="has one level"):
        pseudo_score(collect(persons.with_columns(arm=pl.lit("a")), events, ["arm"]), "arm")
    with pytest.raises(InputError, match="both the factor and a stratum"):
        pseudo_score(seen, "arm", strata="arm")
    with pytest.raises(InputError, match="no unit of time 'week'"):
        collect(persons, events, unit="week")
    with pytest.raises(InputError, match="there are no persons"):
        collect(persons.clear(), events)
    split = pl.concat([persons.head(1).with_columns(exit=pl.lit(0.25), died=pl.lit(True)),
                       persons.head(1).with_columns(entry=pl.lit(0.25))])  # fmt: skip
    with pytest.raises(InputError, match="after a terminal event"):
        collect(split, events.clear())


def test_one_person():
    persons = pl.DataFrame({"person": [7], "exit": [5.0]})
    found = mean_cumulative(
        RecurrentEvents.collect(persons, pl.DataFrame({"person": [7, 7], "time": [1.0, 2.0]}))
    )
    assert found.table["mean_events"].to_list() == [1.0, 2.0]
    assert found.table["std_error"].to_list() == [0.0, 0.0]


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_figures_and_findings_speak_and_results_keep(lang, tmp_path):
    persons, events = book()
    seen = collect(persons, events, ["arm"], unit="month")
    for found in (
        mean_cumulative(seen),
        mean_cumulative(seen, of="amount"),
        pseudo_score(seen, "arm"),
    ):
        assert found.finding(lang)
        assert found.figure(lang).data
        found.save(tmp_path / found.kind)
        back = Result.load(tmp_path / found.kind)
        assert back.table.equals(found.table)
        assert back.finding(lang) == found.finding(lang)
