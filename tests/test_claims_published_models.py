"""Published figures of models on real data that the project does not ship."""

import numpy as np
import polars as pl
import pytest
from scipy.stats import rankdata

from pricing.claims.benefits import collect_benefits, fit_benefits
from pricing.claims.models import fit_frequency
from pricing.claims.pure_premium import fit_pure_premium
from pricing.claims.severity import fit_severity
from pricing.experience.bands import band
from pricing.experience.cells import Experience


def test_negative_binomial_visits_as_published(dataset):
    """Zeileis, Kleiber and Jackman (2008), JSS 27(8), tables 2 and 3: NMES1988."""
    keys = ["hospital", "health", "chronic", "gender", "school", "insurance"]
    rows = dataset("NMES1988.parquet").with_columns(
        exposure=pl.lit(1.0), count=pl.col("visits").cast(pl.Float64)
    )
    seen = Experience.collect(rows, [*keys, "count"], claims="visits")
    base = {"health": "average", "gender": "female", "insurance": "no"}
    model = fit_frequency(
        seen, " + ".join(keys), base=base, family="negative_binomial", alpha="likelihood"
    )
    named = dict(zip((c.name for c in model.columns), model.coefficients, strict=True))
    published = {
        "(intercept)": 0.929,
        "hospital": 0.218,
        "health[poor]": 0.305,
        "health[excellent]": -0.342,
        "chronic": 0.175,
        "gender[male]": -0.126,
        "school": 0.027,
        "insurance[yes]": 0.224,
    }
    assert {name: round(float(value), 3) for name, value in named.items()} == published
    assert round(model.facts["log_likelihood"], 1) == -12170.6
    assert 1 / model.details["alpha"] == pytest.approx(1.2066, abs=5e-4)


def test_real_amounts_are_balanced_by_level(dataset):
    """freMTPL2: gamma severity, Tweedie and their kin keep totals where their equations say so."""
    amounts = (
        dataset("freMTPL2sev.parquet")
        .with_columns(pl.col("IDpol").cast(pl.Float64))
        .group_by("IDpol")
        .agg(amount=pl.col("ClaimAmount").sum(), count=pl.len().cast(pl.Int64))
    )
    rows = (
        dataset("freMTPL2freq.parquet")
        .with_columns(pl.col("IDpol").cast(pl.Float64))
        .join(amounts, on="IDpol", how="left")
        .with_columns(pl.col("amount", "count").fill_null(0))
        .select(
            "Exposure",
            "amount",
            "count",
            area=pl.col("Area").cast(pl.String),
            gas=pl.col("VehGas").cast(pl.String),
        )
        .collect()
    )
    seen = Experience.collect(
        rows, ["area", "gas"], exposure="Exposure", claims="count", amount="amount"
    )
    severity = fit_severity(seen, "area + gas")
    scored = severity.score(rows.filter(pl.col("count") > 0), exposure="count")
    ratio = scored.group_by("area").agg(
        (pl.col("amount") / pl.col("rate")).sum() / pl.col("count").sum()
    )
    np.testing.assert_allclose(ratio["amount"], 1.0, rtol=1e-9)
    poisson = fit_pure_premium(seen, "area + gas", power=1.0).score(rows, exposure="Exposure")
    by = poisson.group_by("area").agg(pl.col("amount", "expected").sum())
    np.testing.assert_allclose(by["expected"], by["amount"], rtol=1e-9)
    tweedie = fit_pure_premium(seen, "area + gas", power=1.6)
    order = rankdata(tweedie.relativities("area")["relativity"])
    assert len(order) == 6
    assert tweedie.facts["dispersion"] > 1


BENEFITS = [
    "analysis",
    "dentistry",
    "diagnostics",
    "endoscopy",
    "hospitalizations",
    "mammography",
    "operations",
    "visits",
]


def test_a_tariff_by_benefit_is_balanced_and_calibrated_on_its_test_split(dataset):
    """CASdatasets euhealthinsurance: 176,032 insured, 8 benefits, its own train and test."""
    rows = (
        dataset("cas_euhealthinsurance.parquet")
        .with_columns(
            age=band("age_at_inception", [0, 18, 30, 40, 50]),
            relation=pl.col("relation").cast(pl.String),
            gender=pl.col("gender").cast(pl.String),
        )
        .collect()
    )
    train, test = rows.filter(pl.col("group") != "test"), rows.filter(group="test")
    keys = ["age", "gender", "relation"]
    amounts = {b: f"amt_{b}" for b in BENEFITS}
    seen = collect_benefits(train, keys, amounts, exposure="policy_years")
    model = fit_benefits(seen, " + ".join(keys), power=1.0)
    for name, part in model.parts.items():
        scored = part.score(train, exposure="policy_years")
        for key in keys:
            by = scored.group_by(key).agg(pl.col(amounts[name], "expected").sum())
            np.testing.assert_allclose(by["expected"], by[amounts[name]], rtol=1e-8)
    whole = model.score(train, exposure="policy_years")
    paid = train.select(pl.sum_horizontal(amounts.values())).to_series()
    assert whole["expected"].sum() == pytest.approx(paid.sum(), rel=1e-9)
    # out of sample: the total paid over expected holds one within the rows' spread and the model's
    scored = model.score(test, exposure="policy_years")
    paid, expected = (
        scored.select(pl.sum_horizontal(amounts.values())).to_series(),
        scored["expected"],
    )
    ratio = paid.sum() / expected.sum()
    spread = np.sqrt(((paid - expected) ** 2).sum()) / expected.sum()
    row = model.table.row(-1, named=True)
    fitted = np.log(row["upper"] / row["lower"]) / 2 / 1.96
    reach = 1.96 * np.hypot(spread, fitted)
    print(f"euhealth: test split actual to expected {ratio:.4f}, interval ± {reach:.4f}")
    assert abs(ratio - 1) < reach
