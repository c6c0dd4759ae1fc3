"""The tables of an elder medical plan: offers of tiers and who took which, alarms of watches."""

from __future__ import annotations

import dataframely as dy

__all__ = ["TABLES"]

TABLES: dict[str, type[dy.Schema]] = {}
