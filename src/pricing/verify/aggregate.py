"""Published aggregate losses: the cases of Loss Models, chapter 9."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import stats

from pricing.losses.aggregate import aggregate_loss, aggregate_portfolio
from pricing.losses.count_law import (
    binomial_count,
    compound_count,
    count_table,
    poisson,
)
from pricing.losses.severity_law import sample_severity
from pricing.losses.terms import Terms

__all__ = ["exercises", "group_dental", "modified_claims"]

Found = tuple[str, Mapping[str, str], Mapping[str, float]]
BOOK = "Klugman, Panjer and Willmot, Loss Models: From Data to Decisions, chapter 9"


def group_dental() -> Found:
    """Group dental plan: cost per person by number of persons treated, in units of 25.

    Examples
    --------
    >>> round(group_dental()[2]["9.5 variance"], 4)
    58.7464
    """
    cost = [0.15, 0.2, 0.25, 0.125, 0.075, 0.05, 0.05, 0.05, 0.025, 0.025]
    persons = [0.05, 0.1, 0.15, 0.2, 0.25, 0.15, 0.06, 0.03, 0.01]
    year = aggregate_loss(count_table(persons), sample_severity(np.arange(1.0, 11.0), cost))
    printed = {
        "9.5 mean": "12.58", "9.5 variance": "58.7464",
        "9.5 g(0)": "0.050", "9.5 g(1)": "0.015", "9.5 g(2)": "0.023375", "9.5 g(3)": "0.034675",
        "9.5 g(4)": "0.0325766", "9.5 g(5)": "0.0357864",
        "9.6 stop-loss at 0": "314.5", "9.6 stop-loss at 25": "290.75",
        "9.6 stop-loss at 50": "267.375", "9.6 stop-loss at 75": "244.584",
        "9.6 stop-loss at 100": "222.661", "9.6 stop-loss at 125": "201.551",
    }  # fmt: skip
    ours = {"9.5 mean": year.mean, "9.5 variance": year.facts["sd"] ** 2}
    ours |= {f"9.5 g({x})": float(year.probability[x]) for x in range(6)}
    ours |= {f"9.6 stop-loss at {25 * d}": 25 * year.stop_loss(d) for d in range(6)}
    return f"{BOOK}, examples 9.5 and 9.6", printed, ours


def modified_claims() -> Found:
    """Poisson number of Pareto losses under a deductible, coinsurance and loss limit.

    Examples
    --------
    >>> round(modified_claims()[2]["9.14 mean"], 4)
    1.6402
    """
    loss = stats.lomax(4, scale=10.0)
    terms = Terms(loss_limit=24.0, deductible=6.0, coinsurance=0.25)  # the insured pays 25 %
    year = aggregate_loss(poisson(3.0), loss, per_claim=terms)
    moments = year.frames["errors"]["exact"].to_list()
    printed = {"9.14 mean": "1.6402", "9.14 variance": "11.9546", "9.14 P(payment)": "0.152588"}
    ours = {
        "9.14 mean": moments[0],
        "9.14 variance": moments[1] ** 2,
        "9.14 P(payment)": float(loss.sf(6.0)),
    }
    return f"{BOOK}, example 9.14", printed, ours


def exercises() -> Found:
    """Solve the exercises on compound distributions, each with its own count and amounts.

    Examples
    --------
    >>> round(exercises()[2]["9.34 P(S = 600)"], 7)
    0.0598929
    """
    printed = {
        "9.9 P(S = 2)": "0.1296953", "9.10 e³g(1)": "1.9", "9.10 e³g(2)": "2.605",
        "9.10 e³g(3)": "2.96317", "9.10 e³g(4)": "2.87700",
        "9.19 P(S > 3E[S])": "0.0671", "9.24 retained": "4.0275", "9.24 total cost": "5.4995",
        "9.34 P(S = 600)": "0.0598929", "9.39 P(S <= 300)": "0.894053", "9.40 mean": "2900",
        "9.40 sd": "277.489", "9.57 P(S <= 3)": "0.288168", "9.59 P(S >= 20000)": "0.016132",
        "9.60 P(S > 400)": "0.054616",
    }  # fmt: skip
    ours = _two_policies() | _tabled() | _poisson_cases() | _continuous()
    return f"{BOOK}, examples 9.9 and 9.10 and exercises", printed, ours


def _two_policies() -> dict[str, float]:
    """Two independent compound Poisson policies, added up."""
    one = (poisson(2.0), sample_severity([1.0, 2.0], [0.6, 0.4]))
    other = (poisson(1.0), sample_severity([1.0, 3.0], [0.7, 0.3]))
    g = aggregate_portfolio([one, other]).probability
    scaled = {f"9.10 e³g({x})": float(g[x] * np.exp(3)) for x in range(1, 5)}
    return {"9.9 P(S = 2)": float(g[2])} | scaled


def _tabled() -> dict[str, float]:
    """Counts given as tables."""
    year = aggregate_loss(
        count_table([0.5, 0.4, 0.0, 0.1]), sample_severity([1.0, 10.0], [0.9, 0.1])
    )
    life = aggregate_loss(
        count_table([1 / 16, 1 / 4, 3 / 8, 1 / 4, 1 / 16]),
        sample_severity([2.0, 3.0], [0.4, 0.6]),
        per_year=Terms(limit=5.0),
    )
    return {
        "9.19 P(S > 3E[S])": year.exceeds(3 * year.mean),
        "9.24 retained": life.mean,
        "9.24 total cost": life.mean + 1.472,  # with the stop-loss premium of 1,472
    }


def _poisson_cases() -> dict[str, float]:
    """Discrete amounts, compound Poisson and Neyman type A."""
    hundreds = aggregate_loss(
        poisson(5.0), sample_severity([100.0, 500.0, 1000.0], [0.8, 0.16, 0.04])
    )
    sold = aggregate_portfolio(
        [
            (poisson(5000 * 0.01), sample_severity([10.0])),
            (poisson(3000 * 0.02), sample_severity([20.0])),
            (poisson(1000 * 0.03), sample_severity([40.0])),
        ]
    )
    small = aggregate_loss(
        poisson(3.0), sample_severity([1.0, 2.0, 3.0, 4.0], [0.4, 0.3, 0.2, 0.1])
    )
    health = aggregate_loss(
        compound_count(poisson(10.0), poisson(4.0)), sample_severity([5.0, 10.0], [0.75, 0.25])
    )
    return {
        "9.34 P(S = 600)": hundreds.exceeds(600.0, or_equal=True) - hundreds.exceeds(600.0),
        "9.40 mean": sold.mean,
        "9.40 sd": sold.facts["sd"],
        "9.57 P(S <= 3)": 1 - small.exceeds(3.0),
        "9.60 P(S > 400)": health.exceeds(400.0),
    }


def _continuous() -> dict[str, float]:
    """Continuous amounts: at a fine span, and at the span the exercise asks for."""
    binomial = aggregate_loss(binomial_count(3, 0.4), stats.expon(scale=100.0))
    trucks = aggregate_loss(
        poisson(5.0), stats.gamma(0.5, scale=2500.0), bucket=100.0, buckets=1024, method="rounding"
    )
    return {
        "9.39 P(S <= 300)": 1 - binomial.exceeds(300.0),
        "9.59 P(S >= 20000)": float(trucks.probability[trucks.loss >= 20_000.0].sum()),
    }
