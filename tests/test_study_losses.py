"""What a study adds on request: the tariff, unseen data, large claims, the year's total."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from pricing.claims.models import fit_frequency
from pricing.claims.severity import fit_severity
from pricing.errors import InputError
from pricing.experience.cells import Experience
from pricing.study.chain import open_study
from pricing.study.sections import Losses
from pricing.study.validate import validate
from pricing.study.year import amounts_on_level, large_claims, severity_of_year
from pricing.validation.calibration import calibration
from pricing.validation.lorenz import lorenz

TEXT = """
[study]
name = "made"
title = {{ en = "A study", zh = "研究" }}
source = {{ en = "made by a test", zh = "测试数据" }}
[tables.person_years]
files = "years.csv"
[tables.person_years.factors]
health_group = ["G0", "G1"]
sex = ["female", "male"]
[model]
frequency = "sex"
{model}
[discount]
order = ["G0", "G1"]
[premium]
target_loss_ratio = 0.7
cost_per_claim = 100.0
{rest}
"""


def years(rows=4000, seed=5, *, amounts=True):
    rng = np.random.default_rng(seed)
    group, sex = rng.integers(0, 2, rows), rng.integers(0, 2, rows)
    claims = rng.poisson(np.exp(-1.0 - 0.3 * group + 0.2 * sex))
    amount = [float(rng.gamma(2.0, 50.0, n).sum()) for n in claims]
    frame = pl.DataFrame(
        {
            "period": rng.integers(2021, 2024, rows),
            "person_id": [f"p{i // 2}" for i in range(rows)],
            "exposure": np.ones(rows),
            "claims": claims,
            "health_group": np.array(["G0", "G1"])[group],
            "sex": np.array(["female", "male"])[sex],
        }
    )
    return frame.with_columns(amount=pl.Series(amount)) if amounts else frame


@pytest.fixture
def study_of(tmp_path):
    def made(frame, *, model="", rest=""):
        frame.write_csv(tmp_path / "years.csv")
        path = tmp_path / "study.toml"
        path.write_text(TEXT.format(model=model, rest=rest), encoding="utf-8")
        return open_study(path)

    return made


# The tariff


def test_the_product_of_the_study_is_that_of_its_parts(huoli):
    found = huoli.results
    both = found["product"].parts
    assert both["frequency"].coefficients.tolist() == found["frequency"].coefficients.tolist()
    assert both["severity"].coefficients.tolist() == found["severity"].coefficients.tolist()
    seen = huoli.study.experience(["age_band", "tier"])
    again = fit_severity(
        seen, "age_band + tier", nil="keep", base=found["severity"].details["base"]
    )
    np.testing.assert_allclose(again.coefficients, found["severity"].coefficients, rtol=1e-9)
    tier = found["product"].relativities("tier")
    np.testing.assert_allclose(
        tier["relativity"], tier["frequency_relativity"] * tier["severity_relativity"], rtol=1e-12
    )


def test_a_severity_without_amounts_is_refused(study_of):
    study = study_of(years(amounts=False), model='severity = "sex"')
    with pytest.raises(InputError, match="needs claim amounts"):
        study.run()


def test_progress_names_what_was_asked_for(study_of):
    steps = []
    rest = '[validation]\nhold_out = "year"\n[losses]\nlarge = 150.0'
    study_of(years(), model='severity = "sex"', rest=rest).run(progress=steps.append)
    assert steps == ["data", "claims", "health", "validation", "losses"]


# Unseen data


def test_the_last_year_is_judged_by_a_fit_to_the_earlier_ones(study_of):
    rows = years()
    results = study_of(rows, rest='[validation]\nhold_out = "year"').run()
    train, test = (
        Experience.collect(rows.filter(keep), ["sex", "health_group"])
        for keep in (pl.col("period") < 2023, pl.col("period") == 2023)
    )
    rate = fit_frequency(train, "sex + health_group").rate()
    assert results["calibration"].facts["ratio"] == pytest.approx(
        calibration(test, rate).facts["ratio"], rel=1e-9
    )
    assert results["lorenz"].facts["gini"] == pytest.approx(
        lorenz(test, rate).facts["gini"], abs=1e-9
    )
    assert results["lift"].basis.rows == rows.filter(pl.col("period") == 2023).height
    assert results["lift"].basis.filters == ("period >= 2023",)


def test_persons_held_out_are_whole(randhie):
    basis = randhie.results["lift"].basis
    assert basis.filters == ("fold is 5",)
    assert 0.15 < basis.exposure / randhie.results["frequency"].basis.exposure < 0.25


def test_one_year_cannot_be_held_out(study_of, randhie):
    one = years().with_columns(period=2023)
    with pytest.raises(InputError, match="no earlier year"):
        study_of(one, rest='[validation]\nhold_out = "year"').run()
    without = years().drop("period")
    with pytest.raises(InputError, match="no year"):
        study_of(without, rest='[validation]\nhold_out = "year"').run()


def test_amounts_are_judged_where_there_is_a_severity():
    rows = years()
    seen = Experience.collect(rows, ["sex", "period"], amount="amount")
    parts = seen.where(pl.col("period") < 2023), seen.where(pl.col("period") == 2023)
    found = validate(*parts, "sex", severity="sex")
    money = found["calibration:amount"].facts
    train, test = (p.cells["amount"].sum() / p.basis.exposure for p in parts)
    assert money["ratio"] == pytest.approx(test / train, rel=0.02)  # the mixes hardly differ


# A year


def test_the_mean_of_the_year_is_expected_claims_times_the_mean_amount(study_of):
    rows = years()
    results = study_of(rows, rest="[losses]\nyear = 2022\nline = 0.8").run()
    found, model = results["aggregate_loss"], results["frequency"]
    book = rows.filter(pl.col("period") == 2022)
    expected = model.score(book, exposure="exposure")["expected"].sum()
    assert found.mean == pytest.approx(
        expected * rows["amount"].sum() / rows["claims"].sum(), rel=1e-6
    )
    assert found.basis.filters == ("period = 2022",)
    assert found.basis.rows == book.height
    states = found.frames["schedules"]
    assert states["state"].to_list() == ["no_discount", "proposed", "prudent"]
    for _, premium, ratio, passes in states.iter_rows():
        assert ratio == pytest.approx(found.mean / premium, rel=1e-12)
        assert passes == found.loss_ratio_exceeds(0.8, premium=premium)
    assert states["passes"].is_between(0, 1).all()


def test_the_spread_of_the_year_is_that_of_the_rows(study_of):
    rows = years(8000)
    found = study_of(rows, rest="[losses]").run()["aggregate_loss"]
    last = rows.filter(pl.col("period") == 2023)
    # rows are independent: the variance of the sum is the sum of the rows' variances
    sd = float(np.sqrt(last["amount"].var() * last.height))
    assert found.facts["sd"] == pytest.approx(sd, rel=0.05)


def test_the_premium_of_the_year_is_the_standard_premium_less_the_discounts(huoli):
    rows = huoli.study.person_years.rows.filter(pl.col("year") == 2024)
    discounts = huoli.results["schedule"].discounts
    by_group = dict(rows.group_by("health_group").agg(pl.col("standard_premium").sum()).iter_rows())
    states = dict(
        huoli.results["aggregate_loss"].frames["schedules"]
        .select("state", "premium_charged").iter_rows()
    )  # fmt: skip
    assert states["no_discount"] == pytest.approx(sum(by_group.values()), rel=1e-9)
    proposed = sum(p * (1 - discounts[str(g)]) for g, p in by_group.items())
    assert states["proposed"] == pytest.approx(proposed, rel=1e-9)
    assert huoli.results["aggregate_loss"].facts["premium"] == pytest.approx(proposed, rel=1e-9)


def test_single_claims_carry_their_policy_year(huoli):
    found = huoli.study.person_years
    claims, rows = found.claims, found.rows
    assert claims.height == rows["claims"].sum()
    assert claims["amount"].sum() == pytest.approx(rows["amount"].sum(), rel=1e-12)
    sums = claims.group_by("policy_id", "policy_year").agg(_n=pl.len(), _a=pl.col("amount").sum())
    both = rows.join(sums, on=["policy_id", "policy_year"], how="inner")
    assert both.height == sums.height
    assert (both["claims"] == both["_n"]).all()
    assert huoli.results["pooled_large"].facts["claims"] == claims.height
    # claims of one day keep the order they came in, so that every run adds them up alike
    assert claims["claim_id"].equals(claims.sort("incurred", "claim_id")["claim_id"])


def test_large_claims_keep_the_total(huoli):
    pooled = huoli.results["pooled_large"]
    table = pooled.table
    assert table["amount_charged"].sum() == pytest.approx(table["amount"].sum(), rel=1e-12)
    assert table.columns[0] == "health_group"
    assert huoli.results["tail_fit"].facts["exceedances"] == pooled.facts["large_claims"]


def test_large_claims_without_amounts_and_years_that_are_not_there_are_refused(study_of):
    with pytest.raises(InputError, match="large claims need"):
        study_of(years(amounts=False), rest="[losses]\nlarge = 10.0").run()
    with pytest.raises(InputError, match=r"no row is of the year 1999: the rows have \[2021"):
        study_of(years(), rest="[losses]\nyear = 1999").run()
    with pytest.raises(InputError, match="above"):
        study_of(years(), rest="[losses]\nlarge = 1e9").run()


def test_without_amounts_every_claim_costs_the_same(study_of):
    rows = years(amounts=False)
    results = study_of(rows, rest="[losses]").run()
    found, last = results["aggregate_loss"], rows.filter(pl.col("period") == 2023)
    expected = results["frequency"].score(last, exposure="exposure")["expected"].sum()
    assert found.mean == pytest.approx(100.0 * expected, rel=1e-6)
    spread = np.sqrt(max(results["frequency"].facts["dispersion"], 1.0) * expected) * 100
    assert found.facts["sd"] == pytest.approx(spread, rel=1e-4)
    assert any("costs the same" in note for note in found.basis.notes)


def test_amounts_grow_to_the_year():
    claims = pl.DataFrame({"year": [2020, 2024, 2025], "amount": [100.0] * 3})
    grown = amounts_on_level(claims, 2024, 0.03)["amount"].to_list()
    assert grown == pytest.approx([100 * 1.03**4, 100.0, 100 / 1.03])
    assert amounts_on_level(claims, 2024, 0.0).equals(claims)
    assert amounts_on_level(claims, None, 0.03).equals(claims)


def test_the_severity_of_the_year_follows_its_mix():
    rows = pl.DataFrame(
        {"tier": ["a", "b"] * 50, "exposure": 1.0, "claims": 1, "amount": [10.0, 30.0] * 50}
    )
    seen = Experience.collect(rows, ["tier"], amount="amount")
    book = seen.where(pl.col("tier") == "b")
    frequency, severity = fit_frequency(seen, "tier"), fit_severity(seen, "tier")
    law = severity_of_year(rows, None, severity, book, seen, frequency)
    assert law.mean == pytest.approx(30.0, rel=1e-6)
    assert severity_of_year(rows, None, None, book, seen, frequency).mean == pytest.approx(20.0)


def test_the_tail_takes_over_above_what_is_large():
    rng = np.random.default_rng(2)
    amounts = rng.pareto(3.0, 5000) * 100
    claims = pl.DataFrame({"amount": amounts, "tier": ["a"] * 5000})
    rows = pl.DataFrame({"tier": ["a"] * 2, "exposure": [5e3] * 2, "claims": [2500] * 2})
    seen = Experience.collect(rows, ["tier"])
    law = severity_of_year(claims, 200.0, None, seen, seen, fit_frequency(seen, "1"))
    assert law.exceeds(200.0) == pytest.approx((amounts > 200).mean(), abs=1e-9)
    assert law.exceeds(10 * amounts.max()) > 0  # beyond what was seen
    assert large_claims(claims, seen, 200.0, by="tier")["tail_fit"].facts["claims"] == 5000


def test_the_options_are_held_to_their_domains():
    for wrong in ({"line": 0.0}, {"level": 1.0}, {"large": -1.0}, {"trend": -1.0}, {"trends": 0.1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Losses(**wrong)
