"""Panels where numbers get hard: visits a day apart, far apart, odd states, breaks."""

from __future__ import annotations

from fractions import Fraction
from math import log

import numpy as np
import polars as pl
import pytest

from pricing.errors import InputError
from pricing.multistate.effects import panel_effects
from pricing.multistate.exponential import exponentials
from pricing.multistate.graph import state_graph
from pricing.multistate.likelihood import PanelLikelihood
from pricing.multistate.occupancy import aalen_johansen
from pricing.multistate.panel import fit_panel, panel_log_likelihood
from pricing.multistate.stays import stays
from pricing.multistate.visits import read_visits

ROW = state_graph([("a", "b"), ("b", "c"), ("c", "d"), ("d", "e")])
RATES = dict(zip(ROW.moves, (0.1, 0.11, 0.12, 0.13), strict=True))
ROUND = state_graph({"well": ["ill", "dead"], "ill": ["well", "dead"]}, ["well", "ill", "dead"])


def exactly(q, years):
    """Exponential of a matrix in fractions, to 50 digits."""
    size = range(len(q))
    step = [[Fraction(x) * Fraction(years) for x in row] for row in q.tolist()]
    term = total = [[Fraction(i == j) for j in size] for i in size]
    for k in range(1, 30):
        term = [
            [
                Fraction(int(sum(term[i][m] * step[m][j] for m in size) / k * 10**60), 10**60)
                for j in size
            ]
            for i in size
        ]
        total = [[total[i][j] + term[i][j] for j in size] for i in size]
    return total


@pytest.mark.parametrize("years", [1.0, 0.1, 1 / 52, 1 / 365, 1e-4])
def test_four_moves_between_visits_a_day_apart(years):
    q = ROW.matrix(np.array(list(RATES.values())))
    truth = exactly(q, years)
    rows = pl.DataFrame({"person": [1, 1], "time": [0.0, years], "state": ["a", "e"]})
    said = log(truth[0][4].numerator) - log(truth[0][4].denominator)
    assert panel_log_likelihood(rows, ROW, RATES) == pytest.approx(said, rel=1e-8)
    entered = truth[0][3] * Fraction(0.13)
    said = log(entered.numerator) - log(entered.denominator)
    assert panel_log_likelihood(rows, ROW, RATES, exact=["e"]) == pytest.approx(said, rel=1e-8)
    found = exponentials(q[None], np.array([years]))[0]
    assert found[0] == pytest.approx([float(p) for p in truth[0]], rel=1e-6)


@pytest.mark.parametrize("years", [1e-3, 1e-6, 1e-9])
def test_derivatives_where_chances_are_small(years):
    rows = pl.DataFrame({
        "person": [1, 1, 2, 2, 3, 3, 3], "time": [0.0, years, 0.0, 1.0, 0.0, years, 2.0],
        "state": ["a", "d", "a", "b", "a", "c", "e"],
    })  # fmt: skip
    visits = read_visits(rows, ROW, exact=["e"])
    e = panel_effects(visits)
    likelihood = PanelLikelihood(
        visits.graph, e.group, visits.years, visits.start, visits.allowed, visits.exact, visits.first,
        visits.length, e.design, e.free,
    )  # fmt: skip
    at = np.log([0.2, 0.3, 0.1, 0.4])
    found = likelihood.at(at)
    steps = 1e-5 * np.eye(4)
    slope = [(likelihood.at(at + s).value - likelihood.at(at - s).value) / 2e-5 for s in steps]
    curve = [(likelihood.at(at + s).score - likelihood.at(at - s).score) / 2e-5 for s in steps]
    assert found.score == pytest.approx(slope, abs=1e-5)
    assert found.hessian == pytest.approx(np.array(curve), abs=1e-5)


def test_what_reading_a_number_as_a_state_must_not_do():
    rows = pl.DataFrame({"person": [1, 1], "time": [0.0, 1.0], "state": [1.0, 2.7]})
    with pytest.raises(InputError, match=r"state '2\.7' in 1 of 2 rows"):
        read_visits(rows, state_graph([("1", "2")]))
    whole = rows.with_columns(state=pl.Series([1.0, 2.0]))
    assert read_visits(whole, state_graph([("1", "2")])).rows["state"].to_list() == ["1", "2"]


def test_who_died_does_not_die_again():
    rows = pl.DataFrame(
        {"person": [1, 1, 1], "time": [0.0, 1.0, 2.0], "state": ["well", "dead", "dead"]}
    )
    with pytest.raises(
        InputError, match="'dead', entered at an exact time, is entered again 1 times"
    ):
        read_visits(rows, ROUND, exact=["dead"])
    assert len(read_visits(rows, ROUND).years) == 2


def drawn(persons, seed, gap=1.0, fast=1.0):
    """Two states, there and back, seen every ``gap`` years."""
    draw = np.random.default_rng(seed)
    stay = 0.5 + 0.5 * np.exp(-2 * fast * gap)
    moved = draw.random((persons, 4)) > stay
    state = np.concatenate([np.zeros((persons, 1)), np.cumsum(moved, axis=1) % 2], axis=1)
    return pl.DataFrame({
        "person": np.repeat(np.arange(persons), 5), "time": np.tile(np.arange(5) * gap, persons),
        "state": np.where(state.ravel() == 0, "well", "ill"),
    })  # fmt: skip


def test_visits_too_far_apart_are_said_so():
    pair = state_graph([("well", "ill"), ("ill", "well")])
    said = [fit_panel(drawn(200, seed, gap=0.3), pair) for seed in (1, 2)]
    assert all(model.facts["endless"] == [] for model in said)
    assert not any("no end" in note for note in said[0].basis.notes)
    told = 0
    for seed in range(8):  # at equilibrium long before the next visit
        try:
            model = fit_panel(drawn(60, seed, gap=8.0), pair)
        except InputError:  # not even a maximum
            continue
        assert model.facts["endless"] == ["well to ill", "ill to well"]
        assert any("upper limits of these have no end" in note for note in model.basis.notes)
        assert "no end" in model.finding("en")
        assert "上限无从确定" in model.finding("zh")
        told += 1
    assert told


def test_a_stay_where_intensities_change_needs_its_stretch():
    model = fit_panel(drawn(200, 5), state_graph([("well", "ill"), ("ill", "well")]), breaks=[2.0])
    with pytest.raises(InputError, match="no one length of a stay holds"):
        stays(model, horizon=5.0)
    found = [
        stays(model, horizon=5.0, at={"time_period": p}).table["sojourn"][0] for p in ("<2", "2+")
    ]
    assert found[0] != found[1]


def test_covariates_called_as_ours_or_as_the_clock():
    pair = state_graph([("well", "ill"), ("ill", "well")])
    rows = drawn(100, 3, gap=0.3)
    with pytest.raises(InputError, match="a covariate is called 'time_period'"):
        fit_panel(rows.with_columns(time_period=pl.col("person") % 2), pair, formula="time_period")
    clock = fit_panel(rows.rename({"time": "years"}), pair, time="years", formula="years")
    same = fit_panel(rows, pair, formula="time")
    assert clock.facts["log_likelihood"] == pytest.approx(same.facts["log_likelihood"])


def test_occupancy_says_where_nobody_is_observed():
    """Lives expected in a state in which no spell is: their share stays, and the basis says so."""
    rows = pl.DataFrame(
        {"from_state": ["ill"] * 3, "to_state": ["dead", None, "dead"], "exit": [1.0, 2.0, 3.0]}
    )
    found = aalen_johansen(rows, ROUND, start="well")
    assert (
        "well: none of the lives expected there is observed at 2 times of moves"
        in found.basis.notes
    )
    seen = aalen_johansen(rows, ROUND, start="ill")
    assert not any("none of the lives" in note for note in seen.basis.notes)
