"""What came into a study, what was accepted, what was set aside."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import polars as pl

from pricing.data.check import Checked
from pricing.files import fingerprint
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, say

__all__ = ["DataCheck", "data_check", "fingerprint_of", "frame_fingerprint", "table_fingerprint"]

AT_ONCE = 500_000  # rows whose texts are joined to be hashed


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


def fingerprint_of(checked: Mapping[str, Checked], *asked: str) -> str:
    """Hash every accepted row, in the order they were read, and what is asked of them.

    Examples
    --------
    >>> fingerprint_of({}) != fingerprint_of({}, "settings")
    True
    """
    parts: list[bytes | str] = [*asked]
    for name, held in checked.items():
        rows = held.accepted.hash_rows(seed=1)
        parts += [name, ",".join(held.accepted.columns), rows.to_numpy().tobytes(), *held.marks]
    return fingerprint(*parts)


def frame_fingerprint(frame: pl.DataFrame) -> str:
    """Hash the values of a table, row by row in order: the same on any machine and by any version of polars.

    Names and kinds of the columns count; how a column is kept in memory does not, so a factor and the
    text of its levels are alike.

    Examples
    --------
    >>> one = pl.DataFrame({"sex": ["f", "m"], "age": [30.0, None]})
    >>> other = one.with_columns(pl.col("sex").cast(pl.Enum(["m", "f"])))
    >>> frame_fingerprint(one) == frame_fingerprint(other) != frame_fingerprint(one.reverse())
    True
    """
    digest = hashlib.sha256(f"{frame.height}".encode())
    for column in frame.get_columns():
        digest.update(f"|{column.name}|".encode())
        _hash_column(digest, column)
    return digest.hexdigest()[:16]


def table_fingerprint(checked: Checked) -> str:
    """Hash the accepted rows of a table: what they say, not which file they stood in.

    Examples
    --------
    >>> from pricing.data.check import check
    >>> rows = pl.DataFrame({"exposure": [1.0], "claims": [0]})
    >>> len(table_fingerprint(check(rows, "person_years")))
    16
    """
    if checked.marks:
        return fingerprint(*checked.marks)
    rows = checked.accepted
    return frame_fingerprint(rows.select(c for c in rows.columns if not c.startswith("_")))


def _hash_column(digest: hashlib._Hash, column: pl.Series) -> None:
    kind = column.dtype
    for start in range(0, len(column), AT_ONCE):
        part = column.slice(start, AT_ONCE)
        absent = part.is_null().to_numpy()
        digest.update(np.packbits(absent).tobytes())
        if kind == pl.Boolean:
            part = part.cast(pl.UInt8)
        elif kind.is_temporal():
            digest.update(str(kind).encode())
            part = part.to_physical()
        elif kind.is_integer() and kind not in (pl.Int128, pl.UInt128, pl.UInt64):
            part = part.cast(pl.Int64)
        elif kind.is_float():
            part = part.cast(pl.Float64) + 0.0  # one zero, not two
        elif kind.is_nested() or kind == pl.Binary:
            part = pl.Series([repr(value) for value in part.to_list()], dtype=pl.String)
        else:
            part = part.cast(pl.String)
        if part.dtype == pl.String:
            part = part.fill_null("")
            lengths = part.str.len_bytes().cast(pl.UInt32).to_numpy()
            digest.update(lengths.astype("<u4").tobytes())
            digest.update("".join(part.to_list()).encode())
        else:
            values = part.fill_null(0).to_numpy()
            digest.update(values.astype(values.dtype.newbyteorder("<")).tobytes())
