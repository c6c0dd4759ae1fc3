"""What comes in: contracts, sources, their check, simulated books and reference tables."""

from __future__ import annotations

from importlib import import_module
from typing import Any

# ``check`` is the file; its verb is imported from there: ``from pricing.data.check import check``.
_WHERE = {
    "BookParameters": "book",
    "Checked": "checked",
    "Claims": "schemas",
    "PersonYears": "schemas",
    "Policies": "schemas",
    "RateTable": "rates",
    "Renewals": "schemas",
    "Source": "sources",
    "bundled": "tables",
    "check_book": "between",
    "close_share": "mortality",
    "contract": "contracts",
    "data_dictionary": "dictionary",
    "data_dictionary_markdown": "dictionary",
    "disability_matrices": "transitions",
    "disability_rates": "transitions",
    "illustrative_duration_rates": "transitions",
    "life_expectancy": "mortality",
    "provenance": "tables",
    "rate_table": "rates",
    "read_table": "sources",
    "read_xtbml": "xtbml",
    "reference_table": "tables",
    "reference_tables_markdown": "tables",
    "simulate": "book",
    "source_of": "tables",
    "true_parameters": "book",
    "write_rejected": "checked",
}

__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    """Import a name's file when it is first asked for, so that the command line starts fast."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHERE})
