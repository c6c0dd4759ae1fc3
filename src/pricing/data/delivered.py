"""Every table an insurer may deliver, by name."""

from __future__ import annotations

import dataframely as dy

from pricing.data import (
    aid_tables,
    care_tables,
    consent_tables,
    elder_tables,
    programme_tables,
    service_tables,
)
from pricing.data.schemas import BOOK

__all__ = ["TABLES"]

TABLES: dict[str, type[dy.Schema]] = {
    **BOOK,
    **programme_tables.TABLES,
    **elder_tables.TABLES,
    **care_tables.TABLES,
    **aid_tables.TABLES,
    **service_tables.TABLES,
    **consent_tables.TABLES,
}
