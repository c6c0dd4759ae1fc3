"""Survival where numbers get hard: fractions of lives, any stratum's name, strata and ages nobody lives to."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from pricing.errors import InputError
from pricing.experience.cells import Experience
from pricing.survival.competing import cumulative_incidence
from pricing.survival.curve import survival_curve
from pricing.survival.life_table import life_table
from pricing.survival.lives import Lives
from pricing.survival.log_rank import log_rank


def drawn(n=200, seed=1):
    draw = np.random.default_rng(seed)
    return pl.DataFrame({
        "exit": np.ceil(draw.exponential(5.0, n) * 2) / 2, "event": draw.integers(0, 3, n),
        "g": draw.choice(["a", "b", "c"], n), "z": draw.choice(["x", "y"], n),
    })  # fmt: skip


NAMES = ["group", "area", "first", "last", "term", "before", "over", "width", "rest", "full", "at", "ahead",
         "variance", "a", "b", "c", "af", "n", "t", "d", "y", "f", "k0", "early", "unweighed", "cut"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_stratum_may_have_any_name(name):
    rows = drawn()
    plain, other = (
        Lives.collect(rows, ["g", "z"]),
        Lives.collect(rows.rename({"g": name}), [name, "z"]),
    )
    back = {name: "g"}
    for found, want in (
        (survival_curve(other), survival_curve(plain)),
        (cumulative_incidence(other), cumulative_incidence(plain)),
    ):
        assert found.table.rename(back).equals(want.table)
    curve, want = survival_curve(other), survival_curve(plain)
    assert curve.survival_at(2.0, 9.0).rename(back).equals(want.survival_at(2.0, 9.0))
    assert curve.restricted_mean(4.0).rename(back).equals(want.restricted_mean(4.0))
    assert curve.quantiles(0.25).rename(back).equals(want.quantiles(0.25))
    at = cumulative_incidence(other).incidence_at(2.0).rename(back)
    assert at.equals(cumulative_incidence(plain).incidence_at(2.0))
    for test in ("log_rank", "peto"):
        for factor, strata in ((name, ["z"]), ("z", [name]), (name, [])):
            again = {"z": "z", name: "g"}
            ours = log_rank(other, factor, strata=strata, test=test)
            theirs = log_rank(plain, again[factor], strata=[again[s] for s in strata], test=test)
            assert ours.chi_squared == pytest.approx(theirs.chi_squared, rel=1e-12)


@pytest.mark.parametrize("weight", [0.1, 0.3, 1 / 3, 0.01])
@pytest.mark.parametrize("many", [10, 20, 31])
def test_log_rank_of_fractions_of_lives(weight, many):
    """Chi-squared is about the weight times that of whole lives, never next to nothing or beyond it."""
    rows = pl.DataFrame({
        "exit": np.arange(1.0, many + 1), "event": [1] * many, "w": [weight] * many,
        "g": ["a" if i % 3 else "b" for i in range(many)],
    })  # fmt: skip
    whole = log_rank(Lives.collect(rows, ["g"]), "g").chi_squared
    part = log_rank(Lives.collect(rows, ["g"], weight="w"), "g").chi_squared
    assert 0.6 * weight * whole < part <= weight * whole * (1 + 1e-9)


def test_whole_lives_have_the_hypergeometric_variance():
    rows = pl.DataFrame({"exit": [1, 1, 1, 2, 2], "event": [1, 1, 0, 1, 1], "g": list("aabba")})
    found = log_rank(Lives.collect(rows, ["g"]), "g")
    # at 1: n 5, d 2, 3 of a; at 2: n 2, both leave: no variance
    assert found.details["covariance"][0][0] == pytest.approx(2 * 3 / 4 * 0.6 * 0.4)


def test_strata_that_are_gone_before_the_start_are_named():
    rows = pl.DataFrame(
        {"exit": [1.0, 2, 8, 9], "event": [1, 1, 1, 0], "g": ["甲", "甲", "乙", "乙"]}
    )
    lives = Lives.collect(rows, ["g"])
    for found in (survival_curve(lives, start=5.0), cumulative_incidence(lives, start=5.0)):
        assert found.facts["gone"] == ["甲"]
        assert any("no curve: 甲" in note for note in found.basis.notes)
        assert all("甲" in found.finding(lang) for lang in ("en", "zh"))
        assert "甲" not in found.table["g"].cast(pl.String).to_list()
    assert survival_curve(lives).facts["gone"] == []


def table_of(years, deaths, **options):
    rows = {
        "age": range(60, 60 + len(deaths)),
        "exposure": [float(e) for e in years],
        "claims": deaths,
    }
    return life_table(Experience.collect(pl.DataFrame(rows), ["age"]), **options).table


@pytest.mark.parametrize("exposure", ["central", "initial"])
def test_years_to_come_at_ages_after_one_that_nobody_survives(exposure):
    years = [10.0, 2.0 if exposure == "initial" else 1.0, 5.0, 5.0]
    found = table_of(years, [1, 2, 1, 1], exposure=exposure)
    assert found["q_x"][1] == 1.0
    assert found["l_x"].to_list()[2:] == [0.0, 0.0]
    alone = table_of(years[2:], [1, 1], exposure=exposure)
    for name in ("e_x", "e_x_std_error", "e_x_lower", "e_x_upper"):
        assert found[name].to_list()[2:] == pytest.approx(alone[name].to_list())
    assert found["e_x"][1] == 0.5


@pytest.mark.parametrize("within", ["uniform", "constant"])
@pytest.mark.parametrize("open_end", [True, False])
def test_years_to_come_are_sums_of_years_lived(within, open_end):
    found = table_of([900, 800, 700, 500], [9, 0, 30, 80], within=within, open_end=open_end)
    ahead = found["years_x"].reverse().cum_sum().reverse()
    assert np.allclose(found["e_x"], ahead / found["l_x"], rtol=1e-13)


def test_a_table_without_deaths_counts_its_years():
    found = table_of([10, 5], [0, 0], open_end=False)
    assert found["e_x"].to_list() == [2.0, 1.0]
    with pytest.raises(InputError, match="no death at 61"):
        table_of([10, 5], [1, 0])


def test_a_restricted_mean_lies_within_its_horizon():
    rows = pl.DataFrame({"entry": [0.0, 0, 5], "exit": [1.0, 2, 7], "event": [1, 0, 1]})
    found = survival_curve(Lives.collect(rows, entry="entry")).restricted_mean(7.0)
    assert found.row(0)[1] == 4.0
    assert found.select("lower", "upper").row(0) == (0.0, 7.0)


def test_times_that_differ_by_the_last_bit_are_one():
    """0.1 * 3 is above 0.3 in the last bit: who enters at 0.3 is not yet at risk at 0.1 * 3."""
    late = pl.DataFrame({"entry": [0.0, 0.3], "exit": [0.1 * 3, 1.0], "event": [1, 1]})
    found = survival_curve(Lives.collect(late, entry="entry")).table
    assert found.select("time", "at_risk").row(0) == (0.3, 1.0)
    draw = np.random.default_rng(4)
    months = draw.integers(1, 60, 300)
    rows = pl.DataFrame({"event": draw.integers(0, 3, 300), "g": draw.choice(["a", "b"], 300)})
    ways = [months / 12, months * (1 / 12), np.array([sum([1 / 12] * m) for m in months])]
    pick = draw.integers(0, 3, 300)
    mixed = np.choose(pick, ways)
    assert len(np.unique(mixed)) > len(np.unique(ways[0]))
    plain, other = (
        Lives.collect(rows.with_columns(exit=pl.Series(x)), ["g"]) for x in (ways[0], mixed)
    )
    a, b = cumulative_incidence(plain).table, cumulative_incidence(other).table
    assert a.height == b.height
    assert np.allclose(a["std_error"], b["std_error"], rtol=1e-9, equal_nan=True)
    assert log_rank(plain, "g").chi_squared == pytest.approx(
        log_rank(other, "g").chi_squared, rel=1e-12
    )
    apart = pl.DataFrame({"exit": [1.0, 1.0 + 1e-9], "event": [1, 1]})
    assert survival_curve(Lives.collect(apart)).table.height == 2
    nothing = pl.DataFrame({"entry": [0.3], "exit": [0.1 * 3], "event": [1]})
    with pytest.raises(InputError, match="'exit' is not after 'entry' in 1 of 1 rows"):
        Lives.collect(nothing, entry="entry")
