"""The regulator's numbers: gate cases, loss ratios and caps as the rules' examples have them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import polars as pl

from pricing.regulation.loading import check_net_premium
from pricing.regulation.loss_ratio import gate_loss_ratio
from pricing.regulation.product import Product
from pricing.regulation.rate_adjustment import check_rate_adjustment
from pricing.regulation.service_cost import check_service_cost

__all__ = ["gate_cases", "service_caps", "worked_loss_ratio"]

Found = tuple[str, Mapping[str, str], Mapping[str, float]]


def gate_cases() -> Found:
    """Six pairs of own and industry loss ratio: 1.0 where an increase is allowed, −1.0 where barred.

    Examples
    --------
    >>> gate_cases()[2]["27 gate, own 0.84, industry 0.94"]
    -1.0
    """
    cases = {
        (0.80, 0.85): "1.0", (0.70, 0.85): "-1.0", (0.84, 0.95): "-1.0",
        (0.84, 0.94): "-1.0", (0.86, 0.99): "1.0", (0.85, 0.95): "1.0",
    }  # fmt: skip
    product = Product(kind="medical", term_years=1, guaranteed_years=20)
    printed, ours = {}, {}
    for (own, industry), text in cases.items():
        name = f"27 gate, own {own:.2f}, industry {industry:.2f}"
        printed[name] = text
        found = check_rate_adjustment(
            product,
            launch=date(2020, 5, 1),
            on=date(2024, 1, 1),
            change=0.10,
            clause_cap=0.30,
            loss_ratio=own,
            industry_loss_ratio=industry,
            notice_from=date(2023, 11, 1),
        )
        ours[name] = 1.0 if found.ok else -1.0
    return "银保监办发〔2020〕27号, the AND of 85 % and industry − 10 points", printed, ours


def worked_loss_ratio() -> Found:
    """Claims 60, outstanding 10 → 15, premium 100, unearned 40 → 50.

    Examples
    --------
    >>> round(worked_loss_ratio()[2]["27 loss ratio, 65/90"], 4)
    0.7222
    """
    found = gate_loss_ratio(
        claims_paid=60.0,
        outstanding_opening=10.0,
        outstanding_closing=15.0,
        premium=100.0,
        unearned_opening=40.0,
        unearned_closing=50.0,
    )
    printed = {
        "27 loss ratio, 65/90": "0.7222",
        "27 loss ratio, claims": "65",
        "27 loss ratio, premium": "90",
    }
    ours = {
        "27 loss ratio, 65/90": found.ratio,
        "27 loss ratio, claims": found.facts["incurred"],
        "27 loss ratio, premium": found.facts["earned"],
    }
    return "银保监办发〔2020〕27号, loss ratio of the gate", printed, ours


def service_caps() -> Found:
    """Caps on service cost at a loading of 35 %, and the claims a loss ratio of 70 % asks for.

    Examples
    --------
    >>> round(service_caps()[2]["83 cap, gross 2,000"], 2)
    260.0
    """
    bands = pl.DataFrame(
        {"age_band": ["A", "B"], "gross_premium": [500.0, 2000.0], "service_cost": [0.0, 0.0]}
    )
    found = check_service_cost(bands, loading=0.35, on=date(2024, 1, 1)).frames["bands"]
    pilot = check_net_premium(500.0, loading=0.35, loss_ratio=0.70, on=date(2024, 1, 1))
    net, caps = found["net_premium"].to_list(), found["cap_amount"].to_list()
    printed = {
        "83 net premium, gross 500": "325", "83 cap, gross 500": "65",
        "83 net premium, gross 2,000": "1300", "83 cap, gross 2,000": "260",
        "83 claims at a loss ratio of 70 %, gross 500": "350",
    }  # fmt: skip
    ours = dict(zip(printed, (net[0], caps[0], net[1], caps[1]), strict=False))
    ours["83 claims at a loss ratio of 70 %, gross 500"] = pilot.table["threshold"].item()
    return "健康保险管理办法 (2019) art. 57 and 银保监办发〔2020〕83号", printed, ours
