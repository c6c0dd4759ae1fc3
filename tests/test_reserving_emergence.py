"""Emergence: each piece of the model against its formula, and its draws against their moments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pricing.errors import InputError
from pricing.reserving.emergence import Drawn, Emergence, completed_share, emergence

PAID = np.array([[60.0, 30.0, 10.0], [80.0, 50.0, 5.0], [70.0, 20.0, 0.0], [90.0, 0.0, 0.0]])


def model(**changes: Any) -> Emergence:
    """Twelve periods of exposure 1,000, rate 1, growing 20 % a year."""
    years = (np.arange(12) - 11) / 12
    given: dict[str, Any] = {
        "increments": np.zeros((12, 3)),
        "exposure": np.full(12, 1000.0),
        "design": np.column_stack([np.ones(12), years]),
        "complete": np.array([0.5, 0.8, 1.0]),
        "coefficients": np.array([0.0, np.log(1.2)]),
        "dispersion": 5.0,
        "between": 0.01,
        "time": (1,),
    }
    return Emergence(**(given | changes))


def test_shares_by_hand() -> None:
    last, first = 220 / 235, 210 / 310
    np.testing.assert_allclose(
        completed_share(PAID[None])[0], [first * last, last, 1.0], rtol=1e-14
    )
    np.testing.assert_allclose(
        completed_share(PAID[None], tail=1.1)[0], np.array([first * last, last, 1.0]) / 1.1
    )
    np.testing.assert_allclose(
        completed_share(PAID[None], recent=1)[0], [70 / 90 * 130 / 135, 130 / 135, 1.0]
    )
    late = np.array([[[0.0, 10.0], [0.0, 0.0]]])  # nobody paid at lag 0
    assert completed_share(late)[0].tolist() == [0.0, 1.0]


def test_the_dispersion_is_brought_to_the_last_period_s_money() -> None:
    rate = 1.3 ** ((np.arange(24) - 23) / 12)
    design = np.column_stack([np.ones(24), (np.arange(24) - 23) / 12])
    found = emergence(100 * rate[:, None], np.full(24, 100.0), design, dispersion=7.0, time=(1,))
    np.testing.assert_allclose(found.money(), rate, rtol=1e-9)
    assert found.dispersion == pytest.approx(7.0 * rate.sum() / (rate**2).sum(), rel=1e-9)


@pytest.mark.parametrize("tau", [0.0, 0.05])
def test_variation_between_periods_is_found_without_bias(tau: float) -> None:
    rng = np.random.default_rng(7)
    design = np.column_stack([np.ones(10), np.linspace(-1, 1, 10)])
    found = []
    for _ in range(600):
        common = rng.gamma(1 / tau, tau, 10) if tau else np.ones(10)
        paid = rng.standard_gamma(5000 * common / 5.0) * 5.0
        found.append(emergence(paid[:, None], np.full(10, 5000.0), design, dispersion=5.0).between)
    if tau:
        assert np.mean(found) == pytest.approx(tau, rel=0.10)
    else:
        assert np.median(found) < 2e-4
        assert np.mean(np.array(found) == 0) > 0.4


def test_drawn_histories_have_the_moments_of_the_model() -> None:
    seen = model()
    drawn = seen.draw(20_000, np.random.default_rng(1))
    mean = 1000 * seen.rate() * seen.share()
    variance = 5.0 * seen.money() * mean + 0.01 * mean**2
    np.testing.assert_allclose(drawn.paid.mean(axis=0), mean, rtol=0.01)
    np.testing.assert_allclose(drawn.paid.var(axis=0), variance, rtol=0.06)
    np.testing.assert_allclose(drawn.complete.mean(axis=0), seen.complete, rtol=0.01)
    np.testing.assert_allclose(drawn.coefficients.mean(axis=0), seen.coefficients, atol=0.01)


@pytest.mark.parametrize("weight", [0.0, 0.4, 1.0])
def test_the_unpaid_has_the_mean_and_variance_it_says(weight: float) -> None:
    cells = np.tile([400.0, 240.0, 160.0], (12, 1))
    cells[10, 2] = cells[11, 1] = cells[11, 2] = 0.0
    complete, draws = np.array([0.4, 0.64, 0.8]), 40_000  # a tail: of every period some is to come
    seen = model(increments=cells, complete=complete, tail=1.25)
    exact = Drawn(
        np.repeat(seen.paid[None], draws, axis=0),
        np.repeat(seen.complete[None], draws, axis=0),
        np.repeat(seen.coefficients[None], draws, axis=0),
    )
    unpaid = seen.unpaid(exact, np.full(12, weight), np.random.default_rng(2))
    q, prior = seen.share(), 1000 * seen.rate()
    mean = (1 - q) * (weight * seen.paid / q + (1 - weight) * prior)
    phi = 5.0 * seen.money()
    level = (1 - weight) ** 2 * 0.01 + weight**2 * phi / (prior * q)
    np.testing.assert_allclose(unpaid.mean(axis=0), mean, rtol=0.01)
    np.testing.assert_allclose(unpaid.var(axis=0), phi * mean + level * mean**2, rtol=0.05)


def test_recoveries_are_drawn_and_take_back_no_more_than_was_paid() -> None:
    seen = model(complete=np.array([0.9, 1.1, 1.0]), between=0.0)
    drawn = seen.draw(4000, np.random.default_rng(3))
    np.testing.assert_allclose(drawn.complete.mean(axis=0), seen.complete, rtol=0.01)
    wild = model(complete=np.array([0.5, 1.5, 1.0]), dispersion=2000.0, between=0.0)
    increments = wild.draw(500, np.random.default_rng(4))
    assert (increments.paid >= 0).all()


def test_the_pattern_of_the_latest_origins_is_drawn_from_as_few() -> None:
    few = model(recent=2).draw(3000, np.random.default_rng(5)).complete.std(axis=0)
    every = model().draw(3000, np.random.default_rng(5)).complete.std(axis=0)
    assert (few[:2] > 1.5 * every[:2]).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"increments": np.full((4, 3), np.nan)}, "not finite"),
        ({"exposure": np.array([1.0, 1.0, -1.0, 1.0])}, "negative or not finite"),
        ({"exposure": np.array([0.0, 1.0, 1.0, 1.0])}, "without exposure"),
        ({"dispersion": 0.0}, "a dispersion of 0"),
        ({"tail": np.inf}, "a tail factor of inf"),
        ({"increments": PAID * np.array([1.0, -3.0, 0.0])}, "no development pattern"),
    ],
)
def test_histories_that_cannot_be_completed_are_refused(change: dict[str, Any], said: str) -> None:
    given: dict[str, Any] = {
        "increments": PAID, "exposure": np.ones(4), "design": np.ones((4, 1)), "dispersion": 1.0,
    }  # fmt: skip
    with pytest.raises(InputError, match=said):
        emergence(**(given | change))
