"""Health-insurance pricing workbench: from person-years to a discount the claims can pay for.

Nothing is imported until it is used: ``import pricing`` costs no more than Python itself.

Examples
--------
>>> import pricing as pr
>>> pr.open.__name__, pr.Experience.__name__
('open_file', 'Experience')
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

# polars parts a group_by with few groups by the number of threads, which moves the last bits of its sums
os.environ.setdefault("POLARS_NO_PARTITION", "1")
# and streams where it is not told to: so do the sums of a lazy frame; what is to stream says so
os.environ.setdefault("POLARS_ENGINE_AFFINITY", "in-memory")

_ROOMS = (
    "data",
    "result",
    "experience",
    "estimate",
    "claims",
    "validation",
    "losses",
    "premium",
    "reserving",
    "regulation",
    "survival",
    "multistate",
    "programme",
    "activity",
    "bonus_malus",
    "privacy",
    "health",
    "tariff",
    "trend",
    "loss_ratio",
    "annuities",
    "persistency",
    "causal",
    "renewal",
    "choice",
    "sharing",
    "tiers",
    "care",
    "reassessment",
    "mutual_aid",
    "services",
    "study",
    "plans",
    "report",
    "verify",
    "lab",
)
_NAMES = {
    "open": ("pricing.plans.open_file", "open_file"),
    "Experience": ("pricing.experience.cells", "Experience"),
    "InputError": ("pricing.errors", "InputError"),
    "bundled": ("pricing.data.tables", "bundled"),
}

__all__ = [*_NAMES, *_ROOMS]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        module, attribute = _NAMES[name]
        return getattr(import_module(module), attribute)
    if name in _ROOMS:
        return import_module(f"pricing.{name}")
    raise AttributeError(f"module 'pricing' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
