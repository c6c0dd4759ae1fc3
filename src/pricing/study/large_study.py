"""A study of a book too large to be held: read in parts, added up, its persons sampled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, reduce
from operator import add
from pathlib import Path

import polars as pl

from pricing.data.check import Checked
from pricing.data.sizes import size_of
from pricing.errors import InputError
from pricing.experience.cells import Experience
from pricing.experience.person_years import PersonYears
from pricing.result.shape import Basis, Result
from pricing.study import study_book
from pricing.study.book_parts import BookParts, read_parts
from pricing.study.chain import Study, silent
from pricing.study.engine import rows_folder
from pricing.study.rated_book import Book

__all__ = ["LargeStudy"]

MONEY = ("amount", "standard_premium", "premium")


class LargeStudy(Study):
    """A study of more than half a million policies, or of files in parts: no more than one part in memory.

    Every part is held against the contracts, made person-years, and kept in files until the study
    is let go of. Cells, money, errors by person, the rate review, moves between groups and the renewals due are those of
    the whole book: they add. What follows single persons through their years (persistency, causal
    evidence, claims along the value) rests on a sample with all its years, drawn by a hash of
    ``model.cluster`` (of the policy where there is none); the basis of such a result says so.

    Parameters
    ----------
    path, work, engine
        As :class:`~pricing.study.chain.Study`; the engine is polars.

    Raises
    ------
    InputError
        For another engine.

    Examples
    --------
    Opened by :func:`pricing.study.chain.open_study`.
    """

    def __init__(
        self, path: str | Path, *, work: str | Path | None = None, engine: str = "polars"
    ) -> None:
        super().__init__(path, work=work, engine=engine)
        if engine != "polars":
            raise InputError(
                f"a book of so many policies is not read in parts by {engine}",
                where=str(path),
                do="leave --engine out, or make the cells where the rows lie (docs/engines.md)",
            )
        self._told: Callable[[str], None] = silent

    def run(self, *, progress: Callable[[str], None] = silent) -> dict[str, Result]:
        """Compute the whole chain, as :meth:`pricing.study.chain.Study.run`."""
        self._told = progress
        return super().run(progress=progress)

    @cached_property
    def _read(self) -> BookParts:
        return read_parts(
            self.parts(),
            rows_folder(self, self._work),
            person=self.settings.model.cluster or "policy_id",
            share=self.share,
            progress=self._told,
        )

    @property
    def share(self) -> float:
        """Share of the persons whose rows are at hand."""
        simulated = self.settings.simulate
        if simulated is not None:
            return min(1.0, study_book.SAMPLE / simulated.policies)
        table = self.settings.tables["policies"]
        assert table.files is not None
        size = size_of(table.files, self.path.parent, separator=table.separator)
        return min(1.0, study_book.SAMPLE / max(size.rows, 1))

    @cached_property
    def checked(self) -> dict[str, Checked]:
        """Every table's check, added up over the parts; the accepted rows are not at hand."""
        return {**self._read.checked}

    @property
    def person_years(self) -> PersonYears:
        """Refused: the rows are not at hand as a whole."""
        raise InputError(
            "the rows of a book in parts are not held as a whole",
            where=str(self.path),
            do="take .row_parts one after another, or .persons for a sample of persons",
        )

    @property
    def row_parts(self) -> Sequence[pl.DataFrame | pl.LazyFrame]:
        """The person-years of each part, as scans of its file."""
        return self._read.scans("rows")

    def renewal_parts(self) -> Sequence[pl.DataFrame | pl.LazyFrame]:
        """Accepted renewals of each part, as scans of its file."""
        return self._read.scans("renewals")

    def due(self) -> pl.LazyFrame:
        """The renewals due after the window, as one scan."""
        return pl.concat(self._read.scans("due"))

    def consents(self) -> pl.DataFrame:
        """The ledger of consents of all parts."""
        return pl.concat(self._read.scans("consents")).collect()

    @property
    def placed_claims(self) -> PersonYears:
        """The claims that count, and the person-years with a claim."""
        return self._read.claims

    @property
    def unmatched_claims(self) -> pl.DataFrame:
        """Accepted claims of a day that no policy year covers."""
        return self._read.unmatched

    def _cut_terms(self) -> int:
        return sum(self._read.counts.get(name, 0) for name in ("cut_at_exit", "cut_at_window"))

    def experience(
        self,
        by: Sequence[str],
        *,
        start: int | None = None,
        end: int | None = None,
        claims: str = "claims",
        made: Mapping[str, pl.Expr] | None = None,
    ) -> Experience:
        """Collect the experience of the parts by keys, and add it up."""
        condition, filters = self._between(start, end)
        new = made or {}
        kept = [*(n for n in by if n not in new), *(m for m in MONEY if m in {*self.columns})]
        asked = [
            pl.col(*dict.fromkeys([*kept, "exposure", claims])),
            *(e.alias(n) for n, e in new.items()),
        ]
        told = []
        self._require_money([name for name in kept if name in MONEY], condition)
        for part in self.row_parts:
            rows = part.lazy().filter(condition).select(asked).collect()
            if not rows.is_empty():
                told.append(self.collect(rows, by, claims=claims, filters=filters))
        if not told:
            raise InputError(f"no person-year is left by {filters}", where=self.name)
        return reduce(add, told)

    def _require_money(self, names: Sequence[str], condition: pl.Expr) -> None:
        """Refuse money that only some rows of the book have, told of the whole book."""
        empty = [pl.col(name).null_count() for name in names]
        told = [*empty, pl.len().alias("_rows")]
        sums = [p.lazy().filter(condition).select(told).collect() for p in self.row_parts]
        counted = pl.concat(sums).sum().row(0, named=True)
        rows = counted.pop("_rows")
        faults = [
            f"{n}: empty in {k:,} of {rows:,} rows" for n, k in counted.items() if 0 < k < rows
        ]
        if faults:
            raise InputError(
                "money that only some person-years have",
                where=self.name,
                faults=faults,
                do="fill the empty ones, or leave the column out of the mapping",
            )

    def rated_book(self) -> Book:
        """Terms and claims of all parts, as the rate review takes them."""
        s, read = self.settings, self._read
        assert s.loss_ratio is not None
        sums = (
            part.lazy().select(pl.col("exposure").sum(), rows=pl.len()).collect()
            for part in self.row_parts
        )
        rows = pl.concat(sums).sum().row(0, named=True)
        basis = replace(
            self.basis,
            rows=int(rows["rows"]),
            exposure=float(rows["exposure"]),
            claims=float(read.claims.claims.height),
        )
        group, present = s.discount.group, s.discount.present
        return Book(s.loss_ratio, read.scans("terms"), read.transactions, group, present, basis)

    @cached_property
    def persons(self) -> Study:
        """A sample of the book's persons, with all their rows at hand."""
        read = self._read
        held = read.persons["policies"].accepted.height
        asked = read.checked["policies"].rows_accepted
        by = self.settings.model.cluster or "policy_id"
        said = f"a sample of {held:,} of {asked:,} policies, drawn by {by}"
        return _Sample(self, read.persons, read.sampled, said)


class _Sample(Study):
    """The study on the rows of some of its persons; every basis says so."""

    def __init__(
        self, whole: Study, checked: Mapping[str, Checked], found: PersonYears, said: str
    ) -> None:
        super().__init__(whole.path, work=whole._work)
        self.settings, self._whole, self._said = whole.settings, whole, said
        self.__dict__.update(checked=dict(checked), person_years=found, book=whole.book)

    @property
    def fingerprint(self) -> str:
        """That of the whole book, of which the sample follows."""
        return self._whole.fingerprint

    @property
    def basis(self) -> Basis:
        """That of the study, with what the sample is."""
        return replace(super().basis, notes=(self._said,))

    def collect(
        self,
        rows: pl.DataFrame,
        by: Sequence[str],
        *,
        claims: str = "claims",
        filters: Sequence[str] = (),
    ) -> Experience:
        """Make cells of the sample's rows, whose basis says what the sample is."""
        return super().collect(rows, by, claims=claims, filters=[*filters, self._said])
