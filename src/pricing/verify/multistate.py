"""Published figures of multi-state estimates, worked by hand."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from pricing.multistate.graph import state_graph
from pricing.multistate.intensities import fit_intensities
from pricing.multistate.occupancy import aalen_johansen

__all__ = ["crude_rates", "five_lives"]


def five_lives() -> tuple[str, Mapping[str, str], Mapping[str, float]]:
    """Follow five lives through well, ill, dead with one recovery: Aalen and Johansen's estimate.

    At 1 one of five falls ill, at 2 one of four well dies, at 2.5 one of three falls ill, at 3 one of
    two ill dies, at 3.5 one of two well falls ill, at 4 one of two ill recovers, at 5 the one ill dies.

    Examples
    --------
    >>> five_lives()[2]["well, 2.5"].__round__(12)
    0.4
    """
    spells = pl.DataFrame(
        [
            ("well", "ill", 0.0, 1.0), ("ill", "dead", 1.0, 3.0), ("well", "dead", 0.0, 2.0),
            ("well", "ill", 0.0, 2.5), ("ill", "well", 2.5, 4.0), ("well", None, 4.0, 6.0),
            ("well", "ill", 0.0, 3.5), ("ill", "dead", 3.5, 5.0), ("well", None, 0.0, 6.0),
        ],
        schema=["from_state", "to_state", "entry", "exit"],
        orient="row",
    )  # fmt: skip
    graph = state_graph({"well": ["ill", "dead"], "ill": ["well", "dead"]}, ["well", "ill", "dead"])
    found = aalen_johansen(spells, graph).table
    ours = {f"{s}, {t:g}": p for t, s, p in found.select("years", "in_state", "probability").rows()}
    printed = {
        "well, 1": "0.80", "ill, 1": "0.20", "well, 2": "0.60", "ill, 2": "0.20", "dead, 2": "0.20",
        "well, 2.5": "0.40", "ill, 2.5": "0.40", "dead, 2.5": "0.20", "well, 3": "0.40",
        "ill, 3": "0.20", "dead, 3": "0.40", "well, 3.5": "0.20", "ill, 3.5": "0.40",
        "dead, 3.5": "0.40", "well, 4": "0.40", "ill, 4": "0.20", "dead, 4": "0.40",
        "well, 5": "0.40", "dead, 5": "0.60",
    }  # fmt: skip
    return "Aalen and Johansen (1978), worked by hand for five lives", printed, ours


def crude_rates() -> tuple[str, Mapping[str, str], Mapping[str, float]]:
    """Fit 5 moves in 1,000 years and 12 in 800: the Poisson model of occurrences and exposure.

    Examples
    --------
    >>> crude_rates()[2]["second level"].__round__(6)
    1.098612
    """
    rows = pl.DataFrame(
        {
            "from_state": ["well"] * 4,
            "to_state": ["ill", None] * 2,
            "exit": [1.0] * 4,
            "weight": [5.0, 995.0, 12.0, 788.0],
            "group": ["a", "a", "b", "b"],
        }
    )
    found = fit_intensities(rows, state_graph([("well", "ill")]), "group", base={"group": "a"})
    model = found.details["models"][0]
    ours = {
        "intercept": model["coefficients"][0],
        "second level": model["coefficients"][1],
        "second level, standard error": model["covariance"][1][1] ** 0.5,
    }
    printed = {
        "intercept": "-5.298317",
        "second level": "1.098612",
        "second level, standard error": "0.532291",
    }
    return "Holford (1980), Biometrics 36: ln O/E, worked by hand", printed, ours
