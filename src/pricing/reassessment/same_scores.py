"""Same scores: assessors who give one set of item scores again and again."""

from __future__ import annotations

import polars as pl

from pricing.errors import InputError
from pricing.files import fingerprint
from pricing.reassessment.domain import require_rows_there
from pricing.result.shape import Basis, Result
from pricing.result.words import Language, say

__all__ = ["SameScores", "same_scores"]


class SameScores(Result):
    """Pairs of assessments with identical item scores, by assessor.

    ``.table``: assessor, assessments, pairs, same_pairs, expected_pairs (if scores fell as over all
    assessors), same_to_expected, most_common (the set given most), times_given. It is a count to look
    at, no test: cases of one ward are alike.
    """

    kind = "same_scores"

    def finding(self, lang: Language = "en") -> str:
        """Say who repeats most."""
        return say(f"finding.{self.kind}", lang, **self.facts)

    def titled(self, lang: Language = "en") -> pl.DataFrame:
        """Give the assessors who repeat most, as many as a page holds."""
        del lang
        return self.table.head(10)


def same_scores(
    rows: pl.DataFrame, *, assessor: str = "assessor", scores: str = "item_scores", least: int = 10
) -> SameScores:
    """Count pairs of assessments of one assessor whose item scores are all the same.

    Parameters
    ----------
    rows : polars.DataFrame
        One row per assessment.
    assessor, scores : str
        Columns; scores as one text, such as ``"10|5|0|..."``.
    least : int
        Assessors with fewer assessments are left out.

    Raises
    ------
    InputError
        For empty assessors or scores, and where nobody has assessments enough.

    Notes
    -----
    k assessments with one set of scores make k(k − 1)/2 pairs. Expected: all pairs of the assessor
    times the share of same pairs among all assessments of everybody.

    Examples
    --------
    >>> rows = pl.DataFrame({"assessor": ["A"] * 3 + ["B"] * 3, "item_scores": ["1", "1", "1", "1", "2", "3"]})
    >>> found = same_scores(rows, least=2)
    >>> found.table.select("assessor", "pairs", "same_pairs").rows()
    [('A', 3, 3), ('B', 3, 0)]
    """
    require_rows_there(rows, "assessments", [assessor, scores])
    if not isinstance(least, int) or least < 2:
        raise InputError(f"least must be 2 or more, got {least!r}")
    empty = [f"{n} is empty in {rows[n].null_count():,} rows" for n in (assessor, scores) if rows[n].null_count()]  # fmt: skip
    if empty:
        raise InputError("assessments that cannot be compared", faults=empty)
    named = rows.select(assessor=pl.col(assessor).cast(pl.String), scores=pl.col(scores).cast(pl.String))  # fmt: skip

    def pairs(n: pl.Expr) -> pl.Expr:
        return n * (n - 1) // 2

    every = named.group_by("scores").agg(n=pl.len().cast(pl.Int64))
    whole = rows.height * (rows.height - 1) // 2
    common = int(every.select(pairs(pl.col("n")).sum()).item()) / max(whole, 1)
    table = (
        named.group_by("assessor", "scores")
        .agg(n=pl.len().cast(pl.Int64))
        .sort("assessor", -pl.col("n"), "scores")
        .group_by("assessor", maintain_order=True)
        .agg(
            assessments=pl.col("n").sum(),
            pairs=pairs(pl.col("n").sum()),
            same_pairs=pairs(pl.col("n")).sum(),
            most_common=pl.col("scores").first(),
            times_given=pl.col("n").first(),
        )
        .filter(pl.col("assessments") >= least)
        .with_columns(expected_pairs=pl.col("pairs") * common)
        .with_columns(
            same_to_expected=pl.when(pl.col("expected_pairs") > 0).then(pl.col("same_pairs") / pl.col("expected_pairs"))
        )
        .select("assessor", "assessments", "pairs", "same_pairs", "expected_pairs", "same_to_expected", "most_common", "times_given")
        .sort("same_to_expected", descending=True, nulls_last=True, maintain_order=True)
    )  # fmt: skip
    if table.is_empty():
        raise InputError(f"no assessor has {least} assessments or more", do="take a smaller least")
    top = table.row(0, named=True)
    return SameScores(
        table=table,
        basis=Basis(
            rows=rows.height,
            currency="",
            fingerprint=fingerprint(table.write_csv(), str(least)),
            notes=("a count to look at, no test",),
        ),
        facts={
            "assessors": table.height,
            "assessor": top["assessor"],
            "times": top["times_given"],
            "assessments": top["assessments"],
            "ratio": top["same_to_expected"] or 0.0,
        },
    )
