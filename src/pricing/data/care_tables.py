"""The tables of long-term care: the insured, assessments, cases in payment, visits to them."""

from __future__ import annotations

import dataframely as dy

__all__ = ["TABLES"]

TABLES: dict[str, type[dy.Schema]] = {}
