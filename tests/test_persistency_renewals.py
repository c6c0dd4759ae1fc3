"""Renewals offered, persistency, the renewal model and who leaves."""

from datetime import date

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from scipy.stats import beta as beta_law
from statsmodels.stats.proportion import proportion_confint

from pricing.claims.clusters import cluster_errors
from pricing.data.contracts import contract
from pricing.data.lives import live
from pricing.data.truth import BookParameters
from pricing.errors import InputError
from pricing.experience.cells import Experience
from pricing.persistency.lapse_value import lapse_value
from pricing.persistency.persistency import (
    cumulative_persistency,
    persistency,
    price_band,
    share_interval,
)
from pricing.persistency.renewal_model import fit_renewal, renewal_elasticity
from pricing.persistency.renewals import renewal_offers
from pricing.result.shape import Result

WINDOW = (date(2018, 1, 1), date(2026, 1, 1))


def tables(policies: int = 6_000, seed: int = 7) -> dict[str, pl.DataFrame]:
    lives = live(BookParameters(), policies=policies, seed=seed)
    number = pl.col("policy").cast(pl.String).alias("policy_id")
    return {
        "policies": lives.issued.with_columns(number).drop("policy"),
        "renewals": lives.years.with_columns(number).drop("policy", "tier"),
        "offers": lives.offers.with_columns(number).drop("policy"),
    }


@pytest.fixture(scope="module")
def book() -> dict[str, pl.DataFrame]:
    return tables()


@pytest.fixture(scope="module")
def offers(book):
    return renewal_offers(book["policies"], book["renewals"], book["offers"], observed=WINDOW)


def few() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Six policies from 29 February 2020 and one way out each."""
    start, due = date(2020, 2, 29), date(2021, 2, 28)
    ends = [due, date(2021, 9, 1), date(2020, 8, 1), date(2020, 8, 1), date(2020, 8, 1), due]
    causes = ["lapse", None, "death", "cancelled", "lapse", "expired"]
    names = list("abcdef")
    policies = pl.DataFrame(
        {"policy_id": names, "start": [start] * 6, "end": ends, "exit_cause": causes}
    )
    renewals = pl.DataFrame({
        "policy_id": [*names, "b"], "policy_year": [0] * 6 + [1], "start": [start] * 6 + [due],
        "health_group": "G0", "standard_premium": [100.0] * 6 + [110.0],
    })  # fmt: skip
    return policies, renewals


# -- renewals offered ---------------------------------------------------------------------------------


def test_every_policy_year_is_counted_once_by_its_way_out():
    found = renewal_offers(*few(), observed=(date(2020, 1, 1), date(2021, 9, 1)))
    assert dict(found.account.table.select("outcome", "policy_years").rows()) == {
        "renewed": 1, "left_at_renewal": 1, "ended_by_death": 1, "ended_by_cancelled": 1,
        "ended_by_lapse": 1, "ended_by_expired": 1, "due_outside_window": 1,
    }  # fmt: skip
    assert found.rows.select("policy_id", "renewed").rows() == [("a", 0), ("b", 1)]
    assert found.rows["due"].unique().to_list() == [date(2021, 2, 28)]
    assert found.account.table["share"].sum() == pytest.approx(1.0)


def test_without_the_offer_nobody_has_a_price_not_even_who_renewed():
    found = renewal_offers(*few(), observed=(date(2020, 1, 1), date(2021, 9, 1)))
    assert found.rows["price_change"].null_count() == found.rows.height
    assert any("not known" in note for note in found.account.basis.notes)
    with pytest.raises(InputError, match="2 of 2 offers have none"):
        found.cells(["price_change"])


def test_a_recomputed_offer_is_used_for_both_and_held_against_what_was_paid():
    rise = {"standard_premium": pl.col("standard_premium") * 1.2}
    found = renewal_offers(*few(), observed=(date(2020, 1, 1), date(2021, 9, 1)), offered=rise)
    assert found.rows["price_change"].to_list() == pytest.approx([np.log(1.2)] * 2)
    assert found.account.facts["gap"] == pytest.approx(np.log(1.2 / 1.1))
    with pytest.raises(InputError, match="no premium above zero for 2 of 2"):
        renewal_offers(*few(), observed=(date(2020, 1, 1), date(2021, 9, 1)),
                       offered={"standard_premium": pl.col("standard_premium") * 0.0})  # fmt: skip
    with pytest.raises(InputError, match="offered= takes standard_premium"):
        renewal_offers(*few(), observed=(date(2020, 1, 1), date(2021, 9, 1)),
                       offered={"price": pl.col("standard_premium")})  # fmt: skip


def test_the_offer_file_of_the_book_fits_its_exits_and_its_contract(book, offers):
    kept = [name for name in contract("offers").column_names() if name in book["offers"].columns]
    file = book["offers"].select(kept).with_columns(pl.col("policy_year").cast(pl.Int64))
    assert contract("offers").is_valid(file, cast=True)
    assert offers.rows.height == book["offers"].height
    assert offers.rows["renewed"].sum() == book["offers"]["renewed"].sum()
    lapses = book["policies"].filter(pl.col("exit_cause") == "lapse").height
    assert offers.rows.height - offers.rows["renewed"].sum() == lapses
    renewed = offers.rows.filter(pl.col("renewed") == 1)
    paid = renewed.join(
        book["renewals"].select("policy_id", pl.col("policy_year") - 1, paid="premium"),
        on=["policy_id", "policy_year"], how="left",
    )  # fmt: skip
    assert paid["paid"].equals(paid["premium_offered"].alias("paid"))
    r = offers.rows
    assert (r["standard_change"] + r["discount_change"] - r["price_change"]).abs().max() < 1e-12


def test_order_of_the_tables_does_not_matter(book, offers):
    mixed = {name: table.sample(fraction=1.0, shuffle=True, seed=1) for name, table in book.items()}
    again = renewal_offers(mixed["policies"], mixed["renewals"], mixed["offers"], observed=WINDOW)
    assert again.rows.equals(offers.rows)
    assert again.account.basis.fingerprint == offers.account.basis.fingerprint


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"premium": pl.when(pl.col("policy_year") == 1).then(None).otherwise("premium")},
            "premium is null",
        ),
        ({"premium": pl.col("premium") * 0}, "premium is null or not above zero"),
        ({"premium": pl.col("premium").cast(pl.String)}, "premium is String, not a number"),
        ({"renewed": ~pl.col("renewed")}, "renewed in the file and not in policies"),
        ({"policy_year": pl.col("policy_year") + 9}, "no policy year before them"),
        ({"policy_id": pl.col("policy_id") + "x"}, "have no policy, such as"),
    ],
)
def test_offers_that_cannot_be_are_refused(book, change, said):
    with pytest.raises(InputError, match=said):
        renewal_offers(
            book["policies"],
            book["renewals"],
            book["offers"].with_columns(**change),
            observed=WINDOW,
        )


def test_other_bad_tables_are_refused(book):
    p, r, o = book["policies"], book["renewals"], book["offers"]
    with pytest.raises(InputError, match="offers: 12 rows share policy_id and policy_year"):
        renewal_offers(p, r, pl.concat([o, o.head(6)]), observed=WINDOW)
    with pytest.raises(InputError, match="have no row in the offer file"):
        renewal_offers(p, r, o.tail(-6), observed=WINDOW)
    with pytest.raises(InputError, match="2 rows share their policy_id"):
        renewal_offers(pl.concat([p, p.head(1)]), r, o, observed=WINDOW)
    with pytest.raises(InputError, match="the window ends"):
        renewal_offers(p, r, o, observed=WINDOW[::-1])
    with pytest.raises(InputError, match="a first and a last day"):
        renewal_offers(p, r, o, observed=(2018, date(2020, 1, 1)))
    with pytest.raises(InputError, match="no renewal falls due"):
        renewal_offers(p, r, o, observed=(date(2001, 1, 1), date(2002, 1, 1)))
    with pytest.raises(InputError, match="end on or before their start"):
        renewal_offers(p.with_columns(end="start"), r, o, observed=WINDOW)
    with pytest.raises(InputError, match="without an exit_cause"):
        renewal_offers(p.with_columns(exit_cause=pl.lit(None, pl.String)), r, o, observed=WINDOW)
    with pytest.raises(InputError, match="without a row for the next year"):
        renewal_offers(p, r.filter(pl.col("policy_year") != 1), None, observed=WINDOW)
    with pytest.raises(InputError, match="give one of the two"):
        renewal_offers(p, r, o, observed=WINDOW, offered={"standard_premium": pl.lit(1.0)})


# -- persistency --------------------------------------------------------------------------------------


def test_intervals_are_those_of_statsmodels_and_scipy():
    k, n = np.array([0.0, 3.0, 9.0, 10.0]), np.array([10.0, 10.0, 11.0, 10.0])
    low, high = share_interval(k, n)
    assert np.c_[low, high] == pytest.approx(
        np.c_[proportion_confint(k, n, method="wilson")], abs=1e-12
    )
    low, high = share_interval(k, n, interval="jeffreys", level=0.9)
    assert low[1:] == pytest.approx(beta_law.ppf(0.05, k[1:] + 0.5, n[1:] - k[1:] + 0.5))
    assert (low[0], high[3]) == (0.0, 1.0)


def test_persistency_by_any_key_adds_up(offers):
    cells = offers.cells(["policy_year", "channel", "price_change"])
    cells = cells.with_keys(price_band=price_band())
    for factor in ("policy_year", "channel", "price_band"):
        t = persistency(cells, factor).table
        assert t["offers"].sum() == offers.rows.height
        assert t["renewed"].sum() == offers.rows["renewed"].sum()
        assert ((t["lower"] <= t["persistency"]) & (t["persistency"] <= t["upper"])).all()
    assert persistency(cells, "channel").table.equals(
        persistency(cells.by("channel"), "channel").table
    )


def test_cumulative_is_the_product_with_greenwoods_error(offers):
    t = cumulative_persistency(offers.cells(["policy_year"])).table
    p, n, k = (t[c].to_numpy() for c in ("persistency", "offers", "renewed"))
    assert t["cumulative"].to_numpy() == pytest.approx(np.cumprod(p))
    greenwood = np.cumprod(p) * np.sqrt(np.cumsum((1 - p) / (n * p)))
    assert t["std_error"].to_numpy() == pytest.approx(greenwood)
    assert t["month"].to_list()[:3] == [13, 25, 37]
    assert k[0] >= n[1]  # nobody is offered a second renewal who did not take the first


def test_all_left_and_nobody_left_and_one_level():
    rows = pl.DataFrame(
        {"policy_year": [0] * 3 + [1] * 3, "exposure": 1.0, "claims": [1] * 3 + [0] * 3}
    )
    cells = Experience.collect(rows, ["policy_year"])
    last = cumulative_persistency(cells).table.row(-1, named=True)
    assert (last["cumulative"], last["lower"], last["upper"]) == (0.0, None, None)
    first = cumulative_persistency(cells).table.row(0, named=True)
    assert (first["cumulative"], first["upper"]) == (1.0, 1.0)
    one = persistency(Experience.collect(rows.head(3), ["policy_year"]), "policy_year")
    assert one.table["persistency"].to_list() == [1.0]
    assert one.finding("en") != one.finding("zh")


def test_cells_that_are_no_offers_are_refused():
    rows = pl.DataFrame({"policy_year": [0, 1], "exposure": [0.5, 1.0], "claims": [1, 0]})
    for verb in (lambda c: persistency(c, "policy_year"), cumulative_persistency):
        with pytest.raises(InputError, match="not of renewal offers"):
            verb(Experience.collect(rows, ["policy_year"]))
    gap = pl.DataFrame({"policy_year": [0, 2], "exposure": 1.0, "claims": [1, 1]})
    with pytest.raises(InputError, match="policy years 1: the chain is broken"):
        cumulative_persistency(Experience.collect(gap, ["policy_year"]))
    with pytest.raises(InputError, match="no interval 'wilsn'; did you mean 'wilson'"):
        share_interval(np.ones(1), np.ones(1), interval="wilsn")
    with pytest.raises(InputError, match="increasing fractions"):
        price_band((0.1, 0.0))


# -- renewal model ------------------------------------------------------------------------------------

KEYS = ["health_group", "channel", "price_change"]


@pytest.fixture(scope="module")
def fitted(offers):
    cells = offers.cells(KEYS)
    return cells, fit_renewal(cells, "health_group + channel + price_change")


def oracle(offers, model):
    frame = offers.frame(KEYS)
    matrix = model.values(frame)
    logit = sm.GLM(frame["claims"].to_numpy(), matrix, sm.families.Binomial())
    return frame, matrix, logit


def test_the_model_is_statsmodels_logit_on_the_rows(offers, fitted):
    _, model = fitted
    frame, matrix, logit = oracle(offers, model)
    found = logit.fit(tol=1e-12)
    assert model.coefficients == pytest.approx(found.params, rel=1e-6, abs=1e-7)
    assert model.covariance("model") == pytest.approx(found.cov_params(), rel=1e-5, abs=1e-9)
    person = frame["policy_id"].cast(pl.Int64).to_numpy()
    clustered = logit.fit(tol=1e-12, cov_type="cluster", cov_kwds={"groups": person})
    n, k = matrix.shape
    ours = cluster_errors(model, frame, by="policy_id")
    assert ours.kind == "renewal_model"
    assert ours.covariance("cluster") == pytest.approx(
        clustered.cov_params() * (n - k) / (n - 1), rel=1e-5, abs=1e-9
    )
    assert ours.slope()["slope"] == model.slope()["slope"]
    assert "person-clustered" in ours.finding("en")


def test_the_elasticity_is_what_a_small_rise_does_and_its_error_the_deltas(offers):
    cells = offers.cells(KEYS)
    model = fit_renewal(cells, "channel * price_change + health_group")
    found = renewal_elasticity(model, cells, "health_group").table
    seen = cells.by(*KEYS)
    x, n = model.values(seen.cells), seen.values("exposure")
    slope = model.values(seen.cells.with_columns(pl.col("price_change") + 1.0)) - x
    kept = np.isfinite(model.coefficients)
    step = 1e-5

    def elasticity(theta, rows):
        p0, p1 = (1 / (1 + np.exp(-(x + s * slope) @ theta)) for s in (-step, step))
        return np.log((n[rows] @ p1[rows]) / (n[rows] @ p0[rows])) / (2 * step)

    groups = seen.cells["health_group"].cast(pl.String).to_numpy()
    theta = model.coefficients[kept]
    for name, ours in found.select("level", "price_elasticity").iter_rows():
        rows = np.ones(len(n), bool) if name == "total" else groups == name
        assert ours == pytest.approx(elasticity(theta, rows), rel=1e-5)
    every = np.ones(len(n), bool)
    unit = np.eye(len(theta)) * 1e-4
    gradient = np.array(
        [(elasticity(theta + u, every) - elasticity(theta - u, every)) / 2e-4 for u in unit]
    )
    errors = [
        np.sqrt(gradient @ model.covariance(e)[np.ix_(kept, kept)] @ gradient)
        for e in ("robust", "model")
    ]
    assert found["std_error"][0] == pytest.approx(max(errors), rel=1e-3)


def test_split_cells_and_order_do_not_matter(offers, fitted):
    _, model = fitted
    finer = offers.cells([*KEYS, "policy_year", "sex"])
    again = fit_renewal(finer, "health_group + channel + price_change")
    assert again.coefficients == pytest.approx(model.coefficients, rel=1e-7, abs=1e-8)
    assert renewal_elasticity(again, finer).table["std_error"][0] == pytest.approx(
        renewal_elasticity(model, offers.cells(KEYS)).table["std_error"][0], rel=1e-6
    )


def test_renewal_refusals(offers):
    cells = offers.cells(KEYS)
    with pytest.raises(InputError, match="the formula has no 'price_change'"):
        fit_renewal(cells, "channel")
    with pytest.raises(InputError, match="not a number"):
        fit_renewal(cells, "channel", price="channel")
    flat = pl.DataFrame(
        {"price_change": [0.1] * 4, "exposure": 1.0, "claims": [1, 0, 1, 1], "amount": 1.0}
    )
    with pytest.raises(InputError, match="no price to respond to"):
        fit_renewal(Experience.collect(flat, ["price_change"], amount="amount"), "price_change")
    for value, said in ((1, "nobody leaves"), (0, "nobody renews")):
        rows = pl.DataFrame(
            {
                "price_change": [0.0, 0.1],
                "exposure": 1.0,
                "claims": [value] * 2,
                "amount": float(value),
            }
        )
        with pytest.raises(InputError, match=said):
            fit_renewal(Experience.collect(rows, ["price_change"], amount="amount"), "price_change")
    with pytest.raises(InputError, match="no slope of its own"):
        fit_renewal(cells, "ns(price_change, 2)")
    with pytest.raises(InputError, match="price_step"):
        offers.cells(KEYS, price_step=-1)


@pytest.mark.slow
def test_the_slope_covers_the_truth_where_price_is_by_chance():
    inside = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        x = rng.normal(0.05, 0.05, 4_000).round(3)
        y = (rng.random(4_000) < 1 / (1 + np.exp(-1.99 + 5 * x))).astype(int)
        rows = pl.DataFrame({"price_change": x, "exposure": 1.0, "claims": y, "amount": y * 1.0})
        cells = Experience.collect(rows, ["price_change"], amount="amount")
        slope = fit_renewal(cells, "price_change").slope()
        inside += slope["slope_lower"] < -5 < slope["slope_upper"]
    assert 183 <= inside <= 198  # 200 draws of 95 %: both ends beyond 1 in 100


# -- who leaves ---------------------------------------------------------------------------------------


def drawn(health: float, n: int = 20_000, seed: int = 3) -> pl.DataFrame:
    """Offers whose log-odds of leaving move by ``health`` per unit of ln expected claims."""
    rng = np.random.default_rng(seed)
    risk = rng.normal(size=n)
    left = rng.random(n) < 1 / (1 + np.exp(1.5 - health * risk))
    return pl.DataFrame({
        "health_group": rng.choice(["G0", "G1"], n), "renewed": (~left).astype(int),
        "expected_amount": 1000 * np.exp(0.5 * risk), "premium_offered": 2000.0,
    })  # fmt: skip


@pytest.mark.parametrize(
    ("health", "said"), [(-0.3, "healthier leave"), (0.3, "less healthy leave")]
)
def test_who_leaves_is_found(health, said):
    found = lapse_value(drawn(health), expenses=0.2)
    assert said in found.finding("en")
    t = found.table
    assert t["offers"][0] == t["offers"][1:].sum() == 20_000
    assert t["margin_lost"][0] == pytest.approx(t["margin_lost"][1:].sum())
    rows = drawn(health)
    gone = rows.filter(pl.col("renewed") == 0)["expected_amount"].to_numpy()
    stay = rows.filter(pl.col("renewed") == 1)["expected_amount"].to_numpy()
    assert t["selection_index"][0] == pytest.approx(gone.mean() / stay.mean())
    assert t["margin_lost"][0] == pytest.approx((1600 - gone).sum())
    spread = np.sqrt(
        gone.var(ddof=1) / len(gone) / gone.mean() ** 2
        + stay.var(ddof=1) / len(stay) / stay.mean() ** 2
    )
    assert np.log(t["upper"][0] / t["selection_index"][0]) == pytest.approx(
        1.959964 * spread, rel=1e-6
    )
    bands = found.frames["risk_bands"].filter(pl.col("level") == "total")
    assert bands["offers"].to_list() == [2_000] * 10
    assert np.sign(bands["leave_rate"][-1] - bands["leave_rate"][0]) == np.sign(health)


def test_the_indexs_interval_covers_one_where_nobody_selects():
    inside = 0
    for seed in range(200):
        t = lapse_value(drawn(0.0, n=1_500, seed=seed)).table.row(0, named=True)
        inside += t["lower"] < 1 < t["upper"]
    assert 183 <= inside <= 198


def test_units_and_order_do_not_matter_to_the_index():
    rows = drawn(-0.3, n=2_000)
    mixed = rows.sample(fraction=1.0, shuffle=True, seed=2)
    fen = mixed.with_columns(pl.col("expected_amount", "premium_offered") * 100)
    a, b = lapse_value(rows).table, lapse_value(fen).table
    assert a["level"].to_list() == b["level"].to_list() == ["total", "G0", "G1"]
    assert a["selection_index"].to_list() == pytest.approx(b["selection_index"].to_list())
    assert (100 * a["margin_lost"]).to_list() == pytest.approx(b["margin_lost"].to_list())


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        ({"premium_offered": pl.lit(0.0)}, {}, "not above zero in 50 of 50"),
        ({"premium_offered": pl.lit(None, pl.Float64)}, {}, "'premium_offered' is null"),
        ({"expected_amount": pl.lit(-1.0)}, {}, "negative in 50 of 50"),
        ({"expected_amount": pl.lit("a")}, {}, "is String, not a number"),
        ({"renewed": pl.lit(1)}, {}, "0 of 50 leave"),
        ({"renewed": pl.lit(2)}, {}, "neither 0 nor 1"),
        ({"health_group": pl.lit(None, pl.String)}, {}, "'health_group' is null in 50"),
        ({}, {"expenses": 1.0}, "expenses are a share"),
        ({}, {"bands": 1}, "bands is a whole number"),
        ({}, {"by": "helth_group"}, "did you mean"),
    ],
)
def test_lapse_value_refusals(change, options, said):
    with pytest.raises(InputError, match=said):
        lapse_value(drawn(0.0, n=50).with_columns(**change), **options)


# -- results ------------------------------------------------------------------------------------------


def test_every_result_speaks_both_languages_and_is_kept(offers, fitted, tmp_path):
    cells, model = fitted
    results = [
        offers.account,
        persistency(cells, "health_group"),
        cumulative_persistency(offers.cells(["policy_year"])),
        model,
        renewal_elasticity(model, cells, "channel"),
        renewal_elasticity(model, cells),
        lapse_value(drawn(-0.3, n=500)),
    ]
    for i, result in enumerate(results):
        for lang in ("en", "zh"):
            assert "{" not in result.finding(lang)
            assert result.figure(lang).data
        assert result.basis.fingerprint
        result.save(tmp_path / str(i))
        back = Result.load(tmp_path / str(i))
        assert type(back) is type(result)
        assert back.table.equals(result.table)
        assert back.finding("zh") == result.finding("zh")
