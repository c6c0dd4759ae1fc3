"""Published choice: the linear market of Einav, Finkelstein and Cullen, the buses of McFadden."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pricing.choice.linear_market import linear_market
from pricing.choice.nested import nested_shares

__all__ = ["linear_case", "red_and_blue_bus"]

Found = tuple[str, Mapping[str, str], Mapping[str, float]]


def linear_case() -> Found:
    """Equilibrium and efficient price from the printed demand and cost curves.

    The slopes are printed to three figures, which carry the efficient price (printed 263.9, here 264.3) to
    the unit and the welfare loss (printed 9.55, here 9.53) to less than its last digit: it is left out.

    Examples
    --------
    >>> round(linear_case()[2]["equilibrium price"], 1)
    463.5
    """
    seen = linear_market((0.9398, -0.000696), (391.69, 0.155), currency="USD").facts
    printed = {
        "equilibrium price": "463.5", "take-up at equilibrium": "0.617", "efficient price": "264",
        "take-up at the efficient price": "0.756",
    }  # fmt: skip
    names = ("equilibrium_price", "equilibrium_take_up", "efficient_price", "efficient_take_up")  # fmt: skip
    ours = {said: float(seen[name]) for said, name in zip(printed, names, strict=True)}
    source = "Einav, Finkelstein, Cullen (2010), Quarterly Journal of Economics 125, section IV"
    return source, printed, ours


def red_and_blue_bus() -> Found:
    """A second bus like the first: a logit takes from the car too, a nest of one kind does not.

    Examples
    --------
    >>> round(red_and_blue_bus()[2]["car, buses alike"], 3)
    0.5
    """
    equal, every = np.zeros((1, 3)), np.ones((1, 3))
    flat = nested_shares(equal, every, 1.0).every[0]
    alike = nested_shares(equal, every, 1e-6).every[0]
    printed = {
        "car, logit": "0.3333",
        "car, buses alike": "0.5000",
        "red bus, buses alike": "0.2500",
    }
    ours = {
        "car, logit": float(flat[0]), "car, buses alike": float(alike[0]), "red bus, buses alike": float(alike[2]),
    }  # fmt: skip
    return "Train (2009), Discrete Choice Methods with Simulation, section 3.3.2", printed, ours
