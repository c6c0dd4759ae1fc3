"""Published bonus-malus scales and health programmes: shares, relativities, efficiency, paths."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pricing.bonus_malus.course import scale_course
from pricing.bonus_malus.efficiency import convergence, scale_efficiency
from pricing.bonus_malus.mixing import gamma_mixing
from pricing.bonus_malus.relativities import ScaleRelativities, scale_relativities
from pricing.bonus_malus.risk import band_costs, count_risk, same_risk
from pricing.bonus_malus.scale import Scale, count_scale, target_scale, walk_scale
from pricing.estimate.design import Floats
from pricing.health.break_even import break_even

__all__ = [
    "feasibility",
    "published_scales",
    "recomputed_scales",
    "score_bands",
    "star_scheme",
    "status_walk",
]

Found = tuple[str, Mapping[str, str], Mapping[str, float]]
RATE, SHAPE = 0.1474, 0.8888
DENUIT = "Denuit, Maréchal, Pitrebois and Walhin (2007), Portfolio A, tables 4.3 and 4.5"


def published_scales() -> Found:
    """Shares and relativities of the scales −1/top and −1/+2, in percent, as printed.

    Four of the book's 24 figures stand one unit of the last digit beside ours, from the same rounded
    parameters; :func:`recomputed_scales` has them.

    Examples
    --------
    >>> round(published_scales()[2]["scale: -1/top, share of level 0"], 1)
    58.5
    """
    printed: dict[str, str] = {}
    printed |= _cells("-1/top", "share", (None, "9.7", "7.7", "6.2", "5.2", "58.5"))
    printed |= _cells("-1/top", "relativity", (None, "170.9", "150.7", "134.8", "122.0", "54.7"))
    printed |= _cells("-1/+2", "share", ("4.4", "4.7", "4.4", "8.7", "7.1", "70.6"))
    printed |= _cells("-1/+2", "relativity", (None, "241.4", "207.7", "142.9", "130.2", None))
    ours = _denuit()
    return DENUIT, printed, {name: ours[name] for name in printed}


def recomputed_scales() -> Found:
    """What the tables round differently, the error each scale leaves, efficiency and convergence.

    Examples
    --------
    >>> round(recomputed_scales()[2]["scale: -1/+2, efficiency at 0.3"], 4)
    0.7167
    """
    printed = {
        "scale: -1/top, share of level 5": "12.7",
        "scale: -1/top, relativity of level 5": "197.4",
        "scale: -1/+2, relativity of level 5": "309.2",
        "scale: -1/+2, relativity of level 0": "62.3",
        "scale: -1/top, error left": "0.80544",
        "scale: -1/+2, error left": "0.66313",
        "scale: Belgium 1992 without its special rule, relativity of level 22": "306.0",
        "scale: Belgium 1992 without its special rule, relativity of level 0": "37.6",
        "scale: Belgium 1992 without its special rule, share of level 0": "50.5",
    }
    rates = (0.05, 0.10, 0.1474, 0.20, 0.30)
    for rate, efficiency, level in zip(
        rates,
        (".1426", ".3161", ".4757", ".6132", ".7167"),
        (".0354", ".0824", ".1376", ".2082", ".3540"),
        strict=True,
    ):
        printed[f"scale: -1/+2, efficiency at {rate:g}"] = efficiency
        printed[f"scale: -1/+2, average level at {rate:g}"] = level
    distances = {1: ".9486", 5: ".2617", 10: ".0597"}
    for year, text in distances.items():
        printed[f"scale: -1/+2, distance from the long run after {year} years"] = text
    ours = _denuit()
    plus_two = count_scale(6, malus=2)
    relativities = _relativities(plus_two)
    valued = plus_two.valued(relativities.table["level_relativity"].to_list())
    ours["scale: -1/top, error left"] = _relativities(count_scale(6, malus="top")).facts[
        "error_variance"
    ]
    ours["scale: -1/+2, error left"] = relativities.facts["error_variance"]
    belgian = _relativities(count_scale(23, malus=(4, 5))).table
    name = "scale: Belgium 1992 without its special rule"
    ours[f"{name}, relativity of level 22"] = 100 * belgian["level_relativity"][22]
    ours[f"{name}, relativity of level 0"] = 100 * belgian["level_relativity"][0]
    ours[f"{name}, share of level 0"] = 100 * belgian["level_share"][0]
    for row in scale_efficiency(valued, rates).table.iter_rows(named=True):
        ours[f"scale: -1/+2, efficiency at {row['claim_rate']:g}"] = row["efficiency"]
        ours[f"scale: -1/+2, average level at {row['claim_rate']:g}"] = row["average_level"]
    gaps = convergence(plus_two, RATE, start="5", years=10)
    for year in distances:
        ours[f"scale: -1/+2, distance from the long run after {year} years"] = float(gaps[year])
    source = (
        "health_value.md D1 (2025), computed there apart; the four first within 0.1 of the book"
    )
    return source, printed, {name: ours[name] for name in printed}


def star_scheme() -> Found:
    """AIA Hong Kong's reimbursement by stars: long-run shares, means, and the path from 55.

    Examples
    --------
    >>> star_scheme()[2]["scale: stars, mean after year 3, .1/.3/.4/.2"]
    63.01...
    """
    scale = target_scale(["55", "60", "65", "70"], values=[55, 60, 65, 70])
    even = same_risk(scale, dict.fromkeys(scale.levels, 0.25))
    other = same_risk(scale, dict(zip(scale.levels, (0.1, 0.3, 0.4, 0.2), strict=True)))
    printed, ours = {}, {}
    for said, risk, texts, mean in (
        ("all alike", even, ("0.125", "0.375", "0.375", "0.125"), "62.5"),
        (".1/.3/.4/.2", other, ("0.0372", "0.3349", "0.5023", "0.1256"), "63.5814"),
    ):
        found = scale_relativities(scale, risk)
        for level, share, text in zip(scale.levels, found.table["level_share"], texts, strict=True):
            printed[f"scale: stars, share of {level}, {said}"] = text
            ours[f"scale: stars, share of {level}, {said}"] = share
        printed[f"scale: stars, mean, {said}"] = mean
        ours[f"scale: stars, mean, {said}"] = found.facts["mean_value"]
    path = scale_course(scale, other, start="55", years=5).table["mean_value"].to_list()
    for year, text in enumerate(("59.50", "62.20", "63.01", "63.388", "63.5014"), start=1):
        printed[f"scale: stars, mean after year {year}, .1/.3/.4/.2"] = text
        ours[f"scale: stars, mean after year {year}, .1/.3/.4/.2"] = path[year]
    return "AIA Hong Kong medical star scheme; health_value.md A3 (2025)", printed, ours


def status_walk() -> Found:
    """AIA New Zealand's walk of the discount, in percent: mean by year and in the long run.

    Examples
    --------
    >>> round(status_walk()[2]["scale: walk, long run, all alike"], 4)
    3.5091
    """
    deltas = {"bronze": -0.02, "silver": -0.01, "gold": 0.0, "platinum": 0.02}
    scale = walk_scale(deltas, low=0.0, high=0.20)
    cases: tuple[tuple[str, tuple[float, ...], dict[int, str], str], ...] = (
        (
            "all alike",
            (0.25, 0.25, 0.25, 0.25),
            {1: "9.75", 2: "9.50", 5: "8.75", 10: "7.5864", 20: "6.0143"},
            "3.5091",
        ),
        (".4/.2/.2/.2", (0.4, 0.2, 0.2, 0.2), {5: "7.0", 10: "4.5363"}, "1.2841"),
        (".1/.2/.3/.4", (0.1, 0.2, 0.3, 0.4), {5: "12.0", 10: "13.791"}, "18.1694"),
    )
    printed, ours = {}, {}
    for said, shares, texts, long_run in cases:
        risk = same_risk(scale, dict(zip(deltas, shares, strict=True)))
        course = scale_course(scale, risk, start="0.1", years=20)
        for year, text in texts.items():
            printed[f"scale: walk, mean after year {year}, {said}"] = text
            ours[f"scale: walk, mean after year {year}, {said}"] = (
                100 * course.table["mean_value"][year]
            )
        printed[f"scale: walk, long run, {said}"] = long_run
        ours[f"scale: walk, long run, {said}"] = 100 * course.facts["long_run"]
        if said == "all alike":
            printed["scale: walk, share without discount, all alike"] = ".3106"
            ours["scale: walk, share without discount, all alike"] = scale_relativities(
                scale, risk
            ).table["level_share"][0]
    return "AIA New Zealand premium flex; health_value.md F5 (2025)", printed, ours


def score_bands() -> Found:
    """Fair discount of the healthiest band of a score, in percent, and the relativities of the bands.

    Examples
    --------
    >>> round(score_bands()[2]["scale: fair top discount, slope 0.1, reliability 0.5"], 1)
    20.9
    """
    shares: Floats = np.array([0.10, 0.20, 0.30, 0.25, 0.15])
    printed, ours = {}, {}
    for slope, reliability, text in (
        (0.10, 0.3, "16.6"),
        (0.10, 0.5, "20.9"),
        (0.10, 0.8, "25.6"),
        (0.15, 0.3, "23.8"),
        (0.15, 0.5, "29.6"),
    ):
        cost = band_costs(shares, slope=slope, reliability=reliability)
        name = f"scale: fair top discount, slope {slope:g}, reliability {reliability:g}"
        printed[name] = text
        ours[name] = 100 * (1 - float(cost[-1] / cost[0]))
    cost = band_costs(shares, slope=0.10, reliability=0.5)
    for band, text in enumerate(("1.1298", "1.0602", "1.0068", ".9553", ".8941")):
        printed[f"scale: relativity of band {band}, slope 0.1, reliability 0.5"] = text
        ours[f"scale: relativity of band {band}, slope 0.1, reliability 0.5"] = float(cost[band])
    return "health_value.md F5 (2025), latent health", printed, ours


def feasibility() -> Found:
    """What a schedule of 0 to 20 % needs to pay for itself, in percent where not a factor.

    Examples
    --------
    >>> round(feasibility()[2]["schedule: base factor"], 4)
    1.1204
    """
    groups = ("G0", "G1", "G2", "G3", "G4")
    found = break_even(
        dict(zip(groups, (0.10, 0.20, 0.30, 0.25, 0.15), strict=True)),
        dict(zip(groups, (0.0, 0.05, 0.10, 0.15, 0.20), strict=True)),
        relativities=dict(zip(groups, (1.0, 0.96, 0.92, 0.88, 0.84), strict=True)),
        loss_ratio=0.70,
    )
    facts = found.facts
    printed = {
        "schedule: mean discount": "10.75",
        "schedule: base factor": "1.1204",
        "schedule: fall of claims that keeps the margin": "15.4",
        "schedule: mean relativity": ".914",
        "schedule: loss ratio after": "71.7",
    }
    ours = {
        "schedule: mean discount": 100 * facts["mean_discount"],
        "schedule: base factor": facts["base_factor"],
        "schedule: fall of claims that keeps the margin": 100 * facts["margin_fall"],
        "schedule: mean relativity": facts["mean_relativity"],
        "schedule: loss ratio after": 100 * facts["loss_ratio_after"],
    }
    ratios = zip(groups, ("70.0", "70.7", "71.6", "72.5", "73.5"), strict=True)
    for (group, text), ratio in zip(ratios, found.table["loss_ratio"], strict=True):
        printed[f"schedule: loss ratio of {group}"] = text
        ours[f"schedule: loss ratio of {group}"] = 100 * ratio
    return "health_value.md F5 (2025), feasibility", printed, ours


def _relativities(scale: Scale) -> ScaleRelativities:
    return scale_relativities(scale, count_risk(scale, gamma_mixing(SHAPE), rate=RATE))


def _denuit() -> dict[str, float]:
    ours = {}
    for said, scale in (
        ("-1/top", count_scale(6, malus="top")),
        ("-1/+2", count_scale(6, malus=2)),
    ):
        for row in _relativities(scale).table.iter_rows(named=True):
            level = row["scale_level"]
            ours[f"scale: {said}, share of level {level}"] = 100 * row["level_share"]
            ours[f"scale: {said}, relativity of level {level}"] = 100 * row["level_relativity"]
    return ours


def _cells(said: str, what: str, texts: tuple[str | None, ...]) -> dict[str, str]:
    named = zip(range(5, -1, -1), texts, strict=True)
    return {f"scale: {said}, {what} of level {k}": text for k, text in named if text is not None}
