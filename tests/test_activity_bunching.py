"""Crowding above a threshold: known truth, size of the test, McCrary's own error, bad input."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from pricing.activity.bunching import Bunching, bunching
from pricing.errors import InputError
from pricing.result.shape import Result


def walked(n=6_000, persons=300, seed=1, push=0.0, same=0.0):
    """Normal days; some of those up to 400 below 7,000 are pushed over it; persons alike by ``same``."""
    draw = np.random.default_rng(seed)
    person = np.arange(n) % persons
    level = draw.normal(size=persons)[person] * np.sqrt(same)
    steps = 6_200 + 2_000 * (level + draw.normal(size=n) * np.sqrt(1 - same))
    moved = (steps > 6_600) & (steps < 7_000) & (draw.uniform(size=n) < push)
    return pl.DataFrame(
        {"person": person, "valid": True, "steps": np.where(moved, steps + 400, steps)}
    )


def test_a_push_is_found_where_it_is_and_the_ratio_is_its_size():
    # of the days below 7,000 a share leaves and as many arrive above: (1 + .3)/(1 − .3)
    found = bunching(walked(200_000, push=0.3), [5_000, 7_000], bandwidth=350)
    low, high = found.table.rows(named=True)
    assert low["lower"] < 1 < low["upper"]
    assert high["lower"] < 1.3 / 0.7 < high["upper"]
    assert high["upper"] / high["lower"] < 1.25
    assert found.facts["crowded"] == 1
    assert "7,000" in found.finding("en")
    assert "7,000" in found.finding("zh")


@pytest.mark.parametrize("same", [0.0, 0.6])
def test_without_a_push_it_says_so_as_often_as_it_claims(same):
    """Also where the days of a person are alike: errors are by person."""
    wrong = sum(
        bunching(walked(3_000, 100, seed=s, same=same), [7_000]).table["p_value"][0] < 0.05
        for s in range(200)
    )
    assert 1 <= wrong <= 22


def test_the_error_is_mccrarys_where_days_are_independent():
    rows = walked(20_000, 20_000)
    found = bunching(rows, [6_500], bandwidth=800).table.row(0, named=True)
    error = np.log(found["upper"] / found["lower"]) / (2 * 1.959964)
    density = np.exp(-0.5 * 0.15**2) / np.sqrt(2 * np.pi) / 2_000
    assert error == pytest.approx(np.sqrt(24 / 5 / (20_000 * 800) * 2 / density), rel=0.1)


def test_order_and_units_change_nothing():
    rows = walked()
    one = bunching(rows, [5_000, 7_000]).table
    other = bunching(
        rows.sample(fraction=1.0, shuffle=True, seed=4).with_columns(pl.col("steps") / 1_000),
        [5, 7],
    ).table
    for name in ("density_ratio", "lower", "p_value"):
        assert other[name].to_list() == pytest.approx(one[name].to_list(), rel=1e-6)


def test_result_saves_and_draws(tmp_path):
    found = bunching(walked(), [7_000])
    found.save(tmp_path / "b")
    assert isinstance(Result.load(tmp_path / "b"), Bunching)
    assert "not crowd" in found.finding("en")
    assert found.figure("zh").layout.xaxis.title.text == "每日门槛"


@pytest.mark.parametrize(("change", "options", "said"), [
    (lambda d: d.drop("steps"), {}, "no column 'steps'"),
    (lambda d: d.with_columns(valid=False), {}, "do not vary|days"),
    (lambda d: d.with_columns(steps=pl.lit(5.0)), {}, "do not vary"),
    (lambda d: d, {"bandwidth": 1.0}, "30 are needed"),
    (lambda d: d, {"bandwidth": -1.0}, "above 0"),
    (lambda d: d, {"bandwidth": "wide"}, "are numbers"),
    (lambda d: d, {"level": 1.0}, "level"),
    (lambda d: d, {"thresholds": []}, "are numbers"),
    (lambda d: d, {"thresholds": ["a"]}, "are numbers"),
    (lambda d: d, {"thresholds": [float("nan")]}, "finite"),
    (lambda d: d, {"thresholds": [90_000]}, "too few days"),
])  # fmt: skip
def test_bad_input_is_refused(change, options, said):
    with pytest.raises(InputError, match=said):
        bunching(change(walked(500, 50)), **({"thresholds": [7_000]} | options))
