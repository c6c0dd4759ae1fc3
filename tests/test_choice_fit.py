"""Choice between tiers: the likelihood, its fit, its errors; offers as cells that add."""

import numpy as np
import polars as pl
import pytest
from scipy.optimize import minimize
from statsmodels.discrete.conditional_models import ConditionalLogit

from pricing.choice.choice_model import ChoiceModel, fit_choice
from pricing.choice.nested import Menus, nested_shares
from pricing.choice.offers import collect_offers
from pricing.data.offers_book import OfferParameters, offered_persons
from pricing.result.shape import Result

TRUTH = OfferParameters(aware=1.0)


def rows(persons=6000, seed=5, **truth):
    return offered_persons(
        persons, seed=seed, parameters=OfferParameters(**{"aware": 1.0, **truth})
    )


@pytest.fixture(scope="module")
def book():
    return rows()


@pytest.fixture(scope="module")
def offers(book):
    return collect_offers(book, ["risk_band", "age_band"])


@pytest.fixture(scope="module")
def model(offers):
    return fit_choice(offers, "risk_band")


def menus(nested=True, aware=1.0, n=40, seed=1):
    rng = np.random.default_rng(seed)
    offered = np.column_stack([np.ones(n), np.ones(n), rng.random(n) < 0.7]).astype(float)
    taken = rng.integers(0, 6, (n, 3)) * offered
    x, z = (np.column_stack([np.ones(n), rng.normal(size=n)]) for _ in range(2))
    paid = np.column_stack([np.zeros(n), rng.uniform(1, 5, (n, 2))]) * offered
    return Menus(x, z, paid, offered, taken, aware, nested)


POINT = np.array([0.3, 0.2, -0.5, 0.1, -0.4, 0.05, np.log(0.6)])


# -- the likelihood -----------------------------------------------------------------------------------


def brute(m, at):
    """The likelihood cell by cell and alternative by alternative, from the definition."""
    a, b = at[:4].reshape(2, 2), at[4:6]
    lam = np.exp(at[6]) if m.nested else 1.0
    total = 0.0
    for i in range(len(m.x)):
        price = m.z[i] @ b
        v = {0: price * m.paid[i, 0]}
        v |= {j: m.x[i] @ a[j - 1] + price * m.paid[i, j] for j in (1, 2) if m.offered[i, j]}
        nest = sum(np.exp(v[j] / lam) for j in v if j)
        top = np.exp(v[0]) + nest**lam
        p = {j: np.exp(v[j] / lam) / nest * nest**lam / top * m.aware for j in v if j}
        p[0] = 1 - m.aware + m.aware * np.exp(v[0]) / top
        assert sum(p.values()) == pytest.approx(1)
        total += sum(m.taken[i, j] * np.log(p[j]) for j in p)
    return total


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("aware", [1.0, 0.4])
def test_likelihood_is_that_of_the_definition_and_its_score_that_of_differences(nested, aware):
    m = menus(nested, aware)
    at = POINT if nested else POINT[:6]
    value, score = m.at(at)
    assert value == pytest.approx(brute(m, at), rel=1e-12)
    by_difference = [(m.at(at + h)[0] - m.at(at - h)[0]) / 2e-6 for h in 1e-6 * np.eye(len(at))]
    np.testing.assert_allclose(score, by_difference, rtol=1e-6, atol=1e-6)
    of_persons = sum((m.taken[:, [j]] * m.scores(at, j)).sum(axis=0) for j in range(3))
    np.testing.assert_allclose(of_persons, score, rtol=1e-10)


@pytest.mark.parametrize("lam", [0.05, 0.5, 1.0, 1.7])
def test_shares_add_to_one_and_their_slopes_are_those_of_differences(lam):
    rng = np.random.default_rng(3)
    v, offered = rng.normal(0, 2, (30, 4)), np.ones((30, 4))
    offered[:10, 3] = 0
    s = nested_shares(v, offered, lam, 0.7)
    np.testing.assert_allclose(s.every.sum(axis=1), 1, rtol=1e-12)
    assert (s.every[:10, 3] == 0).all()
    for k in range(4):
        d = np.zeros(4)
        d[k] = 1e-6
        up, down = (nested_shares(v + e, offered, lam, 0.7).every for e in (d, -d))
        np.testing.assert_allclose(s.slopes()[:, :, k], (up - down) / 2e-6, atol=1e-7)


def test_lambda_one_is_the_conditional_logit_and_extreme_utilities_do_not_overflow():
    v = np.random.default_rng(4).normal(size=(20, 3))
    plain = np.exp(v) / np.exp(v).sum(axis=1, keepdims=True)
    ones = np.ones((20, 3))
    np.testing.assert_allclose(nested_shares(v, ones, 1.0).every, plain, rtol=1e-12)
    near = nested_shares(v, ones, 1 - 1e-9).every
    np.testing.assert_allclose(near, plain, rtol=1e-6)
    far = nested_shares(np.array([[0.0, 900.0, -900.0]]), np.ones((1, 3)), 0.01)
    np.testing.assert_allclose(far.every, [[0, 1, 0]], atol=1e-12)
    assert far.logsum[0] == pytest.approx(900)


# -- the fit ------------------------------------------------------------------------------------------


def test_conditional_logit_is_that_of_statsmodels():
    book = rows(1500)
    fitted = fit_choice(
        collect_offers(book, ["risk_band"]), "risk_band", dissimilarity=1.0, errors="model",
        base={"risk_band": "low"},
    )  # fmt: skip
    long = book.with_columns(paid=(pl.col("price") - pl.col("subsidy")) / 1000)
    columns = []
    for tier in ("basic", "premium"):
        at = (long["alternative"] == tier).to_numpy().astype(float)
        bands = [(long["risk_band"].cast(pl.String) == b).to_numpy() for b in ("middle", "high")]
        columns += [at, *(at * b for b in bands)]
    exog = np.column_stack([*columns, long["paid"].to_numpy()])
    peer = ConditionalLogit(
        long["chosen"].to_numpy().astype(int), exog, groups=long["person_id"].to_numpy()
    )
    theirs = peer.fit(disp=False)
    scale = np.array([1.0] * 6 + [1000.0])
    names = fitted.table["coefficient_name"].to_list()
    assert names[:3] == ["(intercept)", "risk_band[middle]", "risk_band[high]"]
    ours = fitted.parameters * scale
    np.testing.assert_allclose(peer.score(ours), 0, atol=1e-6)  # their climb stops earlier
    assert fitted.facts["log_likelihood"] == pytest.approx(peer.loglike(ours), rel=1e-12)
    assert fitted.facts["log_likelihood"] >= theirs.llf - 1e-9
    np.testing.assert_allclose(ours, theirs.params, atol=5e-3)
    np.testing.assert_allclose(fitted.table["std_error"] * scale, theirs.bse, rtol=5e-3)


def test_nested_fit_is_the_maximum_of_a_likelihood_written_on_rows(book, model):
    wide = book.pivot(on="alternative", index=["person_id", "risk_band"], values=["price", "subsidy", "chosen"])  # fmt: skip
    band = wide["risk_band"].cast(pl.String).to_numpy()
    base = model.details["x"][1]["levels"][0]
    others = [c["levels"][0] for c in model.details["x"][1:]]
    x = np.column_stack([np.ones(len(band)), *(band == b for b in others)]).astype(float)
    assert base in others
    paid = [(wide[f"price_{t}"] - wide[f"subsidy_{t}"]).to_numpy() for t in ("basic", "premium")]
    chosen = [wide[f"chosen_{t}"].to_numpy() for t in ("none", "basic", "premium")]

    def loss(at):
        lam = np.exp(at[7])
        v = [x @ at[:3] + at[6] / 1000 * paid[0], x @ at[3:6] + at[6] / 1000 * paid[1]]
        total = np.exp(v[0] / lam) + np.exp(v[1] / lam)
        out = 1 + total**lam
        inside = [np.exp(u / lam) / total * total**lam / out for u in v]
        return -np.log(np.choose(np.argmax(chosen, axis=0), [1 / out, *inside])).sum()

    found = minimize(loss, np.append(model.parameters[:6], [-3.0, -0.2]), method="BFGS")
    assert -found.fun == pytest.approx(model.facts["log_likelihood"], abs=1e-4)
    scale = np.array([1.0] * 6 + [1000.0, 1.0])
    np.testing.assert_allclose(model.parameters * scale, found.x, atol=3e-3)


def test_truth_lies_in_the_intervals_and_iia_is_refused():
    many = rows(12_000, seed=11)
    many = many.with_columns(log_risk=(pl.col("risk") / TRUTH.risk_median).log().round(1))
    seen = collect_offers(many, ["log_risk", "age_band"], cluster="community")
    fitted = fit_choice(seen, "log_risk + age_band", base={"age_band": "60-79"}, level=0.999)
    truth = {
        ("basic", "(intercept)"): TRUTH.basic, ("premium", "(intercept)"): TRUTH.premium,
        ("basic", "log_risk"): TRUTH.basic_risk, ("premium", "log_risk"): TRUTH.premium_risk,
        ("basic", "age_band[80+]"): TRUTH.old, ("premium", "age_band[80+]"): TRUTH.old,
        ("all", "price paid"): TRUTH.price, ("all", "dissimilarity"): TRUTH.dissimilarity,
    }  # fmt: skip
    for a, name, low, high in fitted.table.select(
        "alternative", "coefficient_name", "lower", "upper"
    ).rows():
        assert low < truth[a, name] < high, (a, name)
    assert fitted.facts["iia_p"] < 1e-4
    assert fitted.facts["dissimilarity"] == pytest.approx(0.6, abs=0.1)
    flat = fit_choice(seen, "log_risk + age_band", dissimilarity=1.0)
    gain = 2 * (fitted.facts["log_likelihood"] - flat.facts["log_likelihood"])
    assert fitted.facts["iia"] == pytest.approx(gain, abs=1e-6)


def test_iia_is_kept_where_it_holds():
    book = rows(8000, seed=4, dissimilarity=1.0)
    book = book.with_columns(log_risk=(pl.col("risk") / TRUTH.risk_median).log().round(1))
    fitted = fit_choice(collect_offers(book, ["log_risk", "age_band"]), "log_risk + age_band")
    assert fitted.facts["iia_p"] > 0.01
    assert "no more than" in fitted.finding("en")


def test_awareness_by_a_column_and_as_a_given_share():
    book = rows(20_000, seed=9, aware=0.3)
    asked = collect_offers(book, ["risk_band"], aware="aware")
    fitted = fit_choice(asked, "risk_band")
    assert fitted.aware == pytest.approx(0.3, abs=0.015)
    assert fitted.facts["persons"] == pytest.approx(6000, abs=250)
    every = collect_offers(book, ["risk_band"])
    given = fit_choice(every, "risk_band", awareness=0.3)
    assert given.facts["price_effect"] == pytest.approx(
        TRUTH.price, abs=5 * given.facts["price_error"]
    )
    blind = fit_choice(every, "risk_band")
    own = blind.table.filter(pl.col("coefficient_name") == "(intercept)")["utility"]
    true = fitted.table.filter(pl.col("coefficient_name") == "(intercept)")["utility"]
    assert (own < true - 1).all()  # who did not know of it reads as who did not want it


def test_price_may_move_types_differently(offers):
    fitted = fit_choice(offers, "risk_band", price_by="age_band")
    assert fitted.table["coefficient_name"].to_list()[-3:-1] == [
        "price paid",
        "price paid × age_band[80+]",
    ]


# -- cells --------------------------------------------------------------------------------------------


def test_order_shards_and_weights_do_not_matter(book, offers, model):
    mixed = collect_offers(
        book.sample(fraction=1.0, shuffle=True, seed=1), ["risk_band", "age_band"]
    )
    assert mixed.experience.cells.equals(offers.experience.cells)
    half = pl.col("person_id") < book["person_id"].sort()[book.height // 2]
    parts = [collect_offers(book.filter(p), ["risk_band", "age_band"]) for p in (half, ~half)]
    again = fit_choice(parts[0] + parts[1], "risk_band")
    np.testing.assert_allclose(again.parameters, model.parameters, rtol=1e-7)
    weighted = book.with_columns(many=2.0)
    double = fit_choice(collect_offers(weighted, ["risk_band"], weight="many"), "risk_band")
    np.testing.assert_allclose(double.parameters, model.parameters, rtol=1e-6)
    np.testing.assert_allclose(double.covariance * 2, model.covariance, rtol=1e-4)


def test_a_subsidy_to_the_person_is_the_same_as_a_lower_price(book, model):
    lower = book.with_columns(price=pl.col("price") - pl.col("subsidy")).drop("subsidy")
    fitted = fit_choice(collect_offers(lower, ["risk_band"]), "risk_band")
    np.testing.assert_allclose(fitted.parameters, model.parameters, rtol=1e-6)


def test_money_in_another_unit_scales_the_price_effect(book, model):
    fen = book.with_columns(pl.col("price", "subsidy") * 100)
    fitted = fit_choice(collect_offers(fen, ["risk_band"]), "risk_band")
    assert fitted.facts["price_effect"] * 100 == pytest.approx(
        model.facts["price_effect"], rel=1e-6
    )
    assert fitted.facts["log_likelihood"] == pytest.approx(model.facts["log_likelihood"], abs=1e-6)


def test_robust_errors_are_those_of_rows_and_clusters_matter(book, offers):
    robust, plain = (fit_choice(offers, "risk_band", errors=e) for e in ("robust", "model"))
    np.testing.assert_allclose(robust.parameters, plain.parameters)
    ratio = np.sqrt(np.diag(robust.covariance) / np.diag(plain.covariance))
    assert (np.abs(ratio - 1) < 0.15).all()
    assert not np.allclose(ratio, 1, atol=1e-6)
    alone = book.with_columns(own=pl.col("person_id"))
    each = fit_choice(collect_offers(alone, ["risk_band"], cluster="own"), "risk_band")
    factor = 6000 / 5999
    np.testing.assert_allclose(each.covariance, robust.covariance * factor, rtol=1e-4)


def test_chinese_alternatives_levels_and_a_saved_model(tmp_path, book):
    named = book.with_columns(
        pl.col("alternative").replace({"none": "不参保", "basic": "基础档五百", "premium": "尊享档两千"}),
        pl.col("risk_band").cast(pl.String).replace({"low": "低", "middle": "中", "high": "高"}).alias("风险"),
    )  # fmt: skip
    fitted = fit_choice(
        collect_offers(named, ["风险"], outside="不参保"), "风险", base={"风险": "低"}
    )
    assert fitted.alternatives == ("不参保", "基础档五百", "尊享档两千")
    fitted.save(tmp_path / "model")
    back = Result.load(tmp_path / "model")
    assert isinstance(back, ChoiceModel)
    types = pl.DataFrame({"风险": ["低", "高"]})
    paid = np.array([0.0, 300.0, 1800.0])
    one, two = (m.menus(types, paid).shares(m.parameters).every for m in (fitted, back))
    np.testing.assert_array_equal(one, two)
    assert one[1, 2] > one[0, 2]
    for lang in ("en", "zh"):
        assert back.finding(lang)
        assert back.figure(lang).data


def test_fit_reproduces_the_shares_it_was_fitted_on(model):
    fit = model.frames["fit"]
    np.testing.assert_allclose(fit["share"].sum(), 1)
    np.testing.assert_allclose(fit["fitted_share"].sum(), 1)
    np.testing.assert_allclose(fit["share"], fit["fitted_share"], atol=2e-3)


@pytest.mark.slow
def test_intervals_cover_the_truth_as_often_as_they_say():
    inside = []
    for seed in range(120):
        book = rows(6000, seed=100 + seed, communities=60)
        book = book.with_columns(log_risk=(pl.col("risk") / TRUTH.risk_median).log().round(1))
        fitted = fit_choice(
            collect_offers(book, ["log_risk", "age_band"]),
            "log_risk + age_band",
            base={"age_band": "60-79"},
        )
        low, high = (fitted.table[c].to_numpy() for c in ("lower", "upper"))
        truth = [TRUTH.basic, 0.4, 0.3, TRUTH.premium, 0.9, 0.3, TRUTH.price, 0.6]
        order = [TRUTH.basic, 0.3, 0.4, TRUTH.premium, 0.3, 0.9, TRUTH.price, 0.6]
        names = fitted.table["coefficient_name"].to_list()
        at = truth if names[1] == "log_risk" else order
        inside.append((low < at) & (at < high))
    share = np.mean(inside, axis=0)
    assert (share > 0.88).all(), share
    assert share.mean() == pytest.approx(0.95, abs=0.025)
