"""The tables of a mutual-aid plan: its members and the cases it helps."""

from __future__ import annotations

import dataframely as dy

__all__ = ["TABLES"]

TABLES: dict[str, type[dy.Schema]] = {}
