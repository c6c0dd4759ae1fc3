"""Credibility: the published figures, the rows, and the edges."""

import numpy as np
import polars as pl
import pytest

from pricing.claims.models import fit_frequency
from pricing.data.tables import reference_table
from pricing.errors import InputError
from pricing.estimate.credibility import buhlmann_straub, credibility_of_cells
from pricing.experience.cells import Experience

FIGURES = ["mean", "credibility", "premium", "mean_squared_error"]


def test_hachemeister_weighted():
    """Figures of actuar 3.3 (R), cm(~state, hachemeister, ratios, weights), unbiased."""
    found = buhlmann_straub(
        reference_table("hachemeister"), group="state", value="ratio", weight="weight"
    )
    assert round(found.facts["collective"], 3) == 1683.713
    assert round(found.facts["within"], 3) == 139_120_025.925
    assert round(found.facts["between"], 3) == 89_638.726
    t = found.table
    assert t["weight"].to_list() == [100155, 19895, 13735, 4152, 36110]
    assert t["mean"].round(3).to_list() == [2060.921, 1511.224, 1805.843, 1352.976, 1599.829]
    assert t["credibility"].round(6).to_list() == [0.984740, 0.927635, 0.898475, 0.727909, 0.958791]
    assert t["premium"].round(3).to_list() == [2055.165, 1523.706, 1793.444, 1442.967, 1603.285]


def test_hachemeister_unweighted():
    found = buhlmann_straub(reference_table("hachemeister"), group="state", value="ratio")
    assert round(found.facts["collective"], 4) == 1671.0167
    assert round(found.facts["within"], 4) == 46_040.4712
    assert round(found.facts["between"], 4) == 72_310.0246
    assert found.table["credibility"].round(7).to_list() == [0.9496143] * 5
    assert found.table["premium"].round(3).to_list() == [
        2044.041,
        1518.588,
        1814.234,
        1375.987,
        1602.233,
    ]


def book(rows=6_000, seed=8):
    rng = np.random.default_rng(seed)
    group, sex = rng.integers(0, 8, rows), rng.integers(0, 2, rows)
    exposure = rng.uniform(0.05, 1.0, rows)
    effect = np.exp(rng.normal(0, 0.3, 8))[group]
    mean = exposure * effect * np.exp(-0.4 + 0.3 * sex)
    return pl.DataFrame(
        {
            "group": [f"企业{g}" for g in group],
            "sex": np.array(["f", "m"])[sex],
            "exposure": exposure,
            "claims": rng.poisson(rng.gamma(mean / 2, 2.0)),
        }
    )


def test_from_cells_is_what_the_rows_say():
    """Row-level observations X = n/μ with weight μ, through the other estimator."""
    rows = book()
    seen = Experience.collect(rows, ["group", "sex"])
    model = fit_frequency(seen, "group + sex")
    rate = model.rate(without="group")
    cells = credibility_of_cells(seen, rate, "group")
    scored = rows.with_columns(mu=rate * pl.col("exposure")).with_columns(
        x=pl.col("claims") / pl.col("mu")
    )
    plain = buhlmann_straub(scored, group="group", value="x", weight="mu")
    for name in ("observations", "weight", *FIGURES):
        np.testing.assert_allclose(cells.table[name], plain.table[name], rtol=1e-10)
    for name in ("collective", "within", "between"):
        assert cells.facts[name] == pytest.approx(plain.facts[name], rel=1e-10)
    assert 0 < cells.facts["lowest"] < cells.facts["highest"] < 1
    poisson = seen.basis.claims / cells.table["weight"].sum()  # s² of X = n/μ were n Poisson
    assert cells.facts["within"] > 2 * poisson  # the rows' dispersion of 3 is in it
    assert cells.basis.rows == rows.height


def test_it_is_the_formulas_of_the_docstring():
    rows = book(3_000)
    found = buhlmann_straub(
        rows.with_columns(x=pl.col("claims") / pl.col("exposure")),
        group="group",
        value="x",
        weight="exposure",
    )
    parts = [p for _, p in sorted(rows.group_by("group"), key=lambda p: p[0])]
    w = [p["exposure"].to_numpy() for p in parts]
    x = [(p["claims"] / p["exposure"]).to_numpy() for p in parts]
    wi = np.array([v.sum() for v in w])
    means = np.array([(a * b).sum() / a.sum() for a, b in zip(w, x, strict=True)])
    s2 = sum((a * (b - m) ** 2).sum() for a, b, m in zip(w, x, means, strict=True)) / (3_000 - 8)
    overall = (wi * means).sum() / wi.sum()
    a = ((wi * (means - overall) ** 2).sum() - 7 * s2) / (wi.sum() - (wi**2).sum() / wi.sum())
    assert a > 0
    z = wi / (wi + s2 / a)
    m = (z * means).sum() / z.sum()
    assert found.facts["within"] == pytest.approx(s2, rel=1e-10)
    assert found.facts["between"] == pytest.approx(a, rel=1e-9)
    np.testing.assert_allclose(found.table["premium"], z * means + (1 - z) * m, rtol=1e-10)
    mse = a * (1 - z) * (1 + (1 - z) / z.sum())
    np.testing.assert_allclose(found.table["mean_squared_error"], mse, rtol=1e-9)


def test_means_as_far_apart_as_chance_earn_no_credibility():
    frame = pl.DataFrame(
        {"g": ["a", "a", "b", "b"], "x": [0.0, 2.0, 0.1, 2.1], "w": [1.0, 1.0, 2.0, 2.0]}
    )
    found = buhlmann_straub(frame, group="g", value="x", weight="w")
    assert found.facts["between"] == 0.0
    assert found.table["credibility"].to_list() == [0.0, 0.0]
    mean = (1.0 * 2 + 1.1 * 4) / 6
    assert found.table["premium"].to_list() == pytest.approx([mean, mean], rel=1e-14)
    assert found.table["mean_squared_error"].is_finite().all()
    assert "0.0%" in found.finding("en")


def test_no_spread_within_earns_all_of_it():
    frame = pl.DataFrame({"g": ["a", "a", "b", "b"], "x": [1.0, 1.0, 2.0, 2.0]})
    found = buhlmann_straub(frame, group="g", value="x")
    assert found.facts["within"] == 0.0
    assert found.table["credibility"].to_list() == [1.0, 1.0]
    assert found.table["premium"].to_list() == [1.0, 2.0]
    same = buhlmann_straub(frame.with_columns(x=pl.lit(3.0)), group="g", value="x")
    assert same.table["premium"].to_list() == [3.0, 3.0]
    assert same.facts["between"] == 0.0


def test_units_of_weight_and_value_and_order_do_not_matter():
    frame = reference_table("hachemeister")

    def run(f):
        return buhlmann_straub(f, group="state", value="ratio", weight="weight")

    plain = run(frame)
    heavy = run(frame.with_columns(pl.col("weight") * 1000))
    np.testing.assert_allclose(heavy.table.select(FIGURES), plain.table.select(FIGURES), rtol=1e-9)
    assert heavy.facts["within"] == pytest.approx(1000 * plain.facts["within"], rel=1e-10)
    assert heavy.facts["between"] == pytest.approx(plain.facts["between"], rel=1e-9)
    dear = run(frame.with_columns(pl.col("ratio") * 7))
    np.testing.assert_allclose(dear.table["credibility"], plain.table["credibility"], rtol=1e-9)
    np.testing.assert_allclose(dear.table["premium"], 7 * plain.table["premium"], rtol=1e-10)
    np.testing.assert_allclose(
        dear.table["mean_squared_error"], 49 * plain.table["mean_squared_error"], rtol=1e-9
    )
    shifted = run(frame.with_columns(pl.col("ratio") + 500))
    np.testing.assert_allclose(shifted.table["premium"], plain.table["premium"] + 500, rtol=1e-9)
    mixed = run(frame.sample(fraction=1.0, shuffle=True, seed=1))
    np.testing.assert_allclose(mixed.table.select(FIGURES), plain.table.select(FIGURES), rtol=1e-10)


def test_premiums_are_balanced():
    """Σ w·premium against Σ w·mean: the credibility-weighted collective keeps them close, Σ Z(mean − m) = 0."""
    t = buhlmann_straub(
        reference_table("hachemeister"), group="state", value="ratio", weight="weight"
    )
    pulled = (t.table["credibility"] * (t.table["mean"] - t.facts["collective"])).sum()
    assert abs(pulled) < 1e-9 * t.facts["collective"]
    balance = (t.table["weight"] * (t.table["mean"] - t.table["premium"])).sum()
    assert abs(balance) < 1e-9 * (t.table["weight"] * t.table["mean"]).sum()


def test_too_little_to_estimate_from_is_refused():
    one = pl.DataFrame({"g": ["a", "a"], "x": [1.0, 2.0]})
    with pytest.raises(InputError, match="two groups or more, 'g' has 1"):
        buhlmann_straub(one, group="g", value="x")
    single = pl.DataFrame({"g": ["a", "b"], "x": [1.0, 2.0]})
    with pytest.raises(InputError, match="no group of 'g' has two observations"):
        buhlmann_straub(single, group="g", value="x")
    with pytest.raises(InputError, match="two groups or more, 'g' has 0"):
        buhlmann_straub(one.clear(), group="g", value="x")
    some = pl.DataFrame({"g": ["a", "b", "b"], "x": [1.0, 2.0, 4.0]})
    assert buhlmann_straub(some, group="g", value="x").facts["within"] == 2.0


def test_nulls_and_weights_not_above_zero_are_counted_and_refused():
    nan, inf = float("nan"), float("inf")
    frame = pl.DataFrame(
        {
            "g": ["a", "a", None, "b", "b", "b", "b", "b", "b"],
            "x": [1.0, 1.0, 1.0, None, nan, inf, 1.0, 1.0, 1.0],
            "w": [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, -1.0, None],
        }
    )
    with pytest.raises(
        InputError, match="7 of 9 observations have no group, no finite 'x', or no w"
    ):
        buhlmann_straub(frame, group="g", value="x", weight="w")
    with pytest.raises(InputError, match="4 of 9 observations"):
        buhlmann_straub(frame, group="g", value="x")


def test_unknown_columns_and_rates_that_are_missing_are_refused():
    frame = reference_table("hachemeister").with_columns(name=pl.lit("x"))
    with pytest.raises(InputError, match="'ration'; did you mean 'ratio'"):
        buhlmann_straub(frame, group="state", value="ration")
    with pytest.raises(InputError, match="'name' is String, not a number"):
        buhlmann_straub(frame, group="state", value="ratio", weight="name")
    seen = Experience.collect(book(200), ["group", "sex"])
    with pytest.raises(InputError, match="'gruop'; did you mean 'group'"):
        credibility_of_cells(seen, pl.lit(1.0), "gruop")
    unknown = pl.when(pl.col("sex") == "f").then(1.0)
    with pytest.raises(InputError, match=r"8 cells \([\d.]+ policy-years\) have no expected rate"):
        credibility_of_cells(seen, unknown, "group")


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_figure_draws_the_table(lang):
    found = buhlmann_straub(
        reference_table("hachemeister"), group="state", value="ratio", weight="weight"
    )
    figure = found.figure(lang)
    assert list(figure.data[1].y) == found.table["premium"].to_list()
    reach = (2 * found.table["mean_squared_error"].sqrt()).to_list()
    assert list(figure.data[1].error_y.array) == pytest.approx(reach)
    assert list(figure.data[0].y) == found.table["weight"].to_list()
    assert "98.5%" in found.finding(lang)
