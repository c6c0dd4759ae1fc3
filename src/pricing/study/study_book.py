"""The tables of a study file: held against their contracts, made person-years, summed to cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path

import polars as pl

from pricing.claims.clusters import Rows
from pricing.data.book import simulate
from pricing.data.check import Checked, check_book, write_rejected
from pricing.errors import InputError
from pricing.experience.bands import band
from pricing.experience.cells import Experience
from pricing.experience.engines import AnyFrame
from pricing.experience.person_years import PersonYears, person_years
from pricing.files import replacing, restore
from pricing.held import alone
from pricing.result.shape import Basis
from pricing.result.words import Language
from pricing.study.data_check import DataCheck, data_check, fingerprint_of
from pricing.study.engine import EngineRows, require_engine
from pricing.study.rated_book import Book, book_of
from pricing.study.renewed import agreed_due
from pricing.study.sections import Table
from pricing.study.settings import Settings, read_settings
from pricing.study.tables import (
    checked_table,
    files_in_parts,
    money_columns,
    require_banded,
    same_book,
)

__all__ = ["StudyBook", "is_large"]

BOOK_TABLES = ("policies", "renewals", "claims")
MANY = 500_000  # policies above which a simulated book is read in parts of as many
SAMPLE = 200_000  # policies of a book in parts whose rows are at hand


def is_large(settings: Settings) -> bool:
    """Whether the book of a study file is read in parts.

    Examples
    --------
    >>> from pricing.data.tables import bundled
    >>> is_large(read_settings(bundled("studies/huoli.toml")))
    False
    """
    simulated = settings.simulate
    return settings.study.parts or (simulated is not None and simulated.policies > MANY)


class StudyBook:
    """The book of a study file: its tables, its person-years, its cells. :class:`Study` prices it."""

    def __init__(
        self, path: str | Path, *, work: str | Path | None = None, engine: str = "polars"
    ) -> None:
        require_engine(engine)
        self.engine = engine
        self.path = Path(path)
        self.settings: Settings = read_settings(path)
        self.text = self.path.read_text(encoding="utf-8-sig")  # as it was when it was opened
        self.name = self.settings.study.name
        self._work = Path(work) if work else Path("reports") / "books"
        self._files = "*"  # of a simulated book, without the ending: all of them

    def title(self, lang: Language) -> str:
        """Title of the study in a language."""
        return str(getattr(self.settings.study.title, lang))

    @cached_property
    def book(self) -> Path | None:
        """Folder of the simulated book, made on first use; None where the tables are real."""
        wanted = self.settings.simulate
        if wanted is None:
            return None
        folder = self._work / f"{self.name}-{wanted.policies}-{wanted.seed}"
        self._work.mkdir(parents=True, exist_ok=True)
        restore(folder)
        if not same_book(folder, wanted.policies, wanted.seed):
            with alone(folder):  # two runs at once make it once
                if not same_book(folder, wanted.policies, wanted.seed):
                    simulate(folder, policies=wanted.policies, seed=wanted.seed)
        return folder

    @cached_property
    def checked(self) -> dict[str, Checked]:
        """Every table, held against its contract and against the others."""
        if self.book is not None:
            factors = self.settings.simulate.factors if self.settings.simulate else {}
            wanted = {"payments": self.settings.loss_ratio, "offers": self.settings.persistency}
            asked = (*BOOK_TABLES, *(name for name, section in wanted.items() if section))
            tables = {
                name: Table(files=f"{name}/{self._files}.parquet", factors=factors.get(name, {}))
                for name in asked
            }
            folder = self.book
        else:
            tables = {str(name): table for name, table in self.settings.tables.items()}
            folder = self.path.parent
        outside = self.settings.study.outside or self.book is not None
        done = {
            name: checked_table(name, table, folder, outside=outside)
            for name, table in tables.items()
        }
        return {n: c.settled() for n, c in check_book(done).items()}

    @cached_property
    def person_years(self) -> PersonYears:
        """Accepted rows as person-years, with the study's bands."""
        empty = [name for name, c in self.checked.items() if c.accepted.is_empty()]
        if empty:
            raise InputError(
                f"no row of {empty} was accepted",
                where=str(self.path),
                do=f"run: pricing check {self.path}",
            )
        tables = {name: c.accepted for name, c in self.checked.items()}
        if "person_years" in tables:
            found = PersonYears(tables["person_years"], pl.DataFrame())
        else:
            window = self.settings.study.observed
            found = person_years(*(tables[name] for name in BOOK_TABLES), observed=window)
        rows = found.rows
        if self.book is not None:
            truth = pl.read_parquet(self.book / "truth" / f"{self._files}.parquet")
            rows = rows.join(truth, on=["policy_id", "policy_year"], how="left")
        bands = {n: band(b.column, b.edges) for n, b in self.settings.bands.items()}
        require_banded(rows, self.settings)
        return replace(found, rows=rows.with_columns(**bands))

    @cached_property
    def _elsewhere(self) -> EngineRows:
        return EngineRows(self.engine, self._work)

    @cached_property
    def _rows_elsewhere(self) -> AnyFrame:
        """The person-years as DuckDB or Spark makes them of the accepted tables."""
        return self._elsewhere.person_years(
            {name: c.accepted for name, c in self.checked.items()},
            self.settings.bands,
            observed=self.settings.study.observed,
            truth=self.book / "truth" if self.book is not None else None,
        )

    def parts(self) -> list[StudyBook]:
        """Give the book in parts that are read one after another; the book itself where it is small.

        A simulated book of more than half a million policies stands in files of 50,000 policies, all rows of
        a policy in files of one number: ten numbers are a part, held against the contracts as a book.
        Of ``[study] parts`` the files of one name are a part.

        Raises
        ------
        InputError
            For tables of ``[study] parts`` that are not files of the same names.
        """
        if not is_large(self.settings):
            return [self]
        if self.book is None:
            return [
                self._part(tables=tables) for tables in files_in_parts(self.settings, self.path)
            ]
        numbers = {file.stem[:-1] for file in (self.book / "policies").glob("part-*.parquet")}
        return [self._part(files=f"{number}?") for number in sorted(numbers)]

    def _part(self, *, files: str = "*", tables: Mapping[str, Table] | None = None) -> StudyBook:
        part = StudyBook(self.path, work=self._work, engine=self.engine)
        whole = self.settings.study.model_copy(update={"parts": False})
        update = {"study": whole, "tables": tables} if tables else {}
        part.settings, part._files = self.settings.model_copy(update=update), files
        return part

    @property
    def period(self) -> str:
        """Observation period: the window as days, or what the study file says."""
        window = self.settings.study.observed
        if window is None:
            return self.settings.study.period
        return f"{window[0]} to {window[1] - timedelta(days=1)}"

    @property
    def unmatched_claims(self) -> pl.DataFrame:
        """Accepted claims of a day that no policy year covers; none where rows do not suffice."""
        if any(c.accepted.is_empty() for c in self.checked.values()):
            return pl.DataFrame()
        return self.person_years.unmatched_claims

    def experience(
        self,
        by: Sequence[str],
        *,
        start: int | None = None,
        end: int | None = None,
        claims: str = "claims",
        made: Mapping[str, pl.Expr] | None = None,
    ) -> Experience:
        """Collect the study's experience by keys.

        Parameters
        ----------
        by : sequence of str
            Factors, bands and covariates of the study.
        start, end : int, optional
            First and last year to keep, of ``year`` (start of the policy year) or ``period``.
        claims : str
            Column of claim counts.
        made : mapping of str to polars.Expr, optional
            Keys among ``by`` that the rows do not hold, made of what they hold.
        """
        rows, year = self.person_years.rows, self.year
        condition, filters = self._between(start, end)
        unknown = rows[year].null_count() if filters else 0
        if unknown:
            raise InputError(
                f"{unknown:,} of {rows.height:,} person-years have no {year!r} to select by",
                where=self.name,
                do="give every row its year, or leave out start and end",
            )
        if self.engine == "polars" or made:
            kept = rows.filter(condition).with_columns(**made or {})
            return self.collect(kept, by, claims=claims, filters=filters)
        there = self._elsewhere.between(self._rows_elsewhere, year, start, end)
        return self._cells(there, rows, by, claims, filters)

    def _between(self, start: int | None, end: int | None) -> tuple[pl.Expr, list[str]]:
        """What keeps the rows from one year to another, and how a basis says it."""
        year = self.year
        conditions, filters = [pl.lit(True)], []
        for bound, symbol in ((start, ">="), (end, "<=")):
            if bound is None:
                continue
            if not year:
                raise InputError("the person-years carry no year to select by")
            conditions.append(pl.col(year) >= bound if symbol == ">=" else pl.col(year) <= bound)
            filters.append(f"{year} {symbol} {bound}")
        if start is not None and start == end:
            filters = [f"{year} = {start}"]
        return pl.all_horizontal(conditions), filters

    def collect(
        self,
        rows: pl.DataFrame,
        by: Sequence[str],
        *,
        claims: str = "claims",
        filters: Sequence[str] = (),
    ) -> Experience:
        """Make cells of person-years of the study, with their money and the study's basis."""
        there = rows if self.engine == "polars" else self._elsewhere.handed(rows)
        return self._cells(there, rows, by, claims, filters)

    def _cells(
        self,
        there: AnyFrame,
        rows: pl.DataFrame,
        by: Sequence[str],
        claims: str,
        filters: Sequence[str],
    ) -> Experience:
        """Make cells of rows that lie with an engine; ``rows`` say which money and levels they have."""
        whole = money_columns(rows)
        seen = Experience.collect(
            there,
            by,
            claims=claims,
            amount="amount" if "amount" in whole else None,
            sums=[name for name in whole if name != "amount"],
            basis=Basis(
                source=self.name,
                period=self.period,
                filters=tuple(filters),
                currency=self.settings.study.currency,
            ),
        )
        if self.engine == "polars":
            return seen
        kinds = {name: rows.schema[name] for name in seen.factors}
        levels = {n: k.categories.to_list() for n, k in kinds.items() if isinstance(k, pl.Enum)}
        return seen.with_levels(**levels) if levels else seen

    @property
    def fingerprint(self) -> str:
        """Hash of the study file and of every accepted row, in the order they were read."""
        return fingerprint_of(self.checked, self.settings.model_dump_json())

    @property
    def data_fingerprint(self) -> str:
        """Hash of every accepted row alone, whatever the study file asks of them."""
        return fingerprint_of(self.checked)

    @property
    def basis(self) -> Basis:
        """What the results that name no cells rest on."""
        head = self.settings.study
        return Basis(source=self.name, period=self.period, currency=head.currency,
                     fingerprint=self.fingerprint)  # fmt: skip

    @property
    def year(self) -> str:
        """The column that holds the year, the empty name where there is none."""
        return next((c for c in ("year", "period") if c in self.columns), "")

    @property
    def years(self) -> list[int]:
        """Years of the rows in order; none where some row has none."""
        name = self.year
        if not name or not self.filled(name):
            return []
        seen = (part.lazy().select(pl.col(name).unique()).collect() for part in self.row_parts)
        return sorted({int(year) for part in seen for year in part[name]})

    @property
    def row_parts(self) -> Sequence[pl.DataFrame | pl.LazyFrame]:
        """The person-years: one frame, or one for each part of a book that is not held as a whole."""
        return [self.person_years.rows]

    @property
    def columns(self) -> list[str]:
        """Columns of the person-years."""
        return self.row_parts[0].lazy().collect_schema().names()

    def filled(self, *names: str) -> bool:
        """Whether the person-years have these columns, and every row a value in each."""
        if not {*names} <= {*self.columns}:
            return False
        nulls = pl.sum_horizontal(pl.col(names).null_count())
        return not any(part.lazy().select(nulls).collect().item() for part in self.row_parts)

    def cluster(self, *, start: int | None = None) -> tuple[Rows, str] | None:
        """Rows and the column whose levels the errors are clustered by; None where there is none."""
        name = self.settings.model.cluster
        if name is None:
            return None
        kept, _ = self._between(start, None)
        return [part.filter(kept) if start is not None else part for part in self.row_parts], name

    def renewal_parts(self) -> Sequence[pl.DataFrame | pl.LazyFrame]:
        """Accepted renewals, in the same parts."""
        return [self.checked["renewals"].accepted]

    def due(self) -> pl.LazyFrame:
        """The renewals due after the window, as ``[renewal]`` says, with the consents of the book."""
        wanted, window = self.settings.renewal, self.settings.study.observed
        assert wanted is not None
        assert window is not None
        held = self.checked
        return agreed_due(
            held["policies"].accepted,
            held["renewals"].accepted,
            held["consents"].accepted if "consents" in held else None,
            stop=window[1],
            ageing=wanted.ageing,
            where=str(self.path),
        ).lazy()

    def consents(self) -> pl.DataFrame:
        """Accepted rows of the ledger of consents, of the whole book."""
        return self.checked["consents"].accepted

    def rated_book(self) -> Book:
        """Terms and claims, as the rate review of ``[loss_ratio]`` takes them."""
        s, found = self.settings, self.person_years
        assert s.loss_ratio is not None
        basis = replace(
            self.basis,
            rows=found.rows.height,
            exposure=float(found.rows["exposure"].sum()),
            claims=float(found.claims.height),
        )
        tables = {name: c.accepted for name, c in self.checked.items()}
        group, present = s.discount.group, s.discount.present
        return book_of(s.loss_ratio, found, tables, group=group, present=present, basis=basis)

    def premium_by_age(self) -> pl.DataFrame | None:
        """Exposure and premium by ``age_band``, of which the rate review takes the cap on service cost."""
        asked = self.settings.loss_ratio
        if asked is None or not self.filled("age_band", asked.premium):
            return None
        cells = self.experience(["age_band"]).cells
        return cells.select("age_band", "exposure", premium=asked.premium).sort("age_band")

    @property
    def placed_claims(self) -> PersonYears:
        """The claims that count, and the person-years they fell in."""
        return self.person_years

    def data_check(self) -> DataCheck:
        """Sum up the check of every table."""
        return data_check(
            self.checked,
            unmatched=self.unmatched_claims.height,
            cut=self._cut_terms(),
            basis=self.basis,
        )

    def _cut_terms(self) -> int:
        if any(c.accepted.is_empty() for c in self.checked.values()):
            return 0
        counts = self.person_years.counts
        return sum(counts.get(name, 0) for name in ("cut_at_exit", "cut_at_window"))

    def write_rejected(self, folder: str | Path) -> None:
        """Write the rejected rows of every table beside the output, with their reasons.

        Claims of a day that no policy year covers stand in ``unmatched_claims.csv``.
        """
        for checked in self.checked.values():
            if not checked.rejected.is_empty() or Path(folder).is_dir():
                write_rejected(checked, folder)
        unmatched = self.unmatched_claims
        if not unmatched.is_empty():
            with replacing(Path(folder) / "unmatched_claims.csv") as beside:
                unmatched.write_csv(beside, include_bom=True)
