"""A study's rate review: from tables to an indicated change and the regulator's checks."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pricing.data.check import check, check_book
from pricing.data.lives import live
from pricing.data.tables import bundled
from pricing.data.truth import BookParameters
from pricing.errors import InputError
from pricing.report.page import write
from pricing.reserving.transactions import claim_transactions
from pricing.result.shape import Result
from pricing.study.chain import Study, open_study
from pricing.study.rate_review import year_before
from pricing.study.settings import read_settings


def small(folder: Path, *, change: dict[str, str] | None = None) -> Path:
    """The bundled study with 4,000 policies, without what other tests are about."""
    text = bundled("studies/huoli.toml").read_text(encoding="utf-8")
    text = text.replace("policies = 100_000", "policies = 4_000").replace(
        "[loss_ratio]\n", "[loss_ratio]\ndraws = 300\n"
    )
    for section in ("[validation]", "[losses]", "[programme_effect]", "[programme_effect.ladder]"):
        start = text.index(section)
        end = text.find("\n[", start + 1)
        text = text[:start] + (text[end + 1 :] if end > 0 else "")
    for old, new in (change or {}).items():
        assert old in text, old
        text = text.replace(old, new)
    path = folder / "small.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("review")
    return open_study(small(folder), work=folder)


@pytest.fixture(scope="module")
def results(study: Study) -> dict[str, Result]:
    return study.run()


def test_every_question_has_its_answer(results: dict[str, Result]) -> None:
    wanted = {
        "indication", "tornado", "permissible", "waterfall", "loss_ratio_monitor", "early_warning",
        "trend:loss_ratio", "trend:frequency", "trend:severity", "trend_break", "completion",
        "completion_pattern", "statutory_ibnr", "ultimates:chain_ladder", "on_level", "rate_adjustment_check",
        "regulatory_loss_ratio", "check:loading", "service_cost_check",
    }  # fmt: skip
    assert wanted <= set(results)
    for name in wanted:
        for lang in ("en", "zh"):
            said = results[name].finding(lang)  # type: ignore[arg-type]
            assert said, name
            assert "{" not in said, name
        assert results[name].basis.currency == "CNY"


def test_indication_re_adds_and_the_trend_is_the_one_fitted_alone(
    results: dict[str, Result],
) -> None:
    steps = results["indication"].frames["steps"]
    money = ["paid", "unpaid", "trend", "pooling", "credibility_effect"]
    apart = steps.select(pl.sum_horizontal(money) - pl.col("projected_claims")).to_series()
    assert apart.abs().max() < 0.005
    total = steps[0].drop("segment").to_numpy() - steps[1:].drop("segment").sum().to_numpy()
    assert np.abs(total).max() < 0.005
    alone = results["trend:loss_ratio"].table["estimate"][0]
    inside = results["indication"].details["coefficients"][1]
    assert np.exp(inside) - 1 == pytest.approx(alone, rel=1e-6)


def test_the_waterfall_adds_up_to_the_cent(results: dict[str, Result]) -> None:
    table = results["waterfall"].table
    first, last = table["loss_ratio"][0], table["loss_ratio"][-1]
    assert table["points"].sum() / 100 == pytest.approx(last - first, abs=1e-12)
    segments = results["waterfall"].frames["segments"]
    years = segments.group_by("step").agg(pl.col("claims_cost", "premium").sum())
    ratio = dict(zip(years["step"], years["claims_cost"] / years["premium"], strict=True))
    assert ratio["last_year"] == pytest.approx(first)
    assert ratio["this_year"] == pytest.approx(last)
    for column, side in (("claims_effect", "claims_cost"), ("premium_effect", "premium")):
        at = dict(years.select("step", side).iter_rows())
        moved = at["this_year"] - at["last_year"]
        assert table[column].sum() == pytest.approx(moved, abs=0.011)


def test_the_gate_s_ratio_is_the_books(study: Study, results: dict[str, Result]) -> None:
    """Paid, reserves and premium of 2024, counted from the tables."""
    items = dict(results["regulatory_loss_ratio"].table.select("item", "amount").iter_rows())
    payments = study.checked["payments"].accepted
    paid = payments.filter(pl.col("paid").dt.year() == 2024)["amount"].sum()
    assert items["claims_paid"] == pytest.approx(paid, abs=0.01)
    case = payments.filter(pl.col("paid") <= date(2024, 12, 31))["outstanding_change"].sum()
    held = results["statutory_ibnr"].ibnr  # type: ignore[attr-defined]
    assert items["outstanding_closing"] == pytest.approx(case + held, abs=0.01)
    earned = study.person_years.rows.filter(pl.col("year") == 2023)["premium"].sum()
    assert results["regulatory_loss_ratio"].ratio > 0  # type: ignore[attr-defined]
    assert earned > 0


def test_the_page_shows_it_and_keeps_it(
    study: Study, results: dict[str, Result], tmp_path: Path
) -> None:
    page = write(study, results, tmp_path / "out").read_text(encoding="utf-8")
    for word in ("The rate change the claims call for", "赔付所要求的费率调整", "监管要求"):
        assert word in page
    again = Result.load(tmp_path / "out" / "results" / "indication")
    assert again.facts == results["indication"].facts


def test_nothing_after_the_valuation_is_looked_at(study: Study, tmp_path: Path) -> None:
    """A study whose window ends at the valuation gives the same indication."""
    early = small(
        tmp_path,
        change={"observed = [2018-01-01, 2026-01-01]": "observed = [2018-01-01, 2025-01-01]"},
    )
    cut = open_study(early, work=study._work)
    both = [s.settings.loss_ratio for s in (study, cut)]
    assert both[0] == both[1]
    found = [_indication(s) for s in (study, cut)]
    assert found[0].facts["loss_ratio"] == pytest.approx(found[1].facts["loss_ratio"], rel=1e-9)


def _indication(study: Study) -> Result:
    from pricing.study.regulated import reviewed

    return reviewed(study.settings, study.rated_book(), progress=lambda s: None)["indication"]


@pytest.mark.parametrize(
    "change, said",
    [
        ({"valuation = 2024-12-31": "valuation = 2024-12-30"}, "not the last day of a month"),
        ({"valuation = 2024-12-31": "valuation = 2027-12-31"}, "not before the window's end"),
        ({'by = "tier"': 'by = "teir"'}, "did you mean 'tier'"),
        ({"large = 50_000  #": "large = -1  #"}, "loss_ratio.large"),
        ({"commission = 0.12": "comission = 0.12"}, "did you mean 'commission'"),
        ({"change = 0.03\n\n[loss": "change = -1.5\n\n[loss"}, "change"),
        ({"experience = [2022-01-01, 2025-01-01]": "experience = [2025-01-01, 2022-01-01]"},
         "experience ends"),
    ],
)  # fmt: skip
def test_a_fault_in_the_section_is_said(change: dict[str, str], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as found:
        read_settings(small(tmp_path, change=change))
    assert said in str(found.value)


def test_regulation_alone_is_refused(tmp_path: Path) -> None:
    path = small(tmp_path)
    text = path.read_text(encoding="utf-8")
    start, end = text.index("[loss_ratio]"), text.index("[regulation]")
    path.write_text(text[:start] + text[end:], encoding="utf-8")
    with pytest.raises(InputError, match=r"regulation: checks the change that \[loss_ratio\]"):
        read_settings(path)


def test_a_year_before_the_end_of_a_month() -> None:
    assert year_before(date(2024, 2, 29)) == date(2023, 2, 28)
    assert year_before(date(2025, 2, 28)) == date(2024, 2, 29)
    assert year_before(date(2024, 12, 31)) == date(2023, 12, 31)


def test_the_simulated_book_pays_what_its_claims_cost() -> None:
    lives = live(BookParameters(), policies=3_000, seed=4)
    moved = lives.payments.group_by("policy", "number").agg(
        pl.col("amount", "outstanding_change").sum(),
        pl.col("paid").max(),
        first=pl.col("paid").min(),
    )
    both = lives.claims.join(moved, on=["policy", "number"], suffix="_paid")
    assert both.height == lives.claims.height
    np.testing.assert_allclose(
        both["amount_paid"].to_numpy(), both["amount"].to_numpy(), atol=0.005
    )
    assert both["outstanding_change"].abs().max() < 0.01
    assert (both["paid_paid"] == both["paid"]).all()
    assert (both["first"] == both["reported"]).all()
    assert (both["reported"] >= both["incurred"]).all()
    interim = lives.payments.filter(pl.col("amount") > 0).height - lives.claims.height
    assert interim / lives.claims.height == pytest.approx(0.2, abs=0.05)
    gone = (both["reported"] - both["incurred"]).dt.total_days() / (
        both["paid"] - both["incurred"]
    ).dt.total_days().clip(lower_bound=1)
    assert gone.mean() == pytest.approx(BookParameters().reported_share, abs=0.03)


def test_payments_are_held_against_claims() -> None:
    claims = check(
        pl.DataFrame({
            "claim_id": ["1", "2"], "policy_id": ["A", "A"], "incurred": ["2024-02-29"] * 2,
            "amount": [80.0, -1.0]}),
        "claims",
    )  # fmt: skip
    payments = check(
        pl.DataFrame({
            "payment_id": ["a", "b", "c", "d", "e"], "claim_id": ["1", "1", "2", "3", "1"],
            "paid": ["2024-03-05", "2024-02-01", "2024-03-05", "2024-03-05", "2024-03-09"],
            "amount": [90.0, 5.0, 5.0, 5.0, -10.0]}),
        "payments",
    )  # fmt: skip
    found = check_book({"claims": claims, "payments": payments})["payments"]
    rules = dict(zip(found.rejected["payment_id"], found.rejected["_rules"], strict=True))
    assert rules == {
        "b": "paid|before_incurred", "c": "claim_id|rejected_claim", "d": "claim_id|unknown_claim",
    }  # fmt: skip
    assert found.accepted["amount"].to_list() == [90.0, -10.0]
    moved = claim_transactions(claims.accepted, found.accepted)
    assert moved["paid"].sum() == 80.0
