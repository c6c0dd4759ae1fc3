"""Dislocation: old against new premium adds up over bands and segments, on rows and on cells."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from pricing.errors import InputError
from pricing.experience.cells import Experience
from pricing.result.shape import Result
from pricing.tariff.dislocation import dislocation
from pricing.tariff.rates import tariff_from

OLD = tariff_from(1000.0, {"age": {"a": 1.0, "b": 1.5, "c": 2.0}, "sex": {"f": 1.0, "m": 1.2}})
NEW = tariff_from(1020.0, {"age": {"a": 0.9, "b": 1.5, "c": 2.4}, "tier": {"x": 1.0, "y": 1.1}})


def book(n=3_000, seed=5):
    draw = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "age": draw.choice(list("abc"), n),
            "sex": draw.choice(list("fm"), n),
            "tier": draw.choice(list("xy"), n),
            "region": draw.choice(["n", "s"], n),
            "exposure": draw.uniform(0.1, 1.0, n),
            "claims": draw.poisson(0.2, n),
        }
    )


def test_it_is_the_sum_over_policies_in_every_view():
    rows = book()
    priced = OLD.price(rows).rename({"premium": "old"}).pipe(NEW.price)
    e = priced["exposure"]
    old, new = (priced["old"] * e).sum(), (priced["premium"] * e).sum()
    change = (priced["premium"] / priced["old"] - 1).round(9)
    found = dislocation(OLD, NEW, rows, by=["region", "age"])
    assert found.facts["total_change"] == pytest.approx(new / old - 1, rel=1e-12)
    assert found.facts["up"] == pytest.approx(e.filter(change > 0).sum() / e.sum())
    assert found.facts["down"] == pytest.approx(e.filter(change < 0).sum() / e.sum())
    assert found.facts["beyond"] == pytest.approx(e.filter(change.abs() > 0.1).sum() / e.sum())
    assert (found.facts["most"], found.facts["least"]) == (change.max(), change.min())
    table = found.table
    assert table["rows"].sum() == rows.height == found.basis.rows
    assert table["share_exposure"].sum() == pytest.approx(1)
    assert table["premium_new"].sum() == pytest.approx(new, rel=1e-12)
    edges = [-np.inf, -0.2, -0.1, -0.05, -0.01, 0.01, 0.05, 0.1, 0.2, np.inf]
    counts = [int(((change >= a) & (change < b)).sum()) for a, b in pairwise(edges)]
    assert table["rows"].to_list() == counts
    assert table["change_band"].to_list()[0] == "< −20%"
    assert table["change_band"].to_list()[4] == "−1% … +1%"
    segments = found.frames["segments"]
    for term in ("region", "age"):
        own = segments.filter(pl.col("term") == term)
        assert own["premium_old"].sum() == pytest.approx(old, rel=1e-12)
        assert own["exposure"].sum() == pytest.approx(e.sum())
    south = priced.filter(pl.col("region") == "s")
    want = (south["premium"] * south["exposure"]).sum() / (
        south["old"] * south["exposure"]
    ).sum() - 1
    assert segments.filter(level="s")["change"].item() == pytest.approx(want)
    extremes = found.frames["extremes"]
    assert extremes["change"][0] == change.max()
    assert extremes["change"][-1] == change.min()
    assert extremes.select("age", "sex", "tier").row(0) == ("c", "f", "y")


def test_rows_cells_halves_and_lazy_frames_agree():
    rows = book()
    whole = dislocation(OLD, NEW, rows)
    seen = Experience.collect(rows, ["age", "sex", "tier", "region"])
    half = rows.with_columns(pl.col("exposure") / 2)
    enum = rows.cast({"age": pl.Enum(list("cab"))}).sort("exposure")
    for other in (seen, rows.lazy(), pl.concat([half, half]), enum):
        found = dislocation(OLD, NEW, other)
        for name in ("exposure", "premium_old", "premium_new"):
            np.testing.assert_allclose(found.table[name], whole.table[name], rtol=1e-12)
        assert found.facts["total_change"] == pytest.approx(whole.facts["total_change"])
    assert dislocation(OLD, NEW, seen).table["rows"].equals(whole.table["rows"])


def test_nothing_changes_between_a_tariff_and_itself():
    found = dislocation(OLD, OLD, book())
    assert found.table.filter(pl.col("rows") > 0)["change_band"].to_list() == ["−1% … +1%"]
    assert (found.facts["up"], found.facts["down"], found.facts["total_change"]) == (0, 0, 0)
    assert found.frames["extremes"].is_empty()
    flat = tariff_from(10.0, {}), tariff_from(12.0, {})
    assert dislocation(*flat, book()).facts["total_change"] == pytest.approx(0.2)


def test_it_speaks_draws_and_is_saved(tmp_path):
    found = dislocation(OLD, NEW, book())
    assert "changes total premium by" in found.finding("en")
    assert "新费率使总保费变化" in found.finding("zh")
    figure = found.figure("zh")
    assert list(figure.data[0].y) == found.table["share_exposure"].to_list()
    assert figure.layout.xaxis.title.text == "保费变动"
    assert list(found.figure(factor="age").data[1].x) == ["a", "b", "c"]
    found.save(tmp_path / "d")
    assert Result.load(tmp_path / "d").table.equals(found.table)
    with pytest.raises(InputError, match="'agee' is no segment; did you mean 'age'"):
        found.figure(factor="agee")


@pytest.mark.parametrize("change, options, said", [
    ({"age": pl.lit("z")}, {}, "age: 3,000 rows, such as 'z'"),
    ({"tier": pl.lit(None, pl.String)}, {"unknown": "base"}, "tier: 3,000 rows, such as None"),
    ({"exposure": pl.lit(0.0)}, {}, "exposure: 3,000 rows, such as '0.0'"),
    ({}, {"exposure": "exposures"}, "'exposures'; did you mean 'exposure'"),
    ({}, {"by": ["regoin"]}, "'regoin'; did you mean 'region'"),
    ({}, {"edges": [0.1, 0.1]}, "edges do not rise"),
    ({}, {"edges": []}, "edges do not rise"),
    ({}, {"limit": -1.0}, "limit is -1.0"),
    ({}, {"most": 0}, "most is 0"),
])  # fmt: skip
def test_what_cannot_be_compared_is_refused(change, options, said):
    with pytest.raises(InputError) as refused:
        dislocation(OLD, NEW, book().with_columns(**change), **options)
    assert said in str(refused.value)


def test_no_rows_and_two_currencies_are_refused():
    with pytest.raises(InputError, match="the book has no rows"):
        dislocation(OLD, NEW, book()[:0])
    with pytest.raises(InputError, match="currencies differ: CNY and EUR"):
        dislocation(OLD, NEW.having(currency="EUR"), book())


def test_a_level_unknown_to_both_may_be_priced_as_the_base():
    rows = book().with_columns(age=pl.lit("z"))
    found = dislocation(OLD, NEW, rows, unknown="base", by=["age"])
    assert found.frames["segments"]["level"].to_list() == ["z"]
