"""Frequency times severity, two-part models and benefits that add up."""

from functools import cache

import numpy as np
import polars as pl
import pytest
from scipy.special import ndtri

from pricing.claims.benefits import Benefits, collect_benefits, fit_benefits
from pricing.claims.models import fit_frequency
from pricing.claims.product import Product, multiply
from pricing.claims.pure_premium import fit_pure_premium
from pricing.claims.severity import fit_severity
from pricing.claims.two_part import TwoPart, fit_two_part
from pricing.errors import InputError
from pricing.experience.cells import Experience
from pricing.result.shape import Result

KEYS = ["tier", "sex", "x"]
Z = float(ndtri(0.975))


@cache
def book(rows: int = 5_000, seed: int = 9, effect: float = 0.4) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    tier, sex, x = rng.integers(0, 3, rows), rng.integers(0, 2, rows), rng.integers(0, 4, rows) / 2
    exposure = rng.uniform(0.2, 1.0, rows)
    claims = rng.poisson(np.exp(-0.3 + effect * (tier == 1) - 0.1 * x) * exposure)
    mean = 100 * np.exp(0.3 * (tier == 2) + 0.2 * sex)
    out = np.where(claims > 0, rng.gamma(np.maximum(claims, 1), mean), 0.0)
    frail = rng.gamma(1.0, 1.0, rows)
    inpatient = np.where(rng.random(rows) < 0.1 * frail, 900 * rng.gamma(2.0, 0.5, rows), 0.0)
    drugs = 0.3 * out * rng.random(rows) + 0.05 * inpatient
    return pl.DataFrame(
        {
            "tier": np.array(["a", "b", "c"])[tier],
            "sex": np.array(["f", "m"])[sex],
            "x": x,
            "exposure": exposure,
            "claims": claims,
            "amount": out,
            "inpatient": inpatient,
            "drugs": drugs,
        }
    )


def seen(rows: pl.DataFrame | None = None) -> Experience:
    return Experience.collect(book() if rows is None else rows, KEYS, amount="amount")


@cache
def tariff() -> Product:
    return fit_frequency(seen(), "tier + x") * fit_severity(seen(), "tier + sex")


def test_a_product_multiplies_rates_and_relativities_and_adds_squared_errors():
    frequency, severity = tariff().parts.values()
    rate = tariff().score(book(), exposure="exposure")
    both = [m.score(book())["rate"].to_numpy() for m in (frequency, severity)]
    np.testing.assert_allclose(rate["rate"], both[0] * both[1], rtol=1e-13)
    np.testing.assert_allclose(rate["expected"], rate["rate"] * book()["exposure"], rtol=1e-13)
    for term in ("tier", "sex"):
        for row in tariff().relativities(term).filter(role="estimate").iter_rows(named=True):
            own = [
                m.table.filter(pl.col("term") == term, pl.col("level") == row["level"])
                for m in (frequency, severity)
            ]
            product = np.prod([t["relativity"][0] for t in own if t.height])
            square = sum(
                max(t["std_error_model"][0], t["std_error_robust"][0]) ** 2 for t in own if t.height
            )
            assert row["relativity"] == pytest.approx(product, rel=1e-12)
            width = np.log(row["upper"] / row["lower"]) / 2
            assert width == pytest.approx(1.959964 * np.sqrt(square), rel=1e-6)
    base = tariff().relativities("tier").filter(role="base").row(0, named=True)
    assert (base["relativity"], base["lower"], base["upper"]) == (1.0, 1.0, 1.0)
    cells = seen().cells.head(6)
    wide = tariff().interval(cells)
    halves = [m.interval(cells) for m in (frequency, severity)]
    widths = [np.log(f["upper"] / f["lower"]).to_numpy() for f in (*halves, wide)]
    np.testing.assert_allclose(widths[2] ** 2, widths[0] ** 2 + widths[1] ** 2, rtol=1e-9)


def test_a_product_is_saved_and_loaded(tmp_path):
    tariff().save(tmp_path / "t")
    back = Result.load(tmp_path / "t")
    assert type(back) is Product
    assert back.table.equals(tariff().table)
    assert back.score(book())["rate"].equals(tariff().score(book())["rate"])
    for lang in ("en", "zh"):
        assert back.finding(lang) == tariff().finding(lang)
        assert len(back.figure(lang, "tier").data) == 4


def test_what_does_not_make_a_product_is_refused():
    frequency, severity = tariff().parts.values()
    with pytest.raises(InputError, match="a severity times a frequency"):
        multiply(severity, frequency)
    with pytest.raises(InputError, match="base levels differ") as refused:
        multiply(frequency, fit_severity(seen(), "tier", base={"tier": "c"}))
    assert "tier: " in str(refused.value)
    nil = book().with_columns(amount=pl.when(pl.col("x") == 0.5).then(0.0).otherwise("amount"))
    count = int(nil.filter(amount=0.0)["claims"].sum())
    apart = fit_severity(seen(nil), "tier")
    assert apart.facts["nil_claims"] == count > 0
    assert any(f"{count:,} claims without an amount are set apart" in n for n in apart.basis.notes)
    with pytest.raises(InputError, match=f"set {count:,} claims without an amount apart"):
        multiply(fit_frequency(seen(nil), "tier"), apart)
    kept = fit_severity(seen(nil), "tier", nil="keep")
    whole = (fit_frequency(seen(nil), "tier") * kept).score(nil, exposure="exposure")
    # balance by level, as both parts have it
    by = whole.group_by("tier").agg(pl.col("amount", "expected").sum())
    np.testing.assert_allclose(by["expected"], by["amount"], rtol=1e-9)
    assert kept.facts["deviance"] is None
    with pytest.raises(InputError, match="the frequency counts claims"):
        multiply(frequency, fit_severity(seen(), "tier", per="row"))
    with pytest.raises(InputError, match="per row"):
        multiply(frequency, fit_severity(seen(), "tier", family="log_normal"))


def test_levels_that_one_part_does_not_know_are_refused_by_the_product():
    rows = book().with_columns(
        tier=pl.when((pl.col("claims") == 0) & (pl.col("x") > 1))
        .then(pl.lit("d"))
        .otherwise("tier")
    )
    frequency = fit_frequency(seen(rows), "x")
    both = frequency * fit_severity(seen(rows), "tier")
    with pytest.raises(InputError, match=r"tier: .* rows, such as 'd'"):
        both.score(rows)
    assert both.score(rows, unknown="base")["rate"].null_count() == 0


# -- two parts ---------------------------------------------------------------------------------------


def test_two_parts_are_their_product_and_their_relativity_a_mean_over_the_book():
    model = fit_two_part(seen(), "tier + sex + x")
    first, second = model.parts.values()
    chance, amount = (m.score(book())["rate"].to_numpy() for m in (first, second))
    np.testing.assert_allclose(model.score(book())["rate"], chance * amount, rtol=1e-13)
    some = book().filter(pl.col("amount") > 0)
    assert (some["amount"] / second.score(some)["rate"]).mean() == pytest.approx(1, rel=1e-9)
    moved = {at: model.score(book().with_columns(tier=pl.lit(at)))["rate"].mean() for at in "abc"}
    base = first.details["base"]["tier"]
    for row in model.relativities("tier").iter_rows(named=True):
        assert row["relativity"] == pytest.approx(moved[row["level"]] / moved[base], rel=1e-10)
    assert model.relativities("tier").filter(level=base)["upper"].item() == 1.0
    assert type(model) is TwoPart


def test_the_interval_of_two_parts_is_the_delta_method():
    """Against numbers drawn from the coefficients' distribution."""
    model = fit_two_part(seen(), "tier + sex", family="log_normal")
    rng = np.random.default_rng(4)
    cell = seen().cells.select("tier", "sex").unique(maintain_order=True)
    found = model.interval(cell, errors="model")
    logs = np.zeros((20_000, cell.height))
    for name, part in model.parts.items():
        draw = rng.multivariate_normal(part.coefficients, part.covariance("model"), 20_000)
        eta = draw @ part.values(cell).T
        logs += -np.log1p(np.exp(-eta)) if name == "occurrence" else eta
    s2, df = (model.parts["amount"].facts[n] for n in ("dispersion", "degrees_of_freedom"))
    logs += s2 / 2 * rng.chisquare(df, (20_000, 1)) / df
    width = np.log(found["upper"] / found["lower"]).to_numpy() / (2 * 1.959964)
    assert np.max(np.abs(width / logs.std(axis=0) - 1)) < 0.04


# -- benefits ----------------------------------------------------------------------------------------

AMOUNTS = {"outpatient": "amount", "inpatient": "inpatient", "drugs": "drugs"}


def test_benefits_add_up_and_their_total_has_the_interval_of_the_rows():
    both = collect_benefits(book(), KEYS, AMOUNTS)
    model = fit_benefits(both, "tier + sex")
    t = {row["benefit"]: row for row in model.table.iter_rows(named=True)}
    assert list(t) == [*AMOUNTS, "total"]
    assert t["total"]["amount"] == pytest.approx(sum(book()[c].sum() for c in AMOUNTS.values()))
    # the same standard error on rows, from the stacked scores
    e = book()["exposure"].to_numpy()
    influence = np.zeros(book().height)
    for name, part in model.parts.items():
        a, mu = book()[AMOUNTS[name]].to_numpy(), part.score(book())["rate"].to_numpy()
        x = part.values(book())
        scores = x * ((a - e * mu) * mu**-0.5)[:, None]
        gradient = (e * mu) @ x / e.sum()
        influence += scores @ part.bread @ gradient
    se = np.sqrt((influence**2).sum())
    width = np.log(t["total"]["upper"] / t["total"]["lower"]) / (2 * Z)
    assert width == pytest.approx(se / t["total"]["pure_premium"], rel=1e-9)
    # drugs go with the others: independence would be too narrow, adding errors too wide
    own = [np.log(t[n]["upper"] / t[n]["lower"]) * t[n]["pure_premium"] for n in AMOUNTS]
    whole = np.log(t["total"]["upper"] / t["total"]["lower"]) * t["total"]["pure_premium"]
    assert np.sqrt(np.sum(np.square(own))) < whole < np.sum(own)
    scored = model.score(book(), exposure="exposure")
    parts = sum(p.score(book())["rate"].to_numpy() for p in model.parts.values())
    np.testing.assert_allclose(scored["rate"], parts, rtol=1e-12)
    levels = model.frames["levels"].filter(term="tier")
    by = scored.group_by("tier").agg(pl.col("expected").sum()).sort("tier")
    np.testing.assert_allclose(levels["expected_amount"], by["expected"], rtol=1e-9)


def test_without_the_products_of_amounts_the_total_has_the_wider_interval(tmp_path):
    both = collect_benefits(book(), KEYS, AMOUNTS)
    exact = fit_benefits(both, "tier + sex")
    bare = {
        name: Experience.collect(
            book().with_columns(one=(pl.col(c) > 0).cast(pl.Int64)), KEYS, claims="one", amount=c
        )
        for name, c in AMOUNTS.items()
    }
    bound = fit_benefits(bare, "tier + sex")
    assert bound.table["pure_premium"].to_list() == pytest.approx(
        exact.table["pure_premium"].to_list(), rel=1e-10
    )
    assert bound.table["upper"][-1] > exact.table["upper"][-1]
    assert any("erred together" in note for note in bound.basis.notes)
    cell = seen().cells.head(4)
    wide, narrow = bound.interval(cell), exact.interval(cell)
    assert (wide["upper"] >= narrow["upper"]).all()
    exact.save(tmp_path / "b")
    back = Benefits.load(tmp_path / "b")
    assert back.interval(cell).equals(narrow)
    for lang in ("en", "zh"):
        assert back.finding(lang)
        assert back.figure(lang).data


def test_what_does_not_add_up_is_refused():
    both = collect_benefits(book(), KEYS, AMOUNTS)
    with pytest.raises(InputError, match="exposures differ"):
        fit_benefits(
            {**both, "drugs": Experience.collect(book().head(100), KEYS, amount="drugs")}, "tier"
        )
    with pytest.raises(InputError, match="do not add up"):
        collect_benefits(book(), KEYS, {"outpatient": "amount"})
    with pytest.raises(InputError, match="'inpatien'; did you mean 'inpatient'"):
        collect_benefits(book(), KEYS, {**AMOUNTS, "inpatient": "inpatien"})
    none = book().with_columns(drugs=pl.when(pl.col("tier") == "c").then(0.0).otherwise("drugs"))
    with pytest.raises(InputError, match="drugs: levels without an amount"):
        fit_benefits(collect_benefits(none, KEYS, AMOUNTS), "tier")


def test_the_sum_of_one_formula_at_power_one_is_the_model_of_the_sum():
    """At p = 1 with one factor, the pure premium of a level is amount over exposure: it adds."""
    rows = book().with_columns(whole=sum(pl.col(c) for c in AMOUNTS.values()))
    model = fit_benefits(collect_benefits(rows, KEYS, AMOUNTS), "tier", power=1.0)
    whole = fit_pure_premium(Experience.collect(rows, KEYS, amount="whole"), "tier", power=1.0)
    np.testing.assert_allclose(model.score(rows)["rate"], whole.score(rows)["rate"], rtol=1e-10)
    cell = seen().cells.select("tier").unique()
    one = model.interval(cell)
    other = whole.interval(cell, errors="robust")
    z = np.log(other["upper"] / other["rate"]).to_numpy()
    plain = whole.predictor_error(cell, "robust") * 1.959964
    np.testing.assert_allclose(np.log(one["upper"] / one["rate"]), plain, rtol=1e-6)
    assert (z >= plain - 1e-12).all()
