"""Hazards on cells, piecewise and discrete: against rows exploded for statsmodels, by hand, by truth."""

from __future__ import annotations

import warnings
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm

from pricing.claims.models import fit_frequency
from pricing.claims.penalised import fit_elastic_net
from pricing.errors import InputError
from pricing.estimate.families import ComplementaryLogLog, read_family
from pricing.result.shape import Result
from pricing.survival.accelerated import fit_aft
from pricing.survival.curve import survival_curve
from pricing.survival.discrete import discrete_cells, fit_discrete_hazard
from pricing.survival.lives import Lives
from pricing.survival.piecewise import fit_hazard, hazard_cells

CUTS = [1.0, 2.5, 6.0]


def drawn(n=800, seed=1, whole=False):
    """Hazard 0.1, doubled after 2.5, times e^0.5 for m and e^0.3 a unit of x."""
    draw = np.random.default_rng(seed)
    sex, x = draw.integers(0, 2, n), draw.integers(-2, 3, n) / 2
    ratio = np.exp(0.5 * sex + 0.3 * x)
    spent = draw.exponential(size=n) / ratio
    time = np.where(spent < 0.25, spent / 0.1, 2.5 + (spent - 0.25) / 0.2)
    entry, seen = draw.integers(0, 3, n) * 0.5, draw.exponential(8.0, n)
    exit = np.minimum(time, seen)
    rows = pl.DataFrame(
        {
            "sex": np.where(sex, "m", "f"),
            "x": x,
            "entry": entry,
            "exit": exit,
            "event": time <= seen,
        }
    ).filter(pl.col("exit") > pl.col("entry"))
    if whole:
        up = rows.with_columns(pl.col("entry").ceil(), pl.when("event").then(pl.col("exit").ceil()).otherwise(pl.col("exit").floor()).alias("exit"))  # fmt: skip
        return up.filter(pl.col("exit") > pl.col("entry"))
    return rows


def cells_of(rows, **options):
    return hazard_cells(rows, CUTS, ["sex", "x"], entry="entry", **options)


def exploded(rows, cuts):
    """Rows by interval, in a loop, written apart from ours."""
    found = []
    for life in rows.iter_rows(named=True):
        for k, (low, high) in enumerate(pairwise([0.0, *cuts, np.inf])):
            a, b = max(life["entry"], low), min(life["exit"], high)
            if b > a:
                found.append({"k": k, "m": life["sex"] == "m", "x": life["x"], "e": b - a, "d": float(life["event"] and life["exit"] <= high)})  # fmt: skip
    return pl.DataFrame(found)


def matrix_of(long, first=0):
    ks = sorted(long["k"].unique())
    columns = [np.ones(long.height), *[(long["k"] == k).to_numpy() for k in ks if k != first]]
    return np.column_stack([*columns, long["m"], long["x"]]).astype(float)


# -- piecewise-exponential --------------------------------------------------------------------------


@pytest.mark.parametrize("errors", ["model", "robust"])
def test_cells_give_the_fit_of_exploded_rows(errors):
    rows = drawn()
    found = fit_hazard(cells_of(rows), "time_interval + sex + x", base={"time_interval": "0-1", "sex": "f"}, errors=errors)  # fmt: skip
    long = exploded(rows, CUTS)
    kind = "nonrobust" if errors == "model" else "HC0"
    theirs = sm.GLM(
        long["d"].to_numpy(), matrix_of(long), family=sm.families.Poisson(), exposure=long["e"].to_numpy()
    ).fit(cov_type=kind, tol=1e-13)  # fmt: skip
    np.testing.assert_allclose(found.coefficients, theirs.params, atol=1e-8)
    np.testing.assert_allclose(np.sqrt(np.diag(found.covariance)), theirs.bse, rtol=1e-6)
    assert found.facts["deviance"] == pytest.approx(theirs.deviance)
    assert found.facts["pearson"] == pytest.approx(theirs.pearson_chi2)
    lives = theirs.llf - float((long["d"] * long["e"].log()).sum())
    assert found.facts["log_likelihood"] == pytest.approx(lives)
    assert found.basis.rows == long.height


def test_without_time_it_is_the_exponential_law():
    rows = drawn()
    found = fit_hazard(cells_of(rows), "sex + x", base={"sex": "f"})
    law = fit_aft(rows, "sex + x", law="exponential", entry="entry", base={"sex": "f"})
    np.testing.assert_allclose(found.coefficients, -law.parameters[:-1], atol=1e-8)
    np.testing.assert_allclose(found.covariance, law.covariance[:-1, :-1], rtol=1e-6, atol=1e-10)
    assert found.facts["log_likelihood"] == pytest.approx(law.facts["log_likelihood"])
    assert found.facts["aic"] == pytest.approx(law.facts["aic"])


def test_claim_frequency_fits_the_same_cells_alike():
    cells = cells_of(drawn())
    formula = "time_interval + sex + ns(x, 2)"
    ours, theirs = fit_hazard(cells, formula), fit_frequency(cells, formula, errors="model")
    np.testing.assert_allclose(ours.coefficients, theirs.coefficients, atol=1e-10)
    np.testing.assert_allclose(ours.covariance, theirs.covariance("model"), rtol=1e-9)
    net = fit_elastic_net(cells, "time_interval + sex + x", penalty=1e-9)
    assert net.table.height > 0


def test_crude_rates_by_hand_and_survival_from_them():
    rows = drawn()
    cells = hazard_cells(rows, CUTS, entry="entry")
    long = exploded(rows, CUTS).group_by("k").agg(pl.col("e", "d").sum()).sort("k")
    np.testing.assert_allclose(cells.values("exposure"), long["e"])
    np.testing.assert_allclose(cells.values("claims"), long["d"])
    found = fit_hazard(cells).survival()
    rate = (long["d"] / long["e"]).to_numpy()[:3]
    total = np.append(0.0, np.cumsum(rate * np.diff([0.0, *CUTS])))
    np.testing.assert_allclose(found["survival"], np.exp(-total), rtol=1e-9)
    assert found["time"].to_list() == [0.0, *CUTS]
    # Var H = Σ width² d/E², on the log scale
    variance = np.cumsum(np.diff([0.0, *CUTS]) ** 2 * (long["d"] / long["e"] ** 2).to_numpy()[:3])
    reach = 1.959964 * np.sqrt(variance) / total[1:]
    np.testing.assert_allclose(found["lower"][1:], np.exp(-total[1:] * np.exp(reach)), rtol=1e-6)


def test_the_truth_of_hazards_is_recovered():
    cells = hazard_cells(drawn(20_000, seed=5), [2.5], ["sex", "x"], entry="entry")
    found = fit_hazard(cells, "time_interval + sex + x", base={"time_interval": "0-2.5", "sex": "f"})  # fmt: skip
    error = np.sqrt(np.diag(found.covariance))
    truth = np.log([0.1, 2.0, np.exp(0.5), np.exp(0.3)])
    assert (np.abs(found.coefficients - truth) < 3 * error).all()
    hazard = found.hazard(pl.DataFrame({"time_interval": ["2.5+"], "sex": ["m"], "x": [0.0]}))
    assert hazard["lower"].item() < 0.2 * np.exp(0.5) < hazard["upper"].item()


def test_time_may_be_smooth_and_hazards_monotone():
    cells = hazard_cells(drawn(3000), [0.5 * k for k in range(1, 17)], ["sex"], entry="entry")
    smooth = fit_hazard(cells, "ns(time_middle, 3) + sex")
    curve = smooth.survival(pl.DataFrame({"sex": ["f", "m"]}))
    assert curve.height == 2 * 17
    assert (curve.filter(sex="m")["survival"][-1]) < curve.filter(sex="f")["survival"][-1]
    down = fit_hazard(cells, "time_interval + sex", monotone={"time_interval": "decreasing"})
    ratio = down.table.filter(term="time_interval")["hazard_ratio"]
    assert ratio.is_sorted(descending=True)
    assert down.table["lower"].drop_nulls().is_in([1.0]).all()  # base levels alone have bounds
    assert "a constraint binds" in down.finding()
    assert down.survival(pl.DataFrame({"sex": ["f"]}))["lower"][1:].null_count() == 16


def test_pieces_order_cells_and_shards_make_no_difference():
    rows = drawn(300).with_columns(pl.col("exit").round(1) + 0.1)
    one = cells_of(rows)
    half = (pl.col("entry") + pl.col("exit")) / 2
    pieces = pl.concat(
        [rows.with_columns(exit=half, event=pl.lit(False)), rows.with_columns(entry=half)]
    )
    grouped = rows.group_by(rows.columns).agg(w=pl.len())
    shards = cells_of(rows.head(100)) + cells_of(rows.tail(rows.height - 100))
    for other in (
        cells_of(rows.sample(fraction=1.0, shuffle=True, seed=2)),
        cells_of(grouped, weight="w"), cells_of(pieces), cells_of(rows.lazy()), shards,
    ):  # fmt: skip
        for name in ("exposure", "claims"):
            np.testing.assert_allclose(other.values(name), one.values(name), atol=1e-9)
        a, b = (fit_hazard(c, "time_interval + sex + x") for c in (one, other))
        np.testing.assert_allclose(a.coefficients, b.coefficients, atol=1e-9)
        np.testing.assert_allclose(a.covariance, b.covariance, rtol=1e-8, atol=1e-12)
        assert a.facts["log_likelihood"] == pytest.approx(b.facts["log_likelihood"])


def test_an_end_at_a_cut_belongs_to_the_interval_before():
    rows = pl.DataFrame({"exit": [1.0, 1.0], "entry": [0.0, 0.5], "event": [True, False]})
    cells = hazard_cells(rows, [1.0, 2.0], entry="entry")
    assert cells.cells.select("time_interval", "exposure", "claims").rows() == [("0-1", 1.5, 1.0)]
    with pytest.raises(InputError, match="only '0-1' has exposure"):
        fit_hazard(cells)


@pytest.mark.parametrize("cuts", [[], [0.0, 1.0], [2.0, 1.0], [1.0, 1.0], [-1.0], [float("nan")], [1.0, float("inf")], ["a"], None])  # fmt: skip
def test_cuts_that_do_not_rise_are_refused(cuts):
    with pytest.raises(InputError, match="cut points are"):
        hazard_cells(drawn(50), cuts)


# -- discrete time ----------------------------------------------------------------------------------


def periods(rows):
    return pl.DataFrame([
        {"k": k, "m": life["sex"] == "m", "x": life["x"], "d": float(life["event"] and k == life["exit"])}
        for life in rows.iter_rows(named=True)
        for k in range(int(life["entry"]) + 1, int(life["exit"]) + 1)
    ])  # fmt: skip


def months(n=800, **options):
    rows = drawn(n, whole=True).filter(pl.col("exit") <= 6)
    return rows, discrete_cells(rows, ["sex", "x"], entry="entry", **options)


@pytest.mark.parametrize("link", ["cloglog", "logit"])
@pytest.mark.parametrize("errors", ["model", "robust"])
def test_discrete_cells_give_the_fit_of_person_periods(link, errors):
    rows, cells = months()
    found = fit_discrete_hazard(cells, "duration_band + sex + x", link=link, errors=errors, base={"duration_band": "1", "sex": "f"})  # fmt: skip
    long = periods(rows)
    own = sm.families.links.CLogLog() if link == "cloglog" else sm.families.links.Logit()
    model = sm.GLM(long["d"].to_numpy(), matrix_of(long, 1), family=sm.families.Binomial(own))
    theirs = model.fit(tol=1e-13)
    np.testing.assert_allclose(found.coefficients, theirs.params, atol=1e-7)
    if errors == "model":
        wanted = theirs.bse
        information = np.linalg.inv(-model.hessian(theirs.params, observed=False))
        np.testing.assert_allclose(wanted, np.sqrt(np.diag(information)), rtol=1e-5)
    else:
        bread = np.linalg.inv(-model.hessian(theirs.params, observed=True))
        score = model.score_obs(theirs.params)
        wanted = np.sqrt(np.diag(bread @ score.T @ score @ bread))
    np.testing.assert_allclose(np.sqrt(np.diag(found.covariance)), wanted, rtol=1e-5)
    assert found.facts["deviance"] == pytest.approx(theirs.deviance)
    assert found.facts["log_likelihood"] == pytest.approx(theirs.llf)
    assert found.facts["rows"] == long.height


@pytest.mark.parametrize("link", ["cloglog", "logit"])
def test_by_duration_alone_it_is_kaplan_and_meier(link):
    rows, _ = months()
    cells = discrete_cells(rows, entry="entry")
    curve = survival_curve(Lives.collect(rows, entry="entry"))
    wanted = curve.survival_at(1, 2, 3, 4, 5, 6)
    found = fit_discrete_hazard(cells, link=link).survival()
    np.testing.assert_allclose(found["survival"], wanted["survival"], rtol=1e-9)
    for end in ("lower", "upper"):  # Greenwood on the log-log scale
        np.testing.assert_allclose(found[end], wanted[end], rtol=1e-6)


def test_the_hazard_of_continuous_time_is_found_from_months():
    rows = drawn(20_000, seed=3).filter(pl.col("entry").is_in([0.0, 1.0]))
    whole = rows.with_columns(pl.when("event").then(pl.col("exit").ceil()).otherwise(pl.col("exit").floor()).alias("exit")).filter(pl.col("exit") > pl.col("entry"))  # fmt: skip
    cells = discrete_cells(whole, ["sex", "x"], entry="entry", bands=[4, 13])
    assert cells.levels("duration_band") == ["1-3", "4-12", "13+"]
    found = fit_discrete_hazard(cells, "ns(duration_number, 4) + sex + x", base={"sex": "f"})
    beta, error = found.coefficients[-2:], np.sqrt(np.diag(found.covariance))[-2:]
    assert (np.abs(beta - [0.5, 0.3]) < 3 * error).all()
    banded = fit_discrete_hazard(cells, "duration_band + sex + x")
    assert banded.survival(pl.DataFrame({"sex": ["f"], "x": [0.0]})).height == found.details["periods"]  # fmt: skip


def test_parts_of_periods_are_refused_or_counted():
    rows = pl.DataFrame(
        {"entry": [0.0, 0.5, 0.0, 0.2], "exit": [2.0, 2.0, 1.5, 0.7], "event": [1, 1, 0, 1]}
    )
    with pytest.raises(InputError, match="3 periods of 4 lives are observed only in part: 2 entered after their start, 1 censored"):  # fmt: skip
        discrete_cells(rows, entry="entry")
    cells = discrete_cells(rows, entry="entry", partial="leave_out")
    assert cells.cells.select("duration_number", "exposure", "claims").rows() == [(1, 2.0, 0.0), (2, 2.0, 2.0)]  # fmt: skip
    assert "3 periods observed in part are no trials; 1 of them had an event" in cells.basis.notes
    early = discrete_cells(pl.DataFrame({"exit": [1.4, 2.0], "event": [1, 0]}))
    assert early.cells.select("duration_number", "exposure", "claims").rows() == [(1, 2.0, 0.0), (2, 2.0, 1.0)]  # fmt: skip


def test_discrete_cells_do_not_see_order_pieces_weights_or_units():
    rows, one = months(300)
    split = pl.concat([
        rows.filter(pl.col("exit") - pl.col("entry") < 2),
        rows.filter(pl.col("exit") - pl.col("entry") >= 2).with_columns(exit=pl.col("entry") + 1, event=pl.lit(False)),
        rows.filter(pl.col("exit") - pl.col("entry") >= 2).with_columns(entry=pl.col("entry") + 1),
    ])  # fmt: skip
    grouped = rows.group_by(rows.columns).agg(w=pl.len() * 0.1)
    tenths = discrete_cells(grouped, ["sex"], entry="entry", weight="w")
    assert fit_discrete_hazard(tenths, "sex").facts["rows"] > 2
    keys, sums = ["duration_number", "sex", "x"], ["exposure", "claims"]
    wanted = one.cells.select(*keys, *sums).sort(keys)
    for frame, options, factor in (
        (rows.sample(fraction=1.0, shuffle=True, seed=1), {}, 1.0),
        (split, {}, 1.0),
        (grouped, {"weight": "w"}, 0.1),
        (rows.with_columns(pl.col("entry", "exit") / 12), {"period": 1 / 12}, 1.0),
    ):
        other = discrete_cells(frame, ["sex", "x"], entry="entry", **options)
        told = other.cells.select(*keys, *sums).sort(keys)
        assert told.select(keys).equals(wanted.select(keys))
        np.testing.assert_allclose(told.select(sums), factor * wanted.select(sums).to_numpy(), atol=1e-9)  # fmt: skip
    twice = one + one
    assert twice.basis.exposure == 2 * one.basis.exposure


def test_the_complementary_log_log_family():
    family = ComplementaryLogLog()
    assert read_family(family.record()) == family
    eta = np.linspace(-8, 3, 50)
    mean = family.mean(eta)
    np.testing.assert_allclose([family.predictor(m) for m in mean], eta, atol=1e-6)
    link = sm.families.links.CLogLog()
    np.testing.assert_allclose(mean, link.inverse(eta), rtol=1e-10)
    np.testing.assert_allclose(family.slope(mean), link.inverse_deriv(eta), rtol=1e-6)
    assert (family.mean(np.array([-1e6, 1e6])) < 1).all()


# -- edges ------------------------------------------------------------------------------------------


def test_levels_that_nobody_or_everybody_leaves():
    rows = drawn(300, whole=True).with_columns(event=pl.col("event") & (pl.col("sex") == "f"))
    with pytest.raises(InputError, match=r"sex\[m\]: no event in"):
        fit_hazard(hazard_cells(rows, CUTS, ["sex"]), "sex", base={"sex": "f"})
    with pytest.raises(InputError, match=r"sex\[m\]: no event in [\d,.]+ periods at risk"):
        fit_discrete_hazard(discrete_cells(rows, ["sex"]), "sex", base={"sex": "f"})
    none = rows.with_columns(event=pl.lit(False))
    with pytest.raises(InputError, match="there are no events"):
        fit_hazard(hazard_cells(none, CUTS), "1")
    last = pl.DataFrame({"exit": [1, 2, 2], "event": [1, 1, 1]})
    with pytest.raises(InputError, match="only events"):
        fit_discrete_hazard(discrete_cells(last))


def test_other_requests_are_refused():
    rows, cells = months(200)
    pieces = cells_of(rows)
    with pytest.raises(InputError, match="make them with hazard_cells"):
        fit_hazard(cells)
    with pytest.raises(InputError, match="make them with discrete_cells"):
        fit_discrete_hazard(pieces)
    with pytest.raises(InputError, match="link='probit' is not offered"):
        fit_discrete_hazard(cells, link="probit")
    with pytest.raises(InputError, match="errors='quasi' is not offered"):
        fit_hazard(pieces, errors="quasi")
    with pytest.raises(InputError, match="partial='half' is not offered"):
        discrete_cells(rows, partial="half")
    for period in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="a period is a length above 0"):
            discrete_cells(rows, period=period)
    with pytest.raises(InputError, match="more than the 10,000"):
        discrete_cells(rows, period=1e-5)
    for bands in ([], [1, 2], [5, 3], [2.5]):
        with pytest.raises(InputError, match="bands of duration begin"):
            discrete_cells(rows, bands=bands)
    with pytest.raises(InputError, match="name of one of ours"):
        hazard_cells(rows.with_columns(time_middle=1.0), CUTS, ["time_middle"])
    with pytest.raises(InputError, match="'w' is null, not finite or negative"):
        hazard_cells(rows.with_columns(w=-1.0), CUTS, weight="w")
    with pytest.raises(InputError, match="'exit' is not above 0"):
        discrete_cells(rows.with_columns(exit=0.0))
    found = fit_hazard(pieces, "time_interval + sex")
    with pytest.raises(InputError, match="'time' has the name of a column of ours"):
        found.survival(pl.DataFrame({"sex": ["f"], "time": [1.0]}))
    with pytest.raises(InputError, match="has not seen in 1 rows: 'w'"):
        found.survival(pl.DataFrame({"sex": ["w"]}))


def test_survival_is_not_told_over_intervals_that_nobody_is_in():
    rows = pl.DataFrame({"entry": [2.0] * 4, "exit": [3.0, 4.0, 6.0, 7.0], "event": [1, 1, 1, 0]})
    found = fit_hazard(hazard_cells(rows, [1.0, 5.0], entry="entry"), "time_interval")
    with pytest.raises(InputError, match="nobody is at risk in"):
        found.survival()


def test_results_are_kept_and_drawn_in_both_languages(tmp_path):
    rows, cells = months(300)
    results = [
        fit_hazard(cells_of(rows), "time_interval + sex"),
        fit_discrete_hazard(cells, "duration_band + sex"),
        fit_discrete_hazard(cells, "duration_band + sex", link="logit"),
    ]
    at = pl.DataFrame({"sex": ["f", "m"]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for i, result in enumerate(results):
            result.save(tmp_path / str(i))
            back = Result.load(tmp_path / str(i))
            assert back.finding("zh") == result.finding("zh") != result.finding("en")
            assert back.survival(at).equals(result.survival(at))
            assert (
                back.figure("zh").layout.yaxis.title.text != back.figure().layout.yaxis.title.text
            )
            layout = back.figure().layout  # more than six names lie on their side
            assert {layout.xaxis.title.text, layout.yaxis.title.text} & {
                "Hazard ratio",
                "Odds ratio of leaving",
            }
