"""What a day tells of a person: closed forms, known truth, an oracle, and who is not measured."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest

from pricing.activity.plausible import late_surge
from pricing.activity.reliability import (
    Reliability,
    days_needed,
    missing_days,
    reliability,
    spearman_brown,
    split_half,
)
from pricing.errors import InputError
from pricing.result.shape import Result
from pricing.verify.figures import figures


def walked(persons=400, days=20, rho=0.41, seed=2, drop=0.3):
    """Persons whose one-day reliability is rho, with days missing at random."""
    draw = np.random.default_rng(seed)
    level = draw.normal(0, np.sqrt(rho), persons)
    steps = 6200 + 2500 * (level[:, None] + draw.normal(0, np.sqrt(1 - rho), (persons, days)))
    first = dt.date(2024, 1, 1)
    return pl.DataFrame({
        "person": np.repeat([f"p{i:04}" for i in range(persons)], days),
        "day": [first + dt.timedelta(d) for d in range(days)] * persons,
        "steps": steps.ravel(), "valid": draw.uniform(size=persons * days) > drop,
    })  # fmt: skip


def test_the_published_row():
    found = figures("health")
    assert len(found) >= 12
    assert all(one.ok for one in found if "Spearman" in one.source)
    printed = {1: 0.41, 5: 0.7765, 6: 0.8066, 7: 0.8295, 30: 0.9542, 365: 0.9961}
    assert {k: round(spearman_brown(0.41, k), 4) for k in printed} == printed


def test_days_needed_is_the_first_that_reaches():
    for rho in (0.05, 0.41, 0.8, 0.95):
        for target in (0.5, 0.8, 0.95):
            k = days_needed(rho, target)
            assert spearman_brown(rho, k) >= target - 1e-12
            assert k == 1 or spearman_brown(rho, k - 1) < target
    assert days_needed(0.0, 0.8) is None
    assert days_needed(1.0, 0.8) == 1


def test_the_truth_lies_in_its_interval_as_often_as_said():
    inside = [
        (f := reliability(walked(120, 12, seed=s)).facts)["single_lower"]
        <= 0.41
        <= f["single_upper"]
        for s in range(100)
    ]
    assert 88 <= sum(inside) <= 99


def test_one_way_analysis_of_variance_is_scipys():
    from scipy.stats import f_oneway

    rows = walked(30, 8)
    each = [one["steps"].to_numpy() for one in rows.filter("valid").partition_by("person")]
    ratio, n = f_oneway(*each).statistic, np.array([len(one) for one in each])
    n0 = (n.sum() - (n**2).sum() / n.sum()) / (len(n) - 1)
    assert reliability(rows).single == pytest.approx((ratio - 1) / (ratio + n0 - 1), rel=1e-12)


def test_split_halves_are_spearman_browns():
    rows = walked(3_000, 20, drop=0.0)
    assert split_half(rows) == pytest.approx(spearman_brown(0.41, 20), abs=0.01)
    assert reliability(rows).single == pytest.approx(0.41, abs=0.02)


def test_order_and_units_change_nothing():
    rows = walked(50)
    one = reliability(rows)
    other = reliability(
        rows.sample(fraction=1.0, shuffle=True, seed=1).with_columns(pl.col("steps") / 1000)
    )
    assert other.table.select("reliability", "lower").to_numpy() == pytest.approx(
        one.table.select("reliability", "lower").to_numpy(), rel=1e-9
    )


def test_result_saves_speaks_and_draws(tmp_path):
    found = reliability(walked(60))
    found.save(tmp_path / "r")
    assert isinstance(Result.load(tmp_path / "r"), Reliability)
    assert "steps" in found.finding("en")
    assert "步数" in found.finding("zh")
    for lang in ("en", "zh"):
        assert found.figure(lang).layout.xaxis.type == "log"


@pytest.mark.parametrize(("change", "said"), [
    (lambda d: d.drop("steps"), "no column 'steps'"),
    (lambda d: d.with_columns(valid=False), "0 persons"),
    (lambda d: d.filter(pl.col("person") == "p0001"), "1 persons"),
    (lambda d: d.with_columns(steps=pl.lit(5.0)), "does not vary"),
    (lambda d: d.with_columns(pl.col("steps").cast(pl.String)), "is no number"),
    (lambda d: d.unique("person"), "two of each are needed"),
])  # fmt: skip
def test_what_cannot_be_judged_is_refused(change, said):
    with pytest.raises(InputError, match=said):
        reliability(change(walked(20, 5)))


def test_odd_options_are_refused():
    for level in (0, 1, "x", True):
        with pytest.raises(InputError, match="level"):
            reliability(walked(20, 5), level=level)
    for rho, k in ((-0.1, 2), (1.1, 2), (0.4, 0), (float("nan"), 2), ("a", 2), (0.4, None)):
        with pytest.raises(InputError):
            spearman_brown(rho, k)
    with pytest.raises(InputError, match="target"):
        days_needed(0.4, 1.0)


def test_missing_days_count_who_is_never_measured():
    rows = walked(10, 10, drop=0.0)
    who = pl.DataFrame({"person": [f"p{i:04}" for i in range(12)], "sex": ["f", "m"] * 6})
    found = missing_days(rows, who, "sex", start=dt.date(2024, 1, 1), end=dt.date(2024, 1, 21))
    assert found.rows() == [("f", 6, 120, 50, 50, 50 / 120), ("m", 6, 120, 50, 50, 50 / 120)]
    with pytest.raises(InputError, match="stand twice"):
        missing_days(
            rows, pl.concat([who, who]), "sex", start=dt.date(2024, 1, 1), end=dt.date(2024, 1, 21)
        )
    with pytest.raises(InputError, match="holds no day"):
        missing_days(rows, who, "sex", start=dt.date(2024, 1, 1), end=dt.date(2024, 1, 1))
    with pytest.raises(InputError, match="did you mean 'sex'"):
        missing_days(rows, who, "sexx", start=dt.date(2024, 1, 1), end=dt.date(2024, 1, 2))


def test_a_late_surge_is_flagged_and_a_steady_walker_is_not():
    rows = pl.concat([
        pl.DataFrame({"person": name, "valid": True, "steps": [a] * 100 + [b] * 60,
                      "day": [dt.date(2024, 1, 1) + dt.timedelta(i) for i in range(160)]})
        for name, a, b in (("a", 3000.0, 6001.0), ("b", 3000.0, 6000.0), ("c", 6000.0, 3000.0))
    ])  # fmt: skip
    assert late_surge(rows).select("person", "surge").rows() == [
        ("a", True),
        ("b", False),
        ("c", False),
    ]
    assert late_surge(rows.tail(60)).is_empty()
    with pytest.raises(InputError):
        late_surge(rows, last=0)
