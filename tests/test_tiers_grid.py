"""The grid of designs: totals by Fourier series against the aggregate engine, laws, frontier."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy import stats

from pricing.errors import InputError
from pricing.losses.aggregate import aggregate_portfolio
from pricing.losses.count_law import persons
from pricing.losses.severity_law import sample_severity
from pricing.losses.terms import Terms
from pricing.result.shape import Result
from pricing.tiers.benefit import Benefit, Gate
from pricing.tiers.book_total import book_total
from pricing.tiers.build_up import build_up
from pricing.tiers.cost import cost_tier
from pricing.tiers.grid import non_dominated, tier_grid
from pricing.tiers.person_laws import person_laws, year_span
from pricing.tiers.tier import Loadings, Subsidy, Tier, change_tier

LEVELS = (0.01, 0.05, 0.5, 0.95, 0.995)


def plan(**rules):
    gate = Gate(sent=0.9, frequency=0.9, severity=0.7, emergency=0.05)
    given = {
        "name": "premium",
        "premium": 1400.0,
        "terms": Terms(limit=12_000.0),
        "loadings": Loadings(expense=0.15, commission=0.12, profit=0.08, risk=0.5),
        "benefits": (
            Benefit(
                name="outpatient", frequency=2.0, severity=stats.lognorm(s=0.9, scale=120.0),
                coinsurance=0.2, measured_coinsurance=0.2, gate=gate, year_limit=3000.0,
            ),
            Benefit(
                name="home_nursing", frequency=1.5, severity=stats.gamma(2.0, scale=150.0),
                coinsurance=0.2, measured_coinsurance=0.2, dispersion=1.5, waiting_days=30,
            ),
            Benefit(name="daily_allowance", frequency=0.1, severity=sample_severity([500.0, 900.0])),
        ),
    }  # fmt: skip
    return Tier(**(given | rules))


def a_few_laws():
    draw = np.random.default_rng(1)
    n = 512
    smooth = np.exp(-np.arange(n) / 40.0) * draw.uniform(0.5, 1.5, n)
    smooth[0] = smooth.sum()
    heavy = (1.0 + np.arange(n)) ** -2.2
    coarse = np.zeros(n)
    coarse[[0, 100, 300]] = 0.8, 0.15, 0.05  # multiples of 100 points: |φ| comes back to 1
    far = stats.norm(300, 30).pdf(np.arange(n))
    laws = np.array([smooth, heavy, coarse, far])
    return laws / laws.sum(axis=1, keepdims=True)


# -- totals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 2, 3, 17, 200, 3_000, 40_000])
def test_totals_are_those_of_the_aggregate_engine(number):
    laws = a_few_laws()
    total = book_total([(number, laws)], 10.0)
    quantiles = total.quantiles(LEVELS)
    for d, law in enumerate(laws):
        whole = aggregate_portfolio(
            [(persons(float(number)), sample_severity(10.0 * np.arange(law.size), law))],
            bucket=10.0,
            levels=LEVELS,
        )
        assert total.mean[d] == pytest.approx(whole.mean, rel=1e-9)
        assert total.deviation[d] == pytest.approx(whole.facts["sd"], rel=1e-8)
        amounts = np.unique(np.rint(quantiles[d] / 10.0)) * 10.0
        ours = total.exceeds(np.tile(amounts, (laws.shape[0], 1)))[d]
        theirs = [whole.exceeds(x) for x in amounts]
        assert ours == pytest.approx(theirs, abs=1e-9)
        assert quantiles[d] == pytest.approx(whole.table["value_at_risk"].to_numpy(), abs=1e-6)


def test_a_binomial_is_a_binomial_deep_in_its_tail():
    one = np.array([[0.9, 0.1]])
    total = book_total([(5000, one)], 1.0)
    at = np.array([[400.0, 500.0, 560.0, 600.0]])
    assert total.exceeds(at)[0] == pytest.approx(stats.binom(5000, 0.1).sf(at[0]), abs=1e-13)
    assert total.exceeds(at + 0.5)[0] == pytest.approx(total.exceeds(at)[0])
    assert total.quantiles([0.001, 0.5, 0.999])[0].tolist() == [
        stats.binom(5000, 0.1).ppf(p) for p in (0.001, 0.5, 0.999)
    ]


def test_two_kinds_of_person_add_up():
    a, b = (np.array([stats.binom(4, p).pmf(np.arange(8))]) for p in (0.2, 0.2))
    total = book_total([(300, a), (700, b)], 1.0)
    at = np.array([[780.0, 800.0, 830.0]])
    assert total.exceeds(at)[0] == pytest.approx(stats.binom(4000, 0.2).sf(at[0]), abs=1e-12)
    points, p = total.probabilities(0)
    assert p.sum() == pytest.approx(1.0)
    assert (points * p).sum() == pytest.approx(800.0)


def test_what_is_no_law_or_no_book_is_refused():
    good = a_few_laws()
    with pytest.raises(InputError, match="miss 1 by"):
        book_total([(10, 0.9 * good)], 10.0)
    with pytest.raises(InputError, match="below zero"):
        book_total([(10, np.array([[1.5, -0.5]]))], 10.0)
    with pytest.raises(InputError, match="1 person or more"):
        book_total([(0, good)], 10.0)
    with pytest.raises(InputError, match="of one shape"):
        book_total([(1, good), (1, good[:, :100])], 10.0)
    with pytest.raises(InputError, match="span above zero"):
        book_total([(1, good)], 0.0)
    with pytest.raises(InputError, match="probability lies between"):
        book_total([(1, good)], 1.0).quantiles([1.0])
    with pytest.raises(InputError, match="take a wider span"):
        book_total([(10**10, good)], 1.0)


# -- person's year ----------------------------------------------------------------------------------


def test_the_law_of_a_person_s_year_holds_its_mean_and_its_limits():
    tiers = [plan(), change_tier(plan(), deductible=40.0), change_tier(plan(), year_most=6000.0)]
    h = year_span(tiers, 4096)
    laws = person_laws(tiers, first_term=False, span=h, points=4096)
    assert laws.laws.sum(axis=1) == pytest.approx([1.0] * 3)
    assert np.all(laws.laws >= 0)
    for tier, mean in zip(tiers, laws.mean, strict=True):
        assert mean == pytest.approx(
            cost_tier(tier, 10, new_share=0.0).facts["pure_premium"], rel=5e-5
        )
    top = 6000.0 / h
    assert top == pytest.approx(round(top))
    assert laws.laws[2, round(top) + 1 :].sum() == 0
    assert laws.laws[2, round(top)] > 0


def test_what_lies_beyond_the_lattice_is_refused():
    tiers = [plan(terms=Terms())]
    with pytest.raises(InputError, match="lie beyond the lattice"):
        person_laws(tiers, first_term=False, span=0.5, points=512)
    heavy = Benefit(name="outpatient", frequency=1.0, severity=stats.lomax(0.8, scale=10.0))
    with pytest.raises(InputError, match="no finite mean"):
        year_span([plan(benefits=(heavy,), terms=Terms())], 4096)


# -- the grid ---------------------------------------------------------------------------------------


def test_designs_are_those_priced_one_by_one():
    axes = {
        "deductible": [0.0, 40.0],
        "coinsurance": [0.1, 0.3],
        "gate": [True, False],
        "year_most": [6000.0, 12_000.0],
        "premium": [1200.0, 1400.0],
    }
    grid = tier_grid(
        plan(), 3000, axes, benefits=["outpatient", "home_nursing"], new_share=0.4,
        subsidy=Subsidy(amount=200.0), points=8192,
    )  # fmt: skip
    assert grid.table.height == 32
    for design in (1, 8, 19, 30):
        row = grid.table.row(design - 1, named=True)
        tier = change_tier(
            plan(),
            benefits=["outpatient", "home_nursing"],
            deductible=row["claim_deductible"],
            coinsurance=row["claim_coinsurance"],
            year_most=row["year_most"],
            premium=row["premium"],
            gate=row["gate"] == "gate_on",
        )
        cost = cost_tier(tier, 3000, new_share=0.4, subsidy=Subsidy(amount=200.0))
        assert row["bill"] == pytest.approx(cost.facts["bill"], rel=1e-12)
        assert row["pure_premium"] == pytest.approx(cost.facts["pure_premium"], rel=2e-5)
        assert row["loss_ratio"] == pytest.approx(cost.facts["loss_ratio"], rel=2e-5)
        assert row["passes"] == pytest.approx(cost.facts["passes"], abs=5e-4)
        assert row["member_price"] == row["premium"] - 200
        assert row["actuarial_value"] == pytest.approx(cost.facts["actuarial_value"], rel=2e-5)
        asked = build_up(tier, cost).facts["required_premium"]
        assert row["required_premium"] == pytest.approx(asked, abs=0.05)
        q = dict(cost.frames["levels"].select("probability", "loss_ratio").rows())
        assert row["loss_ratio_p95"] == pytest.approx(q[0.95], rel=2e-4)


def test_on_one_lattice_the_total_is_the_aggregate_engines_to_a_millionth():
    tier = plan()
    grid = tier_grid(tier, 2500, {"premium": [1200.0, 1300.0]}, new_share=0.0, span=6.0)
    law = person_laws([tier], first_term=False, span=6.0, points=4096).laws[0]
    whole = aggregate_portfolio(
        [(persons(2500.0), sample_severity(6.0 * np.arange(4096), law))], bucket=6.0
    )
    for row in grid.table.iter_rows(named=True):
        exact = whole.loss_ratio_exceeds(0.7, premium=2500 * row["premium"])
        assert row["passes"] == pytest.approx(exact, abs=1e-6)
        assert row["loss_ratio_p995"] == pytest.approx(
            whole.value_at_risk(0.995) / 2500 / row["premium"], abs=1e-6
        )


def test_a_grid_has_the_whole_distribution_of_each_design():
    grid = tier_grid(plan(), 500, {"deductible": [0.0, 30.0, 60.0], "premium": [1200.0, 1500.0]})
    drawn = grid.frames["distribution"]
    assert drawn["design"].n_unique() == 6
    for _, one in drawn.group_by("design", maintain_order=True):
        assert one["loss_ratio"].is_sorted()
        assert one["probability"].is_sorted()
        assert one["loss_ratio"].n_unique() == one.height
    cheap, dear = (grid.table.filter(premium=p) for p in (1200.0, 1500.0))
    assert (cheap["passes"] >= dear["passes"]).all()
    assert cheap["pure_premium"].equals(dear["pure_premium"])
    by_deductible = cheap.sort("claim_deductible")
    assert by_deductible["pure_premium"].is_sorted(descending=True)
    assert by_deductible["passes"].is_sorted(descending=True)


def test_the_frontier_is_what_a_comparison_of_all_pairs_says():
    draw = np.random.default_rng(3)
    scores = draw.integers(0, 6, (300, 3)).astype(float)
    for row, kept in zip(scores, non_dominated(scores), strict=True):
        beaten = any(np.all(o <= row) and np.any(o < row) for o in scores)
        assert kept == (not beaten)
    grid = tier_grid(plan(), 500, {"coinsurance": [0.1, 0.3, 0.5], "premium": [1000.0, 1400.0]})
    rows = grid.table.select("actuarial_value", "member_price", "passes", "on_the_frontier").rows()
    for value, price, passes, kept in rows:
        beaten = any(
            v >= value and p <= price and q <= passes and (v, p, q) != (value, price, passes)
            for v, p, q, _ in rows
        )
        assert kept or beaten


def test_the_order_of_the_values_does_not_matter():
    tier = plan(benefits=plan().benefits[:1])
    some = [60, 0]
    a, b = (
        tier_grid(tier, 300, {"waiting_days": w, "deductible": [0.0, 20.0]}, new_share=0.5).table
        for w in (some, some[::-1])
    )
    key = ["waiting_days", "claim_deductible"]
    a, b = (t.sort(key).drop("design") for t in (a, b))
    for name in ("pure_premium", "passes", "loss_ratio_p95"):
        assert a[name].to_list() == pytest.approx(b[name].to_list(), rel=1e-9, abs=1e-11)
    assert a["pure_premium"][0] > a["pure_premium"][2] > 0.8 * a["pure_premium"][0]


def test_a_grid_speaks_draws_and_comes_back(tmp_path):
    grid = tier_grid(plan(), 200, {"gate": [True, False], "waiting_days": [0, 90]})
    assert grid.table["gate"].to_list() == ["gate_on", "gate_on", "gate_off", "gate_off"]
    for lang in ("en", "zh"):
        assert grid.finding(lang)
        assert len(grid.figure(lang).data) == 2
    grid.save(tmp_path / "grid")
    assert Result.load(tmp_path / "grid").table.equals(grid.table)
    again = tier_grid(plan(), 200, {"gate": [True, False], "waiting_days": [0, 90]})
    assert again.basis.fingerprint == grid.basis.fingerprint


@pytest.mark.parametrize(
    ("axes", "options", "said"),
    [
        ({}, {}, "nothing varies"),
        ({"dedutible": [0.0]}, {}, "did you mean 'deductible'"),
        ({"deductible": []}, {}, "deductible has no values"),
        ({"deductible": [1.0, 1.0]}, {}, "values twice"),
        ({"coinsurance": [0.2, 1.3]}, {}, "1 of 2 covers have rules that contradict"),
        ({"year_most": [1000.0]}, {}, "lies above the tier's"),
        ({"waiting_days": [400]}, {}, "leaves nothing of a term"),
        ({"premium": [0.0]}, {}, "premium must be above zero"),
        ({"premium": [100.0]}, {"subsidy": Subsidy(amount=200.0)}, "above the premium"),
        ({"deductible": list(range(200)), "premium": list(range(1, 200))}, {}, "at most 20,000"),
        ({"deductible": [0.0]}, {"points": 1000}, "power of two"),
        ({"deductible": [0.0]}, {"span": -1.0}, "span must be above zero"),
        ({"deductible": [0.0]}, {"line": 0.0}, "line of the loss ratio"),
        ({"deductible": [0.0]}, {"levels": (0.5, 1.0)}, "no probability"),
        ({"deductible": [0.0]}, {"benefits": ["dental"]}, "no benefit 'dental'"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(axes, options, said):
    with pytest.raises(InputError, match=said):
        tier_grid(plan(), 100, axes, **options)


def test_a_contradiction_in_a_grid_is_named_with_its_values():
    tier = plan(benefits=tuple(replace(b, year_limit=4000.0) for b in plan().benefits))
    with pytest.raises(InputError) as refused:
        tier_grid(tier, 100, {"limit": [500.0, 5000.0], "deductible": [0.0, 10.0]})
    assert "2 of 4 covers" in str(refused.value)
    assert "limit = 5000, deductible = 0" in str(refused.value)


def test_price_alone_needs_no_new_distribution():
    prices = [float(p) for p in range(800, 1800, 10)]
    grid = tier_grid(plan(), 400, {"premium": prices})
    assert grid.table["passes"].is_sorted(descending=True)
    assert grid.table.select(pl.col("loss_ratio") * pl.col("premium")).to_series().round(
        6
    ).n_unique() == 1  # fmt: skip
