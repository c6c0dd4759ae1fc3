"""Published figures of long-term care: definition of disability, matrices, arithmetic of the schemes."""

from __future__ import annotations

from collections.abc import Mapping

from pricing.care.assessed import assessed_cost
from pricing.care.benefit import city_benefit, monthly_benefit
from pricing.care.definition import definition_risk
from pricing.care.grading import grading_standard
from pricing.care.intensity import matrix_gaps
from pricing.data.tables import source_of

__all__ = ["definitions", "grading_table", "matrices", "scheme_arithmetic"]

Found = tuple[str, Mapping[str, str], Mapping[str, float]]
RECOMPUTED = "recomputed independently, 2026"


def definitions() -> Found:
    """Value of 600 a month by the Chinese static model, as the side by side of definitions gives it.

    Examples
    --------
    >>> round(definitions()[2]["men, healthy at 65"])
    3823
    """
    printed = {
        "men, healthy at 65": "3823", "women, healthy at 65": "5538",
        "men, disabled at 80": "22790", "women, disabled at 80": "25107",
        "men, level premium": "338", "women, level premium": "455",
    }  # fmt: skip
    ours = {}
    for row in definition_risk(600.0, definitions=["clhls"]).table.iter_rows(named=True):
        who = "men" if row["sex"] == "male" else "women"
        ours[f"{who}, healthy at 65"] = row["value_healthy"]
        ours[f"{who}, disabled at 80"] = row["value_disabled"]
        ours[f"{who}, level premium"] = row["level_premium"]
    return f"{source_of('disability_3state')}; values {RECOMPUTED}", printed, ours


def matrices() -> Found:
    """Count the blocks whose one- and three-year matrices disagree, and those no intensities give.

    Examples
    --------
    >>> matrices()[2]["blocks of three years that no intensities give, of 14"]
    12.0
    """
    printed = {
        "blocks that differ by more than 0.01, of 14": "5.0",
        "blocks of three years that no intensities give, of 14": "12",
        "men 70-75": ".088", "women 70-75": ".118", "men 75-80": ".017", "men 85-90": ".088",
        "women 95+": ".015",
    }  # fmt: skip
    found = matrix_gaps(3)
    cube = {(r["sex"], r["age_band"]): r["cube_gap"] for r in found.table.iter_rows(named=True)}
    ours = {
        "blocks that differ by more than 0.01, of 14": float(found.facts["cube_over"]),
        "blocks of three years that no intensities give, of 14": float(found.facts["not_embeddable"]),
        **{
            f"{'men' if sex == 'male' else 'women'} {band}": cube[sex, band]
            for sex, band in (("male", "70-75"), ("female", "70-75"), ("male", "75-80"), ("male", "85-90"), ("female", "95+"))
        },
    }  # fmt: skip
    return f"{source_of('clhls_disability')}; gaps {RECOMPUTED}", printed, ours


def grading_table() -> Found:
    """Read the combination table by rows: levels by the worst of cognition and senses, 0 to 3, as one number.

    Examples
    --------
    >>> grading_table()[2]["daily living severe"]
    3345.0
    """
    printed = {
        "daily living intact": "0011", "daily living mild": "1112",
        "daily living moderate": "2223", "daily living severe": "3345",
    }  # fmt: skip
    rows = grading_standard().table
    ours = {name: float("".join(map(str, row))) for name, row in zip(printed, rows, strict=True)}
    source = (
        "医保办发〔2021〕37号, combination table as recalled (unchecked against the official text)"
    )
    return source, printed, ours


def scheme_arithmetic() -> Found:
    """Work the arithmetic of the schemes: Dezhou's cost per assessment, caps of Tengzhou and Wencheng.

    Examples
    --------
    >>> scheme_arithmetic()[2]["Dezhou, paid per assessment"]
    12500.0
    """
    printed = {
        "Dezhou, paid per assessment": "12500", "beneficiaries of insured in 2022": "0.00711",
        "Wencheng, cap of severe III": "2980", "Wencheng, cap of severe I": "1788",
        "Tengzhou, institution care at 100 a day, 30 days": "1800",
        "a city of 2024, 35 hours a month": "2100",
    }  # fmt: skip
    wencheng = city_benefit("Wencheng", "monthly cap")
    caps = {
        grade: monthly_benefit(wencheng, care_level=grade, carer="provider", monthly_charge=1e6)
        / 0.80
        for grade in ("severe_3", "severe_1")
    }
    tengzhou = city_benefit("Tengzhou", "institution care")
    hours = city_benefit("a city that began in 2024", "home care", "severe_3")
    dezhou = assessed_cost(assessments=17_600, paid=220e6, benefits={"600": 600.0})
    ours = {
        "Dezhou, paid per assessment": dezhou.facts["per_assessment"],
        "beneficiaries of insured in 2022": 1.208 / 169.9,
        "Wencheng, cap of severe III": caps["severe_3"],
        "Wencheng, cap of severe I": caps["severe_1"],
        "Tengzhou, institution care at 100 a day, 30 days": monthly_benefit(tengzhou, days=30.0, daily_charge=100.0),
        "a city of 2024, 35 hours a month": monthly_benefit(hours, hours=100.0),
    }  # fmt: skip
    return f"{source_of('ltc_city_rules')}; programme facts of Dezhou", printed, ours
