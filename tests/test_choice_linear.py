"""Linear markets: the published case, estimation from cells, what the lines imply."""

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm

from pricing.choice.calibrate import calibrate
from pricing.choice.linear_market import fit_linear_market, linear_market
from pricing.errors import InputError
from pricing.experience.cells import Experience
from pricing.result.shape import Result


def simulated(n=6000, seed=3, selection=0.4):
    """Willingness 250 + selection·risk + noise; cost is risk; prices drawn by community."""
    rng = np.random.default_rng(seed)
    community = rng.integers(0, 30, n)
    price = np.array([200.0, 300.0, 400.0, 500.0])[rng.integers(0, 4, 30)][community]
    risk = rng.gamma(2.0, 150.0, n)
    buys = 250 + selection * (risk - 300) + rng.normal(0, 150, n) > price - 180
    return pl.DataFrame({
        "price": price, "exposure": 1.0, "claims": buys.astype(int), "cost": risk * buys,
        "community": [f"社区{c}" for c in community],
    })  # fmt: skip


def cells(rows, *keys):
    return Experience.collect(rows, ["price", *keys], amount="cost")


def test_the_published_case():
    seen = linear_market((0.9398, -0.000696), (391.69, 0.155)).facts
    assert seen["equilibrium_price"] == pytest.approx(463.5, abs=0.05)
    assert seen["equilibrium_take_up"] == pytest.approx(0.617, abs=5e-4)
    assert seen["efficient_price"] == pytest.approx(263.9, abs=0.6)
    assert seen["efficient_take_up"] == pytest.approx(0.756, abs=5e-4)
    assert seen["welfare_loss"] == pytest.approx(9.55, abs=0.05)
    assert seen["marginal_cost_at_equilibrium"] == pytest.approx(326.1, abs=0.1)


def test_marginal_cost_is_the_derivative_of_total_cost_and_the_loss_an_integral():
    a, b, c, d = 0.9, -0.0008, 350.0, 0.2
    seen = linear_market((a, b), (c, d))
    f = seen.facts
    p = f["equilibrium_price"]

    def total(price):
        return (a + b * price) * (c + d * price)

    slope = (total(p + 1e-3) - total(p - 1e-3)) / (2e-3 * b)
    assert f["marginal_cost_at_equilibrium"] == pytest.approx(slope, rel=1e-8)
    q = np.linspace(f["equilibrium_take_up"], f["efficient_take_up"], 20_001)
    price = (q - a) / b
    marginal = c + d * a / b + 2 * d * price
    assert f["welfare_loss"] == pytest.approx(np.trapezoid(price - marginal, q), rel=1e-6)
    curves = seen.frames["curves"]
    assert curves["take_up"].is_between(-1e-9, 1 + 1e-9).all()


def test_advantageous_selection_insures_too_many_and_full_cover_is_capped():
    f = linear_market((0.9, -0.0008), (420.0, -0.1)).facts
    assert f["efficient_take_up"] < f["equilibrium_take_up"]
    assert f["welfare_loss"] > 0
    cap = linear_market((0.95, -0.0004), (300.0, 0.3)).facts
    assert cap["efficient_take_up"] == 1.0
    assert cap["welfare_loss"] > 0
    steep = linear_market((1.2, -0.001), (200.0, 0.6)).facts
    assert steep["efficient_take_up"] == 1.0
    assert steep["welfare_loss"] > 0


def test_estimates_and_robust_errors_are_those_of_least_squares_on_rows():
    rows = simulated()
    seen = fit_linear_market(cells(rows))
    x = sm.add_constant(rows["price"].to_numpy())
    demand = sm.OLS(rows["claims"].to_numpy(), x).fit(cov_type="HC1")
    insured = rows.filter(pl.col("claims") == 1)
    cost = sm.OLS(insured["cost"].to_numpy(), sm.add_constant(insured["price"].to_numpy())).fit(
        cov_type="HC1"
    )
    lines = seen.frames["lines"]
    np.testing.assert_allclose(lines["estimate"], [*demand.params, *cost.params], rtol=1e-9)
    np.testing.assert_allclose(lines["std_error"], [*demand.bse, *cost.bse], rtol=1e-7)
    np.testing.assert_allclose(lines["p_value"][3], cost.pvalues[1], rtol=1e-6)
    by = fit_linear_market(cells(rows, "community"), cluster="community")
    codes = rows["community"].cast(pl.Categorical).to_physical().to_numpy()
    clustered = sm.OLS(rows["claims"].to_numpy(), x).fit(
        cov_type="cluster", cov_kwds={"groups": codes, "use_correction": False}
    )
    np.testing.assert_allclose(
        by.frames["lines"]["std_error"][:2], clustered.bse * np.sqrt(30 / 29), rtol=1e-7
    )


def test_selection_is_seen_where_it_is_and_not_where_it_is_not():
    adverse = fit_linear_market(cells(simulated()))
    assert adverse.facts["adverse"]
    assert adverse.facts["p_value"] < 1e-6
    assert "adverse" in adverse.finding("en")
    none = fit_linear_market(cells(simulated(selection=0.0)))
    assert none.facts["p_value"] > 0.01
    assert "no selection" in none.finding("en")


def test_intervals_are_those_of_a_bootstrap():
    rows = simulated()
    seen = fit_linear_market(cells(rows))
    rng = np.random.default_rng(8)
    found = []
    for _ in range(150):
        again = rows[rng.integers(0, rows.height, rows.height)]
        f = fit_linear_market(cells(again)).facts
        found.append([f["equilibrium_price"], f["equilibrium_take_up"], f["welfare_loss"]])
    sd = np.std(found, axis=0, ddof=1)
    t = dict(seen.table.select("quantity", "std_error").rows())
    ours = [t["equilibrium_price"], t["equilibrium_take_up"], t["welfare_loss"]]
    np.testing.assert_allclose(ours, sd, rtol=0.25)


def test_order_and_units_do_not_matter():
    rows = simulated(2000)
    one = fit_linear_market(cells(rows)).facts
    two = fit_linear_market(cells(rows.reverse())).facts
    assert one["equilibrium_price"] == pytest.approx(two["equilibrium_price"], rel=1e-12)
    fen = rows.with_columns(pl.col("price", "cost") * 100)
    three = fit_linear_market(cells(fen)).facts
    assert three["equilibrium_price"] == pytest.approx(100 * one["equilibrium_price"])
    assert three["equilibrium_take_up"] == pytest.approx(one["equilibrium_take_up"])
    assert three["p_value"] == pytest.approx(one["p_value"])


def test_massachusetts_drops_by_a_quarter_each_forty_dollars():
    """Finkelstein, Hendren and Shepard (2019): 94 % at 0, 44 % at 116 USD a month, 25 % per 40 USD."""
    by_quarters = 0.94 * 0.75 ** (116 / 40)
    assert by_quarters == pytest.approx(0.44, abs=0.04)
    model = calibrate({"plan": 0.001}, take_up=0.94, at={"plan": 116.0}, then=0.44)
    utility = model.parameters[0] + model.facts["price_effect"] * 116
    assert 1 / (1 + np.exp(-utility)) == pytest.approx(0.44)


def test_speaks_draws_saves(tmp_path):
    for k, seen in enumerate(
        (fit_linear_market(cells(simulated(2000))), linear_market((0.9, -0.0008), (350.0, 0.2)))
    ):
        for lang in ("en", "zh"):
            assert "{" not in seen.finding(lang)
            assert len(seen.figure(lang).data) == 6
        seen.save(tmp_path / str(k))
        back = Result.load(tmp_path / str(k))
        assert back.table.equals(seen.table)
        assert back.finding("zh") == seen.finding("zh")


@pytest.mark.parametrize(
    ("demand", "cost", "said"),
    [
        ((0.9, 0.001), (350.0, 0.2), "does not fall"),
        ((0.9, 0.0), (350.0, 0.2), "does not fall"),
        ((0.9, -0.001), (950.0, 0.2), "unravels"),
        ((0.9, -0.001), (350.0, 1.2), "no price breaks even"),
        ((0.9, float("nan")), (350.0, 0.2), "not finite"),
        ((0.9, float("inf")), (350.0, 0.2), "not finite"),
        ((0.9,), (350.0, 0.2, 3.0), "two numbers each"),
        (("a", "b"), (350.0, 0.2), "value at price zero"),
        (0.9, (350.0, 0.2), "value at price zero"),
    ],
)
def test_lines_that_are_no_market_are_refused(demand, cost, said):
    with pytest.raises(InputError, match=said):
        linear_market(demand, cost)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"price": pl.lit(300.0)}, "never varies"),
        ({"claims": pl.lit(0), "cost": pl.lit(0.0)}, "nobody is insured"),
        ({"claims": pl.lit(1), "cost": pl.lit(5.0)}, "everybody is insured"),
        ({"cost": pl.lit(5.0)}, "not insured"),
        ({"claims": pl.col("claims") * 3}, "more are insured"),
    ],
)
def test_data_that_show_no_curves_are_refused(change, said):
    with pytest.raises(InputError, match=said):
        fit_linear_market(cells(simulated(300).with_columns(**change)))


def test_cells_of_another_kind_are_refused():
    rows = simulated(300)
    with pytest.raises(InputError, match="'prize' is no key"):
        fit_linear_market(cells(rows), price="prize")
    with pytest.raises(InputError, match="no amounts"):
        fit_linear_market(Experience.collect(rows, ["price"]))
    with pytest.raises(InputError, match="a number is wanted"):
        fit_linear_market(cells(rows.with_columns(pl.col("price").cast(pl.String))))
    with pytest.raises(InputError, match="cast it to text"):
        fit_linear_market(cells(rows), cluster="price")
    with pytest.raises(InputError, match="between 0 and 1"):
        fit_linear_market(cells(rows), level=2)
