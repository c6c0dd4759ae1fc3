"""Which columns of a result count persons, tell cells apart, are charged to everybody, or name somebody."""

from __future__ import annotations

import re

import polars as pl

__all__ = ["events_of", "identifiers_in", "keys_of", "unit_of"]

UNITS = (  # the first that a frame has says how many stand in a cell
    "persons", "members", "policies", "headcount", "lives", "insured", "offers", "cases", "visits",
    "assessments", "seen", "moves", "policy_years", "exposure", "at_risk",
)  # fmt: skip
EVENTS = ("claims", "large_claims", "exceedances", "uses")  # what happened to somebody's health
ADDS_NOT = ("at_risk",)  # one person stands in many of its cells
CHARGED = (  # what everybody is charged or told, whoever is in a cell; estimates are none of it
    "discount", "present_discount", "prudent_discount", "charge_rate", "group_discount", "rider_price",
    "price_charged", "taken_months",
)  # fmt: skip
CURVES = {
    "value_effect": "relativity"
}  # of few parameters for all cells: no cell comes back from it
KEY = re.compile(
    r"(^|_)(year|years|age|month|day|lag|period|time|band|fifth|tenth|fold|from|to|level|edge)$"
    r"|^(origin|first|start|end|interval_months|joined_in|year_observed|years_since|distance|quantile|"
    r"probability|threshold|candidate|event_number|lag_days|at|at_age|price_paid|health_value|size)$"
)
FIGURE = re.compile(r"^(cost|premium|standard|amount|loss_ratio)_")  # whatever a name ends in
IDENTIFIERS = (
    "person", "person_id", "policy_id", "claim_id", "case_id", "member_id", "alarm_id", "event_id",
    "visit_id", "assessment_id", "device", "first_keys",
)  # fmt: skip
AS_ASKED = ("price_trace",)  # names a policy because somebody asked for that policy
NOT_PERSONS = (  # expectations of a model, classes that a file declares, published figures
    "projection", "stress", "care_projection", "care_occupancy", "care_settings", "care_stress",
    "aid_membership", "aid_against_insurance", "unravelling", "capped_share", "share_risk",
    "share_back_test", "share_fairness", "shared_loss", "capped_shares", "tier_spiral", "tier_equilibrium",
    "staffing", "waiting", "service_capacity", "level_prices", "recovery", "power_statement",
)  # fmt: skip


def unit_of(frame: pl.DataFrame) -> str:
    """Name the column that counts who stands in a cell, empty where none does.

    Examples
    --------
    >>> unit_of(pl.DataFrame({"sex": ["f"], "exposure": [9.5], "claims": [2]}))
    'exposure'
    >>> unit_of(pl.DataFrame({"sex": ["f"], "relativity": [1.2]}))
    ''
    """
    return next((n for n in UNITS if n in frame.columns and frame.schema[n].is_numeric()), "")


def events_of(frame: pl.DataFrame) -> list[str]:
    """Name the columns that count what happened to those in a cell.

    Examples
    --------
    >>> events_of(pl.DataFrame({"sex": ["f"], "exposure": [9.5], "claims": [2]}))
    ['claims']
    """
    return [n for n in EVENTS if n in frame.columns and frame.schema[n].is_numeric()]


def keys_of(frame: pl.DataFrame) -> list[str]:
    """Name the columns that tell the cells of a frame apart: factors, ages, periods.

    Examples
    --------
    >>> keys_of(pl.DataFrame({"sex": ["f"], "policy_year": [1], "exposure": [9.5]}))
    ['sex', 'policy_year']
    """
    counts = {unit_of(frame), *events_of(frame)}
    if unit_of(frame):
        counts.add("probability")  # of those who are counted: times their number it is a count
    return [
        n
        for n, kind in frame.schema.items()
        if n not in counts
        and not kind.is_nested()
        and (not kind.is_numeric() or (KEY.search(n) and not FIGURE.match(n)))
    ]


def identifiers_in(frame: pl.DataFrame) -> list[str]:
    """Name the columns whose values name a person, a policy or a claim.

    Examples
    --------
    >>> identifiers_in(pl.DataFrame({"policy_id": ["P1"], "premium": [9.5]}))
    ['policy_id']
    """
    return [n for n in IDENTIFIERS if n in frame.columns]
