"""Comparisons under attack: factors that decide the answer, lots that move nobody, panels with holes."""

import numpy as np
import polars as pl
import pytest

import pricing.causal.side_by_side as compared
from pricing.causal.differences import difference_in_differences
from pricing.causal.encouragement import encouragement
from pricing.causal.falsification import e_value
from pricing.causal.people import People
from pricing.causal.power import detectable_effect, people_needed, power_statement
from pricing.causal.side_by_side import side_by_side
from pricing.causal.two_periods import two_periods
from pricing.errors import InputError

WHO = {"treated": "in", "person": "id", "period": "year"}
N = 600


def book(seed=3):
    """Three years of people; some join after the first, without any effect."""
    rng = np.random.default_rng(seed)
    age = rng.integers(30, 65, N)
    joins = rng.random(N) < 0.4
    return pl.concat(
        pl.DataFrame(
            {
                "id": np.arange(N), "year": year, "in": joins & (year > 0), "age": age * 1.0,
                "claims": rng.poisson(np.exp(-0.5 + 0.02 * (age - 45))) * 1.0, "exposure": 1.0,
                "invited": np.arange(N) % 2 == 0,
            }
        )
        for year in range(3)
    )  # fmt: skip


@pytest.mark.parametrize("factor", ["claims", "in", "id"])
def test_the_answer_is_no_factor(factor):
    for run in (
        lambda: side_by_side(book(), factors=[factor], **WHO),
        lambda: difference_in_differences(book(), factors=[factor], **WHO),
        lambda: People.collect(book(), treated="in", person="id", factors=[factor]),
    ):
        with pytest.raises(InputError, match="the comparison is made of it"):
            run()


def test_a_factor_that_cannot_be_read_is_not_left_out_unsaid():
    """One NaN made the spread NaN, and the factor was dropped while the notes still named it."""
    holed = book().with_columns(age=pl.when(pl.col("id") == 3).then(float("nan")).otherwise("age"))
    with pytest.raises(InputError, match="1 rows of the year before joining lack a factor"):
        difference_in_differences(holed, factors=["age"], **WHO)


def test_a_birth_date_or_an_id_is_no_factor():
    born = book().with_columns(born=pl.date(1980, 1, 1) + pl.duration(days=pl.col("id")))
    with pytest.raises(InputError, match="every value would be a level of its own"):
        People.collect(born, treated="in", factors=["born"])
    named = book().with_columns(name=pl.format("p{}", "id"))
    with pytest.raises(InputError, match="an id is no factor"):
        People.collect(named, treated="in", factors=["name"])


def test_a_lot_that_keeps_people_out_is_no_encouragement():
    rows = book().filter(pl.col("year") == 1)
    rows = rows.with_columns(pl.Series("in", ~rows["invited"]))
    with pytest.raises(InputError, match=r"brought nobody into the programme: it moved -100.0%"):
        encouragement(rows, encouraged="invited", treated="in")


@pytest.mark.parametrize(
    ("line", "believed"), [(10.0, "encouragement"), (1e9, "doubly robust DiD")]
)
def test_a_weak_lot_is_shown_but_not_believed(line, believed, monkeypatch):
    monkeypatch.setattr(compared, "WEAK", line)
    rng = np.random.default_rng(8)
    lot, moved, own = np.arange(N) % 2 == 0, rng.random(N) < 0.5, rng.random(N) < 0.2
    joins = np.tile((lot & moved) | own, 3)
    rows = book().with_columns(pl.Series("in", joins) & (pl.col("year") > 0))
    found = side_by_side(
        rows.filter(pl.col("year") < 2), factors=["age"], encouraged="invited", **WHO
    ).effects
    assert "encouragement" in found.table["estimator"].to_list()
    assert found.facts["believed_by"] == believed
    assert any("means little" in note for note in found.basis.notes) == (line > 10)


def test_people_seen_once_have_no_differences_and_it_is_said():
    once = book().with_columns(id=pl.int_range(pl.len()))
    found = side_by_side(once, factors=["age"], **WHO)  # no warning of an empty pair either
    assert "doubly robust DiD" not in found.effects.table["estimator"].to_list()
    assert any("no differences in differences" in note for note in found.effects.basis.notes)


@pytest.mark.parametrize("wrong", [
    lambda: side_by_side(book(), folds="3", **WHO),
    lambda: side_by_side(book(), folds=2.0, **WHO),
    lambda: side_by_side(book(), cap="5", **WHO),
    lambda: side_by_side(book().lazy(), **WHO),
    lambda: side_by_side(book().head(0), **WHO),
    lambda: e_value("x"),
    lambda: people_needed("x", 3.0),
    lambda: people_needed(0.05, "x"),
    lambda: detectable_effect("x", 3.0),
    lambda: detectable_effect(float("inf"), 3.0),
    lambda: power_statement(book(), treated="in", effect="x"),
    lambda: two_periods(np.ones(3), np.ones(4), np.array([True, False, False])),
    lambda: two_periods(np.array([1, np.nan, 1]), np.ones(3), np.array([True, False, False])),
    lambda: two_periods(np.ones(3), np.ones(3), np.array([True, False, False]), weight=np.zeros(3)),
])  # fmt: skip
def test_what_is_no_input_is_refused(wrong):
    with pytest.raises(InputError):
        wrong()
