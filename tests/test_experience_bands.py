"""Bands: edges, names, and what falls outside."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.errors import InputError
from pricing.experience.bands import band, band_labels
from pricing.experience.cells import Experience


def banded(values, edges):
    return pl.DataFrame({"x": values}).select(band("x", edges)).to_series()


def test_a_band_is_closed_on_the_left():
    below = np.nextafter(30.0, 0)
    found = banded([18.0, below, 30.0, 59.999, 60.0, 1e9], [18, 30, 60])
    assert found.to_list() == ["18-29", "18-29", "30-59", "30-59", "60+", "60+"]
    assert found.dtype == pl.Enum(["18-29", "30-59", "60+"])


def test_below_the_first_edge_null_nan_and_infinite_are_null_and_then_refused_with_a_count():
    values = [17.9, None, float("nan"), float("inf"), float("-inf"), 18.0]
    assert banded(values, [18, 30]).to_list() == [None] * 5 + ["18-29"]
    rows = pl.DataFrame({"x": values, "exposure": 1.0, "claims": 0}).with_columns(
        age=band("x", [18, 30])
    )
    with pytest.raises(InputError, match="'age' is null, NaN or infinite in 5 of 6 rows"):
        Experience.collect(rows, ["age"])


@pytest.mark.parametrize(
    ("edges", "names"),
    [
        ([0], ["0+"]),
        ([0, 1, 2], ["0", "1", "2+"]),
        ([-10, 0, 10], ["-10--1", "0-9", "10+"]),
        ([0, 0.5, 1], ["[0,0.5)", "[0.5,1)", "1+"]),
        ([18.0, 30.0], ["18-29", "30+"]),
        (
            [0, 100_000, 1_000_000, 2_000_000],
            ["0-99999", "100000-999999", "1000000-1999999", "2000000+"],
        ),
        ([1_234_567, 1_234_568, 1_234_569], ["1234567", "1234568", "1234569+"]),
        ([0.12345678, 0.12345679], ["[0.12345678,0.12345679)", "0.12345679+"]),
        ([0.1 + 0.2, 1], ["[0.3,1)", "1+"]),
    ],
)
def test_names_of_bands(edges, names):
    assert band_labels(edges) == names
    assert band_labels(np.array(edges)) == names
    assert banded([edges[0]], edges).to_list() == names[:1]


@pytest.mark.parametrize(
    "edges",
    [[], [1, 1], [2, 1], [0, float("inf")], [float("nan")], [None, 1], ["a", "b"], [0, None]],
)
def test_edges_that_cut_nothing_are_refused(edges):
    with pytest.raises(InputError, match="band edges must be finite and increasing"):
        band_labels(edges)


@given(st.sets(st.integers(-10_000_000, 10_000_000), min_size=1, max_size=12), st.data())
def test_every_value_falls_in_the_band_whose_edges_hold_it(cuts, data):
    edges = sorted(cuts)
    values = data.draw(st.lists(st.integers(edges[0], edges[-1] + 100), min_size=1, max_size=20))
    labels = band_labels(edges)
    assert len(set(labels)) == len(labels) == len(edges)
    place = [int(np.searchsorted(edges, v, side="right")) - 1 for v in values]
    assert banded(values, edges).to_list() == [labels[p] for p in place]


def test_an_expression_can_be_banded():
    frame = pl.DataFrame({"birth": [1990], "on": [2024]})
    assert frame.select(age=band(pl.col("on") - pl.col("birth"), [18, 34])).item() == "34+"
