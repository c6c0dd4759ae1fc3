"""Price, cap, levels, break-even and engagement; the plan studies end to end."""

import itertools
import math
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pricing.data.tables import bundled
from pricing.errors import InputError
from pricing.experience.cells import Experience
from pricing.plans.plan_file import read_plan
from pricing.plans.plan_study import PlanStudy
from pricing.regulation.service_cost import check_service_cost
from pricing.result.words import catalogue
from pricing.services.break_even import service_break_even
from pricing.services.cost import service_cost
from pricing.services.engagement import engagement_claims
from pricing.services.levels import ServiceLevel, price_levels
from pricing.services.price import RiderTerms, service_price
from pricing.services.service import Service, ServicePlan

ON = date(2026, 1, 1)
CELLS = pl.DataFrame(
    {
        "sex": ["male", "female", "male", "female"],
        "age": [25, 35, 45, 65],
        "insured": [100.0, 200.0, 300.0, 50.0],
    }
)
PREMIUMS = pl.DataFrame(
    {
        "age_band": ["18-29", "30-39", "40-49", "60-69"],
        "gross_premium": [300.0, 450.0, 800.0, 2300.0],
    }
)


def plan(costs, **more):
    services = [
        Service(name=f"s{i}", use=1.0, unit_cost=float(c), **more) for i, c in enumerate(costs)
    ]
    return ServicePlan(name="p", services=services)


def priced(costs, **more):
    return service_price(service_cost(plan(costs), CELLS), PREMIUMS, loading=0.35, on=ON, **more)


def test_a_rider_carries_its_loadings_and_no_more():
    terms = RiderTerms(expense=0.1, commission=0.15, tax=0.01, profit=0.04, fixed_expense=5.0)
    price = terms.price(60.0)
    assert price * (1 - 0.3) - 5.0 == pytest.approx(60.0)
    found = priced([20, 40], terms=terms)
    assert found.facts["rider_price"] == pytest.approx(price)
    assert found.table["rider_price"].to_list() == pytest.approx([price] * 4)


@pytest.mark.parametrize(
    "terms", [{"expense": 0.6, "profit": 0.4}, {"expense": -0.1}, {"tax": math.nan}, {"tax": "1"}]
)
def test_loadings_that_leave_nothing_are_refused(terms):
    with pytest.raises(InputError, match="cannot be priced on these terms"):
        RiderTerms(**terms)


def test_the_cap_is_the_regulators_check_band_by_band():
    found = priced([45, 15])
    bands = PREMIUMS.with_columns(service_cost=pl.lit(60.0))
    theirs = check_service_cost(bands, loading=0.35, on=ON)
    assert found.table["verdict"].to_list() == theirs.table["verdict"].to_list()
    assert found.table["verdict"].to_list() == ["fail", "fail", "pass", "pass"]
    assert found.table["priced_apart"].to_list() == pytest.approx([21.0, 1.5, 0.0, 0.0])
    assert (found.facts["failing"], found.facts["worst_band"]) == (2, "18-29")
    assert found.facts["worst_share"] == pytest.approx(60 / 195)


def test_the_content_limit_passes_everywhere_and_nothing_more_does():
    base = plan([45, 15], fixed_cost=650.0)  # 1 an insured each
    found = service_price(service_cost(base, CELLS), PREMIUMS, loading=0.35, on=ON)
    limit = found.facts["content_limit"]
    for factor, failing in ((limit, 0), (limit * 1.001, 1)):
        again = service_price(
            service_cost(base.scaled(factor), CELLS), PREMIUMS, loading=0.35, on=ON
        )
        assert again.facts["failing"] == failing
    heavy = plan([10], fixed_cost=650.0 * 100)
    none = service_price(service_cost(heavy, CELLS), PREMIUMS, loading=0.35, on=ON)
    assert none.facts["content_limit"] == 0.0
    free = service_price(service_cost(plan([0]), CELLS), PREMIUMS, loading=0.35, on=ON)
    assert free.facts["content_limit"] is None


def test_the_dearest_set_is_that_of_brute_force():
    random = np.random.default_rng(5)
    for _ in range(12):
        costs = random.uniform(1, 30, 6).round(2)
        found = priced(costs)
        kept = [int(name[1:]) for name in found.details["kept"]]
        best = max(
            (sum(costs[list(s)]), s)
            for r in range(7)
            for s in itertools.combinations(range(6), r)
            if sum(costs[list(s)]) <= 0.2 * 300 * 0.65
        )
        assert costs[kept].sum() == pytest.approx(best[0])


def test_premiums_must_be_there_for_every_band():
    cost = service_cost(plan([10]), CELLS)
    with pytest.raises(InputError, match="no premium: 60-69"):
        service_price(cost, PREMIUMS.head(3), loading=0.35, on=ON)
    with pytest.raises(InputError, match="lack gross_premium"):
        service_price(cost, PREMIUMS.drop("gross_premium"), loading=0.35, on=ON)
    bad = PREMIUMS.with_columns(gross_premium=pl.lit(-1.0))
    with pytest.raises(InputError, match="gross premiums are not above zero"):
        service_price(cost, bad, loading=0.35, on=ON)
    with pytest.raises(InputError, match="16 at most"):
        priced([1.0] * 17)


def test_levels_bear_their_cost_and_the_platform():
    small, large = plan([10]), plan([10, 50])
    levels = [
        ServiceLevel(name="普通", plan=small, customers=90, charged=0.0),
        ServiceLevel(name="金卡", plan=large, customers=10),
    ]
    terms = RiderTerms(expense=0.1, profit=0.1)
    found = price_levels(levels, CELLS, terms=terms, platform_cost=200.0)
    table = found.table
    assert table["cost_per_insured"].to_list() == pytest.approx([10, 60])
    assert table["platform_cost"].to_list() == pytest.approx([2, 2])
    assert table["price_needed"].to_list() == pytest.approx([15, 77.5])
    assert table["margin_per_customer"].to_list() == pytest.approx([-12, 7.75])
    assert found.facts["margin_total"] == pytest.approx(-12 * 90 + 77.5)
    assert (found.facts["losing"], found.facts["worst"]) == (1, "普通")
    own = CELLS.with_columns(service_level=pl.Series(["普通", "普通", "金卡", "金卡"]))
    assert price_levels(levels, own).table.height == 2
    with pytest.raises(InputError, match="'金卡' has no population"):
        price_levels(levels, own.with_columns(service_level=pl.lit("普通")))
    with pytest.raises(InputError, match="named twice"):
        price_levels([levels[0], levels[0]], CELLS)
    with pytest.raises(InputError, match="no levels"):
        price_levels([], CELLS)
    with pytest.raises(InputError, match="platform"):
        price_levels(levels, CELLS, platform_cost=-1.0)
    with pytest.raises(InputError, match="customers must be above zero"):
        ServiceLevel(name="a", plan=small, customers=0)


def test_break_even_by_hand():
    cost = service_cost(plan([60], fixed_cost=650.0), CELLS)  # 61 an insured
    claims = PREMIUMS.select("age_band", claims_cost=pl.Series([100.0, 200.0, 400.0, 1000.0]))
    found = service_break_even(cost, claims, income=21.0)
    assert found.table["claims_fall"].to_list() == pytest.approx([0.4, 0.2, 0.1, 0.04])
    mean = (100 * 100 + 200 * 200 + 300 * 400 + 50 * 1000) / 650
    assert found.facts["claims_fall"] == pytest.approx(40 / mean)
    assert found.facts["use_limit"] == pytest.approx(20 / 60)
    assert service_break_even(cost, claims, income=99.0).facts["claims_fall"] == 0
    with pytest.raises(InputError, match="no claims above zero: 60-69"):
        service_break_even(cost, claims.head(3))
    with pytest.raises(InputError, match="zero or more"):
        service_break_even(cost, claims, income=-1)
    with pytest.raises(InputError, match="stands twice"):
        service_break_even(cost, pl.concat([claims, claims]))


def engaged(seed=3, n=60_000):
    """The old engage less and claim more; engagement itself does nothing."""
    random = np.random.default_rng(seed)
    old = random.random(n) < 0.5
    high = random.random(n) < np.where(old, 0.2, 0.6)
    claims = random.poisson(np.where(old, 0.3, 0.1))
    return pl.DataFrame(
        {
            "engagement": np.where(high, "high", "low"),
            "age_band": np.where(old, "old", "young"),
            "exposure": np.ones(n),
            "claims": claims,
        }
    )


def test_adjusting_takes_away_what_the_confounder_did():
    seen = Experience.collect(engaged(), ["engagement", "age_band"])
    found = engagement_claims(seen, confounders=["age_band"], base="low")
    row = found.table.filter(engagement="high").row(0, named=True)
    assert row["naive_ratio"] < 0.8
    assert row["adjusted_ratio_lower"] < 1 < row["adjusted_ratio_upper"]
    assert "association" in found.finding("en")
    assert "关联" in found.finding("zh")
    assert any("association" in note for note in found.basis.notes)


def test_comparisons_that_cannot_be_made_are_refused():
    seen = Experience.collect(engaged(n=2000), ["engagement", "age_band"])
    with pytest.raises(InputError, match="no confounder"):
        engagement_claims(seen, confounders=[])
    with pytest.raises(InputError, match="its own confounder"):
        engagement_claims(seen, confounders=["engagement"])
    with pytest.raises(InputError, match="'none' is not among"):
        engagement_claims(seen, confounders=["age_band"], base="none")
    with pytest.raises(InputError, match="missing"):
        engagement_claims(seen, confounders=["tier"])
    one = Experience.collect(engaged(n=2000).filter(engagement="low"), ["engagement", "age_band"])
    with pytest.raises(InputError, match="nothing to compare"):
        engagement_claims(one, confounders=["age_band"])


# -- plan studies -----------------------------------------------------------------------------------

STUDIES = ("taijiayi", "green_channel", "run_hmo")


def small(name: str, folder: Path) -> Path:
    text = bundled(f"studies/{name}.toml").read_text(encoding="utf-8")
    head, tail = text.split("members = ", 1)
    path = folder / f"{name}.toml"
    path.write_text(head + "members = 4_000\n" + tail.split("\n", 1)[1], encoding="utf-8")
    return path


@pytest.fixture(scope="module", params=STUDIES)
def study(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    return PlanStudy(small(request.param, folder), work=folder / "books")


def test_a_study_runs_from_file_to_scenarios(study):
    found = study.run()
    assert "service_cost" in found
    assert "scenario_comparison" in found
    levels = {key.removeprefix("level.") for key in catalogue() if key.startswith("level.")}
    for name, result in found.items():
        assert result.basis.fingerprint, name
        for frame in (result.table, *result.frames.values()):
            unnamed = [n for n in frame.columns if f"term.{n}" not in catalogue()]
            assert unnamed == [], (name, unnamed)
            if "service" in frame.columns:
                assert set(frame["service"].to_list()) <= levels
        for lang in ("en", "zh"):
            assert result.finding(lang)
    for name in study.headline():
        assert f"term.{name}" in catalogue()


def test_every_scenario_moves_something(study):
    table = study.run()["scenario_comparison"].table
    moved = table.group_by("scenario").agg(pl.col("difference").abs().max())
    assert (moved["difference"] > 0).all()


def test_headlines_are_repeatable(study):
    assert study.headline() == study.headline()


def test_prices_move_as_they_must(tmp_path):
    study = PlanStudy(small("taijiayi", tmp_path), work=tmp_path / "books")
    before = study.headline()
    dearer = study.headline({"services.items.check_up.unit_cost": 460.0})
    assert dearer["cost_per_insured"] > before["cost_per_insured"]
    assert dearer["content_limit"] < before["content_limit"]
    assert dearer["full_time_staff"] == before["full_time_staff"]
    strict = study.headline({"services.standard.share": 0.99})
    assert strict["full_time_staff"] > before["full_time_staff"]
    assert strict["rider_price"] > before["rider_price"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("share = 0.8\n", "share = 1.0\n", "less than 1"),
        ('service = "video_consultation"', 'service = "video"', "no item 'video'"),
        ("uptake = 0.4", "uptake = 1.4", "less than or equal to 1"),
        ("unit_cost = 45.0", "unit_cost = -45.0", "greater than or equal to 0"),
        ('name = "booking_help"', 'name = "check_up"', "'check_up' is named twice"),
        ("counted = true\nunit_cost = 9.0", "unit_cost = 9.0", "exactly one of use"),
        ("expense = 0.10", "expense = 0.90", "nothing is left"),
        ('"18-29" = 300', '"18-30" = 300', "no age band '18-30'"),
        ("2024-01-01, 2026-01-01", "2026-01-01, 2024-01-01", "observed ends"),
        ("user_share = 0.5", "user_share = nan", "finite"),
        ("peak = 1.1", "peek = 1.1", "peek"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(tmp_path, old, new, said):
    path = small("taijiayi", tmp_path)
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InputError) as refused:
        read_plan(path)
    assert said in str(refused.value)


def test_a_service_of_the_rows_that_the_plan_lacks_is_named(tmp_path):
    path = small("run_hmo", tmp_path)
    text = path.read_text(encoding="utf-8")
    text = text.replace('name = "online_pharmacy"\ncounted = true', 'name = "chat"\ncounted = true')
    text = text.replace('"online_pharmacy"', '"chat"')
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="'online_pharmacy' is used and not in the plan"):
        PlanStudy(path, work=tmp_path / "books").headline()
