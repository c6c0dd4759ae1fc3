"""Arc elasticity: closed forms, invariance, refusals."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from pricing.claims.clusters import cluster_errors
from pricing.claims.elasticity import arc_elasticity
from pricing.claims.models import fit_frequency
from pricing.claims.occurrence import fit_occurrence
from pricing.claims.pure_premium import fit_pure_premium
from pricing.errors import InputError
from pricing.experience.cells import Experience
from pricing.result.shape import Result

PRICES = {"free": 0.0, "quarter": 0.25, "half": 0.5, "full": 0.95}


def book(seed=3, people=1500):
    rng = np.random.default_rng(seed)
    plan = np.array(list(PRICES))[np.arange(people) % 4]
    mean = np.array([8.0, 6.0, 5.0, 4.0])[np.arange(people) % 4]
    own = rng.gamma(1.0, 1.0, people)
    rows = pl.DataFrame(
        {
            "person": np.repeat(np.arange(people), 3),
            "plan": np.repeat(plan, 3),
            "sex": np.repeat(np.where(rng.random(people) < 0.5, "f", "m"), 3),
            "exposure": 1.0,
            "claims": rng.poisson(np.repeat(mean * own, 3)),
        }
    )
    return rows.with_columns(amount=pl.col("claims") * 10.0)


@pytest.fixture(scope="module")
def rows():
    return book()


@pytest.fixture(scope="module")
def model(rows):
    seen = Experience.collect(rows, ["plan", "sex"])
    return cluster_errors(fit_frequency(seen, "plan", base={"plan": "half"}), rows, by="person")


def test_it_is_the_formula_on_the_means_of_the_plans(rows, model):
    mean = dict(rows.group_by("plan").agg(pl.col("claims").mean()).iter_rows())
    table = arc_elasticity(model, "plan", PRICES).table
    arcs = [("free", "quarter"), ("quarter", "half"), ("half", "full"), ("free", "full")]
    assert table["arc"].to_list() == [f"{a} → {b}" for a, b in arcs]
    for (a, b), found in zip(arcs, table.iter_rows(named=True), strict=True):
        q, p = (mean[a], mean[b]), (PRICES[a], PRICES[b])
        by_hand = ((q[1] - q[0]) / (q[1] + q[0])) / ((p[1] - p[0]) / (p[1] + p[0]))
        assert found["elasticity"] == pytest.approx(by_hand, rel=1e-8)
        assert found["demand_ratio"] == pytest.approx(q[1] / q[0], rel=1e-8)


def test_its_error_is_the_delta_method_on_the_persons_means(rows, model):
    """Clustered by person, the plans' means are independent means of persons: by hand."""
    persons = rows.group_by("person", "plan").agg(pl.col("claims").mean())
    found = {
        p: (x.mean(), x.var(ddof=0) / len(x))
        for p, x in ((p, persons.filter(plan=p)["claims"].to_numpy()) for p in PRICES)
    }
    groups = rows["person"].n_unique()
    (q1, v1), (q2, v2) = found["quarter"], found["full"]
    share = (0.95 - 0.25) / (0.95 + 0.25)
    gradient = np.array([-2 * q2, 2 * q1]) / (q1 + q2) ** 2 / share
    error = math.sqrt(gradient**2 @ np.array([v1, v2]) * groups / (groups - 1))
    table = arc_elasticity(model, "plan", {"quarter": 0.25, "full": 0.95}).table
    assert table["std_error"][0] == pytest.approx(error, rel=1e-8)
    reach = table["upper"] - table["elasticity"]
    assert (reach / table["std_error"]).to_list() == pytest.approx([1.959963985] * 2)
    narrow = arc_elasticity(model, "plan", {"quarter": 0.25, "full": 0.95}, errors="robust").table
    assert narrow["std_error"][0] < table["std_error"][0]


def test_only_ratios_of_prices_count_and_neither_base_nor_order_matters(rows, model):
    table = arc_elasticity(model, "plan", PRICES).table
    cents = {name: 100 * p for name, p in reversed(PRICES.items())}
    other = fit_frequency(Experience.collect(rows, ["plan"]), "plan", base={"plan": "free"})
    other = cluster_errors(other, rows, by="person")
    again = arc_elasticity(other, "plan", cents).table
    for name in ("elasticity", "std_error", "lower", "upper"):
        np.testing.assert_allclose(again[name], table[name], rtol=1e-7)


def test_the_unit_of_demand_does_not_matter(rows):
    found = []
    for factor in (1.0, 7.0):
        seen = Experience.collect(
            rows.with_columns(pl.col("amount") * factor), ["plan"], amount="amount"
        )
        found.append(
            arc_elasticity(fit_pure_premium(seen, "plan", power=1.0), "plan", PRICES).table
        )
    np.testing.assert_allclose(found[0]["elasticity"], found[1]["elasticity"], rtol=1e-7)
    np.testing.assert_allclose(found[0]["std_error"], found[1]["std_error"], rtol=1e-6)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    truth, inside = (4.0 - 6.0) / 10.0 / (0.7 / 1.2), 0
    for seed in range(100):
        rows = book(seed, 400)
        fitted = fit_frequency(Experience.collect(rows, ["plan"]), "plan")
        fitted = cluster_errors(fitted, rows, by="person")
        row = arc_elasticity(fitted, "plan", {"quarter": 0.25, "full": 0.95}).table.row(
            0, named=True
        )
        inside += row["lower"] < truth < row["upper"]
    assert inside >= 88  # 95 expected; below 88 one time in 500


def test_it_is_a_result(model, tmp_path):
    found = arc_elasticity(model, "plan", PRICES)
    assert "arc elasticity" in found.finding("en")
    assert "弧弹性" in found.finding("zh")
    assert len(found.figure("zh").data[0].x) == 4
    found.save(tmp_path / "e")
    again = Result.load(tmp_path / "e")
    assert again.table.equals(found.table)
    assert again.basis.fingerprint != model.basis.fingerprint


@pytest.mark.parametrize(
    ("prices", "said"),
    [
        ({"free": 0.0, "ful": 0.95}, "did you mean 'full'"),
        ({"free": -0.1, "full": 0.95}, "zero or more, got -0.1"),
        ({"free": math.nan, "full": 0.95}, "zero or more, got nan"),
        ({"free": 0.5, "full": 0.5}, "2 levels have 1 different prices"),
        ({"free": 0.5}, "1 levels have 1 different"),
        ({}, "0 levels have 0 different"),
    ],
)
def test_prices_that_make_no_arc_are_refused(model, prices, said):
    with pytest.raises(InputError, match=said):
        arc_elasticity(model, "plan", prices)


def test_models_without_an_arc_are_refused(rows, model):
    seen = Experience.collect(rows, ["plan", "sex"], amount="amount")
    with pytest.raises(InputError, match="not a factor of the model"):
        arc_elasticity(model, "sex", {"f": 0.0, "m": 1.0})
    with pytest.raises(InputError, match="interaction"):
        arc_elasticity(fit_frequency(seen, "plan * sex"), "plan", PRICES)
    with pytest.raises(InputError, match="no demand per policy-year"):
        arc_elasticity(fit_occurrence(seen, "plan"), "plan", PRICES)
    with pytest.raises(InputError, match="confidence level"):
        arc_elasticity(model, "plan", PRICES, level=1.0)
    bare = fit_frequency(seen, "plan")
    with pytest.raises(InputError, match="clustered"):
        arc_elasticity(bare, "plan", PRICES, errors="cluster")
