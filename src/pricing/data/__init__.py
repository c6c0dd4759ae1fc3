"""What comes in: contracts, sources and the check of one against the other."""

from __future__ import annotations

from importlib import import_module
from typing import Any

# ``check`` is the file; its verb is imported from there: ``from pricing.data.check import check``.
_WHERE = {
    "Checked": "check",
    "Claims": "contracts",
    "PersonYears": "contracts",
    "Policies": "contracts",
    "Renewals": "contracts",
    "Source": "sources",
    "check_book": "check",
    "contract": "contracts",
    "data_dictionary": "contracts",
    "data_dictionary_markdown": "contracts",
    "read_table": "sources",
    "write_rejected": "check",
}

__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    """Import a name's file when it is first asked for, so that the command line starts fast."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHERE})
