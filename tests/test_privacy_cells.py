"""Small cells: hidden in every face, and nothing that is shown gives one back."""

from __future__ import annotations

import json
import re

import numpy as np
import polars as pl
import pytest

from pricing.errors import InputError
from pricing.privacy.complement import Cells, audit, complementary
from pricing.privacy.small_cells import suppressed
from pricing.report.page import write
from pricing.result.shape import Basis, Result
from pricing.study.chain import open_study

M = 10


def crossed(table):
    """The cells of a table with the totals of its rows, its columns and the whole."""
    at = np.arange(table.size).reshape(table.shape)
    lines = [*at, *at.T, at.ravel()]
    totals = [tuple(int(i) for i in line) for line in lines if table.ravel()[line].sum() >= M]
    values = table.ravel().astype(float)
    return Cells(values, (values > 0) & (values < M), totals, float(M))


def ends_by_counting(cells, hidden):
    """What each small cell may hold, found by trying every table of whole numbers."""
    places = np.flatnonzero(hidden)
    least, most = (e[places] for e in cells.within())
    least = np.maximum(least, cells.values[places] - 7)  # a small cell moves by less
    most = np.minimum(most, cells.values[places] + 7)
    matrix = cells.matrix.toarray()[:, places]
    sums = matrix @ cells.values[places]
    ranges = [np.arange(int(a), int(b) + 1) for a, b in zip(least, most, strict=True)]
    tables = np.array(np.meshgrid(*ranges)).reshape(len(places), -1)
    found = tables[:, np.all(np.isclose(matrix @ tables, sums[:, None]), axis=0)].T
    return {int(p): (found[:, k].min(), found[:, k].max()) for k, p in enumerate(places)}


def test_one_small_cell_takes_the_least_other_one_along():
    values = np.array([3.0, 400.0, 25.0, 60.0])
    cells = Cells(values, values < M, [(0, 1, 2, 3)], M)
    hidden, told = complementary(cells)
    assert hidden.tolist() == [True, False, True, False]
    assert told.tolist() == [True, False, False, False]


def test_the_next_cell_is_not_enough_where_it_is_barely_large_enough():
    """3 + 12: who knows that the second holds 10 or more would know that the first holds 5 or less."""
    values = np.array([3.0, 12.0, 60.0])
    hidden, _ = complementary(Cells(values, values < M, [(0, 1, 2)], M))
    assert hidden.tolist() == [True, False, True]


def test_two_by_two_hides_all_and_three_by_three_a_rectangle():
    hidden, _ = complementary(crossed(np.array([[3, 40], [50, 60]])))
    assert hidden.all()
    table = np.array([[3, 90, 40], [80, 95, 99], [30, 98, 35]])
    hidden, _ = complementary(crossed(table))
    assert hidden.reshape(3, 3).tolist() == [
        [True, False, True],
        [False, False, False],
        [True, False, True],
    ]


@pytest.mark.parametrize("seed", range(12))
def test_random_tables_are_protected(seed):
    draw = np.random.default_rng(seed)
    table = draw.choice([0, 2, 5, 9, 15, 30, 60, 200], size=(4, 4))
    table[seed % 4, seed // 4] = 3  # one is small in every table
    cells = crossed(table)
    hidden, told = complementary(cells)
    if told[cells.small].all():
        assert audit(cells, hidden)["protected"].all()
    else:  # no complement is large enough: it is not said which are small, or everything is hidden
        untold = audit(cells, hidden, kinds_told=False)["protected"]
        assert untold.all() or hidden[cells.values > 0].all()
    assert not hidden[cells.values == 0].any()
    assert hidden[cells.small].all()


def test_the_audit_is_what_counting_says():
    cells = crossed(np.array([[3, 40, 20], [50, 60, 70]]))
    hidden = np.array([True, True, False, True, True, False])
    told = {r[0]: (r[1], r[2]) for r in audit(cells, hidden).iter_rows()}
    assert told[0] == ends_by_counting(cells, hidden)[0] == (1, 9)
    bare = np.array([True, True, False, False, False, False])
    assert audit(cells, bare)["protected"].to_list() == [False]
    assert audit(cells, bare)["lower"].item() == audit(cells, bare)["upper"].item() == 3


def test_the_order_of_cells_does_not_matter():
    values = np.array([3.0, 400.0, 25.0, 60.0, 7.0])
    order = np.array([4, 2, 0, 3, 1])
    one, _ = complementary(Cells(values, values < M, [tuple(range(5))], M))
    other, _ = complementary(Cells(values[order], values[order] < M, [tuple(range(5))], M))
    assert one[order].tolist() == other.tolist()


def test_cells_out_of_their_domain_are_refused_at_once():
    cells = Cells(np.array([-1.0, np.nan]), np.array([True, False]), [(0, 7)], M)
    with pytest.raises(InputError) as refused:
        complementary(cells)
    assert len(refused.value.faults) == 3


def table(**columns):
    return Result(table=pl.DataFrame(columns), basis=Basis(exposure=900.0))


def test_a_result_without_small_cells_is_the_very_same():
    big = table(sex=["f", "m"], exposure=[40.0, 50.0], claims=[12, 30])
    none = table(sex=["f", "m"], qx=[0.001, 0.002])
    found = suppressed({"a": big, "b": none})
    assert found["a"] is big
    assert found["b"] is none
    small = table(sex=["f", "m", "x"], exposure=[4.0, 50.0, 60.0])
    assert suppressed({"a": small}, 0)["a"] is small
    assert suppressed({"a": small}, 4)["a"] is small


def test_empty_cells_are_shown():
    found = suppressed({"a": table(sex=["f", "m"], exposure=[0.0, 50.0], claims=[0, 30])})
    assert found["a"].table["exposure"].to_list() == [0.0, 50.0]


def test_a_cell_is_hidden_in_every_table_that_shows_it():
    """Each alone would hide another cell beside the small one; together they would tell it."""
    levels, exposure = ["a", "b", "c", "d"], [4.0, 30.0, 40.0, 90.0]
    one = table(tier=levels, exposure=exposure, claims=[1, 20, 40, 60])
    other = table(
        term=["tier"] * 4, level=levels, exposure=exposure, relativity=[1.0, 1.1, 0.9, 1.2]
    )
    found = suppressed({"one": one, "other": other})
    hidden = [f.table["exposure"].is_null().to_list() for f in found.values()]
    assert hidden[0] == hidden[1] == [True, True, False, False]
    assert found["other"].table["relativity"].to_list() == [None, None, 0.9, 1.2]
    assert found["one"].table["claims"].to_list() == [None, None, 40, 60]


def test_few_claims_of_many_persons_hide_what_follows_from_them_and_not_the_persons():
    found = suppressed(
        {
            "a": table(
                sex=["f", "m", "x"],
                exposure=[500.0, 600.0, 700.0],
                claims=[3, 40, 50],
                frequency=[0.006, 0.07, 0.07],
            )
        }
    )["a"].table
    assert found["exposure"].to_list() == [500.0, 600.0, 700.0]
    assert found["claims"].to_list() == [None, None, 50]
    assert found["frequency"].to_list() == [None, None, 0.07]
    assert found["cell_hidden"].to_list() == ["<10", "withheld", None]


def test_a_row_of_the_total_does_not_give_a_small_cell_back():
    found = suppressed({"a": table(group=["a", "b", "c", "total"], members=[3, 50, 60, 113])})[
        "a"
    ].table
    assert found["members"].to_list() == [None, None, 60, 113]


def test_a_margin_published_elsewhere_counts_as_known():
    """Of b × x alone a neighbour would do; the table of rows tells its sum."""
    rows = [
        ("a", "x", 3),
        ("a", "y", 70),
        ("b", "x", 40),
        ("b", "y", 80),
        ("c", "x", 90),
        ("c", "y", 95),
    ]
    first, second, members = zip(*rows, strict=True)
    found = suppressed({"a": table(first=first, second=second, members=members)})["a"].table
    assert found["members"].to_list() == [None, None, None, None, 90, 95]


def test_a_hidden_figure_stands_in_no_fact_finding_or_figure():
    class Rates(Result):
        kind = "rates_of_a_test"

        def finding(self, lang="en"):
            return f"the highest rate is {self.facts['highest']:.4f}"

        def figure(self, lang="en"):
            import plotly.graph_objects as go

            return go.Figure(go.Bar(x=self.table["sex"].to_list(), y=self.table["rate"].to_list()))

    seen = Rates(
        table=pl.DataFrame(
            {"sex": ["f", "m", "x"], "exposure": [4.0, 60.0, 70.0], "rate": [0.2513, 0.07, 0.08]}
        ),
        facts={"highest": 0.2513, "list": [0.2513, 0.08]},
    )
    Result.kinds.pop("rates_of_a_test")
    found = suppressed({"a": seen})["a"]
    assert dict(found.facts) == {"highest": None, "list": [None, 0.08]}
    assert "fewer than 10" in found.finding("en")
    assert "少于 10" in found.finding("zh")
    assert "0.2513" not in found.figure().to_json()
    assert "0.08" in found.figure().to_json()


@pytest.mark.parametrize("minimum", [-1, 2.5, True, "10"])
def test_a_minimum_that_is_no_count_is_refused(minimum):
    with pytest.raises(InputError, match="minimum_cell"):
        suppressed({}, minimum)


STUDY = """
[study]
name = "small"
title = { en = "Small", zh = "小" }
source = { en = "made by a test", zh = "测试数据" }
EXTRA
[tables.person_years]
files = "years.csv"
[tables.person_years.factors]
health_group = ["G0", "G1"]
region = ["north", "south", "east"]
[model]
frequency = "region"
one_way = ["region"]
[discount]
order = ["G0", "G1"]
[premium]
target_loss_ratio = 0.7
cost_per_claim = 100.0
"""
RARE = 3.127  # policy-years of the one small cell


def small_study(folder, extra=""):
    draw = np.random.default_rng(5)
    region = np.array(["north"] * 300 + ["south"] * 200 + ["east"] * 4)
    exposure = np.full(504, 0.9)
    exposure[-4:] = RARE / 4
    claims = draw.poisson(0.8, 504)
    claims[-4:] = [1, 2, 0, 1]
    frame = pl.DataFrame(
        {"period": 2024, "exposure": exposure, "claims": claims, "region": region,
         "health_group": np.array(["G0", "G1"])[draw.integers(0, 2, 504)]}
    )  # fmt: skip
    frame.write_csv(folder / "years.csv")
    (folder / "study.toml").write_text(STUDY.replace("EXTRA", extra), encoding="utf-8")
    return open_study(folder / "study.toml")


def test_no_face_of_a_study_shows_the_small_cell(tmp_path):
    study = small_study(tmp_path)
    results = study.run()
    assert results["one_way:region"].table["exposure"].min() == pytest.approx(RARE)
    page = write(study, results, tmp_path / "out")
    text = page.read_text(encoding="utf-8")
    assert "&lt;10" in text
    assert "少于 10" in text
    assert "Cells of fewer than 10 are not shown" in text
    record = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    assert record["settings"]["study"]["minimum_cell"] == 10
    scanned = 0
    for path in (tmp_path / "out").rglob("*.parquet"):
        frame = pl.read_parquet(path)
        for name in frame.columns:
            if frame[name].dtype.is_numeric():
                scanned += 1
                near = (frame[name].cast(pl.Float64) - RARE).abs() < 1e-6
                assert not near.any(), (path, name)
    assert scanned > 100
    book = pl.read_excel(
        tmp_path / "out" / "tables.xlsx",
        sheet_name="one_way region",
        read_options={"header_row": 5},
    )
    assert book["cell_hidden"].to_list().count("<10") == 1
    assert book["exposure"].null_count() == 2
    alone = re.compile(r"(?<![\d.])3\.127")
    for path in (tmp_path / "out").rglob("*.csv"):
        assert not alone.search(path.read_text(encoding="utf-8-sig")), path
    assert not alone.search(text)
    read = Result.load(tmp_path / "out" / "results" / "one_way-region")
    assert read.finding("en") == suppressed(results)["one_way:region"].finding("en")


def test_switched_off_it_shows_all_and_says_so(tmp_path):
    study = small_study(tmp_path, "minimum_cell = 0")
    page = write(study, study.run(), tmp_path / "out").read_text(encoding="utf-8")
    assert "minimum_cell = 0" in page
    shown = pl.read_parquet(tmp_path / "out" / "tables" / "one_way-region.parquet")
    assert shown["exposure"].min() == pytest.approx(RARE)
    assert "cell_hidden" not in shown.columns
