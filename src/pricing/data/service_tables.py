"""The tables of a service plan: its members and what they use."""

from __future__ import annotations

import dataframely as dy

__all__ = ["TABLES"]

TABLES: dict[str, type[dy.Schema]] = {}
