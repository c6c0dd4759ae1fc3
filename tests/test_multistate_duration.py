"""Rates by time in the state: parts against brute force, known truth, reserves from the rates, bad input."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from pricing.annuities.payments import WhileIn
from pricing.annuities.semi_markov import semi_markov
from pricing.errors import InputError
from pricing.multistate.duration import cut_spells, duration_rates
from pricing.multistate.graph import state_graph
from pricing.multistate.intensities import fit_intensities, move_experience

GRAPH = state_graph({"well": ["ill", "dead"], "ill": ["well", "dead"]}, ["well", "ill", "dead"])
CUTS, AGES = [0.5, 2.0], [60.0]
RECOVER = np.array([[2.0, 0.8, 0.2], [1.2, 0.5, 0.1]])  # by age band and duration band
DIE = np.array([[0.15, 0.1, 0.05], [0.3, 0.2, 0.1]])


def rate(table, age, spent):
    return table[(age >= 60.0).astype(int), np.searchsorted(CUTS, spent, side="right")]


def drawn(persons, seed, until=8.0):
    """Stays of illness by thinning; the clock is attained age."""
    draw = np.random.default_rng(seed)
    begin = draw.uniform(52.0, 66.0, persons)
    spent, gone = np.zeros(persons), np.full(persons, "", dtype=object)
    most = 2.5
    while (open_ := (gone == "") & (spent < until)).any():
        at = np.flatnonzero(open_)
        spent[at] += draw.exponential(1 / most, len(at))
        age, u = begin[at] + spent[at], most * draw.random(len(at))
        well, die = rate(RECOVER, age, spent[at]), rate(DIE, age, spent[at])
        gone[at] = np.where(u < well, "well", np.where(u < well + die, "dead", ""))
    late = spent >= until
    return pl.DataFrame({
        "person": np.arange(persons), "from_state": ["ill"] * persons, "entry": begin,
        "exit": begin + np.minimum(spent, until), "sex": draw.choice(["f", "m"], persons),
        "to_state": [None if cut or not to else to for cut, to in zip(late, gone, strict=True)],
    })  # fmt: skip


@pytest.fixture(scope="module")
def rows():
    return drawn(4000, 3)


def test_parts_are_the_same_years_and_moves(rows):
    parts = cut_spells(rows, GRAPH, CUTS, ages=AGES, keys=["sex"])
    years = pl.col("exit") - pl.col("entry")
    assert parts.select(years.sum()).item() == pytest.approx(
        rows.select(years.sum()).item(), rel=1e-12
    )
    assert parts["to_state"].drop_nulls().value_counts(sort=True).rows() == (
        rows["to_state"].drop_nulls().value_counts(sort=True).rows()
    )
    assert parts.select(years.min()).item() > 0
    begin, end = rows["entry"].to_numpy(), rows["exit"].to_numpy()
    edges, ages = [0.0, *CUTS, np.inf], [-np.inf, *AGES, np.inf]
    for i, band in enumerate(parts["duration_band"].dtype.categories):
        for j, old in enumerate(parts["age_band"].dtype.categories):
            low, high = (
                np.maximum(begin + edges[i], ages[j]),
                np.minimum(begin + edges[i + 1], ages[j + 1]),
            )
            brute = np.maximum(np.minimum(end, high) - np.maximum(begin, low), 0.0).sum()
            own = parts.filter(duration_band=band, age_band=old)
            assert own.select(years.sum()).item() == pytest.approx(brute, rel=1e-11)
            moved = (
                (end > low)
                & (end <= high)
                & (rows["to_state"] == "well").fill_null(False).to_numpy()
            )
            assert own.filter(to_state="well").height == moved.sum()
            assert own.select(pl.col("duration").is_between(edges[i], edges[i + 1]).all()).item()


def test_a_stay_in_two_rows_is_one_stay_where_its_beginning_is_told(rows):
    some = rows.head(300)
    split = some.with_columns(middle=(pl.col("entry") + pl.col("exit")) / 2, began="entry")
    first = split.with_columns(exit="middle", to_state=pl.lit(None, pl.String))
    two = pl.concat([first, split.with_columns(entry="middle")])
    whole = cut_spells(some, GRAPH, CUTS, ages=AGES)
    again = cut_spells(two, GRAPH, CUTS, ages=AGES, began="began")
    years = pl.col("exit") - pl.col("entry")
    by = ["duration_band", "age_band"]
    a, b = (
        f.group_by(by).agg(years.sum().alias("y"), pl.col("to_state").count().alias("n")).sort(by)
        for f in (whole, again)
    )
    assert a.drop("y").equals(b.drop("y"))
    assert np.allclose(a["y"], b["y"], rtol=1e-12)
    with pytest.raises(InputError, match="300 spells go on with the state of the last one"):
        cut_spells(two, GRAPH, CUTS, person="person")
    # a stay first seen late is not taken for a new one
    seen_late = again.filter(pl.col("entry") >= 52.0)
    assert seen_late["duration"].max() > 2.0


def test_age_may_be_told_on_another_clock(rows):
    since = rows.with_columns(
        at_entry=pl.col("entry"), exit=pl.col("exit") - pl.col("entry"), entry=0.0
    )
    a = cut_spells(rows, GRAPH, CUTS, ages=AGES)
    b = cut_spells(since, GRAPH, CUTS, ages=AGES, age="at_entry")
    for name in ("duration", "attained_age"):
        assert np.allclose(np.sort(a[name].to_numpy()), np.sort(b[name].to_numpy()))


def test_the_truth_is_recovered_and_handed_on_to_reserves(rows):
    parts = cut_spells(rows, GRAPH, CUTS, ages=AGES, keys=["sex"])
    only = state_graph({"ill": ["well", "dead"]}, ["ill", "well", "dead"])
    found = fit_intensities(parts, only, "duration_band * age_band")
    rates = duration_rates(found, CUTS, ages=AGES)
    z = np.array([0.1, 0.5, 1.9, 2.0, 7.0])
    for move, truth in ((("ill", "well"), RECOVER), (("ill", "dead"), DIE)):
        for age in (55.0, 60.0, 70.0):
            moved = [
                move_experience(
                    parts.filter(duration_band=b, age_band="60+" if age >= 60 else "<60"),
                    only,
                    move,
                )
                for b in parts["duration_band"].dtype.categories
            ]
            crude = [e.basis.claims / e.basis.exposure for e in moved]
            ours = rates[move](age, z)
            assert ours == pytest.approx(
                np.array(crude)[np.searchsorted(CUTS, z, side="right")], rel=1e-8
            )
            count = np.array([e.basis.claims for e in moved])[
                np.searchsorted(CUTS, z, side="right")
            ]
            gap = np.log(ours / rate(truth, np.full(len(z), age), z))
            assert (np.abs(gap) < 3.3 / np.sqrt(count)).all()
    care = [WhileIn("ill", 1000.0, waiting=0.25)]

    def true_rate(table):
        return lambda x, z: rate(table, np.full(len(z), x), z)

    told = {"age": 58.0, "years": 6.0, "interest": 0.02, "longest": 2.0, "step": 1 / 16}
    ours = semi_markov(rates, care, states=["ill", "well", "dead"], **told)
    truth = semi_markov(
        {("ill", "well"): true_rate(RECOVER), ("ill", "dead"): true_rate(DIE)}, care,
        states=["ill", "well", "dead"], **told,
    )  # fmt: skip
    for spent in (0.0, 0.5, 2.0):
        assert ours.reserve("ill", spent) == pytest.approx(truth.reserve("ill", spent), rel=0.06)
    assert ours.reserve("ill", 2.0) > 1.5 * ours.reserve("ill", 0.0)  # long claims last longer
    # what a model without duration would reserve for a stay of two years
    flat = fit_intensities(rows, only).rates()
    level = semi_markov(flat, care, states=["ill", "well", "dead"], **told)
    assert level.reserve("ill", 2.0) < 0.75 * truth.reserve("ill", 2.0)


def test_rates_by_middles_and_other_factors(rows):
    parts = cut_spells(
        rows, GRAPH, [0.25, 0.5, 1.0, 2.0, 4.0], ages=[55.0, 60.0, 65.0], keys=["sex"]
    )
    only = state_graph({"ill": ["well"]}, ["ill", "well"])
    alone = parts.with_columns(to_state=pl.when(pl.col("to_state") == "well").then("to_state"))
    found = fit_intensities(alone, only, "duration + attained_age + sex", base={"sex": "f"})
    said = found.details["models"][0]
    b = said["coefficients"]
    rates = duration_rates(
        found, [0.25, 0.5, 1.0, 2.0, 4.0], ages=[55.0, 60.0, 65.0], at={"sex": "m"}
    )
    z = np.array([0.0, 1.0, 3.0])
    want = np.exp(b[0] + b[1] * z + b[2] * 58.0 + b[3])
    assert rates[("ill", "well")](58.0, z) == pytest.approx(want, rel=1e-12)


def test_bad_input_is_refused(rows):
    some = rows.head(50).with_columns(began=pl.col("entry") + 1.0, words=pl.lit("x"))
    for options, said in (
        ({"durations": []}, "no durations to cut at"),
        ({"durations": [0.0, 1.0]}, "durations must be finite and rise, above 0"),
        ({"durations": [2.0, 1.0]}, "durations must be finite and rise"),
        ({"durations": CUTS, "ages": [60.0, 60.0]}, "ages must be finite and rise"),
        ({"durations": CUTS, "began": "began"}, "'began' is after 'entry' in 50 of 50 rows"),
        ({"durations": CUTS, "began": "words"}, "'words' is String"),
        ({"durations": CUTS, "began": "beg"}, "beg"),
        ({"durations": CUTS, "keys": ["duration"]}, "keys with a name of ours: duration"),
    ):
        with pytest.raises(InputError, match=said):
            cut_spells(some.with_columns(duration=1.0), GRAPH, **options)
    null = some.with_columns(began=pl.lit(None, pl.Float64))
    with pytest.raises(InputError, match="'began' is null or not finite in 50 of 50"):
        cut_spells(null, GRAPH, CUTS, began="began")
    only = state_graph({"ill": ["well", "dead"]}, ["ill", "well", "dead"])
    found = fit_intensities(cut_spells(rows, GRAPH, CUTS), only, "duration_band")
    with pytest.raises(InputError, match=r"duration_band '0\.5-2' is none of durations=\[0\.5\]"):
        duration_rates(found, [0.5])
    with pytest.raises(InputError, match="follows from the age and the duration"):
        duration_rates(found, CUTS, at={"duration_band": "2+"})
    with pytest.raises(InputError, match="'sex' is in none of the models"):
        duration_rates(found, CUTS, at={"sex": "m"})
    short = rows.filter(pl.col("exit") - pl.col("entry") < 2.0)
    found = fit_intensities(cut_spells(short, GRAPH, CUTS), only, "duration_band")
    with pytest.raises(InputError, match=r"ill to well: nobody was seen in duration_band '2\+'"):
        duration_rates(found, CUTS)


def test_a_level_nobody_in_the_state_has_is_refused():
    """Without it the rate of another level would be given in silence."""
    rows = pl.DataFrame({
        "from_state": ["well"] * 4 + ["ill"] * 6, "exit": [1.0, 2, 3, 4, 1, 2, 3, 1, 2, 3],
        "to_state": ["ill", "ill", "ill", None, *["well"] * 6],
        "plan": ["a", "b", "a", "b", "a", "b", "c", "a", "b", "c"],
    })  # fmt: skip
    graph = state_graph([("well", "ill"), ("ill", "well")])
    found = fit_intensities(rows, graph, "plan")
    assert found.rates({"plan": "b"})
    with pytest.raises(InputError, match="well to ill: nobody was seen in well with 'plan' 'c'"):
        found.rates({"plan": "c"})
