"""What came into a study, what was accepted, what was set aside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import polars as pl

from pricing.data.check import Checked
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, say

__all__ = ["DataCheck", "data_check"]


class DataCheck(Result):
    """What came in, what was accepted and what was set aside."""

    kind = "data_check"

    def finding(self, lang: Language = "en") -> str:
        """Say how many rows were accepted and how many set aside."""
        said = say("finding.data_check", lang, **self.facts)
        if self.facts["unmatched"] is not None:
            said += say("sentence.data_check_book", lang, **self.facts)
        return said + {"en": ".", "zh": "。"}[lang]


def data_check(
    checked: Mapping[str, Checked], *, unmatched: int | None, cut: int | None, basis: Basis
) -> DataCheck:
    """Sum up the check of every table.

    Parameters
    ----------
    checked : mapping of str to Checked
        Tables held against their contracts.
    unmatched, cut : int or None
        Claims in no observed policy year; running terms cut to the days observed. None where the
        tables are no book of policies.
    basis : Basis
        Source, period, currency, fingerprint.

    Examples
    --------
    >>> from pathlib import Path
    >>> from pricing.study.sections import Table
    >>> from pricing.study.tables import checked_table
    >>> read = {"person_years": checked_table("person_years", Table(loader="randhie"), Path())}
    >>> data_check(read, unmatched=0, cut=0, basis=Basis()).facts["accepted"]
    20190
    """
    totals = pl.concat(
        c.totals.select(pl.lit(name).alias("table"), pl.all()) for name, c in checked.items()
    )
    faults = pl.concat([c.faults for c in checked.values()])
    rows = totals.filter(pl.col("quantity") == "rows")
    came = int(rows["input"].sum())
    facts = {
        "rows": came,
        "accepted": int(rows["accepted"].sum()),
        "rejected": int(rows["rejected"].sum()),
        "rules": faults.height,
        "unmatched": unmatched,
        "cut": cut,
    }
    notes = tuple(w for table in checked.values() for w in table.warnings)
    basis = replace(basis, rows=came, notes=notes)
    return DataCheck(table=totals, basis=basis, facts=facts, frames={"faults": faults})
